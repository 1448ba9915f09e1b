"""Whether two checkouts fit the same bits: ``python -m benchmarks.same_bits --base REV``.

The package at REV and the one of this checkout (or of ``--new PATH``) each fit every case of a matrix of families,
methods, kinds of data and options, in a process of its own.  Coefficients and covariances are compared bit by bit;
what differs is listed, in standard errors.  It ends with 1 if coefficients differ by more than 1e-6 standard errors,
only one side had an error, or no case could be fitted.  ``NUMBA_DISABLE_JIT=1`` compares what runs where numba is not
installed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_HERE = Path(__file__).resolve()
_ROWS, _COLUMNS = 3_000, ("x0", "x1", "x2", "x3")
_BLOCKS = (900, 700, 0, 1_100, 300)
_LIMIT = 1e-6  # standard errors that coefficients may move

# Methods and families are written as users write them, and evaluated in the package's namespace.
_ONE_STEPS = (
    *("OneStep()", "OneStep(25)", "OneStep(200, correction=None)"),
    *("OneStep(200, steps=2)", "OneStep(200, steps='auto')"),
)
_GLOBAL = (*_ONE_STEPS, "MLE()", "MLE(start=None)")
_SURROGATES = ("Surrogate()", "Surrogate('pilot', rounds=2, information='all')")
_OTHERS = ("Pilot(500)", "Average()", *_SURROGATES)
_DEBIASED = ("DebiasedLasso(0.05)", "DebiasedLasso(0.05, nodewise='partition', steps=2)")
_LASSOS = (*_DEBIASED, "AverageLasso(0.05)")
_METHODS = (*_GLOBAL, *_OTHERS, *_LASSOS)
_LAZY = (*_ONE_STEPS[:4], *_OTHERS, *_LASSOS)  # those that need not look between passes
_ROBUST = ("HC1", "cluster")


@dataclass(frozen=True)
class Law:
    """A family and its link, and the intercept of a truth under which every y and every mean is valid."""

    family: str
    link: str
    level: float = 0.5
    dispersion: float = 1.0


_LAWS = {
    "gaussian identity": Law("gaussian", "identity"),
    "gaussian log": Law("gaussian", "log", 1.0, 0.01),
    "binomial logit": Law("binomial", "logit"),
    "binomial probit": Law("binomial", "probit"),
    "binomial cloglog": Law("binomial", "cloglog", 0.0),
    "poisson log": Law("poisson", "log"),
    "poisson sqrt": Law("poisson", "sqrt", 2.5),
    "gamma log": Law("gamma", "log", dispersion=0.5),
    "gamma inverse": Law("gamma", "inverse", 2.5, 0.2),
    "inverse-gaussian log": Law("inverse-gaussian", "log", dispersion=0.2),
    "negative-binomial": Law("NegativeBinomial(alpha=0.5)", "log"),
    "negative-binomial alpha": Law("NegativeBinomial(alpha='estimate')", "log"),
    "tweedie log": Law("Tweedie(power=1.6)", "log"),
    # These are fitted by GLMClassifier.
    "two labels": Law("binomial", "logit"),
    "three labels": Law("binomial", "logit"),
}
_LABELS = ("two labels", "three labels")
_REGRESSIONS = tuple(law for law in _LAWS if law not in _LABELS)
_FEW = ("gaussian identity", "binomial logit", "poisson log")
_FORMS = (
    *("array", "uneven", "unknown", "sparse", "numpy", "frame", "categories", "formula"),
    *("pandas", "pandas formula", "weighted", "weighted frame", "weighted formula"),
)


@dataclass(frozen=True)
class Case:
    """One fit: rows, how they are passed, and options."""

    law: str
    method: str
    form: str = "array"
    rows: str = "plain"
    lazy: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        rest = [f"{name}={value}" for name, value in self.options.items()]
        rest += ["fit_delayed"] if self.lazy else []
        return " | ".join([self.law, self.method, self.form, *([] if self.rows == "plain" else [self.rows]), *rest])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_bits", description=__doc__)
    parser.add_argument("--base", metavar="REV", help="the commit to compare with")
    parser.add_argument("--new", metavar="PATH", type=Path, default=_HERE.parents[1], help="by default this checkout")
    parser.add_argument("--only", metavar="SUBSTRING", default="", help="cases whose name has it")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--run", metavar="OUT", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    chosen = [case for case in matrix() if options.only in case.name]
    if options.list:
        print(*(case.name for case in chosen), f"{len(chosen)} cases", sep="\n")
        return 0
    if options.run:
        options.run.write_bytes(pickle.dumps(run(options.new, chosen)))
        return 0
    if not options.base or not chosen:
        parser.error("--base is missing." if chosen else f"no case has {options.only!r} in its name.")
    began = time.monotonic()
    with worktree(options.base) as base:
        found = both(base, options.new.resolve(), options.only)
    return report(*found, time.monotonic() - began)


# The matrix


def matrix() -> list[Case]:
    """Return all cases, each name once."""
    parts = (every_method, every_form, every_covariance, every_label, hard_rows, every_option)
    return list({case.name: case for part in parts for case in part()}.values())


def every_method() -> Iterator[Case]:
    """Return each family by each method."""
    return (Case(law, method) for law, method in product(_REGRESSIONS, _METHODS))


def every_form() -> Iterator[Case]:
    """Return each form of data by each method, families in turn, so that each form meets most."""
    for number, form in enumerate(_FORMS[1:]):
        for turn, method in enumerate(("OneStep()", "OneStep(200, steps=2)", "MLE()", *_OTHERS, *_DEBIASED)):
            yield Case(_REGRESSIONS[(3 * number + 5 * turn) % len(_REGRESSIONS)], method, form)
        yield Case("binomial logit", "OneStep()", form)


def every_covariance() -> Iterator[Case]:
    """Return the robust covariances by family, and by form of data."""
    for number, law in enumerate(_REGRESSIONS):
        yield Case(law, "OneStep()", options={"cov_type": _ROBUST[number % 2]})
        yield Case(law, "MLE()", options={"cov_type": _ROBUST[1 - number % 2]})
    for number, (form, cov_type) in enumerate(product(_FORMS[1:], _ROBUST)):
        method = ("OneStep(200, steps=2)", "MLE()", "OneStep(200, steps='auto')")[number % 3]
        yield Case(_REGRESSIONS[7 * number % len(_REGRESSIONS)], method, form, options={"cov_type": cov_type})
    yield Case("poisson log", "OneStep()", options={"cov_type": "HC0"})


def every_label() -> Iterator[Case]:
    """Return the classifier's two labels by each method, and three by those that can."""
    yield from (Case("two labels", method, form) for method in _METHODS for form in ("array", "formula"))
    yield from (Case("three labels", method) for method in (*_GLOBAL, "Pilot(500)", "Average()"))
    for form, method in product(("uneven", "frame", "formula", "pandas", "sparse"), ("OneStep()", "MLE()")):
        yield Case("three labels", method, form)
    for cov_type, method in product(_ROBUST, ("OneStep()", "MLE()")):
        yield Case("three labels", method, options={"cov_type": cov_type})
    yield Case("three labels", "OneStep()", rows="missing", options={"missing": "drop"})
    yield Case("three labels", "OneStep()", options={"solver": "qr"})
    yield Case("three labels", "MLE()", rows="aliased")


