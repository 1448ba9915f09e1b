"""Draw the README's figure: ``python docs/_scripts/readme_figure.py``.

The flights of 2013 in 60 blocks by month: the distance of the average of the blocks' fits and of the one-step estimate
from the global maximum-likelihood estimate, in standard errors.
"""

from __future__ import annotations

from pathlib import Path

import dask
import matplotlib.pyplot as plt
import numpy as np

from dask_onestep import MLE, Average, GLMClassifier, OneStep
from dask_onestep.datasets import load_flights

NAMES = ("time of departure", "scheduled arrival", "minutes in the air", "miles")
BLOCKS = 60
STYLES = {"average of 60 local fits, 1 pass": ("#D55E00", "s"), "one step, 2 passes": ("#0072B2", "o")}


def main() -> None:
    """Fit by three methods and draw."""
    dask.config.set(scheduler="threads")
    X, y = load_flights(return_X_y=True)
    rows = -(-len(y) // BLOCKS)
    X, y = dask.persist(X.rechunk({0: rows}), y.rechunk(rows))
    best = GLMClassifier(method=MLE()).fit(X, y)
    std_err = best.coef_table()["std_err"].to_numpy()[1:]
    # As narrow as a phone can show with letters that can be read.
    plt.rcParams["font.size"] = 12
    fig, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    ax.axvspan(
        -1.96, 1.96, color="#009E73", alpha=0.15, linewidth=0, label=f"95% interval of the MLE, {best.n_passes_} passes"
    )
    for (label, (color, mark)), method in zip(STYLES.items(), (Average(), OneStep(pilot_size=11_000)), strict=True):
        gap = (GLMClassifier(method=method).fit(X, y).coef_ - best.coef_)[0] / std_err
        ax.scatter(gap, np.arange(4), color=color, marker=mark, label=label, zorder=3)
    ax.set_yticks(range(4), labels=NAMES)
    ax.invert_yaxis()
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)
    ax.set_xlabel("difference from the MLE, in standard errors")
    fig.legend(loc="outside upper center", ncols=1, frameon=False)
    fig.savefig(Path(__file__).resolve().parent.parent / "_static" / "readme.png", dpi=120)


if __name__ == "__main__":
    main()
