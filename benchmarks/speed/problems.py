"""What is fitted: a registry of simulated problems."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dask_onestep.datasets import make_glm

__all__ = ["PROBLEMS", "Problem", "write"]


@dataclass(frozen=True)
class Problem:
    """A simulated problem.

    `n_features` counts the covariates; every model has an intercept besides.  In a `sort`ed one each
    block holds its own range of the first covariate, as rows laid out by month or site do.
    """

    name: str
    family: str
    n_samples: int
    n_features: int
    n_blocks: int = 16
    sort: bool = False

    def at_most(self, n_samples: int) -> Problem:
        return Problem(**(asdict(self) | {"n_samples": min(self.n_samples, n_samples)}))


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("logistic-20", "binomial", 2_000_000, 20),
        Problem("logistic-20-sorted", "binomial", 2_000_000, 20, sort=True),
        Problem("logistic-100", "binomial", 400_000, 100),
        Problem("poisson-20", "poisson", 2_000_000, 20),
        Problem("gaussian-20", "gaussian", 2_000_000, 20),
    )
}


def write(problem: Problem, seed: int, directory: Path) -> dict[str, Any]:
    """Draw a problem, write its rows where every library reads them, and return what it is."""
    d = problem.n_features
    # Coefficients that shrink with d keep η, and so the problem's difficulty, in the same range.
    slopes = np.linspace(0.1, 0.5, d) * (-1.0) ** np.arange(d) * np.sqrt(20 / max(d, 20))
    chunks = -(-problem.n_samples // problem.n_blocks)
    X, y, _ = make_glm(
        problem.n_samples,
        d,
        family=problem.family,
        coef=np.r_[0.5, slopes],
        chunks=chunks,
        sort=problem.sort,
        random_state=seed,
    )
    paths = {"x": directory / f"{problem.name}-x.npy", "y": directory / f"{problem.name}-y.npy"}
    for key, part in (("x", X), ("y", y)):
        out = np.lib.format.open_memmap(paths[key], mode="w+", dtype=np.float64, shape=part.shape)
        for number, start in enumerate(range(0, problem.n_samples, chunks)):
            out[start : start + chunks] = part.blocks[number].compute(scheduler="synchronous")
        out.flush()
    return asdict(problem) | {"chunks": chunks} | {key: str(path) for key, path in paths.items()}
