"""Repetitions in turn: every library fits once before any fits again, so that a busy moment hits all."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.speed.exact import distance, exact_mle
from benchmarks.speed.libraries import LIBRARIES
from benchmarks.speed.problems import Problem, write

__all__ = ["run"]

_ROOT = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker:
    """A library's process for one problem, ended if it does not answer in time."""

    def __init__(self, library: str, problem: dict[str, Any], python: str, limit: float):
        threads = dict.fromkeys(_THREADS, str(problem["threads"]))
        self.library, self.error, self._limit = library, "", limit
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.speed.worker", library, json.dumps(problem)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=_ROOT,
            env=os.environ | threads | dict(LIBRARIES[library].environ) | {"PYTHONPATH": str(_ROOT)},
        )
        self._read()

    def fit(self) -> dict[str, Any] | None:
        """Return one fit's answer, or None if the library has failed, now or before."""
        if self.error:
            return None
        self._process.stdin.write(b"fit\n")
        return self._read()

    def _read(self) -> dict[str, Any] | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self._limit):
                self._end()
                self.error = f"no answer within {self._limit:g} seconds"
                return None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"the process ended with code {self._process.wait()}"}
        self.error = answer.get("error", "")
        return None if self.error else answer

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(self._limit)
        except subprocess.TimeoutExpired:
            self._end()

    def _end(self) -> None:
        # A library's server may be in a group of its own, and would outlive its client.
        process = psutil.Process(self._process.pid)
        for each in (*process.children(recursive=True), process):
            each.kill()
        self._process.wait()


def run(
    problems: Sequence[Problem],
    libraries: Sequence[str],
    repetitions: int,
    threads: int,
    seed: int,
    directory: Path,
    limit: float = 300.0,
) -> Iterator[pd.DataFrame]:
    """Yield a tidy frame for each problem: a row a fit, or one a library that failed.

    A library that does not bring its data in, or fit, within `limit` seconds is ended and has failed.
    """
    pythons = _interpreters(libraries)
    for problem in problems:
        described = write(problem, seed, directory) | {"threads": threads}
        exact, information = exact_mle(
            np.load(described["x"], mmap_mode="r"), np.load(described["y"], mmap_mode="r"), problem.family
        )
        rows: list[dict[str, Any]] = []
        about = {"problem": problem.name, "n_samples": problem.n_samples, "n_features": problem.n_features}
        with ExitStack() as stack:
            workers = []
            for name in libraries:
                if problem.family not in LIBRARIES[name].families:
                    continue
                if name not in pythons:
                    rows.append(about | {"library": name, "error": f"{LIBRARIES[name].module} is not installed"})
                    continue
                workers.append(Worker(name, described, pythons[name], limit))
                stack.callback(workers[-1].close)
            # The first fit warms up: its time does not count, and its memory does, since what a process
            # has once been given it tends to keep.
            first = {worker.library: worker.fit() for worker in workers}
            for repetition in range(repetitions):
                for worker in workers:
                    if (answer := worker.fit()) is not None:
                        answer["peak_mb"] = first[worker.library]["peak_mb"]
                        off = distance(answer.pop("coef"), exact, information)
                        row = {"library": worker.library, "repetition": repetition, "distance": off}
                        rows.append(about | row | answer)
            rows += [about | {"library": worker.library, "error": worker.error} for worker in workers if worker.error]
        for path in directory.glob(f"{problem.name}-*.npy"):
            path.unlink()
        yield pd.DataFrame(rows)


def _interpreters(libraries: Sequence[str]) -> dict[str, str]:
    """Return, for each library that can run, its Python: this one, or one of an environment of its own.

    `make bench-peers` puts those under .venv-peers, one for each module.
    """
    found: dict[str, str] = {}
    for name in libraries:
        module = LIBRARIES[name].module
        own = _ROOT / ".venv-peers" / module / "bin" / "python"
        for python in (sys.executable, str(own)):
            if Path(python).exists() and not subprocess.call(
                [python, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"],
                cwd=_ROOT,
            ):
                found[name] = python
                break
    return found
