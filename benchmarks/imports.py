"""CPU seconds of an import, in a process of its own: ``python -m benchmarks.imports [--rounds 10]``.

The package's estimators against what they stand on.  Bytecode is compiled first, as pip does when it installs.
"""

from __future__ import annotations

import argparse
import compileall
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import dask_onestep
from benchmarks.timing import in_turns

IMPORTS = {
    "dask.dataframe and sklearn.base": "import dask.dataframe, sklearn.base",
    "dask_onestep": "from dask_onestep import GLMClassifier",
}


def children_seconds() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    folder = Path(dask_onestep.__file__).parent
    compileall.compile_dir(folder, quiet=1)
    runs = {
        name: partial(subprocess.run, [sys.executable, "-c", code], check=True, cwd=folder.parent)
        for name, code in IMPORTS.items()
    }
    seconds = in_turns(runs, parser.parse_args().rounds, children_seconds)
    floor, ours = seconds.T.to_numpy()
    print(seconds.agg(["min", "median"]).round(2).to_string())
    print(f"ratio: {ours.min() / floor.min():.2f} of the least, {(ours / floor).mean():.2f} on average")


if __name__ == "__main__":
    main()
