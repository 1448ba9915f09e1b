"""Every family with every link, with and without weights, offset and intercept, against statsmodels' GLM."""

import warnings

import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from oracle import COVERING, FAMILIES, PAIRS, blocks, simulate, sm_family, sm_fit, weights_for

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.families import resolve_family
from dask_onestep.kernels.pilots.sample import PilotSize


def agree(glm, reference, intercept):
    coef = np.r_[glm.intercept_, glm.coef_] if intercept else glm.coef_
    np.testing.assert_allclose(coef, reference.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), reference.bse, rtol=1e-6)


@pytest.mark.parametrize(("family", "link", "kind", "offset", "intercept"), COVERING)
def test_mle_is_that_of_statsmodels(family, link, kind, offset, intercept):
    x, y, shift = simulate(family, link, offset=offset, intercept=intercept)
    weights = weights_for(kind, len(y))
    glm = GLMRegressor(FAMILIES[family], link, method=MLE(), fit_intercept=intercept, weight_type=kind or "variance")
    lazy_x, lazy_y, lazy_w, lazy_o = blocks(x, y, weights, shift)
    glm.fit(lazy_x, lazy_y, sample_weight=lazy_w, offset=lazy_o)
    start = np.r_[glm.intercept_, glm.coef_] if intercept else glm.coef_
    reference = sm_fit(x, y, family, link, offset=shift, weights=weights, kind=kind, intercept=intercept, start=start)
    agree(glm, reference, intercept)
    assert glm.estimate_.df_resid == reference.df_resid
    if glm.record_.model.family.has_dispersion:
        np.testing.assert_allclose(glm.dispersion_, reference.scale, rtol=1e-7)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_statsmodels_families_and_links_are_accepted(family, link):
    x, y, _ = simulate(family, link)
    ours = GLMRegressor(FAMILIES[family], link, method=MLE()).fit(x, y)
    theirs = GLMRegressor(sm_family(family, link), method=MLE()).fit(x, y)
    assert np.array_equal(ours.coef_, theirs.coef_)
    assert ours.record_.model == theirs.record_.model


def test_a_statsmodels_link_without_counterpart_is_wrapped():
    x, y, _ = simulate("binomial", "logit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        family = sm.families.Binomial(link=sm.families.links.Cauchy())
    glm = GLMRegressor(family, method=MLE()).fit(x, y)
    reference = sm.GLM(y, sm.add_constant(x), family).fit(tol=1e-15, maxiter=200)
    agree(glm, reference, True)


def test_a_users_own_link():
    class Log:
        def link(self, mean):
            return np.log(mean)

        def inverse(self, eta):
            return np.exp(eta)

        def inverse_derivative(self, eta):
            return np.exp(eta)

    x, y, _ = simulate("gamma", "log")
    own = GLMRegressor("gamma", Log(), method=MLE()).fit(x, y)
    agree(own, sm_fit(x, y, "gamma", "log"), True)


def test_families_without_counterpart_raise():
    class Odd(sm.families.Poisson):
        pass

    Odd.__module__ = sm.families.Poisson.__module__
    with pytest.raises(ValueError, match="is not supported"):
        resolve_family(Odd())
    with pytest.raises(TypeError, match="neither a name nor an object"):
        resolve_family(3)


# --- robust covariances -----------------------------------------------------------------------

CANONICAL = [
    ("gaussian", "identity"),
    ("binomial", "logit"),
    ("poisson", "log"),
    ("gamma", "inverse"),
    ("inverse-gaussian", "inverse-squared"),
]


def robust(x, y, family, link, cov_type, groups=None, **data):
    glm = GLMRegressor(family, link, method=MLE(), cov_type=cov_type, weight_type=data.pop("kind", "variance"))
    parts = blocks(x, y, data.get("sample_weight"), data.get("offset"), groups)
    return glm.fit(parts[0], parts[1], sample_weight=parts[2], offset=parts[3], groups=parts[4])


@pytest.mark.parametrize("kind", [None, "variance"])
@pytest.mark.parametrize("offset", [False, True], ids=["plain", "offset"])
@pytest.mark.parametrize(("family", "link"), CANONICAL)
def test_hc0_and_cluster_are_those_of_statsmodels(family, link, offset, kind):
    x, y, shift = simulate(family, link, offset=offset)
    weights = weights_for(kind, len(y))
    groups = np.array(list("abcdefghijklm"))[np.random.default_rng(3).integers(0, 13, len(y))]
    data = {"sample_weight": weights, "offset": shift}
    named = {"offset": shift, "weights": weights, "kind": kind}
    hc0 = sm_fit(x, y, family, link, cov_type="HC0", **named)
    codes = np.unique(groups, return_inverse=True)[1]
    clustered = sm_fit(x, y, family, link, cov_type="cluster", cov_kwds={"groups": codes}, **named)
    ours = robust(x, y, family, link, "HC0", **data)
    np.testing.assert_allclose(ours.covariance_, hc0.cov_params(), rtol=2e-6, atol=1e-12)
    n, d = len(y), 4
    hc1 = robust(x, y, family, link, "HC1", **data)
    np.testing.assert_allclose(hc1.covariance_, hc0.cov_params() * n / (n - d), rtol=2e-6, atol=1e-12)
    by_group = robust(x, y, family, link, "cluster", groups=groups, **data)
    np.testing.assert_allclose(by_group.covariance_, clustered.cov_params(), rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "cluster"])
