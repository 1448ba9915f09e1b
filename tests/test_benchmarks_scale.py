"""The simulation of a pass against what can be said without one."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.record import Record
from benchmarks.scale import Costs, simulate
from benchmarks.scale_measured import main


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


def test_the_model_stands_beside_passes_that_are_made(tmp_path):
    path = tmp_path / "scale.csv"
    words = ["--rows", "2e4", "1e8", "--columns", "3", "--block-megabytes", "0.02", "--threads", "1", "--budget", "10"]
    main([*words, "--output", str(path)])
    made, foretold = pd.read_csv(path).to_dict("records")
    assert (made["rows"], made["blocks"]) == (20_000, 32)
    assert made["tasks"] == made["tasks_counted"] == 32 + 2 + 1
    assert made["gb_read"] == pytest.approx(20_000 * 4 * 8e-9)
    assert made["busy"] > 0
    # What the budget does not suffice for is foretold only.
    assert foretold["rows"] == 100_000_000
    assert np.isnan(foretold["seconds"])
    assert foretold["foretold"] > 10


def test_a_record_is_taken_up_again(tmp_path):
    path = tmp_path / "record.csv"
    Record(path).add({"d": 5, "source": "lazy"}, {"ms": 1.0})
    again = Record(path, resume=True)
    assert again.has({"d": 5, "source": "lazy"})
    assert not again.has({"d": 6, "source": "lazy"})
    again.add({"d": 6, "source": "lazy"}, {"ms": 2.0})
    assert pd.read_csv(path)["ms"].tolist() == [1.0, 2.0]
    assert not Record(path).has({"d": 5, "source": "lazy"})
