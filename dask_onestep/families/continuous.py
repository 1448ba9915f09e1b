"""Families of measurements: gaussian, gamma, inverse-gaussian and tweedie, each with a dispersion."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from dask_onestep.families.base import Family

_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Gaussian(Family):
    """The normal distribution, V(μ) = 1.

    Examples
    --------
    >>> from dask_onestep.families import Gaussian
    >>> float(Gaussian().deviance(3.0, 1.0))
    4.0
    """

    name = "gaussian"
    default_link = "identity"
    natural_link = "identity"
    has_dispersion = True
    support = "any finite number"

    def variance(self, mean):
        return np.ones_like(mean)

    def variance_derivative(self, mean):
        return np.zeros_like(mean)

    def log_likelihood(self, y, mean, dispersion=1.0):
        return -0.5 * (np.square(y - mean) / dispersion + _LOG_2PI + np.log(dispersion))

    def log_base_measure(self, y):
        # Not −y²/2, which stays in (y − η)²: apart they would lose digits.
        return np.full(len(y), -0.5 * _LOG_2PI)

    def deviance(self, y, mean):
        return np.square(y - mean)

    def in_support(self, y):
        return np.isfinite(y)

    def valid_mean(self, mean):
        return np.isfinite(mean)


@dataclass(frozen=True)
class Gamma(Family):
    """Positive values with a constant coefficient of variation, V(μ) = μ².

    Examples
    --------
    >>> from dask_onestep.families import Gamma
    >>> float(Gamma().log_likelihood(2.0, 1.0))
    -2.0
    """

    name = "gamma"
    default_link = "inverse"
    has_dispersion = True
    support = "positive numbers"

    def variance(self, mean):
        return np.square(mean)

    def variance_derivative(self, mean):
        return 2.0 * mean

    def log_likelihood(self, y, mean, dispersion=1.0):
        shape = 1.0 / dispersion
        return special.xlogy(shape, shape * y / mean) - shape * y / mean - np.log(y) - special.gammaln(shape)

    def deviance(self, y, mean):
        ratio = y / mean
        return 2.0 * (ratio - 1.0 - np.log(ratio))

    def in_support(self, y):
        return (y > 0) & np.isfinite(y)


@dataclass(frozen=True)
class InverseGaussian(Family):
    """Positive values with a heavy right tail, V(μ) = μ³.

    Examples
    --------
    >>> from dask_onestep.families import InverseGaussian
    >>> float(InverseGaussian().deviance(2.0, 1.0))
    0.5
    """

    name = "inverse-gaussian"
    default_link = "inverse-squared"
    has_dispersion = True
    support = "positive numbers"

    def variance(self, mean):
        return mean**3

    def variance_derivative(self, mean):
        return 3.0 * np.square(mean)

    def log_likelihood(self, y, mean, dispersion=1.0):
        return -0.5 * (self.deviance(y, mean) / dispersion + _LOG_2PI + np.log(dispersion * y**3))

    def deviance(self, y, mean):
        return np.square((y - mean) / mean) / y

    def in_support(self, y):
        return (y > 0) & np.isfinite(y)


@dataclass(frozen=True)
class Tweedie(Family):
    """Exact zeros and positive values, V(μ) = μ^power with 1 < power < 2.

    Parameters
    ----------
    power : float
        The exponent of the variance function, strictly between 1 and 2, fixed.

    Raises
    ------
    ValueError
        If `power` is not between 1 and 2.

    Examples
    --------
    >>> from dask_onestep.families import Tweedie
    >>> Tweedie(power=1.5).variance(4.0)
    8.0
    """

    power: float = 1.5

    name = "tweedie"
    default_link = "log"
    has_dispersion = True
    support = "numbers that are not negative"

    def __post_init__(self):
        if not 1 < self.power < 2:
            raise ValueError(f"Tweedie(power={self.power!r}): power must lie strictly between 1 and 2.")

    @property
    def parameters(self):
        return (("power", self.power, None),)

    def variance(self, mean):
        return mean**self.power

    def variance_derivative(self, mean):
        return self.power * mean ** (self.power - 1.0)

    def log_likelihood(self, y, mean, dispersion=1.0):
        # Dunn and Smyth (2005), with the series written as Wright's Bessel function.
        p = self.power
        theta, kappa = mean ** (1 - p) / (1 - p), mean ** (2 - p) / (2 - p)
        shape = (2 - p) / (p - 1)
        positive = np.where(y > 0, y, 1.0)
        scale = (positive / ((p - 1) * dispersion)) ** shape / ((2 - p) * dispersion)
        series = special.log_wright_bessel(shape, 0.0, scale) - np.log(positive)
        return np.where(y > 0, series, 0.0) + (y * theta - kappa) / dispersion

    def deviance(self, y, mean):
        p = self.power
        return 2.0 * (y ** (2 - p) / ((1 - p) * (2 - p)) - y * mean ** (1 - p) / (1 - p) + mean ** (2 - p) / (2 - p))

    def in_support(self, y):
        return (y >= 0) & np.isfinite(y)

    def initial_mean(self, y, weights):
        return y + 0.1 * (y == 0)
