"""Is the pilot a simple random sample, or n/K rows of each worker?  For equal blocks it makes no difference.

The article draws n/K rows per worker; this package draws n of all N rows, which is self-weighting for
unequal blocks too.  ``python -m benchmarks.paper.pilots`` puts both one-step estimators side by side.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import dask
import numpy as np
from rich.progress import track

from benchmarks.paper.designs import LOGISTIC, POISSON, Design, lay_out
from benchmarks.paper.tables import armse, error
from dask_onestep import MLE, GLMRegressor, OneStep

__all__ = ["compare", "step_from"]


def step_from(design: Design, x: np.ndarray, y: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return β + I(β)⁻¹s(β), equation (2.4), in plain NumPy."""
    full = np.column_stack([np.ones(len(x)), x]) if design.intercept else x
    mean = 1 / (1 + np.exp(-full @ coef)) if design.family == "binomial" else np.exp(full @ coef)
    weight = mean * (1 - mean) if design.family == "binomial" else mean
    return coef + np.linalg.solve(full.T @ (weight[:, None] * full), full.T @ (y - mean))


def per_worker(design: Design, x: np.ndarray, y: np.ndarray, sizes: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    """Return the one-step estimate from a pilot of n/K rows of each worker."""
    rng, ends = np.random.default_rng((1, seed)), np.cumsum(sizes)
    drawn = [
        rng.choice(size, n // len(sizes), replace=False) + end - size for size, end in zip(sizes, ends, strict=True)
    ]
    rows = np.concatenate(drawn)
    pilot = GLMRegressor(design.family, method=MLE(start=None), fit_intercept=design.intercept)
    return step_from(design, x, y, pilot.fit(x[rows], y[rows]).estimate_.coef)


def compare(design: Design, n: int, share: float, workers: int, replicates: int, seed: int, numbers=None) -> dict:
    """Return both ARMSE on nonrandom blocks, and their ratio, with Monte Carlo errors."""
    both: dict[str, list[np.ndarray]] = {"simple": [], "per worker": []}
    for b in range(replicates) if numbers is None else numbers:
        X, Y = lay_out(*design.draw(n, (seed, 9, n, b)), workers, "nonrandom")
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
            warnings.simplefilter("ignore", UserWarning)
            x, y = dask.compute(X, Y)
            plain = OneStep(share, steps=1, correction=None, random_state=b)
            lazy = GLMRegressor(design.family, method=plain, fit_intercept=design.intercept).fit_delayed(X, Y)
            both["simple"].append(lazy.compute().estimate_.coef)
            both["per worker"].append(per_worker(design, x, y, X.chunks[0], round(share * n), b))
    (simple, shift), (stratified, other) = (armse(np.square(np.array(e) - design.truth)) for e in both.values())
    ratio = stratified / simple
    return {
        "simple": simple,
        "simple_error": error(shift),
        "per_worker": stratified,
        "per_worker_error": error(other),
        "ratio": ratio,
        "ratio_error": error((other - ratio * shift) / simple),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.pilots", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=500)
    parser.add_argument("-N", "--rows", type=int, default=10_000)
    parser.add_argument("-p", "--share", type=float, default=0.1)
    parser.add_argument("-K", "--workers", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    shown = partial(track, range(given.replicates))
    for design in (LOGISTIC, POISSON):
        numbers = shown(description=design.family)
        found = compare(design, given.rows, given.share, given.workers, given.replicates, given.seed, numbers)
        print(", ".join(f"{name} {value:.5f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
