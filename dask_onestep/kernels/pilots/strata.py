"""Oversampled strata of the pilot: rare classes and levels, and rows with extreme values.

All strata use the same keys: from each, the rows with the smallest keys are drawn. A row that is in several strata is
drawn with the largest of their probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.designs.levels import level_codes
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.records import Record

_EVERY_KEY = np.iinfo(np.uint64).max
# Rows drawn per class, if a simple random sample is expected to have fewer than the second number.
_OF_CLASS, _FEW_OF_CLASS = 5000, 1000
# Rows for all combinations of level and class together; minimum and maximum for each; maximum number of levels and
# classes.
_OF_LEVELS, _OF_LEVEL, _MAX_LEVELS, _MAX_CLASSES = 10_000, (20, 500), 1000, 20
# Extreme rows for both ends of all columns together; minimum and maximum for each.
_OF_TAILS, _OF_TAIL = 2000, (5, 100)
# Sample size to which these numbers refer.
_LARGE = 20_000
# Within a block, a stratum below this fraction of the rows is treated as rare.
_RARE = 0.05
# One of this many rows is examined to find where the lowest values are.
_EVERY = 64
# Minimum ratio of a stratum's sampling fraction to that of all rows.
_WORTH = 1.2

# Factor, level and label; factor -1 stands for a whole class.
Cell = tuple[int, Any, Any]


@dataclass(frozen=True, slots=True)
class StrataRule:
    """The definition of the strata.

    Attributes
    ----------
    factors : tuple of Factor
        Factors whose levels may be strata.
    numbers : tuple of str
        Columns of the table whose extreme rows are drawn.
    classify : bool
        Whether y holds labels; other responses are split into 0 and not 0.
    n_blocks : int
        Number of blocks of the table.
    """

    factors: tuple[Factor, ...]
    numbers: tuple[str, ...]
    classify: bool
    n_blocks: int

    @classmethod
    def of(cls, model: Model, n_blocks: int) -> StrataRule | None:
        """Return the rule for a model; None where strata gain nothing, because one step is exact from any pilot."""
        if model.quadratic:
            return None
        factors: tuple[Factor, ...] = ()
        numbers: tuple[str, ...] = ()
        if (design := model.design) is not None:
            factors = design.categorical
            coded = {name for factor in factors for name in factor.columns}
            numbers = tuple(name for name in design.terms.columns if name not in coded)
        return cls(factors, numbers, model.classify, n_blocks)

    def of_tail(self, size: int = _LARGE) -> int:
        """Return how many extreme rows are drawn at each end of a column."""
        most = int(np.clip(_OF_TAILS // (2 * (len(self.numbers) + 2)), *_OF_TAIL))
        return max(int(min(size / _LARGE, 1.0) * most), 1)


@dataclass(frozen=True, slots=True)
class Strata(Record):
    """What a sample contains of the strata.

    Attributes
    ----------
    rule : StrataRule
        The definition.
    known : tuple of Index
        The levels seen of each factor.
    levels : ndarray of shape (m, F) of int32
        Codes of the levels of each row held.
    tails : ndarray of shape (m, E)
        Columns whose extreme rows are drawn, including offset and weights, of the rows held.
    counts : dict
        Rows seen of each stratum.
    cutoffs : dict
        For each stratum, no discarded row has a key below it.
    """

    rule: StrataRule
    known: tuple[pd.Index, ...]
    levels: np.ndarray
    tails: np.ndarray
    counts: dict[Cell, int]
    cutoffs: dict[Cell, int]

    @classmethod
    def of(
        cls, rule: StrataRule, rows: Rows, labels: np.ndarray | None, cutoff: int, keys: Callable[[], np.ndarray]
    ) -> tuple[Strata, np.ndarray]:
        """Return the strata of a block, and the rows to hold in addition to the simple sample."""
        found = cls(rule, *_levels(rule, rows), _tails(rule, rows), {}, {})
        wanted, share = [found.extremes()], cutoff / _EVERY_KEY
        for factor, ids, cells in found.groups(rows.y, labels):
            seen = _counted(ids, len(cells))
            most = found.quota(factor, labels)[0]
            part = min(most, max(2 * most // rule.n_blocks, 10))
            held = np.where(seen < _RARE * len(ids), most, np.where(share * seen < part / 2, part, 0))
            ends = [cutoff] * len(cells)
            if held.any() and cutoff < _EVERY_KEY:
                able = np.flatnonzero(held[ids] > 0)
                index, more = _smallest(keys()[able], ids[able], held)
                wanted.append(able[index])
                ends = [max(end, cutoff) if most else cutoff for end, most in zip(more, held, strict=True)]
            found.counts.update(zip(cells, seen.tolist(), strict=True))
            found.cutoffs.update(zip(cells, ends, strict=True))
        return found, np.concatenate(wanted)

    @classmethod
    def of_all(cls, rule: StrataRule, rows: Rows, labels: np.ndarray | None) -> Strata:
        """Return the strata of rows that are all held."""
        found = cls(rule, *_levels(rule, rows), _tails(rule, rows), {}, {})
        for _, ids, cells in found.groups(rows.y, labels):
            found.counts.update(zip(cells, _counted(ids, len(cells)).tolist(), strict=True))
            found.cutoffs.update(dict.fromkeys(cells, _EVERY_KEY))
        return found

    @classmethod
    def joined(
        cls, parts: Sequence[Strata], keys: np.ndarray, y: np.ndarray, labels: np.ndarray | None, size: float = 0
    ) -> tuple[Strata, np.ndarray]:
        """Return the strata of several samples in sequence, and the rows of them to hold."""
        counts: dict[Cell, int] = {}
        cutoffs: dict[Cell, int] = {}
        for part in parts:
            for cell, count in part.counts.items():
                counts[cell] = counts.get(cell, 0) + count
                cutoffs[cell] = min(cutoffs.get(cell, _EVERY_KEY), part.cutoffs[cell])
        found = cls(
            parts[0].rule,
            *_joined_levels(parts),
            np.concatenate([part.tails for part in parts]),
            counts,
            cutoffs,
        )
        wanted = [found.extremes()]
        total = max(sum(count for (factor, _, _), count in counts.items() if factor < 0), 1)
        for factor, ids, cells in found.groups(y, labels):
            most, few = found.quota(factor, labels)
            if size and all(counts[cell] * size / total >= min(few, counts[cell]) for cell in cells):
                continue  # a simple random sample has enough rows of each
            ends = np.array([cutoffs[cell] for cell in cells], dtype=np.uint64)
            able = np.flatnonzero(keys < ends[ids]) if len(cells) else np.empty(0, np.intp)
            index, more = _smallest(keys[able], ids[able], np.full(len(cells), most))
            wanted.append(able[index])
            for cell, end in zip(cells, more, strict=True):
                cutoffs[cell] = min(cutoffs[cell], end)
        return found, np.concatenate(wanted)

    def take(self, index: np.ndarray) -> Strata:
        """Return the strata of some of the rows held."""
        return replace(self, levels=self.levels[index], tails=self.tails[index])

    def quota(self, factor: int, labels: np.ndarray | None, size: int = _LARGE) -> tuple[int, int]:
        """Return how many rows of a stratum are drawn, and below which expected number in a simple sample.

        Both are proportional in small samples. They decrease as more levels are seen, so a block never holds too few.
        """
        most, few = _OF_CLASS, _FEW_OF_CLASS
        if factor >= 0:
            n_levels = sum(min(len(levels), _MAX_LEVELS) for levels in self.known)
            groups = n_levels * (2 if labels is None else len(labels))
            most = few = int(np.clip(_OF_LEVELS // max(groups, 1), *_OF_LEVEL))
        share = min(size / _LARGE, 1.0)
        return max(int(share * most), 5), max(int(share * few), 5)

    def groups(self, y: np.ndarray, labels: np.ndarray | None) -> Iterator[tuple[int, np.ndarray, list[Cell]]]:
        """Yield each classification of the rows held: its factor, the group of each row, and the groups' cells."""
        if not self.rule.classify:
            shown, of_class = np.array([False, True]), (y != 0).view(np.uint8)
        else:
            assert labels is not None
            if len(labels) > _MAX_CLASSES:
                return
            shown = labels
            of_class = (y == labels[-1]).view(np.uint8) if len(labels) == 2 else pd.Index(labels).get_indexer(y)
        yield -1, of_class, [(-1, 0, label) for label in shown.tolist()]
        for factor, levels in enumerate(self.known):
            if len(levels) > _MAX_LEVELS:
                continue
            cells = [(factor, level, label) for level in levels.tolist() for label in shown.tolist()]
            yield factor, self.levels[:, factor] * len(shown) + of_class, cells

    def extremes(self, size: int = _LARGE, *, final: bool = False) -> np.ndarray:
        """Return the most extreme rows held, at both ends of each column; of equal values the first.

        In the final draw constant columns are skipped; before that a column may be constant only within a block.
        """
        most, found = self.rule.of_tail(size), [np.empty(0, np.intp)]
        for column in self.tails.T:
            if final and column.min(initial=np.inf) == column.max(initial=-np.inf):
                continue
            for values in (column, -column):
                if len(values) <= most:
                    found.append(np.arange(len(values)))
                    continue
                low = _lowest(values, most)
                bound = np.partition(values[low], most - 1)[most - 1]
                below = low[values[low] < bound]
                found += [below, low[values[low] == bound][: most - len(below)]]
        return np.concatenate(found)

    def drawn(
        self, keys: np.ndarray, y: np.ndarray, labels: np.ndarray | None, size: int, total: int, greatest: int
    ) -> tuple[np.ndarray, Inclusion, bool]:
        """Return the pilot's rows among those held, with their inclusion probabilities."""
        short, simple = False, size / total
        probability = np.full(len(keys), simple)
        base_variance = (1.0 - simple) * size / max(size - 1, 1)
        variance, base = np.full(len(keys), base_variance), np.ones(len(keys))
        chosen = keys <= greatest
        for factor, ids, cells in self.groups(y, labels):
            most, few = self.quota(factor, labels, size)
            members = np.argsort(ids, kind="stable")
            ends = np.searchsorted(ids[members], np.arange(len(cells) + 1))
            for number, cell in enumerate(cells):
                count = self.counts.get(cell, 0)
                if not count or count * simple >= min(few, count):
                    continue
                own = members[ends[number] : ends[number + 1]]
                own = own[keys[own] < self.cutoffs[cell]] if self.cutoffs[cell] < _EVERY_KEY else own
                own = own[np.argsort(keys[own])][:most]
                short |= len(own) < min(most, count)
                share = len(own) / count
                if share < _WORTH * simple:
                    continue
                chosen[own] = True
                drawn = members[ends[number] : ends[number + 1]]
                denser = drawn[chosen[drawn] & (probability[drawn] < share)]
                probability[denser], base[denser] = share, 0.0
                variance[denser] = (1.0 - share) * len(own) / max(len(own) - 1, 1)
        certain = self.extremes(size, final=True)
        probability[certain], variance[certain], base[certain], chosen[certain] = 1.0, 0.0, 0.0, True
        index = np.flatnonzero(chosen)
        probability = probability[index]
        weights = len(index) / total / probability
        return index, Inclusion(probability, weights, variance[index], base[index], size, base_variance), short


