"""Levels of every kind of column: the same levels in the same order for any chunking, and matched by value and kind."""

import json

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm

from dask_onestep import MLE, GLMRegressor
from dask_onestep.kernels.designs.levels import level_codes, match_levels
from dask_onestep.storage.models import read_model, write_model

N = 600
RNG = np.random.default_rng(3)
CODES = np.sort(RNG.integers(0, 5, N))  # a partition has few of the levels
X = RNG.normal(size=N)
Y = RNG.poisson(np.exp(0.3 * X + 0.2 * CODES - 0.5 * (CODES == 2)))
WORDS = np.array(["e", "b", "d", "a", "c"], dtype=object)
DAYS = pd.to_datetime(["2024-05-01", "2024-02-01", "2024-04-01", "2024-01-01", "2024-03-01"])

KINDS = {
    "string[pyarrow]": (pd.array(WORDS, dtype="string[pyarrow]"), sorted(WORDS)),
    "string[python]": (pd.array(WORDS, dtype="string[python]"), sorted(WORDS)),
    "str": (pd.array(WORDS, dtype="str"), sorted(WORDS)),
    "object": (WORDS, sorted(WORDS)),
    "dictionary[pyarrow]": (pd.arrays.ArrowExtensionArray(pa.array(WORDS).dictionary_encode()), sorted(WORDS)),
    "object of numbers and strings": (np.array([1, "b", 2, "a", 3], dtype=object), [1, 2, 3, "a", "b"]),
    "category": (pd.Categorical(WORDS, categories=["d", "e", "c", "b", "a"]), ["d", "e", "c", "b", "a"]),
    "category of integers": (pd.Categorical([7, 3, 9, 1, 5]), [1, 3, 5, 7, 9]),
    "boolean": (pd.array([False, True, False, True, True], dtype="boolean"), [False, True]),
    "bool": (np.array([False, True, False, True, True]), [False, True]),
    "Int64": (pd.array([30, -2, 10, 9, 20], dtype="Int64"), [-2, 9, 10, 20, 30]),
    "int8": (np.array([30, -2, 10, 9, 20], dtype=np.int8), [-2, 9, 10, 20, 30]),
    "float64": (np.array([0.5, -1.0, 2.0, 1e10, 3.25]), [-1.0, 0.5, 2.0, 3.25, 1e10]),
    "datetime64": (DAYS, list(DAYS.sort_values())),
}


def table(kind):
    values = KINDS[kind][0]
    column = values.take(CODES) if isinstance(values, (pd.DatetimeIndex, pd.Categorical)) else values[CODES]
    return pd.DataFrame({"y": Y, "x": X, "g": column})


