"""Predictions and residuals of a block, and the sums for ``score``."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.aliased import unknown_effects
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, written
from dask_onestep.kernels.designs.table import DROP
from dask_onestep.kernels.model import Model, Prediction
from dask_onestep.kernels.records import Findings, Sums
from dask_onestep.kernels.rows.checks import inspect_columns, usable_rows
from dask_onestep.kernels.rows.rows import encode, kernel
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.threads import one_blas_thread


@dataclass(frozen=True)
class Predictor:
    """A function that predicts a block.

    Attributes
    ----------
    model : Model
        The fitted model.
    asked : Prediction
        What to predict.
    """

    model: Model
    asked: Prediction

    @property
    def width(self) -> int:
        """Number of columns of the result, 0 if there is one value per row."""
        return self.model.likelihood.prediction_width(self.asked.kind)

    def __call__(self, x: Any, offset: Any = None) -> np.ndarray:
        """Return the predictions of a block."""
        # A family only checks y, and there is no y here.
        block, model = Block(x, np.zeros(x.shape[0]), offset=offset), _as_predicted(self.model, self.asked)
        return np.concatenate([self._of(piece, model) for piece in block.pieces(self.model)])

    def _of(self, block: Block, model: Model) -> np.ndarray:
        rows, design, unseen = _checked(block, model), self.model.design, self.asked.unseen
        predicted = model.likelihood.predict(rows, model, self.asked)
        if unseen == "reference":
            return predicted
        beyond, reason = unknown_effects(rows.x, self.model.aliased, self.model.columns)
        if unseen == "nan":
            predicted[beyond if design is None else beyond | design.unknown_rows(block.x)] = np.nan
        elif reason:
            Findings(((reason, int(beyond.sum()), _UNSEEN),), ()).raise_error()
        return predicted


def design_rows(model: Model, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the design of a block in memory, constant first, and the offset of the formula."""
    asked = Prediction(np.empty(0), "label")
    rows = _checked(Block(x, np.zeros(x.shape[0])), _as_predicted(model, asked))
    columns = rows.x.toarray() if isinstance(rows.x, SplitMatrix) else rows.x.astype(np.float64)
    offset = np.zeros(len(rows)) if rows.offset is None else rows.offset
    return np.column_stack([np.ones((len(rows), int(model.fit_intercept))), columns]), offset


def _as_predicted(model: Model, asked: Prediction) -> Model:
    """Return the model for predictions, which ignores y and drops no row.

    With missing="drop" a missing value gives NaN; a label cannot be NaN, so there it is an error.
    """
    keeps = model.missing == "drop" and asked.kind != "label"
    design = model.design
    if design is not None:  # what to do with rows of unknown effects is decided here
        design = replace(design, unseen=design.unseen if asked.unseen == "raise" else "reference")
    return replace(model, classify=True, missing="keep" if keeps else "raise", fixed=(), design=design, aliased=())


_UNSEEN = (
    "Drop these rows, or pass unseen='nan' to predict NaN for them, or unseen='reference' to use the reference level."
)


# A row with 1 − h below this identifies some coefficient on its own.
_ALONE = 1e-10
_LEAVE_OUT = "Drop these rows, for example with X.dropna(), or fix them first."


class _FittedRows:
    """A function of the rows that a model can be fitted to, with NaN for all others; a subclass computes its values."""

    model: Model
    classes: np.ndarray | None

    @property
    def width(self) -> int:
        """Number of columns of the result, 0 if there is one value per row."""
        raise NotImplementedError

    def values(self, found: Rows) -> np.ndarray:
        """Return the values of usable rows."""
        raise NotImplementedError

    def __call__(self, x: Any, y: Any = None, offset: Any = None, weights: Any = None) -> np.ndarray:
        """Return the values of a block."""
        return np.concatenate([self._of(piece) for piece in Block(x, y, weights, offset).pieces(self.model)])

    def _of(self, block: Block) -> np.ndarray:
        found = encode(_checked(block, self.model), self.classes)
        if isinstance(found, Findings):
            found.raise_error()
        assert isinstance(found, Rows)
        if found.kept is None:
            return self.values(found)
        m = block.x.shape[0]
        result = np.full((m, self.width) if self.width else m, np.nan)
        result[found.kept] = self.values(found)
        return result


