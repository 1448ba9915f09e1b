"""One step after another: where the next one leads, and whether it is wanted."""

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.corrected_step import take_step
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import is_usable, representation, retreat, unlike
from dask_onestep.kernels.pilots.step import UNUSABLE, Step, shorten
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent, Newton
from dask_onestep.kernels.solve.linear_algebra import AnyFactor
from dask_onestep.messages.text import Remarks

MAX_STEPS = 25
# A representative pilot leads to the maximum in so many steps; what another one extrapolates holds steps back.
CORRECTED = 3
# By how much λ² may exceed what was predicted of it, an average, and what it may be in any case.
_CHANCE, _NOTHING = 9.0, 1e-4
# The share of its length that a step is taken to leave in any case; by how much that of a coefficient may exceed it.
_LEAST, _OF_ONE = 0.01, 1.5
# A step of which a smaller share is taken leads no nearer; so many shortened ones are as many as another start takes.
_TOO_SHORT, _TOO_MANY = 0.01, 3
# Where λ² falls by less than this factor per step, as under separation, the rows are searched for it.
SLOW = 0.1
# The change of standard errors on a step's way, beyond which it says little of what is left after it.
_MOVED = 0.25
# The change that pilot rows which are not like all rows may predict: they may be wrong by as much.
_UNTRUSTED = 0.05


@dataclass(frozen=True, eq=False)
class Steps(Record):
    """The steps taken so far.

    Attributes
    ----------
    ascent : Ascent or None
        It stands where the last pass was made, and proposes `coef`; None where that point was of no use.
    step : Step
        The last step.
    first : Step
        The first, from the pilot's estimate.
    n_steps : int
        How many were taken.
    trusted : bool
        Whether what the pilot rows predict has proved true so far.
    n_shortened : int
        How many steps were shortened.
    slow : bool
        Whether steps from a pilot without an MLE look like those under separation.
    said : tuple
        Warnings.
    """

    ascent: Ascent | None
    step: Step
    first: Step
    n_steps: int
    trusted: bool = True
    n_shortened: int = 0
    slow: bool = False
    said: Remarks = ()

    @property
    def coef(self) -> np.ndarray:
        """Where the last step leads."""
        return self.step.coef

    @property
    def stopped(self) -> bool:
        """Whether no step can be taken any more."""
        return self.ascent is not None and self.ascent.stopped

    @property
    def lost(self) -> bool:
        """Whether an ascent that starts without the pilot takes fewer passes than one from here."""
        if self.ascent is None or not self.step.shortened:
            return self.ascent is None
        score, whole = self.ascent.sums.score, self.ascent.move.step
        return self.n_shortened >= _TOO_MANY or bool(score @ self.ascent.step < _TOO_SHORT * (score @ whole))

    def is_close(self, tol: float) -> bool:
        """Return whether the last step leads to within √tol standard errors of the maximum.

        The first step is believed to if the pilot rows predict so, and are like all rows; later ones by what the steps
        before have left. What standard errors change on the way is known only from the pilot rows.
        """
        if self.step.exact or not self.step.is_close(tol):
            return self.step.is_close(tol)
        if self.trusted:
            return self.n_steps > 1 or _foresees_errors(self.step, _MOVED)
        return self.n_steps > 1 and _foresees_errors(self.step, _UNTRUSTED)


