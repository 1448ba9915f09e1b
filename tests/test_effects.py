"""Average predictions, comparisons and slopes, against statsmodels, marginaleffects and finite differences."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from scipy import sparse, stats
from support import chunked, finite_difference

from dask_onestep import MLE, AverageLasso, GLMClassifier, GLMRegressor
from dask_onestep.inference.effects import _comparison
from dask_onestep.kernels.designs.derivatives import with_values
from dask_onestep.kernels.likelihood import effects as kernel

HERE = Path(__file__).parent / "marginaleffects"
DATA = pd.read_csv(HERE / "data.csv")
FIGURES = pd.read_csv(HERE / "figures.csv", keep_default_na=False)
NUMBERS = ["estimate", "std_err", "p_value", "ci_lower", "ci_upper"]


def draw(rows=700, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * [1.0, 0.5, 2.0]
    return x, 0.2 + x @ [0.5, -0.4, 0.2], rng


def mixed(rows=800, seed=0):
    """Return a table with numbers, a factor, weights, an offset and three responses."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.uniform(0.1, 3, rows), "z": rng.normal(size=rows)})
    frame["kind"] = rng.choice(["a", "b", "c"], rows)
    frame["site"] = np.sort(rng.choice(["east", "north", "south"], rows))
    frame["flag"] = rng.integers(0, 2, rows)
    frame["w"] = rng.integers(0, 4, rows).astype(float)
    frame["o"] = rng.uniform(-0.5, 0.5, rows)
    eta = -0.4 + 0.6 * np.log(frame["x"]) + 0.3 * frame["z"] + 0.5 * (frame["kind"] == "b") * frame["z"] + frame["o"]
    frame["count"] = rng.poisson(np.exp(eta)).astype(float)
    frame["event"] = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(float)
    frame["normal"] = eta + rng.normal(size=rows)
    return frame


def test_slopes_are_those_of_statsmodels_logit_and_probit():
    x, eta, rng = draw()
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-eta))).astype(float)
    for link, model in (("logit", sm.Logit), ("probit", sm.Probit)):
        theirs = model(y, sm.add_constant(x)).fit(disp=0, tol=1e-12, maxiter=100).get_margeff(at="overall")
        for cov_type in ("nonrobust", "HC0"):
            glm = GLMClassifier(link, method=MLE(tol=1e-14), cov_type=cov_type).fit(x, y)
            found = glm.avg_slopes(x)
            assert found["term"].tolist() == ["x0", "x1", "x2"]
            assert set(found["contrast"]) == {"dY/dX"}
            np.testing.assert_allclose(found["estimate"], theirs.margeff, rtol=1e-8)
        if link == "logit":  # of a probit statsmodels has the observed information
            glm = GLMClassifier(link, method=MLE(tol=1e-14)).fit(x, y)
            np.testing.assert_allclose(glm.avg_slopes(x)["std_err"], theirs.margeff_se, rtol=1e-6)
            robust = sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-12, cov_type="HC0").get_margeff()
            np.testing.assert_allclose(found["std_err"] if link == "logit" else 0, robust.margeff_se, rtol=1e-6)


def test_slopes_are_those_of_statsmodels_poisson_and_mnlogit():
    x, eta, rng = draw()
    y = rng.poisson(np.exp(eta)).astype(float)
    theirs = sm.Poisson(y, sm.add_constant(x)).fit(disp=0, tol=1e-12).get_margeff(at="overall")
    found = GLMRegressor("poisson", method=MLE(tol=1e-14)).fit(x, y).avg_slopes(x)
    np.testing.assert_allclose(found["estimate"], theirs.margeff, rtol=1e-8)
    np.testing.assert_allclose(found["std_err"], theirs.margeff_se, rtol=1e-6)

    odds = np.column_stack([np.zeros(len(x)), eta, 0.3 - x[:, 0]]) + rng.gumbel(size=(len(x), 3))
    y = np.array(["bus", "car", "train"])[odds.argmax(axis=1)]
    fit = sm.MNLogit(pd.Categorical(y).codes, sm.add_constant(x)).fit(disp=0, tol=1e-12, maxiter=100)
    theirs = fit.get_margeff(at="overall")
    found = GLMClassifier(method=MLE(tol=1e-14)).fit(x, y).avg_slopes(x)
    assert found["group"].tolist() == ["bus", "car", "train"] * 3
    np.testing.assert_allclose(found["estimate"].to_numpy().reshape(3, 3), theirs.margeff, rtol=1e-8)
    np.testing.assert_allclose(found["std_err"].to_numpy().reshape(3, 3), theirs.margeff_se, rtol=1e-6)


