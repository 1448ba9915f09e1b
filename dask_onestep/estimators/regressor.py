"""`GLMRegressor`: the mean of a response."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.base import GLMBase
from dask_onestep.estimators.inputs import total_of
from dask_onestep.families import Family, NegativeBinomial, is_statsmodels_family, resolve_family
from dask_onestep.kernels.likelihood.statistics import deviance_sums
from dask_onestep.kernels.model import Likelihood
from dask_onestep.methods import Inputs, Problem
from dask_onestep.methods.overdispersion import wants_alpha, with_alpha_estimated
from dask_onestep.methods.requests import Plan

__all__ = ["GLMRegressor"]


class GLMRegressor(RegressorMixin, GLMBase):
    """Generalized linear model of the mean of a response, with inference, on Dask collections.

    Parameters
    ----------
    family : str or object, default="gaussian"
        "gaussian", "binomial", "poisson", "gamma", "inverse-gaussian", "negative-binomial", "tweedie", "quasipoisson",
        "quasibinomial", "quasi",
        an object of `dask_onestep.families`, one of statsmodels' families, or a likelihood of one's own.
        "negative-binomial" estimates α, as R's ``glm.nb`` does, which takes passes of its own (see Notes);
        ``NegativeBinomial(alpha=0.5)`` has it given.  "tweedie" has the power 1.5.
    link : str, object or None, default=None
        "identity", "log", "logit", "probit", "cloglog", "inverse", "inverse-squared", "sqrt", or an object
        with the functions ``link``, ``inverse`` and ``inverse_derivative``, or a statsmodels link.  None is
        the canonical link, but log for negative-binomial and tweedie, and a statsmodels family's own link.
    method : str or object, default="one-step"
        How to estimate: `OneStep`, `MLE`, `Pilot`, a name with these methods' defaults, or your own object
        with ``estimate(problem)``.  Options of a method, such as the seed of the pilot sample, are set in its object:
        ``OneStep(random_state=1)``, or ``set_params(method__random_state=1)``.
    fit_intercept : bool, default=True
        Whether the model has an intercept.
    cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV3"}, default="nonrobust"
        Covariance of the coefficients; the robust ones take one pass more.  "HC2" and "HC3" inflate squared scores by
        leverages, and with the groups of ``fit`` "cluster" is the cluster-robust sandwich and "CRV3" the linearized
        cluster jackknife, which keeps its level with few clusters.
    weight_type : {"variance", "frequency"}, default="variance"
        Whether a weight counts as precision, or as so many equal rows.
    solver : {"auto", "cholesky", "qr"}, default="auto"
        How the scoring equations are solved.  "cholesky": normal equations, which lose as many digits as the
        condition number of the information has.  "qr": columns made orthogonal by a QR of the design, which
        loses half as many, for one pass more and about twice the arithmetic in each pass.  "auto": "cholesky", but
        "qr" where that would lose more than half of the digits or set a column aside that is no exact
        combination; the method then begins again, and ``estimate_.solver`` says "qr".
    formula : str or None, default=None
        A model formula for DataFrames, such as ``"y ~ x + C(g) + bs(z, df=4)"``; see the notes.
    missing : {"raise", "drop"}, default="raise"
        What to do with rows that hold NaN or infinity.
    verbose : bool, default=False
        Whether to show on stderr how far each pass has come: a bar on a terminal if rich is installed, else a line.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Coefficients; NaN for aliased columns.
    intercept_ : float
        Intercept; 0 without one.
    covariance_ : ndarray of shape (d, d)
        Covariance of the coefficients, intercept first.
    dispersion_ : float
        φ̂.
    family_ : Family
        The family, with a parameter of its own that was estimated, and its standard error.
    n_samples_, n_missing_ : int
        Rows used, and rows dropped.
    n_iter_ : int
        Steps taken.
    n_passes_ : int
        Times the data was read.
    decrement_ : float
        Newton decrement λ² at the coefficients: about twice the log-likelihood still to gain.
    estimate_ : Estimate
        The method's own record.
    n_features_in_ : int
        Columns read of X; coefficients may be more, or fewer.
    feature_names_in_ : ndarray of shape (p,)
        Their names, if X had any.

    Notes
    -----
    Estimating α of the negative binomial takes passes before those of the method: one where the method's pilot
    is all rows, as by default of a small table; otherwise the pilot's and one for each Newton step over all
    rows, usually two to four.  Restricted fits, as of `likelihood_ratio_test`, hold α at its estimate.

    Of a DataFrame, columns that are not numbers are treatment-coded, the first level being the
    reference.  A formula (grammar: formulaic's) codes them as it says.  Either way the design is
    specified once and applied in every block: the levels are those of the whole data, read in one
    pass more unless they are known categories or given, as in ``C(g, levels=["a", "b"])``; transforms
    with a state (``bs``, ``cr``, ``cc``, ``poly``, ``center``, ``scale``) take it, in the same pass, from
    the whole data up to 100,000 complete rows, and beyond from a simple random sample of so many and
    the extremes of the whole.  A formula may call functions of each row only (``log``, ``np.sqrt``, …).
    Levels that fit did not see raise.  `fit_intercept` says whether a formula that is silent about the
    intercept has one.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="poisson", random_state=0)
    >>> glm = GLMRegressor("poisson").fit(X, y)
    >>> bool(abs(glm.coef_ - coef[1:]).max() < 0.1)
    True
    """

    def __init__(
        self,
        family: Any = "gaussian",
        link: Any = None,
        *,
        method: Any = "one-step",
        fit_intercept: bool = True,
        cov_type: str = "nonrobust",
        weight_type: str = "variance",
        solver: str = "auto",
        formula: str | None = None,
        missing: str = "raise",
        verbose: bool = False,
    ):
        self.family = family
        self.link = link
        self.method = method
        self.fit_intercept = fit_intercept
        self.cov_type = cov_type
        self.weight_type = weight_type
        self.solver = solver
        self.formula = formula
        self.missing = missing
        self.verbose = verbose

    def _family(self) -> Family:
        if isinstance(self.family, str) and self.family == NegativeBinomial.name:
            return NegativeBinomial(alpha="estimate")
        return resolve_family(self.family)

    def _likelihood(self) -> Likelihood:
        if not isinstance(self.family, str) and hasattr(self.family, "row_residuals"):
            if self.link is not None:
                raise ValueError(f"link={self.link!r} is not an option of a likelihood, which has its own; drop link=.")
            return self.family
        return super()._likelihood()

    def _link(self, family: Family) -> Any:
        # statsmodels' families carry their link.
        if self.link is None and is_statsmodels_family(self.family):
            return self.family.link
        return super()._link(family)

    def _plan(self, problem: Problem, method: Any, inputs: Inputs) -> Plan:
        if not wants_alpha(problem):
            return (yield from super()._plan(problem, method, inputs))
        problem, said = yield from with_alpha_estimated(problem, method)
        model, estimate = yield from super()._plan(problem, method, inputs)
        return model, replace(estimate, warnings=(*estimate.warnings, *said))

    def predict(self, X: Any, *, offset: Any = None, return_std: bool = False, unseen: str = "raise") -> Any:
        """Return the mean of each row.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        return_std : bool, default=False
            Whether to return the means' standard errors too, by the delta method.
        unseen : {"raise", "nan", "reference"}, default="raise"
            What becomes of rows with a level, or a combination of levels, that fit had no rows of: an error, NaN, or
            the prediction of the reference level.

        Returns
        -------
        mean : dask Array, dask Series or ndarray of shape (n,)
            Means; lazy for Dask input, and with its index for a frame.
        std : as `mean`
            Their standard errors, if asked for; those of the means, not of new responses.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> import numpy as np
        >>> bool(np.isclose(glm.predict([[0.0, 0.0]]), np.exp(glm.intercept_)).all())
        True
        """
        if not return_std:
            return self._predict(X, offset, "mean", unseen=unseen)
        both = self._predict(X, offset, "mean_std", covariance=self.covariance_, unseen=unseen)
        return (both["mean"], both["std"]) if hasattr(both, "columns") else (both[:, 0], both[:, 1])

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> float:
        """Return D², the share of deviance explained: R² for the gaussian family.  One pass.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.

        Returns
        -------
        float
            1 − D(β̂)/D(null), the null model having the mean of y for every row; at most 1.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> bool(0 < glm.score(X, y) < 1)
        True
        """
        check_is_fitted(self)
        coef = np.nan_to_num(self.record_.coef)
        problem = self._problem(X, y, sample_weight, offset, require_weights=False)
        return total_of(problem, deviance_sums, coef, name="score").explained()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        family = self.family if isinstance(self.family, str) else self._likelihood().family.name
        tags.target_tags.positive_only = family not in ("gaussian", "binomial", "quasibinomial", "quasi")
        return tags
