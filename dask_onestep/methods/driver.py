"""The one driver: it runs a plan, or several that share every pass over the data.

All plans go on until each waits for a pass or for a computation.  Computations come first, all in one; then the passes,
all in one reading of the data: a block's rows are built once, and each kernel gets the view that its model has of them.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

import cloudpickle
import numpy as np
from dask.delayed import Delayed
from dask.tokenize import tokenize

from dask_onestep.graph import Blocks, apply, tree_sum
from dask_onestep.graph.cluster import await_cluster
from dask_onestep.graph.lazy import compute
from dask_onestep.graph.progress import persist_shown
from dask_onestep.graph.workers import check_workers
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Failure, Findings, Joined, Numbering, Read, RowCheck
from dask_onestep.kernels.rows.block import Apart, Joint
from dask_onestep.kernels.rows.rows import traits_of
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Made, Pass, Plan, Settle, Source

# What the records of one joined pass may take in one task of the tree; beyond it plans go in batches.
JOINT_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a plan ended.

    Attributes
    ----------
    value : object
        What it returned; a handle, if the problem is lazy.
    n_passes : int
        Passes that it asked for, whoever shared them.
    check : RowCheck or None
        What the first pass has found of the rows.
    """

    value: Any
    n_passes: int
    check: RowCheck | Delayed | None = None


def run(problem: Problem, plan: Plan, *, before: int = 0, check: RowCheck | Delayed | None = None) -> Outcome:
    """Run one plan."""
    return run_all(problem, [plan], before=before, check=check)[0]


def run_all(
    problem: Problem, plans: Sequence[Plan], *, before: int = 0, check: RowCheck | Delayed | None = None
) -> list[Outcome]:
    """Run several plans on the same data, which share every pass.

    Plans run as tasks do, with one BLAS thread, hence the same bits; setting this limit once takes less time than anew
    in each task.
    """
    with one_blas_thread():
        return _run_all(problem, plans, before, check)


def _run_all(problem: Problem, plans: Sequence[Plan], before: int, check: Any) -> list[Outcome]:
    driver = Driver(problem, checks={None: check})
    running = [_Running(plan, problem.lazy) for plan in plans]
    for each in running:
        each.send(None)
    while waiting := [each for each in running if each.request is not None]:
        computing = [each for each in waiting if not isinstance(each.request, Pass)]
        asking = computing or waiting
        requests: list[Any] = [each.request for each in asking]
        try:
            if computing:
                answers = driver.answer(requests)
            else:
                answers = driver.read(requests, before + max(each.n_passes for each in asking))
        except Exception as error:  # which a plan may handle
            for each in asking:
                each.throw(error)
            continue
        for each, answer in zip(asking, answers, strict=True):
            each.send(answer)
    found = driver.checks.get(None)
    found = found if problem.lazy or not isinstance(found, Delayed) else None
    return [Outcome(each.value, each.n_passes, found) for each in running]


@dataclass(eq=False)
class _Running:
    """A plan under way: what it waits for, and how it ended."""

    plan: Plan
    lazy: bool
    request: Pass | Settle | Look | None = None
    value: Any = None
    n_passes: int = 0
    ended: bool = False

    def send(self, answer: Any) -> None:
        """Go on to the next request."""
        if self.ended:
            self.value, self.request = answer, None
        elif isinstance(answer, Failure):
            self.throw(answer.error)
        else:
            self._go(lambda: self.plan.send(answer))

    def throw(self, error: Exception) -> None:
        """Go on with an error, which the plan may handle."""
        if self.ended:
            raise error
        self._go(lambda: self.plan.throw(error))

    def _go(self, step: Callable[[], Any]) -> None:
        try:
            with np.errstate(all="ignore"):  # as in tasks: NumPy's warnings say neither where nor why
                self.request = step()
        except StopIteration as stop:
            self.ended, self.value = True, stop.value
            wanted = isinstance(stop.value, Delayed) and not self.lazy
            self.request = Look(stop.value) if wanted else None
            return
        if isinstance(self.request, Made):
            self.n_passes += self.request.n_passes
            self.send(None)
        elif isinstance(self.request, Pass):
            self.n_passes += self.request.is_pass


