"""What plans learn of the data before they estimate: a pilot sample, the classes of y, how many rows there are."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from dask.delayed import Delayed

from dask_onestep.kernels.pilots.pilot import PilotFit, fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize, Survey
from dask_onestep.kernels.pilots.sampling import pilot_rows, survey, unsearched_pilot_rows
from dask_onestep.kernels.pilots.strata import StrataRule
from dask_onestep.methods.arguments import check_pilot_size
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Pass, Settle

__all__ = ["draw_pilot", "draw_sample", "rows_within", "take_survey", "with_labels"]

# The memory of a matrix, of so many times its raw columns.
_EXPANSION = 4
# A block of a small table may have so many times the rows of an average one, and still come whole in the first pass.
_UNEVEN = 1.25

Learned = Generator[Any, Any, tuple[Delayed, Problem]]


def draw_pilot(
    problem: Problem,
    size: str | int | float,
    seed: int,
    *,
    searched: bool = True,
    stratified: bool = False,
    held: bool = False,
    whole: int = 0,
    hold: int = 0,
) -> Learned:
    """Draw a random sample of all usable rows and fit its MLE: one pass.

    A restricted model has the sample of the unrestricted one.

    Parameters
    ----------
    problem : Problem
        Model and data.
    size : "auto", int or float
        Rows, or fraction of all rows.
    seed : int
        Seed of the sample.
    searched : bool, default=True
        Whether the pass searches all covariates for NaN and infinity.  If not it reads those of the sample alone,
        and a pass such as `moments` has to follow, whose sums show them.
    stratified : bool, default=False
        Whether the sample has more than their share of rare classes, rare levels and extreme rows (see `StrataRule`),
        as an automatic one may; otherwise it is a simple random sample.
    held : bool, default=False
        Whether each block holds all rows that a stratum may need, though other blocks may have them.
    whole, hold : int
        As in `PilotSize`.

    Returns
    -------
    pilot : Delayed
        `PilotFit`.
    problem : Problem
        The same, with its classes known.

    Raises
    ------
    ValueError
        If `size` is not one of these.
    """
    sample = yield _sample(problem, size, seed, searched, stratified, held, whole, hold)
    pilot = yield _settled(problem, problem.apply(fit_pilot, sample, problem.model, name="pilot-fit"))
    return pilot, _learned(problem, _classes_of_fit, pilot)


def draw_sample(problem: Problem, size: str | int | float, seed: int, *, whole: int = 0, hold: int = 0) -> Learned:
    """Draw a simple random sample of all usable rows: one pass.

    Parameters
    ----------
    problem : Problem
        Model and data.
    size : "auto", int or float
        Rows, or fraction of all rows.
    seed : int
        Seed of the sample.
    whole, hold : int
        As in `PilotSize`.

    Returns
    -------
    sample : Delayed
        `PilotSample`.
    problem : Problem
        The same, with its classes known.

    Raises
    ------
    ValueError
        If `size` is not one of these.
    """
    sample = yield Settle((yield _sample(problem, size, seed, whole=whole, hold=hold)))
    return sample, _learned(problem, _classes, sample, problem.model.n_classes)


def take_survey(problem: Problem) -> Learned:
    """Count the rows and learn the classes: one pass, for methods that draw no pilot.

    Parameters
    ----------
    problem : Problem
        Model and data.

    Returns
    -------
    survey : Delayed
        `Survey`.
    problem : Problem
        The same, with its classes known.
    """
    model = problem.model.unrestricted
    sample = yield Pass(pilot_rows, model, (PilotSize(0, problem.d), 0), "survey", guarded=problem.guarded)
    known = yield _settled(problem, problem.apply(survey, sample, problem.model.n_classes, name="survey-report"))
    return known, _learned(problem, _labels, known)


def with_labels(problem: Problem) -> Generator[Any, Any, Problem]:
    """Learn the classes of a classification, by a pass, unless they are known."""
    if not problem.model.classify or problem.classes is not None:
        return problem
    _, problem = yield from take_survey(problem)
    return problem


def rows_within(problem: Problem, most_bytes: int) -> tuple[int, int]:
    """Return how many rows fit into memory of this size, by their raw columns, and how many of them a block holds.

    A number counts as 8 bytes, as does a category.  The matrix that they become may take four times as much.
    """
    model = problem.model
    n_columns = len(model.columns) if model.design is None else len(model.design.terms.columns)
    whole = most_bytes // (8 * (n_columns + 1))
    if model.design is not None:
        whole = min(whole, _EXPANSION * most_bytes // max(model.design.row_bytes, 1))
    if problem.blocks.n_rows is not None and problem.blocks.n_rows <= whole:
        return whole, whole  # all rows together, however uneven the blocks
    return whole, max(1, min(whole, int(_UNEVEN * whole / len(problem.blocks))))


def _sample(
    problem: Problem,
    size: str | int | float,
    seed: int,
    searched: bool = True,
    stratified: bool = False,
    held: bool = False,
    whole: int = 0,
    hold: int = 0,
) -> Pass:
    model = problem.model.unrestricted
    strata = StrataRule.of(model, 1 if held else len(problem.blocks)) if stratified and size == "auto" else None
    rule = PilotSize(check_pilot_size(size), len(model.all_names), problem.n_usable, whole, hold, strata)
    kernel = pilot_rows if searched else unsearched_pilot_rows
    # The labels as they are, since they are to be learned.
    return Pass(kernel, model, (rule, seed), "pilot-sample", guarded=problem.guarded)


def _settled(problem: Problem, handle: Delayed) -> Settle:
    """Return the request for what a first pass gives; how many classes there are is known before the next one."""
    return Settle(handle, awaited=problem.model.classify)


def _learned(problem: Problem, function: Any, *arguments: Any) -> Problem:
    if not problem.model.classify:
        return problem
    return replace(problem, classes=problem.apply(function, *arguments, name="classes"))


def _classes(sample: PilotSample, most: int) -> np.ndarray | None:
    return survey(sample, most).classes


def _classes_of_fit(pilot: PilotFit) -> np.ndarray | None:
    return pilot.survey.classes


def _labels(known: Survey) -> np.ndarray | None:
    return known.classes
