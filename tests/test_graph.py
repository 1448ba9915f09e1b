"""The graphs: what they load, what they are called, and that building them computes nothing."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.core import flatten
from dask.delayed import Delayed
from dask.utils import key_split
from distributed import Future, wait
from support import Loads, chunked, model_of, raise_if_dask_computes

from dask_onestep.graph import FAN_IN, apply, gather, map_rows, tree_sum
from dask_onestep.graph.fusion import is_task
from dask_onestep.graph.lazy import compute
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.records import LogLikelihoods, Moments
from dask_onestep.kernels.rows.rows import kernel

MODEL = model_of("binomial", columns=3)
COEF = np.array([0.1, -0.2, 0.3, 0.4])
NAMES = ("c0", "c1", "c2")


def first_coefficients(sums):
    """Return a β that depends on a pass."""
    return COEF + 0 * sums.loglik


def count_rows(rows, model):
    """Return the number of rows of a block; a kernel without checks."""
    return LogLikelihoods(len(rows), np.zeros(1), np.zeros(1))


@kernel(by_block=True)
def fail_on(rows, model, number):
    """Raise on one block, as a bug in a kernel would."""
    if rows.number == number:
        raise ZeroDivisionError(f"block {number}")
    return count_rows(rows, model)


def expected_moments(table, coef=COEF, weights=None, offset=None):
    return moments(Rows(table[:, 1:], table[:, 0], weights, offset), MODEL, coef)


def assert_same(found, expected):
    assert found.n == expected.n
    for name in ("loglik", "score", "information"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-12, err_msg=name)


def from_one_array(loads):
    table = loads.array()
    return table[:, 1:], table[:, 0]


def from_one_frame(loads):
    frame = loads.frame()
    return frame[[*NAMES]], frame["y"]


def from_separate_parts(loads):
    # Each part has a source of its own kind of transformation on the way.
    table = loads.array()
    return (table * 2 / 2)[:, 1:], (table + 0)[:, 0]


def from_column_chunks(loads):
    table = loads.array().rechunk({1: 2})
    return table[:, 1:], table[:, 0]


def from_frame_to_arrays(loads):
    frame = loads.frame()
    # Once for both: each to_dask_array has the load fused into its own tasks, which no one can tell alike.
    table = frame.to_dask_array()
    return table[:, 1:], table[:, 0]


def from_filtered_rows(loads):
    table = loads.array()
    table = table[table[:, 0] >= 0]
    return table[:, 1:], table[:, 0]


def from_delayed_parts(loads):
    import support

    parts = [
        da.from_delayed(
            dask.delayed(support.load_array)(loads.directory, loads.rows, loads.columns, (number, 0)),
            shape=(rows, loads.columns),
            dtype=float,
        )
        for number, rows in enumerate(loads.rows)
    ]
    table = da.concatenate(parts)
    return table[:, 1:], table[:, 0]


# What Dask itself does not do yet under array.query-planning; everything else here runs there too.
classic = pytest.mark.skipif(
    bool(dask.config.get("array.query-planning", False)),
    reason="Dask's array.query-planning has no boolean index, from_delayed, to_dask_array or annotations",
)


def from_lagged_rows(loads):
    """Rows that two blocks share, by way of nodes that are neither tasks nor data: each is another's name."""
    table = loads.array()
    lagged = da.concatenate([table[-20:], table[:-20]]).rechunk((50, 4))
    return lagged[:, 1:], lagged[:, 0]


