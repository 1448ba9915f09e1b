"""Where the rows of Θ̂ come from: a share of them from each block, or all from the pool of their Gram matrices."""

import numpy as np
from dask.delayed import Delayed

from dask_onestep.kernels.lassos.local_lassos import LocalLassos, nodewise_share
from dask_onestep.kernels.lassos.nodewise import NodewiseRows, join_rows, row_shares
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.lassos.pooled_lasso import profiled_gram, sample_size
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.methods.problem import Problem


def shares_of_blocks(problem: Problem) -> tuple[tuple[int, int], ...]:
    """Return each block's share of the rows of Θ̂; blocks known to be empty have none."""
    lengths = problem.blocks.lengths
    filled = [k for k in range(len(problem.blocks)) if lengths is None or lengths[k]]
    shares = {k: nodewise_share(place, len(filled), problem.d) for place, k in enumerate(filled)}
    return tuple(shares.get(k, (0, 0)) for k in range(len(problem.blocks)))


def rows_of_blocks(problem: Problem, local: Delayed, plan: NodewisePlan) -> Delayed:
    """Return the rows that the blocks have estimated.

    Those of blocks that prove to be empty, as partitions of unknown length may, are taken from the pool.
    """
    return problem.apply(_completed, local, problem.model, plan, name="nodewise-rows")


def pooled_rows(problem: Problem, sums: Delayed, plan: NodewisePlan) -> Delayed:
    """Return the rows of Θ̂ from the information of all rows, the intercept minimized out, in tasks for all workers."""
    gram = problem.apply(profiled_gram, problem.model, sums, name="gram")
    # A lazy fit that learns the design does not know how many there are.
    known = problem.learned is None
    shares = row_shares(problem.d - int(problem.model.has_intercept)) if known else [None]
    parts = [
        problem.apply(_rows_of_profile, gram, sums, problem.model, plan, share, name="nodewise") for share in shares
    ]
    return problem.apply(join_rows, *parts, name="nodewise-rows")


def _rows_of_profile(
    gram: np.ndarray, sums: Moments, model: Model, plan: NodewisePlan, index: range | None
) -> NodewiseRows:
    names = model.names[int(model.has_intercept) :]
    try:
        n = sample_size(model, sums.n, sums.weight)
        return plan.rows(gram, n, range(len(gram)) if index is None else index, names, 0)
    except ValueError as error:
        raise ValueError(f"{error}: drop the column.") from error


def _completed(local: LocalLassos, model: Model, plan: NodewisePlan) -> NodewiseRows:
    gram, found = local.information / local.weight, local.nodewise
    # Where columns are far from zero, that of the intercept follows from the others.
    far = bool(local.shift.any())
    if missing := [j for j in range(int(far), len(gram)) if found is None or j not in found.index]:
        try:
            rest = plan.rows(gram, local.n, missing, model.names, int(model.has_intercept))
        except ValueError as error:
            raise ValueError(f"{error}. All blocks are already pooled: drop the column.") from error
        found = rest if found is None else found + rest
    assert found is not None
    return found.with_constant(gram) if far else found
