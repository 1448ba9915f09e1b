"""A pass over the data: a kernel on each block, and a tree that adds the records."""

from collections.abc import Callable, Sequence
from typing import Any

import dask
import numpy as np
from dask.delayed import Delayed
from dask.task_spec import DataNode, List, Task, TaskRef
from dask.tokenize import tokenize
from dask.typing import Key

from dask_onestep.graph.blocks import FAN_IN, Blocks
from dask_onestep.graph.cluster import span
from dask_onestep.graph.fusion import fuse, is_task, naming_block
from dask_onestep.graph.lazy import delayed, reference
from dask_onestep.kernels.designs.parts import PARTS, Block
from dask_onestep.kernels.records import Findings, Numbering, Read, RowCheck, add_all
from dask_onestep.kernels.rows.block import Apart, Joint, read_block

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
    """Return, lazily, the sum over all blocks of what a kernel makes of each: one pass over the data.

    Parameters
    ----------
    blocks : Blocks
        The data.
    kernel : callable
        ``(rows, model, *arguments)`` to a record with ``+``; a function at a module's top level.
    model : Model or Delayed
        Passed to the kernel; its design may be what an earlier pass finds.
    *arguments : object or Delayed
        Passed to the kernel; the pass waits for those that are lazy.
    name : str
        What the dashboard calls the tasks: `name` for the blocks, ``name-partial`` and
        ``name-aggregate`` for the tree; ``name-group`` for tiny blocks that go together.  They are in
        Dask's span ``("dask_onestep", name)``.
    classes : ndarray, Delayed or None
        Labels by which the blocks' y is encoded.
    record_bytes : int
        Memory of one record.  Large ones, as thousands of columns make them, are added in pairs, so that
        few are held at a time.
    expected : RowCheck, Delayed or None
        What an earlier pass over the same data has found, which this one is compared with.
    checked : bool
        Whether to return a `Read`, the sum with such a check.

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
    token = tokenize(blocks, kernel, model, arguments, classes, name)
    shared, renamed = _second_reading(blocks, lazy, token)
    tasks: dict[Key, Any] = dict(shared)
    own: Key
    plan, lazy_model = (f"{name}-plan-{token}",), isinstance(model, Delayed)
    tasks[plan] = Task(plan, _pair, kernel, TaskRef(model.key)) if lazy_model else DataNode(plan, (kernel, model))
    refs = List(*(reference(value) for value in arguments))
    runs: list[Task] = []
    for at, (key, start) in enumerate(zip(blocks.keys, blocks.starts, strict=True)):
        number = blocks.first_number + at
        own = (f"{name}-{token}", number)
        run = Task(
            own, _run_block, TaskRef(key), TaskRef(plan), reference(classes), refs, number, start, blocks.reloaded
        )
        members = (node.substitute(renamed) for node in blocks.owned[at]) if renamed else blocks.owned[at]
        runs.append(naming_block(fuse(*members, run), f"In {blocks.numbering.name((number,))} of the pass {name!r}."))
    fan_in = FAN_IN if record_bytes <= _LARGE_RECORD else 2
    grouped = blocks.small and fan_in == FAN_IN
    leaves = _group(runs, f"{name}-group-{token}") if grouped else runs
    tasks |= {task.key: task for task in leaves}
    level: list[Key] = [task.key for task in leaves]
    # Groups are the tree's first partial sums, so that a key means the same rows with and without them.
    depth = int(grouped)
    while len(level) > fan_in:
        partials: list[Key] = [(f"{name}-partial-{token}", depth, i) for i in range(-(-len(level) // fan_in))]
        for i, own in enumerate(partials):
            tasks[own] = Task(own, _add_all, *(TaskRef(key) for key in level[i * fan_in : (i + 1) * fan_in]))
        level, depth = partials, depth + 1
    ends = () if expected is None and not checked else (expected, checked)
    root = f"{name}-aggregate-{tokenize(token, *ends) if ends else token}"
    tasks[root] = Task(
        root, _finish, name, reference(expected), checked, blocks.numbering, *(TaskRef(key) for key in level)
    )
    # The blocks need not wait for what their sum is compared with.
    lazy += [expected] if isinstance(expected, Delayed) else []
    # A span within the data's own, if they were loaded in one.
    with dask.annotate(**blocks.annotations), span(name):
        return delayed(root, tasks, lazy, dask.get_annotations())


def _group(runs: list[Task], name: str) -> list[Task]:
    """Return tasks that each run FAN_IN blocks one after the other, with the tree's first partial sum of them.

    A block is let go when its own sums are made, as in a task of its own.
    """
    groups = []
    for number, at in enumerate(range(0, len(runs), FAN_IN)):
        members = runs[at : at + FAN_IN]
        total = Task((name, number), _add_all, *(TaskRef(run.key) for run in members))
        groups.append(fuse(*members, total))
    return groups


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


def _run_block(
    block: Any, plan: tuple, classes: Any, arguments: Sequence[Any], number: int, start: int | None, reloaded: bool
) -> Read:
    kernel, model = plan
    (found,) = np.ravel(block) if isinstance(block, np.ndarray) else block
    parts = {name: getattr(found, name) for name in PARTS}
    here = Block(**parts, number=number, start=start, reloaded=reloaded)
    return read_block(here, kernel, model, classes, tuple(arguments))


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
