"""What fitted estimators hold, of labels and methods of any kind, and that they travel."""

import gc
import pickle
import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from dask_onestep import GLMClassifier, GLMRegressor, Pilot
from dask_onestep.datasets import make_glm


@pytest.mark.parametrize("method", ["one-step", "mle", "pilot"])
def test_a_fitted_model_is_small_and_travels(method, threads):
    sizes = []
    for rows in (2000, 20_000):
        x, y, _ = make_glm(rows, 3, family="binomial", chunks=rows // 4)
        glm = GLMClassifier(method=method).fit(x, y)
        # In addition to a key and a position for each pilot row.
        kept = pickle.loads(pickle.dumps(glm)).record_.pilot
        sizes.append(len(pickle.dumps(glm)) - (24 + 8 * (kept.probabilities is not None)) * len(kept.keys))
        copy = pickle.loads(pickle.dumps(glm))
        np.testing.assert_array_equal(copy.coef_, glm.coef_)
        # The pilot's rows, from which events are counted, are not pickled.
        shown, kept = (
            [line for line in str(each.summary()).splitlines() if "events" not in line] for each in (copy, glm)
        )
        assert shown == kept
    assert abs(sizes[1] - sizes[0]) < 200
    assert max(sizes) < 10_000


def test_fitted_attributes(binary):
    x, y, _ = binary
    glm = GLMClassifier().fit(x, y)
    assert glm.coef_.shape == (1, 3)
    assert glm.intercept_.shape == (1,)
    assert glm.classes_.tolist() == [0, 1]
    assert glm.covariance_.shape == (4, 4)
    assert (glm.n_features_in_, glm.n_samples_, glm.n_missing_) == (3, 2000, 0)
    assert not hasattr(glm, "feature_names_in_")
    assert (glm.n_passes_, glm.dispersion_) == (1, 1.0)
    assert glm.n_iter_ > 1
    np.testing.assert_array_equal(np.r_[glm.intercept_, glm.coef_[0]], glm.estimate_.coef)
    assert glm.coef_table().index.tolist() == ["intercept", "x0", "x1", "x2"]
    regressor = GLMRegressor("binomial", fit_intercept=False).fit(x, y)
    assert regressor.coef_.shape == (3,)
    assert regressor.intercept_ == 0.0
    assert regressor.covariance_.shape == (3, 3)


def test_regressor_and_classifier_are_one_model(binary):
    x, y, _ = binary
    classifier, regressor = GLMClassifier(method="mle").fit(x, y), GLMRegressor("binomial", method="mle").fit(x, y)
    np.testing.assert_array_equal(classifier.estimate_.coef, regressor.estimate_.coef)
    np.testing.assert_array_equal(classifier.predict_proba(x)[:, 1], regressor.predict(x))


@pytest.mark.parametrize("labels", [np.array(["no", "yes"]), np.array([7, 3]), np.array([True, False])], ids=str)
def test_labels_of_any_kind(binary, labels):
    x, y, _ = binary
    plain = GLMClassifier(method="mle").fit(x, y)
    named = GLMClassifier(method="mle").fit(x, y.map_blocks(pick_label, labels, dtype=labels.dtype))
    assert named.classes_.tolist() == sorted(labels.tolist())
    sign = 1 if labels[1] == named.classes_[1] else -1
    np.testing.assert_allclose(named.coef_, sign * plain.coef_, rtol=1e-9)
    predicted = named.predict(x)
    assert predicted.dtype == labels.dtype
    np.testing.assert_array_equal(predicted.compute(), labels[plain.predict(x).compute().astype(int)])
    assert named.score(x, y.map_blocks(pick_label, labels, dtype=labels.dtype)) == plain.score(x, y)


def pick_label(y, labels):
    return labels[y.astype(int)]


def test_an_own_method_is_a_method(counts):
    x, y, _ = counts
    glm = GLMRegressor("poisson", method=TwoPilots()).fit(x, y)
    pilots = [GLMRegressor("poisson", method=Pilot(400, random_state=seed)).fit(x, y) for seed in (1, 2)]
    np.testing.assert_allclose(glm.coef_, (pilots[0].coef_ + pilots[1].coef_) / 2, rtol=1e-12)
    assert glm.n_passes_ == 2
    assert "by TwoPilots" in str(glm.summary())
    lazy = GLMRegressor("poisson", method=TwoPilots()).fit_delayed(x, y).compute()
    np.testing.assert_array_equal(lazy.coef_, glm.coef_)
    assert clone(glm).set_params(method__rows=100).method.rows == 100


class TwoPilots(BaseEstimator):
    """The mean of two pilots: a method as a user may write one."""

    def __init__(self, rows=400):
        self.rows = rows

    def estimate(self, problem):
        pilots = [problem.pilot(self.rows, seed) for seed in (1, 2)]
        return problem.apply(mean_of_pilots, *pilots, problem.n_passes, name="mean")


class Scoring(BaseEstimator):
    """Steps from zero, which know nothing of labels."""

    def estimate(self, problem):
        from dask_onestep.methods import Estimate

        coef = np.zeros(problem.d)
        for _ in range(6):
            sums = problem.value(problem.moments(coef))
            inverse = np.linalg.inv(sums.information)
            coef = coef + inverse @ sums.score
        return Estimate(coef=coef, covariance=inverse, n_samples=sums.n, n_passes=problem.n_passes)


@pytest.mark.parametrize("labels", [[0, 1], [2.0, 1.0], ["no", "yes"]])
def test_a_method_of_ones_own_need_know_nothing_of_labels(labels):
    x, y, _ = make_glm(2000, 2, family="binomial", chunks=500)
    labels = np.array(labels)
    y = y.map_blocks(lambda block: labels[block.astype(int)], dtype=labels.dtype)
    glm, exact = (GLMClassifier(method=method).fit(x, y) for method in (Scoring(), "mle"))
    np.testing.assert_allclose(glm.coef_, exact.coef_, rtol=1e-7)
    assert glm.classes_.tolist() == exact.classes_.tolist()
    assert set(glm.predict(x).compute()) == set(labels)
    assert glm.n_passes_ == 7  # one for the labels


def test_a_method_of_ones_own_for_numbers_reads_no_labels():
    x, y, _ = make_glm(800, 2, family="binomial", chunks=400)
    glm = GLMRegressor("binomial", method=Scoring()).fit(x, y)
    assert glm.record_.estimate.classes is None
    assert glm.n_passes_ == 6
    with pytest.raises(ValueError, match="solver='qr'"):
        GLMRegressor("binomial", method=Scoring(), solver="qr").fit(x, y)


def test_a_method_that_returns_something_else_is_told():
    class Wrong(BaseEstimator):
        def estimate(self, problem):
            return 3

    x, y, _ = make_glm(400, 2)
    with pytest.raises(TypeError, match=r"Wrong.estimate\(problem\) returned 'int': expected"):
        GLMRegressor(method=Wrong()).fit(x, y)


def mean_of_pilots(first, second, n_passes):
    from dask_onestep.methods import Estimate

    coef = (first.coef + second.coef) / 2
    covariance = (first.factor.inverse() + second.factor.inverse()) / 4
    return Estimate(coef=coef, covariance=covariance, n_samples=first.survey.n, n_passes=n_passes)


def test_no_client_is_kept(client):
    x, y, _ = make_glm(400, 2, chunks=100)
    glm = GLMRegressor().fit(x, y)
    gc.collect()
    # A released future leaves the client's books a moment later.
    for _ in range(200):
        if not client.futures:
            break
        time.sleep(0.05)
    assert not client.futures
    assert b"distributed" not in pickle.dumps(glm)
