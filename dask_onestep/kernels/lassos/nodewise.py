"""Nodewise lasso: an approximate inverse covariance, row by row, from a Gram matrix.

γ_j is the lasso of column j on all others, γ_j = argmin ‖x_j − X_{−j}γ‖²/(2n) + Σ α_k|γ_k|, and
τ_j² = ‖x_j − X_{−j}γ_j‖²/n + Σ α_k|γ_jk|; row j of Θ̂ is τ_j⁻² (1 at j, −γ_j elsewhere), equations (8) and (9) of van
de Geer, Bühlmann, Ritov and Dezeure, arXiv 1303.0518. All rows share the Gram matrix X'X/n; no column of X is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from dask_onestep.kernels.lassos.descent import penalized_lasso, sweep_together
from dask_onestep.kernels.lassos.quadratic import profile_out
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.solve.linear_algebra import factorize

_MAX_RESCALINGS = 20
# Relative change of the noise at which the iteration stops.
_SETTLED = 1e-4
# With more columns, the product of all columns costs more than each row's few nonzero coefficients.
_MOST_TOGETHER = 400
# Rows per task if all are computed from one Gram matrix: several tasks per worker balance the load.
_ROWS_A_TASK = 64
# Minimum fraction of a column that the others leave unexplained; below it there is no row for the column.
_ALIASED = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class NodewiseRows(Sums):
    """Some rows of a nodewise lasso; ``+`` concatenates.

    Attributes
    ----------
    index : ndarray of int of shape (r,)
        The columns that were regressed on the others.
    rows : ndarray of shape (r, d)
        γ_j, with 0 at j itself.
    weights : ndarray of shape (r,)
        τ_j²; statsmodels' nodewise weight is its square root.
    gaps : ndarray of shape (r,)
        Duality gaps relative to ‖x_j‖²/(2n) after the unpenalized columns are minimized out.
    """

    index: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    gaps: np.ndarray

    def __add__(self, other: NodewiseRows) -> NodewiseRows:
        return join_rows(self, other)

    def about(self, change: np.ndarray) -> NodewiseRows:
        """Return the rows for columns centered further by `change`, of shape (d,); that of the constant is left out."""
        others = self.without_constant()
        others.rows[:, 0] += others.rows @ change - change[others.index]
        return others

    def without_constant(self) -> NodewiseRows:
        """Return the rows without that of the constant."""
        kept = self.index != 0
        return NodewiseRows(self.index[kept], self.rows[kept], self.weights[kept], self.gaps[kept])

    def with_constant(self, gram: np.ndarray) -> NodewiseRows:
        """Return the rows with that of an unpenalized constant: (1, 0, …)/Σ̂₀₀ − Σ (Σ̂₀ₖ/Σ̂₀₀) Θ̂ₖ, Θ̂ₖ the others.

        So it is in Σ̂⁻¹; unlike a lasso of the constant, it does not depend on the origin of the columns.
        """
        others = self.without_constant()
        row = gram[0, 1:] @ approximate_inverse(others) / -gram[0, 0]
        row[0] += 1.0 / gram[0, 0]
        weight, gamma = 1.0 / row[0], -row / row[0]
        gamma[0] = 0.0
        return NodewiseRows(np.zeros(1, dtype=np.intp), gamma[None], np.array([weight]), np.zeros(1)) + others


def nodewise_rows(
    gram: np.ndarray,
    index: Sequence[int] | np.ndarray,
    alpha: np.ndarray,
    *,
    scaled: bool = False,
    tol: float = 1e-10,
    max_iter: int = 10_000,
) -> NodewiseRows:
    """Return the nodewise lasso of some columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.nodewise import nodewise_rows
    >>> nodewise_rows(np.array([[1.0, 0.5], [0.5, 1.0]]), [0], np.full(2, 0.1)).rows.tolist()
    [[0.0, 0.4]]
    """
    index = np.asarray(index, dtype=np.intp)
    never = alpha == 0
    if never.all():
        return _without_penalty(gram, index)
    r = len(index)
    found = NodewiseRows(index, np.zeros((r, len(gram))), np.zeros(r), np.zeros(r))
    for free, places in _by_unpenalized(never, index):
        profile = profile_out(gram, free)
        # An unpenalized column that is itself the target is excluded from its row's covariates.
        l1 = np.where(never, np.inf, alpha)[profile.rest]
        targets = np.searchsorted(profile.rest, index[places])
        known = _rows_together(profile.gram, targets, l1, scaled, tol)
        for place, target in zip(places, targets.tolist(), strict=True):
            gamma, weight, gap = known.get(target) or _row(profile.gram, target, l1, scaled, tol, max_iter)
            found.rows[place, profile.rest] = gamma
            if len(profile.free):
                found.rows[place, profile.free] = profile.loadings[:, target] - profile.loadings @ gamma
            own = gram[index[place], index[place]]
            found.weights[place] = weight if weight > _ALIASED * own else 0.0
            found.gaps[place] = gap
    return found


def _without_penalty(gram: np.ndarray, index: np.ndarray) -> NodewiseRows:
    """Return the rows of G⁻¹, as nodewise regressions."""
    inverse = np.nan_to_num(factorize(gram, intercept=False).inverse()[index])
    weights = np.zeros(len(index))
    own = inverse[np.arange(len(index)), index]
    np.divide(1.0, own, out=weights, where=own > 0)
    rows = -inverse * weights[:, None]
    rows[np.arange(len(index)), index] = 0.0
    return NodewiseRows(index, rows, weights, np.zeros(len(index)))


def _by_unpenalized(never: np.ndarray, index: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group rows by their unpenalized covariates, which differ only in the rows of unpenalized columns."""
    if len(places := np.flatnonzero(~never[index])):
        yield never, places
    for place in np.flatnonzero(never[index]):
        free = never.copy()
        free[index[place]] = False
        yield free, np.array([place])


