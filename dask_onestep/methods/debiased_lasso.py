"""Debiased sparse estimation: a lasso on every block, an average, and one correction.

Lee, Liu, Sun and Taylor, "Communication-efficient sparse regression: a one-shot approach", arXiv
1503.04337.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.lassos.centering import moments_about
from dask_onestep.kernels.lassos.correction import Debiased, covariance, debias, debias_again, expected_coverage
from dask_onestep.kernels.lassos.debiasing import LocalLassos
from dask_onestep.kernels.lassos.nodewise import NodewiseRows
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.methods.arguments import check_choice, check_count
from dask_onestep.methods.block_lassos import check_lasso, lasso_fields, lasso_plan, lasso_totals, resolve_alpha
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.inverse_rows import pooled_rows, rows_of_blocks, shares_of_blocks
from dask_onestep.methods.lasso_advice import sparse_advice
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Plan, Settle

__all__ = ["DebiasedLasso", "DebiasedLassoEstimate"]


@dataclass(frozen=True, kw_only=True)
class DebiasedLassoEstimate(Estimate):
    """An `Estimate`, and the pieces it was put together from.

    Attributes
    ----------
    average_coef : ndarray of shape (d,)
        b̄, the average of the blocks' lassos.
    gradient : ndarray of shape (d,)
        ḡ, the average of their scores per row.
    inverse_covariance : ndarray of shape (d, d)
        Θ̂.
    nodewise_weights : ndarray of shape (d,)
        τ_j².
    debiased_coef : ndarray of shape (d,)
        b̄ + Θ̂ḡ, after all rounds, before the threshold.
    alpha : ndarray of shape (d,)
        The penalties, averaged over blocks.
    n_blocks : int
        Blocks that have rows.
    kkt, gap : float
        The largest violation of a lasso's optimality conditions, and the largest duality gap over the
        null deviance, of any block.
    expected_coverage : float
        What share of the clearly nonzero coefficients 95% intervals may be expected to cover, by an
        estimate of the bias that is left; NaN where none is clearly nonzero.

    Examples
    --------
    >>> from dask_onestep import DebiasedLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8000, 2, chunks=4000)
    >>> estimate = GLMRegressor(method=DebiasedLasso(0.02)).fit(X, y).estimate_
    >>> step = estimate.inverse_covariance @ estimate.gradient
    >>> bool(abs(estimate.average_coef + step - estimate.debiased_coef).max() < 1e-12)
    True
    """

    average_coef: np.ndarray
    gradient: np.ndarray
    inverse_covariance: np.ndarray
    nodewise_weights: np.ndarray
    debiased_coef: np.ndarray
    alpha: np.ndarray
    n_blocks: int
    kkt: float
    gap: float
    expected_coverage: float


class DebiasedLasso(Method):
    """Average of the blocks' debiased lassos, with inference.

    Every block k fits a lasso, b_k = argmin −ℓ_k(β)/n_k + Σ α_j{ρ|β_j| + (1 − ρ)β_j²/2}, the intercept
    not penalised, and sends it with its score per row, s_k(b_k)/n_k.  Their averages are corrected
    once, β̂ = b̄ + Θ̂ḡ, by an approximate inverse Θ̂ of the information per row, whose rows are nodewise
    lassos.  The score is the likelihood's alone: at a minimum it equals the gradient of the whole
    penalty, the ridge part α(1 − ρ)b_k included, so that the shrinkage of both parts is undone.

    Parameters
    ----------
    alpha : "auto", float or array-like of shape (p,), default="auto"
        Penalty: a number, one for each column, or λ₀√(φ̂ Q_jj) in each block: the scaled lasso of [2]_, φ̂
        the dispersion and Q_jj the information of the column per row at the block's own fit, at the
        quantile level of [3]_, λ₀ = L√(2/n_k) with pΦ(−L) = L⁴ + 2L², the default of R's scalreg too: about
        two thirds of √(2 log p/n_k), so that a handful of noise columns enter, and 2pΦ(−√2L) on average.  A
        column of one value in a block, such as a level it lacks, has coefficient 0 there.
    l1_ratio : float, default=1.0
        ρ: 1 is the lasso, 0 ridge regression.
    nodewise_alpha : "auto", float, array-like of shape (p,) or None, default=None
        Penalty of the nodewise lassos; None as `alpha`.  "auto" is the scaled lasso of [3]_, λ₀ times the
        standard deviations of both columns, n the rows of the Gram matrix: with ``nodewise="pooled"``
        all N.
    nodewise : {"partition", "pooled"}, default="partition"
        Row j of Θ̂ from one block, ⌈p/K⌉ rows per block, as in the paper; or all rows from the sum of the
        blocks' Gram matrices (p² numbers each), spread over the workers.  The rows of a partition that proves to be
        empty, as those of a filtered frame may, are taken from that sum.
    weights : {"size", "equal"}, default="size"
        Whether a block counts by its rows, or as one (the paper; statsmodels).
    threshold : float, default=0.0
        Coefficients below it in size become 0.  It is for estimation, not inference: those coefficients
        then have no standard errors.
    steps : int, default=1
        Corrections, a pass each: further ones with the score of all rows at the estimate so far, for
        blocks too small for one.
    tol : float, default=1e-10
        On each duality gap, as a share of the null deviance.
    max_iter : int, default=10000
        Sweeps of coordinate descent at the most.

    Notes
    -----
    Passes: ``steps``, plus 1 for the labels of a classification.

    ``threshold`` cuts the intercept too, as statsmodels' ``_join_naive`` cuts every parameter;
    ``estimate_.debiased_coef`` has the coefficients from before.

    The intercept is not penalised, but its row of Θ̂ is: it is the lasso of the constant on all columns.  A
    column whose mean is far from 0 leaves bias in the intercept by it, and in predictions, so centre the columns
    where predictions are to be honest; after one correction the other coefficients do not depend on it.

    The covariance is φ̂ Θ̂Σ̂Θ̂'/N, φ̂ = Σχ²_k(b_k)/(N − Σ nonzeros of b_k); with ``weights="equal"`` it is
    φ̂ Θ̂(Σ_k I_k/n_k²)Θ̂'/K², the squares of the shares 1/K that the blocks' scores have in ḡ, which for blocks of one
    size is the same and for others more.  It does not know of the bias
    that small blocks leave: the intervals are honest where n_k is large beside (number of nonzeros) ·
    log p · √N.  ``estimate_.expected_coverage`` judges that from the data, and a warning says where it is
    below 0.90; ``nodewise="pooled", nodewise_alpha="auto", steps=2`` is the cure.

    For many coefficients at once, hand the table's p-values to `scipy.stats.false_discovery_control` or to
    statsmodels' ``multipletests``; simultaneous intervals for p coefficients are those of
    Bonferroni's level, ``coef_table(level=1 - 0.05 / p)``, or of Šidák's, ``0.95 ** (1 / p)``.

    References
    ----------
    .. [1] Lee, Liu, Sun, Taylor, arXiv 1503.04337.
    .. [2] Sun, Zhang, "Scaled sparse linear regression", arXiv 1104.4595.
    .. [3] Sun, Zhang, "Sparse matrix inversion with scaled lasso", JMLR 14 (2013), arXiv 1202.2723.

    Examples
    --------
    >>> from dask_onestep import DebiasedLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8_000, 20, coef=[0.0, 1.0] + [0.0] * 19, random_state=0)
    >>> glm = GLMRegressor(method=DebiasedLasso(alpha=0.05)).fit(X, y)
    >>> bool(abs(glm.coef_[0] - 1.0) < 4 * glm.coef_table().std_err["x0"]), glm.n_passes_
    (True, 1)

    Which are not zero, at a false-discovery rate of 0.05, and all their intervals at once:

    >>> from scipy.stats import false_discovery_control
    >>> table = glm.coef_table(level=1 - 0.05 / 20).drop("intercept")
    >>> discoveries = table.index[false_discovery_control(table.p_value) < 0.05]
    >>> "x0" in discoveries, len(discoveries) <= 3
    (True, True)
    >>> bool((table.ci_lower["x0"] < 1.0) & (table.ci_upper["x0"] > 1.0))
    True
    """

    solvers = ("auto",)  # a lasso is no solution of normal equations, and its penalty is of the columns as they are

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        l1_ratio: float = 1.0,
        nodewise_alpha: Any = None,
        nodewise: str = "partition",
        weights: str = "size",
        threshold: float = 0.0,
        steps: int = 1,
        tol: float = 1e-10,
        max_iter: int = 10_000,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.nodewise_alpha = nodewise_alpha
        self.nodewise = nodewise
        self.weights = weights
        self.threshold = threshold
        self.steps = steps
        self.tol = tol
        self.max_iter = max_iter

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the debiased estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of a `DebiasedLassoEstimate`.
        """
        self._check(problem)
        # In this order: what is wrong with `alpha` is not blamed on an option that was not given.
        alpha = resolve_alpha(self.alpha, problem, "alpha")
        if self.nodewise_alpha is not None:
            alpha = resolve_alpha(self.nodewise_alpha, problem, "nodewise_alpha")
        nodewise_plan = NodewisePlan(alpha, self.tol, self.max_iter)
        share = nodewise_plan if self.nodewise == "partition" else None
        asked = lasso_plan(self, problem, share, shares_of_blocks(problem))
        local, problem = yield from lasso_totals(problem, asked)
        find = rows_of_blocks if self.nodewise == "partition" else pooled_rows
        rows = find(problem, local, nodewise_plan)
        rounds = problem.apply(_first_round, local, rows, name="debias")
        for _ in range(self.steps - 1):
            rounds = yield Settle(rounds)
            point = problem.apply(_point, rounds, name="coefficients")
            sums = yield problem.total(moments_about, point, name="moments")
            rounds = problem.apply(_next_round, rounds, sums, name="debias")
        return problem.apply(_report, problem.model, self, rounds, problem.classes, name="debiased-lasso")

    def _check(self, problem: Problem) -> None:
        check_lasso(self, problem)
        check_choice("nodewise", self.nodewise, "partition", "pooled")
        check_count("steps", self.steps)
        if self.steps > 1 and self.weights == "equal":
            raise ValueError("weights='equal' requires steps=1: further rounds weight blocks by their numbers of rows.")


