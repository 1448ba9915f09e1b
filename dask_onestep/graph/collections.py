"""How the parts of a data set meet, block by block, which tasks serve which block, and functions of each block."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from graphlib import TopologicalSorter
from itertools import chain
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.core import flatten, get, get_dependencies, istask
from dask.delayed import Delayed
from dask.highlevelgraph import MaterializedLayer
from dask.task_spec import Alias, DataNode, GraphNode, List, Task, TaskRef
from dask.tokenize import tokenize
from dask.typing import Key

from dask_onestep.graph.blocks import Blocks
from dask_onestep.graph.cluster import future_of, is_future
from dask_onestep.kernels.designs.parts import PARTS, SOURCE, Block, labels_of
from dask_onestep.kernels.designs.table import unmasked
from dask_onestep.kernels.records import Numbering


def gather(
    x: Any,
    y: Any,
    weights: Any = None,
    offset: Any = None,
    groups: Any = None,
    lengths: tuple[int | tuple[int, ...], ...] | None = None,
    ranges: Mapping[str, int] | None = None,
    loads: Sequence[Callable[[], list[Block]]] = (),
) -> Blocks:
    """Bring the parts of a data set together, block by block; nothing is computed.

    Parameters
    ----------
    x : dask Array of shape (n, p), or dask DataFrame
        Covariates; column chunks are joined.
    y, weights, offset, groups : dask Array of shape (n,), dask Series, or None
        Of the same kind as `x`, and in as many blocks.
    lengths : tuple of int, or of tuples of int, or None
        Rows of each partition of a frame, if known; those of partitions that are read in order as one tuple.  An array
        knows its own.
    ranges : mapping of str to int, optional
        How many different ranges columns of a frame have in the parts of their files.
    loads : sequence of callable, optional
        Functions that load the partitions of `x` as blocks, used unless there are other parts.

    Returns
    -------
    Blocks
        The blocks.

    Examples
    --------
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.graph import gather
    >>> X, y, coef = make_glm(1000, 2, chunks=500)
    >>> len(gather(X, y, weights=y * 0 + 1))
    2
    """
    given = {name: part for name, part in zip(PARTS, (x, y, weights, offset, groups), strict=True) if part is not None}
    names = tuple(given)
    held, loaded = None, len(given) == 1 and bool(loads)
    if isinstance(x, da.Array):
        held = _held_arrays(names, list(given.values()))
        blocks = _gather_arrays(names, list(given.values())) if held is None else None
        known = not np.isnan(x.chunks[0]).any()
        lengths = tuple(int(n) for n in x.chunks[0]) if known else None
        row_bytes = x.dtype.itemsize * x.shape[1]
    elif loaded:
        held, blocks, row_bytes = _loading(f"read-files-{tokenize(x)}", loads), None, 8 * len(x.columns)
    else:
        blocks = dd.map_partitions(
            _frame_block,
            *given.values(),
            names,
            meta=pd.Series([], dtype=object),
            align_dataframes=False,
            enforce_metadata=False,
        )
        row_bytes = 8 * len(x.columns)
    in_order = any(isinstance(each, tuple) for each in lengths or ())
    rows = None if lengths is None else tuple(chain.from_iterable(n if isinstance(n, tuple) else (n,) for n in lengths))
    annotations = _annotations(given.values())
    graph, keys = _materialize(blocks) if held is None else held
    owned, shared = _split_by_owner(graph, keys)
    tasks = [node for node in graph.values() if isinstance(node, Task)]
    reloaded = loaded or (held is None and any(not task.dependencies for task in tasks))
    at_hand = rows is not None and not reloaded and all(task.func in (_array_block, _frame_block) for task in tasks)
    token = tokenize(keys)
    numbering = Numbering() if isinstance(x, da.Array) else _numbering(x.npartitions, len(keys))
    found = Blocks(keys, owned, shared, rows, row_bytes, annotations, token, weights is not None, reloaded, at_hand)
    return replace(found, numbering=numbering, in_order=in_order, ranges=ranges or {})


def _numbering(partitions: int, blocks: int) -> Numbering:
    """Return what blocks are called: Dask reads several small partitions of files as one."""
    return Numbering() if partitions <= blocks else Numbering(blocks, partitions)


def _loading(name: str, loads: Sequence[Callable[[], list[Block]]]) -> tuple[dict[Key, Any], tuple[Key, ...]]:
    """Return the tasks of blocks that functions load, as `_materialize` does."""
    tasks = [Task((name, number), load, _data_producer=True) for number, load in enumerate(loads)]
    return {task.key: task for task in tasks}, tuple(task.key for task in tasks)


def _held_arrays(names: tuple[str, ...], parts: list[da.Array]) -> tuple[dict[Key, Any], tuple[Key, ...]] | None:
    """Return the blocks' tasks of arrays whose chunks are in memory, as `_materialize` does; None for other arrays."""
    chunks: list[list[Any]] = []
    for part in parts:
        layer = getattr(part.dask, "layers", {}).get(part.name)
        if not isinstance(layer, MaterializedLayer) or part.numblocks[1:] not in ((), (1,)):
            return None
        chunks.append([layer.get(key) for key in flatten(part.__dask_keys__())])
        if len(chunks[-1]) != len(chunks[0]) or not all(isinstance(chunk, np.ndarray) for chunk in chunks[-1]):
            return None
    name = f"rows-{tokenize(names, [part.name for part in parts])}"
    keys = tuple((name, number, 0) for number in range(len(chunks[0])))
    tasks = zip(keys, zip(*chunks, strict=True), strict=True)
    return {key: Task(key, _array_block, *each, names=names) for key, each in tasks}, keys


