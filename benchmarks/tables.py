"""Parquet tables, from the file to the coefficients: CPU seconds, wall-clock time, memory, passes, distance to the MLE.

    python -m benchmarks.tables [--rows 2000000] [--folder /tmp/tables] [--cases numeric,carriers] [--repeats 5]

Each library reads the same files and fits the same logistic regression, in a process of its own.  Its imports, the
start of workers and servers and the first fit, which compiles, do not count.  CPU seconds are those of the process and
its children, memory is the peak of the largest of them.  The distance to the maximum-likelihood estimate,
`MLE(tol=1e-20)`, is the largest of a coefficient that the library returns, in standard errors: hdfe-stream absorbs
factors and returns the others.  Of a library that is not installed there is the error; what needs more memory than
`--memory` gigabytes is left out, and so are cases that a library does not have: strings in duckreg's GLMs, splines in
all but this one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record import Record
from benchmarks.speed.peers import spark_session, start_h2o
from benchmarks.timing import ONE_THREAD, cpu_seconds, processes

RESULTS = Path(__file__).parent / "results" / "tables.csv"
NUMBERS = ("a", "b", "hour")


@dataclass(frozen=True)
class Case:
    """Columns of a table, and the formula that is fitted."""

    formula: str
    words: tuple[str, ...] = ()
    width: int = 4
    missing: bool = False

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return ["y", *NUMBERS, *self.words]


CASES = {
    "numeric": Case("y ~ a + b + hour"),
    "carriers": Case("y ~ a + b + hour + carrier", ("carrier",), 19),
    "tails": Case("y ~ a + b + hour + carrier + tail", ("carrier", "tail"), 318),
    "tails-unsorted": Case("y ~ a + b + hour + carrier + mixed", ("carrier", "mixed"), 318),
    "missing": Case("y ~ a + b + hour + carrier + mixed", ("carrier", "mixed"), 318, missing=True),
    "levels-5000": Case("y ~ a + b + hour + origin", ("origin",), 5003),
    "spline": Case("y ~ a + bs(b, df=4) + hour + carrier", ("carrier",), 22),
}


def write(folder: Path, rows: int, row_groups: int) -> None:
    """Write the table once, with missing values and without; its rows are sorted by tail number."""
    for name, missing in (("complete", False), ("missing", True)):
        path = folder / f"{name}-{rows}-{row_groups}.parquet"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            draw_rows(rows, missing).to_parquet(path, row_group_size=-(-rows // row_groups))


def draw_rows(rows: int, missing: bool, seed: int = 0) -> pd.DataFrame:
    """Return the rows of a logistic model."""
    rng = np.random.default_rng(seed)
    carrier, tail, mixed, origin = (rng.integers(0, levels, rows) for levels in (16, 300, 300, 5000))
    tail.sort()
    frame = pd.DataFrame(
        {"a": rng.normal(size=rows), "b": rng.gamma(2.0, size=rows), "hour": rng.integers(5, 24, rows)}
    )
    eta = -1.0 + 0.5 * frame["a"] - 0.2 * frame["b"] + 0.05 * frame["hour"] + 0.02 * carrier + 0.002 * (tail - mixed)
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    codes = {"carrier": carrier, "tail": tail, "mixed": mixed, "origin": origin}
    for name, values in codes.items():
        names = np.array(
            [f"{name[0].upper()}{number:04d}" for number in range(values.max(initial=0) + 1)], dtype=object
        )
        frame[name] = names[values]
    if missing:
        frame.loc[rng.random(rows) < 0.02, "a"] = np.nan
        frame.loc[rng.random(rows) < 0.02, "mixed"] = None
    return frame


Fitted = tuple[dict[str, float], int]


def ours(case: Case, path: str, method: Any = "one-step", lazy: bool = False) -> Fitted:
    import dask.dataframe as dd

    from dask_onestep import GLMRegressor

    glm = GLMRegressor("binomial", formula=case.formula, missing="drop" if case.missing else "raise", method=method)
    glm.fit(dd.read_parquet(path) if lazy else path)
    return plain(glm.coef_table()["coef"]), glm.n_passes_


def glum(case: Case, path: str) -> Fitted:
    from glum import GeneralizedLinearRegressor

    frame = read(case, path, category=True)
    y = frame.pop("y")
    glm = GeneralizedLinearRegressor(family="binomial", alpha=0, drop_first=True).fit(frame, y)
    names = ["Intercept", *glm.feature_names_]
    return plain(pd.Series([glm.intercept_, *glm.coef_], index=names)), int(glm.n_iter_)


def statsmodels(case: Case, path: str) -> Fitted:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    fit = smf.glm(case.formula, read(case, path), family=sm.families.Binomial()).fit()
    return plain(fit.params), int(fit.fit_history["iteration"])


def pyfixest(case: Case, path: str) -> Fitted:
    import pyfixest as pf

    return plain(pf.feglm(case.formula, data=read(case, path), family="logit").coef()), 0


def hdfe_stream(case: Case, path: str) -> Fitted:
    from hdfe_stream import feglm_stream

    formula = "y ~ " + " + ".join(NUMBERS) + (" | " if case.words else "") + " + ".join(case.words)
    with TemporaryDirectory() as folder:
        fit = feglm_stream(formula, path, "logit", workdir=folder, verbose=False)
    return plain(pd.Series(fit.coef())), 0


def duckreg(case: Case, path: str) -> Fitted:
    import duckdb
    from duckreg import DuckLogisticRegression

    with TemporaryDirectory() as folder:
        with duckdb.connect(f"{folder}/rows.duckdb") as database:
            database.execute(f"CREATE TABLE rows AS SELECT {', '.join(case.columns)} FROM '{path}'")
        fit = DuckLogisticRegression(f"{folder}/rows.duckdb", "rows", "y ~ " + " + ".join(NUMBERS), seed=0)
        fit.fit()
    return dict(zip(("intercept", *NUMBERS), map(float, fit.point_estimate), strict=True)), 0


def dask_ml(case: Case, path: str) -> Fitted:
    import dask.dataframe as dd
    from dask_ml.linear_model import LogisticRegression

    frame = dd.read_parquet(path, columns=case.columns)
    frame = (frame.dropna() if case.missing else frame).categorize(list(case.words))
    rows = dd.get_dummies(frame.drop(columns="y"), columns=list(case.words), prefix_sep="[", drop_first=True)
    names = [f"{name}]" if "[" in name else name for name in rows.columns]
    arrays = (part.to_dask_array(lengths=True) for part in (rows.astype(float), frame["y"]))
    # Its solvers "newton" and "lbfgs" have no way to leave the penalty out but this one.
    fit = LogisticRegression(solver="newton", C=1e20).fit(*arrays)
    return plain(pd.Series([fit.intercept_, *fit.coef_], index=["Intercept", *names])), 0


def h2o(case: Case, path: str) -> Fitted:
    import h2o
    from h2o.estimators import H2OGeneralizedLinearEstimator

    if h2o.connection() is None:
        start_h2o(threads=-1)
    frame = h2o.import_file(path)
    for name in ("y", *case.words):
        frame[name] = frame[name].asfactor()
    fit = H2OGeneralizedLinearEstimator(family="binomial", lambda_=0.0, missing_values_handling="Skip")
    fit.train(x=[*NUMBERS, *case.words], y="y", training_frame=frame)
    h2o.remove(frame)
    return plain(pd.Series({re.sub(r"^(\w+)\.(\w+)$", r"\1[\2]", k): v for k, v in fit.coef().items()})), 0


def spark(case: Case, path: str) -> Fitted:
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import RFormula

    frame = spark_session("*").read.parquet(path).select(*case.columns)
    frame = frame.dropna() if case.missing else frame
    # In this order the level that is left out, the last, is the first one.
    formula = RFormula(formula=case.formula, stringIndexerOrderType="alphabetDesc")
    rows = formula.fit(frame).transform(frame).select("features", "label").cache()
    fit = LogisticRegression(regParam=0.0, tol=1e-8).fit(rows)
    parts = rows.schema["features"].metadata["ml_attr"]["attrs"].values()
    known = {each["idx"]: each["name"] for part in parts for each in part}
    names = [re.sub(r"^(\w+)_(\w+)$", r"\1[\2]", known[number]) for number in range(len(known))]
    rows.unpersist()
    return plain(pd.Series([fit.intercept, *fit.coefficients], index=["Intercept", *names])), 0


def read(case: Case, path: str, category: bool = False) -> pd.DataFrame:
    """Return the rows in memory, as a user of an in-memory library would read them."""
    frame = pd.read_parquet(path, columns=case.columns)
    frame = frame.dropna() if case.missing else frame
    return frame.astype(dict.fromkeys(case.words, "category")) if category else frame


@dataclass(frozen=True)
class Library:
    """A way to fit: the function, and what it needs."""

    fit: Callable[..., Fitted]
    workers: int = 0
    environment: tuple[tuple[str, str], ...] = ()
    dense: bool = False
    splines: bool = False
    words: bool = True

    def can(self, case: Case, rows: int, gigabytes: float) -> bool:
        """Return whether a library fits a case within memory, by its dense matrix and two copies."""
        within = not self.dense or 3 * 8 * rows * case.width < gigabytes * 1e9
        return within and (self.splines or "bs(" not in case.formula) and (self.words or not case.words)


def ours_from_dask(case: Case, path: str) -> Fitted:
    return ours(case, path, lazy=True)


LIBRARIES = {
    "dask_onestep, path": Library(ours, splines=True),
    "dask_onestep, dask.dataframe": Library(ours_from_dask, splines=True),
    "dask_onestep, path, two processes": Library(ours, workers=2, splines=True),
    "glum": Library(glum),
    "glum, one BLAS thread": Library(glum, environment=tuple(ONE_THREAD.items())),
    "statsmodels": Library(statsmodels, dense=True),  # its splines have other knots beyond 100,000 rows
    "pyfixest": Library(pyfixest, dense=True),
    "hdfe-stream": Library(hdfe_stream),
    "duckreg": Library(duckreg, words=False),
    "dask-ml": Library(dask_ml, dense=True),
    "H2O": Library(h2o),
    "Spark": Library(spark),
}


def plain(coef: pd.Series) -> dict[str, float]:
    """Return coefficients by names that all libraries share, such as ``carrier[C0001]``."""
    names = (re.sub(r"^C\((\w+)\)", r"\1", str(name).replace("[T.", "[")) for name in coef.index)
    values = dict(zip(names, map(float, coef), strict=True))
    return {"intercept" if name == "Intercept" else name: value for name, value in values.items()}


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Run what follows on so many local worker processes; on threads if there are none."""
    if not count:
        yield
        return
    from distributed import Client, LocalCluster

    with LocalCluster(count, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        yield


def peak() -> float:
    """Return the peak of memory, in MB, of the process that has the greatest."""
    # Not of `resource`, whose peak is that of the process before it became another program.
    texts = [Path(f"/proc/{each.pid}/status").read_text() for each in processes()]
    found = (re.search(r"VmHWM:\s+(\d+)", text) for text in texts)
    return max(int(each[1]) / 1024 for each in found if each)


def measure(library: Library, case: Case, path: str, repeats: int) -> dict[str, Any]:
    """Return the median of some fits, after one that does not count."""
    with workers(library.workers):
        spent: list[tuple[float, float]] = []
        for _ in range(repeats + 1):
            start, before = time.perf_counter(), cpu_seconds()
            coef, passes = library.fit(case, path)
            spent.append((cpu_seconds() - before, time.perf_counter() - start))
        most = peak()
    seconds, wall = np.median(spent[1:], axis=0)
    return {"cpu_seconds": seconds, "wall_seconds": wall, "peak_mb": most, "passes": passes, "coef": coef}


def exact(case: Case, path: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the maximum-likelihood estimate, and the standard errors."""
    from dask_onestep import MLE, GLMRegressor

    missing = "drop" if case.missing else "raise"
    glm = GLMRegressor("binomial", formula=case.formula, missing=missing, method=MLE(tol=1e-20)).fit(path)
    table = glm.coef_table()
    return plain(table["coef"]), plain(table["std_err"])


def distance(coef: dict[str, float], best: tuple[dict[str, float], dict[str, float]]) -> float:
    """Return the largest distance to the maximum-likelihood estimate, in standard errors; NaN of other coefficients."""
    mle, errors = best
    if not set(NUMBERS) & set(mle) <= set(coef) <= set(mle):
        return float("nan")
    return max(abs(coef[name] - mle[name]) / errors[name] for name in coef)


def run(name: str, case: str, path: str, repeats: int) -> dict[str, Any]:
    """Return what a library measures in a process of its own, or why it does not run."""
    command = [sys.executable, "-m", "benchmarks.tables", "--measure", name, case, path, str(repeats)]
    done = subprocess.run(
        command, env=os.environ | dict(LIBRARIES[name].environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["died"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def draw(table: pd.DataFrame) -> Any:
    """Return CPU seconds by case and library, as bars."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    wide = table.pivot_table(index="case", columns="library", values="cpu_seconds", sort=False)
    figure = Figure(figsize=(9.0, 1.0 + 0.9 * len(wide)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(wide.columns)
    for number, library in enumerate(wide.columns):
        color = colormaps["tab20"](number)
        axes.barh(np.arange(len(wide)) + number * height, wide[library], height, label=library, color=color)
    axes.set(xlabel="CPU seconds, reading and fitting", yticks=np.arange(len(wide)) + 0.4, yticklabels=wide.index)
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        name, case, path, repeats = sys.argv[2:]
        warnings.simplefilter("ignore")
        print(json.dumps(measure(LIBRARIES[name], CASES[case], path, int(repeats))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--row-groups", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tables"))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--libraries", help="some of them, separated by semicolons")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=float, default=8.0, help="gigabytes that a library may need")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    write(options.folder, options.rows, options.row_groups)
    record = Record(options.results)
    for name in options.cases.split(","):
        case = CASES[name]
        kind = "missing" if case.missing else "complete"
        path = str(options.folder / f"{kind}-{options.rows}-{options.row_groups}.parquet")
        best = exact(case, path)
        for library in options.libraries.split(";") if options.libraries else LIBRARIES:
            about = {"case": name, "rows": options.rows, "row_groups": options.row_groups, "library": library}
            if not LIBRARIES[library].can(case, options.rows, options.memory):
                continue
            measured = run(library, name, path, options.repeats)
            if "coef" in measured:
                measured["distance"] = distance(measured.pop("coef"), best)
            record.add(about, measured)
            shown = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in measured.items()}
            print(name, library, *(f"{key}={value}" for key, value in shown.items()), flush=True)


if __name__ == "__main__":
    main()
