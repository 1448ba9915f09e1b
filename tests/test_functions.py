import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from lasso_reference import nodewise_row, sparse_data, with_constant
from scipy.special import expit
from statsmodels.api import GLM, families
from support import Loads, raise_if_dask_computes

import dask_onestep
from dask_onestep import (
    OneStep,
    approximate_inverse_covariance,
    moments,
    nodewise_lasso,
    pilot_sample,
    weighted_design,
)
from dask_onestep.kernels.lassos.nodewise import nodewise_rows


@pytest.fixture
def binary():
    x, y, _ = sparse_data(200, 3, "binomial")
    return x, y, da.from_array(x, chunks=(70, 3)), da.from_array(y, chunks=70)


@pytest.mark.parametrize("intercept", [0, 1])
def test_moments_are_those_of_statsmodels(binary, intercept):
    x, y, X, Y = binary
    coef = np.linspace(-0.3, 0.5, 3 + intercept)
    design = with_constant(x) if intercept else x
    weights, offset = np.linspace(0.5, 2, 200), np.linspace(-1, 1, 200)
    reference = GLM(y, design, families.Binomial(), var_weights=weights, offset=offset)
    lazy = moments(X, Y, coef, family="binomial", sample_weight=weights, offset=offset)
    sums = lazy.compute()
    np.testing.assert_allclose(sums.score, reference.score(coef, scale=1.0), rtol=1e-8)
    np.testing.assert_allclose(sums.information, -reference.hessian(coef, scale=1.0), rtol=1e-8)
    with pytest.raises(ValueError, match=r"\(3,\), or \(4,\) with an intercept"):
        moments(X, Y, np.zeros(2))


def test_moments_of_frames_and_arrays_agree(binary):
    x, y, X, Y = binary
    frame = pd.DataFrame(x, columns=list("abc")).assign(y=y)
    expected = moments(X, Y, np.zeros(4), family="binomial").compute()
    for given in (dd.from_pandas(frame, npartitions=3), frame):
        found = moments(given, "y", np.zeros(4), family="binomial").compute()
        np.testing.assert_allclose(found.score, expected.score)


@pytest.mark.filterwarnings("ignore:A pilot of 40 rows is small")
def test_pilot_sample_is_that_of_one_step_for_any_chunking(binary):
    x, _, X, _ = binary
    y = np.arange(200) / 128
    sampled_x, sampled_y = pilot_sample(X, da.from_array(y, chunks=70), 40, random_state=5).compute()
    np.testing.assert_array_equal(sampled_x, x[(sampled_y * 128).astype(int)])
    assert len(np.unique(sampled_y)) == 40
    other = pilot_sample(X.rechunk((31, 3)), da.from_array(y, chunks=31), 40, random_state=5).compute()
    np.testing.assert_array_equal(other[1], sampled_y)
    assert not np.array_equal(pilot_sample(x, y, 40, random_state=6).compute()[1], sampled_y)
    # OneStep's pilot of the same seed: its MLE is that of these rows.
    glm = dask_onestep.GLMRegressor(method=OneStep(pilot_size=40, random_state=5)).fit(x, y)
    expected = np.linalg.lstsq(with_constant(sampled_x), sampled_y, rcond=None)[0]
    np.testing.assert_allclose(glm.estimate_.pilot_coef, expected, rtol=1e-8)


def test_pilot_sample_takes_labels_and_shares(binary):
    _, y, X, _ = binary
    labels = da.from_array(np.where(y == 1, "yes", "no"), chunks=70)
    sampled = pilot_sample(X, labels, 0.1).compute()
    assert len(sampled[1]) == 20
    assert set(sampled[1]) <= {"yes", "no"}
    with pytest.raises(ValueError, match="pilot_size"):
        pilot_sample(X, labels, 0)


@pytest.mark.parametrize("intercept", [0, 1])
def test_weighted_designs_gram_matrix_is_the_information(binary, intercept):
    x, _, X, Y = binary
    coef, offset = np.linspace(-0.3, 0.5, 3 + intercept), np.linspace(-1, 1, 200)
    design = weighted_design(X, coef, family="binomial", offset=offset)
    assert design.shape == (200, 3 + intercept)
    assert design.chunks[0] == X.chunks[0]
    plain = with_constant(x) if intercept else x
    eta = plain @ coef + offset
    np.testing.assert_allclose(design.compute(), np.sqrt(expit(eta) * expit(-eta))[:, None] * plain, rtol=1e-12)
    sums = moments(X, Y, coef, family="binomial", offset=offset).compute()
    np.testing.assert_allclose((design.T @ design).compute(), sums.information, rtol=1e-10)


