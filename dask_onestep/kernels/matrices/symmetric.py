"""Matrices of many coefficients that are stored by their structure: arrowheads, and their inverses.

The information of a model with a factor of many levels is diagonal among the levels, since no row has two of them. With
k levels and a other columns it takes k·(a + 1) + a² numbers instead of (k + a)². Its inverse is a diagonal matrix plus
a product HH' of rank a (Schur complement; Golub and Van Loan, "Matrix Computations", section 3.2.11).

Both behave like arrays in sums and products. Whatever else NumPy does with them, such as ``np.asarray``, is done with
the full matrix, which is refused if it is larger than `MATRIX_BYTES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Self

import numpy as np

# An ndarray, or one of the matrices here; both have the operations of `Structured`.
Matrix = Any
# Maximum memory of a matrix of coefficients: full for 11,585 of them.
MATRIX_BYTES = 2**30


def refuse_large(size: int, d: int, what: str, remedy: str) -> None:
    """Raise a ValueError if a matrix of d coefficients takes more than `MATRIX_BYTES`."""
    if size > MATRIX_BYTES:
        raise ValueError(
            f"{what} of {d:,} coefficients takes {size / 1e6:,.0f} MB, more than {MATRIX_BYTES / 1e6:,.0f} MB. {remedy}"
        )


class Structured(ABC):
    """A symmetric matrix of shape (d, d) that is not stored element by element."""

    __slots__ = ()
    __array_ufunc__ = None  # so that NumPy leaves sums and products with arrays to this class
    ndim = 2

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory."""

    @abstractmethod
    def diagonal(self) -> np.ndarray:
        """Return the diagonal, of shape (d,)."""

    @abstractmethod
    def minor(self, index: np.ndarray) -> Structured | np.ndarray:
        """Return the rows and columns with these numbers, which increase, or of a mask."""

    @abstractmethod
    def toarray(self) -> np.ndarray:
        """Return all elements."""

    @abstractmethod
    def __matmul__(self, other: np.ndarray) -> np.ndarray:
        """Return the product with a vector or a matrix."""

    @abstractmethod
    def __mul__(self, factor: float) -> Self:
        """Return a multiple."""

    def columns(self, numbers: np.ndarray) -> np.ndarray:
        """Return some columns, of shape (d, m)."""
        units = np.zeros((len(self), len(numbers)))
        units[numbers, np.arange(len(numbers))] = 1.0
        return self @ units

    def __len__(self) -> int:
        return self.shape[0]

    def __rmul__(self, factor: float) -> Self:
        return self * factor

    def __truediv__(self, divisor: float) -> Self:
        return self * (1.0 / divisor)

    def __rmatmul__(self, other: np.ndarray) -> np.ndarray:
        return (self @ other.T).T

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        remedy = "Use its diagonal(), or minor(numbers) for some of the coefficients."
        refuse_large(8 * len(self) ** 2, len(self), "The full matrix", remedy)
        full = self.toarray()
        return full if dtype is None else full.astype(dtype, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Arrowhead(Structured):
    """A symmetric matrix that is diagonal among k of its rows.

    Attributes
    ----------
    levels : ndarray of shape (k,)
        The diagonal among these rows.
    border : ndarray of shape (k, a)
        Their elements in the other columns.
    corner : ndarray of shape (a, a)
        The elements among the other rows.
    at, rest : ndarray of shape (k,) and (a,) of int
        The positions of the rows, increasing.
    """

    levels: np.ndarray
    border: np.ndarray
    corner: np.ndarray
    at: np.ndarray
    rest: np.ndarray

    @classmethod
    def zeros(cls, at: np.ndarray, d: int) -> Arrowhead:
        """Return a matrix of zeros."""
        rest = remaining(at, d)
        k, a = len(at), len(rest)
        return cls(np.zeros(k), np.zeros((k, a)), np.zeros((a, a)), at, rest)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        d = len(self.at) + len(self.rest)
        return d, d

    @property
    def nbytes(self) -> int:
        """Memory."""
        return sum(part.nbytes for part in (self.levels, self.border, self.corner, self.at, self.rest))

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Arrowhead) or not self._is_like(other):
            return np.asarray(self) + np.asarray(other)
        return replace(
            self,
            levels=self.levels + other.levels,
            border=self.border + other.border,
            corner=self.corner + other.corner,
        )

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __sub__(self, other: Any) -> Any:
        return self + -1.0 * other

    def __rsub__(self, other: Any) -> Any:
        return -1.0 * self + other

    def __mul__(self, factor: float) -> Arrowhead:
        return replace(self, levels=self.levels * factor, border=self.border * factor, corner=self.corner * factor)

    def __matmul__(self, other: np.ndarray) -> np.ndarray:
        at, rest = other[self.at], other[self.rest]
        out = np.empty(other.shape)
        out[self.at] = (self.levels * at.T).T + self.border @ rest
        out[self.rest] = self.border.T @ at + self.corner @ rest
        return out

    def diagonal(self) -> np.ndarray:
        """Return the diagonal."""
        out = np.empty(len(self))
        out[self.at], out[self.rest] = self.levels, np.diagonal(self.corner)
        return out

    def minor(self, index: np.ndarray) -> Arrowhead | np.ndarray:
        """Return some rows and columns; an array if none of the k is among them."""
        place = np.full(len(self), -1)
        place[index] = np.arange(len(place[index]))
        at, rest = place[self.at] >= 0, place[self.rest] >= 0
        part = Arrowhead(
            self.levels[at],
            self.border[np.ix_(at, rest)],
            self.corner[np.ix_(rest, rest)],
            place[self.at[at]],
            place[self.rest[rest]],
        )
        return part if at.any() else part.corner

    def toarray(self) -> np.ndarray:
        """Return all elements."""
        out = np.zeros(self.shape)
        out[self.at, self.at] = self.levels
        out[np.ix_(self.at, self.rest)] = self.border
        out[np.ix_(self.rest, self.at)] = self.border.T
        out[np.ix_(self.rest, self.rest)] = self.corner
        return out

    def is_finite(self) -> bool:
        """Return whether all elements are finite."""
        return all(bool(np.isfinite(part).all()) for part in (self.levels, self.border, self.corner))

    def _is_like(self, other: Arrowhead) -> bool:
        return self.shape == other.shape and np.array_equal(self.at, other.at)


