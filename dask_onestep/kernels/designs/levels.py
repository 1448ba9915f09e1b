"""Levels of factors: the code of each row's level, and levels matched by value and kind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dask_onestep.kernels.compiled.accelerate import loop

MAX_LEVELS = 10_000
TOO_MANY_LEVELS = "Is it an identifier? Drop it, group its levels, or convert it to a number."
_ONE_AT_A_TIME = threading.Lock()
_EVERY = 64
_SLICE_ROWS = 15_360  # 8 bytes each give less than 128 KiB, above which memory is mapped anew each time


def indexed(levels: pd.Index) -> pd.Index:
    """Return the same levels, prepared so that several threads may look up values at once.

    An index fills its hash table at the first look-up. Before pandas 3.1 another thread may read the table meanwhile,
    find nothing, and treat the value as unknown.
    """
    with _ONE_AT_A_TIME:
        levels.get_indexer(levels[:1])
    return levels


def level_codes(values: Any) -> tuple[np.ndarray, pd.Index]:
    """Return each value's position among the distinct values (-1 if missing), and these, in order of appearance."""
    if isinstance(values.dtype, pd.ArrowDtype) and pa.types.is_dictionary(values.dtype.pyarrow_dtype):
        values = values.astype(pd.ArrowDtype(values.dtype.pyarrow_dtype.value_type))
    if isinstance(values.dtype, pd.CategoricalDtype):
        own, categories = _codes_of(values)
        present = _present(own, len(categories))
        if present.all():
            return own.astype(np.int32), categories
        places = np.append(np.where(present, np.cumsum(present) - 1, -1), -1).astype(np.int32)
        return looked_up(places, own), categories[present]
    if isinstance(values.dtype, pd.StringDtype) and values.dtype.storage == "pyarrow":
        words = pa.array(values).dictionary_encode()
        words = words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words
        codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        levels = words.dictionary.to_numpy(zero_copy_only=False)
        return codes.astype(np.int32, copy=False), pd.Index(levels, dtype=object)
    codes, found = pd.factorize(values)
    return codes.astype(np.int32), _as_looked_up(pd.Index(found))


def _codes_of(values: Any) -> tuple[np.ndarray, pd.Index]:
    """Return the codes and categories of a categorical column; its accessor would make another column of the codes."""
    column = getattr(values, "array", values)
    return column.codes, column.categories


def looks(length: int) -> Iterator[slice]:
    """Yield parts of so many rows in which to look for levels: first a few of all rows, which mostly show each."""
    yield slice(0, length, _EVERY)
    for start in range(0, length, _SLICE_ROWS):
        yield slice(start, min(start + _SLICE_ROWS, length), 1)


def _present(codes: np.ndarray, count: int) -> np.ndarray:
    """Return which of so many codes occur."""
    seen = np.zeros(count, bool)
    for at in looks(len(codes)):
        seen |= np.bincount(codes[at] + 1, minlength=count + 1)[1:] > 0
        if seen.all():
            break
    return seen


@dataclass(frozen=True, slots=True, eq=False)
class LevelCodes:
    """The levels of rows, as the column numbers them, and what these numbers mean.

    Attributes
    ----------
    own : ndarray of shape (m,) of int
        Each row's level among those of the column; −1 if it is missing.
    places : ndarray of shape (L + 1,) of int32
        The position of each of these among the known levels; −1 if it is unknown, and at the end for missing values.
    """

    own: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, values: Any, known: pd.Index) -> LevelCodes:
        """Return the levels of a column, matched with the known ones."""
        coded = isinstance(values.dtype, pd.CategoricalDtype)
        own, levels = _codes_of(values) if coded else level_codes(values)
        return cls(own, match_levels(levels, known))

    def known(self) -> np.ndarray:
        """Return each row's position among the known levels, of int32; −1 if it is missing or unknown."""
        return looked_up(self.places, self.own)

    def of_each(self, table: np.ndarray) -> np.ndarray:
        """Return for each row the element of its known level, the last one if it is missing or unknown."""
        return looked_up(table[self.places], self.own)

    def strange(self) -> np.ndarray | None:
        """Return which rows are missing or unknown; None if none is, which the numbers mostly show."""
        if self.places[:-1].min(initial=0) == 0 and self.own.min(initial=0) == 0:
            return None
        strange = self.known() < 0
        return strange if strange.any() else None

    def rows(self, at: slice) -> LevelCodes:
        """Return the levels of some rows."""
        return replace(self, own=self.own[at])


