"""Paths against glum, cross-validation against fits of the training rows."""

from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from oracle import counted
from sklearn.linear_model import ElasticNet as GaussianNet
from support import slow
from test_elastic_net import FAMILIES, LINKS, P, draw, group_frame, in_chunks, objective, of_glum, ours, parts_of

from dask_onestep import MLE, ElasticNet, ElasticNetCV, GLMClassifier, GLMRegressor
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.fold_sums import Folds
from dask_onestep.kernels.lassos.net_path import Anchors

FIGURES = Path(__file__).parent / "r"
ALPHAS = (0.3, 0.1, 0.03, 0.01)


def fit(x, y, family, method, rows=700, groups=None, **parts):
    (X, Y), lazy = in_chunks(x, y, rows, **parts)
    groups = None if groups is None else da.from_array(groups, chunks=rows)
    return GLMRegressor(family, LINKS[family], method=method).fit(X, Y, groups=groups, **lazy)


def deviance(coef, x, y, family, offset=0.0, weight=None):
    eta = coef[0] + x @ coef[1:] + offset
    mean = {"gaussian": lambda: eta, "binomial": lambda: 1 / (1 + np.exp(-eta))}.get(family, lambda: np.exp(eta))()
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = {
            "gaussian": lambda: (y - mean) ** 2,
            "binomial": lambda: -2 * np.log(np.where(y == 1, mean, 1 - mean)),
            "poisson": lambda: 2 * (np.where(y > 0, y * np.log(y / mean), 0.0) - (y - mean)),
            "gamma": lambda: 2 * ((y - mean) / mean - np.log(y / mean)),
        }[family]()
    return np.average(unit, weights=weight)


@pytest.mark.parametrize("family", [slow("gamma"), *(name for name in FAMILIES if name != "gamma")])
def test_every_point_of_the_path_has_the_objective_of_glum(threads, pilot, family):
    x, y = draw(family, 6000)
    parts = parts_of(len(y))
    factors = np.array([1.0, 2.0, 0.0, 1.0, 0.5, 1.0, 1.0, 3.0])
    glm = fit(x, y, family, ElasticNetCV(25, 0.7, penalty_factor=factors), **parts)
    at = {"weight": parts["sample_weight"], "offset": parts["offset"]}
    assert len(glm.path_) == 25
    for alpha, coef in glm.path_.iloc[::6].iterrows():
        penalty = alpha, 0.7, factors
        expected = objective(of_glum(x, y, family, penalty, **parts), x, y, family, penalty, **at)
        assert abs(objective(coef.to_numpy(), x, y, family, penalty, **at) - expected) <= 1e-6 * abs(expected)
    first, second = glm.path_.to_numpy()[:2, 1:]
    penalized = factors > 0
    np.testing.assert_allclose(first[penalized], 0.0, atol=1e-4)  # the largest penalty is the least that does it
    assert np.count_nonzero(second[penalized])
    chosen = ElasticNet(glm.alpha_, glm.l1_ratio_, factors)
    np.testing.assert_allclose(ours(glm), ours(fit(x, y, family, chosen, **parts)), atol=1e-6)
    assert glm.estimate_.duality_gap <= 1e-7


@pytest.mark.parametrize("family", ["gaussian", "binomial", slow("poisson")])
def test_deviances_are_those_of_fits_of_the_training_rows(threads, pilot, family):
    close = 1e-3 if pilot == "whole" else 1e-7 if family == "gaussian" else 0.02  # of glum's tolerance
    x, y = draw(family, 6000)
    parts = parts_of(len(y))
    weight, offset = parts["sample_weight"], parts["offset"]
    glm = fit(x, y, family, ElasticNetCV(ALPHAS, 0.7, cv=4, random_state=3), **parts)
    of = Folds(4, "rows", 3).of(Rows(x, y))
    assert np.bincount(of).min() > 1400
    found = []
    for fold in range(4):
        train, held = of != fold, of == fold
        own = {name: part[train] for name, part in parts.items()}
        coefs = [of_glum(x[train], y[train], family, (alpha, 0.7, np.ones(P)), **own) for alpha in ALPHAS]
        found.append([deviance(coef, x[held], y[held], family, offset[held], weight[held]) for coef in coefs])
    share = np.bincount(of, weight)
    mean = np.average(found, axis=0, weights=share)
    error = np.sqrt(np.average((found - mean) ** 2, axis=0, weights=share) / 3)
    results = glm.cv_results_
    assert np.abs(results["deviance"] - mean).max() <= close * error.min()
    np.testing.assert_allclose(results["std_err"], error, rtol=max(close, 1e-6))
    assert glm.alpha_ == results["deviance"].idxmin()
    near = results["deviance"] <= results["deviance"].min() + results["std_err"][glm.alpha_]
    assert glm.alpha_1se_ == results.index[near].max()


