"""Plots, as scikit-learn's displays: ``from_estimator``, then ``ax_`` and ``figure_``.

They need matplotlib (extra ``plots``), which is imported when something is drawn.
"""

from dask_onestep.plots.blocks import BlocksDisplay
from dask_onestep.plots.coefficients import CoefficientDisplay
from dask_onestep.plots.effects import EffectsDisplay, PredictionsDisplay
from dask_onestep.plots.penalty_path import CrossValidationDisplay, PathDisplay
from dask_onestep.plots.pilot_size import PilotSizeDisplay
from dask_onestep.plots.probabilities import CalibrationDisplay, RocCurveDisplay
from dask_onestep.plots.regularization import RegularizationDisplay
from dask_onestep.plots.residuals import ResidualsDisplay

__all__ = [
    "BlocksDisplay",
    "CalibrationDisplay",
    "CoefficientDisplay",
    "CrossValidationDisplay",
    "EffectsDisplay",
    "PathDisplay",
    "PilotSizeDisplay",
    "PredictionsDisplay",
    "RegularizationDisplay",
    "ResidualsDisplay",
    "RocCurveDisplay",
]