def hard_rows() -> Iterator[Case]:
    """Return what is hard to fit: columns that hardly differ, separation, few rows that decide, blocks unlike."""
    for rows in ("ill-conditioned", "aliased"):
        yield from (Case("poisson log", method, rows=rows) for method in _METHODS)
        yield from (Case(law, method, rows=rows) for law in _FEW for method in ("OneStep()", "MLE()"))
        yield from (Case("gaussian identity", "OneStep()", form, rows) for form in ("frame", "formula", "weighted"))
        for cov_type, method in product(_ROBUST, ("OneStep()", "MLE()")):
            yield Case("binomial logit", method, rows=rows, options={"cov_type": cov_type})
    yield from (Case("binomial logit", method, rows="separated") for method in _METHODS)
    yield from (Case("two labels", method, rows="separated") for method in ("OneStep()", "MLE()"))
    laws = ("binomial logit", "binomial probit", "binomial cloglog", "poisson log", "gamma log")
    for law in laws:  # steps are shortened, or go on
        for told in ("10", "15, steps=2", "15, steps='auto'", "15, correction=None", "40", ""):
            yield Case(law, f"OneStep({told})", rows="heavy")
        yield from (Case(law, method, rows="heavy") for method in ("MLE()", "Surrogate('pilot', pilot_size=100)"))
    for method in ("OneStep()", "OneStep(25)", "MLE(start=None)", "Average()", *_SURROGATES, *_DEBIASED):
        yield Case("poisson log", method, rows="sorted")
        yield Case("binomial logit", method, rows="shifted")


