"""What a pass costs besides the kernel, by number of blocks: ``python -m benchmarks.graph --help``.

Blocks of 20 rows are drawn in their own tasks (lazy) or lie in the graph (in memory), so that nothing but graph and
scheduler takes time that grows.  ``--fan-in`` sets how many records a node of the tree adds, and how many tiny
blocks go together; ``--singly`` takes each block by itself, as blocks that are not tiny are.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from benchmarks.record import Record
from dask_onestep.families import Binomial
from dask_onestep.graph import FAN_IN, gather, tree_sum
from dask_onestep.graph import blocks as blocks_module
from dask_onestep.graph import tree as tree_module
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.links import LINKS

_ROWS = 20


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph", description=__doc__)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument(
        "--schedulers", nargs="+", default=["synchronous"], choices=["synchronous", "threads", "distributed"]
    )
    parser.add_argument("--sources", nargs="+", default=["lazy"], choices=["lazy", "memory"])
    parser.add_argument("--columns", type=int, nargs="+", default=[4], help="coefficients d")
    parser.add_argument("--fan-in", type=int, nargs="+", default=[FAN_IN])
    parser.add_argument("--singly", action="store_true", help="never several blocks a task")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    names = ("repetition", "scheduler", "source", "d", "n_blocks", "fan_in")
    conditions = product(
        range(options.repetitions),
        options.schedulers,
        options.sources,
        options.columns,
        options.blocks,
        options.fan_in,
    )
    with ExitStack() as stack:
        if "distributed" in options.schedulers:
            cluster = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0"))
            stack.enter_context(Client(cluster))
        for values in conditions:
            about = dict(zip(names, values, strict=True)) | {"singly": options.singly}
            if not record.has(about):
                record.add(about, measure(**about))
    of_each = record.table.groupby(["scheduler", "source", "singly", "d", "n_blocks", "fan_in"])[list(_SHOWN)]
    print(of_each.median().rename(columns=_SHOWN).round(3).to_string())


_SHOWN = {
    "gather": "gather, ms per block",
    "tree": "tree_sum, ms per block",
    "run": "compute, ms per block",
    "wall": "all, ms per block, wall-clock time",
    "tasks": "tasks per block",
    "kb": "client memory, kB a block",
}


def measure(*, scheduler: str, source: str, d: int, n_blocks: int, fan_in: int, singly: bool, **_: Any) -> dict:
    """Return the costs of one pass, in milliseconds of processor time per block: client and scheduler."""
    chosen = "dask.distributed" if scheduler == "distributed" else scheduler
    with _tree_of(fan_in, singly), dask.config.set(scheduler=chosen):
        return _measure(n_blocks, source, d)


@contextmanager
def _tree_of(fan_in: int, singly: bool) -> Iterator[None]:
    with (
        mock.patch.object(tree_module, "FAN_IN", fan_in),
        mock.patch.object(blocks_module, "FAN_IN", fan_in),
        mock.patch.object(blocks_module, "_GROUP_BYTES", 0 if singly else blocks_module._GROUP_BYTES),
    ):
        yield


def _measure(n_blocks: int, source: str, d: int) -> dict[str, float]:
    table, model = _table(n_blocks, source, d), logistic_model(d)
    began, times = time.perf_counter(), [time.process_time()]
    blocks = gather(table[:, 1:], table[:, 0])
    times.append(time.process_time())
    total = tree_sum(blocks, moments, model, np.zeros(d), name="moments")
    times.append(time.process_time())
    record = total.compute()
    times.append(time.process_time())
    wall = (time.perf_counter() - began) / n_blocks * 1e3
    if record.n != n_blocks * _ROWS:
        raise RuntimeError(f"{record.n} rows were read, not {n_blocks * _ROWS}: {sys.argv}")
    gathered, treed, ran = np.diff(times) / n_blocks * 1e3
    tasks = len(total.__dask_graph__()) / n_blocks
    memory = _client_memory(min(n_blocks, 2_000), source, d)
    return {"gather": gathered, "tree": treed, "run": ran, "wall": wall, "tasks": tasks, "kb": memory}


def logistic_model(d: int) -> Model:
    return Model(OnePredictor(Binomial(), LINKS["logit"]), tuple(f"x{number}" for number in range(d - 1)))


def _table(n_blocks: int, source: str, d: int) -> da.Array:
    table = da.map_blocks(_draw, d, chunks=((_ROWS,) * n_blocks, (d,)), dtype=float, meta=np.empty((0, 0)))
    return table if source == "lazy" else table.persist(scheduler="synchronous")


def _client_memory(n_blocks: int, source: str, d: int) -> float:
    """Return the kB that the client holds for each block of a pass; traced apart, since tracing is slow."""
    tracemalloc.start()
    table = _table(n_blocks, source, d)
    total = tree_sum(gather(table[:, 1:], table[:, 0]), moments, logistic_model(d), np.zeros(d), name="moments")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total is not None
    return held / n_blocks / 1024


def _draw(d: int, block_id: Any = None) -> np.ndarray:
    rng = np.random.default_rng(block_id[0])
    table = rng.standard_normal((_ROWS, d))
    table[:, 0] = table[:, 0] > 0
    return table


if __name__ == "__main__":
    main()