SOURCES = [
    from_one_array,
    from_one_frame,
    from_separate_parts,
    from_column_chunks,
    pytest.param(from_filtered_rows, marks=classic),
    pytest.param(from_frame_to_arrays, marks=classic),
    pytest.param(from_delayed_parts, marks=classic),
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("lazy", [False, True], ids=["two-computes", "one-graph"])
def test_each_pass_loads_each_block_once(loads, scheduler, source, lazy):
    with raise_if_dask_computes():
        blocks = gather(*source(loads))
        first = tree_sum(blocks, moments, MODEL, COEF, name="moments")
    if not lazy:
        first = first.persist()
        assert_same(first.compute(), expected_moments(loads.table()))
        assert loads.per_block() == [1] * 4
    with raise_if_dask_computes():
        coef = apply(first_coefficients, first, name="coefficients")
        second = tree_sum(blocks, moments, MODEL, coef, name="moments")
    assert_same(second.compute(), expected_moments(loads.table()))
    assert loads.per_block() == [2 if lazy else 1] * 4


def test_weights_and_offset_come_with_their_block(loads, threads):
    table = loads.array()
    parts = table[:, 1:], table[:, 0], table[:, 1] ** 2, table[:, 2]
    blocks = gather(*parts, groups=table[:, 3])
    plain = loads.table()
    found = tree_sum(blocks, moments, MODEL, COEF, name="moments").compute()
    assert_same(found, expected_moments(plain, weights=plain[:, 1] ** 2, offset=plain[:, 2]))
    assert loads.per_block() == [1] * 4


def test_rechunked_sources_are_loaded_once_a_pass(loads, threads):
    table = loads.array().rechunk(((100, 30, 70), (4,)))
    blocks = gather(table[:, 1:], table[:, 0])
    assert blocks.lengths == (100, 30, 70)
    first = tree_sum(blocks, moments, MODEL, COEF, name="moments")
    second = tree_sum(blocks, moments, MODEL, apply(first_coefficients, first, name="coefficients"), name="moments")
    assert_same(first.compute(), expected_moments(loads.table()))
    assert loads.per_block() == [1] * 4
    assert_same(second.compute(), expected_moments(loads.table()))
    assert loads.per_block() == [2] * 4


@pytest.mark.parametrize("source", [from_one_array, from_one_frame])
def test_persisted_blocks_are_not_loaded_again(loads, scheduler, source):
    x, y = dask.persist(*source(loads))
    if scheduler == "distributed":
        wait([x, y])
    assert loads.per_block() == [1] * 4
    blocks = gather(x, y)
    first = tree_sum(blocks, moments, MODEL, COEF, name="moments")
    second = tree_sum(blocks, moments, MODEL, apply(first_coefficients, first, name="coefficients"), name="moments")
    assert_same(second.compute(), expected_moments(loads.table()))
    assert loads.per_block() == [0] * 4


def test_persisted_source_with_work_after_it(loads, client):
    table = loads.array().persist()
    blocks = gather(table[:, 1:] * 2, table[:, 0])
    found = tree_sum(blocks, moments, MODEL, COEF / [1, 2, 2, 2], name="moments").compute()
    np.testing.assert_allclose(found.loglik, expected_moments(loads.table()).loglik, rtol=1e-12)
    assert loads.per_block() == [1] * 4


TABLE = np.c_[np.tile([0.0, 1.0], 20), np.random.default_rng(0).normal(size=(40, 3))]


def in_one_chunk(table):
    return da.from_array(table, chunks=(-1, -1), name=False).persist(scheduler="threads").rechunk({0: 10})


def in_chunks(table):
    return chunked(table, (10,) * 4)


def computed(table):
    return in_chunks(table).map_blocks(np.copy).persist(scheduler="threads")


@pytest.mark.parametrize("source", [in_chunks, computed])
def test_blocks_in_memory_lie_in_their_own_tasks(scheduler, source):
    # Dask's local schedulers go through all data that has a key once for each task.
    array = source(TABLE)
    total = tree_sum(gather(array[:, 1:], array[:, 0]), moments, MODEL, COEF, name="moments")
    names = [key_split(key) for key in total.__dask_graph__()]
    assert sorted(names) == ["moments"] * 4 + ["moments-aggregate", "moments-plan"]
    assert_same(total.compute(), expected_moments(TABLE))


def test_data_in_memory_that_several_blocks_need_is_in_the_graph_once(scheduler):
    array = in_one_chunk(TABLE)
    blocks = gather(array[:, 1:], array[:, 0])
    assert sum(not is_task(node) for node in blocks.shared.values()) == 1
    assert_same(tree_sum(blocks, moments, MODEL, COEF, name="moments").compute(), expected_moments(TABLE))


def test_blocks_on_workers_stay_there(client):
    array = in_chunks(TABLE).persist()
    wait(array)
    blocks = gather(array[:, 1:], array[:, 0])
    held = {key for key, node in blocks.shared.items() if isinstance(node, Future)}
    assert held == set(flatten(array.__dask_keys__()))
    assert_same(tree_sum(blocks, moments, MODEL, COEF, name="moments").compute(), expected_moments(TABLE))


def test_several_passes_in_one_compute(loads, scheduler):
    blocks = gather(*from_one_array(loads))
    sums = [tree_sum(blocks, moments, MODEL, COEF * scale, name="moments") for scale in (1, 2)]
    found = dask.compute(*sums)
    for scale, record in zip((1, 2), found, strict=True):
        assert_same(record, expected_moments(loads.table(), COEF * scale))


@pytest.mark.parametrize("sizes", [(1,) * 40, (5, 0, 0, 35), (0, 40), (40,)])
def test_the_tree_adds_up(scheduler, sizes):
    rng = np.random.default_rng(0)
    table = np.c_[rng.integers(0, 2, 40), rng.normal(size=(40, 3))]
    blocks = gather(chunked(table[:, 1:], sizes), chunked(table[:, 0], sizes))
    assert len(blocks) == len(sizes)
    assert blocks.n_rows == 40
    assert_same(tree_sum(blocks, moments, MODEL, COEF, name="moments").compute(), expected_moments(table))


def names_in(collection):
    return {key_split(key) for key in collection.__dask_graph__()}


def test_tasks_have_names_that_people_recognize(loads, threads):
    loads.rows = (3,) * (FAN_IN * 2)
    blocks = gather(*from_one_array(loads))
    first = tree_sum(blocks, moments, MODEL, COEF, name="pilot-sample")
    second = tree_sum(blocks, moments, MODEL, apply(first_coefficients, first, name="newton-step"), name="moments")
    tree = {"pilot-sample", "pilot-sample-partial", "pilot-sample-aggregate", "pilot-sample-plan"}
    assert names_in(first) == tree
    assert names_in(second) == tree | {n.replace("pilot-sample", "moments") for n in tree} | {"newton-step"}
    # One task per block and pass: its load is inside.
    keys = [key for key in second.__dask_graph__() if key_split(key) == "moments"]
    assert len(keys) == len(blocks)


def test_two_data_sets_do_not_share_tasks(threads):
    rng = np.random.default_rng(0)
    sums = []
    for seed in range(2):
        table = np.c_[rng.integers(0, 2, 20), rng.normal(size=(20, 3)) + seed]
        blocks = gather(chunked(table[:, 1:], (10, 10)), chunked(table[:, 0], (10, 10)))
        sums.append((tree_sum(blocks, moments, MODEL, COEF, name="moments"), expected_moments(table)))
    for found, expected in zip(dask.compute(*(s for s, _ in sums)), (e for _, e in sums), strict=True):
        assert_same(found, expected)


def test_the_same_pass_twice_is_one_task(loads):
    blocks = gather(*from_one_array(loads))
    again = gather(*from_one_array(loads))
    keys = [tree_sum(b, moments, MODEL, COEF, name="moments").key for b in (blocks, blocks, again)]
    assert len(set(keys)) == 1
    assert tree_sum(blocks, moments, MODEL, COEF + 1, name="moments").key != keys[0]
    assert tree_sum(blocks, moments, model_of("poisson", columns=3), COEF, name="moments").key != keys[0]
    assert tree_sum(blocks, count_rows, MODEL, name="moments").key != keys[0]


def test_findings_of_all_blocks_are_raised_at_once(scheduler):
    table = np.zeros((60, 4))
    table[[1, 2, 25, 59], [2, 2, 2, 3]] = np.nan
    blocks = gather(chunked(table[:, 1:], (20, 20, 20)), chunked(table[:, 0], (20, 20, 20)))
    for summed, arguments in ((moments, (COEF,)), (count_rows, ())):
        total = tree_sum(blocks, summed, MODEL, *arguments, name="moments")
        with pytest.raises(ValueError, match=r"column x1 \(3 rows\).*column x2 \(1 row\)\. In blocks 0, 1, 2\."):
            total.compute()


def test_an_error_in_a_kernel_is_not_swallowed(scheduler):
    blocks = gather(chunked(np.zeros((6, 3)), (2, 2, 2)), chunked(np.zeros(6), (2, 2, 2)))
    with pytest.raises(ZeroDivisionError, match="block 1"):
        tree_sum(blocks, fail_on, MODEL, 1, name="rows").compute()


@classic
def test_annotations_reach_the_layer(loads):
    with dask.annotate(retries=3, resources={"big": 1}):
        x, y = from_one_array(loads)
    total = tree_sum(gather(x, y), moments, MODEL, COEF, name="moments")
    (layer,) = total.dask.layers.values()
    assert layer.annotations["span"]["name"] == ("dask_onestep", "moments")
    assert {key: value for key, value in layer.annotations.items() if key != "span"} == {
        "retries": 3,
        "resources": {"big": 1},
    }
    plain = tree_sum(gather(*from_one_array(loads)), moments, MODEL, COEF, name="moments")
    assert [set(layer.annotations) for layer in plain.dask.layers.values()] == [{"span"}]


@classic
def test_retries_are_honoured_by_the_cluster(tmp_path, client):
    with dask.annotate(retries=2):
        x = da.map_blocks(fail_the_first_time, str(tmp_path), chunks=((5, 5), (3,)), dtype=float, meta=np.empty((0, 0)))
    blocks = gather(x, da.zeros(10, chunks=5))
    assert tree_sum(blocks, count_rows, MODEL, name="rows").compute().n == 10


def fail_the_first_time(directory, block_id=None):
    from pathlib import Path

    try:
        Path(directory, str(block_id[0])).touch(exist_ok=False)
    except FileExistsError:
        return np.zeros((5, 3))
    raise OSError("the disk was busy")


@classic
def test_legacy_tuple_graphs(threads):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(4, 3)) for _ in range(3)]
    graph = {("old-data", i): part for i, part in enumerate(parts)}
    graph |= {("old", i, 0): (np.multiply, (np.add, ("old-data", i), 1), 2) for i in range(3)}
    graph |= {("older", i, 0): ("old", i, 0) for i in range(3)}
    x = da.Array(graph, "older", chunks=((4, 4, 4), (3,)), dtype=float)
    blocks = gather(x, da.zeros(12, chunks=4))
    total = tree_sum(blocks, moments, MODEL, COEF, name="moments")
    table = np.c_[np.zeros(12), (np.concatenate(parts) + 1) * 2]
    assert_same(total.compute(), expected_moments(table))


