"""Each block under one model: observed and expected responses; score, information and covariate means."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import column_sums, moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Record
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.linear_algebra import factorize


@dataclass(frozen=True, slots=True, eq=False)
class BlockFit(Record):
    """Observed and expected responses of one block.

    Attributes
    ----------
    number : int
        The block's number.
    n, n_missing : int
        Rows used, and dropped.
    weight : float
        Σ wᵢ.
    observed, expected : float
        Σ wᵢyᵢ and Σ wᵢμᵢ.
    variance : float
        Σ wᵢ V(μᵢ): the variance of ``observed``, at φ = 1.
    bins : ndarray of shape (k, 4)
        The last four by bin of fitted mean (see `mean_bins`); k = 0 if the family has no natural bins.
    """

    number: int
    n: int
    n_missing: int
    weight: float
    observed: float
    expected: float
    variance: float
    bins: np.ndarray

    def __add__(self, other: BlockFit) -> BlockFit:
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[1:])
        return BlockFit(self.number, *sums)

    def z(self, dispersion: float) -> float:
        """Return how many standard deviations the block's mean is from the expected one."""
        spread = np.sqrt(dispersion * self.variance)
        return float((self.observed - self.expected) / spread) if spread > 0 else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class BlockFits(Record):
    """The blocks, in order; ``+`` concatenates.

    Attributes
    ----------
    blocks : tuple of BlockFit
        One per block.
    """

    blocks: tuple[BlockFit, ...]

    def __add__(self, other: BlockFits) -> BlockFits:
        if self.blocks and other.blocks and self.blocks[-1].number == other.blocks[0].number:  # pieces of one block
            middle = self.blocks[-1] + other.blocks[0]
            return BlockFits((*self.blocks[:-1], middle, *other.blocks[1:]))
        return BlockFits(self.blocks + other.blocks)


def mean_bins(model: Model, mean: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the bin of each fitted mean, and the number of bins (0 if the family's means can have any sign).

    Bins are the same for all blocks: probabilities by twentieths, other means of one sign by factors of √2.
    """
    at_one, at_two = model.family.variance(np.array([1.0, 2.0]))
    if at_one == 0.0:  # probabilities
        return np.clip((mean * 20).astype(np.intp), 0, 19), 20
    if at_one == at_two:  # the mean may have any sign
        return np.zeros(len(mean), dtype=np.intp), 0
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.nan_to_num(2.0 * np.log2(mean), nan=-80.0, neginf=-80.0, posinf=79.0)
    return np.clip(np.floor(steps).astype(np.intp) + 80, 0, 159), 160


@kernel(by_block=True)
def compare_blocks(rows: Rows, model: Model, coef: np.ndarray) -> BlockFits:
    """Return the observed and expected responses of a block at β̂, which must not contain NaN."""
    expected = variance = 0.0
    bins = np.zeros((mean_bins(model, np.empty(0))[1], 4))
    for part in slices(rows, model):
        mean = model.link.inverse(part.linear_predictor(coef))
        weights = part.row_weights
        spread = model.family.variance(mean)
        expected += float(np.dot(weights, mean))
        variance += float(np.dot(weights, spread))
        at, n_bins = mean_bins(model, mean)
        if n_bins:
            values = (weights, weights * part.y, weights * mean, weights * spread)
            bins += np.column_stack([np.bincount(at, each, n_bins) for each in values])
    observed = float(np.dot(rows.row_weights, rows.y))
    sums = rows.total_weight, observed, expected, variance, bins
    return BlockFits((BlockFit(rows.number, len(rows), rows.n_missing, *sums),))


@dataclass(frozen=True, slots=True, eq=False)
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


@kernel(by_block=True)
def block_sums(rows: Rows, model: Model, coef: np.ndarray) -> BlockSums:
    """Return a block's score, information and covariate sums at β, which must not contain NaN."""
    here = moments(rows, model, coef)
    # All linear predictors share the columns, each with its own coefficients.
    total, square = np.tile(column_sums(rows, model), model.likelihood.n_predictors)
    parts = (rows.number, here.n, here.weight, here.score, here.information, total, square)
    return BlockSums(*(np.asarray(part)[np.newaxis] for part in parts))
