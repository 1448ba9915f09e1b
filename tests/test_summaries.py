"""Summaries as text: width, digits and escaping."""

import io
import pickle
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn import config_context
from support import chunked

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import DistanceWarning
from dask_onestep.families import Poisson
from dask_onestep.inference import coefficient_table
from dask_onestep.inference.summaries import Summary, format_coefficients
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.goodness import Overdispersion
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.links import LINKS
from dask_onestep.storage import read_model, write_model

NAMES = ("intercept", "a", "<script>alert(1)</script> & a very long name of a column")


def summary_of(coef=(1.5, -2e-9, 3.25e12), level=0.95, notes=()):
    coef = np.array(coef)
    table = coefficient_table(NAMES, coef, np.diag([0.25, 1e-20, np.nan]), level)
    return Summary("A <model>", "It & that.", (("rows", "1,000"), ("family", "poisson")), table, level, notes)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("method", ["one-step", "mle", "pilot"])
def test_lines_have_80_columns_at_the_most(threads, family, method):
    x, y, _ = make_glm(2000, 3, family=family, chunks=500)
    frame = pd.DataFrame(x.compute(), columns=["a", "b" * 60, "distance_in_miles"])
    glm = GLMRegressor(family, method=method).fit(frame, y.compute())
    text = str(glm.summary())
    assert max(map(len, text.splitlines())) <= 80
    assert text == repr(glm.summary())
    for name in ("intercept", "b" * 60, "distance_in_miles", family):
        assert name in text
    for name in ("rows", "rows dropped", "passes", "time", "covariance"):
        assert f"{name}:" in text
    errors = glm.coef_table()["std_err"]
    for value, error in zip((glm.intercept_, *glm.coef_), errors, strict=True):
        shown = min(map(float, re.findall(r"-?\d+\.\d+", text)), key=lambda number: abs(number - value))
        assert abs(shown - value) <= 0.01 * error


@pytest.mark.parametrize("coef", [(1.5, -2e-9, 3.25e12), (-1.23456789e-99, 1.23456789e9, np.nan), (0.0, -0.0, 1e5)])
def test_any_number_is_shown(coef):
    summary = summary_of(coef, notes=("a word " * 40,))
    lines = str(summary).splitlines()
    assert any(line.startswith("Warning: a word") for line in lines)
    below = lines.index(NAMES[2]) + 1  # a long name stands in a line of its own
    rows = [*(line for line in lines if line.startswith(("intercept", "a  "))), lines[below]]
    cells = [row.split()[-6:] for row in rows]
    errors = (0.5, 1e-10, np.nan)
    for row, value, error in zip(cells, coef, errors, strict=True):
        finest = 0.01 * error if np.isfinite(error) else 1e-3 * abs(value)
        np.testing.assert_allclose(float(row[0]), value, atol=max(finest, 1e-3 * abs(value)))
        np.testing.assert_allclose(float(row[1]), error, rtol=1e-3)


def test_decimals_are_aligned():
    coef, errors = [-12.25, 0.00123, 345.0, 0.5], [0.1, 0.00045, 2.0, 0.0123]
    table = coefficient_table(["a", "b", "c", "d"], np.array(coef), np.diag(np.square(errors)), 0.95)
    text = str(Summary("A", "B.", (), table, 0.95))
    rows = [line for line in text.splitlines() if line.startswith(("a ", "b ", "c ", "d "))]
    points = {tuple(at for at, letter in enumerate(row) if letter == ".") for row in rows}
    assert len(points) == 1
    assert len(points.pop()) == 6
    # The smallest standard error has three significant digits, and its coefficient as many decimals.
    assert rows[1].split()[1:3] == ["0.001230", "0.000450"]
    assert rows[2].split()[1:3] == ["345.000000", "2.000000"]


def test_coefficients_without_standard_errors_are_aligned_too():
    table = coefficient_table(["a", "b", "c"], np.array([-1.5, 0.0123, 3e-7]), np.full((3, 3), np.nan), 0.95)
    _, rows = format_coefficients(table, 0.95)
    assert [row.cells[0] for row in rows] == ["-1.5000", "0.0123", "3.000e-07"]


