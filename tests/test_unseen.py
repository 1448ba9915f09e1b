"""Rows with levels, or combinations of levels, that fit had no rows of: an error, NaN, or the reference level."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import sparse

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.storage.models import read_model, write_model

N = 400
RNG = np.random.default_rng(8)
X = RNG.normal(size=N)
G = np.array(["a", "b", "c"], dtype=object)[np.arange(N) % 3]
H = np.array(["p", "q"], dtype=object)[np.arange(N) // 3 % 2]
Y = 1.0 + X + 2.0 * (G == "b") + 3.0 * (H == "q") + RNG.normal(size=N)


def table():
    return pd.DataFrame({"y": Y, "x": X, "g": pd.Categorical(G, categories=["a", "b", "c", "never"]), "h": H})


def in_form(glm, tmp_path, form):
    if form == "fitted":
        return glm
    write_model(glm, str(tmp_path / "model.json"))
    return read_model(str(tmp_path / "model.json"))


DECLARED = ["never", "c", "b", "a"]


@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ x + C(g)", None])
@pytest.mark.parametrize("lazy", [False, True])
def test_declared_categories_without_rows_are_no_levels_as_in_r(formula, lazy):
    frame = table().drop(columns="h").assign(g=pd.Categorical(G, categories=DECLARED))
    y = "y" if formula is None else None
    glm = GLMRegressor(formula=formula)
    data = dd.from_pandas(frame, npartitions=3)
    glm = dask.compute(glm.fit_delayed(data, y))[0] if lazy else glm.fit(data, y)
    # R's glm drops unused levels and keeps the order of the others, so that c is the reference.
    name = "C(g)" if formula is not None and "C" in formula else "g"
    assert list(glm.coef_table().index) == ["intercept", "x", f"{name}[T.b]", f"{name}[T.a]"]
    wanted = sm.OLS(Y, np.column_stack([np.ones(N), X, G == "b", G == "a"])).fit().params
    np.testing.assert_allclose(glm.coef_table()["coef"], wanted, rtol=1e-8)
    assert glm.estimate_.warnings == ()
    with pytest.raises(ValueError, match=r"a level that fit did not see, 'never' \(400 rows\)"):
        glm.predict(frame.assign(g=pd.Categorical(["never"] * N, categories=DECLARED)))


@pytest.mark.parametrize("form", ["fitted", "JSON"])
@pytest.mark.parametrize("formula", ["y ~ x + {}", "y ~ 0 + {}", "y ~ x:{}"])
def test_a_level_of_the_formula_without_rows_at_fit_is_not_predicted(formula, form, tmp_path):
    formula = formula.format("C(g, levels=['a', 'b', 'c', 'never'])")
    with pytest.warns(AliasingWarning):
        glm = GLMRegressor(formula=formula).fit(dd.from_pandas(table(), npartitions=3))
    glm = in_form(glm, tmp_path, form)
    later = (
        table()
        .iloc[:6]
        .assign(g=pd.Categorical(["a", "never", "b", "never", "c", "a"], categories=["a", "b", "c", "never"]))
    )
    with pytest.raises(ValueError, match=r"fit had no rows with .*\[(T\.)?never\].*\(2 rows\)"):
        glm.predict(later)
    with pytest.raises(ValueError, match="fit had no rows"):
        glm.predict_interval(later)
    means = glm.predict(later, unseen="nan")
    assert np.isnan(means).nonzero()[0].tolist() == [1, 3]
    assert np.isnan(glm.predict_interval(later, unseen="nan")).any(axis=1).nonzero()[0].tolist() == [1, 3]
    known = later.iloc[[0, 2, 4, 5]]
    np.testing.assert_allclose(means[[0, 2, 4, 5]], glm.predict(known))


@pytest.mark.parametrize("solver", ["auto", "cholesky", "qr"])
def test_a_combination_without_rows_at_fit_is_not_predicted(solver):
    frame = table().astype({"g": object})
    absent = (frame["g"] == "c") & (frame["h"] == "q")
    with pytest.warns(AliasingWarning):
        glm = GLMRegressor(formula="y ~ g*h", solver=solver).fit(frame[~absent])
    with pytest.raises(ValueError, match=rf"fit had no rows with g\[T.c\]:h\[T.q\].* \({absent.sum()} rows\)"):
        glm.predict(frame)
    np.testing.assert_array_equal(np.isnan(glm.predict(frame, unseen="nan")), absent)
    additive = glm.predict(frame, unseen="reference")[absent]
    coef = glm.coef_table()["coef"]
    np.testing.assert_allclose(additive, coef["intercept"] + coef["g[T.c]"] + coef["h[T.q]"])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["fitted", "JSON"])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "qr"])
@pytest.mark.parametrize(
    "formula", ["y ~ C(g, Sum)*C(h, Sum)", "y ~ 0 + g:h + x", "y ~ x + I(2*x + 1) + z + w", "y ~ C(g, Helmert)*h*x + z"]
)
def test_rows_are_predicted_if_they_are_combinations_of_rows_of_the_fit(formula, solver, form, tmp_path):
    frame = table().astype({"g": object}).assign(z=X**2, w=X**2 - X)
    known = frame[(frame["g"] != "c") | (frame["h"] != "q")]
    with pytest.warns(AliasingWarning):
        glm = GLMRegressor(formula=formula, solver=solver).fit(dd.from_pandas(known, npartitions=3))
    glm = in_form(glm, tmp_path, form)
    later = frame.iloc[:60].assign(w=lambda rows: rows["w"] + (np.arange(60) % 5 == 0))

    def design(rows):
        matrix = glm.record_.design.matrix(rows)
        matrix = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        return np.column_stack([np.ones(len(rows)), matrix] if "0 +" not in formula else [matrix])

    # A row is in the span of the rows of the fit if it does not raise their rank.
    fitted = design(known)
    fitted = fitted / np.maximum(np.abs(fitted).max(axis=0), 1e-300)
    asked = design(later) / np.maximum(np.abs(design(known)).max(axis=0), 1.0)
    rank = np.linalg.matrix_rank(fitted)
    unknown = np.array([np.linalg.matrix_rank(np.vstack([fitted, row])) > rank for row in asked])
    assert unknown.any()
    assert not unknown.all()
    means = glm.predict(later, unseen="nan")
    np.testing.assert_array_equal(np.isnan(means), unknown)
    coef, *_ = np.linalg.lstsq(design(known), known["y"], rcond=None)
    np.testing.assert_allclose(means[~unknown], (design(later) @ coef)[~unknown], rtol=1e-6)
    np.testing.assert_allclose(glm.predict(known), design(known) @ coef, rtol=1e-6)
    with pytest.raises(ValueError, match=rf"\({unknown.sum()} rows\)\. Drop these rows, or pass unseen='nan'"):
        glm.predict(later)
    for use in (glm.score, glm.residuals, glm.fit_statistics, glm.avg_predictions):
        use(known)
        with pytest.raises(ValueError, match=rf"\({unknown.sum()} rows\)\. .*Drop these rows, or fit with such rows"):
            np.asarray(use(later))


def test_rows_at_which_columns_are_nearly_zero_are_no_other_combinations():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"u": rng.integers(-9_000, 9_000, 90), "p": np.exp(rng.normal(size=90))})
    frame["y"] = rng.normal(size=90)
    with pytest.warns(AliasingWarning):  # products with a cubic spline's columns are dependent
        glm = GLMRegressor(formula="y ~ I(u/7)*np.square(p)*bs(u, df=4)").fit(frame)
    # At the ends of the range all columns but one are 0, up to rounding.
    assert np.isfinite(glm.predict(frame)).all()


def test_levels_of_weight_zero_are_levels_without_rows():
    frame = table().astype({"g": object})
    weights = (frame["g"] != "c").astype(float)
    glm = GLMRegressor(formula="y ~ x + g").fit(frame.assign(g=pd.Categorical(G)), sample_weight=weights)
    with pytest.raises(ValueError, match="a level that fit did not see, 'c'"):
        glm.predict(frame.assign(g=pd.Categorical(G)))


@pytest.mark.parametrize("levels", [["a", "b"], [f"L{i:02d}" for i in range(30)]])
def test_undeclared_levels_are_nan_or_the_reference_on_request(levels):
    codes = np.arange(N) % len(levels)
    frame = pd.DataFrame(
        {"y": (X + RNG.logistic(size=N) > 0).astype(int), "x": X, "g": np.array(levels, dtype=object)[codes]}
    )
    glm = GLMClassifier(formula="y ~ x + g").fit(dd.from_pandas(frame, npartitions=4))
    later = frame.iloc[:5].copy()
    later.loc[[1, 4], "g"] = "new"
    with pytest.raises(ValueError, match="a level that fit did not see, 'new'"):
        glm.predict_proba(later)
    as_reference = later.assign(g=later["g"].replace("new", glm.record_.model.design.levels[0][1][0]))
    for predict in (glm.predict_proba, glm.decision_function, glm.predict_interval):
        wanted = np.array(predict(as_reference))
        np.testing.assert_array_equal(predict(later, unseen="reference"), wanted)
        wanted[[1, 4]] = np.nan
        np.testing.assert_array_equal(predict(later, unseen="nan"), wanted)
    np.testing.assert_array_equal(glm.predict(later, unseen="reference"), glm.predict(as_reference))
    with pytest.raises(ValueError, match="Unknown unseen='nan'; must be one of 'raise', 'reference'"):
        glm.predict(later, unseen="nan")
    with pytest.raises(ValueError, match="Unknown unseen='drop'"):
        glm.predict_proba(later, unseen="drop")


def test_other_codings_have_no_reference():
    frame = table().astype({"g": object})
    glm = GLMRegressor(formula="y ~ C(g, contr.sum)").fit(frame)
    for unseen in ("raise", "reference", "nan"):
        with pytest.raises(ValueError, match="a level that fit did not see, 'new'"):
            glm.predict(frame.assign(g="new"), unseen=unseen)


def test_missing_values_are_no_levels_without_rows():
    glm = GLMRegressor(formula="y ~ x + g", missing="drop").fit(table())
    later = table().iloc[:4].copy()
    later.loc[1, "x"], later.loc[2, "g"] = np.nan, np.nan
    assert np.isnan(glm.predict(later)).tolist() == [False, True, True, False]


@pytest.mark.parametrize("form", ["fitted", "JSON"])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "qr"])
@pytest.mark.parametrize("kind", ["NumPy", "Dask", "sparse"])
def test_rows_of_arrays_are_predicted_if_they_are_combinations_of_rows_of_the_fit(kind, solver, form, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.integers(-5, 6, (90, 3))
    design = np.column_stack([x, 2 * x[:, 0] - x[:, 1] + 1, np.zeros(90, int), np.full(90, 7)])
    y = x @ [1.0, 2.0, 0.0] + rng.normal(size=90)
    chunked = da.from_array(design, chunks=(30, -1))
    given = {"NumPy": design, "Dask": chunked, "sparse": chunked.map_blocks(sparse.csr_array)}[kind]
    with pytest.warns(AliasingWarning):
        glm = GLMRegressor(solver=solver).fit(given, y)
    glm = in_form(glm, tmp_path, form)
    np.testing.assert_allclose(
        np.asarray(glm.predict(given)), sm.OLS(y, sm.add_constant(x)).fit().fittedvalues, rtol=1e-8
    )
    later = design[:10].copy()
    later[3, 3] += 1
    later[5, 4] = 1
    later[8, 5] = 6
    unknown = np.isin(np.arange(10), [3, 5, 8])
    means = np.asarray(glm.predict(later, unseen="nan"))
    np.testing.assert_array_equal(np.isnan(means), unknown)
    np.testing.assert_allclose(means[~unknown], np.asarray(glm.predict(design[:10]))[~unknown])
    np.testing.assert_allclose(glm.predict(later, unseen="reference"), glm.predict(design[:10]))
    with pytest.raises(ValueError, match=r"fit had no rows with x4, .*x3, x5 had no coefficient .*\(3 rows\)\. Drop"):
        glm.predict(later)
    with pytest.raises(ValueError, match=r"\(3 rows\)\. .*Drop these rows, or fit with such rows"):
        glm.score(later, y[:10])
