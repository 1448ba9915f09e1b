"""What a table's design must know of the whole before any block is coded: levels, extremes, a sample.

One pass over the complete rows gives the levels of every categorical factor, all of them; the rows
at the extremes of what a transform with a state is taken of, so that a spline's boundaries hold
everywhere; and a simple random sample of `STATE_ROWS` rows for the rest of such states (knots,
means, scales).  Up to that many rows, the sample is the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.designs.table import MAX_LEVELS, TOO_MANY_LEVELS, complete_cases, plain_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, evaluate, plain_integers, refusing_records
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.checks import rows_with_weight
from dask_onestep.kernels.rows.rows import kernel

__all__ = ["STATE_ROWS", "Profile", "profile"]

STATE_ROWS = 100_000


@dataclass(frozen=True)
class Profile:
    """What was seen of a table.

    Attributes
    ----------
    factors : tuple of Factor
        The factors whose levels are wanted.
    states : tuple of str
        The expressions whose extremes are wanted.
    n : int
        Complete rows.
    levels : tuple of DataFrame
        For each factor, a row for each of its levels.
    extremes : DataFrame
        The rows at the extremes, indexed by (block or 0, row).
    sample : DataFrame
        The rows with the smallest keys, likewise indexed.
    keys : ndarray of uint64
        Their keys.
    """

    factors: tuple[Factor, ...]
    states: tuple[str, ...]
    n: int
    levels: tuple[pd.DataFrame, ...]
    extremes: pd.DataFrame
    sample: pd.DataFrame
    keys: np.ndarray

    def __add__(self, other: Profile) -> Profile | Findings:
        levels = tuple(
            _one_row_a_level(factor, _joined(left, right))
            for factor, left, right in zip(self.factors, self.levels, other.levels, strict=True)
        )
        if found := _too_many(self.factors, levels, 0):
            return found
        extremes = _at_extremes(self.states, _joined(self.extremes, other.extremes))
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")[:STATE_ROWS]
        sample = _joined(self.sample, other.sample).iloc[order]
        return Profile(self.factors, self.states, self.n + other.n, levels, extremes, sample, keys[order])

    def state_rows(self) -> pd.DataFrame:
        """Return the rows that states are gathered from, in the order of the data."""
        rows = _joined(self.sample, self.extremes)
        return rows[~rows.index.duplicated()].sort_index()

    def level_rows(self) -> pd.DataFrame:
        """Return rows that show every level of every factor, one at least: there are not many more than levels."""
        parts = [*self.levels, self.sample.iloc[:1]]
        # Without rows a part would still have a say in the dtypes.
        return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


@kernel(raw=True)
def profile(block: Block, model: Model, terms: Terms, factors: tuple[Factor, ...]) -> Profile | Findings:
    """Return what a block shows of a table; it takes the block as it arrives.

    Parameters
    ----------
    block : Block
        The block, `x` a frame.
    model : Model
        The model, for what is done with gaps.
    terms : Terms
        What the model reads.
    factors : tuple of Factor
        The factors whose levels are wanted.

    Returns
    -------
    Profile or Findings
        What was seen, or what is wrong with the block.
    """
    present = rows_with_weight(block)
    if isinstance(present, Findings):
        return present
    if present is None:
        present = np.arange(len(block.x))
    else:
        block = block.rows_at(present)
    complete = complete_cases(block, terms, model.missing)
    if isinstance(complete, Findings):
        return complete
    frame = block.x[list(terms.columns)]
    numbers = present + (block.start or 0)
    here = 0 if block.start is not None else block.number
    frame = frame.set_axis(pd.MultiIndex.from_arrays([np.full(len(frame), here), numbers]), axis=0)
    frame, kept = frame[complete], present[complete]
    frame = plain_integers(frame, [name for factor in factors if factor.coded for name in factor.columns])
    levels = tuple(_plain(_one_row_a_level(factor, frame)) for factor in factors)
    if found := _too_many(factors, levels, block.number):
        return found
    states = tuple(dict.fromkeys(state for factor in terms.factors for state in factor.states))
    extremes, sample, keys = frame.iloc[:0], frame.iloc[:0], np.empty(0, np.uint64)
    if states:
        extremes = _plain(_at_extremes(states, frame))
        empty = np.empty((len(frame), 0))
        rows = Rows(empty, empty, None, None, None, block.number, block.start, kept)
        keys = row_keys(0, rows)
        order = np.argsort(keys, kind="stable")[:STATE_ROWS]
        sample, keys = _plain(frame.iloc[order]), keys[order]
    return Profile(factors, states, len(frame), levels, extremes, sample, keys)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return plain_columns(frame, tuple(frame.columns), {})


def _one_row_a_level(factor: Factor, frame: pd.DataFrame) -> pd.DataFrame:
    with refusing_records(factor):
        return frame[~factor.values(frame).duplicated().to_numpy()]


def _at_extremes(states: tuple[str, ...], frame: pd.DataFrame) -> pd.DataFrame:
    if not len(frame):
        return frame
    at = set()
    for state in states:
        values = evaluate(state, frame).to_numpy(np.float64)
        if np.isfinite(values).any():
            finite = np.isfinite(values)
            at |= {
                int(np.argmin(np.where(finite, values, np.inf))),
                int(np.argmax(np.where(finite, values, -np.inf))),
            }
    return frame.iloc[sorted(at)]


def _joined(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    # An empty frame's dtypes would turn the other's to object.
    if not len(left) or not len(right):
        return right if not len(left) else left
    return pd.concat([left, right])


def _too_many(factors: tuple[Factor, ...], levels: tuple[pd.DataFrame, ...], block: int) -> Findings | None:
    found: list[tuple[str, int, str]] = [
        (
            f"{factor.name} has more than {MAX_LEVELS:,} levels",
            0,
            TOO_MANY_LEVELS,
        )
        for factor, rows in zip(factors, levels, strict=True)
        if len(rows) > MAX_LEVELS
    ]
    return Findings(tuple(found), (block,)) if found else None
