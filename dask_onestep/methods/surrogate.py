"""Surrogate likelihood: one machine's likelihood, tilted by the score of all.

Jordan, Lee and Yang, "Communication-efficient distributed statistical inference", JASA 114 (2019),
arXiv 1605.07689; "CSL" in Wang, Huang, Zhu, Wang, arXiv 2004.02414.
"""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np

from dask_onestep.kernels.likelihood.covariance import degrees_of_freedom, dispersion
from dask_onestep.kernels.likelihood.sums import Scores, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.anchor import anchor_block, maximize_surrogate
from dask_onestep.kernels.pilots.pilot import TRUST, PilotFit
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks
from dask_onestep.methods.arguments import check_choice, check_count, check_pilot_size, seed_of
from dask_onestep.methods.conclusion import conclude
from dask_onestep.methods.draws import draw_pilot
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Plan, Settle


@dataclass(frozen=True, kw_only=True, eq=False)
class SurrogateEstimate(Estimate):
    """An `Estimate`, and the anchor from which it was computed.

    Attributes
    ----------
    anchor_size : int
        n, the rows of the anchor.
    anchor_coef : ndarray of shape (d,)
        The estimate of the anchor, at which the first score was summed.
    anchor_separated : bool
        Whether the MLE does not exist on the pilot, so that a weakly informative prior was used.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor, Surrogate
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> GLMRegressor("poisson", method=Surrogate("pilot", pilot_size=400)).fit(X, y).estimate_.anchor_size
    400
    """

    anchor_size: int
    anchor_coef: np.ndarray
    anchor_separated: bool

    _coefficients = ("coef", "anchor_coef")


