"""The pilot's maximum-likelihood fit, or a penalized fit where the MLE does not exist."""

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import finite_rows
from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.goodness import Overdispersion
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import States, moments, moments_and_states, observed_moments
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.matrices.symmetric import Matrix, filled, minor
from dask_onestep.kernels.model import Model, refuse_information
from dask_onestep.kernels.pilots.candidates import resized, survey
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.sample import PilotRecord, PilotSample, PilotSize, Survey
from dask_onestep.kernels.records import Findings, Moments, Record
from dask_onestep.kernels.rows.checks import oversized_columns
from dask_onestep.kernels.rows.labels import MAX_LABELS
from dask_onestep.kernels.rows.rows import encode
from dask_onestep.kernels.rows.slices import gram_of, slices
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.kernels.solve.linear_algebra import AnyFactor, factorize

# The squared distance of a representative pilot's estimate from the MLE is about d(N/n − 1) in the metric of the
# information. Ten times that does not happen by chance for any d.
TRUST = 10.0
# Minimum number of rows per row of the subsample that provides the starting values.
_WORTH_A_START = 5
# Rows from which Pearson's χ² is estimated well enough; beyond it takes longer than a twentieth of a fit.
_ENOUGH = 50_000
# Maximum number of steps of a fit of all rows.
_MAX_STEPS, _MANY_STEPS = 30, 300


@dataclass(frozen=True, eq=False)
class PilotFit(Record):
    """The pilot's maximum-likelihood fit, and the rows it was computed from.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂_p, with 0 for columns that are aliased in the pilot.
    rows : Rows
        The n pilot rows, labels encoded.
    moments : Moments
        Sums over the pilot rows at β̂_p.
    factor : CholeskyFactor or ArrowFactor
        Their factored information.
    survey : Survey
        Counts and classes of the full data.
    inclusion : Inclusion
        Inclusion probabilities of the rows.
    separated : bool
        Whether the pilot has no MLE, so that `coef` is the penalized fit.
    whole : bool
        Whether the pilot is all rows, because the table is small, so that `coef` is their MLE.
    n_iter : int
        Number of steps.
    short : bool
        Whether some stratum has too few rows in the pilot because of how the rows are chunked.
    drawn : PilotRecord or None
        Keys and positions of the rows, and the rows of the table; None for a restricted model.
    states : tuple of ndarray or None
        The rows' states at β̂_p, if the fit has found them.
    """

    coef: np.ndarray
    rows: Rows
    moments: Moments
    factor: AnyFactor
    survey: Survey
    inclusion: Inclusion
    separated: bool = False
    whole: bool = False
    n_iter: int = 0
    short: bool = False
    drawn: PilotRecord | None = None
    states: States | None = None

    @property
    def n(self) -> int:
        """Number of pilot rows."""
        return len(self.rows)

    @property
    def record(self) -> PilotRecord | None:
        """The pilot as a fitted model keeps it."""
        if self.drawn is None or len(self.drawn.keys) != self.n:  # rows with missing values; the fit will fail
            return None
        return self.drawn.with_rows(self.rows, self.survey.classes)

    @property
    def ratio(self) -> float:
        """N/n."""
        return self.survey.n / self.n

    def variance(self, model: Model) -> Matrix:
        """Return the pilot's estimate of the variance, of shape (d, d), of the score of all rows at β̂_p."""

        def squares(part: Slice) -> np.ndarray:
            residual = model.likelihood.row_residuals(part, model, self.coef)
            factors = np.sqrt(self.inclusion.take(part.rows).variance) * (1.0 if part.weights is None else part.weights)
            return products((residual.T * factors).T)

        square = gram_of(self.rows, model, squares)
        return self.ratio**2 * (square if model.free.all() else minor(square, model.free))

    @property
    def reach(self) -> float:
        """Squared radius around β̂_p, at φ = 1, that contains the MLE if the pilot is representative."""
        spread = self.ratio - 1.0
        return TRUST * max(self.factor.rank, 1) * spread if spread > 0 else np.inf


def fit_pilot(sample: PilotSample, model: Model) -> PilotFit:
    """Return the MLE of the pilot rows, or a penalized fit where it does not exist.

    A pilot with missing values in its covariates is not fitted: its coefficients are 0, and the next pass reports
    all columns and blocks with missing values.

    Where the MLE does not exist (separation, response all zero or of one class), the weak prior of Clogg, Rubin,
    Schenker, Schultz and Weidman (1991) is used: d pseudo-observations whose response is the pilot's mean. They are
    distributed over the rows by leverage, as in Firth's (1993) penalty, so each factor level, common or rare, has
    about one.

    Raises
    ------
    ValueError
        If no row is usable, or y does not have two classes.
    """
    rows, known, drawn = weighted_rows(sample, model)
    keys = None if model.fixed else drawn.drawn_keys()
    inclusion = drawn.inclusion
    assert inclusion is not None
    if not (complete := complete_rows(rows)).all():
        return _at(np.zeros(len(model.names)), rows.take(complete), model, known, inclusion.take(complete))
    whole = len(rows) == known.n <= sample.size.whole
    try:
        fit, states = (_fit_whole(rows, model), None) if whole else _fit_sample(rows, model)
    except ValueError:
        if found := oversized_columns(rows, model):
            replace(found, blocks=()).raise_error()
        raise
    short = drawn.short and not drawn.positions[:, 0].any()  # rows are numbered globally, so the chunks do not matter
    if fit.converged or (whole and fit.at_boundary):  # further passes would lead no closer
        if keys is not None:
            keys = replace(keys, overdispersion=_overdispersion(rows, model, fit, inclusion, states))
        fitted = PilotFit(fit.coef, rows, fit.sums, fit.factor, known, inclusion, drawn=keys, states=states)
        return replace(fitted, whole=whole, n_iter=fit.n_iter, short=short)
    coef = fit_rows(model.likelihood.with_prior(rows, model, leverages(rows, model)), model).coef
    return replace(_at(coef, rows, model, known, inclusion), separated=True, short=short, drawn=keys)


