"""Shapes, blocks, names and indexes that do not fit, or hardly."""

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pandas as pd
from catalogue import (
    ARRAY,
    FRAME,
    NUMPY,
    Table,
    answered,
    base,
    case,
    like,
    partitions,
    reference,
    refused,
)

from dask_onestep import DebiasedLasso, GLMRegressor, OneStep

T, B = base(), base("binomial")
AT = np.arange(120)


def handing(change):
    """Fit on what a user makes of the parts before."""
    return lambda model, X, y, **others: model.fit(*change(X, y), **others)


def _unknown(a):
    return a[a[:, 0] > -np.inf] if a.ndim == 2 else a[a > -np.inf]


both = like(T)
LAZY = (ARRAY, FRAME)

# Shapes.
case("shapes", "y shorter", T, refused("120", "119"), forms=(ARRAY, NUMPY), act=handing(lambda X, y: (X, y[:-1])))
case(
    "shapes",
    "y shorter within a partition",
    T,
    refused("the parts of one block differ in length: x has 50 rows, y has 49 rows", "Align them", block=0),
    forms=(FRAME,),
    act=handing(lambda X, y: (X, y.map_partitions(lambda part: part.iloc[:49] if len(part) == 50 else part))),
)
case(
    "shapes",
    "fewer partitions in y",
    T,
    refused("X has 3 partitions and y has 1", "same frame"),
    forms=(FRAME,),
    act=handing(lambda X, y: (X, y.repartition(npartitions=1))),
)
case(
    "shapes",
    "other chunks in y",
    T,
    refused("chunked differently", "block 0 has 50 rows in X and 40 in y", "y.rechunk(X.chunks[0])"),
    forms=(ARRAY,),
    act=handing(lambda X, y: (X, y.rechunk(40))),
)
case("shapes", "unknown chunks in both", T, both, forms=(ARRAY,), act=handing(lambda X, y: (_unknown(X), _unknown(y))))
case("shapes", "unknown chunks in X", T, both, forms=(ARRAY,), act=handing(lambda X, y: (_unknown(X), y)))
case(
    "shapes",
    "unknown chunks in other numbers",
    T,
    refused("3 row blocks and y in 1", "same source"),
    forms=(ARRAY,),
    act=handing(lambda X, y: (_unknown(X), _unknown(y.rechunk(120)))),
)
case(
    "shapes",
    "unknown chunks beside memory",
    T,
    refused("unknown chunk sizes", "Make y a Dask array"),
    forms=(ARRAY,),
    act=handing(lambda X, y: (_unknown(X), T.y)),
)
case("shapes", "chunks along the columns", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X.rechunk({1: 1}), y)))
case("shapes", "y in memory beside a Dask array", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X, T.y)))
case("shapes", "y a list beside a Dask array", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X, T.y.tolist())))
case(
    "shapes",
    "y in memory beside a frame",
    T,
    refused("cannot be cut to match", "Pass y as a column's name", error=TypeError),
    forms=(FRAME,),
    act=handing(lambda X, y: (X, T.y)),
)
case(
    "shapes",
    "a frame's y beside an array",
    T,
    refused("pass both as frames", error=TypeError),
    forms=(ARRAY,),
    act=handing(lambda X, y: (X, partitions(pd.Series(T.y), (120,)))),
)
case(
    "shapes",
    "an array's y beside a frame",
    T,
    both,
    forms=(FRAME,),
    act=handing(lambda X, y: (X, da.from_array(T.y, chunks=((50, 30, 40),)))),
)
case(
    "shapes",
    "a Dask y beside memory",
    T,
    refused("X is in memory and y is a Dask collection", error=TypeError),
    forms=(NUMPY,),
    act=handing(lambda X, y: (X, da.from_array(y))),
)
case(
    "shapes",
    "y a column",
    T,
    both,
    forms=(ARRAY, FRAME),
    act=handing(lambda X, y: (X, y[:, None] if isinstance(y, da.Array) else y.to_frame("y"))),
)
case(
    "shapes",
    "y a column in memory",
    T,
    like(T, warns=("column-vector",)),
    forms=(NUMPY,),
    act=handing(lambda X, y: (X, y[:, None])),
)
case("shapes", "y of two columns", T.with_(y=np.c_[T.y, T.y]), refused("(120, 2)"), forms=(ARRAY, NUMPY))
case(
    "shapes",
    "X of one dimension",
    T,
    refused("1", "reshape(-1, 1)"),
    forms=(ARRAY, NUMPY),
    act=handing(lambda X, y: (X[:, 0], y)),
)
case(
    "shapes",
    "X of three dimensions",
    T,
    refused("dim"),
    forms=(ARRAY, NUMPY),
    act=handing(lambda X, y: (X[:, :, None], y)),
)
case(
    "shapes",
    "X a series",
    T,
    refused("two-dimensional", ".to_frame()", error=(TypeError, ValueError)),
    forms=(FRAME,),
    act=handing(lambda X, y: (X["x0"], y)),
)
case("shapes", "X a list of lists", T, both, forms=(NUMPY,), act=handing(lambda X, y: (X.tolist(), y.tolist())))

