"""Tests, predictions, residuals and separation of more than two classes, compared with statsmodels' MNLogit."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from oracle import blocks
from scipy import stats
from scipy.optimize import minimize
from support import Loads, finite_difference
from test_aliasing_separation import fit_and_listen
from test_multinomial import LABELS, mnlogit, simulate

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.multinomial import Multinomial
from dask_onestep.kernels.likelihood.sums import moments, row_changes, row_states
from dask_onestep.kernels.model import Model

X, Y, CODES, _ = simulate()
DESIGN = sm.add_constant(X)
NAMES = [f"{label}:{name}" for label in LABELS[1:] for name in ("intercept", "x0", "x1", "x2")]


@pytest.fixture(scope="module")
def glm():
    return GLMClassifier(method=MLE()).fit(*blocks(X, Y))


def held(values):
    """Return MNLogit's coefficients, class by class, with some held at values, by a general optimizer."""
    model = sm.MNLogit(CODES, DESIGN)
    whole = np.zeros(len(NAMES))
    free = [number for number, name in enumerate(NAMES) if name not in values]
    for name, value in values.items():
        whole[NAMES.index(name)] = value

    def at(part):
        coef = whole.copy()
        coef[free] = part
        return coef

    def loss(part):
        return -model.loglike(at(part)), -model.score(at(part))[free]

    found = minimize(loss, np.zeros(len(free)), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 500})
    return model, at(found.x)


NULLS = [
    (["x1"], {f"{label}:x1": 0.0 for label in LABELS[1:]}),
    ("birch:x0", {"birch:x0": 0.0}),
    ({"cedar:x2": 0.3, "birch:intercept": -0.2}, {"cedar:x2": 0.3, "birch:intercept": -0.2}),
    (["intercept", "dogwood:x0"], {f"{label}:intercept": 0.0 for label in LABELS[1:]} | {"dogwood:x0": 0.0}),
]


@pytest.mark.parametrize(("null", "values"), NULLS, ids=lambda part: str(part)[:30])
def test_the_likelihood_ratio_is_that_of_mnlogit(glm, null, values):
    test = glm.likelihood_ratio_test(*blocks(X, Y), null=null)
    model, small = held(values)
    expected = 2 * (mnlogit(X, CODES).llf - model.loglike(small))
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-6)
    assert (test.df, test.distribution) == (len(values), "chi2")
    np.testing.assert_allclose(test.p_value, stats.chi2.sf(expected, len(values)), rtol=1e-5)


def test_a_covariate_in_no_class_is_the_nested_model(glm):
    nested = mnlogit(np.delete(X, 2, axis=1), CODES)
    expected = 2 * (mnlogit(X, CODES).llf - nested.llf)
    test = glm.likelihood_ratio_test(X, Y, null="x2")
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-7)
    assert "x2 = 0 in each class" in str(test)


@pytest.mark.parametrize(("null", "values"), NULLS, ids=lambda part: str(part)[:30])
def test_the_score_test_is_raos_where_the_null_model_is_at_its_maximum(glm, null, values):
    test = glm.score_test(*blocks(X, Y), null=null)
    model, small = held(values)
    score = model.score(small)
    expected = score @ np.linalg.solve(-model.hessian(small), score)
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-6)
    assert test.df == len(values)


def test_wald_tests_by_covariate_and_by_matrix(glm):
    by_name = glm.wald_test([f"{label}:x1" for label in LABELS[1:]])
    assert glm.wald_test("x1").statistic == by_name.statistic
    rows = np.eye(12)[[NAMES.index(f"{label}:x1") for label in LABELS[1:]]]
    theirs = mnlogit(X, CODES).wald_test(rows, use_f=False, scalar=True)
    np.testing.assert_allclose(by_name.statistic, theirs.statistic, rtol=1e-6)
    np.testing.assert_allclose(glm.wald_test((rows, np.zeros(3))).statistic, theirs.statistic, rtol=1e-6)
    difference = rows[:1] - rows[1:2]
    theirs = mnlogit(X, CODES).wald_test(difference, use_f=False, scalar=True)
    np.testing.assert_allclose(glm.wald_test(difference).statistic, theirs.statistic, rtol=1e-6)


