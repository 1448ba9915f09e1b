"""What a block may hold, and what is said of what it may not."""

import numpy as np
import pandas as pd
import pytest
from support import model_of, text_of

from dask_onestep.families import Poisson
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.rows.block import run_kernel
from dask_onestep.kernels.rows.checks import inspect_columns, usable_rows

X = np.arange(8.0).reshape(4, 2)
Y = np.array([1.0, 2.0, 3.0, 4.0])


def test_a_good_block_passes_as_it_is():
    rows = usable_rows(Block(X, Y, number=3, start=17), model_of())
    assert rows.x is X
    assert (rows.number, rows.start, rows.kept, rows.n_missing) == (3, 17, None, 0)
    np.testing.assert_array_equal(rows.y, Y)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint64, bool])
def test_numeric_dtypes_are_kept(dtype):
    assert usable_rows(Block(X.astype(dtype), Y), model_of()).x.dtype == dtype


def test_numbers_in_object_arrays_become_floats():
    assert usable_rows(Block(X.astype(object), Y), model_of()).x.dtype == np.float64


def test_frames_and_their_missing_values():
    frame = pd.DataFrame({"x0": pd.array([1, None, 3, 4], dtype="Int64"), "x1": [1.0, 2.0, 3.0, 4.0]})
    rows = usable_rows(Block(frame, pd.Series(Y)), model_of(missing="drop"))
    assert rows.kept.tolist() == [0, 2, 3]
    assert rows.n_missing == 1
    assert rows.x.dtype == np.float64


def test_nullable_responses():
    y = pd.Series([1.0, None, 3.0, 4.0], dtype="Float64")
    rows = usable_rows(Block(X, y), model_of(missing="drop"))
    np.testing.assert_array_equal(rows.y, [1, 3, 4])
    assert "y contains NaN, infinity or a missing value (1 row)" in text_of(usable_rows(Block(X, y), model_of()))


def test_column_vectors_are_flattened():
    np.testing.assert_array_equal(usable_rows(Block(X, Y[:, None]), model_of()).y, Y)


def test_unaligned_blocks_are_aligned():
    raw = np.zeros(X.nbytes + 1, dtype=np.uint8)[1:].view(np.float64).reshape(X.shape)
    raw[:] = X
    assert not raw.flags.aligned
    rows = usable_rows(Block(raw, Y), model_of())
    assert rows.x.flags.aligned
    np.testing.assert_array_equal(rows.x, X)