def test_columns_of_0_and_1_are_compared_at_these_values():
    x, eta, rng = draw()
    x[:, 1] = rng.integers(0, 2, len(x))
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-eta))).astype(float)
    theirs = sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-12).get_margeff(dummy=True)
    glm = GLMClassifier(method=MLE(tol=1e-14)).fit(x, y)
    # The first block would not show that x0 is not one of them.
    lazy = da.concatenate([da.from_array(part, chunks=-1) for part in (x[:50], x[50:])])
    for X in (x, lazy):
        found = glm.avg_slopes(X)
        assert found["contrast"].tolist() == ["dY/dX", "1 - 0", "dY/dX"]
        np.testing.assert_allclose(found["estimate"], theirs.margeff, rtol=1e-8)
        np.testing.assert_allclose(found["std_err"], theirs.margeff_se, rtol=1e-6)
        assert glm.avg_comparisons(X)["contrast"].tolist() == ["+1", "1 - 0", "+1"]
        assert glm.avg_comparisons(X, {"x1": 1})["contrast"].tolist() == ["+1"]


CALLS = {
    "slopes": lambda glm: glm.avg_slopes(DATA, ["x", "z"]),
    "slopes-by": lambda glm: glm.avg_slopes(DATA, "x", ["site", "kind"]),
    "pair": lambda glm: glm.avg_comparisons(DATA, {"x": (-1, 2)}),
    "pair-ratio": lambda glm: glm.avg_comparisons(DATA, {"x": (-1, 2)}, comparison="ratio"),
    "pair-lnratio": lambda glm: glm.avg_comparisons(DATA, {"x": (-1, 2)}, "site", comparison="lnratio"),
    "pair-lift": lambda glm: glm.avg_comparisons(DATA, {"x": (-1, 2)}, comparison="lift"),
    "reference": lambda glm: glm.avg_comparisons(DATA, "kind"),
    "pairwise": lambda glm: glm.avg_comparisons(DATA, {"kind": "pairwise"}, by="site"),
    "sequential": lambda glm: glm.avg_comparisons(DATA, {"kind": "sequential"}, comparison="ratio"),
    "iqr": lambda glm: glm.avg_comparisons(DATA, {"x": "iqr"}),
    "minmax": lambda glm: glm.avg_comparisons(DATA, {"x": "minmax"}),
    "mean": lambda glm: glm.avg_predictions(DATA),
    "mean-by": lambda glm: glm.avg_predictions(DATA, by=["site", "kind"]),
    "counterfactual": lambda glm: glm.avg_predictions(DATA, {"x": [0, 1], "z": [0.5]}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("response", "family"), [("event", "binomial"), ("count", "poisson")])
def test_effects_are_those_of_marginaleffects(response, family, call):
    formula = f"{response} ~ x * kind + I(x**2) + z"
    found = CALLS[call](GLMRegressor(family, formula=formula, method=MLE(tol=1e-14)).fit(DATA))
    expected = FIGURES[(FIGURES["model"] == response) & (FIGURES["call"] == call)]
    by = [name for name in ("site", "kind") if name in found]
    found = found.sort_values(["term", *by, "contrast"])
    if call not in ("pair-lift", "mean", "mean-by", "counterfactual"):
        assert found["contrast"].tolist() == expected["contrast"].tolist()
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-9)
    # Its slopes are differences, and the derivatives of these differences again.
    np.testing.assert_allclose(found["std_err"], expected["std_error"], rtol=1e-3 if "slopes" in call else 1e-5)


def derivative_of(design, frame, column, step=1e-3):
    """Return the derivative of the matrix by a difference of fourth order, away from a domain's ends."""

    def moved(k):
        return design.matrix(with_values(frame, column, frame[column] + k * step))

    return (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)


@pytest.mark.parametrize(
    "formula", ["log(x) * kind + z", "bs(x, df=5, lower_bound=0, upper_bound=4) + z:kind", "np.exp(x) + poly(z, 2)"]
)
def test_slopes_and_their_errors_go_through_the_formula(formula):
    frame = mixed()
    glm = GLMRegressor("poisson", formula=f"count ~ {formula}", method=MLE(tol=1e-14)).fit(frame, offset="o")
    record = glm.record_
    x = np.column_stack([np.ones(len(frame)), record.design.matrix(frame)])
    dx = np.column_stack([np.zeros(len(frame)), derivative_of(record.design, frame, "x")])

    def slope(coef):
        return np.array([(np.exp(x @ coef + frame["o"].to_numpy()) * (dx @ coef)).mean()])

    found = glm.avg_slopes(frame, "x", offset="o").iloc[0]
    np.testing.assert_allclose(found["estimate"], slope(record.coef)[0], rtol=1e-8)
    jacobian = finite_difference(slope, record.coef)
    np.testing.assert_allclose(found["std_err"], np.sqrt(jacobian @ glm.covariance_ @ jacobian.T)[0, 0], rtol=1e-7)


