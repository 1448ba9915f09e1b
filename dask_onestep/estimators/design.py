"""From a table's terms to its design, by a pass where the levels or a state must be looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dask_onestep.estimators.remarks import remarks
from dask_onestep.graph import apply
from dask_onestep.kernels.designs.assembly import make_design, open_design
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.open_design import OpenDesign
from dask_onestep.kernels.designs.terms import Factor, Terms
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.profile import Profile
from dask_onestep.messages.text import Remarks
from dask_onestep.methods import Inputs, Problem
from dask_onestep.methods.draws import MOST_COEFFICIENTS, learned_design, take_profile
from dask_onestep.methods.requests import Look, Plan


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is to be fitted: a method, a problem, what ``fit`` was given, and the terms and dtypes of a table."""

    method: Any
    problem: Problem
    inputs: Inputs
    terms: Terms | None
    dtypes: Mapping[str, Any]


def specify(given: Preparation) -> Plan:
    """Return the plan of the problem with its design and of warnings about the table: one pass for a table, or none.

    There is no pass for an array, or if dtypes and formula determine the design.

    The pass draws the method's pilot as well, so that a fit takes no more passes than one of numeric columns.
    """
    method, problem, terms, dtypes = given.method, given.problem, given.terms, given.dtypes
    if terms is None:
        return problem, ()
    # Methods that draw a pilot read the data first, and see by the way which declared categories have rows.
    draws = hasattr(method, "draw") and method.draw(problem).size is not None
    if problem.lazy and draws and open_design(terms, dtypes, problem.model.missing, observed=False) is None:
        # The rows that a lazy fit keeps in that pass may be too few for a pilot of so many coefficients.
        draws = len(make_design(terms, dtypes, None).names) < MOST_COEFFICIENTS
    if (design := open_design(terms, dtypes, problem.model.missing, observed=draws)) is None:
        known = make_design(terms, dtypes, None)
        return replace(problem, model=_with(problem.model, known)), remarks(known, (), 0)
    unsure = problem.model.missing == "drop" and terms.needs_states_for_gaps
    if problem.lazy and (unsure or not hasattr(method, "draw")):
        words = _unknown(design, dtypes)
        unknown = [factor.name for factor in terms.factors if factor in words or factor.states]
        raise ValueError(
            f"fit_delayed does not compute anything, and {', '.join(unknown)} must be known first. Convert columns to "
            "known categories, X.categorize([...]), or give C(x, levels=[...]); or use fit."
        )
    problem = replace(problem, model=replace(problem.model, columns=design.names, design=design))
    found, kept = yield from take_profile(problem, method)
    if problem.lazy:
        learned = problem.apply(_model, problem.model, terms, dtypes, found, name="design")
        said = apply(_remarks, learned, _unknown(design, dtypes), found, name="remarks")
        return replace(problem, learned=learned, kept=kept), said
    known, n, enough_for = yield Look(problem.apply(learned_design, terms, dtypes, found, name="design"))
    kept = replace(kept, n=n, enough_for=enough_for)
    problem = replace(problem, model=_with(problem.model, known), kept=None if unsure else kept)
    return problem, remarks(known, _unknown(design, dtypes), n)


def _unknown(design: OpenDesign, dtypes: Mapping[str, Any]) -> tuple[Factor, ...]:
    """Return the factors whose columns nobody has declared to be categories."""
    kinds = ((factor, dtypes.get(factor.source or factor.name)) for factor in design.learned)
    return tuple(factor for factor, kind in kinds if not isinstance(kind, pd.CategoricalDtype))


def _model(model: Model, terms: Terms, dtypes: Mapping[str, Any], found: Profile) -> Model:
    return _with(model, learned_design(terms, dtypes, found)[0])


def _with(model: Model, design: Design) -> Model:
    intercept = design.terms.fit_intercept
    refuse_reserved(design.names, intercept)
    return replace(model, columns=design.names, fit_intercept=intercept, design=design)


def refuse_reserved(columns: tuple[str, ...], intercept: bool) -> None:
    """Raise if a column has the name of the model's own intercept."""
    if intercept and "intercept" in columns:
        raise ValueError(
            "The column name 'intercept' is reserved for the model's intercept. Rename this column of X, or pass "
            "fit_intercept=False."
        )


def _remarks(model: Model, learned: tuple[Factor, ...], found: Profile) -> Remarks:
    assert model.design is not None
    return remarks(model.design, learned, found.n)