def test_drop1_leaves_each_covariate_out_of_all_classes(glm):
    table = glm.drop1(*blocks(X, Y))
    assert list(table.index) == ["x0", "x1", "x2"]
    assert (table["df"] == 3).all()
    large = mnlogit(X, CODES)
    for number, name in enumerate(table.index):
        small = mnlogit(np.delete(X, number, axis=1), CODES)
        np.testing.assert_allclose(table.loc[name, "loglik"], small.llf, rtol=1e-9)
        np.testing.assert_allclose(table.loc[name, "statistic"], 2 * (large.llf - small.llf), rtol=1e-6)


@pytest.mark.slow
def test_the_one_steps_tests_are_near_those_of_the_mle():
    x, labels, _, _ = simulate(n=12_000)
    data = blocks(x, labels, rows=1500)
    one, mle = (GLMClassifier(method=method).fit(*data) for method in (OneStep(pilot_size=2500), MLE()))
    nulls = ["x1", "birch:x0", {"cedar:x2": 0.0, "dogwood:x2": 0.1}]
    for null in nulls:
        for name in ("likelihood_ratio_test", "score_test"):
            ours, exact = (getattr(each, name)(*data, null=null).statistic for each in (one, mle))
            np.testing.assert_allclose(ours, exact, rtol=0.01, atol=0.05)
    table = one.drop1(*data)
    for name in table.index:
        test = one.likelihood_ratio_test(*data, null=[name])
        np.testing.assert_allclose(table.loc[name, "statistic"], test.statistic, rtol=1e-9)


def test_the_correction_brings_the_step_nearer_to_the_mle():
    x, labels, codes, _ = simulate(n=9000)
    params = np.asarray(mnlogit(x, codes).params).T
    far = {}
    for correction in (None, "pilot"):
        for seed in range(4):
            method = OneStep(pilot_size=1200, correction=correction, random_state=seed, tol=10.0)
            glm = GLMClassifier(method=method).fit(*blocks(x, labels, rows=1500))
            gap = np.column_stack([glm.intercept_, glm.coef_]) - params
            far.setdefault(correction, []).append(np.abs(gap).max())
    assert np.median(far["pilot"]) < 0.3 * np.median(far[None])


def test_drop1_reads_the_data_three_times(tmp_path):
    loads = Loads(tmp_path, rows=(300, 300, 300), columns=4)
    table = loads.array()
    labels = (table[:, 0] + (table[:, 3] + table[:, 2] > 0.5)).astype(int)
    glm = GLMClassifier(method=OneStep(900)).fit(table[:, 1:3], labels)
    assert set(loads.per_block()) == {glm.n_passes_}
    glm.drop1(table[:, 1:3], labels)
    assert set(loads.per_block()) == {3}


def test_frequency_weights_count_rows_in_tests_and_statistics():
    weights = np.random.default_rng(1).integers(1, 4, len(Y))
    short = GLMClassifier(method=MLE(), weight_type="frequency").fit(X, Y, sample_weight=weights.astype(float))
    x, labels = np.repeat(X, weights, axis=0), np.repeat(Y, weights)
    long = GLMClassifier(method=MLE()).fit(x, labels)
    one, two = short.fit_statistics(X, Y, sample_weight=weights.astype(float)), long.fit_statistics(x, labels)
    np.testing.assert_allclose(one.to_series(), two.to_series(), rtol=1e-9)
    for name in ("likelihood_ratio_test", "score_test"):
        ours = getattr(short, name)(X, Y, null="x1", sample_weight=weights.astype(float))
        np.testing.assert_allclose(ours.statistic, getattr(long, name)(x, labels, null="x1").statistic, rtol=1e-7)


