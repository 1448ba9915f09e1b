"""Tables for documents: ratios, Markdown, LaTeX, HTML, and the attributes that maketables asks for."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from r import data_of_r

from dask_onestep import GLMClassifier, GLMRegressor

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
