"""The pilot: its maximum-likelihood fit, or a penalised one where it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import finite_rows
from dask_onestep.kernels.designs.table import is_finite
from dask_onestep.kernels.likelihood.covariance import products
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.inclusion import Inclusion
from dask_onestep.kernels.pilots.sample import PilotRecord, PilotSample, Survey
from dask_onestep.kernels.pilots.sampling import survey
from dask_onestep.kernels.records import Findings, Moments, Record
from dask_onestep.kernels.rows.checks import oversized_columns
from dask_onestep.kernels.rows.rows import encode
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.ascent import Ascent
from dask_onestep.kernels.solve.linear_algebra import Factor, factorize

__all__ = ["TRUST", "PilotFit", "fit_pilot"]

# An honest pilot lies at a squared distance of about d(N/n − 1) from the MLE, in the metric of the
# information; ten times that is beyond chance for any d.
TRUST = 10.0
# Rows for one of the sample from which a fit of many rows starts.
_WORTH_A_START = 5
# Steps at the most of a fit of all rows.
_MAX_STEPS, _MANY_STEPS = 30, 300


@dataclass(frozen=True)
class PilotFit(Record):
    """The pilot's maximum-likelihood fit, and the rows it came from.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂_p, with 0 for columns that the pilot cannot tell apart from others.
    rows : Rows
        The n pilot rows, labels encoded.
    moments : Moments
        The likelihood's sums over the pilot rows at β̂_p.
    factor : Factor
        Their factored information.
    survey : Survey
        What the pass learned of the whole.
    inclusion : Inclusion
        How likely each row was to be drawn.
    separated : bool
        Whether the pilot has no MLE, so that `coef` is the penalized fit.
    whole : bool
        Whether it is all rows, since they are few, and `coef` their MLE.
    n_iter : int
        Steps to it.
    short : bool
        Whether other chunks of the same rows would give another pilot, which has more rows of a stratum.
    drawn : PilotRecord or None
        Keys and positions of the rows, and the rows of the table; None of a restricted model.
    """

    coef: np.ndarray
    rows: Rows
    moments: Moments
    factor: Factor
    survey: Survey
    inclusion: Inclusion
    separated: bool = False
    whole: bool = False
    n_iter: int = 0
    short: bool = False
    drawn: PilotRecord | None = None

    @property
    def n(self) -> int:
        """Rows of the pilot."""
        return len(self.rows)

    @property
    def record(self) -> PilotRecord | None:
        """What a fit keeps of the pilot."""
        if self.drawn is None or len(self.drawn.keys) != self.n:  # rows with missing values, which end the fit
            return None
        return self.drawn.with_rows(self.rows, self.survey.classes)

    @property
    def ratio(self) -> float:
        """N/n."""
        return self.survey.n / self.n

    def variance(self, model: Model) -> np.ndarray:
        """Return the variance of the score of all rows at β̂_p as the pilot tells it, of shape (d, d)."""
        free = model.free
        square = np.zeros((len(free), len(free)))
        for part in slices(self.rows, model):
            residual = model.likelihood.row_residuals(part, model, self.coef)
            factors = np.sqrt(self.inclusion.take(part.rows).variance) * (1.0 if part.weights is None else part.weights)
            square += part.gram(products((residual.T * factors).T))
        return self.ratio**2 * square[np.ix_(free, free)]

    @property
    def reach(self) -> float:
        """The squared distance within which an honest pilot has the MLE, in information units at φ = 1."""
        spread = self.ratio - 1.0
        return TRUST * max(self.factor.rank, 1) * spread if spread > 0 else np.inf


def fit_pilot(sample: PilotSample, model: Model) -> PilotFit:
    """Return the MLE of the pilot rows; of a separated pilot, its penalised fit.

    A pilot with gaps in its covariates is not fitted: it leaves the coefficients at 0, and the pass that follows says
    in which columns and blocks all of them are.

    A pilot without an MLE (separated, all zero, one class) is given the weak prior of Clogg, Rubin,
    Schenker, Schultz and Weidman (1991): d pseudo-observations whose response is the pilot's mean. They are
    spread over the rows by leverage, as Firth's (1993) penalty spreads them, so that each level of a factor,
    common or rare, has about one.

    Parameters
    ----------
    sample : PilotSample
        Candidates of all blocks.
    model : Model
        The model.

    Returns
    -------
    PilotFit
        The fit.

    Raises
    ------
    ValueError
        If no row is usable, or y has other than two classes.
    """
    known = survey(sample, model.n_classes)
    drawn = sample.drawn()
    rows = encode(drawn.held(model).rows(), known.classes)
    if isinstance(rows, Findings):
        rows.raise_error()
    assert isinstance(rows, Rows)
    keys = None if model.fixed else drawn.drawn_keys()
    inclusion = drawn.inclusion
    assert inclusion is not None
    if not inclusion.is_simple:
        rows = replace(rows, weights=inclusion.weights * (1.0 if rows.weights is None else rows.weights))
    if not (complete := _complete(rows)).all():
        return _at(np.zeros(len(model.names)), rows.take(complete), model, known, inclusion.take(complete))
    whole = len(rows) == known.n <= sample.size.whole
    try:
        fit = _fit_whole(rows, model) if whole else fit_rows(rows, model)
    except ValueError:
        if found := oversized_columns(rows, model):
            replace(found, blocks=()).raise_error()
        raise
    short = drawn.short and not drawn.positions[:, 0].any()  # rows have numbers, whatever the chunks
    if fit.converged:
        fitted = PilotFit(fit.coef, rows, fit.sums, fit.factor, known, inclusion, drawn=keys)
        return replace(fitted, whole=whole, n_iter=fit.n_iter, short=short)
    coef = fit_rows(model.likelihood.with_prior(rows, model, leverages(rows, model)), model).coef
    return replace(_at(coef, rows, model, known, inclusion), separated=True, short=short, drawn=keys)


def _fit_whole(rows: Rows, model: Model) -> Ascent:
    """Return the fit of all rows, from that of every k-th one, which costs little and saves steps."""
    # Where y is in the observed information scoring steps may leave a share of the way each, of the same size.
    most = _MAX_STEPS if model.natural else _MANY_STEPS
    step = int(len(rows) // max(20 * np.sqrt(len(rows)), 50 * len(model.names)))
    if step >= _WORTH_A_START:
        part = fit_rows(rows.take(np.arange(0, len(rows), step)), model)
        if part.converged and (fit := fit_rows(rows, model, part.coef, max_iter=most)).converged:
            return fit
    return fit_rows(rows, model, max_iter=most)


def _complete(rows: Rows) -> np.ndarray:
    """Return which rows are finite; an offset has the gaps of columns that are held at a value."""
    complete = np.ones(len(rows), bool) if is_finite(rows.x) else finite_rows(rows.x)
    return complete if rows.offset is None else complete & np.isfinite(rows.offset)


def _at(coef: np.ndarray, rows: Rows, model: Model, known: Survey, inclusion: Inclusion) -> PilotFit:
    sums = moments(rows, model, coef)
    factor = factorize(sums.information, intercept=model.has_intercept)
    return PilotFit(coef, rows, sums, factor, known, inclusion)


def leverages(rows: Rows, model: Model) -> np.ndarray:
    """Return the pseudo-observations of each row, xᵢ'(Σ wⱼxⱼxⱼ'/w̄)⁻¹xᵢ: its leverage where all weights are 1.

    Parameters
    ----------
    rows : Rows
        The rows.
    model : Model
        The model.

    Returns
    -------
    ndarray of shape (n,)
        Not negative; Σ wᵢhᵢ/w̄ is the rank of the rows.
    """
    gram = np.zeros((model.width, model.width))
    mean = 1.0 if rows.weights is None else float(rows.weights.mean())
    for part in slices(rows, model):
        gram += part.gram(None if part.weights is None else part.weights / mean)
    inverse = np.nan_to_num(factorize(gram, intercept=model.has_intercept).inverse())
    return np.concatenate([part.quadratic_forms(inverse) for part in slices(rows, model)])
