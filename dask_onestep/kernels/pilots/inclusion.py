"""Inclusion probabilities of the pilot rows, and the variance of weighted sums over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.records import Record


@dataclass(frozen=True, slots=True, eq=False)
class Inclusion(Record):
    """The pilot rows' inclusion probabilities πᵢ, and the variance of Σ rᵢ/πᵢ, which estimates a sum over all rows.

    Attributes
    ----------
    probabilities : ndarray of shape (n,), or float where they are all equal
        πᵢ.
    weights : likewise
        1/πᵢ, calibrated to the counts of levels and classes (`Strata.calibrated`), divided by N/n.
    variance : likewise
        cᵢ: Σ cᵢwᵢ²rᵢrᵢ', wᵢ the weight, estimates the variance, before the term for the base stratum's mean is
        subtracted.
    base : likewise
        1 for rows of the base stratum, 0 for rows of an oversampled stratum.
    n_base : int
        Size of the simple random sample that the base stratum is part of.
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
        """Return the probabilities of a simple random sample of n of all N rows."""
        factor = (1.0 - n / total) * n / max(n - 1, 1)
        return cls(n / total, 1.0, factor, 1.0, n, factor)

    @property
    def is_simple(self) -> bool:
        """Whether all rows had the same probability."""
        return isinstance(self.weights, float)

    @property
    def effective_share(self) -> float:
        """Size of the simple random sample with the same variance, as a fraction of n."""
        return (
            1.0
            if self.is_simple
            else float(self.weights.sum() ** 2 / np.square(self.weights).sum() / len(self.weights))
        )

    def take(self, index: Any) -> Inclusion:
        """Return the probabilities of a selection of rows (a slice, an index or a mask)."""
        if self.is_simple:
            return self
        arrays = ("probabilities", "weights", "variance", "base")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})
