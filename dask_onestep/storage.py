"""Files: tables to fit, fitted models to keep, predictions to write."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import dask.dataframe as dd
import fsspec

__all__ = ["SCHEMA", "model_record", "read_model", "read_table", "write_model", "write_predictions"]

SCHEMA = "dask_onestep.model/1"
_CSV = (".csv", ".csv.gz", ".tsv", ".txt")


def read_table(paths: Sequence[str]) -> dd.DataFrame:
    """Return Parquet or CSV files as one lazy table.

    Parameters
    ----------
    paths : sequence of str
        Files, a directory of Parquet, or globs; local, or any URL that fsspec knows.

    Returns
    -------
    dask DataFrame
        The table; only the columns that are used will be read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the files are of several kinds.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from dask_onestep.storage import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame({"x": [1, 3], "y": [2, 4]}).to_csv(f"{folder}/a.csv", index=False)
    ...     len(read_table([f"{folder}/a.csv"]))
    2
    """
    for path in paths:
        files, _, found = fsspec.get_fs_token_paths(path)
        if not found or not any(files.exists(name) for name in found):
            raise FileNotFoundError(f"there is no file {path}")
    kinds = {any(path.endswith(suffix) for suffix in _CSV) for path in paths}
    if len(kinds) > 1:
        raise ValueError("the files are of several kinds: give either Parquet or CSV.")
    if not kinds.pop():
        return dd.read_parquet(list(paths) if len(paths) > 1 else paths[0])
    zipped = any(path.endswith(".gz") for path in paths)
    options: dict[str, Any] = {"blocksize": None, "compression": "gzip"} if zipped else {}
    return dd.read_csv(list(paths), sep="\t" if paths[0].endswith(".tsv") else ",", **options)


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
        Values that JSON knows; a number that is not finite is None.

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
    estimate, model = glm.estimate_, glm._fitted_model
    design = model.design
    table = glm.coef_table(level)
    record = {
        "schema": SCHEMA,
        "formula": glm.formula,
        "family": model.family.name,
        "link": getattr(model.link, "name", type(model.link).__name__),
        "method": type(glm._method()).__name__,
        "cov_type": glm.cov_type,
        "missing": glm.missing,
        "level": level,
        "n_samples": estimate.n_samples,
        "n_missing": estimate.n_missing,
        "n_passes": estimate.n_passes,
        "df_resid": estimate.df_resid,
        "dispersion": estimate.dispersion,
        "decrement": estimate.decrement,
        "loglik": estimate.loglik,
        "pilot_size": getattr(estimate, "pilot_size", None),
        "classes": None if estimate.classes is None else estimate.classes.tolist(),
        "columns": list(getattr(glm, "feature_names_in_", model.columns)),
        "levels": {} if design is None else {factor.name: list(index) for factor, index in design.levels},
        "coefficients": [{"name": name, **row} for name, row in table.to_dict("index").items()],
        "covariance": estimate.covariance.tolist(),
        "warnings": [text for _, text in estimate.warnings],
    }
    return _plain(record)


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


def write_model(glm: Any, path: str, level: float = 0.95) -> None:
    """Write a fitted model: to be read (``.json``), or to predict with (``.pkl``).

    Parameters
    ----------
    glm : GLMRegressor or GLMClassifier
        A fitted estimator.
    path : str
        Where to; the suffix says which.
    level : float, default=0.95
        Level of the intervals in JSON.

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
        Path(path).write_text(json.dumps(model_record(glm, level), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    else:
        Path(path).write_bytes(pickle.dumps(glm))


def check_model_path(path: str) -> None:
    """Raise if a model cannot be written so.

    Parameters
    ----------
    path : str
        Where to.

    Raises
    ------
    ValueError
        If the suffix is neither ``.json`` nor ``.pkl``.
    """
    if PurePosixPath(path).suffix not in (".json", ".pkl"):
        raise ValueError(f"{path} must end in .json (to be read by any program) or .pkl (to predict with).")


def read_model(path: str) -> Any:
    """Return a model that `write_model` wrote as ``.pkl``; a pickle runs code, so read your own only.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    GLMRegressor or GLMClassifier
        The fitted estimator.

    Raises
    ------
    ValueError
        If it is no such file.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> import tempfile
    >>> from dask_onestep.storage import read_model, write_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(glm, f"{folder}/model.pkl")
    ...     bool((read_model(f"{folder}/model.pkl").coef_ == glm.coef_).all())
    True
    """
    if not path.endswith(".pkl"):
        raise ValueError(f"{path} is not a .pkl: a model that predicts is written by fit --output model.pkl.")
    try:
        glm = pickle.loads(Path(path).read_bytes())
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise ValueError(f"{path} holds no model that can be read: {error}") from error
    if not hasattr(glm, "estimate_"):
        raise ValueError(f"{path} holds a {type(glm).__name__}, not a fitted model.")
    return glm


def write_predictions(predicted: Any, path: str) -> None:
    """Write predictions, partition by partition.

    Parameters
    ----------
    predicted : dask DataFrame
        Predictions, with the index of the rows.
    path : str
        A directory for Parquet, or one file ending in ``.csv``.

    Examples
    --------
    >>> import tempfile
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> from dask_onestep.storage import write_predictions
    >>> predicted = dd.from_pandas(pd.DataFrame({0: [0.4, 0.7], 1: [0.6, 0.3]}), npartitions=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_predictions(predicted, f"{folder}/scores.csv")
    ...     pd.read_csv(f"{folder}/scores.csv", index_col=0).columns.tolist()
    ['0', '1']
    """
    if path.endswith(".csv"):
        predicted.to_csv(path, single_file=True)
        return
    predicted.rename(columns=str).to_parquet(path)
