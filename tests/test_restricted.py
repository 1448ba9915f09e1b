"""Restricted fits: their minors, drop1 equal to each likelihood-ratio test, their warnings, and terms of a formula."""

import warnings
from dataclasses import replace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Loads, model_of

from dask_onestep import (
    MLE,
    Average,
    DebiasedLasso,
    GLMClassifier,
    GLMRegressor,
    OneStep,
    Pilot,
    Surrogate,
)
from dask_onestep.datasets import make_glm
from dask_onestep.estimators.attributes import attach
from dask_onestep.exceptions import DistanceWarning, FitWarning, SeparationWarning, SmallPilotWarning
from dask_onestep.inference.ratios import counted, statistic_error
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import embedded_moments, observed_moments
from dask_onestep.kernels.rows.rows import hold
from dask_onestep.messages import catalogue

METHODS = [OneStep(25), OneStep(200), OneStep(), OneStep(200, steps="auto"), MLE(), Surrogate("pilot"), Average()]


def table_of(n=3000, seed=0, family="binomial"):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "z": rng.uniform(1, 3, size=n),
            "g": rng.choice(list("abcd"), n, p=[0.4, 0.3, 0.2, 0.1]),
            "h": rng.choice(["u", "v"], n),
        }
    )
    eta = -0.3 + 0.4 * frame.x - 0.3 * (frame.g == "b") + 0.2 * (frame.h == "v")
    draw = {
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
        "gamma": lambda: rng.gamma(2.0, np.exp(eta) / 2),
    }
    return frame.assign(y=draw[family]())


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    held=st.sets(st.sampled_from(["intercept", "x0", "x1", "x2"]), min_size=1, max_size=3),
    value=st.floats(-1, 1),
    family=st.sampled_from(["binomial", "poisson", "gamma", "gaussian"]),
    weighted=st.booleans(),
)
def test_a_restricted_models_moments_are_a_minor(seed, held, value, family, weighted):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40) + (0.5 if family == "gamma" else 0.0)
    weights = rng.uniform(0.5, 2, 40) if weighted else None
    rows = Rows(x, y, weights, rng.normal(size=40))
    model = model_of(family, "log" if family == "gamma" else None, columns=3, fixed=tuple((k, value) for k in held))
    coef = rng.normal(size=4 - len(held)) * 0.3
    ours, expected = embedded_moments(rows, model, coef), observed_moments(hold(rows, model), model, coef)
    for name in ("loglik", "score", "information", "pearson", "pearson_gradient", "observed"):
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(getattr(ours, name), getattr(expected, name), rtol=1e-12, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["binomial", "gamma"])
@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.usefixtures("quiet", "threads")
def test_every_statistic_of_drop1_is_that_of_its_likelihood_ratio_test(method, family):
    data = dd.from_pandas(table_of(family=family), npartitions=3)
    glm = GLMRegressor(family, "log" if family == "gamma" else None, formula="y ~ x + z + g + h", method=method)
    glm.fit(data)
    table = glm.drop1(data)
    assert table.index.tolist() == ["x", "z", "g", "h"]
    for term, row in table.iterrows():
        test = glm.likelihood_ratio_test(data, null=term)
        np.testing.assert_allclose(row["statistic"], test.statistic, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(row["p_value"], test.p_value, rtol=1e-6, atol=1e-9)
        assert row["df"] == test.df
        assert row["note"] == test.note


@pytest.mark.parametrize(
    ("method", "slowest"),
    [(OneStep(800), 2), (OneStep(800, steps=2), 3), (Surrogate("pilot", pilot_size=800), 2), (Pilot(800), 0)],
    ids=str,
)
def test_drop1_takes_the_passes_of_its_slowest_plan_and_one(tmp_path, method, slowest, scheduler):
    loads = Loads(tmp_path, rows=(500, 400, 300), columns=7)
    table = loads.array()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = GLMRegressor("binomial", method=method).fit(table[:, 1:], table[:, 0])
        loads.per_block()
        glm.drop1(table[:, 1:], table[:, 0])
    assert loads.per_block() == [slowest + 1] * 3


def test_drop1_of_the_mle_takes_its_slowest_fit_and_one(tmp_path, synchronous):
    loads = Loads(tmp_path, rows=(500, 400, 300), columns=5)
    table = loads.array()
    X, y = table[:, 1:], table[:, 0]
    glm = GLMRegressor("binomial", method=MLE()).fit(X, y)
    passes = []
    for name in ("x0", "x1", "x2", "x3"):
        loads.per_block()
        glm.likelihood_ratio_test(X, y, null=name)
        passes.append(loads.per_block()[0])
    loads.per_block()
    glm.drop1(X, y)
    assert loads.per_block() == [max(passes)] * 3


def hostile(seed=1):
    """Return logistic rows of which the last covariate has no effect."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4000, 4))
    return x, (rng.random(4000) < 1 / (1 + np.exp(-(x[:, :3] @ [1.0, -0.5, 0.5])))).astype(int)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("quiet")
def test_drop1_of_a_tiny_pilot_is_its_likelihood_ratio_test(seed):
    x, y = hostile()
    glm = GLMClassifier(method=OneStep(25, steps=1, correction=None, random_state=seed)).fit(x, y)
    test = glm.likelihood_ratio_test(x, y, null=["x3"])
    np.testing.assert_allclose(glm.drop1(x, y).loc["x3", "statistic"], test.statistic, rtol=1e-6)


def test_warnings_of_a_restricted_fit_arrive():
    x, y = hostile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = GLMClassifier(method=OneStep(25, steps=1, correction=None, random_state=1)).fit(x, y)
    for test in (glm.likelihood_ratio_test, glm.score_test):
        said, result = small_pilots(test, x, y, null="x3")
        assert said == [
            "A pilot of 25 rows is small for 4 coefficients; its estimate may be too inaccurate for the steps that "
            "start from it. Use pilot_size='auto', which draws at least 50 rows per coefficient."
        ]
        assert "A pilot of 25 rows is small" in result.note
    said, table = small_pilots(glm.drop1, x, y)
    assert len(said) == 1
    assert said[0].endswith("(In 4 of 4 tests.)")
    assert table["note"].str.contains("A pilot of 25 rows is small").all()


def small_pilots(function, *data, **named):
    """Return the texts of small pilots' warnings without their pointers, and the result."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = function(*data, **named)
    texts = [str(each.message) for each in said if each.category is SmallPilotWarning]
    assert all(text.endswith("(Docs: help(dask_onestep.exceptions.SmallPilotWarning))") for text in texts)
    return [text.removesuffix(" (Docs: help(dask_onestep.exceptions.SmallPilotWarning))") for text in texts], result


@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.SmallPilotWarning")
def test_a_statistic_that_is_off_says_by_how_much():
    x, y = hostile(3)
    exact = GLMClassifier(method=MLE()).fit(x, y).likelihood_ratio_test(x, y, null="x0").statistic
    far = 0
    for seed in range(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            glm = GLMClassifier(method=Surrogate("pilot", pilot_size=30, random_state=seed))
            try:
                glm.fit(x, y)
            except ValueError:  # a surrogate without a maximum
                continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                test = glm.likelihood_ratio_test(x, y, null="x0")
            except ValueError:
                continue
        if abs(test.statistic - exact) > max(1.0, 0.05 * exact):
            far += 1
            assert test.note
            assert any(issubclass(each.category, FitWarning) for each in said)
        elif "may be off by about" not in test.note:
            assert not [each for each in said if each.category is DistanceWarning]
    assert far


@pytest.mark.usefixtures("quiet")
def test_good_fits_say_nothing():
    X, y, _ = make_glm(6000, 3, family="poisson", chunks=2000)
    glm = GLMRegressor("poisson").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = glm.drop1(X, y)
        test = glm.likelihood_ratio_test(X, y, null=["x0"])
    assert (table["note"] == "").all()
    assert test.note == ""


def test_an_unrestricted_estimate_far_from_the_maximum_is_not_compared():
    """All models are then fitted again, also where no restricted one has the greater likelihood."""
    x, y = tied_data("poisson")
    glm = GLMRegressor("poisson", method=OneStep(steps="auto")).fit(x, y)
    exact = glm.likelihood_ratio_test(x, y, null="x0").statistic
    estimate = glm.estimate_
    off = replace(estimate, coef=estimate.coef + 0.1 * np.eye(4)[2], sums_estimated=True)
    found = attach(glm, replace(glm.record_, estimate=off)).likelihood_ratio_test(x, y, null="x0")
    np.testing.assert_allclose(found.statistic, exact, rtol=1e-6)
    assert found.note == ""


def test_one_term_that_cannot_be_dropped_ends_no_other(monkeypatch):
    x, y = hostile()
    glm = GLMClassifier(method=MLE()).fit(x, y)
    from dask_onestep.methods import mle

    plain = mle._complaint
    whole = mle.conclude

    def unlucky(model, *arguments, **known):
        if ("x1", 0.0) in model.fixed:
            raise ValueError("no such fit")
        return whole(model, *arguments, **known)

    monkeypatch.setattr(mle, "conclude", unlucky)
    table = glm.drop1(x, y)
    assert table.loc["x1", "note"] == "no such fit"
    assert table.loc["x1", ["df", "statistic", "p_value"]].isna().all()
    assert table.drop("x1")["statistic"].notna().all()
    with pytest.raises(ValueError, match="no such fit"):
        glm.likelihood_ratio_test(x, y, null="x1")
    assert plain is mle._complaint


def test_drop1_by_term_is_statsmodels_comparison_of_models():
    frame = table_of(family="poisson")
    formula = "y ~ x*h + C(g) + bs(z, df=4)"
    glm = GLMRegressor("poisson", formula=formula, method=MLE()).fit(frame)
    table = glm.drop1(frame)
    # x and h are contained in x:h, and are not dropped, as in R.
    assert table.index.tolist() == ["C(g)", "bs(z, df=4)", "x:h"]
    full = smf.glm("y ~ x*h + C(g) + bs(z, df=4)", frame, family=sm.families.Poisson()).fit(tol=1e-13)
    smaller = {
        "C(g)": "y ~ x*h + bs(z, df=4)",
        "bs(z, df=4)": "y ~ x*h + C(g)",
        "x:h": "y ~ x + h + C(g) + bs(z, df=4)",
    }
    for term, text in smaller.items():
        restricted = smf.glm(text, frame, family=sm.families.Poisson()).fit(tol=1e-13)
        np.testing.assert_allclose(table.loc[term, "statistic"], 2 * (full.llf - restricted.llf), rtol=1e-6)
        np.testing.assert_allclose(table.loc[term, "deviance"], restricted.deviance, rtol=1e-9)
        assert table.loc[term, "df"] == full.df_model - restricted.df_model


def test_every_test_takes_terms():
    frame = table_of()
    glm = GLMClassifier(formula="y ~ x + C(g) + h", method=MLE()).fit(frame)
    levels = ["C(g)[T.b]", "C(g)[T.c]", "C(g)[T.d]"]
    for test in (glm.wald_test, lambda null: glm.likelihood_ratio_test(frame, null=null)):
        by_term, by_name = test("C(g)"), test(levels)
        assert by_term.statistic == by_name.statistic
        assert by_term.df == 3
    assert glm.score_test(frame, null="C(g)").statistic == glm.score_test(frame, null=levels).statistic
    mixed = glm.wald_test(["C(g)", "x"])
    assert mixed.df == 4
    with pytest.raises(ValueError, match="terms and covariates of several coefficients: C\\(g\\)"):
        glm.wald_test("carrier")


def test_a_term_with_an_aliased_level_loses_it():
    frame = table_of()
    frame["k"] = np.where(frame.g == "d", "d", frame.h)  # its level d is that of g
    with pytest.warns(UserWarning, match="aliased"):
        glm = GLMClassifier(formula="y ~ x + C(g) + C(k)", method=MLE()).fit(frame)
    assert np.isnan(glm.record_.coef).sum() == 1
    table = glm.drop1(frame)
    reference = sm.GLM(
        frame.y, np.column_stack([np.ones(len(frame)), frame.x, frame.g == "b", frame.g == "c", frame.g == "d"]),
        family=sm.families.Binomial(),
    ).fit(tol=1e-13)  # fmt: skip
    full = sm.GLM(
        frame.y,
        np.column_stack(
            [np.ones(len(frame)), frame.x, frame.g == "b", frame.g == "c", frame.g == "d", (frame.k == "v")]
        ),
        family=sm.families.Binomial(),
    ).fit(tol=1e-13)
    np.testing.assert_allclose(table.loc["C(k)", "statistic"], 2 * (full.llf - reference.llf), rtol=1e-6)
    assert table.loc["C(k)", "df"] == 1
    assert glm.wald_test("C(k)").df == 1


@pytest.mark.usefixtures("quiet")
def test_an_exact_dispersion_makes_the_surrogates_f_tests():
    X, y, _ = make_glm(6000, 3, family="gaussian", chunks=1500, random_state=3)
    glm = GLMRegressor(method=Surrogate("pilot", pilot_size=400)).fit(X, y)
    exact = GLMRegressor(method=MLE()).fit(X, y)
    for test in ("likelihood_ratio_test", "score_test"):
        found, expected = (getattr(each, test)(X, y, null=["x1"]) for each in (glm, exact))
        np.testing.assert_allclose(found.statistic, expected.statistic, rtol=0.02)


@pytest.mark.parametrize("method", [Pilot(0.5), Average()], ids=str)
def test_methods_with_a_ratio_of_their_own_have_drop1(method):
    X, y, _ = make_glm(3000, 3, family="binomial", chunks=1000)
    glm = GLMClassifier(method=method).fit(X, y)
    table = glm.drop1(X, y)
    for name, row in table.iterrows():
        test = glm.likelihood_ratio_test(X, y, null=name)
        assert (row["statistic"], row["df"], row["p_value"]) == (test.statistic, test.df, test.p_value)


def test_a_method_without_a_likelihood_has_none():
    X, y, _ = make_glm(3000, 3, chunks=1000)
    glm = GLMRegressor(method=DebiasedLasso(0.05)).fit(X, y)
    with pytest.raises(ValueError, match="does not maximize a likelihood"):
        glm.drop1(X, y)


def tied_data(family="binomial"):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 3))
    eta = 0.2 + x @ [0.5, 0.4, -0.3]
    y = rng.poisson(np.exp(eta)) if family == "poisson" else rng.random(3000) < 1 / (1 + np.exp(-eta))
    return x, y.astype(float)


