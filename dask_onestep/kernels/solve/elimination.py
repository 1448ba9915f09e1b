"""Solution of equations with an arrowhead matrix: its levels are eliminated by their diagonal (Schur complement).

With D the diagonal, C the border and A the corner, S = A − C'D⁻¹C has the other coefficients' equations, and
I⁻¹ = diag(D⁻¹, 0) + US⁻¹U' with U = (−D⁻¹C; 1). For k levels and a other columns this takes O(k·a²) operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from dask_onestep.kernels.solve.pivots import AnyFactor, decomposed, floors, scale_of
from dask_onestep.kernels.structured import Arrowhead, DiagonalPlusProduct, Matrix

__all__ = ["ArrowFactor", "eliminated", "least_ratio"]

# Relative accuracy of an eigenvalue that bisection finds.
_BISECTED = 1e-9


@dataclass(frozen=True, slots=True)
class ArrowFactor(AnyFactor):
    """An arrowhead matrix whose levels are eliminated, with the Cholesky factor of the Schur complement.

    Attributes
    ----------
    at, rest : ndarray of shape (k,) and (a,) of int
        Positions of the levels, and of the other columns that are not aliased.
    kept : ndarray of shape (d,) of bool
        Columns that are not aliased with earlier ones.
    inverse_levels : ndarray of shape (k,)
        D⁻¹, 0 for levels that are not kept.
    ratios : ndarray of shape (k, a)
        D⁻¹C.
    scale : ndarray of shape (a,)
        Square roots of the corner's diagonal.
    lower : ndarray of shape (a, a)
        L with LL' = S over the outer product of the scales.
    norm : float
        1-norm of the scaled corner.
    """

    at: np.ndarray
    rest: np.ndarray
    kept: np.ndarray
    inverse_levels: np.ndarray
    ratios: np.ndarray
    scale: np.ndarray
    lower: np.ndarray
    norm: float

    @property
    def condition(self) -> float:
        """Condition number of the Schur complement, scaled as the corner, in the 1-norm, as estimated by LAPACK."""
        if not len(self.rest):
            return 1.0
        reciprocal, _ = linalg.lapack.dpocon(self.lower, self.norm, uplo="L")
        return 1.0 / reciprocal if reciprocal > 0 else float("inf")

    def solve(self, score: np.ndarray) -> np.ndarray:
        """Return I⁻¹s, with 0 for aliased columns; `score` of shape (d,) or (d, m)."""
        result = np.zeros_like(score, dtype=np.float64)
        left = self._left(score)
        result[self.rest] = rest = (linalg.cho_solve((self.lower, True), (left.T / self.scale).T).T / self.scale).T
        result[self.at] = (self.inverse_levels * score[self.at].T).T - self.ratios @ rest
        return result

    def decrement(self, score: np.ndarray) -> float:
        """Return λ² = s'I⁻¹s."""
        half = linalg.solve_triangular(self.lower, self._left(score) / self.scale, lower=True)
        with np.errstate(over="ignore"):  # overflow to infinity is meant
            return float(self.inverse_levels @ np.square(score[self.at]) + half @ half)

    def expected_decrement(self, variance: Matrix) -> float:
        """Return E λ² = tr(I⁻¹V) for a score of mean 0 and variance V, infinite where V is not finite."""
        trace = self.inverse().trace_of_product(variance)
        return max(0.0, trace) if np.isfinite(trace) else float("inf")

    def inverse(self) -> DiagonalPlusProduct:
        """Return I⁻¹, with NaN in the rows and columns of aliased coefficients."""
        r, d = len(self.rest), len(self.kept)
        own, half = np.zeros(d), np.zeros((d, r))
        own[self.at] = self.inverse_levels
        inner = linalg.solve_triangular(self.lower, np.eye(r), lower=True) / self.scale
        half[self.rest] = inner.T
        half[self.at] = -self.ratios @ inner.T
        return DiagonalPlusProduct(own, half, self.kept)

    def _left(self, score: np.ndarray) -> np.ndarray:
        """Return the score of the other columns, the levels eliminated."""
        return score[self.rest] - self.ratios.T @ score[self.at]


def eliminated(matrix: Arrowhead, *, intercept: bool) -> ArrowFactor:
    """Factor an arrowhead matrix, omitting aliased columns as a factorization column by column does.

    Columns before the levels are aliased with those before them; a level is aliased where it leaves nothing of a
    combination of these (the last level, where no row has the reference level); columns after the levels where all
    others leave nothing of them.
    """
    d = len(matrix)
    diagonal = np.diagonal(matrix.corner)
    scale = scale_of(diagonal)
    scaled = matrix.corner / scale[:, None] / scale
    floor = floors(scaled, d, intercept=intercept)
    border = matrix.border / scale
    first = matrix.rest < matrix.at[0]
    before, _ = decomposed(scaled, (diagonal > 0) & first, floor)
    levels = matrix.levels > 0
    while (last := _first_aliased(scaled, border, matrix.levels, levels, before, floor)) is not None:
        levels[last] = False
    complement = scaled - _explained(border, matrix.levels, levels)
    held, lower = decomposed(complement, before | ((diagonal > 0) & ~first), floor)
    inverse = np.zeros(len(levels))
    inverse[levels] = 1.0 / matrix.levels[levels]
    norm = float(np.abs(scaled[np.ix_(held, held)]).sum(axis=0).max(initial=0.0))
    ratios = inverse[:, None] * matrix.border[:, held]
    kept = np.zeros(d, dtype=bool)
    kept[matrix.at], kept[matrix.rest] = levels, held
    return ArrowFactor(matrix.at, matrix.rest[held], kept, inverse, ratios, scale[held], lower, norm)


def _explained(border: np.ndarray, levels: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return C'D⁻¹C of some levels."""
    part = border[used]
    return part.T @ (part / levels[used, None])


def _first_aliased(
    corner: np.ndarray, border: np.ndarray, levels: np.ndarray, used: np.ndarray, before: np.ndarray, floor: np.ndarray
) -> int | None:
    """Return the first level with which those before it explain a column before the levels, or None."""
    among, columns = corner[np.ix_(before, before)], border[:, before]
    every = np.ones(len(among), dtype=bool)

    def explain(count: int) -> bool:
        some = used & (np.arange(len(used)) < count)
        return not decomposed(among - _explained(columns, levels, some), every, floor[before])[0].all()

    if not explain(len(used)):
        return None
    few, many = 0, len(used)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if explain(middle) else (middle, many)
    return many - 1


def least_ratio(matrix: Arrowhead, reference: Arrowhead) -> float:
    """Return the smallest eigenvalue of a matrix relative to a positive definite one, by bisection.

    It is the largest λ for which M − λR is positive semidefinite, hence its levels and its Schur complement
    (Sylvester's law of inertia).
    """
    scale = scale_of(np.diagonal(reference.corner))
    ratios = matrix.levels / reference.levels
    low, high = 0.0, float(ratios.min(initial=np.inf))
    if len(scale):
        high = min(high, float((np.diagonal(matrix.corner) / np.diagonal(reference.corner)).min()))

    def positive(ratio: float) -> bool:
        rest = matrix - ratio * reference
        if (rest.levels <= 0).any():
            return False
        complement = rest.corner - _explained(rest.border, rest.levels, np.ones(len(ratios), dtype=bool))
        return linalg.lapack.dpotrf(complement / np.outer(scale, scale), lower=1)[1] == 0

    while high - low > _BISECTED * high:
        middle = (low + high) / 2
        low, high = (middle, high) if positive(middle) else (low, middle)
    return (low + high) / 2
