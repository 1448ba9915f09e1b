"""The path of the elastic net of all rows, and its cross-validation, which share their passes."""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np

from dask_onestep.choices import unknown_choice
from dask_onestep.kernels.lassos.elastic_net import NetClimb, NetSpec, PenalizedPilot, pilot_candidate_sums
from dask_onestep.kernels.lassos.fold_sums import (
    Candidates,
    Folds,
    FoldSums,
    Points,
    candidate_sums,
    centered_fold_sums,
)
from dask_onestep.kernels.lassos.net_path import (
    FEW_ANCHORS,
    MANY_ANCHORS,
    Grid,
    NetPath,
    anchors_of,
    gaussian_paths,
    grid_alphas,
    net_path,
    path_candidates,
    refined_path,
)
from dask_onestep.kernels.lassos.proximal_newton import shifted
from dask_onestep.kernels.lassos.shift import coefficients_about
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.methods.arguments import check_choice, check_count, check_l1_ratio, check_nonnegative
from dask_onestep.methods.elastic_net import (
    ElasticNetEstimate,
    check_columns,
    check_penalized,
    climb_fields,
    climbed,
    draw_penalized,
    net_fields,
    net_spec,
    penalized_draw,
    refuse_empty,
    sums_at,
)
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan, Settle

# What the sums of all folds at all anchors may take in one record.
_MOST_BYTES = 2**30
# As `SMALL_BYTES` of a single penalty: of larger tables a sample is cheaper than all rows at every penalty and fold.
_SMALL_BYTES = 8 * 2**20
# Folds of blocks and of groups.
_FOLDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class ElasticNetCVEstimate(ElasticNetEstimate):
    """An `ElasticNetEstimate` at the penalty chosen by cross-validation, and the path.

    Attributes
    ----------
    path : NetPath
        Coefficients and cross-validated deviance of each penalty.
    alpha_1se : float
        The largest α whose mean deviance is within one standard error of the smallest.
    n_folds : int
        Folds that have rows.

    Examples
    --------
    >>> from dask_onestep import ElasticNetCV, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2)
    >>> estimate = GLMRegressor(method=ElasticNetCV(20)).fit(X, y).estimate_
    >>> estimate.path.coefs.shape, estimate.alpha <= estimate.alpha_1se
    ((20, 3), True)
    """

    path: NetPath
    alpha_1se: float
    n_folds: int


