"""Formulas: one specification for every block, compared with formulaic on the whole table and with statsmodels."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.base import clone

from dask_onestep import MLE, Average, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import load_flights
from dask_onestep.exceptions import UndefinedTermWarning

formulaic = pytest.importorskip("formulaic")

EXACT = MLE(tol=1e-20)


def table(n=900, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.gamma(2.0, size=n),
            "z": rng.normal(size=n),
            "month": rng.integers(1, 13, n),
            "site": np.sort(rng.choice(["a", "b", "c", "d"], n)),
        }
    )
    eta = 0.5 * np.log(frame["x"]) + 0.3 * frame["z"] ** 2 - 0.2 * (frame["site"] == "c")
    frame["y"] = rng.poisson(np.exp(eta))
    return frame


def by_statsmodels(formula, frame, family, **options):
    """Fit on formulaic's own matrix of the whole table."""
    left, right = formulaic.model_matrix(formula, frame.astype({"site": object}), **options)
    return right, sm.GLM(np.asarray(left)[:, 0], np.asarray(right), family).fit(tol=1e-14, maxiter=100)


FORMULAS = [
    "y ~ x + z",
    "y ~ log(x) + I(z ** 2) + site",
    "y ~ C(month) + z:site",
    "y ~ C(month // 4, contr.sum) * z",
    "y ~ bs(x, df=4) + C(site, contr.treatment(base='c'))",
    "y ~ 0 + site + poly(z, degree=2)",
    "y ~ center(x) + scale(z) + {z > 0}",
    "y ~ bs(log(x), df=5) + np.cos(z)",
    "y ~ 0 + cr(z, df=4) + cc(x, df=3, constraints='center')",
    "y ~ bs(center(x), df=4):site",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_gives_what_formulaic_and_statsmodels_give_of_the_whole(formula):
    frame = table()
    data = dd.from_pandas(frame, npartitions=7)
    assert data.get_partition(0)["site"].nunique().compute() < 4
    glm = GLMRegressor("poisson", formula=formula, method=EXACT).fit(data)
    matrix, expected = by_statsmodels(formula, frame, sm.families.Poisson())
    intercept = "Intercept" in matrix.columns
    assert list(glm.coef_table().index) == ["intercept"] * intercept + list(matrix.columns[int(intercept) :])
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(glm.coef_table()["std_err"], expected.bse, rtol=1e-7)
    np.testing.assert_allclose(glm.predict(data).compute(), expected.fittedvalues, rtol=1e-7)
    local = GLMRegressor("poisson", formula=formula, method=EXACT).fit(frame)
    np.testing.assert_allclose(local.coef_, glm.coef_, rtol=1e-7, atol=1e-9)


@pytest.fixture(scope="module")
def flights():
    return load_flights().compute()


FLIGHTS = "delayed ~ bs(dep_time, df=4) + carrier + origin + hour:origin"


def check_flights(glm, frame):
    """Hold a fit of the flights against statsmodels on formulaic's matrix of the complete cases."""
    used = ["delayed", "dep_time", "carrier", "origin", "hour"]
    whole = frame[used].dropna().astype({"carrier": object, "origin": object})
    assert glm.n_missing_ == len(frame) - len(whole)
    # Knots come from a sample of so many rows; given them, the matrix is formulaic's own.
    knots = glm.record_.model.design.spec.transform_state["bs(dep_time, df=4)"]
    assert (knots["lower_bound"], knots["upper_bound"]) == (whole["dep_time"].min(), whole["dep_time"].max())
    inner = [float(knot) for knot in knots["knots"][4:-4]]
    assert abs(np.mean(whole["dep_time"] <= inner[0]) - 0.5) < 0.01
    matrix = formulaic.model_matrix(FLIGHTS.replace("df=4", f"knots={inner}"), whole).rhs
    names = [name.replace(f"knots={inner}", "df=4") for name in matrix.columns]
    assert list(glm.coef_table().index) == ["intercept", *names[1:]]
    expected = sm.GLM(whole["delayed"].to_numpy(), np.asarray(matrix), sm.families.Binomial()).fit(tol=1e-14)
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-7)
    np.testing.assert_allclose(glm.coef_table()["std_err"], expected.bse, rtol=1e-7)


