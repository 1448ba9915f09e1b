"""Tables 1–4: replicates put together, with their Monte Carlo errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.paper.cells import Cell, estimates, grid, rejections
from benchmarks.paper.designs import LOGISTIC, POISSON, Design

__all__ = ["TABLES", "Table", "accuracy", "armse", "error", "power", "run"]


@dataclass(frozen=True)
class Table:
    """What a table of the article shows.

    Attributes
    ----------
    number : int
        1 and 2 show ARMSE, 3 and 4 the empirical rejection probability of a nominal 5 % test of β₂ = 0.
    design : Design
        Logistic for odd numbers, Poisson for even ones.
    """

    number: int
    design: Design

    @property
    def tests(self) -> bool:
        """Whether it is of tests."""
        return self.number > 2


TABLES = {number: Table(number, LOGISTIC if number % 2 else POISSON) for number in (1, 2, 3, 4)}


def run(
    table: Table,
    n: int,
    replicates: int,
    seed: int,
    *,
    cells: Iterable[Cell] | None = None,
    track: Callable[..., Iterable[int]] = lambda numbers, description: numbers,
) -> pd.DataFrame:
    """Return a table's rows for one N.

    Parameters
    ----------
    table : Table
        The table.
    n : int
        N.
    replicates : int
        B.
    seed : int
        Replicate b draws its rows with (seed, table, N, hypothesis, b), and its pilots with b.
    cells : iterable of Cell, optional
        The cells; all of them by default.
    track : callable
        (numbers, description) to the numbers, showing progress.

    Returns
    -------
    DataFrame
        One row a cell, and a hypothesis for tests.
    """
    if not table.tests:
        cells = grid() if cells is None else tuple(cells)
        draws = track(range(replicates), description=f"Table {table.number}, N = {n:,}")
        found = [estimates(table.design, cells, n, (seed, table.number, n, 0, b)) for b in draws]
        rows = accuracy(found, table.design.truth)
    else:
        cells = grid(tests=True) if cells is None else tuple(cells)
        rows = []
        for number, (name, value) in enumerate((("H0", 0.0), ("H1", table.design.alternative))):
            design = table.design.with_second(value)
            draws = track(range(replicates), description=f"Table {table.number}, N = {n:,}, {name}")
            tests = [rejections(design, cells, n, (seed, table.number, n, number, b)) for b in draws]
            rows += [{"hypothesis": name} | row for row in power(tests)]
    head = {"table": table.number, "family": table.design.family, "N": n, "B": replicates}
    return pd.DataFrame([head | row for row in rows])


def accuracy(found: list[dict[Cell, np.ndarray | None]], truth: np.ndarray) -> list[dict[str, Any]]:
    """Return ARMSE = d⁻¹ Σⱼ {B⁻¹ Σ_b (β̂ⱼ − βⱼ)²}^½ of each cell, and its ratio to the global estimator's.

    Both have Monte Carlo errors, by the delta method; the ratio is of the same draws, so that its error
    is far smaller.  Replicates in which a cell has no estimate are left out of it and counted.
    """
    (base,) = (cell for cell in found[0] if cell.estimator == "global")
    rows = []
    for cell in found[0]:
        both = [(draw[cell], draw[base]) for draw in found if draw[cell] is not None]
        row: dict[str, Any] = _describe(cell) | {"failed": len(found) - len(both)}
        if both:
            own, other = (np.square(np.array(part) - truth) for part in zip(*both, strict=True))
            value, influence = armse(own)
            reference, shift = armse(other)
            ratio = value / reference
            row |= {
                "value": value,
                "error": error(influence),
                "ratio": ratio,
                "ratio_error": error((influence - ratio * shift) / reference),
            }
        rows.append(row)
    return rows


def armse(squares: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the ARMSE of squared errors of shape (B, d), and each replicate's influence on it."""
    roots = np.sqrt(squares.mean(axis=0))
    return float(roots.mean()), ((squares / roots - roots) / 2).mean(axis=1)


def error(influence: np.ndarray) -> float:
    """Return the standard error of a mean of influences."""
    return float(influence.std() / np.sqrt(len(influence)))


def power(found: list[dict[Cell, float]]) -> list[dict[str, Any]]:
    """Return each cell's share of rejections, with its binomial error."""
    rows = []
    for cell in found[0]:
        values = np.array([draw[cell] for draw in found])
        fit = values[~np.isnan(values)]
        row: dict[str, Any] = _describe(cell) | {"failed": len(values) - len(fit)}
        if len(fit):
            share = float(fit.mean())
            row |= {"value": share, "error": float(np.sqrt(share * (1 - share) / len(fit)))}
        rows.append(row)
    return rows


def _describe(cell: Cell) -> dict[str, Any]:
    return {"estimator": cell.estimator, "layout": cell.layout, "K": cell.workers, "p": cell.share}
