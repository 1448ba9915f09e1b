"""Plans of several models on the same data, whose errors are known to be their own."""

from __future__ import annotations

from collections.abc import Mapping

from dask_onestep.kernels.rows.block import MODEL_ERRORS
from dask_onestep.methods.driver import Outcome, run_all
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Plan


def attempted(plan: Plan) -> Plan:
    """Return a plan that ends with its error as a value, so that it ends no other."""
    try:
        return (yield from plan)
    except MODEL_ERRORS as error:
        return error


def run_together(problem: Problem, plans: Mapping[str, Plan]) -> dict[str, Outcome]:
    """Run the plans of several models, which share every pass.

    Parameters
    ----------
    problem : Problem
        The data, and how they are computed.
    plans : mapping from str to Plan
        The plans by the names of the models.

    Returns
    -------
    dict of Outcome
        Of each plan.

    Raises
    ------
    Exception
        The first error of a plan, with a note that names the model unless the error is of the data.
    """
    outcomes = dict(zip(plans, run_all(problem, [attempted(plan) for plan in plans.values()]), strict=True))
    errors = {name: found.value for name, found in outcomes.items() if isinstance(found.value, Exception)}
    if not errors:
        return outcomes
    name, error = next(iter(errors.items()))
    if any(each.value is not error for each in outcomes.values()):
        error.add_note(f"In the model {name!r}.")
    raise error
