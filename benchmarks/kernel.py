"""One pass of a kernel compared with its lower bound, X'X by BLAS: ``python -m benchmarks.kernel --help``.

One thread, by the processor's clock of that thread, all in turn in one run, least of the repetitions: what
else a machine does then shows least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.record import Record
from benchmarks.timing import in_turns
from dask_onestep.families import resolve_family
from dask_onestep.kernels.compiled.slices import CompiledSlice, CompiledSplitSlice
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import log_likelihoods, moments, scores
from dask_onestep.kernels.matrices.algebra import DenseSlice, SplitSlice
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows import slices as slicing
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import resolve_link

_ELEMENTS = 20_000_000
Kinds = tuple[type[DenseSlice], type[SplitSlice]]
COMPILED, NUMPY = (CompiledSlice, CompiledSplitSlice), (DenseSlice, SplitSlice)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--families", nargs="+", default=["binomial", "poisson", "gaussian"])
    parser.add_argument("--layouts", nargs="+", default=["float64 C", "float32 C", "float64 F"])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    record = Record(options.output)
    for columns, layout, family in product(options.columns, options.layouts, options.families):
        least = measure(columns, layout, family, options.repetitions)
        for way, ms in least.items():
            about = {"columns": columns, "layout": layout, "family": family, "way": way}
            record.add(about, {"ms": ms, "times X'X": ms / least["X'X"], "times reading": ms / least["reading"]})
    print(record.table.loc[:, :"times reading"].round(2).to_string(index=False))


def measure(columns: int, layout: str, family: str, repetitions: int) -> dict[str, float]:
    """Return the milliseconds of each way."""
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
        "moments, NumPy": by_slices(NUMPY, lambda: moments(rows, model, coef)),
        "moments, compiled": by_slices(COMPILED, lambda: moments(rows, model, coef)),
        "score": by_slices(COMPILED, lambda: scores(rows, model, coef)),
        "log-likelihood": by_slices(COMPILED, lambda: log_likelihoods(rows, model, coef[None])),
    }
    with one_blas_thread():
        seconds = in_turns(ways, repetitions + 1, time.thread_time)
    return (1e3 * seconds.iloc[1:].min()).to_dict()  # the first round warms up


def by_slices(kinds: Kinds, kernel: Callable[[], object]) -> Callable[[], None]:
    """Return a kernel that uses slices of these kinds."""

    def run() -> None:
        with mock.patch.object(slicing, "_kinds", return_value=kinds):
            kernel()

    return run


if __name__ == "__main__":
    main()
