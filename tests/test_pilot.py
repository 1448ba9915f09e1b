"""Steps from a pilot: the corrected one, its foresight, and what holds a poor one back."""

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special, stats
from support import finite_difference, model_of, slow

from benchmarks.one_step import poor
from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Pilot, Surrogate
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.multinomial import Multinomial
from dask_onestep.kernels.likelihood.sums import moments, observed_moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots import poor_pilot
from dask_onestep.kernels.pilots.candidates import sample_rows
from dask_onestep.kernels.pilots.corrected_step import take_step
from dask_onestep.kernels.pilots.curvature import Curvature, Remaining, ScoreVariance
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.kernels.pilots.pilot import PilotFit, fit_pilot, leverages
from dask_onestep.kernels.pilots.sample import PilotSize, Survey
from dask_onestep.kernels.pilots.step import arrive, shorten
from dask_onestep.kernels.pilots.strata import StrataRule
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import Ascent, Newton, shortening
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.methods.steps import advance


def simulate(family, n, d=2, seed=0, scale=1.0):
    rng = np.random.default_rng((3, seed))
    x = rng.standard_normal((n, d)) * scale
    eta = -0.3 + x @ np.linspace(0.3, -0.5, d)
    y = {
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
        "gaussian": lambda: eta + rng.standard_normal(n),
        "gamma": lambda: rng.gamma(2.0, np.exp(eta) / 2.0),
    }[family]()
    return Rows(x, y)


def pilot_of(rows, model, n, *, start=None):
    """Return a pilot of the first n rows (they are exchangeable) and the full sums at its MLE."""
    taken = rows.take(np.arange(n))
    fit = fit_rows(taken, model)
    coef = fit.coef if start is None else start
    sums = moments(taken, model, coef)
    pilot = PilotFit(coef, taken, sums, factorize(sums.information), Survey(len(rows)), Inclusion.simple(n, len(rows)))
    return pilot, observed_moments(rows, model, coef)


def step_from(model, pilot, coef, sums, correction):
    """Return the step from a point where the full sums are known."""
    return take_step(model, pilot, Ascent.begin(coef, sums, Newton(model.has_intercept)), correction)


def distance(rows, model, coef):
    """Return the squared distance to the MLE in information units."""
    exact = fit_rows(rows, model)
    gap = coef - exact.coef
    return gap @ exact.sums.information @ gap


@pytest.mark.parametrize("family", ["binomial", "poisson", "gaussian"])
def test_the_plain_step_is_equation_2_4(family):
    model, rows = model_of(family), simulate(family, 2000)
    pilot, sums = pilot_of(rows, model, 400)
    step = step_from(model, pilot, pilot.coef, sums, None)
    np.testing.assert_allclose(
        step.coef, pilot.coef + np.linalg.solve(sums.information, sums.score), rtol=1e-11, atol=1e-13
    )
    assert not step.shortened


@pytest.mark.parametrize("family", ["binomial", "poisson", "gaussian"])
def test_the_foretold_score_is_the_gradient_of_what_is_foretold(family):
    model, rows = model_of(family), simulate(family, 1500)
    pilot, sums = pilot_of(rows, model, 300)
    curvature, at = Curvature(model, pilot, pilot.coef, sums), np.array([0.05, -0.02, 0.03])
    gradient = finite_difference(lambda step: curvature(step).loglik, at)
    np.testing.assert_allclose(curvature(at).score, gradient, rtol=1e-5, atol=1e-5)
    hessian = finite_difference(lambda step: curvature(step).score, at)
    np.testing.assert_allclose(curvature(at).information, -hessian, rtol=1e-4, atol=1e-3)


def test_a_pilot_of_all_rows_foretells_exactly():
    model, rows = model_of("poisson"), simulate("poisson", 500)
    start = np.array([0.1, 0.1, 0.1])
    pilot, sums = pilot_of(rows, model, 500, start=start)
    step = step_from(model, pilot, start, sums, "pilot")
    exact = sm.GLM(rows.y, sm.add_constant(rows.x), family=sm.families.Poisson()).fit(tol=1e-14)
    np.testing.assert_allclose(step.coef, exact.params, rtol=1e-6)
    np.testing.assert_allclose(step.ahead.information, np.linalg.inv(exact.cov_params()), rtol=1e-5)
    np.testing.assert_array_equal(step.ahead_factor.inverse(), factorize(step.ahead.information).inverse())
    np.testing.assert_allclose(step.ahead.loglik, exact.llf, rtol=1e-10)


