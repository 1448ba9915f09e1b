"""Random keys of rows: 64-bit values of a counter-based generator, Philox, at (seed, global row number).

A key does not depend on block or worker. Where chunk sizes are unknown, the counter restarts in every block and the
block's number is part of the generator's key.
"""

import math
from collections.abc import Iterable

import numpy as np

from dask_onestep.kernels.designs.parts import Rows, rows_where

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
    if rows.start is None:
        key, begin = _block_key(seed, rows.number), rows.first
    else:
        key, begin = seed, rows.start
    length = len(rows) if rows.kept is None or not len(rows) else int(rows.kept[-1]) + 1
    keys = _values(key, begin, length)
    return keys if rows.kept is None else keys.take(rows.kept)


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


def keys_below(keys: np.ndarray, bound: int) -> np.ndarray:
    """Return the rows with keys below `bound`; with the greatest key as bound, all."""
    return np.arange(len(keys)) if bound == ALL_KEYS else rows_where(keys < np.uint64(bound))


def smallest_keys(keys: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Return the rows with so many smallest keys, and a key below which no others are."""
    near = keys_below(keys, _bound(count, len(keys)))
    own = keys.take(near)
    if len(own) <= count < len(keys):
        near, own = np.arange(len(keys)), keys
    cutoff = key_of_rank(own, count, len(own))
    return near.take(keys_below(own, cutoff)), cutoff


def key_of_rank(keys: np.ndarray, rank: int, n: int) -> int:
    """Return the key that `rank` others are below, the greatest one if there are no more; of n rows' keys."""
    if rank >= len(keys):
        return int(ALL_KEYS)
    bound = _bound(rank, n)
    near = keys if bound == ALL_KEYS else keys[keys < np.uint64(bound)]
    return int(np.partition(near if len(near) > rank else keys, rank)[rank])


def _bound(rank: int, n: int) -> int:
    """Return a key that very probably more than `rank` of n keys are below, which are uniform, and few more."""
    share = (rank + 10 * math.sqrt(rank) + 10) / max(n, 1)
    return int(share * 2.0**64) if share < 1 - 2.0**-40 else int(ALL_KEYS)
