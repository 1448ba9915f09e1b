"""What the displays share: colours, marks, and axes that need matplotlib only when something is drawn."""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "MARKS", "axes_for", "finished"]

# Okabe and Ito's colours, told apart by the colour-blind; the marks differ besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def axes_for(ax: Any, size: tuple[float, float]) -> Any:
    """Return the axes given, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where to draw, if the user said.
    size : tuple of (float, float)
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib Axes
        Where to draw.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dask_onestep[plots]'.") from error
    return plt.subplots(figsize=size, layout="constrained")[1]


def finished(display: Any, ax: Any) -> Any:
    """Return the display with ``ax_`` and ``figure_``, the box around the plot opened.

    Parameters
    ----------
    display : object
        What was drawn.
    ax : matplotlib Axes
        Where.

    Returns
    -------
    object
        The display.
    """
    ax.spines[["top", "right"]].set_visible(False)
    display.ax_, display.figure_ = ax, ax.figure
    return display
