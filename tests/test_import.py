"""Nothing is imported before it is needed."""

import subprocess
import sys

import pytest

import dask_onestep


def imported_by(code):
    """Return the modules that a new process has imported at the end of a line."""
    script = f"{code}; import sys; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_the_package_itself_imports_nothing():
    assert not imported_by("import dask_onestep") & {"dask", "numpy", "pandas", "scipy", "sklearn"}


def test_an_estimator_imports_no_more_than_a_fit_needs():
    slow = {"distributed", "formulaic", "numba", "matplotlib", "rich", "sklearn.linear_model", "sklearn.metrics"}
    assert not imported_by("from dask_onestep import GLMClassifier") & slow
    fit = "import dask_onestep as d, numpy as n; d.GLMRegressor().fit(n.arange(30.0)[:, None], n.arange(30.0) % 7)"
    assert not imported_by(fit) & {"formulaic", "matplotlib", "sklearn.linear_model"}


def test_workers_do_without_scikit_learn():
    script = (
        "import sys; from distributed import Client; from dask_onestep import GLMRegressor; import numpy as n\n"
        "from dask_onestep.datasets import make_glm; import pandas as p, dask.dataframe as dd\n"
        "if __name__ == '__main__':\n"
        "    with Client(n_workers=1, threads_per_worker=1, dashboard_address=':0') as client:\n"
        "        rows = p.DataFrame({'y': n.arange(3e5) % 7, 'x': n.arange(3e5) % 5, 'g': list('abc') * 100_000})\n"
        "        glm = GLMRegressor('poisson', formula='y ~ x + g').fit(dd.from_pandas(rows, npartitions=4))\n"
        "        glm = GLMRegressor('poisson', cov_type='HC3').fit(*make_glm(10**6, 9, family='poisson')[:2])\n"
        "        print(*client.run(lambda: [*sys.modules]).popitem()[1])"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    modules = set(found.stdout.split())
    assert "dask_onestep.methods.one_step_report" in modules
    slow = {"sklearn", "scipy.interpolate", "scipy.optimize"}
    assert not modules & {*slow, "dask_onestep.inference", "dask_onestep.estimators"}


def test_threads_that_use_a_category_first_have_the_same():
    script = (
        "from concurrent.futures import ThreadPoolExecutor; from threading import Barrier\n"
        "from dask_onestep import exceptions; together = Barrier(4)\n"
        "def found(_): together.wait(); return exceptions.NotConvergedWarning\n"
        "with ThreadPoolExecutor(4) as pool: assert len({*pool.map(found, range(4))}) == 1"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("package", ["dask_onestep", "dask_onestep.methods"])
def test_all_names_are_there(package):
    script = (
        f"import {package} as m; missing = [n for n in m.__all__ if not hasattr(m, n)]; assert not missing, missing"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_modules_and_unknown_names():
    assert set(dask_onestep.__all__) <= set(dir(dask_onestep))
    subprocess.run([sys.executable, "-c", "import dask_onestep as d; d.families.Poisson(); d.storage"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dask_onestep.nothing  # noqa: B018
