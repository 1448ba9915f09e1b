"""The derivative of a design's columns with respect to a column of the table, by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.evaluation import EvaluationError, beyond_bounds, what_is_wrong
from dask_onestep.kernels.records import Findings

__all__ = ["columns_reading", "design_derivative", "with_values"]

# The truncation error of a centered difference is of order h², its rounding error of order ε/h: relative to the scale
# on which the design varies, the best step is near ε^⅓.  That scale is the column's own magnitude for a logarithm, and
# less for a spline of calendar years, so smaller steps are tried as well.
_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
_LADDER = _STEP * 10.0 ** -np.arange(6)
_TRIED_ROWS = 64
# Below this fraction of the typical magnitude, a value is 0 up to rounding, and its step is that of the magnitude.
_NOTHING = 1e-10
# A column of the design that changes by more than this fraction of its range within a step may jump there.
_JUMP = 0.01


def columns_reading(design: Design, column: str) -> np.ndarray:
    """Return which columns of the design are made of a column of the table, of shape (k,)."""
    if design.spec is None:
        return np.array([design.names.index(name) for name in design.by_term[column]], dtype=np.intp)
    reading = {factor.name for factor in design.terms.factors if column in factor.columns}
    first = int(design.terms.fit_intercept)
    found = [
        index - first
        for term, at in design.spec.term_indices.items()
        if any(factor.expr in reading for factor in term.factors)
        for index in at
    ]
    return np.array(sorted(found), dtype=np.intp)


def with_values(frame: pd.DataFrame, column: str, values: Any) -> pd.DataFrame:
    """Return a table with other values in one column; nothing else is copied."""
    return frame.assign(**{column: values})


def design_derivative(design: Design, frame: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray] | Findings:
    """Return the derivative of the design with respect to a numeric column of the table.

    Differences are centered; at the end of a domain, such as the bounds of a spline, they are one-sided and of the
    same order.

    Parameters
    ----------
    design : Design
        The design.
    frame : DataFrame of shape (m, …)
        Complete rows.
    column : str
        The column.

    Returns
    -------
    columns : ndarray of shape (k,) of int
        The columns of the design that depend on it.
    derivative : ndarray of shape (m, k)
        Their derivatives.
    """
    at = columns_reading(design, column)
    values = frame[column].to_numpy(np.float64, na_value=np.nan)
    if not len(at) or not len(values):
        return at, np.zeros((len(values), len(at)))
    try:
        step = _steps(design, frame, column, values, at)
        upper, above = _evaluated(design, frame, column, values + step, at)
        lower, below = _evaluated(design, frame, column, values - step, at)
        width = (values + step) - (values - step)
        derivative = (upper - lower) / width[:, None]
        whole = np.flatnonzero(above & below)
        if len(whole) and (jumps := _jumps(design, frame.iloc[whole], column, at, upper[whole], lower[whole])):
            return _no_slope(column, "jumps there", jumps)
        for side, rows in ((1.0, above & ~below), (-1.0, below & ~above)):
            if rows.any():
                where = np.flatnonzero(rows)
                derivative[where] = _one_sided(design, frame.iloc[where], column, side * step[where], at)
    except EvaluationError as error:
        return what_is_wrong(error, design.terms, frame, design.spec.transform_state, ())
    if undefined := int((~np.isfinite(derivative).all(axis=1) | ~(above | below)).sum()):
        return _no_slope(column, "is not differentiable there", undefined)
    return at, derivative


def _steps(design: Design, frame: pd.DataFrame, column: str, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the step of each row, relative to its magnitude: that whose derivatives a tenth of it hardly changes."""
    magnitude = np.abs(values)
    positive = magnitude[magnitude > 0]
    typical = float(positive.mean()) if len(positive) else 1.0
    unit = np.where(magnitude > _NOTHING * typical, magnitude, typical)
    if design.spec is None:
        return _STEP * unit  # the columns are linear
    rows = np.unique(np.linspace(0, len(values) - 1, _TRIED_ROWS).astype(np.intp))
    count = len(rows)
    steps = (_LADDER[:, None] * unit[rows]).ravel()
    base = np.tile(values[rows], len(_LADDER))
    tried = frame.iloc[np.tile(rows, 2 * len(_LADDER))]
    moved = np.concatenate([base + steps, base - steps])
    matrix, defined = _evaluated(design, tried, column, moved, at)
    matrix[~defined] = np.nan
    upper, lower = np.split(matrix, 2)
    slopes = ((upper - lower) / (moved[: len(steps)] - moved[len(steps) :])[:, None]).reshape(-1, count, len(at))
    known = slopes[:, np.isfinite(slopes).all(axis=(0, 2))]
    changes = np.abs(np.diff(known, axis=0)).sum(axis=(1, 2))
    return float(_LADDER[int(np.argmin(changes))]) * unit


def _evaluated(
    design: Design, frame: pd.DataFrame, column: str, values: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of the design at other values of a column, and on which rows they are defined."""
    moved = with_values(frame, column, values)
    defined = np.ones(len(values), dtype=bool)
    if design.spec is not None:
        defined = ~beyond_bounds(design.terms, moved, design.spec.transform_state)
        if not defined.all():
            # The spline would refuse all rows.
            original = frame[column].to_numpy(np.float64, na_value=np.nan)
            moved = with_values(frame, column, np.where(defined, values, original))
    matrix = design.matrix(moved)[:, at]
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return dense, defined & np.isfinite(dense).all(axis=1)


def _one_sided(design: Design, frame: pd.DataFrame, column: str, step: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (−3f(x) + 4f(x + h) − f(x + 2h))/2h, NaN where a half as long step shows that it does not converge."""
    values = frame[column].to_numpy(np.float64, na_value=np.nan)
    here = _evaluated(design, frame, column, values, at)[0]

    def difference(length: np.ndarray) -> np.ndarray:
        near, far = (_evaluated(design, frame, column, values + k * length, at) for k in (1, 2))
        found = (-3.0 * here + 4.0 * near[0] - far[0]) / (2.0 * length[:, None])
        return np.where((near[1] & far[1])[:, None], found, np.nan)

    derivative, check = difference(step), difference(step / 2)
    close = np.abs(derivative - check) <= 0.01 * np.abs(check).max(axis=1, initial=0.0)[:, None]
    return np.where(close | ~np.isfinite(check), derivative, np.nan)


def _jumps(
    design: Design, frame: pd.DataFrame, column: str, at: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> int:
    """Return on how many rows the design changes within a step by as much as from the step's middle to an end."""
    both = np.concatenate([upper, lower])
    change = np.abs(upper - lower)
    large = change > _JUMP * (both.max(axis=0) - both.min(axis=0))
    rows = np.flatnonzero(large.any(axis=1))
    if not len(rows):
        return 0
    here = design.matrix(frame.iloc[rows])[:, at]
    here = here if isinstance(here, np.ndarray) else here.toarray()
    bent = np.abs(upper[rows] - 2.0 * here + lower[rows]) > 0.5 * change[rows]
    return int((bent & large[rows]).any(axis=1).sum())


def _no_slope(column: str, why: str, count: int) -> Findings:
    what = f"{column!r} has no slope at some values, because the formula {why}"
    return Findings(((what, count, "Use avg_comparisons for this column."),), ())