def test_levels_stand_under_their_factor_with_the_reference_named(threads):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=900), "carrier": rng.choice(["AA", "DL", "UA"], 900)})
    frame["m"] = rng.integers(1, 4, 900)
    frame["late"] = rng.choice(["no", "yes"], 900)
    frame["k"] = rng.choice(["k0", "k1", "k2"], 900)
    glm = GLMClassifier(formula="late ~ x + carrier + C(m, contr.treatment(2)) + x:carrier").fit(frame)
    lines = [line[:24].rstrip() for line in str(glm.summary()).splitlines()]
    at = lines.index("carrier")
    assert lines[at + 1 : at + 4] == ["  AA (reference)", "  DL", "  UA"]
    at = lines.index("C(m, contr.treatment(2))")
    assert lines[at + 1 : at + 4] == ["  1", "  2 (reference)", "  3"]
    assert "x:carrier[T.DL]" in lines
    for name, coefficient in zip(("  DL", "  UA"), ("carrier[T.DL]", "carrier[T.UA]"), strict=True):
        (row,) = [line for line in str(glm.summary()).splitlines() if line.startswith(name)]
        assert float(row.split()[1]) == pytest.approx(glm.coef_table().loc[coefficient, "coef"], abs=1e-3)
    several = GLMClassifier(formula="k ~ carrier").fit(frame).summary()
    assert [factor.name for factor in several.factors] == ["k1:carrier", "k2:carrier"]
    assert several.factors[1].levels == (("AA", None), ("DL", "k2:carrier[T.DL]"), ("UA", "k2:carrier[T.UA]"))
    # Sums to zero have no reference.
    assert not GLMClassifier(formula="late ~ C(carrier, contr.sum)").fit(frame).summary().factors
    full = GLMClassifier(formula="late ~ 0 + carrier").fit(frame).summary()
    assert [name for _, name in full.factors[0].levels] == ["carrier[AA]", "carrier[DL]", "carrier[UA]"]


@pytest.mark.parametrize(
    ("y", "response"),
    [
        ("late", "P(late = 'yes')"),
        (pd.Series([0.0, 1.0] * 50, name="arrived"), "P(arrived = 1.0)"),
        (np.array([False, True] * 50), "P(y = True)"),
        (np.array(["a", "b", "c", "c"] * 25), "y, log odds of each of 2 classes relative to 'a'"),
    ],
)
def test_the_summary_names_the_class_that_is_modeled(y, response):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100), "late": ["no", "yes"] * 50})
    frame = frame if isinstance(y, str) else frame[["x"]]
    glm = GLMClassifier().fit(frame, y)
    assert glm.summary().response == response
    assert f"Response: {response}" in str(glm.summary())
    assert "Response: " in glm.summary()._repr_html_()


def test_the_summary_names_the_mean_that_is_modeled():
    x = np.random.default_rng(0).normal(size=(100, 1))
    assert GLMRegressor("binomial").fit(x, [0.0, 1.0] * 50).summary().response == "P(y = 1)"
    assert GLMRegressor().fit(x, pd.Series(np.arange(100.0), name="miles")).summary().response == "E(miles)"


