"""Frozen records of sums: a block returns one, ``+`` adds two, and a method computes estimates from the total."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, Self

import numpy as np

from dask_onestep.kernels.matrices.symmetric import Matrix, is_finite, minor, packed, unpacked
from dask_onestep.messages.text import joined

_MOST_SOURCES = 2  # that a message names, since paths are long
_JOINED_AT_ONCE = 16


class Record:
    """The result of a task; reports the size of its fields to Dask."""

    __slots__ = ()


class Joining(Record):
    """A record that adds any number of others in one step, by ``join``."""

    __slots__ = ()

    def __add__(self, other: Self) -> Any:
        return self.join(other)

    def join(self, *others: Self) -> Any:
        """Return the sum of this and other records."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Sums(Record):
    """A record whose fields are sums over rows, so that ``+`` combines blocks."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(_add_values(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def is_finite(self) -> bool:
        """Return whether no sum is NaN or infinite."""
        names: tuple[str, ...] = self.__match_args__  # its fields
        values = [getattr(self, name) for name in names]
        return all(value is None or is_finite(value) for value in values)


def _add_values(left: Any, right: Any) -> Any:
    return None if left is None else left + right


@dataclass(frozen=True, slots=True, eq=False)
class Moments(Sums):
    """Sums over rows of the likelihood and its first two derivatives at one β.

    Attributes
    ----------
    n : int
        Usable rows.
    weight : float
        Σ wᵢ; equal to `n` without weights.
    loglik : float
        ℓ(β) = Σ wᵢ log p(yᵢ; μᵢ) at φ = 1, constants included.
    score : ndarray of shape (d,)
        s(β) = +∂ℓ/∂β.
    information : ndarray or Arrowhead of shape (d, d)
        Expected information I(β), positive semidefinite.
    pearson : float or None
        Pearson χ²(β) = Σ wᵢ (yᵢ − μᵢ)²/V(μᵢ); None for families without a dispersion.
    pearson_gradient : ndarray of shape (d,) or None
        ∂χ²/∂β; None for families without a dispersion.
    absorbed : float
        Degrees of freedom used by the likelihood's stages, such as one per absorbed group.
    response : ndarray of shape (2,) or None
        Σ yᵢ and Σ wᵢyᵢ; None for several linear predictors.
    constant : float or None
        The terms of ℓ(β) that do not depend on β, under canonical links of families without a dispersion; else None.
    observed : ndarray or Arrowhead of shape (d, d), or None
        Observed information, if it was requested and is not the expected one.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.records import Moments
    >>> one = Moments(2, 2.0, -1.0, np.ones(1), np.ones((1, 1)))
    >>> (one + one).n
    4
    """

    n: int
    weight: float
    loglik: float
    score: np.ndarray
    information: Matrix
    pearson: float | None = None
    pearson_gradient: np.ndarray | None = None
    absorbed: float = 0.0
    response: np.ndarray | None = None
    constant: float | None = None
    observed: Matrix | None = None

    @property
    def curvature(self) -> Matrix:
        """The observed information if it is known, otherwise the expected information."""
        return self.information if self.observed is None else self.observed

    def along(self, directions: np.ndarray) -> Moments:
        """Return the moments in γ, where β is linear in γ with the matrix `directions`, of shape (d, k)."""
        gradient = self.pearson_gradient
        return replace(
            self,
            score=directions.T @ self.score,
            information=directions.T @ self.information @ directions,
            observed=None if self.observed is None else directions.T @ self.observed @ directions,
            pearson_gradient=None if gradient is None else directions.T @ gradient,
        )

    def minor(self, free: np.ndarray) -> Moments:
        """Return the moments in the coefficients selected by `free`, the others fixed at their values."""
        gradient = self.pearson_gradient
        return replace(
            self,
            score=self.score[free],
            information=minor(self.information, free),
            observed=None if self.observed is None else minor(self.observed, free),
            pearson_gradient=None if gradient is None else gradient[free],
        )

    def __reduce__(self) -> tuple:
        """Pickle symmetric matrices as their upper triangles, so that workers send half as many bytes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        triangles = {name: packed(values[name]) for name in ("information", "observed")}
        triangles = {name: triangle for name, triangle in triangles.items() if triangle is not None}
        return _restored, (type(self), values | dict.fromkeys(triangles), triangles)

    @property
    def phi(self) -> float:
        """The unit of λ²: χ²/N, or 1 for families without a dispersion."""
        return 1.0 if self.pearson is None else max(self.pearson, 0.0) / max(self.n, 1)


def _restored(kind: type[Moments], values: dict[str, Any], triangles: dict[str, np.ndarray]) -> Moments:
    return kind(**values | {name: unpacked(triangle[None])[0] for name, triangle in triangles.items()})


