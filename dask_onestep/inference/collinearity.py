"""Collinearity from the information of a fit: variance inflation factors and condition indices."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dask_onestep.kernels.solve.linear_algebra import factorize


def variance_inflation(
    information: np.ndarray, names: Sequence[str], terms: Mapping[str, Sequence[str]], intercepts: Sequence[str]
) -> pd.DataFrame:
    """Return the generalized variance inflation factor of each term (Fox and Monette, JASA 87, 1992).

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.collinearity import variance_inflation
    >>> variance_inflation(np.eye(2), ["a", "b"], {"a": ["a"], "b": ["b"]}, [])["gvif"].tolist()
    [1.0, 1.0]
    """
    covariance = factorize(information, intercept=bool(intercepts) and names[0] in intercepts).inverse()
    slopes = [j for j, name in enumerate(names) if name not in intercepts and np.isfinite(covariance[j, j])]
    scale = np.sqrt(np.diag(covariance)[slopes])
    correlation = covariance[np.ix_(slopes, slopes)] / np.outer(scale, scale)
    at = {names[j]: place for place, j in enumerate(slopes)}
    rows = {}
    for term, coefficients in terms.items():
        own = [at[name] for name in coefficients if name in at]
        rest = [place for place in range(len(slopes)) if place not in own]
        logs = [np.linalg.slogdet(correlation[np.ix_(some, some)])[1] for some in (own, rest, range(len(slopes)))]
        gvif = float(np.exp(logs[0] + logs[1] - logs[2])) if own else np.nan
        rows[term] = (gvif, len(own), gvif ** (1 / (2 * len(own))) if own else np.nan)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["gvif", "df", "gvif_root"])


def condition_indices(information: np.ndarray, names: Sequence[str], *, intercept: bool = True) -> pd.DataFrame:
    """Return condition indices and variance decomposition proportions (Belsley, Kuh and Welsch, 1980).

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.inference.collinearity import condition_indices
    >>> condition_indices(np.array([[1.0, 0.6], [0.6, 1.0]]), ["a", "b"])["condition_index"].tolist()
    [1.0, 2.0]
    """
    kept = np.flatnonzero(factorize(information, intercept=intercept).kept).tolist()
    scale = np.sqrt(np.diag(information)[kept])
    values, vectors = np.linalg.eigh(information[np.ix_(kept, kept)] / np.outer(scale, scale))
    values, vectors = values[::-1], vectors[:, ::-1]
    parts = np.square(vectors) / values
    proportions = pd.DataFrame((parts / parts.sum(axis=1, keepdims=True)).T, columns=[names[j] for j in kept])
    proportions.insert(0, "condition_index", np.sqrt(values[0] / values))
    return proportions
