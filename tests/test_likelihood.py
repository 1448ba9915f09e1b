"""The likelihood's sums against finite differences, statsmodels, and themselves in slices."""

import numpy as np
import pytest
import statsmodels.api as sm
from oracle import SM_LINKS
from support import finite_difference, model_of

from dask_onestep.families import resolve_family
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import initial_moments, log_likelihoods, moments, observed_moments
from dask_onestep.kernels.matrices.algebra import DenseSlice
from dask_onestep.kernels.rows import slices as slicing
from dask_onestep.kernels.solve.linear_algebra import factorize


def oracle(family, link):
    """Return statsmodels' family with a link."""
    options = {"negative-binomial": {"alpha": 1.0}, "tweedie": {"var_power": 1.5}}.get(family, {})
    kind = getattr(sm.families, type(resolve_family(family)).__name__)
    return kind(SM_LINKS[link](), **options)


# statsmodels warns of links that admit means outside the family's range; the tests stay inside it.
pytestmark = pytest.mark.filterwarnings("ignore:The .* link function does not respect the domain")

PAIRS = [
    ("gaussian", "identity"),
    ("gaussian", "log"),
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
    ("poisson", "identity"),
    ("poisson", "sqrt"),
    ("gamma", "inverse"),
    ("gamma", "log"),
    ("inverse-gaussian", "inverse-squared"),
    ("inverse-gaussian", "log"),
    ("negative-binomial", "log"),
    ("tweedie", "log"),
]
# Means near 0.5 suit every family and link.
COEF = np.array([0.9, 0.15, -0.1])


def draw(family, link, *, weights=True, offset=True, rows=37, seed=0):
    """Return a model, rows, and a β at which every mean is valid."""
    rng = np.random.default_rng(seed)
    model = model_of(family, link)
    x = rng.uniform(-1, 1, (rows, 2))
    y = {"gaussian": rng.normal(0.5, 1, rows), "binomial": rng.integers(0, 2, rows)}.get(family)
    y = rng.integers(1, 4, rows) if y is None else y
    part = Rows(
        x,
        y.astype(float),
        rng.uniform(0.5, 2, rows) if weights else None,
        rng.uniform(-0.1, 0.1, rows) if offset else None,
    )
    return model, part


parametrize_pairs = pytest.mark.parametrize(("family", "link"), PAIRS)


@parametrize_pairs
def test_score_is_the_derivative_of_the_log_likelihood(family, link):
    model, rows = draw(family, link)
    slope = finite_difference(lambda b: moments(rows, model, b).loglik, COEF)
    np.testing.assert_allclose(moments(rows, model, COEF).score, slope, rtol=1e-5, atol=1e-6)


@parametrize_pairs
def test_information_is_the_expected_curvature(family, link):
    # With y at its mean, the derivative of the score is minus the expected information.
    model, rows = draw(family, link)
    eta = np.c_[np.ones(len(rows)), rows.x] @ COEF + rows.offset
    expected = Rows(rows.x, model.link.inverse(eta), rows.weights, rows.offset)
    slope = finite_difference(lambda b: moments(expected, model, b).score, COEF)
    information = moments(rows, model, COEF).information
    np.testing.assert_allclose(information, -slope, rtol=1e-5, atol=1e-6)
    assert np.linalg.eigvalsh(information).min() > 0


@parametrize_pairs
def test_observed_information_is_minus_the_derivative_of_the_score(family, link):
    model, rows = draw(family, link)
    at = observed_moments(rows, model, COEF)
    slope = finite_difference(lambda b: moments(rows, model, b).score, COEF)
    np.testing.assert_allclose(at.curvature, -slope, rtol=1e-5, atol=1e-6)
    assert (at.observed is None) == model.natural
    parts = [observed_moments(rows.take(np.arange(*ends)), model, COEF) for ends in ((0, 10), (10, 10), (10, 37))]
    np.testing.assert_allclose(sum(parts[1:], start=parts[0]).curvature, at.curvature, rtol=1e-12, atol=1e-12)


