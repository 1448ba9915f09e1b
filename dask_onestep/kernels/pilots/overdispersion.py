"""The negative binomial's α by maximum likelihood, as t = −log α, the last coordinate after β.

α and β are orthogonal in the expected information (Lawless 1987), so the information of (β, t) is block diagonal.
With r = 1/α = eᵗ,

    ℓ = log Γ(y + r) − log Γ(r) − log y! + r log r + y log μ − (r + y) log(r + μ).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from dask_onestep.families import Family, NegativeBinomial, Poisson
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import survey
from dask_onestep.kernels.pilots.sample import PilotSample
from dask_onestep.kernels.records import Moments, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.ascent import ROUNDING, Ascent, Move, climb
from dask_onestep.kernels.solve.linear_algebra import factorize

# Beyond these bounds α cannot be distinguished from 0 (Poisson) or from infinity.
BOUNDS = (-np.log(1e6), np.log(1e8))


_ROUNDED = 2.0  # this close to Poisson, the derivatives in t are dominated by rounding


@dataclass(frozen=True, slots=True, eq=False)
class AlphaSums(Sums):
    """Moments in β and the derivatives in t = −log α, at one (β, α).

    Attributes
    ----------
    moments : Moments
        Sums for β.
    score : float
        ∂ℓ/∂t.
    curvature : float
        −∂²ℓ/∂t².
    """

    moments: Moments
    score: float
    curvature: float

    def is_finite(self) -> bool:
        """Return whether no sum is NaN or infinite."""
        return self.moments.is_finite() and bool(np.isfinite([self.score, self.curvature]).all())

    @property
    def joint(self) -> Moments:
        """The sums for (β, t). The information in t is chosen such that a step is uphill and at most 1."""
        d = len(self.moments.score)
        information = np.zeros((d + 1, d + 1))
        information[:d, :d] = self.moments.information
        information[d, d] = max(self.curvature, abs(self.score)) or 1.0
        return Moments(
            self.moments.n,
            self.moments.weight,
            self.moments.loglik,
            np.append(self.moments.score, self.score),
            information,
        )


@dataclass(frozen=True, slots=True)
class AlphaNewton:
    """Scoring steps in (β, t), until λ² is small and t moves by at most `short` or is at a bound."""

    intercept: bool
    tol: float = 1e-16
    short: float = 1e-3

    def __call__(self, point: np.ndarray, sums: Moments, last: float) -> Move:
        """Return the step from a point; it ends within the bounds of t."""
        factor = factorize(sums.information, intercept=self.intercept)
        decrement = factor.decrement(sums.score)
        target = point + factor.solve(sums.score)
        target[-1] = np.clip(target[-1], *BOUNDS)
        small = decrement <= self.tol * factor.rank or last <= decrement <= ROUNDING * abs(sums.loglik)
        # Near Poisson the likelihood is flat: steps that are still long gain nothing.
        still = abs(target[-1] - point[-1]) <= self.short
        return Move(target - point, decrement, (small and still) or at_bound(point), factor, target)


def at_bound(point: np.ndarray) -> bool:
    """Return whether t is at a bound, so that α cannot be distinguished from 0 or from infinity."""
    low, high = BOUNDS
    return not low < point[-1] < high - _ROUNDED


def with_alpha(model: Model, t: float, std_err: float | None = None) -> Model:
    """Return the model with α = e⁻ᵗ and, once α is estimated, its standard error."""
    return _with_family(model, NegativeBinomial(float(np.exp(-t)), std_err))


def _with_family(model: Model, family: Family) -> Model:
    return replace(model, likelihood=OnePredictor(family, model.link))


@kernel
def alpha_sums(rows: Rows, model: Model, point: np.ndarray) -> AlphaSums:
    """Return the sums of a block at the point (β, t), of shape (d + 1,); the model's own α is ignored."""
    coef, t = point[:-1], float(point[-1])
    r, score, second = float(np.exp(t)), 0.0, 0.0
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            mean = model.link.inverse(part.linear_predictor(coef))
            weights = part.row_weights
            y, both = part.y, r + mean
            slope = special.digamma(y + r) - special.digamma(r) - np.log1p(mean / r) + (mean - y) / both
            bend = special.polygamma(1, y + r) - special.polygamma(1, r) + 1 / r - 2 / both + (r + y) / both**2
            score += float(np.dot(weights, r * slope))
            second += float(np.dot(weights, r * r * bend + r * slope))
    return AlphaSums(moments(rows, with_alpha(model, t), coef), score, -second)


def pilot_alpha(sample: PilotSample, model: Model) -> tuple[np.ndarray, float, bool]:
    """Return the pilot rows' joint maximum-likelihood estimate of β and t."""
    survey(sample)
    drawn = sample.drawn().rows()

    def objective(point: np.ndarray) -> Moments:
        return alpha_sums(drawn, model, point).joint

    start = np.append(fit_rows(drawn, _with_family(model, Poisson())).coef, 0.0)
    found = climb(Ascent.begin(start, objective(start), AlphaNewton(model.has_intercept), 100), objective)
    return found.coef, float(found.sums.information[-1, -1]), found.converged and len(drawn) == sample.n
