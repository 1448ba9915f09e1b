"""What the pilot rows foretell of the log-likelihood of all rows, beyond its quadratic model at one point."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.sums import moments, remainders, row_log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb, rose
from dask_onestep.kernels.solve.linear_algebra import Factor

__all__ = ["Curvature"]


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

    def foretold_decrement(self, step: np.ndarray, factor: Factor) -> float:
        """Return the expected λ² at a step that does not zero the foretold score, means standing for responses."""
        expected = self.expecting(self.coef + step)
        score = expected(step).score
        if not np.isfinite(score).all():  # some mean overflowed: infinitely far is far
            return float("inf")
        return factor.decrement(score) + expected._noise_decrement(step, factor)

    def sampling_decrement(self, step: np.ndarray, factor: Factor) -> float:
        """Return the expected λ² at the corrected step, from the spread of the pilot rows' corrections.

        The corrected step zeroes the score as the pilot extrapolates it, so that estimate would be 0 by
        construction.  What is left is the sampling error of (N/n)Σrᵢ, rᵢ the part of row i's score that
        is not linear in δ: E λ² = tr(I⁻¹ Var), with the finite-population factor 1 − n/N.  Where means stand for
        responses, rᵢ is their part alone, and that of the noise of all rows is added.
        """
        model, pilot, coef = self.model, self.pilot, self.coef
        if pilot.n < 2:
            return float("nan")
        free = model.free
        total, square = np.zeros(len(free)), np.zeros((len(free), len(free)))
        # Weights count as shares of the largest, whose square could overflow.
        top = 1.0 if pilot.rows.weights is None else float(pilot.rows.weights.max()) or 1.0
        with np.errstate(all="ignore"):
            for part, change in remainders(self.rows, model, coef, step):
                rest = change / top
                sums, gram = part.weighted_sum_and_gram(rest, products(rest))
                total += sums.T.ravel()
                square += gram
        total, square = total[free], square[np.ix_(free, free)]
        n, ratio = pilot.n, pilot.ratio
        spread = (square - np.outer(total, total) / n) * n / (n - 1)
        sampled = factor.expected_decrement(spread) * top * top * ratio**2 * (1.0 - 1.0 / ratio)
        return sampled + self._noise_decrement(step, factor)

    def _noise_decrement(self, step: np.ndarray, factor: Factor) -> float:
        """Return what the noise of all rows' responses adds to E λ² where means stand for the pilot's.

        Σᵢ (yᵢ − μᵢ)Δqᵢxᵢ, q = μ'/V, has mean 0 over all rows and variance (N/n)Σ((yᵢ − μᵢ)Δqᵢ)²xᵢxᵢ' of the pilot's.
        """
        if self.rows is self.pilot.rows:
            return 0.0
        top = 1.0 if self.rows.weights is None else float(self.rows.weights.max()) or 1.0
        square = np.zeros((len(factor.kept), len(factor.kept)))
        with np.errstate(all="ignore"):
            found = zip(
                *(remainders(rows, self.model, self.coef, step) for rows in (self.pilot.rows, self.rows)), strict=True
            )
            for (part, observed), (_, expected) in found:
                square += part.gram(np.square((observed - expected) / top))
        return factor.expected_decrement(square) * top * top * self.pilot.ratio
