"""Displays: what is drawn is what the tables say, and what the blocks' rows say."""

import sys
import warnings

import dask.dataframe as dd
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from support import chunked

from dask_onestep import (
    MLE,
    AverageLasso,
    DebiasedLasso,
    ElasticNet,
    ElasticNetCV,
    GLMClassifier,
    GLMRegressor,
    OneStep,
)
from dask_onestep.datasets import make_glm
from dask_onestep.exceptions import CoverageWarning
from dask_onestep.plots import (
    BlocksDisplay,
    CalibrationDisplay,
    CoefficientDisplay,
    CrossValidationDisplay,
    EffectsDisplay,
    PathDisplay,
    PilotSizeDisplay,
    PredictionsDisplay,
    RegularizationDisplay,
    ResidualsDisplay,
    RocCurveDisplay,
)

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def poisson(seed=0, rows=900, sizes=(300, 200, 400)):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) + np.repeat(np.arange(len(sizes)), sizes)[:, None] * [0.5, 0.0]
    y = rng.poisson(np.exp(0.2 + x @ [0.3, -0.2])).astype(float)
    return x, y, chunked(x, sizes), chunked(y, sizes)


def drawn(display):
    """Return the points and the ends of the arms, by fit, in the order of the y axis."""
    found = []
    for container in display.ax_.containers:
        points, _, (bars,) = container.lines
        ends = np.array([segment[:, 0] for segment in bars.get_segments() if len(segment)], dtype=float)
        found.append((np.asarray(points.get_xdata(), dtype=float), ends))
    return found


def test_coefficients_are_drawn_as_the_table_has_them():
    _, _, X, y = poisson()
    fits = {"one-step": GLMRegressor("poisson").fit(X, y), "MLE": GLMRegressor("poisson", method="mle").fit(X, y)}
    display = CoefficientDisplay.from_estimator(fits, level=0.9)
    assert [label.get_text() for label in display.ax_.get_legend().get_texts()] == ["one-step", "MLE"]
    for (points, ends), glm in zip(drawn(display), fits.values(), strict=True):
        table = glm.coef_table(0.9).drop("intercept")
        np.testing.assert_allclose(points, table["coef"].to_numpy())
        np.testing.assert_allclose(ends, table[["ci_lower", "ci_upper"]].to_numpy())
    assert display.figure_ is display.ax_.figure
    assert "90%" in display.ax_.get_xlabel()


def test_one_fit_needs_no_legend_and_draws_where_it_is_told():
    _, _, X, y = poisson()
    _, ax = plt.subplots()
    display = CoefficientDisplay.from_estimator(GLMRegressor("poisson").fit(X, y), names=["intercept", "x1"], ax=ax)
    assert display.ax_ is ax
    assert ax.get_legend() is None
    assert [label.get_text() for label in ax.get_yticklabels()] == ["intercept", "x1"]


def test_fits_of_different_columns_share_an_axis():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["y", "a", "b"])
    data = dd.from_pandas(frame, npartitions=3)
    fits = {f: GLMRegressor(formula=f).fit(data) for f in ("y ~ a", "y ~ a + b")}
    (short, _), (long, _) = drawn(CoefficientDisplay.from_estimator(fits))
    assert len(short) == 1  # the other fit has no such coefficient
    assert np.isfinite(long).all()


def test_an_unknown_coefficient_is_named():
    _, _, X, y = poisson()
    with pytest.raises(ValueError, match=r"\['x7'\].*intercept, x0, x1"):
        CoefficientDisplay.from_estimator(GLMRegressor("poisson").fit(X, y), names=["x7"])


