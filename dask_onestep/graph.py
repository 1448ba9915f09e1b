"""The one place that builds Dask graphs.

A fit's data becomes `Blocks` once: X, y, weights, offset and groups meet in one blockwise (arrays)
or one ``map_partitions`` (frames), whose materialised graph is kept.  Each pass over the data is a
`tree_sum`: every block's own tasks, from its load on, are fused with the kernel into one task, and
a tree of fixed shape adds the records.  So

- a block is loaded inside the task that reads it and let go at its end: no pass waits while another
  holds its blocks, in one graph as in two;
- a pass may take lazy values, such as coefficients from the pass before: its loads then wait for
  them, instead of filling memory meanwhile;
- arrays, frames, and both of Dask's array implementations go one way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from graphlib import TopologicalSorter
from itertools import accumulate
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.core import flatten, get, get_dependencies, istask
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import Alias, GraphNode, List, Task, TaskRef
from dask.tokenize import tokenize
from dask.typing import Key
from distributed import Future, span

from dask_onestep.kernels.block import run_kernel
from dask_onestep.kernels.records import Findings, add
from dask_onestep.kernels.rows import Block

__all__ = ["Blocks", "apply", "gather", "map_rows", "tree_sum"]

FAN_IN = 16
# A pass over more blocks than these takes FAN_IN consecutive ones as one task, if together they hold no
# more than a block should: below about 1 MiB a block's task costs the scheduler more than the kernel.
# Numbers of the data alone, not of the workers; and the sums are the tree's, bit for bit, either way.
_MANY_BLOCKS = FAN_IN * FAN_IN
_GROUP_BYTES = 16 * 2**20
_FIELDS = ("x", "y", "weights", "offset", "groups")


@dataclass(frozen=True)
class Blocks:
    """Row blocks of a data set, as tasks that each yield one `Block`.

    Attributes
    ----------
    keys : tuple
        The key of each block's task.
    owned : tuple of tuple of GraphNode
        For each block, the tasks that serve it alone: its load and what follows, down to the block.
    shared : dict
        Tasks and data that several blocks need, and data already in memory.
    lengths : tuple of int or None
        Rows in each block, if known.
    row_bytes : int
        Memory of a row's covariates.
    annotations : dict
        Dask annotations, such as retries, of the collections the blocks came from.
    token : str
        Identifies the data.
    """

    keys: tuple[Key, ...]
    owned: tuple[tuple[GraphNode, ...], ...]
    shared: dict[Key, Any]
    lengths: tuple[int, ...] | None
    row_bytes: int
    annotations: dict[str, Any]
    token: str

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_rows(self) -> int | None:
        """Rows in all, if known."""
        return None if self.lengths is None else sum(self.lengths)

    @property
    def starts(self) -> tuple[int | None, ...]:
        """The global number of each block's first row, if known."""
        if self.lengths is None:
            return (None,) * len(self.keys)
        return tuple(accumulate(self.lengths[:-1], initial=0))

    @property
    def small(self) -> bool:
        """Whether the blocks are so many and so small that a pass had better take several as one task.

        Blocks that lie on a cluster's workers are taken one by one, each where it is.
        """
        if (
            self.lengths is None
            or len(self) <= _MANY_BLOCKS
            or any(isinstance(v, Future) for v in self.shared.values())
        ):
            return False
        totals = (sum(self.lengths[at : at + FAN_IN]) for at in range(0, len(self), FAN_IN))
        return max(totals) * self.row_bytes <= _GROUP_BYTES

    def first(self) -> Blocks:
        """Return the first block alone."""
        lengths = None if self.lengths is None else self.lengths[:1]
        return replace(
            self, keys=self.keys[:1], owned=self.owned[:1], lengths=lengths, token=tokenize(self.token, "first")
        )

    def __dask_tokenize__(self) -> str:
        return self.token


