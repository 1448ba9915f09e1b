"""Debiased sparse estimation: a lasso, of all rows or averaged over blocks, and corrections.

Lee, Liu, Sun and Taylor, "Communication-efficient sparse regression: a one-shot approach", arXiv
1503.04337.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from dask_onestep.families import Binomial
from dask_onestep.kernels.lassos.correction import Debiased, covariance, debias, debias_again, expected_coverage
from dask_onestep.kernels.lassos.elastic_net import penalized_pilot
from dask_onestep.kernels.lassos.fold_sums import Folds, centered_fold_sums, fold_sums
from dask_onestep.kernels.lassos.local_lassos import LocalLassos
from dask_onestep.kernels.lassos.nodewise import NodewiseRows
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.lassos.pooled_lasso import (
    PooledRound,
    correct,
    jeffreys_moments_about,
    lasso_of_all,
    lasso_of_gram,
    pilot_lasso,
)
from dask_onestep.kernels.lassos.shift import moments_about
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.methods.arguments import check_choice, check_count
from dask_onestep.methods.block_lassos import check_lasso, lasso_fields, lasso_plan, lasso_totals, resolve_alpha
from dask_onestep.methods.draws import draw_sample
from dask_onestep.methods.elastic_net import SMALL_BYTES, ElasticNet, penalized_draw
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.inverse_rows import pooled_rows, rows_of_blocks, shares_of_blocks
from dask_onestep.methods.lasso_advice import sparse_advice
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Plan, Settle


@dataclass(frozen=True, kw_only=True, eq=False)
class DebiasedLassoEstimate(Estimate):
    """An `Estimate`, and the quantities from which it was computed.

    Attributes
    ----------
    average_coef : ndarray of shape (d,)
        b, the lasso of all rows; with "partition" b̄, the average of the blocks' lassos.
    gradient : ndarray of shape (d,)
        The score per row there; with "partition" ḡ, the average over blocks.
    inverse_covariance : ndarray of shape (d, d)
        Θ̂ of the last correction.
    nodewise_weights : ndarray of shape (d,)
        τ_j².
    debiased_coef : ndarray of shape (d,)
        After all corrections, before the threshold.
    alpha : ndarray of shape (d,)
        The penalties, averaged over blocks.
    n_blocks : int
        Blocks that have rows and a lasso of their own; 1 for the lasso of all rows.
    kkt, gap : float
        The largest violation of a lasso's optimality conditions, and the largest duality gap over the
        null deviance, of any block.
    expected_coverage : float
        Expected coverage of the 95% intervals of clearly nonzero coefficients, from an estimate of the bias that
        remains after the correction, and with "partition" of the bias of the quadratic approximations; NaN if no
        coefficient is clearly nonzero.

    Examples
    --------
    >>> from dask_onestep import DebiasedLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8000, 2, chunks=4000)
    >>> method = DebiasedLasso(0.02, nodewise="partition", steps=1)
    >>> estimate = GLMRegressor(method=method).fit(X, y).estimate_
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


def _is_pooled(method: DebiasedLasso) -> bool:
    """Return whether a method can fit a table whose design a lazy fit learns, as those do that draw a pilot."""
    return method.nodewise == "pooled"


