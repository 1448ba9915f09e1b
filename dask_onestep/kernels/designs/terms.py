"""What a model reads from a table: columns, factors and response.

A formula is data, not code. It is evaluated block by block, so its functions must be computed row by row or have a
state that was computed beforehand; `mean`, `rank` or `lag` of a block are not those of the full data, and are not
allowed (see `grammar`).
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import as_numbers, as_series, evaluate, is_numeric
from dask_onestep.kernels.designs.grammar import (
    EXPOSURE,
    STATEFUL,
    called,
    checked,
    columns_read,
    is_condition,
    written,
)
from dask_onestep.kernels.designs.levels import with_missing_level
from dask_onestep.kernels.designs.parser import parse
from dask_onestep.kernels.designs.parts import TableLike, taken
from dask_onestep.messages import catalogue


@dataclass(frozen=True)
class Factor:
    """One factor of a formula's terms, or one column.

    Attributes
    ----------
    name : str
        Its name in the formula's terms.
    source : str or None
        The expression of its values, without ``C(...)``; None for an unchanged column.
    columns : tuple of str
        Columns it reads.
    coded : bool
        Whether ``C(...)`` makes it categorical whatever its dtype.
    levels : tuple or None
        The levels given in ``C(..., levels=[...])``.
    states : tuple of str
        Arguments of its transforms with a state, such as ``bs``.
    missing : str or None
        The level of missing values, given in ``C(..., missing="unknown")``.
    """

    name: str
    source: str | None
    columns: tuple[str, ...]
    coded: bool = False
    levels: tuple[Any, ...] | None = None
    states: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def most_columns(self) -> int:
        """Upper bound on the number of columns that it has besides those of levels: its call states a spline's."""
        if self.source is None or not self.states:
            return 1
        found = [node.value for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.Constant)]
        return 4 + len(found) + sum(abs(value) for value in found if isinstance(value, int))

    def values(self, frame: TableLike, rows: np.ndarray | slice | None = None) -> Any:
        """Return the factor's values of all or some rows, before any coding."""
        column = self.name if self.source is None else self.source
        if column in self.columns:
            values: Any = taken(frame[column], rows)
        else:
            values = evaluate(column, frame if rows is None else taken(frame[list(self.columns)], rows))
        if self.missing is None:
            return values
        filled = with_missing_level(values, self.missing)
        return pd.Series(filled, index=values.index) if isinstance(values, pd.Series) else filled


@dataclass(frozen=True)
class Terms:
    """What a model reads from a table.

    Attributes
    ----------
    formula : str or None
        The formula; None if each column is a covariate.
    columns : tuple of str
        Columns from which the covariates are computed.
    factors : tuple of Factor
        Factors of the covariates.
    fit_intercept : bool
        Whether the model has an intercept.
    response : Factor or None
        The left-hand side.
    offsets : tuple of Factor
        Arguments of ``offset(...)``, by term, and logarithms of those of ``exposure(...)``; added to the offset that is
        passed.
    exposures : tuple of str
        The terms ``exposure(...)``, which require the log link.
    products : bool
        Whether some terms are products of factors.
    """

    formula: str | None
    columns: tuple[str, ...]
    factors: tuple[Factor, ...]
    fit_intercept: bool
    response: Factor | None = None
    offsets: tuple[Factor, ...] = ()
    exposures: tuple[str, ...] = ()
    products: bool = False

    @property
    def complete_columns(self) -> tuple[str, ...]:
        """Columns whose missing values are not a level of a factor."""
        filled = {column for factor in self.factors if factor.missing is not None for column in factor.columns}
        return tuple(column for column in self.columns if column not in filled)

    @property
    def uneven(self) -> bool:
        """Whether there are products or transforms such as splines, some columns of which may depend on few rows."""
        return self.products or bool(self.states)

    @property
    def states(self) -> tuple[str, ...]:
        """Arguments of transforms with a state."""
        return tuple(dict.fromkeys(state for factor in self.factors for state in factor.states))

    def offset(self, frame: TableLike) -> pd.Series | None:
        """Return the sum of the formula's offsets, one value per row; None without any."""
        values = [as_numbers(as_series(factor.values(frame), factor.name)) for factor in self.offsets]
        for factor, value in zip(self.offsets, values, strict=True):
            if not is_numeric(value.dtype) and not value.isna().all():
                raise ValueError(f"The offset {factor.name} is not numeric: convert it to numbers first.")
        return sum(values[1:], start=values[0]) if values else None

    @property
    def needs_states_for_gaps(self) -> bool:
        """Whether missing values of terms depend on the states of transforms, as in ``log(center(x))``."""
        sources = (factor.source for factor in self.factors if factor.states and factor.source is not None)
        return any(called(ast.parse(source, mode="eval").body) not in STATEFUL for source in sources)


