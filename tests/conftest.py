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
settings.register_profile("search", max_examples=20_000, deadline=None)
settings.load_profile("test")

# Modules whose tests take more than a few seconds together, and fixtures that start processes; `make test-quick` omits
# them.
SLOW_MODULES = {
    *("test_accuracy", "test_bootstrap", "test_cli", "test_cli_cluster", "test_cli_urls", "test_compiled"),
    *("test_debiased_lasso", "test_default", "test_docs", "test_docs_links", "test_elastic_net", "test_executors"),
    *("test_faults", "test_glm_matrix", "test_hostile", "test_import", "test_memory", "test_paper_tables"),
    *("test_parameters", "test_plots", "test_scikit_learn", "test_search", "test_statsmodels_datasets", "test_tables"),
    *("test_workers", "test_benchmarks_scale", "test_benchmarks_sparse", "test_benchmarks_speed"),
    *("test_benchmarks_tables", "test_pooled_lasso", "test_selection", "test_intervals", "test_query_planning"),
}
SLOW_FIXTURES = {"cluster", "client", "own_client"}


def pytest_collection_modifyitems(items):
    for item in items:
        distributed = getattr(getattr(item, "callspec", None), "params", {}).get("scheduler") == "distributed"
        if item.path.stem in SLOW_MODULES or distributed or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


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


@pytest.fixture(params=["whole", "sample"])
def pilot(request, monkeypatch):
    """Let the pilot of penalized fits be all rows, as of a small table, or a sample, as of a large one."""
    if request.param == "sample":
        monkeypatch.setattr("dask_onestep.methods.elastic_net.SMALL_BYTES", 1)
        monkeypatch.setattr("dask_onestep.methods.elastic_net_cv._SMALL_BYTES", 1)
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
