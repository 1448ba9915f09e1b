"""Distance and coverage of debiased lassos on simulated sparse models: ``python -m benchmarks.sparse.recovery``.

With one communication, as in the paper; the naive average of the blocks' lassos is the fit's own starting point.
Columns are correlated as an autoregression.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from benchmarks.draws import autoregression, in_blocks, response
from benchmarks.record import Record
from dask_onestep import DebiasedLasso, GLMRegressor

METHODS = {
    "one communication": DebiasedLasso(nodewise="partition", steps=1),
}
SIZE = {"gaussian": 0.5, "binomial": 0.5, "poisson": 0.25}
ACTIVE, BLOCKS, CORRELATION = 5, 4, 0.3
RESULTS = Path(__file__).parent / "results" / "recovery.csv"


@dataclass(frozen=True)
class Cell:
    """One row of the grid."""

    family: str
    p: int
    rows: int

    def draw(self, seed: int) -> tuple[da.Array, da.Array, np.ndarray]:
        rng = np.random.default_rng([seed, self.p, self.rows])
        x = autoregression(rng, BLOCKS * self.rows, self.p, CORRELATION)
        coef = np.zeros(self.p)
        coef[:ACTIVE] = SIZE[self.family] * (-1.0) ** np.arange(ACTIVE)
        return *in_blocks(x, response(rng, self.family, x @ coef), BLOCKS), coef


def fit(cell: Cell, seed: int, name: str, method: DebiasedLasso) -> dict[str, Any]:
    """Return distances, and how many intervals held, of one draw."""
    x, y, coef = cell.draw(seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = GLMRegressor(cell.family, method=method).fit(x, y)
    bounds = glm.coef_table().drop("intercept")
    held = ((bounds.ci_lower <= coef) & (bounds.ci_upper >= coef)).to_numpy()
    return {
        "family": cell.family,
        "p": cell.p,
        "rows per block": cell.rows,
        "method": name,
        "l2 naive": np.linalg.norm(glm.estimate_.average_coef[1:] - coef),
        "l2": np.linalg.norm(glm.coef_ - coef),
        "active held": held[:ACTIVE].sum(),
        "idle held": held[ACTIVE:].sum(),
        "expected coverage": glm.estimate_.expected_coverage,
        "warned": any("blocks are too small" in str(one.message) for one in caught),
    }


def summarize(draws: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell and method; coverage with an exact 99% interval of its own."""
    rows = []
    for key, part in draws.groupby(["family", "p", "rows per block", "method"], sort=False):
        active, idle = ACTIVE * len(part), (part.p.iloc[0] - ACTIVE) * len(part)
        sure = binomtest(int(part["active held"].sum()), active).proportion_ci(0.99)
        rows.append(
            dict(zip(["family", "p", "rows per block", "method"], key, strict=True))
            | {
                "draws": len(part),
                "l2 naive": part["l2 naive"].mean(),
                "l2": part.l2.mean(),
                "nearer": (part.l2 < part["l2 naive"]).mean(),
                "coverage active": part["active held"].sum() / active,
                "from": sure.low,
                "to": sure.high,
                "coverage idle": part["idle held"].sum() / idle,
                "expected coverage": part["expected coverage"].mean(),
                "warned": part.warned.mean(),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse.recovery", description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=list(SIZE), choices=list(SIZE))
    parser.add_argument("-p", "--columns", nargs="+", type=int, default=[30, 100])
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 500, 2000], help="rows per block")
    parser.add_argument("-B", "--draws", type=int, default=30)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    record = Record(options.output)
    with dask.config.set(scheduler="synchronous"):
        for family, p, rows in itertools.product(options.families, options.columns, options.rows):
            cell = Cell(family, p, rows)
            draws = [fit(cell, seed, *each) for seed in range(options.draws) for each in METHODS.items()]
            for row in summarize(pd.DataFrame(draws)).to_dict("records"):
                record.add(row, {})
            print(f"{family}, {p} columns, {rows} rows per block", flush=True)
    print(record.table.loc[:, :"warned"].to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    main()