# The logarithm is not the canonical link of gamma; of binomial, neither of the other two is, and neither is true.
CASES = [("binomial", "logit"), ("poisson", "log"), ("gamma", "log"), ("binomial", "probit"), ("binomial", "cloglog")]


@pytest.mark.parametrize(("family", "link"), CASES)
def test_the_correction_brings_the_estimate_nearer_to_the_mle(family, link):
    model, plain, corrected = model_of(family, link), [], []
    for seed in range(20):
        rows = simulate(family, 20_000, seed=seed)
        pilot, sums = pilot_of(rows, model, 400)
        plain.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, None).coef))
        corrected.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, "pilot").coef))
    assert np.median(corrected) < np.median(plain) / 5


def test_the_error_due_to_the_rows_own_scores_is_a_regression():
    model, rows = model_of("gamma", "log"), simulate("gamma", 5000)
    pilot, sums = pilot_of(rows, model, 500)
    step = np.array([0.1, -0.05, 0.02])
    x, y = sm.add_constant(pilot.rows.x), pilot.rows.y
    before, after = y * np.exp(-x @ pilot.coef), y * np.exp(-x @ (pilot.coef + step))
    rest = (after - 1) - (before - 1) + before * (x @ step)
    along, errors = (after - 1) * (x @ step), rest[:, None] * x
    slopes = [np.cov(along, each)[0, 1] / along.var(ddof=1) for each in errors.T]
    found = Curvature(model, pilot, pilot.coef, sums).own_error(step)
    np.testing.assert_allclose(found, np.array(slopes) * 10 * along.sum(), rtol=1e-9)


@pytest.mark.parametrize(("family", "link"), [("gamma", "log"), ("binomial", "probit")])
def test_without_it_steps_under_other_links_end_nearer_to_the_mle(family, link, monkeypatch):
    model, nearer, with_it = model_of(family, link), [], []
    for seed in range(30):
        rows = simulate(family, 20_000, seed=seed)
        pilot, sums = pilot_of(rows, model, 500)
        nearer.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, "pilot").coef))
        with monkeypatch.context() as patched:
            patched.setattr(Curvature, "own_error", lambda self, step: np.zeros(3))
            with_it.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, "pilot").coef))
    assert np.mean(nearer) < 0.7 * np.mean(with_it)


def drawn(kind, seed=0, n=20_000):
    """Return a model, its rows, and a stratified pilot of them: rare events, counts, weights, or a rare class."""
    rng = np.random.default_rng((7, seed))
    x, labels, rare = rng.normal(size=(n, 2)), None, -4.0
    eta = x @ [0.6, -0.5]
    if kind == "events":
        model, y = model_of("binomial"), (rng.random(n) < special.expit(eta - 5)).astype(float)
    elif kind == "counts":
        model, y = model_of("poisson"), rng.poisson(np.exp(eta + rare)).astype(float)
    elif kind == "weights":
        model, y = model_of("gamma", "log"), rng.gamma(2.0, np.exp(eta) / 2)
    else:
        model, labels = Model(Multinomial(("q", "r")), ("x0", "x1"), classify=True), np.array([0.0, 1.0, 2.0])
        shares = special.softmax(np.column_stack([np.zeros(n), eta + rare, -0.5 * eta - 1]), axis=1)
        y = (rng.random(n)[:, None] > shares.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
    weights = rng.integers(1, 4, n).astype(float) if kind == "weights" else None
    rows = Rows(x, y, weights=weights, start=0)
    size = PilotSize("auto", 3, n, strata=StrataRule.of(model, 1))
    pilot = fit_pilot(sample_rows(rows, size, seed, labels).drawn(), model)
    assert not pilot.inclusion.is_simple
    return model, rows, pilot


def rows_residuals(kind, x, y, coef):
    """Return each row's score for weight 1 without its covariates, and its derivative along the linear predictors."""
    eta = x @ coef
    if kind == "events":
        mean = special.expit(eta)
        return y - mean, -mean * (1 - mean)
    if kind == "counts":
        return y - np.exp(eta), -np.exp(eta)
    ratio = y * np.exp(-eta)
    return ratio - 1, -ratio


@pytest.mark.parametrize("kind", ["events", "counts", "weights", "classes"])
def test_the_error_due_to_the_rows_own_scores_is_a_regression_by_strata(kind):
    model, rows, pilot = drawn(kind)
    sums, draw = observed_moments(rows, model, pilot.coef), pilot.inclusion
    x, y, weights = sm.add_constant(pilot.rows.x), pilot.rows.y, pilot.rows.row_weights
    if kind == "classes":
        step = np.array([0.04, -0.02, 0.01, 0.02, 0.04, -0.04])

        def residuals(coef):
            others = np.column_stack([np.zeros(len(y)), *(x @ part for part in coef.reshape(2, 3))])
            return (y[:, None] == [1, 2]) - special.softmax(others, axis=1)[:, 1:]

        linear = (residuals(pilot.coef + 1e-4 * step) - residuals(pilot.coef - 1e-4 * step)) / 2e-4
        after = residuals(pilot.coef + step)
        rest, along = after - residuals(pilot.coef) - linear, (after * (x @ step.reshape(2, 3).T)).sum(axis=1)
        errors = np.hstack([rest[:, [c]] * x for c in range(2)])
    else:
        step = np.array([0.04, -0.02, 0.01])
        before, slope = rows_residuals(kind, x, y, pilot.coef)
        after, _ = rows_residuals(kind, x, y, pilot.coef + step)
        errors, along = (after - before - slope * (x @ step))[:, None] * x, after * (x @ step)
    errors, along = errors * weights[:, None], along * weights
    # The base stratum is part of a simple random sample, whose other rows count as zeros there.
    base, others = draw.base == 1, np.zeros(draw.n_base - int((draw.base == 1).sum()))
    dense = draw.variance * (1 - draw.base)
    center = draw.base_variance * (draw.n_base - 1)

    def covariance(left, right):
        pair = np.concatenate([left[base], others]), np.concatenate([right[base], others])
        return center * np.cov(*pair)[0, 1] + np.sum(dense * left * right)

    slopes = np.array([covariance(error, along) for error in errors.T]) / covariance(along, along)
    found = Curvature(model, pilot, pilot.coef, sums).own_error(step)
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, slopes * pilot.ratio * along.sum(), rtol=1e-5, atol=1e-5 * np.abs(found).max())


