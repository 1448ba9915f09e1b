"""Families against statsmodels, scipy's densities and finite differences."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special, stats

from dask_onestep.families import FAMILIES, Family, NegativeBinomial, Tweedie, resolve_family
from dask_onestep.links import LINKS, mean_and_derivative

rng = np.random.default_rng(5)
MEAN = np.exp(rng.normal(0, 1, 60))
COUNTS = rng.poisson(MEAN).astype(float)
POSITIVE = rng.gamma(2.0, MEAN / 2.0)
PHI = 0.7

# family, statsmodels' counterpart, responses, means
CASES = {
    "gaussian": (resolve_family("gaussian"), sm.families.Gaussian(), rng.normal(0, 2, 60), rng.normal(0, 2, 60)),
    "binomial": (
        resolve_family("binomial"),
        sm.families.Binomial(),
        np.r_[np.zeros(20), np.ones(20), rng.random(20)],
        rng.uniform(0.01, 0.99, 60),
    ),
    "poisson": (resolve_family("poisson"), sm.families.Poisson(), COUNTS, MEAN),
    "gamma": (resolve_family("gamma"), sm.families.Gamma(), POSITIVE, MEAN),
    "inverse-gaussian": (resolve_family("inverse-gaussian"), sm.families.InverseGaussian(), POSITIVE, MEAN),
    "negative-binomial": (NegativeBinomial(0.4), sm.families.NegativeBinomial(alpha=0.4), COUNTS, MEAN),
    "tweedie": (
        Tweedie(1.4),
        sm.families.Tweedie(var_power=1.4),
        np.where(rng.random(60) < 0.3, 0.0, POSITIVE),
        MEAN,
    ),
}
parametrize_cases = pytest.mark.parametrize(("family", "oracle", "y", "mean"), CASES.values(), ids=CASES)


def test_all_families_are_tested():
    # Quasi-likelihoods have no log-likelihood of statsmodels: tests/test_quasi.py.
    assert set(CASES) == {name for name, family in FAMILIES.items() if family.has_likelihood}


@parametrize_cases
def test_variance_and_deviance_are_those_of_statsmodels(family, oracle, y, mean):
    np.testing.assert_allclose(family.variance(mean), oracle.variance(mean), rtol=1e-10)
    each = np.array([oracle.deviance(y[[i]], mean[[i]]) for i in range(len(y))])
    np.testing.assert_allclose(family.deviance(y, mean), each, rtol=1e-10, atol=1e-10)
    # statsmodels clips proportions away from 0 and 1; the sum says nothing was hidden by a small tolerance.
    np.testing.assert_allclose(family.deviance(y, mean).sum(), oracle.deviance(y, mean), rtol=1e-10)


@parametrize_cases
def test_log_likelihood_is_that_of_statsmodels(family, oracle, y, mean):
    if family.name == "binomial":
        y = np.round(y)  # statsmodels' constants of a proportion belong to numbers of trials
    scale = PHI if family.has_dispersion else 1.0
    expected = oracle.loglike_obs(y, mean, scale=scale)
    np.testing.assert_allclose(family.log_likelihood(y, mean, scale), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "density"),
    [
        ("gaussian", lambda y, m: stats.norm.logpdf(y, m, np.sqrt(PHI))),
        ("poisson", lambda y, m: stats.poisson.logpmf(y, m)),
        ("gamma", lambda y, m: stats.gamma.logpdf(y, 1 / PHI, scale=PHI * m)),
        ("inverse-gaussian", lambda y, m: stats.invgauss.logpdf(y, PHI * m, scale=1 / PHI)),
        ("negative-binomial", lambda y, m: stats.nbinom.logpmf(y, 1 / 0.4, 1 / (1 + 0.4 * m))),
    ],
)
def test_log_likelihood_is_scipys_density(name, density):
    family, _, y, mean = CASES[name]
    scale = PHI if family.has_dispersion else 1.0
    np.testing.assert_allclose(family.log_likelihood(y, mean, scale), density(y, mean), rtol=1e-10, atol=1e-10)


def test_tweedie_density_integrates_to_one():
    family, mean, phi = Tweedie(1.6), 1.3, 0.8
    root = np.linspace(1e-3, 2.0, 40_001)  # in y = root⁶ the density has no pole at 0
    y, change = root**6, 6 * root**5
    density = np.exp(family.log_likelihood(y, np.full_like(y, mean), phi)) * change
    zero = np.exp(family.log_likelihood(np.zeros(1), np.full(1, mean), phi))[0]
    assert abs(zero + np.trapezoid(density, root) - 1.0) < 1e-8
    assert abs(np.trapezoid(y * density, root) - mean) < 1e-8


@pytest.mark.parametrize("power", [1.2, 1.5, 1.8])
def test_tweedie_density_of_large_responses_is_the_saddlepoint_approximation(power):
    # Dunn and Smyth (2008): for small φy^(p−2) the density is near exp(−D/2φ)/√(2πφy^p).
    family, y = Tweedie(power), np.array([1e6, 1e7])
    mean = 1.01 * y
    phi = 1e-4 * y ** (2 - power)
    for row in range(2):
        expected = -0.5 * family.deviance(y, mean) / phi - 0.5 * np.log(2 * np.pi * phi * y**power)
        found = family.log_likelihood(y[row], mean[row], phi[row])
        assert abs(found - expected[row]) < 1e-3


@parametrize_cases
def test_derivative_of_the_log_likelihood_is_the_quasi_score(family, oracle, y, mean):
    scale, h = (PHI if family.has_dispersion else 1.0), 1e-6
    above, below = (family.log_likelihood(y, mean + s * h, scale) for s in (1, -1))
    expected = (y - mean) / family.variance(mean) / scale
    np.testing.assert_allclose((above - below) / (2 * h), expected, rtol=1e-5, atol=1e-6)


@parametrize_cases
def test_variance_derivative_by_finite_differences(family, oracle, y, mean):
    h = 1e-6
    slope = (family.variance(mean + h) - family.variance(mean - h)) / (2 * h)
    np.testing.assert_allclose(family.variance_derivative(mean), slope, rtol=1e-6, atol=1e-8)


@parametrize_cases
def test_deviance_is_twice_the_log_likelihood_lost(family, oracle, y, mean):
    if family.name == "tweedie":
        y = np.maximum(y, 0.1)
    saturated = np.where(y == 0, np.finfo(float).tiny, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = family.log_likelihood(y, saturated)
    lost = 2 * (best - family.log_likelihood(y, mean))
    np.testing.assert_allclose(family.deviance(y, mean), lost, rtol=1e-9, atol=1e-10)


@parametrize_cases
def test_the_simulated_responses_are_in_the_support(family, oracle, y, mean):
    assert family.in_support(y).all()
    assert not family.in_support(np.array([np.nan, np.inf])).any()
    start = family.initial_mean(y, np.ones_like(y))
    assert family.valid_mean(start).all()


@pytest.mark.parametrize("name", ["binomial", "poisson", "gamma", "inverse-gaussian", "negative-binomial", "tweedie"])
def test_negative_responses_and_means_are_refused(name):
    family = resolve_family(name)
    assert not family.in_support(np.array([-0.1]))[0]
    assert not family.valid_mean(np.array([-0.1]))[0]


@pytest.mark.parametrize("name", ["gamma", "inverse-gaussian"])
def test_zero_is_no_positive_response(name):
    assert not resolve_family(name).in_support(np.zeros(1))[0]


@pytest.mark.parametrize(("name", "eta"), [("binomial", 800.0), ("binomial", -800.0), ("poisson", -800.0)])
def test_natural_log_likelihood_is_finite_far_out(name, eta):
    family = resolve_family(name)
    mean = np.array({"binomial": float(eta > 0), "poisson": 0.0}[name])
    y = np.array([0.0, 1.0])
    # log(1 + e^η) is η for large η and 0 for small; e^−800 is 0.
    beyond = max(eta, 0.0) if name == "binomial" else 0.0
    np.testing.assert_array_equal(
        family.natural_log_likelihood(y, np.float64(eta), mean, mean * (1 - mean)), y * eta - beyond
    )


@pytest.mark.parametrize("name", ["gaussian", "binomial", "poisson"])
def test_natural_log_likelihood_is_the_log_likelihood(name):
    family, _, y, mean = CASES[name]
    eta = LINKS[family.natural_link].link(mean)
    natural = family.natural_log_likelihood(y, eta, mean, family.variance(mean))
    np.testing.assert_allclose(natural, family.log_likelihood(y, mean), rtol=1e-10, atol=1e-12)


def test_a_perfect_binomial_mean_costs_nothing():
    binomial = resolve_family("binomial")
    ends = np.array([0.0, 1.0])
    np.testing.assert_array_equal(binomial.log_likelihood(ends, ends), 0.0)
    np.testing.assert_array_equal(binomial.deviance(ends, ends), 0.0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, np.inf])
def test_negative_binomial_refuses_alpha(alpha):
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        NegativeBinomial(alpha)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0, np.nan])
def test_tweedie_refuses_power(power):
    with pytest.raises(ValueError, match="strictly between 1 and 2"):
        Tweedie(power)


def test_names_and_objects_resolve():
    assert resolve_family("poisson") == FAMILIES["poisson"]()
    assert resolve_family(NegativeBinomial(2.0)).alpha == 2.0
    with pytest.raises(ValueError, match=r"Unknown family 'possion'; must be one of binomial, gamma"):
        resolve_family("possion")
    with pytest.raises(TypeError, match=r"neither a name nor an object of dask_onestep.families"):
        resolve_family(3)
    with pytest.raises(NotImplementedError):
        Family().variance(np.ones(1))


@pytest.mark.parametrize("y", [[0.0, 3.0, 1023.0], [0.0, 1024.0], [2.0, 5000.0], [0.5, 2.25], [], [[0.0], [7.0]]])
def test_poisson_counts_small_or_large_or_broken_have_the_density(y):
    y = np.array(y)
    mean = y + 0.5
    expected = y * np.log(mean) - mean - special.gammaln(y + 1)
    np.testing.assert_allclose(resolve_family("poisson").log_likelihood(y, mean), expected, rtol=1e-14)


def test_binomial_log_likelihood_keeps_its_digits_in_the_tails():
    eta = np.array([-700.0, -40.0, -1.0, 0.0, 1.0, 40.0])
    mean, variance = mean_and_derivative(LINKS["logit"], eta)
    found = resolve_family("binomial").natural_log_likelihood(np.zeros(6), eta, mean, variance)
    np.testing.assert_allclose(found, -np.logaddexp(0, eta), rtol=1e-15)
