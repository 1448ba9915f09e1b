"""Warnings of the debiased and averaged lasso."""

from math import floor
from typing import Any

import numpy as np

from dask_onestep.kernels.lassos.correction import Debiased
from dask_onestep.kernels.lassos.local_lassos import LocalLassos
from dask_onestep.kernels.lassos.pooled_lasso import sample_size
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks

# Expected coverage of nominal 95% intervals below which a warning is issued.
_HONEST = 0.90
# Rows per column from which on the measured coverage of the default is nominal.
_ROWS_PER_COLUMN = 20
# Rounding error relative to the spread of y above which a warning is issued.
_FEW_DIGITS = 1e-3


def sparse_advice(
    model: Model, method: Any, local: LocalLassos, estimate: Debiased, gaps: np.ndarray, coverage: float
) -> Remarks:
    """Return the warnings of a debiased lasso."""
    advice: list[Remark] = []
    p = len(estimate.coef) - int(model.has_intercept)
    if method.nodewise == "pooled":
        if _ROWS_PER_COLUMN * p > sample_size(model, local.n, local.weight):
            advice.append(catalogue.MANY_COLUMNS.warning(n=local.n, rank=len(estimate.coef)))
    elif coverage < _HONEST:
        said = {"n": local.smallest, "rank": len(estimate.coef), "coverage": floor(100 * coverage)}
        advice.append(catalogue.SMALL_BLOCKS.warning(**said))
    if estimate.shortened:
        said = {"shortened": estimate.shortened, "rounds": estimate.rounds}
        advice.append(catalogue.CORRECTIONS_SHORTENED.warning(**said))
    if estimate.overflowed:
        advice.append(catalogue.CORRECTION_OVERFLOWS.warning(rounds=estimate.rounds))
    if len(rough := np.flatnonzero(gaps > 10 * method.tol)):
        names = [model.names[j] for j in rough]
        advice.append(catalogue.NODEWISE_NOT_CONVERGED.warning(count=len(rough), gap=gaps.max(), names=names))
    return tuple(advice)


def few_digits(model: Model, local: LocalLassos) -> Remarks:
    """Return the warning about uncentered columns whose rounding errors affect predictions."""
    off = np.finfo(np.float64).eps * np.abs(local.shift * local.coef) / local.share
    if not off.sum() > _FEW_DIGITS * _spread(model, local):
        return ()
    far = np.flatnonzero(off > off.max() / 10)
    names = [f"{model.names[j]} (about {local.shift[j]:.2g})" for j in far]
    return (catalogue.ROUNDING.warning(names=names, error=off.sum()),)


def _spread(model: Model, local: LocalLassos) -> float:
    """Return the standard deviation of what the lassos predict, and of the noise about it."""
    moves = np.where(np.arange(len(local.coef)) < int(model.has_intercept), 0.0, local.coef / local.share)
    noise = 1.0 if local.pearson is None else max(local.pearson, 0.0) / local.weight
    return float(np.sqrt(moves @ local.information @ moves / local.weight + noise))
