"""A second look at an estimate, at data again, only where something is amiss with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dask_onestep.exceptions import SeparationWarning
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.separation import Directed, can_separate, directed
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem

__all__ = ["examine"]

_MAX_STEPS = 15


def examine(problem: Problem, estimate: Estimate) -> Estimate:
    """Return the estimate with separation recognised; no pass for sound data.

    Parameters
    ----------
    problem : Problem
        The problem, after the estimate.
    estimate : Estimate
        What a method found.

    Returns
    -------
    Estimate
        The same coefficients, with what was found as warnings, and the passes made counted.
    """
    suspect = not estimate.converged or getattr(estimate, "pilot_separated", False)
    if suspect and len(estimate.coef) == problem.d and can_separate(problem.model):
        estimate = _seek_separation(problem, estimate)
    return estimate


def _seek_separation(problem: Problem, estimate: Estimate) -> Estimate:
    """Follow Newton's steps, a pass each; on separated rows they soon all point one way."""
    model, coef = problem.model, np.nan_to_num(estimate.coef)
    direction = np.zeros(problem.d)
    for number in range(_MAX_STEPS):
        seen = problem.value(problem.total(directed, coef, direction, name="separation"))
        estimate = replace(estimate, n_passes=problem.n_passes)
        if number and seen.separates:
            return replace(estimate, warnings=(*estimate.warnings, _separated(problem, seen)))
        if not seen.moments.is_finite():
            break
        factor = factorize(seen.moments.information, intercept=model.has_intercept)
        direction = factor.solve(seen.moments.score)
        if factor.decrement(seen.moments.score) <= 1e-8 * factor.rank and seen.reach < 0.1 and number:
            break
        coef = coef + direction
    return estimate


def _separated(problem: Problem, seen: Directed) -> tuple[type[Warning], str]:
    intercepts = problem.model.by_regressor.get("intercept", ())
    columns = ", ".join(
        name
        for name, move in zip(problem.model.names, seen.columns, strict=True)
        if move > 0.1 * seen.reach and name not in intercepts
    )
    labels = problem.model.family.name in ("binomial", "multinomial")
    what = "the classes" if labels else "zeros of y"
    return SeparationWarning, (
        f"Over all rows {what} are separated: a combination of {columns or 'the intercept'} predicts them "
        "without fail, so that no finite maximum exists, and these coefficients and their standard errors "
        "mean nothing. Leave such columns out, or join the levels that have one outcome only."
    )
