"""Columns of a table as numbers and categories, looked up by several threads at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pandas as pd
import pytest

from dask_onestep.kernels.designs.levels import indexed, level_codes
from dask_onestep.kernels.designs.parts import Table, taken
from dask_onestep.kernels.designs.table import gaps, plain_columns, unmasked

K = 5000
LEVELS = {
    "times": lambda: pd.Index(pd.date_range("2020", periods=K, freq="h").to_numpy()),
    "integers": lambda: pd.Index(7 * np.arange(K)),
    "numbers": lambda: pd.Index(0.5 * np.arange(K)),
    "strings": lambda: pd.Index([f"w{i}" for i in range(K)]),
}


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("look_up", ["as a category", "as a code"])
def test_threads_that_share_levels_find_every_value(kind, look_up):
    # An index that is half filled loses values: pandas before 3.1 does so nearly each time in this test.
    at = np.random.default_rng(0).permutation(K)
    for _ in range(20):
        levels, together = LEVELS[kind]()[at], Barrier(4)
        values = pd.Series(levels[:500].to_numpy()).astype("category")

        def codes(_, levels=levels, values=values, together=together):
            together.wait()
            if look_up == "as a code":
                return indexed(levels).get_indexer(pd.Index(values))
            return plain_columns(values.to_frame("g"), ("g",), {"g": levels})["g"].cat.codes.to_numpy()

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(codes, range(4)):
                np.testing.assert_array_equal(found, np.arange(500))


def test_strings_in_several_chunks_have_the_codes_of_one():
    words = ["b", "a", "a", None, "c", "b"]
    parts = [pd.Series(part, dtype="string[pyarrow]") for part in (words[:2], words[2:])]
    codes, levels = level_codes(pd.concat(parts, ignore_index=True))
    assert sorted(levels) == ["a", "b", "c"]
    assert [None if code < 0 else levels[code] for code in codes] == words


def test_a_table_of_arrays_becomes_the_same_frame_and_takes_the_same_rows():
    frame = pd.DataFrame({"x": [1.5, np.nan, 0.0, 2.0], "self": pd.array([1, None, 3, 4], dtype="Int8")})
    frame["words"] = pd.Series(["a", None, 3, "b"], dtype=object)
    frame["g"] = pd.Categorical(["v", "u", None, "v"], categories=["w", "v", "u"], ordered=True)
    frame["t"] = pd.date_range("2020", periods=4, tz="UTC")
    found = Table.of(frame)
    pd.testing.assert_frame_equal(found.frame(), frame)
    assert found.shape == frame.shape
    assert found.dtypes == dict(frame.dtypes)
    for rows in (np.array([3, 0]), slice(1, 3), np.arange(0)):
        pd.testing.assert_frame_equal(taken(found, rows).frame(), frame.iloc[rows].reset_index(drop=True))
    some, kinds = ["g", "x"], {"g": object}
    pd.testing.assert_frame_equal(found[some].astype(kinds).frame(), frame[some].astype(kinds))


def test_plain_columns_keep_the_index():
    frame = pd.DataFrame({"g": ["b", "a"], "b": pd.array([True, False], dtype="boolean")}, index=[7, 3])
    found = plain_columns(frame, ("b", "g"), {"g": pd.Index(["a", "b"])})
    assert found.index.tolist() == [7, 3]
    assert found["g"].cat.codes.tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "Float64", "double[pyarrow]"])
def test_missing_values_and_infinities_are_gaps(dtype):
    column = pd.Series([1.0, np.inf, None, -np.inf, 2.0], dtype=dtype)
    assert gaps(column).tolist() == [False, True, True, True, False]
    assert gaps(column.to_frame("a").assign(b=[None, 1.0, 1.0, 1.0, 1.0])).tolist() == [True, True, True, True, False]


def test_masked_values_are_missing():
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    np.testing.assert_array_equal(unmasked(masked), [1.0, np.nan, 3.0])
    assert unmasked(np.ma.array(["a", "b"], mask=[True, False])).tolist() == [None, "b"]
    assert unmasked(np.ma.array([1, 2])).tolist() == [1, 2]
