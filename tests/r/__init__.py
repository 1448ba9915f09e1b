"""Figures of R, and the data that they are of; ``covariances.R`` made both."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["data_of_r", "figure_of_r"]

_HERE = Path(__file__).parent
_FIGURES = pd.read_csv(_HERE / "figures.csv", keep_default_na=True).set_index(["model", "figure"]).sort_index()


def data_of_r():
    """Return the data."""
    return pd.read_csv(_HERE / "data.csv", skipinitialspace=True)


def figure_of_r(model, figure):
    """Return a figure as a matrix."""
    found = _FIGURES.loc[[(model, figure)]]
    return found.pivot(index="row", columns="column", values="value").to_numpy()
