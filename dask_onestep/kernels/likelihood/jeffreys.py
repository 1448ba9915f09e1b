"""Jeffreys' penalty ½ log|I(β)|, which removes the first-order bias of the maximum-likelihood estimate (Firth 1993)."""

from dataclasses import replace
from typing import cast

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.linear_algebra import CholeskyFactor


@kernel(checked="after")
def jeffreys_moments(rows: Rows, model: Model, point: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Moments:
    """Return the moments of a block at β with the derivative of Jeffreys' penalty in the score.

    It is Σ ½ hᵢ (log ω)'(ηᵢ) xᵢ, ω the expected information of a row in its linear predictor, so that the leverage is
    hᵢ = wᵢ ω(ηᵢ) xᵢ'I⁻¹xᵢ; under the logit link that is Σ hᵢ(½ − μᵢ)xᵢ.  The point is β, I⁻¹ at an earlier point, and
    that point, whose leverages are used: they change little from step to step, where those of a new ω and an old I⁻¹
    make steps oscillate if few rows have most of a leverage.
    """
    sums = moments(rows, model, point[0])
    return replace(sums, score=sums.score + penalty_score(rows, model, *point))


def penalty_score(rows: Rows, model: Model, coef: np.ndarray, inverse: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the sum over rows of the derivative of the penalty at β, with leverages at another point, given I⁻¹."""
    likelihood, total = cast(OnePredictor, model.likelihood), np.zeros(len(coef))
    with np.errstate(all="ignore"):  # non-finite values show in the sums
        for part in slices(rows, model):
            eta = part.linear_predictor(coef)
            here, slope = likelihood.working(part.y, eta)[2], likelihood.information_derivative(part.y, eta)
            there = here if at is coef else likelihood.working(part.y, part.linear_predictor(at))[2]
            relative = np.divide(slope, here, out=np.zeros_like(here), where=here > 0)
            values = 0.5 * part.quadratic_forms(inverse) * there * relative
            total += part.weighted_sum(part.weighted(values))
    return total


def half_log_determinant(factor: CholeskyFactor) -> float:
    """Return ½ log|I| of the columns that are not aliased."""
    with np.errstate(divide="ignore"):
        return float(np.log(np.diag(factor.lower)).sum() + np.log(factor.scale[factor.kept]).sum())
