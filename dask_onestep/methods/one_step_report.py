"""The result of a one-step fit: its `Estimate`, diagnostics of the pilot, and warnings."""

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.likelihood.covariance import ScoreProducts, all_products
from dask_onestep.kernels.matrices.symmetric import filled
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import far_off, misrepresented, representation
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.steps import Steps, advance, wants_more

# Factor on the bound of the distance, so that false alarms are rare.
_BEYOND = 2.0
_SMALL = 20  # rows per coefficient below which the pilot estimate is unreliable


@dataclass(frozen=True, kw_only=True, eq=False)
class OneStepEstimate(Estimate):
    """An `Estimate`, with diagnostics of the pilot and of the step.

    Attributes
    ----------
    pilot_size : int
        n, the number of pilot rows.
    pilot_coef : ndarray of shape (d,)
        β̂_p.
    pilot_decrement : float
        λ² at β̂_p, from the pass there: about twice the log-likelihood that the first step gained.
    pilot_distance : float
        (β̂ − β̂_p)'I(β̂ − β̂_p)/(φ̂d(N/n − 1)): near 1 for a representative pilot.
    pilot_representation : tuple of two floats
        Smallest and largest eigenvalue of the information of all rows relative to the pilot's, scaled up:
        both near 1 for a representative pilot.
    pilot_separated : bool
        Whether the MLE does not exist on the pilot, so that a weakly informative prior was used.
    shortened : bool
        Whether the last step was shortened.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor, OneStep
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> estimate = GLMRegressor("poisson", method=OneStep(500)).fit(X, y).estimate_
    >>> estimate.pilot_size, estimate.pilot_separated, bool(estimate.decrement < estimate.pilot_decrement)
    (500, False, True)
    """

    pilot_size: int
    pilot_coef: np.ndarray
    pilot_decrement: float
    pilot_distance: float
    pilot_representation: tuple[float, float]
    pilot_separated: bool
    shortened: bool

    _coefficients = ("coef", "pilot_coef")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fit was asked for; the fields are as in `OneStep`, the covariance as in the estimators."""

    cov_type: str
    steps: int | str
    correction: str | None
    tol: float
    seed: int


def report(
    model: Model, asked: Asked, pilot: PilotFit, taken: Steps, products: ScoreProducts | None
) -> OneStepEstimate:
    """Return the estimate, with its inference and its warnings."""
    step = taken.step
    known = products is not None or step.exact
    factor = step.ahead_factor
    if products is not None:
        factor = factorize(products.moments.information, intercept=model.has_intercept)
    fields = conclude(
        model,
        asked.cov_type,
        step.coef,
        step.ahead if products is None else products,
        factor,
        n_samples=pilot.survey.n,
        decrement=step.decrement,
        loglik_estimated=not known and not model.quadratic,
    )
    left = step
    if products is not None:
        left = Step.arrived(step.coef, products.moments, factor, np.sqrt(fields["covariance"].diagonal()))
    fields["warnings"] = (*taken.said, *_advice(model, asked, pilot, taken, left), *fields["warnings"])
    return OneStepEstimate(
        **fields,
        converged=asked.steps != "auto" or left.is_close(asked.tol),
        n_iter=taken.n_steps,
        classes=pilot.survey.classes,
        n_missing=pilot.survey.n_missing,
        pilot_size=pilot.n,
        pilot_coef=pilot.coef,
        pilot_decrement=_pilot_decrement(taken.first),
        pilot_distance=_pilot_distance(pilot, taken.first, np.nan_to_num(step.coef)),
        distance_bound=left.distance,
        pilot_representation=taken.first.representation,
        pilot_separated=pilot.separated,
        random_state=asked.seed,
        shortened=step.shortened,
        sums_estimated=not known and not model.quadratic,
        pilot=pilot.record,
    )


def report_or_step(
    model: Model, asked: Asked, pilot: PilotFit, taken: Steps, products: ScoreProducts | None, held: bool
) -> tuple[OneStepEstimate | None, Steps | None, Steps | None]:
    """Return the estimate; or the step from which to take one more, or that one if it is known; or nothing."""
    if pilot.short and not held:
        return None, None, None
    if products is None and wants_more(taken, asked.steps, asked.tol):
        return None, taken, None
    found = report(model, asked, pilot, taken, products)
    if products is None or found.converged or taken.stopped:
        return found, None, None
    return None, taken, advance(model, pilot, taken, products.moments, asked.correction)


def extrapolated_bread(taken: Steps) -> np.ndarray:
    """Return I⁻¹ where the last step leads, the information there extrapolated from the pilot rows."""
    return filled(taken.step.ahead_factor.inverse())


def report_if_whole(model: Model, asked: Asked, pilot: PilotFit, whole: int) -> tuple[OneStepEstimate | None, bool]:
    """Return the estimate where the pilot is all rows, and whether it would be if all blocks were held."""
    if not pilot.whole:
        return None, pilot.n < pilot.survey.n <= whole
    return report_whole(model, asked, pilot), False


def report_whole(model: Model, asked: Asked, pilot: PilotFit) -> OneStepEstimate:
    """Return the estimate of a pilot that is all rows."""
    step = Step.arrived(pilot.coef, pilot.moments, pilot.factor)
    step = replace(step, representation=representation(pilot, step))
    products = None
    if asked.cov_type != "nonrobust":
        bread = filled(pilot.factor.inverse())
        products = all_products(pilot.rows, model, pilot.coef, asked.cov_type, bread)
    # A lazy fit makes no further passes if these rows have no maximum, and warns.
    asked = replace(asked, steps="auto" if pilot.whole else max(pilot.n_iter, 1))
    return report(model, asked, pilot, Steps(None, step, step, pilot.n_iter), products)


def report_lazily(
    model: Model, asked: Asked, pilot: PilotFit, taken: Steps, products: ScoreProducts | None
) -> OneStepEstimate:
    """Return the estimate; where the pilot proves to be all rows its own, as a fit that looks has it."""
    return report_whole(model, asked, pilot) if pilot.whole else report(model, asked, pilot, taken, products)


def _pilot_decrement(first: Step) -> float:
    return float("inf") if first.retreated else first.factor.decrement(first.sums.score)


def _pilot_distance(pilot: PilotFit, first: Step, coef: np.ndarray) -> float:
    """Return (β̂ − β̂_p)'I(β̂ − β̂_p) over what it is on average for a representative pilot."""
    spread = first.unit * (pilot.ratio - 1.0)
    if first.retreated or not spread > 0:
        return float("nan")
    moved = coef - pilot.coef
    return float(moved @ first.sums.information @ moved) / spread


