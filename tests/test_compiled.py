"""The compiled sums against NumPy's, which are the reference, for any rows."""

import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from support import model_of

from dask_onestep.families import Poisson
from dask_onestep.kernels.compiled.slices import CompiledSlice, CompiledSplitSlice
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.likelihood.sums import moments, moments_and_states, row_states, scores
from dask_onestep.kernels.matrices.algebra import DenseSlice, SplitSlice
from dask_onestep.kernels.matrices.columns import CodedColumns, SparseColumns
from dask_onestep.kernels.rows import slices as slicing

FIELDS = ("loglik", "score", "information", "pearson", "pearson_gradient")


NUMPY, COMPILED = (DenseSlice, SplitSlice), (CompiledSlice, CompiledSplitSlice)


def sums_by(kinds, rows, model, coef, kernel=moments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slicing, "_kinds", lambda: kinds)
        patch.setattr(kinds[1], "max_density", 1.0)  # what is sparse stays so
        return kernel(rows, model, coef)


def drawn(seed, shape, dtype, layout):
    x = np.random.default_rng(seed).integers(-8, 9, shape) / 8
    x = np.asarray(x * 8 if np.dtype(dtype).kind in "iu" else x, dtype=dtype)
    stored = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "columns of more": lambda a: np.column_stack([a, a])[:, : shape[1]],
        "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
        "backwards": lambda a: a[::-1].copy()[::-1],
    }
    x = stored[layout](x)
    x.flags.writeable = False  # as blocks from the wire are
    return x


