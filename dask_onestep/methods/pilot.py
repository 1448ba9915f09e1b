"""The pilot's own estimate: one pass, a small sample."""

from __future__ import annotations

from typing import Any

from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep.kernels.pilot import PilotFit
from dask_onestep.kernels.rows import Model
from dask_onestep.methods.problem import Estimate, Problem, conclude, seed_of

__all__ = ["Pilot"]


class Pilot(BaseEstimator):
    """The maximum-likelihood estimator of a simple random sample of the rows.

    Its covariance is φ̂ I_pil⁻¹, that of n rows and not of N.

    Parameters
    ----------
    pilot_size : "auto", int or float, default="auto"
        Rows of the sample: a number, a share of N, or max(20√N, 50·d).
    random_state : int, RandomState or None, default=0
        Seed of the sample.

    Notes
    -----
    Passes: 1.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor, Pilot
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="gaussian", random_state=0)
    >>> GLMRegressor(method=Pilot(500)).fit(X, y).n_passes_
    1
    """

    def __init__(self, pilot_size: str | int | float = "auto", *, random_state: Any = 0):
        self.pilot_size = pilot_size
        self.random_state = random_state

    def estimate(self, problem: Problem) -> Estimate | Delayed:
        """Return the pilot's estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Estimate or Delayed
            The estimate, lazy if the problem is.
        """
        problem.refuse(cov_type=("nonrobust",), solver=("auto", "cholesky"))
        pilot = problem.pilot(self.pilot_size, seed_of(self.random_state))
        record = problem.apply(_report, problem.model, pilot, name="pilot")
        return record if problem.lazy else problem.value(record)


def _report(model: Model, pilot: PilotFit) -> Estimate:
    advice: tuple[tuple[type[Warning], str], ...] = ()
    if pilot.separated:
        text = (
            f"The pilot of {pilot.n} rows has no maximum-likelihood estimate (separated, or one value of y "
            "only): it was given a weak prior. Draw a larger one: Pilot(pilot_size=...)."
        )
        advice = ((UserWarning, text),)
    fields = conclude(
        model,
        "nonrobust",
        pilot.coef,
        pilot.moments,
        n_samples=pilot.survey.n,
        decrement=float("nan"),
        loglik=float("nan"),
        warnings=advice,
    )
    return Estimate(**fields, n_passes=1, classes=pilot.survey.classes, n_missing=pilot.survey.n_missing)
