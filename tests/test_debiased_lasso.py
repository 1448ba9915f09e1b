"""Against statsmodels' distributed estimation, and against the design's formulas in plain NumPy."""

import warnings
from contextlib import contextmanager
from dataclasses import replace

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lasso_reference import MEAN, debiased, nodewise_row, paper, sparse_data, with_constant
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from statsmodels.base.distributed_estimation import DistributedModel
from statsmodels.stats.regularized_covariance import _calc_nodewise_row
from support import Loads, raise_if_dask_computes
from support_sparse import in_blocks

from dask_onestep import AverageLasso, DebiasedLasso, GLMClassifier, GLMRegressor
from dask_onestep.kernels.lassos import local_lassos
from dask_onestep.kernels.lassos.correction import Debiased, debias_again
from dask_onestep.kernels.lassos.lasso import fit_lasso
from dask_onestep.kernels.records import Moments

STATSMODELS = {
    "gaussian": (sm.OLS, {}, {"score_kwds": {"scale": 1.0}}),
    "binomial": (sm.GLM, {"family": sm.families.Binomial()}, {}),
    "poisson": (sm.GLM, {"family": sm.families.Poisson()}, {}),
}


def _kkt(x, y, coef, alpha, family):
    slope = x.T @ (y - MEAN[family](x @ coef)) / len(y)
    return np.where(coef != 0, abs(slope - alpha * np.sign(coef)), np.maximum(abs(slope) - alpha, 0)).max()


