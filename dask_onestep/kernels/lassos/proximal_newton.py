"""Proximal Newton: repeated minimization of the quadratic approximation at β plus the penalty.

The Gram matrix of the quadratic function is the information over n; coordinate descent minimizes it, and the step is
shortened where the objective does not fall. Computing the information needs as many products as there are pairs of
columns, so the steps use only the few columns that may enter, and the score, whose cost is lower by a factor d, shows
which others must.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.quadratic import ProfiledGram, profiled
from dask_onestep.kernels.likelihood.sums import moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Ascent, Move, climb

_MAX_STEPS = 50
# A step whose gain is below this fraction of the tolerance is not worth reading the rows: near the minimum the error of
# β is proportional to the root of the gap.
_STEP_SHARE = 1e-3
# Columns whose slope exceeds this fraction of their penalty join the working set, as for a single quadratic function.
_NEAR = 0.7
_MAX_SETS = 20


@dataclass(frozen=True, slots=True, eq=False)
class LassoFit:
    """A block's lasso.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        b.
    moments : Moments
        The likelihood's sums at b.
    penalty : Penalty
        The penalty.
    gap : float
        The remaining gain according to the quadratic approximation at b, including its solution's duality gap, relative
        to the null deviance over 2n.
    kkt : float
        The largest violation of the optimality conditions.
    converged : bool
        Whether both parts of the gap are within the tolerance.
    """

    coef: np.ndarray
    moments: Moments
    penalty: Penalty
    gap: float
    kkt: float
    converged: bool


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Stopping criteria of a lasso.

    Attributes
    ----------
    gap : float
        Tolerance on the gap, relative to the null deviance over 2n.
    deviance : float
        The null deviance.
    max_iter : int
        Maximum number of sweeps of coordinate descent per step.
    """

    gap: float
    deviance: float
    max_iter: int

    def unit(self, weight: float) -> float:
        """Return the null deviance over 2n, n = Σ wᵢ."""
        return max(self.deviance / weight / 2, float(np.finfo(np.float64).tiny))


def newton_lasso(
    rows: Rows, model: Model, penalty: Penalty, start: tuple[np.ndarray, Moments], within: Tolerance
) -> LassoFit:
    """Return the lasso of a block by proximal Newton on all columns."""
    coef, sums = start

    def objective(coef: np.ndarray) -> Penalized:
        return Penalized.of(moments(rows, model, coef), coef, penalty)

    begin = Ascent.begin(coef, Penalized.of(sums, coef, penalty), ProximalNewton(penalty, within), _MAX_STEPS)
    fit = climb(begin, objective)
    assert isinstance(fit.move, LassoMove)
    return _fitted(fit.sums.moments, fit.coef, penalty, fit.move.gap, fit.move.arrived)


@dataclass(frozen=True, slots=True, eq=False)
class Penalized:
    """The penalized log-likelihood per row at β, its steepest slopes, and the likelihood's own sums."""

    loglik: float
    score: np.ndarray
    moments: Moments

    @classmethod
    def of(cls, sums: Moments, coef: np.ndarray, penalty: Penalty) -> Penalized:
        """Return the objective at β."""
        slope = penalty.steepest(sums.score / sums.weight - penalty.l2 * coef, coef)
        return cls(sums.loglik / sums.weight - penalty.value(coef), slope, sums)

    @property
    def phi(self) -> float:
        """φ̂ in units of the objective."""
        return self.moments.phi / self.moments.weight

    def is_finite(self) -> bool:
        """Return whether no sum is NaN or infinite."""
        return self.moments.is_finite()


@dataclass(frozen=True, slots=True, eq=False)
class LassoMove(Move):
    """A `Move` with the remaining gap, as in `LassoFit`."""

    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class ProximalNewton:
    """The rule whose step goes to the minimum of the quadratic approximation at β plus the penalty.

    `profile` is the information with its unpenalized columns minimized out, where several points share it.
    """

    penalty: Penalty
    within: Tolerance
    profile: ProfiledGram | None = None

    def __call__(self, coef: np.ndarray, objective: Penalized, last: float) -> LassoMove:
        """Return the step from β."""
        sums, penalty, within = objective.moments, self.penalty, self.within
        unit = within.unit(sums.weight)
        target, inner = _newton_target(sums, coef, penalty, within, profile_of(sums, penalty, self.profile))
        promised = _promised(sums, coef, target, penalty)
        arrived = promised <= _STEP_SHARE * within.gap * unit and inner <= within.gap * unit
        return LassoMove(target - coef, 2 * promised, bool(arrived), target=target, gap=(promised + inner) / unit)


