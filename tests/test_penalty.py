import numpy as np
import pytest
from scipy.stats import binom, norm, t

from dask_onestep.families import Gaussian
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.lasso import fit_null, fit_scaled_lasso
from dask_onestep.kernels.lassos.penalty import Penalty, penalty_level
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Model
from dask_onestep.links import LINKS


@pytest.mark.parametrize("p", [2, 10, 200, 5000])
def test_penalty_level_solves_its_equation_below_the_universal_level(p):
    level = penalty_level(2.0, p)
    assert p * norm.sf(level) == pytest.approx(level**4 + 2 * level**2)
    assert level < np.sqrt(2 * np.log(p))


@pytest.mark.parametrize("p", [5, 200, 5000])
def test_penalty_level_is_that_of_scalreg(p):
    # R's scalreg, lam0="quantile": a damped iteration, stopped at 0.001.
    root, last = 0.1, 0.0
    while abs(root - last) > 1e-3:
        last = root
        root = (norm.isf(min((root**4 + 2 * root**2) / p, 0.99)) + root) / 2
    assert penalty_level(100.0, p) == pytest.approx(np.sqrt(2 / 100) * root, abs=2e-3)


@pytest.mark.slow
def test_columns_of_noise_stay_at_zero_as_often_as_the_level_promises():
    # Given y, the correlations of independent normal columns with it are independent, and r√((n − 2)/(1 − r²)) is t.
    n, p, draws = 200, 10, 300
    level = penalty_level(n, p)
    promised = (1 - 2 * t(n - 2).sf(level * np.sqrt((n - 2) / (1 - level**2)))) ** p
    model = Model(OnePredictor(Gaussian(), LINKS["identity"]), tuple(f"x{j}" for j in range(p)))
    rng, empty = np.random.default_rng(0), 0
    for _ in range(draws):
        rows = Rows(rng.standard_normal((n, p)), 5.0 + 3.0 * rng.standard_normal(n))
        fit = fit_scaled_lasso(rows, model, 1.0, fit_null(rows, model))
        empty += not fit.coef[1:].any()
    assert 0.05 < promised < 0.1
    assert norm.sf(4) < binom.cdf(empty, draws, promised)
    assert norm.sf(4) < binom.sf(empty - 1, draws, promised)


def test_value_is_the_elastic_nets():
    penalty = Penalty.of(np.array([0.0, 0.2, 0.5]), 0.25)
    np.testing.assert_allclose(penalty.alpha, [0.0, 0.2, 0.5])
    expected = 0.2 * (0.25 * 2 + 0.75 * 2**2 / 2) + 0.5 * (0.25 * 1 + 0.75 * 1 / 2)
    assert penalty.value(np.array([9.0, -2.0, 1.0])) == pytest.approx(expected)
