"""The airline on-time data of the ASA Data Expo 2009: 120 million flights, 1987 to 2008, from a Dataverse."""

import glob
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import dask.dataframe as dd
import numpy as np
import pandas as pd

from dask_onestep.messages import catalogue

_TIMEOUT = 60.0
_RETRIES = 3

FIRST_YEAR, LAST_YEAR = 1987, 2008
_COVARIATES = ("DepTime", "CRSArrTime", "ActualElapsedTime", "Distance")
_UNITS = (100.0, 100.0, 1.0, 100.0)
# Whole numbers below 2²⁴ or missing: single precision holds them as they are, in half the memory.
_DTYPES = {"Year": np.dtype("int16")} | dict.fromkeys((*_COVARIATES, "ArrDelay"), np.dtype("float32"))
_SUFFIXES = (".csv", ".csv.bz2", ".csv.gz")
_DATASET = "doi:10.7910/DVN/HG7NV7"


def load_airline(
    path: str | os.PathLike | Sequence[str | os.PathLike], *, years_per_block: int = 3, return_X_y: bool = False
) -> Any:
    r"""Return the yearly files of the ASA Data Expo 2009 as a Dask DataFrame; only column names are read.

    A file has the columns Year, DepTime, CRSArrTime, ActualElapsedTime, Distance and ArrDelay, among others, which are
    ignored; its encoding is latin-1, with ``NA`` for missing values.

    Parameters
    ----------
    path : str, path, or sequence of these
        A directory with files ``1987.csv`` … ``2008.csv`` (or ``.csv.bz2``, ``.csv.gz``), a file, or a glob such as
        ``data/19*.csv.bz2``.  The year of a file whose name has none is that of its first row.
    years_per_block : int, default=3
        Years per block, counted from 1987; three as in the article, or 1 for workers with less memory.  A row takes 26
        bytes, and a year has about six million rows.
    return_X_y : bool, default=False
        Return the model of the examples instead: DepTime/100, CRSArrTime/100, ActualElapsedTime and
        Distance/100 as `X`, ``delayed`` as `y`, incomplete rows dropped.

    Returns
    -------
    dask DataFrame, or (dask DataFrame, dask Series)
        The six columns and ``delayed``, whether the flight arrived late (missing where it did not
        arrive); or `X` and `y`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If two files are of one year; or, when blocks are read, if a file lacks one of the columns.

    See Also
    --------
    fetch_airline : Download the files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask_onestep.datasets import load_airline
    >>> folder = Path(tempfile.mkdtemp())
    >>> head = "Year,DepTime,CRSArrTime,ActualElapsedTime,ArrDelay,Distance,Origin"
    >>> _ = (folder / "1987.csv").write_text(f"{head}\n1987,741,849,91,23,447,SAN\n1987,NA,849,NA,NA,447,SAN")
    >>> load_airline(folder)["delayed"].compute().tolist()
    [1.0, nan]
    """
    if not isinstance(years_per_block, (int, np.integer)) or years_per_block < 1:
        raise ValueError(f"years_per_block={years_per_block!r} must be an integer ≥ 1.")
    files = _by_year(_expand(path))
    blocks: dict[int, list[str]] = {}
    for year in sorted(files):
        blocks.setdefault((year - FIRST_YEAR) // years_per_block, []).append(str(files[year]))
    meta = _with_delay(pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _DTYPES.items()}))
    frame = dd.from_map(_read_files, list(blocks.values()), meta=meta, label="load-airline")
    if not return_X_y:
        return frame
    complete = frame.map_partitions(_complete_model, meta=_complete_model(meta))
    return complete[list(_COVARIATES)], complete["delayed"]


def _expand(path: Any) -> list[Path]:
    """Return the files that a path, a glob or a list of these stands for."""
    if not isinstance(path, (str, os.PathLike)):
        return [file for part in path for file in _expand(part)]
    place = Path(path).expanduser()
    if place.is_dir():
        found = [file for file in sorted(place.iterdir()) if file.name.lower().endswith(_SUFFIXES)]
    else:
        found = [place] if place.is_file() else [Path(name) for name in sorted(glob.glob(str(place)))]
    if not found:
        raise FileNotFoundError(
            f"No file {place}: give a directory with 1987.csv … 2008.csv (.csv.bz2, .csv.gz), a file or a glob. "
            "fetch_airline downloads them."
        )
    return found


def _by_year(files: Iterable[Path]) -> dict[int, Path]:
    years: dict[int, Path] = {}
    for file in files:
        named = re.search(r"(?<!\d)(?:19|20)\d\d(?!\d)", file.name)
        year = int(named[0]) if named else _first_year(file)
        if year in years:
            raise ValueError(f"Two files are of the year {year}, {years[year]} and {file}: pass only one of them.")
        years[year] = file
    return years


def _first_year(file: Path) -> int:
    rows = _read_csv(file, nrows=1)
    if rows.empty:
        raise ValueError(f"{file} has no rows, and its name no year.")
    return int(rows["Year"].iloc[0])


