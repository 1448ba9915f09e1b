"""Extrapolation of the full-data log-likelihood from the pilot rows, beyond its quadratic approximation at a point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import stats

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.sums import moments, remainders, row_log_likelihoods
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.matrices.symmetric import Matrix, filled, is_finite, minor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import TRUST, PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows.slices import slices, zero_gram
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb, rose
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, sandwich_diagonal

_CONFIDENCE = 0.95
# Distance, in standard errors, above which the number of rows behind the error estimate is taken into account.
_CLOSE = 0.02
# Ratio of the decrement that using means omits to its expectation under noise, above which the means are wrong.
_BEYOND_NOISE = 20.0
# The step starts at the pilot rows' own estimate, so their correction has a larger error than that of independent rows.
_OWN = 2.0


@dataclass(frozen=True, slots=True)
class ScoreVariance(Record):
    """The variance M − mm' of a score, which for many levels is stored as an arrowhead matrix and a vector.

    Attributes
    ----------
    square : ndarray or Arrowhead of shape (d, d)
        M.
    mean : ndarray of shape (d,)
        m.
    """

    square: Matrix
    mean: np.ndarray

    def is_finite(self) -> bool:
        """Return whether all elements are finite."""
        return is_finite(self.square) and is_finite(self.mean)


@dataclass(frozen=True, slots=True)
class Remaining(Record):
    """Estimated distance to the maximum.

    Attributes
    ----------
    decrement : float
        The expected λ².
    distance : float
        95 % upper bound on the largest distance of any coefficient, in standard errors.
    """

    decrement: float
    distance: float

    @classmethod
    def of(
        cls, factor: AnyFactor, score: np.ndarray, variance: ScoreVariance | None, phi: float, df: float = np.inf
    ) -> Remaining:
        """Return the distance for a score whose error has this variance (None: none) with `df` degrees of freedom."""
        if variance is not None and not variance.is_finite():
            return cls(float("inf"), float("inf"))
        decrement = factor.decrement(score)
        inverse = filled(factor.inverse())
        away = np.abs(factor.solve(score))
        if variance is not None:
            decrement += max(0.0, factor.expected_decrement(variance.square) - factor.decrement(variance.mean))
            quantile = stats.t.ppf(1 - (1 - _CONFIDENCE) / 2 / max(factor.rank, 1), max(df - 1, 1))
            spread = sandwich_diagonal(inverse, variance.square) - np.square(factor.solve(variance.mean))
            away += _OWN * quantile * np.sqrt(np.maximum(spread, 0.0))
        kept = factor.kept
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = away[kept] / np.sqrt(phi * inverse.diagonal()[kept])
        return cls(decrement, float(np.nan_to_num(distances, nan=0.0, posinf=np.inf).max(initial=0.0)))


class Curvature:
    """The extrapolation ℓ(β) + J(δ) of ℓ(β + δ), with gradient, information and Pearson's χ², as a function of δ.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    coef : ndarray of shape (d,)
        β, where the pass was made.
    sums : Moments
        The full-data sums there.
    responses : ndarray of shape (n,) or None
        Replaces the pilot's y in R(δ).
    """

    def __init__(
        self, model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments, responses: np.ndarray | None = None
    ):
        self.model, self.pilot, self.coef, self.sums = model, pilot, coef, sums
        self.rows = pilot.rows if responses is None else replace(pilot.rows, y=responses)
        self.own = pilot.moments if (coef == pilot.coef).all() else moments(pilot.rows, model, coef)
        self.here = self.own if responses is None else moments(self.rows, model, coef)
        self._last: tuple[bytes, Moments] | None = None

    def expecting(self, coef: np.ndarray) -> Self:
        """Return the same extrapolation with the means at `coef` in place of the pilot's responses.

        Under non-canonical links R(δ) contains the difference of observed and expected information,
        Σ(yᵢ − μᵢ)hᵢxᵢxᵢ'. Scaled up from the pilot, its noise is as large as R(δ) itself and correlated with the
        pilot's estimate, while over all rows it is negligible. Means do not have this noise.
        """
        if self.model.natural:
            return self
        with np.errstate(all="ignore"):
            means = [self.model.link.inverse(part.linear_predictor(coef)) for part in slices(self.rows, self.model)]
        return type(self)(self.model, self.pilot, self.coef, self.sums, np.concatenate(means))

    def __call__(self, step: np.ndarray) -> Moments:
        """Return the predicted sums at β + δ."""
        # A search often begins where the previous one ended.
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
            # The pilot rows estimate the part of χ² beyond its linear term and, as for the gaussian family, 2I.
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
            full.response,
            full.constant,
        )

    def _pearson_remainder(self, step: np.ndarray, there: Moments) -> float:
        """Return the nonlinear part of the pilot rows' own χ²."""
        here = self.own
        if self.rows is not self.pilot.rows:
            there = moments(self.pilot.rows, self.model, self.coef + step)
        return float(there.pearson - here.pearson - here.pearson_gradient @ step)  # type: ignore[operator]

    def scaled_pearson(self, step: np.ndarray) -> float:
        """Return the pilot's χ² at β + δ, scaled up; if the pilot rows fit exactly, the full χ² at β."""
        there = moments(self.pilot.rows, self.model, self.coef + step)
        return float(self.pilot.ratio * (there.pearson or 0.0)) or float(self.sums.pearson or 0.0)

    def attainable(self) -> float:
        """Return the largest possible gain: the pilot's log-likelihood, scaled up, minus the full one.

        A concave log-likelihood gains at most s'δ from a step δ, and for a representative pilot the scaled and the full
        log-likelihood agree. A difference within one standard error of the scaled log-likelihood is no bound: the
        result is then infinite.
        """
        rows, ratio = self.pilot.rows, self.pilot.ratio
        weights = rows.row_weights
        logliks = row_log_likelihoods(rows, self.model, self.coef)
        with np.errstate(over="ignore"):  # with an infinite error there is no bound
            error = ratio * np.sqrt(len(rows)) * np.std(weights * logliks)
        gain = float(ratio * np.dot(weights, logliks) - self.sums.loglik)
        return gain if gain > error else np.inf

    def maximum(self, factor: AnyFactor, newton: np.ndarray, tol: float) -> np.ndarray | None:
        """Return the maximizer of J inside the trust region; None if it is on the boundary or J is not concave."""
        reach, information = self.pilot.reach * self.sums.phi, self.sums.information
        if newton @ information @ newton > reach / 2:  # happens if y varies more than the family assumes
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

    def remaining(self, step: np.ndarray, factor: AnyFactor, phi: float, *, at_maximum: bool) -> Remaining:
        """Return how far the maximum is expected to be from β + δ.

        This has two parts: the score that is predicted at β + δ (0 by construction at the corrected step), and the
        sampling error of this prediction.
        """
        at = self if at_maximum else self.expecting(self.coef + step)
        score = np.zeros_like(step) if at_maximum else at(step).score
        if not np.isfinite(score).all():  # some mean overflowed
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
        gained = more.decrement if at.misses(step, factor) else 0.0  # otherwise only noise
        return Remaining(found.decrement + gained, found.distance + more.distance)

    def misses(self, step: np.ndarray, factor: AnyFactor) -> bool:
        """Return whether using means omits more than noise, which happens if the mean model is wrong."""
        omitted, noise = self.omitted(step)
        return factor.decrement(omitted) > _BEYOND_NOISE * factor.expected_decrement(noise)

    def omitted(self, step: np.ndarray) -> tuple[np.ndarray, Matrix]:
        """Return the pilot's estimate of the score that is omitted when means replace responses, and its variance.

        It is negligible where the mean model is right. Otherwise it is the step times the difference of observed and
        expected information.
        """
        pilot, top = self.pilot, self._top
        score, square = np.zeros(len(step)), zero_gram(self.model)
        for (part, observed), (_, expected) in zip(
            self._remainders(pilot.rows, step), self._remainders(self.rows, step), strict=True
        ):
            rest = (observed - expected) / top
            variance = pilot.inclusion.take(part.rows).variance
            sums, gram = part.weighted_sum_and_gram(rest, variance * np.square(rest))
            score += sums.ravel()
            square += gram
        return pilot.ratio * top * score, (pilot.ratio * top) ** 2 * square

    def sampling_error(self, step: np.ndarray) -> ScoreVariance:
        """Return the variance of the predicted score at β + δ.

        It is that of Σ rᵢ/πᵢ, with rᵢ the part of row i's score that is nonlinear in δ:
        Σ_h N_h²/n_h (1 − n_h/N_h) Cov_h. The rows of oversampled strata are not centered. Where means replace
        responses, rᵢ uses them too, and the variance of the noise of all rows, Σᵢ ((yᵢ − μᵢ)Δqᵢ)²xᵢxᵢ' with q = μ'/V,
        is added.
        """
        pilot, free, draw = self.pilot, self.model.free, self.pilot.inclusion
        total, top = np.zeros(len(free)), self._top
        square: Matrix | None = None
        for part, change in self._remainders(self.rows, step):
            rest, here = change / top, draw.take(part.rows)
            spread = (rest.T * np.sqrt(here.variance)).T
            sums, gram = part.weighted_sum_and_gram((rest.T * here.base).T, products(spread))
            total += sums.T.ravel()
            square = gram if square is None else square + gram
        assert square is not None
        total, square = total[free], square if free.all() else minor(square, free)
        mean = np.sqrt(draw.base_variance / max(draw.n_base, 1)) * total * (top * pilot.ratio)
        square = square * (top * top * pilot.ratio**2)
        if self.rows is not pilot.rows:
            for (part, observed), (_, expected) in zip(
                self._remainders(pilot.rows, step), self._remainders(self.rows, step), strict=True
            ):
                noise = np.square((observed - expected) / top) / draw.take(part.rows).weights
                square += part.gram(noise) * (top * top * pilot.ratio)
        return ScoreVariance(square, mean)

    def effective_rows(self, step: np.ndarray, factor: AnyFactor) -> float:
        """Return the effective number of pilot rows behind the sampling error: its degrees of freedom."""
        inverse, shares = filled(factor.inverse()), []
        for part, change in self._remainders(self.rows, step):
            variance = self.pilot.inclusion.take(part.rows).variance
            shares.append(variance * np.square(change / self._top) * part.quadratic_forms(inverse))
        each = np.concatenate(shares)
        return float(each.sum() ** 2 / np.square(each).sum()) if each.any() else np.inf

    @property
    def _top(self) -> float:
        """The largest weight. Weights are divided by it, since their squares could overflow."""
        return 1.0 if self.rows.weights is None else float(self.rows.weights.max()) or 1.0

    def _remainders(self, rows: Rows, step: np.ndarray) -> Iterator[tuple[Slice, np.ndarray]]:
        with np.errstate(all="ignore"):
            yield from remainders(rows, self.model, self.coef, step)
