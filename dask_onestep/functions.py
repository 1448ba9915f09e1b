"""Lazy building blocks for user-defined estimators.

Each function accepts Dask arrays, Dask DataFrames, NumPy or pandas data, computes nothing, and returns a
`dask.delayed.Delayed` of a small record, or a Dask collection with the blocks of X.
"""

from typing import Any

import numpy as np
import pandas as pd
from dask.dataframe.dispatch import make_meta
from dask.delayed import Delayed

from dask_onestep.data.inputs import Data, as_frame, bring_together, refuse_other_order, split_columns
from dask_onestep.families import Binomial, Family, resolve_family
from dask_onestep.graph import apply, gather, map_rows, tree_sum
from dask_onestep.kernels.designs.parts import PARTS, Rows
from dask_onestep.kernels.designs.split_matrix import SplitMatrix
from dask_onestep.kernels.lassos.gram import GramSums, WeightedDesign, gram_sums
from dask_onestep.kernels.lassos.nodewise import NodewiseRows, approximate_inverse, join_rows, nodewise_rows, row_shares
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments as moments_of_block
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import sample_rows
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize
from dask_onestep.links import LINKS, LinkLike, resolve_link
from dask_onestep.methods.arguments import check_pilot_size, seed_of


def moments(
    X: Any,
    y: Any,
    coef: Any,
    *,
    family: str | Family = "gaussian",
    link: str | LinkLike | None = None,
    sample_weight: Any = None,
    offset: Any = None,
) -> Delayed:
    """Return, lazily, log-likelihood, score and expected information of all rows at β: one pass.

    Parameters
    ----------
    X : dask Array, dask DataFrame, or array-like of shape (n, p)
        Covariates.
    y : array-like or Dask collection of shape (n,), or str
        Response; for the binomial family 0 and 1, or proportions.
    coef : array-like of shape (p,) or (p + 1,)
        β; with p + 1 numbers the first is the intercept.
    family, link : str, Family, LinkLike or None
        As for `GLMRegressor`.
    sample_weight, offset : array-like or Dask collection of shape (n,), str, or None
        As for ``GLMRegressor.fit``.

    Returns
    -------
    Delayed
        `dask_onestep.kernels.records.Moments`: sums over rows, the score +∂ℓ/∂β, at φ = 1.

    Raises
    ------
    ValueError
        If `coef` has another length, or lengths or chunks of the data differ.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep import moments
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(1000, 2, family="poisson")
    >>> sums = moments(X, y, coef, family="poisson").compute()
    >>> step = np.linalg.solve(sums.information, sums.score)
    >>> bool(abs(step).max() < 0.2)
    True
    """
    data = _data(X, y=y, weights=sample_weight, offset=offset)
    model, coef = _model(data, coef, family, link)
    blocks = gather(*data.parts)
    return tree_sum(blocks, moments_of_block, model, coef, name="moments")


def pilot_sample(X: Any, y: Any, size: str | int | float, *, random_state: Any = 0) -> Delayed:
    """Return, lazily, a simple random sample without replacement of all rows: one pass.

    If chunk sizes are known, the rows do not depend on the chunking; they are those that `OneStep` draws with this
    seed.

    Parameters
    ----------
    X : dask Array, dask DataFrame, or array-like of shape (n, p)
        Covariates.
    y : array-like or Dask collection of shape (n,), or str
        Response or labels of any kind.
    size : "auto", int or float
        A number of rows, a fraction of all rows, or max(20√n, 50(p + 1)).
    random_state : int, RandomState or None, default=0
        Seed.

    Returns
    -------
    Delayed
        Two arrays, X of shape (m, p) and y of shape (m,), rows in the order of the data.

    Raises
    ------
    ValueError
        If `size` is none of these.

    Examples
    --------
    >>> from dask_onestep import pilot_sample
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(1000, 2)
    >>> pilot_X, pilot_y = pilot_sample(X, y, 50).compute()
    >>> pilot_X.shape, pilot_y.shape
    ((50, 2), (50,))
    """
    data = _data(X, y=y)
    blocks = gather(*data.parts)
    rule = PilotSize(check_pilot_size(size), len(data.columns) + 1, blocks.n_rows)
    sample = tree_sum(blocks, _sample, _columns_only(data), rule, seed_of(random_state), name="pilot-sample")
    return apply(_drawn, sample, name="pilot")


