"""Orthogonalized design columns, with which normal equations lose no digits.

With X = QDR, D the lengths and R unit upper triangular, column j of X R⁻¹ is the residual of column j after regression
on the columns before it: successive orthogonalization (Golub and Van Loan, "Matrix Computations", section 5.2.8;
Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", algorithm 3.1). A generalized linear model in
these columns has coefficients γ = Rβ and the same maximum.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from dask_onestep.kernels.records import Moments


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """The columns of a design, each as the residual of its regression on those before it.

    Attributes
    ----------
    kept : ndarray of shape (d,) of bool
        The columns that are not aliased with earlier ones; r of them.
    scale : ndarray of shape (r,)
        Powers of two by which the kept columns are first divided, exactly; 1 for the intercept.
    upper : ndarray of shape (r, r)
        R, unit upper triangular, in Fortran order.
    condition : float
        Condition number of X'X with columns scaled to equal length.
    intercept : bool
        Whether the first column is the intercept.
    aliased : ndarray of shape (r, d - r)
        The other columns as combinations of the kept ones.
    """

    kept: np.ndarray
    scale: np.ndarray
    upper: np.ndarray
    condition: float
    intercept: bool
    aliased: np.ndarray

    def columns(self, design: np.ndarray) -> np.ndarray:
        """Return the orthogonalized columns of some rows, X R⁻¹, of shape (m, r).

        A triangular system is solved for each row, which is backward stable; a product with R⁻¹ is not. Means are
        subtracted first, so that their rounding does not affect the later columns.
        """
        if not self.kept.all():
            design = design[:, self.kept]
        design /= self.scale
        if not self.intercept:
            return _solved_rows(self.upper, design)
        design[:, 1:] -= self.upper[0, 1:]
        upper = self.upper.copy(order="F")
        upper[0, 1:] = 0.0
        return _solved_rows(upper, design)

    def coefficients(self, gamma: np.ndarray) -> np.ndarray:
        """Return β = R⁻¹γ, with NaN for the columns that were not kept and for those without γ."""
        rows = gamma.reshape(-1, len(self.scale))
        known = np.isfinite(rows)
        beta = np.full((len(rows), len(self.kept)), np.nan)
        # The rows of a covariance may lack different coefficients, but seldom lack any.
        for present in np.unique(known, axis=0):
            at = (known == present).all(axis=1)
            upper, scale = self.upper[np.ix_(present, present)], self.scale[present]
            wanted = rows[np.ix_(at, present)].T
            solved = linalg.solve_triangular(upper, wanted, unit_diagonal=True)
            if gamma.ndim == 1:  # a small coefficient is the difference of large numbers, of which each was rounded
                left = wanted - upper.astype(np.longdouble) @ solved.astype(np.longdouble)
                solved += linalg.solve_triangular(upper, left.astype(np.float64), unit_diagonal=True)
            beta[np.ix_(at, np.flatnonzero(self.kept)[present])] = solved.T / scale
        return beta.reshape(*gamma.shape[:-1], -1)

    def covariance(self, gamma: np.ndarray) -> np.ndarray:
        """Return the covariance R⁻¹ Cov(γ) R⁻ᵀ of β, of shape (..., C·d, C·d); NaN for columns that were not kept."""
        half = self.coefficients(gamma)
        return self.coefficients(half.swapaxes(-1, -2))

    def moments(self, gamma: Moments) -> Moments:
        """Return the moments in β, of aliased columns too, from those in γ: J's, J'IJ and J'∂χ²/∂γ for γ = Jβ."""
        count = len(gamma.score) // len(self.scale)
        combined = np.zeros((len(self.scale), len(self.kept)))
        combined[:, self.kept], combined[:, ~self.kept] = np.eye(len(self.scale)), self.aliased
        jacobian = np.kron(np.eye(count), self.directions @ combined)
        gradient = gamma.pearson_gradient
        return replace(
            gamma,
            score=jacobian.T @ gamma.score,
            information=jacobian.T @ gamma.information @ jacobian,
            observed=None if gamma.observed is None else jacobian.T @ gamma.observed @ jacobian,
            pearson_gradient=None if gradient is None else jacobian.T @ gradient,
        )

    @property
    def directions(self) -> np.ndarray:
        """R for the unscaled kept columns: γ as a linear function of β, of shape (r, r)."""
        return self.upper * self.scale

    def along(self, directions: np.ndarray) -> np.ndarray:
        """Return the change of γ when β changes along the columns of `directions`, of shape (C·d, k)."""
        classes = directions.shape[0] // len(self.kept)
        jacobian = np.kron(np.eye(classes), self.directions)
        return np.asarray(jacobian @ directions[np.tile(self.kept, classes)])

    def orthogonal(self, beta: np.ndarray) -> np.ndarray:
        """Return γ = Rβ for β of shape (d,) or (C·d,), class by class; columns that were not kept are ignored."""
        return np.ravel(beta.reshape(-1, len(self.kept))[:, self.kept] @ self.directions.T)


def _solved_rows(upper: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the rows times the inverse of a unit upper triangular matrix."""
    # Rows contiguous in memory are the columns that BLAS works on, in place.
    return linalg.blas.dtrsm(1.0, upper, rows.T, lower=0, trans_a=1, diag=1, overwrite_b=1).T
