"""The likelihood's sums over a block: log-likelihood, score, information, Pearson χ²."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dask_onestep.kernels.algebra import Slice
from dask_onestep.kernels.classes import multinomial
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import LogLikelihoods, Moments
from dask_onestep.kernels.rows import Rows, additive, embeds, self_checking
from dask_onestep.kernels.slices import slices
from dask_onestep.links import mean_and_derivative

__all__ = [
    "embedded_moments",
    "initial_moments",
    "log_likelihoods",
    "moments",
    "remainders",
    "row_log_likelihood",
    "row_log_likelihoods",
    "row_residuals",
    "working",
]


def working(model: Model, y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return μ, (y − μ)μ'/V(μ) and μ'²/V(μ) of each row.

    Parameters
    ----------
    model : Model
        Family and link.
    y, eta : ndarray of shape (m,)
        Response and linear predictor.

    Returns
    -------
    mean, residual, weight : ndarray of shape (m,)
        The mean; the derivative of the log-likelihood in η; the expected information in η.
    """
    mean, derivative = mean_and_derivative(model.link, eta)
    return mean, *_residual_and_weight(model, y, mean, derivative)


def _residual_and_weight(model, y, mean, derivative):
    if model.natural:
        return y - mean, derivative
    quotient = derivative / model.family.variance(mean)
    return (y - mean) * quotient, derivative * quotient


def row_log_likelihood(
    model: Model, y: np.ndarray, eta: np.ndarray, mean: np.ndarray, information: np.ndarray
) -> np.ndarray:
    """Return log p(y; μ) at φ = 1 for rows of weight 1; −inf where μ is not a mean of the family.

    Parameters
    ----------
    model : Model
        Family and link.
    y, eta, mean : ndarray
        Response, linear predictor and mean, of shapes that broadcast.
    information : ndarray
        The expected information in η, which where η is the natural parameter is dμ/dη; not used elsewhere.

    Returns
    -------
    ndarray
        Log-likelihoods.
    """
    if model.natural:
        return model.family.natural_log_likelihood(y, eta, mean, information)
    valid = model.family.valid_mean(mean)
    if valid.all():
        return model.family.log_likelihood(y, mean)
    loglik = model.family.log_likelihood(y, np.where(valid, mean, 1.0))
    return np.where(valid, loglik, -np.inf)


@additive
@self_checking
def moments(rows: Rows, model: Model, coef: np.ndarray) -> Moments:
    """Return log-likelihood, score and expected information of a block at β.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β, intercept first.

    Returns
    -------
    Moments
        Sums over the block's rows.
    """
    return multinomial.moments(rows, model, coef) if model.outcomes else _sum_slices(rows, model, coef)


@additive
@self_checking
@embeds
def embedded_moments(rows: Rows, model: Model, coef: np.ndarray) -> Moments:
    """Return a restricted model's moments: those of the unrestricted one, in the coefficients that are estimated.

    No columns are copied, so that many restricted models cost little more than one.

    Parameters
    ----------
    rows : Rows
        The block, with all columns.
    model : Model
        The restricted model, of one linear predictor and without a basis.
    coef : ndarray of shape (d,)
        β of the coefficients that are estimated.

    Returns
    -------
    Moments
        Sums over the block's rows.
    """
    full = moments(rows, model.unrestricted, model.embed(coef))
    return full.along(model.directions) if model.ties else full.minor(np.flatnonzero(model.is_free))


@additive
@self_checking
def initial_moments(rows: Rows, model: Model) -> Moments:
    """Return the sums whose Newton step from β = 0 is the first weighted least-squares fit.

    The mean is the family's starting value and not yet g⁻¹(x'β), as in R's ``glm``: the working
    response is z = g(μ) + (y − μ)/μ', and "score" is X'W(z − offset).

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.

    Returns
    -------
    Moments
        Sums over the block's rows, the log-likelihood −inf, since no β belongs to them.
    """
    if model.outcomes:
        return multinomial.moments(rows, model, np.zeros(len(model.names)))
    return _sum_slices(rows, model, None)


def _sum_slices(rows: Rows, model: Model, coef: np.ndarray | None) -> Moments:
    d = len(model.names)
    chi2: tuple = (0.0, np.zeros(d)) if model.family.has_dispersion else (None, None)
    sums: list | None = None
    with np.errstate(all="ignore"):  # what is not finite shows in the sums
        for part in slices(rows, model):
            found = _slice_sums(part, model, coef)
            # The first slice's become the whole's: of 1,000 columns a second matrix costs more than the rows.
            sums = list(found) if sums is None else [_added(a, b) for a, b in zip(sums, found, strict=True)]
    total = float(len(rows)) if rows.weights is None else float(rows.weights.sum())
    return Moments(len(rows), total, *(sums or (0.0, np.zeros(d), np.zeros((d, d)), *chi2)))


def _added(total, part):
    if total is not None:
        total += part
    return total