@pytest.mark.slow
def test_flights_with_a_spline_categories_and_gaps_equal_statsmodels(flights):
    glm = GLMClassifier(formula=FLIGHTS, missing="drop", method=EXACT).fit(load_flights())
    check_flights(glm, flights)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.slow
def test_flights_by_carrier_equal_statsmodels_although_no_partition_nor_the_pilot_has_each_level(flights, tmp_path):
    frame = flights.sort_values("carrier", kind="stable")[["delayed", "dep_time", "carrier", "origin", "hour"]]
    frame.to_parquet(tmp_path / "all.parquet", row_group_size=len(frame) // 8)
    data = dd.read_parquet(tmp_path, split_row_groups=True)
    assert data["carrier"].partitions[0].nunique().compute() < 4
    glm = GLMClassifier(formula=FLIGHTS, missing="drop", method=OneStep(1500, steps=9)).fit(data)
    names = list(glm.coef_table().index)
    assert glm.estimate_.pilot_coef[names.index("carrier[T.OO]")] == 0.0
    check_flights(glm, frame)


@pytest.mark.filterwarnings("ignore:A pilot of 60 rows")
def test_a_level_in_one_block_and_not_in_the_pilot_does_not_vanish():
    frame = table(4000)
    frame["site"] = frame["site"].where(frame.index < 3990, "rare")
    glm = GLMRegressor("poisson", formula="y ~ z + site", method=OneStep(pilot_size=60, steps=6))
    with pytest.warns(UserWarning, match="A pilot of 60 rows is small"):
        glm.fit(dd.from_pandas(frame, npartitions=8))
    _, expected = by_statsmodels("y ~ z + site", frame, sm.families.Poisson())
    assert glm.coef_table().index[-1] == "site[T.rare]"
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-7)


def test_dropping_by_a_formula_is_fitting_the_complete_cases():
    frame = table()
    frame.loc[::40, "x"] = np.nan
    frame.loc[5:8, "site"] = None
    frame["y"] = frame["y"].astype(float)
    frame.loc[11, "y"] = np.nan
    frame["unused"] = np.nan
    formula = "y ~ bs(x, df=4) + site"
    glm = GLMRegressor("poisson", formula=formula, missing="drop", method=EXACT)
    glm.fit(dd.from_pandas(frame, npartitions=5))
    complete = frame.drop(columns="unused").dropna()
    # As in R, the spline's knots are those of all x that are present, whatever else is missing.
    matrix = formulaic.model_matrix(formula, frame, na_action="drop").rhs
    expected = sm.GLM(complete["y"], matrix.loc[complete.index], sm.families.Poisson()).fit(tol=1e-14, maxiter=100)
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-7)
    assert (glm.n_samples_, glm.n_missing_) == (len(complete), len(frame) - len(complete))
    with pytest.raises(ValueError, match=r"column x \(23 rows\).*column site \(4 rows\)"):
        clone(glm).set_params(missing="raise").fit(dd.from_pandas(frame, npartitions=5))


def test_values_that_a_function_turns_into_gaps_are_named_or_dropped():
    frame = table()
    frame.loc[[3, 700], "x"] = 0.0
    data = dd.from_pandas(frame, npartitions=3)
    with (
        pytest.raises(ValueError, match=r"infinity in column log\(x\) \(2 rows\). In blocks 0, 2"),
        np.errstate(all="ignore"),
    ):
        GLMRegressor("poisson", formula="y ~ log(x)").fit(data)
    with pytest.warns(UndefinedTermWarning, match=r"NaN or infinite there: log\(x\) \(2 rows\); 898 rows remain"):
        glm = GLMRegressor("poisson", formula="y ~ log(x)", missing="drop").fit(data)
    assert glm.n_missing_ == 2


