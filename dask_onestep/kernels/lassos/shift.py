"""Centering of columns whose mean is large compared with their standard deviation.

The square of the mean of such a column, for instance a year or a time in seconds, dominates the digits of a Gram matrix
and leaves few for its variance. With an unpenalized intercept a lasso is invariant to centering about any value m: with
X̃ = X − 1m', β̃₀ = β₀ + m'β and all other coefficients are equal. So the sums are computed about m, and whatever is
linear in them is transformed back. Vectors m have one element per coefficient, 0 for the intercept and for columns
that need no centering.
"""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.rows import kernel

# A column whose mean is this many standard deviations from 0 has lost two digits in the Gram matrix.
_FAR = 10.0
# Number of rows from which m is computed; a rough center suffices.
_LOOKED_AT = 256


def column_shift(rows: Rows, model: Model) -> np.ndarray:
    """Return m, of shape (d,), computed from some rows of a nonempty block; zeros without an intercept."""
    shift = np.zeros(len(model.names))
    if not model.has_intercept:
        return shift
    at = np.unique(np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(np.intp))
    weights = None if rows.weights is None else rows.weights[at]
    x, own = rows.x[at], shift[1:]
    if not isinstance(x, SplitMatrix):
        own[:] = _midst(np.asarray(x, dtype=np.float64), weights)
        return shift
    own[x.dense_at] = _midst(x.dense, weights)
    # An uncentered column has no zeros.
    full = np.flatnonzero(x.stored.count(_is_nonzero) == len(x))
    own[x.stored_at[full]] = _midst(x.stored.columns(full).toarray(), weights)
    return shift


def _is_nonzero(values: np.ndarray) -> np.ndarray:
    return values != 0


def _midst(x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the means of columns that need centering, and 0 for others."""
    total = float(len(x)) if weights is None else weights.sum()
    shares = np.full(len(x), 1.0 / total) if weights is None else weights / total
    with np.errstate(all="ignore"):  # columns whose means overflow are left unchanged
        mean = shares @ x
        variance = shares @ np.square(x - mean)
        return np.where(np.isfinite(variance) & (np.square(mean) > _FAR**2 * variance), mean, 0.0)


def rows_about(rows: Rows, shift: np.ndarray) -> Rows:
    """Return the rows of X̃, or the same rows if no column is shifted.

    Dense columns are copied; other columns become dense if they are shifted.
    """
    if not shift.any():
        return rows
    x, own = rows.x, shift[1:]
    if not isinstance(x, SplitMatrix):
        return replace(rows, x=x - own)
    filled = own[x.stored_at] != 0
    at = np.concatenate([x.dense_at, x.stored_at[filled]])
    dense = np.column_stack([x.dense, x.stored.columns(np.flatnonzero(filled)).toarray()]) - own[at]
    order, kept = np.argsort(at), np.flatnonzero(~filled)
    return replace(rows, x=SplitMatrix(dense[:, order], x.stored.columns(kept), at[order], x.stored_at[kept]))


@kernel(checked="after")
def moments_about(rows: Rows, model: Model, point: tuple[np.ndarray, np.ndarray]) -> Moments:
    """Return the likelihood's sums, with score and information for X̃, at `point` = (β for the original columns, m)."""
    coef, shift = point
    return moments(rows_about(rows, shift), model, coefficients_about(coef, shift))


def coefficients_about(coef: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return β̃, for X̃, from β; with −m, β from β̃. `coef` has shape (d,) or (d, k)."""
    if not shift.any():
        return coef
    moved = coef.copy()
    moved[0] += shift @ coef
    return moved


def score_about(score: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the score for X̃ from that for X, s − m s₀; with −m, that for X from that for X̃."""
    return score - shift * score[0] if shift.any() else score


def gram_about(gram: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the Gram matrix of a constant and the columns centered about m + δ from that about m; `change` is δ."""
    if not change.any():
        return gram
    # In this order rounding depends on each block's distance from the common m, not on m.
    moved = gram - np.outer(change, gram[0])
    moved -= np.outer(moved[:, 0], change)
    return moved
