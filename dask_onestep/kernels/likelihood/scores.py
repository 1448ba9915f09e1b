"""The score summed over rows, for passes that do not need the information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


@dataclass(frozen=True, slots=True)
class Scores(Sums):
    """The score summed over rows.

    Attributes
    ----------
    n, n_missing : int
        Usable rows, and rows dropped because of missing values.
    weight : float
        Σ wᵢ; equal to `n` without weights.
    score : ndarray of shape (d,)
        s(β) = +∂ℓ/∂β.
    """

    n: int
    n_missing: int
    weight: float
    score: np.ndarray


@kernel(checked="after")
def scores(rows: Rows, model: Model, coef: np.ndarray) -> Scores:
    """Return the score of a block at β, without the information, which costs d times as much."""
    score = np.zeros(len(model.free))
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            summed = part.natural_sums(model.family, coef, informed=False) if model.natural else None
            if summed is not None:
                score += summed[1]
                continue
            residual = model.likelihood.row_residuals(part, model, coef)
            weighted = residual if part.weights is None else (residual.T * part.weights).T
            score += part.weighted_sum(weighted).T.ravel()
    total = float(len(rows)) if rows.weights is None else float(rows.weights.sum())
    return Scores(len(rows), rows.n_missing, total, score[model.free])