@dataclass(frozen=True, slots=True, eq=False)
class DiagonalPlusProduct(Structured):
    """A positive semidefinite matrix diag(e) + HQH', such as the inverse of an arrowhead matrix, or a sandwich with it.

    Attributes
    ----------
    own : ndarray of shape (d,)
        e, not negative.
    half : ndarray of shape (d, r)
        H.
    known : ndarray of shape (d,) of bool
        The rows and columns that are not NaN.
    inner : ndarray of shape (r, r) or None
        Q, symmetric; None for ones on its diagonal.
    """

    own: np.ndarray
    half: np.ndarray
    known: np.ndarray
    inner: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.own), len(self.own)

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.own.nbytes + self.half.nbytes + self.known.nbytes

    def __mul__(self, factor: float) -> DiagonalPlusProduct:
        return replace(self, own=self.own * factor, half=self.half * np.sqrt(factor))

    def __matmul__(self, other: np.ndarray) -> np.ndarray:
        if not self.known.all():  # as sums over NaN are
            return np.full(other.shape, np.nan)
        return (self.own * other.T).T + self.inward @ (self.half.T @ other)

    def diagonal(self) -> np.ndarray:
        """Return the diagonal."""
        return np.where(self.known, self.own + np.einsum("ij,ij->i", self.inward, self.half), np.nan)

    def minor(self, index: np.ndarray) -> np.ndarray:
        """Return some rows and columns."""
        return replace(self, own=self.own[index], half=self.half[index], known=self.known[index]).toarray()

    def toarray(self) -> np.ndarray:
        """Return all elements."""
        out = self.inward @ self.half.T
        out[np.diag_indices_from(out)] += self.own
        out[~self.known] = out[:, ~self.known] = np.nan
        return out

    @property
    def inward(self) -> np.ndarray:
        """HQ, of shape (d, r)."""
        return self.half if self.inner is None else self.half @ self.inner

    def sandwich(self, matrix: Arrowhead) -> DiagonalPlusProduct:
        """Return VMV for this inverse V of an arrowhead matrix and one of the same structure.

        With e = 0 beyond the levels it is diag(e²m) + WH' + HW' + H(H'MH)H', W = diag(e)MH and m the diagonal of M.
        """
        product = matrix @ self.half
        outer, one = (self.own * product.T).T, np.eye(product.shape[1])
        inner = np.block([[self.half.T @ product, one], [one, np.zeros_like(one)]])
        own = self.own**2 * matrix.diagonal()
        return replace(self, own=own, half=np.hstack([self.half, outer]), inner=inner)

    def without(self, unknown: np.ndarray) -> DiagonalPlusProduct:
        """Return the matrix with NaN in some more rows and columns."""
        return replace(self, known=self.known & ~unknown)

    def trace_of_product(self, matrix: Matrix) -> float:
        """Return tr(VM) for this matrix V, without NaN, and a symmetric M."""
        return float(self.own @ matrix.diagonal() + np.vdot(self.half, matrix @ self.half))

    def trace_of_squared_product(self, matrix: Matrix) -> float:
        """Return tr(VMVM); an arrowhead M is diagonal where e is not 0."""
        own, product = self.own, matrix @ self.half
        if isinstance(matrix, Arrowhead):
            among = float(np.square(own * matrix.diagonal()).sum())
        else:
            among = float(own @ np.square(matrix) @ own)
        inner = self.half.T @ product
        return among + 2.0 * float(own @ np.square(product).sum(axis=1)) + float(np.vdot(inner, inner))

    def sandwich_diagonal(self, matrix: Matrix) -> np.ndarray:
        """Return the diagonal of VMV, of shape (d,)."""
        product = matrix @ self.half
        around = self.half @ (self.half.T @ product)
        crossed = 2.0 * self.own * np.einsum("ij,ij->i", product, self.half)
        return self.own**2 * matrix.diagonal() + crossed + np.einsum("ij,ij->i", around, self.half)

    def filled(self) -> DiagonalPlusProduct:
        """Return the matrix with 0 in place of NaN."""
        return replace(
            self,
            own=np.where(self.known, self.own, 0.0),
            half=np.where(self.known[:, None], self.half, 0.0),
            known=np.ones_like(self.known),
        )


