"""Right digits of NIST's reference regressions, compared with other packages: ``python -m benchmarks.accuracy --help``.

Each cell is the log relative error of the worst coefficient, or of the worst standard error, at most 15.  All
packages but R are given the same floats, in which decimals and powers are rounded; "exact" solves with these in
rational arithmetic, so that digits beyond its own are luck.
R's columns are by ``benchmarks/accuracy/nist.R``, run apart; its ``tol`` is what it takes for aliased.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression

from benchmarks.accuracy.exact import exact_least_squares
from benchmarks.accuracy.nist import Reference, certified_digits, references
from benchmarks.origin import commit
from dask_onestep import GLMRegressor

RESULTS = Path(__file__).with_name("results")
OURS = ("cholesky", "qr")
# The kernels that a BLAS chooses for a processor add products in another order, which moves the last digits. One
# rounding more or less doubles or halves an error, .3 digits, and the worst of several coefficients is compared.
# Beyond 13 digits an error is a few roundings of the result itself.
SLACK, FULL = 0.5, 13.0


def ours(reference: Reference, solver: str) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors by one step."""
    x, y = reference.columns()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly aliased columns, by normal equations
        glm = GLMRegressor(solver=solver, fit_intercept=reference.intercept).fit(x, y)
    return glm.estimate_.coef, np.sqrt(np.diag(glm.covariance_))


def by_statsmodels(reference: Reference, model: Callable, **options: str) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors by one of its models."""
    x, y = reference.columns()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits without a residual, and columns that it takes for aliased
        found = model(y, sm.add_constant(x) if reference.intercept else x).fit(**options)
        return found.params, found.bse


def by_scikit_learn(reference: Reference) -> tuple[np.ndarray, None]:
    """Return coefficients; it has no standard errors."""
    x, y = reference.columns()
    found = LinearRegression(fit_intercept=reference.intercept).fit(x, y)
    return np.r_[found.intercept_, found.coef_] if reference.intercept else found.coef_, None


def exactly(reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors of the floats, themselves not rounded."""
    x, y = reference.columns()
    design = np.column_stack([np.ones(len(y)), x]) if reference.intercept else x
    coef, std_err = exact_least_squares(design.tolist(), y.tolist())
    return np.array(coef), np.array(std_err)


PACKAGES: dict[str, Callable[[Reference], tuple]] = {
    "exact": exactly,
    **{f"dask_onestep {solver}": lambda reference, solver=solver: ours(reference, solver) for solver in OURS},
    "statsmodels OLS": lambda reference: by_statsmodels(reference, sm.OLS),
    "statsmodels OLS qr": lambda reference: by_statsmodels(reference, sm.OLS, method="qr"),
    "statsmodels GLM": lambda reference: by_statsmodels(reference, sm.GLM),
    "scikit-learn": by_scikit_learn,
}


def digits() -> pd.DataFrame:
    """Return right digits, one row for each data set and package."""
    rows = []
    for reference in references():
        for package, fit in PACKAGES.items():
            for what, found in zip(("coef", "std_err"), fit(reference), strict=True):
                right = np.nan if found is None else certified_digits(found, getattr(reference, what))
                rows.append((reference.name, what, package, right))
    return pd.DataFrame(rows, columns=["data", "what", "package", "digits"])


def behind(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows where statsmodels has more digits right than the better of our solvers, luck and slack apart."""
    wide = table.pivot(index=["data", "what"], columns="package", values="digits")
    wide = wide.clip(upper=wide["exact"].clip(upper=FULL), axis=0)
    best = wide[[f"dask_onestep {solver}" for solver in OURS]].max(axis=1)
    return wide[best < wide.filter(like="statsmodels").max(axis=1) - SLACK]


def markdown(table: pd.DataFrame, what: str) -> str:
    """Return the table of coefficients or of standard errors."""
    chosen = table[(table["what"] == what) & table["digits"].notna()]
    packages, data = chosen["package"].unique(), chosen["data"].unique()
    wide = chosen.pivot(index="data", columns="package", values="digits").loc[data, packages]
    lines = ["| data | " + " | ".join(packages) + " |", "|---|" + "--:|" * len(packages)]
    lines += [
        f"| {name} | " + " | ".join(f"{round(value, 2):.1f}" for value in row) + " |" for name, row in wide.iterrows()
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help=f"write the table to {RESULTS.name}/ for the documentation"
    )
    options = parser.parse_args(arguments)
    table = digits()
    if (by_r := RESULTS / "r.csv").exists():
        table = pd.concat([table, pd.read_csv(by_r)], ignore_index=True)
    for what, title in (("coef", "Coefficients"), ("std_err", "Standard errors")):
        print(f"{title}\n\n{markdown(table, what)}\n")
        if options.write:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{what}.md").write_text(markdown(table, what) + "\n")
    if options.write:
        table.assign(commit=commit()).to_csv(RESULTS / "digits.csv", index=False, float_format="%.2f")
    lost = behind(table)
    print(
        "statsmodels has nowhere more than half a digit more than both solvers."
        if lost.empty
        else f"statsmodels is ahead:\n{lost}"
    )


if __name__ == "__main__":
    main()
