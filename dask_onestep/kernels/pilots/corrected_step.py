"""The scoring step, and the corrected step that adds higher-order terms from the pilot rows."""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.curvature import Curvature
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import retreat
from dask_onestep.kernels.pilots.step import UNUSABLE, Step, arrive, shorten
from dask_onestep.kernels.solve.ascent import Ascent


def take_step(model: Model, pilot: PilotFit, ascent: Ascent, correction: str | None) -> Step:
    """Return the step from a point at which a pass was made.

    Without correction this is equation (2.4) of Wang et al., β̂ = β̂_p + I⁻¹s. With it, δ maximizes

        J(δ) = s'δ − ½ δ'Hδ + (N/n) R(δ),
        R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'H_pil δ,

    in the trust region δ'Iδ ≤ 10 φ̂d(N/n − 1). R estimates the terms of third and higher order of the log-likelihood;
    H is the observed information. Where the pilot rows' scores and R are correlated, the expected error of R's gradient
    is removed (``Curvature.own_error``). Either step is shortened where it overshoots according to J. If no part of it
    leads to finite sums, the step goes to the null model.

    Parameters
    ----------
    model : Model
        The model.
    pilot : PilotFit
        The pilot.
    ascent : Ascent
        The state at β, where the pass was made.
    correction : {None, "pilot"}
        Which step.

    Returns
    -------
    Step
        The step, with information, dispersion and decrement at its end.
    """
    coef, sums, factor, newton = ascent.coef, ascent.sums, ascent.factor, ascent.move.step
    curvature = Curvature(model, pilot, coef, sums)
    found = curvature.maximum(factor, newton, 1e-12) if correction == "pilot" else None
    # Given the covariates, scores of a simple random sample under a canonical link have the mean zero, whatever rᵢ is.
    if found is not None and (sums.observed is not None or not pilot.inclusion.is_simple):
        found = found - factor.solve(curvature.own_error(found))
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
    """Return δ: the corrected step if it exists, otherwise the scoring step."""
    newton = ascent.move.step
    if pilot.separated:
        return newton  # longer steps toward infinity would look like convergence
    # Near convergence the step is tiny, and the error of its own maximization must be smaller still.
    found = Curvature(model, pilot, ascent.coef, ascent.sums).maximum(ascent.factor, newton, 1e-22)
    return newton if found is None else found
