"""A core of the tests once more, with Dask's other implementation of arrays, array.query-planning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = (
    "(test_graph and synchronous)"
    " or (test_one_step and (test_any_chunking or one_frame or one_array or unknown_chunk) and not distributed)"
    " or (test_predicting and predictions_on) or (test_reading and all_kinds)"
    " or (test_errors and unequal_chunks) or (test_fit_delayed and computes_nothing)"
    " or (test_mle and raw_columns)"
    " or (test_average and (local_fits or without_rows))"
    " or (test_surrogate and (of_the_first_block or of_the_pilot or dropped_rows))"
    " or (test_debiased_lasso and (tiny_blocks or pooled_rows))"
    " or (test_multinomial and (probabilities or mnlogit))"
    " or (test_frames and (coded_by_hand or keep_the_index or complete_cases or placed))"
)
FILES = [
    *("test_graph.py", "test_one_step.py", "test_mle.py", "test_average.py"),
    *("test_predicting.py", "test_reading.py", "test_errors.py", "test_fit_delayed.py"),
    *("test_surrogate.py", "test_debiased_lasso.py", "test_multinomial.py", "test_frames.py"),
]


@pytest.mark.timeout(1200)
def test_a_core_under_query_planning():
    environment = os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True"}
    # The option is honoured: these are the other arrays.
    check = "import dask.array as da, sys; sys.exit('expr' not in type(da.ones(3)).__module__)"
    assert subprocess.run([sys.executable, "-c", check], env=environment, check=False).returncode == 0
    options = ["-q", "-p", "no:cacheprovider", "-k", CORE]
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{name}" for name in FILES)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
