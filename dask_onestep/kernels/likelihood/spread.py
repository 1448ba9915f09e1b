"""Standard deviations of the columns of a design and of the response."""

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import column_sums
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows.rows import kernel

# Relative to the squared mean, what rounding may leave of the variance of a constant column.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Spread(Sums):
    """Sums for weighted means and variances.

    Attributes
    ----------
    n : int
        Usable rows.
    weight : float
        Σ wᵢ.
    total, square : ndarray of shape (p + 1,)
        Σ wᵢ v and Σ wᵢ v² of each column of the design, and of y at last.
    """

    n: int
    weight: float
    total: np.ndarray
    square: np.ndarray

    def deviations(self, *, frequency: bool) -> np.ndarray:
        """Return standard deviations with the divisor n − 1, of shape (p + 1,); NaN for constant columns."""
        mean = self.total / self.weight
        variance = self.square / self.weight - mean**2
        n = self.weight if frequency else self.n
        return np.sqrt(np.where(variance > _ROUNDING * mean**2, variance, np.nan) * n / (n - 1))


@kernel
def spread_sums(rows: Rows, model: Model) -> Spread:
    """Return the sums of a block; labels are encoded."""
    ends = np.dot(rows.row_weights, rows.y), np.dot(rows.row_weights, np.square(rows.y))
    return Spread(len(rows), rows.total_weight, *np.column_stack([column_sums(rows, model), ends]))
