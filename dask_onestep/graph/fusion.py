"""Several tasks as one."""

from collections.abc import Callable
from typing import Any

from dask.task_spec import GraphNode, List, Task, TaskRef
from dask.typing import Key

from dask_onestep.graph.cluster import this_worker


def fuse(*steps: Any) -> Task:
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


def is_task(node: Any) -> bool:
    """Return whether a node of a graph is a task or an alias of one, and not data in memory."""
    return isinstance(node, Task) or (isinstance(node, GraphNode) and bool(node.dependencies))


def naming_block(task: Task, where: str) -> Task:
    """Return a task whose errors, especially those of a load, name the block."""
    return Task(task.key, _run_noting, task.func, where, *task.args, _data_producer=task.data_producer, **task.kwargs)


def noting(named: Task, function: Callable[..., Any], *args: Any) -> Any:
    """Return a function's result; its errors name the block of a task."""
    return _run_noting(function, named.args[1], *args)


def _run_noting(function: Callable[..., Any], where: str, /, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        worker = this_worker()
        error.add_note(f"{where} On {worker}." if worker else where)
        raise
