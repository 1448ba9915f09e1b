"""The wild score bootstrap: for the normal distribution the restricted wild cluster bootstrap, by refits."""

from itertools import product

import numpy as np
import pytest
from r import data_of_r
from scipy import stats

from dask_onestep import GLMRegressor
from dask_onestep.inference.bootstrap import WEIGHTS

DATA = data_of_r()


def by_refits(x, y, groups, restriction, value):
    """Return the statistic, and those of all draws of Rademacher weights, by a least-squares fit of each."""
    labels, codes = np.unique(groups, return_inverse=True)
    inverse = np.linalg.inv(x.T @ x)

    def statistic(y):
        coef = inverse @ x.T @ y
        scores = np.array([x[codes == g].T @ (y - x @ coef)[codes == g] for g in range(len(labels))])
        gap = restriction @ coef - value
        spread = restriction @ inverse @ scores.T @ scores @ inverse @ restriction.T
        return gap @ np.linalg.solve(spread, gap) / len(gap), coef

    own, coef = statistic(y)
    toward = inverse @ restriction.T
    at_null = coef - toward @ np.linalg.solve(restriction @ toward, restriction @ coef - value)
    residual = y - x @ at_null
    draws = product([-1.0, 1.0], repeat=len(labels))
    return own, np.array([statistic(x @ at_null + np.array(v)[codes] * residual)[0] for v in draws])


@pytest.mark.parametrize("null", [{"x": 0.3}, ["x", "z"]], ids=str)
def test_it_is_the_restricted_wild_cluster_bootstrap_of_least_squares(null):
    groups = DATA["day"]  # 8 clusters, 256 draws
    glm = GLMRegressor(method="mle", cov_type="CRV3").fit(DATA[["x", "z"]], DATA["normal"], groups=groups)
    found = glm.wild_bootstrap_test(null, weights="rademacher")
    x = np.column_stack([np.ones(len(DATA)), DATA[["x", "z"]]])
    restriction = np.eye(3)[1:2] if isinstance(null, dict) else np.eye(3)[1:]
    value = np.array([0.3]) if isinstance(null, dict) else np.zeros(2)
    own, draws = by_refits(x, DATA["normal"].to_numpy(), groups, restriction, value)
    np.testing.assert_allclose(found.statistic, own, rtol=1e-8)
    assert found.p_value == pytest.approx(np.mean(draws >= own * (1 - 1e-10)))
    assert found.note == "256 draws (all) of rademacher weights, 8 clusters."
    assert (found.distribution, found.df) == ("bootstrap", len(value))


def test_under_the_null_few_clusters_are_rejected_at_the_level():
    rng = np.random.default_rng(7)
    p_values = []
    for _ in range(80):
        groups = np.repeat(np.arange(7), [10, 14, 20, 26, 30, 40, 60])
        x = rng.normal(size=(200, 1)) + rng.normal(size=7)[groups][:, None]
        y = (rng.random(200) < 1 / (1 + np.exp(-rng.normal(size=7)[groups] * 0.7))).astype(float)
        glm = GLMRegressor("binomial", cov_type="CRV3").fit(x, y, groups=groups)
        p_values.append(glm.wild_bootstrap_test("x0", n_draws=199).p_value)
    rejected = int((np.array(p_values) <= 0.1).sum())
    assert stats.binomtest(rejected, 80, 0.1).pvalue > 0.001


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_have_mean_0_and_variance_1(kind):
    assert WEIGHTS[kind].mean() == pytest.approx(0.0)
    assert np.square(WEIGHTS[kind]).mean() == pytest.approx(1.0)


def test_what_it_refuses():
    x, y, groups = DATA[["x", "z"]], DATA["count"], DATA["site"]
    glm = GLMRegressor("poisson", cov_type="cluster").fit(x, y, groups=groups)
    with pytest.raises(ValueError, match=r"does not store scores .* with_covariance\('CRV3'"):
        glm.wild_bootstrap_test("x")
    glm = glm.with_covariance("CRV3", x, y, groups=groups)
    assert glm.wild_bootstrap_test("x", n_draws=99).p_value == glm.wild_bootstrap_test("x", n_draws=99).p_value
    with pytest.raises(ValueError, match=r"Unknown weights 'mammen'; must be one of 'auto', 'rademacher', 'webb'"):
        glm.wild_bootstrap_test("x", weights="mammen")
    with pytest.raises(ValueError, match="2 restrictions, and a covariance from 2 clusters has rank 1"):
        glm.with_covariance("CRV3", x, y, groups=groups > 9).wild_bootstrap_test(["x", "z"])
