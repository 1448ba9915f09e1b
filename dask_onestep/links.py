"""Link functions: how the linear predictor η and the mean μ are related.

A link is an immutable object with three functions, ``link`` (g), ``inverse`` (g⁻¹) and ``inverse_derivative`` (dμ/dη).
Any object with these three functions, or with statsmodels' ``inverse`` and ``inverse_deriv``, can be used as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy import special

from dask_onestep.choices import unknown_choice
from dask_onestep.messages import catalogue

__all__ = ["LINKS", "Link", "LinkLike", "mean_and_derivative", "resolve_link", "second_derivative"]

_EPSILON = np.finfo(np.float64).eps
_ROOT_OF_TWO_PI = np.sqrt(2.0 * np.pi)


@runtime_checkable
class LinkLike(Protocol):
    """The functions that a link must have.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> class Softplus:
    ...     def link(self, mean):
    ...         return np.log(np.expm1(mean))
    ...
    ...     def inverse(self, eta):
    ...         return np.logaddexp(0.0, eta)
    ...
    ...     def inverse_derivative(self, eta):
    ...         return 1 / (1 + np.exp(-eta))
    >>> X, y, coef = make_glm(2000, 2, family="poisson", link=Softplus())
    >>> bool(abs(GLMRegressor("poisson", Softplus()).fit(X, y).coef_ - coef[1:]).max() < 0.3)
    True
    """

    def link(self, mean: np.ndarray) -> np.ndarray:
        """Return η = g(μ)."""

    def inverse(self, eta: np.ndarray) -> np.ndarray:
        """Return μ = g⁻¹(η)."""

    def inverse_derivative(self, eta: np.ndarray) -> np.ndarray:
        """Return dμ/dη."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link function.

    Parameters
    ----------
    name : str
        The name users type.
    link : callable
        η = g(μ), elementwise.
    inverse : callable
        μ = g⁻¹(η), elementwise.
    inverse_derivative : callable
        dμ/dη as a function of η, elementwise.
    together : callable or None
        η to the pair (μ, dμ/dη), for links where the two share their costly part.
    inverse_second_derivative : callable or None
        d²μ/dη² as a function of η, elementwise.

    Examples
    --------
    >>> from dask_onestep.links import LINKS
    >>> float(LINKS["logit"].inverse(0.0))
    0.5
    """

    name: str
    link: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    inverse_derivative: Callable[[Any], Any]
    together: Callable[[Any], tuple[Any, Any]] | None = None
    inverse_second_derivative: Callable[[Any], Any] | None = None


# Dask names a task by what goes into it.  It knows Python functions by heart, and numpy's ufuncs, but
# pickles scipy's anew for each task: a third of the time of building a graph, before these had wrappers.
def _logit(mean):
    # In a third of the time of special.logit, and as accurate as the mean: 1 − μ is exact from ½ on.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(mean / (1.0 - mean))


def _logistic(eta):
    return special.expit(eta)


def _probit(mean):
    return special.ndtri(mean)


def _identity(value):
    return np.asarray(value)


def _one(eta):
    return np.ones_like(eta)


def _exp(eta):
    # Beyond 709 exp overflows: the infinite mean is the caller's to judge, not a warning's.
    with np.errstate(over="ignore"):
        return np.exp(eta)


def _logit_derivative(eta):
    # expit(η)·expit(−η) and not μ(1 − μ), which is 0 from η = 37 on.
    return special.expit(eta) * special.expit(-eta)


def _logistic_together(eta):
    # One exponential, of a number that is not positive: both tails keep all their digits.
    decay = np.exp(-np.abs(eta))
    larger = 1.0 / (1.0 + decay)
    smaller = decay * larger
    return np.where(eta >= 0, larger, smaller), larger * smaller


def _exp_together(eta):
    mean = _exp(eta)
    return mean, mean


def _probit_mean(eta):
    return np.clip(special.ndtr(eta), _EPSILON, 1 - _EPSILON)


def _normal_density(eta):
    return np.exp(-np.square(eta) / 2.0) / _ROOT_OF_TWO_PI


def _probit_derivative(eta):
    return np.maximum(_normal_density(eta), _EPSILON)


def _cloglog(mean):
    return np.log(-np.log1p(-mean))


def _cloglog_mean(eta):
    with np.errstate(over="ignore"):
        return np.clip(-np.expm1(-np.exp(eta)), _EPSILON, 1 - _EPSILON)


def _cloglog_derivative(eta):
    # As R's binomial(cloglog): η is capped at 700 and the derivative kept positive.
    eta = np.minimum(eta, 700.0)
    return np.maximum(np.exp(eta - np.exp(eta)), _EPSILON)


def _reciprocal(value):
    with np.errstate(divide="ignore"):
        return 1.0 / np.asarray(value)


def _reciprocal_derivative(eta):
    with np.errstate(divide="ignore"):
        return -1.0 / np.square(eta)


def _inverse_squared(mean):
    return np.asarray(mean) ** -2.0


def _inverse_squared_mean(eta):
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 / np.sqrt(eta)


def _inverse_squared_derivative(eta):
    with np.errstate(divide="ignore", invalid="ignore"):
        return -0.5 * np.asarray(eta) ** -1.5


def _twice(eta):
    return 2.0 * np.asarray(eta)


def _two(eta):
    return np.full_like(eta, 2.0)


def _zero(eta):
    return np.zeros_like(eta)


def _logit_second_derivative(eta):
    return _logit_derivative(eta) * -np.tanh(np.asarray(eta) / 2.0)


def _probit_second_derivative(eta):
    return -eta * _normal_density(eta)


def _cloglog_second_derivative(eta):
    eta = np.minimum(eta, 700.0)
    return -np.exp(eta - np.exp(eta)) * np.expm1(eta)


def _reciprocal_second_derivative(eta):
    with np.errstate(divide="ignore"):
        return 2.0 / np.asarray(eta) ** 3


def _inverse_squared_second_derivative(eta):
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.75 * np.asarray(eta) ** -2.5


def _sqrt_mean(eta):
    # Only η ≥ 0 is a square root: a negative η is no mean of this link.
    return np.where(np.asarray(eta) < 0, np.nan, np.square(eta))


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Link("identity", _identity, _identity, _one, None, _zero),
        Link("log", np.log, _exp, _exp, _exp_together, _exp),
        Link("logit", _logit, _logistic, _logit_derivative, _logistic_together, _logit_second_derivative),
        Link("probit", _probit, _probit_mean, _probit_derivative, None, _probit_second_derivative),
        Link("cloglog", _cloglog, _cloglog_mean, _cloglog_derivative, None, _cloglog_second_derivative),
        Link("inverse", _reciprocal, _reciprocal, _reciprocal_derivative, None, _reciprocal_second_derivative),
        Link(
            "inverse-squared",
            _inverse_squared,
            _inverse_squared_mean,
            _inverse_squared_derivative,
            None,
            _inverse_squared_second_derivative,
        ),
        Link("sqrt", np.sqrt, _sqrt_mean, _twice, None, _two),
    )
}


def mean_and_derivative(link: LinkLike, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return μ and dμ/dη of each row, which may be one and the same array.

    Parameters
    ----------
    link : LinkLike
        The link.
    eta : ndarray
        Linear predictors.

    Returns
    -------
    mean, derivative : ndarray
        Of the shape of `eta`; not to be written into.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.links import mean_and_derivative, resolve_link
    >>> mean_and_derivative(resolve_link("logit"), np.zeros(1))
    (array([0.5]), array([0.25]))
    """
    together = getattr(link, "together", None)
    return (link.inverse(eta), link.inverse_derivative(eta)) if together is None else together(eta)


