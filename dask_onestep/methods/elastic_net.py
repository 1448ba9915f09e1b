"""The elastic net of all rows."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from dask_onestep.choices import unknown_choice
from dask_onestep.kernels.lassos.elastic_net import (
    NetClimb,
    NetSpec,
    PenalizedPilot,
    advance,
    gaussian_null,
    penalized_pilot,
    pilot_fits,
    pilot_sums,
)
from dask_onestep.kernels.lassos.fold_sums import Folds, FoldSums, Points, centered_fold_sums, fold_sums
from dask_onestep.kernels.lassos.proximal_newton import quadratic_lasso
from dask_onestep.kernels.lassos.shift import coefficients_about
from dask_onestep.kernels.likelihood.covariance import dispersion
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.records import Moments
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remarks
from dask_onestep.methods.arguments import check_l1_ratio, check_nonnegative, check_pilot_size, check_positive, seed_of
from dask_onestep.methods.conclusion import of_response
from dask_onestep.methods.draws import draw_sample, rows_within
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method, refuse_restrictions
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Plan, Settle

# Columns that an elastic net may have: a matrix of their squared number is held in memory.
MAX_COLUMNS = 5_000
# Up to so many coefficients the pilot has 50 rows each; of more, as many as fit into this memory.
_FEW, _PILOT_BYTES = 200, 256 * 2**20
# The pilot of a table whose raw columns fit into this memory is all rows.
SMALL_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class ElasticNetEstimate(Estimate):
    """An `Estimate` without a covariance, with its objective and duality gap.

    Attributes
    ----------
    alpha, l1_ratio : float
        The penalty.
    objective : float
        −ℓ(β)/Σw plus the penalty, at the last pass.
    duality_gap : float
        Bound on the difference between the objective and its minimum, relative to half the null deviance per unit of
        weight, at the last pass; the step after it, which needs no pass, reduces it further.  It is exact for the
        gaussian family, and that of the quadratic approximation for others.
    scale : ndarray of shape (d,)
        Standard deviations of the columns, by which they are divided with ``standardize=True``.
    n_nonzero : int
        Nonzero coefficients, intercept included.

    Examples
    --------
    >>> from dask_onestep import ElasticNet, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2)
    >>> bool(GLMRegressor(method=ElasticNet(0.1)).fit(X, y).estimate_.duality_gap < 1e-7)
    True
    """

    alpha: float
    l1_ratio: float
    objective: float
    duality_gap: float
    scale: np.ndarray
    n_nonzero: int


class ElasticNet(Method):
    """The elastic net of all rows: the maximum of the penalized likelihood of the full data.

    It minimizes, with the likelihood at φ = 1 (for the gaussian family −ℓ/Σw is Σw(y − μ)²/(2Σw)),

        −ℓ(β)/Σw + α Σ_j f_j {ρ|β_j| + (1 − ρ)β_j²/2},

    with the intercept not penalized.  This is the objective of scikit-learn's ``ElasticNet``, of
    ``LogisticRegression`` with ``C = 1/(α Σw)``, and of glum.  For the gaussian family with the identity link it is
    exact after one pass.  For other families the fit starts at the penalized fit of a pilot sample; each further pass
    sums the score and the information of all rows for a proximal Newton step, in which the pilot rows supply the terms
    of third and higher order.

    Parameters
    ----------
    alpha : float, default=1.0
        α, at least 0.
    l1_ratio : float, default=0.5
        ρ: 1 is the lasso, 0 ridge regression.
    penalty_factor : array-like of shape (p,), mapping or None, default=None
        f_j: one number per column, or numbers by name of a column or term of the formula, 1 for those not named.  0
        leaves a column unpenalized.  The factors are not rescaled; glmnet rescales them to a mean of 1.
    standardize : bool, default=False
        Whether the penalty applies to the coefficients of the columns divided by their standard deviations
        (denominator Σw), as in glmnet by default; the returned coefficients are on the original scale.
    groups : {None, "terms"}, default=None
        With "terms" all coefficients of a term of the formula are zero, or none is (the group lasso): the penalty of a
        term with p_g coefficients is αρ√p_g times the Euclidean norm of f_jβ_j, instead of the sum of absolute values.
    tol : float, default=1e-7
        Tolerance of ``estimate_.duality_gap``.
    max_iter : int, default=25
        Maximum number of steps, one pass each; not used for the gaussian family with the identity link.
    pilot_size : "auto", int or float, default="auto"
        Rows of the pilot, as for `OneStep`; with more than 200 columns 50·d, but at most 256 MiB.
    random_state : int, RandomState or None, default=0
        Seed of the pilot.

    Notes
    -----
    Passes: 1 for the gaussian family with the identity link, and where the pilot is all rows, as it is of tables whose
    raw columns take at most 64 MiB; others 1 for the pilot, 1 at its penalized fit, and 1 at each further step, about 3
    in all.

    Penalized coefficients are biased, so there is no covariance: use `DebiasedLasso` for intervals.

    At most 5,000 columns.  glmnet divides y of its gaussian family by its standard deviation, so that with ρ < 1 its
    penalty (1 − ρ)β_j²/2 is divided by that; the lasso is the same.

    Examples
    --------
    >>> from dask_onestep import ElasticNet, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(8_000, 5, coef=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], random_state=0)
    >>> glm = GLMRegressor(method=ElasticNet(0.1, l1_ratio=1.0)).fit(X, y)
    >>> glm.coef_.round(1), glm.n_passes_
    (array([0.6, 0. , 0. , 0. , 0. ]), 1)
    """

    solvers = ("auto",)  # a penalty is of the columns as they are

    def __init__(
        self,
        alpha: float = 1.0,
        l1_ratio: float = 0.5,
        penalty_factor: Any = None,
        *,
        standardize: bool = False,
        groups: str | None = None,
        tol: float = 1e-7,
        max_iter: int = 25,
        pilot_size: str | int | float = "auto",
        random_state: Any = 0,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.penalty_factor = penalty_factor
        self.standardize = standardize
        self.groups = groups
        self.tol = tol
        self.max_iter = max_iter
        self.pilot_size = pilot_size
        self.random_state = random_state

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the elastic net.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of an `ElasticNetEstimate`.
        """
        check_penalized(self, problem)
        check_nonnegative(alpha=self.alpha)
        check_l1_ratio("l1_ratio", self.l1_ratio)
        check_columns(problem)
        spec, net = net_spec(self, problem), (float(self.alpha), float(self.l1_ratio))
        if problem.model.quadratic:
            sums = yield problem.total(centered_fold_sums, Folds(), name="gram")
            return problem.apply(_of_gram, problem.model, spec, net, sums, name="elastic-net")
        pilot, problem = yield from draw_penalized(problem, self.draw(problem), spec, net[1], Folds())
        start = problem.apply(_anchor, problem.model, pilot, spec, net, name="pilot-fit")
        climb = yield from climbed(problem, pilot, spec, net, start)
        return problem.apply(_of_climb, problem.model, pilot, spec, net, climb, problem.classes, name="elastic-net")

    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, of no rows for the gaussian family with the identity link."""
        return penalized_draw(self, problem, SMALL_BYTES)


# --- shared with cross-validation -----------------------------------------------------------------


def check_penalized(method: Any, problem: Problem) -> None:
    """Raise if the problem or an option that penalized methods share cannot be used."""
    problem.refuse(cov_type=("nonrobust",), solver=method.solvers)
    refuse_restrictions(method, problem)
    check_positive(tol=method.tol, max_iter=method.max_iter)
    if not isinstance(method.standardize, (bool, np.bool_)):
        raise ValueError(f"standardize={method.standardize!r} must be True or False.")
    if method.groups not in (None, "terms"):
        raise ValueError(unknown_choice("groups", method.groups, ("None", "'terms'")))
    if method.groups == "terms" and problem.model.design is None and problem.learned is None:
        raise ValueError("groups='terms' requires a formula or a table: each column of a matrix is a term of its own.")
    _check_main_effects(problem.model)


def check_columns(problem: Problem, sets: int = 1, most_bytes: float = np.inf) -> None:
    """Raise if columns are too many, or as many sets of sums exceed a bound of memory; unknown in some lazy fits."""
    if problem.learned is not None:
        return
    p, needed = problem.d - int(problem.model.has_intercept), 8.0 * sets * problem.d**2
    if p > MAX_COLUMNS:
        raise ValueError(
            f"The model has {p:,} columns, and an elastic net at most {MAX_COLUMNS:,}: their Gram matrix would "
            f"take {8 * p**2 / 2**30:.1f} GiB. Use fewer columns, or AverageLasso, whose blocks hold the matrix of "
            "few columns at a time."
        )
    if needed > most_bytes:
        raise ValueError(
            f"Cross-validation holds {sets} sums of {problem.d:,}² numbers ({needed / 2**30:.1f} GiB), more than the "
            f"bound of {most_bytes / 2**30:.0f} GiB. Use fewer folds (cv=), fewer l1_ratios, fewer columns, or "
            "ElasticNet(alpha), which holds one."
        )


def net_spec(method: Any, problem: Problem) -> NetSpec:
    """Return what a method penalizes, its factors checked."""
    spec = NetSpec(
        method.penalty_factor, bool(method.standardize), method.groups == "terms", method.tol, method.max_iter
    )
    if problem.learned is None:
        spec.resolved(problem.model)
    return spec


def penalized_draw(method: Any, problem: Problem, small_bytes: int) -> Draw:
    """Return how the pilot of a penalized fit is drawn: of a table that fits into so much memory it is all rows."""
    if problem.model.quadratic:
        return Draw(None, seed_of(method.random_state))
    size = check_pilot_size(method.pilot_size)
    whole, hold = rows_within(problem, small_bytes) if size == "auto" else (0, 0)
    if size == "auto" and problem.d > _FEW:
        size = int(min(50 * problem.d, max(50 * _FEW, _PILOT_BYTES // (8 * problem.d))))
    return Draw(size, seed_of(method.random_state), stratified=True, searched=False, whole=whole, hold=hold)


def draw_penalized(problem: Problem, draw: Draw, spec: NetSpec, l1_ratio: float, folds: Folds) -> Plan:
    """Return the plan of the pilot rows of a penalized fit, and of the problem with its classes known."""
    sample, problem = yield from draw_sample(problem, draw)
    known = (sample, problem.model, spec, l1_ratio, folds, problem.blocks.starts)
    pilot = yield Settle(problem.apply(penalized_pilot, *known, name="pilot-rows"), awaited=True)
    return pilot, problem


def sums_at(problem: Problem, pilot: Any, points: Any, folds: Folds, name: str, matrices: int = 1) -> Plan:
    """Return the plan of the sums by fold at some points: one pass, or none if the pilot is all rows."""
    if (yield Look(problem.apply(attrgetter("whole"), pilot, name="pilot-is-whole"))):
        return problem.apply(pilot_sums, pilot, problem.model, points, name=name)
    return (yield problem.total(fold_sums, points, folds, name=name, matrices=matrices))


def climbed(problem: Problem, pilot: Any, spec: NetSpec, net: Any, start: Any) -> Plan:
    """Return the plan of a `NetClimb` that has arrived or stopped: one pass for each step."""
    points, climb = start, None
    while True:
        sums = yield from sums_at(problem, pilot, points, Folds(), "moments")
        climb = yield Settle(problem.apply(advance, problem.model, pilot, spec, net, climb, sums, name="proximal-step"))
        if not (yield Look(problem.apply(attrgetter("ascent.climbing"), climb, name="proximal-step-state"))):
            return climb
        points = problem.apply(attrgetter("points"), climb, name="coefficients")


def _anchor(model: Model, pilot: PenalizedPilot, spec: NetSpec, net: tuple[float, float]) -> Points:
    return Points(pilot_fits(pilot, model, [spec.penalty(model, *net, pilot.scale)]), pilot.shift)


def _check_main_effects(model: Model) -> None:
    """Raise if a formula has an interaction without its main effects, whose coding, and so penalty, is arbitrary."""
    if model.design is None or model.design.terms.formula is None:
        return
    terms = list(model.by_term)
    for term in terms:
        missing = [part for part in term.split(":") if ":" in term and part not in terms]
        if missing:
            raise ValueError(
                f"The formula has the interaction {term} without the main effect of {', '.join(missing)}: how its "
                f"levels are coded is then arbitrary, and the penalty depends on it. Add {' + '.join(missing)}."
            )


def net_fields(model: Model, sums: Moments, coef: np.ndarray) -> dict[str, Any]:
    """Return the fields of an estimate that follow from the coefficients and the sums at the last pass."""
    n_nonzero = int(np.count_nonzero(coef))
    rows = sums.weight if model.weight_type == "frequency" else sums.n
    phi = dispersion(sums.pearson, rows - n_nonzero)
    advice: Remarks = ()
    if np.isnan(phi):
        advice = (catalogue.NO_DEGREES_OF_FREEDOM_OF_LASSO.warning(n=sums.n, nonzeros=n_nonzero, where=""),)
    return {
        "coef": coef,
        "covariance": np.full((len(coef), len(coef)), np.nan),
        "dispersion": phi,
        "n_samples": sums.n,
        "df_resid": rows - n_nonzero,
        "loglik": float(sums.loglik),
        **of_response(model, sums, sums.n),
        "n_nonzero": n_nonzero,
        "warnings": advice,
    }


def _of_gram(model: Model, spec: NetSpec, net: tuple[float, float], sums: FoldSums) -> ElasticNetEstimate:
    refuse_empty(sums)
    total, coef = sums.total(), sums.points.coefs[0]
    null, within = gaussian_null(total, coef, spec, model)
    penalty = spec.penalty(model, *net, sums.scale)
    fit = quadratic_lasso(null.moments, null.coef, penalty, within)
    return ElasticNetEstimate(
        **net_fields(model, fit.moments, coefficients_about(fit.coef, -sums.points.shift)),
        n_missing=sums.n_missing,
        n_iter=1,
        converged=fit.converged,
        alpha=net[0],
        l1_ratio=net[1],
        objective=penalty.value(fit.coef) - fit.moments.loglik / total.weight,
        duality_gap=fit.gap,
        scale=sums.scale,
    )


def refuse_empty(sums: FoldSums) -> None:
    """Raise if no row is usable."""
    if not sums.n:
        dropped = f", {sums.n_missing:,} were dropped for missing values" if sums.n_missing else ""
        raise catalogue.NO_ROWS.error(why=dropped)


def climb_fields(model: Model, pilot: PenalizedPilot, climb: NetClimb) -> dict[str, Any]:
    """Return the fields of an estimate at the end of steps."""
    ascent = climb.ascent
    if ascent.sums is None:
        raise catalogue.NO_START.error(family=model.family.name)
    fields = net_fields(model, ascent.sums.moments, coefficients_about(ascent.proposal, -climb.shift))
    if not ascent.converged:
        steps = "1 step" if ascent.n_iter == 1 else f"{ascent.n_iter} steps"
        fields["warnings"] += (catalogue.NET_NOT_CONVERGED.warning(steps=steps, gap=climb.gap),)
    return fields | {
        "n_iter": ascent.n_iter,
        "n_missing": climb.n_missing,
        "converged": ascent.converged,
        "objective": -float(ascent.sums.loglik),
        "duality_gap": climb.gap,
        "scale": climb.scale,
        "pilot": pilot.record,
    }


def _of_climb(
    model: Model,
    pilot: PenalizedPilot,
    spec: NetSpec,
    net: tuple[float, float],
    climb: NetClimb,
    classes: np.ndarray | None,
) -> ElasticNetEstimate:
    return ElasticNetEstimate(**climb_fields(model, pilot, climb), classes=classes, alpha=net[0], l1_ratio=net[1])
