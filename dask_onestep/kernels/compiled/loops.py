"""The compiled loops used by `dask_onestep.kernels.compiled.slices`.

Rows are processed in tiles that fit into the L1 cache. A tile stores columns in panels of four: the rows of a panel are
contiguous, four numbers each, and missing rows and columns are zeros. A panel and up to three weighted panels give 48
products, whose sums over a tile's rows stay in registers. Meanwhile the rows of the next tile are prefetched.

All loops are in this one file, since numba's cache checks only this file's date.
"""

import math

import numba
import numpy as np

from dask_onestep.kernels.compiled.accelerate import OPTIONS, compiled
from dask_onestep.kernels.compiled.instructions import (
    add,
    exponential,
    load,
    logarithm,
    multiply,
    multiply_add,
    pair,
    prefetch,
    same,
    store,
    totals,
)

# Rows of a tile, a multiple of 8. With a power of two, equal rows of all panels would share a set of the L1 cache.
TILE = 48
_LINE = 64  # bytes of a cache line
_ROUNDING = 1e-14  # as in dask_onestep.kernels.designs.splines


@numba.njit(**OPTIONS)
def _addresses(x, start, stop):
    """Return the addresses at which rows start … stop begin and end; 0 if they are not contiguous."""
    row = x.shape[1] * x.itemsize
    if x.strides[1] != x.itemsize or x.strides[0] != row:
        return 0, 0
    return x.ctypes.data + start * row, x.ctypes.data + min(stop, x.shape[0]) * row


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
def _add_to(total, at, value):
    store(total, at, add(load(total, at), value))


