"""Where results are written: never over an input, over existing files only on request, and completely or not at all."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dask_onestep.messages import catalogue

# File systems that store a file under its name.  Archives, views of other file systems and web servers do not.
_LOCAL = ("file", "local")
_CLOUD = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hdfs", "webhdfs", "sftp", "ssh", "smb")
_WRITABLE = (*_LOCAL, *_CLOUD, "memory")
# What a directory of predictions holds; one that holds anything else is never replaced.
_PREDICTIONS = "part.*.parquet"


def check_output(
    path: str, inputs: Iterable[str] = (), *, directory: bool = False, remote: bool = True, overwrite: bool = False
) -> None:
    """Raise if a result must not be written to a path; only its directory is listed, nothing below it.

    Examples
    --------
    >>> from dask_onestep.storage.outputs import check_output
    >>> check_output("zip://scores.csv::scores.zip")
    Traceback (most recent call last):
    ...
    ValueError: zip://scores.csv::scores.zip: this result can be written to local files or to cloud storage such as s3://...
    """
    scheme = _scheme(path)
    if "::" in path or scheme not in (_WRITABLE if remote else _LOCAL):
        places = "local files" + (" or to cloud storage such as s3://, gs://, abfs:// and hdfs://" if remote else "")
        raise ValueError(
            f"{path}: this result can be written to {places}, but not to {scheme}://. Choose another path."
        )
    files, place = fsspec.url_to_fs(path)
    place = place.rstrip("/") or "/"
    parent = place.rpartition("/")[0] or "/"
    if scheme in _LOCAL and not os.path.isdir(parent):
        raise FileNotFoundError(f"there is no directory {parent} to write {path} to")
    taken = [name for each in inputs for name in _names(files, each)]
    itself = _real(files, place)
    if itself in taken:
        raise ValueError(f"{path} is read by this command, or written by another option. Choose another path.")
    if not files.exists(place):
        return
    if files.isdir(place) != directory:
        kind = "a file, and not a directory" if directory else "a directory"
        raise FileExistsError(f"{path} exists and is {kind}. Choose another path.")
    entries = [PurePosixPath(name) for name in files.ls(place, detail=False)] if directory else []
    if directory and not entries:
        return
    if not all(entry.match(_PREDICTIONS) for entry in entries):
        raise FileExistsError(f"{path} is a directory with other files than predictions. Choose another path.")
    if any(name.startswith(f"{itself}/") for name in taken):
        raise ValueError(f"{path} is a directory with files that are read by this command. Choose another path.")
    if not overwrite:
        what = "is a directory that is not empty" if directory else "exists"
        raise catalogue.OUTPUT_EXISTS.error(path=path, what=what)


@contextmanager
def atomic_output(path: str) -> Iterator[str]:
    """Yield the name of a new file or directory next to `path`, which replaces `path` if the block succeeds.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask_onestep.storage.outputs import atomic_output
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_output(f"{folder}/a.txt") as name:
    ...         _ = Path(name).write_text("done")
    ...     [each.name for each in Path(folder).iterdir()]
    ['a.txt']
    """
    path = path.rstrip("/")
    name = re.split(r"[/\\]", path)[-1]
    unfinished = f"{path.removesuffix(name)}.{name}.{uuid4().hex}.part"
    files, place = fsspec.url_to_fs(path)
    _, temporary = fsspec.url_to_fs(unfinished)
    try:
        yield unfinished
        if _scheme(path) in _LOCAL:
            _replace(temporary, place)
        else:  # object stores have no rename: the result is copied
            if files.exists(place):
                files.rm(place, recursive=True)
            files.mv(temporary, place, recursive=True)
    finally:
        if files.exists(temporary):
            files.rm(temporary, recursive=True)


def _replace(temporary: str, place: str) -> None:
    """Rename a local file or directory, in place of what is there."""
    if not (os.path.isdir(place) and os.listdir(place)):
        if os.path.isdir(place):
            os.rmdir(place)  # os.replace of a directory over an empty one fails on Windows
        os.replace(temporary, place)
        return
    old = f"{temporary}.old"
    os.rename(place, old)
    try:
        os.rename(temporary, place)
    except OSError:
        os.rename(old, place)
        raise
    fsspec.filesystem("file").rm(old, recursive=True)


def _scheme(path: str) -> str:
    return path.partition("://")[0].lower() if "://" in path else "file"


def _names(files: Any, path: str) -> list[str]:
    """Return the files that a path or glob names, as far as they are on a file system."""
    try:
        source, _, names = fsspec.get_fs_token_paths(path.rpartition("::")[2])
    except (ImportError, OSError, ValueError):  # reported by the reader
        return []
    return [_real(files, name) for name in names] if source == files else []


def _real(files: Any, place: str) -> str:
    """Return a path without links, for comparison."""
    return os.path.realpath(place) if isinstance(files, LocalFileSystem) else place.rstrip("/")
