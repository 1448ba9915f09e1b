"""Null hypotheses: as users write them, as restrictions, and as text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.choices import suggestion
from dask_onestep.messages import catalogue

_ZERO = 1e-12  # a factor of a constraint below which it is rounding
_MOST_SHOWN = 20  # restrictions
_SHOWN = 6  # equations, and coefficients in one, that are written out

_QUOTED = re.compile("`([^`]*)`")

_AS_IN = "name the coefficients, as in null=['x1'] or null={'x1': 0.5}"

Null = str | Sequence[str] | Mapping[str, float]


def parse_null(
    null: Null, coefficients: Mapping[str, Sequence[str]], terms: Mapping[str, Sequence[str]] | None = None
) -> dict[str, float]:
    """Return a null hypothesis as name → value.

    Parameters
    ----------
    null : str, sequence of str, or mapping from str to float
        Coefficients that are zero jointly, or have the values given; a term or a regressor stands for all of its
        coefficients, which of a regressor are several in a multinomial logit.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor, as ``Model.by_regressor`` has them.
    terms : mapping from str to sequence of str, optional
        Those of each term, as ``Model.by_term`` has them.

    Returns
    -------
    dict
        Name to value, in the order of the coefficients, class by class.

    Raises
    ------
    ValueError
        If it is None or empty, a name is unknown, a coefficient is given two values, or a value is not a
        finite number.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> from dask_onestep.inference import parse_null
    >>> parse_null(["x1", "x0"], {"intercept": ["intercept"], "x0": ["x0"], "x1": ["x1"]})
    {'x0': 0.0, 'x1': 0.0}
    >>> parse_null("x0", {"x0": ["birch:x0", "cedar:x0"]})
    {'birch:x0': 0.0, 'cedar:x0': 0.0}
    >>> parse_null("carrier", {"carrier[T.UA]": ["carrier[T.UA]"]}, {"carrier": ["carrier[T.UA]"]})
    {'carrier[T.UA]': 0.0}
    """
    if null is None:
        raise ValueError(f"null is missing: {_AS_IN}.")
    if isinstance(null, str):
        null = [null]
    if not isinstance(null, Iterable) or not all(isinstance(name, str) for name in null):
        raise TypeError(f"null={null!r} must be names or a dict of name → value: {_AS_IN}.")
    given = dict(null) if isinstance(null, Mapping) else dict.fromkeys(null, 0.0)
    if not given:
        raise ValueError("null is empty: name at least one coefficient, such as null=['x1'].")
    names, groups = _known_names(given, coefficients, terms or {}, "null")
    values: dict[str, float] = {}
    for name, value in given.items():
        if not isinstance(value, Real) or not np.isfinite(value):
            raise ValueError(f"null sets {name} to {value!r}, which is not a finite number.")
        for each in (name,) if name in names else groups[name]:
            if values.setdefault(each, float(value)) != value:
                raise ValueError(f"null sets {each} to {values[each]:g} and to {value:g}: name it once.")
    return {name: values[name] for name in names if name in values}


def named_coefficients(
    asked: str | Iterable[str],
    coefficients: Mapping[str, Sequence[str]],
    terms: Mapping[str, Sequence[str]],
    option: str,
) -> list[str]:
    """Return the coefficients that are named, or whose terms or regressors are.

    Parameters
    ----------
    asked : str or iterable of str
        The names.
    coefficients, terms : mapping from str to sequence of str
        As for `parse_null`.
    option : str
        What the names were passed as, for messages.

    Returns
    -------
    list of str
        In the order of the coefficients.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If they are no names.
    """
    given = [asked] if isinstance(asked, str) else list(asked) if isinstance(asked, Iterable) else [asked]
    if not all(isinstance(name, str) for name in given):
        raise TypeError(f"{option}={asked!r} must be names of coefficients or terms.")
    names, groups = _known_names(given, coefficients, terms, option)
    kept = {each for name in given for each in ((name,) if name in names else groups[name])}
    return [name for name in names if name in kept]


def _known_names(
    given: Iterable[str], coefficients: Mapping[str, Sequence[str]], terms: Mapping[str, Sequence[str]], option: str
) -> tuple[list[str], dict[str, Sequence[str]]]:
    """Return all coefficients, class by class, and those of each term and regressor; raise if a name is neither."""
    names = [name for of_class in zip(*coefficients.values(), strict=True) for name in of_class]
    groups = {**terms, **coefficients}
    if unknown := [name for name in given if name not in names and name not in groups]:
        several = [name for name in groups if name not in names]
        whole = f"; terms and covariates of several coefficients: {', '.join(several)}" if several else ""
        raise unknown_coefficients(unknown, option, names, whole)
    return names, groups


def null_text(null: Mapping[str, float], coefficients: Mapping[str, Sequence[str]]) -> str:
    """Return a null hypothesis as text."""
    left, words = dict(null), []
    for regressor, names in coefficients.items():
        if len(names) > 1 and len({left.get(name) for name in names}) == 1 and names[0] in left:
            words.append(f"{regressor} = {left[names[0]]:g} in each class")
            left = {name: value for name, value in left.items() if name not in names}
    words += [f"{name} = {value:g}" for name, value in left.items()]
    more = len(words) - _MOST_SHOWN
    return ", ".join(words[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A null hypothesis R β = r, and the same solved for as many coefficients as there are restrictions.

    Attributes
    ----------
    matrix : ndarray of shape (s, d)
        R.
    value : ndarray of shape (s,)
        r.
    text : str
        The hypothesis as text.
    fixed : dict
        The coefficients that it determines, with their values where all others are 0.
    ties : tuple of (str, tuple of (str, float))
        Of these coefficients, the others that each depends on, with their factors.
    """

    matrix: np.ndarray
    value: np.ndarray
    text: str
    fixed: dict[str, float]
    ties: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()


