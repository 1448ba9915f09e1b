"""One-step estimation against the paper's formula, written out by hand."""

import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from dask.callbacks import Callback
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import chunked, raise_if_dask_computes

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.messages.text import with_pointer

ROWS = 4000
FAMILIES = {
    "gaussian": (sm.families.Gaussian(), lambda eta: (eta, np.ones_like(eta))),
    "binomial": (
        sm.families.Binomial(),
        lambda eta: (1 / (1 + np.exp(-eta)), np.exp(-eta) / (1 + np.exp(-eta)) ** 2),
    ),
    "poisson": (sm.families.Poisson(), lambda eta: (np.exp(eta), np.exp(eta))),
}


def table_of(family):
    x, y, _ = make_glm(ROWS, 3, family=family, chunks=500, sort=True, random_state=3)
    return x.compute(scheduler="synchronous"), y.compute(scheduler="synchronous")


TABLES = {family: table_of(family) for family in FAMILIES}


def by_hand(family, pilot_size, seed=0):
    """Return β̂_p, and β̂ = β̂_p + I(β̂_p)⁻¹ s(β̂_p), equation (2.4), in plain NumPy."""
    x, y = TABLES[family]
    law, moments = FAMILIES[family]
    design = np.c_[np.ones(ROWS), x]
    drawn = np.argsort(row_keys(seed, Rows(x, y)))[:pilot_size]
    pilot = sm.GLM(y[drawn], design[drawn], law).fit(tol=1e-15, maxiter=100).params
    mean, variance = moments(design @ pilot)
    score = design.T @ (y - mean)
    information = (design * variance[:, None]).T @ design
    return pilot, pilot + np.linalg.solve(information, score)


@st.composite
def chunkings(draw):
    cuts = draw(st.lists(st.integers(0, ROWS), max_size=8))
    return np.diff([0, *sorted(cuts), ROWS]).tolist()


