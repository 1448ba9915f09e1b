"""Tables, intervals and tests from coefficients and their covariance."""

from dask_onestep.inference.hypotheses import parse_null
from dask_onestep.inference.selection import AdaptiveLassoPath
from dask_onestep.inference.statistics import TestResult, p_text, score_statistic, score_statistic_beside, wald
from dask_onestep.inference.tables import coefficient_table

__all__ = [
    "AdaptiveLassoPath",
    "TestResult",
    "coefficient_table",
    "p_text",
    "parse_null",
    "score_statistic",
    "score_statistic_beside",
    "wald",
]
