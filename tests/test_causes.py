"""The true cause of a fit's trouble is named once, in place of warnings that follow from it."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import (
    NotConvergedWarning,
    OffsetWarning,
    PerfectFitWarning,
    ResponseWarning,
    SeparationWarning,
)

N = 400
METHODS = [OneStep(), MLE(), MLE(start=None), OneStep(100), OneStep(100, steps=1)]


def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(N), "z": rng.standard_normal(N), "k": 3.0})
    frame["y"] = rng.poisson(np.exp(0.3 * frame.x))
    frame["event"] = (rng.random(N) < 1 / (1 + np.exp(-frame.x))) * 1.0
    frame["exposure"] = rng.integers(100, 90_000, N)
    return frame


FRAME = table()
X = FRAME[["x", "z"]]


def in_summary(text, fit):
    """Fit, and assert that the summary says it, and warnings nothing else, if there are any."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = fit()
    assert {each.category for each in caught} <= {PerfectFitWarning}
    assert all(text in str(each.message) for each in caught)
    assert " ".join(str(glm.summary()).split()).count(text) == 1
    return glm


def one_warning(category, text, fit):
    """Fit, and assert that this is all that is said, in the warnings and in the record."""
    with pytest.warns(category, match=text) as caught:
        glm = fit()
    assert [each.category for each in caught] == [category]
    assert [kind for kind, _ in glm.estimate_.warnings] == [category]
    return glm


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("family", "link"), [("gaussian", None), ("gamma", "log"), ("inverse-gaussian", "log")])
def test_a_constant_response(method, family, link):
    fit = GLMRegressor(family, link, method=method).fit
    glm = in_summary("The response is constant", lambda: fit(X, np.full(N, 2.5)))
    np.testing.assert_allclose(np.asarray(glm.predict(X)), 2.5, rtol=1e-6)


@pytest.mark.parametrize(("method", "value"), [(MLE(start=None), 1e-8), (MLE(start=None), 1e-30), (OneStep(), 1e-150)])
def test_a_response_that_varies_by_orders_of_magnitude_is_not_called_constant(method, value):
    y = np.random.default_rng(0).gamma(2.0, size=N)
    y[0] = value
    said = r"(Newton decrement .*values of y on very different scales|The estimate did not converge)"
    one_warning(NotConvergedWarning, said, lambda: GLMRegressor("inverse-gaussian", "log", method=method).fit(X, y))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("family", "value"), [("poisson", 0.0), ("binomial", 0.0), ("binomial", 1.0)])
