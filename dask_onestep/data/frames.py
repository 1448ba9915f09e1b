"""DataFrames: the columns that a model uses, and their types."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.dataframe.dispatch import make_meta
from pandas.api.types import is_object_dtype

from dask_onestep.choices import listed, suggestion
from dask_onestep.kernels.designs.expressions import hold_times, is_numeric, numbers_among
from dask_onestep.kernels.designs.parser import with_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, column_terms, formula_terms, times_refused
from dask_onestep.messages import catalogue

_LOOKED_AT = 1000  # rows, from the first, that tell what a column of objects holds


def is_frame(x: Any) -> bool:
    """Return whether `x` is a DataFrame, Dask's or pandas'."""
    return isinstance(x, (dd.DataFrame, pd.DataFrame))


def only_index(x: Any) -> pd.DataFrame:
    """Return a frame with the kind of index that a frame has, without rows and columns."""
    return make_meta(x).iloc[:, :0]


def read_terms(x: Any, formula: str | None, fit_intercept: bool, others: Collection[str] = ()) -> Terms | None:
    """Return what a model reads of a table, or None if its columns are numbers and covariates as they come."""
    if formula is None:
        if not is_frame(x):
            return None
        _refuse_complex({str(name): dtype for name, dtype in x.dtypes.items()}, map(str, x.columns))
        if all(map(is_numeric, x.dtypes)):
            return None
        terms = column_terms(tuple(map(str, x.columns)), fit_intercept)
    else:
        if not is_frame(x):
            raise TypeError(
                f"formula= requires named columns, and X is {type(x).__name__}: pass a pandas or Dask DataFrame."
            )
        terms = formula_terms(with_columns(formula, [str(c) for c in x.columns if str(c) not in others]), fit_intercept)
    response = terms.response.columns if terms.response is not None else ()
    names = {str(name) for name in x.columns}
    if missing := [name for name in (*terms.columns, *response) if name not in names]:
        raise ValueError(
            f"formula={formula!r} names {missing}, which are not columns. These are: {listed(sorted(names))}."
            f"{suggestion(missing[0], names)}"
        )
    dtypes = {str(name): dtype for name, dtype in x.dtypes.items()}
    coded = {factor.source for factor in terms.factors if factor.coded}
    others = {name for factor in terms.factors if not factor.coded for name in factor.columns}
    _refuse_times(x, [name for name in terms.columns if name not in coded or name in others])
    _refuse_complex(dtypes, (*terms.columns, *response))
    if isinstance(x, pd.DataFrame):
        _refuse_records(x, terms.columns)
    for factor in terms.factors:
        if factor.states and (words := [name for name in factor.columns if not is_numeric(dtypes[name])]):
            raise ValueError(f"{factor.name!r} in the formula expects numbers, and {words} are not numeric columns.")
    return terms


def infer_kinds(x: Any, words: Collection[str] = ()) -> Any:
    """Return a pandas frame whose columns of objects that hold numbers are numbers, others unchanged."""
    if not isinstance(x, pd.DataFrame) or not any(map(is_object_dtype, x.dtypes)):
        return x
    objects = [name for name, dtype in x.dtypes.items() if is_object_dtype(dtype) and str(name) not in words]
    found = {name: numbers_among(x[name]) for name in objects}
    x = x.copy(deep=False)
    for name, values in found.items():
        if values is not None:
            x[name] = values
    return x


def _refuse_times(x: Any, columns: Iterable[str]) -> None:
    """Raise if columns hold times, by their dtype, or by their values where these are at hand."""
    rows = x if isinstance(x, pd.DataFrame) else make_meta(x)
    named = {str(name): name for name in x.columns}
    if times := [name for name in columns if hold_times(rows[named[name]])]:
        raise ValueError(times_refused(times))


def _refuse_records(x: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise if a column holds lists or records, which Dask would convert to strings."""
    objects = [(name, x[name]) for name in x.columns if str(name) in columns and is_object_dtype(x.dtypes[name])]
    for name, column in objects:
        if any(isinstance(value, (list, dict, set, tuple, np.ndarray)) for value in column.iloc[:_LOOKED_AT]):
            raise catalogue.LISTS_OR_DICTS.error(name=name)


def _refuse_complex(dtypes: dict[str, Any], columns: Iterable[str]) -> None:
    if found := [name for name in columns if getattr(dtypes[name], "kind", "O") == "c"]:
        name = found[0]
        raise ValueError(
            f"Complex data not supported: columns {found}. Use their parts as columns, such as X[{name!r}].real."
        )


def frame_dtypes(x: Any) -> dict[str, Any]:
    """Return the dtypes of a frame's columns, categorical only where the categories are known."""
    known = {}
    for name, dtype in x.dtypes.items():
        unknown = isinstance(dtype, pd.CategoricalDtype) and isinstance(x, dd.DataFrame) and not x[name].cat.known
        known[str(name)] = np.dtype(object) if unknown else dtype
    return known


def pick_columns(x: Any, wanted: Sequence[str], *, ignored: Iterable[str] | None) -> Any:
    """Return the columns of fit, in its order, from a later frame."""
    names = [str(name) for name in x.columns]
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"X lacks columns that were present in fit: {missing}.")
    others = [] if ignored is None else [name for name in names if name not in {*wanted, *ignored}]
    if others:
        raise ValueError(
            f"X has {len(wanted) + len(others)} features, but the fit had {len(wanted)}: {others} were not present in "
            f"fit. Use X[{list(wanted)}]."
        )
    if list(x.columns) != names:
        x = x.copy(deep=False) if isinstance(x, pd.DataFrame) else x.copy()
        x.columns = names
    return x if names == list(wanted) else x[list(wanted)]


def cut_frame(x: pd.DataFrame | pd.Series, rows: int) -> tuple[Any, tuple[int, ...]]:
    """Return a pandas frame in partitions, without a copy, and their lengths."""
    pieces = [x.iloc[start : start + rows] for start in range(0, max(len(x), 1), rows)]
    return dd.from_map(_as_is, pieces, meta=x.iloc[:0]), tuple(map(len, pieces))


def _as_is(piece: Any) -> Any:
    return piece


def join_response(x: Any, y: Any, response: Factor) -> Any:
    """Return a frame that has the response of a formula, given also as y."""
    name, *others = response.columns
    if others:
        raise ValueError(
            f"The formula's left-hand side {response.name!r} reads {len(response.columns)} columns: pass them in X, "
            "without y."
        )
    names = [str(column) for column in x.columns]
    if isinstance(x, dd.DataFrame):
        if not isinstance(y, dd.Series) or (name in names and str(y.name) != name):
            raise ValueError(_another(response, name))
        return x if name in names else x.assign(**{name: y})
    values = pd.Series(y.array if isinstance(y, (pd.Series, pd.Index)) else np.asarray(y), index=x.index)
    if name not in names:
        return x.assign(**{name: values})
    known = x.iloc[:, names.index(name)]
    if not bool(((known == values) | (known.isna() & values.isna())).all()):
        raise ValueError(_another(response, name))
    return x


def _another(response: Factor, name: str) -> str:
    return (
        f"y is not the column {name!r} of X, which the formula has on its left-hand side ({response.name}). Omit y, "
        f"or drop {name!r} from X."
    )