class ElasticNetCV(Method):
    """`ElasticNet` along a grid of penalties, with the penalty chosen by cross-validation.

    All penalties and all folds share their passes: the sums over the training rows of a fold are those over all rows
    minus those over the fold.  The gaussian family with the identity link takes one pass in all.  For other families
    the starting points are penalized fits of a pilot sample at about five penalties of the grid, the anchors (ten if
    effects are strong).  One pass sums the score and the information of all rows by anchor and fold; all paths are
    computed from these sums, with the terms of third and higher order from the pilot rows, in a fold from those outside
    it.  One pass evaluates the deviance of the rows of each fold, and the score of all rows along the path.  Then the
    chosen fit is refined until its duality gap is below `tol`.

    Parameters
    ----------
    alphas : int or array-like, default=50
        Values of α, or their number: then from the smallest value at which all penalized coefficients are 0 to a
        thousandth of it, equally spaced on the log scale, for each ρ.
    l1_ratios : float or array-like, default=0.5
        ρ, as for `ElasticNet`; the best of several is chosen.
    cv : int, "blocks" or "groups", default=5
        Number of folds, to which rows are assigned at random by the keys that draw the pilot; these do not depend on
        the chunking if row numbers are known.  With "blocks", whole blocks are assigned, and with "groups" all rows
        with the same label in ``groups`` of ``fit``, to five folds.
    penalty_factor, standardize, groups, tol, max_iter, pilot_size, random_state
        As for `ElasticNet`.  Standard deviations are those of all rows, in every fold.
    rule : {"min", "1se"}, default="min"
        Whether the fit is at the α with the smallest mean deviance, or at the largest α whose mean deviance is within
        one standard error of it.

    Notes
    -----
    Passes: 1 for the gaussian family with the identity link, and where the pilot is all rows, as it is of tables whose
    raw columns take at most 8 MiB; others 1 for the pilot, 1 at the anchors, 1 along the paths, and 1 or 2 at the
    chosen fit.

    The fitted estimator has ``path_`` (coefficients of each penalty), ``cv_results_`` (mean deviance per unit of
    weight, its standard error over folds, nonzero coefficients and duality gap of each penalty), ``alpha_``,
    ``alpha_1se_`` and ``l1_ratio_``.

    The pass at the anchors holds K·a·d² numbers for K folds, a anchors and d coefficients (25·d² for five of each) in
    each task, at most 1 GiB; larger problems raise an error before it.

    Examples
    --------
    >>> from dask_onestep import ElasticNetCV, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8_000, 5, coef=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], random_state=0)
    >>> glm = GLMRegressor(method=ElasticNetCV(l1_ratios=1.0)).fit(X, y)
    >>> glm.n_passes_, glm.path_.shape, bool(glm.alpha_ < glm.alpha_1se_)
    (1, (50, 6), True)
    """

    solvers = ("auto",)

    def __init__(
        self,
        alphas: Any = 50,
        l1_ratios: Any = 0.5,
        cv: int | str = 5,
        penalty_factor: Any = None,
        *,
        rule: str = "min",
        standardize: bool = False,
        groups: str | None = None,
        tol: float = 1e-7,
        max_iter: int = 25,
        pilot_size: str | int | float = "auto",
        random_state: Any = 0,
    ):
        self.alphas = alphas
        self.l1_ratios = l1_ratios
        self.cv = cv
        self.penalty_factor = penalty_factor
        self.rule = rule
        self.standardize = standardize
        self.groups = groups
        self.tol = tol
        self.max_iter = max_iter
        self.pilot_size = pilot_size
        self.random_state = random_state

    @property
    def wants_groups(self) -> bool:
        """Whether ``groups`` of ``fit`` are labels for cross-validation."""
        return isinstance(self.cv, str) and self.cv == "groups"

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the path and its cross-validation.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of an `ElasticNetCVEstimate`.
        """
        check_penalized(self, problem)
        check_choice("rule", self.rule, "min", "1se")
        draw = self.draw(problem)
        grid, folds = self._grid(), self._folds(problem, draw.seed)
        quadratic = problem.model.quadratic
        sets = folds.count * (1 if quadratic else FEW_ANCHORS * len(grid.l1_ratios))
        check_columns(problem, sets, _MOST_BYTES)
        spec = net_spec(self, problem)
        if quadratic:
            sums = yield problem.total(centered_fold_sums, folds, name="gram", matrices=sets)
            return problem.apply(_of_grams, problem.model, spec, grid, self.rule, sums, name="elastic-net")
        return (yield from self._by_anchors(problem, draw, spec, grid, folds))

    def _by_anchors(self, problem: Problem, draw: Draw, spec: NetSpec, grid: Grid, folds: Folds) -> Plan:
        pilot, problem = yield from draw_penalized(problem, draw, spec, grid.l1_ratios[0], folds)
        model = problem.model
        per_anchor = folds.count * len(grid.l1_ratios)
        most = min(int(_MOST_BYTES // (8 * problem.d**2 * per_anchor)), MANY_ANCHORS)
        anchors = yield Settle(problem.apply(anchors_of, model, pilot, spec, grid, most, name="pilot-path"))
        points, matrices = problem.apply(attrgetter("points"), anchors, name="anchors"), most * per_anchor
        sums = yield Settle((yield from sums_at(problem, pilot, points, folds, "anchor-moments", matrices)))
        known = (model, pilot, spec, grid, anchors)
        alphas = problem.apply(grid_alphas, *known, sums, name="penalties")
        paths = [
            problem.apply(net_path, *known, alphas, sums, fold, name="path") for fold in (None, *range(folds.count))
        ]
        candidates = yield Settle(problem.apply(path_candidates, pilot, *paths, name="paths"))
        if (yield Look(problem.apply(attrgetter("whole"), pilot, name="pilot-is-whole"))):
            found = problem.apply(pilot_candidate_sums, pilot, model, candidates, name="path-deviance")
        else:
            found = yield problem.total(candidate_sums, candidates, folds, name="path-deviance")
        path = yield Settle(
            problem.apply(refined_path, *known, alphas, sums, candidates, found, name="cross-validation")
        )
        net = problem.apply(_chosen_net, path, self.rule, name="penalty")
        start = problem.apply(_start, pilot, path, self.rule, name="coefficients")
        climb = yield from climbed(problem, pilot, spec, net, start)
        of = (path, candidates, self.rule, climb, problem.classes)
        return problem.apply(_of_path, model, pilot, *of, name="elastic-net")

    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, of no rows for the gaussian family with the identity link."""
        return penalized_draw(self, problem, _SMALL_BYTES)

    def _grid(self) -> Grid:
        ratios = _sequence("l1_ratios", self.l1_ratios)
        for ratio in ratios:
            check_l1_ratio("l1_ratios", ratio)
        if isinstance(self.alphas, (int, np.integer)) and not isinstance(self.alphas, bool):
            if self.alphas < 2:
                raise ValueError(f"alphas={self.alphas!r} must be a number of penalties ≥ 2, or the penalties.")
            return Grid(ratios, None, int(self.alphas))
        alphas = _sequence("alphas", self.alphas)
        for alpha in alphas:
            check_nonnegative(alphas=alpha)
        alphas = tuple(sorted(set(alphas), reverse=True))
        return Grid(ratios, alphas, len(alphas))

    def _folds(self, problem: Problem, seed: int) -> Folds:
        if not isinstance(self.cv, str):
            check_count("cv", self.cv, ", 'blocks' or 'groups'")
            if self.cv < 2:
                raise ValueError("cv=1 leaves no rows for training: use at least 2 folds.")
            return Folds(int(self.cv), "rows", seed)
        if self.cv == "groups":
            return Folds(_FOLDS, "groups")
        if self.cv != "blocks":
            raise ValueError(unknown_choice("cv", self.cv, ("a number of folds", "'blocks'", "'groups'")))
        if len(problem.blocks) < 2:
            raise ValueError("cv='blocks' needs at least 2 blocks: use a number of folds, or rechunk.")
        return Folds(min(_FOLDS, len(problem.blocks)), "blocks")


