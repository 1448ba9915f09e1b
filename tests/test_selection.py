"""Submodels and the adaptive lasso, against least squares, refits, optimality conditions and scikit-learn's lasso."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import linalg, special
from sklearn.linear_model import Lasso
from support import Loads

from dask_onestep import AverageLasso, GLMClassifier, GLMRegressor, compare
from dask_onestep.datasets import make_glm
from dask_onestep.inference.selection import adaptive_lasso, constrain
from dask_onestep.storage import read_model, write_model


def _sparse(family="binomial", n=4000, p=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) @ linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p))))
    eta = 0.3 + x[:, 0] - 0.5 * x[:, 3] + 0.3 * x[:, 5]
    if family == "gaussian":
        return x, eta + rng.standard_normal(n)
    if family == "poisson":
        return x, rng.poisson(np.exp(eta / 2)).astype(float)
    return x, (rng.random(n) < special.expit(eta)).astype(float)


def test_gaussian_submodel_is_least_squares_and_its_test_the_f_test():
    x, y = _sparse("gaussian", n=300)
    glm = GLMRegressor().fit(x, y)
    part = glm.submodel(["x0", "x3", "x5"])
    full, small = sm.OLS(y, sm.add_constant(x)).fit(), sm.OLS(y, sm.add_constant(x[:, [0, 3, 5]])).fit()
    at = [0, 1, 4, 6]
    table = part.coef_table()
    np.testing.assert_allclose(table.coef.iloc[at], small.params, rtol=1e-9)
    np.testing.assert_allclose(part.covariance_[np.ix_(at, at)], small.normalized_cov_params * full.scale, rtol=1e-8)
    statistic, p_value, df = full.compare_f_test(small)
    found = part.submodel_test_
    assert (found.statistic, found.p_value, found.df) == pytest.approx((statistic, p_value, df), rel=1e-8)
    assert found.distribution == "F"
    others = table.drop(index=table.index[at])
    assert (others.coef == 0).all()
    assert (others.std_err == 0).all()
    assert part.record_.rank == 4
    np.testing.assert_allclose(part.predict(x), small.predict(sm.add_constant(x[:, [0, 3, 5]])), rtol=1e-9)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_submodel_without_strong_terms_is_near_its_own_fit(family):
    x, y = _sparse(family)
    glm = GLMRegressor(family).fit(x, y)
    part = glm.submodel(["x0", "x3", "x5"])
    law = sm.families.Binomial() if family == "binomial" else sm.families.Poisson()
    small = sm.GLM(y, sm.add_constant(x[:, [0, 3, 5]]), family=law).fit(tol=1e-12)
    full = sm.GLM(y, sm.add_constant(x), family=law).fit(tol=1e-12)
    at = [0, 1, 4, 6]
    assert (np.abs(part.coef_table().coef.iloc[at] - small.params) / small.bse).max() < 0.05
    np.testing.assert_allclose(part.coef_table().std_err.iloc[at], small.bse, rtol=0.01)
    ratio = 2 * (full.llf - small.llf)
    assert part.submodel_test_.statistic == pytest.approx(ratio, rel=0.02)
    assert part.estimate_.loglik == pytest.approx(small.llf, abs=0.02 * ratio)


def test_robust_submodel_test_is_the_wald_test():
    x, y = _sparse()
    glm = GLMClassifier(cov_type="HC1").fit(x, y)
    wald = glm.wald_test(["x1", "x2"])
    found = glm.submodel(["x0", "x3", "x4", "x5", "x6", "x7"]).submodel_test_
    assert (found.statistic, found.p_value) == pytest.approx((wald.statistic, wald.p_value), rel=1e-9)


def test_submodels_of_a_submodel_and_of_everything():
    x, y = _sparse()
    glm = GLMClassifier().fit(x, y)
    names = [f"x{j}" for j in range(8)]
    whole = glm.submodel(names)
    np.testing.assert_array_equal(whole.coef_, glm.coef_)
    assert whole.submodel_test_.p_value == 1.0
    twice = glm.submodel(names[:6]).submodel(["x0", "x3"])
    once = glm.submodel(["x0", "x3"])
    np.testing.assert_allclose(twice.coef_, once.coef_, atol=1e-12)
    np.testing.assert_allclose(twice.covariance_, once.covariance_, atol=1e-14)
    alone = glm.submodel([])
    assert np.count_nonzero(alone.coef_) == 0
    assert alone.record_.rank == 1


def test_terms_of_formulas_and_classes_keep_all_their_coefficients():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=900), "g": rng.choice(list("uvw"), 900), "b": rng.normal(size=900)})
    frame["y"] = rng.choice(["one", "three", "two"], 900)
    glm = GLMClassifier(formula="y ~ a + g + b").fit(frame)
    part = glm.submodel("g")
    table = part.coef_table()
    kept = table.index[table.std_err > 0]
    assert list(kept) == [f"{label}:{name}" for label in ("three", "two") for name in ("intercept", "g[T.v]", "g[T.w]")]
    assert part.submodel_test_.df == 4


def test_path_equals_scikit_learns_lasso_at_every_penalty():
    x, y = _sparse("poisson")
    glm = GLMRegressor("poisson", fit_intercept=False).fit(x, y)
    coef, covariance = glm.record_.coef, glm.covariance_
    penalties, coefs, distances = adaptive_lasso(coef, covariance, np.ones(8, bool))
    # Another root of C⁻¹: the symmetric one.
    values, vectors = np.linalg.eigh(covariance)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    design = root * np.abs(coef)
    for penalty, found, distance in zip(penalties[1:-1] * 1.0, coefs[1:-1], distances[1:-1], strict=True):
        lasso = Lasso(alpha=penalty / 8, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(design, root @ coef)
        np.testing.assert_allclose(found, lasso.coef_ * np.abs(coef), atol=1e-7)
        gap = found - coef
        assert distance == pytest.approx(gap @ np.linalg.solve(covariance, gap), rel=1e-7)
    np.testing.assert_allclose(coefs[-1], coef, rtol=1e-9)
    assert penalties[-1] == pytest.approx(0.0, abs=1e-9)


def test_independent_coefficients_leave_the_path_at_their_squares():
    coef = np.arange(12.0, 0.0, -1.0)
    penalties, coefs, distances = adaptive_lasso(coef, np.eye(12), np.ones(12, bool))
    np.testing.assert_allclose(penalties, [*coef**2, 0.0], atol=1e-9)
    shrinkage = np.minimum(penalties[:, None] / coef, coef)
    np.testing.assert_allclose(coefs, coef - shrinkage, atol=1e-9)
    np.testing.assert_allclose(distances, np.square(shrinkage).sum(axis=1), atol=1e-9)


def test_path_satisfies_the_optimality_conditions_with_a_free_intercept():
    x, y = _sparse()
    glm = GLMClassifier().fit(x, y)
    path, coef = glm.adaptive_lasso_path(), glm.record_.coef
    precision = np.linalg.inv(glm.covariance_)
    assert path.table["n_nonzero"].iloc[[0, -1]].tolist() == [0, 8]
    for penalty, found in zip(path.table["penalty"], path.coefs.to_numpy(), strict=True):
        slope = precision @ (found - coef)
        assert abs(slope[0]) < 1e-6 * np.abs(precision[0]).max()
        bound = penalty / np.abs(coef[1:])
        active = found[1:] != 0
        np.testing.assert_allclose(slope[1:][active], (-bound * np.sign(found[1:]))[active], atol=1e-5)
        assert (np.abs(slope[1:][~active]) <= bound[~active] + 1e-5).all()


def test_criteria_are_their_formulas():
    x, y = _sparse()
    glm = GLMClassifier().fit(x, y)
    path = glm.adaptive_lasso_path()
    table, log_n = path.table, np.log(4000)
    for row, found in zip(table.itertuples(), path.coefs.to_numpy(), strict=True):
        zero = found == 0
        gap = found - glm.record_.coef
        distance = gap @ np.linalg.solve(glm.covariance_, gap)
        names = [name for name, some in zip(path.coefs.columns, zero, strict=True) if some]
        refitted = glm.wald_test(names).statistic if names else 0.0
        k = 8 - len(names)
        subsets = 2 * np.log(special.comb(8, k))
        expected = (distance + k * log_n, refitted + k * log_n, refitted + 2 * k, refitted + k * log_n + subsets)
        assert (row.dbic, row.bic, row.aic, row.ebic) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("criterion", ["dbic", "bic", "ebic"])
def test_selection_finds_the_clear_effects(family, criterion):
    x, y = _sparse(family, n=8000, seed=1)
    chosen = GLMRegressor(family).fit(x, y).select(criterion)
    assert np.flatnonzero(chosen.coef_).tolist() == [0, 3, 5]
    assert chosen.selection_path_.selected(criterion) == ["x0", "x3", "x5"]


def test_exact_log_likelihoods_of_the_path_take_one_pass(tmp_path, threads):
    loads = Loads(tmp_path, rows=(300, 200, 300))
    table, whole = loads.array(), loads.table()
    X, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier().fit(X, y)
    loads.per_block()
    glm.adaptive_lasso_path()
    glm.select()
    glm.submodel(["x0"])
    assert loads.per_block() == [0, 0, 0]
    path = glm.adaptive_lasso_path(X, y)
    assert loads.per_block() == [1, 1, 1]
    chosen = glm.select("bic", X, y)
    assert loads.per_block() == [1, 1, 1]
    assert chosen.n_passes_ == glm.n_passes_ + 1
    model = sm.GLM(whole[:, 0], sm.add_constant(whole[:, 1:]), family=sm.families.Binomial())
    top = model.loglike(glm.record_.coef)
    expected = [2 * (top - model.loglike(coef)) for coef in path.coefs.to_numpy()]
    np.testing.assert_allclose(path.table["distance"], expected, atol=1e-7)
    refit = glm.submodel(path.penalized[:1])
    at = int(np.flatnonzero(path.table["n_nonzero"] == 0)[0])
    null = glm.submodel([]).record_.coef
    assert path.table["refitted"][at] == pytest.approx(2 * (top - model.loglike(null)), abs=1e-7)
    assert refit.n_passes_ == glm.n_passes_
    with pytest.raises(ValueError, match="usable rows"):
        glm.select("bic", whole[:100, 1:], whole[:100, 0])


def test_exact_distances_of_the_normal_distribution_are_the_approximate_ones():
    x, y = _sparse("gaussian", n=500)
    glm = GLMRegressor().fit(x, y)
    exact, approximate = glm.adaptive_lasso_path(x, y), glm.adaptive_lasso_path()
    np.testing.assert_allclose(exact.table, approximate.table, rtol=1e-6, atol=1e-6)


def test_constrained_estimate_minimizes_the_quadratic():
    rng = np.random.default_rng(3)
    half = rng.standard_normal((5, 5))
    covariance, coef = half @ half.T, rng.standard_normal(5)
    found = constrain(coef, covariance, np.array([False, True, False, True, False]))
    precision, free = np.linalg.inv(covariance), np.array([0, 2, 4])
    np.testing.assert_allclose(
        found.coef[free], np.linalg.solve(precision[np.ix_(free, free)], (precision @ coef)[free]), rtol=1e-9
    )
    inner = np.linalg.inv(precision[np.ix_(free, free)])
    np.testing.assert_allclose(found.covariance[np.ix_(free, free)], inner, rtol=1e-9)
    gap = found.coef - coef
    assert found.distance == pytest.approx(gap @ precision @ gap, rel=1e-9)


def test_several_classes_have_candidates_by_coefficient():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 3))
    eta = np.column_stack([np.zeros(3000), x[:, 0], -x[:, 0]])
    labels = np.array(["a", "b", "c"])[(eta + rng.gumbel(size=eta.shape)).argmax(axis=1)]
    glm = GLMClassifier().fit(x, labels)
    chosen, exact = glm.select("bic"), glm.select("bic", x, labels)
    assert chosen.selection_path_.selected("bic") == ["b:x0", "c:x0"]
    np.testing.assert_array_equal(chosen.coef_ != 0, [[True, False, False]] * 2)
    np.testing.assert_array_equal(exact.coef_, chosen.coef_)
    table = exact.selection_path_.table
    np.testing.assert_allclose(table["refitted"].iloc[2:], chosen.selection_path_.table["refitted"].iloc[2:], rtol=0.02)


def test_many_levels_whose_covariance_is_stored_by_its_structure():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=9000), "g": rng.integers(0, 600, 9000).astype(str)})
    frame["y"] = frame["a"] / 2 + rng.normal(size=9000)
    glm = GLMRegressor(formula="y ~ a + C(g)").fit(frame)
    assert not isinstance(glm.record_.covariance, np.ndarray)
    reference = sm.OLS(frame["y"], sm.add_constant(frame[["a"]])).fit()
    np.testing.assert_allclose(glm.submodel("a").coef_table()["coef"].iloc[:2], reference.params, rtol=1e-8)
    pair = glm.conf_int(simultaneous=["a", "C(g)[T.1]"])
    assert (pair["ci_upper"] > glm.conf_int()["ci_upper"][["a", "C(g)[T.1]"]]).all()


def test_what_has_no_submodel_says_why():
    x, y = _sparse(n=600)
    X, Y, _ = make_glm(600, 1, chunks=300)
    with pytest.raises(ValueError, match="AverageLasso does not estimate a covariance"):
        GLMRegressor(method=AverageLasso(0.1)).fit(X, Y).submodel([])
    glm = GLMClassifier(cov_type="cluster").fit(x, y, groups=np.arange(600) % 4)
    with pytest.raises(ValueError, match="undefined or singular"):
        glm.select()
    with pytest.raises(ValueError, match="Unknown coefficients"):
        glm.submodel("x99")
    with pytest.raises(ValueError, match="Unknown criterion"):
        glm.select("cp")
    plain = GLMClassifier().fit(x, y)
    part = plain.submodel("x0")
    with pytest.raises(ValueError, match="submodel was not fitted by itself"):
        part.likelihood_ratio_test(x, y, null="x0")
    with pytest.raises(ValueError, match="The submodel fixes x1, x3 at zero"):
        part.wald_test(["x0", "x1", "x3"])
    with pytest.raises(ValueError, match="keeps the covariance"):
        part.with_covariance("HC1", x, y)
    with pytest.raises(ValueError, match="nothing to select"):
        GLMRegressor().fit(x[:, :0], y).select()


def test_a_submodel_is_stored_and_compared(tmp_path):
    x, y = _sparse()
    glm = GLMClassifier().fit(x, y)
    part = glm.submodel(["x0", "x3"])
    write_model(part, f"{tmp_path}/model.json")
    kept = read_model(f"{tmp_path}/model.json")
    np.testing.assert_array_equal(kept.coef_, part.coef_)
    np.testing.assert_array_equal(kept.predict_proba(x), part.predict_proba(x))
    table = compare({"all": glm, "some": part})
    assert table["lr_df"].iloc[1] == 6
    assert table["lr_statistic"].iloc[1] == pytest.approx(part.submodel_test_.statistic)


def test_effects_and_intervals_of_a_submodel_are_of_its_own_coefficients():
    x, y = _sparse()
    frame = pd.DataFrame(x, columns=list("abcdefgh"))
    part = GLMClassifier().fit(frame, y).submodel(["a", "d"])
    effects = part.avg_slopes(frame)
    found = effects.set_index("term")["estimate"]
    mean = (
        special.expit(part.intercept_[0] + x @ part.coef_[0])
        if part.coef_.ndim == 2
        else special.expit(part.intercept_ + x @ part.coef_)
    )
    coef = np.ravel(part.coef_)
    np.testing.assert_allclose(found[["a", "d"]], np.mean(mean * (1 - mean)) * coef[[0, 3]], rtol=1e-6)
    np.testing.assert_allclose(found[["b", "h"]], 0.0, atol=1e-15)
    lower, upper = part.predict_interval(frame[:5]).T
    assert (lower < upper).all()
