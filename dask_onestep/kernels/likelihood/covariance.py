"""Covariances of the coefficients: from the information, the sandwich, and the cluster jackknife."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.clusters import (
    CLUSTER_BYTES,
    Clusters,
    groupings,
    jackknife,
    moves,
    signs,
    with_moves,
)
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.matrices.symmetric import Arrowhead, DiagonalPlusProduct, Matrix
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Joined, Moments, Record, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import dense_slices, gram_of, slices, zero_gram
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy

# The power of 1/(1 − h) by which squared scores are multiplied.
LEVERAGED = {"HC2": 1, "HC3": 2}
CLUSTERED = ("cluster", "CRV3")
COV_TYPES = ("nonrobust", "HC0", "HC1", *LEVERAGED, *CLUSTERED)

# A row with 1 − h below this identifies some coefficient on its own.
_ALONE = 1e-10
# Minimum fraction of a coefficient's variance that such rows must have.
_CONCERNED = 1e-6
# Size that rounding gives to an eigenvalue 0, relative to the largest.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class ScoreProducts(Sums):
    """Moments at β and the sums for a robust covariance.

    Attributes
    ----------
    moments : Moments
        The likelihood's sums.
    meat : ndarray or Arrowhead of shape (d, d), or None
        Σ sᵢsᵢ', sᵢ the score of row i, multiplied by a power of 1/(1 − hᵢ) for "HC2" and "HC3".
    clusters : Joined or None
        `Clusters` of each grouping.
    observed : ndarray of shape (d, d) or None
        Observed information, for "CRV3".
    alone : ndarray of shape (d,) or None
        For "HC2" and "HC3", the fraction of each coefficient's variance from rows with leverage 1.
    """

    moments: Moments
    meat: Matrix | None
    clusters: Joined | None
    observed: np.ndarray | None = None
    alone: np.ndarray | None = None

    def is_finite(self) -> bool:
        """Return whether no sum is NaN or infinite."""
        return self.moments.is_finite()


@kernel(checked="after")
def score_products(
    rows: Rows, model: Model, coef: np.ndarray, cov_type: str, bread: Matrix | None = None, *earlier: Any
) -> ScoreProducts:
    """Return the moments of a block at β and the sums for the robust covariance."""
    moments = model.likelihood.observed_moments(rows, model, coef, *earlier)
    view = model.likelihood.view(rows, model, coef, *earlier)
    with np.errstate(all="ignore"):
        if cov_type == "CRV3":
            return ScoreProducts(moments, None, *_informed_clusters(view, model, coef))
        if cov_type == "cluster":
            return ScoreProducts(moments, None, _score_clusters(view, model, coef))
        if cov_type in LEVERAGED:
            assert bread is not None
            meat, alone = _leveraged_meat(view, model, coef, bread, LEVERAGED[cov_type])
            return ScoreProducts(moments, meat, None, alone=alone)
        meat = gram_of(
            view,
            model,
            lambda part: products(
                _weighted(model.likelihood.row_residuals(part, model, coef), part.weights, _power(model))
            ),
            moments.information.shape[0],
        )
        return ScoreProducts(moments, meat, None)


def _power(model: Model) -> float:
    """Return the power of the weights in sums of score products.

    A frequency weight stands for several rows, each with its own product.
    """
    return 0.5 if model.weight_type == "frequency" else 1.0


def _weighted(values: np.ndarray, weights: np.ndarray | None, power: float = 1.0) -> np.ndarray:
    return values if weights is None else (values.T * weights**power).T


def _leveraged_meat(rows: Rows, model: Model, coef: np.ndarray, bread: Matrix, power: int) -> tuple[Matrix, np.ndarray]:
    """Return Σ sᵢsᵢ'/(1 − hᵢ)ᵖ, h the leverage, and the fraction of each variance from rows with h = 1."""
    meat, alone, variances = zero_gram(model, len(bread)), np.zeros(len(bread)), bread.diagonal()
    for part in slices(rows, model):
        residual, weight, _ = model.likelihood.row_curvatures(part, model, coef)
        if model.weight_type != "frequency":
            weight = _weighted(weight, part.weights)
        left = 1.0 - weight * part.quadratic_forms(bread)
        sole = left < _ALONE
        scores = _weighted(residual, part.weights, _power(model))
        meat += part.gram(np.where(sole, 0.0, np.square(scores) / np.where(sole, 1.0, left) ** power))
        if sole.any():
            at = np.cumsum(sole) - sole
            single = part.group_sums(np.sqrt(np.where(sole, weight, 0.0)), at, int(sole.sum()) + 1)
            alone += np.square(single @ bread).sum(axis=0) / np.where(variances > 0, variances, 1.0)
    return meat, alone