def test_a_wide_terminal_is_used(threads, monkeypatch):
    monkeypatch.setenv("COLUMNS", "130")
    summary = summary_of()
    assert max(map(len, str(summary).splitlines())) == 80  # not a terminal
    monkeypatch.setattr("sys.stdout", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    lines = str(summary).splitlines()
    assert max(map(len, lines)) == 130
    assert any(line.startswith(NAMES[2]) and line.endswith("nan") for line in lines)  # in one line with its numbers
    monkeypatch.setenv("COLUMNS", "20")
    assert "=" * 60 in str(summary).splitlines()


def test_aic_is_that_of_the_fit_statistics(threads):
    x, y, _ = make_glm(2000, 3, family="poisson", chunks=500)
    glm = GLMRegressor("poisson", method=MLE(tol=1e-20)).fit(x, y)
    fit, facts = glm.fit_statistics(x, y), dict(glm.summary().facts)
    assert facts["AIC"] == f"{fit.aic:,.2f}"
    assert facts["log-likelihood"] == f"{fit.llf:,.2f}"
    shown = dict(glm.summary(x, y).facts)
    assert shown["AIC"] == f"{fit.aic:,.2f}"
    assert shown["Pearson chi2/df"] == f"{fit.pearson_chi2 / fit.df_resid:.4g}"
    # Of other families with a dispersion, and of weighted sums of squares, a pass over the data is needed.
    positive = GLMRegressor("gamma", "log").fit(x, y + 1.0)
    weighted = GLMRegressor().fit(x, y, sample_weight=y + 1.0)
    assert all("AIC" not in dict(glm.summary().facts) for glm in (positive, weighted))


@pytest.mark.parametrize("method", [MLE(), OneStep(800), OneStep(800, steps=1)])
def test_least_squares_have_their_log_likelihood_without_a_pass(threads, method):
    x, y, _ = make_glm(3000, 3, family="gaussian", chunks=500)
    glm = GLMRegressor(method=method).fit(x, y)
    fit, facts = glm.fit_statistics(x, y), dict(glm.summary().facts)
    expected = sm.OLS(y.compute(), sm.add_constant(x.compute())).fit()
    assert (facts["log-likelihood"], facts["AIC"]) == (f"{fit.llf:,.2f}", f"{fit.aic:,.2f}")
    assert (facts["log-likelihood"], facts["AIC"]) == (f"{expected.llf:,.2f}", f"{expected.aic:,.2f}")


def test_several_classes_are_never_overdispersed(threads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 1))
    y = rng.choice(["a", "b", "c"], 2000)
    glm = GLMClassifier().fit(x, y)
    assert "Overdispersion" not in str(glm.summary(x, y))


def test_small_p_values_are_not_zero():
    text = str(summary_of())
    assert "<0.001" in text
    assert " 0.000 " not in text
    assert str(summary_of(level=0.9)).count("[0.05 ") == 1


