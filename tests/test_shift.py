"""Lassos of uncentered columns, against the reference formulas on columns about their means and on exact numbers."""

import warnings
from functools import partial

import numpy as np
import pytest
from lasso_reference import debiased, glm_lasso, paper, sparse_data, with_constant
from scipy import sparse
from support_sparse import in_blocks

from dask_onestep import AverageLasso, DebiasedLasso, GLMRegressor
from dask_onestep.exceptions import CoverageWarning, PrecisionWarning, RoughInverseWarning
from dask_onestep.families import Gaussian
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.lassos.nodewise import approximate_inverse, nodewise_rows
from dask_onestep.kernels.lassos.shift import coefficients_about, column_shift, gram_about, rows_about, score_about
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.matrices.columns import CodedColumns
from dask_onestep.kernels.model import Model
from dask_onestep.links import resolve_link

FAMILIES = ["gaussian", "binomial", "poisson"]


def _fit(x, y, family, K, method, **parts):
    X, Y, parts = in_blocks(x, y, K, **parts)
    return _of(X, Y, family, method, **parts)


def _of(X, Y, family, method, **parts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        warnings.simplefilter("ignore", RoughInverseWarning)
        return GLMRegressor(family, method=method).fit(X, Y, **parts)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("far", [2019.0, 1e6, 1.7e9])
def test_local_lassos_are_those_of_columns_about_their_means(family, far):
    x, y, _ = sparse_data(400, 4, family, seed=1)
    alpha, away = np.r_[0.0, np.full(4, 0.05)], np.array([far, 0.0, -far, 0.0])
    # What the column keeps of its digits after its mean is what both are given.
    x = (x + away) - away
    expected = np.mean([glm_lasso(with_constant(x[s]), y[s], alpha, family) for s in (slice(200), slice(200, 400))], 0)
    glm = _fit(x + away, y, family, 2, AverageLasso(0.05, tol=1e-13))
    np.testing.assert_allclose(glm.coef_, expected[1:], atol=1e-7)
    assert glm.intercept_ + away @ glm.coef_ == pytest.approx(expected[0], abs=1e-7 + 1e-15 * far)
    assert glm.estimate_.converged


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "method", [paper, partial(paper, weights="equal"), DebiasedLasso], ids=["paper", "equal weights", "pooled"]
)
def test_debiased_coefficients_and_errors_do_not_see_where_zero_is(family, method):
    x, y, _ = sparse_data(600, 4, family, seed=2)
    method = method(0.05, tol=1e-12)
    near = _fit(x, y, family, 3, method)
    far = _fit(x + np.array([0, 1e7, 0, -2e6]), y, family, 3, method)
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-7)
    np.testing.assert_allclose(far.covariance_[1:, 1:], near.covariance_[1:, 1:], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_formulas_of_columns_as_they_are(family):
    # So far that blocks shift the columns, and near enough for the reference to keep its digits.
    x, y, _ = sparse_data(240, 5, family)
    x = x + np.array([0, 40, -300, 0, 25])
    blocks = [(with_constant(bx), by) for bx, by in zip(np.array_split(x, 3), np.array_split(y, 3), strict=True)]
    alpha = np.r_[0.0, np.linspace(0.05, 0.15, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        centred = [(b - np.r_[0, x.mean(axis=0)], by) for b, by in blocks]
        lassos = [glm_lasso(bx, by, alpha, family) for bx, by in centred]
    method = paper(alpha[1:], weights="equal", tol=1e-13)
    estimate = _fit(x, y, family, 3, method).estimate_
    average = np.mean(lassos, axis=0)
    average[0] -= x.mean(axis=0) @ average[1:]
    np.testing.assert_allclose(estimate.average_coef, average, atol=1e-5)
    if family == "gaussian":
        _, average, gradient, theta = debiased(blocks, alpha, family)
        # Of columns far from zero the intercept's row follows from the others.
        gram = np.mean([bx.T @ bx / len(bx) for bx, _ in blocks], axis=0)
        theta[0] = (np.eye(6)[0] - gram[0, 1:] @ theta[1:]) / gram[0, 0]
        np.testing.assert_allclose(estimate.gradient, gradient, atol=1e-5)
        np.testing.assert_allclose(estimate.inverse_covariance, theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(estimate.coef, average + theta @ gradient, rtol=1e-5, atol=1e-5)


def test_blocks_apart_are_pooled_about_a_common_value():
    # A trend, so that no block's mean is another's, and one block lies near 0.
    x, y, _ = sparse_data(900, 4)
    x[:, 1] += np.repeat([0.0, 1e5, 2e5], 300)
    x[:, 2] += 3e7
    y = y + 1e-5 * x[:, 1]
    pooled = _fit(x, y, "gaussian", 3, DebiasedLasso(0.02, nodewise_alpha=0.02, steps=1, tol=1e-12))
    centred = x - x.mean(axis=0)
    alpha = np.r_[0.0, np.full(4, 0.02)]
    theta = debiased([(with_constant(centred), y)], alpha, "gaussian")[3]
    np.testing.assert_allclose(pooled.estimate_.inverse_covariance[1:, 1:], theta[1:, 1:], rtol=1e-6, atol=1e-10)
    gram = with_constant(centred).T @ with_constant(centred) / 900
    expected = pooled.dispersion_ * theta @ gram @ theta.T / 900
    np.testing.assert_allclose(pooled.covariance_[1:, 1:], expected[1:, 1:], rtol=1e-6, atol=1e-12)


def test_further_rounds_take_scores_about_the_same_value():
    x, y, _ = sparse_data(600, 4, "poisson", seed=3)
    method = DebiasedLasso(0.05, nodewise_alpha=0.0, tol=1e-13)
    near, far = _fit(x, y, "poisson", 2, method), _fit(x + np.array([0, 1e6, 0, 0]), y, "poisson", 2, method)
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-7)
    np.testing.assert_allclose(far.covariance_[1:, 1:], near.covariance_[1:, 1:], rtol=1e-6)
    np.testing.assert_allclose(far.predict(x + np.array([0, 1e6, 0, 0])), near.predict(x), rtol=1e-6)


def test_a_year_needs_no_excuse():
    # Two thousand years, and a thousandth of one between the rows.
    x, y, _ = sparse_data(2000, 3)
    year = np.column_stack([2019 + 1e-3 * x[:, 0], x[:, 1:]])
    near, far = (_fit(part, y, "gaussian", 4, DebiasedLasso()) for part in (x, year))
    np.testing.assert_allclose(far.coef_ * [1e-3, 1, 1], near.coef_, atol=1e-6)


@pytest.mark.parametrize("kind", ["weights", "sparse", "integers"])
def test_weights_sparse_blocks_and_integers(kind):
    x, y, _ = sparse_data(600, 4)
    method = DebiasedLasso(0.05)
    if kind == "weights":
        weights = np.where(np.arange(600) % 3 == 0, 0.0, np.random.default_rng(0).uniform(0.5, 2, 600))
        away = np.where(weights[:, None] > 0, [1e7, 0, 0, 0], 0.0)
        near = _fit(x, y, "gaussian", 2, method, sample_weight=weights)
        far = _fit(x + away, y, "gaussian", 2, method, sample_weight=weights)
    elif kind == "sparse":
        # A sparse column has a mean of the size of its spread; a full one in a sparse block is as it would be densely.
        x[:, 1:] *= np.random.default_rng(0).random((600, 3)) < 0.1
        x[:, 0] += 1e3
        X, Y, _ = in_blocks(x, y, 2)
        near, far = _of(X, Y, "gaussian", method), _of(X.map_blocks(sparse.csr_array), Y, "gaussian", method)
    else:
        x = np.round(1000 * x).astype(np.int64)
        near, far = (_fit(x + np.array([s, 0, 0, 0]), y, "gaussian", 2, method) for s in (0, 10**9))
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-7)


def test_columns_without_digits_left_are_named():
    x, y, _ = sparse_data(400, 3)
    with pytest.warns(PrecisionWarning, match=r"x1 \(about 1e\+14\); .* changes predictions by .*\. Center these"):
        _fit(x + np.array([0, 1e14, 0]), y, "gaussian", 2, AverageLasso(0.01))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_intercept_of_columns_far_from_zero_does_not_see_where_zero_is(family, steps):
    x, y, _ = sparse_data(600, 3, family)
    away = np.array([0, 1e4, 0]), np.array([3e4, 1e4, -1e3])
    near, far = (_fit(x + shift, y, family, 3, paper(0.05, tol=1e-12, steps=steps)) for shift in away)
    np.testing.assert_allclose(far.predict(x + away[1]), near.predict(x + away[0]), rtol=1e-5)
    centres = [np.r_[1.0, x.mean(axis=0) + shift] for shift in away]
    errors = [np.sqrt(c @ glm.covariance_ @ c) for c, glm in zip(centres, (near, far), strict=True)]
    assert errors[1] == pytest.approx(errors[0], rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_the_constants_row_is_that_of_the_inverse_given_the_others(alpha):
    design = with_constant(sparse_data(300, 5, seed=4)[0] + 0.3)
    gram = design.T @ design / 300
    rows = nodewise_rows(gram, range(1, 6), np.r_[0.0, np.full(5, alpha)])
    theta = approximate_inverse(rows.with_constant(gram))
    if not alpha:
        np.testing.assert_allclose(theta @ gram, np.eye(6), atol=1e-9)
    # With an unpenalized constant no row of the others is changed by it, nor its own by where zero is.
    move = np.eye(6) + np.outer(np.eye(6)[0], np.r_[0.0, 1.0, -2.0, 0.0, 3.0, 0.5])
    moved = nodewise_rows(move.T @ gram @ move, range(1, 6), np.r_[0.0, np.full(5, alpha)])
    again = approximate_inverse(moved.with_constant(move.T @ gram @ move))
    np.testing.assert_allclose(move @ again @ move.T, theta, atol=1e-8)


def test_what_is_turned_about_is_that_of_the_columns():
    x, y, _ = sparse_data(100, 3)
    shift, coef = np.array([0.0, 3.0, 0.0, -2.0]), np.array([0.5, 1.0, 2.0, 3.0])
    raw, moved = with_constant(x), with_constant(x - shift[1:])
    np.testing.assert_allclose(moved @ coefficients_about(coef, shift), raw @ coef, rtol=1e-12)
    np.testing.assert_allclose(score_about(raw.T @ y, shift), moved.T @ y, rtol=1e-9)
    np.testing.assert_allclose(gram_about(raw.T @ raw, shift), moved.T @ moved, rtol=1e-9, atol=1e-9)


def test_ordinary_columns_are_neither_copied_nor_moved():
    x, y, _ = sparse_data(100, 3)
    rows = Rows(x + 2.0, y)
    shift = column_shift(rows, Model(OnePredictor(Gaussian(), resolve_link("identity")), ("a", "b", "c")))
    assert not shift.any()
    assert rows_about(rows, shift) is rows


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_rows_of_which_a_stored_column_is_shifted(moved):
    codes = np.array([0, 1, 2, 1, 0], dtype=np.int32)
    columns = CodedColumns((codes, codes), (2, 2), (np.arange(1.0, 6.0), None))
    x = SplitMatrix(np.arange(5.0)[:, None], columns, np.array([2]), np.array([0, 1, 3, 4]))
    shift = np.zeros(6)
    shift[1 + x.stored_at[moved]] = 7.0
    found = rows_about(Rows(x, np.zeros(5)), shift).x
    np.testing.assert_array_equal(found.toarray(), x.toarray() - shift[1:])