@pytest.mark.parametrize("kind", ["events", "counts", "weights", "classes"])
def test_effective_rows_are_those_of_the_errors_of_coefficients_whatever_the_slices(kind, monkeypatch):
    model, rows, pilot = drawn(kind)
    sums = observed_moments(rows, model, pilot.coef)
    curvature, factor = Curvature(model, pilot, pilot.coef, sums), factorize(sums.information)
    step = 0.02 * np.ones(len(pilot.coef))
    change = np.concatenate([change for _, change, *_ in curvature._changes(step)])
    x, number = sm.add_constant(pilot.rows.x), np.arange(len(step))
    errors = (change.reshape(len(x), -1)[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    squares = np.square(errors @ np.linalg.inv(sums.information)) * pilot.inclusion.variance[:, None]
    monkeypatch.setattr("dask_onestep.kernels.pilots.curvature.SLICE_ROWS", 100)
    found = curvature.effective_rows(step, factor, number)
    np.testing.assert_allclose(found, squares.sum(axis=0) ** 2 / np.square(squares).sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize("kind", ["events", "counts", "weights"])
def test_without_it_steps_of_stratified_pilots_end_nearer_to_the_mle(kind, monkeypatch):
    nearer, with_it = [], []
    for seed in range(20):
        model, rows, pilot = drawn(kind, seed)
        sums = observed_moments(rows, model, pilot.coef)
        nearer.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, "pilot").coef))
        with monkeypatch.context() as patched:
            patched.setattr(Curvature, "own_error", lambda self, step: np.zeros(3))
            with_it.append(distance(rows, model, step_from(model, pilot, pilot.coef, sums, "pilot").coef))
    assert np.mean(nearer) < 0.7 * np.mean(with_it)


def test_few_events_do_not_determine_it():
    model = model_of("binomial", "probit")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(20_000, 2))
        rows = Rows(x, (x @ [0.6, -0.5] + rng.normal(size=20_000) > 3).astype(float))
        events = np.flatnonzero(rows.y)[:12]
        pilot, sums = pilot_of(rows.take(np.concatenate([events, np.flatnonzero(rows.y == 0)])), model, 1000)
        step = step_from(model, pilot, pilot.coef, sums, "pilot").coef - pilot.coef
        np.testing.assert_array_equal(Curvature(model, pilot, pilot.coef, sums).own_error(step), np.zeros(3))