def match_levels(levels: pd.Index, known: pd.Index) -> np.ndarray:
    """Return the positions of levels among the known ones, by value and kind: 1.0 equals 1, but True does not.

    The result has shape (L + 1,); it is -1 for an unknown level, and the last element is -1 so that it applies to the
    code of a missing value.
    """
    places = np.full(len(levels) + 1, -1, dtype=np.int32)
    if levels.dtype == known.dtype and levels.equals(known):
        places[:-1] = np.arange(len(levels))
        return places
    keys, own = (each if each.dtype == object else each.astype(object) for each in (known, levels))
    places[:-1] = indexed(keys).get_indexer(own)
    if pd.api.types.infer_dtype(own) != "string":
        found = places[:-1] >= 0
        places[:-1][found & (_are_booleans(levels) != _are_booleans(known)[places[:-1]])] = -1
    return places


def joined_levels(parts: Sequence[pd.Index]) -> pd.Index:
    """Return the distinct levels of several blocks, in order of appearance."""
    first, *others = parts
    others = [levels for levels in others if not levels.equals(first)]
    if others and all(levels.dtype == object for levels in parts):  # of which `append` would make strings
        return pd.Index(pd.unique(np.concatenate([first, *others])), dtype=object)
    return first.append(others).unique() if others else first


def _as_looked_up(levels: pd.Index) -> pd.Index:
    """Return levels with strings as objects, to which each look-up would convert them."""
    return levels.astype(object) if isinstance(levels.dtype, pd.StringDtype) else levels


def sorted_levels(values: Any) -> pd.Index:
    """Return distinct values, without missing ones, as an index, sorted if they are comparable."""
    return sorted_places(_as_looked_up(pd.Index(pd.unique(values))))[0]


def sorted_places(levels: pd.Index) -> tuple[pd.Index, np.ndarray]:
    """Return distinct levels as `sorted_levels` does, and the place of each among them, -1 at the end for missing."""
    try:
        ordered, order = levels.sort_values(return_indexer=True)
    except TypeError:
        order = np.argsort(levels.astype(str))
        ordered = levels[order]
    places = np.full(len(levels) + 1, -1, dtype=np.int32)
    places[order] = np.arange(len(levels))
    return ordered, places


def with_missing_level(values: Any, name: str) -> pd.Categorical:
    """Return values as categories, of which the last, `name`, is that of missing values, if there are any.

    Whole numbers are integers, as a column of integers with missing values may be stored as floats.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, levels = _codes_of(values)
    else:
        codes, found = level_codes(values)
        levels, places = sorted_places(found)
        codes = looked_up(places, codes)
    if levels.dtype.kind == "f" and (levels == np.floor(levels)).all():
        levels = levels.astype(np.int64)
    if name not in levels and not (codes < 0).any():
        return pd.Categorical.from_codes(codes, levels)
    ordered = level_last(levels, name)
    places = np.append(ordered.get_indexer(levels.astype(object)), len(ordered) - 1).astype(np.int32)
    return pd.Categorical.from_codes(looked_up(places, codes), ordered)


def level_last(levels: pd.Index, name: str) -> pd.Index:
    """Return levels with this one at the end, whether or not it was among them."""
    return pd.Index([*(level for level in levels.tolist() if level != name), name], dtype=object)


def looked_up(places: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the position, of int32, of each code, the last for -1."""
    out = np.empty(len(codes), np.int32)
    loop("look_up", _look_up)(places, codes if codes.dtype.itemsize < 8 else codes.astype(np.int32), out)
    return out


def _look_up(places: np.ndarray, codes: np.ndarray, out: np.ndarray) -> None:
    """Write the positions; in slices, whose temporaries the allocator reuses."""
    for start in range(0, len(codes), _SLICE_ROWS):
        at = slice(start, start + _SLICE_ROWS)
        places.take(codes[at], mode="wrap", out=out[at])


def _are_booleans(levels: pd.Index) -> np.ndarray:
    """Return which levels are True or False, which pandas treats as 1 and 0."""
    if isinstance(levels.dtype, pd.StringDtype):
        return np.zeros(len(levels), dtype=bool)
    kind = pd.api.types.infer_dtype(levels)
    if kind.startswith("mixed"):
        return np.array([isinstance(level, (bool, np.bool_)) for level in levels], dtype=bool)
    return np.full(len(levels), kind == "boolean")
