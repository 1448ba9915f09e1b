"""Sums of predicted responses and of slopes, by group, with columns of the table set or shifted for all rows.

For a row with linear predictors η (one, or one per class except the first) the responses are μ_r(η). The sums of a
scenario are Σ wᵢ μ_r(ηᵢ) and Σ wᵢ ∂μ_r/∂β. The slope in a column of the table is Σ_a ∂μ_r/∂η_a · (∂xᵢ'/∂column) β_a,
where the design is differentiated numerically.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from dask_onestep.kernels.designs.derivatives import Derivative, depending, design_derivative, with_values
from dask_onestep.kernels.designs.design import Design, column_levels
from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.likelihood.known_rows import KnownRows, numeric_column
from dask_onestep.kernels.likelihood.predictions import predictable_rows
from dask_onestep.kernels.model import Likelihood, Model
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.threads import aligned

# Relative step in η for differentiating slopes, as suits a centered difference.
_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
_SMALL = 1e-3


@dataclass(frozen=True)
class Scenario:
    """Changed column values under which all rows are predicted, or the column whose slope is computed.

    Attributes
    ----------
    values : tuple of (str, object)
        Columns and the value that each is set to.
    shifts : tuple of (str, float)
        Columns and what is added to each.
    slope : str or None
        The column whose slope is summed instead of the response.
    binary : str or None
        The sums are computed only if this column is 0 or 1 in all rows.
    """

    values: tuple[tuple[str, Any], ...] = ()
    shifts: tuple[tuple[str, float], ...] = ()
    slope: str | None = None
    binary: str | None = None

    @property
    def text(self) -> str:
        """A description of the scenario."""
        words = [f"{name} = {value}" for name, value in self.values]
        return ", ".join([*words, *(f"{name} {'+' if by >= 0 else '-'} {abs(by):g}" for name, by in self.shifts)])


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioSums:
    """Sums of a scenario by group, as in `EffectSums`, and each row's response or slope, of shape (m, r)."""

    total: np.ndarray
    jacobian: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows with everything that does not depend on the scenario.

    Attributes
    ----------
    known : KnownRows
        The rows.
    model : Model
        The model for predictions.
    by_predictor : ndarray of shape (d, c)
        β̂, one column per linear predictor.
    linear : ndarray of shape (m, c)
        x'β̂, without the offset.
    weights : ndarray of shape (m,)
        Weights, or ones.
    codes : ndarray of shape (m,) of int
        The rows' groups.
    count : int
        G, the number of groups.
    """

    known: KnownRows
    model: Model
    by_predictor: np.ndarray
    linear: np.ndarray
    weights: np.ndarray
    codes: np.ndarray
    count: int

    def sums(self, values: np.ndarray, jacobian: np.ndarray) -> ScenarioSums:
        """Return the sums of row values of shape (m, r) with a Jacobian of shape (G, r, c, d)."""
        total = summed_by_group(self.weights[:, None] * values, self.codes, self.count)
        return ScenarioSums(total, jacobian.reshape(*jacobian.shape[:2], -1), values)


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """Design columns changed by a scenario: their numbers (counting the constant), their model and their rows."""

    at: np.ndarray
    model: Model
    rows: Rows


def scenario_sums(scenario: Scenario, piece: Piece) -> ScenarioSums | Findings:
    """Return the sums of a scenario."""
    if scenario.slope is not None:
        derivative = _derivative(piece.known.table, piece.model, scenario.slope)
        return derivative if isinstance(derivative, Findings) else _slope_sums(derivative, piece)
    if not (scenario.values or scenario.shifts):
        return _response_sums(None, piece)
    changed = _changed(scenario, piece.known, piece.model)
    return changed if isinstance(changed, Findings) else _response_sums(changed, piece)


def _response_sums(changed: _Changed | None, piece: Piece) -> ScenarioSums:
    """Return the sums of the responses, with some columns of the design changed."""
    rows, eta = piece.known.rows, piece.linear
    offset = rows.offset
    if changed is not None:
        coef, first = piece.by_predictor[changed.at], int(piece.model.has_constant)
        before = replace(rows, x=_columns(rows.x, changed.at - first))
        eta = (
            eta - linear_predictors(before, changed.model, coef) + linear_predictors(changed.rows, changed.model, coef)
        )
        offset = changed.rows.offset
    value, gradient = piece.model.likelihood.responses(eta if offset is None else eta + offset[:, None])
    weighted = piece.weights[:, None, None] * gradient
    jacobian = _weighted_sums(rows, piece.model, weighted, piece.codes, piece.count)
    if changed is not None:
        own = _weighted_sums(changed.rows, changed.model, weighted, piece.codes, piece.count)
        jacobian[..., changed.at] = own
    return piece.sums(value, jacobian)


def _slope_sums(derivative: Derivative, piece: Piece) -> ScenarioSums:
    """Return the sums of the slopes."""
    rows, likelihood, at = piece.known.rows, piece.model.likelihood, derivative.columns
    eta = piece.linear if rows.offset is None else piece.linear + rows.offset[:, None]
    along = derivative.design @ piece.by_predictor[at]  # derivative of the linear predictors, of shape (m, c)
    if derivative.offset is not None:
        along += derivative.offset[:, None]
    _, slope = likelihood.responses(eta)
    turning = piece.weights[:, None, None] * _turning(likelihood, eta, along)
    jacobian = _weighted_sums(rows, piece.model, turning, piece.codes, piece.count)
    # The slopes of the linear predictors depend on β, too.
    for r, c in np.ndindex(*slope.shape[1:]):
        own = summed_by_group((piece.weights * slope[:, r, c])[:, None] * derivative.design, piece.codes, piece.count)
        jacobian[:, r, c][:, at] += own
    return piece.sums(np.einsum("irc,ic->ir", slope, along), jacobian)


def linear_predictors(rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return Xβ, of shape (m, c)."""
    out = np.zeros((len(rows), coef.shape[1]))
    if len(coef):
        for part in slices(rows, model):
            out[part.rows] = part.times(coef)
    return out


