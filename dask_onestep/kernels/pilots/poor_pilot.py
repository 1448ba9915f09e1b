"""Pilots that are poor: what tells them apart, and where a fit goes whose pilot's estimate is of no use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import linalg

from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import factorize

__all__ = ["is_usable", "representation", "retreat"]


def is_usable(model: Model, pilot: PilotFit, sums: Moments) -> bool:
    """Return whether a step can be taken from the pilot's estimate.

    It cannot where the linear predictor overflowed, or where a few rows with enormous means make
    columns look aliased that the pilot's rows tell apart.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    sums : Moments
        The full sums at its estimate.

    Returns
    -------
    bool
        Whether they are of use.
    """
    if not sums.is_finite():
        return False
    intercept = model.has_intercept
    kept = factorize(sums.information, intercept=intercept).kept
    if kept.all():
        return True
    apart = factorize(
        moments(pilot.rows, model, model.likelihood.null_coefficients(pilot.rows, model)).information,
        intercept=intercept,
    ).kept
    return bool((apart <= kept).all())


def representation(pilot: PilotFit, first: Step) -> tuple[float, float]:
    """Return how far the pilot's information, scaled up, is from that of all rows at its estimate.

    Means that grow without bound, or rare levels, leave much of the information to a few rows.  Where the
    pilot lacks them, or has more than their share, what it foretells is of no use, its decrement included.

    Parameters
    ----------
    pilot : PilotFit
        The pilot.
    first : Step
        The step from its estimate.

    Returns
    -------
    least, greatest : float
        Smallest and largest eigenvalue of the full information relative to N/n times the pilot's; both near
        1 for an honest pilot.  NaN where the pilot cannot tell columns apart.
    """
    factor = pilot.factor
    if first.retreated or not factor.rank or not factor.kept.all():
        return float("nan"), float("nan")
    scaled = first.sums.information / np.outer(factor.scale, factor.scale) / pilot.ratio
    half = linalg.solve_triangular(factor.lower, scaled, lower=True)
    relative = np.linalg.eigvalsh(linalg.solve_triangular(factor.lower, half.T, lower=True))
    return float(relative[0]), float(relative[-1])


def retreat(model: Model, pilot: PilotFit, sums: Moments) -> Step:
    """Return a step to the null model, for a pilot whose own estimate is of no use.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    sums : Moments
        The full sums at its estimate.

    Returns
    -------
    Step
        To the pilot's mean for every row; what is foretold there is the pilot's, scaled up.
    """
    coef, ratio = model.likelihood.null_coefficients(pilot.rows, model), pilot.ratio
    there = moments(pilot.rows, model, coef)
    ahead = replace(
        there,
        n=sums.n,
        weight=ratio * there.weight,
        loglik=ratio * there.loglik,
        score=ratio * there.score,
        information=ratio * there.information,
        pearson=None if there.pearson is None else ratio * there.pearson,
    )
    factor = factorize(ahead.information, intercept=model.has_intercept)
    return Step(pilot.coef, sums, factor, coef, ahead, np.inf, retreated=True)