class Reader(HTMLParser):
    """Collects tags and text, and fails on tags that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_escaped_and_closed():
    reader = Reader()
    reader.feed(summary_of(notes=("x < y & z",))._repr_html_())
    assert not reader.open
    assert "script" not in reader.tags
    said = " ".join(reader.text)
    assert "<script>alert(1)</script> & a very long name" in said
    assert "A <model>" in said
    assert "x < y & z" in said


def test_text_and_html_say_the_same(threads):
    x, y, _ = make_glm(2000, 2, family="binomial", chunks=500)
    glm = GLMClassifier(method=OneStep(800)).fit(x, y)
    reader = Reader()
    reader.feed(glm.summary()._repr_html_())
    text, said = str(glm.summary()), " ".join(reader.text)
    _, rows = format_coefficients(glm.coef_table(), 0.95)
    for cell in [cell for row in rows for cell in row.cells]:
        assert cell in text
        assert cell in said
    for words in ("2,000", "logit", "GLMClassifier: binomial with logit link, by OneStep", "read twice", "800"):
        assert words in text
        assert words in said


def test_what_a_reader_should_know_first(threads):
    x, y, _ = make_glm(2000, 2, family="poisson", chunks=500)
    assert "at the MLE" in str(GLMRegressor("poisson", method=MLE()).fit(x, y).summary())
    assert "standard errors from the MLE" in str(GLMRegressor("poisson", method=OneStep(800)).fit(x, y).summary())
    assert "one step was enough" in " ".join(
        str(GLMRegressor("poisson", method=OneStep(800)).fit(x, y).summary()).split()
    )
    pilot = str(GLMRegressor("poisson", method="pilot").fit(x, y).summary())
    assert "from the MLE" not in pilot
    assert "unknown" in pilot


def test_a_step_that_was_not_enough_is_said_so(threads):
    x, y, _ = make_glm(20_000, 2, family="binomial", chunks=5000)
    method = OneStep(150, steps=1, correction=None, tol=1e-4)
    with pytest.warns(DistanceWarning):
        text = str(GLMClassifier(method=method).fit(x, y).summary())
    assert "one step was not enough" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    more = GLMClassifier(method=method.set_params(steps=3)).fit(x, y)
    assert "3 steps were enough" in " ".join(str(more.summary()).split())


def test_dropped_rows_and_warnings_are_shown(threads):
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=600), np.ones(600)]
    x[:7, 0] = np.nan
    with pytest.warns(UserWarning, match="aliased"):
        glm = GLMRegressor(missing="drop").fit(chunked(x, (300, 300)), chunked(rng.normal(size=600), (300, 300)))
    text = str(glm.summary())
    assert "593" in text
    assert "rows dropped" in text
    assert "Warning: Coefficients of aliased columns are set to NaN: x1." in text
    assert "nan" in text


def test_notes_come_before_the_numbers_in_a_notebook():
    shown = summary_of(notes=("mind the gap",))._repr_html_()
    assert shown.index("mind the gap") < shown.index("<table>")


def test_a_fitted_estimator_shows_its_verdict_above_the_diagram():
    X, y, _ = make_glm(2000, 2)
    glm = GLMRegressor()
    assert "rows read" not in glm._repr_mimebundle_()["text/html"]
    shown = glm.fit(X, y)._repr_mimebundle_()["text/html"]
    first = "<p><b>GLMRegressor: gaussian with identity link, by OneStep</b><br>2,000 rows read once; at the MLE"
    assert shown.startswith(first)
    with config_context(display="text"):
        assert set(glm._repr_mimebundle_()) == {"text/plain"}


def test_overdispersion_is_noted_with_its_remedies(threads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2))
    y = rng.poisson(np.exp(0.5 + x @ [0.3, -0.2]) * rng.gamma(0.3, 1 / 0.3, 4000)).astype(float)
    glm = GLMRegressor("poisson").fit(x, y)
    # The pilot is all rows, which the fit keeps.
    assert [note for note in glm.summary().notes if "Overdispersion" in note] == list(glm.summary(x, y).notes)
    text = " ".join(str(glm.summary(x, y)).split())
    ratio = glm.fit_statistics(x, y).pearson_chi2 / glm.estimate_.df_resid
    assert f"Overdispersion: the variance of y is about {ratio:.2g} times that of the poisson family" in text
    assert "cov_type='HC1', family='quasipoisson', or family='negative-binomial'" in text
    robust = GLMRegressor("poisson", cov_type="HC1").fit(x, y)
    fine = GLMRegressor("poisson").fit(x, rng.poisson(np.exp(0.5 + x @ [0.3, -0.2])).astype(float))
    for other, response in ((robust, y), (fine, fine.predict(x).round())):
        assert "Overdispersion" not in str(other.summary(x, response))


METHODS_OF_ALL_ROWS = [OneStep(), OneStep(300), MLE(), MLE(start=None)]


@pytest.mark.parametrize("method", METHODS_OF_ALL_ROWS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("link", ["logit", "probit"])
def test_two_classes_have_their_events_and_a_pseudo_r2_without_a_pass(link, weighted, method):
    x, y, _ = make_glm(1500, 2, family="binomial", chunks=400)
    weights = np.random.default_rng(0).integers(1, 4, 1500).astype(float) if weighted else None
    glm = GLMClassifier(link, method=method).fit(x, y, sample_weight=weights)
    facts, whole = dict(glm.summary().facts), dict(glm.summary(x, y, sample_weight=weights).facts)
    assert facts["events"] == whole["events"] == f"{int(np.asarray(y).sum()):,}"
    assert float(facts["pseudo R2 (McFadden)"]) == pytest.approx(float(whole["pseudo R2 (McFadden)"]), abs=2e-4)
    if method.get_params().get("pilot_size") != 300:
        assert facts["pseudo R2 (McFadden)"] == whole["pseudo R2 (McFadden)"]


@pytest.mark.parametrize("method", METHODS_OF_ALL_ROWS)
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_have_a_pseudo_r2_without_a_pass(weighted, method):
    x, y, _ = make_glm(1500, 2, family="poisson", chunks=400)
    weights = np.random.default_rng(0).integers(1, 4, 1500).astype(float) if weighted else None
    glm = GLMRegressor("poisson", method=method, weight_type="frequency").fit(x, y, sample_weight=weights)
    fit = glm.fit_statistics(x, y, sample_weight=weights)
    assert glm.estimate_.loglik_null == pytest.approx(fit.llnull, rel=1e-12)
    assert dict(glm.summary().facts)["pseudo R2 (McFadden)"] == f"{1 - glm.estimate_.loglik / fit.llnull:.4f}"
    if glm.record_.pilot is not None and len(glm.record_.pilot.keys) == 1500:
        assert glm.estimate_.overdispersion.ratio == pytest.approx(fit.pearson_chi2 / fit.df_resid, rel=1e-9)


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("method", METHODS_OF_ALL_ROWS)
def test_least_squares_have_the_r2_of_statsmodels(method, solver):
    x, y, _ = make_glm(1500, 3, chunks=400)
    x = x * np.array([1.0, 100.0, 1e-3]) + np.array([0.0, 1e4, 0.0])
    expected = sm.OLS(y.compute(), sm.add_constant(x.compute())).fit()
    glm = GLMRegressor(method=method, solver=solver).fit(x, y)
    assert dict(glm.summary().facts)["R2"] == f"{expected.rsquared:.4f}"
    null = sm.OLS(y.compute(), np.ones(1500)).fit()
    assert glm.estimate_.loglik_null == pytest.approx(null.llf, rel=1e-9)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
@pytest.mark.parametrize("given", ["array", "column", "formula", "known levels"])
def test_sums_of_a_fit_with_an_offset_do_not_hold_its_null_model(family, given):
    """The mean of y is not the null model's fit: a pseudo-R² of 0.41 was shown in place of 0.03."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=400), "o": rng.normal(size=400)})
    frame["g"] = pd.Categorical(np.where(frame.x > 0, "a", "b"))
    frame["y"] = rng.poisson(np.exp(0.3 + 0.2 * frame.x + frame.o)) * 1.0
    if given == "formula":
        glm = GLMRegressor(family, formula="y ~ x + offset(o)").fit(frame)
    elif given == "known levels":
        glm = GLMRegressor(family).fit(frame[["g"]], frame.y, offset=frame.o)
    else:
        glm = GLMRegressor(family).fit(
            frame[["x"]], frame.y, offset=frame.o.to_numpy() if given == "array" else frame.o
        )
    assert not {"R2", "pseudo R2 (McFadden)"} & set(dict(glm.summary().facts))
    assert np.isnan(glm.estimate_.loglik_null)


