"""Sums of predicted responses, of slopes, and of their derivatives in β, by group, for average effects.

For a row with linear predictors η (one, or one per class except the first) the responses are μ_r(η). A scenario sets or
shifts columns of the table for all rows; its sums are Σ wᵢ μ_r(ηᵢ) and Σ wᵢ ∂μ_r/∂β. The slope in a column of the table
is Σ_a ∂μ_r/∂η_a · (∂xᵢ'/∂column) β_a, where the design is differentiated numerically.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from dask_onestep.kernels.designs.derivatives import Derivative, depending, design_derivative, with_values
from dask_onestep.kernels.designs.design import Design, column_levels
from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.designs.parts import Block, Rows, taken
from dask_onestep.kernels.designs.table import gaps
from dask_onestep.kernels.likelihood.predictions import predictable_rows
from dask_onestep.kernels.model import Likelihood, Model
from dask_onestep.kernels.records import Findings, Record, add_pairwise
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.threads import aligned, one_blas_thread

MAX_GROUPS = 10_000
MAX_BYTES = 512 * 2**20
# Maximum size of an array of derivatives of responses: one number per row, response and linear predictor.
_DERIVATIVES = 2**23
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


@dataclass(frozen=True)
class EffectQuery:
    """Which sums to compute.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂, without NaN.
    scenarios : tuple of Scenario
        The scenarios.
    by : tuple of str
        Columns that define the groups.
    others : tuple of str
        Those of them that the model does not read; the block's `groups` hold them.
    products : bool
        Whether to compute second moments of the responses, for the sampling variance of an average.
    gram : bool
        Whether to compute that of the design, which shows what is not estimable because of aliased columns.
    """

    coef: np.ndarray
    scenarios: tuple[Scenario, ...]
    by: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    products: bool = False
    gram: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EffectSums(Record):
    """Sums over rows for S scenarios and G groups; ``+`` merges the groups.

    Attributes
    ----------
    by : tuple of str
        Columns that define the groups.
    n, n_missing : int
        Rows of positive weight, and rows dropped.
    keys : tuple of tuple
        The values of each group.
    weight : ndarray of shape (G, 3)
        Σ wᵢ, Σ wᵢ² (Σ wᵢ for frequency weights), and the number of rows.
    totals : tuple of ndarray of shape (G, r), or None
        Σ wᵢ μ of each scenario; None if it requires a binary column and the column is not binary.
    jacobians : tuple of ndarray of shape (G, r, d), or None
        Σ wᵢ ∂μ/∂β.
    products : ndarray of shape (G, r, S + 1, S + 1) or None
        Σ wᵢ² μ_s μ_t, and in the last row and column Σ wᵢ² μ_s; with frequency weights, wᵢ instead of wᵢ².
    gram : ndarray of shape (k, k) or None
        X'X of the unchanged rows, with k columns including the constant.
    """

    by: tuple[str, ...]
    n: int
    n_missing: int
    keys: tuple[tuple, ...]
    weight: np.ndarray
    totals: tuple[np.ndarray | None, ...]
    jacobians: tuple[np.ndarray | None, ...]
    products: np.ndarray | None
    gram: np.ndarray | None

    def __add__(self, other: EffectSums) -> EffectSums | Findings:
        keys = tuple(dict.fromkeys((*self.keys, *other.keys)))
        size = sum(each.shape[1] * each.shape[2] for each in self.jacobians if each is not None)
        if found := _too_many(self.by, len(keys), size, ()):
            return found
        at = {key: number for number, key in enumerate(keys)}
        places = [np.array([at[key] for key in each.keys], dtype=np.intp) for each in (self, other)]

        def added(left: Any, right: Any) -> Any:
            if left is None or right is None:
                return None
            total = np.zeros((len(keys), *left.shape[1:]))
            total[places[0]] = left
            total[places[1]] += right
            return total

        return EffectSums(
            self.by,
            self.n + other.n,
            self.n_missing + other.n_missing,
            keys,
            added(self.weight, other.weight),
            tuple(map(added, self.totals, other.totals)),
            tuple(map(added, self.jacobians, other.jacobians)),
            added(self.products, other.products),
            None if self.gram is None or other.gram is None else self.gram + other.gram,
        )


@kernel(raw=True)
def effect_sums(block: Block, model: Model, query: EffectQuery) -> EffectSums | Findings:
    """Return the sums of a block, which is passed unprepared because its columns are changed."""
    model = replace(model, classify=True, fixed=(), ties=())
    with one_blas_thread(), np.errstate(all="ignore"):
        return add_pairwise(_of_pieces(block, model, query))


def _of_pieces(block: Block, model: Model, query: EffectQuery) -> Iterator[EffectSums | Findings]:
    """Yield the sums of pieces of a block that are short enough for the responses' derivatives."""
    most = max(1, _DERIVATIVES // (_n_responses(model) * model.likelihood.n_predictors))
    for piece in block.pieces(model):
        known = known_rows(piece, model, query.by, query.others)
        if isinstance(known, Findings):
            yield known
            continue
        for part in known.parts(most):
            yield _sums(part, model, query)


@dataclass(frozen=True, slots=True, eq=False)
class KnownRows:
    """A block's rows of positive weight without missing values.

    Attributes
    ----------
    rows : Rows
        The rows as the kernels see them.
    table : DataFrame, ndarray or sparse array of shape (m, …)
        The same rows in their original form.
    offset : ndarray of shape (m,) or None
        The offset that was passed, without that of the formula.
    values : DataFrame of shape (m, len(by))
        The values of the grouping columns.
    """

    rows: Rows
    table: Any
    offset: np.ndarray | None
    values: pd.DataFrame

    def parts(self, most: int) -> Iterator[KnownRows]:
        """Yield parts of at most `most` rows."""
        if len(self.rows) <= most:
            yield self
            return
        for begin in range(0, len(self.rows), most):
            index = np.arange(begin, min(begin + most, len(self.rows)))
            rows = replace(self.rows.take(index), n_missing=0 if begin else self.rows.n_missing)
            yield KnownRows(rows, taken(self.table, index), taken(self.offset, index), self.values.iloc[index])


def known_rows(
    block: Block, model: Model, by: tuple[str, ...] = (), others: tuple[str, ...] = ()
) -> KnownRows | Findings:
    """Return a block's rows that can be predicted; `by` and `others` are as in `EffectQuery`."""
    m = block.x.shape[0]
    values = _by_values(block, model, by, others)
    missing = [gaps(values[name]) for name in values.columns]
    rows = predictable_rows(replace(block, y=np.zeros(m), groups=None), model)
    if isinstance(rows, Findings):
        return rows
    absent = np.logical_or.reduce([np.zeros(m, dtype=bool), *missing])
    if model.missing == "raise" and absent.any():
        which = ", ".join(repr(name) for name, gap in zip(by, missing, strict=True) if gap.any())
        cure = "Drop these rows, or fill the missing values, to make them a group."
        return Findings(((f"by={which} has missing values", int(absent.sum()), cure),), (block.number,))
    kept = np.arange(m) if rows.kept is None else rows.kept
    usable = ~absent[kept]
    if rows.weights is not None:
        usable &= rows.weights > 0
    if not usable.all():
        n_missing = rows.n_missing + int(absent[kept].sum())
        rows = replace(rows.take(usable), n_missing=n_missing, kept=kept[usable])
    kept = np.arange(m) if rows.kept is None else rows.kept
    offset = None if block.offset is None else np.asarray(block.offset, dtype=np.float64)
    if len(kept) == m:
        return KnownRows(rows, block.x, offset, values)
    return KnownRows(rows, taken(block.x, kept), taken(offset, kept), values.iloc[kept])


def _sums(known: KnownRows, model: Model, query: EffectQuery) -> EffectSums | Findings:
    """Return the sums of rows."""
    rows = known.rows
    keys, codes = _groups(known.values)
    size = len(query.scenarios) * _n_responses(model) * len(query.coef)
    if found := _too_many(query.by, len(keys), size, (rows.number,)):
        return found
    weights = rows.row_weights
    squares = weights if model.weight_type == "frequency" else weights**2
    by_predictor = query.coef.reshape(model.likelihood.n_predictors, -1).T
    piece = _Piece(known, model, by_predictor, _times(rows, model, by_predictor), weights, codes, len(keys))
    each: list[_ScenarioSums | None] = []
    for scenario in query.scenarios:
        if scenario.binary is not None:
            values = numeric_column(known.table, model, scenario.binary)
            if not ((values == 0) | (values == 1)).all():
                each.append(None)
                continue
        sums = _scenario_sums(scenario, piece)
        if isinstance(sums, Findings):
            return replace(sums, blocks=(rows.number,))
        each.append(sums)
    grouped = np.column_stack([weights, squares, np.ones(len(rows))])
    return EffectSums(
        query.by,
        len(rows),
        rows.n_missing,
        keys,
        _summed(grouped, codes, len(keys)),
        tuple(None if sums is None else sums.total for sums in each),
        tuple(None if sums is None else sums.jacobian for sums in each),
        _products([sums and sums.values for sums in each], squares, codes, len(keys)) if query.products else None,
        _gram(rows, model) if query.gram else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
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

    def sums(self, values: np.ndarray, jacobian: np.ndarray) -> _ScenarioSums:
        """Return the sums of row values of shape (m, r) with a Jacobian of shape (G, r, c, d)."""
        total = _summed(self.weights[:, None] * values, self.codes, self.count)
        return _ScenarioSums(total, jacobian.reshape(*jacobian.shape[:2], -1), values)


@dataclass(frozen=True, slots=True, eq=False)
class _ScenarioSums:
    """Sums of a scenario by group, as in `EffectSums`, and each row's response or slope, of shape (m, r)."""

    total: np.ndarray
    jacobian: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """Design columns changed by a scenario: their numbers (counting the constant), their model and their rows."""

    at: np.ndarray
    model: Model
    rows: Rows


def _scenario_sums(scenario: Scenario, piece: _Piece) -> _ScenarioSums | Findings:
    """Return the sums of a scenario."""
    if scenario.slope is not None:
        derivative = _derivative(piece.known.table, piece.model, scenario.slope)
        return derivative if isinstance(derivative, Findings) else _slope_sums(derivative, piece)
    if not (scenario.values or scenario.shifts):
        return _response_sums(None, piece)
    changed = _changed(scenario, piece.known, piece.model)
    return changed if isinstance(changed, Findings) else _response_sums(changed, piece)


def _response_sums(changed: _Changed | None, piece: _Piece) -> _ScenarioSums:
    """Return the sums of the responses, with some columns of the design changed."""
    rows, eta = piece.known.rows, piece.linear
    offset = rows.offset
    if changed is not None:
        coef, first = piece.by_predictor[changed.at], int(piece.model.has_constant)
        before = replace(rows, x=_columns(rows.x, changed.at - first))
        eta = eta - _times(before, changed.model, coef) + _times(changed.rows, changed.model, coef)
        offset = changed.rows.offset
    value, gradient = piece.model.likelihood.responses(eta if offset is None else eta + offset[:, None])
    weighted = piece.weights[:, None, None] * gradient
    jacobian = _weighted_sums(rows, piece.model, weighted, piece.codes, piece.count)
    if changed is not None:
        own = _weighted_sums(changed.rows, changed.model, weighted, piece.codes, piece.count)
        jacobian[..., changed.at] = own
    return piece.sums(value, jacobian)


def _slope_sums(derivative: Derivative, piece: _Piece) -> _ScenarioSums:
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
        own = _summed((piece.weights * slope[:, r, c])[:, None] * derivative.design, piece.codes, piece.count)
        jacobian[:, r, c][:, at] += own
    return piece.sums(np.einsum("irc,ic->ir", slope, along), jacobian)


def _n_responses(model: Model) -> int:
    """Return the number of responses per row: one mean, or the probability of every class."""
    return model.likelihood.responses(np.zeros((1, model.likelihood.n_predictors)))[0].shape[1]


def _gram(rows: Rows, model: Model) -> np.ndarray:
    """Return X'X."""
    total = np.zeros((len(model.regressors), len(model.regressors)))
    for part in slices(rows, model):
        total += part.gram()
    return total


def _times(rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
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


def table_column(table: Any, model: Model, name: str) -> Any:
    """Return a column of a block's table or matrix."""
    if isinstance(table, pd.DataFrame):
        return table[name]
    column = table[:, [model.columns.index(name)]]
    return (np.asarray(column) if isinstance(table, np.ndarray) else column.toarray())[:, 0]


def numeric_column(table: Any, model: Model, name: str) -> np.ndarray:
    """Return a numeric column of a block's table or matrix as numbers."""
    column = table_column(table, model, name)
    return column.to_numpy(np.float64) if isinstance(column, pd.Series) else np.asarray(column, dtype=np.float64)


def _by_values(block: Block, model: Model, by: tuple[str, ...], others: tuple[str, ...]) -> pd.DataFrame:
    """Return the values of the grouping columns."""
    m = block.x.shape[0]
    beside: dict[str, Any] = {}
    if len(others) == 1:
        beside = {others[0]: block.groups}
    elif others:
        records = pd.DataFrame(block.groups)
        beside = {name: records.iloc[:, number] for number, name in enumerate(others)}
    values = {}
    for number, name in enumerate(by):
        if name in beside:
            found = beside[name]
        elif name in (block.x.columns if isinstance(block.x, pd.DataFrame) else model.columns):
            found = table_column(block.x, model, name)
        else:
            assert model.design is not None
            (factor,) = (factor for factor in model.design.terms.factors if factor.name == name)
            found = factor.values(block.x)
        values[number] = found.array if isinstance(found, pd.Series) else found
    return pd.DataFrame(values, index=range(m))


def _groups(values: pd.DataFrame) -> tuple[tuple[tuple, ...], np.ndarray]:
    """Return the values of each group, and each row's group."""
    if not values.shape[1]:
        return ((),), np.zeros(len(values), dtype=np.intp)
    codes = values.groupby(list(values.columns), sort=False, observed=True).ngroup().to_numpy()
    firsts = np.unique(codes, return_index=True)[1]
    return tuple(values.iloc[firsts].itertuples(index=False, name=None)), codes


def _summed(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return the sums of rows by group, of shape (G, k)."""
    if count == 1:
        return values.sum(axis=0)[None]
    return sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(count, len(codes))) @ values


def _products(responses: list, squares: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return the second moments of the responses for every pair of scenarios."""
    known = [response for response in responses if response is not None]
    r, size = known[0].shape[1], len(responses) + 1
    out = np.zeros((count, r, size, size))
    every = [*responses, np.ones((len(squares), r))]
    for s in range(size):
        for t in range(s + 1):
            if every[s] is not None and every[t] is not None:
                out[:, :, s, t] = out[:, :, t, s] = _summed(squares[:, None] * every[s] * every[t], codes, count)
    return out


def _too_many(by: tuple[str, ...], count: int, size: int, blocks: tuple[int, ...]) -> Findings | None:
    """Return an error if there are too many groups, or if the sums (`size` numbers per group) are too large."""
    if count > MAX_GROUPS:
        what = f"by={', '.join(map(repr, by))} has more than {MAX_GROUPS:,} groups"
        return Findings(((what, 0, "Is it an identifier? Group its values first, or use fewer columns."),), blocks)
    if 8 * size * count > MAX_BYTES:
        what = f"The sums over all scenarios and groups need more than {MAX_BYTES // 2**20} MiB per block"
        return Findings(((what, 0, "Use fewer variables, pairs of levels, or columns in by=."),), blocks)
    return None
