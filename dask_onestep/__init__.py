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

_ESTIMATORS = ("GLMClassifier", "GLMRegressor", "compare", "fit_many")
_MODULES = ("datasets", "exceptions", "families", "links", "methods", "plots", "storage")


def __getattr__(name: str) -> Any:
    # Each name is imported when it is first used.
    if name in __all__:
        home = "estimators" if name in _ESTIMATORS else "functions" if name.islower() else "methods"
        value = globals()[name] = getattr(import_module(f"dask_onestep.{home}"), name)
        return value
    if name in _MODULES:
        return import_module(f"dask_onestep.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
