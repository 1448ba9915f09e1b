"""The first pass over a table with a formula: factor levels, states of transforms, and the pilot.

Levels are those of all usable rows. The rows with extreme values of an expression make a spline's boundary knots
valid for all rows. Moments of all rows give means, scales and orthogonal polynomials (see `states`); a simple random
sample of `STATE_ROWS` rows gives the other states, such as knots, which are exact with at most that many rows. The
method's pilot is drawn in the same pass, as rows of the table, since the design is known only afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.evaluation import EvaluationError, what_is_wrong
from dask_onestep.kernels.designs.expressions import evaluate
from dask_onestep.kernels.designs.levels import MAX_LEVELS, TOO_MANY_LEVELS, level_codes, looks
from dask_onestep.kernels.designs.open_design import OpenDesign
from dask_onestep.kernels.designs.parts import Rows, Table, taken
from dask_onestep.kernels.designs.states import CentralMoments, moment_orders
from dask_onestep.kernels.designs.table import plain_columns, stacked
from dask_onestep.kernels.designs.terms import Factor, plain_categories, refusing_records
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import pilot_rows, row_numbers, sample_rows
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize
from dask_onestep.kernels.records import Findings, Joining
from dask_onestep.kernels.rows.checks import inspect_columns
from dask_onestep.kernels.rows.rows import kernel

STATE_ROWS = 100_000
# Rows are kept for at least so many coefficients where the number of levels does not tell how many there are.
_LEAST_COEFFICIENTS = 500
# The same for a part of the rows where the number of all is unknown; levels may be fewer there than elsewhere.
_LEAST_OF_PART = 100
# Parts of a file with the same range together have at most so many times the levels of one, as some are rare.
_UNSEEN = 1.25


@dataclass(frozen=True, eq=False)
class Profile(Joining):
    """What a pass found in a table.

    Attributes
    ----------
    design : OpenDesign
        The design that is to be completed.
    levels : Table
        Rows of the table that include every level of every factor, at least one row.
    extremes : Table
        Rows of the table with the extreme values of the states; none without states.
    places : ndarray of shape (k, 2)
        Their positions, as in `PilotSample`.
    moments : dict of str to CentralMoments
        The expressions' moments.
    sample : PilotSample
        The sample for knots, of all rows with positive weight; empty if there are no states.
    pilot : PilotSample
        Candidates for the method's pilot.
    """

    design: OpenDesign
    levels: Table
    extremes: Table
    places: np.ndarray
    moments: dict[str, CentralMoments]
    sample: PilotSample
    pilot: PilotSample

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factors whose levels are collected."""
        return self.design.learned

    @property
    def states(self) -> tuple[str, ...]:
        """The expressions whose extremes are collected."""
        return self.design.terms.states

    @property
    def n(self) -> int:
        """Number of usable rows."""
        return self.pilot.n

    @property
    def n_present(self) -> int:
        """Number of rows with positive weight, including those with missing values."""
        return self.sample.n

    def join(self, *others: Profile) -> Profile | Findings:
        """Return the profile of this and further parts, in the order of their rows."""
        parts = (self, *others)
        rows = stacked(_filled([part.levels for part in parts]))
        codes = {factor: _level_codes(factor, rows) for factor in self.factors}
        if found := _too_many(codes, 0):
            return found
        rule, most = self.pilot.size, [part.pilot.size.d for part in parts]
        size = replace(rule, d=sum(most) if rule.checked and rule.n_rows is None else max(most))
        labels = {label for part in parts if part.pilot.labels is not None for label in part.pilot.labels.tolist()}
        n, n_predictors = sum(part.n_present for part in parts), max(len(labels) - 1, 1)
        size = _for_levels(size, self.design, codes, n, n_predictors)
        first, *rest = (replace(part.pilot, size=size) for part in parts)
        pilot = first.join(*rest)
        sample = self.sample.join(*(part.sample for part in others))
        if isinstance(pilot, Findings):
            return pilot
        if isinstance(sample, Findings):
            return sample
        levels = taken(rows, _of_each_level(codes.values(), len(rows)))
        extremes = stacked(_filled([part.extremes for part in parts]))
        at, places = _at_extremes(self.states, extremes), np.concatenate([part.places for part in parts])
        moments = {name: reduce(add, (part.moments[name] for part in parts)) for name in self.moments}
        return Profile(self.design, levels, taken(extremes, at), places[at], moments, sample, pilot)

    def state_rows(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the rows that states are computed from, in the order of the data."""
        drawn = self.sample.drawn()
        assert drawn.raw is not None
        rows, places = drawn.raw, drawn.positions
        added = [at for at, place in enumerate(self.places) if not (places == place).all(axis=1).any()]
        if added:
            rows = stacked(_filled([rows, taken(self.extremes[list(columns)], np.array(added))]))
            places = np.vstack([places, self.places[added]])
        return plain_columns(taken(rows, np.lexsort(places.T[::-1])), tuple(columns), {})


@kernel(checked="later")
def profile(rows: Rows, model: Model, size: PilotSize, seed: int, total: int | None) -> Profile | Findings:
    """Return the profile of a block, whose covariates are those of an `OpenDesign`.

    Rows are kept for as many coefficients as there would be if all blocks had other levels, or, where parts of files
    have equal ranges of a column, all of these the same levels; a later check shows whether they suffice.
    """
    design = model.design
    assert isinstance(design, OpenDesign)
    assert rows.raw is not None
    factors, table = design.learned, rows.raw
    codes_of = cache(lambda factor: _level_codes(factor, table, rows.kept))
    codes = {factor: codes_of(factor) for factor in factors}
    if found := _too_many(codes, rows.number):
        return found
    size = _for_levels(size, design, codes, len(table), None if model.classify else 1)
    pilot = pilot_rows(rows, model, size, seed, codes_of)
    if isinstance(pilot, Findings):
        return pilot
    at = _of_each_level(codes.values(), len(rows))
    shown = taken(table, at if rows.kept is None else rows.kept[at])
    states = design.terms.states
    read = dict.fromkeys(name for factor in design.terms.factors if factor.states for name in factor.columns)
    all_rows = replace(_all_rows(rows), raw=table[list(read)] if states else None)
    sample = sample_rows(all_rows, PilotSize(STATE_ROWS if states else 0, 0, total), 0)
    present = taken(table, rows.present)
    orders = moment_orders(design.terms)
    moments = {name: CentralMoments.of(_numbers(name, present), order) for name, order in orders.items()}
    at = _at_extremes(states, present)
    extremes = taken(present, at)
    return Profile(design, shown, extremes, row_numbers(all_rows, at), moments, sample, pilot)


def _for_levels(
    size: PilotSize,
    design: OpenDesign,
    found: Mapping[Factor, tuple[np.ndarray, pd.Index]],
    n: int,
    n_predictors: int | None,
) -> PilotSize:
    """Return the size for as many coefficients as there would be if all but these n rows had other levels.

    Parts of files where a column has the same range are taken to have about the same levels.  If N is unknown, these n
    rows' share of the pilot is sought, which rows for their own levels are: with k times the rows and the levels, the
    pilot is at most k times as large.
    """
    if not size.checked:
        return size
    told = n_predictors is not None and design.factors == design.learned and not design.terms.products
    ranges = {factor: math.prod(size.ranges.get(name, math.inf) for name in factor.columns) for factor in found}
    if size.n_rows is None:
        n_rows, least = n, _LEAST_OF_PART
    elif told:
        unlike = n < size.n_rows and max(ranges.values(), default=1) > 1
        n_rows, least = size.n_rows, 2 * _LEAST_OF_PART if unlike else 0
    else:
        n_rows, least = size.n_rows, _LEAST_COEFFICIENTS
    parts = max(n_rows / max(n, 1), 1.0)
    levels = sum(len(levels) * min(parts, _UNSEEN * ranges[factor]) for factor, (_, levels) in found.items())
    d = (1 + sum(factor.most_columns for factor in design.terms.factors) + math.ceil(levels)) * (n_predictors or 1)
    return replace(size, d=min(size.d, max(d, least)))


def _all_rows(rows: Rows) -> Rows:
    """Return the block with all rows of positive weight, including those with missing values, without their values."""
    assert rows.raw is not None
    count = len(rows.raw if rows.present is None else rows.present)
    bare = replace(rows, x=np.empty((count, 0)), y=np.zeros(count), weights=None, offset=None, groups=None)
    return replace(bare, kept=rows.present)


def _numbers(expression: str, frame: Table) -> np.ndarray:
    return evaluate(expression, frame).to_numpy(np.float64, na_value=np.nan)


def pilot_of(found: Profile) -> PilotSample:
    """Return the candidates for the method's pilot."""
    return found.pilot


def designed_sample(sample: PilotSample, model: Model, size: PilotSize, searched: bool) -> PilotSample:
    """Draw the pilot from the candidates of the first pass, as a matrix; `searched` for missing values or not."""
    size = replace(size, d=len(model.all_names))
    if size.sampled(sample.n) > sample.enough_for:
        raise ValueError(
            f"fit_delayed: with {size.d:,} coefficients the pilot has {size.sampled(sample.n):,} rows, and the first "
            f"pass kept {sample.enough_for:,}. Use fit, or give OneStep(pilot_size=...)."
        )
    drawn, design = replace(sample, size=size).drawn(), model.design
    assert isinstance(design, Design)
    assert drawn.raw is not None
    # Object columns whose levels turned out to be numbers.
    levels = {name for factor in design.categorical for name in factor.columns}
    kinds = drawn.raw.dtypes.items()
    objects = {name: object for name, kind in kinds if isinstance(kind, pd.CategoricalDtype) and name not in levels}
    raw = drawn.raw.astype(objects)
    codes = design.codes(raw)
    x: Any = None
    try:
        if (found := design.unseen_levels(raw, codes)) is None:
            x = design.matrix(raw, codes)
    except EvaluationError as error:
        states = {} if design.spec is None else design.spec.transform_state
        found = what_is_wrong(error, design.terms, raw, states, ())
    if found is not None:
        if searched:
            found.raise_error()
        x = np.full((len(raw), len(design.names)), np.nan)  # the next pass finds it in all rows, and names the blocks
    drawn = replace(drawn, x=x, raw=raw)
    if searched and (found := inspect_columns(drawn.rows(), model)):
        replace(found, blocks=()).raise_error()
    return drawn


def _level_codes(factor: Factor, frame: Table, rows: np.ndarray | None = None) -> tuple[np.ndarray, pd.Index]:
    if factor.coded:
        frame, rows = plain_categories(taken(frame[list(factor.columns)], rows), factor.columns), None
    with refusing_records(factor):
        return level_codes(factor.values(frame, rows))


def _of_each_level(found: Iterable[tuple[np.ndarray, pd.Index]], count: int) -> np.ndarray:
    """Return, of `count` rows, the first one and one of each level of each factor."""
    rows = [np.arange(min(count, 1))]
    for codes, levels in found:
        last = np.full(len(levels) + 1, -1)  # the last one is that of missing values
        for at in looks(len(codes)):
            last[codes[at]] = np.arange(at.start, at.stop, at.step)
            if last[:-1].min(initial=0) >= 0:
                break
        rows.append(last[:-1])
    return np.unique(np.concatenate(rows))


def _at_extremes(states: tuple[str, ...], frame: Table) -> np.ndarray:
    """Return the numbers of the rows where expressions have their least and greatest values."""
    at = set()
    for state in states:
        values = _numbers(state, frame)
        finite = np.isfinite(values)
        if finite.any():
            at |= {np.argmin(np.where(finite, values, np.inf)), np.argmax(np.where(finite, values, -np.inf))}
    return np.array(sorted(at), dtype=np.intp)


def _filled(tables: Sequence[Table]) -> Sequence[Table]:
    """Return the tables that have rows, or one: an empty table's dtypes would convert the others' to object."""
    return [table for table in tables if len(table)] or tables[:1]


def _too_many(found: Mapping[Factor, tuple[np.ndarray, pd.Index]], block: int) -> Findings | None:
    shown: list[tuple[str, int, str]] = [
        (f"{factor.name} has more than {MAX_LEVELS:,} levels", 0, TOO_MANY_LEVELS)
        for factor, (_, levels) in found.items()
        if len(levels) > MAX_LEVELS
    ]
    return Findings(tuple(shown), (block,)) if shown else None
