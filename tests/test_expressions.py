"""Arithmetic in formulas is that of float64, whatever the columns' dtypes; conditions count as 0 and 1."""

from fractions import Fraction

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("formulaic")

from dask_onestep import MLE, GLMClassifier, GLMRegressor
from dask_onestep.kernels.designs.expressions import evaluate
from dask_onestep.kernels.designs.terms import formula_terms

DTYPES = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "Int16",
    "UInt8",
    "float16",
    "float32",
)
U, V = list(range(1, 101)), list(range(100, 0, -1))
NOISE = np.tile([1e-3, -1e-3], 50)


def table(dtype):
    return pd.DataFrame({"u": U, "v": V}).astype(dtype)


# What each is for Python's own numbers, which know no overflow.
ARITHMETIC = {
    "u * v": lambda u, v: u * v,
    "u * 100": lambda u, v: u * 100,
    "u ** 2": lambda u, v: u**2,
    "100 - u - v": lambda u, v: 100 - u - v,
    "v - u": lambda u, v: v - u,
    "-u": lambda u, v: -u,
    "u // 7 * v": lambda u, v: u // 7 * v,
    "(u - v) % 7": lambda u, v: (u - v) % 7,
    "u / v": lambda u, v: Fraction(u, v),
    "u ** -1": lambda u, v: Fraction(1, u),
    "np.square(u)": lambda u, v: u**2,
    "np.add(u, v) * u": lambda u, v: (u + v) * u,
    "I(u * v) + 1": lambda u, v: u * v + 1,
    "(u > 50) + (v > 20)": lambda u, v: int(u > 50) + int(v > 20),
    "(u > 50) - (v > 20)": lambda u, v: int(u > 50) - int(v > 20),
    "-(u > 50)": lambda u, v: -int(u > 50),
    "u * (v > 20)": lambda u, v: u * (v > 20),
    "np.add(u > 50, v > 20)": lambda u, v: int(u > 50) + int(v > 20),
    "(u > 50) & (v > 20)": lambda u, v: u > 50 and v > 20,
    "((u > 50) | ~(v > 20)) + 1": lambda u, v: int(u > 50 or v <= 20) + 1,
    "u == v + 1": lambda u, v: u == v + 1,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", ARITHMETIC)
def test_arithmetic_is_that_of_exact_numbers(source, dtype):
    exact = np.array([float(ARITHMETIC[source](u, v)) for u, v in zip(U, V, strict=True)])
    np.testing.assert_array_equal(evaluate(source, table(dtype)).to_numpy(np.float64), exact)


@pytest.mark.parametrize("function", ["log", "exp", "np.sqrt", "np.sin"])
def test_functions_of_small_numbers_are_computed_in_float64(function):
    own = getattr(np, function.removeprefix("np."))
    for dtype in ("int8", "uint16", "float32", "bool"):
        frame = table(dtype)
        expected = own(frame.u.to_numpy().astype(np.float64))
        np.testing.assert_array_equal(evaluate(f"{function}(u)", frame), expected)


def test_comparisons_with_literals_are_those_of_float64():
    frame = pd.DataFrame({"u": np.array([0.1, 0.2], "float32")})
    assert evaluate("u > 0.1", frame).tolist() == [float(np.float32(0.1)) > 0.1, True]


BOTH = ("int16", "int8", "uint8", "Int16", "int64")
FORMULAS = {
    "y ~ u:v": lambda u, v: u * v,
    "y ~ I(u*v)": lambda u, v: u * v,
    "y ~ I(u*100)": lambda u, v: u * 100,
    "y ~ I(u**2)": lambda u, v: u**2,
    "y ~ np.square(u)": lambda u, v: u**2,
    "y ~ I(100-u)": lambda u, v: 100 - u,
    "y ~ np.log(u)": lambda u, v: np.log(u),
    "y ~ log(u):v": lambda u, v: np.log(u) * v,
    "y ~ I((u>50)+(v>20))": lambda u, v: (u > 50) * 1.0 + (v > 20),
    "y ~ I(u>50):I(v>20)": lambda u, v: (u > 50) * 1.0 * (v > 20),
}


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_response_that_is_a_term_has_slope_one(formula, dtype):
    frame = table(dtype)
    u, v = np.array(U, float), np.array(V, float)
    frame["y"] = FORMULAS[formula](u, v) + NOISE
    for data in (frame, dd.from_pandas(frame, npartitions=3)):
        np.testing.assert_allclose(GLMRegressor(formula=formula, method=MLE()).fit(data).coef_, 1.0, rtol=1e-3)


def test_the_left_hand_side_does_not_wrap_either():
    frame = table("int16")
    frame["x"] = np.square(np.array(U, float)) * 100 + np.where(np.arange(100) % 2, 1.0, -1.0)
    np.testing.assert_allclose(GLMRegressor(formula="I(u*u*100) ~ x", method=MLE()).fit(frame).coef_, 1.0, rtol=1e-3)


def test_products_of_many_levels_with_two_small_integers_do_not_wrap():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"u": rng.integers(1, 100, 4000), "v": rng.integers(1, 100, 4000)}).astype("int8")
    frame["g"] = pd.Categorical(rng.integers(0, 40, 4000).astype(str))
    frame["y"] = frame.u.astype(float) * frame.v + rng.standard_normal(4000)
    found = GLMRegressor(formula="y ~ g:u:v", method=MLE()).fit(frame)
    np.testing.assert_allclose(found.coef_, 1.0, atol=0.01)


