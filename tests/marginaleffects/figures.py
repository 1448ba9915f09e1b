"""Average effects by the Python package marginaleffects (0.6.0) on statsmodels models.

From the repository, with marginaleffects, polars and statsmodels installed: python tests/marginaleffects/figures.py
"""

from pathlib import Path

import marginaleffects as me
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

HERE = Path(__file__).parent
FORMULA = "{y} ~ x * C(kind) + I(x**2) + z"


def data():
    """Return covariates and responses, rounded so that a file holds them exactly."""
    rng = np.random.default_rng(25)
    n = 240
    table = pd.DataFrame(
        {
            "x": rng.normal(size=n).round(3),
            "z": rng.uniform(0, 2, n).round(3),
            "kind": rng.choice(["a", "b", "c"], n),
            "site": rng.choice(["north", "south"], n),
            "w": rng.uniform(0.5, 3, n).round(3),
        }
    )
    eta = 0.2 + 0.5 * table["x"] - 0.3 * table["z"] + 0.4 * (table["kind"] == "b") * table["x"]
    table["event"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    table["count"] = rng.poisson(np.exp(eta))
    return table


CALLS = {
    "slopes": (me.avg_slopes, {"variables": ["x", "z"]}),
    "slopes-by": (me.avg_slopes, {"variables": "x", "by": ["site", "kind"]}),
    "pair": (me.avg_comparisons, {"variables": {"x": [-1, 2]}}),
    "pair-ratio": (me.avg_comparisons, {"variables": {"x": [-1, 2]}, "comparison": "ratio"}),
    "pair-lnratio": (me.avg_comparisons, {"variables": {"x": [-1, 2]}, "comparison": "lnratio", "by": "site"}),
    "pair-lift": (me.avg_comparisons, {"variables": {"x": [-1, 2]}, "comparison": "lift"}),
    "reference": (me.avg_comparisons, {"variables": {"kind": "reference"}}),
    "pairwise": (me.avg_comparisons, {"variables": {"kind": "pairwise"}, "by": "site"}),
    "sequential": (me.avg_comparisons, {"variables": {"kind": "sequential"}, "comparison": "ratio"}),
    "iqr": (me.avg_comparisons, {"variables": {"x": "iqr"}}),
    "minmax": (me.avg_comparisons, {"variables": {"x": "minmax"}}),
    "mean": (me.avg_predictions, {}),
    "mean-by": (me.avg_predictions, {"by": ["site", "kind"]}),
    "counterfactual": (me.avg_predictions, {"variables": {"x": [0, 1], "z": [0.5]}, "by": ["x", "z"]}),
    "weighted-slopes": (me.avg_slopes, {"variables": ["x"], "wts": "w", "by": "kind"}),
    "weighted-pair": (me.avg_comparisons, {"variables": {"x": [-1, 2]}, "wts": "w", "comparison": "ratio"}),
}


def figures(table):
    """Yield model, call, keys of a row, estimate and standard error."""
    for y, family in (("event", sm.families.Binomial()), ("count", sm.families.Poisson())):
        coded = table.astype({"kind": "category", "site": "category"})
        model = smf.glm(FORMULA.format(y=y), coded, family=family).fit(tol=1e-14, maxiter=100)
        for call, (function, options) in CALLS.items():
            found = function(model, **options).to_pandas()
            by = options.get("by", [])
            keys = [name for name in ("term", *([by] if isinstance(by, str) else by)) if name in found]
            for _, row in found.sort_values([*keys, *(["contrast"] if "contrast" in found else [])]).iterrows():
                key = " ".join(str(row[name]) for name in keys)
                yield y, call, key, row.get("contrast", ""), row["estimate"], row["std_error"]


if __name__ == "__main__":
    table = data()
    table.to_csv(HERE / "data.csv", index=False)
    columns = ["model", "call", "key", "contrast", "estimate", "std_error"]
    pd.DataFrame(figures(table), columns=columns).to_csv(HERE / "figures.csv", index=False)
