"""Tables, intervals and Wald tests, against statsmodels and closed forms."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special, stats
from support import chunked

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm
from dask_onestep.inference import TestResult, coefficient_table, parse_null, wald
from dask_onestep.inference.hypotheses import parse_hypothesis

NAMES = ("intercept", "a", "b")
ALONE = {name: (name,) for name in NAMES}
COEF = np.array([12.0, -0.3, 0.0])
COVARIANCE = np.diag([1.0, 0.04, 0.0])


def fit_both(family):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1500, 3)) * 0.5
    eta = 0.3 + x @ [0.2, -0.4, 0.0]
    y = eta + rng.normal(size=1500) if family == "gaussian" else rng.poisson(np.exp(eta)).astype(float)
    ours = GLMRegressor(family, method="mle").fit(chunked(x, (500,) * 3), chunked(y, (500,) * 3))
    law = sm.families.Gaussian() if family == "gaussian" else sm.families.Poisson()
    frame = pd.DataFrame(sm.add_constant(x), columns=["const", "x0", "x1", "x2"])
    return ours, sm.GLM(y, frame, law).fit(tol=1e-15, use_t=family == "gaussian")


@pytest.fixture(scope="module", params=["gaussian", "poisson"])
def fits(request):
    return fit_both(request.param)


@pytest.mark.parametrize("level", [0.95, 0.5, 0.999])
def test_the_table_is_that_of_statsmodels(fits, level):
    ours, theirs = fits
    table = ours.coef_table(level)
    assert table.index.tolist() == ["intercept", "x0", "x1", "x2"]
    statistic = "t" if theirs.use_t else "z"
    assert table.columns.tolist() == ["coef", "std_err", statistic, "p_value", "ci_lower", "ci_upper"]
    np.testing.assert_allclose(table["coef"], theirs.params, rtol=1e-8)
    np.testing.assert_allclose(table["std_err"], theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(table[statistic], theirs.tvalues, rtol=1e-7)
    np.testing.assert_allclose(table["p_value"], theirs.pvalues, rtol=1e-6)
    np.testing.assert_allclose(table[["ci_lower", "ci_upper"]], theirs.conf_int(1 - level), rtol=1e-7)
    pd.testing.assert_frame_equal(ours.conf_int(level), table[["ci_lower", "ci_upper"]])


def test_far_tails_have_p_values():
    table = coefficient_table(NAMES, COEF, COVARIANCE, 0.95)
    # 2·(1 − Φ(12)) is 0 in floats; the tail is not.
    assert 1 - stats.norm.cdf(12.0) == 0.0
    np.testing.assert_allclose(table.loc["intercept", "p_value"], special.erfc(12 / np.sqrt(2)), rtol=1e-12)
    assert 3e-33 < table.loc["intercept", "p_value"] < 4e-33
    result = TestResult.of(144.0, 1)
    np.testing.assert_allclose(result.p_value, special.erfc(12 / np.sqrt(2)), rtol=1e-9)
    assert TestResult.of(1000.0, 3).p_value > 0
    assert 0 < TestResult.of(300.0, 2, 5000).p_value < 1e-100


def test_a_standard_error_of_nothing_is_no_number():
    table = coefficient_table(NAMES, COEF, COVARIANCE, 0.95)
    assert np.isnan(table.loc["b", "z"])
    aliased = coefficient_table(NAMES, np.array([1, np.nan, 2]), np.diag([1.0, np.nan, 1.0]), 0.95)
    assert aliased.loc["a"].isna().all()
    assert aliased.drop("a").notna().all(axis=None)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5])
def test_a_level_lies_between_0_and_1(level):
    with pytest.raises(ValueError, match=r"must lie between 0 and 1, such as 0\.95"):
        coefficient_table(NAMES, COEF, COVARIANCE, level)


LEVELED = (
    ("coef_table", 0),
    ("conf_int", 0),
    ("summary", 0),
    ("predict_interval", 1),
    ("block_bootstrap_intervals", 2),
    ("avg_predictions", 1),
)


def test_every_method_refuses_a_percentage():
    X, y, _ = make_glm(200, 2, family="binomial")
    glm = GLMClassifier().fit(X, y)
    for name, n in LEVELED:
        with pytest.raises(ValueError, match=r"level=95 must lie between 0 and 1, such as 0\.95: it is the coverage"):
            getattr(glm, name)(*(X, y)[:n], level=95)
    with pytest.raises(ValueError, match="level=95 must lie"):
        glm.probability_diagnostics(X, y).calibration_curve(level=95)


NULLS = [
    ("x1", "x1 = 0"),
    (["x0", "x2"], "x0 = 0, x2 = 0"),
    ({"x0": 0.2, "intercept": 0.3}, "x0 = 0.2, const = 0.3"),
    ((np.array([[0.0, 1.0, 1.0, 0.0]]), np.array([-0.2])), "x0 + x1 = -0.2"),
    ((np.array([[0.0, 1.0, 1.0, 0.0], [0, 0, 0, 1]]), np.array([-0.2, 0.1])), "x0 + x1 = -0.2, x2 = 0.1"),
    (np.eye(4)[1:], "x0 = 0, x1 = 0, x2 = 0"),
]


@pytest.mark.parametrize(("null", "words"), NULLS, ids=[words for _, words in NULLS])
def test_wald_is_that_of_statsmodels(fits, null, words):
    ours, theirs = fits
    found = ours.wald_test(null)
    dispersed = ours.record_.model.family.has_dispersion
    expected = theirs.wald_test(words, use_f=dispersed, scalar=True)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-6)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-5)
    assert found.df == words.count("=")
    assert found.distribution == ("F" if dispersed else "chi2")
    assert found.df_denom == theirs.df_resid if dispersed else np.isnan(found.df_denom)


def test_one_restriction_is_z_squared(fits):
    ours, _ = fits
    table = ours.coef_table()
    statistic = table.columns[2]
    for name in table.index:
        np.testing.assert_allclose(ours.wald_test(name).statistic, table.loc[name, statistic] ** 2, rtol=1e-10)


@pytest.mark.parametrize("df_denom", [np.nan, 5000.0], ids=["chi2", "F"])
def test_a_p_value_that_underflows_is_small_and_not_zero(df_denom):
    test = TestResult.of(1e5, 3, df_denom, null="a = 0", test="Wald")
    assert test.p_value == 0.0
    assert str(test).endswith("p < 1e-300.")
    assert "<b>p &lt; 1e-300</b>" in test._repr_html_()
    assert "p = 1e-250" in str(TestResult(1.0, 1, np.nan, "chi2", 1e-250))


def test_a_result_is_a_sentence(fits):
    ours, _ = fits
    text = str(ours.wald_test({"x0": 0.5, "x1": -1}))
    assert text.startswith("Wald test of x0 = 0.5, x1 = -1: ")
    assert str(TestResult.of(9.0, 1, null="a = 0", test="Wald", note="Mind it.")).endswith("p = 0.0027. Mind it.")


@pytest.mark.parametrize(
    ("null", "text"),
    [
        ([], "null is empty: name at least one coefficient"),
        ("x9", r"Unknown coefficients \['x9'\] in null; must be one of intercept, a, b"),
        ({"a": np.inf}, "null sets a to inf, which is not a finite number"),
        ((np.eye(2), np.zeros(2)), "R has 2 columns, and there are 3 coefficients: give it one for each"),
        ((np.eye(3)[:2], np.zeros(3)), r"R has 2 rows, and r has shape \(3,\): give r one value for each row"),
    ],
)
def test_nulls_that_make_no_sense(null, text):
    with pytest.raises(ValueError, match=text):
        parse_hypothesis(null, NAMES, ALONE, {}, COEF)


def test_dependent_restrictions_and_aliased_coefficients():
    matrix = np.array([[0, 1.0, 1.0], [0, 2.0, 2.0]])
    with pytest.raises(ValueError, match="are not independent of each other"):
        parse_hypothesis((matrix, np.zeros(2)), NAMES, ALONE, {}, COEF)
    with pytest.raises(ValueError, match="are not independent of each other"):
        wald(np.ones(3), np.eye(3), matrix, np.zeros(2), np.nan, "R b = r")
    coef = np.array([1.0, np.nan, 1.0])
    asked = parse_hypothesis("a", NAMES, ALONE, {}, coef)
    with pytest.raises(ValueError, match="a = 0 involves an aliased coefficient, which has no estimate"):
        wald(coef, np.diag([1, np.nan, 1]), asked.matrix, asked.value, np.nan, asked.text)
    both = parse_hypothesis(["a", "b"], NAMES, ALONE, {}, coef)
    with pytest.raises(ValueError, match="involves an aliased coefficient"):
        wald(coef, np.diag([1, np.nan, 1]), both.matrix, both.value, np.nan, both.text)
    asked = parse_hypothesis("b", NAMES, ALONE, {}, coef)
    assert wald(coef, np.diag([1, np.nan, 0.25]), asked.matrix, asked.value, np.nan, asked.text).statistic == 4.0


def test_names_keep_the_order_of_the_coefficients():
    assert list(parse_null({"b": 1, "intercept": 2}, ALONE)) == ["intercept", "b"]
    asked = parse_hypothesis({"b": 1, "intercept": 2}, NAMES, ALONE, {}, COEF)
    np.testing.assert_array_equal(asked.matrix, np.eye(3)[[0, 2]])
    assert asked.value.tolist() == [2.0, 1.0]
    assert asked.text == "intercept = 2, b = 1"
    assert (asked.fixed, asked.ties) == ({"intercept": 2.0, "b": 1.0}, ())


def test_a_hypothesis_is_solved_for_one_coefficient_in_each_restriction():
    asked = parse_hypothesis((np.array([[1.0, 0, 2.0], [0, 4.0, -2.0]]), [3.0, 2.0]), NAMES, ALONE, {}, COEF)
    # intercept + 2b = 3 and 4a - 2b = 2: the intercept and a depend on b.
    assert asked.fixed == {"intercept": 3.0, "a": 0.5}
    assert dict(asked.ties) == {"intercept": (("b", -2.0),), "a": (("b", 0.5),)}


def test_a_test_in_a_notebook_has_its_verdict_first():
    shown = TestResult.of(4.2, 2, 91.0, null="a < b", test="Wald", note="So & so.")._repr_html_()
    assert shown.startswith(
        f"<p><b>p = {stats.f.sf(4.2, 2, 91):.2g}</b> against a &lt; b<br>Wald test: F(2, 91) = 4.2."
    )
    assert shown.endswith("So &amp; so.</p>")
    assert "χ²(1) = 9" in TestResult.of(9.0, 1)._repr_html_()


def test_a_p_value_below_all_doubles_is_not_called_zero():
    result = TestResult.of(1e5, 2, null="x1 = 0", test="Wald")
    assert result.p_value == 0.0
    assert str(result).endswith("p < 1e-300.")
    assert "p &lt; 1e-300" in result._repr_html_()
    assert "nan" in str(TestResult.of(np.nan, 1, null="x1 = 0", test="Wald"))
