"""A search for separation in the rows, only if an estimate is suspicious."""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.likelihood.separation import Directed, directed
from dask_onestep.kernels.solve.ascent import Ascent, Newton
from dask_onestep.messages import catalogue
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.jeffreys import PenalizedEstimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

_MAX_STEPS = 15
_TOLERANCE = 1e-8  # on λ²/d, below which steps have no meaningful direction
_NEAR = 0.1  # a move of the linear predictors that does not indicate divergence
# A coefficient that is so small a share of its standard error, and this so many times the least one, is looked at.
_FLAT, _FAR = 1e-3, 1e4
# How far linear predictors are moved where steps grow short, and what the log-likelihood may fall by then.
_FAR_AWAY, _FALL = 20.0, 0.01


def examined(problem: Problem, estimate: Estimate) -> Plan:
    """Return the plan that searches the rows for separation if the estimate is suspicious; otherwise without a pass.

    Parameters
    ----------
    problem : Problem
        The problem.
    estimate : Estimate
        What a method found.

    Returns
    -------
    Plan
        It returns the estimate, with a warning if separation was found.
    """
    suspect = not estimate.converged or getattr(estimate, "pilot_separated", False) or _is_flat(estimate)
    finite = isinstance(estimate, PenalizedEstimate) or not problem.model.likelihood.separable
    if not suspect or len(estimate.coef) != problem.d or finite:
        return estimate
    if problem.model.classify and problem.classes is None:
        problem = replace(problem, classes=estimate.classes)
    coef = np.nan_to_num(estimate.coef)
    # Far out scores are 0 up to rounding, so the direction is that of the estimate instead of a step.
    seen = yield Look((yield from problem.staged(directed, coef, coef, name="separation")))
    if seen.separates:
        return replace(estimate, warnings=(*estimate.warnings, _separated(problem, seen)))
    if not seen.moments.is_finite():
        return estimate
    ascent = Ascent.begin(coef, seen.moments, Newton(problem.model.has_intercept, _TOLERANCE), _MAX_STEPS - 1)
    # Newton steps, one pass each: on separated rows their directions soon agree.
    while not ascent.stopped and not (ascent.converged and seen.reach < _NEAR and ascent.n_iter):
        direction = ascent.step
        seen = yield Look((yield from problem.staged(directed, ascent.proposal, direction, name="separation")))
        if seen.separates or (seen.may_separate and (yield from _rises(problem, ascent, direction, seen))):
            return replace(estimate, warnings=(*estimate.warnings, _separated(problem, seen)))
        ascent = ascent.observe(seen.moments)
    return estimate


def _is_flat(estimate: Estimate) -> bool:
    """Return whether the likelihood is flat in a coefficient, which happens if the coefficient diverges."""
    with np.errstate(all="ignore"):
        errors = np.sqrt(estimate.covariance.diagonal())
        unknown = np.abs(estimate.coef) < _FLAT * errors
    known = errors[np.isfinite(errors)]
    return bool(len(known)) and bool((unknown & (errors > _FAR * known.min())).any())


def _rises(problem: Problem, ascent: Ascent, direction: np.ndarray, seen: Directed) -> Plan:
    """Return whether the log-likelihood does not decrease far along a direction, for links whose steps become short."""
    far = ascent.coef + direction * (_FAR_AWAY / seen.reach)
    there = yield Look((yield from problem.staged(directed, far, direction, name="separation")))
    return bool(there.moments.loglik >= ascent.sums.loglik - _FALL)


def _separated(problem: Problem, seen: Directed) -> tuple[type[Warning], str]:
    intercepts = problem.model.by_regressor.get("intercept", ())
    columns = [
        name
        for name, move in zip(problem.model.names, seen.columns, strict=True)
        if move > 0.1 * seen.reach and name not in intercepts
    ]
    labels = problem.model.family.base.name in ("binomial", "multinomial", "quasibinomial")
    zeros = getattr(problem.model.link, "name", "") == "log"
    what = "the classes" if labels else "zeros of y" if zeros else "values of y at a boundary of the link's range"
    if not columns:
        return catalogue.SEPARATION_BY_INTERCEPT.warning(what=what)
    model = problem.model
    penalized = model.likelihood.n_predictors == 1 and not model.family.has_dispersion
    message = catalogue.SEPARATION_WITH_PENALTY if penalized else catalogue.SEPARATION
    return message.warning(what=what, columns=columns)
