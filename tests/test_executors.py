"""Schedulers that Dask takes as ``scheduler=``, besides its own."""

import os
from concurrent.futures import ThreadPoolExecutor

import dask
import ipyparallel
import numpy as np
import pytest
from lasso_reference import sparse_data
from support_sparse import in_blocks

from dask_onestep import DebiasedLasso, GLMRegressor


@pytest.fixture(scope="module")
def engines():
    with ipyparallel.Cluster(n=2, log_level=40) as client:
        yield client


def _fit():
    x, y, _ = sparse_data(2000, 5)
    X, Y, _ = in_blocks(x, y, 4)
    method = DebiasedLasso(0.02)
    return GLMRegressor(method=method).fit(X, Y)


def test_ipyparallel_engines_give_the_same_bits(engines):
    executor = engines.executor()
    with dask.config.set(scheduler=executor):
        worker = dask.delayed(os.getpid)().compute()
        fitted = _fit()
    assert worker in engines[:].apply_sync(os.getpid)
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(fitted.covariance_, _fit().covariance_)


def test_an_executor_of_the_standard_library_gives_the_same_bits():
    with ThreadPoolExecutor(2) as executor, dask.config.set(scheduler=executor):
        fitted = _fit()
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(fitted.covariance_, _fit().covariance_)
