"""Fitted models as files: JSON, which contains only data, or a pickle, which runs code when it is read."""

import copy
import hashlib
import json
import math
import pickle
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dask_onestep import exceptions
from dask_onestep._version import __version__
from dask_onestep.estimators import GLMClassifier, GLMRegressor
from dask_onestep.estimators.attributes import attach
from dask_onestep.families import FAMILIES
from dask_onestep.inference.facts import link_name
from dask_onestep.kernels.likelihood.goodness import Overdispersion
from dask_onestep.kernels.likelihood.multinomial import Multinomial
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct
from dask_onestep.kernels.model import Likelihood, Model
from dask_onestep.links import LINKS, resolve_link
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remarks
from dask_onestep.methods import METHODS, Estimate, FitRecord, Inputs
from dask_onestep.storage.designs import aliased_record, design_record, read_aliased, read_design
from dask_onestep.storage.outputs import atomic_output
from dask_onestep.storage.schema import check_record, parse_json

SCHEMA = "dask_onestep.model/1"
# Fields of an estimate that a record has under the same names.
_COUNTS = ("n_samples", "n_missing", "n_iter", "n_passes")
_NUMBERS = (
    *("df_resid", "dispersion", "decrement", "distance_bound", "condition"),
    *("loglik", "loglik_null", "n_events"),
)
# A file of JSON with the covariance of about 5,000 coefficients.
_MOST_BYTES = 512 * 2**20


def model_record(glm: Any, level: float = 0.95) -> dict[str, Any]:
    """Return a fitted model as plain values; ``model.schema.json`` of the package documents them.

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    level : float, default=0.95
        Level of the intervals.

    Returns
    -------
    dict
        Values of JSON; a number that is not finite is None.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> from dask_onestep.storage import model_record
    >>> record = model_record(glm)
    >>> record["family"], [each["name"] for each in record["coefficients"]]
    ('binomial', ['intercept', 'x0', 'x1'])
    """
    fit = glm.record_
    estimate, model = fit.estimate, fit.model
    design = model.design
    table = glm.coef_table(level)
    record = {
        "schema": SCHEMA,
        "version": __version__,
        "formula": glm.formula,
        "family": model.family.name,
        "link": link_name(fit),
        "method": fit.method,
        "cov_type": fit.cov_type,
        "missing": glm.missing,
        "level": level,
        **{name: getattr(estimate, name) for name in (*_COUNTS, *_NUMBERS, "loglik_estimated", "solver")},
        **({} if model.family.has_likelihood else {"loglik": None}),
        "n_clusters": list(estimate.n_clusters),
        "overdispersion": None if estimate.overdispersion is None else list(estimate.overdispersion),
        "pilot_size": getattr(estimate, "pilot_size", None),
        "classes": None if estimate.classes is None else estimate.classes.tolist(),
        "columns": list(getattr(glm, "feature_names_in_", fit.columns)),
        "levels": {} if design is None else {factor.name: list(index) for factor, index in design.levels},
        "coefficients": [{"name": name, **row} for name, row in table.to_dict("index").items()],
        "covariance": _covariance_record(estimate.covariance),
        "warnings": [str(text) for _, text in estimate.warnings],
        "warning_categories": [category.__name__ for category, _ in estimate.warnings],
        "predictor": _predictor(glm),
    }
    plain = _plain(record)
    return {**plain, "digest": _digest(plain)}


def _digest(record: dict[str, Any]) -> str:
    """Return the digest of a record's other values; it does not depend on how their text is laid out."""
    values = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _predictor(glm: Any) -> dict[str, Any] | None:
    """Return what predicting needs, None if a part of the model is not the package's own."""
    fit = glm.record_
    model, inputs = fit.model, fit.inputs
    family, classes = model.family, fit.estimate.classes
    own_family = type(family) in (*FAMILIES.values(), type(Multinomial.family))
    own_link = LINKS.get(getattr(model.link, "name", "")) == model.link
    design = None if model.design is None else design_record(model.design)
    known = fit.method in METHODS.values()
    plain = classes is None or classes.dtype.kind in "biufU" or all(isinstance(label, str) for label in classes)
    if not (own_family and own_link and plain and (design is None) == (model.design is None) and known):
        return None
    names = getattr(glm, "feature_names_in_", None)
    return {
        "estimator": type(glm).__name__,
        "family_parameters": family.arguments,
        "fit_intercept": model.fit_intercept,
        "weight_type": model.weight_type,
        "solver": glm.solver,
        "columns": list(model.columns),
        "n_features": glm.n_features_in_,
        "feature_names": None if names is None else list(names),
        "parts_in_frame": list(inputs.in_frame),
        "response": inputs.response,
        "had_weight": inputs.had_weight,
        "had_offset": model.offset_given,
        "design": design,
        "aliased": aliased_record(model.aliased),
    }