def _weighted_sums(rows: Rows, model: Model, values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return Σ v ⊗ x of each group, of shape (G, r, c, d), for v of shape (m, r, c)."""
    _, r, c = values.shape
    out = np.zeros((count, r, c, len(model.regressors)))
    if out.shape[-1]:
        for part in slices(rows, model):
            here = codes[part.rows]
            for index in range(r):
                found = part.group_sums(values[part.rows, index], here, count)
                out[:, index] += found.reshape(count, c, -1)
    return out


def summed_by_group(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return the sums of rows by group, of shape (G, k)."""
    if count == 1:
        return values.sum(axis=0)[None]
    return sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(count, len(codes))) @ values


def _columns(matrix: Any, at: np.ndarray) -> Any:
    """Return columns of a matrix in a form that the kernels accept."""
    found = matrix[:, at]
    return aligned(np.ascontiguousarray(found)) if isinstance(found, np.ndarray) else found


def _turning(likelihood: Likelihood, eta: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return the derivative, by a centered difference, of the responses' derivatives as η changes along `along`."""
    length = np.abs(along).max(axis=1)
    step = _STEP * np.maximum(np.abs(eta).max(axis=1), _SMALL) / np.where(length > 0, length, 1.0)
    moved = step[:, None] * along
    ahead, behind = likelihood.responses(eta + moved)[1], likelihood.responses(eta - moved)[1]
    return (ahead - behind) / (2.0 * step)[:, None, None]


def _derivative(table: Any, model: Model, column: str) -> Derivative | Findings:
    """Return the derivative of the design with respect to a column; design columns are numbered from the constant."""
    first = int(model.has_constant)
    if model.design is None:
        return Derivative(np.array([model.columns.index(column) + first]), np.ones((table.shape[0], 1)))
    found = design_derivative(model.design, table, column)
    return found if isinstance(found, Findings) else replace(found, columns=found.columns + first)


def _changed(scenario: Scenario, known: KnownRows, model: Model) -> _Changed | Findings:
    """Return the columns of the design that a scenario changes."""
    names = [name for name, _ in (*scenario.values, *scenario.shifts)]
    first, table = int(model.has_constant), known.table
    values = {**dict(scenario.values), **{n: numeric_column(table, model, n) + by for n, by in scenario.shifts}}
    if model.design is None:
        at = np.array([model.columns.index(name) for name in names])
        new = np.column_stack([np.broadcast_to(np.float64(values[name]), len(known.rows)) for name in names])
        own = replace(model, columns=tuple(names), fit_intercept=False)
        return _Changed(at + first, own, replace(known.rows, x=aligned(np.ascontiguousarray(new))))
    for name in names:
        table = _assigned(table, model.design, name, values[name])
    at, design = depending(model.design, names)
    own = replace(model, columns=design.names, fit_intercept=False, design=design, missing="raise", aliased=())
    block = Block(table, np.zeros(len(known.rows)), known.rows.weights, known.offset, number=known.rows.number)
    found = predictable_rows(block, own)
    if isinstance(found, Findings):
        counts = tuple((f"With {scenario.text}: {what}", count, cure) for what, count, cure in found.counts)
        return replace(found, counts=counts)
    return _Changed(at + first, own, found)


def _assigned(table: pd.DataFrame, design: Design, name: str, values: Any) -> pd.DataFrame:
    """Return a table with one value, or an array of values, in a column."""
    dtype, levels = table[name].dtype, column_levels(design.levels)
    if name in levels and not is_numeric(dtype):
        codes = np.full(len(table), levels[name].get_loc(values))
        return with_values(table, name, pd.Categorical.from_codes(codes, categories=levels[name]))
    if pd.api.types.is_bool_dtype(dtype) and np.ndim(values) == 0 and values in (0, 1):
        values = bool(values)
    return with_values(table, name, values if np.ndim(values) else np.full(len(table), values))
