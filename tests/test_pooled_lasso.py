"""The debiased lasso of all rows, against its formulas in plain NumPy with scikit-learn's lasso."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from lasso_reference import DERIVATIVE, MEAN, glm_lasso, nodewise_row, sparse_data, with_constant
from scipy import optimize
from scipy.special import expit
from support import Loads, finite_difference, model_of
from support_sparse import in_blocks

from dask_onestep import DebiasedLasso, GLMClassifier, GLMRegressor
from dask_onestep.exceptions import CoverageWarning
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.nodewise_plan import NodewisePlan
from dask_onestep.kernels.likelihood.jeffreys import jeffreys_moments


def _corrected(x, y, family, alpha, steps):
    """Return lasso, estimate, Θ̂ and R by the formulas; `alpha` has an element for each column."""
    design, n = with_constant(x), len(y)
    lasso = glm_lasso(design, y, np.r_[0.0, alpha], family)
    coef, theta, before, response = lasso, None, None, None
    for step in range(steps):
        mean = MEAN[family](design @ coef)
        weight = DERIVATIVE[family](design @ coef)
        score, gram = design.T @ (y - mean), design.T @ (weight[:, None] * design) / n
        if family == "binomial" and step:  # leverages are those of the point before, of which Θ̂ is
            leverage = before * np.einsum("ij,jk,ik->i", design, theta, design) / n
            score = score + design.T @ (leverage * (0.5 - mean))
        theta, before = _inverse(np.sqrt(weight)[:, None] * design, gram), weight
        response = theta if response is None else response + theta @ (np.eye(len(coef)) - gram @ response)
        coef = coef + theta @ score / n
    return lasso, coef, theta, response @ gram @ response.T / n


def _inverse(weighted, gram):
    """Nodewise lassos of columns from which the constant is projected out, and the constant's exact row."""
    n, d = weighted.shape
    constant, columns = weighted[:, :1], weighted[:, 1:]
    left = columns - constant @ np.linalg.lstsq(constant, columns, rcond=None)[0]
    scale = np.sqrt(np.mean(left**2, axis=0))
    level = 0.1 * np.sqrt(2 * np.log(d - 1) / n)
    rows = [nodewise_row(left / scale, j, np.full(d - 1, level)) for j in range(d - 1)]
    inner = np.array(rows) / np.outer(scale, scale)
    mean = gram[0, 1:] / gram[0, 0]
    corner = 1 / gram[0, 0] + mean @ inner @ mean
    return np.block([[np.array([[corner]]), -(mean @ inner)[None]], [-(inner @ mean)[:, None], inner]])


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_equals_its_formulas(family, steps):
    x, y, _ = sparse_data(400, 6, family, size=0.4, correlation=0.6)
    x = x * np.array([1.0, 5.0, 0.2, 1.0, 1.0, 1.0]) + np.array([0.0, 3.0, 0.0, -1.0, 0.0, 0.0])
    alpha = np.linspace(0.02, 0.05, 6)
    lasso, coef, theta, covariance = _corrected(x, y, family, alpha, steps)
    glm = _fit(x, y, family, DebiasedLasso(alpha, steps=steps))
    estimate = glm.estimate_
    np.testing.assert_allclose(estimate.average_coef, lasso, atol=2e-7)
    np.testing.assert_allclose(estimate.coef, coef, atol=2e-6)
    np.testing.assert_allclose(estimate.inverse_covariance, theta, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(glm.covariance_, glm.dispersion_ * covariance, rtol=2e-5, atol=1e-8)


def _fit(x, y, family, method, K=3, **parts):
    X, Y, parts = in_blocks(x, y, K, **parts)
    return GLMRegressor(family, method=method).fit(X, Y, **parts)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "gamma"])
