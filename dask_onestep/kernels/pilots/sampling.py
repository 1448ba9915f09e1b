"""The pilot: a simple random sample without replacement, drawn inside the blocks.

Every row has a key, a 64-bit value of a counter-based generator (Philox) at (seed, global row
number); the pilot of n rows is the n smallest keys.  The key knows neither block nor worker, so any
chunking of the same rows draws the same pilot.  Where chunk sizes are unknown the counter starts
anew in every block, with the block's number in the generator's key: then the pilot depends on the
chunking, though not on the scheduler.
"""

from __future__ import annotations

import math

import numpy as np

from dask_onestep.kernels.classes.labels import block_labels, check_classes
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.sample import ALL_KEYS, PilotSample, PilotSize, Survey
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows import Rows, additive, unsearched

__all__ = [
    "pilot_rows",
    "row_keys",
    "sample_rows",
    "survey",
    "unsearched_pilot_rows",
]


def row_keys(seed: int, rows: Rows) -> np.ndarray:
    """Return the 64-bit keys of a block's usable rows.

    Parameters
    ----------
    seed : int
        The seed, from 0 to 2**63.
    rows : Rows
        The block.

    Returns
    -------
    ndarray of shape (m,) of uint64
        Keys; a row's key depends on `seed` and on its global number alone, if that is known.
    """
    length = len(rows) + rows.n_missing
    key, begin = (seed, rows.start) if rows.start is not None else (seed + ((rows.number + 1) << 64), rows.first)
    # Philox yields four values for each count.
    count, skipped = divmod(begin, 4)
    generator = np.random.Philox(key=key, counter=count)
    keys = generator.random_raw(length + skipped)[skipped:]
    return keys if rows.kept is None else keys[rows.kept]


@additive
def pilot_rows(rows: Rows, model: Model, size: PilotSize, seed: int) -> PilotSample | Findings:
    """Return a block's candidates for the pilot, its labels and its counts.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    size : PilotSize
        The rule for the size.
    seed : int
        The seed.

    Returns
    -------
    PilotSample or Findings
        The candidates, or what is wrong with the block.
    """
    labels = block_labels(rows) if model.classify else None
    if isinstance(labels, Findings):
        return labels
    return sample_rows(rows, size, seed, labels)


@additive
@unsearched
def unsearched_pilot_rows(rows: Rows, model: Model, size: PilotSize, seed: int) -> PilotSample | Findings:
    """Return what `pilot_rows` does of a block whose other covariates are not read: they may have gaps.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    size : PilotSize
        The rule for the size.
    seed : int
        The seed.

    Returns
    -------
    PilotSample or Findings
        The candidates, those with gaps among them, or what is wrong with labels.
    """
    return pilot_rows(rows, model, size, seed)


def sample_rows(rows: Rows, size: PilotSize, seed: int, labels: np.ndarray | None = None) -> PilotSample:
    """Return the rows of a block with the smallest keys, as many as the pilot may need.

    Parameters
    ----------
    rows : Rows
        The block.
    size : PilotSize
        The rule for the size.
    seed : int
        The seed.
    labels : ndarray or None
        The block's labels.

    Returns
    -------
    PilotSample
        The candidates.
    """
    keys = row_keys(seed, rows)
    bound = size.bound()
    index, cutoff = _smallest(keys, size.enough(len(rows))) if bound is None else _below(keys, bound)
    local = index if rows.kept is None else rows.kept[index]
    positions = np.empty((len(index), 2), dtype=np.int64)
    positions[:, 0] = 0 if rows.start is not None else rows.number
    positions[:, 1] = local + (rows.first if rows.start is None else rows.start)
    taken = rows.take(index)
    return PilotSample(
        size,
        len(rows),
        rows.n_missing,
        labels,
        keys[index],
        positions,
        taken.x,
        taken.y,
        taken.weights,
        taken.offset,
        cutoff,
        rows.weights is None or bool(rows.weights.any()),
    )


def _below(keys: np.ndarray, bound: int) -> tuple[np.ndarray, int]:
    """Return where the keys below a bound are, in order, and the bound; no key is above the greatest."""
    if bound == ALL_KEYS:
        return np.arange(len(keys)), bound
    return np.flatnonzero(keys < np.uint64(bound)), bound


def _smallest(keys: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Return where the `count` smallest keys are, in order, and the smallest of the others."""
    if count >= len(keys):
        return np.arange(len(keys)), int(ALL_KEYS)
    # Keys are uniform, so that a bound is known below which all of these lie, and few others to look through.
    share = (count + 10 * math.sqrt(count) + 10) / len(keys)
    likely = np.flatnonzero(keys < np.uint64(min(share * 2.0**64, float(ALL_KEYS - 2**11))))
    if len(likely) <= count:
        likely = np.arange(len(keys))
    cutoff = np.partition(keys[likely], count)[count]
    return likely[keys[likely] < cutoff], int(cutoff)


def survey(sample: PilotSample, most: int = 2) -> Survey:
    """Return the counts and the classes of the whole data.

    Parameters
    ----------
    sample : PilotSample
        The sum over all blocks.
    most : int
        Classes that the model has.

    Returns
    -------
    Survey
        What is known now.

    Raises
    ------
    ValueError
        If no row is usable, no weight is positive, or a classification's labels are continuous, of one
        class, or of more than the model has.
    """
    if sample.n == 0:
        dropped = f", {sample.n_missing} were dropped for missing values" if sample.n_missing else ""
        raise ValueError(f"Found array with 0 sample(s): no usable row is left{dropped}.")
    if not sample.has_weight:
        raise ValueError("sample_weight is zero on every row, or below 1e-100: at least one must be positive.")
    return Survey(sample.n, sample.n_missing, check_classes(sample.labels, most))
