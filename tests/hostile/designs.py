"""Columns that say the same, responses that are certain, and numbers near the ends of the range."""

from types import SimpleNamespace

import numpy as np
from catalogue import Table, agrees, answered, base, case, like, reference, refused

from dask_onestep import MLE, DebiasedLasso, GLMRegressor, OneStep

T, P, B = base(), base("poisson"), base("binomial")
AT = np.arange(120)
a, b = T.x.T


def columns(*parts, table=T):
    return table.with_(x=np.column_stack(parts))


def _aliased(*numbers):
    """Accept NaN for these columns, and for the rest the fit without them."""

    def check(model):
        kept = [i for i in range(len(model.coef_)) if i not in numbers]
        assert np.isnan(model.coef_[list(numbers)]).all()
        fit = reference(T if len(kept) == 2 else T.with_(x=T.x[:, kept]))
        np.testing.assert_allclose([model.intercept_, *model.coef_[kept]], fit.params, rtol=1e-6)
        at = [0, *(i + 1 for i in kept)]
        np.testing.assert_allclose(np.sqrt(np.diag(model.covariance_))[at], fit.bse, rtol=1e-6)

    return check


one = np.ones(120)
for name, table, lost, says in (
    ("a constant next to the intercept", columns(a, b, one), 2, "x2 = 1·intercept"),
    ("a large constant", columns(a, b, 2013 * one), 2, "x2 = 2.01e+03·intercept"),
    ("a column of zeros", columns(a, b, 0 * a), 2, "x2 = 0, or so small that its squares underflow"),
    ("a column twice", columns(a, b, a), 2, "x2 = 1·x0"),
    ("a multiple", columns(a, b, -1e6 * a), 2, "x2 = -1e+06·x0"),
    ("a sum", columns(a, b, a + b), 2, "x2 = 1·x0 + 1·x1"),
    ("a shifted column", columns(a, b, a + 7), 2, "x2 = 7·intercept + 1·x0"),
):
    case(
        "rank",
        name,
        table,
        answered(_aliased(lost), f"aliased columns are set to NaN: x2. By QR of all rows, {says}. Drop"),
    )
both = columns(AT % 2 == 0, AT % 2 == 1)


def _dummies(model):
    assert np.isfinite(model.coef_[0])
    assert np.isnan(model.coef_[1])
    fit = reference(columns(AT % 2 == 0))
    np.testing.assert_allclose([model.intercept_, model.coef_[0]], fit.params, rtol=1e-8)


case("rank", "an indicator for each level", both, answered(_dummies, "x1 = 1·intercept + -1·x0"))
near = columns(a, b, a + 1e-4 * np.sin(AT))
case("rank", "nearly collinear", near, like(near, rtol=1e-5))


def _user_constant(model):
    fit = reference(T)
    np.testing.assert_allclose([model.coef_[2], *model.coef_[:2]], fit.params, rtol=1e-9)


case(
    "rank",
    "a constant instead of the intercept",
    columns(a, b, one),
    answered(_user_constant),
    lambda: GLMRegressor(fit_intercept=False),
)
year = columns(a, b, 2013.0 + AT % 3)
case("rank", "a column far from zero", year, like(year))
case(
    "rank",
    "all columns constant",
    columns(one, 3 * one),
    answered(lambda m: np.testing.assert_allclose(m.intercept_, T.y.mean()), "x0 = 1·intercept; x1 = 3·intercept"),
)

# Separation.


def _some(model):
    assert np.isfinite(model.coef_).all()


sure = B.with_(y=(B.x[:, 0] > 0).astype(float))
SEPARATED = "Complete or quasi-complete separation of the classes: a linear combination of "
PRIOR = "MLE does not exist on the pilot sample"
case(
    "separation",
    "perfect",
    sure,
    answered(_some, SEPARATED + "x0"),
    "binomial",
)
case(
    "separation",
    "perfect, labels",
    sure.with_(y=np.where(sure.y == 1, "late", "on time")),
    answered(_some, SEPARATED + "x0"),
    "labels",
)
case(
    "separation",
    "perfect, by maximum likelihood",
    sure,
    answered(_some, SEPARATED + "x0"),
    lambda: GLMRegressor("binomial", method="mle"),
)
rare = columns(B.x[:, 0], AT < 6, table=B).put("y", AT < 6, 1.0)
case("separation", "a level with one outcome", rare, answered(_some, SEPARATED + "x1"), "binomial")
zeros = columns(P.x[:, 0], AT < 20, table=P).put("y", AT < 20, 0.0)
case(
    "separation",
    "a level without counts",
    zeros,
    answered(_some, "separation of zeros of y: a linear combination of x1"),
    "poisson",
)
overlap = sure.put("y", np.argsort(np.abs(B.x[:, 0]))[:4], np.array([0.0, 1.0, 0.0, 1.0]))
case(
    "separation",
    "all but four rows",
    overlap,
    like(overlap, "binomial", rtol=1e-4),
    lambda: GLMRegressor("binomial", method="mle"),
)

