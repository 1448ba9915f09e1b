"""How long passes over many rows take, and what limits them: ``python -m benchmarks.scale --help``.

A pass is one task per block and a tree of fan-in 16 that adds the blocks' sums.  The scheduler sends one task at a
time; a worker, which is one thread, reads a block and computes with it.  The costs of a row and of a task are measured
on this machine.  As a check, passes are made by threads over blocks that each task copies from memory, the shortest
first, as long as `--budget` suffices.  Then passes on a cluster are predicted from the same costs.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import pandas as pd
from dask.delayed import Delayed
from distributed import Client, LocalCluster

from benchmarks import graph
from benchmarks.record import Record
from benchmarks.timing import least_seconds
from dask_onestep.graph import FAN_IN, gather, tree_sum
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.solve.threads import one_blas_thread

_REPETITIONS, _ENOUGH = 3, 10.0  # a pass is repeated so often, unless all together took so many seconds


class Costs(NamedTuple):
    """Seconds of a worker to compute with one row and to read it, and of the scheduler for one task."""

    compute: float
    read: float
    task: float


def predict(rows: float, block_rows: float, workers: int, costs: Costs) -> dict[str, Any]:
    """Return the blocks, tasks and seconds of a pass, by clock and processor, and the resource that limits it."""
    blocks, levels = math.ceil(rows / block_rows), [math.ceil(rows / block_rows)]
    while levels[-1] > 1 or len(levels) == 1:
        levels.append(math.ceil(levels[-1] / FAN_IN))
    tasks, block = sum(levels), rows / blocks * (costs.compute + costs.read)
    # The scheduler sends tasks one after the other, so that the last worker starts last.
    scheduler = tasks * costs.task
    busiest = math.ceil(blocks / workers) * (block + costs.task) + (min(blocks, workers) - 1) * costs.task
    limit = "reading" if costs.read > costs.compute else "arithmetic"
    if scheduler > busiest:
        limit = "scheduler"
    elif blocks < workers:
        limit = "few blocks"
    return {
        "blocks": blocks,
        "tasks": tasks,
        "predicted": max(scheduler, busiest) + (len(levels) - 1) * costs.task,
        "predicted_busy": blocks * block + scheduler,
        "limit": limit,
    }


def predictions(
    measured: pd.DataFrame,
    rows: Iterable[float] = (1e9, 1e10, 1e11),
    workers: Iterable[int] = (10, 100, 1000),
    block_megabytes: Iterable[float] = (128, 1024),
    read_megabytes: float = 200.0,
) -> pd.DataFrame:
    """Return predictions for clusters, from the costs that were measured for each number of columns."""
    lines = []
    costs = measured.groupby("columns")[["ns_per_row", "cluster_task_ms"]].median()
    for (d, cost), n, size, w in product(costs.iterrows(), rows, block_megabytes, workers):
        width = 8e-6 * (d + 1)
        of_row = Costs(1e-9 * cost["ns_per_row"], width / read_megabytes, 1e-3 * cost["cluster_task_ms"])
        found = predict(n, size / width, w, of_row)
        about = {"columns": d, "rows": f"{n:.0e}", "MB per block": size, "workers": w}
        lines.append(about | {"pass": f"{_duration(found['predicted'])}, {found['limit']}"})
    return pd.DataFrame(lines).pivot_table(
        index=["columns", "rows"], columns=["MB per block", "workers"], values="pass", aggfunc="first", sort=False
    )


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 1e6, 1e7, 1e8], help="rows of the passes made")
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 100, 500])
    parser.add_argument("--block-megabytes", type=float, default=16.0, help="size of the blocks of the passes made")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the passes made")
    parser.add_argument("--budget", type=float, default=1200.0, help="seconds for all passes")
    parser.add_argument("--cluster-task-ms", type=float, help="a cluster's time per task; default: measured")
    parser.add_argument("--read-megabytes", type=float, default=200.0, help="what a cluster's worker reads per second")
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--resume", action="store_true", help="keep the passes of the CSV, and add the others")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    cluster_task_ms = options.cluster_task_ms or 1e3 * cluster_task_seconds()
    task, cells = task_seconds("threads", 2_000), []
    for d, n in product(options.columns, map(int, options.rows)):
        block_rows = min(n, max(1, int(options.block_megabytes * 1e6 / (8 * (d + 1)))))
        costs = Costs(row_seconds(d), copy_seconds(d, block_rows), task)
        about = {"rows": n, "columns": d, "block_rows": block_rows, "threads": options.threads}
        of_row = {"ns_per_row": 1e9 * costs.compute, "gb_per_second": 8e-9 * (d + 1) / costs.read}
        of_task = {"task_ms": 1e3 * task, "cluster_task_ms": cluster_task_ms}
        cells.append((about, of_row | of_task | predict(n, block_rows, options.threads, costs)))
    ends = time.monotonic() + options.budget
    for about, predicted in sorted(cells, key=lambda cell: cell[1]["predicted"]):
        if record.has(about):
            continue
        measured = dict.fromkeys(("seconds", "busy", "tasks_counted"), float("nan"))
        if predicted["predicted"] < ends - time.monotonic():
            measured = measure(**about)
        record.add(about, predicted | measured)
    with pd.option_context("display.width", 200):
        print(record.table.sort_values(["columns", "rows"]).loc[:, :"tasks_counted"].to_string(index=False))
        print(predictions(record.table, read_megabytes=options.read_megabytes).to_string())


def row_seconds(d: int) -> float:
    """Return a thread's seconds for one row of a logistic pass in memory, the least of several."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10_000_000 // d, d))
    rows = Rows(X, rng.integers(0, 2, len(X)).astype(float))
    with one_blas_thread():
        return least_seconds(lambda: moments(rows, graph.logistic_model(d + 1), _coef(d))) / len(X)


