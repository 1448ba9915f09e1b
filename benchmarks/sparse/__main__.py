"""Seconds for the same debiased lasso by several libraries: ``python -m benchmarks.sparse --help``.

All run in one process on the same rows, one BLAS thread each.  The product X'X of the blocks, on the
same threads, is the yardstick: no method that looks at all pairs of columns can be faster.  It and ours
take turns, and ratios are of one turn; the slow ones run once, right after.  Processor time is what other
programs on the machine disturb least, so the load is printed too.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.draws import in_blocks, response
from benchmarks.record import Record
from dask_onestep import DebiasedLasso, GLMRegressor

OURS, GRAM, STATSMODELS = "dask_onestep", "X'X of the blocks", "statsmodels DistributedModel"


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
        return x, response(rng, self.family, x[:, :10] @ np.full(min(10, self.p), 0.5))


def gram(x: np.ndarray, design: Design, threads: int) -> np.ndarray:
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(_product, np.array_split(x, design.blocks)))


def _product(block: np.ndarray) -> np.ndarray:
    return block.T @ block


def ours(x: np.ndarray, y: np.ndarray, design: Design, **options: Any) -> np.ndarray:
    defaults = {"alpha": design.alpha, "nodewise": "partition", "weights": "equal", "steps": 1}
    method = DebiasedLasso(**defaults | options)
    glm = GLMRegressor(design.family, method=method, fit_intercept=False)
    return glm.fit(*in_blocks(x, y, design.blocks)).coef_


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


@dataclass(frozen=True)
class Cost:
    """What one run took: wall-clock and processor seconds, and by how many bytes the peak of memory rose."""

    wall: float
    processor: float
    memory: float


def measured(function: Callable[[], Any]) -> tuple[Cost, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    wall, processor = time.perf_counter() - start, time.process_time() - busy
    return Cost(wall, processor, 1024.0 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)), result


def in_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, list[Cost]], dict[str, Any]]:
    """Run all in turn, `rounds` times, after one round to warm up if there are several."""
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    results: dict[str, Any] = {}
    for turn in range(rounds + (rounds > 1)):
        for name, run in runs.items():
            cost, results[name] = measured(run)
            if turn or rounds == 1:
                costs[name].append(cost)
    return costs, results


def compare(design: Design, *, threads: int, repeats: int, others: bool) -> pd.DataFrame:
    x, y = design.draw()
    # The first to run shows its peak of memory.
    turns = {
        OURS: partial(ours, x, y, design),
        "dask_onestep, pooled": partial(ours, x, y, design, nodewise="pooled", weights="size"),
        GRAM: partial(gram, x, design, threads),
    }
    with threadpool_limits(1), dask.config.set(scheduler="threads", num_workers=threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        costs, coefs = in_turns(turns, repeats)
        if others:
            peers = {STATSMODELS: partial(statsmodels, x, y, design)}
            if design.family == "gaussian":
                peers["hidimstat DesparsifiedLasso"] = partial(hidimstat, x, y, design)
            slow, found = in_turns(peers, 1)
            costs, coefs = costs | slow, coefs | found
    table = pd.DataFrame([{"what": name, **_row(name, costs)} for name in costs])
    table["p² matrices"] = table.pop("memory") / (8 * design.p**2)
    table["load"] = os.getloadavg()[0]
    if others:
        table["largest difference"] = np.nan
        table.loc[table.what == OURS, "largest difference"] = np.abs(coefs[OURS] - coefs[STATSMODELS]).max()
    return table


def _row(name: str, costs: dict[str, list[Cost]]) -> dict[str, float]:
    """Return medians, and medians of the ratios of one turn."""
    row = {kind: float(np.median([getattr(c, kind) for c in costs[name]])) for kind in ("wall", "processor")}
    for kind in ("wall", "processor"):
        for base, word in ((GRAM, "X'X"), (OURS, "ours")):
            mine = np.array([getattr(c, kind) for c in costs[name]])
            reference = np.array([getattr(c, kind) for c in costs[base]])
            row[f"{kind} × {word}"] = float(np.median(mine / (reference if len(mine) > 1 else np.median(reference))))
    row["processor seconds"] = row.pop("processor")
    return row | {"memory": max(c.memory for c in costs[name])}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__.splitlines()[0])
    parser.add_argument("-N", "--rows", type=int, default=20_000)
    parser.add_argument("-p", "--columns", type=int, default=200)
    parser.add_argument("-K", "--blocks", type=int, default=4)
    parser.add_argument("--alpha", type=float, help="default: √(log p / n), n the rows of a block")
    parser.add_argument("--families", nargs="+", default=["gaussian", "binomial"], choices=["gaussian", "binomial"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-ours", action="store_true", help="leave statsmodels and hidimstat out")
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    alpha = options.alpha
    if alpha is None:
        alpha = float(np.sqrt(np.log(options.columns) * options.blocks / options.rows))
    for family in options.families:
        design = Design(options.rows, options.columns, options.blocks, family, alpha, options.seed)
        about = asdict(design) | {
            "threads": options.threads,
            "repeats": options.repeats,
            "only_ours": options.only_ours,
        }
        if record.has(about):
            continue
        table = compare(design, threads=options.threads, repeats=options.repeats, others=not options.only_ours)
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"), flush=True)
        for row in table.to_dict("records"):
            record.add(about, row)


if __name__ == "__main__":
    main()
