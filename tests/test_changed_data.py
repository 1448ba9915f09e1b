"""Data that change between passes end the fit, whatever changes, on every scheduler; the order of rows may change."""

from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import Loads, _note

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Surrogate

CHANGED = "The data changed between the first pass and the pass"


def table(number, again, change):
    """Return the rows of a block, as loaded the first time or again."""
    rng = np.random.default_rng(number)
    frame = pd.DataFrame({"a": rng.standard_normal(80), "b": rng.standard_normal(80)})
    frame["y"] = rng.poisson(np.exp(0.3 * frame["a"])).astype(float)
    frame["w"], frame["label"] = rng.uniform(1, 2, 80), np.where(frame["y"] > 0, "some", "none")
    if not again or number != 2:
        return frame
    if change in ("a", "b", "y", "w"):
        frame.loc[7, change] += 1.0
    elif change == "label":
        frame["label"] = frame["label"].to_numpy()[::-1]
    return frame.iloc[:0] if change == "emptied" else frame.iloc[:-1] if change == "shorter" else frame


def load(number, directory, change):
    again = Loads(directory).counts()[number] > 0
    _note(directory, number)
    rows = table(number, again, change)
    return rows.sample(frac=1.0, random_state=int(again)) if change == "order" else rows


def frame(tmp_path, change):
    meta = table(0, False, None).iloc[:0]
    return dd.from_map(load, range(4), directory=str(tmp_path), change=change, meta=meta)


def fitted(data, method=None, **options):
    method = OneStep(pilot_size=100) if method is None else method
    return GLMRegressor("poisson", method=method, **options).fit(data[["a", "b"]], data["y"], sample_weight=data["w"])


@pytest.mark.parametrize("change", ["emptied", "shorter", "y", "w", "a", "b"])
def test_any_change_is_an_error(scheduler, tmp_path, change):
    with pytest.raises(ValueError, match=CHANGED):
        fitted(frame(tmp_path, change))


def test_the_order_of_rows_may_change(threads, tmp_path):
    whole = pd.concat([table(number, False, None) for number in range(4)])
    ours = fitted(frame(tmp_path, "order"), MLE())
    np.testing.assert_allclose(ours.record_.coef, fitted(whole, MLE()).record_.coef, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (MLE(), {}),
        (OneStep(pilot_bytes=0), {"cov_type": "HC1"}),
        (Surrogate(anchor="pilot", pilot_size=100), {}),
        (MLE(), {"missing": "drop"}),
        (OneStep(pilot_size=0.5), {"solver": "qr"}),
    ],
)
def test_every_method_that_reads_twice(threads, quiet, tmp_path, method, options):
    with pytest.raises(ValueError, match=f"{CHANGED}.*it read 319 usable rows.*first pass read 320"):
        fitted(frame(tmp_path, "shorter"), method, **options)


def test_labels_are_compared_by_their_covariates(threads, tmp_path):
    data = frame(tmp_path, "b")
    with pytest.raises(ValueError, match=f"{CHANGED}.*both read 320 usable rows, but their values differ"):
        GLMClassifier(method=MLE()).fit(data[["a", "b"]], data["label"])


def test_a_lazy_fit_compares_too(scheduler, tmp_path):
    data = frame(tmp_path, "y")
    lazy = GLMRegressor("poisson", method=OneStep(pilot_size=100)).fit_delayed(data[["a", "b"]], data["y"])
    with pytest.raises(ValueError, match=CHANGED):
        dask.compute(lazy)


def test_a_file_that_is_emptied(threads, tmp_path):
    for number in range(4):
        table(number, False, None).to_parquet(tmp_path / f"{number}.parquet")
    data = dd.read_parquet(tmp_path / "*.parquet")
    emptied = tmp_path / "2.parquet"

    class Emptying(OneStep):
        def _step(self, problem, pilot, last):
            pd.read_parquet(emptied).iloc[:0].to_parquet(emptied)
            return (yield from super()._step(problem, pilot, last))

    with pytest.raises(Exception, match=CHANGED):
        fitted(data, Emptying(pilot_size=100))


def test_tests_compare_all_their_passes(threads, quiet, tmp_path):
    whole = pd.concat([table(number, False, None) for number in range(4)])
    glm = fitted(whole, MLE())
    data = frame(tmp_path, "y")
    parts = data[["a", "b"]], data["y"]
    for call in (glm.likelihood_ratio_test, glm.score_test):
        with pytest.raises(ValueError, match=CHANGED):
            call(*parts, null={"a": 0.0}, sample_weight=data["w"])
        for path in tmp_path.glob("block-*"):
            path.unlink()


def draw(block_id):
    return np.random.default_rng().standard_normal((50, 3))


def test_loads_that_are_random(threads):
    x = da.map_blocks(draw, chunks=((50,) * 4, 3), dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="fixed seeds"):
        GLMRegressor(method=OneStep(pilot_size=40)).fit(x[:, 1:], x[:, 0])


def test_of_a_table_whose_levels_are_learned_every_pass_is_compared_too(tmp_path):
    for change in ("shorter", "y"):
        (tmp_path / change).mkdir()
        data = frame(tmp_path / change, change)
        glm = GLMRegressor("poisson", formula="y ~ a + label", method=OneStep(pilot_size=100))
        with pytest.raises(ValueError, match=CHANGED):
            glm.fit(data)


def small(number):
    rng = np.random.default_rng(number)
    frame = pd.DataFrame({"a": rng.standard_normal(20).astype(np.float32), "b": rng.integers(0, 3, 20, np.int32)})
    frame["y"], frame["s"] = rng.poisson(1.0, 20).astype(float), np.array(list("wxyz"))[rng.integers(0, 4, 20)]
    frame.loc[frame["s"] == "wxyz"[number % 4], "s"] = "x"
    return frame


@pytest.mark.parametrize("formula", ["y ~ a + b", "y ~ a + C(s, levels=['w', 'x', 'y', 'z'])"])
def test_blocks_that_a_later_pass_joins_are_unchanged(threads, formula):
    data = dd.from_map(small, range(300), meta=small(0).iloc[:0])
    ours = GLMRegressor("poisson", method=MLE(), formula=formula).fit(data)
    alone = GLMRegressor("poisson", method=MLE(), formula=formula).fit(pd.concat(map(small, range(300))))
    np.testing.assert_allclose(ours.record_.coef, alone.record_.coef, rtol=1e-8)
