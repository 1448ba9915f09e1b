"""The pilot sample: uniformity, and independence of the chunking."""

import functools
import operator
from dataclasses import replace
from itertools import accumulate

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support import blocks_of, chunked, model_of

from dask_onestep import GLMRegressor, OneStep
from dask_onestep.graph import gather, tree_sum
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.pilots import candidates
from dask_onestep.kernels.pilots.candidates import pilot_rows, sample_rows, survey
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.checks import usable_rows

MODEL = model_of(columns=1)


def draw(x, sizes, rule, seed=0, *, known=True, model=MODEL, y=None):
    """Return the pilot of rows in blocks of the given sizes."""
    y = np.zeros(len(x)) if y is None else y
    starts = [0, *accumulate(sizes)]
    total = len(x) if known and model.missing == "raise" else None
    size = PilotSize(rule, len(model.names), total)
    samples = []
    for number, (part, response) in enumerate(zip(blocks_of(x, sizes), blocks_of(y, sizes), strict=True)):
        rows = usable_rows(Block(part, response, number=number, start=starts[number] if known else None), model)
        samples.append(pilot_rows(rows, model, size, seed))
    return functools.reduce(operator.add, samples).drawn()


@st.composite
def chunkings(draw, total=400):
    """Sizes of row blocks, empty ones among them."""
    cuts = draw(st.lists(st.integers(0, total), max_size=12))
    return np.diff([0, *sorted(cuts), total]).tolist()


ROWS = np.arange(400.0)[:, None]


@given(chunkings(), st.sampled_from(["auto", 1, 37, 400, 10_000, 0.25, 1.0]), st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_any_chunking_draws_the_same_rows(sizes, rule, seed):
    whole, parts = draw(ROWS, [400], rule, seed), draw(ROWS, sizes, rule, seed)
    np.testing.assert_array_equal(parts.x, whole.x)
    np.testing.assert_array_equal(parts.positions, whole.positions)
    # Position and row belong together, in the order of the data.
    np.testing.assert_array_equal(parts.x[:, 0], parts.positions[:, 1])
    assert (np.diff(parts.positions[:, 1]) > 0).all()


@given(chunkings(), st.sampled_from([1, 20, 150, 0.3]))
@settings(max_examples=30, deadline=None)
def test_dropped_rows_do_not_change_the_others_keys(sizes, rule):
    x = ROWS.copy()
    x[::3] = np.nan
    model = model_of(columns=1, missing="drop")
    found = draw(x, sizes, rule, model=model)
    usable = np.arange(400)[np.isfinite(x[:, 0])]
    assert found.n == len(usable)
    assert found.n_missing == 400 - len(usable)
    count = rule if isinstance(rule, int) else int(np.ceil(rule * len(usable)))
    keys = row_keys(0, Rows(ROWS, ROWS[:, 0]))
    expected = np.sort(usable[np.argsort(keys[usable])[:count]])
    np.testing.assert_array_equal(found.x[:, 0], expected)


@given(chunkings(), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_unknown_sizes_draw_exactly_as_many_rows(sizes, seed):
    found = draw(ROWS, sizes, 50, seed, known=False)
    assert len(found.keys) == 50
    assert len(np.unique(found.x)) == 50
    # The order of the blocks' records does not matter beyond their positions.
    starts = np.array([0, *accumulate(sizes)])
    np.testing.assert_array_equal(found.x[:, 0], starts[found.positions[:, 0]] + found.positions[:, 1])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.slow
def test_every_row_has_the_same_chance(known):
    # 1000 pilots of 12 from blocks of very unequal sizes; counts are a simple random sample's.
    sizes, n, draws = [1, 2, 5, 0, 52], 12, 1000
    total = sum(sizes)
    x = np.arange(float(total))[:, None]
    counts = np.zeros(total)
    for seed in range(draws):
        found = draw(x, sizes, n, seed, known=known)
        assert len(found.x) == n
        counts[found.x[:, 0].astype(int)] += 1
    expected = draws * n / total
    # Without replacement each count has variance draws·p(1 − p)·total/(total − 1) in the χ² sense.
    statistic = ((counts - expected) ** 2).sum() / (expected * (1 - n / total)) * (total - 1) / total
    p_value = stats.chi2.sf(statistic, total - 1)
    assert 1e-4 < p_value < 1 - 1e-4


@pytest.mark.slow
def test_pairs_of_rows_are_drawn_independently():
    # In a simple random sample two given rows meet with chance n(n−1)/(N(N−1)).
    sizes, n, draws = [3, 17], 6, 1500
    x = np.arange(20.0)[:, None]
    together = 0
    for seed in range(draws):
        chosen = draw(x, sizes, n, seed).x[:, 0]
        together += {0.0, 19.0} <= set(chosen)
    assert stats.binomtest(together, draws, n * (n - 1) / (20 * 19)).pvalue > 1e-4


@pytest.mark.parametrize("rule", ["auto", 300, 0.01])
@pytest.mark.parametrize("known", [True, False])
def test_blocks_hold_no_more_than_a_pilot_or_so(rule, known):
    rows = Rows(np.zeros((100_000, 1)), np.zeros(100_000))
    size = PilotSize(rule, 2, 200_000 if known else None)
    held = sample_rows(rows, size, 0)
    assert len(held.keys) <= size.rows(200_000) + 10 * np.sqrt(size.rows(200_000)) + 51
    assert held.cutoff >= held.keys.max()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([True, False, True], [False, True]),
        ([1, 2, 2], [1, 2]),
        ([-1.0, 1.0, 1.0], [-1.0, 1.0]),
    ],
)
def test_classes_are_learned_on_the_way(labels, classes):
    model = model_of("binomial", columns=1, classify=True)
    y = np.array(labels)
    found = draw(np.arange(3.0)[:, None], [1, 0, 2], 2, model=model, y=y)
    known = survey(found)
    assert known.classes.tolist() == classes
    assert known.classes.dtype == y.dtype
    assert known.n == 3


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["a", "a", "a"], "y has one class only, .*'a'.*: a classifier needs samples of two classes"),
        ([0, 1, 2], r"Only binary classification is supported.*y has the labels 0, 1, 2\."),
        (list(range(8)), "labels 0, 1, 2, 3, 4, 5, 6, 7"),
    ],
)
def test_other_than_two_classes_are_refused(labels, text):
    model = model_of("binomial", columns=1, classify=True)
    sample = draw(np.zeros((len(labels), 1)), [1, len(labels) - 1], 2, model=model, y=np.array(labels))
    with pytest.raises(ValueError, match=text):
        survey(sample)


