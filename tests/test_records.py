"""Findings merge and win; records add part by part."""

import numpy as np
from support import text_of

from dask_onestep.kernels.records import Findings, LogLikelihoods, Moments, add


def test_findings_merge_and_win_over_sums():
    left = Findings((("a", 2, "cure"), ("b", 1, "")), (3,))
    right = Findings((("a", 5, "cure"),), (1,))
    both = left + right
    assert both.counts == (("a", 7, "cure"), ("b", 1, ""))
    assert both.blocks == (1, 3)
    sums = Moments(1, 1.0, 0.0, np.zeros(1), np.zeros((1, 1)))
    for total in (add(sums, left), add(left, sums), left + sums):
        assert total is left
    assert add(sums, sums).n == 2
    assert text_of(both) == "a (7 rows); b (1 row). In blocks 1, 3. cure"


def test_findings_name_five_blocks_at_the_most():
    many = Findings((("a", 1, ""),), (0,))
    for number in range(1, 9):
        many = many + Findings((("a", 1, ""),), (number,))
    assert text_of(many).strip() == "a (9 rows). In blocks 0, 1, 2, 3, 4, …."


def test_records_without_a_part_add():
    record = LogLikelihoods(2, np.ones(3), np.zeros(3))
    total = record + record
    assert total.n == 4
    np.testing.assert_array_equal(total.loglik, 2)
    assert not LogLikelihoods(2, np.array([np.nan]), np.zeros(1)).is_finite()
