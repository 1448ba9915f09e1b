"""All models that lack one covariate, fitted together: many β in one reading of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.aliasing import DesignFactor, design_factor, orthogonal_basis
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.newton import arrived, rose
from dask_onestep.kernels.pilots.pilot import PilotFit, fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSample
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows import Rows, hold
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.one_step import OneStep
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.stepping import advance

__all__ = ["drop_each"]


@dataclass(frozen=True, slots=True)
class Each(Record):
    """One record for each of several models.

    Attributes
    ----------
    parts : tuple of Moments
        The records, in the models' order.
    """

    parts: tuple[Moments, ...]

    def __add__(self, other: Each) -> Each:
        return Each(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))


def each_moments(rows: Rows, model: Model, models: Sequence[Model], coefs: Sequence[np.ndarray]) -> Each:
    """Return the moments of a block for several restricted models, each at its own β.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The unrestricted model.
    models : sequence of Model
        The restricted ones.
    coefs : sequence of ndarray
        A β for each.

    Returns
    -------
    Each
        Their moments.
    """
    return Each(tuple(moments(hold(rows, m), m, coef) for m, coef in zip(models, coefs, strict=True)))


def drop_each(problem: Problem, method: Any, estimate: Estimate, groups: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the estimates of all models that lack one group of coefficients.

    Parameters
    ----------
    problem : Problem
        The unrestricted problem.
    method : OneStep or MLE
        How they are estimated.
    estimate : Estimate
        The unrestricted estimate.
    groups : sequence of sequence of str
        The coefficients to leave out, one group at a time: one coefficient, or that of each class.

    Returns
    -------
    ndarray of shape (m, d)
        A row for each group, 0 for the coefficients left out.

    Raises
    ------
    ValueError
        If `method` is neither `OneStep` nor `MLE`.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.methods import drop_each, resolve_method
    >>> class Dropping:
    ...     def estimate(self, problem):
    ...         method = resolve_method("mle")
    ...         estimate = method.estimate(problem)
    ...         self.coefs = drop_each(problem, method, estimate, [["x0"], ["x1"]])
    ...         return estimate
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> method = Dropping()
    >>> glm = GLMRegressor("poisson", method=method).fit(X, y)
    >>> method.coefs.round(1) == 0  # a row for each model, its own coefficient 0
    array([[False,  True, False],
           [False, False,  True]])
    """
    models = tuple(replace(problem.model, fixed=tuple((name, 0.0) for name in group)) for group in groups)
    if estimate.solver == "qr" and not problem.model.outcomes:
        whole = problem.value(problem.total(design_factor, name="design-qr"))
        models = tuple(_orthogonal(model, whole.without(_held(problem.model, model))) for model in models)
    if isinstance(method, OneStep):
        coefs = _one_step(problem, method, models)
    elif isinstance(method, MLE):
        coefs = _mle(problem, method, models, estimate)
    else:
        raise ValueError(
            f"drop1 fits all restricted models together, by OneStep or MLE; this estimator's method is {method!r}. "
            "Use likelihood_ratio_test for one hypothesis at a time."
        )
    out = np.zeros((len(models), problem.d))
    for row, model, coef in zip(out, models, coefs, strict=True):
        beta = coef if model.basis is None else np.nan_to_num(model.basis.coefficients(coef))
        row[np.delete(np.arange(problem.d), _held(problem.model, model))] = beta
    return out


def _orthogonal(model: Model, factor: DesignFactor) -> Model:
    return replace(model, basis=orthogonal_basis(factor, intercept=model.has_intercept))


def _one_step(problem: Problem, method: OneStep, models: tuple[Model, ...]) -> list[np.ndarray]:
    problem = replace(problem, classes=None)  # the pilot learns the labels, and must see them as they are
    steps = method.steps if isinstance(method.steps, int) else 2
    sample = problem.pilot_sample(method.pilot_size, method.random_state)
    pilots = problem.settle(problem.apply(_fit_each, sample, models, name="pilot-fit"))
    progress = None
    for _ in range(steps):
        at = problem.apply(_coefs_of_each, pilots if progress is None else progress, name="coefficients")
        sums = problem.total(each_moments, models, at, name="moments")
        progress = problem.apply(_advance_each, models, pilots, progress, sums, method.correction, name="newton-step")
        progress = problem.settle(progress)
    return problem.value(problem.apply(_coefs_of_each, progress, name="coefficients"))


def _fit_each(sample: PilotSample, models: Sequence[Model]) -> list[PilotFit]:
    return [fit_pilot(sample.held(model), model) for model in models]


def _advance_each(
    models: Sequence[Model], pilots: list[PilotFit], last: list | None, sums: Each, correction: str | None
) -> list:
    before = last or [None] * len(models)
    return [
        advance(model, pilot, one, part, correction)
        for model, pilot, one, part in zip(models, pilots, before, sums.parts, strict=True)
    ]


def _coefs_of_each(records: list) -> list[np.ndarray]:
    return [record.coef for record in records]


def _mle(problem: Problem, method: MLE, models: tuple[Model, ...], estimate: Estimate) -> list[np.ndarray]:
    """Climb from where the quadratic model at β̂ has its restricted maximum, all models in step."""
    coefs = [_start(problem.model, model, estimate) for model in models]
    steps = [np.zeros_like(coef) for coef in coefs]
    reached: list[Moments | None] = [None] * len(models)
    last = [np.inf] * len(models)
    for _ in range(method.max_iter + 1):
        trial = [coef + step for coef, step in zip(coefs, steps, strict=True)]
        sums = problem.value(problem.total(each_moments, models, trial, name="moments"))
        done = True
        for i, (model, new) in enumerate(zip(models, sums.parts, strict=True)):
            old = reached[i]
            if old is not None and not rose(new.loglik, old.loglik):
                steps[i], done = steps[i] / 2, False
                continue
            coefs[i], reached[i] = trial[i], new
            factor = factorize(new.information, intercept=model.has_intercept)
            decrement = factor.decrement(new.score)
            if arrived(new, decrement, factor.rank, method.tol, last[i]):
                steps[i] = np.zeros_like(coefs[i])
            else:
                steps[i], done = factor.solve(new.score), False
            last[i] = decrement
        if done:
            break
    return coefs


def _start(full: Model, model: Model, estimate: Estimate) -> np.ndarray:
    """Return β̂ − C_·j C_jj⁻¹ β̂_j, j the coefficients left out, without their zeros, in the model's columns."""
    out = _held(full, model)
    coef, covariance = np.nan_to_num(estimate.coef), np.nan_to_num(estimate.covariance)
    move = covariance[:, out] @ np.linalg.solve(covariance[np.ix_(out, out)], coef[out])
    start = np.delete(coef - move, out)
    return start if model.basis is None else model.basis.orthogonal(start)


def _held(full: Model, model: Model) -> list[int]:
    """Return which coefficients of the whole model a restricted one leaves out."""
    held = dict(model.fixed)
    return [number for number, name in enumerate(full.names) if name in held]
