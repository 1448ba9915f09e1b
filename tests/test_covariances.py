"""Covariances of the coefficients and the tests that go with them, against R: summary.glm, sandwich, clubSandwich."""

import warnings
from types import SimpleNamespace

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from r import data_of_r, figure_of_r
from scipy import stats

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import CovarianceWarning
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.covariance import _Totals
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.matrices.symmetric import unpacked

DATA = data_of_r()
# Of R's models: family, link, response, covariates and weights.
MODELS = {
    "gaussian": ("gaussian", None, "normal", "xz", None),
    "poisson": ("poisson", None, "count", "xz", None),
    "binomial": ("binomial", None, "event", "xz", None),
    "trials": ("binomial", None, "share", "xz", "trials"),
    "probit": ("binomial", "probit", "event", "xz", None),
    "gamma-inverse": ("gamma", None, "positive", "x", None),
    "gamma-log": ("gamma", "log", "positive", "xz", "w"),
    "inverse-gaussian": ("inverse-gaussian", "log", "positive", "xz", None),
}


def fit(name, cov_type="nonrobust", groups=None, **options):
    family, link, response, columns, weights = MODELS[name]
    glm = GLMRegressor(family, link, method=MLE(max_iter=100), cov_type=cov_type, **options)
    weights = None if weights is None else DATA[weights]
    return glm.fit(DATA[list(columns)], DATA[response], sample_weight=weights, groups=groups)


@pytest.mark.parametrize("name", MODELS)
def test_tables_are_those_of_r(name):
    glm = fit(name)
    table, expected = glm.coef_table(), figure_of_r(name, "table")
    assert table.columns[2] == ("t" if glm.family_.has_dispersion else "z")
    np.testing.assert_allclose(table.iloc[:, :4], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(glm.dispersion_, figure_of_r(name, "dispersion").item(), rtol=1e-7)
    if not glm.family_.has_dispersion:
        np.testing.assert_allclose(glm.conf_int(), figure_of_r(name, "interval"), rtol=1e-6, atol=1e-8)


def test_intervals_have_the_quantile_of_the_table():
    glm = fit("gaussian")
    table = glm.coef_table(0.9)
    half = stats.t(len(DATA) - 3).isf(0.05) * table["std_err"]
    np.testing.assert_allclose(table["ci_upper"], table["coef"] + half, rtol=1e-12)
    lower, upper = glm.predict_interval(DATA[["x", "z"]].iloc[:1] * 0.0, 0.9)[0]
    np.testing.assert_allclose([lower, upper], table.loc["intercept", ["ci_lower", "ci_upper"]], rtol=1e-9)


def test_with_clusters_the_reference_is_t_with_one_degree_less_than_clusters():
    glm = fit("poisson", "cluster", groups=DATA["site"])
    table = glm.coef_table()
    np.testing.assert_allclose(glm.covariance_, figure_of_r("poisson", "cluster"), rtol=1e-6)
    assert table.columns[2] == "t"
    np.testing.assert_allclose(table["p_value"], 2 * stats.t.sf(np.abs(table["t"]), 11), rtol=1e-12)
    both = glm.wald_test(["x", "z"])
    assert (both.distribution, both.df, both.df_denom) == ("F", 2, 11)
    inverse = np.linalg.inv(glm.covariance_[1:, 1:])
    np.testing.assert_allclose(both.statistic, glm.coef_ @ inverse @ glm.coef_ / 2, rtol=1e-9)
    np.testing.assert_allclose(both.p_value, stats.f.sf(both.statistic, 2, 11), rtol=1e-9)
    assert "clusters:" in str(glm.summary())


@pytest.mark.parametrize("seed", range(5))
def test_more_restrictions_than_clusters_bear_are_refused_by_count(seed):
    rng = np.random.default_rng(seed)
    x, groups = rng.normal(size=(300, 3)), np.arange(300) % 3
    # One-step scores do not sum to zero, so that the covariance has full numerical rank.
    glm = GLMRegressor("poisson", cov_type="cluster").fit(x, rng.poisson(1.0, 300), groups=groups)
    with pytest.raises(ValueError, match=r"3 restrictions, and a covariance from 3 clusters has rank 2 at most"):
        glm.wald_test(["x0", "x1", "x2"])
    assert glm.wald_test(["x0", "x1"]).df_denom == 2


def test_hc1_without_residual_degrees_of_freedom_is_undefined():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = GLMRegressor("poisson", cov_type="HC1", method="mle").fit([[0.0], [1.0]], [1.0, 2.0])
    assert glm.coef_table()["std_err"].isna().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of one degree of freedom nothing is said
        GLMRegressor("poisson", cov_type="HC1", method="mle").fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 2.0])


