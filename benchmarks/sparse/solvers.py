"""Seconds of a block's lasso by several solvers at one duality gap: ``python -m benchmarks.sparse.solvers``.

scikit-learn's coordinate descent, as the package uses it on the block's Gram matrix, takes turns with celer's
and skglm's on the block's rows; those two are compared where they are installed.  Each is given the loosest
tolerance of its own, by powers of ten, that brings the duality gap, computed here from the rows, below the
share that is asked for.  A last line leaves the Gram matrix out, which the nodewise lassos need in any case.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.linear_model import Lasso
from threadpoolctl import threadpool_limits

from benchmarks.draws import autoregression
from benchmarks.record import Record
from benchmarks.timing import in_turns
from dask_onestep.kernels.lassos.descent import penalized_lasso

Solver = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]
OURS, GIVEN = "dask_onestep: Gram matrix, then scikit-learn", "dask_onestep, where the Gram matrix is there"


def draw(n: int, p: int, correlation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns correlated as an autoregression, ten of them active."""
    rng = np.random.default_rng(seed)
    x = autoregression(rng, n, p, correlation)
    y = x[:, :: p // 10][:, :10] @ np.full(10, 0.5) + rng.standard_normal(n)
    return np.asfortranarray(x), y


def relative_gap(x: np.ndarray, y: np.ndarray, alpha: float, coef: np.ndarray) -> float:
    """Return the duality gap of ‖y − Xb‖²/(2n) + α‖b‖₁ as a share of ‖y‖²/(2n)."""
    residual, n = y - x @ coef, len(y)
    dual = residual * min(1.0, alpha * n / np.abs(x.T @ residual).max())
    primal = residual @ residual / (2 * n) + alpha * np.abs(coef).sum()
    return float((primal - (y @ y - (y - dual) @ (y - dual)) / (2 * n)) / (y @ y / (2 * n)))


def on_gram(x: np.ndarray, y: np.ndarray, alpha: float, tol: float) -> np.ndarray:
    return given(x.T @ x / len(y), x, y, alpha, tol)


def given(gram: np.ndarray, x: np.ndarray, y: np.ndarray, alpha: float, tol: float) -> np.ndarray:
    """Return the lasso by the package's own kernel, from a Gram matrix that is there."""
    n, p = x.shape
    square = float(y @ y / n)
    start, penalty = np.zeros(p), np.full(p, alpha)
    return penalized_lasso(gram, x.T @ y / n, square, penalty, start, tol * square / 2, 10_000)[0]


def on_rows(x: np.ndarray, y: np.ndarray, alpha: float, tol: float) -> np.ndarray:
    return Lasso(alpha, fit_intercept=False, tol=tol, max_iter=100_000).fit(x, y).coef_


def by_celer(x: np.ndarray, y: np.ndarray, alpha: float, tol: float) -> np.ndarray:
    from celer import Lasso as Celer

    return Celer(alpha, fit_intercept=False, tol=tol).fit(x, y).coef_


def by_skglm(x: np.ndarray, y: np.ndarray, alpha: float, tol: float) -> np.ndarray:
    from skglm import Lasso as Skglm

    return Skglm(alpha, fit_intercept=False, tol=tol).fit(x, y).coef_


def solvers() -> dict[str, Solver]:
    """Return the solvers that are installed."""
    found: dict[str, Solver] = {OURS: on_gram, "scikit-learn on the rows": on_rows}
    peers = {"celer": by_celer, "skglm": by_skglm}
    return found | {f"{name} on the rows": solver for name, solver in peers.items() if find_spec(name)}


def loosest(solver: Solver, x: np.ndarray, y: np.ndarray, alpha: float, share: float) -> tuple[float, float]:
    """Return the loosest tolerance that reaches the gap, and the gap it reaches."""
    for tol in 10.0 ** -np.arange(1, 15):
        gap = relative_gap(x, y, alpha, solver(x, y, alpha, tol))
        if gap <= share:
            return float(tol), gap
    raise RuntimeError(f"{solver} does not reach a gap of {share:.0e}; ask for less by --gap.")


def compare(n: int, p: int, *, correlation: float, share: float, repeats: int, seed: int) -> list[dict[str, object]]:
    x, y = draw(n, p, correlation, seed)
    alpha, found = float(np.sqrt(np.log(p) / n)), solvers() | {GIVEN: partial(given, x.T @ x / n)}
    with threadpool_limits(1), warnings.catch_warnings():
        # A tolerance that is too loose, or more than rounding allows, is what the search is for.
        warnings.simplefilter("ignore")
        reached = {name: loosest(solver, x, y, alpha, share) for name, solver in found.items()}
        runs = {name: partial(solver, x, y, alpha, reached[name][0]) for name, solver in found.items()}
        seconds = in_turns(runs, repeats)
    ratios = seconds.div(seconds[OURS], axis=0).median()
    return [
        {"n": n, "p": p, "solver": name, "tol": tol, "gap": gap}
        | {"processor seconds": seconds[name].median(), "× ours": ratios[name]}
        for name, (tol, gap) in reached.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse.solvers", description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--rows", type=int, default=5_000, help="rows of the block")
    parser.add_argument("-p", "--columns", nargs="+", type=int, default=[200, 2_000])
    parser.add_argument("--correlation", type=float, default=0.3, help="of neighboring columns")
    parser.add_argument("--gap", type=float, default=1e-10, help="as a share of the null deviance over 2n")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "solvers.csv")
    options = parser.parse_args(arguments)
    shared = {
        "correlation": options.correlation,
        "share": options.gap,
        "repeats": options.repeats,
        "seed": options.seed,
    }
    record = Record(options.output)
    for p in options.columns:
        for row in compare(options.rows, p, **shared):
            record.add(row, {})
    print(record.table.loc[:, :"× ours"].to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
