"""Who fits it: a registry of libraries, each imported only where it runs.

An entry takes the rows and the problem, brings them into the library's own form, which is not timed,
and returns a function that fits without a penalty and returns the coefficients, intercept first.
Tolerances are each library's own defaults, so that the distance to the exact MLE shows what they buy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speed import peers

__all__ = ["LIBRARIES", "MLE", "YARDSTICK", "Library", "Setting", "settings"]

Fit = Callable[[], np.ndarray | None]
YARDSTICK, MLE = "OneStep", "MLE"


@dataclass(frozen=True)
class Library:
    """A library, or one of its solvers: how to fit with it, the module it needs, the families it has.

    One with a `server` works in a process of its own, whose memory is not measured; `environ` holds
    environment variables of its process.  With `blas`, its answer takes time that depends on BLAS's threads,
    which are then a setting; kernels of this package hold them at one.  It holds the memory of so many `copies` of
    the rows.  A `floor` is no library, but what ours are measured from.
    """

    name: str
    prepare: Callable[[np.ndarray, np.ndarray, dict[str, Any]], Fit]
    module: str
    families: tuple[str, ...] = ("binomial", "poisson", "gaussian")
    server: bool = False
    copies: int = 2
    blas: bool = False
    environ: tuple[tuple[str, str], ...] = ()
    floor: bool = False


@dataclass(frozen=True)
class Setting:
    """A library and the BLAS threads it is given; None where they are not a setting."""

    library: str
    blas_threads: int | None

    @property
    def about(self) -> dict[str, Any]:
        return {
            "library": self.library,
            "blas_threads": float("nan") if self.blas_threads is None else self.blas_threads,
        }


def settings(libraries: list[str], family: str, threads: int) -> list[Setting]:
    """Return what is run for a problem of a family: a library with BLAS threads has one and all of them."""
    found = []
    for name in libraries:
        library = LIBRARIES[name]
        if family in library.families:
            found += [Setting(name, n) for n in (dict.fromkeys((1, threads)) if library.blas else (None,))]
    return found


def _onestep(X, y, problem, *, method: str, options: dict[str, Any]) -> Fit:
    import dask
    import dask.array as da

    import dask_onestep
    from dask_onestep import GLMClassifier, GLMRegressor

    dask.config.set(scheduler="threads", num_workers=problem["threads"])
    rows, chunks = da.from_array(X, chunks=(problem["chunks"], -1), name=False), problem["chunks"]
    response = da.from_array(y, chunks=chunks, name=False)
    how = getattr(dask_onestep, method)(**options)

    def fit():
        glm = (
            GLMClassifier(method=how)
            if problem["family"] == "binomial"
            else GLMRegressor(problem["family"], method=how)
        ).fit(rows, response)
        return np.r_[np.ravel(glm.intercept_), np.ravel(glm.coef_)]

    return fit


def _ours(name: str, method: str, environ: tuple[tuple[str, str], ...] = (), **options: Any) -> Library:
    return Library(name, partial(_onestep, method=method, options=options), "dask_onestep", environ=environ)


def _floor(name: str, kind: str, environ: tuple[tuple[str, str], ...] = ()) -> Library:
    return Library(name, partial(_plain, kind=kind), "dask_onestep", environ=environ, floor=True)


def _plain(X, y, problem, *, kind: str) -> Fit:
    from benchmarks.speed import floors  # which no peer's environment can import

    return getattr(floors, kind)(X, y, problem)


_WITHOUT_COMPILER = (("NUMBA_DISABLE_JIT", "1"),)


LIBRARIES = {
    library.name: library
    for library in (
        _ours(YARDSTICK, "OneStep"),
        _floor("OneStep in plain threads", "one_step"),
        _floor("OneStep in bare graphs", "one_step_in_graphs"),
        _floor("a full pass in plain threads", "full_pass"),
        _floor("a pass for the score in plain threads", "score_pass"),
        _floor("X'X in plain threads", "gram"),
        _floor("reading in plain threads", "reading"),
        _ours("OneStep(correction=None)", "OneStep", steps=1, correction=None),
        _ours("OneStep(steps=2)", "OneStep", steps=2),
        _ours("OneStep, without accelerate", "OneStep", _WITHOUT_COMPILER),
        _floor("OneStep in plain threads, without accelerate", "one_step", _WITHOUT_COMPILER),
        _floor("a full pass in plain threads, without accelerate", "full_pass", _WITHOUT_COMPILER),
        _ours(MLE, "MLE"),
        _ours("MLE, without accelerate", "MLE", _WITHOUT_COMPILER),
        _ours("Surrogate(anchor='pilot')", "Surrogate", anchor="pilot"),
        _ours("Surrogate(anchor='pilot', rounds=2)", "Surrogate", anchor="pilot", rounds=2),
        Library("scikit-learn lbfgs", partial(peers.sklearn, solver="lbfgs"), "sklearn", blas=True),
        Library(
            "scikit-learn newton-cholesky",
            partial(peers.sklearn, solver="newton-cholesky"),
            "sklearn",
            ("binomial", "poisson"),
            blas=True,
        ),
        Library("glum", peers.glum, "glum", blas=True),
        Library("statsmodels GLM", peers.statsmodels, "statsmodels", copies=16, blas=True),
        Library("statsmodels DistributedModel", peers.distributed_model, "statsmodels", copies=8, blas=True),
        Library("dask-ml newton", partial(peers.dask_ml, solver="newton"), "dask_ml", blas=True),
        Library("dask-ml lbfgs", partial(peers.dask_ml, solver="lbfgs"), "dask_ml", blas=True),
        Library("duckreg", partial(peers.duckreg, method="one_step"), "duckreg", blas=True),
        Library("duckreg irls", partial(peers.duckreg, method="irls"), "duckreg", ("binomial", "poisson"), blas=True),
        Library(
            "Spark LogisticRegression", partial(peers.spark, solver="lbfgs"), "pyspark", ("binomial",), server=True
        ),
        Library("Spark GLR", partial(peers.spark, solver="irls"), "pyspark", server=True),
        Library("H2O GLM", peers.h2o, "h2o", server=True),
    )
}
