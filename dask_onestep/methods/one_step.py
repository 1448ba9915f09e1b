"""One-step estimation: a pilot, one pass at it, one scoring step.

Wang, Huang, Zhu and Wang, "Efficient Estimation for Generalized Linear Models on a Distributed
System with Nonrandomly Distributed Data", arXiv 2004.02414.
"""

from __future__ import annotations

from typing import Any

from dask.delayed import Delayed

from dask_onestep.kernels.likelihood.covariance import COV_TYPES
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.step import UNUSABLE
from dask_onestep.methods.arguments import check_choice, check_count, check_positive, seed_of
from dask_onestep.methods.conclusion import coefficients
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method
from dask_onestep.methods.one_step_report import report
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan, Settle
from dask_onestep.methods.sampling import draw_pilot
from dask_onestep.methods.steps import Steps, advance, wants_more

__all__ = ["OneStep"]

_MAX_STEPS = 20


class OneStep(Method):
    """One-step estimator: as efficient as the MLE, from two passes over the data.

    Pass 1 draws the pilot, a simple random sample of n of all N rows, whose MLE is β̂_p.  Pass 2 sums
    score and expected information of all rows there.  Then β̂ = β̂_p + I(β̂_p)⁻¹s(β̂_p), equation (2.4)
    of [1]_.  A robust covariance takes one pass more, each further step one.

    Parameters
    ----------
    pilot_size : "auto", int or float, default="auto"
        Rows of the pilot: a number, a share of N, or max(20√N, 50·d).
    steps : int or "auto", default=1
        Scoring steps, one pass each; "auto" until the decrement is below `tol` times d.
    correction : {None, "pilot"}, default="pilot"
        None is the step of the paper.  "pilot" adds to the quadratic model of the log-likelihood what
        the pilot rows know of its higher terms; it costs no pass.
    tol : float, default=0.1
        The squared distance to the MLE that passes without remark, as a share of the squared
        sampling error: the estimate warns if ``decrement_`` is above ``tol * d`` times the dispersion.
    random_state : int, RandomState or None, default=0
        Seed of the pilot; None draws one, which ``estimate_.random_state`` keeps.

    Notes
    -----
    Passes: 2, plus ``steps - 1``, plus 1 for robust covariances.  Where the pilot proves too poor for
    one step, a further guarded pass is made and a warning says so.

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
    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them

    def __init__(
        self,
        pilot_size: str | int | float = "auto",
        *,
        steps: int | str = 1,
        correction: str | None = "pilot",
        tol: float = 0.1,
        random_state: Any = 0,
    ):
        self.pilot_size = pilot_size
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
        steps = self._check(problem)
        seed = seed_of(self.random_state)
        pilot, problem = yield from draw_pilot(problem, self.pilot_size, seed, searched=False)
        step = yield from self._step(problem, pilot, None)
        for _ in range(steps - 1):
            step = yield from self._step(problem, pilot, (yield Settle(step)))
        if problem.lazy:
            return (yield from self._report(problem, pilot, step, seed))
        most, limit = (_MAX_STEPS, self.tol) if self.steps == "auto" else (steps + 1, max(self.tol, UNUSABLE))
        for _ in range(steps, most):
            found, last = yield from self._look(problem, pilot, step, seed, limit)
            if found is not None:
                return found
            step = yield from self._step(problem, pilot, last)
        return (yield from self._report(problem, pilot, step, seed))

    def _step(self, problem: Problem, pilot: Delayed, last: Delayed | Steps | None) -> Plan:
        """Sum score and information where the last step led, and take the next step: one pass."""
        sums = yield from problem.moments(
            problem.apply(coefficients, pilot if last is None else last, name="coefficients")
        )
        return problem.apply(advance, problem.model, pilot, last, sums, self.correction, name="newton-step")

    def _look(self, problem: Problem, pilot: Delayed, step: Delayed, seed: int, limit: float) -> Plan:
        """Return the estimate; where one step more is wanted none, and the step from which to take it."""
        if problem.cov_type == "nonrobust":
            # With the step, so that it costs no computation of its own.
            arguments = yield from self._reported(problem, pilot, step, seed)
            return (yield Look(problem.apply(_report_or_step, limit, *arguments, name="one-step")))
        step = yield Settle(step)  # the report takes a pass, and is not made before it is wanted
        if (yield Look(problem.apply(wants_more, step, limit, name="decrement"))):
            return None, step
        return (yield Look((yield from self._report(problem, pilot, step, seed)))), step

    def _report(self, problem: Problem, pilot: Delayed, step: Delayed, seed: int) -> Plan:
        arguments = yield from self._reported(problem, pilot, step, seed)
        return problem.apply(report, *arguments, name="one-step")

    def _reported(self, problem: Problem, pilot: Delayed, step: Delayed, seed: int) -> Plan:
        products = None
        if problem.cov_type != "nonrobust":
            products = yield from problem.score_products(problem.apply(coefficients, step, name="coefficients"))
        return problem.model, problem.cov_type, pilot, step, products, self.steps, self.tol, seed

    def _check(self, problem: Problem) -> int:
        problem.refuse(cov_type=COV_TYPES, solver=("auto", "cholesky", "qr"))
        check_choice("correction", self.correction, None, "pilot")
        check_positive(tol=self.tol)
        if self.steps == "auto":
            if problem.lazy:
                raise ValueError("fit_delayed: steps='auto' must look between passes; give a number of steps.")
            return 1
        check_count("steps", self.steps, ", or 'auto'")
        return int(self.steps)


def _report_or_step(
    limit: float, model: Model, cov_type: str, pilot: PilotFit, step: Steps, *others: Any
) -> tuple[Estimate | None, Steps | None]:
    return (None, step) if wants_more(step, limit) else (report(model, cov_type, pilot, step, *others), None)
