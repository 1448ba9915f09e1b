"""Simultaneous intervals and intervals for all sample sizes, against exact distributions and integrals."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.optimize import brentq

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm
from dask_onestep.inference.tables import AnytimeValid, simultaneous_quantile


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("k", [1, 2, 5, 60])
def test_independent_normal_coefficients_have_sidaks_quantile(k, level):
    expected = stats.norm.isf((1 - level ** (1 / k)) / 2)
    assert simultaneous_quantile(np.diag(np.arange(1.0, k + 1)), level) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("correlation", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("k", [3, 20])
def test_equal_correlations_have_the_quantile_of_a_one_dimensional_integral(k, correlation):
    def probability(quantile):
        def given(common):
            ends = (np.array([-1, 1]) * quantile - np.sqrt(correlation) * common) / np.sqrt(1 - correlation)
            return stats.norm.pdf(common) * (stats.norm.cdf(ends[1]) - stats.norm.cdf(ends[0])) ** k

        return integrate.quad(given, -8, 8, epsabs=1e-10)[0]

    matrix = np.full((k, k), correlation) + (1 - correlation) * np.eye(k)
    expected = brentq(lambda quantile: probability(quantile) - 0.95, 1.5, 5)
    assert simultaneous_quantile(matrix, 0.95) == pytest.approx(expected, abs=4e-3)


@pytest.mark.parametrize(("groups", "df"), [(3, 12), (4, 20), (6, 60)])
def test_all_pairwise_differences_have_tukeys_quantile(groups, df):
    # k(k − 1)/2 differences of k means of one size: a singular covariance.
    pairs = [np.eye(groups)[i] - np.eye(groups)[j] for i in range(groups) for j in range(i)]
    contrasts = np.array(pairs)
    expected = stats.studentized_range.ppf(0.95, groups, df) / np.sqrt(2)
    assert simultaneous_quantile(contrasts @ contrasts.T, 0.95, df) == pytest.approx(expected, abs=4e-3)


@pytest.mark.parametrize(
    ("treatments", "df", "published"),
    [(2, 10, 2.57), (4, 10, 2.89), (9, 20, 2.95), (3, np.nan, 2.35), (6, np.nan, 2.57)],
)
def test_comparisons_with_a_control_have_dunnetts_published_quantiles(treatments, df, published):
    # Two-sided 5% points of Dunnett, "New tables for multiple comparisons with a control", Biometrics 20 (1964).
    matrix = np.full((treatments, treatments), 0.5) + 0.5 * np.eye(treatments)
    assert simultaneous_quantile(matrix, 0.95, df) == pytest.approx(published, abs=0.006)


def test_perfectly_correlated_coefficients_are_one():
    assert simultaneous_quantile(np.ones((4, 4)), 0.95, 7.0) == pytest.approx(stats.t(7).isf(0.025), rel=1e-6)


def _fitted():
    X, y, _ = make_glm(600, 3, family="gaussian", random_state=2)
    return GLMRegressor().fit(X, y)


def test_simultaneous_intervals_have_the_quantile_of_their_correlation():
    glm = _fitted()
    table, wide = glm.coef_table(0.9), glm.conf_int(0.9, simultaneous=True)
    quantile = simultaneous_quantile(glm.covariance_, 0.9, 600 - 4)
    np.testing.assert_allclose(wide["ci_upper"], table.coef + quantile * table.std_err)
    np.testing.assert_allclose(wide["ci_lower"], table.coef - quantile * table.std_err)
    some = glm.conf_int(0.9, simultaneous=["x2", "x0"])
    inner = simultaneous_quantile(glm.covariance_[np.ix_([1, 3], [1, 3])], 0.9, 600 - 4)
    assert list(some.index) == ["x0", "x2"]
    np.testing.assert_allclose(some["ci_upper"], (table.coef + inner * table.std_err)[["x0", "x2"]])
    pd.testing.assert_frame_equal(glm.conf_int(0.9, simultaneous="x1"), glm.conf_int(0.9).loc[["x1"]])
    with pytest.raises(ValueError, match=r"Unknown coefficients.*in simultaneous"):
        glm.conf_int(simultaneous=["x9"])
    with pytest.raises(TypeError, match="must be names"):
        glm.conf_int(simultaneous=3)


def test_aliased_coefficients_have_no_interval_and_do_not_widen_the_others(quiet):
    X, y, _ = make_glm(600, 2, family="binomial", random_state=2)
    frame = pd.DataFrame(X.compute(), columns=["a", "b"]).assign(c=lambda t: t["a"] - t["b"])
    with_copy, without = (GLMClassifier().fit(x, y.compute()) for x in (frame, frame[["a", "b"]]))
    wide = with_copy.conf_int(simultaneous=True)
    assert wide.loc["c"].isna().all()
    np.testing.assert_allclose(wide.drop("c"), without.conf_int(simultaneous=True), rtol=1e-6)


@pytest.mark.parametrize("statistic", [0.0, 1.3, -4.0])
@pytest.mark.parametrize(("n", "df"), [(30, 27.0), (400, 5.0), (1000, np.nan)])
def test_e_value_is_the_likelihood_ratio_of_the_statistic_under_a_normal_mixture(n, df, statistic):
    central = stats.norm.pdf if np.isnan(df) else stats.t(df).pdf

    def density(shift):
        here = stats.norm.pdf(statistic, shift) if np.isnan(df) else stats.nct.pdf(statistic, df, shift)
        return here * stats.norm.pdf(shift, scale=np.sqrt(n / 2.0))

    mixture = integrate.quad(density, -35, 35, points=[statistic], limit=400)[0]
    # g = 2 rows; the planned number of rows at which that is so is found by its definition.
    planned = 2.0 * (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05)))
    assert AnytimeValid(n, df, planned, 0.05).e_values(statistic) == pytest.approx(
        mixture / central(statistic), rel=1e-5
    )


@pytest.mark.parametrize("df", [12.0, np.nan])
def test_interval_holds_the_values_whose_e_value_is_below_the_bound(df):
    rule = AnytimeValid(50, df)
    half = rule.half_width(0.1)
    assert rule.e_values(half) == pytest.approx(10.0, rel=1e-9)
    assert AnytimeValid(50, 1.0).half_width(1e-6) == np.inf


@pytest.mark.parametrize("df", [np.nan, 4000.0])
def test_intervals_are_narrowest_about_the_planned_number_of_rows(df):
    def relative(n):
        return AnytimeValid(n, df, 1000.0, 0.05).half_width(0.05)

    # Relative to those of a fixed N, in standard errors.
    assert min(range(200, 4000, 50), key=relative) == pytest.approx(1000, abs=100)


def test_anytime_valid_intervals_of_a_fit():
    glm = _fitted()
    found, table = glm.conf_int(anytime_valid=500), glm.coef_table()
    rule = AnytimeValid(600, 596.0, 500.0, 0.05)
    np.testing.assert_allclose(found["ci_upper"], table.coef + rule.half_width(0.05) * table.std_err)
    np.testing.assert_allclose(found["e_value"], rule.e_values(table["t"]))
    both = glm.conf_int(anytime_valid=500, simultaneous=True)
    np.testing.assert_allclose(both["ci_upper"], table.coef + rule.half_width(0.05 / 4) * table.std_err)
    assert (glm.conf_int(anytime_valid=True)["ci_upper"] > found["ci_upper"]).all()
    for wrong in (0, -3.0, np.nan):
        with pytest.raises(ValueError, match="positive number of rows"):
            glm.conf_int(anytime_valid=wrong)


def test_a_true_null_is_rejected_at_any_of_many_looks_at_most_as_often_as_promised():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        x, y = rng.standard_normal((2, 300))
        n = np.arange(3, 301)  # a look after each fifth row
        xx, xy, yy = (np.cumsum(v)[2:] for v in (x * x, x * y, y * y))
        slope = xy / xx
        statistic = slope / np.sqrt((yy - slope * xy) / (n - 1) / xx)
        rejected += any(
            AnytimeValid(rows, rows - 1.0, 50.0).e_values(t) >= 20
            for rows, t in zip(n[::5].tolist(), statistic[::5], strict=True)
        )
    assert stats.binomtest(rejected, 400, 0.05, alternative="greater").pvalue > 0.01
    assert rejected > 0


@pytest.mark.parametrize("method", ["fdr_bh", "holm"])
def test_adjusted_p_values_are_those_of_statsmodels_and_scipy(method):
    X, y, _ = make_glm(400, 6, coef=[0.1, 0.5, 0.2, 0.1, 0.0, 0.0, 0.0], random_state=1)
    glm = GLMRegressor().fit(X, y)
    p_values = glm.coef_table()["p_value"].drop("intercept")
    found = glm.multiple_tests(method, alpha=0.1)
    order = np.argsort(p_values.to_numpy())
    if method == "fdr_bh":
        expected = stats.false_discovery_control(p_values)
    else:
        expected = np.empty(6)
        expected[order] = np.minimum(np.maximum.accumulate(p_values.to_numpy()[order] * np.arange(6, 0, -1)), 1.0)
    np.testing.assert_allclose(found["p_adjusted"], expected, rtol=1e-12)
    np.testing.assert_array_equal(found["rejected"], expected <= 0.1)
    assert glm.multiple_tests(terms="x1")["p_adjusted"].iloc[0] == pytest.approx(p_values["x1"])


@pytest.mark.parametrize(
    ("estimate", "std_err", "t", "p_value", "lower", "upper"),
    [
        (2.2998, 0.2414, 9.527, 6.110e-13, 1.5404, 3.059),
        (0.4801, 0.2112, 2.273, 4.471e-01, -0.1899, 1.150),
        (1.8723, 0.1809, 10.352, 7.565e-15, 1.2921, 2.453),
    ],
)
def test_equals_the_table_that_rs_avlm_publishes(estimate, std_err, t, p_value, lower, upper):
    # The example of its README: 100 rows, 92 degrees of freedom, residual standard error 1.065, precision 1 relative to
    # the information (1.065/std_err)² of the coefficient itself, and p = min(1, 1/E).
    rule = AnytimeValid((1.065 / std_err) ** 2, 92.0)
    assert 1 / rule.e_values(t) == pytest.approx(p_value, rel=0.01)
    half = rule.half_width(0.05) * std_err
    assert (estimate - half, estimate + half) == pytest.approx((lower, upper), abs=2e-3)
