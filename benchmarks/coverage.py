"""Coverage of 95 % intervals by one step, over replications on blocks sorted by a covariate.

Each replication draws rows, lays them out in blocks that each hold a range of the first covariate, fits
by `OneStep`, and asks of each coefficient whether its interval holds the truth.  The number of intervals
that do is binomial; the table has it compared with the bounds that a binomial with probability 0.95 leaves with
a chance of 1 in 1,000 for the whole table (Bonferroni).

    OMP_NUM_THREADS=1 python -m benchmarks.coverage

writes ``benchmarks/results/coverage.csv``, the table of the docs, and ends with 1 if a line is outside.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from scipy import stats

from benchmarks.record import Record
from dask_onestep import GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm
from dask_onestep.families import NegativeBinomial

LEVEL = 0.95
CHANCE = 0.001
RESULTS = Path(__file__).parent / "results" / "coverage.csv"


@dataclass(frozen=True)
class Layout:
    """How many rows and columns there are, and in how many blocks."""

    rows: int
    features: int
    blocks: int

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.blocks)


@dataclass(frozen=True)
class Setting:
    """A model and its data: `draw` returns X, y and the coefficients as a table has them."""

    name: str
    estimator: Any
    draw: Callable[[Layout, int], tuple[Any, Any, np.ndarray]]


def draw_glm(
    family: str, link: str | None, dispersion: float, layout: Layout, seed: int
) -> tuple[Any, Any, np.ndarray]:
    return make_glm(
        layout.rows,
        layout.features,
        family=family,
        link=link,
        dispersion=dispersion,
        chunks=layout.chunks,
        sort=True,
        random_state=seed,
    )


def draw_labels(layout: Layout, seed: int) -> tuple[Any, Any, np.ndarray]:
    """Draw three classes by a multinomial logit."""
    rng = np.random.default_rng((seed, layout.rows))
    x = 0.5 * rng.standard_normal((layout.rows, layout.features))
    x = x[np.argsort(x[:, 0])]
    coef = np.stack([np.linspace(0.5, -0.5, layout.features + 1), np.linspace(-0.3, 0.4, layout.features + 1)])
    eta = np.column_stack([np.zeros(layout.rows), coef[:, 0] + x @ coef[:, 1:].T])
    y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    return *(da.from_array(part, chunks=(layout.chunks, *part.shape[1:])) for part in (x, y)), coef.ravel()


def settings(pilot_size: int | str) -> list[Setting]:
    """Return the lines of the table: families with and without a dispersion, the sandwich, labels."""
    method = OneStep(pilot_size=pilot_size, pilot_bytes=1, steps=1)
    paper = OneStep(pilot_size=pilot_size, pilot_bytes=1, steps=1, correction=None)

    def line(name: str, family: str, link: str | None = None, phi: float = 1.0, **options: Any) -> Setting:
        law = NegativeBinomial(alpha=1.0) if family == "negative-binomial" else family
        estimator = GLMRegressor(law, link, **{"method": method} | options)
        return Setting(name, estimator, partial(draw_glm, family, link, phi))

    return [
        line("gaussian", "gaussian", phi=2.0),
        line("binomial", "binomial"),
        line("binomial, step of the paper", "binomial", method=paper),
        line("binomial, probit", "binomial", "probit"),
        line("poisson", "poisson"),
        line("poisson, HC0", "poisson", cov_type="HC0"),
        line("gamma, log", "gamma", "log", 0.5),
        line("inverse-gaussian, log", "inverse-gaussian", "log", 0.3),
        line("negative-binomial", "negative-binomial"),
        line("tweedie", "tweedie"),
        Setting("multinomial, three classes", GLMClassifier(method=method), draw_labels),
    ]


def covered(setting: Setting, layout: Layout, seed: int) -> np.ndarray:
    """Return which coefficients one replication's intervals hold, the intercept first."""
    x, y, truth = setting.draw(layout, seed)
    setting.estimator.method.random_state = seed
    table = setting.estimator.fit(x, y).conf_int(LEVEL)
    return ((table["ci_lower"] <= truth) & (truth <= table["ci_upper"])).to_numpy()


def bounds(count: int, tests: int) -> tuple[int, int]:
    """Return between which numbers of `count` intervals a sound method stays, in a table of so many tests."""
    tail = CHANCE / tests / 2
    return int(stats.binom.ppf(tail, count, LEVEL)), int(stats.binom.isf(tail, count, LEVEL))


def run(setting: Setting, layout: Layout, replications: int) -> np.ndarray:
    """Return how many intervals of each coefficient held it."""
    with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("ignore")
        return np.sum([covered(setting, layout, seed) for seed in range(replications)], axis=0)


def main() -> int:
    """Print and write the table; return 1 if a line is outside its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--features", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--pilot-size", type=int, help="rows of the pilot; by default OneStep's own rule")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    layout = Layout(asked.rows, asked.features, asked.blocks)
    pilot_size = asked.pilot_size or "auto"
    chosen = settings(pilot_size)
    tests = sum(len(setting.draw(layout, 0)[2]) for setting in chosen)
    lower, upper = bounds(asked.replications, tests)
    print(
        f"{asked.replications} replications of {asked.rows} rows in {asked.blocks} sorted blocks, pilot of "
        f"{pilot_size}; {LEVEL:.0%} intervals, sound between {lower} and {upper}"
    )
    record = Record(asked.output)
    for setting in chosen:
        hits = run(setting, layout, asked.replications)
        inside = bool(((hits >= lower) & (hits <= upper)).all())
        print(f"{setting.name:<30}" + "".join(f"{h:>6}" for h in hits) + ("" if inside else "   outside"), flush=True)
        facts = {"replications": asked.replications, "rows": asked.rows, "blocks": asked.blocks, "pilot": pilot_size}
        found = {"least": hits.min(), "most": hits.max(), "mean": hits.mean() / asked.replications}
        sound = {"lower": lower, "upper": upper, "inside": inside}
        record.add({"model": setting.name, "coefficients": len(hits)}, found | sound | facts)
    return int(not record.table["inside"].all())


if __name__ == "__main__":
    raise SystemExit(main())
