"""From an unprepared block to its usable rows, or to what is wrong with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from dask_onestep.kernels.designs.aliased import unknown_effects
from dask_onestep.kernels.designs.open_design import OpenDesign
from dask_onestep.kernels.designs.parts import PARTS, Block, Rows, Table, rows_where
from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, count_by_column, elements, finite_rows, split_sparse
from dask_onestep.kernels.designs.table import DROP, encoded, gaps, is_finite
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Dropped, Findings, RowCheck
from dask_onestep.kernels.solve.threads import aligned
from dask_onestep.messages.text import Remedy, instruction, joined

# A few thousand larger squares overflow float64. Not a Python float, which float32 columns would cast to float32.
_SQUARABLE = np.float64(1e152)
# The products of weights with squared scores must stay within float64, at both ends.
_HEAVIEST, _LIGHTEST = 1e100, 1e-100
_SMALLEST_SQUARE = 1e-152
_LARGEST_RATIO = 705.0  # between offsets; its exponential is nearly the largest float64
_LOAD = "The function that loads blocks must return an array or a frame of its rows."
_CONVERT = "Convert it to numbers first."
_CLASSIFY = instruction(
    "Labels of classes are fitted {0}.", Remedy("classify", python="by GLMClassifier", command="with --classify")
)
_LOGARITHM = instruction(
    "For an exposure pass its logarithm, {0}.",
    Remedy("offset", python="offset=np.log(exposure)", command="--offset 'np.log(exposure)'"),
)
# The links under which offsets of this range leave no row with an intermediate mean.
_OFFSETS = {
    "log": "the log of the mean",
    "cloglog": "the log of the hazard",
    "probit": "the standard normal quantile of the mean",
}
_LABELS = {"x": "X", "weights": "sample_weight"}
_PAIR = (
    "Rows are paired by position within a partition. To pair them by label use {0}.loc[X.index] in pandas, or a column "
    "of the same Dask frame; to pair them in this order pass {0}.to_numpy() or {0}.to_dask_array()."
)
_SCALE = "Divide it by a constant first, and check for codes that stand for missing values."


def usable_rows(block: Block, model: Model) -> Rows | Findings:
    """Return the block's rows as arrays, or what is wrong with them.

    Covariates are searched for NaN here only if rows with missing values are to be dropped: otherwise sums over all
    rows reveal them at no cost (and `inspect_columns` finds them).
    """
    given = {name: part for name in PARTS if (part := getattr(block, name)) is not None}
    for name, part in given.items():
        if not isinstance(part, list) and not getattr(part, "shape", ()):
            what = f"{_LABELS.get(name, name)} was loaded as a {type(part).__name__}, without rows"
            return _found(block, what, 0, _LOAD)
    lengths = {name: len(part) if isinstance(part, list) else part.shape[0] for name, part in given.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{_LABELS.get(name, name)} has {length} rows" for name, length in lengths.items())
        return _found(block, f"the parts of one block differ in length: {said}", 0, "Align them first.")
    labels = block.x.index if isinstance(block.x, pd.DataFrame) else None
    for name, part in given.items():
        if labels is not None and isinstance(part, (pd.Series, pd.DataFrame)) and not part.index.equals(labels):
            name = _LABELS.get(name, name)
            return _found(block, f"X and {name} have different index labels", 0, _PAIR.format(name))
    present = rows_with_weight(block)
    if isinstance(present, Findings):
        return present
    if model.design is not None and isinstance(block.x, (pd.DataFrame, Table)):
        try:
            block = replace(block, x=encoded(block.x, model.design.categorical))
        except ValueError as error:  # of values that are no categories
            return _found(block, str(error).rstrip("."), 0, "")
    whole, kept, n_missing, raw = block, present, 0, None
    if present is not None:
        block = block.rows_at(present)
    if model.design is not None and isinstance(block.x, Table):
        try:
            designed = model.design.enter(block, model.missing)
        except ValueError as error:  # of an expression, which does not know the block
            return _found(block, str(error).rstrip("."), 0, "")
        if isinstance(designed, Findings):
            return designed
        matrix, chosen, complete = designed
        if complete is not None:
            kept = complete if present is None else present[complete]
        n_missing, raw = len(block.x) - len(matrix), whole.x
        block = replace(block, x=matrix, **chosen)
    x = _numeric_matrix(block, model)
    if isinstance(x, Findings):
        return x
    beyond, reason = unknown_effects(x, model.aliased, model.columns)
    if reason:
        return _found(block, reason, int(beyond.sum()), "Drop these rows, or fit with such rows.")
    parts: dict[str, np.ndarray | None] = {}
    for name, wanted in (("y", not model.classify), ("weights", True), ("offset", True)):
        part = getattr(block, name)
        array = None if part is None else _vector(part, numeric=wanted)
        if isinstance(array, str):
            advice = joined([_CONVERT, _CLASSIFY]) if name == "y" else _CONVERT
            return _found(block, f"{_LABELS.get(name, name)} {array}", len(x), advice)
        parts[name] = array
    if model.missing == "keep" and (offset := parts["offset"]) is not None and not is_finite(offset):
        parts["offset"] = np.where(gaps(offset), np.nan, offset)
    groups = None if block.groups is None else _labels(block.groups)
    rows = Rows(
        x,
        groups=groups,  # type: ignore[arg-type]
        number=block.number,
        start=block.start,
        kept=kept,
        n_missing=n_missing,
        first=block.first,
        length=block.length,
        members=block.members,
        raw=raw,
        present=present,
        **parts,  # type: ignore[arg-type]
    )
    if model.missing == "drop":
        usable = _complete_rows(rows)
        if usable is not None and not usable.all():
            dropped = Dropped(int((~usable).sum()), _undefined(rows.take(~usable), model))
            rows = replace(rows.take(usable), n_missing=dropped + n_missing)
    if rows.y is None:
        return _found(block, "y was loaded as None", len(x), _LOAD)
    return _check_values(rows, model, _integers_or_numbers(block, rows)) or rows


def _undefined(rows: Rows, model: Model) -> dict[str, int]:
    """Return the number of rows with NaN or infinity by term of the formula, where all table columns are complete."""
    if model.design is None or model.design.terms.formula is None:
        return {}
    counts = {}
    for term, names in model.design.by_term.items():
        at = [model.columns.index(name) for name in names]
        counts[term] = int((~finite_rows(rows.x[:, at])).sum()) if at else 0
    terms = model.design.terms
    if terms.offsets and rows.offset is not None:
        counts[" + ".join(f"offset({factor.name})" for factor in terms.offsets)] = int(gaps(rows.offset).sum())
    response = terms.response
    if response is not None and rows.y is not None:
        counts[response.name] = int(gaps(rows.y).sum())
    return {term: count for term, count in counts.items() if count}


def rows_with_weight(block: Block) -> np.ndarray | Findings | None:
    """Return the numbers of the rows with nonzero weight, None for all; or that weights are not numeric.

    Weights that are negligible compared with any other, with squares that underflow, are treated as zero. Rows of
    weight zero are as if absent, whatever they contain.
    """
    if block.weights is None:
        return None
    weights = _vector(block.weights, numeric=True)
    if isinstance(weights, str):
        return _found(block, f"{_LABELS['weights']} {weights}", len(block.weights), _CONVERT)
    absent = np.abs(weights) < _LIGHTEST
    return rows_where(~absent) if absent.any() else None


def check_of(rows: Rows, block: Block, model: Model) -> RowCheck:
    """Return what must be equal in every pass: counts, and an order-independent sum of all values' bits."""
    x, columns = rows.x, None
    if block.reloaded and not isinstance(model.design, OpenDesign):
        columns = _checksum(*elements(x))
    y = rows.y if rows.y.dtype.kind in "biuf" else None
    return RowCheck(len(rows), rows.n_missing, _checksum(y, rows.weights, rows.offset), columns)


