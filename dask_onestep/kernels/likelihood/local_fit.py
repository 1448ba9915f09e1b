"""The maximum-likelihood fit of one block, and the reasons why there may be none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.covariance import degrees_of_freedom, dispersion
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import log_likelihoods
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Findings, Record, Sums
from dask_onestep.kernels.rows.labels import block_labels
from dask_onestep.kernels.rows.rows import encode, hold, kernel
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.messages.text import Remedy, instruction

_CURE = instruction(
    "Use larger blocks (X.rechunk) or shuffle the rows, or use a method that needs no local fits, such as {0}.",
    Remedy("method", "one-step"),
)


@dataclass(frozen=True, slots=True, eq=False)
class LocalFits(Record):
    """The local fits of K blocks, O(d²) numbers each; ``+`` concatenates.

    Attributes
    ----------
    n_rows, n_missing : int
        Usable rows, and rows dropped because of missing values, in total.
    labels : ndarray or None
        The sorted labels seen, of a classification.
    numbers : ndarray of shape (K,)
        The blocks' numbers; blocks without rows have no fit.
    n : ndarray of shape (K,)
        Their usable rows, or sums of frequency weights.
    coef : ndarray of shape (K, d)
        Local MLEs, with 0 for columns that are aliased in the block.
    kept : ndarray of shape (K, d) of bool
        Columns that are not aliased.
    information : ndarray of shape (K, d, d)
        Expected information of each block at its MLE.
    dispersion, df_resid, loglik : ndarray of shape (K,)
        φ̂ₖ (1 for families without one), nₖ − d, and ℓₖ at the local MLE at φ = 1.
    """

    n_rows: int
    n_missing: int
    labels: np.ndarray | None
    numbers: np.ndarray
    n: np.ndarray
    coef: np.ndarray
    kept: np.ndarray
    information: np.ndarray
    dispersion: np.ndarray
    df_resid: np.ndarray
    loglik: np.ndarray

    def __add__(self, other: LocalFits) -> LocalFits:
        seen = [labels for labels in (self.labels, other.labels) if labels is not None]
        beside = ("numbers", "n", "coef", "kept", "information", "dispersion", "df_resid", "loglik")
        return LocalFits(
            self.n_rows + other.n_rows,
            self.n_missing + other.n_missing,
            np.unique(np.concatenate(seen)) if seen else None,
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in beside},
        )


@dataclass(frozen=True, slots=True, eq=False)
class LocalRatios(Sums):
    """Sums over blocks for their local likelihood-ratio tests.

    Attributes
    ----------
    loglik, deviance : float
        Σₖ of ℓₖ(β̂ₖ) − ℓₖ(β̂₀ₖ), and of Dₖ(β̂₀ₖ) − Dₖ(β̂ₖ), both at φ = 1.
    df : int
        Number of restrictions, summed over blocks.
    pearson : float or None
        Σₖ of the larger models' Pearson χ²; None for families without a dispersion.
    df_resid : float
        Σₖ (nₖ − d).
    """

    loglik: float
    deviance: float
    df: int
    pearson: float | None
    df_resid: float


@kernel(whole="a block has a fit of its own")
def local_fit(rows: Rows, model: Model) -> LocalFits | Findings:
    """Return the maximum-likelihood fit of a block, with the labels found in it, or why it has none.

    Labels of a classification are not yet encoded. Without rows the result has no block.
    """
    d = len(model.names)
    if len(rows) == 0:
        none = np.empty(0)
        shape = np.empty((0, d))
        return LocalFits(
            0, rows.n_missing, None, none.astype(int), none, shape, shape > 0, np.empty((0, d, d)), none, none, none
        )
    fitted = fit_block(rows, model)
    if isinstance(fitted, Findings):
        return fitted
    _, fit, labels = fitted
    df_resid = degrees_of_freedom(fit.sums, model, fit.factor.rank)
    return LocalFits(
        len(rows),
        rows.n_missing,
        labels,
        np.array([rows.number]),
        np.array([df_resid + fit.factor.rank], dtype=np.float64),
        fit.factor.without_aliased(fit.coef, fit.sums.information)[None],
        fit.factor.kept[None],
        fit.sums.information[None],
        np.array([dispersion(fit.sums.pearson, df_resid)]),
        np.array([df_resid], dtype=np.float64),
        np.array([fit.sums.loglik]),
    )


@kernel(whole="a block has fits of its own")
def local_ratio(rows: Rows, model: Model, restricted: Model) -> LocalRatios | Findings:
    """Return a block's likelihood ratio of two nested models, both fitted to the block, or why there is no fit.

    Without rows the ratio is 0.
    """
    if len(rows) == 0:
        return LocalRatios(0.0, 0.0, 0, 0.0 if model.family.has_dispersion else None, 0.0)
    fitted = fit_block(rows, model)
    if isinstance(fitted, Findings):
        return fitted
    encoded, larger, _ = fitted
    held = hold(encoded, restricted)
    coef, rank = np.empty(0), 0
    if restricted.names:
        smaller = fit_rows(held, restricted)
        coef, rank = smaller.coef, smaller.factor.rank
    full = log_likelihoods(encoded, model, larger.coef[np.newaxis])
    null = log_likelihoods(held, restricted, coef[np.newaxis])
    return LocalRatios(
        float(full.loglik[0] - null.loglik[0]),
        float(null.deviance[0] - full.deviance[0]),
        larger.factor.rank - rank,
        larger.sums.pearson,
        degrees_of_freedom(larger.sums, model, larger.factor.rank),
    )


def fit_block(rows: Rows, model: Model) -> tuple[Rows, Ascent, np.ndarray | None] | Findings:
    """Return a block's rows, encoded by its own labels, with their converged fit and these labels.

    `Findings` are returned if the block has too few rows, only one class, more than two, or no MLE.
    """
    d = len(model.names)
    usable = len(rows)
    if not usable:
        cure = "Drop empty blocks, or use anchor='pilot'."
        return Findings((("no rows for a local fit", 0, cure),), (rows.number,))
    if usable <= d:
        return _poor(rows, f"too few rows for a local fit of {d} coefficients", usable)
    labels: Any = None
    if model.classify:
        labels = block_labels(rows)
        if isinstance(labels, Findings):
            return labels
        if len(labels) == 1:
            return _poor(rows, f"only one class for a local fit, {labels.tolist()[0]!r}", usable)
        if len(labels) > 2:
            what = "Only binary classification is supported. The type of the target is multiclass: y has the labels "
            cure = "More than two classes are fitted by method='one-step', 'mle' or 'pilot' with the logit link."
            return Findings(((what + ", ".join(map(repr, labels[:5].tolist())), 0, cure),), (rows.number,))
        encoded = encode(rows, labels)
        assert isinstance(encoded, Rows)
        rows = encoded
    fit = fit_rows(rows, model)
    if not fit.converged:
        what = "no maximum-likelihood estimate for a local fit: the rows are separated, or y is constant"
        return _poor(rows, what, usable)
    return rows, fit, labels


def _poor(rows: Rows, what: str, count: int) -> Findings:
    return Findings(((what, count, _CURE),), (rows.number,))
