"""One block's rows: as they arrive, and those that are usable, ready for the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Parts
from dask_onestep.kernels.split_matrix import SplitMatrix
from dask_onestep.kernels.threads import aligned

__all__ = [
    "ARRAY_BYTES",
    "MATRIX_BYTES",
    "Block",
    "Rows",
    "Traits",
    "encode",
    "hold",
    "kernel",
    "taken",
    "traits_of",
]

# A piece's rows: of a matrix that a frame becomes, and of one that is there already.
MATRIX_BYTES, ARRAY_BYTES = 16 * 2**20, 64 * 2**20


@dataclass(frozen=True, slots=True)
class Block(Parts):
    """A row block as it arrives; `y` is None if the model's design takes it from `x`, a frame.

    Attributes
    ----------
    number : int
        The block's number, from 0.
    start : int or None
        The global number of its first row, if chunk sizes are known.
    first : int
        Where a slice of a block begins within it.
    """

    number: int = 0
    start: int | None = 0
    first: int = 0

    def pieces(self, model: Model) -> Iterator[Block]:
        """Yield the block, in pieces where its matrix is large.

        A frame's columns are small beside the matrix that they become; and a piece's rows are added one slice
        after the other, which rounds as many times as there are slices.
        """
        width = 8 * len(model.columns) if model.design is None else model.design.row_bytes
        most = MATRIX_BYTES if isinstance(self.x, pd.DataFrame) else ARRAY_BYTES
        length = max(1, most // max(width, 8))
        if not isinstance(self.x, (pd.DataFrame, np.ndarray)) or len(self.x) <= length:
            yield self
            return
        for begin in range(0, len(self.x), length):
            at = slice(begin, begin + length)
            parts = self.each(partial(_rows_at, at=at))
            start = None if self.start is None else self.start + begin
            yield replace(self, start=start, first=self.first + begin, **parts)


@dataclass(frozen=True, slots=True)
class Rows(Parts):
    """The usable rows of a block, ready for the kernels.

    Covariates are an aligned ndarray or a `SplitMatrix`, of any float or integer dtype, without the constant; `y` is
    float64, or labels until they are encoded; weights and offset are float64.

    Attributes
    ----------
    number : int
        The block's number.
    start : int or None
        The global number of the block's first row.
    kept : ndarray of shape (m,) or None
        Row numbers within the block, if rows were dropped.
    n_missing : int
        Rows dropped.
    first : int
        Where a slice of a block begins within it.
    raw : DataFrame or None
        The block as the table has it, all rows, of a model with a design.
    """

    number: int = 0
    start: int | None = 0
    kept: np.ndarray | None = None
    n_missing: int = 0
    first: int = 0
    raw: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Rows:
        """Return the rows that an index or a mask selects."""
        where = np.flatnonzero(index) if index.dtype == bool else index
        parts = self.each(lambda part: taken(part, where))
        return replace(self, kept=where if self.kept is None else self.kept[where], **parts)


def taken(part: Any, index: np.ndarray) -> Any:
    """Return the rows of an array that an index has; None of None.

    Parameters
    ----------
    part : ndarray, SplitMatrix or None
        With one row, or one element, for each row of a block.
    index : ndarray of int
        Numbers of rows.

    Returns
    -------
    ndarray, SplitMatrix or None
        These rows, in the index's order.
    """
    # ndarray.take moves whole rows, in half the time of indexing; of another layout it would first copy all.
    if isinstance(part, np.ndarray) and part.flags.c_contiguous:
        return part.take(index, axis=0)
    if isinstance(part, pd.DataFrame):
        return part.iloc[index]
    return None if part is None else part[index]


def _rows_at(part: Any, at: slice) -> Any:
    return part.iloc[at] if hasattr(part, "iloc") else part[at]


@dataclass(frozen=True, slots=True)
class Traits:
    """How a kernel is run; the defaults are safe for any kernel, and are those of one that declares nothing.

    Attributes
    ----------
    whole : str
        Why it must see all rows of a block at once; empty if it is run on pieces of a large block, whose records are
        added.
    checked : {"before", "after", "later"}
        When covariates are searched for NaN and infinity: before the kernel, after it where its sums are not finite, or
        by a later pass.
    columns : {"free", "all"}
        Whether it sees the columns whose coefficients are estimated, the others moved into the offset, or all columns.
    raw : bool
        Whether it takes the `Block` as it arrives, before it becomes rows.
    """

    whole: str = ""
    checked: str = "before"
    columns: str = "free"
    raw: bool = False


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    whole: str = "",
    checked: str = "before",
    columns: str = "free",
    raw: bool = False,
) -> Callable[..., Any]:
    """Declare how a kernel, a function of rows, model and other arguments to a record with ``+``, is run.

    Parameters
    ----------
    function : callable, optional
        The kernel, where nothing departs from the defaults.
    whole, checked, columns, raw
        As in `Traits`.

    Returns
    -------
    callable
        The same function, declared; or what declares it.

    Examples
    --------
    >>> from dask_onestep.kernels.rows import kernel, traits_of
    >>> @kernel(whole="the median of a block is not a sum over its pieces")
    ... def medians(rows, model): ...
    >>> traits_of(medians).whole
    'the median of a block is not a sum over its pieces'
    """
    if checked not in ("before", "after", "later") or columns not in ("free", "all"):
        raise ValueError(f"Unknown checked={checked!r} or columns={columns!r} of a kernel.")

    def declared(function: Callable[..., Any]) -> Callable[..., Any]:
        function.traits = Traits(whole, checked, columns, raw)  # type: ignore[attr-defined]
        return function

    return declared if function is None else declared(function)


def traits_of(function: Callable[..., Any]) -> Traits:
    """Return how a kernel is run."""
    return getattr(function, "traits", Traits())


def encode(rows: Rows, classes: np.ndarray | None) -> Rows | Findings:
    """Return the rows with labels as 0, 1, …; rows of a regression pass as they are.

    Parameters
    ----------
    rows : Rows
        A block's rows, `y` still labels.
    classes : ndarray of shape (C,) or None
        The labels of the whole data, sorted; None for a regression.

    Returns
    -------
    Rows or Findings
        The same rows with `y` in {0.0, …, C − 1.0}, or the labels that are no class.
    """
    if classes is None:
        return rows
    if len(classes) > 2:
        codes = np.minimum(np.searchsorted(classes, rows.y), len(classes) - 1)
        known = classes[codes] == rows.y
    else:
        codes = rows.y == classes[1]
        known = codes | (rows.y == classes[0])
    if not known.all():
        strange = ~known
        example = rows.y[np.argmax(strange) : np.argmax(strange) + 1].tolist()[0]
        what = f"y has labels that are none of the classes {classes.tolist()}: {example!r} for one"
        cure = "Leave these rows out, or fit again with them."
        return Findings(((what, int(strange.sum()), cure),), (rows.number,))
    if rows.y.dtype == np.float64 and classes.tolist() == [0, 1]:
        return replace(rows, y=aligned(rows.y))  # they are their own codes
    return replace(rows, y=codes.astype(np.float64))


def hold(rows: Rows, model: Model) -> Rows:
    """Return the rows with the columns of fixed coefficients moved into the offset.

    Where there is no offset the columns stay: they may be free for some linear predictors.

    Parameters
    ----------
    rows : Rows
        A block's rows.
    model : Model
        The model.

    Returns
    -------
    Rows
        Rows of the columns that are estimated.
    """
    if not model.fixed or not model.likelihood.takes_offset:
        return rows
    held = dict(model.fixed)
    offset = np.full(len(rows), held.get("intercept", 0.0))
    if rows.offset is not None:
        offset += rows.offset
    for number, name in enumerate(model.columns):
        if held.get(name):
            offset += held[name] * rows.x[:, number]
    free = [number for number, name in enumerate(model.columns) if name not in held]
    x = rows.x[:, free]
    if model.ties:
        x = _tied(rows, model, x, [model.columns[number] for number in free])
    return replace(rows, x=x, offset=offset)


def _tied(rows: Rows, model: Model, x: np.ndarray | SplitMatrix, names: list[str]) -> np.ndarray:
    """Return the columns that are estimated, with those of the coefficients that depend on them added."""
    x = x.toarray() if isinstance(x, SplitMatrix) else x.astype(np.float64)
    for name, others in model.ties:
        column: Any = 1.0
        if name != "intercept":
            part = rows.x[:, [model.columns.index(name)]]
            column = (part.toarray() if isinstance(part, SplitMatrix) else part)[:, 0]
        for other, factor in others:
            x[:, names.index(other)] += factor * column
    return aligned(x)