def _counted(ids: np.ndarray, count: int) -> np.ndarray:
    if ids.dtype == np.uint8 and count == 2:  # these bytes are valid booleans
        ones = int(np.count_nonzero(ids))
        return np.array([len(ids) - ones, ones])
    return np.bincount(ids, minlength=count)


def _lowest(values: np.ndarray, most: int) -> np.ndarray:
    """Return a subset of the rows, in order, that includes the lowest values; a few rows of many locate them."""
    some = values[::_EVERY]
    rank = 3 * most // _EVERY + 10
    if len(some) > rank:
        low = np.flatnonzero(values <= np.partition(some, rank)[rank])
        if len(low) >= most:
            return low
    return np.arange(len(values))


def _smallest(keys: np.ndarray, ids: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the rows with the smallest keys of each group, and per group a key below which no row was omitted."""
    counts = _counted(ids, len(most))
    # Keys are uniform, so a bound can be computed below which all of these keys lie, and few others.
    share = (most + 10 * np.sqrt(most) + 10) / np.maximum(counts, 1)
    bounds = np.where(share < 1, np.minimum(share, 1 - 2.0**-40) * 2.0**64, 0.0).astype(np.uint64)
    bounds[share >= 1] = _EVERY_KEY
    able = np.flatnonzero(keys <= bounds[ids]) if len(ids) else np.empty(0, np.intp)
    able = able[np.lexsort((keys[able], ids[able]))]
    groups = ids[able]
    starts = np.searchsorted(groups, np.arange(len(most)))
    rank = np.arange(len(able)) - starts[groups]
    next_one = able[rank == most[groups]]
    ends = bounds.tolist()
    for row in next_one:
        ends[ids[row]] = int(keys[row])
    return able[rank < most[groups]], ends


def _levels(rule: StrataRule, rows: Rows) -> tuple[tuple[pd.Index, ...], np.ndarray]:
    """Return the levels of each factor, and each row's codes."""
    if not rule.factors or rows.raw is None:
        return (), np.zeros((len(rows), 0), np.int32)
    frame = rows.raw if rows.kept is None else rows.raw.iloc[rows.kept]
    codes, known = zip(*(level_codes(factor.values(frame)) for factor in rule.factors), strict=True)
    return known, np.column_stack(codes)


def _joined_levels(parts: Sequence[Strata]) -> tuple[tuple[pd.Index, ...], np.ndarray]:
    """Return the levels of several samples, and the codes of their rows in sequence."""
    known, columns = [], []
    for factor, first in enumerate(parts[0].known):
        union = first
        for part in parts[1:]:
            union = union if part.known[factor].equals(union) else union.append(part.known[factor]).unique()
        places = [union.get_indexer(part.known[factor]).astype(np.int32) for part in parts]
        columns.append(np.concatenate([at[part.levels[:, factor]] for at, part in zip(places, parts, strict=True)]))
        known.append(union)
    rows = sum(len(part.levels) for part in parts)
    return tuple(known), np.column_stack([np.zeros((rows, 0), np.int32), *columns])


def _tails(rule: StrataRule, rows: Rows) -> np.ndarray:
    """Return the columns whose extreme rows are drawn."""
    columns = [part for part in (rows.offset, rows.weights) if part is not None]
    if rule.numbers and rows.raw is not None:
        frame = rows.raw if rows.kept is None else rows.raw.iloc[rows.kept]
        # Converted one by one, whatever the dtypes within a block are.
        columns += [
            frame[name].to_numpy(np.float64, na_value=np.nan) if is_numeric(frame.dtypes[name]) else np.zeros(len(rows))
            for name in rule.numbers
        ]
    return np.column_stack([np.zeros((len(rows), 0)), *columns])
