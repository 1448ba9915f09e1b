"""How kernels are declared, and the view that a model has of rows: labels encoded, fixed coefficients moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.solve.threads import aligned

__all__ = [
    "Traits",
    "encode",
    "hold",
    "kernel",
    "traits_of",
]


@dataclass(frozen=True, slots=True)
class Traits:
    """How a kernel is run; the defaults are safe for any kernel, and are those of one that declares nothing.

    Attributes
    ----------
    whole : str
        Why it must see all rows of a block at once; empty if it is run on pieces of a large block, whose records are
        added.
    checked : {"before", "after", "later"}
        When covariates are searched for NaN and infinity: before the kernel, after it where its sums are not finite, or
        by a later pass.
    columns : {"free", "all"}
        Whether it sees the columns whose coefficients are estimated, the others moved into the offset, or all columns.
    raw : bool
        Whether it takes the `Block` as it arrives, before it becomes rows.
    """

    whole: str = ""
    checked: str = "before"
    columns: str = "free"
    raw: bool = False


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    whole: str = "",
    checked: str = "before",
    columns: str = "free",
    raw: bool = False,
) -> Callable[..., Any]:
    """Declare how a kernel, a function of rows, model and other arguments to a record with ``+``, is run.

    Parameters
    ----------
    function : callable, optional
        The kernel, where nothing departs from the defaults.
    whole, checked, columns, raw
        As in `Traits`.

    Returns
    -------
    callable
        The same function, declared; or what declares it.

    Examples
    --------
    >>> from dask_onestep.kernels.rows.rows import kernel, traits_of
    >>> @kernel(whole="the median of a block is not a sum over its pieces")
    ... def medians(rows, model): ...
    >>> traits_of(medians).whole
    'the median of a block is not a sum over its pieces'
    """
    if checked not in ("before", "after", "later") or columns not in ("free", "all"):
        raise ValueError(f"Unknown checked={checked!r} or columns={columns!r} of a kernel.")

    def declared(function: Callable[..., Any]) -> Callable[..., Any]:
        function.traits = Traits(whole, checked, columns, raw)  # type: ignore[attr-defined]
        return function

    return declared if function is None else declared(function)


def traits_of(function: Callable[..., Any]) -> Traits:
    """Return how a kernel is run."""
    return getattr(function, "traits", Traits())


def encode(rows: Rows, classes: np.ndarray | None) -> Rows | Findings:
    """Return the rows with labels as 0, 1, …; rows of a regression pass as they are.

    Parameters
    ----------
    rows : Rows
        A block's rows, `y` still labels.
    classes : ndarray of shape (C,) or None
        The labels of the whole data, sorted; None for a regression.

    Returns
    -------
    Rows or Findings
        The same rows with `y` in {0.0, …, C − 1.0}, or the labels that are no class.
    """
    if classes is None:
        return rows
    if len(classes) > 2:
        codes = np.minimum(np.searchsorted(classes, rows.y), len(classes) - 1)
        known = classes[codes] == rows.y
    else:
        codes = rows.y == classes[1]
        known = codes | (rows.y == classes[0])
    if not known.all():
        strange = ~known
        example = rows.y[np.argmax(strange) : np.argmax(strange) + 1].tolist()[0]
        what = f"y has labels that are none of the classes {classes.tolist()}: {example!r} for one"
        cure = "Leave these rows out, or fit again with them."
        return Findings(((what, int(strange.sum()), cure),), (rows.number,))
    if rows.y.dtype == np.float64 and classes.tolist() == [0, 1]:
        return replace(rows, y=aligned(rows.y))  # they are their own codes
    return replace(rows, y=codes.astype(np.float64))


def hold(rows: Rows, model: Model) -> Rows:
    """Return the rows with the columns of fixed coefficients moved into the offset.

    Where there is no offset the columns stay: they may be free for some linear predictors.

    Parameters
    ----------
    rows : Rows
        A block's rows.
    model : Model
        The model.

    Returns
    -------
    Rows
        Rows of the columns that are estimated.
    """
    if not model.fixed or not model.likelihood.takes_offset:
        return rows
    held = dict(model.fixed)
    offset = np.full(len(rows), held.get("intercept", 0.0))
    if rows.offset is not None:
        offset += rows.offset
    for number, name in enumerate(model.columns):
        if held.get(name):
            offset += held[name] * rows.x[:, number]
    free = [number for number, name in enumerate(model.columns) if name not in held]
    x = rows.x[:, free]
    if model.ties:
        x = _tied(rows, model, x, [model.columns[number] for number in free])
    return replace(rows, x=x, offset=offset)


def _tied(rows: Rows, model: Model, x: np.ndarray | SplitMatrix, names: list[str]) -> np.ndarray:
    """Return the columns that are estimated, with those of the coefficients that depend on them added."""
    x = x.toarray() if isinstance(x, SplitMatrix) else x.astype(np.float64)
    for name, others in model.ties:
        column: Any = 1.0
        if name != "intercept":
            part = rows.x[:, [model.columns.index(name)]]
            column = (part.toarray() if isinstance(part, SplitMatrix) else part)[:, 0]
        for other, factor in others:
            x[:, names.index(other)] += factor * column
    return aligned(x)
