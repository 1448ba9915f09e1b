"""Blocks far smaller than they should be go together, and nothing else changes."""

import gc
import weakref
from dataclasses import replace

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.task_spec import Task, TaskRef
from dask.utils import key_split
from distributed import wait
from support import chunked, model_of, slow

from dask_onestep import MLE, ElasticNetCV, GLMRegressor, OneStep, fit_many
from dask_onestep.graph import FAN_IN, apply, blocks, gather, tree, tree_sum
from dask_onestep.graph.fusion import fuse
from dask_onestep.kernels.designs import parts
from dask_onestep.kernels.designs.parts import Block, joined
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.report import block_fits

MODEL = model_of("binomial", columns=3)
COEF = np.array([0.1, -0.2, 0.3, 0.4])
SIZES = tuple(1 + number % 5 for number in range(FAN_IN * FAN_IN + 35))


def table_of(rows):
    rng = np.random.default_rng(0)
    return np.c_[rng.integers(0, 2, rows), rng.normal(size=(rows, 3))]


def blocks_of(table, sizes=SIZES, **parts):
    return gather(chunked(table[:, 1:], sizes), chunked(table[:, 0], sizes), **parts)


def count(total, name):
    return sum(key_split(key) == name for key in total.__dask_graph__())


@kernel(checked="after", by_block=True)
def moments_of_block(rows, model, coef):
    """Return the sums of a block that is not joined with others: those of the tree, bit for bit."""
    return moments(rows, model, coef)


