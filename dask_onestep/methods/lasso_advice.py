"""Warnings of the debiased and averaged lasso."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np

from dask_onestep.exceptions import CoverageWarning, NotConvergedWarning, PrecisionWarning, RoughInverseWarning
from dask_onestep.kernels.lassos.correction import Debiased, moved_intercept
from dask_onestep.kernels.lassos.debiasing import LocalLassos
from dask_onestep.kernels.model import Model

__all__ = ["few_digits", "sparse_advice"]

Advice = tuple[tuple[type[Warning], str], ...]

# Expected coverage of nominal 95% intervals below which a warning is issued.
_HONEST = 0.90
# Rounding error relative to the spread of y above which a warning is issued.
_FEW_DIGITS = 1e-3
# A move of the intercept, relative to that spread, above which a warning is issued.
_ROUGH = 0.25


def sparse_advice(
    model: Model, method: Any, local: LocalLassos, estimate: Debiased, gaps: np.ndarray, coverage: float
) -> Advice:
    """Return the warnings of a debiased lasso.

    Parameters
    ----------
    model : Model
        The model.
    method : DebiasedLasso
        The options.
    local : LocalLassos
        Sums over all blocks.
    estimate : Debiased
        The estimate.
    gaps : ndarray of shape (d,)
        Of the nodewise lassos.
    coverage : float
        What 95% intervals may be expected to cover.

    Returns
    -------
    tuple of tuple of (type of Warning, str)
        Categories and texts.
    """
    advice: list[tuple[type[Warning], str]] = []
    if coverage < _HONEST:
        text = (
            "The blocks are too small for this number of debiasing steps: 95% intervals may cover only "
            f"{floor(100 * coverage)}% of the clearly nonzero coefficients, or less (smallest block {local.smallest} "
            f"rows, {len(estimate.coef)} coefficients). Use larger blocks, or DebiasedLasso(nodewise='pooled', "
            f"nodewise_alpha='auto', steps={method.steps + 1})."
        )
        advice.append((CoverageWarning, text))
    if (off := moved_intercept(estimate, local.coef / local.share)) > _ROUGH * _spread(model, local):
        far = ", ".join(model.names[j] for j in np.flatnonzero(local.shift)[:5])
        text = (
            "Uncentered columns make the intercept correction inaccurate (fitted values near the data center moved "
            f"by {off:.2g}). Center {far}."
        )
        advice.append((RoughInverseWarning, text))
    if estimate.shortened:
        text = (
            f"{estimate.shortened} of {estimate.rounds} corrections would have decreased the log-likelihood and were "
            "shortened: the approximate inverse covariance is too inaccurate for steps > 1. Use a smaller "
            "nodewise_alpha."
        )
        advice.append((RoughInverseWarning, text))
    if estimate.overflowed:
        text = (
            f"After round {estimate.rounds} fitted means overflow for some rows, so no further round was made: the "
            "approximate inverse covariance is too inaccurate for steps > 1. Use a smaller nodewise_alpha."
        )
        advice.append((RoughInverseWarning, text))
    if len(rough := np.flatnonzero(gaps > 10 * method.tol)):
        named = ", ".join(model.names[j] for j in rough[:5]) + (", …" if len(rough) > 5 else "")
        gap = gaps.max()
        text = (
            f"{len(rough)} nodewise lassos did not converge (duality gap up to {gap:.2g} of the column's variance): "
            f"{named}. Increase max_iter or nodewise_alpha."
        )
        advice.append((NotConvergedWarning, text))
    return tuple(advice)


def few_digits(model: Model, local: LocalLassos) -> Advice:
    """Return the warning about uncentered columns whose rounding errors affect predictions.

    Parameters
    ----------
    model : Model
        The model.
    local : LocalLassos
        Sums over all blocks.

    Returns
    -------
    tuple of tuple of (type of Warning, str)
        Categories and texts.
    """
    off = np.finfo(np.float64).eps * np.abs(local.shift * local.coef) / local.share
    if not off.sum() > _FEW_DIGITS * _spread(model, local):
        return ()
    named = ", ".join(f"{model.names[j]} (about {local.shift[j]:.2g})" for j in np.flatnonzero(off > off.max() / 10))
    text = (
        f"Rounding error in uncentered columns changes predictions by {off.sum():.1g}: {named}. Center these columns "
        "before fitting."
    )
    return ((PrecisionWarning, text),)


def _spread(model: Model, local: LocalLassos) -> float:
    """Return the standard deviation of what the lassos predict, and of the noise about it."""
    moves = np.where(np.arange(len(local.coef)) < int(model.has_intercept), 0.0, local.coef / local.share)
    noise = 1.0 if local.pearson is None else max(local.pearson, 0.0) / local.weight
    return float(np.sqrt(moves @ local.information @ moves / local.weight + noise))
