"""Likelihood-ratio tests and drop1, compared with statsmodels' fits of both models."""

import re
import warnings
from functools import partial

import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from support import Loads

from dask_onestep import MLE, Average, DebiasedLasso, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import DistanceWarning
from dask_onestep.inference.hypotheses import null_text

FAMILIES = {"gaussian": sm.families.Gaussian, "binomial": sm.families.Binomial, "poisson": sm.families.Poisson}


def data_of(family, seed=1):
    x, y, _ = make_glm(6000, 3, family=family, random_state=seed, chunks=1500, dispersion=2.0)
    return x, y, sm.add_constant(x.compute()), y.compute()


def oracle(family, design, y, columns, offset=None):
    return sm.GLM(y, design[:, columns], family=FAMILIES[family](), offset=offset).fit(
        tol=1e-14, tol_criterion="params"
    )


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("null", [["x1"], {"x0": 0.2, "x2": -0.4}, {"intercept": 0.4}, "x2"], ids=str)
def test_the_mle_has_statsmodels_ratio(family, null):
    x, y, design, response = data_of(family)
    glm = GLMRegressor(family, method=MLE()).fit(x, y)
    test = glm.likelihood_ratio_test(x, y, null=null)
    values = null if isinstance(null, dict) else dict.fromkeys([null] if isinstance(null, str) else null, 0.0)
    names = ["intercept", "x0", "x1", "x2"]
    free = [i for i, name in enumerate(names) if name not in values]
    offset = design[:, [names.index(name) for name in values]] @ np.array(list(values.values()))
    large, small = oracle(family, design, response, [0, 1, 2, 3]), oracle(family, design, response, free, offset)
    if family == "gaussian":
        expected = (small.deviance - large.deviance) / (len(values) * large.scale)
        assert (test.distribution, test.df_denom) == ("F", 5996)
        np.testing.assert_allclose(test.p_value, stats.f.sf(expected, len(values), 5996), rtol=1e-6)
    else:
        expected = 2 * (large.llf - small.llf)
        assert test.distribution == "chi2"
        np.testing.assert_allclose(test.p_value, stats.chi2.sf(expected, len(values)), rtol=1e-5)
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-7)
    assert test.df == len(values)


@pytest.mark.parametrize("method", [OneStep(600), OneStep(600, correction=None), OneStep(600, steps=2)], ids=str)
def test_one_step_has_nearly_the_mles_ratio(method):
    x, y, _, _ = data_of("binomial")
    test = GLMClassifier(method=method).fit(x, y).likelihood_ratio_test(x, y, null=["x1"])
    exact = GLMClassifier(method=MLE()).fit(x, y).likelihood_ratio_test(x, y, null=["x1"])
    assert abs(test.statistic - exact.statistic) < 0.2


def test_a_null_of_all_coefficients():
    x, y, design, response = data_of("poisson")
    glm = GLMRegressor("poisson", method=MLE()).fit(x, y)
    test = glm.likelihood_ratio_test(x, y, null=["intercept", "x0", "x1", "x2"])
    at_zero = stats.poisson.logpmf(response, 1.0).sum()
    np.testing.assert_allclose(test.statistic, 2 * (oracle("poisson", design, response, [0, 1, 2, 3]).llf - at_zero))


# Any seed may be drawn, and a few of them have a pilot that warns.
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_the_restricted_fit_draws_the_same_pilot():
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=OneStep(500, random_state=None)).fit(x, y)
    fixed = GLMClassifier(method=OneStep(500, random_state=glm.estimate_.random_state)).fit(x, y)
    ours, theirs = (g.likelihood_ratio_test(x, y, null=["x1"]) for g in (glm, fixed))
    assert ours == theirs


def test_weights_and_offset_are_required_again():
    x, y, design, response = data_of("poisson")
    weights, offset = np.linspace(0.5, 2, 6000), np.linspace(-0.2, 0.2, 6000)
    glm = GLMRegressor("poisson", method=MLE()).fit(x, y, sample_weight=weights, offset=offset)
    with pytest.raises(ValueError, match="fitted with sample_weight; it must"):
        glm.likelihood_ratio_test(x, y, null=["x1"])
    test = glm.likelihood_ratio_test(x, y, null=["x1"], sample_weight=weights, offset=offset)
    fits = [
        sm.GLM(response, design[:, columns], family=sm.families.Poisson(), var_weights=weights, offset=offset).fit(
            tol=1e-14, tol_criterion="params"
        )
        for columns in ([0, 1, 2, 3], [0, 1, 3])
    ]
    np.testing.assert_allclose(test.statistic, 2 * (fits[0].llf - fits[1].llf), rtol=1e-7)