@pytest.mark.parametrize("method", [MLE(), MLE(start=None), OneStep(100), Average(), Pilot(200)])
@pytest.mark.parametrize("lazy", [True, False])
def test_rows_that_terms_turned_into_gaps_are_counted_by_term(method, lazy, quiet):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.standard_normal(2000), "b": rng.standard_normal(2000), "w": rng.integers(0, 2, 2000)}
    )
    frame["y"] = np.exp(rng.standard_normal(2000))
    frame.loc[:20, "a"] = np.nan
    frame.loc[::100, "y"] = -1.0
    data = dd.from_pandas(frame, npartitions=3) if lazy else frame
    present = frame[(frame.w > 0) & frame.a.notna()]
    counts = {
        "np.log(a)": int((present.a <= 0).sum()),
        "np.sqrt(b):np.log(a)": int(((present.a <= 0) | (present.b < 0)).sum()),
        "np.log(y)": int((present.y <= 0).sum()),
    }
    glm = GLMRegressor(formula="np.log(y) ~ np.log(a) + np.sqrt(b):np.log(a)", method=method, missing="drop")
    with pytest.warns(UndefinedTermWarning) as caught:
        glm.fit(data, sample_weight="w")
    (said,) = [str(each.message) for each in caught if each.category is UndefinedTermWarning]
    for term, count in counts.items():
        assert f"{term} ({count} rows)" in said, said
    complete = (present.a > 0) & (present.b >= 0) & (present.y > 0)
    assert (glm.n_samples_, type(glm.n_missing_)) == (complete.sum(), int)
    assert sum("NaN or infinite there" in text for _, text in glm.estimate_.warnings) == 1


@pytest.mark.parametrize("method", [OneStep(), OneStep(500), MLE()])
def test_a_missing_response_is_no_undefined_term(method):
    frame = pd.DataFrame({"a": np.linspace(-0.5, 2.0, 2000), "y": np.random.default_rng(0).standard_normal(2000)})
    frame.loc[::50, "y"], frame.loc[1::50, "y"] = np.nan, np.inf
    with pytest.warns(UndefinedTermWarning) as caught:
        glm = GLMRegressor(formula="y ~ np.log(a)", method=method, missing="drop").fit(frame)
    (said,) = [str(each.message) for each in caught if each.category is UndefinedTermWarning]
    assert f"there: np.log(a) ({((frame.a <= 0) & np.isfinite(frame.y)).sum()} rows);" in said
    assert glm.n_samples_ == ((frame.a > 0) & np.isfinite(frame.y)).sum()


def test_the_specification_travels_with_the_estimator():
    frame = table()
    glm = GLMRegressor("poisson", formula="y ~ bs(x, df=4) + C(month) + site").fit(dd.from_pandas(frame, npartitions=3))
    again = pickle.loads(pickle.dumps(glm))
    few = frame.iloc[[5, 500, 890]][["site", "month", "x"]]
    np.testing.assert_allclose(again.predict(few), np.asarray(glm.predict(frame))[[5, 500, 890]], rtol=1e-14)
    with pytest.raises(ValueError, match=r"C\(month\) has a level that fit did not see, 13"):
        again.predict(few.assign(month=13))
    with pytest.raises(ValueError, match=r"present in fit: \['month'\]"):
        again.predict(few.drop(columns="month"))


def test_passes_and_laziness():
    frame = table()
    data = dd.from_pandas(frame, npartitions=3)
    plain = GLMRegressor("poisson", formula="y ~ x + log(x)")
    assert plain.fit(data).n_passes_ == 1
    assert GLMRegressor("poisson", formula="y ~ site").fit(data).n_passes_ == 1  # levels are learned with the pilot
    given = GLMRegressor("poisson", formula="y ~ C(site, levels=['b', 'a', 'c', 'd'])").fit(data)
    assert given.n_passes_ == 1
    assert given.coef_table().index[1].endswith("[T.a]")
    delayed = plain.fit_delayed(data)
    np.testing.assert_array_equal(dask.compute(delayed)[0].coef_, plain.coef_)
    with pytest.raises(ValueError, match=r"site must be known first.*categorize"):
        GLMRegressor("poisson", formula="y ~ site", method="average").fit_delayed(data)


