"""What one step costs, apart from the package: ``python -m benchmarks.paper.ratios``.

ARMSE(one-step)/ARMSE(global) on the same draws, in plain NumPy, for the designs of Tables 1–2 and for others as
simple.  It is the second source of the tables' ratios, and shows how little such ratios tell of the coefficients
behind them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.paper.cells import SHARES
from benchmarks.paper.designs import LOGISTIC, POISSON, Design
from benchmarks.paper.tables import armse, error
from benchmarks.record import Record

__all__ = ["DESIGNS", "compare", "maximum", "step_from"]

DESIGNS = {
    "Table 1": LOGISTIC,
    "Table 2": POISSON,
    "four of 1": Design("binomial", (1.0, 1.0, 1.0, 1.0), alternative=0.0),
    "five of 1": Design("binomial", (1.0, 1.0, 1.0, 1.0, 1.0), alternative=0.0),
    "three of 1.5": Design("binomial", (1.5, 1.5, 1.5), alternative=0.0),
}


def step_from(design: Design, x: np.ndarray, y: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return β + I(β)⁻¹s(β), equation (2.4), in plain NumPy."""
    full = np.column_stack([np.ones(len(x)), x]) if design.intercept else x
    mean = 1 / (1 + np.exp(-full @ coef)) if design.family == "binomial" else np.exp(full @ coef)
    weight = mean * (1 - mean) if design.family == "binomial" else mean
    return coef + np.linalg.solve(full.T @ (weight[:, None] * full), full.T @ (y - mean))


def maximum(design: Design, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the MLE by Newton's method from a start near it."""
    for _ in range(50):
        coef = step_from(design, x, y, start)
        if np.abs(coef - start).max() < 1e-9:
            break
        start = coef
    return coef


def compare(design: Design, n: int, replicates: int, seed: int) -> pd.DataFrame:
    """Return the ratio for each pilot share, with its Monte Carlo error.

    Rows are exchangeable as drawn, so that the first pN of them are a simple random sample.
    """
    exact, steps = [], {share: [] for share in SHARES}
    for b in track(range(replicates), description=f"{design.family} {design.coef}, N = {n:,}", update_period=1.0):
        x, y = design.draw(n, (seed, n, b))
        best = maximum(design, x, y, design.truth)
        exact.append(best)
        for share, found in steps.items():
            taken = round(share * n)
            found.append(step_from(design, x, y, maximum(design, x[:taken], y[:taken], best)))
    reference, shift = armse(np.square(np.array(exact) - design.truth))
    rows = []
    for share, found in steps.items():
        value, influence = armse(np.square(np.array(found) - design.truth))
        ratio = value / reference
        rows.append({"p": share, "ratio": ratio, "error": error((influence - ratio * shift) / reference)})
    head = {"family": design.family, "coef": " ".join(map(str, design.coef)), "N": n, "B": replicates}
    return pd.DataFrame([head | row for row in rows])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.ratios", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=4000)
    parser.add_argument("-N", "--rows", type=int, default=10_000)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to add to")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=True)
    for name in options.designs:
        table = compare(DESIGNS[name], options.rows, options.replicates, options.seed)
        print(name, table[["N", "B", "p", "ratio", "error"]].to_string(index=False), sep="\n")
        for row in table.to_dict("records"):
            record.add(row, {"design": name, "seed": options.seed})


if __name__ == "__main__":
    main()
