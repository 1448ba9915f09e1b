"""Lassos on a Gram matrix, every column penalized: ½ b'Gb − c'b + Σ l1_j|b_j|, l1_j > 0.

A single lasso is solved by scikit-learn's coordinate descent on working sets of the few columns that may enter, and by
the normal equations of the nonzero coefficients. Since that descent has one penalty for all columns, columns are scaled
by their penalties. Several lassos that share G may first be swept together. The duality gap is that of all columns, so
it bounds the remaining error either way. No row of a block is copied or read again.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

# Columns whose slope exceeds this fraction of their penalty join the working set: most of the needed columns enter at
# once, and a few superfluous ones cost little.
_NEAR = 0.7
# The error of β is proportional to the root of the gap, and a few more sweeps cost little.
_SURE = 1e-3
# Maximum number of sweeps of all columns at once.
_MAX_SWEEPS = 25
# Sweeps of coordinate descent before the signs that it has found are used.
_SWEEPS = 50


def penalized_lasso(
    gram: np.ndarray,
    linear: np.ndarray,
    square: float,
    l1: np.ndarray,
    start: np.ndarray,
    tol: float,
    max_iter: int,
    ridge: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Return the minimizer of ½ b'Gb − c'b + Σ (l1_j|b_j| + ½ r_j b_j²), every l1_j > 0, and its duality gap."""
    coef, support = start, np.flatnonzero(start)
    inside = start != 0
    while True:
        if inside.any():
            coef = _descend(gram, linear, square, l1, coef, np.flatnonzero(inside), tol, max_iter, ridge)
            support = np.flatnonzero(coef)
        slope = linear - _product(gram, coef, support) if len(support) else linear
        if ridge is not None and len(support):
            slope = slope - ridge * coef
        near = np.abs(slope) / l1
        entering = near > _NEAR
        entering &= ~inside
        wanting = (near[entering] > 1.0).any()
        # Where columns enter from zero, the gap is not within any tolerance.
        if not wanting or len(support):
            gap = _duality_gap(coef[support], support, slope, linear, square, l1, float(near.max(initial=0.0)))
            if gap <= tol or not wanting:
                return coef, gap
        inside |= entering


