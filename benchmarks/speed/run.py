"""Repetitions in turn: every library fits once before any fits again, so that a busy moment hits all."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.speed.exact import distance, exact_mle
from benchmarks.speed.libraries import LIBRARIES, YARDSTICK, Setting, settings
from benchmarks.speed.problems import Problem, write

__all__ = ["Plan", "grouped", "run"]

_ROOT = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
# What a process holds in addition to its rows, at most twice; and what a server is allowed besides.
_HELD, _SERVER = 0.4e9, 6e9
# Seconds before each fit, in which a server's threads and what it freed become idle.
_PAUSE = 0.2


@dataclass(frozen=True)
class Plan:
    """How a run is made.

    A library whose fit takes more than `slow_seconds` is repeated `slow_repetitions` times only; the very first fit,
    which warms up, does not count.  One that does not bring its data in, or fit, within `limit` seconds is
    ended and has failed.  The libraries of a group are held in memory together, in `memory` bytes at most.
    """

    repetitions: int
    slow_repetitions: int
    threads: int
    seed: int = 0
    slow_seconds: float = 10.0
    limit: float = 300.0
    memory: float = 16e9


class Worker:
    """A setting's process for one problem, ended if it does not answer in time."""

    def __init__(self, setting: Setting, problem: dict[str, Any], python: str, limit: float):
        threads, library = str(problem["threads"]), LIBRARIES[setting.library]
        environ = dict.fromkeys(_THREADS, threads) | dict.fromkeys(_BLAS_THREADS, str(setting.blas_threads or threads))
        problem = problem | {"blas_threads": setting.blas_threads}
        self.setting, self.error, self._limit = setting, "", limit
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.speed.worker", library.name, json.dumps(problem)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=_ROOT,
            env=os.environ | environ | dict(library.environ) | {"PYTHONPATH": str(_ROOT)},
        )
        self._read()

    def fit(self) -> dict[str, Any] | None:
        """Return one fit's answer, or None if the library has failed, now or before."""
        if self.error:
            return None
        with suppress(BrokenPipeError):  # it has ended since, as where memory was short: reading shows how
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
    plan: Plan,
    directory: Path,
    known: Collection[tuple[str, Setting]] = (),
) -> Iterator[pd.DataFrame]:
    """Yield a tidy frame for each group of libraries: a row a fit, or one a library that failed.

    The settings of a problem that are `known` are left out.  One-step fits in every group, so that times of
    different groups have one yardstick.
    """
    pythons = _interpreters(libraries)
    for problem in problems:
        wanted = [s for s in settings(list(libraries), problem.family, plan.threads) if (problem.name, s) not in known]
        if not wanted:
            continue
        about = {"problem": problem.name, "n_samples": problem.n_samples, "n_features": problem.n_features}
        absent = [setting for setting in wanted if setting.library not in pythons]
        if absent:
            said = [s.about | {"error": f"{LIBRARIES[s.library].module} is not installed"} for s in absent]
            yield pd.DataFrame(said).assign(**about)
        if not (there := [setting for setting in wanted if setting not in absent]):
            continue
        described = write(problem, plan.seed, directory) | {"threads": plan.threads}
        rows, response = (np.load(described[name], mmap_mode="r") for name in "xy")
        exact, information = exact_mle(rows, response, problem.family)
        yardstick = Setting(YARDSTICK, None) if YARDSTICK in pythons else None
        for group in grouped(there, rows.nbytes + response.nbytes, plan.memory, yardstick):
            fits = _in_turn(group, described, pythons, plan)
            for fit in fits:
                coef = fit.pop("coef", None)
                fit["distance"] = float("nan") if coef is None else distance(coef, exact, information)
            # Groups of a run that was taken up again are distinguished by the process they are from.
            yield pd.DataFrame(fits).assign(**about, group=f"{os.getpid()}-{there.index(group[-1])}")
        for path in directory.glob(f"{problem.name}-*"):
            path.unlink()


def grouped(wanted: Sequence[Setting], rows: float, memory: float, yardstick: Setting | None) -> list[list[Setting]]:
    """Return the settings in groups that hold rows of so many bytes in a memory, each with the yardstick first."""
    found: list[list[Setting]] = []
    free = 0.0
    for setting in (each for each in wanted if each != yardstick):
        held = _held(setting, rows)
        if not found or held > free:
            found.append([] if yardstick is None else [yardstick])
            free = memory - sum(_held(each, rows) for each in found[-1])
        found[-1].append(setting)
        free -= held
    return found or [[yardstick]] if yardstick in wanted else found


def _held(setting: Setting, rows: float) -> float:
    library = LIBRARIES[setting.library]
    return _HELD + library.copies * rows + _SERVER * library.server


def _in_turn(
    group: Sequence[Setting], problem: dict[str, Any], pythons: dict[str, str], plan: Plan
) -> list[dict[str, Any]]:
    fits: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = []
        for setting in group:
            workers.append(Worker(setting, problem, pythons[setting.library], plan.limit))
            stack.callback(workers[-1].close)
        # The first fit warms up: its time does not count, and its memory does, since what a process
        # has once been given it tends to keep.
        first = {worker.setting: worker.fit() for worker in workers}
        wanted = dict.fromkeys(first, plan.repetitions)
        for repetition in range(plan.repetitions):
            for worker in workers:
                if repetition >= wanted[worker.setting]:
                    continue
                time.sleep(_PAUSE)
                if (answer := worker.fit()) is not None:
                    if answer["seconds"] > plan.slow_seconds:
                        wanted[worker.setting] = plan.slow_repetitions
                    answer["peak_mb"] = first[worker.setting]["peak_mb"]
                    fits.append(worker.setting.about | {"repetition": repetition} | answer)
        fits += [worker.setting.about | {"error": worker.error} for worker in workers if worker.error]
    return fits


def _interpreters(libraries: Sequence[str]) -> dict[str, str]:
    """Return, for each library that can run, its Python: this one, or one of an environment of its own.

    `make bench-peers` puts those under .venv-peers, one for each module.
    """
    of_module: dict[str, str] = {}
    for module in dict.fromkeys(LIBRARIES[name].module for name in libraries):
        own = _ROOT / ".venv-peers" / module / "bin" / "python"
        find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        for python in (sys.executable, str(own)):
            if Path(python).exists() and not subprocess.call([python, "-c", find], cwd=_ROOT):
                of_module[module] = python
                break
    return {name: of_module[LIBRARIES[name].module] for name in libraries if LIBRARIES[name].module in of_module}
