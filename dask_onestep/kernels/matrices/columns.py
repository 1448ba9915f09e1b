"""Columns whose zeros are not stored: rows of a sparse array, or codes of factor levels.

A product of factors has a nonzero element in at most one of its columns in each row, so only the number of that column,
the row's code, is stored. Products with coded columns are look-ups, and their sums are counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class SparseColumns:
    """Columns X of shape (m, b) of a sparse array that users pass.

    Attributes
    ----------
    array : csr_array of shape (m, b)
        float64; column numbers increase within each row, without duplicates.
    """

    array: sparse.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape

    @property
    def nbytes(self) -> int:
        """Memory."""
        return int(self.array.data.nbytes + self.array.indices.nbytes + self.array.indptr.nbytes)

    @property
    def nnz(self) -> int:
        """Number of stored elements."""
        return int(self.array.nnz)

    @property
    def elements(self) -> tuple[np.ndarray, ...]:
        """The stored arrays, which are checksummed independently of the order of rows."""
        return (self.array.data,)

    def pays(self, max_density: float) -> bool:
        """Return whether sums over the stored elements are faster than those over all."""
        size = self.shape[0] * self.shape[1]
        return not size or self.nnz / size <= max_density

    def rows(self, index: Any) -> SparseColumns:
        """Return the rows selected by a slice, a mask or an array of numbers."""
        return SparseColumns(self.array[index])

    def columns(self, wanted: np.ndarray) -> SparseColumns:
        """Return the columns selected by an increasing array of numbers."""
        return SparseColumns(self.array[:, wanted])

    def stacked(self, others: Sequence[SparseColumns]) -> SparseColumns:
        """Return these rows followed by those of others."""
        return SparseColumns(sparse.vstack([self.array, *(other.array for other in others)], format="csr"))

    def spread(self, complete: np.ndarray, *, mark: bool) -> SparseColumns:
        """Return the rows in the places that are True, with rows of 0 between them; with `mark` one element is NaN."""
        stored = np.full(len(complete), int(mark))
        stored[complete] = np.diff(self.array.indptr)
        starts = np.concatenate([[0], np.cumsum(stored)])
        own = np.repeat(complete, stored)
        indices, data = np.zeros(len(own), dtype=self.array.indices.dtype), np.full(len(own), np.nan)
        indices[own], data[own] = self.array.indices, self.array.data
        return SparseColumns(sparse.csr_array((data, indices, starts), shape=(len(complete), self.shape[1])))

    def toarray(self) -> np.ndarray:
        """Return all elements, of shape (m, b)."""
        return self.array.toarray()

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ, of shape (m,), or (m, c) for β of shape (b, c)."""
        return self.array @ coef

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v, of shape (b,), or (b, c) for v of shape (m, c)."""
        return self.array.T @ values

    def write_gram(self, weights: np.ndarray | None, out: np.ndarray, at: np.ndarray) -> None:
        """Write X'WX into the rows and columns `at` of a matrix of zeros."""
        product = (self.array.T @ (self.array if weights is None else self._scaled(weights))).tocoo()
        out[at[product.row], at[product.col]] = product.data

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ over the rows of each of `count` groups, of shape (count, b)."""
        rows = sparse.csr_array((values, (codes, np.arange(len(codes)))), shape=(count, len(codes)))
        return (rows @ self.array).toarray()

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column, of shape (b,)."""
        return self.array.power(2).T @ weights

    def quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row, of shape (m,)."""
        return np.asarray(self.array.multiply(self.array @ matrix).sum(axis=1))

    def greatest(self) -> np.ndarray:
        """Return max ``|xᵢ|`` of each column, of shape (b,)."""
        return abs(self.array).max(axis=0).toarray() if self.shape[0] else np.zeros(self.shape[1])

    def count(self, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return how many elements of each column pass a test that 0 does not pass, of shape (b,)."""
        return np.bincount(self.array.indices[test(self.array.data)], minlength=self.shape[1])

    def finite_rows(self) -> np.ndarray:
        """Return which rows have no NaN or infinity, of shape (m,)."""
        finite = np.ones(self.shape[0], dtype=bool)
        finite[self.array.tocoo().coords[0][~np.isfinite(self.array.data)]] = False
        return finite

    def _scaled(self, factors: np.ndarray) -> sparse.csr_array:
        data = self.array.data * np.repeat(factors, np.diff(self.array.indptr))
        return sparse.csr_array((data, self.array.indices, self.array.indptr), shape=self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumns:
    """Columns of products of factors and numbers, F products side by side.

    Attributes
    ----------
    codes : tuple of ndarray of shape (m,) of int32
        The column, counted from 0 within the product, in which each row is nonzero; the width if there is none.
        Products of the same factors may share an array.
    widths : tuple of int
        Number of columns of each product.
    values : tuple of (ndarray of shape (m,) or None)
        The numbers; None for ones.
    """

    codes: tuple[np.ndarray, ...]
    widths: tuple[int, ...]
    values: tuple[np.ndarray | None, ...]

    @property
    def starts(self) -> list[int]:
        """The first column of each product."""
        return list(accumulate(self.widths[:-1], initial=0))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (len(self.codes[0]) if self.codes else 0), sum(self.widths)

    @property
    def nbytes(self) -> int:
        """Memory."""
        distinct = {id(part): part.nbytes for part in (*self.codes, *self.values) if part is not None}
        return sum(distinct.values())

    @property
    def nnz(self) -> int:
        """Number of stored elements."""
        return sum(int((codes < width).sum()) for _, codes, width, _ in self._products())

    @property
    def elements(self) -> tuple[np.ndarray, ...]:
        """The stored codes and numbers."""
        return (*self.codes, *(values for values in self.values if values is not None))

    def pays(self, max_density: float) -> bool:
        """Return True: columns are coded only if that pays."""
        return True

    def rows(self, index: Any) -> CodedColumns:
        """Return rows."""
        taken = _once(lambda part: part[index])
        return replace(self, codes=tuple(map(taken, self.codes)), values=tuple(map(taken, self.values)))

    def columns(self, wanted: np.ndarray) -> CodedColumns:
        """Return columns; a product without any of them is omitted, unless it is the last."""
        chosen = []
        for start, codes, width, values in self._products():
            kept = wanted[(wanted >= start) & (wanted < start + width)] - start
            place = np.full(width + 1, len(kept), dtype=np.int32)
            place[kept] = np.arange(len(kept))
            chosen.append((codes if len(kept) == width else place[codes], len(kept), values))
        some = [part for part in chosen if part[1]] or chosen[:1]
        return CodedColumns(*(tuple(part[number] for part in some) for number in range(3)))  # type: ignore[arg-type]

    def last(self, number: int) -> tuple[CodedColumns, np.ndarray]:
        """Return the columns with those of one product last, and their present positions."""
        order = [*(other for other in range(len(self.widths)) if other != number), number]
        columns = [np.arange(self.starts[each], self.starts[each] + self.widths[each]) for each in order]
        parts = (tuple(part[each] for each in order) for part in (self.codes, self.widths, self.values))
        return CodedColumns(*parts), np.concatenate(columns)  # type: ignore[arg-type]

    def stacked(self, others: Sequence[CodedColumns]) -> CodedColumns:
        """Return the concatenated rows."""
        parts = (self, *others)
        joined: dict[tuple[int, ...], np.ndarray] = {}
        codes: list[np.ndarray] = []
        values: list[np.ndarray | None] = []
        for number in range(len(self.codes)):
            own = [part.codes[number] for part in parts]
            key = tuple(map(id, own))
            codes.append(joined[key] if key in joined else joined.setdefault(key, np.concatenate(own)))
            given = [part.values[number] for part in parts]
            if any(value is not None for value in given):
                filled = [np.ones(part.shape[0]) if v is None else v for part, v in zip(parts, given, strict=True)]
                values.append(np.concatenate(filled))
            else:
                values.append(None)
        return replace(self, codes=tuple(codes), values=tuple(values))

    def spread(self, complete: np.ndarray, *, mark: bool) -> CodedColumns:
        """Return the rows in their places."""
        codes, values = [], []
        for number, (_, own, width, value) in enumerate(self._products()):
            marked = mark and not number
            spread = np.full(len(complete), 0 if marked else width, dtype=np.int32)
            spread[complete] = own
            codes.append(spread)
            filled = None
            if value is not None or marked:
                filled = np.full(len(complete), np.nan if marked else 0.0)
                filled[complete] = 1.0 if value is None else value
            values.append(filled)
        return replace(self, codes=tuple(codes), values=tuple(values))

    def toarray(self) -> np.ndarray:
        """Return all elements."""
        out = np.zeros(self.shape)
        for start, codes, width, values in self._products():
            rows = np.flatnonzero(codes < width)
            out[rows, start + codes[rows]] = 1.0 if values is None else values[rows]
        return out

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ."""
        eta = None
        for start, codes, width, values in self._products():
            padded = np.zeros((width + 1, *coef.shape[1:]))
            padded[:-1] = coef[start : start + width]
            part = padded.take(codes, axis=0)
            part = part if values is None else (part.T * values).T
            eta = part if eta is None else np.add(eta, part, out=eta)
        return np.zeros((self.shape[0], *coef.shape[1:])) if eta is None else eta

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v."""
        if values.ndim > 1:
            none = np.empty((self.shape[1], 0))
            return np.column_stack([none, *(self.weighted_sum(column) for column in values.T)])
        return self._sums(lambda codes, width, own: _counted(codes, width, _times(values, own)))

    def write_gram(self, weights: np.ndarray | None, out: np.ndarray, at: np.ndarray) -> None:
        """Write X'WX."""
        products = list(self._products())
        for number, (start, codes, width, values) in enumerate(products):
            here, own = at[start : start + width], _times(weights, values)
            for other_start, other_codes, other_width, other_values in products[: number + 1]:
                there, factors = at[other_start : other_start + other_width], _times(own, other_values)
                if other_codes is codes:  # rows of different levels share no column
                    sums = _counted(codes, width, factors)
                    out[here, there] = out[there, here] = sums
                    continue
                joint = _joint(codes, other_codes, other_width)
                table = np.bincount(joint, factors, (width + 1) * (other_width + 1))
                block = table.reshape(width + 1, other_width + 1)[:-1, :-1]
                out[np.ix_(here, there)] = block
                out[np.ix_(there, here)] = block.T

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ of each group."""
        sums: list[np.ndarray] = [np.empty((count, 0))]
        for _, own, width, numbers in self._products():
            joint = _joint(codes.astype(np.int64), own, width)
            table = np.bincount(joint, _times(values, numbers), count * (width + 1))
            sums.append(table.reshape(count, width + 1)[:, :-1])
        return np.hstack(sums)

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column."""
        return self._sums(lambda codes, width, own: _counted(codes, width, _times(_times(weights, own), own)))

    def quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row."""
        out, products = np.zeros(self.shape[0]), list(self._products())
        for number, (start, codes, width, values) in enumerate(products):
            for other_start, other_codes, other_width, other_values in products[: number + 1]:
                here, there = slice(start, start + width), slice(other_start, other_start + other_width)
                padded = np.zeros((width + 1, other_width + 1))
                padded[:-1, :-1] = matrix[here, there]
                if other_start != start:
                    padded[:-1, :-1] += matrix[there, here].T
                found = padded.ravel().take(_joint(codes, other_codes, other_width))
                factors = _times(values, other_values)
                out += found if factors is None else found * factors
        return out

    def greatest(self) -> np.ndarray:
        """Return max ``|xᵢ|`` of each column."""

        def of_product(codes: np.ndarray, width: int, values: np.ndarray | None) -> np.ndarray:
            greatest = np.zeros(width + 1)
            np.maximum.at(greatest, codes, 1.0 if values is None else np.abs(values))
            return greatest[:-1]

        return self._sums(of_product)

    def count(self, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return counts by column."""

        def of_product(codes: np.ndarray, width: int, values: np.ndarray | None) -> np.ndarray:
            passed = codes[test(np.ones(len(codes)) if values is None else values)]
            return np.bincount(passed, minlength=width + 1)[:-1]

        return self._sums(of_product)

    def finite_rows(self) -> np.ndarray:
        """Return which rows are finite."""
        finite = np.ones(self.shape[0], dtype=bool)
        for _, codes, width, values in self._products():
            if values is not None:
                finite &= np.isfinite(values) | (codes == width)
        return finite

    def _products(self) -> Iterator[tuple[int, np.ndarray, int, np.ndarray | None]]:
        """Yield each product: its first column, codes, width and numbers."""
        return zip(accumulate(self.widths, initial=0), self.codes, self.widths, self.values, strict=False)

    def _sums(self, of_product: Callable[[np.ndarray, int, np.ndarray | None], np.ndarray]) -> np.ndarray:
        """Return a result for each product, concatenated."""
        found = [of_product(codes, width, values) for _, codes, width, values in self._products()]
        return np.concatenate([np.empty(0), *found])


# Columns of which some elements are stored and the others are 0; both kinds have the methods of `SparseColumns`.
StoredColumns = SparseColumns | CodedColumns


def _once(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
    """Return a function that computes each array's result only once; None gives None."""
    known: dict[int, np.ndarray] = {}

    def mapped(part: np.ndarray | None) -> np.ndarray | None:
        if part is None:
            return None
        return known[id(part)] if id(part) in known else known.setdefault(id(part), function(part))

    return mapped


def _times(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray | None:
    """Return the product of numbers, where None stands for ones."""
    if left is None or right is None:
        return right if left is None else left
    return left * right


def _counted(codes: np.ndarray, width: int, weights: np.ndarray | None) -> np.ndarray:
    return np.bincount(codes, weights, width + 1)[:-1]


def _joint(codes: np.ndarray, others: np.ndarray, width: int) -> np.ndarray:
    """Return one code for each pair of codes; the second ones are at most `width`."""
    return codes * codes.dtype.type(width + 1) + others
