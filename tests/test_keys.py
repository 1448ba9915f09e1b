"""Keys of rows: one sequence for any chunking, and the smallest of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.pilots.keys import ALL_KEYS, key_of_rank, keys_below, row_keys, smallest_keys

ROWS = np.arange(400.0)[:, None]


def test_keys_are_one_sequence_whatever_the_block():
    whole = row_keys(9, Rows(ROWS, ROWS[:, 0]))
    assert len(np.unique(whole)) == 400
    for start in range(30):
        part = row_keys(9, Rows(ROWS[start : start + 7], ROWS[:7, 0], start=start))
        np.testing.assert_array_equal(part, whole[start : start + 7])
    assert not np.isin(row_keys(10, Rows(ROWS, ROWS[:, 0])), whole).any()


def test_blocks_of_unknown_start_have_keys_of_their_own():
    keys = [row_keys(9, Rows(ROWS, ROWS[:, 0], number=number, start=None)) for number in range(4)]
    assert len(np.unique(keys)) == 1600


@st.composite
def blocks(draw):
    """Blocks of known and unknown start, some of whose rows were dropped."""
    m = draw(st.integers(0, 300))
    kept = None
    if draw(st.booleans()):
        kept = np.flatnonzero(np.array(draw(st.lists(st.booleans(), min_size=m, max_size=m)), bool))
    start, number = draw(st.one_of(st.none(), st.integers(0, 2**40))), draw(st.integers(0, 2**20))
    x = np.zeros((m if kept is None else len(kept), 1))
    return Rows(
        x, x[:, 0], number=number, start=start, kept=kept, n_missing=m - len(x), first=draw(st.integers(0, 2**40))
    )


@given(blocks(), st.integers(0, 2**63), st.one_of(st.integers(0, int(ALL_KEYS)), st.just(int(ALL_KEYS))))
@settings(max_examples=150, deadline=None)
def test_keys_below_a_bound_are_those_of_all_rows(rows, seed, bound):
    whole = row_keys(seed, rows)
    assert whole.dtype == np.uint64
    np.testing.assert_array_equal(keys_below(whole, bound), np.flatnonzero((whole < bound) | (bound == ALL_KEYS)))


@given(blocks(), st.integers(0, 2**63), st.integers(0, 320))
@settings(max_examples=150, deadline=None)
def test_the_smallest_keys_are_those_of_all_rows(rows, seed, count):
    whole = row_keys(seed, rows)
    index, cutoff = smallest_keys(whole, count)
    np.testing.assert_array_equal(index, np.sort(np.argsort(whole)[:count]))
    others = np.delete(whole, index)
    assert cutoff == (others.min() if len(others) else ALL_KEYS)
    assert key_of_rank(whole, count, 10 * max(len(rows), 1)) == cutoff
