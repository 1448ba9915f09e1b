"""Coverage of 95 % intervals of a logit with few unequal clusters: the cluster-robust sandwich and the jackknife.

The marginal model is exactly a logit: y = 1[u < p(x'β)] with u uniform, correlated within clusters by a Gaussian
copula; clusters differ in size by a factor of about 7, as in MacKinnon, Nielsen and Webb (arXiv 2406.00650).  The
coefficients asked for are of a covariate that varies within and between clusters, and of a treatment of a third of
the clusters.  For some replications the standard errors of ``CRV3`` are compared with those by refits without each
cluster.

    OMP_NUM_THREADS=1 python -m benchmarks.few_clusters

writes ``benchmarks/results/few_clusters.csv``, the table of the docs; it takes about two minutes.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import dask
import numpy as np
from scipy import stats
from scipy.special import expit

from benchmarks.record import Record
from dask_onestep import GLMClassifier

LEVEL = 0.95
COEF = np.array([-0.5, 0.5, 0.0])
NAMES = ("x", "treated")
COV_TYPES = ("cluster", "CRV3")
RESULTS = Path(__file__).parent / "results" / "few_clusters.csv"


def draw(count: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return covariates, labels and clusters."""
    rng = np.random.default_rng((seed, count))
    shares = np.exp(2.0 * np.arange(1, count + 1) / count)
    groups = np.repeat(np.arange(count), np.maximum(2, np.round(rows * shares / shares.sum())).astype(int))
    n = len(groups)
    treated = np.isin(groups, rng.permutation(count)[: round(count / 3)]).astype(float)
    x = np.sqrt(0.5) * (rng.normal(size=count)[groups] + rng.normal(size=n))
    latent = np.sqrt(0.1) * rng.normal(size=count)[groups] + np.sqrt(0.9) * rng.normal(size=n)
    y = stats.norm.cdf(latent) < expit(COEF[0] + COEF[1] * x + COEF[2] * treated)
    return np.column_stack([x, treated]), y.astype(float), groups


def replicate(count: int, rows: int, seed: int, *, refits: bool) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return which intervals hold the truth by each covariance, and CRV3's standard errors over those of refits."""
    x, y, groups = draw(count, rows, seed)
    glm = GLMClassifier().fit(x, y)
    found, ratio = {}, None
    for cov_type in COV_TYPES:
        fitted = glm.with_covariance(cov_type, x, y, groups=groups)
        table = fitted.coef_table(LEVEL).iloc[1:]
        found[cov_type] = ((table["ci_lower"] <= COEF[1:]) & (COEF[1:] <= table["ci_upper"])).to_numpy()
    if refits:
        coefs = [GLMClassifier().fit(x[groups != g], y[groups != g]).coef_[0] for g in range(count)]
        moved = np.array(coefs) - glm.coef_[0]
        ratio = table["std_err"].to_numpy() / np.sqrt((count - 1) / count * np.square(moved).sum(axis=0))
    return found, ratio


def simulate(count: int, replications: int, rows: int, n_refits: int) -> Iterator[dict[str, Any]]:
    """Yield a line for each coefficient and covariance."""
    draws = [replicate(count, rows * count, seed, refits=seed < n_refits) for seed in range(replications)]
    ratios = np.mean([ratio for _, ratio in draws if ratio is not None], axis=0)
    for at, cov_type in product(range(len(NAMES)), COV_TYPES):
        share = np.mean([held[cov_type][at] for held, _ in draws])
        yield {
            "clusters": count,
            "coefficient": NAMES[at],
            "cov_type": cov_type,
            "coverage": share,
            "std_err": np.sqrt(share * (1 - share) / replications),
            "of_refits": ratios[at] if cov_type == "CRV3" else np.nan,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="+", default=[8, 15, 30])
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--refits", type=int, default=10, help="Replications that are compared with refits.")
    parser.add_argument("--rows", type=int, default=50, help="Rows per cluster, on average.")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    record = Record(asked.output)
    with dask.config.set(scheduler="synchronous"):
        for count in asked.clusters:
            for line in simulate(count, asked.replications, asked.rows, asked.refits):
                record.add(line, {"replications": asked.replications, "rows_per_cluster": asked.rows})
    print(record.table.loc[:, :"of_refits"].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
