"""Linear algebra of some rows of a design: Xβ, X'v, X'WX and the like.

Kernels use a design only through these operations, so they do not depend on how rows are stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from dask_onestep.families import Family
from dask_onestep.kernels.matrices.columns import CodedColumns, StoredColumns
from dask_onestep.kernels.matrices.symmetric import Arrowhead, DiagonalPlusProduct, Matrix, remaining

# Maximum of rows times columns in a product with a full matrix.
_PRODUCT = 2**20
# Columns of a product that are multiplied at a time.
_TOGETHER = 16
# Columns up to which counts are faster than a product with an indicator matrix.
_FEW = 8

NO_ROWS = np.empty((0, 0))


@dataclass(frozen=True, slots=True)
class Slice(ABC):
    """Some consecutive rows of a block: m rows of a design X with d columns.

    Attributes
    ----------
    y : ndarray of shape (m,)
        Response.
    weights, offset : ndarray of shape (m,) or None
        As in the block.
    rows : slice
        Which rows of the block.
    """

    y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    rows: slice

    @property
    def row_weights(self) -> np.ndarray:
        """The weights, 1 for each row if there are none."""
        return np.ones(len(self.y)) if self.weights is None else self.weights

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """Return values of rows, of shape (m,) or (m, c), times the rows' weights."""
        return values if self.weights is None else (values.T * self.weights).T

    def linear_predictor(self, coef: np.ndarray) -> np.ndarray:
        """Return η = Xβ + offset, of shape (m,), or (m, c) for β of shape (d, c)."""
        eta = self.times(coef)
        if self.offset is not None:
            eta += self.offset if eta.ndim == 1 else self.offset[:, None]
        return eta

    def gram(self, weights: np.ndarray | None = None) -> Matrix:
        """Return Σ wᵢxᵢxᵢ', or Σ Wᵢ ⊗ xᵢxᵢ' for a symmetric matrix of weights per row.

        Parameters
        ----------
        weights : ndarray of shape (m,) or (m, c, c), or None
            Of any sign; None for ones.

        Returns
        -------
        ndarray or Arrowhead of shape (d, d) or (c·d, c·d)
            The weighted Gram matrix.
        """
        if weights is None or weights.ndim == 1:
            return self._gram(weights)
        c = weights.shape[1]
        blocks = [[self._gram(weights[:, a, b]) if b <= a else None for b in range(c)] for a in range(c)]
        return np.block([[blocks[max(a, b)][min(a, b)] for b in range(c)] for a in range(c)])

    def natural_sums(
        self, family: Family, coef: np.ndarray, *, informed: bool = True, of_rows: np.ndarray = NO_ROWS
    ) -> tuple[float, np.ndarray, Matrix] | None:
        """Return log-likelihood, score and information for a natural parameter η; None where there is no loop for it.

        The log-likelihood omits the family's ``log_base_measure``. Without `informed` the information has shape (0, 0).
        Each row's residual and weight are written to `of_rows`, of shape (2, m), or (3, m) for η, unless it is empty.
        """
        return None

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX, v as in `weighted_sum` and w as in `gram`."""
        return self.weighted_sum(values), self.gram(weights)

    @abstractmethod
    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ, of shape (m,), or (m, c) for β of shape (d, c)."""

    @abstractmethod
    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v, of shape (d,), or (d, c) for v of shape (m, c)."""

    @abstractmethod
    def _gram(self, weights: np.ndarray | None) -> Any:
        """Return X'WX, W diagonal and of any sign."""

    @abstractmethod
    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ over the rows of each of `count` groups, of shape (count, d), or (count, c·d)."""

    @abstractmethod
    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column, of shape (d,)."""

    def quadratic_forms(self, matrix: np.ndarray | DiagonalPlusProduct) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row, of shape (m,).

        Where V is diag(e) + HQH', the columns in which e is not 0 are those of levels, whose elements are 0 and 1.
        """
        if not isinstance(matrix, DiagonalPlusProduct):
            return self._quadratic_forms(matrix)
        forms = self.times(matrix.own)
        inward = matrix.inward
        for start in range(0, inward.shape[1], _TOGETHER):
            at = slice(start, start + _TOGETHER)
            product = self.times(matrix.half[:, at])
            other = product if matrix.inner is None else self.times(inward[:, at])
            forms += np.einsum("ij,ij->i", product, other)
        return forms

    @abstractmethod
    def _quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row for an array V."""

    @abstractmethod
    def greatest(self) -> np.ndarray:
        """Return max ``|xᵢ|`` of each column over rows of positive weight, of shape (d,)."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseSlice(Slice):
    """A slice whose covariates are an array; a constant is not stored.

    Attributes
    ----------
    covariates : ndarray of shape (m, p)
        float64: a view of the block, or a buffer that the next slice reuses; in a slice of which only `natural_sums`
        are wanted, anything of which slices can be written into an array by ``write``.
    constant : bool
        Whether a 1 precedes each row, so that d is p + 1.
    scratch : ndarray of shape (≥ m·d,)
        A buffer for scaled rows.
    size : int
        Maximum bytes of a slice's rows: small enough for the cache that cores share, and large enough that threads
        rarely wait for the interpreter's lock, which each operation on a slice releases and acquires.
    """

    size: ClassVar[int] = 3 * 2**20

    covariates: Any
    constant: bool
    scratch: np.ndarray

    @staticmethod
    def has_loop(family: Family, columns: int) -> bool:
        """Return whether `natural_sums` has a loop, which needs no temporary arrays."""
        return False

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ."""
        if not self.constant:
            return np.dot(self.covariates, coef)
        product = np.dot(self.covariates, coef[1:])
        product += coef[0]
        return product

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v."""
        sums = np.dot(self.covariates.T, values)
        return np.concatenate([values.sum(axis=0)[None], sums]) if self.constant else sums

    def _gram(self, weights: np.ndarray | None) -> np.ndarray:
        if weights is None:
            weights = np.ones(len(self.y))
        gram = self._covariates_gram(weights)
        if not self.constant:
            return gram
        # The constant's row is a border, so that the large product uses contiguous rows.
        border = np.dot(self.covariates.T, weights)
        return np.block([[weights.sum(), border[None]], [border[:, None], gram]])

    def _covariates_gram(self, weights: np.ndarray) -> np.ndarray:
        scaled = self._buffer(self.covariates.shape[1])
        if (weights >= 0).all():
            # BLAS multiplies a matrix with its own transpose at half the cost.
            np.multiply(self.covariates, np.sqrt(weights)[:, None], out=scaled)
            return np.dot(scaled.T, scaled)
        np.multiply(self.covariates, weights[:, None], out=scaled)
        return np.dot(scaled.T, self.covariates)

    def scaled(self, factors: np.ndarray) -> np.ndarray:
        """Return the rows fᵢxᵢ."""
        first = int(self.constant)
        rows = self._buffer(self.covariates.shape[1] + first)
        rows[:, :first] = factors[:, None]
        np.multiply(self.covariates, factors[:, None], out=rows[:, first:])
        return rows

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ of each group."""
        design, each = self.design, np.atleast_2d(values.T)
        if design.shape[1] > _FEW:
            return np.hstack([_indicator(v, codes, count) @ design for v in each])
        sums = [np.bincount(codes, v * column, count) for v in each for column in design.T]
        return np.column_stack([np.empty((count, 0)), *sums])

    def group_grams(self, weights: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ wᵢxᵢxᵢ' of each group, or Σ Wᵢ ⊗ xᵢxᵢ' for a symmetric matrix of weights per row.

        Parameters
        ----------
        weights : ndarray of shape (m,) or (m, c, c)
            Of any sign.
        codes : ndarray of shape (m,) of int
            Each row's group.
        count : int
            The number of groups.

        Returns
        -------
        ndarray of shape (count, c·d(c·d + 1)/2)
            The upper triangles, row by row.
        """
        design = self.design
        weights = weights.reshape(len(design), *(weights.shape[1:] or (1, 1)))
        # Rows are sorted by group once, which takes longer than the sums.
        groups = _indicator(np.arange(len(codes)), codes, count)
        sums = []
        for a, j in np.ndindex(weights.shape[1], design.shape[1]):
            for b in range(a, weights.shape[1]):
                values = (weights[:, a, b] * design[:, j])[groups.data]
                own = sparse.csr_array((values, groups.indices, groups.indptr), shape=groups.shape)
                sums.append(own @ (design[:, j:] if a == b else design))
        return np.hstack(sums)

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column."""
        squares = np.square(self.covariates, out=self._buffer(self.covariates.shape[1]))
        sums = np.dot(weights, squares)
        return np.concatenate([weights.sum()[None], sums]) if self.constant else sums

    def _quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row."""
        design = self.design
        return np.einsum("ij,ij->i", np.dot(design, matrix), design)

    def greatest(self) -> np.ndarray:
        """Return the greatest absolute value of each column."""
        seen = self.design if self.weights is None else self.design[self.weights > 0]
        return np.abs(seen).max(axis=0, initial=0.0)

    @property
    def design(self) -> np.ndarray:
        """X, of shape (m, d), in the buffer of `scaled`."""
        first = int(self.constant)
        rows = self._buffer(self.covariates.shape[1] + first)
        rows[:, :first] = 1.0
        rows[:, first:] = self.covariates
        return rows

    def _buffer(self, columns: int) -> np.ndarray:
        """Return the scratch as contiguous rows, which are faster for BLAS and NumPy."""
        return self.scratch[: len(self.y) * columns].reshape(len(self.y), columns)


def _indicator(values: np.ndarray, codes: np.ndarray, count: int) -> sparse.csr_array:
    """Return the matrix that sums rows by group, each multiplied by its value."""
    return sparse.csr_array((values, (codes, np.arange(len(codes)))), shape=(count, len(codes)))


@dataclass(frozen=True, slots=True, eq=False)
class SplitSlice(Slice):
    """A slice with dense columns, and other columns whose zeros are not stored.

    Attributes
    ----------
    beside : DenseSlice
        The same rows of the constant, if there is one, and of the dense columns, a in total.
    stored : StoredColumns of shape (m, b)
        The other columns.
    dense_at, stored_at : ndarray of shape (a,) and (b,) of int
        Their positions in the design.
    max_density : float
        The fraction of stored elements above which a dense Gram matrix is faster, whatever the number of columns:
        ``python -m benchmarks.categories --density``.
    """

    max_density: ClassVar[float] = 0.1
    beside: DenseSlice
    stored: StoredColumns
    dense_at: np.ndarray
    stored_at: np.ndarray

    @staticmethod
    def has_loop(family: Family) -> bool:
        """Return whether `natural_sums` of coded columns has a loop, which needs no temporary arrays."""
        return False

    def times(self, coef: np.ndarray) -> np.ndarray:
        """Return Xβ."""
        return self.beside.times(coef[self.dense_at]) + self.stored.times(coef[self.stored_at])

    def weighted_sum(self, values: np.ndarray) -> np.ndarray:
        """Return X'v."""
        return self._joined(self.beside.weighted_sum(values), self.stored.weighted_sum(values))

    def _gram(self, weights: np.ndarray | None) -> Any:
        d = len(self.dense_at) + len(self.stored_at)
        out = np.zeros((d, d))
        out[np.ix_(self.dense_at, self.dense_at)] = self.beside.gram(weights)
        scaled = self.beside.design if weights is None else self.beside.scaled(weights)
        mixed = self.stored.weighted_sum(scaled)
        out[np.ix_(self.stored_at, self.dense_at)] = mixed
        out[np.ix_(self.dense_at, self.stored_at)] = mixed.T
        self.stored.write_gram(weights, out, self.stored_at)
        return out

    def group_sums(self, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
        """Return Σ vᵢxᵢ of each group."""
        sums = []
        for column in np.atleast_2d(values.T):
            dense = self.beside.group_sums(column, codes, count)
            sums.append(self._joined(dense.T, self.stored.group_sums(column, codes, count).T).T)
        return np.hstack(sums)

    def weighted_squares(self, weights: np.ndarray) -> np.ndarray:
        """Return Σ wᵢxᵢ² of each column."""
        return self._joined(self.beside.weighted_squares(weights), self.stored.weighted_squares(weights))

    def _quadratic_forms(self, matrix: np.ndarray) -> np.ndarray:
        """Return xᵢ'Vxᵢ of each row."""
        m, length = len(self.y), max(1, _PRODUCT // len(matrix))
        out, design = np.empty(m), self.beside.design
        a, b = self.dense_at, self.stored_at
        mixed = matrix[np.ix_(b, a)] + matrix[np.ix_(a, b)].T
        for start in range(0, m, length):
            at = slice(start, start + length)
            dense, stored = design[at], self.stored.rows(at)
            product = dense @ matrix[np.ix_(a, a)] + stored.times(mixed)
            out[at] = np.einsum("ij,ij->i", product, dense) + stored.quadratic_forms(matrix[np.ix_(b, b)])
        return out

    def greatest(self) -> np.ndarray:
        """Return max ``|xᵢ|`` of each column."""
        seen = slice(None) if self.weights is None else np.flatnonzero(self.weights > 0)
        return self._joined(self.beside.greatest(), self.stored.rows(seen).greatest())

    def apart(self, product: int) -> SplitSlice:
        """Return the slice with Gram matrices that are stored as diagonal among a product's columns."""
        assert isinstance(self.stored, CodedColumns)
        start = self.stored.starts[product]
        columns = np.arange(start, start + self.stored.widths[product])
        stored_others = remaining(columns, len(self.stored_at))
        others_at = remaining(self.stored_at[columns], len(self.dense_at) + len(self.stored_at))
        others: Slice = self.beside
        if len(stored_others):
            places = (np.searchsorted(others_at, at) for at in (self.dense_at, self.stored_at[stored_others]))
            rest = self.stored.columns(stored_others)
            others = SplitSlice(self.y, self.weights, self.offset, self.rows, self.beside, rest, *places)
        own = {field.name: getattr(self, field.name) for field in fields(SplitSlice)}
        return ArrowSlice(**own, product=product, others=others, others_at=others_at)

    def _joined(self, dense: np.ndarray, stored: np.ndarray) -> np.ndarray:
        """Return values of the dense and of the other columns in the order of the design."""
        out = np.empty((len(dense) + len(stored), *dense.shape[1:]))
        out[self.dense_at], out[self.stored_at] = dense, stored
        return out


@dataclass(frozen=True, slots=True, eq=False)
class ArrowSlice(SplitSlice):
    """A slice whose Gram matrices are diagonal among the columns of one product of factors.

    Attributes
    ----------
    product : int
        Its number among the coded products; without numbers, so that the elements of its columns are 0 and 1.
    others : Slice
        The same rows of all other columns.
    others_at : ndarray of shape (a,) of int
        Positions of these in the design.
    """

    product: int
    others: Slice
    others_at: np.ndarray

    def weighted_sum_and_gram(self, values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, Matrix]:
        """Return X'v and X'WX."""
        sums, gram = self.others.weighted_sum_and_gram(values, weights)
        return self._around(self._by_level(values), sums), self._arrowhead(weights, gram)

    @property
    def at(self) -> np.ndarray:
        """Positions of the product's columns in the design."""
        assert isinstance(self.stored, CodedColumns)
        start = sum(self.stored.widths[: self.product])
        return self.stored_at[start : start + self.stored.widths[self.product]]

    @property
    def _codes(self) -> np.ndarray:
        assert isinstance(self.stored, CodedColumns)
        return self.stored.codes[self.product]

    def _gram(self, weights: np.ndarray | None) -> Any:
        return self._arrowhead(weights, self.others.gram(weights))

    def _arrowhead(self, weights: np.ndarray | None, corner: Any) -> Arrowhead:
        filled = np.ones(len(self.y)) if weights is None else weights
        border = self.others.group_sums(filled, self._codes, len(self.at) + 1)[:-1]
        return Arrowhead(self._by_level(filled), border, corner, self.at, self.others_at)

    def _by_level(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of values over the rows of each level with a column."""
        return np.bincount(self._codes, values, len(self.at) + 1)[:-1]

    def _around(self, levels: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return values of the product's and of the other columns in the order of the design."""
        out = np.empty(len(levels) + len(others))
        out[self.at], out[self.others_at] = levels, others
        return out
