"""Values of a formula's expressions, row by row.

Arithmetic is in float64, whatever the columns' dtypes, as R's is in double precision: integers of a column's own size
would wrap around (200 · 200 in int16 is −25,536), functions of small ones would be computed in float16, and the sum of
two booleans would be "or". Conditions (comparisons, and these joined by ``&``, ``|`` and ``~``) are booleans, and are 0
and 1 in arithmetic.
"""

import ast
from decimal import Decimal
from functools import lru_cache
from numbers import Number, Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dask_onestep.kernels.designs.grammar import FUNCTIONS, PARSING, checked, column_of

# Beyond it, not every integer is a float64.
LARGEST_INTEGER = 2**53
_TIMES = ("date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period")
# Not valid as column names in code, so these cannot be columns.
_NUMBERS, _CONDITION, _COMPARED = "<numbers>", "<condition>", "<compared>"
_WHOLE = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)


def evaluate(source: str, frame: Any) -> pd.Series:
    """Return an expression of columns, row by row."""
    code, names, whole = _compiled(source)
    known = {**FUNCTIONS, "np": np, _NUMBERS: as_numbers, _CONDITION: _condition, _COMPARED: _compared}
    known |= {name: as_series(frame[column], column) for name, column in names if column in frame.columns}
    try:
        with np.errstate(all="ignore"):  # non-finite values are reported when the rows are examined
            value = eval(code, {"__builtins__": {}}, known)
    except (TypeError, ValueError, NotImplementedError) as error:  # Arrow lacks some operations on strings
        read = [column for _, column in names if column in frame.columns]
        text = [column for column in read if not is_numeric(frame.dtypes[column])]
        reason = f"{text} are not numeric columns" if text else error
        raise ValueError(f"{source!r} in the formula cannot be evaluated: {reason}.") from error
    values = pd.Series(value, index=frame.index)
    if whole and values.dtype == np.float64 and all(_is_whole(frame.dtypes[column]) for _, column in names):
        return _as_integers(values, source)
    return values


def as_numbers(values: Any, name: str | None = None) -> Any:
    """Return numbers as float64; booleans are 0 and 1, missing values NaN, and strings are unchanged.

    `name` is used in the error.
    """
    if isinstance(values, (int, float)):
        return _literal(values)
    if isinstance(values, pd.Series) and pd.api.types.is_object_dtype(values.dtype):
        found = numbers_among(values)
        return values if found is None else as_numbers(found, name)
    dtype = getattr(values, "dtype", None)
    if dtype is None or not is_numeric(dtype) or dtype == np.float64:
        return values
    _check_integers(values, name)
    if isinstance(values, pd.Series):
        return pd.Series(as_floats(values), index=values.index, name=values.name, copy=False)
    return np.asarray(values, dtype=np.float64)


def as_series(column: Any, name: str | None = None) -> pd.Series:
    """Return a column as a Series of its dtype, without a copy; of objects pandas would infer another one."""
    return column if isinstance(column, pd.Series) else pd.Series(column, dtype=column.dtype, name=name, copy=False)


def as_floats(values: Any) -> np.ndarray:
    """Return a numeric column as float64, with NaN for missing values."""
    if isinstance(values.dtype, np.dtype):  # pandas would search the values for missing ones
        return np.asarray(values, np.float64)
    return values.to_numpy(np.float64, na_value=np.nan)


def only_numbers(values: Any, name: str) -> np.ndarray:
    """Return a column's numbers, all of which float64 can represent, as an array of a NumPy dtype.

    Raise a `ValueError` if it contains strings, as a later table's column may.
    """
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        _check_integers(values, name)
        return np.asarray(values)
    values = as_series(values)
    numbers = as_numbers(values, name)
    if is_numeric(numbers.dtype):
        return as_floats(numbers)
    if reason := not_a_number(values, name):
        raise ValueError(f"{reason}; convert the column")
    known, present = np.full(len(values), np.nan), values.notna().to_numpy()
    known[present] = as_numbers(values[present].astype(object), name)
    return known


def not_a_number(values: Any, name: str) -> str:
    """Return that a column should be numeric, with an example of its values, no numeral if possible; "" if it is.

    Only the values that are not missing count: a partition may have none, and therefore another dtype.
    """
    shown = as_series(values).dropna().astype(object)
    if numbers_among(shown) is not None:
        return ""
    strange = shown[pd.to_numeric(shown, errors="coerce").isna()]
    strange = strange if len(strange) else shown[[not isinstance(value, Number) for value in shown]]
    example = next(iter(strange.tolist()), shown.iloc[0])
    return f"{name} was numeric in fit, or by its dtype, but {example!r} is not a number"


def numbers_among(values: Any) -> pd.Series | None:
    """Return an object column of numbers as numbers; None for anything else, or for booleans with missing values.

    The dtype is the one that pandas infers, if any; Decimals, Fractions and missing values give float64.
    """
    inferred = pd.Series(values).infer_objects()
    if is_numeric(inferred.dtype):
        return inferred
    kind = pd.api.types.infer_dtype(inferred, skipna=True)
    if kind.startswith("mixed"):
        kinds = {type(value) for value in inferred.dropna()}
        if not all(issubclass(each, (Real, Decimal)) and each not in (bool, np.bool_) for each in kinds):
            return None
    elif kind not in ("integer", "floating", "decimal", "empty"):
        return None
    return pd.Series(inferred.to_numpy(np.float64, na_value=np.nan), index=inferred.index, name=inferred.name)


