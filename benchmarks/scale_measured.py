"""The cost model of a pass beside passes that are made: ``python -m benchmarks.scale_measured --help``.

A pass of a logistic model over blocks that are made in their own tasks, a copy of rows that lie in memory, by threads
of this machine.  The model's costs are measured before, each alone: a row of the kernel, a byte of a load, a task.
The model then plays the pass through (`benchmarks.scale.simulate`).  The cells are taken from the shortest on, and
those for which `--budget` does not suffice are foretold only.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from dask.delayed import Delayed

from benchmarks.record import Record
from benchmarks.scale import Costs, measure_row, simulate, task_seconds
from dask_onestep.families import Binomial
from dask_onestep.graph import FAN_IN, gather, tree_sum
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.model import Model
from dask_onestep.links import LINKS

_REPETITIONS, _ENOUGH = 3, 10.0  # a pass is repeated so often, unless all together took so many seconds


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_measured", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 1e6, 1e7, 1e8])
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 100, 500])
    parser.add_argument("--block-megabytes", type=float, default=16.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--budget", type=float, default=1200.0, help="seconds for all passes")
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    task = task_seconds("threads", 2_000)
    cells = []
    for d, n in product(options.columns, map(int, options.rows)):
        block_rows = min(n, max(1, int(options.block_megabytes * 1e6 / (8 * (d + 1)))))
        cells.append(foretell(n, d, block_rows, options.threads, _costs(d, block_rows, task)))
    ends = time.monotonic() + options.budget
    for cell in sorted(cells, key=lambda each: each["foretold"]):
        about = {name: cell[name] for name in ("rows", "columns", "block_rows", "threads")}
        if record.has(about):
            continue
        measured = dict.fromkeys(("seconds", "busy", "tasks_counted"), float("nan"))
        if cell["foretold"] < ends - time.monotonic():
            measured = measure(**about)
        ratio = measured["seconds"] / cell["foretold"]
        busy = measured["busy"] / cell["foretold_busy"]
        record.add(about, cell | measured | {"ratio": ratio, "ratio_busy": busy})
    shown = ["rows", "columns", "blocks", "tasks", "tasks_counted", "gb_read", "gflop", "foretold", "seconds"]
    shown += ["ratio", "ratio_busy"]
    with pd.option_context("display.width", 200):
        print(record.table.sort_values(["columns", "rows"])[shown].to_string(index=False, float_format="%.3g"))


def foretell(rows: int, columns: int, block_rows: int, threads: int, costs: Costs) -> dict[str, Any]:
    """Return what the model says of a pass: its blocks, tasks, bytes, arithmetic and seconds."""
    blocks, d = -(-rows // block_rows), columns + 1
    tasks, level = blocks + 1, blocks
    while (level := -(-level // FAN_IN)) > 1:
        tasks += level
    return {
        "rows": rows,
        "columns": columns,
        "block_rows": block_rows,
        "threads": threads,
        "blocks": blocks,
        "tasks": tasks,
        "gb_read": 8e-9 * rows * d,
        "gflop": 1e-9 * rows * (d**2 + 4 * d),
        "mb_moved": 8e-6 * blocks * d**2,
        "ns_a_row": costs.row_seconds * 1e9,
        "gb_a_second": costs.read_bytes / 1e9,
        "task_ms": costs.task_seconds * 1e3,
        "foretold_busy": blocks * costs.block(rows / blocks) + tasks * costs.task_seconds,
        "foretold": simulate(blocks, rows / blocks, threads, costs)["seconds"],
    }


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
    counted = _counted(total)
    return {"seconds": float(np.median(times)), "busy": float(np.median(busy)), "tasks_counted": counted}


def _pass(rows: int, columns: int, block_rows: int) -> Delayed:
    model = Model(Binomial(), LINKS["logit"], tuple(f"x{j}" for j in range(columns)))
    whole, rest = divmod(rows, block_rows)
    lengths = (block_rows,) * whole + ((rest,) if rest else ())
    table = da.map_blocks(_load, block_rows, chunks=(lengths, (columns + 1,)), dtype=float, meta=_EMPTY)
    coef = np.full(columns + 1, 0.1 / np.sqrt(columns))
    return tree_sum(gather(table[:, 1:], table[:, 0]), moments, model, coef, name="moments")


_EMPTY = np.empty((0, 0))


def _counted(total: Any) -> int:
    """Return the tasks of a graph, without what is no work: the data and aliases that tasks share."""
    return sum("moments" in str(key) and "plan" not in str(key) for key in total.__dask_graph__())


@lru_cache(maxsize=1)
def _rows(block_rows: int, columns: int) -> np.ndarray:
    table = np.random.default_rng(0).standard_normal((block_rows, columns + 1))
    table[:, 0] = table[:, 0] > 0
    return table


def _load(block_rows: int, block_info: Any = None) -> np.ndarray:
    length, width = block_info[None]["chunk-shape"]
    return _rows(block_rows, width - 1)[:length].copy()


def _costs(d: int, block_rows: int, task: float) -> Costs:
    rows, times = _rows(block_rows, d), []
    for _ in range(5):
        start = time.thread_time()
        rows.copy()
        times.append(time.thread_time() - start)
    return Costs(measure_row(d), 8.0 * (d + 1), rows.nbytes / min(times), task, 1e-5)


if __name__ == "__main__":
    main()
