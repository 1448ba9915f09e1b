"""Fitted models in tables of other tools: the plug-in attributes of maketables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.inference.tables import coefficient_table
from dask_onestep.methods import FitRecord

__all__ = ["TableExchange"]


class TableExchange:
    """What ``maketables.ETable([glm, ...])`` asks of a model; these attributes exist once it is fitted."""

    record_: FitRecord

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """Coefficients with the columns b, se, t, p, and intervals of 90 and 95 %."""
        check_is_fitted(self)
        record = self.record_
        table, wide = (
            coefficient_table(record.names, record.coef, record.covariance, level, record.df_t) for level in (0.95, 0.9)
        )
        found = table.set_axis(["b", "se", "t", "p", "ci95l", "ci95u"], axis=1)
        found = found.assign(ci90l=wide["ci_lower"], ci90u=wide["ci_upper"])
        # As pyfixest and statsmodels name it, so that it is shown in one row with theirs.
        return found.rename(index={"intercept": "Intercept"}).rename_axis("Coefficient")

    @property
    def __maketables_depvar__(self) -> str:
        """The name of the response."""
        return self.record_.inputs.response

    @property
    def __maketables_fixef_string__(self) -> str | None:
        """No absorbed factors."""
        return None

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        """The covariance."""
        return {"vcov_type": self.record_.cov_type}

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        """What statistics are called that maketables has no name for."""
        return {"family": "Family", "link": "Link", "dispersion": "Dispersion", "passes": "Passes"}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        """Statistics to be shown unless others are asked for."""
        clusters = ["n_clusters"] if self.record_.estimate.n_clusters else []
        known = [key for key in ("ll", "aic") if self.__maketables_stat__(key) is not None]
        return ["family", "N", *clusters, *known]

    def __maketables_stat__(self, key: str) -> Any:
        """Return a statistic that the fit left; None of one that would take a pass, or does not exist."""
        record, estimate = self.record_, self.record_.estimate
        # Inside the fit φ is 1, so that of families with a dispersion this is not the log-likelihood.
        loglik = np.nan if record.model.family.has_dispersion else estimate.loglik
        found = {
            "N": int(estimate.n_samples),
            "n_clusters": min(estimate.n_clusters, default=None),
            "se_type": record.cov_type,
            "family": record.model.family.name,
            "link": getattr(record.model.link, "name", type(record.model.link).__name__),
            "dispersion": estimate.dispersion,
            "passes": estimate.n_passes,
            "df_resid": estimate.df_resid,
            "ll": loglik,
            "aic": 2.0 * (record.rank + record.model.family.n_estimated) - 2.0 * loglik,
        }.get(key)
        return None if isinstance(found, float) and np.isnan(found) else found
