"""Against scikit-learn and glum, and any chunking against one chunk."""

import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from glum import GeneralizedLinearRegressor
from lasso_reference import sparse_data
from oracle import counted
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet as GaussianNet
from sklearn.linear_model import LogisticRegression
from support import model_of

from dask_onestep import ElasticNet, GLMClassifier, GLMRegressor, moments
from dask_onestep.exceptions import NotConvergedWarning
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.elastic_net import PilotTerm
from dask_onestep.kernels.likelihood import sums

P = 8
FAMILIES = {"gaussian": "normal", "binomial": "binomial", "poisson": "poisson", "gamma": "gamma"}
LINKS = {"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "log"}


def draw(family, n=3000, seed=0):
    """Return correlated covariates, one of them far from zero, and a response."""
    x, y, coef = sparse_data(n, P, "gaussian" if family == "gamma" else family, active=4, size=0.4, seed=seed)
    if family == "gamma":
        rng = np.random.default_rng(seed)
        y = rng.gamma(2.0, np.exp(x @ coef) / 2.0)
    x[:, 5] = 30.0 + 2.0 * x[:, 5]
    return x, y


def parts_of(n, seed=1):
    rng = np.random.default_rng(seed)
    return {"sample_weight": rng.uniform(0.2, 3.0, n), "offset": 0.3 * rng.standard_normal(n)}


def in_chunks(x, y, rows, **parts):
    arrays = (da.from_array(part, chunks=(rows, *part.shape[1:])) for part in (x, y, *parts.values()))
    x, y, *rest = arrays
    return (x, y), dict(zip(parts, rest, strict=True))


def fit(x, y, family, method, rows=700, link=None, fit_intercept=True, **parts):
    (X, Y), lazy = in_chunks(x, y, rows, **parts)
    glm = GLMRegressor(family, LINKS[family] if link is None else link, method=method, fit_intercept=fit_intercept)
    return glm.fit(X, Y, **lazy)


def objective(glm_coef, x, y, family, penalty, weight=None, offset=0.0):
    """Return half the unit deviance per unit of weight, up to a constant, plus the penalty, by the textbook."""
    intercept, coef = glm_coef[0], glm_coef[1:]
    eta = intercept + x @ coef + offset
    loss = {
        "gaussian": lambda: (y - eta) ** 2 / 2,
        "binomial": lambda: np.logaddexp(0, eta) - y * eta,
        "poisson": lambda: np.exp(eta) - y * eta,
        "gamma": lambda: y * np.exp(-eta) + eta,
    }[family]()
    alpha, ratio, factors = penalty
    size = ratio * np.abs(coef) + 0.5 * (1 - ratio) * coef**2
    return np.average(loss, weights=weight) + alpha * np.sum(factors * size)


def of_glum(x, y, family, penalty, sample_weight=None, offset=None, **options):
    alpha, ratio, factors = penalty
    oracle = GeneralizedLinearRegressor(
        alpha=alpha,
        l1_ratio=ratio,
        family=FAMILIES[family],
        link=LINKS[family],
        P1=factors if ratio else None,
        P2=factors if ratio < 1 else None,
        gradient_tol=1e-8,
        max_iter=1000,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its last step may be one of rounding
        oracle.fit(x, y, sample_weight=sample_weight, offset=offset)
    return np.r_[oracle.intercept_, oracle.coef_]


def ours(glm):
    return np.r_[glm.intercept_, glm.coef_]


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_reaches_the_objective_of_glum(threads, pilot, family, ratio):
    x, y = draw(family)
    parts = parts_of(len(y))
    penalty = 0.05, ratio, np.array([1.0, 2.0, 0.0, 1.0, 0.5, 1.0, 1.0, 3.0])
    glm = fit(x, y, family, ElasticNet(0.05, ratio, penalty[2]), **parts)
    at = {"weight": parts["sample_weight"], "offset": parts["offset"]}
    expected = objective(of_glum(x, y, family, penalty, **parts), x, y, family, penalty, **at)
    found = objective(ours(glm), x, y, family, penalty, **at)
    assert found <= expected + 1e-8 * abs(expected)
    assert abs(found - expected) <= 1e-6 * abs(expected)
    assert glm.estimate_.duality_gap <= 1e-7
    assert glm.estimate_.n_nonzero == np.count_nonzero(ours(glm))


@pytest.mark.parametrize("ratio", [1.0, 0.3])
@pytest.mark.parametrize("intercept", [True, False])
def test_gaussian_equals_scikit_learn(threads, ratio, intercept):
    x, y = draw("gaussian")
    glm = fit(x, y, "gaussian", ElasticNet(0.1, ratio), fit_intercept=intercept)
    oracle = GaussianNet(alpha=0.1, l1_ratio=ratio, tol=1e-14, max_iter=100_000, fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(glm.coef_, oracle.coef_, atol=1e-6)
    np.testing.assert_allclose(glm.intercept_, oracle.intercept_, atol=1e-5)
    assert glm.n_passes_ == 1


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.0])
def test_logistic_equals_scikit_learn(threads, pilot, ratio):
    x, y = draw("binomial")
    x[:, 5] -= 30.0  # saga converges slowly
    glm = GLMClassifier(method=ElasticNet(0.02, ratio)).fit(*in_chunks(x, y.astype(int), 800)[0])
    oracle = LogisticRegression(C=1 / (0.02 * len(y)), l1_ratio=ratio, solver="saga", tol=1e-12, max_iter=50_000)
    if ratio == 1.0:
        oracle.set_params(l1_ratio=1)
    oracle.fit(x, y)
    np.testing.assert_allclose(glm.coef_, oracle.coef_, atol=1e-6)
    penalty = 0.02, ratio, np.ones(P)
    theirs = np.r_[oracle.intercept_, oracle.coef_[0]]
    np.testing.assert_allclose(
        objective(np.r_[glm.intercept_, glm.coef_[0]], x, y, "binomial", penalty),
        objective(theirs, x, y, "binomial", penalty),
        rtol=1e-9,
    )


@pytest.mark.parametrize("family", ["gaussian", "poisson", "gamma"])
@pytest.mark.parametrize("standardize", [False, True])
def test_any_chunking_gives_the_same(threads, pilot, family, standardize):
    x, y = draw(family)
    parts = parts_of(len(y))
    method = ElasticNet(0.05, 0.7, standardize=standardize)
    one, many = (fit(x, y, family, method, rows, **parts) for rows in (3000, 170))
    np.testing.assert_allclose(ours(many), ours(one), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(many.estimate_.objective, one.estimate_.objective, rtol=1e-12)
    assert many.estimate_.n_nonzero == one.estimate_.n_nonzero


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_standardize_is_the_penalty_of_columns_over_their_standard_deviations(threads, pilot, family):
    x, y = draw(family)
    weight = parts_of(len(y))["sample_weight"]
    center = np.average(x, axis=0, weights=weight)
    scale = np.sqrt(np.average((x - center) ** 2, axis=0, weights=weight))
    glm = fit(x, y, family, ElasticNet(0.05, 0.5, standardize=True), sample_weight=weight)
    scaled = fit((x - center) / scale, y, family, ElasticNet(0.05, 0.5), sample_weight=weight)
    np.testing.assert_allclose(glm.coef_ * scale, scaled.coef_, atol=2e-7)
    np.testing.assert_allclose(glm.intercept_ + center @ glm.coef_, scaled.intercept_, atol=2e-7)
    np.testing.assert_allclose(glm.estimate_.scale[1:], scale, rtol=1e-9)


@pytest.mark.parametrize(("family", "link"), [("binomial", "probit"), ("gamma", "inverse"), ("poisson", "sqrt")])
def test_other_links_satisfy_the_optimality_conditions(threads, pilot, family, link):
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (4000, P))
    eta = 2.0 + x[:, :3] @ [0.4, -0.3, 0.2]
    mean = {"probit": lambda: norm.cdf(eta - 2), "inverse": lambda: 1 / eta, "sqrt": lambda: eta**2}[link]()
    draws = {
        "binomial": lambda: rng.binomial(1, mean).astype(float),
        "gamma": lambda: rng.gamma(4.0, mean / 4),
        "poisson": lambda: rng.poisson(mean).astype(float),
    }
    y = draws[family]()
    alpha = 0.05 if link == "sqrt" else 0.01
    glm = fit(x, y, family, ElasticNet(alpha, 0.8, tol=1e-12), link=link)
    (X, Y), _ = in_chunks(x, y, 700)
    sums = dask.compute(moments(X, Y, ours(glm), family=family, link=link))[0]
    slope = sums.score / len(y)
    np.testing.assert_allclose(slope[0], 0.0, atol=1e-7)
    active = glm.coef_ != 0
    shrunk = slope[1:] - alpha * 0.2 * glm.coef_
    np.testing.assert_allclose(shrunk[active], alpha * 0.8 * np.sign(glm.coef_[active]), atol=1e-7)
    assert (np.abs(shrunk[~active]) <= alpha * 0.8 + 1e-9).all()
    assert 0 < active.sum() < P


@pytest.mark.parametrize(("family", "most"), [("gaussian", 1), ("poisson", 4), ("binomial", 4)])
def test_passes_are_counted(synchronous, pilot, family, most):
    x, y = draw(family)
    loads = []
    glm = GLMRegressor(family, method=ElasticNet(0.05)).fit(counted(x, loads, 600), da.from_array(y, chunks=600))
    assert glm.n_passes_ == len(loads) / 5 <= (1 if pilot == "whole" else most)


def test_a_formula_has_penalties_by_term(threads, pilot):
    x, y = draw("poisson")
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(x[:, :3], columns=["a", "b", "c"]).assign(y=y, g=rng.choice(list("pqrs"), len(y)))
    method = ElasticNet(0.05, 0.5, {"g": 0.0, "b": 2.0})
    glm = GLMRegressor("poisson", method=method, formula="y ~ a + b + c + g").fit(dd.from_pandas(frame, npartitions=4))
    names = list(glm.feature_names_in_) if len(glm.coef_) == 4 else list(glm.record_.names[1:])
    design = pd.get_dummies(frame, columns=["g"], drop_first=True, dtype=float)
    at = [name.replace("g[T.", "g_").replace("]", "") for name in names]
    matrix = design[at].to_numpy()
    factors = np.array([{"a": 1.0, "b": 2.0, "c": 1.0}.get(name, 0.0) for name in at])
    penalty = 0.05, 0.5, factors
    expected = objective(of_glum(matrix, y, "poisson", penalty), matrix, y, "poisson", penalty)
    found = objective(ours(glm), matrix, y, "poisson", penalty)
    assert abs(found - expected) <= 1e-8 * abs(expected)
    assert np.count_nonzero([c for c, name in zip(glm.coef_, at, strict=True) if name.startswith("g_")]) == 3


def group_frame(n=2000, seed=7):
    """Return a count, two numbers, a factor of six levels that matters and one of five that does not."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.standard_normal((n, 2)), columns=["a", "b"])
    frame["g"], frame["h"] = rng.choice(list("pqrstu"), n), rng.choice(list("vwxyz"), n)
    effects = dict(zip("pqrstu", [0.0, 0.5, -0.4, 0.3, 0.2, -0.3], strict=True))
    eta = 0.5 + 0.5 * frame["a"] + frame["g"].map(effects)
    return frame.assign(y=rng.poisson(np.exp(eta)).astype(float), z=eta + rng.standard_normal(n))


@pytest.mark.parametrize(("family", "response"), [("gaussian", "z"), ("poisson", "y")])
@pytest.mark.parametrize("standardize", [False, True])
def test_terms_enter_and_leave_together(threads, family, response, standardize):
    frame, alpha, ratio = group_frame(), 0.02, 0.9
    factors = {"b": 0.5, "g": 1.5, "h": 3.0}
    method = ElasticNet(alpha, ratio, factors, groups="terms", standardize=standardize, tol=1e-10)
    glm = GLMRegressor(family, method=method, formula=f"{response} ~ a + b + g + h")
    glm.fit(dd.from_pandas(frame, npartitions=3))
    names, coef = list(glm.record_.names[1:]), glm.coef_
    design = pd.get_dummies(frame, columns=["g", "h"], drop_first=True, dtype=float)
    x = design[[name.replace("[T.", "_").replace("]", "") for name in names]].to_numpy()
    scale = x.std(axis=0) if standardize else np.ones(len(names))
    residual = frame[response] - (np.exp if family == "poisson" else np.positive)(glm.intercept_ + x @ coef)
    slope = x.T @ residual / len(frame)
    assert abs(residual.mean()) < 1e-6
    for term in ("a", "b", "g", "h"):
        at = [j for j, name in enumerate(names) if name.split("[")[0] == term]
        own, factor, s = coef[at], factors.get(term, 1.0), scale[at]
        smooth = slope[at] - alpha * (1 - ratio) * factor * s**2 * own
        u = alpha * ratio * np.sqrt(len(at)) * factor * s
        if own.any():
            assert own.all()
            np.testing.assert_allclose(smooth, u**2 * own / np.linalg.norm(u * own), atol=1e-5)
        else:
            assert np.linalg.norm(smooth / u) <= 1 + 1e-6
    assert coef[[name.startswith("g") for name in names]].all()
    assert not coef[[name.startswith("h") for name in names]].any()


def test_an_unpenalized_fit_is_the_mle(threads, pilot):
    x, y = draw("poisson")
    glm, mle = fit(x, y, "poisson", ElasticNet(0.0)), fit(x, y, "poisson", "mle")
    np.testing.assert_allclose(ours(glm), ours(mle), atol=1e-6)


def test_lazily_in_one_pass(threads):
    x, y = draw("gaussian")
    (X, Y), _ = in_chunks(x, y, 500)
    (lazy,) = dask.compute(GLMRegressor(method=ElasticNet(0.1)).fit_delayed(X, Y))
    np.testing.assert_array_equal(lazy.coef_, GLMRegressor(method=ElasticNet(0.1)).fit(X, Y).coef_)
    with pytest.raises(ValueError, match="iterates until convergence"):
        GLMRegressor("poisson", method=ElasticNet(0.1)).fit_delayed(X, abs(Y))


def test_too_few_steps_warn(threads):
    x, y = draw("poisson")
    with pytest.warns(NotConvergedWarning, match="did not converge in 1 step"):
        fit(x, y, "poisson", ElasticNet(0.05, tol=1e-15, max_iter=1, pilot_size=100))


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_a_small_tolerance_is_reached(threads, pilot, family):
    x, y = draw(family, 6000)
    glm = fit(x, y, family, ElasticNet(0.005, 0.9, tol=1e-12))  # no warning
    assert glm.estimate_.duality_gap <= 1e-12


def test_separated_classes_have_a_penalized_fit(threads, pilot):
    x = np.random.default_rng(0).standard_normal((2000, 3))
    y = (x[:, 0] > 0).astype(float)
    glm = fit(x, y, "binomial", ElasticNet(0.01, 0.5))
    expected = of_glum(x, y, "binomial", (0.01, 0.5, np.ones(3)))
    np.testing.assert_allclose(ours(glm), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (ElasticNet(-1.0), "alpha=-1.0 must be finite and nonnegative"),
        (ElasticNet(np.nan), "alpha=nan must be finite and nonnegative"),
        (ElasticNet("much"), "alpha='much' must be a number"),
        (ElasticNet(0.1, 1.5), "l1_ratio=1.5 must lie between 0"),
        (ElasticNet(0.1, penalty_factor=[1.0, 2.0]), r"penalty_factor has shape \(2,\); expected \(8,\)"),
        (ElasticNet(0.1, penalty_factor=[-1.0] * P), "penalty_factor must be finite and nonnegative; got -1.0"),
        (ElasticNet(0.1, penalty_factor=[np.nan] * P), "penalty_factor must be finite and nonnegative; got nan"),
        (ElasticNet(0.1, penalty_factor=["x"] * P), "must be numbers"),
        (ElasticNet(0.1, penalty_factor={"z": 0.0}), "Unknown column or term 'z' in penalty_factor"),
        (ElasticNet(0.1, standardize="yes"), "standardize='yes' must be True or False"),
        (ElasticNet(0.1, groups="columns"), "Unknown groups 'columns'"),
        (ElasticNet(0.1, groups="terms"), "groups='terms' requires a formula or a table"),
        (ElasticNet(0.1, tol=0.0), "tol=0.0 must be positive"),
    ],
    ids=str,
)
def test_wrong_penalties_are_refused_before_a_pass(synchronous, method, text):
    loads = []
    x, y = draw("gaussian", 100)
    X = counted(x, loads, 50)
    with pytest.raises(ValueError, match=text):
        GLMRegressor(method=method).fit(X, da.from_array(y, chunks=50))
    assert not loads


def test_too_many_columns_are_refused_before_a_pass(synchronous):
    X = da.zeros((10, 5001), chunks=(5, -1))
    with pytest.raises(ValueError, match=r"5,001 columns, and an elastic net at most 5,000"):
        GLMRegressor(method=ElasticNet()).fit(X, da.zeros(10, chunks=5))


def test_an_interaction_without_its_main_effects_is_refused(threads):
    frame = pd.DataFrame({"y": [0.0, 1.0, 2.0, 1.0], "a": [1.0, 2.0, 3.0, 5.0], "g": list("pqpq")})
    with pytest.raises(ValueError, match="interaction a:g without the main effect of g"):
        GLMRegressor(method=ElasticNet(0.1), formula="y ~ a + a:g").fit(frame)


def test_more_than_two_classes_are_refused(threads):
    x, _ = draw("gaussian", 90)
    with pytest.raises(ValueError, match="ElasticNet fits one linear predictor per row"):
        GLMClassifier(method=ElasticNet(0.1)).fit(x, np.arange(90) % 3)


def test_there_is_no_inference(threads):
    x, y = draw("gaussian", 500)
    glm = fit(x, y, "gaussian", ElasticNet(0.1))
    assert np.isnan(glm.covariance_).all()
    for call in (
        lambda: glm.wald_test("x0"),
        lambda: glm.conf_int(),
        lambda: glm.multiple_tests(),
        lambda: glm.submodel(["x0"]),
        lambda: glm.select("bic"),
        lambda: glm.adaptive_lasso_path(),
        lambda: glm.predict_interval(x),
        lambda: glm.avg_slopes(x),
    ):
        with pytest.raises(ValueError, match="DebiasedLasso"):
            call()
    assert "ElasticNet" in str(glm.summary())


def test_the_higher_orders_of_all_rows_extrapolate_exactly():
    rng = np.random.default_rng(3)
    rows = Rows(rng.normal(size=(60, 2)), rng.poisson(1.0, 60).astype(float), weights=rng.uniform(0.5, 3.0, 60))
    model, start, end = model_of("poisson"), np.array([0.1, -0.2, 0.3]), np.array([0.4, 0.1, -0.2])
    here, there = (sums.moments(rows, model, coef) for coef in (start, end))
    found = PilotTerm(model, rows, start).ahead(here, end)
    np.testing.assert_allclose(found.score, there.score, rtol=1e-10)
    assert found.loglik == pytest.approx(there.loglik, rel=1e-12)
