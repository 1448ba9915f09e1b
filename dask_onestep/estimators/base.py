"""What both estimators share: from data to a problem, from an estimate to attributes."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Self

import dask
import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from dask_onestep.estimators.diagnostics import Diagnostics
from dask_onestep.estimators.hypotheses import Hypotheses
from dask_onestep.estimators.reporting import Reporting
from dask_onestep.families import Family
from dask_onestep.graph import apply, gather, map_rows
from dask_onestep.inputs import Data, bring_together, column_names, is_lazy, split_columns
from dask_onestep.kernels.covariance import COV_TYPES
from dask_onestep.kernels.rows import Model
from dask_onestep.kernels.scoring import Predictor, Residuals
from dask_onestep.links import LinkLike, resolve_link
from dask_onestep.methods import Estimate, Problem, resolve_method
from dask_onestep.methods.examine import examine

__all__ = ["GLMBase"]

_CHOICES = {
    "cov_type": COV_TYPES,
    "weight_type": ("variance", "frequency"),
    "solver": ("auto", "cholesky"),
    "missing": ("raise", "drop"),
}


class GLMBase(Diagnostics, Hypotheses, Reporting, BaseEstimator):
    """Fitting, predicting and keeping; a subclass says what y is."""

    _classifies = False
    method: Any
    link: Any
    fit_intercept: bool
    cov_type: str
    weight_type: str
    solver: str
    missing: str
    verbose: bool

    def _family(self) -> Family:
        raise NotImplementedError

    def _link(self, family: Family) -> Any:
        return family.default_link if self.link is None else self.link

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None) -> Self:
        """Fit the model; computes, by one ``compute`` a pass.

        Where columns prove aliased, one pass more confirms it by a QR of the rows; where a fit did not
        converge or its pilot was separated, a few more find out whether all rows are.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates, without a constant; any row chunks, their sizes known or not.
        y : array-like or Dask collection of shape (n,), or str
            Response or labels, in the same row chunks as `X`; a string names a column of the frame `X`.
        sample_weight : array-like, Dask collection of shape (n,), or str, optional
            Weights, not negative; see `weight_type`.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Added to the linear predictor.
        groups : array-like, Dask collection of shape (n,), or str, optional
            Cluster labels, for ``cov_type="cluster"``.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, parameters or their combination cannot be used; the text says why, where, and the
            cure.
        """
        method, problem = self._prepare(X, y, sample_weight, offset, groups, lazy=False)
        estimate = method.estimate(problem)
        if isinstance(estimate, Delayed):
            estimate = problem.value(estimate)
        estimate = examine(problem, estimate)
        _attach(self, problem.model, estimate)
        for category, text in estimate.warnings:
            warnings.warn(text, category, stacklevel=2)
        return self

    def fit_delayed(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None
    ) -> Delayed:
        """Return a lazily fitted copy; nothing is computed, so that fits can share one ``dask.compute``.

        The graph reads the data as often as ``fit`` does, and holds no block from one pass to the next.
        Warnings are not issued: they are in ``estimate_.warnings`` of the result, and its summary shows
        them.

        Parameters
        ----------
        X, y, sample_weight, offset, groups
            As for ``fit``; NumPy data becomes part of the graph.

        Returns
        -------
        Delayed
            A fitted copy of the estimator.

        Raises
        ------
        ValueError
            If the method iterates until it has converged, besides the reasons of ``fit``.
        """
        fitted = copy.deepcopy(self)
        method, problem = fitted._prepare(X, y, sample_weight, offset, groups, lazy=True)
        return apply(_attach, fitted, problem.model, method.estimate(problem), name="fitted")

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, groups: Any, *, lazy: bool
    ) -> tuple[Any, Problem]:
        method = resolve_method(self.method)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if (groups is not None) != (self.cov_type == "cluster"):
            raise ValueError("groups= and cov_type='cluster' go together: one was given without the other.")
        self._had_weight, self._had_offset = sample_weight is not None, offset is not None
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": groups}
        data = self._data(X, parts, reset=True)
        problem = Problem(
            self._model(data.columns),
            gather(data.x, data.y, data.weights, data.offset, data.groups),
            cov_type=self.cov_type,
            solver=self.solver,
            lazy=lazy,
            scheduler=_scheduler(data),
            verbose=self.verbose,
        )
        return method, problem

    def _model(self, columns: tuple[str, ...]) -> Model:
        for option, choices in _CHOICES.items():
            if (value := getattr(self, option)) not in choices:
                raise ValueError(f"{option}={value!r} is not known. Choose one of {', '.join(map(repr, choices))}.")
        if self.fit_intercept and "intercept" in columns:
            raise ValueError(
                "X has a column named 'intercept', which the model's own intercept is called. Rename it, or "
                "pass fit_intercept=False."
            )
        family = self._family()
        link: LinkLike = resolve_link(self._link(family))
        return Model(family, link, columns, bool(self.fit_intercept), self._classifies, self.missing, self.weight_type)

    def _data(self, X: Any, parts: dict[str, Any], *, reset: bool) -> Data:
        """Bring data together, and set or check the number and the names of its columns."""
        X, parts = split_columns(X, parts)
        columns = None
        if is_lazy(X):
            columns = column_names(X)
            named = hasattr(X, "columns")
            if reset:
                self.n_features_in_ = len(columns)
                if named:
                    self.feature_names_in_ = np.array(columns, dtype=object)
                elif hasattr(self, "feature_names_in_"):
                    del self.feature_names_in_
            else:
                _check_columns(self, columns, named)
        else:
            columns = column_names(X) if hasattr(X, "columns") else None
            X = validate_data(
                self, X, reset=reset, ensure_all_finite=False, ensure_min_features=0 if self.fit_intercept else 1
            )
        return bring_together(X, parts, columns)

    def _predict(self, X: Any, offset: Any, kind: str, **known: Any) -> Any:
        """Return predictions: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(offset=offset)
        data = self._data(X, {"y": None, "weights": None, "offset": offset, "groups": None}, reset=False)
        predictor = Predictor(self._fitted_model, self._coefficients(), kind, getattr(self, "classes_", None), **known)
        return _mapped(predictor, data, predictor_like(predictor, data), f"predict-{kind}")

    def _row_residuals(self, X: Any, y: Any, sample_weight: Any, offset: Any, kind: str) -> Any:
        """Return residuals: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(sample_weight=sample_weight, offset=offset)
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": None}
        data = self._data(X, parts, reset=False)
        residuals = Residuals(self._fitted_model, self._coefficients(), kind, getattr(self, "classes_", None))
        like = one_column(data, np.dtype(np.float64))
        return _mapped(residuals, data, like, f"residuals-{kind}", y=data.y, weights=data.weights)

    def _require(self, **given: Any) -> None:
        """Raise if fit had a weight or an offset and this call has not."""
        for name, had in (("sample_weight", self._had_weight), ("offset", self._had_offset)):
            if name in given and had and given[name] is None:
                raise ValueError(f"fit had {name}= and this call has not: pass it here too, for these rows.")

    def _problem(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Problem:
        """Return the fitted model beside data, labels to be encoded by the classes of the fit."""
        check_is_fitted(self)
        self._require(sample_weight=sample_weight, offset=offset)
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": None}
        data = self._data(X, parts, reset=False)
        return Problem(
            self._fitted_model,
            gather(data.x, data.y, data.weights, data.offset),
            solver=self.solver,
            scheduler=_scheduler(data),
            verbose=self.verbose,
            classes=getattr(self, "classes_", None),
        )

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a nested one turns the method's name into its object first.

        Parameters
        ----------
        **params : dict
            Such as ``cov_type="HC1"`` or ``method__pilot_size=5000``.

        Returns
        -------
        self
            The estimator.
        """
        nested = any(name.startswith("method__") for name in params)
        if nested and isinstance(method := params.get("method", self.method), str):
            params = params | {"method": resolve_method(method)}
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "drop"
        return tags


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
    return lazy.compute(scheduler=_scheduler(data)) if data.local else lazy


