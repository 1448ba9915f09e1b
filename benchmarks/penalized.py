"""Elastic nets of all rows and the debiased lasso: CPU seconds, memory, objective and coverage, up to 5,000 columns.

    python -m benchmarks.penalized [--sizes 100000x100,20000x1000,10000x5000] [--libraries glum,celer] [--resume]

Each library that is installed fits the same rows in memory, one penalty or a path of penalties cross-validated in 5
folds, each fit in a process of its own that is ended at ``--limit`` CPU seconds.  The penalty is half of √(2 log p/N).
CPU seconds are those of the process and its children after a fit of few rows, which imports and compiles; memory is the
peak that the fit adds.  H2O holds the rows in a process of its own, in which it fits them: reading them does not count.
``excess`` is how far the objective exceeds that of a fit with a tolerance of 1e-12 at the same penalty, relative to it.
Columns are correlated as an autoregression with coefficient 0.5, ten of them active.

``debiased`` is the coverage of 95 % intervals and the CPU seconds of a fit, over 40 draws of 2,000 rows and 100
columns, five of them active.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import psutil

from benchmarks.debiased_coverage import Cell
from benchmarks.draws import autoregression, in_blocks, response
from benchmarks.record import Record
from benchmarks.timing import cpu_seconds, processes
from dask_onestep import DebiasedLasso, ElasticNet, ElasticNetCV, GLMRegressor

RESULTS = Path(__file__).parent / "results" / "penalized.csv"
RATIO, FOLDS, DRAWS = 0.9, 5, 40
# A fit: intercept and slopes, the penalty it is of, and its passes if they are counted.
Fit = tuple[np.ndarray, float, float]


@dataclass(frozen=True)
class Task:
    """What to fit: the size of the data, and one penalty, or the number of those of a path."""

    family: str
    rows: int
    columns: int
    penalties: int

    @property
    def alpha(self) -> float:
        """The penalty, or one of those of the path."""
        return float(np.sqrt(2 * np.log(self.columns) / self.rows) / 2)

    @property
    def grid(self) -> np.ndarray:
        """The penalties of the path."""
        return np.geomspace(10 * self.alpha, self.alpha / 2, self.penalties)


def draw(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return covariates and response."""
    rng = np.random.default_rng(0)
    x = autoregression(rng, task.rows, task.columns, 0.5)
    return x, response(rng, task.family, x[:, :10] @ (0.3 * (-1.0) ** np.arange(10)))


def objective(coef: np.ndarray, x: np.ndarray, y: np.ndarray, family: str, alpha: float) -> float:
    """Return −ℓ/N plus the penalty, up to a constant of the data."""
    eta = coef[0] + x @ coef[1:]
    loss = np.square(y - eta) / 2 if family == "gaussian" else np.logaddexp(0.0, eta) - y * eta
    return float(loss.mean() + alpha * (RATIO * np.abs(coef[1:]).sum() + (1 - RATIO) / 2 * np.square(coef[1:]).sum()))


# --- libraries: what to prepare of the rows, and the fit -----------------------------------------


