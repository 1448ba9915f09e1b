"""X'v and X'WX in compiled loops, for which the extra ``accelerate`` (numba) is needed.

`dask_onestep.kernels.rows.slices` imports this module if numba is installed; the slices of
`dask_onestep.kernels.matrices.algebra` are the reference. Products of dense columns are summed tile by tile
(`dask_onestep.kernels.compiled.loops`), which for narrow matrices takes half the time of OpenBLAS's product of scaled
rows. For columns whose zeros are not stored, a row's few products are added at their positions.

The binomial, Poisson and gaussian likelihoods with their natural links are summed in one loop, starting from Xβ. In
NumPy, computing the means takes as long on two threads as on one, since threads exchange the interpreter's lock for
each short operation.

The compiler may reorder sums, which changes last bits. NaN and infinity propagate to the sums, on which the kernels
that check themselves rely.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from dask_onestep.families import Binomial, Family, Gaussian, Poisson
from dask_onestep.kernels.compiled.loops import add_coded_sums, add_natural_sums, add_sparse_sums, add_sums
from dask_onestep.kernels.matrices.algebra import NO_ROWS, DenseSlice, SplitSlice
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.matrices.symmetric import Arrowhead, Matrix

# Above this many columns a tile does not fit into the L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 500


# The families with a loop: by type, so that a user's family with the same name is not mistaken for one of them.
_LAWS: dict[type[Family], int] = {Binomial: 0, Poisson: 1, Gaussian: 2}
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSplitSlice(SplitSlice):
    """A slice of dense and other columns with compiled sums."""

    max_density: ClassVar[float] = 0.2

    def _gram(self, weights: np.ndarray | None) -> Matrix:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX, reading the rows once if v and w have one value per row."""
        if values.ndim > 1:
            return self.weighted_sum(values), self.gram(weights)
        weights = np.ones(len(self.y)) if weights is None else weights
        return self._with_stored(*self.beside.weighted_sum_and_gram(values, weights), values, weights)

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, Matrix] | None:
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

    def apart(self, product: int) -> CompiledArrowSlice:
        """Return the slice with Gram matrices that are stored as diagonal among a product's columns."""
        own = {field.name: getattr(self, field.name) for field in fields(CompiledSplitSlice)}
        return CompiledArrowSlice(**own, product=product)

    def _with_stored(
        self, of_dense: np.ndarray, among_dense: np.ndarray, values: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX, given those of the dense columns."""
        a, b = len(self.dense_at), len(self.stored_at)
        gram = np.zeros((a + b, a + b))
        if isinstance(self.stored, CodedColumns):
            of_stored, mixed, crossed = self._coded_sums(self.stored, values, weights)
            _write_coded_gram(crossed, gram, self.stored_at)
        else:
            assert isinstance(self.stored, SparseColumns)
            of_stored, mixed = np.zeros(b), np.zeros((b, a))
            array = self.stored.array
            add_sparse_sums(
                np.ascontiguousarray(array.data),
                np.ascontiguousarray(array.indices),
                array.indptr.astype(array.indices.dtype, copy=False),
                *self._beside(values, weights),
                self.stored_at,
                of_stored,
                mixed,
                gram,
            )
        gram[np.ix_(self.dense_at, self.dense_at)] = among_dense
        gram[np.ix_(self.stored_at, self.dense_at)] = mixed
        gram[np.ix_(self.dense_at, self.stored_at)] = mixed.T
        return self._joined(of_dense, of_stored), gram

    def _coded_sums(
        self, stored: CodedColumns, values: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X'v of the coded columns, X'WZ with the dense ones, and X'WX as `add_coded_sums` stores it."""
        b = stored.shape[1]
        sums, mixed = np.zeros(b), np.zeros((b, len(self.dense_at)))
        crossed = np.zeros((b, b - stored.widths[-1] + 1))
        numbers = np.empty((0, 0))
        if any(part is not None for part in stored.values):
            numbers = np.stack([np.ones(len(self.y)) if part is None else part for part in stored.values])
        codes, widths = np.stack(stored.codes), np.array(stored.widths, dtype=np.int64)
        add_coded_sums(codes, widths, numbers, *self._beside(values, weights), sums, mixed, crossed)
        return sums, mixed, crossed

    def _beside(self, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
        dense = self.beside
        return (
            np.ascontiguousarray(dense.covariates),
            int(dense.constant),
            np.ascontiguousarray(values),
            np.ascontiguousarray(weights),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompiledArrowSlice(CompiledSplitSlice):
    """A slice whose Gram matrices are stored as diagonal among the columns of one product of factors.

    Attributes
    ----------
    product : int
        Its number among the coded products; without numbers, so that the elements of its columns are 0 and 1.
    """

    product: int

    def _with_stored(
        self, of_dense: np.ndarray, among_dense: np.ndarray, values: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, Arrowhead]:
        """Return X'v and X'WX, given those of the dense columns."""
        assert isinstance(self.stored, CodedColumns)
        stored, order = self.stored.last(self.product)
        places = self.stored_at[order]
        of_stored, mixed, crossed = self._coded_sums(stored, values, weights)
        count = len(places) - stored.widths[-1]
        others, at = np.concatenate([self.dense_at, places[:count]]), places[count:]
        gram = np.zeros((len(others), len(others)))
        a = len(self.dense_at)
        gram[:a, :a], gram[a:, :a], gram[:a, a:] = among_dense, mixed[:count], mixed[:count].T
        first = count - (stored.widths[-2] if count else 0)
        _write_coded_gram(crossed[:count, [*range(first), -1]], gram, np.arange(a, a + count))
        sort, border = np.argsort(others), np.hstack([mixed[count:], crossed[count:, :-1]])
        score = np.empty(len(others) + len(at))
        score[self.dense_at], score[places] = of_dense, of_stored
        return score, Arrowhead(crossed[count:, -1], border[:, sort], gram[np.ix_(sort, sort)], at, others[sort])


def _write_coded_gram(crossed: np.ndarray, gram: np.ndarray, at: np.ndarray) -> None:
    """Write X'WX of coded columns, as `add_coded_sums` stores it, at some positions of a matrix."""
    full = np.zeros((len(at), len(at)))
    full[:, : crossed.shape[1] - 1] = crossed[:, :-1]
    full += full.T
    np.fill_diagonal(full, crossed[:, -1])
    gram[np.ix_(at, at)] = full
