"""What a pass costs besides the kernel, by number of blocks: ``python -m benchmarks.graph --help``.

Blocks of 20 rows are drawn in their own tasks, so that nothing but graph and scheduler takes time that grows.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks.origin import commit
from dask_onestep.families import Binomial
from dask_onestep.graph import gather, tree_sum
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
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    fits = [
        measure(n, scheduler) | {"repetition": repetition}
        for repetition in range(options.repetitions)
        for scheduler in options.schedulers
        for n in options.blocks
    ]
    table = pd.DataFrame(fits).assign(commit=commit())
    print(table.groupby(["scheduler", "n_blocks"])[list(_SHOWN)].median().rename(columns=_SHOWN).round(3).to_string())
    if options.output:
        table.to_csv(options.output, index=False, float_format="%.6g")


_SHOWN = {
    "gather": "gather, ms a block",
    "tree": "tree_sum, ms a block",
    "run": "compute, ms a block",
    "tasks": "tasks a block",
    "kb": "client memory, kB a block",
}


def measure(n_blocks: int, scheduler: str) -> dict[str, Any]:
    """Return the costs of one pass, in milliseconds of this process's wall clock a block."""
    if scheduler == "distributed":
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            return _measure(n_blocks, scheduler, None)
    return _measure(n_blocks, scheduler, scheduler)


def _measure(n_blocks: int, label: str, scheduler: str | None) -> dict[str, Any]:
    table = da.map_blocks(_draw, chunks=((_ROWS,) * n_blocks, (_D,)), dtype=float, meta=np.empty((0, 0)))
    times = [time.perf_counter()]
    blocks = gather(table[:, 1:], table[:, 0])
    times.append(time.perf_counter())
    total = tree_sum(blocks, moments, _MODEL, np.zeros(_D), name="moments")
    times.append(time.perf_counter())
    with dask.config.set({} if scheduler is None else {"scheduler": scheduler}):
        record = total.compute()
    times.append(time.perf_counter())
    if record.n != n_blocks * _ROWS:
        raise RuntimeError(f"{record.n} rows were read, not {n_blocks * _ROWS}: {sys.argv}")
    gathered, treed, ran = np.diff(times) / n_blocks * 1e3
    tasks = len(total.__dask_graph__()) / n_blocks
    return {"scheduler": label, "n_blocks": n_blocks, "gather": gathered, "tree": treed, "run": ran, "tasks": tasks} | {
        "kb": _client_memory(min(n_blocks, 2_000))
    }


def _client_memory(n_blocks: int) -> float:
    """Return the kB that the client holds for each block of a pass; traced apart, since tracing is slow."""
    tracemalloc.start()
    table = da.map_blocks(_draw, chunks=((_ROWS,) * n_blocks, (_D,)), dtype=float, meta=np.empty((0, 0)))
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
