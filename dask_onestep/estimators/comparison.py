"""Fitted models next to each other, and several models fitted to the same data in the passes of one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import listed
from dask_onestep.estimators.base import GLMBase, attach_fit
from dask_onestep.estimators.design import Preparation, specify
from dask_onestep.estimators.diagnostics import statistics_plan
from dask_onestep.estimators.inputs import read_together
from dask_onestep.estimators.memory import saying_how_to_rechunk
from dask_onestep.estimators.regressor import GLMRegressor
from dask_onestep.graph import gather
from dask_onestep.inference.fit_statistics import FitStatistics
from dask_onestep.inference.ratios import note_of, ratio_test
from dask_onestep.kernels.records import LogLikelihoods
from dask_onestep.messages.text import Remark, joined, with_pointer
from dask_onestep.methods import FitRecord
from dask_onestep.methods.requests import Plan, Source
from dask_onestep.methods.restricted import run_together


def compare(
    models: Mapping[str, Any] | Sequence[Any],
    X: Any = None,
    y: Any = None,
    *,
    sample_weight: Any = None,
    offset: Any = None,
) -> pd.DataFrame:
    """Return fitted models of the same rows next to each other.

    Without data, what the fits have kept: no pass.  With data, one pass for all models, which log-likelihoods of
    families with a dispersion, other than the normal distribution with its own link, and deviances need; with an offset
    also those that fit the models without covariates.

    Parameters
    ----------
    models : dict from str to estimator, or sequence of estimators
        Fitted models by name, or in order; then they are named by their formulas, or "model 1" and so on.
    X, y, sample_weight, offset
        The data of the fits, or nothing.

    Returns
    -------
    DataFrame
        One row per model; columns n, df (coefficients and estimated parameters of the family), loglik, aic, bic,
        deviance, and of the likelihood-ratio test of each model and the one before it, where one is nested in the
        other by the names of its coefficients, lr_statistic, lr_df, p_value; and note.  Tests are χ², and F where the
        dispersion is estimated, as `likelihood_ratio_test` has them.  NaN of what is unknown.

    Raises
    ------
    ValueError
        If there is no model, or the fits are of different rows or responses.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from dask_onestep import GLMRegressor, compare
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"x": rng.normal(size=500), "z": rng.normal(size=500)})
    >>> frame["y"] = rng.poisson(np.exp(0.5 * frame["x"]))
    >>> fits = [GLMRegressor("poisson", formula=formula).fit(frame) for formula in ("y ~ x", "y ~ x + z")]
    >>> table = compare(fits)
    >>> table.index.tolist(), table["df"].tolist(), table["lr_df"].tolist()[1]
    (['y ~ x', 'y ~ x + z'], [2, 3], 1.0)
    """
    named = named_models(models)
    if not named:
        raise ValueError("No models to compare: pass at least one fitted estimator.")
    for glm in named.values():
        check_is_fitted(glm)
    _refuse_other_rows({name: glm.record_ for name, glm in named.items()})
    statistics = [None] * len(named) if X is None else _statistics(named, X, y, sample_weight, offset)
    fits = [_Fit.of(glm, found) for glm, found in zip(named.values(), statistics, strict=True)]
    rows = [(*fit.row, *_test(fits[at - 1], fit)) if at else (*fit.row, *_NONE) for at, fit in enumerate(fits)]
    columns = ["n", "df", "loglik", "aic", "bic", "deviance", "lr_statistic", "lr_df", "p_value", "note"]
    return pd.DataFrame(rows, index=list(named), columns=columns)


def _statistics(named: Mapping[str, Any], X: Any, y: Any, sample_weight: Any, offset: Any) -> list[Any]:
    """Return the statistics of fitted models, in the passes of one."""
    glms = list(named.values())
    parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": None}
    for glm in glms:
        glm._require(sample_weight=sample_weight, offset=offset)
    each, shared = read_together(glms, X, parts, fitted=True)
    blocks = gather(*shared.parts)
    problems = {
        name: replace(glm._beside(data), blocks=blocks, guarded=True, source=Source(name, data.columns_among(shared)))
        for (name, glm), (data, _) in zip(named.items(), each, strict=True)
    }
    plans = {
        name: statistics_plan(problem, named[name].record_, with_offset=offset is not None)
        for name, problem in problems.items()
    }
    first = next(iter(problems.values()))
    return [outcome.value for outcome in run_together(first, plans).values()]


_NONE = (np.nan, np.nan, np.nan, "")


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fit, and what is known of its log-likelihood and deviance."""

    record: FitRecord
    n: float
    loglik: float
    deviance: float

    @classmethod
    def of(cls, glm: Any, fit: Any) -> _Fit:
        """Return what the record tells, or what a pass has found."""
        record = glm.record_
        if fit is not None:
            return cls(record, fit.nobs, fit.llf if isinstance(fit, FitStatistics) else np.nan, fit.deviance)
        sums, model, estimate = record.sums, record.model, record.estimate
        n = record.n_observations
        loglik, deviance = np.nan, np.nan
        # Weights enter the constants, which a pass adds up.
        if not model.family.has_dispersion and not record.inputs.had_weight:
            loglik = estimate.loglik
        elif model.quadratic and sums is not None:
            deviance = float(sums.pearson)
            if model.family.has_likelihood and not record.inputs.had_weight:
                loglik = -n / 2.0 * (np.log(2.0 * np.pi * deviance / n) + 1.0)
        return cls(record, n, loglik, deviance)

    @property
    def df(self) -> int:
        """Coefficients, and parameters of the family that were estimated."""
        return self.record.rank + self.record.model.family.n_estimated

    @property
    def row(self) -> tuple:
        """What the table has of the model by itself."""
        aic = 2.0 * self.df - 2.0 * self.loglik
        bic = self.df * np.log(self.n) - 2.0 * self.loglik
        return self.n, self.df, self.loglik, aic, bic, self.deviance

    @property
    def names(self) -> set[str]:
        """The coefficients that are estimated."""
        return set(compress(self.record.names, self.record.is_estimated))


