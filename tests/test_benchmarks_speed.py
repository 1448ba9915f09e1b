"""The benchmark's own arithmetic: its exact MLE against statsmodels, its distance, a run of two libraries."""

import sys

import dask
import numpy as np
import pandas as pd
import psutil
import pytest
import statsmodels.api as sm

from benchmarks.speed import floors
from benchmarks.speed.__main__ import main
from benchmarks.speed.exact import distance, exact_mle
from benchmarks.speed.goals import FLOORS, against_goals
from benchmarks.speed.libraries import LIBRARIES, Library, Setting, settings
from benchmarks.speed.problems import PROBLEMS, write
from benchmarks.speed.report import markdown, summarize
from benchmarks.speed.run import Plan, Worker, grouped, run
from dask_onestep import GLMClassifier
from dask_onestep.datasets import make_glm


@pytest.mark.parametrize("family", ["binomial", "poisson", "gaussian"])
def test_exact_mle_is_that_of_statsmodels(family):
    X, y = dask.compute(*make_glm(500, 2, family=family)[:2])
    coef, information = exact_mle(X, y, family)
    law = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson, "gaussian": sm.families.Gaussian}[family]
    oracle = sm.GLM(y, sm.add_constant(X), family=law()).fit(tol=1e-14)
    np.testing.assert_allclose(coef, oracle.params, rtol=1e-8)
    np.testing.assert_allclose(np.linalg.inv(information) * oracle.scale, oracle.cov_params(), rtol=1e-6)


def test_distance_is_in_standard_errors():
    information = np.diag([4.0, 25.0])  # standard errors 1/2 and 1/5
    assert distance([1.5, 1.2], np.ones(2), information) == pytest.approx(1.0)


def run_all(names, tmp_path, *, n=4000, problem="gaussian-20", **plan):
    plan = Plan(**{"repetitions": 2, "slow_repetitions": 1, "threads": 2} | plan)
    parts = list(run([PROBLEMS[problem].at_most(n)], names, plan, tmp_path))
    assert not list(tmp_path.iterdir())
    return pd.concat(parts, ignore_index=True)


def test_a_run_says_how_far_each_library_is_and_what_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(LIBRARIES, "absent", Library("absent", print, "no_such_module"))
    fits = run_all(["OneStep", "scikit-learn lbfgs", "reading in plain threads", "absent"], tmp_path)
    table = summarize(fits).set_index("library")
    assert list(table.index) == ["OneStep", "scikit-learn lbfgs", "reading in plain threads"]
    assert (table["distance"].dropna() < 1e-6).all()
    assert list(table.index[table["distance"].isna()]) == ["reading in plain threads"]
    assert (table["seconds"] > 0).all()
    assert table.loc["OneStep", "times"] == 1.0
    assert (table["fits"] == 2).all()
    assert "absent on gaussian-20: no_such_module is not installed" in markdown(fits)
    # A peer is run with one BLAS thread and with all, and shown at the faster.
    assert set(fits.loc[fits["library"] == "scikit-learn lbfgs", "blas_threads"]) == {1, 2}
    assert fits.loc[fits["library"] == "OneStep", "blas_threads"].isna().all()


def test_a_library_that_takes_too_long_is_ended(tmp_path):
    fits = run_all(["scikit-learn lbfgs"], tmp_path, n=2000, threads=1, limit=0.01)
    assert list(fits["error"]) == ["no answer within 0.01 seconds"]


def test_a_library_whose_process_was_ended_is_said_to_have_failed(tmp_path):
    # As the system ends one when memory is short.
    described = write(PROBLEMS["gaussian-20"].at_most(2000), 0, tmp_path) | {"threads": 1}
    worker = Worker(Setting("reading in plain threads", None), described, sys.executable, limit=60.0)
    assert worker.fit() is not None
    (process,) = (each for each in psutil.Process().children() if "benchmarks.speed.worker" in each.cmdline())
    process.kill()
    while worker.fit() is not None:
        pass
    assert worker.error == "the process ended with code -9"
    worker.close()


def test_a_slow_library_is_repeated_less(tmp_path):
    fits = run_all(["scikit-learn lbfgs"], tmp_path, threads=1, slow_seconds=0.0)
    assert list(fits["repetition"]) == [0]


