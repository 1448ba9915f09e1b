"""Methods × problems × peers on the same rows: ``python -m benchmarks.speed --help``."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.origin import origin
from benchmarks.speed.goals import against_goals
from benchmarks.speed.libraries import LIBRARIES, Setting
from benchmarks.speed.plot import draw
from benchmarks.speed.problems import PROBLEMS, Problem
from benchmarks.speed.report import markdown
from benchmarks.speed.run import Plan, run

_QUICK_ROWS = 200_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"at most {_QUICK_ROWS:,} rows and 3 repetitions")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES))
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--slow-repetitions", type=int, default=2, help="of libraries whose fit is slow")
    parser.add_argument("--slow-seconds", type=float, default=10.0, help="from when on a fit is slow")
    parser.add_argument("--rows", type=int, help="rows at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that a library may take for one fit")
    parser.add_argument("--memory", type=float, help="GB for the libraries of a group; default 80 %% of what is free")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/local"), help="where CSV and Markdown go"
    )
    options = parser.parse_args(arguments)
    most = options.rows or (_QUICK_ROWS if options.quick else 10**9)
    problems = [PROBLEMS[name].at_most(most) for name in options.problems]
    plan = Plan(
        repetitions=options.repetitions or (3 if options.quick else 7),
        slow_repetitions=options.slow_repetitions,
        threads=options.threads,
        seed=options.seed,
        slow_seconds=options.slow_seconds,
        limit=options.limit,
        memory=options.memory * 1e9 if options.memory else 0.8 * psutil.virtual_memory().available,
    )
    about = {"threads": plan.threads, "seed": plan.seed} | origin()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "speed.csv"
    parts = [_done(pd.read_csv(path))] if options.resume and path.exists() else []
    known = {each for part in parts for each in _settings(part, problems, plan)}
    with tempfile.TemporaryDirectory() as directory:
        for part in run(problems, options.libraries, plan, Path(directory), known):
            parts.append(part.assign(**about))
            # Written after each group, so that a long run can be watched, ended, and taken up again.
            fits = pd.concat(parts, ignore_index=True)
            fits.to_csv(path, index=False, float_format="%.6g")
            print(f"{part['problem'].iloc[0]}: {', '.join(dict.fromkeys(part['library']))}", flush=True)
    if parts:
        fits = pd.read_csv(path)
        print(markdown(fits))
        print(against_goals(fits).to_string(index=False, float_format="%.3g"))
        (options.output / "speed.md").write_text(markdown(fits))
        draw(fits).savefig(options.output / "speed.svg", metadata={"Date": None})


def _settings(fits: pd.DataFrame, problems: Sequence[Problem], plan: Plan) -> set[tuple[str, Setting]]:
    """Return the settings of the same rows and threads that were measured."""
    rows = {problem.name: problem.n_samples for problem in problems}
    same = fits[
        (fits["problem"].map(rows) == fits["n_samples"])
        & (fits["threads"] == plan.threads)
        & (fits["seed"] == plan.seed)
    ]
    blas = (None if pd.isna(n) else int(n) for n in same["blas_threads"])
    return {(p, Setting(name, n)) for p, name, n in zip(same["problem"], same["library"], blas, strict=True)}


def _done(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the fits that did not fail: those that did are tried again."""
    return fits[fits["error"].isna()].drop(columns="error") if "error" in fits else fits


if __name__ == "__main__":
    main()