def test_slopes_of_a_logarithm_and_a_polynomial_are_the_analytic_ones():
    frame = mixed()
    glm = GLMRegressor(formula="normal ~ log(x) + x + I(x**2)", method="mle").fit(frame)
    log, linear, square = glm.coef_
    expected = (log / frame["x"] + linear + 2 * square * frame["x"]).mean()
    np.testing.assert_allclose(glm.avg_slopes(frame)["estimate"], [expected], rtol=1e-10)


def test_a_statistic_is_students_where_the_dispersion_is_estimated():
    frame = mixed()
    glm = GLMRegressor(formula="normal ~ x + z", method="mle").fit(frame)
    found, table = glm.avg_slopes(frame, level=0.9), glm.coef_table(0.9).loc[["x", "z"]]
    assert found.columns.tolist() == ["term", "contrast", "estimate", "std_err", "t", "p_value", "ci_lower", "ci_upper"]
    np.testing.assert_allclose(found.iloc[:, 2:], table, rtol=1e-8)
    clustered = GLMRegressor(formula="normal ~ x + z", method="mle", cov_type="cluster").fit(frame, groups="site")
    np.testing.assert_allclose(
        clustered.avg_slopes(frame).iloc[:, 2:], clustered.coef_table().loc[["x", "z"]], rtol=1e-7
    )


def test_ratios_are_of_averages_and_tested_against_1():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ z * kind", method="mle").fit(frame)
    first, second = (glm.predict(with_values(frame, "kind", kind)).mean() for kind in ("a", "b"))
    found = {
        kind: glm.avg_comparisons(frame, {"kind": ("a", "b")}, comparison=kind).iloc[0]
        for kind in ("difference", "ratio", "lnratio", "lift")
    }
    expected = {
        "difference": second - first,
        "ratio": second / first,
        "lnratio": np.log(second / first),
        "lift": second / first - 1,
    }
    for kind, row in found.items():
        np.testing.assert_allclose(row["estimate"], expected[kind], rtol=1e-12)
        null = 1.0 if kind == "ratio" else 0.0
        np.testing.assert_allclose(row["z"], (row["estimate"] - null) / row["std_err"], rtol=1e-12)
        np.testing.assert_allclose(row["p_value"], 2 * stats.norm.sf(abs(row["z"])), rtol=1e-9)
    labels = ["b - a", "b / a", "ln(b / a)", "(b - a) / a"]
    assert [row["contrast"] for row in found.values()] == labels


def test_odds_ratios_of_a_logit_without_other_covariates_are_those_of_its_coefficients():
    frame = mixed()
    glm = GLMRegressor("binomial", formula="event ~ kind", method="mle").fit(frame)
    table = glm.coef_table().loc[["kind[T.b]", "kind[T.c]"]]
    found = glm.avg_comparisons(frame, comparison="lnoddsratio")
    np.testing.assert_allclose(found[["estimate", "std_err"]], table[["coef", "std_err"]], rtol=1e-9)
    odds = glm.avg_comparisons(frame, comparison="oddsratio")
    np.testing.assert_allclose(odds["estimate"], np.exp(table["coef"]), rtol=1e-9)
    np.testing.assert_allclose(odds["std_err"], np.exp(table["coef"]) * table["std_err"], rtol=1e-9)
    with pytest.raises(ValueError, match="of probabilities, and the family is poisson"):
        GLMRegressor("poisson").fit(frame[["x"]], frame["count"]).avg_comparisons(frame[["x"]], comparison="oddsratio")


def test_a_spread_is_about_the_mean_the_quartiles_or_the_extremes():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ np.exp(x / 3) + z", method="mle").fit(frame)
    x = frame["x"]
    ends = {
        "sd": (x.mean() - x.std() / 2, x.mean() + x.std() / 2),
        "iqr": tuple(np.quantile(x, [0.25, 0.75])),
        "minmax": (x.min(), x.max()),
    }
    for word, pair in ends.items():
        for data in (frame, dd.from_pandas(frame, npartitions=5)):
            found = glm.avg_comparisons(data, {"x": word})
            expected = glm.avg_comparisons(frame, {"x": pair})
            np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-9)
            assert found.attrs["n_passes"] == 2


