"""Predictions of a block, and the sums behind ``score``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.likelihood import linear_predictor, slices
from dask_onestep.kernels.records import Findings, Sums
from dask_onestep.kernels.rows import Block, Model, Rows, inspect_columns, usable_rows
from dask_onestep.kernels.threads import one_blas_thread

__all__ = ["DevianceSums", "Hits", "Predictor", "deviance_sums", "hits"]


@dataclass(frozen=True)
class Predictor:
    """What is needed to predict a block.

    Attributes
    ----------
    model : Model
        The fitted model.
    coef : ndarray of shape (d,)
        β̂; NaN counts as 0, so that aliased columns are ignored.
    kind : {"linear", "mean", "label", "proba"}
        What to predict.
    classes : ndarray of shape (2,) or None
        Labels of a classification.
    """

    model: Model
    coef: np.ndarray
    kind: str
    classes: np.ndarray | None = None

    def __call__(self, x: Any, offset: Any = None) -> np.ndarray:
        """Return the predictions of a block.

        Parameters
        ----------
        x : ndarray or DataFrame of shape (m, p)
            Covariates.
        offset : array-like of shape (m,) or None
            The offset.

        Returns
        -------
        ndarray of shape (m,), or (m, 2) for "proba"
            Predictions.

        Raises
        ------
        ValueError
            If the block has values that cannot be used, and gaps are not to be passed on.
        """
        # A family is asked only about y, and there is none here.
        rows = usable_rows(Block(x, np.zeros(len(x)), offset=offset), _as_predicted(self.model))
        if isinstance(rows, Rows) and self.model.missing == "raise":
            rows = inspect_columns(rows, self.model) or rows
        if isinstance(rows, Findings):
            rows.raise_error()
        assert isinstance(rows, Rows)
        coef, eta = np.nan_to_num(self.coef), np.empty(len(rows))
        with one_blas_thread():
            for part in slices(rows, self.model):
                eta[part.rows] = linear_predictor(part.design, coef, part.offset)
        if self.kind == "linear":
            return eta
        mean = self.model.link.inverse(eta)
        if self.kind == "mean":
            return mean
        if self.kind == "proba":
            return np.column_stack([1.0 - mean, mean])
        assert self.classes is not None
        if (gaps := int(np.isnan(mean).sum())) > 0:
            raise ValueError(f"{gaps} rows have missing values and so no label; predict_proba gives them NaN.")
        return self.classes[(mean > 0.5).astype(np.intp)]


def _as_predicted(model: Model) -> Model:
    """Return the model as predictions see it: y is not looked at, and no row is dropped."""
    return replace(model, classify=True, missing="keep" if model.missing == "drop" else "raise", fixed=())


@dataclass(frozen=True, slots=True)
class DevianceSums(Sums):
    """What D² = 1 − D(β̂)/D(null) is made of.

    Attributes
    ----------
    weight, response : float
        Σ wᵢ and Σ wᵢyᵢ.
    deviance : float
        D(β̂) at φ = 1.
    reference : float
        Deviance of the mean `REFERENCE_MEAN` for every row.
    """

    weight: float
    response: float
    deviance: float
    reference: float

    def explained(self, model: Model) -> float:
        """Return D², the share of the null model's deviance that the fit explains."""
        mean = self.response / self.weight
        # Deviances are linear in y but for a term without μ: the null model's follows from any other.
        null = self.reference - self.weight * float(model.family.deviance(np.float64(mean), REFERENCE_MEAN))
        return 1.0 - self.deviance / null if null > 0 else float("nan")


REFERENCE_MEAN = 0.5


def deviance_sums(rows: Rows, model: Model, coef: np.ndarray) -> DevianceSums:
    """Return the sums behind D² of a block.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β̂, without NaN.

    Returns
    -------
    DevianceSums
        Sums over the block's rows.
    """
    deviance = reference = 0.0
    for part in slices(rows, model):
        mean = model.link.inverse(linear_predictor(part.design, coef, part.offset))
        weights = np.ones(len(part.y)) if part.weights is None else part.weights
        deviance += float(np.dot(weights, model.family.deviance(part.y, mean)))
        reference += float(np.dot(weights, model.family.deviance(part.y, np.full_like(mean, REFERENCE_MEAN))))
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    return DevianceSums(float(weights.sum()), float(np.dot(weights, rows.y)), deviance, reference)


@dataclass(frozen=True, slots=True)
class Hits(Sums):
    """Weight of all rows, and of those predicted right.

    Attributes
    ----------
    weight, right : float
        Σ wᵢ, and the same over rows whose label is the predicted one.
    """

    weight: float
    right: float


def hits(rows: Rows, model: Model, predictor: Predictor) -> Hits:
    """Return how many labels of a block are predicted right.

    Parameters
    ----------
    rows : Rows
        The block, `y` as labels.
    model : Model
        The model.
    predictor : Predictor
        Of kind "label".

    Returns
    -------
    Hits
        Sums over the block's rows.
    """
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    right = predictor(rows.x, rows.offset) == rows.y
    return Hits(float(weights.sum()), float(np.dot(weights, right)))