@pytest.mark.parametrize("cv", ["blocks", "groups"])
def test_folds_of_blocks_and_of_groups(threads, cv):
    x, y = draw("gaussian", 3000)
    groups = np.random.default_rng(0).integers(0, 40, len(y)) if cv == "groups" else None
    glm = fit(x, y, "gaussian", ElasticNetCV(ALPHAS, 1.0, cv), rows=500, groups=groups)
    of = np.arange(len(y)) // 500 % 5 if groups is None else Folds(5, "groups").of(Rows(x, y, groups=groups))
    assert groups is None or all(len(np.unique(of[groups == label])) == 1 for label in range(40))
    expected = np.zeros(len(ALPHAS))
    for fold in range(5):
        train, held = of != fold, of == fold
        for number, alpha in enumerate(ALPHAS):
            oracle = GaussianNet(alpha=alpha, l1_ratio=1.0, tol=1e-13, max_iter=100_000).fit(x[train], y[train])
            expected[number] += np.sum((y[held] - oracle.predict(x[held])) ** 2) / len(y)
    np.testing.assert_allclose(glm.cv_results_["deviance"], expected, rtol=1e-7)
    assert glm.estimate_.n_folds == 5


def test_a_group_has_one_fold_whatever_the_dtypes_of_its_blocks():
    """Labels of a block with a missing value are floats or objects."""
    labels = np.arange(40)
    kinds = (
        labels,
        labels.astype(np.int8),
        labels.astype(float),
        labels.astype(object),
        np.array([*labels, "a"], object),
    )
    folds = [Folds(5, "groups").of(Rows(np.zeros((len(each), 1)), groups=each))[:40] for each in kinds]
    assert len(np.unique(folds[0])) == 5
    for each in folds[1:]:
        np.testing.assert_array_equal(each, folds[0])


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "unknown"])
@pytest.mark.parametrize("cv", [3, "blocks", "groups"])
def test_rows_of_a_pilot_have_the_folds_of_a_pass(threads, cv, known):
    x, y = draw("poisson", 3000)
    (X, Y), _ = in_chunks(x, y, 500)
    groups = da.from_array(np.arange(3000) // 7, chunks=500) if cv == "groups" else None
    if not known:
        kept = Y >= 0
        X, Y, groups = X[kept], Y[kept], None if groups is None else groups[kept]
    whole, sample = (
        GLMRegressor("poisson", method=ElasticNetCV(ALPHAS, 0.7, cv, pilot_size=size)).fit(X, Y, groups=groups)
        for size in (1.0, 1200)
    )
    assert whole.n_passes_ == 1 < sample.n_passes_
    names = ["deviance", "std_err"]
    np.testing.assert_allclose(whole.cv_results_[names], sample.cv_results_[names], rtol=2e-3)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_any_chunking_gives_the_same_folds_and_path(threads, pilot, family):
    x, y = draw(family)
    method = ElasticNetCV(10, (0.5, 1.0), standardize=True)
    one, many = (fit(x, y, family, method, rows) for rows in (3000, 170))
    np.testing.assert_allclose(many.path_, one.path_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        many.cv_results_[["deviance", "std_err"]], one.cv_results_[["deviance", "std_err"]], rtol=1e-7
    )
    assert many.l1_ratio_ == one.l1_ratio_
    assert one.path_.index.names == ["l1_ratio", "alpha"]
    assert len(one.path_) == 20
    best = one.cv_results_["deviance"].idxmin()
    np.testing.assert_allclose(best, (one.l1_ratio_, one.alpha_))


def test_groups_of_two_columns_of_strings(threads):
    x, y = draw("gaussian", 600)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(x, columns=list("abcdefgh")).assign(y=y, u=rng.choice(list("pqr"), 600), v=np.arange(600) % 7)
    method = ElasticNetCV(ALPHAS, cv="groups")
    both = GLMRegressor(method=method, formula="y ~ a + b + c").fit(dd.from_pandas(frame, 3), groups=["u", "v"])
    joined = frame.assign(w=frame["u"] + frame["v"].astype(str))
    one = GLMRegressor(method=method, formula="y ~ a + b + c").fit(dd.from_pandas(joined, 3), groups="w")
    assert both.estimate_.n_folds == one.estimate_.n_folds == 5
    np.testing.assert_allclose(both.path_, one.path_)  # of all rows
    assert not np.allclose(both.cv_results_["std_err"], one.cv_results_["std_err"])  # labels hash otherwise


@pytest.mark.parametrize(("family", "most"), [("gaussian", 1), ("poisson", 5), ("binomial", 5)])
def test_passes_of_fifty_penalties_and_five_folds(synchronous, pilot, family, most):
    x, y = draw(family)
    loads = []
    glm = GLMRegressor(family, method=ElasticNetCV()).fit(counted(x, loads, 600), da.from_array(y, chunks=600))
    assert glm.n_passes_ == len(loads) / 5 <= (1 if pilot == "whole" else most)
    assert glm.path_.shape == (50, P + 1)


def test_lazily_in_one_pass(threads):
    x, y = draw("gaussian")
    (X, Y), _ = in_chunks(x, y, 500)
    glm = GLMRegressor(method=ElasticNetCV(10))
    np.testing.assert_array_equal(glm.fit_delayed(X, Y).compute().path_, glm.fit(X, Y).path_)


def test_the_larger_penalty_on_request(threads, pilot):
    x, y = draw("poisson")
    best, sparse = (fit(x, y, "poisson", ElasticNetCV(30, 1.0, rule=rule)) for rule in ("min", "1se"))
    assert best.alpha_1se_ == sparse.alpha_ == sparse.alpha_1se_ > best.alpha_
    assert np.count_nonzero(sparse.coef_) < np.count_nonzero(best.coef_)
    expected = fit(x, y, "poisson", ElasticNet(sparse.alpha_, 1.0))
    np.testing.assert_allclose(ours(sparse), ours(expected), atol=1e-7)


def test_strong_effects(threads, pilot):
    x, _ = draw("gaussian", 8000)
    eta = 4 * x[:, 0] - 3 * x[:, 1] + 2 * x[:, 2]
    y = (np.random.default_rng(0).random(len(x)) < 1 / (1 + np.exp(-eta))).astype(float)
    glm = fit(x, y, "binomial", ElasticNetCV(30, 0.9))
    for alpha, coef in glm.path_.iloc[::5].iterrows():
        penalty = alpha, 0.9, np.ones(P)
        expected = objective(of_glum(x, y, "binomial", penalty), x, y, "binomial", penalty)
        assert abs(objective(coef.to_numpy(), x, y, "binomial", penalty) - expected) <= 1e-6 * abs(expected)


def test_a_classifier_and_a_formula_with_groups(threads, pilot):
    frame = group_frame().assign(label=lambda table: np.where(table["z"] > 0.5, "yes", "no"))
    method = ElasticNetCV(15, 1.0, penalty_factor={"a": 0.0}, groups="terms")
    glm = GLMClassifier(method=method, formula="label ~ a + b + g + h").fit(dd.from_pandas(frame, npartitions=3))
    own = [name.startswith("g[") for name in glm.path_.columns]
    entered = glm.path_.loc[:, own].to_numpy() != 0
    assert (entered.all(axis=1) == entered.any(axis=1)).all()
    assert entered.any()
    assert (glm.path_["a"] != 0).all()
    assert glm.classes_.tolist() == ["no", "yes"]
    single = ElasticNet(glm.alpha_, 1.0, {"a": 0.0}, groups="terms")
    again = GLMClassifier(method=single, formula="label ~ a + b + g + h").fit(dd.from_pandas(frame, npartitions=3))
    np.testing.assert_allclose(glm.coef_, again.coef_, atol=1e-5)


def test_other_fits_have_no_path(threads):
    x, y = draw("gaussian", 100)
    for method in (MLE(), ElasticNet(0.1)):
        glm = fit(x, y, "gaussian", method)
        assert not hasattr(glm, "path_")
        with pytest.raises(AttributeError, match="only after a fit with ElasticNetCV"):
            glm.alpha_  # noqa: B018
    assert not hasattr(GLMRegressor(), "alpha_")


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (ElasticNetCV([0.1, -0.1]), "alphas=-0.1 must be finite and nonnegative"),
        (ElasticNetCV([0.1, np.nan]), "alphas=nan must be finite and nonnegative"),
        (ElasticNetCV("many"), "alphas='many' must be a number or a sequence of numbers"),
        (ElasticNetCV(1), "alphas=1 must be a number of penalties"),
        (ElasticNetCV([]), "must be a number or a sequence"),
        (ElasticNetCV(l1_ratios=[0.5, 2.0]), "l1_ratios=2.0 must lie between 0"),
        (ElasticNetCV(cv=1), "cv=1 leaves no rows for training"),
        (ElasticNetCV(cv=2.5), "cv=2.5 must be an integer"),
        (ElasticNetCV(cv="rows"), "Unknown cv 'rows'"),
        (ElasticNetCV(cv="groups"), "cv='groups' requires groups= in fit"),
        (ElasticNetCV(rule="median"), "rule='median' must be 'min' or '1se'"),
        (ElasticNetCV(penalty_factor=[1.0]), r"penalty_factor has shape \(1,\)"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_a_pass(synchronous, method, text):
    loads = []
    x, y = draw("gaussian", 100)
    with pytest.raises(ValueError, match=text):
        GLMRegressor(method=method).fit(counted(x, loads, 50), da.from_array(y, chunks=50))
    assert not loads


def test_too_much_memory_is_refused_before_a_pass(synchronous):
    X, y = da.zeros((10, 3000), chunks=(5, -1)), da.zeros(10, chunks=5)
    with pytest.raises(ValueError, match=r"25 sums of 3,001² numbers \(1.7 GiB\), more than the bound of 1 GiB"):
        GLMRegressor("poisson", method=ElasticNetCV()).fit(X, y)


def test_groups_without_their_use_are_refused(threads):
    x, y = draw("gaussian", 100)
    with pytest.raises(ValueError, match="groups was passed, but cov_type='nonrobust' does not use it"):
        fit(x, y, "gaussian", ElasticNetCV(ALPHAS), groups=np.arange(100) % 7)
    with pytest.raises(ValueError, match="needs rows in at least 2 folds"):
        fit(x, y, "gaussian", ElasticNetCV(ALPHAS, cv="groups"), groups=np.zeros(100))
    with pytest.raises(ValueError, match="needs at least 2 blocks"):
        fit(x, y, "gaussian", ElasticNetCV(ALPHAS, cv="blocks"), rows=100)


def test_the_table_of_results(threads):
    x, y = draw("gaussian")
    results = fit(x, y, "gaussian", ElasticNetCV(12)).cv_results_
    assert isinstance(results, pd.DataFrame)
    assert results.columns.tolist() == ["deviance", "std_err", "n_nonzero", "duality_gap"]
    assert results["n_nonzero"].is_monotonic_increasing
    assert results.index.name == "alpha"


# The formula's numbers of each model of tests/r/glmnet.R, its response, l1 ratio and what else it has.
GLMNET = {
    "mtcars lasso": ("mtcars", "gaussian", "mpg", 1.0, {}),
    "mtcars raw": ("mtcars", "gaussian", "mpg", 1.0, {"standardize": False}),
    "gaussian lasso": ("data", "gaussian", "normal", 1.0, {"sample_weight": lambda table: table["w"]}),
    "binomial": ("data", "binomial", "event", 0.6, {}),
    "poisson": ("data", "poisson", "count", 0.6, {"offset": lambda table: np.log(table["w"])}),
    "poisson factors": ("data", "poisson", "count", 1.0, {"penalty_factor": [1.0, 0.0, 2.0, 1.0]}),
}


def of_r(model, figure="coef"):
    """Return glmnet's figures by penalty, those of one model."""
    table = pd.read_csv(FIGURES / "glmnet.csv").query("model == @model and figure == @figure")
    return table.pivot_table(index="row", columns="column", values="value", dropna=False).sort_index(ascending=False)


@pytest.mark.parametrize("model", list(GLMNET))
def test_equals_the_path_of_glmnet(threads, pilot, model):
    name, family, response, ratio, options = GLMNET[model]
    table, expected = pd.read_csv(FIGURES / f"{name}.csv"), of_r(model)
    columns = [column for column in expected.columns if column != "(Intercept)"]
    columns = [column for column in table.columns if column in columns] if name == "mtcars" else ["x", "z", "w", "day"]
    parts = {key: value(table).to_numpy() for key, value in options.items() if callable(value)}
    options = {"standardize": True} | {key: value for key, value in options.items() if not callable(value)}
    method = ElasticNetCV(expected.index.to_numpy(), ratio, cv=3, tol=1e-10, **options)
    glm = fit(table[columns].to_numpy(float), table[response].to_numpy(float), family, method, rows=17, **parts)
    found = glm.path_.set_axis(["(Intercept)", *columns], axis=1)[expected.columns]
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=2e-5, atol=2e-6)


def test_equals_the_cross_validation_of_glmnet(threads):
    table, expected = pd.read_csv(FIGURES / "mtcars.csv"), of_r("mtcars cv", "cvm")
    x, y = table.iloc[:, 2:].to_numpy(float), table["mpg"].to_numpy()
    glm = fit(x, y, "gaussian", ElasticNetCV(expected.index.to_numpy(), 1.0, cv="blocks"), rows=8)
    assert glm.estimate_.n_folds == 4
    np.testing.assert_allclose(glm.cv_results_["deviance"], expected.iloc[:, 0], rtol=1e-6)
    np.testing.assert_allclose(glm.cv_results_["std_err"], of_r("mtcars cv", "cvsd").iloc[:, 0], rtol=1e-6)
    for found, name in ((glm.alpha_, "lambda.min"), (glm.alpha_1se_, "lambda.1se")):
        np.testing.assert_allclose(found, of_r("mtcars cv", name).iloc[0, 0], rtol=1e-12)


def test_more_columns_than_rows(threads):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 100))
    count = np.round(np.exp((x[:, 0] + rng.standard_normal(60)) / 2))
    exact = fit(x, count, "gaussian", ElasticNetCV(10, 0.8), rows=20)
    oracle = GaussianNet(alpha=exact.alpha_, l1_ratio=0.8, tol=1e-12, max_iter=100_000).fit(x, count)
    np.testing.assert_allclose(exact.coef_, oracle.coef_, atol=1e-5)