def fit_or_keep(sample: PilotSample, model: Model, size: PilotSize) -> PilotFit | PilotSample:
    """Return the fit of a pilot of this size, or all candidates if there are more classes than the model has."""
    if not sample.size.open:
        return fit_pilot(sample, model)
    if sample.labels is not None and model.n_classes < len(sample.labels) <= MAX_LABELS:
        return sample
    return fit_pilot(resized(sample, size), model)


def weighted_rows(sample: PilotSample, model: Model) -> tuple[Rows, Survey, PilotSample]:
    """Return the pilot rows with weights divided by their inclusion probabilities, what is known of all, and the pilot.

    Raises
    ------
    ValueError
        If no row is usable, or y does not have two classes.
    """
    refuse_information(model)
    known = survey(sample, model.n_classes)
    drawn = sample.drawn()
    rows = encode(drawn.held(model).rows(), known.classes)
    if isinstance(rows, Findings):
        rows.raise_error()
    assert isinstance(rows, Rows)
    assert drawn.inclusion is not None
    if not drawn.inclusion.is_simple:
        rows = replace(rows, weights=drawn.inclusion.weights * (1.0 if rows.weights is None else rows.weights))
    return rows, known, drawn


def _overdispersion(
    rows: Rows, model: Model, fit: Ascent, inclusion: Inclusion, states: States | None
) -> Overdispersion | None:
    """Return Pearson's χ²/df of the rows, or of every k-th of many, at their estimate."""
    step = 1 + len(rows) // _ENOUGH
    at = slice(None, None, step)
    terms = None if states is None else np.square(states[0][at]) / states[1][at]
    # A residual of a fit of all rows has the same expectation in each part of them.
    rank, shares = fit.factor.rank / step, inclusion.take(at).weights
    return Overdispersion.of(rows.rows_at(at) if step > 1 else rows, model, fit.coef, rank, shares, terms)


def _fit_sample(rows: Rows, model: Model) -> tuple[Ascent, States | None]:
    """Return the fit of a sample and, if it converges, the rows' states at its end where these come with the sums."""
    states = None

    def evaluated(rows: Rows, model: Model, coef: np.ndarray) -> Moments:
        nonlocal states
        sums, states = moments_and_states(rows, model, coef)
        return sums

    return fit_rows(rows, model, evaluated=evaluated if model.natural else observed_moments), states


def _fit_whole(rows: Rows, model: Model) -> Ascent:
    """Return the fit of all rows, started from the cheaper fit of every k-th row."""
    # Where y enters the observed information, scoring may converge linearly.
    most = _MAX_STEPS if model.natural else _MANY_STEPS
    step = int(len(rows) // max(20 * np.sqrt(len(rows)), 50 * len(model.names)))
    if step >= _WORTH_A_START:
        part = fit_rows(rows.take(np.arange(0, len(rows), step)), model)
        if part.converged and (fit := fit_rows(rows, model, part.coef, max_iter=most)).converged:
            return fit
    return fit_rows(rows, model, max_iter=most)


def complete_rows(rows: Rows) -> np.ndarray:
    """Return which rows are finite. The offset includes the missing values of columns with a fixed coefficient."""
    complete = finite_rows(rows.x)
    return complete if rows.offset is None else complete & np.isfinite(rows.offset)


def _at(coef: np.ndarray, rows: Rows, model: Model, known: Survey, inclusion: Inclusion) -> PilotFit:
    sums = moments(rows, model, coef)
    factor = factorize(sums.information, intercept=model.has_intercept)
    return PilotFit(coef, rows, sums, factor, known, inclusion)


def leverages(rows: Rows, model: Model) -> np.ndarray:
    """Return xᵢ'(Σ wⱼxⱼxⱼ'/w̄)⁻¹xᵢ of each row, its number of pseudo-observations: the leverage if all weights are 1.

    These are not negative, and Σ wᵢhᵢ/w̄ is the rank of the rows.
    """
    mean = 1.0 if rows.weights is None else float(rows.weights.mean())
    gram = gram_of(rows, model, lambda part: None if part.weights is None else part.weights / mean)
    inverse = filled(factorize(gram, intercept=model.has_intercept).inverse())
    return np.concatenate([part.quadratic_forms(inverse) for part in slices(rows, model)])
