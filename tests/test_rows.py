"""Labels as codes, and fixed coefficients in the offset."""

import numpy as np
import pandas as pd
import pytest
from support import model_of, text_of

from dask_onestep.kernels.designs.parts import Block, Rows, rows_where
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.pilots.candidates import row_numbers
from dask_onestep.kernels.rows.rows import encode, hold

X = np.arange(8.0).reshape(4, 2)
Y = np.array([1.0, 2.0, 3.0, 4.0])


def test_labels_become_zero_and_one():
    labels = np.array(["no", "yes", "no", "yes"])
    rows = encode(Rows(X, labels), np.array(["no", "yes"]))
    np.testing.assert_array_equal(rows.y, [0, 1, 0, 1])
    assert rows.y.dtype == np.float64
    plain = Rows(X, Y)
    assert encode(plain, None) is plain
    said = text_of(encode(Rows(X, np.array(["no", "yes", "maybe", "yes"]), number=4), np.array(["no", "yes"])))
    assert "y has labels that are not among the classes" in said
    assert "'maybe'" in said
    assert "(1 row). In block 4." in said


def test_labels_that_are_their_own_codes_are_aligned():
    held = np.zeros(8 * 4 + 1, np.uint8)
    labels = held[1:].view(np.float64)
    labels[:] = [0, 1, 1, 0]
    assert not labels.flags.aligned
    rows = encode(Rows(X, labels), np.array([0, 1]))
    assert rows.y.flags.aligned
    model = model_of("binomial", columns=2, classify=True)
    assert moments(rows, model, np.zeros(3)).loglik == moments(Rows(X, labels.copy()), model, np.zeros(3)).loglik


def test_fixed_coefficients_move_into_the_offset():
    model = model_of(columns=2, fixed=(("intercept", 2.0), ("x1", -1.0)))
    assert model.names == ("x0",)
    assert not model.has_intercept
    rows = hold(Rows(X, Y, offset=np.ones(4)), model)
    np.testing.assert_array_equal(rows.x, X[:, :1])
    np.testing.assert_array_equal(rows.offset, 1 + 2 - X[:, 1])
    free = np.array([0.7])
    whole = moments(Rows(X, Y, offset=np.ones(4)), model_of(), np.array([2.0, 0.7, -1.0]))
    restricted = moments(rows, model, free)
    np.testing.assert_allclose(restricted.loglik, whole.loglik, rtol=1e-13)
    np.testing.assert_allclose(restricted.score, whole.score[[1]], rtol=1e-13)
    np.testing.assert_allclose(restricted.information, whole.information[1:2, 1:2], rtol=1e-13)


@pytest.mark.parametrize("start", [None, 1000])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_pieces_of_a_block_know_the_numbers_of_their_rows(monkeypatch, kind, start):
    for name in ("ARRAY_BYTES", "MATRIX_BYTES"):
        monkeypatch.setattr(f"dask_onestep.kernels.designs.parts.{name}", 8 * 2 * 10)
    x = np.arange(70.0).reshape(35, 2)
    block = Block(kind(x), x[:, 0], number=3, start=start, first=5)
    found = list(block.pieces(model_of()))
    assert [len(piece.x) for piece in found] == [10, 10, 10, 5]
    for piece in found:
        rows = Rows(np.asarray(piece.x), piece.y, number=piece.number, start=piece.start, first=piece.first)
        numbers = row_numbers(rows, np.arange(len(rows)))
        expected = piece.y / 2 + (5 if start is None else start)
        np.testing.assert_array_equal(
            numbers, np.column_stack([np.full(len(rows), 3 if start is None else 0), expected])
        )


@pytest.mark.parametrize("share", [0.0, 0.02, 0.97, 1.0])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_rows_are_found_by_a_mask(rows, share):
    mask = np.random.default_rng(0).random(rows) < share
    np.testing.assert_array_equal(rows_where(mask), np.flatnonzero(mask))
    np.testing.assert_array_equal(rows_where(mask[::2]), np.flatnonzero(mask[::2]))
