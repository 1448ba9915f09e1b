"""Linear dependence of columns, decided on the R of a QR of all rows and not on its square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows import Model, Rows
from dask_onestep.kernels.slices import dense_slices

__all__ = ["Dependence", "DesignFactor", "dependences", "design_factor"]

# Householder QR leaves an exact combination a residual of some d·1e-16 of the column's length.
EXACT = 1e-12


@dataclass(frozen=True, slots=True)
class DesignFactor(Sums):
    """The R of a QR of the design, which two blocks join by a QR of one above the other.

    Attributes
    ----------
    upper : ndarray of shape (min(m, d), d)
        R, with R'R = Σ x_i x_i' over the rows of positive weight.
    """

    upper: np.ndarray

    def __add__(self, other: DesignFactor) -> DesignFactor:
        return DesignFactor(_triangle(self.upper, other.upper))


def _triangle(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.qr(np.concatenate([above, below]), mode="r"))


def design_factor(rows: Rows, model: Model) -> DesignFactor:
    """Return the R of a QR of a block's design.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.

    Returns
    -------
    DesignFactor
        Of the rows whose weight is positive.
    """
    upper = np.empty((0, model.width))
    for part in dense_slices(rows, model):
        upper = _triangle(upper, part.design if part.weights is None else part.design[part.weights > 0])
    return DesignFactor(upper)


@dataclass(frozen=True, slots=True)
class Dependence:
    """How far a column is a combination of those before it.

    Attributes
    ----------
    name : str
        The column.
    share : float
        Length of what the columns before leave of it, over its length about its mean.
    combination : tuple of (str, float)
        The columns that make it up, with their coefficients.
    """

    name: str
    share: float
    combination: tuple[tuple[str, float], ...]

    @property
    def exact(self) -> bool:
        """Whether nothing is left of it but rounding."""
        return self.share <= EXACT


def dependences(
    factor: DesignFactor, names: tuple[str, ...], kept: np.ndarray, *, intercept: bool
) -> tuple[Dependence, ...]:
    """Return, for each column that was set aside, what the columns that were kept leave of it.

    Parameters
    ----------
    factor : DesignFactor
        R of all rows.
    names : tuple of str
        Names of the d columns.
    kept : ndarray of shape (d,) of bool
        The columns that were not set aside.
    intercept : bool
        Whether the first column is the intercept.

    Returns
    -------
    tuple of Dependence
        In the order of the columns.
    """
    found = []
    scale = np.linalg.norm(factor.upper, axis=0)
    scale[scale == 0] = 1.0
    scaled = factor.upper / scale
    first = int(intercept)
    for column in np.flatnonzero(~kept):
        before = np.flatnonzero(kept[:column])
        weights, _, _, _ = np.linalg.lstsq(scaled[:, before], scaled[:, column], rcond=None)
        rest = float(np.linalg.norm(scaled[:, column] - scaled[:, before] @ weights))
        # R's first row is the intercept's: the rest of a column is its deviation from its mean.
        about_mean = float(np.linalg.norm(scaled[first:, column]))
        parts = tuple(
            (names[i], float(weight * scale[column] / scale[i]))
            for i, weight in zip(before, weights, strict=True)
            if abs(weight) > 1e-8
        )
        # Beside a mean that is far from 0, rounding is all that can be left of a small rest.
        share = rest / about_mean if rest > 8 * len(names) * np.finfo(np.float64).eps else 0.0
        found.append(Dependence(names[column], share, parts))
    return tuple(found)