def test_only_the_columns_used_are_read(tmp_path):
    frame = table()
    for number, part in enumerate((frame[:400], frame[400:])):
        part.to_parquet(tmp_path / f"{number}.parquet")
    data = dd.read_parquet(tmp_path)
    glm = GLMRegressor("poisson", formula="y ~ x")
    read, _ = glm._read(data, {"y": None, "weights": None, "offset": None, "groups": None})
    assert sorted(read.x.optimize().columns) == ["x", "y"]
    glm.fit(data)


def test_labels_and_functions_on_the_left():
    frame = table()
    labels = frame.assign(y=np.where(frame["y"] > 1, "many", "few"))
    glm = GLMClassifier(formula="y ~ x + site", method=EXACT).fit(dd.from_pandas(labels, npartitions=3))
    assert list(glm.classes_) == ["few", "many"]
    other = GLMRegressor("binomial", formula="{y > 1} ~ x + site", method=EXACT).fit(
        dd.from_pandas(frame, npartitions=3)
    )
    np.testing.assert_allclose(other.coef_, glm.coef_[0], rtol=1e-9)
    assert glm.score(labels) == pytest.approx(np.mean(glm.predict(labels) == labels["y"]))
    assert np.isfinite(other.score(dd.from_pandas(frame, npartitions=2)))


def test_weights_offset_and_groups_beside_a_formula():
    frame = table().assign(w=lambda t: 1.0 + t.index % 3, e=lambda t: np.log(1.0 + t.index % 5))
    data = dd.from_pandas(frame, npartitions=4)
    glm = GLMRegressor("poisson", formula="y ~ x + site", method=EXACT).fit(data, sample_weight="w", offset="e")
    left, right = formulaic.model_matrix("y ~ x + site", frame.astype({"site": object}))
    model = sm.GLM(
        left.to_numpy()[:, 0], right.to_numpy(), sm.families.Poisson(), var_weights=frame["w"], offset=frame["e"]
    )
    np.testing.assert_allclose(glm.coef_table()["coef"], model.fit(tol=1e-14).params, rtol=1e-7)
    clustered = GLMRegressor("poisson", formula="y ~ x + site", cov_type="cluster").fit(data, groups="month")
    assert np.isfinite(clustered.covariance_).all()


def test_tests_and_residuals_go_by_the_formula():
    frame = table()
    data = dd.from_pandas(frame, npartitions=4)
    glm = GLMRegressor("poisson", formula="y ~ x + site", method=EXACT).fit(data)
    sites = glm.record_.model.design.columns_of("site")
    assert sites == ("site[T.b]", "site[T.c]", "site[T.d]")
    small, large = (by_statsmodels(f, frame, sm.families.Poisson())[1] for f in ("y ~ x", "y ~ x + site"))
    ratio = glm.likelihood_ratio_test(data, null=sites)
    assert ratio.df == 3
    assert ratio.statistic == pytest.approx(2 * (large.llf - small.llf), rel=1e-7)
    np.testing.assert_allclose(glm.residuals(data, kind="pearson").compute(), large.resid_pearson, rtol=1e-6)
    assert glm.fit_statistics(data).llf == pytest.approx(large.llf, rel=1e-9)
    with pytest.raises(ValueError, match=r"'x2' is neither a term .* nor a coefficient"):
        glm.record_.model.design.columns_of("x2")


@pytest.mark.parametrize("lazy", [True, False])
def test_large_blocks_are_taken_in_slices(lazy, monkeypatch):
    frame = table()
    frame.loc[::70, "x"] = np.nan
    data = dd.from_pandas(frame, npartitions=2) if lazy else frame
    glm = GLMRegressor("poisson", formula="y ~ x + site", missing="drop", cov_type="HC0")
    whole = clone(glm).fit(data)
    monkeypatch.setattr("dask_onestep.kernels.designs.parts.MATRIX_BYTES", 8 * 4 * 37)
    sliced = clone(glm).fit(data)
    # The same pilot, to the row, whether rows are numbered from the first or block by block.
    np.testing.assert_allclose(sliced.estimate_.pilot_coef, whole.estimate_.pilot_coef, rtol=1e-12)
    np.testing.assert_allclose(sliced.coef_table(), whole.coef_table(), rtol=1e-9)
    assert sliced.n_missing_ == whole.n_missing_
    with pytest.raises(ValueError, match=r"column x \(13 rows\). In block"):
        clone(glm).set_params(missing="raise", formula="y ~ x + C(site, levels=['a', 'b', 'c', 'd'])").fit(data)