@parametrize_pairs
def test_pearson_gradient_is_the_derivative_of_pearson(family, link):
    model, rows = draw(family, link)
    at = moments(rows, model, COEF)
    if not model.family.has_dispersion:
        assert at.pearson is None
        assert at.pearson_gradient is None
        return
    slope = finite_difference(lambda b: moments(rows, model, b).pearson, COEF)
    np.testing.assert_allclose(at.pearson_gradient, slope, rtol=1e-5, atol=1e-6)


@parametrize_pairs
@pytest.mark.parametrize("intercept", [True, False])
def test_moments_are_those_of_statsmodels(family, link, intercept):
    model, rows = draw(family, link)
    design = np.c_[np.ones(len(rows)) if intercept else rows.x[:, 0] ** 2 + 0.7, rows.x]
    if not intercept:
        model = model_of(family, link, columns=3, fit_intercept=False)
        rows = Rows(design, rows.y, rows.weights, rows.offset)
    coef = COEF
    law = oracle(family, link)
    # ℓ is Σ wᵢ log p(yᵢ; μᵢ): statsmodels' word for such weights is freq_weights.
    glm = sm.GLM(rows.y, design, law, offset=rows.offset, freq_weights=rows.weights)
    found = moments(rows, model, coef)
    np.testing.assert_allclose(found.loglik, glm.loglike(coef, scale=1.0), rtol=1e-10)
    np.testing.assert_allclose(found.score, glm.score(coef, scale=1.0), rtol=1e-9, atol=1e-9)
    hessian = glm.hessian(coef, scale=1.0, observed=False)
    np.testing.assert_allclose(found.information, -hessian, rtol=1e-9, atol=1e-9)
    assert found.n == len(rows)
    np.testing.assert_allclose(found.weight, rows.weights.sum())
    mean = law.link.inverse(design @ coef + rows.offset)
    if found.pearson is not None:
        chi2 = (rows.weights * (rows.y - mean) ** 2 / law.variance(mean)).sum()
        np.testing.assert_allclose(found.pearson, chi2, rtol=1e-10)


@parametrize_pairs
def test_log_likelihoods_are_those_of_moments_and_statsmodels(family, link):
    model, rows = draw(family, link)
    candidates = np.array([COEF, COEF * 0.9, COEF + np.array([0.05, 0, 0])])
    found = log_likelihoods(rows, model, candidates)
    np.testing.assert_allclose(found.loglik, [moments(rows, model, b).loglik for b in candidates], rtol=1e-12)
    law = oracle(family, link)
    design = np.c_[np.ones(len(rows)), rows.x]
    expected = [
        law.deviance(rows.y, law.link.inverse(design @ b + rows.offset), var_weights=rows.weights) for b in candidates
    ]
    np.testing.assert_allclose(found.deviance, expected, rtol=1e-10)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "gamma"])
@pytest.mark.parametrize("weighted", [True, False])
def test_slices_give_the_whole(monkeypatch, family, weighted):
    model, rows = draw(family, "log" if family == "gamma" else None, weights=weighted, offset=weighted, rows=101)
    whole = moments(rows, model, COEF), initial_moments(rows, model), log_likelihoods(rows, model, COEF[None])
    monkeypatch.setattr(DenseSlice, "size", 8 * 3 * 10)
    assert len(list(slicing.slices(rows, model))) == 11
    sliced = moments(rows, model, COEF), initial_moments(rows, model), log_likelihoods(rows, model, COEF[None])
    for left, right in zip(whole, sliced, strict=True):
        for name in left.__dataclass_fields__:
            if (value := getattr(left, name)) is not None:
                np.testing.assert_allclose(getattr(right, name), value, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "gamma"])
def test_two_halves_add_up(family):
    model, rows = draw(family, "log" if family == "gamma" else None)
    whole = moments(rows, model, COEF)
    halves = moments(rows.take(np.arange(11)), model, COEF) + moments(rows.take(np.arange(11, len(rows))), model, COEF)
    for name in whole.__dataclass_fields__:
        if (value := getattr(whole, name)) is not None:
            np.testing.assert_allclose(getattr(halves, name), value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, bool])