@pytest.mark.parametrize(
    ("family", "link", "correction"),
    [("binomial", "logit", None), ("binomial", "logit", "pilot"), ("gamma", "log", "pilot")],
)
def test_the_decrement_foretells_the_distance_to_the_mle(family, link, correction):
    model, told, true = model_of(family, link), [], []
    for seed in range(30):
        rows = simulate(family, 10_000, seed=seed)
        pilot, sums = pilot_of(rows, model, 150)
        step = step_from(model, pilot, pilot.coef, sums, correction)
        told.append(step.decrement)
        true.append(distance(rows, model, step.coef))
    # The sampling decrement is an expectation: it is held to the mean, not to each draw.
    assert 0.4 < np.mean(told) / np.mean(true) < 2.5
    if correction is None:
        assert np.corrcoef(np.log(told), np.log(true))[0, 1] > 0.9


def test_for_gaussian_nothing_is_left_to_correct():
    model, rows = model_of("gaussian"), simulate("gaussian", 3000)
    pilot, sums = pilot_of(rows, model, 100)
    step = step_from(model, pilot, pilot.coef, sums, "pilot")
    exact = sm.OLS(rows.y, sm.add_constant(rows.x)).fit()
    np.testing.assert_allclose(step.coef, exact.params, rtol=1e-10)
    np.testing.assert_allclose(step.ahead.pearson, exact.ssr, rtol=1e-12)
    assert step.decrement < 1e-18 * sums.loglik**2


def test_the_dispersion_is_brought_to_the_estimate():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((20_000, 2))
    mean = np.exp(0.3 + x @ [0.4, -0.3])
    y = rng.gamma(2.0, mean / 2.0)
    glm = GLMRegressor("gamma", "log", method=OneStep(500)).fit(x, y)
    exact = GLMRegressor("gamma", "log", method="mle").fit(x, y)
    # The dispersion's own sampling error is near 0.016 of it.
    assert abs(glm.dispersion_ / exact.dispersion_ - 1) < 0.016 / 4


def test_the_covariance_is_brought_to_the_estimate():
    rows = simulate("binomial", 40_000, seed=2, scale=1.5)
    model = model_of("binomial")
    uncorrected, corrected = [], []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(rows))
        pilot, sums = pilot_of(rows.take(order), model, 400)
        step = step_from(model, pilot, pilot.coef, sums, "pilot")
        exact = np.sqrt(np.diag(np.linalg.inv(fit_rows(rows, model).sums.information)))
        for information, errors in ((sums.information, uncorrected), (step.ahead.information, corrected)):
            errors.append(np.abs(np.sqrt(np.diag(np.linalg.inv(information))) / exact - 1).max())
    assert np.median(corrected) < np.median(uncorrected) / 2


def test_a_step_is_shortened_to_what_there_is_to_gain():
    # At a wild β most weights are near 0: the information is far too small and the step far too long.
    model, rows = model_of("binomial"), simulate("binomial", 20_000)
    wild = np.array([1.0, 6.0, -7.0])
    sums = moments(rows, model, wild)
    newton = wild + np.linalg.solve(sums.information, sums.score)
    honest, _ = pilot_of(rows, model, 200)
    # An unrepresentative pilot, whose rows are fitted well there: it predicts a gain that it does not locate.
    eta = wild[0] + honest.rows.x @ wild[1:]
    fitted = replace(honest.rows, y=(eta > 0).astype(float))
    pilot = PilotFit(wild, fitted, moments(fitted, model, wild), honest.factor, honest.survey, honest.inclusion)
    step = step_from(model, pilot, wild, sums, None)
    assert step.shortened
    part = (step.coef - wild) / (newton - wild)
    assert 0 < part[0] < 1
    np.testing.assert_allclose(part, part[0], rtol=1e-9)
    promised = sums.score @ (step.coef - wild)
    gain = pilot.ratio * pilot.moments.loglik - sums.loglik
    assert promised <= gain * (1 + 1e-9)


def test_an_overshot_step_goes_back_to_the_best_point_of_its_line():
    model, rows = model_of("binomial"), simulate("binomial", 5000)
    pilot, sums = pilot_of(rows, model, 500)
    step = step_from(model, pilot, pilot.coef, sums, None)
    assert shortening(step.coef - step.start, step.sums, moments(rows, model, step.coef)) is None
    far = shorten(model, pilot, step, step.coef - step.start)
    long = type(step)(
        **{f: getattr(step, f) for f in ("start", "sums", "factor", "ahead", "ahead_factor", "decrement", "distance")},
        coef=step.start + 8 * (step.coef - step.start),
    )
    share = shortening(long.coef - long.start, long.sums, moments(rows, model, long.coef))
    assert share is not None
    line = np.linspace(0, 1, 401)
    best = line[np.argmax([moments(rows, model, step.start + t * (long.coef - step.start)).loglik for t in line])]
    assert abs(share - best) < 0.05
    assert far.shortened


