"""The compiled loops behind `dask_onestep.kernels.compiled`.

A tile of rows is turned on its side in L1 cache, once as it is and once weighted, and products of four columns
with two are summed in registers.  Meanwhile the rows of the next tile are on their way from memory.

All loops are in this one file, since numba finds by the file's date whether what it has on disk is of today.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["add_natural_sums", "add_sparse_sums", "add_sums"]

_TILE = 128
_LINE = 64  # bytes that memory hands over at a time

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


@intrinsic
def _prefetch(typing, address):
    """Ask for a line of memory, of an address that need not exist; nothing waits for it."""

    def generate(context, builder, signature, arguments):
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], form)
        to_read, into_l2, data = flag(0), flag(2), flag(1)
        builder.call(function, [builder.inttoptr(arguments[0], byte), to_read, into_l2, data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@numba.njit(**_OPTIONS)
def _addresses(x, start, stop):
    """Return where in memory rows start … stop begin and end; nowhere if they do not lie one after the other."""
    row = x.shape[1] * x.itemsize
    if x.strides[1] != x.itemsize or x.strides[0] != row:
        return 0, 0
    return x.ctypes.data + start * row, x.ctypes.data + min(stop, x.shape[0]) * row


@numba.njit(**_OPTIONS)
def _fill(x, start, stop, tile):
    """Turn rows start … stop on their side; the rest of the tile is zero."""
    rows, p = stop - start, x.shape[1]
    if rows < _TILE:
        tile[:] = 0.0
    fours, whole = p - p % 4, rows - rows % 4
    # Four rows by four columns at a time go through registers, and rows are read in the order of memory.
    for at in range(0, whole, 4):
        r0, r1, r2, r3 = x[start + at], x[start + at + 1], x[start + at + 2], x[start + at + 3]
        for j in range(0, fours, 4):
            x00, x01, x02, x03 = r0[j], r0[j + 1], r0[j + 2], r0[j + 3]
            x10, x11, x12, x13 = r1[j], r1[j + 1], r1[j + 2], r1[j + 3]
            x20, x21, x22, x23 = r2[j], r2[j + 1], r2[j + 2], r2[j + 3]
            x30, x31, x32, x33 = r3[j], r3[j + 1], r3[j + 2], r3[j + 3]
            c0, c1, c2, c3 = tile[j], tile[j + 1], tile[j + 2], tile[j + 3]
            c0[at], c0[at + 1], c0[at + 2], c0[at + 3] = x00, x10, x20, x30
            c1[at], c1[at + 1], c1[at + 2], c1[at + 3] = x01, x11, x21, x31
            c2[at], c2[at + 1], c2[at + 2], c2[at + 3] = x02, x12, x22, x32
            c3[at], c3[at + 1], c3[at + 2], c3[at + 3] = x03, x13, x23, x33
        for j in range(fours, p):
            column = tile[j]
            column[at], column[at + 1], column[at + 2], column[at + 3] = r0[j], r1[j], r2[j], r3[j]
    for i in range(whole, rows):
        for j in range(p):
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
def _add_products(tile, scaled, gram, ahead, until):
    """Add the products of a tile's columns with the weighted ones, at and below the diagonal.

    Between the products memory from the address `ahead` on is asked for, a few lines at a time, since more cannot be
    under way.
    """
    p = tile.shape[0]
    fours = p - p % 4
    lines = 1 + (until - ahead) // (_LINE * max(1, p // 4 * (p // 4 + 1)))
    for a in range(0, fours, 4):
        a0, a1, a2, a3 = tile[a], tile[a + 1], tile[a + 2], tile[a + 3]
        for b in range(0, a + 4, 2):
            for address in range(ahead, min(ahead + _LINE * lines, until), _LINE):
                _prefetch(address)  # type: ignore[call-arg]  # its first argument is the compiler's
            ahead += _LINE * lines
            b0, b1 = scaled[b], scaled[b + 1]
            # Eight scalars: only they are kept in registers, and sixteen would not all be.
            s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = 0.0
            for i in range(_TILE):
                x0, x1, x2, x3 = a0[i], a1[i], a2[i], a3[i]
                y0, y1 = b0[i], b1[i]
                s00 += x0 * y0
                s01 += x0 * y1
                s10 += x1 * y0
                s11 += x1 * y1
                s20 += x2 * y0
                s21 += x2 * y1
                s30 += x3 * y0
                s31 += x3 * y1
            gram[a, b] += s00
            gram[a, b + 1] += s01
            gram[a + 1, b] += s10
            gram[a + 1, b + 1] += s11
            gram[a + 2, b] += s20
            gram[a + 2, b + 1] += s21
            gram[a + 3, b] += s30
            gram[a + 3, b + 1] += s31
    for a in range(fours, p):
        for b in range(a + 1):
            left, right = tile[a], scaled[b]
            total = 0.0
            for i in range(_TILE):
                total += left[i] * right[i]
            gram[a, b] += total


_VECTOR = "Array(float64, 1, 'C', readonly=True)"
_BUFFER = "float64[:, ::1]"


@_compiled(f"void(Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, float64[::1], {_BUFFER})")
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
        _add_products(tile, scaled, below, 0, 0)  # who has η has read all rows
    for i in range(len(gram)):
        for j in range(i):
            gram[j, i] = gram[i, j]


@numba.njit(**_OPTIONS)
def _linear_predictor(tile, level, slopes, offset, eta):
    """Write η of a tile's rows; an offset without elements is none."""
    m = len(eta)
    for i in range(m):
        eta[i] = level
    for j in range(tile.shape[0]):
        column, slope = tile[j], slopes[j]
        for i in range(m):
            eta[i] += slope * column[i]
    for i in range(len(offset)):
        eta[i] += offset[i]