CONSTRAINTS = {
    "x0 = x1": ([[0, 1, -1, 0]], [0], lambda x: (np.column_stack([np.ones(len(x)), x[:, 0] + x[:, 1], x[:, 2]]), 0)),
    "x0 + x1 = 1": (
        [[0, 1, 1, 0]],
        [1],
        lambda x: (np.column_stack([np.ones(len(x)), x[:, 0] - x[:, 1], x[:, 2]]), x[:, 1]),
    ),
    "intercept = x2, x0 = 2*x1": (
        [[1, 0, 0, -1], [0, 1, -2, 0]],
        [0, 0],
        lambda x: (np.column_stack([1 + x[:, 2], 2 * x[:, 0] + x[:, 1]]), 0),
    ),
}


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_constraints_between_coefficients(constraint, family, solver):
    matrix, value, design = CONSTRAINTS[constraint]
    x, y = tied_data(family)
    law = getattr(sm.families, family.capitalize())()
    full = sm.GLM(y, sm.add_constant(x), family=law).fit(tol=1e-13)
    small, offset = design(x)
    restricted = sm.GLM(y, small, family=law, offset=offset + np.zeros(len(y))).fit(tol=1e-13)
    glm = GLMRegressor(family, method=MLE(), solver=solver).fit(x, y)
    ratio = glm.likelihood_ratio_test(x, y, null=constraint)
    np.testing.assert_allclose(ratio.statistic, 2 * (full.llf - restricted.llf), rtol=1e-6)
    assert ratio.df == len(matrix)
    assert constraint in str(ratio)
    by_matrix = glm.likelihood_ratio_test(x, y, null=(np.array(matrix), value))
    np.testing.assert_allclose(by_matrix.statistic, ratio.statistic, rtol=1e-8)
    wald = glm.wald_test(constraint)
    expected = full.wald_test((np.array(matrix), np.array(value)), scalar=True)
    np.testing.assert_allclose(wald.statistic, expected.statistic, rtol=1e-5)
    # The score test by its definition: the full score at the restricted estimate.
    point = np.linalg.lstsq(sm.add_constant(x), small @ restricted.params + offset)[0]
    score, information = full.model.score(point), -full.model.hessian(point, observed=False)
    np.testing.assert_allclose(
        glm.score_test(x, y, null=constraint).statistic, score @ np.linalg.solve(information, score), rtol=1e-5
    )


