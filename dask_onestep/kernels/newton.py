"""Newton's method on a concave (or nearly concave) objective that is small enough for one task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.likelihood import initial_moments, moments
from dask_onestep.kernels.linear_algebra import Factor, factorize
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Rows
from dask_onestep.kernels.slices import slices

__all__ = ["Maximum", "arrived", "ascended", "fit_rows", "maximize", "ran_away", "rose", "safe_start"]

MAX_HALVINGS = 30

# The share of a log-likelihood of many rows that its last digits may be wrong by.
ROUNDING = 1e-11
# The same where rows' log-likelihoods cancel, as those of counts of 1e13 do.
_CANCELLED = 1e-5
# The share of a combination's information below which it cannot be told from an alias, with room for near ones.
_TOLD_APART = 1e-8
# What is left of that share once the rows that held it have lost their weight.
_LEFT = 1e-2


def ran_away(before: np.ndarray, now: np.ndarray, factor: Factor) -> bool:
    """Return whether a column is set aside only since the rows that tell it apart have lost their weight.

    Separated rows do, as coefficients grow without bound; what is set aside then is no alias, and where the ascent
    stands is no maximum.

    Parameters
    ----------
    before : ndarray of shape (d, d)
        The information where the ascent began.
    now : ndarray of shape (d, d)
        The information where it stands.
    factor : Factor
        Of `now`.

    Returns
    -------
    bool
        Whether what kept columns leave of one set aside had its share of information at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.linear_algebra import factorize
    >>> from dask_onestep.kernels.newton import ran_away
    >>> before, now = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    >>> ran_away(before, now, factorize(now)), ran_away(now, now, factorize(now))
    (True, False)
    """
    if factor.kept.all():
        return False
    aside = np.flatnonzero(~factor.kept)
    rest = -factor.solve(now[:, aside])
    rest[aside, np.arange(len(aside))] = 1.0

    def share(information: np.ndarray) -> np.ndarray:
        lengths = np.diag(information) @ np.square(rest)
        held = np.einsum("ij,ij->j", rest, information @ rest)
        return np.maximum(held, 0.0) / np.where(lengths > 0, lengths, 1.0)

    first = share(before)
    return bool(((first > _TOLD_APART) & (share(now) < _LEFT * first)).any())


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where an ascent ended.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β, with 0 for aliased columns.
    moments : Moments
        The objective there.
    factor : Factor
        Its factored information.
    converged : bool
        Whether λ² fell below the tolerance.
    n_iter : int
        Newton steps taken.
    """

    coef: np.ndarray
    moments: Moments
    factor: Factor
    converged: bool
    n_iter: int


def rose(new: float, old: float) -> bool:
    """Return whether a log-likelihood did not fall, up to rounding.

    Parameters
    ----------
    new, old : float
        Log-likelihoods after and before a step.

    Returns
    -------
    bool
        False for NaN.
    """
    return bool(new >= old - ROUNDING * abs(old)) if np.isfinite(old) else not np.isnan(new) and new >= old


def ascended(step: np.ndarray, before: Moments, after: Moments) -> bool:
    """Return whether a step was well taken: the log-likelihood did not fall, or its slope says that it rose.

    Where counts are huge their log-likelihood is a small difference of large numbers, with fewer digits than a last
    step gains; the score has them all.  A concave function whose slope along the step ends within half of what it began
    with has not fallen by more than that half, and rose where the step is short.

    Parameters
    ----------
    step : ndarray of shape (d,)
        δ.
    before, after : Moments
        The sums at β and at β + δ.

    Returns
    -------
    bool
        False where a sum at β + δ is not finite.
    """
    if not after.is_finite():
        return False
    rise = float(before.score @ step)
    if rose(after.loglik, before.loglik):
        return True
    return abs(float(after.score @ step)) <= 0.5 * rise and before.loglik - after.loglik <= _CANCELLED * abs(
        before.loglik
    )


def arrived(sums: Moments, decrement: float, rank: int, tol: float, last: float = np.inf) -> bool:
    """Return whether an ascent is at its end: λ² is small, or nothing but rounding is left of it.

    Parameters
    ----------
    sums : Moments
        The sums where the ascent stands.
    decrement : float
        λ² there.
    rank : int
        d.
    tol : float
        The share of the squared sampling error, d·φ̂, that λ² may be.
    last : float
        λ² before the last step.  Where y is large beside its spread, rounding keeps λ² above any
        tolerance; then it no longer falls.

    Returns
    -------
    bool
        False where there is no likelihood.
    """
    if not np.isfinite(sums.loglik):
        return False
    return decrement <= tol * max(rank, 1) * sums.phi or last <= decrement <= ROUNDING * abs(sums.loglik)


