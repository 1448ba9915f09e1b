"""A tidy CSV that grows while a benchmark runs, so that a long one can be watched, ended and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.origin import origin

__all__ = ["Record"]


class Record:
    """Measurements, each with the commit, the command and the machine it is from, written as they come.

    Parameters
    ----------
    path : Path or None
        The CSV; None writes none.
    resume : bool
        Whether to keep what is in it already.

    Examples
    --------
    >>> from benchmarks.record import Record
    >>> record = Record(None)
    >>> record.add({"blocks": 10}, {"seconds": 1.0})
    >>> record.has({"blocks": 10}), record.has({"blocks": 20})
    (True, False)
    """

    def __init__(self, path: Path | None, *, resume: bool = False):
        self._path, self._origin = path, origin()
        self.table = pd.read_csv(path) if resume and path is not None and path.exists() else pd.DataFrame()

    def has(self, about: dict[str, Any]) -> bool:
        """Return whether there is a measurement of these conditions."""
        if self.table.empty:
            return False
        same = [
            np.isclose(self.table[name], value) if isinstance(value, float) else self.table[name] == value
            for name, value in about.items()
        ]
        return bool(np.logical_and.reduce(same).any())

    def add(self, about: dict[str, Any], measured: dict[str, Any]) -> None:
        """Add a measurement and write the CSV."""
        row = pd.DataFrame([about | measured | self._origin])
        self.table = row if self.table.empty else pd.concat([self.table, row], ignore_index=True)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.table.to_csv(self._path, index=False, float_format="%.8g")
