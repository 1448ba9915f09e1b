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
        The greatest move that eventually lowers a row's likelihood.
    columns : ndarray of shape (d,)
        The greatest move due to each column.
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
        """Whether rows move, and none in the wrong direction, up to rounding."""
        return self.reach > 0 and self.against <= 1e-3 * self.reach

    @property
    def separates(self) -> bool:
        """Whether `may_separate` holds and rows move far."""
        return self.reach > 0.1 and self.may_separate


@kernel
def directed(rows: Rows, model: Model, coef: np.ndarray, direction: np.ndarray, *earlier: Any) -> Directed:
    """Return the moments of a block at β and how its rows move along the direction δ."""
    reach = against = 0.0
    by_class = direction.reshape(-1, model.width)
    columns = np.zeros_like(by_class)
    for part in slices(model.likelihood.view(rows, model, coef, *earlier), model):
        far, wrong = model.likelihood.moved(part.y, part.times(by_class.T))
        reach, against = max(reach, float(far.max())), max(against, float(wrong.max()))
        columns = np.maximum(columns, part.greatest() * np.abs(by_class))
    return Directed(model.likelihood.moments(rows, model, coef, *earlier), reach, against, columns.ravel())
