"""The lasso of a quadratic: all that a block's rows say is in its Gram matrix.

The objective is ½ b'Gb − c'b + Σ l1_j|b_j| + ½ Σ l2_j b_j².  Columns with l1 = 0 are not penalised:
they are minimised out first.  A column's own penalty becomes its scale, so that scikit-learn's
coordinate descent, which has one penalty for all, solves the rest on the Gram matrix; no row of the
block is copied or read again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.linear_model import enet_path

from dask_onestep.kernels.linear_algebra import Factor, factorize

__all__ = ["Profile", "coordinate_descent", "kkt_residual", "profile_out", "solve_lasso"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A Gram matrix with its unpenalised columns minimised out.

    Attributes
    ----------
    free, rest : ndarray of int
        The unpenalised columns, and all others.
    gram : ndarray of shape (m, m)
        G_rr − G_rf G_ff⁻¹ G_fr; C-contiguous, and a copy.
    loadings : ndarray of shape (f, m)
        G_ff⁻¹ G_fr: the unpenalised columns' part in the others.
    factor : Factor
        G_ff, factored; an unpenalised column that others before it explain has coefficient 0.
    """

    free: np.ndarray
    rest: np.ndarray
    gram: np.ndarray
    loadings: np.ndarray
    factor: Factor


def profile_out(gram: np.ndarray, free: np.ndarray) -> Profile:
    """Minimise the unpenalised columns out of a quadratic.

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        G.
    free : ndarray of shape (d,) of bool
        The unpenalised columns.

    Returns
    -------
    Profile
        What is left.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.quadratic import profile_out
    >>> profile_out(np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([True, False])).gram.tolist()
    [[0.75]]
    """
    inside, rest = np.flatnonzero(free), np.flatnonzero(~free)
    factor = factorize(gram[np.ix_(inside, inside)], intercept=False)
    if not len(inside):
        return Profile(inside, rest, np.array(gram, order="C"), np.empty((0, len(rest))), factor)
    cross = gram[np.ix_(inside, rest)]
    loadings = factor.solve(cross)
    left = gram[np.ix_(rest, rest)]
    left -= cross.T @ loadings
    return Profile(inside, rest, left, loadings, factor)


def coordinate_descent(
    gram: np.ndarray, linear: np.ndarray, alpha: float, square: float, start: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, float]:
    """Return the minimiser of ½ b'Gb − c'b + α‖b‖₁ and its duality gap, by scikit-learn.

    Parameters
    ----------
    gram : ndarray of shape (m, m)
        G, C-contiguous; columns of zeros get coefficient 0.
    linear : ndarray of shape (m,)
        c.
    alpha : float
        α > 0.
    square : float
        The squared norm of the response that belongs to c, by which `tol` is measured.
    start : ndarray of shape (m,)
        Where to start.
    tol : float
        Stop at a duality gap of ``tol * square``.
    max_iter : int
        Sweeps at the most.

    Returns
    -------
    coef : ndarray of shape (m,)
        b.
    gap : float
        Its duality gap.
    """
    if np.abs(linear).max(initial=0.0) <= alpha:
        return np.zeros(len(linear)), 0.0
    # With a Gram matrix scikit-learn takes from X its shape alone, and from y its norm: one row will do.
    with config_context(skip_parameter_validation=True):
        _, coefs, gaps = enet_path(
            np.zeros((1, len(linear))),
            np.array([np.sqrt(max(square, np.finfo(np.float64).tiny))]),
            l1_ratio=1.0,
            alphas=np.array([alpha]),
            precompute=gram,
            Xy=linear,
            coef_init=start,
            copy_X=False,
            check_input=False,
            tol=tol,
            max_iter=max_iter,
        )
    return coefs[:, 0], float(gaps[0])


def solve_lasso(
    gram: np.ndarray,
    linear: np.ndarray,
    square: float,
    l1: np.ndarray,
    start: np.ndarray,
    tol: float,
    max_iter: int,
) -> tuple[np.ndarray, float]:
    """Return the minimiser of ½ b'Gb − c'b + Σ l1_j|b_j|, a ridge part being in G, and its duality gap.

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        G.
    linear : ndarray of shape (d,)
        c.
    square : float
        The squared norm of the response that belongs to c.
    l1 : ndarray of shape (d,)
        Penalties; 0 for unpenalised columns.
    start : ndarray of shape (d,)
        Where to start.
    tol, max_iter : float, int
        As for `coordinate_descent`.

    Returns
    -------
    coef : ndarray of shape (d,)
        b.
    gap : float
        Its duality gap.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.quadratic import solve_lasso
    >>> coef, gap = solve_lasso(np.eye(2), np.array([2.0, 0.3]), 5.0, np.ones(2), np.zeros(2), 1e-10, 100)
    >>> coef.tolist()
    [1.0, 0.0]
    """
    profile = profile_out(gram, l1 == 0)
    free, rest = profile.free, profile.rest
    coef, gap = np.zeros(len(linear)), 0.0
    if len(free):
        coef[free] = profile.factor.solve(linear[free])
    if len(rest):
        scale = l1[rest]
        shape = profile.gram
        shape /= scale[:, None]
        shape /= scale
        left = (linear[rest] - profile.loadings.T @ linear[free]) / scale
        unexplained = square - float(linear[free] @ coef[free])
        scaled, gap = coordinate_descent(shape, left, 1.0, unexplained, start[rest] * scale, tol, max_iter)
        coef[rest] = scaled / scale
        if len(free):
            coef[free] -= profile.loadings @ coef[rest]
    return coef, gap


def kkt_residual(slope: np.ndarray, coef: np.ndarray, l1: np.ndarray) -> float:
    """Return how far a point is from the lasso's optimality (KKT) conditions.

    Parameters
    ----------
    slope : ndarray of shape (d,)
        The derivative of what is maximised, without the l1 part.
    coef : ndarray of shape (d,)
        b.
    l1 : ndarray of shape (d,)
        Penalties.

    Returns
    -------
    float
        The largest ``|slope_j − l1_j sign(b_j)|``, and the largest excess of ``|slope_j|`` over l1_j where b_j = 0.
    """
    active = np.abs(slope - l1 * np.sign(coef))
    idle = np.maximum(np.abs(slope) - l1, 0.0)
    return float(np.max(np.where(coef != 0, active, idle), initial=0.0))