@pytest.mark.parametrize("method", [OneStep(400), Average(), Pilot(1.0)], ids=str)
@pytest.mark.usefixtures("quiet")
def test_constraints_by_other_methods(method):
    x, y = tied_data()
    glm = GLMRegressor("binomial", method=method).fit(x, y)
    exact = GLMRegressor("binomial", method=MLE()).fit(x, y).likelihood_ratio_test(x, y, null="x0 = x1")
    found = glm.likelihood_ratio_test(x, y, null="x0 = x1")
    assert abs(found.statistic - exact.statistic) < 0.1 + 0.02 * exact.statistic


def test_constraints_of_levels_and_of_sparse_columns():
    frame = table_of()
    glm = GLMClassifier(formula="y ~ x + C(g)", method=MLE()).fit(frame)
    merged = frame.assign(g=frame.g.replace("c", "b"))
    small = GLMClassifier(formula="y ~ x + C(g)", method=MLE()).fit(merged)
    expected = 2 * (glm.record_.estimate.loglik - small.record_.estimate.loglik)
    found = glm.likelihood_ratio_test(frame, null="`C(g)[T.b]` = `C(g)[T.c]`")
    np.testing.assert_allclose(found.statistic, expected, rtol=1e-6)
    rng = np.random.default_rng(0)
    frame["many"] = rng.choice([f"level {number:02}" for number in range(70)], len(frame))
    wide = GLMClassifier(formula="y ~ x + C(many)", method=MLE())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide.fit(frame)
        merged = frame.assign(many=frame.many.replace("level 02", "level 01"))
        small = GLMClassifier(formula="y ~ x + C(many)", method=MLE()).fit(merged)
        found = wide.likelihood_ratio_test(frame, null="`C(many)[T.level 01]` = `C(many)[T.level 02]`")
    expected = 2 * (wide.record_.estimate.loglik - small.record_.estimate.loglik)
    np.testing.assert_allclose(found.statistic, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("null", "text"),
    [
        ("x0 = x1 = 0", "must have one equals sign"),
        ("x0 = x9", "cannot be read"),
        (["x0 = x1", "x1 = x0"], "are not independent of each other"),
        ((np.array([[0, 1, 0, 0], [0, 2, 0, 0]]), [0, 0]), "are not independent of each other"),
    ],
)
def test_constraints_that_cannot_be(null, text):
    x, y = tied_data()
    glm = GLMRegressor("binomial", method=MLE()).fit(x, y)
    for test in (glm.wald_test, lambda null: glm.likelihood_ratio_test(x, y, null=null)):
        with pytest.raises(ValueError, match=text):
            test(null)


