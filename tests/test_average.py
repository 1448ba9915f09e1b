"""One-shot averaging against local fits of statsmodels, put together by hand."""

import dask
import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from support import model_of, text_of

from dask_onestep import Average, GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.local_fit import fit_block

CHUNKS = (500, 900, 300, 700)
LAWS = {"gaussian": sm.families.Gaussian(), "binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}


def draw(family, seed=0, n=2400):
    X, y, _ = make_glm(n, 3, family=family, random_state=seed)
    X, y = dask.compute(X, y, scheduler="synchronous")
    return X, y


def in_blocks(x, y, chunks=CHUNKS):
    return da.from_array(x, chunks=(chunks, -1)), da.from_array(y, chunks=(chunks,))


def local_fits(x, y, law, chunks=CHUNKS, **more):
    """statsmodels' fit of each block."""
    ends = np.cumsum(chunks)
    for start, stop in zip(ends - chunks, ends, strict=True):
        at = slice(start, stop)
        parts = {name: part[at] for name, part in more.items()}
        yield sm.GLM(y[at], sm.add_constant(x[at], has_constant="add"), family=law, **parts).fit(tol=1e-14)


@pytest.mark.parametrize("weights", ["size", "equal"])
@pytest.mark.parametrize("family", LAWS)
def test_mean_and_covariance_are_those_of_local_fits(family, weights):
    x, y = draw(family)
    glm = GLMRegressor(family, method=Average(weights)).fit(*in_blocks(x, y))
    fits = list(local_fits(x, y, LAWS[family]))
    share = np.array(CHUNKS) / sum(CHUNKS) if weights == "size" else np.full(4, 0.25)
    coef = sum(w * fit.params for w, fit in zip(share, fits, strict=True))
    covariance = sum(w**2 * fit.cov_params() for w, fit in zip(share, fits, strict=True))
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], coef, rtol=1e-8)
    np.testing.assert_allclose(glm.covariance_, covariance, rtol=1e-7)
    np.testing.assert_allclose(glm.estimate_.block_coef, [fit.params for fit in fits], rtol=1e-7)
    pooled = sum(fit.df_resid * fit.scale for fit in fits) / sum(fit.df_resid for fit in fits)
    assert glm.dispersion_ == pytest.approx(pooled, rel=1e-9)
    assert glm.estimate_.df_resid == 2400 - 4 * 4
    if family != "gaussian":  # statsmodels puts its own φ into a gaussian log-likelihood
        np.testing.assert_allclose(glm.estimate_.block_loglik, [fit.llf for fit in fits], rtol=1e-9)


def test_weights_and_offset_enter_the_local_fits():
    x, y = draw("poisson")
    rng = np.random.default_rng(3)
    weight, offset = rng.integers(1, 4, len(y)).astype(float), rng.normal(size=len(y)) * 0.2
    X, Y = in_blocks(x, y)
    glm = GLMRegressor("poisson", method="average", weight_type="frequency").fit(
        X, Y, sample_weight=da.from_array(weight, chunks=(CHUNKS,)), offset=da.from_array(offset, chunks=(CHUNKS,))
    )
    fits = list(local_fits(x, y, LAWS["poisson"], freq_weights=weight, offset=offset))
    counts = np.array([fit.model.freq_weights.sum() for fit in fits])
    coef = sum(n * fit.params for n, fit in zip(counts, fits, strict=True)) / counts.sum()
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], coef, rtol=1e-8)
    assert glm.n_samples_ == len(y)


def test_labels_are_learned_in_the_one_pass():
    x, y = draw("binomial")
    names = np.where(y > 0, "late", "early")
    reads = []

    def load(block, block_info=None):
        reads.append(block_info[0]["chunk-location"])
        return block

    X, Y = in_blocks(x, names)
    X = X.map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="synchronous"):
        glm = GLMClassifier(method=Average()).fit(X, Y)
    assert len(reads) == len(CHUNKS)
    assert glm.n_passes_ == 1
    assert glm.classes_.tolist() == ["early", "late"]
    numeric = GLMRegressor("binomial", method=Average()).fit(*in_blocks(x, y))
    np.testing.assert_array_equal(glm.coef_[0], numeric.coef_)


