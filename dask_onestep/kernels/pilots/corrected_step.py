"""The scoring step, and the one that the pilot rows correct."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.curvature import Curvature
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import retreat
from dask_onestep.kernels.pilots.step import UNUSABLE, Step, arrive, shorten
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.kernels.solve.linear_algebra import Factor

__all__ = ["direction", "take_step"]

# How often means are taken anew where the corrected step leads; each time what they lack falls by the order of
# the pilot's error.
_REFINEMENTS = 3


def take_step(model: Model, pilot: PilotFit, ascent: Ascent, correction: str | None) -> Step:
    """Return the scoring step from a point where a pass was made.

    Without correction it is equation (2.4) of Wang et al., β̂ = β̂_p + I⁻¹s.  With it, δ maximises

        J(δ) = s'δ − ½ δ'Iδ + (N/n) R(δ),
        R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'I_pil δ,

    inside the region δ'Iδ ≤ 10 φ̂d(N/n − 1): R is what the pilot rows know of the likelihood's third
    and higher order terms.  Under links that are not canonical means at β + δ stand for the pilot's
    responses in R (see ``Curvature.expecting``), unless these show that the means of the data are others.
    Either step is shortened where it overshoots by J; where no part of it leads to finite sums, it leads
    to the null model instead.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    ascent : Ascent
        It stands at β, where the pass was made.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    Step
        The step, with information, dispersion and decrement where it leads.
    """
    coef, sums, factor, newton = ascent.coef, ascent.sums, ascent.factor, ascent.move.step
    curvature, found = Curvature(model, pilot, coef, sums), None
    if correction == "pilot":
        corrected, found = _maximum(curvature, factor, newton)
        curvature = curvature if found is None else corrected
    step = arrive(curvature, factor, newton if found is None else found, at_maximum=found is not None)
    if step is None:
        return retreat(model, pilot, sums)
    if found is None:
        step = replace(step, fell_back=correction == "pilot")
    if step.decrement <= UNUSABLE * step.unit or (coef != pilot.coef).any():
        return step
    attainable, promised = curvature.attainable(), float(sums.score @ (step.coef - coef))
    if not 0 < attainable < promised:
        return step
    return shorten(model, pilot, step, attainable / promised * (step.coef - coef))


def direction(model: Model, pilot: PilotFit, ascent: Ascent) -> np.ndarray:
    """Return the step from a point where a pass was made, as `take_step` corrects it, or else the scoring step.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    ascent : Ascent
        It stands at β, where the pass was made.

    Returns
    -------
    ndarray of shape (d,)
        δ.
    """
    newton = ascent.move.step
    if pilot.separated:
        return newton  # longer steps towards infinity would look like an arrival
    # Near the end a step is tiny, and what it leaves is to be smaller still.
    found = _maximum(Curvature(model, pilot, ascent.coef, ascent.sums), ascent.factor, newton, tol=1e-22)[1]
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
    assert found is not None
    if expected.misses(found, factor) and (own := curvature.maximum(factor, newton, tol)) is not None:
        return curvature, own
    return expected, found
