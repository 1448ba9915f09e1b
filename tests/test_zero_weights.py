"""Rows of weight zero are as if absent: every number is that of the same fit with those rows removed."""

from __future__ import annotations

from itertools import pairwise

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from support import Loads

from dask_onestep import (
    MLE,
    Average,
    AverageLasso,
    DebiasedLasso,
    GLMClassifier,
    GLMRegressor,
    OneStep,
    Pilot,
    Surrogate,
)

RNG = np.random.default_rng(23)
N = 1200
ABSENT = np.arange(N) % 3 == 0  # in every block


def table(family="gaussian"):
    """Return rows whose weight is zero where they must not be looked at: impossible y, missing values, a level."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"a": rng.standard_normal(N), "b": rng.standard_normal(N), "g": rng.choice(["u", "v"], N)})
    eta = 0.3 + 0.5 * frame["a"] - 0.4 * frame["b"] + (frame["g"] == "v")
    frame["y"] = {
        "gaussian": eta + rng.standard_normal(N),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "gamma": rng.gamma(3.0, np.exp(eta) / 3.0),
        "labels": np.where(rng.random(N) < 1 / (1 + np.exp(-eta)), "yes", "no"),
        "three": np.digitize(eta + rng.logistic(size=N), [-0.5, 1.0]),
    }[family]
    frame["w"] = np.where(ABSENT, 0.0, rng.uniform(0.5, 2.0, N))
    frame["cluster"] = rng.integers(0, 60, N)
    frame.loc[ABSENT, "cluster"] += 1000
    frame.loc[ABSENT, "g"] = "w"
    frame.loc[ABSENT & (np.arange(N) % 2 == 0), "a"] = np.nan
    frame.loc[ABSENT, "y"] = {"labels": "perhaps", "three": 7}.get(family, -np.inf)
    return frame


def numbers(glm):
    estimate = glm.estimate_
    return {
        "coef": estimate.coef,
        "covariance": estimate.covariance,
        "dispersion": estimate.dispersion,
        "df_resid": estimate.df_resid,
        "n": estimate.n_samples,
        "n_missing": estimate.n_missing,
        "loglik": estimate.loglik,
        "decrement": estimate.decrement,
    }


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], err_msg=name, **({"rtol": 1e-9, "atol": 1e-12} | tolerance))


def both(estimator, frame, kind, **roles):
    """Return the estimator fitted to all rows, and to those whose weight is not zero."""
    fits = []
    for rows in (frame, frame[frame["w"] > 0]):
        parts = dd.from_pandas(rows, npartitions=4, sort=False) if kind == "dask" else rows
        fits.append(estimator().fit(parts, sample_weight="w", **roles))
    return fits


@pytest.mark.parametrize("kind", ["dask", "pandas"])
@pytest.mark.parametrize(
    ("family", "method", "options"),
    [
        ("gaussian", MLE(), {}),
        ("gaussian", MLE(), {"cov_type": "HC1"}),
        ("gaussian", MLE(), {"cov_type": "cluster"}),
        ("gaussian", MLE(), {"weight_type": "frequency"}),
        ("gaussian", MLE(), {"missing": "drop"}),
        ("poisson", OneStep(), {}),
        ("gamma", OneStep(), {"link": "log"}),
        ("poisson", Pilot(1.0), {}),
    ],
)
def test_a_fit_is_that_of_the_other_rows(threads, family, method, options, kind):
    roles = {"groups": "cluster"} if options.get("cov_type") == "cluster" else {}
    frame = table(family).drop(columns=[] if roles else ["cluster"])
    formula = "y ~ a + b + g"
    ours, theirs = both(lambda: GLMRegressor(family, method=method, formula=formula, **options), frame, kind, **roles)
    assert ours.feature_names_in_.tolist() == theirs.feature_names_in_.tolist()
    assert_same(numbers(ours), numbers(theirs))


@pytest.mark.parametrize("family", ["labels", "three"])
def test_labels_and_levels_are_those_of_the_other_rows(threads, family):
    frame = table(family).drop(columns=["cluster"])
    ours, theirs = both(lambda: GLMClassifier(method="mle"), frame, "dask", y="y")
    assert ours.classes_.tolist() == theirs.classes_.tolist()
    assert ours.record_.names == theirs.record_.names
    assert_same(numbers(ours), numbers(theirs))


@pytest.mark.parametrize(
    "method",
    [
        Average(),
        Surrogate(anchor="pilot", pilot_size=400),
        DebiasedLasso(alpha=0.02),
        DebiasedLasso(),
        AverageLasso(alpha=0.02),
    ],
    ids=str,
)
def test_methods_of_blocks_do_not_see_them(threads, quiet, method):
    frame = table("gaussian").drop(columns=["cluster", "g"])
    # The same rows in the same blocks, whatever else these hold.
    bounds = [0, 300, 600, 900, 1200]
    fits = []
    for chosen in (frame, frame[frame["w"] > 0]):
        pieces = [chosen.loc[low : high - 1] for low, high in pairwise(bounds)]
        parts = dd.from_map(lambda piece: piece, pieces, meta=frame.iloc[:0])
        fits.append(GLMRegressor(method=method).fit(parts, y="y", sample_weight="w"))
    skipped = {"loglik", "decrement"}
    ours, theirs = ({k: v for k, v in numbers(fit).items() if k not in skipped} for fit in fits)
    if isinstance(method, Surrogate):  # keys go by a row's number in its block, which is another
        for name in ("coef", "covariance", "dispersion"):
            ours.pop(name), theirs.pop(name)
    assert_same(ours, theirs, rtol=1e-7, atol=1e-9)


def test_statistics_scores_tests_and_residuals_leave_them_out(threads):
    frame = table("gaussian").drop(columns=["cluster"])
    fit, _ = both(lambda: GLMRegressor(formula="y ~ a + b + g", method="mle"), frame, "dask")
    present = frame[frame["w"] > 0]
    found = []
    for rows in (frame, present):
        data = dd.from_pandas(rows, npartitions=3, sort=False)
        statistics = fit.fit_statistics(data, sample_weight="w")
        test = fit.likelihood_ratio_test(data, null={"a": 0.0}, sample_weight="w")
        score = fit.score_test(data, null={"b": 0.0}, sample_weight="w")
        found.append(
            {
                "aic": statistics.aic,
                "bic": statistics.bic,
                "df": statistics.df_resid,
                "nobs": statistics.nobs,
                "null": statistics.null_deviance,
                "lrt": [test.statistic, test.df, test.p_value],
                "score_test": [score.statistic, score.df, score.p_value],
                "score": fit.score(data, sample_weight="w"),
            }
        )
    assert_same(*found)
    design = sm.add_constant(present[["a", "b"]].assign(v=(present["g"] == "v").astype(float)))
    theirs = sm.GLM(present["y"], design, var_weights=present["w"]).fit()
    np.testing.assert_allclose(fit.dispersion_, theirs.scale, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance_)), theirs.bse, rtol=1e-9)
    data = dd.from_pandas(frame.assign(g=frame["g"].replace("w", "v")), npartitions=3, sort=False)
    residuals = fit.residuals(data, kind="response", sample_weight="w").compute()
    assert np.isnan(residuals[ABSENT]).all()
    np.testing.assert_allclose(residuals[~ABSENT], theirs.resid_response, rtol=1e-7, atol=1e-9)


def test_standard_error_of_half_of_the_rows(threads):
    """The reported case: R's lm of the rows with weight one has .0301."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 1))
    y = x[:, 0] + rng.standard_normal(2000)
    weight = np.tile([0.0, 1.0], 1000)
    ours = GLMRegressor().fit(x, y, sample_weight=weight)
    theirs = sm.OLS(y[1::2], sm.add_constant(x[1::2])).fit()
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance_)), theirs.bse, rtol=1e-10)
    assert ours.n_samples_ == 1000