def test_a_null_of_a_multinomial_logit_that_cannot_be_says_so(glm):
    with pytest.raises(
        ValueError, match=r"birch:x2.*; terms and covariates of several coefficients: x0, x1, x2, intercept\."
    ):
        glm.likelihood_ratio_test(X, Y, null="ash:x0")
    with pytest.raises(ValueError, match="null sets birch:x0 to 0 and to 1: name it once"):
        glm.wald_test({"x0": 0.0, "birch:x0": 1.0})
    doubled = np.column_stack([X, 2 * X[:, 0]])
    with pytest.warns(UserWarning, match="aliased"):
        aliased = GLMClassifier(method=MLE()).fit(doubled, Y)
    with pytest.raises(
        ValueError, match="birch:x3, cedar:x3, dogwood:x3 involves an aliased coefficient, which has no estimate"
    ):
        aliased.score_test(doubled, Y, null="x3")
    table = aliased.drop1(doubled, Y)
    assert table.drop(columns="note").loc["x3"].isna().all()
    assert table.loc["x3", "note"] == "Aliased."
    assert table.loc["x0", "statistic"] < 1e-6
    aliased, plain = (found.drop(columns="note").loc["x1"] for found in (table, glm.drop1(X, Y)))
    np.testing.assert_allclose(aliased, plain, rtol=1e-6)


# --- predictions ------------------------------------------------------------------------------


def computes_nothing(*_, **__):
    raise AssertionError("something was computed")


def probabilities_of(coef):
    """Return MNLogit's probabilities of a few rows, flat."""
    return sm.MNLogit(CODES, DESIGN).predict(coef.reshape(3, 4).T, DESIGN[:7]).ravel()


def test_standard_errors_of_probabilities_are_the_delta_methods(glm):
    slope = finite_difference(probabilities_of, glm.estimate_.coef)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", slope, glm.covariance_, slope)).reshape(7, 4)
    with dask.config.set(scheduler=computes_nothing):
        probability, std = glm.predict_proba(blocks(X)[0], return_std=True)
    np.testing.assert_allclose(std.compute()[:7], expected, rtol=1e-6)
    np.testing.assert_allclose(probability.compute()[:7].ravel(), probabilities_of(glm.estimate_.coef), rtol=1e-9)
    np.testing.assert_allclose(glm.predict_proba(X, return_std=True)[1], std, rtol=1e-12)


@pytest.mark.parametrize("label", LABELS)
def test_intervals_of_a_probability_are_the_delta_methods_on_its_log_odds(glm, label):
    number = list(LABELS).index(label)

    def log_odds(coef):
        p = probabilities_of(coef).reshape(7, 4)[:, number]
        return np.log(p / (1 - p))

    slope, middle = finite_difference(log_odds, glm.estimate_.coef), log_odds(glm.estimate_.coef)
    half = stats.norm.ppf(0.95) * np.sqrt(np.einsum("ij,jk,ik->i", slope, glm.covariance_, slope))
    ours = glm.predict_interval(X[:7], 0.9, label=label)
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-np.stack([middle - half, middle + half], axis=1))), rtol=1e-6)
    wider = glm.predict_interval(X[:7], 0.99, label=label)
    assert (wider[:, 0] < ours[:, 0]).all()
    assert (wider[:, 1] > ours[:, 1]).all()


def test_of_two_classes_standard_errors_and_intervals_are_the_binomials():
    labels = np.where(CODES > 1, "yes", "no")
    named = GLMClassifier(method=MLE()).fit(X, labels)
    plain = GLMRegressor("binomial", method=MLE()).fit(X, (CODES > 1).astype(float))
    mean, std = plain.predict(X, return_std=True)
    probability, both = named.predict_proba(X, return_std=True)
    np.testing.assert_allclose(probability[:, 1], mean, rtol=1e-9)
    np.testing.assert_allclose(both, np.column_stack([std, std]), rtol=1e-9)
    np.testing.assert_allclose(named.predict_interval(X, label="yes"), plain.predict_interval(X), rtol=1e-9)
    np.testing.assert_allclose(
        named.predict_interval(X, label="no"), 1 - plain.predict_interval(X)[:, ::-1], rtol=1e-9, atol=1e-15
    )


def test_whose_probability_must_be_said(glm):
    with pytest.raises(ValueError, match="label is required with more than two classes; must be one of 'ash'"):
        glm.predict_interval(X)
    with pytest.raises(ValueError, match="Unknown label 'oak'; must be one of 'ash'"):
        glm.predict_interval(X, label="oak")


