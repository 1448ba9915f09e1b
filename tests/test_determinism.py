"""One answer, to the last bit, on every scheduler and with any number of workers and threads."""

import os
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from support import assert_bits_equal, fingerprint

from dask_onestep import GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm

ROWS, COLUMNS = 6000, 12
FITS = {
    "one-step": GLMClassifier(method=OneStep(1200)),
    "mle": GLMClassifier("probit", method="mle"),
    "robust": GLMRegressor("poisson", cov_type="HC1"),
}


def fit(name):
    family = "poisson" if name == "robust" else "binomial"
    x, y, _ = make_glm(ROWS, COLUMNS, family=family, coef=np.full(COLUMNS + 1, 0.1), chunks=170, sort=True)
    return fingerprint(FITS[name].fit(x, y))


@pytest.fixture(scope="module")
def bits():
    with dask.config.set(scheduler="synchronous"):
        return {name: fit(name) for name in FITS}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_threads_give_the_same_bits(bits, name, workers):
    with dask.config.set(scheduler="threads", num_workers=workers):
        assert_bits_equal(fit(name), bits[name])


@pytest.mark.parametrize("name", FITS)
def test_processes_give_the_same_bits(bits, client, name):
    assert_bits_equal(fit(name), bits[name])


def test_the_order_of_the_workers_does_not_matter(bits):
    # One process of three threads: blocks end in another order, and BLAS is shared.
    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        assert_bits_equal(fit("one-step"), bits["one-step"])


def test_the_one_graph_gives_the_same_bits(bits, threads):
    x, y, _ = make_glm(ROWS, COLUMNS, family="binomial", coef=np.full(COLUMNS + 1, 0.1), chunks=170, sort=True)
    assert_bits_equal(fingerprint(FITS["one-step"].fit_delayed(x, y).compute()), bits["one-step"])


@pytest.mark.parametrize("blas_threads", [None, "1", "2"])
def test_the_number_of_blas_threads_does_not_matter(bits, blas_threads):
    # Set before NumPy is loaded, hence a process of its own; None leaves BLAS every core.
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if blas_threads is not None:
        environment |= {"OMP_NUM_THREADS": blas_threads, "OPENBLAS_NUM_THREADS": blas_threads}
    here = Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join([str(here.parent), str(here)])
    program = "import test_determinism as t, dask; dask.config.set(scheduler='threads'); print(t.fit('one-step'))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=here.parent
    )
    assert done.stdout.strip() == str(bits["one-step"])


def test_unaligned_blocks_give_the_same_bits(threads):
    x, y, _ = make_glm(2000, COLUMNS, family="poisson", coef=np.full(COLUMNS + 1, 0.1), chunks=500)
    glm = GLMRegressor("poisson")
    plain = fingerprint(glm.fit(x, y))
    assert_bits_equal(fingerprint(glm.fit(x.map_blocks(shifted), y)), plain)


def shifted(block):
    raw = np.zeros(block.nbytes + 4, dtype=np.uint8)[4:].view(np.float64).reshape(block.shape)
    raw[:] = block
    assert block.size == 0 or not raw.flags.aligned
    return raw