def test_automatic_penalty_is_the_scaled_lasso_of_all_rows(family):
    # As a single block has it, by the other way through the rows.
    x, y, _ = sparse_data(600, 8, "binomial" if family == "binomial" else "gaussian")
    if family == "gamma":
        y = np.exp(0.3 * y)
    options = {"link": "log"} if family == "gamma" else {}
    X, Y, _ = in_blocks(x, y, 4)
    found = GLMRegressor(family, method=DebiasedLasso(), **options).fit(X, Y).estimate_
    block = DebiasedLasso(nodewise="partition", steps=1)
    whole = GLMRegressor(family, method=block, **options).fit(da.from_array(x), da.from_array(y)).estimate_
    np.testing.assert_allclose(found.average_coef, whole.average_coef, atol=1e-5)
    np.testing.assert_allclose(found.alpha, whole.alpha, rtol=1e-3)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_blocks_do_not_matter(family):
    x, y, _ = sparse_data(900, 10, family, size=0.3)
    order = np.argsort(x[:, 0])
    x, y = x[order], y[order]
    one, many = (_fit(x, y, family, DebiasedLasso(), K) for K in (1, 18))
    np.testing.assert_allclose(many.estimate_.coef, one.estimate_.coef, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(many.covariance_, one.covariance_, rtol=1e-9, atol=1e-14)


def test_pilot_sample_of_a_larger_table_changes_little(monkeypatch):
    monkeypatch.setattr("dask_onestep.methods.debiased_lasso.SMALL_BYTES", 1)
    # The pilot is not all rows: b is by its extrapolation, and the corrections are by all rows.
    x, y, _ = sparse_data(60_000, 4, "binomial")
    X, Y, _ = in_blocks(x, y, 5)
    glm = GLMClassifier(method=DebiasedLasso(0.01)).fit(X, Y.astype(int))
    lasso = glm_lasso(with_constant(x), y, np.r_[0.0, np.full(4, 0.01)], "binomial")
    std_err = np.sqrt(np.diag(glm.covariance_))
    assert (np.abs(glm.estimate_.average_coef - lasso) / std_err).max() < 0.05
    # With hardly a penalty in Θ̂ and few columns, three corrections lead to the maximum.
    mle = GLMClassifier(method="mle").fit(X, Y.astype(int))
    assert (np.abs(glm.estimate_.coef - mle.estimate_.coef) / std_err).max() < 0.05
    np.testing.assert_allclose(std_err, np.sqrt(np.diag(mle.covariance_)), rtol=0.02)


def test_weights_offsets_and_dropped_rows():
    x, y, _ = sparse_data(500, 5, "poisson", size=0.3)
    counts = np.random.default_rng(0).integers(0, 4, 500)
    for family, method in (
        ("poisson", DebiasedLasso(0.05)),
        ("poisson", DebiasedLasso()),
        ("gaussian", DebiasedLasso()),
    ):
        X, Y, parts = in_blocks(x, y, 4, sample_weight=counts)
        glm = GLMRegressor(family, method=method, weight_type="frequency").fit(X, Y, **parts)
        repeated = _fit(np.repeat(x, counts, axis=0), np.repeat(y, counts), family, method)
        np.testing.assert_allclose(glm.estimate_.average_coef, repeated.estimate_.average_coef, atol=1e-4)
        np.testing.assert_allclose(glm.estimate_.coef, repeated.estimate_.coef, atol=1e-6)
        np.testing.assert_allclose(glm.covariance_, repeated.covariance_, rtol=1e-5, atol=1e-9)
    offset = np.linspace(-1, 1, 500)
    plain = _fit(x, y, "gaussian", DebiasedLasso())
    moved = _fit(x, y + offset, "gaussian", DebiasedLasso(), offset=offset, sample_weight=np.full(500, 7.0))
    np.testing.assert_allclose(moved.estimate_.coef, plain.estimate_.coef, atol=1e-9)
    x[7, 2] = np.nan
    X, Y, _ = in_blocks(x, y, 4)
    kept = np.arange(500) != 7
    for family in ("gaussian", "poisson"):
        method = DebiasedLasso(0.05)
        dropped = GLMRegressor(family, method=method, missing="drop").fit(X, Y)
        np.testing.assert_allclose(dropped.coef_, _fit(x[kept], y[kept], family, method).coef_, atol=1e-9)
        assert dropped.n_missing_ == 1
        with pytest.raises(ValueError, match="NaN"):
            GLMRegressor(family, method=method).fit(X, Y)


def test_options_change_the_estimate():
    x, y, _ = sparse_data(400, 6, "binomial")
    default = _fit(x, y, "binomial", DebiasedLasso(0.05)).estimate_
    for options in ({"nodewise_alpha": "auto"}, {"nodewise_alpha": 0.1}, {"l1_ratio": 0.5}, {"steps": 2}):
        changed = _fit(x, y, "binomial", DebiasedLasso(0.05, **options)).estimate_
        assert np.abs(changed.coef - default.coef).max() > 1e-6, options


def test_passes_and_the_levels_of_a_formula(tmp_path, threads):
    loads = Loads(tmp_path, rows=(150, 150, 150))
    frame = loads.frame()
    glm = GLMRegressor("binomial", method=DebiasedLasso(), formula="y ~ c0 + c1 + c2").fit(frame)
    assert glm.n_passes_ == 4
    assert loads.per_block() == [4] * 3
    gaussian = GLMRegressor(method=DebiasedLasso()).fit(frame, "y")
    assert (gaussian.n_passes_, gaussian.estimate_.n_iter) == (1, 3)
    assert loads.per_block() == [1] * 3


def test_a_column_that_varies_in_one_block_alone_has_a_coefficient():
    x, y, _ = sparse_data(400, 3)
    x[100:, 1] = 0.0
    glm = _fit(x, y, "gaussian", DebiasedLasso(), K=4)
    assert np.isfinite(glm.coef_table().std_err).all()


def test_many_columns_are_warned_of():
    x, y, _ = sparse_data(300, 20)
    with pytest.warns(CoverageWarning, match="300 rows are few for the debiased lasso of 21 coefficients"):
        _fit(x, y, "gaussian", DebiasedLasso())
    _fit(x[:, :15], y, "gaussian", DebiasedLasso())


def test_an_exact_fit_is_not_warned_of():
    x, _, _ = sparse_data(300, 5)
    glm = _fit(x, 1.0 + x[:, 0], "gaussian", DebiasedLasso())
    np.testing.assert_allclose(glm.record_.coef, [1, 1, 0, 0, 0, 0], atol=1e-9)


def test_a_model_without_covariates_is_the_mean():
    _, y, _ = sparse_data(300, 3)
    glm = GLMRegressor(method=DebiasedLasso()).fit(np.empty((300, 0)), y)
    assert glm.intercept_ == pytest.approx(y.mean(), abs=1e-12)
    assert glm.covariance_[0, 0] == pytest.approx(y.var(ddof=1) / 300)


def test_a_standardized_nodewise_plan_is_invariant_to_units():
    x, _, _ = sparse_data(300, 5, correlation=0.7)
    units = np.array([1.0, 1e3, 1e-4, 1.0, 7.0])
    plan, names = NodewisePlan(None, 1e-12, 10_000), tuple("abcde")
    one, other = (plan.rows(part.T @ part / 300, 300, range(5), names, 0) for part in (x, x * units))
    np.testing.assert_allclose(other.rows, one.rows * units[:, None] / units, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(other.weights, one.weights * units**2, rtol=1e-9)


@pytest.mark.parametrize(
    ("family", "link"), [("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"), ("poisson", "log")]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_jeffreys_term_is_the_derivative_of_half_the_log_determinant(family, link, weighted):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 2))
    y = (rng.random(60) < 0.4).astype(float)
    weights = rng.uniform(0.5, 2.0, 60) if weighted else None
    rows, model = Rows(x, y, weights=weights), model_of(family, link)
    coef = np.array([0.2, -0.4, 0.3])

    def moments(at, inverse):
        return jeffreys_moments(rows, model, (at, inverse, at))

    def penalty(at):
        return np.atleast_1d(0.5 * np.linalg.slogdet(moments(at, np.zeros((3, 3))).information)[1])

    plain = moments(coef, np.zeros((3, 3)))
    pulled = moments(coef, np.linalg.inv(plain.information))
    np.testing.assert_allclose(pulled.score - plain.score, finite_difference(penalty, coef)[0], rtol=1e-6, atol=1e-8)


def test_corrections_of_a_logit_lead_to_firths_estimate():
    x, y, _ = sparse_data(500, 12, "binomial", size=0.8)
    design = with_constant(x)
    glm = _fit(x, y, "binomial", DebiasedLasso(0.02, nodewise_alpha=0.0, steps=10))

    def score(coef):
        mean = expit(design @ coef)
        weight = mean * (1 - mean)
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
        return design.T @ (y - mean + leverage * (0.5 - mean))

    firth = optimize.root(score, np.zeros(13), tol=1e-12).x
    np.testing.assert_allclose(glm.estimate_.coef, firth, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.02, "auto"])