@pytest.mark.parametrize("cov_type", ["HC1", "cluster"])
def test_tests_of_the_likelihood_note_that_they_are_not_robust(cov_type):
    x, y = DATA[["x", "z"]], DATA["count"]
    glm = fit("poisson", cov_type, groups=DATA["site"] if cov_type == "cluster" else None)
    note = f"Based on the likelihood, not on cov_type='{cov_type}'; wald_test is robust."
    assert note in glm.likelihood_ratio_test(x, y, null="x").note
    assert glm.drop1(x, y)["note"].str.contains(note, regex=False).all()
    plain = fit("poisson")
    assert "robust" not in plain.likelihood_ratio_test(x, y, null="x").note
    np.testing.assert_allclose(plain.drop1(x, y)["statistic"], figure_of_r("poisson", "drop1")[:, 3], rtol=1e-6)


def test_f_tests_of_a_robust_fit_keep_the_degrees_of_freedom_of_the_dispersion():
    x, y = DATA[["x", "z"]], DATA["normal"]
    glm = fit("gaussian", "cluster", groups=DATA["site"])
    found = glm.likelihood_ratio_test(x, y, null="x")
    expected = figure_of_r("gaussian", "drop1")
    np.testing.assert_allclose([found.statistic, found.p_value], expected[0, -2:], rtol=1e-6)
    assert found.df_denom == len(DATA) - 3


ROBUST = ["HC0", "HC1", "HC2", "HC3"]


