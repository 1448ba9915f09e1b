"""Tables, intervals and tests from coefficients and their covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, stats

from dask_onestep.kernels.linear_algebra import factorize

__all__ = [
    "TestResult",
    "coefficient_table",
    "p_text",
    "parse_null",
    "score_statistic",
    "score_statistic_beside",
    "wald",
]

Null = str | Sequence[str] | Mapping[str, float]


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
        What a reader should know besides.

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

    @classmethod
    def of(cls, statistic: float, df: float, df_denom: float = np.nan, **words: str) -> TestResult:
        """Return the result of a χ² test, or of an F test if `df_denom` is a number.

        Parameters
        ----------
        statistic : float
            The statistic.
        df, df_denom : float
            Degrees of freedom.
        **words : str
            `null`, `test` and `note`.

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
    """Return a p-value in words; one that no double can hold is below the smallest, and not zero.

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


def coefficient_table(names: Sequence[str], coef: np.ndarray, covariance: np.ndarray, level: float) -> pd.DataFrame:
    """Return coefficients with standard errors, z tests and intervals.

    Parameters
    ----------
    names : sequence of str
        Names of the coefficients.
    coef : ndarray of shape (d,)
        Coefficients.
    covariance : ndarray of shape (d, d)
        Their covariance.
    level : float
        Level of the intervals, between 0 and 1.

    Returns
    -------
    DataFrame
        Columns coef, std_err, z, p_value, ci_lower, ci_upper; one row a coefficient.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference import coefficient_table
    >>> coefficient_table(["intercept", "x0"], np.array([1.0, 2.0]), np.diag([0.25, 1.0]), 0.95)["z"].tolist()
    [2.0, 2.0]
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must lie between 0 and 1, such as 0.95.")
    std_err = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = coef / std_err
    half = stats.norm.isf((1 - level) / 2) * std_err
    columns = {
        "coef": coef,
        "std_err": std_err,
        "z": z,
        "p_value": 2 * stats.norm.sf(np.abs(z)),
        "ci_lower": coef - half,
        "ci_upper": coef + half,
    }
    return pd.DataFrame(columns, index=pd.Index(names))


