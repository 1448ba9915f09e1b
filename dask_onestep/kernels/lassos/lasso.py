"""The lasso of a block: −ℓ(β)/n + Σ α_j {ρ|β_j| + (1 − ρ)β_j²/2}, ρ the l1 ratio, n = Σ wᵢ.

For the gaussian family the log-likelihood is quadratic, so its sums are computed once. For other families proximal
Newton on the few columns that may enter gives the fit, and the sums over all columns, which the nodewise lassos need
anyway, verify it.
"""

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.penalty import Penalty, noise_alpha
from dask_onestep.kernels.lassos.proximal_newton import LassoFit, Tolerance, newton_lasso, quadratic_lasso, solve_on_few
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import log_likelihoods, moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import factorize

_MAX_RESCALINGS = 20
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class NullFit:
    """The model without covariates.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        Zeros, except for the intercept.
    deviance : float
        Its deviance at φ = 1, but at least what rounding would leave of it, for instance if y is constant.
    """

    coef: np.ndarray
    deviance: float


def fit_null(rows: Rows, model: Model) -> NullFit | None:
    """Return the fit without covariates of a nonempty block, or None if every y is at the same end of its range."""
    coef, least = np.zeros(len(model.names)), 0.0
    rows, first = replace(rows, x=rows.x[:, :0]), int(model.has_intercept)
    # The columns of fixed coefficients are already in the offset.
    empty = replace(model, columns=(), fit_intercept=model.has_intercept, fixed=())
    if first:
        fit = fit_rows(rows, empty)
        if not fit.converged:
            return None
        coef[:1] = fit.coef
        # For the gaussian family y has a unit, whose scale is the intercept. For others η has none, and the gain of a
        # step is known up to a rounding error squared, which must be small in comparison.
        size = (_EPS * coef[0]) ** 2 if model.quadratic else _EPS * (1.0 + coef[0] ** 2)
        least = float(fit.sums.information[0, 0] * size)
    return NullFit(coef, max(least, float(log_likelihoods(rows, empty, coef[None, :first]).deviance[0])))


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
    """Return the lasso of a block."""
    within = Tolerance(tol, null.deviance, max_iter)
    if model.quadratic:
        coef, sums = (null.coef, moments(rows, model, null.coef)) if start is None else start
        return quadratic_lasso(sums, coef, penalty, within)
    coef, known = (null.coef, scores(rows, model, null.coef)) if start is None else start
    near = solve_on_few(rows, model, penalty, coef, known.score / known.weight, within)
    if start is None or not np.array_equal(near, coef):
        return newton_lasso(rows, model, penalty, (near, moments(rows, model, near)), within)
    return newton_lasso(rows, model, penalty, start, within)


def fit_scaled_lasso(
    rows: Rows, model: Model, l1_ratio: float, null: NullFit, *, tol: float = 1e-10, max_iter: int = 10_000
) -> LassoFit:
    """Return the lasso whose penalty is scaled by the noise of its own fit.

    α_j = λ₀ √(φ̂ Q_jj), with λ₀ from `penalty_level`, φ̂ = χ²/n at the fit (1 for families without a dispersion), and
    Q_jj the information of column j per row there after the unpenalized intercept is minimized out: λ₀ times the
    standard deviation of one row's score. For the gaussian family and standardized columns this is the scaled lasso of
    Sun and Zhang (2012).
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
    """Return the nonlinear part r of the score's change from the lasso to the unshrunk coefficients, of shape (d,).

    One scoring step δ on the active columns removes the shrinkage; r = s(b + δ) − s(b) + I(b)δ. The rows are read
    once more, for the score only (not for the gaussian family). r is 0 where the step does not exist.
    """
    if model.quadratic:
        return np.zeros(len(fit.coef))
    sums, inside = fit.moments, np.flatnonzero((fit.coef != 0) | (fit.penalty.alpha == 0))
    step = np.zeros(len(fit.coef))
    step[inside] = factorize(sums.information[np.ix_(inside, inside)], intercept=False).solve(sums.score[inside])
    reached = scores(rows, model, fit.coef + step)
    if not reached.is_finite():
        return np.zeros(len(fit.coef))
    return reached.score - sums.score + sums.information @ step
