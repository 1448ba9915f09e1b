"""Dense columns of a design are written where a slice of them is used, and are the same as written at once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix

from dask_onestep import GLMRegressor
from dask_onestep.kernels.compiled.accelerate import accelerated
from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, written
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.rows import slices
from dask_onestep.kernels.rows.block import run_kernel
from dask_onestep.kernels.rows.checks import usable_rows
from dask_onestep.kernels.rows.rows import kernel, traits_of

FORMULAS = [
    *("y ~ a + whole + small", "y ~ a + bs(b, df=4) + flag", "y ~ a:whole + np.log(b) + cr(b, df=4):a", "y ~ 1"),
    *(
        "y ~ a + three + three:b",
        "y ~ poly(a, 2) + b",
        "y ~ a + bs(b, df=4) + many",
        "y ~ a + np.exp(a) + many:b + three",
    ),
]


def table(n=21_000, missing=False):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.gamma(2.0, size=n) + 0.1})
    frame["whole"], frame["small"] = rng.integers(0, 24, n), rng.normal(size=n).astype(np.float32)
    frame["flag"] = rng.random(n) < 0.3
    frame["three"], frame["many"] = (np.array(list("abcdefghijkl"))[rng.integers(0, k, n)] for k in (3, 12))
    frame["y"] = (rng.random(n) < 1 / (1 + np.exp(-0.3 * frame["a"]))).astype(float)
    if missing:
        frame.loc[rng.random(n) < 0.02, "a"] = np.nan
        frame.loc[rng.random(n) < 0.02, "three"] = None
    return frame


def model_for(formula, frame, missing):
    return GLMRegressor("binomial", formula=formula, missing=missing, method="mle").fit(frame).record_.model


@pytest.mark.parametrize("missing", ["raise", "drop"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_sums_of_unwritten_columns_are_those_of_formulaics(formula, missing, monkeypatch):
    frame = table(missing=missing == "drop")
    model = model_for(formula, frame, missing)
    rows = usable_rows(Block(frame), model)
    dense = rows.x.dense if isinstance(rows.x, SplitMatrix) else rows.x
    assert isinstance(dense, DenseColumns)
    wanted = model_matrix(formula, frame).rhs.to_numpy()
    one = replace(rows, x=wanted[:, 1:])
    x = written(rows.x)
    np.testing.assert_allclose(x.toarray() if isinstance(x, SplitMatrix) else x, one.x, atol=1e-12)
    np.testing.assert_array_equal(np.asarray(dense[700:16_000]), np.asarray(dense)[700:16_000])
    coef = np.random.default_rng(1).normal(size=wanted.shape[1]) / 10
    expected = moments(one, replace(model, design=None), coef)
    for compiled in {accelerated(), False}:
        monkeypatch.setattr(slices, "accelerated", lambda compiled=compiled: compiled)
        slices._kinds.cache_clear()
        for each in (rows, replace(rows, x=x)):
            found = moments(each, model, coef)
            assert found.loglik == pytest.approx(expected.loglik, rel=1e-12)
            np.testing.assert_allclose(found.score, expected.score, rtol=1e-10, atol=1e-8)
            np.testing.assert_allclose(found.information, expected.information, rtol=1e-11, atol=1e-9)
    slices._kinds.cache_clear()


@pytest.mark.skipif(not accelerated(), reason="without a loop slices are longer")
@pytest.mark.parametrize("formula", ["y ~ a + bs(b, df=4)", "y ~ a + bs(b, df=4) + many"])
def test_a_loop_has_only_parts_of_the_columns_at_a_time(formula, monkeypatch):
    frame, seen = table(60_000), []
    model, write = model_for(formula, frame, "raise"), DenseColumns.write

    def noting(self, out):
        seen.append(len(out))
        write(self, out)

    monkeypatch.setattr(DenseColumns, "write", noting)
    run_kernel(Block(frame), moments, model, None, (np.zeros(len(model.names)),))
    assert sum(seen) == len(frame)
    assert max(seen) <= 10_000


def test_other_kernels_have_arrays():
    @kernel
    def kinds(rows, model):
        return [type(rows.x)] if isinstance(rows.x, np.ndarray) else [type(rows.x), type(rows.x.dense)]

    frame = table(500)
    for formula, wanted in (("y ~ a", [np.ndarray]), ("y ~ a + many", [SplitMatrix, np.ndarray])):
        assert run_kernel(Block(frame), kinds, model_for(formula, frame, "raise"), None, ()) == wanted
    assert traits_of(moments).sliced


def test_values_that_overflow_are_found():
    frame = table(500)
    model = model_for("y ~ a:b", frame, "drop")
    frame.loc[7, ["a", "b"]] = 1e200, 1e200
    assert usable_rows(Block(frame), model).kept.tolist() == [row for row in range(500) if row != 7]
