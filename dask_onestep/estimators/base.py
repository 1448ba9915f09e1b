"""What both estimators share: from data to a problem, from an estimate to attributes."""

import copy
import time
import warnings
from dataclasses import replace
from typing import Any, Self

import numpy as np
from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep._version import __version__
from dask_onestep.choices import unknown_choice
from dask_onestep.data.frames import frame_dtypes
from dask_onestep.data.inputs import Data, columns_named
from dask_onestep.estimators.attributes import attach
from dask_onestep.estimators.covariances import Covariances, check_groups
from dask_onestep.estimators.design import Preparation, refuse_reserved, specify
from dask_onestep.estimators.diagnostics import Diagnostics
from dask_onestep.estimators.effects import AverageEffects
from dask_onestep.estimators.exchange import Exchange
from dask_onestep.estimators.hypothesis_tests import HypothesisTests
from dask_onestep.estimators.inputs import response_name, scheduler_of
from dask_onestep.estimators.memory import saying_how_to_rechunk
from dask_onestep.estimators.remarks import undefined_terms, unlikely_response
from dask_onestep.estimators.selection import Selection
from dask_onestep.estimators.tables import Reporting
from dask_onestep.families import Family
from dask_onestep.graph import Blocks, gather
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.likelihood.covariance import COV_TYPES
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.matrices.symmetric import refuse_large
from dask_onestep.kernels.model import Likelihood, Model
from dask_onestep.links import LinkLike, resolve_link
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import with_pointer
from dask_onestep.methods import Estimate, FitRecord, Inputs, Problem, resolve_method
from dask_onestep.methods.arguments import seeded
from dask_onestep.methods.causes import naming_boundary, with_cause
from dask_onestep.methods.driver import run
from dask_onestep.methods.overdispersion import wants_alpha
from dask_onestep.methods.requests import Plan
from dask_onestep.methods.separation import examined, examined_by_pilot
from dask_onestep.methods.solver import eliminating, solved

_CHOICES = {
    "cov_type": COV_TYPES,
    "weight_type": ("variance", "frequency"),
    "solver": ("auto", "cholesky", "qr"),
    "missing": ("raise", "drop"),
}


