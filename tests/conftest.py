"""Schedulers and counted data for all tests."""

from __future__ import annotations

import warnings

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import settings
from support import Loads

from dask_onestep.datasets import make_glm

# Scripts that made figures of other packages, which need these.
collect_ignore_glob = ["marginaleffects/*"]

# A test draws the same examples each time, so that what fails here fails everywhere; a search draws others each time:
# make search
settings.register_profile("test", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile("test")


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes of one thread each."""
    with (
        dask.config.set({"distributed.admin.low-level-log-length": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of the session's cluster, the default scheduler while the test runs."""
    with Client(cluster) as client:
        yield client


@pytest.fixture
def threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield "threads"


@pytest.fixture
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield "synchronous"


@pytest.fixture(params=["synchronous", "threads", "distributed"])
def scheduler(request):
    """Run the test on each scheduler."""
    request.getfixturevalue("client" if request.param == "distributed" else request.param)
    return request.param


@pytest.fixture
def binary(threads):
    """X, y and coefficients of a logistic model."""
    return make_glm(2000, 3, family="binomial", chunks=300, random_state=1)


@pytest.fixture
def counts(threads):
    """X, y and coefficients of a Poisson model."""
    return make_glm(2000, 3, family="poisson", chunks=300, random_state=1)


@pytest.fixture
def loads(tmp_path):
    """Data that counts its loads, across processes."""
    directory = tmp_path / "loads"
    directory.mkdir()
    return Loads(directory)


@pytest.fixture
def quiet():
    """Let warnings pass in a test that is about something else, such as a tiny pilot's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
