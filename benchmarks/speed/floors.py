"""What our own fits are measured from: the same kernels in plain threads and in bare graphs, X'X and the reading of X.

Blocks are those of the problem, taken in turn by as many threads as Dask has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import count
from typing import Any

import numpy as np
from dask.task_spec import DataNode, GraphNode, Task, TaskRef
from dask.threaded import get

from dask_onestep import OneStep
from dask_onestep.families import resolve_family
from dask_onestep.graph import FAN_IN
from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import add_all
from dask_onestep.kernels.rows.block import run_kernel
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import resolve_link
from dask_onestep.methods import Estimate, Look, Pass, Problem, Settle
from dask_onestep.methods.requests import Plan

__all__ = ["full_pass", "gram", "one_step", "one_step_in_graphs", "reading", "score_pass"]


@dataclass(frozen=True)
class Parts:
    """Blocks that lie in memory, in the place of tasks that yield them."""

    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def n_rows(self) -> int:
        return sum(len(block.y) for block in self.blocks)

    @property
    def weighted(self) -> bool:
        return False


@dataclass(frozen=True)
class InThreads(Problem):
    """A problem without Dask: its passes run in a pool of threads, all else where it is called."""

    pool: Executor = field(kw_only=True)

    def apply(self, function: Callable[..., Any], *arguments: Any, name: str) -> Any:
        return function(*arguments)

    def answer(self, request: Pass | Settle | Look) -> Any:
        """Return the answer to what a plan asks for; handles are values."""
        if not isinstance(request, Pass):
            return request.handle
        about = {"kernel": request.kernel, "model": request.model, "classes": request.classes}
        level = list(self.pool.map(partial(run_kernel, **about, arguments=request.arguments), self.blocks.blocks))
        while len(level) > 1:
            level = [add_all(level[at : at + FAN_IN]) for at in range(0, len(level), FAN_IN)]
        return level[0]


@dataclass(frozen=True)
class Node:
    """The result of a task, by its key, and the tasks that lead to it."""

    key: Any
    tasks: dict[Any, GraphNode]


@dataclass(frozen=True)
class InGraphs(Problem):
    """A problem whose tasks are passed to Dask's threads unchanged: no collection, no names that tell data apart."""

    threads: int = field(kw_only=True)
    numbers: Iterator[int] = field(default_factory=count)

    def apply(self, function: Callable[..., Any], *arguments: Any, name: str) -> Node:
        key, tasks = (name, next(self.numbers)), {}
        for value in arguments:
            tasks |= value.tasks if isinstance(value, Node) else {}
        refs = (TaskRef(value.key) if isinstance(value, Node) else value for value in arguments)
        return Node(key, tasks | {key: Task(key, function, *refs)})

    def answer(self, request: Pass | Settle | Look) -> Any:
        """Return the answer to what a plan asks for; handles are nodes."""
        if isinstance(request, Pass):
            return self._tree(request)
        node = request.handle
        value = get(node.tasks, node.key, num_workers=self.threads)
        return value if isinstance(request, Look) else Node(node.key, {node.key: DataNode(node.key, value)})

    def _tree(self, request: Pass) -> Node:
        about, name = (request.kernel, request.model, request.classes, *request.arguments), request.name
        level = [self.apply(_run_block, block, *about, name=name) for block in self.blocks.blocks]
        while len(level) > 1:
            level = [self.apply(_add_all, *level[at : at + FAN_IN], name=name) for at in range(0, len(level), FAN_IN)]
        return level[0]


def follow(problem: InThreads | InGraphs, plan: Plan) -> Estimate:
    """Return the estimate that a plan leads to, each request answered as it comes."""
    answer = None
    while True:
        try:
            with one_blas_thread(), np.errstate(all="ignore"):  # as in tasks
                request = plan.send(answer)
        except StopIteration as end:
            found = end.value
            return found if isinstance(found, Estimate) else problem.answer(Look(found))
        answer = problem.answer(request)


def _run_block(block: Block, kernel: Callable[..., Any], model: Model, classes: Any, *arguments: Any) -> Any:
    return run_kernel(block, kernel, model, classes, arguments)


def _add_all(*records: Any) -> Any:
    return add_all(records)


def one_step(X, y, problem) -> Callable[[], np.ndarray]:
    """Return the one-step fit: the package's own method and kernels, its sums added as Dask's tree adds them."""
    pool, model, blocks = ThreadPoolExecutor(problem["threads"]), _model(X, problem), _blocks(X, y, problem)
    whole = InThreads(model, Parts(blocks), pool=pool)
    return lambda: follow(whole, OneStep().plan(whole)).coef


def one_step_in_graphs(X, y, problem) -> Callable[[], np.ndarray]:
    """Return the same fit with its tasks in Dask's threads: what is not the package's own."""
    model, blocks = _model(X, problem), _blocks(X, y, problem)
    whole = InGraphs(model, Parts(blocks), threads=problem["threads"])
    return lambda: follow(whole, OneStep().plan(whole)).coef


def full_pass(X, y, problem) -> Callable[[], None]:
    """Return one pass for log-likelihood, score and information, at coefficients near those of the problem."""
    return _pass(X, y, problem, moments)


def score_pass(X, y, problem) -> Callable[[], None]:
    """Return one pass for only the score, at the same coefficients."""
    return _pass(X, y, problem, scores)


def _pass(X, y, problem, kernel: Callable[..., Any]) -> Callable[[], None]:
    pool, model, blocks = ThreadPoolExecutor(problem["threads"]), _model(X, problem), _blocks(X, y, problem)
    classes = np.array([0.0, 1.0]) if model.classify else None
    coef = np.r_[0.5, np.full(X.shape[1], 0.1)]

    whole = InThreads(model, Parts(blocks), pool=pool, classes=classes)

    def fit():
        whole.answer(whole.total(kernel, coef, name="pass"))

    return fit


def gram(X, y, problem) -> Callable[[], None]:
    return _over_slices(X, problem, lambda rows: np.dot(rows.T, rows))


def reading(X, y, problem) -> Callable[[], None]:
    return _over_slices(X, problem, np.sum)


def _over_slices(X, problem, task: Callable[[np.ndarray], Any]) -> Callable[[], None]:
    pool, chunks = ThreadPoolExecutor(problem["threads"]), [X[at] for at in _slices(len(X), problem["chunks"])]

    def fit():
        with one_blas_thread():
            reduce(np.add, pool.map(task, chunks))

    return fit


def _model(X, problem) -> Model:
    family = resolve_family(problem["family"])
    names = tuple(f"x{number}" for number in range(X.shape[1]))
    return Model(
        OnePredictor(family, resolve_link(family.default_link)), names, classify=problem["family"] == "binomial"
    )


def _blocks(X, y, problem) -> tuple[Block, ...]:
    found = []
    for number, at in enumerate(_slices(len(X), problem["chunks"])):
        found.append(Block(X[at], y[at], None, None, None, number=number, start=at.start))
    return tuple(found)


def _slices(rows: int, chunks: int) -> Iterator[slice]:
    return (slice(start, start + chunks) for start in range(0, rows, chunks))