def test_a_table_with_factors_and_a_lazy_fit_agree(threads, alpha):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": rng.normal(size=900), "g": pd.Categorical(rng.choice(list("uvwx"), 900))})
    frame["y"] = rng.poisson(np.exp(0.3 * frame["a"] + 0.4 * (frame["g"] == "v")))
    glm = GLMRegressor("poisson", method=DebiasedLasso(alpha, nodewise_alpha=alpha), formula="y ~ a + g")
    fitted = glm.fit(frame)
    lazy = glm.fit_delayed(frame).compute()
    np.testing.assert_array_equal(lazy.record_.coef, fitted.record_.coef)


def test_a_lazy_fit_learns_levels_where_rows_are_of_no_single_block(threads):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": rng.normal(size=600), "g": rng.choice(list("uvw"), 600)})
    frame["y"] = frame["a"] + (frame["g"] == "v") + rng.normal(size=600)
    frame = dd.from_pandas(frame, npartitions=3, sort=False)
    glm = GLMRegressor(method=DebiasedLasso(0.05), formula="y ~ a + g")
    np.testing.assert_array_equal(glm.fit_delayed(frame).compute().record_.coef, glm.fit(frame).record_.coef)
    with pytest.raises(ValueError, match="one number per column, and the columns are not known yet"):
        glm.set_params(method__alpha=[0.1, 0.1, 0.1]).fit_delayed(frame)
    paper = DebiasedLasso(0.05, nodewise="partition", steps=1)
    with pytest.raises(ValueError, match="g must be known first"):
        glm.set_params(method=paper).fit_delayed(frame)


@pytest.mark.parametrize("n", [1000, 20_000])
def test_corrections_converge_where_a_cell_is_empty(n):
    """Firth (1993): the estimate of a saturated model is that of counts + ½; few rows have most of a leverage."""
    few, ones = 15, n // 3
    x, y = np.repeat([0.0, 1.0], [n - few, few])[:, np.newaxis], np.zeros(n)
    y[:ones] = 1.0
    expected = np.log(0.5 / (few + 0.5)) - np.log((ones + 0.5) / (n - few - ones + 0.5))
    fits = [_fit(x, y, "binomial", DebiasedLasso(steps=steps), 4) for steps in (3, 4, 8)]
    off = [abs(glm.coef_[0] - expected) / np.sqrt(glm.covariance_[1, 1]) for glm in fits]
    assert off[0] < 0.15
    assert off[1] < off[0] / 2
    assert off[2] < 1e-3
