"""Tables to fit and predictions to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.dataframe as dd
import fsspec

__all__ = ["read_table", "write_predictions"]

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
