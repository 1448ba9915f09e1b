"""The wild score bootstrap: tests with few clusters, from their scores and informations, without the data.

Kline and Santos, "A score based approach to wild bootstrap inference", Journal of Econometric Methods 1 (2012),
restricted and linearized as WCLR-C of MacKinnon, Nielsen and Webb (arXiv 2406.00650).  For the normal distribution it
is the restricted wild cluster bootstrap.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from dask_onestep.choices import unknown_choice
from dask_onestep.inference.hypotheses import Hypothesis
from dask_onestep.inference.statistics import TestResult
from dask_onestep.kernels.likelihood.clusters import Clusters
from dask_onestep.kernels.matrices.symmetric import unpacked
from dask_onestep.kernels.solve.linear_algebra import factorize

# Fewer blocks have too few multipliers for a maximum over coefficients.
LEAST_BLOCKS = 10

# The values of each kind of weights, all alike probable: of mean 0 and variance 1.
WEIGHTS = {
    "rademacher": np.array([-1.0, 1.0]),
    "webb": np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)]),
}
# With fewer clusters Rademacher weights have too few different draws.
_FEW = 12
# Draws that are taken together hold so many numbers.
_TOGETHER = 2**20
_TIE = 1e-10


def wild_score_bootstrap(
    clusters: Clusters,
    coef: np.ndarray,
    asked: Hypothesis,
    weights: str,
    n_draws: int,
    random_state: int,
    *,
    intercept: bool = True,
) -> TestResult:
    """Return the test of R β = r by the wild score bootstrap."""
    if weights != "auto" and weights not in WEIGHTS:
        raise ValueError(unknown_choice("weights", weights, map(repr, ("auto", *WEIGHTS))))
    count = len(clusters.labels)
    kind = weights if weights != "auto" else "webb" if count <= _FEW else "rademacher"
    informations = unpacked(clusters.informations)  # type: ignore[arg-type]
    half = factorize(informations.sum(axis=0), intercept=intercept).whitener()
    inverse = half.T @ half
    gap = asked.matrix @ np.nan_to_num(coef) - asked.value
    # How the tested combinations move with a score, and the way to the restricted estimate.
    toward = inverse @ asked.matrix.T
    back = -toward @ np.linalg.solve(asked.matrix @ toward, gap)
    restricted = clusters.sums - informations @ back
    own, spread = clusters.sums @ toward, informations @ toward
    statistic = float(_wald(gap[None], own[None])[0])
    larger = drawn = 0
    enumerated = kind == "rademacher" and 2**count <= n_draws
    for draws in _draws(kind, count, n_draws, random_state, len(gap), enumerated):
        scores = draws @ restricted
        gaps = scores @ toward
        # Each cluster's score at the bootstrap's own estimate.
        each = draws[:, :, None] * (restricted @ toward) - np.einsum("bd,gdq->bgq", scores @ inverse, spread)
        larger += int((_wald(gaps, each) >= statistic * (1.0 - _TIE)).sum())
        drawn += len(draws)
    p_value = larger / drawn if enumerated else (1.0 + larger) / (1.0 + drawn)
    note = f"{drawn:,} {'draws (all)' if enumerated else 'draws'} of {kind} weights, {count} clusters."
    size = len(gap)
    name = "Wild score bootstrap"
    return TestResult(statistic / size, size, np.nan, "bootstrap", p_value, asked.text, name, note)


def _wald(gaps: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return g'(Σ_g c_g c_g')⁻¹g of several draws, g of shape (b, q) and c of shape (b, G, q)."""
    variance = np.einsum("bgp,bgq->bpq", scores, scores)
    return np.einsum("bp,bpq,bq->b", gaps, np.linalg.pinv(variance, hermitian=True), gaps)


def _draws(kind: str, count: int, n_draws: int, random_state: int, size: int, enumerated: bool) -> Iterator[np.ndarray]:
    """Yield weights, a draw per row."""
    if enumerated:
        yield np.array(list(product(WEIGHTS["rademacher"], repeat=count)))
        return
    rng = np.random.default_rng(random_state)
    length = max(1, _TOGETHER // (count * size))
    for begin in range(0, n_draws, length):
        yield rng.choice(WEIGHTS[kind], size=(min(length, n_draws - begin), count))


def multiplier_quantile(influence: np.ndarray, std_err: np.ndarray, level: float, n_draws: int, seed: int) -> float:
    """Return the quantile of max|t| by normal multipliers of blocks, "k-grad" of Yu, Chao and Cheng (2021).

    Parameters
    ----------
    influence : ndarray of shape (K, k)
        The moves of k coefficients by the score of each block, at the estimate.
    std_err : ndarray of shape (k,)
        Their standard errors.
    level : float
        The level.
    n_draws, seed : int
        Draws, and their seed.

    Returns
    -------
    float
        The quantile of max_j |Σ_b ε_b u_bj|/se_j, with the factor √{K/(K − 1)} for the scores' sum of 0.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.bootstrap import multiplier_quantile
    >>> influence = np.tile([[0.1], [-0.1]], (50, 1))  # a standard error of 1
    >>> round(multiplier_quantile(influence, np.ones(1), 0.95, 20_000, seed=0), 1)
    2.0
    """
    count = len(influence)
    moves = influence * np.sqrt(count / (count - 1.0)) / std_err
    rng = np.random.default_rng(seed)
    together = max(1, _TOGETHER // max(moves.shape))
    sizes = [min(together, n_draws - start) for start in range(0, n_draws, together)]
    greatest = [np.abs(rng.standard_normal((size, count)) @ moves).max(axis=1) for size in sizes]
    return float(np.quantile(np.concatenate(greatest), level))
