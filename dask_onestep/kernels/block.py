"""How a kernel meets a block: checks first, one BLAS thread, and findings instead of wrong sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dask_onestep.kernels.entering import inspect_columns, oversized_columns, usable_rows
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, add_pairwise
from dask_onestep.kernels.rows import Block, Rows, encode, hold
from dask_onestep.kernels.threads import one_blas_thread

__all__ = ["run_kernel"]


def run_kernel(
    block: Block, kernel: Callable[..., Any], model: Model, classes: np.ndarray | None, arguments: tuple
) -> Any:
    """Return ``kernel(rows, model, *arguments)`` for a block, or what is wrong with the block.

    Parameters
    ----------
    block : Block
        The block as it arrived.
    kernel : callable
        (rows, model, …) to a record with ``+``; one marked ``takes_blocks`` is given the block as it is.
    model : Model
        The model.
    classes : ndarray of shape (2,) or None
        The labels of a classification, where they are known; the kernel sees labels otherwise.
    arguments : tuple
        What the kernel takes besides.

    Returns
    -------
    record or Findings
        The kernel's record.
    """
    if getattr(kernel, "takes_blocks", False):
        return kernel(block, model, *arguments)
    if getattr(kernel, "additive", False):
        return add_pairwise(_run(part, kernel, model, classes, arguments) for part in block.pieces(model))
    return _run(block, kernel, model, classes, arguments)


def _run(block: Block, kernel: Callable[..., Any], model: Model, classes: np.ndarray | None, arguments: tuple) -> Any:
    rows = usable_rows(block, model)
    if isinstance(rows, Rows):
        rows = encode(rows, classes)
    if isinstance(rows, Findings):
        return rows
    checks_itself = getattr(kernel, "self_checking", False)
    searched = not (checks_itself or getattr(kernel, "unsearched", False))
    if searched and (found := inspect_columns(rows, model)):
        return found
    # What overflows in single rows shows in the sums, where it is acted on; NumPy's warnings say neither where nor why.
    with one_blas_thread(), np.errstate(all="ignore"):
        result = kernel(hold(rows, model), model, *arguments)
    if checks_itself and not result.is_finite():
        # Sums over all rows have shown that something is amiss; now it is worth a search.
        return inspect_columns(rows, model) or oversized_columns(rows, model) or result
    return result
