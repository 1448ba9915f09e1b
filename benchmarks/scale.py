"""Passes over many rows on many workers, simulated from measured costs: ``python -m benchmarks.scale --help``.

A pass is a task for each block, then a tree of fan-in 16.  The scheduler sends a task when it is ready and a
worker is free, and handles one message at a time; a worker reads its block, then sums it.  What a kernel costs
a row and the scheduler a task are measured here and now, the latter on a cluster of two workers; how fast a worker
reads is an argument.
"""

from __future__ import annotations

import argparse
import heapq
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks import graph
from benchmarks.origin import commit, machine
from dask_onestep.families import Binomial
from dask_onestep.graph import FAN_IN
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.threads import one_blas_thread
from dask_onestep.links import LINKS


@dataclass(frozen=True)
class Costs:
    """What things take.

    Attributes
    ----------
    row_seconds : float
        A kernel's time for a row.
    row_bytes : float
        A row's bytes.
    read_bytes : float
        Bytes that one thread of a worker reads in a second.
    task_seconds : float
        The scheduler's time for a task.
    add_seconds : float
        A worker's time for a node of the tree.
    """

    row_seconds: float
    row_bytes: float
    read_bytes: float
    task_seconds: float
    add_seconds: float

    def block(self, rows: float) -> float:
        """Return a worker's time for a block."""
        return rows * (self.row_seconds + self.row_bytes / self.read_bytes)


def simulate(n_blocks: int, block_rows: float, workers: int, costs: Costs) -> dict[str, float]:
    """Return the seconds of a pass, and the shares of them that scheduler and workers are busy.

    Parameters
    ----------
    n_blocks, block_rows : int, float
        Blocks, and rows in each.
    workers : int
        Threads of all workers.
    costs : Costs
        What things take.

    Returns
    -------
    dict
        ``seconds``, ``scheduler_busy`` and ``workers_busy``.
    """
    sizes = [n_blocks]
    while sizes[-1] > FAN_IN:
        sizes.append(-(-sizes[-1] // FAN_IN))
    sizes.append(1)
    waiting = {
        (level, i): min(FAN_IN, sizes[level - 1] - i * FAN_IN)
        for level in range(1, len(sizes))
        for i in range(sizes[level])
    }
    work = [costs.block(block_rows)] + [costs.add_seconds] * (len(sizes) - 1)
    # Deeper tasks go first, as in Dask's order, so that partial sums do not pile up.
    ready = [(0, i) for i in range(n_blocks)]
    heapq.heapify(ready)
    running: list[tuple[float, int, int]] = []
    clock, free, busy, handled = 0.0, workers, 0.0, 0
    while ready or running:
        if ready and free:
            depth, number = heapq.heappop(ready)
            clock += costs.task_seconds
            handled += 1
            free -= 1
            busy += work[-depth]
            heapq.heappush(running, (clock + work[-depth], -depth, number))
            while running and running[0][0] <= clock:
                _finish(running, waiting, ready)
                free += 1
        else:
            clock = max(clock, running[0][0])
            _finish(running, waiting, ready)
            free += 1
    return {
        "seconds": clock,
        "scheduler_busy": handled * costs.task_seconds / clock,
        "workers_busy": busy / (workers * clock),
    }


def _finish(running: list, waiting: dict, ready: list) -> None:
    _, level, number = heapq.heappop(running)
    above = level + 1, number // FAN_IN
    if above in waiting:
        waiting[above] -= 1
        if not waiting[above]:
            heapq.heappush(ready, (-above[0], above[1]))


def measure_row(d: int, elements: int = 10_000_000, repetitions: int = 5) -> float:
    """Return a thread's seconds for a row of a logistic pass in memory, the least of several."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((elements // d, d))
    rows = Rows(X, rng.integers(0, 2, len(X)).astype(float))
    model = Model(Binomial(), LINKS["logit"], tuple(f"x{j}" for j in range(d)))
    times = []
    with one_blas_thread():
        for _ in range(repetitions):
            start = time.thread_time()
            moments(rows, model, np.full(d + 1, 0.1 / np.sqrt(d)))
            times.append(time.thread_time() - start)
    return min(times) / len(X)


def measure_task(n_blocks: int = 3_000) -> float:
    """Return the scheduler's and the client's seconds of processor time for a task, on a cluster of two workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        return task_seconds("distributed", n_blocks)


def task_seconds(scheduler: str, n_blocks: int) -> float:
    """Return this process's seconds for a task: of a pass over blocks of next to no rows."""
    about = {"scheduler": scheduler, "source": "lazy", "d": 4, "n_blocks": n_blocks, "fan_in": FAN_IN, "singly": True}
    costs = [graph.measure(**about) for _ in range(2)][-1]
    return 1e-3 * sum(costs[part] for part in ("gather", "tree", "run")) / (1 + 1 / FAN_IN)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e8, 1e9, 1e10, 1e11])
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 100, 500])
    parser.add_argument("--block-megabytes", type=float, nargs="+", default=[1, 16, 128, 1024])
    parser.add_argument("--workers", type=int, default=100, help="workers of one thread")
    parser.add_argument("--task-ms", type=float, help="the scheduler's time for a task; default: measured")
    parser.add_argument("--read-megabytes", type=float, default=200.0, help="what a worker reads in a second")
    parser.add_argument("--most-blocks", type=int, default=2_000_000, help="larger graphs are not simulated")
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    lines = []
    task = measure_task() if options.task_ms is None else options.task_ms / 1e3
    for d in options.columns:
        costs = Costs(measure_row(d), 8.0 * (d + 1), options.read_megabytes * 1e6, task, 1e-3)
        for n in options.rows:
            for megabytes in options.block_megabytes:
                block_rows = megabytes * 1e6 / costs.row_bytes
                n_blocks = max(1, round(n / block_rows))
                if n_blocks > options.most_blocks:
                    continue
                about = {"rows": n, "columns": d, "block_mb": megabytes, "n_blocks": n_blocks}
                lines.append(
                    about
                    | {"ns_a_row": costs.row_seconds * 1e9, "moved_gb": n_blocks * 8 * (d + 1) ** 2 / 1e9}
                    | simulate(n_blocks, block_rows, options.workers, costs)
                )
    table = pd.DataFrame(lines)
    print(table.round(3).to_string(index=False))
    if options.output:
        about = {"workers": options.workers, "task_ms": task * 1e3, "read_mb": options.read_megabytes}
        table.assign(**about, commit=commit(), **machine()).to_csv(options.output, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
