"""What is fitted: a likelihood, which defines the sums over rows, and a design, which makes rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Protocol

import numpy as np

from dask_onestep.families import Family
from dask_onestep.kernels.designs.aliased import AliasedColumn
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct, refuse_large
from dask_onestep.kernels.records import LogLikelihoods, Moments, Sums
from dask_onestep.kernels.solve.basis import Basis
from dask_onestep.links import LinkLike


@dataclass(frozen=True)
class Prediction:
    """What to predict for each row.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂; NaN is treated as 0, so that aliased columns are ignored.
    kind : {"linear", "mean", "label", "proba", "proba_std", "mean_std", "interval"}
        What to predict.
    classes : ndarray of shape (C,) or None
        Labels of a classification.
    covariance : ndarray or DiagonalPlusProduct of shape (d, d), or None
        Covariance of β̂, for "mean_std", "proba_std" and "interval".
    quantile : float
        Quantile of the normal distribution or Student's t, for "interval".
    label : int
        Code of the class whose probability "interval" is for.
    unseen : {"raise", "nan", "reference"}
        How rows are treated whose level, or combination of levels, did not occur in the fit.
    """

    coef: np.ndarray
    kind: str
    classes: np.ndarray | None = None
    covariance: np.ndarray | DiagonalPlusProduct | None = None
    quantile: float = float("nan")
    label: int = 1
    unseen: str = "raise"


@dataclass(frozen=True)
class Stage:
    """A pass that a likelihood needs before that of its moments, if these are not plain sums over rows.

    Attributes
    ----------
    name : str
        Its name on the dashboard.
    kernel : callable
        Called with rows, model, coef and the results of earlier stages; returns a record with ``+``.
    finish : callable
        Called with the kernel's total, the model and the results of earlier stages; returns what later kernels receive,
        such as cumulative sums.
    """

    name: str
    kernel: Callable[..., Any]
    finish: Callable[..., Any]


class Likelihood(Protocol):
    """What is summed over rows, for one or several linear predictors per row.

    Scores are +∂ℓ/∂β and informations are positive semidefinite; both are sums, not means, at φ = 1. Residuals are
    derivatives of a row's log-likelihood in its linear predictors, of shape (m,), or (m, c) for c predictors; the score
    of a row is its residuals ⊗ x.
    """

    @property
    def family(self) -> Family:
        """What inference needs: name, dispersion, variance, range of y."""

    @property
    def link(self) -> LinkLike:
        """The link function, from the mean to the linear predictor."""

    @property
    def n_predictors(self) -> int:
        """Number of linear predictors per row."""

    @property
    def takes_offset(self) -> bool:
        """Whether rows may have an offset, into which fixed coefficients are moved."""

    @property
    def natural(self) -> bool:
        """Whether the observed information equals the expected one, so that it does not depend on y."""

    @property
    def quadratic(self) -> bool:
        """Whether the log-likelihood is quadratic in β."""

    @property
    def separable(self) -> bool:
        """Whether the maximum may be at infinity."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Passes before that of the moments, which receives their results; none if moments are plain sums."""

    @property
    def residual_kinds(self) -> tuple[str, ...]:
        """The available kinds of residuals."""

    def coefficient_names(self, regressors: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the coefficients from those of the design's columns."""

    def row_log_likelihoods(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of each row at β, for weight 1, of shape (m,)."""

    def row_residuals(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return the residuals of each row at β."""

    def row_curvatures(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the residuals of each row, and the expected and observed information in its linear predictors.

        The latter two have the shape (m,) or (m, c, c).
        """

    def row_state(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what `row_changes` uses of each row at β."""

    def row_changes(
        self, before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rᵢ(β + δ) − rᵢ(β) + hᵢx'δ, weighted: a residual's part nonlinear in δ; rᵢ(β + δ) and x'δ."""

    def moved(self, y: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far rows move, and how far in the wrong direction, if their predictors move by `moves`, (m, c)."""

    def view(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Rows:
        """Return rows whose residuals ⊗ x are their scores, given the results of the stages."""

    def moments(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
        """Return log-likelihood, score and expected information at β, given the results of the stages."""

    def observed_moments(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
        """Return the same and, where it is not the expected information, the observed information."""

    def initial_moments(self, rows: Rows, model: Model) -> Moments:
        """Return sums whose scoring step from 0 gives the starting values of a fit."""

    def log_likelihoods(self, rows: Rows, model: Model, coefs: np.ndarray) -> LogLikelihoods:
        """Return log-likelihoods and deviances at several β, one per row of `coefs`."""

    def fit_sums(
        self, rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None
    ) -> Sums:
        """Return the sums for goodness-of-fit statistics, `FitSums` for the package's likelihoods."""

    def prediction_width(self, kind: str) -> int:
        """Return the number of columns of a kind of prediction, 0 if it has one value per row."""

    def predict(self, rows: Rows, model: Model, asked: Prediction) -> np.ndarray:
        """Return predictions of rows."""

    def responses(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean responses of rows and their derivatives in the linear predictors, for effects.

        `eta` has shape (m, c); the responses, one mean or the probability of every class, (m, r); the
        derivatives (m, r, c).
        """

    def residual_width(self, kind: str) -> int:
        """Return the number of columns of a kind of residual, 0 if it has one value per row."""

    def residuals(self, rows: Rows, model: Model, coef: np.ndarray, kind: str) -> np.ndarray:
        """Return residuals of rows, for weight 1."""

    def safe_start(self, rows: Rows, model: Model) -> np.ndarray | None:
        """Return coefficients at which every row has a log-likelihood; None if none were found."""

    def null_coefficients(self, rows: Rows, model: Model) -> np.ndarray:
        """Return coefficients of a model without covariates, or 0."""

    def with_prior(self, rows: Rows, model: Model, leverage: np.ndarray) -> Rows:
        """Return rows with a weak prior, equivalent to `leverage` observations at each row."""


@dataclass(frozen=True)
class Model:
    """What is fitted: everything about a model except its data and its coefficients.

    Attributes
    ----------
    likelihood : Likelihood
        What is summed over rows.
    columns : tuple of str
        Names of the columns of X, in order.
    fit_intercept : bool
        Whether x_i starts with a constant.
    classify : bool
        Whether y holds labels, to be encoded by the classes of the full data.
    missing : {"raise", "drop"}
        How rows with NaN or infinity are treated.
    weight_type : {"variance", "frequency"}
        Whether weights are precisions or numbers of repetitions.
    fixed : tuple of (str, float)
        Coefficients fixed at a value, for instance by a null hypothesis; they are not estimated.
    ties : tuple of (str, tuple of (str, float))
        Those of them that also depend linearly on other coefficients (never the intercept), with the factors.
    design : Design or None
        Converts a table's block to a matrix of `columns`; None if blocks are matrices.
    basis : Basis or None
        Replaces the design's own columns (without those of fixed coefficients) in the kernels; None for these columns
        themselves.
    eliminates : bool
        Whether information matrices are stored as arrowhead matrices if a factor has many levels.
    aliased : tuple of AliasedColumn
        Of a fitted model, the columns without coefficients.
    offset_given : bool
        Whether rows have an offset besides that of the formula.
    """

    likelihood: Likelihood
    columns: tuple[str, ...]
    fit_intercept: bool = True
    classify: bool = False
    missing: str = "raise"
    weight_type: str = "variance"
    fixed: tuple[tuple[str, float], ...] = ()
    ties: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    design: Design | None = None
    basis: Basis | None = None
    eliminates: bool = False
    aliased: tuple[AliasedColumn, ...] = ()
    offset_given: bool = False

    @property
    def family(self) -> Family:
        """The family of the likelihood."""
        return self.likelihood.family

    @property
    def link(self) -> LinkLike:
        """The link of the likelihood."""
        return self.likelihood.link

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the estimated coefficients, in order."""
        held = dict(self.fixed)
        names = tuple(name for name in self.all_names if name not in held) if held else self.all_names
        if self.basis is None:
            return names
        return tuple(compress(names, self.basis.kept.tolist() * self.likelihood.n_predictors))

    @property
    def n_classes(self) -> int:
        """Number of classes of a classification."""
        return self.likelihood.n_predictors + 1

    @property
    def width(self) -> int:
        """Number of design columns that the kernels see."""
        return len(self.basis.scale) if self.basis is not None else len(self.design_names)

    @property
    def design_names(self) -> tuple[str, ...]:
        """Names of the columns that the kernels see: estimated ones, or all where none can be moved into an offset."""
        return self.names if self.likelihood.takes_offset else self.regressors

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the design's columns, starting with the constant."""
        return ("intercept", *self.columns) if self.fit_intercept else self.columns

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names of all coefficients, including fixed ones; with classes, "class:regressor"."""
        return self.likelihood.coefficient_names(self.regressors)

    @property
    def unrestricted(self) -> Model:
        """The model without fixed coefficients, in the design's own columns."""
        return replace(self, fixed=(), ties=(), basis=None) if self.fixed or self.basis is not None else self

    @property
    def is_free(self) -> np.ndarray:
        """Mask of the estimated coefficients, of shape (len(all_names),)."""
        held = dict(self.fixed)
        return np.array([name not in held for name in self.all_names], dtype=bool)

    def embed(self, coef: np.ndarray) -> np.ndarray:
        """Return all coefficients, including fixed ones; NaN is treated as 0."""
        held = dict(self.fixed)
        beta = np.array([held.get(name, 0.0) for name in self.all_names])
        free = np.nan_to_num(coef)
        beta[self.is_free] = free
        if self.ties:
            beta[~self.is_free] += self.directions[~self.is_free] @ free
        return beta

    @property
    def directions(self) -> np.ndarray:
        """Derivatives of all coefficients in the estimated ones, of shape (len(all_names), d)."""
        names, free = list(self.all_names), np.flatnonzero(self.is_free)
        directions = np.eye(len(names))[:, free]
        at = {names[j]: k for k, j in enumerate(free)}
        for name, others in self.ties:
            for other, factor in others:
                directions[names.index(name), at[other]] = factor
        return directions

    @property
    def free(self) -> np.ndarray:
        """Mask of the estimated coefficients among those of the columns that the kernels see."""
        if not self.fixed or self.likelihood.takes_offset:
            return np.ones(len(self.names), dtype=bool)
        return self.is_free

    @property
    def has_intercept(self) -> bool:
        """Whether the first estimated coefficient is an intercept."""
        return self.fit_intercept and self.all_names[0] not in dict(self.fixed)

    @property
    def has_constant(self) -> bool:
        """Whether the design starts with a constant."""
        return self.has_intercept if self.likelihood.takes_offset else self.fit_intercept

    @property
    def by_regressor(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each column of the design, one per linear predictor."""
        names, count = self.all_names, len(self.regressors)
        return {name: names[number::count] for number, name in enumerate(self.regressors)}

    @property
    def by_term(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each term: of the formula, of a table's columns, or of the columns of X."""
        own = {name: (name,) for name in self.columns}
        terms: dict[str, tuple[str, ...]] = {**own} if self.design is None else self.design.by_term
        of = self.by_regressor
        return {term: tuple(name for c in columns for name in of[c]) for term, columns in terms.items()}

    @property
    def has_offset(self) -> bool:
        """Whether rows have an offset."""
        return self.offset_given or (self.design is not None and bool(self.design.terms.offsets))

    @property
    def eliminated(self) -> np.ndarray | None:
        """Positions of the many levels of a factor among the estimated coefficients; None if the information is full.

        Like the information's size, this depends on the design alone.
        """
        product = None if self.design is None else self.design.widest
        plain = self.basis is None and not self.ties and not self.likelihood.stages
        plain = plain and getattr(self.likelihood, "eliminates", False)
        if not (self.eliminates and plain) or product is None:
            return None
        columns = product.columns + int(self.fit_intercept)
        if self.fixed:
            is_free = self.is_free
            columns = (np.cumsum(is_free) - 1)[columns[is_free[columns]]]
        return columns if len(columns) else None

    @property
    def information_bytes(self) -> int:
        """Memory of an information matrix."""
        d = len(self.names)
        at = self.eliminated
        if at is None:
            return 8 * d**2
        k, a = len(at), d - len(at)
        return 8 * (k * (a + 2) + a * (a + 1))

    @property
    def natural(self) -> bool:
        """Whether the observed information does not depend on y."""
        return self.likelihood.natural

    @property
    def quadratic(self) -> bool:
        """Whether the log-likelihood is quadratic in β."""
        return self.likelihood.quadratic


def refuse_information(model: Model) -> None:
    """Raise a ValueError if an information matrix of the model, of which each block has one, is too large."""
    if model.eliminated is None and model.design is not None and model.design.widest is not None:
        remedy = (
            "Unless cov_type is 'cluster' or 'CRV3', method='one-step' and 'mle' with solver='auto' eliminate the "
            "levels of the largest factor, which then take one number for each other coefficient. Or merge rare levels."
        )
    else:
        remedy = "Merge rare levels, drop interactions, or use method='average-lasso' for many covariates."
    refuse_large(model.information_bytes, len(model.names), "The information matrix that each block sums", remedy)
