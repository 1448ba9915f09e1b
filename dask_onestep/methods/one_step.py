"""One-step estimation: a pilot, one pass at it, one scoring step.

Wang, Huang, Zhu and Wang, "Efficient Estimation for Generalized Linear Models on a Distributed
System with Nonrandomly Distributed Data", arXiv 2004.02414.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep.kernels.covariance import COV_TYPES, ScoreProducts
from dask_onestep.kernels.pilot import (
    UNUSABLE,
    PilotFit,
    Step,
    is_usable,
    overshot,
    representation,
    retreat,
    shorten,
    take_step,
)
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Model
from dask_onestep.methods.arguments import seed_of
from dask_onestep.methods.conclusion import coefficients, conclude
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem

__all__ = ["OneStep", "OneStepEstimate", "advance"]

_MAX_STEPS = 20
_SLACK = 1.25  # beyond chance, by which the pilot's information may be off without remark
_SMALL = 20  # rows a coefficient below which a pilot's estimate may be anywhere


@dataclass(frozen=True, kw_only=True)
class OneStepEstimate(Estimate):
    """An `Estimate`, and what the pilot and the step were like.

    Attributes
    ----------
    pilot_size : int
        n, the pilot's rows.
    pilot_coef : ndarray of shape (d,)
        β̂_p.
    pilot_decrement : float
        λ² at β̂_p, from the pass there: about twice the log-likelihood that the first step gained.
    pilot_distance : float
        (β̂ − β̂_p)'I(β̂ − β̂_p)/(φ̂d(N/n − 1)): near 1 for an honest pilot.
    pilot_representation : tuple of two floats
        Smallest and largest eigenvalue of the information of all rows relative to the pilot's, scaled up:
        both near 1 for an honest pilot.
    pilot_separated : bool
        Whether the pilot had no MLE and was given a weak prior.
    shortened : bool
        Whether the last step was shortened, since it overshot.
    """

    pilot_size: int
    pilot_coef: np.ndarray
    pilot_decrement: float
    pilot_distance: float
    pilot_representation: tuple[float, float]
    pilot_separated: bool
    shortened: bool

    _coefficients = ("coef", "pilot_coef")


class OneStep(BaseEstimator):
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

    def estimate(self, problem: Problem) -> Estimate | Delayed:
        """Return the one-step estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        OneStepEstimate or Delayed
            The estimate, lazy if the problem is.
        """
        steps = self._check(problem)
        seed = seed_of(self.random_state)
        pilot = problem.pilot(self.pilot_size, seed)
        step = self._step(problem, pilot, None)
        for _ in range(steps - 1):
            step = self._step(problem, pilot, step)
        if not problem.lazy:
            most, limit = (_MAX_STEPS, self.tol) if self.steps == "auto" else (steps + 1, max(self.tol, UNUSABLE))
            while (steps := steps + 1) <= most and problem.value(
                problem.apply(_wants_more, step, limit, name="decrement")
            ):
                step = self._step(problem, pilot, step)
        products = None
        if problem.cov_type != "nonrobust":
            products = problem.score_products(problem.apply(coefficients, step, name="coefficients"))
        record = problem.apply(
            _report,
            problem.model,
            problem.cov_type,
            pilot,
            step,
            products,
            self,
            seed,
            problem.n_passes,
            name="one-step",
        )
        return record if problem.lazy else problem.value(record)

    def _step(self, problem: Problem, pilot: Delayed, last: Delayed | None) -> Delayed:
        sums = problem.moments(problem.apply(coefficients, pilot if last is None else last, name="coefficients"))
        step = problem.apply(advance, problem.model, pilot, last, sums, self.correction, name="newton-step")
        return problem.settle(step)

    def _check(self, problem: Problem) -> int:
        problem.refuse(cov_type=COV_TYPES, solver=("auto", "cholesky", "qr"))
        if self.correction not in (None, "pilot"):
            raise ValueError(f"correction={self.correction!r} must be None or 'pilot'.")
        if not self.tol > 0:
            raise ValueError(f"tol={self.tol!r} must be positive.")
        if self.steps == "auto":
            if problem.lazy:
                raise ValueError("fit_delayed: steps='auto' must look between passes; give a number of steps.")
            return 1
        if not isinstance(self.steps, (int, np.integer)) or isinstance(self.steps, bool) or self.steps < 1:
            raise ValueError(f"steps={self.steps!r} must be an integer ≥ 1, or 'auto'.")
        return int(self.steps)


@dataclass(frozen=True)
class _Progress:
    """The last step, and the first."""

    step: Step
    first: Step
    n_steps: int

    @property
    def coef(self) -> np.ndarray:
        return self.step.coef


def advance(model: Model, pilot: PilotFit, last: _Progress | None, sums: Moments, correction: str | None) -> _Progress:
    """Return the next step, from the sums where the last one led.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    last : record or None
        What this function returned before; None for the first step, from the pilot's estimate.
    sums : Moments
        The full sums at the pilot's estimate, or where the last step led.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    record
        With `coef`, where the step leads.
    """
    if last is None:
        usable = is_usable(model, pilot, sums)
        step = take_step(model, pilot, pilot.coef, sums, correction) if usable else retreat(model, pilot, sums)
        return _Progress(step, step, 1)
    if last.step.retreated:
        step = take_step(model, pilot, last.coef, sums, None)
    elif (share := overshot(last.step, sums)) is not None:
        step = shorten(model, pilot, last.step, share)
    else:
        step = take_step(model, pilot, last.coef, sums, correction)
    return replace(last, step=step, n_steps=last.n_steps + 1)


def _wants_more(progress: _Progress, limit: float) -> bool:
    """Return whether λ² per coefficient, as the pilot rows estimate it, is above a limit."""
    return not progress.step.decrement <= limit * progress.step.unit


def _report(
    model: Model,
    cov_type: str,
    pilot: PilotFit,
    progress: _Progress,
    products: ScoreProducts | None,
    method: OneStep,
    seed: int,
    n_passes: int,
) -> OneStepEstimate:
    step = progress.step
    fields = conclude(
        model,
        cov_type,
        step.coef,
        step.ahead if products is None else products,
        n_samples=pilot.survey.n,
        decrement=step.decrement,
        warnings=_advice(pilot, progress, method),
    )
    return OneStepEstimate(
        **fields,
        n_iter=progress.n_steps,
        n_passes=n_passes,
        classes=pilot.survey.classes,
        n_missing=pilot.survey.n_missing,
        pilot_size=pilot.n,
        pilot_coef=pilot.coef,
        pilot_decrement=_pilot_decrement(progress.first),
        pilot_distance=_pilot_distance(pilot, progress.first, np.nan_to_num(fields["coef"])),
        pilot_representation=representation(pilot, progress.first),
        pilot_separated=pilot.separated,
        random_state=seed,
        shortened=step.shortened,
    )


def _pilot_decrement(first: Step) -> float:
    return float("inf") if first.retreated else first.factor.decrement(first.sums.score)


def _pilot_distance(pilot: PilotFit, first: Step, coef: np.ndarray) -> float:
    """Return (β̂ − β̂_p)'I(β̂ − β̂_p) over what it is on average for an honest pilot."""
    spread = first.unit * (pilot.ratio - 1.0)
    if first.retreated or not spread > 0:
        return float("nan")
    moved = coef - pilot.coef
    return float(moved @ first.sums.information @ moved) / spread


