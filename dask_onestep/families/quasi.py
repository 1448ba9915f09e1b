"""Quasi-likelihood: a variance function and a dispersion, without a distribution of y.

Wedderburn, "Quasi-likelihood functions, generalized linear models, and the Gauss-Newton method", Biometrika 61 (1974).
The quasi-likelihood ∫ (y − t)/V(t) dt takes the place of the log-likelihood inside the algorithms; it is that of the
family with the same variance function, up to terms in y, and no probability: there is no AIC.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from dask_onestep.choices import unknown_choice
from dask_onestep.families.base import Family
from dask_onestep.families.continuous import Gamma, Gaussian, InverseGaussian
from dask_onestep.families.discrete import Binomial, Poisson


@dataclass(frozen=True)
class QuasiPoisson(Poisson):
    """Counts whose variance is proportional to the mean, φμ, with φ estimated.

    Examples
    --------
    >>> from dask_onestep.families import QuasiPoisson
    >>> QuasiPoisson().has_dispersion, QuasiPoisson().has_likelihood
    (True, False)
    """

    name = "quasipoisson"
    has_dispersion = True
    has_likelihood = False


@dataclass(frozen=True)
class QuasiBinomial(Binomial):
    """Proportions whose variance is proportional to the binomial's, φμ(1 − μ), with φ estimated.

    Examples
    --------
    >>> from dask_onestep.families import QuasiBinomial
    >>> float(QuasiBinomial().variance(0.5))
    0.25
    """

    name = "quasibinomial"
    has_dispersion = True
    has_likelihood = False


# By R's names, the family with this variance function.
_BASES: dict[str, Family] = {
    "constant": Gaussian(),
    "mu": Poisson(),
    "mu(1-mu)": Binomial(),
    "mu^2": Gamma(),
    "mu^3": InverseGaussian(),
}


@dataclass(frozen=True, init=False, repr=False)
class Quasi(Family):
    """A model of the mean and the variance φV(μ) only, as R's ``quasi``.

    Parameters
    ----------
    variance : {"constant", "mu", "mu(1-mu)", "mu^2", "mu^3"}, default="constant"
        V(μ).
    link : str or object, default="identity"
        The link, unless the estimator specifies one.

    Raises
    ------
    ValueError
        If the variance function is unknown.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.families import Quasi
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> glm = GLMRegressor(Quasi(variance="mu", link="log")).fit(X, y)
    >>> bool(0.8 < glm.dispersion_ < 1.2)
    True
    """

    variance_function: str
    link: Any

    name = "quasi"
    has_dispersion = True
    has_likelihood = False

    def __init__(self, variance: str = "constant", link: Any = "identity"):
        if variance not in _BASES:
            raise ValueError(unknown_choice("variance", variance, map(repr, _BASES)))
        object.__setattr__(self, "variance_function", variance)
        object.__setattr__(self, "link", link)

    def __repr__(self) -> str:
        return f"Quasi(variance={self.variance_function!r}, link={self.link!r})"

    @property
    def arguments(self) -> dict[str, Any]:
        """What to make the same family of."""
        return {"variance": self.variance_function, "link": self.link}

    @property
    def base(self) -> Family:
        """The family with the same variance function."""
        return _BASES[self.variance_function]

    @property
    def default_link(self) -> Any:  # type: ignore[override]
        """The link, unless the estimator specifies one."""
        return self.link

    @property
    def natural_link(self) -> str | None:  # type: ignore[override]
        """That of the family with the same variance function."""
        return self.base.natural_link

    @property
    def support(self) -> str:  # type: ignore[override]
        """The values that y may have, as text."""
        return "numbers that are not negative" if self.variance_function == "mu^2" else self.base.support

    def variance(self, mean):
        return self.base.variance(mean)

    def variance_derivative(self, mean):
        return self.base.variance_derivative(mean)

    def log_likelihood(self, y, mean, dispersion=1.0):
        match self.variance_function:
            case "constant":
                quasi = -0.5 * np.square(y - mean)
            case "mu":
                quasi = special.xlogy(y, mean) - mean
            case "mu(1-mu)":
                quasi = special.xlogy(y, mean) + special.xlog1py(1.0 - y, -mean)
            case "mu^2":
                quasi = -y / mean - np.log(mean)
            case _:
                quasi = 1.0 / mean - y / (2.0 * np.square(mean))
        return quasi / dispersion

    def natural_log_likelihood(self, y, eta, mean, variance):
        return self.base.natural_log_likelihood(y, eta, mean, variance)

    def deviance(self, y, mean):
        if self.variance_function == "mu^2":  # as R, without log y where y is 0
            return 2.0 * (y / mean - 1.0 - np.log(np.where(y == 0, 1.0, y) / mean))
        return self.base.deviance(y, mean)

    def in_support(self, y):
        return (y >= 0) & np.isfinite(y) if self.variance_function == "mu^2" else self.base.in_support(y)

    def valid_mean(self, mean):
        return self.base.valid_mean(mean)

    def initial_mean(self, y, weights):
        if self.variance_function == "mu^2":
            return y + 0.1 * (y == 0)
        return self.base.initial_mean(y, weights)
