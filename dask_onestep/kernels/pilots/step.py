"""A step from a point where a pass was made: where it leads, and what is left of it where it overshoots."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from dask_onestep.kernels.linear_algebra import Factor, factorize
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.newton import ROUNDING, rose
from dask_onestep.kernels.pilots.curvature import Curvature
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.records import Moments, Record

__all__ = ["UNUSABLE", "Step", "arrive", "overshot", "shorten"]

# λ² per coefficient from which on an estimate is of no use for inference, being two standard errors
# from the MLE.
UNUSABLE = 4.0


@dataclass(frozen=True, slots=True)
class Step(Record):
    """A step from a point where a pass was made.

    Attributes
    ----------
    start : ndarray of shape (d,)
        Where the pass was made.
    sums : Moments
        The full sums there.
    factor : Factor
        Their factored information.
    coef : ndarray of shape (d,)
        Where the step leads, with 0 for aliased columns.
    ahead : Moments
        The full sums at `coef`, as those at `start` and the pilot rows foretell them; the information
        is that at `start` where the foretold one is not positive definite, and χ² the pilot rows' own,
        scaled up, where the foretold one is not positive.
    decrement : float
        λ² at `coef`, estimated from the pilot rows.
    shortened : bool
        Whether the step was halved, or shortened otherwise, since it overshot.
    fell_back : bool
        Whether the corrected step was asked for and could not be had.
    retreated : bool
        Whether the sums at the pilot's estimate were of no use, so that the step leads to the null model.
    """

    start: np.ndarray
    sums: Moments
    factor: Factor
    coef: np.ndarray
    ahead: Moments
    decrement: float
    shortened: bool = False
    fell_back: bool = False
    retreated: bool = False

    @property
    def unit(self) -> float:
        """What sampling error makes of a squared distance in information units: d·φ̂."""
        return self.factor.rank * self.ahead.phi

    @property
    def distance(self) -> float:
        """How far from the MLE the step is expected to end, in standard errors: √(λ²/(dφ̂))."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt(np.divide(self.decrement, self.unit)))


def arrive(curvature: Curvature, factor: Factor, step: np.ndarray) -> Step | None:
    """Return where a step leads once it no longer overshoots.

    Parameters
    ----------
    curvature : Curvature
        What is foretold around the point where the pass was made.
    factor : Factor
        The factored information there.
    step : ndarray of shape (d,)
        δ.

    Returns
    -------
    Step or None
        The step, halved as often as need be; None if no part of it leads to finite sums.
    """
    ahead, shortened = curvature(step), False
    for _ in range(60):
        if rose(ahead.loglik, curvature.sums.loglik) and ahead.is_finite():
            break
        step, shortened = step / 2, True
        ahead = curvature(step)
    if not ahead.is_finite():
        return None
    decrement = curvature.foretold_decrement(step, factor)
    sums, intercept = curvature.sums, curvature.model.has_intercept
    information = ahead.information
    if not (factorize(information, intercept=intercept).kept == factor.kept).all():
        information = sums.information
    ahead = replace(ahead, information=information)
    if ahead.pearson is not None and not ahead.pearson > 0:
        ahead = replace(ahead, pearson=curvature.scaled_pearson(step))
    return Step(curvature.coef, sums, factor, curvature.coef + step, ahead, decrement, shortened)


def shorten(model: Model, pilot: PilotFit, step: Step, share: float) -> Step:
    """Return a part of a step that overshoots.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    step : Step
        The step.
    share : float
        Which part of it, between 0 and 1.

    Returns
    -------
    Step
        That part, from the same start.
    """
    curvature = Curvature(model, pilot, step.start, step.sums)
    part = arrive(curvature, step.factor, share * (step.coef - step.start))
    assert part is not None  # the sums at both ends are finite, and so are those between
    return replace(part, shortened=True, fell_back=step.fell_back)


def overshot(step: Step, there: Moments) -> float | None:
    """Return which part of a step is best, if the sums at its end show that it overshot.

    It did where the log-likelihood fell, or falls more steeply at the end than it rose at the start.

    Parameters
    ----------
    step : Step
        The step.
    there : Moments
        The full sums where it led.

    Returns
    -------
    float or None
        Between 0 and 1, where the cubic through both log-likelihoods and slopes is greatest; None if
        the step was well taken.
    """
    move = step.coef - step.start
    rise, fall = float(step.sums.score @ move), float(there.score @ move)
    gentle = fall >= -rise - ROUNDING * abs(step.sums.loglik)
    if rose(there.loglik, step.sums.loglik) and gentle:
        return None
    if not there.is_finite():
        return 0.5
    cubic = CubicHermiteSpline([0.0, 1.0], [step.sums.loglik, there.loglik], [rise, fall])
    peaks = cubic.derivative().roots(extrapolate=False)
    return float(peaks[np.argmax(cubic(peaks))]) if len(peaks) else 0.5
