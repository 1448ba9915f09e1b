"""Time beside accuracy, a panel a problem."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.speed.report import summarise

__all__ = ["draw"]

_LEAST = 1e-12


def draw(fits: pd.DataFrame) -> Figure:
    """Return the median time of each library against its distance to the MLE; both axes are logarithmic."""
    table = summarise(fits).dropna(subset="distance")
    groups = list(table.groupby("problem", sort=False))
    figure = Figure(figsize=(6.5, 4.0 * len(groups)), layout="constrained")
    for axes, (problem, rows) in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups, strict=True):
        distance = rows["distance"].clip(lower=_LEAST)
        axes.loglog(rows["seconds"], distance, "o")
        for name, x, y in zip(rows["library"], rows["seconds"], distance, strict=True):
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axes.axhline(0.1, linestyle=":", color="grey")
        axes.set(title=problem, xlabel="seconds (median)", ylabel="distance to the MLE (standard errors)")
        axes.margins(x=0.25)
    return figure
