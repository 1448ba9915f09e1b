"""X'v and X'WX in compiled loops, for which the extra ``accelerate`` (numba) is needed.

`dask_onestep.kernels.slices` imports this module where numba is installed; the slices of
`dask_onestep.kernels.algebra` are the reference.  Of dense columns a tile of rows is turned on its side in L1
cache, once as it is and once weighted, and products of four columns with four are summed in registers.  On
slim matrices that takes half the time of OpenBLAS's product of scaled rows.  Of sparse columns the products
that a row has are added where they belong: of categories these are a few a row.

The compiler may reorder sums, which changes last bits; NaN and
infinities pass through to the sums, on which the kernels that check themselves rely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numba
import numpy as np

from dask_onestep.kernels.algebra import DenseSlice, SplitSlice

__all__ = ["CompiledSlice", "CompiledSplitSlice", "add_sparse_sums", "add_sums", "enabled"]

_TILE = 128
# Above this many columns a tile no longer fits in L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 300


def enabled() -> bool:
    """Return whether numba compiles: with ``NUMBA_DISABLE_JIT=1`` the loops would run as Python."""
    return not getattr(numba.config, "DISABLE_JIT", False)


@dataclass(frozen=True, slots=True)
class CompiledSlice(DenseSlice):
    """A dense slice whose sums are made by a compiled loop."""

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, in one reading."""
        weights = np.ones(len(self.y)) if weights is None else weights
        p = self.covariates.shape[1]
        if p > _MOST_COLUMNS:
            return self.weighted_sum(values), super(CompiledSlice, self)._gram(weights)
        sums, gram = np.zeros(p + 1), np.zeros((p + 1, p + 1))
        add_sums(self.covariates, np.ascontiguousarray(values), np.ascontiguousarray(weights), sums, gram)
        first = 1 - int(self.constant)
        return sums[first:], gram[first:, first:]


@dataclass(frozen=True, slots=True)
class CompiledSplitSlice(SplitSlice):
    """A slice of dense and sparse columns whose sums are made by compiled loops."""

    max_density: ClassVar[float] = 0.2

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, in one reading."""
        values, dense = np.ascontiguousarray(values), np.ascontiguousarray(self.dense)
        weights = np.ones(len(self.y)) if weights is None else np.ascontiguousarray(weights)
        beside = CompiledSlice(self.y, None, None, self.rows, dense, False, np.empty(dense.size))
        of_dense, among_dense = beside.weighted_sum_and_gram(values, weights)
        a, b = len(self.dense_at), len(self.sparse_at)
        of_sparse, mixed, gram = np.zeros(b), np.zeros((b, a)), np.zeros((a + b, a + b))
        add_sparse_sums(*self._stored(), dense, values, weights, self.sparse_at, of_sparse, mixed, gram)
        gram[np.ix_(self.dense_at, self.dense_at)] = among_dense
        gram[np.ix_(self.sparse_at, self.dense_at)] = mixed
        gram[np.ix_(self.dense_at, self.sparse_at)] = mixed.T
        return self._joined(of_dense, of_sparse), gram

    def _stored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sparse columns' elements, their columns and where rows start, the latter two of one type."""
        held = self.sparse
        starts = held.indptr.astype(held.indices.dtype, copy=False)
        return np.ascontiguousarray(held.data), np.ascontiguousarray(held.indices), starts


# Not "fast": that would let the compiler assume that no number is NaN or infinite. Not "contract" either: then a
# process that compiles has other last bits than one that reads the result from disk.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc"}}


def _compiled(signature: str | list[str]):
    """Return a decorator that compiles on import, or finds on disk what an earlier import has compiled."""

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError:  # nowhere to write: numba has found no directory for its cache
            return numba.njit(signature, **_OPTIONS)(function)

    return decorate


@numba.njit(**_OPTIONS)
def _fill(x, start, stop, tile):
    """Turn rows start … stop on their side; the rest of the tile is zero."""
    rows = stop - start
    if rows < _TILE:
        tile[:] = 0.0
    # Eight rows at a time, so that whole cache lines are written.
    whole = rows - rows % 8
    for at in range(0, whole, 8):
        for j in range(x.shape[1]):
            column = tile[j]
            for i in range(8):
                column[at + i] = x[start + at + i, j]
    for i in range(whole, rows):
        for j in range(x.shape[1]):
            tile[j, i] = x[start + i, j]


@numba.njit(**_OPTIONS)
def _weigh(tile, values, weights, scaled, sums, gram):
    """Weight a tile's columns, and add their sums: weighted by the values, and the Gram matrix's first column."""
    sums[0] += values.sum()
    gram[0, 0] += weights.sum()
    for j in range(tile.shape[0]):
        column, weighted = tile[j], scaled[j]
        of_values = of_weights = 0.0
        for i in range(len(weights)):
            product = weights[i] * column[i]
            weighted[i] = product
            of_weights += product
            of_values += values[i] * column[i]
        sums[j + 1] += of_values
        gram[j + 1, 0] += of_weights