@pytest.mark.parametrize("family", FAMILIES)
@given(sizes=chunkings())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_paper_s_step_for_any_chunking(synchronous, family, sizes):
    x, y = TABLES[family]
    method = OneStep(800, steps=1, correction=None, tol=1.0)
    glm = GLMRegressor(family, method=method).fit(chunked(x, sizes), chunked(y, sizes))
    pilot, expected = by_hand(family, 800)
    np.testing.assert_allclose(glm.estimate_.pilot_coef, pilot, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(glm.estimate_.coef, expected, rtol=1e-10, atol=1e-10)
    assert (glm.n_passes_, glm.n_iter_, glm.estimate_.pilot_size) == (2, 1, 800)


@pytest.mark.parametrize("family", FAMILIES)
@given(sizes=chunkings())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunking_is_one_chunk(synchronous, family, sizes):
    x, y = TABLES[family]
    glm, whole = (GLMRegressor(family, cov_type="HC1").fit(chunked(x, s), chunked(y, s)) for s in (sizes, [ROWS]))
    np.testing.assert_allclose(glm.estimate_.coef, whole.estimate_.coef, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(glm.covariance_, whole.covariance_, rtol=1e-8, atol=1e-13)
    assert glm.estimate_.pilot_decrement == pytest.approx(whole.estimate_.pilot_decrement, rel=1e-6)


def test_the_paper_s_step_on_every_scheduler(scheduler):
    x, y = TABLES["binomial"]
    sizes = (1500, 0, 7, 2493)
    glm = GLMClassifier(method=OneStep(800, correction=None)).fit(chunked(x, sizes), chunked(y, sizes))
    np.testing.assert_allclose(glm.estimate_.coef, by_hand("binomial", 800)[1], rtol=1e-10)


def test_a_pilot_of_all_rows_is_the_mle(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["poisson"])
    glm = GLMRegressor("poisson", method=OneStep(1.0)).fit(x, y)
    mle = GLMRegressor("poisson", method="mle").fit(x, y)
    np.testing.assert_allclose(glm.coef_, mle.coef_, rtol=1e-9)
    np.testing.assert_allclose(glm.covariance_, mle.covariance_, rtol=1e-7)
    pilot = GLMRegressor("poisson", method=Pilot(1.0)).fit(x, y)
    np.testing.assert_allclose(pilot.coef_, mle.coef_, rtol=1e-9)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_steps_lead_to_the_mle(threads, family):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES[family])
    mle = GLMRegressor(family, method="mle").fit(x, y).estimate_.coef
    errors = []
    for steps in (1, 2, 3):
        glm = GLMRegressor(family, method=OneStep(800, steps=steps, correction=None, tol=1.0)).fit(x, y)
        assert (glm.n_passes_, glm.n_iter_) == (1 + steps, steps)
        errors.append(np.abs(glm.estimate_.coef - mle).max())
    assert errors[2] < 1e-9
    assert errors[0] > 10 * errors[1]
    automatic = GLMRegressor(family, method=OneStep(800, steps="auto", tol=1e-10)).fit(x, y)
    np.testing.assert_allclose(automatic.estimate_.coef, mle, atol=1e-6)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_the_correction_comes_closer_to_the_mle(threads, quiet, family):
    # Over twenty pilots; a single one may be lucky without it.
    x, y = (chunked(part, (1000,) * 4) for part in TABLES[family])
    mle = GLMRegressor(family, method="mle").fit(x, y)
    lost = {"pilot": [], None: []}
    for correction, gaps in lost.items():
        for seed in range(20):
            method = OneStep(500, steps=1, correction=correction, random_state=seed)
            coef = GLMRegressor(family, method=method).fit(x, y).estimate_.coef
            gap = coef - mle.estimate_.coef
            gaps.append(gap @ np.linalg.solve(mle.covariance_, gap))
    assert np.median(lost["pilot"]) < np.median(lost[None])


def test_the_covariance_is_that_at_the_returned_coefficients(threads):
    # With a pilot of a quarter of the rows, what the pilot predicts of I(β̂) is close to I(β̂).
    x, y = TABLES["poisson"]
    glm = GLMRegressor("poisson", method=OneStep(1000)).fit(chunked(x, (2000,) * 2), chunked(y, (2000,) * 2))
    design = np.c_[np.ones(ROWS), x]
    exact = np.linalg.inv((design * np.exp(design @ glm.estimate_.coef)[:, None]).T @ design)
    stale = np.linalg.inv((design * np.exp(design @ glm.estimate_.pilot_coef)[:, None]).T @ design)
    errors = [np.abs(np.diag(c) / np.diag(exact) - 1).max() for c in (glm.covariance_, stale)]
    assert errors[0] < 0.02
    assert errors[0] < errors[1]


def test_the_gaussian_dispersion_is_exact(threads):
    x, y = TABLES["gaussian"]
    glm = GLMRegressor(method=OneStep(800, correction=None)).fit(chunked(x, (1000,) * 4), chunked(y, (1000,) * 4))
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    np.testing.assert_allclose(glm.dispersion_, fit.scale, rtol=1e-10)
    np.testing.assert_allclose(glm.estimate_.coef, fit.params, rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), fit.bse, rtol=1e-9)


def one_array(loads):
    table = loads.array()
    return table[:, 1:], table[:, 0]


def one_frame(loads):
    frame = loads.frame()
    return frame[["c0", "c1", "c2"]], frame["y"]


