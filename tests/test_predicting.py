"""Predictions and scores: lazy for Dask input, and those of a second source."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import d2_tweedie_score, r2_score
from support import chunked, frame_of, raise_if_dask_computes

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm


def test_predictions_on_arrays_are_lazy(binary):
    x, y, _ = binary
    glm = GLMClassifier().fit(x, y)
    with raise_if_dask_computes():
        lazy = glm.decision_function(x), glm.predict_proba(x), glm.predict(x)
    eta = x.compute() @ glm.coef_[0] + glm.intercept_
    assert all(isinstance(part, da.Array) for part in lazy)
    assert [part.chunks[0] for part in lazy] == [x.chunks[0]] * 3
    np.testing.assert_allclose(lazy[0].compute(), eta, rtol=1e-12)
    np.testing.assert_allclose(lazy[1].compute()[:, 1], 1 / (1 + np.exp(-eta)), rtol=1e-12)
    np.testing.assert_allclose(lazy[1].compute().sum(axis=1), 1.0)
    np.testing.assert_array_equal(lazy[2].compute(), eta > 0)
    local = glm.predict_proba(x.compute())
    assert isinstance(local, np.ndarray)
    np.testing.assert_allclose(local, lazy[1].compute(), rtol=1e-12)
    assert glm.score(x, y) == np.mean((eta > 0) == y.compute())


def test_predictions_on_frames_are_lazy_and_keep_the_index(binary):
    x, y, _ = binary
    frame = frame_of(x, y)
    glm = GLMClassifier().fit(frame[["a", "b", "c"]], frame["y"])
    with raise_if_dask_computes():
        label, proba = glm.predict(frame[["a", "b", "c"]]), glm.predict_proba(frame[["a", "b", "c"]])
    assert isinstance(label, dd.Series)
    assert isinstance(proba, dd.DataFrame)
    assert list(proba.columns) == glm.classes_.tolist()
    # BLAS may sum a row otherwise in a longer block.
    local = glm.predict_proba(frame[["a", "b", "c"]].compute())
    np.testing.assert_allclose(proba.compute().to_numpy(), local, rtol=1e-12)
    assert (label.compute().index == frame.compute().index).all()
    regressor = GLMRegressor("binomial").fit(frame[["a", "b", "c"]], frame["y"])
    np.testing.assert_array_equal(regressor.predict(frame[["a", "b", "c"]]).compute(), proba.compute()[1.0])


@pytest.mark.parametrize("mean", [0.0, 1e8])
def test_score_of_a_regressor_is_r2(threads, mean):
    x, y, _ = make_glm(1000, 3, dispersion=0.1, chunks=100)
    glm = GLMRegressor().fit(x, y + mean)
    assert glm.n_passes_ == 1
    expected = r2_score(y.compute() + mean, glm.predict(x).compute())
    # With a mean of 1e8 the predictions themselves have eight digits behind the point.
    np.testing.assert_allclose(glm.score(x, y + mean), expected, rtol=1e-7 if mean else 1e-10)
    assert 0.1 < expected < 0.9


@pytest.mark.parametrize(("family", "power"), [("poisson", 1), ("gamma", 2)])
def test_score_is_the_deviance_explained(threads, family, power):
    x, y, _ = make_glm(1000, 3, family=family, link="log", chunks=100)
    weights = da.random.default_rng(0).uniform(0, 2, 1000, chunks=100).persist()
    glm = GLMRegressor(family, link="log").fit(x, y, sample_weight=weights)
    expected = d2_tweedie_score(y.compute(), glm.predict(x).compute(), sample_weight=weights.compute(), power=power)
    np.testing.assert_allclose(glm.score(x, y, sample_weight=weights), expected, rtol=1e-10)


def test_score_with_blocks_of_nothing_but_zeros(threads):
    x = np.linspace(0, 3, 300)[:, None]
    y = np.r_[np.zeros(100), np.random.default_rng(0).poisson(2.0, 200)]
    glm = GLMRegressor("poisson", method="mle").fit(chunked(x, (100, 0, 200)), chunked(y, (100, 0, 200)))
    expected = d2_tweedie_score(y, glm.predict(x), power=1)
    np.testing.assert_allclose(glm.score(chunked(x, (100, 0, 200)), chunked(y, (100, 0, 200))), expected, rtol=1e-10)


@pytest.mark.parametrize("within", [True, False])
def test_a_missing_offset_gives_nan_where_missing_covariates_do(threads, within):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "t": rng.random(200) + 1.0})
    frame["y"] = rng.poisson(frame["t"] * np.exp(frame["x"] / 2))
    frame.loc[[3, 5], "t"], frame.loc[4, "x"] = np.nan, np.nan
    offset = None if within else np.log(frame["t"])
    formula = "y ~ x + offset(log(t))" if within else "y ~ x"
    glm = GLMRegressor("poisson", formula=formula, missing="drop").fit(frame, offset=offset)
    means = glm.predict(frame, offset=offset)
    assert np.isnan(means).nonzero()[0].tolist() == [3, 4, 5]
    kept = frame.dropna()
    expected = kept["t"] * np.exp(glm.coef_table()["coef"]["intercept"] + kept["x"] * glm.coef_[0])
    np.testing.assert_allclose(means[~np.isnan(means)], expected)
    with pytest.raises(ValueError, match=r"(column t|Input offset contains NaN).* \(2 rows\)"):
        glm.set_params(missing="raise").fit(frame.fillna({"x": 0.0}), offset=offset)
