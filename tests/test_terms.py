"""The grammar of formulas, and what is read of a table."""

import numpy as np
import pandas as pd
import pytest

from dask_onestep.kernels.designs.terms import column_terms, formula_terms

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
        "y ~ x.mean()",
        "y ~ lag(x)",
        "y ~ np.mean(x)",
        "y ~ np.add.reduce(x)",
        "y ~ np.matmul(x, x)",
        "y ~ {x @ x}",
        "y ~ np.modf(x)",
        "y ~ np.log(x, where=x > 0)",
        "y ~ np.log(x, x)",
        "y ~ log(x, out=x)",
        "y ~ I(np.log)",
        "y ~ {[a for a in x]}",
        "y ~ C(bs(x))",
        "y ~ I(C(x))",
        "y ~ C()",
        "y ~ C(x, levels=x)",
        "y ~ x +",
        "y ~ .",
        "y ~ x | z",
        "a + b ~ x",
        "C(y) ~ x",
        "y ~ {'a' + 'b'}",
        "y ~ {1 + 1}",
        "y ~ I(...)",
        "y ~ np + np.add(x, 1)",
        "y ~ log + log(x)",
        "np ~ np.add(x, 1)",
    ],
)
def test_what_is_not_a_function_of_each_row_is_refused(formula):
    with pytest.raises(ValueError, match="formula"):
        formula_terms(formula, True)


@pytest.mark.parametrize(("levels", "twice"), [("'a', 'b', 'a'", "'a'"), ("1, 2, 2.0", r"2\.0")])
def test_a_level_that_stands_twice_is_named(levels, twice):
    with pytest.raises(ValueError, match=rf"level {twice} is listed twice\."):
        formula_terms(f"y ~ C(g, levels=[{levels}])", True)


def test_a_column_may_be_called_as_a_function_is():
    assert formula_terms("y ~ scale + np", True).columns == ("scale", "np")


# Each would leave a file behind, were any part of it run; formulaic runs the arguments of its transforms
# when it is asked which columns a formula needs.
WRITES = (
    "__import__('pathlib').Path('canary').touch()",
    "open('canary', 'w')",
    "open('canary', 'w').name",
    "exec('open(chr(99), chr(119))')",
    "eval('open')('canary', 'w')",
    "().__class__.__base__.__subclasses__()[0]('canary')",
    "np.save('canary', x)",
    "np.lib.npyio.DataSource('.').open('canary', 'w')",
    "np.memmap('canary', mode='w+', shape=1)",
    "x.to_csv('canary')",
    "x.tofile('canary')",
    "(lambda: open('canary', 'w'))()",
    "[open('canary', 'w') for _ in '1']",
    "(f := open('canary', 'w'))",
    "f'{open(chr(99), chr(119))}'",
    "getattr(np, 'save')('canary', x)",
    "np.frompyfunc(open, 2, 1)('canary', 'w')",
    "np.vectorize(open)('canary', 'w')",
    "__builtins__['open']('canary', 'w')",
    "breakpoint()",
    "globals()",
    "yield_(open('canary', 'w'))",
)
PLACES = (
    "y ~ {0}",
    "y ~ {{{0}}}",
    "y ~ I({0})",
    "y ~ `x` + log({0})",
    "y ~ Q({0})",
    "y ~ bs({0})",
    "y ~ bs(x, df={0})",
    "y ~ bs(x, knots=[{0}])",
    "y ~ scale(x, center={0})",
    "y ~ C(x, levels={0})",
    "y ~ C(x, contr.treatment({0}))",
    "y ~ C(x, contr.treatment(base={0}))",
    "y ~ C({0})",
    "y ~ hashed({0})",
    "y ~ x[{0}]",
    "y ~ x if {0} else x",
    "y ~ log(x, **{0})",
    "y ~ log(*{0})",
    "y ~ x:Q({0})",
    "Q({0}) ~ x",
    "{{{0}}} ~ .",
    "y ~ (x + {0})**2",
    "y ~ 1 | Q({0})",
    "[Q({0}) ~ x] ~ x",
)


@pytest.mark.parametrize("place", PLACES)
def test_formulas_cannot_run_python(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.breakpoint", lambda: (tmp_path / "breakpoint").touch())
    for writes in WRITES:
        with pytest.raises(ValueError, match="formula"):
            formula_terms(place.format(writes), True)
        assert list(tmp_path.iterdir()) == [], writes


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ bs(x, mode='\\\"]+open(1)')",
        "y ~ bs(x, mode='`open(1)`')",
        "y ~ C(x, levels=['`open(1)`'])",
        "y ~ {9**9**9**9}",
        "y ~ {x + 9**9**9}",
        "y ~ {x + (9**64)**64}",
        "y ~ {x * (1 << 10**12)}",
        "y ~ I(x + 'a' * 10**12)",
        "y ~ {x * [1] * 10**12}",
        "y ~ I(" + "(" * 900 + "x" + ")" * 900 + ")",
        "y ~ I(" + "-" * 900 + "x)",
        "y ~ I(" + "x+" * 5000 + "x)",
        "y ~ log(x\x00)",
    ],
)
def test_formulas_that_would_break_what_reads_them(formula):
    with pytest.raises(ValueError, match="formula"):
        formula_terms(formula, True)


def test_each_column_is_a_factor_without_a_formula():
    terms = column_terms(("a", "b"), True)
    assert [factor.name for factor in terms.factors] == ["a", "b"]
    assert terms.response is None
