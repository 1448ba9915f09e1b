"""Coverage of 95 % intervals of the debiased lasso's defaults: ``python -m benchmarks.debiased_coverage``.

Columns are correlated as an autoregression with coefficient 0.5, and 5 of 100 coefficients are not zero.  Every cell,
a family, a number of rows and a number of blocks, has draws of its own.  The table has the coverage of the nonzero
and of the zero coefficients, on average and of the worst coefficient.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice -n 19 python -m benchmarks.debiased_coverage --resume

adds the cells that ``benchmarks/results/debiased_coverage.csv`` lacks, by 200 draws each.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import dask
import dask.array as da
import numpy as np

from benchmarks.draws import autoregression, in_blocks, response
from benchmarks.record import Record
from dask_onestep import DebiasedLasso, GLMRegressor

RESULTS = Path(__file__).parent / "results" / "debiased_coverage.csv"
COLUMNS, CORRELATION = 100, 0.5
ACTIVE = {0: 1.0, 20: -1.0, 40: 0.5, 60: -0.5, 80: 1.0}


@dataclass(frozen=True)
class Cell:
    """A family, rows, columns and blocks."""

    family: str
    rows: int
    columns: int
    blocks: int

    @property
    def coef(self) -> np.ndarray:
        """The coefficients without the intercept, which is 0."""
        coef = np.zeros(self.columns)
        coef[list(ACTIVE)] = list(ACTIVE.values())
        return coef

    def draw(self, seed: int) -> tuple[da.Array, da.Array]:
        """Return one draw, in blocks of equal size."""
        rng = np.random.default_rng([seed, self.rows, self.columns, self.blocks])
        x = autoregression(rng, self.rows, self.columns, CORRELATION)
        return in_blocks(x, response(rng, self.family, x @ self.coef), self.blocks)


def run(cell: Cell, replications: int) -> dict[str, float]:
    """Return the coverage of a cell."""
    held, errors, warned, began = [], [], 0, time.process_time()
    for seed in range(replications):
        x, y = cell.draw(seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            glm = GLMRegressor(cell.family, method=DebiasedLasso()).fit(x, y)
        warned += bool(said)
        table = glm.coef_table().drop("intercept")
        held.append(((table.ci_lower <= cell.coef) & (cell.coef <= table.ci_upper)).to_numpy())
        errors.append(((table.coef - cell.coef) / table.std_err).to_numpy())
    coverage, active = np.mean(held, axis=0), cell.coef != 0
    off = np.mean(errors, axis=0) * np.sign(cell.coef)
    return {
        "nonzero": coverage[active].mean(),
        "nonzero_least": coverage[active].min(),
        "zero": coverage[~active].mean(),
        "zero_least": coverage[~active].min(),
        "bias": off[active].mean(),
        "spread": float(np.std(errors, axis=0).mean()),
        "warned": warned / replications,
        "passes": glm.n_passes_,
        "seconds": (time.process_time() - began) / replications,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["gaussian", "binomial"])
    parser.add_argument("--rows", nargs="+", type=int, default=[2_000, 20_000])
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--blocks", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    record = Record(asked.output, resume=asked.resume)
    with dask.config.set(scheduler="synchronous"):
        for rows, family, blocks in itertools.product(asked.rows, asked.families, asked.blocks):
            cell = {"family": family, "rows": rows, "columns": asked.columns, "blocks": blocks}
            if record.has(cell):
                continue
            record.add(cell, {"replications": asked.replications} | run(Cell(**cell), asked.replications))
            print(record.table.iloc[-1].to_string(), "\n", flush=True)


if __name__ == "__main__":
    main()
