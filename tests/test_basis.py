"""Columns made orthogonal: compared with NumPy's QR, exact arithmetic, and the columns that they came from."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from support import model_of

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments, observed_moments
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.aliasing import DesignFactor, design_factor, orthogonal_basis
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.basis import Basis


def basis_of(x, *, intercept=True, weights=None):
    model = model_of(columns=x.shape[1], fit_intercept=intercept)
    return orthogonal_basis(design_factor(Rows(x, np.zeros(len(x)), weights), model), intercept=intercept)


def in_basis(x, *, intercept=True):
    """Return the orthogonalized columns as the kernels see them."""
    model = model_of(columns=x.shape[1], fit_intercept=intercept, basis=basis_of(x, intercept=intercept))
    return np.concatenate([part.design.copy() for part in slices(Rows(x, np.zeros(len(x))), model)])


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) + [0, 5, -30, 1e4]
    return x * [1.0, 1e-8, 1e6, 1.0]


@pytest.mark.parametrize("intercept", [True, False])
def test_columns_are_what_those_before_leave(x, intercept):
    found = in_basis(x, intercept=intercept)
    design = np.column_stack([np.ones(300), x]) if intercept else x
    q, r = np.linalg.qr(design)
    expected = q * np.diag(r)
    scale = basis_of(x, intercept=intercept).scale
    np.testing.assert_allclose(found * scale, expected, atol=1e-9 * np.abs(expected).max(axis=0).min(initial=1.0))
    lengths = np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(found.T @ found / np.outer(lengths, lengths), np.eye(len(lengths)), atol=1e-10)
    if intercept:
        assert (found[:, 0] == 1.0).all()


def test_scales_are_powers_of_two(x):
    scale = basis_of(x).scale
    assert (np.frexp(scale)[0] == 0.5).all()
    assert scale[0] == 1.0


def test_coefficients_go_there_and_back(x):
    basis, beta = basis_of(x), np.array([3.0, -1.0, 2e7, 1e-6, 0.5])
    gamma = basis.orthogonal(beta)
    np.testing.assert_allclose(in_basis(x) @ gamma, np.column_stack([np.ones(300), x]) @ beta, rtol=1e-9)
    np.testing.assert_allclose(basis.coefficients(gamma), beta, rtol=1e-9)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant == 52, reason="long double is float64 on this platform")
def test_a_small_difference_of_large_numbers_keeps_its_digits():
    for slope, second in np.random.default_rng(2).normal(size=(50, 2)):
        upper, first = np.array([[1.0, slope], [0.0, 1.0]], order="F"), slope * second + 1e-8
        basis = Basis(np.ones(2, bool), np.ones(2), upper, 1.0, True, np.zeros((2, 0)))
        exact = float(Fraction(first) - Fraction(slope) * Fraction(second))
        np.testing.assert_allclose(basis.coefficients(np.array([first, second])), [exact, second], rtol=1e-10)


def test_covariances_go_with_coefficients(x):
    basis = basis_of(x)
    draws = np.random.default_rng(1).normal(size=(50, 5))
    np.testing.assert_allclose(basis.covariance(np.cov(draws.T)), np.cov(basis.coefficients(draws).T), rtol=1e-9)


def test_classes_are_transformed_one_by_one(x):
    basis = basis_of(x)
    one, two = np.random.default_rng(1).normal(size=(2, 5))
    both = basis.coefficients(np.r_[one, two])
    np.testing.assert_allclose(basis.orthogonal(both), np.r_[one, two], rtol=1e-9)
    np.testing.assert_allclose(both, np.r_[basis.coefficients(one), basis.coefficients(two)], rtol=1e-12)
    covariance = np.cov(np.random.default_rng(2).normal(size=(40, 10)).T)
    found = basis.covariance(covariance)
    np.testing.assert_allclose(found[:5, :5], basis.covariance(covariance[:5, :5]), rtol=1e-12)
    np.testing.assert_allclose(found, found.T, rtol=1e-9)


def test_the_later_of_exact_combinations_is_left_out(x):
    more = np.column_stack([x[:, :2], x[:, 0] + 1e8 * x[:, 1], np.full(300, 2013.0), x[:, 2:], np.zeros(300)])
    basis = basis_of(more)
    assert basis.kept.tolist() == [True, True, True, False, False, True, True, False]
    assert np.isnan(basis.coefficients(np.ones(5))).tolist() == (~basis.kept).tolist()
    assert np.isnan(basis.covariance(np.eye(5))).sum() == 64 - 25
    alone = basis_of(x)
    np.testing.assert_allclose(basis.coefficients(np.ones(5))[basis.kept], alone.coefficients(np.ones(5)), rtol=1e-8)


@pytest.mark.parametrize("share", [1e-6, 1e-8, 1e-10])
def test_near_combinations_are_kept(x, share):
    rng = np.random.default_rng(3)
    near = x[:, 0] + share * x[:, 0].std() * rng.normal(size=300)
    basis = basis_of(np.column_stack([x[:, 0], near]))
    assert basis.kept.all()
    assert 0.1 / share**2 < basis.condition < 10 / share**2


def test_fewer_rows_than_columns():
    assert basis_of(np.random.default_rng(0).normal(size=(3, 6))).kept.tolist() == [True] * 3 + [False] * 4


def test_no_rows():
    basis = orthogonal_basis(DesignFactor(np.empty((0, 3))), intercept=True)
    assert not basis.kept.any()


def test_weights_count(x):
    weights = np.random.default_rng(1).integers(0, 4, 300)
    repeated, weighted = basis_of(np.repeat(x, weights, axis=0)), basis_of(x, weights=weights.astype(float))
    np.testing.assert_allclose(weighted.directions, repeated.directions, rtol=1e-7)


def test_the_likelihood_does_not_depend_on_the_columns(x):
    rng = np.random.default_rng(5)
    rows = Rows(x, rng.poisson(2.0, 300).astype(float))
    model, basis = model_of("poisson", columns=4), basis_of(x)
    beta = np.array([0.3, 0.1, 1e6, 1e-9, -1e-5])
    plain = moments(rows, model, beta)
    other = moments(rows, model_of("poisson", columns=4, basis=basis), basis.orthogonal(beta))
    np.testing.assert_allclose(other.loglik, plain.loglik, rtol=1e-12)
    np.testing.assert_allclose(basis.directions.T @ other.score, plain.score, rtol=1e-7)
    expected = basis.directions.T @ other.information @ basis.directions
    np.testing.assert_allclose(expected, plain.information, rtol=1e-8)


def test_moments_in_beta_are_those_of_the_columns_aliased_ones_included(x):
    x = np.column_stack([x[:, :2] / x[:, :2].std(axis=0), x[:, 0] - x[:, 1], x[:, 2:] / x[:, 2:].std(axis=0)])
    rng = np.random.default_rng(5)
    rows = Rows(x, rng.gamma(2.0, size=300))
    model, basis = model_of("gamma", "log", columns=5), basis_of(x)
    assert basis.kept.tolist() == [True, True, True, False, True, True]
    beta = np.array([0.3, 0.1, 0.2, 0.0, -0.3, 1e-3])
    plain = observed_moments(rows, model, beta)
    other = observed_moments(rows, model_of("gamma", "log", columns=5, basis=basis), basis.orthogonal(beta))
    found = basis.moments(other)
    for name in ("score", "information", "observed", "pearson_gradient"):
        expected = getattr(plain, name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert basis.moments(replace(other, pearson_gradient=None)).pearson_gradient is None


def test_covariances_may_be_stacked(x):
    basis = basis_of(x)
    stack = np.stack([np.cov(np.random.default_rng(seed).normal(size=(50, 5)).T) for seed in range(3)])
    found = basis.covariance(stack)
    for one, each in zip(found, stack, strict=True):
        np.testing.assert_allclose(one, basis.covariance(each), rtol=1e-12)


def test_rows_may_lack_different_coefficients(x):
    basis = basis_of(x)
    gamma = np.random.default_rng(2).normal(size=(3, 5))
    gamma[0, 1] = gamma[1, 3] = np.nan
    np.testing.assert_allclose(basis.coefficients(gamma), [basis.coefficients(row) for row in gamma], rtol=1e-12)
    assert np.isnan(basis.coefficients(gamma)).sum() == 2


def test_moments_along_a_direction_are_those_of_one_coefficient():
    score, gradient = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    sums = Moments(5, 5.0, -1.0, score, np.diag([1.0, 2.0, 3.0]), pearson_gradient=gradient)
    along = sums.along(np.array([[1.0], [1.0], [0.0]]))
    assert (along.score.item(), along.information.item(), along.pearson_gradient.item()) == (3.0, 3.0, 9.0)
    assert replace(sums, pearson_gradient=None).along(np.eye(3)).pearson_gradient is None
