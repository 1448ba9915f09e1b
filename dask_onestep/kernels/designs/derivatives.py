"""Numerical derivatives of a design's columns with respect to a column of the table."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.evaluation import EvaluationError, beyond_bounds, what_is_wrong
from dask_onestep.kernels.designs.specification import without_terms
from dask_onestep.kernels.records import Findings

# The truncation error of a centered difference is of order h², its rounding error of order ε/h: relative to the scale
# on which the design varies, the best step is near ε^⅓. That scale is the column's own magnitude for a logarithm, and
# less for a spline of calendar years, so smaller steps are tried as well.
_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
_LADDER = _STEP * 10.0 ** -np.arange(6)
_TRIED_ROWS = 64
# A value below this fraction of the typical magnitude is 0 up to rounding, and its step is that of the magnitude.
_NOTHING = 1e-10
# A column of the design that changes by more than this fraction of its range within a step may have a jump there.
_JUMP = 0.01


def depending(design: Design, columns: Collection[str]) -> tuple[np.ndarray, Design]:
    """Return which columns of the design depend on columns of the table, and a design of only these."""
    reading = {factor.name for factor in design.terms.factors if not set(columns).isdisjoint(factor.columns)}
    if design.spec is None:
        kept, factors, spec = reading, reading, None
        at = np.concatenate([np.arange(0), *(p.columns for p in design.products if p.term in kept)])
    else:
        of_term = {str(term): {factor.expr for factor in term.factors} for term in design.spec.term_indices}
        kept = {term for term, names in of_term.items() if not names.isdisjoint(reading)}
        factors = set().union(*(of_term[term] for term in kept))
        spec = without_terms(design.spec, of_term.keys() - kept - {"1"})
        places = [i for term, indices in design.spec.term_indices.items() if str(term) in kept for i in indices]
        at = np.array(sorted(places), dtype=np.intp) - int(design.terms.fit_intercept)
    products = tuple(
        replace(each, first=int(np.searchsorted(at, each.first))) for each in design.products if each.term in kept
    )
    own = tuple(factor for factor in design.terms.factors if factor.name in factors)
    read = tuple(dict.fromkeys(c for factor in (*own, *design.terms.offsets) for c in factor.columns))
    part = replace(
        design,
        terms=replace(design.terms, factors=own, columns=read),
        names=tuple(design.names[index] for index in at),
        levels=tuple((factor, levels) for factor, levels in design.levels if factor.name in factors),
        spec=spec,
        products=products,
        rest=None if spec is None else without_terms(spec, {each.term for each in products}),
    )
    return at, part


def with_values(frame: pd.DataFrame, column: str, values: Any) -> pd.DataFrame:
    """Return a table with other values in one column, copying nothing else."""
    frame = frame.copy(deep=False)
    frame[column] = values
    return frame


@dataclass(frozen=True, slots=True, eq=False)
class Derivative:
    """The derivative of the predictor of m rows with respect to a column of the table.

    Attributes
    ----------
    columns : ndarray of shape (k,) of int
        The columns of the design that depend on it.
    design : ndarray of shape (m, k)
        Their derivatives.
    offset : ndarray of shape (m,) or None
        The derivative of the formula's offset; None if it does not depend on the column.
    """

    columns: np.ndarray
    design: np.ndarray
    offset: np.ndarray | None = None


def design_derivative(design: Design, frame: pd.DataFrame, column: str) -> Derivative | Findings:
    """Return the derivative of the design with respect to a numeric column, or on how many rows there is none.

    Differences are centered; at the end of a domain, such as the bounds of a spline, they are one-sided and of the same
    order. All rows of `frame` must be complete.
    """
    read = _Read(*depending(design, (column,)), column)
    values = _numbers(frame, column)
    try:
        derivative = _differences(read, frame, values) if len(values) else np.zeros((0, read.width))
    except EvaluationError as error:
        states = {} if design.spec is None else design.spec.transform_state
        return what_is_wrong(error, design.terms, frame, states, ())
    if isinstance(derivative, Findings):
        return derivative
    k = len(read.at)
    return Derivative(read.at, derivative[:, :k], derivative[:, k] if read.in_offset else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """The columns of a design that depend on a column of the table, and the formula's offset as the last one."""

    at: np.ndarray
    design: Design
    column: str

    @property
    def in_offset(self) -> bool:
        return any(self.column in factor.columns for factor in self.design.terms.offsets)

    @property
    def width(self) -> int:
        return len(self.at) + self.in_offset

    def at_values(self, frame: pd.DataFrame, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns, of shape (m, width), for other values of the table's column, and where these exist."""
        moved = with_values(frame, self.column, values)
        defined = np.ones(len(values), dtype=bool)
        if self.design.spec is not None:
            defined = ~beyond_bounds(self.design.terms, moved, self.design.spec.transform_state)
            if not defined.all():
                # A spline would reject all rows.
                moved = with_values(frame, self.column, np.where(defined, values, _numbers(frame, self.column)))
        matrix = self.design.matrix(moved)
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        if self.in_offset:
            dense = np.column_stack([dense, np.asarray(self.design.terms.offset(moved), dtype=np.float64)])
        return dense, defined & np.isfinite(dense).all(axis=1)


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].to_numpy(np.float64, na_value=np.nan)