def gather(
    x: Any,
    y: Any,
    weights: Any = None,
    offset: Any = None,
    groups: Any = None,
    lengths: tuple[int, ...] | None = None,
) -> Blocks:
    """Bring the parts of a data set together, block by block; nothing is computed.

    Parameters
    ----------
    x : dask Array of shape (n, p), or dask DataFrame
        Covariates; column chunks are joined.
    y, weights, offset, groups : dask Array of shape (n,), dask Series, or None
        Of the same kind as `x`, and in as many blocks.
    lengths : tuple of int or None
        Rows of each partition of a frame, if known; an array knows its own.

    Returns
    -------
    Blocks
        The blocks.
    """
    given = {
        name: part for name, part in zip(_FIELDS, (x, y, weights, offset, groups), strict=True) if part is not None
    }
    names = tuple(given)
    if isinstance(x, da.Array):
        blocks = _gather_arrays(names, list(given.values()))
        known = not np.isnan(x.chunks[0]).any()
        lengths = tuple(int(n) for n in x.chunks[0]) if known else None
        row_bytes = x.dtype.itemsize * x.shape[1]
    else:
        blocks = dd.map_partitions(
            _frame_block, *given.values(), names, meta=pd.Series([], dtype=object), align_dataframes=False
        )
        row_bytes = 8 * len(x.columns)
    annotations = _annotations(given.values())
    graph, keys = _materialise(blocks)
    owned, shared = _split_by_owner(graph, keys)
    return Blocks(keys, owned, shared, lengths, row_bytes, annotations, tokenize(keys))


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
    out[0, 0] = Block(**dict(zip(names, parts, strict=True)))
    return out


def _frame_block(*parts: Any) -> pd.Series:
    *columns, names = parts
    return pd.Series([Block(**dict(zip(names, columns, strict=True)))], dtype=object)