@dataclass(eq=False)
class Driver:
    """Passes and computations on one data set.

    Attributes
    ----------
    problem : Problem
        The data, and how they are computed.
    pending : list of str
        Names of the passes that were built since the last computation, to be shown.
    checks : dict from Source or None to RowCheck, Delayed or None
        What the first pass has found of the rows, with which every other is compared; of each source of its own.
    """

    problem: Problem
    pending: list[str] = field(default_factory=list)
    checks: dict[Source | None, Any] = field(default_factory=dict)
    blocks: Blocks = field(init=False)

    def __post_init__(self) -> None:
        # Lazy fits share the passes that they have in common.  A fit that computes must not meet the keys of an equal
        # one before it, which a cluster may be about to release.
        self.blocks = self.problem.blocks if self.problem.lazy else self.problem.blocks.renamed()
        if not self.problem.lazy:
            check_workers(self.problem.scheduler)

    def read(self, requests: Sequence[Pass], number: int) -> list[Delayed]:
        """Return a handle for each request, of passes that are built in as few readings as memory allows."""
        if names := dict.fromkeys(request.name for request in requests if request.is_pass):
            self.pending.append(f"pass {number}: {' + '.join(names)}")
        return self._built(requests)

    def _built(self, requests: Sequence[Pass]) -> list[Delayed]:
        if len(requests) == 1 and not requests[0].guarded:
            return [self._alone(requests[0])]
        keys = [tokenize(*(getattr(request, each.name) for each in fields(Pass))) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        handles: dict[str, Delayed] = {}
        for batch in _batches(distinct):
            if len(batch) == 1 and not distinct[batch[0]].guarded:
                handles[batch[0]] = self._alone(distinct[batch[0]])
                continue
            members = {key: distinct[key] for key in batch}
            handles |= self._together(members) if distinct[batch[0]].source is None else self._apart(members)
        return [handles[key] for key in keys]

    def _alone(self, request: Pass) -> Delayed:
        return self._sum(
            request,
            request.kernel,
            request.model,
            *request.arguments,
            name=request.name,
            classes=request.classes,
            record_bytes=request.record_bytes,
        )

    def _together(self, requests: dict[str, Pass]) -> dict[str, Delayed]:
        parts = list(requests.values())
        total = self._sum(
            parts[0],
            _joint(parts),
            parts[0].model.unrestricted,
            *_arguments(parts),
            name=_joint_name(parts),
            record_bytes=sum(part.record_bytes for part in parts),
        )
        return {
            key: apply(_part, total, number, self.problem.blocks.numbering, name=part.name, guarded=part.guarded)
            for number, (key, part) in enumerate(requests.items())
        }

    def _apart(self, requests: dict[str, Pass]) -> dict[str, Delayed]:
        """Return the handles of requests of several designs, in one reading of the data."""
        designs: dict[str, dict[str, Pass]] = {}
        for key, request in requests.items():
            designs.setdefault(_design_of(request), {})[key] = request
        kernels, arguments = [], []
        for members in designs.values():
            parts = list(members.values())
            own = _arguments(parts)
            assert parts[0].source is not None
            kernels.append((_joint(parts), parts[0].model.unrestricted, parts[0].source.columns, len(own)))
            arguments += own
        every = list(requests.values())
        total = tree_sum(
            self.blocks.first() if every[0].first_block else self.blocks,
            Apart(tuple(kernels)),
            None,
            *arguments,
            name=_joint_name(every),
            record_bytes=sum(part.record_bytes for part in every),
        )
        handles = {}
        for at, members in enumerate(designs.values()):
            first = next(iter(members.values()))
            expected = None if first.first_block else self.checks.get(first.source)
            if expected is None and not first.first_block:
                self.checks[first.source] = apply(_check_of, total, at, name=f"{first.name}-check")
            numbering = self.problem.blocks.numbering
            for number, (key, part) in enumerate(members.items()):
                place = (at, number, expected, part.name, numbering)
                handles[key] = apply(_part_of_design, total, *place, name=part.name, guarded=part.guarded)
        return handles

    def _sum(self, request: Pass, kernel: Any, *arguments: Any, **options: Any) -> Delayed:
        """Return the sum over the blocks that a request reads, compared with the first pass over all of them."""
        if request.first_block:
            return tree_sum(self.blocks.first(), kernel, *arguments, **options)
        known = self.checks.get(None)
        if known is not None or traits_of(kernel).raw:
            counted = known.n + known.n_missing if isinstance(known, RowCheck) else None
            return tree_sum(replace(self.blocks, n_seen=counted), kernel, *arguments, **options, expected=known)
        read = tree_sum(self.blocks, kernel, *arguments, **options, checked=True)
        unique = not self.problem.lazy
        self.checks[None] = apply(attrgetter("check"), read, name=f"{options['name']}-check", unique=unique)
        return apply(attrgetter("record"), read, name=f"{options['name']}-sum", unique=unique)

    def answer(self, requests: Sequence[Settle | Look]) -> list[Any]:
        """Return the answer to each request, all in one computation."""
        if self.problem.lazy:
            if any(isinstance(request, Look) for request in requests):
                raise ValueError(
                    "fit_delayed: this method iterates until convergence, so it cannot be a single lazy graph. Use "
                    "fit, or a method with a fixed number of passes such as OneStep(steps=2)."
                )
            return [request.handle for request in requests]
        handles: Sequence[Any] = [request.handle for request in requests]
        wanted = [isinstance(request, Look) for request in requests]
        try:
            with _naming_what_cannot_be_pickled(self.problem.model):
                # The first pass's check is computed with its sum: later it would take the pass once more.
                if self.shown or not all(wanted):
                    handles = self._with_checks(handles, self._persist)
                    awaited = [isinstance(request, Settle) and request.awaited for request in requests]
                    await_cluster([handle for handle, wait in zip(handles, awaited, strict=True) if wait])
                looked: Sequence[Any] = [handle for handle, look in zip(handles, wanted, strict=True) if look]
                if looked:
                    looked = self._with_checks(looked, self._compute)
        except Exception:
            # A plan that handles the error of its first pass has no rows yet to compare with.
            self.checks = {source: each for source, each in self.checks.items() if not isinstance(each, Delayed)}
            raise
        values = iter(looked)
        self.pending.clear()
        return [next(values) if look else handle for handle, look in zip(handles, wanted, strict=True)]

    def _with_checks(self, handles: Sequence[Any], computed: Callable[[list[Any]], Sequence[Any]]) -> Sequence[Any]:
        """Return handles as they are after a computation, of which the checks are a part."""
        found = computed([*handles, *self.checks.values()])
        self.checks = dict(zip(self.checks, found[len(handles) :], strict=True))
        return found[: len(handles)]

    def _compute(self, handles: Sequence[Any]) -> tuple[Any, ...]:
        return compute(handles, self.problem.scheduler, alone=self.blocks.single)

    @property
    def shown(self) -> bool:
        """Whether progress is shown: of what is computed of a pass's sum, and reads no data, none is."""
        return self.problem.verbose and bool(self.pending)

    def _persist(self, handles: Sequence[Any]) -> tuple[Any, ...]:
        if self.shown:
            return persist_shown(handles, ", ".join(self.pending), scheduler=self.problem.scheduler)
        return compute(handles, self.problem.scheduler, settled=True, alone=self.blocks.single)


def _batches(requests: dict[str, Pass]) -> Iterator[list[str]]:
    """Yield the keys of requests whose records may be held together."""
    groups: dict[str, list[str]] = {}
    for key, request in requests.items():
        alone = traits_of(request.kernel).raw or isinstance(request.model, Delayed)
        shared = _design_of(request) if request.source is None else tokenize(request.first_block)
        groups.setdefault(key if alone else shared, []).append(key)
    for members in groups.values():
        batch: list[str] = []
        size = 0
        for key in members:
            more = requests[key].record_bytes
            if batch and 3 * (size + more) > JOINT_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(key)
            size += more
        yield batch


def _design_of(request: Pass) -> str:
    """Return what requests have in common whose rows are built once."""
    return tokenize(request.model.unrestricted, request.first_block, request.source)


def _joint(parts: Sequence[Pass]) -> Joint:
    return Joint(tuple((part.kernel, part.model, len(part.arguments)) for part in parts))


def _arguments(parts: Sequence[Pass]) -> list[Any]:
    return [value for part in parts for value in (*part.arguments, part.classes)]


def _joint_name(parts: Sequence[Pass]) -> str:
    return "-and-".join(dict.fromkeys(part.name for part in parts))


def _check_of(total: Joined, at: int) -> RowCheck | None:
    return total.parts[at].check


def _part_of_design(
    total: Joined, at: int, number: int, expected: RowCheck | None, name: str, numbering: Numbering
) -> Any:
    read: Read = total.parts[at]
    if isinstance(read.record, (Findings, Failure)):
        return _part(Joined((read.record,)), 0, numbering)
    if expected is not None and read.check is not None:
        read.check.compare(expected, name)
    return _part(read.record, number, numbering)


def _part(total: Joined, number: int, numbering: Numbering) -> Any:
    part = total.parts[number]
    if isinstance(part, Findings):
        part.raise_error(numbering)
    if isinstance(part, Failure):
        raise part.error
    return part


@contextmanager
def _naming_what_cannot_be_pickled(model: Model) -> Iterator[None]:
    try:
        yield
    except (TypeError, pickle.PicklingError) as error:
        if not any(word in str(error) for word in ("pickle", "serialize")):
            raise
        parts = {"family=": model.family, "link=": model.link}
        guilty = [f"{name}{part!r}" for name, part in parts.items() if not _pickles(part)]
        what = " and ".join(guilty) or "A function or an object in the data's own graph"
        raise TypeError(
            f"{what} cannot be pickled, as other processes require ({error}). Remove locks, open files and "
            "connections from it, or compute in this process: dask.config.set(scheduler='threads')."
        ) from error


def _pickles(part: Any) -> bool:
    try:
        cloudpickle.dumps(part)
    except (TypeError, pickle.PicklingError):
        return False
    return True
