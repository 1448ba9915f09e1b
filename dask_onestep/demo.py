"""The main task, from files to an estimate: ``python -m dask_onestep.demo``.

A logistic regression of late arrival on the flights that left New York City in 2013, one block per month, on a local
Dask cluster: the one-step estimate, the average of the blocks' fits and the maximum-likelihood estimate.
"""

import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import dask.dataframe as dd
import numpy as np
from distributed import Client, LocalCluster
from rich import box
from rich.console import Console
from rich.table import Table

from dask_onestep import Average, GLMClassifier, OneStep
from dask_onestep.datasets import load_flights

_COLUMNS = ["dep_time", "sched_arr_time", "air_time", "distance"]


def delays(folder: str) -> tuple[Any, Any]:
    """Return the model's covariates, in hundreds as on the start page, and response, lazily."""
    flights = dd.read_parquet(folder).dropna(subset=[*_COLUMNS, "delayed"])
    return flights[_COLUMNS] / 100, flights["delayed"]


def timed_fit(method: Any, X: Any, y: Any) -> tuple[GLMClassifier, float]:
    """Return a fitted model, and the seconds it took."""
    start = time.perf_counter()
    model = GLMClassifier(method=method).fit(X, y)
    return model, time.perf_counter() - start


def distances(model: GLMClassifier, mle: GLMClassifier) -> np.ndarray:
    """Return a model's differences from the MLE, in standard errors of the MLE."""
    ours, best = model.coef_table(), mle.coef_table()
    return ((ours["coef"] - best["coef"]) / best["std_err"]).to_numpy()


def side_by_side(models: Mapping[str, GLMClassifier], mle: GLMClassifier) -> Table:
    """Return the MLE, and other estimates with their distance to it, in one table."""
    table = Table(
        title="Coefficients: change of the log odds of a late arrival per 100 units of a column.\n"
        "diff.: difference from the maximum-likelihood estimate (MLE), in its standard errors (s.e.)",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    names = [head for name in models for head in (name, "diff.")]
    for name in ("", "MLE", "s.e.", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    best = mle.coef_table()
    columns = [(model.coef_table()["coef"], distances(model, mle)) for model in models.values()]
    for at, name in enumerate(best.index):
        cells = [cell for coef, away in columns for cell in (f"{coef.iloc[at]:.4f}", f"{away[at]:+.3f}")]
        table.add_row(name, *(f"{value:.4f}" for value in best.loc[name, ["coef", "std_err"]]), *cells)
    return table


def main(console: Console | None = None) -> None:
    """Fit by three methods on a local cluster, compare the estimates, and explain the comparison."""
    console = console or Console(highlight=False, soft_wrap=True)
    with TemporaryDirectory() as folder, LocalCluster(dashboard_address=":0") as cluster, Client(cluster) as client:
        load_flights().to_parquet(folder, compute_kwargs={"scheduler": "threads"})
        X, y = delays(folder)
        console.print(
            "Was a flight late? A logistic regression of the flights that left New York City in 2013, in "
            f"{X.npartitions} blocks:\none Parquet file per month. Dask cluster of {len(cluster.workers)} local "
            f"workers, dashboard {client.dashboard_link}\n"
        )
        timed_fit("pilot", X, y)  # so that each worker has imported what the fits need
        # By default the pilot of so small a table is all of its rows, and the fit the MLE; here it is to be a sample.
        methods = {"one step": OneStep(pilot_size=11_000), "average": Average(), "MLE": "mle"}
        fits = {name: timed_fit(method, X, y) for name, method in methods.items()}
    (one_step, _), (average, _), (mle, _) = fits.values()
    console.print(side_by_side({"one step": one_step, "average": average}, mle))
    for name, (model, seconds) in fits.items():
        passes = "pass" if model.n_passes_ == 1 else "passes"
        console.print(f"{name:<9} {model.n_passes_} {passes:<6} over the data, {seconds:.1f} s")
    away, far = (np.abs(distances(model, mle)).max() for model in (one_step, average))
    console.print(
        f"\nMLE: the maximum-likelihood estimate of all {mle.n_samples_:,} flights without missing values, iterated to "
        f"convergence.\nOne step: the MLE of a pilot, a random sample of {one_step.estimate_.pilot_size:,} flights, "
        "corrected by one step with sums over all flights.\n"
        f"It differs from the MLE by at most {away:.3f} s.e., so its tests and intervals are those of the MLE.\n"
        f"Average: the mean of {X.npartitions} fits, one per month. No month is representative of the year, so it "
        f"differs from the\nMLE by up to {far:.0f} s.e.\n\n"
        "Next: `dask-onestep demo` prints the summary of a larger model of these data; README.md has an example in "
        "Python,\nand docs/start.md (a page of the site that `make docs` builds) explains each step."
    )


if __name__ == "__main__":
    main()
