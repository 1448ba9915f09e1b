"""Every public parameter changes what comes out, and scikit-learn routes weights and offsets."""

import warnings

import numpy as np
import pytest
import sklearn
from oracle import blocks, simulate, weights_for
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.datasets import make_glm

X, Y, SHIFT = simulate("poisson", "log", n=1500, offset=True)
WEIGHTS = weights_for("variance", len(Y))


def outcome(estimator, y=Y, x=X, **data):
    """Return all that a fit gives, as one vector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(*blocks(x, y, rows=400), **{name: blocks(part, rows=400)[0] for name, part in data.items()})
    estimate = estimator.estimate_
    numbers = [estimate.coef, estimate.covariance.ravel(), [estimate.df_resid, estimate.n_passes, estimate.n_iter]]
    return np.concatenate(numbers)


def differ(one, two):
    return len(one) != len(two) or not np.allclose(one, two, rtol=1e-9, atol=0, equal_nan=True)


REGRESSOR = {
    "family": "gaussian",
    "link": "sqrt",
    "method": "mle",
    "fit_intercept": False,
    "cov_type": "HC0",
}


@pytest.mark.parametrize("name", REGRESSOR)
def test_parameters_of_the_regressor(name):
    assert differ(
        outcome(GLMRegressor("poisson")), outcome(GLMRegressor(**{"family": "poisson", name: REGRESSOR[name]}))
    )


CLASSIFIER = {"link": "probit", "method": "mle", "fit_intercept": False, "cov_type": "HC1"}


@pytest.mark.parametrize("name", CLASSIFIER)
def test_parameters_of_the_classifier(name):
    y = (Y > 1).astype(int)
    assert differ(outcome(GLMClassifier(), y), outcome(GLMClassifier(**{name: CLASSIFIER[name]}), y))


def test_weight_type():
    weights = weights_for("frequency", len(Y))
    one, two = (
        outcome(GLMRegressor("gaussian", weight_type=kind), sample_weight=weights) for kind in ("variance", "frequency")
    )
    assert differ(one, two)


def test_cov_types_differ_from_each_other():
    groups = np.arange(len(Y)) // 30
    found = [outcome(GLMRegressor("poisson", cov_type=kind)) for kind in ("nonrobust", "HC0", "HC1")]
    found.append(outcome(GLMRegressor("poisson", cov_type="cluster"), groups=groups))
    assert all(differ(one, two) for i, one in enumerate(found) for two in found[:i])


def test_missing():
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="missing='drop'"):
        GLMRegressor("poisson").fit(x, Y)
    assert GLMRegressor("poisson", missing="drop").fit(x, Y).n_missing_ == 1


def test_verbose(capsys):
    GLMRegressor("poisson").fit(X, Y)
    assert not capsys.readouterr().out
    GLMRegressor("poisson", verbose=True).fit(X, Y)
    assert "pass 2" in capsys.readouterr().out


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="solver='svd' is not known"):
        GLMRegressor("poisson", solver="svd").fit(X, Y)


def test_solvers_differ_in_passes_and_in_what_they_say():
    one, two = (GLMRegressor("poisson", solver=solver).fit(X, Y) for solver in ("cholesky", "qr"))
    assert (one.estimate_.solver, two.estimate_.solver) == ("cholesky", "qr")
    assert two.n_passes_ == one.n_passes_ + 1


@pytest.mark.parametrize("data", [{"sample_weight": WEIGHTS}, {"offset": SHIFT}], ids=["sample_weight", "offset"])
def test_what_comes_with_the_data(data):
    assert differ(outcome(GLMRegressor("poisson")), outcome(GLMRegressor("poisson"), **data))


METHODS = [
    (OneStep(pilot_size=400), OneStep(pilot_size=500)),
    (OneStep(pilot_size=400), OneStep(pilot_size=400, steps=2)),
    (OneStep(pilot_size=400), OneStep(pilot_size=400, correction=None)),
    (OneStep(pilot_size=400), OneStep(pilot_size=400, random_state=1)),
    (Pilot(400), Pilot(500)),
    (Pilot(400), Pilot(400, random_state=1)),
    (MLE(), MLE(start=None)),
    (MLE(), MLE(max_iter=1)),
    (MLE(), MLE(tol=10.0)),
]


@pytest.mark.parametrize(("one", "two"), METHODS, ids=lambda method: str(method))
def test_parameters_of_the_methods(one, two):
    assert differ(outcome(GLMRegressor("poisson", method=one)), outcome(GLMRegressor("poisson", method=two)))


def test_the_seed_of_an_mle_chooses_its_start():
    x, y, _ = make_glm(20_000, 3, family="poisson", random_state=0)
    one, two = (GLMRegressor("poisson", method=MLE(random_state=seed, tol=1.0)).fit(x, y) for seed in (0, 1))
    assert not np.array_equal(one.coef_, two.coef_)


def test_the_tolerance_of_one_step_decides_what_passes_without_remark():
    x, y, _ = make_glm(20_000, 3, family="poisson", random_state=0)
    with pytest.warns(UserWarning, match="The estimate may be"):
        GLMRegressor("poisson", method=OneStep(pilot_size=300, correction=None, tol=1e-9)).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GLMRegressor("poisson", method=OneStep(pilot_size=3000, tol=10.0)).fit(x, y)


def test_the_level_of_tables_and_summaries():
    glm = GLMRegressor("poisson").fit(X, Y)
    wide, narrow = (glm.coef_table(level)["ci_upper"] - glm.coef_table(level)["ci_lower"] for level in (0.99, 0.5))
    assert (wide > narrow).all()
    assert str(glm.summary(level=0.9)) != str(glm.summary())


# --- routing ----------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def by_hand(x, y, weights, offset):
    scores = []
    for train, test in KFold(3).split(x):
        glm = GLMRegressor("poisson", method="mle")
        glm.fit(x[train], y[train], sample_weight=weights[train], offset=offset[train])
        scores.append(glm.score(x[test], y[test], sample_weight=weights[test], offset=offset[test]))
    return scores


@pytest.mark.usefixtures("routing")
def test_weights_and_offsets_are_routed_through_cross_validation():
    glm = GLMRegressor("poisson", method="mle")
    glm.set_fit_request(sample_weight=True, offset=True).set_score_request(sample_weight=True, offset=True)
    found = cross_validate(glm, X, Y, cv=KFold(3), params={"sample_weight": WEIGHTS, "offset": SHIFT})
    np.testing.assert_allclose(found["test_score"], by_hand(X, Y, WEIGHTS, SHIFT), rtol=1e-9)


@pytest.mark.usefixtures("routing")
def test_they_are_routed_through_a_pipeline_and_a_search():
    glm = GLMRegressor("poisson").set_fit_request(sample_weight=True, offset=True)
    glm.set_score_request(sample_weight=True, offset=True)
    grid = {"method__correction": [None, "pilot"]}
    search = GridSearchCV(GLMRegressor("poisson", method=OneStep(pilot_size=300)), grid, cv=KFold(3))
    search.estimator.set_fit_request(sample_weight=True, offset=True)
    search.estimator.set_score_request(sample_weight=True, offset=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search.fit(X, Y, sample_weight=WEIGHTS, offset=SHIFT)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    scaled = StandardScaler().fit_transform(X)
    direct = GLMRegressor("poisson").fit(scaled, Y, sample_weight=WEIGHTS, offset=SHIFT)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), glm)
    pipeline.fit(X, Y, sample_weight=WEIGHTS, offset=SHIFT)
    assert np.array_equal(pipeline[-1].coef_, direct.coef_)
    glm.set_predict_request(offset=True)
    np.testing.assert_allclose(pipeline.predict(X, offset=SHIFT), direct.predict(scaled, offset=SHIFT))
