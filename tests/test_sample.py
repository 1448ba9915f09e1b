"""The pilot's rows and their number."""

import math
import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import split_sparse
from dask_onestep.kernels.pilots.candidates import sample_rows
from dask_onestep.kernels.pilots.keys import ALL_KEYS, row_keys
from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.pilots.strata import StrataRule

ROWS = np.arange(400.0)[:, None]


@pytest.mark.parametrize(
    ("rule", "n", "d", "rows"),
    [
        ("auto", 1_000_000, 5, 20_000),
        ("auto", 10_000, 100, 5_000),
        ("auto", 300, 5, 300),
        (500, 10_000, 5, 500),
        (500, 100, 5, 100),
        (0.25, 1000, 5, 250),
        (0.001, 100, 5, 1),
        (1.0, 77, 5, 77),
        (0.07, 100, 1, 7),
        (0.29, 100, 1, 29),
    ],
)
def test_pilot_size(rule, n, d, rows):
    assert PilotSize(rule, d).rows(n) == rows


@pytest.mark.parametrize(
    ("n", "d", "most", "numbers", "uneven", "rows"),
    [
        (1_000_000, 100, 500_000, (), True, math.ceil(40 * 1e10 ** (1 / 3))),  # columns that depend on few rows
        (1_000_000, 100, 500_000, (), False, math.ceil(20 * 1e10 ** (1 / 3))),  # a corrected step needs more than 20√N
        (1_000_000, 10, 500_000, (), False, 20_000),
        (1_000_000, 100, 30_000, (), False, 30_000),  # memory
        (1_000_000, 5_000, 500_000, (), False, 250_000),  # 50·d is more than a fifth of the rows
        (100_000, 200, 500_000, (), False, 20_000),  # a fifth
        (4_000_000, 10, 500_000, ("x",), False, 80_000),  # a fiftieth, because columns may have tails
    ],
)
def test_pilot_size_of_a_corrected_step(n, d, most, numbers, uneven, rows):
    size = PilotSize("auto", d, strata=StrataRule((), numbers, False, 1, uneven), most=most)
    assert size.sampled(n) == rows
    assert replace(size, open=True).least(n) <= rows


def test_rows_that_blocks_hold_where_some_may_be_dropped():
    size = PilotSize("auto", 100, n_rows=1_000_000)
    wanted = size.sampled(950_000) / 950_000
    for n, missing in ((95_000, 5_000), (50_000, 0), (475_000, 25_000)):
        assert wanted * n < size.enough(n, missing) < 2.2 * wanted * n + 300
    assert PilotSize("auto", 100).enough(10_000) == PilotSize("auto", 100).sampled(10_000) + 10 * 5_000**0.5 // 1 + 51


def test_a_row_let_go_too_early_is_never_silent():
    # A rule that believes in more rows than come holds too few.
    size = PilotSize(100, 1, 1_000_000)
    sample = sample_rows(Rows(ROWS, ROWS[:, 0]), size, 0)
    with pytest.raises(RuntimeError, match="Fit again with another random_state"):
        sample.drawn()


def test_a_row_beyond_the_cutoff_is_never_drawn():
    # Enough rows are held, but one with a smaller key may have been discarded.
    sample = sample_rows(Rows(ROWS, ROWS[:, 0]), PilotSize(100, 1, 400), 0)
    greatest = int(np.sort(sample.keys)[99])
    assert len(replace(sample, cutoff=greatest).drawn().keys) == 100
    with pytest.raises(RuntimeError, match="a pilot row was discarded"):
        replace(sample, cutoff=greatest - 1).drawn()


@pytest.mark.parametrize("total", [None, 4000])
def test_no_discarded_row_has_a_key_below_the_cutoff(total):
    x, cuts = np.arange(4000.0)[:, None], [0, 20, 2000, 4000]
    keys = row_keys(0, Rows(x, x[:, 0]))
    blocks = [np.arange(start, stop) for start, stop in pairwise(cuts)]
    parts = [sample_rows(Rows(x[at], x[at, 0], start=at[0]), PilotSize(20, 1, total), 0) for at in blocks]
    for some in ([0], [1], [0, 1], [1, 0], [1, 2], [0, 1, 2]):
        sample = parts[some[0]].join(*(parts[number] for number in some[1:]))
        discarded = np.setdiff1d(keys[np.concatenate([blocks[number] for number in some])], sample.keys)
        assert sample.cutoff <= discarded.min(initial=ALL_KEYS)
    assert len(sample.drawn().keys) == 20


