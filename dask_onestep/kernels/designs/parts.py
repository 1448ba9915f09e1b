"""Row data, and the rows of one block: unprepared, and usable by the kernels; columns of a table as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np
import pandas as pd

from dask_onestep.kernels.compiled.accelerate import loop
from dask_onestep.kernels.designs.expressions import as_series
from dask_onestep.kernels.designs.levels import indexed
from dask_onestep.kernels.records import Record

# The key of a frame's ``attrs`` under which a reader puts the file or row groups that it has read.
SOURCE = "source"

# Maximum size of a piece of a block: of the matrix that a frame becomes, and of an existing matrix.
MATRIX_BYTES, ARRAY_BYTES = 16 * 2**20, 64 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Table(Record):
    """Columns of a table as arrays; what is common to it and a DataFrame has the same names.

    A DataFrame's index and Series cost more than the kernels of a block with few rows.

    Attributes
    ----------
    columns : dict of str to ndarray or pandas array of shape (m,)
        The columns by name.
    length : int
        Number of rows.
    """

    columns: dict[str, Any]
    length: int

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Table:
        """Return the columns of a DataFrame, without a copy."""
        columns: Any = frame.items()
        return cls({name: values_at(column, None) for name, column in columns}, len(frame))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, names: Any) -> Any:
        """Return a column, or a table of a list of columns."""
        if isinstance(names, list):
            return replace(self, columns={name: self.columns[name] for name in names})
        return self.columns[names]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.length, len(self.columns)

    @property
    def dtypes(self) -> dict[str, Any]:
        """The columns' dtypes."""
        return {name: values.dtype for name, values in self.columns.items()}

    @property
    def index(self) -> pd.Index:
        """The rows' numbers."""
        return pd.RangeIndex(self.length)

    @property
    def nbytes(self) -> int:
        """Approximate memory: a pass over the objects of a column would take too long."""
        return 8 * self.length * len(self.columns)

    def astype(self, kinds: Mapping[str, Any]) -> Table:
        """Return a table with some columns converted."""
        return replace(self, columns=self.columns | {name: self[name].astype(kind) for name, kind in kinds.items()})

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame."""
        rows = pd.DataFrame(dict(enumerate(map(as_series, self.columns.values()))), self.index, copy=False)
        rows.columns = list(self.columns)
        return rows


TableLike = Table | pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Parts(Record):
    """Everything that rows have; further row data must be declared here.

    Attributes
    ----------
    x : array-like of shape (m, p)
        Covariates.
    y : array-like of shape (m,) or None
        Response, or labels.
    weights, offset, groups : array-like of shape (m,) or None
        As passed to ``fit``; groups are cluster labels.
    """

    x: Any
    y: Any = None
    weights: Any = None
    offset: Any = None
    groups: Any = None

    def each(self, function: Callable[[Any], Any]) -> dict[str, Any]:
        """Return a function of each part by its name; None for a missing part."""
        return {name: None if (part := getattr(self, name)) is None else function(part) for name in PARTS}

    def rows_at(self, index: np.ndarray | slice) -> Self:
        """Return the rows with these numbers, in this order."""
        return replace(self, **self.each(lambda part: taken(part, index)))


PARTS = tuple(field.name for field in fields(Parts))


@dataclass(frozen=True, slots=True, eq=False)
class Block(Parts):
    """An unprepared row block; `y` is None if the model's design takes it from `x`, a frame.

    Attributes
    ----------
    number : int
        The block's number, from 0.
    start : int or None
        The global number of its first row, if chunk sizes are known.
    first : int
        Where a slice of a block begins within it.
    length : int or None
        The rows of the block that it is a slice of, if it is one.
    reloaded : bool
        Whether every pass loads it again, so that it may change.
    members : tuple of (int, int)
        Number and rows of each of the blocks that it was joined from, if it was.
    source : str or None
        The file or row groups that it was read from, if they are known.
    """

    number: int = 0
    start: int | None = 0
    first: int = 0
    length: int | None = None
    reloaded: bool = False
    members: tuple[tuple[int, int], ...] = ()
    source: str | None = None

    def pieces(self, model: Any) -> Iterator[Block]:
        """Yield the block, in pieces if its matrix is large.

        A frame's columns are small compared with the matrix that they become. A piece's rows are added slice by slice,
        which rounds as many times as there are slices.
        """
        width = 8 * len(model.columns) if model.design is None else model.design.row_bytes
        most = ARRAY_BYTES if isinstance(self.x, np.ndarray) else MATRIX_BYTES
        length = max(1, most // max(width, 8))
        if not isinstance(self.x, (Table, pd.DataFrame, np.ndarray)) or len(self.x) <= length:
            yield self
            return
        for begin in range(0, len(self.x), length):
            at = slice(begin, begin + length)
            parts = self.each(partial(taken, index=at))
            start = None if self.start is None else self.start + begin
            yield replace(self, start=start, first=self.first + begin, length=len(self.x), **parts)


def joined(blocks: Sequence[Block]) -> Block | None:
    """Return consecutive blocks as one; None if their columns are not alike."""
    parts: dict[str, Any] = {}
    for name in PARTS:
        own = [getattr(block, name) for block in blocks]
        if all(part is None for part in own):
            continue
        kinds = [_kinds(part) for part in own]
        if None in kinds or any(kind != kinds[0] for kind in kinds):
            return None
        if isinstance(own[0], Table):
            parts[name] = Table.of(pd.concat([table.frame() for table in own]))
        else:
            parts[name] = np.concatenate(own) if isinstance(own[0], np.ndarray) else pd.concat(own)
    return replace(blocks[0], members=tuple((block.number, len(block.x)) for block in blocks), **parts)


def _kinds(part: Any) -> list[Any] | None:
    """Return names and dtypes of columns, with the categories in their order; None for what is not joined."""
    if type(part) is np.ndarray:
        return [(part.shape[1:], part.dtype)]
    if not isinstance(part, (Table, pd.DataFrame, pd.Series)):
        return None
    kinds = [(part.name, part.dtype)] if isinstance(part, pd.Series) else part.dtypes.items()
    return [
        (name, kind, kind.categories.tolist() if isinstance(kind, pd.CategoricalDtype) else ()) for name, kind in kinds
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Rows(Parts):
    """The usable rows of a block, ready for the kernels.

    Covariates are an aligned ndarray or a `SplitMatrix`, of any float or integer dtype, without the constant; `y` is
    float64, or unencoded labels; weights and offset are float64.

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
    length : int or None
        As of a `Block`.
    raw : Table or None
        All rows of the block as in the table, for a model with a design.
    present : ndarray or None
        Row numbers of those with positive weight, if not all have.
    members : tuple of (int, int)
        As of a `Block`.
    """

    number: int = 0
    start: int | None = 0
    kept: np.ndarray | None = None
    n_missing: int = 0
    first: int = 0
    length: int | None = None
    raw: Table | None = None
    present: np.ndarray | None = None
    members: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def places(self, index: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each row's own block, and the row's number there; of all rows or of some."""
        rows = np.arange(len(self)) if index is None else index
        rows = self.first + (rows if self.kept is None else self.kept[rows])
        if not self.members:
            return np.full(len(rows), self.number), rows
        numbers, lengths = np.array(self.members).T
        ends = np.cumsum(lengths)
        at = np.searchsorted(ends, rows, side="right")
        return numbers[at], rows - (ends - lengths)[at]

    @property
    def row_weights(self) -> np.ndarray:
        """The weights, 1 for each row if there are none."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @property
    def total_weight(self) -> float:
        """Σ wᵢ."""
        return float(len(self) if self.weights is None else self.weights.sum())

    def take(self, index: np.ndarray) -> Rows:
        """Return the rows selected by an index or a mask."""
        where = rows_where(index) if index.dtype == bool else index
        return replace(self.rows_at(where), kept=where if self.kept is None else self.kept[where])


def rows_where(mask: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows where a mask is true."""
    out = np.empty(np.count_nonzero(mask) + 1, np.int64)
    loop("find", _find)(np.ascontiguousarray(mask), out)
    return out[:-1]


