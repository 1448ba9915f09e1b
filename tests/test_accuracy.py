"""NIST's certified regressions: the certified values by exact arithmetic, and ours to certified digits."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from oracle import blocks

from benchmarks.accuracy.__main__ import RESULTS, behind, digits, markdown
from benchmarks.accuracy.exact import exact_least_squares
from benchmarks.accuracy.nist import certified_digits, references
from dask_onestep import GLMRegressor

REFERENCES = {reference.name: reference for reference in references()}
# What sixteen digits leave of an eleventh power, and of coefficients of 1 beneath residuals of thousands to millions.
FEWER = {"filip": 7, "wampler1": 9, "wampler3": 9, "wampler4": 7, "wampler5": 5}


@pytest.mark.parametrize("name", REFERENCES)
def test_certified_values_are_those_of_exact_arithmetic(name):
    reference = REFERENCES[name]
    coef, std_err = exact_least_squares(reference.exact_design(), reference.y)
    assert certified_digits(np.array(coef), reference.coef) > 14
    assert certified_digits(np.array(std_err), reference.std_err) > 14


def test_longley_is_statsmodels_own():
    data = sm.datasets.longley.load_pandas()
    x, y = REFERENCES["longley"].columns()
    np.testing.assert_array_equal(x, data.exog)
    np.testing.assert_array_equal(y, data.endog)


@pytest.mark.parametrize(("method", "rows"), [("one-step", 7), ("one-step", 100), ("mle", 16)])
@pytest.mark.parametrize("name", REFERENCES)
def test_qr_has_the_certified_digits_for_any_chunking(name, method, rows):
    reference = REFERENCES[name]
    x, y = reference.columns()
    glm = GLMRegressor(method=method, solver="qr", fit_intercept=reference.intercept).fit(*blocks(x, y, rows=rows))
    assert certified_digits(glm.estimate_.coef, reference.coef) > FEWER.get(name, 11.5)
    std_err = np.sqrt(np.diag(glm.covariance_))
    assert certified_digits(std_err, reference.std_err) > {"filip": 7, "wampler1": 9}.get(name, 12)


@pytest.mark.filterwarnings("ignore:Nearly aliased columns")
@pytest.mark.parametrize(("name", "solver"), [("norris", "cholesky"), ("longley", "qr"), ("filip", "qr")])
def test_auto_goes_over_where_half_of_the_digits_are_lost(name, solver):
    reference = REFERENCES[name]
    glm = GLMRegressor(fit_intercept=reference.intercept).fit(*reference.columns())
    assert glm.estimate_.solver == solver
    assert certified_digits(glm.estimate_.coef, reference.coef) > FEWER.get(name, 11.5)


def test_statsmodels_is_nowhere_ahead_of_both_solvers():
    assert behind(digits()).empty


def test_being_behind_is_seen():
    rows = [("a", "coef", f"dask_onestep {solver}", 9.4) for solver in ("cholesky", "qr")]
    rows.append(("a", "coef", "statsmodels OLS", 10.0))
    columns = ["data", "what", "package", "digits"]
    assert len(behind(pd.DataFrame([*rows, ("a", "coef", "exact", 12.0)], columns=columns))) == 1
    assert behind(pd.DataFrame([*rows, ("a", "coef", "exact", 9.5)], columns=columns)).empty


def test_digits_are_counted():
    assert certified_digits(np.array([1.001, 2.0]), ["1", "2"]) == pytest.approx(3)
    assert certified_digits(np.array([1e-5]), ["0"]) == pytest.approx(5)
    assert certified_digits(np.array([1.0, np.nan]), ["1", "2"]) == 0
    assert certified_digits(np.array([2.0]), ["2"]) == 15


@pytest.mark.parametrize("what", ["coef", "std_err"])
def test_the_documentation_shows_the_table_of_the_results(what):
    table = pd.read_csv(RESULTS / "digits.csv")
    assert (RESULTS / f"{what}.md").read_text().strip() == markdown(table, what)
    assert set(table["data"]) == set(json.loads((RESULTS.parent / "nist.json").read_text()))
