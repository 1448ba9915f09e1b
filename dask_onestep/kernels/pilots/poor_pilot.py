"""Unrepresentative pilots: how they are detected, and the step to the null model where the estimate is unusable."""

from dataclasses import replace

import numpy as np
from scipy import special

from dask_onestep.kernels.likelihood.sums import moments, row_log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Move
from dask_onestep.kernels.solve.linear_algebra import extreme_ratios, factorize, squared_traces

_SLACK = 1.25  # tolerated ratio of the pilot's information to the full data's, beyond chance
# The tolerance where predictions from the pilot are used: outlying rows that it lacks then hold little information.
_NEARLY = 1.1
# Ratio of the decrement to its usual size above which the pilot is compared with the null model.
_ABSURD = 100.0
# Significance level: the fraction of representative pilots that are flagged.
_CHANCE = 3e-4


def is_usable(model: Model, pilot: PilotFit, sums: Moments, begun: Move) -> bool:
    """Return whether the step that begins an ascent at the pilot's estimate, where sums are finite, can be taken.

    It cannot if a few rows with huge means make columns look aliased that are not aliased in the pilot, or if the
    estimate is far worse than the null model.
    """
    assert begun.factor is not None
    kept, usual = begun.factor.kept, max(begun.factor.rank, 1) * sums.phi * max(pilot.ratio - 1.0, 1.0)
    # Under other links the null model may need more steps, since the log-likelihood is not concave.
    if model.natural and begun.decrement > _ABSURD * usual:
        null = null_model(model, pilot)
        if sums.loglik < log_likelihood_floor(model, pilot, null):
            return False
    if kept.all():
        return True
    apart = factorize(
        moments(pilot.rows, model, null_model(model, pilot)).information,
        intercept=model.has_intercept,
    ).kept
    return bool((apart <= kept).all())


def log_likelihood_floor(model: Model, pilot: PilotFit, coef: np.ndarray) -> float:
    """Return a lower bound on the log-likelihood of all rows at β, estimated from the pilot.

    It is the pilot's log-likelihood, scaled up, minus four standard errors; -inf if that is not finite.
    """
    logliks = row_log_likelihoods(pilot.rows, model, coef)
    logliks = logliks if pilot.rows.weights is None else pilot.rows.weights * logliks
    with np.errstate(all="ignore"):
        floor = float(pilot.ratio * (logliks.sum() - 4.0 * np.sqrt(pilot.n) * logliks.std()))
    return floor if np.isfinite(floor) else -np.inf


def representation(pilot: PilotFit, first: Step) -> tuple[float, float]:
    """Return how the full information at the pilot's estimate compares with N/n times the pilot's.

    If means grow without bound, or levels are rare, a few rows hold much of the information. A pilot that misses
    them, or has too many of them, gives wrong predictions, including the decrement.

    Returns
    -------
    least, greatest : float
        Extreme eigenvalues of the full information relative to the scaled pilot information; both near 1 for a
        representative pilot, NaN if columns are aliased in the pilot.
    """
    factor = pilot.factor
    if first.retreated or not factor.rank or not factor.kept.all():
        return float("nan"), float("nan")
    if first.sums is pilot.moments:  # the pilot is all rows
        return 1.0, 1.0
    return extreme_ratios(first.sums.information / pilot.ratio, pilot.moments.information, factor)


def unlike(model: Model, pilot: PilotFit, first: Step) -> bool:
    """Return whether the pilot is not representative, so that its predictions are unreliable."""
    if pilot.separated or misrepresented(pilot, first, _NEARLY) is not None:
        return True
    null = null_model(model, pilot)
    if first.ahead.loglik < log_likelihood_floor(model, pilot, null):  # a huge dispersion makes all distances small
        return True
    return far_off(model, pilot, first, first.coef) is not None


def misrepresented(pilot: PilotFit, first: Step, slack: float = _SLACK) -> float | None:
    """Return the most deviating relative eigenvalue of the information if it exceeds chance, else None.

    For n representative rows the eigenvalues are within (1 ± √(d/n))², the edges of the Marchenko–Pastur distribution,
    which are widened by the factor `slack`.
    """
    if not pilot.ratio > 1:
        return None
    edge = np.sqrt(first.factor.rank / (pilot.n * pilot.inclusion.effective_share))
    least, greatest = first.representation
    if greatest > slack * (1 + edge) ** 2:
        return greatest
    return least if least < max(1 - edge, 0) ** 2 / slack else None


def far_off(model: Model, pilot: PilotFit, first: Step, coef: np.ndarray) -> float | None:
    """Return the distance of the pilot's estimate from `coef` relative to sampling error if beyond chance, else None.

    (β̂ − β̂_p)'I(β̂ − β̂_p) has the expectation tr(I⁻¹V), V = Σ (1 − πᵢ)/πᵢ² sᵢsᵢ', whatever the dispersion. The
    square root of the ratio of both is returned.
    """
    if first.retreated or not pilot.ratio > 1:
        return None
    moved = coef - pilot.coef
    squared, d = float(moved @ first.sums.information @ moved), first.factor.rank
    usual = first.unit * (pilot.ratio - 1.0)
    if usual > 0 and special.chdtrc(d, squared / usual * d) >= _CHANCE:
        return None  # clear without the variance of the pilot's scores
    variance = pilot.variance(model)
    mean, square = squared_traces(first.factor, variance)
    if not (mean > 0 and square > 0):
        return None
    ratio, df = squared / mean, mean**2 / square
    return float(np.sqrt(ratio)) if special.chdtrc(df, ratio * df) < _CHANCE else None


def null_model(model: Model, pilot: PilotFit) -> np.ndarray:
    """Return coefficients with which every mean is that of the pilot rows."""
    return model.likelihood.null_coefficients(pilot.rows, model)


def retreat(model: Model, pilot: PilotFit, sums: Moments) -> Step:
    """Return a step to the null model with the pilot's mean, for a pilot whose own estimate is unusable.

    Its predicted sums are the pilot's, scaled up.
    """
    coef, ratio = null_model(model, pilot), pilot.ratio
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
    return Step(pilot.coef, sums, factor, coef, ahead, factor, np.inf, np.inf, retreated=True)
