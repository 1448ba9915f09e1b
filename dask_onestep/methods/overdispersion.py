"""``NegativeBinomial(alpha="estimate")``: α from the pilot, refined over all rows, then β by the method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dask_onestep.exceptions import OverdispersionWarning
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.overdispersion import BOUNDS, alpha_sums, pilot_alpha, with_alpha
from dask_onestep.methods.arguments import seed_of
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.solving import solve

__all__ = ["estimate_alpha", "wants_alpha"]


def wants_alpha(problem: Problem) -> bool:
    """Return whether a model's α is to be estimated.

    Parameters
    ----------
    problem : Problem
        The problem.

    Returns
    -------
    bool
        Whether it is a negative binomial with ``alpha="estimate"``.
    """
    return getattr(problem.model.family, "alpha", None) == "estimate"


def estimate_alpha(method: Any, problem: Problem) -> tuple[Problem, Estimate]:
    """Return the estimate with α estimated, and the problem with that α.

    Parameters
    ----------
    method : object
        The estimator's method.
    problem : Problem
        With ``alpha="estimate"``.

    Returns
    -------
    problem : Problem
        With α a number.
    estimate : Estimate
        The method's, at that α, which it takes for known: α̂ and β̂ are independent in the limit.

    Notes
    -----
    Passes, besides the method's: one for the pilot's α, and one Newton step in β and α over all rows;
    for `MLE` as many as it takes.
    """
    size = getattr(method, "pilot_size", "auto")
    sample = problem.pilot_sample(size, seed_of(getattr(method, "random_state", 0)))
    coef, t = problem.value(problem.apply(pilot_alpha, sample, problem.model, name="pilot-alpha"))
    for _ in range(method.max_iter if isinstance(method, MLE) else 1):
        sums = problem.value(problem.total(alpha_sums, (coef, t), name="alpha"))
        factor = factorize(sums.moments.information, intercept=problem.model.has_intercept)
        gain = factor.decrement(sums.moments.score) + sums.score * sums.step
        coef = coef + factor.solve(sums.moments.score)
        t = float(np.clip(t + sums.step, *BOUNDS))
        if gain <= getattr(method, "tol", 0.0) * (factor.rank + 1) or t in BOUNDS:
            break
    found = replace(problem, model=with_alpha(problem.model, t), n_passes=problem.n_passes)
    estimate = solve(found, method)
    if t in BOUNDS:
        text = "alpha ended at the edge of its range: y is not overdispersed; use family='poisson'."
        estimate = replace(estimate, warnings=(*estimate.warnings, (OverdispersionWarning, text)))
    return found, estimate
