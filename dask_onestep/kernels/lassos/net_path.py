"""Paths of elastic nets over a grid of penalties, for all rows and for the training rows of each fold.

For the gaussian family a path follows from the sums of one pass. For other families the sums are those at a few
anchors, penalized fits of the pilot rows at penalties spread over the grid, and each penalty uses the nearest one (see
`elastic_net`). The sums of the training rows of a fold are those of all rows minus those of the fold, and their
terms of third and higher order those of the pilot rows outside the fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.lassos.elastic_net import (
    NetSpec,
    PenalizedPilot,
    corrected_climb,
    corrected_fit,
    gaussian_null,
    largest_alpha,
    pilot_fits,
    uncorrected_fit,
)
from dask_onestep.kernels.lassos.fold_sums import Candidates, CandidateSums, FoldSums, Points
from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.proximal_newton import (
    Penalized,
    ProximalNewton,
    Tolerance,
    profile_of,
    quadratic_lasso,
)
from dask_onestep.kernels.likelihood.sums import log_likelihoods, moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments, Record

# Tolerance of a path's fits, on gaps relative to the null deviance.
_TOL = 1e-9
# Anchors per l1 ratio, and where the smallest penalty explains more than half of the null deviance.
FEW_ANCHORS, MANY_ANCHORS = 5, 10
_STRONG = 0.5


@dataclass(frozen=True)
class Grid:
    """The penalties of a path.

    Attributes
    ----------
    l1_ratios : tuple of float
        ρ.
    alphas : tuple of float or None
        α in decreasing order; None for `count` values from the least at which all penalized coefficients are 0.
    count : int
        Number of values of α per ρ.
    eps : float
        The smallest α over the largest.
    """

    l1_ratios: tuple[float, ...]
    alphas: tuple[float, ...] | None
    count: int
    eps: float = 1e-3

    def values(self, largest: float) -> np.ndarray:
        """Return α in decreasing order, given the least one at which all penalized coefficients are 0."""
        if self.alphas is not None:
            return np.array(self.alphas)
        if not largest > 0:  # nothing is penalized, or no column is related to y
            return np.zeros(self.count)
        return np.geomspace(largest, largest * self.eps, self.count)

    def pairs(self, alphas: np.ndarray) -> list[tuple[float, float]]:
        """Return (α, ρ) of each fit, ρ by ρ; `alphas` has shape (ρ's, α's)."""
        return [(float(a), rho) for rho, own in zip(self.l1_ratios, alphas, strict=True) for a in own]


@dataclass(frozen=True, eq=False)
class NetPath(Record):
    """A path with its cross-validation.

    Attributes
    ----------
    alphas, l1_ratios : ndarray of shape (m,)
        The penalties, ρ by ρ, α in decreasing order.
    coefs : ndarray of shape (m, d)
        Coefficients of all rows.
    gaps : ndarray of shape (m,)
        Their duality gaps, as `ElasticNetEstimate.duality_gap`.
    deviances : ndarray of shape (K, m)
        Mean deviance of the rows of each fold at the coefficients of its training rows.
    weights : ndarray of shape (K,)
        Σ wᵢ of each fold.
    """

    alphas: np.ndarray
    l1_ratios: np.ndarray
    coefs: np.ndarray
    gaps: np.ndarray
    deviances: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean deviance over folds, weighted by Σ wᵢ, of shape (m,)."""
        return np.average(self.deviances, axis=0, weights=self.weights)

    @property
    def std_err(self) -> np.ndarray:
        """Standard error of `mean`, as glmnet has it: of K weighted means, of shape (m,)."""
        variance = np.average(np.square(self.deviances - self.mean), axis=0, weights=self.weights)
        return np.sqrt(variance / (len(self.weights) - 1))

    @property
    def best(self) -> int:
        """The fit with the smallest mean deviance."""
        return int(np.nanargmin(np.where(np.isfinite(self.mean), self.mean, np.nan)))

    @property
    def within_one_se(self) -> int:
        """The fit of the largest α, at the best ρ, whose mean deviance is within one standard error of the smallest."""
        best = self.best
        near = (self.l1_ratios == self.l1_ratios[best]) & (self.mean <= self.mean[best] + self.std_err[best])
        return int(np.argmax(np.where(near, self.alphas, -np.inf)))


# --- gaussian -----------------------------------------------------------------------------------