def test_blocks_without_rows_do_not_count():
    x, y = draw("binomial")
    chunks = (500, 0, 900, 300, 700, 0)
    X, Y = in_blocks(x, y, chunks)
    assert X.chunks[0] == chunks
    glm = GLMClassifier(method=Average("equal")).fit(X, Y)
    assert glm.estimate_.n_blocks == 4
    plain = GLMClassifier(method=Average("equal")).fit(*in_blocks(x, y))
    np.testing.assert_array_equal(glm.coef_, plain.coef_)


def _bounds(chunks):
    ends = np.cumsum(chunks)
    return list(zip(ends - chunks, ends, strict=True))


def test_a_block_with_too_few_rows_is_named():
    x, y = draw("gaussian")
    with pytest.raises(
        ValueError, match=r"too few rows for a local fit of 4 coefficients \(4 rows\). In block 1.*larg"
    ):
        GLMRegressor(method=Average()).fit(*in_blocks(x, y, (1000, 4, 1396)))


def test_a_block_of_one_class_is_named():
    x, y = draw("binomial")
    y[1400:1700] = 1.0
    with pytest.raises(ValueError, match=r"only one class for a local fit, 1.0.*In block 2\..*one-step"):
        GLMClassifier(method=Average()).fit(*in_blocks(x, y))
    with pytest.raises(ValueError, match=r"no maximum-likelihood estimate.*In block 2\..*one-step"):
        GLMRegressor("binomial", method=Average()).fit(*in_blocks(x, y))


def test_a_separated_block_is_named():
    x, y = draw("binomial")
    y[1400:1700] = x[1400:1700, 1] > 0
    with pytest.raises(ValueError, match=r"separated.*In block 2\..*larger"):
        GLMClassifier(method=Average()).fit(*in_blocks(x, y))


def test_three_classes_over_the_blocks_are_refused():
    x, y = draw("binomial")
    y[1400:] *= 2
    with pytest.raises(ValueError, match="multiclass"):
        GLMClassifier(method=Average()).fit(*in_blocks(x, y))
    y[:3] = 2
    with pytest.raises(ValueError, match="multiclass"):
        GLMClassifier(method=Average()).fit(*in_blocks(x, y))


def test_a_column_that_one_block_cannot_tell_apart_is_named():
    x, y = draw("gaussian")
    x[500:1400, 2] = 7.0
    with pytest.raises(ValueError, match=r"though not in the full data: x2. In block 1 "):
        GLMRegressor(method=Average()).fit(*in_blocks(x, y))


def test_a_column_that_the_whole_cannot_tell_apart_is_aliased():
    x, y = draw("gaussian")
    x[:, 2] = x[:, 0] - 2 * x[:, 1]
    with pytest.warns(UserWarning, match="Coefficients of aliased columns are set to NaN: x2"):
        glm = GLMRegressor(method=Average()).fit(*in_blocks(x, y))
    fits = list(local_fits(x[:, :2], y, LAWS["gaussian"]))
    coef = sum(n * fit.params for n, fit in zip(CHUNKS, fits, strict=True)) / sum(CHUNKS)
    np.testing.assert_allclose(np.r_[glm.intercept_, glm.coef_], [*coef, np.nan], rtol=1e-8)
    assert np.isnan(glm.covariance_[3]).all()
    assert np.isfinite(glm.covariance_[:3, :3]).all()


def test_dropped_rows_are_counted():
    x, y = draw("gaussian")
    gaps = np.arange(0, 2400, 100)
    holed = x.copy()
    holed[gaps, 1] = np.nan
    glm = GLMRegressor(method=Average(), missing="drop").fit(*in_blocks(holed, y))
    assert (glm.n_samples_, glm.n_missing_) == (2400 - len(gaps), len(gaps))
    keep = np.setdiff1d(np.arange(2400), gaps)
    chunks = tuple(int(((keep >= a) & (keep < b)).sum()) for a, b in _bounds(CHUNKS))
    complete = GLMRegressor(method=Average()).fit(*in_blocks(x[keep], y[keep], chunks))
    np.testing.assert_allclose(glm.coef_, complete.coef_, rtol=1e-12)


