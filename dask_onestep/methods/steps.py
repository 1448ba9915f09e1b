"""One step after another: where the next one leads, and whether it is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.corrected_step import take_step
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import is_usable, retreat
from dask_onestep.kernels.pilots.step import Step, shorten
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent, Newton

__all__ = ["Steps", "advance", "wants_more"]


@dataclass(frozen=True)
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
    """

    ascent: Ascent | None
    step: Step
    first: Step
    n_steps: int

    @property
    def coef(self) -> np.ndarray:
        """Where the last step leads."""
        return self.step.coef


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
    rule = Newton(model.has_intercept)
    if last is None:
        if not is_usable(model, pilot, sums):
            step = retreat(model, pilot, sums)
            return Steps(None, step, step, 1)
        ascent = Ascent.begin(pilot.coef, sums, rule)
    elif last.ascent is None:
        ascent, correction = Ascent.begin(last.coef, sums, rule), None
    else:
        ascent = last.ascent.observe(sums)
    if last is not None and ascent.n_shortened:
        step = shorten(model, pilot, last.step, ascent.step)
    elif last is not None and ascent.stopped:
        step = replace(last.step, coef=ascent.coef, ahead=ascent.sums, decrement=ascent.move.decrement, shortened=True)
    else:
        step = take_step(model, pilot, ascent, correction)
    following = None if step.retreated else ascent.along(step.coef - ascent.coef)
    n_steps = 1 if last is None else last.n_steps + 1
    return Steps(following, step, step if last is None else last.first, n_steps)


def wants_more(taken: Steps, limit: float) -> bool:
    """Return whether λ² per coefficient, as the pilot rows estimate it, is above a limit, and a step can be taken.

    Parameters
    ----------
    taken : Steps
        The steps taken.
    limit : float
        What λ² per coefficient may be, in units of the dispersion.

    Returns
    -------
    bool
        Whether one step more is wanted.
    """
    stopped = taken.ascent is not None and taken.ascent.stopped
    return not stopped and not taken.step.decrement <= limit * taken.step.unit
