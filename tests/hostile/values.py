"""Values that no row should hold, and types that numbers should not have."""

from decimal import Decimal

import dask.array as da
import numpy as np
import pandas as pd
from catalogue import ARRAY, FRAME, NUMPY, agrees, answered, base, case, like, reference, refused

from dask_onestep import GLMRegressor

T = base()
AT = np.arange(120)
P = base("poisson")
B = base("binomial")
GAP = "Input X contains NaN or infinity in column "
CURE = "Use missing='drop'"


def frame(**columns):
    return pd.DataFrame(columns)


def _dropped(table, count):
    def check(model):
        assert model.n_missing_ == count
        agrees(model, reference(table))

    return answered(check)


def drop():
    return GLMRegressor(missing="drop")


# Missing values.
for value in (np.nan, np.inf, -np.inf):
    case("missing values", f"{value} in X", T.put("x", (60, 1), value), refused(GAP + "x1 (1 row)", CURE, block=1))
    case(
        "missing values",
        f"{value} in y",
        T.put("y", 110, value),
        refused("Input y contains NaN", "(1 row)", CURE, block=2),
    )
case(
    "missing values",
    "two columns",
    T.put("x", ([3, 4, 5], [0, 1, 1]), np.nan),
    refused(GAP + "x0 (1 row)", "x1 (2 rows)", block=0),
)
case("missing values", "several blocks", T.put("x", ([3, 60, 119], 0), np.nan), refused(GAP + "x0 (3 rows)", CURE))
case(
    "missing values",
    "a column without values",
    T.put("x", (slice(None), 1), np.nan),
    refused(GAP + "x1 (120 rows)", CURE),
)
case(
    "missing values",
    "NaN next to infinity",
    T.put("x", ([3, 4], [0, 0]), np.array([np.nan, np.inf])).with_(x=lambda x: x.astype(float)),
    refused("x0 (2 rows)", block=0),
)
case("missing values", "None in an object array", T.put("x", (3, 0), None), refused("x0", CURE, block=0))
case(
    "missing values",
    "NaN weight",
    T.with_(weights=np.where(np.arange(120) == 70, np.nan, 1.0)),
    refused("sample_weight contains NaN", "(1 row)", CURE, block=1),
)
case(
    "missing values",
    "infinite weight",
    T.with_(weights=np.where(np.arange(120) == 70, np.inf, 1.0)),
    refused("sample_weight contains NaN, infinity", "(1 row)", block=1),
)
case(
    "missing values",
    "NaN offset",
    T.with_(offset=np.where(np.arange(120) == 70, np.nan, 1.0)),
    refused("offset contains NaN", "(1 row)", CURE, block=1),
)
case(
    "missing values",
    "None among labels",
    B.with_(y=np.where(np.arange(120) == 3, None, "a").astype(object)),
    refused("Input y contains NaN", "(1 row)", CURE, block=0),
    "labels",
)
case(
    "missing values",
    "NaN among float labels",
    B.put("y", 3, np.nan),
    refused("Input y contains NaN", "(1 row)", CURE, block=0),
    "labels",
)
case(
    "missing values",
    "dropped on request",
    T.put("x", ([3, 60], [0, 1]), np.nan),
    _dropped(T.rows(~np.isin(np.arange(120), [3, 60])), 2),
    drop,
)
case(
    "missing values",
    "infinity dropped on request",
    T.put("x", (3, 0), np.inf).put("y", 60, -np.inf),
    _dropped(T.rows(~np.isin(np.arange(120), [3, 60])), 2),
    drop,
)
case(
    "missing values",
    "a whole block dropped",
    T.put("x", (slice(50, 80), 0), np.nan),
    _dropped(T.rows(~np.isin(np.arange(120), np.arange(50, 80))), 30),
    drop,
)
case("missing values", "every row dropped", T.put("x", (slice(None), 0), np.nan), refused("usable row"), drop)
case(
    "missing values",
    "pd.NA in a nullable column",
    T.with_(x=frame(x0=pd.array([None, *range(119)], dtype="Int64"), x1=T.x[:, 1])),
    refused(GAP + "x0 (1 row)", CURE, block=0),
    forms=(FRAME, NUMPY),
)
case(
    "missing values",
    "NaT in a column of times",
    T.with_(x=frame(x0=pd.to_datetime([None, *["2020-01-01"] * 119]), x1=T.x[:, 1])),
    refused("'x0'", "dates or durations", "Convert them to numbers"),
    forms=(FRAME, NUMPY),
)

