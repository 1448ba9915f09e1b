"""Names, levels and indexes that clash, or are odd."""

import numpy as np
import pandas as pd
from catalogue import ARRAY, FRAME, NUMPY, Table, answered, base, case, handing, like, reference, refused

from dask_onestep import GLMRegressor

T = base()
AT = np.arange(120)
both = like(T)

names = {
    "numbers": [0, 1],
    "dates": list(pd.to_datetime(["2020-01-01", "2020-01-02"])),
    "tuples": pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]),
    "empty": ["", " "],
    "of no alphabet": ["β̂ (größe)", "数量"],
    "like formulas": ["x0:x1", "C(a)[T.b]"],
    "markup": ["<script>alert(1)</script>", "a & b"],
    "dunder": ["__class__", "__dask_graph__"],
}


def named(columns):
    return T.with_(x=pd.DataFrame(T.x, columns=columns))


def _slope(model):
    np.testing.assert_allclose(model.coef_, reference(T.with_(x=T.x[:, :1])).params[1:], rtol=1e-8)


for name, columns in names.items():
    case("names", name, named(columns), both, forms=(FRAME,))
case("names", "of an array in memory", T, both, forms=(ARRAY, NUMPY))
case(
    "names",
    "intercept",
    named(["intercept", "x1"]),
    refused("The column name 'intercept' is reserved", "Rename this column"),
    forms=(FRAME, NUMPY),
)
MANY = refused("id has", "10,000", "Is it an identifier? Drop it, group its levels")
identifiers = Table(pd.DataFrame({"id": np.arange(12_000).astype(str)}), np.arange(12_000.0), sizes=(6000, 6000))
case("levels", "a row each", identifiers, MANY, forms=(FRAME, NUMPY))
million = pd.Categorical.from_codes(AT, np.arange(1_000_000).astype(str))
# Categories without rows are no levels.
USED = answered(lambda model: np.testing.assert_equal(len(model.coef_), 119), "No residual degrees of freedom")
case("levels", "a million categories", T.with_(x=pd.DataFrame({"id": million})), USED, forms=(FRAME, NUMPY))
case(
    "levels",
    "a row each, in a formula",
    T.with_(x=pd.DataFrame({"id": million, "y": T.y})),
    USED,
    lambda: GLMRegressor(formula="y ~ id"),
    forms=(FRAME, NUMPY),
    act=lambda model, X, y: model.fit(X),
)
words = T.with_(x=T.x.astype(str).astype(object) + "!")
case("levels", "strings in an array", words, refused("does not convert", "Encode"), forms=(ARRAY,))
case(
    "levels",
    "one",
    T.with_(x=pd.DataFrame({"x0": T.x[:, 0], "id": "a"})),
    answered(lambda m: _slope(m), "id has only one level, 'a', and therefore no coefficient. Drop it"),
    forms=(FRAME, NUMPY),
)
case("names", "twice the same", named(["a", "a"]), refused("two columns named 'a'", "Rename"), forms=(FRAME, NUMPY))
case("names", "the same as text", named([1, "1"]), refused("'1'"), forms=(FRAME, NUMPY))
case(
    "names",
    "y that is no column",
    T,
    refused("y='delay' is not a column of X"),
    forms=(FRAME,),
    act=handing(lambda X, y: (X, "delay")),
)
case(
    "names",
    "y by name of an array",
    T,
    refused("y='delay' names a column", "not a DataFrame", error=TypeError),
    forms=(ARRAY, NUMPY),
    act=handing(lambda X, y: (X, "delay")),
)
case(
    "names",
    "weight that is no column",
    T,
    refused("sample_weight='w' is not a column of X"),
    forms=(FRAME,),
    act=lambda model, X, y: model.fit(X, y, sample_weight="w"),
)

# Indexes.
shuffled = np.random.default_rng(4).permutation(120)


def indexed(index):
    x = pd.DataFrame(T.x, columns=["x0", "x1"], index=index)
    return T.with_(x=x)


for name, index in {
    "unsorted": shuffled,
    "duplicate": AT % 7,
    "all the same": np.zeros(120),
    "of times": pd.date_range("2020", periods=120, freq="h")[::-1],
    "of strings": [f"row {i}" for i in shuffled],
    "with NaN": np.where(AT % 5 == 0, np.nan, AT),
}.items():
    case("indexes", name, indexed(index), both, forms=(FRAME, NUMPY))
case("indexes", "of several levels", indexed(pd.MultiIndex.from_arrays([AT // 10, AT % 10])), both, forms=(NUMPY,))
case("indexes", "an array has none", T.rows(shuffled).with_(sizes=(50, 30, 40)), both, forms=(ARRAY,))