def _test(one: _Fit, other: _Fit) -> tuple[float, float, float, str]:
    """Return statistic, degrees of freedom, p-value and note of the likelihood-ratio test of two models."""
    smaller, larger = sorted((one, other), key=lambda fit: fit.record.rank)
    mine, theirs = smaller.record.model, larger.record.model
    if (type(mine.family), mine.link) != (type(theirs.family), theirs.link):
        return (*_NONE[:3], "Not nested: families or links differ.")
    if not smaller.names < larger.names:
        return (*_NONE[:3], "Not nested: neither has all coefficients of the other.")
    dispersed = theirs.family.has_dispersion
    estimates = larger.record.estimate, smaller.record.estimate
    if dispersed:
        values = np.array([larger.deviance, smaller.deviance])
    else:  # without constants, which are the same
        values = np.array([estimate.loglik for estimate in estimates])
    if np.isnan(values).any():
        return (*_NONE[:3], "Pass X and y, which this test needs." if dispersed else "A log-likelihood is unknown.")
    result, said = ratio_test(
        LogLikelihoods(larger.record.n_samples, values, values),
        1,
        larger.record.rank - smaller.record.rank,
        text="",
        dispersion=larger.record.estimate.dispersion,
        df_denom=larger.record.df_denom,
        decrements=[estimate.decrement for estimate in estimates],
    )
    robust = any(fit.record.cov_type != "nonrobust" for fit in (one, other))
    note = note_of(said, "Based on the likelihood; wald_test is robust." if robust else "")
    return result.statistic, float(result.df), result.p_value, note