# Scale.
for power in (8, 100, -8, -100):
    scaled = T.with_(x=T.x * [10.0**power, 1.0])

    def _unscaled(model, power=power):
        outer = np.array([1.0, 10.0**power, 1.0])
        unscaled = SimpleNamespace(
            intercept_=model.intercept_,
            coef_=model.coef_ * outer[1:],
            covariance_=model.covariance_ * outer[:, None] * outer,
        )
        agrees(unscaled, reference(T))

    case("scale", f"a column of 1e{power}", scaled, answered(_unscaled))
case(
    "scale",
    "a column of 1e200",
    T.with_(x=T.x * [1e200, 1.0]),
    refused("squares overflow, in column x0", "Divide it by a constant"),
)


def _without_x0(model):
    np.testing.assert_equal(np.isnan(model.coef_), [True, False])
    np.testing.assert_allclose(model.coef_[1], reference(T.with_(x=T.x[:, 1:])).params[1], rtol=1e-6)


case(
    "scale",
    "a column of 1e-200",
    T.with_(x=T.x * [1e-200, 1.0]),
    answered(_without_x0, "x0 = 0, or so small that its squares underflow"),
)
years = P.rows(AT < 3).with_(
    x=np.array(
        [
            [0.125730221, 0.104900117, 1.30400005, -1.26542147, 2013.0],
            [-0.132104863, -0.535669373, 0.947080963, -0.623274463, 2014.0],
            [0.64042265, 0.361595055, -0.703735236, 0.0413259793, 2014.0],
        ]
    ),
    y=np.array([1.0, 2.0, 1.0]),
)
case(
    "scale",
    "three rows, and years, in a lasso's second round",
    years,
    answered(
        _some,
        "1 of 2 corrections would have decreased the log-likelihood and were shortened",
    ),
    lambda: GLMRegressor("poisson", method=DebiasedLasso(0.1, nodewise="partition", steps=2)),
)
dollars = columns(1e7 * a + 3e7, 1e-3 * b)
case("scale", "dollars next to shares", dollars, like(dollars))


def _times(factor):
    def check(model):
        fit = reference(T)
        np.testing.assert_allclose(np.array([model.intercept_, *model.coef_]) / factor, fit.params, rtol=1e-6)
        np.testing.assert_allclose(np.sqrt(np.diag(model.covariance_)) / factor, fit.bse, rtol=1e-6)

    return answered(check)


for power in (6, 100, -6, -100):
    case("scale", f"y of 1e{power}", T.with_(y=T.y * 10.0**power), _times(10.0**power))
case(
    "scale",
    "y of 1e-200",
    T.with_(y=T.y * 1e-200),
    refused("their squares underflow", "Divide"),
)
case("scale", "counts of 1e-200", P.with_(y=P.y * 1e-200), refused("squares underflow", "Divide"), "poisson")
case("scale", "y of 1e200", T.with_(y=T.y * 1e200), refused("y", "squares overflow", "Divide"))
case(
    "scale",
    "y of dollars, from a small pilot",
    T.with_(y=T.y * 1e6),
    _times(1e6),
    lambda: GLMRegressor(method=OneStep(pilot_size=70)),
)
case(
    "scale",
    "an offset beyond exp",
    P.with_(offset=np.full(120, 1000.0)),
    answered(
        lambda m: np.testing.assert_allclose(
            [m.intercept_ + 1000.0, *m.coef_], reference(P, "poisson").params, rtol=1e-6
        )
    ),
    lambda: GLMRegressor("poisson", method=MLE()),
)
case(
    "scale",
    "offsets far apart",
    B.with_(offset=np.where(AT % 2, 300.0, -300.0)),
    answered(_some, "arbitrarily far from the MLE. Check for separation, and for covariates, offsets"),
    "binomial",
)
draw = np.random.default_rng(9)
vast = Table(
    np.c_[draw.normal(size=35), np.zeros(35), 2013.0 + draw.integers(0, 2, 35)], draw.random(35) < 0.5, sizes=(35,)
)
case(
    "scale",
    "offsets beyond all bounds",
    vast.with_(y=vast.y.astype(float), offset=800.0 * draw.normal(size=35)),
    answered(
        lambda m: None,
        "x1 = 0, or so small that its squares underflow",
        # The pilot of a frame has other rows, and another cause.
        "pilot_size",
    ),
    lambda: GLMRegressor("binomial", method=OneStep(12, steps=1), cov_type="HC1"),
)
outlier = P.with_(x=np.where((AT == 7)[:, None], [40.0, 0.0], P.x)).put("y", 7, 0.0)
case(
    "scale",
    "one covariate far out",
    outlier,
    like(outlier, "poisson", rtol=1e-4),
    lambda: GLMRegressor("poisson", method=MLE()),
)
case(
    "scale",
    "counts of 1e12",
    P.with_(y=P.y * 1e12),
    like(P.with_(y=P.y * 1e12), "poisson", rtol=1e-5),
    lambda: GLMRegressor("poisson", method=MLE()),
)