def every_option() -> Iterator[Case]:
    """Return what estimators and methods accept in addition."""
    lossless = (*_GLOBAL, *_OTHERS)
    yield from (Case("poisson log", method, options={"solver": "qr"}) for method in lossless)
    yield from (Case(law, "OneStep()", options={"solver": "qr"}) for law in _REGRESSIONS)
    yield Case("poisson log", "OneStep()", rows="ill-conditioned", options={"solver": "cholesky"})
    yield from (Case("gamma log", method, rows="missing", options={"missing": "drop"}) for method in _METHODS)
    for form in ("frame", "formula", "pandas", "weighted"):
        for method in ("OneStep()", "MLE()", "Average()"):
            yield Case("binomial logit", method, form, "missing", options={"missing": "drop"})
    yield Case("binomial logit", "OneStep()", rows="missing")
    for law, method in product((*_FEW, "gamma log"), ("OneStep()", "MLE()", "Average()", "DebiasedLasso(0.05)")):
        yield Case(law, method, "weighted", options={"weight_type": "frequency"})
    for cov_type in _ROBUST:
        yield Case("gamma log", "OneStep()", "weighted", options={"weight_type": "frequency", "cov_type": cov_type})
    yield from (Case("gaussian identity", method, options={"fit_intercept": False}) for method in _METHODS)
    yield from (Case("gamma log", method, lazy=True) for method in _LAZY)
    yield from (Case("binomial logit", "OneStep()", form, lazy=True) for form in ("frame", "unknown", "weighted"))
    yield Case("two labels", "OneStep()", lazy=True, options={"cov_type": "HC1"})
    equal = "DebiasedLasso(0.02, l1_ratio=0.5, nodewise='partition', weights='equal', steps=1)"
    for method in ("DebiasedLasso()", "AverageLasso()", equal):
        yield from (Case(law, method) for law in _FEW)
    yield from (Case("poisson log", f"{method}(0.1)") for method in ("OneStep", "Pilot"))
    yield Case("poisson log", "Average('equal')")


# What one checkout finds


def run(checkout: Path, cases: list[Case]) -> dict[str, dict[str, Any]]:
    """Return what the package of a checkout, which must be first on the path, finds in each case."""
    import dask

    import dask_onestep

    if not Path(dask_onestep.__file__).resolve().is_relative_to(checkout.resolve()):
        raise SystemExit(f"dask_onestep was imported from {dask_onestep.__file__}, not from {checkout}.")
    with dask.config.set(scheduler="threads"):
        return {case.name: fitted(case) for case in cases}


