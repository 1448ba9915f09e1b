"""What a QR costs compared with normal equations, kernel by kernel: ``python -m benchmarks.accuracy.cost``.

Processor time of one thread, so that other work on the machine counts little; medians of rounds in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.timing import in_turns
from dask_onestep.families import resolve_family
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows.aliasing import design_factor, orthogonal_basis
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import LINKS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.cost", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    table = pd.DataFrame({d: measure(options.rows, d, options.rounds) for d in options.columns}).T
    print(table.rename_axis("columns").round(2).to_string())


def measure(n: int, d: int, rounds: int) -> pd.Series:
    """Return the time of each kernel over that of the moments in the design's own columns."""
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(size=(n, d)), (rng.random(n) < 0.5).astype(float))
    model = Model(OnePredictor(resolve_family("binomial"), LINKS["logit"]), tuple(f"x{number}" for number in range(d)))
    orthogonal = replace(model, basis=orthogonal_basis(design_factor(rows, model), intercept=True))
    coef = np.zeros(d + 1)
    kernels: dict[str, Callable] = {
        "moments": lambda: moments(rows, model, coef),
        "moments, orthogonal columns": lambda: moments(rows, orthogonal, coef),
        "QR": lambda: design_factor(rows, model),
    }
    with one_blas_thread():
        times = in_turns(kernels, rounds)
    return times.median() / times["moments"].median()


if __name__ == "__main__":
    main()
