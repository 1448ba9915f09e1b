"""Declaration of kernels, and the rows as a model sees them: labels encoded, fixed coefficients in the offset."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, written
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.solve.threads import aligned


@dataclass(frozen=True, slots=True)
class Traits:
    """How a kernel is run. The defaults, which also apply without a declaration, are safe for any kernel.

    Attributes
    ----------
    whole : str
        Why it must see all rows of a block at once; if empty, it is run on pieces of a large block, whose records are
        added.
    checked : {"before", "after", "later"}
        When covariates are searched for NaN and infinity: before the kernel, after it if its sums are not finite, or in
        a later pass.
    columns : {"free", "all"}
        Whether it sees only the columns of estimated coefficients, with the others in the offset, or all columns.
    raw : bool
        Whether it accepts the unprepared `Block` instead of rows.
    by_block : bool
        Whether its record tells blocks apart, so that tiny blocks are not joined.
    sliced : bool
        Whether it reads covariates only in `slices`, which may write them; if not, they are written before.
    """

    whole: str = ""
    checked: str = "before"
    columns: str = "free"
    raw: bool = False
    by_block: bool = False
    sliced: bool = False


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    whole: str = "",
    checked: str = "before",
    columns: str = "free",
    raw: bool = False,
    by_block: bool = False,
    sliced: bool = False,
) -> Callable[..., Any]:
    """Declare how a kernel is run: a function of rows, model and further arguments that returns a record with ``+``.

    Parameters
    ----------
    function : callable, optional
        The kernel, if all traits are the defaults.
    whole, checked, columns, raw, by_block, sliced
        As in `Traits`.

    Returns
    -------
    callable
        The same function, declared; or a decorator.

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
        function.traits = Traits(whole, checked, columns, raw, by_block, sliced)  # type: ignore[attr-defined]
        return function

    return declared if function is None else declared(function)


def traits_of(function: Callable[..., Any]) -> Traits:
    """Return how a kernel is run."""
    return getattr(function, "traits", Traits())


def encode(rows: Rows, classes: np.ndarray | None) -> Rows | Findings:
    """Return the rows with labels encoded as 0.0, 1.0, …, or the labels that are not classes.

    `classes` are the sorted labels of the full data; None for a regression, whose rows are unchanged.
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
        what = f"y has labels that are not among the classes {classes.tolist()} (e.g. {example!r})"
        cure = "Drop these rows, or fit again with them."
        return Findings(((what, int(strange.sum()), cure),), (rows.number,))
    if rows.y.dtype == np.float64 and classes.tolist() == [0, 1]:
        return replace(rows, y=aligned(rows.y))  # they are their own codes
    return replace(rows, y=codes.astype(np.float64))


def hold(rows: Rows, model: Model) -> Rows:
    """Return the rows with the columns of fixed coefficients moved into the offset.

    Without an offset the columns stay, since their coefficients may be free for some linear predictors.
    """
    if not model.fixed or not model.likelihood.takes_offset:
        return rows
    held, rows = dict(model.fixed), replace(rows, x=written(rows.x))
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
    """Return the estimated columns, with the columns of coefficients that depend on theirs added."""
    x = x.toarray() if isinstance(x, SplitMatrix) else x.astype(np.float64)
    for name, others in model.ties:
        column: Any = 1.0
        if name != "intercept":
            part = rows.x[:, [model.columns.index(name)]]
            column = (part.toarray() if isinstance(part, SplitMatrix) else part)[:, 0]
        for other, factor in others:
            x[:, names.index(other)] += factor * column
    return aligned(x)
