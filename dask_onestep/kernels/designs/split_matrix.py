"""Covariates with dense columns, and other columns whose zeros are not stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.table import is_finite
from dask_onestep.kernels.matrices.columns import SparseColumns, StoredColumns
from dask_onestep.kernels.records import Record


@dataclass(frozen=True, slots=True, eq=False)
class SplitMatrix(Record):
    """A matrix of m rows and p columns, part dense and part without stored zeros; indexed like an array.

    Attributes
    ----------
    dense : ndarray or DenseColumns of shape (m, a)
        The dense columns, float64.
    stored : StoredColumns of shape (m, b)
        The other columns, a + b = p.
    dense_at, stored_at : ndarray of shape (a,) and (b,) of int
        Their positions in the matrix, increasing.
    """

    dense: Any
    stored: StoredColumns
    dense_at: np.ndarray
    stored_at: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.dense), len(self.dense_at) + len(self.stored_at)

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """float64."""
        return self.dense.dtype

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.dense.nbytes + self.stored.nbytes

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, index: Any) -> Any:
        """Return rows or, with two indices, columns; a single column is an array."""
        if not isinstance(index, tuple):
            return replace(self, dense=self.dense[index], stored=self.stored.rows(index))
        rows, columns = index
        if isinstance(columns, (int, np.integer)):
            return self._column(int(columns))[rows]
        return self[rows]._columns(np.arange(self.shape[1])[columns])

    def _column(self, number: int) -> np.ndarray:
        if (at := np.flatnonzero(self.dense_at == number)).size:
            return self.dense[:, at[0]]
        return self.stored.columns(np.flatnonzero(self.stored_at == number)).toarray()[:, 0]

    def _columns(self, wanted: np.ndarray) -> SplitMatrix:
        place = np.full(self.shape[1], -1)
        place[wanted] = np.arange(len(wanted))
        dense, stored = place[self.dense_at] >= 0, place[self.stored_at] >= 0
        return SplitMatrix(
            self.dense[:, dense],
            self.stored.columns(np.flatnonzero(stored)),
            place[self.dense_at[dense]],
            place[self.stored_at[stored]],
        )

    def spread(self, complete: np.ndarray) -> SplitMatrix:
        """Return the rows in the places that are True, with rows of NaN between them."""
        dense = np.full((len(complete), self.dense.shape[1]), np.nan)
        dense[complete] = self.dense
        # Without a dense column, another one holds the NaN.
        return replace(self, dense=dense, stored=self.stored.spread(complete, mark=not self.dense.shape[1]))

    def write(self, out: np.ndarray) -> None:
        """Write all columns into an array of shape (m, p)."""
        out[:, self.stored_at] = self.stored.toarray()
        out[:, self.dense_at] = self.dense

    def toarray(self) -> np.ndarray:
        """Return the matrix as an array of shape (m, p)."""
        out = np.empty(self.shape)
        self.write(out)
        return out


def written(x: Any) -> np.ndarray | SplitMatrix:
    """Return a matrix with its dense columns as an array."""
    return replace(x, dense=np.asarray(x.dense)) if isinstance(x, SplitMatrix) else np.asarray(x)


def elements(x: Any) -> tuple[Any, ...]:
    """Return the arrays that a matrix consists of, or from which it is written."""
    dense, stored = (x.dense, x.stored.elements) if isinstance(x, SplitMatrix) else (x, ())
    return (*(dense.elements if isinstance(dense, DenseColumns) else (dense,)), *stored)


def split_sparse(x: Any) -> SplitMatrix | np.ndarray:
    """Return a scipy sparse matrix or array of numbers with all columns sparse; as an array if it is not numeric."""
    if x.dtype.kind not in "biuf":
        return x.toarray()
    rows = sparse.csr_array(x)
    if rows.dtype != np.float64:
        rows = rows.astype(np.float64)
    if not rows.has_canonical_format:
        rows = rows.copy()  # the caller's matrix is not changed
        rows.sum_duplicates()
    columns = np.arange(rows.shape[1])
    return SplitMatrix(np.empty((rows.shape[0], 0)), SparseColumns(rows), columns[:0], columns)


def stack(parts: Sequence[Any]) -> Any:
    """Return the concatenated rows of matrices, all arrays or all split alike."""
    if not isinstance(parts[0], SplitMatrix):
        return np.concatenate(parts)
    return replace(
        parts[0],
        dense=np.concatenate([part.dense for part in parts]),
        stored=parts[0].stored.stacked([part.stored for part in parts[1:]]),
    )


def count_by_column(x: np.ndarray | SplitMatrix, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return how many elements of each column pass a test that 0 does not pass."""
    if not isinstance(x, SplitMatrix):
        return test(x).sum(axis=0)
    counts = np.zeros(x.shape[1], dtype=np.intp)
    counts[x.dense_at] = test(x.dense).sum(axis=0)
    counts[x.stored_at] = x.stored.count(test)
    return counts


def finite_rows(x: np.ndarray | DenseColumns | SplitMatrix) -> np.ndarray:
    """Return which rows are finite in all columns."""
    if isinstance(x, SplitMatrix):
        return finite_rows(x.dense) & x.stored.finite_rows()
    return np.ones(len(x), bool) if is_finite(x) else np.isfinite(np.asarray(x)).all(axis=1)
