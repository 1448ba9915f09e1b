"""Tables in files: paths, globs and URLs of Parquet, Feather and CSV files, and pyarrow's datasets."""

import codecs
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dask.dataframe as dd
import fsspec
import pandas as pd
import pyarrow.dataset as pads
from fsspec.core import OpenFile
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_compression
from pyarrow import fs

from dask_onestep.data.arrow import ArrowTable, WholeTable, is_whole
from dask_onestep.kernels.designs.parts import SOURCE
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import joined, text_of

Opened = TypeVar("Opened")

_CSV = {".csv": ",", ".txt": ",", ".tsv": "\t"}
_FEATHER = (".feather", ".arrow", ".ipc")


# File systems that stand for other ones and need options that a URL does not have.
_INDIRECT = ("dask", "dir", "generic", "jlab", "jupyter", "reference")
_HEAD_ROWS = 1000
_HEADS = 20  # of files, which are looked at for a column without values in those before
_PATH = "path of the file"
_SEPARATORS = (";", "\t", "|", ",")


@dataclass(frozen=True)
class CsvFormat:
    """How CSV files are written.

    Attributes
    ----------
    sep : str or None
        The character between values; None for that of the suffix.
    encoding : str
        The encoding of the text.
    na_values : tuple of str
        What stands for a missing value, besides the empty cell, "NA", "NaN", "null" and the like.
    """

    sep: str | None = None
    encoding: str = "utf-8"
    na_values: tuple[str, ...] = ()


PLAIN_CSV = CsvFormat()


@dataclass(frozen=True, eq=False)
class CsvTable:
    """CSV files, opened: the type of a column is that in the head of the first file with values of it.

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
    format : CsvFormat
        How the files are written.
    whole : frozenset of str
        Columns of floating-point numbers that are integers, as far as was looked.
    """

    paths: tuple[str, ...]
    options: dict[str, Any]
    dtypes: Mapping[str, Any]
    format: CsvFormat = PLAIN_CSV
    whole: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.dtypes)

    def frame(
        self,
        columns: Sequence[str] | None = None,
        coded: Iterable[str] = (),
        computed: Iterable[str] = (),
        divided: bool = False,
    ) -> tuple[dd.DataFrame, None]:
        """Return some of the columns, lazily; no others are parsed."""
        categories = set(coded)
        # Without a column there would be no rows; columns that are missing are reported later.
        wanted = self.columns if columns is None else columns
        names = [name for name in self.columns if name in wanted] or list(self.columns)
        kinds = {name: _csv_kind(self.dtypes[name], name in categories, name in self.whole) for name in names}
        dtypes = {name: kind for name, kind in kinds.items() if kind is not None}
        frame = dd.read_csv(list(self.paths), **self.options, usecols=names, dtype=dtypes, include_path_column=_PATH)
        return frame.map_partitions(_of_file), None


