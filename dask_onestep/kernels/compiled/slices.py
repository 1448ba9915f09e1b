"""X'v and X'WX in compiled loops, for which the extra ``accelerate`` (numba) is needed.

`dask_onestep.kernels.rows.slices` imports this module where numba is installed; the slices of
`dask_onestep.kernels.algebra` are the reference.  Of dense columns the products are summed tile by tile
(`dask_onestep.kernels.compiled.loops`), which on slim matrices takes half the time of OpenBLAS's product of scaled
rows.  Of sparse columns the products that a row has are added where they belong: of categories these are a few a row.

The binomial, Poisson and normal likelihoods with their natural links are summed in one loop, from Xβ on.  Step by
step in NumPy their means take as long on two threads as on one, since threads hand the interpreter's lock to
and fro for each short operation.

The compiler may reorder sums, which changes last bits; NaN and
infinities pass through to the sums, on which the kernels that check themselves rely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dask_onestep.families import Binomial, Family, Gaussian, Poisson
from dask_onestep.kernels.algebra import DenseSlice, SplitSlice
from dask_onestep.kernels.compiled.loops import add_natural_sums, add_sparse_sums, add_sums

__all__ = ["CompiledSlice", "CompiledSplitSlice"]

# Above this many columns a tile no longer fits in L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 500


# What there is a loop for: by type, so that a family of one's own is never taken for another by its name.
_LAWS: dict[type[Family], int] = {Binomial: 0, Poisson: 1, Gaussian: 2}
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True)
class CompiledSlice(DenseSlice):
    """A dense slice whose sums are made by a compiled loop."""

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True
    ) -> tuple[float, np.ndarray, np.ndarray] | None:
        """Return log-likelihood, score and information; None for families without a loop."""
        p = self.covariates.shape[1]
        if type(family) not in _LAWS or p > _MOST_COLUMNS:
            return None
        first = 1 - int(self.constant)
        level, slopes = (coef[0], coef[1:]) if self.constant else (0.0, coef)
        weights, offset = (
            _NONE if part is None else np.ascontiguousarray(part) for part in (self.weights, self.offset)
        )
        score, information = np.zeros(p + 1), np.zeros((p + 1, p + 1) if informed else (0, 0))
        loglik = add_natural_sums(
            _LAWS[type(family)],
            self.covariates,
            np.ascontiguousarray(self.y),
            weights,
            offset,
            level,
            np.ascontiguousarray(slopes),
            score,
            information,
        )
        return loglik, score[first:], information[first:, first:]

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, in one reading where v and w have one value a row."""
        if values.ndim > 1:
            return self.weighted_sum(values), self.gram(weights)
        weights = np.ones(len(self.y)) if weights is None else weights
        p = self.covariates.shape[1]
        if p > _MOST_COLUMNS:
            return self.weighted_sum(values), super(CompiledSlice, self)._gram(weights)
        sums, gram = np.zeros(p + 1), np.zeros((p + 1, p + 1))
        add_sums(self.covariates, np.ascontiguousarray(values), np.ascontiguousarray(weights), sums, gram)
        first = 1 - int(self.constant)
        return sums[first:], gram[first:, first:]


@dataclass(frozen=True, slots=True)
class CompiledSplitSlice(SplitSlice):
    """A slice of dense and sparse columns whose sums are made by compiled loops."""

    max_density: ClassVar[float] = 0.2

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, in one reading where v and w have one value a row."""
        if values.ndim > 1:
            return self.weighted_sum(values), self.gram(weights)
        values, dense = np.ascontiguousarray(values), np.ascontiguousarray(self.dense)
        weights = np.ones(len(self.y)) if weights is None else np.ascontiguousarray(weights)
        beside = CompiledSlice(self.y, None, None, self.rows, dense, False, np.empty(dense.size))
        of_dense, among_dense = beside.weighted_sum_and_gram(values, weights)
        a, b = len(self.dense_at), len(self.sparse_at)
        of_sparse, mixed, gram = np.zeros(b), np.zeros((b, a)), np.zeros((a + b, a + b))
        add_sparse_sums(*self._stored(), dense, values, weights, self.sparse_at, of_sparse, mixed, gram)
        gram[np.ix_(self.dense_at, self.dense_at)] = among_dense
        gram[np.ix_(self.sparse_at, self.dense_at)] = mixed
        gram[np.ix_(self.dense_at, self.sparse_at)] = mixed.T
        return self._joined(of_dense, of_sparse), gram

    def _stored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sparse columns' elements, their columns and where rows start, the latter two of one type."""
        held = self.sparse
        starts = held.indptr.astype(held.indices.dtype, copy=False)
        return np.ascontiguousarray(held.data), np.ascontiguousarray(held.indices), starts
