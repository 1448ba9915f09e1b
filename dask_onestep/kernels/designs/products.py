"""Products of factors, numbers and a spline: columns stored as codes of levels, or written where they are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import only_numbers
from dask_onestep.kernels.designs.levels import LevelCodes
from dask_onestep.kernels.designs.parts import TableLike
from dask_onestep.kernels.designs.splines import Spline
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.matrices.columns import CodedColumns
from dask_onestep.kernels.records import Record

# A row has at most one nonzero element in the columns of a product. With fewer columns than this, an array is as fast
# (`python -m benchmarks.categories`).
_MIN_WIDTH = 6
# Rows written at a time: less than 128 KiB of float64, which the allocator reuses.
SLICE_ROWS = 15_360


@dataclass(frozen=True)
class Coding:
    """Treatment coding of a factor within a term.

    Attributes
    ----------
    factor : Factor
        The factor.
    levels : Index of length K
        Its levels.
    reference : int or None
        The omitted level; None if each has a column.
    """

    factor: Factor
    levels: pd.Index
    reference: int | None

    @property
    def width(self) -> int:
        """Number of columns: K, or K − 1."""
        return max(len(self.levels) - (self.reference is not None), 0)

    def places(self) -> np.ndarray:
        """Return the column that is 1 at each level, of shape (K + 1,) of int32; the width if there is none.

        There is none at the reference, and at an unseen level, whose code is −1: the last element.
        """
        places = np.arange(len(self.levels) + 1, dtype=np.int32)
        if self.reference is not None:
            places -= places > self.reference
            places[self.reference] = self.width
        places[-1] = self.width
        return places


@dataclass(frozen=True)
class Product:
    """A product of factors and numbers, or of a spline and numbers: a term of a formula, or a part of one.

    formulaic keeps the matrix at full rank, so a term may consist of several products, some with fewer factors: ``a:b``
    without main effects is ``b`` without its first level, followed by ``a:b`` without the first level of ``a``.

    Attributes
    ----------
    factors : tuple of Coding
        The factors. The product has one column per combination of their columns, those of the first factor adjacent;
        it has one column without factors.
    first : int
        The number of its first column in the matrix.
    term : str
        The formula's term, or the column.
    numbers : tuple of Factor
        The numbers that it is multiplied by, each without a state.
    spline : Spline or None
        A spline, whose columns it then has; without factors.
    """

    factors: tuple[Coding, ...]
    first: int
    term: str
    numbers: tuple[Factor, ...] = ()
    spline: Spline | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return prod(coding.width for coding in self.factors) if self.spline is None else self.spline.width

    def covers(self, frame: TableLike, rows: np.ndarray | None) -> bool:
        """Return whether its columns are defined for all or some rows; a spline's are within its boundaries."""
        return self.spline is None or self.spline.covers(_number(self.spline.argument, frame, rows))

    @property
    def arguments(self) -> tuple[Factor, ...]:
        """The numbers from which it is computed."""
        return self.numbers if self.spline is None else (*self.numbers, self.spline.argument)

    @property
    def is_plain(self) -> bool:
        """Whether its elements are those of a column of the table, or 0 and 1."""
        return self.spline is None and (not self.numbers or (self.numbers[0].source is None and not self.numbers[1:]))

    @property
    def columns(self) -> np.ndarray:
        """Its columns in the matrix."""
        return np.arange(self.first, self.first + self.width)

    def codes(self, levels: Mapping[Factor, LevelCodes]) -> np.ndarray:
        """Return the column in which each row is nonzero, given its levels: the width if any is at its reference."""
        first, *others = self.factors
        codes, width = levels[first.factor].of_each(first.places()), np.int32(first.width)
        for coding in others:
            own = levels[coding.factor].of_each(coding.places())
            outside = (codes == width) | (own == coding.width)
            codes = np.where(outside, width * np.int32(coding.width), codes + width * own)
            width *= np.int32(coding.width)
        return codes


def are_coded(products: Sequence[Product]) -> tuple[Product, ...]:
    """Return the products to be stored as codes, those of terms with many columns; all products of a term or none."""
    terms: dict[str, list[Product]] = {}
    for product in products:
        if product.factors:
            terms.setdefault(product.term, []).append(product)
    return tuple(
        product
        for parts in terms.values()
        if sum(part.width for part in parts) >= _MIN_WIDTH * len(parts)
        for product in parts
    )


def coded_columns(
    products: Sequence[Product],
    frame: TableLike,
    levels: Mapping[Factor, LevelCodes],
    rows: np.ndarray | None,
) -> CodedColumns:
    """Return the columns of products, side by side, as codes, for all or some rows of a table."""
    codes: dict[tuple[tuple[Factor, int | None], ...], np.ndarray] = {}
    values: dict[tuple[Factor, ...], np.ndarray | None] = {(): None}
    for product in products:
        key = _key(product)
        if key not in codes:
            codes[key] = product.codes(levels)
        if product.numbers not in values:
            values[product.numbers] = _product_of_numbers(product, frame, rows)
    return CodedColumns(
        tuple(codes[_key(product)] for product in products),
        tuple(product.width for product in products),
        tuple(values[product.numbers] for product in products),
    )