def _checksum(*parts: np.ndarray | None) -> int:
    return sum((2 * at + 1) * _sum_of_bits(part) for at, part in enumerate(parts) if part is not None) % 2**64


def _sum_of_bits(values: np.ndarray) -> int:
    if values.dtype.itemsize not in (1, 2, 4, 8):
        values = values.astype(np.float64)
    bits = values.view(f"u{values.dtype.itemsize}")
    if bits.itemsize == 4:  # without a cast; modulo 2**32, and so, shifted, of blocks joined in any way the same total
        return int(bits.sum(dtype=np.uint32)) << 32
    return int(bits.sum(dtype=np.uint64))


def _numeric_matrix(block: Block, model: Model) -> np.ndarray | SplitMatrix | DenseColumns | Findings:
    x = block.x
    if sparse.issparse(x):
        x = split_sparse(x)
    x = x.frame() if isinstance(x, Table) else x
    if isinstance(x, pd.DataFrame):
        if compound := [str(c) for c, t in x.dtypes.items() if getattr(t, "kind", "O") == "c"]:
            what = f"Complex data not supported: X is complex in {', '.join(compound)}"
            return _found(block, what, len(x), "Use their real parts.")
        try:
            x = x.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            what = ", ".join(f"{c} ({t})" for c, t in x.dtypes.items() if t.kind not in "biufc")
            return _found(block, f"columns are not numeric: {what or error}", len(block.x), "Encode them first.")
    x = x if isinstance(x, (SplitMatrix, DenseColumns)) else np.asarray(x)
    if x.ndim != 2 or x.shape[1] != len(model.columns):
        cure = "Each block must have the columns declared for the full data."
        return _found(block, f"X has shape {x.shape}, not (rows, {len(model.columns)})", 0, cure)
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype.kind == "c":
        return _found(block, "Complex data not supported: X is complex", len(x), "Use their real parts.")
    if x.dtype.kind in "mM":
        return _found(block, "X holds datetimes", len(x), "Convert them to numbers first, such as days.")
    if x.dtype.kind not in "biuf":
        try:
            x = x.astype(np.float64)
        except (TypeError, ValueError) as error:
            what = f"X has dtype {x.dtype} and does not convert to numbers: {error}"
            return _found(
                block, what, len(x), "Encode it first, or pass a DataFrame, whose string columns are encoded."
            )
    return aligned(x)


