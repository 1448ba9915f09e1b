"""Predictions and residuals of a block, and the sums behind ``score``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from dask_onestep.kernels.classes.multinomial_scoring import (
    class_predictors,
    class_residuals,
    probability_ends,
    probability_errors,
)
from dask_onestep.kernels.designs.table import DROP
from dask_onestep.kernels.entering import inspect_columns, usable_rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Sums
from dask_onestep.kernels.rows import Block, Rows, encode
from dask_onestep.kernels.slices import slices
from dask_onestep.kernels.threads import one_blas_thread

__all__ = ["RESIDUALS", "Hits", "Predictor", "Residuals", "hits"]


@dataclass(frozen=True)
class Predictor:
    """What is needed to predict a block.

    Attributes
    ----------
    model : Model
        The fitted model.
    coef : ndarray of shape (d,)
        β̂; NaN counts as 0, so that aliased columns are ignored.
    kind : {"linear", "mean", "label", "proba", "proba_std", "mean_std", "interval"}
        What to predict.
    classes : ndarray of shape (C,) or None
        Labels of a classification.
    covariance : ndarray of shape (d, d) or None
        Covariance of β̂, for "mean_std", "proba_std" and "interval".
    quantile : float
        Of the normal law, for "interval".
    label : int
        Code of the class whose probability "interval" is of.
    """

    model: Model
    coef: np.ndarray
    kind: str
    classes: np.ndarray | None = None
    covariance: np.ndarray | None = None
    quantile: float = float("nan")
    label: int = 1

    @property
    def width(self) -> int:
        """Columns of the answer, 0 where it has one value a row."""
        if self.kind in ("mean_std", "interval"):
            return 2
        if self.kind in ("proba", "proba_std") or (self.kind == "linear" and self.model.outcomes):
            return self.model.n_classes
        return 0

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
        ndarray of shape (m,), (m, 2) for "mean_std" and "interval", or (m, C) for "proba" and "proba_std"
            Predictions; of more than two classes (m, C) for "linear" too.

        Raises
        ------
        ValueError
            If the block has values that cannot be used, and gaps are not to be passed on.
        """
        # A family is asked only about y, and there is none here.
        block, model = Block(x, np.zeros(x.shape[0]), offset=offset), _as_predicted(self.model, self.kind)
        return np.concatenate([self._predicted(_checked(piece, model)) for piece in block.pieces(self.model)])

    def _predicted(self, rows: Rows) -> np.ndarray:
        if self.model.outcomes:
            return self._multinomial(rows)
        eta, spread = self._linear(rows)
        if self.kind == "linear":
            return eta
        link = self.model.link
        if self.kind == "interval":
            ends = link.inverse(np.stack([eta - self.quantile * spread, eta + self.quantile * spread], axis=1))
            return np.sort(ends if self.label else 1.0 - ends, axis=1)  # a link may fall, as inverse does
        mean = link.inverse(eta)
        if self.kind == "mean":
            return mean
        if self.kind in ("mean_std", "proba_std"):
            error = np.abs(link.inverse_derivative(eta)) * spread
            return np.column_stack([mean, error] if self.kind == "mean_std" else [error, error])
        if self.kind == "proba":
            return np.column_stack([1.0 - mean, mean])
        assert self.classes is not None
        return self.classes[(mean > 0.5).astype(np.intp)]

    def _multinomial(self, rows: Rows) -> np.ndarray:
        coef, covariance = np.nan_to_num(self.coef), None
        if self.covariance is not None:
            covariance = np.nan_to_num(self.covariance)
        with one_blas_thread():
            if self.kind == "proba_std" and covariance is not None:
                return probability_errors(rows, self.model, coef, covariance)
            if self.kind == "interval" and covariance is not None:
                return probability_ends(rows, self.model, coef, covariance, self.label, self.quantile)
            eta = class_predictors(rows, self.model, coef)
        if self.kind == "proba":
            return softmax(eta, axis=1)
        if self.kind == "linear":
            return eta
        assert self.classes is not None
        if (gaps := int(np.isnan(eta).any(axis=1).sum())) > 0:
            raise ValueError(f"{gaps} rows have missing values and so no label; predict_proba gives them NaN.")
        return self.classes[eta.argmax(axis=1)]

    def _linear(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return η, and its standard error where the covariance was handed in."""
        coef, eta, spread = np.nan_to_num(self.coef), np.empty(len(rows)), np.empty(len(rows))
        covariance = None if self.covariance is None else np.nan_to_num(self.covariance)
        with one_blas_thread():
            for part in slices(rows, self.model):
                eta[part.rows] = part.linear_predictor(coef)
                if covariance is not None:
                    spread[part.rows] = np.sqrt(np.maximum(part.quadratic_forms(covariance), 0.0))
        return eta, spread


def _as_predicted(model: Model, kind: str) -> Model:
    """Return the model as predictions see it: y is not looked at, and no row is dropped.

    With missing="drop" a gap gives NaN; a label cannot be NaN, so there it is an error.
    """
    keeps = model.missing == "drop" and kind != "label"
    return replace(model, classify=True, missing="keep" if keeps else "raise", fixed=())


_LEAVE_OUT = "Leave such rows out, as by X.dropna(), or mend them first."
RESIDUALS = ("response", "pearson", "deviance", "working")


@dataclass(frozen=True)
class Residuals:
    """What is needed for the residuals of a block.

    Attributes
    ----------
    model : Model
        The fitted model.
    coef : ndarray of shape (d,)
        β̂; NaN counts as 0.
    kind : {"response", "pearson", "deviance", "working"}
        Which residuals.
    classes : ndarray of shape (C,) or None
        Labels of a classification.
    """

    model: Model
    coef: np.ndarray
    kind: str
    classes: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Columns of the answer, 0 where it has one value a row."""
        return self.model.n_classes if self.model.outcomes and self.kind != "deviance" else 0

    def __call__(self, x: Any, y: Any = None, offset: Any = None, weights: Any = None) -> np.ndarray:
        """Return the residuals of a block.

        Parameters
        ----------
        x : ndarray or DataFrame of shape (m, p)
            Covariates.
        y : array-like of shape (m,) or None
            Response or labels; None if the model's design takes it from `x`.
        offset, weights : array-like of shape (m,) or None
            Offset and weights.

        Returns
        -------
        ndarray of shape (m,), or (m, C) for "response" and "pearson" of more than two classes
            Residuals; NaN where a value is missing and gaps are to be passed on.

        Raises
        ------
        ValueError
            If the block has values that cannot be used.
        """
        return np.concatenate([self._of(piece) for piece in Block(x, y, weights, offset).pieces(self.model)])

    def _of(self, block: Block) -> np.ndarray:
        found = encode(_checked(block, self.model), self.classes)
        if isinstance(found, Findings):
            found.raise_error()
        assert isinstance(found, Rows)
        if found.kept is None:
            return self._residuals(found)
        m = block.x.shape[0]
        result = np.full((m, self.width) if self.width else m, np.nan)
        result[found.kept] = self._residuals(found)
        return result

    def _residuals(self, found: Rows) -> np.ndarray:
        if self.model.outcomes:
            residual = class_residuals(found, self.model, np.nan_to_num(self.coef), self.kind)
        else:
            residual = self._of_one_response(found)
        # A frequency weight stands for rows, each with this residual.
        frequency = self.model.weight_type == "frequency"
        if found.weights is None or frequency or self.kind in ("response", "working"):
            return residual
        return (residual.T * np.sqrt(found.weights)).T

    def _of_one_response(self, found: Rows) -> np.ndarray:
        eta, _ = Predictor(self.model, self.coef, "linear")._linear(found)
        family, link, y = self.model.family, self.model.link, found.y
        with np.errstate(all="ignore"):
            mean = link.inverse(eta)
            match self.kind:
                case "response":
                    return y - mean
                case "working":
                    return (y - mean) / link.inverse_derivative(eta)
                case "pearson":
                    return (y - mean) / np.sqrt(family.variance(mean))
                case _:
                    return np.sign(y - mean) * np.sqrt(np.maximum(family.deviance(y, mean), 0.0))


def _checked(block: Block, model: Model) -> Rows:
    rows = usable_rows(block, model)
    if isinstance(rows, Rows) and model.missing == "raise":
        rows = inspect_columns(rows, model) or rows
    if isinstance(rows, Findings):
        # Which of the blocks this one is, a prediction does not know; and it is too late for missing='drop'.
        counts = tuple((what, count, _LEAVE_OUT if cure == DROP else cure) for what, count, cure in rows.counts)
        Findings(counts, ()).raise_error()
    assert isinstance(rows, Rows)
    return rows


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