@pytest.mark.parametrize("cov_type", ROBUST)
@pytest.mark.parametrize("name", MODELS)
def test_robust_covariances_are_those_of_sandwich(name, cov_type):
    np.testing.assert_allclose(fit(name, cov_type).covariance_, figure_of_r(name, cov_type), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_clusters_by_two_columns_are_those_of_sandwich(name):
    glm = fit(name, "cluster", groups=DATA[["site", "day"]])
    np.testing.assert_allclose(glm.covariance_, figure_of_r(name, "two-way"), rtol=1e-6, atol=1e-9)
    assert glm.estimate_.n_clusters == (12, 8)
    assert glm.record_.df_t == 7


@pytest.mark.parametrize("name", ["gaussian", "poisson", "binomial", "trials"])
def test_the_jackknife_is_that_of_clubsandwich_under_canonical_links(name):
    glm = fit(name, "CRV3", groups=DATA["site"])
    np.testing.assert_allclose(glm.covariance_, 11 / 12 * figure_of_r(name, "CR3"), rtol=1e-6)
    assert glm.record_.df_t == 11


def leave_one_out(name, groups):
    """Return the estimates without each of the clusters, by refits."""
    family, link, response, columns, weights = MODELS[name]
    found = []
    for label in np.unique(groups):
        rows = DATA[groups != label]
        glm = GLMRegressor(family, link, method=MLE(max_iter=200))
        glm.fit(rows[list(columns)], rows[response], sample_weight=None if weights is None else rows[weights])
        found.append(glm.record_.coef)
    return np.array(found)


def test_hc0_and_hc1_follow_from_each_other_without_the_data(quiet):
    x, y = DATA[["x", "z"]], DATA["count"]
    glm = GLMRegressor("poisson", method=OneStep(60, pilot_bytes=0), cov_type="HC0").fit(x, y)
    one = glm.with_covariance("HC1")
    np.testing.assert_allclose(one.covariance_, glm.covariance_ * 120 / 117, rtol=1e-12)
    np.testing.assert_allclose(one.with_covariance("HC0").covariance_, glm.covariance_, rtol=1e-12)
    assert one.n_passes_ == glm.n_passes_


def test_another_covariance_of_a_fit_by_qr_is_that_of_statsmodels():
    """Two columns that differ by 1e-7 of their length, so that their information matrix has too few digits."""
    near = np.column_stack([DATA["x"], DATA["x"] + 1e-7 * DATA["z"]])
    glm = GLMRegressor(method="mle", solver="qr").fit(near, DATA["normal"].to_numpy())
    robust = glm.with_covariance("HC0", near, DATA["normal"].to_numpy())
    theirs = sm.OLS(DATA["normal"], sm.add_constant(DATA[["x", "z"]])).fit(cov_type="HC0")
    np.testing.assert_allclose(
        robust.coef_table()["std_err"].iloc[[0, 2]], theirs.bse.iloc[[0, 2]] * [1, 1e7], rtol=1e-6
    )


@pytest.mark.parametrize(("name", "closeness"), [("gaussian", 1e-8), ("probit", 0.05), ("gamma-log", 0.05)])
def test_the_jackknife_is_near_refits_without_each_cluster(name, closeness):
    groups = DATA["day"]
    glm = fit(name, "CRV3", groups=groups)
    moved = leave_one_out(name, groups) - glm.record_.coef
    exact = np.sqrt(np.diag(7 / 8 * moved.T @ moved))
    np.testing.assert_allclose(glm.coef_table()["std_err"], exact, rtol=closeness)


def finite_difference_jackknife(name, groups):
    """Return the jackknife's changes from scores: the information without a cluster by central differences."""
    glm = fit(name)
    model, coef = glm.record_.model, glm.record_.coef
    _, _, response, columns, weights = MODELS[name]

    def score(rows, beta):
        x, y = rows[list(columns)].to_numpy(), rows[response].to_numpy(float)
        weight = None if weights is None else rows[weights].to_numpy(float)
        return moments(Rows(x, y, weight), model, beta).score

    found = []
    for label in np.unique(groups):
        rest, own = DATA[groups != label], DATA[groups == label]
        steps = np.eye(len(coef)) * 1e-5
        information = np.array([(score(rest, coef - step) - score(rest, coef + step)) / 2e-5 for step in steps])
        found.append(-np.linalg.solve(information, score(own, coef)))
    return np.array(found)


@pytest.mark.parametrize("name", MODELS)
def test_the_jackknife_has_the_observed_information(name):
    groups = DATA["site"]
    moved = finite_difference_jackknife(name, groups)
    np.testing.assert_allclose(fit(name, "CRV3", groups=groups).covariance_, 11 / 12 * moved.T @ moved, rtol=1e-5)


def test_a_coefficient_that_one_cluster_identifies_has_no_standard_error():
    x = DATA[["x"]].assign(treated=(DATA["site"] == 12) * 1.0)
    with pytest.warns(CovarianceWarning, match=r"of treated are NaN with cov_type='CRV3': without cluster 12 these"):
        glm = GLMRegressor(method="mle", cov_type="CRV3").fit(x, DATA["normal"], groups=DATA["site"])
    table = glm.coef_table()
    assert np.isnan(table.loc["treated", "std_err"])
    assert np.isfinite(table.loc["treated", "coef"])
    # The others' are those of refits, in which the treatment is an empty column.
    moved = []
    for label in range(1, 13):
        rows = DATA["site"] != label
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            without = GLMRegressor(method="mle").fit(x[rows], DATA["normal"][rows])
        moved.append(without.record_.coef[:2] - glm.record_.coef[:2])
    exact = np.sqrt(11 / 12 * np.square(moved).sum(axis=0))
    np.testing.assert_allclose(table["std_err"].iloc[:2], exact, rtol=1e-8)
    with pytest.raises(ValueError, match="standard error is undefined"):
        glm.wald_test("treated")


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e6, 1e-6), (1e-6, 1e6)])
def test_what_a_cluster_identifies_depends_on_no_unit(units):
    x = DATA[["x"]].assign(treated=(DATA["site"] == 12) * 1.0) * np.array(units)
    with pytest.warns(CovarianceWarning, match="of treated are NaN with cov_type='CRV3'"):
        glm = GLMRegressor(method="mle", cov_type="CRV3").fit(x, DATA["normal"], groups=DATA["site"])
    assert np.isnan(np.diag(glm.covariance_)).tolist() == [False, False, True]


