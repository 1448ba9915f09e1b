"""How kernels are run on a block: checks first, single-threaded BLAS, and findings instead of wrong sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.designs.split_matrix import written
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Failure, Findings, Joined, Read, add_pairwise
from dask_onestep.kernels.rows.checks import check_of, inspect_columns, oversized_columns, usable_rows
from dask_onestep.kernels.rows.rows import Traits, encode, hold, traits_of
from dask_onestep.kernels.rows.slices import room
from dask_onestep.kernels.solve.threads import one_blas_thread

# Errors that end one of several models but not the others; lost workers and lack of memory end all.
MODEL_ERRORS = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError)


@dataclass(frozen=True)
class Call:
    """A kernel with all its arguments except rows.

    Attributes
    ----------
    kernel : callable
        (rows, model, …) to a record with ``+``.
    model : Model
        The model.
    classes : ndarray or None
        As for `read_block`.
    arguments : tuple
        Further arguments of the kernel.
    """

    kernel: Callable[..., Any]
    model: Model
    classes: np.ndarray | None
    arguments: tuple

    def __call__(self, rows: Rows) -> Any:
        """Return the kernel's record for prepared rows."""
        return self.kernel(rows, self.model, *self.arguments)

    @property
    def traits(self) -> Traits:
        """How the kernel is run."""
        return traits_of(self.kernel)


@dataclass(frozen=True)
class Joint:
    """Several kernels that read the same rows: rows are built once for all of them.

    Attributes
    ----------
    kernels : tuple of (callable, Model, int)
        Each kernel, its model, and its number of consecutive arguments, of which classes are the last.
    """

    kernels: tuple[tuple[Callable[..., Any], Any, int], ...]

    def calls(self, arguments: tuple) -> list[Call]:
        """Return each kernel with its own arguments."""
        calls, at = [], 0
        for kernel, model, count in self.kernels:
            calls.append(Call(kernel, model, arguments[at + count], tuple(arguments[at : at + count])))
            at += count + 1
        return calls


@dataclass(frozen=True)
class Apart:
    """Kernels of several designs that read the same blocks: each design builds its own rows of its own columns.

    Attributes
    ----------
    designs : tuple of (Joint, Model, tuple of str or None, int)
        The kernels of each design, its model, the columns of the frame that it reads (None for all), and the number of
        consecutive arguments.
    """

    designs: tuple[tuple[Joint, Model, tuple[str, ...] | None, int], ...]

    def read(self, block: Block, arguments: tuple) -> Joined:
        """Return the `Read` of each design; an error in one does not end the others."""
        reads, at = [], 0
        for joint, model, columns, count in self.designs:
            own = block if columns is None else replace(block, x=block.x[list(columns)])
            try:
                reads.append(read_block(own, joint, model, None, arguments[at : at + count]))
            except MODEL_ERRORS as error:
                reads.append(Read(Failure(error), None))
            at += count
        return Joined(tuple(reads))


def runs_on_joined(kernel: Callable[..., Any] | Joint | Apart) -> bool:
    """Return whether blocks may be joined before a kernel is run, as its sums do not depend on them."""
    if isinstance(kernel, Apart):
        return False
    kernels = [each for each, _, _ in kernel.kernels] if isinstance(kernel, Joint) else [kernel]
    return not any(traits.whole or traits.raw or traits.by_block for traits in map(traits_of, kernels))


def run_kernel(
    block: Block, kernel: Callable[..., Any] | Joint, model: Model, classes: np.ndarray | None, arguments: tuple
) -> Any:
    """Return ``kernel(rows, model, *arguments)`` for a block, or what is wrong with the block."""
    return read_block(block, kernel, model, classes, arguments).record


def read_block(
    block: Block, kernel: Callable[..., Any] | Joint | Apart, model: Any, classes: np.ndarray | None, arguments: tuple
) -> Read:
    """Return ``kernel(rows, model, *arguments)`` for a block, or what is wrong with the block, and in which file."""
    with room(*getattr(block.x, "shape", (0,))[:1]):
        read = _read(block, kernel, model, classes, arguments)
    if block.source is None or not isinstance(read.record, Findings):
        return read
    return replace(read, record=replace(read.record, sources=(block.source,)))


def _read(
    block: Block, kernel: Callable[..., Any] | Joint | Apart, model: Any, classes: np.ndarray | None, arguments: tuple
) -> Read:
    if isinstance(kernel, Apart):
        return Read(kernel.read(block, arguments), None)
    if isinstance(kernel, Joint):
        return _run_joint(block, model, kernel.calls(arguments))
    call = Call(kernel, model, classes, arguments)
    if call.traits.raw:
        return Read(kernel(block, model, *arguments), None)
    if call.traits.whole:
        return _run(block, call)
    return add_pairwise(_run(part, call) for part in block.pieces(model))


def _run(block: Block, call: Call) -> Read:
    rows = usable_rows(block, call.model)
    return (
        Read(rows, None)
        if isinstance(rows, Findings)
        else Read(_of_rows(rows, call), check_of(rows, block, call.model))
    )


def _of_rows(rows: Rows, call: Call) -> Any:
    traits, model = call.traits, call.model
    encoded = encode(rows if traits.sliced else replace(rows, x=written(rows.x)), call.classes)
    if isinstance(encoded, Findings):
        return encoded
    if traits.checked == "before" and (found := inspect_columns(encoded, model)):
        return found
    # Overflow in single rows shows in the sums and is handled there; NumPy's warnings state neither where nor why.
    with one_blas_thread(), np.errstate(all="ignore"):
        result = call(encoded if traits.columns == "all" else hold(encoded, model))
    if traits.checked == "after" and not result.is_finite():
        # The sums are not finite, so the search for the cause is worth its cost.
        return inspect_columns(encoded, model) or oversized_columns(encoded, model) or result
    return result


def _run_joint(block: Block, model: Model, calls: Sequence[Call]) -> Read:
    """Return every call's record; those of kernels that run on pieces are computed piece by piece."""
    in_pieces = [call for call in calls if not call.traits.whole]
    whole = [call for call in calls if call.traits.whole]
    records: dict[int, Any] = {}
    check = None
    for group, parts in ((in_pieces, block.pieces(model)), (whole, [block])):
        if not group:
            continue
        total = add_pairwise(_run_each(part, model, group) for part in parts)
        if isinstance(total.record, Findings):
            return total
        records |= {id(call): part for call, part in zip(group, total.record.parts, strict=True)}
        check = total.check
    return Read(Joined(tuple(records[id(call)] for call in calls)), check)


def _run_each(block: Block, model: Model, calls: Sequence[Call]) -> Read:
    rows = usable_rows(block, model)
    if isinstance(rows, Findings):
        return Read(rows, None)
    check = check_of(rows, block, model)
    if not all(call.traits.sliced for call in calls):
        rows = replace(rows, x=written(rows.x))
    return Read(Joined(tuple(_attempt(rows, call) for call in calls)), check)


def _attempt(rows: Rows, call: Call) -> Any:
    """Return a call's record, or the error that ended it, which does not end the others."""
    if failed := [value for value in (*call.arguments, call.classes) if isinstance(value, Failure)]:
        return failed[0]
    try:
        return _of_rows(rows, call)
    except MODEL_ERRORS as error:
        return Failure(error)
