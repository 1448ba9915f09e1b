"""Observed and expected responses by block under one model."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Record
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@kernel
def compare_blocks(rows: Rows, model: Model, coef: np.ndarray) -> BlockFits:
    """Return the observed and expected responses of a block at β̂, which must not contain NaN."""
    expected = variance = 0.0
    bins = np.zeros((mean_bins(model, np.empty(0))[1], 4))
    for part in slices(rows, model):
        mean = model.link.inverse(part.linear_predictor(coef))
        weights = np.ones(len(mean)) if part.weights is None else part.weights
        spread = model.family.variance(mean)
        expected += float(np.dot(weights, mean))
        variance += float(np.dot(weights, spread))
        at, n_bins = mean_bins(model, mean)
        if n_bins:
            values = (weights, weights * part.y, weights * mean, weights * spread)
            bins += np.column_stack([np.bincount(at, each, n_bins) for each in values])
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    observed = float(np.dot(weights, rows.y))
    return BlockFits(
        (BlockFit(rows.number, len(rows), rows.n_missing, float(weights.sum()), observed, expected, variance, bins),)
    )
