"""Kernels common to all likelihoods: log-likelihood, score, information and Pearson's χ² of a block.

`scores` is for passes that do not need the information.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import LogLikelihoods, Moments, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices

# What a likelihood's `row_state` returns, of all rows.
States = tuple[np.ndarray, ...]


@kernel(checked="after", sliced=True)
def moments(rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
    """Return log-likelihood, score and expected information of a block at β.

    If the rows are the full data, in memory, the stages of the likelihood are run here.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β, intercept first.
    *earlier : object
        Results of the likelihood's earlier stages, from all blocks.

    Returns
    -------
    Moments
        Sums over the block's rows.
    """
    return model.likelihood.moments(rows, model, coef, *_of_stages(rows, model, coef, earlier))


@kernel(checked="after", sliced=True)
def observed_moments(rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
    """Return the moments of a block at β, and the observed information where it is not the expected one."""
    return model.likelihood.observed_moments(rows, model, coef, *_of_stages(rows, model, coef, earlier))


def _of_stages(rows: Rows, model: Model, coef: np.ndarray, earlier: tuple[Any, ...]) -> list[Any]:
    """Return the results of all stages, given those of the earlier ones."""
    found = list(earlier)
    for stage in model.likelihood.stages[len(found) :]:
        found.append(stage.finish(stage.kernel(rows, model, coef, *found), model, *found))
    return found


@kernel(checked="after", columns="all")
def embedded_moments(rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
    """Return the moments of a restricted model, computed with the columns of the unrestricted one.

    No columns are copied, so many restricted models cost little more than one. The restricted model has one linear
    predictor and no basis; `coef` holds its free coefficients.
    """
    full = observed_moments(rows, model.unrestricted, model.embed(coef), *earlier)
    return full.along(model.directions) if model.ties else full.minor(np.flatnonzero(model.is_free))


@kernel(checked="after")
def initial_moments(rows: Rows, model: Model) -> Moments:
    """Return the sums whose Newton step from β = 0 is the first weighted least-squares fit.

    As in R's ``glm``, the mean is the family's starting value instead of g⁻¹(x'β): the working response is
    z = g(μ) + (y − μ)/μ', and the "score" is X'W(z − offset). The log-likelihood is −inf, since no β belongs to it.
    """
    return model.likelihood.initial_moments(rows, model)


def column_sums(rows: Rows, model: Model) -> np.ndarray:
    """Return Σ wᵢxᵢ and Σ wᵢxᵢ² of each column, of shape (2, d)."""
    total = np.zeros((2, model.width))
    with np.errstate(all="ignore"):  # non-finite values show in the sums
        for part in slices(rows, model):
            weights = part.row_weights
            total += np.stack([part.weighted_sum(weights), part.weighted_squares(weights)])
    return total


def row_log_likelihoods(rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of each row at β, for weight 1 and φ = 1."""
    with np.errstate(all="ignore"):
        found = [model.likelihood.row_log_likelihoods(part, model, coef) for part in slices(rows, model)]
    return np.concatenate([np.empty(0), *found])


def row_states(rows: Rows, model: Model, coef: np.ndarray) -> States:
    """Return what `row_changes` uses of each row at β."""
    found = [model.likelihood.row_state(part, model, coef) for part in slices(rows, model)]
    return tuple(map(np.concatenate, zip(*found, strict=True)))


def moments_and_states(rows: Rows, model: Model, coef: np.ndarray) -> tuple[Moments, States | None]:
    """Return the moments at β, and the states of the rows if these are found on the way."""
    likelihood = model.likelihood
    if not isinstance(likelihood, OnePredictor) or not likelihood.natural:
        return moments(rows, model, coef), None
    if type(likelihood).moments is not OnePredictor.moments:  # a user's own
        return moments(rows, model, coef), None
    of_rows = np.empty((3, len(rows)))
    return likelihood.moments(rows, model, coef, of_rows=of_rows), tuple(of_rows)


def row_changes(
    rows: Rows, model: Model, before: States, after: States
) -> Iterator[tuple[Slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each slice, the part of its rows' weighted residuals at β + δ that is nonlinear in δ, these, and x'δ.

    The first is rᵢ(β + δ) − rᵢ(β) + hᵢx'δ, hᵢ the observed information, of shape (m,) or (m, C − 1). Multiplied by xᵢ
    it is sᵢ(β + δ) − sᵢ(β) + Hᵢ(β)δ.
    """
    for part in slices(rows, model):
        ends = (tuple(each[part.rows] for each in states) for states in (before, after))
        yield part, *model.likelihood.row_changes(*ends)


@kernel(checked="after")
def log_likelihoods(rows: Rows, model: Model, coefs: np.ndarray) -> LogLikelihoods:
    """Return log-likelihood and deviance of a block at several β (the rows of `coefs`), reading it once."""
    return model.likelihood.log_likelihoods(rows, model, coefs)


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Sums):
    """The score summed over rows.

    Attributes
    ----------
    n, n_missing : int
        Usable rows, and rows dropped because of missing values.
    weight : float
        Σ wᵢ; equal to `n` without weights.
    score : ndarray of shape (d,)
        s(β) = +∂ℓ/∂β.
    """

    n: int
    n_missing: int
    weight: float
    score: np.ndarray


@kernel(checked="after")
def scores(rows: Rows, model: Model, coef: np.ndarray) -> Scores:
    """Return the score of a block at β, without the information, which costs d times as much."""
    score = np.zeros(len(model.free))
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            summed = part.natural_sums(model.family, coef, informed=False) if model.natural else None
            if summed is not None:
                score += summed[1]
                continue
            residual = model.likelihood.row_residuals(part, model, coef)
            score += part.weighted_sum(part.weighted(residual)).T.ravel()
    return Scores(len(rows), rows.n_missing, rows.total_weight, score[model.free])
