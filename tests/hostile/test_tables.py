"""A search over dtypes × formulas × weights × chunking: the answer is that of R's rules.

The second source knows nothing of formulas: each drawn term comes with its own columns, computed here in float64 with
a column for every level, and a term of several factors has the products of their columns. By R's rules of coding the
columns of a model span the same space, whichever levels are left out, so that statsmodels' fit of a basis of that space
has the same means, the same standard errors of x'β, deviance and residual degrees of freedom. By hand, where
statsmodels differs from R: rows of weight zero are as if absent, rows with missing values too, unused levels are no
levels, and arithmetic is in double precision. Coefficients of models without interactions are compared by name.
Some tables are also written to Parquet or CSV files, which the command line fits and predicts.
As a test it draws the same each time; ``make search`` draws 20,000 others.
"""

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, pairwise
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import statsmodels.api as sm
from catalogue import partitions
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import BSpline
from typer.testing import CliRunner

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.cli import app
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.storage.models import read_model, write_model

FAMILIES = {
    "gaussian": (sm.families.Gaussian(), None),
    "binomial": (sm.families.Binomial(), None),
    "poisson": (sm.families.Poisson(), None),
    "gamma": (sm.families.Gamma(sm.families.links.Log()), "log"),
}
PLAIN = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool")
NULLABLE = ("Int8", "UInt16", "Int64", "Float32", "Float64", "boolean", "int32[pyarrow]", "double[pyarrow]")
OBJECTS = ("objects", "decimals")
STRINGS = ("objects", "string[python]", "string[pyarrow]", "category", "reversed category", "category of integers")
CODES = ("int8", "int64", "uint16", "Int32", "float64", "bool", "boolean")
LEVELS = ("b", "a", "É", "T.b", "0")
INTEGER_LEVELS = (7, 0, 11, 2, 30)


@dataclass
class Column:
    """A column as stored, and what it means: numbers with NaN, or the code of each row's level, −1 if missing."""

    stored: pd.Series
    means: np.ndarray
    levels: tuple = ()
    in_memory: bool = False

    @property
    def present(self):
        return self.means >= 0 if self.levels else np.isfinite(self.means)


def number(draw, rng, n, positive):
    """Draw a numeric column."""
    kinds = PLAIN + NULLABLE + OBJECTS
    kind = draw(st.sampled_from([kind for kind in kinds if not (positive and "bool" in kind)]))
    missing = (rng.random(n) < 0.1) & draw(st.booleans())
    if "bool" in kind:
        values = rng.random(n) < 0.5
    elif "int" in kind.lower() or kind in OBJECTS:
        most = 100 if kind.lower().endswith("int8") else 10_000
        values = rng.integers(1 if positive or kind.lower().startswith("u") else -most, most + 1, n)
    else:
        values = np.exp(rng.normal(size=n)) if positive else 3.0 * rng.normal(size=n)
        values = values.astype("float32") if "32" in kind else values
    means = values.astype(float)
    if kind in OBJECTS:
        means = means / 4 if kind == "decimals" else means
        stored = pd.Series([Decimal(int(v)) / 4 if kind == "decimals" else v for v in values.tolist()], dtype=object)
        stored[missing] = None
    elif kind in NULLABLE:
        stored = pd.Series(pd.array(values.tolist(), dtype=kind))
        stored[missing] = pd.NA
    elif kind.startswith("float"):
        stored = pd.Series(np.where(missing, np.nan, values).astype(kind))
    else:
        stored = pd.Series(values.astype(kind))
        missing[:] = False
    return Column(stored, np.where(missing, np.nan, means), in_memory=kind in OBJECTS)