def test_every_scheduler_gives_the_same_bits(scheduler):
    X, y = in_blocks(*draw("binomial"))
    found = GLMClassifier(method=Average()).fit(X, y).covariance_
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(found, GLMClassifier(method=Average()).fit(X, y).covariance_)


def test_lazy_fits_are_the_same():
    x, y = draw("binomial")
    glm = GLMClassifier(method=Average())
    lazy = glm.fit_delayed(*in_blocks(x, y)).compute()
    np.testing.assert_array_equal(lazy.covariance_, glm.fit(*in_blocks(x, y)).covariance_)


@pytest.mark.parametrize("null", [["x1"], {"x0": 0.2, "x2": 0.1}, ["intercept", "x0", "x1", "x2"]])
@pytest.mark.parametrize("family", LAWS)
def test_the_likelihood_ratio_is_the_sum_of_the_blocks_own(family, null):
    x, y = draw(family)
    glm = GLMRegressor(family, method=Average()).fit(*in_blocks(x, y))
    test = glm.likelihood_ratio_test(*in_blocks(x, y), null=null)
    values = null if isinstance(null, dict) else dict.fromkeys(null, 0.0)
    names = ["intercept", "x0", "x1", "x2"]
    design = sm.add_constant(x)
    free = [number for number, name in enumerate(names) if name not in values]
    fixed = design @ [values.get(name, 0.0) for name in names]
    gain, pearson, df_resid = 0.0, 0.0, 0.0
    for (a, b), full in zip(_bounds(CHUNKS), local_fits(x, y, LAWS[family]), strict=True):
        if free:
            found = sm.GLM(y[a:b], design[a:b, free], family=LAWS[family], offset=fixed[a:b]).fit(tol=1e-14)
            null_mean = found.mu
        else:
            null_mean = LAWS[family].link.inverse(fixed[a:b])
        gain += LAWS[family].deviance(y[a:b], null_mean) - full.deviance
        pearson, df_resid = pearson + full.pearson_chi2, df_resid + full.df_resid
    assert test.df == 4 * len(values)
    if family == "gaussian":
        assert (test.distribution, test.df_denom) == ("F", df_resid)
        assert test.statistic == pytest.approx(gain / test.df / (pearson / df_resid), rel=1e-8)
    else:
        assert test.distribution == "chi2"
        assert test.statistic == pytest.approx(gain, rel=1e-8)


def test_labels_have_the_same_likelihood_ratio():
    x, y = draw("binomial")
    names = np.where(y > 0, "late", "early")
    by_label = GLMClassifier(method=Average()).fit(*in_blocks(x, names))
    by_number = GLMRegressor("binomial", method=Average()).fit(*in_blocks(x, y))
    assert by_label.likelihood_ratio_test(*in_blocks(x, names), null="x1").statistic == pytest.approx(
        by_number.likelihood_ratio_test(*in_blocks(x, y), null="x1").statistic, rel=1e-12
    )


def test_options_are_checked():
    X, y = in_blocks(*draw("gaussian"))
    with pytest.raises(ValueError, match="weights='both' must be"):
        GLMRegressor(method=Average("both")).fit(X, y)
    with pytest.raises(ValueError, match="cov_type='HC0' is not available"):
        GLMRegressor(method="average", cov_type="HC0").fit(X, y)


def test_a_block_with_three_classes_has_no_binary_fit():
    rows = Rows(np.arange(12.0)[:, None], np.arange(12) % 3)
    text = text_of(fit_block(rows, model_of("binomial", columns=1, classify=True)))
    assert "multiclass: y has the labels 0, 1, 2" in text
