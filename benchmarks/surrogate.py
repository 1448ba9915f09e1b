"""One step, and the surrogate likelihood from the same pilot: ``python -m benchmarks.surrogate --help``.

For each of B draws of a model, from the same pilot's rows: the coefficients' root mean squared error as a multiple
of the global MLE's, and the share of 95 % intervals that hold the coefficient.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import dask
import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.record import Record
from dask_onestep import MLE, GLMRegressor, OneStep, Surrogate

_FAMILIES = {"binomial": 1.0, "poisson": 0.5}  # the norm of the coefficients


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surrogate", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=100)
    parser.add_argument("--columns", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--pilot-rows", type=int, nargs="+", default=[20, 50], help="pilot rows per coefficient")
    parser.add_argument("--families", nargs="+", default=["binomial"], choices=list(_FAMILIES))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    cells = [(family, columns) for family in options.families for columns in options.columns]
    record = Record(options.output)
    for family, columns in track(cells, "designs"):
        draws = [
            each | {"replicate": b}
            for b in range(options.replicates)
            for each in replicate(family, columns, options.rows, options.pilot_rows, options.seed + b)
        ]
        about = {"family": family, "columns": columns, "N": options.rows, "seed": options.seed}
        for line in summarize(pd.DataFrame(draws)):
            record.add(about, line)
    print(record.table.loc[:, :"B"].to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def replicate(family: str, columns: int, rows: int, pilot_rows: list[int], seed: int) -> list[dict]:
    """Return the squared error and the coverage of each method on one draw."""
    x, y, coef = draw(family, columns, rows, seed)
    found = []
    with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("ignore")  # the smaller pilots are meant to be too small
        exact = assess(GLMRegressor(family, method=MLE()).fit(x, y), coef)
        for ratio in pilot_rows:
            pilot = {"pilot_size": ratio * (columns + 1), "random_state": seed}
            methods = {
                "one-step": OneStep(**pilot, steps=1),
                "surrogate": Surrogate("pilot", **pilot),
                "surrogate, information of all": Surrogate("pilot", information="all", **pilot),
                "surrogate, 2 rounds": Surrogate("pilot", rounds=2, **pilot),
            }
            for name, method in methods.items():
                about = {"pilot_rows": ratio, "method": name, "exact_error": exact["error"]}
                try:
                    found.append(about | assess(GLMRegressor(family, method=method).fit(x, y), coef))
                except ValueError:  # a surrogate without a maximum: counted
                    found.append(about | {"error": np.nan, "coverage": np.nan, "passes": np.nan})
            found.append({"pilot_rows": ratio, "method": "mle", "exact_error": exact["error"]} | exact)
    return found


def draw(family: str, columns: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X of shape (rows, columns), y of shape (rows,) and the coefficients, the intercept first."""
    rng = np.random.default_rng((seed, columns))
    x = rng.standard_normal((rows, columns))
    slopes = rng.standard_normal(columns)
    slopes *= _FAMILIES[family] / np.linalg.norm(slopes)
    eta = -0.5 + x @ slopes
    y = rng.random(rows) < 1 / (1 + np.exp(-eta)) if family == "binomial" else rng.poisson(np.exp(eta))
    return x, y.astype(float), np.r_[-0.5, slopes]


def assess(glm: GLMRegressor, coef: np.ndarray) -> dict[str, float]:
    """Return the mean squared error, the share of intervals that hold the coefficient, and the passes."""
    table = glm.coef_table()
    gap = np.abs(table["coef"].to_numpy() - coef)
    held = gap <= 1.959963984540054 * table["std_err"].to_numpy()
    return {"error": float(np.mean(gap**2)), "coverage": float(held.mean()), "passes": glm.n_passes_}


def summarize(draws: pd.DataFrame) -> list[dict]:
    """Return one line for each method and pilot."""
    lines = []
    for (pilot_rows, method), part in draws.groupby(["pilot_rows", "method"], sort=False):
        ended = part.dropna(subset="error")
        lines.append(
            {
                "pilot_rows": pilot_rows,
                "method": method,
                "armse_ratio": np.sqrt(ended["error"]).mean() / np.sqrt(ended["exact_error"]).mean(),
                "coverage": ended["coverage"].mean(),
                "coverage_error": ended["coverage"].std() / np.sqrt(len(ended)),
                "passes": ended["passes"].mean(),
                "failed": len(part) - len(ended),
                "B": len(part),
            }
        )
    return lines


if __name__ == "__main__":
    main()
