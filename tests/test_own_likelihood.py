"""A likelihood of one's own, Huber's loss, compared with scipy's minimum and a sandwich by hand."""

from dataclasses import dataclass

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import check_grad, minimize

from dask_onestep import MLE, GLMRegressor, OneStep
from dask_onestep.families import Gaussian
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.links import LINKS

NORMAL = Gaussian()


@dataclass(frozen=True)
class Huber(OnePredictor):
    """Minus Huber's loss of (y − η)/s."""

    family: Gaussian = NORMAL
    link: object = LINKS["identity"]
    scale: float = 1.0
    c: float = 1.345

    natural = quadratic = False

    def working(self, y, eta):
        r = (y - eta) / self.scale
        return eta, np.clip(r, -self.c, self.c) / self.scale, (np.abs(r) <= self.c) / self.scale**2

    def row_log_likelihood(self, y, eta, mean, information):
        r = np.abs(y - eta) / self.scale
        return -np.where(r <= self.c, r**2 / 2, self.c * (r - self.c / 2))

    def deviances(self, y, mean):
        return -2 * self.row_log_likelihood(y, mean, mean, None)


def heavy(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, 1 + x @ [0.5, -0.5] + rng.standard_t(2, size=n)


def by_hand(x, y, likelihood):
    design = np.column_stack([np.ones(len(y)), x])
    start = np.linalg.lstsq(design, y)[0]
    loss = minimize(lambda b: likelihood.deviances(y, design @ b).sum() / 2, start, method="BFGS", tol=1e-10)
    _, psi, weight = likelihood.working(y, design @ loss.x)
    bread = np.linalg.inv(design.T @ (weight[:, None] * design))
    return loss.x, bread @ (design.T @ (psi[:, None] ** 2 * design)) @ bread


def test_its_score_is_a_derivative():
    x, y = heavy(60)
    model = Model(Huber(scale=1.3), ("a", "b"))
    rows, at = Rows(x, y), np.array([0.9, 0.3, -0.4])
    assert check_grad(lambda b: moments(rows, model, b).loglik, lambda b: moments(rows, model, b).score, at) < 1e-4


@pytest.mark.parametrize("method", [MLE(), OneStep(1500, steps=3)], ids=str)
@pytest.mark.parametrize("chunks", [500, 4000])
@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_it_is_scipys_minimum_with_its_sandwich(method, chunks):
    x, y = heavy()
    glm = GLMRegressor(Huber(), method=method, cov_type="HC0")
    glm.fit(da.from_array(x, chunks=(chunks, 2)), da.from_array(y, chunks=chunks))
    coef, sandwich = by_hand(x, y, Huber())
    errors = np.sqrt(np.diag(sandwich))
    np.testing.assert_allclose(glm.estimate_.coef / errors, coef / errors, atol=2e-3)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), errors, rtol=5e-3)


@pytest.mark.filterwarnings("ignore::dask_onestep.exceptions.FitWarning")
def test_formulas_weights_and_predictions_are_as_for_a_family():
    x, y = heavy()
    frame = pd.DataFrame({"a": x[:, 0], "g": np.where(x[:, 1] > 0, "up", "down"), "y": y, "w": 1.0})
    glm = GLMRegressor(Huber(), formula="y ~ a + g", method="mle").fit(frame, sample_weight="w")
    coef, _ = by_hand(np.column_stack([x[:, 0], x[:, 1] > 0]), y, Huber())
    np.testing.assert_allclose(glm.estimate_.coef, coef, atol=1e-4)
    design = np.column_stack([np.ones(4000), x[:, 0], x[:, 1] > 0])
    np.testing.assert_allclose(glm.predict(frame), design @ glm.estimate_.coef, rtol=1e-9)
    assert glm.likelihood_ratio_test(frame, null="a", sample_weight="w").p_value < 1e-6


def test_a_link_is_no_option_of_it():
    x, y = heavy(100)
    with pytest.raises(ValueError, match="is not an option of a likelihood, which has its own"):
        GLMRegressor(Huber(), "log").fit(x, y)


def test_its_jackknife_has_the_derivative_of_its_residuals():
    x, y = heavy(600)
    groups = np.arange(600) % 30
    glm = GLMRegressor(Huber(scale=1.5), method="mle", cov_type="CRV3").fit(x, y, groups=groups)
    design = np.column_stack([np.ones(len(y)), x])
    _, psi, weight = glm.record_.model.likelihood.working(y, design @ glm.record_.coef)
    moved = []
    for group in range(30):
        rest = groups != group
        information = design[rest].T @ (weight[rest, None] * design[rest])
        moved.append(np.linalg.solve(information, design[~rest].T @ psi[~rest]))
    np.testing.assert_allclose(glm.covariance_, 29 / 30 * np.array(moved).T @ np.array(moved), rtol=1e-6)