def sweep_together(
    gram: np.ndarray,
    linear: np.ndarray,
    square: np.ndarray,
    l1: np.ndarray,
    tol: float,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of a few sweeps over all columns for several lassos that share a Gram matrix.

    Every sweep updates all columns simultaneously, with one matrix product for all lassos. Where columns are nearly
    uncorrelated this soon converges. The sweeps end when there is no progress; the gaps then show which lassos remain
    to be solved.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.descent import sweep_together
    >>> c = np.array([[2.0, 0.3], [0.1, -3.0]])
    >>> sweep_together(np.eye(2), c, np.array([5.0, 10.0]), np.ones((2, 2)), 1e-10)[0].tolist()
    [[1.0, 0.0], [0.0, -2.0]]
    """
    scale, worst = np.diag(gram), np.inf
    coef, slope = (np.zeros_like(linear), linear) if start is None else (start, linear - start @ gram)
    finite = np.where(np.isfinite(l1), l1, 0.0)
    for _ in range(_MAX_SWEEPS):
        excess = (np.abs(slope) / l1).max(axis=1)
        fitted = np.einsum("ij,ij->i", coef, linear)
        residual = np.maximum(square - fitted - np.einsum("ij,ij->i", coef, slope), 0.0)
        shrink = 1.0 / np.maximum(excess, 1.0)
        size = np.einsum("ij,ij->i", np.abs(coef), finite)
        gap = np.maximum(0.5 * residual * (1.0 + shrink**2) - shrink * (square - fitted) + size, 0.0)
        last, worst = worst, float((gap / square).max(initial=0.0))
        if worst <= _SURE * tol / 2 or not worst < last:
            break
        ahead = coef * scale + slope
        coef = np.maximum(np.abs(ahead) - l1, 0.0)
        coef *= np.sign(ahead)
        coef /= scale
        slope = linear - coef @ gram
    return coef, gap


class _Unheard:
    """Context manager that suppresses scikit-learn's convergence warnings, which the reported duality gap replaces.

    Warning filters belong to the process, not to a thread: the first thread to enter sets them, and the last one to
    leave restores them.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", ConvergenceWarning)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._filters.__exit__(None, None, None)


UNHEARD = _Unheard()


def _descend(
    gram: np.ndarray,
    linear: np.ndarray,
    square: float,
    l1: np.ndarray,
    start: np.ndarray,
    inside: np.ndarray,
    tol: float,
    max_iter: int,
    ridge: np.ndarray | None,
) -> np.ndarray:
    """Return the lasso of the columns in `inside`, all others at 0.

    scikit-learn's coordinate descent finds the signs; where columns are correlated so that it is slow, the normal
    equations of the nonzero coefficients with these signs are solved in between.
    """
    scale = l1[inside]
    shape = gram[np.ix_(inside, inside)]
    if ridge is not None:
        shape[np.diag_indices_from(shape)] += ridge[inside]
    shape /= scale[:, None]
    shape /= scale
    square = max(square, np.finfo(np.float64).tiny)
    own, found = linear[inside] / scale, start[inside] * scale
    from sklearn.linear_model import enet_path  # imports half of scikit-learn

    sweeps = 0
    while sweeps < max_iter:
        most = min(_SWEEPS, max_iter - sweeps)
        # With a Gram matrix, scikit-learn uses only the shape of X and the norm of y: one row suffices.
        with config_context(skip_parameter_validation=True), UNHEARD():
            _, coefs, gaps, counts = enet_path(
                np.zeros((1, len(inside))),
                np.array([np.sqrt(square)]),
                l1_ratio=1.0,
                alphas=np.ones(1),
                precompute=shape,
                Xy=own,
                coef_init=found,
                copy_X=False,
                check_input=False,
                # Half the tolerance, so that rounding does not decide.
                tol=tol / square / 2,
                max_iter=most,
                return_n_iter=True,
            )
        found, sweeps = coefs[:, 0], sweeps + most
        if counts[0] < most or gaps[0] <= tol / 2:
            break
        found = _with_signs(shape, own, found)
    coef = np.zeros(len(linear))
    coef[inside] = found / scale
    return coef


def _with_signs(gram: np.ndarray, linear: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return the minimizer of ½ b'Gb − c'b + Σ |b_j| with the signs of `coef`, as far as they persist on the way.

    The function falls along the way: up to the first coefficient that becomes 0, or to the end with 0 for all whose
    sign would change, if that is better.
    """
    at = np.flatnonzero(coef)
    sign, here, shape, slope = np.sign(coef[at]), coef[at], gram[np.ix_(at, at)], linear[at]
    try:
        target = cho_solve(cho_factor(shape), slope - sign)
    except np.linalg.LinAlgError:
        return coef

    def value(b: np.ndarray) -> float:
        return float(0.5 * b @ shape @ b - slope @ b + np.abs(b).sum())

    turned = target * sign < 0
    first = float((here[turned] / (here[turned] - target[turned])).min(initial=1.0))
    trials = [np.where(turned, 0.0, target), here + first * (target - here)]
    best = min((here, *trials), key=value)
    moved = coef.copy()
    moved[at] = best
    return moved


def _product(gram: np.ndarray, coef: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return Gb, from the rows of G for nonzero b."""
    return gram @ coef if 2 * len(support) > len(coef) else coef[support] @ gram[support]


def _duality_gap(
    coef: np.ndarray,
    support: np.ndarray,
    slope: np.ndarray,
    linear: np.ndarray,
    square: float,
    l1: np.ndarray,
    excess: float,
) -> float:
    """Return the duality gap at b, given on its support; `excess` is the largest ratio of a slope to its penalty."""
    fitted = float(coef @ linear[support])
    residual = max(square - fitted - float(coef @ slope[support]), 0.0)
    shrink = 1.0 / max(excess, 1.0)
    size = float(l1[support] @ np.abs(coef))
    return max(0.5 * residual * (1.0 + shrink**2) - shrink * (square - fitted) + size, 0.0)