@dataclass(frozen=True, slots=True, eq=False)
class LogLikelihoods(Sums):
    """Log-likelihoods and deviances at several β, in one pass.

    Attributes
    ----------
    n : int
        Usable rows.
    loglik : ndarray of shape (m,)
        ℓ(β) at φ = 1 for each of m candidates.
    deviance : ndarray of shape (m,)
        Deviance at φ = 1 for each.
    """

    n: int
    loglik: np.ndarray
    deviance: np.ndarray


@dataclass(frozen=True, slots=True)
class Numbering:
    """How messages name blocks: by number, or by the numbers of the user's partitions, several of which form a block.

    Attributes
    ----------
    blocks, partitions : int
        How many there are; 0 if blocks have their own numbers.
    """

    blocks: int = 0
    partitions: int = 0

    def name(self, blocks: Sequence[int], more: bool = False) -> str:
        """Return the name of blocks, such as "block 3" or "partitions 6 to 8"."""
        several = len(blocks) > 1 or more
        rest = ", …" if more else ""
        if not self.blocks:
            return f"block{'s' if several else ''} {', '.join(map(str, blocks))}{rest}"
        # The same rule as Dask's when it reduces the number of partitions.
        first_of = [at * self.partitions // self.blocks for at in range(self.blocks + 1)]
        ends = [(first_of[at], first_of[at + 1] - 1) for at in blocks]
        names = [f"{first}" if first == last else f"{first} to {last}" for first, last in ends]
        return f"partition{'s' if several or ' ' in names[0] else ''} {', '.join(names)}{rest}"


OWN_NUMBERS = Numbering()


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with the data, in place of a block's sums.

    ``+`` merges findings, and findings replace sums, so that one pass reports everything it found and no
    partial sum is mistaken for the full one.

    Attributes
    ----------
    counts : tuple of (str, int, str)
        What was found, on how many rows, and the remedy.
    blocks : tuple of int
        The first blocks in which it was found, at most five; empty if unknown.
    more : bool
        Whether further blocks have findings.
    sources : tuple of str
        The files or row groups of these blocks; empty if unknown.
    """

    counts: tuple[tuple[str, int, str], ...]
    blocks: tuple[int, ...]
    more: bool = False
    sources: tuple[str, ...] = ()

    def __add__(self, other: Any) -> Findings:
        if not isinstance(other, Findings):
            return self
        merged: dict[tuple[str, str], tuple[str, int]] = {}
        for what, count, cure in self.counts + other.counts:
            said, so_far = merged.get((_without_example(what), cure), (what, 0))
            merged[_without_example(what), cure] = said, so_far + count
        blocks = tuple(sorted({*self.blocks, *other.blocks}))
        counts = tuple((what, count, cure) for (_, cure), (what, count) in merged.items())
        sources = tuple(dict.fromkeys((*self.sources, *other.sources)))
        return Findings(counts, blocks[:5], self.more or other.more or len(blocks) > 5, sources[:5])

    def raise_error(self, numbering: Numbering = OWN_NUMBERS) -> None:
        """Raise a ValueError that states what is wrong, where, and what to do."""
        raise ValueError(self.text(numbering))

    def text(self, numbering: Numbering = OWN_NUMBERS) -> str:
        """Return what is wrong, where, and what to do."""
        lines = [
            f"{what} ({count} row{'s' if count != 1 else ''})" if count else what for what, count, _ in self.counts
        ]
        cures = dict.fromkeys(cure for _, _, cure in self.counts if cure)
        return joined([f"{'; '.join(lines)}.", self._where(numbering), *cures])

    def _where(self, numbering: Numbering) -> str:
        if not self.blocks:
            return ""
        if not self.sources:
            return f"In {numbering.name(self.blocks, self.more)}."
        rest = ", …" if self.more or len(self.sources) > _MOST_SOURCES else ""
        return f"In {', '.join(self.sources[:_MOST_SOURCES])}{rest}."


class Dropped(int):
    """A number of dropped rows, with the number of rows on which each term of a formula is undefined.

    Attributes
    ----------
    undefined : dict of str to int
        By term, rows on which the term is NaN or infinite although its columns are not.
    """

    undefined: dict[str, int]

    def __new__(cls, count: int, undefined: dict[str, int]) -> Self:
        """Return a count of rows, with the number of rows on which each term is undefined."""
        self = super().__new__(cls, count)
        self.undefined = undefined
        return self

    def __add__(self, other: int) -> Dropped:
        more = getattr(other, "undefined", {})
        terms = dict.fromkeys((*self.undefined, *more))
        undefined = {term: self.undefined.get(term, 0) + more.get(term, 0) for term in terms}
        return Dropped(int(self) + int(other), undefined)

    __radd__ = __add__

    def __reduce__(self) -> tuple[Any, ...]:
        return Dropped, (int(self), self.undefined)


@dataclass(frozen=True, slots=True, eq=False)
class Failure(Record):
    """An error in place of a record, for one of several models that are fitted together.

    Attributes
    ----------
    error : Exception
        What was raised.
    """

    error: Exception


@dataclass(frozen=True, slots=True, eq=False)
class Joined(Joining):
    """The records of several kernels that read the same rows, in order; ``+`` adds them elementwise.

    Attributes
    ----------
    parts : tuple of record, Findings or Failure
        One for each kernel.
    """

    parts: tuple[Any, ...]

    def join(self, *others: Joined) -> Joined:
        """Return the sum of this and other records."""
        return Joined(tuple(add_all(each) for each in zip(self.parts, *(other.parts for other in others), strict=True)))


@dataclass(frozen=True, slots=True)
class RowCheck(Record):
    """What must be equal in every pass over the same rows; ``+`` adds blocks, in any order.

    Attributes
    ----------
    n, n_missing : int
        Usable rows, and rows dropped because of missing values.
    checksum : int
        Checksum of y, weights and offset, modulo 2**64.
    columns : int or None
        Checksum of the covariates; None if they are unknown so far, or are stored in memory.
    """

    n: int
    n_missing: int
    checksum: int
    columns: int | None = None

    def __add__(self, other: RowCheck) -> RowCheck:
        total = (self.checksum + other.checksum) % 2**64
        known = self.columns is not None and other.columns is not None
        columns = (self.columns + other.columns) % 2**64 if known else None  # type: ignore[operator]
        return RowCheck(self.n + other.n, self.n_missing + other.n_missing, total, columns)

    def compare(self, earlier: RowCheck, name: str) -> None:
        """Raise a ValueError if the counts or values of pass `name` differ from those of the first pass."""
        columns = self.columns if earlier.columns is not None else None
        if replace(self, columns=columns) == replace(earlier, columns=earlier.columns if columns is not None else None):
            return
        if (self.n, self.n_missing) == (earlier.n, earlier.n_missing):
            how = f"both read {self.n:,} usable rows, but their values differ"
        else:
            how = f"it read {self.n:,} usable rows and dropped {self.n_missing:,}"
            how += f"; the first pass read {earlier.n:,} and dropped {earlier.n_missing:,}"
        raise ValueError(
            f"The data changed between the first pass and the pass {name!r}: {how}. An estimate from two versions of "
            "the data is meaningless. Use files that are not being written to, load blocks with functions that "
            "return the same rows each time (with fixed seeds), or call X.persist() first."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Read(Joining):
    """A kernel's record, and the check of the rows it read; ``+`` adds both.

    Attributes
    ----------
    record : record, Findings or Failure
        The kernel's result.
    check : RowCheck or None
        The check; None for kernels on unprepared blocks, and for blocks with findings.
    """

    record: Any
    check: RowCheck | None

    def join(self, *others: Read) -> Read:
        """Return the sum of this and other records."""
        parts = (self, *others)
        checks = [part.check for part in parts if part.check is not None]
        return Read(add_all([part.record for part in parts]), reduce(add, checks) if checks else None)


def _without_example(what: str) -> str:
    """Return a finding without its example value, which differs between blocks."""
    return what.rpartition(": ")[0] if what.endswith(" for one") else what


def add(left: Any, right: Any) -> Any:
    """Return ``left + right``; failures replace findings, and findings replace sums."""
    if isinstance(left, Failure):
        return left
    if isinstance(right, Failure) or (isinstance(right, Findings) and not isinstance(left, Findings)):
        return right
    return left + right


def add_all(records: Sequence[Any]) -> Any:
    """Return the sum of at least one record, in order, by ``join`` if possible."""
    first = records[0]
    if len(records) == 1:
        return first
    if isinstance(first, Joining) and not any(isinstance(record, (Findings, Failure)) for record in records):
        return first.join(*records[1:])
    return reduce(add, records)


def add_pairwise(records: Iterable[Any]) -> Any:
    """Return the sum of at least one record, added in pairs, pairs of pairs, and so on; samples in sixteens.

    The rounding error of sequential addition of n records grows with n, that of pairwise addition with log n (Higham,
    "Accuracy and Stability of Numerical Algorithms", section 4.2). At most about log₂ n sums are held at a time.
    Samples have no rounding error, and are copied in each addition.

    Examples
    --------
    >>> from dask_onestep.kernels.records import add_pairwise
    >>> add_pairwise([0.1] * 10), sum([0.1] * 10)
    (1.0, 0.9999999999999999)
    """
    waiting: list[list[Any]] = [[]]  # at each depth
    for record in records:
        most = _JOINED_AT_ONCE if _is_joined_at_once(record) else 2
        waiting[0].append(record)
        for depth, equals in enumerate(waiting):
            if len(equals) < most:
                break
            if depth + 1 == len(waiting):
                waiting.append([])
            waiting[depth + 1].append(add_all(equals))
            equals.clear()
    total, *others = (add_all(equals) for equals in waiting if equals)
    for other in others:
        total = add(other, total)
    return total


def _is_joined_at_once(record: Any) -> bool:
    found = record.record if isinstance(record, Read) else record
    return isinstance(found, Joining) and not isinstance(found, Joined)
