"""Statistics of fit against statsmodels' GLMResults, names and values."""

import dask
import numpy as np
import pytest
import statsmodels.api as sm
from oracle import COVERING, FAMILIES, blocks, counted, simulate, sm_fit, weights_for
from support import model_of

from dask_onestep import MLE, GLMClassifier, GLMRegressor
from dask_onestep.families import Gaussian, Poisson
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.goodness import NullDeviance, Overdispersion


class Loads:
    """A list that Dask does not take apart."""

    def __init__(self):
        self.sizes = []

    def append(self, size):
        self.sizes.append(size)


def statsmodels_values(reference, rank):
    n = reference.df_resid + rank
    cox_snell = 1 - np.exp(2 * (reference.llnull - reference.llf) / n)
    return {
        "nobs": n,
        "df_model": reference.df_model,
        "df_resid": reference.df_resid,
        "llf": reference.llf,
        "llnull": reference.llnull,
        "deviance": reference.deviance,
        "null_deviance": reference.null_deviance,
        "pearson_chi2": reference.pearson_chi2,
        "scale": reference.scale,
        "aic": reference.aic,
        "bic": reference.info_criteria("bic"),
        "mcfadden": 1 - reference.llf / reference.llnull,
        "cox_snell": cox_snell,
        "nagelkerke": cox_snell / (1 - np.exp(2 * reference.llnull / n)),
    }


@pytest.mark.parametrize(("family", "link", "kind", "offset"), [case[:4] for case in COVERING])
def test_statistics_are_those_of_statsmodels(family, link, kind, offset):
    x, y, shift = simulate(family, link, offset=offset)
    weights = weights_for(kind, len(y))
    glm = GLMRegressor(FAMILIES[family], link, method=MLE(), weight_type=kind or "variance")
    lazy_x, lazy_y, lazy_w, lazy_o = blocks(x, y, weights, shift)
    glm.fit(lazy_x, lazy_y, sample_weight=lazy_w, offset=lazy_o)
    ours = glm.fit_statistics(lazy_x, lazy_y, sample_weight=lazy_w, offset=lazy_o)
    start = np.r_[glm.intercept_, glm.coef_]
    reference = sm_fit(x, y, family, link, offset=shift, weights=weights, kind=kind, start=start)
    expected = statsmodels_values(reference, 4)
    if family == "binomial" and kind == "variance":
        # Here a weight is the number of trials, whose binomial coefficient statsmodels leaves out.
        for name in ("llf", "llnull", "aic", "bic", "mcfadden", "nagelkerke"):
            del expected[name]
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, err_msg=name)


def test_statistics_of_binomial_counts_are_those_of_statsmodels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    trials = rng.integers(1, 12, 300)
    hits = rng.binomial(trials, 1 / (1 + np.exp(-(0.3 + x @ [0.5, -0.4]))))
    reference = sm.GLM(np.c_[hits, trials - hits], sm.add_constant(x), sm.families.Binomial()).fit(tol=1e-14)
    glm = GLMRegressor("binomial", method=MLE()).fit(x, hits / trials, sample_weight=trials)
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], reference.params, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), reference.bse, rtol=1e-6)
    ours = glm.fit_statistics(x, hits / trials, sample_weight=trials)
    for name, value in statsmodels_values(reference, 3).items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, err_msg=name)


def test_frequency_weights_count_rows():
    x, y, _ = simulate("gamma", "log")
    weights = weights_for("frequency", len(y))
    short = GLMRegressor("gamma", "log", method=MLE(), weight_type="frequency").fit(x, y, sample_weight=weights)
    times = weights.astype(int)
    x_long, y_long = np.repeat(x, times, axis=0), np.repeat(y, times)
    long = GLMRegressor("gamma", "log", method=MLE()).fit(x_long, y_long)
    ours = short.fit_statistics(x, y, sample_weight=weights).to_series()
    np.testing.assert_allclose(ours, long.fit_statistics(x_long, y_long).to_series(), rtol=1e-9)


def test_statistics_without_intercept_have_the_null_model_of_statsmodels():
    x, y, _ = simulate("poisson", "log", intercept=False)
    glm = GLMRegressor("poisson", method=MLE(), fit_intercept=False).fit(x, y)
    reference = sm_fit(x, y, "poisson", "log", intercept=False)
    ours = glm.fit_statistics(x, y)
    for name, value in statsmodels_values(reference, 3).items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, err_msg=name)


