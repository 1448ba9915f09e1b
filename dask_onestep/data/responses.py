"""A response that is passed next to a formula that names it, as scikit-learn's tools do."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.terms import Factor


def join_response(x: Any, y: Any, response: Factor) -> Any:
    """Return a frame that has the response of a formula, given also as y."""
    name, *others = response.columns
    if others:
        raise ValueError(
            f"The formula's left-hand side {response.name!r} reads {len(response.columns)} columns: pass them in X, "
            "without y."
        )
    names = [str(column) for column in x.columns]
    if isinstance(x, dd.DataFrame):
        if not isinstance(y, dd.Series) or (name in names and str(y.name) != name):
            raise ValueError(_another(response, name))
        return x if name in names else x.assign(**{name: y})
    values = pd.Series(y.array if isinstance(y, (pd.Series, pd.Index)) else np.asarray(y), index=x.index)
    if name not in names:
        return x.assign(**{name: values})
    known = x.iloc[:, names.index(name)]
    if not bool(((known == values) | (known.isna() & values.isna())).all()):
        raise ValueError(_another(response, name))
    return x


def _another(response: Factor, name: str) -> str:
    return (
        f"y is not the column {name!r} of X, which the formula has on its left-hand side ({response.name}). Omit y, "
        f"or drop {name!r} from X."
    )