def _advice(model: Model, asked: Asked, pilot: PilotFit, taken: Steps, left: Step) -> Remarks:
    """Return at most one warning: of steps that were to go on until the MLE is near only if it is not."""
    if model.quadratic:
        return ()
    if asked.steps == "auto":
        if left.is_close(asked.tol):
            return ()
        said = {"n_steps": taken.n_steps, "distance": left.distance, "decrement": left.decrement}
        return (catalogue.STEPS_NOT_CONVERGED.warning(**said),)
    return tuple(_causes(model, asked, pilot, taken, left)[:1])


def _causes(model: Model, asked: Asked, pilot: PilotFit, taken: Steps, left: Step) -> list[Remark]:
    """Return what is to be said of the pilot, the distance and the steps, causes before consequences."""
    step, first, steps, tol = taken.step, taken.first, int(asked.steps), asked.tol
    advice: list[Remark] = []
    if pilot.separated:
        advice.append(catalogue.PILOT_WITHOUT_MLE.warning(n=pilot.n))
    if pilot.n < min(_SMALL * step.factor.rank, pilot.survey.n):
        advice.append(catalogue.SMALL_PILOT.warning(n=pilot.n, rank=step.factor.rank))
    if first.retreated:
        advice.append(catalogue.PILOT_MEANS_OVERFLOW.warning())
    if (off := misrepresented(pilot, first)) is not None:
        rows = "outside the pilot dominate" if off > 1 else "are overrepresented in the pilot"
        advice.append(catalogue.PILOT_INFORMATION.warning(ratio=off, rows=f"a few influential rows {rows}"))
    elif not pilot.separated and (off := far_off(model, pilot, first, np.nan_to_num(step.coef))) is not None:
        advice.append(catalogue.PILOT_DISTANCE.warning(ratio=off))
    if not left.is_close(tol, beyond=_BEYOND):
        said = {"distance": left.distance, "decrement": left.decrement, "bound": tol * left.unit}
        advice.append(catalogue.FAR_FROM_MLE.warning(**said, within=np.sqrt(tol), n=pilot.n))
    if step.shortened or step.fell_back:
        advice.append(catalogue.STEP_SHORTENED.warning())
    if taken.n_steps > steps:
        given = "One step" if steps == 1 else f"The estimate after {steps} steps"
        advice.append(catalogue.STEPS_ADDED.warning(asked=given, n_steps=taken.n_steps))
    return advice