def _statsmodels(x, y, K, alpha, family):
    """Return its coefficients, and for which of them every lasso behind them is at its optimum."""
    cls, init, estimation = STATSMODELS[family]
    parts = list(zip(np.array_split(y, K), np.array_split(x, K), strict=True))
    fit_kwds = {"alpha": alpha, "cnvrg_tol": 1e-13, "maxiter": 2000}
    model = DistributedModel(K, model_class=cls, init_kwds=init, estimation_kwds=estimation)
    coef = model.fit(iter(parts), fit_kwds=fit_kwds).params
    share, exact = -(-x.shape[1] // K), np.ones(x.shape[1], bool)
    for k, (part_y, part_x) in enumerate(parts):
        local = cls(part_y, part_x, **init)
        lasso = np.asarray(local.fit_regularized(**fit_kwds).params)
        exact &= _kkt(part_x, part_y, lasso, alpha, family) < 1e-9
        weighted = np.sqrt(local.hessian_factor(lasso))[:, None] * part_x
        for j in range(k * share, min((k + 1) * share, x.shape[1])):
            gamma, others = _calc_nodewise_row(weighted, j, alpha), np.delete(weighted, j, axis=1)
            exact[j] &= _kkt(others, weighted[:, j], gamma, alpha, "gaussian") < 1e-9
    return coef, exact


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize(
    ("n", "p", "K", "alpha"),
    [(400, 5, 2, 0.05), (600, 6, 4, 0.1), (500, 7, 3, 0.2), (300, 4, 1, 0.02), (400, 3, 5, 0.05)],
)
def test_equals_statsmodels_wherever_its_lassos_are_at_the_optimum(family, n, p, K, alpha):
    x, y, _ = sparse_data(n, p, family, correlation=0.1, active=2, seed=n + p)
    reference, exact = _statsmodels(x, y, K, alpha, family)
    method = paper(alpha, weights="equal", tol=1e-12)
    glm = _fit(x, y, family, K, method, fit_intercept=False)
    assert exact.all()
    np.testing.assert_allclose(glm.coef_, reference, atol=1e-6)


def _fit(x, y, family, K, method, *, fit_intercept=True, **parts):
    X, Y, parts = in_blocks(x, y, K, **parts)
    with _small_blocks():
        return GLMRegressor(family, method=method, fit_intercept=fit_intercept).fit(X, Y, **parts)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize(("n", "p", "K"), [(120, 6, 4), (60, 25, 2)])
def test_equals_the_formulas_with_intercept_vector_alpha_and_tiny_blocks(family, n, p, K):
    # statsmodels raises on a vector alpha, and its lasso is not at its optimum for such blocks.
    x, y, _ = sparse_data(n, p, family, size=0.4)
    alpha = np.linspace(0.15, 0.3, p)
    blocks = [(with_constant(bx), by) for bx, by in zip(np.array_split(x, K), np.array_split(y, K), strict=True)]
    coef, average, gradient, theta = debiased(blocks, np.r_[0.0, alpha], family)
    glm = _fit(x, y, family, K, paper(alpha, weights="equal", tol=1e-13))
    np.testing.assert_allclose(glm.estimate_.average_coef, average, atol=1e-6)
    np.testing.assert_allclose(glm.estimate_.gradient, gradient, atol=1e-6)
    np.testing.assert_allclose(glm.estimate_.inverse_covariance, theta, atol=1e-6)
    np.testing.assert_allclose(glm.estimate_.coef, coef, atol=2e-6)


def test_nodewise_alpha_is_apart_from_alpha():
    x, y, _ = sparse_data(200, 5)
    blocks = list(zip(np.array_split(x, 2), np.array_split(y, 2), strict=True))
    expected = debiased(blocks, np.full(5, 0.1), "gaussian", np.full(5, 0.02))[0]
    glm = _fit(x, y, "gaussian", 2, paper(0.1, nodewise_alpha=0.02), fit_intercept=False)
    np.testing.assert_allclose(glm.coef_, expected, atol=1e-6)
    other = _fit(x, y, "gaussian", 2, paper(0.1), fit_intercept=False)
    assert np.abs(glm.coef_ - other.coef_).max() > 1e-4


@pytest.mark.parametrize("weights", ["size", "equal"])
def test_unequal_blocks_have_one_weight_in_both_averages(weights):
    x, y, _ = sparse_data(300, 4)
    sizes = (50, 250)
    X, Y = da.from_array(x, chunks=(sizes, (4,))), da.from_array(y, chunks=(sizes,))
    with _small_blocks():
        glm = GLMRegressor(method=paper(0.1, weights=weights), fit_intercept=False).fit(X, Y)
    each = [debiased([(bx, by)], np.full(4, 0.1), "gaussian") for bx, by in _cut(x, y, sizes)]
    share = np.array(sizes) / 300 if weights == "size" else np.full(2, 0.5)
    np.testing.assert_allclose(
        glm.estimate_.average_coef, sum(s * e[1] for s, e in zip(share, each, strict=True)), atol=1e-7
    )
    np.testing.assert_allclose(
        glm.estimate_.gradient, sum(s * e[2] for s, e in zip(share, each, strict=True)), atol=1e-7
    )
    # Var ḡ = φ Σ (share_k)² Σ̂_k / n_k, Σ̂_k the block's own information per row.
    theta = glm.estimate_.inverse_covariance
    noise = sum(s**2 * bx.T @ bx / len(by) ** 2 for s, (bx, by) in zip(share, _cut(x, y, sizes), strict=True))
    np.testing.assert_allclose(glm.covariance_, glm.dispersion_ * theta @ noise @ theta.T, rtol=1e-10)


def test_dispersion_counts_the_lassos_nonzeros():
    x, y, _ = sparse_data(400, 6)
    glm = _fit(x, y, "gaussian", 2, paper(0.1), fit_intercept=False)
    blocks = list(zip(np.array_split(x, 2), np.array_split(y, 2), strict=True))
    coefs = [debiased([block], np.full(6, 0.1), "gaussian")[1] for block in blocks]
    rss = sum(np.sum((by - bx @ b) ** 2) for (bx, by), b in zip(blocks, coefs, strict=True))
    df = 400 - sum(np.count_nonzero(np.abs(b) > 1e-9) for b in coefs)
    assert glm.dispersion_ == pytest.approx(rss / df, rel=1e-7)
    assert glm.estimate_.df_resid == df


def test_further_rounds_take_the_score_of_all_rows_at_the_estimate():
    x, y, _ = sparse_data(300, 5, "poisson")
    one, two = (_fit(x, y, "poisson", 3, paper(0.1, steps=steps)) for steps in (1, 2))
    design, theta = with_constant(x), one.estimate_.inverse_covariance
    mean = np.exp(design @ one.estimate_.coef)
    expected = one.estimate_.coef + theta @ design.T @ (y - mean) / 300
    np.testing.assert_allclose(two.estimate_.coef, expected, atol=1e-10)
    gram = design.T @ (mean[:, None] * design) / 300
    response = theta + (np.eye(6) - theta @ gram) @ theta
    np.testing.assert_allclose(two.covariance_, response @ gram @ response.T / 300, atol=1e-12)
    assert (one.n_passes_, two.n_passes_) == (1, 2)


def test_rounds_without_a_penalty_are_newtons_method():
    x, y, _ = sparse_data(400, 4, "binomial")
    glm = _fit(x, y, "binomial", 1, paper(0.05, nodewise_alpha=0.0, steps=8))
    mle = GLMRegressor("binomial", method="mle").fit(x, y)
    np.testing.assert_allclose(glm.coef_, mle.coef_, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), np.sqrt(np.diag(mle.covariance_)), rtol=0.02)


