"""The rule that accepts, shortens or ends a step, for fits in memory and for fits with one pass per step.

An `Ascent` proposes coefficients. The caller evaluates the objective there, in memory or by a pass over the data, and
passes the sums to the ascent, which returns the next state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_onestep.kernels.matrices.symmetric import Matrix, selected_columns
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, extreme_ratios, factorize, of_curvature

# Relative rounding error of a log-likelihood of many rows.
ROUNDING = 1e-11
# The same where rows' log-likelihoods cancel, as those of counts of 1e13 do.
_CANCELLED = 1e-5
_MAX_SHORTENINGS = 30
# A step is shortened to no less than this fraction at a time, so that one poor interpolation does not end the ascent.
_SHORTEST = 1e-3
# Fraction of a combination's information below which it is indistinguishable from an alias, with a margin.
_TOLD_APART = 1e-8
# What remains of that fraction once the rows that provided it have lost their weight.
_LEFT = 1e-2
# Newton steps are taken if the observed information is between this fraction of the expected one and its inverse; far
# from the maximum and under separation it is not.
_FLAT = 0.1
_TOGETHER = 256  # aliased columns that are looked at together
# So many steps in a row, of which less than 2⁻⁵ is inside the domain and which gain no more than this times d·φ̂, lead
# to its boundary. Steps from a poor start are shortened as often on their way to a maximum inside, but gain more.
_AT_BOUNDARY, _FAR_OUTSIDE, _LITTLE = 3, 5, 0.1


def rose(new: float, old: float) -> bool:
    """Return whether a log-likelihood did not fall, up to rounding; False for NaN."""
    return bool(new >= old - ROUNDING * abs(old)) if np.isfinite(old) else not np.isnan(new) and new >= old


def shortening(step: np.ndarray, before: Any, after: Any) -> float | None:
    """Return None if a step is accepted, otherwise the fraction of it to try next.

    A step is accepted if the log-likelihood did not fall and its slope at the end, downward, is not steeper than at the
    start, upward. The log-likelihood of huge counts is a small difference of large numbers, with fewer digits than the
    gain of the last step. The score keeps its digits, so a final slope within half of the first one is also evidence of
    an increase.

    Parameters
    ----------
    step : ndarray of shape (d,)
        δ.
    before : Moments or None
        The sums at β; None if they are unknown and any point with finite sums is better.
    after : Moments
        The sums at β + δ.

    Returns
    -------
    float or None
        The maximizer of the cubic through both log-likelihoods and slopes; ½ if it has none.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.solve.ascent import shortening
    >>> from dask_onestep.kernels.records import Moments
    >>> start, end = (Moments(1, 1.0, -0.5 * b**2, np.array([-b]), np.eye(1)) for b in (1.0, -3.0))
    >>> round(shortening(np.array([-4.0]), start, end), 3)
    0.25
    """
    if not after.is_finite():
        return 0.5
    if before is None:
        return None
    first, last = float(before.score @ step), float(after.score @ step)
    if rose(after.loglik, before.loglik) and last >= -first - ROUNDING * abs(before.loglik):
        return None
    fell = before.loglik - after.loglik
    if abs(last) <= 0.5 * first and fell <= _CANCELLED * abs(before.loglik):
        return None
    if not np.isfinite([fell, first, last]).all():
        return 0.5
    fell, first, last = np.array([fell, first, last]) / max(abs(fell), abs(first), abs(last))
    cube, square = 2 * fell + first + last, -3 * fell - 2 * first - last
    with np.errstate(divide="ignore", invalid="ignore"):  # infinity and NaN are no peaks
        twice = -(square + np.copysign(np.sqrt(square**2 - 3 * cube * first), square))
        peaks = np.array([twice / (3 * cube), first / twice])
    peaks = peaks[(peaks >= 0) & (peaks <= 1)]
    values = peaks * (first + peaks * (square + peaks * cube))
    return max(float(peaks[np.argmax(values)]), _SHORTEST) if len(peaks) else 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Move(Record):
    """The step that a rule proposes from a point.

    Attributes
    ----------
    step : ndarray of shape (d,)
        δ.
    decrement : float
        λ², about twice the log-likelihood that δ gains.
    arrived : bool
        Whether no further step is needed.
    factor : CholeskyFactor or None
        The factored information, if the rule has one.
    target : ndarray of shape (d,) or None
        β + δ, if the rule knows it without rounding.
    """

    step: np.ndarray
    decrement: float
    arrived: bool
    factor: AnyFactor | None = None
    target: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Newton:
    """The scoring step I⁻¹s or the Newton step H⁻¹s, until λ² ≤ `tol`·d·φ̂ or only rounding is left.

    Attributes
    ----------
    intercept : bool
        Whether the first coefficient is the intercept.
    tol : float
        Tolerance on λ²/(d·φ̂).
    observed : bool
        Whether the observed information H is used where it is known and comparable with the expected one.
    """

    intercept: bool = True
    tol: float = 1e-16
    observed: bool = False

    def __call__(self, coef: np.ndarray, sums: Moments, last: float) -> Move:
        """Return the step from β; `last` is λ² before the previous step."""
        factor = factorize(sums.information, intercept=self.intercept)
        decrement = factor.decrement(sums.score)
        # Where y is large compared with its spread, rounding keeps λ² above any tolerance; then it no longer falls.
        arrived = bool(np.isfinite(sums.loglik)) and (
            decrement <= self.tol * max(factor.rank, 1) * sums.phi or last <= decrement <= ROUNDING * abs(sums.loglik)
        )
        curved: AnyFactor = factor
        if self.observed and sums.observed is not None and factor.kept.all():
            least, greatest = extreme_ratios(sums.observed, sums.information, factor)
            curved = of_curvature(factor, sums.observed) if least > _FLAT and greatest < 1 / _FLAT else factor
        return Move(curved.solve(sums.score), decrement, arrived, factor)


def _arrived(coef: np.ndarray, sums: Any, last: float) -> Move:
    return Move(np.zeros_like(coef), 0.0, True)


@dataclass(frozen=True, slots=True, eq=False)
class Ascent(Record):
    """The state of an ascent: the current coefficients, and those to evaluate next.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        The current β, with 0 for aliased columns.
    sums : Moments or None
        The objective there; None before the first evaluation.
    move : Move
        The rule's proposal from there.
    step : ndarray of shape (d,)
        δ: the proposal, or what is left of it after rejections.
    rule : callable
        (coef, sums, last decrement) to `Move`.
    max_iter : int
        Maximum number of steps.
    n_iter, n_shortened : int
        Steps accepted, and rejections of the current one.
    stopped : bool
        Whether it ended before a maximum: too many steps or rejections, or divergence.
    cut : bool
        Whether the step that led to `coef` was shortened.
    n_outside, n_leaving : int
        Rejections of the current step for sums that are not finite, and steps in a row with many of them.
    first : ndarray or Arrowhead of shape (d, d), or None
        The information at the start.
    """

    coef: np.ndarray
    sums: Any
    move: Move
    step: np.ndarray
    rule: Callable[[np.ndarray, Any, float], Move]
    max_iter: int = 30
    n_iter: int = 0
    n_shortened: int = 0
    stopped: bool = False
    cut: bool = False
    n_outside: int = 0
    n_leaving: int = 0
    first: Matrix | None = None

    @classmethod
    def begin(cls, coef: np.ndarray, sums: Any, rule: Callable[..., Move], max_iter: int = 30) -> Ascent:
        """Return an ascent that starts at β, where the sums are known."""
        move = rule(coef, sums, np.inf)
        return cls(coef, sums, move, move.step, rule, max_iter, first=getattr(sums, "information", None))._checked()

    @classmethod
    def enter(cls, inside: np.ndarray, coef: np.ndarray, rule: Callable[..., Move], max_iter: int = 30) -> Ascent:
        """Return an ascent that proposes β and, as long as the sums are not finite, points closer to `inside`."""
        move = Move(coef - inside, np.inf, False, target=coef)
        return cls(inside, None, move, move.step, rule, max_iter, n_iter=-1)

    @classmethod
    def once(cls, coef: np.ndarray, sums: Any, step: np.ndarray) -> Ascent:
        """Return an ascent of one given step."""
        return cls(coef, sums, Move(step, np.inf, False), step, _arrived)

    @property
    def climbing(self) -> bool:
        """Whether `proposal` is to be evaluated."""
        return not (self.stopped or self.move.arrived)

    @property
    def converged(self) -> bool:
        """Whether the current point is a maximum."""
        return self.move.arrived and not self.stopped

    @property
    def at_boundary(self) -> bool:
        """Whether it ended because steps no longer stay inside the domain."""
        return self.n_leaving >= _AT_BOUNDARY and not self.move.arrived

    @property
    def proposal(self) -> np.ndarray:
        """β + δ, where to evaluate the objective next."""
        if self.move.target is not None and not self.n_shortened:
            return self.move.target
        return self.coef + self.step

    @property
    def factor(self) -> AnyFactor:
        """The factored information at the current point."""
        assert self.move.factor is not None
        return self.move.factor

    def observe(self, sums: Any) -> Ascent:
        """Return the next state, given the objective at `proposal`."""
        fraction = shortening(self.step, self.sums, sums)
        if fraction is not None:
            outside = self.sums is not None and not sums.is_finite()
            return replace(self.shorten(fraction), n_outside=self.n_outside + outside)
        coef = self.proposal
        move = self.rule(coef, sums, self.move.decrement)
        first = getattr(sums, "information", None) if self.first is None else self.first
        if move.factor is not None and first is not None and ran_away(first, sums.information, move.factor):
            return replace(self, stopped=True)
        return Ascent(
            coef,
            sums,
            move,
            move.step,
            self.rule,
            self.max_iter,
            self.n_iter + 1,
            cut=self.n_shortened > 0,
            n_leaving=self.n_leaving + 1 if self._stays(sums) else 0,
            first=first,
        )._checked()

    def _stays(self, sums: Any) -> bool:
        """Return whether the domain's boundary left next to nothing of the step."""
        return self.n_outside >= _FAR_OUTSIDE and sums.loglik - self.sums.loglik <= _LITTLE * len(self.coef) * sums.phi

    def shorten(self, fraction: float = 0.5) -> Ascent:
        """Return the state with a shorter step; stopped if the step was shortened too often."""
        count = self.n_shortened + 1
        return replace(self, step=self.step * fraction, n_shortened=count, stopped=count >= _MAX_SHORTENINGS)

    def along(self, step: np.ndarray) -> Ascent:
        """Return the state with another step in place of the rule's."""
        return replace(self, step=step, move=replace(self.move, target=None))

    def _checked(self) -> Ascent:
        lost = self.move.factor is not None and len(self.coef) > 0 and not self.move.factor.rank
        ended = self.n_iter >= self.max_iter and not self.move.arrived
        return replace(self, stopped=True) if lost or ended or self.at_boundary else self