def test_groups_hold_what_memory_allows_and_each_has_the_yardstick():
    names = ["OneStep", "MLE", "glum", "Spark GLR", "H2O GLM"]
    wanted = settings(names, "binomial", 2)
    yardstick, mle, one, both, spark, h2o = wanted
    assert (one.blas_threads, both.blas_threads) == (1, 2)
    # 2.4e9 bytes a library, and 6e9 for a server.
    found = grouped(wanted, 1e9, 8e9, yardstick)
    assert found == [[yardstick, mle, one], [yardstick, both], [yardstick, spark], [yardstick, h2o]]
    assert grouped(wanted[:1], 1e9, 8e9, yardstick) == [[yardstick]]
    assert grouped(wanted[1:3], 1e9, 8e9, None) == [[mle, one]]


def test_a_run_that_was_ended_is_taken_up_again(tmp_path):
    def go(*names, repetitions="1"):
        words = ["--problems", "gaussian-20", "--rows", "3000", "--threads", "1", "--output", str(tmp_path)]
        main([*words, "--repetitions", repetitions, "--resume", "--libraries", *names])
        return pd.read_csv(tmp_path / "speed.csv")

    first = go("OneStep", "reading in plain threads")
    assert len(first) == 2
    more = go("OneStep", "reading in plain threads", "X'X in plain threads", repetitions="2")
    pd.testing.assert_frame_equal(more.iloc[:2], first)
    # One-step is fitted again, as the yardstick of what is new.
    assert sorted(more["library"].iloc[2:]) == ["OneStep"] * 2 + ["X'X in plain threads"] * 2
    assert more.groupby("group")["library"].nunique().tolist() == [2, 2]


@pytest.mark.parametrize("floor", [floors.one_step, floors.one_step_in_graphs])
def test_floors_give_the_bits_of_the_package(floor):
    problem = {"family": "binomial", "threads": 2, "chunks": 250}
    X, y = make_glm(5000, 3, family="binomial", chunks=250)[:2]
    ours = np.r_[(fitted := GLMClassifier().fit(X, y)).intercept_, fitted.coef_.ravel()]
    found = floor(*dask.compute(X, y), problem)()
    np.testing.assert_array_equal(found, ours)


def fits_of(times, distances):
    return pd.DataFrame(
        {
            "problem": "logistic-100",
            "n_samples": 10,
            "n_features": 100,
            "library": list(times),
            "blas_threads": None,
            "group": "a",
            "version": "1",
            "seconds": times.values(),
            "distance": distances,
            "peak_mb": 1.0,
        }
    )


def test_a_goal_counts_the_fastest_of_ours_that_is_as_near():
    # The surrogate is the fastest and too far off, so that the MLE counts.
    times = {"OneStep": 2.0, "MLE": 3.0, "Surrogate(anchor='pilot')": 1.0, "scikit-learn lbfgs": 15.0}
    (line,) = against_goals(fits_of(times, [0.5, 1e-9, 0.4, 0.01])).to_dict("records")
    assert line["measured"] == pytest.approx(5.0)
    assert (line["goal"], line["met"]) == ("≥ 4", "yes")
    (line,) = against_goals(fits_of(times, [0.005, 1e-9, 0.4, 0.01])).to_dict("records")
    assert line["measured"] == pytest.approx(7.5)


def test_a_goal_is_shown_at_our_floors_too():
    names = {
        "OneStep": 2.0,
        "OneStep in bare graphs": 1.8,
        "OneStep in plain threads": 1.6,
        "a full pass in plain threads": 1.5,
        "reading in plain threads": 0.5,
        "glum": 9.0,
    }
    table = against_goals(fits_of(names, 0.1).assign(problem="logistic-20")).set_index("ratio")
    glum = table.loc["glum / OneStep"]
    assert glum[["measured", *FLOORS]].tolist() == pytest.approx([4.5, 5.0, 5.625, 6.0])
    assert np.isnan(table.loc["glum / OneStep, without accelerate", "only one pass"])
    assert table.loc["OneStep / OneStep in plain threads", "measured"] == pytest.approx(1.25)
    assert table.loc["OneStep in bare graphs / OneStep in plain threads", "measured"] == pytest.approx(1.125)
    assert table.loc["OneStep / OneStep in plain threads", [*FLOORS]].isna().all()


def test_a_library_counts_at_its_fastest_setting_and_by_its_own_group():
    fits = pd.concat([fits_of({"OneStep": 1.0, "glum": 4.0}, 0.1), fits_of({"OneStep": 2.0, "glum": 5.0}, 0.1)])
    fits["group"] = ["a", "a", "b", "b"]
    fits["blas_threads"] = [None, 1, None, 2]
    table = summarize(fits).set_index("library")
    assert (table.loc["glum", "blas_threads"], table.loc["glum", "times"]) == (1, 4.0)
    fits["seconds"] = [1.0, 4.0, 2.0, 3.0]
    assert summarize(fits).set_index("library").loc["glum", "times"] == 1.5