def _differences(read: _Read, frame: pd.DataFrame, values: np.ndarray) -> np.ndarray | Findings:
    step = _steps(read, frame, values)
    upper, above = read.at_values(frame, values + step)
    lower, below = read.at_values(frame, values - step)
    derivative = (upper - lower) / ((values + step) - (values - step))[:, None]
    whole = np.flatnonzero(above & below)
    if len(whole) and (jumps := _jumps(read, frame.iloc[whole], upper[whole], lower[whole])):
        return _no_slope(read.column, "jumps there", jumps)
    for side, rows in ((1.0, above & ~below), (-1.0, below & ~above)):
        if rows.any():
            where = np.flatnonzero(rows)
            derivative[where] = _one_sided(read, frame.iloc[where], side * step[where])
    if undefined := int((~np.isfinite(derivative).all(axis=1) | ~(above | below)).sum()):
        return _no_slope(read.column, "is not differentiable there", undefined)
    return derivative


def _steps(read: _Read, frame: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Return the step of each row, relative to its magnitude: one at which the derivatives have converged."""
    magnitude = np.abs(values)
    positive = magnitude[magnitude > 0]
    typical = float(positive.mean()) if len(positive) else 1.0
    unit = np.where(magnitude > _NOTHING * typical, magnitude, typical)
    if read.design.spec is None:
        return _STEP * unit  # the columns are linear
    rows = np.unique(np.linspace(0, len(values) - 1, _TRIED_ROWS).astype(np.intp))
    steps = (_LADDER[:, None] * unit[rows]).ravel()
    base = np.tile(values[rows], len(_LADDER))
    moved = np.concatenate([base + steps, base - steps])
    found, defined = read.at_values(frame.iloc[np.tile(rows, 2 * len(_LADDER))], moved)
    found[~defined] = np.nan
    upper, lower = np.split(found, 2)
    slopes = (upper - lower) / (moved[: len(steps)] - moved[len(steps) :])[:, None]
    slopes = slopes.reshape(len(_LADDER), len(rows), read.width)
    known = slopes[:, np.isfinite(slopes).all(axis=(0, 2))]
    changes = np.abs(np.diff(known, axis=0)).sum(axis=(1, 2))
    return float(_LADDER[int(np.argmin(changes))]) * unit


def _one_sided(read: _Read, frame: pd.DataFrame, step: np.ndarray) -> np.ndarray:
    """Return (−3f(x) + 4f(x + h) − f(x + 2h))/2h, or NaN where half the step shows that it has not converged."""
    values = _numbers(frame, read.column)
    here = read.at_values(frame, values)[0]

    def difference(length: np.ndarray) -> np.ndarray:
        near, far = (read.at_values(frame, values + k * length) for k in (1, 2))
        found = (-3.0 * here + 4.0 * near[0] - far[0]) / (2.0 * length[:, None])
        return np.where((near[1] & far[1])[:, None], found, np.nan)

    derivative, check = difference(step), difference(step / 2)
    close = np.abs(derivative - check) <= 0.01 * np.abs(check).max(axis=1, initial=0.0)[:, None]
    return np.where(close | ~np.isfinite(check), derivative, np.nan)


def _jumps(read: _Read, frame: pd.DataFrame, upper: np.ndarray, lower: np.ndarray) -> int:
    """Return on how many rows the design changes within a step by as much as between the step's center and an end."""
    both = np.concatenate([upper, lower])
    change = np.abs(upper - lower)
    large = change > _JUMP * (both.max(axis=0) - both.min(axis=0))
    rows = np.flatnonzero(large.any(axis=1))
    if not len(rows):
        return 0
    here = read.at_values(frame.iloc[rows], _numbers(frame.iloc[rows], read.column))[0]
    bent = np.abs(upper[rows] - 2.0 * here + lower[rows]) > 0.5 * change[rows]
    return int((bent & large[rows]).any(axis=1).sum())


def _no_slope(column: str, why: str, count: int) -> Findings:
    what = f"{column!r} has no slope at some values, because the formula {why}"
    return Findings(((what, count, "Use avg_comparisons for this column."),), ())
