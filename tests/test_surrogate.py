"""The surrogate likelihood against a plain optimization of the same objective by scipy."""

from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize
from scipy.special import expit

from dask_onestep import MLE, GLMClassifier, GLMRegressor, Surrogate
from dask_onestep.datasets import make_glm
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.keys import row_keys

N, CHUNKS = 4000, (600, 1400, 2000)
MEAN = {"gaussian": lambda eta: eta, "binomial": expit, "poisson": np.exp}
CUMULANT = {"gaussian": lambda eta: eta**2 / 2, "binomial": lambda eta: np.logaddexp(0, eta), "poisson": np.exp}
LAWS = {"gaussian": sm.families.Gaussian(), "binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}


def draw(family, seed=0, n=N, sort=False):
    X, y, _ = make_glm(n, 3, family=family, random_state=seed, sort=sort)
    return dask.compute(X, y, scheduler="synchronous")


def in_blocks(x, y, chunks=CHUNKS):
    return da.from_array(x, chunks=(chunks, -1)), da.from_array(y, chunks=(chunks,))


def plain(x, y, family, anchor, rounds=1):
    """Jordan, Lee and Yang's estimator by BFGS and a Newton polish, with canonical links and no package code."""
    design, n = sm.add_constant(x), len(anchor)
    own, target = design[anchor], y[anchor]
    mean, cumulant = MEAN[family], CUMULANT[family]
    beta = sm.GLM(target, own, family=LAWS[family]).fit(tol=1e-14).params
    first = beta
    for _ in range(rounds):
        tilt = own.T @ (target - mean(own @ beta)) / n - design.T @ (y - mean(design @ beta)) / len(y)

        def objective(b, tilt=tilt):
            eta = own @ b
            return -(target @ eta - cumulant(eta).sum()) / n + tilt @ b

        def gradient(b, tilt=tilt):
            return -own.T @ (target - mean(own @ b)) / n + tilt

        found = optimize.minimize(objective, beta, jac=gradient, method="BFGS", options={"gtol": 1e-9})
        beta = optimize.root(gradient, found.x, tol=1e-13).x
    return first, beta


def information(x, beta, family):
    eta = x @ beta
    weight = {"gaussian": np.ones_like(eta), "binomial": expit(eta) * expit(-eta), "poisson": np.exp(eta)}[family]
    return x.T @ (weight[:, None] * x)


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("family", MEAN)
def test_it_maximizes_the_surrogate_of_the_first_block(family, rounds):
    x, y = draw(family)
    glm = GLMRegressor(family, method=Surrogate(rounds=rounds)).fit(*in_blocks(x, y))
    first, beta = plain(x, y, family, np.arange(600), rounds)
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], beta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(glm.estimate_.anchor_coef, first, rtol=1e-7)
    assert (glm.n_iter_, glm.n_passes_, glm.estimate_.anchor_size) == (rounds, rounds, 600)


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("family", MEAN)
def test_it_maximizes_the_surrogate_of_the_pilot(family, rounds):
    x, y = draw(family)
    method = Surrogate("pilot", pilot_size=700, rounds=rounds, random_state=5)
    glm = GLMRegressor(family, method=method).fit(*in_blocks(x, y))
    keys = row_keys(5, Rows(x, y))
    _, beta = plain(x, y, family, np.sort(np.argsort(keys)[:700]), rounds)
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], beta, rtol=1e-7, atol=1e-9)
    assert (glm.n_passes_, glm.estimate_.anchor_size, glm.estimate_.random_state) == (rounds + 1, 700, 5)


@pytest.mark.parametrize("family", MEAN)
def test_its_covariance_is_the_anchors(family):
    x, y = draw(family)
    glm = GLMRegressor(family, method=Surrogate()).fit(*in_blocks(x, y))
    design, beta = sm.add_constant(x)[:600], np.r_[glm.intercept_, glm.coef_]
    phi = np.square(y[:600] - design @ beta).sum() / (600 - 4) if family == "gaussian" else 1.0
    assert glm.dispersion_ == pytest.approx(phi, rel=1e-9)
    expected = 600 / N * phi * np.linalg.inv(information(design, beta, family))
    np.testing.assert_allclose(glm.covariance_, expected, rtol=1e-8)
    assert glm.n_samples_ == N
    assert glm.estimate_.df_resid == N - 4


