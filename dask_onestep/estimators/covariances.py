"""Another covariance for a fitted model, and tests from the scores of few clusters."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.attributes import attach
from dask_onestep.estimators.inputs import Reading
from dask_onestep.exceptions import with_pointer
from dask_onestep.kernels.likelihood.covariance import CLUSTERED, COV_TYPES
from dask_onestep.methods import MLE, FitRecord, OneStep
from dask_onestep.methods.covariances import recovered, with_covariance
from dask_onestep.methods.driver import run

__all__ = ["Covariances", "check_groups"]


def check_groups(cov_type: str, groups: Any) -> None:
    """Raise if a covariance is not known, or clusters are given without one that uses them, or the reverse."""
    if cov_type not in COV_TYPES:
        raise ValueError(f"cov_type={cov_type!r} is not known. Choose one of {', '.join(map(repr, COV_TYPES))}.")
    if (groups is not None) != (cov_type in CLUSTERED):
        raise ValueError(
            "groups= and cov_type='cluster' go together, and groups= and 'CRV3': one was given without the other."
        )


class Covariances(Reading):
    """Covariances of coefficients that are known."""

    record_: FitRecord

    def with_covariance(
        self,
        cov_type: str,
        X: Any = None,
        y: Any = None,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> Self:
        """Return a copy of the fitted model with another covariance.

        No pass where the record suffices: for "nonrobust", from HC0 to HC1 and back, and for "HC0" to "HC3" where the
        pilot rows are all rows.  Otherwise one pass at the coefficients; one more for "HC2" and "HC3" where ``fit``
        solved by QR or the model was read from JSON, and for "CRV3" where clusters are very many.

        Parameters
        ----------
        cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV3"}
            The covariance, as for `GLMRegressor`.
        X, y, sample_weight, offset
            The data of ``fit``; not needed where the record suffices.
        groups : array-like or Dask collection of shape (n,) or (n, k), str, or list of str, optional
            Cluster labels, as for ``fit``.

        Returns
        -------
        GLMRegressor or GLMClassifier
            A fitted copy, whose ``n_passes_`` counts the pass; the original is unchanged.

        Raises
        ------
        ValueError
            If the covariance is not known, groups are missing, the rows are not as many as in ``fit``, or the method
            maximizes no likelihood of all rows.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> robust = glm.with_covariance("HC3", X, y)
        >>> robust.cov_type, robust.n_passes_, glm.cov_type
        ('HC3', 1, 'nonrobust')
        """
        check_is_fitted(self)
        check_groups(cov_type, groups)
        record = self.record_
        if cov_type != record.cov_type and record.method not in (OneStep.__name__, MLE.__name__):
            raise ValueError(
                f"A fit by {record.method} has its own covariance only, since its coefficients do not maximize the "
                "likelihood of all rows. Fit with method='one-step' or 'mle'."
            )
        estimate = None if groups is not None else recovered(record, cov_type)
        if estimate is None:
            if X is None:
                raise ValueError(f"cov_type={cov_type!r} cannot be found from the fit alone: pass X and y, as to fit.")
            problem = replace(self._problem(X, y, sample_weight, offset, groups), cov_type=cov_type)
            outcome = run(problem, with_covariance(problem, record))
            self._check_rows(outcome.value.sums.n)  # type: ignore[attr-defined]
            estimate = replace(outcome.value, n_passes=record.estimate.n_passes + outcome.n_passes)
        for category, text in estimate.warnings:
            if (category, text) in record.estimate.warnings:
                continue
            warnings.warn(with_pointer(category, text), category, stacklevel=2)
        found = copy.copy(self)
        found.cov_type = cov_type  # type: ignore[attr-defined]
        return attach(found, replace(record, estimate=estimate, cov_type=cov_type))
