"""`GLMRegressor`: generalized linear models of the mean of a response."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.base import GLMBase
from dask_onestep.estimators.inputs import total_of
from dask_onestep.families import Family, NegativeBinomial, is_statsmodels_family, resolve_family
from dask_onestep.kernels.likelihood.goodness import deviance_sums
from dask_onestep.kernels.model import Likelihood
from dask_onestep.methods import Problem
from dask_onestep.methods.overdispersion import wants_alpha, with_alpha_estimated
from dask_onestep.methods.requests import Plan


class GLMRegressor(RegressorMixin, GLMBase):
    """Generalized linear model of the mean of a response, with inference, on Dask collections.

    Parameters
    ----------
    family : str or object, default="gaussian"
        "gaussian", "binomial", "poisson", "gamma", "inverse-gaussian", "negative-binomial", "tweedie", "quasipoisson",
        "quasibinomial", "quasi", an object of `dask_onestep.families`, a statsmodels family, or a user-defined
        likelihood.  "negative-binomial" estimates α, like R's ``glm.nb``, in additional passes (see Notes);
        ``NegativeBinomial(alpha=0.5)`` fixes it.  "tweedie" has power 1.5.
    link : str, object or None, default=None
        "identity", "log", "logit", "probit", "cloglog", "inverse", "inverse-squared", "sqrt", an object with the
        functions ``link``, ``inverse`` and ``inverse_derivative``, or a statsmodels link.  None is the link of a
        statsmodels family, log for negative-binomial and tweedie, and otherwise the canonical link.
    method : str or object, default="one-step"
        Estimation method: "one-step", "mle", "pilot", "average", "surrogate", "elastic-net", "elastic-net-cv",
        "debiased-lasso" or "average-lasso", an object of these classes such as `OneStep`, or a user-defined object with
        ``estimate(problem)``.  A string uses the method's default options; to set options, such as the seed
        ``random_state`` of the pilot sample, pass an object, ``OneStep(random_state=1)``, or call
        ``set_params(method__random_state=1)``.
    fit_intercept : bool, default=True
        Whether the model has an intercept.  A formula that states it (``0 +``, ``1 +``) takes precedence.
    cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV3"}, default="nonrobust"
        Covariance estimator of the coefficients.  The robust ones take one more pass.  "HC2" and "HC3" adjust the
        squared scores by leverages.  "cluster" (cluster-robust sandwich) and "CRV3" (linearized cluster jackknife,
        recommended with few clusters) require ``groups`` in ``fit``.
    weight_type : {"variance", "frequency"}, default="variance"
        Interpretation of ``sample_weight``: "variance" weights are inversely proportional to the variance of a row
        (precision; for a binomial family the number of trials); "frequency" weights are numbers of identical rows.
    solver : {"auto", "cholesky", "qr"}, default="auto"
        Solver of the scoring equations.  "cholesky" solves the normal equations, whose error grows with the condition
        number of the information matrix.  "qr" orthogonalizes the columns by a QR decomposition of the design, whose
        error grows with the square root of that number; it takes one more pass, and about twice the arithmetic in each.
        "auto" uses "cholesky" and switches to "qr" if more than half of the digits would be lost or a column
        that is not exactly aliased would be dropped; the method is then run again.  ``estimate_.solver`` is the solver
        that was used.
    formula : str or None, default=None
        Model formula for DataFrames, such as ``"y ~ x + C(g) + bs(z, df=4)"``; see Notes.  None uses all columns
        of X.
    missing : {"raise", "drop"}, default="raise"
        Whether rows with missing or infinite values raise an error or are dropped.
    verbose : bool, default=False
        Whether to show the progress of each pass on stderr: as a bar if this is a terminal and rich is installed,
        otherwise as a line.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Coefficients; NaN for aliased columns.
    intercept_ : float
        Intercept; 0 without one.
    covariance_ : ndarray of shape (d, d)
        Covariance of the coefficients, with the intercept first.
    dispersion_ : float
        Estimated dispersion φ̂; 1 for families without one.
    family_ : Family
        The family; its parameter and the parameter's standard error, if it was estimated.
    n_samples_, n_missing_ : int
        Number of rows used, and number of rows dropped for missing values.
    n_iter_ : int
        Number of scoring steps.
    n_passes_ : int
        Number of passes over the data.
    decrement_ : float
        Newton decrement λ² at the coefficients: about twice the log-likelihood that could still be gained.
    estimate_ : Estimate
        The record of the estimation method.
    n_features_in_ : int
        Number of columns of X; the number of coefficients may differ.
    feature_names_in_ : ndarray of shape (p,)
        Names of the columns of X, if they have names.

    Notes
    -----
    Estimating α of the negative binomial takes passes before those of the method: one where the method's pilot is all
    rows, as for small tables by default; otherwise the pilot's pass and one for each Newton step over all rows, usually
    two to four.  Restricted fits, such as those of `likelihood_ratio_test`, keep α fixed at its estimate.

    Non-numeric columns of a DataFrame are treatment-coded, with the first level as reference; a formula (formulaic's
    grammar) can state other codings.  The design is specified once and applied in every block.  Levels are those of the
    full data; the pass that draws the pilot learns them, and methods without a pilot take one more pass, unless they
    are known categories or listed, as in ``C(g, levels=["a", "b"])``.  Stateful transforms (``bs``, ``cr``, ``cc``,
    ``poly``, ``center``, ``scale``) learn their state in the same pass, from all complete rows up to 100,000, and
    beyond that from a simple random sample of 100,000 and the extremes of the full data.  A formula may only call
    row-wise functions (``log``, ``np.sqrt``, …). Levels that were not seen in ``fit`` raise an error.

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

    def _plan(self, problem: Problem, method: Any) -> Plan:
        if not wants_alpha(problem):
            return (yield from super()._plan(problem, method))
        problem, said = yield from with_alpha_estimated(problem, method)
        model, estimate = yield from super()._plan(problem, method)
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
            Whether to also return the standard errors of the means (delta method).
        unseen : {"raise", "nan", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, NaN, or that
            of the reference level.

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
        both = self._predict(X, offset, "mean_std", covariance=self.record_.covariance, unseen=unseen)
        return (both["mean"], both["std"]) if hasattr(both, "columns") else (both[:, 0], both[:, 1])

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> float:
        """Return D², the fraction of deviance explained (R² for the gaussian family).  One pass.

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
