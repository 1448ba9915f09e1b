"""Columns without a coefficient, and the rows whose predictions depend on one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, finite_rows
from dask_onestep.kernels.records import Record

# Relative difference of a column from a combination that is more than rounding.
_DIFFERENT = 1e-4
# The same, relative to the column's size in the fit.
_NEGLIGIBLE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class AliasedColumn(Record):
    """A column without a coefficient, and the combination of other columns that it was in all rows of the fit.

    Attributes
    ----------
    column : int
        Its number.
    others : tuple of int
        The other columns, −1 for the constant; none if the column was 0, as where a level did not occur.
    weights : tuple of float
        Their weights.
    scale : float
        The column's root mean square in the fit.
    """

    column: int
    others: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    scale: float = 0.0


def unknown_effects(
    matrix: np.ndarray | DenseColumns | SplitMatrix, aliased: Sequence[AliasedColumn], names: Sequence[str]
) -> tuple[np.ndarray, str]:
    """Return which rows have a linear predictor that no row of the fit tells, and why.

    There a column without a coefficient is not the combination of others that it was in the fit. Rows of NaN are
    not included.
    """
    if not aliased:
        return np.zeros(len(matrix), dtype=bool), ""
    columns = [each.column for each in aliased]
    others = sorted({other for each in aliased for other in each.others if other >= 0})
    weights = np.zeros((len(others) + 1, len(columns)))
    for at, each in enumerate(aliased):
        weights[[others.index(other) if other >= 0 else -1 for other in each.others], at] = each.weights
    values, rest = (_dense(matrix[:, at]) for at in (columns, others))
    rest = np.column_stack([rest, np.ones(len(matrix))])
    size = np.abs(values) + np.abs(rest) @ np.abs(weights)
    least = _NEGLIGIBLE * np.array([each.scale for each in aliased])
    differ = np.abs(values - rest @ weights) > np.maximum(_DIFFERENT * size, least)
    differ &= finite_rows(matrix)[:, np.newaxis]
    found = np.flatnonzero(differ.any(axis=0)).tolist()
    empty = [names[columns[at]] for at in found if not aliased[at].others]
    combined = [names[columns[at]] for at in found if aliased[at].others]
    reasons = [f"fit had no rows with {', '.join(empty)}, so their coefficients are unknown"] if empty else []
    if combined:
        reasons.append(
            f"{', '.join(combined)} had no coefficient of its own in fit, as a combination of other columns that "
            "it is not here"
        )
    return differ.any(axis=1), "; ".join(reasons)


def _dense(matrix: np.ndarray | SplitMatrix) -> np.ndarray:
    return matrix.toarray() if isinstance(matrix, SplitMatrix) else np.asarray(matrix, np.float64)
