"""The report: a fit as one self-contained HTML file."""

import platform
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.inference.summaries import Summary, format_coefficients, format_effects, html_label, html_table
from dask_onestep.kernels.likelihood.blocks import BlockFit, compare_blocks

__all__ = ["block_fits", "report_html", "write_report"]

_SHOWN_BLOCKS = 40
_SHOWN_CLUSTERS = 10
# Groups of rows that a plot of calibration needs.
_FEWEST_BINS = 3
_PACKAGES = ("dask_onestep", "dask", "numpy", "pandas", "scipy")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem;border-bottom:1px solid #dde3ea;text-align:right}
th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #8a97a6}
.verdict{background:#eef4fb;border-left:4px solid #3569a8;padding:.6rem 1rem}
.warning{background:#fdf3e3;border-left:4px solid #c98a1b;padding:.4rem 1rem;margin:.4rem 0}
.wide{overflow-x:auto}.wide td,.wide th{padding:.2rem .4rem}.wide td:not(:first-child),.option{white-space:nowrap}
.wide td:first-child{min-width:9rem;max-width:22rem}h1,p,code,dd,td:first-child{overflow-wrap:anywhere}
@media print{body{font-size:10px;max-width:none;margin:0;padding:0}@page{size:A4 landscape}}
.small{color:#5b6773;font-size:.85rem}code{background:#f3f5f8;padding:.1rem .3rem}td:has(svg){padding:0;width:190px}
td svg{vertical-align:middle}
.facts{columns:2 18rem;column-gap:3rem;margin:0}
.facts div{display:flex;justify-content:space-between;break-inside:avoid}
.facts div{padding:.2rem .6rem;border-bottom:1px solid #dde3ea}.facts dd{margin:0}
"""


def write_report(
    glm: Any,
    path: str,
    X: Any = None,
    y: Any = None,
    *,
    sample_weight: Any = None,
    offset: Any = None,
    level: float = 0.95,
    effects: bool = False,
    call: str = "",
    wording: Callable[[str], str] = str,
) -> None:
    """Write a fitted model as one self-contained HTML file; two passes if `X` is given, none without.

    After a fit with ``cov_type="CRV3"`` it shows the clusters that are most influential.

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    path : str
        Where to.
    X, y, sample_weight, offset
        As for ``fit``; if given, the report has statistics of fit and differences between blocks.
    level : float, default=0.95
        Level of the intervals.
    effects : bool, default=False
        Whether to add the average slopes of numeric columns and comparisons of factors; one more pass over `X`.
    call : str, default=""
        The call that is shown; by default the ``repr`` of the estimator.
    wording : callable, default=str
        Function from a text of the fit, with parameters of Python, to the text that is shown.

    Examples
    --------
    >>> import tempfile
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.report import write_report
    >>> X, y, _ = make_glm(1000, 2, family="poisson")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(GLMRegressor("poisson").fit(X, y), f"{folder}/report.html", X, y)
    """
    data = {"sample_weight": sample_weight, "offset": offset}
    several = glm.record_.model.likelihood.n_predictors > 1
    blocks = () if X is None or several else block_fits(glm, X, y, **data)
    summary = glm.summary(X, y, **data, level=level)
    if effects and X is None:
        raise ValueError("effects=True requires X, over whose rows effects are averaged.")
    averages = glm.avg_slopes(X, sample_weight=sample_weight, offset=offset, level=level) if effects else None
    page = report_html(glm, summary, blocks, effects=averages, call=call, wording=wording)
    Path(path).write_text(page, encoding="utf-8")


def block_fits(
    glm: Any, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None
) -> tuple[BlockFit, ...]:
    """Return the observed and the expected response of each block.  One pass.

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    X, y, sample_weight, offset
        As for ``fit``.

    Returns
    -------
    tuple of BlockFit
        One per block, in order, including blocks without rows.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> from dask_onestep.report import block_fits
    >>> blocks = block_fits(glm, X, y)
    >>> len(blocks), blocks[0].n
    (8, 250)
    """
    if glm.record_.model.likelihood.n_predictors > 1:
        raise ValueError("block_fits: a model with more than two classes has no single mean to compare with y.")
    data = {"sample_weight": sample_weight, "offset": offset}
    coef = np.nan_to_num(glm.record_.coef)
    return glm.total(compare_blocks, X, y, arguments=(coef,), name="compare-blocks", **data).blocks


def report_html(
    glm: Any,
    summary: Summary,
    blocks: Sequence[BlockFit] = (),
    *,
    effects: pd.DataFrame | None = None,
    call: str = "",
    wording: Callable[[str], str] = str,
) -> str:
    """Return the report's HTML.

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    summary : Summary
        Its summary.
    blocks : sequence of BlockFit
        Of `block_fits`.
    effects : DataFrame, optional
        Average effects, as from ``avg_slopes``, with the level of the summary.
    call : str, default=""
        What was called.
    wording : callable, default=str
        As for `write_report`.

    Returns
    -------
    str
        A self-contained document.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> from dask_onestep.report import report_html
    >>> page = report_html(glm, glm.summary())
    >>> page.startswith("<!doctype html>"), "http" in page
    (True, False)
    """
    notes = "".join(_note(wording(text), category) for category, text in glm.record_.notes)
    notes += "".join(_note(wording(text), UserWarning) for text in summary.notes[len(glm.record_.notes) :])
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in summary.facts)
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    formula = f"<p>Formula: <code>{escape(glm.formula)}</code></p>" if glm.formula else ""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(summary.title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(summary.title)}</h1>{formula}"
        f"<p>Response: <code>{escape(summary.response)}</code></p><p>Call: <code>{escape(call or repr(glm))}</code></p>"
        f"<p class='verdict'>{escape(summary.verdict)}</p>{notes}"
        f"<h2>Coefficients</h2>{_coefficients(summary, ratio_name(glm))}"
        f"{_effects(effects, summary.level)}{_clusters(glm)}"
        f"<h2>The fit</h2><dl class='facts'>{facts}</dl><p class='small'>{_glossary(summary)}</p>"
        f"{_calibration(blocks, glm.record_.estimate.dispersion)}"
        f"{_block_section(blocks, glm.record_.estimate.dispersion)}"
        f"<h2>Made with</h2><p class='small'>{escape(packages)}, Python {platform.python_version()}, "
        f"{escape(platform.system())}; {stamp}.</p>"
        "</body></html>\n"
    )


_WORDS = {
    "passes": "number of passes over all rows",
    "pilot rows": "rows of the random sample whose estimate is the starting point of the step over all rows",
    "log-likelihood (estimated)": "extrapolated from the pilot rows, since no pass was made at these coefficients",
    "decrement": "about twice the log-likelihood that further passes could gain, an estimate if no pass was made "
    "at these coefficients",
    "dispersion": "the factor φ in Var(y) = φ V(μ)",
}


def _glossary(summary: Summary) -> str:
    """Return definitions of the terms in the facts."""
    names = {name for name, _ in summary.facts}
    said = [f"<b>{escape(name)}</b>: {escape(meaning)}" for name, meaning in _WORDS.items() if name in names]
    return f"{'; '.join(said)}." if said else ""


def _note(text: str, category: type[Warning]) -> str:
    """Return a warning as HTML, with where the documentation speaks of it."""
    anchor = getattr(category, "anchor", "")
    where = f"Documentation, page “Warnings and errors”, section “{anchor.replace('-', ' ').capitalize()}”"
    said = re.sub(r"--[\w-]+", r"<span class='option'>\g<0></span>", escape(text))
    return f"<p class='warning'>{said}{f'<br><span class=small>{escape(where)}</span>' if anchor else ''}</p>"


def ratio_name(glm: Any) -> str:
    """Return what the exponential of a coefficient is, or nothing where it has no name."""
    model = glm.record_.model
    link, family = getattr(model.link, "name", ""), model.family.name
    if link == "logit":
        return "odds ratio"
    counts = ("poisson", "quasipoisson", "negative-binomial")
    return ("rate ratio" if family in counts else "ratio of means") if link == "log" else ""


def _ratio(name: str, coef: float, lower: float, upper: float) -> str:
    """Return the exponential of a coefficient with its interval; an intercept has none to compare with."""
    if name.rpartition(":")[2] == "intercept" or not np.isfinite(coef):
        return ""
    with np.errstate(over="ignore"):
        value, low, high = np.exp([coef, lower, upper])
    return f"{value:.3g} ({low:.3g} to {high:.3g})" if np.isfinite([low, high]).all() else f"{value:.3g}"


def _coefficients(summary: Summary, ratio: str) -> str:
    heads, rows = format_coefficients(summary.table, summary.level, summary.factors)
    lines, reaches = [], _reaches(summary.table)
    ends = dict(zip(summary.table.index, summary.table[["coef", "ci_lower", "ci_upper"]].to_numpy(), strict=True))
    for label, name, cells in rows:
        line = [html_label(label), *map(escape, cells)]
        if name is not None:
            line += [_ratio(name, *ends[name])] if ratio else []
            line.append(_interval(ends[name], reaches[_term(name)]))
        lines.append(line)
    exponential = f" The {ratio} is the exponential of the coefficient." if ratio else ""
    return (
        f"<div class='wide'>{html_table((*heads, *([ratio] if ratio else []), ''), lines)}</div>"
        f"<p class='small'>At the right, the {summary.level:.0%} intervals; the vertical line is zero. Columns of one "
        "term, such as the levels of a factor, share a scale; each term has its own. Gray where zero is within."
        f"{exponential}</p>"
    )


def _effects(table: pd.DataFrame | None, level: float) -> str:
    """Return average effects as a table, if there are any."""
    if table is None:
        return ""
    heads, *rows = format_effects(table, level)
    return (
        f"<h2>Average effects</h2><div class='wide'>{html_table(heads, (map(escape, row) for row in rows))}"
        "</div><p class='small'>Averages over the rows, on the scale of the response: of numeric columns the "
        "derivative (dY/dX), of factors the difference between levels. The rows are treated as fixed.</p>"
    )


def _clusters(glm: Any) -> str:
    """Return the clusters that move the coefficients most, if the fit has kept their scores and informations."""
    if glm.record_.estimate.clusters is None or glm.record_.method not in ("OneStep", "MLE"):
        return ""
    moves = glm.dfbeta(scaled=True)
    sizes = moves.abs().fillna(-1.0)
    names = sizes.loc[sizes.max(axis=1).nlargest(_SHOWN_CLUSTERS).index].idxmax(axis=1)
    rows = ([escape(str(cluster)), escape(name), f"{moves.loc[cluster, name]:.2f}"] for cluster, name in names.items())
    return (
        f"<h2>Influential clusters</h2>{html_table(('cluster', 'coefficient', 'change'), rows)}"
        f"<p class='small'>Of {len(moves):,} clusters, those that change a "
        "coefficient most: the estimate less that without the cluster, in standard errors, to first order.</p>"
    )


def _term(name: Any) -> str:
    """Return what the columns of one term have in common: the name up to a level's brackets."""
    return str(name).rpartition("[")[0] or str(name)


def _reaches(table: Any) -> dict[str, float]:
    """Return, for each term, the end of its intervals that is farthest from zero."""
    reaches: dict[str, float] = {}
    for name, ends in zip(table.index, table[["ci_lower", "ci_upper"]].to_numpy(), strict=True):
        farthest = float(np.abs(ends).max())
        if np.isfinite(farthest):
            reaches[_term(name)] = max(reaches.get(_term(name), 0.0), farthest)
        reaches.setdefault(_term(name), 0.0)
    return reaches


def _interval(ends: np.ndarray, reach: float) -> str:
    """Return an interval as SVG, zero in the middle and `reach` at either side."""
    if not np.isfinite(ends).all():
        return "<span class='small'>aliased</span>"
    coef, lower, upper = ends
    a, c, b = (95 + 85 * value / (reach or 1.0) for value in (lower, coef, upper))
    color = "#8a97a6" if lower <= 0 <= upper else "#3569a8"
    return (
        "<svg width='190' height='20' role='img'><line x1='95' y1='0' x2='95' y2='20' stroke='#c3ccd6'/>"
        f"<line x1='{a:.1f}' y1='10' x2='{max(b, a + 1):.1f}' y2='10' stroke='{color}' stroke-width='3'/>"
        f"<circle cx='{c:.1f}' cy='10' r='4' fill='{color}'/></svg>"
    )


def _calibration(blocks: Sequence[BlockFit], dispersion: float) -> str:
    """Return a plot of the means of y against the fitted means, of rows binned by the latter, if there are enough."""
    if not blocks or not len(blocks[0].bins):
        return ""
    bins = np.sum([block.bins for block in blocks], axis=0)
    weight, observed, expected, variance = bins[bins[:, 0] > 0].T
    if len(weight) < _FEWEST_BINS:
        return ""
    means, fitted = observed / weight, expected / weight
    spread = 2.0 * np.sqrt(dispersion * variance) / weight
    low, high = min(means.min(), fitted.min()), max(means.max(), fitted.max())
    x, y = ((values - low) / ((high - low) or 1.0) for values in (fitted, means))
    points = "".join(
        f"<line x1='{60 + 300 * a:.1f}' x2='{60 + 300 * a:.1f}' y1='{_up(b - c)}' y2='{_up(b + c)}' stroke='#8a97a6'/>"
        f"<circle cx='{60 + 300 * a:.1f}' cy='{_up(b)}' r='4' fill='#3569a8'/>"
        for a, b, c in zip(x, y, spread / ((high - low) or 1.0), strict=True)
    )
    ticks = "".join(
        f"<text x='{60 + 300 * at:.0f}' y='336' text-anchor='middle'>{low + at * (high - low):.3g}</text>"
        f"<text x='52' y='{_up(at)}' text-anchor='end' dominant-baseline='middle'>{low + at * (high - low):.3g}</text>"
        for at in (0.0, 0.5, 1.0)
    )
    return (
        "<h2>Calibration</h2><p>Rows are grouped by their fitted mean; each point is the mean of y of a group. On the "
        "line they agree. The bars are two standard deviations of the group's mean.</p>"
        "<svg width='380' height='360' role='img' font-size='12'>"
        "<clipPath id='frame'><rect x='54' y='14' width='312' height='312'/></clipPath>"
        "<line x1='60' y1='320' x2='360' y2='20' stroke='#c3ccd6'/>"
        f"<g clip-path='url(#frame)'>{points}</g>{ticks}"
        "<text x='210' y='356' text-anchor='middle'>fitted mean</text><text x='4' y='12'>mean of y</text></svg>"
    )


def _up(part: float) -> str:
    return f"{320 - 300 * part:.1f}"


def _block_section(blocks: Sequence[BlockFit], dispersion: float) -> str:
    used = [block for block in blocks if block.n]
    if len(used) < 2:  # a single block always balances
        return ""
    scores = {block.number: block.z(dispersion) for block in used}
    far = sum(abs(score) > 3 for score in scores.values())
    chosen = sorted(used, key=lambda block: -abs(np.nan_to_num(scores[block.number])))[:_SHOWN_BLOCKS]
    smallest = min((abs(block.expected / block.weight) for block in chosen if block.weight > 0), default=1.0)
    decimals = int(np.clip(3 - np.floor(np.log10(smallest)) if smallest > 0 else 3, 1, 8))
    rows = (
        [
            str(block.number),
            f"{block.n:,}",
            f"{block.n_missing:,}",
            f"{block.observed / block.weight:,.{decimals}f}",
            f"{block.expected / block.weight:,.{decimals}f}",
            f"{scores[block.number]:.1f}",
        ]
        for block in sorted(chosen, key=lambda block: block.number)
        if block.weight > 0
    )
    whole = len(chosen) == len(used)
    said = (
        f"{far} of {len(used)} blocks have a mean more than three standard deviations from the value expected under "
        "the model."
    )
    advice = (
        " Blocks differ in ways that the covariates do not explain: consider covariates that distinguish them, or "
        "standard errors clustered by block."
        if far > 0.05 * len(used)
        else " This is about what is expected by chance: the model fits all blocks."
    )
    table = html_table(("block", "rows", "dropped", "mean of y", "expected", "z"), rows)
    most = "" if whole else f"<p class='small'>The {len(chosen)} blocks farthest from the model are shown.</p>"
    return f"<h2>How blocks differ</h2><p>{said}{advice}</p>{table}{most}"
