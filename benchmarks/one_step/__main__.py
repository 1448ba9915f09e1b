"""One step with and without the correction, and how large a pilot must be: ``python -m benchmarks.one_step``.

For each design and each of B draws: the squared distance of the estimate to the global MLE in information
units, per coefficient, so that 1 is what sampling error makes of the MLE itself.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.record import Record
from dask_onestep import MLE, GLMRegressor, OneStep


@dataclass(frozen=True)
class Design:
    """Rows to draw, and a pilot."""

    name: str
    family: str
    n_samples: int
    d: int
    pilot: int | str
    intercept: float = 0.0
    tails: float = np.inf
    size: float = 1.0
    link: str | None = None

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((seed, self.n_samples, self.d))
        shape = (self.n_samples, self.d)
        x = rng.standard_normal(shape) if np.isinf(self.tails) else rng.standard_t(self.tails, shape)
        eta = self.intercept + x @ (self.size * np.linspace(1.0, -0.5, self.d) / np.sqrt(self.d))
        if self.family == "binomial":
            return x, (rng.random(self.n_samples) < 1 / (1 + np.exp(-eta))).astype(float)
        mean = np.exp(np.minimum(eta, 6.0))
        return x, rng.gamma(2.0, mean / 2.0) if self.family == "gamma" else rng.poisson(mean).astype(float)


DESIGNS = [
    Design("logistic", "binomial", 100_000, 3, 1000),
    Design("logistic, strong", "binomial", 100_000, 3, 1000, size=3.0),
    Design("logistic, tiny pilot", "binomial", 100_000, 3, 60),
    Design("logistic, rare (2 %)", "binomial", 100_000, 3, 1000, intercept=-4.2),
    Design("logistic, heavy tails", "binomial", 100_000, 3, 1000, tails=3.0),
    Design("logistic, d = 10", "binomial", 100_000, 10, 1000),
    Design("Poisson", "poisson", 100_000, 3, 1000),
    Design("Poisson, tiny pilot", "poisson", 100_000, 3, 60),
    Design("Poisson, heavy tails", "poisson", 100_000, 3, 1000, tails=5.0, size=0.5),
    Design("Poisson, d = 10", "poisson", 100_000, 10, 1000),
    Design("gamma, log link", "gamma", 100_000, 3, 1000, link="log"),
    Design("gamma, log link, tiny pilot", "gamma", 100_000, 3, 60, link="log"),
    Design("binomial, probit link", "binomial", 100_000, 3, 1000, link="probit"),
    Design("binomial, cloglog link", "binomial", 100_000, 3, 1000, link="cloglog"),
    *(
        Design(f"automatic pilot, N = {n:,}, d = {d}", "binomial", n, d, "auto", size=2.0)
        for n in (10_000, 100_000, 500_000)
        for d in (2, 5, 20)
    ),
]


def distances(design: Design, seed: int) -> list[dict]:
    """Return the distance of both steps to the MLE on one draw."""
    x, y = design.draw(seed)
    found = []
    with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("always")
        exact = GLMRegressor(design.family, design.link, method=MLE()).fit(x, y)
        information = np.linalg.inv(exact.covariance_)
        for correction in (None, "pilot"):
            before = len(caught)
            method = OneStep(design.pilot, pilot_bytes=1, steps=1, correction=correction, random_state=seed)
            glm = GLMRegressor(design.family, design.link, method=method).fit(x, y)
            gap = glm.estimate_.coef - exact.estimate_.coef
            share = np.abs(np.sqrt(np.diag(glm.covariance_) / np.diag(exact.covariance_)) - 1).max()
            found.append(
                {
                    "correction": correction or "none",
                    "pilot": glm.estimate_.pilot_size,
                    "distance": gap @ information @ gap / len(gap),
                    "told": glm.decrement_ / (len(gap) * glm.dispersion_),
                    "std_err": share,
                    "warned": len(caught) > before,
                    "passes": glm.n_passes_,
                }
            )
    return found


def summarize(design: Design, draws: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each correction."""
    rows = draws.groupby("correction", sort=False)
    return pd.DataFrame(
        {
            "design": design.name,
            "N": design.n_samples,
            "d": design.d + 1,
            "pilot": rows["pilot"].first(),
            "median": rows["distance"].median(),
            "q95": rows["distance"].quantile(0.95),
            "max": rows["distance"].max(),
            "told_median": rows["told"].median(),
            "std_err_median": rows["std_err"].median(),
            "warned": rows["warned"].mean(),
            "passes": rows["passes"].mean(),
            "B": rows.size(),
        }
    ).reset_index()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_step", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--design", default="", help="only designs whose name holds this")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    for design in track([each for each in DESIGNS if options.design in each.name], "designs"):
        if record.has({"design": design.name, "seed": options.seed}):
            continue
        draws = [row for b in range(options.replicates) for row in distances(design, options.seed + b)]
        for row in summarize(design, pd.DataFrame(draws)).to_dict("records"):
            record.add(row, {"seed": options.seed})
    print(record.table.loc[:, :"B"].to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
