"""The command line on a scheduler and a worker that run as processes of their own."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import dask
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dask_onestep.cli import app

MAIN = "from dask_onestep.cli import main; main()"


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def started(*words):
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "dask", *words], **silent)


def ended(process):
    process.terminate()
    process.wait(30)


@contextmanager
def scheduler_in(folder):
    """Start a scheduler; yield its process and its address."""
    file = folder / "scheduler.json"
    process = started("scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file))
    try:
        for _ in range(600):
            if file.exists() and file.read_text():
                break
            time.sleep(0.1)
        yield process, json.loads(file.read_text())["address"]
    finally:
        ended(process)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler without workers."""
    with scheduler_in(tmp_path_factory.mktemp("scheduler")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def worker(scheduler):
    """The same address, once a worker has been started."""
    process = started("worker", scheduler, "--nthreads", "1", "--nworkers", "1", "--no-dashboard")
    try:
        yield scheduler
    finally:
        ended(process)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    rng = np.random.default_rng(1)
    for number in range(3):
        frame = pd.DataFrame({"x": rng.normal(size=400), "g": rng.choice(list("abc"), 400)})
        frame["late"] = rng.random(400) < 1 / (1 + np.exp(-frame["x"]))
        frame.to_parquet(folder / f"{number}.parquet")
    return folder


def test_a_scheduler_elsewhere_fits_and_predicts_the_same(worker, folder):
    fit = ["fit", "late ~ x + g", folder / "*.parquet", "--family", "binomial", "--output"]
    assert run(*fit, folder / "here.json", "--quiet").exit_code == 0
    result = run(*fit, folder / "there.json", "--scheduler", worker)
    assert result.exit_code == 0, result.output
    assert (folder / "there.json").read_text() == (folder / "here.json").read_text()
    passes = [line.split(":")[1] for line in result.stderr.splitlines() if line.startswith("pass")]
    assert passes == [" levels"]  # the pilot is drawn in the same pass, and is the whole table
    predict = ["predict", folder / "here.json", folder / "*.parquet", "--output"]
    assert run(*predict, folder / "here.csv", "--quiet").exit_code == 0
    result = run(*predict, folder / "there.csv", "--scheduler", worker)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("predict: ")
    assert "\r" not in result.stderr
    assert (folder / "there.csv").read_text() == (folder / "here.csv").read_text()


def test_a_mistake_that_a_worker_meets_is_one_line(worker, folder):
    pd.read_parquet(folder / "0.parquet").assign(x=np.nan).to_parquet(folder / "gaps.pq")
    result = run("fit", "late ~ x", folder / "gaps.pq", "--quiet", "--scheduler", worker)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: Input X contains NaN")
    assert "--missing drop" in result.stderr


def test_a_scheduler_that_is_lost_is_one_line(tmp_path, folder):
    with scheduler_in(tmp_path) as (process, address):
        # Without workers the fit waits, so it is met in its midst.
        words = ["fit", "late ~ x", str(folder / "0.parquet"), "--scheduler", address]
        fit = subprocess.Popen([sys.executable, "-c", MAIN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert b"has no workers yet" in fit.stderr.readline()
        time.sleep(2)
        process.kill()
        out, err = fit.communicate(timeout=100)
    assert (fit.returncode, out) == (1, b"")
    *_, line = err.decode().splitlines()
    # Which of them it is depends on what the client was about to do.
    assert line.startswith(
        ("error: the connection to the scheduler was lost", "error: Timed out trying to connect to tcp://")
    )
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "tcp://no.such.host.example:8786"])
def test_an_address_without_a_scheduler_is_one_line_in_bounded_time(folder, address):
    start = time.monotonic()
    result = run("fit", "late ~ x", folder / "0.parquet", "--quiet", "--scheduler", address)
    assert time.monotonic() - start < 60
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: --scheduler {address}: ")
    assert line.endswith("Is a Dask scheduler running there?")
    # The traceback in `result` keeps the client that never connected: it must not be what computes from now on.
    assert dask.base.get_scheduler() is None
    assert run("fit", "late ~ x", folder / "0.parquet", "--quiet").exit_code == 0
