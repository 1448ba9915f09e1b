"""Factoring an information matrix, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from dask_onestep.kernels.solve.linear_algebra import CholeskyFactor, combinations, extreme_ratios, factorize
from dask_onestep.kernels.solve.pivots import back_solved, forward_solved


def information_of(design):
    return design.T @ design


@pytest.fixture
def design():
    rng = np.random.default_rng(2)
    return np.c_[np.ones(200), rng.normal(size=(200, 4))]


def test_solve_inverse_and_decrement_are_numpys(design):
    information, score = information_of(design), np.arange(5.0)
    factor = factorize(information)
    inverse = np.linalg.inv(information)
    assert factor.rank == 5
    np.testing.assert_allclose(factor.solve(score), inverse @ score, rtol=1e-12)
    np.testing.assert_allclose(factor.inverse(), inverse, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(factor.decrement(score), score @ inverse @ score, rtol=1e-12)
    several = np.c_[score, -score, score**2]
    np.testing.assert_allclose(factor.solve(several), inverse @ several, rtol=1e-12)
    np.testing.assert_array_equal(factor.inverse(), factor.inverse().T)


def test_a_factor_with_a_pivot_of_zero_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="Pivot 2"):
        forward_solved(np.diag([1.0, 0.0]), np.ones(2))


@pytest.mark.parametrize("solved", [forward_solved, back_solved])
def test_a_factor_without_columns_has_solutions(solved):
    assert solved(np.empty((0, 0)), np.empty((0, 3))).shape == (0, 3)


@given(st.lists(st.floats(-8, 8), min_size=5, max_size=5))
def test_the_scale_of_a_column_does_not_matter(powers):
    rng = np.random.default_rng(3)
    design = np.c_[np.ones(50), rng.normal(size=(50, 4))]
    scales = 10.0 ** np.array(powers)
    plain = factorize(information_of(design)).inverse()
    scaled = factorize(information_of(design * scales))
    assert scaled.kept.all()
    np.testing.assert_allclose(scaled.inverse() * np.outer(scales, scales), plain, rtol=1e-8, atol=1e-12)


def test_the_later_of_two_aliased_columns_is_set_aside(design):
    double = np.c_[design, design[:, 1] - 2 * design[:, 3], np.arange(200.0)]
    factor = factorize(information_of(double))
    assert factor.kept.tolist() == [True] * 5 + [False, True]
    score = double.T @ np.random.default_rng(0).normal(size=200)
    kept = factor.kept
    reduced = information_of(double[:, kept])
    expected = np.linalg.solve(reduced, score[kept])
    np.testing.assert_allclose(factor.solve(score)[kept], expected, rtol=1e-9)
    assert factor.solve(score)[5] == 0
    inverse = factor.inverse()
    assert np.isnan(inverse[5]).all()
    assert np.isnan(inverse[:, 5]).all()
    np.testing.assert_allclose(inverse[np.ix_(kept, kept)], np.linalg.inv(reduced), rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(factor.decrement(score), score[kept] @ expected, rtol=1e-10)


def test_coefficients_without_aliased_columns_have_the_same_linear_predictor():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    x = np.column_stack([x, 2 * x[:, 0] - x[:, 2]])
    coef = np.array([1.0, 2.0, 3.0, 4.0])
    found = factorize(x.T @ x, intercept=False).without_aliased(coef, x.T @ x)
    np.testing.assert_allclose(found, [9.0, 2.0, -1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(x @ found, x @ coef, atol=1e-12)


def test_empty_and_constant_columns_are_aliased(design):
    odd = np.c_[design, np.zeros(200), np.full(200, 7.0)]
    assert factorize(information_of(odd)).kept.tolist() == [True] * 5 + [False, False]
    # Without an intercept the first constant stays.
    assert factorize(information_of(odd[:, 1:]), intercept=False).kept.tolist() == [True] * 4 + [False, True]


def test_a_year_is_not_taken_for_a_constant():
    year = np.random.default_rng(0).integers(2010, 2020, 500).astype(float)
    factor = factorize(information_of(np.c_[np.ones(500), year, year / 1000]))
    assert factor.kept.tolist() == [True, True, False]
    expected = 1 / ((year - year.mean()) ** 2).sum()
    np.testing.assert_allclose(factor.inverse()[1, 1], expected, rtol=1e-6)


def test_high_correlation_is_not_aliasing():
    rng = np.random.default_rng(4)
    x = rng.normal(size=1000)
    near = x + 1e-3 * rng.normal(size=1000)
    assert factorize(information_of(np.c_[np.ones(1000), x, near])).kept.all()


def test_nothing_is_left_of_a_matrix_of_zeros():
    factor = factorize(np.zeros((3, 3)))
    assert factor.rank == 0
    assert factor.solve(np.ones(3)).tolist() == [0, 0, 0]
    assert factor.decrement(np.ones(3)) == 0
    assert np.isnan(factor.inverse()).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="holds NaN or infinity: for some rows the linear predictor overflowed"):
        factorize(np.diag([1.0, bad]))


def test_many_aliased_columns_are_those_that_add_no_rank():
    rng = np.random.default_rng(4)
    n, levels = 300, 45
    g, h = rng.integers(0, levels, n), rng.integers(0, 4, n)
    first, second = (g[:, None] == np.arange(1, levels)), (h[:, None] == np.arange(1, 4))
    cells = (second[:, :, None] & first[:, None, :]).reshape(n, -1)
    design = np.c_[np.ones(n), rng.normal(size=n), first, second, cells].astype(float)
    factor = factorize(information_of(design))
    ranks = [0, *(np.linalg.matrix_rank(design[:, :stop]) for stop in range(1, design.shape[1] + 1))]
    np.testing.assert_array_equal(factor.kept, np.diff(ranks) > 0)
    assert (~factor.kept).sum() > 10
    assert factor.rank > 2 * 64  # blocks of columns
    np.testing.assert_allclose(
        factor.lower @ factor.lower.T,
        (information_of(design) / np.outer(factor.scale, factor.scale))[np.ix_(factor.kept, factor.kept)],
        atol=1e-12,
    )


def test_the_whitener_turns_the_information_into_the_identity(design):
    information = information_of(np.c_[design, design[:, 1] - design[:, 2]])
    whitener = factorize(information).whitener()
    np.testing.assert_allclose(whitener @ information @ whitener.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(
        (whitener.T @ whitener)[:5, :5], np.linalg.inv(information[:5, :5]), rtol=1e-10, atol=1e-15
    )
    assert not whitener[:, 5].any()


def test_the_condition_is_that_of_the_scaled_information(design):
    design = design * [1.0, 1e-6, 1e6, 1.0, 1.0]
    design[:, 4] = design[:, 3] + 1e-3 * design[:, 4]
    information = information_of(design)
    lengths = np.sqrt(np.diag(information))
    condition = np.linalg.cond(information / np.outer(lengths, lengths), 1)
    np.testing.assert_allclose(factorize(information).condition, condition, rtol=1e-6)
    assert factorize(np.zeros((2, 2))).condition == 1.0
    assert CholeskyFactor(np.ones(2), np.ones(2, bool), np.diag([1.0, 0.0]), 1.0).condition == np.inf


def test_aliased_columns_are_combinations_in_any_unit(design):
    units = np.array([1.0, 1e9, 1e-9, 1.0, 1.0, 1e-5, 1.0])
    double = np.c_[design, design[:, 1] - 2 * design[:, 3], 1 + design[:, 2]] * units
    kept = np.array([True] * 5 + [False, False])
    found = combinations(information_of(double), kept)
    expected = np.array([[0, 1, 0, -2, 0], [1, 0, 1, 0, 0]]).T * units[~kept] / units[kept][:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert (found[expected == 0] == 0).all()
    assert combinations(information_of(design), np.ones(5, dtype=bool)).shape == (5, 0)


def test_an_aliased_column_without_information_is_a_combination_still(design):
    """An information that pilot rows extrapolate may have a negative diagonal element."""
    information = information_of(np.c_[design, design[:, 1]])
    information[5, 5] = -1e-9
    found = combinations(information, np.array([True] * 5 + [False]))
    np.testing.assert_allclose(found[:, 0], [0, 1, 0, 0, 0], atol=1e-12)


def test_extreme_ratios_are_generalized_eigenvalues(design):
    information = information_of(design)
    other = information_of(design * np.random.default_rng(1).uniform(0, 2, (200, 1)) + 0.1)
    expected = linalg.eigh(other, information, eigvals_only=True)[[0, -1]]
    np.testing.assert_allclose(extreme_ratios(other, information, factorize(information)), expected, rtol=1e-10)
