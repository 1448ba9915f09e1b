"""Functions of each row: predictions and residuals, lazy for Dask input and NumPy otherwise."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dask_onestep.data.frames import only_index
from dask_onestep.data.inputs import Data
from dask_onestep.estimators.inputs import Reading, scheduler_of
from dask_onestep.graph import map_rows
from dask_onestep.kernels.likelihood.predictions import Predictor
from dask_onestep.kernels.model import Prediction


class Predicting(Reading):
    """Predictions and residuals of rows."""

    def _predict(self, X: Any, offset: Any, kind: str, **known: Any) -> Any:
        """Return predictions: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        allowed = ("raise", "reference") if kind == "label" else ("raise", "nan", "reference")
        if known.get("unseen", "raise") not in allowed:
            raise ValueError(f"Unknown unseen={known['unseen']!r}; must be one of {', '.join(map(repr, allowed))}.")
        self._require(offset=offset)
        data = self._data(X, offset=offset, response=False, divided=False)
        classes = getattr(self, "classes_", None)
        predictor = Predictor(self.record_.model, Prediction(self.record_.coef, kind, classes, **known))
        dtype = classes.dtype if kind == "label" and classes is not None else np.dtype(np.float64)
        columns = _COLUMNS.get(kind, classes)
        return _mapped(predictor, data, rows_like(predictor.width, columns, data, dtype), f"predict-{kind}")

    def _of_rows(self, function: Any, columns: Any, name: str, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
        """Return a function of fitted rows, with the names of its columns: lazy for Dask input, NumPy otherwise."""
        self._require(sample_weight=sample_weight, offset=offset)
        data = self._data(X, y=y, weights=sample_weight, offset=offset, divided=False)
        like = rows_like(function.width, columns, data)
        return _mapped(function, data, like, name, y=data.y, weights=data.weights)


_COLUMNS = {"mean_std": ("mean", "std"), "interval": ("lower", "upper")}


def rows_like(width: int, columns: Any, data: Data, dtype: Any = np.float64) -> Any:
    """Return an empty block of what there is to say of rows, as `map_rows` wants it."""
    if not hasattr(data.x, "columns"):
        return np.empty((0, width) if width else 0, dtype=dtype)
    empty = only_index(data.x)
    if width:
        return empty.reindex(columns=list(columns)).astype(dtype)
    return empty.assign(prediction=np.empty(0, dtype=dtype))["prediction"].rename(None)


def _mapped(function: Any, data: Data, like: Any, name: str, **others: Any) -> Any:
    """Return a function of each row: lazy for Dask input, NumPy otherwise."""
    lazy = map_rows(function, {"x": data.x, "offset": data.offset, **others}, like, name=name)
    return np.asarray(lazy.compute(scheduler=scheduler_of(data))) if data.local else lazy
