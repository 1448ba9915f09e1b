"""What a cross-validated penalized fit has besides its coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dask_onestep.methods import FitRecord

if TYPE_CHECKING:
    from dask_onestep.kernels.lassos.net_path import NetPath


class PenaltyPath:
    """The path and the chosen penalties; other fits do not have these attributes."""

    record_: FitRecord

    @property
    def path_(self) -> pd.DataFrame:
        """Coefficients of all rows, a row for each penalty, indexed by alpha, or by l1_ratio and alpha."""
        path = self._of_cross_validation("path")
        return pd.DataFrame(path.coefs, index=_index(path), columns=list(self.record_.names))

    @property
    def cv_results_(self) -> pd.DataFrame:
        """Mean deviance, its standard error, nonzero coefficients and duality gap; a row for each penalty."""
        path = self._of_cross_validation("path")
        first = int(self.record_.model.has_intercept)
        columns = {
            "deviance": path.mean,
            "std_err": path.std_err,
            "n_nonzero": np.count_nonzero(path.coefs[:, first:], axis=1),
            "duality_gap": path.gaps,
        }
        return pd.DataFrame(columns, index=_index(path))

    @property
    def alpha_(self) -> float:
        """The penalty of the fit."""
        return self._of_cross_validation("alpha")

    @property
    def alpha_1se_(self) -> float:
        """The largest penalty whose mean deviance is within one standard error of the smallest."""
        return self._of_cross_validation("alpha_1se")

    @property
    def l1_ratio_(self) -> float:
        """The l1 ratio of the fit."""
        return self._of_cross_validation("l1_ratio")

    def _of_cross_validation(self, name: str) -> Any:
        record = self.__dict__.get("record_")
        if record is None or not hasattr(record.estimate, "path"):
            raise AttributeError(f"{type(self).__name__} has a path of penalties only after a fit with ElasticNetCV.")
        return getattr(record.estimate, name)


def _index(path: NetPath) -> pd.Index:
    if len(np.unique(path.l1_ratios)) == 1:
        return pd.Index(path.alphas, name="alpha")
    return pd.MultiIndex.from_arrays([path.l1_ratios, path.alphas], names=["l1_ratio", "alpha"])
