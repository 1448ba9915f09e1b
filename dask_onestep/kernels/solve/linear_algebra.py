"""Scaled, rank-revealing solution of equations with an information matrix, which finds aliased columns."""

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from scipy import linalg

from dask_onestep.kernels.matrices.symmetric import (
    Arrowhead,
    DiagonalPlusProduct,
    Matrix,
    is_finite,
    minor,
    selected_columns,
)
from dask_onestep.kernels.solve.elimination import ArrowFactor, eliminated, least_ratio
from dask_onestep.kernels.solve.pivots import AnyFactor, back_solved, decomposed, floors, forward_solved, scale_of
from dask_onestep.messages import catalogue

# A part of a combination that is smaller, relative to the column, is rounding.
_NEGLIGIBLE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class CholeskyFactor(AnyFactor):
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
        result[self.kept] = back_solved(self.lower, score[self.kept] / scale) / scale
        return result

    def whiten(self, score: np.ndarray) -> np.ndarray:
        """Return the vector of shape (r,) whose squared length is s'I⁻¹s."""
        return forward_solved(self.lower, score[self.kept] / self.scale[self.kept])

    def whitener(self) -> np.ndarray:
        """Return the matrix T of shape (r, d) with TIT' = 1 and T'T = I⁻¹, 0 for aliased columns."""
        result = np.zeros((self.rank, len(self.scale)))
        inner = forward_solved(self.lower, np.eye(self.rank))
        result[:, self.kept] = inner / self.scale[self.kept]
        return result

    def decrement(self, score: np.ndarray) -> float:
        """Return λ² = s'I⁻¹s."""
        half = self.whiten(score)
        with np.errstate(over="ignore"):  # overflow to infinity is meant
            return float(half @ half)

    def expected_decrement(self, variance: Matrix) -> float:
        """Return E λ² = tr(I⁻¹V) for a score of mean 0 and variance V, infinite where V is not finite."""
        if not np.isfinite(variance).all():
            return float("inf")
        return max(0.0, float(np.trace(self.solve(variance))))

    def inverse(self) -> np.ndarray:
        """Return I⁻¹, with NaN in the rows and columns of aliased coefficients."""
        result = np.full((len(self.scale), len(self.scale)), np.nan)
        scale = self.scale[self.kept]
        inner = back_solved(self.lower, np.eye(self.rank)) / np.outer(scale, scale)
        result[np.ix_(self.kept, self.kept)] = (inner + inner.T) / 2
        return result


@overload
def factorize(information: np.ndarray, *, intercept: bool = True) -> CholeskyFactor: ...
@overload
def factorize(information: Arrowhead, *, intercept: bool = True) -> ArrowFactor: ...
def factorize(information: Matrix, *, intercept: bool = True) -> AnyFactor:
    """Factor an information matrix, column by column, omitting aliased columns.

    The matrix is scaled to a unit diagonal, so that columns may have different units. A column's pivot is the fraction
    of it that the columns before it do not explain. If the first column is the intercept, the pivot is compared with
    the column's variance about its mean, so that a year such as 2013 is not treated as a constant. The later of two
    aliased columns is omitted, as in R.

    Parameters
    ----------
    information : ndarray or Arrowhead of shape (d, d)
        Symmetric, positive semidefinite; of an arrowhead matrix the levels are eliminated by their diagonal.
    intercept : bool
        Whether the first column is the intercept.

    Returns
    -------
    CholeskyFactor or ArrowFactor
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
    if not is_finite(information):
        raise catalogue.INFORMATION_NOT_FINITE.error()
    if isinstance(information, Arrowhead):
        return eliminated(information, intercept=intercept)
    scale = scale_of(information.diagonal())
    scaled = information / scale[:, None] / scale
    floor = floors(scaled, len(information), intercept=intercept)
    kept, lower = decomposed(scaled, information.diagonal() > 0, floor)
    part = scaled if kept.all() else scaled[np.ix_(kept, kept)]
    norm = float(np.abs(part).sum(axis=0).max(initial=0.0))
    return CholeskyFactor(scale, kept, lower, norm)


def of_curvature(factor: AnyFactor, observed: Matrix) -> AnyFactor:
    """Return the factored observed information if it is positive definite, otherwise that of the expected information.

    Parameters
    ----------
    factor : Factor or ArrowFactor
        The factored expected information.
    observed : ndarray or Arrowhead of shape (d, d)
        The observed information, symmetric.

    Returns
    -------
    Factor or ArrowFactor
        With the same aliased columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.solve.linear_algebra import factorize, of_curvature
    >>> factor = factorize(np.eye(2))
    >>> of_curvature(factor, 4 * np.eye(2)).solve(np.ones(2)).tolist()
    [0.25, 0.25]
    >>> of_curvature(factor, -np.eye(2)) is factor
    True
    """
    if not (observed.diagonal()[factor.kept] > 0).all():
        return factor
    found = factorize(observed, intercept=False)
    return found if (found.kept == factor.kept).all() else factor


def combinations(information: Matrix, kept: np.ndarray) -> np.ndarray:
    """Return the aliased columns as combinations of the kept ones, of shape (r, d - r)."""
    if kept.all():
        return np.empty((len(kept), 0))
    factor = factorize(minor(information, kept), intercept=False)
    weights = factor.solve(selected_columns(information, np.flatnonzero(~kept))[kept])
    return without_rounding(weights, np.sqrt(np.maximum(information.diagonal(), 0.0)), kept)


def without_rounding(weights: np.ndarray, lengths: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the weights of combinations, with 0 for parts that are negligible next to the column's length."""
    negligible = np.abs(weights) * lengths[kept][:, None] <= _NEGLIGIBLE * lengths[~kept]
    return np.where(negligible, 0.0, weights)


def sandwich_diagonal(inverse: np.ndarray | DiagonalPlusProduct, variance: Matrix) -> np.ndarray:
    """Return the diagonal of I⁻¹VI⁻¹, of shape (d,), for an inverse without NaN."""
    if isinstance(inverse, DiagonalPlusProduct):
        return inverse.sandwich_diagonal(variance)
    return np.einsum("ij,ij->i", inverse @ variance, inverse)


def squared_traces(factor: AnyFactor, variance: Any) -> tuple[float, float]:
    """Return tr(I⁻¹V) and tr(I⁻¹VI⁻¹V)."""
    if isinstance(factor, ArrowFactor):
        inverse = factor.inverse().filled()
        return inverse.trace_of_product(variance), inverse.trace_of_squared_product(variance)
    relative = factor.solve(variance)
    return float(np.trace(relative)), float(np.trace(relative @ relative))


def extreme_ratios(matrix: Any, reference: Any, factor: AnyFactor) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of a matrix relative to a positive definite one and its factor."""
    if isinstance(factor, ArrowFactor):
        return least_ratio(matrix, reference), 1.0 / least_ratio(reference, matrix)
    assert isinstance(factor, CholeskyFactor)
    scaled = matrix / np.outer(factor.scale, factor.scale)
    half = forward_solved(factor.lower, scaled)
    relative = np.linalg.eigvalsh(forward_solved(factor.lower, half.T))
    return float(relative[0]), float(relative[-1])
