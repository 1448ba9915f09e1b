"""Every public parameter changes what comes out, and scikit-learn routes weights and offsets."""

import inspect
import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn
from oracle import blocks, simulate, weights_for
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_onestep import (
    MLE,
    Average,
    AverageLasso,
    DebiasedLasso,
    ElasticNet,
    ElasticNetCV,
    GLMClassifier,
    GLMRegressor,
    OneStep,
    Pilot,
    Surrogate,
)

X, Y, SHIFT = simulate("poisson", "log", n=1500, offset=True)
WEIGHTS = weights_for("variance", len(Y))
COUNTS = weights_for("frequency", len(Y))
GROUPS = np.arange(len(Y)) // 30
LABELS = (Y > 1).astype(int)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
GAP = np.where(np.arange(X.size).reshape(X.shape) == 10, np.nan, X)


def outcome(estimator, x=X, y=Y, **data):
    """Return all that a fit gives and says, as text and numbers."""
    parts = x if isinstance(x, pd.DataFrame) else blocks(x, rows=400)[0]
    lazy = {name: blocks(part, rows=400)[0] for name, part in data.items()}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            estimator.fit(parts, y if y is None or isinstance(y, str) else blocks(y, rows=400)[0], **lazy)
        except ValueError as error:
            return str(error)
    estimate = estimator.estimate_
    said = [str(each.message) for each in heard]
    facts = [estimate.df_resid, estimate.n_passes, estimate.n_iter, estimate.n_missing, len(said)]
    return np.concatenate([estimate.coef, estimate.covariance.ravel(), facts])


def differ(one, two):
    if isinstance(one, str) or isinstance(two, str):
        return type(one) is not type(two) or one != two
    one, two = np.asarray(one), np.asarray(two)
    return one.shape != two.shape or not np.allclose(one, two, rtol=1e-9, atol=0, equal_nan=True)


# --- estimators -------------------------------------------------------------------------------


def poisson(**options):
    return GLMRegressor(**{"family": "poisson"} | options)


ESTIMATORS = {
    "family": lambda glm: (outcome(glm()), outcome(GLMRegressor("gaussian"))),
    "link": lambda glm: (outcome(glm(), y=LABELS), outcome(glm(link="cloglog"), y=LABELS)),
    "method": lambda glm: (outcome(glm(), y=LABELS), outcome(glm(method="mle"), y=LABELS)),
    "fit_intercept": lambda glm: (outcome(glm(), y=LABELS), outcome(glm(fit_intercept=False), y=LABELS)),
    "cov_type": lambda glm: (outcome(glm(), y=LABELS), outcome(glm(cov_type="HC1"), y=LABELS)),
    "weight_type": lambda glm: (
        outcome(glm(cov_type="HC0"), y=LABELS, sample_weight=COUNTS),
        outcome(glm(cov_type="HC0", weight_type="frequency"), y=LABELS, sample_weight=COUNTS),
    ),
    # The lasso has no system to be solved by it, and reports it.
    "solver": lambda glm: (
        outcome(glm(method=AverageLasso(0.05)), y=LABELS),
        outcome(glm(method=AverageLasso(0.05), solver="cholesky"), y=LABELS),
    ),
    "formula": lambda glm: (
        outcome(glm(), FRAME.assign(y=LABELS), "y"),
        outcome(glm(formula="y ~ a + b"), FRAME.assign(y=LABELS), None),
    ),
    "missing": lambda glm: (outcome(glm(), GAP, LABELS), outcome(glm(missing="drop"), GAP, LABELS)),
}


def public(kind):
    """Return the parameters of a class, or of a function."""
    return [name for name in inspect.signature(kind).parameters if name not in ("self", "X", "y")]


@pytest.mark.parametrize(
    ("glm", "name"),
    [(poisson, name) for name in public(GLMRegressor) if name != "verbose"]
    + [(GLMClassifier, name) for name in public(GLMClassifier) if name != "verbose"],
)
def test_each_parameter_of_an_estimator_changes_the_outcome(glm, name):
    assert differ(*ESTIMATORS[name](glm))


def test_verbose(capsys):
    GLMRegressor("poisson", method=OneStep(400)).fit(X, Y)
    assert not capsys.readouterr().err
    GLMRegressor("poisson", method=OneStep(400), verbose=True).fit(X, Y)
    assert "pass 2" in capsys.readouterr().err


def test_cov_types_differ_from_each_other():
    found = [outcome(poisson(cov_type=kind)) for kind in ("nonrobust", "HC0", "HC1")]
    found.append(outcome(poisson(cov_type="cluster"), groups=GROUPS))
    assert all(differ(one, two) for i, one in enumerate(found) for two in found[:i])


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="Unknown solver 'svd'"):
        GLMRegressor("poisson", solver="svd").fit(X, Y)


