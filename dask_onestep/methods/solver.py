"""Solvers of the scoring equations: normal equations, or a QR of the design if these lose too many digits."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dask_onestep.exceptions import AliasingWarning, DistanceWarning
from dask_onestep.kernels.likelihood.covariance import CLUSTERED
from dask_onestep.kernels.model import Model, refuse_information
from dask_onestep.kernels.rows.aliasing import Dependence, DesignFactor, dependences, design_factor, orthogonal_basis
from dask_onestep.kernels.solve.basis import Basis
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Message, Remark
from dask_onestep.methods.conclusion import aliasing
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import estimated
from dask_onestep.methods.mle import MLE
from dask_onestep.methods.one_step import OneStep
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

# Normal equations lose as many digits as their condition number has: from here on, half of float64's sixteen.
LARGEST_CONDITION = 1e8
# A column of which more is left than this share is not what misled the normal equations: the weights were.
_NEARLY = 1e-3


def solved(problem: Problem, method: Any) -> Plan:
    """Return the plan of a method's estimate, by the solver that the problem asks for.

    "cholesky" leaves the method to its normal equations.  "qr" reads the data once for the R of a QR of
    the design, and hands the method the columns that this makes orthogonal.  "auto" is "cholesky" unless the
    condition number is above `LARGEST_CONDITION` or columns look aliased: then the QR is made, and if it
    confirms the one or refutes the other, the method estimates again by "qr".  A multinomial model with
    coefficients held at a value, which may be those of some classes only, has no other columns of the same span, and a
    lazy problem cannot look at its columns: they are always "cholesky".

    Parameters
    ----------
    problem : Problem
        The problem.
    method : object
        The method; "auto" switches to "qr" only if it is ``equivariant``.

    Returns
    -------
    Plan
        It returns an `Estimate` of the design's own columns.

    Notes
    -----
    Passes: those of the method; one more for "qr"; for "auto", where it switches, one more and the method's
    once again.
    """
    problem = eliminating(problem, method)
    if getattr(method, "eliminates", False) and problem.learned is None:
        refuse_information(problem.model)
    if problem.lazy or (problem.model.fixed and not problem.model.likelihood.takes_offset):
        return (yield from estimated(problem, method))
    if problem.solver == "qr":
        problem.refuse(solver=_honored(method))
        return (yield from _by_qr(problem, method, (yield from _design_factor(problem))))
    estimate = yield from estimated(problem, method)
    kept = np.isfinite(estimate.coef)
    aliased = len(kept) == problem.d and bool(set(aliasing(problem.model, kept)) & set(estimate.warnings))
    if problem.model.eliminated is not None and estimate.condition <= LARGEST_CONDITION:
        return estimate  # a QR of all levels would take far longer than the fit
    switches = problem.solver == "auto" and "qr" in _honored(method)
    if not aliased and not (switches and estimate.converged and estimate.condition > LARGEST_CONDITION):
        return estimate
    factor = yield from _design_factor(problem)
    basis = orthogonal_basis(factor, intercept=problem.model.has_constant)
    # Rounding may show a column as aliased that is not, or hide that it is.
    misled = basis.kept.sum() != _of_design(problem, kept).sum()
    if switches and (misled or basis.condition > LARGEST_CONDITION):
        return _with_near(problem, (yield from _by_qr(problem, method, factor)), factor, kept)
    return _confirmed(problem, estimate, factor) if aliased else estimate


def eliminating(problem: Problem, method: Any) -> Problem:
    """Return the problem with a factor of many levels eliminated, if the method and the covariance allow it.

    Parameters
    ----------
    problem : Problem
        The problem.
    method : object
        The method; it must be ``eliminates``.

    Returns
    -------
    Problem
        Its information matrices are then `Arrowhead` matrices.
    """
    allowed = problem.cov_type not in CLUSTERED and problem.solver != "qr" and problem.model.basis is None
    if not (allowed and getattr(method, "eliminates", False)) or problem.model.eliminates:
        return problem
    learned = problem.learned
    if learned is not None:
        learned = problem.apply(_eliminating, learned, name="model")
    return replace(problem, model=_eliminating(problem.model), learned=learned)


def _eliminating(model: Model) -> Model:
    return replace(model, eliminates=True)


def orthogonalized(problem: Problem) -> Plan:
    """Return the plan of the problem in columns that are orthogonal to those before them: one pass.

    Parameters
    ----------
    problem : Problem
        The problem.

    Returns
    -------
    Plan
        It returns the `Problem`, on the same blocks.
    """
    return _in_basis(problem, (yield from _design_factor(problem)))


def _in_basis(problem: Problem, factor: DesignFactor) -> Problem:
    basis = orthogonal_basis(factor, intercept=problem.model.has_constant)
    return replace(problem, model=replace(problem.model, basis=basis))


def _honored(method: Any) -> tuple[str, ...]:
    if getattr(method, "equivariant", False):
        return ("auto", "cholesky", "qr")
    return getattr(method, "solvers", ("auto", "cholesky"))


def _design_factor(problem: Problem) -> Plan:
    if not problem.model.fixed:
        return (yield Look((yield problem.total(design_factor, name="design-qr"))))
    # That of all columns, which restricted models on the same data share.
    full = replace(problem, model=problem.model.unrestricted)
    factor = yield Look((yield full.total(design_factor, name="design-qr")))
    return factor.along(problem.model.directions)


def _by_qr(problem: Problem, method: Any, factor: DesignFactor) -> Plan:
    inner = _in_basis(problem, factor)
    basis = inner.model.basis
    assert isinstance(basis, Basis)
    estimate = yield from estimated(inner, method)
    if isinstance(method, OneStep) and not np.isfinite(estimate.coef).all():
        estimate = yield from _converged(inner, estimate)
    estimate = estimate.of_columns(basis)
    found = dependences(factor, problem.model.design_names, basis.kept, intercept=problem.model.has_constant)
    said = (_aliased(catalogue.ALIASED_EXACTLY, found),) if found else ()
    return replace(estimate, warnings=(*estimate.warnings, *said))


def _converged(problem: Problem, estimate: Estimate) -> Plan:
    """Return the MLE if the steps ended where orthogonal columns look aliased.

    No column is aliased; far from the maximum a few rows dominate.
    """
    found = yield from estimated(problem, MLE())
    names = {field.name for field in fields(Estimate)} - {"warnings"}
    said = tuple(each for each in estimate.warnings if each[0] not in (AliasingWarning, DistanceWarning))
    known = {name: getattr(found, name) for name in names}
    return replace(estimate, **known, warnings=(*said, *found.warnings, catalogue.STEPS_DOMINATED.warning()))


def _of_design(problem: Problem, kept: np.ndarray) -> np.ndarray:
    """Return which columns of the design have coefficients: in a multinomial model, for every class or for none."""
    return np.asarray(kept.reshape(-1, problem.model.width).all(axis=0))


def _confirmed(problem: Problem, estimate: Estimate, factor: DesignFactor) -> Estimate:
    """Return the estimate with separate warnings for exactly and nearly aliased columns."""
    model, kept = problem.model, np.isfinite(estimate.coef)
    found = dependences(factor, model.design_names, _of_design(problem, kept), intercept=model.has_constant)
    others = tuple(each for each in estimate.warnings if each not in aliasing(model, kept))
    said: list[Remark] = []
    for exact, message in ((True, catalogue.ALIASED_EXACTLY), (False, catalogue.ALIASED_NEARLY)):
        if group := [each for each in found if each.exact is exact]:
            said.append(_aliased(message, group))
    return replace(estimate, warnings=(*others, *said))


def _with_near(problem: Problem, estimate: Estimate, factor: DesignFactor, kept: np.ndarray) -> Estimate:
    """Return the estimate by QR with a warning about columns that the normal equations had dropped."""
    model = problem.model
    found = dependences(factor, model.design_names, _of_design(problem, kept), intercept=model.has_constant)
    near = [each for each in found if not each.exact and each.share < _NEARLY]
    said = (_aliased(catalogue.NEARLY_ALIASED, near),) if near else ()
    return replace(estimate, warnings=(*estimate.warnings, *said))


def _aliased(message: Message, found: Sequence[Dependence]) -> Remark:
    """Return a warning that names columns and what each is a combination of."""
    exact = message is catalogue.ALIASED_EXACTLY
    combinations = [
        f"{each.name} = {_sum(each)}" if exact else f"all but {each.share:.1g} of {each.name} is {_sum(each)}"
        for each in found
    ]
    return message.warning(names=[each.name for each in found], combinations=combinations)


def _sum(each: Dependence) -> str:
    if not each.combination:
        return "0, or so small that its squares underflow"
    shown = " + ".join(f"{value:.3g}·{name}" for name, value in each.combination[:4])
    return shown + (" + …" if len(each.combination) > 4 else "")