def test_frequency_weights_stand_for_rows(cov_type):
    x, y, _ = simulate("poisson", "log")
    weights = weights_for("frequency", len(y))
    groups = np.arange(len(y)) % 17 if cov_type == "cluster" else None
    times = weights.astype(int)
    repeated = None if groups is None else np.repeat(groups, times)
    short = robust(x, y, "poisson", "log", cov_type, groups, sample_weight=weights, kind="frequency")
    long = robust(np.repeat(x, times, axis=0), np.repeat(y, times), "poisson", "log", cov_type, repeated)
    np.testing.assert_allclose(short.covariance_, long.covariance_, rtol=1e-9)
    assert short.estimate_.df_resid == long.estimate_.df_resid
    variance = robust(x, y, "poisson", "log", cov_type, groups, sample_weight=weights)
    assert variance.estimate_.df_resid < short.estimate_.df_resid
    if cov_type in ("HC0", "HC1"):
        assert not np.allclose(variance.covariance_, short.covariance_, rtol=1e-3)


def test_the_robust_covariance_of_one_step_takes_a_third_pass():
    x, y, _ = simulate("poisson", "log", n=4000)
    local = x, y
    x, y = blocks(x, y, rows=1000)
    plain = GLMRegressor("poisson", method=OneStep(pilot_size=1000)).fit(x, y)
    hc0 = GLMRegressor("poisson", method=OneStep(pilot_size=1000), cov_type="HC0").fit(x, y)
    assert (plain.n_passes_, hc0.n_passes_) == (2, 3)
    assert np.array_equal(plain.coef_, hc0.coef_)
    assert not np.allclose(plain.covariance_, hc0.covariance_)
    # At coefficients that are all but the MLE, so is the sandwich.
    np.testing.assert_allclose(hc0.covariance_, robust(*local, "poisson", "log", "HC0").covariance_, rtol=0.02)


def objects(*labels):
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out


