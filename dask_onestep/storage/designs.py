"""Designs as plain values, so that a model can be kept without a pickle and without a row of its data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.aliased import AliasedColumn
from dask_onestep.kernels.designs.assembly import assemble
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.parser import parse
from dask_onestep.kernels.designs.specification import specify_terms
from dask_onestep.kernels.designs.table import plain_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, column_terms, formula_terms

_LEVELS = (bool, int, float, str)
# Distinct values for polynomials and knots; a formula that needs more cannot be kept.
_ROWS = 200


def design_record(design: Design) -> dict[str, Any] | None:
    """Return a design as values that JSON knows, None if it cannot be."""
    levels = [(factor, index.tolist()) for factor, index in design.levels]
    plain = all(isinstance(value, _LEVELS) for _, values in levels for value in values)
    own = all(factor.source in (None, *factor.columns) for factor, _ in levels)
    if not (plain and own):
        return None
    return {
        "formula": design.terms.formula,
        "fit_intercept": design.terms.fit_intercept,
        "columns": list(design.terms.columns),
        "levels": [values for _, values in levels],
        "factors": [factor.name for factor, _ in levels],
        "names": list(design.names),
        "state": None if design.spec is None else encode_state(dict(design.spec.transform_state)),
    }


def read_design(record: Mapping[str, Any]) -> Design:
    """Return the design that `design_record` wrote."""
    intercept = bool(record["fit_intercept"])
    if record["formula"] is None:
        terms = column_terms(tuple(record["columns"]), intercept)
    else:
        terms = formula_terms(record["formula"], intercept)
    by_name = {factor.name: factor for factor in terms.factors}
    levels = tuple(
        (by_name[name], pd.Index(values)) for name, values in zip(record["factors"], record["levels"], strict=True)
    )
    _check_width(terms, levels, len(record["names"]))
    spec = None if record["state"] is None else _specification(terms, levels, decode_state(record["state"]))
    design = assemble(terms, levels, spec)
    if design.names != tuple(record["names"]):
        raise ValueError(f"formula={terms.formula!r} does not give the columns {record['names']}.")
    return design


def aliased_record(aliased: tuple[AliasedColumn, ...]) -> list[dict[str, Any]]:
    """Return the columns without coefficients as JSON values."""
    return [asdict(each) | {"others": list(each.others), "weights": list(each.weights)} for each in aliased]


def read_aliased(record: Sequence[Mapping[str, Any]], width: int) -> tuple[AliasedColumn, ...]:
    """Return what `aliased_record` wrote, of a design of so many columns."""
    aliased = tuple(
        AliasedColumn(each["column"], tuple(each["others"]), tuple(map(float, each["weights"])), float(each["scale"]))
        for each in record
    )
    if any(len(each.others) != len(each.weights) for each in aliased):
        raise ValueError("aliased has combinations with other numbers of columns than of weights")
    numbers = [number for each in aliased for number in (each.column, *each.others)]
    if any(number >= width for number in numbers):
        raise ValueError(f"aliased has numbers outside the {width} columns")
    return aliased


def _check_width(terms: Terms, levels: tuple[tuple[Factor, pd.Index], ...], width: int) -> None:
    """Raise if a term must have more columns than the model, before any memory is taken for them."""
    least = {factor.name: len(index) - 1 for factor, index in levels}
    products = [[factor.name] for factor in terms.factors]
    if terms.formula is not None:
        right = parse(terms.formula, terms.fit_intercept).right
        products = [[factor.expr for factor in term.factors] for term in right if str(term) != "1"]
    for product in products:
        columns = math.prod(least.get(name, 1) for name in product)
        if columns > width:
            raise ValueError(f"the term {':'.join(product)} has {columns:,} columns, and the model {width:,}")


def _specification(terms: Terms, levels: tuple[tuple[Factor, pd.Index], ...], state: dict[str, Any]) -> Any:
    """Specify a formula on made-up rows that show every level, and give it the state of the fit."""
    known = {factor.columns[0]: index for factor, index in levels}
    rows = max(_ROWS, *(len(index) for index in known.values()), 0)
    numbers = np.linspace(1.0, 2.0, rows)
    made: dict[str, Any] = {
        name: known[name][np.arange(rows) % len(known[name])] if name in known else numbers for name in terms.columns
    }
    # Numbers are categories only by their dtype, unless within C(...).
    made |= {f.name: pd.Categorical(made[f.name], categories=index) for f, index in levels if f.source is None}
    return specify_terms(terms, plain_columns(pd.DataFrame(made), terms.columns, known)).update(transform_state=state)


def encode_state(value: Any) -> Any:
    """Return the state of a transform as values that JSON knows."""
    if isinstance(value, Mapping):
        return {"pairs": [[encode_state(key), encode_state(part)] for key, part in value.items()]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, (list, tuple)):
        return [encode_state(part) for part in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    raise TypeError(f"a transform keeps a {type(value).__name__}, which JSON cannot represent.")


def decode_state(value: Any) -> Any:
    """Return what `encode_state` wrote."""
    if isinstance(value, Mapping):
        if "array" in value:
            array = np.asarray(value["array"])
            if array.dtype.kind not in "biuf":
                raise ValueError("a transform's state has an array that is not of numbers")
            return array
        return {decode_state(key): decode_state(part) for key, part in value["pairs"]}
    return [decode_state(part) for part in value] if isinstance(value, list) else value
