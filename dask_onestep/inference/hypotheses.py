"""Null hypotheses: as users write them, as restrictions, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["null_text", "parse_null", "restrictions"]

_AS_IN = "name the coefficients, as in null=['x1'] or null={'x1': 0.5}"

Null = str | Sequence[str] | Mapping[str, float]


def parse_null(null: Null, coefficients: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return a null hypothesis as name → value.

    Parameters
    ----------
    null : str, sequence of str, or mapping from str to float
        Coefficients that are zero jointly, or have the values given; a regressor stands for all of its
        coefficients, which are several in a multinomial logit.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor, as ``Model.by_regressor`` has them.

    Returns
    -------
    dict
        Name to value, in the order of the coefficients, class by class.

    Raises
    ------
    ValueError
        If it is None or empty, a name is not known, a coefficient is given two values, or a value is not a
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
    """
    if null is None:
        raise ValueError(f"null is missing: {_AS_IN}.")
    if isinstance(null, str):
        null = [null]
    if not isinstance(null, (Mapping, Iterable)) or any(isinstance(name, np.ndarray) for name in null):
        raise TypeError(f"null={null!r} is neither names nor name → value: {_AS_IN}.")
    given = dict(null) if isinstance(null, Mapping) else dict.fromkeys(null, 0.0)
    if not given:
        raise ValueError("null is empty: name at least one coefficient, such as null=['x1'].")
    names = [name for of_class in zip(*coefficients.values(), strict=True) for name in of_class]
    if unknown := [name for name in given if name not in names and name not in coefficients]:
        whole = "" if set(coefficients) == set(names) else f"; and, for all classes, {', '.join(coefficients)}"
        raise ValueError(f"null names {unknown}, which are not coefficients. These are: {', '.join(names)}{whole}.")
    values: dict[str, float] = {}
    for name, value in given.items():
        if not isinstance(value, Real) or not np.isfinite(value):
            raise ValueError(f"null sets {name} to {value!r}, which is not a finite number.")
        for each in (name,) if name in names else coefficients[name]:
            if values.setdefault(each, float(value)) != value:
                raise ValueError(f"null sets {each} to {values[each]:g} and to {value:g}: name it once.")
    return {name: values[name] for name in names if name in values}


def null_text(null: Mapping[str, float], coefficients: Mapping[str, Sequence[str]]) -> str:
    """Return a null hypothesis in words.

    Parameters
    ----------
    null : mapping from str to float
        Name to value.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor.

    Returns
    -------
    str
        Such as ``x1 = 0, x2 = 1``, or ``x1 = 0 in each class`` for all coefficients of a regressor.
    """
    left, words = dict(null), []
    for regressor, names in coefficients.items():
        if len(names) > 1 and len({left.get(name) for name in names}) == 1 and names[0] in left:
            words.append(f"{regressor} = {left[names[0]]:g} in each class")
            left = {name: value for name, value in left.items() if name not in names}
    return ", ".join([*words, *(f"{name} = {value:g}" for name, value in left.items())])


def restrictions(
    null: Any, names: Sequence[str], coefficients: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return R, r and words for a hypothesis by names, by values, or as a pair (R, r) or matrix R.

    Parameters
    ----------
    null : str, sequence of str, mapping, ndarray of shape (s, d), or tuple of two arrays
        The hypothesis.
    names : sequence of str
        Names of the d coefficients.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor.

    Returns
    -------
    restriction : ndarray of shape (s, d)
        R.
    value : ndarray of shape (s,)
        r.
    text : str
        The hypothesis in words.

    Raises
    ------
    ValueError
        If shapes or names do not fit.
    """
    pair = isinstance(null, tuple) and len(null) == 2 and not isinstance(null[0], str)
    if (isinstance(null, np.ndarray) and null.dtype.kind in "fiub") or pair:
        try:
            matrix = np.atleast_2d(np.asarray(null[0] if pair else null, dtype=np.float64))
            told = np.asarray(null[1] if pair else 0.0, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"null=(R, r) must hold numbers: {error}.") from error
        if not (np.isfinite(matrix).all() and np.isfinite(told).all()):
            raise ValueError("null=(R, r) holds NaN or infinity; give r a value for each row of R.")
        if matrix.shape[1] != len(names):
            raise ValueError(
                f"R has {matrix.shape[1]} columns, and there are {len(names)} coefficients: give it one for each, in "
                "the order of coef_table()."
            )
        if told.ndim and told.shape != (len(matrix),):
            raise ValueError(f"R has {len(matrix)} rows, and r has shape {told.shape}: give it one value a row.")
        value = np.broadcast_to(told, len(matrix))
        return matrix, value, f"R b = r ({len(matrix)} restriction{'s' if len(matrix) > 1 else ''})"
    values = parse_null(null, coefficients)
    return (
        np.eye(len(names))[[list(names).index(name) for name in values]],
        np.array(list(values.values())),
        null_text(values, coefficients),
    )