def test_a_negative_statistic_is_zero_and_says_so():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(40):
        x = rng.standard_normal((1500, 2)) * 2
        y = (rng.random(1500) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            glm = GLMClassifier(method=OneStep(60, steps=1, correction=None, random_state=seed)).fit(x, y)
            caught.clear()
            test = glm.likelihood_ratio_test(x, y, null=["x1"])
        said = [str(each.message) for each in caught if each.category is DistanceWarning]
        found.append((test, any("Negative statistic" in text for text in said)))
    assert all(test.statistic >= 0 for test, _ in found)
    assert all((test.statistic == 0) == told for test, told in found)
    clipped = [test for test, told in found if told]
    assert clipped
    text = r"Negative statistic \(-.*\), because the fits are not fully converged; it was set to 0"
    assert all(test.p_value == 1 and re.search(text, str(test)) for test in clipped)
    assert not any("Negative" in str(test) for test, told in found if not told)


def test_the_pilots_ratio_is_of_its_own_rows():
    x, y, design, response = data_of("binomial")
    glm = GLMClassifier(method=Pilot(1.0)).fit(x, y)
    test = glm.likelihood_ratio_test(x, y, null=["x1"])
    large, small = (oracle("binomial", design, response, c) for c in ([0, 1, 2, 3], [0, 1, 3]))
    np.testing.assert_allclose(test.statistic, 2 * (large.llf - small.llf), rtol=1e-7)
    tenth = GLMClassifier(method=Pilot(0.1)).fit(x, y).likelihood_ratio_test(x, y, null=["x2"])
    assert (
        0 < tenth.statistic < GLMClassifier(method=MLE()).fit(x, y).likelihood_ratio_test(x, y, null=["x2"]).statistic
    )


def test_average_sums_the_blocks_own_statistics():
    x, y, design, response = data_of("binomial")
    test = GLMClassifier(method=Average()).fit(x, y).likelihood_ratio_test(x, y, null=["x1"])
    expected = 0.0
    for rows in np.split(np.arange(6000), 4):
        large, small = (oracle("binomial", design[rows], response[rows], c) for c in ([0, 1, 2, 3], [0, 1, 3]))
        expected += 2 * (large.llf - small.llf)
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-6)
    assert test.df == 4


@pytest.mark.parametrize(
    ("null", "text"),
    [
        (["x9"], r"Unknown coefficients \['x9'\] in null"),
        ([], "null is empty"),
        (None, "null is missing"),
        ({"x1": np.nan}, "sets x1 to nan"),
        ({"x1": "a"}, "null sets x1 to 'a', which is not a finite number"),
        ({"x1": None}, "null sets x1 to None, which is not a finite number"),
        ({"x1": [0, 1]}, r"null sets x1 to \[0, 1\], which is not a finite number"),
        (3, "null=3 must be names or a dict of name → value: name the coefficients, as in null="),
    ],
)
def test_a_null_that_cannot_be_says_so(null, text):
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=MLE()).fit(x, y)
    for test in (
        glm.wald_test,
        partial(glm.likelihood_ratio_test, x, y),
        partial(glm.score_test, x, y),
    ):
        with pytest.raises(TypeError if null == 3 else ValueError, match=text):
            test(null=null)


@pytest.mark.parametrize(("r", "text"), [("a", "must hold numbers"), (None, "holds NaN or infinity")])
def test_restrictions_that_are_no_numbers_say_so(r, text):
    x, y, _, _ = data_of("binomial")
    with pytest.raises(ValueError, match=rf"null=\(R, r\) {text}"):
        GLMClassifier(method=MLE()).fit(x, y).wald_test((np.eye(4), r))


def test_other_data_and_aliased_coefficients_are_refused():
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=MLE()).fit(x, y)
    with pytest.raises(ValueError, match="The data have 4,500 usable rows, but fit used 6,000"):
        glm.likelihood_ratio_test(x[:4500], y[:4500], null=["x1"])
    doubled = da.concatenate([x, 2 * x[:, :1]], axis=1)
    with pytest.warns(UserWarning, match="Coefficients of aliased columns are set to NaN: x3"):
        aliased = GLMClassifier(method=MLE()).fit(doubled, y)
    with pytest.raises(ValueError, match="x3 involves an aliased coefficient, which has no estimate"):
        aliased.likelihood_ratio_test(doubled, y, null=["x3"])


