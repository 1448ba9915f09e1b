"""Rows that several benchmarks draw."""

from __future__ import annotations

import dask.array as da
import numpy as np
from scipy.special import expit

__all__ = ["autoregression", "in_blocks", "response"]


def autoregression(rng: np.random.Generator, rows: int, columns: int, correlation: float) -> np.ndarray:
    """Return normal columns of which neighboring ones are correlated."""
    x = rng.standard_normal((rows, columns))
    for j in range(1, columns):
        x[:, j] = correlation * x[:, j - 1] + np.sqrt(1 - correlation**2) * x[:, j]
    return x


def response(rng: np.random.Generator, family: str, eta: np.ndarray) -> np.ndarray:
    """Return y with the canonical link; of variance 1 for the gaussian family."""
    if family == "gaussian":
        return eta + rng.standard_normal(len(eta))
    if family == "binomial":
        return (rng.random(len(eta)) < expit(eta)).astype(float)
    return rng.poisson(np.exp(eta)).astype(float)


def in_blocks(x: np.ndarray, y: np.ndarray, blocks: int) -> tuple[da.Array, da.Array]:
    """Return rows as Dask arrays, in blocks of equal size."""
    rows = -(-len(y) // blocks)
    return da.from_array(x, chunks=(rows, -1), name=False), da.from_array(y, chunks=rows, name=False)
