"""The table of coefficients, and confidence intervals that hold jointly or at any time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct
from dask_onestep.messages import catalogue

# Points per integral, as powers of two: fewer where there are many coefficients, whose products cost most.
_FEWEST, _MOST, _BUDGET = 12, 17, 34
_AT_ONCE = 4096
# Eigenvalues of a correlation matrix below this fraction of the largest are rounding.
_ROUNDING = 1e-12


def check_level(level: float) -> None:
    """Raise if a confidence level is not between 0 and 1."""
    if not 0 < level < 1:
        raise catalogue.LEVEL.error(level=level)


def coefficient_table(
    names: Sequence[str],
    coef: np.ndarray,
    covariance: np.ndarray | DiagonalPlusProduct,
    level: float,
    df: float = np.nan,
) -> pd.DataFrame:
    """Return coefficients with standard errors, tests and intervals.

    Parameters
    ----------
    names : sequence of str
        Names of the coefficients.
    coef : ndarray of shape (d,)
        Coefficients.
    covariance : ndarray or DiagonalPlusProduct of shape (d, d)
        Their covariance.
    level : float
        Level of the intervals, between 0 and 1.
    df : float
        Degrees of freedom of Student's t; NaN for the normal distribution.

    Returns
    -------
    DataFrame
        Columns coef, std_err, t (or z), p_value, ci_lower, ci_upper; one row per coefficient.

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
    check_level(level)
    columns = interval_columns(coef, np.sqrt(covariance.diagonal()), level, df)
    return pd.DataFrame({"coef": coef, **columns}, index=pd.Index(names))