def test_blocks_scores_are_those_of_the_blocks_rows():
    x, y, X, Y = poisson()
    glm = GLMRegressor("poisson", method=MLE(tol=1e-20)).fit(X, Y)
    display = BlocksDisplay.from_estimator(glm, X, Y)
    design = sm.add_constant(x)
    whole = sm.GLM(y, design, family=sm.families.Poisson())
    beta = whole.fit(tol=1e-14).params
    information = -whole.hessian(beta)
    for number, rows in enumerate(np.split(np.arange(900), [300, 500])):
        block = sm.GLM(y[rows], design[rows], family=sm.families.Poisson())
        own = -block.hessian(beta)
        variance = own - own @ np.linalg.solve(information, own)
        expected = block.score(beta) / np.sqrt(np.diag(variance))
        np.testing.assert_allclose(display.values.loc[number], expected, rtol=1e-6)
    (image,) = display.ax_.images
    np.testing.assert_array_equal(image.get_array(), display.values.to_numpy().T)


def test_blocks_means_are_weighted_and_skip_blocks_without_rows():
    x, y, _, _ = poisson()
    weights = np.random.default_rng(4).integers(1, 4, 900).astype(float)
    X, Y, W = (chunked(part, (300, 0, 600)) for part in (x, y, weights))
    glm = GLMRegressor("poisson").fit(X, Y, sample_weight=W)
    values = BlocksDisplay.from_estimator(glm, X, Y, kind="mean", sample_weight=W).values
    centre = np.average(x, axis=0, weights=weights)
    spread = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weights))
    expected = [
        (np.average(x[rows], axis=0, weights=weights[rows]) - centre) / spread for rows in (slice(300), slice(300, 900))
    ]
    assert values.index.tolist() == [0, 2]
    assert values.columns.tolist() == ["x0", "x1"]
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_block_scores_are_standard_normal_where_the_model_holds():
    X, y, _ = make_glm(40_000, 3, family="gamma", link="log", chunks=100, dispersion=0.5, sort=True)
    glm = GLMRegressor("gamma", "log").fit(X, y)
    values = BlocksDisplay.from_estimator(glm, X, y).values.to_numpy()
    # 400 blocks: a variance's standard error is √(2/400) = 0.07, a mean's 0.05.
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.25)
    np.testing.assert_allclose(values.var(axis=0), 1, atol=0.35)


def test_one_block_and_an_aliased_column_have_no_score():
    x, y, _, _ = poisson()
    X = chunked(np.column_stack([x, x[:, 0]]), (500, 400))
    with pytest.warns(UserWarning, match="aliased"):
        glm = GLMRegressor("poisson").fit(X, chunked(y, (500, 400)))
    assert BlocksDisplay.from_estimator(glm, X, chunked(y, (500, 400))).values["x2"].isna().all()
    alone = GLMRegressor("poisson").fit(x, y)
    assert BlocksDisplay.from_estimator(alone, x, y).values.isna().all(axis=None)


def test_an_unknown_kind_of_blocks_is_refused():
    x, y, _, _ = poisson()
    with pytest.raises(ValueError, match="'score' or 'mean'"):
        BlocksDisplay.from_estimator(GLMRegressor("poisson").fit(x, y), x, y, kind="median")


def test_distances_are_those_of_fits_by_hand():
    X, y, _ = make_glm(6000, 2, family="binomial", random_state=2)
    method = OneStep(correction=None)
    display = PilotSizeDisplay.from_estimator(GLMClassifier(method=method), X, y, pilot_sizes=[300, 1200], repeats=2)
    assert method.pilot_size == "auto"
    best = GLMClassifier(method="mle").fit(X, y).estimate_
    for row in display.distances.itertuples():
        by_hand = OneStep(row.pilot_size, steps=1, correction=None, tol=1.0, random_state=row.random_state)
        found = GLMClassifier(method=by_hand).fit(X, y).estimate_
        for coef, distance in ((found.pilot_coef, row.pilot), (found.coef, row.estimate)):
            gap = coef - best.coef
            np.testing.assert_allclose(distance, np.sqrt(gap @ np.linalg.inv(best.covariance) @ gap / 3))
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[:2] == ["pilot estimate", "OneStep"]
    (_, _, expected) = display.ax_.lines[:3]
    np.testing.assert_allclose(expected.get_ydata(), np.sqrt([19.0, 4.0]))