@pytest.mark.parametrize("kind", KINDS)
def test_the_coefficients_are_those_of_dense_dummies_whatever_the_chunks(kind):
    frame, levels = table(kind), KINDS[kind][1]
    values = frame["g"].astype(object)
    dummies = [(values == level).to_numpy(float) for level in levels[1:]]
    peer = sm.GLM(Y, np.column_stack([np.ones(N), X, *dummies]), sm.families.Poisson()).fit(tol=1e-14)
    for partitions in (1, 4, 9):
        glm = GLMRegressor("poisson", formula="y ~ x + C(g)", method=MLE(tol=1e-16))
        glm.fit(dd.from_pandas(frame, npartitions=partitions))
        assert list(glm.coef_table().index[2:]) == [f"C(g)[T.{level}]" for level in levels[1:]]
        np.testing.assert_allclose(glm.coef_table()["coef"], peer.params, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(glm.predict(frame), peer.fittedvalues, rtol=1e-10)


def test_local_categories_of_blocks_are_the_levels_of_all():
    frame = table("object")
    frame["g"] = frame["g"].astype(str)
    whole = GLMRegressor("poisson", formula="y ~ x + g").fit(frame)
    parts = [frame.iloc[start : start + 150].astype({"g": "category"}) for start in range(0, N, 150)]
    assert len({tuple(part["g"].cat.categories) for part in parts}) > 1
    meta = frame.iloc[:0].astype({"g": pd.CategoricalDtype(["__UNKNOWN_CATEGORIES__"])})
    blocks = dd.from_map(lambda part: part, parts, meta=meta)
    glm = GLMRegressor("poisson", formula="y ~ x + g").fit(blocks)
    assert list(glm.coef_table().index) == list(whole.coef_table().index)
    np.testing.assert_allclose(glm.coef_table()["coef"], whole.coef_table()["coef"], rtol=1e-10)


@pytest.mark.parametrize(
    ("fitted", "later"),
    [
        (bool, np.int64),
        (np.int64, bool),
        ("boolean", "Int64"),
        ("Int64", "boolean"),
        (np.float64, bool),
        (bool, np.float64),
        (np.int8, str),
        (str, np.int64),
    ],
)
def test_levels_of_another_kind_are_refused_and_never_the_reference(fitted, later, tmp_path):
    zero_one = pd.Series(CODES % 2)
    frame = pd.DataFrame({"y": Y + 5.0 * zero_one, "b": zero_one.astype(fitted)})
    glm = GLMRegressor(formula="y ~ C(b)").fit(frame)
    write_model(glm, str(tmp_path / "model.json"))
    json.loads((tmp_path / "model.json").read_text())
    for model in (glm, read_model(str(tmp_path / "model.json"))):
        with pytest.raises(ValueError, match=r"C\(b\) has a level that fit did not see.*Convert the column"):
            model.predict(frame.assign(b=zero_one.astype(later)))


@pytest.mark.parametrize("later", ["Int64", np.float64, np.int8, "Float32"])
def test_numbers_are_the_same_level_whatever_their_dtype(later):
    zero_one = pd.Series(CODES % 2)
    frame = pd.DataFrame({"y": Y + 5.0 * zero_one, "b": zero_one})
    glm = GLMRegressor(formula="y ~ C(b)").fit(frame)
    np.testing.assert_array_equal(glm.predict(frame.assign(b=zero_one.astype(later))), glm.predict(frame))


def test_blocks_that_mix_booleans_and_numbers_are_fitted_as_one_level_or_refused():
    zero_one = pd.Series(CODES % 2)
    frame = pd.DataFrame({"y": Y + 5.0 * zero_one, "b": zero_one})
    parts = [frame[:300].astype({"b": bool}), frame[300:]]
    blocks = dd.from_map(lambda part: part, parts, meta=frame.iloc[:0])
    with pytest.raises(ValueError, match=r"C\(b\) has a level that fit did not see, .* Convert the column"):
        GLMRegressor(formula="y ~ C(b)", method="mle").fit(blocks)
    # A small table is joined, whose column has the dtype that the frame declares.
    whole = GLMRegressor(formula="y ~ C(b)").fit(frame)
    np.testing.assert_allclose(GLMRegressor(formula="y ~ C(b)").fit(blocks).coef_, whole.coef_, rtol=1e-10)


@pytest.mark.parametrize("npartitions", [1, 6])
def test_nullable_integers_keep_their_names_beside_a_transform_with_a_state(npartitions):
    frame = pd.DataFrame({"u": X, "c": pd.array(CODES, dtype="Int32"), "y": Y})
    frame.loc[[int(np.argmin(X)), 3], "c"] = pd.NA
    glm = GLMRegressor(formula="y ~ C(c) + bs(u, df=4)", missing="drop").fit(
        dd.from_pandas(frame, npartitions=npartitions)
    )
    assert [name for name in glm.coef_table().index if "C(" in name] == [f"C(c)[T.{level}]" for level in range(1, 5)]


@pytest.mark.parametrize("levels", ["", ", levels=['a', 'b', 'c', 'd', 'e']"])
@pytest.mark.parametrize("kind", ["category", "string[pyarrow]", "object"])
def test_missing_levels_beside_a_transform_with_a_state_are_dropped_without_a_warning(kind, levels):
    frame = table(kind)
    frame.loc[[int(np.argmin(X)), int(np.argmax(X))], "g"] = None
    kept = frame.dropna()
    centered = X[kept.index] - X.mean()  # the state is that of all rows in which x is present, as in R
    known = np.array([[level == value for level in sorted(WORDS)] for value in kept["g"]], dtype=float)
    design = np.column_stack([known, known * centered[:, np.newaxis]])
    expected = sm.GLM(kept["y"], design, sm.families.Poisson()).fit(tol=1e-13)
    for data in (frame, dd.from_pandas(frame, npartitions=5)):
        glm = GLMRegressor("poisson", formula=f"y ~ C(g{levels})*center(x)", missing="drop", method=MLE()).fit(data)
        np.testing.assert_allclose(glm.predict(kept), expected.fittedvalues, rtol=1e-7)


def test_levels_match_by_value_and_kind():
    known = pd.Index([2, 0, 1])
    for same in (pd.Index([1.0, 2.0, 5.0]), pd.Index([1, 2, 5], dtype="Int8"), pd.Index([1, 2, 5], dtype=object)):
        assert match_levels(same, known).tolist() == [2, 0, -1, -1]
    assert match_levels(pd.Index([True, False]), known).tolist() == [-1, -1, -1]
    assert match_levels(pd.Index(["0", "1"]), known).tolist() == [-1, -1, -1]
    assert match_levels(pd.Index([True, 1, "a"], dtype=object), pd.Index([False, True])).tolist() == [1, -1, -1, -1]
    assert match_levels(pd.Index(["a", "b"], dtype="string"), pd.Index(["b", "a"], dtype=object)).tolist() == [1, 0, -1]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_have_no_level(kind):
    column = table(kind)["g"].copy()
    if column.dtype in (np.dtype(bool), np.dtype(np.int8)):
        return
    column[5] = None
    codes, levels = level_codes(column)
    assert codes[5] == -1
    assert levels[codes[6]] == column[6]