def test_solvers_differ_in_passes_and_in_what_they_say():
    one, two = (GLMRegressor("poisson", solver=solver).fit(X, Y) for solver in ("cholesky", "qr"))
    assert (one.estimate_.solver, two.estimate_.solver) == ("cholesky", "qr")
    assert two.n_passes_ == one.n_passes_ + 1


# --- methods ----------------------------------------------------------------------------------

# The last of its blocks is smaller than the others, and two columns are nearly one, which takes many sweeps.
UNEVEN = (np.column_stack([X, X[:, 0] + 1e-3 * X[::-1, 1]])[:1100], Y[:1100])
# Effects by which cross-validation chooses a penalty.
SIGNAL = (UNEVEN[0], np.random.default_rng(0).poisson(np.exp(0.5 + UNEVEN[0] @ [0.4, -0.6, 0.02, 0.0])).astype(float))
METHODS = {
    OneStep: [
        {"pilot_size": 500},
        {"pilot_bytes": 1},
        {"steps": 2},
        {"correction": None},
        {"tol": 1e-9},
        {"random_state": 1},
    ],
    Pilot: [{"pilot_size": 500}, {"random_state": 1}],
    MLE: [{"start": None}, {"penalty": "jeffreys"}, {"max_iter": 1}, {"tol": 10.0}, {"random_state": 1}],
    Average: [{"weights": "equal"}],
    Surrogate: [{"anchor": "pilot"}, {"rounds": 2}, {"information": "all"}, {"pilot_size": 500}, {"random_state": 1}],
    DebiasedLasso: [
        {"alpha": 0.2},
        {"l1_ratio": 0.5},
        {"nodewise_alpha": 0.3},
        {"nodewise": "pooled"},
        {"weights": "equal"},
        {"threshold": 0.5},
        {"steps": 2},
        {"tol": 0.5},
        {"max_iter": 1},
    ],
    AverageLasso: [
        {"alpha": 0.2},
        {"l1_ratio": 0.5},
        {"weights": "equal"},
        {"threshold": 0.5},
        {"tol": 0.5},
        {"max_iter": 1},
    ],
    ElasticNet: [
        {"alpha": 0.2},
        {"l1_ratio": 1.0},
        {"penalty_factor": [0.0, 1.0, 1.0, 1.0]},
        {"standardize": True},
        {"groups": "terms"},
        {"tol": 10.0},
        {"max_iter": 1},
        {"pilot_size": 300},
        {"random_state": 1},
    ],
    ElasticNetCV: [
        {"alphas": [0.2, 0.1]},
        {"l1_ratios": [1.0]},
        {"cv": 2},
        {"penalty_factor": [0.0, 1.0, 1.0, 1.0]},
        {"rule": "1se"},
        {"standardize": True},
        {"groups": "terms"},
        {"tol": 10.0},
        {"max_iter": 1},
        {"pilot_size": 300},
        {"random_state": 1},
    ],
}
# What a change is seen against: the pilot's settings mean something only where one is drawn.
BESIDE = {
    OneStep: {"pilot_size": 400, "steps": 1},
    Pilot: {"pilot_size": 400},
    MLE: {},
    Average: {},
    Surrogate: {"pilot_size": 400},
    DebiasedLasso: {"alpha": 0.05, "nodewise": "partition", "steps": 1},
    AverageLasso: {"alpha": 0.05},
    ElasticNet: {"alpha": 0.05, "pilot_size": 200},
    ElasticNetCV: {"alphas": 40, "pilot_size": 200},
}
ONLY_WITH = {
    (Surrogate, "pilot_size"): {"anchor": "pilot"},
    (Surrogate, "random_state"): {"anchor": "pilot"},
    (MLE, "random_state"): {"tol": 1.0},
    (OneStep, "pilot_bytes"): {"pilot_size": "auto"},
    (DebiasedLasso, "max_iter"): {"alpha": 1e-4, "nodewise_alpha": 0.1},
    (AverageLasso, "max_iter"): {"alpha": 1e-3},
    (ElasticNet, "max_iter"): {"tol": 1e-14},
    (ElasticNet, "pilot_size"): {"tol": 1.0},
    (ElasticNet, "random_state"): {"tol": 1.0},
    (ElasticNetCV, "max_iter"): {"alphas": 3, "pilot_size": 20, "tol": 1e-14},
    (ElasticNetCV, "tol"): {"tol": 1e-14},
}
CASES = [(kind, change) for kind, changes in METHODS.items() for change in changes]


