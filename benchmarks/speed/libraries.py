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

__all__ = ["LIBRARIES", "Library"]

Fit = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Library:
    """A library, or one of its solvers: how to fit with it, the module it needs, the families it has.

    One with a `server` works in a process of its own, whose memory is not measured; `environ` holds
    environment variables of its process.
    """

    name: str
    prepare: Callable[[np.ndarray, np.ndarray, dict[str, Any]], Fit]
    module: str
    families: tuple[str, ...] = ("binomial", "poisson", "gaussian")
    server: bool = False
    environ: tuple[tuple[str, str], ...] = ()


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


def _sklearn(X, y, problem, *, solver: str) -> Fit:
    from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

    model = {
        "binomial": lambda: LogisticRegression(C=np.inf, solver=solver),
        "poisson": lambda: PoissonRegressor(alpha=0, solver=solver),
        "gaussian": lambda: LinearRegression(),
    }[problem["family"]]

    def fit():
        done = model().fit(X, y)
        return np.r_[np.ravel(done.intercept_), np.ravel(done.coef_)]

    return fit


def _glum(X, y, problem) -> Fit:
    from glum import GeneralizedLinearRegressor

    family = {"gaussian": "normal"}.get(problem["family"], problem["family"])

    def fit():
        done = GeneralizedLinearRegressor(family=family, alpha=0).fit(X, y)
        return np.r_[done.intercept_, done.coef_]

    return fit


def _statsmodels(X, y, problem) -> Fit:
    import statsmodels.api as sm

    family = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson, "gaussian": sm.families.Gaussian}
    design = sm.add_constant(X)
    return lambda: sm.GLM(y, design, family=family[problem["family"]]()).fit().params


def _distributed_model(X, y, problem) -> Fit:
    import statsmodels.api as sm
    from statsmodels.base.distributed_estimation import DistributedModel

    family = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson, "gaussian": sm.families.Gaussian}
    design, K = sm.add_constant(X), problem["n_blocks"]

    def fit():
        model = DistributedModel(K, model_class=sm.GLM, init_kwds={"family": family[problem["family"]]()})
        blocks = zip(np.array_split(y, K), np.array_split(design, K), strict=True)
        return model.fit(blocks, fit_kwds={"alpha": 0.0}).params

    return fit


def _dask_ml(X, y, problem, *, solver: str) -> Fit:
    import dask
    import dask.array as da
    from dask_ml.linear_model import LinearRegression, LogisticRegression, PoissonRegression

    dask.config.set(scheduler="threads", num_workers=problem["threads"])
    rows = da.from_array(X, chunks=(problem["chunks"], -1), name=False)
    response = da.from_array(y, chunks=problem["chunks"], name=False)
    model = {"binomial": LogisticRegression, "poisson": PoissonRegression, "gaussian": LinearRegression}

    def fit():
        # Its solvers "newton" and "lbfgs" have no way to leave the penalty out but this one.
        done = model[problem["family"]](solver=solver, C=1e20).fit(rows, response)
        return np.r_[np.ravel(done.intercept_), np.ravel(done.coef_)]

    return fit


def _spark(X, y, problem, *, solver: str) -> Fit:
    import pandas as pd
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import GeneralizedLinearRegression
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(f"local[{problem['threads']}]")
        .config("spark.driver.memory", "6g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.maxResultSize", "0")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    names = [f"x{number}" for number in range(X.shape[1])]
    path = problem["x"] + ".parquet"
    pd.DataFrame(X, columns=names).assign(label=y).to_parquet(path)
    frame = spark.read.parquet(path).repartition(problem["n_blocks"])
    frame = VectorAssembler(inputCols=names, outputCol="features").transform(frame).select("features", "label").cache()
    frame.count()
    model = (
        LogisticRegression(regParam=0.0)
        if solver == "lbfgs"
        else GeneralizedLinearRegression(family=problem["family"], regParam=0.0)
    )

    def fit():
        done = model.fit(frame)
        return np.r_[done.intercept, done.coefficients.toArray()]

    return fit


def _h2o(X, y, problem) -> Fit:
    import atexit

    import h2o
    import pandas as pd
    from h2o.estimators import H2OGeneralizedLinearEstimator

    h2o.init(nthreads=problem["threads"], max_mem_size="6G", bind_to_localhost=True, verbose=False)
    atexit.register(lambda: h2o.cluster().shutdown())  # its server outlives its client otherwise
    h2o.no_progress()
    names = [f"x{number}" for number in range(X.shape[1])]
    frame = h2o.H2OFrame(pd.DataFrame(X, columns=names).assign(label=y))
    if problem["family"] == "binomial":
        frame["label"] = frame["label"].asfactor()

    def fit():
        done = H2OGeneralizedLinearEstimator(family=problem["family"], lambda_=0.0)
        done.train(x=names, y="label", training_frame=frame)
        coef = done.coef()
        return np.array([coef[name] for name in ("Intercept", *names)])

    return fit


def _ours(name: str, method: str, environ: tuple[tuple[str, str], ...] = (), **options: Any) -> Library:
    return Library(name, partial(_onestep, method=method, options=options), "dask_onestep", environ=environ)


_WITHOUT_COMPILER = (("NUMBA_DISABLE_JIT", "1"),)


LIBRARIES = {
    library.name: library
    for library in (
        _ours("OneStep", "OneStep"),
        _ours("OneStep(correction=None)", "OneStep", correction=None),
        _ours("OneStep, without accelerate", "OneStep", _WITHOUT_COMPILER),
        _ours("MLE", "MLE"),
        _ours("MLE, without accelerate", "MLE", _WITHOUT_COMPILER),
        _ours("Surrogate(anchor='pilot')", "Surrogate", anchor="pilot"),
        Library("scikit-learn lbfgs", partial(_sklearn, solver="lbfgs"), "sklearn"),
        Library(
            "scikit-learn newton-cholesky",
            partial(_sklearn, solver="newton-cholesky"),
            "sklearn",
            ("binomial", "poisson"),
        ),
        Library("glum", _glum, "glum"),
        Library("statsmodels GLM", _statsmodels, "statsmodels"),
        Library("statsmodels DistributedModel", _distributed_model, "statsmodels"),
        Library("dask-ml newton", partial(_dask_ml, solver="newton"), "dask_ml"),
        Library("dask-ml lbfgs", partial(_dask_ml, solver="lbfgs"), "dask_ml"),
        Library("Spark LogisticRegression", partial(_spark, solver="lbfgs"), "pyspark", ("binomial",), server=True),
        Library("Spark GLR", partial(_spark, solver="irls"), "pyspark", server=True),
        Library("H2O GLM", _h2o, "h2o", server=True),
    )
}
