"""Summaries of fits as text and as HTML."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["FactorLevels", "Summary"]

_WIDTH = 80
# A wider terminal is used up to here: longer lines are hard to read.
_WIDEST = 132
# Of a factor with more levels than this, so many at either end are shown.
_MOST_LEVELS, _SHOWN_LEVELS = 500, 25
_INDENT = "  "
# Significant digits of the smallest standard error, and the decimals that they may take.
_DIGITS, _MOST_DECIMALS = 3, 6
# Decimals where no standard error is known.
_DECIMALS = 4
# Numbers of more digits before the point are shown in scientific notation.
_LARGE = 1e7
_NOTEBOOK_STYLE = ".dask-onestep :is(th,td){text-align:right}.dask-onestep :is(th,td):first-child{text-align:left}"


@dataclass(frozen=True)
class FactorLevels:
    """The levels of a factor, which a table shows under its name.

    Attributes
    ----------
    name : str
        The factor.
    levels : tuple of (str, str or None)
        Each level with the name of its coefficient; None for the reference.

    Examples
    --------
    >>> from dask_onestep.inference.summaries import FactorLevels
    >>> FactorLevels("carrier", (("AA", None), ("UA", "carrier[T.UA]"))).levels[0]
    ('AA', None)
    """

    name: str
    levels: tuple[tuple[str, str | None], ...]


class CoefficientRow(NamedTuple):
    """A row of the table of coefficients as text; a factor's name and its reference have neither name nor cells."""

    label: str
    name: str | None = None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Summary:
    """The summary of a fitted model.

    Attributes
    ----------
    title : str
        The model in one line.
    verdict : str
        Number of passes, and distance from the MLE.
    facts : tuple of (str, str)
        Further results, by name.
    table : DataFrame
        As ``coef_table`` returns it.
    level : float
        Level of the intervals.
    notes : tuple of str
        Warnings of the fit.
    response : str
        What is modeled, such as ``P(delayed = 'late')``.
    factors : tuple of FactorLevels
        Factors whose levels are shown under their names.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep.inference.summaries import FactorLevels, Summary
    >>> columns = ["coef", "std_err", "z", "p_value", "ci_lower", "ci_upper"]
    >>> table = pd.DataFrame([[0.5, 0.1, 5.0, 0.0, 0.3, 0.7]], index=["g[T.b]"], columns=columns)
    >>> factor = FactorLevels("g", (("a", None), ("b", "g[T.b]")))
    >>> print(Summary("A model", "Read twice.", (("rows", "1,000"), ("passes", "2")), table, 0.95, factors=(factor,)))
    A model
    Read twice.
    ================================================================================
    rows:                             1,000  passes:                               2
    --------------------------------------------------------------------------------
                                        coef  std err     z   P>|z|  [0.025  0.975]
    g
      a (reference)
      b                                0.500    0.100  5.00  <0.001   0.300   0.700
    ================================================================================
    """

    title: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    table: pd.DataFrame
    level: float
    notes: tuple[str, ...] = ()
    response: str = ""
    factors: tuple[FactorLevels, ...] = ()

    def to_text(self, width: int | None = None) -> str:
        """Return the summary as plain text.

        Parameters
        ----------
        width : int or None
            Characters per line; None for the width of the terminal, or 80 without one.  Names that are too long for
            their column have their own line.

        Returns
        -------
        str
            Several lines.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> text = GLMRegressor("poisson").fit(X, y).summary().to_text(100)
        >>> max(map(len, text.splitlines()))
        100
        """
        width = _terminal_width() if width is None else width
        lines = [line for text in (self.title, *self._said()) for line in textwrap.wrap(text, width)]
        lines += ["=" * width, *_two_columns(self.facts, width), "-" * width, *self._table_lines(width), "=" * width]
        for note in self.notes:
            lines += textwrap.wrap(f"Warning: {note}", width)
        return "\n".join(lines)

    def _table_lines(self, width: int) -> list[str]:
        heads, rows = format_coefficients(self.table, self.level, self.factors)
        columns = zip(heads[1:], *(row.cells for row in rows if row.cells), strict=True)
        widths = [max(map(len, column)) + 2 for column in columns]
        room = max(width - sum(widths), 9)
        lines = []
        for label, _, cells in (CoefficientRow("", None, heads[1:]), *rows):
            numbers = "".join(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=False))
            if len(label) > room and cells:  # in full above its numbers, rather than cut
                lines += textwrap.wrap(label, width, subsequent_indent=_INDENT)
                label = ""
            lines.append(f"{label:<{room}}{numbers}".rstrip())
        return lines

    def to_markdown(self) -> str:
        """Return the summary in Markdown, the coefficients as a table.

        Returns
        -------
        str
            Several lines.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> text = GLMRegressor("poisson").fit(X, y).summary().to_markdown()
        >>> text.splitlines()[-3][:14]
        '| intercept | '
        """
        heads, rows = format_coefficients(self.table, self.level, self.factors)
        lines = [" | ".join(map(_markdown, heads)), " | ".join(["---", *["---:"] * (len(heads) - 1)])]
        for label, _, cells in rows:
            indent = "&nbsp;&nbsp;" if label.startswith(_INDENT) else ""
            padded = (*cells, *[""] * (len(heads) - 1 - len(cells)))
            lines.append(" | ".join([indent + _markdown(label.strip()), *map(_markdown, padded)]))
        facts = ", ".join(f"{_markdown(name)}: {_markdown(value)}" for name, value in self.facts)
        notes = [f"Warning: {_markdown(note)}" for note in self.notes]
        said = [f"**{_markdown(self.title)}**", *map(_markdown, self._said()), facts, *notes]
        return "\n\n".join([*said, "\n".join(f"| {line} |" for line in lines)])

    def to_latex(self) -> str:
        """Return the coefficients as a LaTeX ``tabular`` with the rules of the package booktabs, facts below.

        The title, the verdict and warnings are comments.

        Returns
        -------
        str
            Several lines.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> "tabular}{lrrrrrr}" in GLMRegressor("poisson").fit(X, y).summary().to_latex()
        True
        """
        heads, rows = format_coefficients(self.table, self.level, self.factors)
        end, width = r" \\", len(heads) - 1
        lines = [f"% {line}" for line in (self.title, *self._said(), *self.notes)]
        lines += [r"\begin{tabular}{l" + "r" * width + "}", r"\toprule", " & ".join(map(_latex, heads)) + end]
        lines.append(r"\midrule")
        for label, _, cells in rows:
            indent = r"\quad " if label.startswith(_INDENT) else ""
            lines.append(" & ".join([indent + _latex(label.strip()), *map(_latex, cells)]) + end)
        lines.append(r"\midrule")
        lines += [
            rf"{_latex(name)} & \multicolumn{{{width}}}{{l}}{{{_latex(value)}}}" + end for name, value in self.facts
        ]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def to_html(self) -> str:
        """Return the summary as HTML, as notebooks show it.

        Returns
        -------
        str
            A ``div``.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> GLMRegressor("poisson").fit(X, y).summary().to_html()[:4]
        '<div'
        """
        return self._repr_html_()

    def _said(self) -> list[str]:
        """Return the response, if it is known, and the verdict."""
        return [*([f"Response: {self.response}"] if self.response else []), self.verdict]

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads, rows = format_coefficients(self.table, self.level, self.factors)
        table = html_table(heads, ([html_label(label), *map(escape, cells)] for label, _, cells in rows))
        facts = " · ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in self.facts)
        response = f"<br>Response: {escape(self.response)}" if self.response else ""
        # Before the table: who has read the numbers seldom reads on.
        notes = "".join(
            f"<p style='border-left:4px solid #E69F00;padding-left:.8em'>⚠ {escape(note)}</p>" for note in self.notes
        )
        return (
            f"<div class='dask-onestep' style='overflow-x:auto'><style>{_NOTEBOOK_STYLE}</style>"
            f"<p style='border-left:4px solid #0072B2;padding-left:.8em'>"
            f"<b>{escape(self.title)}</b>{response}<br>{escape(self.verdict)}</p>{notes}"
            f"{table}<p><small>{facts}</small></p></div>"
        )


