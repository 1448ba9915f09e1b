"""One block's rows: what arrives, what may be used, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.families import Family
from dask_onestep.kernels.basis import Basis
from dask_onestep.kernels.design import Design
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.table import DROP, gaps
from dask_onestep.kernels.threads import aligned
from dask_onestep.links import LinkLike

__all__ = [
    "Block",
    "Model",
    "Rows",
    "additive",
    "encode",
    "hold",
    "inspect_columns",
    "oversized_columns",
    "self_checking",
    "usable_rows",
]


# Above it a few thousand squares overflow float64; not a Python float, which float32 columns would cast to theirs.
_SQUARABLE = np.float64(1e152)


@dataclass(frozen=True)
class Model:
    """What is fitted: everything about a GLM but its data and its coefficients.

    Attributes
    ----------
    family : Family
        The law of y.
    link : LinkLike
        The link.
    columns : tuple of str
        Names of the columns of X, in order.
    fit_intercept : bool
        Whether x_i starts with a constant.
    classify : bool
        Whether y holds labels, to be encoded by the classes of the whole.
    missing : {"raise", "drop"}
        What is done with rows that hold NaN or infinity.
    weight_type : {"variance", "frequency"}
        Whether a weight counts as precision or as repeated rows.
    fixed : tuple of (str, float)
        Coefficients held at a value, as a null hypothesis holds them; they are not estimated.
    design : Design or None
        How a frame's block becomes a matrix of `columns`; None if it is one as it comes.
    outcomes : tuple of str
        The classes of a multinomial logit but for the first, each with coefficients of its own; empty for
        all other models.
    basis : Basis or None
        What the kernels take in place of the design's own columns, those held at a value left out; None for
        these columns themselves.
    """

    family: Family
    link: LinkLike
    columns: tuple[str, ...]
    fit_intercept: bool = True
    classify: bool = False
    missing: str = "raise"
    weight_type: str = "variance"
    fixed: tuple[tuple[str, float], ...] = ()
    design: Design | None = None
    outcomes: tuple[str, ...] = ()
    basis: Basis | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients that are estimated, in order."""
        free = self.free_names
        return tuple(f"{outcome}:{name}" for outcome in self.outcomes for name in free) if self.outcomes else free

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the design's columns whose coefficients are estimated."""
        held = dict(self.fixed)
        free = [name for name in self.all_names if name not in held]
        return tuple(free if self.basis is None else compress(free, self.basis.kept))

    @property
    def n_classes(self) -> int:
        """Classes of a classification."""
        return max(1, len(self.outcomes)) + 1

    @property
    def width(self) -> int:
        """Columns of the design: the coefficients, or those of one class."""
        return len(self.free_names)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names of all coefficients, those held at a value included."""
        return ("intercept", *self.columns) if self.fit_intercept else self.columns

    @property
    def has_intercept(self) -> bool:
        """Whether the first coefficient that is estimated is the intercept."""
        return self.fit_intercept and "intercept" not in dict(self.fixed)

    @property
    def natural(self) -> bool:
        """Whether η is the natural parameter of the family."""
        natural = self.family.natural_link
        return natural is not None and getattr(self.link, "name", None) == natural


@dataclass(frozen=True, slots=True)
class Block:
    """A row block as it arrives, one part per argument of ``fit``.

    Attributes
    ----------
    x : ndarray or DataFrame of shape (m, p)
        Covariates.
    y : ndarray or Series of shape (m,), or None
        Response, or labels; None if the model's design takes it from `x`.
    weights, offset, groups : array-like of shape (m,) or None
        As handed to ``fit``.
    number : int
        The block's number, from 0.
    start : int or None
        The global number of its first row, if chunk sizes are known.
    first : int
        Where a slice of a block begins within it.
    """

    x: Any
    y: Any = None
    weights: Any = None
    offset: Any = None
    groups: Any = None
    number: int = 0
    start: int | None = 0
    first: int = 0

    def sliced(self, length: int) -> Iterator[Block]:
        """Yield the block in slices of so many rows."""
        for begin in range(0, len(self.x), length):
            at = slice(begin, begin + length)
            parts = {name: _rows_at(getattr(self, name), at) for name in ("x", "y", "weights", "offset", "groups")}
            start = None if self.start is None else self.start + begin
            yield replace(self, start=start, first=self.first + begin, **parts)


@dataclass(frozen=True, slots=True)
class Rows:
    """The usable rows of a block, ready for the kernels.

    Attributes
    ----------
    x : ndarray of shape (m, p)
        Covariates, numeric, aligned, any float or integer dtype, without the constant.
    y : ndarray of shape (m,)
        Response as float64, or labels until they are encoded.
    weights, offset : ndarray of shape (m,) or None
        float64.
    groups : ndarray of shape (m,) or None
        Cluster labels.
    number : int
        The block's number.
    start : int or None
        The global number of the block's first row.
    kept : ndarray of shape (m,) or None
        Row numbers within the block, if rows were dropped.
    n_missing : int
        Rows dropped.
    first : int
        Where a slice of a block begins within it.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    groups: np.ndarray | None = None
    number: int = 0
    start: int | None = 0
    kept: np.ndarray | None = None
    n_missing: int = 0
    first: int = 0

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Any) -> Rows:
        """Return the rows that an index or a mask selects."""
        kept = np.arange(len(self)) if self.kept is None else self.kept
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            weights=None if self.weights is None else self.weights[index],
            offset=None if self.offset is None else self.offset[index],
            groups=None if self.groups is None else self.groups[index],
            kept=kept[index],
        )