def gaussian_paths(model: Model, spec: NetSpec, grid: Grid, sums: FoldSums) -> NetPath:
    """Return the path of the gaussian family, and its cross-validation."""
    held = folds_with_rows(sums)
    start = sums.points.coefs[0]
    null, within = gaussian_null(sums.total(), start, spec, model)
    alphas = np.array([grid.values(_largest(null.moments, spec, model, rho, sums.scale)) for rho in grid.l1_ratios])
    pairs = grid.pairs(alphas)
    penalties = [spec.penalty(model, *pair, sums.scale) for pair in pairs]
    coefs, gaps = _gaussian_path(null.moments, null.coef, penalties, within)
    deviances = []
    for fold in held:
        own, train = sums.moments[0][fold], sums.without(fold)
        fits, _ = _gaussian_path(train, start, penalties, within)
        deviances.append([_deviance(own, coef - start) / own.weight for coef in fits])
    weights = np.array([sums.moments[0][fold].weight for fold in held])
    found, ratios = np.array(pairs).T
    return NetPath(found, ratios, coefs, gaps, np.array(deviances), weights)


def _deviance(sums: Moments, step: np.ndarray) -> float:
    """Return Σ w(y − μ)² at β + δ."""
    assert sums.pearson is not None
    assert sums.pearson_gradient is not None
    return sums.pearson + float(sums.pearson_gradient @ step + step @ sums.information @ step)


def folds_with_rows(sums: FoldSums) -> list[int]:
    """Return the folds that have rows; at least 2 must."""
    held = [fold for fold, part in enumerate(sums.moments[0]) if part.weight > 0]
    if len(held) < 2:
        raise ValueError("Cross-validation needs rows in at least 2 folds: use more groups or blocks, or cv=5.")
    return held


def _gaussian_path(
    sums: Moments, coef: np.ndarray, penalties: list[Penalty], within: Tolerance
) -> tuple[np.ndarray, np.ndarray]:
    coefs, gaps, profile = [], [], None
    for penalty in penalties:
        profile = profile_of(sums, penalty, profile)
        fit = quadratic_lasso(sums, coef, penalty, within, profile)
        sums, coef = fit.moments, fit.coef
        coefs.append(coef)
        gaps.append(fit.gap)
    return np.array(coefs), np.array(gaps)


def _largest(sums: Moments, spec: NetSpec, model: Model, l1_ratio: float, scale: np.ndarray) -> float:
    return largest_alpha(sums, spec.penalty(model, 1.0, 1.0, scale), l1_ratio)


# --- other families -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Anchors(Record):
    """Penalized fits of the pilot rows at some penalties of a grid.

    Attributes
    ----------
    points : Points
        Their coefficients; the first is the fit of the unpenalized columns.
    alphas : ndarray of shape (ρ's, a)
        The penalties of each ρ, the first the least at which all penalized coefficients are 0.
    at : ndarray of shape (ρ's, a) of int
        Where in `points` they are.
    """

    points: Points
    alphas: np.ndarray
    at: np.ndarray

    def nearest(self, alpha: float, ratio: int, usable: np.ndarray) -> int:
        """Return the point, of those that are usable, whose penalty is nearest."""
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.abs(np.log(self.alphas[ratio]) - np.log(alpha))
        away = np.where(usable[self.at[ratio]], np.nan_to_num(away, nan=0.0, posinf=1e300), np.inf)
        return int(self.at[ratio][np.argmin(away)])


def anchors_of(model: Model, pilot: PenalizedPilot, spec: NetSpec, grid: Grid, most: int) -> Anchors:
    """Return the anchors of a grid, at most so many per ρ."""
    (null,) = pilot_fits(pilot, model, [spec.none(model)])
    at_null = moments(pilot.rows, model, null)
    tops = [_largest(at_null, spec, model, rho, pilot.scale) for rho in grid.l1_ratios]
    found = _anchors(model, pilot, spec, grid, null, tops, min(FEW_ANCHORS, most))
    explained = 1.0 - log_likelihoods(pilot.rows, model, found.points.coefs[-1:]).deviance[0] / pilot.null.deviance
    if explained > _STRONG and most > FEW_ANCHORS:
        return _anchors(model, pilot, spec, grid, null, tops, min(MANY_ANCHORS, most))
    return found


def _anchors(
    model: Model, pilot: PenalizedPilot, spec: NetSpec, grid: Grid, null: np.ndarray, tops: list[float], count: int
) -> Anchors:
    coefs, alphas, at = [null], [], []
    for rho, top in zip(grid.l1_ratios, tops, strict=True):
        values = grid.values(top)
        # The largest automatic penalty is that of the first point.
        first = 0 if grid.alphas is not None else len(values) / (count - 1)
        chosen = values[np.unique(np.linspace(first, len(values) - 1, count - 1).round().astype(int))]
        fits = pilot_fits(pilot, model, [spec.penalty(model, a, rho, pilot.scale) for a in chosen])
        at.append([0, *range(len(coefs), len(coefs) + len(fits))])
        alphas.append([top, *chosen])
        coefs.extend(fits)
    return Anchors(Points(np.array(coefs), pilot.shift), np.array(alphas), np.array(at))


