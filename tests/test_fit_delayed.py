"""Lazy fits: nothing is computed, and what comes of them is what a fit gives."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import Delayed
from sklearn.base import clone
from support import raise_if_dask_computes

from dask_onestep import GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm
from dask_onestep.estimators import design
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.methods import draws


@pytest.mark.parametrize("estimator", [GLMRegressor("poisson"), GLMClassifier(method=Pilot(500))], ids=str)
def test_fit_delayed_computes_nothing_and_gives_fit(counts, estimator):
    x, y, _ = counts
    y = y if isinstance(estimator, GLMRegressor) else y > 1
    with raise_if_dask_computes():
        lazy = estimator.fit_delayed(x, y)
    assert isinstance(lazy, Delayed)
    assert not hasattr(estimator, "coef_")
    fitted, direct = lazy.compute(), clone(estimator).fit(x, y)
    assert type(fitted) is type(estimator)
    for name in ("coef_", "intercept_", "covariance_", "n_passes_", "n_samples_", "decrement_"):
        np.testing.assert_array_equal(getattr(fitted, name), getattr(direct, name), err_msg=name)
    delayed, known = fitted.summary(), direct.summary()
    assert delayed.verdict == known.verdict
    assert delayed.facts == tuple((name, value) for name, value in known.facts if name != "time")
    np.testing.assert_array_equal(fitted.predict(x).compute(), direct.predict(x).compute())


def test_several_fits_share_one_compute(counts, scheduler):
    x, y, _ = counts
    grid = [GLMRegressor("poisson", method=OneStep(size, steps=1, tol=1.0)) for size in (300, 600)]
    grid.append(GLMRegressor("poisson", cov_type="HC1", method=OneStep(300, steps=2, tol=1.0)))
    fits = dask.compute(*(glm.fit_delayed(x, y) for glm in grid))
    assert [fit.estimate_.pilot_size for fit in fits] == [300, 600, 300]
    assert [fit.n_passes_ for fit in fits] == [2, 2, 4]
    for glm, fit in zip(grid, fits, strict=True):
        np.testing.assert_array_equal(glm.fit(x, y).covariance_, fit.covariance_)


def test_fit_delayed_leaves_warnings_in_the_estimate(threads):
    x, y, _ = make_glm(400, 2, chunks=100)
    x = da.concatenate([x, x[:, :1]], axis=1)
    lazy = GLMRegressor().fit_delayed(x, y)
    fitted = lazy.compute()
    ((category, text),) = fitted.estimate_.warnings
    assert category is AliasingWarning
    assert text.startswith("Coefficients of aliased columns are set to NaN: x2.")
    assert "Warning: Coefficients of aliased columns" in str(fitted.summary())
    with pytest.warns(UserWarning, match=r"Coefficients of aliased columns are set to NaN: x2\."):
        GLMRegressor().fit(x, y)


def test_methods_that_iterate_have_no_one_graph(counts):
    x, y, _ = counts
    with pytest.raises(ValueError, match="fit_delayed: "):
        GLMRegressor("poisson", method="mle").fit_delayed(x, y)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", [OneStep(pilot_bytes=1, steps=1), OneStep(), OneStep(500, steps=2)])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1"])
def test_levels_and_states_that_are_not_known_are_learned_in_the_graph(method, cov_type):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=4000), "g": rng.choice(list("abc"), 4000)})
    frame["y"] = rng.poisson(np.exp(0.2 * frame.x)).astype(float)
    data = dd.from_pandas(frame, npartitions=4)
    glm = GLMRegressor("poisson", formula="y ~ g + bs(x, df=4)", method=method, cov_type=cov_type)
    lazy = dask.compute(glm.fit_delayed(data))[0]
    glm.fit(data)
    np.testing.assert_array_equal(lazy.coef_, glm.coef_)
    np.testing.assert_array_equal(lazy.covariance_, glm.covariance_)
    assert list(lazy.coef_table().index) == list(glm.coef_table().index)
    np.testing.assert_array_equal(lazy.predict(frame), glm.predict(frame))


def test_a_lazy_fit_of_unknown_levels_finds_gaps_of_transforms():
    frame = pd.DataFrame({"x": np.arange(400.0), "g": ["a", "b"] * 200, "y": 1.0 + np.arange(400) % 3})
    glm = GLMRegressor("poisson", formula="y ~ g + log(x)")
    with pytest.raises(ValueError, match=r"infinity in column log\(x\)"):
        dask.compute(glm.fit_delayed(frame))
    with pytest.raises(ValueError, match="must be known first"):
        GLMRegressor("poisson", formula="y ~ g", method="average").fit_delayed(dd.from_pandas(frame, npartitions=2))


@pytest.mark.usefixtures("quiet")
def test_a_lazy_fit_of_a_small_table_may_have_more_levels_than_rows_are_kept_for(monkeypatch):
    monkeypatch.setattr(draws, "_KEPT_ROWS", 100)  # those for two coefficients
    frame = pd.DataFrame({"g": list("abcd") * 100, "y": 1.0 + np.arange(400) % 3})
    glm = GLMRegressor("poisson", formula="y ~ g")
    np.testing.assert_array_equal(dask.compute(glm.fit_delayed(frame))[0].coef_, glm.fit(frame).coef_)


def test_declared_categories_may_have_any_number_of_coefficients(threads, monkeypatch):
    n, k = 20_000, 100
    monkeypatch.setattr(draws, "_KEPT_ROWS", 1_000)  # those for 20 coefficients
    monkeypatch.setattr(design, "MOST_COEFFICIENTS", 20)
    frame = pd.DataFrame({"g": pd.Categorical.from_codes(np.arange(n) % k, [f"L{i:04d}" for i in range(k)])})
    frame["y"] = np.random.default_rng(0).normal(size=n)
    # As if the table were large.
    glm = GLMRegressor(formula="y ~ g", method=OneStep(pilot_bytes=1, steps=1))
    lazy = dask.compute(glm.fit_delayed(dd.from_pandas(frame, npartitions=6)))[0]
    # Least squares on the indicators of a factor gives the means of its levels.
    means = frame.groupby("g", observed=True)["y"].mean().to_numpy()
    np.testing.assert_allclose(lazy.intercept_ + np.append(0.0, lazy.coef_), means, rtol=1e-6, atol=1e-9)
