"""Warnings about categorical columns before a fit, and about rows and the response after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dask_onestep.choices import listed
from dask_onestep.exceptions import AliasingWarning, ManyLevelsWarning, ResponseWarning, UndefinedTermWarning
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.model import Model
from dask_onestep.methods import Estimate

__all__ = ["remarks", "undefined_terms", "unlikely_response"]

_FRACTION = 1e-3  # as R's glm has it

# Levels of a column of words that nobody has called a category, from which on it may be something else.
_MANY, _SEVERAL, _SHARE = 1_000, 50, 0.1
# Levels up to which strings of digits may be codes, such as "1" and "2"; and the part of them that may be no numbers.
_FEW, _FEW_OTHERS = 20, 0.1


def remarks(design: Design, words: Sequence[Factor], n: int) -> tuple[tuple[type[Warning], str], ...]:
    """Return warnings about the categorical columns of a design.

    Parameters
    ----------
    design : Design
        The design.
    words : sequence of Factor
        Factors whose levels were learned in a pass.
    n : int
        The rows of that pass.

    Returns
    -------
    tuple of (type, str)
        Category and text, for `Estimate.warnings`.
    """
    said: list[tuple[type[Warning], str]] = []
    for factor, levels in design.levels:
        if len(levels) == 1 and _without_column(design, factor):
            text = (
                f"{factor.name} has only one level, {levels.tolist()[0]!r}, and therefore no coefficient. Drop it "
                "from the model."
            )
            said.append((AliasingWarning, text))
        unnamed = factor in words and not factor.coded
        if unnamed and (text := _numbers_as_text(factor, levels.tolist())):
            said.append((ManyLevelsWarning, text))
        elif unnamed and (len(levels) > _MANY or len(levels) > max(_SEVERAL, _SHARE * n)):
            text = (
                f"{factor.name} is a string column with {len(levels):,} distinct values in {n:,} rows, and each level "
                "has its own coefficient. Convert it if the values are times or numbers, drop it if they are "
                f"identifiers; if they are categories, use C({factor.name}) in a formula, or "
                f"X[{factor.name!r}].astype('category')."
            )
            said.append((ManyLevelsWarning, text))
    return tuple(said)


def _numbers_as_text(factor: Factor, levels: list[Any]) -> str:
    """Return what to say of a column of strings that are numbers, or all but a few of them; nothing of others."""
    others = [level for level in levels if not _is_number(level)]
    if len(levels) <= _FEW or len(others) > _FEW_OTHERS * len(levels):
        return ""
    numbers = next(level for level in levels if _is_number(level))
    but = f"; only {listed(others)} are not" if others else ""
    return (
        f"{factor.name} is a string column whose values are numbers ({len(levels):,} levels such as "
        f"{numbers!r}{but}), and each level has its own coefficient. Convert it to numbers, for example by "
        f"pandas.to_numeric(X[{factor.name!r}], errors='coerce'); if they are categories, write C({factor.name}) in a "
        "formula."
    )


def _is_number(level: Any) -> bool:
    try:
        float(level)
    except (TypeError, ValueError):
        return False
    return isinstance(level, str)


def undefined_terms(estimate: Estimate) -> tuple[tuple[type[Warning], str], ...]:
    """Return the warning that rows were dropped on which terms of the formula are not defined, if there are any.

    Parameters
    ----------
    estimate : Estimate
        What was found.

    Returns
    -------
    tuple of (type, str)
        For `Estimate.warnings`.
    """
    undefined = getattr(estimate.n_missing, "undefined", {})
    if not undefined:
        return ()
    terms = ", ".join(f"{term} ({count:,} row{'s' if count != 1 else ''})" for term, count in undefined.items())
    text = (
        f"Rows were dropped because terms of the formula are NaN or infinite there: {terms}; {estimate.n_samples:,} "
        "rows remain. Select the rows before the fit, or use a transform that is defined for all of them, such as "
        "np.log1p(x)."
    )
    return ((UndefinedTermWarning, text),)


def unlikely_response(model: Model, estimate: Estimate, cov_type: str) -> tuple[tuple[type[Warning], str], ...]:
    """Return the warning that y has values which the family's distribution cannot have, as the pilot rows show them.

    Parameters
    ----------
    model : Model
        What was fitted.
    estimate : Estimate
        What was found, with its pilot rows.
    cov_type : str
        The covariance; of a robust one nothing is said, since it does not take the distribution to be right.

    Returns
    -------
    tuple of (type, str)
        For `Estimate.warnings`.
    """
    pilot = estimate.pilot
    if cov_type != "nonrobust" or model.classify or pilot is None or pilot.y is None:
        return ()
    name, y = model.family.name, np.asarray(pilot.y)
    if name == "binomial":
        trials = 1.0 if pilot.weights is None or model.weight_type == "frequency" else pilot.weights
        # Rows of one outcome may have any weight, such as that of a survey.
        strange = (np.abs(y * trials - np.round(y * trials)) > _FRACTION) & (y > 0) & (y < 1)
        text = (
            "y contains proportions, such as {0:.4g}, that are not integer numbers of successes{1}: standard errors "
            "and tests based on the binomial distribution are invalid. Pass the number of trials as sample_weight=; "
            "for a fractional response use cov_type='HC1'."
        )
        where = " (without sample_weight, each row is one trial)" if pilot.weights is None else " of their trials"
    elif name in ("poisson", "negative-binomial"):
        strange, where = np.abs(y - np.round(y)) > _FRACTION, ""
        text = (
            "y contains counts that are not integers, such as {0:.4g}: standard errors and tests based on the "
            "distribution are invalid. Use cov_type='HC1'; if y is a rate, use the counts as y with "
            "offset=np.log(exposure)."
        )
    else:
        return ()
    if not strange.any():
        return ()
    return ((ResponseWarning, text.format(y[np.argmax(strange)], where)),)


def _without_column(design: Design, factor: Factor) -> bool:
    """Return whether a factor has a term that makes no column of the matrix."""
    if design.spec is None:
        return True
    terms = design.spec.term_indices.items()
    return any(not at and factor.name in {part.expr for part in term.factors} for term, at in terms)
