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
import shlex
import sys
import warnings
from pathlib import Path

import dask
import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from benchmarks.origin import commit
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


def simulate(counts: list[int], replications: int, rows: int, n_refits: int) -> pd.DataFrame:
    """Return a line for each number of clusters, coefficient and covariance."""
    lines = []
    for count in counts:
        covered = {cov_type: np.zeros(len(NAMES), dtype=int) for cov_type in COV_TYPES}
        ratios = []
        for seed in range(replications):
            held, ratio = replicate(count, rows * count, seed, refits=seed < n_refits)
            for cov_type in COV_TYPES:
                covered[cov_type] += held[cov_type]
            ratios += [] if ratio is None else [ratio]
        for at, name in enumerate(NAMES):
            for cov_type in COV_TYPES:
                share = covered[cov_type][at] / replications
                line = {"clusters": count, "coefficient": name, "cov_type": cov_type, "coverage": f"{share:.3f}"}
                line["std_err"] = f"{np.sqrt(share * (1 - share) / replications):.3f}"
                line["of_refits"] = f"{np.mean(ratios, axis=0)[at]:.4f}" if cov_type == "CRV3" else ""
                lines.append(line)
    return pd.DataFrame(lines)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="+", default=[8, 15, 30])
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--refits", type=int, default=10, help="Replications that are compared with refits.")
    parser.add_argument("--rows", type=int, default=50, help="Rows per cluster, on average.")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    with dask.config.set(scheduler="synchronous"):
        table = simulate(asked.clusters, asked.replications, asked.rows, asked.refits)
    table = table.assign(replications=asked.replications, rows_per_cluster=asked.rows, commit=commit())
    table["command"] = shlex.join(["python", "-m", "benchmarks.few_clusters", *argv])
    table.to_csv(asked.output, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
