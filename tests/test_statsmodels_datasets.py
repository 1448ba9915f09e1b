"""statsmodels' own data sets: coefficients, standard errors, tests, statistics and residuals compared with its GLM."""

import warnings
from dataclasses import dataclass

import dask.array as da
import numpy as np
import pytest
import statsmodels.api as sm
from oracle import sm_family
from scipy import stats

from dask_onestep import MLE, GLMRegressor
from dask_onestep.families import NegativeBinomial


def standardized(frame):
    """Return columns of mean 0 and variance 1; in raw units condition numbers reach 1e21, for them as for us."""
    x = np.asarray(frame, dtype=np.float64)
    return (x - x.mean(axis=0)) / x.std(axis=0)


def star98():
    data = sm.datasets.star98.load_pandas()
    counts = data.endog.to_numpy(np.float64)
    trials = counts.sum(axis=1)
    return standardized(data.exog), counts[:, 0] / trials, trials


def cpunish():
    data = sm.datasets.cpunish.load_pandas()
    return standardized(data.exog), data.endog.to_numpy(np.float64), None


def scotland():
    data = sm.datasets.scotland.load_pandas()
    return standardized(data.exog), data.endog.to_numpy(np.float64), None


def copper():
    data = sm.datasets.copper.load_pandas()
    return data.exog.to_numpy(np.float64), data.endog.to_numpy(np.float64), None


def committee():
    data = sm.datasets.committee.load_pandas()
    return standardized(data.exog), data.endog.to_numpy(np.float64), None


def fair():
    data = sm.datasets.fair.load_pandas()
    return data.exog.to_numpy(np.float64), (data.endog > 0).to_numpy(np.float64), None


def spector():
    data = sm.datasets.spector.load_pandas()
    return data.exog.to_numpy(np.float64), data.endog.to_numpy(np.float64), None


def randhie():
    data = sm.datasets.randhie.load_pandas()
    return data.exog.to_numpy(np.float64), data.endog.to_numpy(np.float64), None


@dataclass(frozen=True)
class Case:
    """A data set, a family and a link, by our names and as statsmodels has them."""

    load: object
    family: object
    link: str
    theirs: object = None

    def __str__(self):
        return f"{self.load.__name__}-{self.link}"


CASES = [
    Case(star98, "binomial", "logit"),
    Case(star98, "binomial", "probit"),
    Case(cpunish, "poisson", "log"),
    Case(scotland, "gamma", "inverse"),
    Case(scotland, "inverse-gaussian", "log"),
    Case(copper, "gaussian", "identity"),
    Case(committee, NegativeBinomial(alpha=0.3), "log", sm.families.NegativeBinomial(alpha=0.3)),
    Case(fair, "binomial", "logit"),
    Case(fair, "binomial", "cloglog"),
    Case(spector, "binomial", "probit"),
    Case(randhie, "poisson", "log"),
]


