"""Sizes of records and tokens of models, registered with Dask.

Dask considers an object it does not know to be empty: a scheduler that takes a pilot's rows for a hundred bytes moves
them to where a coefficient is, and a worker that takes a matrix for as much does not count it as memory.
"""

import sys
from dataclasses import fields
from typing import Any

import pandas as pd
from dask.base import normalize_token
from dask.sizeof import sizeof
from dask.tokenize import tokenize

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.matrices.symmetric import Structured
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Record

_HEADER = 56  # bytes of an object in addition to its fields
_FEW = 64  # elements of a tuple; of longer ones Dask's sample is enough


def register_sizes() -> None:
    """Tell Dask that a record weighs what its fields do.

    Examples
    --------
    >>> import numpy as np
    >>> from dask.sizeof import sizeof
    >>> from dask_onestep.graph.dispatch import register_sizes
    >>> from dask_onestep.kernels.designs.parts import Rows
    >>> register_sizes()
    >>> sizeof(Rows(np.zeros((1000, 10)), np.zeros(1000))) > 88_000
    True
    """
    for kind in (Record, CodedColumns, SparseColumns, Structured):
        sizeof.register(kind, _size_of_fields)


def _size_of_fields(record: Any) -> int:
    return _HEADER + sum(_size(getattr(record, field.name)) for field in fields(record))


def _size(value: Any) -> int:
    # A worker asks four times for what it is to send; Dask's own answer for a frame takes as long as its pickle.
    if isinstance(value, pd.DataFrame):
        return 8 * value.size
    # In tuples it samples the objects of each index.
    known = getattr(value, "nbytes", None)
    if known is None and isinstance(value, tuple) and len(value) <= _FEW:
        return sys.getsizeof(value) + sum(map(_size, value))
    return sizeof(value) if known is None else known


def register_tokens() -> None:
    """Tell Dask to compute the token of a model or design once: with thousands of levels that takes milliseconds.

    Examples
    --------
    >>> from dask.tokenize import tokenize
    >>> from dask_onestep.families import Poisson
    >>> from dask_onestep.graph.dispatch import register_tokens
    >>> from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
    >>> from dask_onestep.kernels.model import Model
    >>> from dask_onestep.links import resolve_link
    >>> register_tokens()
    >>> models = [Model(OnePredictor(Poisson(), resolve_link("log")), (name,)) for name in ("x0", "x0", "x1")]
    >>> [tokenize(model) == tokenize(models[0]) for model in models]
    [True, True, False]
    """
    for kind in (Model, Design):
        normalize_token.register(kind, _token)


def _token(value: Any) -> str:
    known: dict[str, Any] = value.__dict__
    if "_token" not in known:  # of a frozen object, whose other attributes are its fields
        known["_token"] = tokenize(type(value), [getattr(value, field.name) for field in fields(value)])
    return known["_token"]
