"""NIST's reference data sets for linear regression, with the values that NIST certifies.

Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd/lls/lls.shtml, a publication of the United
States government in the public domain.  Decimals are kept unchanged printed, and a test solves each problem in
rational arithmetic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

__all__ = ["Reference", "certified_digits", "references"]

_DATA = Path(__file__).with_name("nist.json")
MOST = 15.0  # NIST prints fifteen digits


@dataclass(frozen=True)
class Reference:
    """A data set and its certified values, as printed.

    Attributes
    ----------
    name : str
        As NIST calls it.
    degree : int
        Of the polynomial in one covariate; 0 where the covariates are taken unchanged.
    intercept : bool
        Whether the model has one.
    y : list of str
        Response.
    x : list of str, or of list of str
        One covariate, or several a row.
    coef, std_err : list of str
        Certified.
    """

    name: str
    degree: int
    intercept: bool
    y: list[str]
    x: list
    coef: list[str]
    std_err: list[str]

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return covariates of shape (n, p), without the constant, and response as floats."""
        x = np.array(self.x, dtype=np.float64)
        if self.degree:
            x = np.column_stack([x**power for power in range(1, self.degree + 1)])
        return x, np.array(self.y, dtype=np.float64)

    def exact_design(self) -> list[list[Fraction]]:
        """Return the design without rounding, constant included."""
        rows = [[Fraction(v) for v in (row if isinstance(row, list) else [row])] for row in self.x]
        if self.degree:
            rows = [[row[0] ** power for power in range(1, self.degree + 1)] for row in rows]
        return [[Fraction(1), *row] for row in rows] if self.intercept else rows


def references() -> list[Reference]:
    """Return all data sets, by NIST's order of difficulty."""
    return [Reference(name, **fields) for name, fields in json.loads(_DATA.read_text()).items()]


def certified_digits(found: np.ndarray, certified: list[str]) -> float:
    """Return the log relative error of the worst value: how many digits of it are right, at most 15.

    It is −log₁₀|found − certified|/|certified|, without the denominator where NIST certifies 0; and 0 where
    nothing is right or nothing was found.
    """
    wanted = np.array(certified, dtype=np.float64)
    error = np.abs(np.asarray(found, dtype=np.float64) - wanted) / np.where(wanted == 0, 1.0, np.abs(wanted))
    with np.errstate(divide="ignore"):
        digits = -np.log10(np.where(np.isnan(error), 1.0, error))
    return float(np.clip(digits, 0.0, MOST).min()) + 0.0
