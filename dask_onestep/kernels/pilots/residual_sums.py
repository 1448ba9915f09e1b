"""Residuals by bins of a number, and of a random sample of rows, for plots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.expressions import as_floats
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.binned import BinnedSums
from dask_onestep.kernels.likelihood.predictions import Residuals
from dask_onestep.kernels.model import Model, Prediction
from dask_onestep.kernels.pilots.keys import row_keys, smallest_keys
from dask_onestep.kernels.records import Record
from dask_onestep.kernels.rows.rows import kernel


@dataclass(frozen=True, slots=True, eq=False)
class ResidualSums(Record):
    """Residuals by bins of a number x, and those of a simple random sample.

    Attributes
    ----------
    bins : BinnedSums
        Σ c, Σ c x, Σ c r and Σ c r² of residuals r, c the number of rows that a row stands for.
    size : int
        Rows of the sample.
    keys : ndarray of shape (k,) of uint64
        Random keys of the sampled rows, in increasing order.
    points : ndarray of shape (k, 2)
        Their x and r.
    """

    bins: BinnedSums
    size: int
    keys: np.ndarray
    points: np.ndarray

    def __add__(self, other: ResidualSums) -> ResidualSums:
        keys = np.concatenate([self.keys, other.keys])
        smallest = np.argsort(keys, kind="stable")[: self.size]
        points = np.concatenate([self.points, other.points])
        return ResidualSums(self.bins + other.bins, self.size, keys[smallest], points[smallest])


@kernel
def residual_sums(
    rows: Rows, model: Model, coef: np.ndarray, kind: str, against: str | None, size: int, seed: int
) -> ResidualSums:
    """Return the residuals of a block by bins, and the candidates of its sample."""
    residual = Residuals(model, coef, kind).values(rows)
    value = _values(rows, model, coef, against)
    frequency = model.weight_type == "frequency" and rows.weights is not None
    count = rows.weights if frequency else np.ones(len(rows))
    bins = BinnedSums.of(value, count, count * value, count * residual, count * np.square(residual))
    keys = row_keys(seed, rows)
    index, _ = smallest_keys(keys, size)
    order = index[np.argsort(keys[index], kind="stable")[:size]]
    return ResidualSums(bins, size, keys[order], np.column_stack([value, residual])[order])


def _values(rows: Rows, model: Model, coef: np.ndarray, against: str | None) -> np.ndarray:
    if against is None:
        return model.likelihood.predict(rows, model, Prediction(coef, "linear"))
    if rows.raw is None:
        column = rows.x[:, [model.columns.index(against)]]
        return np.asarray(column.toarray() if hasattr(column, "toarray") else column, dtype=np.float64)[:, 0]
    values = as_floats(rows.raw[against])
    return values if rows.kept is None else values[rows.kept]