def categories(draw, rng, n, coded):
    """Draw a column of levels; `coded` if the formula makes it one by C(...)."""
    kind = draw(st.sampled_from(CODES if coded else STRINGS))
    k = 2 if "bool" in kind else draw(st.integers(1, 5))
    codes = rng.integers(0, k, n)
    codes = np.sort(codes) if draw(st.booleans()) else codes
    missing = (rng.random(n) < 0.1) & draw(st.booleans())
    integers = coded or kind == "category of integers"
    levels = np.array([False, True] if "bool" in kind else (INTEGER_LEVELS if integers else LEVELS)[:k], dtype=object)
    if kind == "float64":
        levels = levels.astype(float)
    values = levels[codes]
    order = np.argsort(levels)
    if "category" in kind:
        declared = np.array([*levels, 99 if integers else "never"], dtype=object)
        declared = np.sort(declared)[:: -1 if kind == "reversed category" else 1]
        order = order[:: -1 if kind == "reversed category" else 1]
        stored = pd.Series(pd.Categorical(values, categories=declared.tolist()))
    else:
        stored = pd.Series(values, dtype=object if kind == "objects" else kind)
    if kind in ("int8", "int64", "uint16", "bool"):
        missing[:] = False
    stored[missing] = np.nan if kind == "float64" else pd.NA if kind in ("Int32", "boolean") else None
    return Column(stored, np.where(missing, -1, np.argsort(order)[codes]), tuple(levels[order].tolist()))


@dataclass
class Columns:
    """The columns of a factor of terms: one for every level, and those of R's coding next to a constant, by name."""

    full: np.ndarray
    reduced: np.ndarray
    names: tuple = ()


@dataclass
class Part:
    """A factor of terms: its text, what it reads, and its columns, given the complete rows and those of any weight."""

    text: str
    reads: tuple
    columns: Callable[[np.ndarray, np.ndarray], Columns]


def number_part(draw, table, name):
    """Draw an expression of a numeric column."""
    other = draw(st.sampled_from(("u", "v", "p")))
    u, v = table[name].means, table[other].means

    def centered(scaled):
        def columns(complete, weighted):
            seen = u[np.isfinite(u) & weighted]
            return (u - seen.mean()) / (seen.std(ddof=1) if scaled else 1.0)

        return columns

    with np.errstate(all="ignore"):
        alone = {
            name: u,
            f"I({name}**2)": u**2,
            f"np.square({name})": u**2,
            f"I(100 - {name})": 100 - u,
            f"I(-{name})": -u,
            f"I({name}/7)": u / 7,
            f"np.abs({name})": np.abs(u),
            f"center({name})": centered(scaled=False),
            f"scale({name})": centered(scaled=True),
        }
        if name == "p":
            alone |= {"np.log(p)": np.log(u), "log(p + 1)": np.log(u + 1), "np.sqrt(p)": np.sqrt(u)}
        paired = {
            f"I({name}*{other})": u * v,
            f"I({name} + {other})": u + v,
            f"I({name} > {other})": 1.0 * (u > v),
            f"I(({name} > 0) + ({other} > 1))": (u > 0) + 1.0 * (v > 1),
            f"I(({name} > 0) & ~({other} > 1))": 1.0 * ((u > 0) & ~(v > 1)),
        }
    known = alone | paired
    text = draw(st.sampled_from(list(known)))
    values = known[text]

    def columns(complete, weighted):
        column = (values(complete, weighted) if callable(values) else values)[:, np.newaxis]
        return Columns(column, column, (text.replace(" ", ""),))

    return Part(text, (name, other) if text in paired else (name,), columns)


def spline_part(draw, table, name):
    """Draw a cubic B-spline with an inner knot at the median, without its first basis function."""
    u = table[name].means

    def columns(complete, weighted):
        seen = u[np.isfinite(u) & weighted]
        low, middle, high = seen.min(), np.median(seen), seen.max()
        assume(low < middle < high)
        knots = np.concatenate([[low] * 4, [middle], [high] * 4])
        inside = np.where(np.isfinite(u), np.clip(u, low, high), low)
        basis = BSpline.design_matrix(inside, knots, 3).toarray()[:, 1:]
        return Columns(basis, basis)

    return Part(f"bs({name}, df=4)", (name,), columns)


