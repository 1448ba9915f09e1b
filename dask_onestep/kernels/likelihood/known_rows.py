"""Rows that can be predicted, beside the columns of the table that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import Block, Rows, Table, taken
from dask_onestep.kernels.designs.table import gaps
from dask_onestep.kernels.likelihood.predictions import predictable_rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings


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
    block = replace(block, x=block.x.frame()) if isinstance(block.x, Table) else block
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