@dataclass(frozen=True, eq=False)
class Residuals(_FittedRows):
    """A function that computes the residuals of a block; for "response" and "pearson" of more than two classes (m, C).

    Attributes
    ----------
    model : Model
        The fitted model.
    coef : ndarray of shape (d,)
        β̂; NaN is treated as 0.
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
        """Number of columns of the result, 0 if there is one value per row."""
        return self.model.likelihood.residual_width(self.kind)

    def values(self, found: Rows) -> np.ndarray:
        """Return the residuals of usable rows."""
        residual = self.model.likelihood.residuals(found, self.model, self.coef, self.kind)
        # A frequency weight stands for several rows, each with this residual.
        frequency = self.model.weight_type == "frequency"
        if found.weights is None or frequency or self.kind in ("response", "working"):
            return residual
        return (residual.T * np.sqrt(found.weights)).T


@dataclass(frozen=True, eq=False)
class Influence(_FittedRows):
    """A function that computes the influence of each row of a block: leverage, standardized residual, Cook's distance.

    Attributes
    ----------
    model : Model
        The fitted model, of one linear predictor.
    coef : ndarray of shape (d,)
        β̂; NaN is treated as 0.
    inverse : ndarray of shape (d, d)
        I(β̂)⁻¹, with 0 for aliased coefficients.
    dispersion : float
        φ̂.
    rank : int
        The number of estimated coefficients.
    classes : ndarray of shape (2,) or None
        Labels of a classification.
    """

    model: Model
    coef: np.ndarray
    inverse: np.ndarray
    dispersion: float
    rank: int
    classes: np.ndarray | None = None

    width = 3

    def values(self, found: Rows) -> np.ndarray:
        """Return leverage, standardized residual and Cook's distance of usable rows."""
        likelihood, coef = self.model.likelihood, np.nan_to_num(self.coef)
        leverage = np.empty(len(found))
        with one_blas_thread(), np.errstate(all="ignore"):
            for part in slices(found, self.model):
                _, weight, _ = likelihood.row_curvatures(part, self.model, coef)
                leverage[part.rows] = weight * part.quadratic_forms(self.inverse)
            residual = likelihood.residuals(found, self.model, coef, "pearson")
            if found.weights is not None and self.model.weight_type != "frequency":
                leverage *= found.weights
                residual = residual * np.sqrt(found.weights)
            # A row that is the only one to identify a coefficient has no residual.
            left = np.where(1.0 - leverage > _ALONE, 1.0 - leverage, np.nan)
            standardized = residual / np.sqrt(self.dispersion * left)
            distance = np.square(standardized) * leverage / left / self.rank
        return np.column_stack([leverage, standardized, distance])


def predictable_rows(block: Block, model: Model) -> Rows | Findings:
    """Return a block's rows for predictions, or an error whose remedies do not mention options of `fit`."""
    rows = usable_rows(block, model)
    if isinstance(rows, Rows) and model.missing == "raise":
        rows = inspect_columns(rows, model) or rows
    if isinstance(rows, Findings):
        counts = tuple((what, count, _LEAVE_OUT if cure == DROP else cure) for what, count, cure in rows.counts)
        return replace(rows, counts=counts)
    return replace(rows, x=written(rows.x))


def _checked(block: Block, model: Model) -> Rows:
    rows = predictable_rows(block, model)
    if isinstance(rows, Findings):
        # A prediction does not know the number of its block.
        replace(rows, blocks=()).raise_error()
    assert isinstance(rows, Rows)
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Hits(Sums):
    """Weight of all rows, and of the correctly classified ones.

    Attributes
    ----------
    weight, right : float
        Σ wᵢ, and the same over rows whose label is the predicted one.
    """

    weight: float
    right: float


@kernel
def hits(rows: Rows, model: Model, predictor: Predictor) -> Hits:
    """Return the weight of a block and of its correctly classified rows; `predictor` is of kind "label"."""
    right = predictor(rows.x, rows.offset) == rows.y
    return Hits(rows.total_weight, float(np.dot(rows.row_weights, right)))
