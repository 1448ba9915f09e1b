"""A function of each row block, in the kind of collection it came in."""

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.table import unmasked


def map_rows(function: Callable[..., np.ndarray], parts: dict[str, Any], like: Any, *, name: str) -> Any:
    """Return, lazily, a function of each row block, in the kind of collection it came in.

    Parameters
    ----------
    function : callable
        ``(x, **others)`` to an array with one row, or one value, for each row; picklable.
    parts : dict
        ``x``, a dask Array of shape (n, p) or a dask DataFrame, and by the function's names its other
        arguments: dask Arrays of shape (n,), dask Series, or None, which is left out.
    like : ndarray of shape (0,) or (0, k), Series or DataFrame
        What a block without rows gives, index included for frames.
    name : str
        Name of the tasks on the dashboard.

    Returns
    -------
    dask Array, dask Series or dask DataFrame
        One row, or one value, for each row of ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.graph import map_rows
    >>> def row_sums(x):
    ...     return x.sum(axis=1)
    >>> X, y, coef = make_glm(1000, 2, chunks=250)
    >>> map_rows(row_sums, {"x": X}, np.empty(0), name="row-sums").compute().shape
    (1000,)
    """
    given = {key: part for key, part in parts.items() if part is not None}
    names, x = tuple(given), given["x"]
    task = partial(_map_block, function=function, names=names)
    if isinstance(x, dd.DataFrame):
        return dd.map_partitions(
            _map_frame, *given.values(), task=task, like=like, meta=like, align_dataframes=False, token=name
        )
    given["x"] = x if x.numblocks[1] == 1 else x.rechunk({1: -1})
    pairs: list[Any] = []
    for key, part in given.items():
        pairs += [part, "ij" if key == "x" else "i"]
    return da.blockwise(
        task,
        "i" if like.ndim == 1 else "ik",
        *pairs,
        new_axes={} if like.ndim == 1 else {"k": like.shape[1]},
        concatenate=True,
        align_arrays=False,
        dtype=like.dtype,
        meta=like,
        token=name,
    )


def _map_block(*parts: Any, function: Callable[..., np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return function(**dict(zip(names, map(unmasked, parts), strict=True)))


def _map_frame(*parts: Any, task: Callable[..., np.ndarray], like: Any) -> Any:
    values = task(*parts)
    if isinstance(like, pd.Series):
        return pd.Series(values, index=parts[0].index, name=like.name)
    return pd.DataFrame(values, index=parts[0].index, columns=like.columns)