def fitted(case: Case) -> dict[str, Any]:
    """Return what a fit found, or its error, and its warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            estimator, data = told(case), handed_over(case)
            glm, error = estimator.fit_delayed(**data).compute() if case.lazy else estimator.fit(**data), None
        except Exception as raised:
            glm, error = None, f"{type(raised).__name__}: {raised}"
    categories = [warning.category for warning in said]
    if case.lazy and glm is not None:  # which keeps its warnings
        categories += [category for category, _ in glm.estimate_.warnings]
    found = {"error": error, "warnings": [category.__name__ for category in categories]}
    if glm is None:
        return found
    numbers = ("coef", "covariance", "n_passes", "dispersion", "decrement", "loglik")
    return found | {number: getattr(glm.estimate_, number) for number in numbers}


def told(case: Case) -> Any:
    """Return the estimator of a case."""
    import dask_onestep

    law, options = _LAWS[case.law], dict(case.options)
    if case.form.endswith("formula"):
        options["formula"] = "y ~ C(site) + bs(x0, df=4) + x1 * x2 + x3"
    # The names are imported when they are first used.
    method = eval(case.method, {name: getattr(dask_onestep, name) for name in dask_onestep.__all__})
    if case.law in _LABELS:
        return dask_onestep.GLMClassifier(method=method, **options)
    return dask_onestep.GLMRegressor(family(law.family), law.link, method=method, **options)


def family(text: str) -> Any:
    """Return a family as GLMRegressor takes it, from its name or its Python."""
    from dask_onestep import families

    return eval(text, vars(families).copy()) if "(" in text else text


@cache
def table(rows: str, name: str) -> pd.DataFrame:
    """Return the rows of a case: x0 to x3, y, weight, offset, group and site."""
    from dask_onestep.datasets import make_glm

    law, rng = _LAWS[name], np.random.default_rng(1)
    drawn = law.family.replace("'estimate'", "0.5")
    coef = [law.level, 0.1, -0.25, 0.35, -0.5]
    drawing = {"link": law.link, "coef": coef, "dispersion": law.dispersion, "sort": rows == "sorted"}
    X, y, _ = make_glm(_ROWS, 4, family=family(drawn), chunks=750, **drawing)
    frame = pd.DataFrame(np.asarray(X), columns=list(_COLUMNS)).assign(y=np.asarray(y))
    frame["weight"] = rng.integers(1, 4, _ROWS).astype(float)
    frame["offset"] = rng.normal(0, 0.1, _ROWS)
    frame["group"] = rng.integers(0, 40, _ROWS)
    frame["site"] = np.array(["north", "east", "south"])[rng.integers(0, 3, _ROWS)]
    made_hard(frame, rows, law, rng)
    if name == "two labels":
        frame["y"] = np.where(frame["y"] > 0, "yes", "no")
    if name == "three labels":
        merit = np.stack([0 * frame["x0"], frame["x1"] - frame["x0"], 0.5 + frame["x2"]]) + rng.gumbel(size=(3, _ROWS))
        frame["y"] = np.array(["bus", "car", "train"])[merit.argmax(axis=0)]
    return frame


def made_hard(frame: pd.DataFrame, rows: str, law: Law, rng: np.random.Generator) -> None:
    """Change a table to what its name says."""
    match rows:
        case "ill-conditioned":
            frame["x3"] = frame["x2"] + 3e-5 * frame["x3"]
        case "aliased":
            frame["x2"] = frame["x0"] - 2 * frame["x1"]
        case "separated":
            frame["y"] = (frame["x0"] > 0.1).astype(float)
        case "missing":
            frame.loc[rng.random(_ROWS) < 0.03, "x1"] = np.nan
            frame.loc[rng.random(_ROWS) < 0.02, "x3"] = np.inf
        case "shifted":
            frame["x1"] += 1e5
        case "heavy":
            X = rng.standard_t(3, (_ROWS, 4))
            mean = np.exp(np.clip(X @ [0.2, -0.4, 0.4, 0.6], -8, 8))
            frame[list(_COLUMNS)] = X
            frame["y"] = {
                "binomial": rng.random(_ROWS) < mean / (1 + mean),
                "poisson": rng.poisson(mean),
                "gamma": rng.gamma(2, mean / 2),
            }[law.family].astype(float)


def handed_over(case: Case) -> dict[str, Any]:
    """Return what fit takes."""
    frame, columns = table(case.rows, case.law), list(_COLUMNS)
    parts = {"y": "y"}
    if case.form.startswith("weighted"):
        parts |= {"sample_weight": "weight"} | ({} if case.law in _LABELS else {"offset": "offset"})
    if case.options.get("cov_type") == "cluster":
        parts["groups"] = "group"
    match case.form:
        case "formula" | "weighted formula":
            return {"X": in_partitions(frame)} | parts | {"y": None}
        case "pandas formula":
            return {"X": frame} | parts | {"y": None}
        case "frame" | "weighted frame" | "categories":
            site = ["site"] if case.form == "categories" else []
            return {"X": in_partitions(frame[columns + site + list(parts.values())])} | parts
        case "pandas":
            return {"X": frame[columns]} | {part: frame[column] for part, column in parts.items()}
    return {part: as_array(frame[column], case.form) for part, column in ({"X": columns} | parts).items()}


def in_partitions(frame: pd.DataFrame) -> Any:
    """Return a frame as a dask DataFrame."""
    import dask.dataframe as dd

    return dd.from_pandas(frame, npartitions=4, sort=False)


def as_array(part: pd.DataFrame | pd.Series, form: str) -> Any:
    """Return a part as an array in blocks."""
    import dask.array as da
    from scipy import sparse

    values = part.to_numpy()
    values = values.astype(str) if values.dtype == object else values
    if form == "numpy":
        return values
    rows = _BLOCKS if form == "uneven" else 750
    array = da.from_array(values, chunks=(rows, *values.shape[1:]))
    if form == "unknown":
        return array[da.from_array(np.arange(_ROWS) % 10 > 0, chunks=rows)]
    if form == "sparse" and values.ndim == 2:
        return array.map_blocks(partial(kept_above, 0.4)).map_blocks(sparse.csr_matrix)
    return array


def kept_above(least: float, block: np.ndarray) -> np.ndarray:
    return np.where(np.abs(block) > least, block, 0.0)


# Both checkouts, and what they differ in


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Have a checkout of a commit in a temporary directory."""
    git = partial(subprocess.run, check=True, cwd=_HERE.parent)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "base"
        git(["git", "worktree", "add", "--quiet", "--detach", str(path), revision])
        try:
            yield path
        finally:
            git(["git", "worktree", "remove", "--force", str(path)])


