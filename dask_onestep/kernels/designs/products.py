"""Products of factors, numbers and a spline, whose columns are stored as codes of levels or as an array."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import only_numbers
from dask_onestep.kernels.designs.levels import looked_up
from dask_onestep.kernels.designs.splines import Spline
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.matrices.columns import CodedColumns

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

    def covers(self, frame: pd.DataFrame, rows: np.ndarray | None) -> bool:
        """Return whether its columns are defined for all or some rows; a spline's are within its boundaries."""
        return self.spline is None or self.spline.covers(_number(self.spline.argument, frame, rows))

    @property
    def columns(self) -> np.ndarray:
        """Its columns in the matrix."""
        return np.arange(self.first, self.first + self.width)

    def codes(self, levels: Mapping[Factor, np.ndarray]) -> np.ndarray:
        """Return the column in which each row is nonzero, given its levels: the width if any is at its reference."""
        first, *others = self.factors
        codes, width = looked_up(first.places(), levels[first.factor]), np.int32(first.width)
        for coding in others:
            own = looked_up(coding.places(), levels[coding.factor])
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
    frame: pd.DataFrame,
    levels: Mapping[Factor, np.ndarray],
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


def write_products(
    products: Sequence[Product],
    frame: pd.DataFrame,
    levels: Mapping[Factor, np.ndarray],
    out: np.ndarray,
    places: Mapping[int, int],
    rows: np.ndarray | None,
) -> None:
    """Write the columns of products, for all or some rows of a table, into an array."""
    wanted = {number for product in products for number in product.numbers}
    wanted |= {product.spline.argument for product in products if product.spline is not None}
    known = {number: only_numbers(number.values(frame), number.name) for number in wanted if number.source is None}
    for start in range(0, len(out), SLICE_ROWS):
        at = slice(start, start + SLICE_ROWS)
        here = at if rows is None else rows[at]
        own = {factor: codes[at] for factor, codes in levels.items()}
        numbers = {number: np.asarray(values[here], np.float64) for number, values in known.items()}
        numbers |= {number: _number(number, frame, here) for number in wanted if number.source is not None}
        for product in products:
            target = out[at, places[product.first] : places[product.first] + product.width]
            factors = [numbers[number][:, np.newaxis] for number in product.numbers]
            if product.factors:
                target[:] = np.eye(product.width + 1, product.width).take(product.codes(own), axis=0)
            elif product.spline is not None:
                product.spline.write(numbers[product.spline.argument], target)
            else:
                target[:] = factors.pop(0)
            for factor in factors:
                target *= factor


def _key(product: Product) -> tuple[tuple[Factor, int | None], ...]:
    return tuple((coding.factor, coding.reference) for coding in product.factors)


def _product_of_numbers(product: Product, frame: pd.DataFrame, rows: np.ndarray | None) -> np.ndarray:
    first, *others = (_number(factor, frame, rows) for factor in product.numbers)
    for other in others:
        first = first * other
    return first


def _number(factor: Factor, frame: pd.DataFrame, rows: np.ndarray | slice | None = None) -> np.ndarray:
    return np.asarray(only_numbers(factor.values(frame, rows), factor.name), np.float64)