def test_weights_of_the_rows():
    frame = mixed()
    formula = "count ~ z * kind + log(x)"
    repeated = frame.loc[frame.index.repeat(frame["w"].astype(int))]
    calls = (
        lambda glm, data, **w: glm.avg_predictions(data, by="site", sample="random", **w),
        lambda glm, data, **w: glm.avg_slopes(data, sample="random", **w),
        lambda glm, data, **w: glm.avg_comparisons(data, {"x": "sd", "z": "iqr"}, comparison="ratio", **w),
    )
    weighted = GLMRegressor("poisson", formula=formula, method=MLE(tol=1e-14), weight_type="frequency")
    weighted.fit(frame, sample_weight="w")
    expanded = GLMRegressor("poisson", formula=formula, method=MLE(tol=1e-14)).fit(repeated)
    for call in calls:
        found, expected = call(weighted, frame, sample_weight="w"), call(expanded, repeated)
        shown = [name for name in NUMBERS if name != "p_value"]  # some are 1e-100, and relative errors alike
        np.testing.assert_allclose(found[shown], expected[shown], rtol=1e-7)
    precise = GLMRegressor("poisson", formula=formula, method="mle").fit(frame, sample_weight="w")
    mean = np.average(precise.predict(frame), weights=frame["w"])
    np.testing.assert_allclose(precise.avg_predictions(frame, sample_weight="w")["estimate"], [mean], rtol=1e-12)
    with pytest.raises(ValueError, match="fitted with sample_weight; it must"):
        precise.avg_slopes(frame)


def test_groups_of_weight_zero_are_as_if_absent():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ z", method="mle").fit(frame)
    found = glm.avg_predictions(frame, by="site", sample_weight=(frame["site"] != "north").astype(float))
    assert found["site"].tolist() == ["east", "south"]


def test_a_random_sample_adds_the_variance_of_the_average_over_rows():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ z * kind + log(x)", method="mle").fit(frame)
    first, second = (glm.predict(with_values(frame, "kind", kind)) for kind in ("a", "c"))
    cases = {
        "difference": second - first,
        "ratio": second / first.mean() - second.mean() / first.mean() ** 2 * first,
    }
    for comparison, influence in cases.items():
        fixed, random = (
            glm.avg_comparisons(frame, {"kind": ("a", "c")}, comparison=comparison, sample=sample)["std_err"][0]
            for sample in ("fixed", "random")
        )
        expected = np.sqrt(fixed**2 + np.var(influence) / len(frame))
        np.testing.assert_allclose(random, expected, rtol=1e-10)


def test_any_chunking_equals_one_chunk():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ bs(x, df=5) * kind + z + flag", method="mle").fit(frame, offset="o")
    calls = (
        lambda data: glm.avg_slopes(data, by="site", offset="o"),
        lambda data: glm.avg_comparisons(data, {"kind": "pairwise", "x": (1, 2)}, ["site", "flag"], offset="o"),
        lambda data: glm.avg_predictions(data, {"kind": ["a", "c"]}, sample="random", offset="o"),
    )
    for call in calls:
        whole = call(frame)
        for parts in (1, 11):
            found = call(dd.from_pandas(frame, npartitions=parts))
            assert found.iloc[:, :-6].equals(whole.iloc[:, :-6])
            np.testing.assert_allclose(found[NUMBERS], whole[NUMBERS], rtol=1e-8, atol=1e-10)


def test_bits_are_the_same_on_every_scheduler(scheduler):
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ log(x) * kind + z", method="mle").fit(frame)
    lazy = dd.from_pandas(frame, npartitions=7)
    found = glm.avg_slopes(lazy, by="site")
    with dask.config.set(scheduler="synchronous"):
        expected = glm.avg_slopes(lazy, by="site")
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_arrays_sparse_rows_and_frames_without_a_formula_have_the_same_effects():
    x, eta, rng = draw()
    x[np.abs(x) < 0.4] = 0.0
    y = rng.poisson(np.exp(eta)).astype(float)
    glm = GLMRegressor("poisson", method="mle").fit(x, y)
    expected = glm.avg_comparisons(x, {"x0": 1, "x2": (0, 1)})
    np.testing.assert_allclose(expected["estimate"][0], np.mean(np.exp(glm.coef_[0]) - 1) * glm.predict(x).mean())
    lazy = chunked(x, (300, 150, 250))
    for data in (lazy, sparse.csr_array(x), lazy.map_blocks(sparse.csr_array, dtype=float)):
        found = glm.avg_comparisons(data, {"x0": 1, "x2": (0, 1)})
        np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-9)
    frame = pd.DataFrame(x, columns=["x0", "x1", "x2"])
    named = GLMRegressor("poisson", method="mle").fit(frame, y)
    site = np.repeat(["n", "s"], 350)
    for data in (frame, dd.from_pandas(frame, npartitions=3)):
        found = named.avg_comparisons(data, {"x0": 1, "x2": (0, 1)})
        np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-9)
    wide = frame.assign(site=site, half=np.arange(700) % 2)
    for data in (wide, dd.from_pandas(wide, npartitions=3)):
        found = named.avg_slopes(data, "x1", by=["site", "half"])
        assert found[["site", "half"]].to_numpy().tolist() == [list(key) for key in product(["n", "s"], [0, 1])]
        for (place, half), row in zip(product(["n", "s"], [0, 1]), found.itertuples(), strict=True):
            part = frame[(wide["site"] == place) & (wide["half"] == half)]
            np.testing.assert_allclose(row.estimate, named.avg_slopes(part, "x1")["estimate"][0], rtol=1e-9)