def test_arrays_made_from_objects_with_shape(threads):
    rng = np.random.default_rng(0)
    table = np.c_[rng.integers(0, 2, 30), rng.normal(size=(30, 3))]

    class File:
        shape, dtype, ndim = (30, 3), np.dtype(float), 2

        def __getitem__(self, index):
            return table[:, 1:][index]

    x = da.from_array(File(), chunks=((10, 20), (3,)))
    blocks = gather(x, chunked(table[:, 0], (10, 20)))
    assert_same(tree_sum(blocks, moments, MODEL, COEF, name="moments").compute(), expected_moments(table))


def test_blocks_know_their_place(loads):
    blocks = gather(*from_one_array(loads))
    assert blocks.lengths == loads.rows
    assert blocks.starts == (0, 40, 110, 165)
    frame = gather(*from_one_frame(loads))
    assert frame.lengths is None
    assert frame.starts == (None,) * 4


def double(x, offset=None):
    return 2 * np.asarray(x)[:, 0] + (0 if offset is None else np.asarray(offset))


def pair(x, offset=None):
    return np.asarray(x)[:, :2]


def test_map_rows_on_arrays(loads, scheduler):
    with raise_if_dask_computes():
        x, y = from_column_chunks(loads)
        one = map_rows(double, {"x": x, "offset": y}, np.empty(0), name="predict-mean")
        two = map_rows(pair, {"x": x, "offset": None}, np.empty((0, 2)), name="predict-proba")
    table = loads.table()
    assert isinstance(one, da.Array)
    assert one.chunks == (loads.rows,)
    assert two.chunks == (loads.rows, (2,))
    np.testing.assert_array_equal(one.compute(), 2 * table[:, 1] + table[:, 0])
    np.testing.assert_array_equal(two.compute(), table[:, 1:3])
    assert any(key_split(key) == "predict-mean" for key in one.__dask_graph__())