def advance(model: Model, pilot: PilotFit, last: Steps | None, sums: Moments, correction: str | None) -> Steps:
    """Return the next step, from the sums where the last one led.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    last : Steps or None
        What this function returned before; None for the first step, from the pilot's estimate.
    sums : Moments
        The full sums at the pilot's estimate, or where the last step led.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    Steps
        With `coef`, where the step leads.
    """
    rule = Newton(model.has_intercept, observed=correction is not None)
    if last is None:
        ascent = Ascent.begin(pilot.coef, sums, rule, MAX_STEPS) if sums.is_finite() else None
        if ascent is None or not is_usable(model, pilot, ascent.sums, ascent.move):
            step = retreat(model, pilot, sums)
            return Steps(None, step, step, 1, trusted=False)
    elif last.ascent is None:
        ascent, correction = Ascent.begin(last.coef, sums, rule, MAX_STEPS), None
    else:
        ascent = last.ascent.observe(sums)
    trusted = last is None or (last.trusted and _came_true(last.step, ascent))
    if last is not None and (last.n_steps >= CORRECTED or not trusted):
        correction = None
    if last is not None and ascent.n_shortened:
        step = shorten(model, pilot, last.step, ascent.step)
    elif last is not None and ascent.stopped:
        step = Step.arrived(ascent.coef, ascent.sums, ascent.factor)
    else:
        step = take_step(model, pilot, ascent, correction)
        if last is not None and last.ascent is not None and not step.retreated:
            step = _with_remaining(step, last.ascent, ascent)
    following = None if step.retreated else ascent.along(step.coef - ascent.coef)
    if last is None:
        step = replace(step, representation=representation(pilot, step))
        trusted = model.quadratic or not unlike(model, pilot, step)
        return Steps(following, step, step, 1, trusted, int(step.shortened))
    slow = (
        pilot.separated
        and last.ascent is not None
        and ascent.n_iter >= CORRECTED
        and ascent.move.decrement > SLOW * last.ascent.move.decrement
    )
    return Steps(following, step, last.first, last.n_steps + 1, trusted, last.n_shortened + step.shortened, slow)


def _with_remaining(step: Step, before: Ascent, now: Ascent) -> Step:
    """Return a step with what remains after it, by how much of λ² the step before has left.

    Where the expected information is that of the data, steps leave ever smaller shares; where it is not, always the
    same.  The bound is of the second case, and for the first one too large.  A step that came from so far that standard
    errors were others says nothing of the next one's share.
    """
    here = Step.arrived(now.coef, now.sums, now.factor)
    if now.move.arrived:
        return replace(step, decrement=here.decrement, distance=here.distance)
    left = np.sqrt(now.move.decrement / before.move.decrement)
    share = max(left / (1.0 - left), _LEAST) if left < 1 and not step.shortened else np.inf
    if share < 1.0 and not _keep_errors(before.factor, now.factor):
        share = 1.0
    decrement = max(here.decrement * min(share, 1.0) ** 2, min(step.decrement, here.decrement))
    bound = max(_OF_ONE * here.distance * share, min(step.distance, here.distance))
    return replace(step, decrement=decrement, distance=bound)


def _came_true(step: Step, ascent: Ascent) -> bool:
    """Return whether λ², where a step has led, is what the pilot rows predicted, within what chance allows."""
    if ascent.n_shortened or ascent.stopped:
        return False
    return ascent.move.decrement <= _CHANCE * step.decrement + _NOTHING * step.unit


def _foresees_errors(step: Step, most: float) -> bool:
    """Return whether the pilot rows predict standard errors not far from those that all rows have at the start."""
    return _keep_errors(step.factor, step.ahead_factor, most)


def _keep_errors(before: AnyFactor, after: AnyFactor, most: float = _MOVED) -> bool:
    """Return whether standard errors differ by `most`, as a share, at most from those of another information."""
    with np.errstate(all="ignore"):
        ratio = np.sqrt(after.inverse().diagonal() / before.inverse().diagonal())
    return bool(np.nanmax(np.abs(ratio - 1.0), initial=0.0) <= most)


def wants_more(taken: Steps, steps: int | str, tol: float) -> bool:
    """Return whether one step more is wanted, and can be taken.

    Parameters
    ----------
    taken : Steps
        The steps taken.
    steps : int or "auto"
        What was asked for: of a number of steps, one more is wanted only if the estimate is of no use without it.
    tol : float
        The squared distance to the MLE that passes, as a share of the squared sampling error.

    Returns
    -------
    bool
        Whether one step more is wanted.
    """
    if taken.stopped:
        return False
    if steps == "auto":
        return not taken.is_close(tol)
    return not taken.step.decrement <= max(tol, UNUSABLE) * taken.step.unit