@pytest.mark.parametrize("cov_type", ["HC2", "HC3"])
def test_a_coefficient_that_one_row_identifies_has_no_standard_error(cov_type):
    x = DATA[["x"]].assign(odd=(np.arange(len(DATA)) == 7) * 1.0)
    with pytest.warns(CovarianceWarning, match=r"of odd are NaN .* only by rows with leverage 1"):
        glm = GLMRegressor(method="mle", cov_type=cov_type).fit(x, DATA["normal"])
    rest = np.arange(len(DATA)) != 7
    without = GLMRegressor(method="mle", cov_type=cov_type).fit(x.loc[rest, ["x"]], DATA["normal"][rest])
    np.testing.assert_allclose(glm.covariance_[:2, :2], without.covariance_, rtol=1e-9)
    assert np.isnan(glm.covariance_[2]).all()


@pytest.mark.parametrize("cov_type", ["HC3", "CRV3", "cluster"])
@pytest.mark.parametrize("method", ["mle", OneStep(pilot_size=60, pilot_bytes=0)], ids=["mle", "one-step"])
def test_any_chunking_on_any_scheduler_is_one_chunk(scheduler, cov_type, method, quiet):
    clustered = cov_type != "HC3"
    found = []
    for chunk in (120, 50, 7):
        x, y, site, day = (
            da.from_array(DATA[column].to_numpy(), chunks=(chunk, *[-1] * (DATA[column].ndim - 1)))
            for column in (["x", "z"], "count", "site", "day")
        )
        groups = {"groups": da.stack([site, day], axis=1)} if clustered else {}
        found.append(GLMRegressor("poisson", method=method, cov_type=cov_type).fit(x, y, **groups).covariance_)
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-9)


def test_groups_may_be_columns_arrays_frames_and_dask_of_each():
    x, labels = DATA[["x", "z"]], DATA[["site", "day"]].assign(day=DATA["day"].map("day {}".format))
    together = pd.concat([x, labels], axis=1)
    lazy, y = dd.from_pandas(together, npartitions=3), DATA["count"]
    rows = {"chunks": 50}
    cases = [
        (x, y, labels),
        (x, y, labels.to_numpy()),
        (x, y, labels.to_numpy().tolist()),
        (together, y, ["site", "day"]),
        (lazy, dd.from_pandas(y, npartitions=3), ["site", "day"]),
        (lazy[["x", "z"]], dd.from_pandas(y, npartitions=3), lazy[["site", "day"]]),
        (da.from_array(x.to_numpy(), **rows), da.from_array(y.to_numpy(), **rows), labels),
        (
            da.from_array(x.to_numpy(), **rows),
            da.from_array(y.to_numpy(), **rows),
            da.from_array(labels.to_numpy(), **rows),
        ),
    ]
    expected = figure_of_r("poisson", "two-way")
    for given in cases:
        glm = GLMRegressor("poisson", method="mle", cov_type="cluster").fit(*given[:2], groups=given[2])
        np.testing.assert_allclose(glm.covariance_, expected, rtol=1e-6)
        assert glm.estimate_.n_clusters == (12, 8)
    formula = GLMRegressor("poisson", formula="y ~ x + z", method="mle", cov_type="cluster")
    formula.fit(lazy.assign(y=dd.from_pandas(y, npartitions=3)), groups=["site", "day"])
    np.testing.assert_allclose(formula.covariance_, expected, rtol=1e-6)


