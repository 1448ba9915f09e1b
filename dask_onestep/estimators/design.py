"""From a table's terms to its design, by a pass where the levels or a state must be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dask_onestep.estimators.remarks import remarks
from dask_onestep.kernels.designs.assembly import make_design, open_factors
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.pilots.profile import profile
from dask_onestep.methods import Problem
from dask_onestep.methods.requests import Look, Plan

__all__ = ["specify"]


def specify(problem: Problem, terms: Terms, dtypes: Mapping[str, Any]) -> Plan:
    """Return the plan of a table's design; one pass, or none if dtypes and formula determine it.

    Parameters
    ----------
    problem : Problem
        The data; its model need not have columns yet.
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns, categorical only where the categories are known.

    Returns
    -------
    Plan
        It returns the `Design`, and warnings of its categories.  It raises ValueError if a lazy fit would need the
        pass, or no row is complete.
    """
    factors = open_factors(terms, dtypes)
    stateful = [factor.name for factor in terms.factors if factor.states]
    if not factors and not stateful:
        design = make_design(terms, dtypes, None)
        return design, remarks(design, (), 0)
    if problem.lazy:
        raise ValueError(
            f"fit_delayed computes nothing, and {', '.join([f.name for f in factors] + stateful)} must be looked at "
            "first. Make columns known categories, X.categorize([...]), or give C(x, levels=[...]); or use fit."
        )
    seen = yield Look((yield problem.total(profile, terms, factors, name="levels")))
    design = make_design(terms, dtypes, seen)
    return design, remarks(design, factors, seen.n)