def test_floats_that_are_no_labels_are_found():
    model = model_of("binomial", columns=1, classify=True)
    rows = Rows(np.zeros((2, 1)), np.array([0.0, 0.25]), number=3)
    found = pilot_rows(rows, model, PilotSize(1, 2), 0)
    assert isinstance(found, Findings)
    with pytest.raises(
        ValueError, match=r"label type: continuous. y contains non-integer values .e.g. 0.25..*In block 3"
    ):
        found.raise_error()


def test_many_labels_are_not_collected():
    model = model_of("binomial", columns=1, classify=True)
    sample = pilot_rows(Rows(np.zeros((5000, 1)), np.arange(5000)), model, PilotSize(1, 2), 0)
    assert len((sample + sample).labels) <= 101


def test_no_rows_at_all():
    sample = draw(np.empty((0, 1)), [0, 0], 5)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\): no usable rows remain\."):
        survey(sample)


def test_weights_that_are_all_zero():
    rows = usable_rows(Block(ROWS, ROWS[:, 0], weights=np.zeros(400)), model_of(columns=ROWS.shape[1]))
    with pytest.raises(ValueError, match="sample_weight is zero on every row"):
        survey(sample_rows(rows, PilotSize(10, 2), 0))
    one = np.zeros(400)
    one[3] = 1.0
    rows = usable_rows(Block(ROWS, ROWS[:, 0], weights=one), model_of(columns=ROWS.shape[1]))
    sample = sample_rows(rows, PilotSize(10, 2), 0)
    assert survey(sample).n == 1
    assert sample.positions.tolist() == [[0, 3]]


