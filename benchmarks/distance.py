"""How far the default fit is from the MLE: ``python -m benchmarks.distance --help``.

Each cell is a kind of data set.  The default fit of many random ones is compared with the MLE; small tables, whose
pilot would be all rows, are fitted as if they were large.  The distance of a fit is the greatest over its coefficients
of |β̂ − β̂_MLE| in standard errors of the MLE.  A fit is

- a miss, if its distance is above 0.2, or a standard error more than 10 % off, and it has no warning;
- a false alarm, if it has a warning and its distance is below 0.05.

Its bound holds if the distance is at most `estimate_.distance_bound`; its decrement, if λ² as the distance to the MLE
tells it is at most `decrement_` times what an average may be exceeded by in 5 % of cases.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from rich.progress import track
from scipy import stats
from threadpoolctl import threadpool_limits

from benchmarks.record import Record
from benchmarks.timing import ONE_THREAD
from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.families import NegativeBinomial
from dask_onestep.links import resolve_link

RESULTS = Path(__file__).with_name("results") / "distance.csv"
BLOCKS = 8


@dataclass(frozen=True)
class Table:
    """Rows of a data set: a frame or a matrix, and what goes with it."""

    x: Any
    y: np.ndarray
    offset: np.ndarray | None = None
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Cell:
    """A kind of data set, and the model that is fitted to it."""

    make: Callable[[np.random.Generator, int], Table]
    family: str = "binomial"
    link: str | None = None
    rows: int = 200_000
    formula: str | None = None
    cov_type: str = "nonrobust"


def _normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d))


def _t3(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_t(3, (n, d))


def _lognormal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.lognormal(size=(n, d))


COVARIATES = {"normal": _normal, "t3": _t3, "lognormal": _lognormal}
LAWS: dict[str, Callable[..., np.ndarray]] = {
    "binomial": lambda rng, mean: (rng.random(len(mean)) < mean).astype(float),
    "poisson": lambda rng, mean: rng.poisson(np.minimum(mean, 1e9)).astype(float),
    "gamma": lambda rng, mean: rng.gamma(2.0, mean / 2.0),
    "gaussian": lambda rng, mean: mean + rng.normal(size=len(mean)),
    "negative-binomial": lambda rng, mean: rng.poisson(np.minimum(mean, 1e9) * rng.gamma(2.0, 0.5, len(mean))).astype(
        float
    ),
}


def drawn(
    rng: np.random.Generator,
    n: int,
    *,
    family: str = "binomial",
    link: str = "logit",
    kind: str = "normal",
    d: int = 4,
    intercept: float = 0.0,
    slope: float = 0.3,
    order: str = "",
) -> Table:
    """Return rows of a generalized linear model, in random order or sorted."""
    x = COVARIATES[kind](rng, n, d)
    eta = intercept + x @ (slope * np.resize([1.0, -0.5, 0.5, -1.0], d) / np.sqrt(d / 4))
    y = LAWS[family](rng, resolve_link(link).inverse(eta))
    if order:
        at = np.argsort(y if order == "y" else x[:, 0], kind="stable")
        x, y = x[at], y[at]
    return Table(x, y)


def events(rng: np.random.Generator, n: int, *, count: int) -> Table:
    """Return rows of which `count` are events, whatever their covariates."""
    y = np.zeros(n)
    y[rng.choice(n, count, replace=False)] = 1.0
    return Table(_normal(rng, n, 3), y)


def levels(rng: np.random.Generator, n: int, *, intercept: float = -6.0) -> Table:
    """Return rare events, with a factor of eight levels down to .2 % and a covariate of heavy tails."""
    shares = [0.4, 0.3, 0.2, 0.06, 0.03, 0.006, 0.002, 0.002]
    frame = pd.DataFrame({"g": pd.Categorical(rng.choice(list("abcdefgh"), n, p=shares)), "x": rng.standard_t(4, n)})
    effect = np.linspace(-0.5, 1.5, 8)[frame["g"].cat.codes]
    eta = intercept + 0.3 * frame["x"] + effect
    return Table(frame, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float))


def claims(rng: np.random.Generator, n: int, *, rate: float, overdispersion: float = 1.0) -> Table:
    """Return counts with an exposure, a spline of a skewed age, and rare levels."""
    shares = [0.5, 0.3, 0.15, 0.03, 0.015, 0.005]
    frame = pd.DataFrame({"age": rng.gamma(9, 5, n), "g": pd.Categorical(rng.choice(list("abcdef"), n, p=shares))})
    offset = np.log(rng.exponential(1, n) + 1e-3)
    mean = np.exp(rate + 0.01 * (frame["age"].to_numpy() - 45) + 0.2 * frame["g"].cat.codes.to_numpy() + offset)
    return Table(frame, _counts(rng, mean, overdispersion), offset)


def overdispersed(rng: np.random.Generator, n: int, *, factor: float) -> Table:
    """Return counts whose variance is about `factor` times their mean, and grows faster than the mean."""
    x = _normal(rng, n, 3)
    return Table(x, _counts(rng, np.exp(0.5 + x @ [0.5, -0.3, 0.2]), factor))


def clustered(rng: np.random.Generator, n: int) -> Table:
    """Return events of 200 clusters, with an effect of each."""
    groups = rng.integers(0, 200, n)
    x = _normal(rng, n, 3) + rng.normal(size=200)[groups, None]
    eta = -3 + x @ [0.3, -0.2, 0.1] + rng.normal(size=200)[groups] * 0.7
    return Table(x, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float), groups=groups)


def _counts(rng: np.random.Generator, mean: np.ndarray, factor: float) -> np.ndarray:
    if factor > 1:
        shape = mean.mean() / (factor - 1)
        mean = mean * rng.gamma(shape, 1 / shape, len(mean))
    return rng.poisson(mean).astype(float)


def cells() -> Iterator[tuple[str, Cell]]:
    """Yield every cell with its name."""
    for count in (10, 20, 50, 200, 2000):
        yield f"{count} events", Cell(partial(events, count=count))
    for family, link in (
        ("binomial", "logit"),
        ("binomial", "probit"),
        ("binomial", "cloglog"),
        ("poisson", "log"),
        ("poisson", "sqrt"),
        ("gamma", "log"),
        ("gaussian", "identity"),
        ("gaussian", "log"),
        ("negative-binomial", "log"),
    ):
        base = 3.0 if link == "sqrt" else 0.0
        for kind, slope in (("normal", 0.3), ("t3", 0.15), ("lognormal", 0.1)):
            if link == "sqrt" and kind != "normal":  # which has no means below 0
                continue
            make = partial(drawn, family=family, link=link, kind=kind, slope=slope, intercept=base)
            yield f"{family} {link}, {kind}", Cell(make, family, link, 100_000)
    for rows in (60_000, 300_000, 1_000_000):
        yield f"rare events and levels, N = {rows:,}", Cell(levels, rows=rows, formula="g + x")
    for rate in (-6.5, -4.0, -2.0):
        make = partial(claims, rate=rate)
        yield f"claims, log rate {rate:g}", Cell(make, "poisson", rows=300_000, formula="bs(age, df=5) + g")
    for factor in (2.0, 6.7, 15.7):
        yield f"overdispersion {factor:g}", Cell(partial(overdispersed, factor=factor), "poisson", rows=100_000)
        make = partial(claims, rate=-2.0, overdispersion=factor)
        yield f"claims, overdispersion {factor:g}", Cell(make, "poisson", rows=300_000, formula="bs(age, df=5) + g")
    for order in ("y", "x"):
        yield f"sorted by {order}", Cell(partial(drawn, intercept=-3.0, order=order), link="logit")
    yield "clusters", Cell(clustered, cov_type="cluster")
    yield "HC1", Cell(partial(drawn, intercept=-3.0), link="logit", cov_type="HC1")
    for d in (2, 30, 100, 300):
        yield f"d = {d}", Cell(partial(drawn, d=d, intercept=-1.0), link="logit", rows=100_000)
    yield "N = 10,000,000", Cell(partial(drawn, d=3, intercept=-4.0), link="logit", rows=10_000_000)


def fitted(cell: Cell, table: Table, method: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a fit of a table by a method, and the names of its warnings."""
    formula = None if cell.formula is None else f"y ~ {cell.formula}"
    options: dict[str, Any] = {"method": method, "formula": formula, "cov_type": cell.cov_type}
    if cell.family == "binomial":
        glm: Any = GLMClassifier(**options) if cell.link is None else GLMClassifier(cell.link, **options)
    else:
        family: Any = NegativeBinomial(0.5) if cell.family == "negative-binomial" else cell.family
        glm = GLMRegressor(family, cell.link, **options)
    parts = {
        name: da.from_array(part, chunks=-(-len(part) // BLOCKS))
        for name, part in (("offset", table.offset), ("groups", table.groups))
        if part is not None
    }
    if formula is None:
        chunk = -(-len(table.x) // BLOCKS)
        x = da.from_array(table.x, chunks=(chunk, table.x.shape[1]))
        glm.fit(x, da.from_array(table.y, chunks=chunk), **parts)
    else:
        frame = table.x.assign(y=table.y)
        if table.offset is not None:
            frame["exposure"] = table.offset
            parts = {"offset": "exposure"}
        glm.fit(dd.from_pandas(frame, npartitions=BLOCKS, sort=False), **parts)
    return glm, tuple(category.__name__ for category, _ in glm.estimate_.warnings)


def measured(name: str, seed: int) -> dict[str, Any] | None:
    """Return how far the default fit of one data set is from its MLE; None where there is none."""
    cell = dict(cells())[name]
    table = cell.make(np.random.default_rng([seed, len(name), sum(name.encode())]), cell.rows)
    with (
        dask.config.set(scheduler="synchronous"),
        threadpool_limits(1),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        exact, said = fitted(cell, table, MLE(max_iter=60, random_state=seed))
        ours, remarks = fitted(cell, table, OneStep(pilot_bytes=1, random_state=seed))
    # Where a level has no event one of the fits finds out, before it converges to what is no maximum.
    if {"SeparationWarning", "NotConvergedWarning", "AliasingWarning"} & set(said) or "SeparationWarning" in remarks:
        return None
    errors, estimate = np.sqrt(np.diag(exact.covariance_)), ours.estimate_
    away = ours.estimate_.coef - exact.estimate_.coef
    distance = float(np.abs(away / errors).max())
    off = float(np.abs(np.sqrt(np.diag(ours.covariance_)) / errors - 1).max())
    d, phi = len(away), exact.dispersion_
    decrement = float(away @ exact.estimate_.sums.information @ away)
    return {
        "distance": distance,
        "error_off": off,
        "n_passes": ours.n_passes_,
        "n_passes_mle": exact.n_passes_,
        "pilot_size": estimate.pilot_size,
        "bound": estimate.distance_bound,
        "bound_holds": distance <= estimate.distance_bound + 1e-6,
        "decrement": estimate.decrement,
        "decrement_holds": decrement <= estimate.decrement * stats.chi2.isf(0.05, 1) + 1e-8 * d * phi,
        "warnings": " ".join(remarks),
        "miss": not remarks and (distance > 0.2 or off > 0.1),
        "false_alarm": bool(remarks) and distance < 0.05,
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a cell."""
    grouped = table.groupby("cell", sort=False)
    return pd.DataFrame(
        {
            "fits": grouped.size(),
            "median": grouped["distance"].median(),
            "95 %": grouped["distance"].quantile(0.95),
            "greatest": grouped["distance"].max(),
            "errors off": grouped["error_off"].max(),
            "passes": grouped["n_passes"].mean(),
            "of MLE": grouped["n_passes_mle"].mean(),
            "pilot": grouped["pilot_size"].median().astype(int),
            "bound holds": grouped["bound_holds"].mean(),
            "decrement holds": grouped["decrement_holds"].mean(),
            "misses": grouped["miss"].sum(),
            "false alarms": grouped["false_alarm"].sum(),
        }
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distance", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fits", type=int, default=100, help="data sets of each cell, a tenth of it for 10⁷ rows")
    parser.add_argument("--only", default="", help="cells whose name has this text")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="processes")
    parser.add_argument("--csv", type=Path, default=RESULTS, help="where each fit is written")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has")
    asked = parser.parse_args(arguments)
    record = Record(asked.csv, resume=asked.resume)
    wanted = [
        (name, seed)
        for name, cell in cells()
        if asked.only in name
        for seed in range(asked.fits if cell.rows < 10_000_000 else max(1, asked.fits // 10))
        if not record.has({"cell": name, "seed": seed})
    ]
    os.environ.update(ONE_THREAD)
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        futures = {pool.submit(measured, name, seed): (name, seed) for name, seed in wanted}
        for future, (name, seed) in track(futures.items(), "Fits", disable=not sys.stderr.isatty()):
            if (found := future.result()) is not None:
                record.add({"cell": name, "seed": seed}, found)
    with pd.option_context("display.width", 250, "display.max_rows", None, "display.max_columns", None):
        print(summary(record.table).round(4))
    return 0


if __name__ == "__main__":
    sys.exit(main())
