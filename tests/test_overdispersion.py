"""The negative binomial's α, estimated: against statsmodels' own negative binomial."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
import statsmodels.api as sm
from oracle import blocks, simulate, weights_for
from r import data_of_r, figure_of_r, quine

from dask_onestep import MLE, GLMRegressor, OneStep, moments
from dask_onestep.exceptions import AliasingWarning, OverdispersionWarning
from dask_onestep.families import NegativeBinomial, Poisson
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.overdispersion import BOUNDS, alpha_sums, with_alpha
from dask_onestep.links import LINKS
from dask_onestep.methods.overdispersion import _at_boundary
from dask_onestep.storage import read_model, write_model

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
    with pytest.warns(UserWarning, match="no evidence of overdispersion"):
        glm = GLMRegressor(ESTIMATED, method=MLE()).fit(x, y)
    poisson = GLMRegressor(Poisson(), method=MLE()).fit(x, y)
    np.testing.assert_allclose(glm.coef_, poisson.coef_, rtol=1e-5)


def test_an_alpha_at_its_upper_bound_is_not_said_to_be_none():
    model = Model(OnePredictor(ESTIMATED, LINKS["log"]), ("a", "b"))
    upper, lower = (_at_boundary(with_alpha(model, float(t)).family.alpha)[1] for t in BOUNDS)
    assert "upper boundary of its range, 1,000,000" in upper
    assert "quasipoisson" in upper
    assert "lower boundary" in lower
    assert "family='poisson'" in lower


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
    for family in (ESTIMATED, "negative-binomial"):
        with pytest.raises(ValueError, match=r"needs intermediate results.*NegativeBinomial\(alpha=\.\.\.\)"):
            GLMRegressor(family).fit_delayed(*blocks(x, y))
        with pytest.raises(ValueError, match="requires a fixed alpha here"):
            moments(*blocks(x, y), np.zeros(x.shape[1] + 1), family=family)


def test_the_name_estimates_alpha():
    x, y = simulated()
    named, object_ = (GLMRegressor(family, method=MLE()).fit(x, y) for family in ("negative-binomial", ESTIMATED))
    assert named.family_ == object_.family_
    np.testing.assert_array_equal(named.covariance_, object_.covariance_)
    # Standard errors of counts that are Poisson's are Poisson's: with alpha = 1 they were 72 % too wide.
    rng = np.random.default_rng(3)
    y = rng.poisson(np.exp(1.2 + 0.3 * x[:, 0])).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverdispersionWarning)  # alpha may end at the boundary
        wide = GLMRegressor("negative-binomial", method=MLE()).fit(x, y)
    poisson = GLMRegressor("poisson", method=MLE()).fit(x, y)
    np.testing.assert_allclose(np.diag(wide.covariance_), np.diag(poisson.covariance_), rtol=0.1)


@pytest.mark.parametrize("method", [MLE(), OneStep(), OneStep(pilot_size=300)], ids=str)
def test_alpha_has_a_standard_error_and_is_counted(method):
    x, y = simulated()
    glm = GLMRegressor("negative-binomial", method=method).fit(x, y)
    coef, alpha, _ = oracle(x, y)
    full = sm.NegativeBinomial(y, sm.add_constant(x)).fit(disp=0, maxiter=200)

    def score(value):
        return (full.model.loglike(np.r_[coef, value + 1e-4]) - full.model.loglike(np.r_[coef, value - 1e-4])) / 2e-4

    # As R's glm.nb: observed information of theta = 1 / alpha at fixed means, which at the maximum is that of alpha.
    information = -(score(alpha + 1e-3) - score(alpha - 1e-3)) / 2e-3
    tolerance = 1e-4 if method.__class__ is MLE or method.pilot_size == "auto" else 0.05
    np.testing.assert_allclose(glm.family_.alpha_std_err, 1 / np.sqrt(information), rtol=tolerance)
    np.testing.assert_allclose(glm.family_.alpha_std_err, full.bse[-1], rtol=0.05)
    fit = glm.fit_statistics(x, y)
    np.testing.assert_allclose([fit.aic, fit.bic], [full.aic, full.bic], rtol=1e-6)
    facts = dict(glm.summary().facts)
    assert facts["alpha"] == f"{glm.family_.alpha:.4g} (std err {glm.family_.alpha_std_err:.2g})"
    assert dict(glm.summary(x, y).facts)["AIC"] == f"{fit.aic:,.2f}"
    aic = next(value for name, value in facts.items() if name.startswith("AIC"))
    np.testing.assert_allclose(float(aic.replace(",", "")), full.aic, atol=0.5)


@pytest.mark.parametrize(
    ("model", "formula"),
    [
        ("quine", "Days ~ Sex / (Age + Eth*Lrn)"),
        ("quine-additive", "Days ~ Eth + Sex + Age + Lrn"),
        ("counts", "count ~ x + z"),
    ],
)
def test_equals_glm_nb_of_r(model, formula):
    frame = data_of_r() if model == "counts" else quine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AliasingWarning)  # a combination of levels has no rows
        glm = GLMRegressor("negative-binomial", formula=formula, method=MLE()).fit(dd.from_pandas(frame, npartitions=3))
    theta, std_err = figure_of_r(model, "theta")[:, 0]
    np.testing.assert_allclose(glm.family_.alpha, 1 / theta, rtol=1e-5)
    np.testing.assert_allclose(glm.family_.alpha_std_err, std_err / theta**2, rtol=1e-4)
    np.testing.assert_allclose(glm.predict(frame), figure_of_r(model, "fitted")[:, 0], rtol=1e-5)
    fit = glm.fit_statistics(frame)
    figures = [figure_of_r(model, figure).item() for figure in ("AIC", "loglik")]
    np.testing.assert_allclose([fit.aic, fit.llf], figures, rtol=1e-8)
    if "Sex /" not in formula:
        # In R the terms are in another order, and the same names have other contrasts in nested ones.
        table = glm.coef_table()
        np.testing.assert_allclose(np.sort(table["coef"]), np.sort(figure_of_r(model, "coef")[:, 0]), rtol=1e-5)
        np.testing.assert_allclose(np.sort(table["std_err"]), np.sort(figure_of_r(model, "se")[:, 0]), rtol=1e-4)


def test_alpha_that_is_given_is_not_counted_and_is_shown():
    x, y = simulated()
    glm = GLMRegressor(NegativeBinomial(0.5), method=MLE()).fit(x, y)
    theirs = sm.GLM(y, sm.add_constant(x), sm.families.NegativeBinomial(alpha=0.5)).fit()
    np.testing.assert_allclose(glm.fit_statistics(x, y).aic, theirs.aic, rtol=1e-8)
    assert dict(glm.summary().facts)["alpha"] == "0.5"
    assert dict(GLMRegressor("tweedie", method=MLE()).fit(x, y).summary().facts)["power"] == "1.5"


def test_restricted_fits_hold_alpha():
    x, y = simulated()
    glm = GLMRegressor("negative-binomial", method=MLE()).fit(x, y)
    test = glm.likelihood_ratio_test(x, y, null={"x1": 0.0})
    family = sm.families.NegativeBinomial(alpha=glm.family_.alpha)
    full, null = (sm.GLM(y, sm.add_constant(part), family).fit(tol=1e-12) for part in (x, x[:, :1]))
    np.testing.assert_allclose(test.statistic, 2 * (full.llf - null.llf), rtol=1e-6)


def test_alpha_takes_passes_of_its_own(loads):
    rows = loads.array()
    counts = da.floor(6 * abs(rows[:, 1])) + 3 * (rows[:, 2] > 1)
    for method, most in ((OneStep(), 2), (OneStep(pilot_size=80), 8), (MLE(), 30)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            glm = GLMRegressor("negative-binomial", method=method).fit(rows[:, 3:], counts)
        assert set(loads.per_block()) == {glm.n_passes_}
        assert glm.n_passes_ <= most


def test_a_saved_model_keeps_it(tmp_path):
    x, y = simulated()
    glm = GLMRegressor("negative-binomial", method=MLE()).fit(x, y)
    write_model(glm, str(tmp_path / "model.json"))
    read = read_model(str(tmp_path / "model.json"))
    assert read.family_ == glm.family_
    assert read.fit_statistics(x, y).aic == glm.fit_statistics(x, y).aic
