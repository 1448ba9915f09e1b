"""Time compared with accuracy, a panel per problem."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.speed.libraries import LIBRARIES
from benchmarks.speed.report import summarize

__all__ = ["draw"]

_LEAST = 1e-12


def draw(fits: pd.DataFrame) -> Figure:
    """Return the median time of each library against its distance to the MLE; both axes are logarithmic."""
    floors = [library.name for library in LIBRARIES.values() if library.floor]
    table = summarize(fits[~fits["library"].isin(floors)]).dropna(subset="distance")
    groups = list(table.groupby("problem", sort=False))
    figure = Figure(figsize=(8.0, 4.0 * len(groups)), layout="constrained")
    for axes, (problem, rows) in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups, strict=True):
        rows = rows.sort_values("seconds")
        distance = rows["distance"].clip(lower=_LEAST)
        axes.loglog(rows["seconds"], distance, "o")
        # Numbers, since names of close points would overlap.
        for number, (name, x, y) in enumerate(zip(rows["library"], rows["seconds"], distance, strict=True), start=1):
            offset = (4, -9 if number % 2 else 4)
            axes.annotate(str(number), (x, y), xytext=offset, textcoords="offset points", fontsize=8)
            axes.plot([], [], " ", label=f"{number}  {name}")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, handlelength=0)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.axhline(0.1, linestyle=":", color="grey")
        axes.set(title=problem, xlabel="seconds (median)", ylabel="distance to the MLE (standard errors)")
    return figure
