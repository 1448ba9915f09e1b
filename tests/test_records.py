"""Findings merge and win; records add part by part."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from support import model_of, text_of

from dask_onestep.kernels.designs.parts import Block
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.records import Findings, Joining, LogLikelihoods, Moments, add, add_pairwise
from dask_onestep.kernels.rows.block import run_kernel


def test_findings_merge_and_win_over_sums():
    left = Findings((("a", 2, "remedy"), ("b", 1, "")), (3,))
    right = Findings((("a", 5, "remedy"),), (1,))
    both = left + right
    assert both.counts == (("a", 7, "remedy"), ("b", 1, ""))
    assert both.blocks == (1, 3)
    sums = Moments(1, 1.0, 0.0, np.zeros(1), np.zeros((1, 1)))
    for total in (add(sums, left), add(left, sums), left + sums):
        assert total is left
    assert add(sums, sums).n == 2
    assert text_of(both) == "a (7 rows); b (1 row). In blocks 1, 3. remedy"


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


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
def test_pairs_add_each_record_once(count):
    numbers = np.random.default_rng(count).integers(0, 1000, count)
    assert add_pairwise(numbers.tolist()) == numbers.sum()
    parts = [LogLikelihoods(int(n), np.array([float(n)]), np.zeros(1)) for n in numbers]
    assert add_pairwise(parts).n == numbers.sum()


def test_pairs_do_not_lose_what_a_running_sum_does():
    values = [1e6 + 0.1] * 100_000
    right = math.fsum(values)
    # NumPy's cumulative sum is a running one; Python's sum compensates from 3.12 on.
    assert abs(np.cumsum(values)[-1] / right - 1) > 1e-13
    assert abs(add_pairwise(values) / right - 1) < 4 * np.finfo(float).eps


def test_findings_win_in_pairs_too():
    finding = Findings((("x is missing", 1, ""),), (2,))
    sums = LogLikelihoods(1, np.zeros(1), np.zeros(1))
    assert add_pairwise([sums, sums, finding, sums, finding]).counts == (("x is missing", 2, ""),)


def test_a_large_block_is_added_in_pairs(monkeypatch):
    monkeypatch.setattr("dask_onestep.kernels.designs.parts.ARRAY_BYTES", 8 * 4)
    rng = np.random.default_rng(0)
    block = Block(rng.normal(size=(6000, 1)), np.full(6000, 1e6 + 0.1))
    found = run_kernel(block, moments, model_of(columns=1), None, (np.zeros(2),))
    eps = np.finfo(float).eps
    np.testing.assert_allclose(found.score[0], math.fsum(block.y), rtol=4 * eps)
    np.testing.assert_allclose(found.pearson, math.fsum(y * y for y in block.y), rtol=8 * eps)
    size = math.fsum(np.abs(block.x[:, 0] * block.y))
    assert abs(found.score[1] - math.fsum(block.x[:, 0] * block.y)) < 16 * eps * size
    assert found.n == 6000


def test_a_symmetric_information_is_pickled_as_a_triangle_and_any_comes_back_with_the_same_bits():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(40, 40))
    sizes = []
    for information in (half + half.T, half, np.full((40, 40), np.nan)):
        sums = Moments(40, 40.0, -1.5, half[0], information, response=np.array([1.0, 2.0]), observed=2 * information)
        data = pickle.dumps(sums)
        again = pickle.loads(data)
        sizes.append(len(data))
        for field in dataclasses.fields(Moments):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(sums, field.name))
    assert sizes[0] < 0.55 * sizes[1] <= sizes[2]


class Counted(Joining):
    def __init__(self, numbers, joins):
        self.numbers, self.joins = numbers, joins

    def join(self, *others):
        self.joins.append(1 + len(others))
        return Counted([number for each in (self, *others) for number in each.numbers], self.joins)


def test_samples_are_joined_in_order_and_sixteen_at_once():
    joins = []
    total = add_pairwise(Counted([number], joins) for number in range(40))
    assert total.numbers == list(range(40))
    assert joins == [16, 16, 8, 2, 2]
