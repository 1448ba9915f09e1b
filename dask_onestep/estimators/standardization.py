"""Standard deviations of a model's columns, for coefficients that can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.inputs import Reading, total_of
from dask_onestep.kernels.likelihood.spread import Spread, spread_sums
from dask_onestep.methods import FitRecord

# The entry of the response among standard deviations.
_RESPONSE = "(response)"


class Standardization(Reading):
    """Standard deviations of the design's columns and of the response."""

    record_: FitRecord

    def standard_deviations(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> pd.Series:
        """Return the standard deviations of the design's columns and of the response, for `coef_table`.  One pass.

        Parameters
        ----------
        X, y, sample_weight
            The data of ``fit``.

        Returns
        -------
        Series
            One value per coefficient, of its column, with the divisor n − 1 and weighted if rows are; NaN for the
            intercept.  At last, under "(response)", that of y; of labels NaN.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> table = glm.coef_table(standardize=glm.standard_deviations(X, y))
        >>> bool((table["z"] == glm.coef_table()["z"])[["x0", "x1"]].all())
        True
        """
        check_is_fitted(self)
        self._require(sample_weight=sample_weight)
        problem = self._beside(self._data(X, {"y": y, "weights": sample_weight, "offset": None, "groups": None}))
        model = problem.model
        sums = total_of(problem, spread_sums, name="standard-deviations")
        *columns, response = sums.deviations(frequency=model.weight_type == "frequency").tolist()
        found = pd.Series(columns * model.likelihood.n_predictors, index=list(model.names))
        return pd.concat([found, pd.Series({_RESPONSE: np.nan if model.classify else response})])

    def _standardizing_factors(self, standardize: bool | pd.Series) -> pd.Series:
        """Return by what coefficients are multiplied to be standardized."""
        record = self.record_
        deviations = standardize if isinstance(standardize, pd.Series) else _known_deviations(record)
        if deviations is None:
            raise ValueError(
                "The fit does not know the standard deviations of its columns: pass "
                "standardize=glm.standard_deviations(X, y), which takes one pass."
            )
        return deviations / deviations[_RESPONSE] if record.model.quadratic else deviations


def _known_deviations(record: FitRecord) -> pd.Series | None:
    """Return standard deviations from the record of least squares with an intercept; None of other models.

    Its information is Σ w x x', and fitted values and residuals add up to the squares of y.
    """
    model, sums = record.model, record.sums
    if not model.quadratic or not model.has_intercept or sums is None or record.sums_estimated:
        return None
    if record.inputs.had_offset or model.has_offset or sums.pearson is None:
        return None
    information, coef = np.nan_to_num(sums.information), np.nan_to_num(record.coef)
    square = float(coef @ information @ coef) + float(sums.pearson)
    spread = Spread(
        sums.n,
        float(sums.weight),
        np.append(information[0], information[0] @ coef),
        np.append(np.diag(information), square),
    )
    found = spread.deviations(frequency=model.weight_type == "frequency")
    return pd.Series(found, index=[*record.names, _RESPONSE])
