"""Predicted probabilities: scikit-learn's AUC and curves, Stata's published test, bins, chunks, loads."""

from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from dask_onestep import GLMClassifier
from dask_onestep.kernels.likelihood import binned
from dask_onestep.kernels.likelihood.binned import BinnedSums

LOW = pd.read_csv(Path(__file__).parent / "birthwt.csv")


@pytest.fixture
def fitted(binary):
    x, y, _ = binary
    glm = GLMClassifier().fit(x, y)
    return glm, x, y, glm.predict_proba(x).compute()[:, 1]


def test_auc_and_curves_are_those_of_scikit_learn(fitted):
    glm, x, y, p = fitted
    found, truth = glm.probability_diagnostics(x, y), y.compute()
    assert found.bins.exact
    assert found.auc == pytest.approx(roc_auc_score(truth, p), rel=1e-12)
    fpr, tpr, thresholds = roc_curve(truth, p, drop_intermediate=False)
    curve = found.roc_curve()
    np.testing.assert_allclose(curve["fpr"], fpr, rtol=1e-12)
    np.testing.assert_allclose(curve["tpr"], tpr, rtol=1e-12)
    np.testing.assert_allclose(curve["threshold"], thresholds, rtol=1e-9)
    observed, predicted = calibration_curve(truth, p, n_bins=7, strategy="uniform")
    uniform = found.calibration_curve(7, "uniform")
    np.testing.assert_allclose(uniform["observed"], observed, rtol=1e-12)
    np.testing.assert_allclose(uniform["predicted"], predicted, rtol=1e-9)
    observed, predicted = calibration_curve(truth, p, n_bins=8, strategy="quantile")
    quantile = found.calibration_curve(8)
    assert quantile["weight"].tolist() == [250.0] * 8
    np.testing.assert_allclose(quantile["predicted"], predicted, rtol=1e-2)
    from statsmodels.stats.proportion import proportion_confint

    ends = proportion_confint(quantile["observed"] * 250, 250, 0.1, method="wilson")
    narrow = found.calibration_curve(8, level=0.9)
    np.testing.assert_allclose(narrow[["ci_lower", "ci_upper"]].T, ends, rtol=1e-10)


def test_weights_and_ties_count_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 5, (900, 2)).astype(float), rng.integers(1, 4, 900).astype(float)
    y = (x[:, 0] - x[:, 1] + rng.logistic(size=900) > 0).astype(int)
    glm = GLMClassifier().fit(x, y, sample_weight=w)
    found = glm.probability_diagnostics(x, y, sample_weight=w)
    assert len(found.bins.keys) == 25
    p = np.round(glm.predict_proba(x)[:, 1], 12)  # so that ties are ties
    assert found.auc == pytest.approx(roc_auc_score(y, p, sample_weight=w), rel=1e-12)
    assert (found.events, found.weight) == (w[y == 1].sum(), w.sum())
    long = np.repeat(np.arange(900), w.astype(int))
    expected = glm.probability_diagnostics(x[long], y[long])
    pd.testing.assert_frame_equal(found.calibration_curve(), expected.calibration_curve())


def test_one_pass_any_chunking_and_many_distinct_values(loads, scheduler, monkeypatch):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier().fit(x, y)
    exact = glm.probability_diagnostics(x.compute(), y.compute())
    loads.per_block()
    found = glm.probability_diagnostics(x, y)
    assert set(loads.per_block()) == {1}
    np.testing.assert_array_equal(found.bins.keys, exact.bins.keys)
    np.testing.assert_allclose(found.bins.sums, exact.bins.sums, rtol=1e-13)
    if scheduler != "distributed":
        monkeypatch.setattr(binned, "MOST_BINS", 40)
        rough = glm.probability_diagnostics(x, y)
        assert 20 <= len(rough.bins.keys) <= 40
        assert 0 < abs(rough.auc - exact.auc) <= rough.auc_error
        one = glm.probability_diagnostics(x.compute(), y.compute())
        np.testing.assert_array_equal(rough.bins.keys, one.bins.keys)
        assert rough.bins.shift == one.bins.shift


def test_many_rows_have_an_auc_to_six_digits():
    rng = np.random.default_rng(2)
    eta = rng.normal(-4, 1.5, 200_000)
    y = (rng.random(200_000) < 1 / (1 + np.exp(-eta))).astype(float)
    sums = BinnedSums.of(eta, y, 1 - y, 1 / (1 + np.exp(-eta)))
    from dask_onestep.inference.probabilities import ProbabilityDiagnostics

    found = ProbabilityDiagnostics(sums)
    assert len(sums.keys) <= binned.MOST_BINS
    assert found.auc == pytest.approx(roc_auc_score(y, eta), abs=1e-6)
    assert found.auc_error < 1e-3