def test_statistics_of_the_fit_survive_storage(tmp_path):
    x, y, _ = make_glm(1500, 2, family="poisson", chunks=400)
    classes = GLMClassifier(method=OneStep(300)).fit(x, y > 1)
    for glm in (classes, GLMRegressor("poisson", method=OneStep(300)).fit(x, y), GLMRegressor().fit(x, y)):
        write_model(glm, str(tmp_path / "model.json"))
        known = dict(glm.summary().facts)
        for again in (pickle.loads(pickle.dumps(glm)), read_model(str(tmp_path / "model.json"))):
            facts = dict(again.summary().facts)
            assert {name: facts.get(name) for name in known if name not in ("time", "pilot rows")} == {
                name: value for name, value in known.items() if name not in ("time", "pilot rows")
            }


@pytest.mark.parametrize("mean", [0.002, 0.05, 1.0, 50.0])
@pytest.mark.parametrize("n", [200, 2000, 20_000])
def test_counts_without_overdispersion_are_seldom_said_to_have_it(mean, n):
    rng = np.random.default_rng(0)
    x, model = np.ones((n, 0)), Model(OnePredictor(Poisson(), LINKS["log"]), ())
    for _ in range(300):
        y = rng.poisson(mean, n).astype(float)
        if y.any():
            found = Overdispersion.of(Rows(x, y), model, np.array([np.log(y.mean())]), 1, 1.0)
            assert not (found.ratio > 1.2 and found.ratio - 1 > 5 * found.std_err), y.sum()


