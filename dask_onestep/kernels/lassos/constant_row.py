"""The constant's own row of Θ̂ for uncentered columns: the lasso of 1 on these columns.

Let m be the columns' means, S the Gram matrix of the centered columns X̃, and ω the mean weight of a row. The objective
is ½ω(1 − m'γ)² + ½γ'Sγ + Σ α_k|γ_k|. The residual of the constant, t = 1 − m'γ, may be 1e-14, and m² dominates the
digits of a Gram matrix of X. With γ = tg the conditions are those of the lasso of X̃ with the penalty α/t,

    g = argmin ½g'Sg − ωm'g + Σ (α_k/t)|g_k|,    t = 1/(1 + m'g),    τ² = ωt,

so the row is the point on that lasso's path at which 1/t, the path's parameter, equals 1 + m'g.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from dask_onestep.kernels.lassos.descent import UNHEARD
from dask_onestep.kernels.lassos.quadratic import profile_out

# Variance that rounding may give a constant column, relative to its square.
_ROUNDING = (64 * np.finfo(np.float64).eps) ** 2


@dataclass(frozen=True, slots=True)
class ConstantRow:
    """The constant's row.

    Attributes
    ----------
    gamma : ndarray of shape (d,)
        γ for the uncentered columns; 0 for the constant.
    own : float
        1 − shift'γ, the constant's own element for columns centered about the shift.
    weight : float
        τ².
    gap : float
        Its duality gap, relative to ω/2 after the unpenalized columns are minimized out.
    """

    gamma: np.ndarray
    own: float
    weight: float
    gap: float


@dataclass(frozen=True, slots=True)
class _Problem:
    """The lasso of X̃ in u = α∘g, which makes all penalties one: ½u'Pu − c'u + λ|u|.

    λ is 1/t, or, where penalties are scaled by the noise of the row, that noise over t.
    """

    gram: np.ndarray
    linear: np.ndarray
    omega: float
    unpenalized: float
    scaled: bool

    def left(self, u: np.ndarray) -> float:
        """Return 1/t at u."""
        return 1.0 + self.unpenalized + float(self.linear @ u) / self.omega

    def square(self, u: np.ndarray) -> float:
        """Return the squared norm per row of γ's residual, over t²."""
        return self.omega * (1.0 + self.unpenalized) + float(u @ self.gram @ u)

    def wanted(self, u: np.ndarray) -> float:
        """Return the λ that corresponds to u."""
        return float(np.sqrt(self.square(u))) if self.scaled else self.left(u)

    def gap(self, u: np.ndarray, level: float) -> float:
        """Return the relative duality gap at u."""
        left = self.left(u)
        shrink = level / max(level, float(np.abs(self.linear - self.gram @ u).max(initial=0.0)))
        size = level * float(np.abs(u).sum())
        gap = 0.5 * self.square(u) * (1.0 + shrink**2) - shrink * self.omega * left + size
        return 2.0 * max(gap, 0.0) * (1.0 + self.unpenalized) / (self.omega * left**2)


def constant_row(gram: np.ndarray, shift: np.ndarray, alpha: np.ndarray, *, scaled: bool) -> ConstantRow:
    """Return the nodewise lasso of the constant on uncentered columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.lassos.constant_row import constant_row
    >>> row = constant_row(np.eye(2), np.array([0.0, 3.0]), np.zeros(2), scaled=False)
    >>> round(row.weight, 12), row.gamma.round(12).tolist()
    (0.1, [0.0, 0.3])
    """
    about = profile_out(gram, np.arange(len(gram)) == 0)
    mean, omega = shift[1:] + about.loadings[0], float(gram[0, 0])
    inner = profile_out(about.gram, alpha[1:] == 0)
    free, rest = inner.free, inner.rest
    least = inner.factor.solve(mean[free])
    middle, level = mean[rest] - inner.loadings.T @ mean[free], alpha[1:][rest]
    scale = np.outer(level, level)
    problem = _Problem(inner.gram / scale, omega * middle / level, omega, omega * float(mean[free] @ least), scaled)
    varies = np.diag(inner.gram) > _ROUNDING * np.square(mean[rest])
    u, reached = _agreement(problem, varies)
    gamma, left = np.zeros(len(gram)), 1.0 / problem.left(u)
    gamma[1 + rest] = left * u / level
    gamma[1 + free] = omega * left * least - inner.loadings @ gamma[1 + rest]
    # Not computed from 1, relative to which it may be 1e-14.
    own = left + float(about.loadings[0] @ gamma[1:])
    return ConstantRow(gamma, own, omega * left, problem.gap(u, reached))


def _agreement(problem: _Problem, varies: np.ndarray) -> tuple[np.ndarray, float]:
    """Return u and λ at which the path of the lasso and the λ corresponding to its points agree."""
    u, at = np.zeros(len(varies)), np.flatnonzero(varies)
    least, idle = problem.wanted(u), np.where(varies, 0.0, np.abs(problem.linear))
    # A constant column blocks any λ below its own slope, whatever its coefficient. Where penalties are scaled it is
    # omitted, since it would leave no noise.
    wall = 0.0 if problem.scaled else float(idle.max(initial=0.0))
    ends = max(least, wall)
    if np.abs(problem.linear[at]).max(initial=0.0) > ends:
        from sklearn.linear_model import lars_path_gram  # imports half of scikit-learn

        gram = np.ascontiguousarray(problem.gram[np.ix_(at, at)])
        with UNHEARD():  # stopping too early shows in the gap
            levels, _, path = lars_path_gram(
                problem.linear[at], gram, n_samples=1, method="lasso", alpha_min=ends, max_iter=8 * len(at)
            )
        points = np.zeros((len(levels), len(varies)))
        points[:, at] = path.T
        over = [level - problem.wanted(point) for level, point in zip(levels, points, strict=True)]
        if crossed := next((place for place, excess in enumerate(over) if excess <= 0), 0):
            return _between(problem, levels[crossed - 1 : crossed + 1], points[crossed - 1 : crossed + 1])
        u = points[-1]
    if wall > problem.wanted(u):
        blocking = int(idle.argmax())
        u[blocking] = (wall - problem.wanted(u)) * problem.omega / problem.linear[blocking]
    return u, problem.wanted(u)


def _between(problem: _Problem, levels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the point of agreement on a linear segment of the path."""

    def excess(share: float) -> float:
        return levels[0] + share * (levels[1] - levels[0]) - problem.wanted(points[0] + share * (points[1] - points[0]))

    share = brentq(excess, 0.0, 1.0, xtol=1e-15) if excess(1.0) < 0 else 1.0
    u = points[0] + share * (points[1] - points[0])
    return u, problem.wanted(u)
