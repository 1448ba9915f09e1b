"""What a formula may ask for: bounds that hold before formulaic multiplies out terms or evaluates transforms."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("formulaic")

import formulaic

from dask_onestep.kernels.designs.grammar import columns_made
from dask_onestep.kernels.designs.parser import parse, with_columns
from dask_onestep.kernels.designs.terms import formula_terms

NAMES = [f"a{number}" for number in range(13_000)]

# Each took minutes, or more memory than machines have.
TOO_MUCH = (
    ("y ~ bs(x, df=1000000000)", "df of bs must be an integer up to 200, as in bs"),
    ("y ~ bs(x, 10**9)", "df of bs must be an integer up to 200"),
    ("y ~ cr(x, df=100000)", "df of cr must be an integer up to 200"),
    ("y ~ cc(x, 100000)", "df of cc must be an integer up to 200"),
    ("y ~ poly(x, 100000)", "degree of poly must be an integer up to 25"),
    ("y ~ poly(x, degree=True)", "degree of poly must be an integer up to 25"),
    ("y ~ bs(x, degree=100000, df=100001)", "degree of bs must be an integer up to 25"),
    ("y ~ bs(x, 4, None, 100000)", "degree of bs must be an integer up to 25"),
    ("y ~ bs(x, knots=z)", "knots of bs must be numbers or strings, not columns"),
    ("y ~ cs(x, df=z)", "df of cs must be numbers or strings, not columns"),
    ("y ~ bs(x, lower_bound=z)", "lower_bound of bs must be numbers or strings, not columns"),
    ("y ~ bs(x, knots=[" + "1," * 201 + "])", "more than 200 knots. Use fewer"),
    ("y ~ bs(bs(x, df=200), df=200)", "nested splines or polynomials"),
    ("y ~ bs(x, df=200):bs(z, df=200)", "asks for 40,000 columns of splines and polynomials, more than 2,000. Use a"),
    ("y ~ bs(x, df=50)*poly(z, 25)*g", "asks for 2,650 columns of splines"),
    ("y ~ (a+b+c+d+e+f+g)**7**7", "** of terms requires an integer from 1 to 64"),
    ("y ~ x**99999999999", "** of terms requires an integer from 1 to 64"),
    ("y ~ (a+b+c+d+e+f+g)**7", "asks for 823,543 terms, more than 10,000"),
    ("(a+b)**40 ~ x", "terms, more than 10,000"),
    ("y ~ " + "*".join(NAMES[:14]), "asks for 16,383 terms, more than 10,000"),
    (f"y ~ ({'+'.join(NAMES[:110])}):({'+'.join(NAMES[110:220])})", "asks for 12,100 terms, more than 10,000"),
    ("y ~ " + "+".join(NAMES), "asks for 13,000 terms, more than 10,000"),
    ("y ~ " + ":".join(NAMES[:3000]), "an interaction of 65 factors, more than 64"),
    ("y ~ " + "/".join(NAMES[:3000]), "an interaction of 65 factors, more than 64"),
)


@pytest.mark.parametrize(("formula", "said"), TOO_MUCH, ids=[formula[:40] for formula, _ in TOO_MUCH])
def test_what_a_formula_may_not_ask_for(formula, said, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("formulaic was handed the formula")

    monkeypatch.setattr(formulaic.Formula, "from_spec", never)
    if "columns of splines" in said:  # known when the terms are, and before any is evaluated
        monkeypatch.undo()
    with pytest.raises(ValueError, match="formula") as raised:
        formula_terms(formula, True)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 1200


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("y ~ bs(x, df=200)", 1),
        ("y ~ bs(x, df=None, knots=[1, 2], degree=25)", 1),
        ("y ~ cr(x, 4) + poly(z, 3):g", 3),
        ("y ~ bs(x, df=30):bs(z, df=30)", 2),
        ("y ~ bs(center(x), df=4) + scale(z, ddof=0)", 2),
        ("y ~ (a + b + c + d + e + f)**5", 6),
        ("y ~ (" + "+".join(NAMES[:60]) + ")**2", 60),
        ("y ~ " + "*".join(NAMES[:10]), 10),
        ("y ~ a/b/c/d/e/f", 6),
        ("y ~ x**2", 1),
        ("y ~ 1", 0),
    ],
)
def test_what_it_may(formula, columns):
    assert len(formula_terms(formula, True).columns) == columns


def test_nesting_that_is_not_that_of_r_is_refused():
    # R's %in% adds no main effect of b, and formulaic's does.
    for formula in ("y ~ a %in% b", "y ~ a%in%b + b"):
        with pytest.raises(ValueError, match=r"%in% has several meanings.* Write a:b, or a/b for a"):
            formula_terms(formula, True)
    assert formula_terms("y ~ `in` + within", True).columns == ("in", "within")


def test_a_dot_needs_a_table():
    for formula in ("y ~ .", "y ~ . - x", "y ~ x + (.)**2"):
        with pytest.raises(ValueError, match=r"'\.' stands for the other columns of a table") as raised:
            formula_terms(formula, True)
        assert "context" not in str(raised.value)


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("y ~ .", "y ~ (`x` + `a b` + `z.1`)"),
        ("np.log(y + x) ~ .", "np.log(y + x) ~ (`a b` + `z.1`)"),
        ("y ~ . - x", "y ~ (`x` + `a b` + `z.1`) - x"),
        ("y ~ (.)**2 + z.1", "y ~ ((`x` + `a b` + `z.1`))**2 + z.1"),
        ("y ~ x * .5", "y ~ x * .5"),
        ("y ~ log(`z.1`)", "y ~ log(`z.1`)"),
        ("~ .", "~ (`y` + `x` + `a b` + `z.1`)"),
    ],
)
def test_a_dot_is_all_columns_but_those_on_the_left(formula, terms):
    assert with_columns(formula, ["y", "x", "a b", "z.1"]) == terms


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ " + " + ".join(f"x{number}" for number in range(20_000)),
        "y ~ " + "(" * 5000 + "x" + ")" * 5000,
        "y ~ " + "log(" * 5000 + "x" + ")" * 5000,
        "y ~ " + "x:" * 60_000 + "x",
        "y ~ ." + "{" * 60,
    ],
)
def test_long_and_deep_formulas_are_refused_before_they_are_read(formula, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the formula was read")

    monkeypatch.setattr("dask_onestep.kernels.designs.parser._tokens", never)
    for read in (lambda: formula_terms(formula, True), lambda: with_columns(formula.replace("x", "."), ["x"])):
        with pytest.raises(ValueError, match=r"^The formula, .*more than|at most 50"):
            read()


@pytest.mark.parametrize(
    "call",
    [
        *("bs(x, df=7)", "bs(x, knots=[2, 5, 7])", "bs(x, degree=2, knots=[5])", "bs(x, 7, degree=5)", "bs(x)"),
        *("poly(x, 3)", "poly(x, degree=4)", "cr(x, df=7)", "cc(x, 5)", "center(x)", "log(x + 1)"),
    ],
)
def test_columns_made_are_those_of_formulaic(call):
    rows = pd.DataFrame({"x": np.linspace(0, 10, 50)})
    assert columns_made(call) == formulaic.Formula(f"0 + {call}").get_model_matrix(rows).shape[1]


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x || g)", "y ~ x | g", "x + (1|g)"])
def test_random_effects_are_refused_and_what_is_supported_is_named(formula):
    with pytest.raises(ValueError, match=r"random effects, .* are not supported\. Write \+ C\(g\) .*'cluster'"):
        parse(formula, True)


def test_a_bar_in_a_name_or_an_expression_is_none_of_a_formula():
    assert [str(term) for term in parse("y ~ `a|b` + I(x | z)", True).right][1:] == ["a|b", "I(x | z)"]
