"""The group lasso of a quadratic function: ½ b'Gb − c'b + Σ_g ‖u_g∘b_g‖, all columns of a group enter or none.

Block coordinate descent: with c_g the slope of a group without its own part and h_g the largest eigenvalue of its part
of G, the minimizer of the bound with h_g in place of G_gg is a shrunken step. A group of one column has its lasso.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.quadratic import ProfiledGram


@dataclass(frozen=True, slots=True)
class GroupPenalty(Penalty):
    """An elastic-net penalty whose l1 part is Σ_g ‖u_g∘β_g‖, u_j = √p_g·l1_j: that of the group lasso.

    Attributes
    ----------
    groups : tuple of tuple of int
        The penalized columns of each group.
    """

    groups: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def by_group(cls, l1: np.ndarray, l2: np.ndarray, groups: Sequence[Sequence[int]]) -> GroupPenalty:
        """Return the penalty of groups of columns; columns with l1 = 0 belong to none."""
        known = tuple(tuple(j for j in group if l1[j] > 0) for group in groups)
        known = tuple(group for group in known if group)
        weights = l1.copy()
        for group in known:
            weights[list(group)] *= np.sqrt(len(group))
        return cls(weights, l2, known)

    def value(self, coef: np.ndarray) -> float:
        """Return the penalty at β."""
        return sum(self._norms(self.l1 * coef)) + float(0.5 * self.l2 @ np.square(coef))

    def steepest(self, smooth: np.ndarray, coef: np.ndarray) -> np.ndarray:
        """Return the steepest slope of a function minus the l1 part, given the slope of the function at β."""
        slope = smooth.copy()
        for group in map(list, self.groups):
            u, own = self.l1[group], coef[group]
            norm = float(np.linalg.norm(u * own))
            if norm > 0:
                slope[group] -= np.square(u) * own / norm
            else:
                size = float(np.linalg.norm(smooth[group] / u))
                slope[group] *= max(1.0 - 1.0 / size, 0.0) if size > 0 else 0.0
        return slope

    def largest(self, smooth: np.ndarray) -> float:
        """Return the factor of the l1 part at which 0 is the optimum of the penalized columns, given their slopes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(max(self._norms(smooth / self.l1), default=0.0))

    def violation(self, smooth: np.ndarray, coef: np.ndarray) -> float:
        """Return the largest violation of the optimality conditions, given the slope of the smooth part at β."""
        return float(np.abs(self.steepest(smooth, coef)).max(initial=0.0))

    def minimize(
        self, profile: ProfiledGram, linear: np.ndarray, square: float, start: np.ndarray, tol: float, max_iter: int
    ) -> tuple[np.ndarray, float]:
        """Return the minimizer of ½ b'Gb − c'b plus the penalty, and its duality gap.

        Every column is divided by its u, which makes all penalties of the l1 part 1.
        """
        rest, unit = profile.rest, self.l1[profile.rest]
        coef = np.zeros(len(linear))
        if len(profile.free):
            coef[profile.free] = profile.factor.solve(linear[profile.free])
        scaled = profile.gram / np.outer(unit, unit)
        scaled[np.diag_indices_from(scaled)] += self.l2[rest] / np.square(unit)
        left = (linear[rest] - profile.loadings.T @ linear[profile.free]) / unit
        place = {int(j): k for k, j in enumerate(rest)}
        groups = [np.array([place[j] for j in group]) for group in self.groups]
        unexplained = square - float(linear[profile.free] @ coef[profile.free])
        found, gap = _descend(scaled, left, unexplained, groups, start[rest] * unit, tol, max_iter)
        coef[rest] = found / unit
        coef[profile.free] -= profile.loadings @ coef[rest]
        return coef, gap

    def _norms(self, values: np.ndarray) -> list[float]:
        return [float(np.linalg.norm(values[list(group)])) for group in self.groups]


def _descend(
    gram: np.ndarray,
    linear: np.ndarray,
    square: float,
    groups: list[np.ndarray],
    start: np.ndarray,
    tol: float,
    max_iter: int,
) -> tuple[np.ndarray, float]:
    """Return the minimizer of ½ b'Gb − c'b + Σ_g ‖b_g‖, and its duality gap."""
    coef, slope = start.copy(), linear - gram @ start
    heights = [float(np.linalg.eigvalsh(gram[np.ix_(group, group)])[-1]) for group in groups]
    for sweep in range(max_iter):
        for number in range(len(groups)):
            group, height = groups[number], heights[number]
            if height <= 0:
                continue
            ahead = coef[group] + slope[group] / height
            size = float(np.linalg.norm(ahead))
            new = ahead * max(1.0 - 1.0 / (height * size), 0.0) if size > 0 else ahead
            move = new - coef[group]
            if move.any():
                coef[group] = new
                slope -= move @ gram[group]
        if sweep % 10 == 9 or sweep < 2:
            gap = _gap(coef, slope, linear, square, groups)
            if gap <= tol:
                return coef, gap
    return coef, _gap(coef, slope, linear, square, groups)


def _gap(coef: np.ndarray, slope: np.ndarray, linear: np.ndarray, square: float, groups: list[np.ndarray]) -> float:
    """Return the duality gap: the residual, shrunk until no group's slope exceeds its penalty, is dual feasible."""
    fitted = float(coef @ linear)
    residual = max(square - fitted - float(coef @ slope), 0.0)
    excess = max((float(np.linalg.norm(slope[group])) for group in groups), default=0.0)
    shrink = 1.0 / max(excess, 1.0)
    size = sum(float(np.linalg.norm(coef[group])) for group in groups)
    return max(0.5 * residual * (1.0 + shrink**2) - shrink * (square - fitted) + size, 0.0)