def _annotations(parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        for layer in getattr(getattr(part, "dask", None), "layers", {}).values():
            found |= layer.annotations or {}
    return found


def _materialise(collection: Any) -> tuple[dict[Key, Any], tuple[Key, ...]]:
    """Return the optimised graph of a collection, every task of it a `GraphNode`."""
    original = collection.__dask_graph__()
    if hasattr(collection, "optimize"):
        collection = collection.optimize()
    else:
        (collection,) = dask.optimize(collection)
    keys = list(flatten(collection.__dask_keys__()))
    graph = dict(Delayed.__dask_optimize__(collection.__dask_graph__(), keys))
    nodes = {key: _as_node(key, value, graph) for key, value in graph.items()}
    # Persisted blocks on a cluster are futures, which optimisation leaves out of the graph.
    futures = {key: original[key] for node in nodes.values() for key in _dependencies(node) if key not in nodes}
    return nodes | futures, tuple(keys)


def _as_node(key: Key, value: Any, graph: dict) -> Any:
    """Return a task of the older tuple form as a `Task`; data and tasks pass as they are."""
    if isinstance(value, GraphNode):
        return value
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
    """Give each task to the block that alone needs it; the rest, and data in memory, is shared."""
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
        # Aliases have inputs and serve one block as tasks do; data in memory has none.
        if owner is not None and (isinstance(node, Task) or needs[key]):
            owned[owner].append(node)
        else:
            shared[key] = node
            owners = {None}
        for needed in needs[key]:
            users[needed] |= owners
    return tuple(tuple(reversed(tasks)) for tasks in owned), shared


def _dependencies(node: Any) -> frozenset:
    return node.dependencies if isinstance(node, GraphNode) else frozenset()


def tree_sum(
    blocks: Blocks, kernel: Callable[..., Any], model: Any, *arguments: Any, name: str, classes: Any = None
) -> Delayed:
    """Return, lazily, the sum over all blocks of what a kernel makes of each: one pass over the data.

    Parameters
    ----------
    blocks : Blocks
        The data.
    kernel : callable
        ``(rows, model, *arguments)`` to a record with ``+``; a function at a module's top level.
    model : Model
        Handed to the kernel.
    *arguments : object or Delayed
        Handed to the kernel; the pass waits for those that are lazy.
    name : str
        What the dashboard calls the tasks: `name` for the blocks, ``name-partial`` and
        ``name-aggregate`` for the tree; ``name-group`` for tiny blocks that go together.  They are in
        Dask's span ``("dask_onestep", name)``.
    classes : ndarray, Delayed or None
        Labels by which the blocks' y is encoded.

    Returns
    -------
    Delayed
        The sum.  Computing it raises `ValueError` if a block has findings.
    """
    lazy = [value for value in (*arguments, classes) if isinstance(value, Delayed)]
    token = tokenize(blocks, kernel, model, arguments, classes, name)
    shared, renamed = _second_reading(blocks, lazy, token)
    tasks: dict[Key, Any] = dict(shared)
    own: Key
    plan = (f"{name}-plan-{token}",)
    tasks[plan] = Task(plan, _plan, kernel, model)
    refs = List(*(_reference(value) for value in arguments))
    runs: list[Task] = []
    for number, (key, start) in enumerate(zip(blocks.keys, blocks.starts, strict=True)):
        own = (f"{name}-{token}", number)
        run = Task(own, _run_block, TaskRef(key), TaskRef(plan), _reference(classes), refs, number, start)
        members = (node.substitute(renamed) for node in blocks.owned[number]) if renamed else blocks.owned[number]
        runs.append(_naming_block(_fuse(*members, run), f"In block {number} of the pass {name!r}."))
    leaves = _group(runs, f"{name}-group-{token}") if blocks.small else runs
    tasks |= {task.key: task for task in leaves}
    level: list[Key] = [task.key for task in leaves]
    # Groups are the tree's first partial sums, so that a key means the same rows with and without them.
    depth = int(blocks.small)
    while len(level) > FAN_IN:
        partials: list[Key] = [(f"{name}-partial-{token}", depth, i) for i in range(-(-len(level) // FAN_IN))]
        for i, own in enumerate(partials):
            tasks[own] = Task(own, _add_all, *(TaskRef(key) for key in level[i * FAN_IN : (i + 1) * FAN_IN]))
        level, depth = partials, depth + 1
    root = f"{name}-aggregate-{token}"
    tasks[root] = Task(root, _finish, *(TaskRef(key) for key in level))
    # A span within the data's own, if they were loaded in one.
    with dask.annotate(**blocks.annotations), span("dask_onestep", name):
        return _delayed(root, tasks, lazy, dask.get_annotations())


def _fuse(*steps: Any) -> Task:
    """Return one task that runs steps in the order given, each after those it needs; its key is the last one's.

    `Task.fuse` orders its steps anew whenever it runs, which takes longer than a small block, and holds what
    they made until the last has run.
    """
    if len(steps) == 1:
        return steps[0]
    own = {step.key for step in steps}
    inputs = tuple(dict.fromkeys(key for step in steps for key in step.dependencies if key not in own))
    return Task(steps[-1].key, _run_steps, steps, inputs, List(*(TaskRef(key) for key in inputs)))


def _run_steps(steps: tuple[Task, ...], inputs: tuple[Key, ...], values: list) -> Any:
    known = dict(zip(inputs, values, strict=True))
    last_use = {key: number for number, step in enumerate(steps) for key in step.dependencies}
    for number, step in enumerate(steps):
        known[step.key] = step(known)
        for key in step.dependencies:
            if last_use[key] == number:
                del known[key]
    return known[steps[-1].key]


def _naming_block(task: Task, where: str) -> Task:
    """Return a task whose errors, above all those of a load, say which block they met."""
    return Task(task.key, _run_noting, task.func, where, *task.args, _data_producer=task.data_producer, **task.kwargs)


def _run_noting(function: Callable[..., Any], where: str, /, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        error.add_note(where)
        raise


def _group(runs: list[Task], name: str) -> list[Task]:
    """Return tasks that each run FAN_IN blocks one after the other, with the tree's first partial sum of them.

    A block is let go when its own sums are made, as in a task of its own.
    """
    groups = []
    for number, at in enumerate(range(0, len(runs), FAN_IN)):
        members = runs[at : at + FAN_IN]
        total = Task((name, number), _add_all, *(TaskRef(run.key) for run in members))
        groups.append(_fuse(*members, total))
    return groups


def _second_reading(blocks: Blocks, lazy: Sequence[Delayed], token: str) -> tuple[dict, dict]:
    """Give a pass that waits for another its own copies of the tasks that several blocks share.

    Were they common to both passes, they would be held from the first to the second.  The copies'
    first tasks wait for what the pass waits for.  Data in memory stays as it is.
    """
    mine = {key: node for key, node in blocks.shared.items() if isinstance(node, Task)}
    if not lazy or not mine:
        return blocks.shared, {}
    names: dict[Key, Any] = {key: (f"reload-{token}", number) for number, key in enumerate(mine)}
    tasks = {key: node for key, node in blocks.shared.items() if key not in mine}
    for key, node in mine.items():
        copy = node.substitute(names, key=names[key])
        tasks[names[key]] = copy if copy.dependencies else Task(names[key], _after, TaskRef(lazy[0].key), copy)
    return tasks, names


def apply(function: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
    """Return, lazily, a function of lazy or present values, as one task.

    Parameters
    ----------
    function : callable
        A function at a module's top level.
    *arguments : object or Delayed
        Its arguments.
    name : str
        What the dashboard calls the task.

    Returns
    -------
    Delayed
        The result.
    """
    key = f"{name}-{tokenize(function, arguments)}"
    task = Task(key, function, *(_reference(value) for value in arguments))
    return _delayed(key, {key: task}, [value for value in arguments if isinstance(value, Delayed)], {})


def map_rows(function: Callable[..., np.ndarray], parts: dict[str, Any], like: Any, *, name: str) -> Any:
    """Return, lazily, a function of each row block, in the kind of collection it came in.

    Parameters
    ----------
    function : callable
        ``(x, **others)`` to an array with one row, or one value, for each row; picklable.
    parts : dict
        ``x``, a dask Array of shape (n, p) or a dask DataFrame, and by the function's names its other
        arguments: dask Arrays of shape (n,), dask Series, or None, which is left out.
    like : ndarray of shape (0,) or (0, k), Series or DataFrame
        What a block without rows gives, index included for frames.
    name : str
        What the dashboard calls the tasks.

    Returns
    -------
    dask Array, dask Series or dask DataFrame
        One row, or one value, for each row of ``x``.
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
    return function(**dict(zip(names, parts, strict=True)))


def _map_frame(*parts: Any, task: Callable[..., np.ndarray], like: Any) -> Any:
    values = task(*parts)
    if isinstance(like, pd.Series):
        return pd.Series(values, index=parts[0].index, name=like.name)
    return pd.DataFrame(values, index=parts[0].index, columns=like.columns)


def _delayed(key: str, tasks: dict, lazy: Sequence[Delayed], annotations: dict[str, Any]) -> Delayed:
    with dask.annotate(**annotations):
        graph = HighLevelGraph.from_collections(key, tasks, dependencies=list(lazy))  # type: ignore[arg-type]
    return Delayed(key, graph)


def _reference(value: Any) -> Any:
    return TaskRef(value.key) if isinstance(value, Delayed) else value


def _plan(kernel: Callable[..., Any], model: Any) -> tuple:
    return kernel, model


def _after(_: Any, value: Any) -> Any:
    return value


def _run_block(block: Any, plan: tuple, classes: Any, arguments: Sequence[Any], number: int, start: int | None) -> Any:
    kernel, model = plan
    (found,) = np.ravel(block) if isinstance(block, np.ndarray) else block
    parts = {name: getattr(found, name) for name in _FIELDS}
    return run_kernel(Block(**parts, number=number, start=start), kernel, model, classes, tuple(arguments))


def _add_all(*records: Any) -> Any:
    return reduce(add, records)


def _finish(*records: Any) -> Any:
    total = reduce(add, records)
    if isinstance(total, Findings):
        total.raise_error()
    return total
