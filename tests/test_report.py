"""The report: it agrees with the table, and refers to nothing outside itself."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import chunked

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, exceptions
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import AliasingWarning, DistanceWarning, PilotWarning, StepWarning, UnlikePilotWarning
from dask_onestep.report import block_fits, report_html, write_report
from dask_onestep.storage import model_record, read_model, write_model


def table(n=800):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(["a<b", "c"], n)})
    frame["w"] = rng.integers(1, 4, n).astype(float)
    frame["y"] = (rng.random(n) < 1 / (1 + np.exp(-frame["x"]))).astype(float)
    return frame


def test_the_report_says_what_the_table_says(tmp_path):
    data = dd.from_pandas(table().drop(columns="w"), npartitions=4)
    glm = GLMRegressor("binomial").fit(data, "y")
    write_report(glm, str(tmp_path / "report.html"), data, "y", call="fit <it>")
    text = (tmp_path / "report.html").read_text()
    cells = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>", text)
    shown = {name: (float(coef), float(std_err)) for name, coef, std_err in cells if name not in "0123"}
    for name, row in glm.coef_table().iterrows():
        escaped = f"&emsp;{name[4:-1]}" if name.startswith("g[T.") else name  # levels stand under their factor
        atol = 0.01 * row["std_err"]
        np.testing.assert_allclose(shown[escaped], [row["coef"], row["std_err"]], rtol=1e-3, atol=atol)
    assert "fit &lt;it&gt;" in text
    assert f"{glm.fit_statistics(data, 'y').llf:,.2f}" in text
    assert "<td>&emsp;a&lt;b (reference)</td>" in text
    assert "Response: <code>P(y = 1)</code>" in text
    assert not re.search(r"(src|href)=|https?://|<script", text)


SCRIPT = "<script>alert(1)</script>"


def test_names_labels_and_formulas_are_escaped_wherever_html_is_written(tmp_path):
    frame = table()
    frame[SCRIPT] = np.where(frame["x"] > 0, f"{SCRIPT}&'\"", "b")
    frame["word"] = np.where(frame["y"] == 1, f"</td>{SCRIPT}", f"<img src=x onerror={SCRIPT}>")
    data = dd.from_pandas(frame[["x", "g", SCRIPT, "word"]], npartitions=2)
    formula = f"word ~ x + `{SCRIPT}`"
    shown = []
    for glm in (GLMClassifier().fit(data, "word"), GLMClassifier(formula=formula).fit(data)):
        y = None if glm.formula else "word"
        write_report(glm, str(tmp_path / "report.html"), data, y, call=SCRIPT)
        shown += [(tmp_path / "report.html").read_text(), glm.summary()._repr_html_(), glm._repr_html_()]
        name = next(name for name in glm.coef_table().index if "script" in name)
        shown.append(glm.wald_test([name])._repr_html_())
    for html in shown:
        assert SCRIPT not in html
        assert "onerror=" not in html.replace("onerror=&lt;", "")
    assert all("&lt;script&gt;" in html for html in shown[:2])


def test_blocks_are_observed_beside_expected():
    frame = table()
    frame["label"] = np.where(frame["y"] == 1, "yes", "no")
    data = dd.from_pandas(frame, npartitions=4)[["x", "w", "label"]]
    glm = GLMClassifier(method=MLE(tol=1e-20)).fit(data, "label", sample_weight="w")
    blocks = block_fits(glm, data, "label", sample_weight="w")
    mean = glm.predict_proba(frame[["x"]])[:, 1]
    assert [block.number for block in blocks] == [0, 1, 2, 3]
    for block, rows in zip(blocks, np.split(np.arange(800), 4), strict=True):
        w, y, p = frame["w"].to_numpy()[rows], frame["y"].to_numpy()[rows], mean[rows]
        assert block.n == 200
        expected = (np.sum(w * y), np.sum(w * p), np.sum(w * p * (1 - p)))
        np.testing.assert_allclose((block.observed, block.expected, block.variance), expected, rtol=1e-10)
        np.testing.assert_allclose(block.z(2.0), np.sum(w * (y - p)) / np.sqrt(2 * np.sum(w * p * (1 - p))))
    # At the MLE of a canonical link with an intercept, the blocks balance.
    assert sum(block.observed - block.expected for block in blocks) == pytest.approx(0, abs=1e-8)


def test_blocks_that_differ_are_pointed_at():
    frame = table()[["x", "y"]]
    same = dd.from_pandas(frame, npartitions=8)
    glm = GLMRegressor("binomial").fit(same, "y")
    assert "expected by chance" in report_html(glm, glm.summary(), block_fits(glm, same, "y"))
    moved = dd.from_pandas(frame.assign(y=np.repeat([0.0, 1.0], 400)), npartitions=8)
    other = GLMRegressor("binomial").fit(moved, "y")
    assert "8 of 8 blocks" in report_html(other, other.summary(), block_fits(other, moved, "y"))
    assert "How blocks differ" not in report_html(other, other.summary())


def unlike(seed=0, n=20_000):
    """Return rows of which a few are influential, with a pilot without them, by which nothing is left to gain."""
    rng = np.random.default_rng(seed)
    x = np.c_[rng.standard_t(2, n), rng.normal(size=n)]
    return x, (rng.random(n) < 1 / (1 + np.exp(-0.5 * x[:, 1]))).astype(float)


def test_the_verdict_yields_to_warnings_that_contradict_it(tmp_path):
    x, y = unlike()
    with pytest.warns(UnlikePilotWarning, match="far from the MLE even if the Newton decrement is small"):
        glm = GLMClassifier(method=OneStep(600, steps=1)).fit(x, y)
    assert glm.decrement_ < 0.01
    assert glm.summary().verdict == "20,000 rows read twice; distance to the MLE uncertain; see warnings."
    write_report(glm, str(tmp_path / "report.html"), x, y)
    page = (tmp_path / "report.html").read_text()
    assert f"<p class='verdict'>{glm.summary().verdict}</p>" in page
    write_model(glm, str(tmp_path / "model.json"))
    kept = read_model(str(tmp_path / "model.json"))
    assert kept.summary().verdict == glm.summary().verdict


@pytest.mark.parametrize("category", [DistanceWarning, PilotWarning, StepWarning, UnlikePilotWarning])
def test_each_of_these_warnings_takes_the_verdict_back(category):
    x, y, _ = make_glm(4000, 2, family="poisson")
    glm = GLMRegressor("poisson", method=OneStep(1265)).fit(x, y)
    assert "one step was enough" in glm.summary().verdict
    glm.record_ = replace(glm.record_, estimate=replace(glm.estimate_, warnings=((category, "But."),)))
    assert "uncertain" in glm.summary().verdict
    glm.record_ = replace(glm.record_, estimate=replace(glm.estimate_, warnings=((AliasingWarning, "Some."),)))
    assert "uncertain" not in glm.summary().verdict


def test_the_report_has_the_exact_log_likelihood_and_a_fit_its_estimate(tmp_path):
    x, y, _ = make_glm(4000, 3, family="poisson", chunks=1000)
    exact = {"HC0": (OneStep(1265), False), "nonrobust": (OneStep(1265), True)}
    for cov_type, (method, estimated) in exact.items():
        glm = GLMRegressor("poisson", method=method, cov_type=cov_type).fit(x, y)
        facts, llf = dict(glm.summary().facts), glm.fit_statistics(x, y).llf
        assert glm.estimate_.loglik_estimated is estimated
        assert ("log-likelihood (estimated)" in facts, "log-likelihood" in facts) == (estimated, not estimated)
        assert (f"{llf:,.2f}" == facts.get("log-likelihood")) is not estimated
        assert max(map(len, str(glm.summary()).splitlines())) <= 80
        assert model_record(glm)["loglik_estimated"] is estimated
        write_model(glm, str(tmp_path / "model.json"))
        assert read_model(str(tmp_path / "model.json")).estimate_.loglik_estimated is estimated
        page = report_html(glm, glm.summary(x, y))
        assert f"<dt>log-likelihood</dt><dd>{llf:,.2f}</dd>" in page
        assert "estimated" not in page
        assert ("extrapolated from the pilot rows" in report_html(glm, glm.summary())) is estimated
    for glm in (GLMRegressor("poisson", method="mle").fit(x, y), GLMRegressor().fit(x, y)):
        assert not glm.estimate_.loglik_estimated


def test_a_warning_says_in_words_where_the_documentation_speaks_of_it():
    x, y = unlike()
    with pytest.warns(UnlikePilotWarning):
        glm = GLMClassifier(method=OneStep(600, steps=1)).fit(x, y)
    page = report_html(glm, glm.summary())
    assert "Documentation, page “Warnings and errors”, section “Pilot not representative”" in page
    assert "warnings#" not in page
    headings = (Path(__file__).parents[1] / "docs/reference/warnings.md").read_text()
    for name in exceptions.__all__:
        if anchor := getattr(getattr(exceptions, name), "anchor", ""):
            assert f"\n## {anchor.replace('-', ' ').capitalize()}\n".lower() in headings.lower()


def test_long_names_are_wrapped():
    frame = table().rename(columns={"x": "a_name_as_long_as_those_that_databases_give_" * 2})
    glm = GLMClassifier().fit(frame, "y")
    page = report_html(glm, glm.summary())
    assert "td:first-child{overflow-wrap:anywhere}" in page
    assert ".wide td:first-child{white-space:nowrap}" not in page


def test_levels_of_a_factor_share_a_scale():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=3000), "g": rng.choice(list("abc"), 3000)})
    frame["y"] = 100 * frame["x"] + frame["g"].map({"a": 0.0, "b": 1.0, "c": 4.0}) + rng.normal(size=3000)
    glm = GLMRegressor(formula="y ~ x + g", method=MLE()).fit(frame)
    text = report_html(glm, glm.summary())
    centres = dict(re.findall(r"<tr><td>([^<]*)</td><td>.*?<circle cx='([\d.]+)'", text))
    reach = {name: float(centre) - 95 for name, centre in centres.items()}
    ratio = glm.coef_[1] / glm.coef_[2]
    assert reach["&emsp;b"] / reach["&emsp;c"] == pytest.approx(ratio, abs=0.01)
    assert reach["x"] > 80  # on a scale of its own
    assert "<b>pilot rows</b>" not in text
    assert "<b>passes</b>: number of passes over all rows" in text


def test_a_single_block_is_not_compared_with_others():
    frame = table()[["x", "y"]]
    glm = GLMRegressor("binomial").fit(frame, "y")
    page = report_html(glm, glm.summary(), block_fits(glm, frame, "y"))
    assert "blocks" not in page
    assert "How blocks differ" not in page
    assert "<h2>Calibration</h2>" in page


def test_the_call_stands_at_the_top():
    glm = GLMRegressor("binomial").fit(table()[["x", "y"]], "y")
    page = report_html(glm, glm.summary(), call="dask-onestep fit 'y ~ x' <a>.csv")
    assert page.index("<p>Call: <code>dask-onestep fit") < page.index("<h2>Coefficients")
    assert "&lt;a&gt;.csv" in page
    assert f"<p>Call: <code>{escape(repr(glm))}</code></p>" in report_html(glm, glm.summary())


@pytest.mark.parametrize(
    ("family", "link", "name"),
    [
        ("binomial", None, "odds ratio"),
        ("poisson", None, "rate ratio"),
        ("gamma", "log", "ratio of means"),
        ("binomial", "probit", ""),
        ("gaussian", None, ""),
    ],
)
def test_ratios_are_exponentials_with_their_intervals(family, link, name):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=500)})
    frame["y"] = (rng.random(500) < 0.4).astype(float) if family == "binomial" else rng.poisson(2.0, 500) + 1.0
    glm = GLMRegressor(family, link).fit(frame, "y")
    page = report_html(glm, glm.summary())
    coef, lower, upper = glm.coef_table().loc["x", ["coef", "ci_lower", "ci_upper"]]
    shown = f"{np.exp(coef):.3g} ({np.exp(lower):.3g} to {np.exp(upper):.3g})"
    assert (f"<th>{name}</th>" in page and shown in page) if name else shown not in page


@pytest.mark.parametrize("family", ["binomial", "poisson", "gamma"])
def test_bins_of_calibration_are_those_of_the_rows_and_any_chunking_gives_them(family):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(900, 1))
    mean = 1 / (1 + np.exp(-x[:, 0])) if family == "binomial" else np.exp(0.5 + x[:, 0])
    y = {"binomial": rng.random(900) < mean, "poisson": rng.poisson(mean), "gamma": mean * rng.gamma(2, 0.5, 900)}[
        family
    ]
    w = rng.integers(0, 4, 900).astype(float)
    glm = GLMRegressor(family, "log" if family == "gamma" else None).fit(x, y.astype(float), sample_weight=w)
    found = {}
    for size in (900, 100):
        chunks = (size,) * (900 // size)
        parts = [chunked(values, chunks) for values in (x, y.astype(float), w)]
        blocks = block_fits(glm, parts[0], parts[1], sample_weight=parts[2])
        found[size] = sum(block.bins for block in blocks)
    np.testing.assert_allclose(found[100], found[900], rtol=1e-12)
    fitted = glm.predict(x)
    at = (
        np.minimum((fitted * 20).astype(int), 19)
        if family == "binomial"
        else np.floor(2 * np.log2(fitted)).astype(int) + 80
    )
    variance = {"binomial": fitted * (1 - fitted), "poisson": fitted, "gamma": fitted**2}[family]
    for number in np.unique(at):
        rows = at == number
        expected = [np.sum(w[rows] * each[rows]) for each in (np.ones(900), y, fitted, variance)]
        np.testing.assert_allclose(found[900][number], expected, rtol=1e-9)
    assert found[900][:, 0].sum() == w.sum()
    page = report_html(glm, glm.summary(), blocks)
    assert page.count("<circle cx=") == 2 + np.sum(found[900][:, 0] > 0)


def test_a_model_of_several_classes_has_a_report(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "k": rng.choice(["a", "b", "c"], 300)})
    glm = GLMClassifier(formula="k ~ x").fit(frame)
    write_report(glm, str(tmp_path / "report.html"), frame)
    page = (tmp_path / "report.html").read_text()
    assert "<td>b:x</td>" in page
    assert "<th>odds ratio</th>" in page
    with pytest.raises(ValueError, match="more than two classes"):
        block_fits(glm, frame)


def test_effects_and_influential_clusters_are_those_of_the_model(tmp_path, threads):
    frame = table().assign(site=np.arange(800) % 12)
    data = dd.from_pandas(frame.drop(columns="w"), npartitions=3)
    glm = GLMRegressor("binomial", formula="y ~ x + g", cov_type="CRV3").fit(data, groups="site")
    path = str(tmp_path / "report.html")
    write_report(glm, path, data, effects=True, level=0.9)
    text = Path(path).read_text()
    _, rest = text.split("<h2>Average effects</h2>")
    cells = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>", rest)
    for row in glm.avg_slopes(data, level=0.9).itertuples():
        (found,) = [
            (float(a), float(b))
            for term, contrast, a, b in cells
            if (term, contrast) == (row.term, escape(row.contrast))
        ]
        np.testing.assert_allclose(found, (row.estimate, row.std_err), atol=0.01 * row.std_err)
    _, rest = text.split("<h2>Influential clusters</h2>")
    found = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td></tr>", rest.split("</table>")[0])
    moves = glm.dfbeta(scaled=True)
    largest = moves.abs().max(axis=1).sort_values(ascending=False)
    assert [int(cluster) for cluster, _, _ in found] == largest.index[:10].tolist()
    for cluster, name, change in found:
        assert abs(float(change)) == round(largest[int(cluster)], 2)
        assert moves.loc[int(cluster)].abs().idxmax() == name.replace("&lt;", "<")
    plain = GLMRegressor("binomial", formula="y ~ x", cov_type="cluster").fit(data, groups="site")
    write_report(plain, path)
    text = Path(path).read_text()
    assert "Average effects" not in text
    assert "Influential clusters" not in text
    assert "With 12 clusters the standard errors" in text
    with pytest.raises(ValueError, match="effects=True requires X"):
        write_report(plain, path, effects=True)


def test_passes_of_a_report(loads, threads, tmp_path):
    array = loads.array()
    x, y = array[:, 1:], array[:, 0]
    glm = GLMClassifier().fit(x, y)
    loads.per_block()
    for effects, passes in ((False, 2), (True, 3)):
        write_report(glm, str(tmp_path / "report.html"), x, y, effects=effects)
        assert set(loads.per_block()) == {passes}
