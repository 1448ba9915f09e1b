"""A block of a table: its gaps, and its columns as plain NumPy dtypes and categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dask_onestep.kernels.designs.parts import PARTS
from dask_onestep.kernels.designs.terms import Factor, Terms, is_numeric, refusing_records
from dask_onestep.kernels.records import Findings

__all__ = [
    "DROP",
    "MAX_LEVELS",
    "TOO_MANY_LEVELS",
    "complete_cases",
    "encoded",
    "gaps",
    "indexed",
    "is_finite",
    "known_codes",
    "level_codes",
    "match_levels",
    "plain_columns",
    "sorted_levels",
    "stacked",
    "unmasked",
]

MAX_LEVELS = 10_000
TOO_MANY_LEVELS = "Is it an identifier? Leave it out, group its levels, or convert it to a number."
DROP = "Pass missing='drop' to leave such rows out, or mend them first."
_SAME_COLUMNS = "All partitions must have the columns that the frame's meta declares; fix the function that loads them."
_ONE_AT_A_TIME = Lock()
_SLICE_ROWS = 15_360  # of 8 bytes less than 128 KiB, from which on memory is mapped anew each time


def gaps(part: Any) -> np.ndarray:
    """Return which values are missing, NaN or infinite.

    Parameters
    ----------
    part : Series or ndarray of shape (m,), DataFrame, or ndarray of records
        Values of any dtype; of several columns a row is missing where any of its values is.

    Returns
    -------
    ndarray of shape (m,) of bool
        True for a gap.
    """
    columns = part.columns if isinstance(part, pd.DataFrame) else part.dtype.names
    if columns is not None:
        return np.any([gaps(part[name]) for name in columns], axis=0)
    if isinstance(part, pd.Series) and isinstance(part.dtype, np.dtype) and part.dtype.kind in "biuf":
        part = part.to_numpy()
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        return ~np.isfinite(part)
    missing = np.asarray(pd.isna(part))
    kind = getattr(part.dtype, "kind", "O")
    if kind == "f":
        values = part.to_numpy(np.float64, na_value=np.nan) if isinstance(part, pd.Series) else part
        missing = missing | ~np.isfinite(values)
    return missing


def is_finite(part: Any) -> bool:
    """Return whether an array of floats is finite, as its sum shows; a sum that overflows leaves it open.

    Parameters
    ----------
    part : Series or ndarray
        Values of any dtype.

    Returns
    -------
    bool
        False where it takes a search to know.
    """
    if not isinstance(part, np.ndarray) or part.dtype.kind != "f":
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(part.sum()))


def unmasked(part: Any) -> Any:
    """Return data with gaps where a NumPy mask hides values, which NumPy and scikit-learn would uncover.

    Parameters
    ----------
    part : object
        Data of any kind.

    Returns
    -------
    object
        A masked array as an ndarray, NaN, or None among objects, where it is masked; all else as it is.
    """
    if not isinstance(part, np.ma.MaskedArray):
        return part
    if not np.ma.is_masked(part):
        return part.data
    if part.dtype.kind in "biuf":
        return np.ma.filled(part.astype(np.result_type(part.dtype, np.float16)), np.nan)
    return np.ma.filled(part.astype(object), None)


def complete_cases(block: Any, terms: Terms, missing: str) -> np.ndarray | Findings:
    """Return which rows of a block have all that the model uses.

    Parameters
    ----------
    block : Block
        The block as it arrived, `x` a frame.
    terms : Terms
        What the model reads of it.
    missing : {"raise", "drop", "keep"}
        Whether gaps in the covariates' columns are findings.

    Returns
    -------
    ndarray of shape (m,) of bool, or Findings
        The complete rows, or the columns with gaps and their counts.
    """
    response = terms.response.columns if block.y is None and terms.response is not None else ()
    if absent_columns := [name for name in (*terms.columns, *response) if name not in block.x.columns]:
        return Findings(((f"the partition lacks the columns {absent_columns}", 0, _SAME_COLUMNS),), (block.number,))
    complete = np.ones(len(block.x), dtype=bool)
    found = []
    for name in terms.columns:
        absent = gaps(block.x[name])
        complete &= ~absent
        if missing == "raise" and absent.any():
            found.append(
                (f"Input X contains NaN, infinity or a missing value in column {name}", int(absent.sum()), DROP)
            )
    if found:
        return Findings(tuple(found), (block.number,))
    parts = [getattr(block, name) for name in PARTS[1:]]
    parts += [block.x[name] for name in response]
    for part in parts:
        if part is not None and missing == "drop":
            complete &= ~gaps(part)
    return complete


def plain_columns(frame: pd.DataFrame, columns: tuple[str, ...], levels: Mapping[str, pd.Index]) -> pd.DataFrame:
    """Return columns as NumPy numbers, as categories of the levels given, or as objects.

    Parameters
    ----------
    frame : DataFrame
        A block, or some of its rows.
    columns : tuple of str
        The columns wanted.
    levels : mapping of str to Index
        Levels of columns that are not numbers.

    Returns
    -------
    DataFrame
        The columns, in the order given.
    """
    return pd.DataFrame({name: _plain(frame[name], levels.get(name)) for name in columns}, index=frame.index)


def indexed(levels: pd.Index) -> pd.Index:
    """Return levels in which several threads may look up values at a time.

    An index fills its table of places at the first look.  Before pandas 3.1 another thread may look into that table
    meanwhile, finds nothing, and takes the value for none of the levels.

    Parameters
    ----------
    levels : Index of length K
        Levels, which other threads may hold as well.

    Returns
    -------
    Index
        The same, its table filled.
    """
    with _ONE_AT_A_TIME:
        levels.get_indexer(levels[:1])
    return levels


def encoded(frame: pd.DataFrame, factors: Iterable[Factor]) -> pd.DataFrame:
    """Return a table whose factors that are columns of words are categories, so that words are read once.

    Parameters
    ----------
    frame : DataFrame
        A block.
    factors : iterable of Factor
        The categorical factors.

    Returns
    -------
    DataFrame
        The same rows; the categories are those of this block, sorted.
    """
    columns: dict[str, Any] = {}
    for factor in factors:
        name = factor.name if factor.source is None else factor.source
        if name not in frame.columns or name in columns:
            continue
        dtype = frame.dtypes[name]
        if not is_numeric(dtype) and not isinstance(dtype, pd.CategoricalDtype):
            with refusing_records(factor):
                codes, levels = level_codes(frame[name])
                ordered = sorted_levels(levels)
                places = np.append(ordered.get_indexer(levels), -1).astype(np.int32)
                columns[name] = pd.Categorical.from_codes(_looked_up(places, codes), ordered)
    return frame.assign(**columns) if columns else frame


def level_codes(values: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Return which of its levels each value is, and the levels, in the order in which they come.

    Parameters
    ----------
    values : Series of shape (m,)
        Values.

    Returns
    -------
    codes : ndarray of shape (m,) of int32
        Places among the levels, -1 for a gap.
    levels : Index
        The distinct values.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        own = values.cat.codes.to_numpy()
        present = np.zeros(len(values.cat.categories) + 1, dtype=bool)  # the last is that of missing values
        present[own] = True
        present[-1] = False
        places = np.where(present, np.cumsum(present) - 1, -1).astype(np.int32)
        return _looked_up(places, own), values.cat.categories[present[:-1]]
    if isinstance(values.dtype, pd.StringDtype) and values.dtype.storage == "pyarrow":
        words = pa.array(values).dictionary_encode()
        words = words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words
        codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return codes.astype(np.int32, copy=False), pd.Index(words.dictionary.to_pandas(), dtype=values.dtype)
    codes, levels = pd.factorize(values)
    return codes.astype(np.int32), pd.Index(levels)


def known_codes(values: pd.Series, known: pd.Index) -> np.ndarray:
    """Return which of the levels known each value is.

    Parameters
    ----------
    values : Series of shape (m,)
        Values of any dtype.
    known : Index of length K
        Levels.

    Returns
    -------
    ndarray of shape (m,) of int32
        From 0 to K − 1; −1 for a missing value, and for one that is none of them.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, levels = values.cat.codes.to_numpy(), values.cat.categories
    else:
        codes, levels = level_codes(values)
    return _looked_up(match_levels(levels, known), codes)


