"""Arrowhead matrices and their factors, against full matrices."""

import numpy as np
import pytest

from dask_onestep.kernels.matrices.symmetric import Arrowhead, filled, is_finite, minor, selected_columns
from dask_onestep.kernels.solve import elimination
from dask_onestep.kernels.solve.ascent import ran_away
from dask_onestep.kernels.solve.linear_algebra import (
    combinations,
    extreme_ratios,
    factorize,
    sandwich_diagonal,
    squared_traces,
)

K = 30
CASES = {
    "full rank": {},
    "no row of the reference": {"reference": False},
    "a column constant within levels": {"aliased": True},
    "both": {"reference": False, "aliased": True},
    "empty levels": {"empty": (3, 4)},
    "empty levels and no reference": {"reference": False, "empty": (2, K - 1)},
    "few rows of the reference": {"rare": 1e-4},
    "no other column": {"before": 0, "after": 0},
    "no intercept": {"before": 0},
}


def _pair(seed, *, before=3, after=2, reference=True, aliased=False, empty=(), rare=1.0, n=3000):
    """Return a Gram matrix of columns around levels, full and as an arrowhead, and a score."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0 if reference else 1, K + 1, n)
    levels = (codes[:, None] == np.arange(1, K + 1)).astype(float)
    levels[:, list(empty)] = 0.0
    first = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])[:, :before]
    last = rng.normal(size=(n, after)) + 5.0
    if aliased:
        last[:, 0] = levels @ rng.normal(size=K)
    x = np.hstack([first, levels, last])
    weights = (rng.random(n) + 0.1) * np.where(codes == 0, rare, 1.0)
    full = x.T @ (weights[:, None] * x)
    at = np.arange(before, before + K)
    rest = np.setdiff1d(np.arange(len(full)), at)
    arrow = Arrowhead(np.diag(full)[at], full[np.ix_(at, rest)], full[np.ix_(rest, rest)], at, rest)
    return full, arrow, x.T @ rng.normal(size=n)


@pytest.mark.parametrize("case", CASES)
def test_a_factor_is_that_of_the_full_matrix(case):
    options = CASES[case]
    full, arrow, score = _pair(1, **options)
    intercept = options.get("before", 3) > 0
    dense, factor = factorize(full, intercept=intercept), factorize(arrow, intercept=intercept)
    np.testing.assert_array_equal(factor.kept, dense.kept)
    assert factor.rank == dense.rank
    np.testing.assert_allclose(combinations(arrow, factor.kept), combinations(full, dense.kept), atol=1e-9)
    np.testing.assert_allclose(factor.solve(score), dense.solve(score), atol=1e-12)
    # Both are exact up to rounding times the condition number, which is 5e8 where the reference has few rows.
    rounding = 1e-16 * np.linalg.cond(full[np.ix_(dense.kept, dense.kept)])
    np.testing.assert_allclose(factor.solve(full), dense.solve(full), atol=max(rounding, 1e-10))
    np.testing.assert_allclose(factor.decrement(score), dense.decrement(score))
    inverse, expected = factor.inverse(), dense.inverse()
    np.testing.assert_allclose(inverse.toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(inverse.diagonal(), np.diag(expected), atol=1e-12)
    np.testing.assert_allclose(filled(inverse) @ score, np.nan_to_num(expected) @ score, atol=1e-12)
    np.testing.assert_allclose((2.0 * inverse).minor(np.arange(3, 9)), 2.0 * expected[3:9, 3:9], atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_variances_are_those_of_full_matrices(case):
    full, arrow, _ = _pair(1, **CASES[case])
    variance, split, _ = _pair(2, **CASES[case])
    dense, factor = factorize(full), factorize(arrow)
    np.testing.assert_allclose(factor.expected_decrement(split), dense.expected_decrement(variance))
    np.testing.assert_allclose(squared_traces(factor, split), squared_traces(dense, variance))
    np.testing.assert_allclose(squared_traces(factor, variance), squared_traces(dense, variance))
    np.testing.assert_allclose(
        sandwich_diagonal(filled(factor.inverse()), split), sandwich_diagonal(filled(dense.inverse()), variance)
    )


@pytest.mark.parametrize("case", ["full rank", "no other column", "no intercept"])
def test_extreme_eigenvalues_are_those_of_full_matrices(case):
    full, arrow, _ = _pair(1, **CASES[case])
    other, split, _ = _pair(2, **CASES[case])
    found = extreme_ratios(split, arrow, factorize(arrow))
    np.testing.assert_allclose(found, extreme_ratios(other, full, factorize(full)), rtol=1e-8)


def test_an_arrowhead_matrix_behaves_like_an_array():
    full, arrow, score = _pair(1)
    other, split, _ = _pair(2)
    np.testing.assert_allclose(np.asarray(arrow), full, atol=1e-10)  # products of columns of one level are 0
    np.testing.assert_allclose(np.asarray(arrow + 0.5 * split - arrow / 4.0), full + 0.5 * other - full / 4.0)
    np.testing.assert_allclose(arrow + other, full + other)
    np.testing.assert_allclose(other - arrow, other - full)
    np.testing.assert_allclose(score @ arrow @ score, score @ full @ score)
    np.testing.assert_array_equal(arrow.diagonal(), np.diag(full))
    np.testing.assert_allclose(arrow[3:5, 4], full[3:5, 4])
    for index in (np.arange(2, 20), np.array([0, 1, 2, 33]), np.arange(len(full)) % 2 == 0):
        np.testing.assert_allclose(np.asarray(minor(arrow, index)), minor(full, index))
    assert isinstance(minor(arrow, np.array([0, 33])), np.ndarray)
    np.testing.assert_allclose(selected_columns(arrow, np.array([0, 7, 33])), full[:, [0, 7, 33]])
    assert is_finite(arrow)
    assert not is_finite(arrow * np.nan)
    assert arrow.nbytes < full.nbytes


@pytest.mark.parametrize(("cities", "shops"), [(4, 3), (40, 5), (60, 2)])
def test_levels_within_those_of_an_earlier_factor_are_aliased_as_in_a_full_matrix(cities, shops, monkeypatch):
    rng, count = np.random.default_rng(cities), cities * shops
    own = np.concatenate([np.arange(count), rng.integers(0, count, 2000)])
    x = np.column_stack([np.ones(len(own)), rng.normal(size=len(own)), *np.eye(cities)[1:, own // shops]])
    x = np.hstack([x, np.eye(count)[own][:, 1:]])
    full = x.T @ (rng.uniform(0.1, 1.0, len(own))[:, None] * x)
    at, rest = np.arange(cities + 1, len(full)), np.arange(cities + 1)
    arrow = Arrowhead(np.diag(full)[at], full[np.ix_(at, rest)], full[np.ix_(rest, rest)], at, rest)
    factored, pivoted = [], elimination.pivoted
    monkeypatch.setattr(elimination, "pivoted", lambda *given: factored.append(0) or pivoted(*given))
    dense, factor = factorize(full, intercept=True), factorize(arrow, intercept=True)
    np.testing.assert_array_equal(factor.kept, dense.kept)
    assert (~factor.kept).sum() == cities - 1
    assert len(factored) <= 4 * 8 + 1  # not some of every alias
    score = x.T @ rng.normal(size=len(own))
    np.testing.assert_allclose(factor.solve(score), dense.solve(score), atol=1e-9)


def test_a_column_that_lost_its_weight_ran_away():
    _, before, _ = _pair(1)
    levels, border, corner = before.levels.copy(), before.border.copy(), before.corner.copy()
    # A level whose rows have lost their weight, as those of a separated level do.
    share = 1e-30
    corner -= (1 - share) * np.outer(border[4], border[4]) / levels[4]
    levels[4], border[4] = 0.0, 0.0
    now = Arrowhead(levels, border, corner, before.at, before.rest)
    assert ran_away(before, now, factorize(now))
    assert not ran_away(now, now, factorize(now))
