"""Tables for documents: ratios, Markdown, LaTeX, HTML; what maketables and marginaleffects ask of a model."""

import sys
from types import ModuleType, SimpleNamespace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from r import data_of_r
from support import finite_difference

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.estimators import exchange

DATA = data_of_r()
X = DATA[["x", "z"]]


def test_ratios_are_exponentiated_with_their_intervals():
    glm = GLMClassifier(method="mle").fit(X, DATA["event"])
    table, plain = glm.coef_table(0.9, exponentiate=True), glm.coef_table(0.9)
    theirs = sm.Logit(DATA["event"], sm.add_constant(X)).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose(table["coef"], np.exp(theirs.params), rtol=1e-6)
    np.testing.assert_allclose(table[["ci_lower", "ci_upper"]], np.exp(theirs.conf_int(0.1)), rtol=1e-6)
    # The delta method: the derivative of exp(β) is itself.
    np.testing.assert_allclose(table["std_err"], np.exp(theirs.params) * theirs.bse, rtol=1e-6)
    pd.testing.assert_frame_equal(table[["z", "p_value"]], plain[["z", "p_value"]])


@pytest.mark.parametrize(("family", "link"), [("gaussian", None), ("binomial", "probit")])
def test_links_without_ratios_refuse(family, link):
    glm = GLMRegressor(family, link, method="mle").fit(X, DATA["event"])
    with pytest.raises(ValueError, match="exponentiate=True needs one of the links 'logit', 'log', 'cloglog'"):
        glm.coef_table(exponentiate=True)


@pytest.fixture(scope="module")
def summary():
    frame = DATA.assign(a_b=np.where(DATA["day"] > 4, "100 % & more", "[few]"))
    return GLMRegressor("poisson", formula="count ~ x + a_b", method="mle").fit(frame).summary()


