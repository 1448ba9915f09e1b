"""Rows of X and of its parts are paired by position; labels that contradict it raise."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import Loads

from dask_onestep import GLMRegressor, moments

RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.standard_normal(300)}, index=np.arange(300) + 7)
Y = pd.Series(2.0 * X["a"].to_numpy() + 0.1 * RNG.standard_normal(300), index=X.index)
SHUFFLED = Y.sample(frac=1.0, random_state=1)
OFFERS = r"y\.loc\[X\.index\].*y\.to_numpy\(\)"


def slope(*parts, **others):
    return float(GLMRegressor(method="mle").fit(*parts, **others).coef_[0])


@pytest.fixture(autouse=True)
def _threads(threads):
    """Dask's threads."""


def test_the_same_labels_in_another_order_raise():
    with pytest.raises(ValueError, match=OFFERS):
        GLMRegressor().fit(X, SHUFFLED)
    np.testing.assert_allclose(slope(X, SHUFFLED.loc[X.index]), 2.0, atol=0.05)
    assert abs(slope(X, SHUFFLED.to_numpy())) < 0.5  # unchanged


@pytest.mark.parametrize(
    ("index", "order"),
    [
        (pd.Index([f"r{i}" for i in range(300)]), 1),
        (pd.date_range("2026-01-01", periods=300), 2),
        (pd.MultiIndex.from_product([["u", "v", "w"], range(100)]), 3),
        (pd.Index([*range(299), None], dtype=object), 4),
        (pd.Index(np.repeat(np.arange(100), 3)), 5),
        (pd.Index(np.arange(300.0)), 6),
    ],
    ids=["strings", "dates", "two levels", "missing", "repeated", "floats"],
)
def test_labels_of_any_kind(index, order):
    x, y = X.set_axis(index), Y.set_axis(index)
    with pytest.raises(ValueError, match="different orders"):
        GLMRegressor().fit(x, y.sample(frac=1.0, random_state=order))
    assert slope(x, y) == slope(X, Y)


def test_other_labels_are_paired_by_position():
    right = slope(X, Y)
    assert slope(X, Y.reset_index(drop=True)) == right
    assert slope(X.to_numpy(), SHUFFLED.set_axis(Y.index)) == slope(X, SHUFFLED.to_numpy())
    assert slope(X, Y.tolist()) == slope(X, Y.to_numpy()) == right
    assert slope(X, Y.set_axis([*Y.index[:-1], Y.index[-2]])) == right  # not the same labels


def test_all_parts_and_all_calls_are_looked_at():
    glm = GLMRegressor(method="mle").fit(X, Y, sample_weight=abs(Y), offset=0 * Y)
    wrong = abs(SHUFFLED)
    for call in (glm.fit, glm.score, glm.fit_statistics, glm.residuals):
        with pytest.raises(ValueError, match=r"sample_weight\.loc\[X\.index\]"):
            call(X, Y, sample_weight=wrong, offset=0 * Y)
    with pytest.raises(ValueError, match=r"offset\.loc\[X\.index\]"):
        glm.predict(X, offset=wrong)
    with pytest.raises(ValueError, match=r"sample_weight\.loc\[y\.index\]"):
        glm.fit(X.to_numpy(), Y, sample_weight=wrong, offset=0 * Y)
    with pytest.raises(ValueError, match=OFFERS):
        moments(X, SHUFFLED, [0.0, 0.0])


@pytest.mark.parametrize("index", [np.arange(300)[::-1], np.arange(300) + 1, [f"r{i}" for i in range(300)]])
def test_a_different_index_within_a_partition_raises(index):
    x, y = (dd.from_pandas(part, npartitions=3, sort=False) for part in (X, Y.set_axis(index)))
    with pytest.raises(ValueError, match=f"X and y have different index labels.*In blocks 0, 1, 2.*{OFFERS}"):
        GLMRegressor().fit(x, y)
    same = dd.from_pandas(Y, npartitions=3, sort=False)
    with pytest.raises(ValueError, match="X and offset have different index labels"):
        GLMRegressor().fit(x, same, offset=y)
    glm = GLMRegressor(method="mle").fit(x, same, offset=0 * same)
    with pytest.raises(ValueError, match="X and offset have different index labels"):
        glm.predict(x, offset=y).compute()
    assert slope(x, same) == pytest.approx(slope(X, Y), rel=1e-12)


def test_dask_arrays_are_paired_by_position():
    x = dd.from_pandas(X, npartitions=3, sort=False)
    y = da.from_array(Y.to_numpy(), chunks=tuple(x.map_partitions(len).compute()))
    assert slope(x, y) == pytest.approx(slope(X, Y), rel=1e-12)


def test_the_first_pass_finds_it(tmp_path):
    source = Loads(tmp_path)
    frame = source.frame()
    wrong = frame["y"].map_partitions(lambda y: y.set_axis(y.index[::-1]), meta=("y", float))
    with pytest.raises(ValueError, match="different index labels"):
        GLMRegressor(method="mle").fit(frame[["c0"]], wrong)
    assert set(source.per_block()) == {1}
