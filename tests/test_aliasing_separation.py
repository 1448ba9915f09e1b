"""Aliased columns are named and confirmed by QR; separated rows are recognized over all rows."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from oracle import blocks, simulate
from r import data_of_r, figure_of_r
from scipy import stats
from scipy.optimize import linprog

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import PilotWarning, SeparationWarning, SmallPilotWarning
from dask_onestep.families import Gaussian, Quasi
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows.aliasing import dependences, design_factor
from dask_onestep.links import LINKS


def fit_and_listen(glm, *data, **named):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        glm.fit(*data, **named)
    return glm, [str(each.message) for each in heard]


@pytest.mark.parametrize("method", ["mle", "one-step"])
def test_a_combination_is_named_with_its_parts(method):
    x, y, _ = simulate("poisson", "log")
    x = np.column_stack([x, 2 * x[:, 0] - 3 * x[:, 2] + 1])
    glm, heard = fit_and_listen(GLMRegressor("poisson", method=method), *blocks(x, y))
    (text,) = [each for each in heard if "aliased" in each]
    assert "x3 = 1·intercept + 2·x0 + -3·x2" in text
    assert np.isnan(glm.coef_).tolist() == [False, False, False, True]
    assert np.isnan(glm.covariance_).sum() == 9
    without = GLMRegressor("poisson", method=method).fit(*blocks(x[:, :3], y))
    np.testing.assert_allclose(glm.coef_[:3], without.coef_, rtol=1e-9)
    np.testing.assert_allclose(glm.covariance_[:4, :4], without.covariance_, rtol=1e-9)
    np.testing.assert_allclose(glm.predict(x), without.predict(x[:, :3]), rtol=1e-9)
    _, std = glm.predict(x, return_std=True)
    np.testing.assert_allclose(std, without.predict(x[:, :3], return_std=True)[1], rtol=1e-9)
    # QR confirms it in a pass that sound data do not need.
    assert glm.n_passes_ == without.n_passes_ + 1
    fit = glm.fit_statistics(x, y)
    assert fit.df_resid == without.fit_statistics(x[:, :3], y).df_resid


@pytest.mark.parametrize("method", ["mle", "one-step", "average"])
@pytest.mark.parametrize("solver", ["auto", "cholesky"])
@pytest.mark.parametrize("seed", [1, 5, 22, 31])
def test_an_alias_that_is_found_at_the_last_step_alone_leaves_predictions_as_they_are(method, solver, seed):
    rng = np.random.default_rng(seed)
    u, offset = rng.integers(-10_000, 10_001, 110), rng.normal(size=110)
    frame = pd.DataFrame({"u": u, "offset": offset, "y": rng.poisson(np.exp(u / 12_000 - 0.2))})
    # A square is a cubic spline; rounding of the information decides at which steps that shows.
    formula = "y ~ I(u**2) + bs(u, df=4)"
    glm, heard = fit_and_listen(
        GLMRegressor("poisson", formula=formula, method=method, solver=solver), frame, offset="offset"
    )
    # Cholesky alone misses it in one of twenty data sets or so, at a last step that is right up to rounding.
    assert solver == "cholesky" or any("aliased" in text for text in heard)
    design = np.column_stack([np.ones(110), glm.record_.design.matrix(frame)[:, 1:]])
    expected = sm.GLM(frame["y"], design, sm.families.Poisson(), offset=offset).fit(tol=1e-13)
    np.testing.assert_allclose(glm.predict(frame, offset="offset"), expected.fittedvalues, rtol=1e-6)


def test_a_near_alias_is_told_from_an_exact_one():
    x, y, _ = simulate("gaussian", "identity")
    near = np.column_stack([x, x[:, 0] + 1e-7 * np.random.default_rng(0).normal(size=len(y))])
    _, heard = fit_and_listen(GLMRegressor(method="mle", solver="cholesky"), *blocks(near, y))
    (text,) = [each for each in heard if "aliased" in each]
    assert "not exactly" in text
    assert "solver='qr'" in text
    glm, heard = fit_and_listen(GLMRegressor(method="mle"), *blocks(near, y))
    (text,) = heard
    assert text.startswith("Nearly aliased columns: x3. By QR of all rows, all but 2e-07 of x3 is 1·x0.")
    assert glm.estimate_.solver == "qr"
    assert np.isfinite(glm.coef_).all()
    _, heard = fit_and_listen(GLMRegressor(method="mle"), *blocks(np.column_stack([x, x[:, 0]]), y))
    (text,) = heard
    assert "Coefficients of aliased columns are set to NaN: x3." in text
    assert "x3 = 1·x0." in text


def test_columns_that_are_close_but_distinct_are_kept():
    x, y, _ = simulate("gaussian", "identity")
    close = x[:, 0] + 1e-4 * np.random.default_rng(0).normal(size=len(y))
    x = np.column_stack([x, close, 2013 + x[:, 1] ** 2])
    glm = GLMRegressor(method="mle").fit(*blocks(x, y))
    reference = sm.OLS(y, sm.add_constant(x)).fit()
    np.testing.assert_allclose(glm.coef_, reference.params[1:], rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_))[1:], reference.bse[1:], rtol=1e-5)


def test_a_constant_and_an_empty_column():
    x, y, _ = simulate("gaussian", "identity")
    x = np.column_stack([np.full(len(y), 2013.0), x, np.zeros(len(y))])
    glm, heard = fit_and_listen(GLMRegressor(method="mle"), *blocks(x, y))
    (text,) = [each for each in heard if "aliased" in each]
    assert "x0 = 2.01e+03·intercept" in text
    assert "x4 = 0" in text
    assert np.isnan(glm.coef_[[0, 4]]).all()


@pytest.mark.parametrize("value", [1.0, 2013.7])
@pytest.mark.parametrize(("n", "rows"), [(4000, 1000), (60_000, 60_000), (60_000, 5000)])
def test_a_constant_of_ones_own_takes_the_passes_of_any_alias(n, rows, value):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 1))
    y = x[:, 0] + rng.standard_normal(n)
    glm, heard = fit_and_listen(GLMRegressor(), *blocks(np.column_stack([x, np.full(n, value)]), y, rows=rows))
    (text,) = heard
    assert f"Coefficients of aliased columns are set to NaN: x1. By QR of all rows, x1 = {value:.3g}·intercept." in text
    assert glm.n_passes_ == 2


def test_the_rounding_of_the_factor_does_not_grow_with_the_rows():
    rng, epsilon = np.random.default_rng(0), np.finfo(float).eps
    model = Model(OnePredictor(Gaussian(), LINKS["identity"]), ("a", "b"))
    for n in (2_000, 1_000_000):
        x = np.column_stack([rng.standard_normal(n), np.full(n, 2013.7)])
        upper = design_factor(Rows(x, np.zeros(n)), model).upper
        assert np.linalg.norm(upper[1:, 2]) < 50 * epsilon * np.linalg.norm(upper[:, 2])


def test_rows_without_weight_do_not_tell_columns_apart():
    x, y, _ = simulate("gaussian", "identity")
    twin = x[:, 0].copy()
    twin[:5] += 1.0
    weights = np.ones(len(y))
    weights[:5] = 0.0
    x = np.column_stack([x, twin])
    _, heard = fit_and_listen(GLMRegressor(method="mle"), *blocks(x, y), sample_weight=blocks(weights)[0])
    assert any("x3 = 1·x0" in each for each in heard)


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_the_factor_is_that_of_the_whole(rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    x[:, 2] = x[:, 0] - 0.5 * x[:, 1]
    model = Model(OnePredictor(Gaussian(), LINKS["identity"]), ("a", "b", "c"))
    parts = [design_factor(Rows(x[i : i + rows], np.zeros(rows)), model) for i in range(0, 50, rows)]
    total = sum(parts[1:], parts[0])
    design = np.column_stack([np.ones(50), x])
    np.testing.assert_allclose(total.upper.T @ total.upper, design.T @ design, atol=1e-12)
    (found,) = dependences(total, model.names, np.array([True, True, True, False]), intercept=True)
    assert found.exact
    assert [name for name, _ in found.combination] == ["a", "b"]
    np.testing.assert_allclose([value for _, value in found.combination], [1.0, -0.5])


# --- separation -------------------------------------------------------------------------------


def separated(kind, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    if kind == "complete":
        return x, (x[:, 0] + 0.5 * x[:, 1] > 0.2).astype(float)
    # Quasi-complete: a level that has one outcome only, the rest overlaps.
    level = rng.random(n) < 0.3
    x[:, 2] = level
    y = (rng.random(n) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    y[level] = 1.0
    return x, y


@pytest.mark.parametrize("method", ["mle", "one-step"])
@pytest.mark.parametrize("kind", ["complete", "quasi-complete"])
def test_separation_of_all_rows_is_said(kind, method):
    x, y = separated(kind)
    _, heard = fit_and_listen(GLMClassifier(method=method), *blocks(x, y, rows=700))
    (text,) = [each for each in heard if "quasi-complete separation" in each]
    named = text.split("a linear combination of ")[1].split(" predicts")[0].split(", ")
    assert ("x0" in named and "x1" in named) if kind == "complete" else named == ["x2"]


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["reference", "sum"])
@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize(
    "method", ["mle", MLE(start=None), "one-step", OneStep(steps="auto"), OneStep(steps=4)], ids=str
)
def test_a_level_of_one_outcome_is_no_alias_however_it_is_coded(method, family, coding):
    rng = np.random.default_rng(0)
    level = rng.choice(4, 3000, p=[0.2, 0.3, 0.2, 0.3])
    y = rng.poisson(2.0, 3000) * 1.0 if family == "poisson" else (rng.random(3000) < 0.4) * 1.0
    y[level == 0] = 0.0
    dummies = np.eye(4)[level]
    # Every direction in which the likelihood rises for ever has the intercept in it.
    x = dummies[:, 1:] - (dummies[:, :1] if coding == "sum" else 0.0)
    glm, heard = fit_and_listen(GLMRegressor(family, method=method), *blocks(x, y, rows=700))
    assert any("quasi-complete separation" in text and "a linear combination of x0, x1, x2" in text for text in heard)
    assert not any("aliased" in text for text in heard)
    means = [y[level == number].mean() for number in range(4)]
    seen = glm.predict(x)
    np.testing.assert_allclose([seen[level == number][0] for number in range(4)], means, atol=0.01)
    # The supremum of the likelihood is approached, so that the ratio is as good as the exact one.
    share = y.mean()
    exact = sm.GLM(y, dummies, family=getattr(sm.families, family.capitalize())()).fit(maxiter=40).llf
    null = sm.GLM(y, np.ones(3000), family=getattr(sm.families, family.capitalize())()).fit().llf
    assert 0 < share < 1 or family == "poisson"
    _, heard = fit_and_listen(glm, *blocks(x, y, rows=700))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = glm.likelihood_ratio_test(*blocks(x, y, rows=700), null=["x0", "x1", "x2"])
    np.testing.assert_allclose(test.statistic, 2 * (exact - null), rtol=0.02)


@pytest.mark.parametrize("method", ["average", "surrogate"])
def test_a_block_that_is_separated_at_the_reference_level_is_named_so(method):
    rng = np.random.default_rng(0)
    level = rng.choice(3, 900)
    y = (rng.random(900) < 0.4) * 1.0
    y[level == 0] = 0.0
    with pytest.raises(ValueError, match="the rows are separated"):
        GLMClassifier(method=method).fit(*blocks(np.eye(3)[level][:, 1:], y, rows=300))


def test_zero_counts_of_a_level_are_separation_too():
    x, y = separated("quasi-complete")
    counts = np.random.default_rng(1).poisson(1.5, len(y)).astype(float)
    counts[x[:, 2] == 1] = 0.0
    _, heard = fit_and_listen(GLMRegressor("poisson", method="mle"), *blocks(x, counts, rows=700))
    assert any("separation of zeros of y" in each and "of x2 predicts" in each for each in heard)
    assert any("or use MLE(penalty='jeffreys'), whose estimate is finite" in each for each in heard)


def test_a_separated_pilot_of_rows_that_overlap_is_not_called_separation():
    x, y = separated("quasi-complete", n=6000)
    y[np.flatnonzero(x[:, 2] == 1)[:6]] = 0.0
    method = OneStep(pilot_size=120, steps=1, random_state=1)
    glm, heard = fit_and_listen(GLMClassifier(method=method), *blocks(x, y, rows=700))
    assert glm.estimate_.pilot_separated
    assert any("pilot sample of 120 rows" in each for each in heard)
    assert not any("quasi-complete separation" in each for each in heard)


@pytest.mark.parametrize("margin", [1.0, 0.1, 0.001, 1e-5])
@pytest.mark.parametrize(("method", "most"), [(MLE(), 12), (MLE(start=None), 17), (OneStep(), 20), (OneStep(200), 24)])
def test_complete_separation_is_reported_in_few_passes_however_small_its_margin(margin, method, most):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    y = (x[:, 0] > 0) * 1.0
    x[:, 0] += np.sign(x[:, 0]) * margin / 2
    with pytest.warns(SeparationWarning, match="x0") as caught:
        glm = GLMClassifier(method=method).fit(x, y)
    assert len(caught) == 1
    assert glm.n_passes_ <= most


def test_an_mle_cut_short_is_not_called_separation():
    x, y, _ = simulate("binomial", "logit", n=3000)
    _, heard = fit_and_listen(GLMClassifier(method=MLE(start=None, max_iter=1)), *blocks(x, y, rows=700))
    assert any("Increase max_iter" in each for each in heard)
    assert not any("quasi-complete separation" in each for each in heard)


def one_end(family, link, value, n=900):
    """Return rows of which one level has one value of y, at an end of the link's range or beyond it."""
    rng = np.random.default_rng(4)
    level = rng.choice(3, n)
    x = np.column_stack([np.eye(3)[level][:, 1:], rng.standard_normal(n)])
    mean = np.exp(0.5 + 0.3 * x[:, 2]) if link == "log" else 1 / (1 + np.exp(-0.5 - 0.3 * x[:, 2]))
    y = {
        "gaussian": lambda: mean + 0.2 * rng.standard_normal(n),
        "gamma": lambda: np.maximum(mean * rng.gamma(5.0, 0.2, n), 1e-3),
        "inverse-gaussian": lambda: mean * rng.gamma(50.0, 0.02, n),
        "negative-binomial": lambda: rng.poisson(mean * rng.gamma(2.0, 0.5, n)) * 1.0,
        "binomial": lambda: (rng.random(n) < mean) * 1.0,
        "poisson": lambda: rng.poisson(mean) * 1.0,
        "tweedie": lambda: rng.poisson(mean) * rng.gamma(2.0, 0.5, n),
    }[family]()
    y[level == 1] = value
    return x, y