def test_by_takes_terms_of_the_formula_and_keeps_the_order_of_levels():
    frame = mixed().assign(month=lambda f: (f["x"] * 4).round().astype(int) % 3)
    frame["kind"] = pd.Categorical(frame["kind"], categories=["c", "a", "b"])
    glm = GLMRegressor("poisson", formula="count ~ C(month) + kind", method="mle").fit(frame)
    found = glm.avg_predictions(frame, by=["C(month)", "kind"])
    assert found["kind"].tolist() == ["c", "a", "b"] * 3
    assert found["C(month)"].tolist() == sorted([0, 1, 2] * 3)
    # Of a canonical link with all these indicators, fitted and observed means agree within each level.
    np.testing.assert_allclose(
        glm.avg_predictions(frame, by="C(month)")["estimate"], frame.groupby("month")["count"].mean(), rtol=1e-6
    )


def test_factors_that_are_numbers_or_booleans():
    frame = mixed().assign(flag=lambda f: f["flag"] == 1, size=lambda f: (f["x"] * 2).round().astype(int))
    glm = GLMRegressor("poisson", formula="count ~ C(size) + flag:z + flag", method="mle").fit(frame)
    found = glm.avg_slopes(frame)
    assert found["contrast"].tolist() == [*(f"{level} - 0" for level in range(1, 7)), "True - False", "dY/dX"]
    on, off = (glm.predict(frame.assign(flag=value)).mean() for value in (True, False))
    np.testing.assert_allclose(found["estimate"][6], on - off, rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "kind"),
    [
        ("normal ~ self", "float64"),
        ("normal ~ self", "str"),
        ("normal ~ C(self)", "Int64"),
        ("normal ~ C(self) * z", "str"),
    ],
)
def test_a_column_may_be_called_self(formula, kind):
    frame = mixed(200)
    frame["g"] = frame["flag"].astype(kind)
    named = frame.rename(columns={"g": "self"})
    one = GLMRegressor(formula=formula.replace("self", "g")).fit(frame)
    glm = GLMRegressor(formula=formula).fit(named)
    np.testing.assert_array_equal(glm.coef_, one.coef_)
    for effects in ("avg_comparisons", "avg_slopes"):
        theirs, ours = (getattr(each, effects)(x) for each, x in ((one, frame), (glm, named)))
        np.testing.assert_array_equal(ours["estimate"], theirs["estimate"])


def test_effects_of_several_classes_add_up_to_zero_and_predictions_to_one():
    frame = mixed()
    y = np.where(frame["event"] == 1, frame["kind"], "none")
    glm = GLMClassifier(formula="label ~ log(x) * flag + z", method="mle").fit(frame.assign(label=y))
    found = glm.avg_slopes(frame.assign(label=y), by="site")
    totals = found.groupby(["term", "site"])["estimate"].sum()
    np.testing.assert_allclose(totals, 0.0, atol=1e-12)
    means = glm.avg_predictions(frame.assign(label=y))
    assert means["group"].tolist() == glm.classes_.tolist()
    np.testing.assert_allclose(means["estimate"], pd.Series(y).value_counts(normalize=True).sort_index(), rtol=1e-6)
    record, n = glm.record_, len(frame)
    x = np.column_stack([np.ones(n), record.design.matrix(frame)])
    dx = np.column_stack([np.zeros(n), derivative_of(record.design, frame, "x")])

    def slopes(coef):
        b = np.vstack([np.zeros(x.shape[1]), coef.reshape(3, -1)]).T
        p = np.exp(x @ b)
        p /= p.sum(axis=1, keepdims=True)
        along = dx @ b
        return (p * (along - (p * along).sum(axis=1, keepdims=True))).mean(axis=0)

    whole = glm.avg_slopes(frame, "x")
    np.testing.assert_allclose(whole["estimate"], slopes(record.coef), rtol=1e-8)
    jacobian = finite_difference(slopes, record.coef)
    expected = np.sqrt(np.diag(jacobian @ glm.covariance_ @ jacobian.T))
    np.testing.assert_allclose(whole["std_err"], expected, rtol=1e-7)


def test_passes(loads, threads):
    array = loads.array()
    glm = GLMClassifier(method="mle").fit(array[:, 1:], array[:, 0])
    loads.per_block()
    X = array[:, 1:]
    for call, passes in (
        (lambda: glm.avg_predictions(X, {"x0": [0, 1]}, by="x1"), 1),
        (lambda: glm.avg_slopes(X), 1),
        (lambda: glm.avg_comparisons(X), 1),
        (lambda: glm.avg_comparisons(X, {"x0": "sd", "x1": "iqr", "x2": "minmax"}), 2),
    ):
        table = call()
        assert loads.per_block() == [passes] * 4
        assert table.attrs["n_passes"] == passes
        assert table.attrs["n_samples"] == sum(loads.rows)


