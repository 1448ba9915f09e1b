"""Seconds for the same debiased lasso by several libraries: ``python -m benchmarks.sparse --help``.

All run in one process, one after another, on the same rows.  The product X'X of the blocks, on the
same threads, is the yardstick: no method that looks at all pairs of columns can be faster.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from dask_onestep import DebiasedLasso, GLMRegressor


@dataclass(frozen=True)
class Design:
    """A simulated sparse model: independent columns, ten of them active."""

    n: int
    p: int
    blocks: int
    family: str
    alpha: float
    seed: int

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.n, self.p))
        eta = x[:, :10] @ np.full(min(10, self.p), 0.5)
        if self.family == "gaussian":
            return x, eta + rng.standard_normal(self.n)
        return x, (rng.random(self.n) < 1 / (1 + np.exp(-eta))).astype(float)


def gram(x: np.ndarray, design: Design, threads: int) -> np.ndarray:
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(_product, np.array_split(x, design.blocks)))


def _product(block: np.ndarray) -> np.ndarray:
    return block.T @ block


def ours(x: np.ndarray, y: np.ndarray, design: Design, **options: Any) -> np.ndarray:
    rows = -(-design.n // design.blocks)
    method = DebiasedLasso(**{"alpha": design.alpha, "weights": "equal"} | options)
    glm = GLMRegressor(design.family, method=method, fit_intercept=False)
    return glm.fit(da.from_array(x, chunks=(rows, -1), name=False), da.from_array(y, chunks=rows, name=False)).coef_


def statsmodels(x: np.ndarray, y: np.ndarray, design: Design) -> np.ndarray:
    import statsmodels.api as sm
    from statsmodels.base.distributed_estimation import DistributedModel

    # The default divides the score by σ̂² and not the Hessian: scale 1 is the published estimator.
    options: dict[str, Any] = {"model_class": sm.OLS, "estimation_kwds": {"score_kwds": {"scale": 1.0}}}
    if design.family == "binomial":
        options = {"model_class": sm.GLM, "init_kwds": {"family": sm.families.Binomial()}}
    parts = zip(np.array_split(y, design.blocks), np.array_split(x, design.blocks), strict=True)
    return DistributedModel(design.blocks, **options).fit(parts, fit_kwds={"alpha": design.alpha}).params


def hidimstat(x: np.ndarray, y: np.ndarray, design: Design) -> np.ndarray:
    from hidimstat.desparsified_lasso import DesparsifiedLasso

    return DesparsifiedLasso(n_jobs=1, random_state=0).fit(x, y).importance()


def seconds(function: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Return the median wall and processor time of a few runs, after one to warm up if there are several."""
    result, wall, processor = function() if repeats > 1 else None, [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return float(np.median(wall)), float(np.median(processor)), result


def compare(design: Design, *, threads: int, repeats: int, others: bool) -> pd.DataFrame:
    x, y = design.draw()
    runs: list[tuple[str, Callable[[], Any], int]] = [
        ("X'X of the blocks", partial(gram, x, design, threads), repeats),
        ("dask_onestep", partial(ours, x, y, design), repeats),
        ("dask_onestep, pooled", partial(ours, x, y, design, nodewise="pooled", weights="size"), repeats),
    ]
    if others:
        runs.append(("statsmodels DistributedModel", partial(statsmodels, x, y, design), 1))
        if design.family == "gaussian":
            runs.append(("hidimstat DesparsifiedLasso", partial(hidimstat, x, y, design), 1))
    rows, coefs = [], {}
    with threadpool_limits(1), dask.config.set(scheduler="threads", num_workers=threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, run, times in runs:
            wall, processor, coefs[name] = seconds(run, times)
            rows.append({"family": design.family, "what": name, "wall": wall, "processor": processor})
    table = pd.DataFrame(rows).set_index("what")
    # Processor time is what other programs on the machine disturb least.
    for kind in ("wall", "processor"):
        for base, word in (("X'X of the blocks", "X'X"), ("dask_onestep", "ours")):
            table[f"{kind} × {word}"] = table[kind] / table.loc[base, kind]
    same = coefs.get("statsmodels DistributedModel")
    if same is not None:
        table["largest difference"] = np.nan
        table.loc["dask_onestep", "largest difference"] = np.abs(coefs["dask_onestep"] - same).max()
    return table.reset_index()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__.splitlines()[0])
    parser.add_argument("-N", "--rows", type=int, default=20_000)
    parser.add_argument("-p", "--columns", type=int, default=200)
    parser.add_argument("-K", "--blocks", type=int, default=4)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--families", nargs="+", default=["gaussian", "binomial"], choices=["gaussian", "binomial"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-ours", action="store_true", help="leave statsmodels and hidimstat out")
    parser.add_argument("--output", type=Path, help="a CSV to write")
    options = parser.parse_args(arguments)
    tables = []
    for family in options.families:
        design = Design(options.rows, options.columns, options.blocks, family, options.alpha, options.seed)
        tables.append(compare(design, threads=options.threads, repeats=options.repeats, others=not options.only_ours))
        print(tables[-1].to_string(index=False, float_format=lambda value: f"{value:.4g}"), flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(tables).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