_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a row it would open its optional argument
}


def _latex(text: str) -> str:
    """Return text with the signs escaped that LaTeX reads as commands."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _markdown(text: str) -> str:
    """Return text with the signs escaped that Markdown reads as markup."""
    return "".join("\\" + sign if sign in "\\`*_|<>[]" else sign for sign in text)


def html_label(label: str) -> str:
    """Return the label of a row as HTML, indented if it is of a level."""
    return f"{'&emsp;' * label.startswith(_INDENT)}{escape(label.strip())}"


def html_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table as HTML; its cells are HTML too."""
    head = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def format_coefficients(
    table: pd.DataFrame, level: float, factors: Iterable[FactorLevels] = ()
) -> tuple[tuple[str, ...], list[CoefficientRow]]:
    """Return a table of coefficients as strings, the decimals of each column aligned.

    Parameters
    ----------
    table : DataFrame
        As ``coef_table`` returns it.
    level : float
        Level of the intervals.
    factors : iterable of FactorLevels
        Factors whose levels are shown under their names.

    Returns
    -------
    heads : tuple of str
        Heads of the columns; that of the names is empty.
    rows : list of CoefficientRow
        One for each coefficient, factor and reference.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep.inference.summaries import format_coefficients
    >>> columns = ["coef", "std_err", "z", "p_value", "ci_lower", "ci_upper"]
    >>> table = pd.DataFrame([[12.5, 0.1, 125.0, 0.0, 12.3, 12.7], [1, 0.5, 2, 0.046, 0.02, 1.98]], columns=columns)
    >>> heads, rows = format_coefficients(table.set_axis(["x0", "x1"]), 0.95)
    >>> heads
    ('', 'coef', 'std err', 'z', 'P>|z|', '[0.025', '0.975]')
    >>> rows[0].cells
    ('12.500', '0.100', '125.00', '<0.001', '12.300', '12.700')
    >>> rows[1].cells
    ('1.000', '0.500', '2.00', '0.046', '0.020', '1.980')
    """
    statistic = str(table.columns[2])
    tail = (1 - level) / 2
    heads = ("", "coef", "std err", statistic, f"P>|{statistic}|", f"[{tail:.3g}", f"{1 - tail:.3g}]")
    numbers = table.to_numpy(dtype=float)
    decimals = _decimals(numbers[:, 1])
    rows = {
        str(name): (
            *(_fixed(value, decimals, error) for value in (value, error)),
            _fixed(z, 2, 1.0),
            "<0.001" if p < 0.001 else _fixed(p, 3, 1.0),
            *(_fixed(end, decimals, error) for end in ends),
        )
        for name, (value, error, z, p, *ends) in zip(table.index, numbers, strict=True)
    }
    return heads, list(_labeled(rows, factors))


