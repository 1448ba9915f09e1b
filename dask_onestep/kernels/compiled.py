"""X'WX in compiled loops, for which the extra ``accelerate`` (numba) is needed.

`dask_onestep.kernels.slices` imports this module where numba is installed; its `DenseSlice` is the
reference.  A tile of rows is turned on its side in L1 cache, once as it is and once weighted, and products
of four columns with four are summed in registers.  On slim matrices that takes half the time of OpenBLAS's
product of scaled rows.

The compiler may reorder sums and fuse multiplications with additions, which changes last bits; NaN and
infinities pass through to the sums, on which the kernels that check themselves rely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from dask_onestep.kernels.slices import DenseSlice

__all__ = ["CompiledSlice", "add_gram", "enabled"]

_TILE = 128
# Above this many columns a tile no longer fits in L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 300


def enabled() -> bool:
    """Return whether numba compiles: with ``NUMBA_DISABLE_JIT=1`` the loops would run as Python."""
    return not numba.config.DISABLE_JIT


@dataclass(frozen=True, slots=True)
class CompiledSlice(DenseSlice):
    """A dense slice whose Gram matrix is summed by a compiled loop."""

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        d = self.scratch.shape[1]
        if d > _MOST_COLUMNS:
            return super(CompiledSlice, self)._gram(weights)
        if weights is None:
            weights = np.ones(len(self.y))
        gram = np.zeros((d, d))
        tile, scaled = np.empty((2, d, _TILE))
        add_gram(self.covariates, np.ascontiguousarray(weights), self.constant, tile, scaled, gram)
        return np.tril(gram) + np.tril(gram, -1).T


# Not "fast": that would let the compiler assume that no number is NaN or infinite.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}


def _compiled(signature: str):
    """Return a decorator that compiles on import, or finds on disk what an earlier import has compiled."""

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError:  # nowhere to write: numba has found no directory for its cache
            return numba.njit(signature, **_OPTIONS)(function)

    return decorate


@numba.njit(**_OPTIONS)
def _fill(x, weights, start, stop, first, tile, scaled):
    """Turn rows start … stop on their side, as they are and weighted; the rest of the tile is zero."""
    rows = stop - start
    if rows < _TILE:
        tile[:] = 0.0
        scaled[:] = 0.0
    for j in range(first):
        for i in range(rows):
            tile[j, i] = 1.0
    # Eight rows at a time, so that whole cache lines are written.
    whole = rows - rows % 8
    for at in range(0, whole, 8):
        for j in range(x.shape[1]):
            column = tile[first + j]
            for i in range(8):
                column[at + i] = x[start + at + i, j]
    for i in range(whole, rows):
        for j in range(x.shape[1]):
            tile[first + j, i] = x[start + i, j]
    weight = weights[start:stop]
    for j in range(tile.shape[0]):
        column, weighted = tile[j], scaled[j]
        for i in range(rows):
            weighted[i] = weight[i] * column[i]


@numba.njit(**_OPTIONS)
def _add_products(tile, scaled, gram):
    """Add the products of a tile's columns with the weighted ones, at and below the diagonal."""
    d = tile.shape[0]
    fours = d - d % 4
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
    for a in range(fours, d):
        for b in range(a + 1):
            left, right = tile[a], scaled[b]
            total = 0.0
            for i in range(_TILE):
                total += left[i] * right[i]
            gram[a, b] += total


_ROWS = "Array(float64, 2, 'A', readonly=True), Array(float64, 1, 'C', readonly=True)"


@_compiled(f"void({_ROWS}, boolean, float64[:, ::1], float64[:, ::1], float64[:, ::1])")
def add_gram(x, weights, constant, tile, scaled, gram):
    """Add Σ wᵢxᵢxᵢ' at and below the diagonal of a Gram matrix; above it, what stands is no sum.

    Parameters
    ----------
    x : ndarray of shape (m, p)
        Covariates, of any layout.
    weights : ndarray of shape (m,)
        Of any sign.
    constant : bool
        Whether a 1 goes before each row.
    tile, scaled : ndarray of shape (d, 128)
        Buffers.
    gram : ndarray of shape (d, d)
        What is added to.
    """
    m, first = x.shape[0], int(constant)
    for start in range(0, m, _TILE):
        _fill(x, weights, start, min(start + _TILE, m), first, tile, scaled)
        _add_products(tile, scaled, gram)
