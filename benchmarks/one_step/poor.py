"""A thousand poor pilots: ``python -m benchmarks.one_step.poor``.

Pilots of as few rows as coefficients and up to sixty times as many, from data with rare events, heavy tails or
many covariates: separated, of one class, or merely small.  Counted are the fits that raise or are not finite, those
far from the global MLE (more than two standard errors a coefficient, squared and averaged in information units), and
those of them that say nothing.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.record import Record
from dask_onestep import MLE, GLMRegressor, OneStep

__all__ = ["DESIGNS", "Design", "fit_poorly", "tally"]

ROWS = 10_000
FAR = 4.0
MOST = 60.0  # rows per coefficient; an automatic pilot has 50 at least


@dataclass(frozen=True)
class Design:
    """Rows to draw.

    Attributes
    ----------
    name : str
        What is hard about them.
    family : {"binomial", "poisson", "gamma"}
        The distribution of y; gamma with a log link.
    d : int
        Covariates; an intercept is fitted besides.
    intercept : float
        The true one.
    tails : float
        Degrees of freedom of the covariates' t distribution; infinite for normal ones.
    size : float
        Root mean square of the coefficients' norm.
    shape : float
        Of the gamma law; 1/shape is the dispersion.
    """

    name: str
    family: str
    d: int = 3
    intercept: float = 0.0
    tails: float = np.inf
    size: float = 1.2
    shape: float = 2.0

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return X of shape (N, d) and y of shape (N,)."""
        size = (ROWS, self.d)
        x = rng.standard_normal(size) if np.isinf(self.tails) else rng.standard_t(self.tails, size)
        eta = np.clip(self.intercept + x @ rng.normal(0.0, self.size / np.sqrt(self.d), self.d), -30.0, 30.0)
        if self.family == "binomial":
            return x, rng.binomial(1, 1 / (1 + np.exp(-eta))).astype(np.float64)
        if self.family == "poisson":
            return x, rng.poisson(np.exp(eta)).astype(np.float64)
        return x, rng.gamma(self.shape, np.exp(eta) / self.shape)


DESIGNS = [
    Design("plain", "binomial"),
    Design("rare (2 %)", "binomial", intercept=-4.5),
    Design("heavy tails", "binomial", tails=2.5),
    Design("d = 10", "binomial", d=10),
    Design("plain", "poisson"),
    Design("rare (2 %)", "poisson", intercept=-4.5),
    Design("heavy tails", "poisson", tails=3.0, size=0.4),
    Design("d = 10", "poisson", d=10),
    Design("plain", "gamma"),
    Design("dispersion 4", "gamma", shape=0.25),
    Design("heavy tails", "gamma", tails=3.0, size=0.4),
    Design("d = 10", "gamma", d=10),
]


def fit_poorly(design: Design, seed: int, **options: Any) -> dict[str, Any]:
    """Return what becomes of one poor pilot: the error, or the distance to the MLE and whether it warned."""
    rng = np.random.default_rng((seed, len(design.name), design.d))
    x, y = design.draw(rng)
    n = round((design.d + 1) * MOST ** rng.random())
    X, Y = (da.from_array(part, chunks=(ROWS // 4, *part.shape[1:])) for part in (x, y))
    link = "log" if design.family == "gamma" else None
    with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("always")
        exact = GLMRegressor(design.family, link, method=MLE(max_iter=100, tol=1e-4)).fit(X, Y)
        caught.clear()
        if not exact.estimate_.converged:
            return {"seed": seed, "n": n, "error": "the global MLE has not converged"}
        try:
            glm = GLMRegressor(design.family, link, method=OneStep(n, random_state=seed, **{"steps": 1} | options)).fit(
                X, Y
            )
        except Exception as error:  # counted and shown, whatever it is
            return {"seed": seed, "n": n, "error": f"{type(error).__name__}: {error}"}
        messages = [str(warning.message) for warning in caught]
    gap = glm.estimate_.coef - exact.estimate_.coef
    return {
        "seed": seed,
        "n": n,
        "error": "",
        "distance": float(gap @ np.linalg.solve(exact.covariance_, gap)) / len(gap),
        "told": glm.decrement_ / (len(gap) * glm.dispersion_),
        "separated": glm.estimate_.pilot_separated,
        "warned": bool(messages),
        "passes": glm.n_passes_,
    }


def tally(design: Design, fits: pd.DataFrame) -> dict[str, Any]:
    """Return the counts of a design."""
    raised = fits["error"] != ""
    ended = fits[~raised]
    finite = np.isfinite(ended["distance"])
    far, warned = ~finite | (ended["distance"] > FAR), ended["warned"].astype(bool)
    silent = ended["distance"][~warned]
    return {
        "family": design.family,
        "design": design.name,
        "pilots": len(fits),
        "raised": int(raised.sum()),
        "not_finite": int((~finite).sum()),
        "separated": int(ended["separated"].sum()),
        "median": ended["distance"].median(),
        "max": ended["distance"].max(),
        "far": int(far.sum()),
        "far_silent": int((far & ~warned).sum()),
        "silent": len(silent),
        "silent_max": silent.max() if len(silent) else np.nan,
        "passes": ended["passes"].mean(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_step.poor", description=__doc__)
    parser.add_argument("-B", "--pilots", type=int, default=84, help="pilots a design; twelve designs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--show-far", action="store_true", help="print each fit that raised, or is far and silent")
    options = parser.parse_args(arguments)
    record = Record(options.output)
    for design in track(DESIGNS, "designs", update_period=1.0):
        fits = pd.DataFrame([fit_poorly(design, options.seed + b) for b in range(options.pilots)])
        record.add(tally(design, fits), {"seed": options.seed})
        if options.show_far:
            bad = fits[(fits["error"] != "") | ~((fits["distance"] <= FAR) | fits["warned"].astype(bool))]
            print(design, bad.to_string() if len(bad) else "none", sep="\n")
    table = record.table
    print(table.loc[:, :"passes"].to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    counts = table[["pilots", "raised", "not_finite", "separated", "far", "far_silent"]].sum()
    print(", ".join(f"{name} {count}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
