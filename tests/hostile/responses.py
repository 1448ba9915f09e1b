"""Responses, labels and weights that a model may not take."""

import numpy as np
import pandas as pd
import statsmodels.api as sm
from catalogue import ARRAY, FRAME, NUMPY, agrees, answered, base, case, like, reference, refused

from dask_onestep import GLMClassifier, GLMRegressor

T, P, B, G = base(), base("poisson"), base("binomial"), base("gamma")
AT = np.arange(120)

# Responses outside the family.
for family, table, value, says in (
    ("poisson", P, -1.0, "numbers that are not negative (e.g. -1)"),
    ("negative-binomial", P, -1.0, "negative"),
    ("tweedie", P, -1.0, "negative"),
    ("binomial", B, 2.0, "numbers from 0 to 1"),
    ("binomial", B, -1.0, "numbers from 0 to 1"),
    ("gamma", G, 0.0, "positive numbers (e.g. 0)"),
    ("gamma", G, -2.0, "positive numbers (e.g. -2)"),
    ("inverse-gaussian", G, 0.0, "positive numbers (e.g. 0)"),
):
    ends = refused(f"y is outside the range of the {family} family", says, "(1 row)", "choose another family", block=1)
    case("responses", f"{value:g} for {family}", table.put("y", 60, value), ends, family)
case(
    "responses",
    "proportions",
    B.with_(y=(B.y + 0.5) / 2),
    like(B.with_(y=(B.y + 0.5) / 2), "binomial", warns=("not integer numbers of successes",)),
    "binomial",
)
case(
    "responses",
    "counts that are not whole",
    P.with_(y=P.y + 0.25),
    like(P.with_(y=P.y + 0.25), "poisson", warns=("not integers",)),
    "poisson",
)


def _flat(value):
    def check(model):
        np.testing.assert_allclose(model.intercept_, value, atol=1e-12)
        np.testing.assert_allclose(model.coef_, 0, atol=1e-12)
        np.testing.assert_allclose(model.covariance_, 0, atol=1e-20)

    return answered(check)


case("responses", "zero throughout, gaussian", T.with_(y=np.zeros(120)), _flat(0.0))
case("responses", "one value throughout, gaussian", T.with_(y=np.full(120, 7.0)), _flat(7.0))


def _fails_loudly(model):
    assert np.isfinite(model.coef_).all()


case(
    "responses",
    "one value throughout, poisson",
    P.with_(y=np.full(120, 7.0)),
    answered(lambda m: np.testing.assert_allclose([m.intercept_, *m.coef_], [np.log(7), 0, 0], atol=1e-9)),
    "poisson",
)
case(
    "responses",
    "counts all zero",
    P.with_(y=np.zeros(120)),
    answered(_fails_loudly, "zeros of y are separated"),
    "poisson",
)
case(
    "responses",
    "no success at all",
    B.with_(y=np.zeros(120)),
    answered(_fails_loudly, "the classes are separated"),
    "binomial",
)

# Labels.
words = np.where(B.y == 1, "yes", "no")


def _labeled(classes):
    def check(model):
        assert model.classes_.tolist() == classes
        agrees(model, reference(B, "binomial"))

    return answered(check)


for name, y, classes in (
    ("strings", words, ["no", "yes"]),
    ("strings as objects", words.astype(object), ["no", "yes"]),
    ("booleans", B.y == 1, [False, True]),
    ("one and two", B.y.astype(int) + 1, [1, 2]),
    ("minus one and one", 2 * B.y.astype(int) - 1, [-1, 1]),
    ("whole floats", B.y, [0.0, 1.0]),
    ("large integers", B.y.astype(int) + 2**40, [2**40, 2**40 + 1]),
):
    case("labels", name, B.with_(y=y), _labeled(classes), "labels")
for name, y, classes in (
    ("booleans as objects", (B.y == 1).astype(object), [False, True]),
    ("integers as objects", B.y.astype(int).astype(object), [0, 1]),
):  # in a frame Dask takes objects for strings
    case("labels", name, B.with_(y=y), _labeled(classes), "labels", forms=(ARRAY, NUMPY))
case("labels", "categories", B.with_(y=pd.Categorical(words)), _labeled(["no", "yes"]), "labels", forms=(FRAME, NUMPY))
case(
    "labels",
    "nullable booleans",
    B.with_(y=pd.array(B.y == 1, dtype="boolean")),
    _labeled([False, True]),
    "labels",
    forms=(FRAME, NUMPY),
)
case(
    "labels",
    "bytes",
    B.with_(y=words.astype("S3")),
    refused("bytes is not supported", "Convert the labels", error=TypeError),
    "labels",
    forms=(ARRAY, NUMPY),
)
case(
    "labels",
    "one class",
    B.with_(y=np.full(120, "yes")),
    refused("y has one class only, 'yes'", "two classes", "Check that no filter"),
    "labels",
)


