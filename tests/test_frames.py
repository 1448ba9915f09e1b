"""Frames as people have them: dtypes, names, order, gaps; no formula."""

import datetime
import pickle
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from dask_onestep import MLE, GLMClassifier, GLMRegressor
from dask_onestep.data.frames import cut_frame, pick_columns, read_terms

EXACT = MLE(tol=1e-20)


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "flag": rng.random(n) < 0.3,
            "site": rng.choice(["west", "east", "north"], n),
            "count": rng.integers(0, 9, n),
        }
    )
    shift = frame["site"].map({"west": 0.3, "east": 0.0, "north": -0.5}).astype(float)
    frame["y"] = rng.poisson(np.exp(0.3 + 0.4 * frame["x"] + 0.2 * frame["flag"] + shift))
    return frame


def oracle(frame, names=("x", "flag", "site[T.north]", "site[T.west]", "count")):
    design = {
        "x": frame["x"],
        "flag": frame["flag"],
        "site[T.north]": frame["site"] == "north",
        "site[T.west]": frame["site"] == "west",
        "count": frame["count"],
    }
    matrix = pd.DataFrame(design).astype(float)[list(names)]
    model = sm.GLM(frame["y"].astype(float).to_numpy(), sm.add_constant(matrix.to_numpy()), sm.families.Poisson())
    return model.fit(tol=1e-14, maxiter=100)


DTYPES = [
    {},
    {"site": "string[pyarrow]", "x": "Float64", "count": "Int64", "flag": "boolean"},
    {"site": "category", "x": "double[pyarrow]", "count": "int32[pyarrow]", "flag": "bool[pyarrow]"},
    {"site": object, "x": "float32", "count": "uint8"},
]


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("lazy", [True, False])
def test_dtypes_give_the_fit_of_numbers_coded_by_hand(dtypes, lazy):
    frame = table().astype(dtypes)
    data = dd.from_pandas(frame, npartitions=5) if lazy else frame
    glm = GLMRegressor("poisson", method=EXACT).fit(data, "y")
    expected = oracle(frame)
    assert list(glm.coef_table().index) == ["intercept", "x", "flag", "site[T.north]", "site[T.west]", "count"]
    tolerance = 1e-5 if dtypes.get("x") == "float32" else 1e-8
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=tolerance)
    np.testing.assert_allclose(glm.coef_table()["std_err"], expected.bse, rtol=tolerance)
    assert list(glm.feature_names_in_) == ["x", "flag", "site", "count"]


def test_levels_that_partitions_lack_are_levels_all_the_same():
    frame = table().sort_values("site", kind="stable").reset_index(drop=True)
    data = dd.from_pandas(frame, npartitions=7)
    assert any(len(part["site"].unique()) == 1 for part in data.partitions)
    unknown = data.assign(site=data["site"].astype("category"))
    assert not unknown["site"].cat.known
    for given in (data, unknown):
        glm = GLMRegressor("poisson", method=EXACT).fit(given, "y")
        np.testing.assert_allclose(glm.coef_table()["coef"], oracle(frame).params, rtol=1e-8)


def test_known_categories_keep_their_order():
    frame = table()
    frame["site"] = pd.Categorical(frame["site"], ["west", "north", "east"])
    data = dd.from_pandas(frame, npartitions=3)
    known = GLMRegressor("poisson").fit(data, "y")
    assert known.n_passes_ == 1
    assert list(known.coef_table().index)[3:5] == ["site[T.north]", "site[T.east]"]
    words = GLMRegressor("poisson").fit(data.astype({"site": object}), "y")
    assert (words.n_passes_, list(words.coef_table().index)[3]) == (1, "site[T.north]")  # learned with the pilot


def test_chunking_of_a_frame_does_not_matter():
    frame = table()
    fits = [
        GLMRegressor("poisson", method=EXACT).fit(dd.from_pandas(frame, npartitions=n), "y").coef_ for n in (1, 4, 9)
    ]
    np.testing.assert_allclose(fits[1], fits[0], rtol=1e-10)
    np.testing.assert_allclose(fits[2], fits[0], rtol=1e-10)