def second_derivative(link: LinkLike, eta: np.ndarray) -> np.ndarray:
    """Return d²μ/dη²: the link's own, or a central difference of its first derivative.

    Parameters
    ----------
    link : LinkLike
        The link.
    eta : ndarray
        Linear predictors.

    Returns
    -------
    ndarray
        Of the shape of `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.links import resolve_link, second_derivative
    >>> second_derivative(resolve_link("sqrt"), np.array([1.0, 2.0]))
    array([2., 2.])
    """
    own = getattr(link, "inverse_second_derivative", None)
    if own is not None:
        return own(eta)
    # Relative, so that means near the end of a link's domain stay inside it.
    step = 1e-5 * np.maximum(np.abs(eta), 1e-3)
    return (link.inverse_derivative(eta + step) - link.inverse_derivative(eta - step)) / (2.0 * step)


@dataclass(frozen=True, slots=True)
class _StatsmodelsLink:
    """A statsmodels link object, with the functions of this package."""

    wrapped: Any

    @property
    def name(self) -> str:
        return type(self.wrapped).__name__.lower()

    def link(self, mean):
        return self.wrapped(mean)

    def inverse(self, eta):
        return self.wrapped.inverse(eta)

    def inverse_derivative(self, eta):
        return self.wrapped.inverse_deriv(eta)


