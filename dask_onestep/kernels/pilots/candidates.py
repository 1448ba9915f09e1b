"""Drawing the pilot: a random sample without replacement, drawn inside the blocks.

Every row has a key (`dask_onestep.kernels.pilots.keys`). The pilot of n rows consists of the rows with the n
smallest keys and, in addition, those with the smallest keys of each rare stratum
(`dask_onestep.kernels.pilots.strata`). Every chunking of the same rows gives the same pilot. Where chunk sizes are
unknown it depends on the chunking, but not on the scheduler.
"""

from dataclasses import replace

import numpy as np

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.parts import Rows, rows_where, taken
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.keys import ALL_KEYS, keys_below, row_keys, smallest_keys
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize, Survey, Unusual
from dask_onestep.kernels.pilots.strata import LevelCodes, Strata
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.labels import block_labels, check_classes
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.messages import catalogue

_FRACTION = 1e-3  # of a count, as R's glm has it
# Rows are kept for a model of at least so many classes where a block shows neither two nor more.
_LEAST_CLASSES = 10


@kernel
def pilot_rows(
    rows: Rows, model: Model, size: PilotSize, seed: int, codes_of: LevelCodes | None = None
) -> PilotSample | Findings:
    """Return a block's pilot candidates, labels and counts, or what is wrong with the block.

    Rows of a table are without their matrix, of which they are the source: see `with_matrix`.
    """
    labels = block_labels(rows) if model.classify else None
    if isinstance(labels, Findings):
        return labels
    if labels is not None and size.open and codes_of is None:
        size = _for_classes(size, model, len(labels))
    rows = rows if rows.raw is None else replace(rows, x=np.empty((len(rows), 0)))
    return replace(sample_rows(rows, size, seed, labels, codes_of), unusual=_unusual(rows, model))


@kernel(checked="later", sliced=True)
def unsearched_pilot_rows(rows: Rows, model: Model, size: PilotSize, seed: int) -> PilotSample | Findings:
    """Return what `pilot_rows` does, without reading the other covariates of the block for missing values."""
    return pilot_rows(rows, model, size, seed)


def sample_rows(
    rows: Rows,
    size: PilotSize,
    seed: int,
    labels: np.ndarray | None = None,
    codes_of: LevelCodes | None = None,
) -> PilotSample:
    """Return as many of a block's rows with the smallest keys as the pilot may need; `codes_of` if levels are known."""
    bound, strata = size.bound(), None
    keys = row_keys(seed, rows) if bound != 0 else np.empty(0, np.uint64)
    if bound is not None:
        index, cutoff = keys_below(keys, bound), bound
    elif (rows.length or len(rows)) <= size.hold:
        index, cutoff = keys_below(keys, int(ALL_KEYS)), int(ALL_KEYS)
    else:
        index, cutoff = smallest_keys(keys, size.enough(len(rows), rows.n_missing))
    if size.strata is not None and len(index) < len(rows):
        strata, wanted = Strata.of(size.strata, rows, labels, index, cutoff, keys, codes_of)
        held = np.zeros(len(rows), bool)
        held[index] = held[wanted] = True
        index = rows_where(held)
        strata, cutoff = (strata.take(index), cutoff) if len(index) < len(rows) else (None, int(ALL_KEYS))
    local = index if rows.kept is None else rows.kept[index]
    own = rows.take(index)
    return PilotSample(
        size,
        len(rows),
        rows.n_missing,
        labels,
        keys.take(index),
        row_numbers(rows, index),
        own.x,
        own.y,
        own.weights,
        own.offset,
        own.groups,
        cutoff,
        taken(rows.raw, local),
        strata,
        key_source=(seed, rows.start is not None),
    )


def _for_classes(size: PilotSize, model: Model, n_labels: int) -> PilotSize:
    """Return the size for the coefficients of a model of which a block shows so many classes: two, or maybe not all."""
    n_classes = n_labels if n_labels in (0, model.n_classes) else max(2 * n_labels, _LEAST_CLASSES)
    return replace(size, d=min(size.d, len(model.all_names) * max(n_classes - 1, 1)))


def _unusual(rows: Rows, model: Model) -> Unusual:
    if model.classify or not len(rows):
        return Unusual()
    counted = model.family.name in ("binomial", "poisson", "negative-binomial")
    y, offsets = rows.y if counted else rows.y[:0], Unusual().offsets
    if rows.offset is not None and getattr(model.link, "name", None) == "log":
        offsets = float(rows.offset.min()), float(rows.offset.max())
    parts = y
    if model.family.name == "binomial":
        inside = (y > 0) & (y < 1)  # rows of one outcome may have any weight, such as that of a survey
        parts = y = y[inside]
        if rows.weights is not None and model.weight_type != "frequency":
            parts = y * rows.weights[inside]
    strange = np.abs(parts - np.rint(parts)) > _FRACTION
    return Unusual(float(y[np.argmax(strange)]) if strange.any() else np.nan, offsets)


def row_numbers(rows: Rows, index: np.ndarray) -> np.ndarray:
    """Return (0, global number) of some of a block's rows, or (block, row in block) if sizes are unknown."""
    if rows.start is None:
        return np.column_stack(rows.places(index)).astype(np.int64, copy=False)
    local = index if rows.kept is None else rows.kept[index]
    return np.column_stack([np.zeros(len(local), np.int64), local + rows.start])


def with_matrix(sample: PilotSample, model: Model) -> PilotSample:
    """Return candidates with the matrix that a known design makes of them."""
    assert isinstance(model.design, Design)
    assert sample.raw is not None
    return replace(sample, x=model.design.matrix(sample.raw))


def resized(sample: PilotSample, size: PilotSize) -> PilotSample:
    """Return candidates for a pilot of another size."""
    return replace(sample, size=size)


def survey(sample: PilotSample, most: int = 2) -> Survey:
    """Return the counts and classes of the full data, for a model with at most `most` classes."""
    refuse_no_rows(sample)
    return Survey(sample.n, sample.n_missing, check_classes(sample.labels, most))


def refuse_no_rows(sample: PilotSample) -> None:
    """Raise, with the reason, if there is no usable row."""
    if sample.n > 0:
        return
    why = f", {sample.n_missing} were dropped for missing values" if sample.n_missing else ""
    if sample.weights is not None and not why:
        why = ". sample_weight is zero on every row, or below 1e-100: at least one must be positive"
    raise catalogue.NO_ROWS.error(why=why)
