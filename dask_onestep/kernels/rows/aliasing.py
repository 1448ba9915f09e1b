"""Linear dependence of columns, determined from the R of a QR of all rows rather than from R'R.

The QR is tall and skinny: a block's R comes from its slices, and two blocks are combined by a QR of their stacked Rs
(Demmel, Grigori, Hoemmen and Langou, "Communication-optimal parallel and sequential QR and LU factorizations", SIAM
Journal on Scientific Computing 34, 2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Sums, add_pairwise
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import dense_slices
from dask_onestep.kernels.solve.basis import Basis
from dask_onestep.kernels.solve.linear_algebra import without_rounding

# Householder QR leaves an exact combination a residual of about d·1e-16 of the column's length.
EXACT = 1e-12
_QR_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class DesignFactor(Sums):
    """The R of a QR of the design; two blocks are combined by a QR of the stacked Rs.

    Attributes
    ----------
    upper : ndarray of shape (min(m, d), d)
        R, with R'R = Σ wᵢ xᵢxᵢ'; upper triangular unless a column was omitted.
    """

    upper: np.ndarray

    def __add__(self, other: DesignFactor) -> DesignFactor:
        return DesignFactor(_triangle(self.upper, other.upper))

    def along(self, directions: np.ndarray) -> DesignFactor:
        """Return the factor of the design times `directions`, such as some columns of the identity."""
        return DesignFactor(self.upper @ directions)


def _triangle(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.qr(np.concatenate([above, below]), mode="r"))


@kernel
def design_factor(rows: Rows, model: Model) -> DesignFactor:
    """Return the R of a QR of a block's design, each row multiplied by the root of its weight."""
    none = DesignFactor(np.empty((0, model.width)))
    return add_pairwise(_factors(rows, model)) if len(rows) else none


def _factors(rows: Rows, model: Model) -> Iterator[DesignFactor]:
    """Yield the factors of a few rows each: the rounding error of a QR grows with the root of its rows."""
    length = max(_QR_ROWS, 2 * model.width)
    for part in dense_slices(rows, model):
        root = part.design if part.weights is None else part.design * np.sqrt(part.weights)[:, None]
        for at in range(0, len(root), length):
            yield DesignFactor(np.asarray(np.linalg.qr(root[at : at + length], mode="r")))


def orthogonal_basis(factor: DesignFactor, *, intercept: bool) -> Basis:
    """Return the columns that are not aliased with earlier ones, each orthogonal to those before it.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.rows.aliasing import DesignFactor, orthogonal_basis
    >>> orthogonal_basis(DesignFactor(np.array([[1.0, 1.0], [0.0, 0.0]])), intercept=True).kept.tolist()
    [True, False]
    """
    lengths = np.linalg.norm(factor.upper, axis=0)
    kept = lengths > 0
    scale = np.ones(len(lengths))
    # A power of two scales without rounding; the intercept stays 1, as kernels assume.
    unit = lengths[0] if intercept and kept[:1].all() else 1.0
    scale[kept] = np.exp2(np.round(np.log2(lengths[kept]) - np.log2(unit)))
    scaled = factor.upper / scale
    # R's first row is the intercept's: the rest of a column is its deviation from its mean.
    yardstick = np.linalg.norm(scaled[int(intercept) :], axis=0)
    yardstick[: int(intercept)] = lengths[: int(intercept)]
    while True:
        columns = np.flatnonzero(kept)
        upper = np.linalg.qr(scaled[:, columns], mode="r")
        rest = np.zeros(len(columns))
        rest[: len(upper)] = np.abs(np.diag(upper))
        weak = np.flatnonzero(rest <= EXACT * yardstick[columns])
        if not len(weak):
            # What is left of a column, and the terms of its combination, from which rounding leaves as much or more.
            terms = np.abs(solve_triangular(upper, np.eye(len(columns)))).T @ (lengths / scale)[columns]
            weak = np.flatnonzero(terms * _rounding(len(lengths)) >= 1)
        if not len(weak):
            break
        kept[columns[weak[0]]] = False
    values = np.linalg.svd(upper / np.linalg.norm(upper, axis=0), compute_uv=False)
    condition = float((values[0] / values[-1]) ** 2) if len(values) else 1.0
    unit_upper = np.asfortranarray(upper / np.diag(upper)[:, None])
    weights = np.linalg.lstsq(scaled[:, kept], scaled[:, ~kept], rcond=None)[0]
    aliased = without_rounding(weights * scale[~kept] / scale[kept][:, None], lengths, kept)
    return Basis(kept, scale[kept], unit_upper, condition, intercept and bool(kept[:1].all()), aliased)


@dataclass(frozen=True, slots=True)
class Dependence:
    """How close a column is to a combination of those before it.

    Attributes
    ----------
    name : str
        The column.
    share : float
        Length of its residual on the columns before it, relative to its length about its mean.
    combination : tuple of (str, float)
        The columns that it is a combination of, with their coefficients.
    """

    name: str
    share: float
    combination: tuple[tuple[str, float], ...]

    @property
    def exact(self) -> bool:
        """Whether nothing but rounding is left of it."""
        return self.share <= EXACT


def dependences(
    factor: DesignFactor, names: tuple[str, ...], kept: np.ndarray, *, intercept: bool
) -> tuple[Dependence, ...]:
    """Return, for each aliased column, its dependence on the kept columns."""
    found = []
    scale = np.linalg.norm(factor.upper, axis=0)
    scale[scale == 0] = 1.0
    scaled = factor.upper / scale
    first = int(intercept)
    for column in np.flatnonzero(~kept):
        before = np.flatnonzero(kept[:column])
        weights, _, _, _ = np.linalg.lstsq(scaled[:, before], scaled[:, column], rcond=None)
        rest = float(np.linalg.norm(scaled[:, column] - scaled[:, before] @ weights))
        # R's first row is the intercept's: the rest of a column is its deviation from its mean. The intercept itself,
        # which is aliased if no row has any weight left, is compared with its own length.
        about_mean = float(np.linalg.norm(scaled[min(first, column) :, column]))
        parts = tuple(
            (names[i], float(weight * scale[column] / scale[i]))
            for i, weight in zip(before, weights, strict=True)
            if abs(weight) > 1e-8
        )
        # For an uncentered column, a small residual may be only rounding.
        share = rest / about_mean if rest > _rounding(len(names)) else 0.0
        found.append(Dependence(names[column], share, parts))
    return tuple(found)


def _rounding(d: int) -> float:
    """Return the fraction of its terms' lengths that rounding can leave of a combination of d columns.

    A QR of 1,024 rows leaves about 20 epsilon of a constant next to the intercept, and little more of those of pairs
    of pairs, however many the rows.
    """
    return (64 + 8 * d) * float(np.finfo(np.float64).eps)
