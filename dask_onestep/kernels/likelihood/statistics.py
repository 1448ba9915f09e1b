"""Goodness of fit of a block: log-likelihood with its dispersion, deviances, Pearson's χ²."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.goodness import NullDeviance
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


@dataclass(frozen=True, slots=True)
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
        weights = np.ones(len(part.y)) if part.weights is None else part.weights
        deviance += float(np.dot(weights, model.family.deviance(part.y, mean)))
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    return DevianceSums(deviance, NullDeviance.of(model.family, rows.y, weights))


@kernel
def fit_sums(
    rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None = None
) -> Sums:
    """Return the sums for log-likelihood, deviances and Pearson's χ² of a block."""
    return model.likelihood.fit_sums(rows, model, coef, dispersion, null_intercept)
