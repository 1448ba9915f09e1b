"""The blocks' lassos, as the sparse methods ask for them."""

from typing import Any

import numpy as np

from dask_onestep.kernels.lassos.local_lassos import LassoPlan, LocalLassos, local_lassos
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.likelihood.covariance import dispersion
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remarks
from dask_onestep.methods.arguments import check_choice, check_l1_ratio, check_nonnegative, check_positive
from dask_onestep.methods.draws import with_labels
from dask_onestep.methods.lasso_advice import few_digits
from dask_onestep.methods.method import refuse_restrictions
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Plan


def lasso_totals(problem: Problem, plan: LassoPlan) -> Plan:
    """Add the blocks' lassos: one pass, and one before it for the labels of a classification."""
    problem = yield from with_labels(problem)
    total = yield problem.total(local_lassos, plan, name="lasso")
    return problem.apply(_not_empty, total, name="lasso-total"), problem


def lasso_plan(
    method: Any, problem: Problem, nodewise: NodewisePlan | None = None, shares: tuple[tuple[int, int], ...] = ()
) -> LassoPlan:
    """Return what a method asks of every block."""
    alpha = resolve_alpha(method.alpha, problem, "alpha")
    return LassoPlan(alpha, method.l1_ratio, method.weights, method.tol, method.max_iter, nodewise, shares)


def resolve_alpha(alpha: Any, problem: Problem, label: str) -> str | np.ndarray:
    """Return a penalty as one number for each coefficient, 0 for the intercept."""
    if isinstance(alpha, str) and alpha == "auto":
        return alpha
    p = problem.d - int(problem.model.has_intercept)
    try:
        if alpha is None:  # NumPy takes it for NaN
            raise TypeError("None is not a number.")
        values = np.asarray(alpha, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}={alpha!r} must be 'auto', a number, or one number per column.") from error
    if problem.learned is not None and values.ndim:
        raise ValueError(
            f"fit_delayed: {label} has one number per column, and the columns are not known yet. Use fit, or pass one "
            "number."
        )
    if problem.learned is None and values.ndim == 0:
        values = np.broadcast_to(values, p)
    if values.ndim and values.shape != (p,):
        raise ValueError(
            f"{label} has shape {values.shape}; expected ({p},), one number per column (the intercept is not "
            "penalized)."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"{label} must be finite and nonnegative; its smallest value is {values.min()}.")
    return np.concatenate([np.zeros(problem.d - p), values]) if values.ndim else values


def check_lasso(method: Any, problem: Problem) -> None:
    """Raise if an option that the sparse methods share cannot be used."""
    problem.refuse(cov_type=("nonrobust",), solver=method.solvers)
    refuse_restrictions(method, problem)
    check_l1_ratio("l1_ratio", method.l1_ratio)
    check_choice("weights", method.weights, "size", "equal")
    check_nonnegative(threshold=method.threshold)
    check_positive(tol=method.tol, max_iter=method.max_iter)


def lasso_fields(model: Model, local: LocalLassos, classes: np.ndarray | None) -> dict[str, Any]:
    """Return the fields of an estimate that follow from the blocks' lassos."""
    rows = local.weight if model.weight_type == "frequency" else local.n
    df_resid = rows - local.nonzeros
    advice: Remarks = ()
    if local.unconverged:
        advice = (catalogue.LASSO_NOT_CONVERGED.warning(blocks=list(local.unconverged), gap=local.gap),)
    phi = dispersion(local.pearson, df_resid)
    if np.isnan(phi):
        said = {"n": local.n, "nonzeros": local.nonzeros, "where": " over the lassos of all blocks"}
        advice = (*advice, catalogue.NO_DEGREES_OF_FREEDOM_OF_LASSO.warning(**said))
    advice = (*advice, *few_digits(model, local))
    return {
        "dispersion": phi,
        "n_samples": local.n,
        "n_missing": local.n_missing,
        "df_resid": df_resid,
        "classes": classes,
        "converged": not local.unconverged,
        "warnings": advice,
    }


def _not_empty(local: LocalLassos) -> LocalLassos:
    if not local.n_blocks:
        raise catalogue.NO_ROWS.error(why="")
    return local
