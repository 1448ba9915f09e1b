"""The maximum of the likelihood with Jeffreys' penalty, ℓ(β) + ½ log|I(β)| (Firth, 1993)."""

from dataclasses import dataclass, replace

import numpy as np
from dask.delayed import Delayed

from dask_onestep.kernels.likelihood.jeffreys import half_log_determinant, jeffreys_moments, penalty_score
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

# Of the maximum of the pilot rows, on λ²/d; where classes are separated steps are many.
_TOLERANCE, _MANY_STEPS = 1e-20, 500


@dataclass(frozen=True, kw_only=True, eq=False)
class PenalizedEstimate(Estimate):
    """An `Estimate` that maximizes the log-likelihood with Jeffreys' penalty; `decrement` is that of the two together.

    Attributes
    ----------
    penalized_loglik : float
        ℓ(β̂) + ½ log|I(β̂)|; `loglik` is ℓ(β̂).

    Examples
    --------
    >>> from dask_onestep import MLE, GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(500, 2, family="binomial")
    >>> estimate = GLMClassifier(method=MLE(penalty="jeffreys")).fit(X, y).estimate_
    >>> bool(estimate.penalized_loglik > estimate.loglik)
    True
    """

    penalized_loglik: float


def check_jeffreys(problem: Problem) -> None:
    """Raise if a model has no estimate with Jeffreys' penalty."""
    model = problem.model
    if model.fixed:
        raise ValueError(
            "penalty='jeffreys' maximizes no plain likelihood, so likelihood-ratio and score tests do not exist: use "
            "wald_test."
        )
    if model.family.has_dispersion:
        raise ValueError(
            f"penalty='jeffreys' requires a family without a dispersion, such as binomial or poisson; got "
            f"{model.family.name!r}."
        )
    if model.likelihood.n_predictors > 1 or model.likelihood.stages or not hasattr(model.likelihood, "working"):
        raise ValueError("penalty='jeffreys' requires one linear predictor: at most two classes, and no stages.")


def entered_with_penalty(problem: Problem, pilot: Delayed | None, start: Plan, rule: Newton, max_iter: int) -> Plan:
    """Return the beginning of an ascent to the maximum of the penalized log-likelihood, and the pilot if it is of use.

    It is the maximum of the pilot rows, scaled up to all; where means overflow there, or without a pilot, that of the
    plan `start`.  One pass, or one and those of the start.
    """
    if pilot is not None:
        coef, inverse = yield Look(problem.apply(_penalized_maximum, problem.model, pilot, name="coefficients"))
        sums = yield from _penalized(problem, coef, inverse, coef)
        if sums.is_finite():
            return Ascent.begin(coef, sums, rule, max_iter), pilot
    begun = yield from start
    sums = yield from _penalized(problem, begun.coef, np.nan_to_num(begun.factor.inverse()), begun.coef)
    return Ascent.begin(begun.coef, sums, rule, max_iter), None


def penalized_sums(problem: Problem, ascent: Ascent) -> Plan:
    """Return the plan of the sums with the penalty at the proposal of an ascent: one pass.

    The leverages are those at the point before, which in the end is the same.
    """
    inverse = np.nan_to_num(ascent.factor.inverse())
    return (yield from _penalized(problem, ascent.proposal, inverse, ascent.coef))


def _penalized(problem: Problem, coef: np.ndarray, inverse: np.ndarray, at: np.ndarray) -> Plan:
    """Return the sums of all rows with the penalty, leverages those at a point with I⁻¹ given: one pass."""
    sums = yield Look((yield problem.total(jeffreys_moments, (coef, inverse, at), name="moments")))
    if not sums.is_finite():
        return sums
    factor = factorize(sums.information, intercept=problem.model.has_intercept)
    return replace(sums, loglik=sums.loglik + half_log_determinant(factor))


def _penalized_maximum(model: Model, pilot: PilotFit) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum of the pilot rows, scaled up to all, with the penalty, and the inverse of I there."""
    rows, ratio = pilot.rows, pilot.ratio

    def objective(coef: np.ndarray) -> Moments:
        sums = moments(rows, model, coef)
        if not sums.is_finite():
            return sums
        factor = factorize(sums.information, intercept=model.has_intercept)
        pull = penalty_score(rows, model, coef, np.nan_to_num(factor.inverse()), coef)
        penalty = half_log_determinant(factor)
        return replace(sums, loglik=sums.loglik + penalty / ratio, score=sums.score + pull / ratio)

    rule = Newton(model.has_intercept, _TOLERANCE)
    ascent = climb(Ascent.begin(pilot.coef, objective(pilot.coef), rule, _MANY_STEPS), objective)
    return ascent.coef, np.nan_to_num(ascent.factor.inverse()) / ratio
