"""The link test: statsmodels fitted to the linear predictor and its square, power, chunks, loads."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.datasets import make_glm

RNG = np.random.default_rng(8)
N = 500
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.uniform(-1, 1, size=N)})
MEAN = np.exp(3.0 + 0.4 * TABLE["x"] - 0.3 * TABLE["z"] + 0.1 * TABLE["x"] ** 2)
TABLE["w"] = RNG.integers(1, 5, N).astype(float)
TABLE["o"] = RNG.normal(size=N) / 3
TABLE["count"] = RNG.poisson(MEAN)
TABLE["positive"] = RNG.gamma(3, MEAN / 3)
TABLE["normal"] = MEAN + RNG.normal(size=N)
TABLE["event"] = (RNG.random(N) < MEAN / (20 + MEAN)).astype(int)
FAMILIES = {
    "poisson": ("count", None, sm.families.Poisson()),
    "gamma": ("positive", "log", sm.families.Gamma(sm.families.links.Log())),
    "gaussian": ("normal", None, sm.families.Gaussian()),
    "binomial": ("event", "probit", sm.families.Binomial(sm.families.links.Probit())),
}


def refitted(response, family, eta, **options):
    exog = sm.add_constant(np.column_stack([eta, eta**2]))
    dispersed = type(family).__name__ in ("Gamma", "Gaussian")
    return sm.GLM(TABLE[response], exog, family=family, **options).fit(tol=1e-14, scale="X2" if dispersed else None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_a_refit_to_the_predictor_and_its_square(family, weighted, threads):
    response, link, theirs = FAMILIES[family]
    options = {"sample_weight": "w", "offset": "o"} if weighted else {}
    kind = "frequency" if weighted else "variance"
    glm = GLMRegressor(family, link, formula=f"{response} ~ x + z", method="mle", weight_type=kind)
    frame = dd.from_pandas(TABLE, npartitions=3)
    test = glm.fit(frame, **options).link_test(frame, **options)
    eta = np.column_stack([np.ones(N), TABLE[["x", "z"]]]) @ glm.record_.coef + weighted * TABLE["o"]
    expected = refitted(response, theirs, eta, **({"freq_weights": TABLE["w"]} if weighted else {}))
    assert test.statistic == pytest.approx(expected.tvalues.iloc[2] ** 2, rel=1e-6)
    assert f"Its coefficient is {expected.params.iloc[2]:.4g}" in test.note
    assert (test.distribution == "F") == (family in ("gamma", "gaussian"))
    if test.distribution == "F":
        assert test.df_denom == (TABLE["w"].sum() if weighted else N) - 3
    assert test.p_value < 0.05 or family == "binomial"


def test_of_an_average_it_is_a_refit_to_its_predictor():
    """An average has no information matrix, by which the predictor is centered otherwise."""
    glm = GLMRegressor("poisson", formula="count ~ x + z", method="average")
    frame = dd.from_pandas(TABLE, npartitions=2)
    test = glm.fit(frame).link_test(frame)
    expected = refitted(
        "count", sm.families.Poisson(), np.column_stack([np.ones(N), TABLE[["x", "z"]]]) @ glm.record_.coef
    )
    assert test.statistic == pytest.approx(expected.tvalues.iloc[2] ** 2, rel=1e-6)


def test_passes_schedulers_and_chunks(loads, scheduler):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier().fit(x, y)
    loads.per_block()
    found = glm.link_test(x, y)
    counts = loads.per_block()
    assert len(set(counts)) == 1
    assert 2 <= counts[0] <= 5
    assert glm.link_test(x.compute(), y.compute()).statistic == pytest.approx(found.statistic, rel=1e-9)


def test_a_predictor_far_from_zero_and_a_note_on_robust_fits():
    # η near 1,000 with a spread of 1: not centered, the three columns would be aliased.
    shifted = TABLE.assign(x=TABLE["x"] + 1000.0, normal=TABLE["normal"] + 1e3)
    near, far = (
        GLMRegressor(formula="normal ~ x + z", cov_type=cov_type).fit(table).link_test(table)
        for table, cov_type in ((TABLE, "nonrobust"), (shifted, "HC1"))
    )
    assert far.statistic == pytest.approx(near.statistic, rel=1e-6)
    assert "not on cov_type='HC1'" in far.note


@pytest.mark.slow
def test_it_does_not_reject_a_right_model_too_often():
    rejected = []
    for seed in range(60):
        X, y, _ = make_glm(400, 2, family="poisson", random_state=seed)
        rejected.append(GLMRegressor("poisson").fit(X, y).link_test(X, y).p_value < 0.05)
    assert sum(rejected) <= 9  # a binomial with chance 0.05: more has the probability 0.001


def test_what_it_refuses():
    two = TABLE.assign(x=(TABLE["x"] > 0).astype(float))
    with pytest.raises(ValueError, match="too few distinct values"):
        GLMRegressor("poisson", formula="count ~ x").fit(two).link_test(two)
    kind = np.select([TABLE["x"] < -0.5, TABLE["x"] < 0.5], ["a", "b"], "c")
    glm = GLMClassifier().fit(TABLE[["z"]], kind)
    with pytest.raises(ValueError, match="not for more than two classes"):
        glm.link_test(TABLE[["z"]], kind)
    glm = GLMRegressor("poisson", formula="count ~ x").fit(TABLE)
    with pytest.raises(ValueError, match="pass the data used in fit"):
        glm.link_test(TABLE.iloc[:100])


def test_a_constant_added_to_a_gaussian_response_changes_nothing(threads):
    def statistic(y):
        glm = GLMRegressor(method="mle").fit(TABLE[["x", "z"]], y)
        return glm.link_test(TABLE[["x", "z"]], y).statistic

    assert statistic(TABLE["normal"] + 1e7) == pytest.approx(statistic(TABLE["normal"]), rel=1e-5)
