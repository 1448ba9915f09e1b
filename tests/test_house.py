"""The house keeps its shape: what imports what, and what graphs are made of."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
from dask.core import flatten
from support import chunked

import dask_onestep
from dask_onestep import GLMClassifier, OneStep

PACKAGE = Path(dask_onestep.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
BUILD_GRAPHS = ("graph", "inputs.py", "datasets", "functions.py", "frames.py")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(*folders):
    return [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] in folders]


def ids(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", within("methods", "estimators"), ids=ids)
def test_methods_and_estimators_build_no_collections(path):
    found = set(imports_of(path))
    assert not [name for name in found if name.startswith(("dask.array", "dask.dataframe", "dask.task_spec"))]
    assert not [name for name in found if name.startswith(("dask.blockwise", "dask.highlevelgraph", "dask.base"))]


@pytest.mark.parametrize("path", within("kernels", "families", "links.py"), ids=ids)
def test_kernels_never_see_dask(path):
    assert not [name for name in imports_of(path) if name.split(".")[0] in ("dask", "distributed")]


@pytest.mark.parametrize("path", within(*BUILD_GRAPHS), ids=ids)
def test_no_lambdas_where_graphs_are_built(path):
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Lambda)]


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_what_fails_under_query_planning_is_not_called(path):
    refused = {"to_delayed", "from_delayed", "compute_chunk_sizes", "to_dask_array", "blocks", "partitions"}
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & refused


def test_graphs_travel_without_cloudpickle():
    # Every task is a function at a module's top level and plain data.
    rng = np.random.default_rng(0)
    x, y = chunked(rng.normal(size=(600, 2)), (300, 300)), chunked(rng.integers(0, 2, 600), (300, 300))
    lazy = GLMClassifier(method=OneStep(300)).fit_delayed(x, y)
    graph = dict(lazy.__dask_graph__())
    copy = pickle.loads(pickle.dumps(graph))
    assert set(copy) == set(graph)
    assert set(flatten([lazy.__dask_keys__()])) <= set(graph)
