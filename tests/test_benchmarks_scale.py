"""The simulation of a pass against what can be said without one."""

import pytest

from benchmarks.scale import Costs, simulate


def test_one_block_on_one_worker_takes_its_tasks_in_turn():
    done = simulate(1, 10, 1, Costs(row_seconds=1, row_bytes=4, read_bytes=2, task_seconds=5, add_seconds=7))
    # A task of 10 rows at 1 s and 4 bytes at 2 a second, then the root.
    assert done["seconds"] == pytest.approx((5 + 30) + (5 + 7))
    assert done["workers_busy"] == pytest.approx(37 / 47)


@pytest.mark.parametrize(("task_seconds", "bound"), [(1e-6, "workers_busy"), (1.0, "scheduler_busy")])
def test_a_long_pass_is_bound_by_workers_or_by_the_scheduler(task_seconds, bound):
    done = simulate(2_000, 1, 10, Costs(1.0, 0.0, 1.0, task_seconds, 1e-9))
    assert done[bound] > 0.98
    # 2,000 blocks, and 125 + 8 + 1 nodes of the tree.
    assert done["seconds"] == pytest.approx(200.0 if bound == "workers_busy" else 2_134.0, rel=0.02)
