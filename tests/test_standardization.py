"""Standardized coefficients: fits to standardized columns by statsmodels, with and without a pass."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from dask_onestep import GLMClassifier, GLMRegressor

RNG = np.random.default_rng(6)
N = 300
TABLE = pd.DataFrame(
    {"x": RNG.normal(100, 7, N), "z": RNG.exponential(0.1, N), "w": RNG.integers(1, 4, N).astype(float)}
)
TABLE["normal"] = 0.1 * TABLE["x"] + 4 * TABLE["z"] + RNG.normal(size=N)
TABLE["count"] = RNG.poisson(np.exp(0.02 * (TABLE["x"] - 100) + 3 * TABLE["z"]))
TABLE["event"] = (RNG.random(N) < 1 / (1 + np.exp(-0.1 * (TABLE["x"] - 100)))).astype(int)
FRAME = dd.from_pandas(TABLE, npartitions=3)
COLUMNS = ["coef", "std_err", "p_value", "ci_lower", "ci_upper"]


def standard(values):
    return (values - values.mean()) / values.std(ddof=1)


def expected_of(result):
    ends = result.conf_int()
    return np.column_stack([result.params, result.bse, result.pvalues, ends])[1:]


def test_least_squares_are_those_of_standardized_columns_and_response():
    glm = GLMRegressor(formula="normal ~ x + z").fit(FRAME)
    z_scores = TABLE[["x", "z", "normal"]].apply(standard)
    expected = sm.OLS(z_scores["normal"], sm.add_constant(z_scores[["x", "z"]])).fit()
    found = glm.coef_table(standardize=True)
    np.testing.assert_allclose(found.loc[["x", "z"], COLUMNS], expected_of(expected), rtol=1e-7)
    assert found.loc["intercept"].isna().all()
    deviations = glm.standard_deviations(FRAME)
    np.testing.assert_allclose(deviations[["x", "z", "(response)"]], TABLE[["x", "z", "normal"]].std(), rtol=1e-9)
    pd.testing.assert_frame_equal(glm.coef_table(standardize=deviations), found, rtol=1e-7)


@pytest.mark.parametrize(
    ("family", "response", "theirs"), [("poisson", "count", "Poisson"), (None, "event", "Binomial")]
)
def test_others_are_those_of_standardized_columns(family, response, theirs, threads):
    kind = GLMClassifier if family is None else GLMRegressor
    options = {} if family is None else {"family": family}
    glm = kind(formula=f"{response} ~ x + z", method="mle", **options).fit(FRAME)
    z_scores = sm.add_constant(TABLE[["x", "z"]].apply(standard))
    expected = sm.GLM(TABLE[response], z_scores, family=getattr(sm.families, theirs)()).fit(tol=1e-14)
    deviations = glm.standard_deviations(FRAME)
    found = glm.coef_table(standardize=deviations)
    np.testing.assert_allclose(found.loc[["x", "z"], COLUMNS], expected_of(expected), rtol=1e-6)
    ratios = glm.coef_table(standardize=deviations, exponentiate=True)
    np.testing.assert_allclose(ratios.loc[["x", "z"], "coef"], np.exp(expected.params.iloc[1:]), rtol=1e-6)
    assert np.isnan(deviations["(response)"]) == (family is None)


def test_weights_are_numbers_of_rows_or_precisions():
    long = TABLE.loc[TABLE.index.repeat(TABLE["w"].astype(int))]
    glm = GLMRegressor(formula="normal ~ x + z", weight_type="frequency").fit(TABLE, sample_weight="w")
    expected = GLMRegressor(formula="normal ~ x + z").fit(long).coef_table(standardize=True)
    pd.testing.assert_frame_equal(glm.coef_table(standardize=True), expected, rtol=1e-7)
    np.testing.assert_allclose(glm.standard_deviations(TABLE, sample_weight="w")["x"], long["x"].std(), rtol=1e-9)
    precise = GLMRegressor(formula="normal ~ x + z").fit(TABLE, sample_weight="w")
    found = precise.standard_deviations(TABLE, sample_weight="w")
    np.testing.assert_allclose(
        found["z"] ** 2, np.cov(TABLE["z"], aweights=TABLE["w"], ddof=0) * N / (N - 1), rtol=1e-9
    )
    assert precise.coef_table(standardize=True).loc["z", "coef"] == pytest.approx(
        precise.coef_table(standardize=found).loc["z", "coef"], rel=1e-9
    )


def test_each_class_has_the_deviations_of_the_columns():
    kind = np.select([TABLE["normal"] < 9.5, TABLE["normal"] < 10.5], ["a", "b"], "c")
    glm = GLMClassifier().fit(TABLE[["x", "z"]], kind)
    found = glm.standard_deviations(TABLE[["x", "z"]], kind)
    assert found["b:x"] == found["c:x"] == pytest.approx(TABLE["x"].std())
    table = glm.coef_table(standardize=found)
    assert table.index[table["coef"].isna()].tolist() == ["b:intercept", "c:intercept"]


def test_a_pass_is_one_and_a_fit_that_does_not_know_says_so(loads, threads):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier().fit(x, y)
    loads.per_block()
    with pytest.raises(ValueError, match=r"pass standardize=glm.standard_deviations\(X, y\)"):
        glm.coef_table(standardize=True)
    assert sum(loads.counts().values()) == 0
    glm.standard_deviations(x, y)
    assert set(loads.per_block()) == {1}
    shifted = GLMRegressor().fit(x, x[:, 0], offset=y)
    with pytest.raises(ValueError, match="does not know the standard deviations"):
        shifted.coef_table(standardize=True)