def _plain(value: Any) -> Any:
    """Return numbers, strings, lists and dicts of JSON."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (bool, int, str, type(None))) else str(value)


def write_model(glm: Any, path: str, level: float = 0.95, *, pilot_rows: bool = False) -> None:
    """Write a fitted model: as data (``.json``), or as a pickle (``.pkl``).

    JSON can be read by any program, contains neither code nor rows of the data, and can be used to predict, unless a
    part of the model is user-defined or a level is neither a string nor a number: then its ``predictor`` is null, and a
    pickle is needed to predict.

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    path : str
        The file; its suffix determines the format.
    level : float, default=0.95
        Level of the intervals in JSON.
    pilot_rows : bool, default=False
        Whether a pickle keeps the pilot rows of ``record_``, and not only their keys and positions.

    Raises
    ------
    ValueError
        If the suffix is neither.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask_onestep.storage import write_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(glm, f"{folder}/model.json")
    ...     [path.name for path in Path(folder).iterdir()]
    ['model.json']
    """
    check_model_path(path)
    if path.endswith(".json"):
        content = (json.dumps(model_record(glm, level), indent=1, allow_nan=False) + "\n").encode()
    else:
        kept = copy.copy(glm)
        if pilot_rows:
            kept.record_ = glm.record_.with_pickled_rows()
        content = pickle.dumps(kept)
    with atomic_output(path) as unfinished:
        Path(unfinished).write_bytes(content)


def check_model_path(path: str) -> None:
    """Raise if a model cannot be written to a path.

    Parameters
    ----------
    path : str
        Where to.

    Raises
    ------
    ValueError
        If the suffix is neither ``.json`` nor ``.pkl``.

    Examples
    --------
    >>> from dask_onestep.storage import check_model_path
    >>> check_model_path("model.json")
    >>> check_model_path("model.txt")
    Traceback (most recent call last):
    ...
    ValueError: model.txt must end in .json...
    """
    if PurePosixPath(path).suffix not in (".json", ".pkl"):
        raise ValueError(f"{path} must end in .json (readable by any program) or .pkl (a pickle).")


def read_model(path: str, *, trust_pickle: bool = False) -> Any:
    """Read a model that was written by `write_model`.

    Parameters
    ----------
    path : str
        The file: ``.json``, which contains only data, or ``.pkl``.
    trust_pickle : bool, default=False
        Whether to read a pickle.  A pickle can execute arbitrary code: only read one that you wrote yourself.

    Returns
    -------
    GLMRegressor or GLMClassifier
        The fitted estimator.  One from JSON can predict, and has its coefficient table, Wald tests and summary; its
        ``estimate_`` has the attributes that all methods share.

    Raises
    ------
    ValueError
        If it is not such a file, or a pickle and `trust_pickle` is not set.

    Examples
    --------
    >>> import tempfile
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.storage import read_model, write_model
    >>> X, y, _ = make_glm(1000, 2, family="poisson")
    >>> glm = GLMRegressor("poisson").fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(glm, f"{folder}/model.json")
    ...     kept = read_model(f"{folder}/model.json")
    >>> bool((kept.predict(X) == glm.predict(X)).all().compute())
    True
    """
    check_model_path(path)
    if path.endswith(".json"):
        return _read_json(path)
    if not trust_pickle:
        raise catalogue.PICKLE_NOT_TRUSTED.error(path=path)
    try:
        glm = pickle.loads(_content(path))
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise catalogue.UNREADABLE_MODEL.error(path=path, reason=str(error)) from error
    if not hasattr(glm, "estimate_"):
        raise ValueError(f"{path} holds a {type(glm).__name__}, not a fitted model.")
    return glm


def _read_json(path: str) -> Any:
    try:
        record = parse_json(_content(path).decode())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    except ValueError as error:
        raise catalogue.UNREADABLE_MODEL.error(path=path, reason=str(error)) from error
    try:
        check_record(record)
        if "digest" in record and record["digest"] != _digest(record):
            raise ValueError("its digest does not match: it was damaged or edited after it was written")
        if record["predictor"] is not None:
            return _estimator(record, record["predictor"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise catalogue.UNREADABLE_MODEL.error(path=path, reason=str(error)) from error
    raise ValueError(
        f"{path} can be read but not predict: its family, link or method is not the package's own, or a level is "
        "neither a string nor a number. Write the model as .pkl."
    )


def _content(path: str) -> bytes:
    """Return what a model's file holds, if it is there and not too large."""
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {path}" + (", but a directory" if place.is_dir() else ""))
    if (size := place.stat().st_size) > _MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, more than a model of {_MOST_BYTES:,} bytes.")
    return place.read_bytes()


