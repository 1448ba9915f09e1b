"""A search for separation in the rows, only if an estimate is suspicious."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_onestep.exceptions import SeparationWarning
from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.likelihood.separation import Directed, directed
from dask_onestep.kernels.matrices.symmetric import selected_columns
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.block import run_kernel
from dask_onestep.kernels.solve.ascent import Ascent, Newton
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.jeffreys import PenalizedEstimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

_MAX_STEPS = 15
_TOLERANCE = 1e-8  # on λ²/d, below which steps have no meaningful direction
_NEAR = 0.1  # a move of the linear predictors that does not indicate divergence
# A coefficient that is so small a share of its standard error, and this so many times the least one, is looked at.
_FLAT, _FAR = 0.02, 1e4
_MAX_FLAT = 100
# How far linear predictors are moved where steps grow short, and what the log-likelihood may fall by then.
_FAR_AWAY, _FALL = 20.0, 0.01
# The standard error of a level of which a hundredth of an event is known, or less.
_UNKNOWN = 10.0
# How far rows may move in the wrong direction, relative to the greatest move: of a step, and of coefficients.
ROUNDED, EXACT = 1e-3, 1e-9


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
    flat = _flat_directions(problem.model, problem.cov_type, estimate)
    unlike = getattr(estimate, "pilot_separated", False) or _lacks_columns(estimate)
    suspect = not estimate.converged or unlike or len(flat) > 0
    finite = isinstance(estimate, PenalizedEstimate) or not problem.model.likelihood.separable
    known = any(issubclass(category, SeparationWarning) for category, _ in estimate.warnings)
    if known or not suspect or len(estimate.coef) != problem.d or finite:
        return estimate
    if problem.model.classify and problem.classes is None:
        problem = replace(problem, classes=estimate.classes)
    coef = np.nan_to_num(estimate.coef)
    # Far out scores are 0 up to rounding, so the directions are those of the estimate instead of a step.
    seen = yield Look((yield from problem.staged(directed, coef, np.vstack([coef, *flat]), name="separation")))
    if (which := seen.separating(ROUNDED)) is not None:
        return replace(estimate, warnings=(*estimate.warnings, separated(problem.model, seen, which)))
    if not seen.moments.is_finite():
        return estimate
    ascent = Ascent.begin(coef, seen.moments, Newton(problem.model.has_intercept, _TOLERANCE), _MAX_STEPS - 1)
    # Steps of separated rows have about the length 1 where means approach their limit exponentially.
    exponential = problem.model.natural or getattr(problem.model.link, "name", "") == "log"
    if exponential and estimate.converged and not len(flat) and _reach(ascent.step, coef, seen.columns[0]) < _NEAR:
        return estimate
    # Newton steps, one pass each: on separated rows their directions soon agree, and the points classify the rows.
    while not ascent.stopped and not (ascent.converged and seen.reach[0] < _NEAR and ascent.n_iter):
        step, seen = ascent.step, (yield from directed_ahead(problem, ascent))
        which = seen.separating(ROUNDED, EXACT)
        if which is None and seen.may_separate(ROUNDED, EXACT)[0]:
            which = 0 if (yield from _rises(problem, ascent, step, seen)) else None
        if which is not None:
            return replace(estimate, warnings=(*estimate.warnings, separated(problem.model, seen, which)))
        ascent = ascent.observe(seen.moments)
    return estimate


def examined_by_pilot(model: Model, cov_type: str, estimate: Estimate) -> Estimate:
    """Return an estimate with a warning if its pilot's rows are separated where it is flat: without a further pass.

    Parameters
    ----------
    model : Model
        What was fitted.
    cov_type : str
        The covariance.
    estimate : Estimate
        What a method found.

    Returns
    -------
    Estimate
        The same, with a warning of separation if the pilot is all rows, of the pilot otherwise.
    """
    flat, pilot = _flat_directions(model, cov_type, estimate), estimate.pilot
    if not len(flat) or pilot is None or not pilot.has_rows or not model.likelihood.separable:
        return estimate
    block = Block(pilot.x if pilot.raw is None else pilot.raw, pilot.y, pilot.weights, pilot.offset)
    arguments = np.nan_to_num(estimate.coef), flat
    seen = run_kernel(block, directed, model, estimate.classes, arguments)
    if isinstance(seen, Findings) or (which := seen.separating(ROUNDED)) is None:
        return estimate
    whole = len(pilot.keys) == estimate.n_samples
    n = len(pilot.keys)
    said = separated(model, seen, which) if whole else catalogue.PILOT_WITHOUT_MLE.warning(n=n)
    return replace(estimate, warnings=tuple(dict.fromkeys((*estimate.warnings, said))))


def _lacks_columns(estimate: Estimate) -> bool:
    """Return whether the pilot rows lack a column, such as a rare level's, of which all rows say next to nothing."""
    pilot = getattr(estimate, "pilot_coef", None)
    if pilot is None:
        return False
    unknown = estimate.covariance.diagonal() > _UNKNOWN**2
    return bool((unknown & (pilot == 0) & (np.nan_to_num(estimate.coef) != 0)).any())