def test_map_rows_on_frames(loads, scheduler):
    with raise_if_dask_computes():
        x, y = from_one_frame(loads)
        like = pd.Series([], dtype=float)
        one = map_rows(double, {"x": x, "offset": y}, like, name="predict-mean")
        two = map_rows(pair, {"x": x}, pd.DataFrame({"no": [], "yes": []}, dtype=float), name="predict-proba")
    table = loads.table()
    assert isinstance(one, dd.Series)
    found = one.compute()
    np.testing.assert_array_equal(found, 2 * table[:, 1] + table[:, 0])
    np.testing.assert_array_equal(found.index, x.compute().index)
    assert list(two.columns) == ["no", "yes"]
    np.testing.assert_array_equal(two.compute(), table[:, 1:3])


def test_apply_is_one_lazy_task():
    with raise_if_dask_computes():
        lazy = apply(np.add, 1, apply(np.multiply, 2, 3, name="product"), name="sum")
    assert isinstance(lazy, Delayed)
    assert {key_split(key) for key in lazy.__dask_graph__()} == {"sum", "product"}
    assert lazy.compute(scheduler="synchronous") == 7


def test_a_task_needs_values_of_collections_whose_graphs_have_other_names():
    for value in da.from_array(np.array([2, 3]), chunks=2).to_delayed(), dask.delayed(np.array)([2, 3]):
        value = value if isinstance(value, Delayed) else value[0]
        lazy = apply(np.add, value, apply(abs, -1, name="one"), name="sum")
        lazy.dask.validate()
        assert lazy.compute(scheduler="synchronous").tolist() == [3, 4]


