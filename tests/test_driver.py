"""The driver: plans that share passes, look at values, fail individually, and go in batches where records are large."""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from support import Loads, model_of, raise_if_dask_computes

from dask_onestep import MLE, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm
from dask_onestep.graph import gather, tree_sum
from dask_onestep.graph.fusion import is_task
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.methods import Estimate, Look, Method, Pass, Problem, Settle, driver
from dask_onestep.methods.driver import run, run_all
from dask_onestep.methods.method import estimated
from dask_onestep.methods.restricted import fit_restricted


def problem_of(loads, family="binomial", **options):
    table = loads.array()
    return Problem(model_of(family, columns=loads.columns - 1), gather(table[:, 1:], table[:, 0]), **options)


def moments_once(problem, coef):
    return (yield Look((yield from problem.moments(coef))))


def twice(problem, coef):
    first = yield Look((yield from problem.moments(coef)))
    second = yield Look((yield from problem.moments(coef + first.score * 1e-3)))
    return second


def test_plans_share_their_passes_whatever_they_ask(loads, scheduler):
    problem = problem_of(loads)
    coefs = [np.zeros(4), np.full(4, 0.1), np.full(4, -0.2)]
    alone = [run(problem, twice(problem, coef)).value for coef in coefs]
    assert loads.per_block() == [6, 6, 6, 6]
    together = run_all(problem, [twice(problem, coef) for coef in coefs])
    assert loads.per_block() == [2, 2, 2, 2]
    assert [outcome.n_passes for outcome in together] == [2, 2, 2]
    for one, outcome in zip(alone, together, strict=True):
        assert one.loglik == outcome.value.loglik
        assert one.information.tobytes() == outcome.value.information.tobytes()


def test_identical_requests_are_computed_once(loads, synchronous):
    problem = problem_of(loads)
    ended = run_all(problem, [moments_once(problem, np.zeros(4)) for _ in range(3)])
    assert loads.per_block() == [1, 1, 1, 1]
    assert len({outcome.value.loglik for outcome in ended}) == 1


def test_plans_of_several_lengths_and_methods_run_side_by_side(loads, synchronous):
    problem = problem_of(loads)
    methods = [OneStep(60, tol=10.0), MLE(), Pilot(80)]
    alone = [method.estimate(problem) for method in methods]
    loads.per_block()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run_all(problem, [estimated(problem, method) for method in methods])
    slowest = max(outcome.n_passes for outcome in found)
    assert loads.per_block() == [slowest] * 4
    assert [outcome.n_passes for outcome in found] == [one.n_passes for one in alone]
    for one, outcome in zip(alone, found, strict=True):
        assert one.coef.tobytes() == outcome.value.coef.tobytes()
        assert one.covariance.tobytes() == outcome.value.covariance.tobytes()


def test_a_lazy_plan_computes_nothing_and_has_the_same_bits(loads, synchronous):
    problem = problem_of(loads, lazy=True)
    with raise_if_dask_computes():
        outcome = run(problem, estimated(problem, OneStep(60, steps=1)))
    assert outcome.n_passes == 2
    lazy = outcome.value.compute()
    exact = OneStep(60, steps=1).estimate(problem_of(loads))
    assert lazy.coef.tobytes() == exact.coef.tobytes()


def test_a_lazy_plan_may_not_look(loads, synchronous):
    problem = problem_of(loads, lazy=True)
    with raise_if_dask_computes(), pytest.raises(ValueError, match="iterates until convergence"):
        run(problem, moments_once(problem, np.zeros(4)))


def test_a_plan_may_handle_an_error_of_its_pass(loads, synchronous):
    problem = problem_of(loads)

    def handling():
        try:
            yield Look((yield problem.total(refuse, name="refuse")))
        except ValueError as error:
            return (yield from moments_once(problem, np.zeros(4))), str(error)

    (sums, text), passes = run(problem, handling()).value, run(problem, handling()).n_passes
    assert sums.n == 200
    assert "no sum of this kind" in text
    assert passes == 2


def refuse(rows, model):
    raise ValueError("no sum of this kind")


def unlucky(rows, model, coef):
    if coef[0] == 1.0:
        raise ValueError("not this one")
    return moments(rows, model, coef)


def test_an_error_in_a_guarded_plan_ends_it_alone(loads, scheduler):
    problem = problem_of(loads, guarded=True)

    def plan(first):
        handle = yield problem.total(unlucky, np.array([first, 0.0, 0.0, 0.0]), name="unlucky")
        settled = yield Settle(problem.apply(score_of, handle, name="score"))
        try:
            return (yield Look(settled))
        except ValueError as error:
            return error

    found = [outcome.value for outcome in run_all(problem, [plan(first) for first in (0.0, 1.0, 2.0)])]
    assert isinstance(found[1], ValueError)
    assert str(found[1]) == "not this one"
    assert found[0].shape == found[2].shape == (4,)
    assert loads.per_block() == [1, 1, 1, 1]


def score_of(sums):
    return sums.score


def test_findings_in_the_data_end_all_plans(synchronous):
    X, y, _ = make_glm(400, 3, chunks=100)
    X = X.map_blocks(lambda block: np.where(block > 1.0, np.nan, block))
    problem = Problem(model_of(columns=3), gather(X, y), guarded=True)
    with pytest.raises(ValueError, match="NaN or infinity in column x"):
        run_all(problem, [moments_once(problem, np.zeros(4)), moments_once(problem, np.ones(4))])


