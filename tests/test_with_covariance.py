"""Another covariance for a fitted model: that of a fit with it, by at most one pass."""

import pickle

import dask.array as da
import numpy as np
import pytest
from r import data_of_r
from support import Loads

from dask_onestep import MLE, Average, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.kernels.likelihood.covariance import CLUSTERED, COV_TYPES
from dask_onestep.storage import read_model, write_model

DATA = data_of_r()
X, Y = DATA[["x", "z"]], DATA["count"]


def groups_of(cov_type):
    return {"groups": DATA["site"]} if cov_type in CLUSTERED else {}


def same(glm, fitted):
    np.testing.assert_allclose(glm.covariance_, fitted.covariance_, rtol=1e-7)
    assert glm.cov_type == fitted.cov_type == glm.record_.cov_type
    assert glm.record_.df_t == fitted.record_.df_t or np.isnan(glm.record_.df_t)
    assert glm.coef_table().columns.tolist() == fitted.coef_table().columns.tolist()


@pytest.mark.parametrize("cov_type", COV_TYPES)
@pytest.mark.parametrize("before", COV_TYPES)
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_it_is_that_of_a_fit_with_it(family, before, cov_type):
    glm = GLMRegressor(family, method="mle", cov_type=before).fit(X, Y, **groups_of(before))
    kept = glm.covariance_.copy()
    found = glm.with_covariance(cov_type, X, Y, **groups_of(cov_type))
    same(found, GLMRegressor(family, method="mle", cov_type=cov_type).fit(X, Y, **groups_of(cov_type)))
    assert found.n_passes_ - glm.n_passes_ <= 1
    assert glm.cov_type == before
    np.testing.assert_array_equal(glm.covariance_, kept)
    np.testing.assert_array_equal(found.coef_, glm.coef_)


def test_no_pass_where_the_record_suffices(tmp_path):
    loads = Loads(tmp_path)
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier(cov_type="HC0").fit(x, y)
    read, rows = loads.counts(), loads.table()
    for cov_type in ("nonrobust", "HC1", "HC2", "HC3", "HC0"):
        found = glm.with_covariance(cov_type)
        assert found.n_passes_ == glm.n_passes_
        same(found, GLMClassifier(cov_type=cov_type).fit(rows[:, 1:], rows[:, 0]))
    assert loads.counts() == read


@pytest.mark.parametrize("cov_type", ["HC1", "HC3", "cluster", "CRV3"])
def test_one_pass_of_large_data(tmp_path, cov_type):
    loads = Loads(tmp_path)
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    method = OneStep(pilot_size=150, pilot_bytes=0, steps=2, tol=10.0)
    sizes = x.chunks[0]
    grouped = {"groups": da.from_array(np.arange(len(x)) % 45, chunks=(sizes,))} if cov_type in CLUSTERED else {}
    glm = GLMClassifier(method=method).fit(x, y)
    before = dict(loads.counts())
    found = glm.with_covariance(cov_type, x, y, **grouped)
    assert {count - before[block] for block, count in loads.counts().items()} == {1}
    assert found.n_passes_ == glm.n_passes_ + 1
    fitted = GLMClassifier(method=method, cov_type=cov_type).fit(x, y, **grouped)
    np.testing.assert_allclose(found.covariance_, fitted.covariance_, rtol=1e-9)
    assert found.decrement_ == pytest.approx(fitted.decrement_)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC3", "CRV3"])
def test_of_columns_that_a_qr_made_orthogonal(cov_type):
    glm = GLMRegressor("poisson", method="mle", solver="qr").fit(X, Y)
    back = GLMRegressor("poisson", method="mle", solver="qr", cov_type="HC0").fit(X, Y).with_covariance("nonrobust")
    np.testing.assert_allclose(back.covariance_, glm.covariance_, rtol=1e-8)
    found = glm.with_covariance(cov_type, X, Y, **groups_of(cov_type))
    same(found, GLMRegressor("poisson", method="mle", cov_type=cov_type).fit(X, Y, **groups_of(cov_type)))
    assert found.n_passes_ - glm.n_passes_ == {"nonrobust": 0, "HC3": 0, "CRV3": 1}[cov_type]


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC2", "CRV3"])
def test_of_a_model_read_from_json_or_a_pickle(tmp_path, cov_type):
    glm = GLMRegressor("gamma", "log", method="mle", cov_type="HC1").fit(X, DATA["positive"])
    write_model(glm, str(tmp_path / "model.json"))
    expected = GLMRegressor("gamma", "log", method="mle", cov_type=cov_type).fit(
        X, DATA["positive"], **groups_of(cov_type)
    )
    for kept in (read_model(str(tmp_path / "model.json")), pickle.loads(pickle.dumps(glm))):
        same(kept.with_covariance(cov_type, X, DATA["positive"], **groups_of(cov_type)), expected)


def test_what_was_found_round_trips(tmp_path):
    glm = GLMRegressor("poisson", method="mle").fit(X, Y).with_covariance("CRV3", X, Y, groups=DATA["site"])
    write_model(glm, str(tmp_path / "model.json"))
    kept = read_model(str(tmp_path / "model.json"))
    np.testing.assert_array_equal(kept.covariance_, glm.covariance_)
    assert kept.estimate_.n_clusters == (12,)
    assert kept.coef_table().equals(glm.coef_table())


@pytest.mark.parametrize("columns", ["site", ["site", "day"]], ids=str)
def test_of_a_formula_with_groups_by_name(columns):
    glm = GLMRegressor("poisson", formula="count ~ x + C(trials > 5)", method="mle").fit(DATA)
    found = glm.with_covariance("cluster", DATA, groups=columns)
    expected = GLMRegressor("poisson", formula="count ~ x + C(trials > 5)", method="mle", cov_type="cluster")
    same(found, expected.fit(DATA, groups=columns))


def test_weights_and_offset_are_passed_again():
    others = {"sample_weight": DATA["w"], "offset": DATA["normal"] / 10}
    glm = GLMRegressor("poisson", method="mle").fit(X, Y, **others)
    expected = GLMRegressor("poisson", method="mle", cov_type="HC3").fit(X, Y, **others)
    same(glm.with_covariance("HC3", X, Y, **others), expected)
    with pytest.raises(ValueError, match="sample_weight"):
        glm.with_covariance("cluster", X, Y, groups=DATA["site"])


def test_what_it_refuses():
    glm = GLMRegressor("poisson", method=MLE()).fit(X, Y)
    with pytest.raises(ValueError, match="Unknown cov_type 'HC4'"):
        glm.with_covariance("HC4", X, Y)
    with pytest.raises(ValueError, match="cov_type='CRV3' needs groups"):
        glm.with_covariance("CRV3", X, Y)
    with pytest.raises(ValueError, match="pass the data used in fit"):
        glm.with_covariance("cluster", X[:-1], Y[:-1], groups=DATA["site"][:-1])
    with pytest.raises(ValueError, match="cannot be computed from the fit without data"):
        pickle.loads(pickle.dumps(glm)).with_covariance("HC1")
    average = GLMRegressor("poisson", method=Average()).fit(X, Y)
    with pytest.raises(ValueError, match="Average supports only its own covariance"):
        average.with_covariance("HC1", X, Y)
