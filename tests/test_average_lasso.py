"""Against the naive averages of statsmodels' distributed estimation."""

import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from lasso_reference import glm_lasso, sparse_data, with_constant
from statsmodels.base.distributed_estimation import (
    DistributedModel,
    _est_regularized_naive,
    _est_unregularized_naive,
    _join_naive,
)
from support_sparse import in_blocks

from dask_onestep import AverageLasso, DebiasedLasso, GLMClassifier, GLMRegressor

FAMILIES = {"gaussian": sm.families.Gaussian(), "binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}


def _statsmodels(x, y, K, family, estimate, fit_kwds, threshold):
    parts = zip(np.array_split(y, K), np.array_split(x, K), strict=True)
    model = DistributedModel(
        K,
        model_class=sm.GLM,
        init_kwds={"family": FAMILIES[family]},
        estimation_method=estimate,
        join_method=_join_naive,
        join_kwds={"threshold": threshold},
    )
    return model.fit(parts, fit_kwds=fit_kwds).params


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_equals_statsmodels_with_a_penalty(family, threshold):
    x, y, _ = sparse_data(400, 5, family, correlation=0.1, active=2)
    fit_kwds = {"alpha": 0.05, "cnvrg_tol": 1e-13, "maxiter": 2000}
    expected = _statsmodels(x, y, 4, family, _est_regularized_naive, fit_kwds, threshold)
    X, Y, _ = in_blocks(x, y, 4)
    method = AverageLasso(0.05, weights="equal", threshold=threshold, tol=1e-12)
    glm = GLMRegressor(family, method=method, fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(glm.coef_, expected, atol=1e-6)
    assert (np.abs(glm.coef_[glm.coef_ != 0]) >= threshold).all()
    assert (np.abs(glm.estimate_.average_coef[glm.coef_ == 0]) <= threshold).all()
    assert (glm.coef_ == 0).sum() >= 2 or threshold == 0


@pytest.mark.parametrize("family", list(FAMILIES))
def test_equals_statsmodels_without_a_penalty(family):
    x, y, _ = sparse_data(400, 5, family)
    design = with_constant(x)
    expected = _statsmodels(design, y, 4, family, _est_unregularized_naive, {}, 0.0)
    X, Y, _ = in_blocks(x, y, 4)
    glm = GLMRegressor(family, method=AverageLasso(0.0, weights="equal")).fit(X, Y)
    np.testing.assert_allclose(glm.estimate_.coef, expected, atol=1e-6)


@pytest.mark.parametrize("weights", ["size", "equal"])
def test_blocks_count_by_size_or_as_one(weights):
    x, y, _ = sparse_data(300, 4)
    sizes = (60, 240)
    X, Y = da.from_array(x, chunks=(sizes, (4,))), da.from_array(y, chunks=(sizes,))
    glm = GLMRegressor(method=AverageLasso(0.1, weights=weights)).fit(X, Y)
    alpha = np.r_[0.0, np.full(4, 0.1)]
    each = [glm_lasso(with_constant(x[s]), y[s], alpha, "gaussian") for s in (slice(60), slice(60, None))]
    share = (0.2, 0.8) if weights == "size" else (0.5, 0.5)
    np.testing.assert_allclose(glm.estimate_.coef, share[0] * each[0] + share[1] * each[1], atol=1e-7)


def test_no_covariance_is_claimed():
    x, y, _ = sparse_data(200, 3)
    glm = GLMRegressor(method="average-lasso").fit(x, y)
    assert np.isnan(glm.covariance_).all()
    assert glm.n_passes_ == 1
    with pytest.raises(ValueError, match="AverageLasso does not estimate a covariance"):
        glm.wald_test("x0")
    assert "nan" in str(glm.summary())


def test_classifier_and_lazy_fit():
    x, y, _ = sparse_data(300, 4, "binomial")
    X, Y, _ = in_blocks(x, y.astype(int), 3)
    glm = GLMClassifier(method=AverageLasso(0.05))
    lazy = glm.fit_delayed(X, Y).compute()
    np.testing.assert_array_equal(lazy.coef_, glm.fit(X, Y).coef_)
    assert glm.n_passes_ == 2


def test_aliased_columns_without_a_penalty_are_named():
    x, y, _ = sparse_data(100, 3)
    x[:, 2] = x[:, 0]
    with pytest.raises(ValueError, match=r"unpenalized columns are aliased: x2.*In block 0"):
        GLMRegressor(method=AverageLasso(0.0)).fit(x, y)


def test_parameters_of_both_methods_can_be_searched():
    glm = GLMRegressor(method="debiased-lasso").set_params(method__alpha=0.2)
    assert glm.method.alpha == 0.2
    assert isinstance(glm.method, DebiasedLasso)


@pytest.mark.filterwarnings("ignore:The blocks are too small")
def test_average_of_debiased_lassos_is_nearer_than_the_naive_average():
    for family in FAMILIES:
        for n, p, K in ((2000, 20, 4), (4000, 40, 4), (4000, 20, 10)):
            x, y, coef = sparse_data(n, p, family, active=5, seed=n + p + K)
            X, Y, _ = in_blocks(x, y, K)
            naive = GLMRegressor(family, method=AverageLasso(0.05)).fit(X, Y)
            debiased = GLMRegressor(family, method=DebiasedLasso(0.05)).fit(X, Y)
            assert np.linalg.norm(debiased.coef_ - coef) < np.linalg.norm(naive.coef_ - coef)


def test_means_that_overflow_on_the_way_lead_to_the_optimality_conditions():
    x = np.column_stack([np.arange(7) % 2, [-1.3, -0.48, 0.19, 0.33, 0.58, 0.74, 1.42]])
    y = np.array([1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0])
    offset = np.array([-13.81, 5.55, -10.19, -5.47, -20.67, -25.04, 11.06])
    glm = GLMRegressor("poisson", method=AverageLasso(0.1)).fit(x, y, offset=offset)
    residual = y - np.exp(glm.intercept_ + x @ glm.coef_ + offset)
    assert (glm.coef_ != 0).all()
    np.testing.assert_allclose(residual.mean(), 0.0, atol=1e-5)
    np.testing.assert_allclose(residual @ x / 7, 0.1 * np.sign(glm.coef_), atol=1e-5)