@pytest.mark.parametrize("family", list(FAMILIES))
def test_drop1_of_the_mle_is_statsmodels_one_by_one(family):
    x, y, design, response = data_of(family)
    table = GLMRegressor(family, method=MLE()).fit(x, y).drop1(x, y)
    assert list(table.index) == ["x0", "x1", "x2"]
    large = oracle(family, design, response, [0, 1, 2, 3])
    for number, name in enumerate(table.index, start=1):
        small = oracle(family, design, response, [c for c in range(4) if c != number])
        ratio = 2 * (large.llf - small.llf)
        expected = (small.deviance - large.deviance) / large.scale if family == "gaussian" else ratio
        np.testing.assert_allclose(table.loc[name, "statistic"], expected, rtol=1e-6)
        np.testing.assert_allclose(table.loc[name, "deviance"], small.deviance, rtol=1e-9)


def test_drop1_of_one_step_is_its_likelihood_ratio_test_of_each():
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=OneStep(600)).fit(x, y)
    table = glm.drop1(x, y)
    for name in table.index:
        test = glm.likelihood_ratio_test(x, y, null=[name])
        np.testing.assert_allclose(table.loc[name, "statistic"], test.statistic, rtol=1e-9)


@pytest.mark.parametrize("method", [OneStep(600), MLE()], ids=str)
def test_drop1_of_words_is_that_of_numbers(method):
    x, y, _, response = data_of("binomial")
    words = da.from_array(np.where(response == 1, "yes", "no"), chunks=1500)
    table, plain = (GLMClassifier(method=method).fit(x, labels).drop1(x, labels) for labels in (words, y))
    np.testing.assert_allclose(table.drop(columns="note"), plain.drop(columns="note"), rtol=1e-9)
    assert table["note"].tolist() == plain["note"].tolist()


def test_drop1_reads_the_data_a_constant_number_of_times(tmp_path):
    passes = []
    for number, columns in enumerate((4, 9)):
        directory = tmp_path / str(number)
        directory.mkdir()
        loads = Loads(directory, rows=(300, 300, 300), columns=columns)
        table = loads.array()
        glm = GLMRegressor("binomial", method=OneStep(800)).fit(table[:, 1:], table[:, 0])
        loads.per_block()
        glm.drop1(table[:, 1:], table[:, 0])
        passes.append(set(loads.per_block()))
    assert passes == [{3}, {3}]


def test_drop1_leaves_out_aliased_columns():
    x, y, _, _ = data_of("binomial")
    doubled = da.concatenate([x, 2 * x[:, :1]], axis=1)
    with pytest.warns(UserWarning, match="aliased"):
        glm = GLMClassifier(method=MLE()).fit(doubled, y)
    table = glm.drop1(doubled, y)
    assert table.drop(columns="note").loc["x3"].isna().all()
    assert table.loc["x3", "note"] == "Aliased."
    # Without x0 its copy takes its place: nothing is lost.
    assert table.loc["x0", "statistic"] < 1e-6


@pytest.mark.parametrize("method", [Pilot(0.5), Average()], ids=str)
def test_drop1_by_methods_with_their_own_ratio_is_that_ratio_of_each_term(method):
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=method).fit(x, y)
    table = glm.drop1(x, y)
    assert list(table.index) == ["x0", "x1", "x2"]
    for name in table.index:
        test = glm.likelihood_ratio_test(x, y, null=[name])
        assert table.loc[name, ["df", "statistic", "p_value"]].tolist() == [test.df, test.statistic, test.p_value]
        assert table.loc[name, "note"] == test.note
        assert test.statistic > 0
    # They know no log-likelihood of all rows.
    assert table[["loglik", "deviance"]].isna().all(axis=None)


def test_drop1_by_methods_without_a_likelihood_says_so():
    x, y, _, _ = data_of("binomial")
    glm = GLMClassifier(method=DebiasedLasso(0.05)).fit(x, y)
    with pytest.raises(ValueError, match="does not maximize a likelihood"):
        glm.drop1(x, y)


def test_a_long_null_hypothesis_is_cut():
    assert null_text({"a": 0.0, "b": 1.0}, {}) == "a = 0, b = 1"
    assert null_text({f"x{number}": 0.0 for number in range(299)}, {}).endswith("x19 = 0 and 279 more")
