import glum
import numpy as np
import pytest
from lasso_reference import glm_lasso, sparse_data, with_constant

from dask_onestep.families import resolve_family
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos import lasso, proximal_newton
from dask_onestep.kernels.lassos.lasso import fit_lasso, fit_null, fit_scaled_lasso, remainder
from dask_onestep.kernels.lassos.penalty import Penalty, penalty_level
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.links import resolve_link


def _model(p, family, intercept=True, link=None):
    law = resolve_family(family)
    return Model(OnePredictor(law, resolve_link(link or law.default_link)), tuple(f"x{j}" for j in range(p)), intercept)


def _fit(x, y, alpha, family, *, intercept=True, l1_ratio=1.0, weights=None, offset=None):
    rows, model = Rows(x, y, weights, offset), _model(x.shape[1], family, intercept)
    alphas = np.full(x.shape[1] + intercept, alpha) if np.isscalar(alpha) else alpha.copy()
    alphas[: int(intercept)] = 0.0
    null = fit_null(rows, model)
    return fit_lasso(rows, model, Penalty.of(alphas, l1_ratio), null, tol=1e-12), rows, model


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("intercept", [True, False])
def test_equals_reweighted_lassos_on_the_rows(family, intercept):
    x, y, _ = sparse_data(300, 8, family)
    fit, _, _ = _fit(x, y, 0.06, family, intercept=intercept)
    design = with_constant(x) if intercept else x
    alpha = np.full(design.shape[1], 0.06)
    alpha[: int(intercept)] = 0.0
    np.testing.assert_allclose(fit.coef, glm_lasso(design, y, alpha, family), atol=1e-7)
    assert fit.converged
    assert fit.kkt < 1e-8
    assert (fit.coef == 0).any()


@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("intercept", [True, False])
def test_steps_on_few_columns_reach_the_lasso_of_all(family, intercept, monkeypatch):
    x, y, _ = sparse_data(400, 40, family)
    widths = []

    def counted(rows, model, coef):
        widths.append(len(coef))
        return moments(rows, model, coef)

    monkeypatch.setattr(lasso, "moments", counted)
    monkeypatch.setattr(proximal_newton, "moments", counted)
    fit, rows, model = _fit(x, y, 0.08, family, intercept=intercept)
    # The Gram matrix of all columns is taken once, at the solution.
    assert widths.count(40 + intercept) == 1
    assert len(widths) > 1
    design = with_constant(x) if intercept else x
    alpha = np.full(design.shape[1], 0.08)
    alpha[: int(intercept)] = 0.0
    np.testing.assert_allclose(fit.coef, glm_lasso(design, y, alpha, family), atol=1e-7)
    assert fit.converged
    # It goes with the root of the gap, here of 1e-15.
    assert fit.kkt < 1e-7
    np.testing.assert_array_equal(fit.moments.information, moments(rows, model, fit.coef).information)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson", "gamma"])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4, 0.0])
def test_equals_glum_with_weights_and_offset(family, l1_ratio):
    source = "gaussian" if family == "gamma" else family
    x, y, _ = sparse_data(400, 6, source)
    if family == "gamma":
        y = np.exp(y / 2)
    rng = np.random.default_rng(1)
    weights, offset = rng.uniform(0.5, 2.0, 400), rng.uniform(-0.3, 0.3, 400)
    link = {"gaussian": "identity", "binomial": "logit"}.get(family, "log")
    rows, model = Rows(x, y, weights, offset), _model(6, family, link=link)
    alphas = np.r_[0.0, rng.uniform(0.02, 0.1, 6)]
    fit = fit_lasso(rows, model, Penalty.of(alphas, l1_ratio), fit_null(rows, model), tol=1e-12)
    # glum's own l1_ratio cannot be 0 with a vector: its penalties are given apart.
    reference = glum.GeneralizedLinearRegressor(
        family=family if family != "gaussian" else "normal",
        link=link,
        alpha=1.0,
        l1_ratio=0.5,
        P1=2 * l1_ratio * alphas[1:],
        P2=2 * (1 - l1_ratio) * alphas[1:],
        gradient_tol=1e-10,
        max_iter=1000,
        solver="irls-cd",
    ).fit(x, y, sample_weight=weights, offset=offset)
    np.testing.assert_allclose(fit.coef[1:], reference.coef_, atol=2e-6)
    np.testing.assert_allclose(fit.coef[0], reference.intercept_, atol=2e-6)