def usable_rows(block: Block, model: Model) -> Rows | Findings:
    """Return the block's rows as arrays, or what is wrong with them.

    Covariates are not searched for NaN here unless rows with gaps are to be dropped: sums over all
    rows show them at no cost (`inspect_columns` then says where).

    Parameters
    ----------
    block : Block
        The block as it arrived.
    model : Model
        The model.

    Returns
    -------
    Rows or Findings
        The usable rows, or what forbids to use the block.
    """
    lengths = {
        name: len(part)
        for name in ("x", "y", "weights", "offset", "groups")
        if (part := getattr(block, name)) is not None
    }
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length} rows" for name, length in lengths.items())
        return _found(block, f"the parts of one block differ in length: {said}", 0, "Align them first.")
    kept, n_missing = None, 0
    if model.design is not None and isinstance(block.x, pd.DataFrame):
        designed = model.design.enter(block, model.missing)
        if isinstance(designed, Findings):
            return designed
        matrix, chosen, kept = designed
        n_missing = len(block.x) - len(matrix)
        block = replace(block, x=matrix, **chosen)
    x = _numeric_matrix(block, model)
    if isinstance(x, Findings):
        return x
    parts: dict[str, np.ndarray | None] = {}
    for name, wanted in (("y", not model.classify), ("weights", True), ("offset", True)):
        part = getattr(block, name)
        array = None if part is None else _vector(part, numeric=wanted)
        if isinstance(array, str):
            label = {"weights": "sample_weight"}.get(name, name)
            return _found(block, f"{label} {array}", len(x), "Convert it to numbers first.")
        parts[name] = array
    groups = None if block.groups is None else _vector(block.groups, numeric=False)
    rows = Rows(
        x,
        groups=groups,  # type: ignore[arg-type]
        number=block.number,
        start=block.start,
        kept=kept,
        n_missing=n_missing,
        first=block.first,
        **parts,  # type: ignore[arg-type]
    )
    if model.missing == "drop":
        complete = _complete_rows(rows)
        if not complete.all():
            rows = replace(rows.take(complete), n_missing=n_missing + int((~complete).sum()))
    return _check_values(rows, model) or rows


def _numeric_matrix(block: Block, model: Model) -> np.ndarray | Findings:
    x = block.x
    if isinstance(x, pd.DataFrame):
        if compound := [str(c) for c, t in x.dtypes.items() if getattr(t, "kind", "O") == "c"]:
            what = f"Complex data not supported: X is complex in {', '.join(compound)}"
            return _found(block, what, len(x), "Take real parts first.")
        try:
            x = x.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            what = ", ".join(f"{c} ({t})" for c, t in block.x.dtypes.items() if t.kind not in "biufc")
            return _found(block, f"columns are not numeric: {what or error}", len(block.x), "Encode them first.")
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != len(model.columns):
        cure = "Each block must have the columns that the whole declares."
        return _found(block, f"X has shape {x.shape}, not (rows, {len(model.columns)})", 0, cure)
    if x.dtype.kind == "c":
        return _found(block, "Complex data not supported: X is complex", len(x), "Take real parts first.")
    if x.dtype.kind in "mM":
        return _found(block, "X holds datetimes", len(x), "Turn them into numbers first, such as days.")
    if x.dtype.kind not in "biuf":
        try:
            x = x.astype(np.float64)
        except (TypeError, ValueError) as error:
            what = f"X has dtype {x.dtype} and does not convert to numbers: {error}"
            return _found(block, what, len(x), "Encode it first, or pass a DataFrame, whose words are coded.")
    return aligned(x)


def _vector(part: Any, *, numeric: bool) -> np.ndarray | str:
    array = np.asarray(part)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        return f"has shape {array.shape}, not one value a row"
    if not numeric:
        return array
    if array.dtype.kind == "c":
        return "is complex: Complex data not supported"
    if array.dtype.kind in "biuf":
        return aligned(array.astype(np.float64, copy=False))
    if array.dtype.kind in "mM":
        return f"holds times ({array.dtype}), which are not numbers"
    try:
        # pandas turns its own missing values and nullable dtypes into NaN.
        array = pd.Series(part if isinstance(part, pd.Series) else array).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return f"has dtype {array.dtype} and is not numeric"
    return aligned(array)


