"""The common cause of several warnings, which replaces its consequences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from dask_onestep.exceptions import (
    DistanceWarning,
    ManyLevelsWarning,
    NotConvergedWarning,
    PilotWarning,
    SeparationWarning,
    SmallPilotWarning,
    StepWarning,
    UnlikePilotWarning,
)
from dask_onestep.families import Binomial
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remedy, text_of
from dask_onestep.methods.conclusion import spread
from dask_onestep.methods.estimate import Estimate

# Warnings that a cause explains, and that would misdirect to the pilot or to more iterations.
_CONSEQUENCES = (
    *(PilotWarning, SmallPilotWarning, UnlikePilotWarning, StepWarning, DistanceWarning, NotConvergedWarning),
)
_ROUNDING = 1e-24  # of squared residuals relative to the squared linear predictor
_LARGEST_RATIO = 30.0  # of offsets: exposures that differ by a factor of 10¹³
# Errors of fits whose means left the range of the family.
_OUT_OF_RANGE = (catalogue.INFORMATION_NOT_FINITE, catalogue.MEANS_OUTSIDE_RANGE, catalogue.NO_START)


def with_cause(model: Model, estimate: Estimate, remarks: Sequence[Remark] = ()) -> Estimate:
    """Return an estimate whose warnings begin with their common cause, if any, without its consequences.

    Parameters
    ----------
    model : Model
        What was fitted.
    estimate : Estimate
        What a method found.
    remarks : sequence of (type, str)
        What was said of the table before the fit: levels that should be numbers, or are identifiers, also separate y.

    Returns
    -------
    Estimate
        The same, with other warnings.
    """
    if _separation(model, estimate) and any(issubclass(kind, ManyLevelsWarning) for kind, _ in remarks):
        explained = (*_CONSEQUENCES, SeparationWarning)
        return replace(estimate, warnings=tuple(w for w in estimate.warnings if not issubclass(w[0], explained)))
    for find in (_separation, _of_exact_fit, _offset, _boundary):
        if (cause := find(model, estimate)) is not None:
            others = (w for w in estimate.warnings if w != cause and not issubclass(w[0], _CONSEQUENCES))
            return replace(estimate, warnings=(cause, *others))
    return estimate


@contextmanager
def naming_boundary(model: Model) -> Iterator[None]:
    """Explain errors of binomial models whose means leave their range: the maximum may be at the boundary."""
    try:
        yield
    except ValueError as error:
        out_of_range = "infs or NaNs" in str(error) or any(message.made(text_of(error)) for message in _OUT_OF_RANGE)
        if out_of_range and _leaves_range(model) and _of_probabilities(model):
            raise ValueError(_at_boundary(model)[1]) from error
        raise


def _leaves_range(model: Model) -> bool:
    """Return whether the link lets means leave the range of the family."""
    with np.errstate(all="ignore"):
        return not model.family.valid_mean(model.link.inverse(np.array([-2.0, 2.0]))).all()


def _of_probabilities(model: Model) -> bool:
    return isinstance(model.family.base, Binomial)


def _has_consequences(estimate: Estimate) -> bool:
    return any(issubclass(category, _CONSEQUENCES) for category, _ in estimate.warnings)


def _separation(model: Model, estimate: Estimate) -> Remark | None:
    return next((said for said in estimate.warnings if issubclass(said[0], SeparationWarning)), None)


def _of_exact_fit(model: Model, estimate: Estimate) -> Remark | None:
    """Return that y is a covariate, or that the fit is perfect if there are consequences to replace."""
    found = exact_fit(model, estimate)
    if found is None or not (catalogue.RESPONSE_IS_COVARIATE.made(found[1]) or _has_consequences(estimate)):
        return None
    return found


def exact_fit(model: Model, estimate: Estimate) -> Remark | None:
    """Return the warning that all residuals are rounding errors (constant y, y a covariate); None otherwise.

    Parameters
    ----------
    model : Model
        What was fitted.
    estimate : Estimate
        What a method found.

    Returns
    -------
    tuple of (type, str) or None
        Category and text.
    """
    sums, coef = estimate.sums, np.nan_to_num(estimate.coef)
    if sums is None or model.fixed or sums.information.shape != (len(coef), len(coef)):
        return None
    predictor = float(coef @ sums.information @ coef)
    first = float(sums.information.diagonal()[0]) if model.has_intercept else 0.0
    size = predictor if getattr(model.link, "name", None) == "identity" else max(predictor, first)
    exact = sums.pearson is not None and sums.pearson <= _ROUNDING * size and estimate.df_resid > 0
    constant = model.has_intercept and spread(sums.information, coef) <= _ROUNDING * max(size, first)
    # Of an ascent that has not left the null model all slopes are 0 as well.
    pilot = estimate.pilot
    equal = exact or (pilot is not None and pilot.y is not None and (pilot.y == pilot.y[:1]).all())
    if constant and not model.has_offset and equal and (exact or _has_consequences(estimate)):
        return catalogue.CONSTANT_RESPONSE.warning()
    if not exact:
        return None
    shares = coef**2 * sums.information.diagonal()
    same = [j for j in np.flatnonzero(shares > 1e-18 * size) if abs(coef[j] - 1.0) < 1e-8]
    if len(same) == 1 and (shares > 1e-18 * size).sum() == 1 and not (model.has_intercept and same[0] == 0):
        return catalogue.RESPONSE_IS_COVARIATE.warning(name=model.names[same[0]])
    return catalogue.PERFECT_FIT.warning()


def _offset(model: Model, estimate: Estimate) -> Remark | None:
    if estimate.pilot is None:
        return None
    low, high = estimate.pilot.unusual.offsets
    if high - low <= _LARGEST_RATIO:
        return None
    return catalogue.OFFSET_RANGE.warning(low=low, high=high, decades=(high - low) / np.log(10))


def _boundary(model: Model, estimate: Estimate) -> Remark | None:
    signs = (NotConvergedWarning, PilotWarning, StepWarning) if _of_probabilities(model) else NotConvergedWarning
    found = any(issubclass(category, signs) for category, _ in estimate.warnings) and _leaves_range(model)
    return _at_boundary(model) if found else None


def _at_boundary(model: Model) -> Remark:
    given = Remedy("link", getattr(model.link, "name", None))
    if _of_probabilities(model):
        return catalogue.MEANS_AT_BOUNDARY.warning(given=given)
    return catalogue.MEANS_NOT_POSITIVE.warning(given=given, family=model.family.name)
