"""Derivatives of a design with respect to a column, against analytic ones and higher-order differences."""

import numpy as np
import pandas as pd
import pytest
from support import text_of

from dask_onestep import GLMRegressor
from dask_onestep.kernels.designs.derivatives import depending, design_derivative, with_values


def table(rows=500, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.uniform(0.01, 3, rows), "z": rng.normal(size=rows)})
    frame["year"] = rng.integers(2008, 2020, rows)
    frame["kind"] = rng.choice(["a", "b", "c"], rows)
    return frame.assign(y=rng.normal(size=rows))


def design_of(formula, frame):
    return GLMRegressor(formula=f"y ~ {formula}", method="mle").fit(frame).record_.design


def derivative_of(design, frame, column):
    found = design_derivative(design, frame, column)
    assert found.offset is None
    return found.columns, found.design


ANALYTIC = {
    "x + z": lambda x, f: {"x": np.ones_like(x)},
    "log(x) * kind": lambda x, f: {"log(x)": 1 / x, "log(x):kind[T.b]": (f["kind"] == "b") / x},
    "np.sqrt(x) + x:z": lambda x, f: {"np.sqrt(x)": 0.5 / np.sqrt(x), "x:z": f["z"]},
    "x + I(x**2) + I(x**3)": lambda x, f: {"x": np.ones_like(x), "I(x ** 2)": 2 * x, "I(x ** 3)": 3 * x**2},
    "np.exp(x) + x:kind": lambda x, f: {"np.exp(x)": np.exp(x), "x:kind[c]": (f["kind"] == "c").astype(float)},
}


@pytest.mark.parametrize("formula", ANALYTIC)
def test_derivatives_are_the_analytic_ones(formula):
    frame = table()
    design = design_of(formula, frame)
    at, derivative = derivative_of(design, frame, "x")
    found = dict(zip(np.array(design.names)[at], derivative.T, strict=True))
    names = {name.replace(" ", ""): name for name in found}
    for name, expected in ANALYTIC[formula](frame["x"].to_numpy(), frame).items():
        np.testing.assert_allclose(found[names[name.replace(" ", "")]], expected, rtol=1e-8, atol=1e-12)
        mean = np.asarray(expected).mean()
        np.testing.assert_allclose(found[names[name.replace(" ", "")]].mean(), mean, rtol=1e-10)


@pytest.mark.parametrize(
    ("formula", "column"),
    [("bs(x, df=6) * kind", "x"), ("bs(year, df=5)", "year"), ("poly(year, 3)", "year"), ("cr(x, df=4):z", "x")],
)
def test_splines_and_years_agree_with_a_difference_of_sixth_order(formula, column):
    frame = table().astype({"year": float})
    design = design_of(formula, frame)
    at, derivative = derivative_of(design, frame, column)
    values = frame[column].to_numpy()
    step = 1e-2 if column == "year" else 1e-3
    inside = (values - 3 * step >= values.min()) & (values + 3 * step <= values.max())
    rows = frame[inside]

    def moved(k):
        return design.matrix(with_values(rows, column, rows[column] + k * step))[:, at]

    expected = (45 * (moved(1) - moved(-1)) - 9 * (moved(2) - moved(-2)) + moved(3) - moved(-3)) / (60 * step)
    # At a knot the difference of sixth order is itself off, by the jump in the third derivative.
    np.testing.assert_allclose(derivative[inside], expected, atol=1e-5 * np.abs(expected).max())
    off = np.abs(derivative[inside] - expected).mean(axis=0)
    assert off.max() < 1e-8 * np.abs(expected).max()


def test_at_the_bounds_of_a_spline_differences_are_one_sided():
    frame = table()
    design = design_of("bs(x, df=4, degree=3)", frame)
    at, derivative = derivative_of(design, frame, "x")
    x = frame["x"].to_numpy()
    for end, sign in ((np.argmin(x), 1.0), (np.argmax(x), -1.0)):
        row = frame.iloc[[end]]
        steps = sign * np.array([0.0, 1e-3, 2e-3, 3e-3, 4e-3])
        f0, f1, f2, f3, f4 = (design.matrix(with_values(row, "x", row["x"] + step))[0, at] for step in steps)
        expected = (-25 * f0 + 48 * f1 - 36 * f2 + 16 * f3 - 3 * f4) / (12 * sign * 1e-3)
        np.testing.assert_allclose(derivative[end], expected, rtol=1e-7, atol=1e-7)


def test_columns_that_do_not_read_the_variable_are_not_among_them():
    frame = table()
    design = design_of("z + kind * log(x)", frame)
    at, part = depending(design, ["x"])
    assert part.names == ("log(x)", "kind[T.b]:log(x)", "kind[T.c]:log(x)")
    assert np.array(design.names)[at].tolist() == list(part.names)


@pytest.mark.parametrize("formula", ["z + kind * log(x)", "bs(x, df=4):kind + z:site + site", "0 + kind + x", "kind:z"])
@pytest.mark.parametrize("columns", [["x"], ["kind"], ["z", "site"], ["year"]])
def test_a_part_of_a_design_is_its_columns(formula, columns):
    frame = table().assign(site=lambda f: (f.index % 17).astype(str))
    design = design_of(formula, frame)
    at, part = depending(design, columns)
    whole, own = design.matrix(frame), part.matrix(frame)
    dense = [each if isinstance(each, np.ndarray) else each.toarray() for each in (whole, own)]
    np.testing.assert_array_equal(dense[1], dense[0][:, at])
    plain = GLMRegressor(method="mle").fit(frame[["x", "kind", "z", "site"]], frame["y"]).record_.design
    at, part = depending(plain, columns)
    assert part.names == tuple(np.array(plain.names)[at])
    whole, own = plain.matrix(frame), part.matrix(frame)
    np.testing.assert_array_equal(own if isinstance(own, np.ndarray) else own.toarray(), whole.toarray()[:, at])


def test_jumps_and_infinite_slopes_are_refused():
    frame = table()
    text = text_of(design_derivative(design_of("np.floor(year / 2)", frame), frame, "year"))
    assert "'year' has no slope at some values, because the formula jumps there (" in text
    assert "Use avg_comparisons" in text
    root = design_of("np.sqrt(x)", frame)
    with np.errstate(all="ignore"):  # as in kernels
        found = design_derivative(root, frame.assign(x=[0.0] + [1.0] * 499), "x")
    assert "not differentiable there (1 row)" in text_of(found)


def test_ends_on_both_sides_of_a_domain_and_steep_columns():
    """The column is NaN below 0 and above 1, and its slopes, about 1e8, exist there."""
    frame = pd.DataFrame({"x": [0.0, 0.25, 0.5, 0.9, 1.0], "y": [1.0, 2.0, 4.0, 3.0, 5.0]})
    design = design_of("I(1e8 * (x + x**2.5 * (1 - x) ** 2.5))", frame)
    _, found = derivative_of(design, frame, "x")
    x = frame["x"].to_numpy()
    expected = 1e8 * (1.0 + 2.5 * (x * (1 - x)) ** 1.5 * (1 - 2 * x))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)
