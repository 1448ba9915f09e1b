"""Maximum likelihood by Fisher scoring over all rows, one pass an iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep.exceptions import NotConvergedWarning
from dask_onestep.kernels.covariance import COV_TYPES
from dask_onestep.kernels.likelihood import initial_moments, row_log_likelihoods
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.newton import MAX_HALVINGS, arrived, ascended, ran_away, safe_start
from dask_onestep.kernels.pilots.corrected_step import direction
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.sample import Survey
from dask_onestep.kernels.records import Moments
from dask_onestep.methods.arguments import check_choice, check_positive, seed_of
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem

__all__ = ["MLE"]

# An honest pilot leads to the maximum in so many steps; of another, what it foretells holds steps back.
_CORRECTED = 3


class MLE(BaseEstimator):
    """The global maximum-likelihood estimator.

    Each iteration reads the data once, for log-likelihood, score and information at β, and takes a
    scoring step, halved if the log-likelihood fell.  What the pilot rows know of the likelihood's third and
    higher order terms makes each of the first three as good as two.  It ends where λ² ≤ `tol`·d·φ̂:
    log-likelihood, covariance and ``decrement_`` are from there, one last step of that length before the
    returned coefficients.

    Parameters
    ----------
    start : {"pilot", None}, default="pilot"
        Start at the MLE of a pilot sample, which saves two or three passes, or at the family's
        starting means, as R's ``glm``.  Where the pilot's MLE proves worse than no covariates at all, the
        start is that of None, or the pilot's mean for every row, whichever is better: three passes more.
    max_iter : int, default=25
        Steps at the most.
    tol : float, default=1e-16
        On λ²/(d·φ̂), the squared distance to the maximum as a share of the squared sampling error.
    random_state : int, RandomState or None, default=0
        Seed of the pilot.

    Notes
    -----
    Passes: 1 for the start (with ``start=None`` one more for the labels of a classification), 1 for
    each step and 1 to see that the last was enough; 1 more for robust covariances.  About 5 in all.

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

    def __init__(self, start: str | None = "pilot", *, max_iter: int = 25, tol: float = 1e-16, random_state: Any = 0):
        self.start = start
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def estimate(self, problem: Problem) -> Estimate | Delayed:
        """Return the maximum-likelihood estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Estimate
            The estimate.

        Raises
        ------
        ValueError
            If the problem is lazy.
        """
        problem.refuse(cov_type=COV_TYPES, solver=("auto", "cholesky", "qr"))
        check_choice("start", self.start, "pilot", None)
        check_positive(max_iter=self.max_iter, tol=self.tol)
        seed = seed_of(self.random_state) if self.start == "pilot" else None
        start, pilot = self._start(problem, seed)
        coef, sums = self._enter(problem, start)
        if coef is not start.coef:
            pilot = None  # it is far off, and what it foretells as well
        coef, sums, n_iter, converged = self._climb(problem, pilot, coef, sums)
        products = problem.value(problem.score_products(coef)) if problem.cov_type != "nonrobust" else None
        factor = factorize(sums.information, intercept=problem.model.has_intercept)
        fields = conclude(
            problem.model,
            problem.cov_type,
            coef,
            sums if products is None else products,
            decrement=factor.decrement(sums.score),
            warnings=() if converged else (_complaint(problem, n_iter, factor.decrement(sums.score)),),
        )
        return Estimate(
            **fields,
            n_iter=n_iter,
            n_passes=problem.n_passes,
            classes=start.known.classes,
            n_missing=start.known.n_missing,
            converged=converged,
            random_state=seed,
        )

    def _start(self, problem: Problem, seed: int | None) -> tuple[_Start, Delayed | None]:
        if seed is not None:
            pilot = problem.pilot("auto", seed, searched=False)
            return problem.value(problem.apply(_begin, problem.model, pilot, name="coefficients")), pilot
        known = problem.value(problem.survey())
        sums = problem.value(problem.total(initial_moments, name="initial-moments"))
        if not np.isfinite(sums.information).all():
            raise ValueError(
                "MLE(start=None) starts at a mean near each y, and the link has no linear predictor for some of them, "
                "such as for negative y under the log link. Use start='pilot'."
            )
        return _Start(factorize(sums.information, intercept=problem.model.has_intercept).solve(sums.score), known), None

    def _enter(self, problem: Problem, start: _Start) -> tuple[np.ndarray, Moments]:
        """Return a start at which every row has a mean that the family can have, and the sums there."""
        coef, safe = start.coef, start.safe
        sums = problem.value(problem.moments(coef))
        for _ in range(MAX_HALVINGS if safe is not None else 0):
            if _inside(sums):
                break
            coef = (coef + safe) / 2
            sums = problem.value(problem.moments(coef))
        if safe is not None and sums.loglik < start.floor:
            # Rows that the pilot has not seen have means beyond all bounds, which Newton's steps would bring down
            # by a factor e each.
            coef, sums = self._elsewhere(problem, safe)
        if not _inside(sums):
            model = problem.model
            raise ValueError(
                f"No start was found at which every row has a mean that the {model.family.name} family can "
                "have. Choose a link that keeps to its range, such as log, or another start."
            )
        return coef, sums

    def _elsewhere(self, problem: Problem, safe: np.ndarray) -> tuple[np.ndarray, Moments]:
        """Return the better of the null model and the first weighted least-squares fit, and the sums there."""
        starts, first = [safe], problem.value(problem.total(initial_moments, name="initial-moments"))
        if np.isfinite(first.information).all() and np.isfinite(first.score).all():
            starts.append(factorize(first.information, intercept=problem.model.has_intercept).solve(first.score))
        reached = [(coef, problem.value(problem.moments(coef))) for coef in starts]
        return max(reached, key=lambda each: each[1].loglik if _inside(each[1]) else -np.inf)

    def _climb(
        self, problem: Problem, pilot: Delayed | None, coef: np.ndarray, sums: Moments
    ) -> tuple[np.ndarray, Moments, int, bool]:
        """Step until λ² is small; a step after which ℓ fell is halved, a pass each time."""
        intercept, last, beginning = problem.model.has_intercept, np.inf, sums.information
        factor = factorize(beginning, intercept=intercept)
        for n_iter in range(self.max_iter + 1):
            decrement = factor.decrement(sums.score)
            if arrived(sums, decrement, factor.rank, self.tol, last):
                # The score that shows the arrival tells the rest of the way, which changes no sum's digits.
                return coef + factor.solve(sums.score), sums, n_iter, True
            if n_iter == self.max_iter:
                break
            if pilot is None:
                step = factor.solve(sums.score)
            else:
                step = problem.value(problem.apply(direction, problem.model, pilot, coef, sums, name="newton-step"))
            for _ in range(MAX_HALVINGS):
                reached = problem.value(problem.moments(coef + step))
                if ascended(step, sums, reached):
                    break
                step, pilot = step / 2, None
            else:
                break
            if n_iter + 1 == _CORRECTED:
                pilot = None
            ahead = factorize(reached.information, intercept=intercept)
            if ran_away(beginning, reached.information, ahead):
                break
            coef, sums, last, factor = coef + step, reached, decrement, ahead
        return coef, sums, n_iter, False