def _three(model):
    assert model.classes_.tolist() == [0, 1, 2]
    fit = sm.MNLogit(AT % 3, sm.add_constant(B.x)).fit(method="newton", disp=0, tol=1e-14)
    found = np.column_stack([model.intercept_, model.coef_])
    np.testing.assert_allclose(found, np.asarray(fit.params).T, atol=1e-6)


case("labels", "three classes", B.with_(y=AT % 3), answered(_three), "labels")
case(
    "labels",
    "three classes with a probit link",
    B.with_(y=AT % 3),
    refused("multiclass", "y has the labels 0, 1, 2", "use link='logit'"),
    lambda: GLMClassifier(link="probit"),
)
case(
    "labels",
    "a hundred and twenty classes",
    B.with_(y=AT),
    refused("more than 100 distinct labels", "Use GLMRegressor"),
    "labels",
)
case("labels", "continuous", B.with_(y=T.y), refused("Unknown label type: continuous", "use GLMRegressor"), "labels")
case(
    "labels",
    "strings next to numbers",
    B.with_(y=np.where(B.y == 1, "yes", None).astype(object)).put("y", AT[B.y == 0], 0),
    refused("labels of mixed types, which cannot be sorted: int, str", "y.astype(str)"),
    "labels",
    forms=(ARRAY, NUMPY),
)
case(
    "labels",
    "strings in the blocks after those of numbers",
    B.rows(np.argsort(B.y, kind="stable"))
    .with_(y=np.where(np.sort(B.y) == 1, "yes", None).astype(object), sizes=(int(120 - B.y.sum()), int(B.y.sum())))
    .put("y", np.sort(B.y) == 0, 0),
    refused("labels of mixed types, which cannot be sorted: int, str", "y.astype(str)"),
    "labels",
    forms=(ARRAY, NUMPY),
)
case("labels", "complex", B.with_(y=B.y + 1j), refused("omplex"), "labels")
case(
    "labels",
    "one class in each block",
    B.rows(np.argsort(B.y, kind="stable")).with_(sizes=(int(120 - B.y.sum()), int(B.y.sum()))),
    _labeled([0.0, 1.0]),
    "labels",
)

# Weights.
some = np.where(AT % 4 == 0, 0.0, 1.0 + AT % 3)


def _as_if_zero(model):
    fit = reference(T.rows(AT % 4 != 0))
    np.testing.assert_allclose([model.intercept_, *model.coef_], fit.params, rtol=1e-8)


kept = T.with_(weights=some).rows(some > 0)


def _as_without(model):
    fit = reference(kept)
    np.testing.assert_allclose([model.intercept_, *model.coef_], fit.params, rtol=1e-8)


case("weights", "zero for some rows", T.with_(weights=some), answered(_as_without))
case(
    "weights",
    "zero for a block",
    T.with_(weights=np.where(AT < 50, 0.0, 1.0)),
    like(T.with_(weights=np.where(AT < 50, 0.0, 1.0))),
)
case("weights", "zero for all", T.with_(weights=np.zeros(120)), refused("sample_weight", "zero"))
case("weights", "zero for all labels", B.with_(weights=np.zeros(120)), refused("sample_weight", "zero"), "labels")
case(
    "weights",
    "negative",
    T.with_(weights=np.where(AT == 60, -1.0, 1.0)),
    refused("sample_weight is negative (1 row)", "zero or positive", block=1),
)
for power in (90, -90):
    scaled = T.with_(weights=10.0**power * (1.0 + AT % 3))
    case("weights", f"of 1e{power}", scaled, like(scaled))
case(
    "weights",
    "of 1e200",
    T.with_(weights=1e200 * (1.0 + AT % 3)),
    refused("sample_weight is above 1e+100 (120 rows)", "Divide it by a constant"),
)
case("weights", "of 1e-200", T.with_(weights=1e-200 * (1.0 + AT % 3)), refused("sample_weight is zero", "below 1e-100"))
case(
    "weights",
    "of 1e-200 next to one",
    T.with_(weights=np.where(AT % 4 == 0, 1e-200, 1.0)),
    answered(lambda m: _as_if_zero(m)),
)
case(
    "weights", "of all magnitudes", T.with_(weights=10.0 ** (AT % 13 - 6)), like(T.with_(weights=10.0 ** (AT % 13 - 6)))
)
repeated = T.rows(np.repeat(AT, 1 + AT % 3))
case(
    "weights",
    "frequencies count rows",
    T.with_(weights=1 + AT % 3),
    like(repeated),
    lambda: GLMRegressor(weight_type="frequency"),
)
case("weights", "two columns", T.with_(weights=np.ones((120, 2))), refused("sample_weight"), forms=("array", "numpy"))
