"""What the displays share: colors, marks, and axes that need matplotlib only when something is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from dask_onestep.inference.hypotheses import unknown_coefficients
from dask_onestep.messages import catalogue

# Okabe and Ito's colors, told apart by the color-blind; the marks differ besides.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


class Display:
    """What knows where it was drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    """

    ax_: Any
    figure_: Any

    def _axes(self, ax: Any, size: tuple[float, float]) -> Any:
        """Return the axes to draw on, the box around them opened, and keep them and their figure."""
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise catalogue.MISSING_EXTRA.error(what="A plot", package="matplotlib", extra="plots") from error
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return ax


class Intervals(Display):
    """Estimates with their intervals, one line per name, several series side by side."""

    def _draw(
        self, ax: Any, series: Mapping[str, pd.DataFrame], center: str, shown: Sequence[str], null: float, label: str
    ) -> Any:
        """Draw tables that are indexed by name, with a column of estimates and ci_lower, ci_upper; return the axes."""
        places, step = {name: at for at, name in enumerate(shown)}, 0.7 / len(series)
        ax = self._axes(ax, (6.4, 1.2 + len(shown) * max(0.35, 0.2 * len(series))))
        ax.axvline(null, color="0.6", linewidth=1, zorder=0)
        for number, (name, table) in enumerate(series.items()):
            rows = table.loc[[each in places for each in table.index]]
            where = [places[each] + step * (number - (len(series) - 1) / 2) for each in rows.index]
            ax.errorbar(rows[center], where, xerr=arms(rows, center), label=name, **points(number))
        ax.set_yticks(np.arange(len(shown)), labels=shown)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlabel(label)
        return ax


class Paths(Display):
    """Coefficients against a penalty, some of them in color."""

    def _draw(
        self, ax: Any, paths: pd.DataFrame, sizes: pd.Series, names: Sequence[str] | None
    ) -> tuple[Any, dict[str, str]]:
        """Draw the columns of a table that is indexed by penalty; return the axes, and the colors of the names.

        By default the largest are in color, as many as have one of their own.
        """
        largest = sizes.nlargest(len(COLORS) - 1).index
        known = list(paths.columns)
        chosen = [name for name in known if name in largest] if names is None else checked_names(names, known)
        colors = {name: style(number)["color"] for number, name in enumerate(chosen)}
        ax = self._axes(ax, (7.0, 4.4))
        ax.axhline(0.0, color="0.6", linewidth=1, zorder=0)
        for name in paths.columns.difference(chosen):
            ax.plot(paths.index, paths[name], color="0.8", linewidth=0.8, zorder=0)
        for name, color in colors.items():
            ax.plot(paths.index, paths[name], color=color, label=name)
        ax.set(xscale="log", xlabel="penalty α", ylabel="coefficient")
        return ax, colors

    def _legend(self, ax: Any) -> Self:
        """Draw the legend beside the lines, which fill the axes from edge to edge."""
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return self


def arms(table: pd.DataFrame, center: str) -> np.ndarray:
    """Return the lengths of the intervals ci_lower to ci_upper on both sides of a column, of shape (2, m)."""
    return np.abs(table[["ci_lower", "ci_upper"]].to_numpy().T - table[center].to_numpy())


def points(number: int) -> dict[str, Any]:
    """Return the style of points with error bars."""
    return {"linestyle": "none", "capsize": 2, "markersize": 5, **style(number)}


def style(number: int) -> dict[str, str]:
    """Return the color and the mark of one among several things drawn; they come round again."""
    return {"color": COLORS[number % len(COLORS)], "marker": MARKS[number % len(MARKS)]}


def checked_names(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names of coefficients that a user chose."""
    if unknown := [name for name in names if name not in known]:
        raise unknown_coefficients(unknown, "names", known)
    return list(names)
