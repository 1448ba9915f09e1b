"""Steps from a point where a pass was made, and what holds them back where the pilot is poor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.interpolate import CubicHermiteSpline

from dask_onestep.kernels.curvature import Curvature
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.linear_algebra import Factor, factorize
from dask_onestep.kernels.newton import ROUNDING, rose
from dask_onestep.kernels.pilot import PilotFit
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Model

__all__ = [
    "UNUSABLE",
    "Step",
    "direction",
    "is_usable",
    "overshot",
    "representation",
    "retreat",
    "shorten",
    "take_step",
]

# λ² per coefficient from which on an estimate is of no use for inference, being two standard errors
# from the MLE.
UNUSABLE = 4.0
# How often means are taken anew where the corrected step leads; each time what they lack falls by the order of
# the pilot's error.
_REFINEMENTS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """A step from a point where a pass was made.

    Attributes
    ----------
    start : ndarray of shape (d,)
        Where the pass was made.
    sums : Moments
        The full sums there.
    factor : Factor
        Their factored information.
    coef : ndarray of shape (d,)
        Where the step leads, with 0 for aliased columns.
    ahead : Moments
        The full sums at `coef`, as those at `start` and the pilot rows foretell them; the information
        is that at `start` where the foretold one is not positive definite, and χ² the pilot rows' own,
        scaled up, where the foretold one is not positive.
    decrement : float
        λ² at `coef`, estimated from the pilot rows.
    shortened : bool
        Whether the step was halved, or shortened otherwise, since it overshot.
    fell_back : bool
        Whether the corrected step was asked for and could not be had.
    retreated : bool
        Whether the sums at the pilot's estimate were of no use, so that the step leads to the null model.
    """

    start: np.ndarray
    sums: Moments
    factor: Factor
    coef: np.ndarray
    ahead: Moments
    decrement: float
    shortened: bool = False
    fell_back: bool = False
    retreated: bool = False

    @property
    def unit(self) -> float:
        """What sampling error makes of a squared distance in information units: d·φ̂."""
        return self.factor.rank * self.ahead.phi

    @property
    def distance(self) -> float:
        """How far from the MLE the step is expected to end, in standard errors: √(λ²/(dφ̂))."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt(np.divide(self.decrement, self.unit)))


def take_step(model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments, correction: str | None) -> Step:
    """Return the scoring step from a point where a pass was made.

    Without correction it is equation (2.4) of Wang et al., β̂ = β̂_p + I⁻¹s.  With it, δ maximises

        J(δ) = s'δ − ½ δ'Iδ + (N/n) R(δ),
        R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'I_pil δ,

    inside the region δ'Iδ ≤ 10 φ̂d(N/n − 1): R is what the pilot rows know of the likelihood's third
    and higher order terms.  Either step is halved while J says that it overshoots; where no part of it
    leads to finite sums, it leads to the null model instead.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    coef : ndarray of shape (d,)
        β, where the pass was made.
    sums : Moments
        The full sums at β.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    Step
        The step, with information, dispersion and decrement where it leads.
    """
    factor = factorize(sums.information, intercept=model.has_intercept)
    curvature = Curvature(model, pilot, coef, sums)
    newton = factor.solve(sums.score)
    found = None
    if correction == "pilot":
        corrected, found = _maximum(curvature, factor, newton)
        curvature = curvature if found is None else corrected
    step = _arrive(curvature, factor, newton if found is None else found)
    if step is None:
        return retreat(model, pilot, sums)
    if found is None:
        step = replace(step, fell_back=correction == "pilot")
    else:
        step = replace(step, decrement=curvature.sampling_decrement(found, factor))
    if step.decrement <= UNUSABLE * step.unit or (coef != pilot.coef).any():
        return step
    attainable, promised = curvature.attainable(), float(sums.score @ (step.coef - coef))
    return shorten(model, pilot, step, attainable / promised) if 0 < attainable < promised else step


def direction(model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments) -> np.ndarray:
    """Return the step from a point where a pass was made, as `take_step` corrects it, or else the scoring step.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    coef : ndarray of shape (d,)
        β, where the pass was made.
    sums : Moments
        The full sums at β.

    Returns
    -------
    ndarray of shape (d,)
        δ.
    """
    factor = factorize(sums.information, intercept=model.has_intercept)
    newton = factor.solve(sums.score)
    if pilot.separated:
        return newton  # longer steps towards infinity would look like an arrival
    # Near the end a step is tiny, and what it leaves is to be smaller still.
    found = _maximum(Curvature(model, pilot, coef, sums), factor, newton, tol=1e-22)[1]
    return newton if found is None else found


def _maximum(
    curvature: Curvature, factor: Factor, newton: np.ndarray, tol: float = 1e-12
) -> tuple[Curvature, np.ndarray | None]:
    """Return the corrected step with the curvature that it maximises, means taken where it leads."""
    found: np.ndarray | None = np.zeros_like(newton)
    for _ in range(_REFINEMENTS):
        assert found is not None
        expected = curvature.expecting(curvature.coef + found)
        found = expected.maximum(factor, newton, tol)
        if found is None or expected is curvature:
            return expected, found
    return expected, found


