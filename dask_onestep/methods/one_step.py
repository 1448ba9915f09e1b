"""One-step estimation: a pilot, one pass at it, one scoring step.

Wang, Huang, Zhu and Wang, "Efficient Estimation for Generalized Linear Models on a Distributed
System with Nonrandomly Distributed Data", arXiv 2004.02414.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
from dask.delayed import Delayed
from dask.utils import parse_bytes

from dask_onestep.kernels.likelihood.covariance import COV_TYPES, LEVERAGED
from dask_onestep.kernels.pilots.poor_pilot import null_model
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.solve.ascent import Newton
from dask_onestep.methods.arguments import check_choice, check_count, check_pilot_size, check_positive, seed_of
from dask_onestep.methods.draws import draw_pilot, rows_within
from dask_onestep.methods.method import Method
from dask_onestep.methods.mle import climbed, elsewhere
from dask_onestep.methods.one_step_report import (
    Asked,
    extrapolated_bread,
    report,
    report_if_whole,
    report_lazily,
    report_or_step,
    report_whole,
)
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan, Settle
from dask_onestep.methods.steps import MAX_STEPS, Steps, advance, wants_more

# On λ²/d relative to `tol`, where the ascent ends that is made in the place of a pilot's steps.
_FAR_ENOUGH = 1e-4


class OneStep(Method):
    """One-step estimator: as efficient as the MLE, from two passes over the data.

    Pass 1 draws the pilot, a sample of n of all N rows, and computes its MLE β̂_p.  Pass 2 sums the score and the
    expected information of all rows at β̂_p.  Then β̂ = β̂_p + I(β̂_p)⁻¹s(β̂_p), equation (2.4) of [1]_.
    Further steps, one pass each, are taken until the estimate is close to the MLE.  The pilot of a small table is
    all of its rows: the estimate is then the MLE, in one pass.

    Parameters
    ----------
    pilot_size : "auto", int or float, default="auto"
        Rows of the pilot: a number, a fraction of N, or automatic: all rows if they fit into `pilot_bytes`,
        otherwise max(20√N, 50·d) or, if two passes need more, the lesser of 20(N·d²)^⅓ (40 with interactions or
        splines) and N/5 (of tables with numeric columns at least N/50), at most 700,000 and what fits into 64 MiB.
        It depends only on the data, not on its chunks.
    pilot_bytes : int or str, default="64 MiB"
        Memory, in bytes or as text, up to which the automatic pilot is all rows: that of the columns of the model,
        at 8 bytes per value.
    steps : int or "auto", default="auto"
        Scoring steps, one pass each; with "auto" steps are taken until the Newton decrement is below ``tol * d`` times
        the dispersion, and the distance bound of all coefficients is below √tol standard errors.  A lazy fit
        takes one step.
    correction : {None, "pilot"}, default="pilot"
        None is the step of the paper.  "pilot" adds the terms of third and higher order of the log-likelihood,
        estimated from the pilot rows, to its quadratic approximation; this takes no pass.
    tol : float, default=0.01
        Tolerance of the squared distance to the MLE, relative to the squared standard errors.
    random_state : int, RandomState or None, default=0
        Seed of the pilot.  With None a seed is drawn, which is stored in ``estimate_.random_state``.

    Notes
    -----
    Passes: 1 for a small table, 2 for most others, 1 more for each further step and for a robust covariance;
    with the automatic pilot at most one more than `MLE` from the same pilot.  A robust covariance of a small table
    takes no pass.  If the pilot has no MLE or lacks a level that all rows hardly determine, one or two more search
    all rows for separation.

    References
    ----------
    .. [1] Wang, Huang, Zhu, Wang, arXiv 2004.02414.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier, OneStep
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="binomial", random_state=0)
    >>> glm = GLMClassifier(method=OneStep(pilot_size=1000)).fit(X, y)
    >>> glm.n_passes_, glm.estimate_.pilot_size
    (2, 1000)
    """

    multinomial = True  # whether it can fit more than two classes
    eliminates = True
    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them

    def __init__(
        self,
        pilot_size: str | int | float = "auto",
        *,
        pilot_bytes: int | str = "64 MiB",
        steps: int | str = "auto",
        correction: str | None = "pilot",
        tol: float = 0.01,
        random_state: Any = 0,
    ):
        self.pilot_size = pilot_size
        self.pilot_bytes = pilot_bytes
        self.steps = steps
        self.correction = correction
        self.tol = tol
        self.random_state = random_state

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the one-step estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a `OneStepEstimate`, or a handle of one.
        """
        self._check(problem)
        steps = 1 if problem.lazy and self.steps == "auto" else self.steps
        asked = Asked(problem.cov_type, steps, self.correction, self.tol, seed_of(self.random_state))
        found = yield from self._estimated(problem, asked, held=False)
        # Rows of a rare class that lie in one block, among many others, are drawn by a pass more.
        return (yield from self._estimated(problem, asked, held=True)) if found is None else found

    def _estimated(self, problem: Problem, asked: Asked, *, held: bool) -> Plan:
        """Return the estimate; None where the pilot proves to lack rows that blocks did not hold."""
        pilot, problem, found = yield from self._draw(problem, asked, held)
        if found is not None:
            return found
        automatic = asked.steps == "auto"
        steps = 1 if automatic else int(asked.steps)
        step = yield from self._step(problem, pilot, None)
        for _ in range(steps - 1):
            step = yield from self._step(problem, pilot, (yield Settle(step)))
        if problem.lazy:
            return (yield from _reported(problem, asked, pilot, step, report_lazily))
        anew = automatic  # once
        for _ in range(steps, MAX_STEPS if automatic else steps + 1):
            found, last, following = yield from self._look(problem, asked, pilot, step, held)
            if found is not None or last is None:
                return found
            if anew and (last.lost or last.slow):
                anew = False
                if (arrived := (yield from _ascended(problem, asked, pilot, last))) is not None:
                    return (yield from _reported(problem, asked, pilot, arrived, report))
            step = (yield from self._step(problem, pilot, last)) if following is None else following
        return (yield from _reported(problem, asked, pilot, step, report))

    def whole(self, problem: Problem) -> tuple[int, int]:
        """Return the rows of the largest table that is its own pilot, and how many of them one block may have; or 0.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        tuple of two int
            As `PilotSize` has them.
        """
        return rows_within(problem, parse_bytes(self.pilot_bytes)) if self.pilot_size == "auto" else (0, 0)

    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, if it is not the last pass."""
        whole, hold = self.whole(problem)
        return Draw(
            check_pilot_size(self.pilot_size),
            seed_of(self.random_state),
            stratified=True,
            searched=False,
            whole=whole,
            hold=hold,
        )

    def _draw(self, problem: Problem, asked: Asked, held: bool) -> Plan:
        """Draw the pilot; of a small table it is all rows, and its estimate is returned besides."""
        draw = replace(self.draw(problem), held=held, seed=asked.seed)
        whole, known, most = draw.whole, problem.n_usable, problem.blocks.n_rows
        all_rows = most is not None and most <= whole
        last = problem.lazy and all_rows  # no pass follows that would show missing values
        pilot, learned = yield from draw_pilot(problem, replace(draw, searched=last), settled=not all_rows)
        if not whole or (known is not None and known > whole) or (problem.lazy and not last):
            return pilot, learned, None
        if last:
            return pilot, learned, problem.apply(report_whole, problem.model, asked, pilot, name="one-step")
        found, again = yield _look_at_whole(learned, asked, pilot, whole)
        if again and known is None:  # a block has so many rows that it was taken for one of a large table
            pilot, learned = yield from draw_pilot(problem, replace(draw, hold=sys.maxsize))
            found, _ = yield _look_at_whole(learned, asked, pilot, whole)
        return pilot, learned, found

    def _step(self, problem: Problem, pilot: Delayed, last: Delayed | Steps | None) -> Plan:
        """Sum score and information where the last step led, and take the next step: one pass."""
        coef = problem.apply(attrgetter("coef"), pilot if last is None else last, name="coefficients")
        sums = yield from problem.moments(coef)
        return problem.apply(advance, problem.model, pilot, last, sums, self.correction, name="newton-step")

    def _look(self, problem: Problem, asked: Asked, pilot: Delayed, step: Delayed, held: bool) -> Plan:
        """Return the estimate; or the step from which to take one more, or that one if it is known already; or nothing.

        A robust covariance takes a pass, and shows how far the maximum is.
        """
        if problem.cov_type != "nonrobust":
            step = yield Settle(step)  # the report is not made before it is wanted
            if (yield Look(problem.apply(wants_more, step, asked.steps, asked.tol, name="decrement"))):
                return None, (yield Look(step)) if asked.steps == "auto" else step, None
        return (yield Look((yield from _reported(problem, asked, pilot, step, report_or_step, held))))

    def _check(self, problem: Problem) -> None:
        problem.refuse(cov_type=COV_TYPES, solver=("auto", "cholesky", "qr"))
        check_choice("correction", self.correction, None, "pilot")
        check_positive(tol=self.tol)
        if not isinstance(self.pilot_bytes, (int, str)) or isinstance(self.pilot_bytes, bool):
            raise ValueError(
                f"pilot_bytes={self.pilot_bytes!r} must be a number of bytes, or a string such as '64 MiB'."
            )
        if parse_bytes(self.pilot_bytes) < 0:
            raise ValueError(f"pilot_bytes={self.pilot_bytes!r} must not be negative.")
        if self.steps != "auto":
            check_count("steps", self.steps, ", or 'auto'")


def _look_at_whole(problem: Problem, asked: Asked, pilot: Delayed, whole: int) -> Look:
    return Look(problem.apply(report_if_whole, problem.model, asked, pilot, whole, name="one-step"))


def _reported(
    problem: Problem, asked: Asked, pilot: Delayed, step: Delayed, function: Callable[..., Any], *others: Any
) -> Plan:
    """Return the report of a step by a function that makes it, after the pass of a robust covariance."""
    products = None
    if problem.cov_type != "nonrobust":
        coef, bread = problem.apply(attrgetter("coef"), step, name="coefficients"), None
        if problem.cov_type in LEVERAGED:
            bread = problem.apply(extrapolated_bread, step, name="bread")
        products = yield from problem.score_products(coef, bread)
    return problem.apply(function, problem.model, asked, pilot, step, products, *others, name="one-step")


def _ascended(problem: Problem, asked: Asked, pilot: Delayed, taken: Steps) -> Plan:
    """Return the steps of MLE's ascent, without the pilot or, if steps are slow, from here; None if it ends early."""
    rule = Newton(problem.model.has_intercept, _FAR_ENOUGH * asked.tol, observed=True)
    here = taken.ascent
    if taken.slow and here is not None:
        ascent, last = replace(here, rule=rule), 0.0
    else:
        null = yield Look(problem.apply(null_model, problem.model, pilot, name="coefficients"))
        ascent, last = (yield from elsewhere(problem, null, rule, MAX_STEPS)), np.inf
        # Where steps leave the domain, a point that is better may lead nowhere.
        if ascent is None or (here is not None and not here.n_outside and here.sums.loglik > ascent.sums.loglik):
            return None
    begun, watched = ascent.n_iter, problem.model.likelihood.separable
    ascent, said = yield from climbed(problem, None, ascent, watched=watched, last=last)
    if ascent.stopped and ascent.n_iter < MAX_STEPS and not (said or ascent.at_boundary):
        return None
    step = Step.arrived(ascent.coef, ascent.sums, ascent.factor)
    return Steps(ascent, step, taken.first, taken.n_steps + ascent.n_iter - begun, trusted=False, said=said)
