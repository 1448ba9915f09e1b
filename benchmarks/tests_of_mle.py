"""How often test statistics are silently wrong: ``python -m benchmarks.tests_of_mle --help``.

Each case is a small random problem and a random method.  Its likelihood-ratio tests (of one coefficient and of two),
its score test and its `drop1` are compared with those of a global maximum-likelihood fit; F statistics times their
degrees of freedom, so that all have the scale of χ².  A statistic is

- wrong, if it is off by more than 1 and by more than 5 % of the exact one;
- silent, if it is wrong and neither the fit nor the test warned or left a note;
- close, if it is within 0.05 + 1 % of the exact one;
- without a value, if it is NaN or the call raised an error, which is neither wrong nor silent;
- a false alarm of the test, if the test warned or left a note and the statistic is close; and of the fit, if the fit
  alone warned.

All of a case follows from its seed: ``--case SEED`` fits it again and shows every statistic and all that was said.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks.origin import origin
from benchmarks.timing import ONE_THREAD
from dask_onestep import MLE, GLMRegressor, OneStep, Surrogate
from dask_onestep.families import NegativeBinomial

FAMILIES = [
    ("binomial", "logit"),
    ("poisson", "log"),
    ("gamma", "log"),
    ("gaussian", "identity"),
    ("gaussian", "log"),
    ("negative-binomial", "log"),
]
METHODS: dict[str, Callable[..., Any]] = {
    "OneStep(60, steps=1)": partial(OneStep, 60, steps=1),
    "OneStep(200, steps=1)": partial(OneStep, 200, steps=1),
    "OneStep(25)": partial(OneStep, 25),
    "OneStep(200)": partial(OneStep, 200),
    "OneStep(pilot_bytes=1)": partial(OneStep, pilot_bytes=1),
    "OneStep()": OneStep,
    "Surrogate('pilot')": partial(Surrogate, "pilot"),
    "Surrogate()": Surrogate,
    "MLE()": MLE,
}
KINDS = {"normal": 0.3, "t3": 0.15, "lognormal": 0.1, "1 %": 0.1, "0.2 %": 0.1, "correlated": 0.15, "uncentered": 0.1}
LAYOUTS = {"random": 0.5, "by covariate": 0.3, "by response": 0.2}
TESTS = ["LRT", "score", "drop1"]
ARRIVED = 1e-3  # a global fit whose λ²/φ is greater is no reference


@dataclass(frozen=True)
class Case:
    """A problem, how its rows lie in blocks, its method, and the coefficients to test."""

    seed: int
    family: str
    link: str
    method: str
    kinds: tuple[str, ...]
    layout: str
    x: np.ndarray
    y: np.ndarray
    blocks: int
    single: str
    pair: tuple[str, str]
    scored: str

    @property
    def names(self) -> list[str]:
        return [f"x{number}" for number in range(len(self.kinds))]

    @property
    def nulls(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return all tests, and the coefficients that each says are zero."""
        tests = [("LRT", (self.single,)), ("LRT", self.pair), ("score", (self.scored,))]
        return [*tests, *(("drop1", (name,)) for name in self.names)]

    def fit(self, method: Any) -> GLMRegressor:
        family: Any = NegativeBinomial(alpha=1.0) if self.family == "negative-binomial" else self.family
        return GLMRegressor(family, self.link, method=method).fit(*self.arrays())

    def arrays(self) -> tuple[da.Array, da.Array]:
        chunk = -(-len(self.y) // self.blocks)
        return da.from_array(self.x, chunks=(chunk, -1)), da.from_array(self.y, chunks=chunk)


@dataclass(frozen=True)
class Answer:
    """A statistic on the scale of χ², and what its call said: warnings and notes, or an error."""

    value: float = np.nan
    said: str = ""
    error: str = ""


def draw(seed: int) -> Case:
    """Return the case of a seed."""
    rng = np.random.default_rng(seed)
    family, link = FAMILIES[rng.integers(len(FAMILIES))]
    method = str(rng.choice(list(METHODS)))
    rows, columns = int(np.exp(rng.uniform(np.log(2_000), np.log(20_000)))), int(rng.integers(2, 13))
    kinds = tuple(rng.choice(list(KINDS), columns, p=list(KINDS.values())).tolist())
    x = draw_columns(rng, rows, kinds)
    y = draw_response(rng, family, link, draw_predictor(rng, x, kinds))
    layout = str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
    keys = {"by covariate": x[:, rng.integers(columns)], "by response": y}
    order = np.argsort(keys[layout], kind="stable") if layout in keys else slice(None)
    single, scored, *pair = (f"x{number}" for number in (*rng.integers(columns, size=2), *rng.permutation(columns)[:2]))
    blocks = int(rng.integers(2, 11))
    return Case(seed, family, link, method, kinds, layout, x[order], y[order], blocks, single, tuple(pair), scored)


def draw_columns(rng: np.random.Generator, rows: int, kinds: Iterable[str]) -> np.ndarray:
    """Return the covariates; a correlated one leans on the one before it."""
    columns: list[np.ndarray] = []
    for kind in kinds:
        z = rng.standard_normal(rows)
        if kind == "t3":
            z = rng.standard_t(3, rows)
        elif kind == "lognormal":
            z = np.exp(z)
        elif kind.endswith("%"):
            z = np.zeros(rows)
            z[rng.choice(rows, max(4, round(float(kind[:-1]) / 100 * rows)), replace=False)] = 1.0
        elif kind == "uncentered":
            z += rng.choice([5.0, 30.0, 100.0])
        elif kind == "correlated" and columns:
            rho, last = rng.choice([0.8, 0.95, 0.99]), columns[-1]
            z = rho * (last - last.mean()) / last.std() + np.sqrt(1 - rho**2) * z
        columns.append(z)
    return np.column_stack(columns)


def draw_predictor(rng: np.random.Generator, x: np.ndarray, kinds: Iterable[str]) -> np.ndarray:
    """Return η without an intercept: of the coefficients some are zero, some nearly zero."""
    rows, columns = x.shape
    dummy = np.array([kind.endswith("%") for kind in kinds])
    scale = np.where(dummy, 1.0, x.std(axis=0))
    small = 4.0 / np.sqrt(rows) / np.where(dummy, x.std(axis=0), 1.0)
    large = np.where(dummy, 1.0, rng.uniform(0.2, 1.0) / np.sqrt(columns))
    size = np.choose(rng.choice(3, columns, p=[0.4, 0.3, 0.3]), [np.zeros(columns), small, large])
    return (x - x.mean(axis=0)) @ (rng.standard_normal(columns) * size / scale)


def draw_response(rng: np.random.Generator, family: str, link: str, eta: np.ndarray) -> np.ndarray:
    """Return y; some binomial events are rare, and some counts are more dispersed than their family says."""
    if family == "binomial":
        intercept = rng.uniform(-5.0, -3.5) if rng.random() < 0.35 else rng.uniform(-1.5, 1.5)
        return (rng.random(len(eta)) < 1 / (1 + np.exp(-intercept - eta))).astype(float)
    if link == "identity":
        return rng.uniform(-2.0, 2.0) + eta + rng.uniform(0.5, 2.0) * rng.standard_normal(len(eta))
    mean = np.exp(rng.uniform(-1.0, 1.0) + np.clip(eta, -5.0, 4.0))
    if family == "gamma":
        shape = rng.uniform(0.5, 4.0)
        return np.maximum(rng.gamma(shape, mean / shape), 1e-12)
    if family == "gaussian":
        return mean + rng.uniform(0.2, 1.0) * rng.standard_normal(len(eta))
    spread = rng.uniform(0.3, 2.0) if family == "negative-binomial" or rng.random() < 0.35 else 0.0
    return rng.poisson(rng.gamma(1 / spread, mean * spread) if spread else mean).astype(float)


def ask(call: Callable[[], Any]) -> tuple[Any, Answer]:
    """Return what a call returns, and what it said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result, error = call(), ""
        except Exception as raised:  # counted and shown, whatever it is
            result, error = None, f"{type(raised).__name__}: {raised}"
    said = "; ".join(dict.fromkeys(f"{each.category.__name__}: {each.message}" for each in caught))
    return result, Answer(said=said, error=error)


def answers(case: Case, glm: GLMRegressor) -> list[Answer]:
    """Return the answers of a fit, in the order of the case's nulls."""
    x, y = case.arrays()
    found = []
    for test, null in case.nulls[:3]:
        call = glm.score_test if test == "score" else glm.likelihood_ratio_test
        result, answer = ask(partial(call, x, y, null=list(null)))
        if result is not None:
            value = result.statistic * (result.df if result.distribution == "F" else 1)
            answer = replace(answer, value=value, said="; ".join(filter(None, [answer.said, result.note])))
        found.append(answer)
    table, answer = ask(partial(glm.drop1, x, y))
    if table is None:
        return found + [answer] * len(case.names)
    notes = table["note"].fillna("").astype(str) if "note" in table else pd.Series("", table.index)
    for value, note in zip(table["statistic"], notes, strict=True):  # of one coefficient each: F has the scale of χ²
        found.append(replace(answer, value=float(value), said="; ".join(filter(None, [answer.said, note]))))
    return found


def examine(seed: int, statsmodels: bool = False) -> list[dict[str, Any]]:
    """Return one row for each statistic of a case."""
    case = draw(seed)
    with dask.config.set(scheduler="synchronous"):
        exact, reference = ask(lambda: case.fit(MLE()))
        exacts = [reference] * len(case.nulls) if exact is None else answers(case, exact)
        if exact is not None and not exact.decrement_ <= ARRIVED * exact.dispersion_:
            exacts = [replace(answer, value=np.nan) for answer in exacts]
        glm, fit = ask(lambda: case.fit(METHODS[case.method](random_state=seed)))
        found = [fit] * len(case.nulls) if glm is None else answers(case, glm)
    about = {"seed": seed, "method": case.method, "family": case.family, "link": case.link, "rows": len(case.y)}
    about |= {"blocks": case.blocks, "layout": case.layout, "kinds": " ".join(case.kinds).replace(" %", "%")}
    others = oracle(case, exact) if statsmodels and exact is not None else [np.nan] * len(case.nulls)
    return [
        about
        | {"test": test, "null": "+".join(null), "value": answer.value, "reference": known.value, "statsmodels": other}
        | {"fit_said": fit.said, "test_said": answer.said, "error": answer.error}
        | {"reference_said": "; ".join(filter(None, [reference.said, known.said, known.error]))}
        for (test, null), answer, known, other in zip(case.nulls, found, exacts, others, strict=True)
    ]


def oracle(case: Case, exact: GLMRegressor) -> list[float]:
    """Return the statistics by statsmodels; NaN where its iterations, which are never shortened, do not converge."""
    names, x = np.array(["intercept", *case.names]), np.column_stack([np.ones(len(case.y)), case.x])
    eta = x @ np.nan_to_num(np.r_[exact.intercept_, exact.coef_])
    larger, found = climb(case, x, eta, np.ones(len(names), bool)), []
    for test, null in case.nulls:
        kept, coef = ~np.isin(names, null), np.zeros(len(names))
        smaller = climb(case, x, eta, kept)
        if larger is None or smaller is None:
            found.append(np.nan)
            continue
        coef[kept] = smaller.params
        score = larger.model.score(coef, scale=1.0)
        information = -larger.model.hessian(coef, scale=1.0, observed=False)
        rao, ratio = score @ np.linalg.pinv(information) @ score, smaller.deviance - larger.deviance
        found.append(float((rao if test == "score" else ratio) / larger.scale))
    return found


def climb(case: Case, x: np.ndarray, eta: np.ndarray, kept: np.ndarray) -> Any:
    """Return a fit by statsmodels to some of the columns, from the least squares of η on them; None if it fails."""
    import statsmodels.api as sm

    laws = {"binomial": "Binomial", "poisson": "Poisson", "gamma": "Gamma", "gaussian": "Gaussian"}
    links = {"logit": sm.families.links.Logit, "log": sm.families.links.Log, "identity": sm.families.links.Identity}
    alpha = {"alpha": 1.0} if case.family == "negative-binomial" else {}
    family = getattr(sm.families, laws.get(case.family, "NegativeBinomial"))(link=links[case.link](), **alpha)
    start = np.linalg.lstsq(x[:, kept], eta)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = sm.GLM(case.y, x[:, kept], family=family).fit(start_params=start, maxiter=100)
        except ValueError:
            return None
    return fit if fit.converged else None


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what each of them is: wrong, silent, without a value, a false alarm."""
    gap, exact = (rows["value"] - rows["reference"]).abs(), rows["reference"]
    fit, test = rows["fit_said"] != "", rows["test_said"] != ""
    wrong, close = gap > np.maximum(1.0, 0.05 * exact), gap <= 0.05 + 0.01 * exact
    return rows.assign(
        close=close,
        wrong=wrong,
        silent=wrong & ~fit & ~test,
        none=rows["value"].isna(),
        false_test=test & close,
        false_fit=fit & ~test & close,
        excess=gap / np.maximum(1.0, 0.05 * exact),
    )


def tabulate(judged: pd.DataFrame) -> pd.DataFrame:
    """Return shares of all statistics in per cent, for each method and test."""
    kinds = ["close", "wrong", "silent", "none", "false_test", "false_fit"]

    def line(method: str, test: str, part: pd.DataFrame) -> dict[str, Any]:
        return {"method": method, "test": test, "statistics": len(part)} | dict(100 * part[kinds].mean())

    groups = dict(list(judged.groupby(["method", "test"])))
    lines = [line(*key, groups[key]) for method in METHODS for test in TESTS if (key := (method, test)) in groups]
    totals = [line("total", test, judged[judged["test"] == test]) for test in TESTS]
    return pd.DataFrame([*lines, *totals, line("total", "all", judged)])


def worst(judged: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the worst silent statistic of each of some cases."""
    silent = judged[judged["silent"]].sort_values("excess", ascending=False).drop_duplicates("seed").head(count)
    return silent[["seed", "method", "family", "link", "rows", "layout", "test", "null", "value", "reference"]]


def report(rows: pd.DataFrame) -> None:
    """Print the table, the worst cases, and what could not be judged."""
    known = np.isfinite(rows["reference"])
    judged = judge(rows[known])
    print("Shares of all statistics in %:")
    print(tabulate(judged).to_string(index=False, float_format=lambda share: f"{share:.1f}"))
    print(f"\n{judged.loc[judged['silent'], 'seed'].nunique()} cases have silently wrong statistics; the worst:")
    print(worst(judged).to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print(f"\n{(~known).sum()} statistics are left out: the global fit failed, or stopped before its maximum.")
    odd = rows[(rows["error"] != "") & ~rows["error"].str.startswith("ValueError")].drop_duplicates("seed")
    for row in odd.itertuples():
        print(f"seed {row.seed}, {row.method}, {row.test}: {row.error[:150]}")
    if rows["statsmodels"].notna().any():
        gap = (rows["reference"] - rows["statsmodels"]).abs()
        off = rows[gap > 0.05 + 0.01 * rows["statsmodels"].abs()]
        print(f"statsmodels finds {gap.notna().sum()} of {len(rows)} statistics; {len(off)} are not the reference.")
        for row in off.itertuples():
            print(f"seed {row.seed}, {row.test} {row.null}: {row.reference:.5g}, statsmodels {row.statsmodels:.5g}")


def show(seed: int) -> None:
    """Print all of one case."""
    case = draw(seed)
    rows = judge(pd.DataFrame(examine(seed, statsmodels=True)))
    about = f"{case.method}, {case.family} {case.link}, {len(case.y):,} rows in {case.blocks} blocks, {case.layout}"
    print(f"seed {seed}: {about}; mean of y {case.y.mean():.4g}\n{dict(zip(case.names, case.kinds, strict=True))}")
    print(f"the fit said: {rows['fit_said'][0] or 'nothing'}")
    shown = ["test", "null", "value", "reference", "statsmodels", "wrong", "silent", "test_said", "error"]
    print(rows[shown].to_string(index=False, max_colwidth=90, float_format=lambda value: f"{value:.5g}"))
    for said in sorted(set(rows["reference_said"]) - {""}):
        print(f"the reference said: {said}")


def write(judged: pd.DataFrame, path: Path) -> None:
    """Write a CSV with the categories of all warnings in the place of their texts."""
    said = ["fit_said", "test_said", "reference_said"]
    short = {
        name: judged[name].str.replace(r"(\w+Warning): .*?(?=; \w+Warning: |$)", r"\1", regex=True) for name in said
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    judged.assign(**short).to_csv(path, index=False, float_format="%.6g")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tests_of_mle", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0, help="seed of the first case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", type=int, metavar="SEED", help="run only this case, and show all of it")
    parser.add_argument("--statsmodels", action="store_true", help="check the references by statsmodels")
    parser.add_argument("--output", type=Path, help="a CSV of all statistics to write, with commit and command")
    parser.add_argument("--table", type=Path, help="a CSV of the shares by method and test to write, likewise")
    options = parser.parse_args(arguments)
    os.environ.update(ONE_THREAD)  # of the processes to come
    if options.case is not None:
        with threadpool_limits(1):
            show(options.case)
        return
    seeds, began = range(options.start, options.start + options.cases), time.perf_counter()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        found = pool.map(partial(examine, statsmodels=options.statsmodels), seeds)
        rows = pd.DataFrame([row for each in track(found, "cases", total=len(seeds)) for row in each])
    report(rows)
    print(f"{options.cases} cases in {time.perf_counter() - began:.0f} s")
    if options.output:
        write(judge(rows).assign(**origin()), options.output)
    if options.table:
        known = judge(rows[np.isfinite(rows["reference"])])
        tabulate(known).assign(**origin()).to_csv(options.table, index=False, float_format="%.2f")


if __name__ == "__main__":
    main()
