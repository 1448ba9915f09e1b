"""Tables to fit and predictions to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import dask.dataframe as dd
import fsspec
import pandas as pd
from fsspec.utils import infer_compression

from dask_onestep.graph.progress import persist_shown
from dask_onestep.kernels.designs.terms import is_numeric
from dask_onestep.storage.outputs import atomic_output, check_output

__all__ = ["check_predictions_path", "read_table", "unlike_file", "write_predictions"]

_CSV = {".csv": ",", ".txt": ",", ".tsv": "\t"}


def read_table(
    paths: Sequence[str], *, columns: Iterable[str] | None = None, categories: Iterable[str] = ()
) -> dd.DataFrame:
    """Return Parquet or CSV files as one lazy table.

    What the columns of CSV files are is told from the head of the first.  What is an integer there is read as a
    floating-point number, since there may be gaps further down, and true and false as a nullable boolean.

    Parameters
    ----------
    paths : sequence of str
        Files, a directory of Parquet, or globs; local, or any URL that fsspec knows.
    columns : iterable of str, optional
        Columns that are wanted: of CSV files no others are parsed.  Those that are not there are no error here.
    categories : iterable of str, optional
        Columns of CSV files whose integers are names, as in ``C(month)``: they stay integers, gaps or not.

    Returns
    -------
    dask DataFrame
        The table; only the columns that are used will be read.

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
    found = [_found(path)[1][0] for path in paths]
    kinds = {_suffix(name) in _CSV for name in found}
    if len(kinds) > 1:
        raise ValueError("the files are of several kinds: give either Parquet or CSV.")
    if not kinds.pop():
        return _opened(dd.read_parquet, "Parquet", list(paths) if len(paths) > 1 else paths[0])
    options: dict[str, Any] = {"sep": _CSV[_suffix(found[0])], "compression": infer_compression(_name(found[0]))}
    if options["compression"] is not None:
        options["blocksize"] = None  # what is compressed cannot be entered in its midst
    head = _opened(dd.read_csv, "CSV", list(paths), **options).dtypes
    wanted = set(head.index if columns is None else columns).intersection(head.index)
    # Without a column there would be no rows; whoever wants none that is here will say so.
    names = [name for name in head.index if name in wanted] or list(head.index)
    kinds_of = {name: _kind(head[name], name in set(categories)) for name in names}
    dtypes = {name: kind for name, kind in kinds_of.items() if kind is not None}
    return dd.read_csv(list(paths), **options, usecols=names, dtype=dtypes)


def _kind(dtype: Any, is_category: bool) -> str | None:
    """Return the dtype of a CSV column in which there may be gaps; None where there is one already."""
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):
        return "Int64" if is_category else "float64"
    return None


def _found(path: str) -> tuple[Any, list[str]]:
    """Return the file system of a path, and the files or the directory that it names, at least one."""
    try:
        files, _, names = fsspec.get_fs_token_paths(path)
    except ImportError as error:
        raise ImportError(f"{path} cannot be read here: {error}") from error
    names = [name for name in names if files.exists(name)]
    if not names:
        raise FileNotFoundError(f"there is no file {path}{', or no server that answers' if '://' in path else ''}")
    return files, names


def _name(path: str) -> str:
    """Return the last part of a path or URL, what a URL asks besides left out."""
    return PurePosixPath(urlsplit(path).path if "://" in path else path).name


def _suffix(path: str) -> str:
    name = PurePosixPath(_name(path))
    return PurePosixPath(name.stem).suffix if infer_compression(str(name)) else name.suffix


def _opened(read: Callable[..., dd.DataFrame], kind: str, paths: Any, **options: Any) -> dd.DataFrame:
    """Return a lazy table; an error says which files it is about, once."""
    try:
        return read(paths, **options)
    except (ValueError, OSError) as error:
        # Dask's wrapper of an error repeats what it wraps.
        raise ValueError(f"{paths} cannot be read as {kind}: {error.__cause__ or error}") from error


def unlike_file(paths: Sequence[str], columns: Iterable[str]) -> str | None:
    """Return what tells one of several files from the first, to explain why they cannot be read as one table.

    Parameters
    ----------
    paths : sequence of str
        As for `read_table`.
    columns : iterable of str
        The columns that matter.

    Returns
    -------
    str or None
        The file, and the column that it lacks or that holds words there and numbers elsewhere; None if there is no
        such file.

    Raises
    ------
    ValueError
        If a file cannot be read; the text names it.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from dask_onestep.storage.tables import unlike_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame({"x": [1, 3], "y": [2, 4]}).to_csv(f"{folder}/a.csv", index=False)
    ...     pd.DataFrame({"x": [1, 3]}).to_csv(f"{folder}/b.csv", index=False)
    ...     unlike_file([f"{folder}/*.csv"], ["x", "y"]).replace(folder, "")
    "/b.csv has no column 'y', which /a.csv has"
    """
    columns = tuple(columns)
    first, *others = chain.from_iterable(map(_each_file, paths))
    known = read_table([first]).dtypes
    for path in others:
        dtypes = read_table([path]).dtypes
        for name in columns:
            if (name in known) != (name in dtypes):
                has, lacks = (first, path) if name in known else (path, first)
                return f"{lacks} has no column {name!r}, which {has} has"
            if name in known and is_numeric(known[name]) != is_numeric(dtypes[name]):
                return f"column {name!r} is {known[name]} in {first} and {dtypes[name]} in {path}"
    return None


def _each_file(path: str) -> Iterator[str]:
    if "::" in path:
        yield path
        return
    files, names = _found(path)
    for name in chain.from_iterable(sorted(files.find(name)) if files.isdir(name) else [name] for name in names):
        if not _name(name).startswith(("_", ".")):  # of Parquet's own book-keeping
            yield files.unstrip_protocol(name) if "://" in path else name


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
    """Write predictions, partition by partition; if that fails, nothing is left behind and nothing was replaced.

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
