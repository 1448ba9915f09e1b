"""The lasso of a block: −ℓ(β)/n + Σ α_j {ρ|β_j| + (1 − ρ)β_j²/2}, ρ the l1 ratio, n = Σ wᵢ.

Proximal Newton: the log-likelihood's quadratic at β, whose Gram matrix is the information over n, is
solved by coordinate descent, and the step is halved where the objective did not fall.  For the normal
law the quadratic is the log-likelihood itself, so that one reading of the rows serves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.likelihood import log_likelihoods, moments
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.newton import MAX_HALVINGS, fit_rows, rose
from dask_onestep.kernels.penalty import Penalty, noise_alpha
from dask_onestep.kernels.quadratic import kkt_residual, solve_lasso
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Model, Rows

__all__ = [
    "LassoFit",
    "NullFit",
    "fit_lasso",
    "fit_null",
    "fit_scaled_lasso",
    "remainder",
]

_MAX_STEPS = 50
_MAX_RESCALINGS = 20
# A step that promises so little of the tolerance is not worth a reading: near the minimum the error of β
# goes with the root of the gap.
_STEP_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class LassoFit:
    """A block's lasso.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        b.
    moments : Moments
        The likelihood's sums at b.
    penalty : Penalty
        The penalty.
    gap : float
        What the quadratic at b still promises to gain, its solution's duality gap included, as a
        share of the null deviance over 2n.
    kkt : float
        The largest violation of the optimality conditions.
    converged : bool
        Whether both parts of the gap are within the tolerance.
    """

    coef: np.ndarray
    moments: Moments
    penalty: Penalty
    gap: float
    kkt: float
    converged: bool


@dataclass(frozen=True, slots=True)
class NullFit:
    """The model without covariates.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        Zeros, but for the intercept.
    deviance : float
        Its deviance at φ = 1.
    """

    coef: np.ndarray
    deviance: float


def fit_null(rows: Rows, model: Model) -> NullFit | None:
    """Return the fit without covariates, or None if its likelihood has no maximum.

    Parameters
    ----------
    rows : Rows
        The block, not empty.
    model : Model
        The model.

    Returns
    -------
    NullFit or None
        None where every y is at the same end of its range.
    """
    coef = np.zeros(len(model.names))
    rows, first = replace(rows, x=rows.x[:, :0]), int(model.has_intercept)
    # What is held at a value is in the offset already.
    empty = replace(model, columns=(), fit_intercept=model.has_intercept, fixed=())
    if first:
        fit = fit_rows(rows, empty)
        if not fit.converged:
            return None
        coef[:1] = fit.coef
    return NullFit(coef, float(log_likelihoods(rows, empty, coef[None, :first]).deviance[0]))


def fit_lasso(
    rows: Rows,
    model: Model,
    penalty: Penalty,
    null: NullFit,
    *,
    start: tuple[np.ndarray, Moments] | None = None,
    tol: float = 1e-10,
    max_iter: int = 10_000,
) -> LassoFit:
    """Return the lasso of a block.

    Parameters
    ----------
    rows : Rows
        The block, not empty.
    model : Model
        The model.
    penalty : Penalty
        The penalty.
    null : NullFit
        The fit without covariates.
    start : tuple of (ndarray of shape (d,), Moments) or None
        Where to start, and the sums there; None for the fit without covariates.
    tol : float
        On the gap, as a share of the null deviance over 2n.
    max_iter : int
        Sweeps of coordinate descent in each step, at the most.

    Returns
    -------
    LassoFit
        The fit.
    """
    coef, sums = (null.coef, moments(rows, model, null.coef)) if start is None else start
    if model.quadratic:
        return _fit_quadratic(sums, coef, penalty, null, tol, max_iter)
    n, unit = sums.weight, _unit(sums, null)
    for step in range(_MAX_STEPS + 1):
        target, inner = _newton_target(sums, coef, penalty, unit, tol, max_iter)
        promised = _promised(sums, coef, target, penalty)
        done = promised <= _STEP_SHARE * tol * unit and inner <= tol * unit
        if done or step == _MAX_STEPS:
            break
        direction, before = target - coef, sums.loglik / n - penalty.value(coef)
        for _ in range(MAX_HALVINGS):
            reached = moments(rows, model, coef + direction)
            after = reached.loglik / n - penalty.value(coef + direction)
            if reached.is_finite() and rose(after, before):
                break
            direction = direction / 2
        else:
            break
        # Where the whole step was taken, zeros stay exact zeros.
        coef = target if np.array_equal(direction, target - coef) else coef + direction
        sums = reached
    return _fitted(sums, coef, penalty, (promised + inner) / unit, done)


def _fit_quadratic(
    sums: Moments, coef: np.ndarray, penalty: Penalty, null: NullFit, tol: float, max_iter: int
) -> LassoFit:
    """Return the lasso of a quadratic log-likelihood: its sums anywhere say all, and one solution is the fit."""
    unit = _unit(sums, null)
    target, gap = _newton_target(sums, coef, penalty, unit, tol, max_iter)
    return _fitted(_shift(sums, target - coef), target, penalty, gap / unit, gap <= tol * unit)


def _fitted(sums: Moments, coef: np.ndarray, penalty: Penalty, gap: float, converged: bool) -> LassoFit:
    slope = sums.score / sums.weight - penalty.l2 * coef
    return LassoFit(coef, sums, penalty, gap, kkt_residual(slope, coef, penalty.l1), bool(converged))


def _unit(sums: Moments, null: NullFit) -> float:
    """Return the null deviance over 2n, of which the tolerance is a share."""
    return max(null.deviance / sums.weight / 2, float(np.finfo(np.float64).tiny))


def fit_scaled_lasso(
    rows: Rows, model: Model, l1_ratio: float, null: NullFit, *, tol: float = 1e-10, max_iter: int = 10_000
) -> LassoFit:
    """Return the lasso whose penalty is scaled by the noise that its own fit leaves.

    α_j = λ₀ √(φ̂ Q_jj), with λ₀ the level of `penalty_level`, φ̂ = χ²/n at the fit (1 for
    families without a dispersion), and Q_jj the information of column j per row there, the
    unpenalised intercept minimised out: λ₀ times the standard deviation of one row's score.  For the
    normal law and standardised columns this is the scaled lasso of Sun and Zhang (2012).

    Parameters
    ----------
    rows : Rows
        The block, not empty.
    model : Model
        The model.
    l1_ratio : float
        ρ.
    null : NullFit
        The fit without covariates.
    tol, max_iter : float, int
        As for `fit_lasso`.

    Returns
    -------
    LassoFit
        The fit at the last penalty.
    """
    start = null.coef, moments(rows, model, null.coef)
    alpha = noise_alpha(start[1], model, len(rows))
    for _ in range(_MAX_RESCALINGS):
        fit = fit_lasso(rows, model, Penalty.of(alpha, l1_ratio), null, start=start, tol=tol, max_iter=max_iter)
        start = fit.coef, fit.moments
        last, alpha = alpha, noise_alpha(fit.moments, model, len(rows))
        if np.allclose(alpha, last, rtol=1e-4, atol=0.0):
            break
    return fit


def remainder(rows: Rows, model: Model, fit: LassoFit) -> np.ndarray:
    """Return what of the score the quadratic at b misses on the way to the unshrunk coefficients.

    One scoring step on the columns in the model, δ, undoes the shrinkage; r = s(b + δ) − s(b) + I(b)δ.
    It costs one more reading of the rows, none for the normal law.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    fit : LassoFit
        Its lasso.

    Returns
    -------
    ndarray of shape (d,)
        r; zeros where the step cannot be had.
    """
    if model.quadratic:
        return np.zeros(len(fit.coef))
    sums, inside = fit.moments, np.flatnonzero((fit.coef != 0) | (fit.penalty.alpha == 0))
    step = np.zeros(len(fit.coef))
    step[inside] = factorize(sums.information[np.ix_(inside, inside)], intercept=False).solve(sums.score[inside])
    reached = moments(rows, model, fit.coef + step)
    if not reached.is_finite():
        return np.zeros(len(fit.coef))
    return reached.score - sums.score + sums.information @ step


def _newton_target(
    sums: Moments, coef: np.ndarray, penalty: Penalty, unit: float, tol: float, max_iter: int
) -> tuple[np.ndarray, float]:
    """Return where the quadratic at β, penalty added, has its minimum, and its duality gap."""
    gram = sums.information / sums.weight
    linear = gram @ coef + sums.score / sums.weight
    # The squared working response, up to a constant that leaves it positive.
    square = float(coef @ linear + coef @ sums.score / sums.weight) + 2 * unit
    gram[np.diag_indices_from(gram)] += penalty.l2
    return solve_lasso(gram, linear, square, penalty.l1, coef, tol * unit, max_iter)


def _promised(sums: Moments, coef: np.ndarray, target: np.ndarray, penalty: Penalty) -> float:
    """Return what the quadratic at β gains from β to the target."""
    move = target - coef
    smooth = (sums.score @ move - 0.5 * move @ (sums.information @ move)) / sums.weight
    return float(smooth + penalty.value(coef) - penalty.value(target))


def _shift(sums: Moments, move: np.ndarray) -> Moments:
    """Return the sums of a quadratic log-likelihood at β + δ: its Taylor series, which is exact."""
    change = sums.information @ move
    assert sums.pearson is not None
    assert sums.pearson_gradient is not None
    return replace(
        sums,
        loglik=sums.loglik + float(sums.score @ move - 0.5 * move @ change),
        score=sums.score - change,
        pearson=sums.pearson + float(sums.pearson_gradient @ move + move @ change),
        pearson_gradient=sums.pearson_gradient + 2.0 * change,
    )