def both(base: Path, new: Path, only: str) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return what both checkouts find, each in a process of its own, at once."""
    with tempfile.TemporaryDirectory() as folder:
        outs = Path(folder) / "base", Path(folder) / "new"
        of_base, of_new = start(base, outs[0], only), start(new, outs[1], only)
        if of_new.wait():
            of_base.terminate()
            of_base.wait()
            raise SystemExit(f"The package of {new} could not be run.")
        if of_base.wait():
            raise SystemExit(f"The package of {base} could not be run.")
        return pickle.loads(outs[0].read_bytes()), pickle.loads(outs[1].read_bytes())


def start(checkout: Path, out: Path, only: str) -> subprocess.Popen:
    """Start this file with the package of a checkout: -P keeps the modules in its directory off the path."""
    path = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", str(_HERE), "--new", str(checkout), f"--only={only}", "--run", str(out)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, cwd=out.parent)


@dataclass(frozen=True)
class Difference:
    """Differences in a case: of coefficients in standard errors, of standard errors as a fraction, others as text."""

    name: str
    coef: float = 0.0
    std_err: float = 0.0
    words: tuple[str, ...] = ()
    one_sided: bool = False

    @property
    def fails(self) -> bool:
        return self.one_sided or not self.coef <= _LIMIT

    @property
    def cells(self) -> tuple[str, ...]:
        moved = (f"{value:.1e}" if value else "-" for value in (self.coef, self.std_err))
        return self.name, *moved, "FAILS" if self.fails else "", "; ".join(self.words)


@np.errstate(all="ignore")
def difference(name: str, base: dict[str, Any], new: dict[str, Any]) -> Difference | None:
    """Return what differs between what two checkouts found; None if all bits are the same."""
    failed = base["error"] or new["error"]
    told = ("error", "warnings") if failed else ("warnings", "n_passes")
    words = [f"{what} {base[what]} -> {new[what]}" for what in told if base[what] != new[what]]
    if failed:
        one_sided = not (base["error"] and new["error"])
        return Difference(name, words=tuple(words), one_sided=one_sided) if words else None
    words += [
        f"{what} {base[what]:.3g} by {share(base[what], new[what]):.1e} of it"
        for what in ("dispersion", "decrement", "loglik")
        if bits(base[what]) != bits(new[what])
    ]
    same = all(bits(base[what]) == bits(new[what]) for what in ("coef", "covariance"))
    if same and not words:
        return None
    scale, others = (np.sqrt(np.diag(side["covariance"])) for side in (base, new))
    # Without standard errors, as a lasso has none, the largest coefficient stands for them.
    largest = np.max(np.abs(np.nan_to_num(base["coef"])), initial=1e-300)
    unit = np.where(scale > 0, scale, largest)
    coef, std_err = farthest(base["coef"], new["coef"], unit), share(scale, others)
    if not same and not coef and not std_err:
        words.append("covariances outside their diagonals, or signs of zeros")
    return Difference(name, coef, std_err, tuple(words))


def bits(values: Any) -> bytes:
    """Return the bytes of numbers, all NaN being one."""
    values = np.asarray(values, dtype=np.float64)
    return repr(values.shape).encode() + np.where(np.isnan(values), np.nan, values).tobytes()


def share(base: Any, new: Any) -> float:
    return farthest(base, new, np.maximum(np.abs(base), 1e-300))


def farthest(base: Any, new: Any, unit: Any) -> float:
    """Return the largest difference in a unit; infinite where numbers are missing on one side only."""
    base, new, unit = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (base, new, unit))
    if base.shape != new.shape or (np.isnan(base) != np.isnan(new)).any():
        return float("inf")
    moved = np.where((base == new) | np.isnan(base), 0.0, np.abs(new - base))
    return float(np.max(moved / np.where(moved > 0, unit, 1.0), initial=0.0))


def report(base: dict[str, dict], new: dict[str, dict], seconds: float) -> int:
    """Print the cases that differ, and return 1 if one does by more than it may."""
    found = [line for name in base if (line := difference(name, base[name], new[name]))]
    failed = sum(line.fails for line in found)
    if found:
        lines = [("case", "coef in s.e.", "s.e. relative", "", "besides"), *(line.cells for line in found)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        print()
    errors = sum(bool(side["error"]) for side in base.values())
    print(
        f"{len(base)} cases, {errors} of which end in an error at the base: {len(base) - len(found)} have the same "
        f"bits, {len(found)} differ; {failed} fail (by more than {_LIMIT:g} standard errors, or by an error on one "
        f"side only); {seconds:.0f} seconds."
    )
    return int(failed > 0 or errors == len(base))


if __name__ == "__main__":
    sys.exit(main())