def _reach(step: np.ndarray, coef: np.ndarray, columns: np.ndarray) -> float:
    """Return a bound on how far a step moves a row, given how far each column does at β."""
    share = np.divide(step, coef, out=np.where(step == 0, 0.0, np.inf), where=coef != 0)
    return float(np.nan_to_num(columns @ np.abs(share), nan=np.inf))


def directed_ahead(problem: Problem, ascent: Ascent) -> Plan:
    """Return the plan of the sums at the proposal of an ascent, and along its step and the proposal: one pass."""
    directions = np.stack([ascent.step, ascent.proposal])
    return (yield Look((yield from problem.staged(directed, ascent.proposal, directions, name="separation"))))


def _flat_directions(model: Model, cov_type: str, estimate: Estimate) -> np.ndarray:
    """Return the parts of the estimate along which the likelihood is flat, as where coefficients diverge: none or two.

    They are the sum of all of them, and the flattest.  A robust covariance has no part in it, as scores vanish there.
    """
    covariance: Any = estimate.covariance
    if cov_type != "nonrobust" and estimate.sums is not None:
        factor = factorize(estimate.sums.information, intercept=model.has_intercept)
        covariance = factor.inverse() * estimate.dispersion
    with np.errstate(all="ignore"):
        errors = np.sqrt(covariance.diagonal())
        unknown = np.abs(estimate.coef) < _FLAT * errors
    known = errors[np.isfinite(errors)]
    at = np.flatnonzero(unknown & (errors > _FAR * known.min(initial=np.inf)))
    if not len(at):
        return np.empty((0, len(errors)))
    at = at[np.argsort(-errors[at], kind="stable")][:_MAX_FLAT]
    parts = np.nan_to_num(selected_columns(covariance, at) * (estimate.coef[at] / errors[at] ** 2))
    return np.stack([parts.sum(axis=1), parts[:, 0]])


def _rises(problem: Problem, ascent: Ascent, direction: np.ndarray, seen: Directed) -> Plan:
    """Return whether the log-likelihood does not decrease far along a direction, for links whose steps become short."""
    far = ascent.coef + direction * (_FAR_AWAY / seen.reach[0])
    there = yield Look((yield from problem.moments(far)))
    return bool(there.loglik >= ascent.sums.loglik - _FALL)


def separated(model: Model, seen: Directed, which: int) -> Remark:
    """Return the warning that rows are separated along a direction."""
    intercepts = model.by_regressor.get("intercept", ())
    columns = [
        name
        for name, move in zip(model.names, seen.columns[which], strict=True)
        if move > 0.1 * seen.reach[which] and name not in intercepts
    ]
    labels = model.family.base.name in ("binomial", "multinomial", "quasibinomial")
    zeros = getattr(model.link, "name", "") == "log"
    what = "the classes" if labels else "zeros of y" if zeros else "values of y at a boundary of the link's range"
    if not columns:
        return catalogue.SEPARATION_BY_INTERCEPT.warning(what=what)
    penalized = model.likelihood.n_predictors == 1 and not model.family.has_dispersion
    message = catalogue.SEPARATION_WITH_PENALTY if penalized else catalogue.SEPARATION
    return message.warning(what=what, columns=columns)