@pytest.mark.parametrize(("kind", "change"), CASES, ids=lambda part: getattr(part, "__name__", str(part)))
def test_each_parameter_of_a_method_changes_the_outcome(kind, change):
    beside = BESIDE[kind] | ONLY_WITH.get((kind, *change), {})
    plain, changed = (poisson(method=kind(**options)) for options in (beside, beside | change))
    data = SIGNAL if kind is ElasticNetCV else UNEVEN
    assert differ(outcome(plain, *data), outcome(changed, *data))


def test_no_parameter_of_a_method_is_left_out():
    for kind, changes in METHODS.items():
        assert [name for change in changes for name in change] == public(kind)


# --- what is called after the fit -------------------------------------------------------------


def said(call):
    """Return what a call gives, as text; what it needs, if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call()
        except ValueError as error:
            return str(error)
    if isinstance(found, GLMRegressor | GLMClassifier):
        found = found.coef_table(), getattr(found, "selection_path_", None)
    parts = found if isinstance(found, tuple) else (found,)
    return " ".join(map(written, parts))


def written(part):
    """Return a result as text, nothing of it cut off."""
    if isinstance(part, pd.DataFrame):
        return part.to_string()
    return str(part.tolist() if isinstance(part, np.ndarray) else part)


# Two factors in addition to the numbers.
TABLE = pd.DataFrame(X, columns=["x1", "x2", "x3"]).assign(
    g=np.array(["a", "b", "c"], dtype=object)[np.arange(len(Y)) % 3],
    h=np.array(["d", "e"], dtype=object)[np.arange(len(Y)) % 5 // 3],
)
CHANGES = {
    "return_std": [False, True],
    "unseen": ["raise", "nan", "reference"],
    "exponentiate": [False, True],
    "standardize": [False, True],
    "simultaneous": [False, True, "x1"],
    "anytime_valid": [False, True, 500],
    "terms": ["x1", "x2", ["x1", "x2"]],
    "criterion": ["dbic", "aic"],
    "method": ["fdr_bh", "holm"],
    "alpha": [0.05, 0.999],
    "level": [0.95, 0.5],
    "label": [None, 0],
    "scaled": [False, True],
    "n_groups": [10, 8],
    "kind": ["response", "pearson", "deviance", "working"],
    "null": ["x1", "x2", {"x1": 0.3}],
    "variables": [None, "g", ["g", "h"]],
    "by": [None, "g", ["g", "h"]],
    "comparison": ["difference", "ratio", "lnratio", "lift", "oddsratio", "lnoddsratio"],
    "sample": ["fixed", "random"],
    "cov_type": ["cluster", "CRV3"],
    "groups": [GROUPS, np.arange(len(Y)) % 40],
    "weights": ["rademacher", "webb"],
    "n_draws": [9999, 99],
    "random_state": [0, 1],
    # Another weight or offset than the fit's, so that the fitted coefficients are the same.
    "sample_weight": [WEIGHTS, WEIGHTS[::-1].copy()],
    "offset": [SHIFT, SHIFT[::-1].copy()],
}
# What a change is seen with: a row of a level that fit did not see; a step, of which only the numbers change.
SEEN_WITH = {
    "unseen": {"X": TABLE.assign(g=TABLE["g"].where(TABLE.index > 0, "new"))},
    "comparison": {"variables": "x1"},
    "method": {"terms": ["x1", "g", "h"]},
    "alpha": {"terms": ["x1", "g", "h"]},
}
AVERAGES = ("avg_predictions", "avg_comparisons", "avg_slopes")
REPORTS = ("summary", "coef_table", "standard_deviations", "conf_int", "vif", "condition_indices", "with_covariance")
SELECTIONS = ("block_bootstrap_intervals", "multiple_tests", "submodel", "adaptive_lasso_path", "select")
TESTS = ("wald_test", "likelihood_ratio_test", "score_test", "drop1", "wild_bootstrap_test", "dfbeta", "link_test")
AFTER = {
    GLMRegressor: [
        *("predict", "predict_interval", "residuals", "influence", "fit_statistics", "score"),
        *(*AVERAGES, *REPORTS, *SELECTIONS, *TESTS),
    ],
    GLMClassifier: [
        *("predict", "predict_proba", "decision_function", "predict_interval", "residuals", "fit_statistics", "score"),
        *("influence", "probability_diagnostics", "hosmer_lemeshow_test"),
        *(*AVERAGES, *REPORTS, *SELECTIONS, *TESTS),
    ],
}


def in_blocks(given):
    """Return arguments with rows in fifteen blocks."""
    table = dd.from_pandas(TABLE, npartitions=15, sort=False)
    return {
        name: table
        if isinstance(value, pd.DataFrame)
        else da.from_array(value, chunks=100)
        if isinstance(value, np.ndarray)
        else value
        for name, value in given.items()
    }


@pytest.fixture(scope="module")
def fitted():
    data = {"sample_weight": WEIGHTS, "offset": SHIFT, "groups": GROUPS}
    regressor = poisson(method="mle", cov_type="CRV3").fit(TABLE, Y, **data)
    classifier = GLMClassifier(method="mle", cov_type="CRV3").fit(TABLE, LABELS, **data)
    return {GLMRegressor: regressor, GLMClassifier: classifier}


@pytest.mark.parametrize(
    ("kind", "call", "name"),
    [
        (kind, call, name)
        for kind, calls in AFTER.items()
        for call in calls
        for name in inspect.signature(getattr(kind, call)).parameters
        if name not in ("self", "X", "y")
    ],
)
def test_each_parameter_of_what_follows_the_fit_changes_the_outcome(fitted, kind, call, name):
    function = getattr(fitted[kind], call)
    wanted = inspect.signature(function).parameters
    data = {"X": TABLE, "y": Y if kind is GLMRegressor else LABELS, "sample_weight": WEIGHTS, "offset": SHIFT}
    data |= {"null": "x1", "terms": "x1", "cov_type": "cluster", "groups": GROUPS} | SEEN_WITH.get(name, {})
    given = {key: value for key, value in data.items() if key in wanted}
    form = in_blocks if call == "block_bootstrap_intervals" else dict
    found = [said(lambda value=value: function(**form(given | {name: value}))) for value in CHANGES[name]]
    assert len(set(found)) == len(found)


def test_no_method_of_an_estimator_is_left_out():
    # Fitting, a pass of one's own, what scikit-learn and its routing have of their own, and a model of another package.
    others = ("to_marginaleffects", "fit", "fit_delayed", "total", "get_params", "set_params", "get_metadata_routing")
    for kind, calls in AFTER.items():
        methods = [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
        assert {n for n in methods if n not in others and not n.endswith("_request")} == set(calls)


def test_each_parameter_of_a_pass_of_ones_own_changes_the_outcome(capsys):
    labels = 3 * LABELS + 1
    glm = GLMClassifier(method="pilot", verbose=True).fit(X, labels, sample_weight=WEIGHTS, offset=SHIFT)
    base = {"kernel": weighted_sum, "X": X, "y": labels, "arguments": (2.0,), "sample_weight": WEIGHTS, "offset": SHIFT}
    assert set(inspect.signature(glm.total).parameters) == {*base, "name", "encoded"}
    capsys.readouterr()
    found = {"": glm.total(**base)}
    assert found[""] == pytest.approx(WEIGHTS @ (LABELS + SHIFT + X[:, 0]) ** 2)
    assert "pass 1: total" in capsys.readouterr().err
    changes = {
        "kernel": count,
        "X": X[:, [1, 0, 2]],
        "y": labels[::-1],
        "arguments": (3.0,),
        "sample_weight": WEIGHTS[::-1],
        "offset": SHIFT[::-1],
        "encoded": False,
    }
    found |= {name: glm.total(**base | {name: value}) for name, value in changes.items()}
    assert len({float(f"{value:.9g}") for value in found.values()}) == len(found)
    capsys.readouterr()
    glm.total(**base, name="squares")
    assert "pass 1: squares" in capsys.readouterr().err


def weighted_sum(rows, model, power):
    return float(rows.weights @ (rows.y + rows.offset + rows.x[:, 0]) ** power)


def count(rows, model, power):
    return float(len(rows))


@pytest.mark.parametrize(
    "data", [{"sample_weight": WEIGHTS}, {"offset": SHIFT}, {"groups": GROUPS}], ids=lambda d: next(iter(d))
)
@pytest.mark.parametrize("call", ["fit", "fit_delayed"])
def test_each_parameter_of_fit_changes_the_outcome(call, data):
    glm = poisson(cov_type="cluster" if "groups" in data else "nonrobust")

    def fit(**given):
        lazy = {name: blocks(part, rows=400)[0] for name, part in given.items()}
        fitted = getattr(glm, call)(*blocks(X, Y, rows=400), **lazy)
        fitted = fitted.compute() if call == "fit_delayed" else fitted
        return fitted.coef_table().to_string()

    other = {name: np.random.default_rng(0).permutation(part) for name, part in data.items()}
    assert len({said(lambda: fit()), said(lambda: fit(**data)), said(lambda: fit(**other))}) == 3


def test_the_tolerance_of_one_step_decides_what_passes_without_remark():
    with pytest.warns(UserWarning, match="the estimate may be"):
        GLMRegressor("poisson", method=OneStep(pilot_size=400, steps=1, correction=None, tol=1e-9)).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GLMRegressor("poisson", method=OneStep(pilot_size=400, steps=1, tol=10.0)).fit(X, Y)


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
