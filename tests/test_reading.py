"""Data of a fit in all their kinds, and later data brought to the same columns."""

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone
from support import frame_of, raise_if_dask_computes

from dask_onestep import GLMClassifier, GLMRegressor


def test_all_kinds_of_input_give_one_fit(binary):
    x, y, _ = binary
    frame = frame_of(x, y, parts=3)
    fits = [
        GLMClassifier(method="mle").fit(*data)
        for data in (
            (x, y),
            (x.rechunk({1: 1}), y),
            (x.compute(), y.compute()),
            (x.compute().tolist(), y.compute().tolist()),
            (frame[["a", "b", "c"]], frame["y"]),
            (frame[["a", "b", "c"]].compute(), frame["y"].compute()),
            (x, y.compute()),
            (x.astype(np.float64), y.astype(int)),
        )
    ]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.estimate_.coef, fits[0].estimate_.coef, rtol=1e-8)
        np.testing.assert_allclose(fit.covariance_, fits[0].covariance_, rtol=1e-8)


def test_columns_of_a_frame_by_name(binary):
    x, y, _ = binary
    frame = frame_of(x, y)
    frame["w"] = frame["a"] ** 2
    by_name = GLMClassifier(method="mle").fit(frame, "y", sample_weight="w")
    apart = GLMClassifier(method="mle").fit(frame[["a", "b", "c"]], frame["y"], sample_weight=frame["w"])
    assert by_name.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(by_name.coef_, apart.coef_)
    assert by_name.coef_table().index.tolist() == ["intercept", "a", "b", "c"]
    local = GLMClassifier(method="mle").fit(frame.compute(), "y", sample_weight="w")
    np.testing.assert_allclose(local.coef_, apart.coef_, rtol=1e-8, atol=1e-9)


def test_columns_are_found_by_name_when_predicting(binary):
    x, y, _ = binary
    frame = frame_of(x, y)
    glm = GLMClassifier().fit(frame[["a", "b", "c"]], frame["y"])
    expected = glm.decision_function(frame[["a", "b", "c"]]).compute()
    for shuffled in (frame[["b", "a", "c"]], frame[["b", "a", "c"]].compute()):
        np.testing.assert_allclose(np.asarray(glm.decision_function(shuffled)), expected, rtol=1e-11)
    with pytest.raises(ValueError, match="c"):
        glm.predict(frame[["a", "b"]])
    with pytest.raises(ValueError, match="X has 2 features, but GLMClassifier is expecting 3 features"):
        glm.predict(x[:, :2])
    glm.fit(x, y)
    assert not hasattr(glm, "feature_names_in_")


def test_weights_and_offset_must_come_again(binary):
    x, y, _ = binary
    ones = da.ones(2000, chunks=300)
    glm = GLMClassifier().fit(x, y, sample_weight=ones, offset=ones * 0.1)
    with pytest.raises(ValueError, match="fitted with offset; it must also be passed here"):
        glm.predict(x)
    with pytest.raises(ValueError, match="fitted with sample_weight; it must"):
        glm.residuals(x, y, offset=ones * 0.1)
    with raise_if_dask_computes():
        shifted = glm.decision_function(x, offset=ones * 2)
    np.testing.assert_allclose(shifted.compute(), x.compute() @ glm.coef_[0] + glm.intercept_ + 2, rtol=1e-12)


def test_rows_with_gaps(binary):
    x, y, _ = binary
    table = x.compute()
    table[::10, 1] = np.nan
    holes = da.from_array(table, chunks=x.chunks)
    with pytest.raises(ValueError, match=r"column x1 \(200 rows\)\. In blocks 0, 1, 2, 3, 4, …\. Use missing='drop'"):
        GLMClassifier().fit(holes, y)
    glm = GLMClassifier(missing="drop", method="mle").fit(holes, y)
    assert (glm.n_samples_, glm.n_missing_) == (1800, 200)
    kept = np.isfinite(table[:, 1])
    expected = GLMClassifier(method="mle").fit(table[kept], y.compute()[kept])
    np.testing.assert_allclose(glm.coef_, expected.coef_, rtol=1e-10)
    assert np.isnan(glm.predict_proba(holes).compute()[::10]).all()
    assert np.isfinite(glm.predict_proba(holes).compute()[kept]).all()
    # No label stands for unknown.
    with pytest.raises(ValueError, match=r"Input X .* in column x1 \(\d+ rows\)\. Drop these rows"):
        glm.predict(holes).compute()
    assert glm.score(holes, y) == expected.score(table[kept], y.compute()[kept])


def test_a_weight_of_two_is_a_row_twice(binary):
    x, y, _ = binary
    table, labels = x.compute(), y.compute()
    weights = np.random.default_rng(0).integers(0, 4, 2000)
    repeated = np.repeat(table, weights, axis=0), np.repeat(labels, weights)
    glm = GLMClassifier(method="mle", weight_type="frequency")
    weighted, twice = clone(glm).fit(table, labels, sample_weight=weights), clone(glm).fit(*repeated)
    np.testing.assert_allclose(weighted.coef_, twice.coef_, rtol=1e-8)
    np.testing.assert_allclose(weighted.covariance_, twice.covariance_, rtol=1e-8)
    assert weighted.estimate_.df_resid == twice.estimate_.df_resid
    gaussian = GLMRegressor(method="mle", weight_type="frequency")
    weighted = clone(gaussian).fit(table, table[:, 0] + labels, sample_weight=weights)
    twice = clone(gaussian).fit(repeated[0], repeated[0][:, 0] + repeated[1])
    np.testing.assert_allclose(weighted.covariance_, twice.covariance_, rtol=1e-8)
