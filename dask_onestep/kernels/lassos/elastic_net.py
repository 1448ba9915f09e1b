"""Elastic nets of all rows, from sums over the full data.

The objective is −ℓ(β)/Σw + α Σ f_j{ρ s_j|β_j| + ½(1 − ρ) s_j²β_j²}, with penalty factors f_j, and s_j the standard
deviation of column j, or 1. For the gaussian family the sums are exact at every β. For other families they are computed
at anchors, penalized fits of the pilot rows, and the pilot rows supply the terms of third and higher order: with the
sums ℓ, s and I at the anchor β and n pilot rows of total weight 1/c,

    ℓ(β + δ) ≈ ℓ + s'δ − ½ δ'Iδ + c R(δ),   R(δ) = ℓ_pil(β + δ) − ℓ_pil(β) − s_pil'δ + ½ δ'I_pil δ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.fold_sums import (
    Candidates,
    CandidateSums,
    Folds,
    FoldSums,
    Points,
    candidates_of_parts,
    column_scale,
    column_sums,
    sums_of_parts,
)
from dask_onestep.kernels.lassos.group_lasso import GroupPenalty
from dask_onestep.kernels.lassos.lasso import NullFit, fit_lasso, fit_null
from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.proximal_newton import (
    LassoFit,
    LassoMove,
    Penalized,
    ProximalNewton,
    Tolerance,
    newton_lasso,
    profile_of,
    quadratic_lasso,
    through,
)
from dask_onestep.kernels.lassos.quadratic import ProfiledGram
from dask_onestep.kernels.lassos.shift import column_shift, rows_about
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import complete_rows, weighted_rows
from dask_onestep.kernels.pilots.sample import PilotRecord, PilotSample, Survey
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.rows.slices import gram_of, slices
from dask_onestep.kernels.solve.ascent import Ascent, climb

# Keeps penalized coefficients at 0 in the model of the unpenalized columns.
_HUGE = 1e150
# As glmnet has it: the l1 ratio that the largest penalty of a path has at least, so that ridge has one.
_LEAST_RATIO = 1e-3
# Steps of a corrected fit, which read the pilot rows only, and sweeps of coordinate descent for each working set.
_MAX_STEPS, _MAX_SWEEPS = 30, 2_000
# Where these steps do not arrive: how often the information is renewed, and steps with each.
_MAX_RENEWALS, _STEPS_OF_ONE = 20, 3
# Tolerances, on gaps relative to the null deviance, of the pilot's fits, and of the steps between passes.
_ROUGH, _FINE = 1e-6, 1e-10
# The penalty of the fit whose means replace y, as a fraction of the least at which all penalized coefficients are 0.
_LIGHT = 0.01


@dataclass(frozen=True)
class NetSpec:
    """What an elastic net penalizes.

    Attributes
    ----------
    factors : None, mapping or array-like of shape (p,)
        Penalty factors of columns, or by name of coefficients or terms.
    standardize : bool
        Whether penalties are of columns divided by their standard deviations.
    groups : bool
        Whether the columns of a term enter and leave together: its l1 part is that of the group lasso.
    tol : float
        On the duality gap, relative to the null deviance over 2Σw.
    max_iter : int
        Maximum number of steps that end with a pass.
    """

    factors: Any = None
    standardize: bool = False
    groups: bool = False
    tol: float = 1e-7
    max_iter: int = 25

    def resolved(self, model: Model) -> np.ndarray:
        """Return the penalty factor of each coefficient, 0 for the intercept."""
        first = int(model.has_intercept)
        p = len(model.names) - first
        if isinstance(self.factors, Mapping):
            values = self._by_name(model)[first:]
        else:
            values = np.ones(p) if self.factors is None else _numbers(self.factors)
        if values.shape != (p,):
            raise ValueError(
                f"penalty_factor has shape {values.shape}; expected ({p},), one number per column (the intercept is "
                "not penalized), or a mapping from names of columns or terms to numbers."
            )
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(
                f"penalty_factor must be finite and nonnegative; got {values[~(values >= 0) | np.isinf(values)][0]}. "
                "To exclude a column, drop it."
            )
        return np.concatenate([np.zeros(first), values])

    def _by_name(self, model: Model) -> np.ndarray:
        values, at = np.ones(len(model.names)), {name: j for j, name in enumerate(model.names)}
        for name, value in self.factors.items():
            own = model.by_term.get(name) or ((name,) if name in at and name != "intercept" else ())
            if not own:
                known = ", ".join(model.by_term)
                raise ValueError(f"Unknown column or term {name!r} in penalty_factor; the terms are {known}.")
            values[[at[each] for each in own]] = _numbers(value)
        return values

    def penalty(self, model: Model, alpha: float, l1_ratio: float, scale: np.ndarray) -> Penalty:
        """Return the penalty of coefficients whose columns have these standard deviations."""
        scale = scale if self.standardize else np.ones(len(scale))
        factors = self.resolved(model)
        l1, l2 = alpha * l1_ratio * factors * scale, alpha * (1.0 - l1_ratio) * factors * scale**2
        if not self.groups:
            return Penalty(l1, l2)
        at = {name: j for j, name in enumerate(model.names)}
        return GroupPenalty.by_group(l1, l2, [[at[name] for name in own] for own in model.by_term.values()])

    def none(self, model: Model) -> Penalty:
        """Return a penalty that keeps every penalized coefficient at 0."""
        factors = self.resolved(model)
        return Penalty(np.where(factors > 0, _HUGE, 0.0), np.zeros(len(factors)))


def _numbers(values: Any) -> np.ndarray:
    try:
        if values is None:  # which NumPy takes for NaN
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"penalty_factor={values!r} must be numbers.") from None


def largest_alpha(null: Moments, penalty: Penalty, l1_ratio: float) -> float:
    """Return the least α at which all penalized coefficients are 0, from the sums of the fit of the others.

    `penalty` is the one for α = 1 and ρ = 1.
    """
    return penalty.largest(null.score / null.weight) / max(l1_ratio, _LEAST_RATIO)


def gaussian_null(sums: Moments, coef: np.ndarray, spec: NetSpec, model: Model) -> tuple[LassoFit, Tolerance]:
    """Return the fit of the unpenalized columns, and the tolerance on gaps relative to the variance of y."""
    level = float(sums.information[0, 0] * (np.finfo(np.float64).eps * coef[0]) ** 2) if model.has_intercept else 0.0
    assert sums.pearson is not None
    deviance = sums.pearson
    if model.has_intercept:
        deviance -= float(sums.score[0] ** 2 / sums.information[0, 0])
    within = Tolerance(min(spec.tol, _FINE), max(deviance, level), _MAX_SWEEPS)  # no pass depends on it
    return quadratic_lasso(sums, coef, spec.none(model), within), within


@dataclass(frozen=True, eq=False)
class PenalizedPilot(Record):
    """The pilot rows of a penalized fit.

    Attributes
    ----------
    rows : Rows
        The n pilot rows, labels encoded, weights divided by their inclusion probabilities, columns centered.
    expected : Rows
        The same rows with means in place of y under links that are not canonical: those of a lightly penalized fit.
        The terms of third and higher order then contain the difference of observed and expected information, which y
        makes noisy (see `Curvature.expecting`), while the means of a heavily penalized fit are wrong.
    shift : ndarray of shape (d,)
        What was subtracted from each column.
    scale : ndarray of shape (d,)
        Standard deviations of the columns.
    null : NullFit
        The fit without covariates.
    weight : float
        Σ wᵢ of the rows.
    survey : Survey
        Counts and classes of the full data.
    record : PilotRecord or None
        Keys and positions of the rows.
    folds : Folds
        The folds of cross-validation.
    fold : ndarray of shape (n,) of int
        That of each row.
    whole : bool
        Whether the pilot is all rows, so that sums over them need no pass.
    """

    rows: Rows
    expected: Rows
    shift: np.ndarray
    scale: np.ndarray
    null: NullFit
    weight: float
    survey: Survey
    record: PilotRecord | None
    folds: Folds
    fold: np.ndarray
    whole: bool = False

    @property
    def parts(self) -> list[Rows]:
        """The rows of each fold."""
        return self.folds.split(self.rows, self.fold)

    def within(self, spec: NetSpec, weight: float) -> Tolerance:
        """Return the tolerance on gaps of rows whose weights have this sum."""
        return Tolerance(spec.tol, self.null.deviance * weight / self.weight, _MAX_SWEEPS)

    def term(
        self, model: Model, coef: np.ndarray, curved: np.ndarray | None = None, fold: int | None = None
    ) -> PilotTerm:
        """Return the terms of third and higher order around a point, those of the training rows of a fold if given."""
        rows = self.expected
        if fold is not None:
            inside = np.asarray(self.fold != fold, dtype=np.float64)
            rows = replace(rows, weights=inside if rows.weights is None else inside * rows.weights)
        return PilotTerm(model, rows, coef, curved)


def pilot_sums(pilot: PenalizedPilot, model: Model, points: Points) -> FoldSums:
    """Return what `fold_sums` of all rows is, of a pilot of all rows."""
    return sums_of_parts(pilot.parts, model, points, pilot.survey.n_missing)


def pilot_candidate_sums(pilot: PenalizedPilot, model: Model, candidates: Candidates) -> CandidateSums:
    """Return what `candidate_sums` of all rows is, of a pilot of all rows."""
    return candidates_of_parts(pilot.parts, model, candidates)


def penalized_pilot(
    sample: PilotSample,
    model: Model,
    spec: NetSpec | None = None,
    l1_ratio: float = 1.0,
    folds: Folds | None = None,
    starts: Sequence[int | None] = (),
) -> PenalizedPilot:
    """Return the pilot rows for penalized fits; `starts` are the numbers of the first rows of the blocks."""
    rows, known, drawn = weighted_rows(sample, model)
    folds = Folds() if folds is None else folds
    fold = folds.of_sample(drawn, starts) if folds.count > 1 else np.zeros(len(rows), dtype=np.intp)
    complete = complete_rows(rows)
    if not complete.all():  # the next pass reports all missing values
        rows, fold = rows.take(complete), fold[complete]
    whole = bool(complete.all()) and len(rows) == known.n
    shift = column_shift(rows, model) if len(rows) else np.zeros(len(model.names))
    rows = rows_about(rows, shift)
    null = fit_null(rows, model) if len(rows) else NullFit(np.zeros(len(model.names)), 1.0)
    if null is None:
        raise ValueError(
            f"y is constant at a boundary of the range of the {model.family.name} family in the pilot sample, so the "
            "intercept, which is not penalized, is not finite. Use a larger pilot_size."
        )
    weight = rows.total_weight
    scale = column_scale(column_sums(rows, model), max(weight, 1e-300))
    keys = drawn.drawn_keys() if complete.all() else None
    record = None if keys is None else keys.with_rows(replace(rows, x=drawn.x), known.classes)
    pilot = PenalizedPilot(rows, rows, shift, scale, null, weight, known, record, folds, fold, whole)
    if model.natural or whole or not complete.all():
        return pilot
    spec = NetSpec() if spec is None else spec
    at_null = moments(rows, model, pilot_fits(pilot, model, [spec.none(model)])[0])
    alpha = _LIGHT * largest_alpha(at_null, spec.penalty(model, 1.0, 1.0, scale), l1_ratio)
    (light,) = pilot_fits(pilot, model, [spec.penalty(model, alpha, l1_ratio, scale)])
    with np.errstate(all="ignore"):
        means = [model.link.inverse(part.linear_predictor(light)) for part in slices(rows, model)]
    return replace(pilot, expected=replace(rows, y=np.concatenate(means)))


def pilot_fits(pilot: PenalizedPilot, model: Model, penalties: list[Penalty]) -> np.ndarray:
    """Return the penalized fits of the pilot rows, of shape (a, d), each started at the one before.

    A fit that does not exist, as without a penalty where the classes are separated, is the one before.
    """
    coefs, last = [], pilot.null.coef
    if not len(pilot.rows):  # all have missing values, which the next pass reports
        return np.array([last] * len(penalties))
    for penalty in penalties:
        if isinstance(penalty, GroupPenalty):
            within = Tolerance(_ROUGH, pilot.null.deviance, _MAX_SWEEPS)
            fit = newton_lasso(pilot.rows, model, penalty, (last, moments(pilot.rows, model, last)), within)
        else:
            start = last, moments(pilot.rows, model, last)
            fit = fit_lasso(pilot.rows, model, penalty, pilot.null, start=start, tol=_ROUGH)
        if np.isfinite(fit.coef).all() and fit.moments.is_finite():
            last = fit.coef
        coefs.append(last)
    return np.array(coefs)


class PilotTerm:
    """The terms of third and higher order of the full log-likelihood around a point, by the pilot rows.

    An evaluation costs two products of the pilot rows with a vector.

    Parameters
    ----------
    model : Model
        The model.
    rows : Rows
        The pilot rows.
    coef : ndarray of shape (d,)
        β, where log-likelihood and score of all rows are known.
    curved : ndarray of shape (d,), optional
        Where their information is known, if not at β.
    """

    def __init__(self, model: Model, rows: Rows, coef: np.ndarray, curved: np.ndarray | None = None):
        self.model, self.rows, self.coef = model, rows, coef
        self.weight = float(len(rows) if rows.weights is None else rows.weights.sum())
        likelihood, parts = cast(OnePredictor, model.likelihood), []
        with np.errstate(all="ignore"):  # non-finite values show in the sums
            for part in slices(rows, model):
                eta = part.linear_predictor(coef)
                mean, residual, information = likelihood.working(part.y, eta)
                loglik = likelihood.row_log_likelihood(part.y, eta, mean, information)
                if curved is not None:
                    information = likelihood.working(part.y, part.linear_predictor(curved))[2]
                parts.append(np.stack([eta, loglik, residual, information]))
        self._here = np.concatenate(parts, axis=1)

    def ahead(self, sums: Moments, coef: np.ndarray) -> Moments:
        """Return the sums at `coef`, given those at β of rows whose third and higher orders are the pilot's.

        The information is the given one: steps need no more, and it is positive semidefinite.
        """
        step = coef - self.coef
        if not step.any():
            return sums
        likelihood, own = cast(OnePredictor, self.model.likelihood), through(sums.information, step)
        loglik, score = 0.0, np.zeros(len(coef))
        with np.errstate(all="ignore"):
            for part in slices(self.rows, self.model):
                eta, before, residual, information = self._here[:, part.rows]
                move = part.times(step)
                mean, after, weight = likelihood.working(part.y, eta + move)
                value = likelihood.row_log_likelihood(part.y, eta + move, mean, weight) - before
                values = np.stack(
                    [value - (residual - 0.5 * information * move) * move, after - residual + information * move]
                )
                if part.weights is not None:  # means may overflow in rows outside the training rows
                    values = np.where(part.weights > 0, part.weights * values, 0.0)
                loglik += float(values[0].sum())
                score += part.weighted_sum(values[1])
        ratio = sums.weight / self.weight
        return replace(
            sums,
            loglik=sums.loglik + float(sums.score @ step - 0.5 * step @ own) + ratio * loglik,
            score=sums.score - own + ratio * score,
            pearson=None,
            pearson_gradient=None,
        )

    def curvature(self, sums: Moments, coef: np.ndarray) -> np.ndarray:
        """Return the observed information of the pilot rows at `coef`, scaled up to all; of a row, if negative, 0."""
        likelihood, ratio = cast(OnePredictor, self.model.likelihood), sums.weight / self.weight

        def observed(part: Slice) -> np.ndarray:
            own = np.maximum(likelihood.row_curvatures(part, self.model, coef)[2], 0.0)
            return ratio * own if part.weights is None else ratio * own * part.weights

        with np.errstate(all="ignore"):
            return cast(np.ndarray, gram_of(self.rows, self.model, observed))


def corrected_fit(term: PilotTerm, sums: Moments, penalty: Penalty, start: np.ndarray, within: Tolerance) -> np.ndarray:
    """Return the minimizer of the penalized objective of the extrapolated log-likelihood (see `corrected_climb`)."""
    return corrected_climb(term, sums, penalty, start, within)[0]


def corrected_climb(
    term: PilotTerm,
    sums: Moments,
    penalty: Penalty,
    start: np.ndarray,
    within: Tolerance,
    profile: ProfiledGram | None = None,
) -> tuple[np.ndarray, bool]:
    """Return the same, or the minimizer without the pilot's part where it does not exist, and whether it does.

    Steps use the information at β; if it is too far from that at the minimum for them to arrive, they go on with the
    information of the pilot rows at their end.
    """
    rule = ProximalNewton(penalty, within, profile_of(sums, penalty, profile))

    def objective(coef: np.ndarray) -> Penalized:
        return Penalized.of(term.ahead(sums, coef), coef, penalty)

    def renewed(coef: np.ndarray) -> Penalized:
        return Penalized.of(replace(term.ahead(sums, coef), information=information), coef, penalty)

    begun = objective(start)
    if not (begun.is_finite() and np.isfinite(begun.loglik)):
        start, begun = term.coef, objective(term.coef)
    fit = climb(Ascent.begin(start, begun, rule, _MAX_STEPS), objective)
    for _ in range(_MAX_RENEWALS):
        if fit.converged:
            return fit.coef, True
        information = term.curvature(sums, fit.coef)
        begun = renewed(fit.coef)
        if not begun.is_finite():
            break
        fit = climb(Ascent.begin(fit.coef, begun, rule, _STEPS_OF_ONE), renewed)
    return uncorrected_fit(term.coef, sums, penalty, within), False


def uncorrected_fit(coef: np.ndarray, sums: Moments, penalty: Penalty, within: Tolerance) -> np.ndarray:
    """Return the minimizer of the penalized quadratic approximation at β."""
    target = ProximalNewton(penalty, within)(coef, Penalized.of(sums, coef, penalty), np.inf).target
    assert target is not None
    return target


@dataclass(frozen=True, slots=True)
class Verified:
    """The rule of proximal Newton steps that arrive where the remaining gap is within the tolerance."""

    penalty: Penalty
    within: Tolerance

    def __call__(self, coef: np.ndarray, objective: Penalized, last: float) -> LassoMove:
        """Return the step from β."""
        move = ProximalNewton(self.penalty, _finer(self.within))(coef, objective, last)
        return replace(move, arrived=move.gap <= self.within.gap)


def _finer(within: Tolerance) -> Tolerance:
    """Return the tolerance of what is solved between passes, which must leave less than that of the passes."""
    return replace(within, gap=min(_FINE, within.gap / 10))


@dataclass(frozen=True, eq=False)
class NetClimb(Record):
    """Steps to a penalized maximum, each with a pass at its end.

    Attributes
    ----------
    ascent : Ascent
        It stands where the last pass was made, and proposes where to make the next.
    scale : ndarray of shape (d,)
        Standard deviations of the columns.
    shift : ndarray of shape (d,)
        What was subtracted from each.
    n_missing : int
        Rows dropped because of missing values.
    """

    ascent: Ascent
    scale: np.ndarray
    shift: np.ndarray
    n_missing: int

    @property
    def coef(self) -> np.ndarray:
        """Where to make the next pass, or the estimate."""
        return self.ascent.proposal

    @property
    def gap(self) -> float:
        """The gap at the last pass."""
        assert isinstance(self.ascent.move, LassoMove)
        return self.ascent.move.gap

    @property
    def points(self) -> Points:
        """Where to make the next pass."""
        return Points(self.coef[np.newaxis], self.shift)


def advance(
    model: Model, pilot: PenalizedPilot, spec: NetSpec, net: tuple[float, float], last: NetClimb | None, sums: FoldSums
) -> NetClimb:
    """Return the next step, from the sums where the last one led; `net` is (α, ρ)."""
    total = sums.total()
    penalty = spec.penalty(model, *net, sums.scale)
    rule = Verified(penalty, pilot.within(spec, total.weight))
    ascent = Ascent.enter(pilot.null.coef, sums.points.coefs[0], rule, spec.max_iter) if last is None else last.ascent
    ascent = ascent.observe(Penalized.of(total, ascent.proposal, penalty))
    if ascent.sums is not None and not ascent.n_shortened and not ascent.stopped:
        term, here = pilot.term(model, ascent.coef), ascent.sums.moments
        start = ascent.coef + ascent.move.step
        target = corrected_fit(term, here, penalty, start, _finer(rule.within))
        ascent = ascent.along(target - ascent.coef)
    return NetClimb(ascent, sums.scale, pilot.shift, sums.n_missing)