def test_bins_are_in_the_order_of_numbers():
    values = np.array([-np.inf, -3.0, -1e-300, -0.0, 0.0, 1e-300, 2.0, 1e300])
    found = BinnedSums.of(values, np.arange(8.0))
    assert found.sums[:, 0].tolist() == [0.0, 1.0, 2.0, 7.0, 5.0, 6.0, 7.0]
    assert (found + found).sums.sum() == 56.0


def test_the_published_test_of_low_birth_weight():
    # Stata's manual, [R] estat gof: chi2(8) = 9.65, p = 0.29, and the table of the groups.
    frame = dd.from_pandas(LOW, npartitions=3)
    glm = GLMClassifier(formula="low ~ age + lwt + C(race) + smoke + ptl + ht + ui", method="mle").fit(frame)
    test = glm.hosmer_lemeshow_test(frame)
    assert (round(test.statistic, 2), test.df, round(test.p_value, 2)) == (9.65, 8, 0.29)
    found = glm.probability_diagnostics(frame)
    groups = found.calibration_curve()
    assert (groups["observed"] * groups["weight"]).round(9).tolist() == [0, 2, 6, 1, 7, 7, 6, 7, 10, 13]
    expected = [1.2, 2.0, 3.2, 4.3, 4.9, 5.6, 6.5, 8.2, 10.3, 12.8]
    assert (groups["predicted"] * groups["weight"]).round(1).tolist() == expected
    assert groups["weight"].tolist() == [19.0] * 9 + [18.0]
    outside = found.hosmer_lemeshow_test(in_sample=False)
    assert (outside.statistic, outside.df) == (test.statistic, 10)
    assert str(test).startswith("Hosmer-Lemeshow test of calibrated probabilities: chi2(8) = 9.652")


def test_each_class_against_the_others(threads):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(900, 2))
    y = np.array(["a", "b", "c"])[np.argmax(x @ rng.normal(size=(2, 3)) + rng.gumbel(size=(900, 3)), axis=1)]
    glm = GLMClassifier().fit(da.from_array(x, chunks=250), da.from_array(y, chunks=250))
    for number, label in enumerate("abc"):
        found = glm.probability_diagnostics(x, y, label=label)
        assert found.auc == pytest.approx(roc_auc_score(y == label, glm.predict_proba(x)[:, number]), rel=1e-12)
        assert found.label == label
    with pytest.raises(ValueError, match="label is required with more than two classes; must be one of 'a', 'b', 'c'"):
        glm.probability_diagnostics(x, y)
    with pytest.raises(ValueError, match="Unknown label 'd'"):
        glm.probability_diagnostics(x, y, label="d")


def test_the_first_of_two_classes_has_the_same_area(fitted):
    glm, x, y, p = fitted
    first = glm.probability_diagnostics(x, y, label=0)
    assert first.auc == pytest.approx(glm.probability_diagnostics(x, y).auc, rel=1e-12)
    assert first.events == (y.compute() == 0).sum()
    np.testing.assert_allclose(first.bins.sums[:, 2].sum(), (1 - p).sum(), rtol=1e-12)


def test_what_they_refuse(fitted):
    glm, x, y, _ = fitted
    found = glm.probability_diagnostics(x, y)
    with pytest.raises(ValueError, match="Unknown strategy 'equal'"):
        found.calibration_curve(strategy="equal")
    with pytest.raises(ValueError, match="level=95 must lie between"):
        found.calibration_curve(level=95)
    with pytest.raises(ValueError, match="the test needs at least 3"):
        found.hosmer_lemeshow_test(2)
    few = GLMClassifier().fit(np.tile([[0.0], [1.0], [2.0], [3.0]], (50, 1)), np.tile([0, 1, 1, 0, 0, 1, 1, 1], 25))
    x, y = np.tile([[0.0], [1.0], [2.0], [3.0]], (50, 1)), np.tile([0, 1, 1, 0, 0, 1, 1, 1], 25)
    assert few.hosmer_lemeshow_test(x, y).note == "Ties leave 4 of 10 groups."


def test_rows_of_one_class_have_a_calibration_and_no_area(fitted):
    glm, x, y, p = fitted
    x, y = x.compute(), y.compute()
    found = glm.probability_diagnostics(x[y == 1], y[y == 1])
    assert np.isnan(found.auc)
    assert found.roc_curve()["tpr"].iloc[-1] == 1.0
    assert found.roc_curve()["fpr"].iloc[1:].isna().all()
    curve = found.calibration_curve(4)
    assert (curve["observed"] == 1).all()
    np.testing.assert_allclose((curve["predicted"] * curve["weight"]).sum(), p[y == 1].sum())