def weighted_design(
    X: Any, coef: Any, *, family: str | Family = "gaussian", link: str | LinkLike | None = None, offset: Any = None
) -> Any:
    """Return, lazily, W^{1/2}X, W the expected information of each row in η at β.

    Its Gram matrix is the information at β: the design on which a model's nodewise lasso runs.

    Parameters
    ----------
    X : dask Array, dask DataFrame, or array-like of shape (n, p)
        Covariates.
    coef : array-like of shape (p,) or (p + 1,)
        β; with p + 1 numbers the first is the intercept, whose column comes first.
    family, link : str, Family, LinkLike or None
        As for `GLMRegressor`.
    offset : array-like or Dask collection of shape (n,), str, or None
        Added to the linear predictor.

    Returns
    -------
    dask Array or dask DataFrame of shape (n, len(coef))
        Rows √wᵢ xᵢ, wᵢ = μ'²/V(μ), in the blocks of `X`.

    Raises
    ------
    ValueError
        If `coef` is of another length.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep import weighted_design
    >>> weighted_design(np.ones((3, 1)), [0.0], family="binomial").compute().ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    data = _data(X, divided=False, offset=offset)
    model, coef = _model(data, coef, family, link)
    like: Any = np.empty((0, len(coef)))
    if hasattr(data.x, "columns"):
        like = make_meta(data.x).iloc[:, :0].reindex(columns=list(model.names)).astype(np.float64)
    return map_rows(WeightedDesign(model, coef), {"x": data.x, "offset": data.offset}, like, name="weighted-design")


def nodewise_lasso(X: Any, alpha: Any, *, weights: Any = None) -> Delayed:
    """Return, lazily, the lasso of each column on all others: one pass, for the Gram matrix.

    γ_j = argmin ‖x_j − X_{−j}γ‖²/(2n) + Σ α_k|γ_k|, and the nodewise weight τ_j² is
    ‖x_j − X_{−j}γ_j‖²/n + Σ α_k|γ_jk|.

    Parameters
    ----------
    X : dask Array, dask DataFrame, or array-like of shape (n, p)
        The (weighted) design; an intercept must be a column of it.
    alpha : float or array-like of shape (p,)
        Penalty, of each column where it is a covariate; 0 for columns that are never penalized.
    weights : array-like or Dask collection of shape (n,), or str, optional
        Working weights W: the lasso of W^{1/2}X.

    Returns
    -------
    Delayed
        `dask_onestep.kernels.lassos.nodewise.NodewiseRows`, with `rows` of shape (p, p) and `weights`, τ_j², of
        shape (p,).

    Raises
    ------
    ValueError
        If `alpha` is negative, not a number, or has another length.  When computed, if a column is zero, or a linear
        combination of columns that are not penalized.

    Examples
    --------
    >>> from dask_onestep import nodewise_lasso
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(1000, 3)
    >>> nodewise_lasso(X, 0.1).compute().rows.tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    data = _data(X, weights=weights)
    p = len(data.columns)
    penalty = _penalties(alpha, p)
    # The kernels want a y, which these do not read.
    if hasattr(data.x, "columns"):
        unread = data.x[data.columns[0]]
    else:
        unread = data.x[:, :1].map_blocks(_no_response, dtype=float, drop_axis=1, meta=np.empty(0))
    blocks, model = gather(data.x, unread, data.weights, lengths=data.layout.lengths), _columns_only(data)
    total = tree_sum(blocks, gram_sums, model, name="gram", record_bytes=8 * p**2)
    gram = apply(_gram, total, name="gram-mean")
    parts = [apply(_rows, gram, share, penalty, data.columns, name="nodewise") for share in row_shares(p)]
    return apply(join_rows, *parts, name="nodewise-rows")


