"""The pilot's own estimate: one pass, a small sample."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.covariance import degrees_of_freedom, dispersion
from dask_onestep.kernels.likelihood.sums import log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit, fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSample
from dask_onestep.kernels.rows.rows import encode
from dask_onestep.messages import catalogue
from dask_onestep.methods.arguments import seed_of
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.draws import draw_pilot, draw_sample
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan


class Pilot(Method):
    """The maximum-likelihood estimator of a simple random sample of the rows.

    Its covariance is φ̂ I_pil⁻¹, for n rows instead of N.

    Parameters
    ----------
    pilot_size : "auto", int or float, default="auto"
        Rows of the sample: a number, a fraction of N, or max(20√N, 50·d).
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

    multinomial = True  # whether it can fit more than two classes
    eliminates = True
    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them

    def __init__(self, pilot_size: str | int | float = "auto", *, random_state: Any = 0):
        self.pilot_size = pilot_size
        self.random_state = random_state

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the pilot's estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of an `Estimate`.
        """
        problem.refuse(cov_type=("nonrobust",), solver=("auto", "cholesky", "qr"))
        seed = seed_of(self.random_state)
        pilot, problem = yield from draw_pilot(problem, Draw(self.pilot_size, seed))
        return problem.apply(_report, problem.model, pilot, seed, name="pilot")

    def likelihood_ratio(self, problem: Problem, restricted: Problem) -> Plan:
        """Return the plan of the likelihood-ratio statistic of the pilot rows, at whose maximum it is evaluated.

        Parameters
        ----------
        problem, restricted : Problem
            The larger and the smaller model, on the same blocks.  One pass.

        Returns
        -------
        Plan
            It returns the statistic and its degrees of freedom: χ²(df), or F(df, n − d) for a family with a dispersion.
        """
        unknown = replace(restricted, model=problem.model, classes=None)
        sample, _ = yield from draw_sample(unknown, Draw(self.pilot_size, seed_of(self.random_state)))
        handle = unknown.apply(_ratio, sample, problem.model, restricted.model, name="likelihood-ratio")
        return (yield Look(handle))


def _ratio(sample: PilotSample, model: Model, restricted: Model) -> tuple[float, float, float]:
    larger = fit_pilot(sample, model)
    rank = larger.factor.rank
    if restricted.names:
        smaller = fit_pilot(sample, restricted)
        coef, rows, lost = smaller.coef, smaller.rows, rank - smaller.factor.rank
    else:
        encoded = encode(sample.drawn().held(restricted).rows(), larger.survey.classes)
        assert isinstance(encoded, Rows)
        rows = encoded
        coef, lost = np.empty(0), rank
    sums = log_likelihoods(larger.rows, model, larger.coef[np.newaxis])
    held_sums = log_likelihoods(rows, restricted, coef[np.newaxis])
    if not model.family.has_dispersion:
        return 2.0 * float(sums.loglik[0] - held_sums.loglik[0]), lost, float("nan")
    df_resid = degrees_of_freedom(larger.moments, model, rank)
    phi = dispersion(larger.moments.pearson, df_resid)
    return float(held_sums.deviance[0] - sums.deviance[0]) / (lost * phi), lost, df_resid


def _report(model: Model, pilot: PilotFit, seed: int) -> Estimate:
    advice = (catalogue.PILOT_WITHOUT_MLE.warning(n=pilot.n),) if pilot.separated else ()
    fields = conclude(
        model,
        "nonrobust",
        pilot.coef,
        pilot.moments,
        pilot.factor,
        n_samples=pilot.survey.n,
        decrement=float("nan"),
        loglik=float("nan"),
        warnings=advice,
    )
    known = pilot.survey
    return Estimate(**fields, classes=known.classes, n_missing=known.n_missing, random_state=seed, pilot=pilot.record)