def test_predictions_keep_the_index_and_follow_names():
    frame = table().set_index(pd.Index(np.arange(600) * 3 + 7, name="id"))
    data = dd.from_pandas(frame, npartitions=4)
    glm = GLMRegressor("poisson", method=EXACT).fit(data, "y")
    predicted = glm.predict(data[["site", "count", "x", "flag"]]).compute()
    assert predicted.index.equals(frame.index)
    np.testing.assert_allclose(predicted, oracle(frame).fittedvalues, rtol=1e-8)
    # The frame of fit itself: the column that was y is not a covariate.
    pd.testing.assert_series_equal(glm.predict(data).compute(), predicted)
    np.testing.assert_allclose(glm.predict(frame[["count", "site", "flag", "x"]]), predicted)


@pytest.mark.parametrize("lazy", [True, False])
def test_numeric_frames_are_reordered_too(lazy):
    frame = table()[["x", "count", "y"]]
    data = dd.from_pandas(frame, npartitions=3) if lazy else frame
    glm = GLMRegressor("poisson").fit(data, "y")
    straight, turned = glm.predict(data[["x", "count"]]), glm.predict(data[["count", "x"]])
    np.testing.assert_array_equal(np.asarray(straight), np.asarray(turned))


def test_missing_and_strange_columns_are_named():
    data = dd.from_pandas(table(), npartitions=2)
    glm = GLMRegressor("poisson").fit(data, "y")
    with pytest.raises(ValueError, match=r"present in fit: \['site'\]"):
        glm.predict(data[["x", "flag", "count"]])
    with pytest.raises(ValueError, match=r"\['z'\] were not present in fit"):
        glm.predict(data.assign(z=1))
    with pytest.raises(TypeError, match="pass a DataFrame"):
        glm.predict(np.zeros((3, 4)))


def test_unseen_levels_raise_when_predicted():
    data = dd.from_pandas(table(), npartitions=2)
    glm = GLMRegressor("poisson").fit(data, "y")
    strange = table(20).assign(site="south")
    with pytest.raises(ValueError, match=r"site has a level that fit did not see, 'south' \(20 rows\)"):
        glm.predict(strange)


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[ns]"])
def test_times_are_refused_with_a_cure(kind):
    frame = table(30).assign(when=np.arange(30).astype(kind))
    for data in (frame, dd.from_pandas(frame, npartitions=2)):
        with pytest.raises(ValueError, match=r"\['when'\] hold dates or durations.*dt\.dayofyear"):
            GLMRegressor("poisson").fit(data, "y")


def with_gaps():
    frame = table()
    frame.loc[::50, "x"] = np.nan
    frame.loc[3:5, "site"] = None
    frame["y"] = frame["y"].astype("Float64")
    frame.loc[7, "y"] = pd.NA
    frame["w"] = 1.0 + np.arange(600) % 3
    frame.loc[9, "w"] = np.nan
    return frame


def test_gaps_are_named_counted_and_placed():
    data = dd.from_pandas(with_gaps(), npartitions=3)
    with pytest.raises(ValueError, match=r"in column x \(12 rows\).*column site \(3 rows\).*In blocks 0, 1, 2"):
        GLMRegressor("poisson").fit(data, "y", sample_weight="w")


@pytest.mark.parametrize("lazy", [True, False])
def test_dropping_is_fitting_the_complete_cases(lazy):
    frame = with_gaps()
    complete = frame.dropna()
    data = dd.from_pandas(frame, npartitions=4) if lazy else frame
    glm = GLMRegressor("poisson", method=EXACT, missing="drop").fit(data, "y", sample_weight="w")
    again = GLMRegressor("poisson", method=EXACT).fit(complete, "y", sample_weight="w")
    np.testing.assert_allclose(glm.coef_table(), again.coef_table(), rtol=1e-8)
    assert glm.n_missing_ == len(frame) - len(complete)
    assert glm.n_samples_ == len(complete)
    assert again.n_missing_ == 0