@pytest.mark.parametrize("anchor", ["block", "pilot"])
@pytest.mark.parametrize("family", MEAN)
def test_one_information_pass_gives_the_covariance_of_all_rows(family, anchor):
    x, y = draw(family)
    cheap, whole = (
        GLMRegressor(family, method=Surrogate(anchor, pilot_size=700, information=rows)).fit(*in_blocks(x, y))
        for rows in ("anchor", "all")
    )
    np.testing.assert_array_equal(whole.coef_, cheap.coef_)
    assert whole.n_passes_ == cheap.n_passes_ + 1
    design, beta = sm.add_constant(x), np.r_[whole.intercept_, whole.coef_]
    phi = np.square(y - design @ beta).sum() / (N - 4) if family == "gaussian" else 1.0
    at = information(design, beta, family)
    np.testing.assert_allclose(whole.covariance_, phi * np.linalg.inv(at), rtol=1e-8)
    assert whole.dispersion_ == pytest.approx(phi, rel=1e-10)
    score = design.T @ (y - MEAN[family](design @ beta))
    assert whole.decrement_ == pytest.approx(score @ np.linalg.solve(at, score), rel=1e-6)
    exact = sm.GLM(y, design, family=LAWS[family]).fit()
    gap = beta - exact.params
    assert whole.decrement_ / phi == pytest.approx(gap @ np.linalg.solve(exact.cov_params(), gap), rel=0.1)
    np.testing.assert_allclose(np.sqrt(np.diag(whole.covariance_)), exact.bse, rtol=0.02)
    if family != "gaussian":  # whose likelihood is taken at another σ²
        expected = LAWS[family].loglike(y, MEAN[family](design @ beta))
        assert whole.estimate_.loglik == pytest.approx(expected, rel=1e-10)


def test_weights_scale_the_anchor_as_repeated_rows_do():
    x, y = draw("poisson")
    weight = np.random.default_rng(1).integers(1, 4, N)
    weighted = GLMRegressor("poisson", method=Surrogate(), weight_type="frequency").fit(
        *in_blocks(x, y), sample_weight=da.from_array(weight.astype(float), chunks=(CHUNKS,))
    )
    starts = np.r_[0, np.cumsum(CHUNKS)]
    chunks = tuple(int(weight[a:b].sum()) for a, b in pairwise(starts))
    repeated = GLMRegressor("poisson", method=Surrogate()).fit(
        *in_blocks(np.repeat(x, weight, axis=0), np.repeat(y, weight), chunks)
    )
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariance_, repeated.covariance_, rtol=1e-9)


def test_rounds_lead_to_the_mle():
    x, y = draw("binomial")
    mle = GLMRegressor("binomial", method=MLE()).fit(*in_blocks(x, y))
    gaps = [
        np.abs(GLMRegressor("binomial", method=Surrogate(rounds=r)).fit(*in_blocks(x, y)).coef_ - mle.coef_).max()
        for r in (1, 2, 6)
    ]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]


@pytest.mark.filterwarnings("ignore:The estimate differs from that of its 1,000 anchor rows")
def test_a_pilot_mends_blocks_that_are_not_random():
    """Distance to the MLE in information units: the first block, at one end of x0, misleads; the pilot does not."""
    losses = {"block": [], "pilot": []}
    for seed in range(5):
        x, y = draw("poisson", seed=seed, n=8000)
        order = np.argsort(x[:, 0] * 4 + x[:, 1])
        X, Y = in_blocks(x[order] * 2, y[order], (1000,) * 8)
        mle = GLMRegressor("poisson", method=MLE()).fit(X, Y)
        metric = np.linalg.inv(mle.covariance_)
        for anchor, found in losses.items():
            glm = GLMRegressor("poisson", method=Surrogate(anchor, pilot_size=1000)).fit(X, Y)
            gap = np.r_[glm.intercept_ - mle.intercept_, glm.coef_ - mle.coef_]
            found.append(gap @ metric @ gap / 4)
    assert max(losses["pilot"]) < 0.1
    assert np.median(losses["block"]) > 10 * max(losses["pilot"])