def test_other_dtypes_are_summed_in_float64(dtype):
    rng = np.random.default_rng(1)
    x = (rng.uniform(0, 3, (50, 2))).astype(dtype)
    y = rng.normal(size=50)
    model = model_of()
    found = moments(Rows(x, y), model, COEF)
    expected = moments(Rows(x.astype(np.float64), y), model, COEF)
    np.testing.assert_array_equal(found.information, expected.information)
    assert found.information.dtype == np.float64


def test_an_empty_block_adds_nothing():
    model = model_of("gamma", "log")
    nothing = moments(Rows(np.empty((0, 2)), np.empty(0)), model, COEF)
    assert nothing.n == nothing.weight == nothing.loglik == nothing.pearson == 0
    assert not nothing.score.any()
    assert not nothing.information.any()
    rows = draw("gamma", "log")[1]
    np.testing.assert_array_equal((nothing + moments(rows, model, COEF)).score, moments(rows, model, COEF).score)


def test_the_caller_s_arrays_are_left_alone():
    model, rows = draw("binomial", "logit")
    copies = rows.x.copy(), rows.y.copy(), rows.weights.copy(), rows.offset.copy()
    moments(rows, model, COEF)
    for now, then in zip((rows.x, rows.y, rows.weights, rows.offset), copies, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_natural_links_are_stable_far_out(family):
    # η = ±800 on single rows; for poisson e^800 is beyond float64, so there it is only −800.
    model = model_of(family, columns=1, fit_intercept=False)
    eta = np.array([-800.0, 800.0] if family != "poisson" else [-800.0, -800.0])
    y = np.array([0.0, 1.0])
    found = moments(Rows(eta[:, None], y), model, np.ones(1))
    assert found.is_finite()
    mean, residual, weight = model.likelihood.working(y, eta)
    exact = {"gaussian": eta, "binomial": [0.0, 1.0], "poisson": [0.0, 0.0]}[family]
    np.testing.assert_array_equal(mean, exact)
    np.testing.assert_array_equal(residual, y - exact)
    assert (weight >= 0).all()
    loglik = {
        "gaussian": -0.5 * ((y - eta) ** 2 + np.log(2 * np.pi)),
        "binomial": y * eta - np.maximum(eta, 0),
        "poisson": y * eta,
    }[family]
    np.testing.assert_allclose(found.loglik, loglik.sum(), rtol=1e-15)


def test_an_overflowing_mean_shows_in_the_sums():
    model = model_of("poisson", columns=1, fit_intercept=False)
    assert not moments(Rows(np.full((1, 1), 800.0), np.ones(1)), model, np.ones(1)).is_finite()


def test_a_mean_outside_the_domain_has_no_likelihood():
    model = model_of("gamma", "identity", columns=1, fit_intercept=False)
    assert moments(Rows(-np.ones((1, 1)), np.ones(1)), model, np.ones(1)).loglik == -np.inf


@parametrize_pairs
def test_initial_moments_begin_as_statsmodels_does(family, link):
    # One weighted least-squares fit to the family's starting means.
    model, rows = draw(family, link)
    if (family, link) == ("gaussian", "log"):
        rows = rows.take(rows.y > 0)  # a log needs positive starting means, in R's glm too
    sums = initial_moments(rows, model)
    start = model.family.initial_mean(rows.y, rows.weights)
    eta = model.link.link(start)
    slope = model.link.inverse_derivative(eta)
    weight = rows.weights * slope**2 / model.family.variance(start)
    response = eta + (rows.y - start) / slope - rows.offset
    expected = sm.WLS(response, np.c_[np.ones(len(rows)), rows.x], weights=weight).fit().params
    np.testing.assert_allclose(factorize(sums.information).solve(sums.score), expected, rtol=1e-8, atol=1e-10)
    assert sums.loglik == -np.inf
