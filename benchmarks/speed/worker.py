"""One library on one problem, in a process of its own that fits each time it is asked to.

Reads a line for each fit, answers with a line of JSON: seconds, the peak of memory over what the process
held before, and the coefficients.  The parent has fixed the threads by the environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.libraries import LIBRARIES

_STATUS = Path("/proc/self/status")
# Seconds of a fit up to which another one, whose time does not count, goes before it.
_SHORT = 4.0


def main() -> None:
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    library, problem = LIBRARIES[sys.argv[1]], json.loads(sys.argv[2])
    try:
        rows, response = np.load(problem["x"]), np.load(problem["y"])
        fit = library.prepare(rows, response, problem)
        _answer(answers, ready=True)
        said = {"version": _version(library.module)} | ({"peak_mb": float("nan")} if library.server else {})
        seconds = 0.0
        for _ in sys.stdin:
            # While others fit, a process that waits may have its memory put away and its threads put on one core. What
            # it takes to undo that is no one's time; of a fit of many seconds it is too little to matter.
            rows.sum(), response.sum()
            if 0.0 < seconds < _SHORT:
                fit()
            told = _measure(fit)
            seconds = told["seconds"]
            _answer(answers, **told | said)
    except Exception as error:  # a library that cannot is a row of the table, not the end of the run
        _answer(answers, error=f"{type(error).__name__}: {error}".splitlines()[0][:200])


def _version(module: str) -> str:
    if told := getattr(sys.modules[module], "__version__", None):
        return str(told)
    return version(packages_distributions()[module][0])


def _measure(fit: Any) -> dict[str, Any]:
    before = _reset_peak()
    start = time.perf_counter()
    coef = fit()
    seconds = time.perf_counter() - start
    told = None if coef is None else np.asarray(coef, float).tolist()
    return {"seconds": seconds, "peak_mb": _read("VmHWM") - before, "coef": told}


def _reset_peak() -> float:
    """Set the peak of resident memory to what is resident now, and return that, in MB."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")
    return _read("VmRSS")


def _read(name: str) -> float:
    """Return a line of the process's status in MB, or NaN where the system has none."""
    if not _STATUS.exists():
        return float("nan")
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def _answer(out: Any, **fields: Any) -> None:
    print(json.dumps(fields), file=out, flush=True)


if __name__ == "__main__":
    main()
