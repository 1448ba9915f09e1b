"""How well a model predicts probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dask_onestep.estimators.inputs import Reading, total_of
from dask_onestep.inference import TestResult
from dask_onestep.inference.probabilities import ProbabilityDiagnostics
from dask_onestep.kernels.likelihood.binned import probability_sums
from dask_onestep.methods import FitRecord


class ProbabilityChecks(Reading):
    """Discrimination and calibration of predicted probabilities."""

    record_: FitRecord
    classes_: np.ndarray

    def probability_diagnostics(
        self, X: Any, y: Any = None, *, label: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> ProbabilityDiagnostics:
        """Return how well probabilities are predicted: ROC curve, AUC, calibration, Hosmer-Lemeshow test.  One pass.

        The pass sums events by predicted probability: exactly, if there are at most 16,384 distinct ones, otherwise in
        as many bins; `ProbabilityDiagnostics.auc_error` bounds what that changes.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for ``fit``; these may be other rows than those of ``fit``.
        label : object, optional
            One of ``classes_``, against all others; by default the second of two.  Required of more than two.

        Returns
        -------
        ProbabilityDiagnostics
            Sums, and what follows from them without another pass.

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
