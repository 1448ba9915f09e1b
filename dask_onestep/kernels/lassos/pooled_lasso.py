"""The lasso of all rows, from sums over all of them, and corrections of it with a renewed approximate inverse.

The lasso of all rows is kept as that of a single block, which it is, and debiased as such (see `correction`). Its
approximate inverse has rows from the nodewise lasso of the information of all rows, the intercept minimized out; it is
renewed at each correction, so that corrections approach Newton's steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.correction import Debiased, debias_again
from dask_onestep.kernels.lassos.elastic_net import NetSpec, PenalizedPilot, corrected_fit, gaussian_null
from dask_onestep.kernels.lassos.fold_sums import FoldSums, Points
from dask_onestep.kernels.lassos.lasso import fit_lasso
from dask_onestep.kernels.lassos.local_lassos import LassoPlan, LocalLassos
from dask_onestep.kernels.lassos.nodewise import NodewiseRows, approximate_inverse
from dask_onestep.kernels.lassos.penalty import Penalty, noise_alpha
from dask_onestep.kernels.lassos.proximal_newton import (
    LassoFit,
    Penalized,
    ProximalNewton,
    Tolerance,
    quadratic_lasso,
    shifted,
)
from dask_onestep.kernels.lassos.quadratic import profile_out
from dask_onestep.kernels.lassos.shift import coefficients_about, rows_about, score_about
from dask_onestep.kernels.likelihood.jeffreys import jeffreys_moments
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.messages import catalogue

_MAX_RESCALINGS = 20
# Variance that rounding may leave of a constant column, relative to its square.
_ROUNDING = 512 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class PooledLasso(Record):
    """The lasso of all rows.

    Attributes
    ----------
    local : LocalLassos
        What it would be as the lasso of a single block.
    coef : ndarray of shape (d,)
        b, for columns centered about ``local.shift``.
    sums : Moments
        The sums there, extrapolated from those of the last pass.
    """

    local: LocalLassos
    coef: np.ndarray
    sums: Moments


@dataclass(frozen=True, slots=True, eq=False)
class PooledRound(Record):
    """The estimate so far.

    Attributes
    ----------
    lasso : PooledLasso
        Where it began.
    estimate : Debiased
        The estimate; without a correction it is the lasso.
    nodewise_weights, nodewise_gaps : ndarray of shape (d,)
        Of the last approximate inverse.
    before : ndarray of shape (d,)
        The estimate before the last correction, of whose information Θ̂ is an approximate inverse.
    """

    lasso: PooledLasso
    estimate: Debiased
    nodewise_weights: np.ndarray
    nodewise_gaps: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, lasso: PooledLasso) -> PooledRound:
        """Return the lasso, before any correction."""
        local = lasso.local
        d = len(lasso.coef)
        nothing, none = np.zeros(d), np.zeros((d, d))
        coef = local.coef / local.share
        estimate = Debiased(coef, none, none, local.shift, local.information / local.weight, nothing, rounds=0)
        return cls(lasso, estimate, nothing, nothing, coef)

    @property
    def point(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """β̂, m, Θ̂/Σw for centered columns, and β̂ where Θ̂ is from: what the next pass needs."""
        shift = self.estimate.shift
        inverse = coefficients_about(self.estimate.theta, shift) / self.lasso.local.weight
        return self.estimate.coef, shift, (inverse + inverse.T) / 2.0, self.before

    @property
    def sums(self) -> Moments:
        """The sums of all rows at the estimate, of a quadratic log-likelihood; for others at the lasso only."""
        coef = coefficients_about(self.estimate.coef, self.estimate.shift)
        return self.lasso.sums if self.estimate.rounds == 0 else shifted(self.lasso.sums, coef - self.lasso.coef)


def pilot_lasso(model: Model, pilot: PenalizedPilot, plan: LassoPlan) -> Points:
    """Return the lasso of the pilot rows with the penalty of all rows; it is that of all rows if these are."""
    rows, null = pilot.rows, pilot.null
    if not len(rows):  # all have missing values, which the next pass reports
        return Points(null.coef[None], pilot.shift)
    last = null.coef, moments(rows, model, null.coef)

    def solve(penalty: Penalty) -> LassoFit:
        nonlocal last
        fit = fit_lasso(rows, model, penalty, null, start=last, tol=plan.tol, max_iter=plan.max_iter)
        last = fit.coef, fit.moments
        return fit

    n = sample_size(model, pilot.survey.n, pilot.weight * pilot.survey.n / len(rows))
    fit = _with_penalty(model, plan, last[1], n, solve)
    usable = np.isfinite(fit.coef).all() and fit.moments.is_finite()
    return Points((fit.coef if usable else null.coef)[None], pilot.shift)


def lasso_of_all(model: Model, pilot: PenalizedPilot, plan: LassoPlan, sums: FoldSums) -> PooledLasso:
    """Return the lasso of all rows, from their sums at the pilot's.

    The terms of third and higher order are those of the pilot rows.
    """
    total, start = sums.total(), sums.points.coefs[0]
    if not total.is_finite():
        raise ValueError(
            "The lasso of the pilot rows has fitted means that overflow for some of the other rows. Transform or "
            "winsorize extreme covariate values."
        )
    n = sample_size(model, total.n, total.weight)
    alpha = noise_alpha(total, model, n) if isinstance(plan.alpha, str) else _of_columns(plan.alpha, model)
    penalty = Penalty.of(alpha, plan.l1_ratio)
    within = Tolerance(plan.tol, pilot.null.deviance * total.weight / pilot.weight, plan.max_iter)
    term = pilot.term(model, start)
    coef = corrected_fit(term, total, penalty, start, within)
    reached = replace(term.ahead(total, coef), pearson=total.pearson)
    left = ProximalNewton(penalty, within)(coef, Penalized.of(reached, coef, penalty), np.inf)
    kkt = penalty.violation(reached.score / reached.weight - penalty.l2 * coef, coef)
    fit = LassoFit(coef, reached, penalty, left.gap, kkt, converged=True)
    return _pooled(model, fit, sums.points.shift, sums.n_missing)


def lasso_of_gram(model: Model, plan: LassoPlan, sums: FoldSums) -> PooledLasso:
    """Return the lasso of all rows of a quadratic log-likelihood."""
    if not sums.n:
        raise catalogue.NO_ROWS.error(why="")
    null, least = gaussian_null(sums.total(), sums.points.coefs[0], NetSpec(), model)
    within = Tolerance(plan.tol, least.deviance, plan.max_iter)

    def solve(penalty: Penalty) -> LassoFit:
        return quadratic_lasso(null.moments, null.coef, penalty, within)

    fit = _with_penalty(model, plan, null.moments, sample_size(model, sums.n, sums.weight), solve)
    return _pooled(model, fit, sums.points.shift, sums.n_missing)


def _with_penalty(
    model: Model, plan: LassoPlan, sums: Moments, n: float, solve: Callable[[Penalty], LassoFit]
) -> LassoFit:
    """Return the lasso with a given penalty, or with that which is scaled by the noise of its own fit."""
    if not isinstance(plan.alpha, str):
        return solve(Penalty.of(_of_columns(plan.alpha, model), plan.l1_ratio))
    alpha = noise_alpha(sums, model, n)
    for _ in range(_MAX_RESCALINGS):
        fit = solve(Penalty.of(alpha, plan.l1_ratio))
        last, alpha = alpha, noise_alpha(fit.moments, model, n)
        if np.allclose(alpha, last, rtol=1e-4, atol=0.0):
            break
    return fit


def _of_columns(alpha: np.ndarray, model: Model) -> np.ndarray:
    """Return the penalty of each coefficient, given that or one number for all but the intercept."""
    return alpha if alpha.ndim else np.where(np.arange(len(model.names)) < int(model.has_intercept), 0.0, alpha)


def _pooled(model: Model, fit: LassoFit, shift: np.ndarray, n_missing: int) -> PooledLasso:
    sums = fit.moments
    local = LocalLassos(
        n=sums.n,
        n_missing=n_missing,
        n_blocks=1,
        weight=sums.weight,
        share=sums.weight,
        coef=sums.weight * coefficients_about(fit.coef, -shift),
        gradient=score_about(sums.score, -shift),
        remainder=np.zeros(len(fit.coef)),
        alpha=sums.weight * fit.penalty.alpha,
        shift=shift,
        information=sums.information,
        noise=None,
        pearson=sums.pearson,
        nonzeros=int(np.count_nonzero(fit.coef)),
        smallest=sums.n,
        kkt=fit.kkt,
        gap=fit.gap,
        unconverged=() if fit.converged else (0,),
        nodewise=None,
    )
    return PooledLasso(local, fit.coef, sums)


@kernel(checked="after")
def jeffreys_moments_about(
    rows: Rows, model: Model, point: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> Moments:
    """Return what `jeffreys_moments` does, for X̃, at `point` = (β for X, m, I⁻¹ for X̃, β for X where I⁻¹ is from)."""
    coef, shift, inverse, before = point
    here, there = coefficients_about(coef, shift), coefficients_about(before, shift)
    return jeffreys_moments(rows_about(rows, shift), model, (here, inverse, there))


def sample_size(model: Model, n: int, weight: float) -> float:
    """Return N in penalties: the number of rows, or the sum of frequency weights."""
    return weight if model.weight_type == "frequency" else n


def profiled_gram(model: Model, sums: Moments) -> np.ndarray:
    """Return the information per row with the intercept minimized out, of shape (p, p)."""
    gram = sums.information / sums.weight
    profile = profile_out(gram, np.arange(len(gram)) < int(model.has_intercept))
    constant = np.diag(profile.gram) <= _ROUNDING * np.diag(gram)[profile.rest]
    return np.where(constant | constant[:, None], 0.0, profile.gram)


def correct(model: Model, last: PooledRound, sums: Moments, rows: NodewiseRows) -> PooledRound:
    """Return the next correction, Θ̂ s(β̂)/Σw, with an approximate inverse of the information there."""
    theta = approximate_inverse(rows)
    weights, gaps = rows.weights[np.argsort(rows.index)], rows.gaps[np.argsort(rows.index)]
    if model.has_intercept:
        level = float(sums.information[0, 0] / sums.weight)
        theta = _bordered(theta, sums.information[0, 1:] / sums.information[0, 0], level)
        weights, gaps = np.append(1.0 / theta[0, 0], weights), np.append(0.0, gaps)
    renewed = replace(last.estimate, theta=coefficients_about(theta, -last.estimate.shift))
    return PooledRound(last.lasso, debias_again(renewed, sums), weights, gaps, last.estimate.coef)


def _bordered(inner: np.ndarray, mean: np.ndarray, level: float) -> np.ndarray:
    """Return the inverse with the row and column of the intercept, exact given that of the other columns.

    `mean` are the weighted means of the columns, and `level` is the mean weight.
    """
    border = mean @ inner
    corner = 1.0 / level + float(border @ mean)
    return np.block([[np.array([[corner]]), -border[None]], [-(inner @ mean)[:, None], inner]])
