"""formulaic's specification of a formula: made of rows that show every level, and applied to others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.terms import Terms, is_numeric, parse

__all__ = ["check_kinds", "specified_columns", "specify_terms", "without_terms"]

# formulaic parses its terms at every block, and Python 3.11's parser, where two threads use it at once, can raise
# "SystemError: AST constructor recursion depth mismatch".
_PARSING = Lock()


def specify_terms(terms: Terms, rows: pd.DataFrame) -> Any:
    """Return formulaic's specification of a formula.

    Parameters
    ----------
    terms : Terms
        The formula's.
    rows : DataFrame
        Rows that show every level.

    Returns
    -------
    ModelSpec
        The specification; the state of transforms is of these rows.

    Raises
    ------
    ValueError
        If the formula does not fit the columns.
    """
    from formulaic.errors import FormulaicError

    assert terms.formula is not None
    formula = parse(terms.formula, terms.fit_intercept)
    try:
        with _PARSING:
            whole = getattr(formula, "rhs", formula)
            matrix = whole.get_model_matrix(rows, context={}, na_action="ignore", output="numpy")
    except (FormulaicError, TypeError, ValueError) as error:
        raise ValueError(f"formula={terms.formula!r} does not fit the columns: {str(error).splitlines()[0]}") from error
    return matrix.model_spec


def specified_columns(spec: Any, rows: pd.DataFrame) -> np.ndarray:
    """Return the matrix of rows.

    Parameters
    ----------
    spec : ModelSpec
        The specification.
    rows : DataFrame of shape (m, …)
        Rows without gaps or unseen levels.

    Returns
    -------
    ndarray of shape (m, p)
        float64, the constant included if there is one.
    """
    with _PARSING:
        return np.asarray(spec.get_model_matrix(rows, context={}), dtype=np.float64)


def without_terms(spec: Any, terms: Collection[str]) -> Any:
    """Return a specification without some of its terms.

    Parameters
    ----------
    spec : ModelSpec
        The specification.
    terms : collection of str
        The terms to leave out.

    Returns
    -------
    ModelSpec
        The columns of the others, coded as before.
    """
    return spec.subset([term for term in spec.terms if str(term) not in terms])


def check_kinds(spec: Any, categorical: set[str], terms: Terms, dtypes: Mapping[str, Any]) -> None:
    """Raise if formulaic takes what was not known to be a category for one.

    Parameters
    ----------
    spec : ModelSpec
        The specification.
    categorical : set of str
        The factors whose levels are known.
    terms : Terms
        The formula's.
    dtypes : mapping of str to dtype
        Dtypes of the columns.

    Raises
    ------
    ValueError
        Where blocks differ, or a factor's values are no numbers.
    """
    for factor in terms.factors:
        kind, _ = spec.encoder_state.get(factor.name, (None, None))
        if kind is not None and kind.value == "categorical" and factor.name not in categorical:
            words = [name for name in factor.columns if not is_numeric(dtypes[name])]
            if not words:
                columns = ", ".join(factor.columns)
                raise ValueError(f"Blocks differ in {columns}: numbers by its dtype, words in a block. Mend them.")
            raise ValueError(
                f"{factor.name!r} in the formula gives no numbers, and {words} are not numeric columns. Where its "
                f"values are meant as categories, write C({factor.name}), so that its levels are counted."
            )
