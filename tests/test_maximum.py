"""Maximum-likelihood fits of rows in memory, against statsmodels and closed forms."""

import numpy as np
import pytest
import statsmodels.api as sm
from support import model_of
from test_likelihood import oracle

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import initial_moments, moments


@pytest.mark.filterwarnings("ignore:The .* link function does not respect the domain")
@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("gaussian", "identity"),
        ("binomial", "logit"),
        ("binomial", "probit"),
        ("binomial", "cloglog"),
        ("poisson", "log"),
        ("gamma", "inverse"),
        ("gamma", "log"),
        ("inverse-gaussian", "log"),
        ("negative-binomial", "log"),
        ("tweedie", "log"),
    ],
)
def test_fit_rows_is_the_mle_of_statsmodels(family, link):
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (300, 2))
    mean = 1.0 + x @ [0.3, 0.2]
    y = {
        "gaussian": lambda: rng.normal(mean),
        "binomial": lambda: rng.binomial(1, mean / 2).astype(float),
        "poisson": lambda: rng.poisson(mean).astype(float),
        "negative-binomial": lambda: rng.poisson(mean).astype(float),
    }.get(family, lambda: rng.gamma(2.0, mean / 2))()
    rows = Rows(x, y, rng.uniform(0.5, 2, 300), rng.uniform(-0.1, 0.1, 300))
    found = fit_rows(rows, model_of(family, link))
    assert found.converged
    glm = sm.GLM(y, sm.add_constant(x), oracle(family, link), offset=rows.offset, var_weights=rows.weights)
    expected = glm.fit(tol=1e-14, maxiter=200).params
    np.testing.assert_allclose(found.coef, expected, rtol=1e-7, atol=1e-8)
    assert np.abs(moments(rows, model_of(family, link), found.coef).score).max() < 1e-6


def test_separated_rows_do_not_converge():
    x = np.r_[-np.arange(1.0, 6), np.arange(1.0, 6)][:, None]
    found = fit_rows(Rows(x, (x[:, 0] > 0).astype(float)), model_of("binomial", columns=1))
    assert not found.converged


def test_a_start_is_used():
    rng = np.random.default_rng(1)
    rows, model = Rows(rng.normal(size=(50, 2)), rng.poisson(2.0, size=50).astype(float)), model_of("poisson")
    optimum = fit_rows(rows, model)
    again = fit_rows(rows, model, start=optimum.coef)
    assert (optimum.n_iter > 0, again.n_iter) == (True, 0)
    np.testing.assert_array_equal(again.coef, optimum.coef)


def test_aliased_columns_stay_at_zero():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 2))
    rows = Rows(np.c_[x, x[:, 0]], rng.normal(size=50))
    found = fit_rows(rows, model_of(columns=3))
    assert found.converged
    assert found.coef[3] == 0
    np.testing.assert_allclose(found.coef[:3], fit_rows(Rows(x, rows.y), model_of()).coef, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_the_unit_and_the_level_of_y_do_not_matter(scale, shift):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 2))
    y = (rng.normal(size=500) + x @ [1.0, 2.0] + shift) * scale
    found = fit_rows(Rows(x, y), model_of())
    assert found.converged
    centred = sm.OLS(y - shift * scale, sm.add_constant(x)).fit()
    errors = (found.coef - [shift * scale, 0, 0] - centred.params) / centred.bse
    assert np.abs(errors).max() < (1e-5 if shift else 1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_a_gaussian_model_with_a_log_link_converges_in_any_unit(scale):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 2)) * 0.3
    mean = np.exp(x @ [1.0, 2.0])
    noise = 0.1 * rng.normal(size=500)
    found = fit_rows(Rows(x, np.maximum(mean + noise, 0.01) * scale), model_of("gaussian", "log"))
    plain = fit_rows(Rows(x, np.maximum(mean + noise, 0.01)), model_of("gaussian", "log"))
    assert found.converged
    np.testing.assert_allclose(found.coef - [np.log(scale), 0, 0], plain.coef, rtol=1e-8, atol=1e-9)


def test_rows_that_fit_exactly():
    x = np.random.default_rng(2).normal(size=(50, 2))
    found = fit_rows(Rows(x, 1 + x @ [2.0, 3.0]), model_of())
    assert found.converged
    np.testing.assert_allclose(found.coef, [1, 2, 3], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:The .* link function does not respect the domain")
@pytest.mark.parametrize(
    ("family", "link", "seed"),
    [("poisson", "identity", 5), ("gamma", "identity", 1), ("inverse-gaussian", "inverse-squared", 4)],
)
def test_a_first_fit_with_impossible_means_is_replaced(family, link, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (40, 1))
    mean = {"identity": 0.1 + 4 * x[:, 0], "inverse-squared": (0.1 + 2 * x[:, 0]) ** -0.5}[link]
    mean = mean if family == "poisson" or link == "inverse-squared" else mean / 2 + 0.05
    y = rng.poisson(mean).astype(float) if family == "poisson" else rng.gamma(1.0, mean)
    rows, model = Rows(x, y), model_of(family, link, columns=1)
    first = initial_moments(rows, model)
    assert not np.isfinite(moments(rows, model, np.linalg.solve(first.information, first.score)).loglik)
    _assert_maximum(rows, model, family, link)


def test_negative_responses_have_a_start_under_the_log_link():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (40, 1))
    rows = Rows(x, np.exp(x[:, 0]) + 2 * rng.normal(size=40))
    assert (rows.y < 0).any()
    _assert_maximum(rows, model_of("gaussian", "log", columns=1), "gaussian", "log")


def _assert_maximum(rows, model, family, link):
    found = fit_rows(rows, model)
    assert found.converged
    peer = sm.GLM(rows.y, sm.add_constant(rows.x), oracle(family, link))
    np.testing.assert_allclose(peer.score(found.coef, scale=1.0), 0.0, atol=1e-6)


def test_a_safe_start_has_a_possible_mean_for_every_offset():
    model = model_of("poisson", "identity", columns=1)
    rows = Rows(np.zeros((3, 1)), np.full(3, 5.0), offset=np.array([-6.0, 0.0, 6.0]))
    np.testing.assert_allclose(model.likelihood.safe_start(rows, model), [11.1, 0.0])  # means of 5.1 and more
