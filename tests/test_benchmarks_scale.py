"""The cost model of a pass: against arithmetic by hand, and compared with passes that are made."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.record import Record
from benchmarks.scale import Costs, main, predict, predictions

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "scale.csv"


def test_one_block_on_one_worker_takes_its_tasks_in_turn():
    found = predict(10, 10, 1, Costs(compute=1, read=2, task=5))
    # A task of 10 rows at 3 s each, then the root of the tree.
    assert found["predicted"] == (5 + 30) + 5
    assert found["predicted_busy"] == 30 + 2 * 5
    assert (found["blocks"], found["tasks"]) == (1, 2)


@pytest.mark.parametrize(
    ("costs", "workers", "limit", "seconds"),
    [
        (Costs(1.0, 0.0, 1e-6), 10, "arithmetic", 200.0),
        (Costs(0.1, 0.9, 1e-6), 10, "reading", 200.0),
        (Costs(1.0, 0.0, 1.0), 10, "scheduler", 2_134.0),  # 2,000 blocks, and 125 + 8 + 1 nodes of the tree
        (Costs(1.0, 0.0, 1e-9), 5_000, "few blocks", 1.0),
    ],
)
def test_a_long_pass_is_limited_by_one_resource(costs, workers, limit, seconds):
    found = predict(2_000, 1, workers, costs)
    assert found["limit"] == limit
    assert found["predicted"] == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("n_blocks", "workers", "task"), [(300, 100, 0.003), (50, 7, 0.1), (2_000, 10, 0.12), (40, 60, 0.5)]
)
def test_predictions_agree_with_a_schedule_that_is_played_through(n_blocks, workers, task):
    # Each block goes to the worker that is free first, when the scheduler has sent all tasks before it.
    free, sent = np.zeros(workers), 0.0
    for _ in range(n_blocks):
        first = free.argmin()
        sent = max(sent, free[first]) + task
        free[first] = sent + 1.0
    found = predict(n_blocks, 1, workers, Costs(0.4, 0.6, task))
    assert found["predicted"] == pytest.approx(free.max(), rel=0.15)


def test_the_committed_costs_give_a_time_and_a_limit_for_each_cluster():
    measured = pd.read_csv(RESULTS)
    table = predictions(measured, rows=[1e9, 1e11], workers=[10, 1000], block_megabytes=[128])
    assert table.loc[(5, "1e+09"), (128, 10)] == "27 s, reading"
    assert table.loc[(5, "1e+11"), (128, 1000)] == "2 min, scheduler"
    assert table.loc[(500, "1e+11"), (128, 10)] == "4 d, reading"
    assert (
        predictions(measured, rows=[1e11], workers=[10], read_megabytes=1e4)
        .loc[(500, "1e+11"), (128, 10)]
        .endswith("arithmetic")
    )


def test_passes_are_made_beside_their_predictions(tmp_path, capsys):
    path = tmp_path / "scale.csv"
    words = ["--rows", "2e4", "1e8", "--columns", "3", "--block-megabytes", "0.02", "--threads", "1", "--budget", "10"]
    main([*words, "--cluster-task-ms", "1", "--output", str(path)])
    made, predicted = pd.read_csv(path).to_dict("records")
    assert (made["rows"], made["blocks"]) == (20_000, 32)
    assert made["tasks"] == made["tasks_counted"] == 32 + 2 + 1
    assert made["busy"] > 0
    # Passes for which the budget does not suffice are predicted only.
    assert predicted["rows"] == 100_000_000
    assert np.isnan(predicted["seconds"])
    assert predicted["predicted"] > 10
    assert "workers" in capsys.readouterr().out


def test_a_record_is_taken_up_again(tmp_path):
    path = tmp_path / "record.csv"
    Record(path).add({"d": 5, "source": "lazy"}, {"ms": 1.0})
    again = Record(path, resume=True)
    assert again.has({"d": 5, "source": "lazy"})
    assert not again.has({"d": 6, "source": "lazy"})
    again.add({"d": 6, "source": "lazy"}, {"ms": 2.0})
    assert pd.read_csv(path)["ms"].tolist() == [1.0, 2.0]
    assert not Record(path).has({"d": 5, "source": "lazy"})