def is_usable(model: Model, pilot: PilotFit, sums: Moments) -> bool:
    """Return whether a step can be taken from the pilot's estimate.

    It cannot where the linear predictor overflowed, or where a few rows with enormous means make
    columns look aliased that the pilot's rows tell apart.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    sums : Moments
        The full sums at its estimate.

    Returns
    -------
    bool
        Whether they are of use.
    """
    if not sums.is_finite():
        return False
    intercept = model.has_intercept
    kept = factorize(sums.information, intercept=intercept).kept
    if kept.all():
        return True
    apart = factorize(moments(pilot.rows, model, _null(model, pilot)).information, intercept=intercept).kept
    return bool((apart <= kept).all())


def _null(model: Model, pilot: PilotFit) -> np.ndarray:
    """Return the coefficients that give every row the pilot's mean."""
    rows, coef = pilot.rows, np.zeros_like(pilot.coef)
    if model.has_intercept and not model.outcomes:
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        mean = np.average(rows.y, weights=weights)
        coef[0] = model.link.link(model.family.initial_mean(np.asarray(mean), np.asarray(float(len(rows)))))
    return coef


def retreat(model: Model, pilot: PilotFit, sums: Moments) -> Step:
    """Return a step to the null model, for a pilot whose own estimate is of no use.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    sums : Moments
        The full sums at its estimate.

    Returns
    -------
    Step
        To the pilot's mean for every row; what is foretold there is the pilot's, scaled up.
    """
    coef, ratio = _null(model, pilot), pilot.ratio
    there = moments(pilot.rows, model, coef)
    ahead = replace(
        there,
        n=sums.n,
        weight=ratio * there.weight,
        loglik=ratio * there.loglik,
        score=ratio * there.score,
        information=ratio * there.information,
        pearson=None if there.pearson is None else ratio * there.pearson,
    )
    factor = factorize(ahead.information, intercept=model.has_intercept)
    return Step(pilot.coef, sums, factor, coef, ahead, np.inf, retreated=True)


def representation(pilot: PilotFit, first: Step) -> tuple[float, float]:
    """Return how far the pilot's information, scaled up, is from that of all rows at its estimate.

    Means that grow without bound, or rare levels, leave much of the information to a few rows.  Where the
    pilot lacks them, or has more than their share, what it foretells is of no use, its decrement included.

    Parameters
    ----------
    pilot : PilotFit
        The pilot.
    first : Step
        The step from its estimate.

    Returns
    -------
    least, greatest : float
        Smallest and largest eigenvalue of the full information relative to N/n times the pilot's; both near
        1 for an honest pilot.  NaN where the pilot cannot tell columns apart.
    """
    factor = pilot.factor
    if first.retreated or not factor.rank or not factor.kept.all():
        return float("nan"), float("nan")
    scaled = first.sums.information / np.outer(factor.scale, factor.scale) / pilot.ratio
    half = linalg.solve_triangular(factor.lower, scaled, lower=True)
    relative = np.linalg.eigvalsh(linalg.solve_triangular(factor.lower, half.T, lower=True))
    return float(relative[0]), float(relative[-1])


def shorten(model: Model, pilot: PilotFit, step: Step, share: float) -> Step:
    """Return a part of a step that overshoots.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    step : Step
        The step.
    share : float
        Which part of it, between 0 and 1.

    Returns
    -------
    Step
        That part, from the same start.
    """
    curvature = Curvature(model, pilot, step.start, step.sums)
    part = _arrive(curvature, step.factor, share * (step.coef - step.start))
    assert part is not None  # the sums at both ends are finite, and so are those between
    return replace(part, shortened=True, fell_back=step.fell_back)


def overshot(step: Step, there: Moments) -> float | None:
    """Return which part of a step is best, if the sums at its end show that it overshot.

    It did where the log-likelihood fell, or falls more steeply at the end than it rose at the start.

    Parameters
    ----------
    step : Step
        The step.
    there : Moments
        The full sums where it led.

    Returns
    -------
    float or None
        Between 0 and 1, where the cubic through both log-likelihoods and slopes is greatest; None if
        the step was well taken.
    """
    move = step.coef - step.start
    rise, fall = float(step.sums.score @ move), float(there.score @ move)
    gentle = fall >= -rise - ROUNDING * abs(step.sums.loglik)
    if rose(there.loglik, step.sums.loglik) and gentle:
        return None
    if not there.is_finite():
        return 0.5
    cubic = CubicHermiteSpline([0.0, 1.0], [step.sums.loglik, there.loglik], [rise, fall])
    peaks = cubic.derivative().roots(extrapolate=False)
    return float(peaks[np.argmax(cubic(peaks))]) if len(peaks) else 0.5


def _arrive(curvature: Curvature, factor: Factor, step: np.ndarray) -> Step | None:
    """Return where a step leads once it no longer overshoots; None if no part of it leads to finite sums."""
    ahead, shortened = curvature(step), False
    for _ in range(60):
        if rose(ahead.loglik, curvature.sums.loglik) and ahead.is_finite():
            break
        step, shortened = step / 2, True
        ahead = curvature(step)
    if not ahead.is_finite():
        return None
    decrement = factor.decrement(ahead.score)
    sums, intercept = curvature.sums, curvature.model.has_intercept
    information = ahead.information
    if not (factorize(information, intercept=intercept).kept == factor.kept).all():
        information = sums.information
    ahead = replace(ahead, information=information)
    if ahead.pearson is not None and not ahead.pearson > 0:
        ahead = replace(ahead, pearson=curvature.scaled_pearson(step))
    return Step(curvature.coef, sums, factor, curvature.coef + step, ahead, decrement, shortened)
