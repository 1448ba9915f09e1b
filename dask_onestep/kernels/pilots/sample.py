"""The pilot sample: its rows with their keys, its size, and the counts found in the same pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import PARTS, Rows, Table, concatenated, rows_where, taken
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, stack
from dask_onestep.kernels.designs.table import stacked
from dask_onestep.kernels.likelihood.goodness import Overdispersion
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.keys import ALL_KEYS, key_of_rank, keys_of_runs
from dask_onestep.kernels.pilots.strata import Strata, StrataRule, extremes, tails
from dask_onestep.kernels.records import Findings, Joining, Record
from dask_onestep.kernels.rows.labels import joined_labels
from dask_onestep.kernels.rows.rows import hold

# A fitted model does not keep the pilot rows if they are larger than this.
PILOT_BYTES = 64 * 2**20

_OF_EACH_ROW = ("keys", "positions", *PARTS, "raw")
# See `PilotSize.sampled`.
_CORRECTED = (20, 40)
# Rows that cannot belong to the pilot are discarded if this many times the needed rows are held: the others are copied,
# and strata sought once more.
_WORTH_LETTING_GO = 1.25
# Keys and positions are sent as runs of consecutive rows if these have so many rows on average.
_LONG_RUN = 1000


def _surely(expected: float) -> int:
    """Return an upper bound for a count with this expectation; exceeded with probability below 1e-20."""
    return math.ceil(expected + 10 * math.sqrt(expected) + 50) if expected else 0


@dataclass(frozen=True, slots=True)
class PilotSize:
    """The size of the pilot as a function of N.

    Attributes
    ----------
    rule : "auto", int or float
        The automatic rule, a number of rows, or a fraction of N.
    d : int
        Number of coefficients.
    open : bool
        Whether `d` is only an upper bound, because the design is still unknown.
    total : int or None
        N, if it is known beforehand and no row can be dropped.
    whole : int
        An automatic pilot is all rows if there are at most this many.
    hold : int
        For that, a block holds at most this many rows; larger blocks are sampled, so no large table is moved.
    strata : StrataRule or None
        Strata that an automatic pilot, unless it is all rows, oversamples.
    most : int
        Memory allows so many rows where a corrected step needs more than max(20√N, 50·d).
    n_rows : int or None
        Number of rows including those that may be dropped, where it is known and `checked`.
    checked : bool
        Whether a later check shows if enough rows were held, and another pass holds more.
    ranges : mapping of str to int
        How many different ranges some columns have in the parts of their files.
    """

    rule: str | int | float
    d: int
    total: int | None = None
    whole: int = 0
    hold: int = 0
    strata: StrataRule | None = None
    open: bool = False
    most: int = 0
    n_rows: int | None = None
    checked: bool = False
    ranges: Mapping[str, int] = field(default_factory=dict)

    def rows(self, n: int) -> int:
        """Return the pilot's size for n usable rows."""
        return n if n <= self.whole else self.sampled(n)

    def sampled(self, n: int) -> int:
        """Return the pilot's size for n of N usable rows, where it is a sample.

        A corrected step leaves λ² ≈ ¾κd(N/n)(d/n)², with κ the mean squared skewness of a row's score. The bound on the
        distance, about 4.4·√(λ²/d), is then 0.1 for n = 11(κNd²)^⅓; 20 instead of 11 allows for κ = 5, and 40 for
        columns that depend on few rows. Beyond N/5 rows one more pass costs less.
        """
        if isinstance(self.rule, str):
            size = max(20 * math.sqrt(n), 50 * self.d)
            uneven = self.strata is not None and self.strata.uneven
            wanted = min(_CORRECTED[uneven] * (n * self.d**2) ** (1 / 3), n / 5)
            if self.strata is not None and self.strata.numbers:  # columns with tails, and splines that end there
                wanted = max(wanted, n / 50)
            size = max(size, min(wanted, self.most))
            if self.whole:  # at most half of a table that is too large for memory
                size = min(size, max(n / 2, 20 * self.d))
        elif isinstance(self.rule, int):
            size = self.rule
        else:
            # 0.07 of 100 rows is 7.000000000000001 in floats, and 7 rows.
            size = round(self.rule * n, 6)
        return min(n, math.ceil(size))

    def least(self, n: int) -> int:
        """Return a lower bound on the pilot's size for n usable rows, where it is a sample."""
        return replace(self, d=0, most=0).sampled(n) if self.open else self.sampled(n)

    def enough(self, n: int, n_missing: int = 0) -> int:
        """Return how many of n rows to hold so that no pilot row is lost.

        With n of N rows, the expected number of pilot rows is pilot(N)·n/N, at most pilot(n) under the rules above. Ten
        standard deviations more are held, and `PilotSample.drawn` checks. If N is unknown because rows may be dropped,
        it is taken to be at least half of what the fraction of missing rows seen suggests.
        """
        if n == self.total:
            return self.rows(n)
        if self.total is not None:
            expected = self.rows(self.total) * n / max(self.total, 1)
        else:
            total = n if self.n_rows is None else max(n, self.n_rows * n // (2 * max(n + n_missing, 1)))
            expected = self.sampled(total) * n / max(total, 1)
        return min(n, _surely(expected))

    def bound(self) -> int | None:
        """Return a key above those of all pilot rows (`PilotSample.drawn` checks); None if N is unknown."""
        if self.total is None:
            return None if self.rule else 0
        # Keys are uniform, which gives the expected number below a bound.
        wanted = _surely(self.rows(self.total))
        return int(ALL_KEYS) if wanted >= self.total else wanted * 2**64 // self.total


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Counts and classes of the full data.

    Attributes
    ----------
    n : int
        N, the number of usable rows.
    n_missing : int
        Rows dropped because of missing values.
    classes : ndarray of shape (C,) or None
        The sorted labels of a classification.
    """

    n: int
    n_missing: int = 0
    classes: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unusual(Record):
    """What is unusual about the response and the offset of all rows; ``+`` adds blocks in the order of the data.

    Attributes
    ----------
    response : float
        The first value that the family's distribution cannot have, such as a fraction of a count; NaN if there is none.
    offsets : tuple of two float
        The least and the greatest offset under a log link; infinite, the greatest first, if there is none.
    """

    response: float = math.nan
    offsets: tuple[float, float] = (math.inf, -math.inf)

    def __add__(self, other: Unusual) -> Unusual:
        response = other.response if math.isnan(self.response) else self.response
        (low, high), (least, greatest) = self.offsets, other.offsets
        return Unusual(response, (min(low, least), max(high, greatest)))


@dataclass(frozen=True, slots=True, eq=False)
class PilotSample(Joining):
    """The rows with the smallest keys so far, and what else the first pass collects.

    Rows are in the order of the data if samples are added in that order.

    Attributes
    ----------
    size : PilotSize
        The rule for the size.
    n : int
        Usable rows seen.
    n_missing : int
        Rows dropped because of missing values.
    labels : ndarray or None
        The sorted labels seen, of a classification.
    keys : ndarray of shape (m,) of uint64
        Keys of the rows held.
    positions : ndarray of shape (m, 2) of int64
        (0, global row number) of the rows held, or (block, row in block) if sizes are unknown.
    x, y, weights, offset, groups : ndarray or None
        The rows held, as in `Rows`.
    cutoff : int
        No discarded row has a key below it.
    raw : Table or None
        The rows held as in the table, for a model with a design.
    strata : Strata or None
        Information on strata, until the pilot is drawn.
    inclusion : Inclusion or None
        Inclusion probabilities, once the pilot is drawn.
    short : bool
        Whether the drawn pilot lacks rows of a stratum that blocks discarded.
    unusual : Unusual
        What is unusual about all rows seen.
    key_source : tuple of int and bool, or None
        The seed of the keys, and whether rows have global numbers.
    """

    size: PilotSize
    n: int
    n_missing: int
    labels: np.ndarray | None
    keys: np.ndarray
    positions: np.ndarray
    x: np.ndarray | SplitMatrix
    y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    groups: np.ndarray | None = None
    cutoff: int = int(ALL_KEYS)
    raw: Table | None = None
    strata: Strata | None = None
    inclusion: Inclusion | None = None
    short: bool = False
    unusual: Unusual = field(default_factory=Unusual)
    key_source: tuple[int, bool] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, _as_sent(self)

    def join(self, *others: PilotSample) -> PilotSample | Findings:
        """Return the sample of this and further parts, in the order of their rows, or that labels cannot be sorted.

        Rows that are discarded are never copied.
        """
        parts = (self, *others)
        n, n_missing = sum(part.n for part in parts), sum(part.n_missing for part in parts)
        rule = replace(self.size, d=max(part.size.d for part in parts))
        shown = [part.labels for part in parts if part.labels is not None]
        labels = joined_labels(shown) if shown else None
        if isinstance(labels, Findings):
            return labels
        cutoff, chosen, strata, wanted = min(part.cutoff for part in parts), None, None, np.empty(0, np.intp)
        keys = np.concatenate([part.keys for part in parts])
        whole = len(keys) == n <= rule.whole
        enough = n if whole else rule.enough(n, n_missing)
        most = enough if n == rule.total else _WORTH_LETTING_GO * enough
        bound = key_of_rank(keys, enough, n) if len(keys) > most else None
        if rule.strata is not None and not whole:
            strata = Strata.joined([part.known_strata() for part in parts], labels)
            if bound is not None:
                y, columns = np.concatenate([part.y for part in parts]), [part.tails(rule.strata) for part in parts]
                strata, wanted = strata.needed(keys, y, n, rule.least(n) if n == rule.total else 0)
                whole_columns = [np.concatenate(column) for column in zip(*columns, strict=True)]
                ends = extremes(whole_columns, keys, rule.strata.of_tail(), bound / int(ALL_KEYS))
                wanted = np.concatenate([wanted, *(index for index, _ in ends)])
        if bound is not None and len(keys) > most + len(wanted):
            held = keys < np.uint64(bound)
            held[wanted] = True
            if not held.all():
                cutoff = min(cutoff, bound)
                chosen = [rows_where(each) for each in np.split(held, np.cumsum([len(p.keys) for p in parts])[:-1])]
                strata = None if strata is None else strata.take(rows_where(held))
        return PilotSample(
            rule,
            n,
            n_missing,
            labels,
            cutoff=cutoff,
            strata=strata,
            unusual=reduce(add, (part.unusual for part in parts)),
            key_source=self.key_source,
            **{name: _joined([getattr(part, name) for part in parts], chosen) for name in _OF_EACH_ROW},
        )

    def known_strata(self) -> Strata:
        """Return the strata, which are computed only once rows are discarded."""
        if self.strata is not None:
            return self.strata
        assert self.size.strata is not None
        return Strata.of_all(self.size.strata, replace(self.rows(), raw=self.raw), self.labels)

    def tails(self, rule: StrataRule) -> list[np.ndarray]:
        """Return the columns whose extreme rows are drawn."""
        return list(tails(rule, replace(self.rows(), raw=self.raw)))

    def _take(self, index: np.ndarray, inclusion: Inclusion) -> PilotSample:
        parts: dict[str, Any] = {name: taken(getattr(self, name), index) for name in _OF_EACH_ROW}
        return replace(self, strata=None, inclusion=inclusion, **parts)

    @property
    def complete(self) -> bool:
        """Whether all rows seen are held."""
        return len(self.keys) == self.n

    @property
    def enough_for(self) -> int:
        """Size of the largest pilot of which no row was discarded."""
        return self.n if self.complete else int((self.keys < np.uint64(self.cutoff)).sum())

    def drawn(self) -> PilotSample:
        """Return the pilot: the rows with the n smallest keys and, with strata, of each stratum."""
        if self.inclusion is not None:
            return self
        count = self.size.rows(self.n)
        if count == self.n and not self.complete:
            count = self.size.sampled(self.n)
        simple = Inclusion.simple(count, max(self.n, 1))
        if not count:
            return self._take(np.arange(0), simple)
        if self.complete and count == self.n:
            return replace(self, strata=None, inclusion=simple)
        greatest = key_of_rank(self.keys, count - 1, self.n)
        if len(self.keys) < count or greatest > self.cutoff:
            raise RuntimeError("Internal error: a pilot row was discarded. Fit again with another random_state.")
        if len(self.keys) == count:
            return replace(self, strata=None, inclusion=simple)
        if self.size.strata is not None:
            known = self.known_strata()
            index, inclusion, short = known.drawn(self.keys, self.y, self.tails(known.rule), count, self.n, greatest)
            return replace(self._take(index, inclusion), short=short)
        # Two equal keys (probability 1e-19) would give one row too many.
        return self._take(rows_where(self.keys <= np.uint64(greatest))[:count], simple)

    def rows(self) -> Rows:
        """Return the rows held as one block."""
        return Rows(self.x, self.y, self.weights, self.offset, self.groups)

    def drawn_keys(self) -> PilotRecord:
        """Return keys, positions and probabilities, which a fitted model keeps, without the rows."""
        known = None if self.inclusion is None or self.inclusion.is_simple else self.inclusion.probabilities
        return PilotRecord(
            self.n,
            self.keys,
            self.positions,
            weights=self.weights,
            raw=self.raw.frame() if isinstance(self.raw, Table) else self.raw,
            probabilities=known,
            unusual=self.unusual,
            key_source=self.key_source,
        )

    def held(self, model: Model) -> PilotSample:
        """Return the sample for a restricted model, with its fixed columns moved into the offset."""
        rows = hold(self.rows(), model)
        return replace(self, x=rows.x, offset=rows.offset)


@dataclass(frozen=True, slots=True, eq=False)
class PilotRecord(Record):
    """The pilot as a fitted model keeps it: keys, positions and, unless they are too large, the rows.

    Attributes
    ----------
    n : int
        N, the number of usable rows it was drawn from.
    keys : ndarray of shape (m,) of uint64
        The rows' keys.
    positions : ndarray of shape (m, 2) of int64
        (0, global row number), or (block, row in block) where chunk sizes are unknown.
    x : ndarray, SplitMatrix or None
        Covariates, if X is a matrix.
    probabilities : ndarray of shape (m,) or None
        Inclusion probabilities, unless they are all equal.
    y, weights, offset : ndarray of shape (m,) or None
        Response or original labels, weights and offset.
    raw : DataFrame or None
        Rows of the table, for a model with a design.
    overdispersion : Overdispersion or None
        Pearson's χ² of the rows at their own estimate.
    unusual : Unusual
        What is unusual about all rows, of which these were drawn.
    key_source : tuple of int and bool, or None
        The seed of the keys, and whether rows have global numbers.
    """

    n: int
    keys: np.ndarray
    positions: np.ndarray
    x: np.ndarray | SplitMatrix | None = None
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    raw: pd.DataFrame | None = None
    probabilities: np.ndarray | None = None
    overdispersion: Overdispersion | None = None
    unusual: Unusual = field(default_factory=Unusual)
    key_source: tuple[int, bool] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, _as_sent(self)

    @property
    def has_rows(self) -> bool:
        """Whether the rows are kept, not only their keys and positions."""
        return self.y is not None

    @property
    def row_bytes(self) -> int:
        """Memory of the rows."""
        raw = 0 if self.raw is None else int(self.raw.memory_usage(index=False, deep=True).sum())
        parts = (self.x, self.y, self.weights, self.offset)
        return raw + sum(part.nbytes for part in parts if part is not None)

    def with_rows(self, rows: Rows, classes: np.ndarray | None) -> PilotRecord:
        """Return the record with its rows, unless they are too large; y is decoded to the original labels."""
        y = rows.y if classes is None else classes[rows.y.astype(np.intp)]
        x = None if self.raw is not None else rows.x
        kept = replace(self, x=x, y=y, offset=rows.offset)  # the weights of the table
        return kept if kept.row_bytes <= PILOT_BYTES else self.without_rows()

    def without_rows(self) -> PilotRecord:
        """Return the record without its rows; also without keys and positions if the pilot is all rows."""
        bare = replace(self, x=None, y=None, weights=None, offset=None, raw=None)
        return replace(bare, keys=self.keys[:0], positions=self.positions[:0]) if len(self.keys) == self.n else bare


def _as_sent(rows: PilotSample | PilotRecord) -> tuple[type, dict[str, Any], np.ndarray | None]:
    """Return what a pickle of rows contains: their fields, with runs instead of keys and positions if runs are long."""
    values = {each.name: getattr(rows, each.name) for each in fields(rows)}
    block, row = rows.positions.T
    starts = np.flatnonzero((np.diff(block, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 1))
    if rows.key_source is None or not len(row) or len(row) < _LONG_RUN * len(starts):
        return type(rows), values, None
    runs = np.column_stack([rows.positions[starts], np.diff(starts, append=len(row))])
    return type(rows), {**values, "keys": None, "positions": None}, runs


def _restored(kind: type, values: dict[str, Any], runs: np.ndarray | None) -> Any:
    if runs is None:
        return kind(**values)
    first, lengths = runs[:, :2], runs[:, 2]
    positions = np.repeat(first, lengths, axis=0)
    positions[:, 1] += np.arange(len(positions)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return kind(**{**values, "keys": keys_of_runs(values["key_source"], runs.tolist()), "positions": positions})


def _joined(parts: Sequence[Any], chosen: Sequence[np.ndarray] | None) -> Any:
    """Return the concatenated rows of several parts, or those chosen from each; every row is copied once."""
    if parts[0] is None:
        return None
    if isinstance(parts[0], (Table, pd.DataFrame)):
        return stacked(parts, chosen)
    if len({getattr(part.dtype, "kind", "") in "biuf" for part in parts}) > 1:
        parts = [part.astype(object) for part in parts]  # numbers would be converted to strings
    if all(isinstance(part, np.ndarray) and part.dtype == parts[0].dtype for part in parts):
        return concatenated(parts, chosen)
    return stack(parts if chosen is None else [taken(part, index) for part, index in zip(parts, chosen, strict=True)])
