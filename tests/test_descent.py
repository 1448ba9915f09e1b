import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasso_reference import quadratic_lasso, sparse_data

from dask_onestep.kernels.lassos.descent import penalized_lasso, sweep_together


def test_blank_columns_stay_at_zero():
    x, y, _ = sparse_data(60, 4)
    gram, linear = x.T @ x / 60, x.T @ y / 60
    gram[1] = gram[:, 1] = linear[1] = 0.0
    coef, _ = penalized_lasso(gram, linear, y @ y / 60, np.full(4, 0.05), np.zeros(4), 1e-12, 1000)
    expected = quadratic_lasso(x[:, [0, 2, 3]], y, np.full(3, 0.05))
    np.testing.assert_allclose(coef, np.insert(expected, 1, 0.0), atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.01, 0.1, 0.3]), warm=st.booleans())
def test_working_sets_reach_the_optimum_of_all_columns(seed, alpha, warm):
    x, y, _ = sparse_data(50, 30, correlation=0.7, seed=seed)
    gram, linear, square, l1 = x.T @ x / 50, x.T @ y / 50, y @ y / 50, np.full(30, alpha)
    start = np.random.default_rng(seed).standard_normal(30) * warm
    coef, gap = penalized_lasso(gram, linear, square, l1, start, 1e-10 * square, 10_000)
    assert gap <= 1e-10 * square
    # The gap is a bound on what is left to gain, for any columns in or out.
    objective = np.sum((y - x @ coef) ** 2) / 100 + alpha * np.abs(coef).sum()
    exact = quadratic_lasso(x, y, l1)
    assert objective - (np.sum((y - x @ exact) ** 2) / 100 + alpha * np.abs(exact).sum()) <= gap + 1e-12


def test_a_column_of_infinite_penalty_stays_out():
    x, y, _ = sparse_data(60, 4)
    l1 = np.array([np.inf, 0.05, 0.05, 0.05])
    coef, _ = penalized_lasso(x.T @ x / 60, x.T @ y / 60, y @ y / 60, l1, np.zeros(4), 1e-12, 1000)
    np.testing.assert_allclose(coef, np.r_[0.0, quadratic_lasso(x[:, 1:], y, np.full(3, 0.05))], atol=1e-8)


@pytest.mark.parametrize(("correlation", "all_solved"), [(0.0, True), (0.95, False)])
def test_sweeps_together_say_which_lassos_they_solved(correlation, all_solved):
    x, y, _ = sparse_data(400, 12, correlation=correlation)
    responses, l1 = np.column_stack([y, x[:, 0] + y, y**2]), np.full((3, 12), 0.03)
    linear, square = responses.T @ x / 400, np.mean(responses**2, axis=0)
    coef, gap = sweep_together(x.T @ x / 400, linear, square, l1, 1e-10)
    solved = gap <= 1e-10 * square / 2
    assert solved.all() == all_solved
    for j in np.flatnonzero(solved):
        np.testing.assert_allclose(coef[j], quadratic_lasso(x, responses[:, j], l1[0]), atol=1e-6)
    # The gap bounds what is left to gain wherever the sweeps end.
    for j in range(3):
        left, exact = (
            np.mean((responses[:, j] - x @ b) ** 2) / 2 + 0.03 * np.abs(b).sum()
            for b in (coef[j], quadratic_lasso(x, responses[:, j], l1[0]))
        )
        assert -1e-12 <= left - exact <= gap[j] + 1e-12


def test_sweeps_from_the_solution_end_there():
    x, y, _ = sparse_data(400, 12, correlation=0.0)
    gram, linear, square, l1 = x.T @ x / 400, (x.T @ y / 400)[None], np.array([y @ y / 400]), np.full((1, 12), 0.03)
    exact = quadratic_lasso(x, y, l1[0])[None]
    coef, gap = sweep_together(gram, linear, square, l1, 1e-8, exact)
    np.testing.assert_array_equal(coef, exact)
    assert gap[0] <= 1e-11 * square[0]