def test_labels_and_passes():
    x, y = draw("binomial")
    names = np.where(y > 0, "late", "early")
    reads = []

    def load(block, block_info=None):
        reads.append(block_info[0]["chunk-location"][0])
        return block

    X, Y = in_blocks(x, names)
    X = X.map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="synchronous"):
        glm = GLMClassifier(method=Surrogate(rounds=2)).fit(X, Y)
    assert sorted(reads) == [0, 0, 0, 1, 1, 2, 2]  # two passes, and the first block by itself
    assert glm.n_passes_ == 2
    assert glm.classes_.tolist() == ["early", "late"]
    reads.clear()
    with dask.config.set(scheduler="synchronous"):
        pilot = GLMClassifier(method=Surrogate("pilot", pilot_size=500)).fit(X, Y)
    assert sorted(reads) == [0, 0, 1, 1, 2, 2]
    assert pilot.n_passes_ == 2
    reads.clear()
    with dask.config.set(scheduler="synchronous"):
        whole = GLMClassifier(method=Surrogate("pilot", pilot_size=500, information="all")).fit(X, Y)
    assert sorted(reads) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert whole.n_passes_ == 3
    numeric = GLMRegressor("binomial", method=Surrogate(rounds=2)).fit(*in_blocks(x, y))
    np.testing.assert_allclose(glm.coef_[0], numeric.coef_, rtol=1e-12)


@pytest.mark.parametrize("anchor", ["block", "pilot"])
@pytest.mark.parametrize("rows", ["anchor", "all"])
def test_lazy_fits_are_the_same(anchor, rows):
    x, y = draw("binomial")
    glm = GLMClassifier(method=Surrogate(anchor, rounds=2, information=rows, pilot_size=500))
    lazy = glm.fit_delayed(*in_blocks(x, y)).compute()
    np.testing.assert_array_equal(lazy.covariance_, glm.fit(*in_blocks(x, y)).covariance_)


def test_a_first_block_without_a_fit_is_named():
    x, y = draw("binomial")
    y[:600] = 0.0
    with pytest.raises(ValueError, match=r"only one class for a local fit.*In block 0\."):
        GLMClassifier(method=Surrogate()).fit(*in_blocks(x, y))
    x[:600, 1] = 2.0
    y[:600] = np.arange(600) % 2
    with pytest.raises(ValueError, match=r"are aliased in the anchor block: x1. In block 0. .*anchor='pilot'"):
        GLMClassifier(method=Surrogate()).fit(*in_blocks(x, y))


def test_the_anchor_is_the_first_block_that_has_rows():
    x, y = draw("binomial")
    reference = GLMClassifier(method=Surrogate()).fit(*in_blocks(x, y))
    X, Y = in_blocks(x, y)
    sizes = (0, 0, *X.chunks[0])
    glm = GLMClassifier(method=Surrogate()).fit(X.rechunk((sizes, -1)), Y.rechunk((sizes,)))
    np.testing.assert_allclose(glm.coef_, reference.coef_, rtol=1e-12)
    y[: X.chunks[0][0]] = 0.0
    with pytest.raises(ValueError, match=r"only one class for a local fit.*In block 2\."):
        GLMClassifier(method=Surrogate()).fit(X.rechunk((sizes, -1)), da.from_array(y, chunks=(sizes,)))
    frame = dd.from_pandas(pd.DataFrame({"row": np.arange(len(y)), "x": x[:, 0], "y": y}), npartitions=3, sort=False)
    with pytest.raises(ValueError, match=r"no rows for a local fit.*In block 0\. Drop empty blocks, or use anchor"):
        GLMClassifier(method=Surrogate()).fit(frame[frame["row"] > len(y) / 2], "y")


def test_a_surrogate_without_a_maximum_says_so():
    # The anchor's means are small; the score of the rest, many times larger, cannot be matched by its likelihood.
    rng = np.random.default_rng(0)
    x = np.r_[rng.uniform(-0.1, 0.1, (200, 1)), rng.uniform(3, 4, (2000, 1))]
    y = (rng.random(2200) < expit(np.where(np.arange(2200) < 200, -2 + 20 * x[:, 0], 3.0))).astype(float)
    y[200:] = 0.0
    with pytest.raises(ValueError, match=r"surrogate log-likelihood of round 1 has no maximum.*anchor='pilot'"):
        GLMClassifier(method=Surrogate()).fit(*in_blocks(x, y, (200, 2000)))