@pytest.mark.parametrize("source", [one_array, one_frame])
@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"method": OneStep(800)}, 2),
        ({"method": OneStep(800), "cov_type": "HC1"}, 3),
        ({"method": OneStep(800, steps=3)}, 4),
        ({"method": OneStep(800, steps=1, correction=None, tol=1.0), "missing": "drop"}, 2),
        ({"method": "pilot"}, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("lazy", [False, True], ids=["fit", "fit_delayed"])
def test_loads_of_each_block(loads, scheduler, source, options, passes, lazy):
    x, y = source(loads)
    glm = GLMClassifier(**options)
    if lazy:
        with raise_if_dask_computes():
            lazily = glm.fit_delayed(x, y)
        assert loads.per_block() == [0] * 4
        glm = lazily.compute()
    else:
        glm.fit(x, y)
    assert glm.n_passes_ == passes
    assert loads.per_block() == [passes] * 4


@pytest.mark.parametrize(
    ("steps", "cov_type", "computations"),
    [(1, "nonrobust", 2), (2, "nonrobust", 3), (1, "HC0", 3)],
)
def test_how_often_a_fit_asks_the_scheduler(threads, steps, cov_type, computations):
    # Whether there are more than two classes is then known without asking.
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["binomial"])
    started = []
    with Callback(start=started.append):
        glm = GLMClassifier(method=OneStep(800, steps=steps), cov_type=cov_type).fit(x, y)
    assert (len(started), glm.n_passes_) == (computations, 1 + steps + (cov_type != "nonrobust"))


def test_a_frame_and_the_names_of_its_columns(loads, threads):
    GLMClassifier().fit(loads.frame(), "y")
    assert loads.per_block() == [1] * 4


def test_unknown_chunk_sizes_cost_no_pass(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["binomial"])
    known = da.concatenate([y[:, None], x], axis=1).rechunk({1: -1})
    table = da.map_blocks(np.asarray, known, chunks=((np.nan,) * 4, (4,)), dtype=float)
    glm = GLMClassifier(method=OneStep(pilot_bytes=1)).fit(table[:, 1:], table[:, 0])
    assert (glm.n_passes_, glm.n_samples_) == (2, ROWS)
    mle = GLMClassifier(method="mle").fit(x, y)
    gap = glm.estimate_.coef - mle.estimate_.coef
    assert gap @ np.linalg.solve(mle.covariance_, gap) < 0.1


# Any seed may be drawn, and a few of them have a pilot that warns.
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_the_seed(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["poisson"])

    def fit(seed):
        return GLMRegressor("poisson", method=OneStep(500, random_state=seed)).fit(x, y)

    assert (fit(0).coef_ == GLMRegressor("poisson", method=OneStep(500)).fit(x, y).coef_).all()
    assert (fit(0).coef_ != fit(1).coef_).any()
    fresh, other = fit(None), fit(None)
    assert (fresh.coef_ != other.coef_).any()
    # The integer that was drawn is kept, and draws the same pilot again.
    again = fit(fresh.estimate_.random_state)
    np.testing.assert_array_equal(again.coef_, fresh.coef_)
    np.testing.assert_array_equal(again.estimate_.pilot_coef, fresh.estimate_.pilot_coef)
    state = [fit(np.random.RandomState(5)).estimate_.random_state for _ in range(2)]
    assert state[0] == state[1]


def test_pilot_sizes(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["poisson"])
    sizes = [
        GLMRegressor("poisson", method=method).fit(x, y).estimate_.pilot_size
        for method in (OneStep(), OneStep(pilot_bytes=1), OneStep(700), OneStep(0.25))
    ]
    assert sizes == [4000, 1265, 700, 1000]  # 20·√4000 = 1264.9


def test_the_decrement_says_how_far_the_mle_is(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["poisson"])
    mle = GLMRegressor("poisson", method="mle").fit(x, y)
    glm = GLMRegressor("poisson", method=OneStep(500, steps=1, correction=None, tol=1.0)).fit(x, y)
    twice_the_gain = 2 * (mle.estimate_.loglik - loglik_at("poisson", glm.estimate_.pilot_coef))
    assert glm.estimate_.pilot_decrement == pytest.approx(twice_the_gain, rel=0.2)
    robust = GLMRegressor("poisson", method=OneStep(500, steps=1, correction=None, tol=1.0), cov_type="HC0").fit(x, y)
    left = 2 * (mle.estimate_.loglik - robust.estimate_.loglik)
    assert robust.decrement_ == pytest.approx(left, rel=0.2)


