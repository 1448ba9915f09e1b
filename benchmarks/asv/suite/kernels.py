"""A pass of each kernel over rows in memory, by one thread."""

from __future__ import annotations

import time

import numpy as np

from dask_onestep.families import resolve_family
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import log_likelihoods, moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import pilot_rows
from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import resolve_link

_ELEMENTS = 2_000_000


class Kernels:
    params = (["binomial", "poisson"], [20, 100], ["float64", "float32"])
    param_names = ("family", "columns", "dtype")
    repeat = (3, 10, 2.0)
    timer = time.thread_time  # other load of the machine counts less than in wall-clock time

    def setup(self, family: str, columns: int, dtype: str) -> None:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((_ELEMENTS // columns, columns)).astype(dtype)
        law = resolve_family(family)
        self.rows = Rows(x, rng.integers(0, 2, len(x)).astype(float), start=0)
        self.model = Model(OnePredictor(law, resolve_link(law.default_link)), tuple(f"x{j}" for j in range(columns)))
        self.coef = np.full(columns + 1, 0.3 / np.sqrt(columns))
        self.size = PilotSize("auto", columns + 1, len(x))
        self.limit = one_blas_thread()
        self.limit.__enter__()
        # What is loaded and compiled once is not timed.
        moments(self.rows, self.model, self.coef)
        scores(self.rows, self.model, self.coef)

    def teardown(self, *_: object) -> None:
        self.limit.__exit__(None, None, None)

    def time_moments(self, *_: object) -> None:
        moments(self.rows, self.model, self.coef)

    def time_scores(self, *_: object) -> None:
        scores(self.rows, self.model, self.coef)

    def time_log_likelihoods(self, *_: object) -> None:
        log_likelihoods(self.rows, self.model, self.coef[None])

    def time_pilot_rows(self, *_: object) -> None:
        pilot_rows(self.rows, self.model, self.size, 0)
