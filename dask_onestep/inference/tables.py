"""The table of coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from dask_onestep.kernels.structured import DiagonalPlusProduct
from dask_onestep.messages import catalogue


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
    if not 0 < level < 1:
        raise catalogue.LEVEL.error(level=level)
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
