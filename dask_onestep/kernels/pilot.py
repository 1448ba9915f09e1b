"""What the pilot rows know: their own MLE, the curvature that one step leaves out, how far it is from the MLE."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg
from scipy.interpolate import CubicHermiteSpline

from dask_onestep.kernels.covariance import products
from dask_onestep.kernels.entering import oversized_columns
from dask_onestep.kernels.likelihood import moments, remainders, row_log_likelihoods
from dask_onestep.kernels.linear_algebra import Factor, factorize
from dask_onestep.kernels.multinomial import with_prior
from dask_onestep.kernels.newton import ROUNDING, fit_rows, maximize, rose
from dask_onestep.kernels.records import Findings, Moments
from dask_onestep.kernels.rows import Model, Rows, encode
from dask_onestep.kernels.sampling import PilotSample, Survey, survey

__all__ = [
    "UNUSABLE",
    "PilotFit",
    "Step",
    "fit_pilot",
    "is_usable",
    "overshot",
    "representation",
    "retreat",
    "shorten",
    "take_step",
]

# An honest pilot lies at a squared distance of about d(N/n − 1) from the MLE, in the metric of the
# information; ten times that is beyond chance for any d.
TRUST = 10.0
# λ² per coefficient from which on an estimate is of no use for inference, being two standard errors
# from the MLE.
UNUSABLE = 4.0


@dataclass(frozen=True)
class PilotFit:
    """The pilot's maximum-likelihood fit, and the rows it came from.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂_p, with 0 for columns that the pilot cannot tell apart from others.
    rows : Rows
        The n pilot rows, labels encoded.
    moments : Moments
        The likelihood's sums over the pilot rows at β̂_p.
    factor : Factor
        Their factored information.
    survey : Survey
        What the pass learned of the whole.
    separated : bool
        Whether the pilot has no MLE, so that `coef` is the penalised fit.
    """

    coef: np.ndarray
    rows: Rows
    moments: Moments
    factor: Factor
    survey: Survey
    separated: bool = False

    @property
    def n(self) -> int:
        """Rows of the pilot."""
        return len(self.rows)

    @property
    def ratio(self) -> float:
        """N/n."""
        return self.survey.n / self.n

    @property
    def reach(self) -> float:
        """The squared distance within which an honest pilot has the MLE, in information units at φ = 1."""
        spread = self.ratio - 1.0
        return TRUST * max(self.factor.rank, 1) * spread if spread > 0 else np.inf


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
        is that at `start` where the foretold one is not positive definite.
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


def fit_pilot(sample: PilotSample, model: Model) -> PilotFit:
    """Return the MLE of the pilot rows; of a separated pilot, its penalised fit.

    A pilot without an MLE (separated, all zero, one class) is given the weak prior of Clogg, Rubin,
    Schenker, Schultz and Weidman (1991): d pseudo-observations, spread over the rows, whose response
    is the pilot's mean.

    Parameters
    ----------
    sample : PilotSample
        Candidates of all blocks.
    model : Model
        The model.

    Returns
    -------
    PilotFit
        The fit.

    Raises
    ------
    ValueError
        If no row is usable, or y has other than two classes.
    """
    known = survey(sample, model.n_classes)
    rows = encode(sample.drawn().rows(), known.classes)
    if isinstance(rows, Findings):
        rows.raise_error()
    assert isinstance(rows, Rows)
    try:
        fit = fit_rows(rows, model)
    except ValueError:
        if found := oversized_columns(rows, model):
            replace(found, blocks=()).raise_error()
        raise
    separated = not fit.converged
    if separated:
        fit = fit_rows(_with_prior(rows, model), model)
        sums = moments(rows, model, fit.coef)
        fit = replace(fit, moments=sums, factor=factorize(sums.information, intercept=model.has_intercept))
    return PilotFit(fit.coef, rows, fit.moments, fit.factor, known, separated)


def _with_prior(rows: Rows, model: Model) -> Rows:
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    share = len(model.names) / len(rows)
    if model.outcomes:
        return with_prior(rows, model, share)
    mean = (np.dot(weights, rows.y) + 0.5) / (weights.sum() + 1.0)
    return replace(rows, y=(rows.y + share * mean) / (1.0 + share), weights=weights * (1.0 + share))


def take_step(model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments, correction: str | None) -> Step:
    """Return the scoring step from a point where a pass was made.

    Without correction it is equation (2.4) of Wang et al., β̂ = β̂_p + I⁻¹s.  With it, δ maximises

        J(δ) = s'δ − ½ δ'Iδ + (N/n) R(δ),
        R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'I_pil δ,

    inside the region δ'Iδ ≤ 10 φ̂d(N/n − 1): R is what the pilot rows know of the likelihood's third
    and higher order terms.  Either step is halved while J says that it overshoots.

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
    curvature = _Curvature(model, pilot, coef, sums)
    newton = factor.solve(sums.score)
    found = curvature.maximum(factor, newton) if correction == "pilot" else None
    if found is None:
        step = _arrive(curvature, factor, newton, fell_back=correction == "pilot")
    else:
        step = _arrive(curvature, factor, found)
        step = replace(step, decrement=_sampling_decrement(curvature, found, factor))
    if step.decrement <= UNUSABLE * step.unit or (coef != pilot.coef).any():
        return step
    attainable, promised = curvature.attainable(), float(sums.score @ (step.coef - coef))
    return shorten(model, pilot, step, attainable / promised) if 0 < attainable < promised else step


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
    apart = factorize(moments(pilot.rows, model, _null(model, pilot)).information, intercept=intercept).kept
    return bool((apart <= factorize(sums.information, intercept=intercept).kept).all())


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
    curvature = _Curvature(model, pilot, step.start, step.sums)
    part = _arrive(curvature, step.factor, share * (step.coef - step.start), fell_back=step.fell_back)
    return replace(part, shortened=True)


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


