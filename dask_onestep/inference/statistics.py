"""Wald and score statistics."""

from typing import Any

import numpy as np
from scipy import linalg

from dask_onestep.inference.results import TestResult
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.kernels.structured import DiagonalPlusProduct, minor
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
