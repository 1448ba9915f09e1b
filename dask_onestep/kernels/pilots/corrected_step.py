"""The scoring step, and the corrected step that adds higher-order terms from the pilot rows."""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.curvature import Curvature
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.poor_pilot import retreat
from dask_onestep.kernels.pilots.step import UNUSABLE, Step, arrive, shorten
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.kernels.solve.linear_algebra import AnyFactor

# Maximum number of times the means are recomputed at the end of the corrected step. Each time their error falls by the
# order of the pilot's error.
_REFINEMENTS = 3


def take_step(model: Model, pilot: PilotFit, ascent: Ascent, correction: str | None) -> Step:
    """Return the step from a point at which a pass was made.

    Without correction this is equation (2.4) of Wang et al., β̂ = β̂_p + I⁻¹s. With it, δ maximizes

        J(δ) = s'δ − ½ δ'Iδ + (N/n) R(δ),
        R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'I_pil δ,

    in the trust region δ'Iδ ≤ 10 φ̂d(N/n − 1). R estimates the terms of third and higher order of the log-likelihood.
    Under non-canonical links R uses the means at β + δ instead of the pilot's responses (see ``Curvature.expecting``),
    unless the responses contradict these means. Either step is shortened where it overshoots according to J. If no
    part of it leads to finite sums, the step goes to the null model.

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
    """Return δ: the corrected step if it exists, otherwise the scoring step."""
    newton = ascent.move.step
    if pilot.separated:
        return newton  # longer steps toward infinity would look like convergence
    # Near convergence the step is tiny, and the error of its own maximization must be smaller still.
    found = _maximum(Curvature(model, pilot, ascent.coef, ascent.sums), ascent.factor, newton, tol=1e-22)[1]
    return newton if found is None else found


def _maximum(
    curvature: Curvature, factor: AnyFactor, newton: np.ndarray, tol: float = 1e-12
) -> tuple[Curvature, np.ndarray | None]:
    """Return the corrected step (None if it does not exist) and its curvature, with means at the end of the step."""
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