def factor_part(draw, table, name):
    """Draw a factor, with a coding."""
    column = table[name]
    coding = draw(st.sampled_from(["", "", "C", "Treatment", "Sum", "missing"]))
    base = draw(st.integers(0, 4))
    filled = coding == "missing"
    text = f"C({name})" if name == "c" or coding == "C" else name
    if coding == "Treatment":
        text = f"C({name}, Treatment({column.levels[base % len(column.levels)]!r}))"
    elif coding == "Sum":
        text = f"C({name}, Sum)"
    elif filled:
        text = f"C({name}, missing='none')"
    known = (*column.levels, "none")
    # Missing values have the last code; a column of numbers with missing values may be stored as floats.
    codes = np.where(column.means < 0, len(column.levels), column.means)

    def columns(complete, weighted):
        seen = np.unique(codes[complete])
        full = 1.0 * (codes[:, np.newaxis] == seen)
        if coding == "Sum":
            assume(len(seen) > 1)
            return Columns(full, full[:, :-1] - full[:, -1:])
        reference = base % len(column.levels) if coding == "Treatment" else seen[0]
        assume(reference in seen)
        kept = [at for at, code in enumerate(seen) if code != reference]
        shown = [int(level) if filled and isinstance(level, float) else level for level in known]
        return Columns(full, full[:, kept], tuple(f"{text}[T.{shown[int(seen[at])]}]" for at in kept))

    return Part(text, () if filled else (name,), columns)


JOINS = {
    "+": (" + ", lambda count: [(at,) for at in range(count)]),
    ":": (":", lambda count: [tuple(range(count))]),
    "*": ("*", lambda count: [each for size in range(1, count + 1) for each in combinations(range(count), size)]),
    "/": ("/", lambda count: [tuple(range(size)) for size in range(1, count + 1)]),
}


@dataclass(repr=False)
class Analysis:
    """A table, a formula and the columns that it means, weights, a chunking and an estimator."""

    table: dict
    parts: list
    terms: list
    formula: str
    intercept: bool
    family: str
    offset: str | None
    weights: np.ndarray | None
    weight_type: str
    y: pd.Series
    sizes: tuple
    cov_type: str
    method: object
    additive: bool
    continued: bool
    lazy: bool
    files: str | None

    def __repr__(self):
        kinds = {name: (str(c.stored.dtype), not c.present.all()) for name, c in self.table.items()}
        how = f"{self.weight_type} {self.sizes} {self.cov_type} {self.method} {self.lazy} {self.files}"
        return f"{self.family} {self.formula} {kinds} {how}"


@st.composite
def analyses(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(50, 120))
    table = {name: number(draw, rng, n, positive=name == "p") for name in ("u", "v", "p")}
    table |= {name: categories(draw, rng, n, coded=name == "c") for name in ("g", "h", "c")}
    table["o"] = Column(values := pd.Series(rng.normal(size=n)), values.to_numpy())
    which = draw(st.lists(st.sampled_from(("u", "v", "p", "s", "g", "h", "c")), min_size=1, max_size=3, unique=True))
    parts = []
    for name in which:
        if name == "s":
            parts.append(spline_part(draw, table, "u"))
        else:
            parts.append((factor_part if name in "ghc" else number_part)(draw, table, name))
    sign = draw(st.sampled_from(["+", "+", *JOINS]))
    joint, terms_of = JOINS[sign]
    intercept = draw(st.sampled_from([True, True, True, False]))
    family = draw(st.sampled_from(list(FAMILIES)))
    offset = draw(st.sampled_from([None, None, "offset(o)", "offset(log(p) / 9)"]))
    formula = "y ~ " + ("" if intercept else "0 + ") + joint.join(part.text for part in parts)
    formula += f" + {offset}" if offset else ""
    weights, weight_type = None, "variance"
    match draw(st.sampled_from(["none", "none", "zeros", "variance", "frequency"])):
        case "zeros":
            weights = 1.0 * (rng.random(n) < 0.8)
        case "variance" if family != "binomial":
            weights = np.where(rng.random(n) < 0.1, 0.0, rng.random(n) + 0.5)
        case "frequency":
            weights, weight_type = 1.0 * rng.integers(0, 4, n), "frequency"
    first = table[which[0] if which[0] != "s" else "u"].means
    eta = 0.5 * np.nan_to_num((first - np.nanmean(first)) / (np.nanstd(first) or 1.0)) - 0.2
    y = {
        "gaussian": lambda: 10.0 * (eta + rng.normal(size=n)),
        "binomial": lambda: 1.0 * (rng.random(n) < 1 / (1 + np.exp(-eta))),
        "poisson": lambda: 1.0 * rng.poisson(np.exp(eta)),
        "gamma": lambda: rng.gamma(3.0, np.exp(eta)),
    }[family]()
    kinds = ["float64", "Float64"]
    if family in ("binomial", "poisson"):
        kinds += ["int8", "uint64", "Int16", "int64[pyarrow]", *(["bool", "boolean"] if family == "binomial" else [])]
    y = pd.Series(y).astype(draw(st.sampled_from(kinds)))
    cuts = draw(st.none() | st.lists(st.integers(0, n), max_size=3))
    return Analysis(
        table=table,
        parts=parts,
        terms=terms_of(len(parts)),
        formula=formula,
        intercept=intercept,
        family=family,
        offset=offset,
        weights=weights,
        weight_type=weight_type,
        y=y,
        sizes=None if cuts is None else tuple(b - a for a, b in pairwise((0, *sorted(cuts), n))),
        cov_type=draw(st.sampled_from(["nonrobust", "nonrobust", "HC1"])) if weight_type == "variance" else "nonrobust",
        method=draw(st.sampled_from([OneStep(), MLE(max_iter=200)])),
        additive=sign == "+",
        continued=draw(st.sampled_from([True, False, False, False])),
        lazy=draw(st.sampled_from([True, False, False, False])),
        files=draw(st.sampled_from(["parquet", "csv", None, None, None])),
    )