@dataclass(frozen=True, slots=True, eq=False)
class DenseColumns(Record):
    """Dense columns of a design for m rows, written where a slice of them is used; `numpy.asarray` writes all.

    Attributes
    ----------
    width : int
        Their number.
    products : tuple of (Product, int, tuple of int)
        Products, the first column of each, and which numbers are its arguments.
    numbers : tuple of (ndarray, ndarray or None)
        Numbers in the table, and which of its rows these are.
    codes : dict of Factor to LevelCodes
        The levels of the products' factors.
    others : ndarray of shape (m, b)
        Other columns.
    others_at : ndarray of shape (b,) of int
        Their positions.
    """

    width: int
    products: tuple[tuple[Product, int, tuple[int, ...]], ...]
    numbers: tuple[tuple[np.ndarray, np.ndarray | None], ...]
    codes: dict[Factor, LevelCodes]
    others: np.ndarray
    others_at: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.others), self.width

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """float64."""
        return self.others.dtype

    @property
    def elements(self) -> tuple[np.ndarray, ...]:
        """The arrays from which the columns are written, with levels as the design numbers them in any block."""
        return (*(values for values, _ in self.numbers), *(codes.known() for codes in self.codes.values()), self.others)

    @property
    def nbytes(self) -> int:
        """Memory."""
        codes = (codes.own for codes in self.codes.values())
        return sum(part.nbytes for part in (*(values for values, _ in self.numbers), *codes, self.others))

    def __len__(self) -> int:
        return len(self.others)

    def __getitem__(self, index: Any) -> Any:
        """Return a slice of the rows, not yet written, or anything else as an array."""
        if not isinstance(index, slice):
            return np.asarray(self)[index]
        numbers = tuple(
            (values[index], None) if rows is None else (values, rows[index]) for values, rows in self.numbers
        )
        codes = {factor: own.rows(index) for factor, own in self.codes.items()}
        return DenseColumns(self.width, self.products, numbers, codes, self.others[index], self.others_at)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        out = np.empty(self.shape)
        for start in range(0, len(out), SLICE_ROWS):
            at = slice(start, start + SLICE_ROWS)
            self[at].write(out[at])
        return out.astype(dtype, copy=False)

    def is_finite(self) -> bool:
        """Return whether all elements are finite; columns of the table are, in the rows that are used."""
        if not self.others.size and all(product.is_plain for product, *_ in self.products):
            return True
        starts = range(0, len(self), SLICE_ROWS)
        with np.errstate(all="ignore"):
            return all(np.isfinite(np.asarray(self[start : start + SLICE_ROWS]).sum()) for start in starts)

    def write(self, out: np.ndarray) -> None:
        """Write the columns into an array of shape (m, width)."""
        numbers = [values if rows is None else values[rows] for values, rows in self.numbers]
        for product, first, arguments in self.products:
            target = out[:, first : first + product.width]
            factors = [numbers[argument][:, np.newaxis] for argument in arguments]
            if product.factors:
                target[:] = np.eye(product.width + 1, product.width).take(product.codes(self.codes), axis=0)
            elif product.spline is not None:
                product.spline.write(factors.pop()[:, 0], target)
            else:
                target[:] = factors.pop(0)
            for factor in factors:
                with np.errstate(all="ignore"):  # sums show what overflows
                    target *= factor
        if self.others.size:
            out[:, self.others_at] = self.others


def dense_columns(
    products: Sequence[Product],
    frame: TableLike,
    levels: Mapping[Factor, LevelCodes],
    columns: np.ndarray,
    rows: np.ndarray | None,
) -> DenseColumns:
    """Return columns of a design, for all or some rows of a table; those of no product are yet to be written."""
    places = {column: at for at, column in enumerate(columns.tolist())}
    wanted = list(dict.fromkeys(number for product in products for number in product.arguments))
    factors = dict.fromkeys(coding.factor for product in products for coding in product.factors)
    own = {column for product in products for column in product.columns.tolist()}
    others_at = np.array([at for column, at in places.items() if column not in own], np.intp)
    return DenseColumns(
        len(columns),
        tuple((each, places[each.first], tuple(map(wanted.index, each.arguments))) for each in products),
        tuple(_numbers(number, frame, rows) for number in wanted),
        {factor: levels[factor] for factor in factors},
        np.empty((len(frame) if rows is None else len(rows), len(others_at))),
        others_at,
    )


def _numbers(factor: Factor, frame: TableLike, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a column unchanged, and which rows of it are used; or an expression of these rows, written by slices."""
    if factor.source is None:
        return only_numbers(factor.values(frame), factor.name), rows
    out = np.empty(len(frame) if rows is None else len(rows))
    for start in range(0, len(out), SLICE_ROWS):
        at = slice(start, start + SLICE_ROWS)
        out[at] = _number(factor, frame, at if rows is None else rows[at])
    return out, None


def _key(product: Product) -> tuple[tuple[Factor, int | None], ...]:
    return tuple((coding.factor, coding.reference) for coding in product.factors)


def _product_of_numbers(product: Product, frame: TableLike, rows: np.ndarray | None) -> np.ndarray:
    first, *others = (_number(factor, frame, rows) for factor in product.numbers)
    for other in others:
        first = first * other
    return first


def _number(factor: Factor, frame: TableLike, rows: np.ndarray | slice | None = None) -> np.ndarray:
    return np.asarray(only_numbers(factor.values(frame, rows), factor.name), np.float64)
