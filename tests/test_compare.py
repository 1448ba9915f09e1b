"""Models next to each other: statistics of fit, likelihood-ratio tests of nested ones, loads counted."""

import numpy as np
import pytest
from r import data_of_r, figure_of_r
from support import Loads

from dask_onestep import Average, GLMClassifier, GLMRegressor, compare

DATA = data_of_r()


def fits(family, response, formulas=("x", "x + z"), link=None, weights=None, **options):
    return [
        GLMRegressor(family, link, formula=f"{response} ~ {right}", method="mle", **options).fit(
            DATA, sample_weight=weights
        )
        for right in formulas
    ]


@pytest.mark.parametrize(
    ("family", "link", "response"),
    [
        ("poisson", None, "count"),
        ("binomial", "probit", "event"),
        ("gaussian", None, "normal"),
        ("gamma", "log", "positive"),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_statistics_are_those_of_fit_statistics_and_tests_those_of_restricted_fits(family, link, response, given):
    models = fits(family, response, link=link)
    table = compare(models, *((DATA,) if given else ()))
    assert table.index.tolist() == [f"{response} ~ x", f"{response} ~ x + z"]
    known = [glm.fit_statistics(DATA) for glm in models]
    if given or family != "gamma":
        for column, name in (("loglik", "llf"), ("aic", "aic"), ("bic", "bic"), ("n", "nobs")):
            np.testing.assert_allclose(table[column], [getattr(fit, name) for fit in known], rtol=1e-9)
        test = models[1].likelihood_ratio_test(DATA, null="z")
        last = table.iloc[1]
        np.testing.assert_allclose(last["lr_statistic"], test.statistic, rtol=1e-6)
        np.testing.assert_allclose(last["p_value"], test.p_value, rtol=1e-5)
        assert last["lr_df"] == 1
    else:
        assert table.iloc[1]["note"] == "Pass X and y, which this test needs."
        assert table["aic"].isna().all()
    if given:
        np.testing.assert_allclose(table["deviance"], [fit.deviance for fit in known], rtol=1e-12)


def test_the_test_is_that_of_r():
    table = compare(fits("poisson", "count", ("z", "x + z")))
    np.testing.assert_allclose(table["lr_statistic"].iloc[1], figure_of_r("poisson", "drop1")[0, 3], rtol=1e-6)
    quasi = compare(fits("quasipoisson", "count", ("z", "x + z")), DATA)
    dispersion = figure_of_r("quasipoisson", "deviance")[0, 0] / 117
    expected = (
        figure_of_r("quasipoisson", "drop1")[0, 2] * dispersion / figure_of_r("quasipoisson", "dispersion").item()
    )
    np.testing.assert_allclose(quasi["lr_statistic"].iloc[1], expected, rtol=1e-6)
    assert quasi["aic"].isna().all()


def test_weights_enter_the_constants_but_not_the_test():
    models = fits("binomial", "share", weights="trials")
    table = compare(models)
    assert table["aic"].isna().all()
    whole = compare(models, DATA, sample_weight="trials")
    np.testing.assert_allclose(table["p_value"], whole["p_value"], rtol=1e-9)
    np.testing.assert_allclose(whole["aic"], [glm.fit_statistics(DATA, sample_weight="trials").aic for glm in models])


def test_models_that_are_not_nested_have_no_test():
    table = compare(fits("poisson", "count", ("x", "z", "z + x + x:z")))
    assert table["note"].tolist() == ["", "Not nested: neither has all coefficients of the other.", ""]
    assert table["p_value"].isna().tolist() == [True, True, False]
    mixed = compare({"log": fits("poisson", "count")[0], "sqrt": fits("poisson", "count", link="sqrt")[1]})
    assert mixed.loc["sqrt", "note"] == "Not nested: families or links differ."
    assert mixed["aic"].notna().all()


def test_robust_fits_are_noted_and_names_are_made():
    x, y = DATA[["x", "z"]], DATA["count"]
    models = [GLMRegressor("poisson", cov_type="HC1").fit(x[columns], y) for columns in (["x"], ["x", "z"])]
    table = compare(models)
    assert table.index.tolist() == ["model 1", "model 2"]
    assert "Based on the likelihood; wald_test is robust." in table["note"].iloc[1]


def test_no_pass_without_data_and_one_for_all_models_with(tmp_path):
    loads = Loads(tmp_path)
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    models = [GLMClassifier().fit(x[:, :2], y), GLMClassifier().fit(x, y)]
    loads.per_block()
    assert compare(models)["p_value"].notna().tolist() == [False, True]
    assert sum(loads.counts().values()) == 0
    compare({"one": models[1]}, x, y)
    assert set(loads.per_block()) == {1}
    names = [f"c{number}" for number in range(3)]
    frame = loads.frame()
    formulas = ["y ~ c0", "y ~ c0 + np.exp(c1)", "y ~ c2 + c0"]
    fits = [GLMClassifier(formula=formula).fit(frame) for formula in formulas]
    alone = [glm.fit_statistics(frame).bic for glm in fits]
    loads.per_block()
    assert compare(fits, frame)["bic"].tolist() == alone
    assert set(loads.per_block()) == {1}
    whole = frame[names]
    plain = [GLMRegressor("gaussian").fit(whole, frame["y"]), GLMRegressor("poisson").fit(whole, frame["y"])]
    loads.per_block()
    found = compare(plain, whole, frame["y"])
    assert set(loads.per_block()) == {1}
    assert found["bic"].tolist() == [glm.fit_statistics(whole, frame["y"]).bic for glm in plain]


@pytest.mark.parametrize("y", [None, "count", DATA["count"]])
def test_the_response_may_be_passed_next_to_formulas_that_name_it(y):
    models = fits("poisson", "count")
    expected = [glm.fit_statistics(DATA).bic for glm in models]
    np.testing.assert_allclose(compare(models, DATA, y)["bic"], expected, rtol=1e-12)
    if y is not None and not isinstance(y, str):
        np.testing.assert_allclose(compare(models, DATA.drop(columns="count"), y)["bic"], expected, rtol=1e-12)


def test_null_models_with_an_offset_are_each_their_own():
    offset = np.log1p(DATA["trials"])
    models = [GLMRegressor("poisson", formula=f"count ~ {right}").fit(DATA, offset=offset) for right in ("x", "x + z")]
    found = compare(models, DATA, offset=offset)
    np.testing.assert_allclose(
        found["bic"], [glm.fit_statistics(DATA, offset=offset).bic for glm in models], rtol=1e-12
    )
    with pytest.raises(ValueError, match="was fitted with offset"):
        compare(models, DATA)


def test_what_it_refuses():
    small = GLMRegressor("poisson", formula="count ~ x").fit(DATA.iloc[:100])
    with pytest.raises(ValueError, match=r"'count ~ z' to 120: fit both to the same rows"):
        compare([small, GLMRegressor("poisson", formula="count ~ z").fit(DATA)])
    with pytest.raises(ValueError, match="different responses cannot be compared"):
        compare([*fits("poisson", "count"), *fits("poisson", "trials")])
    with pytest.raises(ValueError, match="No models to compare"):
        compare([])
    average = [
        GLMRegressor("poisson", method=Average(), formula=f"count ~ {right}").fit(DATA) for right in ("x", "x + z")
    ]
    assert compare(average)["note"].iloc[1] == "A log-likelihood is unknown."
