"""Standard deviations, quartiles and extremes of columns, in one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.likelihood.known_rows import known_rows, numeric_column
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.kernels.records import Findings, Record, add_pairwise
from dask_onestep.kernels.rows.rows import kernel

QUARTILE_ROWS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Spreads(Record):
    """Summaries of k columns. Frequency weights count as repeated rows.

    Attributes
    ----------
    n : float
        Number of rows.
    mean, squares : ndarray of shape (k,)
        Means, and sums of squared deviations from them.
    smallest, largest : ndarray of shape (k,)
        Extremes.
    values : ndarray of shape (s, k)
        All rows if there are at most `QUARTILE_ROWS`, otherwise a simple random sample of that size.
    repeats : ndarray of shape (s,)
        Number of repetitions of each.
    keys : ndarray of shape (s,) of uint64
        Their keys.
    """

    n: float
    mean: np.ndarray
    squares: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray
    values: np.ndarray
    repeats: np.ndarray
    keys: np.ndarray

    def __add__(self, other: Spreads) -> Spreads:
        n = self.n + other.n
        fraction = other.n / n if n else 0.0
        gap = other.mean - self.mean
        keys = np.concatenate([self.keys, other.keys])
        kept = np.argsort(keys, kind="stable")[:QUARTILE_ROWS]
        return Spreads(
            n,
            self.mean + fraction * gap,
            self.squares + other.squares + gap**2 * self.n * fraction,
            np.minimum(self.smallest, other.smallest),
            np.maximum(self.largest, other.largest),
            np.concatenate([self.values, other.values])[kept],
            np.concatenate([self.repeats, other.repeats])[kept],
            keys[kept],
        )

    def interval(self, column: int, kind: str) -> tuple[float, float]:
        """Return two values of a column: the mean ± half a standard deviation, the quartiles, or the extremes."""
        if kind == "minmax":
            return float(self.smallest[column]), float(self.largest[column])
        if kind == "iqr":
            return self._quantile(column, 0.25), self._quantile(column, 0.75)
        half = float(np.sqrt(self.squares[column] / (self.n - 1.0))) / 2.0 if self.n > 1 else float("nan")
        return float(self.mean[column]) - half, float(self.mean[column]) + half

    def _quantile(self, column: int, p: float) -> float:
        """Return a quantile of type 7, the default of R."""
        order = np.argsort(self.values[:, column], kind="stable")
        values, above = self.values[order, column], np.cumsum(self.repeats[order])
        position = (above[-1] - 1.0) * p
        low = np.floor(position)
        at = np.minimum(np.searchsorted(above, [low, low + 1.0], side="right"), len(values) - 1)
        return float(values[at[0]] + (position - low) * (values[at[1]] - values[at[0]]))


@kernel(raw=True)
def spreads(block: Block, model: Model, columns: tuple[str, ...]) -> Spreads | Findings:
    """Return the summaries of a block's numeric columns over the rows that can be predicted."""
    model = replace(model, classify=True, fixed=(), ties=())
    return add_pairwise(_of_piece(piece, model, columns) for piece in block.pieces(model))


def _of_piece(block: Block, model: Model, columns: tuple[str, ...]) -> Spreads | Findings:
    known = known_rows(block, model)
    if isinstance(known, Findings):
        return known
    rows = known.rows
    values = np.column_stack([numeric_column(known.table, model, name) for name in columns])
    frequency = model.weight_type == "frequency" and rows.weights is not None
    repeats = rows.weights if frequency and rows.weights is not None else np.ones(len(rows))
    n = float(repeats.sum())
    mean = repeats @ values / n if n else np.zeros(len(columns))
    keys = row_keys(0, replace(rows, n_missing=block.x.shape[0] - len(rows)))
    kept = np.argsort(keys, kind="stable")[:QUARTILE_ROWS]
    return Spreads(
        n,
        mean,
        repeats @ (values - mean) ** 2,
        values.min(axis=0, initial=np.inf),
        values.max(axis=0, initial=-np.inf),
        values[kept],
        repeats[kept],
        keys[kept],
    )
