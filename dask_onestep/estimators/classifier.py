"""`GLMClassifier`: the probability of a label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.base import ClassifierMixin

from dask_onestep.estimators.base import GLMBase
from dask_onestep.families import Binomial, Family, Multinomial
from dask_onestep.kernels.labels import MoreClassesError
from dask_onestep.kernels.scoring import Predictor, hits
from dask_onestep.methods import Estimate, Problem

__all__ = ["GLMClassifier"]


class GLMClassifier(ClassifierMixin, GLMBase):
    """Binomial generalized linear model of labels, with inference, on Dask collections.

    With more than two classes it is the multinomial logit: coefficients of each class but the first,
    against the first.  The number of classes shows in the first pass, after which the fit begins again,
    so that this takes one pass more; ``fit_delayed`` cannot do it.

    Parameters
    ----------
    link : str, object or None, default="logit"
        "logit", which alone serves more than two classes, "probit", "cloglog", or any link of `GLMRegressor`.
    method, fit_intercept, cov_type, weight_type, solver, formula, missing, verbose
        As for `GLMRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The labels, sorted; of two the model is of the second's probability.
    coef_ : ndarray of shape (1, p) or (C − 1, p)
        Coefficients; of more than two classes, each but the first against the first.
    intercept_ : ndarray of shape (1,) or (C − 1,)
        Intercepts.
    covariance_ : ndarray of shape (d, d) or ((C − 1)·d, (C − 1)·d)
        Covariance of the coefficients, class by class, intercept first.
    dispersion_, n_samples_, n_missing_, n_iter_, n_passes_, decrement_, estimate_
        As for `GLMRegressor`.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="binomial", random_state=0)
    >>> glm = GLMClassifier().fit(X, y)
    >>> glm.coef_.shape, glm.n_passes_
    ((1, 3), 2)
    """

    _classifies = True

    def __init__(
        self,
        link: Any = "logit",
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
        return Binomial()

    def _estimate(self, method: Any, problem: Problem) -> tuple[Problem, Estimate]:
        try:
            return super()._estimate(method, problem)
        except MoreClassesError as found:
            # How many coefficients there are shows only now, after a pass: begin again.
            logit = getattr(problem.model.link, "name", None) == "logit"
            if not logit or self._had_offset or not getattr(method, "multinomial", False):
                raise
            outcomes = tuple(str(label) for label in found.classes[1:])
            model = replace(problem.model, family=Multinomial(), outcomes=outcomes)
            return super()._estimate(method, replace(problem, model=model, classes=None))

    def decision_function(self, X: Any, *, offset: Any = None) -> Any:
        """Return the linear predictor of each row.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.

        Returns
        -------
        dask Array, dask Series or ndarray of shape (n,), or of shape (n, C) for more than two classes
            Linear predictors; positive where the second class is the likelier, for symmetric links.  Of more
            classes, log odds against the first, whose own are 0.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.decision_function([[0.0, 0.0]]) == glm.intercept_
        array([ True])
        """
        return self._predict(X, offset, "linear")

    def predict_proba(self, X: Any, *, offset: Any = None) -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.

        Returns
        -------
        dask Array, dask DataFrame or ndarray of shape (n, C)
            Probabilities, in the order of ``classes_``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.predict_proba(X)  # lazy
        dask.array<...shape=(2000, 2)...>
        >>> glm.predict_proba([[0.0, 0.0]]).sum(axis=1)
        array([1.])
        """
        return self._predict(X, offset, "proba")

    def predict(self, X: Any, *, offset: Any = None) -> Any:
        """Return the likelier label of each row.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.

        Returns
        -------
        dask Array, dask Series or ndarray of shape (n,)
            Labels.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.predict([[-3.0, 3.0], [3.0, -9.0]])
        array([0., 1.])
        """
        return self._predict(X, offset, "label")

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> float:
        """Return the share of labels predicted right.  One pass.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``.

        Returns
        -------
        float
            Accuracy, weighted if there are weights.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> bool(0.5 < glm.score(X, y) < 1)
        True
        """
        problem = self._problem(X, y, sample_weight, offset)
        problem.classes = None  # a label that fit has not seen is predicted wrong, not an error
        predictor = Predictor(self._fitted_model, self._coefficients(), "label", self.classes_)
        sums = problem.value(problem.total(hits, predictor, name="score"))
        return sums.right / sums.weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.link == "logit"
        return tags
