"""What all factors of an information matrix have, and Cholesky factors of scaled matrices that omit aliased columns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from dask_onestep.kernels.matrices.symmetric import Matrix
from dask_onestep.kernels.records import Record

# A column is aliased when the columns before it leave less than this fraction of its variance. An exact copy leaves
# about d·1e-16; a correlation of 0.999999 leaves 2e-6.
ALIAS_TOLERANCE = 1e-11
# What sums over many rows may leave of an exact copy, in epsilons: 200 for a constant over a million rows.
_ROUNDING = 512
_BLOCK = 64


class AnyFactor(Record, ABC):
    """A factored information matrix, full or with levels eliminated; `kept` tells the columns that are not aliased."""

    __slots__ = ()

    kept: np.ndarray

    @property
    def rank(self) -> int:
        """The rank, d in the formulas of inference."""
        return int(self.kept.sum())

    @property
    @abstractmethod
    def condition(self) -> float:
        """Condition number in the 1-norm of the scaled matrix that is factored, as estimated by LAPACK."""

    @abstractmethod
    def solve(self, score: np.ndarray) -> np.ndarray:
        """Return I⁻¹s, with 0 for aliased columns; `score` of shape (d,) or (d, m)."""

    @abstractmethod
    def decrement(self, score: np.ndarray) -> float:
        """Return λ² = s'I⁻¹s."""

    @abstractmethod
    def expected_decrement(self, variance: Matrix) -> float:
        """Return E λ² = tr(I⁻¹V) for a score of mean 0 and variance V, infinite where V is not finite."""

    @abstractmethod
    def inverse(self) -> Matrix:
        """Return I⁻¹, with NaN in the rows and columns of aliased coefficients."""

    def without_aliased(self, coef: np.ndarray, information: Matrix) -> np.ndarray:
        """Return coefficients of the same linear predictor that are 0 for aliased columns."""
        stray = np.where(self.kept, 0.0, coef)
        if not stray.any():
            return coef
        return np.where(self.kept, coef + self.solve(information @ stray), 0.0)


def scale_of(diagonal: np.ndarray) -> np.ndarray:
    """Return the square roots of a diagonal, 1 for empty columns."""
    return np.where(diagonal > 0, np.sqrt(np.maximum(diagonal, 0.0)), 1.0)


def floors(scaled: np.ndarray, d: int, *, intercept: bool) -> np.ndarray:
    """Return the pivot below which each column of a matrix of unit diagonal is aliased.

    Parameters
    ----------
    scaled : ndarray of shape (a, a)
        The matrix, with 0 for empty columns.
    d : int
        The number of all coefficients, on which rounding depends.
    intercept : bool
        Whether the first column is the intercept, unless it is empty: other columns are then compared with their
        variances about their means.
    """
    yardstick = np.ones(len(scaled))
    if intercept and len(scaled) and scaled[0, 0] > 0:
        yardstick[1:] = 1.0 - scaled[0, 1:] ** 2
    return np.maximum(ALIAS_TOLERANCE * yardstick, max(8 * d, _ROUNDING) * np.finfo(np.float64).eps)


def decomposed(matrix: np.ndarray, kept: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns that those before them do not explain, and the Cholesky factor of these.

    Parameters
    ----------
    matrix : ndarray of shape (a, a)
        Symmetric, positive semidefinite.
    kept : ndarray of shape (a,) of bool
        The columns to consider.
    floor : ndarray of shape (a,)
        Their smallest pivots.

    Returns
    -------
    kept : ndarray of shape (a,) of bool
        Those of them that are not aliased.
    lower : ndarray of shape (r, r)
        Their factor.
    """
    kept = kept.copy()
    while True:
        columns = np.flatnonzero(kept)
        part = matrix if len(columns) == len(kept) else matrix[np.ix_(columns, columns)]
        lower, weak = pivoted(part, floor[columns])
        if weak is None:
            return kept, lower
        strong = _strong(part, floor[columns])
        strong[weak] &= not strong.all()  # if all are strong, both differ only by rounding
        kept[columns] = strong


def back_solved(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (LL')⁻¹V by LAPACK: for few columns SciPy's function takes ten times as long."""
    return _solved(linalg.lapack.dpotrs, lower, values)


def forward_solved(lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return L⁻¹V, likewise."""
    return _solved(linalg.lapack.dtrtrs, lower, values)


def _solved(solver: Callable[..., Any], lower: np.ndarray, values: np.ndarray) -> np.ndarray:
    values = np.asarray_chkfinite(values)
    if not len(lower):
        return np.zeros(values.shape)
    solution, failed = solver(lower, values, lower=1)
    if failed:
        raise np.linalg.LinAlgError(f"Pivot {failed} of the factor is zero.")
    return solution


def pivoted(matrix: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Return the Cholesky factor, and the first column whose pivot is below its floor, or None."""
    lower, failed = linalg.lapack.dpotrf(matrix, lower=1, clean=1)
    good = len(matrix) if failed == 0 else failed - 1
    weak = np.flatnonzero(np.diag(lower)[:good] ** 2 < floor[:good])
    if len(weak):
        return lower, int(weak[0])
    return lower, good if failed else None


def _strong(matrix: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return which columns those before them do not explain.

    Interactions of factors can alias hundreds of columns, one for each empty cell: for each of these only a block of
    columns is factored again, not the whole matrix.
    """
    strong = np.ones(len(matrix), dtype=bool)
    lower, done = np.zeros_like(matrix), 0
    for begin in range(0, len(matrix), _BLOCK):
        at = np.arange(begin, min(begin + _BLOCK, len(matrix)))
        rest = matrix[begin:, at] - lower[begin:, :done] @ lower[at, :done].T
        weak: int | None = 0
        while weak is not None:
            held = np.flatnonzero(strong[at])
            inner, weak = pivoted(rest[np.ix_(held, held)], floor[at[held]])
            if weak is not None:
                strong[at[held[weak]]] = False
        lower[begin:, done : done + len(held)] = forward_solved(inner, rest[:, held].T).T
        done += len(held)
    return strong
