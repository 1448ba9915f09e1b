"""The formula, the columns to read and the model that a command asks for."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from sklearn.base import clone

from dask_onestep.choices import listed, suggestion
from dask_onestep.cli.options import ModelOptions
from dask_onestep.data.files import FileTable
from dask_onestep.estimators import GLMClassifier, GLMRegressor
from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.designs.parser import parse, with_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, formula_terms
from dask_onestep.methods import resolve_method


def parse_formula(formula: str, columns: Sequence[str] = (), others: Sequence[str | None] = ()) -> Terms:
    """Return the terms of a formula, which must have a response."""
    written = with_columns(formula, [name for name in columns if name not in others])
    terms = formula_terms(written, fit_intercept=True)
    if terms.response is None:
        raise ValueError(f"the formula {formula!r} has no left-hand side; use 'y ~ ...'.")
    return terms


def columns_of(terms: Terms, *others: str | None) -> list[str]:
    """Return the columns that a formula and the options read."""
    response = () if terms.response is None else terms.response.columns
    return [*terms.columns, *response, *(name for name in others if name is not None)]


def with_offset(terms: Terms, columns: Collection[str], offset: str | None) -> tuple[Terms, str | None]:
    """Return terms and the offset's column; an expression of columns becomes a term of the formula."""
    if offset is None or offset in columns or offset.isidentifier():
        return terms, offset
    return parse_formula(f"{terms.formula} + offset({offset})"), None


def null_terms(terms: Terms, asked: Sequence[str]) -> list[str]:
    """Return the null hypothesis of a test as the library names it; unknown terms raise before any row is read."""
    known = [str(term) for term in parse(str(terms.formula), terms.fit_intercept).right if str(term) != "1"]
    parts = {factor.name for factor in terms.factors}
    for name in asked:
        if name in ("1", "intercept", *known) or all(_begins(part, parts) for part in _factors(name)):
            continue
        raise ValueError(
            f"--term {name} is not in the formula. Its terms are {listed(known)}.{suggestion(name, known)}"
        )
    return ["intercept" if name == "1" else name for name in asked]


def _factors(name: str) -> list[str]:
    """Return the factors of an interaction's name; colons within brackets do not part them."""
    return re.split(r":(?![^\[(]*[\])])", name)


def _begins(name: str, parts: Collection[str]) -> bool:
    """Return whether a coefficient's name is a factor's, or one of its levels or columns."""
    return any(name == part or name.startswith(f"{part}[") for part in parts)


def estimator_for(
    table: FileTable, terms: Terms, asked: ModelOptions, *, verbose: bool
) -> GLMRegressor | GLMClassifier:
    """Return the estimator that a command asks for: a classifier if the response is a string column."""
    chosen = clone(resolve_method(asked.method))
    known = chosen.get_params()
    given = {
        "--pilot-size": ("pilot_size", _pilot_size(asked.pilot_size)),
        "--seed": ("random_state", asked.seed),
        "--alpha": ("alpha", getattr(asked, "alpha", None)),
        "--l1-ratio": ("l1_ratios" if "l1_ratios" in known else "l1_ratio", getattr(asked, "l1_ratio", None)),
        "--penalty": ("penalty", getattr(asked, "penalty", None)),
    }
    for option, (name, value) in given.items():
        if value is not None:
            if name not in known:
                raise ValueError(f"{option} is not an option of --method {asked.method}.")
            chosen.set_params(**{name: value})
    shared = {"cov_type": getattr(asked, "cov_type", "nonrobust"), "missing": asked.missing, "verbose": verbose}
    options: dict[str, Any] = {"method": chosen, "formula": terms.formula, **shared}
    response = terms.response
    if response is not None and (asked.classify or _has_labels(table, response)):
        if asked.family != "binomial" and not asked.classify:
            raise ValueError(f"{response.name} holds labels, not numbers: --family binomial classifies them.")
        return GLMClassifier(asked.link or "logit", **options)
    return GLMRegressor(asked.family, asked.link, **options)


def _pilot_size(text: str | None) -> int | float | str | None:
    if text is None or text == "auto":
        return text
    try:
        size = float(text)
        return int(size) if size > 1 and size.is_integer() else int(text) if text.isdigit() else size
    except ValueError:
        raise ValueError(f"--pilot-size {text} is neither a number of rows nor a fraction.") from None


def _has_labels(table: FileTable, response: Factor) -> bool:
    """Return whether the response is a string column, to be classified; numbers are 0, 1 or proportions."""
    if response.source is not None or response.name not in table.columns:
        return False
    dtype = table.dtypes[response.name]
    return not is_numeric(dtype) and getattr(dtype, "kind", "O") not in "mM"
