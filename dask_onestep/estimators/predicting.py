"""Functions of each row: predictions and residuals, lazy for Dask input and NumPy otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.reading import Reading, scheduler_of
from dask_onestep.graph import map_rows
from dask_onestep.inputs import Data
from dask_onestep.kernels.scoring import Predictor, Residuals

__all__ = ["Predicting", "one_column", "predictor_like"]


class Predicting(Reading):
    """Predictions and residuals of rows."""

    estimate_: Any

    def _predict(self, X: Any, offset: Any, kind: str, **known: Any) -> Any:
        """Return predictions: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(offset=offset)
        data = self._data(X, {"y": None, "weights": None, "offset": offset, "groups": None}, response=False)
        predictor = Predictor(self._fitted_model, self.estimate_.coef, kind, getattr(self, "classes_", None), **known)
        return _mapped(predictor, data, predictor_like(predictor, data), f"predict-{kind}")

    def _row_residuals(self, X: Any, y: Any, sample_weight: Any, offset: Any, kind: str) -> Any:
        """Return residuals: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(sample_weight=sample_weight, offset=offset)
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": None}
        data = self._data(X, parts)
        residuals = Residuals(self._fitted_model, self.estimate_.coef, kind, getattr(self, "classes_", None))
        like = one_column(data, np.dtype(np.float64))
        return _mapped(residuals, data, like, f"residuals-{kind}", y=data.y, weights=data.weights)


_COLUMNS = {"mean_std": ("mean", "std"), "interval": ("lower", "upper")}


def predictor_like(predictor: Predictor, data: Data) -> Any:
    """Return an empty block of predictions, as `map_rows` wants it.

    Parameters
    ----------
    predictor : Predictor
        What predicts.
    data : Data
        What is predicted.

    Returns
    -------
    ndarray, Series or DataFrame
        Without rows.
    """
    classes = predictor.classes
    dtype = classes.dtype if predictor.kind == "label" and classes is not None else np.dtype(np.float64)
    if not hasattr(data.x, "columns"):
        return np.empty((0, predictor.width) if predictor.width else 0, dtype=dtype)
    empty = data.x._meta.iloc[:, :0]
    if predictor.width:
        # Columns of the classes: for "proba", and for "linear" of more than two.
        columns = _COLUMNS.get(predictor.kind) or list(classes)  # type: ignore[arg-type]
        return empty.reindex(columns=list(columns)).astype(np.float64)
    return one_column(data, dtype)


def one_column(data: Data, dtype: Any) -> Any:
    """Return an empty block with one value a row, as `map_rows` wants it.

    Parameters
    ----------
    data : Data
        What it is made of.
    dtype : dtype
        Of the values.

    Returns
    -------
    ndarray or Series
        Without rows.
    """
    if not hasattr(data.x, "columns"):
        return np.empty(0, dtype=dtype)
    return data.x._meta.iloc[:, :0].assign(prediction=np.empty(0, dtype=dtype))["prediction"].rename(None)


def _mapped(function: Any, data: Data, like: Any, name: str, **others: Any) -> Any:
    """Return a function of each row: lazy for Dask input, NumPy otherwise."""
    lazy = map_rows(function, {"x": data.x, "offset": data.offset, **others}, like, name=name)
    return np.asarray(lazy.compute(scheduler=scheduler_of(data))) if data.local else lazy