@pytest.mark.parametrize("joins", [False, True])
def test_tiny_blocks_go_together_with_the_same_sums(joins, scheduler, monkeypatch):
    table = table_of(sum(SIZES))
    sums = moments if joins else moments_of_block
    together = tree_sum(blocks_of(table), sums, MODEL, COEF, name="moments")
    assert (count(together, "moments-group"), count(together, "moments")) == (-(-len(SIZES) // FAN_IN), 0)
    monkeypatch.setattr(blocks, "_MANY_BLOCKS", len(SIZES))
    monkeypatch.setattr(blocks, "TINY_BYTES", 0)
    apart = tree_sum(blocks_of(table), sums, MODEL, COEF, name="moments")
    assert (count(apart, "moments-group"), count(apart, "moments")) == (0, len(SIZES))
    found, expected = together.compute(), apart.compute()
    assert found.n == expected.n == sum(SIZES)
    for name in ("loglik", "score", "information"):
        atol = 1e-12 if joins else 0.0
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=atol, atol=atol)


def test_few_or_large_blocks_stay_apart(monkeypatch):
    table = table_of(sum(SIZES))
    few = SIZES[: FAN_IN * FAN_IN]
    assert blocks_of(table).together == FAN_IN
    assert blocks_of(table[: sum(few)], few).together == FAN_IN  # of data in memory
    computed = chunked(table[: sum(few)], few).map_blocks(np.copy)
    assert gather(computed[:, 1:], computed[:, 0]).together == 1
    monkeypatch.setattr(blocks, "TINY_BYTES", 0)
    assert blocks_of(table[: sum(few)], few).together == 1
    # Three float64 columns; the sixteen largest neighbors have 51 rows or fewer.
    largest = max(sum(SIZES[at : at + FAN_IN]) for at in range(0, len(SIZES), FAN_IN)) * 3 * 8
    monkeypatch.setattr(blocks, "_GROUP_BYTES", largest)
    assert blocks_of(table).together == FAN_IN
    monkeypatch.setattr(blocks, "_GROUP_BYTES", largest - 1)
    assert blocks_of(table).together == 1


def test_blocks_of_unknown_size_go_together_in_enough_groups_for_many_workers(monkeypatch):
    table = table_of(sum(SIZES))
    filtered = chunked(table, SIZES)
    filtered = filtered[filtered[:, 0] >= 0]
    found = gather(filtered[:, 1:], filtered[:, 0])
    assert found.together == 1
    monkeypatch.setattr(blocks, "_MANY_BLOCKS", len(SIZES) // 3)
    assert found.together == 3
    assert replace(found, n_seen=len(table)).together == FAN_IN
    assert replace(found, n_seen=10**9).together == 3
    total = tree_sum(found, moments, MODEL, COEF, name="moments")
    assert (count(total, "moments-group"), count(total, "moments")) == (len(SIZES) // 3, 0)
    assert total.compute(scheduler="synchronous").n == sum(SIZES)


@pytest.fixture
def in_groups(monkeypatch):
    """Take as many partitions together as there may be, however few they are."""
    monkeypatch.setattr(blocks, "_MANY_BLOCKS", 3)


def frame_of(parts, **changes):
    """Return partitions of a table with strings; `changes` replace the values of a column in one of them."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"x": rng.normal(size=240), "g": rng.choice(list("abc"), 240)})
    rows["y"] = (rng.random(240) < 0.4).astype(float)
    cut = np.array_split(np.arange(240), parts)
    pieces = [rows.iloc[at] for at in cut]
    for name, (number, values) in changes.items():
        pieces[number] = pieces[number].assign(**{name: values})
    return dd.from_map(_loaded, pieces, meta=rows.iloc[:0])


def _loaded(piece):
    return piece


def coefficients_of(frame):
    return GLMRegressor("binomial", formula="y ~ x + g", method=MLE(tol=1e-20)).fit(frame).coef_


def test_tiny_partitions_are_joined_with_the_same_estimate(in_groups, monkeypatch, scheduler):
    joins = []
    monkeypatch.setattr(tree, "joined", lambda given: joins.append(len(given)) or joined(given))
    several = coefficients_of(frame_of(24))
    if scheduler != "distributed":
        assert joins[0] == 8
        assert max(joins) == FAN_IN  # once a pass has counted the rows
    np.testing.assert_allclose(several, coefficients_of(frame_of(1)), rtol=1e-9)


def test_partitions_with_other_columns_or_categories_are_not_joined():
    rows = pd.DataFrame({"x": [1.0], "g": pd.Categorical(["a"])})
    other = rows.assign(g=pd.Categorical(["a"], categories=["b", "a"]))
    assert len(joined([Block(rows), Block(rows)]).x) == 2
    assert joined([Block(rows), Block(other)]) is None
    assert joined([Block(rows), Block(rows.astype({"x": int}))]) is None
    assert joined([Block(rows, y=rows["x"]), Block(rows, y=np.ones(1))]) is None


def test_what_is_wrong_is_named_by_partition_where_they_are_joined(in_groups, threads):
    with pytest.raises(ValueError, match=r"column x \(10 rows\)\. In block 7\."):
        coefficients_of(frame_of(24, x=(7, np.nan)))


def test_what_is_wrong_for_one_of_several_models_is_named_by_partition(in_groups, threads):
    with pytest.raises(ValueError, match=r"column x \(10 rows\)\. In block 7\."):
        fit_many(["y ~ x", "y ~ x + g"], frame_of(24, x=(7, np.nan)), estimator=GLMRegressor("binomial"))


@pytest.mark.parametrize("pieces", [False, slow(True)])
def test_rows_of_joined_partitions_are_numbered_as_those_of_single_ones(pieces, threads, monkeypatch):
    """Their pilot is that of a run in which partitions are not joined, as those on a cluster's workers are not."""
    frame, found = frame_of(24, x=(7, np.nan)), []
    frame["weight"] = (frame["x"] > -1).astype(float)
    if pieces:
        monkeypatch.setattr(parts, "MATRIX_BYTES", 7 * 8)
    for many in (3, 24):
        monkeypatch.setattr(blocks, "_MANY_BLOCKS", many)
        method = OneStep(pilot_size=100)
        glm = GLMRegressor("binomial", formula="y ~ x + g", method=method, missing="drop")
        glm.fit(frame, sample_weight="weight")
        found.append(glm.record_.pilot)
    np.testing.assert_array_equal(found[0].keys, found[1].keys)
    np.testing.assert_array_equal(found[0].positions, found[1].positions)
    assert len(np.unique(found[0].positions[:, 0])) == 23


@pytest.mark.parametrize("cv", [4, "blocks"])
def test_folds_of_joined_partitions_are_those_of_single_ones(cv, threads, monkeypatch):
    frame, found = frame_of(20), []
    for many in (3, 20):  # five partitions go together, as many as there are folds
        monkeypatch.setattr(blocks, "_MANY_BLOCKS", many)
        glm = GLMRegressor(formula="y ~ x", method=ElasticNetCV(5, cv=cv)).fit(frame)
        found.append(glm.cv_results_["deviance"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_sums_by_partition_are_not_those_of_joined_ones(in_groups, threads):
    frame = frame_of(24)
    glm = GLMRegressor("binomial", formula="y ~ x", method=MLE()).fit(frame)
    assert [fit.number for fit in block_fits(glm, frame)] == list(range(24))


def test_blocks_on_workers_are_taken_where_they_are(client):
    table = table_of(sum(SIZES))
    x, y = dask.persist(chunked(table[:, 1:], SIZES), chunked(table[:, 0], SIZES))
    wait([x, y])
    blocks = gather(x, y)
    assert blocks.together == 1
    assert tree_sum(blocks, moments, MODEL, COEF, name="moments").compute().n == sum(SIZES)


def step(sums):
    """Return a β that depends on a pass."""
    return COEF + 0 * sums.loglik


def test_a_second_pass_in_the_same_graph(loads, scheduler):
    loads.rows = (2,) * (FAN_IN * FAN_IN + 1)
    table = loads.array()
    blocks = gather(table[:, 1:], table[:, 0])
    first = tree_sum(blocks, moments, MODEL, COEF, name="moments")
    second = tree_sum(blocks, moments, MODEL, apply(step, first, name="coefficients"), name="moments")
    np.testing.assert_array_equal(*(record.information for record in dask.compute(first, second)))
    assert loads.per_block() == [2] * len(loads.rows)


def test_what_is_wrong_is_named_by_block(threads):
    table = table_of(sum(SIZES))
    table[sum(SIZES[:40]), 2] = np.nan
    with pytest.raises(ValueError, match=r"column x1 \(1 row\)\. In block 40\."):
        tree_sum(blocks_of(table), moments, MODEL, COEF, name="moments").compute()


class Held:
    """Something that a weak reference can watch."""


def make(_):
    return Held()


def watch(held):
    return weakref.ref(held)


def is_gone(watched):
    gc.collect()
    return watched() is None


def test_a_fused_task_lets_go_of_what_its_later_steps_do_not_need():
    steps = [
        Task("made", make, TaskRef("given")),
        Task("watched", watch, TaskRef("made")),
        Task("gone", is_gone, TaskRef("watched")),
    ]
    fused = fuse(*steps)
    assert fused.key == "gone"
    assert fused.dependencies == {"given"}
    assert fused({"given": 1})
    assert fuse(steps[0]) is steps[0]


def test_inputs_of_a_fused_task_may_be_renamed():
    fused = fuse(Task("a", np.add, TaskRef("x"), 1), Task("b", np.multiply, TaskRef("a"), TaskRef("x")))
    assert fused.substitute({"x": "z"})({"z": 3}) == 12


def test_tasks_a_block_do_not_grow_with_the_blocks():
    counts = []
    for n in (1000, 4000):
        x = da.ones((n, 3), chunks=(1, 3))
        total = tree_sum(gather(x, x[:, 0]), moments, MODEL, COEF, name="moments")
        counts.append(len(total.__dask_graph__()) / n)
    assert counts[1] <= counts[0] < 0.1


def test_large_records_are_added_in_pairs_and_few_are_held_at_a_time():
    table, sizes = table_of(64), (1,) * 64
    large = 9 * 2**20
    pairs = tree_sum(blocks_of(table, sizes), moments, MODEL, COEF, name="moments", record_bytes=large)
    assert count(pairs, "moments-partial") == 32 + 16 + 8 + 4 + 2
    plain = tree_sum(blocks_of(table, sizes), moments, MODEL, COEF, name="moments")
    np.testing.assert_allclose(pairs.compute().information, plain.compute().information, rtol=1e-12)
    held = []
    with dask.callbacks.Callback(posttask=lambda key, result, dsk, state, worker: held.append(_records(state))):
        pairs.compute(scheduler="synchronous")
    # One partial sum a level, and the pair that is being added.
    assert max(held) <= 8


def _records(state):
    return sum(isinstance(value, Moments) for value in state["cache"].values())