def fitted(y, design, family, cov_type="nonrobust", **data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of links that may leave the family's domain
        model = sm.GLM(y, design, family, **data)
        # Student's t where the dispersion is estimated, as R has it.
        dispersed = not isinstance(family, (sm.families.Binomial, sm.families.Poisson, sm.families.NegativeBinomial))
        return model.fit(tol=1e-14, tol_criterion="params", maxiter=300, cov_type=cov_type, use_t=dispersed)


class Fits:
    """Both fits of a case."""

    def __init__(self, case, cov_type="nonrobust"):
        self.x, self.y, self.trials = case.load()
        self.case = case
        rows = -(-len(self.y) // 4)
        self.lazy = [da.from_array(part, chunks=(rows, *part.shape[1:])) for part in (self.x, self.y)]
        self.weights = {} if self.trials is None else {"sample_weight": da.from_array(self.trials, chunks=rows)}
        # Of the committees' 20 rows the expected information is far from the observed, and scoring is slow.
        self.glm = GLMRegressor(case.family, case.link, method=MLE(max_iter=100), cov_type=cov_type)
        self.glm.fit(*self.lazy, **self.weights)
        self.reference = self.by_statsmodels(sm.add_constant(self.x, has_constant="add"), cov_type)

    def by_statsmodels(self, design, cov_type="nonrobust"):
        y = self.y if self.trials is None else np.c_[self.y * self.trials, (1 - self.y) * self.trials]
        return fitted(y, design, self.law(), cov_type=cov_type)

    def law(self):
        """Return statsmodels' family, a new one each time: it remembers the trials."""
        return sm_family(self.case.family, self.case.link) if self.case.theirs is None else self.case.theirs


@pytest.fixture(scope="module", params=CASES, ids=str)
def fits(request):
    return Fits(request.param)


def test_the_table(fits):
    table, reference = fits.glm.coef_table(), fits.reference
    statistic = "t" if reference.use_t else "z"
    np.testing.assert_allclose(table["coef"], reference.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(table["std_err"], reference.bse, rtol=1e-6)
    np.testing.assert_allclose(table[statistic], reference.tvalues, rtol=1e-6, atol=1e-6)
    # The logarithm of a p-value of 1e-100 has an error of 200 times that of z.
    np.testing.assert_allclose(table["p_value"], reference.pvalues, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(table[["ci_lower", "ci_upper"]], reference.conf_int(), rtol=1e-6, atol=1e-7)


def test_the_statistics(fits):
    ours, theirs = fits.glm.fit_statistics(*fits.lazy, **fits.weights), fits.reference
    for name in (
        "nobs",
        "df_model",
        "df_resid",
        "llf",
        "llnull",
        "deviance",
        "null_deviance",
        "pearson_chi2",
        "scale",
        "aic",
    ):
        expected = len(fits.y) if name == "nobs" else getattr(theirs, name)
        np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(ours.bic, theirs.info_criteria("bic"), rtol=1e-6)
    np.testing.assert_allclose(ours.mcfadden, 1 - theirs.llf / theirs.llnull, rtol=1e-6)


def test_the_wald_test_of_a_matrix(fits):
    matrix = np.zeros((2, len(fits.reference.params)))
    matrix[0, 1], matrix[1, 1], matrix[1, 2] = 1.0, 1.0, -1.0
    value = np.array([0.1, -0.2])
    ours = fits.glm.wald_test((matrix, value))
    dispersed = fits.glm.family_.has_dispersion
    theirs = fits.reference.wald_test((matrix, value), use_f=dispersed, scalar=True)
    np.testing.assert_allclose(ours.statistic, theirs.statistic, rtol=1e-6)
    np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=1e-4, atol=1e-12)
    assert (ours.df, ours.distribution) == (2, "F" if dispersed else "chi2")
    if dispersed:
        assert ours.df_denom == theirs.df_denom


def test_the_likelihood_ratio_and_the_score(fits):
    large, small = fits.reference, fits.by_statsmodels(sm.add_constant(fits.x[:, 1:], has_constant="add"))
    ratio = fits.glm.likelihood_ratio_test(*fits.lazy, null="x0", **fits.weights)
    scored = fits.glm.score_test(*fits.lazy, null="x0", **fits.weights)
    if fits.glm.family_.has_dispersion:
        np.testing.assert_allclose(ratio.statistic, (small.deviance - large.deviance) / large.scale, rtol=1e-6)
        np.testing.assert_allclose(ratio.p_value, stats.f.sf(ratio.statistic, 1, large.df_resid), rtol=1e-6)
        assert scored.distribution == "F"
    else:
        np.testing.assert_allclose(ratio.statistic, 2 * (large.llf - small.llf), rtol=1e-6)
        at = np.insert(small.params, 1, 0.0)
        score, information = large.model.score(at), -large.model.hessian(at, observed=False)
        np.testing.assert_allclose(scored.statistic, score @ np.linalg.solve(information, score), rtol=1e-6)


def test_the_residuals(fits):
    reference = fits.reference
    if fits.trials is not None:
        # Those of counts are times the trials in statsmodels; those of proportions are as ours.
        reference = fitted(fits.y, sm.add_constant(fits.x), fits.law(), var_weights=fits.trials)
    for kind in ("response", "pearson", "deviance", "working"):
        ours = fits.glm.residuals(*fits.lazy, kind, **fits.weights)
        theirs = getattr(reference, f"resid_{kind}")
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=kind)


def test_standard_errors_and_intervals_of_the_mean(fits):
    mean, std = fits.glm.predict(fits.lazy[0], return_std=True)
    theirs = fits.reference.get_prediction(sm.add_constant(fits.x, has_constant="add"))
    np.testing.assert_allclose(mean, theirs.predicted, rtol=1e-6)
    np.testing.assert_allclose(std, theirs.se, rtol=1e-5)
    with np.errstate(all="ignore"):  # statsmodels tries the link on zeros
        ends = np.sort(theirs.conf_int(alpha=0.05), axis=1)
    np.testing.assert_allclose(fits.glm.predict_interval(fits.lazy[0]), ends, rtol=1e-5)


CANONICAL = ("gaussian-identity", "binomial-logit", "poisson-log", "gamma-inverse")


@pytest.mark.parametrize("case", [c for c in CASES if f"{c.family}-{c.link}" in CANONICAL], ids=str)
def test_hc0(case):
    fits = Fits(case, "HC0")
    np.testing.assert_allclose(fits.glm.covariance_, fits.reference.cov_params(), rtol=2e-6, atol=1e-12)


def test_names_come_from_the_frame():
    data = sm.datasets.cpunish.load_pandas()
    glm = GLMRegressor("poisson", method=MLE()).fit(data.exog, data.endog)
    assert list(glm.coef_table().index) == ["intercept", *data.exog.columns]
    reference = sm.GLM(data.endog, sm.add_constant(data.exog), sm.families.Poisson()).fit(tol=1e-14)
    # In raw units, incomes next to proportions.
    np.testing.assert_allclose(glm.coef_table()["coef"], reference.params, rtol=1e-5)
