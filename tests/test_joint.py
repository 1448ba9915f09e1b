"""Several models in the passes of one: the bits of separate fits, loads counted, warnings and errors attributed."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import assert_bits_equal, fingerprint

from dask_onestep import (
    MLE,
    Average,
    DebiasedLasso,
    ElasticNet,
    ElasticNetCV,
    GLMClassifier,
    GLMRegressor,
    OneStep,
    Pilot,
    Surrogate,
    compare,
    fit_many,
)
from dask_onestep.exceptions import AliasingWarning

RNG = np.random.default_rng(5)
N = 600
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
TABLE["count"] = RNG.poisson(np.exp(0.3 * TABLE["x"] + (TABLE["g"] == "b")))
TABLE["event"] = (TABLE["z"] + RNG.logistic(size=N) > 0).astype(int)
TABLE["w"] = RNG.integers(1, 4, N).astype(float)
TABLE["kind"] = RNG.choice(["p", "q", "r"], N)
FRAME = dd.from_pandas(TABLE, npartitions=5)
STEPS = OneStep(200, tol=10.0)


@pytest.mark.slow
def test_formulas_and_responses_have_the_bits_of_separate_fits(scheduler):
    models = {
        "counts": GLMRegressor("poisson", method=STEPS, formula="count ~ x + g", cov_type="HC1"),
        "more": GLMRegressor("poisson", method="mle", formula="count ~ x + g + bs(z, df=4)"),
        "events": GLMClassifier(method=STEPS, formula="event ~ z + x:g", solver="qr"),
        "kinds": GLMClassifier(method=STEPS, formula="kind ~ z"),
        "dispersed": GLMRegressor("negative-binomial", method=STEPS, formula="count ~ x"),
        "average": GLMRegressor("poisson", method=Average(), formula="count ~ x"),
    }
    together = fit_many(models, FRAME)
    assert list(together) == list(models)
    for name, glm in models.items():
        alone = glm.fit(FRAME)
        assert_bits_equal(fingerprint(together[name]), fingerprint(alone))
        assert together[name].estimate_.warnings == alone.estimate_.warnings
        assert together[name].n_passes_ == alone.n_passes_
        assert together[name].feature_names_in_.tolist() == alone.feature_names_in_.tolist()
        assert together[name].record_.inputs == alone.record_.inputs


def test_the_data_are_read_as_often_as_the_slowest_model_reads_them(loads, threads):
    frame = loads.frame()
    method = OneStep(60, tol=10.0)
    models = [
        GLMRegressor("binomial", method=method, formula="y ~ c0"),
        GLMRegressor("binomial", method=method, formula="y ~ c0 + c1 + c2", cov_type="HC0"),
        GLMRegressor(method=method, formula="c2 ~ c1 + C(y)"),
    ]
    fits = fit_many(models, frame)
    slowest = max(glm.n_passes_ for glm in fits)
    assert loads.per_block() == [slowest] * 4
    for glm, model in zip(fits, models, strict=True):
        assert_bits_equal(fingerprint(glm), fingerprint(model.fit(frame)))
    separate = loads.per_block()
    assert separate == [sum(glm.n_passes_ for glm in fits)] * 4


@pytest.mark.parametrize("method", [Surrogate(), Pilot(300), MLE(start=None), DebiasedLasso(), ElasticNet(alpha=0.05)])
def test_every_method_has_the_bits_of_separate_fits(method, threads, quiet):
    formulas = ["count ~ x + z", "count ~ z + g", "event ~ x"]
    together = fit_many(formulas, FRAME, estimator=GLMRegressor("poisson", method=method))
    for glm, formula in zip(together, formulas, strict=True):
        alone = GLMRegressor("poisson", method=method, formula=formula).fit(FRAME)
        assert_bits_equal(fingerprint(glm), fingerprint(alone))
        assert glm.n_passes_ == alone.n_passes_


def test_arrays_serve_several_families_and_covariances(loads, synchronous):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    models = [
        GLMRegressor(family, method=OneStep(60, tol=10.0), cov_type=cov_type)
        for family, cov_type in (("binomial", "HC0"), ("poisson", "HC0"), ("gaussian", "HC1"))
    ]
    fits = fit_many(models, x, y)
    assert loads.per_block() == [3] * 4
    for glm, model in zip(fits, models, strict=True):
        assert_bits_equal(fingerprint(glm), fingerprint(model.fit(x, y)))


def test_weights_clusters_and_missing_values_are_each_models_own(threads):
    gaps = TABLE.copy()
    gaps.loc[::7, "z"] = np.nan
    gaps.loc[::11, "g"] = None
    frame = dd.from_pandas(gaps, npartitions=4)
    estimator = GLMRegressor("poisson", missing="drop", cov_type="cluster", method=STEPS)
    options = {"sample_weight": "w", "groups": "kind"}
    formulas = ["count ~ x", "count ~ x + z", "count ~ x + z + g", "count ~ w"]
    fits = fit_many(formulas, frame, estimator=estimator, **options)
    assert len({glm.n_samples_ for glm in fits}) == 3
    for glm, formula in zip(fits, formulas, strict=True):
        alone = GLMRegressor("poisson", missing="drop", cov_type="cluster", method=STEPS, formula=formula)
        assert_bits_equal(fingerprint(glm), fingerprint(alone.fit(frame, **options)))


def test_files_are_read_for_all_models(tmp_path):
    TABLE.to_parquet(tmp_path / "table.parquet", row_group_size=150)
    formulas = ["count ~ x + C(w)", "event ~ w + z", "count ~ . - event"]
    together = fit_many(formulas, tmp_path / "table.parquet")
    for glm, formula in zip(together, formulas, strict=True):
        alone = GLMRegressor(formula=formula).fit(tmp_path / "table.parquet")
        np.testing.assert_allclose(glm.coef_, alone.coef_, rtol=1e-10)
        assert glm.coef_table().index.tolist() == alone.coef_table().index.tolist()
    assert list(compare(together[:1]).index) == formulas[:1]


@pytest.mark.parametrize("table", [TABLE, FRAME])
def test_the_table_of_comparison_is_that_of_separate_fits(table):
    formulas = ["count ~ x", "count ~ x + g"]
    fits = fit_many(formulas, table, estimator=GLMRegressor("poisson"))
    alone = [GLMRegressor("poisson", formula=formula).fit(table) for formula in formulas]
    pd.testing.assert_frame_equal(compare(fits), compare(alone))


def test_models_without_a_formula_read_their_columns(threads):
    frame = FRAME[["x", "z", "count"]]
    models = [GLMRegressor("poisson", method=STEPS), GLMRegressor("poisson", method=STEPS, formula="np.exp(x)")]
    fits = fit_many(models, frame, "count")
    for glm, model in zip(fits, models, strict=True):
        assert_bits_equal(fingerprint(glm), fingerprint(model.fit(frame, "count")))
    assert fits[0].predict(TABLE[["x", "z"]]).shape == (N,)


def test_frames_in_memory_may_be_numbers_or_have_formulas():
    numbers = TABLE[["x", "z"]].set_axis([0, 1], axis=1)
    models = [GLMRegressor("poisson"), GLMRegressor(formula=None), GLMClassifier()]
    for glm, model in zip(fit_many(models, numbers, TABLE["event"]), models, strict=True):
        assert_bits_equal(fingerprint(glm), fingerprint(model.fit(numbers, TABLE["event"])))
    mixed = [GLMRegressor("poisson"), GLMRegressor("poisson", formula="z + np.exp(x)")]
    found = fit_many(mixed, TABLE[["x", "z", "count"]], "count")
    for glm, model in zip(found, mixed, strict=True):
        alone = model.fit(TABLE[["x", "z", "count"]], "count")
        np.testing.assert_allclose(glm.record_.coef, alone.record_.coef, rtol=1e-12)
        assert glm.record_.names == alone.record_.names
    given = TABLE[["x", "z"]], TABLE["count"]
    np.testing.assert_allclose(compare(found, *given)["bic"], [glm.fit_statistics(*given).bic for glm in found])


def test_warnings_name_the_models_that_they_are_of():
    table = TABLE.assign(twice=2 * TABLE["x"])
    formulas = ["count ~ x", "count ~ x + twice", "event ~ z + x + twice"]
    with pytest.warns(AliasingWarning) as caught:
        fits = fit_many(formulas, table)
    assert [glm.estimate_.warnings == () for glm in fits] == [True, False, False]
    (text,) = (str(each.message) for each in caught)
    assert text.startswith(f"Models {formulas[1:]}: Coefficients of aliased columns are set to NaN: twice.")
    with pytest.warns(AliasingWarning, match=r"^Models \['two'\]|^Model \['two'\]"):
        fit_many({"one": "count ~ x", "two": "count ~ x + twice"}, table)


def test_an_error_names_its_model():
    bad = TABLE.assign(z=TABLE["z"].where(TABLE["z"] > -2))
    with pytest.raises(ValueError, match="missing value in column z") as caught:
        fit_many(["count ~ x", "count ~ z"], bad)
    assert caught.value.__notes__[-1] == "In the model 'count ~ z'."
    with pytest.raises(ValueError, match=r"which are not columns") as caught:
        fit_many(["count ~ x", "count ~ nothing"], TABLE)
    assert "nothing" in str(caught.value)


def broken(block):
    raise OSError("the disk is gone")


def test_an_error_of_the_data_names_no_model(synchronous):
    x = da.ones((100, 2), chunks=50).map_blocks(broken, dtype=float)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        fit_many([GLMRegressor(), GLMRegressor("poisson")], x, np.ones(100))
    assert not any("In the model" in note for note in caught.value.__notes__)


def test_data_that_change_between_passes_are_refused(tmp_path, synchronous):
    seen = []

    def load(number):
        seen.append(number)
        return TABLE.iloc[100 * number : 100 * number + 100].assign(x=lambda part: part["x"] + len(seen) // 8)

    frame = dd.from_map(load, range(6), meta=TABLE.iloc[:0])
    with pytest.raises(ValueError, match="The data changed between the first pass and the pass") as caught:
        fit_many(["count ~ x", "count ~ z"], frame, estimator=GLMRegressor("poisson", method=STEPS))
    assert caught.value.__notes__[-1] == "In the model 'count ~ x'."


def test_estimators_are_copied_and_bad_input_is_refused():
    glm = GLMRegressor("poisson", formula="count ~ x")
    (fitted,) = fit_many([glm], TABLE)
    assert fitted is not glm
    assert not hasattr(glm, "coef_")
    with pytest.raises(ValueError, match="No models to fit"):
        fit_many([], TABLE)
    with pytest.raises(TypeError, match="Expected a formula, a GLMRegressor or a GLMClassifier, got int"):
        fit_many([1], TABLE)
    with pytest.raises(TypeError, match=r"Expected a formula, .* got str: 'poisson'"):
        fit_many(["count ~ x"], TABLE, estimator="poisson")
    with pytest.raises(ValueError, match="y was passed, and the formula of the model 'count ~ x' names"):
        fit_many(["count ~ x"], TABLE, "event")
    with pytest.raises(ValueError, match="groups was passed, but cov_type='nonrobust' does not use it"):
        fit_many(["count ~ x"], TABLE, groups="kind")


def test_large_records_go_in_batches(loads, synchronous, monkeypatch):
    from dask_onestep.methods import driver

    monkeypatch.setattr(driver, "JOINT_BYTES", 3 * 8 * 20)
    frame = loads.frame()
    formulas = ["y ~ c0", "y ~ c1", "y ~ c0 + c1", "y ~ c0 + c1 + c2"]
    fits = fit_many(formulas, frame, estimator=GLMRegressor(method=MLE()))
    # In each pass, the first three models and then the last.
    assert loads.per_block() == [2 * glm.n_passes_ for glm in fits[:1]] * 4
    for glm, formula in zip(fits, formulas, strict=True):
        assert_bits_equal(fingerprint(glm), fingerprint(GLMRegressor(method=MLE(), formula=formula).fit(frame)))


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_records_of_cross_validation_hold_a_matrix_for_each_fold_and_anchor(loads, synchronous, monkeypatch, family):
    from dask_onestep.methods import driver

    monkeypatch.setattr("dask_onestep.methods.elastic_net_cv._SMALL_BYTES", 1)  # the pilot is not all rows
    monkeypatch.setattr(driver, "JOINT_BYTES", 3 * 2 * 8 * 9)  # of two matrices
    net = GLMRegressor(family, method=ElasticNetCV([0.1, 0.03], cv=2, pilot_size=20))
    first, second = fit_many(["y ~ c0 + c1", "y ~ c1 + c2"], loads.frame(), estimator=net)
    # The sums by fold are those of two readings, while the other passes are shared.
    assert loads.per_block() == [max(first.n_passes_, second.n_passes_) + 1] * 4
