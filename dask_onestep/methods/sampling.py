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
from dask_onestep.methods.arguments import check_pilot_size
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Pass, Settle

__all__ = ["draw_pilot", "draw_sample", "take_survey", "with_labels"]

Learned = Generator[Any, Any, tuple[Delayed, Problem]]


def draw_pilot(problem: Problem, size: str | int | float, seed: int, *, searched: bool = True) -> Learned:
    """Draw a simple random sample of all usable rows and fit its MLE: one pass.

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
    sample = yield _sample(problem, size, seed, searched)
    pilot = yield Settle(problem.apply(fit_pilot, sample, problem.model, name="pilot-fit"))
    return pilot, _learned(problem, _classes_of_fit, pilot)


def draw_sample(problem: Problem, size: str | int | float, seed: int) -> Learned:
    """Draw a simple random sample of all usable rows: one pass.

    Parameters
    ----------
    problem : Problem
        Model and data.
    size : "auto", int or float
        Rows, or fraction of all rows.
    seed : int
        Seed of the sample.

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
    sample = yield Settle((yield _sample(problem, size, seed, True)))
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
    known = yield Settle(problem.apply(survey, sample, problem.model.n_classes, name="survey-report"))
    return known, _learned(problem, _labels, known)


def with_labels(problem: Problem) -> Generator[Any, Any, Problem]:
    """Learn the classes of a classification, by a pass, unless they are known."""
    if not problem.model.classify or problem.classes is not None:
        return problem
    _, problem = yield from take_survey(problem)
    return problem


def _sample(problem: Problem, size: str | int | float, seed: int, searched: bool) -> Pass:
    model = problem.model.unrestricted
    known = problem.blocks.n_rows if model.missing == "raise" else None
    rule = PilotSize(check_pilot_size(size), len(model.all_names), known)
    kernel = pilot_rows if searched else unsearched_pilot_rows
    # The labels as they are, since they are to be learned.
    return Pass(kernel, model, (rule, seed), "pilot-sample", guarded=problem.guarded)


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