@pytest.mark.parametrize("method", [MLE(), OneStep(), OneStep(pilot_size=200)], ids=str)
@pytest.mark.parametrize(
    ("family", "link", "value"),
    [
        ("gaussian", "log", 0.0),
        ("gaussian", "log", -1.0),
        ("gaussian", "logit", 0.0),
        ("gaussian", "logit", 1.0),
        ("gamma", "logit", 1.5),
        ("inverse-gaussian", "logit", 1.5),
        ("negative-binomial", "log", 0.0),
        ("binomial", "logit", 1.0),
        ("binomial", "probit", 0.0),
        ("binomial", "probit", 1.0),
        ("binomial", "cloglog", 0.0),
        ("binomial", "cloglog", 1.0),
        ("poisson", "log", 0.0),
        ("tweedie", "log", 0.0),
    ],
)
def test_one_rule_for_all_families_and_links(family, link, value, method):
    x, y = one_end(family, link, value)
    _, heard = fit_and_listen(GLMRegressor(family, link, method=method), *blocks(x, y, rows=300))
    assert any("a linear combination of x0 predicts" in text for text in heard), heard
    # One row that overlaps: a maximum exists, and no direction is called one of separation.
    other = 1.0 - value if family == "binomial" else 1.0 if link == "log" and family != "gaussian" else 0.6
    y[np.flatnonzero(x[:, 0] == 1)[:40]] = other
    _, heard = fit_and_listen(GLMRegressor(family, link, method=method), *blocks(x, y, rows=300))
    assert not any("quasi-complete separation" in text for text in heard)


