"""The compiled loops used by `dask_onestep.kernels.compiled.slices`.

Rows are processed in tiles that fit into the L1 cache. A tile stores columns in panels of four: the rows of a panel are
contiguous, four numbers each, and missing rows and columns are zeros. A panel and up to three weighted panels give 48
products, whose sums over a tile's rows stay in registers. Meanwhile the rows of the next tile are prefetched. A tile of
at most four columns stores one after the other instead: all their sums stay in registers, four rows at a time.

All loops are in this one file, since numba's cache checks only this file's date.
"""

import math

import numba
import numpy as np

from dask_onestep.kernels.compiled.accelerate import OPTIONS, compiled
from dask_onestep.kernels.compiled.instructions import (
    add,
    divide,
    exponential,
    lane,
    load,
    logarithm,
    multiply,
    multiply_add,
    pair,
    prefetch,
    same,
    store,
    subtract,
    totals,
    turned,
    where_less,
)

# Rows of a tile, a multiple of 16. With a power of two, equal rows of all panels would share a set of the L1 cache.
TILE = 48
LOGISTIC, POISSON, NORMAL, GIVEN = range(4)
_LINE = 64  # bytes of a cache line
_NEAR = 1024  # rows of a column between two looks at what has been found
_NUMBERS = ("float64", "int64")
_NOWHERE = -1e300  # η of no row: its exponential and all its sums are zero
_ROUNDING = 1e-14  # as in dask_onestep.kernels.designs.splines


@numba.njit(forceinline=True, **OPTIONS)
def _addresses(x, start, stop):
    """Return the addresses at which rows start … stop begin and end; 0 if they are not contiguous."""
    row = x.shape[1] * x.itemsize
    if x.strides[1] != x.itemsize or x.strides[0] != row:
        return 0, 0
    return x.ctypes.data + start * row, x.ctypes.data + min(stop, x.shape[0]) * row


@numba.njit(forceinline=True, **OPTIONS)
def _fill(x, start, stop, tile):
    """Write rows start … stop into a tile."""
    rows, p = stop - start, x.shape[1]
    whole = p - p % 4 if rows == TILE and x.strides[1] == x.itemsize else 0
    for near in range(0, TILE if whole else 0, 8):  # rows are read approximately in the order of memory
        for j in range(0, whole, 4):
            for i in range(near, near + 8):
                store(tile, TILE * j + 4 * i, load(x[start + i], j))
    for j in range(whole, p):
        at = TILE * (j - j % 4) + j % 4
        for i in range(rows):  # an unsigned index needs no test for negative ones
            tile[np.uint64(at + 4 * i)] = x[np.uint64(start + i), np.uint64(j)]
        for i in range(rows, TILE):
            tile[at + 4 * i] = 0.0


@numba.njit(forceinline=True, **OPTIONS)
def _weigh(tile, values, weights, scaled, of_values, of_weights):
    """Weight a tile's rows, and add the sums of their columns times the values, and times the weights."""
    for panel in range(0, len(tile), 4 * TILE):
        v0 = v1 = v2 = v3 = w0 = w1 = w2 = w3 = same(0.0)  # independent sums, which do not wait for one another
        for i in range(0, TILE, 4):
            at = panel + 4 * i
            x0, x1, x2, x3 = load(tile, at), load(tile, at + 4), load(tile, at + 8), load(tile, at + 12)
            y0, y1 = multiply(x0, same(weights[i])), multiply(x1, same(weights[i + 1]))
            y2, y3 = multiply(x2, same(weights[i + 2])), multiply(x3, same(weights[i + 3]))
            store(scaled, at, y0)
            store(scaled, at + 4, y1)
            store(scaled, at + 8, y2)
            store(scaled, at + 12, y3)
            w0, w1, w2, w3 = add(w0, y0), add(w1, y1), add(w2, y2), add(w3, y3)
            v0, v1 = multiply_add(x0, same(values[i]), v0), multiply_add(x1, same(values[i + 1]), v1)
            v2, v3 = multiply_add(x2, same(values[i + 2]), v2), multiply_add(x3, same(values[i + 3]), v3)
        first = panel // TILE
        _add_to(of_values, first, add(add(v0, v1), add(v2, v3)))
        _add_to(of_weights, first, add(add(w0, w1), add(w2, w3)))


