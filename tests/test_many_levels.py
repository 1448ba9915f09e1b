"""Factors of many levels, whose levels are eliminated by their diagonal: the same results as with full matrices."""

import json
import warnings
from dataclasses import replace

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep, Pilot
from dask_onestep.families import NegativeBinomial
from dask_onestep.kernels.compiled.accelerate import accelerated
from dask_onestep.kernels.designs import design as designs
from dask_onestep.kernels.matrices.symmetric import Arrowhead, DiagonalPlusProduct
from dask_onestep.kernels.rows import slices
from dask_onestep.storage import read_model, write_model

N, K = 6000, 30
FORMULA = "y ~ x0 + c + g + x1"
FAMILIES = {
    "binomial": lambda **options: GLMClassifier(**options),
    "probit": lambda **options: GLMClassifier("probit", **options),
    "poisson": lambda **options: GLMRegressor("poisson", **options),
    "gaussian": lambda **options: GLMRegressor(**options),
    "gamma": lambda **options: GLMRegressor("gamma", "log", **options),
    "inverse-gaussian": lambda **options: GLMRegressor("inverse-gaussian", "log", **options),
    "negative-binomial": lambda **options: GLMRegressor(NegativeBinomial(0.5), **options),
}
METHODS = {
    "all rows": OneStep(),
    "two steps": OneStep(pilot_size=3000, steps=2),
    "auto": OneStep(pilot_size=3000),
    "uncorrected": OneStep(pilot_size=3000, correction=None),
    "mle": MLE(),
    "mle from means": MLE(start=None),
    "pilot": Pilot(3000),
}


def _frame(family="binomial", seed=0, n=N):
    rng = np.random.default_rng(seed)
    c = rng.integers(0, K, n)
    frame = pd.DataFrame({"x0": rng.normal(size=n), "x1": rng.normal(size=n) + 3.0, "w": rng.integers(1, 4, n)})
    frame["c"] = pd.array(np.array([f"k{i:02d}" for i in range(K)])[c], dtype="string[pyarrow]")
    frame["g"] = pd.array(np.array(list("abcdefgh"))[rng.integers(0, 8, n)], dtype="string[pyarrow]")
    frame["o"] = 0.1 * rng.normal(size=n)
    eta = 0.3 * frame.x0 - 0.2 * frame.x1 + 0.3 * rng.normal(size=K)[c] + 0.5
    mean = np.exp(eta)
    draw = {
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(mean).astype(float),
        "gaussian": lambda: eta + rng.normal(size=n),
        "gamma": lambda: rng.gamma(2.0, mean / 2.0),
        "inverse-gaussian": lambda: rng.wald(mean, 4.0),
        "negative-binomial": lambda: rng.poisson(mean * rng.gamma(2.0, 0.5, n)).astype(float),
    }
    return frame.assign(y=np.asarray(draw["binomial" if family == "probit" else family]()))


def _fitted(make, data, many, monkeypatch, **columns):
    monkeypatch.setattr(designs, "MANY_LEVELS", many)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = make().fit(data, **columns)
    return glm, [str(each.message) for each in caught]


@pytest.fixture
def both(monkeypatch):
    """Return a function that fits a model with full matrices, and with levels eliminated."""

    def fit(make, data, **columns):
        full, said = _fitted(make, data, 10**9, monkeypatch, **columns)
        split, also = _fitted(make, data, 8, monkeypatch, **columns)
        # Full matrices are followed by a QR, which tells what an aliased column depends on.
        assert [text for text in said if "aliased" not in text] == [text for text in also if "aliased" not in text]
        return full, split

    return fit


