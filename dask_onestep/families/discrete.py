"""Families of counts and labels: binomial, poisson, negative-binomial and multinomial, whose φ is 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from dask_onestep.families.base import Family

_LOG_FACTORIALS = special.gammaln(np.arange(1.0, 1025.0))


@dataclass(frozen=True)
class Binomial(Family):
    """A proportion y of successes, V(μ) = μ(1 − μ); the number of trials is the weight.

    Examples
    --------
    >>> from dask_onestep.families import Binomial
    >>> Binomial().variance(0.5)
    0.25
    """

    name = "binomial"
    default_link = "logit"
    natural_link = "logit"
    has_dispersion = False
    support = "numbers from 0 to 1 (0/1, or the proportion of successes)"

    def variance(self, mean):
        return mean * (1.0 - mean)

    def variance_derivative(self, mean):
        return 1.0 - 2.0 * mean

    def log_likelihood(self, y, mean, dispersion=1.0):
        return special.xlogy(y, mean) + special.xlog1py(1.0 - y, -mean)

    def weighted_log_likelihood(self, y, mean, weights, dispersion=1.0):
        # log C(w, wy): the weight is the number of trials, as in R's dbinom.
        hits, misses = weights * y, weights * (1.0 - y)
        ways = special.gammaln(weights + 1.0) - special.gammaln(hits + 1.0) - special.gammaln(misses + 1.0)
        return ways + weights * self.log_likelihood(y, mean)

    def natural_log_likelihood(self, y, eta, mean, variance):
        # log(1 + exp(η)) is max(η, 0) − log(1 − p), p = V / max(μ, 1 − μ) being the chance of the rarer outcome, to all
        # its digits and without a second exponential.
        rarer = variance / np.maximum(mean, 1.0 - mean)
        return y * eta - np.maximum(eta, 0.0) + np.log1p(-rarer)

    def log_base_measure(self, y):
        return None

    def deviance(self, y, mean):
        return 2.0 * (special.rel_entr(y, mean) + special.rel_entr(1.0 - y, 1.0 - mean))

    def in_support(self, y):
        return (y >= 0) & (y <= 1)

    def valid_mean(self, mean):
        return (mean >= 0) & (mean <= 1)

    def initial_mean(self, y, weights):
        return (weights * y + 0.5) / (weights + 1.0)


@dataclass(frozen=True)
class Poisson(Family):
    """Counts, V(μ) = μ.

    Examples
    --------
    >>> from dask_onestep.families import Poisson
    >>> float(Poisson().log_likelihood(0.0, 2.0))
    -2.0
    """

    name = "poisson"
    default_link = "log"
    natural_link = "log"
    has_dispersion = False
    support = "numbers that are not negative"

    def variance(self, mean):
        return mean

    def variance_derivative(self, mean):
        return np.ones_like(mean)

    def log_likelihood(self, y, mean, dispersion=1.0):
        return special.xlogy(y, mean) - mean - _log_factorial(y)

    def natural_log_likelihood(self, y, eta, mean, variance):
        return y * eta - mean + self.log_base_measure(y)

    def log_base_measure(self, y):
        return -_log_factorial(y)

    def deviance(self, y, mean):
        return 2.0 * (special.rel_entr(y, mean) - (y - mean))

    def in_support(self, y):
        return (y >= 0) & np.isfinite(y)

    def initial_mean(self, y, weights):
        return y + 0.1


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """Overdispersed counts, V(μ) = μ + αμ².

    Parameters
    ----------
    alpha : float or "estimate"
        The overdispersion α > 0; or "estimate", by maximum likelihood with the coefficients, after which it is in
        ``family_`` of the estimator.  ``GLMRegressor("negative-binomial")`` estimates it.
    alpha_std_err : float or None
        The standard error of an estimated α, which information criteria count as one more parameter; NaN at the
        boundary of its range.

    Raises
    ------
    ValueError
        If `alpha` is not a positive number.

    Examples
    --------
    >>> from dask_onestep.families import NegativeBinomial
    >>> float(NegativeBinomial(alpha=0.5).variance(2.0))
    4.0
    """

    alpha: Any = 1.0
    alpha_std_err: float | None = None

    name = "negative-binomial"
    default_link = "log"
    has_dispersion = False
    support = "numbers that are not negative"

    def __post_init__(self):
        if isinstance(self.alpha, str) and self.alpha == "estimate":
            return
        if isinstance(self.alpha, str) or not (np.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"NegativeBinomial(alpha={self.alpha!r}): alpha must be a positive number, or 'estimate'.")

    @property
    def parameters(self):
        return (("alpha", self.alpha, self.alpha_std_err),)

    def variance(self, mean):
        return mean + self.alpha * np.square(mean)

    def variance_derivative(self, mean):
        return 1.0 + 2.0 * self.alpha * mean

    def log_likelihood(self, y, mean, dispersion=1.0):
        size = 1.0 / self.alpha
        return (
            special.gammaln(y + size)
            - special.gammaln(size)
            - special.gammaln(y + 1.0)
            + special.xlogy(y, self.alpha * mean)
            - special.xlog1py(y + size, self.alpha * mean)
        )

    def deviance(self, y, mean):
        size = 1.0 / self.alpha
        return 2.0 * (special.xlogy(y, y / mean) - (y + size) * np.log((y + size) / (mean + size)))

    def in_support(self, y):
        return (y >= 0) & np.isfinite(y)

    def initial_mean(self, y, weights):
        return y + (y == 0) / 6.0


@dataclass(frozen=True)
class Multinomial(Family):
    """Labels of more than two classes; used by `GLMClassifier`.

    Its likelihood, with several linear predictors, is in `dask_onestep.kernels.likelihood.multinomial`.

    Examples
    --------
    >>> from dask_onestep.families import Multinomial
    >>> Multinomial().has_dispersion
    False
    """

    name = "multinomial"
    default_link = "logit"
    has_dispersion = False
    support = "labels"


def _log_factorial(y):
    """Return log y!, from a table where all y are small counts; gammaln is half of a Poisson pass otherwise."""
    y = np.asarray(y, dtype=np.float64)
    if y.size and y.min() >= 0 and y.max() < len(_LOG_FACTORIALS):
        counts = y.astype(np.intp)
        if (counts == y).all():
            return _LOG_FACTORIALS[counts]
    return special.gammaln(y + 1.0)
