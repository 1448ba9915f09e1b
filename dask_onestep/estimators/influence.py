"""How much single rows, and groups of rows, decide on a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.data.inputs import columns_named
from dask_onestep.estimators.inputs import Reading
from dask_onestep.kernels.likelihood.clusters import unpacked
from dask_onestep.kernels.likelihood.predictions import Influence
from dask_onestep.methods import MLE, FitRecord, OneStep
from dask_onestep.methods.covariances import changes_of, changes_without, recovered
from dask_onestep.methods.driver import run

_COLUMNS = ("leverage", "standardized_residual", "cooks_distance")


class InfluenceMeasures(Reading):
    """Leverages, Cook's distances, and DFBETA by group."""

    record_: FitRecord

    def influence(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> Any:
        """Return leverage, standardized Pearson residual and Cook's distance of each row; nothing is computed.

        With W the expected information of a row in its linear predictor, the leverage is h = W·x'I⁻¹x, the
        standardized residual r = (y − μ)/√(φ V(μ) (1 − h)), and Cook's distance r²·h/((1 − h)·d), to first order the
        distance by which the estimate moves without the row (R's ``hatvalues``, ``rstandard`` and ``cooks.distance``).

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.

        Returns
        -------
        dask Array, dask DataFrame or ndarray of shape (n, 3)
            The columns leverage, standardized_residual and cooks_distance; lazy for Dask input, and with its index for
            a frame.  NaN for rows that the fit did not use; residual and distance are NaN where the leverage is 1.

        Raises
        ------
        ValueError
            For more than two classes, methods other than "one-step" and "mle", and where the fit has no model-based
            covariance.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> influence = glm.influence(X, y)
        >>> influence
        dask.array<...shape=(2000, 3)...>
        >>> round(float(influence[:, 0].sum().compute()), 6)  # the number of coefficients
        3.0
        """
        record = self._maximized("influence")
        if record.model.likelihood.n_predictors > 1:
            raise ValueError(
                "influence is for one linear predictor per row, not for more than two classes. Use dfbeta, or fit one "
                "class against the rest."
            )
        based = recovered(record, "nonrobust")
        if based is None:
            raise ValueError(
                "The fit has no information matrix, which leverages need: use with_covariance('nonrobust', X, y) first."
            )
        classes = getattr(self, "classes_", None)
        inverse = np.nan_to_num(based.covariance / based.dispersion)
        function = Influence(record.model, record.coef, inverse, based.dispersion, record.rank, classes)
        return self._of_rows(function, _COLUMNS, "influence", X, y, sample_weight, offset)  # type: ignore[attr-defined]

    def dfbeta(
        self,
        X: Any = None,
        y: Any = None,
        *,
        groups: Any = None,
        scaled: bool = False,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return by how much each group of rows moves each coefficient: the estimate less that without the group.

        To first order, (I − I_g)⁻¹s_g with the group's score and observed information at the estimate; exact for the
        normal distribution with its own link.  One pass, one more where groups are very many; none without data, after
        a fit with ``cov_type="CRV3"``, whose clusters are then the groups.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``, or nothing.
        groups : array-like or Dask collection of shape (n,), or str, optional
            The groups' labels, such as sites or days; required with data.
        scaled : bool, default=False
            Whether to divide by the standard errors (DFBETAS).

        Returns
        -------
        DataFrame
            One row per group, in order of appearance, and one column per coefficient.  NaN for aliased coefficients,
            and for those that are not identified without the group.

        Raises
        ------
        ValueError
            For methods other than "one-step" and "mle", without groups, with groups of several columns, or where the
            rows are not as many as in ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> glm.dfbeta(X, y, groups=np.arange(2000) % 4).shape
        (4, 3)
        """
        record = self._maximized("dfbeta")
        if X is None:
            clusters = record.estimate.clusters
            if clusters is None:
                raise ValueError(
                    "The fit does not store scores and information matrices of groups: pass X, y and groups=, or fit "
                    "with cov_type='CRV3'."
                )
            observed = unpacked(clusters.informations).sum(axis=0)  # type: ignore[arg-type]
            labels, changes = changes_of(clusters, observed, record)
        else:
            if groups is None or len(columns_named(groups)) > 1 or getattr(groups, "ndim", 1) > 1:
                raise ValueError("dfbeta requires groups=, the labels of one grouping of the rows.")
            problem = self._problem(X, y, sample_weight, offset, groups)
            labels, changes, n = run(problem, changes_without(problem, record)).value
            self._check_rows(n)  # type: ignore[attr-defined]
        if scaled:
            changes = changes / np.sqrt(record.covariance.diagonal())
        return pd.DataFrame(-changes, index=pd.Index(labels, name="group", tupleize_cols=False), columns=record.names)

    def _maximized(self, name: str) -> FitRecord:
        """Return the record of a fit whose coefficients maximize the likelihood of all rows."""
        check_is_fitted(self)
        if (method := self.record_.method) not in (OneStep.__name__, MLE.__name__):
            raise ValueError(
                f"{name} is not available after {method}, whose coefficients do not maximize the likelihood of all "
                "rows. Fit with method='one-step' or 'mle'."
            )
        return self.record_
