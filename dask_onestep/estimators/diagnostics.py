"""What a fitted model says of data: statistics of fit, intervals of the mean, residuals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import unknown_choice
from dask_onestep.inference.fit_statistics import FitStatistics, QuasiStatistics, finish
from dask_onestep.kernels.likelihood.goodness import fit_sums
from dask_onestep.kernels.likelihood.predictions import Residuals
from dask_onestep.messages import catalogue
from dask_onestep.methods import MLE, FitRecord, Problem
from dask_onestep.methods.driver import run
from dask_onestep.methods.method import estimated
from dask_onestep.methods.requests import Look, Plan


class Diagnostics:
    """Statistics, intervals and residuals; all of them read data."""

    record_: FitRecord

    def fit_statistics(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> FitStatistics | QuasiStatistics:
        """Return log-likelihood, deviances, information criteria and pseudo-R².

        One pass.  With an offset the null model has no closed form; it is fitted first, by the MLE of its
        intercept, which takes about five passes more.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.

        Returns
        -------
        FitStatistics or QuasiStatistics
            Under statsmodels' names.  Quasi-likelihoods have deviances, and neither log-likelihood nor AIC.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> fit = glm.fit_statistics(X, y)
        >>> fit.df_model, bool(fit.deviance < fit.null_deviance)
        (2.0, True)
        """
        check_is_fitted(self)
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        return run(problem, statistics_plan(problem, self.record_, with_offset=offset is not None)).value

    def predict_interval(self, X: Any, level: float = 0.95, *, offset: Any = None, unseen: str = "raise") -> Any:
        """Return a confidence interval of each row's mean.

        The interval of x'β by the distribution that ``coef_table`` uses, taken through the inverse link, so that it
        keeps to the family's range.  It is of the mean, and not of a new response.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        level : float, default=0.95
            Its level.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "nan", "reference"}, default="raise"
            What becomes of rows with a level, or a combination of levels, that fit had no rows of: an error, NaN, or
            the prediction of the reference level.

        Returns
        -------
        dask Array, dask DataFrame or ndarray of shape (n, 2)
            Lower and upper ends; lazy for Dask input, for a frame with its index and the columns
            ``lower`` and ``upper``.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> interval = glm.predict_interval([[0.0, 0.0], [1.0, -1.0]])
        >>> interval.shape, bool((interval[:, 0] < interval[:, 1]).all())
        ((2, 2), True)
        """
        return self._interval(X, level, offset, unseen=unseen)

    def _interval(self, X: Any, level: float, offset: Any, **known: Any) -> Any:
        check_is_fitted(self)
        self.record_.require_covariance()
        if not 0 < level < 1:
            raise catalogue.LEVEL.error(level=level)
        df = self.record_.df_t
        quantile = float((stats.norm if np.isnan(df) else stats.t(df)).isf((1.0 - level) / 2.0))
        covariance = self.record_.covariance
        return self._predict(X, offset, "interval", covariance=covariance, quantile=quantile, **known)  # type: ignore[attr-defined]

    def residuals(
        self, X: Any, y: Any = None, kind: str = "deviance", *, sample_weight: Any = None, offset: Any = None
    ) -> Any:
        """Return the residuals of each row.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.
        kind : {"response", "pearson", "deviance", "working"}, default="deviance"
            y − μ; that over √V(μ); the signed root of the row's deviance; or y − μ over μ'.  Pearson and
            deviance residuals are times √w if weights are precisions.  Of more than two classes "response" is
            1[y = c] − p_c for each class c, "pearson" that over √p_c, "deviance" √(−2 log p_y), and there is no
            "working": with it goes one linear predictor a row.

        Returns
        -------
        dask Array, dask Series or ndarray of shape (n,), or of shape (n, C) for more than two classes
            Residuals at φ = 1; lazy for Dask input, and with its index for a frame.  Rows left out by
            ``missing="drop"``, and rows of weight zero, have NaN.

        Raises
        ------
        ValueError
            If `kind` is none of these, or "working" for more than two classes.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> pearson = glm.residuals(X, y, kind="pearson").compute()
        >>> pearson.shape, bool(abs(pearson.mean()) < 0.1)
        ((2000,), True)
        """
        check_is_fitted(self)
        if kind not in (kinds := self.record_.model.likelihood.residual_kinds):
            raise ValueError(unknown_choice("kind", kind, map(repr, kinds), where=" for this model"))
        classes = getattr(self, "classes_", None)
        function = Residuals(self.record_.model, self.record_.coef, kind, classes)
        return self._of_rows(function, classes, f"residuals-{kind}", X, y, sample_weight, offset)  # type: ignore[attr-defined]


def statistics_plan(problem: Problem, record: FitRecord, *, with_offset: bool) -> Plan:
    """Return the plan of the statistics of a fit: one pass, and those of the null model if there is an offset."""
    estimate, model, null = record.estimate, problem.model, None
    if with_offset or model.has_offset:
        fixed = tuple((name, 0.0) for name in model.columns)
        only = replace(problem, model=replace(model, fit_intercept=True, fixed=fixed), classes=None)
        null = float((yield from estimated(only, MLE())).coef[0])
    arguments = np.nan_to_num(estimate.coef), estimate.dispersion, null
    sums = yield Look((yield problem.total(fit_sums, *arguments, name="fit-statistics")))
    return finish(model, sums, record.rank, estimate.dispersion)
