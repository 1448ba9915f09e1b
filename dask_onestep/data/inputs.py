"""Arrays, frames, files and Arrow data as Dask collections with the same blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask import is_dask_collection
from dask.base import tokenize
from dask.dataframe.dispatch import make_meta
from scipy import sparse
from sklearn.utils import check_consistent_length, column_or_1d

from dask_onestep.choices import suggestion
from dask_onestep.data.arrow import ArrowTable, Layout, coded_columns, column_of_arrow, data_columns, frame_of_arrow
from dask_onestep.data.files import is_in_files, open_table
from dask_onestep.data.frames import cut_frame
from dask_onestep.kernels.designs.table import unmasked
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy

# NumPy data is cut into blocks of this size whatever the machine, so that the sums' order is fixed.
_LOCAL_BLOCK_BYTES = 16 * 2**20
# One of these is what NumPy needs to see more than a single object.
_ARRAY_LIKE = ("shape", "__array__", "__len__")
_LABELS = {"y": "y", "weights": "sample_weight", "offset": "offset", "groups": "groups"}


@dataclass(frozen=True, eq=False)
class Data:
    """The parts of a data set, all of one kind and in the same blocks.

    Attributes
    ----------
    x : dask Array or dask DataFrame
        Covariates.
    y, weights, offset, groups : dask Array, dask Series or None
        One value a row.
    columns : tuple of str
        Names of the covariates; ``x0, x1, …`` if they have none.
    local : bool
        Whether the data lies in this process.
    layout : Layout
        What is known of the rows of a frame.
    """

    x: Any
    y: Any
    weights: Any
    offset: Any
    groups: Any
    columns: tuple[str, ...]
    local: bool = False
    layout: Layout = field(default_factory=Layout)

    @property
    def parts(self) -> tuple[Any, ...]:
        """What rows have, and what is known of them, as the graph gathers them."""
        known = self.layout
        loads = known.loads if known.frame is self.x else ()
        return self.x, self.y, self.weights, self.offset, self.groups, known.lengths, known.ranges, loads

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that a frame has, those of the response among them; of an array's covariates."""
        return tuple(map(str, self.x.columns)) if isinstance(self.x, dd.DataFrame) else self.columns

    def columns_among(self, shared: Data) -> tuple[str, ...] | None:
        """Return which columns of a frame that several models share these data have; None for all, and for arrays."""
        every = not isinstance(shared.x, dd.DataFrame) or self.names == shared.names
        return None if every else self.names


def is_lazy(x: Any) -> bool:
    """Return whether data is a Dask collection."""
    return isinstance(x, (da.Array, dd.DataFrame, dd.Series))


def as_frame(
    x: Any,
    parts: dict[str, Any],
    terms: Sequence[Terms] = (),
    columns: Sequence[str] | None = None,
    *,
    divided: bool = False,
) -> tuple[Any, dict[str, Any], Layout]:
    """Return files as a Dask DataFrame of the columns that are read, and Arrow data as pandas'; others unchanged.

    Large row groups are `divided` for sums, which read their blocks in order.
    """
    parts = {name: column_of_arrow(part) if _is_arrow(part) else part for name, part in parts.items()}
    if is_in_files(x):
        table = open_table(x)
        named = [column for part in parts.values() for column in columns_named(part)]
        wanted = None if columns is None else list(dict.fromkeys((*columns, *named)))
        if wanted is not None and not set(wanted) <= set(table.columns):
            wanted = None  # so that the error to come lists all that are there
        coded, computed = coded_columns(*terms)
        if isinstance(table, ArrowTable):
            layout = table.layout(wanted, coded, computed, divided)
            return layout.frame, parts, layout
        frame, lengths = table.frame(wanted, coded, computed, divided)
        return frame, parts, Layout(lengths)
    if _is_arrow(x):
        rows = pa.table(x)
        index = [name for name in rows.column_names if name not in data_columns(rows.schema)]
        return frame_of_arrow(rows.drop_columns(index), coded_columns(*terms)[0]), parts, Layout()
    if type(x).__name__ == "LazyFrame" and type(x).__module__.startswith("polars"):
        raise TypeError(
            "X is a Polars LazyFrame, which is not computed here: pass X.collect(engine='streaming') if it fits into "
            "memory; otherwise call X.sink_parquet(path) and pass the path."
        )
    return x, parts, Layout()