def test_large_records_go_in_batches(loads, synchronous, monkeypatch):
    problem = problem_of(loads)
    coefs = [np.full(4, value) for value in (0.0, 0.1, 0.2, 0.3, 0.4)]
    expected = [run(problem, moments_once(problem, coef)).value.loglik for coef in coefs]
    loads.per_block()
    monkeypatch.setattr(driver, "JOINT_BYTES", 3 * 2 * 8 * 16)  # two records at a time
    found = run_all(problem, [moments_once(problem, coef) for coef in coefs])
    assert loads.per_block() == [3, 3, 3, 3]
    assert [outcome.value.loglik for outcome in found] == expected


def test_kernels_keep_their_own_traits_when_joined(synchronous):
    # Pilot's pass searches all covariates, the moments' pass does not: the search is only the pilot's.
    X, y, _ = make_glm(400, 2, chunks=100)
    problem = Problem(model_of(columns=2), gather(X, y))
    plans = [estimated(problem, Pilot(50)), moments_once(problem, np.zeros(3))]
    pilot, sums = (outcome.value for outcome in run_all(problem, plans))
    assert pilot.n_samples == sums.n == 400
    alone = Pilot(50).estimate(problem)
    assert pilot.coef.tobytes() == alone.coef.tobytes()


def test_a_pass_computes_no_more_often_than_it_must(synchronous):
    X, y, _ = make_glm(4000, 3, family="poisson", chunks=1000)
    calls = []
    with Callback(start=lambda graph: calls.append(1)):
        GLMRegressor("poisson").fit(X, y)
    assert len(calls) == 1


@pytest.mark.parametrize(("chunks", "computations"), [(50, 0), (500, 0), (50_000, 1)])
def test_where_a_pass_is_one_task_no_scheduler_is_asked(threads, monkeypatch, chunks, computations):
    X, y, _ = make_glm(500 if chunks < 1000 else 100_000, 3, chunks=chunks)
    X, y, calls = X.persist(), y.persist(), []
    scheduler = dask.threaded.get_async
    monkeypatch.setattr(dask.threaded, "get_async", lambda *args, **own: calls.append(1) or scheduler(*args, **own))
    glm = GLMRegressor().fit(X, y)
    assert len(calls) == computations
    with Callback():
        again = GLMRegressor().fit(X, y)
    assert len(calls) == 2 * computations + (not computations)
    assert again.coef_.tobytes() == glm.coef_.tobytes()


def test_restricted_fits_share_the_pilot_draw(tmp_path, synchronous):
    directory = tmp_path / "draw"
    directory.mkdir()
    loads = Loads(directory, rows=(400, 300, 300), columns=6)
    problem = problem_of(loads)
    nulls = [({f"x{number}": 0.0}, ()) for number in range(5)]
    fits = fit_restricted(problem, OneStep(300, tol=10.0), nulls)
    assert loads.per_block() == [2, 2, 2]
    for (null, _), fit in zip(nulls, fits, strict=True):
        (name,) = null
        assert fit.coef[1 + int(name[1])] == 0.0
        assert fit.rank == 5
    again = OneStep(300, tol=10.0).estimate(problem.restricted(*nulls[2]))
    np.testing.assert_array_equal(np.delete(fits[2].coef, 3), again.coef)


class FromZero(Method):
    """A plan as a user may write one."""

    def plan(self, problem):
        sums = yield Look((yield from problem.moments(np.zeros(problem.d))))
        inverse = np.linalg.inv(sums.information)
        return Estimate(coef=inverse @ sums.score, covariance=inverse, n_samples=sums.n, loglik=sums.loglik)


def test_a_plan_of_ones_own_is_a_method(synchronous):
    X, y, _ = make_glm(1000, 2, family="gaussian", chunks=300)
    glm = GLMRegressor(method=FromZero()).fit(X, y)
    np.testing.assert_allclose(glm.coef_, GLMRegressor(method="mle").fit(X, y).coef_, rtol=1e-9)
    assert glm.n_passes_ == 1
    assert set(glm.drop1(X, y).index) == {"x0", "x1"}


def model_of_columns(names):
    return model_of("binomial", columns=len(names))


def test_the_model_may_be_what_an_earlier_pass_finds(loads, scheduler):
    problem = problem_of(loads)
    lazy = problem_of(loads, lazy=True)
    model = lazy.apply(model_of_columns, ("x0", "x1", "x2"), name="model")

    def plan():
        return (yield Pass(moments, model, (np.zeros(4),), "moments"))

    found = run(lazy, plan()).value.compute()
    assert found.loglik == run(problem, moments_once(problem, np.zeros(4))).value.loglik


def test_a_fit_has_names_of_its_own(loads, scheduler):
    """An equal fit that follows at once must not meet tasks that are about to be released: each reads the data."""
    rows = loads.array()
    for _ in range(5):
        glm = GLMRegressor("binomial", method=OneStep(60)).fit(rows[:, 1:], rows[:, 0])
        assert set(loads.per_block()) == {glm.n_passes_}


def test_names_of_shared_loads_are_a_fits_own(threads):
    table = dask.delayed(np.column_stack)([np.arange(40.0), np.arange(40.0) % 3])
    x = da.concatenate([da.from_delayed(table[at : at + 10], (10, 2), dtype=float) for at in (0, 10, 20, 30)])
    blocks = gather(x[:, 1:], x[:, 0])
    tasks = [{key for key, node in each.shared.items() if is_task(node)} for each in (blocks, *map_renamed(blocks))]
    assert [len(keys) for keys in tasks] == [len(tasks[0])] * 3 != [0] * 3
    assert len(set.union(*tasks)) == 3 * len(tasks[0])
    sums = [tree_sum(each, moments, model_of(columns=1), np.zeros(2), name="moments") for each in map_renamed(blocks)]
    assert sums[0].key != sums[1].key
    np.testing.assert_array_equal(*(found.information for found in dask.compute(*sums)))


def map_renamed(blocks):
    return [blocks.renamed(), blocks.renamed()]
