"""The fields of an `Estimate` computed from β̂ and the sums at β̂, with their warnings."""

from __future__ import annotations

from itertools import compress
from typing import Any

import numpy as np

from dask_onestep.exceptions import AliasingWarning, CovarianceWarning, DegreesOfFreedomWarning
from dask_onestep.kernels.likelihood.covariance import Robust, ScoreProducts, degrees_of_freedom, dispersion, sandwich
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import factorize

__all__ = ["aliasing", "coefficients", "conclude"]

# Its inverse, a variance, and that times a dispersion, must stay within float64.
_SMALLEST_INFORMATION = 1e-290
_SHOWN = 20  # names that a warning lists


def conclude(
    model: Model, cov_type: str, coef: np.ndarray, at: Moments | ScoreProducts, **known: Any
) -> dict[str, Any]:
    """Return the fields of an `Estimate` that follow from β̂ and the sums there.

    Parameters
    ----------
    model : Model
        The model.
    cov_type : str
        The covariance.
    coef : ndarray of shape (d,)
        β̂, with any number for aliased columns.
    at : Moments or ScoreProducts
        The sums at β̂.
    **known : object
        Further fields.

    Returns
    -------
    dict
        Keyword arguments of `Estimate` or a subclass.

    Raises
    ------
    ValueError
        If β̂, or the pilot it came from, gives rows a mean outside the family's domain.
    """
    sums = at.moments if isinstance(at, ScoreProducts) else at
    if sums.pearson is not None and not np.isfinite(sums.pearson):
        raise ValueError(
            "The sum of squared residuals overflows: values of y or sample_weight are so large that their squares "
            "overflow. Divide them by a constant first, such as y / 1e6, and check for codes that stand for missing "
            "values."
        )
    if np.isnan(sums.loglik) or sums.loglik == -np.inf:
        raise ValueError(
            f"At the estimate some rows have a mean outside the range of the {model.family.name} family. Use a link "
            "that respects this range, such as log, a larger pilot, or method='mle', whose steps stay inside the "
            "range."
        )
    factor = factorize(sums.information, intercept=model.has_intercept)
    _refuse_tiny(sums, model)
    df_resid = degrees_of_freedom(sums, model, factor.rank)
    phi = dispersion(sums.pearson, df_resid)
    if isinstance(at, ScoreProducts):
        n = degrees_of_freedom(sums, model, 0) + round(sums.absorbed)
        robust = sandwich(factor, at, cov_type, n, intercept=model.has_intercept)
        covariance, said = robust.covariance, _of_robust(model, cov_type, robust)
        known |= {
            "decrement": factor.decrement(sums.score),
            "n_clusters": robust.n_clusters,
            "clusters": robust.clusters,
        }
    else:
        covariance, said = phi * factor.inverse(), ()
    advice = (*known.pop("warnings", ()), *aliasing(model, factor.kept), *said)
    # The factor N/(N − d) needs one even where no dispersion is estimated.
    if np.isnan(phi) or (df_resid <= 0 and cov_type in ("HC1", "cluster")):
        text = (
            f"No residual degrees of freedom ({sums.n} rows, {factor.rank} coefficients): standard errors are "
            "undefined. Use more rows or fewer columns."
        )
        advice = (*advice, (DegreesOfFreedomWarning, text))
    defaults = {
        "n_samples": sums.n,
        "loglik": float(sums.loglik),
        "solver": "cholesky",
        "condition": factor.condition,
        "sums": sums,
    }
    return {
        **defaults,
        **known,
        "coef": np.where(factor.kept, coef, np.nan),
        "covariance": covariance,
        "dispersion": phi,
        "df_resid": df_resid,
        "warnings": advice,
    }


def _refuse_tiny(sums: Moments, model: Model) -> None:
    """Raise if values of a column are so small that their squares, the information, leave the range of float64."""
    diagonal = np.diag(sums.information)
    tiny = (diagonal > 0) & (diagonal < _SMALLEST_INFORMATION)
    if tiny.any():
        names = _listed(list(compress(model.names, tiny)))
        raise ValueError(
            f"Values of X are so small that their squares underflow, in column {names}: standard errors would "
            "overflow. Multiply by a constant first, or standardize the columns."
        )


def aliasing(model: Model, kept: np.ndarray) -> tuple[tuple[type[Warning], str], ...]:
    """Return the warning that names aliased columns, if there are any.

    Parameters
    ----------
    model : Model
        The model.
    kept : ndarray of shape (d,) of bool
        Columns that are not aliased.

    Returns
    -------
    tuple
        For `Estimate.warnings`.
    """
    if kept.all():
        return ()
    aliased = [name for name, held in zip(model.names, kept, strict=True) if not held]
    text = (
        f"Coefficients of aliased columns are set to NaN: {_listed(aliased)}. Each is a linear combination of "
        "preceding columns; drop them, or ignore this warning: predictions are unaffected."
    )
    return ((AliasingWarning, text),)


def _of_robust(model: Model, cov_type: str, robust: Robust) -> tuple[tuple[type[Warning], str], ...]:
    """Return warnings of a robust covariance: coefficients without a standard error, and negative eigenvalues."""
    said = []
    if robust.lost:
        labels = _listed([repr(getattr(label, "item", lambda own=label: own)()) for label in robust.lost])
        names = _listed(list(compress(model.names, np.any(list(robust.lost.values()), axis=0))))
        said.append(
            f"Standard errors of {names} are NaN with cov_type={cov_type!r}: without cluster {labels} these "
            "coefficients are not identified, so their variance cannot be estimated from the other clusters. Use a "
            "finer grouping, or drop these columns."
        )
    if robust.sole.any():
        names = _listed(list(compress(model.names, robust.sole)))
        said.append(
            f"Standard errors of {names} are NaN with cov_type={cov_type!r}: these coefficients are identified only "
            "by rows with leverage 1. Drop these columns, merge rare factor levels, or use cov_type='HC1'."
        )
    if not np.isnan(robust.eigenvalue):
        said.append(
            f"The covariance of several groupings had negative eigenvalues (the smallest {robust.eigenvalue:.2g} "
            "times the largest), which were set to 0 (Cameron, Gelbach and Miller). With few clusters it is "
            "unreliable: consider a single grouping with cov_type='CRV3'."
        )
    return tuple((CovarianceWarning, text) for text in said)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", … and {len(names) - _SHOWN} more" if names[_SHOWN:] else "")


def coefficients(record: Any) -> np.ndarray:
    """Return only the coefficients of a record, without its rows.

    Parameters
    ----------
    record : PilotFit or Step
        A record with `coef`.

    Returns
    -------
    ndarray of shape (d,)
        β.
    """
    return record.coef
