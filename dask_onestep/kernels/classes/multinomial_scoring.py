"""Rows seen by a fitted multinomial logit: probabilities with standard errors and intervals, residuals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logsumexp, softmax

from dask_onestep.kernels.algebra import Slice
from dask_onestep.kernels.classes.multinomial import is_class, linear_predictors
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.slices import slices

__all__ = ["class_predictors", "class_residuals", "probability_ends", "probability_errors"]


def class_predictors(rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return the linear predictor of every class.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β̂, without NaN.

    Returns
    -------
    ndarray of shape (m, C)
        Log odds against the first class, whose own are 0.
    """
    eta = np.zeros((len(rows), len(model.outcomes) + 1))
    for part in slices(rows, model):
        eta[part.rows, 1:] = linear_predictors(part, model, coef)
    return eta


def probability_errors(rows: Rows, model: Model, coef: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the standard error of every class's probability, by the delta method.

    ∂p_c/∂η_a = p_c(1[c = a] − p_a), and Cov(η_a, η_b) = x'V_ab x, V_ab the covariance of β̂_a and β̂_b.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β̂, without NaN.
    covariance : ndarray of shape ((C − 1)·d, (C − 1)·d)
        Its covariance, without NaN.

    Returns
    -------
    ndarray of shape (m, C)
        Standard errors.
    """
    p = softmax(class_predictors(rows, model, coef), axis=1)
    variance = np.zeros_like(p)
    for part in slices(rows, model):
        here = p[part.rows]
        for a, b, joint in _joint_variances(part, model, covariance):
            variance[part.rows] += joint[:, None] * _slope(here, a) * _slope(here, b)
    return np.sqrt(np.maximum(variance, 0.0))


def probability_ends(
    rows: Rows, model: Model, coef: np.ndarray, covariance: np.ndarray, label: int, quantile: float
) -> np.ndarray:
    """Return an interval of one class's probability, by the normal law of its log odds against the rest.

    The log odds are η_c − log Σ_{k≠c} exp η_k; their derivative in η_a is 1 for a = c, and else −p_a/(1 − p_c).

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β̂, without NaN.
    covariance : ndarray of shape ((C − 1)·d, (C − 1)·d)
        Its covariance, without NaN.
    label : int
        Code of the class.
    quantile : float
        Of the normal law.

    Returns
    -------
    ndarray of shape (m, 2)
        Lower and upper ends.
    """
    eta = class_predictors(rows, model, coef)
    rest = np.delete(eta, label, axis=1)
    odds = eta[:, label] - logsumexp(rest, axis=1)
    slope = np.insert(-softmax(rest, axis=1), label, 1.0, axis=1)
    variance = np.zeros(len(rows))
    for part in slices(rows, model):
        for a, b, joint in _joint_variances(part, model, covariance):
            variance[part.rows] += joint * slope[part.rows, a] * slope[part.rows, b]
    half = quantile * np.sqrt(np.maximum(variance, 0.0))
    return expit(np.stack([odds - half, odds + half], axis=1))


def _slope(p: np.ndarray, a: int) -> np.ndarray:
    """Return ∂p_c/∂η_a for every class c."""
    slope = -p * p[:, a : a + 1]
    slope[:, a] += p[:, a]
    return slope


def _joint_variances(part: Slice, model: Model, covariance: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield Cov(η_a, η_b) of each row, for each pair of classes a ≥ b ≥ 1; twice it where they differ."""
    others, d = len(model.outcomes), model.width
    blocks = covariance.reshape(others, d, others, d)
    for a in range(others):
        for b in range(a + 1):
            joint = part.quadratic_forms(blocks[a, :, b])
            yield a + 1, b + 1, joint if a == b else 2.0 * joint


def class_residuals(rows: Rows, model: Model, coef: np.ndarray, kind: str) -> np.ndarray:
    """Return the residuals of a block for weight 1.

    Parameters
    ----------
    rows : Rows
        The block, y as codes.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β̂, without NaN.
    kind : {"response", "pearson", "deviance"}
        1[y = c] − p_c; that over √p_c, whose squares add up to Pearson's χ²; or √(−2 log p_y), whose squares add up
        to the deviance.

    Returns
    -------
    ndarray of shape (m, C), or (m,) for "deviance"
        Residuals.
    """
    eta = class_predictors(rows, model, coef)
    log_p = eta - logsumexp(eta, axis=1, keepdims=True)
    if kind == "deviance":
        chosen = log_p[np.arange(len(rows)), rows.y.astype(np.intp)]
        return np.sqrt(np.maximum(-2.0 * chosen, 0.0))
    hit = is_class(rows.y, model)
    residual = np.column_stack([rows.y == 0, hit]) - np.exp(log_p)
    return residual if kind == "response" else residual * np.exp(-0.5 * log_p)
