"""Parts whose shapes, chunks or kinds do not fit each other."""

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pandas as pd
from catalogue import ARRAY, FRAME, NUMPY, answered, base, case, handing, like, partitions, refused

from dask_onestep import GLMRegressor

T = base()
both = like(T)


def _unknown(a):
    return a[a[:, 0] > -np.inf] if a.ndim == 2 else a[a > -np.inf]


case("shapes", "y shorter", T, refused("120", "119"), forms=(ARRAY, NUMPY), act=handing(lambda X, y: (X, y[:-1])))
case(
    "shapes",
    "y shorter within a partition",
    T,
    refused("the parts of one block differ in length: X has 50 rows, y has 49 rows", "Align them", block=0),
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
    "unknown chunks next to memory",
    T,
    refused("unknown chunk sizes", "Convert y to a Dask array"),
    forms=(ARRAY,),
    act=handing(lambda X, y: (_unknown(X), T.y)),
)
case("shapes", "chunks along the columns", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X.rechunk({1: 1}), y)))
case("shapes", "y in memory next to a Dask array", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X, T.y)))
case("shapes", "y a list next to a Dask array", T, both, forms=(ARRAY,), act=handing(lambda X, y: (X, T.y.tolist())))
case(
    "shapes",
    "y in memory next to a frame",
    T,
    refused("cannot be split to match", "Pass y as a column's name", error=TypeError),
    forms=(FRAME,),
    act=handing(lambda X, y: (X, T.y)),
)
case(
    "shapes",
    "a frame's y next to an array",
    T,
    refused("pass both as frames", error=TypeError),
    forms=(ARRAY,),
    act=handing(lambda X, y: (X, partitions(pd.Series(T.y), (120,)))),
)
case(
    "shapes",
    "an array's y next to a frame",
    T,
    both,
    forms=(FRAME,),
    act=handing(lambda X, y: (X, da.from_array(T.y, chunks=((50, 30, 40),)))),
)
case(
    "shapes",
    "a Dask y next to memory",
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
    ("a generator", lambda part: (row for row in part), "is a generator", "convert a generator with list"),
    ("a dict", lambda part: {"x0": part}, "is a dict", "a dict with pandas.DataFrame"),
    ("None", lambda part: None, "is None", "Read a file with dask.dataframe.read_parquet"),
    ("a delayed array", dask.delayed, "is a Delayed", "from_delayed"),
    ("a bag", lambda part: db.from_sequence(np.asarray(part).tolist(), npartitions=2), "is a Bag", "from_delayed"),
):
    ends = refused("X " + what, cure, error=TypeError)
    case("shapes", f"X {name}", T, ends, forms=(NUMPY,), act=handing(lambda X, y, made=made: (made(X), y)))
    if name != "None":  # there is a case for y None
        ends = refused("y " + what, cure, error=TypeError)
        case("shapes", f"y {name}", T, ends, forms=(ARRAY, NUMPY), act=handing(lambda X, y, made=made: (X, made(T.y))))
case(
    "shapes",
    "X a path where nothing is",
    T,
    refused("there is no file flights.csv", error=FileNotFoundError),
    forms=(NUMPY,),
    act=handing(lambda X, y: ("flights.csv", y)),
)
case(
    "shapes",
    "weights a generator",
    T,
    refused("sample_weight is a generator", "with list", error=TypeError),
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
