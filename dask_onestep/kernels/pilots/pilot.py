"""The pilot: its maximum-likelihood fit, or a penalised one where it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import finite_rows
from dask_onestep.kernels.designs.table import is_finite
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.sample import PilotRecord, PilotSample, Survey
from dask_onestep.kernels.pilots.sampling import survey
from dask_onestep.kernels.records import Findings, Moments, Record
from dask_onestep.kernels.rows.checks import oversized_columns
from dask_onestep.kernels.rows.rows import encode
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.linear_algebra import Factor, factorize

__all__ = ["TRUST", "PilotFit", "fit_pilot"]

# An honest pilot lies at a squared distance of about d(N/n − 1) from the MLE, in the metric of the
# information; ten times that is beyond chance for any d.
TRUST = 10.0


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
    separated : bool
        Whether the pilot has no MLE, so that `coef` is the penalized fit.
    drawn : PilotRecord or None
        Keys and positions of the rows, and the rows of the table; None of a restricted model.
    """

    coef: np.ndarray
    rows: Rows
    moments: Moments
    factor: Factor
    survey: Survey
    separated: bool = False
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
    if not (complete := _complete(rows)).all():
        return _at(np.zeros(len(model.names)), rows.take(complete), model, known)
    try:
        fit = fit_rows(rows, model)
    except ValueError:
        if found := oversized_columns(rows, model):
            replace(found, blocks=()).raise_error()
        raise
    if fit.converged:
        return PilotFit(fit.coef, rows, fit.sums, fit.factor, known, drawn=keys)
    coef = fit_rows(model.likelihood.with_prior(rows, model, leverages(rows, model)), model).coef
    return replace(_at(coef, rows, model, known), separated=True, drawn=keys)


def _complete(rows: Rows) -> np.ndarray:
    """Return which rows are finite; an offset has the gaps of columns that are held at a value."""
    complete = np.ones(len(rows), bool) if is_finite(rows.x) else finite_rows(rows.x)
    return complete if rows.offset is None else complete & np.isfinite(rows.offset)


def _at(coef: np.ndarray, rows: Rows, model: Model, known: Survey) -> PilotFit:
    sums = moments(rows, model, coef)
    factor = factorize(sums.information, intercept=model.has_intercept)
    return PilotFit(coef, rows, sums, factor, known)


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
