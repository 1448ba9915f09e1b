"""The negative binomial's α, estimated: against statsmodels' own negative binomial."""

import numpy as np
import pytest
import statsmodels.api as sm
from oracle import blocks, simulate, weights_for

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.families import NegativeBinomial, Poisson
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.overdispersion import alpha_sums, with_alpha
from dask_onestep.links import LINKS

ESTIMATED = NegativeBinomial(alpha="estimate")


def simulated(n=1200, alpha=0.7, seed=0):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.normal(size=(n, 2)), axis=0)
    x[:, 1] = rng.permuted(x[:, 1])
    mean = np.exp(0.8 + x @ [0.4, -0.3])
    return x, rng.negative_binomial(1 / alpha, 1 / (1 + alpha * mean)).astype(float)


def oracle(x, y, **named):
    fit = sm.NegativeBinomial(y, sm.add_constant(x), loglike_method="nb2", **named)
    fit = fit.fit(method="newton", disp=0, maxiter=200, tol=1e-13, start_params=[0.8, 0.4, -0.3, 0.7])
    return fit.params[:-1], fit.params[-1], fit.llf


@pytest.mark.parametrize("offset", [False, True])
def test_mle_is_that_of_statsmodels(offset):
    x, y = simulated()
    shift = np.random.default_rng(5).uniform(-0.3, 0.3, len(y)) if offset else None
    coef, alpha, llf = oracle(x, y, offset=shift)
    lazy = blocks(x, y, shift, rows=500)
    glm = GLMRegressor(ESTIMATED, method=MLE()).fit(lazy[0], lazy[1], offset=lazy[2])
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], coef, rtol=1e-6)
    np.testing.assert_allclose(glm.family_.alpha, alpha, rtol=1e-6)
    # Standard errors are those of a GLM at this α, as R's glm.nb has them.
    fixed = sm.GLM(y, sm.add_constant(x), sm.families.NegativeBinomial(alpha=alpha), offset=shift).fit(tol=1e-13)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), fixed.bse, rtol=1e-5)
    np.testing.assert_allclose(glm.fit_statistics(lazy[0], lazy[1], offset=lazy[2]).llf, llf, rtol=1e-9)


def test_one_step_on_sorted_blocks_is_near_it():
    x, y = simulated(12_000)
    coef, alpha, _ = oracle(x, y)
    glm = GLMRegressor(ESTIMATED, method=OneStep(pilot_size=1500)).fit(*blocks(x, y, rows=1500))
    errors = np.sqrt(np.diag(glm.covariance_))
    assert (np.abs(np.r_[glm.intercept_, glm.coef_] - coef) / errors).max() < 0.1
    # The standard error of α is about 0.018 here, and the pilot's own three times that.
    assert abs(glm.family_.alpha - alpha) < 0.004
    assert glm.n_passes_ == 5
    other = GLMRegressor(NegativeBinomial(alpha=2.0), method=OneStep(pilot_size=1500)).fit(*blocks(x, y, rows=1500))
    assert not np.allclose(other.covariance_, glm.covariance_, rtol=0.1)


def test_weights_stand_for_rows():
    x, y = simulated()
    weights = weights_for("frequency", len(y))
    times = weights.astype(int)
    short = GLMRegressor(ESTIMATED, method=MLE(), weight_type="frequency").fit(x, y, sample_weight=weights)
    long = GLMRegressor(ESTIMATED, method=MLE()).fit(np.repeat(x, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(short.family_.alpha, long.family_.alpha, rtol=1e-7)
    np.testing.assert_allclose(short.covariance_, long.covariance_, rtol=1e-6)


def test_counts_that_are_not_overdispersed_end_at_poisson():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    y = rng.binomial(20, 1 / (1 + np.exp(-0.3 * x[:, 0]))).astype(float)
    with pytest.warns(UserWarning, match="not overdispersed"):
        glm = GLMRegressor(ESTIMATED, method=MLE()).fit(x, y)
    poisson = GLMRegressor(Poisson(), method=MLE()).fit(x, y)
    np.testing.assert_allclose(glm.coef_, poisson.coef_, rtol=1e-5)


def test_derivatives_in_alpha():
    x, y = simulated(60)
    model, rows = Model(OnePredictor(ESTIMATED, LINKS["log"]), ("a", "b")), Rows(x, y, np.linspace(0.5, 2, 60))
    coef = np.array([0.7, 0.3, -0.2])
    for t in (-1.0, 0.3, 2.0):
        step = 1e-5
        up, down = (alpha_sums(rows, model, np.append(coef, t + s)) for s in (step, -step))
        here = alpha_sums(rows, model, np.append(coef, t))
        np.testing.assert_allclose(here.score, (up.moments.loglik - down.moments.loglik) / (2 * step), rtol=1e-6)
        np.testing.assert_allclose(here.curvature, (down.score - up.score) / (2 * step), rtol=1e-6)
    assert with_alpha(model, 0.0).family == NegativeBinomial(1.0)


def test_what_it_refuses():
    x, y, _ = simulate("poisson", "log")
    with pytest.raises(ValueError, match="or 'estimate'"):
        NegativeBinomial(alpha="auto")
    with pytest.raises(ValueError, match="must look between passes"):
        GLMRegressor(ESTIMATED).fit_delayed(*blocks(x, y))