def profile_of(sums: Moments, penalty: Penalty, last: ProfiledGram | None = None) -> ProfiledGram:
    """Return the information with its unpenalized columns minimized out: the last one, where it is of the same."""
    return profiled(sums.information, penalty.l1, sums.weight * penalty.l2, last)


def quadratic_lasso(
    sums: Moments, coef: np.ndarray, penalty: Penalty, within: Tolerance, profile: ProfiledGram | None = None
) -> LassoFit:
    """Return the lasso of a quadratic log-likelihood, given its sums at any β."""
    unit = within.unit(sums.weight)
    target, gap = _newton_target(sums, coef, penalty, within, profile_of(sums, penalty, profile))
    return _fitted(shifted(sums, target - coef), target, penalty, gap / unit, gap <= within.gap * unit)


def solve_on_few(
    rows: Rows, model: Model, penalty: Penalty, coef: np.ndarray, slope: np.ndarray, within: Tolerance
) -> np.ndarray:
    """Return the lasso of a block, to be verified on all columns, by proximal Newton on working sets of columns."""
    first = int(model.has_intercept)
    inside = (penalty.l1 == 0) | (coef != 0)
    for number in range(_MAX_SETS):
        steepness = np.abs(slope - penalty.l2 * coef)
        if number and not (steepness > penalty.l1)[~inside].any():
            break
        inside |= steepness > _NEAR * penalty.l1
        at = np.flatnonzero(inside)
        if 2 * len(at) > len(coef):
            break
        columns = at[first:] - first
        few = replace(rows, x=rows.x[:, columns])
        part = replace(model, columns=tuple(model.columns[j] for j in columns), design=None)
        start = coef[at], moments(few, part, coef[at])
        fit = newton_lasso(few, part, Penalty(penalty.l1[at], penalty.l2[at]), start, within)
        if not np.isfinite(fit.coef).all():
            break
        coef = np.zeros(len(coef))
        coef[at] = fit.coef
        sums = scores(rows, model, coef)
        slope = sums.score / sums.weight
    return coef


def _fitted(sums: Moments, coef: np.ndarray, penalty: Penalty, gap: float, converged: bool) -> LassoFit:
    slope = sums.score / sums.weight - penalty.l2 * coef
    return LassoFit(coef, sums, penalty, gap, penalty.violation(slope, coef), bool(converged))


def _newton_target(
    sums: Moments, coef: np.ndarray, penalty: Penalty, within: Tolerance, profile: ProfiledGram
) -> tuple[np.ndarray, float]:
    """Return the minimizer of the quadratic approximation at β plus the penalty, and its duality gap."""
    # Of sums and not of means, so that the information is not copied.
    half = within.unit(sums.weight) * sums.weight
    # Unpenalized columns start at their current values, so a response with a large mean loses no digits.
    anchor = np.where(penalty.alpha == 0, coef, 0.0)
    beyond = coef - anchor
    linear = through(sums.information, beyond) + sums.score
    # The squared working response, up to a constant that leaves it positive.
    square = float(beyond @ linear + beyond @ sums.score) + 2 * half
    scaled = penalty.times(sums.weight)
    target, gap = scaled.minimize(profile, linear, square, beyond, within.gap * half, within.max_iter)
    return anchor + target, gap / sums.weight


def through(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix times a vector, from the rows where it is not zero, if these are few."""
    at = np.flatnonzero(values)
    return matrix @ values if 2 * len(at) > len(values) else values[at] @ matrix[at]


def _promised(sums: Moments, coef: np.ndarray, target: np.ndarray, penalty: Penalty) -> float:
    """Return the gain, according to the quadratic approximation at β, of a move from β to the target."""
    move = target - coef
    smooth = (sums.score @ move - 0.5 * move @ through(sums.information, move)) / sums.weight
    return float(smooth + penalty.value(coef) - penalty.value(target))


def shifted(sums: Moments, move: np.ndarray) -> Moments:
    """Return the sums of a quadratic log-likelihood at β + δ: its Taylor series, which is exact."""
    change = through(sums.information, move)
    assert sums.pearson is not None
    assert sums.pearson_gradient is not None
    return replace(
        sums,
        loglik=sums.loglik + float(sums.score @ move - 0.5 * move @ change),
        score=sums.score - change,
        pearson=sums.pearson + float(sums.pearson_gradient @ move + move @ change),
        pearson_gradient=sums.pearson_gradient + 2.0 * change,
    )
