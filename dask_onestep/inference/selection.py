"""Submodels of a fit, and the adaptive lasso, from only the coefficients and their covariance.

With β̂ and its covariance C, the log-likelihood is near its maximum −½ (β − β̂)'C⁻¹(β − β̂) up to a constant.  Wang and
Leng (2007) maximize it under an adaptive lasso penalty, their least-squares approximation (LSA); Zhu, Li and Wang
(2021) do so for data in blocks (DLSA).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.special import gammaln

from dask_onestep.kernels.solve.linear_algebra import factorize

# Coefficients over their estimates below which they are zero.
_ROUNDING = 1e-12
CRITERIA = ("dbic", "bic", "aic", "ebic")


@dataclass(frozen=True, eq=False)
class Constrained:
    """The maximum of the quadratic with some coefficients fixed at zero.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        The coefficients; 0 for those fixed.
    covariance : ndarray of shape (d, d)
        Their covariance; 0 for those fixed.
    distance : float
        (β − β̂)'C⁻¹(β − β̂): about the likelihood-ratio statistic, over the dispersion.
    """

    coef: np.ndarray
    covariance: np.ndarray
    distance: float


def constrain(coef: np.ndarray, covariance: np.ndarray, fixed: np.ndarray) -> Constrained:
    """Return the maximum of the quadratic with the coefficients in the mask `fixed` at zero.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.selection import constrain
    >>> found = constrain(np.array([1.0, 2.0]), np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([False, True]))
    >>> found.coef.tolist(), found.covariance.tolist(), found.distance
    ([0.0, 0.0], [[0.75, 0.0], [0.0, 0.0]], 4.0)
    """
    if not fixed.any():
        return Constrained(coef, covariance, 0.0)
    lower = _root(covariance[np.ix_(fixed, fixed)])
    half, white = (linalg.solve_triangular(lower, each[fixed], lower=True) for each in (covariance, coef))
    moved, spread = coef - half.T @ white, covariance - half.T @ half
    moved[fixed] = 0.0
    spread[fixed] = spread[:, fixed] = 0.0
    return Constrained(moved, spread, float(white @ white))


@dataclass(frozen=True, eq=False)
class AdaptiveLassoPath:
    """The adaptive lasso of the quadratic approximation of a fit, at each change of the set of nonzero coefficients.

    Attributes
    ----------
    coefs : DataFrame of shape (k, d)
        Coefficients, one row per penalty; the last are the estimates themselves.
    table : DataFrame
        One row per penalty; columns penalty, n_nonzero (without intercepts), distance (twice the difference of the
        log-likelihood from its maximum, over the dispersion), refitted (the same at the estimate of the nonzero
        coefficients without a penalty), and the criteria dbic, bic, aic and ebic.
    penalized : tuple of str
        The penalized coefficients.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, _ = make_glm(5000, 4, coef=[0.5, 1.0, 0.0, -0.5, 0.0], family="poisson")
    >>> path = GLMRegressor("poisson").fit(X, y).adaptive_lasso_path()
    >>> path.selected("dbic")
    ['x0', 'x2']
    """

    coefs: pd.DataFrame
    table: pd.DataFrame
    penalized: tuple[str, ...]

    def selected(self, criterion: str = "dbic") -> list[str]:
        """Return the penalized coefficients that are not zero where a criterion is smallest.

        Parameters
        ----------
        criterion : {"dbic", "bic", "aic", "ebic"}, default="dbic"
            The criterion.

        Returns
        -------
        list of str
            Their names.
        """
        chosen = self.coefs.iloc[int(self.table[criterion].to_numpy().argmin())]
        return [name for name in self.penalized if chosen[name] != 0]

    def _repr_html_(self) -> str:
        return self.table.to_html()


def adaptive_lasso(
    coef: np.ndarray, covariance: np.ndarray, penalized: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the path of ½ (β − β̂)'C⁻¹(β − β̂) + λ Σ|β_j|/|β̂_j|, the sum over penalized coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.selection import adaptive_lasso
    >>> penalties, coefs, distances = adaptive_lasso(np.array([2.0, 1.0]), np.eye(2), np.array([True, True]))
    >>> penalties.round(12).tolist(), coefs.round(12).tolist()
    ([4.0, 1.0, 0.0], [[0.0, 0.0], [1.5, 0.0], [2.0, 1.0]])
    """
    from sklearn.linear_model import lars_path  # imports half of scikit-learn

    at = np.flatnonzero(penalized)
    lower, scale = _root(covariance[np.ix_(at, at)]), np.abs(coef[at])
    # With R = L⁻¹ the quadratic is ½‖Rβ̂ − Rβ‖², and with β_j = |β̂_j| θ_j the penalty is λ Σ|θ_j|.
    design = linalg.solve_triangular(lower, np.diag(scale), lower=True)
    target = linalg.solve_triangular(lower, coef[at], lower=True)
    levels, _, path = lars_path(design, target, method="lasso", alpha_min=0.0, max_iter=8 * len(at))
    path[np.abs(path) < _ROUNDING] = 0.0  # of coefficients that leave the path
    coefs = np.tile(coef, (len(levels), 1))
    coefs[:, at] = path.T * scale
    left = target[:, None] - design @ path
    # The others minimize the quadratic given the penalized ones.
    rest = np.flatnonzero(~penalized)
    coefs[:, rest] -= left.T @ linalg.solve_triangular(lower, covariance[np.ix_(at, rest)], lower=True)
    return levels * len(at), coefs, np.square(left).sum(axis=0)


def criteria_table(
    penalties: np.ndarray, n_nonzero: np.ndarray, distances: np.ndarray, refitted: np.ndarray, n: float, p: int
) -> pd.DataFrame:
    """Return the points of a path with their information criteria."""
    subsets = gammaln(p + 1.0) - gammaln(n_nonzero + 1.0) - gammaln(p - n_nonzero + 1.0)
    bic = refitted + np.log(n) * n_nonzero
    return pd.DataFrame(
        {
            "penalty": penalties,
            "n_nonzero": n_nonzero,
            "distance": distances,
            "refitted": refitted,
            "dbic": distances + np.log(n) * n_nonzero,
            "bic": bic,
            "aic": refitted + 2.0 * n_nonzero,
            "ebic": bic + 2.0 * subsets,
        }
    )


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of a covariance."""
    if np.isfinite(covariance).all():
        factor = factorize(covariance, intercept=False)
        if factor.kept.all():
            return factor.scale[:, None] * factor.lower
    raise ValueError(
        "The covariance of the coefficients is undefined or singular, as that of fewer clusters than coefficients is, "
        "so submodels cannot be computed from it. Use a method with standard errors, or cov_type='nonrobust'."
    )