def _labels(groups: Any) -> np.ndarray | str:
    """Return cluster labels; for several columns, records with one field each."""
    if isinstance(groups, pd.DataFrame) and len(groups.columns) > 1:
        return groups.to_records(index=False).view(np.ndarray)
    return _vector(groups, numeric=False)


def _vector(part: Any, *, numeric: bool) -> np.ndarray | str:
    array = np.asarray(part)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        return f"has shape {array.shape}, not one value per row"
    if not numeric:
        return array
    if array.dtype.kind == "c":
        return "is complex: Complex data not supported"
    if array.dtype.kind in "biuf":
        return aligned(array.astype(np.float64, copy=False))
    if array.dtype.kind in "mM":
        return f"holds times ({array.dtype}), which are not numbers"
    try:
        # pandas converts its own missing values and nullable dtypes to NaN.
        array = pd.Series(part if isinstance(part, pd.Series) else array).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return f"has dtype {array.dtype} and is not numeric"
    return aligned(array)


def _complete_rows(rows: Rows) -> np.ndarray | None:
    """Return which rows have no missing value and no infinity; None for all of them, as sums show."""
    x = rows.x
    covariates = (x.dense, *x.stored.elements) if isinstance(x, SplitMatrix) else (x,)
    others = (rows.y, rows.weights, rows.offset, rows.groups)
    if all(part is None or is_finite(part) for part in (*covariates, *others)):
        return None
    complete = finite_rows(x)
    for part in (rows.y, rows.weights, rows.offset, rows.groups):
        if part is not None:
            complete &= ~gaps(part)
    return complete


def _integers_or_numbers(block: Block, rows: Rows) -> np.ndarray:
    """Return y as loaded, dropped rows too, if it holds integers (finite, in few bytes), else that of the rows."""
    kind = getattr(block.y, "dtype", None)
    return np.asarray(block.y) if isinstance(kind, np.dtype) and kind.kind in "biu" else rows.y