def test_a_useless_pilot_is_left_for_the_null_model():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 1))
    x[0] = 400.0
    y = rng.poisson(np.exp(0.5 + 0.2 * np.minimum(x[:, 0], 3.0))).astype(float)
    rows, model = Rows(x, y), model_of("poisson", columns=1)
    pilot, sums = pilot_of(rows.take(np.arange(1, len(rows))), model, 100, start=np.array([0.5, 3.0]))
    sums = moments(rows, model, pilot.coef)
    assert not sums.is_finite()
    step = advance(model, pilot, None, sums, "pilot").step
    assert step.retreated
    np.testing.assert_allclose(step.coef, [np.log(y[1:101].mean() + 0.1), 0.0])


def test_where_no_part_of_a_step_can_be_taken_it_leads_to_the_null_model():
    model, rows = model_of("gamma", "log"), simulate("gamma", 2000)
    pilot, sums = pilot_of(rows, model, 100, start=np.array([-200.0, 0.0, 0.0]))  # y/μ is some 1e87
    assert sums.is_finite()
    step = step_from(model, pilot, pilot.coef, sums, None)
    assert step.retreated
    np.testing.assert_allclose(step.coef, [np.log(rows.y[:100].mean()), 0.0, 0.0])


def test_a_dispersion_that_cannot_be_foretold_is_the_pilot_rows_own():
    model, rows = model_of("gamma", "log"), simulate("gamma", 4000)
    pilot, sums = pilot_of(rows, model, 400)
    sums = replace(sums, pearson=-1e6)  # so that no gradient brings it above 0
    step = step_from(model, pilot, pilot.coef, sums, None)
    assert step.ahead.pearson == pytest.approx(10 * moments(pilot.rows, model, step.coef).pearson)
    assert np.isfinite(step.distance)


@pytest.mark.parametrize("intercept", [-400.0, -800.0])  # q = 1/μ, whose square overflows, or which does itself
def test_where_the_pilot_rows_overflow_the_distance_is_infinite_and_not_an_error(intercept):
    model, rows = model_of("gamma", "log"), simulate("gamma", 2000)
    pilot, sums = pilot_of(rows, model, 100)
    curvature, step = Curvature(model, pilot, pilot.coef, sums), np.array([intercept, 0.0, 0.0])
    left = curvature.remaining(step, factorize(sums.information), 1.0, at_maximum=False)
    assert (left.decrement, left.distance) == (np.inf, np.inf)


@pytest.mark.parametrize("design", poor.DESIGNS, ids=lambda design: f"{design.family}, {design.name}")
def test_a_poor_pilot_is_never_far_and_silent(design):
    """One of the thousand of ``python -m benchmarks.one_step.poor``, on other rows."""
    found = poor.fit_poorly(design, seed=1000)
    assert found["error"] == ""
    assert np.isfinite(found["distance"])
    assert found["warned"] or found["distance"] < poor.FAR


def test_the_thousand_poor_pilots_end_in_estimates():
    tally = pd.read_csv(Path(__file__).parents[1] / "benchmarks" / "one_step" / "results" / "poor.csv")
    assert len(tally) == len(poor.DESIGNS)
    assert tally["pilots"].sum() >= 1000
    assert not tally[["raised", "not_finite", "far_silent"]].any(axis=None)
    assert tally["far"].sum() > 100  # they are poor


