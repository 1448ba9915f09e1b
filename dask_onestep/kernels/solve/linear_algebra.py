"""Scaled, rank-revealing solution of equations with an information matrix, which finds aliased columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from dask_onestep.kernels.records import Record
from dask_onestep.messages import catalogue

__all__ = ["Factor", "combinations", "factorize"]

# A column is aliased when the columns before it leave less than this fraction of its variance. An exact copy leaves
# about d·1e-16; a correlation of 0.999999 leaves 2e-6.
ALIAS_TOLERANCE = 1e-11
# What sums over many rows may leave of an exact copy, in epsilons: 200 for a constant over a million rows.
_ROUNDING = 512
_BLOCK = 64
# A part of a combination that is smaller, relative to the column, is rounding.
_NEGLIGIBLE = 1e-8


@dataclass(frozen=True, slots=True)
class Factor(Record):
    """Cholesky factor of the scaled information of the columns that are not aliased.

    Attributes
    ----------
    scale : ndarray of shape (d,)
        Square roots of the diagonal, 1 for empty columns.
    kept : ndarray of shape (d,) of bool
        Columns that are not aliased with earlier ones.
    lower : ndarray of shape (r, r)
        L with LL' the information of the kept columns over the outer product of their scales.
    norm : float
        1-norm of LL'.
    """

    scale: np.ndarray
    kept: np.ndarray
    lower: np.ndarray
    norm: float

    @property
    def rank(self) -> int:
        """The rank, d in the formulas of inference."""
        return int(self.kept.sum())

    @property
    def condition(self) -> float:
        """Condition number of the scaled information in the 1-norm, as estimated by LAPACK."""
        if not self.rank:
            return 1.0
        reciprocal, _ = linalg.lapack.dpocon(self.lower, self.norm, uplo="L")
        return 1.0 / reciprocal if reciprocal > 0 else float("inf")

    def solve(self, score: np.ndarray) -> np.ndarray:
        """Return I⁻¹s, with 0 for aliased columns; `score` of shape (d,) or (d, m)."""
        scale = self.scale[self.kept]
        scale = scale if score.ndim == 1 else scale[:, None]
        result = np.zeros_like(score, dtype=np.float64)
        result[self.kept] = linalg.cho_solve((self.lower, True), score[self.kept] / scale) / scale
        return result

    def without_aliased(self, coef: np.ndarray, information: np.ndarray) -> np.ndarray:
        """Return coefficients of the same linear predictor that are 0 for aliased columns."""
        stray = np.where(self.kept, 0.0, coef)
        if not stray.any():
            return coef
        return np.where(self.kept, coef + self.solve(information @ stray), 0.0)

    def whiten(self, score: np.ndarray) -> np.ndarray:
        """Return the vector of shape (r,) whose squared length is s'I⁻¹s."""
        return linalg.solve_triangular(self.lower, score[self.kept] / self.scale[self.kept], lower=True)

    def whitener(self) -> np.ndarray:
        """Return the matrix T of shape (r, d) with TIT' = 1 and T'T = I⁻¹, 0 for aliased columns."""
        result = np.zeros((self.rank, len(self.scale)))
        inner = linalg.solve_triangular(self.lower, np.eye(self.rank), lower=True)
        result[:, self.kept] = inner / self.scale[self.kept]
        return result

    def decrement(self, score: np.ndarray) -> float:
        """Return λ² = s'I⁻¹s."""
        half = self.whiten(score)
        with np.errstate(over="ignore"):  # overflow to infinity is meant
            return float(half @ half)

    def expected_decrement(self, variance: np.ndarray) -> float:
        """Return E λ² = tr(I⁻¹V) for a score of mean 0 and variance V, infinite where V is not finite."""
        if not np.isfinite(variance).all():
            return float("inf")
        return max(0.0, float(np.trace(self.solve(variance))))

    def inverse(self) -> np.ndarray:
        """Return I⁻¹, with NaN in the rows and columns of aliased coefficients."""
        result = np.full((len(self.scale), len(self.scale)), np.nan)
        scale = self.scale[self.kept]
        inner = linalg.cho_solve((self.lower, True), np.eye(self.rank)) / np.outer(scale, scale)
        result[np.ix_(self.kept, self.kept)] = (inner + inner.T) / 2
        return result


def factorize(information: np.ndarray, *, intercept: bool = True) -> Factor:
    """Factor an information matrix, column by column, omitting aliased columns.

    The matrix is scaled to a unit diagonal, so that columns may have different units. A column's pivot is the fraction
    of it that the columns before it do not explain. If the first column is the intercept, the pivot is compared with
    the column's variance about its mean, so that a year such as 2013 is not treated as a constant. The later of two
    aliased columns is omitted, as in R.

    Parameters
    ----------
    information : ndarray of shape (d, d)
        Symmetric, positive semidefinite.
    intercept : bool
        Whether the first column is the intercept.

    Returns
    -------
    Factor
        The factor.

    Raises
    ------
    ValueError
        If the matrix contains NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.solve.linear_algebra import factorize
    >>> factorize(np.array([[2.0, 2.0], [2.0, 2.0]])).kept.tolist()
    [True, False]
    """
    if not np.isfinite(information).all():
        raise catalogue.INFORMATION_NOT_FINITE.error()
    d = len(information)
    diagonal = np.diag(information)
    scale = np.where(diagonal > 0, np.sqrt(np.maximum(diagonal, 0.0)), 1.0)
    scaled = information / scale[:, None] / scale
    kept = diagonal > 0
    yardstick = np.ones(d)
    if intercept and d and kept[0]:
        yardstick[1:] = 1.0 - scaled[0, 1:] ** 2
    floor = np.maximum(ALIAS_TOLERANCE * yardstick, max(8 * d, _ROUNDING) * np.finfo(np.float64).eps)
    while True:
        columns = np.flatnonzero(kept)
        lower, weak = _pivoted(scaled[np.ix_(columns, columns)], floor[columns])
        if weak is None:
            norm = float(np.abs(scaled[np.ix_(columns, columns)]).sum(axis=0).max(initial=0.0))
            return Factor(scale, kept, lower, norm)
        strong = _strong(scaled[np.ix_(columns, columns)], floor[columns])
        strong[weak] &= not strong.all()  # if all are strong, both differ only by rounding
        kept[columns] = strong


def combinations(information: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the aliased columns as combinations of the kept ones, of shape (r, d - r), without rounding near 0."""
    inner = information[np.ix_(kept, kept)]
    weights = factorize(inner, intercept=False).solve(information[np.ix_(kept, ~kept)])
    lengths = np.sqrt(np.diag(information))
    weights[np.abs(weights) * lengths[kept][:, None] <= _NEGLIGIBLE * lengths[~kept]] = 0.0
    return weights


def _pivoted(matrix: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, int | None]:
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
            inner, weak = _pivoted(rest[np.ix_(held, held)], floor[at[held]])
            if weak is not None:
                strong[at[held[weak]]] = False
        lower[begin:, done : done + len(held)] = linalg.solve_triangular(inner, rest[:, held].T, lower=True).T
        done += len(held)
    return strong
