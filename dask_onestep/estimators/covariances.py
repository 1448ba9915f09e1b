"""Another covariance for a fitted model, tests from the scores of few clusters, and intervals from those of blocks."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import unknown_choice
from dask_onestep.estimators.attributes import attach
from dask_onestep.estimators.inputs import Reading
from dask_onestep.inference import TestResult
from dask_onestep.inference.bootstrap import LEAST_BLOCKS, multiplier_quantile, wild_score_bootstrap
from dask_onestep.inference.hypotheses import Hypothesis, named_coefficients, parse_hypothesis
from dask_onestep.inference.tables import check_level
from dask_onestep.kernels.likelihood.blocks import block_sums
from dask_onestep.kernels.likelihood.covariance import CLUSTERED, COV_TYPES, refuse_leverages
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy, with_pointer
from dask_onestep.methods import MLE, FitRecord, OneStep
from dask_onestep.methods.covariances import recovered, with_covariance
from dask_onestep.methods.driver import run
from dask_onestep.methods.submodel import SubmodelEstimate


def check_groups(cov_type: str, groups: Any, *, folds: bool = False) -> None:
    """Raise if a covariance is unknown, or clusters are given without one that uses them, or the reverse.

    With `folds` the groups are those of cross-validation.
    """
    if cov_type not in COV_TYPES:
        raise ValueError(unknown_choice("cov_type", cov_type, map(repr, COV_TYPES)))
    if folds:
        if groups is None:
            raise ValueError("cv='groups' requires groups= in fit: the labels whose rows stay in one fold.")
        return
    if (groups is not None) != (cov_type in CLUSTERED):
        message = catalogue.GROUPS_MISSING if groups is None else catalogue.GROUPS_NOT_USED
        raise message.error(given=Remedy("cov_type", cov_type))


class Covariances(Reading):
    """Covariances of coefficients that are known."""

    record_: FitRecord

    def with_covariance(
        self,
        cov_type: str,
        X: Any = None,
        y: Any = None,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> Self:
        """Return a copy of the fitted model with another covariance.

        No pass if the record suffices: for "nonrobust", between HC0 and HC1, and for "HC0" to "HC3" if the pilot is all
        rows.  Otherwise one pass at the coefficients; one more for "HC2" and "HC3" if the model was read from JSON, and
        for "CRV3" with very many clusters.

        Parameters
        ----------
        cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV3"}
            The covariance, as for `GLMRegressor`.
        X, y, sample_weight, offset
            The data of ``fit``; not needed where the record suffices.
        groups : array-like or Dask collection of shape (n,) or (n, k), str, or list of str, optional
            Cluster labels, as for ``fit``.

        Returns
        -------
        GLMRegressor or GLMClassifier
            A fitted copy, whose ``n_passes_`` counts the pass; the original is unchanged.

        Raises
        ------
        ValueError
            If the covariance is unknown, groups are missing, the number of rows differs from that in ``fit``, or the
            method maximizes no likelihood of all rows.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> robust = glm.with_covariance("HC3", X, y)
        >>> robust.cov_type, robust.n_passes_, glm.cov_type
        ('HC3', 1, 'nonrobust')
        """
        check_is_fitted(self)
        check_groups(cov_type, groups)
        record = self.record_
        if isinstance(record.estimate, SubmodelEstimate):
            raise ValueError(
                "A submodel keeps the covariance of the model that it was taken from: use with_covariance on that "
                "model first, or fit the submodel by itself."
            )
        if cov_type != record.cov_type and record.method not in (OneStep.__name__, MLE.__name__):
            raise catalogue.OWN_COVARIANCE.error(method=record.method)
        refuse_leverages(record.model, cov_type)
        estimate = None if groups is not None else recovered(record, cov_type)
        if estimate is None:
            if X is None:
                raise ValueError(
                    f"cov_type={cov_type!r} cannot be computed from the fit without data: pass X and y, as for fit."
                )
            problem = replace(self._problem(X, y, sample_weight, offset, groups), cov_type=cov_type)
            outcome = run(problem, with_covariance(problem, record))
            self._check_rows(outcome.value.sums.n)  # type: ignore[attr-defined]
            estimate = replace(outcome.value, n_passes=record.estimate.n_passes + outcome.n_passes)
        for category, text in estimate.warnings:
            if (category, text) in record.estimate.warnings:
                continue
            warnings.warn(with_pointer(category, text), category, stacklevel=2)
        found = copy.copy(self)
        found.cov_type = cov_type  # type: ignore[attr-defined]
        return attach(found, replace(record, estimate=estimate, cov_type=cov_type))

    def wild_bootstrap_test(
        self, null: Any, *, weights: str = "auto", n_draws: int = 9999, random_state: int = 0
    ) -> TestResult:
        """Return the test of a null hypothesis by the wild score bootstrap, for very few clusters.  No pass.

        The scores of the clusters at the restricted estimate, to first order, are multiplied by random weights.  It
        needs a fit with ``cov_type="CRV3"``, which stores the scores and information matrices of the clusters.

        Parameters
        ----------
        null : str, list of str, dict, or tuple of two arrays
            As for `wald_test`.
        weights : {"auto", "rademacher", "webb"}, default="auto"
            Rademacher's are ±1; Webb's six values are for few clusters.  "auto" is Webb's for up to 12 clusters.
        n_draws : int, default=9999
            Number of draws.  If there are fewer different Rademacher weights, all of them are used.
        random_state : int, default=0
            Seed of the draws.

        Returns
        -------
        TestResult
            The Wald statistic by the cluster-robust sandwich, over the number of restrictions, and the fraction of
            draws with one at least as large.

        Raises
        ------
        ValueError
            If the fit keeps no clusters, or the hypothesis has more than G − 1 restrictions.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson", cov_type="CRV3").fit(X.compute(), y.compute(), groups=np.arange(2000) % 9)
        >>> print(glm.wild_bootstrap_test("x0").note)
        9,999 draws of webb weights, 9 clusters.
        """
        check_is_fitted(self)
        record = self.record_
        clusters = record.estimate.clusters
        if clusters is None:
            raise ValueError(
                "The fit does not store scores and information matrices of clusters. Use with_covariance('CRV3', X, "
                "y, groups=...) with one grouping; they are kept up to 64 MiB, where fit did not solve by QR, and "
                "not in JSON."
            )
        asked = parse_hypothesis(null, record.names, record.by_regressor, record.by_term, record.coef)
        refuse_beyond_rank(asked, record)
        if np.isnan(record.coef[(asked.matrix != 0).any(axis=0)]).any():
            raise catalogue.ALIASED_IN_HYPOTHESIS.error(text=asked.text)
        intercept = record.model.has_intercept
        return wild_score_bootstrap(clusters, record.coef, asked, weights, n_draws, random_state, intercept=intercept)

    def block_bootstrap_intervals(
        self,
        X: Any,
        y: Any = None,
        *,
        level: float = 0.95,
        terms: str | Sequence[str] | None = None,
        n_draws: int = 9999,
        random_state: int = 0,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return simultaneous intervals by the multiplier bootstrap of the blocks' scores: one pass.

        The scores of the blocks at the estimate are multiplied by random numbers, and the half-widths of the intervals
        are the standard errors times the quantile of the largest standardized change of a coefficient [1]_.  Unlike
        ``conf_int(simultaneous=True)`` this does not use the estimated correlations; like a covariance with blocks as
        clusters it needs many blocks, and it depends on how rows are chunked.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        level : float, default=0.95
            Probability with which all intervals cover.
        terms : str or list of str, optional
            Terms or coefficients that are covered together; by default all coefficients.
        n_draws : int, default=9999
            Draws.
        random_state : int, default=0
            Seed of the draws.

        Returns
        -------
        DataFrame
            One row per coefficient; columns ci_lower, ci_upper.

        Raises
        ------
        ValueError
            If there are fewer than ten blocks, the number of rows differs from that in ``fit``, or the method has no
            standard errors.

        Notes
        -----
        It is the variant "k-grad".  "n+k−1-grad", for few blocks, would also use the rows of the first block, which
        must then be representative of the full data.

        References
        ----------
        .. [1] Yu, Chao, Cheng, "Distributed bootstrap for simultaneous inference under high dimensionality", JMLR 23
               (2022), arXiv 2102.10080.

        Examples
        --------
        >>> from dask_onestep import DebiasedLasso, GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(8000, 5, chunks=200)
        >>> glm = GLMRegressor(method=DebiasedLasso()).fit(X, y)
        >>> together, each = glm.block_bootstrap_intervals(X, y), glm.conf_int()
        >>> bool((together["ci_upper"] > each["ci_upper"]).all())
        True
        """
        check_is_fitted(self)
        record = self.record_
        check_level(level)
        given = record.names if terms is None else terms
        names = named_coefficients(given, record.by_regressor, record.by_term, "terms")
        at = [record.names.index(name) for name in names]
        std_err = np.sqrt(record.covariance.diagonal()[at])
        covered = std_err > 0
        if not covered.any():
            raise ValueError("The coefficients have no standard errors, so intervals do not exist.")
        coef = np.nan_to_num(record.coef)
        data = {"sample_weight": sample_weight, "offset": offset}
        sums = self.total(block_sums, X, y, arguments=(coef,), name="block-sums", **data).with_rows()
        self._check_rows(int(sums.n.sum()))  # type: ignore[attr-defined]
        if len(sums.n) < LEAST_BLOCKS:
            raise ValueError(
                f"The data have {len(sums.n)} blocks with rows, and the multipliers of the bootstrap are of blocks: "
                f"use at least {LEAST_BLOCKS}, better 50, by rechunking; or conf_int(simultaneous=True)."
            )
        if hasattr(record.estimate, "inverse_covariance"):
            inverse = record.estimate.inverse_covariance / sums.weight.sum()
        else:
            intercept = record.model.has_intercept
            inverse = np.nan_to_num(factorize(sums.information.sum(axis=0), intercept=intercept).inverse())
        influence = (sums.score @ inverse.T)[:, at][:, covered]
        width = std_err * multiplier_quantile(influence, std_err[covered], level, n_draws, random_state)
        ends = {"ci_lower": record.coef[at] - width, "ci_upper": record.coef[at] + width}
        return pd.DataFrame(ends, index=pd.Index(names))


def refuse_beyond_rank(asked: Hypothesis, record: FitRecord) -> None:
    """Raise if a hypothesis has more restrictions than a covariance from clusters has rank."""
    clusters = record.estimate.n_clusters
    if clusters and len(asked.value) > min(clusters) - 1:
        raise ValueError(
            f"The hypothesis {asked.text} has {len(asked.value)} restrictions, and a covariance from "
            f"{min(clusters)} clusters has rank {min(clusters) - 1} at most. Test fewer restrictions, or use "
            "clusters of a finer grouping."
        )