def _gather_arrays(names: tuple[str, ...], parts: list[da.Array]) -> da.Array:
    x = parts[0] if parts[0].numblocks[1] == 1 else parts[0].rechunk({1: -1})
    pairs: list[Any] = [x, "ij"]
    for part in parts[1:]:
        pairs += [part, "i"]
    # Output index "ij", not "i": only so can X's load be fused into the task.
    return da.blockwise(
        _array_block,
        "ij",
        *pairs,
        names=names,
        adjust_chunks={"i": 1, "j": 1},
        align_arrays=False,
        dtype=object,
        meta=np.empty((0, 0), dtype=object),
        token="rows",
    )


def _array_block(*parts: Any, names: tuple[str, ...]) -> np.ndarray:
    out = np.empty((1, 1), dtype=object)
    out[0, 0] = Block(**dict(zip(names, map(unmasked, parts), strict=True)))
    return out


def _frame_block(*parts: Any) -> list[Block]:
    *columns, names = parts
    given = dict(zip(names, columns, strict=True))
    source = given["x"].attrs.get(SOURCE)
    if isinstance(given["x"], pd.DataFrame):
        given["x"] = given["x"].copy(deep=False)
        given["x"].attrs = {}  # pandas would copy them with each column
        if isinstance(given["x"].columns.dtype, pd.StringDtype):
            given["x"].columns = labels_of(tuple(given["x"].columns))
    return [Block(**given, source=source)]


