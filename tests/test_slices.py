"""A slice's algebra equals NumPy's on the whole design, row by row."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from support import model_of

from dask_onestep.kernels.compiled.slices import CompiledSlice, CompiledSplitSlice
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, split_sparse
from dask_onestep.kernels.matrices.algebra import DenseSlice, SplitSlice
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.rows import slices as slicing
from dask_onestep.kernels.rows.slices import dense_slices, slices

N, P = 20_000, 7  # several slices
D = P + 1


PRODUCTS = [1, 2, 4], [5, 6]


def draw():
    rng = np.random.default_rng(5)
    x = np.where(rng.random((N, P)) < 0.05, rng.normal(size=(N, P)), 0.0)
    x[:, 0], x[:, 3] = rng.normal(size=N), 1.0
    for product in PRODUCTS:  # a row has a number in one of its columns at most
        for first, column in enumerate(product):
            x[:, column] *= (x[:, product[:first]] == 0).all(axis=1)
    return Rows(
        x,
        rng.normal(size=N),
        weights=np.where(rng.random(N) < 0.1, 0.0, rng.random(N)),
        offset=rng.normal(size=N),
    )


def stored(x, form):
    """Return the same covariates in another form; "split" keeps the two full columns dense."""
    form = form.removeprefix("compiled ")
    if form == "dense":
        return x
    whole = sparse.csr_array(x)
    if form == "sparse":
        return split_sparse(whole)
    columns = SparseColumns(whole[:, np.concatenate(PRODUCTS)])
    if form == "coded":
        codes = [np.where((part := x[:, at] != 0).any(axis=1), part.argmax(axis=1), len(at)) for at in PRODUCTS]
        values = tuple(x[:, at].sum(axis=1) for at in PRODUCTS)
        columns = CodedColumns(tuple(each.astype(np.int32) for each in codes), tuple(map(len, PRODUCTS)), values)
    return SplitMatrix(x[:, [0, 3]], columns, np.array([0, 3]), np.concatenate(PRODUCTS))


FORMS = [f"{how}{form}" for how in ("", "compiled ") for form in ("dense", "split", "sparse", "coded")]
KINDS = {False: (DenseSlice, SplitSlice), True: (CompiledSlice, CompiledSplitSlice)}


@pytest.fixture(params=FORMS)
def case(request, monkeypatch):
    kinds = KINDS[request.param.startswith("compiled")]
    monkeypatch.setattr(slicing, "_kinds", lambda: kinds)
    monkeypatch.setattr(DenseSlice, "size", 2**19)
    monkeypatch.setattr(kinds[1], "max_density", 0.5)
    rows, model = draw(), model_of(columns=P)
    parts = list_of(replace(rows, x=stored(rows.x, request.param)), model)
    return np.column_stack([np.ones(N), rows.x]), rows, parts


def list_of(rows, model):
    """Return what each slice gives; slices share buffers, so each is asked as it comes."""

    def ask(question):
        return [question(part) for part in slices(rows, model)]

    return ask


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11)


def test_there_are_several_slices(case):
    assert len(case[2](len_of)) > 1


def len_of(part):
    return len(part.y)


@pytest.mark.parametrize("shape", [D, (D, 3)])
def test_linear_predictors_of_one_and_of_several_coefficients(case, shape):
    design, rows, ask = case
    coef = np.random.default_rng(0).normal(size=shape)
    close(np.concatenate(ask(lambda part: part.times(coef))), design @ coef)
    eta = np.concatenate(ask(lambda part: part.linear_predictor(coef)))
    close(eta.T, (design @ coef).T + rows.offset)


@pytest.mark.parametrize("shape", [N, (N, 3)])
def test_weighted_sums(case, shape):
    design, rows, ask = case
    values = np.random.default_rng(1).normal(size=shape)
    close(sum(ask(lambda part: part.weighted_sum(values[part.rows]))), design.T @ values)
    close(sum(ask(lambda part: part.weighted_squares(part.weights))), rows.weights @ design**2)


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_gram_matrices_with_weights_of_any_sign(case, sign):
    design, _, ask = case
    weights = np.random.default_rng(2).normal(size=N)
    weights = sign * np.abs(weights) if sign else weights
    close(sum(ask(lambda part: part.gram(weights[part.rows]))), design.T @ (weights[:, None] * design))
    close(sum(ask(lambda part: part.gram())), design.T @ design)


def test_sums_and_gram_matrices_together(case):
    design, _, ask = case
    values, weights = np.random.default_rng(8).normal(size=(2, N))
    pairs = ask(lambda part: part.weighted_sum_and_gram(values[part.rows], weights[part.rows]))
    close(sum(pair[0] for pair in pairs), design.T @ values)
    close(sum(pair[1] for pair in pairs), design.T @ (weights[:, None] * design))


def test_gram_matrices_of_several_linear_predictors(case):
    design, _, ask = case
    weights = np.random.default_rng(3).normal(size=(N, 2, 2))
    weights += np.swapaxes(weights, 1, 2)
    close(
        sum(ask(lambda part: part.gram(weights[part.rows]))),
        np.einsum("nab,ni,nj->aibj", weights, design, design).reshape(2 * D, 2 * D),
    )


@pytest.mark.parametrize("shape", [N, (N, 2)])
def test_sums_of_groups(case, shape):
    design, _, ask = case
    rng = np.random.default_rng(4)
    codes, values = rng.integers(0, 5, N), rng.normal(size=shape)
    sums = sum(ask(lambda part: part.group_sums(values[part.rows], codes[part.rows], 5)))
    columns = np.atleast_2d(values.T)
    wanted = [np.concatenate([column[codes == g] @ design[codes == g] for column in columns]) for g in range(5)]
    close(sums, np.array(wanted))


def test_rows_one_by_one(case):
    design, rows, ask = case
    matrix = np.cov(np.random.default_rng(7).normal(size=(D, 50)))
    close(np.concatenate(ask(lambda part: part.quadratic_forms(matrix))), ((design @ matrix) * design).sum(axis=1))
    close(np.max(ask(lambda part: part.greatest()), axis=0), np.abs(design[rows.weights > 0]).max(axis=0))


def test_asking_changes_nothing(case):
    _, rows, ask = case

    def twice(part):
        first = part.gram(rows.weights[part.rows])
        part.weighted_squares(rows.weights[part.rows])
        return np.array_equal(part.gram(rows.weights[part.rows]), first)

    assert all(ask(twice))


@pytest.mark.parametrize("form", ["dense", "split", "coded"])
def test_dense_slices_whatever_the_form(form):
    rows, model = draw(), model_of(columns=P)
    factors = np.random.default_rng(6).normal(size=N)
    parts = dense_slices(replace(rows, x=stored(rows.x, form)), model)
    scaled = np.concatenate([part.scaled(factors[part.rows]).copy() for part in parts])
    close(scaled, np.column_stack([np.ones(N), rows.x]) * factors[:, None])


@pytest.mark.parametrize(("compiled", "of_some"), [(False, True), (True, False)])
def test_sparse_columns_that_are_full_are_taken_as_dense(compiled, of_some, monkeypatch):
    monkeypatch.setattr(slicing, "_kinds", lambda: KINDS[compiled])
    rows, model = draw(), model_of(columns=P)
    kinds = {}
    for density in (0.05, 0.15, 0.5):
        x = np.where(np.random.default_rng(8).random((N, P)) < density, 1.0, 0.0)
        kinds[density] = {isinstance(part, DenseSlice) for part in slices(replace(rows, x=stored(x, "sparse")), model)}
    assert kinds == {0.05: {False}, 0.15: {of_some}, 0.5: {True}}


def test_slices_without_rows_of_positive_weight():
    rows, model = draw(), model_of(columns=P)
    rows = replace(rows, x=stored(rows.x, "split"), weights=np.zeros(N))
    for part in slices(rows, model):
        np.testing.assert_array_equal(part.greatest(), np.zeros(D))