@dataclass(frozen=True)
class _Rounds(Record):
    """What the blocks gave, and the estimate so far: Θ̂ is in it, the rows it was made of are let go."""

    local: LocalLassos
    nodewise_weights: np.ndarray
    nodewise_gaps: np.ndarray
    estimate: Debiased


def _first_round(local: LocalLassos, rows: NodewiseRows) -> _Rounds:
    order = np.argsort(rows.index)
    return _Rounds(replace(local, nodewise=None), rows.weights[order], rows.gaps[order], debias(local, rows))


def _next_round(rounds: _Rounds, sums: Moments) -> _Rounds:
    return replace(rounds, estimate=debias_again(rounds.estimate, sums))


def _point(rounds: _Rounds) -> tuple[np.ndarray, np.ndarray]:
    return rounds.estimate.coef, rounds.estimate.shift


def _report(
    model: Model,
    method: DebiasedLasso,
    rounds: _Rounds,
    classes: np.ndarray | None,
) -> DebiasedLassoEstimate:
    local, estimate = rounds.local, rounds.estimate
    fields = lasso_fields(model, local, classes)
    spread = covariance(estimate, local, fields["dispersion"])
    average = local.coef / local.share
    coverage = expected_coverage(estimate, average, np.sqrt(np.diag(spread)))
    cut = np.abs(estimate.coef) < method.threshold
    spread[cut] = spread[:, cut] = np.nan
    fields["warnings"] += sparse_advice(model, method, local, estimate, rounds.nodewise_gaps, coverage)
    return DebiasedLassoEstimate(
        **fields,
        coef=np.where(cut, 0.0, estimate.coef),
        covariance=spread,
        n_iter=estimate.rounds,
        average_coef=average,
        gradient=local.gradient / local.share,
        inverse_covariance=estimate.inverse_covariance,
        nodewise_weights=rounds.nodewise_weights,
        debiased_coef=estimate.coef,
        alpha=local.alpha / local.share,
        n_blocks=local.n_blocks,
        kkt=local.kkt,
        gap=local.gap,
        expected_coverage=coverage,
    )