def test_missing_values_are_refused_or_left_out_as_in_predict():
    frame = mixed()
    gaps = frame.copy()
    gaps.loc[[3, 5], "x"] = np.nan
    gaps.loc[9, "kind"] = None
    formula = "count ~ x + kind"
    glm = GLMRegressor("poisson", formula=formula, method="mle").fit(frame)
    for call in (glm.predict, glm.avg_predictions, glm.avg_slopes, glm.avg_comparisons):
        with pytest.raises(ValueError, match=r"missing value in column x \(2 rows\).*in column kind \(1 row\)"):
            call(gaps)
    # A value that is set hides none.
    with pytest.raises(ValueError, match="missing value in column x"):
        glm.avg_predictions(gaps, {"x": [1]})
    with pytest.raises(ValueError, match=r"by='site' has missing values \(2 rows\)"):
        glm.avg_predictions(frame.assign(site=frame["site"].where(frame.index > 1)), by="site")
    dropping = GLMRegressor("poisson", formula=formula, method="mle", missing="drop").fit(frame)
    found = dropping.avg_slopes(dd.from_pandas(gaps, npartitions=3))
    np.testing.assert_allclose(found[NUMBERS], glm.avg_slopes(gaps.dropna())[NUMBERS], rtol=1e-9)
    assert found.attrs["n_missing"] == 3
    strange = frame.assign(kind=np.where(frame.index == 4, "q", frame["kind"]))
    with pytest.raises(ValueError, match="a level that fit did not see, 'q'"):
        glm.avg_slopes(strange)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda g, f: g.avg_slopes(f, "q"), "'q' is not a variable of the model; must be one of x, kind"),
        (lambda g, f: g.avg_slopes(f, {"x": 1}), "variables of avg_slopes must be names"),
        (lambda g, f: g.avg_slopes(f, by="q"), "by='q' is neither a column of X"),
        (lambda g, f: g.avg_slopes(f.assign(term=1), by="term"), "by='term' is the name of a column of the result"),
        (
            lambda g, f: g.avg_predictions(f, {"kind": ["q"]}),
            "'q' is not a level of 'kind'; must be one of 'a', 'b'",
        ),
        (lambda g, f: g.avg_predictions(f, {"x": ["q"]}), "'x', which is numeric: give finite numbers"),
        (lambda g, f: g.avg_predictions(f, "x"), "'x' is numeric: give the values to predict at"),
        (lambda g, f: g.avg_predictions(f, {"x": []}), "no value for 'x'"),
        (lambda g, f: g.avg_comparisons(f, {"kind": ("a", "q")}), "'q' is not a level of 'kind'"),
        (lambda g, f: g.avg_comparisons(f, {"kind": "sd"}), "kind is a factor, which is compared by 'reference'"),
        (lambda g, f: g.avg_comparisons(f, {"x": "reference"}), "by a step, between two values"),
        (lambda g, f: g.avg_comparisons(f, {"x": (1, 2, 3)}), "give two values, from and to"),
        (lambda g, f: g.avg_comparisons(f, {"x": np.inf}), "give a finite number"),
        (lambda g, f: g.avg_comparisons(f, comparison="q"), "Unknown comparison 'q'; must be one of 'difference'"),
        (lambda g, f: g.avg_slopes(f, level=2), "level=2 must lie between 0 and 1"),
        (lambda g, f: g.avg_slopes(f, sample="q"), "Unknown sample 'q'; must be one of 'fixed', 'random'"),
        (lambda g, f: g.avg_predictions(f, by="number"), r"by='number' has more than 10,000 groups"),
        (lambda g, f: g.avg_comparisons(f, {"x": 9}), r"With x \+ 9: x has values beyond"),
        (lambda g, f: g.avg_predictions(f[:0]), "0 sample"),
    ],
)
def test_what_cannot_be_asked_is_named(call, text):
    frame = pd.concat([mixed(800)] * 13, ignore_index=True)
    frame["number"] = np.arange(len(frame))
    glm = GLMRegressor("poisson", formula="count ~ bs(x, df=4) + kind", method="mle").fit(frame[:800])
    with pytest.raises(ValueError, match=text):
        call(glm, frame)


def test_groups_that_are_too_many_only_together_are_refused():
    x = np.arange(16_000.0).reshape(-1, 1) / 1e4
    glm = GLMRegressor(method="mle").fit(x, x[:, 0] + np.sin(x[:, 0]))
    with pytest.raises(ValueError, match="by='x0' has more than 10,000 groups"):
        glm.avg_predictions(da.from_array(x, chunks=(8000, 1)), by="x0")


def test_a_model_without_a_covariance_is_refused(quiet):
    x, eta, _ = draw()
    glm = GLMRegressor(method=AverageLasso(alpha=0.01)).fit(x, eta)
    with pytest.raises(ValueError, match="AverageLasso does not estimate a covariance"):
        glm.avg_slopes(x)