def grid_alphas(
    model: Model, pilot: PenalizedPilot, spec: NetSpec, grid: Grid, anchors: Anchors, sums: FoldSums
) -> np.ndarray:
    """Return the penalties of a path, of shape (ρ's, α's), from the fit of the unpenalized columns to all rows."""
    folds_with_rows(sums)
    total, null = sums.total(), anchors.points.coefs[0]
    term = pilot.term(model, null)
    within = replace(pilot.within(spec, total.weight), gap=_TOL)
    coef = corrected_fit(term, total, spec.none(model), null, within)
    ahead = term.ahead(total, coef)
    return np.array([grid.values(_largest(ahead, spec, model, rho, sums.scale)) for rho in grid.l1_ratios])


def net_path(
    model: Model,
    pilot: PenalizedPilot,
    spec: NetSpec,
    grid: Grid,
    anchors: Anchors,
    alphas: np.ndarray,
    sums: FoldSums,
    fold: int | None,
) -> PathFits:
    """Return the fits of a path, of all rows or of the training rows of a fold."""
    points = range(len(anchors.points.coefs))
    known = [sums.total(point) if fold is None else sums.without(fold, point) for point in points]
    usable = np.array([each.is_finite() and bool(np.isfinite(each.loglik)) for each in known])
    usable[0] = True
    terms = [pilot.term(model, anchors.points.coefs[point], fold=fold) for point in points]
    within = replace(pilot.within(spec, known[0].weight), gap=_TOL)
    coefs, n_failed, profile = [], 0, None
    for ratio, rho in enumerate(grid.l1_ratios):
        last = anchors.points.coefs[0]
        for alpha in alphas[ratio]:
            near = anchors.nearest(alpha, ratio, usable)
            penalty = spec.penalty(model, alpha, rho, sums.scale)
            if n_failed:  # smaller penalties fail as well, after many steps
                last, converged = uncorrected_fit(terms[near].coef, known[near], penalty, within), False
            else:
                profile = profile_of(known[near], penalty, profile)
                last, converged = corrected_climb(terms[near], known[near], penalty, last, within, profile)
            n_failed += not converged
            coefs.append(last)
    return PathFits(np.array(coefs), n_failed)


@dataclass(frozen=True, eq=False)
class PathFits(Record):
    """Coefficients of a path, of shape (m, d), and how many of its fits have not converged."""

    coefs: np.ndarray
    n_failed: int


def path_candidates(pilot: PenalizedPilot, path: PathFits, *of_folds: PathFits) -> Candidates:
    """Return the coefficients of all paths for the pass that evaluates them."""
    n_failed = sum(fits.n_failed for fits in of_folds)
    return Candidates(path.coefs, np.array([fits.coefs for fits in of_folds]), pilot.shift, n_failed)


def refined_path(
    model: Model,
    pilot: PenalizedPilot,
    spec: NetSpec,
    grid: Grid,
    anchors: Anchors,
    alphas: np.ndarray,
    sums: FoldSums,
    candidates: Candidates,
    found: CandidateSums,
) -> NetPath:
    """Return the path after one more step from each of its fits, where score and log-likelihood are known, at no pass.

    The curvature of the step is that of the nearest anchor, moved to the fit by the pilot rows.
    """
    points = range(len(anchors.points.coefs))
    totals = [sums.total(point) for point in points]
    usable = np.array([each.is_finite() and bool(np.isfinite(each.loglik)) for each in totals])
    usable[0] = True
    pairs, within = grid.pairs(alphas), pilot.within(spec, totals[0].weight)
    fine = replace(within, gap=_TOL)
    coefs, gaps, profile = [], [], None
    for number, ((alpha, rho), coef) in enumerate(zip(pairs, candidates.coefs, strict=True)):
        near = anchors.nearest(alpha, number // alphas.shape[1], usable)
        penalty = spec.penalty(model, alpha, rho, sums.scale)
        here = replace(totals[near], loglik=float(found.loglik[number]), score=found.score[number])
        profile = profile_of(here, penalty, profile)
        move = ProximalNewton(penalty, fine, profile)(coef, Penalized.of(here, coef, penalty), np.inf)
        term = pilot.term(model, coef, curved=anchors.points.coefs[near])
        gaps.append(move.gap)
        coefs.append(corrected_climb(term, here, penalty, coef, fine, profile)[0])
    held = found.weight > 0
    deviances = found.deviance[held] / found.weight[held, None]
    values, ratios = np.array(pairs).T
    return NetPath(values, ratios, np.array(coefs), np.array(gaps), deviances, found.weight[held])
