"""Oversampled strata of the pilot: rare classes and levels, and rows with extreme values.

All strata use the same keys: from each, the rows with the smallest keys are drawn. A row that is in several strata is
drawn with the largest of their probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import as_floats, is_numeric
from dask_onestep.kernels.designs.levels import joined_levels, level_codes
from dask_onestep.kernels.designs.parts import Rows
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

    A classification is that by classes alone, whose tables have one row, or that by the levels of a factor and class.

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
    tails : tuple of ndarray of shape (m,)
        Columns whose extreme rows are drawn, including offset and weights, of the rows held.
    counts : tuple of ndarray of shape (L, C)
        Rows seen of each stratum, by classification.
    cutoffs : tuple of ndarray of shape (L, C) of uint64
        For each stratum, no discarded row has a key below it.
    """

    rule: StrataRule
    known: tuple[pd.Index, ...]
    classes: np.ndarray
    levels: tuple[np.ndarray, ...]
    tails: tuple[np.ndarray, ...]
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
        found, ids_of = cls._with_counts(rule, rows, labels, codes_of)
        cutoffs, share = [], cutoff / _EVERY_KEY
        wanted = [index for index, _ in found.extremes(keys, share)]
        for number, (ids, seen) in enumerate(zip(ids_of, found.counts, strict=True)):
            most = found.quota(number)[0]
            part = min(most, max(2 * most // rule.n_blocks, 10))
            held = np.where(seen < _RARE * len(ids), most, np.where(share * seen < part / 2, part, 0))
            held[_counted(ids[sample], seen.shape) >= held] = 0  # the sample has them
            ends = np.full(seen.shape, cutoff, np.uint64)
            if found.is_oversampled(number) and held.any():
                index, more = _smallest(keys, ids, held.ravel(), seen.ravel())
                wanted.append(index)
                ends = np.where(held > 0, np.maximum(more.reshape(ends.shape), ends), ends)
            cutoffs.append(ends)
        return replace(found, cutoffs=tuple(cutoffs)), np.concatenate([np.empty(0, np.intp), *wanted])

    @classmethod
    def of_all(
        cls, rule: StrataRule, rows: Rows, labels: np.ndarray | None, codes_of: LevelCodes | None = None
    ) -> Strata:
        """Return the strata of rows that are all held."""
        found, _ = cls._with_counts(rule, rows, labels, codes_of)
        return replace(found, cutoffs=tuple(np.full(n.shape, _EVERY_KEY, np.uint64) for n in found.counts))

    @classmethod
    def _with_counts(
        cls, rule: StrataRule, rows: Rows, labels: np.ndarray | None, codes_of: LevelCodes | None
    ) -> tuple[Strata, list[np.ndarray]]:
        """Return the strata of rows, counted, and the stratum of each row by classification."""
        known, levels = _levels(rule, rows, codes_of)
        found = cls(rule, known, _classes(rule, labels), levels, _tails(rule, rows))
        ids_of = [ids for _, ids in found.groups(rows.y)]
        counts = tuple(_counted(ids, found.shape(number)) for number, ids in enumerate(ids_of))
        return replace(found, counts=counts), ids_of

    @classmethod
    def joined(
        cls, parts: Sequence[Strata], keys: np.ndarray, y: np.ndarray, labels: np.ndarray | None, size: float = 0
    ) -> tuple[Strata, np.ndarray]:
        """Return the strata of several samples in sequence, and the rows of them to hold."""
        rule = parts[0].rule
        classes, (known, places) = _classes(rule, labels), _joined_levels(parts)
        levels = tuple(
            np.concatenate([at.take(part.levels[factor]) for at, part in zip(of_part, parts, strict=True)])
            for factor, of_part in enumerate(places)
        )
        tails = tuple(np.concatenate(column) for column in zip(*(part.tails for part in parts), strict=True))
        found = cls(rule, known, classes, levels, tails)
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
        found = replace(found, counts=tuple(counts), cutoffs=tuple(cutoffs))
        wanted = [index for index, _ in found.extremes(keys)]
        total = sum(int(part.counts[0].sum()) for part in parts if part.counts)
        for number, ids in found.groups(y):
            every, ends = found.counts[number].ravel(), found.cutoffs[number].ravel()
            most, few = found.quota(number)
            if not found.is_oversampled(number) or (size and (every * size >= np.minimum(few, every) * total).all()):
                continue  # a simple random sample has enough rows of each
            index, more = _smallest(keys, ids, np.full(len(every), most), every, ends)
            wanted.append(index)
            found.cutoffs[number][:] = np.minimum(ends, more).reshape(found.shape(number))
        return found, np.concatenate([np.empty(0, np.intp), *wanted])

    def take(self, index: np.ndarray) -> Strata:
        """Return the strata of some of the rows held."""
        levels, tails = (tuple(column.take(index) for column in columns) for columns in (self.levels, self.tails))
        return replace(self, levels=levels, tails=tails)

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

    def groups(self, y: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each classification's number, 0 for that by classes, and the stratum of each row held."""
        count = len(self.classes)
        if not count:
            return
        if not self.rule.classify or count == 2:
            of_class: np.ndarray = (y == self.classes[-1] if self.rule.classify else y != 0).view(np.uint8)
        else:
            of_class = pd.Index(self.classes).get_indexer(y)
        yield 0, of_class
        for factor, codes in enumerate(self.levels):
            ids = codes * count
            ids += of_class
            yield factor + 1, ids

    def extremes(
        self, keys: np.ndarray, beyond: float = 0.0, size: int = _LARGE, *, final: bool = False
    ) -> Iterator[tuple[np.ndarray, float]]:
        """Yield the most extreme rows held, at both ends of each column, and the fraction of all rows they are from.

        Fractions above `beyond` are used. Of equal values the first rows count. In the final draw constant columns are
        skipped; before that a column may be constant only within a block.
        """
        most, parts = self.rule.of_tail(size), [part for part in _PARTS if part > beyond]
        for column in self.tails if parts else ():
            if final and column.min() == column.max():
                continue
            for sign in (1, -1):
                near = _near(column, math.ceil(most / parts[-1]), sign)
                for part in parts:
                    bound = min(int(part * 2**64), _EVERY_KEY)
                    near = near if part == 1 else near[keys_below(keys.take(near), bound)]
                    rows = near if len(near) >= most else keys_below(keys, bound)
                    yield rows[_lowest(column.take(rows), most, sign)], part

    def drawn(
        self, keys: np.ndarray, y: np.ndarray, size: int, total: int, greatest: int
    ) -> tuple[np.ndarray, Inclusion, bool]:
        """Return the pilot's rows among those held, with their inclusion probabilities."""
        short, simple = False, size / total
        probability = np.full(len(keys), simple)
        base_variance = (1.0 - simple) * size / max(size - 1, 1)
        variance, base = np.full(len(keys), base_variance), np.ones(len(keys))
        chosen = keys <= greatest
        for number, ids in self.groups(y):
            most, few = self.quota(number, size)
            counts, cutoffs = self.counts[number].ravel(), self.cutoffs[number].ravel()
            is_rare = counts * simple < np.minimum(few, counts)
            if not self.is_oversampled(number) or not is_rare.any():
                continue
            wanted = np.where(is_rare, most, 0)
            own, _ = _smallest(keys, ids, wanted, counts, cutoffs)
            drawn = np.bincount(ids[own], minlength=len(counts))
            short |= bool((drawn < np.minimum(wanted, counts)).any())
            share = drawn / np.maximum(counts, 1)
            pays = is_rare & (share >= _WORTH * simple)
            chosen[own[pays[ids[own]]]] = True
            denser = np.flatnonzero(chosen & pays[ids] & (probability < share[ids]))
            of = ids[denser]
            probability[denser], base[denser] = share[of], 0.0
            variance[denser] = ((1.0 - share) * drawn / np.maximum(drawn - 1, 1))[of]
        for index, share in self.extremes(keys, _WORTH * simple, size, final=True):
            denser = index[probability[index] < share]
            probability[denser], variance[denser], base[denser], chosen[denser] = share, 1.0 - share, 0.0, True
        index = np.flatnonzero(chosen)
        probability = probability[index]
        weights = len(index) / total * self.take(index).calibrated(1.0 / probability, y[index])
        return index, Inclusion(probability, weights, variance[index], base[index], size, base_variance), short

    def calibrated(self, weights: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return weights of the rows held, at least 1, whose sums for each level and class are the rows seen: raking.

        A row stands for itself and for others, whose number is adjusted. Strata with few of the rows are merged.
        """
        margins, others = [], weights - 1.0
        for number, ids in self.groups(y):
            if number:
                counts = self.counts[number].ravel()
                sizes = np.bincount(ids, minlength=len(counts))
                cells = np.arange(len(counts))
                scarce = sizes < np.minimum(_FEW_TO_CALIBRATE, counts)
                cells[scarce] = len(counts) + cells[scarce] % len(self.classes)
                margins.append((cells[ids], np.bincount(cells, counts - sizes, len(counts) + len(self.classes))))
        shape = tuple(len(totals) for _, totals in margins)
        if len(margins) < 2 or math.prod(shape) > len(others):
            return 1.0 + _raked(others, margins)
        # Rows of equal strata have the same factors: the strata, of which there are fewer, are raked.
        cells = np.ravel_multi_index(tuple(ids for ids, _ in margins), shape)
        sums = np.bincount(cells, others, math.prod(shape))
        places = np.unravel_index(np.arange(len(sums)), shape)
        raked = _raked(sums, [(ids, totals) for ids, (_, totals) in zip(places, margins, strict=True)])
        return 1.0 + others * np.divide(raked, sums, out=np.ones_like(sums), where=sums > 0)[cells]


def _raked(values: np.ndarray, margins: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return values with factors by which their sums over the groups of each margin are its totals."""
    for _ in range(_ROUNDS if len(margins) > 1 else len(margins)):
        worst = 0.0
        for ids, totals in margins:
            sums = np.bincount(ids, values, len(totals))
            ratios = np.divide(totals, sums, out=np.ones_like(sums), where=sums > 0)
            worst = max(worst, float(np.abs(ratios - 1.0).max()))
            values = values * ratios[ids]
        if worst <= _CALIBRATED:
            break
    return values


def _classes(rule: StrataRule, labels: np.ndarray | None) -> np.ndarray:
    if not rule.classify:
        return np.array([False, True])
    assert labels is not None
    return labels if len(labels) <= _MAX_CLASSES else labels[:0]


def _counted(ids: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if ids.dtype == np.uint8 and shape == (1, 2):  # these bytes are valid booleans
        ones = int(np.count_nonzero(ids))
        return np.array([[len(ids) - ones, ones]])
    cells = shape[0] * shape[1]
    counts = np.zeros(cells, np.intp)
    for start in range(0, len(ids), SLICE_ROWS):  # which are converted
        counts += np.bincount(ids[start : start + SLICE_ROWS], minlength=cells)
    return counts.reshape(shape)


def _near(values: np.ndarray, most: int, sign: int) -> np.ndarray:
    """Return the rows of about so many lowest values, mostly more, or with sign -1 of the highest; all if few are."""
    some = sign * values[::_EVERY]  # a few rows of many locate them
    rank = 3 * most // (2 * _EVERY) + 20
    if len(some) <= rank:
        return np.arange(len(values))
    bound = sign * np.partition(some, rank)[rank]
    return np.flatnonzero(values <= bound if sign > 0 else values >= bound)


def _lowest(values: np.ndarray, most: int, sign: int) -> np.ndarray:
    """Return the rows of the lowest values, or with sign -1 of the highest; of equal values the first."""
    if len(values) <= most:
        return np.arange(len(values))
    values = sign * values
    bound = np.partition(values, most - 1)[most - 1]
    below = np.flatnonzero(values < bound)
    return np.concatenate([below, np.flatnonzero(values == bound)[: most - len(below)]])


def _bounds(most: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return, for each group of so many rows, a key below which the smallest ones lie, and few others."""
    # Keys are uniform, so such a bound can be computed.
    share = (most + 10 * np.sqrt(most) + 10) / np.maximum(counts, 1)
    bounds = np.where(share < 1, np.minimum(share, 1 - 2.0**-40) * 2.0**64, 0.0).astype(np.uint64)
    bounds[share >= 1] = _EVERY_KEY
    bounds[most == 0] = 0
    return bounds


def _smallest(
    keys: np.ndarray, ids: np.ndarray, most: np.ndarray, counts: np.ndarray, ends: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the smallest keys of each group, and per group a key below which no row was omitted.

    Parameters
    ----------
    keys, ids : ndarray of shape (m,)
        Key and group of each row.
    most, counts : ndarray of shape (G,)
        How many rows of each group are wanted, and how many there are.
    ends : ndarray of shape (G,) of uint64, optional
        Only rows with keys below these are returned.
    """
    bounds = _bounds(most, counts)
    able = keys_below(keys, int(bounds.max(initial=0)))
    groups = ids[able]
    near = keys[able] <= bounds[groups]
    if ends is not None:
        near &= keys[able] < ends[groups]
    able = able[near]
    able = able[np.argsort(keys[able])]
    # NumPy sorts integers of 16 bits by counting them; there are at most `_MAX_LEVELS * _MAX_CLASSES` groups.
    able = able[np.argsort(ids[able].astype(np.uint16), kind="stable")]
    groups = ids[able]
    rank = np.arange(len(able)) - np.searchsorted(groups, np.arange(len(most)))[groups]
    next_one = able[rank == most[groups]]
    bounds[ids[next_one]] = keys[next_one]
    return able[rank < most[groups]], bounds


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


def _tails(rule: StrataRule, rows: Rows) -> tuple[np.ndarray, ...]:
    """Return the columns whose extreme rows are drawn."""
    columns = [part for part in (rows.offset, rows.weights) if part is not None]
    if rule.numbers and rows.raw is not None:
        columns += [_tail(rows.raw[name], rows.kept) for name in rule.numbers]
    return tuple(columns)


def _tail(column: pd.Series, kept: np.ndarray | None) -> np.ndarray:
    """Return a column's values, converted by themselves, whatever its dtype within a block is."""
    if not is_numeric(column.dtype):
        return np.zeros(len(column) if kept is None else len(kept))
    values = as_floats(column)
    return values if kept is None else values.take(kept)
