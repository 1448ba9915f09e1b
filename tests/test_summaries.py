"""Summaries as they are read: width, digits and escaping."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from support import chunked

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import DistanceWarning
from dask_onestep.inference import coefficient_table
from dask_onestep.inference.summaries import Summary

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
    assert "intercept" in text
    assert "distance_in_miles" in text
    assert family in text
    for value in (glm.intercept_, *glm.coef_):
        assert f"{value:.6g}" in text


@pytest.mark.parametrize("coef", [(1.5, -2e-9, 3.25e12), (-1.23456789e-99, 1.23456789e9, np.nan), (0.0, -0.0, 1e5)])
def test_any_number_fits_its_column(coef):
    summary = summary_of(coef, notes=("a word " * 40,))
    lines = str(summary).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("Warning: a word") for line in lines)
    rows = [line for line in lines if line.startswith(("intercept", "a ", "<script"))]
    assert [len(row.replace("of a", "of").split()[-6:]) for row in rows] == [6, 6, 6]


def test_small_p_values_are_not_zero():
    text = str(summary_of())
    assert "<0.001" in text
    assert " 0.000 " not in text
    assert str(summary_of(level=0.9)).count("[0.050") == 1


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
    numbers = [f"{value:.6g}" for value in glm.estimate_.coef]
    for number in [*numbers, *(f"{value:.4g}" for value in glm.coef_table()["std_err"])]:
        assert number in text
        assert number in said
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
    more = GLMClassifier(method=method.set_params(steps=2)).fit(x, y)
    assert "2 steps were enough" in " ".join(str(more.summary()).split())


def test_dropped_rows_and_warnings_are_shown(threads):
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=600), np.ones(600)]
    x[:7, 0] = np.nan
    with pytest.warns(UserWarning, match="Aliased"):
        glm = GLMRegressor(missing="drop").fit(chunked(x, (300, 300)), chunked(rng.normal(size=600), (300, 300)))
    text = str(glm.summary())
    assert "593" in text
    assert "rows dropped" in text
    assert "Warning: Aliased columns get NaN: x1." in text
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
    assert "Overdispersion" not in str(glm.summary())  # it is not known without the data
    text = " ".join(str(glm.summary(x, y)).split())
    ratio = glm.fit_statistics(x, y).pearson_chi2 / glm.estimate_.df_resid
    assert f"Overdispersion: the variance of y is about {ratio:.2g} times that of the poisson family" in text
    assert "cov_type='HC1', or family='negative-binomial'" in text
    robust = GLMRegressor("poisson", cov_type="HC1").fit(x, y)
    fine = GLMRegressor("poisson").fit(x, rng.poisson(np.exp(0.5 + x @ [0.3, -0.2])).astype(float))
    for other, response in ((robust, y), (fine, fine.predict(x).round())):
        assert "Overdispersion" not in str(other.summary(x, response))
