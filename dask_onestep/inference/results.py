"""The outcome of a test, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from scipy import stats


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
        What a reader should know besides, such as warnings of the restricted fit.
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