def parse_hypothesis(
    null: Any,
    names: Sequence[str],
    coefficients: Mapping[str, Sequence[str]],
    terms: Mapping[str, Sequence[str]],
    coef: np.ndarray,
) -> Hypothesis:
    """Return a null hypothesis as users write them: names, terms, values, constraints, or R with or without r."""
    if isinstance(null, pd.Series) and pd.api.types.is_numeric_dtype(null):
        raise TypeError("null is a Series of numbers: pass null.to_dict() for name → value, or R as an array.")
    pair = isinstance(null, tuple) and len(null) == 2 and _is_matrix(null[0])
    if pair or _is_matrix(null):
        matrix, value = _matrix_of(null[0], null[1], names) if pair else _matrix_of(null, 0.0, names)
        return _solved(matrix, value, names, _in_words(matrix, value, names))
    known = {*names, *coefficients, *terms}
    written = [null] if isinstance(null, str) else null
    if isinstance(written, (list, tuple)) and any(
        isinstance(each, str) and "=" in each and each not in known for each in written
    ):
        return _constraints(written, known, names, coefficients, terms)
    values = parse_null(null, coefficients, terms)
    kept = _not_aliased(values, null, names, coef)
    index = list(names)
    return Hypothesis(
        np.eye(len(names))[[index.index(name) for name in kept]],
        np.array(list(kept.values())),
        null_text(values, coefficients),
        values,
    )


def _is_matrix(null: Any) -> bool:
    """Return whether a hypothesis is R: a table, an array of numbers, or nested lists of them."""
    if isinstance(null, pd.DataFrame):
        return True
    if isinstance(null, (list, tuple)):
        return bool(null) and all(_is_matrix(row) or isinstance(row, Real) for row in null)
    return getattr(getattr(null, "dtype", None), "kind", "") in {*"fiub"}


def _in_words(matrix: np.ndarray, value: np.ndarray, names: Sequence[str]) -> str:
    """Return R β = r as equations, or their number if there are many."""
    if len(matrix) > _SHOWN or (np.abs(matrix) > 0).sum(axis=1).max() > _SHOWN:
        return f"{len(matrix)} linear restrictions"
    equations = []
    for row, right in zip(matrix, value, strict=True):
        factors = [(factor, name) for factor, name in zip(row, names, strict=True) if factor]
        left = " ".join(
            f"{'-' if factor < 0 else '+'} {'' if abs(factor) == 1 else f'{abs(factor):g} '}{name}"
            for factor, name in factors
        )
        equations.append(f"{left.removeprefix('+ ')} = {right:g}")
    return ", ".join(equations)


