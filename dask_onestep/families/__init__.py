"""Exponential families: the distribution of y given its mean μ.

Each family is a frozen record of what the kernels and the tests ask of it; a family with a
parameter of its own (`NegativeBinomial`, `Tweedie`) carries it as a field.  Conventions: all
functions work elementwise on float64 arrays; the dispersion φ enters `log_likelihood` alone and
is 1 unless given; deviances are at φ = 1.
"""

from dask_onestep.families.base import Family
from dask_onestep.families.continuous import Gamma, Gaussian, InverseGaussian, Tweedie
from dask_onestep.families.discrete import Binomial, Multinomial, NegativeBinomial, Poisson
from dask_onestep.families.names import FAMILIES, is_statsmodels_family, resolve_family
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