def is_table(x: Any) -> bool:
    """Return whether data has to be made a frame by `as_frame`."""
    return is_in_files(x) or _is_arrow(x)


def _is_arrow(part: Any) -> bool:
    return hasattr(part, "__arrow_c_stream__") and not isinstance(part, (pd.DataFrame, pd.Series, pd.Index))


def in_memory(part: Any, label: str = "X") -> Any:
    """Return what is not a Dask array or frame as scikit-learn takes it: without masks, and of a kind that has rows."""
    if isinstance(part, np.ndarray) or sparse.issparse(part):  # a sparse matrix may be a dict too
        return unmasked(part)
    lazy = is_dask_collection(part)
    if lazy or isinstance(part, (str, bytes, Mapping)) or not any(hasattr(part, name) for name in _ARRAY_LIKE):
        cure = (
            "Convert it with dask.array.from_delayed or dask.dataframe.from_delayed"
            if lazy
            else "Read a file with dask.dataframe.read_parquet, or pass its path; convert a generator with list, a "
            "dict with pandas.DataFrame"
        )
        what = "None" if part is None else f"a {type(part).__name__}"
        raise TypeError(
            f"{label} is {what}, not a Dask array or DataFrame, NumPy array, pandas object or list. {cure}."
        )
    return part


def split_columns(x: Any, parts: dict[str, Any], *, keep: bool = False) -> tuple[Any, dict[str, Any]]:
    """Take the parts that are given as column names out of a frame."""
    named: dict[str, Any] = {name: part for name, part in parts.items() if isinstance(part, str)}
    if isinstance(x, (dd.DataFrame, pd.DataFrame)) and (columns := _named_columns(x, parts.get("groups"))):
        named["groups"] = columns
    if not named:
        return x, parts
    if not isinstance(x, (dd.DataFrame, pd.DataFrame)):
        (name, part), *_ = named.items()
        raise catalogue.NAMED_WITHOUT_FRAME.error(given=Remedy(_LABELS[name], part))
    for name, part in named.items():
        for column in columns_named(part):
            if column not in x.columns:
                columns = list(map(str, x.columns))
                said = {"given": Remedy(_LABELS[name], column), "columns": columns}
                raise catalogue.NOT_A_COLUMN.error(**said, hint=suggestion(column, columns))
    taken = [column for part in named.values() for column in columns_named(part)]
    return x if keep else x.drop(columns=taken), parts | {name: x[part] for name, part in named.items()}


def columns_named(part: Any) -> tuple[str, ...]:
    """Return the columns that a part of the data names, of which groups may name several; none if it is data."""
    if isinstance(part, str):
        return (part,)
    strings = isinstance(part, (list, tuple)) and all(isinstance(each, str) for each in part)
    return tuple(part) if strings else ()


def _named_columns(x: Any, groups: Any) -> list[str]:
    """Return groups as columns of a frame, if they are strings any of which is one; otherwise they are labels."""
    named = () if isinstance(groups, str) else columns_named(groups)
    return list(named) if any(name in x.columns for name in named) else []


def _joint_labels(groups: Any) -> Any:
    """Return cluster labels of several columns as records, so that there is one value per row."""
    if isinstance(groups, da.Array) and groups.ndim == 2 and groups.shape[1] > 1:
        fields = [(f"f{number}", groups.dtype) for number in range(groups.shape[1])]
        return groups.rechunk({1: -1}).map_blocks(_records, drop_axis=1, dtype=fields)
    if isinstance(groups, pd.DataFrame):
        return groups.to_records(index=False).view(np.ndarray) if len(groups.columns) > 1 else groups.iloc[:, 0]
    if groups is None or isinstance(groups, (da.Array, dd.DataFrame, dd.Series, pd.Series)):
        return groups
    array = np.asarray(in_memory(groups, "groups"))
    return _records(array) if array.ndim == 2 and array.shape[1] > 1 else groups


def _records(columns: np.ndarray) -> np.ndarray:
    return np.rec.fromarrays(list(columns.T)).view(np.ndarray)


