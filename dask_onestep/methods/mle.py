"""Maximum likelihood by Fisher scoring over all rows, one pass an iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dask.delayed import Delayed

from dask_onestep.families import Binomial, Multinomial
from dask_onestep.kernels.likelihood.covariance import COV_TYPES
from dask_onestep.kernels.likelihood.jeffreys import half_log_determinant
from dask_onestep.kernels.matrices.symmetric import filled, is_finite
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.corrected_step import direction
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import log_likelihood_floor
from dask_onestep.kernels.pilots.sample import PilotRecord, Survey
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Ascent, Newton
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks
from dask_onestep.methods.arguments import check_choice, check_positive, seed_of
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.draws import draw_pilot, take_survey
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.jeffreys import PenalizedEstimate, check_jeffreys, entered_with_penalty, penalized_sums
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan
from dask_onestep.methods.separation import EXACT, directed_ahead, separated
from dask_onestep.methods.steps import CORRECTED, SLOW

# How far linear predictors are then moved: rows at a boundary have no weight left there.
_AWAY = 40.0
# After so many slow steps more what is left grows without bound: other coefficients have converged.
_UNBOUNDED = 3


class MLE(Method):
    """The global maximum-likelihood estimator.

    Each iteration reads the data once, for log-likelihood, score and information at β, and takes a
    scoring step, which is shortened if it overshoots.  The first three steps include the terms of third and higher
    order of the log-likelihood, estimated from the pilot rows.  The iteration ends when λ² ≤ `tol`·d·φ̂, and a last
    step is taken from there; log-likelihood, covariance and ``decrement_`` are those before this step.

    Parameters
    ----------
    start : {"pilot", None}, default="pilot"
        Start at the MLE of an automatic pilot (see `OneStep`), which saves two or three passes, or at the family's
        starting means, as R's ``glm``.  If the log-likelihood at the pilot's MLE is below that of the model
        without covariates, the fit starts at the family's means or at the pilot's mean, whichever is better, which
        takes three more passes.
    penalty : {None, "jeffreys"}, default=None
        "jeffreys" maximizes ℓ(β) + ½ log|I(β)| instead [1]_, as R's logistf and brglm2 (``type="MPL_Jeffreys"``), for
        families without a dispersion and one linear predictor.  It removes the bias of order 1/N, which matters with
        few rows per column, and is finite for separated classes.
    max_iter : int, default=25
        Maximum number of scoring steps.
    tol : float, default=1e-16
        Tolerance of λ²/(d·φ̂), the squared distance to the maximum relative to the squared standard errors.
    random_state : int, RandomState or None, default=0
        Seed of the pilot.

    Notes
    -----
    Passes: 1 for the start (with ``start=None`` one more for the labels of a classification), 1 for
    each step and 1 to check convergence; 1 more for robust covariances.  About 5 in all, about 10 if a level is
    separated.  With a penalty about 6, and 2 if the pilot is all rows.

    With ``penalty="jeffreys"`` standard errors are those of I(β̂)⁻¹; the Wald intervals are inaccurate for separated
    classes.  There are no likelihood-ratio and score tests.

    References
    ----------
    .. [1] Firth, "Bias reduction of maximum likelihood estimates", Biometrika 80 (1993).

    Examples
    --------
    >>> from dask_onestep import GLMRegressor, MLE
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="poisson", random_state=0)
    >>> glm = GLMRegressor("poisson", method=MLE()).fit(X, y)
    >>> bool(glm.decrement_ < 1e-12)
    True
    """

    multinomial = True  # whether it can fit more than two classes
    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them
    takes_stages = True

    def __init__(
        self,
        start: str | None = "pilot",
        *,
        penalty: str | None = None,
        max_iter: int = 25,
        tol: float = 1e-16,
        random_state: Any = 0,
    ):
        self.start = start
        self.penalty = penalty
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @property
    def eliminates(self) -> bool:  # type: ignore[override]
        """Whether a factor of many levels may be eliminated, as it may without a penalty of the full information."""
        return self.penalty is None

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the maximum-likelihood estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns an `Estimate`.
        """
        problem.refuse(cov_type=COV_TYPES, solver=("auto", "cholesky", "qr"))
        check_choice("start", self.start, "pilot", None)
        check_choice("penalty", self.penalty, None, "jeffreys")
        if self.penalty is not None:
            check_jeffreys(problem)
        check_positive(max_iter=self.max_iter, tol=self.tol)
        seed = seed_of(self.random_state) if self.start == "pilot" else None
        start, pilot, problem = yield from self._start(problem, seed)
        entered = self._enter(problem, start)
        if self.penalty is None:
            ascent = yield from entered
            if ascent.coef is not start.coef:
                pilot = None  # it is far off, and what it extrapolates as well
            ascent, said = yield from climbed(problem, pilot, ascent, watched=problem.model.likelihood.separable)
        else:
            rule = Newton(problem.model.has_intercept, self.tol)
            ascent, pilot = yield from entered_with_penalty(problem, pilot, entered, rule, self.max_iter)
            ascent, said = yield from climbed(problem, pilot, ascent, penalized_sums)
        # The score that shows the arrival tells the rest of the way, which changes no sum's digits.
        coef = ascent.coef + ascent.move.step if ascent.converged else ascent.coef
        products = None
        if problem.cov_type != "nonrobust":
            bread = filled(ascent.factor.inverse())
            products = yield Look((yield from problem.score_products(coef, bread)))
        decrement, sums = ascent.move.decrement, ascent.sums
        cls: type[Estimate] = Estimate
        known: dict[str, Any] = {}
        penalized = self.penalty is not None
        if penalized:
            cls, known = PenalizedEstimate, {"penalized_loglik": sums.loglik}
            sums = replace(sums, loglik=sums.loglik - half_log_determinant(ascent.factor))
        fields = conclude(
            problem.model,
            problem.cov_type,
            coef,
            sums if products is None else products,
            decrement=decrement,
            warnings=said if ascent.converged else (*said, _complaint(problem, ascent, penalized)),
        )
        return cls(
            **fields,
            **known,
            n_iter=ascent.n_iter,
            classes=start.known.classes,
            n_missing=start.known.n_missing,
            converged=ascent.converged,
            random_state=seed,
            pilot=start.sample,
        )

    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, of no rows where there is none."""
        if self.start != "pilot":
            return Draw(None)
        return Draw("auto", seed_of(self.random_state), stratified=True, searched=False)

    def _start(self, problem: Problem, seed: int | None) -> Plan:
        if seed is not None:
            pilot, problem = yield from draw_pilot(problem, self.draw(problem))
            return (yield Look(problem.apply(_begin, problem.model, pilot, name="coefficients"))), pilot, problem
        known, problem = yield from take_survey(problem)
        known = yield Look(known)
        sums = yield Look((yield from problem.initial_moments()))
        if not is_finite(sums.information):
            raise ValueError(
                "MLE(start=None) starts at means near each y, for some of which the link or the information is "
                "undefined (negative y under the log link, or values of y close to 0). Use start='pilot'."
            )
        coef = factorize(sums.information, intercept=problem.model.has_intercept).solve(sums.score)
        return _Start(coef, known), None, problem

    def _enter(self, problem: Problem, start: _Start) -> Plan:
        """Return an ascent from a start at which every row has a mean that the family can have."""
        rule = Newton(problem.model.has_intercept, self.tol, observed=True)
        if start.safe is None:
            sums = yield Look((yield from problem.moments(start.coef)))
            ascent = Ascent.begin(start.coef, sums, rule, self.max_iter) if _inside(sums) else None
        else:
            ascent = Ascent.enter(start.safe, start.coef, rule, self.max_iter)
            while ascent.sums is None and ascent.climbing:
                ascent = ascent.observe((yield Look((yield from problem.moments(ascent.proposal)))))
            if ascent.sums is None or ascent.sums.loglik < start.floor:
                # Rows that the pilot has not seen have means that overflow, which Newton's steps would bring down by
                # a factor e each.
                ascent = yield from elsewhere(problem, start.safe, rule, self.max_iter)
        if ascent is None:
            raise catalogue.NO_START.error(family=problem.model.family.name)
        return ascent


def elsewhere(problem: Problem, safe: np.ndarray, rule: Newton, max_iter: int) -> Plan:
    """Return an ascent from the better of the null model and the first weighted least-squares fit; None if neither is.

    Parameters
    ----------
    problem : Problem
        The problem.
    safe : ndarray of shape (d,)
        Coefficients without covariates.
    rule : Newton
        Of the ascent.
    max_iter : int
        Maximum number of scoring steps.

    Returns
    -------
    Plan
        It returns an `Ascent`, or None.  Three passes.
    """
    starts, first = [safe], (yield Look((yield from problem.initial_moments())))
    if is_finite(first.information) and np.isfinite(first.score).all():
        starts.append(factorize(first.information, intercept=rule.intercept).solve(first.score))
    best = None
    for coef in starts:
        sums = yield Look((yield from problem.moments(coef)))
        if _inside(sums) and (best is None or sums.loglik > best[1].loglik):
            best = coef, sums
    return None if best is None else Ascent.begin(*best, rule, max_iter)


def moments_ahead(problem: Problem, ascent: Ascent) -> Plan:
    """Return the plan of the moments at the proposal of an ascent: one pass."""
    return (yield Look((yield from problem.moments(ascent.proposal))))


def climbed(
    problem: Problem,
    pilot: Delayed | None,
    ascent: Ascent,
    sums: Callable[[Problem, Ascent], Plan] = moments_ahead,
    *,
    watched: bool = False,
    last: float = np.inf,
) -> Plan:
    """Return an ascent that has stepped until λ² is small, a pass for each step.

    Separated rows that are found on the way are moved so far that they have no weight left, and the other coefficients
    converge as ever; under complete separation there is none, and the ascent stops.

    Parameters
    ----------
    problem : Problem
        The problem.
    pilot : Delayed or None
        The pilot, whose rows correct the first steps.
    ascent : Ascent
        Where it begins.
    sums : callable
        From the problem and the ascent to the plan of the sums at its proposal.
    watched : bool
        Whether slow steps are searched for separation.
    last : float
        λ² before the last step.

    Returns
    -------
    Plan
        It returns the `Ascent`, and the warnings of separation.
    """
    said: Remarks = ()
    unbounded = 0
    while ascent.climbing:
        if pilot is not None:
            step = yield Look(problem.apply(direction, problem.model, pilot, ascent, name="newton-step"))
            ascent = ascent.along(step)
        slow, last = ascent.n_iter >= CORRECTED and ascent.move.decrement > SLOW * last, ascent.move.decrement
        unbounded = unbounded + 1 if said and slow else 0
        if unbounded == _UNBOUNDED:
            return replace(ascent, stopped=True), said
        if watched and slow:
            directions, seen = (ascent.step, ascent.proposal), (yield from directed_ahead(problem, ascent))
            ascent = ascent.observe(seen.moments)
            if (which := seen.separating(EXACT, EXACT)) is not None:
                watched, said = False, (separated(problem.model, seen, which),)
                ascent = ascent.along(ascent.step + directions[which] * (_AWAY / seen.reach[which]))
        else:
            ascent = ascent.observe((yield from sums(problem, ascent)))
        if pilot is not None and ascent.converged:
            # That λ² fell no longer may be the corrections' doing.
            again = Ascent.begin(ascent.coef, ascent.sums, ascent.rule, ascent.max_iter)
            ascent = replace(again, n_iter=ascent.n_iter, first=ascent.first)
        if ascent.n_shortened or ascent.n_iter == CORRECTED or not ascent.climbing:
            pilot = None
    return ascent, said


@dataclass(frozen=True, eq=False)
class _Start:
    """Where to start, what is known of the rows, and a start without covariates that is always possible.

    No start should have a log-likelihood below `floor`: that of the safe one as the pilot rows, scaled up, tell it,
    less four of its standard errors.
    """

    coef: np.ndarray
    known: Survey
    safe: np.ndarray | None = None
    floor: float = -np.inf
    sample: PilotRecord | None = None


def _begin(model: Model, pilot: PilotFit) -> _Start:
    safe = model.likelihood.safe_start(pilot.rows, model)
    if safe is None:
        return _Start(pilot.coef, pilot.survey, sample=pilot.record)
    return _Start(pilot.coef, pilot.survey, safe, log_likelihood_floor(model, pilot, safe), pilot.record)


def _inside(sums: Moments) -> bool:
    return bool(np.isfinite(sums.loglik)) and sums.is_finite()


def _complaint(problem: Problem, ascent: Ascent, penalized: bool) -> Remark:
    separable = isinstance(problem.model.family.base, (Binomial, Multinomial)) and not penalized
    if ascent.n_iter < ascent.max_iter:
        message = catalogue.MLE_STOPPED
    else:
        message = catalogue.MLE_OF_CLASSES_NOT_CONVERGED if separable else catalogue.MLE_NOT_CONVERGED
    steps = "1 step" if ascent.n_iter == 1 else f"{ascent.n_iter} steps"
    return message.warning(steps=steps, decrement=ascent.move.decrement)