def format_effects(table: pd.DataFrame, level: float) -> list[tuple[str, ...]]:
    """Return a table of average effects as strings, the heads first.

    Parameters
    ----------
    table : DataFrame
        As ``avg_slopes`` returns it.
    level : float
        Level of the intervals.

    Returns
    -------
    list of tuple of str
        Names of term, contrast and groups, without columns that are empty, and six numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep.inference.summaries import format_effects
    >>> columns = ["term", "contrast", "estimate", "std_err", "z", "p_value", "ci_lower", "ci_upper"]
    >>> format_effects(pd.DataFrame([["x", "dY/dX", 0.5, 0.1, 5.0, 0.0, 0.3, 0.7]], columns=columns), 0.95)[1]
    ('x', 'dY/dX', '0.500', '0.100', '5.00', '<0.001', '0.300', '0.700')
    """
    first = table.columns.get_loc("estimate")
    heads, rows = format_coefficients(table.iloc[:, first:].reset_index(drop=True), level)
    names = [column for column in table.columns[:first] if table[column].astype(str).any()]
    left = [table[name].astype(str) for name in names]
    cells = ((*labels, *row.cells) for labels, row in zip(zip(*left, strict=True), rows, strict=True))
    return [(*names, "estimate", *heads[2:]), *cells]


def _labeled(rows: dict[str, tuple[str, ...]], factors: Iterable[FactorLevels]) -> Iterator[CoefficientRow]:
    """Yield rows with their labels, those of a factor's levels together and under its name."""
    of = {name: factor for factor in factors for _, name in factor.levels if name is not None}
    shown: set[str] = set()
    for name, cells in rows.items():
        factor = of.get(name)
        if factor is None:
            yield CoefficientRow(name, name, cells)
        elif factor.name not in shown:
            shown.add(factor.name)
            yield CoefficientRow(factor.name)
            omitted = len(factor.levels) - 2 * _SHOWN_LEVELS if len(factor.levels) > _MOST_LEVELS else 0
            for number, (level, coefficient) in enumerate(factor.levels):
                if omitted and _SHOWN_LEVELS <= number < _SHOWN_LEVELS + omitted:
                    if number == _SHOWN_LEVELS:
                        yield CoefficientRow(f"{_INDENT}… {omitted:,} more levels, in coef_table()")
                elif coefficient is None:
                    yield CoefficientRow(f"{_INDENT}{level} (reference)")
                else:
                    yield CoefficientRow(f"{_INDENT}{level}", coefficient, rows[coefficient])


def _decimals(errors: np.ndarray) -> int:
    """Return the decimals that show the digits of all standard errors for which so many are enough."""
    errors = errors[np.isfinite(errors) & (errors > 0)]
    if not errors.size:
        return _DECIMALS
    needed = _DIGITS - 1 - np.floor(np.log10(errors)).astype(int)
    return int(max(1, *needed[needed <= _MOST_DECIMALS], 1))


def _fixed(value: float, decimals: int, error: float) -> str:
    """Return a number with fixed decimals, or in scientific notation where these do not show it."""
    if not np.isfinite(value):
        return f"{value}"
    finest = error if np.isfinite(error) and error > 0 else abs(value)
    too_small = 0 < finest < 10.0 ** (1 - decimals)
    return f"{value:.3e}" if too_small or abs(value) >= _LARGE else f"{value:.{decimals}f}"


def _terminal_width() -> int:
    if not sys.stdout.isatty():
        return _WIDTH
    return min(max(shutil.get_terminal_size((_WIDTH, 24)).columns, 60), _WIDEST)


def _two_columns(facts: tuple[tuple[str, str], ...], width: int) -> list[str]:
    half = width // 2 - 1
    cells = [f"{name}:{value:>{max(1, half - len(name) - 1)}}" for name, value in facts]
    cells += [""] * (len(cells) % 2)
    return [f"{left:<{half}}  {right}".rstrip() for left, right in zip(cells[::2], cells[1::2], strict=True)]