@contextmanager
def refusing_records(factor: Factor) -> Iterator[None]:
    """Name the factor in the error for values, such as lists or records, that cannot be hashed."""
    try:
        yield
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise catalogue.LISTS_OR_DICTS.error(name=factor.name) from error


def times_refused(columns: Sequence[str]) -> str:
    """Return why columns of dates or durations cannot be covariates, and what to do."""
    name = columns[0]
    return (
        f"Columns {list(columns)} hold dates or durations, which are not numbers. Convert them to numbers, such as "
        f"X[{name!r}].dt.dayofyear or (X[{name!r}] - start).dt.total_seconds(), after pandas.to_datetime if they are "
        f"Python objects; or use them as categories: C({name}) in a formula, X[{name!r}].astype('category') without."
    )


def plain_categories(frame: Any, names: Iterable[str]) -> Any:
    """Return a table whose levels are named 9 and True, not 9.0 and 1.0, in columns of nullable dtypes.

    `names` are the categorical columns; others are unchanged, and so are integers with missing values.
    """
    kinds: dict[str, Any] = {}
    for name in names:
        kind = frame.dtypes.get(name)
        if kind is None or isinstance(kind, (np.dtype, pd.CategoricalDtype)):
            continue
        missing = frame[name].isna().any()
        if pd.api.types.is_integer_dtype(kind) and not missing:
            kinds[name] = np.int64
        elif pd.api.types.is_bool_dtype(kind) and missing:
            kinds[name] = object
    return frame.astype(kinds) if kinds else frame


def column_terms(columns: tuple[str, ...], fit_intercept: bool) -> Terms:
    """Return the terms of a table each of whose columns is a covariate."""
    return Terms(None, columns, tuple(Factor(name, None, (name,)) for name in columns), fit_intercept)


@lru_cache
def formula_terms(formula: str, fit_intercept: bool) -> Terms:
    """Return what a formula reads."""
    parsed = parse(formula, fit_intercept)
    left, right = parsed.left, parsed.right
    factors = {
        factor.expr: _factor(factor)
        for term in right
        for factor in term.factors
        if factor.eval_method.value != "literal"
    }
    responses = [factor for term in left for factor in term.factors]
    if len(responses) > 1:
        raise ValueError(f"formula={formula!r} has several responses; a GLM has one.")
    response = _factor(responses[0]) if responses else None
    offsets = tuple(_offset(name) for name in parsed.offsets)
    read = (*factors.values(), *offsets, *(() if response is None else (response,)))
    _check_names(formula, read)
    _check_missing_levels(formula, read)
    if response is not None and (response.coded or response.states):
        raise ValueError(f"The response {response.name!r} of the formula must be a column or a function of each row.")
    if response is not None and response.name in factors:
        raise ValueError(f"formula={formula!r} has {response.name} on both sides. Drop it from the right-hand side.")
    return Terms(
        formula,
        tuple(dict.fromkeys(column for factor in (*factors.values(), *offsets) for column in factor.columns)),
        tuple(factors.values()),
        any(term == "1" for term in map(str, right)),
        response,
        offsets,
        tuple(name for name in parsed.offsets if called(checked(name, name).body) == EXPOSURE),
        any(len(term.factors) > 1 for term in right),
    )


