"""Separation: a direction along which the likelihood rises for ever.

Albert and Anderson (1984): a binomial model has no finite maximum if some δ has x'δ ≥ 0 wherever
y = 1 and x'δ ≤ 0 wherever y = 0, and not x'δ = 0 throughout.  With a log link and counts the same
holds of a δ with x'δ ≤ 0 where y = 0 and x'δ = 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.likelihood import moments, slices
from dask_onestep.kernels.records import Moments, Sums
from dask_onestep.kernels.rows import Model, Rows

__all__ = ["Directed", "can_separate", "directed"]


@dataclass(frozen=True, slots=True)
class Directed(Sums):
    """Moments at β, and how rows move along a direction.

    Attributes
    ----------
    moments : Moments
        The sums at β.
    reach : float
        The greatest move of a row's linear predictor.
    against : float
        The greatest move that lowers a row's likelihood in the long run.
    columns : ndarray of shape (d,)
        The greatest move that each column makes.
    """

    moments: Moments
    reach: float
    against: float
    columns: np.ndarray

    def __add__(self, other: Directed) -> Directed:
        return Directed(
            self.moments + other.moments,
            max(self.reach, other.reach),
            max(self.against, other.against),
            np.maximum(self.columns, other.columns),
        )

    @property
    def separates(self) -> bool:
        """Whether rows move far, and none but against rounding moves the wrong way."""
        return self.reach > 0.1 and self.against <= 1e-3 * self.reach


def can_separate(model: Model) -> bool:
    """Return whether rows of a model may have no finite maximum.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    bool
        True for binomial with a link onto the line, and for counts with zeros and a log link.
    """
    link = getattr(model.link, "name", None)
    if model.family.name == "binomial":
        return link in ("logit", "probit", "cloglog")
    return model.family.name in ("poisson", "negative-binomial", "tweedie") and link == "log"


def directed(rows: Rows, model: Model, coef: np.ndarray, direction: np.ndarray) -> Directed:
    """Return the moments of a block at β and how its rows move along a direction.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef, direction : ndarray of shape (d,)
        β and δ.

    Returns
    -------
    Directed
        Of the rows whose weight is positive.
    """
    reach = against = 0.0
    columns = np.zeros(len(model.names))
    for part in slices(rows, model):
        seen = slice(None) if part.weights is None else part.weights > 0
        move, y = part.times(direction)[seen], part.y[seen]
        if not len(move):
            continue
        if model.family.name == "binomial":
            wrong = np.where(y == 1, -move, np.where(y == 0, move, np.abs(move)))
        else:
            wrong = np.where(y == 0, move, np.abs(move))
        reach = max(reach, float(np.abs(move).max()))
        against = max(against, float(wrong.max()))
        columns = np.maximum(columns, part.greatest() * np.abs(direction))
    return Directed(moments(rows, model, coef), reach, against, columns)
