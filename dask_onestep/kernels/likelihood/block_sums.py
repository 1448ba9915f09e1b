"""Score, information and covariate means of each block at one β, to compare blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Record
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.linear_algebra import factorize


@dataclass(frozen=True, slots=True)
class BlockSums(Record):
    """The sums of K blocks; ``+`` concatenates.

    Attributes
    ----------
    numbers : ndarray of shape (K,)
        The blocks' numbers.
    n : ndarray of shape (K,)
        Their usable rows.
    weight : ndarray of shape (K,)
        Σ wᵢ.
    score : ndarray of shape (K, d)
        sₖ(β).
    information : ndarray of shape (K, d, d)
        Iₖ(β).
    total, square : ndarray of shape (K, d)
        Σ wᵢxᵢ and Σ wᵢxᵢ² of each column of the design.
    """

    numbers: np.ndarray
    n: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    information: np.ndarray
    total: np.ndarray
    square: np.ndarray

    def __add__(self, other: BlockSums) -> BlockSums:
        first, *sums = (np.concatenate([getattr(self, k), getattr(other, k)]) for k in self.__slots__)
        # Pieces of one block are adjacent.
        numbers, starts = np.unique(first, return_index=True)
        return BlockSums(numbers, *(np.add.reduceat(each, starts) if len(starts) else each for each in sums))

    def with_rows(self) -> BlockSums:
        """Return the blocks that have rows."""
        kept = self.weight > 0
        return BlockSums(*(getattr(self, k)[kept] for k in self.__slots__))

    def means(self) -> np.ndarray:
        """Return each block's covariate means, standardized by the full data (K, d); NaN for constant columns."""
        centre = self.total.sum(axis=0) / self.weight.sum()
        variance = self.square.sum(axis=0) / self.weight.sum() - centre**2
        # Rounding may give a constant column a positive variance.
        spread = np.sqrt(np.where(variance > 1e-12 * centre**2, variance, np.nan))
        return (self.total / self.weight[:, None] - centre) / spread

    def scores(self, dispersion: float, *, intercept: bool) -> np.ndarray:
        """Return each block's score at β̂, standardized, of shape (K, d).

        If all blocks follow one model, sₖ(β̂) = sₖ(β) − IₖI⁻¹s(β) to first order, with variance φ(Iₖ − IₖI⁻¹Iₖ). The
        result is approximately standard normal; NaN for aliased columns and if there is only one block.
        """
        factor = factorize(self.information.sum(axis=0), intercept=intercept)
        inverse = np.nan_to_num(factor.inverse())
        taken = np.einsum("kij,jl,kli->ki", self.information, inverse, self.information)
        own = np.diagonal(self.information, axis1=1, axis2=2)
        variance = np.where(own - taken > 1e-9 * own, own - taken, np.nan) * dispersion
        return np.where(factor.kept, self.score / np.sqrt(variance), np.nan)


@kernel
def block_sums(rows: Rows, model: Model, coef: np.ndarray) -> BlockSums:
    """Return a block's score, information and covariate sums at β, which must not contain NaN."""
    here = moments(rows, model, coef)
    total, square = np.zeros(model.width), np.zeros(model.width)
    for part in slices(rows, model):
        weights = np.ones(len(part.y)) if part.weights is None else part.weights
        total += part.weighted_sum(weights)
        square += part.weighted_squares(weights)
    # All linear predictors share the columns, each with its own coefficients.
    total, square = (np.tile(each, model.likelihood.n_predictors) for each in (total, square))
    parts = (rows.number, here.n, here.weight, here.score, here.information, total, square)
    return BlockSums(*(np.asarray(part)[np.newaxis] for part in parts))
