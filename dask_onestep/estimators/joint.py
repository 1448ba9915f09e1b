"""Several models fitted to the same data in the passes of one."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sklearn.base import clone

from dask_onestep.choices import listed
from dask_onestep.estimators.base import GLMBase, attach_fit
from dask_onestep.estimators.comparison import named_models
from dask_onestep.estimators.inputs import read_together
from dask_onestep.estimators.memory import saying_how_to_rechunk
from dask_onestep.estimators.regressor import GLMRegressor
from dask_onestep.graph import gather
from dask_onestep.messages.text import joined, with_pointer
from dask_onestep.methods import Inputs, Problem
from dask_onestep.methods.requests import Plan, Source
from dask_onestep.methods.restricted import run_together


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
    bits (up to rounding if the sums of all models exceed 8 MiB, as those of a thousand coefficients do), and of files
    and of data in memory, whose blocks depend on the columns that are read, up to rounding.  A model whose rows have
    missing values drops, with ``missing="drop"``, its own rows only.

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
    blocks = gather(shared.x, shared.y, shared.weights, shared.offset, shared.groups, shared.lengths)
    posed = [glm._pose(data, terms, blocks, parts) for glm, (data, terms) in zip(glms, each, strict=True)]
    plans = {
        name: _plan(glm, given, Source(name, data.columns_among(shared)))
        for (name, glm), given, (data, _) in zip(named.items(), posed, each, strict=True)
    }
    problem = replace(posed[0][1], verbose=any(glm.verbose for glm in glms))
    with saying_how_to_rechunk(blocks):
        outcomes = run_together(problem, plans)
    for glm, outcome in zip(glms, outcomes.values(), strict=True):
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


def _plan(glm: GLMBase, posed: tuple[Any, Problem, Inputs, Any], source: Source) -> Plan:
    """Return the plan of a fit from its design on: model, estimate, what was given, and warnings of the table."""
    method, problem, inputs, table = posed
    problem, remarks = yield from glm._specified(replace(problem, guarded=True, source=source), method, table)
    if table is not None and problem.kept is None:
        # The design decides which rows are usable, so the passes before it had other ones.
        problem = replace(problem, source=replace(source, name=f"{source.name} as specified"))
    model, estimate = yield from glm._plan(problem, method, inputs)
    return model, estimate, inputs, remarks


def _issue(named: Mapping[str, GLMBase]) -> None:
    """Issue the warnings of all models, each once, with the models that it is of."""
    models: dict[tuple[type[Warning], str], list[str]] = {}
    for name, glm in named.items():
        for said in dict.fromkeys(glm.estimate_.warnings):
            models.setdefault(said, []).append(name)
    for (category, text), names in models.items():
        whose = joined([f"Model{'s' if len(names) > 1 else ''} {listed(names)}:", text])
        warnings.warn(with_pointer(category, whose), category, stacklevel=3)