def test_residuals_keep_what_residuals_keep(glm):
    fit = glm.fit_statistics(X, Y)
    with dask.config.set(scheduler=computes_nothing):
        response, pearson, deviance = (
            glm.residuals(*blocks(X, Y), kind) for kind in ("response", "pearson", "deviance")
        )
    reference = mnlogit(X, CODES)
    np.testing.assert_allclose(response, np.eye(4)[CODES] - reference.predict(), atol=1e-8)
    # The likelihood equations: residuals are orthogonal to the design, in every class.
    np.testing.assert_allclose(DESIGN.T @ response.compute(), 0.0, atol=1e-7)
    np.testing.assert_allclose((pearson**2).sum(), fit.pearson_chi2, rtol=1e-9)
    np.testing.assert_allclose((deviance**2).sum(), fit.deviance, rtol=1e-9)
    np.testing.assert_allclose(fit.deviance, -2 * reference.llf, rtol=1e-9)
    assert deviance.shape == (800,)
    assert np.array_equal(glm.residuals(X, Y), deviance.compute())
    with pytest.raises(
        ValueError, match=r"Unknown kind 'working' for this model; must be one of 'response', 'pearson', 'deviance'"
    ):
        glm.residuals(X, Y, "working")


@pytest.mark.parametrize("kind", ["variance", "frequency"])
def test_weighted_residuals(kind):
    weights = np.random.default_rng(1).integers(1, 4, len(Y)).astype(float)
    glm = GLMClassifier(method=MLE(), weight_type=kind).fit(X, Y, sample_weight=weights)
    fit = glm.fit_statistics(X, Y, sample_weight=weights)
    squares = weights if kind == "frequency" else np.ones(len(Y))
    for name, total in (("pearson", fit.pearson_chi2), ("deviance", fit.deviance)):
        residuals = glm.residuals(X, Y, name, sample_weight=weights)
        np.testing.assert_allclose((squares * residuals.T**2).sum(), total, rtol=1e-9)


def test_frames_name_the_classes_and_keep_their_index(glm):
    frame = pd.DataFrame(X, columns=list("abc"), index=np.arange(800) + 5).assign(tree=Y)
    lazy = dd.from_pandas(frame, npartitions=3)
    named = GLMClassifier(method=MLE()).fit(lazy, "tree")
    _, std = named.predict_proba(lazy[["a", "b", "c"]], return_std=True)
    response = named.residuals(lazy, "tree", "response")
    interval = named.predict_interval(lazy[["a", "b", "c"]], label="birch")
    deviance = named.residuals(lazy, "tree")
    for part in (std, response, interval, deviance):
        assert list(part.compute().index) == list(frame.index)
    assert list(std.columns) == list(response.columns) == list(LABELS)
    assert list(interval.columns) == ["lower", "upper"]
    np.testing.assert_allclose(std, glm.predict_proba(X, return_std=True)[1], rtol=1e-6)
    np.testing.assert_allclose(response, glm.residuals(X, Y, "response"), atol=1e-8)
    tables = [found.drop(columns="note") for found in (named.drop1(lazy, "tree"), glm.drop1(X, Y))]
    np.testing.assert_allclose(*tables, rtol=1e-5)
    assert named.likelihood_ratio_test(lazy, "tree", null="b").df == 3


def test_rows_left_out_have_no_residual():
    x = X.copy()
    x[5, 1] = np.nan
    glm = GLMClassifier(method=MLE(), missing="drop").fit(x, Y)
    response = glm.residuals(x, Y, "response")
    assert np.flatnonzero(np.isnan(response).any(axis=1)).tolist() == [5]
    _, std = glm.predict_proba(x, return_std=True)
    assert np.flatnonzero(np.isnan(std).any(axis=1)).tolist() == [5]


# --- separation -------------------------------------------------------------------------------


def separated(kind, n=3000):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 3))
    if kind == "complete":
        return x, LABELS[np.digitize(x[:, 0] + 0.5 * x[:, 1], [-0.5, 0.6])]
    # Quasi-complete: a level that never has one of the classes, the rest overlaps.
    level = rng.random(n) < 0.3
    x[:, 2] = level
    eta = np.column_stack([np.zeros(n), 0.5 * x[:, 0], -0.5 * x[:, 1]])
    eta[level, 2] = -np.inf
    return x, LABELS[(eta + rng.gumbel(size=eta.shape)).argmax(axis=1)]