@pytest.mark.parametrize(("start", "most"), [("pilot", 12), (None, 17)])
@pytest.mark.parametrize(("family", "link", "value"), [("binomial", "logit", 1.0), ("poisson", "log", 0.0)])
def test_the_mle_of_separated_rows_takes_few_passes_and_is_that_of_the_others(family, link, value, start, most):
    x, y = one_end(family, link, value)
    glm, heard = fit_and_listen(GLMRegressor(family, link, method=MLE(start)), *blocks(x, y, rows=300))
    (text,) = heard
    assert "a linear combination of x0 predicts" in text
    assert glm.n_passes_ <= most
    others = x[:, 0] == 0
    wanted = sm.GLM(
        y[others],
        sm.add_constant(x[others, 1:]),
        {"binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}[family],
    ).fit(tol=1e-13)
    np.testing.assert_allclose([glm.intercept_, *glm.coef_[1:]], wanted.params, rtol=1e-7)
    std_err = glm.coef_table()["std_err"].iloc[[0, 2, 3]]
    np.testing.assert_allclose(std_err, wanted.bse, rtol=1e-6)


@pytest.mark.parametrize("method", [MLE(), OneStep()], ids=str)
@pytest.mark.parametrize("model", ["separated-log-0", "separated-logit-0", "separated-logit-1"])
def test_gaussian_separation_ends_where_r_does_and_is_reported(model, method):
    frame = data_of_r()
    frame["low"], frame["y"] = 1.0 * (frame["site"] <= 4), figure_of_r(model, "y")
    link = model.split("-")[1]
    glm, heard = fit_and_listen(GLMRegressor("gaussian", link, method=method), frame[["low", "x"]], frame["y"])
    # R reports a coefficient of 20 with a standard error of 10^6 and nothing else; here a warning names the column.
    (text,) = [text for text in heard if "separation" in text]
    assert "low" in text
    coef, std_err = figure_of_r(model, "coef")[:, 0], figure_of_r(model, "se")[:, 0]
    assert abs(coef[1]) > 10
    assert std_err[1] > 1e4
    table = glm.coef_table()
    np.testing.assert_allclose(table["coef"].iloc[[0, 2]], coef[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(table["std_err"].iloc[[0, 2]], std_err[[0, 2]], rtol=1e-5)
    assert table["coef"].iloc[1] * coef[1] > 0
    assert table["std_err"].iloc[1] > 100
    means = glm.predict(frame[["low", "x"]])[frame["low"] == 1]
    np.testing.assert_allclose(means, float(model[-1]), atol=1e-3)


@pytest.mark.parametrize(("family", "link"), [("binomial", "logit"), ("binomial", "cloglog"), ("poisson", "log")])
@pytest.mark.parametrize("pilot_size", [100, 500])
def test_separation_by_a_level_that_the_pilot_lacks_is_said(family, link, pilot_size):
    """Its coefficient grew until λ² was small, with no warning."""
    rng = np.random.default_rng(0)
    level = np.where(np.arange(20_000) < 12_000, "a", "b")
    level[[5, 7777, 15_000]] = "c"
    frame = pd.DataFrame({"g": level, "x": rng.normal(size=20_000), "y": rng.random(20_000) < 0.2}).astype({"y": float})
    glm = GLMRegressor(family, link, method=OneStep(pilot_size), formula="y ~ g + x")
    frame.loc[frame["g"] == "c", "y"] = [1.0, 0.0, 1.0]
    _, heard = fit_and_listen(glm, frame)
    assert not heard
    frame.loc[frame["g"] == "c", "y"] = 0.0
    glm, heard = fit_and_listen(glm, frame)
    assert 0.0 in glm.estimate_.pilot_coef
    (text,) = heard
    assert "g[T.c]" in text


@pytest.mark.parametrize("method", [MLE(), OneStep(), OneStep(60)], ids=str)
@pytest.mark.parametrize(
    ("model", "family", "link"),
    [("separated-gamma", "gamma", "logit"), ("separated-quasi", Quasi("mu^2"), "log"), ("tiny-gamma", "gamma", "log")],
)
def test_gamma_separation_is_reported_and_tiny_values_are_none(model, family, link, method):
    frame = data_of_r()
    frame["low"], frame["y"] = 1.0 * (frame["site"] <= 4), figure_of_r(model, "y")
    glm, heard = fit_and_listen(GLMRegressor(family, link, method=method), frame[["low", "x"]], frame["y"])
    table = glm.coef_table()
    if model == "tiny-gamma":
        assert heard == []
        np.testing.assert_allclose(
            table["coef"], figure_of_r(model, "coef")[:, 0], atol=0.1 * figure_of_r(model, "se").min()
        )
        # Where one step suffices the information of all rows is carried to its end by the pilot's rows.
        carried = getattr(glm.estimate_, "sums_estimated", False)
        errors = figure_of_r(model, "se")[:, 0]
        np.testing.assert_allclose(table["std_err"], errors, rtol=1e-2 if carried else 1e-3)
        return
    # R stops at a coefficient of 10¹⁶, or of −10 with a standard error of 0.1, and reports neither.
    (text,) = heard
    assert "separation" in text
    assert "a linear combination of low predicts" in text
    assert table["coef"].iloc[1] * figure_of_r(model, "coef")[1, 0] > 0
    assert abs(table["coef"].iloc[1]) > 10


@pytest.mark.parametrize("link", sorted(LINKS))
def test_rows_rise_towards_an_end_where_their_likelihood_does(link):
    """The rule against log-likelihoods far out, of responses inside the range, at its ends and beyond."""
    y = np.array([-0.5, 0.0, 0.3, 1.0, 1.7])
    for sign in (-1.0, 1.0):
        likelihood = OnePredictor(Gaussian(), LINKS[link])
        claimed = likelihood.moved(y, np.full((len(y), 1), sign))[1] == 0
        with np.errstate(all="ignore"):
            # Where the mean is near its end, and differs from it.
            etas = (1e3, 1e4) if "inverse" in link else (2, 3)
            far, farther = (likelihood.deviances(y, LINKS[link].inverse(np.full(len(y), sign * eta))) for eta in etas)
            end = LINKS[link].inverse(np.float64(sign * 1e6))
        if not np.isfinite(end) or abs(end) > 1e3:
            assert not claimed.any()
        else:
            np.testing.assert_array_equal(claimed, farther < far)


def test_an_outlier_of_x_is_no_separation():
    """One row moves far and the others hardly, but they have a maximum."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 1))
    y = (rng.random(400) < 1 / (1 + np.exp(-x[:, 0]))) * 1.0
    x[0], y[0] = 1e6, 1.0
    for link in ("logit", "cloglog"):
        _, heard = fit_and_listen(GLMClassifier(link, method=MLE(max_iter=3)), *blocks(x, y, rows=100))
        assert not any("quasi-complete separation" in text for text in heard)


@pytest.mark.parametrize("method", [MLE(), OneStep(), OneStep(pilot_bytes=0), OneStep(2000)], ids=str)
@pytest.mark.parametrize("seed", [32, 34])
def test_separation_is_found_where_rounding_ends_the_ascent_early(seed, method):
    # A misspecified probit, flat up to rounding at a coefficient of -7 with a standard error of hundreds.
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(4000) < 0.03, rng.normal(size=4000) * 8, rng.normal(size=4000) * 0.6)
    chance = np.where(np.abs(x) > 3, 0.5, stats.norm.cdf(-0.5 + 2 * np.clip(x, -2, 2)))
    rare, y = 1.0 * (rng.random(4000) < 0.01), 1 * (rng.random(4000) < chance)
    y[rare == 1] = 0
    with pytest.warns(SeparationWarning, match="x1"):
        GLMClassifier("probit", method=method).fit(np.column_stack([x, rare]), y)


def diverging(design, y):
    """Return whose coefficients have no finite estimate in a binomial model, by linear programs (Konis, 2007)."""
    signed = (1 - 2 * y)[:, np.newaxis] * design

    def greatest(direction):
        return -linprog(-direction, signed, np.zeros(len(y)), bounds=[(-1, 1)] * len(direction)).fun

    return [any(greatest(sign * unit) > 1e-6 for sign in (1, -1)) for unit in np.eye(design.shape[1])]


@pytest.mark.slow
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("method", [MLE(), MLE(start=None), OneStep(), OneStep(100)], ids=str)
@pytest.mark.parametrize(("cov_type", "where"), [("nonrobust", "a"), ("HC1", "e"), ("cluster", "e"), ("HC1", "w")])
def test_quasi_complete_separation_is_the_one_warning_by_every_method_and_covariance(link, method, cov_type, where):
    rng = np.random.default_rng(17)
    g = rng.choice(list("abcde"), 400, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    frame = pd.DataFrame({"x": rng.normal(size=400), "g": g, "w": np.maximum(rng.normal(size=400) - 1, 0)})
    frame["y"] = 1.0 * (rng.random(400) < stats.norm.cdf(0.3 + 0.7 * frame.x))
    # All coefficients of g change without bound where its reference level has no events.
    frame.loc[(g == where) if where in "ae" else (frame.w > 0), "y"] = 1.0 - (where == "a")
    design = np.column_stack([np.ones(400), frame.x, *(g == level for level in "bcde"), frame.w]).astype(float)
    infinite = diverging(design, frame.y.to_numpy())
    names = np.array(["x", *(f"g[T.{level}]" for level in "bcde"), "w"])
    named = set(names[infinite[1:]])
    assert len(named) == (4 if where == "a" else 1)
    glm = GLMRegressor("binomial", link, formula="y ~ x + g + w", method=method, cov_type=cov_type)
    groups = np.arange(400) % 50 if cov_type == "cluster" else None
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        glm.fit(frame, groups=groups)
    (warning,) = [each for each in heard if each.category is not SmallPilotWarning]
    assert warning.category is SeparationWarning
    assert set(warning.message.facts["columns"]) == named
    assert glm.summary().verdict.endswith("; the MLE is not finite; see warnings.")
    rest = frame[(g != where) & (frame.w == 0 if where == "w" else True)]
    links = {"logit": sm.families.links.Logit, "probit": sm.families.links.Probit, "cloglog": sm.families.links.CLogLog}
    known = np.delete(design, {"a": 0, "e": 5, "w": 6}[where], axis=1)[rest.index]
    wanted = sm.GLM(rest.y.to_numpy(), known, sm.families.Binomial(links[link]())).fit(tol=1e-12)
    at = 0 if where == "a" else 1
    assert abs(glm.coef_table()["coef"]["x"] - wanted.params[at]) < 0.01 * wanted.bse[at]


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1"])
def test_lazy_fits_report_separation_of_small_tables_without_a_pass(link, cov_type):
    rng = np.random.default_rng(0)
    g, x = pd.Categorical(rng.choice(list("abc"), 400)), rng.normal(size=400)
    frame = pd.DataFrame({"x": x, "g": g, "y": 1.0 * (rng.random(400) < stats.norm.cdf(x))})
    # The pilot of all rows has a prior where its own fit does not converge, as with the logit link.
    found = {PilotWarning, SeparationWarning} if link == "logit" else {SeparationWarning}
    for events, most in ((frame.y, set()), (frame.y.where(g != "b", 1.0), found)):
        lazy = GLMRegressor("binomial", link, formula="y ~ x + g", cov_type=cov_type).fit_delayed(
            frame.assign(y=events)
        )
        estimate = lazy.compute().estimate_
        categories = [category for category, _ in estimate.warnings]
        assert len(categories) == bool(most)
        assert set(categories) <= most
        assert estimate.n_passes == 1
        assert SeparationWarning not in categories or "of g[T.b] predicts" in estimate.warnings[0][1]
