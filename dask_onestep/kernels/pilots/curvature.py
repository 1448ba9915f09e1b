"""What the pilot rows foretell of the log-likelihood of all rows, beyond its quadratic model at one point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import stats

from dask_onestep.kernels.algebra import Slice
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.sums import moments, remainders, row_log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import TRUST, PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb, rose
from dask_onestep.kernels.solve.linear_algebra import Factor

__all__ = ["Curvature", "Remaining"]

_CONFIDENCE = 0.95
# Standard errors from which on it matters from how few rows the error is estimated.
_CLOSE = 0.02
# λ² of what means leave out, as a multiple of what noise makes of it.
_BEYOND_NOISE = 20.0
# The point that a step starts from is the pilot rows' own, so that their corrections err by more than those of other
# rows would.
_OWN = 2.0


@dataclass(frozen=True, slots=True)
class Remaining(Record):
    """What remains of the way to the maximum.

    Attributes
    ----------
    decrement : float
        The expected λ².
    distance : float
        An upper bound, of 95 %, of the greatest distance of a coefficient in standard errors.
    """

    decrement: float
    distance: float

    @classmethod
    def of(
        cls, factor: Factor, score: np.ndarray, variance: np.ndarray | None, phi: float, df: float = np.inf
    ) -> Remaining:
        """Return it for a score whose error has a variance, which is estimated with `df` degrees of freedom; or none.

        Of d coefficients the greatest is bounded as Bonferroni bounds it.
        """
        if variance is not None and not np.isfinite(variance).all():
            return cls(float("inf"), float("inf"))
        decrement = factor.decrement(score)
        inverse = np.nan_to_num(factor.inverse())
        away = np.abs(factor.solve(score))
        if variance is not None:
            decrement += factor.expected_decrement(variance)
            quantile = stats.t.ppf(1 - (1 - _CONFIDENCE) / 2 / max(factor.rank, 1), max(df - 1, 1))
            spread = np.einsum("ij,ij->i", inverse @ variance, inverse)
            away += _OWN * quantile * np.sqrt(np.maximum(spread, 0.0))
        kept = factor.kept
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = away[kept] / np.sqrt(phi * np.diag(inverse)[kept])
        return cls(decrement, float(np.nan_to_num(distances, nan=0.0, posinf=np.inf).max(initial=0.0)))


class Curvature:
    """ℓ(β) + J(δ), what is foretold of ℓ(β + δ), with gradient, information and Pearson's χ², as `Moments` of δ.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    coef : ndarray of shape (d,)
        β, where the pass was made.
    sums : Moments
        The full sums there.
    responses : ndarray of shape (n,) or None
        What stands for the pilot's y in R(δ); by default its own.
    """

    def __init__(
        self,
        model: Model,
        pilot: PilotFit,
        coef: np.ndarray,
        sums: Moments,
        responses: np.ndarray | None = None,
    ):
        self.model, self.pilot, self.coef, self.sums = model, pilot, coef, sums
        self.rows = pilot.rows if responses is None else replace(pilot.rows, y=responses)
        self.own = pilot.moments if (coef == pilot.coef).all() else moments(pilot.rows, model, coef)
        self.here = self.own if responses is None else moments(self.rows, model, coef)
        self._last: tuple[bytes, Moments] | None = None

    def expecting(self, coef: np.ndarray) -> Self:
        """Return the same with means at β in the place of the pilot's responses.

        Unless η is the natural parameter, where y cancels, R(δ) holds the pilot's observed information less the
        expected one, Σ(yᵢ − μᵢ)hᵢxᵢxᵢ'.  Scaled up, its noise is as large as what R(δ) is to tell, and it is
        correlated with the pilot's estimate; over all rows it is next to nothing.  Means have no such noise.
        """
        if self.model.natural:
            return self
        with np.errstate(all="ignore"):
            means = [self.model.link.inverse(part.linear_predictor(coef)) for part in slices(self.rows, self.model)]
        return type(self)(self.model, self.pilot, self.coef, self.sums, np.concatenate(means))

    def __call__(self, step: np.ndarray) -> Moments:
        """Return the sums that are foretold of β + δ."""
        # Where one search ends the next often begins.
        if self._last is None or self._last[0] != step.tobytes():
            self._last = step.tobytes(), self._foretell(step)
        return self._last[1]

    def _foretell(self, step: np.ndarray) -> Moments:
        full, here, ratio = self.sums, self.here, self.pilot.ratio
        there = moments(self.rows, self.model, self.coef + step)
        ahead, ahead_here = full.information @ step, here.information @ step
        rest = there.loglik - here.loglik - here.score @ step + 0.5 * step @ ahead_here
        pearson = None
        if full.pearson is not None:
            # The pilot rows tell what is left of χ² after its gradient and, as for gaussian, 2I.
            left = self._pearson_remainder(step, there) - step @ ahead_here
            pearson = full.pearson + full.pearson_gradient @ step + step @ ahead + ratio * left  # type: ignore[operator]
        return Moments(
            full.n,
            full.weight,
            full.loglik + full.score @ step - 0.5 * step @ ahead + ratio * rest,
            full.score - ahead + ratio * (there.score - here.score + ahead_here),
            full.information + ratio * (there.information - here.information),
            pearson,
            full.pearson_gradient,
            full.absorbed,
        )

    def _pearson_remainder(self, step: np.ndarray, there: Moments) -> float:
        """Return what the pilot rows' own χ² leaves of its linear extrapolation."""
        here = self.own
        if self.rows is not self.pilot.rows:
            there = moments(self.pilot.rows, self.model, self.coef + step)
        return float(there.pearson - here.pearson - here.pearson_gradient @ step)  # type: ignore[operator]

    def scaled_pearson(self, step: np.ndarray) -> float:
        """Return the pilot rows' χ² at β + δ, scaled up; the full one at β where they fit exactly."""
        there = moments(self.pilot.rows, self.model, self.coef + step)
        return float(self.pilot.ratio * (there.pearson or 0.0)) or float(self.sums.pearson or 0.0)

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
        gain = float(ratio * np.dot(weights, logliks) - self.sums.loglik)
        return gain if gain > error else np.inf

    def maximum(self, factor: Factor, newton: np.ndarray, tol: float) -> np.ndarray | None:
        """Return where J is greatest inside the trust region; None on its boundary or where J curves up."""
        reach, information = self.pilot.reach * self.sums.phi, self.sums.information
        if newton @ information @ newton > reach / 2:  # as it is where y varies by more than the family has it
            reach = max(reach, TRUST * factor.expected_decrement(self.pilot.variance(self.model)))

        def inside(step: np.ndarray) -> bool:
            return step @ information @ step <= reach

        start = np.zeros_like(newton)
        if inside(newton) and rose(self(newton).loglik, self.sums.loglik):
            start = newton
        try:
            found = climb(Ascent.begin(start, self(start), Newton(self.model.has_intercept, tol)), self, inside)
        except ValueError:
            return None
        honest = found.converged and bool((found.factor.kept == factor.kept).all())
        return found.coef if honest else None

    def remaining(self, step: np.ndarray, factor: Factor, phi: float, *, at_maximum: bool) -> Remaining:
        """Return how far the maximum is expected to be from β + δ.

        What the pilot rows foretell of the score there is one part, 0 by construction where the step is the corrected
        one, which zeroes it.  The other is the sampling error of that foretelling.

        Parameters
        ----------
        step : ndarray of shape (d,)
            δ.
        factor : Factor
            The factored information at β.
        phi : float
            The dispersion.
        at_maximum : bool
            Whether δ is the corrected step.

        Returns
        -------
        Remaining
            Of the step's end.
        """
        at = self if at_maximum else self.expecting(self.coef + step)
        score = np.zeros_like(step) if at_maximum else at(step).score
        if not np.isfinite(score).all():  # some mean overflowed: infinitely far is far
            return Remaining(float("inf"), float("inf"))
        if self.pilot.n < 2:
            return Remaining(float("nan"), float("nan"))
        error = at.sampling_error(step)
        found = Remaining.of(factor, score, error, phi)
        if found.distance > _CLOSE and self.model.likelihood.n_predictors == 1:
            found = Remaining.of(factor, score, error, phi, at.effective_rows(step, factor))
        if at.rows is self.pilot.rows:
            return found
        more = Remaining.of(factor, at.omitted(step)[0], None, phi)
        gained = more.decrement if at.misses(step, factor) else 0.0  # otherwise it is noise
        return Remaining(found.decrement + gained, found.distance + more.distance)

    def misses(self, step: np.ndarray, factor: Factor) -> bool:
        """Return whether means leave out more than the noise that they are to keep out, as wrong means do."""
        omitted, noise = self.omitted(step)
        return factor.decrement(omitted) > _BEYOND_NOISE * factor.expected_decrement(noise)

    def omitted(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the score that means in the place of responses leave out, as the pilot tells it, and its variance.

        It is next to nothing where the means of the model are those of the data, and the step times the observed
        information less the expected one where they are not.
        """
        pilot, top = self.pilot, self._top
        score, square = np.zeros(len(step)), np.zeros((len(step), len(step)))
        for (part, observed), (_, expected) in zip(
            self._remainders(pilot.rows, step), self._remainders(self.rows, step), strict=True
        ):
            rest = (observed - expected) / top
            variance = pilot.inclusion.take(part.rows).variance
            sums, gram = part.weighted_sum_and_gram(rest, variance * np.square(rest))
            score += sums.ravel()
            square += gram
        return pilot.ratio * top * score, (pilot.ratio * top) ** 2 * square

    def sampling_error(self, step: np.ndarray) -> np.ndarray:
        """Return the variance of the score that the pilot rows foretell at β + δ, of shape (d, d).

        It is that of Σ rᵢ/πᵢ, rᵢ the part of row i's score that is not linear in δ:  Σ_h N_h²/n_h (1 − n_h/N_h) Cov_h,
        where the rows of strata that are drawn more densely than others are not centered.  Where means stand for
        responses, rᵢ is their part alone, and the variance of the noise of all rows is added, which is
        Σᵢ ((yᵢ − μᵢ)Δqᵢ)²xᵢxᵢ', q = μ'/V.
        """
        pilot, free, draw = self.pilot, self.model.free, self.pilot.inclusion
        total, square = np.zeros(len(free)), np.zeros((len(free), len(free)))
        top = self._top
        for part, change in self._remainders(self.rows, step):
            rest, here = change / top, draw.take(part.rows)
            spread = (rest.T * np.sqrt(here.variance)).T
            sums, gram = part.weighted_sum_and_gram((rest.T * here.base).T, products(spread))
            total += sums.T.ravel()
            square += gram
        total, square = total[free], square[np.ix_(free, free)]
        square -= draw.base_variance * np.outer(total, total) / max(draw.n_base, 1)
        square *= top * top * pilot.ratio**2
        if self.rows is not pilot.rows:
            for (part, observed), (_, expected) in zip(
                self._remainders(pilot.rows, step), self._remainders(self.rows, step), strict=True
            ):
                noise = np.square((observed - expected) / top) / draw.take(part.rows).weights
                square += part.gram(noise) * top * top * pilot.ratio
        return square

    def effective_rows(self, step: np.ndarray, factor: Factor) -> float:
        """Return how many pilot rows the sampling error comes from: the degrees of freedom of its estimate."""
        inverse, shares = np.nan_to_num(factor.inverse()), []
        for part, change in self._remainders(self.rows, step):
            variance = self.pilot.inclusion.take(part.rows).variance
            shares.append(variance * np.square(change / self._top) * part.quadratic_forms(inverse))
        each = np.concatenate(shares)
        return float(each.sum() ** 2 / np.square(each).sum()) if each.any() else np.inf

    @property
    def _top(self) -> float:
        """The largest weight, of which weights count as shares: their squares could overflow."""
        return 1.0 if self.rows.weights is None else float(self.rows.weights.max()) or 1.0

    def _remainders(self, rows: Rows, step: np.ndarray) -> Iterator[tuple[Slice, np.ndarray]]:
        with np.errstate(all="ignore"):
            yield from remainders(rows, self.model, self.coef, step)