def interval_columns(
    estimate: np.ndarray, std_err: np.ndarray, level: float, df: float, null: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """Return standard errors, test statistics against `null`, p-values and the ends of intervals, by column name."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate - null) / std_err
    reference = stats.norm if np.isnan(df) else stats.t(df)
    half = reference.isf((1 - level) / 2) * std_err
    return {
        "std_err": std_err,
        "z" if np.isnan(df) else "t": statistic,
        "p_value": 2 * reference.sf(np.abs(statistic)),
        "ci_lower": estimate - half,
        "ci_upper": estimate + half,
    }


def exponentiated(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of ratios exp(β̂) and their intervals, standard errors by the delta method, tests unchanged.

    Parameters
    ----------
    table : DataFrame
        As `coefficient_table` returns it.

    Returns
    -------
    DataFrame
        Of the same columns.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference import coefficient_table
    >>> from dask_onestep.inference.tables import exponentiated
    >>> table = coefficient_table(["x0"], np.array([np.log(2.0)]), np.eye(1), 0.95)
    >>> exponentiated(table)[["coef", "std_err"]].to_numpy().round(9).tolist()
    [[2.0, 2.0]]
    """
    ratio = np.exp(table["coef"])
    ends = {name: np.exp(table[name]) for name in ("ci_lower", "ci_upper")}
    return table.assign(coef=ratio, std_err=ratio * table["std_err"], **ends)


def standardized(table: pd.DataFrame, factors: pd.Series) -> pd.DataFrame:
    """Return a table of coefficients in other units, tests unchanged.

    Parameters
    ----------
    table : DataFrame
        As `coefficient_table` returns it.
    factors : Series
        By what each coefficient is multiplied; coefficients without a factor become NaN, such as the intercept.

    Returns
    -------
    DataFrame
        Of the same columns.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from dask_onestep.inference import coefficient_table
    >>> from dask_onestep.inference.tables import standardized
    >>> table = coefficient_table(["x0"], np.array([3.0]), np.eye(1), 0.95)
    >>> standardized(table, pd.Series({"x0": 2.0}))[["coef", "std_err", "z"]].to_numpy().tolist()
    [[6.0, 2.0, 3.0]]
    """
    columns = ["coef", "std_err", "ci_lower", "ci_upper"]
    known = factors.reindex(table.index).to_numpy()
    found = table.assign(**{name: table[name] * known for name in columns})
    found.loc[~np.isfinite(known)] = np.nan
    return found


def simultaneous_quantile(covariance: np.ndarray, level: float, df: float = np.nan) -> float:
    """Return the quantile of max|t| over several coefficients, by which all intervals cover at once.

    With R = AA' the correlation matrix, of rank r, and a direction u uniform on the sphere, max|t| is max|Au| times an
    independent radius, whose square over r is F(r, ν), or χ²(r)/r for normal coefficients.  The distribution function
    is therefore a mean over directions, for which a fixed scrambled Sobol' sequence is used: the result is
    deterministic, and R may be singular.

    References
    ----------
    Hothorn, Bretz and Westfall, "Simultaneous inference in general parametric models", 2008, as R's multcomp.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.tables import simultaneous_quantile
    >>> round(simultaneous_quantile(np.eye(3), 0.95), 2)  # Šidák's
    2.39
    """
    k = len(covariance)
    std_err = np.sqrt(np.diag(covariance))
    marginal = stats.norm if np.isnan(df) else stats.t(df)
    lowest, highest = marginal.isf((1 - level) / 2), marginal.isf((1 - level) / 2 / max(k, 1))
    if k < 2:
        return float(lowest)
    variances, vectors = np.linalg.eigh(covariance / np.outer(std_err, std_err))
    kept = np.flatnonzero(variances > _ROUNDING * variances[-1])[::-1]  # the largest first
    greatest = _greatest(vectors[:, kept] * np.sqrt(variances[kept]))
    rank = len(kept)
    radius = stats.chi2(rank) if np.isnan(df) else stats.f(rank, df)

    def excess(quantile: float) -> float:
        square = np.square(quantile / greatest)
        return float(radius.cdf(square if np.isnan(df) else square / rank).mean()) - level

    if excess(lowest) >= 0:
        return float(lowest)
    return float(highest if excess(highest) <= 0 else brentq(excess, lowest, highest, xtol=1e-8))


def _greatest(root: np.ndarray) -> np.ndarray:
    """Return max|Au| at points u spread over the sphere."""
    k, rank = root.shape
    power = int(np.clip(_BUDGET - 2 * np.log2(k), _FEWEST, _MOST))
    points = stats.qmc.Sobol(rank, rng=0)
    found = []
    for _ in range(0, 2**power, _AT_ONCE):
        normal = stats.norm.ppf(points.random(_AT_ONCE))
        length = np.linalg.norm(normal, axis=1)
        found.append(np.abs(normal @ root.T).max(axis=1) / length)
    return np.concatenate(found)


class AnytimeValid:
    """Intervals and e-values that hold at all sample sizes at once, by a normal mixture.

    With t the statistic of N rows and ν its degrees of freedom, the e-value of a coefficient is the likelihood ratio of
    t under δ ~ N(0, N/g), δ its noncentrality, and under δ = 0: with r = g/(g + N),

        E = √r {(1 + t²/ν)/(1 + r t²/ν)}^{(ν + 1)/2},  and √r exp{(1 − r)t²/2} for the normal distribution.

    It is a nonnegative martingale as rows are added, so that P(E ≥ 1/α for any N) ≤ α, and the interval holds all
    values whose e-value is below 1/α.  Lindon, Ham, Tingley and Bojinov, arXiv 2210.08589.

    Parameters
    ----------
    n : float
        N, the rows so far.
    df : float
        ν; NaN for the normal distribution.
    planned : float or None
        Rows at which intervals of level 1 − `alpha` are to be about narrowest, relative to those of a fixed N; None
        for g = 1.
    alpha : float
        1 − the level.

    Examples
    --------
    >>> from dask_onestep.inference.tables import AnytimeValid
    >>> rule = AnytimeValid(10_000, df=float("nan"))
    >>> round(float(rule.half_width(0.05)), 2)  # standard errors, instead of 1.96
    3.9
    """

    def __init__(self, n: float, df: float, planned: float | None = None, alpha: float = 0.05):
        g = 1.0
        if planned is not None:
            twice = -2.0 * np.log(alpha)
            g = planned / (twice + np.log1p(twice))
        self.share = g / (g + n)
        self.df = df

    def half_width(self, alpha: float) -> float:
        """Return half of an interval of level 1 − α, in standard errors; infinite with too few degrees of freedom."""
        share, df = self.share, self.df
        bound = 2.0 * np.log(alpha) + np.log(share)
        if np.isnan(df):
            return float(np.sqrt(-bound / (1.0 - share)))
        left = np.exp(bound / (df + 1.0))
        return float(np.sqrt(df * (1.0 - left) / (left - share))) if left > share else float("inf")

    def e_values(self, statistic: np.ndarray) -> np.ndarray:
        """Return the e-value of each statistic."""
        square, share, df = np.square(statistic), self.share, self.df
        if np.isnan(df):
            gain = (1.0 - share) * square / 2.0
        else:
            gain = (df + 1.0) / 2.0 * (np.log1p(square / df) - np.log1p(share * square / df))
        with np.errstate(over="ignore"):  # an e-value may exceed what a double holds
            return np.exp(0.5 * np.log(share) + gain)