def _unlike(pilot: PilotFit, first: Step) -> float | None:
    """Return by how much the pilot's information is off where that is beyond chance, else None.

    For n honest rows the eigenvalues lie within (1 ± √(d/n))², the edges of the Marchenko–Pastur law.
    """
    edge = np.sqrt(first.factor.rank / pilot.n)
    least, greatest = representation(pilot, first)
    if pilot.ratio > 1 and greatest > _SLACK * (1 + edge) ** 2:
        return greatest
    return least if pilot.ratio > 1 and least < max(1 - edge, 0) ** 2 / _SLACK else None


def _advice(pilot: PilotFit, progress: _Progress, method: OneStep) -> tuple[tuple[type[Warning], str], ...]:
    step, advice = progress.step, []
    limit = method.tol * step.unit
    planned = progress.n_steps if isinstance(method.steps, str) else method.steps
    if pilot.separated:
        advice.append(
            f"The pilot of {pilot.n} rows has no maximum-likelihood estimate (separated, or one value of y "
            "only): it was given a weak prior. Draw a larger one: OneStep(pilot_size=...)."
        )
    if pilot.n < min(_SMALL * step.factor.rank, pilot.survey.n):
        advice.append(
            f"A pilot of {pilot.n} rows is small for {step.factor.rank} coefficients; pilot_size='auto' has at least "
            "50 a coefficient."
        )
    if progress.first.retreated:
        advice.append(
            "At the pilot's estimate some rows have means beyond all bounds: the step was taken from the null "
            "model instead. Draw a larger pilot, use method='mle', or rein in the largest covariates."
        )
    if (off := _unlike(pilot, progress.first)) is not None:
        advice.append(
            f"The pilot is unlike the whole: along some direction all rows hold {off:.2g} times the information "
            "that it promises, so a few rows decide there, and the estimate may be far from the MLE whatever "
            "decrement_ says. Use method='mle', a larger pilot, or rein in the largest covariates."
        )
    if step.shortened or step.fell_back:
        advice.append(
            "The step from the pilot's estimate went beyond what the pilot can foretell, so it was "
            "shortened. Draw a larger pilot, or take steps='auto'."
        )
    if progress.n_steps > planned:
        advice.append(f"Since one step was not to be trusted, {progress.n_steps} were taken, a pass each.")
    if not step.decrement <= limit:
        advice.append(
            f"The estimate may be {np.sqrt(step.decrement / step.unit):.2g} standard errors from the "
            f"MLE (decrement_ {step.decrement:.3g}, expected below {limit:.3g}). Take steps=2 or 'auto', or "
            f"a larger pilot than {pilot.n} rows."
        )
    return tuple((UserWarning, text) for text in advice)