def copy_seconds(d: int, block_rows: int) -> float:
    """Return a thread's seconds to copy one row of a block, the least of several."""
    return least_seconds(_rows(block_rows, d).copy) / block_rows


def cluster_task_seconds(n_blocks: int = 3_000) -> float:
    """Return the scheduler's and the client's seconds of processor time for one task, on a cluster of two workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        return task_seconds("distributed", n_blocks)


def task_seconds(scheduler: str, n_blocks: int) -> float:
    """Return this process's seconds for one task of a pass over blocks of next to no rows."""
    about = {"scheduler": scheduler, "source": "lazy", "d": 4, "n_blocks": n_blocks, "fan_in": FAN_IN, "singly": True}
    costs = [graph.measure(**about) for _ in range(2)][-1]
    return 1e-3 * sum(costs[part] for part in ("gather", "tree", "run")) / (1 + 1 / FAN_IN)


def measure(*, rows: int, columns: int, block_rows: int, threads: int) -> dict[str, float]:
    """Return the median seconds of a pass, by clock and processor, from the rows' graph to the sums, and its tasks."""
    times: list[float] = []
    busy: list[float] = []
    with dask.config.set(scheduler="threads", num_workers=threads):
        _pass(min(rows, 2 * block_rows), columns, block_rows).compute()  # loads and compiles what a process needs once
        while len(times) < _REPETITIONS and sum(times) < _ENOUGH:
            start, began = time.perf_counter(), time.process_time()
            total = _pass(rows, columns, block_rows)
            found = total.compute()
            times.append(time.perf_counter() - start)
            busy.append(time.process_time() - began)
            if found.n != rows:
                raise RuntimeError(f"{found.n} rows were read, not {rows}.")
    # Data and aliases that tasks share are no work.
    counted = sum("moments" in str(key) and "plan" not in str(key) for key in total.__dask_graph__())
    return {"seconds": float(np.median(times)), "busy": float(np.median(busy)), "tasks_counted": counted}


def _pass(rows: int, columns: int, block_rows: int) -> Delayed:
    whole, rest = divmod(rows, block_rows)
    lengths = (block_rows,) * whole + ((rest,) if rest else ())
    table = da.map_blocks(_load, block_rows, chunks=(lengths, (columns + 1,)), dtype=float, meta=np.empty((0, 0)))
    return tree_sum(
        gather(table[:, 1:], table[:, 0]), moments, graph.logistic_model(columns + 1), _coef(columns), name="moments"
    )


def _coef(d: int) -> np.ndarray:
    return np.full(d + 1, 0.1 / np.sqrt(d))


@lru_cache(maxsize=1)
def _rows(block_rows: int, columns: int) -> np.ndarray:
    table = np.random.default_rng(0).standard_normal((block_rows, columns + 1))
    table[:, 0] = table[:, 0] > 0
    return table


def _load(block_rows: int, block_info: Any = None) -> np.ndarray:
    length, width = block_info[None]["chunk-shape"]
    return _rows(block_rows, width - 1)[:length].copy()


if __name__ == "__main__":
    main()