@pytest.mark.parametrize(("family", "ratio"), [("binomial", 1.0), ("poisson", 0.5), slow("gamma", 1.0)])
def test_fits_of_fewer_training_rows_than_columns_converge(threads, family, ratio):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 100))
    mean = np.exp(x[:, :4] @ [1.0, -0.7, 0.5, 0.3])
    draws = {
        "binomial": lambda: (rng.random(60) < mean / (1 + mean)).astype(float),
        "poisson": lambda: rng.poisson(mean).astype(float),
        "gamma": lambda: rng.gamma(2.0, mean / 2),
    }
    y = draws[family]()
    glm = fit(x, y, family, ElasticNetCV(12, ratio, cv=3), rows=20)  # no warning
    of = Folds(3, "rows", 0).of(Rows(x, y))
    for number in (3, 8):
        alpha = glm.path_.index[number]
        penalty = alpha, ratio, np.ones(100)
        expected = objective(of_glum(x, y, family, penalty), x, y, family, penalty)
        found = objective(glm.path_.to_numpy()[number], x, y, family, penalty)
        assert abs(found - expected) <= 1e-6 * abs(expected)
        total = 0.0
        for fold in range(3):
            train, held = of != fold, of == fold
            coef = of_glum(x[train], y[train], family, penalty)
            total += held.sum() * deviance(coef, x[held], y[held], family)
        np.testing.assert_allclose(glm.cv_results_["deviance"].iloc[number], total / 60, rtol=1e-3)


def test_the_nearest_anchor_is_that_of_the_nearest_logarithm_among_the_usable():
    anchors = Anchors(None, np.array([[1.0, 0.1, 0.01]]), np.array([[0, 1, 2]]))
    assert anchors.nearest(0.03, 0, np.array([True, True, True])) == 2
    assert anchors.nearest(0.03, 0, np.array([True, True, False])) == 1
    assert anchors.nearest(0.04, 0, np.array([True, True, True])) == 1
