"""Another covariance of coefficients that are known: from a fit's record where that suffices, otherwise by one pass."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_onestep.exceptions import CovarianceWarning, DegreesOfFreedomWarning
from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.likelihood.clusters import Clusters, jackknife
from dask_onestep.kernels.likelihood.covariance import CLUSTERED, LEVERAGED, ScoreProducts, score_products
from dask_onestep.kernels.matrices.symmetric import Arrowhead, Matrix, filled
from dask_onestep.kernels.model import Model, refuse_information
from dask_onestep.kernels.pilots.step import Step
from dask_onestep.kernels.records import Findings, Moments
from dask_onestep.kernels.rows.block import run_kernel
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.fit_record import FitRecord
from dask_onestep.methods.jeffreys import PenalizedEstimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan

# Warnings that are of a covariance, and not of the coefficients.
_OF_COVARIANCES = (CovarianceWarning, DegreesOfFreedomWarning)


def recovered(record: FitRecord, cov_type: str) -> Estimate | None:
    """Return a fit's estimate with another covariance, of no clusters, from its record; None if that takes the data."""
    estimate = record.estimate
    if cov_type == record.cov_type:
        return estimate
    if {cov_type, record.cov_type} == {"HC0", "HC1"}:
        d = record.rank + round(0.0 if record.sums is None else record.sums.absorbed)
        ratio = (estimate.df_resid + d) / estimate.df_resid if estimate.df_resid > 0 else np.nan
        ratio = ratio if cov_type == "HC1" else 1.0 / ratio
        bound = estimate.distance_bound / np.sqrt(ratio)
        return replace(estimate, covariance=estimate.covariance * ratio, distance_bound=bound)
    model, coef, sums = _as_solved(record, cov_type)
    if sums is None:
        return None
    if cov_type == "nonrobust":
        return _concluded(record, cov_type, sums)
    products = _of_kept_rows(record, score_products, model, coef, cov_type, _bread(model, sums))
    return None if products is None else _concluded(record, cov_type, products)


def _of_kept_rows(record: FitRecord, kernel: Any, model: Model, *arguments: Any) -> Any:
    """Return a kernel's sums over all rows, if the fit's record keeps all of them as its pilot; otherwise None."""
    pilot = record.pilot
    if pilot is None or not pilot.has_rows or len(pilot.keys) != record.n_samples:
        return None
    block = Block(pilot.x if pilot.raw is None else pilot.raw, pilot.y, pilot.weights, pilot.offset)
    found = run_kernel(block, kernel, model, record.estimate.classes, arguments)
    return None if isinstance(found, Findings) else found


def with_covariance(problem: Problem, record: FitRecord) -> Plan:
    """Return the plan of a fit's estimate with the covariance that a problem asks for: one pass.

    One more for the leverages of "HC2" and "HC3" where the record has no information matrix, and for "CRV3" where
    clusters are very many.
    """
    model, coef, sums = _as_solved(record, problem.cov_type)
    refuse_information(model)
    problem = replace(problem, model=model)
    if problem.cov_type == "nonrobust":
        return _concluded(record, "nonrobust", (yield Look((yield from problem.moments(coef)))), read=True)
    bread = None
    if problem.cov_type in LEVERAGED:
        if sums is None:
            sums = yield Look((yield from problem.moments(coef)))
        bread = _bread(model, sums)
    products = yield Look((yield from problem.score_products(coef, bread)))
    return _concluded(record, problem.cov_type, products, read=True)


def changes_without(problem: Problem, record: FitRecord) -> Plan:
    """Return the plan of how a fit's coefficients change without each cluster, to first order.

    One pass; one more where clusters are very many.
    """
    model, coef, _ = _as_solved(record)
    problem = replace(problem, model=model, cov_type="CRV3")
    products = yield Look((yield from problem.score_products(coef)))
    (clusters,) = products.clusters.parts
    return (*changes_of(clusters, products.observed, record), products.moments.n)


def changes_of(clusters: Clusters, observed: np.ndarray, record: FitRecord) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of clusters, and how a fit's coefficients change without each, to first order."""
    model, basis = _as_solved(record)[0], record.estimate.basis
    factor = factorize(observed, intercept=model.has_intercept)
    changes, lost = jackknife(clusters, factor)
    changes[:, ~factor.kept] = np.nan
    for number, gone in lost.items():
        # A column of a QR belongs to several coefficients.
        changes[number, gone if basis is None else slice(None)] = np.nan
    return clusters.labels, changes if basis is None else basis.coefficients(changes)


def _as_solved(record: FitRecord, cov_type: str = "cluster") -> tuple[Model, np.ndarray, Moments | None]:
    """Return model, coefficients and sums of the columns that were solved for: the design's, or those of a QR.

    Levels that were eliminated in the fit are so for a covariance, unless it is of clusters.
    """
    estimate, coef, sums = record.estimate, np.nan_to_num(record.coef), record.sums
    if estimate.basis is None:
        eliminates = sums is not None and isinstance(sums.information, Arrowhead) and cov_type not in CLUSTERED
        return replace(record.model, eliminates=eliminates), coef, sums
    return replace(record.model, basis=estimate.basis), estimate.basis.orthogonal(coef), estimate.basis_sums


def _bread(model: Model, sums: Moments) -> Matrix:
    return filled(factorize(sums.information, intercept=model.has_intercept).inverse())


def _concluded(record: FitRecord, cov_type: str, at: Moments | ScoreProducts, *, read: bool = False) -> Estimate:
    """Return the estimate with what follows from sums at its coefficients, without warnings of its own covariance.

    Where all rows were `read` there, the sums are kept.
    """
    estimate, (model, coef, _) = record.estimate, _as_solved(record)
    sums = at.moments if isinstance(at, ScoreProducts) else at
    factor = factorize(sums.information, intercept=model.has_intercept)
    fields: dict[str, Any] = conclude(model, cov_type, coef, at, factor, n_samples=estimate.n_samples)
    said = tuple(each for each in fields.pop("warnings") if issubclass(each[0], _OF_COVARIANCES))
    fields["decrement"] = factor.decrement(sums.score)
    names = ["covariance", "dispersion", "df_resid", "n_clusters", "clusters"]
    if np.isfinite(estimate.distance_bound) and (read or not estimate.sums_estimated or isinstance(at, ScoreProducts)):
        errors = np.sqrt(fields["covariance"].diagonal())
        fields["distance_bound"] = Step.arrived(coef, sums, factor, errors).distance
        names.append("distance_bound")
    found = Estimate(**fields)
    if estimate.basis is not None:
        found = found.of_columns(estimate.basis)
    kept = tuple(each for each in estimate.warnings if not issubclass(each[0], _OF_COVARIANCES))
    if read:
        names += ["sums", "basis_sums", "sums_estimated", "loglik", "loglik_estimated"]
        # Of a penalized estimate the score of the likelihood alone is not zero.
        names += [] if isinstance(estimate, PenalizedEstimate) else ["decrement"]
    return replace(estimate, **{name: getattr(found, name) for name in names}, warnings=(*kept, *said))