def test_without_matplotlib_the_error_says_the_cure(monkeypatch):
    x, y, _, _ = poisson()
    glm = GLMRegressor("poisson").fit(x, y)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"dask_onestep\[plots\]"):
        CoefficientDisplay.from_estimator(glm)


def test_blocks_of_a_multinomial_logit_have_a_row_for_each_coefficient():
    x, _, _, _ = poisson()
    y = np.random.default_rng(5).choice(["a", "b", "c"], 900)
    glm = GLMClassifier(method="mle").fit(x, y)
    scores = BlocksDisplay.from_estimator(glm, x, y).values
    assert list(scores.columns) == list(glm.record_.names)
    means = BlocksDisplay.from_estimator(glm, x, y, kind="mean").values
    np.testing.assert_array_equal(means["b:x0"], means["c:x0"])
    assert not [name for name in means if name.endswith("intercept")]


def sparse_data():
    return make_glm(4000, 6, coef=[0.0, 1.0, -0.5, 0.0, 0.0, 0.0, 0.0], chunks=2000, random_state=1)[:2]


def test_the_regularization_view_draws_what_fits_by_hand_give():
    X, y = sparse_data()
    method = DebiasedLasso(0.05)
    display = RegularizationDisplay.from_estimator(GLMRegressor(method=method), X, y, alphas=[0.2, 0.02], level=0.9)
    assert method.alpha == 0.05
    assert display.alpha == pytest.approx(0.05)
    table = display.coefficients.set_index(["alpha", "name"])
    for alpha in (0.02, 0.2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)
            glm = GLMRegressor(method=DebiasedLasso(alpha)).fit(X, y)
        by_hand = glm.coef_table(0.9)[["coef", "ci_lower", "ci_upper"]]
        np.testing.assert_allclose(table.loc[alpha, ["coef", "ci_lower", "ci_upper"]].loc[by_hand.index], by_hand)
        np.testing.assert_allclose(table.loc[alpha, "average"].loc[by_hand.index], glm.estimate_.average_coef)
    line = next(line for line in display.ax_.lines if line.get_label() == "x0")
    np.testing.assert_allclose(line.get_xdata(), [0.02, 0.2])
    np.testing.assert_allclose(line.get_ydata(), [table.loc[(alpha, "x0"), "coef"] for alpha in (0.02, 0.2)])
    assert len(display.ax_.collections) == 6  # a band for each coefficient in color
    assert display.figure_ is display.ax_.figure


def test_the_regularization_view_of_a_plain_lasso_has_no_bands_and_centres_on_its_own_penalty():
    X, y = sparse_data()
    display = RegularizationDisplay.from_estimator(GLMRegressor(method="average-lasso"), X, y, names=["x1"])
    assert not display.ax_.collections
    alphas = display.coefficients["alpha"].unique()
    np.testing.assert_allclose([alphas[0], alphas[4], alphas[-1]], display.alpha * np.array([0.1, 1, 10]))
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["x1", "the fit's own α"]
    sizes = display.coefficients.groupby("alpha")["coef"].apply(lambda coef: coef.abs().sum())
    assert sizes.is_monotonic_decreasing


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        ("mle", {}, "a penalized method"),
        ("average-lasso", {"alphas": [0.0, 1.0]}, "must be positive"),
        ("average-lasso", {"alphas": [0.1], "names": ["x9"]}, "Unknown coefficients"),
        (AverageLasso(0.0), {}, "alphas is required"),
    ],
)
def test_what_the_regularization_view_cannot_draw_is_refused(method, options, text):
    X, y = sparse_data()
    with pytest.raises(ValueError, match=text):
        RegularizationDisplay.from_estimator(GLMRegressor(method=method), X, y, **options)