for name, made, what, cure in (
    ("a generator", lambda part: (row for row in part), "is a generator", "collect a generator by list"),
    ("a dict", lambda part: {"x0": part}, "is a dict", "a dict by pandas.DataFrame"),
    ("None", lambda part: None, "is None", "Read a file by dask.dataframe.read_parquet"),
    ("a file name", lambda part: "flights.csv", "is a str", "Read a file by dask.dataframe.read_parquet"),
    ("a delayed array", dask.delayed, "is a Delayed", "from_delayed"),
    ("a bag", lambda part: db.from_sequence(np.asarray(part).tolist(), npartitions=2), "is a Bag", "from_delayed"),
):
    ends = refused("X " + what, cure, error=TypeError)
    case("shapes", f"X {name}", T, ends, forms=(NUMPY,), act=handing(lambda X, y, made=made: (made(X), y)))
    if name not in ("None", "a file name"):  # there is a case for y None, and a name is a column's
        ends = refused("y " + what, cure, error=TypeError)
        case("shapes", f"y {name}", T, ends, forms=(ARRAY, NUMPY), act=handing(lambda X, y, made=made: (X, made(T.y))))
case(
    "shapes",
    "weights a generator",
    T,
    refused("sample_weight is a generator", "by list", error=TypeError),
    forms=(ARRAY, NUMPY),
    act=lambda model, X, y: model.fit(X, y, sample_weight=(1.0 for _ in range(120))),
)
case("shapes", "y None", T, refused("requires y to be passed"), act=handing(lambda X, y: (X, None)))
case(
    "shapes",
    "X without rows",
    T,
    refused("0 sample(s)"),
    act=handing(
        lambda X, y: (
            (X[:0], y[:0]) if not hasattr(X, "partitions") or isinstance(X, da.Array) else (X[X.x0 > 1e9], y[y > 1e9])
        )
    ),
)


def _mean_only(model):
    np.testing.assert_allclose(model.intercept_, T.y.mean(), rtol=1e-12)
    np.testing.assert_allclose(model.covariance_, [[T.y.var(ddof=1) / 120]], rtol=1e-9)


case(
    "shapes",
    "X without columns",
    T,
    answered(_mean_only),
    forms=(ARRAY, NUMPY),
    act=handing(lambda X, y: (X[:, :0], y)),
)
case(
    "shapes",
    "neither columns nor intercept",
    T,
    refused("0 feature(s)"),
    lambda: GLMRegressor(fit_intercept=False),
    forms=(ARRAY, NUMPY),
    act=handing(lambda X, y: (X[:, :0], y)),
)
for part in ("sample_weight", "offset"):
    case(
        "shapes",
        f"{part} too short",
        T,
        refused(*(("119",) if part else ()), error=ValueError),
        forms=(ARRAY, NUMPY),
        act=lambda model, X, y, part=part: model.fit(X, y, **{part: np.ones(119)}),
    )
case(
    "shapes",
    "a scalar weight",
    T,
    refused("sample_weight", error=(TypeError, ValueError)),
    forms=(ARRAY, NUMPY),
    act=lambda model, X, y: model.fit(X, y, sample_weight=2.0),
)
case(
    "shapes",
    "columns that a block does not declare",
    T,
    refused("X has shape (50, 1), not (rows, 2)", "Each block must have the columns"),
    forms=(ARRAY,),
    act=handing(lambda X, y: (X.map_blocks(lambda part: part[:, :1], dtype=float, meta=np.empty((0, 0))), y)),
)

# Blocks.
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
        refused("too few rows for a local fit of 3 coefficients", "Make the blocks larger", "method='one-step'"),
        lambda method=method: GLMRegressor(method=method),
        forms=LAZY,
    )
case(
    "blocks",
    "fewer rows than coefficients, debiased lasso",
    base("binomial").with_(sizes=(2,) * 60),
    refused("there is no local fit", "Use larger blocks"),
    lambda: GLMRegressor("binomial", method=DebiasedLasso(0.1)),
    forms=LAZY,
)
case(
    "blocks",
    "fewer rows in the pilot than coefficients",
    T,
    like(T, warns=("A pilot of 2 rows is small for 3 coefficients; pilot_size='auto'",)),
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
    answered(_known_but_for_errors, "No degree of freedom is left: 2 rows have 2 coefficients"),
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
    answered(_without_errors, "No degree of freedom is left: 2 rows have 2 nonzero coefficients in all blocks' lassos"),
    lambda: GLMRegressor(method=DebiasedLasso()),
)
wide = Table(np.random.default_rng(3).standard_normal((5, 9)), np.arange(5.0), sizes=(3, 2))
case(
    "blocks",
    "fewer rows than coefficients in all",
    wide,
    answered(
        _saturated,
        "Aliased columns get NaN: x4, x5, x6, x7, x8",
        "No degree of freedom is left: 5 rows have 5 coefficients",
    ),
)

# Names.
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
    refused("X has a column named 'intercept'", "Rename it"),
    forms=(FRAME, NUMPY),
)
MANY = refused("id has", "10,000", "Is it an identifier? Leave it out, group its levels")
identifiers = Table(pd.DataFrame({"id": np.arange(12_000).astype(str)}), np.arange(12_000.0), sizes=(6000, 6000))
case("levels", "a row each", identifiers, MANY, forms=(FRAME, NUMPY))
million = pd.Categorical.from_codes(AT, np.arange(1_000_000).astype(str))
case("levels", "a million categories", T.with_(x=pd.DataFrame({"id": million})), MANY, forms=(FRAME, NUMPY))
case(
    "levels",
    "a row each, in a formula",
    T.with_(x=pd.DataFrame({"id": million, "y": T.y})),
    MANY,
    lambda: GLMRegressor(formula="y ~ id"),
    forms=(FRAME, NUMPY),
    act=lambda model, X, y: model.fit(X),
)
words = T.with_(x=T.x.astype(str).astype(object) + "!")
case("levels", "words in an array", words, refused("does not convert", "Encode"), forms=(ARRAY,))
case(
    "levels",
    "one",
    T.with_(x=pd.DataFrame({"x0": T.x[:, 0], "id": "a"})),
    answered(lambda m: _slope(m)),
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
