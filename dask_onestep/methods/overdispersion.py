"""``NegativeBinomial(alpha="estimate")``: α from the pilot, refined over all rows, then β by the method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dask_onestep.exceptions import OverdispersionWarning
from dask_onestep.kernels.pilots.overdispersion import AlphaNewton, alpha_sums, at_bound, pilot_alpha, with_alpha
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.methods.arguments import seed_of
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan
from dask_onestep.methods.sampling import draw_sample

__all__ = ["wants_alpha", "with_alpha_estimated"]


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


def with_alpha_estimated(problem: Problem, method: Any) -> Plan:
    """Return the plan that estimates α, and the problem with that α, which a method then takes as known.

    α̂ and β̂ are independent in the limit.

    Parameters
    ----------
    problem : Problem
        With ``alpha="estimate"``.
    method : object
        The estimator's method.

    Returns
    -------
    Plan
        It returns the `Problem` with α a number, and warnings.

    Notes
    -----
    Passes: one for the pilot's α, and one Newton step in β and α over all rows; for `MLE` as many as it takes.
    """
    size = getattr(method, "pilot_size", "auto")
    sample, _ = yield from draw_sample(problem, size, seed_of(getattr(method, "random_state", 0)))
    start = yield Look(problem.apply(pilot_alpha, sample, problem.model, name="pilot-alpha"))
    sums = yield Look((yield problem.total(alpha_sums, start, name="alpha")))
    rule = AlphaNewton(problem.model.has_intercept, getattr(method, "tol", 1e-16))
    exact = isinstance(method, MLE)
    ascent = Ascent.begin(start, sums.joint, rule, method.max_iter if exact else 1)
    while exact and ascent.climbing:
        sums = yield Look((yield problem.total(alpha_sums, ascent.proposal, name="alpha")))
        ascent = ascent.observe(sums.joint)
    point = ascent.coef if ascent.stopped else ascent.proposal
    found = replace(problem, model=with_alpha(problem.model, float(point[-1])))
    if not at_bound(point):
        return found, ()
    text = "alpha ended at the edge of its range: y is not overdispersed; use family='poisson'."
    return found, ((OverdispersionWarning, text),)