class GLMBase(AverageEffects, Diagnostics, HypothesisTests, Selection, Covariances, Exchange, Reporting, BaseEstimator):
    """Fitting, predicting and storing; subclasses define what y is."""

    _classifies = False
    method: Any
    link: Any
    cov_type: str
    weight_type: str
    missing: str

    @property
    def covariance_(self) -> np.ndarray:
        """Covariance of the coefficients; with a factor of many levels it is computed on each access."""
        covariance = self.record_.covariance
        if isinstance(covariance, np.ndarray):
            return covariance
        remedy = (
            "Standard errors are in coef_table(), and record_.covariance.minor(numbers) is that of some coefficients."
        )
        refuse_large(8 * len(covariance) ** 2, len(covariance), "covariance_", remedy)
        return covariance.toarray()

    def _family(self) -> Family:
        raise NotImplementedError

    def _likelihood(self) -> Likelihood:
        family = self._family()
        link: LinkLike = resolve_link(self._link(family))
        return OnePredictor(family, link)

    def _link(self, family: Family) -> Any:
        return family.default_link if self.link is None else self.link

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None) -> Self:
        """Fit the model, by one ``compute`` per pass.

        If columns look aliased or the normal equations lose more than half of the digits, one more pass computes a QR
        decomposition of the design; if the columns are not exactly aliased, the fit is repeated with it (see
        `solver`).  If a fit did not converge or its pilot was separated, a few more passes check whether the full data
        are separated.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, without a constant, in any row chunks, of known or unknown sizes.  Rows of all parts are paired
            by position; pandas objects with the same labels in another order raise, as do Dask frames whose labels
            differ within a partition.  Arrow data is any object with the Arrow PyCapsule interface, such as Polars'
            DataFrames, PyArrow's tables and DuckDB's relations.  A path is that of a Parquet, Feather or CSV file, a
            folder, a glob or a URL; or a list of these.  From files and Datasets only the columns of the model are
            read, a few row groups per task.
        y : array-like or Dask collection of shape (n,), or str
            Response or labels, in the same row chunks as `X`; a string names a column of the frame or files `X`;
            None if the formula has a left-hand side.
        sample_weight : array-like, Dask collection of shape (n,), or str, optional
            Nonnegative weights; see `weight_type`.  Rows of weight zero are ignored.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Added to the linear predictor.
        groups : array-like or Dask collection of shape (n,) or (n, k), str, or list of str, optional
            Cluster labels, for ``cov_type="cluster"`` and ``"CRV3"``; with several columns, rows are clustered by
            each.  With ``ElasticNetCV(cv="groups")`` the labels whose rows stay in one fold.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If data, parameters or their combination cannot be used; the message reports why, where, and what to do.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> GLMRegressor("poisson").fit(X, y).n_passes_
        1
        """
        began = time.perf_counter()
        given = self._prepare(X, y, sample_weight, offset, groups, lazy=False)
        with saying_how_to_rechunk(given.problem.blocks):
            specified = run(given.problem, specify(given))
            problem, remarks = specified.value
            # At once: with thousands of levels the passes to come take long.
            for category, text in remarks:
                warnings.warn(with_pointer(category, text), category, stacklevel=2)
            plan = self._plan(problem, given.method)
            outcome = run(problem, plan, before=specified.n_passes, check=specified.check if problem.kept else None)
        model, estimate = outcome.value
        attach_fit(self, model, estimate, given.inputs, remarks, specified.n_passes + outcome.n_passes)
        self.fit_time_ = time.perf_counter() - began
        for category, text in self.estimate_.warnings[len(remarks) :]:
            warnings.warn(with_pointer(category, text), category, stacklevel=2)
        return self

    def _plan(self, problem: Problem, method: Any) -> Plan:
        """Return the plan of a fit, which returns what was fitted and the estimate."""
        with naming_boundary(problem.model):
            estimate = yield from solved(problem, method)
        return problem.model, (yield from examined(eliminating(problem, method), estimate))

    def fit_delayed(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, groups: Any = None
    ) -> Delayed:
        """Return a lazily fitted copy; nothing is computed, so that fits can share one ``dask.compute``.

        The graph makes the passes of ``fit``, and no block is kept in memory from one pass to the next.  Levels and
        states of a formula are learned in the graph, with the pilot.  Warnings are not issued: they are in
        ``estimate_.warnings`` of the result and in its summary.  ``solver="auto"`` does not switch to a QR
        decomposition, which would need intermediate results.

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
            If the method iterates until convergence, or for the reasons of ``fit``.

        Examples
        --------
        >>> import dask
        >>> from dask_onestep import GLMRegressor, OneStep
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> method = OneStep(pilot_size=500)
        >>> kinds = ("nonrobust", "HC0")
        >>> lazy = [GLMRegressor("poisson", cov_type=kind, method=method).fit_delayed(X, y) for kind in kinds]
        >>> [glm.n_passes_ for glm in dask.compute(*lazy)]
        [2, 3]
        """
        fitted = copy.deepcopy(self)
        given = fitted._prepare(X, y, sample_weight, offset, groups, lazy=True)
        specified = run(given.problem, specify(given))
        problem, remarks = specified.value
        if wants_alpha(problem):
            raise ValueError(
                "fit_delayed: family='negative-binomial' estimates alpha, which needs intermediate results. Use fit, "
                "or fix alpha: family=NegativeBinomial(alpha=...)."
            )
        if problem.solver == "qr":
            raise ValueError("fit_delayed: solver='qr' needs intermediate results before the first step; use fit.")
        found = run(problem, solved(problem, given.method), check=specified.check)
        n_passes = specified.n_passes + found.n_passes
        estimate = problem.apply(examined_by_pilot, problem.model, problem.cov_type, found.value, name="separation")
        known = fitted, problem.model, estimate, given.inputs, remarks, n_passes
        return problem.apply(attach_fit, *known, name="fitted")

    def _prepare(self, X: Any, y: Any, sample_weight: Any, offset: Any, groups: Any, *, lazy: bool) -> Preparation:
        self._check_arguments(y, groups)
        parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": groups}
        data, terms = self._read(X, parts)
        return self._preparation(data, terms, gather(*data.parts), parts, lazy=lazy)

    def _check_arguments(self, y: Any, groups: Any) -> None:
        """Raise if there is no response, or clusters are missing or not used."""
        self._require_response(y)
        check_groups(self.cov_type, groups, folds=getattr(self.method, "wants_groups", False))

    def _preparation(
        self, data: Data, terms: Terms | None, blocks: Blocks, parts: dict[str, Any], *, lazy: bool = False
    ) -> Preparation:
        """Return what is to be fitted."""
        method = seeded(resolve_method(self.method))
        y, weights, offset, groups = (parts[name] for name in ("y", "weights", "offset", "groups"))
        in_frame = tuple(part for part in (y, weights, offset) if isinstance(part, str)) + columns_named(groups)
        model = self._model(() if terms is not None else data.columns, offset is not None)
        if terms is not None:
            _check_exposures(terms, model)
        problem = Problem(
            model,
            blocks,
            cov_type=self.cov_type,
            solver=self.solver,
            lazy=lazy,
            scheduler=scheduler_of(data),
            verbose=self.verbose,
        )
        inputs = Inputs(weights is not None, in_frame, response_name(y, terms))
        return Preparation(method, problem, inputs, terms, {} if terms is None else frame_dtypes(data.x))

    def _model(self, columns: tuple[str, ...], offset_given: bool = False) -> Model:
        for option, choices in _CHOICES.items():
            if (value := getattr(self, option)) not in choices:
                raise ValueError(unknown_choice(option, value, map(repr, choices)))
        intercept = bool(self.fit_intercept)
        refuse_reserved(columns, intercept)
        return Model(
            *(self._likelihood(), columns, intercept, self._classifies, self.missing, self.weight_type),
            offset_given=offset_given,
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

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> GLMRegressor().set_params(method__pilot_size=5000).method
        OneStep(pilot_size=5000)
        """
        nested = any(name.startswith("method__") for name in params)
        if nested and isinstance(method := params.get("method", self.method), str):
            params = params | {"method": resolve_method(method)}
        return super().set_params(**params)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_pickled_by": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if (wrote := state.pop("_pickled_by", "an unknown version")) != __version__:
            said = {"name": type(self).__name__, "wrote": wrote, "here": __version__}
            category, text = catalogue.PICKLED_BY_ANOTHER_VERSION.warning(**said)
            warnings.warn(text, category, stacklevel=2)
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "drop"
        tags.input_tags.sparse = True
        return tags


def attach_fit(estimator: Any, model: Model, estimate: Estimate, inputs: Inputs, remarks: tuple, n_passes: int) -> Any:
    """Set what ``fit`` promises, what was said before the method began among the warnings."""
    estimate = with_cause(model, estimate, remarks)
    response = unlikely_response(model, estimate, estimator.cov_type, had_weight=inputs.had_weight)
    found = (*undefined_terms(estimate), *response)
    said = (*remarks, *found, *estimate.warnings)
    estimate = replace(estimate, n_passes=n_passes, warnings=said)
    method = type(resolve_method(estimator.method)).__name__
    return attach(estimator, FitRecord.of(model, estimate, inputs, method, estimator.cov_type))


def _check_exposures(terms: Terms, model: Model) -> None:
    """Raise if a formula has ``exposure(...)`` and the link is not the log."""
    link = getattr(model.link, "name", None)
    if terms.exposures and link != "log":
        raise ValueError(
            f"{terms.exposures[0]} in the formula requires the log link, under which means are proportional to the "
            f"exposure, and the link is {link!r}. Use link='log', or offset(...) for a term of the linear predictor."
        )