def test_labels_of_other_types_between_blocks_do_not_pass():
    # NumPy would join 0 and "0" as text.
    model = model_of("binomial", columns=1, classify=True)
    x, size = np.zeros((2, 1)), PilotSize(2, 2)
    first = pilot_rows(Rows(x, np.array([0, 1])), model, size, 0)
    for words in (np.array(["0", "1"]), np.array(["0", "1"], dtype=object)):
        found = first + pilot_rows(Rows(x, words, start=2), model, size, 0)
        with pytest.raises(
            ValueError, match=r"mixed types, which cannot be sorted: int, str\. Convert them to one type"
        ):
            found.raise_error()


def test_the_graph_draws_what_the_kernel_draws(scheduler):
    rng = np.random.default_rng(0)
    x, sizes = rng.normal(size=(300, 1)), (100, 0, 3, 150, 47)
    expected = draw(x, sizes, 25, 4)
    blocks = gather(chunked(x, sizes), chunked(np.zeros(300), sizes))
    found = tree_sum(blocks, pilot_rows, MODEL, PilotSize(25, 2, 300), 4, name="pilot-sample").compute().drawn()
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.positions, expected.positions)


def test_unknown_sizes_draw_the_same_on_every_scheduler(client):
    array = chunked(np.arange(90.0)[:, None], (30, 30, 30))
    few = array[array[:, 0] > 20]
    blocks = gather(few, few[:, 0] * 0)
    assert blocks.lengths is None
    total = tree_sum(blocks, pilot_rows, MODEL, PilotSize(12, 2), 4, name="pilot-sample")
    on_cluster = total.compute().drawn()
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            np.testing.assert_array_equal(total.compute(scheduler=scheduler).drawn().x, on_cluster.x)
    assert len(on_cluster.x) == 12


def test_candidates_of_a_table_are_without_their_matrix_also_where_the_design_is_known(synchronous, monkeypatch):
    rng, shapes, sampled = np.random.default_rng(0), [], candidates.sample_rows
    frame = pd.DataFrame({"x": rng.normal(size=500), "z": rng.integers(0, 9, 500), "y": rng.poisson(1.0, 500)})

    def noting(rows, *others):
        shapes.append(rows.x.shape)
        return sampled(rows, *others)

    monkeypatch.setattr(candidates, "sample_rows", noting)
    table = GLMRegressor("poisson", formula="y ~ x + z").fit(frame)
    assert shapes == [(500, 0)]
    matrix = GLMRegressor("poisson").fit(frame[["x", "z"]].to_numpy(float), frame["y"])
    assert shapes[1:] == [(500, 2)]
    np.testing.assert_allclose(table.coef_, matrix.coef_, rtol=1e-12)


def test_a_piece_of_a_large_block_is_sampled_as_the_block_would_be():
    rows = Rows(np.zeros((2000, 1)), np.zeros(2000))
    size = PilotSize("auto", 2, whole=3000, hold=3000)
    assert len(sample_rows(rows, size, 0).keys) == 2000
    assert len(sample_rows(replace(rows, length=40_000), size, 0).keys) < 1500
    (whole,) = Block(np.zeros((10, 3)), np.zeros(10)).pieces(MODEL)
    assert whole.length is None
    pieces = list(Block(pd.DataFrame(np.zeros((2_500_000, 1))), np.zeros(2_500_000)).pieces(MODEL))
    assert len(pieces) > 1
    assert {piece.length for piece in pieces} == {2_500_000}


@pytest.mark.parametrize("formula", [None, "y ~ a + b"])
def test_a_large_block_with_few_usable_rows_is_held_whole_after_another_pass(formula):
    rng = np.random.default_rng(0)
    n = 1_200_000
    frame = pd.DataFrame({"a": np.where(rng.random(n) < 0.9, np.nan, rng.normal(size=n)), "b": rng.normal(size=n)})
    frame["y"] = (rng.random(n) < 0.4).astype(float)
    fits = []
    for partitions in (1, 16):
        data = dd.from_pandas(frame, npartitions=partitions)
        glm = GLMRegressor("binomial", formula=formula, missing="drop", method=OneStep(pilot_bytes=8 * 200_000 * 4))
        fits.append(glm.fit(data) if formula else glm.fit(data[["a", "b"]], data["y"]))
    one, many = fits
    assert (one.n_passes_, many.n_passes_) == (2, 1)
    assert one.record_.pilot.n == frame["a"].notna().sum()
    np.testing.assert_allclose(one.coef_, many.coef_, rtol=0, atol=1e-12)
