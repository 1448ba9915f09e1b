"""Missing values as a level of their own, ``C(g, missing="unknown")``: the fit with these values filled in."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import Average, GLMRegressor
from dask_onestep.storage.models import read_model, write_model

N = 300
RNG = np.random.default_rng(4)
X = RNG.normal(size=N)
CODES = np.sort(RNG.integers(0, 4, N))  # some partitions have no missing value, others only these
Y = X + 2.0 * CODES + RNG.normal(size=N)
MISSING = CODES == 2
KINDS = {
    "strings": (np.array(["b", "a", None, "z"], dtype=object)[CODES], ["a", "b", "z"]),
    "categories": (pd.Categorical.from_codes(np.array([1, 0, -1, 2])[CODES], ["z", "b", "a"]), ["b", "z", "a"][::-1]),
    "floats": (np.array([10.0, 9.0, np.nan, 0.5])[CODES], [0.5, 9.0, 10.0]),
    "whole floats": (np.array([10.0, 9.0, np.nan, -1.0])[CODES], [-1, 9, 10]),
    "nullable integers": (pd.array([10, 9, None, -1], dtype="Int16")[CODES], [-1, 9, 10]),
    "nullable booleans": (pd.array([True, False, None, True], dtype="boolean")[CODES], [False, True]),
    "Arrow strings": (pd.array(["b", "a", None, "z"], dtype="string[pyarrow]")[CODES], ["a", "b", "z"]),
}
KINDS["categories"] = (KINDS["categories"][0], ["z", "b", "a"])


def table(kind):
    return pd.DataFrame({"y": Y, "x": X, "g": KINDS[kind][0]})


def filled(kind):
    """Return the table with strings as levels, which sort in the order that is expected here."""
    levels = [*KINDS[kind][1], "unknown"]
    values = pd.Series(KINDS[kind][0]).astype(object)
    at = [levels.index("unknown" if missing else value) for value, missing in zip(values, MISSING, strict=True)]
    return pd.DataFrame({"y": Y, "x": X, "g": np.array(["A", "B", "C", "D"], dtype=object)[at]}), levels


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("formula", ["y ~ x + {}", "y ~ 0 + x:{}", "y ~ x + {}:x", "y ~ x*{}"])
@pytest.mark.parametrize("npartitions", [None, 1, 7])
def test_missing_values_are_the_last_level(kind, formula, npartitions, tmp_path):
    known, levels = filled(kind)
    wanted = GLMRegressor(formula=formula.format("g")).fit(known)
    name = "C(g, missing='unknown')"
    data = table(kind)
    glm = GLMRegressor(formula=formula.format(name))
    glm.fit(data if npartitions is None else dd.from_pandas(data, npartitions=npartitions))
    assert glm.n_samples_ == N
    assert glm.n_missing_ == 0
    np.testing.assert_allclose(glm.estimate_.coef, wanted.estimate_.coef, rtol=1e-7)
    np.testing.assert_allclose(glm.covariance_, wanted.covariance_, rtol=1e-7)
    if formula == "y ~ x + {}":
        assert list(glm.coef_table().index[2:]) == [f"{name}[T.{level}]" for level in levels[1:]]
    np.testing.assert_allclose(glm.predict(data), wanted.predict(known), rtol=1e-7)
    write_model(glm, str(tmp_path / "model.json"))
    np.testing.assert_allclose(
        read_model(str(tmp_path / "model.json")).predict(data.iloc[::-1]), glm.predict(data)[::-1]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("term", ['C(g, contr.sum, missing="unknown")', 'C(g, Sum, missing="unknown")'])
def test_other_codings_of_missing_values(kind, term):
    known, _ = filled(kind)
    glm = GLMRegressor(formula=f"y ~ x + {term}").fit(dd.from_pandas(table(kind), npartitions=4))
    wanted = GLMRegressor(formula="y ~ x + C(g, contr.sum)").fit(known)
    np.testing.assert_allclose(glm.estimate_.coef, wanted.estimate_.coef, rtol=1e-7)


def test_the_reference_and_listed_levels():
    name = "C(g, Treatment('unknown'), missing='unknown')"
    glm = GLMRegressor(formula=f"y ~ x + {name}").fit(table("strings"))
    assert [each.split("[")[1] for each in glm.coef_table().index[2:]] == ["T.a]", "T.b]", "T.z]"]
    listed = "C(g, levels=['z', 'b', 'a'], missing='unknown')"
    data = dd.from_pandas(table("strings"), npartitions=3)
    for model in (
        GLMRegressor(formula=f"y ~ x + {listed}"),
        GLMRegressor(formula=f"y ~ x + {listed}", method=Average()),
    ):
        found = model.fit(data.repartition(npartitions=1))
        assert [each.split("[")[-1] for each in found.coef_table().index[2:]] == ["T.b]", "T.a]", "T.unknown]"]


def test_lazily_and_with_an_expression():
    data = pd.DataFrame({"y": Y, "x": X, "u": np.where(MISSING, np.nan, CODES * 2.0 + (X > 0))})
    glm = GLMRegressor(formula="y ~ x + C(u // 2, missing='none')").fit_delayed(dd.from_pandas(data, npartitions=5))
    glm = dask.compute(glm)[0]
    names = [each.split("[")[1] for each in glm.coef_table().index[2:]]
    assert names == ["T.1]", "T.3]", "T.none]"]
    wanted = GLMRegressor(formula="y ~ x + C(v)").fit(data.assign(v=np.where(MISSING, 9, CODES)))
    np.testing.assert_allclose(glm.estimate_.coef, wanted.estimate_.coef, rtol=1e-7)


def test_missing_values_that_fit_did_not_see_are_an_unseen_level():
    complete = table("strings")[~MISSING]
    glm = GLMRegressor(formula="y ~ x + C(g, missing='unknown')").fit(complete)
    assert len(glm.coef_table()) == 4
    with pytest.raises(ValueError, match=rf"a level that fit did not see, 'unknown' \({MISSING.sum()} rows\)"):
        glm.predict(table("strings"))
    np.testing.assert_array_equal(np.isnan(glm.predict(table("strings"), unseen="nan")), MISSING)


def test_values_of_that_name_belong_to_the_level():
    data = table("strings")
    named = data.assign(g=data["g"].where(~MISSING | (X > 0), "unknown"))
    glm, other = (GLMRegressor(formula="y ~ x + C(g, missing='unknown')").fit(each) for each in (data, named))
    np.testing.assert_array_equal(glm.estimate_.coef, other.estimate_.coef)


def test_other_missing_values_are_still_refused_or_dropped():
    data = table("strings")
    data.loc[:9, "x"] = np.nan
    glm = GLMRegressor(formula="y ~ x + C(g, missing='unknown')")
    with pytest.raises(ValueError, match=r"column x \(10 rows\)"):
        glm.fit(data)
    assert glm.set_params(missing="drop").fit(data).n_missing_ == 10
    infinite = table("floats")
    infinite.loc[0, "g"] = np.inf
    with pytest.raises(ValueError, match=r"column g \(1 row\)"):
        glm.set_params(missing="raise").fit(infinite)


def test_effects_of_the_level():
    data = dd.from_pandas(table("strings"), npartitions=3)
    glm = GLMRegressor(formula="y ~ x + C(g, missing='unknown')").fit(data)
    found = glm.avg_comparisons(data, variables="g").set_index("contrast")["estimate"]
    coef = glm.coef_table()["coef"]
    np.testing.assert_allclose(found["unknown - a"], coef["C(g, missing='unknown')[T.unknown]"], rtol=1e-7)
    assert len(glm.drop1(data)) == 2


@pytest.mark.parametrize("formula", ["y ~ g + C(g, missing='u')", "y ~ C(g, missing='u')*C(g, missing='v')"])
def test_one_level_of_missing_values_per_column(formula):
    with pytest.raises(ValueError, match=r"missing values of g are not the same level in .* Use the same missing="):
        GLMRegressor(formula=formula).fit(table("strings"))


@pytest.mark.parametrize("value", ["None", "3", "g", "''"])
def test_the_level_has_a_name(value):
    with pytest.raises(ValueError, match=r"must be the name of the level|is not a coding"):
        GLMRegressor(formula=f"y ~ C(g, missing={value})").fit(table("strings"))