def refuse_other_order(x: Any, parts: dict[str, Any]) -> None:
    """Raise if pandas objects have the same labels in another order; other labels are paired by position."""
    given = {"X": x} | {_LABELS[name]: part for name, part in parts.items()}
    labeled = {name: part.index for name, part in given.items() if isinstance(part, (pd.DataFrame, pd.Series))}
    if not labeled:
        return
    (first, index), *others = labeled.items()
    for name, other in others:
        if len(other) == len(index) and not other.equals(index) and _same_labels(index, other):
            raise ValueError(
                f"{first} and {name} have the same index labels in different orders, but rows are paired by position. "
                f"Use {name}.loc[{first}.index] to pair them by label, or {name}.to_numpy() to keep the present order."
            )


def refuse_response_among(x: Any, y: Any) -> None:
    """Raise if a frame of covariates holds the response too, under its name."""
    series = isinstance(y, (pd.Series, dd.Series)) and isinstance(x, (pd.DataFrame, dd.DataFrame))
    if not series or y.name not in x.columns or not isinstance(x[y.name], type(y)):
        return
    column = x[y.name]
    same = column.equals(y) if isinstance(y, pd.Series) else tokenize(column.optimize()) == tokenize(y.optimize())
    if same:
        raise ValueError(
            f"X holds the response as its column {y.name!r}. Use X.drop(columns={y.name!r}), or y={y.name!r}."
        )


def _same_labels(index: pd.Index, other: pd.Index) -> bool:
    counts, others = (each.value_counts(dropna=False) for each in (index, other))
    return len(counts) == len(others) and bool((others.reindex(counts.index).to_numpy() == counts.to_numpy()).all())


def bring_together(
    x: Any, parts: dict[str, Any], columns: tuple[str, ...] | None = None, layout: Layout | None = None
) -> Data:
    """Return the parts of a data set as Dask collections in the same blocks; nothing is computed."""
    columns = column_names(x) if columns is None else columns
    parts = parts | {"groups": _joint_labels(parts["groups"])}
    if is_lazy(x):
        beside = _beside_frame if isinstance(x, dd.DataFrame) else _beside_array
        aligned: dict[str, Any] = {name: beside(x, part, _LABELS[name]) for name, part in parts.items()}
        return Data(x, **aligned, columns=columns, layout=layout or Layout())
    return _cut_table(x, parts, columns) if isinstance(x, pd.DataFrame) else _cut(x, parts, columns)


def column_names(x: Any) -> tuple[str, ...]:
    """Return the names of the covariates: ``x0, x1, …`` where they have none."""
    if isinstance(x, (dd.Series, pd.Series)):
        raise TypeError("X must be two-dimensional, got a Series. Use X.to_frame() for one column.")
    if hasattr(x, "columns"):
        names = tuple(map(str, x.columns))
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"X has two columns named {twice[0]!r}. Rename one of them.")
        return names
    if x.ndim != 2:
        raise ValueError(f"X must be two-dimensional, got shape {x.shape}. Use X.reshape(-1, 1) for one column.")
    return tuple(f"x{number}" for number in range(x.shape[1]))


def _cut(x: np.ndarray, parts: dict[str, Any], columns: tuple[str, ...]) -> Data:
    """Cut data that lies in this process into blocks."""
    rows = _block_rows(x)
    lazy: dict[str, Any] = {}
    for name, part in parts.items():
        array = None if part is None else _local_part(x, part, name)
        lazy[name] = None if array is None else da.from_array(array, chunks=rows, name=False)
    # asarray=False keeps sparse rows sparse.
    return Data(da.from_array(x, chunks=(rows, -1), name=False, asarray=False), **lazy, columns=columns, local=True)


def _cut_table(x: pd.DataFrame, parts: dict[str, Any], columns: tuple[str, ...]) -> Data:
    """Cut a frame that lies in this process into partitions."""
    rows = _block_rows(x)
    lazy: dict[str, Any] = {}
    for name, part in parts.items():
        array = None if part is None else _local_part(x, part, name)
        if array is not None:
            like = pd.Series if array.dtype.names is None else pd.DataFrame
            array = cut_frame(like(array, index=x.index), rows)[0]
        lazy[name] = array
    frame, lengths = cut_frame(x, rows)
    return Data(frame, **lazy, columns=columns, local=True, layout=Layout(lengths))