_FROM_STATSMODELS = {
    "Identity": "identity",
    "Log": "log",
    "Logit": "logit",
    "Probit": "probit",
    "CLogLog": "cloglog",
    "InversePower": "inverse",
    "InverseSquared": "inverse-squared",
    "Sqrt": "sqrt",
}
_POWERS = {1.0: "identity", -1.0: "inverse", -2.0: "inverse-squared", 0.5: "sqrt"}


def _counterpart(link: Any) -> str | None:
    """Return our name of a statsmodels link, or None if it is wrapped instead."""
    name = type(link).__name__
    return _POWERS.get(float(link.power)) if name == "Power" else _FROM_STATSMODELS.get(name)


def _consistent(link: LinkLike) -> LinkLike:
    """Return a user's link whose functions fit together where it is defined; a wrong one gives wrong answers."""
    with np.errstate(all="ignore"):
        means = np.array([0.25, 0.5, 0.75])  # in the range of every family
        eta = np.asarray(link.link(means), dtype=np.float64)
        inside = np.isfinite(eta) if eta.shape == means.shape else slice(None)
        means, eta = means[inside], eta[inside]
        apart = 1e-5 * (1.0 + np.abs(eta))
        slope = (np.asarray(link.inverse(eta + apart)) - np.asarray(link.inverse(eta - apart))) / (2.0 * apart)
        for said, found, wanted in (
            ("inverse(link(mean))", np.asarray(link.inverse(eta)), means),
            ("inverse_derivative(link(mean))", np.asarray(link.inverse_derivative(eta)), slope),
        ):
            if np.shape(found) != np.shape(wanted) or not np.allclose(found, wanted, rtol=1e-3, atol=1e-9):
                raise ValueError(
                    f"link={link!r} contradicts itself: {said} is {np.round(found, 6).tolist()} for the means "
                    f"{means.tolist()}, and should be {np.round(wanted, 6).tolist()}. Fix its functions, which must "
                    "accept and return arrays of the same shape."
                )
    return link


def resolve_link(link: Any) -> LinkLike:
    """Return the link for a name or an object.

    Parameters
    ----------
    link : str or object
        One of the names in `LINKS`, an object with ``link``, ``inverse`` and
        ``inverse_derivative``, or a statsmodels link.

    Returns
    -------
    LinkLike
        The link.

    Raises
    ------
    ValueError
        If the name is unknown, or if an object's ``inverse`` is not that of ``link``, or
        ``inverse_derivative`` not its derivative, at means from 0.25 to 0.75.
    TypeError
        If an object lacks one of the three functions, or is a class.

    Examples
    --------
    >>> from dask_onestep.links import resolve_link
    >>> resolve_link("log").name
    'log'
    """
    if isinstance(link, str):
        if link not in LINKS:
            raise ValueError(unknown_choice("link", link, sorted(LINKS)))
        return LINKS[link]
    if isinstance(link, type):
        raise catalogue.CLASS_INSTEAD_OF_INSTANCE.error(option="link", name=link.__name__)
    if isinstance(link, LinkLike):
        return link if isinstance(link, Link) else _consistent(link)
    if type(link).__module__.startswith("statsmodels.genmod.families") and (ours := _counterpart(link)):
        return LINKS[ours]
    if callable(link) and hasattr(link, "inverse") and hasattr(link, "inverse_deriv"):
        return _StatsmodelsLink(link)
    raise TypeError(
        f"link={link!r} is neither a name nor an object with the functions link(mean), "
        "inverse(eta) and inverse_derivative(eta)."
    )
