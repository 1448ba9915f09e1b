"""QR where normal equations lose digits: compared with exact arithmetic and statsmodels in better columns."""

import warnings

import dask
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from oracle import blocks, counted, simulate

from benchmarks.accuracy.exact import exact_least_squares
from dask_onestep import MLE, Average, DebiasedLasso, GLMClassifier, GLMRegressor, OneStep, Pilot, Surrogate
from dask_onestep.exceptions import AliasingWarning

METHODS = [OneStep(), OneStep(1200, steps=3), MLE(), Pilot(1500), Average(), Surrogate("pilot", rounds=3)]


def quiet(glm, *data, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glm.fit(*data, **named)


def near_alias(family, share=1e-8, n=1500):
    """Return covariates with a near alias, y, and the same covariates with the difference in its place."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 2)).round(3)
    # A multiple of a power of two, so that near − x is what was added, to the last bit.
    rest = np.round(rng.normal(size=n) * 2**10) / 2**10
    unit = 2.0 ** np.round(np.log2(share))
    near = x[:, 0] + unit * rest
    rest = (near - x[:, 0]) / unit
    eta = 0.4 + 0.3 * x[:, 0] - 0.2 * x[:, 1] + 0.25 * rest
    draw = {
        "gaussian": lambda: eta + 0.5 * rng.normal(size=n),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
    }
    return np.column_stack([x, near]), draw[family](), np.column_stack([x, rest]), unit


def to_near(coef, unit):
    """Return the coefficients of (1, x0, x1, x0 + unit·rest) from those of (1, x0, x1, rest)."""
    jacobian = np.eye(4)
    jacobian[3, 3], jacobian[1, 3] = 1 / unit, -1 / unit
    return jacobian @ coef, jacobian


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
@pytest.mark.parametrize("solver", ["auto", "qr"])
def test_a_near_alias_is_solved_to_the_digits_that_its_difference_has(family, cov_type, solver):
    near, y, far, unit = near_alias(family)
    glm = quiet(GLMRegressor(family, method="mle", solver=solver, cov_type=cov_type), *blocks(near, y))
    law = getattr(sm.families, family.capitalize())()
    reference = sm.GLM(y, sm.add_constant(far), family=law).fit(tol=1e-14, tol_criterion="params", cov_type=cov_type)
    coef, jacobian = to_near(reference.params, unit)
    np.testing.assert_allclose(glm.estimate_.coef, coef, rtol=1e-7)
    np.testing.assert_allclose(glm.covariance_, jacobian @ reference.cov_params() @ jacobian.T, rtol=2e-6)
    assert glm.estimate_.solver == "qr"
    np.testing.assert_allclose(glm.predict(near), reference.fittedvalues, rtol=1e-6, atol=1e-6)


def test_one_step_is_exact_least_squares():
    near, y, _, _ = near_alias("gaussian", n=120)
    coef, std_err = exact_least_squares(np.column_stack([np.ones(120), near]).tolist(), y.tolist())
    glm = quiet(GLMRegressor(solver="qr"), *blocks(near, y, rows=40))
    # The condition number of the design is 1e8: of sixteen digits eight are left, of normal equations' none.
    np.testing.assert_allclose(glm.estimate_.coef, coef, rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), std_err, rtol=1e-7)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_on_sound_data_solvers_agree(method):
    x, y, _ = simulate("poisson", "log", n=3000)
    one, two = (
        quiet(GLMRegressor("poisson", method=method, solver=solver), *blocks(x, y, rows=600))
        for solver in ("cholesky", "qr")
    )
    np.testing.assert_allclose(two.estimate_.coef, one.estimate_.coef, rtol=1e-8)
    np.testing.assert_allclose(two.covariance_, one.covariance_, rtol=1e-7, atol=1e-14)
    for name in ("pilot_coef", "anchor_coef", "block_coef", "block_covariance"):
        if hasattr(one.estimate_, name):
            expected = getattr(one.estimate_, name)
            np.testing.assert_allclose(getattr(two.estimate_, name), expected, rtol=1e-6, atol=1e-12)
    assert two.n_passes_ == one.n_passes_ + 1
    assert (one.estimate_.solver, two.estimate_.solver) == ("cholesky", "qr")
    # Columns of one length are not scaled like the information, but for a log link nearly so.
    np.testing.assert_allclose(one.estimate_.condition, two.estimate_.condition, rtol=0.9)


def test_several_classes():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, 3))
    labels = np.argmax(x @ rng.normal(size=(3, 3)) + rng.gumbel(size=(2000, 3)), axis=1)
    one, two = (quiet(GLMClassifier(method="mle", solver=solver), *blocks(x, labels)) for solver in ("cholesky", "qr"))
    np.testing.assert_allclose(two.estimate_.coef, one.estimate_.coef, rtol=1e-8)
    np.testing.assert_allclose(two.covariance_, one.covariance_, rtol=1e-8, atol=1e-14)
    for test in ("likelihood_ratio_test", "score_test"):
        expected = getattr(one, test)(*blocks(x, labels), null=["x1"])
        found = getattr(two, test)(*blocks(x, labels), null=["x1"])
        np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-7)
        assert found.df == expected.df
    tables = [each.drop1(*blocks(x, labels)).drop(columns="note") for each in (two, one)]
    np.testing.assert_allclose(*tables, rtol=1e-7)
    aliased = quiet(GLMClassifier(method="mle", solver="qr"), *blocks(np.column_stack([x, x[:, 0]]), labels))
    assert np.isnan(aliased.coef_).tolist() == [[False] * 3 + [True]] * 2
    np.testing.assert_allclose(aliased.coef_[:, :3], two.coef_, rtol=1e-8)


def test_exact_aliases_are_named_by_qr_too():
    x, y, _ = simulate("poisson", "log")
    with pytest.warns(UserWarning, match=r"aliased columns are set to NaN: x1\. By QR of all rows, x1 = 2·x0\."):
        glm = GLMRegressor("poisson", method="mle", solver="qr").fit(*blocks(np.insert(x, 1, 2 * x[:, 0], axis=1), y))
    without = GLMRegressor("poisson", method="mle").fit(*blocks(x, y))
    np.testing.assert_allclose(np.delete(glm.coef_, 1), without.coef_, rtol=1e-9)
    assert np.isnan(glm.covariance_).sum() == 9


@pytest.mark.parametrize("rows", [97, 500, 1500])
@pytest.mark.parametrize("method", ["one-step", "mle"])
def test_any_chunking_is_one_chunk(rows, method):
    near, y, _, _ = near_alias("poisson", share=1e-6)
    whole = quiet(GLMRegressor("poisson", method=method, solver="qr"), near, y)
    glm = quiet(GLMRegressor("poisson", method=method, solver="qr"), *blocks(near, y, rows=rows))
    np.testing.assert_allclose(glm.estimate_.coef, whole.estimate_.coef, rtol=1e-8)
    # In units of the standard errors: elements that are small compared with them are differences of large numbers.
    errors = np.sqrt(np.diag(whole.covariance_))
    unit = np.outer(errors, errors)
    np.testing.assert_allclose(glm.covariance_ / unit, whole.covariance_ / unit, rtol=0, atol=1e-8)


def test_schedulers_give_the_same_bits():
    near, y, _, _ = near_alias("binomial", share=1e-6)
    found = []
    for scheduler in ("synchronous", "threads", "threads"):
        with dask.config.set(scheduler=scheduler):
            glm = quiet(GLMRegressor("binomial"), *blocks(near, y, rows=90))
        assert glm.estimate_.solver == "qr"
        found.append((glm.estimate_.coef.tobytes(), glm.covariance_.tobytes()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("solver", "passes"), [("cholesky", 1), ("qr", 2), ("auto", 3)])
def test_passes_are_counted(solver, passes):
    near, y, _, _ = near_alias("gaussian", share=1e-5)
    loads = []
    with dask.config.set(scheduler="synchronous"):
        glm = GLMRegressor(solver=solver).fit(counted(near, loads, rows=500), blocks(y, rows=500)[0])
    assert glm.n_passes_ == passes
    assert len(loads) == 3 * passes


def test_sound_data_costs_auto_nothing():
    x, y, _ = simulate("gaussian", "identity")
    glm = GLMRegressor().fit(*blocks(x, y))
    assert (glm.n_passes_, glm.estimate_.solver) == (1, "cholesky")
    assert glm.estimate_.condition < 1e3


def test_large_means_alone_make_auto_go_over():
    rng = np.random.default_rng(0)
    x = 1.7e9 + 1e4 * rng.normal(size=(400, 1)).round(3)
    y = 1e-4 * (x[:, 0] - 1.7e9) + rng.normal(size=400)
    glm = GLMRegressor().fit(*blocks(x, y))
    assert glm.estimate_.solver == "qr"
    assert glm.estimate_.condition > 1e8
    coef, std_err = exact_least_squares(np.column_stack([np.ones(400), x]).tolist(), y.tolist())
    np.testing.assert_allclose(glm.estimate_.coef, coef, rtol=1e-11)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), std_err, rtol=1e-11)
    assert "qr (condition" in str(glm.summary())


def test_methods_that_cannot_honour_it_say_so():
    x, y, _ = simulate("gaussian", "identity")
    for method in (DebiasedLasso(alpha=0.1), "average-lasso"):
        for solver in ("qr", "cholesky"):
            with pytest.raises(ValueError, match=rf"solver='{solver}' is not available .*; it must be one of"):
                GLMRegressor(method=method, solver=solver).fit(*blocks(x, y))
    with pytest.raises(ValueError, match="fit_delayed: solver='qr' needs intermediate results"):
        GLMRegressor(solver="qr").fit_delayed(*blocks(x, y))


@pytest.mark.parametrize("method", ["mle", OneStep(1500)], ids=str)
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_tests_of_a_near_alias(family, method):
    near, y, far, _ = near_alias(family)
    plain = GLMRegressor(family, method=method).fit(far, y)
    glm = quiet(GLMRegressor(family, method=method), near, y)
    # x2 = 0 leaves the same columns in both; so does x1 = 0, and its nuisance columns are near aliases.
    for null in (["x2"], ["x1"]):
        for test in ("likelihood_ratio_test", "score_test"):
            expected = getattr(plain, test)(far, y, null=null)
            found = getattr(glm, test)(near, y, null=null)
            np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-5)
            assert (found.df, found.df_denom) == (expected.df, expected.df_denom)
        np.testing.assert_allclose(glm.wald_test(null).statistic, plain.wald_test(null).statistic, rtol=1e-5)
    table, reference = glm.drop1(near, y), plain.drop1(far, y)
    np.testing.assert_allclose(
        table.loc[["x1", "x2"], "statistic"], reference.loc[["x1", "x2"], "statistic"], rtol=1e-5
    )


@pytest.mark.parametrize("method", [Pilot(1500), Average()], ids=str)
def test_ratios_of_a_near_alias_by_methods_with_their_own(method):
    near, y, far, _ = near_alias("poisson")
    plain = GLMRegressor("poisson", method=method).fit(*blocks(far, y, rows=500))
    glm = quiet(GLMRegressor("poisson", method=method), *blocks(near, y, rows=500))
    assert glm.estimate_.solver == "qr"
    expected = plain.likelihood_ratio_test(*blocks(far, y, rows=500), null=["x2"])
    found = glm.likelihood_ratio_test(*blocks(near, y, rows=500), null=["x2"])
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-6)


@pytest.mark.parametrize("method", [OneStep(), MLE()])
@pytest.mark.parametrize("seed", [3, 7, 29])
def test_an_alias_that_rounding_hides_is_found(seed, method):
    """The square lies in the span of the spline; its pivot is rounding, of either side of any tolerance."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"u": rng.integers(-2500, 2500, 110) * 1.0})
    frame["y"] = rng.normal(size=110)
    with pytest.warns(AliasingWarning, match="bs\\(u, df=4\\)\\[4\\]"):
        glm = GLMRegressor(formula="y ~ I(u**2) + bs(u, df=4)", method=method).fit(frame)
    assert np.isnan(glm.estimate_.coef).tolist() == [False] * 5 + [True]
    spline = GLMRegressor(formula="y ~ bs(u, df=4)", method=method).fit(frame)
    np.testing.assert_allclose(glm.predict(frame), spline.predict(frame), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(glm.predict_interval(frame), spline.predict_interval(frame), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", [21, 23, 25, 26, 27])
@pytest.mark.usefixtures("quiet")
def test_an_alias_whose_terms_cancel_is_found(seed):
    """Rounding leaves more than usual of a level: its combination has terms of thousands of times its length."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"u": rng.integers(0, 60_000, 120) + rng.integers(0, 5000), "h": rng.choice(["a", "b"], 120)})
    frame["y"] = rng.normal(size=120)
    glm = GLMRegressor(formula="y ~ 0 + bs(u, df=5) + I(u**3) + C(h)", method=MLE()).fit(frame)
    assert np.isnan(glm.estimate_.coef).tolist() == [False] * 7 + [True]
    spline = GLMRegressor(formula="y ~ bs(u, df=5) + C(h)", method=MLE()).fit(frame)
    # The condition number without the alias is still up to 1e12; an interval is about 0.8 wide.
    np.testing.assert_allclose(glm.predict(frame), spline.predict(frame), atol=1e-4)
    np.testing.assert_allclose(glm.predict_interval(frame), spline.predict_interval(frame), atol=1e-4)