def _slice_sums(part: Slice, model: Model, coef: np.ndarray | None) -> tuple:
    """Return log-likelihood, score, information, Pearson χ² and its gradient of a slice, the latter two or None."""
    y, weights, family = part.y, part.weights, model.family
    if coef is not None and model.natural and (summed := part.natural_sums(family, coef)) is not None:
        loglik, score, information = summed
        # Under the normal law χ² is Σ w(y − η)², the log-likelihood times −2.
        pearson, gradient = (-2.0 * loglik, -2.0 * score) if model.quadratic else (None, None)
        constant = family.log_base_measure(y)
        if constant is not None:
            loglik += _weighted_sum(constant, weights)
        return loglik, score, information, pearson, gradient
    if coef is None:
        mean = family.initial_mean(y, np.ones_like(y) if weights is None else weights)
        eta = model.link.link(mean)
        # Under natural links μ' is V(μ), which takes no exponential.
        derivative = family.variance(mean) if model.natural else model.link.inverse_derivative(eta)
    else:
        eta = part.linear_predictor(coef)
        mean, derivative = mean_and_derivative(model.link, eta)
    residual, weight = _residual_and_weight(model, y, mean, derivative)
    if coef is None:
        residual = residual + weight * (eta if part.offset is None else eta - part.offset)
        loglik = -np.inf
    else:
        loglik = _weighted_sum(row_log_likelihood(model, y, eta, mean, weight), weights)
    # Under the normal law each row weighs as it was given.
    score, information = part.weighted_sum_and_gram(
        _weighted(residual, weights), weights if model.quadratic else _weighted(weight, weights)
    )
    pearson, gradient = None, None
    if family.has_dispersion:
        unit = np.square(y - mean) / family.variance(mean)
        pearson = _weighted_sum(unit, weights)
        if model.quadratic:
            gradient = -2.0 * score
        else:
            slope = _pearson_slope(model, eta, mean, residual, unit)
            gradient = part.weighted_sum(_weighted(slope, weights))
    return loglik, score, information, pearson, gradient


def _weighted(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return values if weights is None else weights * values


def _weighted_sum(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(values.sum() if weights is None else np.dot(weights, values))


def _pearson_slope(model, eta, mean, residual, unit):
    """Return the derivative of (y − μ)²/V(μ) in η: −2(y − μ)μ'/V − (y − μ)²V'μ'/V²."""
    family = model.family
    change = family.variance_derivative(mean) / family.variance(mean) * model.link.inverse_derivative(eta)
    return -2.0 * residual - unit * change


def row_log_likelihoods(rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of each row at β, for weight 1 and φ = 1.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β.

    Returns
    -------
    ndarray of shape (m,)
        Log-likelihoods.
    """
    parts = [np.empty(0)]
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            if model.outcomes:
                parts.append(multinomial.row_log_likelihood(part, model, coef))
            else:
                eta = part.linear_predictor(coef)
                parts.append(row_log_likelihood(model, part.y, eta, *mean_and_derivative(model.link, eta)))
    return np.concatenate(parts)


def row_residuals(part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
    """Return rᵢ, by which the score of a row of weight 1 is rᵢxᵢ, or rᵢ ⊗ xᵢ of several outcomes.

    Parameters
    ----------
    part : Slice
        Some rows.
    model : Model
        The model.
    coef : ndarray of shape (d,)
        β.

    Returns
    -------
    ndarray of shape (m,) or (m, C − 1)
        Derivatives of each row's log-likelihood in its linear predictors.
    """
    if model.outcomes:
        return multinomial.row_residuals(part, model, coef)
    return working(model, part.y, part.linear_predictor(coef))[1]


def remainders(rows: Rows, model: Model, coef: np.ndarray, step: np.ndarray) -> Iterator[tuple[Slice, np.ndarray]]:
    """Yield, slice by slice, the part of each row's residual at β + δ that is not linear in δ.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coef, step : ndarray of shape (d,)
        β and δ.

    Yields
    ------
    part : Slice
        The rows.
    change : ndarray of shape (m,) or (m, C − 1)
        rᵢ(β + δ) − rᵢ(β) + wᵢx'δ, weights included: times xᵢ it is sᵢ(β + δ) − sᵢ(β) + Iᵢ(β)δ.
    """
    for part in slices(rows, model):
        if model.outcomes:
            change = multinomial.row_remainders(part, model, coef, step)
        else:
            eta, ahead = part.linear_predictor(coef), part.times(step)
            _, before, weight = working(model, part.y, eta)
            _, after, _ = working(model, part.y, eta + ahead)
            change = after - before + weight * ahead
        yield part, change if part.weights is None else (change.T * part.weights).T


@additive
@self_checking
def log_likelihoods(rows: Rows, model: Model, coefs: np.ndarray) -> LogLikelihoods:
    """Return log-likelihood and deviance of a block at several β in one reading.

    Parameters
    ----------
    rows : Rows
        The block.
    model : Model
        The model.
    coefs : ndarray of shape (m, d)
        Candidates, one a row.

    Returns
    -------
    LogLikelihoods
        Sums over the block's rows, one for each candidate.
    """
    if model.outcomes:
        at = multinomial.log_likelihoods(rows, model, coefs)
        return LogLikelihoods(len(rows), at, -2.0 * at)
    loglik, deviance = np.zeros(len(coefs)), np.zeros(len(coefs))
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            eta = part.linear_predictor(coefs.T)
            mean, derivative = mean_and_derivative(model.link, eta)
            y = part.y[:, None]
            weights = np.ones(len(y)) if part.weights is None else part.weights
            loglik += np.dot(weights, row_log_likelihood(model, y, eta, mean, derivative))
            deviance += np.dot(weights, model.family.deviance(y, mean))
    return LogLikelihoods(len(rows), loglik, deviance)
