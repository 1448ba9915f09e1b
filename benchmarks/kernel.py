"""One pass of a kernel compared with its lower bound, X'X by BLAS: ``python -m benchmarks.kernel --help``.

One thread, by the processor's clock of that thread, all in turn in one run, least of the repetitions: what
else a machine does then shows least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.origin import commit, machine
from dask_onestep.families import resolve_family
from dask_onestep.kernels.compiled.slices import CompiledSlice
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import log_likelihoods, moments, scores
from dask_onestep.kernels.matrices.algebra import DenseSlice, SplitSlice
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows import slices as slicing
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import resolve_link

_ELEMENTS = 20_000_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--families", nargs="+", default=["binomial", "poisson", "gaussian"])
    parser.add_argument("--layouts", nargs="+", default=["float64 C", "float32 C", "float64 F"])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    lines = [
        line
        for columns in options.columns
        for layout in options.layouts
        for family in options.families
        for line in measure(columns, layout, family, options.repetitions)
    ]
    table = pd.DataFrame(lines).assign(commit=commit(), **machine())
    print(table[list(lines[0])].round(2).to_string(index=False))
    if options.output:
        table.to_csv(options.output, index=False, float_format="%.4g")


def measure(columns: int, layout: str, family: str, repetitions: int) -> list[dict]:
    """Return the milliseconds of each way, and how many times X'X and the reading they are."""
    dtype, order = layout.split()
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((_ELEMENTS // columns, columns)), dtype, order=order)  # type: ignore[call-overload]
    law = resolve_family(family)
    model = Model(OnePredictor(law, resolve_link(law.default_link)), tuple(f"x{j}" for j in range(columns)))
    rows = Rows(X, rng.integers(0, 2, len(X)).astype(float))
    coef = np.full(columns + 1, 0.3 / np.sqrt(columns))
    length = 768 * 1024 // (8 * columns)

    def of_slices(task: Callable[[np.ndarray], object]) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(X), length):
                task(X[start : start + length])

        return run

    ways = {
        "reading": of_slices(np.ndarray.sum),
        "X'X": of_slices(lambda x: np.dot(x.T, x)),
        "moments, NumPy": _by(DenseSlice, lambda: moments(rows, model, coef)),
        "moments, compiled": _by(CompiledSlice, lambda: moments(rows, model, coef)),
        "score": _by(CompiledSlice, lambda: scores(rows, model, coef)),
        "log-likelihood": _by(CompiledSlice, lambda: log_likelihoods(rows, model, coef[None])),
    }
    with one_blas_thread():
        least = dict.fromkeys(ways, np.inf)
        for repetition in range(repetitions + 1):
            for name, way in ways.items():
                start = time.thread_time()
                way()
                if repetition:  # the first warms up
                    least[name] = min(least[name], (time.thread_time() - start) * 1e3)
    about = {"columns": columns, "layout": layout, "family": family}
    return [
        about | {"way": name, "ms": ms, "times X'X": ms / least["X'X"], "times reading": ms / least["reading"]}
        for name, ms in least.items()
    ]


def _by(kind: type[DenseSlice], kernel: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        with mock.patch.object(slicing, "_kinds", return_value=(kind, SplitSlice)):
            kernel()

    return run


if __name__ == "__main__":
    main()