def _rows_together(
    gram: np.ndarray, targets: np.ndarray, l1: np.ndarray, scaled: bool, tol: float
) -> dict[int, tuple[np.ndarray, float, float]]:
    """Return γ, τ² and the gap of the rows that simultaneous sweeps solve."""
    if len(gram) > _MOST_TOGETHER or not (np.diag(gram) > 0).all():
        return {}
    linear, own = gram[targets], np.arange(len(targets))
    square, penalty = linear[own, targets], np.tile(l1, (len(targets), 1))
    penalty[own, targets] = np.inf
    finite = np.where(np.isfinite(penalty), penalty, 0.0)
    noise = np.sqrt(square) if scaled else np.ones(len(targets))
    gammas, gaps, going = np.zeros_like(linear), np.full(len(targets), np.inf), own
    for _ in range(_MAX_RESCALINGS if scaled else 1):
        level = noise[going]
        coef, gap = sweep_together(
            gram, linear[going], square[going], penalty[going] * level[:, None], tol, gammas[going]
        )
        gammas[going], gaps[going] = coef, gap
        # As in `_row`.
        size = level * np.einsum("ij,ij->i", finite[going], np.abs(coef))
        left = square[going] - np.einsum("ij,ij->i", coef, linear[going]) - size
        noise[going] = np.sqrt(np.maximum(left, _ALIASED * square[going]))
        unsettled = np.abs(noise[going] - level) > _SETTLED * level
        going = going[unsettled & (gap <= tol * square[going] / 2)]
        if not len(going):
            break
    weights = square - np.einsum("ij,ij->i", gammas, linear)
    solved = np.flatnonzero(gaps <= tol * square / 2)
    return {int(targets[at]): (gammas[at], float(weights[at]), float(2.0 * gaps[at] / square[at])) for at in solved}


def _row(
    gram: np.ndarray, target: int, l1: np.ndarray, scaled: bool, tol: float, max_iter: int
) -> tuple[np.ndarray, float, float]:
    """Return γ, τ² and the gap of one row."""
    linear, gamma, gap = gram[target], np.zeros(len(gram)), 0.0
    square = float(linear[target])
    if not square > 0:
        return gamma, 0.0, 0.0
    l1 = l1.copy()
    l1[target] = np.inf
    noise = np.sqrt(square) if scaled else 1.0
    # All coefficients of a column without correlations above the penalties are zero, which is the usual case for
    # well-conditioned columns.
    if (np.abs(linear) <= noise * l1).all():
        return gamma, square, 0.0
    for _ in range(_MAX_RESCALINGS if scaled else 1):
        penalty = l1 * noise
        gamma, gap = penalized_lasso(gram, linear, square, penalty, gamma, tol * square / 2, max_iter)
        # At the minimum γ'(c − Gγ) = Σ α|γ|, so no product with G is needed.
        support = np.flatnonzero(gamma)
        fitted = float(linear[support] @ gamma[support])
        size = float(penalty[support] @ np.abs(gamma[support]))
        last, noise = noise, float(np.sqrt(max(square - fitted - size, 0.0)))
        if not scaled or abs(noise - last) <= _SETTLED * last:
            break
    return gamma, square - fitted, 2.0 * gap / square


def row_shares(d: int) -> list[range]:
    """Return the d rows of a nodewise lasso, split into tasks whose sizes differ by at most one row.

    Examples
    --------
    >>> from dask_onestep.kernels.lassos.nodewise import row_shares
    >>> row_shares(70)
    [range(0, 35), range(35, 70)]
    """
    tasks = max(-(-d // _ROWS_A_TASK), 1)
    ends = [d * task // tasks for task in range(tasks + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def join_rows(*parts: NodewiseRows) -> NodewiseRows:
    """Return the concatenated rows of several tasks."""
    return NodewiseRows(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(NodewiseRows)))


def approximate_inverse(nodewise: NodewiseRows) -> np.ndarray:
    """Return Θ̂, or the available rows of it, in the order of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.nodewise import approximate_inverse, nodewise_rows
    >>> approximate_inverse(nodewise_rows(2.0 * np.eye(2), [0, 1], np.ones(2))).tolist()
    [[0.5, -0.0], [-0.0, 0.5]]
    """
    if not (nodewise.weights > 0).all():
        bad = ", ".join(map(str, nodewise.index[~(nodewise.weights > 0)]))
        raise ValueError(
            f"Rows of the inverse are undefined where a nodewise weight is 0: columns {bad}. Drop them from the design."
        )
    order = np.argsort(nodewise.index)
    result = nodewise.rows[order]
    result /= -nodewise.weights[order][:, None]
    result[np.arange(len(order)), nodewise.index[order]] = 1.0 / nodewise.weights[order]
    return result
