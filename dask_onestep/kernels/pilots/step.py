"""A step from a point where a pass was made: where it leads, and what is left of it where it overshoots."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.curvature import Curvature, Remaining
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent, climb
from dask_onestep.kernels.solve.linear_algebra import Factor, factorize

__all__ = ["UNUSABLE", "Step", "arrive", "shorten"]

# λ² per coefficient from which on an estimate is of no use for inference, being two standard errors
# from the MLE.
UNUSABLE = 4.0
# The score tells the distance to first order.
_CURVED = 1.1


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
    distance : float
        An upper bound (95 %) of the distance of `coef` from the MLE: the greatest of all coefficients' in standard
        errors.
    shortened : bool
        Whether the step was shortened because it overshot.
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
    distance: float
    shortened: bool = False
    fell_back: bool = False
    retreated: bool = False

    @property
    def unit(self) -> float:
        """What sampling error makes of a squared distance in information units: d·φ̂."""
        return self.factor.rank * self.ahead.phi

    @classmethod
    def arrived(cls, coef: np.ndarray, sums: Moments, factor: Factor) -> Step:
        """Return none at all: a point where a pass was made is the estimate."""
        left = Remaining.of(factor, sums.score, None, sums.phi)
        return cls(coef, sums, factor, coef, sums, left.decrement, _CURVED * left.distance)

    def is_close(self, tol: float, beyond: float = 1.0) -> bool:
        """Return whether it leads to within √tol standard errors of the MLE, the bound being at most `beyond`·√tol."""
        return self.decrement <= tol * self.unit and self.distance <= beyond * np.sqrt(tol)

    @property
    def exact(self) -> bool:
        """Whether a pass was made at `coef`, so that nothing is foretold."""
        return np.array_equal(self.coef, self.start)


def arrive(curvature: Curvature, factor: Factor, step: np.ndarray, *, at_maximum: bool = False) -> Step | None:
    """Return where a step leads once it no longer overshoots.

    Parameters
    ----------
    curvature : Curvature
        What is foretold around the point where the pass was made.
    factor : Factor
        The factored information there.
    step : ndarray of shape (d,)
        δ.
    at_maximum : bool
        Whether it is the corrected step, which leads to the foretold maximum.

    Returns
    -------
    Step or None
        The step, as much of it as is accepted; None if no part of it leads to finite sums.
    """
    reached = climb(Ascent.once(np.zeros_like(step), curvature.sums, step), curvature)
    if reached.stopped and not curvature(reached.step).is_finite():
        return None
    step, shortened, ahead = reached.coef, reached.cut or reached.stopped, reached.sums
    sums, intercept = curvature.sums, curvature.model.has_intercept
    information = ahead.information
    if not (factorize(information, intercept=intercept).kept == factor.kept).all():
        information = sums.information
    ahead = replace(ahead, information=information)
    if ahead.pearson is not None and not ahead.pearson > 0:
        ahead = replace(ahead, pearson=curvature.scaled_pearson(step))
    left = curvature.remaining(step, factor, ahead.phi, at_maximum=at_maximum and not shortened)
    return Step(curvature.coef, sums, factor, curvature.coef + step, ahead, left.decrement, left.distance, shortened)


def shorten(model: Model, pilot: PilotFit, step: Step, part: np.ndarray) -> Step:
    """Return a part of a step that overshoots.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    step : Step
        The step.
    part : ndarray of shape (d,)
        What is left of it.

    Returns
    -------
    Step
        That part, from the same start.
    """
    curvature = Curvature(model, pilot, step.start, step.sums)
    shorter = arrive(curvature, step.factor, part)
    assert shorter is not None  # the sums at both ends are finite, and so are those between
    return replace(shorter, shortened=True, fell_back=step.fell_back)