def test_aliased_columns_have_no_effect_of_their_own(quiet):
    x, eta, rng = draw()
    y = rng.poisson(np.exp(eta)).astype(float)
    both = np.column_stack([x, x[:, 0]])
    expected = GLMRegressor("poisson", method="mle").fit(x, y).avg_predictions(x)
    for solver in ("cholesky", "qr"):
        glm = GLMRegressor("poisson", method="mle", solver=solver).fit(both, y)
        np.testing.assert_allclose(glm.avg_predictions(both)[NUMBERS], expected[NUMBERS], rtol=1e-8)
        assert glm.avg_slopes(both)["estimate"].isna().tolist() == [True, False, False, True]


def test_files_and_arrow_tables_have_the_same_effects(tmp_path):
    frame = mixed()
    frame[:500].to_parquet(tmp_path / "0.parquet")
    frame[500:].to_parquet(tmp_path / "1.parquet")
    path = str(tmp_path / "*.parquet")
    glm = GLMRegressor("poisson", formula="count ~ bs(x, df=4) * kind", method="mle").fit(frame)
    expected = glm.avg_slopes(frame, "x", by=["site", "kind"])
    for data in (path, pa.Table.from_pandas(frame)):
        found = glm.avg_slopes(data, "x", by=["site", "kind"])
        np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-9)
    plain = GLMRegressor("poisson", method="mle").fit(frame[["x", "z"]], frame["count"])
    several = plain.avg_predictions(frame[["x", "z", "site", "flag"]], by=["site", "flag"])
    found = plain.avg_predictions(path, by=["site", "flag"])
    pd.testing.assert_frame_equal(found, several, rtol=1e-9)
    with pytest.raises(ValueError, match="by='q' is neither a column of X, x, z, kind"):
        glm.avg_slopes(path, by="q")


def test_effects_of_coefficients_without_a_variance_have_none():
    x, eta, rng = draw()
    glm = GLMRegressor("poisson", method="mle").fit(x, rng.poisson(np.exp(eta)).astype(float))
    expected = glm.avg_comparisons(x, {"x0": (0, 1), "x1": (0, 0)})
    covariance = glm.covariance_.copy()
    covariance[2], covariance[:, 2] = np.nan, np.nan
    estimate = replace(glm.record_.estimate, covariance=covariance)
    glm.record_ = replace(glm.record_, estimate=estimate)
    found = glm.avg_comparisons(x, {"x0": (0, 1), "x1": (0, 0)})
    np.testing.assert_allclose(found["estimate"], expected["estimate"])
    assert found["std_err"].isna().tolist() == [True, False]  # x1 is in the first prediction, too


def test_an_offset_in_the_formula_changes_with_its_columns():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ z + x + offset(log(x) + o)", method=MLE(tol=1e-14)).fit(frame)
    same = GLMRegressor("poisson", formula="count ~ z + x", method=MLE(tol=1e-14))
    offset = np.log(frame["x"]) + frame["o"]
    same.fit(frame, offset=offset)
    found = glm.avg_slopes(frame)
    assert found["term"].tolist() == ["z", "x"]  # o is a variable only if it is named
    np.testing.assert_allclose(
        found["estimate"][0], same.avg_slopes(frame, "z", offset=offset)["estimate"][0], rtol=1e-8
    )
    mean = glm.predict(frame)
    np.testing.assert_allclose(found["estimate"][1], (mean * (glm.coef_[1] + 1 / frame["x"])).mean(), rtol=1e-9)
    np.testing.assert_allclose(glm.avg_slopes(frame, "o")["estimate"], [mean.mean()], rtol=1e-9)
    at = glm.avg_predictions(frame, {"x": [1, 2]})["estimate"]
    np.testing.assert_allclose(at, [glm.predict(frame.assign(x=value)).mean() for value in (1.0, 2.0)], rtol=1e-12)
    record = glm.record_
    x = np.column_stack([np.ones(len(frame)), frame["z"], frame["x"]])

    def slope(coef):
        return np.array([(np.exp(x @ coef + offset) * (coef[2] + 1 / frame["x"])).mean()])

    jacobian = finite_difference(slope, record.coef)
    np.testing.assert_allclose(found["std_err"][1], np.sqrt(jacobian @ glm.covariance_ @ jacobian.T)[0, 0], rtol=1e-7)


def test_many_classes_are_summed_in_parts(monkeypatch):
    frame = mixed()
    labels = np.where(frame["event"] == 1, frame["kind"], "none")
    gaps = frame.assign(label=labels, x=frame["x"].where(frame.index % 7 > 0))
    glm = GLMClassifier(formula="label ~ log(x) * flag + z", method="mle", missing="drop").fit(gaps)
    expected = glm.avg_slopes(gaps, by="site")
    monkeypatch.setattr(kernel, "_DERIVATIVES", 12 * 50)  # of 4 classes and 3 linear predictors, 50 rows
    found = glm.avg_slopes(gaps, by="site")
    np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-9, atol=1e-12)
    assert found.attrs == expected.attrs