LABELS = {
    "strings": np.array(["a", "bb", "ccc", "d", "e"]),
    "dates": np.array(["2024-01-01", "2024-01-02", "2024-02-01", "2024-03-01", "2025-01-01"], dtype="datetime64[ns]"),
    "tuples": objects(("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)),
    "of all kinds": objects(("a", 1), "1", 1, (2, "c", 3), frozenset([1])),
}


@pytest.mark.parametrize("rows", [None, 130], ids=["one block", "spanning blocks"])
@pytest.mark.parametrize("kind", LABELS)
def test_groups_are_any_hashable_labels(kind, rows):
    x, y, _ = simulate("poisson", "log")
    codes = np.random.default_rng(3).integers(0, 5, len(y))
    parts = (x, y, LABELS[kind][codes])
    if rows:
        parts = (*blocks(x, y, rows=rows), da.from_array(parts[2], chunks=rows))
    glm = GLMRegressor("poisson", method=MLE(), cov_type="cluster").fit(*parts[:2], groups=parts[2])
    reference = sm_fit(x, y, "poisson", "log", cov_type="cluster", cov_kwds={"groups": codes})
    np.testing.assert_allclose(glm.covariance_, reference.cov_params(), rtol=2e-6, atol=1e-12)


def test_blocks_whose_labels_are_of_different_dtypes_keep_them_apart():
    x, y, _ = simulate("poisson", "log")
    codes = np.random.default_rng(3).integers(0, 5, len(y))
    half = len(y) // 2
    numbers, words = codes[:half], codes[half:].astype(str)
    groups = da.concatenate([da.from_array(part.astype(object), chunks=half) for part in (numbers, words)])
    glm = GLMRegressor("poisson", method=MLE(), cov_type="cluster")
    glm.fit(*(da.from_array(part, chunks=(half, *part.shape[1:])) for part in (x, y)), groups=groups)
    apart = np.r_[codes[:half], 5 + codes[half:]]
    reference = sm_fit(x, y, "poisson", "log", cov_type="cluster", cov_kwds={"groups": apart})
    np.testing.assert_allclose(glm.covariance_, reference.cov_params(), rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("labels", [np.arange(5.0), np.array(list("abcde"), dtype=object)], ids=["numbers", "strings"])
def test_a_row_without_group_is_not_left_out_in_silence(labels):
    x, y, _ = simulate("poisson", "log")
    groups = labels[np.arange(len(y)) % 5]
    groups[7] = None
    with pytest.raises(ValueError, match=r"Input groups contains NaN.* \(1 row\).*missing='drop'"):
        GLMRegressor("poisson", method=MLE(), cov_type="cluster").fit(x, y, groups=groups)
    glm = GLMRegressor("poisson", method=MLE(), cov_type="cluster", missing="drop").fit(x, y, groups=groups)
    there = np.arange(len(y)) != 7
    expected = robust(x[there], y[there], "poisson", "log", "cluster", (np.arange(len(y)) % 5)[there])
    np.testing.assert_allclose(glm.covariance_, expected.covariance_, rtol=1e-9)


def test_one_cluster_is_refused():
    x, y, _ = simulate("poisson", "log")
    with pytest.raises(ValueError, match=r"at least two groups, .* or use cov_type='HC1'"):
        robust(x, y, "poisson", "log", "cluster", np.zeros(len(y)))


# --- the domain -------------------------------------------------------------------------------


def steep(n=4000, blocks_of=1000):
    """Counts whose identity mean is near zero at one end, in a few rows that a pilot may miss."""
    rng = np.random.default_rng(5)
    x = np.r_[rng.uniform(0.5, 1.0, n - 8), np.full(8, -0.19)][:, None]
    y = rng.poisson(2.0 + 10.0 * x[:, 0]).astype(float)
    y[-8:] = [0, 1, 0, 0, 0, 0, 0, 1]
    return x, y


@pytest.mark.parametrize("seed", range(8))
def test_mle_retreats_from_a_pilot_estimate_that_leaves_the_domain(seed, monkeypatch):
    monkeypatch.setattr(PilotSize, "rows", lambda self, n: min(n, 60))
    x, y = steep()
    lazy = blocks(x, y, rows=1000)
    glm = GLMRegressor("poisson", "identity", method=MLE(random_state=seed)).fit(*lazy)
    reference = sm_fit(x, y, "poisson", "identity", start=np.r_[glm.intercept_, glm.coef_])
    agree(glm, reference, True)


def test_one_step_never_returns_nan_from_outside_the_domain():
    x, y = steep()
    guarded = []
    for seed in range(8):
        method = OneStep(pilot_size=60, steps=1, random_state=seed)
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                glm = GLMRegressor("poisson", "identity", method=method).fit(*blocks(x, y, rows=1000))
        except ValueError as error:
            guarded.append(str(error))
        else:
            guarded += [str(each.message) for each in heard if "from the null model" in str(each.message)]
            assert np.isfinite(glm.coef_).all()
            assert np.isfinite(glm.covariance_).all()
            # A single step may predict negative means of rows that the pilot lacks; its bound then shows a distance.
            assert (glm.predict(x) > 0).all() or glm.estimate_.distance_bound > 0.1
        further = GLMRegressor("poisson", "identity", method=OneStep(pilot_size=60, random_state=seed))
        assert (further.fit(*blocks(x, y, rows=1000)).predict(x) > 0).all()
    assert guarded


def test_mle_from_the_familys_means_has_no_pilot():
    x, y, _ = simulate("gamma", "inverse")
    ours = GLMRegressor("gamma", method=MLE(start=None)).fit(*blocks(x, y))
    agree(ours, sm_fit(x, y, "gamma", "inverse"), True)
