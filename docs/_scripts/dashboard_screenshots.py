"""Take the screenshots of ``docs/how_to/dashboard.md``: Dask's dashboard in a headless Chromium during a fit.

``python docs/_scripts/dashboard_screenshots.py``.  The browser is controlled by its DevTools protocol over tornado, a
dependency of Dask.  Needs ``chromium`` on the path and the extra ``demo``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import dask
from distributed import Client, LocalCluster, performance_report
from tornado.websocket import websocket_connect

from dask_onestep import GLMClassifier, OneStep
from dask_onestep.datasets import make_glm

FOLDER = Path(__file__).resolve().parent.parent / "_static" / "dashboard"
WIDTH, HEIGHT = 1400, 760
# No network access except to this machine.
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@contextmanager
def browser() -> Iterator[str]:
    """Start a browser, and yield the address of its DevTools."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu", *QUIET]
        command += [f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
        command += [f"--window-size={WIDTH},{HEIGHT}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    urlopen(f"{address}/json/version").close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def open_tab(address: str, url: str) -> str:
    """Open a page in a new tab, and return the address of its socket."""
    with urlopen(Request(f"{address}/json/new?{url}", method="PUT")) as answer:
        return json.load(answer)["webSocketDebuggerUrl"]


async def ask(tab: str, method: str, **params: Any) -> dict[str, Any]:
    """Send one command to a tab and return the answer."""
    connection = await websocket_connect(tab, max_message_size=1 << 28)
    await connection.write_message(json.dumps({"id": 1, "method": method, "params": params}))
    while True:
        message = json.loads(await connection.read_message() or "{}")
        if message.get("id") == 1:
            connection.close()
            return message["result"]


async def photograph(tab: str, name: str, height: int = HEIGHT) -> None:
    """Write a screenshot of a tab, of the given height, to ``name``.png."""
    await ask(tab, "Page.bringToFront")
    size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    await ask(tab, "Emulation.setDeviceMetricsOverride", **size)
    await asyncio.sleep(1.5)
    picture = await ask(tab, "Page.captureScreenshot", format="png")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


def done(dask_scheduler: Any, prefix: str) -> int:
    """Return the number of finished tasks of a stage on the scheduler."""
    counts = dask_scheduler.task_prefixes.get(prefix)
    return 0 if counts is None else sum(counts.state_counts[state] for state in ("memory", "released", "forgotten"))


def main() -> None:
    """Fit on two local workers, and take screenshots of the dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000_000)
    rows = parser.parse_args().rows
    blocks = 60
    with (
        dask.config.set({"distributed.admin.tick.interval": "50ms"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        browser() as address,
        tempfile.TemporaryDirectory() as folder,
    ):
        page = cluster.dashboard_link.removesuffix("/status")
        client.get_task_stream()  # the plugin that records tasks starts with the first call
        status = open_tab(address, f"{page}/status")
        stream = open_tab(address, f"{page}/individual-task-stream")
        metrics = open_tab(address, f"{page}/individual-fine-performance-metrics")
        time.sleep(5)
        X, y, _ = make_glm(rows, 10, family="binomial", chunks=rows // blocks)
        model = GLMClassifier(method=OneStep(steps=2), cov_type="HC0")
        report = Path(folder) / "report.html"

        def fit() -> None:
            with performance_report(filename=str(report), mode="inline"):
                model.fit(X, y)

        fitting = Thread(target=fit)
        fitting.start()
        # After two thirds of the second pass of moments, all stages except the last have been shown.
        while fitting.is_alive() and client.run_on_scheduler(done, prefix="moments") < blocks + 2 * blocks // 3:
            time.sleep(0.2)
        asyncio.run(photograph(status, "status"))
        fitting.join()
        time.sleep(3)
        asyncio.run(photograph(stream, "task-stream"))
        asyncio.run(photograph(metrics, "fine-performance-metrics", 450))
        kept = open_tab(address, report.as_uri())
        time.sleep(5)
        asyncio.run(photograph(kept, "performance-report", 620))
    print(f"{model.summary().verdict} Pictures in {FOLDER}")


if __name__ == "__main__":
    main()
