"""Moments of a model whose only columns are the linear predictor of another one and its square."""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices

# The columns other than the intercept.
PREDICTOR = ("linear_predictor", "linear_predictor_squared")


@kernel(checked="after")
def predictor_moments(
    rows: Rows, model: Model, coef: np.ndarray, center: float, scale: float, gamma: np.ndarray
) -> Moments:
    """Return the moments at γ of a model with the columns 1, u and u², u = (η − center)/scale, η = x'β + offset."""
    columns = np.empty((len(rows), 2))
    for part in slices(rows, model):
        columns[part.rows, 0] = (part.linear_predictor(coef) - center) / scale
    columns[:, 1] = np.square(columns[:, 0])
    return moments(replace(rows, x=columns, offset=None), Model(model.likelihood, PREDICTOR), gamma)
