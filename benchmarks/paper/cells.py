"""One replicate of a table: the data drawn once, every cell's method applied to Dask blocks of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
from scipy import stats

from benchmarks.paper.designs import Design, lay_out, log_likelihood
from dask_onestep import MLE, Average, OneStep, Surrogate
from dask_onestep.families import resolve_family
from dask_onestep.graph import gather
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.links import resolve_link
from dask_onestep.methods import Problem

__all__ = ["LAYOUTS", "SHARES", "WORKERS", "Cell", "estimates", "grid", "rejections"]

LAYOUTS = ("random", "nonrandom")
SHARES = (0.05, 0.1, 0.2)
WORKERS = (5, 10)
LEVEL = 0.05
SECOND = 1  # the column whose coefficient, β₂, is tested


@dataclass(frozen=True)
class Cell:
    """A row of a table.

    Attributes
    ----------
    estimator : str
        "global", "pilot", "one-step" (the article's), "corrected" (one-step, correction="pilot"),
        "one-shot", "surrogate" (anchored at the first block) or "pilot-surrogate".
    layout : str
        How rows lie on the workers.
    workers : int
        K.
    share : float
        p, the pilot's share of the rows; 0 for estimators that draw none.
    """

    estimator: str
    layout: str
    workers: int
    share: float = 0.0

    def method(self, seed: int) -> Any:
        """Return the package's method; "pilot" is read off the one-step's."""
        match self.estimator:
            case "global":
                return MLE()
            case "one-step":
                return OneStep(self.share, steps=1, correction=None, random_state=seed)
            case "corrected":
                return OneStep(self.share, steps=1, correction="pilot", random_state=seed)
            case "pilot-surrogate":
                return Surrogate("pilot", pilot_size=self.share, random_state=seed)
            case "surrogate":
                return Surrogate()
            case "one-shot":
                return Average()
        raise ValueError(f"no method for {self.estimator!r}")


def grid(*, tests: bool = False) -> tuple[Cell, ...]:
    """Return the cells of a table, "pilot" left out, as it comes with "one-step".

    The global estimator and those from pilots do not depend on K: they are fitted on the fewest
    workers, the global one in one layout.  Tests of the latter are made on nonrandom rows only.
    """
    cells = [Cell("global", LAYOUTS[0], WORKERS[0])]
    for layout in LAYOUTS:
        if not tests or layout == "nonrandom":
            cells += [Cell(name, layout, WORKERS[0], share) for share in SHARES for name in ("one-step", "corrected")]
        if not tests:
            cells.append(Cell("pilot-surrogate", layout, WORKERS[0], SHARES[1]))
        cells += [Cell(name, layout, workers) for workers in WORKERS for name in ("one-shot", "surrogate")]
    return tuple(cells)


def fit_all(design: Design, cells: Iterable[Cell], x: np.ndarray, y: np.ndarray, seed: int) -> dict[Cell, Any]:
    """Return each cell's `Estimate`, None where it has none, such as a separated block's.

    Methods are handed their problem as the estimators hand it to them, the blocks of a layout gathered
    once for all.  The estimators from pilots share one ``dask.compute``; those that a poor block can
    leave without an estimate are computed one by one.
    """
    law = resolve_family(design.family)
    columns = tuple(f"x{number}" for number in range(x.shape[1]))
    model = Model(OnePredictor(law, resolve_link(law.default_link)), columns, design.intercept)
    places = {(cell.layout, cell.workers): cell for cell in cells}
    blocks = {place: gather(*lay_out(x, y, cell.workers, cell.layout)) for place, cell in places.items()}
    found: dict[Cell, Any] = {}
    lazy = {}
    with dask.config.set(scheduler="synchronous"):
        for cell in cells:
            iterates = cell.estimator == "global"
            problem = Problem(model, blocks[cell.layout, cell.workers], lazy=not iterates)
            (found if iterates else lazy)[cell] = cell.method(seed).estimate(problem)
        alone = {cell: lazy.pop(cell) for cell in cells if cell.estimator in ("one-shot", "surrogate")}
        found |= zip(lazy, dask.compute(*lazy.values()), strict=True)
        found |= {cell: _compute(value) for cell, value in alone.items()}
    return {cell: found[cell] for cell in cells}


def _compute(value: Any) -> Any:
    try:
        return value.compute()
    except ValueError:
        return None


def estimates(design: Design, cells: Iterable[Cell], n: int, seed: tuple[int, ...]) -> dict[Cell, np.ndarray | None]:
    """Return each cell's coefficients on one draw of n rows, those of the pilots and of the one-steps."""
    x, y = design.draw(n, seed)
    found: dict[Cell, np.ndarray | None] = {}
    for cell, estimate in fit_all(design, cells, x, y, seed[-1]).items():
        found[cell] = None if estimate is None else estimate.coef
        if cell.estimator == "one-step":
            found[Cell("pilot", cell.layout, cell.workers, cell.share)] = estimate.pilot_coef
    return found


def rejections(design: Design, cells: Iterable[Cell], n: int, seed: tuple[int, ...]) -> dict[Cell, float]:
    """Return 1.0 where a cell's likelihood-ratio test of β₂ = 0 rejects on one draw, 0.0 where not, NaN if unfit.

    The statistic is 2{ℓ(β̂) − ℓ(β̂₀)} over all rows, the restricted fit by the same method on the same
    pilot rows; for "one-shot", the sum of the blocks' own statistics against χ²(K).
    """
    x, y = design.draw(n, seed)
    cells = tuple(cells)
    free = [j for j in range(x.shape[1]) if j != SECOND]
    larger, smaller = (fit_all(design, cells, part, y, seed[-1]) for part in (x, x[:, free]))
    found = {}
    for cell in cells:
        full, null = larger[cell], smaller[cell]
        if full is None or null is None:
            found[cell] = float("nan")
            continue
        if cell.estimator == "one-shot":
            statistic = 2 * float((full.block_loglik - null.block_loglik).sum())
            df = full.n_blocks
        else:
            restricted = np.insert(null.coef, SECOND + design.intercept, 0.0)
            gain = log_likelihood(design, x, y, full.coef) - log_likelihood(design, x, y, restricted)
            statistic, df = max(0.0, 2 * gain), 1
        found[cell] = float(stats.chi2.sf(statistic, df) < LEVEL)
    return found