def test_rows_with_gaps_are_predicted_as_gaps():
    frame = with_gaps()
    labels = frame.assign(y=np.where(frame["y"].fillna(0) > 1, "many", "few"))
    glm = GLMClassifier(missing="drop").fit(dd.from_pandas(labels, npartitions=3).drop(columns="w"), "y")
    proba = glm.predict_proba(dd.from_pandas(labels.drop(columns="w"), npartitions=2)).compute()
    gaps = frame[["x", "site"]].isna().any(axis=1)
    np.testing.assert_array_equal(proba.isna().any(axis=1), gaps)
    with pytest.raises(ValueError, match=r"in column x \(12 rows\).*in column site \(3 rows\)"):
        glm.predict(labels.drop(columns=["w", "y"]))


def test_a_level_without_complete_rows_is_none():
    frame = table()
    frame["y"] = frame["y"].astype(float).where(frame["site"] != "north")
    glm = GLMRegressor("poisson", missing="drop").fit(dd.from_pandas(frame, npartitions=3), "y")
    assert "site[T.north]" not in glm.coef_table().index


def test_identifiers_are_refused():
    frame = pd.DataFrame({"who": [f"p{i}" for i in range(10_001)], "y": np.arange(10_001) % 2.0})
    with pytest.raises(ValueError, match=r"who has more than 10,000 levels.*identifier"):
        GLMRegressor("poisson").fit(dd.from_pandas(frame, npartitions=3), "y")


def test_columns_are_picked_lazily_and_cut_without_a_copy():
    frame = table(10)
    assert list(pick_columns(frame, ("site", "x"), ignored=None).columns) == ["site", "x"]
    cut, lengths = cut_frame(frame, 4)
    assert lengths == (4, 4, 2)
    pd.testing.assert_frame_equal(cut.compute(), frame, check_dtype=False)
    assert read_terms(frame[["x", "flag"]], None, True) is None


def test_complex_columns_are_refused_with_and_without_a_formula():
    frame = dd.from_pandas(pd.DataFrame({"x": [1j, 2.0, 3j, 1.0] * 5, "y": range(20)}), npartitions=2)
    for glm, y in ((GLMRegressor(), "y"), (GLMRegressor(formula="y ~ x"), None), (GLMRegressor(formula="x ~ y"), None)):
        with pytest.raises(ValueError, match=r"Complex data not supported: columns \['x'\].*X\['x'\].real"):
            glm.fit(frame, y)


def test_lists_are_no_categories(threads, tmp_path):
    pd.DataFrame({"x": [[1], [2]] * 10, "y": range(20)}).to_parquet(tmp_path / "lists.parquet")
    frame = dd.read_parquet(tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="x holds lists or dicts; expand them"):
        GLMRegressor(formula="y ~ x").fit(frame)


def test_with_a_formula_a_column_may_be_weight_and_covariate_at_once(threads):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"w": rng.uniform(1, 2, 200), "x": rng.normal(size=200)})
    table["y"] = rng.poisson(table["w"])
    glm = GLMRegressor("poisson", method="mle", formula="y ~ w + x")
    both = glm.fit(dd.from_pandas(table, npartitions=2), sample_weight="w", offset="x")
    expected = GLMRegressor("poisson", method="mle", formula="y ~ w + x").fit(
        table, sample_weight=table["w"], offset=table["x"]
    )
    np.testing.assert_allclose(both.coef_, expected.coef_, rtol=1e-12)
    np.testing.assert_allclose(both.predict(table, offset="x"), expected.predict(table, offset=table["x"]))


def test_a_prediction_says_a_cure_that_it_knows():
    table = pd.DataFrame({"x": np.arange(40.0), "y": [0, 1] * 20})
    for missing in ("raise", "drop"):
        glm = GLMClassifier(formula="y ~ x", missing=missing).fit(table)
        with pytest.raises(ValueError, match=r"column x \(1 row\)\. Drop these rows, for example with X.dropna\(\)"):
            glm.predict(table.assign(x=table["x"].where(table["x"] > 0)))