def _arrive(curvature: _Curvature, factor: Factor, step: np.ndarray, *, fell_back: bool = False) -> Step:
    ahead, shortened = curvature(step), False
    for _ in range(60):
        if rose(ahead.loglik, curvature.sums.loglik) and ahead.is_finite():
            break
        step, shortened = step / 2, True
        ahead = curvature(step)
    decrement = factor.decrement(ahead.score)
    sums, intercept = curvature.sums, curvature.model.has_intercept
    information = ahead.information
    if not (factorize(information, intercept=intercept).kept == factor.kept).all():
        information = sums.information
    pearson = None if ahead.pearson is None else max(ahead.pearson, 0.0)
    ahead = replace(ahead, information=information, pearson=pearson)
    return Step(curvature.coef, sums, factor, curvature.coef + step, ahead, decrement, shortened, fell_back)


class _Curvature:
    """ℓ(β) + J(δ), what is foretold of ℓ(β + δ), with gradient, information and Pearson's χ², as `Moments` of δ."""

    def __init__(self, model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments):
        self.model, self.pilot, self.coef, self.sums = model, pilot, coef, sums
        self.here = moments(pilot.rows, model, coef)

    def __call__(self, step: np.ndarray) -> Moments:
        full, here, ratio = self.sums, self.here, self.pilot.ratio
        there = moments(self.pilot.rows, self.model, self.coef + step)
        ahead, ahead_here = full.information @ step, here.information @ step
        rest = there.loglik - here.loglik - here.score @ step + 0.5 * step @ ahead_here
        pearson = None
        if full.pearson is not None:
            # The pilot rows tell what is left of χ² after its gradient and, as for gaussian, 2I.
            left = there.pearson - here.pearson - here.pearson_gradient @ step - step @ ahead_here  # type: ignore[operator]
            pearson = full.pearson + full.pearson_gradient @ step + step @ ahead + ratio * left  # type: ignore[operator]
        return Moments(
            full.n,
            full.weight,
            full.loglik + full.score @ step - 0.5 * step @ ahead + ratio * rest,
            full.score - ahead + ratio * (there.score - here.score + ahead_here),
            full.information + ratio * (there.information - here.information),
            pearson,
            full.pearson_gradient,
        )

    def attainable(self) -> float:
        """Return what there is to gain at the most: the pilot's log-likelihood, scaled up, over the full one.

        A concave log-likelihood gains at most s'δ from a step δ; for an honest pilot the two agree.  What is
        within a standard error of the scaled log-likelihood is no bound.
        """
        rows, ratio = self.pilot.rows, self.pilot.ratio
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        logliks = row_log_likelihoods(rows, self.model, self.coef)
        with np.errstate(over="ignore"):  # an infinite error foretells nothing
            error = ratio * np.sqrt(len(rows)) * np.std(weights * logliks)
        gain = float(ratio * self.here.loglik - self.sums.loglik)
        return gain if gain > error else np.inf

    def maximum(self, factor: Factor, newton: np.ndarray) -> np.ndarray | None:
        """Return where J is greatest inside the trust region; None on its boundary or where J curves up."""
        reach, information = self.pilot.reach * self.sums.phi, self.sums.information

        def inside(step: np.ndarray) -> bool:
            return step @ information @ step <= reach

        start = np.zeros_like(newton)
        if inside(newton) and rose(self(newton).loglik, self.sums.loglik):
            start = newton
        try:
            found = maximize(self, start, intercept=self.model.has_intercept, tol=1e-12, inside=inside)
        except ValueError:
            return None
        honest = found.converged and bool((found.factor.kept == factor.kept).all())
        return found.coef if honest else None


def _sampling_decrement(curvature: _Curvature, step: np.ndarray, factor: Factor) -> float:
    """Return the expected λ² at the corrected step, from the spread of the pilot rows' corrections.

    The corrected step zeroes the score as the pilot extrapolates it, so that estimate would be 0 by
    construction.  What is left is the sampling error of (N/n)Σrᵢ, rᵢ the part of row i's score that
    is not linear in δ: E λ² = tr(I⁻¹ Var), with the finite-population factor 1 − n/N.
    """
    model, pilot, coef = curvature.model, curvature.pilot, curvature.coef
    if pilot.n < 2:
        return float("nan")
    total, square = np.zeros(len(coef)), np.zeros((len(coef), len(coef)))
    # Weights count as shares of the largest, whose square could overflow.
    top = 1.0 if pilot.rows.weights is None else float(pilot.rows.weights.max()) or 1.0
    with np.errstate(all="ignore"):
        for part, change in remainders(pilot.rows, model, coef, step):
            rest = change / top
            total += part.weighted_sum(rest).T.ravel()
            square += part.gram(products(rest))
    n, ratio = pilot.n, pilot.ratio
    spread = (square - np.outer(total, total) / n) * n / (n - 1)
    return float(max(0.0, np.trace(factor.solve(spread)) * top * top * ratio**2 * (1.0 - 1.0 / ratio)))