def _close(full, split, rtol=1e-9, *, passes=0):
    """Assert equal coefficients (in standard errors), covariances and statistics."""
    spread = np.sqrt(np.diag(full.covariance_))
    np.testing.assert_allclose(split.record_.coef / spread, full.record_.coef / spread, atol=rtol)
    outer = np.outer(spread, spread)
    np.testing.assert_allclose(split.covariance_ / outer, full.covariance_ / outer, atol=rtol)
    for name in ("dispersion", "df_resid", "loglik", "n_iter", "converged", "pilot_distance"):
        np.testing.assert_allclose(
            getattr(split.estimate_, name, 0.0), getattr(full.estimate_, name, 0.0), rtol=1e-9, err_msg=name
        )
    assert full.n_passes_ == split.n_passes_ + passes
    if full.estimate_.decrement > 1e-8:  # otherwise it is rounding
        np.testing.assert_allclose(split.decrement_, full.decrement_, rtol=1e-6)
        np.testing.assert_allclose(split.estimate_.distance_bound, full.estimate_.distance_bound, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_levels_eliminated_or_not_give_the_same_fit(family, method, both):
    data = dd.from_pandas(_frame(family), npartitions=3)
    make = lambda: FAMILIES[family](formula=FORMULA, method=METHODS[method])  # noqa: E731
    full, split = both(make, data, sample_weight="w", offset="o")
    assert isinstance(full.record_.covariance, np.ndarray)
    assert isinstance(split.record_.covariance, DiagonalPlusProduct)
    assert isinstance(split.record_.information, Arrowhead)
    _close(full, split)
    if hasattr(full.estimate_, "pilot_representation"):
        np.testing.assert_allclose(split.estimate_.pilot_representation, full.estimate_.pilot_representation, rtol=1e-6)


@pytest.mark.parametrize("npartitions", [1, 2, 7])
def test_any_chunking_gives_the_same_fit(npartitions, monkeypatch):
    frame = _frame("poisson")
    make = lambda: GLMRegressor("poisson", formula=FORMULA, method=MLE())  # noqa: E731
    one, _ = _fitted(make, frame, 8, monkeypatch)
    several, _ = _fitted(make, dd.from_pandas(frame, npartitions=npartitions), 8, monkeypatch)
    _close(one, several)


def test_the_same_bits_on_every_scheduler(scheduler):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 300, 9000)
    frame = pd.DataFrame({"x": rng.normal(size=9000), "c": [f"k{code:03d}" for code in codes]})
    data = dd.from_pandas(frame.assign(y=rng.poisson(np.exp(0.2 * frame["x"]))), npartitions=4)
    make = lambda: GLMRegressor("poisson", formula="y ~ x + c", method=OneStep(pilot_size=4500))  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = make().fit(data)
        with dask.config.set(scheduler="synchronous"):
            there = make().fit(data)
    assert isinstance(here.record_.covariance, DiagonalPlusProduct)
    assert here.record_.coef.tobytes() == there.record_.coef.tobytes()
    assert here.covariance_.tobytes() == there.covariance_.tobytes()


FORMULAS = [
    "y ~ c",
    "y ~ 0 + c",
    "y ~ c + x0",
    "y ~ x0 + x1 + c - 1",
    "y ~ x0 * c",
    "y ~ g:c",
    "y ~ C(c, Treatment(reference='k07')) + x0",
    "y ~ x0 + c + g + x0:g",
]


@pytest.fixture(params=["NumPy", "compiled"] if accelerated() else ["NumPy"])
def kinds(request, monkeypatch):
    """Run the test without and with compiled loops."""
    monkeypatch.setattr(slices, "accelerated", lambda: request.param == "compiled")
    slices._kinds.cache_clear()
    yield
    slices._kinds.cache_clear()


@pytest.mark.parametrize("formula", FORMULAS)
def test_any_formula(formula, both, kinds):
    data = dd.from_pandas(_frame("poisson", n=12_000), npartitions=3)
    full, split = both(lambda: GLMRegressor("poisson", formula=formula, method=MLE()), data)
    assert isinstance(split.record_.covariance, DiagonalPlusProduct)
    _close(full, split)


