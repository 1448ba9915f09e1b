"""One step after another: where the next one leads, and whether it is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.corrected_step import take_step
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import is_usable, retreat
from dask_onestep.kernels.pilots.step import Step, overshot, shorten
from dask_onestep.kernels.records import Moments, Record

__all__ = ["Progress", "advance", "wants_more"]


@dataclass(frozen=True)
class Progress(Record):
    """How far a fit has come.

    Attributes
    ----------
    step : Step
        The last step.
    first : Step
        The first, from the pilot's estimate.
    n_steps : int
        How many were taken.
    """

    step: Step
    first: Step
    n_steps: int

    @property
    def coef(self) -> np.ndarray:
        """Where the last step leads."""
        return self.step.coef


def advance(model: Model, pilot: PilotFit, last: Progress | None, sums: Moments, correction: str | None) -> Progress:
    """Return the next step, from the sums where the last one led.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    last : Progress or None
        What this function returned before; None for the first step, from the pilot's estimate.
    sums : Moments
        The full sums at the pilot's estimate, or where the last step led.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    Progress
        With `coef`, where the step leads.
    """
    if last is None:
        usable = is_usable(model, pilot, sums)
        step = take_step(model, pilot, pilot.coef, sums, correction) if usable else retreat(model, pilot, sums)
        return Progress(step, step, 1)
    if last.step.retreated:
        step = take_step(model, pilot, last.coef, sums, None)
    elif (share := overshot(last.step, sums)) is not None:
        step = shorten(model, pilot, last.step, share)
    else:
        step = take_step(model, pilot, last.coef, sums, correction)
    return replace(last, step=step, n_steps=last.n_steps + 1)


def wants_more(progress: Progress, limit: float) -> bool:
    """Return whether λ² per coefficient, as the pilot rows estimate it, is above a limit.

    Parameters
    ----------
    progress : Progress
        The steps taken.
    limit : float
        What λ² per coefficient may be, in units of the dispersion.

    Returns
    -------
    bool
        Whether one step more is wanted.
    """
    return not progress.step.decrement <= limit * progress.step.unit