@pytest.mark.parametrize("weight_type", ["variance", "frequency"])
def test_rows_without_residual_degrees_of_freedom_have_no_overdispersion(weight_type):
    model = Model(OnePredictor(Poisson(), LINKS["log"]), (), weight_type=weight_type)
    rows = Rows(np.ones((1, 0)), np.array([3.0]), np.ones(1))
    assert Overdispersion.of(rows, model, np.array([np.log(3.0)]), 1, 1.0) is None


def test_the_standard_error_of_the_overdispersion_is_that_of_its_distribution():
    rng = np.random.default_rng(1)
    model, n, mean = Model(OnePredictor(Poisson(), LINKS["log"]), ()), 4000, 2.0
    draws = [rng.poisson(mean, n).astype(float) for _ in range(200)]
    found = [Overdispersion.of(Rows(np.ones((n, 0)), y), model, np.array([np.log(y.mean())]), 1, 1.0) for y in draws]
    # Var{(y − μ)²/μ} = 2 + 1/μ, and 2 where the mean is estimated: the standard error is on the safe side.
    expected = np.sqrt(2.0 / n)
    assert np.std([each.ratio for each in found]) == pytest.approx(expected, rel=0.2)
    assert np.mean([each.std_err for each in found]) == pytest.approx(np.sqrt((2 + 1 / mean) / n), rel=0.05)


def test_the_overdispersion_of_many_rows_is_that_of_some(threads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(250_000, 1))
    y = rng.poisson(np.exp(0.3 * x[:, 0]) * rng.gamma(2.0, 0.5, 250_000)).astype(float)
    glm = GLMRegressor("poisson").fit(x, y)
    found, fit = glm.estimate_.overdispersion, glm.fit_statistics(x, y)
    assert found.n == 41_667
    assert abs(found.ratio - fit.pearson_chi2 / fit.df_resid) < 4 * found.std_err < 0.1
    assert "Pearson chi2/df (estimated)" in dict(glm.summary().facts)


def test_the_overdispersion_of_some_rows_has_their_share_of_the_coefficients(threads, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4000, 400)), rng.poisson(5.0, 4000).astype(float)
    found = []
    for enough in (4001, 2500):
        monkeypatch.setattr("dask_onestep.kernels.pilots.pilot._ENOUGH", enough)
        found.append(GLMRegressor("poisson").fit(x, y).estimate_.overdispersion)
    assert [each.n for each in found] == [4000, 2000]
    for each in found:
        assert abs(each.ratio - 1.0) < 0.05  # 2000 rows with 400 coefficients would have 1.125


def test_a_mild_overdispersion_is_noted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8000, 2))
    y = rng.poisson(np.exp(1 + x @ [0.3, -0.2]) * rng.gamma(8.0, 1 / 8.0, 8000)).astype(float)
    glm = GLMRegressor("poisson").fit(x, y)
    assert 1.2 < glm.estimate_.overdispersion.ratio < 1.5
    assert "Overdispersion: the variance of y is about 1." in " ".join(str(glm.summary()).split())


def test_overdispersed_proportions_have_quasibinomial_as_a_remedy(threads):
    rng = np.random.default_rng(0)
    x, trials = rng.normal(size=(3000, 1)), np.full(3000, 20.0)
    y = rng.binomial(20, rng.beta(1.0, 1.0, 3000)) / 20
    text = " ".join(str(GLMRegressor("binomial").fit(x, y, sample_weight=trials).summary()).split())
    assert "that of the binomial family" in text
    assert "Use cov_type='HC1' or family='quasibinomial'" in text
