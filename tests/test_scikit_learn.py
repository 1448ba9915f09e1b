"""The estimators among scikit-learn's: its conformance checks, parameters, searches and pipelines."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
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
            "X without columns is the null model, with only an intercept, and has a fit; X without rows is refused"
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


def flights(n=600):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "carrier": rng.choice(["AA", "UA"], n), "w": rng.integers(1, 4, n)})
    frame["miles"] = frame["x"] + (frame["carrier"] == "UA") + rng.normal(size=n)
    frame["late"] = np.where(rng.random(n) < 1 / (1 + np.exp(-frame["x"])), "late", "on time")
    return frame


@pytest.mark.parametrize(
    ("estimator", "name"),
    [(GLMRegressor(formula="miles ~ x + carrier"), "miles"), (GLMClassifier(formula="late ~ x + carrier"), "late")],
)
@pytest.mark.parametrize("kind", [pd.Series, np.asarray, list])
def test_a_formula_with_a_left_hand_side_is_cross_validated(estimator, name, kind):
    frame = flights()
    y = kind(frame[name])
    scores = cross_val_score(estimator, frame, y, cv=3, error_score="raise")
    # One fold by hand, by scikit-learn's own splitter.
    without = cross_val_score(estimator, frame.drop(columns=name), y, cv=3, error_score="raise")
    np.testing.assert_array_equal(scores, without)
    if name == "miles":
        train, test = next(KFold(3).split(frame))
        fold = clone(estimator).fit(frame.iloc[train])
        expected = r2_score(frame["miles"].iloc[test], fold.predict(frame.iloc[test]))
        assert scores[0] == pytest.approx(expected, rel=1e-10)
    found = GridSearchCV(estimator, {"method": ["mle", "one-step"]}, cv=3, error_score="raise").fit(frame, y)
    assert found.best_score_ == pytest.approx(scores.mean())
    importance = permutation_importance(found, frame.drop(columns=name), y, n_repeats=2, random_state=0)
    assert importance.importances_mean[0] > 0.05  # x
    assert importance.importances_mean[2] == 0  # w, which the formula does not read


def test_another_y_than_the_formulas_is_refused():
    frame = flights()
    glm = GLMRegressor(formula="miles ~ x")
    for y in (-frame["miles"], frame["x"].to_numpy()):
        with pytest.raises(ValueError, match=r"y is not the column 'miles' of X.*Omit y, or drop 'miles' from X"):
            glm.fit(frame, y)
    with pytest.raises(ValueError, match="reads 2 columns"):
        GLMRegressor(formula="I(miles - w) ~ x").fit(frame, frame["miles"])
    np.testing.assert_array_equal(glm.fit(frame, "miles").coef_, GLMRegressor(formula="miles ~ x").fit(frame).coef_)
    logs = GLMRegressor(formula="np.exp(miles) ~ x").fit(frame.drop(columns="miles"), frame["miles"])
    np.testing.assert_array_equal(logs.coef_, GLMRegressor(formula="np.exp(miles) ~ x").fit(frame).coef_)
    with pytest.raises(ValueError, match="y is not the column 'miles'"):
        glm.score(frame, frame["x"])


def test_y_of_dask_is_told_by_its_name():
    frame = dd.from_pandas(flights(), npartitions=3)
    glm = GLMRegressor(formula="miles ~ x")
    expected = GLMRegressor(formula="miles ~ x").fit(frame).coef_
    np.testing.assert_array_equal(glm.fit(frame, frame["miles"]).coef_, expected)
    np.testing.assert_array_equal(glm.fit(frame.drop(columns="miles"), frame["miles"]).coef_, expected)
    with pytest.raises(ValueError, match="y is not the column 'miles'"):
        glm.fit(frame, frame["x"])


@pytest.mark.parametrize("estimator", [GLMRegressor(), GLMClassifier()], ids=str)
def test_weights_of_a_fit_are_not_required_of_a_score(estimator):
    frame = flights()
    x, y = frame[["x"]], frame["miles" if isinstance(estimator, GLMRegressor) else "late"]
    weights = frame["w"].to_numpy(dtype=float)
    scores = cross_val_score(estimator, x, y, cv=3, params={"sample_weight": weights}, error_score="raise")
    train, test = next(cross_validation(estimator).split(x, y))
    fold = clone(estimator).fit(x.iloc[train], y.iloc[train], sample_weight=weights[train])
    assert scores[0] == fold.score(x.iloc[test], y.iloc[test])
    assert scores[0] != clone(estimator).fit(x.iloc[train], y.iloc[train]).score(x.iloc[test], y.iloc[test])
    with pytest.raises(ValueError, match="sample_weight"):
        fold.fit_statistics(x, y)


def cross_validation(estimator):
    return StratifiedKFold(3) if isinstance(estimator, GLMClassifier) else KFold(3)


def test_probabilities_are_calibrated():
    frame = flights()
    calibrated = CalibratedClassifierCV(GLMClassifier(formula="late ~ x"), cv=3).fit(
        frame.drop(columns="late"), frame["late"]
    )
    shares = calibrated.predict_proba(frame.drop(columns="late"))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert calibrated.score(frame.drop(columns="late"), frame["late"]) > 0.6


def test_families_and_pilot_sizes_are_searched():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 2))
    y = rng.poisson(np.exp(x[:, 0])).astype(float)
    grid = {"family": ["gaussian", "poisson"], "method__pilot_size": [300, 500]}
    found = GridSearchCV(GLMRegressor(method=OneStep()), grid, cv=3, error_score="raise").fit(x, y)
    assert found.best_params_["family"] == "poisson"
