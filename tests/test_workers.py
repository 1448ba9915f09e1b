"""Workers that lack the package, or have other versions of what computes."""

from __future__ import annotations

import asyncio
import marshal
import socket
import subprocess
import sys
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from dask_onestep import GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import VersionsWarning
from dask_onestep.graph import workers

X, Y, _ = make_glm(400, 2, family="poisson", chunks=100)
GLM = GLMRegressor("poisson", method=OneStep(pilot_size=100))


@pytest.fixture
def own_client(cluster):
    """A client that has compared nothing yet, and workers that are as before afterwards."""
    with Client(cluster) as client:
        yield client
        client.run(restore)


def hide():
    import sys

    sys.kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "dask_onestep"}
    sys.modules["dask_onestep"] = None


def restore():
    import importlib.metadata as metadata
    import sys

    if hasattr(sys, "kept"):
        del sys.modules["dask_onestep"]
        sys.modules.update(sys.__dict__.pop("kept"))
    if hasattr(metadata, "kept"):
        metadata.version = metadata.__dict__.pop("kept")


def pretend(name, version):
    import importlib.metadata as metadata

    metadata.kept = real = metadata.version

    def told(asked):
        if asked != name:
            return real(asked)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    metadata.version = told


def run_by_value(client, function, *arguments, **where):
    """Run a function of this module on workers that cannot import it."""
    return client.run(workers._by_value(function), *arguments, **where)


@pytest.mark.parametrize("count", [1, 2])
def test_workers_without_the_package_are_named(own_client, count):
    addresses = list(own_client.nthreads())
    run_by_value(own_client, hide, workers=addresses[:count])
    with pytest.raises(ImportError, match=f"cannot be imported on {count} of 2 workers: .*PipInstall") as caught:
        GLM.fit(X, Y)
    assert [address in str(caught.value) for address in addresses] == [True, count == 2]
    run_by_value(own_client, restore)
    assert GLM.fit(X, Y).n_samples_ == 400  # they are compared again


@pytest.mark.parametrize(
    ("name", "version", "says"), [("numpy", "1.0", "and 1.0 on"), ("numba", None, "and not installed on")]
)
def test_other_versions_are_a_warning_once(own_client, name, version, says):
    first, second = own_client.nthreads()
    if workers.installed()[name] is None:
        version, says = "0.1", "not installed here and 0.1 on"
    run_by_value(own_client, pretend, name, version, workers=[first])
    with pytest.warns(VersionsWarning, match=rf"{name} is .*{says} {first}\..*VersionsWarning\)\)$") as heard:
        GLM.fit(X, Y)
    assert second not in str(heard[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GLM.fit(X, Y)


def test_another_build_of_the_package_is_another_version(tmp_path):
    """Sources are compared, whatever version they have."""
    for text in ("x = 1", "x = 2"):
        (tmp_path / text[-1] / "dask_onestep").mkdir(parents=True)
        (tmp_path / text[-1] / "dask_onestep" / "__init__.py").write_text(text)
    code = (
        "from types import FunctionType; import marshal, sys; code = marshal.loads(sys.stdin.buffer.read()); "
        "print(FunctionType(code, {'__builtins__': __builtins__})(None)['dask_onestep'])"
    )
    builds = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=marshal.dumps(workers.installed.__code__),
            cwd=tmp_path / each,
            capture_output=True,
            check=True,
        ).stdout
        for each in ("1", "2", "1")
    ]
    assert builds[0] == builds[2] != builds[1]


def test_what_is_compared_is_there():
    found = workers.installed()
    assert found["numpy"] == np.__version__
    assert "sources" in found["dask_onestep"]
    assert set(found) == {"dask_onestep", "numba", "numpy", "scipy", "pandas", "pyarrow"}


def test_workers_that_come_later_are_compared_too():
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
        GLM.fit(X, Y)
        seen = set(workers._checked[client])
        cluster.scale(2)
        client.wait_for_workers(2)
        GLM.fit(X, Y)
        assert seen < workers._checked[client] == set(client.nthreads())


def test_workers_that_refuse_to_tell_are_asked_once():
    blocked = {"distributed.worker.blocked-handlers": ["run"]}
    with (
        dask.config.set(blocked),
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        assert GLM.fit(X, Y).n_samples_ == 400
        assert workers._checked[client] == set(client.nthreads())


def test_an_asynchronous_client_is_told_of_fit_delayed():
    async def attempt():
        async with Client(processes=False, asynchronous=True, dashboard_address=":0") as client:
            with pytest.raises(RuntimeError, match=r"asynchronous.*fit_delayed"):
                GLM.fit(X, Y)
            return await client.compute(GLM.fit_delayed(X, Y))

    fitted = asyncio.run(attempt())
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(fitted.coef_, GLM.fit_delayed(X, Y).compute().coef_)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_forked_child_cannot_use_its_parents_client(fitted):
    code = (
        "import os, sys, warnings; warnings.simplefilter('ignore'); import distributed; from dask_onestep import "
        "GLMRegressor; from dask_onestep.datasets import make_glm; from dask_onestep.graph import workers; "
        "workers._LOOP_SECONDS = 2.0; x, y, _ = make_glm(300, 2); glm = GLMRegressor()\n"
        "with distributed.Client(processes=False, n_workers=1, dashboard_address=':0'):\n"
        f"    {'glm.fit(x, y)' if fitted else 'pass'}\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0); print(glm.fit(x, y).n_samples_)\n"
        "    else:\n"
        "        try: glm.fit(x, y)\n"
        "        except RuntimeError as error: print(error, flush=True)\n"
        "        os._exit(0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    said, n = found.stdout.splitlines()
    assert "does not respond in this process. A process that was forked" in said, found.stderr
    assert n == "300"


def _fail_to_load():
    raise OSError("no such disk")


def test_errors_of_a_load_name_the_worker_and_its_host(client):
    x = da.from_delayed(dask.delayed(_fail_to_load)(), (100, 2), dtype=float)
    with pytest.raises(OSError, match="no such disk") as caught:
        GLM.fit(x, da.ones(100, chunks=100))
    (note,) = caught.value.__notes__
    assert any(note.endswith(f"On worker {each} on {socket.gethostname()}.") for each in client.nthreads()), note


def test_no_client_is_looked_for_where_another_scheduler_is_chosen(own_client):
    with dask.config.set(scheduler="threads"):
        GLM.fit(X, Y)
    assert own_client not in workers._checked


def test_a_numba_that_does_not_import_is_not_used(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.9 or less')")
    code = (
        "import warnings; warnings.simplefilter('ignore'); import dask_onestep as d; from dask_onestep.datasets import "
        "make_glm; x, y, _ = make_glm(300, 2); from dask_onestep.kernels.compiled.accelerate import accelerated; "
        "print(d.GLMRegressor().fit(x, y).n_samples_, accelerated())"
    )
    path = [str(tmp_path), *filter(None, sys.path)]
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(path)}, capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == ["300", "False"], found.stderr