def _score_clusters(rows: Rows, model: Model, coef: np.ndarray) -> Joined:
    """Return Σ sᵢ of each cluster."""
    totals = _Totals.of(rows)
    for part in slices(rows, model):
        residual = _weighted(model.likelihood.row_residuals(part, model, coef), part.weights)
        for total in totals:
            total.add(part, lambda codes, count, r=residual, p=part: p.group_sums(r, codes, count))
    return Joined(tuple(total.clusters(len(model.names)) for total in totals))


def _informed_clusters(rows: Rows, model: Model, coef: np.ndarray) -> tuple[Joined, np.ndarray]:
    """Return Σ sᵢ and the observed information of each cluster, and the observed information of all rows."""
    d = len(model.names)
    totals, informations, observed = _Totals.of(rows), _Totals.of(rows), np.zeros((d, d))
    size = 4 * d * (d + 1)
    for part in dense_slices(rows, model):
        residual, _, weight = model.likelihood.row_curvatures(part, model, coef)
        residual, weight = _weighted(residual, part.weights), _weighted(weight, part.weights)
        observed += part.gram(weight)
        for total, informed in zip(totals, informations, strict=True):
            total.add(part, lambda codes, count, r=residual, p=part: p.group_sums(r, codes, count))
            if len(informed.labels) * size <= CLUSTER_BYTES:
                informed.add(part, lambda codes, count, w=weight, p=part: p.group_grams(w, codes, count))
    found = []
    for total, informed in zip(totals, informations, strict=True):
        within = len(informed.labels) * size <= CLUSTER_BYTES
        found.append(Clusters(total.labels, total.sums(d), informed.sums(d * (d + 1) // 2) if within else None))
    return Joined(tuple(found)), observed


class _Totals:
    """Sums over the rows of each cluster of a block, added slice by slice."""

    def __init__(self, labels: np.ndarray):
        self.codes, found = pd.factorize(labels)
        self.labels = np.asarray(found)
        self.total: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Rows) -> list[_Totals]:
        assert rows.groups is not None
        return [cls(labels) for labels in groupings(rows.groups)]

    def add(self, part: Slice, summed: Any) -> None:
        """Add the sums of a slice; `summed` computes them from its rows' codes and the number of groups."""
        present, codes = np.unique(self.codes[part.rows], return_inverse=True)
        sums = summed(codes, len(present))
        if self.total is None:
            self.total = np.zeros((len(self.labels), sums.shape[1]))
        self.total[present] += sums

    def sums(self, width: int) -> np.ndarray:
        return np.empty((0, width)) if self.total is None else self.total

    def clusters(self, width: int) -> Clusters:
        return Clusters(self.labels, self.sums(width))


@kernel
def cluster_moves(rows: Rows, model: Model, coef: np.ndarray, directions: tuple[Clusters | None, ...]) -> Joined:
    """Return I_g u_g of each cluster of a block, for groupings with directions u_g; None marks groupings without."""
    labels = groupings(rows.groups) if rows.groups is not None else []
    wanted = [(each, _Totals(own)) for own, each in zip(labels, directions, strict=True) if each is not None]
    places = [each.positions(total.labels) for each, total in wanted]
    with np.errstate(all="ignore"):
        for part in dense_slices(rows, model):
            weight = _weighted(model.likelihood.row_curvatures(part, model, coef)[2], part.weights)
            for (each, total), at in zip(wanted, places, strict=True):
                toward = each.sums[at[total.codes[part.rows]]]
                total.add(part, lambda codes, count, w=weight, p=part, u=toward: moves(p, w, u, codes, count))
    return Joined(tuple(total.clusters(len(model.names)) for _, total in wanted))


def lacks_informations(found: ScoreProducts) -> bool:
    """Return whether a jackknife needs another pass, because the clusters' informations would need too much memory."""
    return found.clusters is not None and any(not _is_informed(each) for each in found.clusters.parts)


def _is_informed(clusters: Clusters) -> bool:
    return clusters.informations is not None or clusters.moves is not None


def score_directions(model: Model, found: ScoreProducts) -> tuple[Clusters | None, ...]:
    """Return V s_g of each grouping that lacks informations."""
    assert found.clusters is not None
    assert found.observed is not None
    factor = factorize(found.observed, intercept=model.has_intercept)
    return tuple(
        None if _is_informed(each) else Clusters(each.labels, factor.solve(each.sums.T).T)
        for each in found.clusters.parts
    )


def with_all_moves(found: ScoreProducts, moved: Joined) -> ScoreProducts:
    """Return the products with I_g V s_g where informations are lacking."""
    assert found.clusters is not None
    rest = iter(moved.parts)
    parts = [each if _is_informed(each) else with_moves(each, next(rest)) for each in found.clusters.parts]
    return replace(found, clusters=Joined(tuple(parts)))


def refuse_leverages(model: Model, cov_type: str) -> None:
    """Raise if a covariance needs one leverage per row, and rows have several linear predictors."""
    if cov_type in LEVERAGED and model.likelihood.n_predictors > 1:
        raise catalogue.LEVERAGES_OF_CLASSES.error(given=Remedy("cov_type", cov_type))


def all_products(rows: Rows, model: Model, coef: np.ndarray, cov_type: str, bread: np.ndarray | None) -> ScoreProducts:
    """Return the score products of the full data in memory, including those that otherwise need a second pass."""
    refuse_leverages(model, cov_type)
    found = score_products(rows, model, coef, cov_type, bread)
    if cov_type != "CRV3" or not lacks_informations(found):
        return found
    return with_all_moves(found, cluster_moves(rows, model, coef, score_directions(model, found)))


def products(residual: np.ndarray) -> np.ndarray:
    """Return each row's squared residual, or rr' for several: the weights of the Gram matrix Σ (rᵢ ⊗ xᵢ)(rᵢ ⊗ xᵢ)'."""
    return np.square(residual) if residual.ndim == 1 else residual[:, :, None] * residual[:, None, :]


def degrees_of_freedom(sums: Moments, model: Model, rank: int) -> float:
    """Return N − d, minus absorbed degrees of freedom. With frequency weights N is their sum."""
    return (sums.weight if model.weight_type == "frequency" else sums.n) - rank - round(sums.absorbed)


def dispersion(pearson: float | None, df_resid: float) -> float:
    """Return φ̂ = χ²/(N − d), NaN if N ≤ d; 1 for families without a dispersion."""
    if pearson is None:
        return 1.0
    return pearson / df_resid if df_resid > 0 else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Robust(Record):
    """A robust covariance with its diagnostics.

    Attributes
    ----------
    covariance : ndarray or DiagonalPlusProduct of shape (d, d)
        NaN for aliased coefficients, and for those not identified without some cluster or row.
    n_clusters : tuple of int
        Number of clusters of each single grouping.
    lost : dict from object to ndarray of shape (d,) of bool
        For the label of a cluster, the coefficients that are not identified without it.
    sole : ndarray of shape (d,) of bool
        Coefficients identified by rows with leverage 1.
    eigenvalue : float
        The smallest eigenvalue relative to the largest, if it was negative and set to 0; otherwise NaN.
    clusters : Clusters or None
        The clusters of a jackknife with one grouping, if their informations are known.
    """

    covariance: np.ndarray | DiagonalPlusProduct
    n_clusters: tuple[int, ...]
    lost: dict[Any, np.ndarray]
    sole: np.ndarray
    eigenvalue: float = float("nan")
    clusters: Clusters | None = None


def sandwich(factor: AnyFactor, found: ScoreProducts, cov_type: str, n: float, *, intercept: bool = True) -> Robust:
    """Return a robust covariance: I⁻¹ M I⁻¹ with the expected information I (as R's sandwich), or the jackknife."""
    d = factor.rank + round(found.moments.absorbed)
    # Without residual degrees of freedom the correction is undefined.
    share = n / (n - d) if n > d else float("nan")
    bread = factor.inverse()
    none = np.zeros(len(bread), dtype=bool)
    scale = share if cov_type == "HC1" else 1.0
    sole = none if found.alone is None else found.alone > _CONCERNED
    if isinstance(bread, DiagonalPlusProduct) and isinstance(found.meat, Arrowhead):
        return Robust((scale * bread.sandwich(found.meat)).without(sole), (), {}, sole)
    filled, aliased = np.nan_to_num(bread), np.isnan(bread)
    if cov_type not in CLUSTERED:
        assert found.meat is not None
        covariance = scale * _product(filled, np.asarray(found.meat))
        return Robust(np.where(aliased | sole | sole[:, None], np.nan, covariance), (), {}, sole)
    assert found.clusters is not None
    parts: tuple[Clusters, ...] = found.clusters.parts
    single = (len(parts) + 1).bit_length() - 1
    counts = tuple(len(each.labels) for each in parts)
    if min(counts[:single]) < 2:
        raise catalogue.ONE_GROUP.error(given=Remedy("cov_type", cov_type))
    lost: dict[Any, np.ndarray] = {}
    total = np.zeros_like(filled)
    if cov_type == "CRV3":
        observed = factorize(np.asarray(found.observed), intercept=intercept)
        aliased = aliased | ~observed.kept | ~observed.kept[:, None]
    for sign, count, each in zip(signs(len(parts)), counts, parts, strict=True):
        if cov_type == "cluster":
            total += sign * count / (count - 1) * (n - 1) / n * share * _product(filled, each.sums.T @ each.sums)
            continue
        if not _is_informed(each):
            raise catalogue.CRV3_NOT_LAZY.error(clusters=count, rank=len(filled))
        moved, without = jackknife(each, observed)
        lost |= {each.labels[number]: some for number, some in without.items()}
        total += sign * (count - 1) / count * (moved.T @ moved)
    gone = np.any([none, *lost.values()], axis=0)
    total, eigenvalue = _repaired(total) if len(parts) > 1 else (total, float("nan"))
    covariance = np.where(aliased | gone | gone[:, None], np.nan, total)
    kept = parts[0] if single == 1 and parts[0].informations is not None else None
    return Robust(covariance, counts[:single], lost, none, eigenvalue, kept)


def _product(bread: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """Return I⁻¹MI⁻¹, with variance 0 where rounding of zeros made it negative, as of a row that is fitted exactly."""
    product = bread @ meat @ bread
    if (product.diagonal() < 0).any():
        size = np.einsum("ij,ij->i", np.abs(bread) @ np.abs(meat), np.abs(bread))
        rounded = np.abs(product.diagonal()) <= _ROUNDING * size
        product[rounded, rounded] = 0.0
    return product


def _repaired(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a covariance with negative eigenvalues set to 0, and the smallest relative to the largest, or NaN."""
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] < -_ROUNDING * values[-1]:
        return covariance, float("nan")
    return (vectors * np.maximum(values, 0.0)) @ vectors.T, float(values[0] / values[-1])
