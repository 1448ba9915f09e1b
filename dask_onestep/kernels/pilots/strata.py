"""Oversampled strata of the pilot: rare classes and levels, and rows with extreme values.

All strata use the same keys: from each, the rows with the smallest keys are drawn. A row that is in several strata is
drawn with the largest of their probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.compiled.accelerate import loop
from dask_onestep.kernels.designs.expressions import as_floats, is_numeric
from dask_onestep.kernels.designs.levels import joined_levels, level_codes
from dask_onestep.kernels.designs.parts import Rows, rows_where, taken
from dask_onestep.kernels.designs.products import SLICE_ROWS
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.keys import keys_below
from dask_onestep.kernels.records import Record

_EVERY_KEY = int(np.iinfo(np.uint64).max)
# Each row's code and the levels of a factor.
LevelCodes = Callable[[Factor], tuple[np.ndarray, pd.Index]]

# Rows drawn per class, if a simple random sample is expected to have fewer than the second number.
_OF_CLASS, _FEW_OF_CLASS = 5000, 1000
# Rows for all combinations of level and class together; minimum and maximum for each; maximum number of levels and
# classes.
_OF_LEVELS, _OF_LEVEL, _MAX_LEVELS, _MAX_CLASSES = 10_000, (20, 500), 1000, 20
# Extreme rows for both ends of all columns together; minimum and maximum for each.
_OF_TAILS, _OF_TAIL = 5000, (10, 250)
# They are drawn from all rows, and again from ever smaller random parts of them: those with keys below these fractions.
_PARTS = (1.0, 1 / 4, 1 / 16, 1 / 64)
# Sample size to which these numbers refer.
_LARGE = 20_000
# Within a block, a stratum below this fraction of the rows is treated as rare.
_RARE = 0.05
# One of this many rows is examined to find where the lowest values are.
_EVERY = 64
# Of a part with fewer rows than this fraction, all rows are examined.
_FEW = 1 / 8
# A stratum's rows with keys below a bound are very probably, and surely, at most so many standard deviations fewer than
# expected.
_PROBABLY, _SURELY = 5, 10
# Minimum ratio of a stratum's sampling fraction to that of all rows.
_WORTH = 1.2
# Strata with fewer rows in the pilot are merged when it is calibrated, in at most so many rounds over the factors,
# until none of the sums is off by more than this fraction.
_FEW_TO_CALIBRATE, _ROUNDS, _CALIBRATED = 5, 10, 1e-9


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
    uneven : bool
        Whether some columns may depend on few rows, as those of interactions and splines do.
    """

    factors: tuple[Factor, ...]
    numbers: tuple[str, ...]
    classify: bool
    n_blocks: int
    uneven: bool = False

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
        return cls(factors, numbers, model.classify, n_blocks, design is not None and design.terms.uneven)

    def of_tail(self, size: int = _LARGE) -> int:
        """Return how many extreme rows are drawn at each end of a column."""
        most = int(np.clip(_OF_TAILS // (2 * (len(self.numbers) + 2)), *_OF_TAIL))
        return max(int(min(size / _LARGE, 1.0) * most), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Strata(Record):
    """What a sample contains of the strata.

    A classification is that only by classes, whose tables have one row, or that by the levels of a factor and class.

    Attributes
    ----------
    rule : StrataRule
        The definition.
    known : tuple of Index
        The levels seen of each factor.
    classes : ndarray of shape (C,)
        The labels seen, or 0 and not 0; none if there are more than a few labels.
    levels : tuple of ndarray of shape (m,) of int32
        Codes of the levels of each row held, by factor.
    counts : tuple of ndarray of shape (L, C)
        Rows seen of each stratum, by classification.
    cutoffs : tuple of ndarray of shape (L, C) of uint64
        For each stratum, no discarded row has a key below it.
    """

    rule: StrataRule
    known: tuple[pd.Index, ...]
    classes: np.ndarray
    levels: tuple[np.ndarray, ...]
    counts: tuple[np.ndarray, ...] = ()
    cutoffs: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(
        cls,
        rule: StrataRule,
        rows: Rows,
        labels: np.ndarray | None,
        sample: np.ndarray,
        cutoff: int,
        keys: np.ndarray,
        codes_of: LevelCodes | None = None,
    ) -> tuple[Strata, np.ndarray]:
        """Return the strata of a block, and the rows to hold besides the simple `sample`, those below a cutoff."""
        known, levels = _levels(rule, rows, codes_of)
        found = cls(rule, known, _classes(rule, labels), levels)
        of_class, cutoffs, share = found.of_class(rows.y), [], cutoff / _EVERY_KEY
        found = found.counted(of_class)
        wanted = [index for index, _ in extremes(tails(rule, rows), keys, rule.of_tail(), share)]
        counts = found.take(sample).counted(of_class.take(sample)).counts
        for number, (seen, of_sample) in enumerate(zip(found.counts, counts, strict=True)):
            most = found.quota(number)[0]
            part = min(most, max(2 * most // rule.n_blocks, 10))
            held = np.where(seen < _RARE * len(rows), most, np.where(share * seen < part / 2, part, 0))
            held[of_sample >= held] = 0  # the sample has them
            ends = np.full(seen.shape, cutoff, np.uint64)
            if found.is_oversampled(number) and held.any():
                ids_of = partial(found.groups, number, of_class)
                index, more = _smallest(keys, ids_of, held.ravel(), seen.ravel())
                wanted.append(index)
                ends = np.where(held > 0, np.maximum(more.reshape(ends.shape), ends), ends)
            cutoffs.append(ends)
        return replace(found, cutoffs=tuple(cutoffs)), np.concatenate([np.empty(0, np.intp), *wanted])

    @classmethod
    def of_all(cls, rule: StrataRule, rows: Rows, labels: np.ndarray | None) -> Strata:
        """Return the strata of rows that are all held."""
        known, levels = _levels(rule, rows, None)
        found = cls(rule, known, _classes(rule, labels), levels)
        found = found.counted(found.of_class(rows.y))
        return replace(found, cutoffs=tuple(np.full(n.shape, _EVERY_KEY, np.uint64) for n in found.counts))

    def counted(self, of_class: np.ndarray) -> Strata:
        """Return the strata with the numbers of the rows held."""
        sizes = [len(levels) for levels in self.known]
        return replace(self, counts=_counts(of_class, len(self.classes), self.levels, sizes))

    @classmethod
    def joined(cls, parts: Sequence[Strata], labels: np.ndarray | None) -> Strata:
        """Return the strata of several samples in sequence."""
        rule = parts[0].rule
        classes, (known, places) = _classes(rule, labels), _joined_levels(parts)
        levels = tuple(
            np.concatenate([at.take(part.levels[factor]) for at, part in zip(of_part, parts, strict=True)])
            for factor, of_part in enumerate(places)
        )
        found = cls(rule, known, classes, levels)
        counts, cutoffs = [], []
        for number in range(1 + len(levels) if len(classes) else 0):
            count = np.zeros(found.shape(number), np.int64)
            cutoff = np.full(found.shape(number), _EVERY_KEY, np.uint64)
            for place, part in enumerate(parts):
                if not part.counts:  # a block without rows
                    continue
                level = places[number - 1][place] if number else np.zeros(1, np.intp)
                at = np.ix_(level, np.searchsorted(classes, part.classes))
                count[at] += part.counts[number]
                cutoff[at] = np.minimum(cutoff[at], part.cutoffs[number])
            counts.append(count)
            cutoffs.append(cutoff)
        return replace(found, counts=tuple(counts), cutoffs=tuple(cutoffs))

    def needed(self, keys: np.ndarray, y: np.ndarray, n: int, size: int) -> tuple[Strata, np.ndarray]:
        """Return the strata, with cutoffs from which on rows are not held, and the rows to hold but for extreme ones.

        Parameters
        ----------
        size : int
            Size of the simple random sample that is held besides; 0 if it is unknown.
        """
        wanted, cutoffs, of_class = [np.empty(0, np.intp)], list(self.cutoffs), self.of_class(y)
        for number in range(len(self.counts)):
            every, ends = self.counts[number].ravel(), self.cutoffs[number].ravel()
            most, few = self.quota(number)
            if not self.is_oversampled(number) or (size and (every * size >= np.minimum(few, every) * n).all()):
                continue  # a simple random sample has enough rows of each
            ids_of = partial(self.groups, number, of_class)
            index, more = _smallest(keys, ids_of, np.full(len(every), most), every, ends)
            wanted.append(index)
            cutoffs[number] = np.minimum(ends, more).reshape(self.shape(number))
        return replace(self, cutoffs=tuple(cutoffs)), np.concatenate(wanted)

    def take(self, index: np.ndarray) -> Strata:
        """Return the strata of some of the rows held."""
        return replace(self, levels=tuple(codes.take(index) for codes in self.levels))

    def shape(self, number: int) -> tuple[int, int]:
        """Return the numbers of levels and classes of a classification."""
        return len(self.known[number - 1]) if number else 1, len(self.classes)

    def is_oversampled(self, number: int) -> bool:
        """Return whether more rows of a classification's rare strata are drawn: not if a factor has too many levels."""
        return self.shape(number)[0] <= _MAX_LEVELS

    def quota(self, number: int, size: int = _LARGE) -> tuple[int, int]:
        """Return how many rows of a stratum are drawn, and below which expected number in a simple sample.

        Both are proportional in small samples. They decrease as more levels are seen, so a block never holds too few.
        """
        most, few = _OF_CLASS, _FEW_OF_CLASS
        if number:
            groups = sum(min(len(levels), _MAX_LEVELS) for levels in self.known) * len(self.classes)
            least, greatest = _OF_LEVEL
            most = few = min(max(_OF_LEVELS // max(groups, 1), least), greatest)
        share = min(size / _LARGE, 1.0)
        return max(int(share * most), 5), max(int(share * few), 5)

    def of_class(self, y: np.ndarray) -> np.ndarray:
        """Return the number of each row's class."""
        if not self.rule.classify or len(self.classes) == 2:
            return (y == self.classes[-1] if self.rule.classify else y != 0).view(np.uint8)
        return pd.Index(self.classes).get_indexer(y)

    def groups(self, number: int, of_class: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
        """Return the stratum of each row held, or of some, by a classification; number 0 is that by classes."""
        own = taken(of_class, index)
        return taken(self.levels[number - 1], index) * len(self.classes) + own if number else own

    def drawn(
        self, keys: np.ndarray, y: np.ndarray, columns: Sequence[np.ndarray], size: int, total: int, greatest: int
    ) -> tuple[np.ndarray, Inclusion, bool]:
        """Return the pilot's rows among those held, with their inclusion probabilities; `columns` may have tails."""
        short, simple, of_class = False, size / total, self.of_class(y)
        probability = np.full(len(keys), simple)
        base_variance = (1.0 - simple) * size / max(size - 1, 1)
        variance, base = np.full(len(keys), base_variance), np.ones(len(keys))
        chosen = keys <= greatest
        for number in range(len(self.counts)):
            most, few = self.quota(number, size)
            counts, cutoffs = self.counts[number].ravel(), self.cutoffs[number].ravel()
            is_rare = counts * simple < np.minimum(few, counts)
            if not self.is_oversampled(number) or not is_rare.any():
                continue
            ids, wanted = self.groups(number, of_class), np.where(is_rare, most, 0)
            own, _ = _smallest(keys, partial(taken, ids), wanted, counts, cutoffs)
            drawn = np.bincount(ids[own], minlength=len(counts))
            short |= bool((drawn < np.minimum(wanted, counts)).any())
            share = drawn / np.maximum(counts, 1)
            pays = is_rare & (share >= _WORTH * simple)
            chosen[own[pays[ids[own]]]] = True
            denser = rows_where(chosen & pays[ids] & (probability < share[ids]))
            of = ids[denser]
            probability[denser], base[denser] = share[of], 0.0
            variance[denser] = ((1.0 - share) * drawn / np.maximum(drawn - 1, 1))[of]
        uneven = [column for column in columns if column.min() < column.max()]  # in a block, a column may be constant
        for index, share in extremes(uneven, keys, self.rule.of_tail(size), _WORTH * simple):
            denser = index[probability[index] < share]
            probability[denser], variance[denser], base[denser], chosen[denser] = share, 1.0 - share, 0.0, True
        index = rows_where(chosen)
        probability = probability[index]
        weights = len(index) / total * self.take(index).calibrated(1.0 / probability, of_class[index])
        return index, Inclusion(probability, weights, variance[index], base[index], size, base_variance), short

    def calibrated(self, weights: np.ndarray, of_class: np.ndarray) -> np.ndarray:
        """Return weights of the rows held, at least 1, whose sums for each level and class are the rows seen: raking.

        A row stands for itself and for others, whose number is adjusted. Strata with few of the rows are merged.
        """
        if len(self.counts) < 2:
            return weights
        others, places, shape = weights - 1.0, (*self.levels, of_class), (*map(len, self.known), len(self.classes))
        cells, sizes, margins, total = None, None, [], math.prod(shape)
        values: np.ndarray = others
        if total <= len(others):  # rows of equal strata have the same factors: the strata are raked
            cells = places[0]
            for own, length in zip(places[1:], shape[1:], strict=True):
                cells = cells * length + own
            sizes, values = np.bincount(cells, None, total), np.bincount(cells, others, total)
            places = np.unravel_index(np.arange(total), shape)
        for levels, seen in zip(places, self.counts[1:], strict=False):
            ids, counts = levels * len(self.classes) + places[-1], seen.ravel()
            held, groups = np.bincount(ids, sizes, len(counts)), np.arange(len(counts))
            scarce = held < np.minimum(_FEW_TO_CALIBRATE, counts)
            groups[scarce] = len(counts) + groups[scarce] % len(self.classes)
            margins.append((groups[ids], np.bincount(groups, counts - held, len(counts) + len(self.classes))))
        return 1.0 + others * taken(_raked(values, margins), cells)


def _raked(values: np.ndarray, margins: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return factors with which the sums of values over the groups of each margin are its totals."""
    factors = np.ones(len(values))
    for _ in range(_ROUNDS if len(margins) > 1 else 1):
        worst = 0.0
        for ids, totals in margins:
            sums = np.bincount(ids, values * factors, len(totals))
            ratios = np.divide(totals, sums, out=np.ones_like(sums), where=sums > 0)
            worst = max(worst, float(np.abs(ratios - 1.0).max()))
            factors *= ratios[ids]
        if worst <= _CALIBRATED:
            break
    return factors


def _classes(rule: StrataRule, labels: np.ndarray | None) -> np.ndarray:
    if not rule.classify:
        return np.array([False, True])
    assert labels is not None
    return labels if len(labels) <= _MAX_CLASSES else labels[:0]


def extremes(
    columns: Iterable[np.ndarray], keys: np.ndarray, most: int, beyond: float = 0.0
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield so many extreme rows at each end of each column, and the fraction of all rows they are from.

    Fractions above `beyond` are used. Of equal values the first rows count.
    """
    bounds = {part: min(int(part * 2**64), _EVERY_KEY) for part in _PARTS if part > beyond}
    some = keys[::_EVERY].copy()
    seen = {part: np.count_nonzero(some <= np.uint64(bound)) / len(some) for part, bound in bounds.items() if len(some)}
    few = {part: keys_below(keys, bounds[part]) for part, share in seen.items() if share < _FEW}
    enough = math.ceil(most / min((share for share in seen.values() if share >= _FEW), default=1.0))
    for column in columns if bounds else ():
        near, low, high = _near(column, enough)
        values, own = column.take(near), keys.take(near)
        for part, bound in bounds.items():
            rows = few.get(part)
            if rows is None:
                if bound < _EVERY_KEY:  # rows of a part are in all larger ones
                    inside = keys_below(own, bound)
                    near, values, own = near.take(inside), values.take(inside), own.take(inside)
                if np.count_nonzero(values <= low) >= most <= np.count_nonzero(values >= high):
                    yield near.take(_ends(values, most)), part
                    continue
                rows = keys_below(keys, bound)
            yield rows.take(_ends(column.take(rows), most)), part


def _near(values: np.ndarray, most: int) -> tuple[np.ndarray, Any, Any]:
    """Return the rows of about so many lowest and highest values, mostly more, and up to and from which values."""
    some = values[::_EVERY].copy()  # a few rows of many locate them
    rank = 3 * most // (2 * _EVERY) + 20
    if len(some) <= 2 * rank:
        return np.arange(len(values)), np.inf, -np.inf
    low, high = (np.partition(some, at)[at] for at in (rank, len(some) - 1 - rank))
    out = np.empty(len(values) + 1, np.int64)
    return out[: loop("find_ends", _find_ends)(values, low, high, 3 * most // 2, out)], low, high


def _find_ends(values: np.ndarray, low: Any, high: Any, most: int, out: np.ndarray) -> int:
    rows = np.flatnonzero((values <= low) | (values >= high))
    out[: len(rows)] = rows
    return len(rows)


def _ends(values: np.ndarray, most: int) -> np.ndarray:
    """Return the rows of the lowest and the highest values; of equal values the first."""
    if len(values) <= most:
        return np.arange(len(values))
    low, high = (np.partition(values, at)[at] for at in (most - 1, len(values) - most))
    if (last := values.max()) != last:  # NaN
        present = np.flatnonzero(values == values)
        return present.take(_ends(values.take(present), most))
    chosen = (values <= low) | (values >= high)
    if low < high and np.count_nonzero(chosen) == 2 * most:  # no others are equal to the last ones
        return rows_where(chosen)
    chosen[:] = False
    for end, beyond in ((low, values < low), (high, values > high)):
        chosen |= beyond
        chosen[np.flatnonzero(values == end)[: most - np.count_nonzero(beyond)]] = True
    return rows_where(chosen)


def _counts(
    of_class: np.ndarray, n_classes: int, levels: Sequence[np.ndarray], sizes: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """Return the numbers of rows by class, and for each factor by level and class."""
    if not n_classes:
        return ()
    if not levels and of_class.dtype == np.uint8:  # of two classes; these bytes are valid booleans
        ones = np.count_nonzero(of_class)
        return (np.array([[len(of_class) - ones, ones]]),)
    counts = [np.zeros((size, n_classes), np.int64) for size in sizes]
    for codes, count in zip(levels, counts, strict=True):
        loop("count", _count)(codes, of_class, count)
    by_class = counts[0].sum(axis=0) if counts else np.bincount(of_class, minlength=n_classes)
    return by_class[None], *counts


def _count(codes: np.ndarray, of_class: np.ndarray, out: np.ndarray) -> None:
    for start in range(0, len(codes), SLICE_ROWS):
        at = slice(start, start + SLICE_ROWS)
        out += np.bincount(codes[at] * out.shape[1] + of_class[at], minlength=out.size).reshape(out.shape)


def _bounds(most: np.ndarray, counts: np.ndarray, deviations: int) -> np.ndarray:
    """Return, for each group of so many rows, a key below which the smallest ones probably lie, and few others."""
    # Keys are uniform, so such a bound can be computed.
    share = (most + deviations * (np.sqrt(most) + 1)) / np.maximum(counts, 1)
    bounds = np.where(share < 1, np.minimum(share, 1 - 2.0**-40) * 2.0**64, 0.0).astype(np.uint64)
    bounds[share >= 1] = _EVERY_KEY
    bounds[most == 0] = 0
    return bounds


def _smallest(
    keys: np.ndarray,
    ids_of: Callable[[Any], np.ndarray],
    most: np.ndarray,
    counts: np.ndarray,
    ends: np.ndarray | None = None,
    deviations: int = _PROBABLY,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the smallest keys of each group, and per group a key below which no row was omitted.

    Parameters
    ----------
    keys : ndarray of shape (m,)
        Key of each row.
    ids_of : callable
        Returns the group of each row of a slice or an index.
    most, counts : ndarray of shape (G,)
        How many rows of each group are wanted, and how many there are.
    ends : ndarray of shape (G,) of uint64, optional
        Only rows with keys below these are returned.
    deviations : int
        Standard deviations of the number of a group's rows with keys below a bound.
    """
    bounds = _bounds(most, counts, deviations)
    limits = bounds if ends is None else np.minimum(bounds, ends)
    rows, ids = _below(keys, ids_of, limits, int(limits[counts > 0].max(initial=0)))
    own = keys.take(rows)
    # There are at most `_MAX_LEVELS * _MAX_CLASSES` groups. The last bits of a key hardly ever matter.
    ordered = np.sort(ids.astype(np.uint64) << np.uint64(48) | own >> np.uint64(16))
    first = np.searchsorted(ordered, np.arange(len(most) + 1, dtype=np.uint64) << np.uint64(48))
    found = np.diff(first)
    if deviations < _SURELY and ((found <= most) & (most > 0) & (bounds < _EVERY_KEY) & (bounds == limits)).any():
        return _smallest(keys, ids_of, most, counts, ends, _SURELY)
    more = np.flatnonzero(found > most)
    bounds[more] = ordered[first[more] + most[more]] << np.uint64(16)
    return rows.take(rows_where(own < bounds.take(ids))), bounds


def _below(
    keys: np.ndarray, ids_of: Callable[[Any], np.ndarray], limits: np.ndarray, greatest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with keys below the limits of their groups, of which this is the greatest, and these groups."""
    if greatest < _EVERY_KEY // 4:
        rows = keys_below(keys, greatest)
        ids = ids_of(rows)
        near = rows_where(keys.take(rows) < limits.take(ids))
        return rows.take(near), ids.take(near)
    found = []
    for start in range(0, max(len(keys), 1), SLICE_ROWS):
        at = slice(start, start + SLICE_ROWS)
        ids = ids_of(at)
        near = rows_where(keys[at] < limits.take(ids))
        found.append((near + start, ids.take(near)))
    rows_found, ids_found = zip(*found, strict=True)
    return np.concatenate(rows_found), np.concatenate(ids_found)


def _levels(
    rule: StrataRule, rows: Rows, codes_of: LevelCodes | None
) -> tuple[tuple[pd.Index, ...], tuple[np.ndarray, ...]]:
    """Return the levels of each factor, and each row's codes."""
    if not rule.factors or rows.raw is None:
        return (), ()
    raw = rows.raw
    found = codes_of or (lambda factor: level_codes(factor.values(raw, rows.kept)))
    codes, known = zip(*map(found, rule.factors), strict=True)
    return known, codes


def _joined_levels(parts: Sequence[Strata]) -> tuple[tuple[pd.Index, ...], list[list[np.ndarray]]]:
    """Return the levels of several samples, and for each factor and sample the places of its levels among these."""
    known, places = [], []
    for factor in range(len(parts[0].known)):
        union = joined_levels([part.known[factor] for part in parts])
        places.append([union.get_indexer(part.known[factor]).astype(np.int32) for part in parts])
        known.append(union)
    return tuple(known), places


def tails(rule: StrataRule, rows: Rows) -> Iterator[np.ndarray]:
    """Yield the columns whose extreme rows are drawn: offset, weights, and columns of the table."""
    yield from (part for part in (rows.offset, rows.weights) if part is not None)
    if rows.raw is not None:
        yield from (_tail(rows.raw[name], rows.kept) for name in rule.numbers)


def _tail(column: Any, kept: np.ndarray | None) -> np.ndarray:
    """Return a column's values; zeros where they are not numeric."""
    if not is_numeric(column.dtype):
        return np.zeros(len(column) if kept is None else len(kept))
    values = taken(np.asarray(column) if isinstance(column.dtype, np.dtype) else as_floats(column), kept)
    return np.require(values, values.dtype if values.dtype == np.int64 else np.float64, "A")
