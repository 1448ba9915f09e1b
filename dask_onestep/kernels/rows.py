"""One block's rows: as they arrive, and those that are usable, ready for the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Record
from dask_onestep.kernels.split_matrix import SplitMatrix
from dask_onestep.kernels.threads import aligned

__all__ = [
    "ARRAY_BYTES",
    "MATRIX_BYTES",
    "Block",
    "Rows",
    "additive",
    "embeds",
    "encode",
    "hold",
    "self_checking",
    "taken",
    "unsearched",
]

# A piece's rows: of a matrix that a frame becomes, and of one that is there already.
MATRIX_BYTES, ARRAY_BYTES = 16 * 2**20, 64 * 2**20


@dataclass(frozen=True, slots=True)
class Block(Record):
    """A row block as it arrives, one part per argument of ``fit``.

    Attributes
    ----------
    x : ndarray, sparse array or DataFrame of shape (m, p)
        Covariates.
    y : ndarray or Series of shape (m,), or None
        Response, or labels; None if the model's design takes it from `x`.
    weights, offset, groups : array-like of shape (m,) or None
        As handed to ``fit``.
    number : int
        The block's number, from 0.
    start : int or None
        The global number of its first row, if chunk sizes are known.
    first : int
        Where a slice of a block begins within it.
    """

    x: Any
    y: Any = None
    weights: Any = None
    offset: Any = None
    groups: Any = None
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
            parts = {name: _rows_at(getattr(self, name), at) for name in ("x", "y", "weights", "offset", "groups")}
            start = None if self.start is None else self.start + begin
            yield replace(self, start=start, first=self.first + begin, **parts)


@dataclass(frozen=True, slots=True)
class Rows(Record):
    """The usable rows of a block, ready for the kernels.

    Attributes
    ----------
    x : ndarray or SplitMatrix of shape (m, p)
        Covariates, numeric, aligned, any float or integer dtype, without the constant.
    y : ndarray of shape (m,)
        Response as float64, or labels until they are encoded.
    weights, offset : ndarray of shape (m,) or None
        float64.
    groups : ndarray of shape (m,) or None
        Cluster labels.
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

    x: np.ndarray | SplitMatrix
    y: np.ndarray
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    groups: np.ndarray | None = None
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
        parts = {name: taken(getattr(self, name), where) for name in ("x", "y", "weights", "offset", "groups")}
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
    return part.iloc[at] if hasattr(part, "iloc") else None if part is None else part[at]


def additive(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel that gives the same of a block as ``+`` of its slices, so that large blocks can be sliced.

    Parameters
    ----------
    kernel : callable
        A kernel over all rows.

    Returns
    -------
    callable
        The same.
    """
    kernel.additive = True  # type: ignore[attr-defined]
    return kernel


def self_checking(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel whose sums turn NaN or infinite if any covariate is, so that no search comes first.

    Parameters
    ----------
    kernel : callable
        A kernel over all rows.

    Returns
    -------
    callable
        The same.
    """
    kernel.self_checking = True  # type: ignore[attr-defined]
    return kernel


def unsearched(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel before which covariates are not searched for NaN, as a pass that follows shows them at no cost.

    Parameters
    ----------
    kernel : callable
        A kernel that takes a few rows and reads no others.

    Returns
    -------
    callable
        The same.
    """
    kernel.unsearched = True  # type: ignore[attr-defined]
    return kernel


def embeds(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel that is given all columns, those of fixed coefficients too, which it embeds by itself.

    Parameters
    ----------
    kernel : callable
        A kernel over all rows.

    Returns
    -------
    callable
        The same.
    """
    kernel.embeds = True  # type: ignore[attr-defined]
    return kernel


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

    A multinomial logit has no offset and keeps the columns, which may be free for some classes.

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
    if not model.fixed or model.outcomes:
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
