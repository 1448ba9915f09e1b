import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasso_reference import quadratic_lasso, sparse_data

from dask_onestep.kernels.lassos.quadratic import kkt_residual, partial_variances, profile_out, solve_lasso


def _solve(x, y, alpha, **options):
    n, none = len(y), np.zeros(x.shape[1])
    square, profile = y @ y / n, profile_out(x.T @ x / n, alpha == 0)
    return solve_lasso(profile, x.T @ y / n, square, alpha, none, none, options.get("tol", 1e-12) * square, 10_000)


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


def test_kkt_residual_sees_both_kinds_of_violation():
    l1 = np.array([0.1, 0.1, 0.1])
    assert kkt_residual(np.array([0.1, 0.05, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.0, abs=1e-15)
    assert kkt_residual(np.array([0.13, 0.0, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.03)
    assert kkt_residual(np.array([0.1, 0.15, -0.1]), np.array([2.0, 0.0, -1.0]), l1) == pytest.approx(0.05)


def test_partial_variances_are_the_diagonal_of_the_profile():
    x, _, _ = sparse_data(60, 5)
    free = np.array([True, False, True, False, False])
    found = partial_variances(x.T @ x, free)
    np.testing.assert_allclose(found[~free], np.diag(profile_out(x.T @ x, free).gram), rtol=1e-10)
    assert not found[free].any()
