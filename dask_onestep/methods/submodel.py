"""The estimate of a submodel, from that of the full model."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from dask_onestep.methods.estimate import Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class SubmodelEstimate(Estimate):
    """An `Estimate` some of whose coefficients are fixed at zero.

    Attributes
    ----------
    fixed : ndarray of shape (d,) of bool
        Which they are; their variances are 0.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 3)
    >>> GLMRegressor().fit(X, y).submodel(["x0", "x2"]).estimate_.fixed.tolist()
    [False, False, True, False]
    """

    fixed: np.ndarray

    @property
    def is_estimated(self) -> np.ndarray:
        """Mask of the coefficients that are neither aliased nor fixed."""
        return np.isfinite(self.coef) & ~self.fixed

    @classmethod
    def within(
        cls, full: Estimate, fixed: np.ndarray, coef: np.ndarray, covariance: np.ndarray, distance: float
    ) -> Self:
        """Return the estimate, with what the full model's estimate tells of the fit.

        Parameters
        ----------
        full : Estimate
            Of the full model.
        fixed : ndarray of shape (d,) of bool
            Coefficients that are zero.
        coef, covariance : ndarray
            The constrained estimate and its covariance.
        distance : float
            The likelihood-ratio statistic over the dispersion, by the quadratic approximation.

        Returns
        -------
        SubmodelEstimate
            Its log-likelihood is by the same approximation, exact where the log-likelihood is quadratic; the dispersion
            and its degrees of freedom are the full model's.
        """
        known = {each.name: getattr(full, each.name) for each in fields(Estimate)}
        changed = {
            "coef": coef,
            "covariance": covariance,
            "loglik": full.loglik - distance * full.dispersion / 2.0,
            "loglik_estimated": True,
            "decrement": float("nan"),
            "distance_bound": float("nan"),
            **dict.fromkeys(("sums", "clusters", "basis", "basis_sums", "pilot")),
        }
        return cls(**{**known, **changed}, fixed=fixed)
