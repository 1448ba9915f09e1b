"""The attributes of a fitted estimator."""

from typing import Any

import numpy as np

from dask_onestep.methods import FitRecord


def attach(estimator: Any, record: FitRecord) -> Any:
    """Set what ``fit`` promises.

    Parameters
    ----------
    estimator : GLMBase
        The estimator; it is changed.
    record : FitRecord
        What was fitted, and what was found.

    Returns
    -------
    GLMBase
        The same estimator.
    """
    estimate, model = record.estimate, record.model
    estimator.record_, estimator.estimate_, estimator.family_ = record, estimate, model.family
    first = int(model.fit_intercept)
    found = estimate.coef.copy()  # the record's own cannot be changed
    coef, intercept = found[first:], found[0] if first else 0.0
    if estimate.classes is not None:
        estimator.classes_ = estimate.classes
        rows = found.reshape(model.likelihood.n_predictors, -1)
        coef, intercept = rows[:, first:], rows[:, 0] if first else np.zeros(len(rows))
    estimator.coef_, estimator.intercept_ = coef, intercept
    estimator.dispersion_ = estimate.dispersion
    estimator.n_samples_ = estimate.n_samples
    estimator.n_missing_ = int(estimate.n_missing)
    estimator.n_iter_ = estimate.n_iter
    estimator.n_passes_ = estimate.n_passes
    estimator.decrement_ = estimate.decrement
    return estimator
