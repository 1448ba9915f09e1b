"""scikit-learn estimators for generalized linear models on Dask collections."""

from dask_onestep.estimators.classifier import GLMClassifier
from dask_onestep.estimators.comparison import compare, fit_many
from dask_onestep.estimators.regressor import GLMRegressor

__all__ = ["GLMClassifier", "GLMRegressor", "compare", "fit_many"]
