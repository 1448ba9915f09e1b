"""The multinomial logit: log(p_c/p_0) = x'β_c for each class c but the first, all β_c in one vector.

y holds codes 0 … C − 1.  β is (β_1', …, β_{C−1}')', of length (C − 1)·d; the score of a row is
(1[y = c] − p_c)_c ⊗ x and its information (diag(p) − pp') ⊗ xx', observed and expected alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.records import Moments, Sums
from dask_onestep.kernels.rows import Model, Rows
from dask_onestep.kernels.slices import Slice, slices
from dask_onestep.kernels.split_matrix import stack

__all__ = [
    "ClassWeights",
    "MultinomialSums",
    "linear_predictors",
    "moments",
    "multinomial_sums",
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
    coef : ndarray of shape ((C − 1)·d,)
        β.

    Returns
    -------
    ndarray of shape (m, C − 1)
        Log odds against the first class.
    """
    return part.times(coef.reshape(len(model.outcomes), model.width).T)


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


def _is_class(y: np.ndarray, model: Model) -> np.ndarray:
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
    return (_is_class(part.y, model) * eta).sum(axis=1) - probabilities(eta)[1]


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
    return _is_class(part.y, model) - probability


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
    eta, ahead = (linear_predictors(part, model, vector) for vector in (coef, step))
    before, _ = probabilities(eta)
    after, _ = probabilities(eta + ahead)
    linear = before * (ahead - (before * ahead).sum(axis=1, keepdims=True))
    return before - after + linear


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
            hit = _is_class(part.y, model)
            loglik += float(np.dot(weights, (hit * eta).sum(axis=1) - normaliser))
            score += part.weighted_sum(weights[:, None] * (hit - probability))
            curvature = probability[:, :, None] * (np.eye(others) - probability[:, None, :])
            information += part.gram(weights[:, None, None] * curvature)
    total = float(len(rows)) if rows.weights is None else float(rows.weights.sum())
    return Moments(len(rows), total, loglik, score.T.ravel(), information)


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


@dataclass(frozen=True, slots=True)
class ClassWeights(Sums):
    """Weight of each class; its deviance is that of the model with intercepts alone.

    Attributes
    ----------
    weights : ndarray of shape (C,)
        Σ wᵢ over the rows of each class.
    """

    weights: np.ndarray

    @property
    def deviance(self) -> float:
        """−2 Σ W_c log(W_c/W)."""
        present = self.weights[self.weights > 0]
        return float(-2.0 * np.dot(present, np.log(present / present.sum())))


@dataclass(frozen=True, slots=True)
class MultinomialSums(Sums):
    """Sums that statistics of fit are made of, as `FitSums` has them for one response.

    Attributes
    ----------
    n : int
        Usable rows.
    weight, loglik, deviance, pearson : float
        Σ wᵢ, ℓ(β̂), −2ℓ(β̂), and Σ wᵢ Σ_c (1[yᵢ = c] − p_c)²/p_c.
    null : ClassWeights
        The null model's.
    """

    n: int
    weight: float
    loglik: float
    deviance: float
    pearson: float
    null: ClassWeights

    @property
    def offset_null(self) -> None:
        """There is no offset."""
        return


def multinomial_sums(rows: Rows, model: Model, coef: np.ndarray) -> MultinomialSums:
    """Return the sums behind the statistics of fit of a block.

    Parameters
    ----------
    rows : Rows
        The block, y as codes.
    model : Model
        The model.
    coef : ndarray of shape ((C − 1)·d,)
        β̂, without NaN.

    Returns
    -------
    MultinomialSums
        Sums over the block's rows.
    """
    loglik = pearson = 0.0
    for part in slices(rows, model):
        weights = np.ones(len(part.y)) if part.weights is None else part.weights
        hit = row_log_likelihood(part, model, coef)
        loglik += float(np.dot(weights, hit))
        # Σ_c (1[y = c] − p_c)²/p_c = 1/p_y − 1.
        pearson += float(np.dot(weights, np.expm1(-hit)))
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    counts = np.bincount(rows.y.astype(np.intp), weights, minlength=len(model.outcomes) + 1)
    return MultinomialSums(len(rows), float(weights.sum()), loglik, -2.0 * loglik, pearson, ClassWeights(counts))
