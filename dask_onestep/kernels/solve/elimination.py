"""Solution of equations with an arrowhead matrix: its levels are eliminated by their diagonal (Schur complement).

With D the diagonal, C the border and A the corner, S = A − C'D⁻¹C has the other coefficients' equations, and
I⁻¹ = diag(D⁻¹, 0) + US⁻¹U' with U = (−D⁻¹C; 1). For k levels and a other columns this takes O(k·a²) operations.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from dask_onestep.kernels.matrices.symmetric import Arrowhead, DiagonalPlusProduct, Matrix, remaining
from dask_onestep.kernels.solve.pivots import (
    AnyFactor,
    back_solved,
    decomposed,
    floors,
    forward_solved,
    pivoted,
    scale_of,
)

# Relative accuracy of an eigenvalue that bisection finds.
_BISECTED = 1e-9
# Share of the pivot of a column before the levels below which these leave little of it.
_LITTLE = 1e-3
# Parts of the levels, in each of which the decisive ones are searched for.
_CHUNKS = 8


@dataclass(frozen=True, slots=True, eq=False)
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
        result[self.rest] = rest = (back_solved(self.lower, (left.T / self.scale).T).T / self.scale).T
        result[self.at] = (self.inverse_levels * score[self.at].T).T - self.ratios @ rest
        return result

    def decrement(self, score: np.ndarray) -> float:
        """Return λ² = s'I⁻¹s."""
        half = forward_solved(self.lower, self._left(score) / self.scale)
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
        inner = forward_solved(self.lower, np.eye(r)) / self.scale
        half[self.rest] = inner.T
        half[self.at] = -self.ratios @ inner.T
        return DiagonalPlusProduct(own, half, self.kept)

    def _left(self, score: np.ndarray) -> np.ndarray:
        """Return the score of the other columns, the levels eliminated."""
        return score[self.rest] - self.ratios.T @ score[self.at]


def eliminated(matrix: Arrowhead, *, intercept: bool) -> ArrowFactor:
    """Factor an arrowhead matrix, omitting aliased columns as a factorization column by column does.

    Levels that leave little of the columns before them, such as the last one where few rows have the reference level,
    are not eliminated but factored in their place among the other columns. So whether they or later columns are aliased
    is decided as in a full matrix, with the same digits.
    """
    d, diagonal = len(matrix), np.diagonal(matrix.corner)
    scale = scale_of(diagonal)
    scaled = matrix.corner / scale[:, None] / scale
    floor = floors(scaled, d, intercept=intercept)
    before, lower = decomposed(scaled, (diagonal > 0) & (matrix.rest < matrix.at[0]), floor)
    least = np.maximum(floor[before], _LITTLE * np.diag(lower) ** 2)
    inner, border = scaled[np.ix_(before, before)], (matrix.border / scale)[:, before]
    aside, aliased = _decisive(inner, border, matrix.levels, least, float(floor.max(initial=0.0)))
    if len(aliased):
        levels, ends = matrix.levels.copy(), matrix.border.copy()
        levels[aliased], ends[aliased] = 0.0, 0.0
        matrix = replace(matrix, levels=levels, border=ends)
    return _factored(_with_aside(matrix, aside), intercept=intercept)


def _factored(matrix: Arrowhead, *, intercept: bool) -> ArrowFactor:
    """Eliminate all levels, and factor the other columns in their order."""
    diagonal, used = np.diagonal(matrix.corner), matrix.levels > 0
    scale = scale_of(diagonal)
    scaled = matrix.corner / scale[:, None] / scale
    complement = scaled - _explained(matrix.border[used] / scale, matrix.levels[used])
    held, lower = decomposed(complement, diagonal > 0, floors(scaled, len(matrix), intercept=intercept))
    inverse = np.zeros(len(used))
    inverse[used] = 1.0 / matrix.levels[used]
    norm = float(np.abs(scaled[np.ix_(held, held)]).sum(axis=0).max(initial=0.0))
    ratios = inverse[:, None] * matrix.border[:, held]
    kept = np.zeros(len(matrix), dtype=bool)
    kept[matrix.at], kept[matrix.rest] = used, held
    return ArrowFactor(matrix.at, matrix.rest[held], kept, inverse, ratios, scale[held], lower, norm)


