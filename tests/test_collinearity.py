"""Variance inflation factors against R's car, condition indices against a singular value decomposition."""

import numpy as np
import pytest
import statsmodels.api as sm
from r import data_of_r, figure_of_r
from statsmodels.stats.outliers_influence import variance_inflation_factor
from support import Loads

from dask_onestep import Average, GLMClassifier, GLMRegressor
from dask_onestep.storage import read_model, write_model

DATA = data_of_r()
X = DATA[["x", "z"]]


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1"])
def test_factors_are_those_of_car(cov_type):
    glm = GLMRegressor("poisson", formula="count ~ x + z + C(trials)", method="mle", cov_type=cov_type).fit(DATA)
    found = glm.vif()
    assert found.index.tolist() == ["x", "z", "C(trials)"]
    np.testing.assert_allclose(found, figure_of_r("factor", "vif"), rtol=1e-7)
    weighted = GLMRegressor("gamma", "log", method="mle").fit(X, DATA["positive"], sample_weight=DATA["w"])
    np.testing.assert_allclose(weighted.vif()["gvif"], figure_of_r("gamma-log", "vif")[:, 0], rtol=1e-6)


def test_of_least_squares_they_are_those_of_statsmodels():
    x = X.assign(both=DATA["x"] + 0.1 * DATA["positive"])
    glm = GLMRegressor().fit(x, DATA["normal"])
    design = sm.add_constant(x).to_numpy()
    expected = [variance_inflation_factor(design, column) for column in (1, 2, 3)]
    np.testing.assert_allclose(glm.vif()["gvif"], expected, rtol=1e-8)


def test_condition_indices_are_of_singular_values():
    x = X.assign(both=DATA["x"] + 0.05 * DATA["normal"])
    glm = GLMRegressor("poisson", method="mle").fit(x, DATA["count"])
    design = sm.add_constant(x).to_numpy() * np.sqrt(glm.predict(x))[:, None]
    _, values, right = np.linalg.svd(design / np.linalg.norm(design, axis=0), full_matrices=False)
    found = glm.condition_indices()
    np.testing.assert_allclose(found["condition_index"], values[0] / values, rtol=1e-6)
    parts = np.square(right.T / values)
    np.testing.assert_allclose(found.iloc[:, 1:], (parts / parts.sum(axis=1, keepdims=True)).T, rtol=1e-5)
    np.testing.assert_allclose(found.iloc[:, 1:].sum(), 1.0)
    assert found.columns.tolist() == ["condition_index", "intercept", "x", "z", "both"]


def test_no_pass_is_made(tmp_path):
    loads = Loads(tmp_path)
    table = loads.array()
    glm = GLMClassifier().fit(table[:, 1:], table[:, 0])
    read = loads.counts()
    assert (glm.vif()["gvif"] >= 1).all()
    assert glm.condition_indices()["condition_index"].iloc[0] == 1.0
    assert loads.counts() == read


def test_aliased_columns_have_none():
    with pytest.warns(UserWarning, match="aliased"):
        glm = GLMRegressor("poisson").fit(X.assign(twice=2 * DATA["x"]), DATA["count"])
    found = glm.vif()
    assert np.isnan(found.loc["twice", "gvif"])
    plain = GLMRegressor("poisson").fit(X, DATA["count"])
    np.testing.assert_allclose(found["gvif"].iloc[:2], plain.vif()["gvif"], rtol=1e-9)
    assert "twice" not in glm.condition_indices()


def test_what_has_no_information_says_so(tmp_path):
    average = GLMRegressor("poisson", method=Average()).fit(X, DATA["count"])
    with pytest.raises(ValueError, match="This fit by Average has no information matrix"):
        average.vif()
    write_model(GLMRegressor("poisson").fit(X, DATA["count"]), str(tmp_path / "model.json"))
    kept = read_model(str(tmp_path / "model.json"))
    with pytest.raises(ValueError, match="read from JSON"):
        kept.condition_indices()
    again = kept.with_covariance("HC1", X, DATA["count"])
    np.testing.assert_allclose(again.vif()["gvif"], GLMRegressor("poisson").fit(X, DATA["count"]).vif()["gvif"])
