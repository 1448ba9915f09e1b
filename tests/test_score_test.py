"""The score test against statsmodels, against the other tests, and against its own definition."""

import numpy as np
import pytest
from oracle import blocks, simulate, sm_fit, weights_for
from scipy import linalg, stats

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.inference import score_statistic

KNOWN = [("binomial", "logit"), ("binomial", "probit"), ("poisson", "log"), ("poisson", "sqrt")]


@pytest.mark.parametrize("kind", [None, "frequency"])
@pytest.mark.parametrize(("family", "link"), KNOWN)
def test_it_is_the_score_test_of_statsmodels(family, link, kind):
    x, y, shift = simulate(family, link, offset=True)
    weights = weights_for(kind, len(y))
    glm = GLMRegressor(family, link, method=MLE(), weight_type=kind or "variance")
    data = blocks(x, y, weights, shift)
    glm.fit(data[0], data[1], sample_weight=data[2], offset=data[3])
    ours = glm.score_test(data[0], data[1], null=["x1", "x2"], sample_weight=data[2], offset=data[3])
    null = sm_fit(x[:, :1], y, family, link, offset=shift, weights=weights, kind=kind)
    constrained = np.r_[null.params, 0.0, 0.0]
    larger = sm_fit(x, y, family, link, offset=shift, weights=weights, kind=kind)
    score = larger.model.score(constrained, scale=1.0)
    information = -larger.model.hessian(constrained, scale=1.0, observed=False)
    np.testing.assert_allclose(ours.statistic, score @ linalg.solve(information, score), rtol=1e-6)
    if kind is None:
        statistic, p_value, *_ = null.score_test(exog_extra=x[:, 1:], observed=False)
        np.testing.assert_allclose([ours.statistic, ours.p_value], np.ravel([statistic, p_value]), rtol=1e-6)


def test_for_the_normal_law_it_is_the_f_test():
    x, y, _ = simulate("gaussian", "identity")
    glm = GLMRegressor(method=MLE()).fit(x, y)
    score, wald = glm.score_test(x, y, null=["x0", "x2"]), glm.wald_test(["x0", "x2"])
    assert score.distribution == "F"
    np.testing.assert_allclose(
        [score.statistic, score.p_value, score.df_denom], [wald.statistic, wald.p_value, wald.df_denom], rtol=1e-7
    )


def test_values_and_the_intercept():
    x, y, _ = simulate("poisson", "log")
    glm = GLMRegressor("poisson", method=MLE()).fit(x, y)
    ours = glm.score_test(x, y, null={"intercept": 0.4, "x1": -0.1})
    null = sm_fit(x[:, [0, 2]], y, "poisson", "log", offset=0.4 - 0.1 * x[:, 1], intercept=False)
    larger = sm_fit(x, y, "poisson", "log")
    point = np.array([0.4, null.params[0], -0.1, null.params[1]])
    score, information = larger.model.score(point), -larger.model.hessian(point)
    np.testing.assert_allclose(ours.statistic, score @ linalg.solve(information, score), rtol=1e-6)
    every = {"intercept": 0.4, "x0": 0.0, "x1": 0.0, "x2": 0.0}
    point = np.array([0.4, 0, 0, 0])
    score, information = larger.model.score(point), -larger.model.hessian(point)
    ours = glm.score_test(x, y, null=every)
    np.testing.assert_allclose(ours.statistic, score @ linalg.solve(information, score), rtol=1e-6)
    assert ours.df == 4


def test_it_is_free_of_the_nuisance_score():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 5))
    information, score = root.T @ root, rng.normal(size=5)
    tested = np.array([False, True, False, False, True])
    i11 = information[np.ix_(tested, tested)]
    i12 = information[np.ix_(tested, ~tested)]
    i22 = information[np.ix_(~tested, ~tested)]
    free = score[tested] - i12 @ linalg.solve(i22, score[~tested])
    expected = free @ linalg.solve(i11 - i12 @ linalg.solve(i22, i12.T), free)
    np.testing.assert_allclose(score_statistic(score, information, tested), expected, rtol=1e-10)


# Any seed may be drawn, and a few of them have a pilot that warns.
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_one_step_is_all_but_the_mle_and_reads_the_same_pilot():
    x, y, _ = make_glm(20_000, 3, family="binomial", sort=True, coef=[0.2, 0.3, 0.02, -0.2], random_state=3)
    one_step = GLMClassifier(method=OneStep(random_state=None)).fit(x, y)
    mle = GLMClassifier(method=MLE()).fit(x, y)
    first, second = (one_step.score_test(x, y, null="x1") for _ in range(2))
    assert first.statistic == second.statistic
    np.testing.assert_allclose(first.statistic, mle.score_test(x, y, null="x1").statistic, atol=0.05)
    np.testing.assert_allclose(first.statistic, mle.wald_test("x1").statistic, rtol=0.05)


@pytest.mark.slow
def test_under_the_null_p_values_are_uniform():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(120):
        x = rng.normal(size=(400, 2))
        y = rng.poisson(np.exp(0.3 + 0.3 * x[:, 0])).astype(float)
        glm = GLMRegressor("poisson", method=OneStep(pilot_size=250, tol=10.0)).fit(x, y)
        p_values.append(glm.score_test(x, y, null="x1").p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_what_it_refuses_and_remarks():
    x, y, _ = simulate("poisson", "log")
    twice = np.column_stack([x, x[:, 0]])
    with pytest.warns(UserWarning, match="aliased"):
        aliased = GLMRegressor("poisson", method="mle").fit(twice, y)
    with pytest.raises(ValueError, match="aliased coefficient"):
        aliased.score_test(twice, y, null="x3")
    glm = GLMRegressor("poisson", method="mle", cov_type="HC0").fit(x, y)
    assert "wald_test is robust" in glm.score_test(x, y, null="x0").note
    with pytest.raises(ValueError, match="Unknown coefficients"):
        glm.score_test(x, y, null="x7")
