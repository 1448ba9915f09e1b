"""`GLMClassifier`: generalized linear models of class probabilities."""

from dataclasses import replace
from typing import Any

from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.base import GLMBase
from dask_onestep.estimators.inputs import total_of
from dask_onestep.families import Binomial, Family
from dask_onestep.inference import TestResult
from dask_onestep.inference.probabilities import ProbabilityDiagnostics
from dask_onestep.kernels.likelihood.binned import probability_sums
from dask_onestep.kernels.likelihood.multinomial import Multinomial
from dask_onestep.kernels.likelihood.predictions import Predictor, hits
from dask_onestep.kernels.model import Prediction
from dask_onestep.kernels.rows.labels import MoreClassesError
from dask_onestep.messages.text import Remedy, instruction
from dask_onestep.methods import Problem
from dask_onestep.methods.requests import Plan


class GLMClassifier(ClassifierMixin, GLMBase):
    """Binomial or multinomial generalized linear model for classification, with inference, on Dask collections.

    With two classes this is a binomial model of the probability of the second class.  With more than two classes it is
    the multinomial logit, with one set of coefficients for each class relative to the first; it is fitted by the
    methods "one-step", "mle" and "pilot".  The number of classes is
    learned in the first pass; if there are more than two the fit starts again, which takes one more pass and is not
    possible with ``fit_delayed``.

    Parameters
    ----------
    link : str, object or None, default="logit"
        Link function: "logit" (the only choice for more than two classes), "probit", "cloglog", any other link that
        `GLMRegressor` accepts, or None for "logit".
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
        (precision); "frequency" weights are numbers of identical rows.
    solver : {"auto", "cholesky", "qr"}, default="auto"
        Solver of the scoring equations.  "cholesky" solves the normal equations, whose error grows with the condition
        number of the information matrix.  "qr" orthogonalizes the columns by a QR decomposition of the design, whose
        error grows with the square root of that number; it takes one more pass, and about twice the arithmetic in each.
        "auto" uses "cholesky" and switches to "qr" if more than half of the digits would be lost or a column
        that is not exactly aliased would be dropped; the method is then run again.  ``estimate_.solver`` is the solver
        that was used.
    formula : str or None, default=None
        Model formula for DataFrames, such as ``"delayed ~ x + C(g) + bs(z, df=4)"``; see Notes of `GLMRegressor`.  None
        uses all columns of X.
    missing : {"raise", "drop"}, default="raise"
        Whether rows with missing or infinite values raise an error or are dropped.
    verbose : bool, default=False
        Whether to show the progress of each pass on stderr: as a bar if this is a terminal and rich is installed,
        otherwise as a line.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The sorted class labels.
    coef_ : ndarray of shape (1, p) or (C − 1, p)
        Coefficients; with more than two classes one row for each class relative to the first.  NaN for aliased columns.
    intercept_ : ndarray of shape (1,) or (C − 1,)
        Intercepts; 0 without one.
    covariance_ : ndarray of shape (d, d) or ((C − 1)·d, (C − 1)·d)
        Covariance of the coefficients, class by class, with the intercept first.
    dispersion_ : float
        Dispersion φ, which is 1 for this family.
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

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="binomial", random_state=0)
    >>> glm = GLMClassifier().fit(X, y)
    >>> glm.coef_.shape, glm.n_passes_
    ((1, 3), 1)
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

    def _plan(self, problem: Problem, method: Any) -> Plan:
        try:
            return (yield from super()._plan(problem, method))
        except MoreClassesError as found:
            # The number of coefficients is known only after a pass, whose rows serve for the fit of all classes too.
            if cure := self._not_multinomial(method, problem):
                raise MoreClassesError(found.classes, cure) from None
            classes, kept = found.classes, found.kept or problem.kept
        model = replace(problem.model, likelihood=Multinomial(tuple(map(str, classes[1:]))))
        return (yield from super()._plan(replace(problem, model=model, classes=None, kept=kept), method))

    def _not_multinomial(self, method: Any, problem: Problem) -> str:
        """Return why more than two classes cannot be fitted, and the remedy; an empty string if they can."""
        if getattr(problem.model.link, "name", None) != "logit":
            text = (
                "With more than two classes the model is a multinomial logit, which does not support {given}: use {0}."
            )
            return instruction(text, Remedy("link", "logit"), given=Remedy("link", self.link))
        if problem.model.has_offset:
            return instruction(
                "A multinomial logit does not support an offset, since one value per row does not identify the classes "
                "it applies to: omit {0}, or use it as a column of X.",
                Remedy("offset"),
            )
        if not getattr(method, "multinomial", False):
            return instruction(
                "{name} fits one linear predictor per row: use {0}, {1} or {2}, or fit one class against the rest.",
                *(Remedy("method", name) for name in ("one-step", "mle", "pilot")),
                name=type(method).__name__,
            )
        return ""

    def decision_function(self, X: Any, *, offset: Any = None, unseen: str = "raise") -> Any:
        """Return the linear predictor of each row.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "nan", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, NaN, or that
            of the reference level.

        Returns
        -------
        dask Array, dask Series or ndarray of shape (n,), or of shape (n, C) for more than two classes
            Linear predictors; positive if the second class is more probable, for symmetric links.  With more than two
            classes, log odds relative to the first class, whose own are 0.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.decision_function([[0.0, 0.0]]) == glm.intercept_
        array([ True])
        """
        return self._predict(X, offset, "linear", unseen=unseen)

    def predict_proba(self, X: Any, *, offset: Any = None, return_std: bool = False, unseen: str = "raise") -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "nan", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, NaN, or that
            of the reference level.
        return_std : bool, default=False
            Whether to also return the standard errors of the probabilities (delta method).

        Returns
        -------
        probability : dask Array, dask DataFrame or ndarray of shape (n, C)
            Probabilities, in the order of ``classes_``.
        std : as `probability`
            Their standard errors, if asked for.

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
        probability = self._predict(X, offset, "proba", unseen=unseen)
        if not return_std:
            return probability
        return probability, self._predict(X, offset, "proba_std", covariance=self.record_.covariance, unseen=unseen)

    def predict_interval(
        self, X: Any, level: float = 0.95, *, offset: Any = None, label: Any = None, unseen: str = "raise"
    ) -> Any:
        """Return a confidence interval of the probability of a class, for each row.

        From the asymptotic normality of the linear predictor, transformed by the inverse link; with more than two
        classes, of the log odds of the class against the rest.  The interval is inside (0, 1).

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        level : float, default=0.95
            Its level.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "nan", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, NaN, or that
            of the reference level.
        label : object, optional
            One of ``classes_``; by default the second of two.  Required of more than two.

        Returns
        -------
        dask Array, dask DataFrame or ndarray of shape (n, 2)
            Lower and upper ends; lazy for Dask input, for a frame with its index and the columns
            ``lower`` and ``upper``.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, or `label` is none of the classes.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> interval = glm.predict_interval([[0.0, 0.0]], label=0)
        >>> bool((interval == 1 - glm.predict_interval([[0.0, 0.0]])[:, ::-1]).all())
        True
        """
        check_is_fitted(self)
        return self._interval(X, level, offset, label=self._code(label), unseen=unseen)

    def predict(self, X: Any, *, offset: Any = None, unseen: str = "raise") -> Any:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : dask Array, dask DataFrame, array-like of shape (n, p), Arrow data, path, or pyarrow Dataset
            Covariates, as for ``fit``.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if fit had one.
        unseen : {"raise", "reference"}, default="raise"
            Prediction of rows with a level, or a combination of levels, that had no rows in fit: an error, or that of
            the reference level.

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
        return self._predict(X, offset, "label", unseen=unseen)

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None) -> float:
        """Return the accuracy.  One pass.

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
        check_is_fitted(self)
        predictor = Predictor(self.record_.model, Prediction(self.record_.coef, "label", self.classes_))
        # Labels not seen in fit count as wrong predictions and do not raise.
        problem = replace(self._problem(X, y, sample_weight, offset, require_weights=False), classes=None)
        sums = total_of(problem, hits, predictor, name="score")
        return sums.right / sums.weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.link == "logit"
        return tags

    def probability_diagnostics(
        self, X: Any, y: Any = None, *, label: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> ProbabilityDiagnostics:
        """Return how well probabilities are predicted: ROC curve, AUC, calibration, Hosmer-Lemeshow test.  One pass.

        The pass counts events by predicted probability: exactly, if there are at most 16,384 distinct ones, otherwise
        in 16,384 bins; `ProbabilityDiagnostics.auc_error` bounds the error.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``; these may be other rows than those of ``fit``.
        label : object, optional
            One of ``classes_``, against all others; by default the second of two.  Required of more than two.

        Returns
        -------
        ProbabilityDiagnostics
            The counts, from which curves and tests are computed without another pass.

        Raises
        ------
        ValueError
            If `label` is none of the classes.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.probability_diagnostics(X, y).calibration_curve(5).columns.tolist()
        ['predicted', 'observed', 'weight', 'ci_lower', 'ci_upper']
        """
        check_is_fitted(self)
        code = self._code(label)
        problem = self._problem(X, y, sample_weight, offset, require_weights=False)
        sums = total_of(problem, probability_sums, self.record_.coef, code, name="probabilities")
        return ProbabilityDiagnostics(sums, self.classes_.tolist()[code])

    def hosmer_lemeshow_test(
        self, X: Any, y: Any = None, n_groups: int = 10, *, sample_weight: Any = None, offset: Any = None
    ) -> TestResult:
        """Return the Hosmer-Lemeshow test of calibration of a binary model, on the rows of ``fit``.  One pass.

        Parameters
        ----------
        X, y, sample_weight, offset
            The data of ``fit``.
        n_groups : int, default=10
            Number of groups of rows, by predicted probability.

        Returns
        -------
        TestResult
            Against χ² with g − 2 degrees of freedom; see `ProbabilityDiagnostics.hosmer_lemeshow_test`.

        Raises
        ------
        ValueError
            As for `probability_diagnostics`, and if there are fewer than three groups.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> bool(glm.hosmer_lemeshow_test(X, y).p_value > 0.001)
        True
        """
        found = self.probability_diagnostics(X, y, sample_weight=sample_weight, offset=offset)
        return found.hosmer_lemeshow_test(n_groups)

    def _code(self, label: Any) -> int:
        """Return the code of a class, by default the second of two."""
        classes = self.classes_.tolist()
        if label is None and len(classes) == 2:
            return 1
        shown = ", ".join(map(repr, classes))
        if label is None:
            raise ValueError(f"label is required with more than two classes; must be one of {shown}.")
        if label not in classes:
            raise ValueError(f"Unknown label {label!r}; must be one of {shown}.")
        return classes.index(label)
