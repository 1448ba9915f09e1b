"""Averages of the blocks' own lassos, and what the sparse methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep.exceptions import NotConvergedWarning
from dask_onestep.kernels.covariance import dispersion
from dask_onestep.kernels.debiasing import LassoPlan, LocalLassos, NodewisePlan, local_lassos
from dask_onestep.kernels.rows import Model
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem

__all__ = [
    "AverageLasso",
    "AverageLassoEstimate",
    "check_options",
    "lasso_fields",
    "lasso_plan",
    "lasso_totals",
    "resolve_alpha",
]


@dataclass(frozen=True, kw_only=True)
class AverageLassoEstimate(Estimate):
    """An `Estimate` without a covariance, and what the blocks' lassos were like.

    Attributes
    ----------
    average_coef : ndarray of shape (d,)
        The average before the threshold.
    alpha : ndarray of shape (d,)
        The penalties, averaged over blocks.
    n_blocks : int
        Blocks that have rows.
    kkt, gap : float
        The largest violation of a lasso's optimality conditions, and the largest duality gap over the
        null deviance, of any block.

    Examples
    --------
    >>> from dask_onestep import AverageLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2)
    >>> GLMRegressor(method=AverageLasso(0.1)).fit(X, y).estimate_.alpha  # the intercept has no penalty
    array([0. , 0.1, 0.1])
    """

    average_coef: np.ndarray
    alpha: np.ndarray
    n_blocks: int
    kkt: float
    gap: float


class AverageLasso(BaseEstimator):
    """Plain average of the blocks' lassos: the naive method of one communication.

    Every block minimises −ℓ_k(β)/n_k + Σ α_j{ρ|β_j| + (1 − ρ)β_j²/2}, the intercept not penalised, and
    the minimisers are averaged.  Averaging makes their noise smaller and not their bias, so there is
    no covariance: standard errors are NaN.  Use `DebiasedLasso` for inference.

    Parameters
    ----------
    alpha : "auto", float or array-like of shape (p,), default="auto"
        Penalty, as for `DebiasedLasso`; 0 averages the blocks' maximum-likelihood estimates.
    l1_ratio : float, default=1.0
        ρ: 1 is the lasso, 0 ridge regression.
    weights : {"size", "equal"}, default="size"
        Whether a block counts by its rows, or as one (statsmodels).
    threshold : float, default=0.0
        Averages below it in size become 0.
    tol : float, default=1e-10
        On each duality gap, as a share of the null deviance.
    max_iter : int, default=10000
        Sweeps of coordinate descent at the most.

    Notes
    -----
    Passes: 1, plus 1 for the labels of a classification.

    Examples
    --------
    >>> from dask_onestep import AverageLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8_000, 5, coef=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], random_state=0)
    >>> GLMRegressor(method=AverageLasso(alpha=0.1)).fit(X, y).coef_.round(1)
    array([0.6, 0. , 0. , 0. , 0. ])
    """

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        l1_ratio: float = 1.0,
        weights: str = "size",
        threshold: float = 0.0,
        tol: float = 1e-10,
        max_iter: int = 10_000,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.weights = weights
        self.threshold = threshold
        self.tol = tol
        self.max_iter = max_iter

    def estimate(self, problem: Problem) -> Estimate | Delayed:
        """Return the average of the blocks' lassos.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        AverageLassoEstimate or Delayed
            The estimate, lazy if the problem is.

        Raises
        ------
        ValueError
            If an option cannot be used.
        """
        check_options(self, problem)
        local = lasso_totals(problem, lasso_plan(self, problem))
        record = problem.apply(
            *(_report, problem.model, self, local, problem.classes, problem.n_passes), name="average-lasso"
        )
        return record if problem.lazy else problem.value(record)


def lasso_totals(problem: Problem, plan: LassoPlan) -> Delayed:
    """Return the blocks' lassos, added: one pass, and one before it for the labels of a classification.

    Parameters
    ----------
    problem : Problem
        Model and data.
    plan : LassoPlan
        What every block is asked for.

    Returns
    -------
    Delayed
        `LocalLassos`.
    """
    if problem.model.classify:
        problem.survey()
    total = problem.total(local_lassos, plan, name="lasso")
    return problem.settle(problem.apply(_not_empty, total, name="lasso-total"))


def lasso_plan(
    method: Any,
    problem: Problem,
    nodewise: NodewisePlan | None = None,
    shares: tuple[tuple[int, int], ...] = (),
) -> LassoPlan:
    """Return what a method asks of every block.

    Parameters
    ----------
    method : AverageLasso or DebiasedLasso
        The options.
    problem : Problem
        Model and data.
    nodewise : NodewisePlan or None
        How blocks estimate their rows of Θ̂, if they do.
    shares : tuple of tuple of int
        Their shares of the rows.

    Returns
    -------
    LassoPlan
        The plan.
    """
    alpha = resolve_alpha(method.alpha, problem, "alpha")
    return LassoPlan(alpha, method.l1_ratio, method.weights, method.tol, method.max_iter, nodewise, shares)


def resolve_alpha(alpha: Any, problem: Problem, label: str) -> str | tuple[float, ...]:
    """Return a penalty as one number for each coefficient, 0 for the intercept.

    Parameters
    ----------
    alpha : "auto", float or array-like of shape (p,)
        As the user gave it.
    problem : Problem
        Model and data.
    label : str
        What the option is called.

    Returns
    -------
    "auto" or tuple of float
        The penalties.

    Raises
    ------
    ValueError
        If it is none of these, or negative.
    """
    if isinstance(alpha, str) and alpha == "auto":
        return alpha
    p = problem.d - int(problem.model.has_intercept)
    try:
        values = np.asarray(alpha, dtype=np.float64)
        values = np.broadcast_to(values, p) if values.ndim == 0 else values
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}={alpha!r} must be 'auto', a number, or one number a column.") from error
    if values.shape != (p,):
        raise ValueError(f"{label} has shape {values.shape}; one number a column is ({p},). The intercept has none.")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"{label} must be finite and not negative, and {values.min()} is its smallest value.")
    return (0.0,) * (problem.d - p) + tuple(values.tolist())


def check_options(method: Any, problem: Problem) -> None:
    """Raise if an option that the sparse methods share cannot be used.

    Parameters
    ----------
    method : AverageLasso or DebiasedLasso
        The options.
    problem : Problem
        Model and data.

    Raises
    ------
    ValueError
        If one cannot.
    """
    problem.refuse(cov_type=("nonrobust",), solver=("auto",))
    if problem.model.fixed:
        raise ValueError(
            f"{type(method).__name__} maximises no likelihood, so there is neither a likelihood-ratio nor a score "
            "test: use wald_test after DebiasedLasso."
        )
    if not 0 <= method.l1_ratio <= 1:
        raise ValueError(f"l1_ratio={method.l1_ratio!r} must lie between 0 (ridge) and 1 (lasso).")
    if method.weights not in ("size", "equal"):
        raise ValueError(f"weights={method.weights!r} must be 'size' or 'equal'.")
    if not method.threshold >= 0:
        raise ValueError(f"threshold={method.threshold!r} must not be negative.")
    if not method.tol > 0 or not method.max_iter >= 1:
        raise ValueError(f"tol={method.tol!r} and max_iter={method.max_iter!r} must be positive.")


def lasso_fields(model: Model, local: LocalLassos, classes: np.ndarray | None) -> dict[str, Any]:
    """Return the fields of an estimate that follow from the blocks' lassos alone.

    Parameters
    ----------
    model : Model
        The model.
    local : LocalLassos
        Sums over all blocks.
    classes : ndarray of shape (2,) or None
        Labels of a classification.

    Returns
    -------
    dict
        Keyword arguments for an `Estimate`.
    """
    rows = local.weight if model.weight_type == "frequency" else local.n
    df_resid = rows - local.nonzeros
    advice: tuple[tuple[type[Warning], str], ...] = ()
    if local.unconverged:
        blocks = ", ".join(map(str, local.unconverged[:5])) + (", …" if len(local.unconverged) > 5 else "")
        text = (
            f"The lasso of block {blocks} stopped before its tolerance, at a duality gap of {local.gap:.2g} of the "
            "null deviance. Raise max_iter or alpha; without a penalty the classes may be separated."
        )
        advice = ((NotConvergedWarning, text),)
    return {
        "dispersion": dispersion(local.pearson, df_resid),
        "n_samples": local.n,
        "n_missing": local.n_missing,
        "df_resid": df_resid,
        "classes": classes,
        "converged": not local.unconverged,
        "warnings": advice,
    }


def _not_empty(local: LocalLassos) -> LocalLassos:
    if not local.n_blocks:
        raise ValueError("Found array with 0 sample(s): no usable row is left.")
    return local


def _report(
    model: Model, method: AverageLasso, local: LocalLassos, classes: np.ndarray | None, n_passes: int
) -> AverageLassoEstimate:
    average = local.coef / local.share
    return AverageLassoEstimate(
        **lasso_fields(model, local, classes),
        coef=np.where(np.abs(average) < method.threshold, 0.0, average),
        covariance=np.full((len(average), len(average)), np.nan),
        n_iter=1,
        n_passes=n_passes,
        average_coef=average,
        alpha=local.alpha / local.share,
        n_blocks=local.n_blocks,
        kkt=local.kkt,
        gap=local.gap,
    )
