"""A fit as a public record, which inference, reports, plots, storage and the command line read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.aliased import AliasedColumn
from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct, Matrix, Structured, is_finite
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.sample import PilotRecord
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.linear_algebra import combinations
from dask_onestep.messages.text import Remarks
from dask_onestep.methods.estimate import Estimate

# Methods whose coefficients are biased toward zero, and have no covariance.
_PENALIZED = ("AverageLasso", "ElasticNet", "ElasticNetCV")


@dataclass(frozen=True)
class Inputs:
    """The arguments of ``fit``, by which later data is brought to the same form.

    Attributes
    ----------
    had_weight : bool
        Whether there were weights.
    in_frame : tuple of str
        Columns of the frame that were response, weights, offset or groups.
    response : str
        Name of the response in summaries.

    Examples
    --------
    >>> import pandas as pd
    >>> from dask_onestep import GLMRegressor
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.5, 2.0], "w": [1.0, 1.0, 2.0]})
    >>> GLMRegressor(method="mle").fit(frame, "y", sample_weight="w").record_.inputs.in_frame
    ('y', 'w')
    """

    had_weight: bool = False
    in_frame: tuple[str, ...] = ()
    response: str = "y"


@dataclass(frozen=True, eq=False)
class FitRecord:
    """A fit: the model, the estimate, and the sums and pilot rows from which it was computed.

    Attributes
    ----------
    model : Model
        Family, link, columns and design.
    estimate : Estimate
        Coefficients, covariance, warnings and diagnostics.
    inputs : Inputs
        What ``fit`` was given.
    method : str
        The class of the method.
    cov_type : str
        The covariance.
    pilot : PilotRecord or None
        The pilot rows with their keys: up to 64 MiB the rows themselves, beyond it keys and positions only.
    pickles_rows : bool
        Whether a pickle keeps the pilot rows; by default it keeps their keys and positions only.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> record = GLMRegressor("poisson").fit(X, y).record_
    >>> record.names, record.information.shape, len(record.pilot.keys)
    (('intercept', 'x0', 'x1'), (3, 3), 2000)
    """

    model: Model
    estimate: Estimate
    inputs: Inputs = Inputs()
    method: str = ""
    cov_type: str = "nonrobust"
    pilot: PilotRecord | None = None
    pickles_rows: bool = False

    @classmethod
    def of(cls, model: Model, estimate: Estimate, inputs: Inputs, method: str, cov_type: str) -> FitRecord:
        """Return the record of an estimate, whose pilot rows it takes over, with arrays that cannot be changed."""
        sums = estimate.sums
        if sums is not None:
            sums = replace(sums, score=_locked(sums.score), information=_locked(sums.information))
        kept = replace(
            estimate,
            coef=_locked(np.array(estimate.coef)),
            covariance=_locked(estimate.covariance),
            sums=sums,
            pilot=None,
            overdispersion=estimate.overdispersion if estimate.pilot is None else estimate.pilot.overdispersion,
        )
        return cls(_with_aliased(model, estimate, sums), kept, inputs, method, cov_type, estimate.pilot)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.model.names

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the model reads, without the response."""
        return self.model.columns if self.design is None else self.design.terms.columns

    @property
    def coef(self) -> np.ndarray:
        """Coefficients, of shape (d,); NaN for aliased columns."""
        return self.estimate.coef

    @property
    def covariance(self) -> np.ndarray | DiagonalPlusProduct:
        """Covariance of the coefficients, of shape (d, d); with a factor of many levels not stored as an array."""
        return self.estimate.covariance

    @property
    def sums(self) -> Moments | None:
        """Log-likelihood, score and information at the coefficients; None of methods that have none."""
        return self.estimate.sums

    @property
    def sums_estimated(self) -> bool:
        """Whether `sums` are extrapolated from the pilot rows, since no pass was made at the coefficients."""
        return self.estimate.sums_estimated

    @property
    def score(self) -> np.ndarray | None:
        """Score at the coefficients, of shape (d,), at φ = 1."""
        return None if self.sums is None else self.sums.score

    @property
    def information(self) -> Matrix | None:
        """Expected information at the coefficients, of shape (d, d), at φ = 1; stored as `covariance` is."""
        return None if self.sums is None else self.sums.information

    @property
    def n_samples(self) -> int:
        """N, the usable rows."""
        return self.estimate.n_samples

    @property
    def n_observations(self) -> float:
        """N, or the sum of frequency weights: the sample size of information criteria."""
        counted = self.model.weight_type == "frequency" and self.sums is not None
        return float(self.sums.weight if counted and self.sums is not None else self.n_samples)

    @property
    def notes(self) -> Remarks:
        """Warnings of the fit: category and text."""
        return self.estimate.warnings

    @property
    def design(self) -> Design | None:
        """How a table's block becomes a matrix; None where X is one."""
        return self.model.design

    @property
    def by_regressor(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each column of the design."""
        return self.model.by_regressor

    @property
    def by_term(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each term of the formula, column of a table, or column of X."""
        return self.model.by_term

    @property
    def contained(self) -> frozenset[str]:
        """Terms that another one contains, as ``a:b`` contains ``a``."""
        return frozenset() if self.design is None else self.design.contained

    @property
    def rank(self) -> int:
        """Coefficients that are neither aliased nor fixed."""
        return int(self.is_estimated.sum())

    @property
    def is_estimated(self) -> np.ndarray:
        """Mask of these coefficients."""
        return self.estimate.is_estimated

    @property
    def df_denom(self) -> float:
        """Denominator degrees of freedom of model-based F tests: N − d where the dispersion is estimated, else NaN."""
        return self.estimate.df_resid if self.model.family.has_dispersion else np.nan

    @property
    def df_t(self) -> float:
        """Degrees of freedom of Student's t in tables, intervals and Wald tests; NaN for the normal distribution.

        G − 1 with G clusters (of several groupings the fewest), N − d where the dispersion is estimated.
        """
        clusters = self.estimate.n_clusters
        return min(clusters) - 1.0 if clusters else self.df_denom

    def require_covariance(self) -> None:
        """Raise a ValueError if the method estimates no covariance."""
        if self.method in _PENALIZED:
            raise ValueError(
                f"{self.method} does not estimate a covariance: penalized coefficients are biased, and so would be "
                "intervals and tests. Use DebiasedLasso, or method='one-step' or 'mle', which have no penalty."
            )

    def with_pickled_rows(self) -> FitRecord:
        """Return the record so that its pickles keep the pilot rows."""
        return replace(self, pickles_rows=True)

    def __copy__(self) -> FitRecord:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FitRecord:
        return self  # frozen, and pickling, by which copies are made, would leave the pilot's rows behind

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.pilot is not None and not self.pickles_rows:
            state["pilot"] = self.pilot.without_rows()
        return state


def _locked(array: Any) -> Any:
    """Return a view that cannot be written to; structured matrices are values."""
    if isinstance(array, Structured):
        return array
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def _with_aliased(model: Model, estimate: Estimate, sums: Moments | None) -> Model:
    """Return the model with the columns that have no coefficients, and what combinations they are."""
    if sums is None or model.fixed or not is_finite(sums.information):
        return model
    if model.design is None and estimate.n_samples < len(estimate.coef):
        return model  # of arrays with fewer rows than columns scikit-learn's checks predict all
    if model.likelihood.n_predictors > 1:
        empty = dict(zip(model.names, sums.information.diagonal() == 0, strict=True))
        by_regressor = model.by_regressor
        columns = [all(empty[name] for name in by_regressor[column]) for column in model.columns]
        aliased = tuple(AliasedColumn(int(column)) for column in np.flatnonzero(columns))
    else:
        first = int(model.has_intercept)  # the constant is column −1 of the design
        kept = np.isfinite(estimate.coef)
        basis = estimate.basis
        exact = basis is not None and np.array_equal(basis.kept, kept)
        weights = basis.aliased if basis is not None and exact else combinations(sums.information, kept)
        others = np.flatnonzero(kept) - first
        scale = np.sqrt(np.maximum(sums.information.diagonal(), 0.0) / sums.weight)
        found = [
            AliasedColumn(column - first, tuple(others[each != 0].tolist()), tuple(each[each != 0].tolist()), size)
            for column, each, size in zip(np.flatnonzero(~kept).tolist(), weights.T, scale[~kept].tolist(), strict=True)
        ]
        aliased = tuple(each for each in found if each.column >= 0)
    return replace(model, aliased=aliased)