def test_sums_that_would_not_fit_into_memory_are_refused(monkeypatch):
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ kind * z", method="mle").fit(frame)
    monkeypatch.setattr(kernel, "MAX_BYTES", 8 * 6 * 3 * 2)
    assert len(glm.avg_comparisons(frame, {"kind": ("a", "b")}, by="site")) == 3
    for call in (
        lambda: glm.avg_comparisons(frame, "kind", by="site"),
        # Each partition has one site.
        lambda: glm.avg_comparisons(dd.from_pandas(frame, npartitions=30), "kind", by=["site", "flag"]),
    ):
        with pytest.raises(ValueError, match=r"sums over all scenarios and groups need more than .* Use fewer"):
            call()


def test_a_level_that_fit_had_no_rows_of_has_no_effect(quiet):
    frame = mixed()
    kinds = "C(kind, levels=['a', 'b', 'c', 'd'])"
    for formula, method, solver in ((f"count ~ {kinds} * z", "mle", "qr"), (f"count ~ {kinds}", "one-step", "auto")):
        glm = GLMRegressor("poisson", formula=formula, method=method, solver=solver).fit(frame)
        found = glm.avg_comparisons(frame, "kind").set_index("contrast")
        assert found.loc["d - a", ["estimate", "std_err"]].isna().all()
        assert found.loc[["b - a", "c - a"], ["estimate", "std_err"]].notna().all(axis=None)
        seen = GLMRegressor("poisson", formula=formula.replace(kinds, "kind"), method=method).fit(frame)
        expected = seen.avg_comparisons(frame, "kind")
        np.testing.assert_allclose(found.loc[["b - a", "c - a"], NUMBERS], expected[NUMBERS], rtol=1e-7)


def test_a_column_that_is_read_in_conditions_only_has_no_slope():
    frame = mixed()
    glm = GLMRegressor("poisson", formula="count ~ I(x > 1) + z", method="mle").fit(frame)
    with pytest.raises(
        ValueError, match="'x' has slope 0 at every row, because the formula uses it only in conditions"
    ):
        glm.avg_slopes(frame)
    assert glm.avg_comparisons(frame, {"x": (0.5, 2)})["estimate"][0] > 0


@pytest.mark.parametrize("formula", [None, "y ~ c0 * I(c1 > 0)"])
def test_a_frame_is_loaded_once_whatever_is_read_of_it(loads, threads, formula):
    frame = loads.frame()
    frame = frame.assign(half=frame["c0"] > 0, sign=frame["c1"] > 0)
    if formula is None:
        glm = GLMClassifier(method="mle").fit(frame[["c0", "c1", "y"]], "y")
        data = frame[["c0", "c1", "c2", "half", "sign"]]
    else:
        glm, data = GLMClassifier(formula=formula, method="mle").fit(frame), frame
    loads.per_block()
    weight = {"sample_weight": "c2"} if formula is None else {}
    data = data.assign(c2=data["c2"] ** 2)
    table = glm.avg_slopes(data, "c0", by=["half", "sign"], **weight)
    assert loads.per_block() == [1] * 4
    assert table[["half", "sign"]].to_numpy().tolist() == [[False, False], [False, True], [True, False], [True, True]]
    glm.avg_comparisons(data, {"c0": "iqr"}, by=["half", "sign"], **weight)
    assert loads.per_block() == [2] * 4


def test_by_is_names():
    x, eta, _ = draw()
    glm = GLMRegressor(method="mle").fit(x, eta + np.sin(eta))
    for by in (0, [0], x[:, 0]):
        with pytest.raises(TypeError, match="must be the name of a column or a term"):
            glm.avg_predictions(x, by=by)
    twice = glm.avg_predictions(x > 0, by=["x0", "x0"])
    pd.testing.assert_frame_equal(twice, glm.avg_predictions(x > 0, by="x0"))


@pytest.mark.parametrize("comparison", ["difference", "ratio", "lift", "lnratio", "oddsratio", "lnoddsratio"])
def test_derivatives_of_comparisons_are_those_of_differences(comparison):
    effect, means, step = SimpleNamespace(comparison=comparison), [np.array([0.3, 0.8]), np.array([0.2, 0.6])], 1e-6
    slopes = _comparison(effect, means)[1]
    for at in range(2):
        ends = [_comparison(effect, [m + sign * step * (k == at) for k, m in enumerate(means)])[0] for sign in (1, -1)]
        np.testing.assert_allclose(slopes[at], (ends[0] - ends[1]) / (2 * step), rtol=1e-6)
