"""Records of goodness of fit: likelihood with its dispersion, deviances, Pearson's χ², null models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.families import Family
from dask_onestep.kernels.records import Sums

__all__ = ["ClassWeights", "FitSums", "NullDeviance"]


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
    null : NullDeviance or ClassWeights
        Of the model without covariates: the deviance about the mean of y, or the classes.
    offset_null : float or None
        Deviance of the null model with the offset, where its intercept was handed in.
    """

    n: int
    weight: float
    loglik: float
    deviance: float
    pearson: float
    null: NullDeviance | ClassWeights
    offset_null: float | None
