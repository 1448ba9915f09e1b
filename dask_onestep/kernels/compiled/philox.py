"""The generator of the pilot's keys, Philox 4x64 with ten rounds, in a compiled loop.

The pilot needs one in a hundred keys or fewer, so, unlike in NumPy, only keys below a bound are written. The source is
Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, which gives these constants; the
keys are those of `numpy.random.Philox` to the last bit.
"""

import numba
import numpy as np

from dask_onestep.kernels.compiled.accelerate import OPTIONS, compiled
from dask_onestep.kernels.compiled.instructions import halves

_ROUNDS = 10
_MULTIPLIER_0, _MULTIPLIER_2 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_STEP_0, _STEP_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)


@numba.njit(**OPTIONS)
def _round(values, key_0, key_1):
    v0, v1, v2, v3 = values
    high_0, low_0 = halves(_MULTIPLIER_0, v0)
    high_2, low_2 = halves(_MULTIPLIER_2, v2)
    return high_2 ^ v1 ^ key_0, low_2, high_0 ^ v3 ^ key_1, low_0


@numba.njit(**OPTIONS)
def _philox(count, key_0, key_1):
    """Return the eight values of a count and the next one; their rounds run in parallel."""
    nothing = np.uint64(0)
    one = count, nothing, nothing, nothing
    next_one = count + np.uint64(1), nothing, nothing, nothing
    for _ in range(_ROUNDS):
        one, next_one = _round(one, key_0, key_1), _round(next_one, key_0, key_1)
        key_0, key_1 = key_0 + _STEP_0, key_1 + _STEP_1
    return one + next_one


@compiled("int64(uint64, uint64, uint64, int64, uint64, int64[::1], uint64[::1])")
def values_below(key_0, key_1, begin, length, bound, places, keys):
    """Write which of the values from `begin` on are below a bound, with these values, and return their number."""
    found = 0
    first = begin // np.uint64(4)
    place = -np.int64(begin - np.uint64(4) * first)
    count = first + np.uint64(1)  # NumPy counts before it draws
    while place < length:
        for value in _philox(count, key_0, key_1):
            if value < bound and 0 <= place < length:
                places[found], keys[found] = place, value
                found += 1
            place += 1
        count += np.uint64(2)
    return found


@compiled("void(uint64, uint64, uint64, int64[::1], uint64[::1])")
def values_at(key_0, key_1, begin, places, keys):
    """Write the values at some places, counted from `begin` on."""
    for number in range(len(places)):
        at = begin + np.uint64(places[number])
        four = at // np.uint64(4)
        keys[number] = _philox(four + np.uint64(1), key_0, key_1)[np.int64(at - np.uint64(4) * four)]
