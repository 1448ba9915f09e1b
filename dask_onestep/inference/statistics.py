"""Wald and score statistics, and the result of a test."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from scipy import linalg, stats

from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct, minor
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue


def wald(
    coef: np.ndarray,
    covariance: np.ndarray | DiagonalPlusProduct,
    restriction: np.ndarray,
    value: np.ndarray,
    df_denom: float,
    text: str,
) -> TestResult:
    """Return the Wald test of R β = r.

    Parameters
    ----------
    coef : ndarray of shape (d,)
        β̂.
    covariance : ndarray or DiagonalPlusProduct of shape (d, d)
        Its covariance.
    restriction : ndarray of shape (s, d)
        R.
    value : ndarray of shape (s,)
        r.
    df_denom : float
        Denominator degrees of freedom of the F test; NaN for χ².
    text : str
        The hypothesis as text.

    Returns
    -------
    TestResult
        (Rβ̂ − r)'(R C R')⁻¹(Rβ̂ − r), over s for F.

    Raises
    ------
    ValueError
        If R has dependent rows, or concerns an aliased coefficient.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference import wald
    >>> coef, covariance = np.array([1.0, 2.0]), np.diag([0.25, 1.0])
    >>> print(wald(coef, covariance, np.array([[0.0, 1.0]]), np.zeros(1), np.nan, "x0 = 0"))
    Wald test of x0 = 0: chi2(1) = 4, p = 0.046.
    """
    used = (restriction != 0).any(axis=0)
    if np.isnan(coef[used]).any():
        raise catalogue.ALIASED_IN_HYPOTHESIS.error(text=text)
    gap = restriction[:, used] @ coef[used] - value
    if (statistic := _of_levels(gap, covariance, restriction)) is not None:
        return _result(statistic, len(value), df_denom, text)
    spread = restriction[:, used] @ minor(covariance, used) @ restriction[:, used].T
    if np.isnan(spread).any():
        raise ValueError(
            f"The hypothesis {text} involves a coefficient whose standard error is undefined (NaN): drop it."
        )
    scale = np.sqrt(np.diag(spread))
    try:
        lower = linalg.cholesky(spread / np.outer(scale, scale), lower=True)
    except (linalg.LinAlgError, ValueError) as error:
        raise catalogue.DEPENDENT_RESTRICTIONS.error(text=text) from error
    half = linalg.solve_triangular(lower, gap / scale, lower=True)
    return _result(float(half @ half), len(value), df_denom, text)


def _result(statistic: float, s: int, df_denom: float, text: str) -> TestResult:
    return TestResult.of(statistic if np.isnan(df_denom) else statistic / s, s, df_denom, null=text, test="Wald")


def _of_levels(gap: np.ndarray, covariance: Any, restriction: np.ndarray) -> float | None:
    """Return g'(RCR')⁻¹g where R selects levels, so that RCR' is a diagonal matrix plus HH'; otherwise None.

    By Woodbury's identity, with E the diagonal: g'E⁻¹g − g'E⁻¹H(1 + H'E⁻¹H)⁻¹H'E⁻¹g.
    """
    if not isinstance(covariance, DiagonalPlusProduct) or covariance.inner is not None:
        return None
    rows, at = np.nonzero(restriction)
    single = np.array_equal(rows, np.arange(len(restriction))) and len(set(at.tolist())) == len(at)
    if not (single and (covariance.own[at] > 0).all() and covariance.known[at].all()):
        return None
    factors = restriction[rows, at]
    root = np.abs(factors) * np.sqrt(covariance.own[at])
    half = (covariance.half[at].T * (factors / root)).T
    whitened = gap / root
    rest = linalg.cho_solve(linalg.cho_factor(np.eye(half.shape[1]) + half.T @ half), half.T @ whitened)
    left = whitened - half @ rest
    return float(left @ left + rest @ rest)


def score_statistic(score: np.ndarray, information: np.ndarray, tested: np.ndarray, *, intercept: bool = True) -> float:
    """Return the C(α) statistic (s₁ − I₁₂I₂₂⁻¹s₂)'(I₁₁ − I₁₂I₂₂⁻¹I₂₁)⁻¹(s₁ − I₁₂I₂₂⁻¹s₂).

    Parameters
    ----------
    score : ndarray of shape (d,)
        s at the restricted estimate, at φ = 1.
    information : ndarray of shape (d, d)
        I there.
    tested : ndarray of shape (d,) of bool
        The coefficients that the hypothesis sets.
    intercept : bool
        Whether the first coefficient is the intercept.

    Returns
    -------
    float
        The statistic; aliased columns count neither way.

    Notes
    -----
    It is s'I⁻¹s − s₂'I₂₂⁻¹s₂, the gain of a scoring step less that of a step in the nuisance
    coefficients [1]_.

    References
    ----------
    .. [1] Neyman, "Optimal asymptotic tests of composite statistical hypotheses", 1959.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference import score_statistic
    >>> score_statistic(np.array([0.0, 6.0]), np.diag([4.0, 9.0]), np.array([False, True]))
    4.0
    """
    whole = factorize(information, intercept=intercept).decrement(score)
    if tested.all():
        return whole
    free = ~tested
    inner = factorize(minor(information, free), intercept=intercept and bool(free[0]))
    return max(0.0, whole - inner.decrement(score[free]))


def score_statistic_beside(score: np.ndarray, information: np.ndarray, nuisance: np.ndarray) -> float:
    """Return the C(α) statistic where the nuisance coefficients are directions of the parameter space.

    Parameters
    ----------
    score : ndarray of shape (r,)
        s at the restricted estimate, at φ = 1.
    information : ndarray of shape (r, r)
        I there.
    nuisance : ndarray of shape (r, k)
        Along its columns the hypothesis leaves the coefficients free.

    Returns
    -------
    float
        The squared length of the score, in the metric of I⁻¹, across these directions.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference import score_statistic_beside
    >>> score_statistic_beside(np.array([0.0, 6.0]), np.diag([4.0, 9.0]), np.array([[1.0], [0.0]]))
    4.0
    """
    factor = factorize(information)
    white = factor.whiten(score)
    free, _ = np.linalg.qr(factor.lower.T @ (factor.scale[:, None] * nuisance)[factor.kept])
    across = white - free @ (free.T @ white)
    return float(across @ across)


@dataclass(frozen=True)
class TestResult:
    """The outcome of a test.

    Attributes
    ----------
    statistic : float
        The test statistic.
    df : float
        Degrees of freedom: the number of restrictions.
    df_denom : float
        Denominator degrees of freedom of an F test; NaN for χ².
    distribution : {"chi2", "F"}
        The distribution under the null.
    p_value : float
        Its upper tail at `statistic`.
    null : str
        The hypothesis.
    test : str
        The test's name.
    note : str
        Further information, such as warnings of the restricted fit.
    at_null : tuple of two floats
        Log-likelihood and deviance at the restricted estimate, of a likelihood-ratio test; otherwise NaN.

    Examples
    --------
    >>> from dask_onestep.inference import TestResult
    >>> print(TestResult.of(9.0, 1, null="x1 = 0", test="Wald"))
    Wald test of x1 = 0: chi2(1) = 9, p = 0.0027.
    """

    __test__ = False  # not a test class, whatever its name tells pytest

    statistic: float
    df: float
    df_denom: float
    distribution: str
    p_value: float
    null: str = ""
    test: str = ""
    note: str = ""
    at_null: tuple[float, float] = (float("nan"), float("nan"))

    @classmethod
    def of(cls, statistic: float, df: float, df_denom: float = np.nan, **words: Any) -> TestResult:
        """Return the result of a χ² test, or of an F test if `df_denom` is a number.

        Parameters
        ----------
        statistic : float
            The statistic.
        df, df_denom : float
            Degrees of freedom.
        **words : str or tuple
            `null`, `test`, `note` and `at_null`.

        Returns
        -------
        TestResult
            The result.

        Examples
        --------
        >>> from dask_onestep.inference import TestResult
        >>> result = TestResult.of(2.5, 3, 100)
        >>> result.distribution, round(result.p_value, 3)
        ('F', 0.064)
        """
        if np.isnan(df_denom):
            return cls(statistic, df, df_denom, "chi2", float(stats.chi2.sf(statistic, df)), **words)
        return cls(statistic, df, df_denom, "F", float(stats.f.sf(statistic, df, df_denom)), **words)

    def __str__(self) -> str:
        degrees = f"{self.df:g}" if np.isnan(self.df_denom) else f"{self.df:g}, {self.df_denom:g}"
        sentence = (
            f"{self.test} test of {self.null}: {self.distribution}({degrees}) = {self.statistic:.4g}, "
            f"{p_text(self.p_value)}."
        )
        return f"{sentence} {self.note}".strip()

    def _repr_html_(self) -> str:
        degrees = f"{self.df:g}" if np.isnan(self.df_denom) else f"{self.df:g}, {self.df_denom:g}"
        law = {"chi2": "χ²"}.get(self.distribution, self.distribution)
        return (
            f"<p><b>{escape(p_text(self.p_value))}</b> against {escape(self.null)}<br>"
            f"{escape(self.test)} test: {law}({degrees}) = {self.statistic:.4g}. {escape(self.note)}</p>"
        )


def p_text(p_value: float) -> str:
    """Return a p-value as text; one that underflows is shown as below the smallest number, not as zero.

    Parameters
    ----------
    p_value : float
        Between 0 and 1, or NaN.

    Returns
    -------
    str
        Such as ``p = 0.0027``, or ``p < 1e-300``.

    Examples
    --------
    >>> from dask_onestep.inference import p_text
    >>> p_text(0.00271), p_text(0.0)
    ('p = 0.0027', 'p < 1e-300')
    """
    return "p < 1e-300" if p_value < 1e-300 else f"p = {p_value:.2g}"
