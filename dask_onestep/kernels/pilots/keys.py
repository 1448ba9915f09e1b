"""Random keys of rows: 64-bit values of a counter-based generator, Philox, at (seed, global row number).

A key does not depend on block or worker. Where chunk sizes are unknown, the counter restarts in every block and the
block's number is part of the generator's key.
"""

import math
from collections.abc import Iterable

import numpy as np

from dask_onestep.kernels.compiled.accelerate import accelerated
from dask_onestep.kernels.designs.parts import Rows

# The greatest key.
ALL_KEYS = np.iinfo(np.uint64).max


def row_keys(seed: int, rows: Rows) -> np.ndarray:
    """Return the 64-bit keys of a block's usable rows, an array of shape (m,).

    A row's key depends only on `seed` (from 0 to 2**63) and on the row's global number, if that is known.
    """
    if rows.start is None and rows.members:
        own = [_values(_block_key(seed, number), 0, length) for number, length in rows.members]
        keys = np.concatenate(own)[rows.first :]
        return keys[: len(rows)] if rows.kept is None else keys[rows.kept]
    keys = _values(*_sequence(seed, rows))
    return keys if rows.kept is None else keys[rows.kept]


def _values(key: int, begin: int, length: int) -> np.ndarray:
    # Philox yields four values per count.
    count, skipped = divmod(begin, 4)
    return np.random.Philox(key=key, counter=count).random_raw(length + skipped)[skipped:]


def _block_key(seed: int, number: int) -> int:
    return seed + ((number + 1) << 64)


def keys_of_runs(source: tuple[int, bool], runs: Iterable[tuple[int, int, int]]) -> np.ndarray:
    """Return the keys of runs of rows: block, first row, number of rows; `source` as in `PilotSample.key_source`."""
    seed, known = source
    return np.concatenate([_values(seed if known else _block_key(seed, block), *run) for block, *run in runs])


def keys_below(seed: int, rows: Rows, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable rows with keys below `bound` (with the greatest key as bound: all), and these keys."""
    if not bound:
        return np.empty(0, np.intp), np.empty(0, np.uint64)
    if bound < ALL_KEYS and accelerated() and not rows.members:
        return _compiled_below(seed, rows, bound)
    keys = row_keys(seed, rows)
    if bound == ALL_KEYS:
        return np.arange(len(keys)), keys
    index = np.flatnonzero(keys < np.uint64(bound))
    return index, keys[index]


def keys_at(seed: int, rows: Rows, index: np.ndarray) -> np.ndarray:
    """Return the keys of some of a block's usable rows."""
    if not accelerated() or rows.members:
        return row_keys(seed, rows)[index]
    from dask_onestep.kernels.compiled.philox import values_at

    key, begin, _ = _sequence(seed, rows)
    high, low = divmod(key, 2**64)
    places = np.asarray(index if rows.kept is None else rows.kept[index], np.int64)
    keys = np.empty(len(places), dtype=np.uint64)
    values_at(np.uint64(low), np.uint64(high), np.uint64(begin), places, keys)
    return keys


def smallest_keys(seed: int, rows: Rows, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the usable rows of a block with the smallest keys."""
    everything = int(ALL_KEYS)
    if count >= len(rows):
        return *keys_below(seed, rows, everything), everything
    # Keys are uniform, so a bound can be computed below which all of these keys lie, and few others.
    share = (count + 10 * math.sqrt(count) + 10) / len(rows)
    index, keys = keys_below(seed, rows, int(min(share * 2.0**64, float(everything - 2**11))))
    if len(index) <= count:
        index, keys = keys_below(seed, rows, everything)
    cutoff = np.partition(keys, count)[count]
    smaller = keys < cutoff
    return index[smaller], keys[smaller], int(cutoff)


def _sequence(seed: int, rows: Rows) -> tuple[int, int, int]:
    """Return the generator's key for a block, the number of the first row's value, and how many values are needed."""
    length = len(rows) if rows.kept is None or not len(rows) else int(rows.kept[-1]) + 1
    if rows.start is None:
        return _block_key(seed, rows.number), rows.first, length
    return seed, rows.start, length


def _compiled_below(seed: int, rows: Rows, bound: int) -> tuple[np.ndarray, np.ndarray]:
    from dask_onestep.kernels.compiled.philox import values_below

    key, begin, length = _sequence(seed, rows)
    high, low = divmod(key, 2**64)
    # Memory that is not written to is not allocated.
    places, keys = np.empty(length, dtype=np.int64), np.empty(length, dtype=np.uint64)
    found = values_below(np.uint64(low), np.uint64(high), np.uint64(begin), length, np.uint64(bound), places, keys)
    places, keys = places[:found], keys[:found]
    if rows.kept is None:
        return places, keys
    usable = np.isin(places, rows.kept, assume_unique=True)
    return np.searchsorted(rows.kept, places[usable]), keys[usable]
