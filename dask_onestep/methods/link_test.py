"""Pregibon's link test: whether the square of the linear predictor adds to a model."""

from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.likelihood.link_test import predictor_moments
from dask_onestep.kernels.solve.ascent import Ascent, Newton
from dask_onestep.methods.fit_record import FitRecord
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

# On λ²/(d·φ̂), as for `MLE`.
_TOL, _MAX_ITER = 1e-16, 25


@dataclass(frozen=True)
class LinkFit:
    """The coefficient of the squared linear predictor.

    Attributes
    ----------
    coef, std_err : float
        Its estimate and, at φ = 1, its standard error; NaN if it is not identified.
    n : int
        Usable rows.
    weight : float
        Σ wᵢ.
    pearson : float or None
        Pearson's χ² of the model with both columns.
    """

    coef: float
    std_err: float
    n: int
    weight: float
    pearson: float | None


def fit_to_predictor(problem: Problem, record: FitRecord) -> Plan:
    """Return the plan of the MLE with the linear predictor and its square as columns: about four passes."""
    coef = np.nan_to_num(record.coef)
    center, scale = _location(record, coef)
    rule = Newton(True, _TOL)

    def passed(gamma: np.ndarray) -> Plan:
        return (yield Look((yield problem.total(predictor_moments, coef, center, scale, gamma, name="link-test"))))

    # There the model is the fitted one.
    start = np.array([center, scale, 0.0])
    ascent = Ascent.begin(start, (yield from passed(start)), rule, _MAX_ITER)
    while ascent.climbing:
        ascent = ascent.observe((yield from passed(ascent.proposal)))
    sums, factor = ascent.sums, ascent.factor
    square = float((ascent.coef + ascent.move.step)[2]) if factor.kept[2] else np.nan
    std_err = float(np.sqrt(factor.inverse()[2, 2]))
    return LinkFit(square / scale**2, std_err / scale**2, sums.n, sums.weight, sums.pearson)


def _location(record: FitRecord, coef: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of x'β with the weights of the fit, where the record tells."""
    information = record.information
    if information is None or not record.model.has_intercept:
        return 0.0, 1.0
    products = np.nan_to_num(information) @ coef
    center = float(products[0] / information[0, 0])
    variance = float(coef @ products / information[0, 0]) - center**2
    return center, np.sqrt(variance) if variance > 1e-12 * (1.0 + center**2) else 1.0