@numba.njit(**OPTIONS)
def _add_block(gram, at, width, s0, s1, s2, s3):
    """Add four rows of four to a matrix whose rows have this width."""
    _add_to(gram, at, s0)
    _add_to(gram, at + width, s1)
    _add_to(gram, at + 2 * width, s2)
    _add_to(gram, at + 3 * width, s3)


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
def _add_to_codes(codes, starts, numbers, start, tile, values, weights, places, factors, own, crossed):
    """Add a tile's rows to the sums of the coded columns in which they are nonzero.

    `own` has for each column Σ vᵢsᵢ, Σ wᵢsᵢ, 0, Σ wᵢsᵢ² (only with numbers) and Σ wᵢsᵢxᵢ', `crossed` Σ wᵢsᵢsᵢ' with
    the columns of earlier products. Indices are unsigned, which need no test for negative ones.
    """
    width, m = np.uint64(4 + len(tile) // TILE), min(TILE, codes.shape[1] - start)
    for f in range(len(codes)):
        place, factor = places[f], factors[f]
        for i in range(m):
            place[i] = np.uint64(starts[f] + codes[f, start + i])
        for i in range(m if len(numbers) else 0):
            factor[i] = numbers[f, start + i]
        for i in range(m):  # two sums at a time, since a row of the same level waits for each
            at, weight = place[i] * width, weights[i] * factor[i]
            _add_to(own, at, pair(values[i] * factor[i], weight))
            if len(tile):
                _add_to(own, at + np.uint64(4), multiply(load(tile, 4 * i), same(weight)))
        for i in range(m if len(numbers) else 0):
            own[place[i] * width + np.uint64(3)] += weights[i] * factor[i] * factor[i]
        for panel in range(4 * TILE, len(tile), 4 * TILE):
            at = np.uint64(4 + panel // TILE)
            for i in range(m):
                part = multiply(load(tile, panel + 4 * i), same(weights[i] * factor[i]))
                _add_to(own, place[i] * width + at, part)
        for g in range(f):
            for i in range(m):
                crossed[place[i], places[g, i]] += weights[i] * factor[i] * factors[g, i]


_VECTOR = "Array(float64, 1, 'C', readonly=True)"
_BUFFER = "float64[:, ::1]"
_PLACES = "Array(int64, 1, 'C', readonly=True)"
_CODES = (
    f"Array(int32, 2, 'C', readonly=True), {_PLACES}, Array(float64, 2, 'C', readonly=True), float64[::1], {_BUFFER}"
)


@compiled(f"void(Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, float64[::1], {_BUFFER}, {_CODES})")
def add_sums(x, values, weights, sums, gram, codes, starts, numbers, own, crossed):
    """Add Σ vᵢzᵢ and Σ wᵢzᵢzᵢ', where zᵢ is 1 followed by xᵢ, and the sums of coded columns."""
    width = 4 * ((x.shape[1] + 3) // 4)
    tile, scaled = np.zeros(width * TILE), np.zeros(width * TILE)
    value, weight = np.zeros(TILE), np.zeros(TILE)
    places, factors = np.zeros((len(codes), TILE), np.uint64), np.ones((len(codes), TILE))
    of_values, of_weights, of_products = np.zeros(width), np.zeros(width), np.zeros(width * width)
    for start in range(0, x.shape[0], TILE):
        stop = min(start + TILE, x.shape[0])
        _fill(x, start, stop, tile)
        for i in range(TILE):
            there = start + i < stop
            value[i], weight[i] = values[start + i] if there else 0.0, weights[start + i] if there else 0.0
        sums[0] += value.sum()
        gram[0, 0] += weight.sum()
        _weigh(tile, value, weight, scaled, of_values, of_weights)
        _add_products(tile, scaled, of_products, 0, 0)  # nothing to prefetch: all rows were read for η
        if len(codes):
            _add_to_codes(codes, starts, numbers, start, tile, value, weight, places, factors, own, crossed)
    _add_sums_of_panels(of_values, of_weights, of_products, sums, gram)


@numba.njit(**OPTIONS)
def _linear_predictor(tile, level, slopes, eta):
    """Write η of a tile's rows."""
    for i in range(0, TILE, 4):
        e0 = e1 = e2 = e3 = same(0.0)
        for j in range(0, len(slopes), 4):
            slope, at = load(slopes, j), TILE * j + 4 * i
            e0, e1 = multiply_add(load(tile, at), slope, e0), multiply_add(load(tile, at + 4), slope, e1)
            e2, e3 = multiply_add(load(tile, at + 8), slope, e2), multiply_add(load(tile, at + 12), slope, e3)
        store(eta, i, add(totals(e0, e1, e2, e3), same(level)))


@numba.njit(**OPTIONS)
def _exponentiate(numbers):
    """Replace a tile's numbers by their exponentials."""
    for i in range(0, TILE, 4):
        store(numbers, i, exponential(load(numbers, i)))


@numba.njit(**OPTIONS)
def _logistic(y, weights, eta, residual, weight):
    """Write the residuals and weights of Bernoulli rows, and return Σ wᵢ(yᵢηᵢ − log(1 + exp ηᵢ))."""
    m, loglik, product = len(y), 0.0, 1.0
    for i in range(TILE):
        weight[i] = -abs(eta[i])
    _exponentiate(weight)  # of a number that is not positive, so that both tails keep all their digits
    for i in range(m):
        product *= 1.0 + weight[i]
    # A tile's product of numbers from 1 to 2 does not overflow, so one logarithm suffices; near 1 a product would have
    # lost digits.
    together = len(weights) == 0 and product > 2.0
    if together:
        loglik = -math.log(product)
    else:
        for i in range(0, TILE, 4):
            store(residual, i, logarithm(load(weight, i)))
    for i in range(m):
        row = y[i] * eta[i] - max(eta[i], 0.0)
        if not together:
            row -= residual[i]
        loglik += weights[i] * row if len(weights) else row
    for i in range(m):
        larger = 1.0 / (1.0 + weight[i])
        smaller = weight[i] * larger
        residual[i] = y[i] - (larger if eta[i] >= 0 else smaller)
        weight[i] = larger * smaller
    return loglik


@numba.njit(**OPTIONS)
def _poisson(y, weights, eta, residual, weight):
    """Write the residuals and weights of Poisson rows, and return Σ wᵢ(yᵢηᵢ − exp ηᵢ)."""
    loglik = 0.0
    for i in range(TILE):
        weight[i] = eta[i]
    _exponentiate(weight)
    for i in range(len(y)):
        residual[i] = y[i] - weight[i]
    for i in range(len(y)):
        row = y[i] * eta[i] - weight[i]
        loglik += weights[i] * row if len(weights) else row
    return loglik


@numba.njit(**OPTIONS)
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


@numba.njit(**OPTIONS)
def _add_effects(codes, starts, numbers, start, effects, offset, beyond, eta):
    """Add to η of a tile's rows the part of coded columns and of an offset, which may be empty."""
    beyond[:] = 0.0
    for f in range(len(codes)):
        for i in range(len(eta)):
            effect = effects[np.uint64(starts[f] + codes[f, start + i])]
            beyond[i] += effect * numbers[f, start + i] if len(numbers) else effect
    for i in range(len(offset)):
        beyond[i] += offset[i]
    for i in range(len(eta)):
        eta[i] += beyond[i]


@compiled(
    f"float64(int64, Array(float64, 2, 'A', readonly=True), {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, {_VECTOR}, "
    f"float64[::1], {_BUFFER}, float64[:, :], {_VECTOR}, {_CODES})"
)
def add_natural_sums(
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

    With codes, whose coefficients are the `effects`, the sums of coded columns are added, too.
    """
    p = x.shape[1]
    width = 4 * ((p + 3) // 4)
    tile, scaled = np.zeros(width * TILE), np.zeros(width * TILE)
    eta, residual, weight = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    beyond = np.zeros(TILE)
    places, factors = np.zeros((len(codes), TILE), np.uint64), np.ones((len(codes), TILE))
    of_values, of_weights, of_products = np.zeros(width), np.zeros(width), np.zeros(width * width)
    loglik, all_slopes = 0.0, np.zeros(width)
    for j in range(p):  # assigning slices would compile, for seconds, the error message for different shapes
        all_slopes[j] = slopes[j]
    for start in range(0, x.shape[0], TILE):
        stop = min(start + TILE, x.shape[0])
        m = stop - start
        _fill(x, start, stop, tile)
        _linear_predictor(tile, level, all_slopes, eta)
        if len(codes) or len(offset):
            _add_effects(codes, starts, numbers, start, effects, offset[start:stop], beyond, eta[:m])
        if law == 0:
            loglik += _logistic(y[start:stop], weights[start:stop], eta, residual, weight)
        elif law == 1:
            loglik += _poisson(y[start:stop], weights[start:stop], eta, residual, weight)
        else:
            loglik += _normal(y[start:stop], weights[start:stop], eta, residual, weight)
        if len(weights):
            for i in range(m):
                residual[i] *= weights[start + i]
                weight[i] *= weights[start + i]
        residual[m:], weight[m:] = 0.0, 0.0
        if len(of_rows):
            for i in range(m):
                of_rows[0, start + i], of_rows[1, start + i] = residual[i], weight[i]
            for i in range(m if len(of_rows) > 2 else 0):
                of_rows[2, start + i] = eta[i]
        score[0] += residual.sum()
        ahead, until = _addresses(x, stop, stop + TILE)
        if len(information) == 0:
            for address in range(ahead, until, _LINE):
                prefetch(address)
            _add_values(tile, residual, of_values)
            continue
        information[0, 0] += weight.sum()
        _weigh(tile, residual, weight, scaled, of_values, of_weights)
        _add_products(tile, scaled, of_products, ahead, until)
        if len(codes):
            _add_to_codes(codes, starts, numbers, start, tile, residual, weight, places, factors, own, crossed)
    _add_sums_of_panels(of_values, of_weights, of_products, score, information)
    return loglik


@numba.njit(**OPTIONS)
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
