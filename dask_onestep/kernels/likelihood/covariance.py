"""Covariances of the coefficients: from the information, and the sandwich."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Record, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.linear_algebra import Factor

__all__ = [
    "COV_TYPES",
    "Clusters",
    "ScoreProducts",
    "degrees_of_freedom",
    "dispersion",
    "products",
    "sandwich",
    "score_products",
]

COV_TYPES = ("nonrobust", "HC0", "HC1", "cluster")


@dataclass(frozen=True, slots=True)
class Clusters(Record):
    """Σ sᵢ over the rows of each cluster; a cluster may span blocks.

    Attributes
    ----------
    labels : ndarray of shape (G,)
        Any hashable labels, in the order in which they were met; they need not be comparable.
    sums : ndarray of shape (G, d)
        Scores, summed.
    """

    labels: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> Clusters:
        """Return the sums of some rows, a label each.

        Parameters
        ----------
        labels : ndarray of shape (m,)
            Labels.
        scores : ndarray of shape (m, d)
            Scores.

        Returns
        -------
        Clusters
            Of the labels there are.
        """
        codes, found = pd.factorize(labels)
        return cls(np.asarray(found), pd.DataFrame(scores).groupby(codes).sum().to_numpy())

    def __add__(self, other: Clusters) -> Clusters:
        alike = self.labels.dtype.kind == other.labels.dtype.kind
        # Numbers beside words would turn into words.
        parts = [each.labels if alike else each.labels.astype(object) for each in (self, other)]
        return Clusters.of(np.concatenate(parts), np.concatenate([self.sums, other.sums]))


@dataclass(frozen=True, slots=True)
class ScoreProducts(Sums):
    """Moments at β and the sums that a robust covariance needs.

    Attributes
    ----------
    moments : Moments
        The likelihood's sums.
    meat : ndarray of shape (d, d) or None
        Σ sᵢsᵢ', sᵢ the score of row i.
    clusters : Clusters or None
        Σ sᵢ over the rows of each cluster.
    """

    moments: Moments
    meat: np.ndarray | None
    clusters: Clusters | None

    def is_finite(self) -> bool:
        """Return whether no sum is NaN or infinite."""
        return self.moments.is_finite()


@kernel(checked="after")
def score_products(rows: Rows, model: Model, coef: np.ndarray, cov_type: str, *earlier: Any) -> ScoreProducts:
    """Return the moments of a block at β and what the robust covariance needs besides.

    Parameters
    ----------
    rows : Rows
        The block, with groups for "cluster".
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β.
    cov_type : {"HC0", "HC1", "cluster"}
        The covariance.
    *earlier : object
        What the stages of the likelihood have finished, of all blocks.

    Returns
    -------
    ScoreProducts
        Sums over the block's rows.
    """
    d = len(model.names)
    meat = np.zeros((d, d)) if cov_type != "cluster" else None
    clusters = Clusters(np.empty(0), np.empty((0, d))) if meat is None else None
    with np.errstate(all="ignore"):
        for part in slices(model.likelihood.view(rows, model, coef, *earlier), model):
            residual = model.likelihood.row_residuals(part, model, coef)
            if part.weights is not None:
                # A frequency weight stands for rows, each with a product of its own.
                power = 0.5 if model.weight_type == "frequency" and meat is not None else 1.0
                residual = (residual.T * part.weights**power).T
            if meat is not None:
                meat += part.gram(products(residual))
            else:
                assert rows.groups is not None
                codes, labels = pd.factorize(rows.groups[part.rows])
                here = Clusters(np.asarray(labels), part.group_sums(residual, codes, len(labels)))
                clusters = clusters + here if clusters is not None and len(clusters.labels) else here
    return ScoreProducts(model.likelihood.moments(rows, model, coef, *earlier), meat, clusters)


def products(residual: np.ndarray) -> np.ndarray:
    """Return each row's residual squared, or multiplied by its transpose where there are several.

    Parameters
    ----------
    residual : ndarray of shape (m,) or (m, c)
        One residual a row, or one for each outcome.

    Returns
    -------
    ndarray of shape (m,) or (m, c, c)
        Weights of the Gram matrix that is Σ (rᵢ ⊗ xᵢ)(rᵢ ⊗ xᵢ)'.
    """
    return np.square(residual) if residual.ndim == 1 else residual[:, :, None] * residual[:, None, :]


def degrees_of_freedom(sums: Moments, model: Model, rank: int) -> float:
    """Return N − d, less what stages have absorbed; frequency weights count rows, so there N is their sum.

    Parameters
    ----------
    sums : Moments
        Sums over all rows.
    model : Model
        The model.
    rank : int
        d.

    Returns
    -------
    float
        Residual degrees of freedom.
    """
    return (sums.weight if model.weight_type == "frequency" else sums.n) - rank - round(sums.absorbed)


def dispersion(pearson: float | None, df_resid: float) -> float:
    """Return φ̂ = χ²/(N − d), or 1 for families without a dispersion.

    Parameters
    ----------
    pearson : float or None
        Pearson χ².
    df_resid : float
        N − d.

    Returns
    -------
    float
        The dispersion, NaN where no degree of freedom is left.
    """
    if pearson is None:
        return 1.0
    return pearson / df_resid if df_resid > 0 else float("nan")


def sandwich(factor: Factor, products: ScoreProducts, cov_type: str, n: float) -> np.ndarray:
    """Return the robust covariance I⁻¹ M I⁻¹, the bread the expected information as in R's sandwich.

    Parameters
    ----------
    factor : Factor
        Factored information.
    products : ScoreProducts
        The meat.
    cov_type : {"HC0", "HC1", "cluster"}
        HC1 is HC0·N/(N − d); "cluster" has statsmodels' small-sample factor
        G/(G − 1)·(N − 1)/(N − d).
    n : float
        N.

    Returns
    -------
    ndarray of shape (d, d)
        The covariance, NaN for aliased coefficients.

    Raises
    ------
    ValueError
        If there is but one cluster.
    """
    d = factor.rank + round(products.moments.absorbed)
    # Without a degree of freedom left there is no correction for their number.
    share = n / (n - d) if n > d else float("nan")
    if cov_type == "cluster":
        assert products.clusters is not None
        sums = products.clusters.sums
        count = len(sums)
        if count < 2:
            raise ValueError(
                "cov_type='cluster' needs at least two groups, and groups= has one value: look whether it is the "
                "column that was meant, or use cov_type='HC0'."
            )
        meat, correction = sums.T @ sums, count / (count - 1) * (n - 1) / n * share
    else:
        assert products.meat is not None
        meat, correction = products.meat, share if cov_type == "HC1" else 1.0
    bread = factor.inverse()
    filled = np.nan_to_num(bread)
    return np.where(np.isnan(bread), np.nan, correction * filled @ meat @ filled)
