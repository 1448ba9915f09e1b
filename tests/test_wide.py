"""Categories of many levels and sparse blocks: the same fits as with dense matrices, and as of the peers."""

import dask.array as da
import dask.dataframe as dd
import formulaic
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import sparse
from support import slow

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import SmallPilotWarning
from dask_onestep.kernels.designs.split_matrix import SplitMatrix

N, LEVELS = 6_000, 50


def table(levels=LEVELS, seed=0):
    """Return rows in the order of their levels, so that a partition has few of them."""
    rng = np.random.default_rng(seed)
    code = np.sort(rng.integers(0, levels, N))
    frame = pd.DataFrame({"a": rng.normal(size=N), "g": np.array([f"L{i:03d}" for i in range(levels)])[code]})
    frame["h"], frame["w"] = rng.integers(0, 4, N), rng.random(N) + 0.5
    eta = 0.3 + 0.4 * frame["a"] + 0.5 * np.sin(code) - 0.1 * frame["h"]
    frame["y"] = rng.poisson(np.exp(eta))
    return frame


FORMULAS = [
    *("y ~ a + g", "y ~ 0 + g + a", "y ~ g * a + C(h)", "y ~ bs(a, df=4) + C(g) + C(h)", "y ~ g"),
    *("y ~ g:a", "y ~ a + a:g:w", "y ~ 0 + g + g:np.log(w)", "y ~ g:I(h == 2) + bs(a, df=4):C(h)", "y ~ g:a + g:C(h)"),
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_matrix_is_formulaics(formula):
    frame = table()
    glm = GLMRegressor("poisson", formula=formula, method="pilot").fit(dd.from_pandas(frame, npartitions=3))
    design = glm.record_.model.design
    matrix = design.matrix(frame)
    assert isinstance(matrix, SplitMatrix)
    wanted = formulaic.model_matrix(formula, frame).rhs
    np.testing.assert_allclose(matrix.toarray(), wanted.drop(columns="Intercept", errors="ignore"), atol=1e-12)
    assert list(design.names) == [name for name in wanted.columns if name != "Intercept"]


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("y ~ g * a", ["g", "g:a"]),
        ("y ~ w:g:a - 1", ["w:g:a"]),
        ("y ~ g + g:C(h) + C(h):a", ["g", "g:C(h)"]),
        ("y ~ g:center(a)", []),
        ("y ~ a + C(g, contr.sum):a", []),
    ],
)
def test_interactions_with_numbers_stay_sparse(formula, terms):
    frame = table()
    glm = GLMRegressor("poisson", formula=formula, method="pilot").fit(dd.from_pandas(frame, npartitions=3))
    assert [effect.term for effect in glm.record_.model.design.coded] == terms
    if terms:
        matrix = glm.record_.model.design.matrix(frame)
        assert matrix.stored.nnz <= len(terms) * len(frame)


def test_interactions_take_nullable_numbers_and_gaps():
    frame = table().astype({"h": "Int64", "a": "Float64"})
    frame.loc[::7, "h"] = pd.NA
    data = dd.from_pandas(frame, npartitions=3)
    glm = GLMRegressor("poisson", formula="y ~ g:h + a", missing="drop", method=MLE(tol=1e-14)).fit(data)
    assert [effect.term for effect in glm.record_.model.design.coded] == ["g:h"]
    whole = frame.dropna().astype({"h": float, "a": float})
    matrix = formulaic.model_matrix("y ~ g:h + a", whole)
    assert glm.n_missing_ == len(frame) - len(whole)
    peer = sm.GLM(whole["y"], np.asarray(matrix.rhs), family=sm.families.Poisson()).fit(tol=1e-14)
    np.testing.assert_allclose(glm.coef_table()["coef"], peer.params, rtol=1e-7, atol=1e-7)
    predicted = glm.predict(data).compute()
    assert predicted.isna().equals(frame["h"].isna())


def test_few_levels_stay_dense():
    frame = table(6)
    for formula in ("y ~ a + g", None):
        glm = GLMRegressor("poisson", formula=formula, method="pilot")
        glm.fit(dd.from_pandas(frame if formula else frame[["a", "g", "y"]], npartitions=2), None if formula else "y")
        assert isinstance(glm.record_.model.design.matrix(frame), np.ndarray)


