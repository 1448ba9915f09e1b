"""Methods × problems × peers on the same rows: ``python -m benchmarks.speed --help``."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.origin import commit, machine
from benchmarks.speed.libraries import LIBRARIES
from benchmarks.speed.plot import plot
from benchmarks.speed.problems import PROBLEMS
from benchmarks.speed.report import markdown
from benchmarks.speed.run import run

_QUICK_ROWS = 200_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"at most {_QUICK_ROWS:,} rows and 3 repetitions")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES))
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--rows", type=int, help="rows at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that a library may take for one fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/local"), help="where CSV and Markdown go"
    )
    options = parser.parse_args(arguments)
    most = options.rows or (_QUICK_ROWS if options.quick else 10**9)
    repetitions = options.repetitions or (3 if options.quick else 7)
    problems = [PROBLEMS[name].at_most(most) for name in options.problems]
    origin = {"threads": options.threads, "seed": options.seed, "commit": commit()} | machine()
    options.output.mkdir(parents=True, exist_ok=True)
    parts: list[pd.DataFrame] = []
    with tempfile.TemporaryDirectory() as directory:
        for part in run(
            problems, options.libraries, repetitions, options.threads, options.seed, Path(directory), options.limit
        ):
            print(markdown(part), flush=True)
            parts.append(part.assign(**origin))
            # Written after each problem, so that a long run can be watched or ended.
            fits = pd.concat(parts, ignore_index=True)
            fits.to_csv(options.output / "speed.csv", index=False, float_format="%.6g")
            (options.output / "speed.md").write_text(markdown(fits))
            plot(fits, options.output / "speed.svg")


if __name__ == "__main__":
    main()
