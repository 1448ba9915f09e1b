"""Models of this package in marginaleffects (0.6.0), compared with those of statsmodels and with our own averages.

From the repository, with marginaleffects, polars (below 2) and statsmodels installed:
python tests/marginaleffects/adapter.py
"""

import marginaleffects as me
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from marginaleffects import datagrid

from dask_onestep import GLMClassifier, GLMRegressor


def data():
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(0, 2, n)})
    table["kind"] = pd.Categorical(rng.choice(["b", "a", "c"], n), ["b", "a", "c"])
    table["count"] = rng.poisson(np.exp(0.3 * table["x"] + 0.2 * table["z"]))
    table["label"] = rng.choice(["p", "q", "r"], n)
    return table


def agree(ours, theirs, rtol):
    np.testing.assert_allclose(ours["estimate"].to_numpy(), theirs["estimate"].to_numpy(), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(ours["std_error"].to_numpy(), theirs["std_error"].to_numpy(), rtol=rtol)


def main():
    table = data()
    formula = "count ~ x*kind + z"
    glm = GLMRegressor("poisson", method="mle", formula=formula).fit(table)
    ours = glm.to_marginaleffects(table)
    theirs = smf.glm(formula, table, family=sm.families.Poisson()).fit(tol=1e-14)
    # The package has standard errors of slopes by finite differences of finite differences.
    agree(me.avg_slopes(ours), me.avg_slopes(theirs), 1e-3)
    agree(me.avg_comparisons(ours), me.avg_comparisons(theirs), 1e-7)
    agree(me.avg_comparisons(ours, variables="kind"), me.avg_comparisons(theirs, variables="kind"), 1e-7)
    agree(me.avg_predictions(ours, by="kind"), me.avg_predictions(theirs, by="kind"), 1e-7)
    grids = [datagrid(model, x=[0, 1], kind=["a", "b"]) for model in (ours, theirs)]
    agree(me.predictions(ours, newdata=grids[0]), me.predictions(theirs, newdata=grids[1]), 1e-7)
    # Of numeric columns the package compares half a unit to both sides, and R and we one unit ahead.
    own = glm.avg_comparisons(table, "kind").rename(columns={"std_err": "std_error"})
    agree(me.avg_comparisons(ours, variables="kind"), own, 1e-7)
    classes = GLMClassifier(formula="label ~ x + z").fit(table)
    found = me.avg_slopes(classes.to_marginaleffects(table)).to_pandas().sort_values(["term", "group"])
    agree(found, classes.avg_slopes(table).rename(columns={"std_err": "std_error"}), 1e-3)
    me.avg_slopes(ours, hypothesis="difference ~ reference")


if __name__ == "__main__":
    main()
