"""Pilots that are poor: what tells them apart, and where a fit goes whose pilot's estimate is of no use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import linalg, stats

from dask_onestep.kernels.likelihood.sums import moments, row_log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import factorize

__all__ = ["far_off", "is_usable", "log_likelihood_floor", "misrepresented", "representation", "retreat", "unlike"]

_SLACK = 1.25  # beyond chance, by which the pilot's information may be off without remark
# The same for a pilot whose predictions are trusted: a few outlying rows that it lacks have no more information.
_NEARLY = 1.05
# How many times as far from the MLE as sampling makes it a pilot may be that is not checked against the null model.
_ABSURD = 100.0
# What an honest pilot exceeds by chance, as few as it lies so far off.
_CHANCE = 3e-4


def is_usable(model: Model, pilot: PilotFit, sums: Moments) -> bool:
    """Return whether a step can be taken from the pilot's estimate.

    It cannot where the linear predictor overflowed, where a few rows with enormous means make columns look
    aliased that the pilot's rows tell apart, or where the estimate is far worse than no covariates at all.

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
    factor = factorize(sums.information, intercept=intercept)
    kept, usual = factor.kept, max(factor.rank, 1) * sums.phi * max(pilot.ratio - 1.0, 1.0)
    # Under other links the null model may be farther in steps, since the log-likelihood is not concave.
    absurd = model.natural and factor.decrement(sums.score) > _ABSURD * usual
    if absurd:
        null = model.likelihood.null_coefficients(pilot.rows, model)
        if sums.loglik < log_likelihood_floor(model, pilot, null):
            return False
    if kept.all():
        return True
    apart = factorize(
        moments(pilot.rows, model, model.likelihood.null_coefficients(pilot.rows, model)).information,
        intercept=intercept,
    ).kept
    return bool((apart <= kept).all())


def log_likelihood_floor(model: Model, pilot: PilotFit, coef: np.ndarray) -> float:
    """Return what the log-likelihood of all rows at β is at least, as the pilot rows, scaled up, tell it.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    coef : ndarray of shape (d,)
        β.

    Returns
    -------
    float
        Four standard errors less; -inf where there is no log-likelihood.
    """
    logliks = row_log_likelihoods(pilot.rows, model, coef)
    logliks = logliks if pilot.rows.weights is None else pilot.rows.weights * logliks
    with np.errstate(all="ignore"):
        floor = float(pilot.ratio * (logliks.sum() - 4.0 * np.sqrt(pilot.n) * logliks.std()))
    return floor if np.isfinite(floor) else -np.inf


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


def unlike(model: Model, pilot: PilotFit, first: Step) -> bool:
    """Return whether the pilot is unlike the whole, so that what it foretells is not to be trusted.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    first : Step
        The step from its estimate.

    Returns
    -------
    bool
        Whether its information, or its estimate, is off by more than chance has it.
    """
    if pilot.separated or misrepresented(pilot, first, _NEARLY) is not None:
        return True
    return far_off(model, pilot, first, first.coef) is not None


def misrepresented(pilot: PilotFit, first: Step, slack: float = _SLACK) -> float | None:
    """Return by how much the pilot's information is off where that is beyond chance, else None.

    For n honest rows the eigenvalues lie within (1 ± √(d/n))², the edges of the Marchenko–Pastur law.

    Parameters
    ----------
    pilot : PilotFit
        The pilot.
    first : Step
        The step from its estimate.
    slack : float
        The factor beyond chance that passes.

    Returns
    -------
    float or None
        The eigenvalue that is off.
    """
    if not pilot.ratio > 1:
        return None
    edge = np.sqrt(first.factor.rank / (pilot.n * pilot.inclusion.effective_share))
    least, greatest = representation(pilot, first)
    if greatest > slack * (1 + edge) ** 2:
        return greatest
    return least if least < max(1 - edge, 0) ** 2 / slack else None


def far_off(model: Model, pilot: PilotFit, first: Step, coef: np.ndarray) -> float | None:
    """Return how many times as far from an estimate as sampling makes it the pilot's is, if beyond chance, else None.

    Sampling makes (β̂ − β̂_p)'I(β̂ − β̂_p) tr(I⁻¹V) on average, V = Σ (1 − πᵢ)/πᵢ² sᵢsᵢ', whatever the dispersion.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    first : Step
        The step from its estimate.
    coef : ndarray of shape (d,)
        β̂.

    Returns
    -------
    float or None
        The square root of the ratio of both.
    """
    if first.retreated or not pilot.ratio > 1:
        return None
    moved = coef - pilot.coef
    squared, d = float(moved @ first.sums.information @ moved), first.factor.rank
    usual = first.unit * (pilot.ratio - 1.0)
    if usual > 0 and stats.chi2.sf(squared / usual * d, d) >= _CHANCE:
        return None  # the variance of its own scores is not needed to tell
    variance = pilot.variance(model)
    relative = first.factor.solve(variance)
    mean, square = float(np.trace(relative)), float(np.trace(relative @ relative))
    if not (mean > 0 and square > 0):
        return None
    ratio, df = squared / mean, mean**2 / square
    return float(np.sqrt(ratio)) if stats.chi2.sf(ratio * df, df) < _CHANCE else None


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
    return Step(pilot.coef, sums, factor, coef, ahead, np.inf, np.inf, retreated=True)