@dataclass
class Answer:
    """What the second source says of the complete rows."""

    rows: np.ndarray
    rank: int
    means: np.ndarray
    se: np.ndarray
    df: float
    deviance: float
    scale: float
    coef: dict
    single: bool


def answer(case):
    """Fit a basis of the columns by statsmodels."""
    n = len(case.y)
    weighted = np.ones(n, bool) if case.weights is None else case.weights > 0
    reads = {name for part in case.parts for name in part.reads}
    reads |= {"offset(o)": {"o"}, "offset(log(p) / 9)": {"p"}}.get(case.offset, set())
    rows = np.logical_and.reduce([weighted, *(case.table[name].present for name in reads)])
    assume(rows.sum() > 25)
    columns = [part.columns(rows, weighted) for part in case.parts]
    blocks = [np.ones((n, 1))] if case.intercept else []
    for term in case.terms:
        block = np.ones((n, 1))
        for at in term:
            block = (block[:, :, np.newaxis] * columns[at].full[:, np.newaxis, :]).reshape(n, -1)
        blocks.append(block)
    single = any(each.full.shape[1] == 1 and not each.reduced.shape[1] for each in columns)
    design = np.column_stack(blocks)[rows]
    design = design[:, (design != 0).any(axis=0)]
    assume(design.shape[1] > 0)
    left, spread, _ = np.linalg.svd(design / np.linalg.norm(design, axis=0), full_matrices=False)
    relative = spread / spread[0]
    assume(not ((relative > 1e-12) & (relative < 1e-5)).any())
    basis = left[:, relative > 1e-5] * np.sqrt(rows.sum())
    rank = basis.shape[1]
    assume(rank < rows.sum() / 3)
    family, _ = FAMILIES[case.family]
    y = case.y.to_numpy(float)[rows]
    offset = case.table["o"].means if case.offset == "offset(o)" else np.log(case.table["p"].means) / 9
    options = {} if case.offset is None else {"offset": offset[rows]}
    if case.weights is not None:
        options["freq_weights" if case.weight_type == "frequency" else "var_weights"] = case.weights[rows]
    oracle = sm.GLM(y, basis, family=family, **options)
    try:
        fit = oracle.fit(tol=1e-13, maxiter=200)
    except ValueError:  # its means overflowed
        assume(False)
    assume(fit.converged)
    means = fit.fittedvalues
    if case.family in ("binomial", "poisson"):  # neither separated nor nearly so
        assume(means.min() > 1e-3 and (case.family == "poisson" or means.max() < 1 - 1e-3))
    covariance = fit.cov_params()
    if case.cov_type == "HC1":
        weight = 1.0 if case.weights is None else case.weights[rows]
        derivative = family.link.inverse_deriv(family.link(means))
        scores = (weight * (y - means) * derivative / family.variance(means))[:, np.newaxis] * basis
        bread = np.linalg.inv((weight * derivative**2 / family.variance(means) * basis.T) @ basis)
        covariance = bread @ scores.T @ scores @ bread * len(y) / (len(y) - rank)
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", basis, covariance, basis), 0.0))
    coef = {}
    if case.additive and case.intercept and all(len(each.names) == each.reduced.shape[1] for each in columns):
        coded = np.column_stack([np.ones(n), *(each.reduced for each in columns)])[rows]
        if coded.shape[1] == rank:
            eta = family.link(means) - options.get("offset", 0.0)
            solved = np.linalg.lstsq(coded, eta, rcond=None)[0]
            names = ["intercept", *(name for each in columns for name in each.names)]
            # From the least to the greatest x'β, so that a coefficient is compared by what it does.
            coef = dict(zip(names, zip(solved, np.abs(coded).max(axis=0), strict=True), strict=True))
    return Answer(rows, rank, means, se, fit.df_resid, fit.deviance, fit.scale, coef, single)