def _of_file(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a block without the column of its file's path, which messages name instead of a number."""
    kept = frame.drop(columns=_PATH)
    if len(frame):
        kept.attrs[SOURCE] = str(frame[_PATH].iloc[0])
    return kept


FileTable = ArrowTable | WholeTable | CsvTable


def is_in_files(x: Any) -> bool:
    """Return whether data is in files: a path, several, a pyarrow Dataset, or a table opened before."""
    return isinstance(x, (pads.Dataset, FileTable)) or _is_path(x) or _are_paths(x)


def _is_path(x: Any) -> bool:
    return isinstance(x, (str, os.PathLike))


def _are_paths(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and bool(x) and all(map(_is_path, x))


def open_table(x: Any, csv: CsvFormat = PLAIN_CSV) -> FileTable:
    """Return a table in files, opened: footers, or the head of the first file, are read.

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
    kinds = {"CSV" if csv.sep else _kind(suffix) for suffix in suffixes}
    if len(kinds) > 1:
        raise ValueError("the files are of several kinds: give either Parquet or CSV.")
    (kind,) = kinds
    return (
        _opened(partial(_csv_table, csv=csv), kind, paths)
        if kind == "CSV"
        else ArrowTable.of(_opened(_dataset, kind, paths))
    )


def _kind(suffix: str) -> str:
    if suffix in _CSV:
        return "CSV"
    return "Feather" if suffix in _FEATHER else "Parquet"


def _csv_table(paths: list[str], csv: CsvFormat) -> CsvTable:
    files, (first, *_) = found(paths[0])
    compression = infer_compression(_last_part(first))
    options: dict[str, Any] = {"sep": csv.sep or _CSV.get(_suffix(first), ","), "encoding": _codec(csv.encoding)}
    if csv.na_values:
        options["na_values"] = list(csv.na_values)
    source = OpenFile(files, first, mode="rb", compression=compression)
    with source as file:
        _check_header(pd.read_csv(file, header=None, nrows=1, dtype=str, **options))
    with source as file:
        head = pd.read_csv(file, nrows=_HEAD_ROWS, **options)
    later = _values_of_later_files(head, paths, options, compression)
    heads = {str(name): values for name, values in head.items()} | later
    # With missing values among them integers look like floating-point numbers.
    floats = (name for name, values in heads.items() if values.dtype.kind == "f" and values.notna().any())
    whole = {name for name in floats if _are_whole(heads[name])}
    options["compression"] = compression
    if compression is not None or options["encoding"].startswith(("utf-16", "utf-32")):
        options["blocksize"] = (
            None  # what is compressed, or of several bytes a character, cannot be entered in its midst
        )
    dtypes = {str(name): dtype for name, dtype in dd.read_csv(paths, **options).dtypes.items()}
    # Unlike NumPy's, pandas' floats are declared: Dask sees the first file alone.
    dtypes |= {name: pd.Float64Dtype() if values.dtype.kind == "f" else values.dtype for name, values in later.items()}
    # With missing values among them true and false look like strings.
    flags = (name for name, values in heads.items() if pd.api.types.infer_dtype(values, skipna=True) == "boolean")
    dtypes |= {name: pd.BooleanDtype() for name in flags}
    return CsvTable(tuple(paths), options, dtypes, csv, frozenset(whole))


def _values_of_later_files(
    head: pd.DataFrame, paths: list[str], options: dict[str, Any], compression: str | None
) -> dict[str, pd.Series]:
    """Return values of the columns that have none in the head of the first file, from the heads of the next files."""
    empty = [name for name in head if head[name].isna().all()]
    later: dict[str, pd.Series] = {}
    others = ((files, name) for path in paths for files, names in [found(path)] for name in names)
    for files, name in islice(others, 1, _HEADS if empty else 1):
        with OpenFile(files, name, mode="rb", compression=compression) as file:
            try:
                values = pd.read_csv(file, nrows=_HEAD_ROWS, usecols=set(empty).__contains__, **options)
            except pd.errors.EmptyDataError:  # a file of no bytes has no rows either
                continue
        later |= {str(column): values[column] for column in values if values[column].notna().any()}
        if not (empty := [column for column in empty if str(column) not in later]):
            break
    return later


def _are_whole(values: pd.Series) -> bool:
    return bool((values.dropna() % 1 == 0).all())


def _codec(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}; use, for example, utf-8, latin-1 or cp1252") from None


def _check_header(header: pd.DataFrame) -> None:
    """Raise if columns have the same name, or if another separator was meant."""
    names = [str(name) for name in header.iloc[0].dropna()]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"several columns are named {twice[0]!r}. Rename them in the file's first line.")
    if len(names) == 1 and (likely := [separator for separator in _SEPARATORS if separator in names[0]]):
        shown = "\\t" if likely[0] == "\t" else likely[0]
        raise catalogue.OTHER_SEPARATOR.error(name=names[0][:60], separator=shown)


def _dataset(paths: list[str]) -> pads.Dataset:
    files, names = found(paths[0])
    names = list(chain.from_iterable(_files_in(*found(path)) for path in paths))
    kind = "feather" if _kind(_suffix(names[0])) == "Feather" else "parquet"
    system = fs.LocalFileSystem() if isinstance(files, LocalFileSystem) else fs.PyFileSystem(fs.FSSpecHandler(files))
    return pads.dataset(names, format=kind, filesystem=system, partitioning="hive")


def _csv_kind(dtype: Any, is_category: bool, is_whole: bool) -> str | None:
    """Return the dtype of a CSV column in which there may be missing values; None where there is one already.

    Text is declared as such: in a block where all of it are numbers, "01" would become "1", and "0" "0.0".
    """
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):
        return "Int64" if is_category else "float64"
    if pd.api.types.is_float_dtype(dtype):
        declared = "float64" if pd.api.types.is_extension_array_dtype(dtype) else None
        return "Int64" if is_category and is_whole else declared
    return "str" if pd.api.types.is_string_dtype(dtype) else None


def found(path: str) -> tuple[Any, list[str]]:
    """Return the file system of a path, and the files or the directories that it names, at least one."""
    if (scheme := path.partition("://")[0]) in _INDIRECT:
        raise ValueError(f"{path}: {scheme}:// refers to other files. Name these files directly.")
    try:
        files, _, names = fsspec.get_fs_token_paths(path)
    except ImportError as error:
        raise ImportError(f"{path} cannot be read here: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:  # of fsspec, where a URL lacks a part
        raise ValueError(f"{path} is not a readable URL: {error}") from error
    names = [name for name in names if files.exists(name)]
    if not names:
        raise FileNotFoundError(f"there is no file {path}{', or no server that answers' if '://' in path else ''}")
    return files, names


def _files_in(files: Any, names: Iterable[str]) -> Iterator[str]:
    """Yield files and those of directories, in order, but for Parquet's own book-keeping."""
    for name in names:
        kept = list(_files_below(files, name)) if files.isdir(name) else [name]
        if not kept:
            raise FileNotFoundError(f"there is no file in the directory {name}")
        yield from kept


def _files_below(files: Any, folder: str) -> Iterator[str]:
    """Yield the files of a directory and of its partitions, in order; other directories in it are refused."""
    for entry in sorted(files.ls(folder, detail=True), key=lambda entry: entry["name"]):
        name = _last_part(entry["name"].rstrip("/"))
        if name.startswith(("_", ".")):
            continue
        if entry["type"] != "directory":
            yield entry["name"]
        elif "=" in name:
            yield from _files_below(files, entry["name"])
        else:
            raise ValueError(
                f"its subdirectory {name!r} is not a partition such as year=2020. Name the files, such as "
                f"{folder.rstrip('/')}/{name}/*.parquet."
            )


def each_file(path: str) -> Iterator[str]:
    """Yield each file that a path, glob or URL stands for, in order."""
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
    """Return the result of opening files; an error names the files once."""
    try:
        return open_files(paths)
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        if isinstance(cause := error.__cause__ or error, UnicodeDecodeError):
            raise catalogue.OTHER_ENCODING.error(
                path=next(each_file(paths[0])), encoding=cause.encoding.upper()
            ) from error
        # Dask's wrapper of an error repeats what it wraps.
        which = paths if len(paths) > 1 else paths[0]
        raise ValueError(joined([f"{which} cannot be read as {kind}:", text_of(error.__cause__ or error)])) from error
