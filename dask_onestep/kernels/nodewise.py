"""Nodewise lasso: an approximate inverse covariance, row by row, from a Gram matrix.

γ_j is the lasso of column j on all others, γ_j = argmin ‖x_j − X_{−j}γ‖²/(2n) + Σ α_k|γ_k|, and
τ_j² = ‖x_j − X_{−j}γ_j‖²/n + Σ α_k|γ_jk|; row j of Θ̂ is τ_j⁻² (1 at j, −γ_j elsewhere), equations
(8) and (9) of van de Geer, Bühlmann, Ritov and Dezeure, arXiv 1303.0518.  All rows share the Gram
matrix X'X/n: no column is copied out of X.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.quadratic import coordinate_descent, profile_out
from dask_onestep.kernels.records import Sums

__all__ = ["NodewiseRows", "approximate_inverse", "join_rows", "nodewise_rows", "row_shares"]

_MAX_RESCALINGS = 20
# Rows in one task, where all come from one Gram matrix: many tasks a worker, so that their work evens out.
_ROWS_A_TASK = 64
# A column of which the others leave less than this share has no row of its own.
_ALIASED = 1e-11


@dataclass(frozen=True, slots=True)
class NodewiseRows(Sums):
    """Some rows of a nodewise lasso; ``+`` puts rows beside rows.

    Attributes
    ----------
    index : ndarray of int of shape (r,)
        The columns that were regressed on the others.
    rows : ndarray of shape (r, d)
        γ_j, with 0 at j itself.
    weights : ndarray of shape (r,)
        τ_j²; statsmodels' nodewise weight is its square root.
    gaps : ndarray of shape (r,)
        Duality gaps as shares of ‖x_j‖²/(2n), what the unpenalised columns explain left out.
    """

    index: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    gaps: np.ndarray

    def __add__(self, other: NodewiseRows) -> NodewiseRows:
        return join_rows(self, other)


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

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        X'X/n, X the weighted design.
    index : sequence of int
        The columns to regress on the others.
    alpha : ndarray of shape (d,)
        α_k of each column as a covariate; 0 for columns that are never penalised.
    scaled : bool
        Whether α_k is for a column of noise 1: it is then multiplied by the standard deviation
        ‖x_j − X_{−j}γ_j‖/√n that the fit itself leaves, as in Sun and Zhang (2013), "Sparse matrix
        inversion with scaled lasso".
    tol : float
        On the duality gap, as a share of the column's variance.
    max_iter : int
        Sweeps of coordinate descent for a row, at the most.

    Returns
    -------
    NodewiseRows
        One row for each of `index`; τ_j² is 0 where a column is a combination of unpenalised others.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.nodewise import nodewise_rows
    >>> nodewise_rows(np.array([[1.0, 0.5], [0.5, 1.0]]), [0], np.full(2, 0.1)).rows.tolist()
    [[0.0, 0.4]]
    """
    index = np.asarray(index, dtype=np.intp)
    never = alpha == 0
    if never.all():
        return _without_penalty(gram, index)
    found = NodewiseRows(index, np.zeros((len(index), len(gram))), np.zeros(len(index)), np.zeros(len(index)))
    for free, places in _by_unpenalised(never, index):
        profile = profile_out(gram, free)
        scale = np.where(never, 1.0, alpha)[profile.rest]
        shape = profile.gram
        shape /= scale[:, None]
        shape /= scale
        for place in places:
            target = int(np.searchsorted(profile.rest, index[place]))
            penalty = 1.0 if scaled else 1.0 / scale[target]
            gamma, weight, gap = _row(shape, target, penalty, scaled, tol, max_iter)
            gamma *= scale[target] / scale
            found.rows[place, profile.rest] = gamma
            found.rows[place, profile.free] = profile.loadings[:, target] - profile.loadings @ gamma
            own = gram[index[place], index[place]]
            weight *= scale[target] ** 2
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


def _by_unpenalised(never: np.ndarray, index: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group rows by the columns that they do not penalise: all the same, but for such a column's own row."""
    if len(places := np.flatnonzero(~never[index])):
        yield never, places
    for place in np.flatnonzero(never[index]):
        free = never.copy()
        free[index[place]] = False
        yield free, np.array([place])


def _row(
    gram: np.ndarray, target: int, alpha: float, scaled: bool, tol: float, max_iter: int
) -> tuple[np.ndarray, float, float]:
    """Return γ, τ² and the gap of one row; the target's row and column are blanked meanwhile."""
    column = gram[:, target].copy()
    square, linear = column[target], column.copy()
    linear[target] = 0.0
    if not square > 0:
        return np.zeros(len(gram)), 0.0, 0.0
    gram[:, target] = gram[target] = 0.0
    gamma, gap = np.zeros(len(gram)), 0.0
    noise = float(np.sqrt(square)) if scaled else 1.0
    for _ in range(_MAX_RESCALINGS if scaled else 1):
        penalty = alpha * noise
        gamma, gap = coordinate_descent(gram, linear, penalty, square, gamma, tol, max_iter)
        # At the minimum γ'(c − Gγ) = α‖γ‖₁, so that no product with G is needed.
        fitted, size = float(linear @ gamma), penalty * float(np.abs(gamma).sum())
        last, noise = noise, float(np.sqrt(max(square - fitted - size, 0.0)))
        if not scaled or abs(noise - last) <= 1e-4 * last:
            break
    gram[:, target] = gram[target] = column
    return gamma, square - fitted, 2.0 * gap / square


def row_shares(d: int) -> list[range]:
    """Return the rows of a whole nodewise lasso, cut into tasks.

    Parameters
    ----------
    d : int
        Rows.

    Returns
    -------
    list of range
        The rows of each task.

    Examples
    --------
    >>> from dask_onestep.kernels.nodewise import row_shares
    >>> row_shares(70)
    [range(0, 64), range(64, 70)]
    """
    return [range(start, min(start + _ROWS_A_TASK, d)) for start in range(0, d, _ROWS_A_TASK)]


def join_rows(*parts: NodewiseRows) -> NodewiseRows:
    """Return all rows of several tasks.

    Parameters
    ----------
    *parts : NodewiseRows
        Rows of one nodewise lasso.

    Returns
    -------
    NodewiseRows
        All of them.
    """
    fields = ("index", "rows", "weights", "gaps")
    return NodewiseRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def approximate_inverse(nodewise: NodewiseRows) -> np.ndarray:
    """Return Θ̂, or the rows of it that are there, in the order of the columns.

    Parameters
    ----------
    nodewise : NodewiseRows
        Rows of a nodewise lasso, in any order.

    Returns
    -------
    ndarray of shape (r, d)
        Row j is τ_j⁻² (1 at j, −γ_j elsewhere).

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.nodewise import approximate_inverse, nodewise_rows
    >>> approximate_inverse(nodewise_rows(2.0 * np.eye(2), [0, 1], np.ones(2))).tolist()
    [[0.5, -0.0], [-0.0, 0.5]]
    """
    order = np.argsort(nodewise.index)
    result = -nodewise.rows[order]
    result[np.arange(len(order)), nodewise.index[order]] = 1.0
    return result / nodewise.weights[order][:, None]