def test_a_separated_pilot_warns():
    x, y = draw("binomial")
    with pytest.warns(
        UserWarning, match=r"pilot sample of 8 rows .separation, or constant response.*a larger pilot_size"
    ):
        GLMClassifier(method=Surrogate("pilot", pilot_size=8, random_state=4)).fit(*in_blocks(x, y))


def test_a_block_unlike_the_whole_warns():
    """The first block follows another intercept: no fault of the method's, but not to be passed over.

    Of n in N rows, the squared distance has the expectation d(N/n − 1), here of 4 coefficients.
    """
    x, y = draw("gaussian")
    y[:600] += 3.0
    with pytest.warns(UserWarning, match=r"its 600 anchor rows by more than sampling error .* expected 22\.7\)"):
        GLMRegressor(method=Surrogate()).fit(*in_blocks(x, y))


@pytest.mark.parametrize("anchor", ["block", "pilot"])
def test_every_scheduler_gives_the_same_bits(scheduler, anchor):
    X, y = in_blocks(*draw("binomial"))
    method = Surrogate(anchor, rounds=2, pilot_size=500)
    found = GLMClassifier(method=method).fit(X, y).coef_
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(found, GLMClassifier(method=method).fit(X, y).coef_)


def test_frames_and_dropped_rows():
    x, y = draw("poisson")
    x[::50, 1] = np.nan
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y)
    frame = dd.from_pandas(table, npartitions=4)
    glm = GLMRegressor("poisson", method=Surrogate(), missing="drop").fit(frame, "y")
    keep = np.flatnonzero(np.isfinite(x[:, 1]))
    assert (glm.n_samples_, glm.n_missing_) == (len(keep), N - len(keep))
    _, beta = plain(x[keep], y[keep], "poisson", np.flatnonzero(keep < N / 4))
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], beta, rtol=1e-7)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_scores_are_those_of_the_moments(family):
    x, y = draw(family, n=300)
    model_of = GLMRegressor(family)._model(("a", "b", "c"))
    assert isinstance(model_of, Model)
    weight = np.linspace(0.5, 2, 300)
    rows = Rows(x, y, weights=weight, offset=weight / 10)
    beta = np.array([0.1, -0.2, 0.3, 0.4])
    np.testing.assert_allclose(scores(rows, model_of, beta).score, moments(rows, model_of, beta).score, rtol=1e-12)


@pytest.mark.parametrize("anchor", ["block", "pilot"])
def test_the_likelihood_ratio_is_of_both_surrogate_fits(anchor):
    x, y = draw("poisson")
    glm = GLMRegressor("poisson", method=Surrogate(anchor, pilot_size=700, random_state=5)).fit(*in_blocks(x, y))
    test = glm.likelihood_ratio_test(*in_blocks(x, y), null="x1")
    rows = np.arange(600) if anchor == "block" else np.sort(np.argsort(row_keys(5, Rows(x, y)))[:700])
    design = sm.add_constant(x)
    (_, full), (_, null) = plain(x, y, "poisson", rows), plain(x[:, [0, 2]], y, "poisson", rows)
    eta, held = design @ full, design[:, [0, 1, 3]] @ null
    expected = 2 * (y @ (eta - held) - np.exp(eta).sum() + np.exp(held).sum())
    assert test.statistic == pytest.approx(expected, rel=1e-6)


def test_options_are_checked():
    X, y = in_blocks(*draw("gaussian"))
    for method, text in (
        (Surrogate("worker"), "anchor='worker'"),
        (Surrogate(rounds=0), "rounds=0 must be"),
        (Surrogate(information="none"), "information='none'"),
    ):
        with pytest.raises(ValueError, match=text):
            GLMRegressor(method=method).fit(X, y)
    with pytest.raises(ValueError, match="cov_type='HC1' is not available"):
        GLMRegressor(method="surrogate", cov_type="HC1").fit(X, y)
