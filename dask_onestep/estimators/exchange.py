"""Fitted models in other tools: the plug-in attributes of maketables, and models of marginaleffects."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.data.inputs import is_lazy
from dask_onestep.inference.facts import link_name
from dask_onestep.inference.tables import coefficient_table
from dask_onestep.kernels.designs.design import column_levels
from dask_onestep.kernels.likelihood.predictions import design_rows
from dask_onestep.methods import FitRecord


class Exchange:
    """What other tools ask of a fitted model.

    The attributes for ``maketables.ETable([glm, ...])`` exist once it is fitted.
    """

    record_: FitRecord

    def to_marginaleffects(self, data: Any) -> Any:
        """Return the fitted model for the Python package marginaleffects, with rows in memory.

        For its grids (``datagrid``, ``newdata=``), plots and hypotheses: ``predictions``, ``comparisons``, ``slopes``
        and their averages accept the result, and average over `data`.  On data of any size use `avg_predictions`,
        `avg_comparisons` and `avg_slopes`.

        Parameters
        ----------
        data : DataFrame of pandas or Polars
            Rows with the columns that the model reads, such as a sample; for averages, those to average over.

        Returns
        -------
        marginaleffects.classes.ModelAbstract
            The model.  Its standard errors are those of the fit (``vcov=True``).

        Raises
        ------
        ImportError
            If marginaleffects is not installed.
        TypeError
            If `data` is not a DataFrame in memory.
        ValueError
            If the model was fitted with ``offset=``.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from dask_onestep import GLMRegressor
        >>> frame = pd.DataFrame({"x": np.arange(9.0), "y": [1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 8.0, 7.0, 9.0]})
        >>> glm = GLMRegressor(formula="y ~ x").fit(frame)
        >>> model = glm.to_marginaleffects(frame)  # doctest: +SKIP
        >>> marginaleffects.predictions(model, newdata=marginaleffects.datagrid(model, x=[0, 5]))  # doctest: +SKIP
        """
        check_is_fitted(self)
        if is_lazy(data) or not hasattr(data, "columns"):
            raise TypeError(
                f"marginaleffects takes rows in memory, got {type(data).__name__}: pass a pandas or Polars DataFrame, "
                "such as X.sample(frac=0.01).compute(), or use avg_slopes, avg_comparisons and avg_predictions."
            )
        if self.record_.model.offset_given:
            raise ValueError("marginaleffects has no offset besides the rows: write it into the formula, offset(...).")
        return _adapter()(self, data)

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
            "link": link_name(record),
            "dispersion": estimate.dispersion,
            "passes": estimate.n_passes,
            "df_resid": estimate.df_resid,
            "ll": loglik,
            "aic": 2.0 * (record.rank + record.model.family.n_estimated) - 2.0 * loglik,
        }.get(key)
        return None if isinstance(found, float) and np.isnan(found) else found


# What marginaleffects differentiates itself.
_AUTODIFF_FAMILIES = ("gaussian", "binomial", "poisson", "gamma")
_AUTODIFF_LINKS = ("identity", "log", "logit", "probit", "cloglog", "inverse")


@cache
def _adapter() -> type:
    """Return the class of models that marginaleffects accepts, which is imported when it is first wanted."""
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError as error:
        raise ImportError(
            "to_marginaleffects needs the package marginaleffects: pip install marginaleffects."
        ) from error

    class ModelDaskOnestep(ModelAbstract):
        """A fitted model; its design matrix has the offset of the formula, if there is one, as its last column."""

        def __init__(self, glm: Any, data: Any):
            record: FitRecord = glm.record_
            self.record = record
            rows = data if isinstance(data, pl.DataFrame) else pl.from_pandas(data)
            vault = ModelVault(
                coef=np.nan_to_num(record.coef),
                coefnames=np.array(record.names),
                # A formula that is a function is not read by the package, and neither are the categories.
                formula=_no_formula,
                modeldata=_with_levels(rows, record, pl),
                package="dask_onestep",
                vcov=np.nan_to_num(record.covariance),
                variable_names=[record.inputs.response, *record.columns],
            )
            super().__init__(glm, vault)

        def get_vcov(self, vcov: Any = True) -> Any:
            if isinstance(vcov, str) and vcov != self.record.cov_type:
                raise ValueError(
                    f"The model was fitted with cov_type={self.record.cov_type!r}: use "
                    f"glm.with_covariance({vcov!r}, X, y).to_marginaleffects(data)."
                )
            return None if vcov is False or vcov is None else self.vault.vcov

        def get_exog(self, newdata: Any) -> np.ndarray:
            frame = newdata.to_pandas()[list(self.record.columns)]
            design, offset = design_rows(self.record.model, frame)
            return np.column_stack([design, offset]) if self.record.model.has_offset else design

        def get_predict(self, params: Any, newdata: Any) -> Any:
            exog = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            likelihood = self.record.model.likelihood
            by_predictor = np.asarray(params, dtype=float).reshape(likelihood.n_predictors, -1)
            width = by_predictor.shape[1]
            means, _ = likelihood.responses(
                exog[:, :width] @ by_predictor.T + exog[:, width:].sum(axis=1, keepdims=True)
            )
            rowid = np.arange(len(exog), dtype=np.int32)
            if means.shape[1] == 1:
                return pl.DataFrame({"rowid": rowid, "estimate": means[:, 0]})
            classes = [str(label) for label in self.model.classes_.tolist()]
            return pl.DataFrame(
                {
                    "rowid": np.tile(rowid, len(classes)),
                    "group": np.repeat(classes, len(exog)),
                    "estimate": means.T.ravel(),
                }
            )

        def get_df(self) -> float:
            return self.record.df_t

        def get_autodiff_args(self) -> Any:
            # With an offset the design has another number of columns than coefficients, and the package goes by
            # finite differences, as for links and families that it does not know.
            model = self.record.model
            family, link = model.family.name, getattr(model.link, "name", "")
            if family not in _AUTODIFF_FAMILIES or link not in _AUTODIFF_LINKS:
                return None
            return {"model_type": "glm", "family": family, "link": link}

    return ModelDaskOnestep


def _no_formula(data: Any) -> tuple[None, Any]:
    return None, data


def _with_levels(rows: Any, record: FitRecord, pl: Any) -> Any:
    """Return rows whose string columns are enumerations of the levels of the fit, in their order."""
    levels = {} if record.design is None else column_levels(record.design.levels)
    kinds = {
        name: pl.Enum(list(map(str, known)))
        for name, known in levels.items()
        if name in rows.columns and rows[name].dtype in (pl.String, pl.Categorical, pl.Enum)
    }
    return rows.with_columns(**{name: pl.col(name).cast(pl.String).cast(kind) for name, kind in kinds.items()})
