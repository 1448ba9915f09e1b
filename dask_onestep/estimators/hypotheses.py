"""Tests that see the data again: likelihood ratios and scores of restricted fits by the estimator's own method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.inference import TestResult, parse_null, score_statistic, score_statistic_beside
from dask_onestep.inference.hypotheses import null_text
from dask_onestep.kernels.likelihood import log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.methods import Problem, drop_each, resolve_method
from dask_onestep.methods.solving import orthogonalized, solve

__all__ = ["Hypotheses"]


class Hypotheses:
    """Likelihood-ratio and score tests."""

    _fitted_model: Model

    def likelihood_ratio_test(
        self, X: Any, y: Any = None, null: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return the likelihood-ratio test of a null hypothesis.

        The restricted model is fitted by the estimator's own method, on the same pilot rows (redrawn by
        the same seed), the fixed coefficients' columns moved into the offset.  One pass then gives both
        log-likelihoods.  As neither fit need be at its maximum, the statistic can come out slightly
        negative; it is then zero, and the result says so.

        Passes: those of the method, and one.  For `Pilot`, the ratio of the pilot rows, and `Average`, the sum
        of the blocks' own statistics against χ²(K·s): one.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        null : str, list of str, or dict
            Coefficients that are zero jointly, or name → value; "intercept" included.  Of more than two classes a
            covariate stands for its coefficients of all classes, and "class:name" for one.

        Returns
        -------
        TestResult
            2{ℓ(β̂) − ℓ(β̂_0)} against χ²(s); for a family with a dispersion {D(β̂_0) − D(β̂)}/(s φ̂) against
            F(s, N − d), φ̂ of the larger model.

        Raises
        ------
        ValueError
            If the null names no coefficient, an unknown or an aliased one, or the rows are not as many as
            in ``fit``.

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
        values, problem = self._null(X, y, null, sample_weight, offset)
        estimate = self.estimate_  # type: ignore[attr-defined]
        method = self._same_pilot()
        restricted = problem.restricted(values)
        text = null_text(values, problem.model.by_regressor)
        if hasattr(method, "likelihood_ratio"):
            # Methods whose estimates maximise no likelihood of all rows have a ratio of their own.
            if estimate.solver == "qr":
                problem, restricted = orthogonalized(problem), orthogonalized(restricted)
            statistic, df, df_denom = method.likelihood_ratio(problem, restricted)
            return _result(statistic, df, df_denom, text)
        found = self._fit_restricted(method, restricted)
        coefs = np.stack([np.nan_to_num(estimate.coef), embed(problem, values, found)])
        sums = problem.value(problem.total(log_likelihoods, coefs, name="log-likelihoods"))
        self._check_rows(sums.n)
        rank = int(np.isfinite(estimate.coef).sum())
        df = rank - int(np.isfinite(found).sum())
        return self._ratio(sums.loglik, sums.deviance, 1, df, text)

    def score_test(
        self, X: Any, y: Any = None, null: Any = None, *, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return Neyman's C(α) score test of a null hypothesis.

        The null model is fitted by the estimator's own method, on the same pilot rows, and one pass more
        takes the score there.  The score of the tested coefficients is freed of the nuisance ones',
        s₁ − I₁₂I₂₂⁻¹s₂, which a one-step fit does not bring to zero.

        Passes: those of the method, and one; one more where ``fit`` solved by QR.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        null : str, list of str, or dict
            Coefficients that are zero jointly, or name → value; "intercept" included.  Of more than two classes a
            covariate stands for its coefficients of all classes, and "class:name" for one.

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
        values, problem = self._null(X, y, null, sample_weight, offset)
        model, estimate = problem.model, self.estimate_  # type: ignore[attr-defined]
        found = self._fit_restricted(self._same_pilot(), problem.restricted(values))
        tested = np.array([name in values for name in model.names])
        coef, basis = embed(problem, values, found), None
        if estimate.solver == "qr":
            problem = orthogonalized(problem)
            basis = problem.model.basis
        sums = problem.value(problem.moments(coef if basis is None else basis.orthogonal(coef)))
        self._check_rows(sums.n)
        if basis is None:
            statistic = score_statistic(sums.score, sums.information, tested, intercept=model.has_intercept)
        else:
            classes = max(1, len(model.outcomes))
            nuisance = np.kron(np.eye(classes), basis.directions)[:, ~tested[np.tile(basis.kept, classes)]]
            statistic = score_statistic_beside(sums.score, sums.information, nuisance)
        robust = self.cov_type != "nonrobust"  # type: ignore[attr-defined]
        note = "By the expected information; wald_test is robust." if robust else ""
        s, df_denom = int(tested.sum()), self._df_denom()  # type: ignore[attr-defined]
        if model.family.has_dispersion:
            statistic = statistic / (s * estimate.dispersion)
        return TestResult.of(
            statistic, s, df_denom, null=null_text(values, model.by_regressor), test="Score", note=note
        )

    def drop1(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> pd.DataFrame:
        """Return the likelihood-ratio test of each covariate alone: the model against that without it.

        All restricted fits share their passes: many β in one reading.  They are by the estimator's own
        method, on the same pilot rows.  Of more than two classes a covariate goes from all of them at once, with
        C − 1 degrees of freedom.

        Passes: 3 for `OneStep` (pilot, step, log-likelihoods), and one for each further step; for `MLE` as
        many as the slowest restricted fit takes, about 4.  One more where ``fit`` solved by QR.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.

        Returns
        -------
        DataFrame
            One row a covariate; columns df, statistic, p_value, loglik and deviance of the model
            without it.  NaN for aliased ones.

        Raises
        ------
        ValueError
            If the estimator's method is neither `OneStep` nor `MLE`.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.drop1(X, y).index.tolist()
        ['x0', 'x1']
        """
        check_is_fitted(self)
        estimate = self.estimate_  # type: ignore[attr-defined]
        problem = self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]
        groups = {name: group for name, group in problem.model.by_regressor.items() if name != "intercept"}
        tested = {name: group for name, group in groups.items() if not self._aliased(group)}
        coefs = drop_each(problem, self._same_pilot(), estimate, list(tested.values()))
        sums = problem.value(
            problem.total(log_likelihoods, np.vstack([np.nan_to_num(estimate.coef), coefs]), name="log-likelihoods")
        )
        self._check_rows(sums.n)
        rows = {}
        for number, (name, group) in enumerate(tested.items(), start=1):
            test = self._ratio(sums.loglik, sums.deviance, number, len(group), f"{name} = 0")
            rows[name] = (test.df, test.statistic, test.p_value, sums.loglik[number], sums.deviance[number])
        columns = ["df", "statistic", "p_value", "loglik", "deviance"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).reindex(list(groups))

    def _null(self, X: Any, y: Any, null: Any, sample_weight: Any, offset: Any) -> tuple[dict[str, float], Problem]:
        """Return a hypothesis as name → value, and the fitted model beside data."""
        check_is_fitted(self)
        values = parse_null(null, self._fitted_model.by_regressor)
        if aliased := self._aliased(values):
            raise ValueError(f"The null names aliased coefficients, which have no estimate: {', '.join(aliased)}.")
        return values, self._problem(X, y, sample_weight, offset)  # type: ignore[attr-defined]

    def _ratio(self, loglik: np.ndarray, deviance: np.ndarray, number: int, df: int, text: str) -> TestResult:
        """Return the test of candidate `number` against candidate 0, the larger model."""
        df_denom = self._df_denom()  # type: ignore[attr-defined]
        if np.isnan(df_denom):
            return _result(2.0 * (loglik[0] - loglik[number]), df, df_denom, text)
        phi = self.estimate_.dispersion  # type: ignore[attr-defined]
        return _result((deviance[number] - deviance[0]) / (df * phi), df, df_denom, text)

    def _fit_restricted(self, method: Any, restricted: Problem) -> np.ndarray:
        if not restricted.model.names:
            return np.empty(0)
        return solve(restricted, method).coef

    def _same_pilot(self) -> Any:
        """Return the method as it was used, with the seed that it drew."""
        method = resolve_method(self.method)  # type: ignore[attr-defined]
        seed = getattr(self.estimate_, "random_state", None)  # type: ignore[attr-defined]
        if seed is None or not hasattr(method, "random_state"):
            return method
        return type(method)(**method.get_params(deep=False) | {"random_state": seed})

    def _aliased(self, names: Iterable[str]) -> list[str]:
        """Return which of some coefficients are aliased."""
        coef = dict(zip(self._fitted_model.names, self.estimate_.coef, strict=True))  # type: ignore[attr-defined]
        return [name for name in names if np.isnan(coef[name])]

    def _check_rows(self, n: int) -> None:
        fitted = self.n_samples_  # type: ignore[attr-defined]
        if n != fitted:
            raise ValueError(f"The data has {n:,} usable rows and fit had {fitted:,}: pass the data of fit.")


def embed(problem: Problem, values: dict[str, float], coef: np.ndarray) -> np.ndarray:
    """Return the coefficients of a restricted fit among all of the model's.

    Parameters
    ----------
    problem : Problem
        The unrestricted problem.
    values : dict
        Fixed coefficients, by name.
    coef : ndarray
        The others, in order; NaN for aliased ones.

    Returns
    -------
    ndarray of shape (d,)
        All, aliased ones as 0.
    """
    names = problem.model.names
    out = np.array([values.get(name, 0.0) for name in names])
    out[[name not in values for name in names]] = np.nan_to_num(coef)
    return out


def _result(statistic: float, df: float, df_denom: float, text: str) -> TestResult:
    note = ""
    if statistic < 0:
        note = f"The statistic came out at {statistic:.2g}, for want of iterations, and was set to 0."
        statistic = 0.0
    if df == 0:
        return TestResult(0.0, 0, df_denom, "chi2", 1.0, text, "Likelihood ratio", "Nothing is restricted.")
    return TestResult.of(float(statistic), df, df_denom, null=text, test="Likelihood ratio", note=note)