@numba.njit(**_OPTIONS)
def _logistic(y, weights, eta, residual, weight):
    """Write the residuals and weights of Bernoulli rows, and return Σ wᵢ(yᵢηᵢ − log(1 + exp ηᵢ))."""
    m, loglik, product = len(y), 0.0, 1.0
    for i in range(m):
        # One exponential, of a number that is not positive: both tails keep all their digits.
        weight[i] = math.exp(-abs(eta[i]))
    for i in range(m):
        product *= 1.0 + weight[i]
    # A tile's product of numbers from 1 to 2 does not overflow, and one logarithm does for all; of a product near 1
    # it would have lost digits.
    together = len(weights) == 0 and product > 2.0
    if together:
        loglik = -math.log(product)
    for i in range(m):
        row = y[i] * eta[i] - max(eta[i], 0.0)
        if not together:
            row -= math.log1p(weight[i])
        loglik += weights[i] * row if len(weights) else row
    for i in range(m):
        larger = 1.0 / (1.0 + weight[i])
        smaller = weight[i] * larger
        residual[i] = y[i] - (larger if eta[i] >= 0 else smaller)
        weight[i] = larger * smaller
    return loglik


@numba.njit(**_OPTIONS)
def _poisson(y, weights, eta, residual, weight):
    """Write the residuals and weights of Poisson rows, and return Σ wᵢ(yᵢηᵢ − exp ηᵢ)."""
    loglik = 0.0
    for i in range(len(y)):
        weight[i] = math.exp(eta[i])
        residual[i] = y[i] - weight[i]
    for i in range(len(y)):
        row = y[i] * eta[i] - weight[i]
        loglik += weights[i] * row if len(weights) else row
    return loglik


@numba.njit(**_OPTIONS)
def _normal(y, weights, eta, residual, weight):
    """Write the residuals and weights of normal rows, and return −Σ wᵢ(yᵢ − ηᵢ)²/2."""
    squares = 0.0
    for i in range(len(y)):
        weight[i] = 1.0
        residual[i] = y[i] - eta[i]
    for i in range(len(y)):
        square = residual[i] * residual[i]
        squares += weights[i] * square if len(weights) else square
    return -0.5 * squares


@_compiled(
    f"float64(int64, Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, {_VECTOR}, "
    f"float64[::1], {_BUFFER})"
)
def add_natural_sums(law, x, y, weights, offset, level, slopes, score, information):
    """Add score and information of rows whose η is the family's natural parameter, and return the log-likelihood.

    Parameters
    ----------
    law : int
        0 for binomial, 1 for Poisson, 2 for normal.
    x : ndarray of shape (m, p)
        Covariates, of any layout.
    y : ndarray of shape (m,)
        Response.
    weights, offset : ndarray of shape (m,) or (0,)
        Without elements where there are none.
    level : float
        The constant's coefficient.
    slopes : ndarray of shape (p,)
        The covariates' coefficients.
    score : ndarray of shape (p + 1,)
        What is added to, the constant first.
    information : ndarray of shape (p + 1, p + 1)
        What is added to; symmetric.

    Returns
    -------
    float
        The log-likelihood without the family's ``log_base_measure``.
    """
    tile, scaled = np.empty((x.shape[1], _TILE)), np.empty((x.shape[1], _TILE))
    eta, residual, weight = np.empty(_TILE), np.empty(_TILE), np.empty(_TILE)
    loglik, below = 0.0, information[1:, 1:]
    for start in range(0, x.shape[0], _TILE):
        stop = min(start + _TILE, x.shape[0])
        m = stop - start
        _fill(x, start, stop, tile)
        if m < _TILE:
            scaled[:] = 0.0
        _linear_predictor(tile, level, slopes, offset[start:stop], eta[:m])
        if law == 0:
            loglik += _logistic(y[start:stop], weights[start:stop], eta[:m], residual[:m], weight[:m])
        elif law == 1:
            loglik += _poisson(y[start:stop], weights[start:stop], eta[:m], residual[:m], weight[:m])
        else:
            loglik += _normal(y[start:stop], weights[start:stop], eta[:m], residual[:m], weight[:m])
        if len(weights):
            for i in range(m):
                residual[i] *= weights[start + i]
                weight[i] *= weights[start + i]
        _weigh(tile, residual[:m], weight[:m], scaled, score, information)
        ahead, until = _addresses(x, stop, stop + _TILE)
        _add_products(tile, scaled, below, ahead, until)
    for i in range(len(information)):
        for j in range(i):
            information[j, i] = information[i, j]
    return loglik


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