def test_moments_of_the_normal_law_are_those_of_a_second_reading():
    x, y, _ = sparse_data(300, 6)
    fit, rows, model = _fit(x, y + 50.0, 0.05, "gaussian", offset=np.linspace(-1, 1, 300))
    again = moments(rows, model, fit.coef)
    for name in ("loglik", "score", "information", "pearson", "pearson_gradient"):
        np.testing.assert_allclose(getattr(fit.moments, name), getattr(again, name), rtol=1e-9, atol=1e-8)


def test_scaled_lasso_is_a_fixed_point_of_the_noise_it_leaves():
    x, y, _ = sparse_data(400, 10)
    rows, model = Rows(x, y), _model(10, "gaussian")
    fit = fit_scaled_lasso(rows, model, 1.0, fit_null(rows, model))
    residual = y - with_constant(x) @ fit.coef
    sigma = np.sqrt(np.mean(residual**2))
    expected = penalty_level(400, 10) * sigma * x.std(axis=0)
    np.testing.assert_allclose(fit.penalty.alpha[1:], expected, rtol=1e-3)
    assert fit.penalty.alpha[0] == 0.0


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_automatic_penalty_follows_the_units(family):
    x, y, _ = sparse_data(400, 5, family)
    units = np.array([1.0, 100.0, 0.01, 5.0, 1.0])
    plain = fit_scaled_lasso(Rows(x, y), _model(5, family), 1.0, fit_null(Rows(x, y), _model(5, family)))
    other = fit_scaled_lasso(Rows(x * units, y), _model(5, family), 1.0, fit_null(Rows(x, y), _model(5, family)))
    np.testing.assert_allclose(other.coef[1:] * units, plain.coef[1:], atol=1e-6)


def test_no_penalty_is_the_mle():
    x, y, _ = sparse_data(500, 4, "binomial")
    fit, _, _ = _fit(x, y, 0.0, "binomial")
    np.testing.assert_allclose(fit.coef, fit_rows(Rows(x, y), _model(4, "binomial")).coef, atol=1e-7)


def test_a_response_of_one_value_has_no_null_model():
    assert fit_null(Rows(np.ones((5, 1)), np.ones(5)), _model(1, "binomial")) is None
    assert fit_null(Rows(np.ones((5, 1)), np.zeros(5)), _model(1, "poisson")) is None


def test_too_few_sweeps_are_reported():
    x, y, _ = sparse_data(100, 30, correlation=0.95)
    rows, model = Rows(x, y), _model(30, "gaussian")
    fit = fit_lasso(rows, model, Penalty.of(np.r_[0.0, np.full(30, 1e-4)], 1.0), fit_null(rows, model), max_iter=1)
    assert not fit.converged
    assert fit.gap > 1e-10


def test_remainder_is_what_the_quadratic_misses():
    x, y, _ = sparse_data(400, 5, "poisson", size=0.8)
    fit, rows, model = _fit(x, y, 0.3, "poisson")
    kept = fit.coef != 0
    move = np.zeros(6)
    move[kept] = np.linalg.solve(fit.moments.information[np.ix_(kept, kept)], fit.moments.score[kept])
    design = with_constant(x)
    exact = design.T @ (y - np.exp(design @ (fit.coef + move)))
    expected = exact - (fit.moments.score - fit.moments.information @ move)
    np.testing.assert_allclose(remainder(rows, model, fit), expected, atol=1e-8)
    assert np.abs(expected).max() > 1
    gaussian, rows, model = _fit(x, y, 0.3, "gaussian")
    assert not remainder(rows, model, gaussian).any()
