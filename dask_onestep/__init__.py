"""Generalized linear models with inference on Dask collections, read twice and not twenty times."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dask_onestep._version import __version__ as __version__

if TYPE_CHECKING:
    from dask_onestep.estimators import GLMClassifier, GLMRegressor, compare, fit_many
    from dask_onestep.functions import (
        approximate_inverse_covariance,
        moments,
        nodewise_lasso,
        pilot_sample,
        weighted_design,
    )
    from dask_onestep.methods import (
        MLE,
        Average,
        AverageLasso,
        DebiasedLasso,
        ElasticNet,
        ElasticNetCV,
        OneStep,
        Pilot,
        Surrogate,
    )

__all__ = [
    "MLE",
    "Average",
    "AverageLasso",
    "DebiasedLasso",
    "ElasticNet",
    "ElasticNetCV",
    "GLMClassifier",
    "GLMRegressor",
    "OneStep",
    "Pilot",
    "Surrogate",
    "approximate_inverse_covariance",
    "compare",
    "fit_many",
    "moments",
    "nodewise_lasso",
    "pilot_sample",
    "weighted_design",
]

# Where the names are: each is imported when it is first used.
_METHODS = (
    *("MLE", "Average", "AverageLasso", "DebiasedLasso", "ElasticNet", "ElasticNetCV"),
    *("OneStep", "Pilot", "Surrogate"),
)
_HOMES = {
    **dict.fromkeys(("GLMClassifier", "GLMRegressor", "compare", "fit_many"), "estimators"),
    **dict.fromkeys(_METHODS, "methods"),
    **dict.fromkeys(
        ("approximate_inverse_covariance", "moments", "nodewise_lasso", "pilot_sample", "weighted_design"), "functions"
    ),
}
_MODULES = ("datasets", "exceptions", "families", "links", "methods", "plots", "storage")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"dask_onestep.{_HOMES[name]}"), name)
        return value
    if name in _MODULES:
        return import_module(f"dask_onestep.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
