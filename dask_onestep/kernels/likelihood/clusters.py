"""Sums by cluster, and the linearized jackknife that omits one cluster at a time.

MacKinnon, Nielsen and Webb, "Cluster-robust jackknife and bootstrap inference for logistic regression models",
arXiv 2406.00650: without cluster g the estimate changes by d_g = −(I − I_g)⁻¹s_g, where s_g and I_g are the cluster's
score and observed information at β̂. Where the I_g would need too much memory, d_g ≈ −(V s_g + V I_g V s_g), V = I⁻¹.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.matrices.algebra import DenseSlice
from dask_onestep.kernels.matrices.symmetric import unpacked
from dask_onestep.kernels.records import Record
from dask_onestep.kernels.solve.linear_algebra import CholeskyFactor

# Maximum memory for the informations of all clusters; a task of the reduction tree adds 16 such records.
CLUSTER_BYTES = 64 * 2**20
# A coefficient is not identified without a cluster if less than this fraction of the information remains in some
# direction.
_NOTHING = 1e-10
# Size that rounding gives to a fraction 0, relative to the condition number.
_ROUNDING = 64 * np.finfo(np.float64).eps
# Minimum fraction of a coefficient's variance that such a direction must have.
_CONCERNED = 1e-6
# Maximum number of matrix elements that are decomposed at once.
_TOGETHER = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Clusters(Record):
    """Sums over the rows of each cluster; a cluster may span blocks.

    Attributes
    ----------
    labels : ndarray of shape (G,)
        Any hashable labels, in order of appearance; they need not be comparable.
    sums : ndarray of shape (G, d)
        Σ sᵢ, scores.
    informations : ndarray of shape (G, d(d + 1)/2) or None
        Σ Iᵢ, upper triangles by row; None if not needed or larger than `CLUSTER_BYTES`.
    moves : ndarray of shape (G, d) or None
        I_g V s_g, computed in a separate pass if there are no informations.
    """

    labels: np.ndarray
    sums: np.ndarray
    informations: np.ndarray | None = None
    moves: np.ndarray | None = None

    @classmethod
    def of(cls, labels: np.ndarray, sums: np.ndarray, informations: np.ndarray | None = None) -> Clusters:
        """Return the sums by cluster of rows, or of other sums, with one label each."""
        codes, found = pd.factorize(labels)
        if informations is not None and len(found) * informations.shape[1] * 8 > CLUSTER_BYTES:
            informations = None
        added = [None if part is None else _by_code(part, codes) for part in (sums, informations)]
        return cls(np.asarray(found), *added)  # type: ignore[arg-type]

    def __add__(self, other: Clusters) -> Clusters:
        alike = self.labels.dtype.kind == other.labels.dtype.kind
        # Numbers concatenated with strings would be converted to strings.
        labels = [each.labels if alike else each.labels.astype(object) for each in (self, other)]
        mine, theirs = self.informations, other.informations
        both = None if mine is None or theirs is None else np.concatenate([mine, theirs])
        return Clusters.of(np.concatenate(labels), np.concatenate([self.sums, other.sums]), both)

    def positions(self, labels: Any) -> np.ndarray:
        """Return the positions of some labels among those of the clusters."""
        return pd.Index(self.labels, tupleize_cols=False).get_indexer(pd.Index(labels, tupleize_cols=False))


def _by_code(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return pd.DataFrame(values).groupby(codes).sum().to_numpy()


def groupings(groups: np.ndarray) -> list[np.ndarray]:
    """Return the labels of each grouping: of each single column of `groups`, then of each pair, and so on.

    `groups` of shape (m,) holds labels or, for several columns, records with one field each.
    """
    names = groups.dtype.names
    if names is None:
        return [groups]
    columns = [np.ascontiguousarray(groups[name]) for name in names]
    joint = [
        pd.MultiIndex.from_arrays(some) for size in range(2, len(names) + 1) for some in combinations(columns, size)
    ]
    return columns + [np.asarray(each) for each in joint]


def signs(count: int) -> list[int]:
    """Return the signs of `count` groupings in the covariance: + for an odd number of columns, − for an even one."""
    columns = (count + 1).bit_length() - 1
    return [1 if size % 2 else -1 for size in range(1, columns + 1) for _ in combinations(range(columns), size)]


def jackknife(clusters: Clusters, factor: CholeskyFactor) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return d_g = −(I − I_g)⁻¹s_g of each cluster, and the coefficients that are not identified without it."""
    half = factor.whitener()  # of shape (r, d): V = half'half
    scores = clusters.sums @ half.T
    if clusters.informations is None:
        assert clusters.moves is not None
        return -(scores + clusters.moves @ half.T) @ half, {}
    moved, lost = np.empty_like(clusters.sums), {}
    variances = np.square(half).sum(axis=0)
    nothing = max(_NOTHING, _ROUNDING * factor.condition)
    for at, whitened in _whitened(clusters.informations, half):
        fractions, directions = np.linalg.eigh(whitened)
        left = 1.0 - fractions
        gone = left < nothing
        along = np.einsum("gij,gi->gj", directions, scores[at])
        along = np.where(gone, 0.0, along / np.where(gone, 1.0, left))
        moved[at] = -np.einsum("gij,gj->gi", directions, along) @ half
        for number in np.flatnonzero(gone.any(axis=1)):
            toward = directions[number][:, gone[number]].T @ half
            lost[at.start + int(number)] = np.square(toward).sum(axis=0) > _CONCERNED * variances
    return moved, lost


def _whitened(triangles: np.ndarray, half: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield L⁻¹I_gL⁻ᵀ, each cluster's fraction of the information, for several clusters at a time."""
    length = max(1, _TOGETHER // max(half.size, 1))
    for begin in range(0, len(triangles), length):
        at = slice(begin, min(begin + length, len(triangles)))
        yield at, half @ unpacked(triangles[at]) @ half.T


def moves(part: DenseSlice, weights: np.ndarray, directions: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return I_g u_g of each group, of shape (count, c·d)."""
    x = part.design
    if weights.ndim == 1:
        return part.group_sums(weights * np.einsum("ij,ij->i", x, directions), codes, count)
    by_class = directions.reshape(len(x), weights.shape[1], -1)
    return part.group_sums(np.einsum("icb,ibj,ij->ic", weights, by_class, x), codes, count)


def with_moves(clusters: Clusters, moved: Clusters) -> Clusters:
    """Return the clusters with I_g V s_g."""
    return replace(clusters, moves=moved.sums[moved.positions(clusters.labels)])