def _block_rows(x: Any) -> int:
    return max(1, _LOCAL_BLOCK_BYTES // (8 * max(x.shape[1], 1)))


def _local_part(x: Any, part: Any, name: str) -> np.ndarray:
    if isinstance(part, (da.Array, dd.Series)):
        raise TypeError(
            f"X is in memory and {_LABELS[name]} is a Dask collection: compute it, or convert X to a Dask collection."
        )
    part = (
        part.to_numpy() if isinstance(part, (pd.Series, pd.DataFrame)) else np.asarray(in_memory(part, _LABELS[name]))
    )
    # scikit-learn warns of a column vector where one value a row is meant.
    part = column_or_1d(part, warn=True) if name == "y" else part
    if part.ndim != 1:
        raise ValueError(f"{_LABELS[name]} must be one-dimensional: Sample weights must be 1D array or scalar")
    check_consistent_length(x, part)
    return part


def _beside_array(x: da.Array, part: Any, label: str) -> da.Array | None:
    """Return one value a row, in the row chunks of X."""
    if part is None:
        return None
    if isinstance(part, (dd.Series, dd.DataFrame)):
        raise TypeError(
            f"X is a Dask array and {label} belongs to a Dask DataFrame: pass both as frames, X=frame[columns] and "
            f"{label}=frame['name'], or both as arrays."
        )
    unknown = np.isnan(x.chunks[0]).any()
    if not isinstance(part, da.Array):
        if unknown:
            raise ValueError(
                f"X has unknown chunk sizes, so {label}, which is in memory, cannot be split to match. Convert "
                f"{label} to a Dask array with the same chunks."
            )
        part = _one_dimensional(np.asarray(in_memory(part, label)), label)
        if len(part) != x.shape[0]:
            raise catalogue.DIFFERENT_LENGTHS.error(n=x.shape[0], given=label, m=len(part))
        return da.from_array(part, chunks=(x.chunks[0],), name=False)
    part = _one_dimensional(part, label)
    if unknown or np.isnan(part.chunks[0]).any():
        if x.numblocks[0] != part.numblocks[0]:
            raise ValueError(
                f"X is in {x.numblocks[0]} row blocks and {label} in {part.numblocks[0]}, of unknown sizes. Derive "
                "both from the same source."
            )
    elif x.shape[0] != part.shape[0]:
        raise catalogue.DIFFERENT_LENGTHS.error(n=x.shape[0], given=label, m=part.shape[0])
    elif x.chunks[0] != part.chunks[0]:
        pairs = enumerate(zip(x.chunks[0], part.chunks[0], strict=False))
        where = next((f"block {i} has {a} rows in X and {b} in {label}" for i, (a, b) in pairs if a != b), "")
        where = where or f"X is in {x.numblocks[0]} row blocks and {label} in {part.numblocks[0]}"
        raise ValueError(
            f"X and {label} are chunked differently along the rows: {where}. "
            f"Use {label} = {label}.rechunk(X.chunks[0])."
        )
    return part


def _labeled(values: pd.Series, x: pd.DataFrame) -> pd.Series:
    return values.set_axis(x.index) if len(values) == len(x) else values


def _one_dimensional(part: Any, label: str) -> Any:
    if part.ndim == 2 and part.shape[1] == 1:
        return part[:, 0]
    if part.ndim != 1:
        raise ValueError(f"{label} must have one value per row, got shape {part.shape}.")
    return part


def _beside_frame(x: dd.DataFrame, part: Any, label: str) -> Any:
    """Return one value a row, in the partitions of X."""
    if part is None:
        return None
    if isinstance(part, dd.DataFrame) and len(part.columns) == 1:
        part = part[part.columns[0]]
    if isinstance(part, da.Array):
        # By position: its values get the labels of X.
        values = dd.from_dask_array(part)
        part = dd.map_partitions(_labeled, values, x, meta=make_meta(values), align_dataframes=False)
    if not isinstance(part, dd.Series) and not (label == "groups" and isinstance(part, dd.DataFrame)):
        raise TypeError(
            f"X is a Dask DataFrame, whose partitions have unknown lengths, so {label} cannot be split to match. Pass "
            f"{label} as a column's name, or as a Dask Series from the same frame."
        )
    if part.npartitions != x.npartitions:
        raise ValueError(
            f"X has {x.npartitions} partitions and {label} has {part.npartitions}: derive both from the same frame."
        )
    return part
