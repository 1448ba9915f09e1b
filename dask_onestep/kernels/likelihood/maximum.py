"""The maximum-likelihood fit of rows in memory."""

from collections.abc import Callable

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import initial_moments, observed_moments
from dask_onestep.kernels.matrices.symmetric import is_finite
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb
from dask_onestep.kernels.solve.linear_algebra import factorize


def fit_rows(
    rows: Rows,
    model: Model,
    start: np.ndarray | None = None,
    *,
    max_iter: int = 30,
    evaluated: Callable[[Rows, Model, np.ndarray], Moments] = observed_moments,
) -> Ascent:
    """Return the maximum-likelihood fit of rows in memory.

    Parameters
    ----------
    rows : Rows
        The rows, labels encoded.
    model : Model
        The model.
    start : ndarray of shape (d,) or None
        Starting values; by default from one weighted least-squares fit to the family's starting means.
    max_iter : int
        Maximum number of Newton steps.
    evaluated : callable
        Returns the moments at β; a fit that converges ends where it was called last.

    Returns
    -------
    Ascent
        The fit; not converged if the rows are separated.
    """
    intercept = model.has_intercept

    def objective(coef: np.ndarray) -> Moments:
        return evaluated(rows, model, coef)

    if start is None:
        first = initial_moments(rows, model)
        if is_finite(first.information) and np.isfinite(first.score).all():
            start = factorize(first.information, intercept=intercept).solve(first.score)
        elif (start := model.likelihood.safe_start(rows, model)) is None:
            # Some y is not the image of a linear predictor, such as a negative one under the log link.
            start = np.zeros(len(model.names))
    sums = objective(start)
    if (
        not (sums.is_finite() and np.isfinite(sums.loglik))
        and (safe := model.likelihood.safe_start(rows, model)) is not None
    ):
        start, sums = safe, objective(safe)
    fit = climb(Ascent.begin(start, sums, Newton(intercept, observed=True), max_iter), objective)
    # Scoring steps lead closer to the boundary of a domain; to infinity they lead slowly, and would seem to arrive.
    return climb(Ascent.begin(start, sums, Newton(intercept), max_iter), objective) if fit.at_boundary else fit
