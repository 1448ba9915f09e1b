"""Rows on which a formula cannot be evaluated: which column, how many, where, and the remedy."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("formulaic")

from dask_onestep import MLE, Average, GLMClassifier, GLMRegressor, OneStep

N = 600


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"x": rng.uniform(0, 10, N), "g": rng.choice(list("abc"), N)})
    return table.assign(y=table.x + rng.standard_normal(N), label=rng.choice(["no", "yes"], N))


def beyond(table, numbers=(1, 3, 17)):
    later = table.head(20).copy()
    later.loc[list(numbers), "x"] = 25.0
    return later


FITTED = (
    ("y ~ bs(x, df=4)", "x", "bs(x, df=4)"),
    ("y ~ bs(x, df=4):g", "x", "bs(x, df=4)"),
    ("y ~ g + bs(2*x - 1, df=4)", "2 * x - 1", "bs(2 * x - 1, df=4)"),
    ("y ~ cr(x, df=4, extrapolation='raise') - 1", "x", "cr(x, df=4, extrapolation='raise')"),
)


@pytest.mark.parametrize(("formula", "values", "call"), FITTED)
@pytest.mark.parametrize("lazy", [False, True])
def test_predicting_beyond_a_splines_range_names_column_rows_range_and_cure(table, formula, values, call, lazy):
    glm = GLMRegressor(formula=formula).fit(table)
    seen = table.eval(values)
    later = dd.from_pandas(beyond(table), npartitions=1) if lazy else beyond(table)
    with pytest.raises(ValueError, match="extrapolation='clip'") as raised:
        np.asarray(glm.predict(later))
    seen_range = f"beyond {seen.min():.10g} to {seen.max():.10g}, the range of {call} (3 rows)"
    assert str(raised.value).startswith(f"{values} has values {seen_range}. Drop these rows")


def test_a_pass_adds_the_rows_of_all_blocks_and_says_which(table):
    glm = GLMRegressor(formula="y ~ bs(x, df=4)").fit(table)
    later = dd.from_pandas(beyond(table), npartitions=4)
    with pytest.raises(ValueError, match=r"\(3 rows\)\. In blocks 0, 3\. Drop these rows"):
        glm.fit_statistics(later)


@pytest.mark.parametrize("missing", ["raise", "drop"])
def test_labels_and_residuals_say_it_too(table, missing):
    glm = GLMClassifier(formula="label ~ bs(x, df=4)", missing=missing).fit(table)
    for function in (glm.predict, glm.predict_proba, glm.residuals):
        with pytest.raises(ValueError, match=r"^x has values beyond .* \(3 rows\)"):
            function(beyond(table))


def test_bounds_and_extrapolation_are_cures_that_work(table):
    later = beyond(table)
    for options in ("lower_bound=0, upper_bound=30", "extrapolation='clip'", "extrapolation='extend'"):
        glm = GLMRegressor(formula=f"y ~ bs(x, df=5, {options})").fit(table)
        assert np.isfinite(glm.predict(later)).all()


def test_bounds_that_do_not_hold_the_rows_of_the_fit(table):
    with pytest.raises(ValueError, match=r"x has values beyond 1 to 9, the range of bs.* \(\d+ rows\)"):
        GLMRegressor(formula="y ~ bs(x, df=4, lower_bound=1, upper_bound=9)").fit(table)
    with pytest.raises(ValueError, match="x has values beyond a boundary knot of bs"):
        GLMRegressor(formula="y ~ bs(x, df=4, lower_bound=1)").fit(table)


BOUNDED = "y ~ bs(x, df=4, lower_bound=-1, upper_bound=11)"
LISTS = "{} holds lists or dicts; expand them into columns first, or drop this column. In block 2."
NO_NUMBER = "x was numeric in fit, or by its dtype, but {!r} is not a number"


@pytest.mark.parametrize(
    ("formula", "column", "value", "said"),
    [
        (BOUNDED, "x", 25.0, "x has values beyond -1 to 11, the range of {} (150 rows). In block 2."),
        ("y ~ x + C(g)", "g", [1, 2], LISTS.format("C(g)")),
        ("y ~ x:g", "g", {"a": 1}, LISTS.format("g")),
        ("y ~ bs(x, df=4)", "x", "a", NO_NUMBER.format("a")),
        ("y ~ bs(x, df=4)", "x", [1, 2], NO_NUMBER.format([1, 2])),
        (BOUNDED, "x", "a", NO_NUMBER.format("a")),
    ],
)
def test_values_that_a_formula_cannot_use_name_their_block(threads, table, formula, column, value, said):
    wrong = table.iloc[300:450].assign(**{column: pd.Series([value] * 150, index=range(300, 450))})
    parts = [table.iloc[:150], table.iloc[150:300], wrong, table.iloc[450:]]
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_map(lambda part: part, parts, meta=table.iloc[:0], enforce_metadata=False)
        fitted = GLMRegressor(formula=formula).fit(table)
        for function in (GLMRegressor(formula=formula).fit, GLMRegressor(formula=formula, method=MLE()).fit):
            with pytest.raises(ValueError, match="In block 2") as raised:
                function(frame)
            assert str(raised.value).startswith(said.format(formula.removeprefix("y ~ ")))
        with pytest.raises(ValueError, match="In block 2") as raised:
            fitted.fit_statistics(frame)
        assert str(raised.value).startswith(said.format(formula.removeprefix("y ~ ")))


def test_a_spline_of_a_transform_gives_formulaics_reason(table):
    glm = GLMRegressor(formula="y ~ bs(center(x), df=4)").fit(table)
    with pytest.raises(ValueError, match=r"bs\(center\(x\), df=4\).*extrapolation.*Fix the rows, or the formula"):
        glm.predict(beyond(table))


@pytest.mark.parametrize("formula", ["y ~ C(g * x)", "y ~ C(g + x)", "log(g) ~ x"])
def test_words_that_are_computed_with_are_an_error_of_the_formula(table, formula):
    with pytest.raises(ValueError, match="in the formula cannot be evaluated: "):
        GLMRegressor(formula=formula).fit(table)


@pytest.mark.parametrize("method", [OneStep(), OneStep(60), OneStep(N - 5), MLE(), Average()])
@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("y ~ g + I(mixed*2)", r"'I\(mixed \* 2\)' in the formula cannot be evaluated: .*\. In block 2\."),
        ("y ~ g + I(large*2)", r"large holds integers beyond 2\^53 .*\. In block 2\."),
        ("y ~ x + offset(np.log(mixed))", r"'np.log\(mixed\)' in the formula cannot be evaluated: .*\. In block 2\."),
        ("y ~ g + offset(mixed)", r"The offset mixed is not numeric.*\. In block 2\."),
        ("y ~ g + offset(large)", r"large holds integers beyond 2\^53 .*\. In block 2\."),
        ("np.log(mixed) ~ g", r"'np.log\(mixed\)' in the formula cannot be evaluated: .*\. In block 2\."),
        ("y ~ g + C(mixed, levels=[1.5, 2.5])", r"does not list the level 'k' \(1 row\)\. In block 2\."),
    ],
)
def test_what_cannot_be_evaluated_is_found_with_its_block_even_if_the_pilot_has_its_row(table, method, formula, text):
    mixed = pd.Series([1.5, 2.5] * (N // 2), dtype=object)
    mixed[400] = "k"
    large = np.where(np.arange(N) == 400, 2**60 + 1, 3)
    with dask.config.set({"dataframe.convert-string": False}):
        data = dd.from_pandas(table.assign(mixed=mixed, large=large), npartitions=4)
        with pytest.raises(ValueError, match=text):
            GLMRegressor(formula=formula, method=method).fit(data)
        if isinstance(method, OneStep):
            with pytest.raises(ValueError, match=text):
                GLMRegressor(formula=formula, method=method).fit_delayed(data).compute()