# Rows around one tile of 48, and columns up to more than two groups of three panels of four.
@settings(max_examples=150, deadline=None)
@given(
    rows=st.sampled_from([0, 1, 7, 8, 47, 48, 49, 96, 300]),
    columns=st.integers(1, 30),
    dtype=st.sampled_from(["float64", "float32", "int8"]),
    layout=st.sampled_from(["C", "F", "columns of more", "every other row", "backwards"]),
    family=st.sampled_from(["binomial", "poisson", "gaussian", "gamma", "negative-binomial"]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    offset=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_sums_are_those_of_the_reference(rows, columns, dtype, layout, family, intercept, weighted, offset, seed):
    rng = np.random.default_rng(seed)
    part = Rows(
        drawn(seed, (rows, columns), dtype, layout),
        rng.integers(0, 2, rows) + 1.0 * (family == "gamma"),
        rng.integers(0, 3, rows) / 2 if weighted else None,
        rng.uniform(-0.1, 0.1, rows) if offset else None,
    )
    model = model_of(family, "log" if family == "gamma" else None, columns=columns, fit_intercept=intercept)
    assert_sums_agree(part, model, rng.uniform(-0.2, 0.2, len(model.names)))


def assert_sums_agree(part, model, coef):
    reference, compiled = (sums_by(kind, part, model, coef) for kind in (NUMPY, COMPILED))
    assert (compiled.n, compiled.weight) == (reference.n, reference.weight)
    for name in FIELDS:
        if (wanted := getattr(reference, name)) is None:
            assert getattr(compiled, name) is None
        else:
            np.testing.assert_allclose(getattr(compiled, name), wanted, rtol=1e-11, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(compiled.information, compiled.information.T)
    alone = sums_by(COMPILED, part, model, coef, scores)
    np.testing.assert_allclose(alone.score, reference.score, rtol=1e-11, atol=1e-9)
    assert_states_agree(part, model, coef)


def assert_states_agree(part, model, coef):
    for kinds in (NUMPY, COMPILED):
        _, found = sums_by(kinds, part, model, coef, moments_and_states)
        assert (found is None) == (not model.natural)
        for one, other in zip(found or (), sums_by(kinds, part, model, coef, row_states), strict=False):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def split_of(x, dense, index=np.int32):
    """Return a matrix whose columns of these numbers are dense and whose others are sparse."""
    among = np.isin(np.arange(x.shape[1]), dense)
    held = sparse.csr_array(x[:, ~among])
    held = sparse.csr_array((held.data, held.indices.astype(index), held.indptr.astype(index)), shape=held.shape)
    for part in (held.data, held.indices, held.indptr):
        part.flags.writeable = False
    return SplitMatrix(x[:, among], SparseColumns(held), np.flatnonzero(among), np.flatnonzero(~among))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.sampled_from([0, 1, 129, 300]),
    columns=st.integers(1, 12),
    dense=st.sets(st.integers(0, 11)),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    index=st.sampled_from([np.int32, np.int64]),
    family=st.sampled_from(["binomial", "gaussian", "negative-binomial"]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_sparse_sums_are_those_of_the_reference(
    rows, columns, dense, density, index, family, intercept, weighted, seed
):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((rows, columns)) < density, rng.normal(size=(rows, columns)), 0.0)
    weights = rng.integers(0, 3, rows) / 2 if weighted else None
    part = Rows(split_of(x, sorted(dense), index), rng.integers(0, 2, rows).astype(float), weights)
    model = model_of(family, columns=columns, fit_intercept=intercept)
    assert_sums_agree(part, model, rng.uniform(-0.2, 0.2, len(model.names)))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.sampled_from([0, 1, 129, 300]),
    widths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    dense=st.integers(0, 3),
    numbers=st.booleans(),
    shared=st.booleans(),
    family=st.sampled_from(["binomial", "gaussian", "negative-binomial"]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_coded_sums_are_those_of_the_reference_and_of_the_array(
    rows, widths, dense, numbers, shared, family, weighted, seed
):
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, width + 1, rows).astype(np.int32) for width in widths]
    if shared:
        codes, widths = [*codes, codes[0]], [*widths, widths[0]]
    values = tuple(rng.normal(size=rows) if numbers and number % 2 else None for number in range(len(codes)))
    places = rng.permutation(dense + sum(widths))
    columns = CodedColumns(tuple(codes), tuple(widths), values)
    x = SplitMatrix(rng.normal(size=(rows, dense)), columns, np.sort(places[:dense]), np.sort(places[dense:]))
    if not x.shape[1]:
        return
    weights = rng.integers(0, 3, rows) / 2 if weighted else None
    y, model = rng.integers(0, 2, rows).astype(float), model_of(family, columns=x.shape[1])
    coef = rng.uniform(-0.2, 0.2, len(model.names))
    assert_sums_agree(Rows(x, y, weights), model, coef)
    coded, array = (sums_by(COMPILED, Rows(each, y, weights), model, coef) for each in (x, x.toarray()))
    np.testing.assert_allclose(coded.information, array.information, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(coded.score, array.score, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("column", [0, 3])
def test_what_is_not_finite_reaches_the_sparse_sums(value, weight, column):
    x = np.eye(5)[np.arange(300) % 5]
    x[130, column] = value
    weights = np.ones(300)
    weights[130] = weight
    rows, model = Rows(split_of(x, [0]), np.zeros(300), weights), model_of(columns=5)
    for kind in (NUMPY, COMPILED):
        assert not sums_by(kind, rows, model, np.full(6, 0.1)).is_finite()


def test_repeated_sparse_sums_have_the_same_bits():
    rng = np.random.default_rng(3)
    x = np.where(rng.random((3000, 40)) < 0.1, rng.normal(size=(3000, 40)), 0.0)
    y, model = rng.integers(0, 2, 3000).astype(float), model_of("binomial", columns=40)
    first, again = (
        sums_by(COMPILED, Rows(split_of(x, [0, 7], index), y), model, np.full(41, 0.1))
        for index in (np.int32, np.int64)  # which of them depends on who made the block
    )
    np.testing.assert_array_equal(again.information, first.information)
    np.testing.assert_array_equal(again.score, first.score)


@pytest.mark.parametrize("at", [0, 130, 299])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_what_is_not_finite_reaches_the_sums(at, value, weight, family):
    # Kernels that check themselves look at only the sums, also for rows of weight zero.
    x = np.random.default_rng(0).normal(size=(300, 5))
    x[at, 3] = value
    weights = np.ones(300)
    weights[at] = weight
    model = model_of(family, columns=5)
    for kind in (NUMPY, COMPILED):
        assert not sums_by(kind, Rows(x, np.zeros(300), weights), model, np.full(6, 0.1)).is_finite()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("family", ["binomial", "poisson", "gaussian"])
def test_far_tails_have_all_their_digits(family, weighted):
    eta = np.linspace(-700.0, 700.0, 1401)
    y = np.resize([0.0, 1.0, 0.25], len(eta)) if family == "binomial" else np.arange(len(eta)) % 5.0
    model = model_of(family, columns=1)
    for row in range(len(eta)):  # a sum would hide small ones behind large ones
        rows = Rows(eta[row : row + 1, None], y[row : row + 1], np.full(1, 0.5) if weighted else None)
        reference, compiled = (sums_by(kind, rows, model, np.array([0.0, 1.0])) for kind in (NUMPY, COMPILED))
        for name in ("loglik", "score", "information"):
            np.testing.assert_allclose(getattr(compiled, name), getattr(reference, name), rtol=1e-13, err_msg=name)


def test_natural_links_of_these_families_have_a_loop_of_their_own():
    rows = Rows(np.ones((3, 1)), np.ones(3))
    for family, there in (("binomial", True), ("poisson", True), ("gaussian", True), ("gamma", False)):
        model = model_of(family, columns=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slicing, "_kinds", lambda: COMPILED)
            (found,) = (part.natural_sums(model.family, np.zeros(2)) for part in slicing.slices(rows, model))
        assert (found is not None) is there


def test_a_family_of_ones_own_is_not_taken_for_another_of_its_name():
    @dataclass(frozen=True)
    class HalfAsLikely(Poisson):
        def variance(self, mean):
            return 2.0 * mean

    rows = Rows(np.ones((3, 1)), np.ones(3))
    model = model_of("poisson", columns=1)
    model = replace(model, likelihood=replace(model.likelihood, family=HalfAsLikely()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slicing, "_kinds", lambda: COMPILED)
        (found,) = (part.natural_sums(model.family, np.zeros(2)) for part in slicing.slices(rows, model))
    assert found is None


def test_designs_wider_than_a_tile_go_to_blas():
    rng = np.random.default_rng(1)
    rows, model = Rows(rng.normal(size=(40, 501)), rng.normal(size=40)), model_of(columns=501)
    coef = rng.normal(size=502) / 50
    wide, reference = (sums_by(kind, rows, model, coef) for kind in (COMPILED, NUMPY))
    np.testing.assert_array_equal(wide.information, reference.information)


def test_repeated_sums_have_the_same_bits():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3000, 11)), rng.integers(0, 2, 3000).astype(float)
    model = model_of("binomial", columns=11)
    first = sums_by(COMPILED, Rows(x, y), model, np.full(12, 0.1))
    # Another address and another layout of the same numbers.
    again = sums_by(COMPILED, Rows(np.pad(x, ((1, 0), (3, 0)))[1:, 3:], y), model, np.full(12, 0.1))
    np.testing.assert_array_equal(again.information, first.information)


KIND = "from dask_onestep.kernels.rows.slices import _kinds; print(*(kind.__name__ for kind in _kinds()))"
WITHOUT = "import importlib.util as u; find = u.find_spec; u.find_spec = lambda n: None if n == 'numba' else find(n); "


@pytest.mark.parametrize(
    ("code", "switch", "kind"),
    [
        (KIND, "0", "CompiledSlice CompiledSplitSlice"),
        (KIND, "1", "DenseSlice SplitSlice"),
        (WITHOUT + KIND, "0", "DenseSlice SplitSlice"),
    ],
)
def test_compiled_sums_need_numba_and_its_compiler(code, switch, kind, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", switch)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == kind