def _find(mask: np.ndarray, out: np.ndarray) -> None:
    out[:-1] = np.flatnonzero(mask)


def taken(part: Any, index: np.ndarray | slice | None) -> Any:
    """Return the rows of an array with these numbers, in this order, or all of them; None for None."""
    if part is None or index is None:
        return part
    if isinstance(part, Table):
        length = len(range(len(part))[index]) if isinstance(index, slice) else len(index)
        return Table({name: taken(values, index) for name, values in part.columns.items()}, length)
    if isinstance(index, slice):
        return part.iloc[index] if hasattr(part, "iloc") else part[index]
    # ndarray.take moves whole rows, in half the time of indexing; with another layout it would first copy everything.
    if isinstance(part, np.ndarray) and part.flags.c_contiguous:
        return part.take(index, axis=0)
    if isinstance(part, pd.DataFrame):
        columns = {at: values_at(column, index) for at, (_, column) in enumerate(part.items())}
        rows = pd.DataFrame(columns, pd.RangeIndex(len(index)), copy=False)
        rows.columns = part.columns
        return rows
    if isinstance(part, pd.Series):
        return pd.Series(values_at(part, index), name=part.name, copy=False)
    if isinstance(part, pd.api.extensions.ExtensionArray):
        return values_at(part, index)
    if isinstance(part, list):
        return [part[row] for row in index]
    if hasattr(part, "tocsr"):
        return part.tocsr()[index]
    return part[index]


def concatenated(parts: Sequence[np.ndarray], chosen: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Return the rows of arrays of one dtype, or those chosen from each; every row is copied once."""
    if chosen is None:
        return np.concatenate(parts)
    ends = np.cumsum([len(index) for index in chosen])
    out = np.empty((ends[-1], *parts[0].shape[1:]), parts[0].dtype)
    for part, index, end in zip(parts, chosen, ends, strict=True):
        np.take(part, index, axis=0, out=out[end - len(index) : end], mode="clip")  # "raise" would make another copy
    return out


@lru_cache
def labels_of(names: tuple[str, ...]) -> pd.Index:
    """Return the columns of a frame: one index for all blocks, each of which would make a hash table of its own.

    Labels are objects, since each look-up takes twice the time where they are strings of Arrow.
    """
    labels = pd.Index(names, dtype=object)
    return indexed(labels) if labels.is_unique else labels


def values_at(column: Any, index: np.ndarray | None) -> Any:
    """Return a column, or some rows of it, as an array; pandas would first search the index for negative numbers."""
    values = column
    if isinstance(column, pd.Series):
        values = column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
    if index is None:
        return values
    if isinstance(values, pd.Categorical):
        return pd.Categorical.from_codes(values.codes.take(index), dtype=values.dtype, validate=False)
    return values.take(index)
