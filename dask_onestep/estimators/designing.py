"""From a table's terms to its design, by a pass where the levels or a state must be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dask_onestep.estimators.remarks import remarks
from dask_onestep.kernels.designs.assembly import make_design, open_factors
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.profile import profile
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.methods import Problem

__all__ = ["specify"]


def specify(problem: Problem, terms: Terms, dtypes: Mapping[str, Any]) -> Design:
    """Return the design of a table, and leave `Problem.remarks`; one pass, or none if dtypes and formula tell all.

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
    Design
        The design.

    Raises
    ------
    ValueError
        If a lazy fit would need the pass, or no row is complete.
    """
    factors = open_factors(terms, dtypes)
    stateful = [factor.name for factor in terms.factors if factor.states]
    if not factors and not stateful:
        design = make_design(terms, dtypes, None)
        problem.remarks = remarks(design, (), 0)
        return design
    if problem.lazy:
        raise ValueError(
            f"fit_delayed computes nothing, and {', '.join([f.name for f in factors] + stateful)} must be looked at "
            "first. Make columns known categories, X.categorize([...]), or give C(x, levels=[...]); or use fit."
        )
    seen = problem.value(problem.total(profile, terms, factors, name="levels"))
    design = make_design(terms, dtypes, seen)
    problem.remarks = remarks(design, factors, seen.n)
    return design
