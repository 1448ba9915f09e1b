"""The pilot's rows and their number."""

import numpy as np
import pytest

from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.pilots.sampling import sample_rows
from dask_onestep.kernels.rows import Rows

ROWS = np.arange(400.0)[:, None]


@pytest.mark.parametrize(
    ("rule", "n", "d", "rows"),
    [
        ("auto", 1_000_000, 5, 20_000),
        ("auto", 10_000, 100, 5_000),
        ("auto", 300, 5, 300),
        (500, 10_000, 5, 500),
        (500, 100, 5, 100),
        (0.25, 1000, 5, 250),
        (0.001, 100, 5, 1),
        (1.0, 77, 5, 77),
        (0.07, 100, 1, 7),
        (0.29, 100, 1, 29),
    ],
)
def test_pilot_size(rule, n, d, rows):
    assert PilotSize(rule, d).rows(n) == rows


def test_a_row_let_go_too_early_is_never_silent():
    # A rule that believes in more rows than come holds too few.
    size = PilotSize(100, 1, 1_000_000)
    sample = sample_rows(Rows(ROWS, ROWS[:, 0]), size, 0)
    with pytest.raises(RuntimeError, match="fit again with another random_state"):
        sample.drawn()


def test_a_sample_s_pickle_does_not_hold_the_block():
    rows = Rows(np.zeros((100_000, 1)), np.zeros(100_000))
    sample = sample_rows(rows, PilotSize(10, 1, 100_000), 0)
    assert sample.x.base is None or sample.x.base.size < 1000
