"""What a pass and a fit ask of the client and the scheduler."""

from __future__ import annotations

import time
import tracemalloc

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed

from dask_onestep import GLMClassifier
from dask_onestep.functions import moments

_ROWS, _COLUMNS = 20, 4


def _pass(blocks: int) -> Delayed:
    x = da.ones((blocks * _ROWS, _COLUMNS), chunks=(_ROWS, -1))
    return moments(x, x[:, 0], np.zeros(_COLUMNS + 1), family="binomial")


class Pass:
    """Of blocks that are tiny, and taken several a task, and of few."""

    params = (100, 3_000)
    param_names = ("blocks",)
    repeat = (3, 10, 2.0)
    timer = time.process_time

    def track_tasks_a_block(self, blocks: int) -> float:
        return len(_pass(blocks).__dask_graph__()) / blocks

    def track_client_kilobytes_a_block(self, blocks: int) -> float:
        tracemalloc.start()
        total = _pass(blocks)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held / 1024 / blocks if total is not None else 0.0

    def time_build(self, blocks: int) -> None:
        _pass(blocks)

    def time_run(self, blocks: int) -> None:
        _pass(blocks).compute(scheduler="synchronous")


class Fit:
    """One-step of 16 blocks in memory."""

    repeat = (3, 10, 2.0)
    timer = time.process_time

    def setup(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((160_000, 20))
        y = rng.random(len(x)) < 1 / (1 + np.exp(-x[:, 0]))
        self.x, self.y = da.from_array(x, chunks=(10_000, -1), name=False), da.from_array(y, chunks=10_000, name=False)

    def time_one_step(self) -> None:
        with dask.config.set(scheduler="threads", num_workers=2):
            GLMClassifier().fit(self.x, self.y)

    def track_passes(self) -> int:
        return GLMClassifier().fit(self.x, self.y).n_passes_
