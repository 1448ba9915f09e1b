"""Warnings about categorical columns before a fit, and about rows and the response after it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dask_onestep.choices import listed
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks
from dask_onestep.methods import Estimate

# Numbers of levels above which a string column that was not declared categorical may not be categorical.
_MANY, _SEVERAL, _SHARE = 1_000, 50, 0.1
# Levels up to which strings of digits may be codes, such as "1" and "2"; and the part of them that may be no numbers.
_FEW, _FEW_OTHERS = 20, 0.1


def remarks(design: Design, words: Sequence[Factor], n: int) -> Remarks:
    """Return warnings about the categorical columns of a design."""
    said: list[Remark] = []
    for factor, levels in design.levels:
        if len(levels) == 1 and _without_column(design, factor):
            said.append(catalogue.ONE_LEVEL.warning(name=factor.name, level=levels.tolist()[0]))
        unnamed = factor in words and not factor.coded
        if unnamed and (found := _numbers_as_text(factor, levels.tolist())):
            said.append(found)
        elif unnamed and (len(levels) > _MANY or len(levels) > max(_SEVERAL, _SHARE * n)):
            said.append(catalogue.MANY_LEVELS.warning(name=factor.name, count=len(levels), n=n))
    return tuple(said)


def _numbers_as_text(factor: Factor, levels: list[Any]) -> Remark | None:
    """Return the warning that strings are numbers, or all but a few of them; None for other columns."""
    others = [level for level in levels if not _is_number(level)]
    if len(levels) <= _FEW or len(others) > _FEW_OTHERS * len(levels):
        return None
    numbers = next(level for level in levels if _is_number(level))
    but = f"; only {listed(others)} are not" if others else ""
    return catalogue.NUMBERS_AS_TEXT.warning(name=factor.name, count=len(levels), example=numbers, but=but)


def _is_number(level: Any) -> bool:
    try:
        float(level)
    except (TypeError, ValueError):
        return False
    return isinstance(level, str)


def undefined_terms(estimate: Estimate) -> Remarks:
    """Return the warning that rows were dropped on which terms of the formula are not defined, if there are any."""
    undefined = getattr(estimate.n_missing, "undefined", {})
    if not undefined:
        return ()
    terms = [f"{term} ({count:,} row{'s' if count != 1 else ''})" for term, count in undefined.items()]
    return (catalogue.UNDEFINED_TERMS.warning(terms=terms, n=estimate.n_samples),)


def unlikely_response(model: Model, estimate: Estimate, cov_type: str, *, had_weight: bool) -> Remarks:
    """Return the warning that y has values which the family's distribution cannot have, if the pilot's pass saw one."""
    pilot = estimate.pilot
    if cov_type != "nonrobust" or pilot is None or np.isnan(value := pilot.unusual.response):
        return ()
    if model.family.name != "binomial":
        message = catalogue.NON_INTEGER_COUNTS
    elif not had_weight:
        message = catalogue.PROPORTIONS_WITHOUT_TRIALS
    elif model.weight_type == "frequency":
        message = catalogue.PROPORTIONS_OF_IDENTICAL_ROWS
    else:
        message = catalogue.PROPORTIONS_OF_TRIALS
    return (message.warning(value=value),)


def _without_column(design: Design, factor: Factor) -> bool:
    """Return whether a factor has a term that makes no column of the matrix."""
    if design.spec is None:
        return True
    terms = design.spec.term_indices.items()
    return any(not at and factor.name in {part.expr for part in term.factors} for term, at in terms)
