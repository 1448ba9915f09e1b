"""Tables and tests of a fitted model, which need no data."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.covariances import refuse_beyond_rank
from dask_onestep.estimators.inputs import Reading, total_of
from dask_onestep.inference import TestResult, coefficient_table, wald
from dask_onestep.inference.facts import few_clusters, link_name, summarize, title, verdict
from dask_onestep.inference.hypotheses import named_coefficients, parse_hypothesis
from dask_onestep.inference.summaries import Summary
from dask_onestep.inference.tables import AnytimeValid, exponentiated, simultaneous_quantile, standardized
from dask_onestep.kernels.likelihood.spread import Spread, spread_sums
from dask_onestep.kernels.matrices.symmetric import minor
from dask_onestep.methods import FitRecord, resolve_method

# The entry of the response among standard deviations.
_RESPONSE = "(response)"

# Links whose exponentiated coefficients are ratios of odds, of means, or of hazards.
_RATIOS = ("logit", "log", "cloglog")


class Reporting(Reading):
    """Coefficient tables, intervals, Wald tests, summaries, and standard deviations for standardized coefficients."""

    record_: FitRecord

    def coef_table(
        self, level: float = 0.95, *, exponentiate: bool = False, standardize: bool | pd.Series = False
    ) -> pd.DataFrame:
        """Return coefficients with standard errors, tests and intervals.

        Parameters
        ----------
        level : float, default=0.95
            Level of the intervals.
        exponentiate : bool, default=False
            Whether to return exp(β̂): odds ratios of a logit, rate ratios of a log link, hazard ratios of a cloglog.
            Intervals are exponentiated too, standard errors are by the delta method, and the tests are those of β = 0.
        standardize : bool or Series, default=False
            Whether to return standardized coefficients: the effect of one standard deviation of each column, and for
            the normal distribution with the identity link in standard deviations of the response.  The intercept has
            none.  True is for that model, whose fit has computed the standard deviations; for others pass the result of
            ``standard_deviations(X, y)``.

        Returns
        -------
        DataFrame
            One row per coefficient, "intercept" first; columns coef, std_err, z, p_value, ci_lower, ci_upper.  The
            statistic is Student's t, in a column named t, if the dispersion is estimated (N − d degrees of freedom) and
            with clusters (G − 1).

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, the link has no ratios, or standard deviations are unknown.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.coef_table().columns.tolist()
        ['coef', 'std_err', 'z', 'p_value', 'ci_lower', 'ci_upper']
        """
        check_is_fitted(self)
        record = self.record_
        table = coefficient_table(record.names, record.coef, record.covariance, level, record.df_t)
        if standardize is not False:
            table = standardized(table, self._standardizing_factors(standardize))
        if not exponentiate:
            return table
        if (link := link_name(record)) not in _RATIOS:
            raise ValueError(
                f"exponentiate=True needs one of the links {', '.join(map(repr, _RATIOS))}, whose coefficients are "
                f"logarithms of ratios; this model has link {link!r}."
            )
        return exponentiated(table)

    def conf_int(
        self,
        level: float = 0.95,
        *,
        simultaneous: bool | str | Sequence[str] = False,
        anytime_valid: bool | float = False,
    ) -> pd.DataFrame:
        """Return confidence intervals of the coefficients; no pass over the data.

        Parameters
        ----------
        level : float, default=0.95
            Their level.
        simultaneous : bool, str or list of str, default=False
            Whether all intervals together cover with probability `level`, by the distribution of max|t| under the
            estimated correlations of the coefficients, as in R's multcomp.  Names of coefficients or terms: the table
            has only these, and they are covered jointly.
        anytime_valid : bool or float, default=False
            Whether intervals cover at all sample sizes simultaneously, with probability `level`, so that the analysis
            may be repeated as often as desired while data accumulate.  A number is the number of rows at which they are
            about narrowest, to be chosen before seeing the data; True is narrowest with few rows (g = 1 as in R's
            avlm).

        Returns
        -------
        DataFrame
            One row per coefficient; columns ci_lower, ci_upper, and with `anytime_valid` e_value, the e-value of β = 0:
            the hypothesis may be rejected at level α at any time at which it is at least 1/α.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, a name is unknown, or `anytime_valid` is not positive.

        Notes
        -----
        Intervals for all sample sizes are those of a normal mixture [1]_.  They are exact for normal errors of constant
        variance, and asymptotic otherwise, as for generalized linear models and robust covariances: the first analysis
        should use a sample for which the estimate is approximately normal.  With both options the level of each
        interval is Bonferroni's.

        References
        ----------
        .. [1] Lindon, Ham, Tingley, Bojinov, "Anytime-valid linear models and regression adjusted causal inference in
               randomized experiments", arXiv 2210.08589.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> narrow, wide = glm.conf_int(0.5), glm.conf_int(0.99)
        >>> bool((wide["ci_lower"] < narrow["ci_lower"]).all())
        True
        >>> together, always = glm.conf_int(simultaneous=["x0", "x1"]), glm.conf_int(anytime_valid=True)
        >>> together.index.tolist(), always.columns.tolist()
        (['x0', 'x1'], ['ci_lower', 'ci_upper', 'e_value'])
        """
        table, record = self.coef_table(level), self.record_
        record.require_covariance()
        names = list(table.index)
        if not isinstance(simultaneous, (bool, np.bool_)):
            names = named_coefficients(simultaneous, record.by_regressor, record.by_term, "simultaneous")
            table = table.loc[names]
        covered = [record.names.index(name) for name in names if table.std_err[name] > 0]
        together = bool(simultaneous) and len(covered) > 1
        columns = ["ci_lower", "ci_upper"]
        if anytime_valid or not isinstance(anytime_valid, (bool, np.bool_)):
            rule = self._anytime_valid(anytime_valid, 1 - level)
            half = rule.half_width((1 - level) / (len(covered) if together else 1))
            table = table.assign(e_value=rule.e_values(table.iloc[:, 2].to_numpy()))
            columns.append("e_value")
        elif together:
            half = simultaneous_quantile(minor(record.covariance, np.array(covered)), level, record.df_t)
        else:
            return table[columns]
        width = half * table.std_err
        return table.assign(ci_lower=table.coef - width, ci_upper=table.coef + width)[columns]

    def multiple_tests(
        self, method: str = "fdr_bh", *, alpha: float = 0.05, terms: str | Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return p-values that are adjusted for testing many coefficients; no pass over the data.

        Parameters
        ----------
        method : str, default="fdr_bh"
            As for statsmodels' ``multipletests``: "fdr_bh" controls the false discovery rate, "fdr_by" does so under
            any dependence, "holm" and others control the family-wise error rate.
        alpha : float, default=0.05
            The rate.
        terms : str or list of str, optional
            Terms or coefficients to test; by default all but the intercept.

        Returns
        -------
        DataFrame
            One row per coefficient; columns p_value, p_adjusted, rejected.  NaN of coefficients without a test.

        Raises
        ------
        ImportError
            If statsmodels is not installed.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(5000, 4, coef=[0.5, 1.0, 0.0, -0.5, 0.0], family="poisson")
        >>> tests = GLMRegressor("poisson").fit(X, y).multiple_tests()
        >>> tests.index[tests["rejected"]].tolist()
        ['x0', 'x2']
        """
        try:
            from statsmodels.stats.multitest import multipletests
        except ImportError as error:
            raise ImportError("multiple_tests needs statsmodels: pip install statsmodels.") from error
        record = self.record_
        record.require_covariance()
        given = list(record.by_term) if terms is None else terms
        asked = named_coefficients(given, record.by_regressor, record.by_term, "terms")
        table = self.coef_table().loc[asked, ["p_value"]].assign(p_adjusted=np.nan, rejected=False)
        tested = table.index[table["p_value"].notna()]
        if len(tested):
            rejected, adjusted, _, _ = multipletests(table.loc[tested, "p_value"], alpha=alpha, method=method)
            table.loc[tested, "rejected"], table.loc[tested, "p_adjusted"] = rejected, adjusted
        return table

    def _anytime_valid(self, planned: bool | float, alpha: float) -> AnytimeValid:
        """Return the rule of intervals for all sample sizes."""
        rows = None if isinstance(planned, (bool, np.bool_)) else float(planned)
        if rows is not None and not 0 < rows < np.inf:
            raise ValueError(f"anytime_valid={planned!r} must be True, False or a positive number of rows.")
        return AnytimeValid(self.record_.n_observations, self.record_.df_t, rows, alpha)

    def wald_test(self, null: Any) -> TestResult:
        """Return the Wald test of a null hypothesis; no pass over the data.

        Parameters
        ----------
        null : str, list of str, dict, or tuple of two arrays
            Coefficients or terms of the formula that are zero jointly, name → value, constraints such as ``"x1 = x2"``
            (extra ``formula``), or (R, r) for R β = r, or R for r = 0.  With more than two classes, the name of a
            covariate means its coefficients of all classes, and "class:name" that of one.

        Returns
        -------
        TestResult
            χ²(s); F(s, N − d) for families with a dispersion; F(s, G − 1) with G clusters.

        Raises
        ------
        ValueError
            If the hypothesis concerns an aliased coefficient, or has more than G − 1 restrictions with G clusters.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> result = glm.wald_test({"x0": 0.1, "x1": -0.5})
        >>> result.null, result.df
        ('x0 = 0.1, x1 = -0.5', 2)
        """
        check_is_fitted(self)
        record = self.record_
        record.require_covariance()
        asked = parse_hypothesis(null, record.names, record.by_regressor, record.by_term, record.coef)
        refuse_beyond_rank(asked, record)
        fixed = np.isfinite(record.coef) & ~record.is_estimated
        if (concerned := (asked.matrix[:, fixed] != 0).any(axis=0)).any():
            names = ", ".join(compress(compress(record.names, fixed), concerned))
            raise ValueError(f"The submodel fixes {names} at zero: test it in the full model.")
        result = wald(record.coef, record.covariance, asked.matrix, asked.value, record.df_t, asked.text)
        return replace(result, note=" ".join(few_clusters(record)))

    def summary(
        self, X: Any = None, y: Any = None, *, sample_weight: Any = None, offset: Any = None, level: float = 0.95
    ) -> Summary:
        """Return a summary of the fit: a table in a terminal, HTML in a notebook.

        Without data it has the statistics that the fit has computed: among them the events of two classes, Pearson's
        χ²/df of counts, log-likelihood, AIC, and R² of least squares or, for two classes and Poisson models, a
        pseudo-R².  Those marked "(estimated)" are extrapolated from the pilot rows.  With data the summary includes
        ``fit_statistics``, for one pass.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``, or nothing.
        level : float, default=0.95
            Level of the intervals.

        Returns
        -------
        Summary
            Printed or displayed by itself.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> text = str(glm.summary())
        >>> text.splitlines()[0]
        'GLMRegressor: poisson with log link, by OneStep'
        >>> max(len(line) for line in text.splitlines())
        80
        """
        table, seconds = self.coef_table(level), getattr(self, "fit_time_", np.nan)
        fit = None
        if X is not None:
            fit = self.fit_statistics(X, y, sample_weight=sample_weight, offset=offset)  # type: ignore[attr-defined]
        return summarize(self.record_, type(self).__name__, self._method(), table, level, fit, seconds)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return scikit-learn's diagram for a notebook, with the verdict first once fitted."""
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle and hasattr(self, "estimate_"):
            name, said = title(self.record_, type(self).__name__), verdict(self.record_, self._method())
            first = f"<b>{escape(name)}</b><br>{escape(said)}"
            bundle["text/html"] = f"<p>{first}</p>{bundle['text/html']}"
        return bundle

    def _method(self) -> Any:
        return resolve_method(self.method)  # type: ignore[attr-defined]

    def standard_deviations(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> pd.Series:
        """Return the standard deviations of the design's columns and of the response, for `coef_table`.  One pass.

        Parameters
        ----------
        X, y, sample_weight
            The data of ``fit``.

        Returns
        -------
        Series
            One value per coefficient, that of its column, with the divisor n − 1, and weighted if rows are; NaN for the
            intercept.  The last entry, "(response)", is that of y; NaN for labels.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> table = glm.coef_table(standardize=glm.standard_deviations(X, y))
        >>> bool((table["z"] == glm.coef_table()["z"])[["x0", "x1"]].all())
        True
        """
        check_is_fitted(self)
        self._require(sample_weight=sample_weight)
        problem = self._beside(self._data(X, y=y, weights=sample_weight))
        model = problem.model
        sums = total_of(problem, spread_sums, name="standard-deviations")
        *columns, response = sums.deviations(frequency=model.weight_type == "frequency").tolist()
        found = pd.Series(columns * model.likelihood.n_predictors, index=list(model.names))
        return pd.concat([found, pd.Series({_RESPONSE: np.nan if model.classify else response})])

    def _standardizing_factors(self, standardize: bool | pd.Series) -> pd.Series:
        """Return by what coefficients are multiplied to be standardized."""
        record = self.record_
        deviations = standardize if isinstance(standardize, pd.Series) else _known_deviations(record)
        if deviations is None:
            raise ValueError(
                "The fit does not know the standard deviations of its columns: pass "
                "standardize=glm.standard_deviations(X, y), which takes one pass."
            )
        return deviations / deviations[_RESPONSE] if record.model.quadratic else deviations


def _known_deviations(record: FitRecord) -> pd.Series | None:
    """Return standard deviations from the record of least squares with an intercept; None of other models.

    Its information is Σ w x x', and fitted values and residuals add up to the squares of y.
    """
    model, sums = record.model, record.sums
    if not model.quadratic or not model.has_intercept or sums is None or record.sums_estimated:
        return None
    if model.has_offset or sums.pearson is None:
        return None
    information, coef = np.nan_to_num(sums.information), np.nan_to_num(record.coef)
    square = float(coef @ information @ coef) + float(sums.pearson)
    spread = Spread(
        sums.n,
        float(sums.weight),
        np.append(information[0], information[0] @ coef),
        np.append(np.diag(information), square),
    )
    found = spread.deviations(frequency=model.weight_type == "frequency")
    return pd.Series(found, index=[*record.names, _RESPONSE])
