"""The global MLE against statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.exceptions import ConvergenceWarning
from support import chunked, raise_if_dask_computes

from dask_onestep import MLE, GLMClassifier, GLMRegressor, Pilot
from dask_onestep.datasets import make_glm

SIZES = (700, 1, 299, 0, 1000)
FAMILIES = {
    "gaussian": sm.families.Gaussian(),
    "binomial": sm.families.Binomial(),
    "poisson": sm.families.Poisson(),
}


def raw_table(family, seed=0):
    """Return covariates in their own units, and responses: a year, dollars, a share, a dummy."""
    rng = np.random.default_rng(seed)
    rows = sum(SIZES)
    x = np.c_[
        rng.integers(2010, 2020, rows),
        rng.lognormal(7.5, 0.7, rows),
        rng.uniform(0, 0.02, rows),
        rng.integers(0, 2, rows),
    ]
    eta = -0.4 + (x - [2015, 2000, 0.01, 0.5]) @ [0.05, 2e-4, 20.0, 0.3]
    if family == "gaussian":
        return x, 5e4 + 1e3 * (eta + rng.normal(size=rows))
    mean = 1 / (1 + np.exp(-eta)) if family == "binomial" else np.exp(eta)
    return x, (rng.binomial(1, mean) if family == "binomial" else rng.poisson(mean)).astype(float)


def reference_fit(x, y, family, **options):
    """Return statsmodels' fit of the standardized columns, in the raw columns' units.

    statsmodels' own numbers lose digits on raw columns, and are no second source there.
    """
    center, scale = x.mean(axis=0), x.std(axis=0)
    fit = sm.GLM(y, sm.add_constant((x - center) / scale), FAMILIES[family], **options).fit(tol=1e-15, maxiter=100)
    back = np.diag(np.r_[1.0, 1 / scale])
    back[0, 1:] = -center / scale
    return back @ fit.params, back @ fit.cov_params() @ back.T, fit


@pytest.mark.parametrize("start", ["pilot", None])
@pytest.mark.parametrize("family", FAMILIES)
def test_raw_columns_agree_with_statsmodels(synchronous, family, start):
    x, y = raw_table(family)
    design = np.c_[np.ones(len(x)), x]
    assert np.linalg.cond(design) ** 2 > 1e7
    glm = GLMRegressor(family, method=MLE(start)).fit(chunked(x, SIZES), chunked(y, SIZES))
    coef, covariance, fit = reference_fit(x, y, family)
    np.testing.assert_allclose(glm.estimate_.coef, coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), np.sqrt(np.diag(covariance)), rtol=1e-6)
    np.testing.assert_allclose(glm.dispersion_, fit.scale, rtol=1e-8)
    if family != "gaussian":
        np.testing.assert_allclose(glm.estimate_.loglik, fit.llf, rtol=1e-11)
    assert glm.estimate_.converged
    assert glm.decrement_ <= 1e-16 * 5 * glm.dispersion_ + 1e-11


@pytest.mark.parametrize("family", FAMILIES)
def test_a_condition_number_near_1e8(synchronous, family):
    # X'WX itself, after its columns are brought to one scale: two columns correlate by 1 − 4e-8.
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 2))
    x[:, 1] = x[:, 0] + 2.2e-4 * x[:, 1]
    eta = 0.2 + 0.5 * x[:, 0]
    y = {
        "gaussian": lambda: eta + rng.normal(size=2000),
        "binomial": lambda: rng.binomial(1, 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
    }[family]()
    glm = GLMRegressor(family, method="mle").fit(chunked(x, SIZES), chunked(y, SIZES))
    assert 2e7 < np.linalg.cond(np.linalg.inv(glm.covariance_)) < 5e8
    # The same model in columns that do not correlate: the sum, and the difference in units of its own.
    turned = np.c_[x[:, 0], (x[:, 1] - x[:, 0]) / 2.2e-4]
    back = np.array([[1, 0, 0], [0, 1, -1 / 2.2e-4], [0, 0, 1 / 2.2e-4]])
    fit = sm.GLM(y, sm.add_constant(turned), FAMILIES[family]).fit(tol=1e-15, maxiter=100)
    errors = np.sqrt(np.diag(back @ fit.cov_params() @ back.T))
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), errors, rtol=1e-6)
    # To κ·ε, about 2e-8, of a coefficient, or of the standard error where the coefficient is within its noise.
    gap = np.abs(glm.estimate_.coef - back @ fit.params)
    share = glm.estimate_.condition * np.finfo(float).eps
    assert share < 3e-8
    assert (gap <= share * np.maximum(np.abs(back @ fit.params), errors)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_offset_and_no_intercept(synchronous, family):
    rng = np.random.default_rng(2)
    x, y, _ = make_glm(2000, 3, family=family)
    x, y = x.compute(), y.compute()
    weights, offset = rng.uniform(0.2, 3, 2000), rng.normal(size=2000) * 0.3
    glm = GLMRegressor(family, method="mle", fit_intercept=False)
    parts = [chunked(part, SIZES) for part in (x, y, weights, offset)]
    glm.fit(*parts[:2], sample_weight=parts[2], offset=parts[3])
    fit = sm.GLM(y, x, FAMILIES[family], var_weights=weights, offset=offset).fit(tol=1e-15, maxiter=100)
    np.testing.assert_allclose(glm.coef_, fit.params, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), fit.bse, rtol=1e-6)


def test_the_same_answer_on_every_scheduler(scheduler):
    x, y = raw_table("binomial")
    glm = GLMClassifier(method="mle").fit(chunked(x, SIZES), chunked(y, SIZES))
    coef, *_ = reference_fit(x, y, "binomial")
    np.testing.assert_allclose(glm.estimate_.coef, coef, rtol=1e-8)


@pytest.mark.parametrize(("start", "before"), [("pilot", 1), (None, 2)])
def test_passes_are_counted(loads, threads, start, before):
    table = loads.array()
    glm = GLMClassifier(method=MLE(start)).fit(table[:, 1:], table[:, 0])
    assert loads.per_block() == [glm.n_passes_] * 4
    assert glm.n_passes_ == before + glm.n_iter_ + 1


def test_a_robust_covariance_takes_one_pass_more(loads, threads):
    table = loads.array()
    plain = GLMClassifier(method="mle").fit(table[:, 1:], table[:, 0])
    loads.per_block()
    robust = GLMClassifier(method="mle", cov_type="HC1").fit(table[:, 1:], table[:, 0])
    assert loads.per_block() == [robust.n_passes_] * 4
    assert robust.n_passes_ == plain.n_passes_ + 1
    np.testing.assert_array_equal(robust.coef_, plain.coef_)
    assert (robust.covariance_ != plain.covariance_).any()


def test_the_tolerance_and_the_limit_are_used(threads):
    x, y, _ = make_glm(2000, 3, family="poisson", chunks=500)
    loose = GLMRegressor("poisson", method=MLE(None, tol=1.0)).fit(x, y)
    tight = GLMRegressor("poisson", method=MLE(None)).fit(x, y)
    assert loose.n_iter_ < tight.n_iter_
    assert loose.decrement_ > tight.decrement_
    with pytest.warns(
        ConvergenceWarning, match=r"did not converge in 1 step \(Newton decrement λ² = .*\); .* Increase max_iter"
    ):
        cut = GLMRegressor("poisson", method=MLE(None, max_iter=1)).fit(x, y)
    assert not cut.estimate_.converged


def test_the_seed_is_that_of_the_pilot(threads):
    x, y, _ = make_glm(20_000, 3, family="poisson", chunks=5000)
    fits = [GLMRegressor("poisson", method=MLE(random_state=seed, tol=1e-2)).fit(x, y) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)
    assert (fits[0].coef_ != fits[2].coef_).any()


def test_aliased_columns_are_those_that_statsmodels_gains_nothing_from(threads):
    x, y, _ = make_glm(1000, 2, family="poisson", chunks=300)
    table = x.compute()
    double = np.c_[table[:, 0], 2 * table[:, 0] - 1, table[:, 1]]
    sizes = (300, 300, 400)
    with pytest.warns(UserWarning, match=r"Coefficients of aliased columns are set to NaN: x1\."):
        glm = GLMRegressor("poisson", method="mle").fit(chunked(double, sizes), chunked(y.compute(), sizes))
    fit = sm.GLM(y.compute(), sm.add_constant(table), FAMILIES["poisson"]).fit(tol=1e-15)
    np.testing.assert_allclose(glm.estimate_.coef[[0, 1, 3]], fit.params, rtol=1e-8)
    assert np.isnan(glm.coef_[1])
    assert np.isnan(glm.covariance_[2]).all()
    np.testing.assert_allclose(glm.predict(double), fit.predict(), rtol=1e-8)


def test_building_the_first_pass_computes_nothing(loads):
    # fit_delayed refuses before anything is read.
    table = loads.array()
    with raise_if_dask_computes(), pytest.raises(ValueError, match="iterates until convergence"):
        GLMClassifier(method="mle").fit_delayed(table[:, 1:], table[:, 0])
    assert loads.per_block() == [0] * 4


def test_a_level_far_from_zero(threads):
    # y at 1e8 with a spread of 1: only rounding errors keep λ² above zero, which is no failure to converge.
    x, y, _ = make_glm(2000, 3, chunks=500)
    glm = GLMRegressor(method="mle").fit(x, y + 1e8)
    plain = GLMRegressor(method="mle").fit(x, y)
    assert glm.estimate_.converged
    np.testing.assert_allclose(glm.coef_, plain.coef_, rtol=1e-5)


@pytest.mark.parametrize("slope", [3.0, 12.0])
def test_a_start_that_is_worse_than_no_covariates_is_left(synchronous, slope):
    """One row that the pilot has not seen has a mean of e^(40·slope) at the pilot's estimate."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (12_000, 1))
    y = rng.poisson(np.exp(slope * x[:, 0] - slope + 1)).astype(float)
    x[5], y[5] = 40.0, 1.0
    pilot = GLMRegressor("poisson", method=Pilot()).fit(x, y)
    assert pilot.coef_[0] > 0.8 * slope
    glm = GLMRegressor("poisson", method=MLE()).fit(chunked(x, (4000,) * 3), chunked(y, (4000,) * 3))
    assert glm.decrement_ < 1e-10
    # The maximum is the only one, so that another library, started there, stays.
    found = glm.coef_table()["coef"].to_numpy()
    expected = sm.GLM(y, sm.add_constant(x), family=sm.families.Poisson()).fit(start_params=found, tol=1e-14)
    np.testing.assert_allclose(found, expected.params, rtol=1e-8)


def test_means_without_a_link_ask_for_another_start():
    x, y = np.arange(6.0)[:, None], [1.0, 2.0, -1.0, 3.0, 4.0, 6.0]
    with pytest.raises(ValueError, match=r"MLE\(start=None\) starts at means near each y, .*Use start='pilot'"):
        GLMRegressor("gaussian", "log", method=MLE(start=None)).fit(x, y)


def test_the_observed_information_saves_passes_of_a_misspecified_model(synchronous):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5000, 2))
    y = np.exp(0.4 * x[:, 0] ** 2 + 0.3 * x[:, 1]) * rng.gamma(1, 1, 5000)
    glm = GLMRegressor("gamma", "log", method=MLE()).fit(x, y)
    assert glm.n_passes_ < 10  # 51 by scoring steps, which converge linearly where the model is not true
    columns = sm.add_constant(x)
    score = columns.T @ (y / np.exp(columns @ np.r_[glm.intercept_, glm.coef_]) - 1)
    np.testing.assert_allclose(score, 0, atol=1e-6 * len(y))
