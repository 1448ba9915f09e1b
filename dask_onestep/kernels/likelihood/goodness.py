"""Goodness of fit: log-likelihood with its dispersion, deviances, Pearson's χ² and null models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dask_onestep.families import Family
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


class Overdispersion(NamedTuple):
    """Pearson's χ² per residual degree of freedom of a sample, near 1 if the variance is that of the family.

    Attributes
    ----------
    ratio, std_err : float
        χ²/df, and its standard error by the variance of the rows' terms.
    n : int
        Rows of the sample.
    """

    ratio: float
    std_err: float
    n: int

    @classmethod
    def of(
        cls,
        rows: Rows,
        model: Model,
        coef: np.ndarray,
        rank: float,
        shares: Any,
        terms: np.ndarray | None = None,
    ) -> Overdispersion | None:
        """Return the ratio at β; None for families with a dispersion, and for classes, which have none.

        The weights of the rows contain `shares`, inverse inclusion probabilities with mean 1. `rank` is that of the
        fit, times the fraction of its rows that these are. The rows' `terms` of χ² may be known.
        """
        likelihood = model.likelihood
        one = likelihood.n_predictors == 1 and not likelihood.stages
        if model.family.has_dispersion or model.classify or not one:
            return None
        with np.errstate(all="ignore"):
            if terms is None:
                terms = np.empty(len(rows))
                for part in slices(rows, model):
                    mean = model.link.inverse(part.linear_predictor(coef))
                    terms[part.rows] = part.weighted(np.square(part.y - mean) / model.family.variance(mean))
            counts = np.broadcast_to(shares, len(rows)) if model.weight_type == "variance" else rows.weights
            counts = np.ones(len(rows)) if counts is None else counts
            df = counts.sum() - rank
            ratio = terms.sum() / df
            std_err = np.sqrt(np.square(terms - ratio * counts).sum()) / df
        known = df > 0 and np.isfinite([ratio, std_err]).all()
        return cls(float(ratio), float(std_err), len(rows)) if known else None


@dataclass(frozen=True, slots=True)
class NullDeviance:
    """Deviance of rows from their own mean; the records of two blocks add up exactly.

    In an exponential family Σ wᵢ d(yᵢ, m) = Σ wᵢ d(yᵢ, ȳ) + W d(ȳ, m), ȳ the weighted mean. So neither a second pass
    for the full data's mean nor a difference of large numbers is needed.

    Attributes
    ----------
    family : Family
        The distribution of y.
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
        """Return the record of some rows."""
        weight = float(weights.sum())
        if not weight > 0:
            return cls(family, 0.0, 0.0, 0.0)
        mean = float(np.dot(weights, y)) / weight
        # If all rows are 0, so is their mean, for which a family may have no deviance.
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


@dataclass(frozen=True, slots=True, eq=False)
class ClassWeights(Sums):
    """Weight of each class, which gives the deviance of the model with intercepts only.

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


@dataclass(frozen=True, slots=True, eq=False)
class FitSums(Sums):
    """Sums over rows for goodness-of-fit statistics.

    Attributes
    ----------
    n : int
        Usable rows.
    weight : float
        Σ wᵢ.
    loglik : float
        Σ log p(yᵢ; μᵢ, φ), with the weights in the density: dispersion φ/wᵢ, or wᵢ binomial trials.
    deviance, pearson : float
        D(β̂) and χ²(β̂) at φ = 1.
    null : NullDeviance or ClassWeights
        The model without covariates: the deviance from the mean of y, or the class weights.
    offset_null : float or None
        Deviance of the null model with the offset, if its intercept was given.
    """

    n: int
    weight: float
    loglik: float
    deviance: float
    pearson: float
    null: NullDeviance | ClassWeights
    offset_null: float | None


@dataclass(frozen=True, slots=True, eq=False)
class DevianceSums(Sums):
    """The sums for D² = 1 − D(β̂)/D(null).

    Attributes
    ----------
    deviance : float
        D(β̂) at φ = 1.
    null : NullDeviance
        The deviance from the mean of y.
    """

    deviance: float
    null: NullDeviance

    def explained(self) -> float:
        """Return D², the fraction of the null model's deviance that the fit explains."""
        return 1.0 - self.deviance / self.null.deviance if self.null.deviance > 0 else float("nan")


@kernel
def deviance_sums(rows: Rows, model: Model, coef: np.ndarray) -> DevianceSums:
    """Return the sums for D² of a block at β̂, which must not contain NaN."""
    deviance = 0.0
    for part in slices(rows, model):
        mean = model.link.inverse(part.linear_predictor(coef))
        deviance += float(np.dot(part.row_weights, model.family.deviance(part.y, mean)))
    return DevianceSums(deviance, NullDeviance.of(model.family, rows.y, rows.row_weights))


@kernel
def fit_sums(
    rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None = None
) -> Sums:
    """Return the sums for log-likelihood, deviances and Pearson's χ² of a block."""
    return model.likelihood.fit_sums(rows, model, coef, dispersion, null_intercept)