def _check_columns(estimator: GLMBase, columns: tuple[str, ...], named: bool) -> None:
    if len(columns) != estimator.n_features_in_:
        raise ValueError(
            f"X has {len(columns)} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    fitted = getattr(estimator, "feature_names_in_", None)
    if named and fitted is not None and tuple(fitted) != columns:
        missing = [name for name in fitted if name not in columns]
        raise ValueError(
            f"The columns of X are not those of fit: missing {missing}."
            if missing
            else f"The columns of X are in another order than in fit: use X[{list(fitted)}]."
        )


def _scheduler(data: Data) -> str | None:
    """Return the threads of this process for data that lies in it, unless the user chose otherwise."""
    chosen = dask.config.get("scheduler", None)
    return "threads" if data.local and chosen in (None, "dask.distributed") else None


def _attach(estimator: Any, model: Model, estimate: Estimate) -> Any:
    """Set what ``fit`` promises."""
    estimator.estimate_ = estimate
    estimator._fitted_model = model
    first = int(model.fit_intercept)
    coef, intercept = estimate.coef[first:], estimate.coef[0] if first else 0.0
    if estimate.classes is not None:
        estimator.classes_ = estimate.classes
        coef, intercept = coef[np.newaxis], np.array([intercept])
    estimator.coef_, estimator.intercept_ = coef, intercept
    estimator.covariance_ = estimate.covariance
    estimator.dispersion_ = estimate.dispersion
    estimator.n_samples_ = estimate.n_samples
    estimator.n_missing_ = estimate.n_missing
    estimator.n_iter_ = estimate.n_iter
    estimator.n_passes_ = estimate.n_passes
    estimator.decrement_ = estimate.decrement
    return estimator
