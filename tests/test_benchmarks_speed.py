"""The benchmark's own arithmetic: its exact MLE against statsmodels, its distance, a run of two libraries."""

import dask
import numpy as np
import pytest
import statsmodels.api as sm

from benchmarks.speed.exact import distance, exact_mle
from benchmarks.speed.libraries import LIBRARIES, Library
from benchmarks.speed.problems import PROBLEMS
from benchmarks.speed.report import markdown, summarise
from benchmarks.speed.run import run
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


def test_a_run_says_how_far_each_library_is_and_what_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(LIBRARIES, "absent", Library("absent", print, "no_such_module"))
    problem = PROBLEMS["gaussian-20"].at_most(4000)
    (fits,) = run([problem], ["OneStep", "scikit-learn lbfgs", "absent"], 2, 1, 0, tmp_path)
    table = summarise(fits).set_index("library")
    assert list(table.index) == ["OneStep", "scikit-learn lbfgs"]
    assert (table["distance"] < 1e-6).all()
    assert (table["seconds"] > 0).all()
    assert table.loc["OneStep", "times"] == 1.0
    assert "absent on gaussian-20: no_such_module is not installed" in markdown(fits)
    assert not list(tmp_path.iterdir())


def test_a_library_that_takes_too_long_is_ended(tmp_path):
    (fits,) = run([PROBLEMS["gaussian-20"].at_most(2000)], ["scikit-learn lbfgs"], 1, 1, 0, tmp_path, limit=0.01)
    assert list(fits["error"]) == ["no answer within 0.01 seconds"]