def test_constraints_between_coefficients_of_several_classes_need_walds_test():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(900, 2)), rng.integers(0, 3, 900)
    glm = GLMClassifier(method=MLE()).fit(x, y)
    assert glm.wald_test("`1:x0` = `2:x0`").df == 1
    with pytest.raises(ValueError, match="with more than two classes use wald_test"):
        glm.likelihood_ratio_test(x, y, null="`1:x0` = `2:x0`")


@pytest.mark.parametrize(
    "null",
    [
        pd.DataFrame([[0.0, 1, 0, 0], [0, 0, 1, -1]], columns=["intercept", "x0", "x1", "x2"]),
        pd.DataFrame([[1.0, 0, 0], [0, 1, -1]], columns=["x0", "x1", "x2"]),
        pd.DataFrame([[0.0, 1, 0, 0], [0, 0, 1, -1]]),
        [[0, 1, 0, 0], [0, 0, 1, -1]],
        [np.array([0.0, 1, 0, 0]), np.array([0.0, 0, 1, -1])],
        ([[0, 1, 0, 0], [0, 0, 1, -1]], 0.0),
        ["x0", "x1 = x2"],
        "x0 = 0, x1 = x2",
    ],
    ids=["frame", "some columns", "positions", "lists", "rows", "pair", "mixed", "text"],
)
def test_the_same_hypothesis_in_all_its_forms(null):
    x, y, _ = make_glm(2000, 3, family="poisson", random_state=5)
    glm = GLMRegressor("poisson", method=MLE()).fit(x, y)
    expected = glm.likelihood_ratio_test(x, y, null=np.array([[0.0, 1, 0, 0], [0, 0, 1, -1]]))
    found = glm.likelihood_ratio_test(x, y, null=null)
    assert (found.df, found.statistic) == (2, pytest.approx(expected.statistic, rel=1e-12))
    assert glm.wald_test(null).df == glm.score_test(x, y, null=null).df == 2