@pytest.mark.parametrize("family", ["binomial", "poisson", slow("gamma")])
def test_bad_pilots_end_in_an_estimate_and_never_in_a_silent_wild_number(family):
    rng = np.random.default_rng(11)
    far, link = 0, "log" if family == "gamma" else None
    for seed in range(36):
        d = int(rng.integers(1, 6))
        x = rng.standard_t(2.5, size=(3000, d)) if seed % 2 else rng.standard_normal((3000, d))
        eta = np.clip((-4.0 if seed % 3 == 0 else 0.2) + x @ rng.normal(0, 0.7, d), -20, 4)
        law = {"binomial": lambda e: rng.binomial(1, 1 / (1 + np.exp(-e))), "poisson": lambda e: rng.poisson(np.exp(e))}
        y = law.get(family, lambda e: rng.gamma(0.5, 2 * np.exp(e)))(eta).astype(float)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exact = GLMRegressor(family, link, method=MLE()).fit(x, y)
            before = len(caught)
            n = int(rng.integers(d + 1, 12 * (d + 1)))
            glm = GLMRegressor(family, link, method=OneStep(n, steps=1, random_state=seed)).fit(x, y)
        gap = glm.estimate_.coef - exact.estimate_.coef
        squared = gap @ np.linalg.solve(exact.covariance_, gap)
        assert np.isfinite(squared)
        assert (np.diag(glm.covariance_) > 0).all()
        if squared > 4 * (d + 1):
            far += 1
            assert len(caught) > before
    assert far > 0


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("gaps", ["few", "many", "all"])
@pytest.mark.parametrize("family", ["binomial", "gamma"])
@pytest.mark.parametrize("method", [OneStep(300), Surrogate("pilot", pilot_size=300), Pilot(300), "mle"])
def test_gaps_are_counted_wherever_they_are_though_the_pilot_reads_few_rows(method, family, gaps, lazy):
    if lazy and method == "mle":
        method = OneStep(300, correction=None)
    rows = simulate(family, 4000, d=3)
    rng, x = np.random.default_rng(1), rows.x.copy()
    if gaps == "few":
        # One row is in the pilot of these, one is not.
        keys = np.argsort(row_keys(0, rows))
        x[keys[[0, 3000]], [1, 2]] = np.nan, np.inf
    else:
        x[rng.random(4000) < (1.0 if gaps == "all" else 0.5), 1] = np.nan
    X, y = da.from_array(x, chunks=(1000, 3)), da.from_array(rows.y, chunks=1000)
    counts = (~np.isfinite(x)).sum(axis=0)
    said = "; ".join(f"Input X contains NaN or infinity in column x{j} ({n} row" for j, n in enumerate(counts) if n)
    glm = GLMRegressor(family, link="log" if family == "gamma" else None, method=method)
    with pytest.raises(ValueError, match="NaN") as error:
        glm.fit_delayed(X, y).compute() if lazy else glm.fit(X, y)
    assert str(error.value).replace("rows)", "row").replace("row)", "row").startswith(said)


@pytest.mark.parametrize(("least", "greatest", "found"), [(0.4, 2.0, None), (0.3, 1.0, 0.3), (0.4, 3.0, 3.0)])
def test_a_pilot_misrepresents_beyond_the_edges_of_chance(least, greatest, found):
    # 4 coefficients of 100 rows: (1 ± √0.04)², 0.64 and 1.44, widened by a factor of 1.7.
    pilot = SimpleNamespace(ratio=50.0, n=200, inclusion=SimpleNamespace(effective_share=0.5))
    first = SimpleNamespace(factor=SimpleNamespace(rank=4), representation=(least, greatest))
    assert poor_pilot.misrepresented(pilot, first, slack=1.7) == found


def test_the_distance_is_bounded_by_bonferronis_quantile_of_the_scores_error():
    # Two coefficients with informations 1 and 4, whose scores have the standard deviations 3 and 2.
    variance = ScoreVariance(np.diag([9.0, 4.0]), np.zeros(2))
    factor, score = factorize(np.diag([1.0, 4.0])), np.array([0.0, 2.0])
    found = Remaining.of(factor, score, 1.0, variance, lambda worst: np.full(len(worst), 11.0))
    quantile = stats.t.ppf(1 - 0.05 / 4, 10)
    assert found.distance == pytest.approx(max(1.25 * quantile * 3, 1 + 1.25 * quantile))
    assert found.decrement == pytest.approx(2.0**2 / 4 + 1.25**2 * (9 / 1 + 4 / 4))


def test_the_bound_is_by_the_observed_information_in_expected_standard_errors():
    expected, observed = np.array([[4.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 0.5], [0.5, 1.0]])
    factor, score = factorize(expected), np.array([0.3, -0.2])
    away = np.linalg.solve(observed, score) / np.sqrt(np.diag(np.linalg.inv(expected)))
    assert Remaining.of(factor, score, 1.0, observed=observed).distance == pytest.approx(1.1 * np.abs(away).max())
    indefinite = Remaining.of(factor, score, 1.0, observed=np.diag([1.0, -1.0]))
    assert indefinite == Remaining.of(factor, score, 1.0)
    variance = np.array([[2.0, 0.3], [0.3, 1.0]])
    spread = np.sqrt(np.diag(np.linalg.inv(observed) @ variance @ np.linalg.inv(observed)))
    spread = spread / np.sqrt(np.diag(np.linalg.inv(expected)))
    error = ScoreVariance(variance, np.zeros(2))
    found = Remaining.of(factor, np.zeros(2), 1.0, error, lambda at: np.full(len(at), 1e9), observed)
    assert found.distance == pytest.approx(1.25 * stats.norm.ppf(1 - 0.05 / 4) * spread.max())


