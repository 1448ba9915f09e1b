"""Sums over rows by bins of a number, whose range and resolution need not be known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model, Prediction
from dask_onestep.kernels.records import Joining
from dask_onestep.kernels.rows.rows import kernel

MOST_BINS = 2**14
# Mantissa bits that never count: values that differ by rounding alone are in one bin.
_ROUNDING_BITS = 20
# Log odds beyond this are those of probabilities 0 and 1; differences below its inverse to the power 5 do not count.
_FARTHEST = 64.0
_RESOLUTION = 2.0**32


@dataclass(frozen=True, slots=True, eq=False)
class BinnedSums(Joining):
    """Sums over the rows of each bin; ``+`` adds those of equal bins.

    A bin holds the numbers with the same sign, exponent and leading bits. Up to `MOST_BINS` distinct values have one
    bin each; with more, bins are made wider. Which bins result does not depend on the order of addition.

    Attributes
    ----------
    keys : ndarray of shape (m,) of int
        The bins, in increasing order of their numbers.
    sums : ndarray of shape (m, k)
        Sums of k quantities.
    shift : int
        Bits of the numbers that the keys lack.
    """

    keys: np.ndarray
    sums: np.ndarray
    shift: int = _ROUNDING_BITS

    @classmethod
    def of(cls, values: np.ndarray, *quantities: np.ndarray) -> BinnedSums:
        """Return the sums of quantities of rows by a number of each row."""
        bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.int64)
        ordered = bits ^ ((bits >> 63) & np.int64(2**63 - 1))
        return _summed(ordered >> _ROUNDING_BITS, np.column_stack(quantities), _ROUNDING_BITS)

    def join(self, *others: BinnedSums) -> BinnedSums:
        """Return the sum of this and other records."""
        parts = (self, *others)
        shift = max(part.shift for part in parts)
        keys = np.concatenate([part.keys >> (shift - part.shift) for part in parts])
        return _summed(keys, np.concatenate([part.sums for part in parts]), shift)

    @property
    def exact(self) -> bool:
        """Whether each distinct value has its own bin."""
        return self.shift == _ROUNDING_BITS

    def merged(self, weights: np.ndarray, count: int) -> np.ndarray:
        """Return the sums of at most `count` groups of adjacent bins of about equal weight, of shape (g, k).

        A bin belongs to the group in which its first row is.
        """
        before = np.cumsum(weights) - weights
        # Without the rounding of sums, which would move a bin at a border.
        place = np.floor(before * count / weights.sum() * (1.0 + 1e-12)).astype(np.intp)
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        return np.add.reduceat(self.sums, starts, axis=0)


def _summed(keys: np.ndarray, sums: np.ndarray, shift: int) -> BinnedSums:
    order = np.argsort(keys, kind="stable")
    keys, sums = keys[order], sums[order]
    while len(keys) and 1 + np.count_nonzero(np.diff(keys)) > MOST_BINS:
        keys, shift = keys >> 1, shift + 1
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(keys), 1), bool), np.diff(keys) > 0]))
    return BinnedSums(keys[starts], np.add.reduceat(sums, starts, axis=0) if len(keys) else sums, shift)


@kernel
def probability_sums(rows: Rows, model: Model, coef: np.ndarray, label: int) -> BinnedSums:
    """Return the weights of events, other rows and predicted events, by the predicted probability of a class."""
    predicted = model.likelihood.predict(rows, model, Prediction(np.nan_to_num(coef), "proba"))[:, label]
    events = (rows.y == label).astype(float)
    weights = rows.row_weights
    odds = np.clip(np.log(predicted) - np.log1p(-predicted), -_FARTHEST, _FARTHEST)
    odds = np.round(odds * _RESOLUTION) / _RESOLUTION
    return BinnedSums.of(odds, weights * events, weights * (1.0 - events), weights * predicted)
