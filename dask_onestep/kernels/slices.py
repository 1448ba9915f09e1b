"""The rows of a block as a design matrix, a slice at a time.

Rows are taken in slices that stay in cache; a slice's design (constant, then covariates, in
float64) is written into one reused buffer, so no temporary has the size of the block, and float32
and integer blocks are summed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.rows import Model, Rows

__all__ = ["Slice", "linear_predictor", "slices"]

_SLICE_BYTES = 768 * 1024


@dataclass(frozen=True, slots=True)
class Slice:
    """Some consecutive rows of a block.

    Attributes
    ----------
    design : ndarray of shape (m, d)
        The constant, if there is one, and the covariates, or the model's basis of them; a buffer that the
        next slice reuses.
    y : ndarray of shape (m,)
        Response.
    weights, offset : ndarray of shape (m,) or None
        As in the block.
    rows : slice
        Which rows of the block.
    """

    design: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    rows: slice


def slices(rows: Rows, model: Model) -> Iterator[Slice]:
    """Yield a block in cache-sized slices.

    Parameters
    ----------
    rows : Rows
        A block.
    model : Model
        The model, for the constant and the basis.

    Yields
    ------
    Slice
        The next rows.
    """
    first = int(model.has_intercept)
    d = first + rows.x.shape[1]
    length = max(1, min(len(rows), _SLICE_BYTES // (8 * max(d, 1))))
    buffer = np.empty((length, d))
    buffer[:, :first] = 1.0
    for start in range(0, len(rows), length):
        at = slice(start, min(start + length, len(rows)))
        design = buffer[: at.stop - at.start]
        # The kernels scale the buffer in place, so the constant is written anew each time.
        design[:, :first] = 1.0
        design[:, first:] = rows.x[at]
        yield Slice(
            design if model.basis is None else model.basis.columns(design),
            rows.y[at],
            None if rows.weights is None else rows.weights[at],
            None if rows.offset is None else rows.offset[at],
            at,
        )


def linear_predictor(design: np.ndarray, coef: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return η = x'β + offset.

    Parameters
    ----------
    design : ndarray of shape (m, d)
        The design.
    coef : ndarray of shape (d,) or (d, c)
        One β, or one a column.
    offset : ndarray of shape (m,) or None
        The offset.

    Returns
    -------
    ndarray of shape (m,) or (m, c)
        Linear predictors.
    """
    eta = np.dot(design, coef)
    if offset is not None:
        eta += offset if eta.ndim == 1 else offset[:, None]
    return eta
