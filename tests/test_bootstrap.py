"""The wild score bootstrap, by refits, and multipliers of blocks, against blocks as clusters."""

from itertools import product

import dask.array as da
import numpy as np
import pytest
from r import data_of_r
from scipy import stats
from support import Loads

from dask_onestep import DebiasedLasso, GLMRegressor
from dask_onestep.datasets import make_glm
from dask_onestep.inference.bootstrap import WEIGHTS, multiplier_quantile

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


def _in_blocks(family, rows=6000, blocks=60):
    X, y, _ = make_glm(rows, 4, family=family, chunks=rows // blocks, random_state=3, sort=True)
    return X, y


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_block_multipliers_have_the_covariance_of_blocks_as_clusters(family, threads):
    X, y = _in_blocks(family)
    glm = GLMRegressor(family).fit(X, y)
    found = glm.block_bootstrap_intervals(X, y, level=0.9, n_draws=40_000)
    robust = glm.with_covariance("cluster", X, y, groups=da.from_array(np.arange(6000) // 100, chunks=100))
    # R's factor (N − 1)/(N − d) for small samples is not in the bootstrap.
    covariance = robust.covariance_ * (6000 - 5) / (6000 - 1)
    std_err = glm.coef_table()["std_err"]
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(5), covariance, 40_000)
    quantile = np.quantile(np.abs(draws / std_err.to_numpy()).max(axis=1), 0.9)
    half = (found["ci_upper"] - found["ci_lower"]) / 2
    np.testing.assert_allclose(half, quantile * std_err, rtol=0.02)
    np.testing.assert_allclose((found["ci_upper"] + found["ci_lower"]) / 2, glm.record_.coef, rtol=1e-9)


def test_block_multipliers_of_a_debiased_lasso_agree_with_its_covariance(threads):
    X, y = _in_blocks("gaussian", rows=20_000, blocks=200)
    glm = GLMRegressor(method=DebiasedLasso()).fit(X, y)
    terms = ["x0", "x1", "x2", "x3"]
    found, expected = glm.block_bootstrap_intervals(X, y, terms=terms), glm.conf_int(simultaneous=terms)
    assert list(found.index) == terms
    width, usual = (each["ci_upper"] - each["ci_lower"] for each in (found, expected))
    np.testing.assert_allclose(width, usual, rtol=0.1)  # of 200 blocks


def test_block_multipliers_take_one_pass_and_many_blocks(tmp_path, threads):
    loads = Loads(tmp_path, rows=(40,) * 12)
    table = loads.array()
    glm = GLMRegressor("binomial").fit(table[:, 1:], table[:, 0])
    loads.per_block()
    glm.block_bootstrap_intervals(table[:, 1:], table[:, 0])
    assert loads.per_block() == [1] * 12
    whole = loads.table()
    with pytest.raises(ValueError, match="1 blocks with rows"):
        glm.block_bootstrap_intervals(whole[:, 1:], whole[:, 0])
    with pytest.raises(ValueError, match="usable rows"):
        glm.block_bootstrap_intervals(table[40:, 1:], table[40:, 0])


@pytest.mark.parametrize("blocks", [2, 5])
def test_multipliers_of_few_blocks_have_the_variance_of_their_number_less_one(blocks):
    # Moves ±1/2 of two blocks, and others without a move: N(0, 1/2 · K/(K − 1)).
    influence = np.array([[0.5], [-0.5], [0.0], [0.0], [0.0]])[:blocks]
    found = multiplier_quantile(influence, np.ones(1), 0.95, 100_000, seed=0)
    assert found == pytest.approx(stats.norm.isf(0.025) * np.sqrt(blocks / (blocks - 1) / 2), rel=0.01)
