"""What records weigh, for Dask to know: it takes an object it does not know for empty.

A scheduler that takes a pilot's rows for a hundred bytes moves them to where a coefficient lies, and a worker that
takes a matrix for as much does not count it as memory.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dask.sizeof import sizeof

from dask_onestep.kernels.records import Record
from dask_onestep.kernels.structured import Structured

_HEADER = 56  # bytes of an object in addition to its fields


def register_sizes() -> None:
    """Tell Dask that a record weighs what its fields do.

    Examples
    --------
    >>> import numpy as np
    >>> from dask.sizeof import sizeof
    >>> from dask_onestep.graph.sizes import register_sizes
    >>> from dask_onestep.kernels.designs.parts import Rows
    >>> register_sizes()
    >>> sizeof(Rows(np.zeros((1000, 10)), np.zeros(1000))) > 88_000
    True
    """
    sizeof.register(Record, _size_of_fields)
    sizeof.register(Structured, _size_of_fields)


def _size_of_fields(record: Any) -> int:
    return _HEADER + sum(sizeof(getattr(record, field.name)) for field in fields(record))