@pytest.mark.parametrize(
    "null",
    [pd.Series({"x0": 0.1}), [["x0"]], [3, "x0"], 4, object()],
    ids=lambda null: type(null).__name__,
)
def test_what_is_no_hypothesis_is_refused_by_name(null):
    x, y, _ = make_glm(500, 2, family="poisson", random_state=5)
    glm = GLMRegressor("poisson").fit(x, y)
    with pytest.raises((TypeError, ValueError), match="null"):
        glm.wald_test(null)


@pytest.mark.parametrize(
    ("null", "df"),
    [
        ("`bs(x, df=4)[1]` = `bs(x, df=4)[2]`", 1),
        ("`C(g)[T.b, x]` = 0", 1),
        ("C(g)[T.c=1] = 0", 1),
        ("C(g) = 0", 2),
        ("bs(x, df=4) = 0", 4),
        ("`C(g)[T.c=1]` = 0, z = 1", 2),
    ],
)
def test_names_with_commas_and_equals_signs(null, df):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=800), "z": rng.normal(size=800)})
    frame["g"] = rng.choice(["a", "b, x", "c=1"], 800)
    frame["y"] = rng.normal(size=800)
    assert GLMRegressor(formula="y ~ bs(x, df=4) + z + C(g)").fit(frame).wald_test(null).df == df


