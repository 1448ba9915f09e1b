"""The fits as one line per library, and compared with what was wanted of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.speed.libraries import MLE, YARDSTICK

__all__ = ["markdown", "summarize"]

_PROBLEM = ["problem", "n_samples", "n_features"]


def summarize(fits: pd.DataFrame) -> pd.DataFrame:
    """Return medians of each library at its fastest setting, relative to one-step's in the same group."""
    done = (fits[fits["error"].isna()] if "error" in fits else fits).copy()
    ours = done[done["library"] == YARDSTICK].groupby([*_PROBLEM, "group"])["seconds"].median()
    at = pd.MultiIndex.from_frame(done[[*_PROBLEM, "group"]])
    done["times"] = done["seconds"] / ours.reindex(at).to_numpy()
    table = done.groupby([*_PROBLEM, "library", "blas_threads"], sort=False, dropna=False, as_index=False).agg(
        version=("version", "first"),
        seconds=("seconds", "median"),
        fastest=("seconds", "min"),
        fits=("seconds", "size"),
        times=("times", "median"),
        distance=("distance", "max"),
        peak_mb=("peak_mb", "median"),
    )
    best = table.groupby([*_PROBLEM, "library"], sort=False)["seconds"].idxmin()
    table = table.loc[best].reset_index(drop=True)
    mle = table[table["library"] == MLE].set_index(_PROBLEM)["times"]
    return table.assign(times_mle=table["times"] / mle.reindex(pd.MultiIndex.from_frame(table[_PROBLEM])).to_numpy())


def markdown(fits: pd.DataFrame) -> str:
    """Return the Markdown tables, one a problem, and what failed."""
    parts = ["Seconds are medians, distances to the exact MLE in standard errors.\n"]
    for (problem, n, d), rows in summarize(fits).groupby(_PROBLEM, sort=False):
        lines = [
            f"### {problem}: {n:,} rows, {d} covariates\n",
            "| library | version | BLAS threads | fits | seconds | × OneStep | × MLE | distance | peak MB |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {row.library} | {row.version} | {_shown(row.blas_threads, '.0f')} | {row.fits} | {row.seconds:.3g} "
            f"| {_shown(row.times, '.3g')} | {_shown(row.times_mle, '.3g')} | {_shown(row.distance, '.1e')} "
            f"| {_shown(row.peak_mb, '.0f')} |"
            for row in rows.itertuples()
        ]
        parts.append("\n".join(lines) + "\n")
    if "error" in fits and (failed := fits[fits["error"].notna()]).size:
        lines = [f"- {row.library} on {row.problem}: {row.error}" for row in failed.itertuples()]
        parts.append("\n".join(["Not measured:\n", *dict.fromkeys(lines)]) + "\n")
    return "\n".join(parts)


def _shown(number: float | None, form: str) -> str:
    return "–" if number is None or np.isnan(number) else format(number, form)