def test_an_estimate_too_far_from_its_pilot_is_not_silent():
    """Lognormal covariates: what a pilot lacks of their tail decides, and its information does not show it."""
    said = []
    for seed in (12, 5, 7):
        rng = np.random.default_rng(seed)
        x = np.exp(1.5 * rng.standard_normal((2000, 2)))
        y = (rng.random(2000) < 1 / (1 + np.exp(-0.3 * np.tanh(x[:, 0])))) * 1.0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            glm = GLMRegressor("binomial", method=OneStep(895, steps=1)).fit(
                da.from_array(x, chunks=(500, 2)), da.from_array(y, chunks=500)
            )
            exact = GLMRegressor("binomial", method="mle").fit(x, y)
        gap = glm.estimate_.coef - exact.estimate_.coef
        far = gap @ np.linalg.solve(exact.covariance_, gap) / len(gap)
        said.append((far, any("not representative" in str(each.message) for each in caught)))
    assert max(said)[0] > 1.0
    assert all(told for far, told in said if far > 0.4), said
    assert not all(told for _, told in said)


def test_one_class_in_the_pilot_is_a_warning_and_not_an_error():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 1))
    y = (rng.random(4000) < 0.01).astype(int)
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 every warning is wanted
        glm = GLMClassifier(method=OneStep(30, steps=1, random_state=3)).fit(x, y)
    assert any("MLE does not exist on the pilot sample" in str(warning.message) for warning in caught)
    assert glm.estimate_.pilot_separated
    assert np.isfinite(glm.coef_).all()


def test_steps_auto_ends_within_the_tolerance():
    rows = simulate("binomial", 20_000, scale=2.0)
    x, y = da.from_array(rows.x, chunks=(5000, 2)), da.from_array(rows.y, chunks=5000)
    glm = GLMClassifier(method=OneStep(120, steps="auto", correction=None, tol=1e-6)).fit(x, y)
    assert glm.decrement_ <= 1e-6 * 3
    assert glm.n_iter_ > 1
    assert glm.n_passes_ == glm.n_iter_ + 1
    exact = GLMClassifier(method=MLE()).fit(x, y)
    gap = glm.estimate_.coef - exact.estimate_.coef
    assert gap @ np.linalg.solve(exact.covariance_, gap) < 1e-4


def test_every_option_of_the_method_changes_the_estimate():
    rows = simulate("binomial", 5000)

    def fit(**options):
        return (
            GLMClassifier(method=OneStep(**{"pilot_size": 1500, "steps": 1, "tol": 0.1} | options))
            .fit(rows.x, rows.y)
            .estimate_
        )

    base = fit()
    for options in ({"pilot_size": 1600}, {"random_state": 1}, {"correction": None}, {"steps": 2}):
        assert (fit(**options).coef != base.coef).any(), options
    with pytest.warns(UserWarning, match="Newton decrement"):
        fit(tol=1e-12)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"correction": "half"}, "correction='half' must be None or 'pilot'"),
        ({"steps": 0}, "steps=0 must be an integer ≥ 1, or 'auto'"),
        ({"steps": 1.5}, "steps=1.5 must be"),
        ({"tol": 0}, "tol=0 must be positive"),
        ({"pilot_size": 0}, "pilot_size=0 must be 'auto'"),
        ({"pilot_size": 1.5}, "pilot_size=1.5 must be"),
        ({"random_state": -1}, "must be nonnegative"),
        ({"pilot_bytes": -1}, "pilot_bytes=-1 must not be negative"),
    ],
)
def test_options_that_cannot_be_say_so(options, text):
    rows = simulate("binomial", 200)
    with pytest.raises(ValueError, match=text):
        GLMClassifier(method=OneStep(**options)).fit(rows.x, rows.y)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_unit_of_y_changes_no_verdict(unit):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((8000, 2))
    y = unit * (np.exp(0.5 + x @ [0.3, -0.2]) + rng.standard_normal(8000))
    glm = GLMRegressor("gaussian", "log", method=OneStep(800, steps=1, tol=0.1)).fit(
        x, y
    )  # a warning would be an error
    assert (glm.n_passes_, glm.estimate_.warnings) == (2, ())
    base = GLMRegressor("gaussian", "log", method=OneStep(800, steps=1, tol=0.1)).fit(x, y / unit)
    np.testing.assert_allclose(glm.decrement_ / unit**2, base.decrement_, rtol=1e-5)
    np.testing.assert_allclose(glm.estimate_.pilot_distance, base.estimate_.pilot_distance, rtol=1e-5)


