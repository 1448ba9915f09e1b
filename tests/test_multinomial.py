"""More than two classes: equal to statsmodels' MNLogit, with the shapes of scikit-learn."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from oracle import blocks
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax
from sklearn.base import clone

from dask_onestep import MLE, GLMClassifier, OneStep, Pilot
from dask_onestep.families import Binomial
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.multinomial import Multinomial, probabilities
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments, row_changes, row_states
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.links import LINKS

LABELS = np.array(["ash", "birch", "cedar", "dogwood"])


def simulate(n=800, d=3, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.normal(size=(n, d)), axis=0)
    x[:, 1:] = rng.permuted(x[:, 1:], axis=0)
    coef = 0.6 * rng.normal(size=(classes - 1, d + 1))
    eta = np.column_stack([np.zeros(n), coef[:, 0] + x @ coef[:, 1:].T])
    codes = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    return x, LABELS[codes], codes, coef


def mnlogit(x, codes, intercept=True):
    design = sm.add_constant(x, has_constant="add") if intercept else x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sm.MNLogit(codes, design).fit(method="newton", disp=0, tol=1e-14, maxiter=100)


def agree(glm, reference, intercept=True):
    params = np.asarray(reference.params).T
    ours = np.column_stack([glm.intercept_, glm.coef_]) if intercept else glm.coef_
    np.testing.assert_allclose(ours, params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(glm.covariance_, reference.cov_params(), rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), np.asarray(reference.bse).T.ravel(), rtol=1e-6)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("start", ["pilot", None])
def test_mle_is_mnlogit(intercept, start):
    x, labels, codes, _ = simulate()
    glm = GLMClassifier(method=MLE(start=start), fit_intercept=intercept).fit(*blocks(x, labels))
    agree(glm, mnlogit(x, codes, intercept), intercept)
    assert glm.coef_.shape == (3, 3)
    assert glm.intercept_.shape == (3,)
    assert list(glm.classes_) == list(LABELS)


def test_anes96():
    data = sm.datasets.anes96.load_pandas()
    x = data.exog[["logpopul", "selfLR", "age", "educ", "income"]]
    reference = mnlogit(x.to_numpy(), data.endog.to_numpy())
    glm = GLMClassifier(method=MLE()).fit(x, data.endog)
    agree(glm, reference)
    fit = glm.fit_statistics(x, data.endog)
    theirs = [reference.llf, reference.llnull, reference.aic, reference.bic, reference.prsquared]
    np.testing.assert_allclose([fit.llf, fit.llnull, fit.aic, fit.bic, fit.mcfadden], theirs, rtol=1e-7)
    assert (fit.df_model, fit.df_resid) == (reference.df_model, reference.df_resid)
    table = glm.coef_table()
    assert table.index[0] == "1.0:intercept"
    assert table.index[7] == "2.0:logpopul"
    assert "AIC" in str(glm.summary(x, data.endog))
    ages = np.arange(6) * 6 + 3
    tested = glm.wald_test([f"{label}:age" for label in ("1.0", "2.0", "3.0", "4.0", "5.0", "6.0")])
    params = np.asarray(reference.params).T.ravel()[ages]
    expected = params @ np.linalg.solve(np.asarray(reference.cov_params())[np.ix_(ages, ages)], params)
    np.testing.assert_allclose(tested.statistic, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["variance", "frequency"])
def test_weights_stand_for_rows(kind):
    x, labels, codes, _ = simulate()
    weights = np.random.default_rng(1).integers(1, 4, len(labels))
    glm = GLMClassifier(method=MLE(), weight_type=kind)
    lazy_x, lazy_y, lazy_w = blocks(x, labels, weights.astype(float))
    glm.fit(lazy_x, lazy_y, sample_weight=lazy_w)
    agree(glm, mnlogit(np.repeat(x, weights, axis=0), np.repeat(codes, weights)))


def test_robust_covariances_are_those_of_mnlogit():
    x, labels, codes, _ = simulate()
    groups = np.arange(len(labels)) % 23
    design = sm.add_constant(x)
    hc0 = sm.MNLogit(codes, design).fit(method="newton", disp=0, tol=1e-14, cov_type="HC0")
    by_group = sm.MNLogit(codes, design).fit(
        method="newton", disp=0, tol=1e-14, cov_type="cluster", cov_kwds={"groups": groups}
    )
    ours = GLMClassifier(method=MLE(), cov_type="HC0").fit(x, labels)
    np.testing.assert_allclose(ours.covariance_, hc0.cov_params(), rtol=1e-6, atol=1e-9)
    hc1 = GLMClassifier(method=MLE(), cov_type="HC1").fit(x, labels)
    np.testing.assert_allclose(hc1.covariance_, 800 / (800 - 12) * hc0.cov_params(), rtol=1e-6, atol=1e-9)
    clustered = GLMClassifier(method=MLE(), cov_type="cluster").fit(x, labels, groups=groups)
    np.testing.assert_allclose(clustered.covariance_, by_group.cov_params(), rtol=1e-6, atol=1e-9)


def test_one_step_on_sorted_blocks_is_near_the_mle():
    x, labels, codes, _ = simulate(n=12_000)
    glm = GLMClassifier(method=OneStep(pilot_size=2000)).fit(*blocks(x, labels, rows=1500))
    reference = mnlogit(x, codes)
    distance = np.abs(np.column_stack([glm.intercept_, glm.coef_]) - reference.params.T) / reference.bse.T
    assert distance.max() < 0.1
    np.testing.assert_allclose(np.sqrt(np.diag(glm.covariance_)), reference.bse.T.ravel(), rtol=0.02)
    # One pass for the classes and the pilot, one for the step.
    assert glm.n_passes_ == 2
    assert np.isfinite(glm.decrement_)
    automatic = GLMClassifier(method=OneStep(pilot_bytes=1)).fit(*blocks(x, labels, rows=1500))
    distance = np.abs(np.column_stack([automatic.intercept_, automatic.coef_]) - reference.params.T) / reference.bse.T
    assert distance.max() <= automatic.estimate_.distance_bound < 0.1
    assert automatic.n_passes_ == 2
    pilot = GLMClassifier(method="pilot").fit(*blocks(x, labels, rows=1500))
    assert pilot.coef_.shape == (3, 3)
    two = GLMClassifier(method=OneStep(pilot_size=2000, steps=2)).fit(*blocks(x, labels, rows=1500))
    closer = np.abs(two.coef_ - reference.params.T[:, 1:]) / reference.bse.T[:, 1:]
    assert closer.max() < 0.01


@pytest.mark.usefixtures("quiet")
def test_classes_and_pilot_are_of_the_same_pass(loads, scheduler):
    table = loads.array()
    x, y = table[:, 1:], table[:, 0] + 2 * (abs(table[:, 2]) > 0.7)
    glm = GLMClassifier(method=OneStep(pilot_size=100, steps=1)).fit(x, y)
    assert glm.coef_.shape == (3, 3)
    assert glm.n_passes_ == 2
    assert loads.per_block() == [2] * 4


@pytest.mark.parametrize("method", [OneStep(pilot_bytes=1, steps=1), MLE()])
@pytest.mark.usefixtures("quiet")
def test_blocks_that_show_only_some_classes_give_the_same_pilot(method):
    """Blocks that show two of ten classes keep rows for a binary model, so another pass draws the pilot."""
    rng = np.random.default_rng(0)
    labels, x = np.repeat(np.arange(10), 5000), rng.normal(size=(50_000, 4))
    x += 0.05 * labels[:, np.newaxis] * [1, -1, 0.5, 0]
    fits = [GLMClassifier(method=method).fit(*blocks(x, labels, rows=rows)) for rows in (50_000, 10_000, 2500)]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.record_.pilot.keys, fits[0].record_.pilot.keys)
        np.testing.assert_allclose(other.coef_, fits[0].coef_, rtol=1e-9, atol=1e-11)
    assert [glm.n_passes_ - fits[0].n_passes_ for glm in fits] == [0, 1, 0]


@pytest.mark.usefixtures("quiet")
def test_a_method_of_ones_own_counts_the_pass_that_found_the_classes():
    class Own:
        multinomial = True

        def estimate(self, problem):
            return Pilot(300).estimate(problem)

    x, labels, _, _ = simulate()
    own, pilot = (GLMClassifier(method=method).fit(*blocks(x, labels)) for method in (Own(), Pilot(300)))
    np.testing.assert_array_equal(own.coef_, pilot.coef_)
    assert own.n_passes_ == pilot.n_passes_ == 1


def test_probabilities_sum_to_one_and_labels_are_the_likeliest():
    x, labels, codes, _ = simulate()
    glm = GLMClassifier(method=MLE()).fit(*blocks(x, labels))
    lazy = glm.predict_proba(blocks(x)[0])
    assert lazy.shape == (800, 4)
    probability = lazy.compute()
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(probability, mnlogit(x, codes).predict(), rtol=1e-6)
    assert (glm.predict(x) == LABELS[probability.argmax(axis=1)]).all()
    assert glm.score(x, labels) == np.mean(glm.predict(x) == labels)
    decision = glm.decision_function(x)
    assert decision.shape == (800, 4)
    assert not decision[:, 0].any()
    np.testing.assert_allclose(decision[:, 1:], glm.intercept_ + x @ glm.coef_.T, rtol=1e-9)


def test_frames():
    x, labels, _, _ = simulate()
    frame = pd.DataFrame(x, columns=list("abc"), index=np.arange(800) + 5).assign(tree=labels)
    lazy = dd.from_pandas(frame, npartitions=3)
    glm = GLMClassifier(method=MLE()).fit(lazy, "tree")
    np.testing.assert_allclose(glm.coef_, GLMClassifier(method=MLE()).fit(x, labels).coef_, rtol=1e-7)
    probability = glm.predict_proba(lazy[["a", "b", "c"]]).compute()
    assert list(probability.columns) == list(LABELS)
    assert list(probability.index) == list(frame.index)


def test_aliased_columns_are_aliased_for_every_class():
    x, labels, _, _ = simulate()
    with pytest.warns(UserWarning, match=r"x3 = 2·x0 \+ 1·x1"):
        glm = GLMClassifier(method=MLE()).fit(np.column_stack([x, 2 * x[:, 0] + x[:, 1]]), labels)
    assert np.isnan(glm.coef_[:, 3]).all()
    np.testing.assert_allclose(glm.coef_[:, :3], GLMClassifier(method=MLE()).fit(x, labels).coef_, rtol=1e-7)


def test_a_class_that_the_pilot_has_not_seen():
    x, labels, _, _ = simulate(n=6000)
    labels = labels.astype(object)
    labels[:3] = "rare"
    method = OneStep(pilot_size=200, steps=1, random_state=2)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        glm = GLMClassifier(method=method).fit(*blocks(x, labels.astype(str), rows=900))
    assert glm.estimate_.pilot_separated
    # The rows are sorted, so that x0 separates the first three: that is the cause, and all that is said.
    (text,) = [str(each.message) for each in heard]
    assert "separation of the classes: a linear combination of rare:x0" in text
    assert np.isfinite(glm.coef_).all()


def test_what_more_than_two_classes_cannot_have_says_so():
    x, labels, _, _ = simulate()
    with pytest.raises(
        ValueError, match=r"Only binary classification.* does not support link='probit': use link='logit'"
    ):
        GLMClassifier("probit").fit(x, labels)
    with pytest.raises(ValueError, match=r"A multinomial logit does not support an offset.* use it as a column of X"):
        GLMClassifier().fit(x, labels, offset=np.zeros(len(labels)))
    with pytest.raises(ValueError, match=r"DebiasedLasso fits one linear predictor per row: use method='one-step'"):
        GLMClassifier(method="debiased-lasso").fit(x, labels)
    with pytest.raises(
        ValueError, match=r"Only binary classification.* are fitted by method='one-step', 'mle' or 'pilot'"
    ):
        GLMClassifier(method="average").fit(x, labels)
    with pytest.raises(ValueError, match=r"Only binary classification.* For more than two classes use fit"):
        GLMClassifier().fit_delayed(*blocks(x, labels)).compute()


def test_two_classes_keep_their_shapes():
    x, labels, codes, _ = simulate()
    glm = GLMClassifier(method=MLE()).fit(x, np.where(codes > 1, "b", "a"))
    assert glm.coef_.shape == (1, 3)
    assert glm.intercept_.shape == (1,)
    assert glm.decision_function(x).shape == (800,)
    again = clone(glm).fit(x, labels)
    assert again.coef_.shape == (3, 3)
    assert again.fit(x, codes > 1).coef_.shape == (1, 3)


# --- the kernel -------------------------------------------------------------------------------

MODEL = Model(Multinomial(("q", "r")), ("a", "b"), classify=True)


def kernel_rows(weights=None):
    rng = np.random.default_rng(0)
    return Rows(rng.normal(size=(40, 2)), rng.integers(0, 3, 40).astype(float), weights)


def test_score_and_information_are_derivatives():
    rows = kernel_rows(np.random.default_rng(1).uniform(0, 2, 40))
    at = np.random.default_rng(2).normal(size=6)
    assert check_grad(lambda b: moments(rows, MODEL, b).loglik, lambda b: moments(rows, MODEL, b).score, at) < 1e-5
    step = 1e-6
    numeric = np.array(
        [
            (moments(rows, MODEL, at - step * e).score - moments(rows, MODEL, at + step * e).score) / (2 * step)
            for e in np.eye(6)
        ]
    )
    np.testing.assert_allclose(moments(rows, MODEL, at).information, numeric, rtol=1e-6, atol=1e-7)


def test_residuals_and_remainders_add_up():
    rows = kernel_rows()
    rng = np.random.default_rng(3)
    at, step = rng.normal(size=6), 0.3 * rng.normal(size=6)
    here, there = moments(rows, MODEL, at), moments(rows, MODEL, at + step)
    scores = np.zeros(6)
    for part in slices(rows, MODEL):
        scores += part.weighted_sum(MODEL.likelihood.row_residuals(part, MODEL, at)).T.ravel()
    np.testing.assert_allclose(scores, here.score, rtol=1e-10)
    changes = row_changes(rows, MODEL, *(row_states(rows, MODEL, end) for end in (at, at + step)))
    rest = sum(part.weighted_sum(change) for part, change, *_ in changes)
    np.testing.assert_allclose(
        rest.T.ravel(), there.score - here.score + here.information @ step, rtol=1e-9, atol=1e-10
    )


def test_two_classes_are_the_binomial_likelihood():
    rows = Rows(
        np.random.default_rng(0).normal(size=(40, 2)), np.random.default_rng(1).integers(0, 2, 40).astype(float)
    )
    model = Model(Multinomial(("q",)), ("a", "b"))
    binomial = Model(OnePredictor(Binomial(), LINKS["logit"]), ("a", "b"))
    at = np.array([0.2, -0.4, 0.9])
    one, two = moments(rows, model, at), moments(rows, binomial, at)
    np.testing.assert_allclose(one.loglik, two.loglik, rtol=1e-12)
    np.testing.assert_allclose(one.score, two.score, rtol=1e-10)
    np.testing.assert_allclose(one.information, two.information, rtol=1e-10)


def test_probabilities_do_not_overflow():
    probability, normalizer = probabilities(np.array([[1e4, -1e4], [-1e4, -2e4]]))
    np.testing.assert_allclose(probability, [[1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalizer, [1e4, 0.0])


@pytest.mark.parametrize("method", [OneStep(pilot_size=60, steps=1, tol=1.0), MLE()], ids=str)
def test_passes_are_those_that_ran(loads, scheduler, quiet, method):
    """On a cluster, too, the attempt with two classes ends in its first pass."""
    rows = loads.array()
    glm = GLMClassifier(method=method).fit(rows[:, 1:], da.digitize(rows[:, 1] + rows[:, 0], [-0.5, 1.0]))
    assert len(glm.classes_) == 3
    assert set(loads.per_block()) == {glm.n_passes_}


def test_the_prior_of_separated_classes_adds_every_class_to_every_row_by_weight():
    rng = np.random.default_rng(6)
    x, weights, more = np.sort(rng.normal(size=30)), rng.uniform(0.2, 3.0, 30), rng.uniform(0.05, 0.2, 30)
    codes = np.repeat([0, 1, 2], [8, 10, 12])  # in the order of x
    totals = np.bincount(codes, weights) + 0.5
    counts = weights[:, None] * (np.eye(3)[codes] + more[:, None] * totals / totals.sum())

    def loss(beta):
        eta = np.column_stack([np.zeros(30), beta[0] + beta[1] * x, beta[2] + beta[3] * x])
        return -(counts * log_softmax(eta, axis=1)).sum()

    model = Model(Multinomial(("q", "r")), ("x",), classify=True)
    fit = fit_rows(model.likelihood.with_prior(Rows(x[:, None], codes.astype(float), weights), model, more), model)
    np.testing.assert_allclose(fit.coef, minimize(loss, np.zeros(4), tol=1e-10).x, rtol=1e-4)