def _read_csv(file: str | Path, **options: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(file, usecols=list(_DTYPES), dtype=_DTYPES, encoding="latin-1", **options)
    except ValueError as error:
        raise ValueError(f"{file} is not a file of the ASA Data Expo 2009: {error}") from error


def _read_files(files: Sequence[str]) -> pd.DataFrame:
    parts = [_read_csv(file)[list(_DTYPES)] for file in files]
    return _with_delay(pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0])


def _with_delay(frame: pd.DataFrame) -> pd.DataFrame:
    late = (frame["ArrDelay"] > 0).astype("float32")
    return frame.assign(delayed=late.where(frame["ArrDelay"].notna()))


def _complete_model(frame: pd.DataFrame) -> pd.DataFrame:
    complete = frame[[*_COVARIATES, "delayed"]].dropna().astype("float64")
    return complete.assign(**{name: complete[name] / unit for name, unit in zip(_COVARIATES, _UNITS, strict=True)})


def fetch_airline(
    years: int | Iterable[int] = range(FIRST_YEAR, LAST_YEAR + 1),
    data_home: str | os.PathLike | None = None,
    *,
    server: str = "https://dataverse.harvard.edu",
    progress: bool = True,
) -> list[Path]:
    """Download yearly files of the ASA Data Expo 2009 from the Harvard Dataverse (doi:10.7910/DVN/HG7NV7).

    Needs pooch and tqdm (extra ``download``).  Files are verified by the checksums that the server publishes.
    Intact files are not downloaded again; an interrupted transfer is repeated up to three times.  All years
    have 1.6 GB.

    Parameters
    ----------
    years : int or iterable of int, default=range(1987, 2009)
        The years.
    data_home : str or path, optional
        Directory of the files; by default ``$DASK_ONESTEP_DATA/airline``, or ``~/dask_onestep_data/airline``.
    server : str
        Address of a Dataverse installation that has the data set.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    list of Path
        The files, one per year, for `load_airline`.

    Raises
    ------
    ImportError
        If pooch or tqdm is not installed.
    ValueError
        If a year is not between 1987 and 2008, or the server does not have it.
    OSError
        If the server cannot be reached, or a file is damaged.

    Examples
    --------
    >>> from dask_onestep.datasets import fetch_airline, load_airline
    >>> flights = load_airline(fetch_airline([1987, 1988]))  # doctest: +SKIP
    """
    wanted = [int(years)] if isinstance(years, (int, np.integer)) else [int(year) for year in years]
    if unknown := [year for year in wanted if not FIRST_YEAR <= year <= LAST_YEAR]:
        raise ValueError(f"years={unknown} are not in the data: it has {FIRST_YEAR} to {LAST_YEAR}.")
    published = dataverse_files(server, _DATASET, data_folder(data_home, "airline"))
    if absent := [year for year in wanted if f"{year}.csv.bz2" not in published.registry]:
        raise ValueError(f"{server} has no files of the years {absent} in {_DATASET}.")
    try:
        return [Path(published.fetch(f"{year}.csv.bz2", progressbar=progress)) for year in wanted]
    except (ValueError, OSError) as error:
        raise OSError(f"The download failed: {error} Call again to download the missing files.") from error


def dataverse_files(server: str, dataset: str, folder: Path) -> Any:
    """Return the published files of a Dataverse data set."""
    try:
        import pooch
        import tqdm  # noqa: F401  (for pooch's progress bars)
    except ImportError as error:
        raise catalogue.MISSING_EXTRA.error(what="A download", package="pooch and tqdm", extra="download") from error
    server, query = server.rstrip("/"), urlencode({"persistentId": dataset})
    address = f"{server}/api/datasets/:persistentId/versions/:latest-published?{query}"
    with urlopen(address, timeout=_TIMEOUT) as response:
        body = response.read()
    try:
        files = {file["filename"]: file for file in (entry["dataFile"] for entry in json.loads(body)["data"]["files"])}
        checksums = {name: _checksum(file) for name, file in files.items()}
        urls = {name: f"{server}/api/access/datafile/{int(file['id'])}" for name, file in files.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"The response of {address} is not that of a Dataverse: {error!r}.") from error
    if unsafe := [name for name in files if not re.fullmatch(r"\w[\w .()+-]*", name)]:
        raise OSError(f"{address} lists invalid file names: {unsafe}. Nothing was downloaded.")
    return pooch.create(folder, server, registry=checksums, urls=urls, retry_if_failed=_RETRIES)


def _checksum(file: dict[str, Any]) -> str:
    """Return the checksum of a file as pooch expects it; older installations publish only the MD5."""
    checksum = file.get("checksum") or {"type": "MD5", "value": file["md5"]}
    return f"{checksum['type'].replace('-', '').lower()}:{checksum['value']}"


def data_folder(data_home: str | os.PathLike | None, name: str) -> Path:
    """Return the directory of a data set."""
    if data_home is not None:
        return Path(data_home).expanduser()
    return Path(os.environ.get("DASK_ONESTEP_DATA", "~/dask_onestep_data")).expanduser() / name
