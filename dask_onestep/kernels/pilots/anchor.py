"""The surrogate likelihood: the likelihood of one block (or of the pilot), shifted to have the full-data score."""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.local_fit import fit_block
from dask_onestep.kernels.likelihood.sums import Scores, moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.pilot import PilotFit
from dask_onestep.kernels.pilots.sample import Survey
from dask_onestep.kernels.records import Findings, Moments
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb


@kernel(whole="the first block is fitted, and its rows are kept")
def anchor_block(rows: Rows, model: Model) -> PilotFit | Findings:
    """Return the local fit of a block in the form of a pilot's, or the reason why there is none."""
    fitted = fit_block(rows, model)
    if isinstance(fitted, Findings):
        return fitted
    rows, fit, labels = fitted
    if not fit.factor.kept.all():
        names = ", ".join(name for name, kept in zip(model.names, fit.factor.kept, strict=True) if not kept)
        what = f"columns that are aliased in the anchor block: {names}"
        return Findings(((what, 0, "Drop them, or use anchor='pilot'."),), (rows.number,))
    known = Survey(len(rows), rows.n_missing, labels)
    return PilotFit(fit.coef, rows, fit.sums, fit.factor, known, Inclusion.simple(len(rows), len(rows)))


def maximize_surrogate(anchor: PilotFit, model: Model, coef: np.ndarray, total: Scores) -> Ascent:
    """Return the maximum of the surrogate log-likelihood.

    With β̄ the point of the last pass, and multiplied by N so that its scale is that of ℓ,

        ℓ̃(β) = (N/n)·[ℓ₁(β) − s₁(β̄)'β] + s(β̄)'β.

    Its gradient at β̄ is the exact s(β̄); its curvature is the anchor's. n and N are sums of weights. The `sums` of
    the result are of ℓ̃; its n, weight and Pearson χ² are the anchor's.
    """
    here = moments(anchor.rows, model, coef)
    ratio = total.weight / here.weight
    tilt = total.score - ratio * here.score

    def surrogate(beta: np.ndarray) -> Moments:
        there = moments(anchor.rows, model, beta)
        return replace(
            there,
            loglik=ratio * there.loglik + tilt @ beta,
            score=ratio * there.score + tilt,
            information=ratio * there.information,
        )

    return climb(Ascent.begin(coef, surrogate(coef), Newton(model.has_intercept)), surrogate)