@dataclass(frozen=True)
class _Start:
    """Where to start, what is known of the rows, and a start without covariates that is always possible.

    No start should have a log-likelihood below `floor`: that of the safe one as the pilot rows, scaled up, tell it,
    less four of its standard errors.
    """

    coef: np.ndarray
    known: Survey
    safe: np.ndarray | None = None
    floor: float = -np.inf


def _begin(model: Model, pilot: PilotFit) -> _Start:
    safe = safe_start(pilot.rows, model)
    if safe is None:
        return _Start(pilot.coef, pilot.survey)
    logliks = row_log_likelihoods(pilot.rows, model, safe)
    logliks = logliks if pilot.rows.weights is None else pilot.rows.weights * logliks
    with np.errstate(all="ignore"):  # where there is no log-likelihood there is no floor
        floor = pilot.ratio * (logliks.sum() - 4.0 * np.sqrt(pilot.n) * logliks.std())
    return _Start(pilot.coef, pilot.survey, safe, float(floor) if np.isfinite(floor) else -np.inf)


def _inside(sums: Moments) -> bool:
    return bool(np.isfinite(sums.loglik)) and sums.is_finite()


def _complaint(problem: Problem, n_iter: int, decrement: float) -> tuple[type[Warning], str]:
    steps = "1 step" if n_iter == 1 else f"{n_iter} steps"
    text = f"MLE stopped after {steps}, with λ² = {decrement:.3g} still to gain; raise max_iter."
    if problem.model.family.name in ("binomial", "multinomial"):
        text += (
            " If coefficients and standard errors are very large, the classes are separated: some"
            " combination of the columns predicts y perfectly and no finite maximum exists."
        )
    return NotConvergedWarning, text
