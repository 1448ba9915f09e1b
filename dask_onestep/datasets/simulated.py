"""Simulated generalized linear models."""

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from scipy.special import ndtri

from dask_onestep.families import Family, resolve_family
from dask_onestep.links import LinkLike, resolve_link


def make_glm(
    n_samples: int,
    n_features: int,
    *,
    family: str | Family = "gaussian",
    link: str | LinkLike | None = None,
    coef: Any = None,
    dispersion: float = 1.0,
    chunks: int | None = None,
    sort: bool = False,
    random_state: int = 0,
) -> tuple[da.Array, da.Array, np.ndarray]:
    """Return data from a simulated generalized linear model, in blocks that are drawn by the tasks that use them.

    Parameters
    ----------
    n_samples, n_features : int
        Rows, and columns of X.
    family : str or Family, default="gaussian"
        The distribution of y.
    link : str, LinkLike or None, default=None
        The link; None for the family's default.
    coef : array-like of shape (n_features + 1,), optional
        Coefficients, intercept first; by default 0.5 for the intercept and 0.1 to 0.5 in size and of
        alternating sign.
    dispersion : float, default=1.0
        φ of families with a dispersion.
    chunks : int, optional
        Rows per block; by default an eighth of all rows, at most a million.
    sort : bool, default=False
        Whether each block has its own range of the first covariate, as if rows were stored by month or site.
    random_state : int, default=0
        Seed.

    Returns
    -------
    X : dask Array of shape (n_samples, n_features)
        Standard normal covariates, times 0.5.
    y : dask Array of shape (n_samples,)
        Responses.
    coef : ndarray of shape (n_features + 1,)
        The coefficients used.

    Examples
    --------
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(1000, 2, family="poisson", chunks=250)
    >>> X.chunks[0]
    (250, 250, 250, 250)
    """
    law = resolve_family(family)
    resolved = resolve_link(law.default_link if link is None else link)
    if coef is None:
        coef = np.r_[0.5, np.linspace(0.1, 0.5, n_features) * (-1.0) ** np.arange(n_features)]
    coef = np.asarray(coef, dtype=np.float64)
    if coef.shape != (n_features + 1,):
        raise ValueError(f"coef has shape {coef.shape}; expected ({n_features + 1},), with the intercept first.")
    rows = chunks or max(1, min(-(-n_samples // 8), 1_000_000))
    sizes = tuple(min(rows, n_samples - start) for start in range(0, n_samples, rows))
    # Dask names the tasks after the function.
    draw = partial(simulate_block, len(sizes), law, resolved, coef, dispersion, sort, random_state)
    chunks_of_table = (sizes, (n_features + 1,))
    table = da.map_blocks(draw, chunks=chunks_of_table, dtype=np.float64, meta=np.empty((0, 0)))
    return table[:, 1:], table[:, 0], coef


def simulate_block(
    n_blocks: int,
    family: Family,
    link: LinkLike,
    coef: np.ndarray,
    dispersion: float,
    sort: bool,
    seed: int,
    block_info: Any = None,
) -> np.ndarray:
    """Return y and the covariates of one block."""
    here = block_info[None]
    number, (rows, columns) = here["chunk-location"][0], here["chunk-shape"]
    rng = np.random.default_rng((seed, number))
    table = rng.standard_normal((rows, columns)) * 0.5
    if sort:
        # The block's part of the normal distribution, by the quantiles of its rows.
        share = (number + rng.random(rows)) / n_blocks
        table[:, 1] = 0.5 * ndtri(share)
    mean = link.inverse(coef[0] + table[:, 1:] @ coef[1:])
    table[:, 0] = draw_response(rng, family, mean, dispersion)
    return table


def draw_response(rng: np.random.Generator, family: Family, mean: np.ndarray, phi: float) -> np.ndarray:
    """Return responses drawn from a family's distribution."""
    match family.name:
        case "gaussian":
            return rng.normal(mean, np.sqrt(phi))
        case "binomial":
            return rng.binomial(1, mean).astype(np.float64)
        case "poisson":
            return rng.poisson(mean).astype(np.float64)
        case "gamma":
            return rng.gamma(1.0 / phi, phi * mean)
        case "inverse-gaussian":
            return rng.wald(mean, 1.0 / phi)
        case "negative-binomial":
            size = 1.0 / family.alpha  # type: ignore[attr-defined]
            return rng.negative_binomial(size, size / (size + mean)).astype(np.float64)
        case "tweedie":
            p = family.power  # type: ignore[attr-defined]
            jumps = rng.poisson(mean ** (2 - p) / (phi * (2 - p)))
            scale = phi * (p - 1) * mean ** (p - 1)
            return np.where(jumps > 0, rng.gamma(np.maximum(jumps, 1) * (2 - p) / (p - 1)) * scale, 0.0)
    raise ValueError(f"make_glm cannot draw from {family!r}.")
