"""Separation: a direction along which the likelihood rises for ever.

Albert and Anderson (1984): a binomial model has no finite maximum if some δ has x'δ ≥ 0 wherever
y = 1 and x'δ ≤ 0 wherever y = 0, and not x'δ = 0 throughout.  The same holds of every family and link: a row
may move towards an end of the line whose mean is finite, and which y is at or beyond, such as y ≤ 0 and
η → −∞ of a log link; all others must stay, x'δ = 0.  Of a multinomial logit with its δ_c, the first class's
being 0, it is x'δ_y ≥ x'δ_c for every row and class.
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

__all__ = ["Directed", "directed"]


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
    def may_separate(self) -> bool:
        """Whether rows move, and none but against rounding moves the wrong way."""
        return self.reach > 0 and self.against <= 1e-3 * self.reach

    @property
    def separates(self) -> bool:
        """Whether they do, and move far."""
        return self.reach > 0.1 and self.may_separate


@kernel
def directed(rows: Rows, model: Model, coef: np.ndarray, direction: np.ndarray, *earlier: Any) -> Directed:
    """Return the moments of a block at β and how its rows move along a direction.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef, direction : ndarray of shape (d,)
        β and δ.
    *earlier : object
        What the stages of the likelihood have finished, of all blocks.

    Returns
    -------
    Directed
        Of the block's rows.
    """
    reach = against = 0.0
    by_class = direction.reshape(-1, model.width)
    columns = np.zeros_like(by_class)
    for part in slices(model.likelihood.view(rows, model, coef, *earlier), model):
        far, wrong = model.likelihood.moved(part.y, part.times(by_class.T))
        reach, against = max(reach, float(far.max())), max(against, float(wrong.max()))
        columns = np.maximum(columns, part.greatest() * np.abs(by_class))
    return Directed(model.likelihood.moments(rows, model, coef, *earlier), reach, against, columns.ravel())
