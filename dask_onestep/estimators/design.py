"""From a table's terms to its design, by a pass where the levels or a state must be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dask_onestep.estimators.remarks import remarks
from dask_onestep.kernels.designs.assembly import make_design, open_design
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.pilots.profile import Profile
from dask_onestep.methods import Problem
from dask_onestep.methods.requests import Look, Plan
from dask_onestep.methods.sampling import take_profile

__all__ = ["specify"]


def specify(problem: Problem, method: Any, terms: Terms, dtypes: Mapping[str, Any]) -> Plan:
    """Return the plan of a table's design; one pass, or none if dtypes and formula determine it.

    The pass draws the method's pilot as well, so that a fit takes no more passes than one of numbers alone.

    Parameters
    ----------
    problem : Problem
        The data; its model need not have columns yet.
    method : object
        What the model is fitted by.
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns, categorical only where the categories are known.

    Returns
    -------
    Plan
        It returns the `Design`, warnings of its categories, and `Kept` rows, or None where the pass could not tell
        which rows are usable.  It raises ValueError if a lazy fit would need the pass, or no row is complete.
    """
    if (design := open_design(terms, dtypes, problem.model.missing)) is None:
        known = make_design(terms, dtypes, None)
        return known, remarks(known, (), 0), None
    if problem.lazy:
        unknown = [factor.name for factor in terms.factors if factor in design.learned or factor.states]
        raise ValueError(
            f"fit_delayed computes nothing, and {', '.join(unknown)} must be looked at "
            "first. Make columns known categories, X.categorize([...]), or give C(x, levels=[...]); or use fit."
        )
    opened = replace(problem, model=replace(problem.model, columns=design.names, design=design))
    found, kept = yield from take_profile(opened, method)
    known, n = yield Look(problem.apply(_learned, terms, dtypes, found, name="design"))
    unsure = problem.model.missing == "drop" and terms.needs_states_for_gaps
    return known, remarks(known, design.learned, n), None if unsure else kept


def _learned(terms: Terms, dtypes: Mapping[str, Any], found: Profile) -> tuple[Design, int]:
    return make_design(terms, dtypes, found), found.n
