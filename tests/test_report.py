"""The report: it says what the table says, and refers to nothing outside itself."""

import re

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMClassifier, GLMRegressor
from dask_onestep.report import compare, report_html, verdict, write_report


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
        escaped = name.replace("<", "&lt;")
        np.testing.assert_allclose(shown[escaped], [row["coef"], row["std_err"]], rtol=1e-3)
    assert "fit &lt;it&gt;" in text
    assert f"{glm.fit_statistics(data, 'y').llf:.6g}" in text
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
    blocks = compare(glm, data, "label", sample_weight="w")
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
    assert "what chance would give" in report_html(glm, glm.summary(), compare(glm, same, "y"))
    moved = dd.from_pandas(frame.assign(y=np.repeat([0.0, 1.0], 400)), npartitions=8)
    other = GLMRegressor("binomial").fit(moved, "y")
    assert "8 of 8 blocks" in report_html(other, other.summary(), compare(other, moved, "y"))
    assert "How blocks differ" not in report_html(other, other.summary())


def test_the_verdict_follows_the_decrement():
    glm = GLMRegressor(method="mle").fit(np.arange(20.0).reshape(-1, 1), np.arange(20.0) % 3)
    assert "sampling error" in verdict(glm)
    object.__setattr__(glm.estimate_, "decrement", 50.0)
    assert "further steps" in verdict(glm)
    object.__setattr__(glm.estimate_, "decrement", float("nan"))
    assert "not known" in verdict(glm)


def test_levels_of_a_factor_share_a_scale():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=3000), "g": rng.choice(list("abc"), 3000)})
    frame["y"] = 100 * frame["x"] + frame["g"].map({"a": 0.0, "b": 1.0, "c": 4.0}) + rng.normal(size=3000)
    glm = GLMRegressor(formula="y ~ x + g", method=MLE()).fit(frame)
    text = report_html(glm, glm.summary())
    centres = dict(re.findall(r"<tr><td>([^<]*)</td>.*?<circle cx='([\d.]+)'", text))
    reach = {name: float(centre) - 95 for name, centre in centres.items()}
    ratio = glm.coef_[1] / glm.coef_[2]
    assert reach["g[T.b]"] / reach["g[T.c]"] == pytest.approx(ratio, abs=0.01)
    assert reach["x"] > 80  # on a scale of its own
    assert "<b>pilot rows</b>" not in text
    assert "<b>passes</b>: how often all rows were read" in text
