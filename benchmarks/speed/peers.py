"""How each peer brings its rows in, and fits: see `benchmarks.speed.libraries`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    *("dask_ml", "distributed_model", "duckreg", "glum", "h2o", "sklearn", "spark", "statsmodels"),
    *("spark_session", "start_h2o"),
]

Fit = Callable[[], np.ndarray]


def sklearn(X, y, problem, *, solver: str) -> Fit:
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


def glum(X, y, problem) -> Fit:
    from glum import GeneralizedLinearRegressor

    family = {"gaussian": "normal"}.get(problem["family"], problem["family"])

    def fit():
        done = GeneralizedLinearRegressor(family=family, alpha=0).fit(X, y)
        return np.r_[done.intercept_, done.coef_]

    return fit


def statsmodels(X, y, problem) -> Fit:
    import statsmodels.api as sm

    design, law = sm.add_constant(X), _law_of_statsmodels(problem["family"])
    return lambda: sm.GLM(y, design, family=law()).fit().params


def distributed_model(X, y, problem) -> Fit:
    import statsmodels.api as sm
    from statsmodels.base.distributed_estimation import DistributedModel

    design, K, law = sm.add_constant(X), problem["n_blocks"], _law_of_statsmodels(problem["family"])

    # By default it debiases, with a lasso for each column of each block: minutes here, and of no use without a penalty.
    def of_block(model, pnum, partitions, fit_kwds):
        return model.fit(**fit_kwds).params

    def fit():
        model = DistributedModel(
            K, model_class=sm.GLM, init_kwds={"family": law()}, estimation_method=of_block, join_method=_mean
        )
        blocks = zip(np.array_split(y, K), np.array_split(design, K), strict=True)
        return model.fit(blocks, fit_kwds={}).params

    return fit


def _mean(params, threshold=0):
    return np.mean(params, axis=0)


def _law_of_statsmodels(family: str) -> Any:
    from statsmodels.api import families

    return {"binomial": families.Binomial, "poisson": families.Poisson, "gaussian": families.Gaussian}[family]


def dask_ml(X, y, problem, *, solver: str) -> Fit:
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


def spark(X, y, problem, *, solver: str) -> Fit:
    import pandas as pd
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import GeneralizedLinearRegression

    names = [f"x{number}" for number in range(X.shape[1])]
    path = problem["x"] + ".parquet"
    pd.DataFrame(X, columns=names).assign(label=y).to_parquet(path)
    frame = spark_session(problem["threads"]).read.parquet(path).repartition(problem["n_blocks"])
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


def spark_session(threads: int | str) -> Any:
    """Return a session of this machine; of all its threads with "*"."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "6g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.maxResultSize": "0",
    }
    session = SparkSession.builder.master(f"local[{threads}]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def h2o(X, y, problem) -> Fit:
    import h2o
    import pandas as pd
    from h2o.estimators import H2OGeneralizedLinearEstimator

    start_h2o(problem["threads"])
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


def start_h2o(threads: int) -> None:
    """Start a server that ends with this process."""
    import atexit

    import h2o

    h2o.init(nthreads=threads, max_mem_size="6G", bind_to_localhost=True, verbose=False)
    atexit.register(lambda: h2o.cluster().shutdown())  # its server outlives its client otherwise
    h2o.no_progress()


def duckreg(X, y, problem, *, method: str) -> Fit:
    import duckdb
    import pandas as pd
    from duckreg import DuckLogisticRegression, DuckPoissonRegression, DuckRegression

    path = f"{problem['x']}-{method}-{problem['blas_threads']}.duckdb"
    names = [f"x{number}" for number in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names).assign(label=y)
    with duckdb.connect(path) as connection:
        connection.register("frame", frame)
        connection.execute("CREATE TABLE rows AS SELECT * FROM frame")
    shared = {"db_name": path, "table_name": "rows", "formula": f"label ~ {' + '.join(names)}", "seed": 0}

    def fit():
        if problem["family"] == "gaussian":
            model = DuckRegression(**shared, cluster_col="", n_bootstraps=0)
        else:
            kind = {"binomial": DuckLogisticRegression, "poisson": DuckPoissonRegression}[problem["family"]]
            model = kind(**shared, method=method)
        model.backend.raw_sql(f"SET threads = {problem['threads']}")
        model.fit()
        return model.point_estimate

    return fit
