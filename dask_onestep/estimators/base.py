"""What both estimators share: from data to a problem, from an estimate to attributes."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Self

import dask
import numpy as np
import pandas as pd
from dask.delayed import Delayed
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from dask_onestep.estimators.designing import specify
from dask_onestep.estimators.diagnostics import Diagnostics
from dask_onestep.estimators.hypotheses import Hypotheses
from dask_onestep.estimators.reporting import Reporting
from dask_onestep.families import Family
from dask_onestep.frames import frame_dtypes, is_frame, pick_columns, read_terms
from dask_onestep.graph import apply, gather, map_rows
from dask_onestep.inputs import Data, bring_together, column_names, is_lazy, split_columns
from dask_onestep.kernels.covariance import COV_TYPES
from dask_onestep.kernels.design import Design
from dask_onestep.kernels.rows import Model
from dask_onestep.kernels.scoring import Predictor, Residuals
from dask_onestep.kernels.terms import Terms
from dask_onestep.links import LinkLike, resolve_link
from dask_onestep.methods import Estimate, Problem, resolve_method
from dask_onestep.methods.examine import examine
from dask_onestep.methods.overdispersion import wants_alpha
from dask_onestep.methods.solving import solve

__all__ = ["GLMBase"]

_CHOICES = {
    "cov_type": COV_TYPES,
    "weight_type": ("variance", "frequency"),
    "solver": ("auto", "cholesky", "qr"),
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
    formula: str | None
    missing: str
    verbose: bool

    def _family(self) -> Family:
        raise NotImplementedError

    def _link(self, family: Family) -> Any:
        return family.default_link if self.link is None else self.link

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None) -> Self:
        """Fit the model; computes, by one ``compute`` a pass.

        Where columns look aliased or the normal equations lose more than half of the digits, one pass more
        makes a QR of the rows, and if that tells the columns apart, the fit begins again with it (see
        `solver`); where a fit did not converge or its pilot was separated, a few passes more find out whether
        all rows are.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates, without a constant; any row chunks, their sizes known or not.
        y : array-like or Dask collection of shape (n,), or str
            Response or labels, in the same row chunks as `X`; a string names a column of the frame `X`; None
            if the formula has a left-hand side.
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
        problem, estimate = self._estimate(method, problem)
        estimate = examine(problem, estimate)
        _attach(self, problem.model, estimate)
        for category, text in estimate.warnings:
            warnings.warn(text, category, stacklevel=2)
        return self

    def _estimate(self, method: Any, problem: Problem) -> tuple[Problem, Estimate]:
        return problem, solve(problem, method)

    def fit_delayed(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None
    ) -> Delayed:
        """Return a lazily fitted copy; nothing is computed, so that fits can share one ``dask.compute``.

        The graph reads the data as often as ``fit`` does, and holds no block from one pass to the next.
        Warnings are not issued: they are in ``estimate_.warnings`` of the result, and its summary shows
        them.  With ``solver="auto"`` it does not go over to a QR, which would have to look between passes.

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
        if wants_alpha(problem):
            raise ValueError("fit_delayed: alpha='estimate' must look between passes; use fit, or give alpha.")
        if problem.solver == "qr":
            raise ValueError("fit_delayed: solver='qr' must look at the columns before the first step; use fit.")
        return apply(_attach, fitted, problem.model, method.estimate(problem), name="fitted")

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, groups: Any, *, lazy: bool
    ) -> tuple[Any, Problem]:
        method = resolve_method(self.method)
        if y is None and self.formula is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if (groups is not None) != (self.cov_type == "cluster"):
            raise ValueError("groups= and cov_type='cluster' go together: one was given without the other.")
        self._had_weight, self._had_offset = sample_weight is not None, offset is not None
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": groups}
        self._taken = tuple(part for part in parts.values() if isinstance(part, str))
        data, terms = self._read(X, parts)
        problem = Problem(
            self._model(() if terms is not None else data.columns),
            gather(data.x, data.y, data.weights, data.offset, data.groups, data.lengths),
            cov_type=self.cov_type,
            solver=self.solver,
            lazy=lazy,
            scheduler=_scheduler(data),
            verbose=self.verbose,
        )
        if terms is not None:
            design = specify(problem, terms, frame_dtypes(data.x))
            problem.model = self._model(design.names, design)
        return method, problem

    def _model(self, columns: tuple[str, ...], design: Design | None = None) -> Model:
        for option, choices in _CHOICES.items():
            if (value := getattr(self, option)) not in choices:
                raise ValueError(f"{option}={value!r} is not known. Choose one of {', '.join(map(repr, choices))}.")
        intercept = bool(self.fit_intercept) if design is None else design.terms.fit_intercept
        if intercept and "intercept" in columns:
            raise ValueError(
                "X has a column named 'intercept', which the model's own intercept is called. Rename it, or "
                "pass fit_intercept=False."
            )
        family = self._family()
        link: LinkLike = resolve_link(self._link(family))
        return Model(
            family,
            link,
            columns,
            intercept,
            self._classifies,
            self.missing,
            self.weight_type,
            design=design,
        )

    def _read(self, X: Any, parts: dict[str, Any]) -> tuple[Data, Terms | None]:
        """Bring the data of ``fit`` together, and set the number and the names of its columns."""
        X, parts = split_columns(X, parts)
        named = column_names(X) if is_frame(X) or is_lazy(X) else None
        X = X.infer_objects() if isinstance(X, pd.DataFrame) else X
        terms = read_terms(X, self.formula, bool(self.fit_intercept))
        if terms is None and not is_lazy(X):
            least = 0 if self.fit_intercept else 1
            X = validate_data(self, X, reset=True, ensure_all_finite=False, ensure_min_features=least)
            return bring_together(X, parts, named), None
        columns = column_names(X) if terms is None else terms.columns
        if not columns and terms is None and not self.fit_intercept:
            raise ValueError(
                "Found array with 0 feature(s), and there is no intercept: pass columns, or fit_intercept=True."
            )
        self.n_features_in_ = len(columns)
        if is_frame(X):
            self.feature_names_in_ = np.array(columns, dtype=object)
            X = pick_columns(X, _columns_read(terms, columns, parts["y"]), ignored=None)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return bring_together(X, parts, columns), terms

    def _data(self, X: Any, parts: dict[str, Any], *, response: bool = True) -> Data:
        """Bring later data together, its columns as ``fit`` had them; `response` is whether y is wanted."""
        X, parts = split_columns(X, parts)
        design, names = self._fitted_model.design, getattr(self, "feature_names_in_", ())
        if design is not None and not is_frame(X):
            raise TypeError(
                f"fit had a DataFrame with columns {list(names)}, and X is {type(X).__name__}: pass a frame."
            )
        columns = None
        if is_frame(X) and len(names):
            # scikit-learn raises where the order differs; names say which column is which.
            terms = None if design is None else design.terms
            wanted = _columns_read(terms, tuple(names), parts["y"], response=response)
            ignored = self._taken if self.formula is None else None
            X, columns = pick_columns(X, wanted, ignored=ignored), tuple(names)
        if design is None and not is_lazy(X):
            least = 0 if self.fit_intercept else 1
            X = validate_data(self, X, reset=False, ensure_all_finite=False, ensure_min_features=least)
        elif design is None and X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return bring_together(X, parts, columns)

    def _predict(self, X: Any, offset: Any, kind: str, **known: Any) -> Any:
        """Return predictions: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(offset=offset)
        data = self._data(X, {"y": None, "weights": None, "offset": offset, "groups": None}, response=False)
        predictor = Predictor(self._fitted_model, self._coefficients(), kind, getattr(self, "classes_", None), **known)
        return _mapped(predictor, data, predictor_like(predictor, data), f"predict-{kind}")

    def _row_residuals(self, X: Any, y: Any, sample_weight: Any, offset: Any, kind: str) -> Any:
        """Return residuals: lazy for Dask input, NumPy otherwise."""
        check_is_fitted(self)
        self._require(sample_weight=sample_weight, offset=offset)
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": None}
        data = self._data(X, parts)
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
        data = self._data(X, parts)
        return Problem(
            self._fitted_model,
            gather(data.x, data.y, data.weights, data.offset, lengths=data.lengths),
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
    return np.asarray(lazy.compute(scheduler=_scheduler(data))) if data.local else lazy


def _columns_read(terms: Terms | None, columns: tuple[str, ...], y: Any, *, response: bool = True) -> tuple[str, ...]:
    """Return the columns that a frame must have: those of y among them, where the formula tells y."""
    told = None if terms is None else terms.response
    if not response or (told is None and y is not None):
        return columns
    if told is None:
        raise ValueError("y is None and no formula has it on the left: pass y, or write formula='y ~ ...'.")
    if y is not None:
        raise ValueError(f"y is the formula's left-hand side, {told.name!r}, and y= was passed too: drop one.")
    return tuple(dict.fromkeys((*columns, *told.columns)))


def _scheduler(data: Data) -> str | None:
    """Return the threads of this process for data that lies in it, unless the user chose otherwise."""
    chosen = dask.config.get("scheduler", None)
    return "threads" if data.local and chosen in (None, "dask.distributed") else None


def _attach(estimator: Any, model: Model, estimate: Estimate) -> Any:
    """Set what ``fit`` promises."""
    estimator.estimate_ = estimate
    estimator._fitted_model, estimator.family_ = model, model.family
    first = int(model.fit_intercept)
    coef, intercept = estimate.coef[first:], estimate.coef[0] if first else 0.0
    if estimate.classes is not None:
        estimator.classes_ = estimate.classes
        rows = estimate.coef.reshape(max(1, len(model.outcomes)), -1)
        coef, intercept = rows[:, first:], rows[:, 0] if first else np.zeros(len(rows))
    estimator.coef_, estimator.intercept_ = coef, intercept
    estimator.covariance_ = estimate.covariance
    estimator.dispersion_ = estimate.dispersion
    estimator.n_samples_ = estimate.n_samples
    estimator.n_missing_ = estimate.n_missing
    estimator.n_iter_ = estimate.n_iter
    estimator.n_passes_ = estimate.n_passes
    estimator.decrement_ = estimate.decrement
    return estimator
