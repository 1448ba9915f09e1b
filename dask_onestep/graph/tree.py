"""A pass over the data: a kernel on each block, and a tree that adds the records."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import prod
from typing import Any
from uuid import uuid4

import dask
import numpy as np
import pandas as pd
from dask.delayed import Delayed
from dask.task_spec import DataNode, List, Task, TaskRef
from dask.tokenize import tokenize
from dask.typing import Key

from dask_onestep.graph.blocks import FAN_IN, TINY_BYTES, Blocks
from dask_onestep.graph.cluster import span
from dask_onestep.graph.fusion import fuse, is_task, naming_block, noting
from dask_onestep.graph.lazy import delayed, reference
from dask_onestep.kernels.designs.parts import PARTS, Block, Table, joined
from dask_onestep.kernels.records import Failure, Findings, Joined, Numbering, Read, RowCheck, add_all
from dask_onestep.kernels.rows.block import Apart, Joint, read_block, runs_on_joined

_LARGE_RECORD = 8 * 2**20


def tree_sum(
    blocks: Blocks,
    kernel: Callable[..., Any] | Joint | Apart,
    model: Any,
    *arguments: Any,
    name: str,
    classes: Any = None,
    record_bytes: int = 0,
    expected: Any = None,
    checked: bool = False,
) -> Delayed:
    """Return, lazily, the sum of a kernel over all blocks: one pass over the data.

    Parameters
    ----------
    blocks : Blocks
        The data.
    kernel : callable
        ``(rows, model, *arguments)`` to a record with ``+``; a function at a module's top level.
    model : Model or Delayed
        Passed to the kernel; its design may be the result of an earlier pass.
    *arguments : object or Delayed
        Passed to the kernel; the pass waits for those that are lazy.
    name : str
        Names of the tasks on the dashboard: `name` for the blocks, ``name-partial`` and ``name-aggregate`` for the
        tree; ``name-group`` for groups of tiny blocks.  They are in Dask's span ``("dask_onestep", name)``.
    classes : ndarray, Delayed or None
        Classes by which y is encoded.
    record_bytes : int
        Memory of one record.  Large records (thousands of columns) are added in pairs, so that few are in memory at a
        time.
    expected : RowCheck, Delayed or None
        The check of an earlier pass over the same data, with which this one is compared.
    checked : bool
        Whether to return a `Read`, the sum with its check.

    Returns
    -------
    Delayed
        The sum.  Computing it raises `ValueError` if a block has findings, or the data changed since the earlier pass.

    Examples
    --------
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.families import Poisson
    >>> from dask_onestep.graph import gather, tree_sum
    >>> from dask_onestep.kernels.likelihood.sums import moments
    >>> from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
    >>> from dask_onestep.kernels.model import Model
    >>> from dask_onestep.links import resolve_link
    >>> X, y, coef = make_glm(1000, 2, family="poisson", chunks=250)
    >>> model = Model(OnePredictor(Poisson(), resolve_link("log")), ("x0", "x1"), True)
    >>> sums = tree_sum(gather(X, y), moments, model, coef, name="moments")
    >>> sums.compute().n
    1000
    """
    lazy = [value for value in (*arguments, classes, model) if isinstance(value, Delayed)]
    token = uuid4().hex if blocks.unique else tokenize(blocks, kernel, model, arguments, classes, name)
    shared, renamed = _second_reading(blocks, lazy, token)
    tasks: dict[Key, Any] = dict(shared)
    own: Key
    plan, lazy_model = (f"{name}-plan-{token}",), isinstance(model, Delayed)
    tasks[plan] = Task(plan, _pair, kernel, TaskRef(model.key)) if lazy_model else DataNode(plan, (kernel, model))
    refs = List(*(reference(value) for value in arguments))
    loads = []
    for at, (key, start) in enumerate(zip(blocks.keys, blocks.starts, strict=True)):
        number = blocks.first_number + at
        own = (f"{name}-{token}", number)
        load = Task(own, _as_block, TaskRef(key), number, start, blocks.reloaded)
        members = (node.substitute(renamed) for node in blocks.owned[at]) if renamed else blocks.owned[at]
        loads.append(naming_block(fuse(*members, load), f"In {blocks.numbering.name((number,))} of the pass {name!r}."))
    fan_in = FAN_IN if record_bytes <= _LARGE_RECORD else 2
    size = blocks.together if fan_in == FAN_IN else 1
    leaves = []
    for number, at in enumerate(range(0, len(loads), size)):
        members = tuple(loads[at : at + size])
        own = members[0].key if size == 1 else (f"{name}-group-{token}", number)
        inputs = tuple(dict.fromkeys(key for load in members for key in load.dependencies))
        values = List(*(TaskRef(key) for key in inputs))
        leaves.append(Task(own, _run_blocks, members, inputs, values, TaskRef(plan), reference(classes), refs))
    tasks |= {task.key: task for task in leaves}
    level: list[Key] = [task.key for task in leaves]
    # Groups are the tree's first partial sums, so that a key means the same rows with and without them.
    depth = int(size > 1)
    while len(level) > fan_in:
        partials: list[Key] = [(f"{name}-partial-{token}", depth, i) for i in range(-(-len(level) // fan_in))]
        for i, own in enumerate(partials):
            tasks[own] = Task(own, _add_all, *(TaskRef(key) for key in level[i * fan_in : (i + 1) * fan_in]))
        level, depth = partials, depth + 1
    ends = () if blocks.unique or (expected is None and not checked) else (expected, checked)
    root = f"{name}-aggregate-{tokenize(token, *ends) if ends else token}"
    tasks[root] = Task(
        root, _finish, name, reference(expected), checked, blocks.numbering, *(TaskRef(key) for key in level)
    )
    # The blocks need not wait for what their sum is compared with.
    lazy += [expected] if isinstance(expected, Delayed) else []
    # A span within the data's own, if they were loaded in one.
    with dask.annotate(**blocks.annotations), span(name):
        return delayed(root, tasks, lazy, dask.get_annotations())


def _second_reading(blocks: Blocks, lazy: Sequence[Delayed], token: str) -> tuple[dict, dict]:
    """Give a pass that waits for another its own copies of the tasks that several blocks share.

    Were they common to both passes, they would be held from the first to the second.  The copies'
    first tasks wait for what the pass waits for.  Data in memory is unchanged.
    """
    mine = {key: node for key, node in blocks.shared.items() if is_task(node)}
    if not lazy or not mine:
        return blocks.shared, {}
    names: dict[Key, Any] = {key: (f"reload-{token}", number) for number, key in enumerate(mine)}
    tasks = {key: node for key, node in blocks.shared.items() if key not in mine}
    for key, node in mine.items():
        copy = node.substitute(names, key=names[key])
        tasks[names[key]] = copy if copy.dependencies else Task(names[key], _after, TaskRef(lazy[0].key), copy)
    return tasks, names


def _after(_: Any, value: Any) -> Any:
    return value


def _as_block(block: Any, number: int, start: int | None, reloaded: bool) -> Block:
    (found,) = np.ravel(block) if isinstance(block, np.ndarray) else block
    parts = {name: getattr(found, name) for name in PARTS}
    return Block(**parts, number=number, start=start, reloaded=reloaded, source=found.source)


def _run_blocks(
    loads: tuple[Task, ...],
    inputs: tuple[Key, ...],
    values: Sequence[Any],
    plan: tuple,
    classes: Any,
    arguments: Sequence[Any],
) -> Read:
    """Return the sum over some blocks, which are loaded one after the other and let go when their sums are made.

    Tiny blocks are joined, as each costs more in pandas' and our functions than in sums.
    """
    known = dict(zip(inputs, values, strict=True))
    run = partial(read_block, kernel=plan[0], model=plan[1], classes=classes, arguments=tuple(arguments))
    blocks = ((load(known), load) for load in loads)
    if len(loads) == 1 or not runs_on_joined(plan[0]):
        return add_all([noting(load, run, block) for block, load in blocks])
    return add_all([_run_joined(group, run) for group in _together(blocks)])


def _together(blocks: Iterable[tuple[Block, Task]]) -> Iterator[list[tuple[Block, Task]]]:
    """Yield consecutive blocks together as long as they are tiny."""
    group: list[tuple[Block, Task]] = []
    size = 0.0
    for block, load in blocks:
        own = 8.0 * prod(block.x.shape) if isinstance(block.x, (Table, pd.DataFrame, np.ndarray)) else np.inf
        if group and size + own > TINY_BYTES:
            yield group
            group, size = [], 0.0
        group.append((block, load))
        size += own
    yield group


def _run_joined(group: Sequence[tuple[Block, Task]], run: Callable[[Block], Read]) -> Read:
    if len(group) > 1 and (block := joined([block for block, _ in group])) is not None:
        with suppress(Exception):  # the block at fault is found below
            read = run(block)
            found = read.record.parts if isinstance(read.record, Joined) else (read.record,)
            if not any(isinstance(each, (Findings, Failure)) for each in found):
                return read
    return add_all([noting(load, run, block) for block, load in group])


def _pair(kernel: Callable[..., Any], model: Any) -> tuple:
    return kernel, model


def _add_all(*records: Any) -> Any:
    return add_all(records)


def _finish(name: str, expected: RowCheck | None, checked: bool, numbering: Numbering, *reads: Read) -> Any:
    total = add_all(reads)
    if isinstance(total.record, Findings):
        total.record.raise_error(numbering)
    if expected is not None and total.check is not None:
        total.check.compare(expected, name)
    return total if checked else total.record
