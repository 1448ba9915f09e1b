"""What a fitted model says of data: statistics of fit, intervals of the mean, residuals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dask_onestep.fit_statistics import FitStatistics, finish
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
        """
        check_is_fitted(self)
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        estimate = self.estimate_  # type: ignore[attr-defined]
        null = None if offset is None else _null_intercept(problem)
        coef = np.nan_to_num(estimate.coef)
        sums = problem.value(problem.total(fit_sums, coef, estimate.dispersion, null, name="fit-statistics"))
        return finish(problem.model, sums, int(np.isfinite(estimate.coef).sum()), estimate.dispersion)


def _null_intercept(problem: Problem) -> float:
    model = problem.model
    null = replace(model, fit_intercept=True, fixed=tuple((name, 0.0) for name in model.columns))
    restricted = Problem(null, problem.blocks, scheduler=problem.scheduler)
    return float(MLE().estimate(restricted).coef[0])  # type: ignore[union-attr]
