"""Collinearity of a fitted model's columns, from its record."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.inference.collinearity import condition_indices, variance_inflation
from dask_onestep.messages import catalogue
from dask_onestep.methods import FitRecord


class Collinearity:
    """Variance inflation factors and condition indices; no pass."""

    record_: FitRecord

    def vif(self) -> pd.DataFrame:
        """Return the generalized variance inflation factor of each term, as R's ``car``.  No pass.

        By how much the variance of a term's coefficients exceeds that with uncorrelated columns, with the weights of
        the fit: of one coefficient it is the usual factor.

        Returns
        -------
        DataFrame
            One row per term of the formula, or column; columns gvif, df, and gvif_root, which is GVIF to the power
            1/(2 df) and comparable between terms.  Aliased terms have NaN.

        Raises
        ------
        ValueError
            If the method, or a model read from JSON, left no information matrix.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> bool((GLMRegressor("poisson").fit(X, y).vif()["gvif"] >= 1).all())
        True
        """
        information = self._information()
        record = self.record_
        intercepts = record.by_regressor.get("intercept", ()) if record.model.fit_intercept else ()
        return variance_inflation(information, record.names, record.by_term, intercepts)

    def condition_indices(self) -> pd.DataFrame:
        """Return condition indices and variance decomposition proportions of the columns.  No pass.

        Of the columns with the weights of the fit, each scaled to length 1 and not centered (Belsley, Kuh and Welsch).
        An index above 30 with two or more proportions above a half points to a collinearity among these columns.

        Returns
        -------
        DataFrame
            One row per singular value; columns condition_index and one per coefficient that is not aliased.

        Raises
        ------
        ValueError
            As for `vif`.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> GLMRegressor("poisson").fit(X, y).condition_indices().columns.tolist()
        ['condition_index', 'intercept', 'x0', 'x1']
        """
        information = self._information()
        return condition_indices(information, self.record_.names, intercept=self.record_.model.has_intercept)

    def _information(self) -> np.ndarray:
        check_is_fitted(self)
        information = self.record_.information
        if information is None:
            raise catalogue.NO_INFORMATION.error(method=self.record_.method)
        return np.nan_to_num(information)
