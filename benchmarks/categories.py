"""Categories of many levels: representations compared with each other, and a fit of 1,000 levels.

    python -m benchmarks.categories            # one pass over the same rows: dense, coded (compiled, NumPy), tabmat
    python -m benchmarks.categories --density  # from which density on a dense Gram matrix is faster
    python -m benchmarks.categories --fit 10000000 [--levels 1000] [--method mle]
    python -m benchmarks.categories --products 200000  # a pass of g*h, h of three categories: before and after
    python -m benchmarks.categories --fit 200000 --formula "y ~ a + g*h" [--dense]

tabmat (of glum) is needed for only the first, numba for all but the fit.  The levels' frequencies fall as 1/(k + 10).
--dense writes all columns in full, to see what that would take.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.kernel import COMPILED, NUMPY, by_slices
from benchmarks.record import Record
from benchmarks.timing import in_turns
from dask_onestep import GLMClassifier
from dask_onestep.families import Binomial
from dask_onestep.kernels.designs import assembly, design
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.designs.products import Product, are_coded
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.designs.terms import formula_terms
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows import slices as slicing
from dask_onestep.kernels.rows.checks import usable_rows
from dask_onestep.links import LINKS

RESULTS = Path(__file__).parent / "results" / "categories.csv"
CASES = ((3, 1), (7, 1), (7, 3), (10, 1), (20, 1), (50, 1), (100, 1), (100, 2), (300, 1), (1000, 1))
NUMERIC = 5


def codes_of(rng: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    share = 1.0 / (np.arange(levels) + 10.0)
    return rng.choice(levels, rows, p=share / share.sum()).astype(np.int32)


def coded(codes: list[np.ndarray], levels: int) -> CodedColumns:
    """Return all levels but the first of factors as codes."""
    places = np.append(np.int32(levels - 1), np.arange(levels - 1, dtype=np.int32))
    return CodedColumns(tuple(places[each] for each in codes), (levels - 1,) * len(codes), (None,) * len(codes))


def compare(rows: int, repeats: int) -> None:
    """Write and print seconds of a pass of a logistic model, by representation."""
    import tabmat

    record = Record(RESULTS)
    for levels, factors in CASES:
        rng = np.random.default_rng(0)
        numeric = rng.normal(size=(rows, NUMERIC))
        codes = [codes_of(rng, rows, levels) for _ in range(factors)]
        columns = coded(codes, levels)
        p = NUMERIC + columns.shape[1]
        y, coef = (rng.random(rows) < 0.3).astype(float), 0.1 * rng.normal(size=p + 1)
        model = Model(OnePredictor(Binomial(), LINKS["logit"]), tuple(f"x{i}" for i in range(p)))
        split = SplitMatrix(numeric, columns, np.arange(NUMERIC), np.arange(NUMERIC, p))
        by_tabmat = tabmat.SplitMatrix(
            [tabmat.DenseMatrix(np.column_stack([np.ones(rows), numeric]))]
            + [tabmat.CategoricalMatrix(pd.Categorical.from_codes(c, range(levels)), drop_first=True) for c in codes]
        )

        def with_tabmat(matrix=by_tabmat, y=y, coef=coef, model=model):
            eta = matrix.matvec(coef)
            mean, residual, weight = model.likelihood.working(y, eta)
            loglik = model.likelihood.row_log_likelihood(y, eta, mean, weight).sum()
            return loglik, matrix.transpose_matvec(residual), matrix.sandwich(weight)

        def summed(rows, model=model, coef=coef):
            return lambda: moments(rows, model, coef)

        dense_rows, coded_rows = Rows(split.toarray(), y), Rows(split, y)
        passes = {
            "dense": by_slices(COMPILED, summed(dense_rows)),
            "coded": by_slices(COMPILED, summed(coded_rows)),
            "numpy": by_slices(NUMPY, summed(coded_rows)),
            "tabmat": with_tabmat,
        }
        with threadpool_limits(1):  # of BLAS and of tabmat's OpenMP
            wanted = with_tabmat()[2]
            for function in (summed(dense_rows), summed(coded_rows)):
                np.testing.assert_allclose(function().information, wanted, rtol=1e-8, atol=1e-8)
            seconds = in_turns(passes, repeats, time.perf_counter).min()
        ratios = {f"{name}/coded": seconds[name] / seconds["coded"] for name in ("dense", "numpy", "tabmat")}
        about = {"levels": levels, "factors": factors, "columns": p + 1, "rows": rows}
        record.add(about, seconds.to_dict() | ratios)
        print(about | ratios, flush=True)


def densities(repeats: int) -> None:
    """Print nanoseconds a row of a sparse and of a densified Gram matrix, compiled and by NumPy and SciPy."""
    rng = np.random.default_rng(0)
    for p in (30, 100, 300):
        model = Model(OnePredictor(Binomial(), LINKS["logit"]), tuple(f"x{i}" for i in range(p)))
        for density in (0.01, 0.03, 0.1, 0.2, 0.3, 0.5):
            held = sparse.random_array((16_384, p), density=density, format="csr", rng=rng)
            columns = np.arange(p)
            rows = Rows(SplitMatrix(np.empty((16_384, 0)), SparseColumns(held), columns[:0], columns), np.ones(16_384))
            weights = rng.random(16_384)

            def gram(rows=rows, model=model, weights=weights):
                return sum(part.gram(weights[part.rows]) for part in slicing.slices(rows, model))

            times = {}
            with threadpool_limits(1):
                for name, kinds in (("compiled", COMPILED), ("NumPy", NUMPY)):
                    for form, most in (("sparse", 1.0), ("dense", 0.0)):
                        with mock.patch.object(kinds[1], "max_density", most):
                            seconds = in_turns({"gram": by_slices(kinds, gram)}, repeats, time.perf_counter)
                            times[f"{form} {name}"] = 1e9 * seconds["gram"].min() / 16_384
            told = ", ".join(f"{name} {nanoseconds:.0f}" for name, nanoseconds in times.items())
            print(f"{p} columns, density {density}: {told} ns a row", flush=True)


def partition(number: int, rows: int, levels: int) -> pd.DataFrame:
    rng, effects = np.random.default_rng((1, number)), 0.7 * np.random.default_rng(9).normal(size=levels)
    code = codes_of(rng, rows, levels)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.random(rows)})
    eta = -1.5 + 0.5 * frame["a"] - 0.3 * frame["b"] + effects[code]
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    frame["g"] = pd.Categorical.from_codes(code.astype(np.int16), [f"L{i:04d}" for i in range(levels)])
    frame["h"] = pd.Categorical.from_codes(rng.integers(0, 3, rows).astype(np.int8), ["p", "q", "r"])
    return frame


def main_effects_alone(candidates: Sequence[Product]) -> tuple[Product, ...]:
    return are_coded([product for product in candidates if len(product.factors) == 1])


def products(rows: int, levels: int) -> None:
    """Print what a pass from a frame to its moments takes, with g:h coded and written out, and peak memory."""
    frame = partition(0, rows, levels)
    terms, block = formula_terms("y ~ a + g*h", True), Block(frame.drop(columns="y"), frame["y"])
    made = assembly.make_design(terms, frame.dtypes.to_dict(), None)
    model = Model(OnePredictor(Binomial(), LINKS["logit"]), made.names, design=made)
    for name, rule in (("coded", are_coded), ("written out", main_effects_alone)):
        coef, total = np.zeros(len(made.names) + 1), None
        for piece in Block(block.x[:1000], block.y[:1000]).pieces(model):
            moments(usable_rows(piece, model), model, coef)  # compiles
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        with threadpool_limits(1), mock.patch.object(design, "are_coded", rule):
            for piece in block.pieces(model):
                part = moments(usable_rows(piece, model), model, coef)
                total = part if total is None else total + part
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{name}: {time.process_time() - start:.2f} s of the processor, peak {peak / 1024:.0f} MB, "
            f"{(peak - before) / 1024:.0f} MB more than before; sum of variances {np.trace(total.information):.6f}",
            flush=True,
        )


def fit(rows: int, levels: int, method: str, formula: str) -> None:
    """Fit a lazily generated table on two threads; print time and peak memory."""
    share = min(rows, 500_000)
    data = dd.from_map(partition, range(rows // share), rows=share, levels=levels, meta=partition(0, 10, levels))
    glm = GLMClassifier(formula=formula, method=method)
    start, worked = time.perf_counter(), time.process_time()
    with dask.config.set(scheduler="threads", num_workers=2), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm.fit(data)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{method}: {glm.n_samples_:,} rows, {len(glm.coef_table())} coefficients, {glm.n_passes_} passes, "
        f"{seconds:.1f} s, {worked:.1f} s of processors, "
        f"peak {peak:.0f} MB; a dense matrix would take {8e-9 * rows * len(glm.coef_table()):.0f} GB"
    )
    effects = 0.7 * np.random.default_rng(9).normal(size=levels)
    table = glm.coef_table()
    table = table[table.index.str.startswith("g[T.") & ~table.index.str.contains(":")]
    z = (table["coef"] - (effects[1:] - effects[0])) / table["std_err"]
    print(f"levels' effects, (estimate − truth)/standard error: mean {z.mean():.2f}, standard deviation {z.std():.2f}")
    for warning in caught:
        print(f"{warning.category.__name__}: {warning.message}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=20, help="of which the fastest is reported")
    parser.add_argument("--density", action="store_true")
    parser.add_argument("--products", type=int, metavar="ROWS")
    parser.add_argument("--fit", type=int, metavar="ROWS")
    parser.add_argument("--levels", type=int, default=1000)
    parser.add_argument("--method", default="one-step")
    parser.add_argument("--formula", default="y ~ a + b + g", help="of the fit, with the levels' main effects g")
    parser.add_argument("--dense", action="store_true", help="fit with all columns written in full")
    options = parser.parse_args()
    if options.density:
        densities(options.repeats)
    elif options.products:
        products(options.products, options.levels)
    elif options.fit:
        with mock.patch.object(design, "are_coded", return_value=()) if options.dense else nullcontext():
            fit(options.fit, options.levels, options.method, options.formula)
    else:
        compare(options.rows, options.repeats)


if __name__ == "__main__":
    main()
