"""The grammar of formulas, and what is read of a table."""

import numpy as np
import pandas as pd
import pytest

from dask_onestep.kernels.terms import column_terms, formula_terms

pytest.importorskip("formulaic")


def test_factors_columns_and_states():
    terms = formula_terms("np.log(y) ~ x*h + C(g // 2, contr.sum) + bs(log(x), df=4) + `a b`", True)
    assert terms.columns == ("x", "h", "g", "a b")
    assert terms.response is not None
    assert terms.response.columns == ("y",)
    coded = next(factor for factor in terms.factors if factor.coded)
    assert (coded.source, coded.columns) == ("g // 2", ("g",))
    spline = next(factor for factor in terms.factors if factor.states)
    assert spline.states == ("log(x)",)


@pytest.mark.parametrize(
    ("formula", "default", "expected"),
    [("y ~ x", True, True), ("y ~ x", False, False), ("y ~ 0 + x", True, False), ("y ~ 1 + x", False, True)],
)
def test_intercept(formula, default, expected):
    assert formula_terms(formula, default).fit_intercept is expected


def test_values_are_those_of_numpy():
    frame = pd.DataFrame({"x": [1.0, 4.0], "g": [3, 7]})
    factors = formula_terms("~ I(np.sqrt(x) + g % 2) + {x > 2} + log(x)", True).factors
    values = {factor.name: factor.values(frame).to_numpy() for factor in factors}
    np.testing.assert_array_equal(values["I(np.sqrt(x) + g % 2)"], [2.0, 3.0])
    np.testing.assert_array_equal(values["x > 2"], [False, True])
    np.testing.assert_array_equal(values["log(x)"], np.log([1.0, 4.0]))


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ __import__('os').system('true')",
        "y ~ I(__import__('os'))",
        "y ~ x.mean()",
        "y ~ lag(x)",
        "y ~ np.mean(x)",
        "y ~ np.add.reduce(x)",
        "y ~ np.load('file')",
        "y ~ {[a for a in x]}",
        "y ~ {().__class__.__bases__}",
        "y ~ log(x)(2)",
        "y ~ open('x')",
        "y ~ I(eval('x'))",
        "y ~ C(bs(x))",
        "y ~ I(C(x))",
        "y ~ C()",
        "y ~ x +",
        "y ~ .",
        "y ~ x | z",
        "a + b ~ x",
        "C(y) ~ x",
    ],
)
def test_what_is_not_a_function_of_each_row_is_refused(formula):
    with pytest.raises(ValueError, match="formula"):
        formula_terms(formula, True)


def test_each_column_is_a_factor_without_a_formula():
    terms = column_terms(("a", "b"), True)
    assert [factor.name for factor in terms.factors] == ["a", "b"]
    assert terms.response is None
