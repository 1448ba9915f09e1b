"""Likelihood-ratio and score tests from the sums at both estimates, and what is known of a statistic's own error."""

from collections.abc import Iterable, Sequence

import numpy as np

from dask_onestep.exceptions import (
    AliasingWarning,
    DistanceWarning,
    NotConvergedWarning,
    PilotWarning,
    SeparationWarning,
    SmallPilotWarning,
    StepWarning,
    UnlikePilotWarning,
)
from dask_onestep.inference.statistics import TestResult
from dask_onestep.kernels.records import LogLikelihoods
from dask_onestep.kernels.solve.ascent import ROUNDING
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remark, Remarks, joined

# The error of a statistic that needs no remark: absolute, and relative to the statistic.
_ABSOLUTE, _RELATIVE = 0.05, 0.01
# λ²/φ up to which a log-likelihood is so nearly quadratic that it tells what is left to gain.
_QUADRATIC = 1.0
_DOUBTS = (
    *(DistanceWarning, NotConvergedWarning, PilotWarning, SeparationWarning, SmallPilotWarning, StepWarning),
    UnlikePilotWarning,
)


def ratio_test(
    sums: LogLikelihoods,
    number: int,
    df: float,
    *,
    text: str,
    dispersion: float,
    df_denom: float,
    decrements: Sequence[float],
    completed: bool = True,
) -> tuple[TestResult, Remarks]:
    """Return the likelihood-ratio test of a restricted model against the larger one, and what is to be said of it."""
    if not df > 0:
        return TestResult(0.0, 0, df_denom, "chi2", 1.0, text, "Likelihood ratio", "Nothing is restricted."), ()
    if np.isnan(df_denom):
        chi2 = 2.0 * float(sums.loglik[0] - sums.loglik[number])
    else:
        chi2 = float(sums.deviance[number] - sums.deviance[0]) / dispersion
    unrestricted, restricted = decrements[0] / dispersion, decrements[number] / dispersion
    if completed:
        chi2 += _gain(unrestricted) - _gain(restricted)
    said: list[Remark] = []
    if chi2 < -2 * ROUNDING * abs(float(sums.loglik[0])):
        said.append(catalogue.NEGATIVE_STATISTIC.warning(chi2=chi2))
    elif found := statistic_error(chi2, unrestricted, restricted):
        said.append(found)
    statistic = max(chi2, 0.0) if np.isnan(df_denom) else max(chi2, 0.0) / df
    return TestResult.of(statistic, df, df_denom, null=text, test="Likelihood ratio"), tuple(said)


def statistic_error(chi2: float, unrestricted: float, restricted: float) -> Remark | None:
    """Return a warning, if a statistic may be far from that of the maximum-likelihood estimates; else None.

    To second order, the log-likelihood at an estimate is λ²/2 below its maximum, and where λ² is small the statistic
    is of the maxima that this tells.  What is left are terms of third order, about λ³/4 for curved likelihoods.

    Examples
    --------
    >>> from dask_onestep.inference.ratios import statistic_error
    >>> statistic_error(9.0, 0.01, 0.02) is None
    True
    >>> print(statistic_error(9.0, 0.01, 4.0)[1])
    The restricted estimate is not at its maximum (Newton decrement 4): the statistic may be off by about 4. Use
    method='mle', with a larger max_iter if it did not converge, or OneStep(steps='auto').
    """
    known = {"unrestricted": unrestricted, "restricted": restricted}
    worst = max(known, key=lambda name: np.nan_to_num(known[name]))
    error = known[worst] * (min(1.0, np.sqrt(known[worst]) / 4) if known[worst] <= _QUADRATIC else 1.0)
    if not error > _ABSOLUTE + _RELATIVE * max(chi2, 0.0):
        return None
    return catalogue.STATISTIC_ERROR.warning(which=worst, decrement=known[worst], error=error)


def _gain(decrement: float) -> float:
    """Return what the statistic of the maximum has more than that of an estimate, where its λ²/φ is small; else 0."""
    return decrement if decrement <= _QUADRATIC else 0.0


def news(said: Remarks, known: Remarks) -> Remarks:
    """Return the warnings of a restricted fit, without those of aliased columns where the larger fit has had one."""
    aliased = any(category is AliasingWarning for category, _ in known)
    return tuple(each for each in said if not (aliased and each[0] is AliasingWarning))


def doubts(said: Remarks) -> str:
    """Return a sentence that names the warnings of an unrestricted fit that concern its distance to the maximum."""
    names = dict.fromkeys(category.__name__ for category, _ in said if issubclass(category, _DOUBTS))
    return f"The unrestricted fit has warnings, see summary(): {', '.join(names)}." if names else ""


def note_of(said: Remarks, more: str = "") -> str:
    """Return the texts of warnings, each once, as one note."""
    return joined([*dict.fromkeys(text for _, text in said), more])


def counted(tests: Iterable[Remarks]) -> list[Remark]:
    """Return the warnings of several tests, those that differ in their figures only as one with the number of tests."""
    tests = list(tests)
    found: dict[Remark, list[str]] = {}
    for said in tests:
        for category, text in dict.fromkeys(said):
            found.setdefault((category, getattr(text, "template", text)), []).append(text)
    return [
        (category, joined([texts[0], _in_how_many(texts, len(tests)) if len(tests) > 1 else ""]))
        for (category, _), texts in found.items()
    ]


def _in_how_many(texts: Sequence[str], n_tests: int) -> str:
    more = "" if len(set(texts)) == 1 else "; the figures are of the first, the column note has the others"
    return f"(In {len(texts)} of {n_tests} tests{more}.)"