def of_dask_onestep(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    method = ElasticNetCV(task.grid, RATIO, FOLDS) if task.penalties > 1 else ElasticNet(task.alpha, RATIO)
    with dask.config.set(scheduler="threads"):
        glm = GLMRegressor(task.family, method=method).fit(*in_blocks(x, y, 8))
    return np.r_[glm.intercept_, glm.coef_], glm.estimate_.alpha, glm.n_passes_


def of_scikit_learn(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from sklearn import linear_model

    if task.family == "gaussian":
        if task.penalties > 1:
            fit = linear_model.ElasticNetCV(l1_ratio=RATIO, alphas=task.grid, cv=FOLDS).fit(x, y)
            return np.r_[fit.intercept_, fit.coef_], float(fit.alpha_), np.nan
        fit = linear_model.ElasticNet(task.alpha, l1_ratio=RATIO).fit(x, y)
        return np.r_[fit.intercept_, fit.coef_], task.alpha, np.nan
    if task.penalties > 1:
        options = {"Cs": 1 / (len(y) * task.grid), "cv": FOLDS, "l1_ratios": [RATIO], "scoring": "neg_log_loss"}
        fit = linear_model.LogisticRegressionCV(solver="saga", use_legacy_attributes=False, **options).fit(x, y)
        return np.r_[fit.intercept_, fit.coef_[0]], 1 / (len(y) * float(np.ravel(fit.C_)[0])), np.nan
    fit = linear_model.LogisticRegression(C=1 / (len(y) * task.alpha), l1_ratio=RATIO, solver="saga").fit(x, y)
    return np.r_[fit.intercept_, fit.coef_[0]], task.alpha, float(fit.n_iter_[0])


def of_glum(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from glum import GeneralizedLinearRegressor, GeneralizedLinearRegressorCV

    family = {"gaussian": "normal"}.get(task.family, task.family)
    if task.penalties > 1:
        options = {"alphas": list(task.grid), "cv": FOLDS}
        cv = GeneralizedLinearRegressorCV(l1_ratio=RATIO, family=family, **options).fit(x, y)
        return np.r_[cv.intercept_, cv.coef_], float(cv.alpha_), np.nan
    fit = GeneralizedLinearRegressor(alpha=task.alpha, l1_ratio=RATIO, family=family).fit(x, y)
    return np.r_[fit.intercept_, fit.coef_], task.alpha, float(fit.n_iter_)


def of_skglm(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from skglm import ElasticNet as Net
    from skglm import GeneralizedLinearEstimator
    from skglm.datafits import Logistic
    from skglm.penalties import L1_plus_L2
    from skglm.solvers import ProxNewton

    x = np.asfortranarray(x)
    if task.family == "gaussian":
        fit = Net(task.alpha, l1_ratio=RATIO).fit(x, y)
    else:
        fit = GeneralizedLinearEstimator(Logistic(), L1_plus_L2(task.alpha, RATIO), ProxNewton())
        fit.fit(x, np.where(y > 0, 1.0, -1.0))
    return np.r_[fit.intercept_, np.ravel(fit.coef_)], task.alpha, np.nan


def of_celer(task: Task, x: np.ndarray, y: np.ndarray) -> Fit:
    from celer import ElasticNet as Net
    from celer import ElasticNetCV as NetCV

    if task.penalties > 1:
        cv = NetCV(l1_ratio=RATIO, alphas=task.grid, cv=FOLDS).fit(x, y)
        return np.r_[cv.intercept_, cv.coef_], float(cv.alpha_), np.nan
    fit = Net(task.alpha, l1_ratio=RATIO).fit(x, y)
    return np.r_[fit.intercept_, fit.coef_], task.alpha, np.nan


def h2o_frame(task: Task, x: np.ndarray, y: np.ndarray) -> Any:
    import h2o

    h2o.init(verbose=False)
    h2o.no_progress()
    frame = h2o.H2OFrame(pd.DataFrame(x).add_prefix("x").assign(y=y))
    if task.family == "binomial":
        frame["y"] = frame["y"].asfactor()
    return frame


def of_h2o(task: Task, x: Any, y: np.ndarray) -> Fit:
    from h2o.estimators import H2OGeneralizedLinearEstimator

    fit = H2OGeneralizedLinearEstimator(family=task.family, alpha=RATIO, lambda_=task.alpha, standardize=False)
    fit.train(x=x.columns[:-1], y="y", training_frame=x)
    coef = fit.coef()
    return np.array([coef["Intercept"], *(coef[name] for name in x.columns[:-1])]), task.alpha, np.nan


LIBRARIES: dict[str, Callable[[Task, Any, np.ndarray], Fit]] = {
    "dask_onestep": of_dask_onestep,
    "scikit-learn": of_scikit_learn,
    "glum": of_glum,
    "skglm": of_skglm,
    "celer": of_celer,
    "h2o": of_h2o,
}
# What a library has no fit of.
LACKS = {
    "skglm": lambda task: task.penalties > 1,
    "h2o": lambda task: task.penalties > 1,  # its search has a grid of its own
    "celer": lambda task: task.family != "gaussian" or task.penalties > 1,
    "hidimstat": lambda task: task.family != "gaussian",
}


def can_fit(library: str, task: Task) -> bool:
    """Return whether a library is installed and has the model."""
    installed = find_spec({"scikit-learn": "sklearn"}.get(library, library)) is not None
    return installed and not LACKS.get(library, lambda task: False)(task)


# --- measurements ---------------------------------------------------------------------------------


def peak_bytes() -> int:
    """Return the peak memory of this process, and the memory of its children."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return own + sum(each.memory_info().rss for each in processes()[1:])


def measure(library: str, task: Task, sent: Any) -> None:
    """Send time, additional memory and result of one fit, after one of few rows and penalties."""
    warnings.simplefilter("ignore")
    x, y = draw(task)
    few, prepared = (
        replace(task, penalties=min(task.penalties, 2)),
        h2o_frame if library == "h2o" else lambda _, x, y: x,
    )
    try:
        LIBRARIES[library](few, prepared(few, x[:1000], y[:1000]), y[:1000])
        x = prepared(task, x, y)
        sent.send("begun")
        before, cpu, start = peak_bytes(), cpu_seconds(), time.perf_counter()
        fit = LIBRARIES[library](task, x, y)
        sent.send((fit, cpu_seconds() - cpu, time.perf_counter() - start, peak_bytes() - before))
    except Exception as error:
        sent.send(error)
    if library == "h2o":
        import h2o

        h2o.cluster().shutdown()


def within(limit: float, library: str, task: Task) -> dict[str, Any]:
    """Return the measurements of a fit in a process of its own, which is ended at a limit of CPU seconds."""
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(library, task, sent))
    process.start()
    child = psutil.Process(process.pid)
    found = received.recv() if received.poll(2 * limit) else TimeoutError("the library did not start")
    begun = sum(child.cpu_times()[:2])
    while found == "begun" and not received.poll(1.0):
        if sum(child.cpu_times()[:2]) - begun > limit:
            found = TimeoutError(f"more than {limit:g} CPU seconds")
    found = received.recv() if found == "begun" else found
    for each in (*child.children(recursive=True), child):
        each.kill()
    process.join()
    if isinstance(found, Exception):
        return {"error": f"{type(found).__name__}: {found}".splitlines()[0]}
    (coef, alpha, passes), cpu, wall, added = found
    x, y, least = exact(replace(task, penalties=1), alpha)
    return {
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "mebibytes": round(added / 2**20),
        "excess": float(f"{objective(coef, x, y, task.family, alpha) / least - 1:.1e}"),
        "alpha": float(f"{alpha:.3g}"),
        "nonzero": int(np.count_nonzero(coef[1:])),
        "passes": passes,
    }


@cache
def exact(task: Task, alpha: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the rows and the least objective at a penalty."""
    x, y = draw(task)
    glm = GLMRegressor(task.family, method=ElasticNet(alpha, RATIO, tol=1e-12)).fit(x, y)
    return x, y, objective(np.r_[glm.intercept_, glm.coef_], x, y, task.family, alpha)


def debiased(library: str, task: Task) -> dict[str, float]:
    """Return coverage and CPU seconds of the debiased lasso."""
    warnings.simplefilter("ignore")
    cell, covered, seconds = Cell(task.family, task.rows, task.columns, 1), [], []
    for seed in range(DRAWS + 1):  # the first imports and compiles
        x, y = (each.compute() for each in cell.draw(seed))
        began = cpu_seconds()
        if library == "hidimstat":
            from hidimstat import DesparsifiedLasso

            fit = DesparsifiedLasso(random_state=0).fit(x, y)
            fit.importance()
            low, high = fit.confidence_bound_min_, fit.confidence_bound_max_
        else:
            found = GLMRegressor(task.family, method=DebiasedLasso()).fit(x, y).coef_table().drop("intercept")
            low, high = found["ci_lower"].to_numpy(), found["ci_upper"].to_numpy()
        seconds.append(cpu_seconds() - began)
        covered.append((low <= cell.coef) & (cell.coef <= high))
    coverage, active = np.mean(covered[1:], axis=0), cell.coef != 0
    means = {"covered_nonzero": coverage[active].mean(), "covered_zero": coverage[~active].mean()}
    return means | {"cpu_seconds": float(np.mean(seconds[1:]))}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000x100,20000x1000,10000x5000")
    parser.add_argument("--families", default="gaussian,binomial")
    parser.add_argument("--libraries", default=",".join((*LIBRARIES, "hidimstat")))
    parser.add_argument("--penalties", type=int, default=20, help="Penalties of a path, cross-validated in 5 folds.")
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds at which a process is ended.")
    parser.add_argument("--resume", action="store_true", help="Keep what the file has, and add what it lacks.")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(argv)
    record, libraries = Record(asked.output, resume=asked.resume), asked.libraries.split(",")
    sizes = [tuple(map(int, size.split("x"))) for size in asked.sizes.split(",")]
    for name in asked.families.split(","):
        cases = [("net", Task(name, *size, penalties)) for size in sizes for penalties in (1, asked.penalties)]
        for what, task in [*cases, ("debiased", Task(name, 2000, 100, 1))]:
            for library in libraries:
                fits = library in (LIBRARIES if what == "net" else ("dask_onestep", "hidimstat"))
                about = {"what": what, "library": library} | vars(task)
                if not fits or not can_fit(library, task) or record.has(about):
                    continue
                found = within(asked.limit, library, task) if what == "net" else debiased(library, task)
                record.add(about, found)
                print(about | found, flush=True)
        exact.cache_clear()


if __name__ == "__main__":
    main(sys.argv[1:])
