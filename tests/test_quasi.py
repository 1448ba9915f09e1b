"""Quasi-likelihoods, against R's quasipoisson, quasibinomial and quasi."""

import pickle

import numpy as np
import pytest
import statsmodels.api as sm
from r import data_of_r, figure_of_r

from dask_onestep import MLE, GLMRegressor
from dask_onestep.families import Binomial, Gamma, Gaussian, InverseGaussian, Poisson, Quasi, resolve_family
from dask_onestep.links import LINKS, resolve_link, second_derivative
from dask_onestep.storage import read_model, write_model

DATA = data_of_r()
X = DATA[["x", "z"]]
# Of R's models: family, link, response and weights.
MODELS = {
    "quasipoisson": ("quasipoisson", None, "count", None),
    "quasibinomial": ("quasibinomial", None, "share", "trials"),
    "quasi-constant": ("quasi", None, "normal", None),
    "quasi-mu": (Quasi("mu", "log"), None, "count", None),
    "quasi-mu(1-mu)": (Quasi(variance="mu(1-mu)", link="probit"), None, "share", None),
    "quasi-mu^2": (Quasi("mu^2"), "log", "zero", None),
    "quasi-mu^3": (Quasi("mu^3", "log"), None, "positive", None),
}


def data_of(name):
    _, _, response, weights = MODELS[name]
    return {"X": X, "y": DATA[response], "sample_weight": None if weights is None else DATA[weights]}


def fit(name, method=None, **options):
    family, link, *_ = MODELS[name]
    return GLMRegressor(family, link, method=method or MLE(max_iter=200), **options).fit(**data_of(name))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["mle", "one-step"])
def test_tables_are_those_of_r(name, method, quiet):
    glm = fit(name, None if method == "mle" else "one-step")
    table = glm.coef_table()
    assert table.columns[2] == "t"
    tolerance = 1e-6 if method == "mle" else 1e-3
    np.testing.assert_allclose(table.iloc[:, :4], figure_of_r(name, "table"), rtol=tolerance, atol=1e-9)
    np.testing.assert_allclose(glm.dispersion_, figure_of_r(name, "dispersion").item(), rtol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_robust_covariances_are_those_of_sandwich(name):
    np.testing.assert_allclose(fit(name, cov_type="HC3").covariance_, figure_of_r(name, "HC3"), rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "quasi-mu^2"])
def test_deviances_and_f_tests_are_those_of_r(name):
    glm, data = fit(name), data_of(name)
    found = glm.fit_statistics(**data)
    np.testing.assert_allclose([found.deviance, found.null_deviance], figure_of_r(name, "deviance")[:, 0], rtol=1e-7)
    assert found.df_resid == len(DATA) - 3
    table, expected = glm.drop1(**data), figure_of_r(name, "drop1")
    # R's drop1 divides by the deviance of the larger model over its degrees of freedom, ours by Pearson's.
    dispersion = figure_of_r(name, "deviance")[0, 0] / found.df_resid
    np.testing.assert_allclose(table["statistic"] * glm.dispersion_ / dispersion, expected[:, -2], rtol=1e-5)
    test = glm.wald_test(["x", "z"])
    assert (test.distribution, test.df_denom) == ("F", len(DATA) - 3)


def test_zeros_of_a_squared_mean_have_deviances_whose_differences_are_those_of_the_quasi_likelihood():
    family, y = Quasi("mu^2"), np.array([0.0, 0.0, 2.0])
    for mean, other in ((np.full(3, 0.4), np.full(3, 1.5)),):
        change = family.deviance(y, mean) - family.deviance(y, other)
        np.testing.assert_allclose(change, 2 * (family.log_likelihood(y, other) - family.log_likelihood(y, mean)))


@pytest.mark.parametrize(
    ("variance", "base"),
    [
        ("constant", Gaussian()),
        ("mu", Poisson()),
        ("mu(1-mu)", Binomial()),
        ("mu^2", Gamma()),
        ("mu^3", InverseGaussian()),
    ],
)
def test_the_quasi_likelihood_has_the_derivative_of_its_definition(variance, base):
    family, mean = Quasi(variance), np.array([0.2, 0.5, 0.8])
    y = np.array([0.1, 0.7, 0.9])
    step = 1e-6
    slope = (family.log_likelihood(y, mean + step) - family.log_likelihood(y, mean - step)) / (2 * step)
    np.testing.assert_allclose(slope, (y - mean) / base.variance(mean), rtol=1e-7)
    np.testing.assert_allclose(family.deviance(y, mean), base.deviance(y, mean), rtol=1e-12)
    derivative = (family.variance(mean + step) - family.variance(mean - step)) / (2 * step)
    np.testing.assert_allclose(family.variance_derivative(mean), derivative, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["quasipoisson", "quasi-mu^3"])
def test_what_takes_a_log_likelihood_is_an_error_that_says_so(name):
    glm, data = fit(name), data_of(name)
    found = glm.fit_statistics(**data)
    for statistic in ("aic", "bic", "llf", "mcfadden"):
        with pytest.raises(AttributeError, match=f"not a log-likelihood, so {statistic}"):
            getattr(found, statistic)
    assert "aic" not in found.to_series()
    text = str(glm.summary(**data))
    assert "deviance" in text
    assert "AIC" not in text
    assert "log-likelihood" not in text


@pytest.mark.parametrize("name", MODELS)
def test_models_round_trip(tmp_path, name):
    glm = fit(name)
    write_model(glm, str(tmp_path / "model.json"))
    for kept in (read_model(str(tmp_path / "model.json")), pickle.loads(pickle.dumps(glm))):
        assert kept.family_ == glm.family_
        np.testing.assert_array_equal(kept.predict(X), glm.predict(X))
        assert kept.coef_table().equals(glm.coef_table())


def test_names_and_what_they_refuse():
    assert resolve_family("quasi") == Quasi("constant", "identity")
    assert repr(Quasi("mu", link="log")) == "Quasi(variance='mu', link='log')"
    with pytest.raises(ValueError, match=r"Unknown variance 'mu\^4'; must be one of 'constant'"):
        Quasi("mu^4")
    with pytest.raises(ValueError, match="outside the range of the quasipoisson family"):
        GLMRegressor("quasipoisson").fit(X, -DATA["count"])


@pytest.mark.parametrize("link", sorted(LINKS))
def test_second_derivatives_of_links(link):
    eta, step = np.array([0.3, 0.7, 1.4, 2.0]), 1e-6
    ours = resolve_link(link)
    expected = (ours.inverse_derivative(eta + step) - ours.inverse_derivative(eta - step)) / (2 * step)
    np.testing.assert_allclose(second_derivative(ours, eta), expected, rtol=1e-7, atol=1e-9)


def test_second_derivatives_of_links_that_have_none_are_differences():
    link, eta = resolve_link(sm.families.links.CLogLog()), np.array([-1.0, 0.0, 0.5])
    wrapped = resolve_link(sm.families.links.NegativeBinomial(alpha=0.5))
    np.testing.assert_allclose(
        second_derivative(wrapped, eta - 2.0),
        sm.families.links.NegativeBinomial(alpha=0.5).inverse_deriv2(eta - 2.0),
        rtol=1e-6,
    )
    assert link.name == "cloglog"