def test_no_intercept_by_the_constructor():
    data = dd.from_pandas(table(), npartitions=2)
    glm = GLMRegressor("poisson", formula="y ~ x + site", fit_intercept=False).fit(data)
    assert list(glm.coef_table().index) == ["x", "site[a]", "site[b]", "site[c]", "site[d]"]
    assert glm.intercept_ == 0.0


def test_what_does_not_fit_together():
    data = dd.from_pandas(table(), npartitions=2)
    with pytest.raises(ValueError, match="y is not the column 'y' of X"):
        GLMRegressor("poisson", formula="y ~ x").fit(data, "z")
    with pytest.raises(ValueError, match="pass y, or use formula"):
        GLMRegressor("poisson", formula="~ x").fit(data)
    assert GLMRegressor("poisson", formula="~ x").fit(data, "y").n_features_in_ == 1
    with pytest.raises(ValueError, match=r"names \['nothing'\], which are not columns"):
        GLMRegressor("poisson", formula="y ~ nothing").fit(data)
    with pytest.raises(TypeError, match="pass a pandas or Dask DataFrame"):
        GLMRegressor("poisson", formula="y ~ x").fit(da.ones((5, 2)), da.ones(5))
    with pytest.raises(ValueError, match=r"expects numbers, and \['site'\] are not"):
        GLMRegressor("poisson", formula="y ~ bs(site, df=4)").fit(data)


def test_a_design_is_specified_on_few_rows_and_its_states_on_many(monkeypatch):
    from dask_onestep.kernels.designs import specification

    frame, seen = table(3000), []
    specified = specification._specified

    def counted(formula, terms, rows, state):
        spec = specified(formula, terms, rows, state)
        seen.append((len(rows), len(spec.column_names)))
        return spec

    monkeypatch.setattr(specification, "_specified", counted)
    formula = "y ~ bs(x, df=4) + site * C(month)"
    glm = GLMRegressor("poisson", formula=formula, method="pilot").fit(dd.from_pandas(frame, npartitions=3))
    assert seen == [(3000, 4), (4 + 12, 1 + 4 + 4 * 12 - 1)]
    wanted = formulaic.model_matrix(formula, frame).rhs
    matrix = glm.record_.model.design.matrix(frame).toarray()
    np.testing.assert_allclose(matrix, wanted.drop(columns="Intercept"), atol=1e-12)


def exposed(n=800):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.standard_normal(n), "time on": rng.integers(1, 40, n).astype("int8")})
    frame["z"] = rng.standard_normal(n)
    frame["y"] = rng.poisson(np.exp(0.3 * frame.x - 0.5) * frame["time on"])
    return frame


@pytest.mark.parametrize("method", [EXACT, OneStep()])
@pytest.mark.parametrize("lazy", [True, False])
def test_an_offset_of_the_formula_is_that_of_statsmodels(method, lazy):
    frame = exposed()
    log_time = np.log(frame["time on"].astype(float))
    design = sm.add_constant(frame[["x"]])
    expected = sm.GLM(frame.y, design, sm.families.Poisson(), offset=log_time).fit(tol=1e-14)
    data = dd.from_pandas(frame, npartitions=3) if lazy else frame
    glm = GLMRegressor("poisson", formula="y ~ x + offset(log(`time on`))", method=method).fit(data)
    assert glm.coef_table().index.tolist() == ["intercept", "x"]
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-6)
    np.testing.assert_allclose(glm.coef_table()["std_err"], expected.bse, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(glm.predict(data)), expected.fittedvalues, rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(glm.residuals(data, kind="response")), expected.resid_response, rtol=1e-5, atol=1e-8
    )
    fit = glm.fit_statistics(data)
    np.testing.assert_allclose(
        [fit.deviance, fit.null_deviance], [expected.deviance, expected.null_deviance], rtol=1e-8
    )
    again = pickle.loads(pickle.dumps(glm))
    np.testing.assert_array_equal(np.asarray(again.predict(data)), np.asarray(glm.predict(data)))


