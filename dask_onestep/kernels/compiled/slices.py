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

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from dask_onestep.families import Binomial, Family, Gaussian, Poisson
from dask_onestep.kernels.compiled.loops import GIVEN, LOGISTIC, NORMAL, POISSON, TILE, add_sparse_sums, add_sums
from dask_onestep.kernels.matrices.algebra import NO_ROWS, DenseSlice, SplitSlice
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.matrices.symmetric import Arrowhead, Matrix

# Above this many columns a tile does not fit into the L2 cache, and BLAS is as fast.
_MOST_COLUMNS = 500
# Rows that are written before they are summed, half of the L2 cache at most; at least the rows of so many columns.
_PART_BYTES, _FEW = 2**19, 8

# The families with a loop: by type, so that a user's family with the same name is not mistaken for one of them.
_LAWS: dict[type[Family], int] = {Binomial: LOGISTIC, Poisson: POISSON, Gaussian: NORMAL}
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Codes:
    """Coded columns as the loops use them, and their sums.

    Each product has one column more, of rows without a nonzero element, so that no row is a special case.

    Attributes
    ----------
    codes : tuple of ndarray of shape (m,) of int32
        As in `CodedColumns`.
    starts : ndarray of shape (F,) of int
        The first column of each product.
    numbers : tuple of ndarray of shape (m,)
        The numbers, if any product has some.
    effects : ndarray of shape (b + F,)
        Coefficients.
    own : ndarray of shape (b + F, 4 + 4k)
        Sums of each column.
    crossed : ndarray of shape (b + F, c)
        Sums of products with the columns of earlier products.
    real : ndarray of shape (b + F,) of bool
        Which columns are columns of the design.
    """

    codes: tuple[np.ndarray, ...]
    starts: np.ndarray
    numbers: tuple[np.ndarray, ...]
    effects: np.ndarray
    own: np.ndarray
    crossed: np.ndarray
    real: np.ndarray

    @classmethod
    def of(cls, stored: CodedColumns, beside: int, coef: np.ndarray | None = None) -> _Codes:
        """Return columns next to so many dense ones, with sums of zero."""
        ends = np.cumsum(np.array(stored.widths) + 1)
        starts, real, effects = np.append(0, ends[:-1]), np.ones(ends[-1], bool), np.zeros(ends[-1])
        real[ends - 1] = False
        if coef is not None:
            effects[real] = coef
        numbers: tuple[np.ndarray, ...] = ()
        if any(part is not None for part in stored.values):
            numbers = tuple(np.ones(stored.shape[0]) if part is None else part for part in stored.values)
        width = 4 + 4 * max(1, (beside + 3) // 4)
        own = _on_lines(ends[-1] * width).reshape(ends[-1], width)
        crossed = np.zeros((ends[-1], starts[-1]))
        return cls(stored.codes, starts, numbers, effects, own, crossed, real)

    def arguments(self, at: slice) -> tuple[np.ndarray, ...]:
        """Return the last arguments of a loop over some rows."""
        codes, numbers = _together(self.codes, at, np.int32), _together(self.numbers, at, np.float64)
        return codes, self.starts, numbers, self.own.ravel(), self.crossed

    def sums(self, dense: DenseSlice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return X'v, X'WZ with the dense columns, X'WX with earlier products, and its diagonal."""
        own, crossed = self.own[self.real], self.crossed[self.real][:, self.real[: self.crossed.shape[1]]]
        mixed = own[:, 4 : 4 + dense.covariates.shape[1]]
        mixed = np.hstack([own[:, 1:2], mixed]) if dense.constant else mixed
        return own[:, 0], mixed, crossed, own[:, 3 if self.numbers else 1]


def _on_lines(count: int) -> np.ndarray:
    """Return zeros from the start of a cache line on: numbers across two lines are read back from memory slowly."""
    room = np.zeros(count + 7)
    first = -room.ctypes.data // 8 % 8
    return room[first : first + count]


def _together(parts: tuple[np.ndarray, ...], at: slice, dtype: type) -> np.ndarray:
    """Return some elements of each part as a row of an array."""
    elements = np.concatenate([np.empty(0, dtype), *(part[at] for part in parts)])
    return elements.reshape(len(parts), at.stop - at.start if parts else 0)


_NO_CODES = _Codes((), np.empty(0, np.int64), (), _NONE, NO_ROWS, NO_ROWS, _NONE)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSlice(DenseSlice):
    """A dense slice with compiled sums."""

    @staticmethod
    def has_loop(family: Family, columns: int) -> bool:
        """Return whether `natural_sums` has a loop."""
        return type(family) in _LAWS and columns <= _MOST_COLUMNS

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, np.ndarray] | None:
        """Return log-likelihood, score and information; None for families without a loop.

        Each row's residual and weight are written to `of_rows`, of shape (2, m), or (3, m) for η, unless it is empty.
        """
        if not self.has_loop(family, self.covariates.shape[1]):
            return None
        return self.natural_sums_with(_NO_CODES, family, coef, informed=informed, of_rows=of_rows)

    def natural_sums_with(
        self, codes: _Codes, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the sums of the dense columns, whose coefficients are given, and add those of coded columns."""
        p = self.covariates.shape[1]
        first = 1 - int(self.constant)
        level, slopes = (coef[0], coef[1:]) if self.constant else (0.0, coef)
        weights, offset = (
            _NONE if part is None else np.ascontiguousarray(part) for part in (self.weights, self.offset)
        )
        y, slopes, loglik = np.ascontiguousarray(self.y), np.ascontiguousarray(slopes), 0.0
        score, information = np.zeros(p + 1), np.zeros((p + 1, p + 1) if informed else (0, 0))
        for at, x in self._parts(codes):
            loglik += add_sums(
                _LAWS[type(family)],
                x,
                y[at],
                weights[at],
                offset[at],
                level,
                slopes,
                score,
                information,
                of_rows[:, at],
                codes.effects,
                *codes.arguments(at),
            )
        return loglik, score[first:], information[first:, first:]

    def _parts(self, codes: _Codes) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the rows, in parts that stay in the cache if they are yet to be written, or have codes."""
        (m, p), known = self.covariates.shape, isinstance(self.covariates, np.ndarray)
        length = m if known and not codes.codes else TILE * max(1, _PART_BYTES // (8 * max(p, _FEW) * TILE))
        buffer = np.empty((p, 0 if known else min(length, m))).T  # columns are written one after the other
        for start in range(0, m, length):
            at = slice(start, min(start + length, m))
            part = self.covariates[at]
            if known:
                yield at, part
                continue
            part.write(buffer[: at.stop - start])
            yield at, buffer[: at.stop - start]

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
        return self.sums_with(_NO_CODES, values, weights)

    def sums_with(self, codes: _Codes, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX of the dense columns, and add those of coded columns."""
        p, first = self.covariates.shape[1], 1 - int(self.constant)
        sums, gram = np.zeros(p + 1), np.zeros((p + 1, p + 1))
        values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
        for at, x in self._parts(codes):
            add_sums(
                GIVEN,
                x,
                values[at],
                weights[at],
                _NONE,
                0.0,
                _NONE,
                sums,
                gram,
                NO_ROWS,
                codes.effects,
                *codes.arguments(at),
            )
        return sums[first:], gram[first:, first:]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSplitSlice(SplitSlice):
    """A slice of dense and other columns with compiled sums."""

    max_density: ClassVar[float] = 0.2

    @staticmethod
    def has_loop(family: Family) -> bool:
        """Return whether `natural_sums` has a loop."""
        return type(family) in _LAWS

    def _gram(self, weights: np.ndarray | None) -> Matrix:
        return self.weighted_sum_and_gram(np.zeros(len(self.y)), weights)[1]

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX, reading the rows once if v and w have one value per row."""
        if values.ndim > 1:
            return self.weighted_sum(values), self.gram(weights)
        assert isinstance(self.beside, CompiledSlice)
        weights = np.ones(len(self.y)) if weights is None else weights
        if isinstance(self.stored, SparseColumns):
            return self._with_sparse(self.stored, *self.beside.weighted_sum_and_gram(values, weights), values, weights)
        stored, places = self._coded
        codes = _Codes.of(stored, self.beside.covariates.shape[1])
        return self._with_coded(codes, places, *self.beside.sums_with(codes, values, weights))

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, Matrix] | None:
        """Return log-likelihood, score and information; None for families without a loop."""
        assert isinstance(self.beside, CompiledSlice)
        if not self.has_loop(family):
            return None
        if informed and isinstance(self.stored, CodedColumns):
            stored, places = self._coded
            codes = _Codes.of(stored, self.beside.covariates.shape[1], coef[places])
            beside = replace(self.beside, offset=self.offset)
            loglik, *sums = beside.natural_sums_with(codes, family, coef[self.dense_at], of_rows=of_rows)
            return loglik, *self._with_coded(codes, places, *sums)
        eta = self.stored.times(coef[self.stored_at])
        if self.offset is not None:
            eta += self.offset
        own, beside = of_rows if of_rows.size else np.empty((2, len(self.y))), replace(self.beside, offset=eta)
        if (found := beside.natural_sums(family, coef[self.dense_at], informed=informed, of_rows=own)) is None:
            return None
        loglik, score, information = found
        if informed:
            assert isinstance(self.stored, SparseColumns)
            return loglik, *self._with_sparse(self.stored, score, information, *own[:2])
        return loglik, self._joined(score, self.stored.weighted_sum(own[0])), information

    def apart(self, product: int) -> CompiledArrowSlice:
        """Return the slice with Gram matrices that are stored as diagonal among a product's columns."""
        own = {field.name: getattr(self, field.name) for field in fields(CompiledSplitSlice)}
        return CompiledArrowSlice(**own, product=product)

    @property
    def _coded(self) -> tuple[CodedColumns, np.ndarray]:
        """The coded columns in the order of the loop, and their positions in the design."""
        assert isinstance(self.stored, CodedColumns)
        return self.stored, self.stored_at

    def _with_coded(
        self, codes: _Codes, places: np.ndarray, of_dense: np.ndarray, among_dense: np.ndarray
    ) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX, given those of the dense columns and of the coded ones."""
        gram = np.zeros((len(self.dense_at) + len(places),) * 2)
        of_stored, mixed, crossed, diagonal = codes.sums(self.beside)
        _write_coded_gram(crossed, diagonal, gram, places)
        self._write_beside(gram, among_dense, mixed)
        return self._joined(of_dense, of_stored), gram

    def _write_beside(self, gram: np.ndarray, among_dense: np.ndarray, mixed: np.ndarray) -> None:
        gram[np.ix_(self.dense_at, self.dense_at)] = among_dense
        gram[np.ix_(self.stored_at, self.dense_at)] = mixed
        gram[np.ix_(self.dense_at, self.stored_at)] = mixed.T

    def _with_sparse(
        self,
        stored: SparseColumns,
        of_dense: np.ndarray,
        among_dense: np.ndarray,
        values: np.ndarray,
        weights: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return X'v and X'WX, given those of the dense columns."""
        a, b, array = len(self.dense_at), len(self.stored_at), stored.array
        gram, of_stored, mixed = np.zeros((a + b, a + b)), np.zeros(b), np.zeros((b, a))
        add_sparse_sums(
            np.ascontiguousarray(array.data),
            np.ascontiguousarray(array.indices),
            array.indptr.astype(array.indices.dtype, copy=False),
            np.ascontiguousarray(self.beside.covariates),
            int(self.beside.constant),
            np.ascontiguousarray(values),
            np.ascontiguousarray(weights),
            self.stored_at,
            of_stored,
            mixed,
            gram,
        )
        self._write_beside(gram, among_dense, mixed)
        return self._joined(of_dense, of_stored), gram


@dataclass(frozen=True, slots=True, eq=False)
class CompiledArrowSlice(CompiledSplitSlice):
    """A slice whose Gram matrices are stored as diagonal among the columns of one product of factors.

    Attributes
    ----------
    product : int
        Its number among the coded products; without numbers, so that the elements of its columns are 0 and 1.
    """

    product: int

    @property
    def _coded(self) -> tuple[CodedColumns, np.ndarray]:
        """The coded columns with those of the product last."""
        assert isinstance(self.stored, CodedColumns)
        stored, order = self.stored.last(self.product)
        return stored, self.stored_at[order]

    def _with_coded(
        self, codes: _Codes, places: np.ndarray, of_dense: np.ndarray, among_dense: np.ndarray
    ) -> tuple[np.ndarray, Arrowhead]:
        """Return X'v and X'WX, given those of the dense columns and of the coded ones."""
        of_stored, mixed, crossed, diagonal = codes.sums(self.beside)
        count = crossed.shape[1]
        others, at = np.concatenate([self.dense_at, places[:count]]), places[count:]
        gram = np.zeros((len(others), len(others)))
        a = len(self.dense_at)
        gram[:a, :a], gram[a:, :a], gram[:a, a:] = among_dense, mixed[:count], mixed[:count].T
        _write_coded_gram(crossed[:count], diagonal[:count], gram, np.arange(a, a + count))
        sort, border = np.argsort(others), np.hstack([mixed[count:], crossed[count:]])
        score = np.empty(len(others) + len(at))
        score[self.dense_at], score[places] = of_dense, of_stored
        return score, Arrowhead(diagonal[count:], border[:, sort], gram[np.ix_(sort, sort)], at, others[sort])


def _write_coded_gram(crossed: np.ndarray, diagonal: np.ndarray, gram: np.ndarray, at: np.ndarray) -> None:
    """Write X'WX of coded columns, whose columns before each product's are given, at some positions of a matrix."""
    full = np.zeros((len(at), len(at)))
    full[:, : crossed.shape[1]] = crossed
    full += full.T
    np.fill_diagonal(full, diagonal)
    gram[np.ix_(at, at)] = full
