"""Columns of a table that are not what they seem: one level, thousands of levels, dates, lists, numbers for names."""

import warnings

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.exceptions import AliasingWarning, ManyLevelsWarning, SeparationWarning

N = 600
FORMS = [pytest.param(lambda frame: frame, id="pandas"), pytest.param(lambda f: dd.from_pandas(f, 3), id="dask")]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"x": rng.normal(size=N), "one": "u", "word": [f"w{i % 90}" for i in range(N)]})
    return table.assign(y=table.x + rng.normal(size=N), day=np.arange(N) % 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("formula", [None, "y ~ x + one", "y ~ x*one", "y ~ x + C(one)"])
def test_a_column_of_one_level_is_named(table, form, formula):
    glm, data = GLMRegressor(formula=formula), form(table)
    with pytest.warns(AliasingWarning, match=r"one\)? has only one level, 'u', and therefore no coefficient") as met:
        glm.fit(data) if formula else glm.fit(data[["x", "one", "y"]], "y")
    assert [warning.filename for warning in met] == [__file__]
    assert glm.coef_table().index.tolist() == ["intercept", "x"]
    assert [category for category, _ in glm.estimate_.warnings] == [AliasingWarning]
    assert "only one level" in str(glm.summary())


def test_a_level_that_has_a_coefficient_is_no_matter(table):
    pytest.importorskip("formulaic")
    assert GLMRegressor(formula="y ~ 0 + one").fit(table).coef_table().index.tolist() == ["one[u]"]
    assert GLMRegressor(formula="y ~ x:one").fit(table).coef_table().index.tolist() == ["intercept", "x:one[u]"]


def test_a_lazy_fit_keeps_it(table):
    pytest.importorskip("formulaic")
    lazy = GLMRegressor(formula="y ~ x + C(one, levels=['u'])").fit_delayed(dd.from_pandas(table, 3))
    ((category, text),) = lazy.compute().estimate_.warnings
    assert category is AliasingWarning
    assert text.startswith("C(one, levels=['u']) has only one level")


@pytest.mark.parametrize("form", FORMS)
def test_words_of_many_values_are_named_unless_they_are_called_categories(table, form):
    data = form(table)
    with pytest.warns(ManyLevelsWarning, match="word is a string column with 90 distinct values in 600 rows"):
        glm = GLMRegressor().fit(data[["word", "y"]], "y")
    assert [category for category, _ in glm.estimate_.warnings] == [ManyLevelsWarning]
    known = form(table.astype({"word": "category"}))
    fits = [GLMRegressor().fit(known[["word", "y"]], "y"), GLMRegressor(formula="y ~ C(word)").fit(data)]
    for fit in fits:
        np.testing.assert_allclose(fit.coef_, glm.coef_, rtol=1e-9, atol=1e-9)
        assert fit.estimate_.warnings == ()


def test_they_are_named_before_the_passes_of_the_fit(table, monkeypatch):
    def never(*_):
        raise RuntimeError("the method began")

    monkeypatch.setattr(GLMRegressor, "_plan", never)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ManyLevelsWarning)
        with pytest.raises(ManyLevelsWarning):
            GLMRegressor().fit(table[["word", "y"]], "y")
    with pytest.raises(RuntimeError):
        GLMRegressor().fit(table[["x", "y"]], "y")