def test_offsets_of_the_formula_and_of_the_call_are_added():
    frame = exposed()
    total = np.log(frame["time on"].astype(float)) + 0.1 * frame.z + 0.2 * frame.x
    expected = sm.GLM(frame.y, sm.add_constant(frame[["x"]]), sm.families.Poisson(), offset=total).fit(tol=1e-14)
    formula = "y ~ x + offset(log(`time on`)) + offset(0.1 * z)"
    glm = GLMRegressor("poisson", formula=formula, method=EXACT).fit(frame, offset=0.2 * frame.x)
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-8)
    np.testing.assert_allclose(glm.predict(frame, offset=0.2 * frame.x), expected.fittedvalues, rtol=1e-8)


@pytest.mark.parametrize("term", ["exposure(`time on`)", "exposure(`time on` / 2 + `time on` / 2)"])
def test_an_exposure_is_that_of_statsmodels(term):
    frame = exposed()
    exposure = frame["time on"].astype(float)
    expected = sm.GLM(frame.y, sm.add_constant(frame[["x"]]), sm.families.Poisson(), exposure=exposure).fit(tol=1e-14)
    glm = GLMRegressor("poisson", formula=f"y ~ x + {term}", method=EXACT).fit(dd.from_pandas(frame, npartitions=3))
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-8)
    np.testing.assert_allclose(glm.predict(frame), expected.fittedvalues, rtol=1e-8)


@pytest.mark.parametrize("model", [GLMRegressor("gaussian"), GLMRegressor("poisson", "sqrt"), GLMClassifier()])
def test_an_exposure_requires_the_log_link(model):
    frame = exposed().assign(y=lambda frame: 1.0 * (frame.x > 0))
    with pytest.raises(ValueError, match=r"exposure\(z\) in the formula requires the log link, .* link is '"):
        model.set_params(formula="y ~ x + exposure(z)").fit(frame)


def test_rows_without_an_offset_are_missing():
    frame = exposed()
    frame["time on"] = frame["time on"].astype(float)
    frame.loc[:4, "time on"] = np.nan
    frame.loc[5:6, "time on"] = 0.0
    glm = GLMRegressor("poisson", formula="y ~ x + offset(log(`time on`))", missing="drop", method=EXACT)
    with pytest.raises(ValueError, match=r"column time on \(5 rows\)"):
        clone(glm).set_params(missing="raise").fit(frame)
    with pytest.warns(UndefinedTermWarning, match=r"offset\(log\(`time on`\)\) \(2 rows\)"):
        glm.fit(frame)
    complete = frame.iloc[7:]
    offset = np.log(complete["time on"])
    expected = sm.GLM(complete.y, sm.add_constant(complete[["x"]]), sm.families.Poisson(), offset=offset).fit(tol=1e-14)
    np.testing.assert_allclose(glm.coef_table()["coef"], expected.params, rtol=1e-8)
    assert glm.n_missing_ == 7


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("y ~ x:offset(z)", "offsets and exposures have no interactions"),
        ("y ~ x:exposure(z)", "offsets and exposures have no interactions"),
        ("y ~ exposure(x, z)", "of one argument"),
        ("y ~ exposure(C(z))", "a column, or a function of each row"),
        ("y ~ log(offset(z))", "is a term of its own"),
        ("y ~ offset(x, z)", "of one argument"),
        ("y ~ offset(scale(z))", "a column, or a function of each row"),
        ("y ~ offset(1)", "a column, or a function of each row"),
    ],
)
def test_offsets_that_are_no_terms_are_refused(formula, text):
    with pytest.raises(ValueError, match=text):
        GLMRegressor("poisson", formula=formula).fit(exposed())