def maximize(
    objective: Callable[[np.ndarray], Moments],
    start: np.ndarray,
    *,
    first: Moments | None = None,
    intercept: bool = True,
    tol: float = 1e-16,
    max_iter: int = 30,
    inside: Callable[[np.ndarray], bool] | None = None,
) -> Maximum:
    """Climb from a start by Newton steps, halved until the objective does not fall.

    Parameters
    ----------
    objective : callable
        β to `Moments`; its information must be positive semi-definite near the maximum.
    start : ndarray of shape (d,)
        Where to start.
    first : Moments or None
        The objective at `start`, if it is known.
    intercept : bool
        Whether the first coefficient is the intercept.
    tol : float
        Stop once λ² = s'I⁻¹s is at most `tol` times d·φ̂, or falls no more.
    max_iter : int
        Stop after so many steps all the same.
    inside : callable or None
        A region that steps must not leave: β to bool.  A step that would is halved.

    Returns
    -------
    Maximum
        The last point, its moments, and whether it is a maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.newton import maximize
    >>> from dask_onestep.kernels.records import Moments
    >>> def parabola(b):
    ...     return Moments(1, 1.0, float(-0.5 * (b @ b - 2 * b[0])), np.array([1.0]) - b, np.eye(1))
    >>> maximize(parabola, np.zeros(1)).coef.tolist()
    [1.0]
    """
    coef, current = start, objective(start) if first is None else first
    beginning = current.information
    factor = factorize(beginning, intercept=intercept)
    last = np.inf
    for n_iter in range(max_iter + 1):
        decrement = factor.decrement(current.score)
        if len(coef) and not factor.rank:
            break  # an ascent that ran away, to where no row tells anything
        if arrived(current, decrement, factor.rank, tol, last):
            return Maximum(coef, current, factor, True, n_iter)
        if n_iter == max_iter:
            break
        step = factor.solve(current.score)
        for _ in range(MAX_HALVINGS):
            trial = coef + step
            if inside is None or inside(trial):
                reached = objective(trial)
                if ascended(step, current, reached):
                    break
            step = step / 2
        else:
            break
        ahead = factorize(reached.information, intercept=intercept)
        if ran_away(beginning, reached.information, ahead):
            break
        coef, current, last, factor = trial, reached, decrement, ahead
    return Maximum(coef, current, factor, False, n_iter)


def fit_rows(rows: Rows, model: Model, start: np.ndarray | None = None, *, max_iter: int = 30) -> Maximum:
    """Return the maximum-likelihood fit of rows that are in memory.

    Parameters
    ----------
    rows : Rows
        The rows, labels encoded.
    model : Model
        The model.
    start : ndarray of shape (d,) or None
        Where to start; None for one weighted least-squares fit to the family's starting means.
    max_iter : int
        Newton steps at the most; separated rows never converge.

    Returns
    -------
    Maximum
        The fit; not converged if the rows are separated.
    """
    intercept = model.has_intercept

    def objective(coef: np.ndarray) -> Moments:
        return moments(rows, model, coef)

    if start is None:
        first = initial_moments(rows, model)
        if np.isfinite(first.information).all() and np.isfinite(first.score).all():
            start = factorize(first.information, intercept=intercept).solve(first.score)
        elif (start := safe_start(rows, model)) is None:
            # Some y has no linear predictor, such as a negative one under the log link.
            start = np.zeros(len(model.names))
    sums = objective(start)
    if not (sums.is_finite() and np.isfinite(sums.loglik)) and (safe := safe_start(rows, model)) is not None:
        start, sums = safe, objective(safe)
    return maximize(objective, start, first=sums, intercept=intercept, max_iter=max_iter)


def safe_start(rows: Rows, model: Model) -> np.ndarray | None:
    """Return coefficients that give every row about the mean of y, a mean that the family can have.

    The first weighted least-squares fit may leave the domain of a link such as identity or inverse,
    where R's ``glm`` asks for starting values.  The domain is an interval of η, so that every point
    between this one and another inside it is inside it too.

    Parameters
    ----------
    rows : Rows
        The rows, labels encoded.
    model : Model
        The model.

    Returns
    -------
    ndarray of shape (d,) or None
        β; None if no such coefficients were found.
    """
    if model.outcomes:
        return np.zeros(len(model.names))
    if not len(rows):
        return None
    weights = np.ones(len(rows)) if rows.weights is None or not rows.weights.any() else rows.weights
    target = model.link.link(model.family.initial_mean(np.atleast_1d(np.average(rows.y, weights=weights)), np.ones(1)))
    level = _constant(rows, model)
    if level is None:
        return None
    offset = np.zeros(1) if rows.offset is None else rows.offset
    for shift in (offset.mean(), offset.max(), offset.min()):
        coef = (target - shift) * level
        with np.errstate(all="ignore"):
            means = (model.link.inverse(part.linear_predictor(coef)) for part in slices(rows, model))
            if all(model.family.valid_mean(mean).all() for mean in means):
                return coef
    return None


def _constant(rows: Rows, model: Model) -> np.ndarray | None:
    """Return coefficients that give every row about 1: the constant's, or the least-squares fit; None on overflow."""
    d = len(model.names)
    if model.has_intercept:
        return np.eye(1, d)[0]
    gram, total = np.zeros((d, d)), np.zeros(d)
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            gram += part.gram()
            total += part.weighted_sum(np.ones(len(part.y)))
    return factorize(gram, intercept=False).solve(total) if np.isfinite(gram).all() else None
