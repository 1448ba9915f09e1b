"""Tables as text of at most 80 columns, and as HTML for notebooks."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

import pandas as pd

__all__ = ["Summary"]

_WIDTH = 80
# Room for signs and exponents, such as -1.23457e-09, with a blank before.
_WIDTHS = (13, 10, 11, 7, 11, 11)


@dataclass(frozen=True)
class Summary:
    """A fitted model, to be read.

    Attributes
    ----------
    title : str
        The model in a line.
    verdict : str
        What to know first.
    facts : tuple of (str, str)
        What else is known, by name.
    table : DataFrame
        As ``coef_table`` gives it.
    level : float
        Level of the intervals.
    notes : tuple of str
        Warnings of the fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep.inference.summaries import Summary
    >>> columns = ["coef", "std_err", "z", "p_value", "ci_lower", "ci_upper"]
    >>> table = pd.DataFrame([[0.5, 0.1, 5.0, 0.0, 0.3, 0.7]], index=["x0"], columns=columns)
    >>> print(Summary("A model", "Read twice.", (("rows", "1,000"), ("passes", "2")), table, 0.95))
    A model
    Read twice.
    ================================================================================
    rows:                             1,000  passes:                               2
    --------------------------------------------------------------------------------
                      coef   std err          z  P>|z|     [0.025     0.975]
    x0                 0.5       0.1          5 <0.001        0.3        0.7
    ================================================================================
    """

    title: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    table: pd.DataFrame
    level: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        width = min(max([9, *(len(name) for name in self.table.index)]), _WIDTH - sum(_WIDTHS))
        heads, rows = format_coefficients(self.table, self.level)
        heads = (*heads[1:5], f"[{(1 - self.level) / 2:.3f}", f"{(1 + self.level) / 2:.3f}]")
        lines = [*textwrap.wrap(self.title, _WIDTH), *textwrap.wrap(self.verdict, _WIDTH), "=" * _WIDTH]
        lines += _two_columns(self.facts)
        lines.append("-" * _WIDTH)
        for name, *cells in (("", *heads), *rows):
            shown = name if len(name) <= width else name[: width - 1] + "…"
            lines.append(f"{shown:<{width}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, _WIDTHS, strict=True)))
        lines.append("=" * _WIDTH)
        for note in self.notes:
            lines += textwrap.wrap(f"Warning: {note}", _WIDTH)
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads, rows = format_coefficients(self.table, self.level)
        head = "".join(f"<th style='text-align:right'>{escape(name)}</th>" for name in heads[1:])
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            + "".join(f"<td style='text-align:right'>{escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for name, *cells in rows
        )
        facts = " · ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in self.facts)
        # Before the table: who has read the numbers seldom reads on.
        notes = "".join(
            f"<p style='border-left:4px solid #E69F00;padding-left:.8em'>⚠ {escape(note)}</p>" for note in self.notes
        )
        return (
            f"<div><p style='border-left:4px solid #0072B2;padding-left:.8em'><b>{escape(self.title)}</b>"
            f"<br>{escape(self.verdict)}</p>{notes}"
            f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p><small>{facts}</small></p></div>"
        )


def format_coefficients(
    table: pd.DataFrame, level: float, *, digits: int = 6
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table of coefficients as strings.

    Parameters
    ----------
    table : DataFrame
        As ``coef_table`` returns it.
    level : float
        Level of the intervals.
    digits : int, default=6
        Significant digits of the coefficients; all other columns have a fixed number.

    Returns
    -------
    heads : tuple of str
        Heads of the columns; that of the names is empty.
    rows : list of tuple of str
        For each coefficient its name and its cells.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep.inference.summaries import format_coefficients
    >>> columns = ["coef", "std_err", "z", "p_value", "ci_lower", "ci_upper"]
    >>> table = pd.DataFrame([[0.5, 0.1, 5.0, 0.0, 0.3, 0.7]], index=["x0"], columns=columns)
    >>> heads, rows = format_coefficients(table, 0.95)
    >>> heads
    ('', 'coef', 'std err', 'z', 'P>|z|', '95% from', 'to')
    >>> rows
    [('x0', '0.5', '0.1', '5', '<0.001', '0.3', '0.7')]
    """
    rows = []
    for name, numbers in zip(table.index, table.to_numpy(), strict=True):
        cells = [f"{number:.{n}g}" for number, n in zip(numbers, (digits, 4, 4, 3, 4, 4), strict=True)]
        cells[3] = "<0.001" if numbers[3] < 0.001 else f"{numbers[3]:.3f}"
        rows.append((str(name), *cells))
    statistic = table.columns[2]  # z, or Student's t
    return ("", "coef", "std err", statistic, f"P>|{statistic}|", f"{level:.0%} from", "to"), rows


def _two_columns(facts: tuple[tuple[str, str], ...]) -> list[str]:
    half = _WIDTH // 2 - 1
    cells = [f"{name}:{value:>{max(1, half - len(name) - 1)}}" for name, value in facts]
    cells += [""] * (len(cells) % 2)
    return [f"{left:<{half}}  {right}".rstrip() for left, right in zip(cells[::2], cells[1::2], strict=True)]