def test_more_than_two_classes_take_no_offset_of_a_formula():
    frame = exposed().assign(label=np.tile(list("abcd"), 200))
    with pytest.raises(ValueError, match="does not support an offset"):
        GLMClassifier(formula="label ~ x + offset(z)").fit(frame)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_dot_is_every_other_column(lazy):
    frame = exposed().rename(columns={"time on": "t"}).assign(w=1.0)
    data = dd.from_pandas(frame, npartitions=2) if lazy else frame
    glm = GLMRegressor("poisson", formula="y ~ . - t", method=EXACT).fit(data, sample_weight="w")
    expected = GLMRegressor("poisson", formula="y ~ x + z", method=EXACT).fit(data)
    pd.testing.assert_frame_equal(glm.coef_table(), expected.coef_table())
    np.testing.assert_array_equal(np.asarray(glm.predict(data)), np.asarray(expected.predict(data)))


@pytest.mark.parametrize(
    ("coding", "formulaics"),
    [
        ("Treatment('b')", "contr.treatment(base='b')"),
        ("Treatment(reference='b')", "contr.treatment('b')"),
        ("Treatment", "contr.treatment"),
        ("Sum", "contr.sum"),
        ("Helmert()", "contr.helmert()"),
        ("Diff", "contr.diff"),
        ("Poly", "contr.poly"),
    ],
)
def test_codings_may_be_called_as_patsy_calls_them(coding, formulaics):
    frame = table()
    one = GLMRegressor("poisson", formula=f"y ~ C(site, {coding})", method=EXACT).fit(frame)
    other = GLMRegressor("poisson", formula=f"y ~ C(site, {formulaics})", method=EXACT).fit(frame)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.predict(frame), other.predict(frame))
    if "'b'" in coding:
        assert [name.rpartition("[T.")[2] for name in one.coef_table().index[1:]] == ["a]", "c]", "d]"]


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("y ~ factor(site)", r"C\(g\) makes a category"),
        ("y ~ as.factor(site)", r"is written C\(g\)"),
        ("y ~ sqrt(x)", r"write np\.sqrt\(\.\.\.\)"),
        ("y ~ log1p(x)", r"write np\.log1p"),
        ("y ~ relevel(site, 'b')", r"C\(g, Treatment\('b'\)\)"),
        ("cbind(y, z) ~ x", r"proportion s / \(s \+ f\).*sample_weight="),
        ("y ~ np.where(x > 0, 1, 0)", r"I\(x > 0\)"),
        ("y ~ log(a.b)", r"in backticks, as in log\(`a\.b`\)"),
        ("y ~ C(site, Foo)", r"Foo is not a coding. Must be one of Treatment, Sum"),
        ("y ~ Treatment('b')", r"is an argument of C"),
        ("y ~ C(site, levels=['a', 'b'])", r"does not list the level '[cd]'.*Add it to levels="),
    ],
)
def test_what_others_write_is_answered_by_what_is_written_here(formula, text):
    with pytest.raises(ValueError, match=text):
        GLMRegressor("poisson", formula=formula).fit(table())


@pytest.mark.parametrize("formula", [None, "y ~ x + z", "y ~ x + C(z > 0)"])
@pytest.mark.parametrize("method", [EXACT, OneStep()])
def test_a_partition_that_lacks_a_column_is_an_error_that_names_it(formula, method):
    frame = table()[["x", "z", "y"]]
    parts = [frame.iloc[:300], frame.iloc[300:600].drop(columns="z"), frame.iloc[600:]]
    data = dd.from_map(lambda part: part, parts, meta=frame.iloc[:0])
    with pytest.raises(ValueError, match=r"artition lacks .*\['z'\].*fix the function that loads them"):
        GLMRegressor("poisson", formula=formula, method=method).fit(data, None if formula else "y")


def test_columns_whose_squares_underflow_are_named():
    frame = table()
    with pytest.raises(ValueError, match=r"underflow, in column z.*Multiply by a constant"):
        GLMRegressor("poisson").fit(frame[["x", "z"]] * [1, 1e-160], frame.y)
