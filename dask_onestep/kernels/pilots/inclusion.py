"""How likely each pilot row was to be drawn, and what that makes of sums over the pilot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.records import Record

__all__ = ["Inclusion"]


@dataclass(frozen=True, slots=True)
class Inclusion(Record):
    """The pilot rows' inclusion probabilities πᵢ, and the variance of Σ rᵢ/πᵢ, an estimate of a sum over all rows.

    Attributes
    ----------
    probabilities : ndarray of shape (n,), or float where all rows were drawn alike
        πᵢ.
    weights : likewise
        1/πᵢ as a share of N/n.
    variance : likewise
        cᵢ: Σ cᵢrᵢrᵢ'/πᵢ² estimates the variance, but for what the mean of the base stratum takes off.
    base : likewise
        1 for rows that were drawn as one of all rows, 0 for those of a stratum that is drawn more densely.
    n_base : int
        Rows of a simple random sample that the base stratum is part of.
    base_variance : float
        cᵢ of its rows.
    """

    probabilities: Any
    weights: Any
    variance: Any
    base: Any
    n_base: int
    base_variance: float

    @classmethod
    def simple(cls, n: int, total: int) -> Inclusion:
        """Return that of a simple random sample of n of all N rows."""
        factor = (1.0 - n / total) * n / max(n - 1, 1)
        return cls(n / total, 1.0, factor, 1.0, n, factor)

    @property
    def is_simple(self) -> bool:
        """Whether all rows were drawn alike."""
        return isinstance(self.weights, float)

    @property
    def effective_share(self) -> float:
        """The rows of a simple random sample that tells as much of a sum of like terms, as a share of n."""
        return (
            1.0
            if self.is_simple
            else float(self.weights.sum() ** 2 / np.square(self.weights).sum() / len(self.weights))
        )

    def take(self, index: Any) -> Inclusion:
        """Return that of some of the rows, which a slice, an index or a mask selects."""
        if self.is_simple:
            return self
        arrays = ("probabilities", "weights", "variance", "base")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})
