"""Base class of families."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Family:
    """Base class of families.

    A subclass defines the class attributes and the functions; see `Poisson` for an example.

    Attributes
    ----------
    name : str
        The name users type.
    default_link : str
        The default link: the canonical one, but log for negative-binomial and tweedie.
    natural_link : str or None
        The canonical link, for which η is the natural parameter, if the family has one.  Then (y − μ)μ'/V is y − μ and
        μ'²/V is μ', without a quotient that could be 0/0.
    has_dispersion : bool
        Whether φ is estimated; otherwise it is 1.
    has_likelihood : bool
        Whether `log_likelihood` is that of a distribution; for quasi-likelihoods it is not, and there is no AIC.
    support : str
        The values that y may have, as text.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.families import Family, resolve_family
    >>> family = resolve_family("gamma")
    >>> isinstance(family, Family), family.default_link, family.variance(np.array([2.0]))
    (True, 'inverse', array([4.]))
    """

    name: ClassVar[str]
    default_link: ClassVar[str]
    natural_link: ClassVar[str | None] = None
    has_dispersion: ClassVar[bool]
    has_likelihood: ClassVar[bool] = True
    support: ClassVar[str]

    @property
    def parameters(self) -> tuple[tuple[str, Any, float | None], ...]:
        """Parameters of the family: name, value, and standard error (None for a parameter that was given)."""
        return ()

    @property
    def n_estimated(self) -> int:
        """Number of parameters that were estimated with the coefficients; information criteria count them."""
        return sum(error is not None for _, _, error in self.parameters)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the class for the same family: its parameters by name."""
        return asdict(self)

    @property
    def base(self) -> Family:
        """The family with the same variance function: itself, except for quasi-likelihoods."""
        return self

    def variance(self, mean: np.ndarray) -> np.ndarray:
        """Return V(μ)."""
        raise NotImplementedError

    def variance_derivative(self, mean: np.ndarray) -> np.ndarray:
        """Return dV/dμ."""
        raise NotImplementedError

    def log_likelihood(self, y, mean, dispersion=1.0):
        """Return log p(y; μ, φ), constants included, for rows of weight 1."""
        raise NotImplementedError

    def natural_log_likelihood(self, y, eta, mean, variance):
        """Return log p(y; μ) from η of the natural link, μ and V(μ) = dμ/dη, finite however large or small η is."""
        return self.log_likelihood(y, mean)

    def log_base_measure(self, y: np.ndarray) -> np.ndarray | None:
        """Return the terms of log p(y; μ) that depend only on y if η is the natural parameter; None without any."""
        raise NotImplementedError

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