@pytest.mark.parametrize("dtype", ["int64", "Int64", "int16[pyarrow]", "UInt8"])
def test_levels_of_integers_are_named_as_integers(dtype):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"month": pd.Series(rng.integers(1, 5, 300)).astype(dtype), "x": rng.normal(size=300)})
    frame["y"] = rng.poisson(1.0, 300)
    if dtype != "int64":
        frame.loc[::50, "month"] = pd.NA
    glm = GLMRegressor("poisson", formula="y ~ C(month) + x", missing="drop").fit(dd.from_pandas(frame, npartitions=3))
    assert list(glm.coef_table().index) == ["intercept", "C(month)[T.2]", "C(month)[T.3]", "C(month)[T.4]", "x"]
    # The same months as other numbers are the same levels.
    whole = frame.dropna()
    for kind in ("float64", "int32"):
        np.testing.assert_array_equal(glm.predict(whole.astype({"month": kind})), glm.predict(whole))


@pytest.mark.slow
def test_a_formula_predicts_after_unpickling_in_another_process(tmp_path):
    frame = table()
    glm = GLMRegressor("poisson", formula="y ~ bs(x, df=4) + site + C(count)").fit(dd.from_pandas(frame, npartitions=3))
    new = frame.iloc[::-7][["count", "site", "x"]]  # other rows, order, columns and index
    (tmp_path / "glm.pkl").write_bytes(pickle.dumps(glm))
    new.to_pickle(tmp_path / "new.pkl")
    script = "import pandas, pickle, sys; glm, new = (pickle.load(open(f, 'rb')) for f in sys.argv[1:3]); "
    script += "pandas.Series(glm.predict(new)).to_pickle(sys.argv[3])"
    paths = [str(tmp_path / name) for name in ("glm.pkl", "new.pkl", "out.pkl")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    np.testing.assert_array_equal(pd.read_pickle(paths[2]), glm.predict(new))
    lazy = glm.predict(dd.from_pandas(new, npartitions=2, sort=False)).compute()
    assert lazy.index.equals(new.index)


OBJECTS = {
    "integers": lambda values: [int(value * 64) for value in values],
    "floats": lambda values: [float(value) for value in values],
    "Decimal": lambda values: [Decimal(float(value)) for value in values],
    "Fraction": lambda values: [Fraction(float(value)) for value in values],
    "mixed": lambda values: [Decimal(float(value)) if value > 0 else Fraction(float(value)) for value in values],
}


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("formula", [None, "~ x + z", "~ I(x * 2) + z + x:z", "~ log(x + 600) + site + C(z > 50)"])
@pytest.mark.parametrize("lazy", [True, False])
def test_columns_of_objects_that_are_numbers_are_numbers_at_fit_and_predict(kind, formula, lazy):
    frame = table(200)
    x = np.round(frame.x * 64) / 64
    made = OBJECTS[kind](x)
    numbers = pd.DataFrame({"x": np.array(made, dtype=float), "z": np.arange(200.0), "site": frame.site})
    numbers.loc[3, "x"] = np.nan
    objects = numbers.assign(x=pd.Series(made, dtype=object)).astype(object)
    objects.loc[3, "x"] = None
    if lazy:
        with dask.config.set({"dataframe.convert-string": False}):
            objects, y = dd.from_pandas(objects, npartitions=3), dd.from_pandas(frame.y.astype(float), npartitions=3)
    else:
        y = frame.y.astype(object)
    glm = GLMRegressor(method=EXACT, missing="drop", formula=formula).fit(objects, y)
    expected = GLMRegressor(method=EXACT, missing="drop", formula=formula).fit(numbers, frame.y)
    pd.testing.assert_frame_equal(glm.coef_table(), expected.coef_table(), rtol=1e-9)
    later = objects if lazy else objects.tail(50)  # a later table is of the same kinds, whatever its rows are
    predicted = np.asarray(glm.predict(later))
    np.testing.assert_allclose(predicted, np.asarray(expected.predict(numbers))[-len(predicted) :], rtol=1e-12)


@pytest.mark.parametrize("formula", [None, "~ x + site"])
def test_a_later_column_without_numbers_is_named(formula):
    frame = table(100)
    glm = GLMRegressor(formula=formula).fit(frame[["x", "site"]], frame.y)
    with pytest.raises(ValueError, match="x was numeric in fit, or by its dtype, but 'many' is not a number"):
        glm.predict(frame[["x", "site"]].astype(object).assign(x="many"))


@pytest.mark.parametrize("formula", [None, "~ x", "~ x + site", "~ exp(x) + site", "~ bs(x, df=4)"])
@pytest.mark.parametrize("strings", [False, True])
def test_a_partition_with_strings_in_a_column_of_numbers_is_named(formula, strings, threads):
    frame = table(120)

    def load(number):
        part = frame.iloc[30 * number : 30 * number + 30]
        if number != 2:
            return part
        x = part.x.astype(object)
        x.iloc[7] = "many"
        return part.assign(x=x)

    with dask.config.set({"dataframe.convert-string": strings}):  # which also turns the other numbers into strings
        data = dd.from_map(load, range(4), meta=frame.iloc[:0])
        with pytest.raises(ValueError, match=r"'many' is not a number.*[Ii]n block 2") as caught:
            GLMRegressor("poisson", formula=formula).fit(data[["x", "site"]], data["y"])
    assert "x was numeric" in str(caught.value)


@pytest.mark.parametrize("formula", ["y ~ x + flag", "y ~ x + flag + site"])
@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("values", [[None] * 30, []])
def test_a_partition_without_values_of_a_column_may_have_another_dtype(formula, strings, values, threads):
    frame = table(120)

    def load(number):
        part = frame.iloc[30 * number : 30 * number + 30]
        if number != 2:
            return part
        return part.iloc[: len(values)].assign(x=pd.Series(values, index=part.index[: len(values)], dtype=object))

    with dask.config.set({"dataframe.convert-string": strings}):
        data = dd.from_map(load, range(4), meta=frame.iloc[:0])
        glm = GLMRegressor("poisson", formula=formula, missing="drop").fit(data)
    expected = GLMRegressor("poisson", formula=formula).fit(frame.drop(frame.index[60:90]))
    np.testing.assert_allclose(glm.coef_, expected.coef_, rtol=1e-6)


WHEN = {
    "date": lambda days: [datetime.date(2020, 1, 1 + day % 7) for day in days],
    "datetime": lambda days: [datetime.datetime(2020, 1, 1 + day % 7) for day in days],
    "time": lambda days: [datetime.time(day % 7) for day in days],
    "date32[day][pyarrow]": lambda days: [datetime.date(2020, 1, 1 + day % 7) for day in days],
    "time32[s][pyarrow]": lambda days: [datetime.time(day % 7) for day in days],
}


@pytest.mark.parametrize("kind", WHEN)
@pytest.mark.parametrize("formula", [None, "y ~ when"])
def test_dates_that_are_objects_are_refused_outside_of_categories(kind, formula):
    dtype = kind if "[" in kind else object
    frame = table(60)[["y"]].assign(when=pd.Series(WHEN[kind](range(60)), dtype=dtype))
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(frame, npartitions=2)
        for data in (frame, lazy):
            with pytest.raises(ValueError, match=r"\['when'\] hold dates or durations.*C\(when\)"):
                GLMRegressor("poisson", formula=formula).fit(data, None if formula else "y")
        means = frame.groupby(frame.when.astype(str)).y.mean()
        for data in (frame, lazy):
            glm = GLMRegressor("poisson", formula="y ~ C(when)", method=EXACT).fit(data)
            np.testing.assert_allclose(np.asarray(glm.predict(frame))[:7], means.to_numpy(), rtol=1e-8)
        glm = GLMRegressor("poisson", formula=formula, method=EXACT)
        glm.fit(frame.astype({"when": "category"}), None if formula else "y")
        np.testing.assert_allclose(glm.coef_[1], np.log(means.iloc[2] / means.iloc[0]), rtol=1e-6)