def _explained(border: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return C'D⁻¹C."""
    return border.T @ (border / levels[:, None])


def _with_aside(matrix: Arrowhead, aside: np.ndarray) -> Arrowhead:
    """Return the matrix with some levels among the other rows, at their places."""
    if not len(aside):
        return matrix
    rest = np.sort(np.concatenate([matrix.rest, matrix.at[aside]]))
    own, among = np.searchsorted(rest, matrix.at[aside]), np.searchsorted(rest, matrix.rest)
    corner, left = np.zeros((len(rest), len(rest))), remaining(aside, len(matrix.at))
    corner[np.ix_(among, among)] = matrix.corner
    corner[own, own] = matrix.levels[aside]
    corner[np.ix_(own, among)] = matrix.border[aside]
    corner[np.ix_(among, own)] = matrix.border[aside].T
    border = np.zeros((len(left), len(rest)))
    border[:, among] = matrix.border[left]
    return Arrowhead(matrix.levels[left], border, corner, matrix.at[left], rest)


def _decisive(
    corner: np.ndarray, border: np.ndarray, levels: np.ndarray, least: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels to factor among the other columns, and the aliased levels.

    Levels are added in order, part by part. If a part makes pivots of the columns before it, levels put aside among
    them, fall below `least`, those of its levels are aliased of which these columns and the levels added so far leave
    less than `floor`. If the others still do, the first of them that does is found by bisection and put aside.
    """
    every = np.flatnonzero(levels > 0)
    aside: list[int] = []
    aliased: list[int] = []
    width = border.shape[1]

    def without(some: np.ndarray) -> np.ndarray:
        rest = left.copy()
        rest[:width, :width] -= _explained(border[some], levels[some])
        return rest

    def leave_little(some: np.ndarray) -> bool:
        return pivoted(without(some), least)[1] is not None

    def beside(some: np.ndarray) -> np.ndarray:
        columns = np.zeros((len(left), len(some)))
        columns[:width] = (border[some] / np.sqrt(levels[some])[:, None]).T
        return columns

    left = corner
    if not width or not leave_little(every):
        return np.arange(0), np.arange(0)
    for some in np.array_split(every, _CHUNKS):
        if leave_little(some):
            kept = _unexplained(left, beside(some), floor)
            aliased += some[~kept].tolist()
            some = some[kept]
        while leave_little(some):
            few, many = 0, len(some)  # the first `few` leave enough, the first `many` do not
            while many - few > 1:
                middle = (few + many) // 2
                few, many = (few, middle) if leave_little(some[:middle]) else (middle, many)
            left, found = without(some[:few]), int(some[few])
            column = beside(some[few : few + 1])
            extended = np.block([[left, column], [column.T, np.ones((1, 1))]])
            some = some[many:]
            pivot = pivoted(extended, np.append(np.zeros(len(left)), floor))
            if pivot[1] is not None:  # at the floor, where rounding decides
                aliased.append(found)
                continue
            aside.append(found)
            left, least = extended, np.append(least, _LITTLE * pivot[0][-1, -1] ** 2)
        left = without(some)
    return np.array(aside, dtype=np.intp), np.array(aliased, dtype=np.intp)


def _unexplained(left: np.ndarray, beside: np.ndarray, floor: float) -> np.ndarray:
    """Return which levels, whose scaled columns are beside a matrix, neither its columns nor earlier levels explain."""
    half = forward_solved(linalg.lapack.dpotrf(left, lower=1, clean=1)[0], beside)
    count = beside.shape[1]
    return decomposed(np.eye(count) - half.T @ half, np.ones(count, dtype=bool), np.full(count, floor))[0]


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

    (corner, border), (corner_unit, border_unit) = (
        (each.corner / scale[:, None] / scale, each.border / scale) for each in (matrix, reference)
    )

    def positive(ratio: float) -> bool:
        levels = matrix.levels - ratio * reference.levels
        if (levels <= 0).any():
            return False
        complement = corner - ratio * corner_unit - _explained(border - ratio * border_unit, levels)
        return linalg.lapack.dpotrf(complement, lower=1)[1] == 0

    while high - low > _BISECTED * high:
        middle = (low + high) / 2
        low, high = (middle, high) if positive(middle) else (low, middle)
    return (low + high) / 2
