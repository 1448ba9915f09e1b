"""What lassos over blocks have to say besides their numbers."""

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

# Below this the intervals are called dishonest; they are meant to cover .95.
_HONEST = 0.90
# Rounding beyond this share of the spread of y is said.
_FEW_DIGITS = 1e-3
# An intercept that moved by this share of it has been moved by a rough row of the inverse.
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
            f"The blocks are small for so few corrections: 95% intervals may cover {floor(100 * coverage)}% of the "
            f"clearly nonzero coefficients, or fewer (smallest block {local.smallest} rows, "
            f"{len(estimate.coef)} coefficients). Use larger blocks, or "
            f"DebiasedLasso(nodewise='pooled', nodewise_alpha='auto', steps={method.steps + 1})."
        )
        advice.append((CoverageWarning, text))
    if (off := moved_intercept(estimate, local.coef / local.share)) > _ROUGH * _spread(model, local):
        far = ", ".join(model.names[j] for j in np.flatnonzero(local.shift)[:5])
        text = (
            f"Columns far from 0 make the correction of the intercept rough: predictions moved by {off:.2g} in the "
            f"midst of the data. Centre {far}."
        )
        advice.append((RoughInverseWarning, text))
    if estimate.shortened:
        text = (
            f"{estimate.shortened} of {estimate.rounds} corrections would have lowered the log-likelihood and were "
            "shortened: the inverse covariance is too rough for steps > 1. Use a smaller nodewise_alpha."
        )
        advice.append((RoughInverseWarning, text))
    if estimate.overflowed:
        text = (
            f"After round {estimate.rounds} some rows have a mean beyond all bounds, so no further round was made: the "
            "inverse covariance is too rough for steps > 1. Use a smaller nodewise_alpha."
        )
        advice.append((RoughInverseWarning, text))
    if len(rough := np.flatnonzero(gaps > 10 * method.tol)):
        named = ", ".join(model.names[j] for j in rough[:5]) + (", …" if len(rough) > 5 else "")
        gap = gaps.max()
        text = (
            f"{len(rough)} nodewise lassos stopped before their tolerance, at a duality gap of up to {gap:.2g} of the "
            f"column's variance: {named}. Raise max_iter or nodewise_alpha."
        )
        advice.append((NotConvergedWarning, text))
    return tuple(advice)


def few_digits(model: Model, local: LocalLassos) -> Advice:
    """Return what to say where columns are so far from 0 that their terms' rounding shows in a prediction.

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
        f"Columns are so far from 0 that predictions are off by {off.sum():.1g} for rounding alone: {named}. Take a "
        "value in their midst off before the fit."
    )
    return ((PrecisionWarning, text),)


def _spread(model: Model, local: LocalLassos) -> float:
    """Return the standard deviation of what the lassos predict, and of the noise about it."""
    moves = np.where(np.arange(len(local.coef)) < int(model.has_intercept), 0.0, local.coef / local.share)
    noise = 1.0 if local.pearson is None else max(local.pearson, 0.0) / local.weight
    return float(np.sqrt(moves @ local.information @ moves / local.weight + noise))