# Any seed may be drawn, and a few of them have a pilot that warns.
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
@pytest.mark.parametrize("method", [MLE, Pilot])
def test_other_methods_keep_the_seed_they_draw(method):
    rows = simulate("binomial", 5000)
    glm = GLMClassifier(method=method(random_state=None)).fit(rows.x, rows.y)
    assert isinstance(glm.estimate_.random_state, int)


# Any seed may be drawn, and a few of them have a pilot that warns.
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_a_drawn_seed_is_kept():
    rows = simulate("binomial", 5000)
    glm = GLMClassifier(method=OneStep(300, random_state=None)).fit(rows.x, rows.y)
    again = GLMClassifier(method=OneStep(300, random_state=glm.estimate_.random_state)).fit(rows.x, rows.y)
    np.testing.assert_array_equal(glm.coef_, again.coef_)


def test_pseudo_observations_are_statsmodels_leverages():
    rng = np.random.default_rng(4)
    group = np.where(np.arange(500) < 4, 1.0, 0.0)
    x, weights = np.column_stack([group, rng.standard_normal(500)]), rng.random(500) + 0.5
    design, model = sm.add_constant(x), model_of("binomial")
    peer = sm.OLS(np.zeros(500), design).fit().get_influence().hat_matrix_diag
    np.testing.assert_allclose(leverages(Rows(x, np.zeros(500)), model), peer, rtol=1e-10)
    # A level of four rows has one pseudo-observation, as all levels have.
    assert leverages(Rows(x[:, :1], np.zeros(500)), model_of("binomial", columns=1))[:4].sum() == pytest.approx(1.0)
    weighted = Rows(x, np.zeros(500), weights=weights)
    assert weights @ leverages(weighted, model) == pytest.approx(3 * weights.mean())
    np.testing.assert_allclose(
        leverages(weighted, model), leverages(replace(weighted, weights=7 * weights), model), rtol=1e-10
    )


def test_the_prior_of_weighted_separated_rows_is_statsmodels_fit_with_pseudo_observations():
    rng = np.random.default_rng(5)
    x, weights = rng.standard_normal(40), rng.uniform(0.2, 3.0, 40)
    y = (x > 0.4).astype(float)
    rows, model = Rows(x[:, None], y, weights=weights), model_of("binomial", columns=1)
    more = leverages(rows, model)
    mean = (weights @ y + 0.5) / (weights.sum() + 1.0)
    peer = sm.GLM(
        np.concatenate([y, np.ones(40), np.zeros(40)]),
        sm.add_constant(np.tile(x, 3)),
        sm.families.Binomial(),
        freq_weights=np.concatenate([weights, weights * more * mean, weights * more * (1 - mean)]),
    ).fit(tol=1e-14)
    fit = fit_rows(model.likelihood.with_prior(rows, model, more), model)
    np.testing.assert_allclose(fit.coef, peer.params, rtol=1e-7)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("away", "inside"), [(0.1, True), (0.2, False)])
def test_the_trust_region_depends_on_no_unit_of_y(unit, away, inside):
    # φ = unit² and δ'Iδ ≈ 4000·3·away²·φ, 120φ or 480φ; the bound is 10·3·(4000/400 − 1)φ = 270φ.
    rows, model = simulate("gaussian", 4000), model_of()
    rows = replace(rows, y=unit * rows.y)
    start = fit_rows(rows, model).coef + unit * away * np.array([1.0, -1.0, 1.0])
    pilot, sums = pilot_of(rows, model, 400, start=start)
    factor = factorize(sums.information)
    found = Curvature(model, pilot, start, sums).maximum(factor, factor.solve(sums.score), 1e-12)
    assert (found is not None) == inside


def test_a_step_that_never_rises_ends_where_it_starts():
    """The end is finite, so there is an estimate, unlike where no part of the step has finite sums."""
    factor = factorize(np.eye(1))

    class Falling:
        coef, model = np.array([3.0]), SimpleNamespace(has_intercept=True)
        sums = Moments(10, 10.0, 0.0, np.ones(1), np.eye(1))

        def __init__(self, lost):
            self.lost = lost

        def __call__(self, step):
            return replace(self.sums, loglik=self.lost)

        def remaining(self, step, factor, phi, *, at_maximum):
            assert not at_maximum
            return Remaining.of(factor, self.sums.score, phi)

    step = arrive(Falling(-1.0), factor, np.ones(1), at_maximum=True)
    np.testing.assert_allclose(step.coef, 3.0, atol=1e-3)
    assert step.shortened
    assert arrive(Falling(np.nan), factor, np.ones(1)) is None