def test_what_has_no_score_in_any_block_is_not_drawn():
    x, y, _, _ = poisson()
    own = np.repeat([0.0, 1.0, 2.0], [300, 200, 400])[:, None] == [1.0, 2.0]
    X, Y = (chunked(part, (300, 200, 400)) for part in (np.column_stack([x, own]), y))
    display = BlocksDisplay.from_estimator(GLMRegressor("poisson", method="mle").fit(X, Y), X, Y)
    assert display.values.columns.tolist() == ["intercept", "x0", "x1", "x2", "x3"]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["x0", "x1"]


def by_kind(seed=0, rows=600):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.uniform(0, 5, rows), "kind": rng.choice(["a", "b", "c"], rows)})
    frame["site"] = rng.choice(["n", "s"], rows)
    frame["y"] = rng.poisson(np.exp(0.2 + 0.2 * frame["x"] * (frame["kind"] != "b"))).astype(float)
    return frame, GLMRegressor("poisson", formula="y ~ x * kind", method="mle").fit(frame)


def test_effects_are_drawn_as_the_table_has_them():
    frame, glm = by_kind()
    display = EffectsDisplay.from_estimator(glm, frame, by="site", level=0.9)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["x: dY/dX", "kind: b - a", "kind: c - a"]
    assert display.ax_.get_legend().get_title().get_text() == "site"
    table = glm.avg_slopes(frame, by="site", level=0.9)
    for (points, ends), (_, rows) in zip(drawn(display), table.groupby("site"), strict=True):
        np.testing.assert_allclose(points, rows["estimate"])
        np.testing.assert_allclose(ends, rows[["ci_lower", "ci_upper"]])
    ratios = EffectsDisplay.from_estimator(glm, frame, "kind", kind="comparisons", comparison="ratio")
    assert ratios.ax_.get_lines()[0].get_xdata()[0] == 1.0
    with pytest.raises(ValueError, match="Unknown kind 'odds'; must be one of 'slopes', 'comparisons'"):
        EffectsDisplay.from_estimator(glm, frame, kind="odds")


@pytest.mark.parametrize("lazy", [False, True])
def test_predictions_are_drawn_against_a_column_and_by_another(lazy):
    frame, glm = by_kind()
    data = dd.from_pandas(frame, npartitions=3) if lazy else frame
    display = PredictionsDisplay.from_estimator(glm, data, "x", "kind", values=5)
    grid = np.linspace(frame["x"].min(), frame["x"].max(), 5)
    for line, kind in zip(display.ax_.get_lines(), "abc", strict=True):
        rows = frame[frame["kind"] == kind]
        np.testing.assert_allclose(line.get_xdata(), grid)
        np.testing.assert_allclose(line.get_ydata(), [glm.predict(rows.assign(x=at)).mean() for at in grid])
    shown = PredictionsDisplay.from_estimator(glm, data, "kind")
    assert [label.get_text() for label in shown.ax_.get_xticklabels()] == ["a", "b", "c"]
    means = [glm.predict(frame.assign(kind=kind)).mean() for kind in "abc"]
    np.testing.assert_allclose(shown.table["estimate"], means)
    with pytest.raises(ValueError, match="'q' is not a variable of the model; must be one of x, kind"):
        PredictionsDisplay.from_estimator(glm, data, "q")


def test_predictions_of_an_array_are_drawn_between_its_extremes():
    x, _, X, lazy_y = poisson()
    glm = GLMRegressor("poisson").fit(X, lazy_y)
    for data in (X, x, x.tolist()):
        table = PredictionsDisplay.from_estimator(glm, data, "x1", values=2).table
        np.testing.assert_allclose(table["value"], [x[:, 1].min(), x[:, 1].max()])