@pytest.mark.parametrize("where", ["x", "y", "weights", "offset", "groups"])
def test_rows_with_gaps_are_dropped_from_all_parts(where):
    parts = {"x": X.copy(), "y": Y.copy(), "weights": Y.copy(), "offset": Y.copy(), "groups": Y.copy()}
    parts[where][2] = np.nan
    rows = usable_rows(Block(**parts), model_of(missing="drop"))
    assert rows.n_missing == 1
    assert rows.kept.tolist() == [0, 1, 3]
    for name in parts:
        np.testing.assert_array_equal(getattr(rows, name), parts[name][[0, 1, 3]])


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_infinity_is_a_gap(gap):
    x = X.copy()
    x[0, 1] = gap
    assert usable_rows(Block(x, Y), model_of(missing="drop")).kept.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("parts", "options", "text"),
    [
        ({"y": Y[:3]}, {}, "the parts of one block differ in length: X has 4 rows, y has 3 rows"),
        ({"x": X[:, :1]}, {}, r"X has shape (4, 1), not (rows, 2)"),
        ({"x": X + 1j}, {}, "Complex data not supported: X is complex (4 rows)"),
        ({"x": X.astype("M8[D]")}, {}, "X holds datetimes"),
        ({"x": np.full((4, 2), "a", dtype=object)}, {}, "X has dtype object and does not convert to numbers"),
        (
            {"y": np.array(list("abcd"))},
            {},
            "y has dtype <U1 and is not numeric (4 rows). In block 2. Convert it to numbers first. Labels of classes",
        ),
        ({"y": Y + 1j}, {}, "y is complex: Complex data not supported"),
        ({"y": np.c_[Y, Y]}, {}, "y has shape (4, 2), not one value per row"),
        ({"weights": np.array([1.0, -1.0, 0.0, -2.0])}, {}, "sample_weight is negative (2 rows)"),
        ({"weights": np.array([1.0, np.nan, 0.0, 2.0])}, {}, "Input sample_weight contains NaN"),
        ({"offset": np.array([1.0, np.inf, 0.0, 2.0])}, {}, "Input offset contains NaN, infinity"),
        ({"y": np.array([1.0, np.nan, 0.0, 2.0])}, {}, "Use missing='drop' to drop these rows"),
        (
            {"y": -Y},
            {"family": "poisson"},
            "outside the range of the poisson family, which is numbers that are not negative",
        ),
        ({"y": Y}, {"family": "binomial"}, "numbers from 0 to 1 (0/1, or the proportion of successes) (e.g. 2) (3"),
        (
            {"y": Y - 1},
            {"family": "gamma"},
            "outside the range of the gamma family, which is positive numbers (e.g. 0)",
        ),
        ({"y": np.array(["a", None, "b", "a"], dtype=object)}, {"classify": True}, "Input y contains NaN, infinity"),
    ],
)
def test_what_is_wrong_is_said(parts, options, text):
    block = Block(**({"x": X, "y": Y} | parts), number=2)
    said = text_of(usable_rows(block, model_of(**options)))
    assert text in said
    assert "In block 2." in said


class _EvenCounts(Poisson):
    def in_support(self, y):
        return (y >= 0) & (y % 2 == 0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, np.float64])
@pytest.mark.parametrize(("values", "beyond"), [([0, 4, 2, 0], 0), ([0, 4, 3, 1], 2), ([0, 3, 2, 100], 1)])
def test_integers_of_y_are_checked_as_floats_are(dtype, values, beyond):
    found = usable_rows(Block(X, np.array(values, dtype)), model_of(_EvenCounts()))
    if beyond:
        assert "outside the range" in text_of(found)
        assert f"({beyond} row" in text_of(found)
    else:
        assert found.y.tolist() == values


def test_columns_that_are_not_numeric_are_named():
    frame = pd.DataFrame({"x0": list("abcd"), "x1": Y})
    said = text_of(usable_rows(Block(frame, Y), model_of()))
    assert said.startswith("columns are not numeric: x0 (")
    assert "x1" not in said
    assert "Encode them first." in said


def test_columns_with_gaps_are_named_and_counted():
    x = X.copy()
    x[1:3, 1] = [np.nan, np.inf]
    said = text_of(inspect_columns(Rows(x, Y, number=5), model_of()))
    assert "Input X contains NaN or infinity in column x1 (2 rows). In block 5." in said
    assert inspect_columns(Rows(X, Y), model_of()) is None
    # A sum that overflows is no gap.
    assert inspect_columns(Rows(np.full((4, 2), 1e308), Y), model_of()) is None
    assert inspect_columns(Rows(X.astype(int), Y), model_of()) is None


def test_the_kernel_shows_gaps_without_a_search_first():
    x = X.copy()
    x[0, 0] = np.nan
    found = run_kernel(Block(x, Y, number=1), moments, model_of(), None, (np.zeros(3),))
    assert "column x0 (1 row). In block 1." in text_of(found)


@pytest.mark.parametrize("loaded", [None, 3.0, "strings"])
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_what_loads_without_rows_is_named(loaded, family):
    model = model_of(family, columns=2, classify=family == "binomial")
    found = usable_rows(Block(np.zeros((5, 2)), loaded, number=7), model)
    with pytest.raises(
        ValueError, match=rf"y was loaded as .*{type(loaded).__name__[:3]}.*In block 7.*return an array"
    ):
        found.raise_error()
