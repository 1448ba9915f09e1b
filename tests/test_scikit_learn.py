"""The estimators among scikit-learn's: its conformance checks, parameters, searches and pipelines."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.families import NegativeBinomial

CHECKED = [
    GLMRegressor(),
    GLMRegressor("poisson", method="mle"),
    GLMRegressor("gamma", link="log", method=OneStep(correction=None)),
    GLMRegressor(NegativeBinomial(0.5), method=MLE(start=None)),
    GLMRegressor(method="pilot", fit_intercept=False),
    GLMRegressor(cov_type="HC1", missing="drop", weight_type="frequency"),
    GLMClassifier(),
    GLMClassifier("probit", method="mle"),
    GLMClassifier(method=OneStep(steps=2), fit_intercept=False, cov_type="HC0"),
]


def expected_failures(estimator):
    reasons = {}
    if estimator.fit_intercept:
        reasons["check_estimators_empty_data_messages"] = (
            "X without columns is the null model, an intercept alone, and has a fit; X without rows is refused"
        )
    if isinstance(estimator, GLMClassifier):
        for kind in ("dense", "sparse"):
            reasons[f"check_sample_weight_equivalence_on_{kind}_data"] = (
                "the check has 30 columns for 15 rows, so the classes are separated and no maximum exists; where one "
                "does, test_a_weight_of_two_is_a_row_twice"
            )
    return reasons


# Fifteen rows and thirty columns, alias and separation: the warnings are right, and not what is checked.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CHECKED, ids=str)
def test_clone_and_parameters(estimator):
    copy = clone(estimator)
    assert copy is not estimator
    assert repr(copy) == repr(estimator)
    assert all(name in estimator.get_params() for name in ("method", "cov_type", "fit_intercept"))


def test_nested_parameters_turn_a_name_into_its_object():
    glm = GLMRegressor()
    assert glm.method == "one-step"
    glm.set_params(method__pilot_size=500)
    assert isinstance(glm.method, OneStep)
    assert glm.method.pilot_size == 500
    glm.set_params(method="mle", method__max_iter=3)
    assert isinstance(glm.method, MLE)
    assert glm.method.max_iter == 3
    assert GLMRegressor().method == "one-step"
    with pytest.raises(ValueError, match="Invalid parameter 'alpha' for estimator OneStep"):
        GLMRegressor().set_params(method__alpha=1.0)


def test_grid_search_over_the_pilot():
    x, y = make_classification(600, 5, n_redundant=0, random_state=0)
    grid = GridSearchCV(GLMClassifier(), {"method__pilot_size": [300, 400]}, cv=3, error_score="raise").fit(x, y)
    assert grid.best_estimator_.estimate_.pilot_size == grid.best_params_["method__pilot_size"]
    assert grid.best_score_ > 0.7


def test_pipeline_and_cross_validation():
    x, y = make_classification(400, 5, n_redundant=0, random_state=0)
    pipe = make_pipeline(StandardScaler(), GLMClassifier(method="mle"))
    assert cross_val_score(pipe, x, y, cv=3).min() > 0.7
    frame = pd.DataFrame(x, columns=list("abcde"))
    fitted = pipe.set_output(transform="pandas").fit(frame, y)
    assert fitted[-1].coef_table().index.tolist() == ["intercept", *"abcde"]


def test_pipelines_of_numpy_arrays_score_as_scikit_learns_own():
    x, y = make_classification(400, 5, n_redundant=0, random_state=0)
    searches, scores = [], []
    for model in (GLMClassifier(method="mle"), LogisticRegression(C=np.inf, tol=1e-10)):
        pipeline = Pipeline([("scaled", StandardScaler()), ("best", SelectKBest()), ("model", model)])
        grid = {"best__k": [1, 3, 5], "model__fit_intercept": [True, False]}
        searches.append(GridSearchCV(pipeline, grid, cv=4, scoring="neg_log_loss", error_score="raise").fit(x, y))
        scores.append(cross_val_score(searches[-1].best_estimator_, x, y, cv=KFold(5), scoring="neg_log_loss"))
    ours, theirs = searches
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-6)
    np.testing.assert_allclose(*scores, rtol=1e-6)
    assert type(ours.predict_proba(x)) is np.ndarray
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-6)
