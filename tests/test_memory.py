"""Data larger than a worker's memory: no pass holds the blocks of another, in two computes or in one graph."""

from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster

from dask_onestep import GLMRegressor, OneStep

MEGABYTE = 2**20
BLOCKS, ROWS, COLUMNS = 36, 160_000, 17
LIMIT = 600 * MEGABYTE


def load_block(rows, columns, block_id=None):
    rng = np.random.default_rng(block_id[0])
    table = rng.random((rows, columns))
    table[:, 0] = table[:, 1] - table[:, 2] + rng.random(rows)
    return table


def blocks_larger_in_sum_than_the_worker():
    table = da.map_blocks(
        partial(load_block, ROWS, COLUMNS),
        chunks=((ROWS,) * BLOCKS, (COLUMNS,)),
        dtype=float,
        meta=np.empty((0, 0)),
    )
    assert table.nbytes > 1.2 * LIMIT
    return table[:, 1:], table[:, 0]


@pytest.fixture(scope="module")
def small_worker():
    """One worker that neither spills nor waits, and is killed at its limit."""
    limits = {f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")}
    limits |= {"distributed.worker.memory.terminate": 0.95, "distributed.scheduler.allowed-failures": 0}
    with (
        dask.config.set(limits),
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("lazy", [False, True], ids=["fit", "fit_delayed"])
def test_blocks_are_let_go(small_worker, lazy):
    x, y = blocks_larger_in_sum_than_the_worker()
    glm = GLMRegressor(method=OneStep(5000))
    glm = glm.fit_delayed(x, y).compute() if lazy else glm.fit(x, y)
    assert glm.n_samples_ == BLOCKS * ROWS
    np.testing.assert_allclose(glm.coef_[:2], [1.0, -1.0], atol=0.01)


@pytest.mark.timeout(100)
def test_a_worker_that_holds_the_blocks_is_killed(small_worker):
    # The test above can fail: one graph whose second pass waits for the first, and shares its loads.
    x, _ = blocks_larger_in_sum_than_the_worker()
    with pytest.raises(KilledWorker):
        (x - x.mean(axis=0)).sum().compute()


@pytest.mark.timeout(100)
def test_a_block_that_no_worker_can_hold_says_how_to_cut_it(small_worker):
    rows = 5_000_000
    table = da.map_blocks(
        partial(load_block, rows, COLUMNS), chunks=((rows,), (COLUMNS,)), dtype=float, meta=np.empty((0, 0))
    )
    assert table.nbytes > LIMIT
    with pytest.raises(KilledWorker) as raised:
        GLMRegressor().fit(table[:, 1:], table[:, 0])
    (note,) = raised.value.__notes__
    assert "640 MB of covariates" in note
    assert "da.from_zarr(..., chunks=...)" in note


def test_a_load_that_cannot_be_allocated_says_so_too():
    def fail(block):
        raise MemoryError("Unable to allocate 4 GiB")

    x = da.ones((8, 2), chunks=4).map_blocks(fail, meta=np.empty((0, 0)))
    with pytest.raises(MemoryError, match="allocate") as raised, dask.config.set(scheduler="synchronous"):
        GLMRegressor().fit(x, da.ones(8, chunks=4))
    assert "chunks=" in raised.value.__notes__[-1]
