"""X'v and X'WX in compiled loops, for which the extra ``accelerate`` (numba) is needed.

`dask_onestep.kernels.rows.slices` imports this module if numba is installed; the slices of
`dask_onestep.kernels.algebra` are the reference. Products of dense columns are summed tile by tile
(`dask_onestep.kernels.compiled.loops`), which for narrow matrices takes half the time of OpenBLAS's product of scaled
rows. For columns whose zeros are not stored, a row's few products are added at their positions.

The binomial, Poisson and gaussian likelihoods with their natural links are summed in one loop, starting from Xβ. In
NumPy, computing the means takes as long on two threads as on one, since threads exchange the interpreter's lock for
each short operation.

The compiler may reorder sums, which changes last bits. NaN and infinity propagate to the sums, on which the kernels
that check themselves rely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dask_onestep.families import Binomial, Family, Gaussian, Poisson
from dask_onestep.kernels.algebra import NO_ROWS, DenseSlice, SplitSlice
from dask_onestep.kernels.compiled.loops import add_coded_sums, add_natural_sums, add_sparse_sums, add_sums
from dask_onestep.kernels.stored import CodedColumns, SparseColumns, StoredColumns

# Above this many columns a tile does not fit into the L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 500


# The families with a loop: by type, so that a user's family with the same name is not mistaken for one of them.
_LAWS: dict[type[Family], int] = {Binomial: 0, Poisson: 1, Gaussian: 2}
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True)
class CompiledSlice(DenseSlice):
    """A dense slice with compiled sums."""

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, np.ndarray] | None:
        """Return log-likelihood, score and information; None for families without a loop.

        Each row's residual and weight are written to `of_rows`, of shape (2, m), unless it is empty.
        """
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
            of_rows,
        )
        return loglik, score[first:], information[first:, first:]

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, reading the rows once if v and w have one value per row."""
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
    """A slice of dense and other columns with compiled sums."""

    max_density: ClassVar[float] = 0.2

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, reading the rows once if v and w have one value per row."""
        if values.ndim > 1:
            return self.weighted_sum(values), self.gram(weights)
        weights = np.ones(len(self.y)) if weights is None else weights
        return self._with_stored(*self.beside.weighted_sum_and_gram(values, weights), values, weights)

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, np.ndarray] | None:
        """Return log-likelihood, score and information; None for families without a loop."""
        assert isinstance(self.beside, CompiledSlice)
        eta = self.stored.times(coef[self.stored_at])
        if self.offset is not None:
            eta += self.offset
        own, beside = of_rows if of_rows.size else np.empty((2, len(self.y))), replace(self.beside, offset=eta)
        if (found := beside.natural_sums(family, coef[self.dense_at], informed=informed, of_rows=own)) is None:
            return None
        loglik, score, information = found
        if informed:
            return loglik, *self._with_stored(score, information, *own)
        return loglik, self._joined(score, self.stored.weighted_sum(own[0])), information

    def _with_stored(
        self, of_dense: np.ndarray, among_dense: np.ndarray, values: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, given those of the dense columns."""
        a, b = len(self.dense_at), len(self.stored_at)
        of_stored, mixed, gram = np.zeros(b), np.zeros((b, a)), np.zeros((a + b, a + b))
        _LOOPS[type(self.stored)](
            self.stored,
            np.ascontiguousarray(self.beside.covariates),
            int(self.beside.constant),
            np.ascontiguousarray(values),
            np.ascontiguousarray(weights),
            self.stored_at,
            of_stored,
            mixed,
            gram,
        )
        gram[np.ix_(self.dense_at, self.dense_at)] = among_dense
        gram[np.ix_(self.stored_at, self.dense_at)] = mixed
        gram[np.ix_(self.dense_at, self.stored_at)] = mixed.T
        return self._joined(of_dense, of_stored), gram


def _of_sparse(stored: SparseColumns, *rest: Any) -> None:
    array = stored.array
    starts = array.indptr.astype(array.indices.dtype, copy=False)
    add_sparse_sums(np.ascontiguousarray(array.data), np.ascontiguousarray(array.indices), starts, *rest)


def _of_codes(stored: CodedColumns, *rest: Any) -> None:
    m = stored.shape[0]
    codes = np.stack(stored.codes)
    values = np.empty((0, 0))
    if any(part is not None for part in stored.values):
        values = np.stack([np.ones(m) if part is None else part for part in stored.values])
    add_coded_sums(codes, np.array(stored.widths, dtype=np.int64), values, *rest)


_LOOPS: dict[type[StoredColumns], Any] = {SparseColumns: _of_sparse, CodedColumns: _of_codes}
