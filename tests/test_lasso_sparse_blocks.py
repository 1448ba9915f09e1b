"""The sparse methods on blocks of scipy.sparse: the same answers as on the same rows held densely."""

import warnings

import dask.array as da
import numpy as np
import pytest
from lasso_reference import DRAW, MEAN
from scipy import sparse

from dask_onestep import (
    AverageLasso,
    DebiasedLasso,
    GLMRegressor,
    approximate_inverse_covariance,
    nodewise_lasso,
)


def _mostly_zero(family, n=600, p=12, density=0.08, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2.0, (n, p)) * (rng.random((n, p)) < density)
    return x, DRAW[family](rng, MEAN[family](x @ np.r_[1.0, -1.0, np.zeros(p - 2)]))


def _in_csr(X):
    return X.map_blocks(sparse.csr_array, dtype=float, meta=np.empty((0, 0)))


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize(
    "method",
    [
        DebiasedLasso(0.01, nodewise="partition", steps=1),
        DebiasedLasso(),
        AverageLasso(),
    ],
    ids=["partition", "pooled", "average"],
)
def test_csr_blocks_give_what_dense_ones_give(family, method):
    x, y = _mostly_zero(family)
    X, Y = da.from_array(x, chunks=(200, 12)), da.from_array(y, chunks=200)
    weights = da.from_array(np.random.default_rng(1).uniform(0.5, 2.0, 600), chunks=200)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The blocks are too small")
        dense, held = (
            GLMRegressor(family, method=method).fit(part, Y, sample_weight=weights) for part in (X, _in_csr(X))
        )
    assert dense.coef_[:2].any()
    np.testing.assert_allclose(held.coef_, dense.coef_, atol=1e-8)
    np.testing.assert_allclose(held.intercept_, dense.intercept_, atol=1e-8)
    np.testing.assert_allclose(held.covariance_, dense.covariance_, rtol=1e-7, atol=1e-12)


def test_nodewise_lasso_of_csr_blocks():
    x, _ = _mostly_zero("gaussian")
    X = da.from_array(x, chunks=(200, 12))
    dense, held = (approximate_inverse_covariance(nodewise_lasso(part, 0.01)).compute() for part in (X, _in_csr(X)))
    np.testing.assert_allclose(held, dense, rtol=1e-8, atol=1e-10)
    assert (dense != np.diag(np.diag(dense))).any()
