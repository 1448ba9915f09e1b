"""Categories of many levels, and their products with numbers, as sparse columns: no row of zeros is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from dask_onestep.kernels.table import plain_columns
from dask_onestep.kernels.terms import Factor

__all__ = ["WideFactor", "are_wide", "sparse_columns"]

# Treatment-coded, a factor of K levels fills 1/K of its columns, and sparse sums win from 1/10 down; but a
# few dozen columns are dense soon enough that a compiled kernel over them is as good
# (`python -m benchmarks.categories`).
_MIN_LEVELS = 10
_MIN_COLUMNS = 32


@dataclass(frozen=True)
class WideFactor:
    """A treatment-coded main effect, or an interaction of one with numbers, whose columns stay sparse.

    Attributes
    ----------
    factor : Factor
        The factor.
    levels : Index of length K
        Its levels.
    columns : tuple of int
        Which columns of the matrix are its own, in the order of the levels: of all, or of all but the first.
    term : str
        The formula's term, or the column.
    slopes : tuple of Factor
        The numbers that it is multiplied with, each without a state; none for a main effect.
    """

    factor: Factor
    levels: pd.Index
    columns: tuple[int, ...]
    term: str
    slopes: tuple[Factor, ...] = ()

    def codes(self, frame: pd.DataFrame) -> np.ndarray:
        """Return, for each row, which of the factor's columns is 1; negative for the reference level.

        Parameters
        ----------
        frame : DataFrame of shape (m, …)
            Rows without gaps or unseen levels.

        Returns
        -------
        ndarray of shape (m,) of int
            Numbers within `columns`.
        """
        values = self.factor.values(frame)
        if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.categories.equals(self.levels):
            codes = values.cat.codes.to_numpy(np.int32)
        else:
            codes = self.levels.get_indexer(pd.Index(values)).astype(np.int32)
        return codes - (len(self.levels) - len(self.columns))

    def values(self, frame: pd.DataFrame) -> np.ndarray | float:
        """Return, for each row, what is in that column.

        Parameters
        ----------
        frame : DataFrame of shape (m, …)
            Rows without gaps.

        Returns
        -------
        ndarray of shape (m,) or float
            The product of the numbers; 1 for a main effect.
        """
        product: np.ndarray | float = 1.0
        for slope in self.slopes:
            # As formulaic is handed them.
            product = product * slope.values(plain_columns(frame, slope.columns, {})).to_numpy(np.float64)
        return product


def are_wide(candidates: Sequence[WideFactor]) -> tuple[WideFactor, ...]:
    """Return the factors whose columns are better sparse.

    Parameters
    ----------
    candidates : sequence of WideFactor
        All treatment-coded main effects of a design, and their interactions with numbers.

    Returns
    -------
    tuple of WideFactor
        Those of many levels, if they have many columns together.
    """
    wide = tuple(factor for factor in candidates if len(factor.levels) >= _MIN_LEVELS)
    return wide if sum(len(factor.columns) for factor in wide) >= _MIN_COLUMNS else ()


def sparse_columns(wide: Sequence[WideFactor], frame: pd.DataFrame) -> sparse.csr_array:
    """Return the columns of wide factors and interactions, side by side.

    Parameters
    ----------
    wide : sequence of WideFactor
        The factors.
    frame : DataFrame of shape (m, …)
        Rows without gaps or unseen levels.

    Returns
    -------
    csr_array of shape (m, b)
        At most one element a row and factor: 1, or the product of the numbers.
    """
    m, at = len(frame), 0
    index, present = np.empty((m, len(wide)), dtype=np.int32), np.empty((m, len(wide)), dtype=bool)
    values = np.empty((m, len(wide)))
    for number, factor in enumerate(wide):
        codes = factor.codes(frame)
        present[:, number] = codes >= 0
        index[:, number] = codes + at
        values[:, number] = factor.values(frame)
        at += len(factor.columns)
    starts = np.zeros(m + 1, dtype=np.int32)
    np.cumsum(present.sum(axis=1), out=starts[1:])
    return sparse.csr_array((values[present], index[present], starts), shape=(m, at))
