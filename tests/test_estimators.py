"""The estimators as scikit-learn and Dask know them."""

import gc
import pickle
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import Delayed
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from support import chunked, raise_if_dask_computes

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import AliasingWarning
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


@pytest.fixture
def binary(threads):
    return make_glm(2000, 3, family="binomial", chunks=300, random_state=1)


@pytest.fixture
def counts(threads):
    return make_glm(2000, 3, family="poisson", chunks=300, random_state=1)


def frame_of(x, y, parts=4):
    table = pd.DataFrame(x.compute(), columns=["a", "b", "c"]).assign(y=y.compute())
    return dd.from_pandas(table, npartitions=parts)


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


@pytest.mark.parametrize("method", ["one-step", "mle", "pilot"])
def test_a_fitted_model_is_small_and_travels(method, threads):
    sizes = []
    for rows in (2000, 20_000):
        x, y, _ = make_glm(rows, 3, family="binomial", chunks=rows // 4)
        glm = GLMClassifier(method=method).fit(x, y)
        sizes.append(len(pickle.dumps(glm)))
        copy = pickle.loads(pickle.dumps(glm))
        np.testing.assert_array_equal(copy.coef_, glm.coef_)
        assert str(copy.summary()) == str(glm.summary())
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
    assert (glm.n_iter_, glm.n_passes_, glm.dispersion_) == (1, 2, 1.0)
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


def test_predictions_on_arrays_are_lazy(binary):
    x, y, _ = binary
    glm = GLMClassifier().fit(x, y)
    with raise_if_dask_computes():
        lazy = glm.decision_function(x), glm.predict_proba(x), glm.predict(x)
    eta = x.compute() @ glm.coef_[0] + glm.intercept_
    assert all(isinstance(part, da.Array) for part in lazy)
    assert [part.chunks[0] for part in lazy] == [x.chunks[0]] * 3
    np.testing.assert_allclose(lazy[0].compute(), eta, rtol=1e-12)
    np.testing.assert_allclose(lazy[1].compute()[:, 1], 1 / (1 + np.exp(-eta)), rtol=1e-12)
    np.testing.assert_allclose(lazy[1].compute().sum(axis=1), 1.0)
    np.testing.assert_array_equal(lazy[2].compute(), eta > 0)
    local = glm.predict_proba(x.compute())
    assert isinstance(local, np.ndarray)
    np.testing.assert_allclose(local, lazy[1].compute(), rtol=1e-12)
    assert glm.score(x, y) == np.mean((eta > 0) == y.compute())


def test_predictions_on_frames_are_lazy_and_keep_the_index(binary):
    x, y, _ = binary
    frame = frame_of(x, y)
    glm = GLMClassifier().fit(frame[["a", "b", "c"]], frame["y"])
    with raise_if_dask_computes():
        label, proba = glm.predict(frame[["a", "b", "c"]]), glm.predict_proba(frame[["a", "b", "c"]])
    assert isinstance(label, dd.Series)
    assert isinstance(proba, dd.DataFrame)
    assert list(proba.columns) == glm.classes_.tolist()
    # BLAS may sum a row otherwise in a longer block.
    local = glm.predict_proba(frame[["a", "b", "c"]].compute())
    np.testing.assert_allclose(proba.compute().to_numpy(), local, rtol=1e-12)
    assert (label.compute().index == frame.compute().index).all()
    regressor = GLMRegressor("binomial").fit(frame[["a", "b", "c"]], frame["y"])
    np.testing.assert_array_equal(regressor.predict(frame[["a", "b", "c"]]).compute(), proba.compute()[1.0])


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


@pytest.mark.parametrize("estimator", [GLMRegressor("poisson"), GLMClassifier(method=Pilot(500))], ids=str)
def test_fit_delayed_computes_nothing_and_gives_fit(counts, estimator):
    x, y, _ = counts
    y = y if isinstance(estimator, GLMRegressor) else y > 1
    with raise_if_dask_computes():
        lazy = estimator.fit_delayed(x, y)
    assert isinstance(lazy, Delayed)
    assert not hasattr(estimator, "coef_")
    fitted, direct = lazy.compute(), clone(estimator).fit(x, y)
    assert type(fitted) is type(estimator)
    for name in ("coef_", "intercept_", "covariance_", "n_passes_", "n_samples_", "decrement_"):
        np.testing.assert_array_equal(getattr(fitted, name), getattr(direct, name), err_msg=name)
    assert str(fitted.summary()) == str(direct.summary())
    np.testing.assert_array_equal(fitted.predict(x).compute(), direct.predict(x).compute())


def test_several_fits_share_one_compute(counts, scheduler):
    x, y, _ = counts
    grid = [GLMRegressor("poisson", method=OneStep(size)) for size in (300, 600)]
    grid.append(GLMRegressor("poisson", cov_type="HC1", method=OneStep(300, steps=2)))
    fits = dask.compute(*(glm.fit_delayed(x, y) for glm in grid))
    assert [fit.estimate_.pilot_size for fit in fits] == [300, 600, 300]
    assert [fit.n_passes_ for fit in fits] == [2, 2, 4]
    for glm, fit in zip(grid, fits, strict=True):
        np.testing.assert_array_equal(glm.fit(x, y).covariance_, fit.covariance_)


def test_fit_delayed_leaves_warnings_in_the_estimate(threads):
    x, y, _ = make_glm(400, 2, chunks=100)
    x = da.concatenate([x, x[:, :1]], axis=1)
    lazy = GLMRegressor().fit_delayed(x, y)
    fitted = lazy.compute()
    ((category, text),) = fitted.estimate_.warnings
    assert category is AliasingWarning
    assert text.startswith("Aliased columns get NaN: x2.")
    assert "Warning: Aliased columns" in str(fitted.summary())
    with pytest.warns(UserWarning, match=r"Aliased columns get NaN: x2\."):
        GLMRegressor().fit(x, y)


@pytest.mark.parametrize("method", ["mle", OneStep(steps="auto")])
def test_methods_that_iterate_have_no_one_graph(counts, method):
    x, y, _ = counts
    with pytest.raises(ValueError, match="fit_delayed: "):
        GLMRegressor("poisson", method=method).fit_delayed(x, y)


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


def test_weights_and_offset_must_come_again(binary):
    x, y, _ = binary
    ones = da.ones(2000, chunks=300)
    glm = GLMClassifier().fit(x, y, sample_weight=ones, offset=ones * 0.1)
    with pytest.raises(ValueError, match="fit had offset= and this call has not: pass it here too, for these rows"):
        glm.predict(x)
    with pytest.raises(ValueError, match="fit had sample_weight= and this call has not"):
        glm.score(x, y, offset=ones * 0.1)
    with raise_if_dask_computes():
        shifted = glm.decision_function(x, offset=ones * 2)
    np.testing.assert_allclose(shifted.compute(), x.compute() @ glm.coef_[0] + glm.intercept_ + 2, rtol=1e-12)


@pytest.mark.parametrize("mean", [0.0, 1e8])
def test_score_of_a_regressor_is_r2(threads, mean):
    x, y, _ = make_glm(1000, 3, dispersion=0.1, chunks=100)
    glm = GLMRegressor().fit(x, y + mean)
    assert glm.n_passes_ == 2
    expected = r2_score(y.compute() + mean, glm.predict(x).compute())
    # Beside a mean of 1e8 the predictions themselves have eight digits behind the point.
    np.testing.assert_allclose(glm.score(x, y + mean), expected, rtol=1e-7 if mean else 1e-10)
    assert 0.1 < expected < 0.9


@pytest.mark.parametrize(("family", "power"), [("poisson", 1), ("gamma", 2)])
def test_score_is_the_deviance_explained(threads, family, power):
    x, y, _ = make_glm(1000, 3, family=family, link="log", chunks=100)
    weights = da.random.default_rng(0).uniform(0, 2, 1000, chunks=100).persist()
    glm = GLMRegressor(family, link="log").fit(x, y, sample_weight=weights)
    expected = d2_tweedie_score(y.compute(), glm.predict(x).compute(), sample_weight=weights.compute(), power=power)
    np.testing.assert_allclose(glm.score(x, y, sample_weight=weights), expected, rtol=1e-10)


def test_score_with_blocks_of_nothing_but_zeros(threads):
    x = np.linspace(0, 3, 300)[:, None]
    y = np.r_[np.zeros(100), np.random.default_rng(0).poisson(2.0, 200)]
    glm = GLMRegressor("poisson", method="mle").fit(chunked(x, (100, 0, 200)), chunked(y, (100, 0, 200)))
    expected = d2_tweedie_score(y, glm.predict(x), power=1)
    np.testing.assert_allclose(glm.score(chunked(x, (100, 0, 200)), chunked(y, (100, 0, 200))), expected, rtol=1e-10)


def test_rows_with_gaps(binary):
    x, y, _ = binary
    table = x.compute()
    table[::10, 1] = np.nan
    holes = da.from_array(table, chunks=x.chunks)
    with pytest.raises(ValueError, match=r"column x1 \(200 rows\)\. In blocks 0, 1, 2, 3, 4, …\. Pass missing='drop'"):
        GLMClassifier().fit(holes, y)
    glm = GLMClassifier(missing="drop", method="mle").fit(holes, y)
    assert (glm.n_samples_, glm.n_missing_) == (1800, 200)
    kept = np.isfinite(table[:, 1])
    expected = GLMClassifier(method="mle").fit(table[kept], y.compute()[kept])
    np.testing.assert_allclose(glm.coef_, expected.coef_, rtol=1e-10)
    assert np.isnan(glm.predict_proba(holes).compute()[::10]).all()
    assert np.isfinite(glm.predict_proba(holes).compute()[kept]).all()
    # A label cannot say that it is not known.
    with pytest.raises(ValueError, match=r"Input X .* in column x1 \(\d+ rows\)\. Leave such rows out"):
        glm.predict(holes).compute()
    assert glm.score(holes, y) == expected.score(table[kept], y.compute()[kept])


NAN = np.where(np.arange(40) == 33, np.nan, 1.0)
TABLE = np.random.default_rng(0).normal(size=(40, 2))
ALTERNATING = np.arange(40) % 2


@pytest.mark.parametrize(
    ("estimator", "y", "options", "text"),
    [
        (GLMRegressor(), NAN, {}, r"Input y contains NaN, infinity or a missing value \(1 row\)\. In block 3\."),
        (GLMRegressor("poisson"), -np.ones(40), {}, r"y is outside the poisson family's range.*-1 for one \(40 rows\)"),
        (GLMRegressor("binomial"), NAN[::-1] * 2, {}, "Input y contains NaN"),
        (GLMRegressor("gamma"), np.zeros(40), {}, "outside the gamma family's range, which is positive numbers"),
        (GLMClassifier(), np.zeros(40), {}, r"y has one class only, (np\.float64\()?0\.0\)?: a classifier needs"),
        (GLMClassifier("probit"), np.arange(40) % 3, {}, "Only binary classification.*labels 0, 1, 2"),
        (GLMClassifier(), TABLE[:, 0], {}, "Unknown label type: continuous"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": -NAN[::-1]}, "sample_weight"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": -np.ones(40)}, r"sample_weight is negative \(40 rows\)"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": np.zeros(40)}, "sample_weight is zero on every row"),
        (GLMRegressor(), ALTERNATING, {"offset": NAN}, "Input offset contains NaN"),
        (GLMRegressor(), ALTERNATING, {"groups": ALTERNATING}, "groups= and cov_type='cluster' go together"),
        (GLMRegressor(cov_type="cluster"), ALTERNATING, {}, "groups= and cov_type='cluster' go together"),
        (GLMRegressor(cov_type="HC9"), ALTERNATING, {}, "cov_type='HC9' is not known. Choose one of 'nonrobust'"),
        (GLMRegressor(solver="lbfgs"), ALTERNATING, {}, "solver='lbfgs' is not known"),
        (GLMRegressor(missing="impute"), ALTERNATING, {}, "missing='impute' is not known"),
        (GLMRegressor(weight_type="sampling"), ALTERNATING, {}, "weight_type='sampling' is not known"),
        (GLMRegressor(method="newton"), ALTERNATING, {}, "method='newton' is not known. Choose one of one-step, mle"),
        (GLMRegressor(method=OneStep), ALTERNATING, {}, r"method=OneStep is a class: pass an object, OneStep\(\)"),
        (GLMRegressor(method="pilot", cov_type="HC0"), ALTERNATING, {}, "cov_type='HC0' is not available with this"),
        (GLMRegressor(method=OneStep(0)), ALTERNATING, {}, "pilot_size=0 must be 'auto', a number of rows"),
        (GLMRegressor(method=OneStep(1.5)), ALTERNATING, {}, "pilot_size=1.5 must be"),
        (GLMRegressor(method=OneStep(steps=0)), ALTERNATING, {}, "steps=0 must be an integer"),
        (GLMRegressor(method=OneStep(correction="yes")), ALTERNATING, {}, "correction='yes' must be None or 'pilot'"),
        (GLMRegressor(method=OneStep(random_state=-1)), ALTERNATING, {}, "the seed must not be negative"),
        (GLMRegressor(method=MLE(max_iter=0)), ALTERNATING, {}, "max_iter=0 must be positive"),
        (GLMRegressor(), None, {}, "requires y to be passed, but the target y is None"),
        (GLMRegressor("normal"), ALTERNATING, {}, "family='normal' is not known"),
        (GLMRegressor(link="exp"), ALTERNATING, {}, "link='exp' is not known"),
    ],
)
def test_errors_say_what_where_and_the_cure(synchronous, estimator, y, options, text):
    x = chunked(TABLE, (10,) * 4)
    y = None if y is None else chunked(y, (10,) * 4)
    parts = {name: chunked(part, (10,) * 4) for name, part in options.items()}
    with pytest.raises((ValueError, TypeError), match=text):
        estimator.fit(x, y, **parts)
    with pytest.raises((ValueError, TypeError), match=text):
        estimator.fit_delayed(x, y, **parts).compute()


def test_unequal_chunks_raise_with_the_cure(synchronous):
    x, y = chunked(TABLE, (10,) * 4), chunked(ALTERNATING, (20, 20))
    with pytest.raises(ValueError, match=r"Use y = y\.rechunk\(X\.chunks\[0\]\)\.") as caught:
        GLMRegressor().fit(x, y)
    assert "block 0 has 10 rows in X and 20 in y" in str(caught.value)
    GLMRegressor().fit(x, y.rechunk(x.chunks[0]))


def test_chunks_that_turn_out_to_differ(synchronous):
    # Unknown sizes cannot be compared beforehand; the block says so.
    table = da.map_blocks(np.asarray, chunked(TABLE, (10,) * 4), chunks=((np.nan,) * 4, (2,)), dtype=float)
    y = da.map_blocks(np.asarray, chunked(ALTERNATING, (11, 9, 10, 10)), chunks=((np.nan,) * 4,), dtype=float)
    with pytest.raises(ValueError, match=r"x has 10 rows, y has 11 rows.*In blocks 0, 1\."):
        GLMRegressor().fit(table, y)


def test_the_name_intercept_is_taken(synchronous):
    frame = dd.from_pandas(pd.DataFrame(TABLE, columns=["intercept", "b"]), npartitions=2)
    with pytest.raises(ValueError, match="X has a column named 'intercept'"):
        GLMRegressor().fit(frame, frame["b"])
    names = GLMRegressor(fit_intercept=False).fit(frame, frame["b"] ** 2).coef_table().index
    assert names.tolist() == ["intercept", "b"]


def test_nothing_is_known_before_fit(counts):
    x, y, _ = counts
    glm = GLMRegressor("poisson")
    for call in (glm.coef_table, glm.summary, lambda: glm.predict(x), lambda: glm.score(x, y)):
        with pytest.raises(NotFittedError):
            call()


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
