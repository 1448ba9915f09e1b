"""Single tasks and lazy values."""

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from typing import Any
from uuid import uuid4

import dask
import numpy as np
from dask import threaded
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import DataNode, GraphNode, Task, TaskRef
from dask.tokenize import tokenize
from dask.typing import Key
from dask.utils import ensure_dict, shorten_traceback

from dask_onestep.kernels.records import Failure
from dask_onestep.kernels.rows.block import MODEL_ERRORS
from dask_onestep.kernels.solve.threads import one_blas_thread


def apply(
    function: Callable[..., Any], *arguments: Any, name: str, guarded: bool = False, unique: bool = False
) -> Delayed:
    """Return, lazily, a function of lazy or present values, as one task.

    Parameters
    ----------
    function : callable
        A function at a module's top level.
    *arguments : object or Delayed
        Its arguments.
    name : str
        What the dashboard calls the task.
    guarded : bool
        Whether an error becomes a `Failure`, the result of all guarded tasks that would need it.
    unique : bool
        Whether the task has a key that no other has; by default equal tasks have equal keys.

    Returns
    -------
    Delayed
        The result.

    Examples
    --------
    >>> from operator import add
    >>> from dask_onestep.graph import apply
    >>> apply(add, apply(add, 1, 2, name="first"), 3, name="second").compute()
    6
    """
    key = f"{name}-{uuid4().hex if unique else tokenize(function, arguments, *[guarded] * guarded)}"
    task = Task(key, _guarded if guarded else _quietly, function, *(reference(value) for value in arguments))
    return delayed(key, {key: task}, [value for value in arguments if isinstance(value, Delayed)], {})


def delayed(key: str, tasks: dict, lazy: Sequence[Delayed], annotations: dict[str, Any]) -> Delayed:
    """Return the lazy value of one task of a graph."""
    layers: dict[str, Any] = {}
    needs: dict[str, set[str]] = {key: set()}
    for value in lazy:  # as `HighLevelGraph.from_collections`, which takes three times as long
        whole = isinstance(value.dask, HighLevelGraph)
        layers |= value.dask.layers if whole else {value.key: value.dask}
        needs |= value.dask.dependencies if whole else {value.key: set()}
        needs[key] |= {*value.__dask_layers__()} if whole else {value.key}
    with dask.annotate(**annotations):
        return Delayed(key, HighLevelGraph(layers | {key: tasks}, needs))


def reference(value: Any) -> Any:
    """Return how a task names a value: lazy values by their key, others as they are."""
    return TaskRef(value.key) if isinstance(value, Delayed) else value


def compute(
    values: Sequence[Any], scheduler: str | None, *, settled: bool = False, alone: bool = False
) -> tuple[Any, ...]:
    """Return values, lazy ones computed; if `settled`, these stay lazy and where they are, as `dask.persist` has them.

    Schedulers of this process are called directly: Dask's expressions take as long as a small fit's linear algebra.
    Tasks that run `alone`, one after the other, need no scheduler.
    """
    lazy = [value for value in values if isinstance(value, Delayed)]
    get = get_scheduler(scheduler=scheduler, collections=lazy)
    if get not in (dask.get, threaded.get):
        if settled:
            return dask.persist(*values, traverse=False, scheduler=scheduler)
        return dask.compute(*values, traverse=False, scheduler=scheduler)
    graph: dict[Key, Any] = {}
    for value in lazy:
        graph |= ensure_dict(value.dask)
    keys, nodes = [value.key for value in lazy], list(graph.values())
    alone &= not Callback.active  # which see what Dask's schedulers run
    alone |= sum(not isinstance(node, DataNode) for node in nodes) == 1  # a look at what is known already
    with shorten_traceback():
        if alone and all(isinstance(node, GraphNode) for node in nodes):
            found: dict[Key, Any] = {}
            for key in TopologicalSorter({node.key: node.dependencies for node in nodes}).static_order():
                found[key] = graph[key](found)
        else:
            found = dict(zip(keys, get(graph, keys), strict=True))
    results = {key: delayed(key, {key: DataNode(key, found[key])}, [], {}) for key in keys} if settled else found
    return tuple(results[value.key] if isinstance(value, Delayed) else value for value in values)


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    if failed := [value for value in arguments if isinstance(value, Failure)]:
        return failed[0]
    try:
        return _quietly(function, *arguments)
    except MODEL_ERRORS as error:
        return Failure(error)


def _quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    # As in the kernels of blocks: one BLAS thread, without which even small triangular systems wait for a second one
    # and have other bits; what overflows is acted on, and NumPy's warnings say neither where nor why.
    with one_blas_thread(), np.errstate(all="ignore"):
        return function(*arguments)
