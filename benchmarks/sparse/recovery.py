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
from scipy.special import expit
from scipy.stats import binomtest

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
        x = rng.standard_normal((BLOCKS * self.rows, self.p))
        for j in range(1, self.p):
            x[:, j] = CORRELATION * x[:, j - 1] + np.sqrt(1 - CORRELATION**2) * x[:, j]
        coef = np.zeros(self.p)
        coef[:ACTIVE] = SIZE[self.family] * (-1.0) ** np.arange(ACTIVE)
        eta = x @ coef
        if self.family == "gaussian":
            y = eta + rng.standard_normal(len(eta))
        elif self.family == "binomial":
            y = (rng.random(len(eta)) < expit(eta)).astype(float)
        else:
            y = rng.poisson(np.exp(eta)).astype(float)
        return (
            da.from_array(x, chunks=(self.rows, -1), name=False),
            da.from_array(y, chunks=self.rows, name=False),
            coef,
        )


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
    draws = []
    with dask.config.set(scheduler="synchronous"):
        for family, p, rows in itertools.product(options.families, options.columns, options.rows):
            cell = Cell(family, p, rows)
            for seed in range(options.draws):
                draws += [fit(cell, seed, name, method) for name, method in METHODS.items()]
            print(f"{family}, {p} columns, {rows} rows per block", flush=True)
    table = summarize(pd.DataFrame(draws))
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
