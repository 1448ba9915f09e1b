"""A pilot of whole row groups beside a simple random sample of as many rows.

    python -m benchmarks.row_groups [--draws 100] [--output benchmarks/results/row_groups.csv]

A logistic model of 100,000 rows in 100 row groups of a Parquet file, in three layouts: rows at random, sorted by a
covariate, and with a baseline of its own in each group.  A pilot is m whole row groups drawn at random, or as many
rows drawn from all of them; the rest is `OneStep()` as it is, which takes the pilot for a simple random sample.
Printed by layout, m and sample:

- read: bytes of the row groups that hold the pilot, as a share of the file's.
- pilot: median squared distance from the pilot's estimate to the MLE, (b − β̂)'I(β̂)(b − β̂), over what it is on
  average for a simple random sample, d(N/n − 1).
- step, step_95: median and 95 % quantile of the same distance from the one-step estimate, over d; 0.1 is `tol`.
- std_err: median over draws of how far the worst standard error is from the MLE's.
- warned: share of draws that warn; unsaid: share whose step is further than 0.1 and does not warn.
- passes: mean number, the pilot's pass left out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize
from dask_onestep.kernels.pilots.sampling import sample_rows
from dask_onestep.kernels.rows import Rows
from dask_onestep.methods import Plan, Problem

GROUPS, ROWS = 100, 1_000
N = GROUPS * ROWS
LAYOUTS = ("random", "sorted", "baselines")
RESULTS = Path(__file__).parent / "results" / "row_groups.csv"


def given(rows: Rows, model: Model) -> PilotSample:
    """Return rows as the sample of all."""
    return replace(sample_rows(rows, PilotSize(len(rows), len(model.all_names)), 0), n=N)


class OneStepFrom(OneStep):
    """`OneStep` from pilot rows that are given."""

    def __init__(self, rows: Rows):
        super().__init__()
        self.rows = rows

    def plan(self, problem: Problem) -> Plan:
        plan = super().plan(problem)
        next(plan)  # the pass that draws a pilot, which is not made
        answer = problem.apply(given, self.rows, problem.model, name="pilot-sample")
        while True:
            try:
                request = plan.send(answer)
            except StopIteration as end:
                return end.value
            answer = yield request


def draw_table(layout: str, rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=(N, 3))
    shift = np.zeros(N)
    if layout == "sorted":
        x = x[np.argsort(x[:, 0])]
    elif layout == "baselines":
        shift = np.repeat(rng.normal(size=GROUPS), ROWS)
    eta = -1.0 + x @ [1.0, -0.5, 0.25] + shift
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=(rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float))


def as_rows(frame: pd.DataFrame) -> Rows:
    return Rows(np.ascontiguousarray(frame[["a", "b", "c"]], dtype=float), frame["y"].to_numpy(), None, None)


def samples(file: pq.ParquetFile, m: int, rng: np.random.Generator) -> Iterator[tuple[str, Rows, np.ndarray]]:
    """Yield both pilots of m·ROWS rows, and the row groups that hold them."""
    groups = rng.choice(GROUPS, m, replace=False)
    yield "row groups", as_rows(file.read_row_groups(list(groups)).to_pandas()), groups
    chosen = np.sort(rng.choice(N, m * ROWS, replace=False))
    yield "random rows", as_rows(file.read().to_pandas().iloc[chosen]), np.unique(chosen // ROWS)


def one_draw(rows: Rows, x: Any, y: Any, exact: GLMRegressor) -> dict[str, float]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        glm = GLMRegressor("binomial", method=OneStepFrom(rows)).fit(x, y)
    best, information = exact.estimate_.coef, np.linalg.inv(exact.covariance_)

    def distance(coef: np.ndarray) -> float:
        return float((coef - best) @ information @ (coef - best)) / len(best)

    step = distance(glm.estimate_.coef)
    off = np.sqrt(np.diag(glm.covariance_) / np.diag(exact.covariance_)) - 1
    return {
        "pilot": distance(glm.estimate_.pilot_coef) / (N / len(rows) - 1),
        "step": step,
        "std_err": float(np.abs(off).max()),
        "warned": float(bool(said)),
        "unsaid": float(step > 0.1 and not said),
        "passes": glm.n_passes_,
    }


def run(layout: str, draws: int, folder: Path) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(LAYOUTS.index(layout))
    table = draw_table(layout, rng)
    pq.write_table(pa.Table.from_pandas(table), folder / layout, row_group_size=ROWS)
    file = pq.ParquetFile(folder / layout)
    sizes = np.array([file.metadata.row_group(number).total_byte_size for number in range(GROUPS)])
    whole = as_rows(table)
    x, y = da.from_array(whole.x, chunks=(N // 4, -1)), da.from_array(whole.y, chunks=N // 4)
    exact = GLMRegressor("binomial", method=MLE(tol=1e-12)).fit(x, y)
    for m in (1, 5, 20):
        done: dict[str, list[dict[str, float]]] = {}
        for _ in range(draws):
            for name, rows, groups in samples(file, m, rng):
                read = {"read": sizes[groups].sum() / sizes.sum()}
                done.setdefault(name, []).append(read | one_draw(rows, x, y, exact))
        for name, records in done.items():
            frame = pd.DataFrame(records)
            medians = frame[["pilot", "step", "std_err"]].median()
            means = frame[["read", "warned", "unsaid", "passes"]].mean()
            far = {"step_95": frame["step"].quantile(0.95)}
            yield {"layout": layout, "m": m, "sample": name, **medians, **far, **means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--output", type=Path, help="keep the table as CSV")
    options = parser.parse_args()
    with dask.config.set(scheduler="synchronous"), TemporaryDirectory() as folder:
        table = pd.DataFrame([row for layout in LAYOUTS for row in run(layout, options.draws, Path(folder))])
    columns = ["layout", "m", "sample", "read", "pilot", "step", "step_95", "std_err", "warned", "unsaid", "passes"]
    print(table[columns].to_string(index=False, float_format="%.3g"))
    if options.output is not None:
        table[columns].to_csv(options.output, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
