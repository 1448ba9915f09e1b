"""Observed and expected responses of blocks: their sum, and the bins of their means."""

import numpy as np
from support import model_of

from dask_onestep.kernels.likelihood.blocks import BlockFit, BlockFits, mean_bins


def test_pieces_of_one_block_are_added_and_blocks_are_not():
    first, second = (BlockFits((BlockFit(number, 1, 0, 1.0, 2.0, 3.0, 4.0, np.ones((1, 4))),)) for number in (0, 1))
    both = first + first + second
    assert [(block.number, block.n, block.observed) for block in both.blocks] == [(0, 2, 4.0), (1, 1, 2.0)]
    assert (BlockFits(()) + both).blocks == (both + BlockFits(())).blocks == both.blocks


def test_bins_of_means_are_factors_of_the_root_of_two():
    at, count = mean_bins(model_of("poisson"), np.array([0.0, 1.0, 1.5, 2.0, np.inf, np.nan]))
    assert (at.tolist(), count) == ([0, 80, 81, 82, 159, 0], 160)