@numba.njit(**_OPTIONS)
def _add_products(tile, scaled, gram):
    """Add the products of a tile's columns with the weighted ones, at and below the diagonal."""
    p = tile.shape[0]
    fours = p - p % 4
    for a in range(0, fours, 4):
        a0, a1, a2, a3 = tile[a], tile[a + 1], tile[a + 2], tile[a + 3]
        for b in range(0, a + 4, 4):
            b0, b1, b2, b3 = scaled[b], scaled[b + 1], scaled[b + 2], scaled[b + 3]
            # Scalars, since only they are kept in registers.
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
            for i in range(_TILE):
                x0, x1, x2, x3 = a0[i], a1[i], a2[i], a3[i]
                y0, y1, y2, y3 = b0[i], b1[i], b2[i], b3[i]
                s00 += x0 * y0
                s01 += x0 * y1
                s02 += x0 * y2
                s03 += x0 * y3
                s10 += x1 * y0
                s11 += x1 * y1
                s12 += x1 * y2
                s13 += x1 * y3
                s20 += x2 * y0
                s21 += x2 * y1
                s22 += x2 * y2
                s23 += x2 * y3
                s30 += x3 * y0
                s31 += x3 * y1
                s32 += x3 * y2
                s33 += x3 * y3
            gram[a, b] += s00
            gram[a, b + 1] += s01
            gram[a, b + 2] += s02
            gram[a, b + 3] += s03
            gram[a + 1, b] += s10
            gram[a + 1, b + 1] += s11
            gram[a + 1, b + 2] += s12
            gram[a + 1, b + 3] += s13
            gram[a + 2, b] += s20
            gram[a + 2, b + 1] += s21
            gram[a + 2, b + 2] += s22
            gram[a + 2, b + 3] += s23
            gram[a + 3, b] += s30
            gram[a + 3, b + 1] += s31
            gram[a + 3, b + 2] += s32
            gram[a + 3, b + 3] += s33
    for a in range(fours, p):
        for b in range(a + 1):
            left, right = tile[a], scaled[b]
            total = 0.0
            for i in range(_TILE):
                total += left[i] * right[i]
            gram[a, b] += total


_VECTOR = "Array(float64, 1, 'C', readonly=True)"
_BUFFER = "float64[:, ::1]"


@_compiled(
    f"void(Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, float64[::1], {_BUFFER})"
)
def add_sums(x, values, weights, sums, gram):
    """Add Σ vᵢzᵢ and Σ wᵢzᵢzᵢ', where zᵢ is 1 and then xᵢ.

    Parameters
    ----------
    x : ndarray of shape (m, p)
        Covariates, of any layout.
    values, weights : ndarray of shape (m,)
        v and w, of any sign.
    sums : ndarray of shape (p + 1,)
        What Σ vᵢzᵢ is added to.
    gram : ndarray of shape (p + 1, p + 1)
        What Σ wᵢzᵢzᵢ' is added to; symmetric.
    """
    tile, scaled = np.empty((x.shape[1], _TILE)), np.empty((x.shape[1], _TILE))
    below = gram[1:, 1:]
    for start in range(0, x.shape[0], _TILE):
        stop = min(start + _TILE, x.shape[0])
        _fill(x, start, stop, tile)
        if stop - start < _TILE:
            scaled[:] = 0.0
        _weigh(tile, values[start:stop], weights[start:stop], scaled, sums, gram)
        _add_products(tile, scaled, below)
    for i in range(len(gram)):
        for j in range(i):
            gram[j, i] = gram[i, j]


@numba.njit(**_OPTIONS)
def _mirror(gram, places, first):
    """Write what is below the diagonal above it; the i-th of the places has nothing before the first[i]-th."""
    for i in range(len(places)):
        for j in range(first[i], i):
            gram[places[j], places[i]] = gram[places[i], places[j]]


def _of_sparse(index: str) -> str:
    indices = f"Array({index}, 1, 'C', readonly=True)"
    rows = "Array(float64, 2, 'C', readonly=True)"
    places = "Array(int64, 1, 'C', readonly=True)"
    return (
        f"void({_VECTOR}, {indices}, {indices}, {rows}, {_VECTOR}, {_VECTOR}, {places}, "
        f"float64[::1], {_BUFFER}, {_BUFFER})"
    )


@_compiled([_of_sparse("int32"), _of_sparse("int64")])
def add_sparse_sums(data, indices, starts, dense, values, weights, places, sums, mixed, gram):
    """Add Σ vᵢsᵢ, Σ wᵢsᵢzᵢ' and Σ wᵢsᵢsᵢ', where sᵢ are a row's sparse columns and zᵢ its dense ones.

    Parameters
    ----------
    data : ndarray of shape (nnz,)
        Elements of m sparse rows of b columns, row by row.
    indices : ndarray of shape (nnz,) of int
        Their columns, increasing in each row.
    starts : ndarray of shape (m + 1,) of int
        Where each row starts, and where the last ends.
    dense : ndarray of shape (m, a)
        The dense columns.
    values, weights : ndarray of shape (m,)
        v and w, of any sign.
    places : ndarray of shape (b,) of int
        Which columns of the design the sparse ones are, increasing.
    sums : ndarray of shape (b,)
        What Σ vᵢsᵢ is added to.
    mixed : ndarray of shape (b, a)
        What Σ wᵢsᵢzᵢ' is added to.
    gram : ndarray of shape (a + b, a + b)
        What Σ wᵢsᵢsᵢ' is added to, in the sparse columns' places; symmetric.
    """
    first = np.arange(len(places))
    for i in range(len(values)):
        v, w = values[i], weights[i]
        for j in range(starts[i], starts[i + 1]):
            column, x = indices[j], data[j]
            weighted = w * x
            sums[column] += v * x
            row = mixed[column]
            for k in range(dense.shape[1]):
                row[k] += weighted * dense[i, k]
            first[column] = min(first[column], indices[starts[i]])
            row = gram[places[column]]
            for k in range(starts[i], j + 1):
                row[places[indices[k]]] += weighted * data[k]
    _mirror(gram, places, first)