def test_warnings_that_differ_by_figures_only_are_one():
    one, two, three = (
        catalogue.STATISTIC_ERROR.warning(which="restricted", decrement=value, error=value)
        for value in (180.0, 80.0, 3.0)
    )
    negative = catalogue.NEGATIVE_STATISTIC.warning(chi2=-69.0)
    tests = [(one,), (two,), (negative, three)]
    found = counted(tests)
    assert [text.split(" (In ")[1] for _, text in found] == [
        "3 of 3 tests; the figures are of the first, the column note has the others.)",
        "1 of 3 tests.)",
    ]
    assert counted(tests[2:]) == [negative, three]


class SeededObject:
    """A method of one's own that has a seed and no parameters of scikit-learn's."""

    random_state = 3

    def estimate(self, problem):
        return OneStep(200, steps=1, random_state=self.random_state).estimate(problem)


def test_an_object_with_a_seed_of_its_own_has_tests():
    x, y, _ = make_glm(3000, 2, family="poisson", random_state=5)
    glm = GLMRegressor("poisson", method=SeededObject()).fit(x, y)
    expected = GLMRegressor("poisson", method=OneStep(200, steps=1, random_state=3)).fit(x, y).drop1(x, y)
    np.testing.assert_allclose(glm.drop1(x, y)["statistic"], expected["statistic"], rtol=1e-9)


def test_tests_are_of_the_method_that_was_fitted():
    x, y, _ = make_glm(3000, 2, family="poisson", random_state=5)
    glm = GLMRegressor("poisson").fit(x, y).set_params(method="average")
    with pytest.raises(ValueError, match="was OneStep when the model was fitted and is now Average"):
        glm.drop1(x, y)


@pytest.mark.parametrize("error", [KeyError, IndexError, TypeError, NotImplementedError, AssertionError])
def test_any_error_in_one_restricted_plan_ends_no_other(error):
    class Fails(OneStep):
        def plan(self, problem):
            if "x1" in dict(problem.model.fixed):
                raise error("no such restriction")
            return (yield from super().plan(problem))

    x, y, _ = make_glm(3000, 3, family="poisson", random_state=5)
    table = GLMRegressor("poisson", method=Fails()).fit(x, y).set_params().drop1(x, y)
    assert table["statistic"].isna().tolist() == [False, True, False]
    assert "no such restriction" in table["note"]["x1"]


@pytest.mark.parametrize("method", [MLE(), OneStep(random_state=0)], ids=str)
def test_separation_is_seen_in_restricted_fits(method):
    frame = table_of(2000)
    frame["level"] = np.random.default_rng(0).choice(list("abcd"), len(frame))
    frame.loc[frame["level"] == "d", "y"] = 1
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        glm = GLMClassifier(formula="y ~ x + z + level", method=method).fit(frame)
        said.clear()
        notes = glm.drop1(frame)["note"]
    assert notes.str.contains("separation of the classes: .* combination of level").tolist() == [True, True, False]
    assert SeparationWarning in [each.category for each in said]


def test_the_error_of_a_statistic_is_of_third_order_where_the_decrement_is_small():
    # Beyond 0.05 + 0.01 χ²: 0.5 · √0.5/4 = 0.09 is not, of χ² = 5, and 1.44 is.
    assert statistic_error(5.0, 0.0, 0.5) is None
    assert "off by about 1.4." in statistic_error(5.0, 1.44, 0.5)[1]