def _estimator(record: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Return the estimator that a record is of."""
    (method,) = (name for name, method in METHODS.items() if method == record["method"])
    shared = {name: record[name] for name in ("formula", "cov_type", "missing")}
    shared |= {name: parts[name] for name in ("weight_type", "solver", "fit_intercept")}
    classify = {"GLMClassifier": True, "GLMRegressor": False}[parts["estimator"]]
    classes = record["classes"] or []
    if classify and len(classes) > 2:
        likelihood: Likelihood = Multinomial(tuple(map(str, classes[1:])))
    else:
        family = FAMILIES[record["family"]](**parts["family_parameters"])
        likelihood = OnePredictor(family, resolve_link(record["link"]))
    if classify:
        glm: Any = GLMClassifier(record["link"], method=method, **shared)
    else:
        glm = GLMRegressor(
            family if parts["family_parameters"] else record["family"], record["link"], method=method, **shared
        )
    model = Model(
        likelihood,
        tuple(parts["columns"]),
        parts["fit_intercept"],
        classify,
        record["missing"],
        parts["weight_type"],
        design=None if parts["design"] is None else read_design(parts["design"]),
        aliased=read_aliased(parts["aliased"], len(parts["columns"])),
        offset_given=parts["had_offset"],
    )
    estimate = _estimate(record, model.names)
    glm.n_features_in_ = parts["n_features"]
    inputs = Inputs(parts["had_weight"], tuple(parts["parts_in_frame"]), parts["response"])
    if parts["feature_names"] is not None:
        glm.feature_names_in_ = np.array(parts["feature_names"], dtype=object)
    return attach(glm, FitRecord.of(model, estimate, inputs, record["method"], record["cov_type"]))


def _estimate(record: dict[str, Any], names: tuple[str, ...]) -> Estimate:
    """Return the estimate of a record, whose coefficients must be those of the model, in its order."""
    found = [row["name"] for row in record["coefficients"]]
    if found != list(names):
        at = next((at for at, pair in enumerate(zip(found, names, strict=False)) if pair[0] != pair[1]), len(names))
        raise ValueError(
            f"it has {len(found)} coefficients and its model {len(names)}"
            if len(found) != len(names)
            else f"coefficient {at + 1} is {found[at]!r}, where its model has {names[at]!r}"
        )
    fields: dict[str, Any] = {name: _number(record.get(name)) for name in _NUMBERS}
    fields |= {name: int(record[name]) for name in _COUNTS}
    return Estimate(
        **fields,
        coef=np.array([_number(row["coef"]) for row in record["coefficients"]]),
        covariance=_covariance(record["covariance"], len(names)),
        classes=None if record["classes"] is None else np.array(record["classes"]),
        warnings=_warnings(record["warnings"], record.get("warning_categories", ())),
        solver=record["solver"],
        n_clusters=tuple(int(count) for count in record.get("n_clusters", ())),
        loglik_estimated=bool(record.get("loglik_estimated", False)),
        overdispersion=Overdispersion(*spread) if (spread := record.get("overdispersion")) else None,
    )


def _covariance_record(covariance: np.ndarray | DiagonalPlusProduct) -> Any:
    if isinstance(covariance, np.ndarray):
        return covariance.tolist()
    own = np.where(covariance.known, covariance.own, np.nan)
    inner = None if covariance.inner is None else covariance.inner.tolist()
    return {"diagonal": own.tolist(), "half": covariance.half.tolist(), "inner": inner}


def _covariance(record: Any, d: int) -> np.ndarray | DiagonalPlusProduct:
    """Return the covariance of a record, which must be that of d coefficients."""
    if isinstance(record, dict):
        own, half = _numbers(record["diagonal"]), [_numbers(row) for row in record["half"]]
        if {len(own), len(half)} != {d} or len(set(map(len, half))) != 1:
            raise ValueError(f"its covariance is not of {d} rows and columns")
        inner = (
            np.eye(len(half[0])) if record["inner"] is None else np.array([_numbers(row) for row in record["inner"]])
        )
        known = np.isfinite(own)
        rows = np.where(known[:, np.newaxis], np.array(half), 0.0)
        if inner.shape != (len(half[0]),) * 2 or not (np.isfinite(rows).all() and np.isfinite(inner).all()):
            raise ValueError("the parts of its covariance do not fit each other, or lack numbers")
        return DiagonalPlusProduct(np.nan_to_num(own), rows, known, None if record["inner"] is None else inner)
    if {d} != {len(record), *map(len, record)}:
        raise ValueError(f"its covariance is not of {d} rows and columns")
    return np.array([_numbers(row) for row in record])


def _numbers(values: list[Any]) -> np.ndarray:
    return np.array([_number(value) for value in values])


def _warnings(texts: list[Any], names: Sequence[Any]) -> Remarks:
    """Return warnings with their categories, or with `FitWarning` if a file does not name them."""
    known = {name: getattr(exceptions, name) for name in exceptions.__all__ if name.endswith("Warning")}
    pairs = zip_longest(texts, names[: len(texts)], fillvalue="")
    return tuple((known.get(str(name), exceptions.FitWarning), str(text)) for text, name in pairs)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