TIMES = {
    "dates": lambda day: pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D"),
    "dates of a zone": lambda day: pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(day, "D"),
    "durations": lambda day: pd.to_timedelta(day, "D"),
    "months": lambda day: pd.PeriodIndex.from_ordinals(day + 600, freq="M"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TIMES)
def test_times_are_categories_where_they_are_called_so(table, form, kind):
    pytest.importorskip("formulaic")
    data = form(table.assign(t=TIMES[kind](table["day"].to_numpy())))
    glm = GLMRegressor(formula="y ~ x + C(t)").fit(data)
    numbered = GLMRegressor(formula="y ~ x + C(day)").fit(table)
    np.testing.assert_allclose(glm.coef_, numbered.coef_, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(glm.predict(data)), numbered.predict(table), rtol=1e-9)
    for formula in ("y ~ t", "y ~ C(t) + t", None):
        refused = GLMRegressor(formula=formula)
        with pytest.raises(ValueError, match=r"hold dates or durations.*C\(t\) in a formula, X\['t'\].astype\('categ"):
            refused.fit(data) if formula else refused.fit(data[["t", "y"]], "y")


def test_lists_are_refused_where_they_can_be_told(table):
    lists = table.assign(l=[[i % 2] for i in range(N)])[["x", "l", "y"]]
    with pytest.raises(ValueError, match="l holds lists or dicts; expand them into columns"):
        GLMRegressor().fit(lists, "y")
    with dask.config.set({"dataframe.convert-string": False}):
        data = dd.from_pandas(lists, 3)
        with pytest.raises(ValueError, match="l holds lists or dicts; expand them into columns"):
            GLMRegressor().fit(data, "y")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", [False, True])
def test_numbers_for_names_are_no_feature_names(table, form, words):
    frame = pd.DataFrame({0: table["x"], 1: table["day"], **({2: np.where(table["x"] > 0, "a", "b")} if words else {})})
    glm = GLMRegressor().fit(table[["x", "y"]], "y")
    glm.fit(form(frame), form(table)["y"])
    assert not hasattr(glm, "feature_names_in_")
    assert glm.coef_table().index.tolist() == ["intercept", "0", "1", *(["2[T.b]"] if words else [])]
    renamed = frame.rename(columns=str)
    named = GLMRegressor().fit(renamed, table["y"])
    assert named.feature_names_in_.tolist() == ["0", "1", *(["2"] if words else [])]
    np.testing.assert_allclose(np.asarray(glm.predict(form(frame))), named.predict(renamed), rtol=1e-9)


def numbers_as_text(n=600):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"miles": (rng.integers(0, 60, n) / 2).astype(str), "y": rng.normal(size=n)})


@pytest.mark.parametrize("others", [[], ["?"]])
def test_text_that_holds_numbers_is_remarked_on(others):
    frame = numbers_as_text()
    frame.loc[: len(others) - 1, "miles"] = others
    with pytest.warns(ManyLevelsWarning) as said:
        GLMRegressor(formula="y ~ miles").fit(frame)
    (text,) = {str(warning.message) for warning in said}
    assert "miles is a string column whose values are numbers" in text
    assert "pandas.to_numeric(X['miles'], errors='coerce')" in text
    assert ("only ['?'] are not" in text) is bool(others)


def test_codes_and_categories_are_no_numbers_as_text():
    frame = numbers_as_text()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ManyLevelsWarning)
        GLMRegressor(formula="y ~ C(miles)").fit(frame)
        GLMRegressor(formula="y ~ miles").fit(frame.assign(miles=frame["miles"].str[0]))


@pytest.mark.parametrize("method", [OneStep(), OneStep(300), MLE()])
@pytest.mark.parametrize(("family", "formula"), [("binomial", "event ~ miles"), ("poisson", "count ~ miles")])
def test_the_separation_that_text_of_numbers_makes_is_no_cause_of_its_own(family, formula, method):
    frame = numbers_as_text()
    frame["miles"] = (frame.index % 300 / 2).astype(str)
    frame["event"] = (frame.y > 0) * 1.0
    frame["count"] = np.random.default_rng(1).poisson(1.0, len(frame))
    with pytest.warns(ManyLevelsWarning, match="whose values are numbers") as said:
        glm = GLMRegressor(family, formula=formula, method=method).fit(dd.from_pandas(frame, npartitions=3))
    assert len(said) == len(glm.estimate_.warnings) == 1
    coded = formula.replace("miles", "C(miles)")  # who says so means it
    with pytest.warns(SeparationWarning) as said:
        GLMRegressor(family, formula=coded, method=method).fit(dd.from_pandas(frame, npartitions=3))
    assert len(said) == 1
