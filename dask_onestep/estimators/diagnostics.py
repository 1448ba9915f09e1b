"""What a fitted model says of data: statistics of fit, intervals of the mean, residuals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from dask_onestep.fit_statistics import FitStatistics, finish
from dask_onestep.kernels.classes.multinomial_statistics import multinomial_sums
from dask_onestep.kernels.scoring import RESIDUALS
from dask_onestep.kernels.statistics import fit_sums
from dask_onestep.methods import MLE, Problem

__all__ = ["Diagnostics"]


class Diagnostics:
    """Statistics, intervals and residuals; all of them read data."""

    def fit_statistics(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> FitStatistics:
        """Return log-likelihood, deviances, information criteria and pseudo-R².

        One pass.  With an offset the null model has no closed form; it is fitted first, by the MLE of its
        intercept, which takes about five passes more.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.

        Returns
        -------
        FitStatistics
            Under statsmodels' names.

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
        estimate = self.estimate_  # type: ignore[attr-defined]
        null = None if offset is None else _null_intercept(problem)
        coef = np.nan_to_num(estimate.coef)
        if problem.model.outcomes:
            total = problem.total(multinomial_sums, coef, name="fit-statistics")
        else:
            total = problem.total(fit_sums, coef, estimate.dispersion, null, name="fit-statistics")
        sums = problem.value(total)
        return finish(problem.model, sums, int(np.isfinite(estimate.coef).sum()), estimate.dispersion)

    def predict_interval(self, X: Any, level: float = 0.95, *, offset: Any = None) -> Any:
        """Return a confidence interval of each row's mean.

        The interval of x'β by the normal law, taken through the inverse link, so that it keeps to the
        family's range.  It is of the mean, and not of a new response.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates.
        level : float, default=0.95
            Its level.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.

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
        return self._interval(X, level, offset)

    def _interval(self, X: Any, level: float, offset: Any, **known: Any) -> Any:
        check_is_fitted(self)
        if not 0 < level < 1:
            raise ValueError(f"level={level!r} must lie between 0 and 1, such as 0.95.")
        quantile = float(norm.isf((1.0 - level) / 2.0))
        covariance = self.estimate_.covariance  # type: ignore[attr-defined]
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
            ``missing="drop"`` have NaN.

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
        if kind not in RESIDUALS:
            raise ValueError(f"kind={kind!r} is not known. Choose one of {', '.join(map(repr, RESIDUALS))}.")
        if kind == "working" and self._fitted_model.outcomes:  # type: ignore[attr-defined]
            raise ValueError(
                "kind='working' is (y - mean)/slope of the one linear predictor of a row, and a multinomial logit has "
                "one for each class. Choose 'response', 'pearson' or 'deviance'."
            )
        return self._row_residuals(X, y, sample_weight, offset, kind)  # type: ignore[attr-defined]


def _null_intercept(problem: Problem) -> float:
    model = problem.model
    null = replace(model, fit_intercept=True, fixed=tuple((name, 0.0) for name in model.columns))
    restricted = Problem(null, problem.blocks, scheduler=problem.scheduler)
    return float(MLE().estimate(restricted).coef[0])  # type: ignore[union-attr]
