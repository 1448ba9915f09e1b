"""Exponential families: the law of y given its mean μ.

Each family is a frozen record of what the kernels and the tests ask of it; a family with a
parameter of its own (`NegativeBinomial`, `Tweedie`) carries it as a field.  Conventions: all
functions work elementwise on float64 arrays; the dispersion φ enters `log_likelihood` alone and
is 1 unless given; deviances are at φ = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

__all__ = [
    "FAMILIES",
    "Binomial",
    "Family",
    "Gamma",
    "Gaussian",
    "InverseGaussian",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "Tweedie",
    "is_statsmodels_family",
    "resolve_family",
]

_LOG_2PI = float(np.log(2 * np.pi))
_LOG_FACTORIALS = special.gammaln(np.arange(1.0, 1025.0))


def _log_factorial(y):
    """Return log y!, from a table where all y are small counts; gammaln is half of a Poisson pass otherwise."""
    y = np.asarray(y, dtype=np.float64)
    if y.size and y.min() >= 0 and y.max() < len(_LOG_FACTORIALS):
        counts = y.astype(np.intp)
        if (counts == y).all():
            return _LOG_FACTORIALS[counts]
    return special.gammaln(y + 1.0)


@dataclass(frozen=True)
class Family:
    """What every family answers.

    A subclass gives the class attributes and the functions; see `Poisson` for a whole one.

    Attributes
    ----------
    name : str
        The name users type.
    default_link : str
        The link used where none is named: the canonical one, but log for negative-binomial and
        tweedie.
    natural_link : str or None
        The link whose η is the natural parameter itself, if the family has one.  There
        (y − μ)μ'/V is y − μ and μ'²/V is μ', without a quotient that could be 0/0.
    has_dispersion : bool
        Whether φ is estimated; otherwise it is 1.
    support : str
        The values y may take, in words.
    """

    name: ClassVar[str]
    default_link: ClassVar[str]
    natural_link: ClassVar[str | None] = None
    has_dispersion: ClassVar[bool]
    support: ClassVar[str]

    def variance(self, mean: np.ndarray) -> np.ndarray:
        """Return V(μ)."""
        raise NotImplementedError

    def variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        """Return dV/dμ."""
        raise NotImplementedError

    def log_likelihood(self, y, mean, dispersion=1.0):
        """Return log p(y; μ, φ), constants included, for rows of weight 1."""
        raise NotImplementedError

    def natural_log_likelihood(self, y, eta, mean):
        """Return log p(y; μ) from η of the natural link, finite however large or small η is."""
        return self.log_likelihood(y, mean)

    def weighted_log_likelihood(self, y, mean, weights, dispersion=1.0):
        """Return the log-likelihood of rows whose weight is a precision: φ/w in place of φ."""
        if not self.has_dispersion:
            return weights * self.log_likelihood(y, mean)
        present = weights > 0
        return np.where(present, self.log_likelihood(y, mean, dispersion / np.where(present, weights, 1.0)), 0.0)

    def deviance(self, y, mean):
        """Return the unit deviance 2{log p(y; y) − log p(y; μ)} at φ = 1."""
        raise NotImplementedError

    def in_support(self, y: np.ndarray) -> np.ndarray:
        """Return which values y may take, as booleans."""
        raise NotImplementedError

    def valid_mean(self, mean: np.ndarray) -> np.ndarray:
        """Return which means the family can have, as booleans."""
        return np.isfinite(mean) & (mean > 0)

    def initial_mean(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return a mean inside the domain to start from, as R's ``glm`` does."""
        return y


@dataclass(frozen=True)
class Gaussian(Family):
    """The normal law, V(μ) = 1.

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

    def deviance(self, y, mean):
        return np.square(y - mean)

    def in_support(self, y):
        return np.isfinite(y)

    def valid_mean(self, mean):
        return np.isfinite(mean)


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

    def natural_log_likelihood(self, y, eta, mean):
        # log(1 + exp(η)) with the exponential of a number that is not positive; np.logaddexp takes ten times as long.
        return y * eta - np.maximum(eta, 0.0) - np.log1p(np.exp(-np.abs(eta)))

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

    def natural_log_likelihood(self, y, eta, mean):
        return y * eta - mean - _log_factorial(y)

    def deviance(self, y, mean):
        return 2.0 * (special.rel_entr(y, mean) - (y - mean))

    def in_support(self, y):
        return (y >= 0) & np.isfinite(y)

    def initial_mean(self, y, weights):
        return y + 0.1


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
class NegativeBinomial(Family):
    """Counts that spread more than Poisson's, V(μ) = μ + αμ².

    Parameters
    ----------
    alpha : float or "estimate"
        The overdispersion α > 0, fixed; or to be estimated by maximum likelihood with the coefficients,
        after which the estimator's ``family_`` has it.

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

    name = "negative-binomial"
    default_link = "log"
    has_dispersion = False
    support = "numbers that are not negative"

    def __post_init__(self):
        if isinstance(self.alpha, str) and self.alpha == "estimate":
            return
        if isinstance(self.alpha, str) or not (np.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"NegativeBinomial(alpha={self.alpha!r}): alpha must be a positive number, or 'estimate'.")

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


@dataclass(frozen=True)
class Multinomial(Family):
    """Labels of more than two classes; `GLMClassifier` takes it where it meets them.

    Its likelihood is of several linear predictors at once, in `dask_onestep.kernels.multinomial`.

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


FAMILIES: dict[str, type[Family]] = {
    family.name: family for family in (Gaussian, Binomial, Poisson, Gamma, InverseGaussian, NegativeBinomial, Tweedie)
}


def resolve_family(family: Any) -> Family:
    """Return the family that a name or an object stands for.

    Parameters
    ----------
    family : str, Family or object
        One of the names in `FAMILIES`, a family object, or one of statsmodels' families.

    Returns
    -------
    Family
        The family; a family with a parameter of its own has its default when named.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If it is neither a name nor a family.

    Examples
    --------
    >>> from dask_onestep.families import resolve_family
    >>> resolve_family("poisson")
    Poisson()
    """
    if isinstance(family, str):
        if family not in FAMILIES:
            raise ValueError(f"family={family!r} is not known. Choose one of {', '.join(sorted(FAMILIES))}.")
        return FAMILIES[family]()
    if isinstance(family, Family):
        return family
    if is_statsmodels_family(family):
        name = type(family).__name__
        if name not in _FROM_STATSMODELS:
            raise ValueError(f"statsmodels' family {name} has no counterpart here. Choose one of {sorted(FAMILIES)}.")
        return _FROM_STATSMODELS[name](**{ours: getattr(family, theirs) for ours, theirs in _PARAMETERS.get(name, ())})
    raise TypeError(f"family={family!r} is neither a name nor an object of dask_onestep.families or of statsmodels.")


_FROM_STATSMODELS: dict[str, Any] = {
    family.__name__: family
    for family in (Gaussian, Binomial, Poisson, Gamma, InverseGaussian, NegativeBinomial, Tweedie)
}
_PARAMETERS = {"NegativeBinomial": (("alpha", "alpha"),), "Tweedie": (("power", "var_power"),)}


def is_statsmodels_family(family: Any) -> bool:
    """Return whether an object is one of statsmodels' families, which carry their link.

    Parameters
    ----------
    family : object
        Any object.

    Returns
    -------
    bool
        Decided without importing statsmodels.
    """
    return type(family).__module__.startswith("statsmodels.genmod.families")