@pytest.mark.parametrize("dtype", ["int8", "int64", "Int64", "uint16"])
def test_levels_of_integers_keep_their_names_beside_arithmetic_of_the_same_column(dtype):
    frame = pd.DataFrame({"u": [8, 9, 10, 12] * 10, "v": range(40), "y": np.arange(40.0) % 7}).astype({"u": dtype})
    glm = GLMRegressor(formula="y ~ C(u):I(u*v) + C(u // 4) + u", method=MLE()).fit(
        dd.from_pandas(frame, npartitions=2)
    )
    assert {name.partition(":")[0] for name in glm.coef_table().index} == {
        *("intercept", "u", "C(u // 4)[T.3]", "C(u)[8]", "C(u)[9]", "C(u)[10]", "C(u)[12]")
    }


@pytest.mark.parametrize("formula", ["y ~ u:v", "y ~ I(u - 1)", "y ~ u", "y ~ scale(u)", "y ~ C(u * 2)"])
def test_integers_that_float64_rounds_raise(formula):
    frame = pd.DataFrame({"u": [1, 2, 2**53 + 1], "v": [1, 2, 4], "y": [0.0, 1.0, 4.0]})
    with pytest.raises(ValueError, match=r"integers beyond 2\^53"):
        GLMRegressor(formula=formula, method=MLE()).fit(frame)
    with pytest.raises(ValueError, match=r"integer beyond 2\^53"):
        GLMRegressor(formula="y ~ I(v + 9007199254740993)", method=MLE()).fit(frame)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("I(u^2)", r"\^ is not a power within I\(...\) or a function. Write u \*\* 2"),
        ("I(u|2)", r"\| joins comparisons, and 2 is a number.*\*\*"),
        ("I(u & (v + 1))", r"& joins comparisons, and v \+ 1 is a number.*\*\*"),
        ("I(u > 0 & v > 1)", r"two comparisons; put each in parentheses"),
        ("I(~(u + 1))", r"~ joins comparisons"),
        ("I(0 < u < 1)", r"two comparisons; put each"),
        ("I((u > 0) and (v > 0))", r"and, or and not do not work on columns"),
        ("I(not u)", r"and, or and not do not work on columns"),
        ("I(u in [1, 2])", r"does not compare row by row"),
        ("np.bitwise_xor(u, v)", r"not allowed"),
        ("scale((u > 0) + (v > 0))", r"Compute the comparison as a column first"),
    ],
)
def test_signs_that_are_not_arithmetic_are_refused(expression, text):
    with pytest.raises(ValueError, match=text):
        formula_terms(f"y ~ {expression}", True)


@pytest.mark.parametrize("expression", ["I(u & v)", "I(u | v)", "I(~u)"])
@pytest.mark.parametrize("dtype", ["int64", "float64", "Int8"])
def test_columns_of_numbers_are_refused_by_their_dtype(expression, dtype):
    frame = table(dtype).assign(y=1.0)
    with pytest.raises(ValueError, match=r"join comparisons, and u is a number; a power is \*\*"):
        GLMRegressor(formula=f"y ~ {expression}").fit(frame)


@pytest.mark.parametrize("dtype", ["bool", "boolean", "bool[pyarrow]"])
def test_columns_of_booleans_count_as_zero_and_one(dtype):
    frame = pd.DataFrame({"a": [0, 0, 1, 1] * 6, "b": [0, 1, 0, 1] * 6}).astype(dtype)
    frame["y"] = [0.0, 1.0, 1.0, 2.0] * 6 + np.repeat([1e-3, -1e-3], 12)
    np.testing.assert_allclose(GLMRegressor(formula="y ~ I(a+b)", method=MLE()).fit(frame).coef_, 1.0, rtol=1e-3)
    both = GLMRegressor(formula="y ~ I(a & b) + I(a | b)", method=MLE()).fit(frame)
    np.testing.assert_allclose(both.coef_, 1.0, rtol=1e-3)


def test_a_condition_on_the_left_gives_two_classes():
    frame = table("int8")
    glm = GLMClassifier(formula="I((u > 30) & (v > 20)) ~ v", method=MLE(), missing="drop")
    assert glm.fit(frame.iloc[::-1]).classes_.tolist() == [False, True]


def test_names_in_backticks_are_columns_within_functions():
    frame = pd.DataFrame({"residual sugar": U, "b-c": V, "1a": U}, dtype="int8")
    frame["y"] = np.log(np.array(U, float)) * 2 + NOISE
    glm = GLMRegressor(formula="y ~ np.log(`residual sugar`)", method=MLE()).fit(frame)
    assert glm.coef_table().index.tolist() == ["intercept", "np.log(`residual sugar`)"]
    np.testing.assert_allclose(glm.coef_, 2.0, rtol=1e-3)
    np.testing.assert_allclose(glm.predict(frame), frame.y, atol=1e-2)
    terms = formula_terms("y ~ I(`b-c` * `1a`) + C(`residual sugar`) + scale(`1a`)", True)
    assert terms.columns == ("b-c", "1a", "residual sugar")
    assert evaluate("`b-c` * `1a`", frame).tolist() == [u * v for u, v in zip(U, V, strict=True)]


@pytest.mark.parametrize("left", ["int32[pyarrow]", "Int64", "int8", "double[pyarrow]", "boolean", "bool"])
@pytest.mark.parametrize("right", ["boolean", "bool", "bool[pyarrow]", "int32[pyarrow]", "float32"])
def test_numbers_and_booleans_of_any_dtype_are_compared(left, right):
    frame = pd.DataFrame({"a": pd.array([0, 1, 1, 0], dtype=left), "b": pd.array([0, 0, 1, 1], dtype=right)})
    assert evaluate("I(a > b)", frame).tolist() == [False, True, False, False]
