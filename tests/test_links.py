"""Links against statsmodels and finite differences."""

import numpy as np
import pytest
from statsmodels.genmod.families import links as sm_links

from dask_onestep.links import LINKS, LinkLike, mean_and_derivative, resolve_link

UNIT = np.linspace(0.02, 0.98, 25)
POSITIVE = np.geomspace(0.05, 20, 25)
REAL = np.linspace(-5, 5, 25)

# name: statsmodels' link, means
CASES = {
    "identity": (sm_links.Identity(), REAL),
    "log": (sm_links.Log(), POSITIVE),
    "logit": (sm_links.Logit(), UNIT),
    "probit": (sm_links.Probit(), UNIT),
    "cloglog": (sm_links.CLogLog(), UNIT),
    "inverse": (sm_links.InversePower(), POSITIVE),
    "inverse-squared": (sm_links.InverseSquared(), POSITIVE),
    "sqrt": (sm_links.Sqrt(), POSITIVE),
}
parametrize_links = pytest.mark.parametrize(("name", "oracle", "mean"), [(n, *c) for n, c in CASES.items()])


def test_all_links_are_tested():
    assert set(CASES) == set(LINKS)
    assert all(isinstance(link, LinkLike) for link in LINKS.values())


@parametrize_links
def test_links_are_those_of_statsmodels(name, oracle, mean):
    link = LINKS[name]
    eta = link.link(mean)
    np.testing.assert_allclose(eta, oracle(mean), rtol=1e-10)
    np.testing.assert_allclose(link.inverse(eta), oracle.inverse(eta), rtol=1e-10)
    np.testing.assert_allclose(link.inverse_derivative(eta), oracle.inverse_deriv(eta), rtol=1e-9)


@parametrize_links
def test_inverse_undoes_the_link(name, oracle, mean):
    np.testing.assert_allclose(LINKS[name].inverse(LINKS[name].link(mean)), mean, rtol=1e-12)


@parametrize_links
def test_derivative_by_finite_differences(name, oracle, mean):
    link, h = LINKS[name], 1e-6
    eta = link.link(mean)
    slope = (link.inverse(eta + h) - link.inverse(eta - h)) / (2 * h)
    np.testing.assert_allclose(link.inverse_derivative(eta), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", sorted(LINKS))
def test_mean_and_derivative_together_are_the_two_apart(name):
    link = LINKS[name]
    eta = np.r_[link.link(CASES[name][1]), [-700.0, -40.0, 40.0, 700.0, np.nan] if name in ("logit", "log") else []]
    mean, derivative = mean_and_derivative(link, eta)
    np.testing.assert_allclose(mean, link.inverse(eta), rtol=1e-14)
    np.testing.assert_allclose(derivative, link.inverse_derivative(eta), rtol=1e-14)


@pytest.mark.parametrize("name", ["logit", "probit", "cloglog"])
def test_binomial_means_stay_probabilities_far_out(name):
    link = LINKS[name]
    eta = np.array([-800.0, -40.0, 40.0, 800.0])
    mean = link.inverse(eta)
    assert ((mean >= 0) & (mean <= 1)).all()
    assert (np.diff(mean) >= 0).all()
    assert np.isfinite(link.inverse_derivative(eta)).all()
    assert (link.inverse_derivative(eta) >= 0).all()


def test_logit_derivative_keeps_its_digits():
    # μ(1 − μ) is 0 from η = 37 on; the derivative there is e^−η.
    np.testing.assert_allclose(LINKS["logit"].inverse_derivative(np.array([40.0, 700.0])), np.exp([-40.0, -700.0]))


def test_log_overflows_without_a_warning():
    assert LINKS["log"].inverse(np.array([800.0]))[0] == np.inf


@pytest.mark.parametrize("name", ["inverse-squared", "sqrt"])
def test_a_negative_eta_is_no_mean(name):
    assert np.isnan(LINKS[name].inverse(np.array([-1.0]))[0])


def test_statsmodels_objects_serve():
    class Own(sm_links.Cauchy):
        """A link that this package does not have under a name, and statsmodels neither."""

    Own.__module__ = sm_links.__name__
    link = resolve_link(Own())
    eta = np.linspace(-2, 2, 5)
    assert link.name == "own"
    np.testing.assert_allclose(link.inverse(link.link(UNIT)), UNIT)
    np.testing.assert_allclose(link.inverse_derivative(eta), Own().inverse_deriv(eta))


def test_own_objects_serve_as_they_are():
    class Half:
        def link(self, mean):
            return 2 * mean

        def inverse(self, eta):
            return eta / 2

        def inverse_derivative(self, eta):
            return np.full_like(eta, 0.5)

    half = Half()
    assert resolve_link(half) is half


def test_unknown_links_are_refused():
    with pytest.raises(ValueError, match=rf"Unknown link 'logits'; must be one of {', '.join(sorted(LINKS))}\."):
        resolve_link("logits")
    with pytest.raises(TypeError, match="inverse_derivative"):
        resolve_link(np.exp)
