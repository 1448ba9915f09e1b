"""The rows of a block as a design matrix, a slice at a time, and the algebra that kernels do with it.

Rows are taken in slices that stay in cache; a slice's design (constant, then covariates, in
float64) is written into one reused buffer, so no temporary has the size of the block, and float32
and integer blocks are summed in float64.  A kernel never touches a design itself: it asks the slice for
Xβ, X'v or X'WX, so that how the rows are stored is the slice's own affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from dask_onestep.kernels.rows import Model, Rows

__all__ = ["DenseSlice", "Slice", "slices"]

_SLICE_BYTES = 768 * 1024


@dataclass(frozen=True, slots=True)
class Slice(ABC):
    """Some consecutive rows of a block: m rows of a design X with d columns.

    Attributes
    ----------
    y : ndarray of shape (m,)
        Response.
    weights, offset : ndarray of shape (m,) or None
        As in the block.
    rows : slice
        Which rows of the block.
    """

    y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    rows: slice

    def linear_predictor(self, coef: np.ndarray) -> np.ndarray:
        """Return η = Xβ + offset, of shape (m,), or (m, c) for β of shape (d, c)."""
        eta = self.times(coef)
        if self.offset is not None:
            eta += self.offset if eta.ndim == 1 else self.offset[:, None]
        return eta

    def gram(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return Σ wᵢxᵢxᵢ', or Σ Wᵢ ⊗ xᵢxᵢ' for a symmetric matrix of weights a row.

        Parameters
        ----------
        weights : ndarray of shape (m,) or (m, c, c), or None
            Of any sign; None for ones.

        Returns
        -------
        ndarray of shape (d, d) or (c·d, c·d)
            The weighted Gram matrix.
        """
        if weights is None or weights.ndim == 1:
            return self._gram(weights)
        c = weights.shape[1]
        blocks = [[self._gram(weights[:, a, b]) if b <= a else None for b in range(c)] for a in range(c)]
        return np.block([[blocks[max(a, b)][min(a, b)] for b in range(c)] for a in range(c)])

    @abstractmethod
    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ, of shape (m,), or (m, c) for β of shape (d, c)."""

    @abstractmethod
    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v, of shape (d,), or (d, c) for v of shape (m, c)."""

    @abstractmethod
    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        """Return X'WX, W diagonal and of any sign."""

    @abstractmethod
    def scaled(self, factors: np.ndarray) -> np.ndarray:
        """Return the rows fᵢxᵢ as an array of shape (m, d), a buffer that the next call reuses."""

    @abstractmethod
    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ over the rows of each of `count` groups, of shape (count, d), or (count, c·d)."""

    @abstractmethod
    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column, of shape (d,)."""

    @abstractmethod
    def quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row, of shape (m,)."""

    @abstractmethod
    def greatest(self) -> np.ndarray:
        """Return max |xᵢ| of each column over rows of positive weight, of shape (d,)."""

    @abstractmethod
    def dense(self) -> np.ndarray:
        """Return X as an array of shape (m, d), not to be written to."""


@dataclass(frozen=True, slots=True)
class DenseSlice(Slice):
    """A slice whose design is an array.

    Attributes
    ----------
    design : ndarray of shape (m, d)
        The constant, if there is one, and the covariates; a buffer that the next slice reuses.
    scratch : ndarray of shape (m, d)
        Another, for scaled rows.
    """

    design: np.ndarray
    scratch: np.ndarray

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ."""
        return np.dot(self.design, coef)

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v."""
        return np.dot(self.design.T, values)

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        if weights is None:
            return np.dot(self.design.T, self.design)
        if (weights >= 0).all():
            # A product of a matrix with itself, which BLAS does at half the cost.
            scaled = self.scaled(np.sqrt(weights))
            return np.dot(scaled.T, scaled)
        return np.dot(self.scaled(weights).T, self.design)

    def scaled(self, factors: np.ndarray) -> np.ndarray:
        """Return the rows fᵢxᵢ."""
        return np.multiply(self.design, factors[:, None], out=self.scratch)

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ of each group."""
        return np.hstack([_indicator(v, codes, count) @ self.design for v in np.atleast_2d(values.T)])

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column."""
        return np.dot(weights, np.square(self.design, out=self.scratch))

    def quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row."""
        return np.einsum("ij,ij->i", np.dot(self.design, matrix), self.design)

    def greatest(self) -> np.ndarray:
        """Return max |xᵢ| of each column."""
        seen = self.design if self.weights is None else self.design[self.weights > 0]
        return np.abs(seen).max(axis=0, initial=0.0)

    def dense(self) -> np.ndarray:
        """Return X."""
        return self.design


def _indicator(values: np.ndarray, codes: np.ndarray, count: int) -> sparse.csr_array:
    """Return the matrix that sums rows by group, each multiplied by its value."""
    return sparse.csr_array((values, (codes, np.arange(len(codes)))), shape=(count, len(codes)))


def slices(rows: Rows, model: Model) -> Iterator[Slice]:
    """Yield a block in cache-sized slices.

    Parameters
    ----------
    rows : Rows
        A block.
    model : Model
        The model, for the constant.

    Yields
    ------
    Slice
        The next rows.
    """
    d = model.width
    length = max(1, min(len(rows), _SLICE_BYTES // (8 * max(d, 1))))
    design, scratch = np.empty((length, d)), np.empty((length, d))
    first = int(model.has_intercept)
    design[:, :first] = 1.0
    for start in range(0, len(rows), length):
        at = slice(start, min(start + length, len(rows)))
        here = slice(at.stop - at.start)
        design[here, first:] = rows.x[at]
        yield DenseSlice(*_beside(rows, at), design[here], scratch[here])


def _beside(rows: Rows, at: slice) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, slice]:
    weights = None if rows.weights is None else rows.weights[at]
    return rows.y[at], weights, None if rows.offset is None else rows.offset[at], at
