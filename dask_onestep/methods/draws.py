"""What plans learn of the data before they estimate: a pilot sample, the classes of y, how many rows there are."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
from dask.delayed import Delayed

from dask_onestep.kernels.designs.assembly import make_design
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import (
    pilot_rows,
    refuse_no_rows,
    resized,
    survey,
    unsearched_pilot_rows,
    with_matrix,
)
from dask_onestep.kernels.pilots.pilot import PilotFit, fit_or_keep
from dask_onestep.kernels.pilots.profile import Profile, designed_sample, pilot_of, profile
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize
from dask_onestep.kernels.pilots.strata import StrataRule
from dask_onestep.kernels.rows.labels import MoreClassesError
from dask_onestep.methods.arguments import check_pilot_size
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Kept, Look, Pass, Plan, Settle

# Rows that an automatic pilot of more than max(20√N, 50·d) rows has at most, and their memory.
_MOST_ROWS, _KEPT_BYTES = 700_000, 64 * 2**20
# Rows that the pass which learns a design keeps if no later check is made.
_KEPT_ROWS = 100_000
# Coefficients that these serve, with 50 rows each.
MOST_COEFFICIENTS = _KEPT_ROWS // 50
# The memory of a matrix, of so many times its raw columns.
_EXPANSION = 4
# A block of a small table may have so many times the rows of an average one, and still come whole in the first pass.
_UNEVEN = 1.25

Learned = Generator[Any, Any, tuple[Delayed, Problem]]


def draw_pilot(problem: Problem, draw: Draw, *, settled: bool = True) -> Learned:
    """Draw a random sample of all usable rows and fit its MLE: one pass, or none where its rows have been kept.

    A restricted model has the sample of the unrestricted one.  If not `settled`, the plan's next request is to compute
    what it makes of the pilot, and no other pass needs it.

    Raises
    ------
    MoreClassesError
        If there are more than two classes.  The pilot of the multinomial model is drawn from the rows that were kept.
    """
    model = problem.model.unrestricted
    size = _size_of(problem, draw, len(model.all_names))
    learning = settled and model.classify and model.n_classes == 2 and not problem.lazy
    sample = yield from _drawn(problem, draw, size, open=learning)
    pilot = problem.apply(fit_or_keep, sample, problem.model, size, name="pilot-fit")
    if settled:
        pilot = yield from _settled(problem, pilot)
    if learning and (found := (yield Look(problem.apply(_more_classes, pilot, name="classes")))):
        labels, n, enough_for = found
        raise MoreClassesError(labels, kept=Kept(pilot, draw, True, n, enough_for))
    return pilot, _learned(problem, attrgetter("survey.classes"), pilot)


def draw_sample(problem: Problem, draw: Draw) -> Learned:
    """Draw a random sample of all usable rows: one pass, or none where its rows have been kept."""
    size = _size_of(problem, draw, len(problem.model.unrestricted.all_names))
    sample = yield Settle((yield from _drawn(problem, draw, size)))
    return sample, _learned(problem, _classes, sample, problem.model.n_classes)


def take_survey(problem: Problem) -> Learned:
    """Count the rows and learn the classes, for methods that draw no pilot: one pass, unless rows have been kept."""
    model = problem.model.unrestricted
    if problem.kept is not None:
        sample = problem.kept.sample
    else:
        sample = yield _request(problem, pilot_rows, model, (PilotSize(0, problem.d), 0), "survey")
    known = yield from _settled(problem, problem.apply(survey, sample, problem.model.n_classes, name="survey-report"))
    return known, _learned(problem, attrgetter("classes"), known)


def take_profile(problem: Problem, method: Any) -> Generator[Any, Any, tuple[Delayed, Kept]]:
    """Learn levels and states of the design from the full data, and draw the method's pilot: one pass."""
    draw = method.draw(problem) if hasattr(method, "draw") else Draw(None)
    total = None if problem.blocks.weighted else problem.blocks.n_rows
    checked = not problem.lazy
    n_rows = problem.blocks.n_rows if checked else None
    rows = min(_MOST_ROWS if checked else _KEPT_ROWS, rows_within(problem, _KEPT_BYTES)[0])
    size = _size_of(problem, draw, max(rows // 50, 1))
    size = replace(size, open=True, n_rows=n_rows, checked=checked, ranges=problem.blocks.ranges)
    found = yield Settle((yield _request(problem, profile, problem.model, (size, draw.seed, total), "levels")))
    # No covariate is searched before its design is known.
    return found, Kept(problem.apply(pilot_of, found, name="pilot-sample"), replace(draw, searched=False))


def learned_design(terms: Terms, dtypes: Mapping[str, Any], found: Profile) -> tuple[Design, int, int]:
    """Return the design that a profile completes, the usable rows, and for how many coefficients it kept rows."""
    refuse_no_rows(found.pilot)
    return make_design(terms, dtypes, found), found.n, found.pilot.enough_for


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


def _drawn(problem: Problem, draw: Draw, size: PilotSize, *, open: bool = False) -> Generator[Any, Any, Delayed]:
    """Return a sample, of the rows kept by the first pass, if there are enough of them.

    If `open`, a pass keeps the rows that more classes may require.
    """
    model, kept = problem.model.unrestricted, problem.kept
    if kept is not None and _serves(kept, draw, size, lazy=problem.learned is not None):
        if kept.designed:
            return problem.apply(resized, kept.sample, size, name="pilot-sample")
        return problem.apply(designed_sample, kept.sample, model, size, draw.searched, name="pilot-sample")
    if problem.learned is not None:
        raise ValueError(
            f"fit_delayed: a pilot of {draw.size!r} rows cannot be drawn before levels and states are known. Use fit, "
            "or make columns known categories, X.categorize([...])."
        )
    if open:
        most = min(_MOST_ROWS, rows_within(problem, _KEPT_BYTES)[0]) // 50
        size = replace(size, d=max(most, size.d), open=True)
    kernel = pilot_rows if draw.searched else unsearched_pilot_rows
    # The labels as they are, since they are to be learned.
    sample = yield _request(problem, kernel, model, (size, draw.seed), "pilot-sample")
    return sample if model.design is None else problem.apply(with_matrix, sample, model, name="pilot-matrix")


def _more_classes(pilot: PilotFit | PilotSample) -> tuple[np.ndarray, int, int] | None:
    """Return, where rows were kept for more classes, the labels, N, and the largest pilot of which all rows were."""
    if isinstance(pilot, PilotFit):
        return None
    assert pilot.labels is not None
    return pilot.labels, pilot.n, pilot.enough_for


def _request(problem: Problem, kernel: Any, model: Model, arguments: tuple, name: str) -> Pass:
    """Return the request for a pass that reads the labels as they are."""
    return Pass(kernel, model, arguments, name, guarded=problem.guarded, source=problem.source)


def _size_of(problem: Problem, draw: Draw, d: int) -> PilotSize:
    model = problem.model.unrestricted
    stratified = draw.stratified and draw.size == "auto"
    strata = StrataRule.of(model, 1 if draw.held else len(problem.blocks)) if stratified else None
    rule = 0 if draw.size is None else check_pilot_size(draw.size)
    most = 0 if strata is None else min(_MOST_ROWS, rows_within(problem, _KEPT_BYTES)[0])
    total = problem.n_usable if problem.kept is None else problem.kept.n
    return PilotSize(rule, d, total, draw.whole, draw.hold, strata, most=most)


def _serves(kept: Kept, draw: Draw, size: PilotSize, *, lazy: bool) -> bool:
    same = (draw.size, draw.seed) == (kept.draw.size, kept.draw.seed) and draw.stratified <= kept.draw.stratified
    if kept.n is not None and kept.enough_for is not None and size.sampled(kept.n) > kept.enough_for:
        return False
    return same and not draw.held and draw.hold <= kept.draw.hold and (lazy or draw.searched <= kept.draw.searched)


def _settled(problem: Problem, handle: Delayed) -> Plan:
    """Return the plan of what a first pass gives; how many classes there are is known before the next one."""
    settled = yield Settle(handle, awaited=problem.model.classify)
    if problem.guarded and problem.model.classify and not problem.model.fixed:
        yield Look(problem.apply(_nothing, settled, name="classes"))  # an error is a value there, until it is looked at
    return settled


def _nothing(_: Any) -> None:
    return None


def _learned(problem: Problem, function: Any, *arguments: Any) -> Problem:
    if not problem.model.classify:
        return problem
    return replace(problem, classes=problem.apply(function, *arguments, name="classes"))


def _classes(sample: PilotSample, most: int) -> np.ndarray | None:
    return survey(sample, most).classes
