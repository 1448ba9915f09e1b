"""Rules of the source: which modules import what, and what graphs are made of."""

import ast
import pickle
from pathlib import Path

import numpy as np
from dask.core import flatten
from support import chunked

import dask_onestep
from dask_onestep import GLMClassifier, OneStep

PACKAGE = Path(dask_onestep.__file__).parent
SOURCES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
BUILD_GRAPHS = ("graph", "inputs.py", "datasets", "functions.py", "frames.py")


def refuse(parts, find):
    """Fail, and list all modules, if a function finds anything in these parts of the package (None: in all)."""
    modules = {path: tree for path, tree in SOURCES.items() if parts is None or path.parts[0] in parts}
    assert modules
    found = {path: ", ".join(find(ast.walk(tree))) for path, tree in modules.items()}
    listed = "\n".join(f"{path}: {text}" for path, text in found.items() if text)
    assert not listed, listed


def imports_of(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_methods_and_estimators_build_no_collections():
    refused = ("dask.array", "dask.dataframe", "dask.task_spec", "dask.blockwise", "dask.highlevelgraph", "dask.base")

    def find(nodes):
        return (name for name in imports_of(nodes) if name.startswith(refused))

    refuse(("methods", "estimators"), find)


def test_kernels_never_import_dask():
    def find(nodes):
        return (name for name in imports_of(nodes) if name.split(".")[0] in ("dask", "distributed"))

    refuse(("kernels", "families", "links.py"), find)


def test_no_lambdas_where_graphs_are_built():
    def find(nodes):
        return (f"line {node.lineno}" for node in nodes if isinstance(node, ast.Lambda))

    refuse(BUILD_GRAPHS, find)


def test_what_fails_under_query_planning_is_not_called():
    refused = {"to_delayed", "from_delayed", "compute_chunk_sizes", "to_dask_array", "blocks", "partitions"}

    def find(nodes):
        calls = (node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
        return (f"{call.attr} in line {call.lineno}" for call in calls if call.attr in refused)

    refuse(None, find)


def test_graphs_travel_without_cloudpickle():
    # Every task is a function at a module's top level and plain data.
    rng = np.random.default_rng(0)
    x, y = chunked(rng.normal(size=(600, 2)), (300, 300)), chunked(rng.integers(0, 2, 600), (300, 300))
    lazy = GLMClassifier(method=OneStep(300)).fit_delayed(x, y)
    graph = dict(lazy.__dask_graph__())
    copy = pickle.loads(pickle.dumps(graph))
    assert set(copy) == set(graph)
    assert set(flatten([lazy.__dask_keys__()])) <= set(graph)
