"""Matrices of dense and of stored columns: rows, columns and counts as an array gives them."""

import numpy as np
import pytest
from scipy import sparse

from dask_onestep.kernels.designs.split_matrix import SplitMatrix, count_by_column, finite_rows, split_sparse, stack
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns

RNG = np.random.default_rng(0)
WHOLE = np.where(RNG.random((9, 5)) < 0.4, RNG.normal(size=(9, 5)), 0.0)
WHOLE[:, 1] = RNG.normal(size=9)


def split(whole, stored):
    """Return all but two columns as stored ones: column 0 is a product, 2 and 3 are another."""
    columns = SparseColumns(sparse.csr_array(whole[:, [0, 2, 3]]))
    if stored == "coded":
        first = np.where(whole[:, 0] != 0, 0, 1).astype(np.int32)
        second = np.where(whole[:, 2] != 0, 0, np.where(whole[:, 3] != 0, 1, 2)).astype(np.int32)
        columns = CodedColumns((first, second), (1, 2), (whole[:, 0], whole[:, 2] + whole[:, 3]))
    return SplitMatrix(whole[:, [1, 4]], columns, np.array([1, 4]), np.array([0, 2, 3]))


@pytest.fixture(params=["sparse", "coded"])
def case(request):
    whole = WHOLE.copy()
    if request.param == "coded":
        whole[:, 3] *= whole[:, 2] == 0
    return whole, split(whole, request.param), request.param


def test_it_is_the_matrix_it_was_made_of(case):
    whole, matrix, _ = case
    np.testing.assert_array_equal(matrix.toarray(), whole)
    assert (matrix.shape, matrix.ndim, matrix.dtype, len(matrix)) == ((9, 5), 2, np.float64, 9)
    assert matrix.stored.nnz == np.count_nonzero(whole[:, [0, 2, 3]])


@pytest.mark.parametrize("rows", [slice(2, 7), np.array([5, 1, 1]), WHOLE[:, 1] > 0, slice(0, 0)])
def test_rows_as_of_an_array(case, rows):
    np.testing.assert_array_equal(case[1][rows].toarray(), case[0][rows])


@pytest.mark.parametrize("columns", [[0, 3, 4], [1], [0], [3], slice(None, 0), slice(1, 4)])
def test_columns_as_of_an_array(case, columns):
    whole, matrix, _ = case
    np.testing.assert_array_equal(matrix[:, columns].toarray(), whole[:, columns])
    np.testing.assert_array_equal(matrix[2:5, columns].toarray(), whole[2:5, columns])


def test_one_column_is_an_array(case):
    for number in range(5):
        np.testing.assert_array_equal(case[1][:, number], case[0][:, number])


def test_stacking(case):
    whole, matrix, _ = case
    np.testing.assert_array_equal(stack([matrix[:4], matrix[4:]]).toarray(), whole)
    np.testing.assert_array_equal(stack([whole[:4], whole[4:]]), whole)


def test_rows_spread_over_missing_ones(case):
    complete = np.zeros(12, dtype=bool)
    complete[[0, 1, 3, 4, 6, 7, 8, 10, 11]] = True
    for matrix in (case[1], case[1][:, [0, 2, 3]]):
        spread = matrix.spread(complete)
        np.testing.assert_array_equal(spread.toarray()[complete], matrix.toarray())
        assert np.isnan(spread.toarray()[~complete]).any(axis=1).all()
        np.testing.assert_array_equal(finite_rows(spread), complete)
        joined = stack([spread, matrix.spread(np.ones(9, dtype=bool))])
        np.testing.assert_array_equal(joined.toarray()[12:], matrix.toarray())


def test_products_of_one_factor_share_their_codes():
    codes = np.array([0, 2, 1, 0], dtype=np.int32)
    columns = CodedColumns((codes, codes), (2, 2), (None, np.arange(4.0)))
    for part in (columns.rows(slice(1, 3)), columns.stacked([columns]), columns.columns(np.array([0, 1, 2, 3]))):
        assert part.codes[0] is part.codes[1]
    wanted = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 2], [1, 0, 3, 0]])
    np.testing.assert_array_equal(columns.toarray(), wanted)
    gram = np.zeros((4, 4))
    columns.write_gram(None, gram, np.arange(4))
    np.testing.assert_array_equal(gram, wanted.T @ wanted)


def test_missing_values_are_counted_where_they_are(case):
    holed = case[0].copy()
    holed[[1, 2], 0] = np.nan
    holed[3, 1] = np.inf
    matrix = split(holed, case[2])

    def missing(values):
        return ~np.isfinite(values)

    np.testing.assert_array_equal(count_by_column(matrix, missing), [2, 1, 0, 0, 0])
    np.testing.assert_array_equal(finite_rows(matrix), np.isfinite(holed).all(axis=1))


def test_sparse_arrays_of_any_format_and_dtype():
    twice = sparse.coo_array((np.ones(3, dtype=np.int8), ([0, 0, 1], [1, 1, 2])), shape=(2, 3))
    matrix = split_sparse(twice)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 2, 0], [0, 0, 1]])
    assert matrix.dtype == np.float64
    assert twice.nnz == 3  # the caller's is left unchanged
    assert (matrix.stored.pays(0.34), matrix.stored.pays(0.33)) == (True, False)
