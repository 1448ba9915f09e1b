"""Where data sets are kept."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(data_home: str | os.PathLike | None, name: str) -> Path:
    """Return the directory of a data set."""
    if data_home is not None:
        return Path(data_home).expanduser()
    return Path(os.environ.get("DASK_ONESTEP_DATA", "~/dask_onestep_data")).expanduser() / name