def parse_null(null: Null, coefficients: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return a null hypothesis as name → value.

    Parameters
    ----------
    null : str, sequence of str, or mapping from str to float
        Coefficients that are zero jointly, or have the values given; a regressor stands for all of its
        coefficients, which are several in a multinomial logit.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor, as ``Model.by_regressor`` has them.

    Returns
    -------
    dict
        Name to value, in the order of the coefficients, class by class.

    Raises
    ------
    ValueError
        If it is empty, a name is not known, a coefficient is given two values, or a value is not a finite
        number.

    Examples
    --------
    >>> from dask_onestep.inference import parse_null
    >>> parse_null(["x1", "x0"], {"intercept": ["intercept"], "x0": ["x0"], "x1": ["x1"]})
    {'x0': 0.0, 'x1': 0.0}
    >>> parse_null("x0", {"x0": ["birch:x0", "cedar:x0"]})
    {'birch:x0': 0.0, 'cedar:x0': 0.0}
    """
    if isinstance(null, str):
        null = [null]
    given = dict(null) if isinstance(null, Mapping) else dict.fromkeys(null, 0.0)
    if not given:
        raise ValueError("null is empty: name at least one coefficient, such as null=['x1'].")
    names = [name for of_class in zip(*coefficients.values(), strict=True) for name in of_class]
    if unknown := [name for name in given if name not in names and name not in coefficients]:
        whole = "" if set(coefficients) == set(names) else f"; and, for all classes, {', '.join(coefficients)}"
        raise ValueError(f"null names {unknown}, which are not coefficients. These are: {', '.join(names)}{whole}.")
    values: dict[str, float] = {}
    for name, value in given.items():
        if not np.isfinite(value):
            raise ValueError(f"null sets {name} to {value!r}, which is not a finite number.")
        for each in (name,) if name in names else coefficients[name]:
            if values.setdefault(each, float(value)) != value:
                raise ValueError(f"null sets {each} to {values[each]:g} and to {value:g}: name it once.")
    return {name: values[name] for name in names if name in values}


def null_text(null: Mapping[str, float], coefficients: Mapping[str, Sequence[str]]) -> str:
    """Return a null hypothesis in words.

    Parameters
    ----------
    null : mapping from str to float
        Name to value.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor.

    Returns
    -------
    str
        Such as ``x1 = 0, x2 = 1``, or ``x1 = 0 in each class`` for all coefficients of a regressor.
    """
    left, words = dict(null), []
    for regressor, names in coefficients.items():
        if len(names) > 1 and len({left.get(name) for name in names}) == 1 and names[0] in left:
            words.append(f"{regressor} = {left[names[0]]:g} in each class")
            left = {name: value for name, value in left.items() if name not in names}
    return ", ".join([*words, *(f"{name} = {value:g}" for name, value in left.items())])


def wald(
    coef: np.ndarray, covariance: np.ndarray, restriction: np.ndarray, value: np.ndarray, df_denom: float, text: str
) -> TestResult:
    """Return the Wald test of R β = r.

    Parameters
    ----------
    coef : ndarray of shape (d,)
        β̂.
    covariance : ndarray of shape (d, d)
        Its covariance.
    restriction : ndarray of shape (s, d)
        R.
    value : ndarray of shape (s,)
        r.
    df_denom : float
        N − d for the F test of a family with a dispersion; NaN for χ².
    text : str
        The hypothesis in words.

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
        raise ValueError(f"The hypothesis {text} concerns an aliased coefficient, which has no estimate: leave it out.")
    gap = restriction[:, used] @ coef[used] - value
    spread = restriction[:, used] @ covariance[np.ix_(used, used)] @ restriction[:, used].T
    if np.isnan(spread).any():
        raise ValueError(
            f"The hypothesis {text} concerns a coefficient that has no standard error, its covariance being NaN: "
            "leave it out."
        )
    scale = np.sqrt(np.diag(spread))
    try:
        lower = linalg.cholesky(spread / np.outer(scale, scale), lower=True)
    except (linalg.LinAlgError, ValueError) as error:
        raise ValueError(
            f"The restrictions {text} are not independent of each other: drop those that follow from the others."
        ) from error
    half = linalg.solve_triangular(lower, gap / scale, lower=True)
    statistic, s = float(half @ half), len(value)
    return TestResult.of(statistic if np.isnan(df_denom) else statistic / s, s, df_denom, null=text, test="Wald")


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
    coefficients alone [1]_.

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
    inner = factorize(information[np.ix_(free, free)], intercept=intercept and bool(free[0]))
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


def restrictions(
    null: Any, names: Sequence[str], coefficients: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return R, r and words for a hypothesis by names, by values, or as a pair (R, r) or matrix R.

    Parameters
    ----------
    null : str, sequence of str, mapping, ndarray of shape (s, d), or tuple of two arrays
        The hypothesis.
    names : sequence of str
        Names of the d coefficients.
    coefficients : mapping from str to sequence of str
        The coefficients of each regressor.

    Returns
    -------
    restriction : ndarray of shape (s, d)
        R.
    value : ndarray of shape (s,)
        r.
    text : str
        The hypothesis in words.

    Raises
    ------
    ValueError
        If shapes or names do not fit.
    """
    pair = isinstance(null, tuple) and len(null) == 2 and not isinstance(null[0], str)
    if (isinstance(null, np.ndarray) and null.dtype.kind in "fiub") or pair:
        matrix = np.atleast_2d(np.asarray(null[0] if pair else null, dtype=np.float64))
        told = np.asarray(null[1] if pair else 0.0, dtype=np.float64)
        if matrix.shape[1] != len(names):
            raise ValueError(
                f"R has {matrix.shape[1]} columns, and there are {len(names)} coefficients: give it one for each, in "
                "the order of coef_table()."
            )
        if told.ndim and told.shape != (len(matrix),):
            raise ValueError(f"R has {len(matrix)} rows, and r has shape {told.shape}: give it one value a row.")
        value = np.broadcast_to(told, len(matrix))
        return matrix, value, f"R b = r ({len(matrix)} restriction{'s' if len(matrix) > 1 else ''})"
    values = parse_null(null, coefficients)
    return (
        np.eye(len(names))[[list(names).index(name) for name in values]],
        np.array(list(values.values())),
        null_text(values, coefficients),
    )
