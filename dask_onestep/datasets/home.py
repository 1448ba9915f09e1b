"""Where data sets are kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_folder"]


def data_folder(data_home: str | os.PathLike | None, name: str) -> Path:
    """Return the directory of a data set.

    Parameters
    ----------
    data_home : str, path or None
        A directory that a user gave.
    name : str
        The data set, a directory of ``$DASK_ONESTEP_DATA`` or ``~/dask_onestep_data`` where none was given.

    Returns
    -------
    Path
        The directory, which need not be there.
    """
    if data_home is not None:
        return Path(data_home).expanduser()
    return Path(os.environ.get("DASK_ONESTEP_DATA", "~/dask_onestep_data")).expanduser() / name
