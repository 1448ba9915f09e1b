"""Estimation methods, one per file: each is a plan of passes from a `Problem` to an `Estimate`, run by the driver."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dask_onestep.choices import unknown_choice
from dask_onestep.messages import catalogue
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.fit_record import FitRecord, Inputs
from dask_onestep.methods.jeffreys import PenalizedEstimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Pass, Settle
from dask_onestep.methods.session import Session

if TYPE_CHECKING:
    from dask_onestep.methods.average import Average, AverageEstimate
    from dask_onestep.methods.average_lasso import AverageLasso, AverageLassoEstimate
    from dask_onestep.methods.debiased_lasso import DebiasedLasso, DebiasedLassoEstimate
    from dask_onestep.methods.elastic_net import ElasticNet, ElasticNetEstimate
    from dask_onestep.methods.elastic_net_cv import ElasticNetCV, ElasticNetCVEstimate
    from dask_onestep.methods.method import Method
    from dask_onestep.methods.mle import MLE
    from dask_onestep.methods.one_step import OneStep
    from dask_onestep.methods.one_step_report import OneStepEstimate
    from dask_onestep.methods.pilot import Pilot
    from dask_onestep.methods.submodel import SubmodelEstimate
    from dask_onestep.methods.surrogate import Surrogate, SurrogateEstimate

__all__ = [
    "METHODS",
    "MLE",
    "Average",
    "AverageEstimate",
    "AverageLasso",
    "AverageLassoEstimate",
    "DebiasedLasso",
    "DebiasedLassoEstimate",
    "Draw",
    "ElasticNet",
    "ElasticNetCV",
    "ElasticNetCVEstimate",
    "ElasticNetEstimate",
    "Estimate",
    "FitRecord",
    "Inputs",
    "Look",
    "Method",
    "OneStep",
    "OneStepEstimate",
    "Pass",
    "PenalizedEstimate",
    "Pilot",
    "Problem",
    "Session",
    "Settle",
    "SubmodelEstimate",
    "Surrogate",
    "SurrogateEstimate",
    "resolve_method",
]

METHODS: dict[str, str] = {
    "one-step": "OneStep",
    "mle": "MLE",
    "pilot": "Pilot",
    "average": "Average",
    "surrogate": "Surrogate",
    "average-lasso": "AverageLasso",
    "debiased-lasso": "DebiasedLasso",
    "elastic-net": "ElasticNet",
    "elastic-net-cv": "ElasticNetCV",
}

# A method's module has its name, and is imported when it is first used: workers run functions of modules beside these
# ones, and do without scikit-learn.
_HOMES = {
    **{name: key.replace("-", "_") for key, method in METHODS.items() for name in (method, f"{method}Estimate")},
    "Method": "method",
    "OneStepEstimate": "one_step_report",
    "SubmodelEstimate": "submodel",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def resolve_method(method: Any) -> Any:
    """Return the method for a name or an object.

    Parameters
    ----------
    method : str or object
        A name in `METHODS`, or an object with ``estimate(problem)``.

    Returns
    -------
    object
        The method.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the object has no ``estimate``, or is a class.

    Examples
    --------
    >>> from dask_onestep.methods import resolve_method
    >>> resolve_method("mle")
    MLE()
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(unknown_choice("method", method, METHODS))
        return getattr(import_module(__name__), METHODS[method])()
    if isinstance(method, type):
        raise catalogue.CLASS_INSTEAD_OF_INSTANCE.error(option="method", name=method.__name__)
    if not callable(getattr(method, "estimate", None)):
        raise TypeError(
            f"method={method!r} is neither a name nor an object with estimate(problem); "
            f"the names are {', '.join(METHODS)}."
        )
    return method