hidden = T.x[:, 0] > 1.0


def _masked_block(part):
    return np.ma.masked_greater(part, 1.0) if part.ndim == 2 else np.ma.masked_invalid(part)


def _mask(part):
    # As a source of masked blocks does, the Dask array declares plain ones.
    return (
        part.map_blocks(_masked_block, dtype=float, meta=np.empty((0, 0)))
        if hasattr(part, "dask")
        else _masked_block(part)
    )


masks = {"forms": (ARRAY, NUMPY), "act": lambda model, X, y: model.fit(_mask(X), y)}
one = T.with_(x=np.column_stack([T.x[:, 0], np.minimum(T.x[:, 1], 0.0)]))
case("missing values", "masked values in X", one, refused(GAP + f"x0 ({hidden.sum()} rows)", CURE), **masks)
case(
    "missing values",
    "masked values dropped on request",
    one,
    _dropped(one.rows(~hidden), int(hidden.sum())),
    drop,
    **masks,
)
case(
    "missing values",
    "masked values in y",
    T,
    refused("Input y contains NaN", "(1 row)", CURE, block=1),
    forms=(ARRAY, NUMPY),
    act=lambda model, X, y: model.fit(X, _hide_row_60(y)),
)


def _hide_row_60(y):
    masked = np.ma.masked_array(T.y, AT == 60)
    return masked if isinstance(y, np.ndarray) else da.from_array(masked, chunks=y.chunks, asarray=False)


# Dtypes.
I = T.with_(x=np.random.default_rng(1).integers(0, 100, (120, 2)))
for dtype in ("int8", "int16", "int64", "uint8", "uint64", "float16", "float32", "longdouble"):
    case("dtypes", f"X of {dtype}", I.with_(x=I.x.astype(dtype)), like(I))