def stored(case, rows=slice(None)):
    """Return rows of the table as a user would hold it, and the weights."""
    frame = pd.DataFrame({name: column.stored for name, column in case.table.items()} | {"y": case.y})[rows]
    weights = None if case.weights is None else pd.Series(case.weights)[rows]
    if case.sizes is None:
        return frame, weights
    edges = np.minimum(np.cumsum((0, *case.sizes)), len(frame))
    sizes = np.diff([*edges[:-1], len(frame)])
    return partitions(frame, sizes), None if weights is None else partitions(weights, sizes)


def check(case, wanted):
    """Assert that a fit gives what the second source says."""
    data, weights = stored(case)
    _, link = FAMILIES[case.family]
    gaps = any(not column.present.all() for column in case.table.values())
    glm = GLMRegressor(
        case.family,
        link,
        formula=case.formula,
        method=case.method,
        cov_type=case.cov_type,
        weight_type=case.weight_type,
        missing="drop" if gaps else "raise",
    )
    lazy = case.lazy and isinstance(case.method, OneStep) and case.sizes is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = (glm.fit_delayed if lazy else glm.fit)(data, sample_weight=weights)
        glm = glm.compute() if lazy else glm
    table = glm.coef_table()
    said = dict(glm.estimate_.warnings)
    if lazy and glm.estimate_.condition > 1e8:
        return  # a lazy fit cannot change to a QR of the design
    event("lazy" if lazy else "eager")
    if "Nearly aliased" in said.get(AliasingWarning, ""):
        return  # columns that differ from a combination by little more than rounding, which R leaves out
    aliased = bool(table["coef"].isna().any())
    assert len(table) - table["coef"].isna().sum() == wanted.rank, (table["coef"].to_dict(), wanted.rank)
    warned = said.pop(AliasingWarning, None) is not None
    assert warned == aliased or wanted.single, (aliased, table)  # R refuses factors of one level
    assert not said, said
    n = wanted.rows.sum() if case.weight_type == "variance" else case.weights[wanted.rows].sum()
    assert glm.n_samples_ == wanted.rows.sum(), (glm.n_samples_, wanted.rows.sum())
    np.testing.assert_allclose(n - wanted.rank, wanted.df)
    if case.family in ("gaussian", "gamma"):
        np.testing.assert_allclose(glm.dispersion_, wanted.scale, rtol=1e-6)
    # Rows of weight zero may lie beyond a spline's range, or have levels that no other row has.
    asked = stored(case, wanted.rows)[0]
    means, interval = (np.asarray(each) for each in (glm.predict(asked), glm.predict_interval(asked)))
    link = FAMILIES[case.family][0].link
    np.testing.assert_array_less(np.abs(link(means) - link(wanted.means)), 1e-5 * wanted.se + 1e-9)
    quantile = stats.norm.ppf(0.975)
    if case.family in ("gaussian", "gamma"):
        quantile = stats.t.ppf(0.975, wanted.df)
    se = (link(interval[:, 1]) - link(interval[:, 0])) / (2 * quantile)
    # Normal equations are used up to a condition number of 10⁸: variances that cancel to 0 keep 10⁻⁸ of the others.
    # Ends of intervals next to 1 have lost their digits, and variances of fits without residuals are rounding.
    clear = (interval < 1 - 1e-9).all(axis=1) if case.family == "binomial" else slice(None)
    most = 1e-7 * wanted.se.max() ** 2 + 1e-24 * (1 + np.abs(link(means)).max()) ** 2
    np.testing.assert_allclose(se[clear] ** 2, wanted.se[clear] ** 2, rtol=2e-5, atol=most)
    found = table["coef"].rename(lambda name: name.replace(" ", "") if "[" not in name else name)
    for name, (value, most) in wanted.coef.items():
        assert abs(found[name] - value) * most < 1e-5 * max(wanted.se.max(), 1e-9) * 100, (name, found, value)
    if case.files and case.weight_type == "variance":
        by_the_command_line(case, wanted, table)
    if not case.continued:
        return
    statistics = glm.fit_statistics(data, sample_weight=weights)
    np.testing.assert_allclose(statistics.deviance, wanted.deviance, rtol=1e-6)
    np.testing.assert_allclose(statistics.df_resid, wanted.df)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        write_model(glm, file.name)
        again = np.asarray(read_model(file.name).predict(asked))
    np.testing.assert_allclose(again, means, rtol=1e-12)


