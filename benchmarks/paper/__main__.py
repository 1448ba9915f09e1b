"""Tables 1–4 of Wang, Huang, Zhu and Wang (arXiv 2004.02414): ``python -m benchmarks.paper --help``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import pandas as pd
from rich.progress import track

from benchmarks.origin import commit
from benchmarks.paper.cells import grid
from benchmarks.paper.report import show
from benchmarks.paper.tables import TABLES, run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=500)
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 2, 3, 4], choices=list(TABLES))
    parser.add_argument("-N", "--rows", type=int, nargs="+", default=[10_000, 100_000])
    names = sorted({cell.estimator for cell in grid()} - {"global"})
    parser.add_argument(
        "--estimators", nargs="+", choices=names, help="these in addition to the global one; by default all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output",
        type=Path,
        help="a CSV to write, with seed, commit and command; tables that it has are not run again",
    )
    options = parser.parse_args(arguments)
    numbers = " ".join(map(str, options.tables))
    rows = " ".join(map(str, options.rows))
    command = f"python -m benchmarks.paper -B {options.replicates} --tables {numbers} -N {rows} --seed {options.seed}"
    command += f" --estimators {' '.join(options.estimators)}" if options.estimators else ""
    origin = {"seed": options.seed, "commit": commit(), "command": command}
    done = _read(options.output)
    # The shorter runs first, and the file written after each: a long run can be ended and taken up again.
    for n in sorted(options.rows):
        for number in options.tables:
            if _has(done, number, n, options.replicates, options.seed):
                continue
            cells = [
                cell
                for cell in grid(tests=TABLES[number].tests)
                if not options.estimators or cell.estimator in ("global", *options.estimators)
            ]
            shown = partial(track, update_period=1.0)
            part = run(TABLES[number], n, options.replicates, options.seed, cells=cells, track=shown)
            show(part)
            part = part.assign(**origin)
            done = part if done.empty else pd.concat([done, part], ignore_index=True)
            if options.output:
                options.output.parent.mkdir(parents=True, exist_ok=True)
                done.to_csv(options.output, index=False, float_format="%.6g")


def _read(output: Path | None) -> pd.DataFrame:
    return pd.read_csv(output) if output and output.exists() else pd.DataFrame(columns=["table", "N", "B", "seed"])


def _has(done: pd.DataFrame, number: int, n: int, replicates: int, seed: int) -> bool:
    wanted = {"table": number, "N": n, "B": replicates, "seed": seed}
    return bool((done[list(wanted)] == pd.Series(wanted)).all(axis=1).any())


if __name__ == "__main__":
    main()