@pytest.mark.parametrize(("against", "kind"), [(None, "deviance"), ("x", "pearson")])
def test_binned_residuals_are_those_of_the_rows(against, kind, threads):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=1000), "g": rng.choice(["a", "b"], 1000)})
    table["y"] = rng.poisson(np.exp(table["x"] / 2))
    table.loc[::50, "x"] = np.nan
    glm = GLMRegressor("poisson", formula="y ~ x + g", missing="drop").fit(table)
    whole = ResidualsDisplay.from_estimator(glm, table, kind=kind, against=against, n_bins=7, n_points=50)
    rows = table.assign(r=glm.residuals(table, kind=kind)).dropna()
    rows["v"] = np.log(glm.predict(rows)) if against is None else rows[against]
    rows = rows.sort_values("v", kind="stable")
    place = np.floor(np.arange(980) * 7 / 980)
    # No value of x occurs twice, and each bin is of 140 rows.
    expected = rows.groupby(place).agg(x=("v", "mean"), residual=("r", "mean"), sd=("r", "std"), n=("r", "size"))
    np.testing.assert_allclose(whole.table["n"], expected["n"])
    np.testing.assert_allclose(whole.table["x"], expected["x"], rtol=1e-7)
    np.testing.assert_allclose(whole.table["residual"], expected["residual"], rtol=1e-7)
    np.testing.assert_allclose(whole.table["std_err"], expected["sd"] * np.sqrt(139 / 140 / 140), rtol=1e-7)
    pairs = set(map(tuple, rows[["v", "r"]].to_numpy().round(9)))
    assert len(whole.points) == 50
    assert set(map(tuple, whole.points.round(9))) <= pairs
    ((means, ends),) = vertical(whole)
    np.testing.assert_allclose(means.astype(float), whole.table[["x", "residual"]])
    np.testing.assert_allclose(np.diff(ends)[:, 0], 4 * whole.table["std_err"])
    assert whole.ax_.get_xlabel() == (against or "linear predictor")


def test_the_sample_of_residuals_does_not_depend_on_the_chunks_and_takes_one_pass(loads, scheduler):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0]
    glm = GLMClassifier().fit(x, y)
    loads.per_block()
    found = ResidualsDisplay.from_estimator(glm, x, y, against="x1", n_points=30)
    assert set(loads.per_block()) == {1}
    local = ResidualsDisplay.from_estimator(glm, x.compute(), y.compute(), against="x1", n_points=30)
    np.testing.assert_allclose(found.points, local.points, rtol=1e-12)
    pd.testing.assert_frame_equal(found.table, local.table)
    other = ResidualsDisplay.from_estimator(glm, x, y, against="x1", n_points=30, random_state=1)
    assert not np.isin(other.points[:, 0], found.points[:, 0]).all()


def test_frequencies_count_in_the_bins_and_what_residuals_refuse():
    x, y, _, _ = poisson()
    w = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    options = {"sample_weight": w}
    glm = GLMRegressor("poisson", weight_type="frequency").fit(x, y, **options)
    short = ResidualsDisplay.from_estimator(glm, x, y, n_bins=5, **options).table
    long = np.repeat(np.arange(len(y)), w.astype(int))
    plain = GLMRegressor("poisson").fit(x[long], y[long])
    pd.testing.assert_frame_equal(short, ResidualsDisplay.from_estimator(plain, x[long], y[long], n_bins=5).table)
    with pytest.raises(ValueError, match="Unknown kind 'raw'"):
        ResidualsDisplay.from_estimator(plain, x, y, kind="raw")
    with pytest.raises(ValueError, match="Unknown against 'x7' among numeric columns; must be one of 'x0', 'x1'"):
        ResidualsDisplay.from_estimator(plain, x, y, against="x7")
    classes = GLMClassifier().fit(x, np.minimum(y, 2))
    with pytest.raises(ValueError, match="not for more than two classes"):
        ResidualsDisplay.from_estimator(classes, x, np.minimum(y, 2))