def test_weighted_design_of_a_frame_keeps_its_names(binary):
    x, *_ = binary
    frame = dd.from_pandas(pd.DataFrame(x, columns=list("abc")), npartitions=2)
    design = weighted_design(frame, np.zeros(4), family="binomial").compute()
    assert list(design.columns) == ["intercept", "a", "b", "c"]
    np.testing.assert_allclose(design["b"], 0.5 * x[:, 1])


def test_nodewise_lasso_and_its_inverse_are_those_of_the_formulas(binary):
    x, _, X, _ = binary
    alpha, weights = np.array([0.05, 0.0, 0.1]), np.linspace(0.1, 1, 200)
    weighted = np.sqrt(weights)[:, None] * x
    expected = np.array([nodewise_row(weighted, j, alpha) for j in range(3)])
    nodewise = nodewise_lasso(X, alpha, weights=weights)
    np.testing.assert_allclose(approximate_inverse_covariance(nodewise).compute(), expected, atol=1e-7)
    np.testing.assert_allclose(approximate_inverse_covariance(nodewise.compute()), expected, atol=1e-7)
    np.testing.assert_allclose(1 / nodewise.compute().weights, np.diag(expected), rtol=1e-7)
    chained = nodewise_lasso(X * np.sqrt(weights)[:, None], alpha).compute()
    np.testing.assert_allclose(chained.rows, nodewise.compute().rows, atol=1e-9)
    with pytest.raises(ValueError, match="alpha"):
        nodewise_lasso(X, [-0.1, 0.1, 0.1])


@pytest.mark.parametrize("alpha", ["auto", "x", [0.1, "a"], None, [0.1], -1.0, np.nan])
def test_penalties_that_are_none_are_refused(binary, alpha):
    X = binary[2]
    with pytest.raises(ValueError, match="must be a number ≥ 0, or one for each of the"):
        nodewise_lasso(X, alpha)
    if isinstance(alpha, str) and alpha == "auto":
        with pytest.raises(ValueError, match="option of DebiasedLasso"):
            nodewise_lasso(X, alpha)


@pytest.mark.parametrize("kind", ["zero", "twice"])
def test_a_column_without_a_row_is_named(kind):
    x = np.random.default_rng(0).normal(size=(100, 3))
    x[:, 1] = 0.0 if kind == "zero" else 2 * x[:, 0]
    alpha = [0.1, 0.1, 0.1] if kind == "zero" else [0.0, 0.1, 0.1]
    with pytest.raises(ValueError, match=r"nodewise lasso is undefined for x1: .* Drop it"):
        nodewise_lasso(x, alpha).compute()
    rows = nodewise_rows(x.T @ x / 100, range(3), np.array(alpha))
    with pytest.raises(ValueError, match="nodewise weight is 0: columns 1"):
        approximate_inverse_covariance(rows)


def test_coefficients_that_are_nan_are_named(binary):
    _, _, X, y = binary
    p = X.shape[1]
    coef = np.zeros(p + 1)
    coef[[0, p]] = np.nan, np.inf
    with pytest.raises(ValueError, match=rf"coef holds NaN or infinity: intercept, x{p - 1}\. .*by 0"):
        moments(X, y, coef, family="binomial")
    with pytest.raises(ValueError, match="coef holds NaN"):
        weighted_design(X, coef, family="binomial")


def test_gaps_in_the_data_are_named(binary):
    x, y, _, _ = binary
    x[3, 1] = np.nan
    X = da.from_array(x, chunks=(70, 3))
    for lazy in (nodewise_lasso(X, 0.1), weighted_design(X, np.zeros(3)), pilot_sample(X, y, 10)):
        with pytest.raises(ValueError, match="NaN or infinity in column x1"):
            lazy.compute()


def test_nothing_is_computed_before_it_is_asked_for_and_then_one_pass(tmp_path):
    loads = Loads(tmp_path)
    with raise_if_dask_computes():
        table = loads.array()
        X, Y = table[:, 1:], table[:, 0]
        lazy = [
            moments(X, Y, np.zeros(3), family="binomial"),
            pilot_sample(X, Y, 10),
            weighted_design(X, np.zeros(3)),
            approximate_inverse_covariance(nodewise_lasso(X, 0.1)),
        ]
    for each in lazy:
        each.compute(scheduler="threads")
        assert loads.per_block() == [1, 1, 1, 1]
