"""Categories of many levels: representations beside each other, and a fit of 1,000 levels.

    python -m benchmarks.categories            # one pass over the same rows: dense, split, tabmat
    python -m benchmarks.categories --density  # from which density on a dense Gram matrix is faster
    python -m benchmarks.categories --fit 10000000 [--levels 1000] [--method mle]

tabmat (of glum) is needed for the first alone.  The levels' frequencies fall as 1/(k + 10).
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from dask_onestep import GLMClassifier
from dask_onestep.families import Binomial
from dask_onestep.kernels.likelihood import moments, working
from dask_onestep.kernels.rows import Model, Rows
from dask_onestep.kernels.slices import dense_slices
from dask_onestep.kernels.split_matrix import SplitMatrix
from dask_onestep.links import LINKS

RESULTS = Path(__file__).parent / "results" / "categories.csv"
CASES = ((10, 1), (20, 1), (50, 1), (100, 1), (100, 2), (300, 1), (1000, 1))
NUMERIC = 5


def least(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def codes_of(rng: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    share = 1.0 / (np.arange(levels) + 10.0)
    return rng.choice(levels, rows, p=share / share.sum()).astype(np.int32)


def one_hot(codes: np.ndarray, levels: int) -> sparse.csr_array:
    whole = sparse.csr_array((np.ones(len(codes)), codes, np.arange(len(codes) + 1)), shape=(len(codes), levels))
    return whole[:, 1:]


def compare(rows: int, repeats: int) -> pd.DataFrame:
    """Return seconds of a pass, score and information of a logistic model, by representation."""
    import tabmat

    found = []
    for levels, factors in CASES:
        rng = np.random.default_rng(0)
        numeric = rng.normal(size=(rows, NUMERIC))
        codes = [codes_of(rng, rows, levels) for _ in range(factors)]
        held = sparse.csr_array(sparse.hstack([one_hot(code, levels) for code in codes]))
        p = NUMERIC + held.shape[1]
        y, coef = (rng.random(rows) < 0.3).astype(float), 0.1 * rng.normal(size=p + 1)
        model = Model(Binomial(), LINKS["logit"], tuple(f"x{i}" for i in range(p)))
        split = SplitMatrix(numeric, held, np.arange(NUMERIC), np.arange(NUMERIC, p))
        by_tabmat = tabmat.SplitMatrix(
            [tabmat.DenseMatrix(np.column_stack([np.ones(rows), numeric]))]
            + [tabmat.CategoricalMatrix(pd.Categorical.from_codes(c, range(levels)), drop_first=True) for c in codes]
        )

        def with_tabmat(matrix=by_tabmat, y=y, coef=coef, model=model):
            _, residual, weight = working(model, y, matrix.matvec(coef))
            return matrix.transpose_matvec(residual), matrix.sandwich(weight)

        dense_rows, split_rows = Rows(split.toarray(), y), Rows(split, y)
        with threadpool_limits(1):  # of BLAS and of tabmat's OpenMP
            at = moments(split_rows, model, coef)
            np.testing.assert_allclose(with_tabmat()[1], at.information, rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(moments(dense_rows, model, coef).information, at.information, atol=1e-8)
            seconds = {
                "dense": least(lambda a=dense_rows, m=model, c=coef: moments(a, m, c), repeats),
                "split": least(lambda a=split_rows, m=model, c=coef: moments(a, m, c), repeats),
                "tabmat": least(with_tabmat, repeats),
            }
        found.append({"levels": levels, "factors": factors, "columns": p + 1, "rows": rows, **seconds})
        print(pd.DataFrame(found[-1:]).to_string(index=False, header=len(found) == 1), flush=True)
    table = pd.DataFrame(found)
    table["dense/split"], table["tabmat/split"] = table["dense"] / table["split"], table["tabmat"] / table["split"]
    return table


def densities(repeats: int) -> None:
    """Print nanoseconds a row of a sparse and of a densified Gram matrix."""
    rng = np.random.default_rng(0)
    for p in (30, 100, 300):
        model = Model(Binomial(), LINKS["logit"], tuple(f"x{i}" for i in range(p)))
        for density in (0.01, 0.03, 0.1, 0.2, 0.3):
            held = sparse.random_array((16_384, p), density=density, format="csr", rng=rng)
            columns = np.arange(p)
            split = Rows(SplitMatrix(np.empty((16_384, 0)), held, columns[:0], columns), np.ones(16_384))
            weights = rng.random(16_384)

            def sparsely(held=held, weights=weights):
                return (held.T @ held.multiply(weights[:, None]).tocsr()).toarray()

            def densely(rows=split, model=model, weights=weights):
                return sum(part.gram(weights[part.rows]) for part in dense_slices(rows, model))

            with threadpool_limits(1):  # of BLAS and of tabmat's OpenMP
                times = [1e9 * least(function, repeats) / 16_384 for function in (sparsely, densely)]
            print(f"{p} columns, density {density}: sparse {times[0]:.0f}, dense {times[1]:.0f} ns a row", flush=True)


def partition(number: int, rows: int, levels: int) -> pd.DataFrame:
    rng, effects = np.random.default_rng((1, number)), 0.7 * np.random.default_rng(9).normal(size=levels)
    code = codes_of(rng, rows, levels)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.random(rows)})
    eta = -1.5 + 0.5 * frame["a"] - 0.3 * frame["b"] + effects[code]
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    frame["g"] = pd.Categorical.from_codes(code.astype(np.int16), [f"L{i:04d}" for i in range(levels)])
    return frame


def fit(rows: int, levels: int, method: str) -> None:
    """Fit a lazily generated table on two threads; print time and peak memory."""
    share = min(rows, 500_000)
    data = dd.from_map(partition, range(rows // share), rows=share, levels=levels, meta=partition(0, 10, levels))
    glm = GLMClassifier(formula="y ~ a + b + g", method=method)
    start = time.perf_counter()
    with dask.config.set(scheduler="threads", num_workers=2), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm.fit(data)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{method}: {glm.n_samples_:,} rows, {len(glm.coef_table())} coefficients, {glm.n_passes_} passes, "
        f"{seconds:.0f} s, peak {peak:.0f} MB; a dense matrix would take {8e-9 * rows * len(glm.coef_table()):.0f} GB"
    )
    effects = 0.7 * np.random.default_rng(9).normal(size=levels)
    table = glm.coef_table().iloc[3:]
    z = (table["coef"] - (effects[1:] - effects[0])) / table["std_err"]
    print(f"levels' effects, (estimate − truth)/standard error: mean {z.mean():.2f}, standard deviation {z.std():.2f}")
    for warning in caught:
        print(f"{warning.category.__name__}: {warning.message}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--density", action="store_true")
    parser.add_argument("--fit", type=int, metavar="ROWS")
    parser.add_argument("--levels", type=int, default=1000)
    parser.add_argument("--method", default="one-step")
    options = parser.parse_args()
    if options.density:
        densities(options.repeats)
    elif options.fit:
        fit(options.fit, options.levels, options.method)
    else:
        table = compare(options.rows, options.repeats)
        RESULTS.parent.mkdir(exist_ok=True)
        table.to_csv(RESULTS, index=False, float_format="%.4g")
        print(table.to_string(index=False, float_format="%.3g"))


if __name__ == "__main__":
    main()