def _factor(factor: Any) -> Factor:
    name = factor.expr
    if factor.eval_method.value == "lookup":
        return Factor(name, None, (name,))
    tree = checked(name, name)
    body, coded, levels, missing = tree.body, False, None, None
    if isinstance(body, ast.Call) and isinstance(body.func, ast.Name) and body.func.id == "C":
        coded, levels, missing = True, _given_levels(body), _missing_level(body)
        body = body.args[0]
    if not columns_read(body):
        raise ValueError(f"{name!r} in the formula reads no column.")
    if any(called(node) == "C" for node in ast.walk(body)):
        raise ValueError(f"{name!r} in the formula: C(...) must stand outermost.")
    states = tuple(
        written(_Stateless().visit(node.args[0]))
        for node in ast.walk(checked(written(body), name))
        if isinstance(node, ast.Call) and called(node) in STATEFUL and node.args
    )
    if states:
        _check_conditions(body, name)
    if coded and states:
        raise ValueError(f"{name!r} in the formula: the levels of a stateful transform are unknown beforehand.")
    columns = columns_read(body)
    source = columns[0] if isinstance(body, ast.Name) else written(body)
    return Factor(name, source, columns, coded, levels, states, missing)


def _offset(name: str) -> Factor:
    """Return the argument of ``offset(...)``, or the logarithm of that of ``exposure(...)``, as a factor of numbers."""
    call = checked(name, name).body
    assert isinstance(call, ast.Call)
    body = call.args[0]
    columns = columns_read(body)
    if not columns or any(called(node) in (*STATEFUL, "C") for node in ast.walk(body)):
        raise ValueError(f"{name!r} in the formula: {called(call)}(...) takes a column, or a function of each row.")
    if called(call) == EXPOSURE:
        body = ast.Call(ast.Name("log", ast.Load()), [body], [])
    return Factor(written(body), columns[0] if isinstance(body, ast.Name) else written(body), columns)


def _check_conditions(body: ast.AST, name: str) -> None:
    """Raise an error if conditions are used in arithmetic with a transform with a state, where they are not 0 and 1."""
    for node in ast.walk(body):
        parts: list[Any] = [node.left, node.right] if isinstance(node, ast.BinOp) and not is_condition(node) else []
        parts += [node.operand] if isinstance(node, ast.UnaryOp) and not is_condition(node) else []
        parts += node.args if isinstance(node, ast.Call) and called(node) not in STATEFUL else []
        if found := [part for part in parts if is_condition(part)]:
            raise ValueError(
                f"{name!r} in the formula combines the comparison {written(found[0])} with a stateful transform. "
                "Compute the comparison as a column first."
            )


def _check_names(formula: str, factors: tuple[Factor, ...]) -> None:
    """Raise an error if a name is both a column and a function, since its meaning would depend on the table."""
    columns = {column for factor in factors for column in factor.columns}
    trees = [checked(factor.name, factor.name) for factor in factors if factor.source is not None]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    modules = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    if both := sorted(columns & (functions | modules)):
        raise ValueError(f"formula={formula!r} uses {both} both as a column and as a function. Rename the column.")


def _given_levels(call: ast.Call) -> tuple[Any, ...] | None:
    if not call.args:
        raise ValueError(f"{written(call)!r} in the formula: C(...) needs a column.")
    for keyword in call.keywords:
        if keyword.arg == "levels":
            try:
                levels = tuple(ast.literal_eval(keyword.value))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{written(call)!r} in the formula: levels must be a list of strings and numbers."
                ) from error
            if twice := [level for number, level in enumerate(levels) if level in levels[:number]]:
                raise ValueError(f"{written(call)!r} in the formula: level {twice[0]!r} is listed twice.")
            return levels
    return None


def _missing_level(call: ast.Call) -> str | None:
    for keyword in call.keywords:
        if keyword.arg == "missing":
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if not isinstance(value, str) or not value:
                raise ValueError(
                    f"{written(call)!r} in the formula: missing must be the name of the level of missing values, as in "
                    'C(g, missing="unknown").'
                )
            return value
    return None


def _check_missing_levels(formula: str, factors: tuple[Factor, ...]) -> None:
    """Raise an error if missing values of a column are a level of one factor and not of another one."""
    for column in dict.fromkeys(column for factor in factors for column in factor.columns):
        found = {factor.missing: factor.name for factor in factors if column in factor.columns}
        if len(found) > 1:
            raise ValueError(
                f"formula={formula!r}: missing values of {column} are not the same level in "
                f"{' and '.join(found.values())}. Use the same missing= for all of them."
            )


class _Stateless(ast.NodeTransformer):
    """Removes transforms with a state from an expression; nested ones are increasing, like ``center``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return node.args[0] if called(node) in STATEFUL and node.args else node