def test_a_sample_s_pickle_does_not_hold_the_block():
    rows = Rows(np.zeros((100_000, 1)), np.zeros(100_000))
    sample = sample_rows(rows, PilotSize(10, 1, 100_000), 0)
    assert sample.x.base is None or sample.x.base.size < 1000


@pytest.mark.parametrize("rule", [1, 37, 2000, 0.3, "auto"])
def test_rows_below_the_bound_are_few_and_hold_the_pilot(rule):
    size, rows = PilotSize(rule, 1, 4000), Rows(np.zeros((4000, 1)), np.zeros(4000))
    wanted = size.rows(4000)
    for seed in range(50):
        held = len(sample_rows(rows, size, seed).keys)
        assert wanted <= held <= wanted + 20 * np.sqrt(wanted) + 110


@pytest.mark.parametrize("split", [False, True], ids=["arrays", "sparse columns"])
def test_samples_of_all_rows_hold_the_pilot_and_no_row_more(split):
    x = np.column_stack([np.arange(4000.0), np.arange(4000) % 7 == 0])
    x = split_sparse(sparse.csr_array(x)) if split else x
    y = np.array(["a"] * 2000 + ["long"] * 2000)  # whose blocks have types of different widths
    size, cuts = PilotSize(300, 2, 4000), [0, 1000, 1000, 2500, 4000]
    parts = []
    for start, stop in pairwise(cuts):
        labels = y[start:stop] if stop > 2000 else y[start:stop].astype("U1")
        parts.append(sample_rows(Rows(x[start:stop], labels, start=start), size, 3))
    whole, joined = sample_rows(Rows(x, y), size, 3).drawn(), parts[0].join(*parts[1:])
    assert len(joined.keys) == 300
    assert joined.drawn().x is joined.x
    for name in ("keys", "positions", "y"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    np.testing.assert_array_equal(*(s.x.toarray() if split else s.x for s in (joined, whole)))


def test_a_bound_needs_the_number_of_rows():
    assert PilotSize(10, 1).bound() is None
    assert PilotSize(10, 1, 10).bound() == ALL_KEYS


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dropped", [0, 3, 700])
def test_consecutive_rows_are_sent_without_keys_and_positions(known, dropped):
    count, parts = 10_000, []
    kept = np.flatnonzero(np.arange(count) % (count // dropped)) if dropped else None
    for number in range(2):
        values = np.arange(float(count if kept is None else len(kept)))
        start = 5 + number * count if known else None
        rows = Rows(values[:, None], values, number=number, start=start, kept=kept)
        parts.append(sample_rows(rows, PilotSize("auto", 2, whole=2 * count, hold=count), seed=9))
    sample = parts[0] + parts[1]
    record = sample.drawn().drawn_keys()
    for rows in (*parts, sample, record):
        pickled = pickle.dumps(rows, protocol=5)
        copy = pickle.loads(pickled)
        np.testing.assert_array_equal(copy.keys, rows.keys)
        np.testing.assert_array_equal(copy.positions, rows.positions)
        assert (copy.keys.dtype, copy.positions.dtype) == (np.uint64, np.int64)
        # Covariate and response, which a record without rows lacks; also 24 bytes of a key and a position.
        bytes_per_row = (0 if rows is record else 16) + (24 if dropped == 700 else 0)
        assert len(pickled) < bytes_per_row * len(rows.keys) + 3000


def test_sampled_rows_keep_their_keys_when_sent():
    values = np.arange(10_000.0)
    sample = sample_rows(Rows(values[:, None], values), PilotSize(300, 2, total=10_000), seed=9).drawn()
    copy = pickle.loads(pickle.dumps(sample))
    np.testing.assert_array_equal(copy.keys, row_keys(9, Rows(values[:, None], values))[copy.positions[:, 1]])
    np.testing.assert_array_equal(copy.x, sample.x)
