"""A demonstration, from files to an estimate.

A logistic regression of late arrival on the flights that left New York City in 2013, one block per month, on a local
Dask cluster: the one-step estimate, the average of the blocks' fits and the maximum-likelihood estimate.
"""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import dask.dataframe as dd
import pandas as pd
from distributed import Client, LocalCluster

from dask_onestep.datasets import load_flights
from dask_onestep.estimators import GLMClassifier
from dask_onestep.methods import MLE, Average, OneStep

_COLUMNS = ["dep_time", "sched_arr_time", "air_time", "distance"]


def delays(folder: str) -> tuple[Any, Any]:
    """Return the model's covariates, in hundreds as on the start page, and response, lazily."""
    flights = dd.read_parquet(folder).dropna(subset=[*_COLUMNS, "delayed"])
    return flights[_COLUMNS] / 100, flights["delayed"]


def side_by_side(one_step: GLMClassifier, average: GLMClassifier, mle: GLMClassifier) -> pd.DataFrame:
    """Return the MLE, and other estimates with their distance to it in standard errors, in one table."""
    best = mle.coef_table()
    columns = {"MLE": best["coef"], "s.e.": best["std_err"]}
    for name, model in (("one step", one_step), ("average", average)):
        columns[name] = model.coef_table()["coef"]
        columns[f"{name} diff."] = (columns[name] - best["coef"]) / best["std_err"]
    return pd.DataFrame(columns)


def show_demo(show: Callable[[str], None]) -> None:
    """Fit by three methods on a local cluster, compare the estimates, and explain the comparison."""
    with TemporaryDirectory() as folder, LocalCluster(dashboard_address=":0") as cluster, Client(cluster) as client:
        load_flights().to_parquet(folder, compute_kwargs={"scheduler": "threads"})
        X, y = delays(folder)
        show(
            "Was a flight late? A logistic regression of the flights that left New York City in 2013, in "
            f"{X.npartitions} blocks:\none Parquet file per month. Dask cluster of {len(cluster.workers)} local "
            f"workers, dashboard {client.dashboard_link}\n"
        )
        GLMClassifier(method="pilot").fit(X, y)  # so that each worker has imported what the fits need
        # By default the pilot of so small a table is all of its rows, and the fit the MLE; here it is to be a sample.
        methods = {"one step": OneStep(pilot_size=11_000), "average": Average(), "MLE": MLE()}
        fits = {name: GLMClassifier(method=method).fit(X, y) for name, method in methods.items()}
    one_step, average, mle = fits.values()
    table = side_by_side(one_step, average, mle)
    show(
        "Coefficients: change of the log odds of a late arrival per 100 units of a column.\n"
        "diff.: difference from the maximum-likelihood estimate (MLE), in its standard errors (s.e.)\n\n"
        f"{table.to_string(float_format='{:.4f}'.format)}\n"
    )
    for name, model in fits.items():
        passes = "pass" if model.n_passes_ == 1 else "passes"
        show(f"{name:<9} {model.n_passes_} {passes:<6} over the data, {model.fit_time_:.1f} s")
    away, far = (table[f"{name} diff."].abs().max() for name in ("one step", "average"))
    show(
        f"\nMLE: the maximum-likelihood estimate of all {mle.n_samples_:,} flights without missing values, iterated to "
        f"convergence.\nOne step: the MLE of a pilot, a random sample of {one_step.estimate_.pilot_size:,} flights, "
        "corrected by one step with sums over all flights.\n"
        f"It differs from the MLE by at most {away:.3f} s.e., so its tests and intervals are those of the MLE.\n"
        f"Average: the mean of {X.npartitions} fits, one per month. No month is representative of the year, so it "
        f"differs from the\nMLE by up to {far:.0f} s.e.\n\n"
        "Next: README.md has an example in Python, and docs/start.md (a page of the site that `make docs` builds) "
        "explains each step."
    )
