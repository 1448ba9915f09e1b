"""Maximum likelihood with Jeffreys' penalty, against R's published figures and the roots of Firth's score."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.special import expit
from scipy.stats import norm
from support import Loads
from support_sparse import in_blocks

from dask_onestep import MLE, GLMClassifier, GLMRegressor

# The endometrial cancer data of Heinze and Schemper, "A solution to the problem of separation in logistic regression",
# Statistics in Medicine 21 (2002): neovasculation, pulsatility index, endometrium height, and high grade.
PI = np.fromstring(
    "13 16 8 34 20 5 17 10 26 17 8 7 20 10 18 16 18 8 29 12 20 38 22 7 25 15 7 28 11 19 10 10 18 14 21 11 17 "
    "25 16 19 15 33 24 48 12 19 2 22 40 5 0 21 15 29 15 12 3 20 23 12 22 42 15 13 14 19 12 13 10 12 49 6 5 17 "
    "11 21 5 19 33 ",
    sep=" ",
)
EH = np.fromstring(
    "1.64 2.26 3.14 2.68 1.28 2.31 1.8 1.68 1.56 2.31 2.01 1.89 3.15 1.23 1.27 1.76 2 2.64 0.88 1.27 1.37 0.97 "
    "1.14 0.88 0.91 0.58 0.97 1.5 1.33 2.37 1.82 3.13 1.31 1.92 1.64 2.01 1.88 1.93 2.11 1.29 1.72 0.75 1.92 "
    "1.84 1.11 1.61 1.18 1.44 1.18 0.93 1.17 1.19 1.06 2.02 2.29 2.33 2.9 1.7 1.41 2.25 1.54 1.97 1.75 2.16 "
    "2.57 1.37 3.61 2.04 2.17 1.69 0.27 1.84 1.3 0.96 1.01 0.98 0.35 1.02 0.85 ",
    sep=" ",
)
NV, HG = np.zeros(79), np.zeros(79)
NV[[21, 22, 23, 24, 25, 47, 48, 49, 50, 70, 74, 75, 77]] = 1
HG[np.r_[17:27, 43:53, 69:79]] = 1
JEFFREYS = MLE(penalty="jeffreys")


def test_equals_the_published_fit_of_separated_data(threads):
    # As the vignette of R's brglm2 has it; without a penalty the estimate for NV is not finite.
    X, y, _ = in_blocks(np.column_stack([NV, PI, EH]), HG, 3)
    glm = GLMClassifier(method=JEFFREYS).fit(X, y.astype(int))
    table = glm.coef_table()
    np.testing.assert_allclose(table["coef"], [3.77456, 2.92927, -0.03475, -2.60416], atol=6e-6)
    np.testing.assert_allclose(table["std_err"], [1.48869, 1.55076, 0.03958, 0.77602], atol=6e-6)
    np.testing.assert_allclose(table["p_value"], [0.011229, 0.058902, 0.379915, 0.000791], atol=1.1e-6)
    assert (glm.n_passes_, glm.estimate_.warnings) == (2, ())
    assert "at the penalized MLE" in str(glm.summary())


INFORMATION = {
    ("binomial", "logit"): lambda eta: expit(eta) * expit(-eta),
    ("binomial", "probit"): lambda eta: norm.pdf(eta) ** 2 / (norm.cdf(eta) * norm.sf(eta)),
    ("poisson", "log"): np.exp,
}
LOGLIK = {
    ("binomial", "logit"): lambda y, eta: y * eta - np.logaddexp(0, eta),
    ("binomial", "probit"): lambda y, eta: y * norm.logcdf(eta) + (1 - y) * norm.logcdf(-eta),
    ("poisson", "log"): lambda y, eta: y * eta - np.exp(eta),
}


@pytest.mark.parametrize(("family", "link"), INFORMATION)
@pytest.mark.parametrize("start", ["pilot", None])
def test_maximizes_the_penalized_log_likelihood(threads, family, link, start):
    rng = np.random.default_rng(5)
    x, offset, weights = rng.standard_normal((160, 4)), rng.uniform(-0.5, 0.5, 160), rng.uniform(0.5, 2.0, 160)
    eta = 0.3 + x @ [0.8, -0.5, 0.0, 0.3]
    y = rng.poisson(np.exp(eta)).astype(float) if family == "poisson" else (rng.random(160) < expit(eta)).astype(float)
    design = np.column_stack([np.ones(160), x])

    def objective(coef):
        eta = design @ coef + offset
        information = design.T @ ((weights * INFORMATION[family, link](eta))[:, None] * design)
        return -(weights @ LOGLIK[family, link](y, eta) + np.linalg.slogdet(information)[1] / 2)

    best = optimize.minimize(objective, np.zeros(5), method="BFGS", options={"gtol": 1e-8})
    X, Y, parts = in_blocks(x, y, 4, offset=offset, sample_weight=weights)
    method = MLE(start, penalty="jeffreys", max_iter=60)
    glm = GLMRegressor(family, link, method=method).fit(X, Y, **parts)
    np.testing.assert_allclose(glm.record_.coef, best.x, atol=2e-6)
    eta = design @ glm.record_.coef + offset
    information = design.T @ ((weights * INFORMATION[family, link](eta))[:, None] * design)
    np.testing.assert_allclose(glm.covariance_, np.linalg.inv(information), rtol=1e-6)
    constants = glm.estimate_.loglik - weights @ LOGLIK[family, link](y, eta)
    assert glm.estimate_.penalized_loglik - constants == pytest.approx(-best.fun, abs=1e-8)
    assert glm.decrement_ < 1e-14


def test_a_larger_table_takes_few_passes(tmp_path, threads):
    loads = Loads(tmp_path, rows=(2500, 2500, 2500))
    table, whole = loads.array(), loads.table()
    glm = GLMClassifier(method=JEFFREYS).fit(table[:, 1:], table[:, 0])
    assert loads.per_block() == [glm.n_passes_] * 3
    assert glm.n_passes_ <= 7
    design = np.column_stack([np.ones(7500), whole[:, 1:]])

    def score(coef):
        mean = expit(design @ coef)
        weight = mean * (1 - mean)
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
        return design.T @ (whole[:, 0] - mean + leverage * (0.5 - mean))

    np.testing.assert_allclose(glm.record_.coef, optimize.root(score, np.zeros(4), tol=1e-12).x, atol=1e-9)
    plain = GLMClassifier(method="mle").fit(table[:, 1:], table[:, 0])
    difference = np.abs(glm.record_.coef - plain.record_.coef) / np.sqrt(np.diag(plain.covariance_))
    assert 0 < difference.max() < 0.05


def test_qr_and_aliased_columns(threads, quiet):
    x = np.column_stack([NV, PI + 1e6, EH, NV - 2 * EH])
    glm = GLMClassifier(method=JEFFREYS, solver="qr").fit(x, HG.astype(int))
    np.testing.assert_allclose(glm.coef_[0, :3], [2.92927, -0.03475, -2.60416], atol=6e-6)
    assert np.isnan(glm.coef_[0, 3])


def test_a_factor_of_many_levels(threads):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=3000), "g": rng.integers(0, 300, 3000).astype(str)})
    frame["y"] = (rng.random(3000) < expit(frame["a"] / 2)).astype(int)
    glm = GLMClassifier(method=JEFFREYS, formula="y ~ a + C(g)").fit(frame)
    assert np.isfinite(glm.coef_table().to_numpy()).all()
    assert glm.decrement_ < 1e-12
    # Without the penalty levels of one class only have no estimate.
    assert (frame.groupby("g")["y"].mean().isin([0, 1])).any()


@pytest.mark.slow
def test_bias_and_coverage_where_columns_are_many():
    # 30 columns for 200 rows: the MLE is biased away from zero, and its intervals miss.
    rng = np.random.default_rng(0)
    truth = np.r_[np.repeat([0.8, -0.8], 5), np.zeros(20)]
    held, estimates = {"jeffreys": [], None: []}, {"jeffreys": [], None: []}
    for _ in range(25):
        x = rng.standard_normal((200, 30))
        y = (rng.random(200) < expit(x @ truth)).astype(int)
        for penalty in held:
            table = GLMClassifier(method=MLE(penalty=penalty)).fit(x, y).coef_table().drop("intercept")
            estimates[penalty].append(table["coef"].to_numpy())
            held[penalty].append(((table.ci_lower <= truth) & (truth <= table.ci_upper)).to_numpy())
    active = truth != 0
    excess = {key: np.mean(np.array(found)[:, active] / truth[active]) - 1 for key, found in estimates.items()}
    coverage = {key: np.mean(np.array(found)[:, active]) for key, found in held.items()}
    assert excess[None] > 0.2 > 0.08 > abs(excess["jeffreys"])
    assert coverage["jeffreys"] > 0.9 > coverage[None]


def test_robust_covariances_keep_the_decrement(threads):
    x, y = np.column_stack([PI, EH]), HG.astype(int)
    glm = GLMClassifier(method=JEFFREYS).fit(x, y)
    robust = GLMClassifier(method=JEFFREYS, cov_type="HC1").fit(x, y)
    later = glm.with_covariance("HC1", x, y)
    np.testing.assert_allclose(later.covariance_, robust.covariance_, rtol=1e-9)
    assert later.decrement_ == glm.decrement_ < 1e-12


def test_what_has_no_penalized_fit_says_why(threads):
    x = np.column_stack([PI, EH])
    with pytest.raises(ValueError, match="without a dispersion"):
        GLMRegressor("gaussian", method=JEFFREYS).fit(x, HG)
    with pytest.raises(ValueError, match="one linear predictor"):
        GLMClassifier(method=JEFFREYS).fit(x, np.arange(79) % 3)
    with pytest.raises(ValueError, match="'jeffreys'"):
        GLMClassifier(method=MLE(penalty="l2")).fit(x, HG.astype(int))
    glm = GLMClassifier(method=JEFFREYS).fit(x, HG.astype(int))
    for test in (glm.likelihood_ratio_test, glm.score_test):
        with pytest.raises(ValueError, match="use wald_test"):
            test(x, HG.astype(int), null="x0")
    assert np.isfinite(glm.wald_test("x0").p_value)


@pytest.mark.parametrize("start", ["pilot", None])
@pytest.mark.parametrize("n", [200, 1000, 20_000])
def test_of_a_table_of_four_cells_half_a_row_is_added_to_each(threads, n, start):
    """Firth (1993): the estimate of a saturated model, here with an empty cell, is that of counts + ½."""
    ones, fifth = n // 3, n // 5
    x, y = np.repeat([0.0, 1.0], [n - fifth, fifth])[:, np.newaxis], np.zeros(n, dtype=int)
    y[:ones] = 1
    glm = GLMClassifier(method=MLE(penalty="jeffreys", start=start)).fit(x, y)
    intercept = np.log((ones + 0.5) / (n - fifth - ones + 0.5))
    assert glm.intercept_[0] == pytest.approx(intercept, abs=1e-9)
    assert glm.coef_[0, 0] == pytest.approx(np.log(0.5 / (fifth + 0.5)) - intercept, abs=1e-8)
    assert glm.estimate_.converged
