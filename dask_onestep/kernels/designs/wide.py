"""Products of categories, and of these with numbers, as sparse columns: no row of zeros is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd
from scipy import sparse

from dask_onestep.kernels.designs.table import plain_columns
from dask_onestep.kernels.designs.terms import Factor

__all__ = ["Coding", "WideProduct", "are_wide", "sparse_columns"]

# A row has at most one element in the columns of a product, and sparse sums win where one in ten is stored: at the
# nine columns of ten levels but for the reference.  A few dozen columns are dense soon enough that a compiled kernel
# over them is as good (`python -m benchmarks.categories`).
_MIN_WIDTH = 9
_MIN_COLUMNS = 32


@dataclass(frozen=True)
class Coding:
    """Treatment coding of a category within a term.

    Attributes
    ----------
    factor : Factor
        The category.
    levels : Index of length K
        Its levels.
    reference : int or None
        Which of them is left out; None where each has a column.
    """

    factor: Factor
    levels: pd.Index
    reference: int | None

    @property
    def width(self) -> int:
        """How many columns it has: K, or K − 1."""
        return max(len(self.levels) - (self.reference is not None), 0)

    def places(self, codes: np.ndarray) -> np.ndarray:
        """Return which of its columns is 1.

        Parameters
        ----------
        codes : ndarray of shape (m,) of int32
            The rows' levels.

        Returns
        -------
        ndarray of shape (m,) of int32
            From 0 to its width − 1, and −1 for the reference.
        """
        if self.reference is None:
            return codes
        return np.where(codes == self.reference, np.int32(-1), codes - (codes > self.reference))


@dataclass(frozen=True)
class WideProduct:
    """A product of categories and numbers, whose columns stay sparse: a term of a formula, or a part of one.

    formulaic keeps a matrix of full rank, so that a term may be the columns of several products, of which some have
    fewer categories: ``a:b`` without main effects is ``b``, but for its first level, and then ``a:b``, but for the
    first level of ``a``.

    Attributes
    ----------
    categories : tuple of Coding
        The categories, one at least.  The product has a column for each combination of their columns, those of the
        first category next to each other.
    first : int
        Which column of the matrix is its first.
    term : str
        The formula's term, or the column.
    slopes : tuple of Factor
        The numbers that it is multiplied with, each without a state.
    """

    categories: tuple[Coding, ...]
    first: int
    term: str
    slopes: tuple[Factor, ...] = ()

    @property
    def width(self) -> int:
        """How many columns it has."""
        return prod(coding.width for coding in self.categories)

    @property
    def columns(self) -> np.ndarray:
        """Which columns of the matrix are its own."""
        return np.arange(self.first, self.first + self.width)

    def places(self, codes: Mapping[Factor, np.ndarray]) -> np.ndarray:
        """Return in which of its columns a row has a number.

        Parameters
        ----------
        codes : mapping of Factor to ndarray of shape (m,) of int32
            The rows' levels.

        Returns
        -------
        ndarray of shape (m,) of int32
            From 0 to its width − 1, and −1 where a category is at its reference.
        """
        first, *others = self.categories
        place, stride = first.places(codes[first.factor]), first.width
        for coding in others:
            own = coding.places(codes[coding.factor])
            place = np.where((place < 0) | (own < 0), np.int32(-1), place + np.int32(stride) * own)
            stride *= coding.width
        return place

    def values(self, frame: pd.DataFrame) -> np.ndarray | float:
        """Return, for each row, what is in that column.

        Parameters
        ----------
        frame : DataFrame of shape (m, …)
            Rows without gaps.

        Returns
        -------
        ndarray of shape (m,) or float
            The product of the numbers; 1 if there are none.
        """
        product: np.ndarray | float = 1.0
        for slope in self.slopes:
            # As formulaic is handed them.
            product = product * slope.values(plain_columns(frame, slope.columns, {})).to_numpy(np.float64)
        return product


def are_wide(candidates: Sequence[WideProduct]) -> tuple[WideProduct, ...]:
    """Return the products whose columns are better sparse, all of a term or none.

    Parameters
    ----------
    candidates : sequence of WideProduct
        All whose columns could be.

    Returns
    -------
    tuple of WideProduct
        Those of terms with many columns, if these are many together.
    """
    terms: dict[str, list[WideProduct]] = {}
    for product in candidates:
        terms.setdefault(product.term, []).append(product)
    wide = tuple(
        product
        for products in terms.values()
        if sum(part.width for part in products) >= _MIN_WIDTH * len(products)
        for product in products
    )
    return wide if sum(product.width for product in wide) >= _MIN_COLUMNS else ()


def sparse_columns(
    wide: Sequence[WideProduct], frame: pd.DataFrame, codes: Mapping[Factor, np.ndarray]
) -> sparse.csr_array:
    """Return the columns of wide products, side by side.

    Parameters
    ----------
    wide : sequence of WideProduct
        The products.
    frame : DataFrame of shape (m, …)
        Rows without gaps or unseen levels.
    codes : mapping of Factor to ndarray of shape (m,) of int32
        The rows' levels.

    Returns
    -------
    csr_array of shape (m, b)
        At most one element a row and product: 1, or the product of the numbers.
    """
    m, at = len(frame), 0
    index, present = np.empty((m, len(wide)), dtype=np.int32), np.empty((m, len(wide)), dtype=bool)
    values = np.empty((m, len(wide)))
    for number, product in enumerate(wide):
        places = product.places(codes)
        present[:, number] = places >= 0
        index[:, number] = places + at
        values[:, number] = product.values(frame)
        at += product.width
    starts = np.zeros(m + 1, dtype=np.int32)
    np.cumsum(present.sum(axis=1), out=starts[1:])
    return sparse.csr_array((values[present], index[present], starts), shape=(m, at))
