"""Elastic-net penalties, and their choice by the noise level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from dask_onestep.kernels.lassos.quadratic import ProfiledGram, kkt_residual, partial_variances, solve_lasso
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments

# Variance that rounding may give a constant column, relative to its square.
_ROUNDING = 512 * np.finfo(np.float64).eps
# Keeps penalties above 0 (which means "not penalized") where a fit leaves no noise.
_LEAST_NOISE = float(np.sqrt(np.finfo(np.float64).tiny))


@dataclass(frozen=True, slots=True)
class Penalty:
    """An elastic-net penalty.

    Attributes
    ----------
    l1 : ndarray of shape (d,)
        α_j ρ; 0 for the intercept and other columns that are not penalized.
    l2 : ndarray of shape (d,)
        α_j(1 − ρ).
    """

    l1: np.ndarray
    l2: np.ndarray

    @classmethod
    def of(cls, alpha: np.ndarray, l1_ratio: float) -> Penalty:
        """Return the penalty for α, of shape (d,), and ρ."""
        return cls(alpha * l1_ratio, alpha * (1.0 - l1_ratio))

    @property
    def alpha(self) -> np.ndarray:
        """α_j."""
        return self.l1 + self.l2

    def value(self, coef: np.ndarray) -> float:
        """Return the penalty at β."""
        return float(self.l1 @ np.abs(coef) + 0.5 * self.l2 @ np.square(coef))

    def steepest(self, smooth: np.ndarray, coef: np.ndarray) -> np.ndarray:
        """Return the steepest slope of a function minus the l1 part, given the slope of the function at β."""
        at_zero = np.sign(smooth) * np.maximum(np.abs(smooth) - self.l1, 0.0)
        return np.where(coef == 0, at_zero, smooth - self.l1 * np.sign(coef))

    def largest(self, smooth: np.ndarray) -> float:
        """Return the factor of the l1 part at which 0 is the optimum of the penalized columns, given their slopes."""
        penalized = self.l1 > 0
        return float((np.abs(smooth[penalized]) / self.l1[penalized]).max(initial=0.0))

    def times(self, factor: float) -> Self:
        """Return the penalty times a number."""
        return replace(self, l1=factor * self.l1, l2=factor * self.l2)

    def minimize(
        self, profile: ProfiledGram, linear: np.ndarray, square: float, start: np.ndarray, tol: float, max_iter: int
    ) -> tuple[np.ndarray, float]:
        """Return the minimizer of ½ b'Gb − c'b plus the penalty, and its duality gap (see `solve_lasso`)."""
        return solve_lasso(profile, linear, square, self.l1, self.l2, start, tol, max_iter)

    def violation(self, smooth: np.ndarray, coef: np.ndarray) -> float:
        """Return the largest violation of the optimality conditions, given the slope of the smooth part at β."""
        return kkt_residual(smooth, coef, self.l1)


def penalty_level(n: float, p: int) -> float:
    """Return λ₀ = √(2/n) L, where p Φ(−L) = L⁴ + 2L²: the quantile level of Sun and Zhang (2013).

    It has the order of the universal √(2 log p / n) and is about a third smaller for p from 10 to 10,000: a few noise
    columns enter, and the others are shrunk less.

    Examples
    --------
    >>> from dask_onestep.kernels.lassos.penalty import penalty_level
    >>> round(penalty_level(1000, 200), 3)
    0.071
    """
    level = brentq(_quantile_excess, 0.0, 10.0, args=(max(p, 2),))
    return float(np.sqrt(2.0 / n) * level)


def _quantile_excess(level: float, p: int) -> float:
    return p * norm.sf(level) - level**4 - 2 * level**2


def penalized_variances(gram: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return each penalized column's variance given the unpenalized columns, as the scale of its penalty.

    A column that is constant in the block, such as a level that does not occur, has no scale of its own. Any positive
    penalty keeps its coefficient at 0, while 0 would leave it unpenalized; it gets the largest of the others' scales.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.penalty import penalized_variances
    >>> penalized_variances(np.diag([1.0, 0.0, 4.0]), np.array([True, False, False])).tolist()
    [0.0, 4.0, 4.0]
    """
    left = partial_variances(gram, free)
    empty = left <= _ROUNDING * np.diag(gram)
    left[empty] = left.max(where=~empty, initial=0.0) or 1.0
    left[free] = 0.0
    return left


def noise_alpha(sums: Moments, model: Model, rows: float) -> np.ndarray:
    """Return α_j = λ₀ √(φ̂ Q_jj) for the sums at a fit to n rows (see `fit_scaled_lasso`); 0 for the intercept."""
    d = len(model.names)
    free = np.zeros(d, dtype=bool)
    free[: int(model.has_intercept)] = True
    noise = 1.0 if sums.pearson is None else max(sums.pearson / sums.weight, _LEAST_NOISE)
    information = penalized_variances(sums.information, free) / sums.weight
    return penalty_level(rows, d - int(free.sum())) * np.sqrt(noise * information)
