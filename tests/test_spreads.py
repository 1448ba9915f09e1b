"""Means, deviations, quartiles and extremes of columns, in pieces and of samples."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from support import blocks_of, model_of

from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.pilots import spreads as module
from dask_onestep.kernels.pilots.spreads import spreads
from dask_onestep.kernels.records import add_pairwise


def drawn(rows=900, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=(rows, 2)) + np.array([1e6, 0.0])


def measured(x, sizes, model=None, weights=None):
    model = model_of() if model is None else model
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [None] * len(sizes) if weights is None else blocks_of(weights, sizes)
    pieces = zip(blocks_of(x, sizes), parts, starts, range(len(sizes)), strict=True)
    each = [spreads(Block(part, None, w, number=k, start=int(at)), model, ("x0", "x1")) for part, w, at, k in pieces]
    return add_pairwise(each)


@pytest.mark.parametrize("sizes", [(900,), (300, 0, 599, 1)])
def test_they_are_those_of_all_rows(sizes):
    x = drawn()
    found = measured(x, sizes)
    for j in range(2):
        half = x[:, j].std(ddof=1) / 2
        expected = (x[:, j].mean() - half, x[:, j].mean() + half)
        np.testing.assert_allclose(found.interval(j, "sd"), expected, rtol=1e-13)
        np.testing.assert_allclose(found.interval(j, "iqr"), np.quantile(x[:, j], [0.25, 0.75]), rtol=1e-14)
        assert found.interval(j, "minmax") == (x[:, j].min(), x[:, j].max())


def test_frequencies_count_as_repeated_rows_and_precisions_do_not():
    x, rng = drawn(), np.random.default_rng(1)
    weights = rng.integers(0, 4, len(x)).astype(float)
    repeated = np.repeat(x, weights.astype(int), axis=0)
    counted = measured(x, (400, 500), model_of(weight_type="frequency"), weights)
    weighed = measured(x, (400, 500), model_of(), weights)
    for kind in ("sd", "iqr", "minmax"):
        np.testing.assert_allclose(counted.interval(0, kind), measured(repeated, (len(repeated),)).interval(0, kind))
        kept = x[weights > 0]
        np.testing.assert_allclose(weighed.interval(0, kind), measured(kept, (len(kept),)).interval(0, kind))


def test_quartiles_of_many_rows_are_of_a_sample_that_does_not_depend_on_the_chunks(monkeypatch):
    monkeypatch.setattr(module, "QUARTILE_ROWS", 250)
    x = drawn()
    one, several = measured(x, (900,)), measured(x, (300, 250, 350))
    assert len(one.values) == 250
    assert one.interval(1, "iqr") == several.interval(1, "iqr")
    np.testing.assert_allclose(one.interval(1, "iqr"), np.quantile(x[:, 1], [0.25, 0.75]), atol=0.35)
    assert several.interval(1, "minmax") == (x[:, 1].min(), x[:, 1].max())


def test_tables_and_sparse_rows():
    x = drawn()
    expected = measured(x, (900,)).interval(1, "iqr")
    for data in (pd.DataFrame(x, columns=["x0", "x1"]), sparse.csr_array(x)):
        assert spreads(Block(data, None), model_of(), ("x0", "x1")).interval(1, "iqr") == expected
