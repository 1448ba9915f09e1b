"""Tests that fit again under the null hypothesis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from dask_onestep.inference import TestResult, null_text, parse_null, score_statistic
from dask_onestep.methods import Estimate, Problem

__all__ = ["HypothesisTests", "restrict"]


class HypothesisTests:
    """Tests of a null hypothesis from a fit that obeys it."""

    def score_test(
        self, X: Any, y: Any = None, *, null: Any, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return Neyman's C(α) score test of a null hypothesis.

        The null model is fitted by the estimator's own method, on the same pilot rows, and one pass more
        takes the score there.  The score of the tested coefficients is freed of the nuisance ones',
        s₁ − I₁₂I₂₂⁻¹s₂, which a one-step fit does not bring to zero.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.
        null : str, list of str, or dict
            Coefficients that are zero jointly, or name → value; "intercept" included.

        Returns
        -------
        TestResult
            χ²(s), or F(s, N − d) with the dispersion of the larger model; by the expected information,
            whatever `cov_type` is.

        Raises
        ------
        ValueError
            If the hypothesis names no coefficient or an aliased one.
        """
        check_is_fitted(self)
        model, estimate = self._fitted_model, self.estimate_  # type: ignore[attr-defined]
        values = parse_null(null, model.names)
        text = null_text(values)
        tested = np.array([name in values for name in model.names])
        if np.isnan(estimate.coef[tested]).any():
            raise ValueError(f"The hypothesis {text} concerns an aliased coefficient, which has no estimate.")
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        coef = np.empty(len(model.names))
        coef[tested] = list(values.values())
        if not tested.all():
            coef[~tested] = np.nan_to_num(restrict(self, problem, values).coef)
        sums = problem.value(problem.moments(coef))
        statistic = score_statistic(sums.score, sums.information, tested, intercept=model.has_intercept)
        robust = self.cov_type != "nonrobust"  # type: ignore[attr-defined]
        note = "By the expected information; wald_test is robust." if robust else ""
        s, df_denom = int(tested.sum()), np.nan
        if model.family.has_dispersion:
            statistic, df_denom = statistic / (s * estimate.dispersion), estimate.df_resid
        return TestResult.of(statistic, s, df_denom, null=text, test="Score", note=note)


def restrict(estimator: Any, problem: Problem, values: dict[str, float]) -> Estimate:
    """Return the estimate of the null model, by the method and with the pilot rows of the larger one.

    Parameters
    ----------
    estimator : estimator
        The fitted larger model.
    problem : Problem
        It, beside the data.
    values : dict
        The null hypothesis: coefficients by name, and their values.

    Returns
    -------
    Estimate
        Of the coefficients that are free.
    """
    method = estimator._method()
    if isinstance(method, BaseEstimator) and hasattr(estimator.estimate_, "random_state"):
        method = clone(method).set_params(random_state=estimator.estimate_.random_state)
    null = replace(problem.model, fixed=(*problem.model.fixed, *values.items()))
    restricted = Problem(
        null, problem.blocks, solver=problem.solver, scheduler=problem.scheduler, verbose=problem.verbose
    )
    estimate = method.estimate(restricted)
    return restricted.value(estimate) if isinstance(estimate, Delayed) else estimate
