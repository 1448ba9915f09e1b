"""Tables to fit and predictions to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import dask.dataframe as dd

from dask_onestep.data.files import PLAIN_CSV, CsvFormat, each_file, open_table
from dask_onestep.graph.progress import persist_shown
from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.storage.outputs import atomic_output, check_output


def read_table(
    paths: Sequence[str], *, columns: Iterable[str] | None = None, categories: Iterable[str] = ()
) -> dd.DataFrame:
    """Return Parquet or CSV files as one lazy table.

    The types of the columns of CSV files are inferred from the first rows of the first file.  Integers are read as
    floating-point numbers, since later rows may have missing values, and booleans as nullable booleans.

    Parameters
    ----------
    paths : sequence of str
        Files, a directory of Parquet, or globs; local, or any URL that fsspec knows.
    columns : iterable of str, optional
        Columns to read; names that do not exist are ignored.
    categories : iterable of str, optional
        Columns of CSV files whose integers are categories, as in ``C(month)``; they remain integers, also with missing
        values.

    Returns
    -------
    dask DataFrame
        The table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If a URL needs a package that is not installed.
    ValueError
        If the files are of several kinds, or the first cannot be read.

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
    table = open_table(list(paths))
    wanted = None if columns is None else [name for name in columns if name in table.columns]
    return table.frame(wanted or None, categories)[0]  # type: ignore[return-value]  # files are lazy


def unlike_file(paths: Sequence[str], columns: Iterable[str], csv: CsvFormat = PLAIN_CSV) -> str | None:
    """Return what tells one of several files from the first, to explain why they cannot be read as one table.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from dask_onestep.storage.table_files import unlike_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame({"x": [1, 3], "y": [2, 4]}).to_csv(f"{folder}/a.csv", index=False)
    ...     pd.DataFrame({"x": [1, 3]}).to_csv(f"{folder}/b.csv", index=False)
    ...     unlike_file([f"{folder}/*.csv"], ["x", "y"]).replace(folder, "")
    "/b.csv has no column 'y', which /a.csv has"
    """
    columns = tuple(columns)
    first, *others = chain.from_iterable(map(each_file, paths))
    known = open_table(first, csv).dtypes
    for path in others:
        dtypes = open_table(path, csv).dtypes
        for name in columns:
            if (name in known) != (name in dtypes):
                has, lacks = (first, path) if name in known else (path, first)
                return f"{lacks} has no column {name!r}, which {has} has"
            if name in known and is_numeric(known[name]) != is_numeric(dtypes[name]):
                return f"column {name!r} is {known[name]} in {first} and {dtypes[name]} in {path}"
    return None


def check_predictions_path(path: str, inputs: Iterable[str] = (), *, overwrite: bool = False) -> None:
    """Raise if predictions cannot be written to a path.

    Parameters
    ----------
    path : str
        Where to write.
    inputs : iterable of str
        Files, globs or URLs that the predictions are computed from.
    overwrite : bool, default=False
        Whether existing predictions may be replaced.

    Raises
    ------
    FileExistsError
        If there is something at `path`, unless `overwrite` is set and it is a file, or a directory that holds nothing
        but predictions.
    ValueError
        If it neither ends in ``.csv`` nor names a directory, if it is one of the inputs, or on a file system that
        is not written to.

    Examples
    --------
    >>> from dask_onestep.storage import check_predictions_path
    >>> check_predictions_path("scores.csv")
    >>> check_predictions_path("scores.json")
    Traceback (most recent call last):
    ...
    ValueError: scores.json must end in .csv, or name a directory for Parquet files.
    """
    if PurePosixPath(path).suffix not in (".csv", "", ".parquet"):
        raise ValueError(f"{path} must end in .csv, or name a directory for Parquet files.")
    check_output(path, inputs, directory=not path.endswith(".csv"), overwrite=overwrite)


def write_predictions(predicted: Any, path: str, *, overwrite: bool = False, verbose: bool = False) -> None:
    """Write predictions, partition by partition; after an error there is no partial result, and nothing was replaced.

    Parameters
    ----------
    predicted : dask DataFrame
        Predictions, with the index of the rows.
    path : str
        A directory for Parquet, new or empty, or one file ending in ``.csv``.
    overwrite : bool, default=False
        Whether existing predictions are replaced.
    verbose : bool, default=False
        Whether to show progress, on stderr.

    Raises
    ------
    FileExistsError, ValueError
        As `check_predictions_path`.

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
    check_predictions_path(path, overwrite=overwrite)
    with atomic_output(path) as unfinished:
        if path.endswith(".csv"):
            (written,) = predicted.to_csv(unfinished, single_file=True, compute=False)
        else:
            written = predicted.rename(columns=str).to_parquet(unfinished, compute=False)
        (persist_shown([written], "predict")[0] if verbose else written).compute()
