"""What cannot be fitted is refused, with what is wrong, where, and the remedy."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from support import chunked

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep

NAN = np.where(np.arange(40) == 33, np.nan, 1.0)
TABLE = np.random.default_rng(0).normal(size=(40, 2))
ALTERNATING = np.arange(40) % 2


@pytest.mark.parametrize(
    ("estimator", "y", "options", "text"),
    [
        (GLMRegressor(), NAN, {}, r"Input y contains NaN, infinity or a missing value \(1 row\)\. In block 3\."),
        (GLMRegressor("poisson"), -np.ones(40), {}, r"y is outside the range of the poisson family.*-1\) \(40 rows\)"),
        (GLMRegressor("binomial"), NAN[::-1] * 2, {}, "Input y contains NaN"),
        (GLMRegressor("gamma"), np.zeros(40), {}, "outside the range of the gamma family, which is positive numbers"),
        (GLMClassifier(), np.zeros(40), {}, r"y has one class only, (np\.float64\()?0\.0\)?: a classifier needs"),
        (GLMClassifier("probit"), np.arange(40) % 3, {}, "Only binary classification.*labels 0, 1, 2"),
        (GLMClassifier(), TABLE[:, 0], {}, "Unknown label type: continuous"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": -NAN[::-1]}, "sample_weight"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": -np.ones(40)}, r"sample_weight is negative \(40 rows\)"),
        (GLMRegressor(), ALTERNATING, {"sample_weight": np.zeros(40)}, "sample_weight is zero on every row"),
        (GLMRegressor(), ALTERNATING, {"offset": NAN}, "Input offset contains NaN"),
        (GLMRegressor(), ALTERNATING, {"groups": ALTERNATING}, "groups was passed, but cov_type='nonrobust'"),
        (GLMRegressor(cov_type="cluster"), ALTERNATING, {}, "cov_type='cluster' needs groups"),
        (GLMRegressor(cov_type="HC9"), ALTERNATING, {}, "Unknown cov_type 'HC9'; must be one of 'nonrobust'"),
        (GLMRegressor(solver="lbfgs"), ALTERNATING, {}, "Unknown solver 'lbfgs'"),
        (GLMRegressor(missing="impute"), ALTERNATING, {}, "Unknown missing 'impute'"),
        (GLMRegressor(weight_type="sampling"), ALTERNATING, {}, "Unknown weight_type 'sampling'"),
        (GLMRegressor(method="newton"), ALTERNATING, {}, "Unknown method 'newton'; must be one of one-step, mle"),
        (GLMRegressor(method=OneStep), ALTERNATING, {}, r"method=OneStep is a class: pass an instance, OneStep\(\)"),
        (GLMRegressor(method="pilot", cov_type="HC0"), ALTERNATING, {}, "cov_type='HC0' is not available with this"),
        (GLMRegressor(method=OneStep(0)), ALTERNATING, {}, "pilot_size=0 must be 'auto', a number of rows"),
        (GLMRegressor(method=OneStep(1.5)), ALTERNATING, {}, "pilot_size=1.5 must be"),
        (GLMRegressor(method=OneStep(steps=0)), ALTERNATING, {}, "steps=0 must be an integer"),
        (GLMRegressor(method=OneStep(correction="yes")), ALTERNATING, {}, "correction='yes' must be None or 'pilot'"),
        (GLMRegressor(method=OneStep(random_state=-1)), ALTERNATING, {}, "must be nonnegative"),
        (GLMRegressor(method=MLE(max_iter=0)), ALTERNATING, {}, "max_iter=0 must be positive"),
        (GLMRegressor(), None, {}, "requires y to be passed, but the target y is None"),
        (GLMRegressor("normal"), ALTERNATING, {}, "Unknown family 'normal'"),
        (GLMRegressor(link="exp"), ALTERNATING, {}, "Unknown link 'exp'"),
    ],
)
def test_errors_say_what_where_and_the_cure(synchronous, estimator, y, options, text):
    x = chunked(TABLE, (10,) * 4)
    y = None if y is None else chunked(y, (10,) * 4)
    parts = {name: chunked(part, (10,) * 4) for name, part in options.items()}
    with pytest.raises((ValueError, TypeError), match=text):
        estimator.fit(x, y, **parts)
    with pytest.raises((ValueError, TypeError), match=text):
        estimator.fit_delayed(x, y, **parts).compute()


def test_unequal_chunks_raise_with_the_cure(synchronous):
    x, y = chunked(TABLE, (10,) * 4), chunked(ALTERNATING, (20, 20))
    with pytest.raises(ValueError, match=r"Use y = y\.rechunk\(X\.chunks\[0\]\)\.") as caught:
        GLMRegressor().fit(x, y)
    assert "block 0 has 10 rows in X and 20 in y" in str(caught.value)
    GLMRegressor().fit(x, y.rechunk(x.chunks[0]))


def test_chunks_that_turn_out_to_differ(synchronous):
    # Unknown sizes cannot be compared beforehand; the block reports it.
    table = da.map_blocks(np.asarray, chunked(TABLE, (10,) * 4), chunks=((np.nan,) * 4, (2,)), dtype=float)
    y = da.map_blocks(np.asarray, chunked(ALTERNATING, (11, 9, 10, 10)), chunks=((np.nan,) * 4,), dtype=float)
    with pytest.raises(ValueError, match=r"X has 10 rows, y has 11 rows.*In blocks 0, 1\."):
        GLMRegressor().fit(table, y)


def test_the_name_intercept_is_taken(synchronous):
    frame = dd.from_pandas(pd.DataFrame(TABLE, columns=["intercept", "b"]), npartitions=2)
    with pytest.raises(ValueError, match="The column name 'intercept' is reserved"):
        GLMRegressor().fit(frame, frame["b"] ** 2)
    names = GLMRegressor(fit_intercept=False).fit(frame, frame["b"] ** 2).coef_table().index
    assert names.tolist() == ["intercept", "b"]


def test_nothing_is_known_before_fit(counts):
    x, y, _ = counts
    glm = GLMRegressor("poisson")
    for call in (glm.coef_table, glm.summary, lambda: glm.predict(x), lambda: glm.score(x, y)):
        with pytest.raises(NotFittedError):
            call()


def test_text_in_a_column_that_was_numeric_is_named():
    frame = pd.DataFrame(TABLE[:, :2], columns=["x", "z"])
    glm = GLMRegressor().fit(frame, ALTERNATING)
    with pytest.raises(ValueError, match="x was numeric in fit, or by its dtype, but 'many' is not a number"):
        glm.predict(frame.assign(x="many"))
    np.testing.assert_array_equal(glm.predict(frame.astype(object)), glm.predict(frame))
