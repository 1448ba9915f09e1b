"""Standard errors and intervals of the mean, and residuals, against statsmodels; lazy, with their index."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from oracle import FAMILIES, PAIRS, blocks, simulate, sm_fit, weights_for
from scipy import stats

from dask_onestep import MLE, GLMClassifier, GLMRegressor


def computes_nothing(*_, **__):
    raise AssertionError("something was computed")


def fitted(family, link, kind=None, offset=False):
    x, y, shift = simulate(family, link, offset=offset)
    weights = weights_for(kind, len(y))
    glm = GLMRegressor(FAMILIES[family], link, method=MLE(), weight_type=kind or "variance")
    glm.fit(x, y, sample_weight=weights, offset=shift)
    start = np.r_[glm.intercept_, glm.coef_]
    reference = sm_fit(x, y, family, link, offset=shift, weights=weights, kind=kind, start=start)
    return glm, reference, x, y, weights, shift


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_standard_errors_and_intervals_of_the_mean(family, link):
    glm, reference, x, _, _, shift = fitted(family, link, offset=True)
    design = np.column_stack([np.ones(len(x)), x])
    with np.errstate(all="ignore"):  # statsmodels tries the link on zeros
        theirs = reference.get_prediction(design, offset=shift)
        # statsmodels takes the normal distribution also where the dispersion is estimated.
        spread = np.sqrt(np.einsum("ij,jk,ik->i", design, reference.cov_params(), design))
        has_dispersion = glm.record_.model.family.has_dispersion
        quantile = stats.t.ppf(0.95, reference.df_resid) if has_dispersion else stats.norm.ppf(0.95)
        eta = design @ reference.params + shift
        inverse = reference.model.family.link.inverse
        ends = np.sort(inverse(np.column_stack([eta - quantile * spread, eta + quantile * spread])), axis=1)
    lazy_x, lazy_o = blocks(x, shift)
    with dask.config.set(scheduler=computes_nothing):
        mean, std = glm.predict(lazy_x, offset=lazy_o, return_std=True)
        interval = glm.predict_interval(lazy_x, 0.9, offset=lazy_o)
    np.testing.assert_allclose(mean, theirs.predicted, rtol=1e-6)
    np.testing.assert_allclose(std, theirs.se, rtol=1e-5)
    np.testing.assert_allclose(interval, ends, rtol=1e-5)
    np.testing.assert_allclose(glm.predict_interval(x, 0.9, offset=shift), interval)
    wider = glm.predict_interval(x, 0.99, offset=shift)
    assert (wider[:, 0] < interval.compute()[:, 0]).all()


@pytest.mark.parametrize("kind", [None, "variance", "frequency"])
@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_residuals_of_four_kinds(family, link, kind):
    glm, reference, x, y, weights, shift = fitted(family, link, kind, offset=True)
    data = blocks(x, y, weights, shift)
    theirs = {
        "response": reference.resid_response,
        "pearson": reference.resid_pearson,
        "deviance": reference.resid_deviance,
        "working": reference.resid_working,
    }
    for name, expected in theirs.items():
        with dask.config.set(scheduler=computes_nothing):
            ours = glm.residuals(data[0], data[1], name, sample_weight=data[2], offset=data[3])
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_frames_keep_their_index():
    glm, _, x, y, _, shift = fitted("poisson", "log", offset=True)
    frame = pd.DataFrame(x, columns=["a", "b", "c"], index=np.arange(len(x)) * 3 + 7)
    frame = frame.assign(y=y, shift=shift)
    lazy = dd.from_pandas(frame, npartitions=3)
    glm = GLMRegressor("poisson", method=MLE()).fit(lazy, "y", offset="shift")
    covariates = lazy[["a", "b", "c", "shift"]]
    mean, std = glm.predict(covariates, offset="shift", return_std=True)
    interval = glm.predict_interval(covariates, offset="shift")
    residuals = glm.residuals(lazy, "y", "pearson", offset="shift")
    for part in (mean, std, interval, residuals):
        assert list(part.compute().index) == list(frame.index)
    assert list(interval.columns) == ["lower", "upper"]
    local = GLMRegressor("poisson", method=MLE()).fit(x, y, offset=shift)
    np.testing.assert_allclose(std.compute(), local.predict(x, offset=shift, return_std=True)[1], rtol=1e-9)
    np.testing.assert_allclose(residuals.compute(), local.residuals(x, y, "pearson", offset=shift), rtol=1e-9)


def test_labels_have_residuals_and_intervals_of_the_second_class():
    x, y, _ = simulate("binomial", "logit")
    labels = np.where(y == 1, "yes", "no")
    named = GLMClassifier(method="mle").fit(x, labels)
    plain = GLMRegressor("binomial", method="mle").fit(x, y)
    for kind in ("response", "pearson", "deviance", "working"):
        np.testing.assert_allclose(named.residuals(x, labels, kind), plain.residuals(x, y, kind), rtol=1e-9)
    np.testing.assert_allclose(named.predict_interval(x), plain.predict_interval(x), rtol=1e-9)


def test_rows_left_out_have_no_residual():
    x, y, _ = simulate("gaussian", "identity")
    y[3], x[5, 1] = np.nan, np.inf
    glm = GLMRegressor(missing="drop", method="mle").fit(x, y)
    residuals = glm.residuals(x, y, "response")
    assert set(np.flatnonzero(np.isnan(residuals))) == {3, 5}
    strict = GLMRegressor(method="mle").fit(x[6:], y[6:])
    with pytest.raises(ValueError, match="NaN"):
        strict.residuals(x, y)


def test_wrong_kind_and_level():
    glm, _, x, y, _, _ = fitted("poisson", "log")
    with pytest.raises(ValueError, match="Unknown kind 'anscombe'"):
        glm.residuals(x, y, "anscombe")
    with pytest.raises(ValueError, match="between 0 and 1"):
        glm.predict_interval(x, 95)
