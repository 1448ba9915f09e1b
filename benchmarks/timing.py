"""Seconds of what is compared, in turns; CPU seconds of processes; and threads of BLAS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pandas as pd
import psutil

__all__ = ["ONE_THREAD", "cpu_seconds", "in_turns", "least_seconds", "processes"]

# The environment of a process whose libraries use one thread each.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> pd.DataFrame:
    """Return seconds, one row per round and one column per run; other load of the machine affects all of them."""

    def seconds(run: Callable[[], object]) -> float:
        start = clock()
        run()
        return clock() - start

    return pd.DataFrame([{name: seconds(run) for name, run in runs.items()} for _ in range(rounds)])


def least_seconds(run: Callable[[], object], rounds: int = 5) -> float:
    """Return the fewest CPU seconds that this thread needs for a run."""
    return float(in_turns({"run": run}, rounds, time.thread_time)["run"].min())


def processes() -> list[psutil.Process]:
    """Return this process and its children: workers, or a server."""
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes."""
    times = [each.cpu_times() for each in processes()]
    return sum(each.user + each.system for each in times)