def _matrix_of(null: Any, right: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(null, pd.DataFrame) and not isinstance(null.columns, pd.RangeIndex):
        if unknown := [name for name in null.columns if name not in names]:
            raise unknown_coefficients(unknown, "the columns of R", names)
        null = null.reindex(columns=list(names), fill_value=0.0)
    try:
        matrix = np.atleast_2d(np.asarray(null, dtype=np.float64))
        value = np.asarray(right, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"null=(R, r) must hold numbers: {error}.") from error
    if not (np.isfinite(matrix).all() and np.isfinite(value).all()):
        raise ValueError("null=(R, r) holds NaN or infinity; give r a value for each row of R.")
    if matrix.shape[1] != len(names):
        raise ValueError(
            f"R has {matrix.shape[1]} columns, and there are {len(names)} coefficients: give it one for each, in "
            "the order of coef_table()."
        )
    if value.ndim and value.shape != (len(matrix),):
        raise ValueError(
            f"R has {len(matrix)} rows, and r has shape {value.shape}: give r one value for each row of R."
        )
    return matrix, np.broadcast_to(value, len(matrix))


def _not_aliased(values: dict[str, float], null: Any, names: Sequence[str], coef: np.ndarray) -> dict[str, float]:
    """Return the restrictions without aliased coefficients that only a term names, unless there are no others."""
    asked = {null} if isinstance(null, str) else set(null)
    aliased = {name for name, value in zip(names, coef, strict=True) if np.isnan(value)} - asked
    return {name: value for name, value in values.items() if name not in aliased} or values


def _constraints(
    written: Sequence[str],
    known: set[str],
    names: Sequence[str],
    coefficients: Mapping[str, Sequence[str]],
    terms: Mapping[str, Sequence[str]],
) -> Hypothesis:
    """Return the hypothesis of constraints, among which there may be names."""
    try:
        from formulaic.utils.constraints import LinearConstraints
    except ImportError as error:
        raise ImportError(
            f"Constraints such as {written[0]!r} need formulaic: pip install 'dask_onestep[formula]'; or pass (R, r)."
        ) from error
    matrices, values = [], []

    def add_names(name: str) -> None:
        held = parse_null(name, coefficients, terms)
        matrices.append(np.eye(len(names))[[list(names).index(each) for each in held]])
        values.append(np.zeros(len(held)))

    for each in written:
        if each in known:
            add_names(each)
            continue
        term, _, right = (part.strip() for part in each.rpartition("="))
        if right == "0" and term.strip("`") in {*coefficients, *terms}:
            add_names(term.strip("`"))
            continue
        if any(part.count("=") != 1 for part in _QUOTED.sub("", each).split(",")):
            raise ValueError(f"The constraint {each!r} must have one equals sign, as in 'x1 = x2' or 'x1 + x2 = 1'.")
        try:
            found = LinearConstraints.from_spec(each, variable_names=list(names))
        except Exception as error:
            raise ValueError(
                f"The constraint {each!r} cannot be read: it must be linear in coefficients, which are "
                f"{', '.join(names)}; put names with other signs than letters and digits in backticks."
            ) from error
        matrices.append(np.atleast_2d(np.asarray(found.constraint_matrix, dtype=np.float64)))
        values.append(np.atleast_1d(np.asarray(found.constraint_values, dtype=np.float64)))
    return _solved(np.concatenate(matrices), np.concatenate(values), names, ", ".join(written))


def unknown_coefficients(unknown: Iterable[str], where: str, names: Iterable[str], more: str = "") -> Exception:
    """Return the error that names are not those of coefficients."""
    unknown, names = list(map(str, unknown)), list(names)
    said = {"unknown": list(map(repr, unknown)), "where": where, "names": names, "more": more}
    return catalogue.UNKNOWN_COEFFICIENTS.error(**said, hint=suggestion(unknown[0], names))


def _solved(matrix: np.ndarray, value: np.ndarray, names: Sequence[str], text: str) -> Hypothesis:
    """Return the hypothesis solved for one coefficient in each restriction: the intercept first, if it is concerned."""
    rows, right = matrix.astype(np.float64), np.array(value, dtype=np.float64)
    pivots: list[int] = []
    for at in range(len(rows)):
        rest = np.abs(rows[at:])
        rest[:, pivots] = 0.0
        scale = rest.max()
        if not scale > _ZERO * np.abs(matrix).max(initial=1.0):
            raise catalogue.DEPENDENT_RESTRICTIONS.error(text=text)
        intercept = [0] if names[0] == "intercept" and rest[:, 0].max() > _ZERO * scale else []
        column = intercept[0] if intercept else int(rest.max(axis=0).argmax())
        row = at + int(rest[:, column].argmax())
        rows[[at, row]], right[[at, row]] = rows[[row, at]], right[[row, at]]
        right[at] /= rows[at, column]
        rows[at] /= rows[at, column]
        for other in range(len(rows)):
            if other != at:
                right[other] -= rows[other, column] * right[at]
                rows[other] -= rows[other, column] * rows[at]
        pivots.append(column)
    fixed, ties = {}, []
    for row, pivot in enumerate(pivots):
        fixed[names[pivot]] = float(right[row])
        others = [int(j) for j in np.flatnonzero(np.abs(rows[row]) > _ZERO) if j not in pivots]
        if others:
            ties.append((names[pivot], tuple((names[j], float(-rows[row, j])) for j in others)))
    return Hypothesis(matrix, np.asarray(value, dtype=np.float64), text, fixed, tuple(ties))
