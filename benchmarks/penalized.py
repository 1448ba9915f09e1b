"""Elastic nets of all rows: time, memory and objective, of one penalty and of a cross-validated path.

scikit-learn, glum and, where they are installed, celer and skglm fit the same rows in memory, each fit in a process of
its own. ``excess`` is how far the objective exceeds that of a fit with a tolerance of 1e-12 at the same penalty,
relative to it. Columns are correlated as an autoregression, ten of them active.

    python -m benchmarks.penalized

writes ``benchmarks/results/penalized.csv``, the table of the docs; ``--rows`` and ``--columns`` set other sizes, up to
5,000 columns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd

from benchmarks.origin import commit, machine
from dask_onestep import ElasticNet, ElasticNetCV, GLMRegressor

RESULTS = Path(__file__).parent / "results" / "penalized.csv"
RATIO, FOLDS = 0.9, 5
# A fit: intercept and slopes, the penalty it is of, and its passes if they are counted.
Fit = tuple[np.ndarray, float, float]


@dataclass(frozen=True)
class Task:
    """What to fit: the size of the data, and one penalty, or the number of those of a path."""

    family: str
    rows: int
    columns: int
    penalties: int
    alpha: float


def draw(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return covariates and response."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((task.rows, task.columns))
    for j in range(1, task.columns):
        x[:, j] = 0.5 * x[:, j - 1] + np.sqrt(0.75) * x[:, j]
    eta = x[:, :10] @ (0.3 * (-1.0) ** np.arange(10))
    if task.family == "gaussian":
        return x, eta + rng.standard_normal(task.rows)
    return x, (rng.random(task.rows) < 1 / (1 + np.exp(-eta))).astype(float)


def objective(coef: np.ndarray, x: np.ndarray, y: np.ndarray, family: str, alpha: float) -> float:
    """Return −ℓ/N plus the penalty, up to a constant of the data."""
    eta = coef[0] + x @ coef[1:]
    loss = np.square(y - eta) / 2 if family == "gaussian" else np.logaddexp(0.0, eta) - y * eta
    return float(loss.mean() + alpha * (RATIO * np.abs(coef[1:]).sum() + (1 - RATIO) / 2 * np.square(coef[1:]).sum()))


def grid(task: Task) -> np.ndarray:
    """Return the penalties of a path."""
    return np.geomspace(100 * task.alpha, task.alpha / 10, task.penalties)


def of_dask_onestep(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    method = ElasticNetCV(grid(task), RATIO, FOLDS) if task.penalties > 1 else ElasticNet(task.alpha, RATIO)
    chunks = max(1, len(y) // 8)
    with dask.config.set(scheduler="threads"):
        data = da.from_array(x, chunks=(chunks, -1)), da.from_array(y, chunks=chunks)
        glm = GLMRegressor(task.family, method=method).fit(*data)
    return np.r_[glm.intercept_, glm.coef_], glm.estimate_.alpha, glm.n_passes_


def of_scikit_learn(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from sklearn import linear_model

    if task.family == "gaussian":
        if task.penalties > 1:
            fit = linear_model.ElasticNetCV(l1_ratio=RATIO, alphas=grid(task), cv=FOLDS, n_jobs=-1).fit(x, y)
            return np.r_[fit.intercept_, fit.coef_], float(fit.alpha_), np.nan
        fit = linear_model.ElasticNet(task.alpha, l1_ratio=RATIO).fit(x, y)
        return np.r_[fit.intercept_, fit.coef_], task.alpha, np.nan
    if task.penalties > 1:
        options = {"Cs": 1 / (len(y) * grid(task)), "cv": FOLDS, "l1_ratios": [RATIO], "n_jobs": -1}
        options |= {"scoring": "neg_log_loss", "refit": True, "use_legacy_attributes": False}
        fit = linear_model.LogisticRegressionCV(solver="saga", **options).fit(x, y)
        return np.r_[fit.intercept_, fit.coef_[0]], 1 / (len(y) * float(np.ravel(fit.C_)[0])), np.nan
    fit = linear_model.LogisticRegression(C=1 / (len(y) * task.alpha), l1_ratio=RATIO, solver="saga").fit(x, y)
    return np.r_[fit.intercept_, fit.coef_[0]], task.alpha, float(fit.n_iter_[0])


def of_glum(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from glum import GeneralizedLinearRegressor, GeneralizedLinearRegressorCV

    family = {"gaussian": "normal"}.get(task.family, task.family)
    if task.penalties > 1:
        options = {"alphas": list(grid(task)), "cv": FOLDS}
        cv = GeneralizedLinearRegressorCV(l1_ratio=RATIO, family=family, **options).fit(x, y)
        return np.r_[cv.intercept_, cv.coef_], float(cv.alpha_), np.nan
    fit = GeneralizedLinearRegressor(alpha=task.alpha, l1_ratio=RATIO, family=family).fit(x, y)
    return np.r_[fit.intercept_, fit.coef_], task.alpha, float(fit.n_iter_)


def of_skglm(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from skglm import ElasticNet as Net

    fit = Net(task.alpha, l1_ratio=RATIO).fit(x, y)
    return np.r_[fit.intercept_, fit.coef_], task.alpha, np.nan


def of_celer(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from celer import ElasticNet as Net

    fit = Net(task.alpha, l1_ratio=RATIO).fit(x, y)
    return np.r_[fit.intercept_, fit.coef_], task.alpha, np.nan


LIBRARIES: dict[str, Callable[[Task, np.ndarray, np.ndarray], Fit]] = {
    "dask_onestep": of_dask_onestep,
    "scikit-learn": of_scikit_learn,
    "glum": of_glum,
    "skglm": of_skglm,
    "celer": of_celer,
}


def can_fit(library: str, task: Task) -> bool:
    """Return whether a library is installed and has the model."""
    alone = task.family == "gaussian" and task.penalties == 1
    return find_spec({"scikit-learn": "sklearn"}.get(library, library)) is not None and (
        library not in ("skglm", "celer") or alone
    )


def measure(library: str, task: Task, sent: Any) -> None:
    """Send time, additional memory, objective and passes of one fit, after one of few rows and penalties."""
    warnings.simplefilter("ignore")
    x, y = draw(task)
    LIBRARIES[library](replace(task, penalties=min(task.penalties, 2)), x[:1000], y[:1000])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    coef, alpha, passes = LIBRARIES[library](task, x, y)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    exact = GLMRegressor(task.family, method=ElasticNet(alpha, RATIO, tol=1e-12)).fit(x, y)
    least = objective(np.r_[exact.intercept_, exact.coef_], x, y, task.family, alpha)
    found = {
        "seconds": f"{seconds:.2f}",
        "mebibytes": round((after - before) / 1024),
        "excess": f"{objective(coef, x, y, task.family, alpha) / least - 1:.1e}",
        "alpha": f"{alpha:.3g}",
        "passes": "" if np.isnan(passes) else f"{passes:g}",
    }
    sent.send(found)


def within(limit: float, library: str, task: Task) -> dict[str, Any]:
    """Return the line of a fit in a process of its own, which is ended at a limit of seconds."""
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(library, task, sent))
    process.start()
    found = received.recv() if received.poll(limit) else {"seconds": f"more than {limit:g}"}
    process.terminate()
    process.join()
    return {"library": library, "family": task.family, "penalties": task.penalties, **found}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--penalties", type=int, default=20, help="Penalties of a path, cross-validated in 5 folds.")
    parser.add_argument("--alpha", type=float, default=0.005)
    parser.add_argument("--limit", type=float, default=120.0, help="Seconds at which a process is ended.")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(argv)
    lines = []
    for family in ("gaussian", "binomial"):
        for penalties in (1, asked.penalties):
            task = Task(family, asked.rows, asked.columns, penalties, asked.alpha)
            for library in LIBRARIES:
                if not can_fit(library, task):
                    continue
                lines.append(within(asked.limit, library, task))
                print(lines[-1], flush=True)
    table = pd.DataFrame(lines).assign(rows=asked.rows, columns=asked.columns, commit=commit(), **machine())
    table["command"] = shlex.join(["python", "-m", "benchmarks.penalized", *argv])
    table.to_csv(asked.output, index=False)


if __name__ == "__main__":
    main(sys.argv[1:])
