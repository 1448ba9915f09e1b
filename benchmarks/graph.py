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
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks.origin import commit, machine
from dask_onestep.families import Binomial
from dask_onestep.graph import FAN_IN, gather, tree_sum
from dask_onestep.graph import blocks as blocks_module
from dask_onestep.graph import tree as tree_module
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.rows import Model
from dask_onestep.links import LINKS

_ROWS, _D = 20, 4
_MODEL = Model(Binomial(), LINKS["logit"], tuple(f"x{number}" for number in range(_D - 1)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph", description=__doc__)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument(
        "--schedulers", nargs="+", default=["synchronous"], choices=["synchronous", "threads", "distributed"]
    )
    parser.add_argument("--sources", nargs="+", default=["lazy"], choices=["lazy", "memory"])
    parser.add_argument("--fan-in", type=int, nargs="+", default=[FAN_IN])
    parser.add_argument("--singly", action="store_true", help="never several blocks a task")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    fits = [
        measure(n, scheduler, source, fan_in, options.singly) | {"repetition": repetition}
        for repetition in range(options.repetitions)
        for scheduler in options.schedulers
        for source in options.sources
        for n in options.blocks
        for fan_in in options.fan_in
    ]
    table = pd.DataFrame(fits).assign(commit=commit(), **machine())
    of_each = table.groupby(["scheduler", "source", "singly", "n_blocks", "fan_in"])[list(_SHOWN)]
    print(of_each.median().rename(columns=_SHOWN).round(3).to_string())
    if options.output:
        table.to_csv(options.output, index=False, float_format="%.6g")


_SHOWN = {
    "gather": "gather, ms a block",
    "tree": "tree_sum, ms a block",
    "run": "compute, ms a block",
    "tasks": "tasks a block",
    "kb": "client memory, kB a block",
}


def measure(n_blocks: int, scheduler: str, source: str, fan_in: int, singly: bool) -> dict[str, Any]:
    """Return the costs of one pass, in milliseconds of this process's processor time a block: client and scheduler."""
    about = {"scheduler": scheduler, "source": source, "singly": singly, "n_blocks": n_blocks, "fan_in": fan_in}
    with _tree_of(fan_in, singly):
        if scheduler == "distributed":
            with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
                return about | _measure(n_blocks, source)
        with dask.config.set(scheduler=scheduler):
            return about | _measure(n_blocks, source)


@contextmanager
def _tree_of(fan_in: int, singly: bool) -> Iterator[None]:
    with (
        mock.patch.object(tree_module, "FAN_IN", fan_in),
        mock.patch.object(blocks_module, "FAN_IN", fan_in),
        mock.patch.object(blocks_module, "_GROUP_BYTES", 0 if singly else blocks_module._GROUP_BYTES),
    ):
        yield


def _measure(n_blocks: int, source: str) -> dict[str, float]:
    table = _table(n_blocks, source)
    times = [time.process_time()]
    blocks = gather(table[:, 1:], table[:, 0])
    times.append(time.process_time())
    total = tree_sum(blocks, moments, _MODEL, np.zeros(_D), name="moments")
    times.append(time.process_time())
    record = total.compute()
    times.append(time.process_time())
    if record.n != n_blocks * _ROWS:
        raise RuntimeError(f"{record.n} rows were read, not {n_blocks * _ROWS}: {sys.argv}")
    gathered, treed, ran = np.diff(times) / n_blocks * 1e3
    tasks = len(total.__dask_graph__()) / n_blocks
    memory = _client_memory(min(n_blocks, 2_000), source)
    return {"gather": gathered, "tree": treed, "run": ran, "tasks": tasks, "kb": memory}


def _table(n_blocks: int, source: str) -> da.Array:
    table = da.map_blocks(_draw, chunks=((_ROWS,) * n_blocks, (_D,)), dtype=float, meta=np.empty((0, 0)))
    return table if source == "lazy" else table.persist(scheduler="synchronous")


def _client_memory(n_blocks: int, source: str) -> float:
    """Return the kB that the client holds for each block of a pass; traced apart, since tracing is slow."""
    tracemalloc.start()
    table = _table(n_blocks, source)
    total = tree_sum(gather(table[:, 1:], table[:, 0]), moments, _MODEL, np.zeros(_D), name="moments")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total is not None
    return held / n_blocks / 1024


def _draw(block_id: Any = None) -> np.ndarray:
    rng = np.random.default_rng(block_id[0])
    table = rng.standard_normal((_ROWS, _D))
    table[:, 0] = table[:, 0] > 0
    return table


if __name__ == "__main__":
    main()