def named_models(models: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Return estimators by name: their own, else their formulas where these are distinct, else "model 1" and so on."""
    if isinstance(models, Mapping):
        return dict(models)
    models = list(models)
    formulas = [getattr(glm, "formula", None) for glm in models]
    distinct = None not in formulas and len(set(formulas)) == len(formulas)
    names = map(str, formulas) if distinct else (f"model {number}" for number in range(1, len(models) + 1))
    return dict(zip(names, models, strict=True))


def _refuse_other_rows(records: dict[str, FitRecord]) -> None:
    (first, record), *others = records.items()
    for name, other in others:
        if other.n_samples != record.n_samples:
            raise ValueError(
                f"{first!r} was fitted to {record.n_samples:,} rows and {name!r} to {other.n_samples:,}: fit both to "
                "the same rows, such as those without missing values in any column used."
            )
        if other.inputs.response != record.inputs.response:
            raise ValueError(
                f"{first!r} models {record.inputs.response!r} and {name!r} {other.inputs.response!r}: log-likelihoods "
                "of different responses cannot be compared."
            )


def fit_many(
    models: Sequence[Any] | Mapping[str, Any],
    X: Any,
    y: Any = None,
    *,
    estimator: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    groups: Any = None,
) -> list[Any] | dict[str, Any]:
    """Fit several models to the same data, such as several formulas or responses, in the passes of one.

    Each pass loads every block once for all models.  Estimates are those of separate fits: of Dask collections the same
    bits (up to rounding if the sums of all models exceed 8 MiB, as those of a thousand coefficients do, or if there are
    hundreds of tiny partitions), and of files and of data in memory, whose blocks depend on the columns that are read,
    up to rounding.  A model whose rows have missing values drops, with ``missing="drop"``, its own rows only.

    Passes: as many as the slowest of the models takes.  Methods of your own that are not plans make their own.

    Parameters
    ----------
    models : sequence, or dict from str to model
        Formulas with a left-hand side, to be fitted by `estimator`; or estimators that are not fitted, such as
        ``GLMRegressor("poisson", formula="y ~ x")``, which may differ in family, method and covariance.
    X, y, sample_weight, offset, groups
        The data, as for ``fit``, of all models.  `y` is for models without a formula.
    estimator : GLMRegressor or GLMClassifier, optional
        What formulas are fitted by; by default ``GLMRegressor()``, for the normal distribution.

    Returns
    -------
    list or dict of estimators
        A fitted copy of each, in order, or under the same names.  Warnings name the models that they are of; each is
        also in the model's ``estimate_.warnings``.

    Raises
    ------
    ValueError
        If a model cannot be fitted; a note of the error names the model.
    TypeError
        If `models` holds anything but formulas and estimators of this package.

    See Also
    --------
    compare : A table of fitted models.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from dask_onestep import GLMRegressor, compare, fit_many
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"x": rng.normal(size=500), "z": rng.normal(size=500)})
    >>> frame["y"] = rng.poisson(np.exp(0.5 * frame["x"]))
    >>> fits = fit_many(["y ~ x", "y ~ x + z"], frame, estimator=GLMRegressor("poisson"))
    >>> compare(fits)["df"].tolist()
    [2, 3]
    """
    began = time.perf_counter()
    named = named_models(
        {name: _estimator(each, estimator) for name, each in models.items()}
        if isinstance(models, Mapping)
        else [_estimator(each, estimator) for each in models]
    )
    if not named:
        raise ValueError("No models to fit: pass at least one formula or estimator.")
    glms = list(named.values())
    parts = {"y": y, "weights": sample_weight, "offset": offset, "groups": groups}
    for name, glm in named.items():
        _refuse_two_responses(name, glm.formula, y)
        glm._check_arguments(y, groups)
    each, shared = read_together(glms, X, parts)
    blocks = gather(*shared.parts)
    prepared = [glm._preparation(data, terms, blocks, parts) for glm, (data, terms) in zip(glms, each, strict=True)]
    plans = {
        name: _plan(glm, given, Source(name, data.columns_among(shared)))
        for (name, glm), given, (data, _) in zip(named.items(), prepared, each, strict=True)
    }
    problem = replace(prepared[0].problem, verbose=any(glm.verbose for glm in glms))
    with saying_how_to_rechunk(blocks):
        results = run_together(problem, plans)
    for glm, outcome in zip(glms, results.values(), strict=True):
        model, estimate, inputs, remarks = outcome.value
        attach_fit(glm, model, estimate, inputs, remarks, outcome.n_passes)
        glm.fit_time_ = time.perf_counter() - began
    _issue(named)
    return named if isinstance(models, Mapping) else glms


def _estimator(model: Any, estimator: Any) -> GLMBase:
    """Return an estimator that is not fitted, of a formula or of an estimator."""
    if isinstance(model, str):
        estimator, formula = GLMRegressor() if estimator is None else estimator, {"formula": model}
    else:
        estimator, formula = model, {}
    if not isinstance(estimator, GLMBase):
        raise TypeError(
            f"Expected a formula, a GLMRegressor or a GLMClassifier, got {type(estimator).__name__}: {estimator!r}."
        )
    return clone(estimator).set_params(**formula)


def _refuse_two_responses(name: str, formula: str | None, y: Any) -> None:
    """Raise if a response is passed, and the formula names its own, which need not be the one of other models."""
    response, _, right = (formula or "").partition("~")
    if y is not None and right and response.strip():
        raise ValueError(
            f"y was passed, and the formula of the model {name!r} names the response {response.strip()!r}. Omit y, or "
            "the left-hand side."
        )


def _plan(glm: GLMBase, given: Preparation, source: Source) -> Plan:
    """Return the plan of a fit from its design on: model, estimate, what was given, and warnings of the table."""
    problem, remarks = yield from specify(replace(given, problem=replace(given.problem, guarded=True, source=source)))
    if given.terms is not None and problem.kept is None:
        # The design decides which rows are usable, so the passes before it had other ones.
        problem = replace(problem, source=replace(source, name=f"{source.name} as specified"))
    model, estimate = yield from glm._plan(problem, given.method)
    return model, estimate, given.inputs, remarks


def _issue(named: Mapping[str, GLMBase]) -> None:
    """Issue the warnings of all models, each once, with the models that it is of."""
    models: dict[Remark, list[str]] = {}
    for name, glm in named.items():
        for said in dict.fromkeys(glm.estimate_.warnings):
            models.setdefault(said, []).append(name)
    for (category, text), names in models.items():
        whose = joined([f"Model{'s' if len(names) > 1 else ''} {listed(names)}:", text])
        warnings.warn(with_pointer(category, whose), category, stacklevel=3)
