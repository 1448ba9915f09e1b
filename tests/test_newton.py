"""Newton's method, against statsmodels and closed forms."""

import numpy as np
import pytest
import statsmodels.api as sm
from support import model_of
from test_likelihood import oracle

from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.newton import arrived, fit_rows, maximize, rose
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Rows


def bowl(center, curvature):
    def objective(b):
        gap = center - b
        return Moments(1, 1.0, float(-0.5 * gap @ curvature @ gap), curvature @ gap, curvature)

    return objective


CENTER = np.array([1.0, -2.0, 3.0])
CURVATURE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 5.0]])


def test_a_quadratic_takes_one_step():
    found = maximize(bowl(CENTER, CURVATURE), np.zeros(3), intercept=False)
    assert found.converged
    assert found.n_iter == 1
    np.testing.assert_allclose(found.coef, CENTER, rtol=1e-14)


def test_steps_stay_inside_a_region():
    inside = lambda b: np.linalg.norm(b) <= 2.0  # noqa: E731
    found = maximize(bowl(CENTER, CURVATURE), np.zeros(3), intercept=False, inside=inside)
    assert not found.converged
    assert inside(found.coef)
    # Halved against the boundary, the ascent ends close to it.
    assert np.linalg.norm(found.coef) > 1.9


def test_a_step_that_overshoots_is_halved():
    # −log cosh(b): from b = 2 the full Newton step leads to −11.6, where the objective is lower.
    def objective(b):
        value, slope = -np.logaddexp(b[0], -b[0]), -np.tanh(b[0])
        return Moments(1, 1.0, float(value), np.array([slope]), np.array([[1 / np.cosh(b[0]) ** 2]]))

    seen = []

    def watched(b):
        seen.append(b[0])
        return objective(b)

    found = maximize(watched, np.array([2.0]), intercept=False)
    assert seen[1] < -11
    assert objective(np.array([seen[1]])).loglik < objective(np.array([2.0])).loglik
    assert found.converged
    assert abs(found.coef[0]) < 1e-8


def test_it_stops_where_it_is_told():
    found = maximize(bowl(CENTER, CURVATURE / 3), np.zeros(3), intercept=False, max_iter=0)
    assert not found.converged
    assert found.n_iter == 0
    np.testing.assert_array_equal(found.coef, 0)


def test_rose():
    assert rose(1.0, 1.0)
    assert rose(-1e6 - 1e-6, -1e6)  # rounding
    assert not rose(-1e6 - 1.0, -1e6)
    assert not rose(np.nan, 0.0)
    assert not rose(np.nan, -np.inf)
    assert not rose(-np.inf, 0.0)
    assert rose(-5.0, -np.inf)


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
    rows = Rows(rng.normal(size=(50, 2)), rng.normal(size=50))
    optimum = fit_rows(rows, model_of())
    again = fit_rows(rows, model_of(), start=optimum.coef)
    assert again.n_iter == 0
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


def test_the_end_of_an_ascent():
    at = Moments(100, 100.0, -140.0, np.zeros(2), np.eye(2), 100.0, np.zeros(2))
    assert arrived(at, 1e-17, 2, 1e-16)
    assert not arrived(at, 1e-15, 2, 1e-16)
    assert arrived(at, 1e-15, 2, 1e-16, last=0.9e-15)  # falls no more: rounding
    assert not arrived(at, 1e-15, 2, 1e-16, last=4e-15)
    assert not arrived(at, 1e-3, 2, 1e-16, last=1e-4)  # too large for rounding
    assert not arrived(Moments(1, 1.0, -np.inf, np.zeros(2), np.eye(2)), 0.0, 2, 1e-16)
