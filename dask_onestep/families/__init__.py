"""Exponential families: the distribution of y given its mean μ.

A family is an immutable object with the functions that fits and tests need; the parameter of a family
(`NegativeBinomial`, `Tweedie`) is an attribute.  All functions work elementwise on float64 arrays; only
`log_likelihood` depends on the dispersion φ, which is 1 unless given; deviances are at φ = 1.
"""

from typing import Any

from dask_onestep.choices import unknown_choice
from dask_onestep.families.base import Family
from dask_onestep.families.continuous import Gamma, Gaussian, InverseGaussian, Tweedie
from dask_onestep.families.discrete import Binomial, Multinomial, NegativeBinomial, Poisson
from dask_onestep.families.quasi import Quasi, QuasiBinomial, QuasiPoisson

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
    "Quasi",
    "QuasiBinomial",
    "QuasiPoisson",
    "Tweedie",
    "is_statsmodels_family",
    "resolve_family",
]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        Gaussian,
        Binomial,
        Poisson,
        Gamma,
        InverseGaussian,
        NegativeBinomial,
        Tweedie,
        QuasiPoisson,
        QuasiBinomial,
        Quasi,
    )
}


def resolve_family(family: Any) -> Family:
    """Return the family for a name or an object.

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
        If the name is unknown.
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
            raise ValueError(unknown_choice("family", family, sorted(FAMILIES)))
        return FAMILIES[family]()
    if isinstance(family, Family):
        return family
    if is_statsmodels_family(family):
        name = type(family).__name__
        if name not in _FROM_STATSMODELS:
            raise ValueError(f"statsmodels' family {name} is not supported; must be one of {sorted(FAMILIES)}.")
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

    Examples
    --------
    >>> import statsmodels.api as sm
    >>> from dask_onestep.families import Poisson, is_statsmodels_family
    >>> is_statsmodels_family(sm.families.Poisson()), is_statsmodels_family(Poisson())
    (True, False)
    """
    return type(family).__module__.startswith("statsmodels.genmod.families")
