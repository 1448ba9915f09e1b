"""Reasons why formulaic cannot evaluate a formula on some rows: which column, how many rows, and the remedy."""

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.expressions import evaluate, only_numbers
from dask_onestep.kernels.designs.grammar import STATEFUL, called, checked, written
from dask_onestep.kernels.designs.parts import TableLike
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.records import Findings

# The default behavior of each spline beyond its bounds.
_EXTRAPOLATION = {"bs": "raise", "cc": "extend", "cr": "extend", "cs": "extend"}


class EvaluationError(ValueError):
    """formulaic cannot evaluate a formula on some rows; the text is the first line of its message."""


@contextmanager
def evaluating() -> Iterator[None]:
    """Convert formulaic's errors about a formula and its rows to `EvaluationError`."""
    try:
        with np.errstate(all="ignore"):  # non-finite values are found later, with their position
            yield
    except Exception as error:
        # If formulaic has raised an error it is loaded; models without a formula do not need it.
        own = getattr(sys.modules.get("formulaic.errors"), "FormulaicError", ValueError)
        if not isinstance(error, (own, TypeError, ValueError)):
            raise
        raise EvaluationError((str(error) or type(error).__name__).splitlines()[0]) from error


def what_is_wrong(
    error: EvaluationError, terms: Terms, frame: TableLike, states: Mapping[str, Any], blocks: tuple[int, ...]
) -> Findings:
    """Return why a formula could not be evaluated on some rows."""
    found = values_beyond(terms, frame, states)
    return Findings(found or ((str(error).rstrip("."), 0, "Fix the rows, or the formula."),), blocks)


def values_beyond(
    terms: Terms, frame: TableLike, states: Mapping[str, Any], rows: np.ndarray | None = None
) -> tuple[tuple[str, int, str], ...]:
    """Return which splines reject values of all or some rows, on how many, and the remedy; `states` as above."""
    found = []
    for node, low, high, outside in _outside(terms, frame, states):
        if count := int((outside if rows is None else outside[rows]).sum()):
            known_range = np.isfinite([low, high]).all()
            where = f"beyond {low:.10g} to {high:.10g}, the range" if known_range else "beyond a boundary knot"
            cure = (
                f"Drop these rows, or fit with lower_bound= and upper_bound= in {called(node)} that include them, or "
                "with extrapolation='clip' or 'extend'."
            )
            found.append((f"{written(node.args[0])} has values {where} of {written(node)}", count, cure))
    return tuple(found)


def beyond_bounds(terms: Terms, frame: TableLike, states: Mapping[str, Any]) -> np.ndarray:
    """Return which rows a formula's splines reject, of shape (m,); `states` as for `what_is_wrong`."""
    masks = [outside for _, _, _, outside in _outside(terms, frame, states)]
    return np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *masks])


def _outside(
    terms: Terms, frame: TableLike, states: Mapping[str, Any]
) -> Iterator[tuple[ast.Call, float, float, np.ndarray]]:
    """Yield each spline that rejects values beyond its bounds, with the bounds, and which rows are beyond."""
    known = {ast.dump(ast.parse(call, mode="eval").body): state for call, state in states.items()}
    for node in _refusing_splines(terms):
        low, high = _bounds(node, known.get(ast.dump(node), {}))
        if not np.isfinite([low, high]).any():
            continue
        argument = written(node.args[0])
        values = np.asarray(only_numbers(evaluate(argument, frame), argument), np.float64)
        yield node, low, high, (values < low) | (values > high)


def _refusing_splines(terms: Terms) -> Iterator[ast.Call]:
    """Yield the splines that reject values beyond their bounds and whose argument has no state."""
    for factor in terms.factors:
        if not factor.states:
            continue
        for node in ast.walk(checked(factor.name, factor.name)):
            if isinstance(node, ast.Call) and node.args and called(node) in _EXTRAPOLATION:
                does = _given(node, "extrapolation", _EXTRAPOLATION[str(called(node))])
                if does == "raise" and not any(called(inner) in STATEFUL for inner in ast.walk(node.args[0])):
                    yield node


def _bounds(node: ast.Call, state: Mapping[str, Any]) -> tuple[float, float]:
    low, high = _given(node, "lower_bound", -np.inf), _given(node, "upper_bound", np.inf)
    return float(state.get("lower_bound", low)), float(state.get("upper_bound", high))


def _given(node: ast.Call, option: str, default: Any) -> Any:
    """Return the value of an option in a call, if it is a plain string or number."""
    for keyword in node.keywords:
        if keyword.arg == option:
            try:
                return ast.literal_eval(keyword.value)
            except ValueError:
                return default
    return default
