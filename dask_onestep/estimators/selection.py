"""Submodels of a fitted model, given or selected, without another fit, and the path of a cross-validated one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import unknown_choice
from dask_onestep.estimators.attributes import attach
from dask_onestep.estimators.inputs import Reading, total_of
from dask_onestep.inference.hypotheses import named_coefficients, null_text
from dask_onestep.inference.selection import CRITERIA, AdaptiveLassoPath, adaptive_lasso, constrain, criteria_table
from dask_onestep.inference.statistics import TestResult
from dask_onestep.kernels.likelihood.sums import log_likelihoods
from dask_onestep.kernels.matrices.symmetric import minor
from dask_onestep.methods import FitRecord
from dask_onestep.methods.submodel import SubmodelEstimate


class Selection(Reading):
    """Submodels, and the paths of penalized fits; only fits with `ElasticNetCV` have ``path_`` and what follows it."""

    record_: FitRecord

    def submodel(self, terms: str | Sequence[str]) -> Self:
        """Return the fitted submodel that has only some of the terms; no pass over the data.

        All other coefficients are fixed at zero, and the log-likelihood is approximated by the quadratic that the
        estimate and its covariance define.  The approximation is exact for the normal distribution with the identity
        link, and otherwise good if the omitted coefficients are at most a few standard errors from zero; otherwise fit
        the submodel to the data.

        Parameters
        ----------
        terms : str or sequence of str
            Terms or coefficients to keep, besides the intercept.  With more than two classes, the name of a covariate
            means its coefficients of all classes.

        Returns
        -------
        GLMRegressor or GLMClassifier
            A fitted copy, whose other coefficients and their standard errors are 0; the original is unchanged.
            ``submodel_test_`` is the approximate likelihood-ratio test of the submodel within the full model.

        Raises
        ------
        ValueError
            If a name is unknown, or the covariance is undefined or singular.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(5000, 3, coef=[0.5, 1.0, 0.0, 0.0], family="poisson")
        >>> part = GLMRegressor("poisson").fit(X, y).submodel(["x0"])
        >>> part.coef_[1:].tolist(), part.submodel_test_.null, bool(part.submodel_test_.p_value > 0.01)
        ([0.0, 0.0], 'x1 = 0, x2 = 0', True)
        """
        check_is_fitted(self)
        record = self.record_
        record.require_covariance()
        named = named_coefficients(terms, record.by_regressor, record.by_term, "terms")
        kept = {*named, *record.by_regressor.get("intercept", ())}
        return self._within(np.array([name not in kept for name in record.names]) & record.is_estimated)

    def adaptive_lasso_path(
        self, X: Any = None, y: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> AdaptiveLassoPath:
        """Return the path of the adaptive lasso around the fit; no pass over the data.

        It minimizes ½ (β − β̂)'C⁻¹(β − β̂) + λ Σ abs(β_j)/abs(β̂_j) for all λ, C the covariance [1]_ [2]_, by least-angle
        regression (scikit-learn's ``lars_path``).  Intercepts are not penalized.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``, or nothing.  With data one pass computes the log-likelihoods of all points of the path
            exactly, instead of the quadratic approximation.

        Returns
        -------
        AdaptiveLassoPath
            Coefficients and information criteria at each change of the set of nonzero coefficients.

        Raises
        ------
        ValueError
            If the covariance is undefined or singular, or the number of rows differs from that in ``fit``.

        Notes
        -----
        With N rows, k nonzero coefficients of p, and D twice the distance of the log-likelihood from its maximum over
        the dispersion: dbic is D + k log N at the penalized estimate [2]_; bic, aic and ebic are D + k log N, D + 2k
        and D + k log N + 2 log (p over k) [3]_ at the estimate of the same coefficients without a penalty.  D is
        computed from the covariance, so that it is robust if the covariance is; with data, from the likelihood.

        References
        ----------
        .. [1] Wang, Leng, "Unified LASSO estimation by least squares approximation", JASA 102 (2007).
        .. [2] Zhu, Li, Wang, "Least-square approximation for a distributed system", JCGS 30 (2021), arXiv 1908.04904.
        .. [3] Chen, Chen, "Extended Bayesian information criteria for model selection", Biometrika 95 (2008).

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, _ = make_glm(5000, 4, coef=[0.5, 1.0, 0.0, -0.5, 0.0], family="poisson")
        >>> path = GLMRegressor("poisson").fit(X, y).adaptive_lasso_path()
        >>> path.table["n_nonzero"].tolist()
        [0, 1, 2, 3, 4]
        """
        check_is_fitted(self)
        record = self.record_
        record.require_covariance()
        intercepts = record.by_regressor.get("intercept", ())
        estimated = np.flatnonzero(record.is_estimated)
        penalized = np.array([record.names[at] not in intercepts for at in estimated], dtype=bool)
        if not penalized.any():
            raise ValueError("The model has no coefficients besides the intercept, so there is nothing to select.")
        coef, covariance = record.coef[estimated], np.asarray(minor(record.covariance, estimated))
        penalties, coefs, distances = adaptive_lasso(coef, covariance, penalized)
        zero = (coefs == 0) & penalized
        refits = [constrain(coef, covariance, fixed) for fixed in zero]
        refitted = np.array([refit.distance for refit in refits])
        if X is not None:
            points = np.vstack([coef, coefs, *(refit.coef for refit in refits)])
            exact = self._distances(_embedded(points, estimated, len(record.coef)), X, y, sample_weight, offset)
            distances, refitted = exact[: len(coefs)], exact[len(coefs) :]
        p = int(penalized.sum())
        table = criteria_table(penalties, p - zero.sum(axis=1), distances, refitted, record.n_observations, p)
        columns = [record.names[at] for at in estimated]
        names = tuple(name for name, some in zip(columns, penalized, strict=True) if some)
        return AdaptiveLassoPath(pd.DataFrame(coefs, columns=columns), table, names)

    def select(
        self, criterion: str = "dbic", X: Any = None, y: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> Self:
        """Return the submodel that the adaptive lasso and an information criterion select; no pass over the data.

        The coefficients are those of the submodel without a penalty.  Their standard errors do not account for the
        selection: they are valid if the selection is consistent, as with "dbic", "bic" and "ebic" if effects are
        strong.

        Parameters
        ----------
        criterion : {"dbic", "bic", "aic", "ebic"}, default="dbic"
            As in `adaptive_lasso_path`.
        X, y, sample_weight, offset
            As in `adaptive_lasso_path`: with data, one pass.

        Returns
        -------
        GLMRegressor or GLMClassifier
            As `submodel` returns it; ``selection_path_`` is the path.

        Raises
        ------
        ValueError
            If the criterion is unknown, or as for `adaptive_lasso_path`.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, _ = make_glm(5000, 4, coef=[0.5, 1.0, 0.0, -0.5, 0.0], family="poisson")
        >>> chosen = GLMRegressor("poisson").fit(X, y).select("dbic")
        >>> (chosen.coef_ != 0).tolist()
        [True, False, True, False]
        """
        if criterion not in CRITERIA:
            raise ValueError(unknown_choice("criterion", criterion, map(repr, CRITERIA)))
        path = self.adaptive_lasso_path(X, y, sample_weight=sample_weight, offset=offset)
        kept = {*path.selected(criterion), *self.record_.by_regressor.get("intercept", ())}
        fixed = np.array([name not in kept for name in self.record_.names]) & self.record_.is_estimated
        found = self._within(fixed, n_passes=int(X is not None))
        found.selection_path_ = path  # type: ignore[attr-defined]
        return found

    def _within(self, fixed: np.ndarray, n_passes: int = 0) -> Self:
        """Return the submodel with some coefficients fixed at zero."""
        record = self.record_
        full, estimated = record.estimate, np.flatnonzero(record.is_estimated)
        inner = np.ix_(estimated, estimated)
        part = constrain(record.coef[estimated], record.covariance[inner], fixed[estimated])
        coef, covariance = record.coef.copy(), np.array(record.covariance)
        coef[estimated], covariance[inner] = part.coef, part.covariance
        others = fixed | (np.isfinite(record.coef) & ~record.is_estimated)
        estimate = SubmodelEstimate.within(full, others, coef, covariance, part.distance)
        estimate = replace(estimate, n_passes=full.n_passes + n_passes)
        found = attach(copy.copy(self), replace(record, estimate=estimate, pilot=None))
        found.submodel_test_ = _test(part.distance, record, fixed)
        return found

    def _distances(self, coefs: np.ndarray, X: Any, y: Any, sample_weight: Any, offset: Any) -> np.ndarray:
        """Return the fall of the log-likelihood from the first point to the others, times 2/φ̂: one pass."""
        problem = self._problem(X, y, sample_weight, offset)
        sums = total_of(problem, log_likelihoods, coefs, name="log-likelihoods")
        self._check_rows(sums.n)  # type: ignore[attr-defined]
        values = sums.deviance if self.record_.model.family.has_dispersion else -2.0 * sums.loglik
        return (values[1:] - values[0]) / self.record_.estimate.dispersion

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


def _test(distance: float, record: FitRecord, fixed: np.ndarray) -> TestResult:
    """Return the test of a submodel within the full model."""
    q, test = int(fixed.sum()), "Approximate likelihood ratio"
    if q == 0:
        return TestResult(0.0, 0, record.df_t, "chi2", 1.0, "", test, "Nothing is restricted.")
    null = null_text({name: 0.0 for name, zero in zip(record.names, fixed, strict=True) if zero}, {})
    return TestResult.of(distance if np.isnan(record.df_t) else distance / q, q, record.df_t, null=null, test=test)


def _embedded(points: np.ndarray, at: np.ndarray, d: int) -> np.ndarray:
    """Return points among all d coefficients, those of aliased columns 0."""
    embedded = np.zeros((len(points), d))
    embedded[:, at] = points
    return embedded


if TYPE_CHECKING:
    from dask_onestep.kernels.lassos.net_path import NetPath


def _index(path: NetPath) -> pd.Index:
    if len(np.unique(path.l1_ratios)) == 1:
        return pd.Index(path.alphas, name="alpha")
    return pd.MultiIndex.from_arrays([path.l1_ratios, path.alphas], names=["l1_ratio", "alpha"])