def is_finite(values: Any) -> bool:
    """Return whether numbers, an array or a matrix are finite."""
    if isinstance(values, (float, int)):
        return isfinite(values)
    return values.is_finite() if isinstance(values, Arrowhead) else bool(np.isfinite(values).all())


def filled(matrix: Matrix) -> Any:
    """Return a matrix with 0 in place of NaN."""
    if isinstance(matrix, Structured):
        return matrix.filled() if isinstance(matrix, DiagonalPlusProduct) else matrix
    return np.nan_to_num(matrix)


def remaining(numbers: np.ndarray, d: int) -> np.ndarray:
    """Return the other numbers from 0 to d − 1."""
    rest = np.ones(d, dtype=bool)
    rest[numbers] = False
    return np.flatnonzero(rest)


def minor(matrix: Matrix, index: np.ndarray) -> Any:
    """Return some rows and columns of a symmetric matrix, by their increasing numbers or a mask."""
    return matrix.minor(index) if isinstance(matrix, Structured) else matrix[np.ix_(index, index)]


def selected_columns(matrix: Matrix, numbers: np.ndarray) -> np.ndarray:
    """Return some columns of a matrix, of shape (d, m)."""
    return matrix.columns(numbers) if isinstance(matrix, Structured) else matrix[:, numbers]


def unpacked(triangles: np.ndarray) -> np.ndarray:
    """Return symmetric matrices of shape (G, d, d) from their upper triangles."""
    d = int((np.sqrt(8 * triangles.shape[1] + 1) - 1) / 2)
    above = np.triu_indices(d)
    matrices = np.empty((len(triangles), d, d))
    matrices[:, above[0], above[1]] = triangles
    matrices[:, above[1], above[0]] = triangles
    return matrices


def packed(matrix: Matrix) -> np.ndarray | None:
    """Return the upper triangle of an array that is symmetric bit by bit; None for other matrices."""
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or not np.array_equal(matrix, matrix.T):
        return None
    return matrix[np.triu_indices(len(matrix))]
