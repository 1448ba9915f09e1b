"""Blocks without rows, of few rows, or of rows in an order."""

import numpy as np
from catalogue import ARRAY, FRAME, Table, answered, base, case, like, refused

from dask_onestep import DebiasedLasso, GLMRegressor, OneStep

T = base()
AT = np.arange(120)
LAZY = (ARRAY, FRAME)

for name, sizes in {
    "without rows first": (0, 60, 60),
    "without rows in the middle": (60, 0, 60),
    "without rows last": (60, 60, 0),
    "all empty but one": (0, 0, 120, 0),
    "of one row": (1, 118, 1),
    "of one row each": (1,) * 120,
    "one": (120,),
    "fewer rows than columns": (2,) * 60,
}.items():
    case("blocks", name, T.with_(sizes=sizes), like(T))
case("blocks", "sorted by y", T.rows(np.argsort(T.y)).with_(sizes=(50, 30, 40)), like(T))
case("blocks", "sorted by a column", T.rows(np.argsort(T.x[:, 0])).with_(sizes=(50, 30, 40)), like(T))
case(
    "blocks",
    "a column constant in each",
    T.with_(x=np.c_[T.x[:, 0], np.repeat([1.0, 5.0, 2.0], (50, 30, 40))]),
    like(T.with_(x=np.c_[T.x[:, 0], np.repeat([1.0, 5.0, 2.0], (50, 30, 40))])),
)


def _saturated(model):
    assert np.isfinite(model.coef_).sum() == 4
    assert np.isnan(model.covariance_).all()


few = T.with_(sizes=(2,) * 60)
for name, method in (("average", "average"), ("surrogate", "surrogate")):
    case(
        "blocks",
        f"fewer rows than coefficients, {name}",
        few,
        refused("too few rows for a local fit of 3 coefficients", "Use larger blocks", "method='one-step'"),
        lambda method=method: GLMRegressor(method=method),
        forms=LAZY,
    )
case(
    "blocks",
    "fewer rows than coefficients, debiased lasso",
    base("binomial").with_(sizes=(2,) * 60),
    refused("there is no local fit", "Use larger blocks"),
    lambda: GLMRegressor("binomial", method=DebiasedLasso(0.1, nodewise="partition", steps=1)),
    forms=LAZY,
)
case(
    "blocks",
    "fewer rows in the pilot than coefficients",
    T,
    like(T),
    lambda: GLMRegressor(method=OneStep(pilot_size=2)),
)
two = base("poisson").rows(AT < 2).with_(x=np.array([[0.6], [0.1]]), y=np.array([4.0, 2.0]))


def _known_but_for_errors(model):
    np.testing.assert_allclose(np.exp(model.intercept_ + two.x @ model.coef_), two.y, rtol=1e-6)
    assert np.isnan(model.covariance_).all()


case(
    "blocks",
    "as many rows as coefficients, HC1",
    two,
    answered(_known_but_for_errors, "No residual degrees of freedom (2 rows, 2 coefficients)"),
    lambda: GLMRegressor("poisson", method="mle", cov_type="HC1"),
)
pair = T.rows(AT < 2).with_(x=np.array([[0.12], [-0.13]]), y=np.array([0.75, -0.01]))


def _without_errors(model):
    assert np.isfinite(model.coef_).all()
    assert np.isnan(model.covariance_).all()


case(
    "blocks",
    "as many rows as coefficients, debiased lasso",
    pair,
    answered(_without_errors, "No residual degrees of freedom (2 rows, 2 nonzero coefficients"),
    lambda: GLMRegressor(method=DebiasedLasso(nodewise="partition", steps=1)),
)
wide = Table(np.random.default_rng(3).standard_normal((5, 9)), np.arange(5.0), sizes=(3, 2))
case(
    "blocks",
    "fewer rows than coefficients in all",
    wide,
    answered(
        _saturated,
        "Coefficients of aliased columns are set to NaN: x4, x5, x6, x7, x8",
        "No residual degrees of freedom (5 rows, 5 coefficients)",
    ),
)