def _check_values(rows: Rows, model: Model, y: np.ndarray) -> Findings | None:
    """Check everything that has one value per row; the cost is small compared with X."""
    found: list[tuple[str, int, str]] = []
    parts = {"y": y, "sample_weight": rows.weights, "offset": rows.offset, "groups": rows.groups}
    for name, part in parts.items():
        if part is None or is_finite(part) or (name == "offset" and model.missing == "keep"):
            continue
        if (absent := gaps(part)).any():
            found.append((f"Input {name} contains NaN, infinity or a missing value", int(absent.sum()), DROP))
    if rows.weights is not None and (negative := rows.weights < 0).any():
        found.append(("sample_weight is negative", int(negative.sum()), "Weights must be zero or positive."))
    if not found:
        found += _beyond_scale(rows, model, y)
    if not found and not model.classify and not _are_in_support(y, model):
        outside = ~model.family.in_support(rows.y)
        if outside.any():
            what = f"y is outside the range of the {model.family.name} family, which is {model.family.support}"
            example = rows.y[np.argmax(outside)]
            labels = (_CLASSIFY,) if model.family.name == "binomial" else ()
            advice = joined(["Check y, or choose another family.", *labels])
            found.append((f"{what} (e.g. {example:g})", int(outside.sum()), advice))
    return Findings(tuple(found), (rows.number,)) if found else None


def _are_in_support(y: np.ndarray, model: Model) -> bool:
    """Return whether y has integers and may take all of them between the least and the greatest."""
    if y.dtype.kind not in "biu" or not y.size:
        return False
    least, most = int(y.min()), int(y.max())
    return most - least < y.size and bool(model.family.in_support(np.arange(most - least + 1.0) + least).all())


def _beyond_scale(rows: Rows, model: Model, y: np.ndarray) -> list[tuple[str, int, str]]:
    """Return which values are too large or too small for sums of squares and means to be finite."""
    found: list[tuple[str, int, str]] = []
    scale = _OFFSETS.get(getattr(model.link, "name", ""))
    if scale is not None and rows.offset is not None and len(rows.offset):
        low, high = rows.offset.min(), rows.offset.max()
        if high - low > _LARGEST_RATIO:
            what = f"offset is on another scale than {scale}: from {low:.6g} to {high:.6g}"
            found.append((what, 0, _LOGARITHM))
    if rows.weights is not None and (heavy := rows.weights > _HEAVIEST).any():
        found.append((f"sample_weight is above {_HEAVIEST:g}", int(heavy.sum()), _SCALE))
    if model.classify or y.dtype.kind != "f" or not len(rows):
        return found
    # The extremes suffice, without an array of the block's length.
    greatest = max(rows.y.max(), -rows.y.min())
    if _is_oversized(greatest):
        found.append(("values of y are so large that their squares overflow", int(_is_oversized(rows.y).sum()), _SCALE))
    elif 0 < greatest < _SMALLEST_SQUARE:
        found.append(
            (
                "values of y are so small that their squares underflow",
                int((rows.y != 0).sum()),
                "Divide it by a constant first.",
            )
        )
    return found


def inspect_columns(rows: Rows, model: Model) -> Findings | None:
    """Return which columns of X contain NaN or infinity, and on how many rows; None if every value is finite."""
    if rows.x.dtype.kind != "f":
        return None
    if is_finite(rows.x):
        return None
    counts = count_by_column(rows.x, _is_gap)
    found = tuple(
        (f"Input X contains NaN or infinity in column {name}", int(count), DROP)
        for name, count in zip(model.columns, counts, strict=True)
        if count
    )
    return Findings(found, (rows.number,)) if found else None


def oversized_columns(rows: Rows, model: Model) -> Findings | None:
    """Return which columns of X (all finite) contain numbers whose squares overflow, and on how many rows, or None."""
    counts = count_by_column(rows.x, _is_oversized)
    found = tuple(
        (f"values of X are so large that their squares overflow, in column {name}", int(count), _SCALE)
        for name, count in zip(model.columns, counts, strict=True)
        if count
    )
    return Findings(found, (rows.number,)) if found else None


def _is_gap(values: np.ndarray) -> np.ndarray:
    return ~np.isfinite(values)


def _is_oversized(values: np.ndarray) -> np.ndarray:
    return np.abs(values) > _SQUARABLE


def _found(block: Block, what: str, count: int, cure: str) -> Findings:
    return Findings(((what, count, cure),), (block.number,))