def test_a_round_that_overshoots_is_shortened_and_said():
    x, y, _ = sparse_data(200, 30, correlation=0.97)
    with pytest.warns(UserWarning, match="would have decreased the log-likelihood and were shortened"):
        _fit(x, y, "gaussian", 2, paper(0.1, nodewise_alpha=50.0, steps=3))


def test_ridge_part_is_undone_too():
    # With an exact inverse the debiased elastic net of a quadratic is least squares, whatever was shrunk.
    x, y, _ = sparse_data(300, 5)
    for l1_ratio in (0.0, 0.5, 1.0):
        method = paper(0.3, l1_ratio=l1_ratio, nodewise_alpha=0.0)
        glm = _fit(x, y, "gaussian", 1, method)
        expected = np.linalg.lstsq(with_constant(x), y, rcond=None)[0]
        np.testing.assert_allclose(glm.estimate_.coef, expected, atol=1e-9)
        assert np.abs(glm.estimate_.average_coef - expected).max() > 0.05


def test_frequency_weights_are_repeated_rows():
    x, y, _ = sparse_data(200, 4, "poisson")
    counts = np.random.default_rng(0).integers(1, 4, 200)
    X, Y, parts = in_blocks(x, y, 1, sample_weight=counts.astype(float))
    with _small_blocks():
        glm = GLMRegressor("poisson", method=paper(0.1), weight_type="frequency").fit(X, Y, **parts)
    repeated = _fit(np.repeat(x, counts, axis=0), np.repeat(y, counts), "poisson", 1, paper(0.1))
    np.testing.assert_allclose(glm.estimate_.coef, repeated.estimate_.coef, atol=1e-7)
    np.testing.assert_allclose(glm.covariance_, repeated.covariance_, rtol=1e-6)


def test_a_constant_factor_in_weights_changes_nothing_and_offsets_are_removed():
    x, y, _ = sparse_data(300, 4)
    plain = _fit(x, y, "gaussian", 3, paper("auto"))
    offset = np.linspace(-2, 2, 300)
    moved = _fit(x, y + offset, "gaussian", 3, paper("auto"), offset=offset, sample_weight=np.full(300, 7.0))
    np.testing.assert_allclose(moved.estimate_.coef, plain.estimate_.coef, atol=1e-7)
    np.testing.assert_allclose(moved.covariance_, plain.covariance_, rtol=1e-6)


