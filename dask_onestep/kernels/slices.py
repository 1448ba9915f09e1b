"""The rows of a block as a design matrix, a slice at a time, and the algebra that kernels do with it.

Rows are taken in slices that stay in cache; what is made of a slice's covariates is written into
reused buffers, so no temporary has the size of the block, and float32 and integer blocks are summed in
float64.  A kernel never touches a design itself: it asks the slice for
Xβ, X'v or X'WX, so that how the rows are stored is the slice's own affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

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

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, v and w of shape (m,)."""
        return self.weighted_sum(values), self.gram(weights)

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
        """Return X as an array of shape (m, d), not to be written to; in the buffer of `scaled`, maybe."""


@dataclass(frozen=True, slots=True)
class DenseSlice(Slice):
    """A slice whose covariates are an array; the constant is not written out beside them.

    Attributes
    ----------
    covariates : ndarray of shape (m, p)
        float64: the block's own rows, or a buffer that the next slice reuses.
    constant : bool
        Whether a 1 goes before each row, so that d is p + 1.
    scratch : ndarray of shape (≥ m·d,)
        A buffer for scaled rows.
    """

    covariates: np.ndarray
    constant: bool
    scratch: np.ndarray

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ."""
        if not self.constant:
            return np.dot(self.covariates, coef)
        product = np.dot(self.covariates, coef[1:])
        product += coef[0]
        return product

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v."""
        sums = np.dot(self.covariates.T, values)
        return np.concatenate([values.sum(axis=0)[None], sums]) if self.constant else sums

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        if weights is None:
            weights = np.ones(len(self.y))
        gram = self._covariates_gram(weights)
        if not self.constant:
            return gram
        # The constant's row is a border, so that the large product is of contiguous rows.
        border = np.dot(self.covariates.T, weights)
        return np.block([[weights.sum(), border[None]], [border[:, None], gram]])

    def _covariates_gram(self, weights: np.ndarray) -> np.ndarray:
        scaled = self._buffer(self.covariates.shape[1])
        if (weights >= 0).all():
            # A product of a matrix with itself, which BLAS does at half the cost.
            np.multiply(self.covariates, np.sqrt(weights)[:, None], out=scaled)
            return np.dot(scaled.T, scaled)
        np.multiply(self.covariates, weights[:, None], out=scaled)
        return np.dot(scaled.T, self.covariates)

    def scaled(self, factors: np.ndarray) -> np.ndarray:
        """Return the rows fᵢxᵢ."""
        first = int(self.constant)
        rows = self._buffer(self.covariates.shape[1] + first)
        rows[:, :first] = factors[:, None]
        np.multiply(self.covariates, factors[:, None], out=rows[:, first:])
        return rows

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ of each group."""
        design = self.dense()
        return np.hstack([_indicator(v, codes, count) @ design for v in np.atleast_2d(values.T)])

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column."""
        squares = np.square(self.covariates, out=self._buffer(self.covariates.shape[1]))
        sums = np.dot(weights, squares)
        return np.concatenate([weights.sum()[None], sums]) if self.constant else sums

    def quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row."""
        design = self.dense()
        return np.einsum("ij,ij->i", np.dot(design, matrix), design)

    def greatest(self) -> np.ndarray:
        """Return max |xᵢ| of each column."""
        seen = self.dense() if self.weights is None else self.dense()[self.weights > 0]
        return np.abs(seen).max(axis=0, initial=0.0)

    def dense(self) -> np.ndarray:
        """Return X, in the buffer of `scaled`."""
        first = int(self.constant)
        rows = self._buffer(self.covariates.shape[1] + first)
        rows[:, :first] = 1.0
        rows[:, first:] = self.covariates
        return rows

    def _buffer(self, columns: int) -> np.ndarray:
        """Return the scratch as rows without gaps, which BLAS and NumPy take in less time."""
        return self.scratch[: len(self.y) * columns].reshape(len(self.y), columns)


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
    d, p = model.width, rows.x.shape[1]
    length = max(1, min(len(rows), _SLICE_BYTES // (8 * max(d, 1))))
    kind, scratch = _dense_kind(), np.empty(length * d)
    copies = None if rows.x.dtype == np.float64 else np.empty((length, p))
    for start in range(0, len(rows), length):
        at = slice(start, min(start + length, len(rows)))
        here = slice(at.stop - at.start)
        covariates = rows.x[at]
        if copies is not None:
            copies[here] = covariates
            covariates = copies[here]
        yield kind(*_beside(rows, at), covariates, model.has_intercept, scratch)


@cache
def _dense_kind() -> type[DenseSlice]:
    """Return the slices with compiled sums where the extra ``accelerate`` is installed, else those of NumPy."""
    if find_spec("numba") is None:
        return DenseSlice
    from dask_onestep.kernels import compiled

    return compiled.CompiledSlice if compiled.enabled() else DenseSlice


def _beside(rows: Rows, at: slice) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, slice]:
    weights = None if rows.weights is None else rows.weights[at]
    return rows.y[at], weights, None if rows.offset is None else rows.offset[at], at
