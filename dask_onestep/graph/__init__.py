"""The one place that builds Dask graphs.

A fit's data becomes `Blocks` once: X, y, weights, offset and groups meet in one blockwise (arrays)
or one ``map_partitions`` (frames), whose materialized graph is kept; chunks in memory need none.
Each pass over the data is a `tree_sum`: every block's own tasks, from its load on, are fused with
the kernel into one task, and a tree of fixed shape adds the records.  So

- a block is loaded inside the task that reads it and let go at its end: no pass waits while another
  holds its blocks, in one graph as in two;
- a pass may take lazy values, such as coefficients from the pass before: its loads then wait for
  them, instead of filling memory meanwhile;
- arrays, frames, and both of Dask's array implementations go one way.
"""

from dask_onestep.graph.blocks import FAN_IN, Blocks
from dask_onestep.graph.collections import gather, map_rows
from dask_onestep.graph.dispatch import register_sizes, register_tokens
from dask_onestep.graph.lazy import apply
from dask_onestep.graph.tree import tree_sum

__all__ = ["FAN_IN", "Blocks", "apply", "gather", "map_rows", "tree_sum"]

register_sizes()
register_tokens()
