"""Errors of blocks that are larger than memory, or that lack a column."""

from collections.abc import Iterator
from contextlib import contextmanager

from dask_onestep.graph import Blocks
from dask_onestep.graph.cluster import killed_worker


@contextmanager
def saying_how_to_rechunk(blocks: Blocks) -> Iterator[None]:
    """Explain errors of memory by the size of blocks, and errors of partitions that lack columns."""
    try:
        yield
    except KeyError as error:
        # Dask takes the columns of a model out of a partition before any code here sees it.
        if not str(error).strip("\"'").endswith(("not in index", "not in index]", "not found in axis")):
            raise
        raise ValueError(
            f"A partition lacks columns: {error.args[0]!s}. All partitions must have the columns that the frame's meta "
            "declares; fix the function that loads them."
        ) from error
    except Exception as error:
        if not isinstance(error, (MemoryError, *killed_worker())):
            raise
        size = ""
        if blocks.lengths:
            size = f" The largest here has {max(blocks.lengths) * blocks.row_bytes / 1e6:,.0f} MB of covariates."
        error.add_note(
            f"Workers run out of memory: each block is loaded completely.{size} Use smaller blocks when loading, with "
            "da.from_zarr(..., chunks=...), da.from_array(memmap, chunks=...) or dd.read_parquet(..., "
            "split_row_groups=True): X.rechunk(...) after loading still reads the large blocks first."
        )
        raise