@pytest.mark.parametrize("method", ["mle", "one-step"])
@pytest.mark.parametrize("kind", ["complete", "quasi-complete"])
def test_separation_of_all_rows_is_said(kind, method):
    _, heard = fit_and_listen(GLMClassifier(method=method), *blocks(*separated(kind), rows=700))
    (text,) = [each for each in heard if "quasi-complete separation" in each]
    assert "separation of the classes" in text
    named = text.split("a linear combination of ")[1].split(" predicts")[0].split(", ")
    assert "cedar:x0" in named if kind == "complete" else named == ["cedar:x2"]


def test_a_separated_pilot_of_rows_that_overlap_is_not_called_separation():
    x, labels = separated("quasi-complete", n=6000)
    labels[np.flatnonzero(x[:, 2] == 1)[:6]] = "cedar"
    glm, heard = fit_and_listen(
        GLMClassifier(method=OneStep(120, steps=1, random_state=1)), *blocks(x, labels, rows=700)
    )
    assert glm.estimate_.pilot_separated
    assert any("pilot sample of 120 rows" in each for each in heard)
    assert not any("quasi-complete separation" in each for each in heard)


# --- the kernel, with coefficients held at values ---------------------------------------------

FIXED = (("q:a", 0.3), ("r:intercept", -0.2))
WHOLE = Model(Multinomial(("q", "r")), ("a", "b"), classify=True)
PART = Model(Multinomial(("q", "r")), ("a", "b"), classify=True, fixed=FIXED)


def kernel_rows():
    rng = np.random.default_rng(0)
    return Rows(rng.normal(size=(40, 2)), rng.integers(0, 3, 40).astype(float), rng.uniform(0, 2, 40))


def test_names_without_what_is_held():
    assert PART.names == ("q:intercept", "q:b", "r:a", "r:b")
    assert WHOLE.by_regressor["a"] == ("q:a", "r:a")
    assert PART.has_intercept
    assert not Model(Multinomial(("q",)), ("a",), fixed=(("q:intercept", 0.0),)).has_intercept


def test_sums_of_the_free_coefficients_are_derivatives():
    rows, at = kernel_rows(), np.random.default_rng(2).normal(size=4)
    here = moments(rows, PART, at)
    slope = finite_difference(lambda coef: np.atleast_1d(moments(rows, PART, coef).loglik), at)[0]
    np.testing.assert_allclose(here.score, slope, rtol=1e-6, atol=1e-7)
    curvature = finite_difference(lambda coef: moments(rows, PART, coef).score, at)
    np.testing.assert_allclose(here.information, -curvature, rtol=1e-6, atol=1e-7)
    whole = np.array([at[0], 0.3, at[1], -0.2, at[2], at[3]])
    np.testing.assert_allclose(here.loglik, moments(rows, WHOLE, whole).loglik, rtol=1e-12)


def test_rows_of_the_free_coefficients_add_up():
    rows, rng = kernel_rows(), np.random.default_rng(3)
    at, step = rng.normal(size=4), 0.3 * rng.normal(size=4)
    here, there = moments(rows, PART, at), moments(rows, PART, at + step)
    changes = row_changes(rows, PART, *(row_states(rows, PART, end) for end in (at, at + step)))
    rest = sum(part.weighted_sum(change).T.ravel() for part, change, *_ in changes)[PART.free]
    np.testing.assert_allclose(rest, there.score - here.score + here.information @ step, rtol=1e-9, atol=1e-10)


def test_blocks_without_the_last_class_have_the_fit_statistics_of_one_block(synchronous):
    x, y = np.random.default_rng(0).normal(size=(150, 1)), np.repeat([0, 1, 2], 50)
    glm = GLMClassifier(method=MLE()).fit(x, y)
    whole = glm.fit_statistics(x, y)
    found = glm.fit_statistics(da.from_array(x, chunks=(50, 1)), da.from_array(y, chunks=50))
    assert (found.llf, found.llnull) == pytest.approx((whole.llf, whole.llnull))
    assert found.llnull == pytest.approx(150 * np.log(1 / 3))