def test_columns_of_a_table_without_formula(both):
    frame = _frame("gaussian")
    full, split = both(lambda: GLMRegressor(), frame[["x0", "c", "g"]], y=frame["y"])
    assert isinstance(split.record_.covariance, DiagonalPlusProduct)
    _close(full, split)


ALIASED = {
    "a column that is constant within levels": ("y ~ x0 + c + z", lambda f: f["c"].str[1:].astype(float)),
    "such a column before the levels": ("y ~ x0 + z + c", lambda f: f["c"].str[1:].astype(float)),
    "such a factor before the levels": ("y ~ x0 + z + c", lambda f: "z" + f["c"].str[1:2]),
    "two such columns": ("y ~ z + x0 + c + I(z ** 2)", lambda f: f["c"].str[1:].astype(float)),
    "a copy": ("y ~ x0 + c + z", lambda f: 2.0 * f["x0"]),
}


@pytest.mark.parametrize("case", ALIASED)
def test_aliased_columns_are_those_of_full_matrices(case, both):
    formula, z = ALIASED[case]
    frame = _frame("poisson")
    data = dd.from_pandas(frame.assign(z=z(frame)), npartitions=3)
    make = lambda: GLMRegressor("poisson", formula=formula, solver="cholesky", method=MLE())  # noqa: E731
    full, split = both(make, data)
    assert np.isnan(full.record_.coef).any()
    _close(full, split, passes=1)  # that of the QR


def test_ill_conditioned_columns_beside_levels_are_solved_by_qr(both):
    frame = _frame("gaussian")
    frame["year"] = 2000.0 + np.arange(N) % 20
    formula = "y ~ year + I(year ** 2) + c"
    full, split = both(lambda: GLMRegressor(formula=formula), dd.from_pandas(frame, npartitions=3))
    assert full.estimate_.solver == split.estimate_.solver == "qr"
    np.testing.assert_allclose(split.record_.coef, full.record_.coef, rtol=1e-6)
    np.testing.assert_allclose(split.coef_table()["std_err"], full.coef_table()["std_err"], rtol=1e-6)


def test_levels_without_rows_in_the_pilot_or_of_weight_zero(both):
    frame = _frame("poisson")
    frame["w"] = np.where(frame["c"].isin(["k00", "k05"]), 0, frame["w"])
    frame.loc[np.flatnonzero(frame["c"] == "k09")[2:], "c"] = "k10"  # two rows of one level
    method = OneStep(pilot_size=400)
    data = dd.from_pandas(frame.astype({"c": pd.CategoricalDtype(sorted(set(frame["c"])))}), npartitions=3)
    full, split = both(lambda: GLMRegressor("poisson", formula=FORMULA, method=method), data, sample_weight="w")
    _close(full, split)


def test_separated_levels_warn_alike(both):
    frame = _frame()
    frame["y"] = np.where(frame["c"] == "k03", 1.0, frame["y"])
    full, split = both(lambda: GLMClassifier(formula=FORMULA), dd.from_pandas(frame, npartitions=2))
    assert any("eparation" in str(text) for _, text in split.estimate_.warnings)
    assert [category for category, _ in full.estimate_.warnings] == [c for c, _ in split.estimate_.warnings]


def test_missing_values_and_levels_are_dropped_alike(both):
    frame = _frame("poisson")
    frame.loc[::7, "x0"] = np.nan
    frame.loc[::11, "c"] = pd.NA
    make = lambda: GLMRegressor("poisson", formula=FORMULA, missing="drop")  # noqa: E731
    full, split = both(make, dd.from_pandas(frame, npartitions=3))
    assert full.n_missing_ == split.n_missing_ > 0
    _close(full, split)


