"""Generalized linear models with inference on Dask collections, read twice and not twenty times."""

from dask_onestep._version import __version__ as __version__
from dask_onestep.estimators import GLMClassifier, GLMRegressor, compare
from dask_onestep.functions import (
    approximate_inverse_covariance,
    moments,
    nodewise_lasso,
    pilot_sample,
    weighted_design,
)
from dask_onestep.methods import MLE, Average, AverageLasso, DebiasedLasso, OneStep, Pilot, Surrogate

__all__ = [
    "MLE",
    "Average",
    "AverageLasso",
    "DebiasedLasso",
    "GLMClassifier",
    "GLMRegressor",
    "OneStep",
    "Pilot",
    "Surrogate",
    "approximate_inverse_covariance",
    "compare",
    "moments",
    "nodewise_lasso",
    "pilot_sample",
    "weighted_design",
]
