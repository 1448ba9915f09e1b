"""Splines as piecewise polynomials, whose coefficients are computed from formulaic's columns."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.compiled.accelerate import loop
from dask_onestep.kernels.designs.grammar import PARSING, STATEFUL, called, checked, columns_read, written
from dask_onestep.kernels.designs.terms import Factor

_SPLINES = ("bs", "cc", "cr", "cs")
# For a higher degree the powers would lose digits.
_MAX_DEGREE = 5
# Smaller values are the rounding error of a 0. A column of such values is empty, and not one that has a coefficient.
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class Spline:
    """Columns that are piecewise polynomials of a number.

    Attributes
    ----------
    argument : Factor
        The number.
    knots : ndarray of shape (k + 1,)
        Increasing; the first and the last are the boundaries.
    coefficients : ndarray of shape (q + 1, k, w)
        For each power, interval and column: the powers are those of t, which goes from −1 to 1 in an interval.
    """

    argument: Factor
    knots: np.ndarray
    coefficients: np.ndarray

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.coefficients.shape[2]

    def covers(self, values: np.ndarray) -> bool:
        """Return whether all values are within the boundaries; beyond them formulaic is used."""
        return not len(values) or bool(values.min() >= self.knots[0] and values.max() <= self.knots[-1])

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write the columns for values of shape (m,) within the boundaries into `out`, of shape (m, w)."""
        write = loop("write_polynomials", write_polynomials)
        write(np.ascontiguousarray(values, np.float64), self.knots, self.coefficients, out)


def write_polynomials(values: np.ndarray, knots: np.ndarray, coefficients: np.ndarray, out: np.ndarray) -> None:
    """Write piecewise polynomials, as the compiled loop of this name does."""
    piece = np.searchsorted(knots[1:-1], values, side="right")
    # These differences are exact at knots, however far they are from 0.
    low, high, scale = knots[:-1].take(piece), knots[1:].take(piece), (1 / np.diff(knots)).take(piece)
    t = (((values - low) - (high - values)) * scale)[:, np.newaxis]
    *others, highest = coefficients
    columns = highest.take(piece, axis=0)
    for power in reversed(others):
        columns *= t
        columns += power.take(piece, axis=0)
    columns[np.abs(columns) <= _ROUNDING] = 0.0
    out[:] = columns


def spline_of(factor: Factor, states: Mapping[str, Any]) -> Spline | None:
    """Return a factor as a spline, None if it is not a spline of a number without a state.

    It is also None if the columns are not continuous or the degree is high. `states` has formulaic's states of the
    transforms, by their calls.
    """
    call = checked(factor.name, factor.name).body
    if not isinstance(call, ast.Call) or called(call) not in _SPLINES or not call.args:
        return None
    number = call.args[0]
    if any(called(node) in STATEFUL for node in ast.walk(number)):
        return None
    known = {ast.dump(checked(text, text).body): state for text, state in states.items()}
    state = known.get(ast.dump(call))
    if state is None:
        return None
    knots, counts = np.unique(np.asarray(state["knots"], dtype=np.float64), return_counts=True)
    degree = _degree(call)
    if len(knots) < 2 or not 1 <= degree <= _MAX_DEGREE or (called(call) == "bs" and counts[1:-1].max(initial=1) > 1):
        return None
    text, columns = written(number), columns_read(number)
    argument = Factor(columns[0], None, columns) if isinstance(number, ast.Name) else Factor(text, text, columns)
    return Spline(argument, knots, _coefficients(call, state, knots, degree))


def _degree(call: ast.Call) -> int:
    if called(call) != "bs":
        return 3
    given = [keyword.value for keyword in call.keywords if keyword.arg == "degree"] + call.args[3:4]
    return int(ast.literal_eval(given[0])) if given else 3


def _coefficients(call: ast.Call, state: Any, knots: np.ndarray, degree: int) -> np.ndarray:
    """Return the polynomials that interpolate formulaic's values at as many points per interval as determine them."""
    from formulaic import Formula

    low, high = knots[:-1, np.newaxis], knots[1:, np.newaxis]
    points = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    t = ((points - low) - (high - points)) / (high - low)  # of the points as rounded, which may be far from 0
    text = ast.unparse(ast.Call(call.func, [ast.Name("x", ast.Load()), *call.args[1:]], call.keywords))
    with PARSING:
        formula, rows = Formula(f"0 + {text}"), pd.DataFrame({"x": points.ravel()})
        (name,) = formula.get_model_matrix(rows, context={}).model_spec.transform_state
        matrix = formula.get_model_matrix(rows, context={}, output="numpy", transform_state={name: state})
    values = np.asarray(matrix).reshape(*t.shape, -1)
    solved = np.linalg.solve(t[..., np.newaxis] ** np.arange(degree + 1), values)
    return np.ascontiguousarray(solved.transpose(1, 0, 2))
