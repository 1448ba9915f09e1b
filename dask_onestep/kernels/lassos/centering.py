"""Columns far from 0, taken about a value in their midst.

Of a column such as a year or a time in seconds, the square of its mean fills a Gram matrix's digits and leaves
few to its variance.  Beside an intercept that is not penalised a lasso is the same about any value m: with
X̃ = X − 1m', β̃₀ = β₀ + m'β and all other coefficients equal.  So the sums are made about m, and what is linear in
them is turned back.  Vectors m have one element for each coefficient, 0 for the intercept and for columns that are
near enough to 0 as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.rows import kernel

__all__ = ["coefficients_about", "column_shift", "gram_about", "moments_about", "rows_about", "score_about"]

# Of a column whose mean is so many standard deviations from 0, the Gram matrix has lost two digits.
_FAR = 10.0
# Rows that say where a column lies: any value in its midst will do.
_LOOKED_AT = 256


def column_shift(rows: Rows, model: Model) -> np.ndarray:
    """Return a value in the midst of each column that is far from 0, by a glance at some rows.

    Parameters
    ----------
    rows : Rows
        A block, not empty.
    model : Model
        The model, without a basis.

    Returns
    -------
    ndarray of shape (d,)
        m: zeros without an intercept.
    """
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
    # A column that is far from 0 has no zeros.
    full = np.flatnonzero(x.stored.count(_is_nonzero) == len(x))
    own[x.stored_at[full]] = _midst(x.stored.columns(full).toarray(), weights)
    return shift


def _is_nonzero(values: np.ndarray) -> np.ndarray:
    return values != 0


def _midst(x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the means of columns that are far from 0, and 0 for others."""
    total = float(len(x)) if weights is None else weights.sum()
    shares = np.full(len(x), 1.0 / total) if weights is None else weights / total
    with np.errstate(all="ignore"):  # columns too large to be averaged stay as they are
        mean = shares @ x
        variance = shares @ np.square(x - mean)
        return np.where(np.isfinite(variance) & (np.square(mean) > _FAR**2 * variance), mean, 0.0)


def rows_about(rows: Rows, shift: np.ndarray) -> Rows:
    """Return rows of X̃; the same rows where no column is shifted.

    Parameters
    ----------
    rows : Rows
        A block.
    shift : ndarray of shape (d,)
        m, of a model with an intercept.

    Returns
    -------
    Rows
        The rows, dense columns copied; another column that is shifted becomes dense.
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
    """Return the likelihood's sums at β, score and information those of X̃.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    point : tuple of ndarray of shape (d,)
        β, of the columns as they are, and m.

    Returns
    -------
    Moments
        Sums over the block's rows.
    """
    coef, shift = point
    return moments(rows_about(rows, shift), model, coefficients_about(coef, shift))


def coefficients_about(coef: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return β̃, of X̃, from β; with −m, β from β̃.

    Parameters
    ----------
    coef : ndarray of shape (d,) or (d, k)
        Coefficients.
    shift : ndarray of shape (d,)
        m.

    Returns
    -------
    ndarray
        The same coefficients, but for the intercept.
    """
    if not shift.any():
        return coef
    moved = coef.copy()
    moved[0] += shift @ coef
    return moved


def score_about(score: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the score of X̃ from that of X; with −m, that of X from that of X̃.

    Parameters
    ----------
    score : ndarray of shape (d,)
        A score, or what is linear in one.
    shift : ndarray of shape (d,)
        m.

    Returns
    -------
    ndarray of shape (d,)
        s − m s₀.
    """
    return score - shift * score[0] if shift.any() else score


def gram_about(gram: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the Gram matrix about m + δ from that about m.

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        Of a constant and X̃.
    change : ndarray of shape (d,)
        δ.

    Returns
    -------
    ndarray of shape (d, d)
        Of a constant and X̃ − 1δ'.
    """
    if not change.any():
        return gram
    # In this order the rounding is that of each block's distance from the common m, and not that of m.
    moved = gram - np.outer(change, gram[0])
    moved -= np.outer(moved[:, 0], change)
    return moved
