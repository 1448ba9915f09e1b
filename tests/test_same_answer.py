"""Every estimator by every method: the same bits on every scheduler, with any number of workers, and twice."""

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm
from dask_onestep.methods import METHODS, Average, DebiasedLasso, OneStep, Pilot, Surrogate

pytestmark = pytest.mark.timeout(300)

FITS = {
    **{f"classifier, {name}": GLMClassifier(method=name) for name in METHODS},
    **{f"poisson, {name}": GLMRegressor("poisson", method=name) for name in METHODS},
    "classifier, small pilot": GLMClassifier(method=OneStep(300, steps=2)),
    "classifier, pilot of a share": GLMClassifier("probit", method=Pilot(0.3)),
    "poisson, orthogonal columns": GLMRegressor("poisson", solver="qr"),
    "poisson, robust": GLMRegressor("poisson", method=OneStep(300), cov_type="HC1"),
    "poisson, one-step by the paper": GLMRegressor("poisson", method=OneStep(300, correction=None)),
    "poisson, surrogate at the pilot": GLMRegressor("poisson", method=Surrogate(anchor="pilot", rounds=2)),
    "poisson, equal averages": GLMRegressor("poisson", method=Average(weights="equal")),
    "poisson, pooled nodewise": GLMRegressor("poisson", method=DebiasedLasso(alpha=0.02, nodewise="pooled", steps=2)),
}

CLASSIFIERS = [name for name in FITS if name.startswith("classifier")]


def data_for(name):
    family = name.split(",")[0].replace("classifier", "binomial")
    # Blocks of unequal size, 14 of them and no power of two, so that the tree is not a plain one.
    x, y, _ = make_glm(3000, 4, family=family, coef=np.full(5, 0.2), chunks=230)
    return x, y


def bits(name):
    glm = FITS[name].fit(*data_for(name))
    arrays = (glm.coef_, glm.intercept_, glm.covariance_, glm.dispersion_, glm.decrement_)
    return tuple(np.asarray(array).tobytes() for array in arrays)


def all_bits(names=tuple(FITS)):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small pilots and small blocks
        return {name: bits(name) for name in names}


def assert_same(found, expected):
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.fixture(scope="module")
def expected():
    with dask.config.set(scheduler="synchronous"):
        return all_bits()


def test_no_two_fits_are_the_same(expected):
    # Else a fit that ignored its method would pass; "auto" pilots of 3000 rows are most of the rows.
    assert len(set(expected.values())) == len(FITS)


def test_twice_in_a_row(expected, synchronous):
    assert_same(all_bits(), expected)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_threads(expected, workers):
    with dask.config.set(scheduler="threads", num_workers=workers):
        assert_same(all_bits(), expected)


def test_processes(expected):
    # One pool for all: each of Dask's own would start Python anew at every pass.
    with (
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
        dask.config.set(scheduler="processes", pool=pool),
    ):
        assert_same(all_bits(), expected)


def test_one_two_and_four_workers(expected):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for workers in (1, 2, 4):
            cluster.scale(workers)
            client.wait_for_workers(workers, timeout=120)
            # Each estimator and each method on four workers, and half of them on fewer.
            assert_same(all_bits(list(FITS) if workers == 4 else CLASSIFIERS), expected)