@pytest.mark.parametrize("family", ["binomial", "gamma"])
def test_tables_intervals_tests_and_effects(family, both):
    data = dd.from_pandas(_frame(family), npartitions=3)
    full, split = both(lambda: FAMILIES[family](formula=FORMULA, method=MLE()), data)
    pd.testing.assert_frame_equal(split.coef_table(), full.coef_table(), rtol=1e-7, atol=1e-9)
    pd.testing.assert_frame_equal(split.conf_int(0.9), full.conf_int(0.9), rtol=1e-7, atol=1e-9)
    few = data.partitions[0]
    np.testing.assert_allclose(split.predict_interval(few).compute(), full.predict_interval(few).compute(), rtol=1e-8)
    for null in ("c", "x0", ["c", "x0"], ["c[T.k03]", "c[T.k04]"], {"c[T.k03]": 0.5}, "c[T.k03] = c[T.k04]", "g"):
        first, second = full.wald_test(null), split.wald_test(null)
        np.testing.assert_allclose(second.statistic, first.statistic, rtol=1e-8)
        assert first.df == second.df
    effects = [glm.avg_slopes(data, variables="x0") for glm in (full, split)]
    pd.testing.assert_frame_equal(*effects, rtol=1e-7)
    effects = [glm.avg_predictions(data, by="g") for glm in (full, split)]
    pd.testing.assert_frame_equal(*effects, rtol=1e-7)


@pytest.mark.parametrize("method", [OneStep(pilot_size=3000), MLE()])
def test_restricted_fits(method, both):
    data = dd.from_pandas(_frame(), npartitions=3)
    full, split = both(lambda: GLMClassifier(formula=FORMULA, method=method), data)
    for null in ("x0", "c", ["c[T.k03]", "c[T.k04]"], "c[T.k03] = c[T.k04]"):
        for test in ("likelihood_ratio_test", "score_test"):
            first, second = (getattr(glm, test)(data, null=null) for glm in (full, split))
            np.testing.assert_allclose(second.statistic, first.statistic, rtol=1e-6)
            assert first.df == second.df
    pd.testing.assert_frame_equal(split.drop1(data), full.drop1(data), rtol=1e-6)


@pytest.mark.parametrize("method", ["all rows", "auto", "mle"])
@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_robust_covariances(kind, method, both):
    frame = _frame("poisson")
    frame.loc[np.flatnonzero(frame["c"] == "k09")[1:], "c"] = "k10"  # a row with leverage 1
    data = dd.from_pandas(frame, npartitions=3)
    make = lambda: GLMRegressor("poisson", formula=FORMULA, cov_type=kind, method=METHODS[method])  # noqa: E731
    full, split = both(make, data, sample_weight="w")
    assert isinstance(split.record_.covariance, DiagonalPlusProduct)
    # Extrapolated from the pilot, the leverage is not exactly 1.
    assert np.isnan(split.covariance_).any() == (kind in ("HC2", "HC3") and method != "auto")
    _close(full, split)
    tests = [glm.wald_test(["c[T.k03]", "c[T.k04]", "x0"]).statistic for glm in (full, split)]
    np.testing.assert_allclose(tests[1], tests[0], rtol=1e-8)
    few = data.partitions[0]
    # The variance of a row with leverage 1 is 0, up to rounding.
    ends = [glm.predict_interval(few).compute() for glm in (split, full)]
    np.testing.assert_allclose(*ends, rtol=1e-7)


def test_another_covariance_afterwards(tmp_path, both):
    data = dd.from_pandas(_frame(), npartitions=3)
    for method in ("all rows", "mle"):
        full, split = both(lambda name=method: GLMClassifier(formula=FORMULA, method=METHODS[name]), data)
        for kind in ("HC0", "HC3", "nonrobust"):
            first, second = (glm.with_covariance(kind, data) for glm in (full, split))
            assert isinstance(second.record_.covariance, DiagonalPlusProduct)
            np.testing.assert_allclose(second.covariance_, first.covariance_, rtol=1e-6, atol=1e-10)
        write_model(second, f"{tmp_path}/model.json")
        np.testing.assert_array_equal(read_model(f"{tmp_path}/model.json").covariance_, second.covariance_)
        np.testing.assert_allclose(split.vif(), full.vif(), rtol=1e-8)
        robust = split.with_covariance("HC3", data)
        write_model(robust, f"{tmp_path}/robust.json")
        np.testing.assert_array_equal(read_model(f"{tmp_path}/robust.json").covariance_, robust.covariance_)


