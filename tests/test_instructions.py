"""What the loops tell the processor, against NumPy."""

import numba
import numpy as np
import pytest

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


@numba.njit
def exponentials(numbers, out):
    for i in range(0, len(numbers), 4):
        store(out, i, exponential(load(numbers, i)))


@numba.njit
def logarithms(numbers, out):
    for i in range(0, len(numbers), 4):
        store(out, i, logarithm(load(numbers, i)))


@numba.njit
def combined(a, b, c, out):
    x, y, z = load(a, 1), load(b, 0), same(c)  # rows begin anywhere
    store(out, 0, add(x, y))
    store(out, 4, multiply(x, y))
    store(out, 8, multiply_add(x, y, z))
    store(out, 12, totals(x, y, z, add(x, z)))
    store(out, 16, pair(b[0], c))
    store(out, 20, where_less(x, y, subtract(x, y), divide(x, y)))
    rows = turned(x, y, z, add(x, z))
    for row in range(4):
        store(out, 24 + 4 * row, rows[row])
        out[40 + row] = lane(x, row)
    prefetch(0)  # an address that need not exist


def exp(numbers):
    out = np.empty(len(numbers))
    exponentials(np.asarray(numbers, float), out)
    return out


@pytest.mark.parametrize("far", [1e-9, 0.4, 10.0, 700.0])
def test_exponentials_are_right_to_one_unit_in_the_last_place(far):
    if np.finfo(np.longdouble).nmant <= 52:
        far = min(far, 0.0)  # without a longer type nothing tells more of them than that exp 0 is 1
    x = np.random.default_rng(0).uniform(-far, far, 100_000)
    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(exp(x) - exact) <= np.spacing(exact.astype(float))).all()


def test_exponentials_at_the_ends():
    x = np.array([-np.inf, -800.0, -707.1, -706.9, 0.0, -0.0, 709.7, 709.8, np.inf, np.nan, 1.0, 5e-324])
    with np.errstate(over="ignore"):
        wanted = np.where(x < -707.0, 0.0, np.exp(x))
    np.testing.assert_allclose(exp(x), wanted, rtol=1e-15)


def test_logarithms_are_right_to_one_unit_in_the_last_place():
    x = np.concatenate(
        [np.random.default_rng(2).random(100_000), np.logspace(-300, 0, 4000), [0.0, 1.0, 5e-324, np.nan]]
    )
    found = np.empty(len(x))
    logarithms(x, found)
    assert np.isnan(found[-1])
    exact = np.log1p(x[:-1].astype(np.longdouble))
    assert (np.abs(found[:-1] - exact) <= np.spacing(exact.astype(float))).all()


def test_four_numbers_at_a_time():
    rng = np.random.default_rng(1)
    a, b, c, out = rng.normal(size=5), rng.normal(size=4), 2.5, np.empty(44)
    combined(a, b, c, out)
    x, sums, products, sums_of_products, totalled, paired, chosen = a[1:], *out[:24].reshape(6, 4)
    np.testing.assert_array_equal(sums, x + b)
    np.testing.assert_array_equal(products, x * b)
    np.testing.assert_allclose(sums_of_products, x * b + c, rtol=1e-14)
    np.testing.assert_allclose(totalled, [x.sum(), b.sum(), 4 * c, x.sum() + 4 * c], rtol=1e-14)
    np.testing.assert_array_equal(paired, [b[0], c, 0.0, 0.0])
    np.testing.assert_array_equal(chosen, np.where(x < b, x - b, x / b))
    np.testing.assert_array_equal(out[24:40].reshape(4, 4), np.stack([x, b, np.full(4, c), x + c], axis=1))
    np.testing.assert_array_equal(out[40:], x)
