"""Influence of rows and of groups: statsmodels, fits without the group, any chunking, loads counted."""

import warnings

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import GLMInfluence, OLSInfluence
from support import raise_if_dask_computes

from dask_onestep import GLMClassifier, GLMRegressor, Pilot
from dask_onestep.datasets import make_glm

RNG = np.random.default_rng(3)
N = 300
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.standard_t(4, size=N), "g": RNG.integers(12, size=N)})
TABLE["w"] = RNG.integers(1, 5, N).astype(float)
MEAN = np.exp(0.4 * TABLE["x"] - 0.2 * TABLE["z"].clip(-3, 3))
TABLE["count"] = RNG.poisson(MEAN)
TABLE["positive"] = RNG.gamma(2, MEAN / 2)
TABLE["normal"] = MEAN + RNG.normal(size=N)
TABLE["event"] = (RNG.random(N) < MEAN / (1 + MEAN)).astype(int)
EXOG = sm.add_constant(TABLE[["x", "z"]])
FAMILIES = {
    "poisson": ("count", sm.families.Poisson()),
    "gamma": ("positive", sm.families.Gamma(sm.families.links.Log())),
    "gaussian": ("normal", sm.families.Gaussian()),
    "binomial": ("event", sm.families.Binomial()),
}


def fitted(family, response, **options):
    link = "log" if family == "gamma" else None
    return GLMRegressor(family, link, method="mle", formula=f"{response} ~ x + z", **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_statsmodels(family, threads):
    response, theirs = FAMILIES[family]
    result = sm.GLM(TABLE[response], EXOG, family=theirs).fit(scale="X2" if family == "gamma" else None, tol=1e-14)
    # By the expected information, as in R; statsmodels' default is the observed one, and differs for the gamma family.
    expected = GLMInfluence(result, hat_matrix_diag=result.get_hat_matrix_diag(observed=False))
    frame = dd.from_pandas(TABLE, npartitions=4)
    glm = fitted(family, response).fit(frame)
    with raise_if_dask_computes():
        lazy = glm.influence(frame)
    found = lazy.compute()
    assert found.columns.tolist() == ["leverage", "standardized_residual", "cooks_distance"]
    assert found.index.equals(TABLE.index)
    np.testing.assert_allclose(found["leverage"], expected.hat_matrix_diag, rtol=1e-8)
    np.testing.assert_allclose(found["standardized_residual"], expected.resid_studentized, rtol=1e-8)
    np.testing.assert_allclose(found["cooks_distance"], expected.cooks_distance[0], rtol=1e-8, atol=1e-13)
    # Robust standard errors do not change what is of the model; nor do the chunks.
    robust = fitted(family, response, cov_type="HC1").fit(TABLE).influence(TABLE)
    np.testing.assert_allclose(robust, found, rtol=1e-7)


def test_weights_are_precisions_or_numbers_of_rows():
    weighted = fitted("gaussian", "normal").fit(TABLE, sample_weight="w").influence(TABLE, sample_weight="w")
    # In statsmodels WLS mixes weighted and unweighted columns.
    root = np.sqrt(TABLE["w"])
    expected = OLSInfluence(sm.OLS(root * TABLE["normal"], EXOG.mul(root, axis=0)).fit())
    np.testing.assert_allclose(weighted[:, 0], expected.hat_matrix_diag, rtol=1e-9)
    np.testing.assert_allclose(weighted[:, 2], expected.cooks_distance[0], rtol=1e-8)
    repeated = TABLE.loc[TABLE.index.repeat(TABLE["w"].astype(int))]
    long = fitted("poisson", "count").fit(repeated).influence(repeated)
    short = fitted("poisson", "count", weight_type="frequency").fit(TABLE, sample_weight="w")
    found = short.influence(TABLE, sample_weight="w")
    np.testing.assert_allclose(found, long[~repeated.index.duplicated()], rtol=1e-9)


def test_rows_that_are_not_used_have_nan_and_a_row_of_its_own_no_residual():
    table = TABLE.assign(only=np.eye(1, N)[0], x=TABLE["x"].where(TABLE.index != 5))
    glm = GLMRegressor("poisson", method="mle", missing="drop", formula="count ~ x + only")
    found = glm.fit(table).influence(table)
    assert np.isnan(found[5]).all()
    assert found[0, 0] == pytest.approx(1.0)
    assert np.isnan(found[0]).tolist() == [False, True, True]
    assert np.isfinite(np.delete(found, [0, 5], axis=0)).all()


def test_a_row_of_zeros_has_no_leverage_and_the_residual_of_its_family():
    x = np.random.default_rng(0).normal(size=(40, 2)) * (np.arange(40) > 0)[:, None]
    y = x @ [1.0, 2.0] + np.random.default_rng(1).normal(size=40) + (np.arange(40) == 0)
    glm = GLMRegressor(fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(glm.influence(x, y)[0], [0.0, y[0] / np.sqrt(glm.dispersion_), 0.0], rtol=1e-12)


def test_arrays_have_three_columns(binary):
    x, y, _ = binary
    glm = GLMClassifier().fit(x, y)
    assert glm.influence(x, y).shape == (2000, 3)
    assert glm.influence(x, y).chunks[0] == x.chunks[0]
    np.testing.assert_allclose(glm.influence(x.compute(), y.compute()), glm.influence(x, y).compute(), rtol=1e-12)


def test_dfbeta_of_the_normal_distribution_is_the_estimate_without_the_group():
    glm = fitted("gaussian", "normal").fit(TABLE)
    found = glm.dfbeta(TABLE, groups="g")
    for group in (0, 7):
        rest = TABLE[TABLE["g"] != group]
        without = sm.OLS(rest["normal"], EXOG.loc[rest.index]).fit()
        np.testing.assert_allclose(found.loc[group], glm.record_.coef - without.params.to_numpy(), rtol=1e-7)
    rows = glm.dfbeta(TABLE, groups=np.arange(N))
    expected = OLSInfluence(sm.OLS(TABLE["normal"], EXOG).fit())
    np.testing.assert_allclose(rows.sort_index(), expected.dfbeta, rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("solver", ["auto", "qr"])
def test_dfbetas_of_single_rows_are_those_of_statsmodels(solver):
    glm = fitted("binomial", "event", solver=solver).fit(TABLE)
    expected = sm.Logit(TABLE["event"], EXOG).fit(disp=0).get_influence()
    for scaled, theirs in ((False, expected.d_params), (True, expected.dfbetas)):
        found = glm.dfbeta(TABLE, groups=np.arange(N), scaled=scaled).sort_index()
        np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-12)


def test_dfbeta_needs_no_pass_after_a_jackknife(loads, threads):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    groups = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    glm = GLMClassifier(cov_type="CRV3").fit(x, y, groups=groups)
    loads.per_block()
    free = glm.dfbeta()
    assert sum(loads.counts().values()) == 0
    read = glm.dfbeta(x, y, groups=groups)
    assert set(loads.per_block()) == {1}
    pd.testing.assert_frame_equal(free, read, rtol=1e-10)
    # The covariance of the jackknife is (G − 1)/G times their products.
    np.testing.assert_allclose(3 / 4 * free.T @ free, glm.covariance_, rtol=1e-8)


def test_many_groups_take_a_second_pass(loads, threads, monkeypatch):
    from dask_onestep.kernels.likelihood import clusters, covariance

    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    groups = (8 * x[:, 0]).astype(int)
    glm = GLMClassifier().fit(x, y)
    exact = glm.dfbeta(x, y, groups=groups)
    loads.per_block()
    for module in (clusters, covariance):
        monkeypatch.setattr(module, "CLUSTER_BYTES", 400)
    near = glm.dfbeta(x, y, groups=groups)
    assert set(loads.per_block()) == {2}
    np.testing.assert_allclose(near.loc[exact.index], exact, atol=0.1 * np.abs(exact.to_numpy()).max())


def test_a_coefficient_of_one_group_alone_is_unknown_without_it():
    table = TABLE.assign(alone=((TABLE["g"] == 3) & (TABLE["x"] > 0)).astype(float))
    glm = GLMRegressor("poisson", formula="count ~ x + alone").fit(table)
    found = glm.dfbeta(table, groups="g")
    assert np.isnan(found.loc[3, "alone"])
    assert found.drop(index=3).notna().all().all()
    aliased = table.assign(again=2 * table["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = GLMRegressor("poisson", formula="count ~ x + again").fit(aliased)
    assert glm.dfbeta(aliased, groups="g")["again"].isna().all()
    assert np.isfinite(glm.influence(aliased)).all()


def test_several_classes_have_a_dfbeta_for_each_coefficient_and_no_leverage():
    kind = np.select([TABLE["normal"] < 0.5, TABLE["normal"] < 1.5], ["a", "b"], "c")
    glm = GLMClassifier(method="mle").fit(TABLE[["x", "z"]], kind)
    found = glm.dfbeta(TABLE[["x", "z"]], kind, groups=TABLE["g"])
    rest = (TABLE["g"] != 2).to_numpy()
    without = GLMClassifier(method="mle").fit(TABLE.loc[rest, ["x", "z"]], kind[rest])
    change = glm.record_.coef - without.record_.coef
    np.testing.assert_allclose(found.loc[2], change, atol=0.15 * np.abs(change).max())
    with pytest.raises(ValueError, match="not for more than two classes"):
        glm.influence(TABLE[["x", "z"]], kind)


def test_what_they_refuse():
    X, y, _ = make_glm(3000, 2, family="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pilot = GLMRegressor("poisson", method=Pilot(500)).fit(X, y)
    for call in (pilot.influence, pilot.dfbeta):
        with pytest.raises(ValueError, match="not available after Pilot"):
            call(X, y)
    glm = GLMRegressor("poisson").fit(X, y)
    with pytest.raises(ValueError, match="requires groups="):
        glm.dfbeta(X, y)
    with pytest.raises(ValueError, match="requires groups="):
        glm.dfbeta(X, y, groups=np.ones((3000, 2)))
    with pytest.raises(ValueError, match="pass X, y and groups="):
        glm.dfbeta()
    with pytest.raises(ValueError, match="pass the data used in fit"):
        glm.dfbeta(X[:1000], y[:1000], groups=np.arange(1000) % 5)
