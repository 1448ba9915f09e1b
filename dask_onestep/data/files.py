"""Tables in files: paths, globs and URLs of Parquet, Feather and CSV files, and pyarrow's datasets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dask.dataframe as dd
import fsspec
import pandas as pd
import pyarrow.dataset as pads
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_compression
from pyarrow import fs

from dask_onestep.data.arrow import ArrowTable, WholeTable, is_whole

__all__ = ["CsvTable", "FileTable", "each_file", "is_in_files", "open_table"]

Opened = TypeVar("Opened")

_CSV = {".csv": ",", ".txt": ",", ".tsv": "\t"}
_FEATHER = (".feather", ".arrow", ".ipc")


@dataclass(frozen=True)
class CsvTable:
    """CSV files, opened: what their columns are is told from the head of the first.

    What is an integer there is read as a floating-point number, since there may be missing values further down, and
    true and false as a nullable boolean.

    Attributes
    ----------
    paths : tuple of str
        The files.
    options : dict
        Of `dask.dataframe.read_csv`.
    dtypes : mapping of str to dtype
        Dtypes of the columns in the head of the first file.
    """

    paths: tuple[str, ...]
    options: dict[str, Any]
    dtypes: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.dtypes)

    def frame(
        self, columns: Sequence[str] | None = None, coded: Iterable[str] = (), computed: Iterable[str] = ()
    ) -> tuple[dd.DataFrame, None]:
        """Return some of the columns, lazily; no others are parsed.

        Parameters
        ----------
        columns : sequence of str or None
            The columns wanted; None for all.
        coded : iterable of str
            Columns whose integers are categories, as in ``C(month)``: they stay integers, missing values or not.
        computed : iterable of str
            Of no account here.

        Returns
        -------
        frame : dask DataFrame
            The columns.
        lengths : None
            Nobody has counted the rows.
        """
        categories = set(coded)
        # Without a column there would be no rows; whoever wants none that is here will say so.
        wanted = self.columns if columns is None else columns
        names = [name for name in self.columns if name in wanted] or list(self.columns)
        kinds = {name: _csv_kind(self.dtypes[name], name in categories) for name in names}
        dtypes = {name: kind for name, kind in kinds.items() if kind is not None}
        return dd.read_csv(list(self.paths), **self.options, usecols=names, dtype=dtypes), None


FileTable = ArrowTable | WholeTable | CsvTable


def is_in_files(x: Any) -> bool:
    """Return whether data is in files: a path, several, a pyarrow Dataset, or a table opened before.

    Parameters
    ----------
    x : object
        What a user handed in.

    Returns
    -------
    bool
        True for these.
    """
    return isinstance(x, (pads.Dataset, FileTable)) or _is_path(x) or _are_paths(x)


def _is_path(x: Any) -> bool:
    return isinstance(x, (str, os.PathLike))


def _are_paths(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and bool(x) and all(map(_is_path, x))


def open_table(x: Any) -> FileTable:
    """Return a table in files, opened: footers, or the head of the first file, are read.

    Parameters
    ----------
    x : str, path, sequence of these, pyarrow Dataset, or a table opened before
        Files, directories, globs, or any URL that fsspec knows.

    Returns
    -------
    ArrowTable, WholeTable or CsvTable
        The table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If a URL needs a package that is not installed.
    ValueError
        If the files are of several kinds, the first cannot be read, or a Dataset has a filter.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from dask_onestep.data.files import open_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame({"x": [1, 3], "y": [2, 4]}).to_csv(f"{folder}/a.csv", index=False)
    ...     open_table(f"{folder}/*.csv").columns
    ('x', 'y')
    """
    if isinstance(x, FileTable):
        return x
    if isinstance(x, pads.Dataset):
        return WholeTable(x) if is_whole(x) else ArrowTable.of(x)
    paths = [os.fspath(path) for path in ([x] if _is_path(x) else x)]
    suffixes = [_suffix(found(path)[1][0]) for path in paths]
    kinds = {_kind(suffix) for suffix in suffixes}
    if len(kinds) > 1:
        raise ValueError("the files are of several kinds: give either Parquet or CSV.")
    (kind,) = kinds
    return _opened(_csv_table, kind, paths) if kind == "CSV" else ArrowTable.of(_opened(_dataset, kind, paths))


def _kind(suffix: str) -> str:
    if suffix in _CSV:
        return "CSV"
    return "Feather" if suffix in _FEATHER else "Parquet"


def _csv_table(paths: list[str]) -> CsvTable:
    first = found(paths[0])[1][0]
    options: dict[str, Any] = {"sep": _CSV[_suffix(first)], "compression": infer_compression(_last_part(first))}
    if options["compression"] is not None:
        options["blocksize"] = None  # what is compressed cannot be entered in its midst
    head = dd.read_csv(paths, **options).dtypes
    return CsvTable(tuple(paths), options, {str(name): dtype for name, dtype in head.items()})


def _dataset(paths: list[str]) -> pads.Dataset:
    files, names = found(paths[0])
    names = list(chain.from_iterable(_files_in(*found(path)) for path in paths))
    kind = "feather" if _kind(_suffix(names[0])) == "Feather" else "parquet"
    system = fs.LocalFileSystem() if isinstance(files, LocalFileSystem) else fs.PyFileSystem(fs.FSSpecHandler(files))
    return pads.dataset(names, format=kind, filesystem=system, partitioning="hive")


def _csv_kind(dtype: Any, is_category: bool) -> str | None:
    """Return the dtype of a CSV column in which there may be missing values; None where there is one already."""
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):
        return "Int64" if is_category else "float64"
    return None


def found(path: str) -> tuple[Any, list[str]]:
    """Return the file system of a path, and the files or the directories that it names, at least one.

    Parameters
    ----------
    path : str
        A path, glob or URL.

    Returns
    -------
    files : fsspec.AbstractFileSystem
        The file system.
    names : list of str
        Names there, in order.
    """
    try:
        files, _, names = fsspec.get_fs_token_paths(path)
    except ImportError as error:
        raise ImportError(f"{path} cannot be read here: {error}") from error
    names = [name for name in names if files.exists(name)]
    if not names:
        raise FileNotFoundError(f"there is no file {path}{', or no server that answers' if '://' in path else ''}")
    return files, names


def _files_in(files: Any, names: Iterable[str]) -> Iterator[str]:
    """Yield files and those of directories, in order, but for Parquet's own book-keeping."""
    for name in names:
        within = sorted(files.find(name)) if files.isdir(name) else [name]
        kept = [file for file in within if not _last_part(file).startswith(("_", "."))]
        if not kept:
            raise FileNotFoundError(f"there is no file in the directory {name}")
        yield from kept


def each_file(path: str) -> Iterator[str]:
    """Yield each file that a path, glob or URL stands for, in order.

    Parameters
    ----------
    path : str
        Path, glob or URL.

    Yields
    ------
    str
        A path or URL.
    """
    if "::" in path:
        yield path
        return
    files, names = found(path)
    for name in _files_in(files, names):
        yield files.unstrip_protocol(name) if "://" in path else name


def _last_part(path: str) -> str:
    """Return the last part of a path or URL, what a URL asks besides left out."""
    return PurePosixPath(urlsplit(path).path if "://" in path else path).name


def _suffix(path: str) -> str:
    name = PurePosixPath(_last_part(path))
    return PurePosixPath(name.stem).suffix if infer_compression(str(name)) else name.suffix


def _opened(open_files: Callable[[list[str]], Opened], kind: str, paths: list[str]) -> Opened:
    """Return what a function makes of files; an error says which files it is about, once."""
    try:
        return open_files(paths)
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        # Dask's wrapper of an error repeats what it wraps.
        raise ValueError(
            f"{paths if len(paths) > 1 else paths[0]} cannot be read as {kind}: {error.__cause__ or error}"
        ) from error
