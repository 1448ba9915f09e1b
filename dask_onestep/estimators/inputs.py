"""From a user's data to data that a model can be fitted or applied to."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dask
import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from dask_onestep.data.frames import infer_kinds, is_frame, join_response, pick_columns, read_terms
from dask_onestep.data.inputs import (
    Data,
    as_frame,
    bring_together,
    column_names,
    columns_named,
    in_memory,
    is_lazy,
    is_table,
    refuse_other_order,
    refuse_response_among,
    split_columns,
)
from dask_onestep.graph import gather
from dask_onestep.kernels.designs.design import Design, column_levels
from dask_onestep.kernels.designs.expressions import is_numeric, only_numbers
from dask_onestep.kernels.designs.parser import has_dot, with_columns
from dask_onestep.kernels.designs.parts import PARTS
from dask_onestep.kernels.designs.terms import Terms, formula_terms
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy
from dask_onestep.methods import FitRecord, Problem, Session


class Reading:
    """Data of ``fit``, whose columns set the model's, and later data, brought to the same columns."""

    feature_names_in_: np.ndarray
    fit_intercept: bool
    formula: str | None
    solver: str
    verbose: bool
    record_: FitRecord

    def _read(self, X: Any, parts: dict[str, Any]) -> tuple[Data, Terms | None]:
        """Bring the data of ``fit`` together, and set the number and the names of its columns."""
        named_parts = [part for part in parts.values() if isinstance(part, str)]
        named_parts += columns_named(parts["groups"])
        refuse_other_order(X, parts)
        read = self._terms_of_formula() if is_table(X) else None
        known = () if read is None else (read,)
        X, parts, layout = as_frame(X, parts, known, None if read is None else _all_columns(read), divided=True)
        X, parts = split_columns(X, parts, keep=self.formula is not None)
        X, parts = self._with_response(X, parts)
        named = column_names(X) if is_frame(X) or is_lazy(X) else None
        X = infer_kinds(X)
        if self.formula is None:
            refuse_response_among(X, parts["y"])
        terms = read_terms(X, self.formula, bool(self.fit_intercept), named_parts)
        if terms is None and not is_lazy(X):
            least = 0 if self.fit_intercept else 1
            X = validate_data(
                self, in_memory(X), accept_sparse="csr", reset=True, ensure_all_finite=False, ensure_min_features=least
            )
            return bring_together(X, parts, named), None
        columns = column_names(X) if terms is None else terms.columns
        if not columns and terms is None and not self.fit_intercept:
            raise ValueError(
                "Found array with 0 feature(s), and there is no intercept: pass columns, or fit_intercept=True."
            )
        self.n_features_in_ = len(columns)
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if is_frame(X):
            if all(isinstance(name, str) for name in X.columns):  # as scikit-learn has them
                self.feature_names_in_ = np.array(columns, dtype=object)
            X = pick_columns(X, _columns_read(terms, columns, parts["y"]), ignored=None)
        return bring_together(X, parts, columns, layout), terms

    def _terms_of_formula(self) -> Terms | None:
        """Return what the formula reads; None without one, or where it has a ``.`` and the columns must be known."""
        if self.formula is None or has_dot(self.formula):
            return None
        return formula_terms(self.formula, bool(self.fit_intercept))

    def _data(self, X: Any, *, response: bool = True, divided: bool = True, **given: Any) -> Data:
        """Bring later data together, its columns as ``fit`` had them; `response` is whether y is wanted.

        Large row groups are `divided` unless blocks are computed one by one.
        """
        parts = dict.fromkeys(PARTS[1:]) | given
        if response:
            self._require_response(parts["y"])
        refuse_other_order(X, parts)
        design = self.record_.design
        names = getattr(self, "feature_names_in_", () if design is None else design.terms.columns)
        read = None if design is None else design.terms
        wanted = tuple(names) if read is None else _all_columns(read, response=response)
        X, parts, layout = as_frame(X, parts, () if read is None else (read,), wanted or None, divided=divided)
        X, parts = split_columns(X, parts, keep=self.formula is not None)
        X, parts = self._with_response(X, parts) if response else (X, parts)
        if design is not None and not is_frame(X):
            raise TypeError(
                f"The model was fitted to a DataFrame with columns {list(names)}, but X is {type(X).__name__}: pass a "
                "DataFrame."
            )
        columns = None
        if is_frame(X) and len(names):
            # scikit-learn raises where the order differs; columns are identified by name.
            terms = None if design is None else design.terms
            wanted = _columns_read(terms, tuple(names), parts["y"], response=response)
            ignored = self.record_.inputs.in_frame if self.formula is None else None
            X, columns = infer_kinds(pick_columns(X, wanted, ignored=ignored), _words(design)), tuple(names)
        if design is None and not is_lazy(X):
            for name in X.select_dtypes(["object", "string"]) if is_frame(X) else ():
                only_numbers(X[name], str(name))
            least = 0 if self.fit_intercept else 1
            X = validate_data(
                self, in_memory(X), accept_sparse="csr", reset=False, ensure_all_finite=False, ensure_min_features=least
            )
        elif design is None and X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return bring_together(X, parts, columns, layout)

    def _with_response(self, X: Any, parts: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return a frame with the response of the formula, where y was passed too, and the parts without it."""
        if parts["y"] is None or self.formula is None or not is_frame(X):
            return X, parts
        formula = with_columns(self.formula, column_names(X))
        response = formula_terms(formula, bool(self.fit_intercept)).response
        if response is None:
            return X, parts
        return join_response(X, parts["y"], response), {**parts, "y": None}

    def _require_response(self, y: Any) -> None:
        if y is None and self.formula is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")

    def _require(self, **given: Any) -> None:
        """Raise if the model was fitted with a weight or an offset and this call has none."""
        record = self.record_
        for name, had in (("sample_weight", record.inputs.had_weight), ("offset", record.model.offset_given)):
            if name in given and had and given[name] is None:
                raise catalogue.MUST_BE_PASSED.error(given=Remedy(name))

    def _problem(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, groups: Any = None, *, require_weights: bool = True
    ) -> Problem:
        """Return the fitted model with data, whose labels are encoded by the classes of the fit."""
        check_is_fitted(self)
        self._require(offset=offset, **({"sample_weight": sample_weight} if require_weights else {}))
        return self._beside(self._data(X, y=y, weights=sample_weight, offset=offset, groups=groups))

    def _beside(self, data: Data) -> Problem:
        """Return the fitted model with data that were brought to its form."""
        if self.record_.model.likelihood.stages:
            raise ValueError(
                f"{type(self.record_.model.likelihood).__name__} is not a sum over rows: such likelihoods currently "
                "support only fit and wald_test."
            )
        return Problem(
            self.record_.model,
            gather(*data.parts),
            solver=self.solver,
            scheduler=scheduler_of(data),
            verbose=self.verbose,
            classes=getattr(self, "classes_", None),
        )

    def total(
        self,
        kernel: Callable[..., Any],
        X: Any,
        y: Any = None,
        *,
        arguments: tuple = (),
        name: str = "total",
        encoded: bool = True,
        sample_weight: Any = None,
        offset: Any = None,
    ) -> Any:
        """Return the sum over all blocks of ``kernel(rows, model, *arguments)``, the model as fitted.  One pass.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from `Rows` to a record with ``+``.
        X, y, sample_weight, offset
            As for ``fit``.
        arguments : tuple
            Further arguments of the kernel.
        name : str
            Name of the tasks on the dashboard.
        encoded : bool, default=True
            Whether labels are encoded by the classes of the fit; an unknown label then raises an error.

        Returns
        -------
        record
            The sum.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.kernels.likelihood.sums import moments
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> glm.total(moments, X, y, arguments=(glm.record_.coef,)).n
        2000
        """
        problem = self._problem(X, y, sample_weight, offset)
        return total_of(problem if encoded else replace(problem, classes=None), kernel, *arguments, name=name)


def read_together(
    estimators: Sequence[Reading], X: Any, parts: dict[str, Any], *, fitted: bool = False
) -> tuple[list[tuple[Data, Terms | None]], Data]:
    """Bring the data of several models together: what each reads, and what all of them read, in the same blocks."""
    layout = None
    if is_table(X):
        terms = [each._terms_of_formula() for each in estimators]
        known = [each for each in terms if each is not None]
        columns = [name for each in known for name in _all_columns(each)] if len(known) == len(terms) else None
        wanted = None if columns is None else tuple(dict.fromkeys(columns))
        X, parts, layout = as_frame(X, parts, known, wanted, divided=True)
    each: list[tuple[Data, Terms | None]]
    if fitted:
        X = infer_kinds(X, {name for estimator in estimators for name in _words(estimator.record_.design)})
        X, parts = split_columns(X, parts, keep=True)
        for estimator in estimators:
            X, own = estimator._with_response(X, parts)
            parts = own if all(other.formula is not None for other in estimators) else parts
        each = [(estimator._data(X, **parts), None) for estimator in estimators]
    else:
        X = infer_kinds(X)
        each = [estimator._read(X, parts) for estimator in estimators]
    if not any(is_frame(data.x) for data, _ in each):
        return each, each[0][0]
    wanted = tuple(dict.fromkeys(name for data, _ in each for name in data.names))
    X, parts = split_columns(X, parts, keep=True)
    return each, bring_together(pick_columns(X, wanted, ignored=None), parts, wanted, layout)


def total_of(problem: Problem, kernel: Callable[..., Any], *arguments: Any, name: str) -> Any:
    """Return the sum of a kernel over all blocks.  One pass."""
    session = Session(problem)
    return session.value(session.total(kernel, *arguments, name=name))


def _all_columns(terms: Terms, *, response: bool = True) -> tuple[str, ...]:
    """Return the columns of a formula, those of its left-hand side among them."""
    left = terms.response.columns if response and terms.response is not None else ()
    return tuple(dict.fromkeys((*terms.columns, *left)))


def _columns_read(terms: Terms | None, columns: tuple[str, ...], y: Any, *, response: bool = True) -> tuple[str, ...]:
    """Return the columns that a frame must have: those of y among them, where the formula tells y."""
    told = None if terms is None else terms.response
    if not response or (told is None and y is not None):
        return columns
    if told is None:
        raise ValueError("y is None and there is no formula with a left-hand side: pass y, or use formula='y ~ ...'.")
    return tuple(dict.fromkeys((*columns, *told.columns)))


def response_name(y: Any, terms: Terms | None) -> str:
    """Return the name of the response: the formula's left-hand side, a column, a Series' own name, or "y"."""
    if terms is not None and terms.response is not None:
        return terms.response.name
    name = y if isinstance(y, str) else y.name if hasattr(y, "to_frame") else None  # a Series
    return "y" if name is None else str(name)


def _words(design: Design | None) -> set[str]:
    """Return the columns in which fit saw other levels than numbers."""
    levels = {} if design is None else column_levels(design.levels)
    return {name for name, known in levels.items() if not is_numeric(known.dtype)}


def scheduler_of(data: Data) -> str | None:
    """Return the threads of this process for data that lies in it, unless the user chose otherwise."""
    chosen = dask.config.get("scheduler", None)
    return "threads" if data.local and chosen in (None, "dask.distributed") else None