case(
    "dtypes",
    "X of float16 beyond its sums",
    I.with_(x=(600.0 * I.x).astype("float16"), sizes=(120,)),
    like(I.with_(x=(600.0 * I.x).astype("float16").astype(float))),
)
case("dtypes", "X of bool", T.with_(x=T.x > 0), like(T.with_(x=T.x > 0)))
# In a frame Dask takes objects for strings.
case("dtypes", "numbers as objects", T.with_(x=T.x.astype(object)), like(T), forms=(ARRAY, NUMPY))
case(
    "dtypes",
    "Decimal objects",
    I.with_(x=np.vectorize(lambda v: Decimal(int(v)), otypes=[object])(I.x)),
    like(I),
    forms=(ARRAY, NUMPY),
)
case("dtypes", "big-endian X", T.with_(x=T.x.astype(">f8")), like(T))
case("dtypes", "Fortran order", T.with_(x=np.asfortranarray(T.x)), like(T))
case("dtypes", "read-only X", T.with_(x=np.broadcast_to(T.x[:1], (120, 2)) + T.x), like(T.with_(x=T.x[:1] + T.x)))
case("dtypes", "strings in X", T.put("x", (3, 0), "high"), refused("high"), forms=(ARRAY, NUMPY))
case("dtypes", "an array of strings", T.with_(x=np.full((120, 2), "high")), refused("onver", "numeric"), forms=(NUMPY,))
case(
    "dtypes",
    "a Dask array of strings",
    T.with_(x=np.full((120, 2), "high")),
    refused("does not convert to numbers", "Encode it first"),
    forms=(ARRAY,),
)
case("dtypes", "complex X", T.with_(x=T.x + 1j), refused("Complex data not supported"))
case("dtypes", "datetimes in X", T.with_(x=T.x.astype("M8[s]")), refused("times"), forms=(ARRAY,))
case("dtypes", "durations in X", T.with_(x=T.x.astype("m8[s]")), refused("times"), forms=(ARRAY,))
case(
    "dtypes",
    "columns of dates",
    T.with_(x=frame(x0=pd.date_range("2020", periods=120), x1=T.x[:, 1])),
    refused("['x0']", "dates or durations", ".dt.dayofyear"),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "columns of durations",
    T.with_(x=frame(x0=pd.to_timedelta(np.arange(120), "D"), x1=T.x[:, 1])),
    refused("['x0']", "dates or durations"),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "columns of periods",
    T.with_(x=frame(x0=pd.period_range("2020", periods=120, freq="D"), x1=T.x[:, 1])),
    refused("['x0']", "dates or durations"),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "nullable columns",
    T.with_(x=frame(x0=pd.array(T.x[:, 0], dtype="Float64"), x1=pd.array(T.x[:, 1], dtype="Float32"))),
    like(T.with_(x=np.column_stack([T.x[:, 0], T.x[:, 1].astype("f4")]))),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "nullable booleans",
    T.with_(x=frame(x0=pd.array(T.x[:, 0] > 0, dtype="boolean"), x1=T.x[:, 1])),
    like(T.with_(x=np.column_stack([T.x[:, 0] > 0, T.x[:, 1]]))),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "Arrow columns",
    T.with_(x=frame(x0=pd.array(T.x[:, 0], dtype="double[pyarrow]"), x1=T.x[:, 1])),
    like(T),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "a column of strings is coded",
    T.with_(x=frame(x0=np.where(T.x[:, 0] > 0, "high", "a low"), x1=T.x[:, 1])),
    like(T.with_(x=np.column_stack([T.x[:, 0] > 0, T.x[:, 1]]))),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "complex columns",
    T.with_(x=frame(x0=T.x[:, 0] + 1j, x1=T.x[:, 1])),
    refused("omplex"),
    forms=(FRAME, NUMPY),
)
case(
    "dtypes",
    "sparse columns",
    T.with_(x=frame(x0=pd.arrays.SparseArray(np.maximum(T.x[:, 0], 0.0)), x1=T.x[:, 1])),
    like(T.with_(x=np.column_stack([np.maximum(T.x[:, 0], 0), T.x[:, 1]]))),
    forms=(FRAME,),
)
case("dtypes", "y of int", P.with_(y=P.y.astype(int)), like(P, "poisson"), "poisson")
case("dtypes", "y of bool", B.with_(y=B.y.astype(bool)), like(B, "binomial"), "binomial")
case("dtypes", "y of float32", T.with_(y=T.y.astype("f4")), like(T.with_(y=T.y.astype("f4").astype(float))))
case("dtypes", "y of numbers as objects", T.with_(y=T.y.astype(object)), like(T))
case(
    "dtypes",
    "y of strings",
    T.with_(y=np.full(120, "much")),
    refused("y has dtype", "not numeric", "Convert it to numbers"),
)
case("dtypes", "y complex", T.with_(y=T.y + 1j), refused("Complex data not supported"))
case("dtypes", "y of datetimes", T.with_(y=np.arange(120).astype("M8[s]")), refused("y", "times"))
case("dtypes", "y of durations", T.with_(y=np.arange(120).astype("m8[s]")), refused("y", "times"))
case(
    "dtypes",
    "weights of strings",
    T.with_(weights=np.full(120, "much")),
    refused("sample_weight has dtype", "Convert it to numbers"),
)
case(
    "dtypes",
    "weights of bool",
    T.with_(weights=T.x[:, 0] > -1),
    like(T.with_(weights=(T.x[:, 0] > -1).astype(float)), rtol=1e-6),
)
case(
    "dtypes", "weights of durations", T.with_(weights=np.arange(120).astype("m8[s]")), refused("sample_weight", "times")
)
case(
    "dtypes",
    "offset of int",
    P.with_(offset=np.arange(120) % 3),
    like(P.with_(offset=np.arange(120) % 3), "poisson"),
    "poisson",
)
