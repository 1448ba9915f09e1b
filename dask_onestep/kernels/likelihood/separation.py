"""Separation: a direction along which the likelihood increases without bound.

Albert and Anderson (1984): a binomial model has no finite maximum if some δ has x'δ ≥ 0 wherever y = 1 and x'δ ≤ 0
wherever y = 0, and not x'δ = 0 throughout. The same holds for every family and link: a row may move toward η → ±∞ if
the mean has a finite limit there that y equals or exceeds, such as y ≤ 0 and η → −∞ under a log link; all others must
stay, x'δ = 0. For a multinomial logit with directions δ_c, that of the first class being 0, the condition is
x'δ_y ≥ x'δ_c for every row and class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


@dataclass(frozen=True, slots=True, eq=False)
class Directed(Sums):
    """Moments at β, and how rows move along k directions.

    Attributes
    ----------
    moments : Moments
        The sums at β.
    reach : ndarray of shape (k,)
        The greatest move of a row's linear predictor along each direction.
    against : ndarray of shape (k,)
        The greatest move that eventually lowers a row's likelihood.
    columns : ndarray of shape (k, d)
        The greatest move due to each column.
    """

    moments: Moments
    reach: np.ndarray
    against: np.ndarray
    columns: np.ndarray

    def __add__(self, other: Directed) -> Directed:
        return Directed(
            self.moments + other.moments,
            np.maximum(self.reach, other.reach),
            np.maximum(self.against, other.against),
            np.maximum(self.columns, other.columns),
        )

    def may_separate(self, *slack: float) -> np.ndarray:
        """Return along which directions rows move, and in the wrong direction at most this fraction of the reach."""
        return (self.reach > 0) & (self.against <= np.array(slack) * self.reach)

    def separating(self, *slack: float) -> int | None:
        """Return the first direction that may separate and along which rows move far; None if there is none."""
        found = np.flatnonzero(self.may_separate(*slack) & (self.reach > 0.1))
        return int(found[0]) if len(found) else None


@kernel
def directed(rows: Rows, model: Model, coef: np.ndarray, directions: np.ndarray, *earlier: Any) -> Directed:
    """Return the moments of a block at β and how its rows move along some directions, of shape (k, d)."""
    reach, against, columns = np.zeros(len(directions)), np.zeros(len(directions)), np.zeros_like(directions)
    for part in slices(model.likelihood.view(rows, model, coef, *earlier), model):
        greatest = part.greatest()
        for k, direction in enumerate(directions):
            by_class = direction.reshape(-1, model.width)
            far, wrong = model.likelihood.moved(part.y, part.times(by_class.T))
            reach[k], against[k] = max(reach[k], far.max()), max(against[k], wrong.max())
            columns[k] = np.maximum(columns[k], np.ravel(greatest * np.abs(by_class)))
    return Directed(model.likelihood.moments(rows, model, coef, *earlier), reach, against, columns)