def test_labels_give_the_statistics_of_zero_and_one():
    x, y, _ = simulate("binomial", "logit")
    shift = np.random.default_rng(2).normal(0, 0.3, len(y))
    labels = np.where(y == 1, "yes", "no")
    named = GLMClassifier(method="mle").fit(x, labels, offset=shift)
    plain = GLMRegressor("binomial", method="mle").fit(x, y, offset=shift)
    ours = named.fit_statistics(x, labels, offset=shift)
    np.testing.assert_allclose(ours.to_series(), plain.fit_statistics(x, y, offset=shift).to_series(), rtol=1e-9)


def test_summary_with_data_shows_them_and_without_does_not():
    x, y, _ = simulate("gamma", "log")
    glm = GLMRegressor("gamma", "log", method=MLE()).fit(x, y)
    fit = glm.fit_statistics(x, y)
    text = str(glm.summary(x, y))
    assert f"{fit.aic:,.2f}" in text
    assert f"{fit.llf:,.2f}" in text
    assert f"{fit.null_deviance:,.2f}" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "AIC" not in str(glm.summary())
    assert glm.summary(level=0.5).level == 0.5


def test_missing_weight_and_offset_are_asked_for():
    x, y, shift = simulate("poisson", "log", offset=True)
    glm = GLMRegressor("poisson").fit(x, y, offset=shift)
    with pytest.raises(ValueError, match="fitted with offset"):
        glm.fit_statistics(x, y)


@pytest.mark.parametrize("family", [Gaussian(), Poisson()])
def test_null_deviances_join_exactly_far_from_zero(family):
    rng = np.random.default_rng(0)
    y = 1e6 + rng.integers(0, 3, 60).astype(float)
    weights = rng.uniform(0, 2, 60)
    whole = NullDeviance.of(family, y, weights)
    cuts = [(0, 0), (0, 0), *((i, i + 7) for i in range(0, 60, 7))]  # two blocks without rows first
    parts = [NullDeviance.of(family, y[start:stop], weights[start:stop]) for start, stop in cuts]
    joined = sum(parts[1:], parts[0])
    mean = np.average(y, weights=weights)
    np.testing.assert_allclose(joined.mean, mean, rtol=1e-15)
    if isinstance(family, Gaussian):
        np.testing.assert_allclose(whole.deviance, np.dot(weights, (y - mean) ** 2), rtol=1e-9)
    np.testing.assert_allclose(joined.deviance, whole.deviance, rtol=1e-3)


def test_statistics_are_one_pass():
    x, y, _ = simulate("poisson", "log")
    glm = GLMRegressor("poisson").fit(x, y)
    loads = Loads()
    lazy = counted(x, loads)
    with dask.config.set(scheduler="sync"):
        glm.fit_statistics(lazy, blocks(y)[0])
    assert sorted(loads.sizes) == [10, 130, 130, 130]


@pytest.mark.parametrize("kind", [None, "variance", "frequency"])
def test_overdispersion_is_pearson_over_the_residual_degrees_of_freedom(kind):
    x, y, _ = simulate("poisson", "log")
    weights = weights_for(kind, len(y))
    peer = sm_fit(x, y, "poisson", "log", weights=weights, kind=kind)
    model = model_of("poisson", columns=3, weight_type=kind or "variance")
    rows = Rows(x, y.astype(float), weights)
    found = Overdispersion.of(rows, model, peer.params, 4, 1.0)
    assert found.ratio == pytest.approx(peer.pearson_chi2 / peer.df_resid, rel=1e-9)
    # Rows of a sample with equal weights: the standard error of a mean.
    if kind is None:
        mean = np.exp(sm.add_constant(x) @ peer.params)
        terms = (y - mean) ** 2 / mean
        assert found.std_err == pytest.approx(np.std(terms) / np.sqrt(len(y)), rel=0.02)
    assert Overdispersion.of(rows, model_of("gamma", "log", columns=3), peer.params, 4, 1.0) is None
    assert Overdispersion.of(rows, model, peer.params, 10_000, 1.0) is None
