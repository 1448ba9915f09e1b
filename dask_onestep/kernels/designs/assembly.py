"""From the terms of a model, and a pass over the table, to its design."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.design import Design, column_levels, plain_rows, treatment_names
from dask_onestep.kernels.designs.expressions import hold_times, is_numeric, numbers_among
from dask_onestep.kernels.designs.levels import MAX_LEVELS, TOO_MANY_LEVELS, level_last, match_levels, sorted_levels
from dask_onestep.kernels.designs.open_design import OpenDesign
from dask_onestep.kernels.designs.products import Coding, Product
from dask_onestep.kernels.designs.specification import (
    check_kinds,
    specified_products,
    specify_terms,
    transform_state,
    without_terms,
)
from dask_onestep.kernels.designs.states import moment_states
from dask_onestep.kernels.designs.table import plain_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, plain_categories, refusing_records, times_refused


def open_design(terms: Terms, dtypes: Mapping[str, Any], missing: str, *, observed: bool) -> OpenDesign | None:
    """Return a design that a pass over the table has to complete; None if dtypes and formula determine it.

    Parameters
    ----------
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns; categorical only if the categories are known.
    missing : {"raise", "drop"}
        How rows with NaN or infinity are treated.
    observed : bool
        Whether the pass also finds out which declared categories have rows; the others are no levels then, as in R.

    Returns
    -------
    OpenDesign or None
        The design.
    """
    coded = tuple(_categorical(terms, dtypes))
    learned = tuple(
        factor for factor in coded if factor.levels is None and (observed or _told_levels(factor, dtypes) is None)
    )
    if not learned and not any(factor.states for factor in terms.factors):
        return None
    computed = (factor.name for factor in terms.factors if factor not in coded and factor.source is not None)
    numbers = tuple(name for name in terms.columns if is_numeric(dtypes[name]))
    names = tuple(computed) if missing == "drop" else ()
    return OpenDesign(terms, names, (), factors=coded, learned=learned, numbers=numbers)


def make_design(terms: Terms, dtypes: Mapping[str, Any], seen: Any) -> Design:
    """Return the design of a table.

    Parameters
    ----------
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns.
    seen : Profile or None
        What a pass has found; None if none was needed.

    Returns
    -------
    Design
        The design.

    Raises
    ------
    ValueError
        If the formula does not fit the columns.
    """
    learned = () if seen is None else seen.factors
    if seen is None:
        shown = pd.DataFrame({name: pd.Series([], dtype=dtypes[name]) for name in terms.columns})
    else:
        coded = [name for factor in learned if factor.coded for name in factor.columns]
        shown = plain_columns(plain_categories(seen.levels, coded), terms.columns, {})
    levels: list[tuple[Factor, pd.Index]] = []
    for factor in _categorical(terms, dtypes):
        index = told = _told_levels(factor, dtypes)
        if factor in learned:
            with refusing_records(factor):
                index = sorted_levels(factor.values(shown))
            if factor.missing is not None:
                index = pd.Index(index.tolist())
            if told is not None:  # in the order in which they were declared
                index = told[np.sort(match_levels(index, told)[:-1])]
        assert index is not None
        if len(index) > MAX_LEVELS:
            raise ValueError(
                f"{factor.name} has {len(index):,} categories, more than {MAX_LEVELS:,}. {TOO_MANY_LEVELS}"
            )
        if factor.coded or told is not None or not _are_numbers(factor, index):
            levels.append((factor, index))
    if terms.formula is None:
        return assemble(terms, tuple(levels), None)
    known = column_levels(levels)
    rows = plain_rows(shown, terms.columns, known)
    coded = [factor.name if factor.source is None else factor.source for factor, _ in levels]
    if all(isinstance(rows.dtypes.get(name), pd.CategoricalDtype) for name in coded):
        rows = rows.iloc[:1]  # the categories tell the levels; thousands of rows with a column each would be large
    state = None
    if seen is not None and seen.states:
        columns = list(dict.fromkeys(name for factor in terms.factors if factor.states for name in factor.columns))
        sample = plain_rows(seen.state_rows(columns), tuple(columns), known)
        state = transform_state(terms, sample, moment_states(terms, seen.moments), seen.n_present)
    spec = specify_terms(terms, rows, state)
    check_kinds(spec, {factor.name for factor, _ in levels}, terms, dtypes)
    return assemble(terms, tuple(levels), spec)


def assemble(terms: Terms, levels: tuple[tuple[Factor, pd.Index], ...], spec: Any) -> Design:
    """Return a design with named columns from its parts; `spec` is formulaic's specification (or None)."""
    if spec is None:
        return Design(terms, treatment_names(terms, column_levels(levels)), levels, None, _main_effects(terms, levels))
    names = tuple(spec.column_names[int(terms.fit_intercept) :])
    products = specified_products(spec, terms, dict(levels))
    return Design(terms, names, levels, spec, products, without_terms(spec, {product.term for product in products}))


def _main_effects(terms: Terms, levels: tuple[tuple[Factor, pd.Index], ...]) -> tuple[Product, ...]:
    """Return the factors and numbers of a table each of whose columns is a covariate."""
    codings = {factor.name: Coding(factor, index, 0) for factor, index in levels}
    effects: list[Product] = []
    at = 0
    for factor in terms.factors:
        coding = codings.get(factor.name)
        effects.append(
            Product((), at, factor.name, (factor,)) if coding is None else Product((coding,), at, factor.name)
        )
        at += effects[-1].width
    return tuple(effects)


def _categorical(terms: Terms, dtypes: Mapping[str, Any]) -> list[Factor]:
    return [f for f in terms.factors if f.coded or (f.source is None and not is_numeric(dtypes[f.name]))]


def _are_numbers(factor: Factor, levels: pd.Index) -> bool:
    """Return whether a column of objects contains numbers, such as Decimals; raise an error if it contains dates."""
    if hold_times(levels):
        raise ValueError(times_refused([factor.name]))
    if levels.dtype != object:
        return False
    numbers = numbers_among(levels)
    return numbers is not None and not pd.api.types.is_bool_dtype(numbers.dtype)


def _told_levels(factor: Factor, dtypes: Mapping[str, Any]) -> pd.Index | None:
    column = factor.name if factor.source is None else factor.source
    dtype = dtypes.get(column)
    told = dtype.categories if isinstance(dtype, pd.CategoricalDtype) else None
    if factor.levels is not None:
        told = pd.Index(factor.levels)
    return told if told is None or factor.missing is None else level_last(told, factor.missing)