class Surrogate(Method):
    """Surrogate-likelihood estimator (CSL).

    From the anchor's own MLE β̄, one pass sums the score s(β̄) of all rows; then β̂ maximizes

        ℓ₁(β)/n − ⟨s₁(β̄)/n − s(β̄)/N, β⟩

    over the anchor's n rows in memory [1]_.  Further rounds repeat it from there.

    The shape of the anchor's likelihood, mainly its information, must represent the full data.  The first block
    does so if rows are stored in random order.  Otherwise a round does not reduce the error as n grows, rounds
    may diverge, and the standard errors are those of the block.  ``anchor="pilot"`` uses a simple random sample of
    all rows instead, for one more pass; `OneStep` needs as many passes and has the exact information.

    Parameters
    ----------
    anchor : {"block", "pilot"}, default="block"
        The rows whose log-likelihood is used: the first block, as in the paper, or a pilot sample.
    rounds : int, default=1
        Number of rounds, one pass each.
    information : {"anchor", "all"}, default="anchor"
        The information that standard errors are computed from: that of the anchor's rows, scaled up, or that of all
        rows at β̂, for one more pass.
    pilot_size : "auto", int or float, default="auto"
        For ``anchor="pilot"``: rows of the pilot, as for `OneStep`.
    random_state : int, RandomState or None, default=0
        For ``anchor="pilot"``: its seed.

    Notes
    -----
    Passes: `rounds`, and 1 more for ``anchor="pilot"``; the first block is read once more for
    ``anchor="block"``.  Only the score is summed, not the information: with many columns a
    pass is much faster than one of `OneStep`.  The covariance is (n/N) φ̂ I₁⁻¹ at β̂, with the anchor's φ̂; the
    log-likelihood at β̂ and ``decrement_`` are NaN.  With ``information="all"``, 1 more pass gives
    φ̂ I(β̂)⁻¹, φ̂, the log-likelihood and ``decrement_`` of all rows.

    References
    ----------
    .. [1] Jordan, Lee and Yang, JASA 114 (2019), 668-681, arXiv 1605.07689.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier, Surrogate
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="binomial", random_state=0)
    >>> GLMClassifier(method=Surrogate()).fit(X, y).n_passes_
    1
    >>> GLMClassifier(method=Surrogate("pilot", pilot_size=1000, rounds=2)).fit(X, y).n_passes_
    3
    >>> GLMClassifier(method=Surrogate("pilot", pilot_size=1000, information="all")).fit(X, y).n_passes_
    3
    """

    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them

    def __init__(
        self,
        anchor: str = "block",
        *,
        rounds: int = 1,
        information: str = "anchor",
        pilot_size: str | int | float = "auto",
        random_state: Any = 0,
    ):
        self.anchor = anchor
        self.rounds = rounds
        self.information = information
        self.pilot_size = pilot_size
        self.random_state = random_state

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the surrogate-likelihood estimate.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of a `SurrogateEstimate`; computing it raises if the first block has no fit of its own,
            or a surrogate has no maximum.
        """
        self._check(problem)
        seed = seed_of(self.random_state) if self.anchor == "pilot" else None
        anchor, problem = yield from self._anchor(problem, seed)
        last = anchor
        for number in range(1, self.rounds + 1):
            coef = problem.apply(attrgetter("coef"), last, name="coefficients")
            total = yield problem.total(scores, coef, name="scores")
            fit = problem.apply(_maximize, problem.model, anchor, coef, total, number, name="surrogate-fit")
            last = yield Settle(fit)
        sums = None
        if self.information == "all":
            sums = yield from problem.moments(problem.apply(attrgetter("coef"), last, name="coefficients"))
        return problem.apply(_report, problem.model, anchor, last, sums, self.rounds, seed, name="surrogate")

    def draw(self, problem: Problem) -> Draw:
        """Return how the pilot is drawn, of no rows where there is none."""
        if self.anchor != "pilot":
            return Draw(None)
        return Draw(check_pilot_size(self.pilot_size), seed_of(self.random_state), searched=False)

    def _anchor(self, problem: Problem, seed: int | None) -> Plan:
        if seed is not None:
            return (yield from draw_pilot(problem, self.draw(problem)))
        labels_unknown = replace(problem, classes=None)
        anchor = yield Settle((yield labels_unknown.first_block(anchor_block, name="anchor-fit")))
        if problem.model.classify:
            problem = replace(problem, classes=problem.apply(_classes, anchor, name="classes"))
        return anchor, problem

    def _check(self, problem: Problem) -> None:
        problem.refuse(cov_type=("nonrobust",), solver=("auto", "cholesky", "qr"))
        check_choice("anchor", self.anchor, "block", "pilot")
        check_choice("information", self.information, "anchor", "all")
        check_count("rounds", self.rounds)


def _classes(anchor: PilotFit) -> np.ndarray | None:
    return anchor.survey.classes


@dataclass(frozen=True, eq=False)
class _Round(Record):
    """Where a round ended, and the sums it began with."""

    found: Ascent
    total: Scores

    @property
    def coef(self) -> np.ndarray:
        return self.found.coef


def _maximize(model: Model, anchor: PilotFit, coef: np.ndarray, total: Scores, number: int) -> _Round:
    found = maximize_surrogate(anchor, model, coef, total)
    # An ascent without end leaves an information of zeros behind, of which a decrement says nothing.
    if not (found.converged and (found.factor.kept == anchor.factor.kept).all()):
        raise catalogue.SURROGATE_WITHOUT_MAXIMUM.error(number=number, n=anchor.n)
    return _Round(found, total)


def _report(
    model: Model, anchor: PilotFit, last: _Round, sums: Moments | None, rounds: int, seed: int | None
) -> SurrogateEstimate:
    total, coef, advice = last.total, last.coef, _advice(anchor, last)
    if sums is None:
        known: dict[str, Any] = {"decrement": np.nan, "loglik": np.nan}
        fields = conclude(model, "nonrobust", coef, _of_anchor(model, last), warnings=advice, **known)
    else:
        factor = factorize(sums.information, intercept=model.has_intercept)
        decrement = factor.decrement(sums.score)
        fields = conclude(model, "nonrobust", coef, sums, factor, warnings=advice, decrement=decrement)
    return SurrogateEstimate(
        **fields,
        n_iter=rounds,
        classes=anchor.survey.classes,
        n_missing=total.n_missing,
        anchor_size=anchor.n,
        anchor_coef=anchor.coef,
        anchor_separated=anchor.separated,
        random_state=seed,
        sums_estimated=sums is None,
        pilot=anchor.record,
    )


def _of_anchor(model: Model, last: _Round) -> Moments:
    """Return the surrogate's moments, which have the scale of all rows, with φ̂ and so Pearson χ² by the anchor's."""
    found, total = last.found, last.total
    sums = replace(found.sums, n=total.n, weight=total.weight, response=None, constant=None)
    if sums.pearson is None:
        return sums
    rank = found.factor.rank
    phi = dispersion(sums.pearson, degrees_of_freedom(found.sums, model, rank))
    return replace(sums, pearson=phi * degrees_of_freedom(sums, model, rank))


def _advice(anchor: PilotFit, last: _Round) -> Remarks:
    advice: list[Remark] = []
    if anchor.separated:
        advice.append(catalogue.PILOT_WITHOUT_MLE.warning(n=anchor.n))
    moved = last.coef - anchor.coef
    distance = float(moved @ last.found.sums.information @ moved)
    expected = anchor.factor.rank * (last.total.n / anchor.n - 1.0)
    if distance > TRUST * expected:
        advice.append(catalogue.ANCHOR_DISTANCE.warning(n=anchor.n, distance=distance, expected=expected))
    return tuple(advice)