@pytest.mark.parametrize("kind", ["cluster", "CRV3"])
def test_covariances_of_clusters_take_full_matrices(kind, both):
    frame = _frame()
    data = dd.from_pandas(frame.assign(site=np.arange(N) % 50), npartitions=3)
    full, split = both(lambda: GLMClassifier(formula=FORMULA, cov_type=kind), data, groups="site")
    assert isinstance(split.record_.covariance, np.ndarray)
    np.testing.assert_array_equal(full.covariance_, split.covariance_)
    plain = both(lambda: GLMClassifier(formula=FORMULA), data)[1]
    found = plain.with_covariance(kind, data, groups="site")
    np.testing.assert_allclose(found.covariance_, full.covariance_, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("known", [True, False])
def test_a_lazy_fit(known, both, monkeypatch):
    frame = _frame()
    if known:
        frame = frame.astype({"c": "category", "g": "category"})
    data = dd.from_pandas(frame, npartitions=3)
    method = OneStep(pilot_size=3000, steps=1)
    full, split = both(lambda: GLMClassifier(formula=FORMULA, method=method), data)
    lazy = GLMClassifier(formula=FORMULA, method=method).fit_delayed(data).compute()
    assert isinstance(lazy.record_.covariance, DiagonalPlusProduct)
    np.testing.assert_allclose(lazy.record_.coef, split.record_.coef, rtol=1e-12)
    _close(full, lazy)


def test_a_model_is_stored_with_the_structure_of_its_covariance(tmp_path, both):
    data = dd.from_pandas(_frame(), npartitions=3)
    _, split = both(lambda: GLMClassifier(formula=FORMULA), data)
    write_model(split, f"{tmp_path}/model.json")
    read = read_model(f"{tmp_path}/model.json")
    assert isinstance(read.record_.covariance, DiagonalPlusProduct)
    np.testing.assert_array_equal(read.covariance_, split.covariance_)
    pd.testing.assert_frame_equal(read.coef_table(), split.coef_table())


def test_a_stored_model_has_intervals_beside_an_aliased_level(tmp_path, both):
    frame = _frame("poisson")
    frame["z"] = (frame["c"] == "k07").astype(float)
    full, split = both(lambda: GLMRegressor("poisson", formula="y ~ x0 + z + c", solver="cholesky"), frame)
    assert np.isnan(split.record_.coef).any()
    write_model(split, f"{tmp_path}/model.json")
    read = read_model(f"{tmp_path}/model.json")
    np.testing.assert_array_equal(read.record_.covariance.own, split.record_.covariance.own)
    np.testing.assert_allclose(read.predict_interval(frame), full.predict_interval(frame), rtol=1e-8)


SPOILT = {
    "a row too few": lambda c: c | {"half": c["half"][1:]},
    "ragged rows": lambda c: c | {"half": [[], *c["half"][1:]]},
    "a number too few": lambda c: c | {"half": [[None] * len(c["half"][0]), *c["half"][1:]]},
    "another inner matrix": lambda c: c | {"inner": [[1.0]]},
    "no diagonal": lambda c: {"half": c["half"], "inner": None},
    "a word": lambda c: c | {"diagonal": ["a", *c["diagonal"][1:]]},
    "another part": lambda c: c | {"more": []},
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_refused(case, tmp_path, monkeypatch):
    data = dd.from_pandas(_frame("poisson"), npartitions=3)
    glm, _ = _fitted(lambda: GLMRegressor("poisson", formula=FORMULA), data, 8, monkeypatch)
    write_model(glm, f"{tmp_path}/model.json")
    record = json.loads((tmp_path / "model.json").read_text())
    record.pop("digest")
    (tmp_path / "model.json").write_text(json.dumps(record | {"covariance": SPOILT[case](record["covariance"])}))
    with pytest.raises(ValueError, match="covariance"):
        read_model(f"{tmp_path}/model.json")


def test_statsmodels_has_the_same_estimate(monkeypatch):
    import statsmodels.formula.api as smf
    from statsmodels import api as sm

    frame = _frame("poisson")
    glm, _ = _fitted(lambda: GLMRegressor("poisson", formula=FORMULA, method=MLE()), frame, 8, monkeypatch)
    other = smf.glm(FORMULA, frame.astype({"c": object, "g": object}), family=sm.families.Poisson()).fit(tol=1e-14)
    table = glm.coef_table()
    names = ["Intercept" if name == "intercept" else name for name in table.index]
    np.testing.assert_allclose(table["coef"], other.params[names], atol=1e-8)
    np.testing.assert_allclose(table["std_err"], other.bse[names], rtol=1e-7)
    np.testing.assert_allclose(glm.wald_test("c").statistic, other.wald_test_terms(scalar=True).table.loc["c"].iloc[0])


def test_levels_are_eliminated_from_some_hundreds_on():
    rng = np.random.default_rng(0)
    for count, kind in ((designs.MANY_LEVELS, np.ndarray), (designs.MANY_LEVELS + 1, DiagonalPlusProduct)):
        codes = np.arange(6 * count) % count
        frame = pd.DataFrame({"c": pd.Categorical([f"k{code:03d}" for code in codes]), "y": rng.normal(size=6 * count)})
        glm = GLMRegressor(formula="y ~ c").fit(frame)  # the reference has no column
        assert isinstance(glm.record_.covariance, kind)


def test_matrices_beyond_the_bound_are_refused_with_their_size(monkeypatch):
    frame = _frame()
    data = dd.from_pandas(frame, npartitions=2)
    _fitted(lambda: GLMClassifier(formula=FORMULA), data, 8, monkeypatch)
    monkeypatch.setattr("dask_onestep.kernels.matrices.symmetric.MATRIX_BYTES", 8000)
    text = "information matrix that each block sums of 39 coefficients takes 0 MB.*levels of the largest factor"
    with pytest.raises(ValueError, match=text):
        GLMClassifier(formula=FORMULA, cov_type="cluster").fit(data, groups="g")
    glm = GLMClassifier(formula=FORMULA).fit(data)
    assert len(glm.coef_table()) == 39
    stored = glm.record_.sums.information
    parts = (stored.levels, stored.border, stored.corner, stored.at, stored.rest)
    assert replace(glm.record_.model, eliminates=True).information_bytes == sum(part.nbytes for part in parts)
    with pytest.raises(ValueError, match="covariance_ of 39 coefficients takes"):
        _ = glm.covariance_


def test_a_structured_matrix_beyond_the_bound_has_no_array():
    levels = 20_000
    matrix = Arrowhead(np.ones(levels), np.zeros((levels, 1)), np.ones((1, 1)), np.arange(levels), np.array([levels]))
    with pytest.raises(ValueError, match=r"Use its diagonal\(\), or minor"):
        np.asarray(matrix)
    assert matrix.diagonal().sum() == levels + 1


def test_a_summary_shows_some_of_very_many_levels():
    codes = np.arange(3600) % 600
    frame = pd.DataFrame({"c": [f"k{code:03d}" for code in codes], "y": np.random.default_rng(0).normal(size=3600)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = str(GLMRegressor(formula="y ~ c").fit(frame).summary())
    assert "… 550 more levels, in coef_table()" in text
    assert all((level in text) == shown for level, shown in (("k024", True), ("k300", False), ("k575", True)))