def _complete_rows(rows: Rows) -> np.ndarray:
    complete = np.isfinite(rows.x).all(axis=1) if rows.x.dtype.kind == "f" else np.ones(len(rows), bool)
    for part in (rows.y, rows.weights, rows.offset, rows.groups):
        if part is not None:
            complete &= ~gaps(part)
    return complete


def _check_values(rows: Rows, model: Model) -> Findings | None:
    """Look at what has one value a row; the cost beside X is small."""
    found = []
    for name, part in (("y", rows.y), ("sample_weight", rows.weights), ("offset", rows.offset)):
        if part is None:
            continue
        if (absent := gaps(part)).any():
            found.append((f"Input {name} contains NaN, infinity or a missing value", int(absent.sum()), DROP))
    if rows.weights is not None and (negative := rows.weights < 0).any():
        found.append(("sample_weight is negative", int(negative.sum()), "Weights must be zero or positive."))
    if not found and not model.classify:
        outside = ~model.family.in_support(rows.y)
        if outside.any():
            what = f"y is outside the {model.family.name} family's range, which is {model.family.support}"
            example = rows.y[np.argmax(outside)]
            found.append((f"{what}: {example:g} for one", int(outside.sum()), "Check y, or choose another family."))
    return Findings(tuple(found), (rows.number,)) if found else None


def _rows_at(part: Any, at: slice) -> Any:
    return part.iloc[at] if hasattr(part, "iloc") else None if part is None else part[at]


def additive(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel that gives the same of a block as ``+`` of its slices, so that large blocks can be sliced.

    Parameters
    ----------
    kernel : callable
        A kernel over all rows.

    Returns
    -------
    callable
        The same.
    """
    kernel.additive = True  # type: ignore[attr-defined]
    return kernel


def self_checking(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel whose sums turn NaN or infinite if any covariate is, so that no search comes first.

    Parameters
    ----------
    kernel : callable
        A kernel over all rows.

    Returns
    -------
    callable
        The same.
    """
    kernel.self_checking = True  # type: ignore[attr-defined]
    return kernel


def inspect_columns(rows: Rows, model: Model) -> Findings | None:
    """Name the columns of X that hold NaN or infinity, and on how many rows.

    Parameters
    ----------
    rows : Rows
        A block's rows.
    model : Model
        The model, for the columns' names.

    Returns
    -------
    Findings or None
        None if every value is finite.
    """
    if rows.x.dtype.kind != "f":
        return None
    with np.errstate(all="ignore"):
        # A column's sum is finite if its values are; the search below runs only where it is not.
        if np.isfinite(rows.x.sum(axis=0)).all():
            return None
    counts = (~np.isfinite(rows.x)).sum(axis=0)
    found = tuple(
        (f"Input X contains NaN or infinity in column {name}", int(count), DROP)
        for name, count in zip(model.columns, counts, strict=True)
        if count
    )
    return Findings(found, (rows.number,)) if found else None


def oversized_columns(rows: Rows, model: Model) -> Findings | None:
    """Name the columns of X with numbers whose squares overflow, and on how many rows.

    Parameters
    ----------
    rows : Rows
        A block's rows, all finite.
    model : Model
        The model, for the columns' names.

    Returns
    -------
    Findings or None
        None if every value can be squared and summed.
    """
    counts = (np.abs(rows.x) > _SQUARABLE).sum(axis=0)
    cure = "Divide it by a constant first, or look for values that stand for missing ones."
    found = tuple(
        (f"X has numbers too large to square in column {name}", int(count), cure)
        for name, count in zip(model.columns, counts, strict=True)
        if count
    )
    return Findings(found, (rows.number,)) if found else None


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
        strange, code = classes[codes] != rows.y, codes.astype(np.float64)
    else:
        second = rows.y == classes[1]
        strange, code = ~(second | (rows.y == classes[0])), second.astype(np.float64)
    if strange.any():
        example = rows.y[np.argmax(strange) : np.argmax(strange) + 1].tolist()[0]
        what = f"y has labels that are none of the classes {classes.tolist()}: {example!r} for one"
        cure = "Leave these rows out, or fit again with them."
        return Findings(((what, int(strange.sum()), cure),), (rows.number,))
    return replace(rows, y=code)


def hold(rows: Rows, model: Model) -> Rows:
    """Return the rows with the columns of fixed coefficients moved into the offset.

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
    if not model.fixed:
        return rows
    held = dict(model.fixed)
    offset = np.full(len(rows), held.get("intercept", 0.0))
    if rows.offset is not None:
        offset += rows.offset
    for number, name in enumerate(model.columns):
        if held.get(name):
            offset += held[name] * rows.x[:, number]
    free = [number for number, name in enumerate(model.columns) if name not in held]
    return replace(rows, x=rows.x[:, free], offset=offset)


def _found(block: Block, what: str, count: int, cure: str) -> Findings:
    return Findings(((what, count, cure),), (block.number,))
