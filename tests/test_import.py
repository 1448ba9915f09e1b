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
