"""Restricted models, fitted by the method of the unrestricted one, which share their passes and the pilot draw.

Errors of plans that run together are known to be their own.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.likelihood.covariance import degrees_of_freedom, dispersion
from dask_onestep.kernels.likelihood.sums import log_likelihoods, scores
from dask_onestep.kernels.matrices.symmetric import filled
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import LogLikelihoods
from dask_onestep.kernels.rows.block import MODEL_ERRORS
from dask_onestep.kernels.solve.ascent import ROUNDING
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages.text import Remarks
from dask_onestep.methods.driver import Outcome, run_all
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.one_step import OneStep
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan
from dask_onestep.methods.separation import examined
from dask_onestep.methods.solver import eliminating, orthogonalized, solved

# λ²/φ from which on a statistic may be off by a twentieth, since the log-likelihood is not quadratic.
_FAR = 0.3
# What `Problem.restricted` takes.
Restriction = tuple[Mapping[str, float], tuple]


@dataclass(frozen=True, eq=False)
class Restricted:
    """A restricted model's fit, among the coefficients of the unrestricted one.

    Attributes
    ----------
    model : Model
        The restricted model.
    coef : ndarray of shape (d,)
        All coefficients, those held at a value among them; 0 for aliased ones.
    rank : int
        Coefficients estimated.
    estimate : Estimate or None
        The fit; None where nothing is left to estimate.
    error : Exception or None
        Why there is none.
    n_passes : int
        Passes that the fit asked for.
    """

    model: Model
    coef: np.ndarray
    rank: int
    estimate: Estimate | None = None
    error: Exception | None = None
    n_passes: int = 0

    @property
    def warnings(self) -> Remarks:
        """Of the fit."""
        return () if self.estimate is None else self.estimate.warnings


@dataclass(frozen=True, eq=False)
class Comparison:
    """An unrestricted model and restricted ones at their estimates, by all rows.

    Attributes
    ----------
    fits : list of Restricted
        The restricted fits.
    sums : LogLikelihoods
        Log-likelihoods and deviances, of the unrestricted model first.
    decrements : ndarray of shape (1 + m,)
        λ² at each estimate, of the unrestricted model first; NaN where it is unknown.
    dispersion : float
        φ̂ at the unrestricted estimate, by all rows.
    """

    fits: list[Restricted]
    sums: LogLikelihoods
    decrements: np.ndarray
    dispersion: float

    @property
    def is_negative(self) -> np.ndarray:
        """Which restricted models fit better than the larger one, beyond rounding, as none does at its maximum."""
        deviance = self.sums.deviance - np.nan_to_num(self.decrements)
        return deviance[1:] - deviance[0] < -4 * ROUNDING * abs(self.sums.loglik[0])


def compare(problem: Problem, method: Any, estimate: Estimate, nulls: Sequence[Restriction]) -> Comparison:
    """Fit restricted models by an estimate's own method, and compare all of them by all rows.

    Parameters
    ----------
    problem : Problem
        The unrestricted problem.
    method : object
        The method, with the seed of its pilot.
    estimate : Estimate
        The unrestricted estimate.
    nulls : sequence of (mapping, tuple)
        The coefficients that each restricted model holds at a value, and those of them that depend on others.

    Returns
    -------
    Comparison
        Passes: as many as the slowest restricted fit takes, and one.  Those of `MLE` and one more where a method that
        goes on until it is near a maximum proves to be too far from it.
    """
    fits = fit_restricted(problem, method, nulls)
    found = _compared(problem, estimate, fits)
    far = found.decrements > _FAR * found.dispersion
    far[1:] |= (negative := found.is_negative)
    far[0] |= negative.any()
    if not goes_on(method) or not far.any():
        return found
    # To the end, by the method that has no pilot to trust.
    number, mle = np.flatnonzero(far[1:]).tolist(), MLE(random_state=method.random_state)
    anew = fit_restricted(problem, mle, [*[nulls[n] for n in number], *[({}, ())] * bool(far[0])])
    for n, fit in zip(number, anew, strict=False):
        fits[n] = fit
    full = anew[-1].estimate if far[0] else None
    return _compared(problem, estimate if full is None else full, fits)


def goes_on(method: Any) -> bool:
    """Return whether a method is to take steps until its estimate is near the maximum."""
    return isinstance(method, OneStep) and method.steps == "auto"


def _compared(problem: Problem, estimate: Estimate, fits: list[Restricted]) -> Comparison:
    """Return log-likelihoods and λ² at all estimates: one pass."""
    coefs = np.vstack([np.nan_to_num(estimate.coef), *(fit.coef for fit in fits)])
    plans = [_log_likelihoods(problem, coefs), unrestricted_end(problem, estimate)]
    plans += [_decrement(problem, fit) for fit in fits]
    ended = run_all(problem, plans, before=max((fit.n_passes for fit in fits), default=0))
    sums, (decrement, phi), *decrements = (outcome.value for outcome in ended)
    return Comparison(fits, sums, np.array([decrement, *decrements]), phi)


def fit_restricted(problem: Problem, method: Any, nulls: Sequence[Restriction]) -> list[Restricted]:
    """Fit restricted models together."""
    problems = [problem.restricted(*null) for null in nulls]
    ended = run_all(problem, [attempted(_fit(each, method)) for each in problems])
    return [
        _embedded(each.model, outcome.value, outcome.n_passes) for each, outcome in zip(problems, ended, strict=True)
    ]


def compare_by_method(
    problem: Problem, method: Any, estimate: Estimate, nulls: Sequence[Restriction]
) -> list[tuple[float, float, float] | Exception]:
    """Return likelihood-ratio statistics of methods whose estimates maximize no likelihood of all rows: one pass."""
    plans = [attempted(_ratio(problem, problem.restricted(*null), method, estimate)) for null in nulls]
    return [outcome.value for outcome in run_all(problem, plans)]


def moments_at(problem: Problem, coef: np.ndarray, *, orthogonal: bool) -> Plan:
    """Return the plan of the moments of all rows at β: one pass, and one for orthogonal columns."""
    if orthogonal:
        problem = yield from orthogonalized(problem)
    basis = problem.model.basis
    sums = yield Look((yield from problem.moments(coef if basis is None else basis.orthogonal(coef))))
    return sums, basis


def _fit(problem: Problem, method: Any) -> Plan:
    if not problem.model.names:
        return None
    found = yield from solved(problem, method)
    return (yield from examined(eliminating(problem, method), found))


def _embedded(model: Model, found: Estimate | Exception | None, n_passes: int) -> Restricted:
    if isinstance(found, Exception):
        return Restricted(model, np.full(len(model.all_names), np.nan), 0, error=found, n_passes=n_passes)
    if found is None:
        return Restricted(model, model.embed(np.empty(0)), 0, n_passes=n_passes)
    rank = int(np.isfinite(found.coef).sum())
    return Restricted(model, model.embed(found.coef), rank, found, n_passes=n_passes)


def _log_likelihoods(problem: Problem, coefs: np.ndarray) -> Plan:
    return (yield Look((yield problem.total(log_likelihoods, coefs, name="log-likelihoods"))))


def unrestricted_end(problem: Problem, estimate: Estimate) -> Plan:
    """Return the plan of λ² and φ̂ at an estimate: its own, where they are exact, otherwise by a pass."""
    if _is_exact(estimate):
        return estimate.decrement, estimate.dispersion
    sums = yield Look((yield from problem.moments(np.nan_to_num(estimate.coef))))
    factor = factorize(sums.information, intercept=problem.model.has_intercept)
    phi = dispersion(sums.pearson, degrees_of_freedom(sums, problem.model, factor.rank))
    return factor.decrement(sums.score), phi


def _decrement(problem: Problem, fit: Restricted) -> Plan:
    """Return λ² at a restricted estimate: its own, if it is exact, otherwise by the score of all rows there."""
    estimate = fit.estimate
    if estimate is None:
        return np.nan if fit.error is not None else 0.0
    if _is_exact(estimate) or estimate.sums is None:
        return estimate.decrement
    total = yield Look((yield problem.total(scores, fit.coef, name="scores")))
    factor = factorize(filled(estimate.sums.information), intercept=fit.model.has_intercept)
    model = fit.model
    return factor.decrement(model.directions.T @ total.score if model.ties else total.score[model.is_free])


def _is_exact(estimate: Estimate) -> bool:
    """Return whether λ² at an estimate is its own; of a QR the columns at hand would lose its digits."""
    return (np.isfinite(estimate.decrement) and not estimate.sums_estimated) or estimate.solver == "qr"


def _ratio(problem: Problem, restricted: Problem, method: Any, estimate: Estimate) -> Plan:
    if estimate.solver == "qr":
        problem = yield from orthogonalized(replace(problem, guarded=True))
        restricted = yield from orthogonalized(restricted)
    plan = method.likelihood_ratio(problem, restricted)
    if not isinstance(plan, Generator):
        raise TypeError(
            f"{type(method).__name__}.likelihood_ratio returned {type(plan).__name__!r}: expected a plan: a generator "
            "that yields passes and returns the statistic, df and denominator df."
        )
    return (yield from plan)


def attempted(plan: Plan) -> Plan:
    """Return a plan that ends with its error as a value, so that it ends no other."""
    try:
        return (yield from plan)
    except MODEL_ERRORS as error:
        return error


def run_together(problem: Problem, plans: Mapping[str, Plan]) -> dict[str, Outcome]:
    """Run the plans of several models, which share every pass.

    Parameters
    ----------
    problem : Problem
        The data, and how they are computed.
    plans : mapping from str to Plan
        The plans by the names of the models.

    Returns
    -------
    dict of Outcome
        Of each plan.

    Raises
    ------
    Exception
        The first error of a plan, with a note that names the model unless the error is of the data.
    """
    results = dict(zip(plans, run_all(problem, [attempted(plan) for plan in plans.values()]), strict=True))
    errors = {name: found.value for name, found in results.items() if isinstance(found.value, Exception)}
    if not errors:
        return results
    name, error = next(iter(errors.items()))
    if any(each.value is not error for each in results.values()):
        error.add_note(f"In the model {name!r}.")
    raise error