def hold_times(values: Any) -> bool:
    """Return whether a column contains dates, times or durations, by its dtype or, for objects, its values.

    Strings that look like dates are strings.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.ArrowDtype):
        return bool(pa.types.is_temporal(dtype.pyarrow_dtype))
    if pd.api.types.is_object_dtype(dtype):
        return pd.api.types.infer_dtype(values, skipna=True) in _TIMES
    return getattr(dtype, "kind", "O") in "mM" or isinstance(dtype, pd.PeriodDtype)


def is_numeric(dtype: Any) -> bool:
    """Return whether a dtype, of NumPy or pandas, is numeric or boolean (not strings, objects or categories)."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biufc"
    return bool(pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)) and not isinstance(
        dtype, pd.CategoricalDtype
    )


def _literal(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if isinstance(value, int) and number != value:
        raise ValueError(f"{value} is an integer beyond 2^53 that is no float64; write a float, such as {number!r}")
    return number


def _check_integers(values: Any, name: str | None) -> None:
    if pd.api.types.is_integer_dtype(values.dtype) and _beyond(values):
        raise ValueError(
            f"{name or getattr(values, 'name', None) or 'a number'} holds integers beyond 2^53 = {LARGEST_INTEGER:,}, "
            "which float64 rounds; subtract a constant from the column first, or convert it to float64"
        )


def _beyond(values: Any) -> bool:
    if getattr(values.dtype, "itemsize", 8) < 8 or not np.size(values):
        return False
    if isinstance(values.dtype, np.dtype):
        values = np.asarray(values)  # whose extremes cost less than pandas'
    least, most = values.min(), values.max()
    return not (pd.isna(least) or (least >= -LARGEST_INTEGER and most <= LARGEST_INTEGER))


def _compared(values: Any) -> Any:
    """Return floats of any size and booleans as float64, like literals; other values can be compared unchanged."""
    dtype = getattr(values, "dtype", object)
    return as_numbers(values) if pd.api.types.is_float_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) else values


def _condition(values: Any) -> Any:
    if not pd.api.types.is_bool_dtype(getattr(values, "dtype", type(values))):
        name = getattr(values, "name", None) or "one side"
        raise ValueError(f"&, | and ~ join comparisons, and {name} is a number; a power is **, as in I(x**2)")
    return values


def _is_whole(dtype: Any) -> bool:
    return bool(pd.api.types.is_integer_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))


def _as_integers(values: pd.Series, source: str) -> pd.Series:
    """Return results from integers as integers, so that levels made of them are named 9 and 10, not 9.0 and 10.0."""
    if not np.isfinite(values.to_numpy()).all():
        return values
    if (values.abs() > LARGEST_INTEGER).any():
        raise ValueError(f"{source!r} in the formula gives integers beyond 2^53, which float64 rounds.")
    return values.astype(np.int64)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> tuple[Any, tuple[tuple[str, str], ...], bool]:
    """Return an expression's code, its names with the columns they stand for, and whether integers give integers."""
    tree = checked(source, source)
    names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    whole = _gives_integers(tree.body)
    with PARSING:
        code = compile(ast.fix_missing_locations(_Arithmetic().visit(tree)), "<formula>", "eval")
    return code, tuple((name, column_of(name)) for name in names), whole


def _gives_integers(node: ast.AST) -> bool:
    """Return whether an expression is arithmetic that gives integers for integers."""
    inner = [part for part in ast.walk(node) if not isinstance(part, (ast.expr_context, ast.operator, ast.unaryop))]
    plain = all(
        isinstance(part, ast.Name)
        or (isinstance(part, ast.BinOp) and isinstance(part.op, _WHOLE))
        or (isinstance(part, ast.UnaryOp) and isinstance(part.op, (ast.UAdd, ast.USub)))
        or (isinstance(part, ast.Constant) and isinstance(part.value, int))
        for part in inner
    )
    return plain and isinstance(node, (ast.BinOp, ast.UnaryOp))


class _Arithmetic(ast.NodeTransformer):
    """Converts operands and arguments to float64, and checks the operands of ``&``, ``|`` and ``~``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        how = _CONDITION if isinstance(node.op, (ast.BitAnd, ast.BitOr)) else _NUMBERS
        return ast.BinOp(_call(how, self.visit(node.left)), node.op, _call(how, self.visit(node.right)))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        how = _CONDITION if isinstance(node.op, ast.Invert) else _NUMBERS
        return ast.UnaryOp(node.op, _call(how, self.visit(node.operand)))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        right = _call(_COMPARED, self.visit(node.comparators[0]))
        return ast.Compare(_call(_COMPARED, self.visit(node.left)), node.ops, [right])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "I":
            return self.visit(node.args[0])
        return ast.Call(node.func, [_call(_NUMBERS, self.visit(argument)) for argument in node.args], [])


def _call(function: str, argument: Any) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [argument], [])
