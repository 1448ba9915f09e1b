"""The fields of an `Estimate` computed from β̂ and the sums at β̂, with their warnings."""

from itertools import compress
from typing import Any

import numpy as np

from dask_onestep.kernels.likelihood.covariance import Robust, ScoreProducts, degrees_of_freedom, dispersion, sandwich
from dask_onestep.kernels.matrices.symmetric import Matrix
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remarks, Remedy

# Its inverse, a variance, and that times a dispersion, must stay within float64.
_SMALLEST_INFORMATION = 1e-290


def conclude(
    model: Model,
    cov_type: str,
    coef: np.ndarray,
    at: Moments | ScoreProducts,
    factor: AnyFactor | None = None,
    **known: Any,
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
    factor : CholeskyFactor, ArrowFactor or None
        Their factored information, if it is known.
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
        raise catalogue.RESIDUALS_OVERFLOW.error()
    if np.isnan(sums.loglik) or sums.loglik == -np.inf:
        raise catalogue.MEANS_OUTSIDE_RANGE.error(family=model.family.name)
    factor = factor or factorize(sums.information, intercept=model.has_intercept)
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
        advice = (*advice, catalogue.NO_DEGREES_OF_FREEDOM.warning(n=sums.n, rank=factor.rank))
    defaults = {
        **of_response(model, sums, known.get("n_samples", sums.n)),
        **_null_of_squares(model, sums, coef),
        "n_samples": sums.n,
        "loglik": float(sums.loglik),
        "solver": "cholesky",
        "condition": factor.condition,
        "sums": sums,
    }
    return {
        **defaults,
        **known,
        # A column may be found to be aliased only at the last step.
        "coef": np.where(factor.kept, factor.without_aliased(coef, sums.information), np.nan),
        "covariance": covariance,
        "dispersion": phi,
        "df_resid": df_resid,
        "warnings": advice,
    }


def of_response(model: Model, sums: Moments, n: int) -> dict[str, float]:
    """Return the number of events and the log-likelihood of the null model, where sums of all n rows contain them.

    In an exponential family the null model has the mean of y, and its log-likelihood depends on no other sum.

    Parameters
    ----------
    model : Model
        The model.
    sums : Moments
        Sums over rows.
    n : int
        N.

    Returns
    -------
    dict
        Fields of `Estimate`.
    """
    if sums.response is None or sums.n != n:
        return {}
    total, weighted = sums.response
    found = {"n_events": float(total)} if model.classify else {}
    constant = 0.0 if model.classify else sums.constant  # of a class without trials, under any link
    if constant is not None and model.has_intercept and not model.has_offset:
        family, mean = model.family, np.array([weighted / sums.weight])
        base = family.log_base_measure(mean)
        each = family.log_likelihood(mean, mean) - (0.0 if base is None else base)
        found["loglik_null"] = float(sums.weight * each[0] + constant)
    return found


def spread(information: Matrix, coef: np.ndarray) -> float:
    """Return Σ wᵢ(ηᵢ − η̄)², of the working weights."""
    slopes = np.append(0.0, coef[1:])
    product = information @ slopes
    return float(slopes @ product) - float(product[0]) ** 2 / float(information.diagonal()[0])


def _null_of_squares(model: Model, sums: Moments, coef: np.ndarray) -> dict[str, float]:
    """Return the log-likelihood of the null model of least squares, at its own dispersion."""
    if not (model.quadratic and model.has_intercept) or model.has_offset or model.fixed or sums.pearson is None:
        return {}
    total = sums.pearson + spread(sums.information, coef)
    return {"loglik_null": -sums.n / 2.0 * (1.0 + np.log(2.0 * np.pi * total / sums.n))} if total > 0 else {}


def _refuse_tiny(sums: Moments, model: Model) -> None:
    """Raise if values of a column are so small that their squares, the information, leave the range of float64."""
    diagonal = sums.information.diagonal()
    tiny = (diagonal > 0) & (diagonal < _SMALLEST_INFORMATION)
    if tiny.any():
        raise catalogue.SQUARES_UNDERFLOW.error(names=list(compress(model.names, tiny)))


def aliasing(model: Model, kept: np.ndarray) -> Remarks:
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
    return (catalogue.ALIASED.warning(names=aliased),)


def _of_robust(model: Model, cov_type: str, robust: Robust) -> Remarks:
    """Return warnings of a robust covariance: coefficients without a standard error, and negative eigenvalues."""
    given, names, said = Remedy("cov_type", cov_type), np.array(model.names), []
    if robust.lost:
        labels = [repr(getattr(label, "item", lambda own=label: own)()) for label in robust.lost]
        lost = names[np.any(list(robust.lost.values()), axis=0)].tolist()
        said.append(catalogue.CLUSTER_IDENTIFIES.warning(names=lost, given=given, clusters=labels))
    if robust.sole.any():
        said.append(catalogue.ROW_IDENTIFIES.warning(names=names[robust.sole].tolist(), given=given))
    if not np.isnan(robust.eigenvalue):
        said.append(catalogue.NEGATIVE_EIGENVALUES.warning(ratio=robust.eigenvalue))
    return tuple(said)