def test_a_constant_response_at_the_end_of_its_range(method, family, value):
    fit = GLMRegressor(family, method=method).fit
    one_warning(
        SeparationWarning,
        "^The response is constant: .* by the intercept alone.* Check that y",
        lambda: fit(X, np.full(N, value)),
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_response_inside_its_range_is_no_fault(method):
    glm = GLMRegressor("poisson", method=method).fit(X, np.full(N, 2.0))
    np.testing.assert_allclose(glm.intercept_, np.log(2.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_perfect_fit(method):
    exact = 1 + 2 * FRAME.x - FRAME.z
    glm = in_summary("fits the response perfectly", lambda: GLMRegressor(method=method).fit(X, exact.to_numpy()))
    np.testing.assert_allclose(glm.coef_, [2, -1], rtol=1e-10)
    fit = GLMRegressor("gamma", "log", method=method).fit
    in_summary("fits the response perfectly", lambda: fit(X, np.exp(exact / 3).to_numpy()))


def test_a_perfect_fit_by_a_covariate_in_a_tiny_unit_is_not_constant():
    exact = 1 + 2 * FRAME.x - FRAME.z
    fit = GLMRegressor(method=MLE()).fit
    in_summary("fits the response perfectly", lambda: fit(X * [1e14, 1.0], exact.to_numpy()))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_noise_of_a_millionth_is_no_perfect_fit(scale):
    noise = np.random.default_rng(1).standard_normal(N) * 1e-6
    glm = GLMRegressor(method=MLE()).fit(X, (1 + 2 * FRAME.x - FRAME.z + noise) * scale)
    np.testing.assert_allclose(glm.coef_, np.array([2, -1]) * scale, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_response_that_is_a_covariate_of_another_name(method):
    fit = GLMRegressor(method=method).fit
    y = FRAME.z.to_numpy().copy()
    one_warning(PerfectFitWarning, "The response equals the covariate z:", lambda: fit(X, y))


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_a_response_on_both_sides(lazy, family):
    data = dd.from_pandas(FRAME, npartitions=3) if lazy else FRAME
    for formula in ("y ~ x + y", "y ~ x * y", "np.log(y + 1) ~ np.log(y + 1) + x"):
        with pytest.raises(ValueError, match=r" on both sides\. Drop it from the right-hand side"):
            GLMRegressor(family, formula=formula).fit(data)
    with pytest.raises(ValueError, match=r"X holds the response as its column 'y'. Use X.drop\(columns='y'\)"):
        GLMRegressor(family).fit(data[["x", "y"]], data.y)
    assert GLMRegressor(family).fit(data[["x", "y"]], "y").n_features_in_ == 1
    assert GLMRegressor(family).fit(data[["x", "y"]], (data.z > 0) * 1.0).n_features_in_ == 2


@pytest.mark.parametrize("method", METHODS)
def test_offsets_that_are_exposures(method):
    glm = GLMRegressor("poisson", method=method)
    with pytest.raises(ValueError, match=r"offset is on another scale than the log of the mean.*np\.log\(exposure\)"):
        glm.fit(X, FRAME.y, offset=FRAME.exposure.astype(float))
    for link, scale in (("cloglog", "log of the hazard"), ("probit", "standard normal quantile of the mean")):
        with pytest.raises(ValueError, match=f"offset is on another scale than the {scale}: from"):
            GLMRegressor("binomial", link, method=method).fit(
                X, 1.0 * (FRAME.y > 0), offset=FRAME.exposure.astype(float)
            )
    if method is not METHODS[2]:  # it has no pilot whose rows are looked at
        fit = lambda: glm.fit(X, FRAME.y, offset=FRAME.exposure // 1000)  # noqa: E731
        one_warning(OffsetWarning, r"ranges from 0 to 89.*a factor of 1e39.*np\.log\(exposure\)", fit)


@pytest.mark.parametrize("method", METHODS[:4])
def test_offsets_that_are_far_from_zero_are_no_fault(method):
    expected = sm.GLM(FRAME.y, sm.add_constant(X), sm.families.Poisson()).fit(tol=1e-14)
    for offset in (700.0, -700.0, 1000.0) if isinstance(method, MLE) else (700.0, -700.0):
        glm = GLMRegressor("poisson", method=method).fit(X, FRAME.y, offset=np.full(N, offset))
        np.testing.assert_allclose(glm.intercept_ + offset, expected.params.iloc[0], atol=5e-3)
        np.testing.assert_allclose(glm.coef_, expected.params.iloc[1:], atol=5e-3)
    for log in (np.log(FRAME.exposure), np.log(FRAME.exposure * 1e6)):
        GLMRegressor("poisson", method=method).fit(X, FRAME.y, offset=log)


@pytest.mark.parametrize("value", [0.0, 3.1, -2e9])
@pytest.mark.parametrize("term", ["poly(x, 2)", "poly(x)"])
def test_a_polynomial_of_a_constant_is_named(term, value):
    frame = pd.DataFrame({"x": np.full(3000, value), "y": np.arange(3000.0)})
    with pytest.raises(ValueError, match=r"poly\(x.* in the formula is a polynomial of a constant"):
        GLMRegressor(formula=f"y ~ {term}").fit(frame)


@pytest.mark.parametrize("values", [2, 3, 7])
@pytest.mark.parametrize("shift", [0.0, 2000.0])
def test_a_polynomial_of_few_values_is_named(values, shift):
    frame = pd.DataFrame({"x": np.arange(3000) % values + shift, "y": np.random.default_rng(0).normal(size=3000)})
    for degree in (values, values + 1):
        with pytest.raises(
            ValueError, match=rf"poly\(x, {degree}\) in the formula has degree .* Use poly\(x, {values - 1}"
        ):
            GLMRegressor(formula=f"y ~ poly(x, {degree})").fit(dd.from_pandas(frame, npartitions=7))
    coef = GLMRegressor(formula=f"y ~ poly(x, {values - 1})").fit(frame)
    levels = GLMRegressor(formula="y ~ C(x)").fit(frame)
    np.testing.assert_allclose(coef.predict(frame), levels.predict(frame), atol=1e-8)


@pytest.mark.parametrize(("far", "degree"), [(1e3, 4), (1e5, 2)])
def test_a_polynomial_may_have_values_far_from_the_others(far, degree):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": np.append(rng.normal(size=2999), far), "y": rng.normal(size=3000)})
    found = GLMRegressor(formula=f"y ~ poly(x, {degree})").fit(frame).predict(frame)
    basis = np.full((3000, 1), 3000**-0.5)
    for _ in range(degree):  # each polynomial is x times the last one, orthogonalized twice
        column = frame.x.to_numpy() * basis[:, -1]
        for _ in range(2):
            column = column - basis @ (basis.T @ column)
        basis = np.column_stack([basis, column / np.linalg.norm(column)])
    np.testing.assert_allclose(found, basis @ (basis.T @ frame.y), atol=1e-8)
    with pytest.raises(ValueError, match=r"poly\(x, 8\) .* some values of x are so far from the others"):
        GLMRegressor(formula="y ~ poly(x, 8)").fit(frame.assign(x=frame.x.replace(far, 1e7)))


def test_a_scale_of_a_constant_is_named():
    for term in ("scale(k)", "standardize(k)", "scale(k, ddof=0)"):
        with pytest.raises(ValueError, match=r"divides by a standard deviation of 0: its argument is constant"):
            GLMRegressor("poisson", formula=f"y ~ x + {term}").fit(FRAME)
    glm = GLMRegressor("poisson", formula="y ~ x + scale(z, center=False)", method=MLE()).fit(FRAME)
    root = np.sqrt((FRAME.z**2).sum() / (N - 1))
    np.testing.assert_allclose(glm.coef_[1] / root, GLMRegressor("poisson", method=MLE()).fit(X, FRAME.y).coef_[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [GLMClassifier, lambda **k: GLMRegressor("binomial", **k)])
def test_separation_is_one_warning(method, kind):
    labels = (FRAME.x > 0) * 1
    text = "^Complete or quasi-complete separation of the classes: a linear combination of x predicts them perfectly"
    one_warning(SeparationWarning, text, lambda: kind(method=method).fit(X, labels))
    tells = FRAME.assign(g=np.arange(N) % 3, y=np.where(np.arange(N) % 3 == 1, 0, FRAME.y + 1))
    if kind is not GLMClassifier:
        text = r"separation of zeros of y: a linear combination of C\(g\)\[T\.1\] predicts them perfectly"
        one_warning(
            SeparationWarning, text, lambda: GLMRegressor("poisson", formula="y ~ C(g) + x", method=method).fit(tells)
        )


@pytest.mark.parametrize(
    "method", [OneStep(100, steps=1), OneStep(1000, steps=1, correction=None), OneStep(300, steps=2)]
)
@pytest.mark.parametrize("seed", range(4))
def test_a_pilot_of_few_events_is_one_warning(method, seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal((20_000, 3)), rng.random(20_000) < 0.05])
    y = (rng.random(20_000) < 1 / (1 + np.exp(5.5 - x @ [0.5, 0.5, 0.0, 1.0]))) * 1.0
    exact = sm.GLM(y, sm.add_constant(x), sm.families.Binomial()).fit(tol=1e-12)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = GLMRegressor("binomial", method=method).fit(x, y)
    far = np.abs((glm.coef_ - exact.params[1:]) / exact.bse[1:]).max() > 0.1
    assert len(caught) == len(glm.estimate_.warnings) <= 1
    assert len(caught) or not far
    assert len(caught) == glm.estimate_.in_doubt


def test_the_boundary_of_a_binomial_log_link_is_named():
    for method in METHODS:
        glm = GLMRegressor("binomial", "log", method=method)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                glm.fit(X, FRAME.event)
            except ValueError as error:
                text = str(error)
            else:
                ((kind, text),) = glm.estimate_.warnings
                assert [kind] == [each.category for each in caught] == [NotConvergedWarning]
        assert "link='log' the fitted probabilities of a binomial model may reach 0 or 1, the boundary" in text, method
        assert "link='logit'" in text
        assert "cov_type='HC1'" in text


@pytest.mark.parametrize("family", ["poisson", "quasipoisson", "negative-binomial"])
def test_the_boundary_of_an_identity_link_is_named(family):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 3))
    y = rng.poisson(np.maximum(1 + x @ [1, 0.5, -0.5], 0.0)).astype(float)
    for method, most in ((OneStep(), 60), (OneStep(300), 110), (MLE(), 110)):
        with pytest.warns(NotConvergedWarning) as caught:
            glm = GLMRegressor(family, "identity", method=method).fit(x, y)
        assert glm.n_passes_ <= most, method  # further shortened steps lead no closer
        (text,) = [str(each.message) for each in caught]
        assert f"With link='identity' the fitted means of a {family} model may reach the boundary" in text, method


@pytest.mark.parametrize(("seed", "tails"), [(54, 6), (57, 6), (6, 3), (12, 1.5)], ids=str)
def test_shortened_steps_on_the_way_to_a_maximum_are_no_boundary(seed, tails):
    # Of these fits' first steps, too, only a sixteenth is inside the domain of the inverse-squared link.
    rng = np.random.default_rng(seed)
    x = rng.standard_t(tails, size=(300, 2))
    y = rng.wald(np.maximum(1 + x @ [0.3, -0.2], 0.05) ** -0.5, 1.0)
    glm = GLMRegressor("inverse-gaussian").fit(x, y)
    assert glm.estimate_.converged
    assert glm.n_passes_ == 1
    design = np.column_stack([np.ones(300), x])
    mean = (design @ np.r_[glm.intercept_, glm.coef_]) ** -0.5
    # The score of the inverse-squared link is the sum of (μ − y) x.
    score = design.T @ (mean - y)
    assert np.abs(score).max() < 1e-6 * np.abs(design * (mean - y)[:, None]).sum(axis=0).max()


@pytest.mark.parametrize("link", ["identity", "sqrt"])
def test_a_boundary_is_reported_after_a_few_shortened_steps(link):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    y = (rng.random(1000) < 1 / (1 + np.exp(-2 * x[:, 0]))) * 1.0
    for method, most in ((OneStep(), 1), (OneStep(200), 210), (MLE(), 32)):
        with pytest.warns(NotConvergedWarning, match=f"link='{link}' the fitted probabilities of a binomial") as caught:
            glm = GLMRegressor("binomial", link, method=method).fit(x, y)
        assert len(caught) == 1
        assert glm.n_passes_ <= most, method


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.DomainWarning")
@pytest.mark.parametrize("method", [OneStep(), OneStep(200), MLE()])
def test_a_maximum_inside_is_reached_however_near_the_boundary_is(method):
    rng = np.random.default_rng(1)
    x = rng.random((2000, 1))
    y = rng.poisson(0.02 + 2 * x[:, 0]).astype(float)
    expected = sm.GLM(y, sm.add_constant(x), sm.families.Poisson(sm.families.links.Identity())).fit(
        start_params=[0.1, 2.0], tol=1e-13, maxiter=500
    )
    glm = GLMRegressor("poisson", "identity", method=method).fit(x, y)
    gap = np.array([glm.intercept_, *glm.coef_]) - expected.params
    assert (np.abs(gap) < 0.1 * expected.bse).all()
    assert glm.n_passes_ < 25


def test_a_fit_that_stops_before_max_iter_does_not_ask_for_more_iterations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 2)), rng.normal(-1.0, 1.0, 2000)  # the mean of y is negative
    with pytest.warns(NotConvergedWarning, match="MLE stopped after .* step.*a link whose means cannot reach y"):
        GLMRegressor("gaussian", "log", method=MLE()).fit(x, y)


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.DomainWarning")
def test_a_binomial_log_link_inside_its_range_says_nothing():
    rng = np.random.default_rng(2)
    x = rng.random((4000, 1))
    y = (rng.random(4000) < np.exp(-1.5 + 0.4 * x[:, 0])) * 1.0
    expected = sm.GLM(y, sm.add_constant(x), sm.families.Binomial(sm.families.links.Log())).fit(tol=1e-13)
    glm = GLMRegressor("binomial", "log").fit(x, y)
    np.testing.assert_allclose([glm.intercept_, *glm.coef_], expected.params, rtol=1e-4)


@pytest.mark.parametrize("method", [OneStep(), MLE(), OneStep(150)])
@pytest.mark.parametrize("family", ["binomial", "poisson", "negative-binomial"])
def test_responses_that_the_distribution_cannot_have(method, family, quiet):
    rng = np.random.default_rng(4)
    y = rng.random(N) if family == "binomial" else FRAME.y + 0.5
    text = "not integer numbers of successes" if family == "binomial" else "counts that are not integers"
    with pytest.warns(ResponseWarning, match=text):
        GLMRegressor(family, method=method).fit(X, y)
    robust = GLMRegressor(family, method=method, cov_type="HC1").fit(X, y)
    assert ResponseWarning not in [kind for kind, _ in robust.estimate_.warnings]


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("method", [MLE(), OneStep(60)])
def test_one_row_that_no_pilot_has_is_seen(method, lazy):
    """The pilot of 60 rows has hardly the one of 4,000 with an impossible response, or another offset."""
    rng = np.random.default_rng(6)
    x, offset = rng.standard_normal((4000, 2)), np.zeros(4000)
    y, offset[3210] = rng.poisson(1.0, 4000) * 1.0, 40.0
    sizes = (1000, 0, 3000)
    data = [da.from_array(part, chunks=(sizes, *part.shape[1:])) for part in (x, y, offset)] if lazy else [x, y, offset]
    y[3210] = 0.0
    with pytest.warns(OffsetWarning, match="from 0 to 40"):
        GLMRegressor("poisson", method=method).fit(data[0], data[1], offset=data[2])
    y[3210], offset[3210] = 2.5, 0.0
    data = [da.from_array(part, chunks=(sizes, *part.shape[1:])) for part in (x, y)] if lazy else [x, y]
    with pytest.warns(ResponseWarning, match=r"such as 2\.5"):
        GLMRegressor("poisson", method=method).fit(*data)


@pytest.mark.parametrize("method", [OneStep(), MLE(), OneStep(150)])
def test_proportions_of_trials_are_what_the_distribution_has(method):
    rng = np.random.default_rng(5)
    trials = rng.integers(1, 30, N)
    share = rng.binomial(trials, 0.3) / trials
    glm = GLMRegressor("binomial", method=method).fit(X, share, sample_weight=trials.astype(float))
    assert glm.estimate_.warnings == ()
    with pytest.warns(ResponseWarning, match="successes of their trials"):
        GLMRegressor("binomial", method=method).fit(X, share, sample_weight=trials + 0.5)
    with pytest.warns(ResponseWarning, match="each row is one trial"):
        GLMRegressor("binomial", method=method).fit(X, share)
    with pytest.warns(ResponseWarning, match="use weight_type='variance'"):
        GLMRegressor("binomial", method=method, weight_type="frequency").fit(X, share, sample_weight=trials + 0.0)
