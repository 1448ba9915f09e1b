"""Tables 1–4 of Wang, Huang, Zhu and Wang (arXiv 2004.02414): ``python -m benchmarks.paper --help``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.progress import track

from benchmarks.paper.cells import grid
from benchmarks.paper.tables import TABLES, run
from benchmarks.record import Record


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
        help="a CSV to write; tables that it has are not run again",
    )
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=True)
    # The shorter runs first, and the file written after each: a long run can be ended and taken up again.
    for n in sorted(options.rows):
        for number in options.tables:
            if record.has({"table": number, "N": n, "B": options.replicates, "seed": options.seed}):
                continue
            cells = [
                cell
                for cell in grid(tests=TABLES[number].tests)
                if not options.estimators or cell.estimator in ("global", *options.estimators)
            ]
            shown = partial(track, update_period=1.0)
            part = run(TABLES[number], n, options.replicates, options.seed, cells=cells, track=shown)
            what = "rejections of β₂ = 0 at 5 %" if TABLES[number].tests else "ARMSE"
            print(f"Table {number}: {what}; errors are Monte Carlo standard errors")
            print(part.drop(columns="table").to_string(index=False, float_format="%.4f"))
            for row in part.to_dict("records"):
                record.add(row, {"seed": options.seed})


if __name__ == "__main__":
    main()
