"""Elastic-net penalties, and how large the noise asks them to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from dask_onestep.kernels.lassos.quadratic import partial_variances
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments

__all__ = ["Penalty", "noise_alpha", "penalised_variances", "penalty_level"]

# What rounding may leave of the variance of a column that has one value, as a share of its square.
_ROUNDING = 512 * np.finfo(np.float64).eps
# Keeps penalties above 0, which is read as "not penalised", where a fit leaves no noise at all.
_LEAST_NOISE = float(np.sqrt(np.finfo(np.float64).tiny))


@dataclass(frozen=True, slots=True)
class Penalty:
    """An elastic-net penalty.

    Attributes
    ----------
    l1 : ndarray of shape (d,)
        α_j ρ; 0 for the intercept and other columns that are not penalised.
    l2 : ndarray of shape (d,)
        α_j(1 − ρ).
    """

    l1: np.ndarray
    l2: np.ndarray

    @classmethod
    def of(cls, alpha: np.ndarray, l1_ratio: float) -> Penalty:
        """Return the penalty of α, of shape (d,), and ρ."""
        return cls(alpha * l1_ratio, alpha * (1.0 - l1_ratio))

    @property
    def alpha(self) -> np.ndarray:
        """α_j."""
        return self.l1 + self.l2

    def value(self, coef: np.ndarray) -> float:
        """Return the penalty at β."""
        return float(self.l1 @ np.abs(coef) + 0.5 * self.l2 @ np.square(coef))


def penalty_level(n: float, p: int) -> float:
    """Return λ₀ = √(2/n) L, where p Φ(−L) = L⁴ + 2L²: the quantile level of Sun and Zhang (2013).

    Of the same order as the universal √(2 log p / n), and about a third below it for p from 10 to
    10,000: it lets a few noise columns in, and shrinks the others less.

    Parameters
    ----------
    n : float
        Rows.
    p : int
        Columns; at least 2 are counted.

    Returns
    -------
    float
        The level.

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


def penalised_variances(gram: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return what the unpenalised columns leave of each, as the scale of its penalty: above 0 for all others.

    A column that has one value in the block, such as a level that it lacks, has no scale of its own.  Any
    penalty keeps its coefficient at 0, and none would leave it unpenalised; it gets the largest of the
    others' scales.

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        G.
    free : ndarray of shape (d,) of bool
        The unpenalised columns.

    Returns
    -------
    ndarray of shape (d,)
        Variances, 0 for the unpenalised columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.penalty import penalised_variances
    >>> penalised_variances(np.diag([1.0, 0.0, 4.0]), np.array([True, False, False])).tolist()
    [0.0, 4.0, 4.0]
    """
    left = partial_variances(gram, free)
    empty = left <= _ROUNDING * np.diag(gram)
    left[empty] = left.max(where=~empty, initial=0.0) or 1.0
    left[free] = 0.0
    return left


def noise_alpha(sums: Moments, model: Model, rows: int) -> np.ndarray:
    """Return α_j = λ₀ √(φ̂ Q_jj), as `fit_scaled_lasso` explains it.

    Parameters
    ----------
    sums : Moments
        The likelihood's sums at a fit.
    model : Model
        The model.
    rows : int
        n.

    Returns
    -------
    ndarray of shape (d,)
        Penalties, 0 for the intercept alone.
    """
    d = len(model.names)
    free = np.zeros(d, dtype=bool)
    free[: int(model.has_intercept)] = True
    noise = 1.0 if sums.pearson is None else max(sums.pearson / sums.weight, _LEAST_NOISE)
    information = penalised_variances(sums.information, free) / sums.weight
    return penalty_level(rows, d - int(free.sum())) * np.sqrt(noise * information)