def test_threshold_cuts_coefficients_and_their_standard_errors():
    x, y, _ = sparse_data(400, 6)
    whole, cut = (_fit(x, y, "gaussian", 2, paper(0.05, threshold=t)) for t in (0.0, 0.2))
    small = np.abs(whole.coef_) < 0.2
    assert 0 < small.sum() < 6
    np.testing.assert_array_equal(cut.coef_, np.where(small, 0.0, whole.coef_))
    table = cut.coef_table().iloc[1:]
    assert table.std_err[small].isna().all()
    np.testing.assert_array_equal(table.std_err[~small], whole.coef_table().iloc[1:].std_err[~small])
    np.testing.assert_array_equal(cut.estimate_.debiased_coef, whole.estimate_.coef)
    with pytest.raises(ValueError, match="standard error is undefined"):
        cut.wald_test([table.index[small][0]])


def test_classifier_is_the_binomial_model_of_its_second_class():
    x, y, _ = sparse_data(400, 5, "binomial")
    labels = np.where(y == 1, "yes", "no")
    X, Y, _ = in_blocks(x, labels, 2)
    with _small_blocks():
        glm = GLMClassifier(method=paper(0.05)).fit(X, Y)
    regressor = _fit(x, y, "binomial", 2, paper(0.05))
    np.testing.assert_array_equal(glm.coef_[0], regressor.coef_)
    assert (glm.n_passes_, regressor.n_passes_) == (2, 1)
    assert list(glm.classes_) == ["no", "yes"]


@pytest.mark.parametrize("nodewise", ["partition", "pooled"])
def test_lazy_fit_and_any_scheduler_give_the_same_bits(nodewise):
    x, y, _ = sparse_data(300, 5, "binomial")
    X, Y, _ = in_blocks(x, y, 3)
    glm = GLMClassifier(method=DebiasedLasso("auto", nodewise=nodewise, steps=2))
    with _small_blocks():
        fitted = [glm.fit(X, Y).covariance_]
        for scheduler in ("synchronous", "threads"):
            with dask.config.set(scheduler=scheduler):
                fitted.append(glm.fit_delayed(X, Y).compute().covariance_)
    np.testing.assert_array_equal(fitted[0], fitted[1])
    np.testing.assert_array_equal(fitted[0], fitted[2])


@pytest.mark.parametrize(
    ("options", "classify", "passes"),
    [
        ({"nodewise": "partition", "steps": 1}, False, 1),
        ({"nodewise": "partition"}, False, 3),
        ({"nodewise": "partition", "steps": 2}, True, 3),
        ({}, False, 4),
        ({"steps": 1}, True, 2),
    ],
)
def test_passes_are_as_many_as_the_docstring_says(tmp_path, options, classify, passes):
    loads = Loads(tmp_path, rows=(150, 150, 150, 150))
    method = DebiasedLasso(0.05, **options)
    glm = GLMClassifier(method=method) if classify else GLMRegressor("binomial", method=method)
    for table in (loads.array(), loads.frame()):
        x, y = (table[:, 1:], table[:, 0]) if isinstance(table, da.Array) else (table, "y")
        with _small_blocks():
            assert glm.fit(x, y).n_passes_ == passes
        assert loads.per_block() == [passes] * 4
        with raise_if_dask_computes():
            lazy = glm.fit_delayed(x, y)
        np.testing.assert_array_equal(lazy.compute(scheduler="threads").coef_, glm.coef_)
        assert loads.per_block() == [passes] * 4


def test_a_cluster_gives_the_same_bits(client):
    x, y, _ = sparse_data(1400, 70, "poisson", size=0.2)
    fitted = [_fit(x, y, "poisson", 4, DebiasedLasso(0.1)).covariance_]
    with dask.config.set(scheduler="synchronous"):
        fitted.append(_fit(x, y, "poisson", 4, DebiasedLasso(0.1)).covariance_)
    np.testing.assert_array_equal(*fitted)


def test_empty_blocks_have_no_share_of_the_rows():
    x, y, _ = sparse_data(200, 5)
    sizes = (100, 0, 100)
    X, Y = da.from_array(x, chunks=(sizes, (5,))), da.from_array(y, chunks=(sizes,))
    with _small_blocks():
        glm = GLMRegressor(method=paper(0.1)).fit(X, Y)
    np.testing.assert_array_equal(glm.estimate_.coef, _fit(x, y, "gaussian", 2, paper(0.1)).estimate_.coef)
    assert glm.estimate_.n_blocks == 2


