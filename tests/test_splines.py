"""Splines as polynomials between knots: formulaic's and SciPy's columns, within the boundaries and beyond."""

import json

import formulaic
import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from dask_onestep import GLMRegressor
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.kernels.compiled import loops
from dask_onestep.kernels.designs import splines
from dask_onestep.kernels.designs.assembly import assemble
from dask_onestep.kernels.designs.evaluation import EvaluationError
from dask_onestep.kernels.designs.specification import specify_terms
from dask_onestep.kernels.designs.terms import formula_terms
from dask_onestep.storage.designs import design_record, read_design


def table(n=700, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=n), "z": rng.random(n) + 0.1, "the y": rng.random(n)})


def design_of(formula, frame):
    terms = formula_terms(formula, True)
    return assemble(terms, (), specify_terms(terms, frame))


OWN = [
    *("bs(x, df=5)", "bs(x, knots=[-0.5, 0.25])", "bs(np.log(z), df=6)", "bs(x + z, df=4)", "bs(x, df=4, degree=2)"),
    *("bs(x, df=5, degree=1)", "cr(x, df=4)", "cs(x, df=5)", "cc(z, df=4)", "cr(x, df=4, constraints='center')"),
    *("bs(x, df=4, lower_bound=-9, upper_bound=9)", "bs(x, df=5):z", "z + bs(x, df=12) + cr(z, df=4)"),
]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("formula", OWN)
def test_the_columns_are_formulaics(formula, compiled, monkeypatch):
    monkeypatch.setattr(splines, "loop", lambda name, plain: getattr(loops, name) if compiled else plain)
    frame = table()
    design = design_of(formula, frame)
    assert any(product.spline is not None for product in design.products)
    wanted = formulaic.model_matrix(formula, frame).drop(columns="Intercept")
    for one in (design, read_design(json.loads(json.dumps(design_record(design))))):
        np.testing.assert_allclose(one.matrix(frame), wanted, atol=1e-13)
        assert one.names == tuple(wanted.columns)
        later = frame.iloc[[5, 17, 600]]
        np.testing.assert_allclose(one.matrix(later), wanted.iloc[[5, 17, 600]], atol=1e-13)


# The ranks by R: library(splines); lm(y ~ bs(u, df = 4))$rank. Columns of nothing but zeros have no coefficient.
@pytest.mark.parametrize("values", [(0, 1), (1, 2, 100), (-3, 0, 7), (2013.1, 2013.2, 2013.4)])
@pytest.mark.parametrize(
    ("formula", "ranks"),
    [
        ("bs(u, df=4)", (2, 3)),
        ("bs(u, df=4) + u + I(u**2)", (2, 3)),
        ("bs(u, df=4)*p", (4, 6)),
        ("bs(u, df=4):p", (2, 3)),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_few_distinct_values_give_the_rank_of_r(values, formula, ranks, compiled, monkeypatch):
    monkeypatch.setattr(splines, "loop", lambda name, plain: getattr(loops, name) if compiled else plain)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"u": np.resize(values, 120), "p": rng.random(120) + 0.1, "y": rng.normal(size=120)})
    with pytest.warns(AliasingWarning):
        glm = GLMRegressor(formula=f"y ~ {formula}", method="mle").fit(frame)
    assert glm.coef_table()["coef"].notna().sum() == ranks[len(values) > 2]
    assert np.nanmax(np.abs(glm.coef_)) < 1e4


def test_the_columns_are_scipys():
    frame = table()
    inner, low, high = np.array([-1.0, 0.0, 0.5]), frame["x"].min(), frame["x"].max()
    design = design_of("bs(x, knots=[-1.0, 0.0, 0.5])", frame)
    knots = np.concatenate([[low] * 4, inner, [high] * 4])
    wanted = BSpline.design_matrix(frame["x"].to_numpy(), knots, 3).toarray()[:, 1:]
    np.testing.assert_allclose(design.matrix(frame), wanted, atol=1e-13)


@pytest.mark.parametrize(
    "formula",
    [
        *("bs(x, df=4, degree=0)", "bs(center(x), df=4)", "bs(x, df=30, degree=9)", "bs(x, knots=[0.0, 0.0])"),
        *("bs(`the y`, df=5)", "poly(x, degree=3)", "scale(x)", "bs(x, df=4):C(z > 0.5)"),
    ],
)
def test_other_transforms_stay_formulaics(formula):
    frame = table()
    terms = formula_terms(formula, True)
    levels = tuple((factor, pd.Index([False, True])) for factor in terms.factors if factor.coded)
    design = assemble(terms, levels, specify_terms(terms, frame))
    assert not any(product.spline is not None for product in design.products)
    wanted = formulaic.model_matrix(formula, frame)
    np.testing.assert_allclose(design.matrix(frame), wanted.drop(columns="Intercept"), atol=1e-12)


@pytest.mark.parametrize("how", ["clip", "extend", "zero"])
@pytest.mark.parametrize("spline", ["bs(x, df=5, extrapolation='{}')", "cr(x, df=4, extrapolation='{}')"])
def test_rows_beyond_the_boundaries_are_formulaics(spline, how):
    formula = f"z + {spline.format(how)}"
    frame, later = table(), table(50, seed=1) * 4
    fitted, design = formulaic.model_matrix(formula, frame), design_of(formula, frame)
    for rows in (later, later[later["x"] < 0], later[later["x"] > 0]):
        wanted = fitted.model_spec.get_model_matrix(rows).drop(columns="Intercept")
        np.testing.assert_allclose(design.matrix(rows), wanted, rtol=1e-10, atol=1e-10)


def test_rows_beyond_the_boundaries_are_refused_where_the_spline_does():
    frame = table()
    with pytest.raises(EvaluationError):
        design_of("z + bs(x, df=5)", frame).matrix(frame * 4)
    glm = GLMRegressor(formula="z ~ bs(x, df=5)").fit(frame)
    with pytest.raises(ValueError, match=r"x has values beyond .* \(1 row\)"):
        glm.predict(frame.iloc[:3].assign(x=[0.0, 99.0, 0.0]))


@pytest.mark.parametrize("rows", [0, 1, 20_000])
def test_compiled_and_numpy_write_the_same(rows):
    rng = np.random.default_rng(rows)
    knots, coefficients = np.array([-1.0, 0.0, 0.25, 3.0]), rng.normal(size=(4, 3, 5))
    values = np.concatenate([rng.uniform(-1, 3, rows), knots])
    numpy, compiled = np.empty((2, len(values), 7))
    splines.write_polynomials(values, knots, coefficients, numpy[:, 1:6])
    loops.write_polynomials(values, knots, coefficients, compiled[:, 1:6])
    np.testing.assert_allclose(compiled[:, 1:6], numpy[:, 1:6], rtol=1e-12, atol=1e-12)
