"""Goodness of fit of a multinomial logit: likelihood, deviances, Pearson's χ²."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.classes.multinomial import row_log_likelihood
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows import Rows, additive
from dask_onestep.kernels.slices import slices

__all__ = ["ClassWeights", "MultinomialSums", "multinomial_sums"]


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


@additive
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