@pytest.mark.parametrize("formula", [FORMULAS[0], *map(slow, FORMULAS[1:4])])
def test_the_fit_is_statsmodels(formula):
    frame = table()
    glm = GLMRegressor("poisson", formula=formula, method=MLE(tol=1e-14)).fit(dd.from_pandas(frame, npartitions=5))
    matrix = formulaic.model_matrix(formula, frame)
    peer = sm.GLM(frame["y"], np.asarray(matrix.rhs), family=sm.families.Poisson()).fit(tol=1e-14)
    np.testing.assert_allclose(glm.coef_table()["coef"], peer.params, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(glm.coef_table()["std_err"], peer.bse, rtol=1e-6)


def test_columns_without_a_formula():
    frame = table()
    data = dd.from_pandas(frame[["g", "a", "w", "y"]], npartitions=3)
    glm = GLMRegressor("poisson", method=MLE(tol=1e-14), cov_type="HC0").fit(data, "y", sample_weight="w")
    matrix = np.asarray(formulaic.model_matrix("g + a", frame))
    peer = sm.GLM(frame["y"], matrix, family=sm.families.Poisson(), var_weights=frame["w"]).fit(tol=1e-14)
    np.testing.assert_allclose(glm.coef_table()["coef"], peer.params, rtol=1e-7, atol=1e-7)
    residual = np.asarray(frame["w"] * (frame["y"] - peer.fittedvalues))
    bread = np.asarray(peer.normalized_cov_params)
    wanted = bread @ (matrix.T @ (residual[:, None] ** 2 * matrix)) @ bread
    np.testing.assert_allclose(glm.covariance_, wanted, rtol=1e-5, atol=1e-10)


def test_levels_absent_from_partitions_and_from_the_pilot_do_not_vanish():
    frame = table()
    rare = frame.iloc[:6].assign(g="rare", y=[0, 1, 3, 2, 0, 1])
    data = dd.from_pandas(pd.concat([frame, rare], ignore_index=True), npartitions=6)
    one = GLMRegressor("poisson", formula="y ~ a + g", method=OneStep(pilot_size=1000, steps=4))
    with pytest.warns(SmallPilotWarning, match="small for 52 coefficients"):
        one.fit(data)
    assert one.estimate_.pilot_coef[list(one.coef_table().index).index("g[T.rare]")] == 0.0
    best = GLMRegressor("poisson", formula="y ~ a + g", method=MLE(tol=1e-14)).fit(data)
    apart = (one.coef_table()["coef"] - best.coef_table()["coef"]) / best.coef_table()["std_err"]
    assert np.abs(apart).max() < 1e-8
    assert one.n_passes_ == 5  # levels with the pilot, and a pass a step


def test_predictions_with_gaps_and_unseen_levels():
    frame = table()
    glm = GLMRegressor("poisson", formula="y ~ a + g", missing="drop").fit(dd.from_pandas(frame, npartitions=3))
    later = frame.iloc[:50].copy()
    later.loc[3, "a"], later.loc[7, "g"] = np.nan, None
    mean = glm.predict(later)
    assert np.isnan(mean).nonzero()[0].tolist() == [3, 7]
    matrix = np.asarray(formulaic.model_matrix("1 + a + g", frame))[:50]
    kept = ~np.isnan(mean)
    eta = matrix @ glm.coef_table()["coef"].to_numpy()
    np.testing.assert_allclose(mean[kept], np.exp(eta)[kept], rtol=1e-10)
    bounds = glm.predict_interval(later.iloc[10:])
    spread = np.sqrt(np.einsum("ij,jk,ik->i", matrix, glm.covariance_, matrix))[10:]
    np.testing.assert_allclose(np.log(np.asarray(bounds))[:, 1], eta[10:] + 1.959964 * spread, rtol=1e-5)
    with pytest.raises(ValueError, match="a level that fit did not see, 'new'"):
        glm.predict(later.assign(g="new"))


def sparse_case():
    rng = np.random.default_rng(1)
    x = sparse.random_array((3_000, 30), density=0.05, format="csr", rng=rng)
    beta = np.where(np.arange(30) < 6, 1.0, 0.0)
    y = (rng.random(3_000) < 1 / (1 + np.exp(-(x @ beta)))).astype(int)
    return x, y


@pytest.mark.parametrize(
    "method", ["one-step", "mle", "pilot", "average", "surrogate", "debiased-lasso", "average-lasso"]
)
def test_sparse_blocks_fit_as_dense_ones(method):
    x, y = sparse_case()
    chunks = (1_000, -1)
    target = da.from_array(y, chunks=1_000)
    dense = GLMClassifier(method=method).fit(da.from_array(x.toarray(), chunks=chunks), target)
    held = da.from_array(x, chunks=chunks, asarray=False)
    glm = GLMClassifier(method=method).fit(held, target)
    np.testing.assert_allclose(glm.coef_, dense.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(glm.covariance_, dense.covariance_, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(glm.predict(held).compute(), dense.predict(x.toarray()))
    assert glm.score(held, target) == pytest.approx(dense.score(x.toarray(), y))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_data_in_memory(kind):
    x, y = sparse_case()
    dense, held = GLMClassifier().fit(x.toarray(), y), GLMClassifier().fit(kind(x), y)
    np.testing.assert_allclose(held.coef_, dense.coef_, rtol=1e-9)
    np.testing.assert_allclose(held.predict_proba(kind(x)), dense.predict_proba(x.toarray()), rtol=1e-9)


def test_gaps_in_sparse_blocks_are_named_or_dropped():
    x, y = sparse_case()
    x = sparse.csr_array(np.where(np.arange(3_000)[:, None] == 1_500, np.nan, x.toarray()))
    held, target = da.from_array(x, chunks=(1_000, -1), asarray=False), da.from_array(y, chunks=1_000)
    with pytest.raises(ValueError, match=r"NaN or infinity in column x0 \(1 row\)"):
        GLMClassifier().fit(held, target)
    assert GLMClassifier(missing="drop").fit(held, target).n_missing_ == 1