class DebiasedLasso(Method):
    """The debiased lasso: a lasso whose shrinkage is corrected, with inference for every coefficient.

    By default it starts at the lasso of all rows, b = argmin −ℓ(β)/N + Σ α_j{ρ|β_j| + (1 − ρ)β_j²/2} with the intercept
    not penalized, and corrects it `steps` times by the score of all rows, β̂ ← β̂ + Θ̂ s(β̂)/N.  Θ̂ is an approximate
    inverse of the information per row, whose rows are nodewise lassos with small penalties; it is recomputed for each
    correction.  In binomial models the score includes, from the second correction on, the derivative of Jeffreys'
    penalty; otherwise corrections would approach the maximum-likelihood estimate, which is biased with many columns.

    With ``nodewise="partition"`` it is the method of one communication [1]_: every block k fits a lasso b_k and sends
    it with its score per row; their averages are corrected by β̂ = b̄ + Θ̂ḡ, where rows of Θ̂ are from single blocks.

    Parameters
    ----------
    alpha : "auto", float or array-like of shape (p,), default="auto"
        Penalty: a number, one for each column, or λ₀√(φ̂ Q_jj), the scaled lasso of [2]_, where φ̂ is the dispersion and
        Q_jj the information of the column per row at the lasso itself.  λ₀ = L√(2/n) with pΦ(−L) = L⁴ + 2L² is the
        quantile level of [3]_, as in R's scalreg: about two thirds of √(2 log p/n), so that a few columns without an
        effect are selected.  n is the number of all rows, or with "partition" of those of the block; a column that is
        constant in a block, such as a level that it lacks, has coefficient 0 there.
    l1_ratio : float, default=1.0
        ρ: 1 is the lasso, 0 ridge regression.
    nodewise_alpha : "auto", float, array-like of shape (p,) or None, default=None
        Penalty of the nodewise lassos.  None is 0.1 √(2 log p/N) times the standard deviations of the column and of the
        covariate, and with "partition" it is `alpha`.  "auto" is the scaled lasso of [3]_: λ₀ times the standard
        deviation of the covariate and the residual standard deviation of the column.
    nodewise : {"pooled", "partition"}, default="pooled"
        Whether the lasso and Θ̂ are computed from all rows, with the nodewise lassos distributed over the workers, or as
        in [1]_ a lasso from each block, and ⌈p/K⌉ rows of Θ̂ from each.  The rows of Θ̂ of an empty partition are
        computed from all rows.
    weights : {"size", "equal"}, default="size"
        With "partition", whether blocks are weighted by their numbers of rows or equally (the paper; statsmodels).
    threshold : float, default=0.0
        Coefficients with a smaller absolute value are set to 0, without standard errors.  It is for estimation, not
        inference.
    steps : int, default=3
        Number of corrections; with fewer than three, more bias remains unless the log-likelihood is quadratic.  [1]_
        makes one.
    tol : float, default=1e-10
        Tolerance of the duality gaps, relative to the null deviance.
    max_iter : int, default=10000
        Maximum number of sweeps of coordinate descent.

    Notes
    -----
    Passes: 1 for the normal distribution with the identity link, whose sums are used by all corrections; otherwise
    ``steps``, and 1 for a pilot sample, at whose lasso the first sums are computed.  With "partition" ``steps``, plus 1
    for the labels of a classification.

    ``threshold`` also applies to the intercept, as statsmodels' ``_join_naive`` applies it to every parameter;
    ``estimate_.debiased_coef`` has the coefficients without a threshold.

    The covariance is φ̂ RΣ̂R'/N, where Σ̂ is the information per row and R the derivative of the estimate in the score:
    Θ̂ after one correction, and R + Θ̂(I − Σ̂R) after each further one.  φ̂ = χ²(b)/(N − nonzeros of b).  With
    ``weights="equal"`` it is φ̂ Θ̂(Σ_k I_k/n_k²)Θ̂'/K².

    The covariance does not include the bias that remains.  By default this bias is small with up to p = N/20 columns
    (the guide to sparse models has the measured coverage of 95 % intervals); with more columns a warning is issued.
    With "partition" n_k must be large compared with (number of nonzeros) · log p · √N, and a warning is issued if
    ``estimate_.expected_coverage`` is below 0.90.  The row of Θ̂ of the intercept is then penalized too, so that
    columns that are not centered leave bias in the intercept, except columns whose mean is more than ten standard
    deviations from zero; the default is invariant to centering.

    For inference about many coefficients at once see ``multiple_tests`` and ``conf_int(simultaneous=True)``.

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
    >>> glm = GLMRegressor(method=DebiasedLasso()).fit(X, y)
    >>> bool(abs(glm.coef_[0] - 1.0) < 4 * glm.coef_table().std_err["x0"]), glm.n_passes_
    (True, 1)

    Coefficients that are not zero, at a false discovery rate of 0.05, and simultaneous intervals:

    >>> tests = glm.multiple_tests("fdr_bh")
    >>> bool(tests.rejected["x0"]), bool(tests.rejected.sum() <= 3)
    (True, True)
    >>> together = glm.conf_int(simultaneous=list(tests.index))
    >>> bool((together.ci_lower["x0"] < 1.0) & (together.ci_upper["x0"] > 1.0))
    True
    """

    solvers = ("auto",)  # a lasso is no solution of normal equations, and its penalty is of the columns as they are

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        l1_ratio: float = 1.0,
        nodewise_alpha: Any = None,
        nodewise: str = "pooled",
        weights: str = "size",
        threshold: float = 0.0,
        steps: int = 3,
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
        given = None if self.nodewise_alpha is None else resolve_alpha(self.nodewise_alpha, problem, "nodewise_alpha")
        if self.nodewise == "pooled":
            return (yield from self._pooled(problem, given))
        nodewise_plan = NodewisePlan(alpha if given is None else given, self.tol, self.max_iter)
        asked = lasso_plan(self, problem, nodewise_plan, shares_of_blocks(problem))
        local, problem = yield from lasso_totals(problem, asked)
        rows = rows_of_blocks(problem, local, nodewise_plan)
        rounds = problem.apply(_first_round, local, rows, name="debias")
        for _ in range(self.steps - 1):
            rounds = yield Settle(rounds)
            point = problem.apply(_point, rounds, name="coefficients")
            sums = yield problem.total(moments_about, point, name="moments")
            rounds = problem.apply(_next_round, rounds, sums, name="debias")
        return problem.apply(_report, problem.model, self, rounds, problem.classes, name="debiased-lasso")

    @available_if(_is_pooled)
    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, at whose lasso the first pass is made, of no rows where there is none."""
        return penalized_draw(_NET, problem, SMALL_BYTES)

    def _pooled(self, problem: Problem, nodewise_alpha: Any) -> Plan:
        """Return the plan of the lasso of all rows, corrected with a renewed approximate inverse."""
        lasso, problem = yield from self._lasso_of_all(problem)
        first = int(problem.model.has_intercept)
        vector = isinstance(nodewise_alpha, np.ndarray) and nodewise_alpha.ndim
        penalties = nodewise_alpha[first:] if vector else nodewise_alpha
        nodewise, rows = NodewisePlan(penalties, self.tol, self.max_iter), None
        rounds = problem.apply(PooledRound.of, lasso, name="lasso")
        kernel = jeffreys_moments_about if isinstance(problem.model.family.base, Binomial) else moments_about
        for number in range(self.steps):
            if number == 0 or problem.model.quadratic:
                sums = problem.apply(attrgetter("sums"), rounds, name="moments")
            else:
                rounds = yield Settle(rounds)
                arguments = problem.apply(_pooled_point, rounds, kernel is moments_about, name="coefficients")
                sums = yield problem.total(kernel, arguments, name="moments")
            if rows is None or not problem.model.quadratic:
                rows = pooled_rows(problem, sums, nodewise)
            rounds = problem.apply(correct, problem.model, rounds, sums, rows, name="debias")
        return problem.apply(_report_pooled, problem.model, self, rounds, problem.classes, name="debiased-lasso")

    def _lasso_of_all(self, problem: Problem) -> Plan:
        """Return the plan of the lasso of all rows, and of the problem with its classes known."""
        asked = lasso_plan(self, problem)
        if problem.model.quadratic:
            sums = yield problem.total(centered_fold_sums, Folds(), name="gram")
            return problem.apply(lasso_of_gram, problem.model, asked, sums, name="lasso"), problem
        sample, problem = yield from draw_sample(problem, self.draw(problem))
        pilot = yield Settle(problem.apply(penalized_pilot, sample, problem.model, name="pilot-rows"), awaited=True)
        points = problem.apply(pilot_lasso, problem.model, pilot, asked, name="pilot-lasso")
        sums = yield problem.total(fold_sums, points, Folds(), name="moments")
        return problem.apply(lasso_of_all, problem.model, pilot, asked, sums, name="lasso"), problem

    def _check(self, problem: Problem) -> None:
        check_lasso(self, problem)
        check_choice("nodewise", self.nodewise, "pooled", "partition")
        check_count("steps", self.steps)
        if self.weights == "equal" and (self.steps > 1 or self.nodewise == "pooled"):
            raise ValueError(
                "weights='equal' requires nodewise='partition' and steps=1: all else weights blocks by their numbers "
                "of rows."
            )


# The pilot sample is that of an elastic net.
_NET = ElasticNet()


def _pooled_point(rounds: PooledRound, plain: bool) -> tuple[np.ndarray, ...]:
    return rounds.point[:2] if plain else rounds.point


@dataclass(frozen=True, eq=False)
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


def _report_pooled(
    model: Model, method: DebiasedLasso, rounds: PooledRound, classes: np.ndarray | None
) -> DebiasedLassoEstimate:
    found = _Rounds(rounds.lasso.local, rounds.nodewise_weights, rounds.nodewise_gaps, rounds.estimate)
    return _report(model, method, found, classes)


def _report(model: Model, method: DebiasedLasso, rounds: _Rounds, classes: np.ndarray | None) -> DebiasedLassoEstimate:
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
