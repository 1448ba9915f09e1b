import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasso_reference import quadratic_lasso, sparse_data

from dask_onestep.kernels.quadratic import kkt_residual, partial_variances, penalised_lasso, profile_out, solve_lasso


def _solve(x, y, alpha, **options):
    n, start = len(y), np.zeros(x.shape[1])
    square = y @ y / n
    return solve_lasso(x.T @ x / n, x.T @ y / n, square, alpha, start, options.get("tol", 1e-12) * square, 10_000)


@pytest.mark.parametrize(("n", "p"), [(200, 10), (30, 60)])
def test_equals_scikit_learn_on_the_rows(n, p):
    x, y, _ = sparse_data(n, p)
    coef, gap = _solve(x, y, np.full(p, 0.1))
    np.testing.assert_allclose(coef, quadratic_lasso(x, y, np.full(p, 0.1)), atol=1e-7)
    assert 0 <= gap < 1e-11 * (y @ y / n)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), free=st.integers(0, 3))
def test_a_penalty_for_each_column_and_some_without(seed, free):
    x, y, _ = sparse_data(80, 8, seed=seed)
    alpha = np.random.default_rng(seed).uniform(0.02, 0.4, 8)
    alpha[:free] = 0.0
    coef, _ = _solve(x, y, alpha)
    np.testing.assert_allclose(coef, quadratic_lasso(x, y, alpha), atol=1e-6)
    assert kkt_residual(x.T @ (y - x @ coef) / 80, coef, alpha) < 1e-8


def test_no_penalty_is_least_squares():
    x, y, _ = sparse_data(80, 5)
    np.testing.assert_allclose(_solve(x, y, np.zeros(5))[0], np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-12)


def test_profile_is_the_regression_on_the_free_columns():
    x, _, _ = sparse_data(60, 5)
    profile = profile_out(x.T @ x, np.array([True, False, True, False, False]))
    free, rest = x[:, [0, 2]], x[:, [1, 3, 4]]
    left = rest - free @ np.linalg.lstsq(free, rest, rcond=None)[0]
    np.testing.assert_allclose(profile.gram, left.T @ left, atol=1e-10)
    np.testing.assert_allclose(profile.loadings, np.linalg.lstsq(free, rest, rcond=None)[0], atol=1e-12)


def test_blank_columns_stay_at_zero():
    x, y, _ = sparse_data(60, 4)
    gram, linear = x.T @ x / 60, x.T @ y / 60
    gram[1] = gram[:, 1] = linear[1] = 0.0
    coef, _ = penalised_lasso(gram, linear, y @ y / 60, np.full(4, 0.05), np.zeros(4), 1e-12, 1000)
    expected = quadratic_lasso(x[:, [0, 2, 3]], y, np.full(3, 0.05))
    np.testing.assert_allclose(coef, np.insert(expected, 1, 0.0), atol=1e-8)


def test_kkt_residual_sees_both_kinds_of_violation():
    l1 = np.array([0.1, 0.1, 0.1])
    assert kkt_residual(np.array([0.1, 0.05, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.0, abs=1e-15)
    assert kkt_residual(np.array([0.13, 0.0, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.03)
    assert kkt_residual(np.array([0.1, 0.15, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.05)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.01, 0.1, 0.3]), warm=st.booleans())
def test_working_sets_reach_the_optimum_of_all_columns(seed, alpha, warm):
    x, y, _ = sparse_data(50, 30, correlation=0.7, seed=seed)
    gram, linear, square, l1 = x.T @ x / 50, x.T @ y / 50, y @ y / 50, np.full(30, alpha)
    start = np.random.default_rng(seed).standard_normal(30) * warm
    coef, gap = penalised_lasso(gram, linear, square, l1, start, 1e-10 * square, 10_000)
    assert gap <= 1e-10 * square
    # The gap is a bound on what is left to gain, for any columns in or out.
    objective = np.sum((y - x @ coef) ** 2) / 100 + alpha * np.abs(coef).sum()
    exact = quadratic_lasso(x, y, l1)
    assert objective - (np.sum((y - x @ exact) ** 2) / 100 + alpha * np.abs(exact).sum()) <= gap + 1e-12


def test_a_column_of_infinite_penalty_stays_out():
    x, y, _ = sparse_data(60, 4)
    l1 = np.array([np.inf, 0.05, 0.05, 0.05])
    coef, _ = penalised_lasso(x.T @ x / 60, x.T @ y / 60, y @ y / 60, l1, np.zeros(4), 1e-12, 1000)
    np.testing.assert_allclose(coef, np.r_[0.0, quadratic_lasso(x[:, 1:], y, np.full(3, 0.05))], atol=1e-8)


def test_partial_variances_are_the_diagonal_of_the_profile():
    x, _, _ = sparse_data(60, 5)
    free = np.array([True, False, True, False, False])
    found = partial_variances(x.T @ x, free)
    np.testing.assert_allclose(found[~free], np.diag(profile_out(x.T @ x, free).gram), rtol=1e-10)
    assert not found[free].any()
