"""A block of a table: its missing values, and its columns as plain NumPy dtypes and categories."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import as_series, is_numeric
from dask_onestep.kernels.designs.levels import (
    LevelCodes,
    joined_levels,
    level_codes,
    looked_up,
    sorted_levels,
    sorted_places,
)
from dask_onestep.kernels.designs.parts import PARTS, Table, TableLike, concatenated, values_at
from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.terms import Factor, Terms, refusing_records
from dask_onestep.kernels.records import Findings
from dask_onestep.messages.text import Remedy, instruction

DROP = instruction("Use {0} to drop these rows, or fix them first.", Remedy("missing", "drop"))
_SAME_COLUMNS = "All partitions must have the columns that the frame's meta declares; fix the function that loads them."


def gaps(part: Any) -> np.ndarray:
    """Return which values are missing, NaN or infinite.

    For several columns (a DataFrame, or an ndarray of records) a row is missing if any of its values is.
    """
    columns = part.columns if isinstance(part, pd.DataFrame) else part.dtype.names
    if columns is not None:
        return np.any([gaps(part[name]) for name in columns], axis=0)
    if isinstance(part.dtype, np.dtype):
        part = values_at(part, None)
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        return ~np.isfinite(part)
    if isinstance(part.dtype, pd.CategoricalDtype):
        column: Any = getattr(part, "array", part)
        return column.codes < 0
    missing = np.asarray(pd.isna(part))
    kind = getattr(part.dtype, "kind", "O")
    if kind == "f":
        values = part if isinstance(part, np.ndarray) else part.to_numpy(np.float64, na_value=np.nan)
        missing = missing | ~np.isfinite(values)
    return missing


def is_finite(part: Any) -> bool:
    """Return whether numbers are finite, as their sum shows, or no level is missing; False if only a search tells."""
    if isinstance(part, DenseColumns):
        return part.is_finite()
    if isinstance(part, pd.Series):
        part = values_at(part, None)
    if isinstance(part, pd.Categorical):
        return bool(part.codes.min(initial=0) == 0)
    if not isinstance(part, np.ndarray) or part.dtype.kind not in "biuf":
        return False
    if part.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(part.sum()))


def unmasked(part: Any) -> Any:
    """Return masked arrays with NaN, or None among objects, in place of masked values, which NumPy would unmask."""
    if not isinstance(part, np.ma.MaskedArray):
        return part
    if not np.ma.is_masked(part):
        return part.data
    if part.dtype.kind in "biuf":
        return np.ma.filled(part.astype(np.result_type(part.dtype, np.float16)), np.nan)
    objects = part.data.astype(object)
    objects[np.ma.getmaskarray(part)] = None
    return objects


def complete_cases(block: Any, terms: Terms, missing: str) -> np.ndarray | Findings | None:
    """Return which rows of a block have everything that the model uses; None for all of them."""
    response = terms.response.columns if block.y is None and terms.response is not None else ()
    if absent_columns := [name for name in (*terms.columns, *response) if name not in block.x.columns]:
        return Findings(((f"the partition lacks the columns {absent_columns}", 0, _SAME_COLUMNS),), (block.number,))
    filled = set(terms.columns).difference(terms.complete_columns)
    found = []
    absent_rows = []
    for name in terms.columns:
        column = block.x[name]
        if is_finite(column):
            continue
        absent = gaps(column)
        if name in filled:
            absent = absent & ~np.asarray(pd.isna(column))
        absent_rows.append(absent)
        if missing == "raise" and absent.any():
            found.append(
                (f"Input X contains NaN, infinity or a missing value in column {name}", int(absent.sum()), DROP)
            )
    if found:
        return Findings(tuple(found), (block.number,))
    if missing == "drop":
        parts = [getattr(block, name) for name in PARTS[1:]]
        parts += [block.x[name] for name in response]
        absent_rows += [gaps(part) for part in parts if part is not None and not is_finite(part)]
    absent_rows = [absent for absent in absent_rows if absent.any()]
    return ~np.logical_or.reduce(absent_rows) if absent_rows else None


def plain_columns(frame: TableLike, columns: tuple[str, ...], levels: Mapping[str, pd.Index]) -> pd.DataFrame:
    """Return columns, in this order, as NumPy numbers, as categories with the given levels, or as objects."""
    found = {name: _plain(frame[name], levels.get(name)) for name in columns}
    for name, values in found.items():
        if values.dtype == object:  # of an array pandas would make a column of strings
            found[name] = pd.Series(values, index=frame.index, dtype=object, copy=False)
    return pd.DataFrame(found, index=frame.index, copy=False)


def encoded(frame: TableLike, factors: Iterable[Factor]) -> Table:
    """Return a table whose string columns that are factors are categories, so that strings are read only once.

    The categories are those of this block, sorted.
    """
    table = Table.of(frame) if isinstance(frame, pd.DataFrame) else frame
    columns: dict[str, Any] = {}
    for factor in factors:
        name = factor.name if factor.source is None else factor.source
        if name not in table.columns or name in columns:
            continue
        dtype = table[name].dtype
        if not isinstance(dtype, pd.CategoricalDtype) and not is_numeric(dtype):
            with refusing_records(factor):
                codes, levels = level_codes(table[name])
                ordered, places = sorted_places(levels)
                columns[name] = pd.Categorical.from_codes(looked_up(places, codes), ordered)
    return replace(table, columns=table.columns | columns)


def stacked(tables: Sequence[Table], chosen: Sequence[np.ndarray] | None = None) -> Table:
    """Return the rows of tables with the same columns, or those chosen from each; categories are merged."""
    columns = {name: _stacked([values_at(table[name], None) for table in tables], chosen) for name in tables[0].columns}
    return Table(columns, sum(map(len, tables if chosen is None else chosen)))


def _stacked(parts: Sequence[Any], chosen: Sequence[np.ndarray] | None) -> Any:
    """Return parts of a column as one; pandas would make a frame of each, and convert its categories."""
    kinds: list[Any] = [part.dtype for part in parts]
    if all(isinstance(kind, np.dtype) and kind == kinds[0] for kind in kinds):
        return concatenated(parts, chosen)
    if chosen is not None:
        parts = [part.take(index) for part, index in zip(parts, chosen, strict=True)]
    if all(isinstance(kind, pd.CategoricalDtype) for kind in kinds):
        union = joined_levels([kind.categories for kind in kinds])
        if union is not kinds[0].categories:
            union = sorted_levels(union)
        codes = []
        for part in parts:
            own = part.categories
            places = np.append(np.arange(len(own)) if own is union else union.get_indexer(own), -1).astype(np.int32)
            codes.append(places.take(part.codes, mode="wrap"))
        return pd.Categorical.from_codes(np.concatenate(codes), union, ordered=kinds[0].ordered)
    # Of booleans and numbers pandas makes numbers in frames only; a part without rows would convert others to objects.
    parts = [part for part in parts if len(part)] or parts[:1]
    frames = [as_series(part).to_frame(0) for part in parts]
    return values_at(pd.concat(frames, ignore_index=True).iloc[:, 0], None)


def _plain(column: Any, levels: pd.Index | None) -> Any:
    if not is_numeric(column.dtype):
        if levels is None:
            values = values_at(column, None)
            if not isinstance(values, pd.Categorical):
                return values.astype(object)
            return np.append(values.categories.astype(object), np.nan).take(values.codes, mode="wrap")
        return pd.Categorical.from_codes(LevelCodes.of(column, levels).known(), categories=levels)
    if isinstance(column.dtype, np.dtype):
        return values_at(column, None)
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(bool)
    return column.to_numpy(np.float64, na_value=np.nan)
