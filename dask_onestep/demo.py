"""The main job, end to end: ``python -m dask_onestep.demo``.

A logistic regression of flight delay on the 336,776 flights that left New York City in 2013, a block a
month, on a local Dask cluster: the one-step estimate and the maximum-likelihood estimate.
"""

from __future__ import annotations

import time
from tempfile import TemporaryDirectory
from typing import Any

import dask.dataframe as dd
from distributed import Client, LocalCluster
from rich import box
from rich.console import Console
from rich.table import Table

from dask_onestep import GLMClassifier, OneStep
from dask_onestep.datasets import load_flights

__all__ = ["main"]

_UNITS = {"dep_time": 100.0, "sched_arr_time": 100.0, "air_time": 1.0, "distance": 100.0}


def delays(folder: str) -> tuple[Any, Any]:
    """Return the model's covariates and response, lazily, a partition a month."""
    flights = dd.read_parquet(folder).dropna(subset=[*_UNITS, "delayed"])
    return flights[list(_UNITS)] / list(_UNITS.values()), flights["delayed"]


def timed_fit(method: Any, X: Any, y: Any) -> tuple[GLMClassifier, float]:
    """Return a fitted model, and the seconds it took."""
    start = time.perf_counter()
    model = GLMClassifier(method=method).fit(X, y)
    return model, time.perf_counter() - start


def side_by_side(one_step: GLMClassifier, mle: GLMClassifier) -> Table:
    """Return both models' coefficients and standard errors in one table."""
    table = Table(
        title="Was the flight late? Log-odds, and their standard errors (s.e.)", box=box.SIMPLE_HEAD, padding=(0, 1)
    )
    table.add_column("", no_wrap=True)
    for name in ("one-step", "s.e.", "global MLE", "s.e.", "gap/s.e."):
        table.add_column(name, justify="right", no_wrap=True)
    ours, theirs = one_step.coef_table(), mle.coef_table()
    for name in ours.index:
        (coef, error), (exact, exact_error) = (t.loc[name, ["coef", "std_err"]] for t in (ours, theirs))
        table.add_row(
            name,
            f"{coef:.6g}",
            f"{error:.4g}",
            f"{exact:.6g}",
            f"{exact_error:.4g}",
            f"{(coef - exact) / exact_error:+.3f}",
        )
    return table


def main(console: Console | None = None) -> None:
    """Fit both models on a local cluster and print what there is to compare."""
    console = console or Console(highlight=False, soft_wrap=True)
    with (
        TemporaryDirectory() as folder,
        LocalCluster(dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        load_flights().to_parquet(folder, compute_kwargs={"scheduler": "threads"})
        X, y = delays(folder)
        console.print(f"Dask cluster of {len(cluster.workers)} local workers, dashboard {client.dashboard_link}")
        console.print(f"{X.npartitions} blocks, a month of 2013 each, as Parquet files")
        timed_fit("pilot", X, y)  # so that each worker has imported what both fits need
        # By default the pilot of so small a table is all of its rows, and the fit the MLE; here it is to be a sample.
        one_step, seconds = timed_fit(OneStep(pilot_size=11_000), X, y)
        mle, mle_seconds = timed_fit("mle", X, y)
        loglik, best = (model.fit_statistics(X, y).llf for model in (one_step, mle))
    console.print(side_by_side(one_step, mle))
    for name, model, value, took in (
        ("one-step", one_step, loglik, seconds),
        ("global MLE", mle, best, mle_seconds),
    ):
        console.print(f"{name:<11} log-likelihood {value:,.5f}   passes {model.n_passes_}   {took:.2f} s")
    console.print(
        f"\nOne-step is {best - loglik:.2g} in log-likelihood from the maximum (its own estimate: "
        f"{one_step.decrement_ / 2:.2g}),\nfrom a pilot of {one_step.estimate_.pilot_size:,} of the "
        f"{one_step.n_samples_:,} flights and two passes over the data."
    )


if __name__ == "__main__":
    main()