def test_probabilities_are_drawn_as_their_tables_have_them():
    X, y, _ = make_glm(2000, 2, family="binomial", chunks=500)
    glm = GLMClassifier().fit(X, y)
    found = glm.probability_diagnostics(X, y)
    display = RocCurveDisplay.from_estimator(glm, X, y)
    _, line = display.ax_.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), found.roc_curve()[["fpr", "tpr"]])
    assert line.get_label() == f"AUC = {found.auc:.3f}"
    again = RocCurveDisplay(found).plot(ax=display.ax_, name="again")
    assert [text.get_text() for text in again.ax_.get_legend().get_texts()][1] == f"again: AUC = {found.auc:.3f}"
    assert len({line.get_color() for line in again.ax_.get_lines()}) == 3
    shown = CalibrationDisplay.from_estimator(glm, X, y, n_bins=6, strategy="uniform", label=0)
    curve = glm.probability_diagnostics(X, y, label=0).calibration_curve(6, "uniform")
    ((points, ends),) = vertical(shown)
    np.testing.assert_allclose(points, curve[["predicted", "observed"]])
    np.testing.assert_allclose(ends, curve[["ci_lower", "ci_upper"]])
    assert shown.ax_.get_ylabel() == "fraction of y = 0.0"


def vertical(display):
    """Return the points and the ends of the vertical arms of each series."""
    for container in display.ax_.containers:
        line, _, (bars,) = container.lines
        yield line.get_xydata(), np.array([segment[:, 1] for segment in bars.get_segments()])


@pytest.mark.parametrize("l1_ratios", [0.7, (0.5, 1.0)])
def test_paths_and_their_cross_validation_are_drawn_as_the_tables_have_them(threads, l1_ratios):
    X, y, _ = make_glm(2000, 8, coef=[0.2, 1.0, -0.5, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0], chunks=700)
    glm = GLMRegressor(method=ElasticNetCV(15, l1_ratios)).fit(X, y)
    path, results = glm.path_, glm.cv_results_
    if path.index.nlevels > 1:
        path, results = (table.loc[glm.l1_ratio_] for table in (path, results))
    display = PathDisplay.from_estimator(glm, names=["x1", "x0"])
    lines = {line.get_label(): line for line in display.ax_.get_lines()}
    assert {"x0", "x1"} <= set(lines)
    assert "intercept" not in lines
    np.testing.assert_array_equal(lines["x1"].get_ydata(), path["x1"])
    np.testing.assert_array_equal(lines["x1"].get_xdata(), path.index)
    assert sum("α =" in label for label in lines) == 2
    by_default = PathDisplay.from_estimator(glm).ax_.get_legend_handles_labels()[1]
    assert {"x0", "x1", "x2"} <= set(by_default)
    display = CrossValidationDisplay.from_estimator(glm)
    ((points, _),) = drawn(display)
    np.testing.assert_array_equal(points, results.index)
    bars = display.ax_.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[1, 1] - bar[0, 1] for bar in bars], 2 * results["std_err"])
    nonzero = results["n_nonzero"][glm.alpha_]
    assert any(label.endswith(f"{nonzero} nonzero") for label in display.ax_.get_legend_handles_labels()[1])


def test_paths_of_other_fits_are_refused():
    _, _, X, y = poisson()
    glm = GLMRegressor("poisson", method=ElasticNet(0.1)).fit(X, y)
    for display in (PathDisplay, CrossValidationDisplay):
        with pytest.raises(ValueError, match=f"{display.__name__} requires a fit with ElasticNetCV"):
            display.from_estimator(glm)
    with pytest.raises(ValueError, match="PathDisplay draws the path of ElasticNetCV"):
        RegularizationDisplay.from_estimator(glm, X, y)
    fitted = GLMRegressor("poisson", method=ElasticNetCV(5)).fit(X, y)
    with pytest.raises(ValueError, match="Unknown coefficients"):
        PathDisplay.from_estimator(fitted, names=["z"])