def loglik_at(family, coef):
    x, y = TABLES[family]
    return sm.GLM(y, sm.add_constant(x), FAMILIES[family][0]).loglike(coef)


def test_a_pilot_too_small_is_said_so(threads):
    x, y = (chunked(part, (1000,) * 4) for part in TABLES["binomial"])
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 every warning is wanted
        glm = GLMClassifier(method=OneStep(12, steps=1)).fit(x, y)
    assert "A pilot of 12 rows is small for" in str(caught[0].message)
    said = [(w.category, str(w.message)) for w in caught]
    assert said == [(each, with_pointer(each, text)) for each, text in glm.estimate_.warnings]
    # However poor the pilot, the estimate does not run away.
    mle = GLMClassifier(method=MLE()).fit(x, y)
    assert np.abs(glm.coef_ - mle.coef_).max() < 3


def test_a_single_column_without_intercept(threads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 1))
    y = rng.poisson(np.exp(0.5 * x[:, 0])).astype(float)
    glm = GLMRegressor("poisson", fit_intercept=False).fit(chunked(x, (1000,) * 3), chunked(y, (1000,) * 3))
    fit = sm.GLM(y, x, sm.families.Poisson()).fit()
    np.testing.assert_allclose(glm.coef_, fit.params, atol=0.1 * fit.bse[0])
    assert glm.covariance_.shape == (1, 1)


def test_the_null_model(threads):
    y = np.random.default_rng(0).poisson(2.0, 3000).astype(float)
    glm = GLMRegressor("poisson").fit(chunked(np.empty((3000, 0)), (1000,) * 3), chunked(y, (1000,) * 3))
    assert glm.coef_.shape == (0,)
    np.testing.assert_allclose(glm.intercept_, np.log(y.mean()), atol=1e-3)


def with_huge_offsets(seed, n, columns=1):
    """Return rows of which few have a mean that is neither 0 nor 1, so that 12 of them say little about the others."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=n), *(1.0 * (rng.random(n) < 0.4) for _ in range(columns - 1))])
    return x, 800 * rng.normal(size=n), 1.0 * (rng.random(n) < 0.5)


@pytest.mark.parametrize("seed", [4, 6, 12])
def test_long_ways_from_a_small_pilot_end_within_the_tolerance_whatever_the_chunks(synchronous, seed):
    """On the way steps of 10²⁰ are shortened, so that the rounding of sums is no longer that of a last digit."""
    x, offset, y = with_huge_offsets(seed, 36)
    design = np.column_stack([np.ones(36), x])
    found = []
    for sizes in ((36,), (5, 0, 18, 5, 4, 2, 2)):
        data = [chunked(each, sizes) for each in (x, y, offset)]
        glm = GLMRegressor("binomial", method=OneStep(12, correction=None)).fit(*data[:2], offset=data[2])
        coef = found[-1] if found else glm.estimate_.coef
        for _ in range(20):  # Newton's steps to the maximum, by hand
            mean = 1 / (1 + np.exp(-np.clip(design @ coef + offset, -700, 700)))
            information = (design.T * (mean * (1 - mean))) @ design
            coef = coef + np.linalg.solve(information, design.T @ (y - mean))
        found.append(coef)
        errors = np.sqrt(np.diag(np.linalg.inv(information)))
        assert (np.abs(glm.estimate_.coef - coef) < 0.1 * errors).all()
        assert glm.n_passes_ > 10
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")  # it stops far from the maximum
def test_an_extrapolated_information_may_be_negative_for_an_aliased_column(synchronous):
    found = []
    for seed in (2, 110, 135, 239, 266, 286):  # rounding decides for which of them
        x, offset, y = with_huge_offsets(seed, 19, columns=2)
        glm = GLMRegressor("binomial", method=OneStep(12, steps=2), cov_type="HC1").fit(x, y, offset=offset)
        found.append(glm.record_.sums.information[2, 2])
        assert np.isnan(glm.estimate_.coef).tolist() == [False, False, True]
    assert min(found) < 0
