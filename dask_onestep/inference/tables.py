"""The table of coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["coefficient_table"]


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
