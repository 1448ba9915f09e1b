"""Gram matrices and weighted designs for the nodewise lasso."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Sums
from dask_onestep.kernels.rows.checks import inspect_columns, usable_rows
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import dense_slices, slices
from dask_onestep.kernels.solve.threads import one_blas_thread


@dataclass(frozen=True, slots=True, eq=False)
class GramSums(Sums):
    """A Gram matrix as a sum over rows.

    Attributes
    ----------
    n : int
        Rows.
    gram : ndarray of shape (p, p)
        Σ wᵢ xᵢxᵢ'.
    """

    n: int
    gram: np.ndarray


@kernel(checked="after")
def gram_sums(rows: Rows, model: Model) -> GramSums:
    """Return the Gram matrix of a block; y is not used."""
    d = len(model.names)
    gram = np.zeros((d, d))
    with np.errstate(all="ignore"):  # non-finite values show in the sums
        for part in slices(rows, model):
            gram += part.gram(part.weights)
    return GramSums(len(rows), gram)


@dataclass(frozen=True, eq=False)
class WeightedDesign:
    """A function from a block of covariates to W^{1/2}X, W the expected information of a row in η.

    Attributes
    ----------
    model : Model
        Family, link, columns.
    coef : ndarray of shape (d,)
        β at which W is computed.
    """

    model: Model
    coef: np.ndarray

    def __call__(self, x: Any, offset: Any = None) -> np.ndarray:
        """Return the weighted design of a block."""
        rows = usable_rows(Block(x, np.zeros(x.shape[0]), offset=offset), self.model)
        if isinstance(rows, Rows):
            rows = inspect_columns(rows, self.model) or rows
        if isinstance(rows, Findings):
            rows.raise_error()
        assert isinstance(rows, Rows)
        result = np.empty((len(rows), len(self.coef)))
        with one_blas_thread():
            for part in dense_slices(rows, self.model):
                # The weight does not depend on y.
                eta = part.linear_predictor(self.coef)
                _, _, weight = cast(OnePredictor, self.model.likelihood).working(part.y, eta)
                result[part.rows] = part.scaled(np.sqrt(weight))
        return result
