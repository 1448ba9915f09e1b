"""The rows of a block as a design matrix, in slices.

Slices fit into the cache, and results for a slice's covariates are written into reused buffers, so that no temporary
array has the size of the block, and float32 and integer blocks are summed in float64. Sparse columns stay sparse, in
longer slices, unless they are too dense for that to pay, or the model's basis combines them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from dask_onestep.kernels.compiled.accelerate import accelerated
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.products import DenseColumns
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.matrices.algebra import DenseSlice, Slice, SplitSlice
from dask_onestep.kernels.matrices.columns import CodedColumns
from dask_onestep.kernels.matrices.symmetric import Arrowhead, Matrix
from dask_onestep.kernels.model import Model

# A slice has at least d rows (d columns), or this many: with fewer, adding the product X'X would cost more than
# computing it.
_ENOUGH_ROWS = 1024
# A slice's Gram matrix has d² elements to fill and to add, whatever its rows.
_SPLIT_ROWS = (2**14, 2**18)
# Of one without the levels there is little to fill.
_ARROW_ROWS = 2**16
# Below 128 KiB, above which memory is mapped outside of the heap; as many as a kernel uses at a time.
_PIECE_BYTES, _PIECES = 100_000, 48


@contextmanager
def room(length: int = 0) -> Iterator[None]:
    """Keep memory free in the heap for the temporary arrays of a block of some length, if it has several slices.

    As soon as 64 KiB are free at the end of the heap, a worker that has a Nanny returns them to the system, for that
    sets MALLOC_TRIM_THRESHOLD_=65536; they are then mapped anew, page by page, a fifth of the time of a pass.
    """
    pieces = [np.empty(_PIECE_BYTES, np.uint8) for _ in range(_PIECES if length > _SPLIT_ROWS[0] else 0)]
    last = pieces[-1:]  # the end of the heap, below which the others are free
    pieces.clear()
    yield
    last.clear()


def slices(rows: Rows, model: Model, *, natural: bool = False) -> Iterator[Slice]:
    """Yield a block in slices; each overwrites the buffers of the previous dense one.

    If only `natural` sums are wanted, slices are long where a loop computes these without temporary arrays.
    """
    if model.basis is None and isinstance(rows.x, SplitMatrix) and rows.x.stored.pays(_kinds()[1].max_density):
        yield from _split_slices(rows, rows.x, model, natural)
    else:
        yield from dense_slices(rows, model, natural=natural)


def dense_slices(rows: Rows, model: Model, *, natural: bool = False) -> Iterator[DenseSlice]:
    """Yield a block in dense, cache-sized slices, for kernels that need the rows themselves.

    The rows are views of the block, or buffers that the next slice reuses. Columns that are not yet written stay so if
    a loop computes `natural` sums.
    """
    constant, p = model.has_constant, rows.x.shape[1]
    d = p + int(constant)
    kind = _kinds()[0]
    if natural and isinstance(rows.x, DenseColumns) and model.basis is None and kind.has_loop(model.family, p):
        yield kind(*_beside(rows, slice(0, len(rows))), rows.x, constant, np.empty(0))
        return
    length = max(1, min(len(rows), max(kind.size // (8 * max(d, 1)), min(d, _ENOUGH_ROWS))))
    scratch = np.empty(length * max(d, model.width))
    for at, x in _dense_covariates(rows, length):
        if model.basis is not None:
            x, constant = model.basis.columns(np.column_stack([np.ones((len(x), d - p)), x])), False
        yield kind(*_beside(rows, at), x, constant, scratch)


def _dense_covariates(rows: Rows, length: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield covariates in float64: views of the block if possible, otherwise a buffer that the next slice reuses."""
    buffer = np.empty((length, rows.x.shape[1]))
    for at in _spans(len(rows), length):
        part, here = rows.x[at], buffer[: at.stop - at.start]
        if not isinstance(part, np.ndarray):
            part.write(here)
        elif part.dtype == np.float64:
            here = part
        else:
            here[...] = part
        yield at, here


@cache
def _kinds() -> tuple[type[DenseSlice], type[SplitSlice]]:
    """Return the classes of slices: compiled if the extra ``accelerate`` is installed, otherwise NumPy and SciPy."""
    if not accelerated():
        return DenseSlice, SplitSlice
    from dask_onestep.kernels.compiled import slices as compiled

    return compiled.CompiledSlice, compiled.CompiledSplitSlice


def gram_of(rows: Rows, model: Model, weights: Callable[[Slice], np.ndarray | None], d: int | None = None) -> Matrix:
    """Return X'WX of a block, of shape (d, d), given the weights of the rows of a slice."""
    total: Matrix | None = None
    for part in slices(rows, model):
        gram = part.gram(weights(part))
        if total is None:
            total = gram
        else:
            total += gram
    return zero_gram(model, d) if total is None else total


def zero_gram(model: Model, d: int | None = None) -> Matrix:
    """Return X'WX of no rows, of shape (d, d), by default for one predictor."""
    at, d = model.eliminated, model.width if d is None else d
    return np.zeros((d, d)) if at is None else Arrowhead.zeros(at, d)


def _split_slices(rows: Rows, x: SplitMatrix, model: Model, natural: bool) -> Iterator[SplitSlice]:
    (dense_kind, split_kind), first, d = _kinds(), int(model.has_constant), model.width
    dense_at, stored_at = np.concatenate([np.arange(first), x.dense_at + first]), x.stored_at + first
    length, product = max(d * d // 4, _SPLIT_ROWS[0]), None
    if (levels := model.eliminated) is not None:
        assert isinstance(x.stored, CodedColumns)
        length = max(4 * len(levels), _ARROW_ROWS)
        product = x.stored.starts.index(int(np.searchsorted(stored_at, levels[0])))
    natural = natural and isinstance(x.stored, CodedColumns) and split_kind.has_loop(model.family)
    if natural:
        length = _SPLIT_ROWS[1]
    length = min(length, _SPLIT_ROWS[1])
    scratch = np.empty(min(length, len(rows)) * len(dense_at))
    for at in _spans(len(rows), length):
        part, beside = x[at], _beside(rows, at)
        dense = dense_kind(*beside, part.dense if natural else np.asarray(part.dense), model.has_constant, scratch)
        split = split_kind(*beside, dense, part.stored, dense_at, stored_at)
        yield split if product is None else split.apart(product)


def _spans(total: int, length: int) -> Iterator[slice]:
    for start in range(0, total, length):
        yield slice(start, min(start + length, total))


def _beside(rows: Rows, at: slice) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, slice]:
    weights = None if rows.weights is None else rows.weights[at]
    return rows.y[at], weights, None if rows.offset is None else rows.offset[at], at
