"""Products of categories as sparse columns: formulaic's matrix, statsmodels' fits, and what later rows may bring."""

import json
import pickle

import dask.dataframe as dd
import formulaic
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from support import slow

from dask_onestep import MLE, GLMRegressor
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.kernels.designs.assembly import make_design
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.designs.terms import formula_terms
from dask_onestep.storage.designs import design_record, read_design

LEVELS = 40


def table(n=1_000, seed=0):
    """Return rows of which some combinations of categories have none."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.random(n) + 0.5})
    frame["a"] = pd.Categorical([f"A{i:02d}" for i in np.sort(rng.integers(0, LEVELS, n))])
    frame["b"] = pd.Categorical(rng.choice(["r", "p", "q"], n), categories=["r", "p", "q"])
    frame["c"] = pd.Categorical(rng.integers(7, 11, n))
    eta = 0.5 + 0.3 * np.sin(frame["a"].cat.codes) * frame["x"] + 0.2 * (frame["b"] == "q")
    return frame.assign(y=rng.poisson(np.exp(eta)))


def check_matrix(formula, fit_intercept=True):
    """Compare the design's matrix with formulaic's, also after reading from JSON; return the design."""
    frame = table()
    terms = formula_terms(formula, fit_intercept)
    design = make_design(terms, frame.dtypes.to_dict(), None)
    wanted = formulaic.model_matrix(formula if fit_intercept else f"0 + {formula}", frame)
    wanted = wanted.drop(columns="Intercept", errors="ignore")
    for one in (design, read_design(json.loads(json.dumps(design_record(design))))):
        matrix = one.matrix(frame)
        assert one.names == tuple(wanted.columns)
        np.testing.assert_array_equal(matrix.toarray() if isinstance(matrix, SplitMatrix) else matrix, wanted)
    if design.coded:
        assert matrix.stored.nnz <= len(design.coded) * len(frame)
    return design


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        *(("C(a):C(b)", ["C(a):C(b)"]), ("b:a", ["b:a"]), ("a*b", ["a", "a:b"]), ("a:b - 1", ["a:b"])),
        *(("a:b:x", ["a:b:x"]), ("x + a:b:x", ["a:b:x"]), ("a*b*x", ["a", "a:b", "a:x", "a:b:x"])),
        *(("a:b:c", ["a:b:c"]), ("b + a:b:c", ["a:b:c"]), ("a:b + a:c", ["a:b", "a:c"]), ("b/a/c", ["b:a", "b:a:c"])),
        ("x:a:np.log(w):b:I(x > 0)", ["x:a:np.log(w):b:I(x > 0)"]),
        ("C(a, contr.treatment(base='A07')):b + x", ["C(a, contr.treatment(base='A07')):b"]),
        ("C(b, levels=['q', 'p', 'r']):a", ["C(b, levels=['q', 'p', 'r']):a"]),
        ("b*c*x", ["b:c", "b:c:x"]),
        # formulaic's own: other codings, and numbers written in the formula.
        *(("a:C(b, contr.sum)", []), ("a:2:b", []), ("b*x", [])),
    ],
)
def test_the_matrix_is_formulaics(formula, terms, fit_intercept):
    design = check_matrix(formula, fit_intercept)
    assert list(dict.fromkeys(product.term for product in design.coded)) == terms


@settings(max_examples=25, deadline=None)
@given(
    terms=st.lists(st.lists(st.sampled_from("abcxw"), min_size=1, max_size=4, unique=True), min_size=1, max_size=4),
    fit_intercept=st.booleans(),
)
def test_the_matrix_is_formulaics_for_any_terms(terms, fit_intercept):
    check_matrix(" + ".join(":".join(term) for term in terms), fit_intercept)


def test_levels_whose_names_collide_stay_formulaics():
    frame = table()
    frame["b"] = pd.Categorical(np.where(frame["x"] > 0.5, "u", np.where(frame["w"] > 1, "T.u", "v")))
    frame["b"] = frame["b"].cat.set_categories(["v", "u", "T.u"])
    for formula in ("a:b", "b:a:c"):
        design = make_design(formula_terms(formula, True), frame.dtypes.to_dict(), None)
        wanted = formulaic.model_matrix(formula, frame)
        matrix = design.matrix(frame)
        np.testing.assert_array_equal(matrix.toarray() if design.coded else matrix, wanted.drop(columns="Intercept"))


def test_a_coding_by_a_list_is_no_treatment_coding():
    frame = table()
    frame["d"] = pd.Categorical(np.arange(len(frame)) % 12)
    coding = np.random.default_rng(5).integers(0, 9, (12, 11)).tolist()
    design = make_design(formula_terms(f"C(d, {coding}) + a", True), frame.dtypes.to_dict(), None)
    assert [product.term for product in design.coded] == ["a"]
    wanted = formulaic.model_matrix(f"C(d, {coding}) + a", frame).drop(columns="Intercept")
    np.testing.assert_array_equal(design.matrix(frame).toarray(), wanted)


@pytest.mark.parametrize("formula", ["y ~ a*b", slow("y ~ a:b + w"), slow("y ~ 0 + a:b:x + C(a):C(b)")])
def test_the_fit_is_statsmodels(formula):
    # Strings and numbers in place of categories known beforehand, and partitions that have few of the levels.
    frame = table(12_000).astype({"a": str, "b": str})
    data = dd.from_pandas(frame, npartitions=4)
    glm = GLMRegressor("poisson", formula=formula, method=MLE(tol=1e-14)).fit(data)
    assert glm.record_.model.design.coded
    matrix = formulaic.model_matrix(formula, frame).rhs
    peer = sm.GLM(frame["y"], np.asarray(matrix), family=sm.families.Poisson()).fit(tol=1e-14)
    names = ["intercept" if name == "Intercept" else name for name in matrix.columns]
    assert list(glm.coef_table().index) == names
    np.testing.assert_allclose(glm.coef_table()["coef"], peer.params, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(glm.coef_table()["std_err"], peer.bse, rtol=1e-6)


def test_later_rows_have_gaps_and_new_levels():
    frame = table(6_000).astype({"c": "Int64", "a": str})
    frame.loc[::9, "c"] = pd.NA
    glm = GLMRegressor("poisson", formula="y ~ a:C(c) + b", missing="drop", method=MLE(tol=1e-14))
    glm.fit(dd.from_pandas(frame, npartitions=3))
    assert [product.width for product in glm.record_.model.design.coded] == [3, 4 * 39]
    whole = frame.dropna().astype({"c": int})
    assert glm.n_missing_ == len(frame) - len(whole)
    matrix = np.asarray(formulaic.model_matrix("y ~ a:C(c) + b", whole).rhs)
    peer = sm.GLM(whole["y"], matrix, family=sm.families.Poisson()).fit(tol=1e-14)
    for model in (glm, pickle.loads(pickle.dumps(glm))):
        mean = model.predict(frame)
        np.testing.assert_array_equal(np.isnan(mean), frame["c"].isna())
        np.testing.assert_allclose(mean[frame["c"].notna()], peer.fittedvalues, rtol=1e-7)
    with pytest.raises(ValueError, match=r"C\(c\) has a level that fit did not see, 12"):
        glm.predict(frame.fillna({"c": 12}))


def test_combinations_that_no_row_has_are_aliased():
    frame = table(6_000)
    frame = frame[~((frame["a"] == "A03") & (frame["b"] == "q"))]
    frame = frame[(frame["a"] != "A05") | (frame["b"] == "p")]
    glm = GLMRegressor("poisson", formula="y ~ a*b", method=MLE(tol=1e-14))
    with pytest.warns(AliasingWarning, match=r"a\[T.A05\]:b\[T.p\] = 1·a\[T.A05\]"):
        glm.fit(dd.from_pandas(frame, npartitions=3))
    coef = glm.coef_table()["coef"]
    aliased = ["a[T.A05]:b[T.p]", "a[T.A03]:b[T.q]", "a[T.A05]:b[T.q]"]
    assert coef.index[coef.isna()].tolist() == aliased
    matrix = formulaic.model_matrix("y ~ a*b", frame).rhs.drop(columns=aliased)
    peer = sm.GLM(frame["y"], np.asarray(matrix), family=sm.families.Poisson()).fit(tol=1e-14)
    np.testing.assert_allclose(coef.dropna(), peer.params, rtol=1e-7, atol=1e-7)
