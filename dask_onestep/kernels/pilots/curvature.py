"""Extrapolation of the full-data log-likelihood from the pilot rows, beyond its quadratic approximation at a point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import special

from dask_onestep.kernels.designs.products import SLICE_ROWS
from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.sums import (
    States,
    moments,
    moments_and_states,
    observed_moments,
    row_changes,
    row_log_likelihoods,
    row_states,
)
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.matrices.symmetric import Matrix, filled, is_finite, minor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import TRUST, PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb, rose
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, of_curvature, sandwich_diagonal

_CONFIDENCE = 0.95
# A regression on fewer rows, of equal squared scores, may be far off; and its error is λ/√rows of R's sampling error,
# with λ the sum of the scores in its standard errors.
_LEAST_EFFECTIVE, _PER_SQUARE = 20, 5
# Factor on a distance that the score gives, which is right only to first order.
_CURVED = 1.1
# A robust standard error below this share of the model's, as of a level with one row, is no unit of distances.
_LEAST_REPORTED = 0.01
# The step starts at the pilot rows' own estimate, so their correction may have a larger error than that of independent
# rows. Distances below so many standard errors can have a wide margin, for others the number of rows behind the error
# estimate is taken into account; of so many coefficients at most.
_OWN, _OWN_IF_CLOSE, _CLOSE, _EXAMINED = 1.25, 2.0, 0.02, 100


@dataclass(frozen=True, slots=True, eq=False)
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
        cls,
        factor: AnyFactor,
        score: np.ndarray,
        phi: float,
        variance: ScoreVariance | None = None,
        effective: Callable[[np.ndarray], np.ndarray] | None = None,
        observed: Matrix | None = None,
        reported: np.ndarray | None = None,
    ) -> Remaining:
        """Return the distance for a score, whose error has this variance, with degrees of freedom by coefficient.

        The maximum is H⁻¹s away, with H the observed information where it is known and positive definite. Distances are
        in the standard errors that are `reported`, or in those of φI⁻¹.
        """
        if variance is not None and not variance.is_finite():
            return cls(float("inf"), float("inf"))
        inverse, decrement = filled(factor.inverse()), factor.decrement(score)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(factor.kept, np.sqrt(phi * inverse.diagonal()), np.inf)
            if reported is not None:
                errors = np.fmax(np.where(np.isnan(reported), np.inf, reported), _LEAST_REPORTED * errors)
        curved = factor if observed is None else of_curvature(factor, observed)
        if curved is not factor:
            inverse = filled(curved.inverse())
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = np.nan_to_num(_CURVED * np.abs(curved.solve(score)) / errors, nan=0.0, posinf=np.inf)
        if variance is not None and effective is not None:
            expected = factor.expected_decrement(variance.square) - factor.decrement(variance.mean)
            decrement += _OWN**2 * max(0.0, expected)
            spread = sandwich_diagonal(inverse, variance.square) - np.square(curved.solve(variance.mean))
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = np.nan_to_num(np.sqrt(np.maximum(spread, 0.0)) / errors, nan=0.0, posinf=np.inf)
            level = 1 - (1 - _CONFIDENCE) / 2 / max(factor.rank, 1)
            away, bounds = bounds, bounds + _OWN_IF_CLOSE * special.ndtri(level) * spread
            worst = np.argsort(-bounds)[:_EXAMINED]
            worst = worst[bounds[worst] > _CLOSE]
            quantiles = special.stdtrit(np.maximum(effective(worst) - 1, 1), level) if len(worst) else 0.0
            bounds[worst] = np.maximum(_CLOSE, away[worst] + _OWN * quantiles * spread[worst])
        return cls(decrement, float(bounds.max(initial=0.0)))


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
    """

    def __init__(self, model: Model, pilot: PilotFit, coef: np.ndarray, sums: Moments):
        self.model, self.pilot, self.coef, self.sums = model, pilot, coef, sums
        summed = moments if sums.observed is None else observed_moments
        known = (coef == pilot.coef).all() and (sums.observed is None) is (pilot.moments.observed is None)
        self.here = pilot.moments if known else summed(pilot.rows, model, coef)
        self._last: tuple[bytes, Moments, States | None] | None = None

    def __call__(self, step: np.ndarray) -> Moments:
        """Return the predicted sums at β + δ."""
        # A search often begins where the previous one ended.
        if self._last is None or self._last[0] != step.tobytes():
            self._last = step.tobytes(), *self._foretell(step)
        return self._last[1]

    def _foretell(self, step: np.ndarray) -> tuple[Moments, States | None]:
        full, here, ratio = self.sums, self.here, self.pilot.ratio
        there, states = moments_and_states(self.pilot.rows, self.model, self.coef + step)
        ahead, ahead_here = full.curvature @ step, here.curvature @ step
        rest = there.loglik - here.loglik - here.score @ step + 0.5 * step @ ahead_here
        pearson = None
        if full.pearson is not None:
            # The pilot rows estimate the part of χ² beyond its linear term and, as for the gaussian family, 2I.
            left = there.pearson - here.pearson - here.pearson_gradient @ step  # type: ignore[operator]
            quadratic = step @ full.information @ step - ratio * (step @ here.information @ step)
            pearson = full.pearson + full.pearson_gradient @ step + quadratic + ratio * left  # type: ignore[operator]
        sums = Moments(
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
        return sums, states

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
        score = np.zeros_like(step) if at_maximum else self(step).score
        if not np.isfinite(score).all():  # some mean overflowed
            return Remaining(float("inf"), float("inf"))
        if self.pilot.n < 2:
            return Remaining(float("nan"), float("nan"))
        error = self.sampling_error(step)
        effective = partial(self.effective_rows, step, factor)
        return Remaining.of(factor, score, phi, error, effective, self.sums.observed)

    def own_error(self, step: np.ndarray) -> np.ndarray:
        """Return the part of the error of the predicted score at β + δ that is due to the pilot rows' own scores.

        These have the sum zero at the pilot's estimate, and that of all rows is zero at the maximum: rows whose scores
        are correlated with rᵢ are over- or underrepresented. It is the regression estimate Σrᵢgᵢ/Σgᵢ²·Σgᵢ, with gᵢ the
        score at β + δ in the direction from the pilot's estimate. Zero where few rows determine it.
        """
        pilot, free, draw, top = self.pilot, self.model.free, self.pilot.inclusion, self._top
        moved = np.zeros(len(free))
        moved[free] = self.coef - pilot.coef
        before = moved.reshape(self.model.likelihood.n_predictors, -1).T
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for part, change, residuals, ahead in self._changes(step):
            scores = residuals * (ahead + part.times(before).reshape(ahead.shape) if before.any() else ahead)
            found.append((change / top, (scores if scores.ndim == 1 else scores.sum(axis=1)) / top))
        changes, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        spread = draw.variance * scores
        own, total, mean = spread * scores, float(scores.sum()), float(np.sum(draw.base * scores))
        squares, quartic = float(own.sum()), float(own @ own)
        enough = squares**3 > max(_LEAST_EFFECTIVE * squares, _PER_SQUARE * total**2) * quartic
        share = draw.base_variance / max(draw.n_base, 1) * mean
        squares -= share * mean
        if not (enough and squares > 0):
            return np.zeros(int(free.sum()))
        values = (changes.T * (spread - share * draw.base)).T  # of the base stratum, from its mean
        products = np.zeros(len(free))
        for part in slices(pilot.rows, self.model):
            products += part.weighted_sum(values[part.rows]).T.ravel()
        return products[free] * (pilot.ratio * total * top / squares)

    def sampling_error(self, step: np.ndarray) -> ScoreVariance:
        """Return the variance of the predicted score at β + δ.

        It is that of Σ rᵢ/πᵢ, with rᵢ the part of row i's score that is nonlinear in δ:
        Σ_h N_h²/n_h (1 − n_h/N_h) Cov_h. The rows of oversampled strata are not centered.
        """
        pilot, free, draw = self.pilot, self.model.free, self.pilot.inclusion
        total, top = np.zeros(len(free)), self._top
        square: Matrix | None = None
        for part, change, *_ in self._changes(step):
            rest, here = change / top, draw.take(part.rows)
            spread = (rest.T * np.sqrt(here.variance)).T
            sums, gram = part.weighted_sum_and_gram((rest.T * here.base).T, products(spread))
            total += sums.T.ravel()
            square = gram if square is None else square + gram
        assert square is not None
        total, square = total[free], square if free.all() else minor(square, free)
        mean = np.sqrt(draw.base_variance / max(draw.n_base, 1)) * total * (top * pilot.ratio)
        square = square * (top * top * pilot.ratio**2)
        return ScoreVariance(square, mean)

    def effective_rows(self, step: np.ndarray, factor: AnyFactor, coefficients: np.ndarray) -> np.ndarray:
        """Return the effective numbers of pilot rows behind the sampling errors of coefficients: degrees of freedom."""
        free, count, rows = self.model.free, len(coefficients), self.pilot.rows
        units = np.zeros((int(free.sum()), count))
        units[coefficients, np.arange(count)] = 1.0
        inverse = np.zeros((count, len(free)))
        inverse[:, free] = factor.solve(units).T
        by_predictor = inverse.reshape(count, self.model.likelihood.n_predictors, -1)
        changes = np.concatenate([change.T / self._top for _, change, *_ in self._changes(step)], axis=-1)
        changes = (changes * np.sqrt(self.pilot.inclusion.variance)).reshape(-1, len(rows))
        total, squares = np.zeros(count), np.zeros(count)
        # One coefficient and a few rows at a time, so that no array leaves the cache.
        for start in range(0, len(rows), SLICE_ROWS):
            at = slice(start, start + SLICE_ROWS)
            for part in slices(rows.rows_at(at), self.model):
                own = changes[:, at][:, part.rows]
                for number, columns in enumerate(by_predictor):
                    first, *others = (each * part.times(column) for each, column in zip(own, columns, strict=True))
                    error = sum(others, start=first)
                    share = np.square(error, out=error)
                    total[number] += share.sum()
                    squares[number] += share @ share
        return np.divide(np.square(total), squares, out=np.full(count, np.inf), where=squares > 0)

    @property
    def _top(self) -> float:
        """The largest weight. Weights are divided by it, since their squares could overflow."""
        weights = self.pilot.rows.weights
        return 1.0 if weights is None else float(weights.max()) or 1.0

    @cached_property
    def _states(self) -> States:
        if self.pilot.states is not None and (self.coef == self.pilot.coef).all():
            return self.pilot.states
        return row_states(self.pilot.rows, self.model, self.coef)

    def _changes(self, step: np.ndarray) -> Iterator[tuple[Slice, np.ndarray, np.ndarray, np.ndarray]]:
        rows, last = self.pilot.rows, self._last
        with np.errstate(all="ignore"):
            known = None if last is None or last[0] != step.tobytes() else last[2]
            after = row_states(rows, self.model, self.coef + step) if known is None else known
            yield from row_changes(rows, self.model, self._states, after)