def test_markdown_has_a_table_with_as_many_cells_in_each_row(summary):
    rows = [line for line in summary.to_markdown().splitlines() if line.startswith("| ")]
    cells = {line.replace("\\|", "").count("|") for line in rows}
    assert cells == {8}
    assert any("100 % & more" in line for line in rows)
    assert rows[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"


def test_latex_escapes_what_it_reads_as_commands(summary):
    text = summary.to_latex()
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert body[0] == r"\begin{tabular}{lrrrrrr}"
    assert body[-1] == r"\end{tabular}"
    assert r"\quad 100 \% \& more (reference)" in text
    assert r"\quad {[}few] & " in text
    assert r"a\_b" in text
    assert all(line.endswith(r"\\") or line.startswith("\\") for line in body)
    # Columns: of each row that has numbers as many as the head has.
    numbers = [line for line in body if line.count("&") - line.count(r"\&") == 6]
    assert len(numbers) == 1 + len(summary.table)


def test_html_is_what_a_notebook_shows(summary):
    assert summary.to_html() == summary._repr_html_()


# The contract of maketables' plug-in: the columns b, se, t, p; strings, dicts and lists of the other attributes.
def test_attributes_of_maketables():
    glm = GLMRegressor("poisson", cov_type="CRV3", formula="count ~ x + z").fit(DATA, groups="site")
    table, ours = glm.__maketables_coef_table__, glm.coef_table()
    assert table.index.tolist() == ["Intercept", "x", "z"]
    assert table.index.name == "Coefficient"
    np.testing.assert_array_equal(table[["b", "se", "t", "p", "ci95l", "ci95u"]], ours)
    np.testing.assert_array_equal(table[["ci90l", "ci90u"]], glm.conf_int(0.9))
    assert glm.__maketables_depvar__ == "count"
    assert glm.__maketables_vcov_info__ == {"vcov_type": "CRV3"}
    assert glm.__maketables_fixef_string__ is None
    keys = glm.__maketables_default_stat_keys__
    assert keys == ["family", "N", "n_clusters", "ll", "aic"]
    fit = glm.fit_statistics(DATA)
    found = {key: glm.__maketables_stat__(key) for key in keys}
    assert (found["N"], found["n_clusters"], found["family"]) == (120, 12, "poisson")
    np.testing.assert_allclose([found["ll"], found["aic"]], [fit.llf, fit.aic], rtol=1e-9)
    assert glm.__maketables_stat__("r2") is None
    assert set(glm.__maketables_stat_labels__) >= {"family"}


def test_they_exist_once_fitted_and_are_silent_on_what_takes_a_pass():
    assert not hasattr(GLMRegressor(), "__maketables_coef_table__")
    glm = GLMRegressor("gamma", "log").fit(X, DATA["positive"])
    assert glm.__maketables_default_stat_keys__ == ["family", "N"]
    assert glm.__maketables_stat__("ll") is None


class Frame:
    """What is needed of Polars' DataFrame."""

    def __init__(self, rows):
        self.rows = pd.DataFrame(rows)
        self.columns = self.rows.columns.tolist()

    def to_pandas(self):
        return self.rows

    def __getitem__(self, name):
        return self.rows[name]


class Abstract:
    """What is needed of marginaleffects' ModelAbstract."""

    def __init__(self, model, vault):
        self.model, self.vault = model, vault


@pytest.fixture
def marginaleffects(monkeypatch):
    """Stand in for marginaleffects and Polars: tests/marginaleffects/adapter.py goes by the packages themselves."""
    polars = ModuleType("polars")
    polars.DataFrame, polars.from_pandas = Frame, Frame
    polars.Series = polars.LazyFrame = type("NotUsed", (), {})  # narwhals asks for them
    classes = ModuleType("marginaleffects.classes")
    classes.ModelAbstract, classes.ModelVault = Abstract, SimpleNamespace
    monkeypatch.setitem(sys.modules, "polars", polars)
    monkeypatch.setitem(sys.modules, "marginaleffects", ModuleType("marginaleffects"))
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", classes)
    monkeypatch.setattr(exchange, "_with_levels", lambda rows, record, pl: rows)
    exchange._adapter.cache_clear()
    yield
    exchange._adapter.cache_clear()


@pytest.mark.parametrize("offset", [False, True])
def test_a_model_of_marginaleffects_predicts_and_has_its_standard_errors(marginaleffects, offset):
    formula = "count ~ x * z" + " + offset(np.log1p(x**2))" * offset
    glm = GLMRegressor("poisson", formula=formula, cov_type="HC1").fit(DATA)
    model = glm.to_marginaleffects(DATA)
    assert model.vault.variable_names == ["count", "x", "z"]
    coef = model.vault.coef
    exog = model.get_exog(Frame(DATA))
    found = model.get_predict(coef, exog).rows
    np.testing.assert_allclose(found["estimate"], glm.predict(DATA), rtol=1e-12)
    assert found["rowid"].tolist() == list(range(len(DATA)))
    # The delta method, as the package has it.
    jacobian = finite_difference(
        lambda beta: np.atleast_1d(model.get_predict(beta, exog).rows["estimate"].mean()), coef
    )
    average = glm.avg_predictions(DATA).iloc[0]
    spread = np.sqrt(jacobian @ model.get_vcov() @ jacobian.T).item()
    np.testing.assert_allclose(
        [found["estimate"].mean(), spread], average[["estimate", "std_err"]].astype(float), rtol=1e-6
    )
    assert model.get_exog(Frame(DATA)).shape[1] == len(coef) + offset
    assert model.get_autodiff_args() == {"model_type": "glm", "family": "poisson", "link": "log"}
    np.testing.assert_array_equal(model.get_vcov("HC1"), glm.covariance_)
    assert model.get_vcov(False) is None
    assert np.isnan(model.get_df())
    with pytest.raises(ValueError, match=r"use glm.with_covariance\('HC3', X, y\).to_marginaleffects"):
        model.get_vcov("HC3")


def test_a_model_of_classes_predicts_each_by_name(marginaleffects):
    kind = np.select([DATA["x"] < -0.5, DATA["x"] < 0.5], ["a", "b"], "c")
    glm = GLMClassifier().fit(DATA[["z"]], kind)
    model = glm.to_marginaleffects(DATA)
    found = model.get_predict(model.vault.coef, Frame(DATA)).rows
    wide = found.pivot(index="rowid", columns="group", values="estimate")
    np.testing.assert_allclose(wide, glm.predict_proba(DATA[["z"]]), rtol=1e-12)
    assert model.get_autodiff_args() is None
    binary = GLMClassifier("probit", formula="event ~ x").fit(DATA)
    model = binary.to_marginaleffects(DATA)
    np.testing.assert_allclose(
        model.get_predict(model.vault.coef, Frame(DATA)).rows["estimate"], binary.predict_proba(DATA)[:, 1], rtol=1e-12
    )


def test_what_a_model_of_marginaleffects_needs(monkeypatch):
    glm = GLMRegressor("poisson", formula="count ~ x").fit(DATA)
    for rows in (dd.from_pandas(DATA, npartitions=2), DATA[["x"]].to_numpy()):
        with pytest.raises(TypeError, match="marginaleffects takes rows in memory, got"):
            glm.to_marginaleffects(rows)
    apart = GLMRegressor("poisson").fit(DATA[["x"]], DATA["count"], offset=DATA["z"])
    with pytest.raises(ValueError, match="write it into the formula, offset"):
        apart.to_marginaleffects(DATA[["x"]])
    monkeypatch.setitem(sys.modules, "marginaleffects", None)
    exchange._adapter.cache_clear()
    with pytest.raises(ImportError, match="pip install marginaleffects"):
        glm.to_marginaleffects(DATA)