@pytest.mark.parametrize("persisted", [False, True])
def test_chunks_in_memory_are_the_blocks(loads, persisted):
    table = loads.table()
    x, y = chunked(table[:, 1:], loads.rows), chunked(table[:, 0], loads.rows)
    cut = x.rechunk({1: 2})
    if persisted:
        x, y, cut = dask.persist(x, y, cut, scheduler="synchronous")
    blocks = gather(x, y)
    assert [len(tasks) for tasks in blocks.owned] == [1] * len(loads.rows)  # of no graph of Dask's
    assert (blocks.at_hand, blocks.reloaded, blocks.shared, blocks.lengths) == (True, False, {}, loads.rows)
    assert blocks.token == gather(x, y).token != gather(x, y, offset=y).token
    for each in (blocks, gather(cut, y)):
        assert_same(tree_sum(each, moments, MODEL, COEF, name="moments").compute(), expected_moments(table, COEF))


@pytest.mark.parametrize("name", ["synchronous", "threads", None])
def test_compute_is_that_of_dask(name):
    product = apply(np.multiply, 2, 3, name="product")
    total = apply(np.add, product, 1, name="sum")
    assert compute([total, None, product, "as it is"], name) == (7, None, 6, "as it is")
    settled, other = compute([total, 5], name, settled=True)
    assert isinstance(settled, Delayed)
    assert (settled.key, other, len(settled.dask)) == (total.key, 5, 1)
    assert compute([apply(np.negative, settled, name="negative"), settled], name) == (-7, 7)
    assert dask.compute(settled, scheduler=name) == (7,)
    assert compute([], name) == ()
    (persisted,) = dask.persist(total, scheduler=name)  # whose graph is the plain value
    assert compute([persisted], name) == (7,)
    assert compute([apply(np.negative, persisted, name="negative"), persisted, settled], name) == (-7, 7, 7)


def test_a_scheduler_of_the_users_own_is_used():
    keys = []

    def own(graph, wanted, **kwargs):
        keys.append(wanted)
        return dask.get(graph, wanted)

    with dask.config.set(scheduler=own):
        assert compute([apply(np.add, 1, 2, name="sum")], None) == (3,)
    assert len(keys) == 1


def test_sums_of_other_records(threads):
    table = np.zeros((10, 3))
    found = tree_sum(gather(chunked(table, (5, 5)), chunked(table[:, 0], (5, 5))), count_rows, MODEL, name="rows")
    assert isinstance(found.compute(), LogLikelihoods)
    assert not isinstance(found.compute(), Moments)


def test_counting_counts(loads, threads):
    # The fixture itself: two computes of one source are two loads, one shared compute is one.
    table = loads.array()
    dask.compute(table.sum(), table.mean())
    assert loads.per_block() == [1] * 4
    table.sum().compute()
    table.sum().compute()
    assert loads.per_block() == [2] * 4
    with pytest.raises(AssertionError, match="only a graph was to be built"), raise_if_dask_computes():
        table.sum().compute()
    assert Loads(loads.directory).per_block() == [0] * 4
