"""Poor pilots on real flights: ``python -m benchmarks.one_step.flights``.

Forty pilots of 40 to 430 rows: how far below the MLE's log-likelihood the estimates end, and who warns.
Then forty of 1 %: how near the standard errors are to the exact ones, corrected by the pilot rows and not.
"""

from __future__ import annotations

import warnings

import numpy as np

from dask_onestep import MLE, GLMClassifier, OneStep, moments
from dask_onestep.datasets import load_flights


def fit(X, y, **options):
    """Return a fitted model and whether it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = GLMClassifier(method=OneStep(**{"steps": 1, "pilot_bytes": 1} | options)).fit(X, y)
    return glm, len(caught) > 0


def poor_pilots(X, y, best: float) -> None:
    for correction in (None, "pilot"):
        gaps, warned, passes = [], [], []
        for seed, size in enumerate(np.linspace(40, 430, 40).astype(int)):
            glm, said = fit(X, y, pilot_size=int(size), correction=correction, random_state=seed)
            gaps.append(best - glm.fit_statistics(X, y).llf)
            warned.append(said)
            passes.append(glm.n_passes_)
        loss, told = np.array(gaps), np.array(warned)
        print(
            f"correction={correction!s:<5} loss of log-likelihood: median {np.median(loss):.3g}, max {loss.max():.3g}; "
            f"{(loss > 2000).sum()} of 40 above 2,000, {(told & (loss > 2000)).sum()} of them with a warning; "
            f"{((loss > 10) & ~told).sum()} above 10 without; passes {np.mean(passes):.2f}"
        )


def standard_errors(X, y, exact: GLMClassifier) -> None:
    right = np.sqrt(np.diag(exact.covariance_))
    plain, brought = [], []
    for seed in range(40):
        glm, _ = fit(X, y, pilot_size=0.01, correction=None, random_state=seed)
        at_pilot = moments(X, y, glm.estimate_.pilot_coef, family="binomial").compute().information
        plain.append(np.abs(np.sqrt(np.diag(np.linalg.inv(at_pilot))) / right - 1).max())
        brought.append(np.abs(np.sqrt(np.diag(glm.covariance_)) / right - 1).max())
    for name, off in (("at the pilot's estimate", plain), ("corrected by its rows", brought)):
        print(f"standard errors {name}: median {np.median(off):.2%} off, at most {np.max(off):.2%}")


def main() -> None:
    X, y = load_flights(return_X_y=True)
    exact = GLMClassifier(method=MLE()).fit(X, y)
    poor_pilots(X, y, exact.estimate_.loglik)
    standard_errors(X, y, exact)


if __name__ == "__main__":
    main()