def _annotations(parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        layers = getattr(part.dask, "layers", {}) if isinstance(part, da.Array) else {}  # frames have none
        for layer in layers.values():
            found |= layer.annotations or {}
    return found


def _materialize(collection: Any) -> tuple[dict[Key, Any], tuple[Key, ...]]:
    """Return the optimized graph of a collection, every task of it a `GraphNode`."""
    if hasattr(collection, "optimize"):
        optimized = collection.optimize()
        keys = list(flatten(optimized.__dask_keys__()))
        graph = dict(Delayed.__dask_optimize__(optimized.__dask_graph__(), keys))
    else:
        # By itself: `dask.optimize` would make an expression and a collection of it.
        keys = list(flatten(collection.__dask_keys__()))
        graph = dict(collection.__dask_optimize__(collection.__dask_graph__(), keys))
    nodes = {key: _as_node(key, value, graph) for key, value in graph.items()}
    # What lies on a cluster, persisted or a future of the user's, optimization or the collection itself leaves out.
    absent = {key for node in nodes.values() for key in _dependencies(node) if key not in nodes}
    original = collection.__dask_graph__() if absent else {}
    futures = {key: original[key] if key in original else future_of(key) for key in absent}
    return nodes | futures, tuple(keys)


def _as_node(key: Key, value: Any, graph: dict) -> Any:
    """Return a task of the older tuple form as a `Task`; data and tasks pass as they are."""
    if isinstance(value, GraphNode):
        # Dask's unverified delayed partitions have the key of what they stand for.
        return value if value.key == key else Alias(key, value.key)
    if isinstance(value, (str, tuple)) and not istask(value) and value in graph:
        return Alias(key, value)
    if not istask(value):
        return value
    inputs = list(get_dependencies(graph, key))
    return Task(key, _run_tuple, value, tuple(inputs), List(*(TaskRef(k) for k in inputs)))


def _run_tuple(task: tuple, keys: tuple, values: list) -> Any:
    return get({**dict(zip(keys, values, strict=True)), "tuple-task": task}, "tuple-task")


def _split_by_owner(
    graph: dict[Key, Any], keys: tuple[Key, ...]
) -> tuple[tuple[tuple[GraphNode, ...], ...], dict[Key, Any]]:
    """Assign each task, and data in memory, to the only block that needs it; others, and futures, are shared.

    Dask's local schedulers go through all data that has a key once for each task.
    """
    needs = {key: _dependencies(node) for key, node in graph.items()}
    users: dict[Key, set] = {key: set() for key in graph}
    block_of = {key: number for number, key in enumerate(keys)}
    owned: list[list[GraphNode]] = [[] for _ in keys]
    shared: dict[Key, Any] = {}
    # From the blocks back to the loads: a task's users are known before it is met.
    for key in reversed(list(TopologicalSorter(needs).static_order())):
        node = graph[key]
        owners = {block_of[key]} if key in block_of else users[key]
        (owner,) = owners if len(owners) == 1 else (None,)
        if owner is not None and not is_future(node):
            owned[owner].append(node if isinstance(node, GraphNode) else DataNode(key, node))
        else:
            shared[key] = node
            owners = {None}
        for needed in needs[key]:
            users[needed] |= owners
    return tuple(tuple(reversed(tasks)) for tasks in owned), shared


def _dependencies(node: Any) -> frozenset:
    return node.dependencies if isinstance(node, GraphNode) else frozenset()


def map_rows(function: Callable[..., np.ndarray], parts: dict[str, Any], like: Any, *, name: str) -> Any:
    """Return, lazily, a function of each row block, as a collection of the same kind.

    Parameters
    ----------
    function : callable
        ``(x, **others)`` to an array with one row, or one value, for each row; picklable.
    parts : dict
        ``x``, a dask Array of shape (n, p) or a dask DataFrame, and by the function's names its other arguments: dask
        Arrays of shape (n,), dask Series, or None, which is omitted.
    like : ndarray of shape (0,) or (0, k), Series or DataFrame
        The result for a block without rows, with the index for frames.
    name : str
        Name of the tasks on the dashboard.

    Returns
    -------
    dask Array, dask Series or dask DataFrame
        One row, or one value, for each row of ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.graph import map_rows
    >>> def row_sums(x):
    ...     return x.sum(axis=1)
    >>> X, y, coef = make_glm(1000, 2, chunks=250)
    >>> map_rows(row_sums, {"x": X}, np.empty(0), name="row-sums").compute().shape
    (1000,)
    """
    given = {key: part for key, part in parts.items() if part is not None}
    names, x = tuple(given), given["x"]
    task = partial(_map_block, function=function, names=names)
    if isinstance(x, dd.DataFrame):
        return dd.map_partitions(
            _map_frame, *given.values(), task=task, like=like, meta=like, align_dataframes=False, token=name
        )
    given["x"] = x if x.numblocks[1] == 1 else x.rechunk({1: -1})
    pairs: list[Any] = []
    for key, part in given.items():
        pairs += [part, "ij" if key == "x" else "i"]
    return da.blockwise(
        task,
        "i" if like.ndim == 1 else "ik",
        *pairs,
        new_axes={} if like.ndim == 1 else {"k": like.shape[1]},
        concatenate=True,
        align_arrays=False,
        dtype=like.dtype,
        meta=like,
        token=name,
    )


def _map_block(*parts: Any, function: Callable[..., np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return function(**dict(zip(names, map(unmasked, parts), strict=True)))


def _map_frame(*parts: Any, task: Callable[..., np.ndarray], like: Any) -> Any:
    values = task(*parts)
    if isinstance(like, pd.Series):
        return pd.Series(values, index=parts[0].index, name=like.name)
    return pd.DataFrame(values, index=parts[0].index, columns=like.columns)