def test_a_missing_label_of_any_column_is_missing():
    labels = DATA[["site", "day"]].astype(float)
    labels.iloc[3, 1] = np.nan
    glm = GLMRegressor("poisson", method="mle", cov_type="cluster")
    with pytest.raises(ValueError, match="groups contains NaN"):
        glm.fit(DATA[["x"]], DATA["count"], groups=labels)
    glm.set_params(missing="drop").fit(DATA[["x"]], DATA["count"], groups=labels)
    assert glm.n_samples_ == len(DATA) - 1
    with pytest.raises(ValueError, match="'week' is not a column of X"):
        glm.fit(DATA[["x", "site"]], DATA["count"], groups=["site", "week"])


def test_a_covariance_with_negative_eigenvalues_is_repaired_and_reported():
    rng = np.random.default_rng(3)
    x, groups = rng.normal(size=(40, 2)), np.column_stack([np.arange(40) % 2, np.arange(40) // 20])
    with pytest.warns(CovarianceWarning, match="negative eigenvalues"):
        glm = GLMRegressor(method="mle", cov_type="cluster").fit(x, rng.normal(size=40), groups=groups)
    assert np.linalg.eigvalsh(glm.covariance_)[0] > -1e-15


@pytest.mark.parametrize("name", ["poisson", "gamma-log"])
@pytest.mark.parametrize("groups", ["site", ["site", "day"]], ids=str)
def test_many_clusters_take_a_second_pass_of_less_memory(monkeypatch, name, groups):
    family, link, response, columns, weights = MODELS[name]
    exact = fit(name, "CRV3", groups=DATA[groups])
    monkeypatch.setattr("dask_onestep.kernels.likelihood.clusters.CLUSTER_BYTES", 100)
    monkeypatch.setattr("dask_onestep.kernels.likelihood.covariance.CLUSTER_BYTES", 100)
    found = fit(name, "CRV3", groups=DATA[groups])
    assert found.n_passes_ == exact.n_passes_ + 1
    # By hand: V s_g + V I_g V s_g.
    if groups == "site":
        clusters = exact.estimate_.clusters
        inverse = np.linalg.inv(unpacked(clusters.informations).sum(axis=0))
        first = clusters.sums @ inverse
        moved = first + np.einsum("gi,gij,jk->gk", first, unpacked(clusters.informations), inverse)
        np.testing.assert_allclose(found.covariance_, 11 / 12 * moved.T @ moved, rtol=1e-9)
    np.testing.assert_allclose(found.coef_table()["std_err"], exact.coef_table()["std_err"], rtol=0.2)
    # A table that is its own pilot takes the second route in memory.
    weight = None if weights is None else DATA[weights]
    glm = GLMRegressor(family, link, cov_type="CRV3").fit(
        DATA[list(columns)], DATA[response], sample_weight=weight, groups=DATA[groups]
    )
    np.testing.assert_allclose(glm.covariance_, found.covariance_, rtol=1e-5)
    assert glm.n_passes_ == 1


def test_a_lazy_fit_cannot_take_a_second_pass(monkeypatch):
    x, y, site = (
        da.from_array(DATA[column].to_numpy(), chunks=(50, *[-1] * (DATA[column].ndim - 1)))
        for column in (["x", "z"], "count", "site")
    )
    glm = GLMRegressor("poisson", method=OneStep(60, pilot_bytes=0), cov_type="CRV3")
    assert glm.fit_delayed(x, y, groups=site).compute().n_passes_ == 3
    monkeypatch.setattr("dask_onestep.kernels.likelihood.clusters.CLUSTER_BYTES", 100)
    monkeypatch.setattr("dask_onestep.kernels.likelihood.covariance.CLUSTER_BYTES", 100)
    with pytest.raises(ValueError, match=r"12 clusters and 3 coefficients needs a second pass"):
        glm.fit_delayed(x, y, groups=site).compute()


@pytest.mark.parametrize("cov_type", ["HC2", "HC3"])
def test_frequency_weights_are_rows(cov_type):
    times = DATA["trials"]
    long = DATA.loc[DATA.index.repeat(times)]
    short = GLMRegressor("poisson", method="mle", cov_type=cov_type, weight_type="frequency")
    short.fit(DATA[["x", "z"]], DATA["count"], sample_weight=times)
    whole = GLMRegressor("poisson", method="mle", cov_type=cov_type).fit(long[["x", "z"]], long["count"])
    np.testing.assert_allclose(short.covariance_, whole.covariance_, rtol=1e-8)


def test_two_classes_are_a_binomial_and_several_have_a_jackknife():
    x, groups = DATA[["x", "z"]], DATA["site"]
    for cov_type in ("HC3", "CRV3"):
        grouped = {"groups": groups} if cov_type == "CRV3" else {}
        labels = GLMClassifier(method=MLE(), cov_type=cov_type).fit(x, DATA["event"], **grouped)
        np.testing.assert_allclose(labels.covariance_, fit("binomial", cov_type, **grouped).covariance_, rtol=1e-9)
    several = GLMClassifier(method=MLE(), cov_type="CRV3").fit(x, DATA["day"] % 3, groups=groups)
    moved = []
    for label in range(1, 13):
        rows = groups != label
        moved.append(GLMClassifier(method=MLE()).fit(x[rows], DATA["day"][rows] % 3).record_.coef)
    exact = np.sqrt(np.diag(11 / 12 * (m := np.array(moved) - several.record_.coef).T @ m))
    np.testing.assert_allclose(several.coef_table()["std_err"], exact, rtol=0.1)


@pytest.mark.parametrize("method", ["mle", OneStep(), OneStep(60)], ids=["mle", "small", "large"])
def test_leverages_of_more_than_two_classes_are_refused(method):
    x, y = np.column_stack([DATA["x"], DATA["z"]]), DATA["day"] % 3
    with pytest.raises(ValueError, match="cov_type='HC3' is not available for more than two classes"):
        GLMClassifier(method=method, cov_type="HC3").fit(x, y)
    with pytest.raises(ValueError, match="cov_type='HC2' is not available for more than two classes"):
        GLMClassifier(method=method).fit(x, y).with_covariance("HC2", x, y)


def test_a_sandwich_of_few_clusters_is_noted():
    glm = fit("poisson", "cluster", groups=DATA["site"])
    text = " ".join(str(glm.summary()).split())
    assert "With 12 clusters the standard errors of cov_type='cluster' tend to be too small" in text
    assert "clusters:" in text
    assert "With 12 clusters" in glm.wald_test("x").note
    assert "too small" not in str(fit("poisson", "CRV3", groups=DATA["site"]).summary())
    assert "too small" not in str(fit("poisson", "cluster", groups=np.arange(120) % 50).summary())


@pytest.mark.parametrize("solver", ["qr", "cholesky"])
@pytest.mark.parametrize("cov_type", ["HC3", "CRV3"])
def test_solvers_agree(solver, cov_type):
    groups = {"groups": DATA["site"]} if cov_type == "CRV3" else {}
    glm = fit("gamma-log", cov_type, solver=solver, **groups)
    np.testing.assert_allclose(glm.covariance_, fit("gamma-log", cov_type, **groups).covariance_, rtol=1e-8)


def test_with_many_clusters_both_routes_are_close(monkeypatch):
    rng = np.random.default_rng(0)
    groups = rng.integers(500, size=6000)
    x = rng.normal(size=(6000, 3)) + rng.normal(size=(500, 3))[groups]
    y = (rng.random(6000) < 1 / (1 + np.exp(-x[:, 0] - rng.normal(size=500)[groups]))).astype(float)
    glm = GLMClassifier().fit(x, y)
    exact = glm.with_covariance("CRV3", x, y, groups=groups).coef_table()["std_err"]
    monkeypatch.setattr("dask_onestep.kernels.likelihood.clusters.CLUSTER_BYTES", 100)
    monkeypatch.setattr("dask_onestep.kernels.likelihood.covariance.CLUSTER_BYTES", 100)
    found = glm.with_covariance("CRV3", x, y, groups=groups)
    assert found.n_passes_ == glm.n_passes_ + 2
    np.testing.assert_allclose(found.coef_table()["std_err"], exact, rtol=3e-4)


@pytest.mark.parametrize("cov_type", ROBUST)
@pytest.mark.parametrize("method", ["mle", OneStep(pilot_size=60, pilot_bytes=0)], ids=["mle", "one-step"])
def test_of_least_squares_they_are_those_of_statsmodels(cov_type, method, quiet):
    # Two columns that differ by 1e-6 of their length: by QR.
    x = np.column_stack([DATA["x"], DATA["x"] + 1e-6 * DATA["z"]])
    theirs = sm.OLS(DATA["normal"], sm.add_constant(x)).fit(cov_type=cov_type, use_t=True)
    glm = GLMRegressor(method=method, cov_type=cov_type, solver="qr").fit(x, DATA["normal"].to_numpy())
    np.testing.assert_allclose(glm.coef_table()["std_err"], theirs.bse, rtol=1e-6)
    plain = sm.OLS(DATA["normal"], sm.add_constant(DATA[["x", "z"]])).fit(cov_type=cov_type, use_t=True)
    glm = GLMRegressor(method=method, cov_type=cov_type).fit(DATA[["x", "z"]], DATA["normal"])
    np.testing.assert_allclose(glm.covariance_, plain.cov_params(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(glm.coef_table()["p_value"], plain.pvalues, rtol=1e-8)


def test_what_a_cluster_identifies_shows_in_columns_far_from_orthogonal():
    # Columns that differ by 1e-3 of their length, one of them by a treatment of a single cluster.
    x = DATA[["x"]].assign(near=DATA["x"] + 1e-3 * DATA["z"], treated=DATA["x"] + 1e-3 * (DATA["site"] == 12))
    with pytest.warns(CovarianceWarning, match=r"of .*treated.* without cluster 12"):
        glm = GLMRegressor("poisson", method="mle", cov_type="CRV3", solver="cholesky").fit(
            x, DATA["count"], groups=DATA["site"]
        )
    assert np.isnan(glm.coef_table().loc["treated", "std_err"])
    assert np.isfinite(glm.coef_table().loc["intercept", "std_err"])


def test_sums_of_clusters_are_added_over_the_slices_of_a_block():
    totals = _Totals(np.array(["b", "a", "b", "c"]))
    values = np.array([1.0, 2.0, 4.0, 8.0])
    for rows in (slice(0, 2), slice(2, 4)):
        part = SimpleNamespace(rows=rows)
        totals.add(part, lambda codes, count, own=values[rows]: np.bincount(codes, own, count)[:, None])
    assert dict(zip(totals.labels, totals.sums(1)[:, 0], strict=True)) == {"b": 5.0, "a": 2.0, "c": 8.0}


@pytest.mark.parametrize("cov_type", ["HC1", "cluster"])
@pytest.mark.parametrize("method", [OneStep(), MLE()])
def test_a_coefficient_of_rows_that_are_fitted_exactly_has_no_negative_variance(method, cov_type):
    """One row alone has the reference level: its residual is 0, and the intercept's variance 0 but for rounding."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        level = 1.0 * (np.arange(80) > 0)
        x = np.column_stack([level, level * rng.normal(size=80) * 1e8, level * rng.normal(size=80)])
        y = rng.gamma(3.0, 1.0, 80)
        groups = np.arange(80) if cov_type == "cluster" else None
        glm = GLMRegressor("gamma", "log", method=method, cov_type=cov_type).fit(x, y, groups=groups)
        std_err = glm.coef_table()["std_err"]
        assert std_err.iloc[0] < 1e-5 * std_err.iloc[1]
        assert std_err.notna().all()
