"""Local lassos as sums over blocks.

Lee, Liu, Sun and Taylor, "Communication-efficient sparse regression: a one-shot approach", arXiv 1503.04337:
β̂ = b̄ + Θ̂ḡ, with b̄ the average of the blocks' lassos and ḡ that of their scores per row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.lasso import fit_lasso, fit_null, fit_scaled_lasso, remainder
from dask_onestep.kernels.lassos.nodewise import NodewiseRows
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.proximal_newton import LassoFit
from dask_onestep.kernels.lassos.shift import coefficients_about, column_shift, gram_about, rows_about, score_about
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.solve.linear_algebra import factorize


@dataclass(frozen=True, slots=True)
class LassoPlan:
    """What every block computes.

    Attributes
    ----------
    alpha : "auto" or ndarray of shape (d,)
        α of every coefficient, 0 for the intercept.
    l1_ratio : float
        Fraction of the penalty that is l1.
    weights : {"size", "equal"}
        Whether blocks are weighted by their rows or equally.
    tol, max_iter : float, int
        Parameters of the lasso.
    nodewise : NodewisePlan or None
        How each block estimates its rows of Θ̂; None if it has none.
    shares : tuple of tuple of int
        First and last + 1 of these rows, for each block.
    """

    alpha: str | np.ndarray
    l1_ratio: float
    weights: str
    tol: float
    max_iter: int
    nodewise: NodewisePlan | None = None
    shares: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LocalLassos(Sums):
    """Sums over blocks of the results of their lassos, n_k = Σ wᵢ of block k and ω_k its weight (n_k, or 1).

    Attributes
    ----------
    n, n_missing, n_blocks : int
        Usable rows, rows dropped, and blocks that have rows.
    weight : float
        Σ n_k.
    share : float
        Σ ω_k.
    coef : ndarray of shape (d,)
        Σ ω_k b_k.
    gradient : ndarray of shape (d,)
        Σ ω_k s_k(b_k)/n_k.
    remainder : ndarray of shape (d,)
        Σ ω_k r_k/n_k, r_k the nonlinear part of the score (see `remainder` in `lasso`).
    alpha : ndarray of shape (d,)
        Σ ω_k α_k.
    shift : ndarray of shape (d,)
        m, approximate means of uncentered columns, about which matrices and rows are centered (see `shift`); 0 for
        other columns. Vectors refer to the original columns.
    information : ndarray of shape (d, d)
        Σ I_k(b_k).
    noise : ndarray of shape (d, d) or None
        Σ (ω_k/n_k)² I_k(b_k); None where that is `information`.
    pearson : float or None
        Σ χ²_k(b_k); None for families without a dispersion.
    nonzeros : int
        Total number of nonzero elements of all b_k.
    smallest : int
        Rows of the smallest block.
    kkt, gap : float
        The maximum over blocks.
    unconverged : tuple of int
        Blocks whose lasso did not reach the tolerance.
    nodewise : NodewiseRows or None
        The rows of Θ̂ so far.
    """

    n: int
    n_missing: int
    n_blocks: int
    weight: float
    share: float
    coef: np.ndarray
    gradient: np.ndarray
    remainder: np.ndarray
    alpha: np.ndarray
    shift: np.ndarray
    information: np.ndarray
    noise: np.ndarray | None
    pearson: float | None
    nonzeros: int
    smallest: int
    kkt: float
    gap: float
    unconverged: tuple[int, ...]
    nodewise: NodewiseRows | None

    def about(self, shift: np.ndarray) -> LocalLassos:
        """Return the same sums, centered about another m."""
        change = shift - self.shift
        if not change.any():
            return self
        return replace(
            self,
            shift=shift,
            information=gram_about(self.information, change),
            noise=None if self.noise is None else gram_about(self.noise, change),
            nodewise=None if self.nodewise is None else self.nodewise.about(change),
        )

    def __add__(self, other: LocalLassos) -> LocalLassos:
        weight = self.weight + other.weight
        shift = self.shift
        if weight and not np.array_equal(shift, other.shift):
            shift = (self.weight / weight) * shift + (other.weight / weight) * other.shift
        first, second = self.about(shift), other.about(shift)

        def total(name: str) -> Any:
            left, right = getattr(first, name), getattr(second, name)
            return right if left is None else left if right is None else left + right

        return LocalLassos(
            **{name: total(name) for name in _ADDED},
            shift=shift,
            smallest=min(self.smallest, other.smallest),
            kkt=max(self.kkt, other.kkt),
            gap=max(self.gap, other.gap),
        )


_ADDED = (
    *("n", "n_missing", "n_blocks", "weight", "share", "coef", "gradient", "remainder", "alpha"),
    *("information", "noise", "pearson", "nonzeros", "unconverged", "nodewise"),
)


@kernel(whole="a block has a lasso of its own")
def local_lassos(rows: Rows, model: Model, plan: LassoPlan) -> LocalLassos | Findings:
    """Return a block's lasso, its score and information there, and its rows of Θ̂, or why it has no lasso."""
    if not len(rows):
        # Its rows of Θ̂ are computed from the pooled Gram matrix instead.
        return _empty(rows, model)
    start, stop = plan.shares[rows.number] if plan.nodewise else (0, 0)
    shift = column_shift(rows, model)
    rows = rows_about(rows, shift)
    null = fit_null(rows, model)
    if null is None:
        return _poor(rows, "y is constant at a boundary of its range, so there is no local fit", _LARGER)
    if isinstance(plan.alpha, str):
        fit = fit_scaled_lasso(rows, model, plan.l1_ratio, null, tol=plan.tol, max_iter=plan.max_iter)
    else:
        penalty = Penalty.of(plan.alpha, plan.l1_ratio)
        fit = fit_lasso(rows, model, penalty, null, tol=plan.tol, max_iter=plan.max_iter)
    if not np.isfinite(fit.coef).all() or not fit.moments.is_finite():
        return _poor(rows, "the lasso diverged", _LARGER)
    if aliased := _aliased(fit, model):
        return _poor(rows, f"unpenalized columns are aliased: {', '.join(aliased)}", _LARGER)
    found = None
    if plan.nodewise and stop > start:
        gram, first = fit.moments.information / fit.moments.weight, int(model.has_intercept)
        try:
            found = plan.nodewise.rows(gram, len(rows), range(start, stop), model.names, first)
        except ValueError as error:
            return _poor(rows, str(error), _POOLED)
    return _as_sums(rows, model, fit, plan, shift, found)


