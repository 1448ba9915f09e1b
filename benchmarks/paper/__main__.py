"""Tables 1–4 of Wang, Huang, Zhu and Wang (arXiv 2004.02414): ``python -m benchmarks.paper --help``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas as pd
from rich.progress import track

from benchmarks.origin import commit
from benchmarks.paper.report import show
from benchmarks.paper.tables import TABLES, run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    parser.add_argument("-B", "--replicates", type=int, default=500)
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 2, 3, 4], choices=list(TABLES))
    parser.add_argument("-N", "--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a CSV to write, with seed, commit and command")
    options = parser.parse_args(arguments)
    command = "python -m benchmarks.paper " + " ".join(sys.argv[1:] if arguments is None else arguments)
    origin = {"seed": options.seed, "commit": commit(), "command": command}
    parts: list[pd.DataFrame] = []
    # The shorter runs first, and the file written after each, so that a long run can be watched or ended.
    for n in sorted(options.rows):
        for number in options.tables:
            shown = partial(track, update_period=1.0)
            part = run(TABLES[number], n, options.replicates, options.seed, track=shown)
            show(part)
            parts.append(part.assign(**origin))
            if options.output:
                options.output.parent.mkdir(parents=True, exist_ok=True)
                pd.concat(parts).to_csv(options.output, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
