"""Figures of R, and the data that they are of; ``covariances.R`` and ``glm.R`` made them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["data_of_r", "figure_of_r", "quine"]

_HERE = Path(__file__).parent
_FIGURES = pd.concat([pd.read_csv(_HERE / name, keep_default_na=True) for name in ("figures.csv", "glm.csv")])
_FIGURES = _FIGURES.set_index(["model", "figure"]).sort_index()


def data_of_r():
    """Return the data."""
    return pd.read_csv(_HERE / "data.csv", skipinitialspace=True)


def quine():
    """Return the absences from school of R's package MASS."""
    return pd.read_csv(_HERE / "quine.csv")


def figure_of_r(model, figure):
    """Return a figure as a matrix."""
    found = _FIGURES.loc[[(model, figure)]]
    return found.pivot(index="row", columns="column", values="value").to_numpy()
