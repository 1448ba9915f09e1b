"""The fits as one line a library."""

from __future__ import annotations

import pandas as pd

__all__ = ["markdown", "summarise"]


def summarise(fits: pd.DataFrame) -> pd.DataFrame:
    """Return medians over repetitions, each beside the time of one-step in the same run."""
    done = fits[fits["error"].isna()] if "error" in fits else fits
    keys = ["problem", "n_samples", "n_features", "library"]
    table = done.groupby(keys, sort=False).agg(
        seconds=("seconds", "median"),
        fastest=("seconds", "min"),
        distance=("distance", "max"),
        peak_mb=("peak_mb", "median"),
    )
    ours = table["seconds"].xs("OneStep", level="library") if "OneStep" in set(done["library"]) else None
    times = (
        float("nan") if ours is None else table["seconds"] / ours.reindex(table.index.droplevel("library")).to_numpy()
    )
    return table.assign(times=times).reset_index()


def markdown(fits: pd.DataFrame) -> str:
    """Return the Markdown tables, one a problem, and what failed."""
    parts = []
    for (problem, n, d), rows in summarise(fits).groupby(["problem", "n_samples", "n_features"], sort=False):
        lines = [
            f"### {problem}: {n:,} rows, {d} covariates\n",
            "| library | seconds (median) | × OneStep | distance to the MLE (standard errors) | peak memory (MB) |",
            "|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {row.library} | {row.seconds:.3f} | {row.times:.1f} | {row.distance:.1e} | {_shown(row.peak_mb)} |"
            for row in rows.itertuples()
        ]
        parts.append("\n".join(lines) + "\n")
    if "error" in fits and (failed := fits[fits["error"].notna()]).size:
        lines = [f"- {row.library} on {row.problem}: {row.error}" for row in failed.itertuples()]
        parts.append("\n".join(["Not measured:\n", *lines]) + "\n")
    return "\n".join(parts)


def _shown(megabytes: float) -> str:
    return "not measured" if pd.isna(megabytes) else f"{megabytes:.0f}"