@numba.njit(forceinline=True, **OPTIONS)
def _add_values(tile, values, of_values):
    """Add the sums of a tile's columns times the values."""
    for panel in range(0, len(tile), 4 * TILE):
        v0 = v1 = v2 = v3 = same(0.0)
        for i in range(0, TILE, 4):
            at = panel + 4 * i
            v0, v1 = (
                multiply_add(load(tile, at), same(values[i]), v0),
                multiply_add(load(tile, at + 4), same(values[i + 1]), v1),
            )
            v2, v3 = (
                multiply_add(load(tile, at + 8), same(values[i + 2]), v2),
                multiply_add(load(tile, at + 12), same(values[i + 3]), v3),
            )
        _add_to(of_values, panel // TILE, add(add(v0, v1), add(v2, v3)))


@numba.njit(forceinline=True, **OPTIONS)
def _add_to(total, at, value):
    store(total, at, add(load(total, at), value))


@numba.njit(forceinline=True, **OPTIONS)
def _add_block(gram, at, width, s0, s1, s2, s3):
    """Add four rows of four to a matrix whose rows have this width."""
    _add_to(gram, at, s0)
    _add_to(gram, at + width, s1)
    _add_to(gram, at + 2 * width, s2)
    _add_to(gram, at + 3 * width, s3)


@numba.njit(forceinline=True, **OPTIONS)
def _add_one(x, y, gram, at, width):
    """Add the products of a panel's four columns with those of a weighted one."""
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = same(0.0)  # of even rows, and of odd ones
    for i in range(0, 4 * TILE, 8):
        a, b = load(y, i), load(y, i + 4)
        s0, t0 = multiply_add(same(x[i]), a, s0), multiply_add(same(x[i + 4]), b, t0)
        s1, t1 = multiply_add(same(x[i + 1]), a, s1), multiply_add(same(x[i + 5]), b, t1)
        s2, t2 = multiply_add(same(x[i + 2]), a, s2), multiply_add(same(x[i + 6]), b, t2)
        s3, t3 = multiply_add(same(x[i + 3]), a, s3), multiply_add(same(x[i + 7]), b, t3)
    _add_block(gram, at, width, add(s0, t0), add(s1, t1), add(s2, t2), add(s3, t3))


@numba.njit(forceinline=True, **OPTIONS)
def _add_two(x, y, gram, at, width):
    """Add the products of a panel's four columns with those of two consecutive weighted panels."""
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = same(0.0)
    for i in range(0, 4 * TILE, 4):
        a, b = load(y, i), load(y, i + 4 * TILE)
        z = same(x[i])
        s0, t0 = multiply_add(z, a, s0), multiply_add(z, b, t0)
        z = same(x[i + 1])
        s1, t1 = multiply_add(z, a, s1), multiply_add(z, b, t1)
        z = same(x[i + 2])
        s2, t2 = multiply_add(z, a, s2), multiply_add(z, b, t2)
        z = same(x[i + 3])
        s3, t3 = multiply_add(z, a, s3), multiply_add(z, b, t3)
    _add_block(gram, at, width, s0, s1, s2, s3)
    _add_block(gram, at + 4, width, t0, t1, t2, t3)


@numba.njit(forceinline=True, **OPTIONS)
def _add_three(x, y, gram, at, width):
    """Add the products of a panel's four columns with those of three consecutive weighted panels.

    Three weighted panels and one column use sixteen registers, as many as processors have.
    """
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = u0 = u1 = u2 = u3 = same(0.0)
    for i in range(0, 4 * TILE, 4):
        a, b, c = load(y, i), load(y, i + 4 * TILE), load(y, i + 8 * TILE)
        z = same(x[i])
        s0, t0, u0 = multiply_add(z, a, s0), multiply_add(z, b, t0), multiply_add(z, c, u0)
        z = same(x[i + 1])
        s1, t1, u1 = multiply_add(z, a, s1), multiply_add(z, b, t1), multiply_add(z, c, u1)
        z = same(x[i + 2])
        s2, t2, u2 = multiply_add(z, a, s2), multiply_add(z, b, t2), multiply_add(z, c, u2)
        z = same(x[i + 3])
        s3, t3, u3 = multiply_add(z, a, s3), multiply_add(z, b, t3), multiply_add(z, c, u3)
    _add_block(gram, at, width, s0, s1, s2, s3)
    _add_block(gram, at + 4, width, t0, t1, t2, t3)
    _add_block(gram, at + 8, width, u0, u1, u2, u3)


@numba.njit(forceinline=True, **OPTIONS)
def _add_products(tile, scaled, gram, ahead, until):
    """Add the products of a tile's columns with the weighted ones, in the blocks at and below the diagonal.

    Between the blocks, memory is prefetched from the address `ahead` on, a few lines at a time, since more cannot be in
    flight.
    """
    panel = 4 * TILE
    panels = len(tile) // panel
    width = 4 * panels
    lines = 1 + (until - ahead) // (_LINE * max(1, panels * (panels + 1) // 6))
    for b in range(0, panels, 3):  # three weighted panels stay in the cache while all others are read
        for a in range(b, panels):
            for address in range(ahead, min(ahead + _LINE * lines, until), _LINE):
                prefetch(address)
            ahead += _LINE * lines
            x, y, at = tile[a * panel :], scaled[b * panel :], 4 * (a * width + b)
            if a == b:
                _add_one(x, y, gram, at, width)
            elif a == b + 1:
                _add_two(x, y, gram, at, width)
            else:
                _add_three(x, y, gram, at, width)


@numba.njit(forceinline=True, **OPTIONS)
def _add_sums_of_panels(of_values, of_weights, of_products, sums, gram):
    """Add sums in panels to X'v and, if it has elements, to X'WX, whose first rows are the constant's."""
    p, width = len(sums) - 1, len(of_values)
    for i in range(p):
        sums[i + 1] += of_values[i]
    if len(gram) == 0:
        return
    for i in range(p):
        gram[i + 1, 0] += of_weights[i]
        for j in range(i + 1):
            gram[i + 1, j + 1] += of_products[i * width + j]
    for i in range(p + 1):
        for j in range(i):
            gram[j, i] = gram[i, j]


@numba.njit(forceinline=True, **OPTIONS)
def _fill_columns(x, start, stop, tile):
    """Write rows start … stop of at most four columns into a tile, one column after the other."""
    rows = stop - start
    for j in range(x.shape[1]):
        at = j * TILE
        if rows == TILE and x.strides[0] == x.itemsize:
            column = x[start:, j]
            for i in range(0, TILE, 4):
                store(tile, at + i, load(column, i))
            continue
        for i in range(rows):
            tile[np.uint64(at + i)] = x[np.uint64(start + i), np.uint64(j)]
        for i in range(rows, TILE):
            tile[at + i] = 0.0


@numba.njit(forceinline=True, **OPTIONS)
def _add_columns(tile, values, weights, scaled, sums):
    """Weight the rows of a tile of four columns, and add, four rows at a time, what `_sums_of_columns` adds up."""
    v0 = v1 = v2 = v3 = w0 = w1 = w2 = w3 = same(0.0)
    s00 = s10 = s11 = s20 = s21 = s22 = s30 = s31 = s32 = s33 = same(0.0)
    for i in range(0, TILE, 4):
        x0, x1, x2, x3 = load(tile, i), load(tile, TILE + i), load(tile, 2 * TILE + i), load(tile, 3 * TILE + i)
        value, weight = load(values, i), load(weights, i)
        v0, v1, v2, v3 = (
            multiply_add(x0, value, v0),
            multiply_add(x1, value, v1),
            multiply_add(x2, value, v2),
            multiply_add(x3, value, v3),
        )
        y0, y1, y2, y3 = multiply(x0, weight), multiply(x1, weight), multiply(x2, weight), multiply(x3, weight)
        w0, w1, w2, w3 = add(w0, y0), add(w1, y1), add(w2, y2), add(w3, y3)
        s00, s10, s11 = multiply_add(y0, x0, s00), multiply_add(y1, x0, s10), multiply_add(y1, x1, s11)
        s20, s21, s22 = multiply_add(y2, x0, s20), multiply_add(y2, x1, s21), multiply_add(y2, x2, s22)
        s30, s31 = multiply_add(y3, x0, s30), multiply_add(y3, x1, s31)
        s32, s33 = multiply_add(y3, x2, s32), multiply_add(y3, x3, s33)
        y0, y1, y2, y3 = turned(y0, y1, y2, y3)
        store(scaled, 4 * i, y0)
        store(scaled, 4 * i + 4, y1)
        store(scaled, 4 * i + 8, y2)
        store(scaled, 4 * i + 12, y3)
    for at, each in enumerate((v0, v1, v2, v3, w0, w1, w2, w3, s00, s10, s11, s20, s21, s22, s30, s31, s32, s33)):
        _add_to(sums, 4 * at, each)


@numba.njit(forceinline=True, **OPTIONS)
def _of_four(numbers, at):
    return (numbers[at] + numbers[at + 1]) + (numbers[at + 2] + numbers[at + 3])


@numba.njit(forceinline=True, **OPTIONS)
def _sums_of_columns(sums, of_values, of_weights, of_products):
    """Write the sums of four columns times the values, times the weights, and of their weighted products."""
    at = 32
    for i in range(4):
        of_values[i], of_weights[i] = _of_four(sums, 4 * i), _of_four(sums, 16 + 4 * i)
        for j in range(i + 1):
            of_products[4 * i + j] = _of_four(sums, at)
            at += 4


@numba.njit(forceinline=True, **OPTIONS)
def _find_places(codes, starts, start, m, places):
    """Write which of all columns each of a tile's rows has in each product."""
    for f in range(len(codes)):
        for i in range(m):
            places[f, i] = np.uint64(starts[f] + codes[np.uint64(f), np.uint64(start + i)])


@numba.njit(forceinline=True, **OPTIONS)
def _multiply_rows(f, numbers, start, m, values, weights, rows, own_values, own_weights, own_rows, factors):
    """Write a tile's values, weights and weighted rows multiplied by the numbers of a product."""
    for i in range(m):
        factor = numbers[f, start + i]
        factors[f, i], own_values[i], own_weights[i] = factor, values[i] * factor, weights[i] * factor
        for at in range(4 * i, len(rows), 4 * TILE):
            store(own_rows, at, multiply(load(rows, at), same(factor)))


@numba.njit(forceinline=True, **OPTIONS)
def _add_to_codes(first, stop, places, m, values, weights, rows, factors, own, crossed):
    """Add a tile's rows to the sums of some products' columns, in which they are nonzero.

    `own` has for each column Σ vᵢsᵢ, Σ wᵢsᵢ, 0, Σ wᵢsᵢ² (only with numbers) and Σ wᵢsᵢxᵢ', `crossed` Σ wᵢsᵢsᵢ' with
    the columns of earlier products.
    """
    width = np.uint64(4 + len(rows) // TILE)
    for f in range(first, stop):
        for i in range(m):  # two sums at a time, since a row of the same level waits for each
            at, beyond = places[f, i] * width, places[f, i] * width + np.uint64(4)
            begin, end = add(load(own, at), pair(values[i], weights[i])), add(load(own, beyond), load(rows, 4 * i))
            store(own, at, begin)
            store(own, beyond, end)
        for panel in range(4 * TILE, len(rows), 4 * TILE):
            for i in range(m):
                _add_to(own, places[f, i] * width + np.uint64(4 + panel // TILE), load(rows, panel + 4 * i))
        for g in range(f):
            for i in range(m):
                crossed[places[f, i], places[g, i]] += weights[i] * factors[g, i]


_VECTOR = "Array(float64, 1, 'C', readonly=True)"
_BUFFER = "float64[:, ::1]"
_PLACES = "Array(int64, 1, 'C', readonly=True)"
_CODES = (
    f"Array(int32, 2, 'C', readonly=True), {_PLACES}, Array(float64, 2, 'C', readonly=True), float64[::1], {_BUFFER}"
)


@numba.njit(forceinline=True, **OPTIONS)
def _linear_predictor(tile, level, slopes, eta):
    """Write η of a tile's rows."""
    for i in range(0, TILE, 4):
        e0 = e1 = e2 = e3 = same(0.0)
        for j in range(0, len(slopes), 4):
            slope, at = load(slopes, j), TILE * j + 4 * i
            e0, e1 = multiply_add(load(tile, at), slope, e0), multiply_add(load(tile, at + 4), slope, e1)
            e2, e3 = multiply_add(load(tile, at + 8), slope, e2), multiply_add(load(tile, at + 12), slope, e3)
        store(eta, i, add(totals(e0, e1, e2, e3), same(level)))


@numba.njit(forceinline=True, **OPTIONS)
def _predict_columns(tile, level, slopes, eta):
    """Write η of the rows of a tile of four columns."""
    for i in range(0, TILE, 4):
        e0, e1 = multiply(load(tile, i), same(slopes[0])), multiply(load(tile, TILE + i), same(slopes[1]))
        e2, e3 = (
            multiply(load(tile, 2 * TILE + i), same(slopes[2])),
            multiply(load(tile, 3 * TILE + i), same(slopes[3])),
        )
        store(eta, i, add(add(add(e0, e1), add(e2, e3)), same(level)))


@numba.njit(forceinline=True, **OPTIONS)
def _logistic(y, eta, residual, weight, power, row):
    """Write the residuals and weights of Bernoulli rows, exp −|ηᵢ| and yᵢηᵢ − max(ηᵢ, 0).

    Return the sum of the last, and the product of 1 + exp −|ηᵢ|. The argument of exp is not positive, so that both
    tails keep all their digits.
    """
    zero, one = same(0.0), same(1.0)
    products, total = one, zero
    for i in range(0, TILE, 4):
        value, own = load(eta, i), load(y, i)
        small = exponential(where_less(value, zero, value, subtract(zero, value)))
        above = add(one, small)
        larger = divide(one, above)
        smaller = multiply(small, larger)
        part = subtract(multiply(own, value), where_less(value, zero, zero, value))
        store(residual, i, subtract(own, where_less(value, zero, smaller, larger)))
        store(weight, i, multiply(larger, smaller))
        store(power, i, small)
        store(row, i, part)
        products, total = multiply(products, above), add(total, part)
    return (
        (lane(total, 0) + lane(total, 1)) + (lane(total, 2) + lane(total, 3)),
        (lane(products, 0) * lane(products, 1)) * (lane(products, 2) * lane(products, 3)),
    )


@numba.njit(forceinline=True, **OPTIONS)
def _take_logarithms(power, row):
    """Subtract the logarithm of 1 + exp −|ηᵢ| from each row."""
    for i in range(0, TILE, 4):
        store(row, i, subtract(load(row, i), logarithm(load(power, i))))


@numba.njit(forceinline=True, **OPTIONS)
def _poisson(y, eta, residual, weight, row):
    """Write the residuals and weights of Poisson rows, and yᵢηᵢ − exp ηᵢ."""
    for i in range(0, TILE, 4):
        value, own = load(eta, i), load(y, i)
        mean = exponential(value)
        store(residual, i, subtract(own, mean))
        store(weight, i, mean)
        store(row, i, subtract(multiply(own, value), mean))


@numba.njit(forceinline=True, **OPTIONS)
def _normal(y, eta, residual, weight, row):
    """Write the residuals and weights of normal rows, and −(yᵢ − ηᵢ)²/2."""
    for i in range(0, TILE, 4):
        rest = subtract(load(y, i), load(eta, i))
        store(residual, i, rest)
        store(weight, i, same(1.0))
        store(row, i, multiply(multiply(rest, rest), same(-0.5)))


@numba.njit(forceinline=True, **OPTIONS)
def _total(numbers, weights):
    """Return Σ wᵢnᵢ of a tile."""
    s0 = s1 = s2 = s3 = same(0.0)
    for i in range(0, TILE, 16):
        s0 = multiply_add(load(numbers, i), load(weights, i), s0)
        s1 = multiply_add(load(numbers, i + 4), load(weights, i + 4), s1)
        s2 = multiply_add(load(numbers, i + 8), load(weights, i + 8), s2)
        s3 = multiply_add(load(numbers, i + 12), load(weights, i + 12), s3)
    total = add(add(s0, s1), add(s2, s3))
    return (lane(total, 0) + lane(total, 1)) + (lane(total, 2) + lane(total, 3))


@numba.njit(forceinline=True, **OPTIONS)
def _add_effects(places, numbers, start, m, effects, offset, beyond, eta):
    """Add to η of a tile's rows the part of coded columns and of an offset, which may be empty."""
    beyond[:] = 0.0
    for f in range(len(places)):
        for i in range(m):
            effect = effects[places[f, i]]
            beyond[i] += effect * numbers[f, start + i] if len(numbers) else effect
    for i in range(len(offset)):
        beyond[i] += offset[i]
    for i in range(m):
        eta[i] += beyond[i]


@numba.njit(forceinline=True, **OPTIONS)
def _copy(values, start, m, out):
    """Write a tile's values, followed by zeros."""
    for i in range(m):
        out[i] = values[np.uint64(start + i)]
    for i in range(m, TILE):
        out[i] = 0.0


@compiled(
    f"float64(int64, Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, {_VECTOR}, "
    f"float64[::1], {_BUFFER}, float64[:, :], {_VECTOR}, {_CODES})"
)
def add_sums(
    law,
    x,
    y,
    weights,
    offset,
    level,
    slopes,
    score,
    information,
    of_rows,
    effects,
    codes,
    starts,
    numbers,
    own,
    crossed,
):
    """Add score and information of rows whose η is the family's natural parameter, and return the log-likelihood.

    With codes, whose coefficients are the `effects`, the sums of coded columns are added, too. Under the law `GIVEN`
    y are the residuals and `weights` the rows' information: Σ vᵢzᵢ and Σ wᵢzᵢzᵢ' are added, where zᵢ is 1 followed by
    xᵢ.
    """
    p, informed = x.shape[1], len(information) > 0
    width, narrow = 4 * max(1, (p + 3) // 4), p <= 4 and informed
    tile, scaled = np.zeros(width * TILE), np.zeros(width * TILE)
    eta, residual, weight, beyond, row = np.zeros((5, TILE))
    given_y, given_weights, ones = np.zeros(TILE), np.ones(TILE), np.ones(TILE)
    places, factors = np.zeros((len(codes), TILE), np.uint64), np.ones((len(codes), TILE))
    own_values, own_weights, own_rows = np.zeros(TILE), np.zeros(TILE), np.zeros(width * TILE if len(numbers) else 0)
    of_values, of_weights, of_products = np.zeros(width), np.zeros(width), np.zeros(width * width)
    of_columns, loglik, all_slopes = np.zeros(72), 0.0, np.zeros(width)
    for j in range(len(slopes)):  # assigning slices would compile, for seconds, the error message for different shapes
        all_slopes[j] = slopes[j]
    for start in range(0, x.shape[0], TILE):
        stop = min(start + TILE, x.shape[0])
        m = stop - start
        if narrow:
            _fill_columns(x, start, stop, tile)
        else:
            _fill(x, start, stop, tile)
        if len(codes):
            _find_places(codes, starts, start, m, places)
        _copy(y, start, m, given_y)
        if len(weights):
            _copy(weights, start, m, given_weights)
        if law == GIVEN:
            for i in range(TILE):
                residual[i], weight[i] = given_y[i], given_weights[i]
        else:
            if narrow:
                _predict_columns(tile, level, all_slopes, eta)
            else:
                _linear_predictor(tile, level, all_slopes, eta)
            if len(codes) or len(offset):
                _add_effects(places, numbers, start, m, effects, offset[start:stop], beyond, eta)
            for i in range(m, TILE):
                eta[i] = 0.0 if law == NORMAL else _NOWHERE
            total, product = 0.0, 1.0
            if law == LOGISTIC:
                total, product = _logistic(given_y, eta, residual, weight, beyond, row)
            elif law == POISSON:
                _poisson(given_y, eta, residual, weight, row)
            else:
                _normal(given_y, eta, residual, weight, row)
            # A tile's product of numbers from 1 to 2 does not overflow, so one logarithm suffices; near 1 a product
            # would have lost digits.
            if product > 2.0 and len(weights) == 0:
                loglik += total - math.log(product)
            else:
                if law == LOGISTIC:
                    _take_logarithms(beyond, row)
                loglik += _total(row, given_weights)
            for i in range(m, TILE):
                weight[i] = 0.0
            if len(weights):
                for i in range(TILE):
                    residual[i] *= given_weights[i]
                    weight[i] *= given_weights[i]
            if len(of_rows):
                for i in range(m):
                    of_rows[0, start + i], of_rows[1, start + i] = residual[i], weight[i]
                for i in range(m if len(of_rows) > 2 else 0):
                    of_rows[2, start + i] = eta[i]
        score[0] += _total(residual, ones)
        ahead, until = _addresses(x, stop, stop + TILE)
        if not informed:
            for address in range(ahead, until, _LINE):
                prefetch(address)
            _add_values(tile, residual, of_values)
            continue
        information[0, 0] += _total(weight, ones)
        if narrow:
            _add_columns(tile, residual, weight, scaled, of_columns)
        else:
            _weigh(tile, residual, weight, scaled, of_values, of_weights)
            _add_products(tile, scaled, of_products, ahead, until)
        if len(numbers) == 0:
            _add_to_codes(0, len(codes), places, m, residual, weight, scaled, factors, own, crossed)
        for f in range(len(numbers)):
            _multiply_rows(f, numbers, start, m, residual, weight, scaled, own_values, own_weights, own_rows, factors)
            for i in range(m):
                own[places[f, i] * np.uint64(4 + width) + np.uint64(3)] += own_weights[i] * factors[f, i]
            _add_to_codes(f, f + 1, places, m, own_values, own_weights, own_rows, factors, own, crossed)
    if narrow:
        _sums_of_columns(of_columns, of_values, of_weights, of_products)
    _add_sums_of_panels(of_values, of_weights, of_products, score, information)
    return loglik


@numba.njit(forceinline=True, **OPTIONS)
def _mirror(gram, places, first):
    """Copy the lower triangle to the upper one; the i-th of the places has nothing before the first[i]-th."""
    for i in range(len(places)):
        for j in range(first[i], i):
            gram[places[j], places[i]] = gram[places[i], places[j]]


def _of_sparse(index: str) -> str:
    indices = f"Array({index}, 1, 'C', readonly=True)"
    rows = "Array(float64, 2, 'C', readonly=True)"
    return (
        f"void({_VECTOR}, {indices}, {indices}, {rows}, int64, {_VECTOR}, {_VECTOR}, {_PLACES}, "
        f"float64[::1], {_BUFFER}, {_BUFFER})"
    )


@compiled([_of_sparse("int32"), _of_sparse("int64")])
def add_sparse_sums(data, indices, starts, dense, constant, values, weights, places, sums, mixed, gram):
    """Add Σ vᵢsᵢ, Σ wᵢsᵢzᵢ' and Σ wᵢsᵢsᵢ', where sᵢ are a row's sparse columns and zᵢ its dense ones."""
    first = np.arange(len(places))
    for i in range(len(values)):
        v, w = values[i], weights[i]
        for j in range(starts[i], starts[i + 1]):
            column, x = indices[j], data[j]
            weighted = w * x
            sums[column] += v * x
            row = mixed[column]
            if constant:
                row[0] += weighted
            for k in range(dense.shape[1]):
                row[constant + k] += weighted * dense[i, k]
            first[column] = min(first[column], indices[starts[i]])
            row = gram[places[column]]
            for k in range(starts[i], j + 1):
                row[places[indices[k]]] += weighted * data[k]
    _mirror(gram, places, first)


def _of_codes(kind: str) -> str:
    return f"void(Array(int32, 1, 'C', readonly=True), Array({kind}, 1, 'A', readonly=True), int32[::1])"


@compiled([_of_codes("int8"), _of_codes("int16"), _of_codes("int32")])
def look_up(places, codes, out):
    """Write the position of each code, the last for −1."""
    table = np.empty(len(places), np.int32)  # with the last one first, and so without negative indices
    for i in range(len(places)):
        table[i] = places[i - 1]
    for i in range(len(codes)):
        out[i] = table[np.uint64(codes[i] + 1)]


def _of_classes(kind: str) -> str:
    return f"void(Array(int32, 1, 'A', readonly=True), Array({kind}, 1, 'C', readonly=True), int64[:, ::1])"


@compiled([_of_classes("uint8"), _of_classes("int64")])
def count(codes, of_class, out):
    """Add the number of rows of each level and class."""
    levels, classes = np.uint64(out.shape[0]), np.uint64(out.shape[1])
    for i in range(len(codes)):
        level, own = np.uint64(codes[i]), np.uint64(of_class[i])
        if level < levels and own < classes:
            out[level, own] += 1


@compiled("void(Array(boolean, 1, 'C', readonly=True), int64[::1])")
def find(mask, out):
    """Write the numbers of the rows where a mask is true; the last element is overwritten."""
    found = np.uint64(0)
    for i in range(len(mask)):  # without a branch, which would be mispredicted
        out[found] = i
        found += np.uint64(mask[np.uint64(i)])


@compiled([f"int64(Array({kind}, 1, 'A', readonly=True), float64, float64, int64, int64[::1])" for kind in _NUMBERS])
def find_ends(values, low, high, most, out):
    """Write the numbers of the rows with values up to `low` or from `high`, and return how many there are.

    Of the rows equal to `low`, and of those equal to `high`, at least the first `most` are written.
    """
    found, lows, highs = np.uint64(0), 0, 0
    for start in range(0, len(values), _NEAR):
        first = found
        for i in range(start, min(start + _NEAR, len(values))):  # without a branch, which would be mispredicted
            value = values[np.uint64(i)]
            out[found] = i
            found += np.uint64((value <= low) | (value >= high))
        for at in range(first, found):
            lows += values[out[at]] == low
            highs += values[out[at]] == high
        if lows >= most:
            lows, low = 0, np.nextafter(low, -np.inf)
        if highs >= most:
            highs, high = 0, np.nextafter(high, np.inf)
    return found


@compiled(f"void({_VECTOR}, {_VECTOR}, Array(float64, 3, 'C', readonly=True), Array(float64, 2, 'A'))")
def write_polynomials(values, knots, coefficients, out):
    """Write piecewise polynomials of numbers."""
    count, pieces, width = coefficients.shape
    scale = 1 / (knots[1:] - knots[:-1])
    places, t = np.empty(len(values), np.uint64), np.empty(len(values))
    for i in range(len(values)):
        x, piece = values[i], np.uint64(0)
        for k in range(1, pieces):  # without a branch, which would be mispredicted
            piece += np.uint64(x >= knots[k])
        places[i] = piece
        t[i] = ((x - knots[piece]) - (knots[piece + np.uint64(1)] - x)) * scale[piece]
    padded = np.zeros((4 * ((count + 3) // 4), width, pieces))  # a loop over four powers is unrolled
    padded[:count] = coefficients.transpose((0, 2, 1))
    for j in range(width):
        for i in range(len(values)):
            at, x, value = places[i], t[i], 0.0
            for power in range(len(padded) - 4, -1, -4):
                value = value * x + padded[power + 3, j, at]
                value = value * x + padded[power + 2, j, at]
                value = value * x + padded[power + 1, j, at]
                value = value * x + padded[power, j, at]
            out[i, j] = value if abs(value) > _ROUNDING else 0.0
