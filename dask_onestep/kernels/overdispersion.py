"""The negative binomial's α by maximum likelihood, as t = −log α beside β.

α and β are orthogonal in the expected information (Lawless 1987), so that each has Newton steps of its
own.  With r = 1/α = eᵗ,

    ℓ = log Γ(y + r) − log Γ(r) − log y! + r log r + y log μ − (r + y) log(r + μ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from dask_onestep.families import NegativeBinomial, Poisson
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.newton import fit_rows
from dask_onestep.kernels.pilots.sample import PilotSample
from dask_onestep.kernels.pilots.sampling import survey
from dask_onestep.kernels.records import Moments, Sums
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.slices import slices

__all__ = ["AlphaSums", "alpha_sums", "pilot_alpha", "with_alpha"]

# Beyond these α is Poisson's 0, or no number that data can tell from infinity.
BOUNDS = (-np.log(1e6), np.log(1e8))


@dataclass(frozen=True, slots=True)
class AlphaSums(Sums):
    """Moments in β and the derivatives in t = −log α, at one (β, α).

    Attributes
    ----------
    moments : Moments
        In β.
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
    def step(self) -> float:
        """Newton's step in t, at most 1; uphill where the likelihood curves up."""
        newton = self.score / self.curvature if self.curvature > 0 else np.sign(self.score)
        return float(np.clip(newton, -1.0, 1.0))


def with_alpha(model: Model, t: float) -> Model:
    """Return the model with α = e⁻ᵗ.

    Parameters
    ----------
    model : Model
        Of the negative-binomial family.
    t : float
        −log α.

    Returns
    -------
    Model
        The same, α a number.
    """
    return replace(model, family=NegativeBinomial(float(np.exp(-t))))


def alpha_sums(rows: Rows, model: Model, point: tuple[np.ndarray, float]) -> AlphaSums:
    """Return the sums of a block at (β, t).

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model, whatever its α.
    point : tuple of (ndarray of shape (d,), float)
        β and t.

    Returns
    -------
    AlphaSums
        Sums over the block's rows.
    """
    coef, t = point
    r, score, second = float(np.exp(t)), 0.0, 0.0
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            mean = model.link.inverse(part.linear_predictor(coef))
            weights = np.ones(len(mean)) if part.weights is None else part.weights
            y, both = part.y, r + mean
            slope = special.digamma(y + r) - special.digamma(r) - np.log1p(mean / r) + (mean - y) / both
            bend = special.polygamma(1, y + r) - special.polygamma(1, r) + 1 / r - 2 / both + (r + y) / both**2
            score += float(np.dot(weights, r * slope))
            second += float(np.dot(weights, r * r * bend + r * slope))
    return AlphaSums(moments(rows, with_alpha(model, t), coef), score, -second)


def pilot_alpha(sample: PilotSample, model: Model) -> tuple[np.ndarray, float]:
    """Return the pilot rows' joint maximum-likelihood estimate of β and t.

    Parameters
    ----------
    sample : PilotSample
        Candidates of all blocks.
    model : Model
        The model.

    Returns
    -------
    coef : ndarray of shape (d,)
        β.
    t : float
        −log α.
    """
    survey(sample)
    drawn = sample.drawn().rows()
    first = fit_rows(drawn, replace(model, family=Poisson()))
    coef, t = first.coef, 0.0
    for _ in range(100):
        coef = fit_rows(drawn, with_alpha(model, t), coef).coef
        step = alpha_sums(drawn, model, (coef, t)).step
        t = float(np.clip(t + step, *BOUNDS))
        if abs(step) < 1e-9 or t in BOUNDS:
            break
    return coef, t
