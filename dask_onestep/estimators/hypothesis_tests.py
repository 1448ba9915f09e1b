"""Tests that see the data again: likelihood ratios and scores of restricted fits by the estimator's own method."""

import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.inference import TestResult, score_statistic, score_statistic_beside
from dask_onestep.inference.hypotheses import Hypothesis, parse_hypothesis
from dask_onestep.inference.ratios import counted, doubts, news, note_of, ratio_test, statistic_error
from dask_onestep.kernels.likelihood.covariance import dispersion
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remarks, Remedy, joined, with_pointer
from dask_onestep.methods import MLE, Estimate, FitRecord, Problem, Surrogate, resolve_method
from dask_onestep.methods.driver import run, run_all
from dask_onestep.methods.link_test import fit_to_predictor
from dask_onestep.methods.restricted import (
    Restricted,
    Restriction,
    compare,
    compare_by_method,
    fit_restricted,
    goes_on,
    moments_at,
    unrestricted_end,
)
from dask_onestep.methods.solver import eliminating
from dask_onestep.methods.submodel import SubmodelEstimate


class HypothesisTests:
    """Likelihood-ratio and score tests."""

    record_: FitRecord

    def likelihood_ratio_test(
        self, X: Any, y: Any = None, null: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return the likelihood-ratio test of a null hypothesis.

        The restricted model is fitted by the method of the estimator, on the same pilot rows (drawn again by the same
        seed), with the columns of fixed coefficients moved into the offset.  One pass then computes both
        log-likelihoods, and λ² at both estimates.  Warnings of the restricted fit are issued, and are in the note of
        the result, as is the error of the statistic if an estimate is not at its maximum.

        Passes: those of the method, and one.  One for `Pilot` (the ratio of the pilot rows) and `Average` (the sum of
        the statistics of the K blocks, against χ²(K·s)).

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        null : str, list of str, dict, or tuple of two arrays
            Coefficients or terms of the formula that are zero jointly, name → value, constraints such as ``"x1 = x2"``
            (extra ``formula``), or (R, r) for R β = r; "intercept" included.  With more than two classes, the name of a
            covariate means its coefficients of all classes, and "class:name" that of one.

        Returns
        -------
        TestResult
            2{ℓ(β̂) − ℓ(β̂_0)} against χ²(s); for a family with a dispersion {D(β̂_0) − D(β̂)}/(s φ̂) against F(s, N −
            d), φ̂ of the larger model.  It is based on the likelihood for every `cov_type`, which the note reports.

        Raises
        ------
        ValueError
            If the null names no coefficient, an unknown or an aliased one, or the number of rows differs from that in
            ``fit``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> result = glm.likelihood_ratio_test(X, y, null=["x0", "x1"])
        >>> result.df, result.distribution, bool(result.p_value < 0.001)
        (2, 'chi2', True)
        """
        asked, problem = self._null(X, y, null, sample_weight, offset)
        result, said = self._ratio_tests(problem, {asked.text: (asked.fixed, asked.ties)})[asked.text]
        if isinstance(said, Exception):
            raise said
        self._issue([said])
        return result

    def score_test(
        self, X: Any, y: Any = None, null: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return Neyman's C(α) score test of a null hypothesis.

        The null model is fitted by the method of the estimator, on the same pilot rows, and one more pass sums the
        score there.  After a one-step fit the score of the nuisance coefficients is not exactly zero, so the statistic
        uses s₁ − I₁₂I₂₂⁻¹s₂, the part of the tested score that is orthogonal to it.

        Passes: those of the method, and one; one more if ``fit`` used a QR decomposition.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        null : str, list of str, dict, or tuple of two arrays
            Coefficients or terms of the formula that are zero jointly, name → value, constraints such as ``"x1 = x2"``
            (extra ``formula``), or (R, r) for R β = r; "intercept" included.  With more than two classes, the name of a
            covariate means its coefficients of all classes, and "class:name" that of one.

        Returns
        -------
        TestResult
            χ²(s), or F(s, N − d) with the dispersion of the larger model; by the expected information,
            whatever `cov_type` is.

        Raises
        ------
        ValueError
            As for `likelihood_ratio_test`.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> result = glm.score_test(X, y, null={"x1": -0.5})
        >>> result.null, bool(result.p_value > 0.01)
        ('x1 = -0.5', True)
        """
        asked, problem = self._null(X, y, null, sample_weight, offset)
        model, estimate = problem.model, self.record_.estimate
        method, hypothesis = self._same_pilot(), [(asked.fixed, asked.ties)]
        statistic, left, phi, found = self._scored(problem, method, hypothesis)
        if goes_on(method) and statistic_error(statistic / phi, np.nan, left / phi):
            statistic, left, phi, found = self._scored(problem, MLE(random_state=method.random_state), hypothesis)
        tested = ~found.model.is_free
        s, df_denom = int(np.isfinite(estimate.coef[tested]).sum()), self.record_.df_denom
        said = news(found.warnings, estimate.warnings)
        if error := statistic_error(statistic / phi, np.nan, left / phi):
            said = (error, *said)
        robust = _model_based("expected information", self.record_)
        result = TestResult.of(
            statistic / (s * phi) if model.family.has_dispersion else statistic,
            s,
            df_denom,
            null=asked.text,
            test="Score",
            note=note_of(said, robust),
        )
        self._issue([said])
        return result

    def _scored(
        self, problem: Problem, method: Any, hypothesis: Sequence[Restriction]
    ) -> tuple[float, float, float, Restricted]:
        """Return the score statistic, λ² of the nuisance coefficients, φ̂, and the restricted fit that they are of."""
        model, estimate, (null,) = problem.model, self.record_.estimate, hypothesis
        (found,) = fit_restricted(problem, method, hypothesis)
        if found.error is not None:
            raise found.error
        # Constraints between coefficients take the full matrix.
        problem = problem if null[1] else eliminating(problem, method)
        plans = [moments_at(problem, found.coef, orthogonal=estimate.solver == "qr")]
        if model.family.has_dispersion:
            plans.append(unrestricted_end(problem, estimate))
        (sums, basis), *end = (outcome.value for outcome in run_all(problem, plans, before=found.n_passes))
        self._check_rows(sums.n)
        if basis is None and not null[1]:
            tested = ~found.model.is_free
            statistic = score_statistic(sums.score, sums.information, tested, intercept=model.has_intercept)
        else:
            nuisance = found.model.directions if basis is None else basis.along(found.model.directions)
            statistic = score_statistic_beside(sums.score, sums.information, nuisance)
        # What a step in all coefficients gains beyond the statistic, a step in the nuisance coefficients gains.
        whole = factorize(sums.information, intercept=basis is None and model.has_intercept).decrement(sums.score)
        return statistic, whole - statistic, end[0][1] if end else 1.0, found

    def drop1(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> pd.DataFrame:
        """Return the likelihood-ratio test of each term: the model compared with the model without it.

        Terms are those of the formula, the columns of a table, or the columns of X.  As in R's ``drop1``, a term that
        another one contains, as ``a:b`` contains ``a``, is not dropped.  All restricted fits use the method of the
        estimator and share the passes and the pilot rows.  With more than two classes a term is dropped from all of
        them at once.

        Passes: as many as the slowest restricted fit takes, and one for the log-likelihoods: 3 for `OneStep`, and one
        for each further step.  One more if ``fit`` used a QR decomposition.  One in all for `Pilot` and `Average`.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.

        Returns
        -------
        DataFrame
            One row per term; columns df, statistic, p_value, loglik and deviance of the model without it, and note, the
            warnings of its fit.  NaN for aliased terms, and if a fit failed; the note has the reason.

        Raises
        ------
        ValueError
            If the estimator's method has no likelihood-ratio test, or no restricted model could be fitted.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.drop1(X, y).index.tolist()
        ['x0', 'x1']
        """
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        terms = {term: names for term, names in self.record_.by_term.items() if term not in self.record_.contained}
        nulls: dict[str, Restriction] = {
            term: (dict.fromkeys(names, 0.0), ()) for term, names in terms.items() if not self._aliased(names)
        }
        tests = self._ratio_tests(problem, nulls)
        errors = [said for _, said in tests.values() if isinstance(said, Exception)]
        if errors and len(errors) == len(tests):
            raise errors[0]
        self._issue([said for _, said in tests.values() if not isinstance(said, Exception)])
        rows = {}
        for term in terms:
            result, said = tests.get(term, (None, "Aliased."))
            if result is None:
                rows[term] = (*[np.nan] * 5, str(said))
            else:
                rows[term] = (result.df, result.statistic, result.p_value, *result.at_null, result.note)
        columns = ["df", "statistic", "p_value", "loglik", "deviance", "note"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def link_test(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> TestResult:
        """Return Pregibon's link test: whether the square of the linear predictor adds to the model.

        The model is fitted again with an intercept, the linear predictor and its square as the only columns (Stata's
        ``linktest``).  If link and columns are correct, the coefficient of the square is 0; it differs from 0 if an
        interaction or a nonlinear term is missing, or for another link.

        Passes: about four, of three columns each.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.

        Returns
        -------
        TestResult
            The squared z or t of the square: χ²(1), or F(1, N − 3) if the dispersion is estimated.  It is model-based
            for every `cov_type`.  The note has the coefficient.

        Raises
        ------
        ValueError
            For more than two classes, where the linear predictor has two distinct values only, or if the number of rows
            differs from that in ``fit``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> result = GLMClassifier().fit(X, y).link_test(X, y)
        >>> result.null, result.df, bool(result.p_value > 0.01)
        ('no effect of the squared linear predictor', 1, True)
        """
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        record = self.record_
        if record.model.likelihood.n_predictors > 1:
            raise ValueError(
                "link_test is for one linear predictor per row, not for more than two classes. Fit one class against "
                "the rest."
            )
        fit = run(problem, fit_to_predictor(problem, record)).value
        self._check_rows(fit.n)
        if np.isnan(fit.coef):
            raise ValueError(
                "The linear predictor has too few distinct values for its square to be identified: the link test "
                "needs at least three."
            )
        df_denom, phi = np.nan, 1.0
        if fit.pearson is not None:
            df_denom = (fit.weight if record.model.weight_type == "frequency" else fit.n) - 3
            phi = dispersion(fit.pearson, df_denom)
        std_err = fit.std_err * np.sqrt(phi)
        return TestResult.of(
            (fit.coef / std_err) ** 2,
            1,
            df_denom,
            null="no effect of the squared linear predictor",
            test="Link",
            note=joined(
                [f"Its coefficient is {fit.coef:.4g} (std err {std_err:.2g}).", _model_based("information", record)]
            ),
        )

    def _ratio_tests(self, problem: Problem, nulls: dict[str, Restriction]) -> dict[str, Any]:
        """Return for each null hypothesis its test and warnings, or None and the error that ended it."""
        estimate, method = self.record_.estimate, self._same_pilot()
        if hasattr(method, "likelihood_ratio"):
            found = compare_by_method(problem, method, estimate, list(nulls.values()))
            return {text: _own_ratio(each, text, estimate) for text, each in zip(nulls, found, strict=True)}
        compared = compare(problem, method, estimate, list(nulls.values()))
        self._check_rows(compared.sums.n)
        # Where λ² is known, warnings of the distance to the maximum have been looked into.
        doubt = doubts(estimate.warnings) if np.isnan(compared.decrements[0]) else ""
        more = joined([doubt, _model_based("likelihood", self.record_)])
        tests: dict[str, Any] = {}
        for number, (text, fit) in enumerate(zip(nulls, compared.fits, strict=True), start=1):
            if fit.error is not None:
                tests[text] = None, fit.error
                continue
            result, said = ratio_test(
                compared.sums,
                number,
                self.record_.rank - fit.rank,
                text=text,
                dispersion=compared.dispersion,
                df_denom=self.record_.df_denom,
                decrements=compared.decrements.tolist(),
                completed=not isinstance(method, Surrogate),
            )
            said = (*said, *news(fit.warnings, estimate.warnings))
            at_null = float(compared.sums.loglik[number]), float(compared.sums.deviance[number])
            note = joined([result.note, note_of(said, more)])
            tests[text] = replace(result, note=note, at_null=at_null), said
        return tests

    def _null(self, X: Any, y: Any, null: Any, sample_weight: Any, offset: Any) -> tuple[Hypothesis, Problem]:
        """Return a hypothesis, and the fitted model with data."""
        check_is_fitted(self)
        asked = parse_hypothesis(
            null, self.record_.names, self.record_.by_regressor, self.record_.by_term, self.record_.coef
        )
        used = [name for name, some in zip(self.record_.names, (asked.matrix != 0).any(axis=0), strict=True) if some]
        if aliased := [name for name in used if self._aliased([name])]:
            raise catalogue.ALIASED_IN_HYPOTHESIS.error(text=", ".join(aliased))
        return asked, self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]

    def _aliased(self, names: Iterable[str]) -> bool:
        """Return whether all of some coefficients are aliased."""
        coef = dict(zip(self.record_.names, self.record_.coef, strict=True))
        return all(np.isnan(coef[name]) for name in names)

    def _same_pilot(self) -> Any:
        """Return the method of the fit, with the seed that it drew."""
        if isinstance(self.record_.estimate, SubmodelEstimate):
            raise ValueError(
                "A submodel was not fitted by itself, so tests that fit restricted models do not exist: use wald_test, "
                "or fit it with its own terms."
            )
        method = resolve_method(self.method)  # type: ignore[attr-defined]
        if (now := type(method).__name__) != (used := self.record_.method):
            raise ValueError(f"The method was {used} when the model was fitted and is now {now}: fit the model again.")
        seed = self.record_.estimate.random_state
        if seed is None or not hasattr(method, "random_state"):
            return method
        method = copy(method)
        method.random_state = seed
        return method

    def _check_rows(self, n: int) -> None:
        fitted = self.record_.n_samples
        if n != fitted:
            raise ValueError(f"The data have {n:,} usable rows, but fit used {fitted:,}: pass the data used in fit.")

    def _issue(self, tests: list[Remarks]) -> None:
        for category, text in counted(tests):
            warnings.warn(with_pointer(category, text), category, stacklevel=3)


def _model_based(basis: str, record: FitRecord) -> str:
    """Return a note that a test does not use the robust covariance, if there is one."""
    if record.cov_type == "nonrobust":
        return ""
    return catalogue.NOT_ROBUST.text(basis=basis, given=Remedy("cov_type", record.cov_type))


def _own_ratio(found: tuple[float, float, float] | Exception, text: str, estimate: Estimate) -> tuple[Any, Any]:
    if isinstance(found, Exception):
        return None, found
    statistic, df, df_denom = found
    if df == 0:
        return TestResult(0.0, 0, df_denom, "chi2", 1.0, text, "Likelihood ratio", "Nothing is restricted."), ()
    return TestResult.of(
        max(statistic, 0.0), df, df_denom, null=text, test="Likelihood ratio", note=doubts(estimate.warnings)
    ), ()