@pytest.mark.parametrize("empty", [0, 1, 3])
@pytest.mark.parametrize("kind", ["frame", "weights"])
def test_rows_of_partitions_that_prove_empty_come_from_the_pool(empty, kind):
    x, y, _ = sparse_data(400, 5)
    inside = np.arange(400) // 100 != empty
    parted = paper(0.1)
    with _small_blocks():
        if kind == "frame":
            frame = pd.DataFrame(x, columns=list("abcde")).assign(y=y, block=np.arange(400) // 100)
            frame = dd.from_pandas(frame, npartitions=4)
            frame = frame[frame.block != empty].drop(columns="block")
            found = GLMRegressor(method=parted).fit(frame, "y").estimate_
        else:
            X, Y, parts = in_blocks(x, y, 4, sample_weight=inside.astype(float))
            found = GLMRegressor(method=parted).fit(X, Y, **parts).estimate_
    # Of six rows every block has two, and the last none.
    own = np.arange(6) // 2 != empty
    for j in np.flatnonzero(~own):
        expected = nodewise_row(with_constant(x[inside]), j, np.r_[0.0, np.full(5, 0.1)])
        np.testing.assert_allclose(found.inverse_covariance[j], expected, atol=1e-6)
    blocks = [(with_constant(x[100 * k : 100 * k + 100]), y[100 * k : 100 * k + 100]) for k in range(4)]
    for j in np.flatnonzero(own):
        expected = nodewise_row(blocks[j // 2][0], j, np.r_[0.0, np.full(5, 0.1)])
        np.testing.assert_allclose(found.inverse_covariance[j], expected, atol=1e-6)
    assert found.n_blocks == 3


def test_poor_blocks_are_named():
    x, y, _ = sparse_data(200, 3, "binomial")
    y[100:] = 1.0
    with pytest.raises(ValueError, match=r"y is constant.*In block 1"):
        _fit(x, y, "binomial", 2, paper(0.1))
    x, y, _ = sparse_data(200, 3)
    x[100:, 1] = 4.0
    with pytest.raises(ValueError, match=r"is undefined for x1: the column is constant.*In block 1.*pooled"):
        _fit(x, y, "gaussian", 2, paper(0.1))
    assert np.isfinite(_fit(x, y, "gaussian", 2, DebiasedLasso(0.1, nodewise="pooled")).coef_).all()


def test_a_lasso_that_diverges_is_named(monkeypatch):
    def diverged(rows, *arguments, **options):
        fit = fit_lasso(rows, *arguments, **options)
        return replace(fit, coef=np.nan * fit.coef) if rows.number == 1 else fit

    monkeypatch.setattr(local_lassos, "fit_lasso", diverged)
    x, y, _ = sparse_data(200, 3)
    with dask.config.set(scheduler="synchronous"), pytest.raises(ValueError, match=r"lasso diverged.*In block 1\."):
        _fit(x, y, "gaussian", 2, paper(0.1))


def _missing_level(block, kind="regression"):
    """Return a frame of four blocks, of which one has no row of the level "d"."""
    rng = np.random.default_rng(0)
    g = rng.choice(list("abcd"), 4000)
    inside = slice(1000 * block, 1000 * (block + 1))
    g[inside] = rng.choice(list("abc"), 1000)
    frame = pd.DataFrame({"x": rng.normal(size=4000), "g": g})
    frame["y"] = frame.x + (frame.g == "d") + rng.normal(size=4000)
    if kind == "classification":
        frame["y"] = (frame.y > 0).astype(int)
    return dd.from_pandas(frame, npartitions=4, sort=False)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_level_that_a_block_lacks_has_coefficient_zero_there(kind):
    cls = {"regression": GLMRegressor, "classification": GLMClassifier}[kind]
    frame, exact = _missing_level(0, kind), cls(method="mle", formula="y ~ x + g").fit(_missing_level(0, kind))
    with _small_blocks():
        plain = cls(method=AverageLasso(), formula="y ~ x + g").fit(frame).estimate_
        glm = cls(method=DebiasedLasso(), formula="y ~ x + g").fit(frame)
    alone = cls(method=AverageLasso(), formula="y ~ x + g").fit(frame.partitions[1:]).estimate_
    assert plain.average_coef[-1] == pytest.approx(alone.average_coef[-1] * 3 / 4, rel=1e-12)
    assert (plain.alpha[1:] > 0).all()
    off = (glm.estimate_.coef - exact.estimate_.coef) / np.sqrt(np.diag(exact.covariance_))
    assert np.abs(off).max() < 0.25


def test_a_block_without_a_level_has_no_row_for_it():
    with pytest.raises(ValueError, match=r"for g\[T.d\]: the column is constant.*In block 2.*nodewise='pooled'"):
        GLMRegressor(method=paper(), formula="y ~ x + g").fit(_missing_level(2))
    with _small_blocks():
        GLMRegressor(method=DebiasedLasso(), formula="y ~ x + g").fit(_missing_level(2))


@pytest.mark.parametrize("nodewise", ["partition", "pooled"])
@pytest.mark.parametrize("alpha", [0.1, "auto"])
def test_a_constant_column_is_to_be_left_out(nodewise, alpha):
    x, y, _ = sparse_data(200, 3)
    x[:, 1] = 4.0
    with pytest.raises(ValueError, match=r"is undefined for x1: the column is constant.*drop"):
        _fit(x, y, "gaussian", 2, DebiasedLasso(alpha, nodewise=nodewise))
    assert _fit(x, y, "gaussian", 2, AverageLasso(alpha)).coef_[1] == 0


def test_an_unfinished_lasso_is_named():
    x, y, _ = sparse_data(100, 30, correlation=0.95)
    with pytest.warns(ConvergenceWarning, match="lasso of block 0, 1 did not converge"):
        _fit(x, y, "gaussian", 2, paper(1e-4, nodewise_alpha=50.0, max_iter=1))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_sweeps_that_run_out_are_ours_to_tell(scheduler):
    x, y, _ = sparse_data(2000, 8, correlation=0.9)
    X, Y, _ = in_blocks(x, y, 4)
    filters = list(warnings.filters)
    with dask.config.set(scheduler=scheduler), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        glm = GLMRegressor(method=paper(0.01, max_iter=1)).fit(X, Y)
        GLMClassifier(method=paper(0.01, max_iter=1)).fit(X, (Y > 0).astype(int))
    assert {warning.category.__module__ for warning in said} == {"dask_onestep.exceptions"}
    assert any("lasso of block 0, 1, 2, 3 did not converge" in text for _, text in glm.estimate_.warnings)
    assert glm.estimate_.gap > 1e-10
    assert warnings.filters == filters


@pytest.mark.parametrize("method", [AverageLasso(0.1), AverageLasso(), paper(0.1), paper()], ids=str)
def test_a_response_far_from_zero_moves_the_intercept_alone(method):
    x, y, _ = sparse_data(2000, 5)
    # The response itself keeps seven digits behind its point there.
    near, far = (_fit(x, y + shift, "gaussian", 4, method).estimate_.coef for shift in (0.0, 1.7e9))
    np.testing.assert_allclose(far - [1.7e9, 0, 0, 0, 0, 0], near, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "value"), [("gaussian", 3.0), ("gaussian", 1e-24), ("gamma", 0.3), ("poisson", 3.0)]
)
@pytest.mark.parametrize("alpha", [0.01, "auto"])
def test_a_constant_response_is_solved(family, value, alpha):
    x, _, _ = sparse_data(400, 4)
    glm = _fit(x, np.full(400, value), family, 2, AverageLasso(alpha))
    assert glm.estimate_.converged
    np.testing.assert_allclose(glm.coef_, 0, atol=1e-15 * value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, "^alpha must be finite and nonnegative"),
        ({"alpha": [0.1, 0.2]}, "^alpha has shape .* one number per column"),
        ({"alpha": "cv"}, "^alpha='cv' must be 'auto'"),
        ({"alpha": None}, "^alpha=None must be 'auto'"),
        ({"nodewise_alpha": np.nan}, "nodewise_alpha must be finite"),
        ({"nodewise": "global"}, "'pooled' or 'partition'"),
        ({"weights": "rows"}, "'size' or 'equal'"),
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"l1_ratio": "a"}, "l1_ratio='a' must be a number"),
        ({"threshold": "a"}, "threshold='a' must be a number"),
        ({"tol": "a"}, "tol='a' must be a number"),
        ({"threshold": -1.0}, "threshold"),
        ({"steps": 0}, "steps"),
        ({"steps": 2, "nodewise": "partition", "weights": "equal"}, "steps=1"),
        ({"steps": 1, "weights": "equal"}, "nodewise='partition'"),
        ({"tol": 0.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    x, y, _ = sparse_data(50, 3)
    with pytest.raises(ValueError, match=message):
        _fit(x, y, "gaussian", 1, DebiasedLasso(**options))


@pytest.mark.parametrize("test", ["likelihood_ratio_test", "score_test"])
def test_tests_that_need_a_maximum_are_refused(test):
    x, y, _ = sparse_data(200, 3)
    X, Y, _ = in_blocks(x, y, 1)
    with _small_blocks():
        glm = GLMRegressor(method=paper(0.1)).fit(X, Y)
    with pytest.raises(ValueError, match="use wald_test"):
        getattr(glm, test)(X, Y, null="x0")
    table = glm.coef_table()
    assert glm.wald_test("x0").statistic == pytest.approx(table["t"]["x0"] ** 2)


def test_robust_covariances_are_refused():
    x, y, _ = sparse_data(50, 3)
    with pytest.raises(ValueError, match="cov_type='HC1' is not available"):
        GLMRegressor(method=paper(0.1), cov_type="HC1").fit(x, y)


def test_small_blocks_are_warned_of_and_large_ones_not():
    x, y, _ = sparse_data(2000, 60, active=6, size=1.0)
    X, Y, _ = in_blocks(x, y, 20)
    with pytest.warns(UserWarning, match="The blocks are too small"):
        glm = GLMRegressor(method=paper()).fit(X, Y)
    assert glm.estimate_.expected_coverage < 0.9
    X, Y, _ = in_blocks(x[:, :6], y, 2)
    assert GLMRegressor(method=paper(0.01)).fit(X, Y).estimate_.expected_coverage > 0.9


@pytest.mark.parametrize("method", [AverageLasso(0.1, threshold=0.3), paper(0.1, threshold=0.3)], ids=str)
def test_the_threshold_cuts_the_intercept_too(method):
    x, y, _ = sparse_data(400, 3)
    glm, before = _fit(x, y + 0.2, "gaussian", 2, method), method.set_params(threshold=0.0)
    assert glm.intercept_ == 0 != _fit(x, y + 0.2, "gaussian", 2, before).intercept_


def test_covariance_of_equal_weights_sums_squared_shares():
    x, y, _ = sparse_data(900, 4)
    sizes = (100, 600, 200)
    X, Y = da.from_array(x, chunks=(sizes, (4,))), da.from_array(y, chunks=(sizes,))
    with _small_blocks():
        glm = GLMRegressor(method=paper(0.1, weights="equal")).fit(X, Y)
    design, theta = with_constant(x), glm.estimate_.inverse_covariance
    parts = np.split(design, np.cumsum(sizes)[:-1])
    meat = sum((1 / 3) ** 2 * part.T @ part / len(part) ** 2 for part in parts)
    np.testing.assert_allclose(glm.covariance_, glm.dispersion_ * theta @ meat @ theta.T, rtol=1e-9, atol=1e-15)


def test_centred_columns_change_the_intercepts_honesty_and_no_other_coefficient():
    x, y, _ = sparse_data(2000, 4)
    near, off, far = (_fit(x + mean, y, "gaussian", 4, paper(0.1)) for mean in (0.0, 5.0, 50.0))
    exact, distances = GLMRegressor(method="mle").fit(x, y).predict(x), []
    for glm, mean in ((near, 0.0), (off, 5.0), (far, 50.0)):
        np.testing.assert_allclose(glm.coef_, near.coef_, rtol=1e-9)
        np.testing.assert_allclose(np.diag(glm.covariance_)[1:], np.diag(near.covariance_)[1:], rtol=1e-9)
        distances.append(abs(glm.predict(x + mean) - exact).mean())
    assert max(distances[0], distances[2]) < np.sqrt(5 / 2000)  # a standard error of the mean of five coefficients
    assert distances[1] > 10 * distances[0]


def test_a_coverage_that_is_warned_of_is_not_rounded_to_one_that_is_not(monkeypatch):
    x, y, _ = sparse_data(200, 3)
    monkeypatch.setattr("dask_onestep.methods.debiased_lasso.expected_coverage", lambda *_: 0.8996)
    with pytest.warns(UserWarning, match="may cover only 89% of"):
        GLMRegressor(method=paper(0.1)).fit(x, y)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_coverage_and_error_by_simulation(family):
    # 40 draws of 5 active and 25 idle coefficients; binomial bounds at four standard deviations.
    hits, shrunk, jointly, false = [], [], [], []
    for seed in range(40):
        x, y, coef = sparse_data(2000, 30, family, active=5, seed=seed)
        X, Y, _ = in_blocks(x, y, 4)
        glm = GLMRegressor(family, method=DebiasedLasso()).fit(X, Y)
        together = glm.coef_table(level=0.95 ** (1 / 30)).iloc[1:]
        jointly.append(bool(((together.ci_lower <= coef) & (together.ci_upper >= coef)).all()))
        discovered = stats.false_discovery_control(together.p_value) < 0.1
        false.append(discovered[5:].sum() / max(discovered.sum(), 1))
        bounds = glm.conf_int().iloc[1:]
        hits.append((bounds.ci_lower <= coef) & (bounds.ci_upper >= coef))
        sign = np.sign(coef[:5])
        shrunk.append(sign * [(glm.estimate_.average_coef[1:] - coef)[:5], (glm.coef_ - coef)[:5]])
    covered = np.array(hits)
    for part in (covered[:, :5], covered[:, 5:]):
        assert stats.binom.cdf(part.sum(), part.size, 0.95) > stats.norm.sf(4)
        assert stats.binom.sf(part.sum() - 1, part.size, 0.95) > stats.norm.sf(4)
    lasso, debiased = np.mean(shrunk, axis=0)
    assert (lasso < -0.03).all()
    assert np.abs(debiased).max() < 0.02
    assert stats.binom.cdf(sum(jointly), 40, 0.95) > stats.norm.sf(4)
    assert np.mean(false) < 0.1 + 4 * np.std(false) / np.sqrt(40)


def _cut(x, y, sizes):
    ends = np.cumsum(sizes)[:-1]
    return list(zip(np.split(x, ends), np.split(y, ends), strict=True))


@contextmanager
def _small_blocks():
    """The small blocks of these tests are meant for equality, not for inference."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The blocks are too small")
        yield


def test_a_shortened_round_moves_the_estimate_and_its_response_by_the_same_part():
    # Four times the inverse of the Gram matrix goes four times too far: a quarter of it is the maximum.
    inverse, score = 4.0 * np.eye(2), np.array([1.0, -1.0])
    last = Debiased(np.zeros(2), inverse, inverse, np.zeros(2), np.eye(2), np.zeros(2))
    found = debias_again(last, Moments(10, 10.0, 0.0, 10.0 * score, 10.0 * np.eye(2)))
    part = found.coef[0] / 4.0
    assert (found.shortened, found.rounds) == (1, last.rounds + 1)
    assert part == pytest.approx(0.25, rel=0.1)
    np.testing.assert_allclose(found.coef, part * inverse @ score)
    np.testing.assert_allclose(found.response, inverse + part * (inverse - inverse @ inverse))
