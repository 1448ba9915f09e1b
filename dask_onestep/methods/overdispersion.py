"""``NegativeBinomial(alpha="estimate")``: α from the pilot, refined over all rows, then β by the method."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_onestep.kernels.pilots.overdispersion import AlphaNewton, alpha_sums, at_bound, pilot_alpha, with_alpha
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark
from dask_onestep.methods.arguments import seed_of
from dask_onestep.methods.draws import draw_sample
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.one_step import OneStep
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan
from dask_onestep.methods.steps import MAX_STEPS

# Steps in t = −log α that are no way to a bound, and after which a last one leads close enough.
_SHORT, _NEAR = 1e-3, 0.05


def wants_alpha(problem: Problem) -> bool:
    """Return whether a model's α is to be estimated."""
    return getattr(problem.model.family, "alpha", None) == "estimate"


def with_alpha_estimated(problem: Problem, method: Any) -> Plan:
    """Return the plan that estimates α, and the problem with that α, which a method then takes as known.

    α̂ and β̂ are independent in the limit.  The standard error of α̂ is that of the observed information, as R's `glm.nb`
    has it.

    Notes
    -----
    Passes: one for the pilot's α, which is that of all rows where the pilot is; otherwise one for each Newton step in β
    and α over all rows: one, or for `MLE`, and a one-step fit that goes on until it is close, as many as it takes.
    """
    size, seed = getattr(method, "pilot_size", "auto"), seed_of(getattr(method, "random_state", 0))
    draw = method.draw(problem) if isinstance(method, OneStep) else Draw(size, seed)
    sample, _ = yield from draw_sample(problem, replace(draw, stratified=False))
    point, curvature, exact = yield Look(problem.apply(pilot_alpha, sample, problem.model, name="pilot-alpha"))
    if not exact:
        point, curvature = yield from _ascended(problem, method, point)
    ended = at_bound(point)
    error = np.nan if ended else float(np.exp(-point[-1]) / np.sqrt(curvature))
    found = replace(problem, model=with_alpha(problem.model, float(point[-1]), error))
    return found, ((_at_boundary(float(np.exp(-point[-1]))),) if ended else ())


def _at_boundary(alpha: float) -> Remark:
    if alpha > 1.0:
        return catalogue.ALPHA_AT_UPPER_BOUNDARY.warning(alpha=alpha)
    return catalogue.ALPHA_AT_BOUNDARY.warning()


def _ascended(problem: Problem, method: Any, start: np.ndarray) -> Plan:
    """Return β and t after Newton steps over all rows, and −∂²ℓ/∂t² where the last one began."""
    near = isinstance(method, OneStep) and method.steps == "auto"
    most = method.max_iter if isinstance(method, MLE) else MAX_STEPS if near else 1
    rule = AlphaNewton(problem.model.has_intercept, getattr(method, "tol", 1e-16), _NEAR if near else _SHORT)
    sums = yield Look((yield problem.total(alpha_sums, start, name="alpha")))
    ascent = Ascent.begin(start, sums.joint, rule, most)
    while most > 1 and ascent.climbing:
        sums = yield Look((yield problem.total(alpha_sums, ascent.proposal, name="alpha")))
        ascent = ascent.observe(sums.joint)
    return ascent.coef if ascent.stopped else ascent.proposal, float(ascent.sums.information[-1, -1])