@pytest.mark.parametrize("cov_type", ["HC0", "HC2", "HC3", "CRV3"])
def test_covariances_and_effects_leave_them_out(threads, cov_type):
    frame = table("poisson")
    roles = {"groups": "cluster"} if cov_type == "CRV3" else {}
    glm = GLMRegressor("poisson", formula="y ~ a + b + g", method="mle", cov_type=cov_type)
    present = frame[frame["w"] > 0]
    ours, theirs = (glm.fit(rows, sample_weight="w", **roles).covariance_ for rows in (frame, present))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    again = [glm.with_covariance(cov_type, rows, sample_weight="w", **roles) for rows in (frame, present)]
    np.testing.assert_allclose(again[0].covariance_, again[1].covariance_, rtol=1e-10)
    for effects in (glm.avg_predictions, glm.avg_slopes, glm.avg_comparisons):
        found = [effects(rows, sample_weight="w")[["estimate", "std_err"]] for rows in (frame, present)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


@pytest.mark.parametrize("options", [{}, {"missing": "drop"}], ids=str)
def test_a_lazy_fit_of_a_small_table_has_one_pass(loads, threads, options):
    """However many rows its blocks have, and however many of them are left out."""
    uneven = Loads(loads.directory, rows=(3, 150, 2, 5))
    rows = uneven.array()
    weights = (da.arange(160, chunks=rows.chunks[0]) % 2) * 1.0
    glm = GLMRegressor("binomial", **options)
    lazy = glm.fit_delayed(rows[:, 1:], rows[:, 0], sample_weight=weights).compute()
    assert (lazy.n_passes_, uneven.per_block()) == (1, [1, 1, 1, 1])
    direct = glm.fit(rows[:, 1:], rows[:, 0], sample_weight=weights)
    assert (direct.n_passes_, direct.n_samples_) == (1, 80)
    np.testing.assert_array_equal(lazy.covariance_, direct.covariance_)


def test_a_pilot_is_a_sample_of_the_other_rows(threads):
    """As many rows as of a table without the others, whatever the chunks."""
    x = RNG.standard_normal((20_000, 2))
    y = RNG.poisson(np.exp(0.5 * x[:, 0])).astype(float)
    weight = np.where(np.arange(20_000) % 4 == 0, 1.0, 0.0)

    drawn = []
    for rows in (1500, 7000):
        parts = [da.from_array(part, chunks=(rows, *part.shape[1:])) for part in (x, y, weight)]
        glm = GLMRegressor("poisson", method=OneStep(0.1)).fit(*parts[:2], sample_weight=parts[2])
        pilot = glm.record_.pilot
        assert (pilot.n, len(pilot.keys)) == (5000, 500)
        assert (pilot.weights == 1.0).all()
        drawn.append(np.sort(pilot.positions[:, 1]))
    np.testing.assert_array_equal(*drawn)
    assert (drawn[0] % 4 == 0).all()


def test_no_row_with_weight_is_an_error_that_names_weights(threads):
    frame = table().assign(w=0.0)
    for method in (OneStep(), MLE()):
        with pytest.raises(ValueError, match="sample_weight is zero on every row"):
            GLMRegressor(method=method).fit(frame[["a"]], frame["b"], sample_weight=frame["w"])
        with pytest.raises(ValueError, match="sample_weight is zero on every row"):
            GLMRegressor(method=method, formula="b ~ a + g").fit(frame, sample_weight="w")