def match_levels(levels: pd.Index, known: pd.Index) -> np.ndarray:
    """Return the places of levels among those that are known, by value and kind: 1.0 is 1, but True is not.

    Parameters
    ----------
    levels : Index of length L
        Distinct values, such as those of one block.
    known : Index of length K
        Distinct values.

    Returns
    -------
    ndarray of shape (L + 1,) of int32
        Places, -1 for a level that is not among them; the last is -1, so that a missing value's code has it too.
    """
    places = np.full(len(levels) + 1, -1, dtype=np.int32)
    if levels.dtype == known.dtype and levels.equals(known):
        places[:-1] = np.arange(len(levels))
        return places
    keys = known if known.dtype == object else known.astype(object)
    places[:-1] = indexed(keys).get_indexer(levels.astype(object))
    found = places[:-1] >= 0
    places[:-1][found & (_are_booleans(levels) != _are_booleans(known)[places[:-1]])] = -1
    return places


def sorted_levels(values: Any) -> pd.Index:
    """Return distinct values as an index, sorted where they have an order.

    Parameters
    ----------
    values : Series or Index
        Values without gaps.

    Returns
    -------
    Index
        Its levels.
    """
    index = pd.Index(pd.unique(values))
    try:
        return index.sort_values()
    except TypeError:
        return index[np.argsort(index.astype(str))]


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables, one after the other; categories that differ are joined.

    Parameters
    ----------
    frames : sequence of DataFrame
        With the same columns.

    Returns
    -------
    DataFrame
        All rows, numbered anew.
    """
    for name in frames[0].columns:
        kinds = [frame.dtypes[name] for frame in frames]
        if all(isinstance(kind, pd.CategoricalDtype) for kind in kinds) and len(set(kinds)) > 1:
            levels = kinds[0].categories
            for kind in kinds[1:]:
                levels = levels.append(kind.categories)
            union = sorted_levels(levels)
            frames = [frame.assign(**{name: frame[name].cat.set_categories(union)}) for frame in frames]
    return pd.concat(frames, ignore_index=True)


def _plain(column: pd.Series, levels: pd.Index | None) -> Any:
    if not is_numeric(column.dtype):
        if levels is None:
            return column.astype(object)
        return pd.Categorical.from_codes(known_codes(column, levels), categories=levels)
    if isinstance(column.dtype, np.dtype):
        return column
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(bool)
    return column.to_numpy(np.float64, na_value=np.nan)


def _are_booleans(levels: pd.Index) -> np.ndarray:
    """Return which levels are True or False, which pandas takes for 1 and 0."""
    kind = pd.api.types.infer_dtype(levels)
    if kind.startswith("mixed"):
        return np.array([isinstance(level, (bool, np.bool_)) for level in levels], dtype=bool)
    return np.full(len(levels), kind == "boolean")


def _looked_up(places: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the place of each code, the last for -1; by slices, whose temporaries the allocator keeps."""
    out = np.empty(len(codes), dtype=places.dtype)
    for start in range(0, len(codes), _SLICE_ROWS):
        at = slice(start, start + _SLICE_ROWS)
        places.take(codes[at], mode="wrap", out=out[at])
    return out
