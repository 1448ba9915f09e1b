"""What several tests need: data whose loads are counted, whatever process loads them, and plain models."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep.families import resolve_family
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings
from dask_onestep.links import resolve_link


def slow(*values):
    """Return values of parameters whose test is slow, while others of the same test are not."""
    return pytest.param(*values, marks=pytest.mark.slow)


def model_of(family="gaussian", link=None, *, columns=2, **options):
    """Return a model whose columns are x0, x1, …"""
    law = resolve_family(family)
    names = tuple(f"x{number}" for number in range(columns))
    return Model(OnePredictor(law, resolve_link(law.default_link if link is None else link)), names, **options)


def text_of(found):
    """Return what findings say when they are raised."""
    assert isinstance(found, Findings)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        found.raise_error()
    return str(caught.value)


def blocks_of(array, sizes):
    """Cut rows into lists of the given sizes."""
    return np.split(array, np.cumsum(sizes)[:-1])


def chunked(array, sizes):
    """Return a dask array in row blocks of the given sizes."""
    return da.from_array(array, chunks=(tuple(sizes), *array.shape[1:]))


def frame_of(x, y, parts=4):
    """Return the covariates a, b, c and the response y as one frame."""
    table = pd.DataFrame(x.compute(), columns=["a", "b", "c"]).assign(y=y.compute())
    return dd.from_pandas(table, npartitions=parts)


def draw_table(seed, rows, columns):
    """Return rows of y in {0, 1} and covariates."""
    rng = np.random.default_rng((7, seed))
    table = rng.standard_normal((rows, columns))
    table[:, 0] = rng.random(rows) < 1 / (1 + np.exp(-0.3 - table[:, 1:].sum(axis=1) / 2))
    return table


def _note(directory, number):
    # One O_APPEND write of a byte is atomic, also between processes.
    handle = os.open(Path(directory, f"block-{number}"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        os.write(handle, b".")
    finally:
        os.close(handle)


def load_array(directory, rows, columns, block_id=None):
    _note(directory, block_id[0])
    return draw_table(block_id[0], rows[block_id[0]], columns)


def load_frame(number, directory, rows, width):
    _note(directory, number)
    names = ["y", *(f"c{i}" for i in range(width - 1))]
    return pd.DataFrame(draw_table(number, rows[number], width), columns=names)


class Loads:
    """Sources of data that note each load of a block in a file of the block's own."""

    def __init__(self, directory, rows=(40, 70, 55, 35), columns=4):
        self.directory, self.rows, self.columns = str(directory), tuple(rows), columns

    def array(self):
        """Return one array of (y, covariates)."""
        load = partial(load_array, self.directory, self.rows, self.columns)
        meta = np.empty((0, 0))
        return da.map_blocks(load, chunks=(self.rows, (self.columns,)), dtype=float, meta=meta)

    def frame(self):
        """Return one frame of y and c0, c1, …"""
        meta = pd.DataFrame(np.empty((0, self.columns)), columns=["y", *(f"c{i}" for i in range(self.columns - 1))])
        return dd.from_map(
            load_frame,
            range(len(self.rows)),
            directory=self.directory,
            rows=self.rows,
            width=self.columns,
            meta=meta,
            label="load",
        )

    def table(self):
        """Return the same rows in memory, not counted."""
        return np.concatenate([draw_table(number, rows, self.columns) for number, rows in enumerate(self.rows)])

    def counts(self):
        """Return how often each block was loaded, by number."""
        return Counter(
            {int(path.name.partition("-")[2]): path.stat().st_size for path in Path(self.directory).glob("block-*")}
        )

    def per_block(self):
        """Return the loads of each block in order, and forget them."""
        counts = self.counts()
        for path in Path(self.directory).glob("block-*"):
            path.unlink()
        return [counts[number] for number in range(len(self.rows))]


def _refuse(*args, **kwargs):
    raise AssertionError("Dask computed where only a graph was to be built.")


@contextmanager
def raise_if_dask_computes():
    """Fail the test if any graph is computed inside the block."""
    with dask.config.set(scheduler=_refuse):
        yield


def finite_difference(function, at, step=1e-6):
    """Return the Jacobian of a function at a point by central differences, a row per output."""
    at = np.asarray(at, dtype=float)
    columns = []
    for number in range(len(at)):
        shift = np.zeros_like(at)
        shift[number] = step * max(1.0, abs(at[number]))
        columns.append((function(at + shift) - function(at - shift)) / (2 * shift[number]))
    return np.stack(columns, axis=-1)


def fingerprint(glm):
    """Return the bits of what was fitted, as text."""
    estimate = glm.estimate_
    numbers = [estimate.coef, estimate.covariance.ravel(), [estimate.loglik, estimate.decrement, glm.dispersion_]]
    return np.concatenate(numbers).tobytes().hex()


def assert_bits_equal(left, right):
    if left != right:
        ours, theirs = (np.frombuffer(bytes.fromhex(bits)) for bits in (left, right))
        np.testing.assert_array_equal(ours, theirs)
    assert left == right
