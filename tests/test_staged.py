"""A likelihood with a stage: the mean of all rows is absorbed, and the fit is that of a model with an intercept."""

from dataclasses import dataclass, replace

import dask.array as da
import numpy as np
import pytest
from support import Loads

from dask_onestep import MLE, GLMRegressor, OneStep, Surrogate
from dask_onestep.families import Gaussian
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.model import Stage
from dask_onestep.kernels.records import Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.links import LINKS

NORMAL = Gaussian()


@dataclass(frozen=True, slots=True)
class Totals(Sums):
    n: float
    x: np.ndarray
    y: float


@kernel
def totals(rows, model, coef):
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    return Totals(float(weights.sum()), weights @ rows.x, float(weights @ rows.y))


def means(total, model):
    return Totals(total.n, total.x / total.n, total.y / total.n)


@dataclass(frozen=True)
class Centred(OnePredictor):
    """The normal likelihood with an absorbed constant."""

    family: Gaussian = NORMAL
    link: object = LINKS["identity"]

    stages = (Stage("totals", totals, means),)

    def view(self, rows, model, coef, mean):
        return replace(rows, x=rows.x - mean.x, y=rows.y - mean.y)

    def moments(self, rows, model, coef, *earlier):
        sums = super().moments(rows, model, coef, *earlier)
        return replace(sums, absorbed=sums.weight / earlier[0].n)


def data(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) + np.array([1.0, -2.0, 0.5])
    y = 3 + x @ [0.5, -0.5, 0.2] + rng.normal(size=n) * (1 + (x[:, 0] > 1))
    return x, y, rng.uniform(0.5, 2, n)


def pair(method=None, **options):
    """Return the estimator with an absorbed constant, and that with an intercept."""
    staged = GLMRegressor(Centred(), fit_intercept=False, method=method or MLE(), **options)
    return staged, GLMRegressor("gaussian", method=MLE(), **options)


def same(staged, plain):
    np.testing.assert_allclose(staged.coef_, plain.coef_, rtol=1e-9)
    np.testing.assert_allclose(staged.covariance_, plain.covariance_[1:, 1:], rtol=1e-8)
    assert staged.dispersion_ == pytest.approx(plain.dispersion_, rel=1e-9)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "cluster"])
@pytest.mark.parametrize("start", ["pilot", None])
@pytest.mark.parametrize("chunk", [3000, 700])
def test_an_absorbed_constant_is_an_intercept(cov_type, start, chunk):
    x, y, weights = data()
    rows = [da.from_array(part, chunks=(chunk, *part.shape[1:])) for part in (x, y, weights)]
    groups = da.from_array(np.arange(len(y)) % 40, chunks=chunk) if cov_type == "cluster" else None
    method = MLE() if start == "pilot" else MLE(start=None)
    staged, plain = (
        glm.fit(*rows[:2], sample_weight=rows[2], groups=groups) for glm in pair(method, cov_type=cov_type)
    )
    same(staged, plain)


def test_a_stage_is_a_pass_each_time(tmp_path):
    loads = Loads(tmp_path)
    table = loads.array()
    staged, _ = pair(MLE(start=None))
    staged.fit(table[:, 1:], table[:, 0])
    assert staged.n_passes_ == 5  # the survey; totals and moments, at 0 and at the maximum
    assert set(loads.counts().values()) == {staged.n_passes_}


def test_solvers_and_qr_agree():
    x, y, _ = data()
    staged, plain = (glm.fit(x, y) for glm in pair(solver="qr"))
    same(staged, plain)


@pytest.mark.parametrize("method", [OneStep(), Surrogate()], ids=str)
def test_methods_that_know_no_stages_refuse(method):
    x, y, _ = data(600)
    with pytest.raises(ValueError, match=r"does not support Centred, .*method='mle'"):
        GLMRegressor(Centred(), fit_intercept=False, method=method).fit(x, y)


def test_what_knows_no_stages_refuses():
    x, y, _ = data(600)
    glm = pair()[0].fit(x, y)
    for ask in (glm.drop1, glm.fit_statistics, glm.score):
        with pytest.raises(ValueError, match="Centred is not a sum over rows"):
            ask(x, y)
    assert glm.wald_test("x0").df == 1


@pytest.mark.parametrize("cov_type", ["HC3", "CRV3"])
def test_covariances_that_take_rows_by_themselves_refuse(cov_type):
    x, y, _ = data(600)
    staged, _ = pair(cov_type=cov_type)
    with pytest.raises(ValueError, match=f"cov_type='{cov_type}' is not available for Centred"):
        staged.fit(x, y, groups=np.arange(600) % 9 if cov_type == "CRV3" else None)
