"""Covariances of the coefficients and the tests that go with them, against R: summary.glm, sandwich, clubSandwich."""

import numpy as np
import pytest
from r import data_of_r, figure_of_r
from scipy import stats

from dask_onestep import MLE, GLMRegressor

DATA = data_of_r()
# Of R's models: family, link, response, covariates and weights.
MODELS = {
    "gaussian": ("gaussian", None, "normal", "xz", None),
    "poisson": ("poisson", None, "count", "xz", None),
    "binomial": ("binomial", None, "event", "xz", None),
    "trials": ("binomial", None, "share", "xz", "trials"),
    "probit": ("binomial", "probit", "event", "xz", None),
    "gamma-inverse": ("gamma", None, "positive", "x", None),
    "gamma-log": ("gamma", "log", "positive", "xz", "w"),
    "inverse-gaussian": ("inverse-gaussian", "log", "positive", "xz", None),
}


def fit(name, cov_type="nonrobust", groups=None, **options):
    family, link, response, columns, weights = MODELS[name]
    glm = GLMRegressor(family, link, method=MLE(max_iter=100), cov_type=cov_type, **options)
    weights = None if weights is None else DATA[weights]
    return glm.fit(DATA[list(columns)], DATA[response], sample_weight=weights, groups=groups)


@pytest.mark.parametrize("name", MODELS)
def test_tables_are_those_of_r(name):
    glm = fit(name)
    table, expected = glm.coef_table(), figure_of_r(name, "table")
    assert table.columns[2] == ("t" if glm.family_.has_dispersion else "z")
    np.testing.assert_allclose(table.iloc[:, :4], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(glm.dispersion_, figure_of_r(name, "dispersion").item(), rtol=1e-7)
    if not glm.family_.has_dispersion:
        np.testing.assert_allclose(glm.conf_int(), figure_of_r(name, "interval"), rtol=1e-6, atol=1e-8)


def test_intervals_have_the_quantile_of_the_table():
    glm = fit("gaussian")
    table = glm.coef_table(0.9)
    half = stats.t(len(DATA) - 3).isf(0.05) * table["std_err"]
    np.testing.assert_allclose(table["ci_upper"], table["coef"] + half, rtol=1e-12)
    lower, upper = glm.predict_interval(DATA[["x", "z"]].iloc[:1] * 0.0, 0.9)[0]
    np.testing.assert_allclose([lower, upper], table.loc["intercept", ["ci_lower", "ci_upper"]], rtol=1e-9)


def test_with_clusters_the_reference_is_t_with_one_degree_less_than_clusters():
    glm = fit("poisson", "cluster", groups=DATA["site"])
    table = glm.coef_table()
    np.testing.assert_allclose(glm.covariance_, figure_of_r("poisson", "cluster"), rtol=1e-6)
    assert table.columns[2] == "t"
    np.testing.assert_allclose(table["p_value"], 2 * stats.t.sf(np.abs(table["t"]), 11), rtol=1e-12)
    both = glm.wald_test(["x", "z"])
    assert (both.distribution, both.df, both.df_denom) == ("F", 2, 11)
    inverse = np.linalg.inv(glm.covariance_[1:, 1:])
    np.testing.assert_allclose(both.statistic, glm.coef_ @ inverse @ glm.coef_ / 2, rtol=1e-9)
    np.testing.assert_allclose(both.p_value, stats.f.sf(both.statistic, 2, 11), rtol=1e-9)
    assert "clusters:" in str(glm.summary())


@pytest.mark.parametrize("seed", range(5))
def test_more_restrictions_than_clusters_bear_are_refused_by_count(seed):
    rng = np.random.default_rng(seed)
    x, groups = rng.normal(size=(300, 3)), np.arange(300) % 3
    # One-step scores do not sum to zero, so that the covariance has full numerical rank.
    glm = GLMRegressor("poisson", cov_type="cluster").fit(x, rng.poisson(1.0, 300), groups=groups)
    with pytest.raises(ValueError, match=r"3 restrictions, and a covariance from 3 clusters has rank 2 at most"):
        glm.wald_test(["x0", "x1", "x2"])
    assert glm.wald_test(["x0", "x1"]).df_denom == 2


@pytest.mark.parametrize("cov_type", ["HC1", "cluster"])
def test_tests_of_the_likelihood_note_that_they_are_not_robust(cov_type):
    x, y = DATA[["x", "z"]], DATA["count"]
    glm = fit("poisson", cov_type, groups=DATA["site"] if cov_type == "cluster" else None)
    note = f"By the likelihood, without cov_type='{cov_type}'; wald_test is robust."
    assert note in glm.likelihood_ratio_test(x, y, null="x").note
    assert glm.drop1(x, y)["note"].str.contains(note, regex=False).all()
    plain = fit("poisson")
    assert "robust" not in plain.likelihood_ratio_test(x, y, null="x").note
    np.testing.assert_allclose(plain.drop1(x, y)["statistic"], figure_of_r("poisson", "drop1")[:, 3], rtol=1e-6)


def test_f_tests_of_a_robust_fit_keep_the_degrees_of_freedom_of_the_dispersion():
    x, y = DATA[["x", "z"]], DATA["normal"]
    glm = fit("gaussian", "cluster", groups=DATA["site"])
    found = glm.likelihood_ratio_test(x, y, null="x")
    expected = figure_of_r("gaussian", "drop1")
    np.testing.assert_allclose([found.statistic, found.p_value], expected[0, -2:], rtol=1e-6)
    assert found.df_denom == len(DATA) - 3
