"""The maximum-likelihood fit of rows that are in memory."""

from __future__ import annotations

import numpy as np

from dask_onestep.kernels.ascent import Ascent, Newton, climb
from dask_onestep.kernels.likelihood import initial_moments, moments
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.slices import slices

__all__ = ["fit_rows", "safe_start"]


def fit_rows(rows: Rows, model: Model, start: np.ndarray | None = None, *, max_iter: int = 30) -> Ascent:
    """Return the maximum-likelihood fit of rows that are in memory.

    Parameters
    ----------
    rows : Rows
        The rows, labels encoded.
    model : Model
        The model.
    start : ndarray of shape (d,) or None
        Where to start; None for one weighted least-squares fit to the family's starting means.
    max_iter : int
        Maximum number of Newton steps; separated rows never converge.

    Returns
    -------
    Ascent
        The fit; not converged if the rows are separated.
    """
    intercept = model.has_intercept

    def objective(coef: np.ndarray) -> Moments:
        return moments(rows, model, coef)

    if start is None:
        first = initial_moments(rows, model)
        if np.isfinite(first.information).all() and np.isfinite(first.score).all():
            start = factorize(first.information, intercept=intercept).solve(first.score)
        elif (start := safe_start(rows, model)) is None:
            # Some y has no linear predictor, such as a negative one under the log link.
            start = np.zeros(len(model.names))
    sums = objective(start)
    if not (sums.is_finite() and np.isfinite(sums.loglik)) and (safe := safe_start(rows, model)) is not None:
        start, sums = safe, objective(safe)
    return climb(Ascent.begin(start, sums, Newton(intercept), max_iter), objective)


def safe_start(rows: Rows, model: Model) -> np.ndarray | None:
    """Return coefficients that give every row about the mean of y, a mean that the family can have.

    The first weighted least-squares fit may leave the domain of a link such as identity or inverse,
    where R's ``glm`` asks for starting values.  The domain is an interval of η, so that every point
    between this one and another inside it is inside it too.

    Parameters
    ----------
    rows : Rows
        The rows, labels encoded.
    model : Model
        The model.

    Returns
    -------
    ndarray of shape (d,) or None
        β; None if no such coefficients were found.
    """
    if model.outcomes:
        return np.zeros(len(model.names))
    if not len(rows):
        return None
    weights = np.ones(len(rows)) if rows.weights is None or not rows.weights.any() else rows.weights
    target = model.link.link(model.family.initial_mean(np.atleast_1d(np.average(rows.y, weights=weights)), np.ones(1)))
    level = _constant(rows, model)
    if level is None:
        return None
    offset = np.zeros(1) if rows.offset is None else rows.offset
    for shift in (offset.mean(), offset.max(), offset.min()):
        coef = (target - shift) * level
        with np.errstate(all="ignore"):
            means = (model.link.inverse(part.linear_predictor(coef)) for part in slices(rows, model))
            if all(model.family.valid_mean(mean).all() for mean in means):
                return coef
    return None


def _constant(rows: Rows, model: Model) -> np.ndarray | None:
    """Return coefficients that give every row about 1: the constant's, or the least-squares fit; None on overflow."""
    d = len(model.names)
    if model.has_intercept:
        return np.eye(1, d)[0]
    gram, total = np.zeros((d, d)), np.zeros(d)
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            gram += part.gram()
            total += part.weighted_sum(np.ones(len(part.y)))
    return factorize(gram, intercept=False).solve(total) if np.isfinite(gram).all() else None
