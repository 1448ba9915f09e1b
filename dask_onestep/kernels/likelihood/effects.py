"""Sums of responses and slopes over scenarios and groups, for average effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.likelihood.known_rows import KnownRows, known_rows, numeric_column
from dask_onestep.kernels.likelihood.scenarios import (
    Piece,
    Scenario,
    ScenarioSums,
    linear_predictors,
    scenario_sums,
    summed_by_group,
)
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Record, add_pairwise
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.threads import one_blas_thread

MAX_GROUPS = 10_000
MAX_BYTES = 512 * 2**20
# Maximum size of an array of derivatives of responses: one number per row, response and linear predictor.
_DERIVATIVES = 2**23


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
    piece = Piece(known, model, by_predictor, linear_predictors(rows, model, by_predictor), weights, codes, len(keys))
    each: list[ScenarioSums | None] = []
    for scenario in query.scenarios:
        if scenario.binary is not None:
            values = numeric_column(known.table, model, scenario.binary)
            if not ((values == 0) | (values == 1)).all():
                each.append(None)
                continue
        sums = scenario_sums(scenario, piece)
        if isinstance(sums, Findings):
            return replace(sums, blocks=(rows.number,))
        each.append(sums)
    grouped = np.column_stack([weights, squares, np.ones(len(rows))])
    return EffectSums(
        query.by,
        len(rows),
        rows.n_missing,
        keys,
        summed_by_group(grouped, codes, len(keys)),
        tuple(None if sums is None else sums.total for sums in each),
        tuple(None if sums is None else sums.jacobian for sums in each),
        _products([sums and sums.values for sums in each], squares, codes, len(keys)) if query.products else None,
        _gram(rows, model) if query.gram else None,
    )


def _n_responses(model: Model) -> int:
    """Return the number of responses per row: one mean, or the probability of every class."""
    return model.likelihood.responses(np.zeros((1, model.likelihood.n_predictors)))[0].shape[1]


def _gram(rows: Rows, model: Model) -> np.ndarray:
    """Return X'X."""
    total = np.zeros((len(model.regressors), len(model.regressors)))
    for part in slices(rows, model):
        total += part.gram()
    return total


def _groups(values: pd.DataFrame) -> tuple[tuple[tuple, ...], np.ndarray]:
    """Return the values of each group, and each row's group."""
    if not values.shape[1]:
        return ((),), np.zeros(len(values), dtype=np.intp)
    codes = values.groupby(list(values.columns), sort=False, observed=True).ngroup().to_numpy()
    firsts = np.unique(codes, return_index=True)[1]
    return tuple(values.iloc[firsts].itertuples(index=False, name=None)), codes


def _products(responses: list, squares: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return the second moments of the responses for every pair of scenarios."""
    known = [response for response in responses if response is not None]
    r, size = known[0].shape[1], len(responses) + 1
    out = np.zeros((count, r, size, size))
    every = [*responses, np.ones((len(squares), r))]
    for s in range(size):
        for t in range(s + 1):
            if every[s] is not None and every[t] is not None:
                out[:, :, s, t] = out[:, :, t, s] = summed_by_group(
                    squares[:, None] * every[s] * every[t], codes, count
                )
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
