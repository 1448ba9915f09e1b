"""40 million rows of Parquet on workers of 1 GB: time by pass and the workers' peak memory.

    python -m benchmarks.out_of_core [--rows 40000000] [--folder /tmp/out_of_core] [--model 1]

The data is generated once, file by file, by a known logistic model with a column of 16 carriers that
come in turn, so that a file holds few of them.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from dask_onestep import GLMRegressor

FILE_ROWS = 1_000_000
CARRIERS = np.array([f"C{number:02d}" for number in range(16)])
FORMULAS = (None, "y ~ a + b + hour", "y ~ a + bs(b, df=4) + hour + carrier")


def write_file(path: Path, number: int, rows: int) -> None:
    rng = np.random.default_rng(number)
    carrier = (number + rng.integers(0, 3, rows)) % 16
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.gamma(2.0, size=rows)})
    frame["hour"] = rng.integers(5, 24, rows).astype(np.int8)
    frame["carrier"] = CARRIERS[carrier]
    eta = -1.0 + 0.5 * frame["a"] - 0.2 * frame["b"] + 0.05 * frame["hour"] + 0.02 * carrier
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    for unused in range(5):
        frame[f"unused{unused}"] = np.float32(rng.random(rows))
    frame.to_parquet(path, row_group_size=250_000)


def generate(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(-(-rows // FILE_ROWS)):
        path = folder / f"{number:03d}.parquet"
        if not path.exists():
            write_file(path, number, min(FILE_ROWS, rows - number * FILE_ROWS))


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(folder: Path, formula: str | None, workers: int, limit: str) -> None:
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=limit, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        idle = max(client.run(peak_megabytes).values())
        data = dd.read_parquet(folder)
        glm = GLMRegressor("binomial", formula=formula)
        start = time.perf_counter()
        glm.fit(data) if formula else glm.fit(data[["a", "b", "hour", "y"]], "y")
        seconds = time.perf_counter() - start
        peak = max(client.run(peak_megabytes).values())
    print(
        f"{formula or 'columns a, b, hour'}: {glm.n_samples_:,} rows, {len(glm.coef_table())} coefficients, "
        f"{glm.n_passes_} passes, {seconds:.1f} s; peak of a worker {peak:.0f} MB ({idle:.0f} idle), limit {limit}"
    )
    print(glm.coef_table()[["coef", "std_err"]].head(5).to_string(float_format="%.5f"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/out_of_core"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", default="1GB")
    parser.add_argument("--model", type=int, choices=range(len(FORMULAS)), help="one of the models only")
    options = parser.parse_args()
    generate(options.folder, options.rows)
    for formula in FORMULAS if options.model is None else FORMULAS[options.model : options.model + 1]:
        run(options.folder, formula, options.workers, options.limit)


if __name__ == "__main__":
    main()
