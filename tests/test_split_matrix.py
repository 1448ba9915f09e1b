"""Matrices of dense and sparse columns: rows, columns and counts as an array gives them."""

import numpy as np
import pytest
from scipy import sparse

from dask_onestep.kernels.designs.split_matrix import SplitMatrix, count_by_column, finite_rows, split_sparse, stack

RNG = np.random.default_rng(0)
WHOLE = np.where(RNG.random((9, 5)) < 0.4, RNG.normal(size=(9, 5)), 0.0)
WHOLE[:, 1] = RNG.normal(size=9)
SPLIT = SplitMatrix(WHOLE[:, [1, 4]], sparse.csr_array(WHOLE[:, [0, 2, 3]]), np.array([1, 4]), np.array([0, 2, 3]))


def test_it_is_the_matrix_it_was_made_of():
    np.testing.assert_array_equal(SPLIT.toarray(), WHOLE)
    assert (SPLIT.shape, SPLIT.ndim, SPLIT.dtype, len(SPLIT)) == ((9, 5), 2, np.float64, 9)


@pytest.mark.parametrize("rows", [slice(2, 7), np.array([5, 1, 1]), WHOLE[:, 1] > 0, slice(0, 0)])
def test_rows_as_of_an_array(rows):
    np.testing.assert_array_equal(SPLIT[rows].toarray(), WHOLE[rows])


@pytest.mark.parametrize("columns", [[0, 3, 4], [1], slice(None, 0), slice(1, 4)])
def test_columns_as_of_an_array(columns):
    np.testing.assert_array_equal(SPLIT[:, columns].toarray(), WHOLE[:, columns])
    np.testing.assert_array_equal(SPLIT[2:5, columns].toarray(), WHOLE[2:5, columns])


def test_one_column_is_an_array():
    for number in range(5):
        np.testing.assert_array_equal(SPLIT[:, number], WHOLE[:, number])


def test_stacking():
    np.testing.assert_array_equal(stack([SPLIT[:4], SPLIT[4:]]).toarray(), WHOLE)
    np.testing.assert_array_equal(stack([WHOLE[:4], WHOLE[4:]]), WHOLE)


def test_rows_spread_over_gaps():
    complete = np.zeros(12, dtype=bool)
    complete[[0, 1, 3, 4, 6, 7, 8, 10, 11]] = True
    for matrix in (SPLIT, SPLIT[:, [0, 2, 3]]):
        spread = matrix.spread(complete).toarray()
        np.testing.assert_array_equal(spread[complete], matrix.toarray())
        assert np.isnan(spread[~complete]).any(axis=1).all()


def test_gaps_are_counted_where_they_are():
    holed = WHOLE.copy()
    holed[[1, 2], 0] = np.nan
    holed[3, 1] = np.inf
    split = SplitMatrix(holed[:, [1, 4]], sparse.csr_array(holed[:, [0, 2, 3]]), SPLIT.dense_at, SPLIT.sparse_at)

    def gap(values):
        return ~np.isfinite(values)

    np.testing.assert_array_equal(count_by_column(split, gap), [2, 1, 0, 0, 0])
    np.testing.assert_array_equal(finite_rows(split), np.isfinite(holed).all(axis=1))


def test_sparse_arrays_of_any_format_and_dtype():
    twice = sparse.coo_array((np.ones(3, dtype=np.int8), ([0, 0, 1], [1, 1, 2])), shape=(2, 3))
    split = split_sparse(twice)
    np.testing.assert_array_equal(split.toarray(), [[0, 2, 0], [0, 0, 1]])
    assert split.dtype == np.float64
    assert twice.nnz == 3  # the caller's is left as it was
    assert split.density == pytest.approx(2 / 6)
