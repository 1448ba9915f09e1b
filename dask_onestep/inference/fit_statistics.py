"""Statistics of fit: likelihood, deviances, information criteria, pseudo-R²."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from dask_onestep.kernels.likelihood.goodness import FitSums
from dask_onestep.kernels.model import Model

__all__ = ["FitStatistics", "QuasiStatistics", "finish"]


@dataclass(frozen=True)
class FitStatistics:
    """Goodness of fit, with the names and values of statsmodels' ``GLMResults``.

    Attributes
    ----------
    nobs : float
        Rows; with frequency weights their sum.
    df_model, df_resid : float
        d − 1, and N − d; for C classes d − (C − 1), as statsmodels' MNLogit.
    llf : float
        Log-likelihood with all constants, at `scale`; for gaussian with identity link at the maximum-likelihood
        estimate D/N of the dispersion, as in statsmodels.
    llnull : float
        Log-likelihood of the null model, an intercept and the offset, at `scale`.
    deviance, null_deviance : float
        Residual and null deviance.
    pearson_chi2 : float
        Pearson χ².
    scale : float
        φ̂ of the fit.
    aic : float
        −2 llf + 2d; like statsmodels', it does not count φ.  An estimated α of the negative binomial counts as one
        more, as in R's ``glm.nb``.
    bic : float
        −2 llf + d log N, d as for `aic`.
    mcfadden : float
        1 − llf/llnull.
    cox_snell : float
        1 − exp{2(llnull − llf)/N}.
    nagelkerke : float
        `cox_snell` divided by its maximum, 1 − exp(2 llnull/N); for discrete y.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="poisson", random_state=0)
    >>> fit = GLMRegressor("poisson").fit(X, y).fit_statistics(X, y)
    >>> fit.df_resid, fit.deviance < fit.null_deviance
    (9996.0, True)
    """

    nobs: float
    df_model: float
    df_resid: float
    llf: float
    llnull: float
    deviance: float
    null_deviance: float
    pearson_chi2: float
    scale: float
    aic: float
    bic: float
    mcfadden: float
    cox_snell: float
    nagelkerke: float

    def to_series(self) -> pd.Series:
        """Return the statistics by name.

        Returns
        -------
        Series
            One value per statistic.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.fit_statistics(X, y).to_series()["df_resid"]
        np.float64(1997.0)
        """
        return pd.Series(asdict(self))


@dataclass(frozen=True)
class QuasiStatistics:
    """Goodness of fit of a quasi-likelihood; statistics that need a log-likelihood raise an error.

    Attributes
    ----------
    nobs, df_model, df_resid, deviance, null_deviance, pearson_chi2, scale : float
        As in `FitStatistics`.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> fit = GLMRegressor("quasipoisson").fit(X, y).fit_statistics(X, y)
    >>> fit.deviance < fit.null_deviance
    True
    >>> fit.aic
    Traceback (most recent call last):
    ...
    AttributeError: A quasi-likelihood is not a log-likelihood, so aic does not exist...
    """

    nobs: float
    df_model: float
    df_resid: float
    deviance: float
    null_deviance: float
    pearson_chi2: float
    scale: float

    def __getattr__(self, name: str) -> float:
        if name in FitStatistics.__dataclass_fields__:
            raise AttributeError(
                f"A quasi-likelihood is not a log-likelihood, so {name} does not exist. Compare nested models by F "
                "tests (likelihood_ratio_test, drop1, wald_test), or use a family with a distribution."
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")

    def to_series(self) -> pd.Series:
        """Return the statistics by name.

        Returns
        -------
        Series
            One value per statistic.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> GLMRegressor("quasipoisson").fit(X, y).fit_statistics(X, y).to_series()["df_resid"]
        np.float64(1997.0)
        """
        return pd.Series(asdict(self))


def finish(model: Model, sums: FitSums, rank: int, dispersion: float) -> FitStatistics | QuasiStatistics:
    """Return the statistics of fit from sums over all rows.

    Parameters
    ----------
    model : Model
        The model.
    sums : FitSums
        Sums over all rows, at β̂ and φ̂.
    rank : int
        d.
    dispersion : float
        φ̂.

    Returns
    -------
    FitStatistics or QuasiStatistics
        The statistics; the latter of quasi-likelihoods.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> fit = glm.fit_statistics(X, y)  # one pass, whose sums are finished so
    >>> bool(abs(fit.aic - (fit.deviance + 2 * 3)) < 1e-6)
    True
    """
    n = sums.weight if model.weight_type == "frequency" else float(sums.n)
    null_deviance = sums.null.deviance if sums.offset_null is None else sums.offset_null
    if not model.family.has_likelihood:
        df_model = float(rank - model.likelihood.n_predictors)
        return QuasiStatistics(n, df_model, n - rank, sums.deviance, null_deviance, sums.pearson, dispersion)
    # ℓ(μ, φ) + D(μ)/2φ is the same for every μ.
    null = sums.loglik + (sums.deviance - null_deviance) / (2.0 * dispersion)
    llf = sums.loglik
    if model.quadratic:
        llf += sums.deviance / (2.0 * dispersion) - n / 2.0 * (1.0 + np.log(sums.deviance / (n * dispersion)))
    estimated = rank + model.family.n_estimated
    cox_snell = float(-np.expm1(2.0 * (null - llf) / n))
    return FitStatistics(
        nobs=n,
        df_model=float(rank - model.likelihood.n_predictors),
        df_resid=n - rank,
        llf=llf,
        llnull=null,
        deviance=sums.deviance,
        null_deviance=null_deviance,
        pearson_chi2=sums.pearson,
        scale=dispersion,
        aic=-2.0 * llf + 2.0 * estimated,
        bic=-2.0 * llf + estimated * float(np.log(n)),
        mcfadden=1.0 - llf / null,
        cox_snell=cox_snell,
        nagelkerke=float(cox_snell / -np.expm1(2.0 * null / n)),
    )