_POOLED = (
    "Use DebiasedLasso(nodewise='pooled'), which needs the column to vary in one block only, or shuffle the rows "
    "over the blocks; if it is constant in every block, drop it."
)
_LARGER = "Use larger blocks (rechunk or repartition the rows), or a larger alpha."


def _as_sums(
    rows: Rows, model: Model, fit: LassoFit, plan: LassoPlan, shift: np.ndarray, nodewise: NodewiseRows | None
) -> LocalLassos:
    sums = fit.moments
    share = sums.weight if plan.weights == "size" else 1.0
    return LocalLassos(
        n=sums.n,
        n_missing=rows.n_missing,
        n_blocks=1,
        weight=sums.weight,
        share=share,
        coef=share * coefficients_about(fit.coef, -shift),
        gradient=(share / sums.weight) * score_about(sums.score, -shift),
        remainder=(share / sums.weight) * score_about(remainder(rows, model, fit), -shift),
        alpha=share * fit.penalty.alpha,
        shift=shift,
        information=sums.information,
        noise=None if plan.weights == "size" else sums.information / sums.weight**2,
        pearson=sums.pearson,
        nonzeros=int(np.count_nonzero(fit.coef)),
        smallest=sums.n,
        kkt=fit.kkt,
        gap=fit.gap,
        unconverged=() if fit.converged else (rows.number,),
        nodewise=nodewise,
    )


def _empty(rows: Rows, model: Model) -> LocalLassos:
    d = len(model.names)
    nothing, none = np.zeros(d), np.zeros((d, d))
    return LocalLassos(
        *(0, rows.n_missing, 0, 0.0, 0.0, nothing, nothing, nothing, nothing, nothing, none, None, None),
        *(0, np.iinfo(np.int64).max, 0.0, 0.0, (), None),
    )


def _aliased(fit: LassoFit, model: Model) -> list[str]:
    free = np.flatnonzero(fit.penalty.alpha == 0)
    factor = factorize(fit.moments.information[np.ix_(free, free)], intercept=False)
    return [model.names[j] for j in free[~factor.kept]]


def _poor(rows: Rows, what: str, cure: str) -> Findings:
    return Findings(((what, 0, cure),), (rows.number,))


def nodewise_share(number: int, n_blocks: int, d: int) -> tuple[int, int]:
    """Return which of the d rows of Θ̂ one of K blocks estimates: ⌈d/K⌉ of them, as in the paper.

    Examples
    --------
    >>> from dask_onestep.kernels.lassos.local_lassos import nodewise_share
    >>> [nodewise_share(k, 4, 5) for k in range(4)]
    [(0, 2), (2, 4), (4, 5), (5, 5)]
    """
    size = -(-d // n_blocks)
    return min(number * size, d), min((number + 1) * size, d)
