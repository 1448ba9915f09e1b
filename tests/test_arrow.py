"""Whatever has the Arrow PyCapsule interface gives the fit of the same rows in pandas."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_files import EXACT, FORMULA, same, table

from dask_onestep import GLMClassifier, GLMRegressor, moments
from dask_onestep.data.arrow import column_of_arrow, frame_of_arrow


class Capsule:
    """A table or column of another library: it has the interface, and nothing else."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


def arrow(frame):
    return pa.Table.from_pandas(frame, preserve_index=False)


KINDS = {"table": arrow, "reader": lambda frame: arrow(frame).to_reader(100), "capsule": lambda f: Capsule(arrow(f))}


@pytest.mark.parametrize("kind", KINDS)
def test_formulas(kind):
    glm = GLMRegressor("poisson", formula=FORMULA, method=EXACT)
    data = KINDS[kind](table())
    glm.fit(data, sample_weight="w", offset="o")
    expected = GLMRegressor("poisson", formula=FORMULA, method=EXACT).fit(table(), sample_weight="w", offset="o")
    same(glm, expected)
    new = KINDS[kind](table(50, 1))
    np.testing.assert_allclose(glm.predict(new, offset="o"), expected.predict(table(50, 1), offset="o"), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays(kind):
    frame = table()
    glm = GLMClassifier(method=EXACT).fit(KINDS[kind](frame[["x", "w", "month"]]), pa.chunked_array([frame["label"]]))
    expected = GLMClassifier(method=EXACT).fit(frame[["x", "w", "month"]], frame["label"])
    same(glm, expected)
    assert glm.feature_names_in_.tolist() == ["x", "w", "month"]
    score = glm.score(KINDS[kind](frame[["month", "x", "w"]]), Capsule(arrow(frame[["label"]])))
    assert score == expected.score(frame[["x", "w", "month"]], frame["label"])
    given = moments(KINDS[kind](frame[["x"]]), pa.chunked_array([frame["y"]]), [0.0, 0.1], family="poisson").compute()
    assert given.loglik == moments(frame[["x"]], frame["y"], [0.0, 0.1], family="poisson").compute().loglik


def test_rows_are_paired_by_position_whatever_the_labels():
    frame = table()
    turned = frame["y"].set_axis(frame.index[::-1])
    glm = GLMRegressor("poisson", method=EXACT).fit(arrow(frame[["x", "w"]]), turned)
    same(glm, GLMRegressor("poisson", method=EXACT).fit(frame[["x", "w"]], frame["y"]))


def test_columns_of_every_kind_become_what_pandas_has():
    day = datetime.date(2020, 2, 29)
    columns = {
        "whole": pa.array([1, 2], pa.int32()),
        "gaps": pa.array([1, None]),
        "code": pa.array([1, None]),
        "flag": pa.array([True, None]),
        "text": pa.array(["a", None]),
        "kind": pa.array(["b", "a"]).dictionary_encode(),
        "day": pa.array([day, None]),
        "price": pa.array([1, None], pa.decimal128(5, 2)),
    }
    frame = frame_of_arrow(pa.table(columns), coded=["code"])
    dtypes = {"whole": "int32", "gaps": "float64", "code": "Int64", "flag": "boolean", "price": "float64"}
    assert {name: str(frame.dtypes[name]) for name in dtypes} == dtypes
    assert frame["text"].isna().tolist() == [False, True]
    assert frame["kind"].cat.categories.tolist() == ["b", "a"]
    assert frame["day"].iloc[0] == pd.Timestamp(day)
    encoded = frame_of_arrow(pa.table(columns), encoded=["text"])["text"]
    assert encoded.cat.categories.tolist() == ["a"]


def test_levels_that_are_dates_are_those_of_pandas():
    days = [datetime.date(2020, 1, 1 + number % 3) for number in range(60)]
    frame = pd.DataFrame({"y": np.arange(60.0) % 7, "day": days})
    glm = GLMRegressor(formula="y ~ C(day)").fit(pa.Table.from_pandas(frame))
    assert list(glm.coef_table().index[1:]) == ["C(day)[T.2020-01-02]", "C(day)[T.2020-01-03]"]
    of_days = frame.groupby("day")["y"].transform("mean")
    np.testing.assert_allclose(glm.predict(frame), of_days)


def test_numbers_are_not_copied():
    column = pa.array(np.arange(5.0))
    frame = frame_of_arrow(pa.table({"x": column}))
    assert np.shares_memory(frame["x"].to_numpy(), column.to_numpy())


def test_a_part_of_several_columns_is_refused():
    with pytest.raises(ValueError, match="Expected one value per row, got a table of 2 columns"):
        column_of_arrow(arrow(table()[["x", "y"]]))


def test_two_columns_of_one_name_are_refused():
    twice = pa.Table.from_arrays([pa.array([1.0, 2.0])] * 2, names=["x", "x"])
    with pytest.raises(ValueError, match="X has two columns named 'x'"):
        GLMRegressor().fit(twice, [1.0, 2.0])


def test_lazy_frames_of_polars_are_refused_with_the_ways_out():
    lazy = type("LazyFrame", (), {"__module__": "polars.lazyframe.frame"})()
    with pytest.raises(TypeError, match=r"X\.collect\(engine='streaming'\).*X\.sink_parquet\(path\) and pass the path"):
        GLMRegressor("poisson", formula="y ~ x").fit(lazy)


@pytest.mark.parametrize("kind", [pa.uint8(), pa.uint32(), pa.int16()], ids=str)
def test_a_dictionarys_indices_may_be_unsigned_and_missing(kind):
    values = [None if i % 50 == 9 else "abcd"[i % 4] for i in range(400)]
    plain = pa.array(values)
    frames = [
        pa.table({"y": np.arange(400) % 7 * 1.0, "g": column})
        for column in (plain, plain.dictionary_encode().cast(pa.dictionary(kind, pa.string())))
    ]
    fits = [GLMRegressor("poisson", formula="y ~ g", missing="drop").fit(frame) for frame in frames]
    np.testing.assert_allclose(fits[1].coef_, fits[0].coef_, rtol=1e-12)


@pytest.mark.parametrize("values", [["a", None, "b", "a"], ["a", "b", "c", "a"]])
def test_values_of_a_dictionary_may_be_missing_or_the_same(values):
    coded = pa.DictionaryArray.from_arrays(pa.array(np.arange(400) % 4, pa.int8()), pa.array(values))
    fits = [
        GLMRegressor("poisson", formula="y ~ g", missing="drop").fit(
            pa.table({"y": np.arange(400) % 7 * 1.0, "g": column})
        )
        for column in (pa.array(values * 100), coded)
    ]
    assert fits[1].n_missing_ == 100 * values.count(None)
    np.testing.assert_array_equal(fits[1].coef_, fits[0].coef_)


@pytest.mark.parametrize("index", [pa.int8(), pa.uint16(), pa.int32()])
@pytest.mark.parametrize("second", [["a", "b"], ["b", "c", "a"], ["a", "a"], [None, "b", "c"], []])
def test_dictionaries_of_row_groups(index, second):
    parts = [pa.array([1, None, 0], index), pa.array(range(len(second)), index)]
    words = [pa.array(["a", "b"]), pa.array(second, pa.string())]
    column = pa.chunked_array([pa.DictionaryArray.from_arrays(*pair) for pair in zip(parts, words, strict=True)])
    found = frame_of_arrow(pa.table({"s": column}))["s"]
    assert found.astype(object).where(found.notna(), None).tolist() == ["b", None, "a", *second]
    assert set(found.cat.categories) == {"a", "b", *second} - {None}
    assert found.cat.codes.dtype == np.int8
    assert found.cat.categories[:2].tolist() == ["a", "b"]  # in the order of the first


def test_a_dictionary_without_rows():
    column = pa.chunked_array([], pa.dictionary(pa.int32(), pa.string()))
    assert frame_of_arrow(pa.table({"s": column})).dtypes["s"] == "category"