def written(case, folder, rows=slice(None)):
    """Write rows of the table, and their weights, to a file for each chunk, and return the files."""
    frame = pd.DataFrame({name: column.stored for name, column in case.table.items()} | {"y": case.y})
    frame = frame[rows] if case.weights is None else frame.assign(weight=case.weights)[rows]
    edges = np.unique([0, *np.cumsum(case.sizes or ())[:-1], len(frame)])
    folder.mkdir()
    files = [folder / f"{start}.{case.files}" for start in edges[:-1] if start < len(frame)]
    for file, start, stop in zip(files, edges[:-1], edges[1:], strict=False):
        piece = frame[start:stop]
        piece.to_parquet(file) if case.files == "parquet" else piece.to_csv(file, index=False)
    return files


def command(*words):
    """Run the command line, and return what it wrote."""
    result = CliRunner().invoke(app, [*map(str, words), "--quiet"])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stderr


def by_the_command_line(case, wanted, table):
    """Assert that a fit of files by the command line, and its predictions of files, are those of the frame."""
    if any(isinstance(level, int) for name in "gh" for level in case.table[name].levels):
        return  # files have integers where a frame has categories of integers, and no order of categories
    event(case.files)
    link = FAMILIES[case.family][0].link
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        options = ["--family", case.family, "--missing", "drop", "--cov-type", case.cov_type]
        options += ["--link", FAMILIES[case.family][1]] if FAMILIES[case.family][1] else []
        options += ["--method", "mle" if isinstance(case.method, MLE) else "one-step"]
        options += [] if case.weights is None else ["--weights", "weight"]
        model, predicted = folder / "model.json", folder / "predicted.csv"
        command("fit", case.formula, *written(case, folder / "fit"), *options, "--output", model)
        fitted = json.loads(model.read_text())
        assert fitted["n_samples"] == wanted.rows.sum()
        known = [each for each in fitted["coefficients"] if each["coef"] is not None]
        assert len(known) == wanted.rank, (known, wanted.rank, table)
        if [each["name"] for each in fitted["coefficients"]] == table.index.tolist():
            found = pd.DataFrame(fitted["coefficients"]).set_index("name").astype(float)
            error = ((found["coef"] - table["coef"]).abs() / table["std_err"]).max()
            assert error < 1e-3, (found, table)
            np.testing.assert_allclose(found["std_err"], table["std_err"], rtol=1e-3)
        command("predict", model, *written(case, folder / "asked", wanted.rows), "--output", predicted)
        # A CSV file holds decimals that are 10⁻⁷ from numbers of 32 bits.
        error = np.abs(link(pd.read_csv(predicted).iloc[:, -1].to_numpy()) - link(wanted.means))
        np.testing.assert_array_less(error, 1e-3 * wanted.se + 1e-6)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(case=analyses())
def test_the_answer_is_that_of_r(case):
    assume(case.sizes is None or not any(column.in_memory for column in case.table.values()))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = answer(case)
    event(case.family)
    with dask.config.set(scheduler="synchronous"):
        check(case, wanted)
