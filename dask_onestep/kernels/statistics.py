"""Goodness of fit of a block: likelihood with its dispersion, deviances, Pearson's χ²."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.families import Family
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows import Rows, additive
from dask_onestep.kernels.slices import slices

__all__ = ["DevianceSums", "FitSums", "NullDeviance", "deviance_sums", "fit_sums"]


@dataclass(frozen=True, slots=True)
class NullDeviance:
    """Deviance of rows about their own mean, which two blocks join exactly.

    In an exponential family Σ wᵢ d(yᵢ, m) = Σ wᵢ d(yᵢ, ȳ) + W d(ȳ, m), ȳ the weighted mean, so no second
    reading and no difference of large numbers is needed once the whole's mean is known.

    Attributes
    ----------
    family : Family
        The law of y.
    weight : float
        W = Σ wᵢ.
    mean : float
        ȳ.
    deviance : float
        Σ wᵢ d(yᵢ, ȳ) at φ = 1.
    """

    family: Family
    weight: float
    mean: float
    deviance: float

    @classmethod
    def of(cls, family: Family, y: np.ndarray, weights: np.ndarray) -> NullDeviance:
        """Return the record of some rows.

        Parameters
        ----------
        family : Family
            The law of y.
        y, weights : ndarray of shape (m,)
            Responses and weights.

        Returns
        -------
        NullDeviance
            Their record.
        """
        weight = float(weights.sum())
        if not weight > 0:
            return cls(family, 0.0, 0.0, 0.0)
        mean = float(np.dot(weights, y)) / weight
        # Rows that all are 0 equal their mean, of which a family may have no deviance.
        apart = y != mean
        deviance = family.deviance(y[apart], np.full(int(apart.sum()), mean))
        return cls(family, weight, mean, float(np.dot(weights[apart], deviance)))

    def __add__(self, other: NullDeviance) -> NullDeviance:
        weight = self.weight + other.weight
        if not self.weight or not other.weight:
            return self if self.weight else other
        mean = self.mean + (other.mean - self.mean) * (other.weight / weight)
        total = self.deviance + other.deviance
        for part in (self, other):
            if part.mean != mean:
                total += part.weight * float(self.family.deviance(np.float64(part.mean), np.float64(mean)))
        return NullDeviance(self.family, weight, mean, total)


@dataclass(frozen=True, slots=True)
class DevianceSums(Sums):
    """What D² = 1 − D(β̂)/D(null) is made of.

    Attributes
    ----------
    deviance : float
        D(β̂) at φ = 1.
    null : NullDeviance
        The deviance about the mean of y.
    """

    deviance: float
    null: NullDeviance

    def explained(self) -> float:
        """Return D², the share of the null model's deviance that the fit explains."""
        return 1.0 - self.deviance / self.null.deviance if self.null.deviance > 0 else float("nan")


def deviance_sums(rows: Rows, model: Model, coef: np.ndarray) -> DevianceSums:
    """Return the sums behind D² of a block.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β̂, without NaN.

    Returns
    -------
    DevianceSums
        Sums over the block's rows.
    """
    deviance = 0.0
    for part in slices(rows, model):
        mean = model.link.inverse(part.linear_predictor(coef))
        deviance += float(np.dot(_ones(part), model.family.deviance(part.y, mean)))
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    return DevianceSums(deviance, NullDeviance.of(model.family, rows.y, weights))


@dataclass(frozen=True, slots=True)
class FitSums(Sums):
    """Sums over rows that statistics of fit are made of.

    Attributes
    ----------
    n : int
        Usable rows.
    weight : float
        Σ wᵢ.
    loglik : float
        Σ log p(yᵢ; μᵢ, φ), weights in the density: φ/wᵢ, or wᵢ trials of a binomial.
    deviance, pearson : float
        D(β̂) and χ²(β̂) at φ = 1.
    null : NullDeviance
        The deviance about the mean of y.
    offset_null : float or None
        Deviance of the null model with the offset, where its intercept was handed in.
    """

    n: int
    weight: float
    loglik: float
    deviance: float
    pearson: float
    null: NullDeviance
    offset_null: float | None


@additive
def fit_sums(
    rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None = None
) -> FitSums:
    """Return the sums behind log-likelihood, deviances and Pearson's χ² of a block.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β̂, without NaN.
    dispersion : float
        φ, for the log-likelihood.
    null_intercept : float or None
        Intercept of the null model with the same offset; None where there is no offset.

    Returns
    -------
    FitSums
        Sums over the block's rows.
    """
    family, link = model.family, model.link
    loglik = deviance = pearson = 0.0
    offset_null = None if null_intercept is None else 0.0
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            mean = link.inverse(part.linear_predictor(coef))
            weights = _ones(part)
            if model.weight_type == "frequency":
                likelihood = family.weighted_log_likelihood(part.y, mean, np.ones_like(weights), dispersion)
                loglik += float(np.dot(weights, likelihood))
            else:
                loglik += float(family.weighted_log_likelihood(part.y, mean, weights, dispersion).sum())
            deviance += float(np.dot(weights, family.deviance(part.y, mean)))
            pearson += float(np.dot(weights, np.square(part.y - mean) / family.variance(mean)))
            if offset_null is not None:
                level = np.full(len(part.y), null_intercept)
                null_mean = link.inverse(level if part.offset is None else level + part.offset)
                offset_null += float(np.dot(weights, family.deviance(part.y, null_mean)))
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    null = NullDeviance.of(family, rows.y, weights)
    return FitSums(len(rows), float(weights.sum()), loglik, deviance, pearson, null, offset_null)


def _ones(part) -> np.ndarray:
    return np.ones(len(part.y)) if part.weights is None else part.weights
