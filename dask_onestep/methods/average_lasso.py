"""The average of the blocks' own lassos."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_onestep.kernels.lassos.local_lassos import LocalLassos
from dask_onestep.kernels.model import Model
from dask_onestep.methods.block_lassos import check_lasso, lasso_fields, lasso_plan, lasso_totals
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class AverageLassoEstimate(Estimate):
    """An `Estimate` without a covariance, and diagnostics of the lassos of the blocks.

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


class AverageLasso(Method):
    """The average of the lassos of the blocks, in one communication.

    Every block minimizes −ℓ_k(β)/n_k + Σ α_j{ρ|β_j| + (1 − ρ)β_j²/2}, with the intercept not penalized, and
    the minimizers are averaged.  Averaging reduces their variance but not their bias, so there is
    no covariance: standard errors are NaN.  Use `DebiasedLasso` for inference.

    Parameters
    ----------
    alpha : "auto", float or array-like of shape (p,), default="auto"
        Penalty, as for `DebiasedLasso`; 0 averages the blocks' maximum-likelihood estimates.
    l1_ratio : float, default=1.0
        ρ: 1 is the lasso, 0 ridge regression.
    weights : {"size", "equal"}, default="size"
        Whether blocks are weighted by their numbers of rows or equally (statsmodels).
    threshold : float, default=0.0
        Averages with a smaller absolute value are set to 0.
    tol : float, default=1e-10
        Tolerance of the duality gaps, relative to the null deviance.
    max_iter : int, default=10000
        Maximum number of sweeps of coordinate descent.

    Notes
    -----
    Passes: 1, plus 1 for the labels of a classification.

    ``threshold`` also applies to the intercept, as statsmodels' ``_join_naive`` applies it to every parameter;
    ``estimate_.average_coef`` has the averages without a threshold.

    Examples
    --------
    >>> from dask_onestep import AverageLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8_000, 5, coef=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], random_state=0)
    >>> GLMRegressor(method=AverageLasso(alpha=0.1)).fit(X, y).coef_.round(1)
    array([0.6, 0. , 0. , 0. , 0. ])
    """

    solvers = ("auto",)  # a lasso is no solution of normal equations, and its penalty is of the columns as they are

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

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the average of the blocks' lassos.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of an `AverageLassoEstimate`.
        """
        check_lasso(self, problem)
        local, problem = yield from lasso_totals(problem, lasso_plan(self, problem))
        return problem.apply(_report, problem.model, self, local, problem.classes, name="average-lasso")


def _report(model: Model, method: AverageLasso, local: LocalLassos, classes: np.ndarray | None) -> AverageLassoEstimate:
    average = local.coef / local.share
    return AverageLassoEstimate(
        **lasso_fields(model, local, classes),
        coef=np.where(np.abs(average) < method.threshold, 0.0, average),
        covariance=np.full((len(average), len(average)), np.nan),
        n_iter=1,
        average_coef=average,
        alpha=local.alpha / local.share,
        n_blocks=local.n_blocks,
        kkt=local.kkt,
        gap=local.gap,
    )
