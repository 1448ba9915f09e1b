"""What users pass: kinds, chunks and names, and what is said of those that do not fit."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import chunked, raise_if_dask_computes

from dask_onestep.data.inputs import bring_together, column_names, is_lazy, split_columns

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 2))
Y = rng.normal(size=30)
FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y, w=np.abs(Y), text=["t"] * 30)


def bring(x, **parts):
    with raise_if_dask_computes():
        return bring_together(x, {"y": None, "weights": None, "offset": None, "groups": None} | parts)


@pytest.fixture
def array():
    return chunked(X, (10, 15, 5))


@pytest.fixture
def frame():
    return dd.from_pandas(FRAME, npartitions=3)


def test_lazy_means_dask(array, frame):
    assert is_lazy(array)
    assert is_lazy(frame)
    assert not is_lazy(X)
    assert not is_lazy(FRAME)


def test_columns_without_names_are_numbered(array, frame):
    assert column_names(array) == ("x0", "x1")
    assert column_names(frame[["b", "a"]]) == ("b", "a")
    assert column_names(pd.DataFrame(X)) == ("0", "1")
    with pytest.raises(ValueError, match=r"two-dimensional, got shape \(30,\)\. Use X\.reshape"):
        column_names(Y)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="X has two columns named 'a'"):
        column_names(pd.DataFrame(X, columns=["a", "a"]))
    with pytest.raises(ValueError, match="X has two columns named '1'"):
        column_names(pd.DataFrame(X, columns=[1, "1"]))


def test_arrays_pass_as_they_are(array):
    y = chunked(Y, (10, 15, 5))
    data = bring(array, y=y)
    assert data.x is array
    assert data.y is y
    assert (data.columns, data.local) == (("x0", "x1"), False)


@pytest.mark.parametrize("y", [Y, list(Y), pd.Series(Y), Y[:, None]], ids=["ndarray", "list", "Series", "column"])
def test_values_in_memory_are_cut_like_a_dask_array(array, y):
    data = bring(array, y=y)
    assert data.y.chunks == ((10, 15, 5),)
    np.testing.assert_array_equal(data.y.compute(scheduler="synchronous"), Y)


def test_a_dask_column_is_flattened(array):
    data = bring(array, y=chunked(Y[:, None], (10, 15, 5)))
    np.testing.assert_array_equal(data.y.compute(scheduler="synchronous"), Y)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (
            chunked(Y, (10, 5, 15)),
            r"X and y are chunked differently along the rows: block 1 has 15 rows in X and 5 in y\. "
            r"Use y = y\.rechunk\(X\.chunks\[0\]\)\.",
        ),
        (chunked(Y, (10, 20)), r"block 1 has 15 rows in X and 20 in y\. Use y = y\.rechunk"),
        (chunked(Y, (10, 15, 5, 0)), r"X is in 3 row blocks and y in 4.*Use y = y\.rechunk\(X\.chunks\[0\]\)\."),
        (chunked(Y[:20], (10, 10)), "X has 30 rows and y has 20"),
        (Y[:20], "X has 30 rows and y has 20"),
        (chunked(np.c_[Y, Y], (10, 15, 5)), r"y must have one value per row, got shape \(30, 2\)"),
        (np.c_[Y, Y], r"y must have one value per row, got shape \(30, 2\)"),
        (np.float64(3.0), r"y must have one value per row, got shape \(\)"),
    ],
)
def test_parts_that_do_not_lie_beside_x(array, y, text):
    with pytest.raises(ValueError, match=text):
        bring(array, y=y)


@pytest.mark.parametrize(("name", "label"), [("weights", "sample_weight"), ("offset", "offset"), ("groups", "groups")])
def test_errors_speak_of_the_part_by_the_name_users_type(array, name, label):
    with pytest.raises(ValueError, match=f"X has 30 rows and {label} has 29"):
        bring(array, **{name: Y[:29]})


def test_unknown_chunk_sizes():
    table = da.map_blocks(np.asarray, chunked(np.c_[X, Y], (10, 20)), chunks=((np.nan, np.nan), (3,)), dtype=float)
    x, y = table[:, :2], table[:, 2]
    assert bring(x, y=y).y is y
    with pytest.raises(ValueError, match="X has unknown chunk sizes, so y, which is in memory, cannot be split"):
        bring(x, y=Y)
    with pytest.raises(
        ValueError, match=r"X is in 2 row blocks and y in 3, of unknown sizes\. Derive both from the same"
    ):
        bring(x, y=chunked(Y, (10, 10, 10)))


def test_frames_and_arrays_do_not_mix(array, frame):
    with pytest.raises(TypeError, match="X is a Dask array and y belongs to a Dask DataFrame: pass both as frames"):
        bring(array, y=frame["y"])
    with pytest.raises(TypeError, match="Pass y as a column's name, or as a Dask Series from the same frame"):
        bring(frame[["a", "b"]], y=Y)
    with pytest.raises(TypeError, match="X is in memory and y is a Dask collection"):
        bring(X, y=chunked(Y, (30,)))


def test_parts_of_a_frame(frame):
    data = bring(frame[["a", "b"]], y=frame["y"], weights=frame[["w"]])
    assert data.columns == ("a", "b")
    assert data.weights.ndim == 1
    with pytest.raises(ValueError, match="X has 3 partitions and y has 2: derive both from the same frame"):
        bring(frame[["a", "b"]], y=dd.from_pandas(FRAME, npartitions=2)["y"])


def test_columns_by_name(frame):
    for table in (frame, FRAME):
        x, parts = split_columns(table, {"y": "y", "weights": "w", "offset": None, "groups": "text"})
        assert list(x.columns) == ["a", "b"]
        assert parts["y"].name == "y"
        assert parts["groups"].name == "text"
        assert parts["offset"] is None
    same, parts = split_columns(X, {"y": Y})
    assert same is X
    with pytest.raises(ValueError, match="sample_weight='v' is not a column of X"):
        split_columns(frame, {"y": "y", "weights": "v"})
    with pytest.raises(TypeError, match="y='y' names a column, but X is not a DataFrame"):
        split_columns(X, {"y": "y"})


def test_numpy_data_is_cut_the_same_way_everywhere(monkeypatch):
    monkeypatch.setattr("dask_onestep.data.inputs._LOCAL_BLOCK_BYTES", 8 * 2 * 12)
    data = bring(X, y=Y, weights=pd.Series(np.abs(Y)))
    assert data.local
    assert data.x.chunks == ((12, 12, 6), (2,))
    assert data.y.chunks == data.weights.chunks == ((12, 12, 6),)
    np.testing.assert_array_equal(data.x.compute(scheduler="synchronous"), X)


@pytest.mark.parametrize("label", ["weights", "offset"])
def test_numpy_parts_of_other_shapes(label):
    name = {"weights": "sample_weight"}.get(label, label)
    with pytest.raises(ValueError, match=f"{name} must be one-dimensional"):
        bring(X, y=Y, **{label: np.c_[Y, Y]})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        bring(X, y=Y, **{label: Y[:29]})
