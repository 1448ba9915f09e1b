"""Coverage of 95 % intervals by one step, over replications on blocks sorted by a covariate.

Each replication draws rows, lays them out in blocks that each hold a range of the first covariate, fits
by `OneStep`, and asks of each coefficient whether its interval holds the truth.  The number of intervals
that do is binomial; the table has it beside the bounds that a binomial with probability 0.95 leaves with
a chance of 1 in 1,000 for the whole table (Bonferroni).

    python benchmarks/coverage.py --replications 1000
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
from scipy import stats

from dask_onestep import GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm

LEVEL = 0.95
CHANCE = 0.001


@dataclass(frozen=True)
class Setting:
    """A model and its data.

    Attributes
    ----------
    name : str
        What the table calls it.
    family : str
        The law of y.
    estimator : object
        What is fitted.
    dispersion : float
        φ of the data.
    link : str or None
        The link; None for the family's default.
    """

    name: str
    family: str
    estimator: Any
    dispersion: float = 1.0
    link: str | None = None


def settings(pilot_size: int) -> list[Setting]:
    """Return the settings of the table.

    Parameters
    ----------
    pilot_size : int
        Rows of the pilot.

    Returns
    -------
    list of Setting
        Families with and without a dispersion, and the sandwich.
    """
    method = OneStep(pilot_size=pilot_size)
    return [
        Setting("gaussian", "gaussian", GLMRegressor("gaussian", method=method), 2.0),
        Setting("binomial", "binomial", GLMClassifier(method=method)),
        Setting("binomial, step of the paper", "binomial", GLMClassifier(method=OneStep(pilot_size, correction=None))),
        Setting("poisson", "poisson", GLMRegressor("poisson", method=method)),
        Setting("poisson, HC0", "poisson", GLMRegressor("poisson", method=method, cov_type="HC0")),
        Setting("gamma, log", "gamma", GLMRegressor("gamma", "log", method=method), 0.5, "log"),
    ]


def covered(setting: Setting, n: int, features: int, blocks: int, seed: int) -> np.ndarray:
    """Return which coefficients one replication's intervals hold.

    Parameters
    ----------
    setting : Setting
        Model and data.
    n, features, blocks : int
        Rows, covariates, blocks.
    seed : int
        Of the replication.

    Returns
    -------
    ndarray of shape (features + 1,) of bool
        The intercept first.
    """
    x, y, truth = make_glm(
        n,
        features,
        family=setting.family,
        link=setting.link,
        dispersion=setting.dispersion,
        chunks=-(-n // blocks),
        sort=True,
        random_state=seed,
    )
    setting.estimator.method.random_state = seed
    table = setting.estimator.fit(x, y).conf_int(LEVEL)
    return ((table["ci_lower"] <= truth) & (truth <= table["ci_upper"])).to_numpy()


def bounds(count: int, tests: int) -> tuple[int, int]:
    """Return between which numbers of intervals a sound method stays.

    Parameters
    ----------
    count : int
        Intervals.
    tests : int
        Lines of the table.

    Returns
    -------
    lower, upper : int
        Of a binomial at `LEVEL`.
    """
    tail = CHANCE / tests / 2
    return int(stats.binom.ppf(tail, count, LEVEL)), int(stats.binom.isf(tail, count, LEVEL))


def main() -> int:
    """Print the table; return 1 if a line is outside its bounds.

    Returns
    -------
    int
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--features", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--pilot-size", type=int, default=1000)
    asked = parser.parse_args()
    chosen = settings(asked.pilot_size)
    lower, upper = bounds(asked.replications, len(chosen) * (asked.features + 1))
    print(
        f"{asked.replications} replications of {asked.rows} rows in {asked.blocks} sorted blocks, pilot of "
        f"{asked.pilot_size}; {LEVEL:.0%} intervals, sound between {lower} and {upper}"
    )
    outside = False
    for setting in chosen:
        hits = np.zeros(asked.features + 1, dtype=int)
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
            warnings.simplefilter("ignore")
            for seed in range(asked.replications):
                hits += covered(setting, asked.rows, asked.features, asked.blocks, seed)
        wrong = ((hits < lower) | (hits > upper)).any()
        outside |= bool(wrong)
        print(f"{setting.name:<30}" + "".join(f"{h:>7}" for h in hits) + ("   outside" if wrong else ""), flush=True)
    return int(outside)


if __name__ == "__main__":
    raise SystemExit(main())
