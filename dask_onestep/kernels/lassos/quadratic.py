"""The lasso of a quadratic function, given by a Gram matrix.

The objective is ½ b'Gb − c'b + Σ (l1_j|b_j| + ½ r_j b_j²). Columns with l1 = 0 are minimized out first, so that several
penalties share the matrix that remains.
"""

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.lassos.descent import penalized_lasso
from dask_onestep.kernels.solve.linear_algebra import CholeskyFactor, factorize

# Rows of a matrix that are changed at a time, so that no temporary array has its size.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class ProfiledGram:
    """A Gram matrix with its unpenalized columns minimized out.

    Attributes
    ----------
    free, rest : ndarray of int
        The unpenalized columns, and all others.
    gram : ndarray of shape (m, m)
        G_rr − G_rf G_ff⁻¹ G_fr; G itself, not a copy, if every column is penalized.
    loadings : ndarray of shape (f, m)
        G_ff⁻¹ G_fr: the regression of the others on the unpenalized columns.
    factor : CholeskyFactor
        G_ff, factored; an unpenalized column that is aliased with earlier ones has coefficient 0.
    whole : ndarray of shape (d, d)
        G.
    """

    free: np.ndarray
    rest: np.ndarray
    gram: np.ndarray
    loadings: np.ndarray
    factor: CholeskyFactor
    whole: np.ndarray


def profile_out(gram: np.ndarray, free: np.ndarray, ridge: np.ndarray | None = None) -> ProfiledGram:
    """Minimize the unpenalized columns (those in the mask `free`) out of a quadratic function.

    Columns without an l1 part may have a ridge part, which is added to the diagonal of G_ff.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.quadratic import profile_out
    >>> profile_out(np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([True, False])).gram.tolist()
    [[0.75]]
    """
    inside, rest = np.flatnonzero(free), np.flatnonzero(~free)
    own = gram[np.ix_(inside, inside)]
    if ridge is not None:
        own[np.diag_indices_from(own)] += ridge[inside]
    factor = factorize(own, intercept=False)
    if not len(inside):
        return ProfiledGram(inside, rest, gram, np.empty((0, len(rest))), factor, gram)
    cross = gram[np.ix_(inside, rest)]
    loadings = factor.solve(cross)
    left = gram[np.ix_(rest, rest)]
    for start in range(0, len(rest), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        left[some] -= cross[:, some].T @ loadings
    return ProfiledGram(inside, rest, left, loadings, factor, gram)


def profiled(gram: np.ndarray, l1: np.ndarray, ridge: np.ndarray, last: ProfiledGram | None = None) -> ProfiledGram:
    """Return a Gram matrix with its columns of l1 = 0 minimized out: the last one, where it is of the same."""
    free = l1 == 0
    same = last is not None and last.whole is gram and np.array_equal(last.free, np.flatnonzero(free))
    return last if last is not None and same and not ridge[free].any() else profile_out(gram, free, ridge)


def partial_variances(gram: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the diagonal of a Gram matrix whose unpenalized columns are minimized out; 0 for these.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.quadratic import partial_variances
    >>> partial_variances(np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([True, False])).tolist()
    [0.0, 0.75]
    """
    left = np.diag(gram).copy()
    cross = gram[free]
    left -= (cross * factorize(cross[:, free], intercept=False).solve(cross)).sum(axis=0)
    left[free] = 0.0
    return np.maximum(left, 0.0)


def solve_lasso(
    profile: ProfiledGram,
    linear: np.ndarray,
    square: float,
    l1: np.ndarray,
    ridge: np.ndarray,
    start: np.ndarray,
    tol: float,
    max_iter: int,
) -> tuple[np.ndarray, float]:
    """Return the minimizer of ½ b'Gb − c'b + Σ (l1_j|b_j| + ½ r_j b_j²), given profiled G, and its duality gap.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.quadratic import profile_out, solve_lasso
    >>> profile, none = profile_out(np.eye(2), np.array([False, False])), np.zeros(2)
    >>> coef, gap = solve_lasso(profile, np.array([2.0, 0.3]), 5.0, np.ones(2), none, none, 1e-10, 100)
    >>> coef.tolist()
    [1.0, 0.0]
    """
    free, rest = profile.free, profile.rest
    coef, gap = np.zeros(len(linear)), 0.0
    if len(free):
        coef[free] = profile.factor.solve(linear[free])
    if len(rest):
        left = linear[rest] - profile.loadings.T @ linear[free]
        unexplained = square - float(linear[free] @ coef[free])
        own = ridge[rest] if ridge[rest].any() else None
        coef[rest], gap = penalized_lasso(profile.gram, left, unexplained, l1[rest], start[rest], tol, max_iter, own)
        if len(free):
            coef[free] -= profile.loadings @ coef[rest]
    return coef, gap


def kkt_residual(slope: np.ndarray, coef: np.ndarray, l1: np.ndarray) -> float:
    """Return the largest violation of the lasso's optimality (KKT) conditions.

    This is the largest ``|slope_j − l1_j sign(b_j)|``, or excess of ``|slope_j|`` over l1_j where b_j = 0. `slope` is
    the derivative of the maximized function without the l1 part.
    """
    active = np.abs(slope - l1 * np.sign(coef))
    idle = np.maximum(np.abs(slope) - l1, 0.0)
    return float(np.max(np.where(coef != 0, active, idle), initial=0.0))
