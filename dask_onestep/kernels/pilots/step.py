"""A step from a point at which a pass was made: where it ends, the estimated remaining distance, and its shortening."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.curvature import Curvature, Remaining
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent, climb
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, factorize

# λ² per coefficient above which an estimate is unusable for inference: two standard errors from the MLE.
UNUSABLE = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Step(Record):
    """A step from a point at which a pass was made.

    Attributes
    ----------
    start : ndarray of shape (d,)
        Where the pass was made.
    sums : Moments
        The full-data sums there.
    factor : CholeskyFactor or ArrowFactor
        Their factored information.
    coef : ndarray of shape (d,)
        The end of the step, with 0 for aliased columns.
    ahead : Moments
        The sums at `coef`, predicted from those at `start` and the pilot rows. Where the predicted information is not
        positive definite, it is that at `start`; where the predicted χ² is not positive, it is the pilot's, scaled up.
    ahead_factor : CholeskyFactor or ArrowFactor
        Their factored information.
    decrement : float
        λ² at `coef`, estimated from the pilot rows.
    distance : float
        95 % upper bound on the largest distance of any coefficient from the MLE, in standard errors.
    shortened : bool
        Whether the step was shortened because it overshot.
    fell_back : bool
        Whether the corrected step was requested but does not exist.
    retreated : bool
        Whether the sums at the pilot's estimate were unusable, so that the step goes to the null model.
    representation : tuple of two float
        Of a step from the pilot's estimate, the extreme eigenvalues of the information there relative to the pilot's,
        scaled up (`poor_pilot.representation`).
    """

    start: np.ndarray
    sums: Moments
    factor: AnyFactor
    coef: np.ndarray
    ahead: Moments
    ahead_factor: AnyFactor
    decrement: float
    distance: float
    shortened: bool = False
    fell_back: bool = False
    retreated: bool = False
    representation: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def unit(self) -> float:
        """Expected squared distance under sampling error, in information units: d·φ̂."""
        return self.factor.rank * self.ahead.phi

    @classmethod
    def arrived(cls, coef: np.ndarray, sums: Moments, factor: AnyFactor, errors: np.ndarray | None = None) -> Step:
        """Return the step of length zero at a point where a pass was made, which is the estimate.

        Its distance is in standard errors of the model, or in robust ones if these `errors` are known.
        """
        left = Remaining.of(factor, sums.score, sums.phi, observed=sums.observed, reported=errors)
        return cls(coef, sums, factor, coef, sums, factor, left.decrement, left.distance)

    def is_close(self, tol: float, beyond: float = 1.0) -> bool:
        """Return whether the end is within √tol standard errors of the MLE, and the bound at most `beyond`·√tol."""
        return self.decrement <= tol * self.unit and self.distance <= beyond * np.sqrt(tol)

    @property
    def exact(self) -> bool:
        """Whether a pass was made at `coef`, so that nothing is predicted."""
        return np.array_equal(self.coef, self.start)


def arrive(curvature: Curvature, factor: AnyFactor, step: np.ndarray, *, at_maximum: bool = False) -> Step | None:
    """Return the step, shortened until it does not overshoot; None if no part of it leads to finite sums.

    Parameters
    ----------
    curvature : Curvature
        The extrapolation around the point where the pass was made.
    factor : CholeskyFactor or ArrowFactor
        The factored information there.
    step : ndarray of shape (d,)
        δ.
    at_maximum : bool
        Whether δ is the corrected step, which ends at the predicted maximum.
    """
    reached = climb(Ascent.once(np.zeros_like(step), curvature.sums, step), curvature)
    if reached.stopped and not curvature(reached.step).is_finite():
        return None
    step, shortened, ahead = reached.coef, reached.cut or reached.stopped, reached.sums
    sums, intercept = curvature.sums, curvature.model.has_intercept
    ahead_factor = factorize(ahead.information, intercept=intercept)
    if not (ahead_factor.kept == factor.kept).all():
        ahead, ahead_factor = replace(ahead, information=sums.information), factor
    if ahead.pearson is not None and not ahead.pearson > 0:
        ahead = replace(ahead, pearson=curvature.scaled_pearson(step))
    left = curvature.remaining(step, factor, ahead.phi, at_maximum=at_maximum and not shortened)
    coef = curvature.coef
    return Step(coef, sums, factor, coef + step, ahead, ahead_factor, left.decrement, left.distance, shortened)


def shorten(model: Model, pilot: PilotFit, step: Step, part: np.ndarray) -> Step:
    """Return `part` of a step that overshoots, from the same start."""
    curvature = Curvature(model, pilot, step.start, step.sums)
    shorter = arrive(curvature, step.factor, part)
    assert shorter is not None  # the sums at both ends are finite, hence also in between
    return replace(shorter, shortened=True, fell_back=step.fell_back)