def climb(
    ascent: Ascent, objective: Callable[[np.ndarray], Any], inside: Callable[[np.ndarray], bool] | None = None
) -> Ascent:
    """Return the final state of an ascent whose objective is evaluated in memory.

    Parameters
    ----------
    ascent : Ascent
        The initial state.
    objective : callable
        β to `Moments`; its information must be positive semidefinite near the maximum.
    inside : callable or None
        A region, β to bool, that steps must not leave; a step that would is halved.

    Returns
    -------
    Ascent
        Converged, or stopped.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.solve.ascent import Ascent, Newton, climb
    >>> from dask_onestep.kernels.records import Moments
    >>> def parabola(b):
    ...     return Moments(1, 1.0, float(-0.5 * (b @ b - 2 * b[0])), np.array([1.0]) - b, np.eye(1))
    >>> climb(Ascent.begin(np.zeros(1), parabola(np.zeros(1)), Newton()), parabola).coef.tolist()
    [1.0]
    """
    while ascent.climbing:
        trial = ascent.proposal
        ascent = ascent.observe(objective(trial)) if inside is None or inside(trial) else ascent.shorten()
    return ascent


def ran_away(before: Matrix, now: Matrix, factor: AnyFactor) -> bool:
    """Return whether a column is aliased only because the rows that distinguish it have lost their weight.

    This happens under separation, as coefficients grow without bound: the column is not truly aliased, and the current
    point is not a maximum.

    Parameters
    ----------
    before : ndarray or Arrowhead of shape (d, d)
        The information at the start.
    now : ndarray or Arrowhead of shape (d, d)
        The information at the current point.
    factor : CholeskyFactor
        The factored `now`.

    Returns
    -------
    bool
        Whether an aliased column had information given the kept ones at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.kernels.solve.ascent import ran_away
    >>> from dask_onestep.kernels.solve.linear_algebra import factorize
    >>> before, now = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    >>> ran_away(before, now, factorize(now)), ran_away(now, now, factorize(now))
    (True, False)
    """
    # A column that was empty at the start had no information.
    aside = np.flatnonzero(~factor.kept & (before.diagonal() > 0))
    return any(
        _lost(before, now, factor, aside[start : start + _TOGETHER]) for start in range(0, len(aside), _TOGETHER)
    )


def _lost(before: Matrix, now: Matrix, factor: AnyFactor, aside: np.ndarray) -> bool:
    """Return whether any of some aliased columns had information at the start."""
    rest = -factor.solve(selected_columns(now, aside))
    rest[aside, np.arange(len(aside))] = 1.0

    def fraction(information: Matrix) -> np.ndarray:
        lengths = information.diagonal() @ np.square(rest)
        held = np.einsum("ij,ij->j", rest, information @ rest)
        return np.maximum(held, 0.0) / np.where(lengths > 0, lengths, 1.0)

    first = fraction(before)
    had = first > _TOLD_APART  # mostly none, and the fractions now are not needed
    return bool(had.any() and (had & (fraction(now) < _LEFT * first)).any())
