"""What the displays share: colours, marks, and axes that need matplotlib only when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dask_onestep.inference.hypotheses import unknown_coefficients
from dask_onestep.messages import catalogue

__all__ = ["COLOURS", "MARKS", "Display", "checked_names", "style"]

# Okabe and Ito's colours, told apart by the colour-blind; the marks differ besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
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


def style(number: int) -> dict[str, str]:
    """Return the colour and the mark of one among several things drawn; they come round again."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}


def checked_names(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names of coefficients that a user chose."""
    if unknown := [name for name in names if name not in known]:
        raise unknown_coefficients(unknown, "names", known)
    return list(names)
