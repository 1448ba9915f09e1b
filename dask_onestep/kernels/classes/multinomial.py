"""The multinomial logit: log(p_c/p_0) = x'β_c for each class c but the first, all β_c in one vector.

y holds codes 0 … C − 1.  β is (β_1', …, β_{C−1}')', of length (C − 1)·d; the score of a row is
(1[y = c] − p_c)_c ⊗ x and its information (diag(p) − pp') ⊗ xx', observed and expected alike.
A hypothesis may hold some of them at a value; sums are then of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dask_onestep.kernels.algebra import Slice
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.slices import slices
from dask_onestep.kernels.split_matrix import stack

__all__ = [
    "is_class",
    "linear_predictors",
    "log_likelihoods",
    "moments",
    "probabilities",
    "row_log_likelihood",
    "row_remainders",
    "row_residuals",
    "with_prior",
]


def linear_predictors(part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return x'β_c of each class but the first.

    Parameters
    ----------
    part : Slice
        Some rows.
    model : Model
        The model, with C − 1 outcomes.
    coef : ndarray of shape ((C − 1)·d,), or fewer
        β, without what the model holds at a value.

    Returns
    -------
    ndarray of shape (m, C − 1)
        Log odds against the first class.
    """
    return part.times(_by_class(model, coef, dict(model.fixed)).T)


def _by_class(model: Model, coef: np.ndarray, held: Mapping[str, float]) -> np.ndarray:
    """Return all coefficients, a row for each class but the first; those fixed have the values handed in, or 0."""
    if model.fixed:
        whole = np.array([held.get(name, 0.0) for name in model.all_names])
        whole[model.free] = coef
        coef = whole
    return coef.reshape(len(model.outcomes), model.width)


def probabilities(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of all classes but the first, and log Σ exp.

    Parameters
    ----------
    eta : ndarray of shape (m, C − 1)
        Log odds against the first class.

    Returns
    -------
    probability : ndarray of shape (m, C − 1)
        p_1 … p_{C−1}.
    normaliser : ndarray of shape (m,)
        −log p_0.
    """
    top = np.maximum(eta.max(axis=1), 0.0)
    raised = np.exp(eta - top[:, None])
    total = raised.sum(axis=1) + np.exp(-top)
    return raised / total[:, None], top + np.log(total)


def is_class(y: np.ndarray, model: Model) -> np.ndarray:
    """Return of each row whether it is of each class but the first.

    Parameters
    ----------
    y : ndarray of shape (m,)
        Codes.
    model : Model
        The model.

    Returns
    -------
    ndarray of shape (m, C − 1)
        0.0 or 1.0.
    """
    return (y[:, None] == np.arange(1, len(model.outcomes) + 1)).astype(np.float64)


def row_log_likelihood(part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return log p_y of each row.

    Parameters
    ----------
    part : Slice
        Some rows.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β.

    Returns
    -------
    ndarray of shape (m,)
        Log-likelihoods.
    """
    eta = linear_predictors(part, model, coef)
    return (is_class(part.y, model) * eta).sum(axis=1) - probabilities(eta)[1]


def row_residuals(part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return 1[y = c] − p_c of each row: the score of a row of weight 1 is this ⊗ x.

    Parameters
    ----------
    part : Slice
        Some rows.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β.

    Returns
    -------
    ndarray of shape (m, C − 1)
        Residuals.
    """
    probability, _ = probabilities(linear_predictors(part, model, coef))
    return is_class(part.y, model) - probability


def row_remainders(part: Slice, model: Model, coef: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return what of each row's residuals at β + δ is not linear in δ, for weight 1.

    Parameters
    ----------
    part : Slice
        Some rows.
    model : Model
        The model.
    coef, step : ndarray of shape ((C − 1)·d,)
        β and δ.

    Returns
    -------
    ndarray of shape (m, C − 1)
        Remainders: ⊗ x they are sᵢ(β + δ) − sᵢ(β) + Iᵢ(β)δ.
    """
    eta, ahead = linear_predictors(part, model, coef), part.times(_by_class(model, step, {}).T)
    before, _ = probabilities(eta)
    after, _ = probabilities(eta + ahead)
    linear = before * (ahead - (before * ahead).sum(axis=1, keepdims=True))
    return before - after + linear


def log_likelihoods(rows: Rows, model: Model, coefs: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of a block at several β.

    Parameters
    ----------
    rows : Rows
        The block, y as codes.
    model : Model
        The model.
    coefs : ndarray of shape (m, (C − 1)·d)
        Candidates, one a row.

    Returns
    -------
    ndarray of shape (m,)
        One for each.
    """
    total = np.zeros(len(coefs))
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            weights = np.ones(len(part.y)) if part.weights is None else part.weights
            total += [np.dot(weights, row_log_likelihood(part, model, coef)) for coef in coefs]
    return total


def moments(rows: Rows, model: Model, coef: np.ndarray) -> Moments:
    """Return log-likelihood, score and information of a block at β.

    Parameters
    ----------
    rows : Rows
        The block, y as codes.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β.

    Returns
    -------
    Moments
        Sums over the block's rows.
    """
    d, others = model.width, len(model.outcomes)
    size = others * d
    score, information, loglik = np.zeros((d, others)), np.zeros((size, size)), 0.0
    with np.errstate(all="ignore"):  # what is not finite shows in the sums
        for part in slices(rows, model):
            weights = np.ones(len(part.y)) if part.weights is None else part.weights
            eta = linear_predictors(part, model, coef)
            probability, normaliser = probabilities(eta)
            hit = is_class(part.y, model)
            loglik += float(np.dot(weights, (hit * eta).sum(axis=1) - normaliser))
            score += part.weighted_sum(weights[:, None] * (hit - probability))
            curvature = probability[:, :, None] * (np.eye(others) - probability[:, None, :])
            information += part.gram(weights[:, None, None] * curvature)
    total = float(len(rows)) if rows.weights is None else float(rows.weights.sum())
    free = model.free
    return Moments(len(rows), total, loglik, score.T.ravel()[free], information[np.ix_(free, free)])


def with_prior(rows: Rows, model: Model, share: np.ndarray) -> Rows:
    """Return rows with the weak prior of Clogg et al.: each also has every class, by its frequency.

    Parameters
    ----------
    rows : Rows
        The rows.
    model : Model
        The model.
    share : ndarray of shape (m,)
        Pseudo-observations for each row.

    Returns
    -------
    Rows
        The rows, and once more for each class with the weight of its frequency times `share`.
    """
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    codes = np.arange(len(model.outcomes) + 1, dtype=np.float64)
    counts = np.array([weights[rows.y == code].sum() + 0.5 for code in codes])
    copies = len(codes) + 1
    return replace(
        rows,
        x=stack([rows.x] * copies),
        y=np.concatenate([rows.y, np.repeat(codes, len(rows))]),
        weights=np.concatenate([weights, *(share * part * weights for part in counts / counts.sum())]),
        kept=None,
    )