def _sequence(option: str, values: Any) -> tuple[float, ...]:
    try:
        found = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or not len(found) or isinstance(values, str):
        raise ValueError(f"{option}={values!r} must be a number or a sequence of numbers.")
    return tuple(found.tolist())


def _at(path: NetPath, rule: str) -> int:
    return path.best if rule == "min" else path.within_one_se


def _chosen_net(path: NetPath, rule: str) -> tuple[float, float]:
    at = _at(path, rule)
    return float(path.alphas[at]), float(path.l1_ratios[at])


def _start(pilot: PenalizedPilot, path: NetPath, rule: str) -> Points:
    return Points(path.coefs[_at(path, rule)][np.newaxis], pilot.shift)


def _fields(path: NetPath, shift: np.ndarray, rule: str) -> dict[str, Any]:
    """Return the fields of an estimate that follow from the path, its coefficients those of the columns as they are."""
    at = _at(path, rule)
    return {
        "path": replace(path, coefs=coefficients_about(path.coefs.T, -shift).T),
        "alpha": float(path.alphas[at]),
        "l1_ratio": float(path.l1_ratios[at]),
        "alpha_1se": float(path.alphas[path.within_one_se]),
        "n_folds": len(path.weights),
    }


def _of_grams(model: Model, spec: NetSpec, grid: Grid, rule: str, sums: FoldSums) -> ElasticNetCVEstimate:
    refuse_empty(sums)
    path = gaussian_paths(model, spec, grid, sums)
    at, shift = _at(path, rule), sums.points.shift
    coef, total = path.coefs[at], sums.total()
    penalty = spec.penalty(model, float(path.alphas[at]), float(path.l1_ratios[at]), sums.scale)
    here = shifted(total, coef - sums.points.coefs[0])
    return ElasticNetCVEstimate(
        **net_fields(model, here, coefficients_about(coef, -shift)),
        **_fields(path, shift, rule),
        n_missing=sums.n_missing,
        n_iter=1,
        objective=penalty.value(coef) - here.loglik / total.weight,
        duality_gap=float(path.gaps[at]),
        scale=sums.scale,
    )


def _of_path(
    model: Model,
    pilot: PenalizedPilot,
    path: NetPath,
    candidates: Candidates,
    rule: str,
    climb: NetClimb,
    classes: np.ndarray | None,
) -> ElasticNetCVEstimate:
    at = _at(path, rule)
    coefs, gaps = path.coefs.copy(), path.gaps.copy()
    coefs[at], gaps[at] = climb.coef, climb.gap
    fields = climb_fields(model, pilot, climb)
    if candidates.n_failed:
        n_fits = len(path.weights) * len(path.alphas)
        fields["warnings"] += (catalogue.FOLDS_NOT_CONVERGED.warning(n_failed=candidates.n_failed, n_fits=n_fits),)
    return ElasticNetCVEstimate(
        **fields, **_fields(replace(path, coefs=coefs, gaps=gaps), climb.shift, rule), classes=classes
    )
