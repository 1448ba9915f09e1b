"""What a method gives back."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from dask_onestep.exceptions import (
    DistanceWarning,
    PilotWarning,
    SeparationWarning,
    SmallPilotWarning,
    StepWarning,
    UnlikePilotWarning,
)
from dask_onestep.kernels.likelihood.clusters import Clusters
from dask_onestep.kernels.likelihood.goodness import Overdispersion
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct
from dask_onestep.kernels.pilots.sample import PilotRecord
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.basis import Basis
from dask_onestep.messages.text import Remarks


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """The result of a method: coefficients, their covariance, and diagnostics.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂, intercept first if there is one; NaN for aliased columns.
    covariance : ndarray or DiagonalPlusProduct of shape (d, d)
        Covariance of β̂, dispersion included; NaN for aliased columns.  With a factor of many levels it is not stored
        as an array; ``np.asarray`` makes one.
    dispersion : float
        φ̂; 1 for families without one.
    n_samples : int
        N, the usable rows.
    df_resid : float
        N − d.
    n_iter : int
        Steps taken.
    n_passes : int
        Number of passes over the data.
    decrement : float
        λ² at `coef`; NaN if it is unknown.  For `MLE` the λ² of its last pass, before the final step, unless a pass was
        made at `coef` for a robust covariance.
    distance_bound : float
        An upper bound (95 %) of the largest distance of a coefficient from the MLE, in its (reported) standard errors;
        NaN for methods that do not estimate it.
    loglik : float
        ℓ(β̂) at φ = 1; NaN if it is unknown.  For `MLE` that of its last pass, at most half the decrement below the
        maximum.
    loglik_estimated : bool
        Whether ℓ(β̂) is extrapolated from the pilot rows, since no pass was made at β̂; otherwise it is exact.
    n_events : float
        Number of rows of the second of two classes; NaN where it is unknown.
    loglik_null : float
        Log-likelihood of the model with an intercept only, if the sums of the passes contain it: for two classes,
        Poisson models with log link, and least squares (at its own dispersion), without an offset; otherwise NaN.
    overdispersion : Overdispersion or None
        Pearson's χ² per residual degree of freedom of the pilot rows, of counts and proportions.
    classes : ndarray of shape (2,) or None
        The labels of a classification.
    n_missing : int
        Rows dropped for missing values.
    converged : bool
        False if an iterative method stopped before its tolerance.
    random_state : int or None
        The seed of the pilot, if one was drawn.
    warnings : tuple of (type, str)
        Warnings for the client to issue: category and text.
    solver : str or None
        How the coefficients were solved for: "cholesky" of the normal equations, or "qr" of the design; None
        for methods that solve no such system.
    condition : float
        Condition number of the information at β̂, scaled to a unit diagonal, that the normal equations had; for
        "qr", that of X'X, its columns of one length.  NaN where it is unknown.
    sums : Moments or None
        Log-likelihood, score and information at `coef`, of methods that have them; extrapolated from the pilot rows
        where no pass was made there.
    sums_estimated : bool
        Whether they are extrapolated.
    n_clusters : tuple of int
        Number of clusters of each grouping, of a covariance with clusters.
    clusters : Clusters or None
        Scores and informations of each cluster, of "CRV3" with one grouping, within a bound of memory.
    basis : Basis or None
        The columns that a QR made orthogonal, of a fit that solved by them.
    basis_sums : Moments or None
        `sums` of these columns, which keep their digits.
    pilot : PilotRecord or None
        The pilot rows with their keys.  An estimator keeps them in its ``record_``, and here None.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> estimate = GLMRegressor("poisson", method="mle").fit(X, y).estimate_
    >>> estimate.n_samples, estimate.converged, estimate.warnings
    (2000, True, ())
    """

    _coefficients: ClassVar[tuple[str, ...]] = ("coef",)
    _covariances: ClassVar[tuple[str, ...]] = ("covariance",)

    coef: np.ndarray
    covariance: np.ndarray | DiagonalPlusProduct
    dispersion: float = 1.0
    n_samples: int
    df_resid: float = float("nan")
    n_iter: int = 0
    n_passes: int = 0
    decrement: float = float("nan")
    distance_bound: float = float("nan")
    loglik: float = float("nan")
    loglik_estimated: bool = False
    n_events: float = float("nan")
    loglik_null: float = float("nan")
    overdispersion: Overdispersion | None = None
    classes: np.ndarray | None = None
    n_missing: int = 0
    converged: bool = True
    random_state: int | None = None
    warnings: Remarks = ()
    solver: str | None = None
    condition: float = float("nan")
    sums: Moments | None = field(default=None, repr=False)
    sums_estimated: bool = False
    n_clusters: tuple[int, ...] = ()
    clusters: Clusters | None = field(default=None, repr=False)
    basis: Basis | None = field(default=None, repr=False)
    basis_sums: Moments | None = field(default=None, repr=False)
    pilot: PilotRecord | None = field(default=None, repr=False)

    @property
    def is_estimated(self) -> np.ndarray:
        """Mask of the coefficients that are estimated: those that are not aliased."""
        return np.isfinite(self.coef)

    @property
    def in_doubt(self) -> bool:
        """Whether a warning says that `coef` may be farther from the MLE than `decrement` tells."""
        doubts: set[type[Warning]] = {DistanceWarning, PilotWarning, SmallPilotWarning, UnlikePilotWarning}
        doubts.add(SeparationWarning)
        # Where a pass was made at β̂, it shows whether a step was unreliable.
        doubts |= {StepWarning} if self.loglik_estimated else set()
        return any(category in doubts for category, _ in self.warnings)

    def of_columns(self, basis: Basis) -> Self:
        """Return the estimate of the design's own columns from that of orthogonalized ones.

        Parameters
        ----------
        basis : Basis
            The columns that the estimate is of.

        Returns
        -------
        Estimate
            With coefficients and covariances transformed; all else does not depend on the columns.
        """
        changed: dict[str, Any] = {name: basis.coefficients(getattr(self, name)) for name in self._coefficients}
        changed |= {name: basis.covariance(getattr(self, name)) for name in self._covariances}
        changed["sums"] = None if self.sums is None else basis.moments(self.sums)
        changed["clusters"] = None  # of columns that are not the design's
        return replace(self, **changed, solver="qr", condition=basis.condition, basis=basis, basis_sums=self.sums)