def approximate_inverse_covariance(nodewise: NodewiseRows | Delayed) -> Any:
    """Return Θ̂, row j τ_j⁻² (1 at j, −γ_j elsewhere), from the rows of a nodewise lasso; lazily, if they are.

    Parameters
    ----------
    nodewise : NodewiseRows or Delayed
        What `nodewise_lasso` returns.

    Returns
    -------
    ndarray of shape (p, p), or Delayed
        The approximate inverse of X'X/n.

    Raises
    ------
    ValueError
        If a nodewise weight is 0.

    Examples
    --------
    >>> from dask_onestep import approximate_inverse_covariance, nodewise_lasso
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(1000, 3)
    >>> approximate_inverse_covariance(nodewise_lasso(X, 0.1)).compute().shape
    (3, 3)
    """
    if isinstance(nodewise, Delayed):
        return apply(approximate_inverse, nodewise, name="approximate-inverse-covariance")
    return approximate_inverse(nodewise)


def _data(X: Any, *, divided: bool = True, **parts: Any) -> Data:
    given = dict.fromkeys(PARTS[1:]) | parts
    refuse_other_order(X, given)
    X, given, layout = as_frame(X, given, divided=divided)
    X, given = split_columns(X, given)
    if not hasattr(X, "ndim"):
        X = np.asarray(X)
    if isinstance(X, pd.DataFrame):
        return bring_together(X.to_numpy(), given, tuple(map(str, X.columns)))
    return bring_together(X, given, layout=layout)


def _penalties(alpha: Any, p: int) -> np.ndarray:
    try:
        penalty = np.asarray(alpha, dtype=np.float64)
        penalty = np.full(p, penalty) if penalty.ndim == 0 else penalty
        usable = penalty.shape == (p,) and bool((np.isfinite(penalty) & (penalty >= 0)).all())
    except (TypeError, ValueError):
        usable = False
    if not usable:
        hint = " 'auto' is an option of DebiasedLasso." if isinstance(alpha, str) and alpha == "auto" else ""
        raise ValueError(f"alpha={alpha!r} must be a number ≥ 0, or one for each of the {p} columns of X.{hint}")
    return penalty


def _model(data: Data, coef: Any, family: str | Family, link: str | LinkLike | None) -> tuple[Model, np.ndarray]:
    if getattr(family, "alpha", family) in ("negative-binomial", "estimate"):
        raise ValueError(f"family={family!r} requires a fixed alpha here: use family=NegativeBinomial(alpha=...).")
    law, p = resolve_family(family), len(data.columns)
    coef = np.asarray(coef, dtype=np.float64)
    if coef.shape not in ((p,), (p + 1,)):
        raise ValueError(f"coef has shape {coef.shape}; X has {p} columns, so ({p},), or ({p + 1},) with an intercept.")
    if not np.isfinite(coef).all():
        names = data.columns if len(coef) == p else ("intercept", *data.columns)
        bad = ", ".join(name for name, value in zip(names, coef, strict=True) if not np.isfinite(value))
        raise ValueError(
            f"coef holds NaN or infinity: {bad}. Coefficients of aliased columns are NaN: drop the columns from X, or "
            "replace the coefficients by 0."
        )
    likelihood = OnePredictor(law, resolve_link(law.default_link if link is None else link))
    return Model(likelihood, data.columns, len(coef) == p + 1), coef


def _columns_only(data: Data) -> Model:
    """Return a model that asks nothing of y."""
    return Model(OnePredictor(Binomial(), LINKS["logit"]), data.columns, fit_intercept=False, classify=True)


def _sample(rows: Rows, model: Model, size: PilotSize, seed: int) -> PilotSample:
    return sample_rows(rows, size, seed)


def _drawn(sample: PilotSample) -> tuple[np.ndarray, np.ndarray]:
    drawn = sample.drawn()
    return drawn.x.toarray() if isinstance(drawn.x, SplitMatrix) else drawn.x, drawn.y


def _no_response(x: Any) -> np.ndarray:
    return np.zeros(x.shape[0])


def _rows(gram: np.ndarray, share: range, penalty: np.ndarray, names: tuple[str, ...]) -> NodewiseRows:
    found = nodewise_rows(gram, share, penalty)
    if (empty := found.weights == 0).any():
        raise ValueError(
            f"The nodewise lasso is undefined for {', '.join(names[j] for j in found.index[empty])}: the column is "
            "zero, or a linear combination of columns whose alpha is 0. Drop it, or use a positive alpha for the "
            "others."
        )
    return found


def _gram(total: GramSums) -> np.ndarray:
    return total.gram / total.n
