"""Diagnostics of a fitted model: statistics of fit, intervals, residuals, influence, collinearity."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import unknown_choice
from dask_onestep.data.inputs import columns_named
from dask_onestep.estimators.predictions import Predicting
from dask_onestep.inference.collinearity import condition_indices, variance_inflation
from dask_onestep.inference.fit_statistics import FitStatistics, QuasiStatistics, finish
from dask_onestep.inference.tables import check_level
from dask_onestep.kernels.likelihood.goodness import fit_sums
from dask_onestep.kernels.likelihood.predictions import Influence, Residuals
from dask_onestep.kernels.matrices.symmetric import unpacked
from dask_onestep.messages import catalogue
from dask_onestep.methods import MLE, FitRecord, OneStep, Problem
from dask_onestep.methods.covariances import changes_of, changes_without, recovered
from dask_onestep.methods.driver import run
from dask_onestep.methods.method import estimated
from dask_onestep.methods.requests import Look, Plan

_COLUMNS = ("leverage", "standardized_residual", "cooks_distance")


class Diagnostics(Predicting):
    """Statistics of fit, intervals of means, residuals, influence of rows and groups, collinearity of columns."""

    record_: FitRecord

    def fit_statistics(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> FitStatistics | QuasiStatistics:
        """Return log-likelihood, deviances, information criteria and pseudo-R².

        One pass.  With an offset the null model has no closed form; its intercept is fitted first, which takes about
        five more passes.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.

        Returns
        -------
        FitStatistics or QuasiStatistics
            With the names of statsmodels.  Quasi-likelihoods have deviances, but neither log-likelihood nor AIC.

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
        problem = self._problem(X, y, sample_weight, offset)
        return run(problem, statistics_plan(problem, self.record_, with_offset=offset is not None)).value

    def predict_interval(self, X: Any, level: float = 0.95, *, offset: Any = None, unseen: str = "raise") -> Any:
        """Return a confidence interval of each row's mean.

        The interval of x'β with the reference distribution of ``coef_table``, transformed by the inverse link, so that
        it is inside the range of the family.  It is for the mean, not for a new response.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        level : float, default=0.95
            Its level.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "nan", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, NaN, or that
            of the reference level.

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
        check_level(level)
        df = self.record_.df_t
        quantile = float((stats.norm if np.isnan(df) else stats.t(df)).isf((1.0 - level) / 2.0))
        covariance = self.record_.covariance
        return self._predict(X, offset, "interval", covariance=covariance, quantile=quantile, **known)

    def residuals(
        self, X: Any, y: Any = None, kind: str = "deviance", *, sample_weight: Any = None, offset: Any = None
    ) -> Any:
        """Return the residuals of each row.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.
        kind : {"response", "pearson", "deviance", "working"}, default="deviance"
            y − μ; (y − μ)/√V(μ); the signed root of the deviance of the row; or (y − μ)/μ'.  Pearson and deviance
            residuals are multiplied by √w if weights are precisions.  With more than two classes "response" is 1[y = c]
            − p_c for each class c, "pearson" is this divided by √p_c, "deviance" is √(−2 log p_y), and "working" is not
            defined.

        Returns
        -------
        dask Array, dask Series or ndarray of shape (n,), or of shape (n, C) for more than two classes
            Residuals at φ = 1; lazy for Dask input, and with its index for a frame.  Rows omitted by
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
        return self._of_rows(function, classes, f"residuals-{kind}", X, y, sample_weight, offset)

    def influence(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> Any:
        """Return leverage, standardized Pearson residual and Cook's distance of each row; nothing is computed.

        With W the expected information of a row in its linear predictor, the leverage is h = W·x'I⁻¹x, the standardized
        residual r = (y − μ)/√(φ V(μ) (1 − h)), and Cook's distance r²·h/((1 − h)·d), to first order the change of the
        estimate without the row (R's ``hatvalues``, ``rstandard`` and ``cooks.distance``).

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
        return self._of_rows(function, _COLUMNS, "influence", X, y, sample_weight, offset)

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
        """Return the influence of each group of rows on each coefficient: the estimate minus that without the group.

        To first order, (I − I_g)⁻¹s_g with the group's score and observed information at the estimate; exact for the
        normal distribution with the identity link.  One pass, and one more with very many groups; none without data,
        after a fit with ``cov_type="CRV3"``, whose clusters are then the groups.

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
            For methods other than "one-step" and "mle", without groups, with groups of several columns, or if the
            number of rows differs from that in ``fit``.

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

    def vif(self) -> pd.DataFrame:
        """Return the generalized variance inflation factor of each term, as R's ``car``.  No pass.

        The factor by which the variance of the coefficients of a term exceeds that with uncorrelated columns, with the
        weights of the fit; for one coefficient it is the usual variance inflation factor.

        Returns
        -------
        DataFrame
            One row per term of the formula, or column; columns gvif, df, and gvif_root, which is GVIF to the power
            1/(2 df) and comparable between terms.  Aliased terms have NaN.

        Raises
        ------
        ValueError
            If the fit has no information matrix, because of its method or because it was read from JSON.

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

        The columns have the weights of the fit, and are scaled to length 1 and not centered (Belsley, Kuh and Welsch).
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
